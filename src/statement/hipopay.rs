//! HipoPay's file (the HipoPay document, "Export Reconciliation Report"; gateways.md 5.2): a title, a header, 18 columns.
//!
//! A back-tick stands before numbers only, `-` means that there is nothing, an amount carries its currency.
//! What is taken for what, from the document's sample of two payments and one refund \[B\]:
//!
//! - "Collection via …" is a payment. "Order No." is HipoPay's number, "External order No." the merchant's, "Transaction
//!   Amount" what was paid, "Credit" what is left of it after "Service Fee".
//! - "Refund" is a refund. "Order No." is the refund's own number at HipoPay. The payment's two numbers stand under "Refund
//!   Order" and "External Refund Order No.", whatever these names suggest. The merchant's number of the refund is empty in
//!   the sample; if it ever is there, it stands under "External order No." \[C\]. "Debit" is what leaves, with a minus.
//! - Everything else (withdrawals, conversions) is [`Kind::Other`] and not described any further \[C\].
//!
//! There is no column for a state and no summary; the state is the transaction's type.

use std::io::BufRead;

use super::cells::{Cell, split_into};
use super::money::{Signed, currency};
use super::source::{Raw, Source};
use super::{FileError, Kind, Line};

const HEADER: [&str; 18] = [
    "Transaction Type",
    "Transaction Time",
    "Order No.",
    "External order No.",
    "Credit",
    "Debit",
    "Balance",
    "Transaction Amount",
    "Exchange Rate Adopted for Settlement",
    "Service Fee",
    "Refund Amount",
    "Refund Order",
    "External Refund Order No.",
    "Fee for Withdrawal",
    "Converted Currency",
    "Exchange Rate Adopted for Conversion",
    "Amount After Conversion",
    "Payment Channel",
];

/// Reads title and header.
pub(super) fn open<R: BufRead>(source: &mut Source<R>) -> Result<(), FileError> {
    source.must("title")?;
    let raw = source.must("header")?;
    let cells = split_into(&raw, "", HEADER.len())?;
    match cells.iter().zip(HEADER).find(|(cell, name)| cell.text.trim() != *name) {
        None => Ok(()),
        Some((cell, name)) => Err(raw.error(cell.column, format!("the column {name:?} is expected here"))),
    }
}

/// The next line.
pub(super) fn next<R: BufRead>(source: &mut Source<R>) -> Result<Option<Line>, FileError> {
    let Some(raw) = source.next()? else { return Ok(None) };
    let cells = split_into(&raw, "", HEADER.len())?;
    let row = Row { raw: &raw, cells };
    row.line().map(Some)
}

struct Row<'a> {
    raw: &'a Raw,
    cells: Vec<Cell<'a>>,
}

impl Row<'_> {
    fn line(&self) -> Result<Line, FileError> {
        let word = self.text(0);
        let kind = match word.as_str() {
            "Refund" => Kind::Refund,
            word if word.starts_with("Collection via ") => Kind::Payment,
            _ => Kind::Other,
        };
        let is_refund = kind == Kind::Refund;
        let at = if is_refund { 10 } else { 7 };
        let amount = self.money(at)?.and_then(Signed::amount);
        if amount.is_none() && matches!(kind, Kind::Payment | Kind::Refund) {
            return Err(self.raw.error(self.cells[at].column, "a payment and a refund have an amount above zero"));
        }
        let [order_no, transaction_id, refund_no, refund_id] =
            if is_refund { [12, 11, 3, 2].map(|at| self.text(at)) } else { self.payment_numbers() };
        if transaction_id.is_empty() && kind != Kind::Other {
            return Err(self.raw.error(self.cells[2].column, "the line names no payment"));
        }
        Ok(Line {
            line: self.raw.number,
            kind,
            time: self.text(1),
            order_no,
            transaction_id,
            refund_no,
            refund_id,
            state: word,
            amount,
            fee: self.money(9)?,
            settled: self.settled()?,
        })
    }

    fn payment_numbers(&self) -> [String; 4] {
        [self.text(3), self.text(2), String::new(), String::new()]
    }

    /// The credit, or the debit as a negative sum, whether or not it is written with its minus.
    fn settled(&self) -> Result<Option<Signed>, FileError> {
        let debit = self.money(5)?.map(|debit| if debit.minor > 0 { debit.reversed() } else { debit });
        Ok(self.money(4)?.or(debit))
    }

    /// A text without the back-tick before it; empty where a dash without one says that there is nothing.
    fn text(&self, at: usize) -> String {
        match self.cells[at].text.trim() {
            "-" => String::new(),
            text => text.strip_prefix('`').unwrap_or(text).to_owned(),
        }
    }

    /// An amount with its currency behind it.
    fn money(&self, at: usize) -> Result<Option<Signed>, FileError> {
        let cell = self.cells[at];
        if matches!(cell.text, "" | "-") {
            return Ok(None);
        }
        let expected = || self.raw.error(cell.column, "an amount with its currency is expected, such as 0.99 HKD");
        let (number, code) = cell.text.split_once(' ').ok_or_else(expected)?;
        let currency = currency(self.raw, Cell { text: code, ..cell })?;
        Signed::parse(number, currency).map(Some).map_err(|what| self.raw.error(cell.column, what))
    }
}
