//! HipoPay's file (the HipoPay document, "Export Reconciliation Report"; docs/gateways/hipopay.md,
//! "Statements"): a title, a header, 18 columns.
//!
//! A back-tick stands before numbers only, `-` means that there is nothing, an amount carries its
//! currency. What is taken for what, from the document's sample of two payments and one refund
//! \[B\]:
//!
//! - "Collection via …" is a payment. "Order No." is HipoPay's number, "External order No." the
//!   merchant's, "Transaction Amount" what was paid, "Credit" what is left of it after "Service
//!   Fee".
//! - "Refund" is a refund. "Order No." is the refund's own number at HipoPay. The payment's two
//!   numbers stand under "Refund Order" and "External Refund Order No.", whatever these names
//!   suggest. The merchant's number of the refund is empty in the sample; if it ever is there, it
//!   stands under "External order No." \[C\]. "Debit" is what leaves, with a minus.
//! - Everything else (withdrawals, conversions) is [`StatementLineKind::Other`] and not described
//!   any further \[C\].
//!
//! There is no column for a state and no summary; the state is the transaction's type.

use std::collections::BTreeMap;
use std::io::BufRead;

use super::cells::{Cell, split, split_into};
use super::money::{SignedAmount, currency};
use super::raw_lines::{RawLine, RawLines};
use super::{FileError, Line, StatementLineKind};

/// How the document calls the columns, and how an account's configuration names them.
const COLUMNS: [(&str, &str); 18] = [
    ("transaction_type", "Transaction Type"),
    ("transaction_time", "Transaction Time"),
    ("order_no", "Order No."),
    ("external_order_no", "External order No."),
    ("credit", "Credit"),
    ("debit", "Debit"),
    ("balance", "Balance"),
    ("transaction_amount", "Transaction Amount"),
    ("settlement_rate", "Exchange Rate Adopted for Settlement"),
    ("service_fee", "Service Fee"),
    ("refund_amount", "Refund Amount"),
    ("refund_order", "Refund Order"),
    ("external_refund_order_no", "External Refund Order No."),
    ("withdrawal_fee", "Fee for Withdrawal"),
    ("converted_currency", "Converted Currency"),
    ("conversion_rate", "Exchange Rate Adopted for Conversion"),
    ("amount_after_conversion", "Amount After Conversion"),
    ("payment_channel", "Payment Channel"),
];

/// What a bill calls its columns and the types of its lines, where that is not what the document
/// does. It is known in English only; the language of a real file is not \[C\].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BillNames {
    /// By the name of [`BillNames::columns_known`]: the column's in the file.
    pub columns: BTreeMap<String, String>,
    /// How the type of a payment's line begins; `Collection via ` if not given.
    pub payment: Option<String>,
    /// The type of a refund's line; `Refund` if not given.
    pub refund: Option<String>,
}

impl BillNames {
    /// The names by which columns are configured.
    pub fn columns_known() -> impl Iterator<Item = &'static str> {
        COLUMNS.into_iter().map(|(name, _)| name)
    }

    fn header(&self) -> impl Iterator<Item = &str> {
        COLUMNS
            .iter()
            .map(|(name, documented)| self.columns.get(*name).map_or(*documented, String::as_str))
    }

    fn kind(&self, word: &str) -> StatementLineKind {
        if word == self.refund.as_deref().unwrap_or("Refund") {
            StatementLineKind::Refund
        } else if word.starts_with(self.payment.as_deref().unwrap_or("Collection via ")) {
            StatementLineKind::Payment
        } else {
            StatementLineKind::Other
        }
    }
}

/// Reads title and header. What stands there instead of a column's name is said, since without it
/// nobody could configure it; never more than a few characters of it, and no digit, should it be no
/// header at all.
pub(super) fn open<R: BufRead>(
    source: &mut RawLines<R>,
    names: &BillNames,
) -> Result<(), FileError> {
    source.must("title")?;
    let raw = source.must("header")?;
    let cells = split(&raw, "")?;
    let differs = cells
        .iter()
        .zip(names.header())
        .find(|(cell, name)| cell.text.trim() != *name);
    if let Some((cell, name)) = differs {
        let found = shown(cell.text);
        let what = format!(
            "the column {name:?} is expected here, not {found:?}: name it under bill_columns in payrun.yaml"
        );
        return Err(raw.error(cell.column, what));
    }
    split_into(&raw, "", COLUMNS.len()).map(drop)
}

/// The beginning of a cell, without what could be a number of somebody's.
fn shown(cell: &str) -> String {
    let cell = cell.trim();
    if cell.starts_with('`') || cell.contains('@') {
        return "***".to_owned();
    }
    cell.chars()
        .take(24)
        .map(|c| {
            if c.is_numeric() || c.is_control() {
                '#'
            } else {
                c
            }
        })
        .collect()
}

/// The next line.
pub(super) fn next<R: BufRead>(
    source: &mut RawLines<R>,
    names: &BillNames,
) -> Result<Option<Line>, FileError> {
    let Some(raw) = source.next()? else {
        return Ok(None);
    };
    let cells = split_into(&raw, "", COLUMNS.len())?;
    let row = HipopayRow { raw: &raw, cells };
    row.line(names).map(Some)
}

struct HipopayRow<'a> {
    raw: &'a RawLine,
    cells: Vec<Cell<'a>>,
}

impl HipopayRow<'_> {
    fn line(&self, names: &BillNames) -> Result<Line, FileError> {
        let word = self.text(0);
        let kind = names.kind(&word);
        let is_refund = kind == StatementLineKind::Refund;
        let at = if is_refund { 10 } else { 7 };
        let amount = self.money(at)?.and_then(SignedAmount::amount);
        if amount.is_none()
            && matches!(kind, StatementLineKind::Payment | StatementLineKind::Refund)
        {
            return Err(self.raw.error(
                self.cells[at].column,
                "a payment and a refund have an amount above zero",
            ));
        }
        let [order_no, transaction_id, refund_no, refund_id] = if is_refund {
            [12, 11, 3, 2].map(|at| self.text(at))
        } else {
            self.payment_numbers()
        };
        if transaction_id.is_empty() && kind != StatementLineKind::Other {
            return Err(self
                .raw
                .error(self.cells[2].column, "the line names no payment"));
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
    fn settled(&self) -> Result<Option<SignedAmount>, FileError> {
        let debit = self.money(5)?.map(|debit| {
            if debit.minor > 0 {
                debit.reversed()
            } else {
                debit
            }
        });
        Ok(self.money(4)?.or(debit))
    }

    /// A text without the back-tick before it; empty where a dash without one says that there is
    /// nothing.
    fn text(&self, at: usize) -> String {
        match self.cells[at].text.trim() {
            "-" => String::new(),
            text => text.strip_prefix('`').unwrap_or(text).to_owned(),
        }
    }

    /// An amount with its currency behind it.
    fn money(&self, at: usize) -> Result<Option<SignedAmount>, FileError> {
        let cell = self.cells[at];
        if matches!(cell.text, "" | "-") {
            return Ok(None);
        }
        let expected = || {
            self.raw.error(
                cell.column,
                "an amount with its currency is expected, such as 0.99 HKD",
            )
        };
        let (number, code) = cell.text.split_once(' ').ok_or_else(expected)?;
        let currency = currency(self.raw, Cell { text: code, ..cell })?;
        SignedAmount::parse(number, currency)
            .map(Some)
            .map_err(|what| self.raw.error(cell.column, what))
    }
}
