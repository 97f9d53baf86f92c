//! What a job's `where` leaves out: counted by value, and refused where a value is nearly one that
//! it names.
//!
//! A row with `Yes` or `active ` is neither what the condition names nor meant to be another thing:
//! nobody is charged, or not charged, by a blank or a capital letter.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::comparison::{ComparedColumn, ComparedText, TextFilter};
use super::source::FileRow;
use super::template::Condition;
use payrun_domain::message::Message;
use payrun_domain::text::{folded, shown};

/// How many different values are counted.
const VALUES: usize = 20;

/// How many rows are listed.
const LISTED: usize = 1_000;

/// A condition over the rows of one file.
pub(super) struct ExclusionFilter<'a> {
    condition: &'a Condition,
    /// By column: where it stands, and the texts it is compared with.
    known: Vec<(usize, &'a str, Vec<ExcludedText>)>,
    /// The columns whose values may be told.
    told: Vec<(usize, &'a str)>,
}

struct ExcludedText {
    text: String,
    folded: String,
    /// What the condition does to a value before it compares it.
    respelt: Vec<TextFilter>,
}

impl ExcludedText {
    /// Whether the condition finds a value equal to it.
    fn equals(&self, value: &str) -> bool {
        let respelt = self
            .respelt
            .iter()
            .fold(Cow::Borrowed(value), |value, filter| {
                Cow::Owned(filter.of(&value))
            });
        respelt == self.text
    }
}

/// The rows that were left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExcludedRows {
    /// How many.
    pub rows: u64,
    /// How many with each value of what the condition looks at: `active=no`. What is beyond twenty
    /// different values stands under none.
    pub by_value: BTreeMap<String, u64>,
    /// The first of them: line and value.
    pub first: Vec<(u64, String)>,
}

impl ExcludedRows {
    /// Adds what was left out after this.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        for (value, rows) in other.by_value {
            self.count(value, rows);
        }
        let room = LISTED.saturating_sub(self.first.len());
        self.first.extend(other.first.into_iter().take(room));
    }

    /// Adds a row.
    pub(super) fn row(&mut self, line: u64, value: String) {
        self.rows += 1;
        self.count(value.clone(), 1);
        if self.first.len() < LISTED {
            self.first.push((line, value));
        }
    }

    fn count(&mut self, value: String, rows: u64) {
        let known = self.by_value.contains_key(&value) || self.by_value.len() < VALUES;
        *self
            .by_value
            .entry(if known { value } else { String::new() })
            .or_default() += rows;
    }
}

impl<'a> ExclusionFilter<'a> {
    /// Over a file with these columns; `private` are those whose values must not be told.
    pub fn new(
        condition: &'a Condition,
        columns: &[String],
        params: &BTreeMap<String, String>,
        private: &[usize],
    ) -> Self {
        let at = |column: &str| columns.iter().position(|known| known == column);
        let mut known: Vec<(usize, &str, Vec<ExcludedText>)> = Vec::new();
        let names: Vec<&str> = condition.item_columns().into_iter().collect();
        for ComparedColumn {
            column,
            respelt,
            known: value,
        } in condition.expression().known_values()
        {
            let text = match value {
                ComparedText::Text(text) => Some(text),
                ComparedText::Param(name) => params.get(&name).cloned(),
            };
            let name = names.iter().find(|name| **name == column);
            let (Some(index), Some(text), Some(name)) = (at(&column), text, name) else {
                continue;
            };
            let text = ExcludedText {
                folded: folded(&text),
                text,
                respelt,
            };
            match known.iter_mut().find(|(other, _, _)| *other == index) {
                Some((_, _, texts)) => texts.push(text),
                None => known.push((index, *name, vec![text])),
            }
        }
        let told = names.into_iter().filter_map(|name| Some((at(name)?, name)));
        let told = told.filter(|(index, _)| !private.contains(index)).collect();
        Self {
            condition,
            known,
            told,
        }
    }

    /// The condition.
    pub const fn condition(&self) -> &'a Condition {
        self.condition
    }

    /// Why it cannot be told what a row means: a value of it, whose column stands first, is nearly one
    /// that the condition names.
    pub fn doubts(&self, row: &FileRow) -> Vec<(usize, Message)> {
        let doubt = |(index, column, texts): &(usize, &str, Vec<ExcludedText>)| {
            let value = row.get(*index).unwrap_or_default();
            if value.is_empty() || texts.iter().any(|known| known.equals(value)) {
                return None;
            }
            let meant = folded(value);
            let near = texts.iter().find(|known| known.folded == meant)?;
            let doubt = Message::new(
                "column-nearly",
                "differs from \"{text}\" only by blanks, capitals or width: write it so, or compare item.{column}|trim|lower",
            );
            Some((
                *index,
                doubt.with("text", &near.text).with("column", *column),
            ))
        };
        self.known.iter().filter_map(doubt).collect()
    }

    /// The values of what it looks at.
    pub fn value(&self, row: &FileRow) -> String {
        let one = |(index, column): &(usize, &str)| {
            format!("{column}={}", shown(row.get(*index).unwrap_or_default()))
        };
        self.told.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}
