//! What the cells of a sheet's column are: numbers, or texts with digits, of what length. By that a
//! number is told that may have lost the zeros before it: Excel keeps none before a number.
//!
//! Nothing of a cell's text is kept.

use payrun_domain::message::Message;
use serde::{Deserialize, Serialize};

/// How many lines are kept one by one: those above the header do not count.
const FIRST: u64 = 20;

/// What a cell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum CellForm {
    /// A number.
    Number,
    /// A text of so many characters that begins with a zero and a digit.
    ZeroFirst(usize),
    /// A text of so many digits, the first of them no zero.
    Digits(usize),
    /// Any other text that has a digit.
    Mixed,
}

impl CellForm {
    /// That of a text; none of one without a digit, which is no id: `N/A`, or `total`.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let is_digit = |c: char| c.is_ascii_digit();
        let all = text.chars().all(is_digit);
        match text
            .strip_prefix('0')
            .map(|rest| rest.starts_with(is_digit))
        {
            _ if !text.contains(is_digit) => None,
            Some(true) => Some(Self::ZeroFirst(length)),
            Some(false) | None if all => Some(Self::Digits(length)),
            Some(false) | None => Some(Self::Mixed),
        }
    }
}

/// What the cells of one column are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CellForms {
    /// Of the first lines, each with its line.
    first: Vec<(u64, CellForm)>,
    /// Of the others, how many there are of each.
    later: Vec<(CellForm, u64)>,
}

/// The longest text that is told from longer ones: no number has as many digits.
const LENGTH_MAX: usize = 20;

impl CellForms {
    /// Counts a cell.
    pub(super) fn add(&mut self, line: u64, form: CellForm) {
        let form = match form {
            CellForm::ZeroFirst(length) => CellForm::ZeroFirst(length.min(LENGTH_MAX)),
            CellForm::Digits(length) => CellForm::Digits(length.min(LENGTH_MAX)),
            CellForm::Number | CellForm::Mixed => form,
        };
        if line <= FIRST {
            self.first.push((line, form));
            return;
        }
        match self.later.iter_mut().find(|(known, _)| *known == form) {
            Some((_, count)) => *count += 1,
            None => self.later.push((form, 1)),
        }
    }

    /// Why a number of the column, below this header, may be another id than was typed.
    ///
    /// It is taken where it cannot have lost a zero: it is shown with one in front, by its format;
    /// texts that begin with one are no longer than it is; and numbers are more than texts, or the
    /// texts are all as long as it is.
    pub(super) fn doubt(&self, number: &str, header_line: u64) -> Option<Message> {
        if number.contains('.') {
            return Some(DECIMALS);
        }
        if number.len() > 1 && number.starts_with('0') {
            return None;
        }
        let below = self.first.iter().filter(|(line, _)| *line > header_line);
        let below = below.map(|(_, form)| (*form, 1));
        let (mut numbers, mut texts, mut others) = (0, 0, false);
        for (form, count) in below.chain(self.later.iter().copied()) {
            match form {
                CellForm::Number => numbers += count,
                CellForm::ZeroFirst(length) if length > number.len() => return Some(ZEROS),
                CellForm::ZeroFirst(length) | CellForm::Digits(length) => {
                    texts += count;
                    others |= length != number.len();
                }
                CellForm::Mixed => {
                    texts += count;
                    others = true;
                }
            }
        }
        (others && texts >= numbers).then_some(TEXTS)
    }
}

const ZEROS: Message = Message::new(
    "cell-lost-zeros",
    "is a number, and other cells of this column are text that begins with a zero: Excel takes zeros before a number \
                     away; format the column as text, and type the cell again",
);

const TEXTS: Message = Message::new(
    "cell-number-among-texts",
    "is a number, and the other cells of this column are text: Excel takes zeros before a number away; format the \
                     column as text, and type the cell again",
);

const DECIMALS: Message = Message::new(
    "cell-decimals",
    "is a number with a decimal point, of which Excel takes zeros away; format the column as text, and type the \
                        cell again",
);

#[cfg(test)]
mod tests {
    use super::*;

    fn forms(texts: &[&str], numbers: usize) -> CellForms {
        let mut forms = CellForms::default();
        let texts = texts.iter().filter_map(|text| CellForm::of_text(text));
        let cells = texts.chain((0..numbers).map(|_| CellForm::Number));
        cells
            .zip(2..)
            .for_each(|(form, line)| forms.add(line, form));
        forms
    }

    #[test]
    fn a_number_is_doubtful_where_it_may_have_lost_a_zero() {
        let doubt = |texts: &[&str], numbers, number| forms(texts, numbers).doubt(number, 1);
        assert_eq!(doubt(&["0012345"], 30, "12345"), Some(ZEROS));
        assert_eq!(doubt(&["A-1", "A-2"], 1, "12345"), Some(TEXTS));
        assert_eq!(doubt(&["123456", "123457"], 1, "12345"), Some(TEXTS));
        assert_eq!(doubt(&[], 30, "3.1"), Some(DECIMALS));
        // It has as many digits as those that begin with a zero.
        assert_eq!(doubt(&["0012345", "0012346"], 1, "1012345"), None);
        // Its format has put them there.
        assert_eq!(doubt(&["A-1", "A-2"], 1, "0012345"), None);
        // All texts are as long, so none of its digits is missing.
        assert_eq!(doubt(&["20261101", "20261102"], 1, "20261103"), None);
        // Numbers are the rule, and what is no number has to be text.
        assert_eq!(doubt(&["1001a"], 3, "1002"), None);
        assert_eq!(doubt(&["total", "N/A", "total"], 1, "1002"), None);
    }

    #[test]
    fn what_stands_above_the_header_does_not_count() {
        let mut forms = CellForms::default();
        forms.add(1, CellForm::Mixed);
        forms.add(3, CellForm::Mixed);
        forms.add(4, CellForm::Number);
        assert_eq!(forms.doubt("1002", 3), None);
        forms.add(500, CellForm::Mixed);
        assert_eq!(forms.doubt("1002", 3), Some(TEXTS));
    }
}
