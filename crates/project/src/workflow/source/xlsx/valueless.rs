//! Cells that say something and have no value: a formula of a program that calculates nothing, and
//! a text where Excel looks for none. Read as empty they would leave rows out that somebody means.

use std::collections::BTreeMap;

use quick_xml::events::BytesStart;
use serde::{Deserialize, Serialize};

use super::layout::{attribute, column_letters};

/// Where such cells are: the first and the last row of each column, which counts from 0.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct ValuelessCells(BTreeMap<usize, (u64, u64)>);

impl ValuelessCells {
    pub(super) fn add(&mut self, column: usize, row: u64) {
        self.0.entry(column).or_insert((row, row)).1 = row;
    }

    /// Those below a line in columns that are used, as Excel names cells.
    pub(super) fn below(&self, line: u64, is_used: impl Fn(usize) -> bool) -> Vec<String> {
        let cells = self.0.iter();
        cells
            .filter(|(column, (_, last))| *last > line && is_used(**column))
            .map(|(column, (first, last))| {
                let column = column_letters(*column);
                match first.max(&(line + 1)) {
                    first if first == last => format!("{column}{first}"),
                    first => format!("{column}{first}–{column}{last}"),
                }
            })
            .collect()
    }
}

/// What of the value of the cell that is being read has been seen.
#[derive(Debug, Default)]
pub(super) struct CellValue {
    /// The cell's tag, which is looked into only if it matters.
    tag: String,
    /// Which cell of its row it is, from 0, where the tag does not say.
    place: usize,
    has_formula: bool,
    has_text: bool,
    /// Whether what comes next stands in `v`.
    in_value: bool,
    value: Option<SeenValue>,
}

#[derive(Debug, PartialEq, Eq)]
enum SeenValue {
    Zero,
    Other,
}

impl CellValue {
    pub(super) fn element(&mut self, name: &str, start: &BytesStart<'_>) {
        self.in_value = name == "v";
        match name {
            "row" => self.place = 0,
            "c" => {
                self.tag.clear();
                self.tag.push_str(start);
                self.place += 1;
                (self.has_formula, self.has_text, self.value) = (false, false, None);
            }
            "f" => self.has_formula = true,
            "is" => self.has_text = true,
            _ => {}
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        if self.in_value && !text.is_empty() {
            self.value = Some(match text {
                "0" => SeenValue::Zero,
                _ => SeenValue::Other,
            });
        }
    }

    /// Whether the cell, which ends here, has no value that counts, though it should.
    pub(super) fn is_missing(&self, is_calculated: bool) -> bool {
        let kind = || attribute(&self.start(), "t");
        match &self.value {
            Some(_) if self.has_formula => !is_calculated && self.value == Some(SeenValue::Zero),
            Some(_) => !self.has_text && kind().as_deref() == Some("inlineStr"),
            // A formula whose value is an empty text says so.
            None => self.has_formula && !self.has_text && kind().as_deref() != Some("str"),
        }
    }

    /// The column of the cell, from 0.
    pub(super) fn column(&self) -> usize {
        let named = attribute(&self.start(), "r").map(|place| {
            let letters = place.bytes().take_while(u8::is_ascii_alphabetic).take(3);
            letters.fold(0, |column, letter| {
                column * 26 + usize::from(letter.to_ascii_uppercase() - b'A') + 1
            })
        });
        named.unwrap_or(self.place).saturating_sub(1)
    }

    fn start(&self) -> BytesStart<'_> {
        BytesStart::from_content(self.tag.as_str(), 1)
    }
}
