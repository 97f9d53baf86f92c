//! The columns of an item file of which a job makes nothing: each is named to people. One that is
//! called like a field of the job kind is more: whoever fills it in means it to be sent.

use super::source::{FileReading, LINE, REASON};
use super::{Condition, ItemSource, Job, Template};
use crate::job_kinds::{FieldKind, InputField, JobKind, chinese_labels};
use payrun_domain::text::{folded, plain_digits, trimmed};

/// A column that a job does not read, though it is called like a field of the job kind.
pub(super) struct UnreadField<'a> {
    pub(super) column: usize,
    pub(super) field: &'a InputField,
}

/// The columns of a file that a job does not read, as they stand there. Those that payrun added
/// when it gave rows back are its own.
pub fn unused_columns(job: &Job, columns: &[String], reading: &FileReading) -> Vec<String> {
    let unused = unread(job, columns).map(|index| &reading.header[index]);
    unused
        .filter(|name| ![LINE, REASON].contains(&name.as_str()))
        .cloned()
        .collect()
}

/// Those of them that are called like a field, and that the workflow does not name as unused.
pub(super) fn unread_fields<'a>(
    job: &'a Job,
    columns: &[String],
    reading: &FileReading,
) -> Vec<UnreadField<'a>> {
    let said: Vec<String> = match &job.items.source {
        ItemSource::File { options, .. } => {
            options.unused.iter().map(|name| squeezed(name)).collect()
        }
        ItemSource::Job { .. }
        | ItemSource::Contracts
        | ItemSource::Days(_)
        | ItemSource::Window(_) => return Vec::new(),
    };
    let names = |index: usize| [squeezed(&columns[index]), squeezed(&reading.header[index])];
    unread(job, columns)
        .filter(|index| !names(*index).iter().any(|name| said.contains(name)))
        .filter_map(|column| {
            let field = field_called(&job.kind, &names(column))?;
            Some(UnreadField { column, field })
        })
        .collect()
}

fn unread(job: &Job, columns: &[String]) -> impl Iterator<Item = usize> {
    (0..columns.len()).filter(|index| !is_read(job, &columns[*index]))
}

/// Whether a job reads a column: in a value, the key, the order number or its condition, or to find
/// items by it.
fn is_read(job: &Job, column: &str) -> bool {
    let mut templates = job.with.values().chain(&job.key).chain(&job.order_number);
    let mut searchable = job.items.searchable.iter();
    let condition = job.items.condition.as_ref();
    templates.any(|template: &Template| template.reads_column(column))
        || condition
            .is_some_and(|condition: &Condition| condition.expression().reads_column(column))
        || searchable.any(|one| one.name == column)
}

/// The field of the account's gateway with one of these names: its own, or the heading of a
/// template in Chinese.
fn field_called<'a>(kind: &'a JobKind, names: &[String]) -> Option<&'a InputField> {
    let is_called = |field: &&InputField| {
        let label = chinese_labels::of(&field.name).map(|(label, _)| squeezed(label));
        names.contains(&squeezed(&field.name)) || label.is_some_and(|label| names.contains(&label))
    };
    let mut told = kind.fields.iter().filter(|field| field.is_told);
    told.find(is_called)
}

/// A name without case, width, and what stands between its words.
fn squeezed(name: &str) -> String {
    folded(name)
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '_' | '-'))
        .collect()
}

/// Whether a cell says what is sent anyway.
pub(super) fn says_the_same(field: &InputField, cell: &str, sent: &str) -> bool {
    let (cell, sent) = (trimmed(cell), trimmed(sent));
    match field.kind {
        FieldKind::Amount | FieldKind::Decimal => number(cell) == number(sent),
        FieldKind::Text { .. } => cell == sent,
        FieldKind::Choice(_) | FieldKind::Date | FieldKind::Currency => {
            folded(cell) == folded(sent)
        }
    }
}

/// A number without the zeros that say nothing.
fn number(text: &str) -> String {
    let text = plain_digits(text).unwrap_or_else(|| text.to_owned());
    match text.split_once('.') {
        Some((whole, decimals)) if decimals.bytes().all(|byte| byte.is_ascii_digit()) => {
            let decimals = decimals.trim_end_matches('0');
            let point = if decimals.is_empty() { "" } else { "." };
            format!("{whole}{point}{decimals}")
        }
        Some(_) | None => text,
    }
}
