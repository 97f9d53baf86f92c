//! Makes a renderer's templates ready for the columns of one file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use payrun_domain::message::{Message, MessageArgument};
use payrun_domain::text;
use payrun_yaml::diagnostics::{Diagnostic, Diagnostics, nearest_name};

use super::{PreparedTemplate, ValuePiece};
use crate::workflow::expression::VariableName;
use crate::workflow::params::RunValues;
use crate::workflow::source::{ColumnAliases, FileReading, nearest, no_column};
use crate::workflow::template::{Template, TemplatePart};

/// How many columns of a file a message names.
const COLUMNS_SHOWN: usize = 30;

/// What a template becomes for a file's columns, and which of them are missing.
pub(super) struct RendererBuilder<'a> {
    pub(super) columns: &'a [String],
    pub(super) run: &'a RunValues,
    pub(super) params: &'a BTreeMap<String, String>,
    pub(super) found: Diagnostics,
    /// The columns that were told of.
    pub(super) missing: BTreeSet<String>,
    /// How the file was understood that has the columns.
    pub(super) reading: Option<&'a FileReading>,
    /// What else the columns may be called in it.
    pub(super) aliases: &'a [ColumnAliases],
    /// Those that the file may lack.
    pub(super) optional: &'a [String],
}

/// What a file's header says, and what to do where a column is missing.
fn columns_of_file(reading: &FileReading, missing: &str) -> String {
    let mut columns: Vec<String> = reading
        .header
        .iter()
        .take(COLUMNS_SHOWN)
        .map(|column| text::shown(column))
        .collect();
    if reading.header.len() > COLUMNS_SHOWN {
        columns.push("…".to_owned());
    }
    let taken = if reading.header_line > 1 {
        ", the line with most of the columns"
    } else {
        ""
    };
    format!(
        "the file was read as {reading}{taken}: {}. Where a column has another name there, say so beside file: columns: {{ {missing}: [\"its name\"] }}",
        columns.join(", ")
    )
}

impl RendererBuilder<'_> {
    /// A sentence about a column that is not there, with the nearest name by any of its own.
    fn no_column(&self, column: &str) -> Message {
        let aliases = self.aliases.iter().find(|one| one.column == column);
        let Some(aliases) = aliases.filter(|aliases| !aliases.names.is_empty()) else {
            return no_column(column, self.columns);
        };
        let columns = self.columns.iter().map(String::as_str);
        let near = std::iter::once(column)
            .chain(aliases.names.iter().map(String::as_str))
            .find_map(|name| nearest_name(name, columns.clone()));
        let names: Vec<String> = aliases
            .names
            .iter()
            .map(|name| format!("\"{}\"", text::shown(name)))
            .collect();
        Message::new(
            "no-column-of-names",
            "there is no column \"{column}\" (nor {names}){near}",
        )
        .with("column", text::shown(column))
        .with("names", MessageArgument::names(names))
        .with("near", near.map(nearest))
    }

    /// Tells of a column that is not there, once however often it is used.
    pub(super) fn miss(&mut self, column: &str, at: impl Fn(String) -> Diagnostic) {
        let mut known = self.columns.iter().chain(self.optional);
        let is_known = known.any(|known| known == column);
        if !is_known && self.missing.insert(column.to_owned()) {
            let diagnostic = at(self.no_column(column).to_string());
            let is_first = self.missing.len() == 1;
            self.found.push(match self.reading.filter(|_| is_first) {
                Some(reading) => diagnostic.help(columns_of_file(reading, column)),
                None => diagnostic,
            });
        }
    }

    pub(super) fn plan<'a>(&mut self, template: &'a Template) -> PreparedTemplate<'a> {
        for column in template.item_columns() {
            self.miss(column, |message| template.diagnostic(message));
        }
        let mut pieces: Vec<ValuePiece<'a>> = Vec::new();
        for part in template.parts() {
            match self.piece(part) {
                // Texts that stand beside each other become one, so that constants are borrowed as
                // a whole.
                ValuePiece::Text(text) => match pieces.last_mut() {
                    Some(ValuePiece::Text(known)) => known.to_mut().push_str(&text),
                    Some(ValuePiece::Cell(_) | ValuePiece::Expression(_)) | None => {
                        pieces.push(ValuePiece::Text(text))
                    }
                },
                piece @ (ValuePiece::Cell(_) | ValuePiece::Expression(_)) => pieces.push(piece),
            }
        }
        PreparedTemplate(pieces)
    }

    fn piece<'a>(&self, part: &'a TemplatePart) -> ValuePiece<'a> {
        let text = |value: Option<&str>| {
            ValuePiece::Text(Cow::Owned(value.unwrap_or_default().to_owned()))
        };
        match part {
            TemplatePart::Text(text) => ValuePiece::Text(Cow::Borrowed(text)),
            TemplatePart::Expression(expression) => ValuePiece::Expression(expression),
            TemplatePart::Name(VariableName::Params(name)) => {
                text(self.params.get(name).map(String::as_str))
            }
            TemplatePart::Name(VariableName::Run(name)) => text(self.run.get(name)),
            TemplatePart::Name(VariableName::Item(column)) => ValuePiece::Cell(
                self.columns
                    .iter()
                    .position(|known| known == column)
                    .unwrap_or(usize::MAX),
            ),
        }
    }
}

/// Where the columns stand that a template uses.
pub(super) fn columns_of(template: &Template, columns: &[String]) -> Vec<usize> {
    let named = template.item_columns();
    // A column that is no identifier is written item["…"].
    let quoted = |column: &str| {
        template.parts().iter().any(|part| match part {
            TemplatePart::Expression(expression) => {
                expression.text().contains("item[") && expression.text().contains(column)
            }
            TemplatePart::Text(_) | TemplatePart::Name(_) => false,
        })
    };
    let used = |column: &str| named.contains(column) || quoted(column);
    (0..columns.len())
        .filter(|index| used(&columns[*index]))
        .collect()
}
