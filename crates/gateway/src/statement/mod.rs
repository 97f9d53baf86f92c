//! Reads a gateway's statement file into lines.
//!
//! Pure: bytes in, lines out, and it knows neither who fetched the file nor what becomes of the
//! lines. It streams, so that a file of a million lines needs no more memory than its longest one.
//! The invariant: a file is read to its end or not at all. Whoever takes the lines one by one
//! ([`StatementLines`]) must throw them away when an error follows; [`read`] does so itself.
//!
//! Errors name the place and what is wrong there, never what the file says: it holds names of
//! payers.

use payrun_domain::difference::SummaryRemark;
use std::fmt;
use std::io::BufRead;

use payrun_domain::money::Amount;

mod cells;
mod hipopay;
mod money;
mod raw_lines;
mod wechat;

use raw_lines::RawLines;

pub use hipopay::BillNames;
pub use money::SignedAmount;
pub use raw_lines::LINE_MAX;

/// The most columns a line may have.
pub const COLUMNS_MAX: usize = 100;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementFormat {
    /// WeChat Pay Global: 38 columns, a back-tick before every value (docs/gateways/wechat.md,
    /// "Statements").
    Wechat,
    /// HipoPay: a title, 18 columns, a back-tick before numbers (the HipoPay document, "Export
    /// Reconciliation Report").
    Hipopay,
}

/// What a line of a statement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatementLineKind {
    /// Money from a payer.
    Payment,
    /// Money back to a payer.
    Refund,
    /// A payment that was taken back as a whole; WeChat Pay goes on listing it.
    Reversal,
    /// Anything else: a withdrawal, a state nobody described.
    Other,
}

/// One line. A text is empty where the file has nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What it is about.
    pub kind: StatementLineKind,
    /// When, as written.
    pub time: String,
    /// The merchant's number of the payment.
    pub order_no: String,
    /// The gateway's number of the payment.
    pub transaction_id: String,
    /// The merchant's number of the refund.
    pub refund_no: String,
    /// The gateway's number of the refund.
    pub refund_id: String,
    /// The gateway's word: of a refund the refund's state, else the payment's. HipoPay's file has
    /// the transaction's type only.
    pub state: String,
    /// How much was paid, or given back. There is one for every payment and refund.
    pub amount: Option<Amount>,
    /// The gateway's fee, as written: above zero is what it keeps.
    pub fee: Option<SignedAmount>,
    /// What the line does to what the gateway owes the merchant: above zero for money that comes,
    /// below for money that goes.
    pub settled: Option<SignedAmount>,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its lines, in their order.
    pub lines: Vec<Line>,
    /// Its summary, where it has one.
    pub totals: Option<StatementTotals>,
}

/// The summary at a file's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementTotals {
    /// How many lines there are.
    pub count: u64,
    /// The other captions with their values as written.
    pub values: Vec<(String, String)>,
    /// What it says otherwise than the lines. The lines are there as a whole all the same.
    pub differs: Vec<SummaryRemark>,
}

/// Why a file cannot be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileError {
    /// The line, from 1.
    pub line: u64,
    /// The character in the line, from 1, where the value begins that is wrong.
    pub column: u64,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}, column {}: {}",
            self.line, self.column, self.what
        )
    }
}

impl std::error::Error for FileError {}

/// Reads a whole file.
///
/// # Errors
/// Where it is not as documented; nothing of it counts then.
///
/// ```
/// use payrun_gateway::statement::{StatementFormat, StatementLineKind, read};
/// let file = "Test: company's reconciliation report of 20190101 to 20190101\n\
///     Transaction Type,Transaction Time,Order No.,External order No.,Credit,Debit,Balance,Transaction Amount,\
///     Exchange Rate Adopted for Settlement,Service Fee,Refund Amount,Refund Order,External Refund Order No.,\
///     Fee for Withdrawal,Converted Currency,Exchange Rate Adopted for Conversion,Amount After Conversion,Payment Channel\n\
///     Collection via WeChat Pay,2019-01-01 10:55:10,`2019,`P-1,0.99 HKD,-,1.06 HKD,1.00 HKD,1,0.01 HKD,-,-,-,-,-,-,-,WECHATPAYCN\n";
/// let line = &read(StatementFormat::Hipopay, file.as_bytes()).unwrap().lines[0];
/// assert_eq!((line.kind, line.order_no.as_str(), line.amount.unwrap().minor()), (StatementLineKind::Payment, "P-1", 100));
/// let error = read(StatementFormat::Hipopay, file.replace("1.00 HKD", "1.005 HKD").as_bytes()).unwrap_err();
/// assert_eq!(error.to_string(), "line 3, column 78: more decimals than HKD has (2)");
/// ```
pub fn read(format: StatementFormat, bytes: &[u8]) -> Result<Statement, FileError> {
    read_named(format, &BillNames::default(), bytes)
}

/// The same, of a HipoPay file that calls things otherwise.
///
/// # Errors
/// Where it is not as documented and named; nothing of it counts then.
pub fn read_named(
    format: StatementFormat,
    names: &BillNames,
    bytes: &[u8],
) -> Result<Statement, FileError> {
    let mut lines = StatementLines::open_named(format, names, bytes)?;
    let all = lines.by_ref().collect::<Result<Vec<_>, _>>()?;
    Ok(Statement {
        lines: all,
        totals: lines.totals,
    })
}

/// The lines of a file, one after the other. An error ends it, and means that no line before it
/// counts either.
#[derive(Debug)]
pub struct StatementLines<R> {
    source: RawLines<R>,
    columns: StatementColumns,
    totals: Option<StatementTotals>,
    ended: bool,
}

#[derive(Debug)]
enum StatementColumns {
    Wechat(Box<wechat::BillReader>),
    Hipopay(BillNames),
}

impl<R: BufRead> StatementLines<R> {
    /// Reads what stands before the first line.
    ///
    /// # Errors
    /// If that is not as documented.
    pub fn open(format: StatementFormat, file: R) -> Result<Self, FileError> {
        Self::open_named(format, &BillNames::default(), file)
    }

    /// The same, of a HipoPay file that calls things otherwise.
    ///
    /// # Errors
    /// If that is not as documented and named.
    pub fn open_named(
        format: StatementFormat,
        names: &BillNames,
        file: R,
    ) -> Result<Self, FileError> {
        let mut source = RawLines::new(file);
        let columns = match format {
            StatementFormat::Wechat => {
                StatementColumns::Wechat(Box::new(wechat::BillReader::open(&mut source)?))
            }
            StatementFormat::Hipopay => {
                hipopay::open(&mut source, names)?;
                StatementColumns::Hipopay(names.clone())
            }
        };
        Ok(Self {
            source,
            columns,
            totals: None,
            ended: false,
        })
    }

    /// The file's summary; known when all lines have come.
    pub const fn totals(&self) -> Option<&StatementTotals> {
        self.totals.as_ref()
    }

    fn advance(&mut self) -> Result<Option<Line>, FileError> {
        match &mut self.columns {
            StatementColumns::Wechat(reader) => match reader.next(&mut self.source)? {
                wechat::BillPart::Line(line) => Ok(Some(line)),
                wechat::BillPart::End(totals) => {
                    self.totals = totals;
                    Ok(None)
                }
            },
            StatementColumns::Hipopay(names) => hipopay::next(&mut self.source, names),
        }
    }
}

impl<R: BufRead> Iterator for StatementLines<R> {
    type Item = Result<Line, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.advance().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests;
