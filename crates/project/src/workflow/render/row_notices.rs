//! What there is to be told of a file's rows, beside those that are refused.

use payrun_domain::money::{Currency, decimal_text};

use crate::workflow::excluded_rows::ExcludedRows;

/// What there is to be told of rows that are no items, or not quite as they stand in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowNotices {
    /// What the job's condition leaves out.
    pub left_out: ExcludedRows,
    /// Around what blanks were taken off: names by column, other values by field.
    pub trimmed: Vec<TrimmedColumn>,
    /// Identity cards with a small x at their end, which is written as a capital one, by field.
    pub capital_x: Vec<TrimmedColumn>,
    /// Amounts in full-width digits, read as plain ones, by field.
    pub plain_digits: Vec<TrimmedColumn>,
    /// What the first row's money was taken for.
    pub money: Option<MoneyExample>,
}

/// What the money of one row was taken for: whoever writes files in another unit sees it here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoneyExample {
    /// The row's line.
    pub line: u64,
    /// Its currency.
    pub currency: Currency,
    /// Each field, with its count of minor units.
    pub fields: Vec<(String, i64)>,
}

impl std::fmt::Display for MoneyExample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (currency, exponent) = (self.currency, self.currency.exponent());
        write!(
            f,
            "money is in main units of {currency}: in line {}",
            self.line
        )?;
        for (place, (field, minor)) in self.fields.iter().enumerate() {
            let comma = if place > 0 { "," } else { "" };
            let text = decimal_text(i128::from(*minor), currency);
            write!(f, "{comma} {field} {text}")?;
            if exponent > 0 {
                write!(f, " = {minor} × {}", decimal_text(1, currency))?;
            }
        }
        Ok(())
    }
}

impl RowNotices {
    /// Adds what was noted after this.
    pub fn add(&mut self, other: Self) {
        self.left_out.add(other.left_out);
        self.money = self.money.take().or(other.money);
        for (known, others) in [
            (&mut self.trimmed, other.trimmed),
            (&mut self.capital_x, other.capital_x),
            (&mut self.plain_digits, other.plain_digits),
        ] {
            for other in others {
                match known.iter_mut().find(|known| known.column == other.column) {
                    Some(known) => known.rows += other.rows,
                    None => known.push(other),
                }
            }
        }
    }
}

/// Rows in which a value of a column was written another way: without blanks around a name, or with
/// a capital X.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrimmedColumn {
    /// The column.
    pub column: String,
    /// How many rows.
    pub rows: u64,
    /// The line of the first.
    pub first: u64,
}
