//! The columns of an item file before it has rows, for people to fill in: of a job kind, by its
//! fields, or of a job, as its workflow names them.

use super::expression::VariableName;
use super::template::TemplatePart;
use super::{ItemSource, Job, Template};
use crate::job_kinds::{FieldKind, InputField, JobKind, chinese_labels, customs_names};

/// In which language columns are named and explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    En,
    /// Chinese.
    Zh,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlankColumn {
    /// How the workflow, or the job kind, names it.
    pub column: String,
    /// How it is called in the file.
    pub name: String,
    /// Whether a row may leave it empty.
    pub required: Requirement,
    /// What it holds.
    pub holds: ColumnValues,
    /// What it means, for people.
    pub doc: String,
}

/// Whether rows must fill a column in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// Every row.
    Always,
    /// Every row fills in exactly one of these columns, of which it is one.
    OneOf(Vec<String>),
    /// A row that fills it in fills these columns in too, and the other way round.
    With(Vec<String>),
    /// No row must.
    Never,
}

/// What the values of a column are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ColumnValues {
    /// Text: also every number of an order, which no spreadsheet may shorten.
    Text,
    /// A day.
    Date,
    /// Money in main units.
    Amount,
    /// One of these words.
    Choice(Vec<String>),
}

/// The fields of a job kind.
pub fn of_kind(kind: &JobKind, language: Language) -> Vec<BlankColumn> {
    let fields = kind.fields.iter().filter(|field| field.refused.is_none());
    fields
        .map(|field| BlankColumn {
            column: field.name.clone(),
            name: label_of(&field.name, language),
            required: requirement(kind, field, |name| Some(label_of(name, language))),
            holds: holds(field),
            doc: doc(field, language),
        })
        .collect()
}

/// The columns of a job's file; none where its items do not come from a file.
pub fn of_job(job: &Job, language: Language) -> Option<Vec<BlankColumn>> {
    let ItemSource::File { options, .. } = &job.items.source else {
        return None;
    };
    // The fields in their order, and then what only the key or the condition uses.
    let mut columns: Vec<BlankColumn> = Vec::new();
    for field in &job.kind.fields {
        let template = job.with.get(&field.name);
        for column in template.into_iter().flat_map(Template::item_columns) {
            if columns.iter().any(|known| known.column == column) {
                continue;
            }
            let is_alone = template.is_some_and(|template| is_column(template, column));
            columns.push(BlankColumn {
                column: column.to_owned(),
                name: name(job, column, language),
                required: if is_in_key(job, column) {
                    Requirement::Always
                } else if is_alone {
                    requirement_of_job(job, field, language)
                } else {
                    Requirement::Never
                },
                holds: if is_alone {
                    holds(field)
                } else {
                    ColumnValues::Text
                },
                doc: if is_alone {
                    doc(field, language)
                } else {
                    part_of(field, language)
                },
            });
        }
    }
    for column in &options.used {
        if !columns.iter().any(|known| known.column == *column) {
            columns.push(BlankColumn {
                column: column.clone(),
                name: name(job, column, language),
                required: if is_in_key(job, column) {
                    Requirement::Always
                } else {
                    Requirement::Never
                },
                holds: ColumnValues::Text,
                doc: match language {
                    Language::En => "Used by the workflow's key or where.".to_owned(),
                    Language::Zh => "工作流的 key 或 where 使用此列。".to_owned(),
                },
            });
        }
    }
    Some(columns)
}

/// How a field is called in a template of its kind.
fn label_of(field: &str, language: Language) -> String {
    let label = chinese_labels::of(field).map(|(label, _)| label);
    match language {
        Language::En => field.to_owned(),
        Language::Zh => label.unwrap_or(field).to_owned(),
    }
}

/// Whether a field must be filled in. `called`: how the column of a field is called; none of a field
/// that no column fills.
fn requirement(
    kind: &JobKind,
    field: &InputField,
    called: impl Fn(&str) -> Option<String>,
) -> Requirement {
    let has = |group: &&Vec<String>| group.contains(&field.name);
    if field.required {
        return Requirement::Always;
    }
    if let Some(group) = kind.one_of.iter().find(has) {
        let names: Vec<String> = group.iter().filter_map(|name| called(name)).collect();
        return match names.as_slice() {
            [_] => Requirement::Always,
            [] | [..] => Requirement::OneOf(names),
        };
    }
    if field.default.is_some() {
        return Requirement::Never;
    }
    let money = [kind.amount_field(), kind.currency_field()];
    let money: Vec<String> = money
        .into_iter()
        .flatten()
        .filter(|field| field.default.is_none())
        .map(|field| field.name.clone())
        .collect();
    let groups = kind.all_or_none.iter().chain(std::iter::once(&money));
    let others = groups
        .filter(has)
        .flatten()
        .filter(|name| **name != field.name);
    let mut names: Vec<String> = others.filter_map(|name| called(name)).collect();
    names.dedup();
    match names.as_slice() {
        [] => Requirement::Never,
        [..] => Requirement::With(names),
    }
}

/// The same in a job, where a field may be filled by a column of another name, or by none.
fn requirement_of_job(job: &Job, field: &InputField, language: Language) -> Requirement {
    requirement(&job.kind, field, |name| {
        let template = job.with.get(name)?;
        let columns = template.item_columns();
        let mut columns = columns.into_iter();
        let column = columns
            .next()
            .filter(|column| is_column(template, column))?;
        Some(self::name(job, column, language))
    })
}

fn is_in_key(job: &Job, column: &str) -> bool {
    let mut key = job.key.iter();
    key.any(|key| key.item_columns().contains(column))
}

/// Whether a template is a column as it stands, and nothing else.
fn is_column(template: &Template, column: &str) -> bool {
    matches!(template.parts(), [TemplatePart::Name(VariableName::Item(name))] if name == column)
}

/// How a column is called in the file: in Chinese by the name that the workflow gives, if there is
/// one.
fn name(job: &Job, column: &str, language: Language) -> String {
    let ItemSource::File { options, .. } = &job.items.source else {
        return column.to_owned();
    };
    let is_chinese = |name: &&String| name.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
    let chinese = options
        .aliases
        .iter()
        .filter(|alias| alias.column == column)
        .flat_map(|alias| &alias.names)
        .find(is_chinese);
    match (language, chinese) {
        (Language::Zh, Some(name)) => name.clone(),
        (Language::Zh, None) | (Language::En, _) => column.to_owned(),
    }
}

fn holds(field: &InputField) -> ColumnValues {
    match &field.kind {
        FieldKind::Text { .. } | FieldKind::Currency => ColumnValues::Text,
        FieldKind::Choice(words) => ColumnValues::Choice(words.clone()),
        FieldKind::Date => ColumnValues::Date,
        FieldKind::Decimal | FieldKind::Amount => ColumnValues::Amount,
    }
}

fn doc(field: &InputField, language: Language) -> String {
    let doc = match (language, chinese_labels::of(&field.name)) {
        (Language::Zh, Some((_, doc))) => doc,
        (Language::Zh, None) | (Language::En, _) => &field.doc,
    };
    match customs_names::explained(field) {
        Some(codes) => format!("{doc} {codes}"),
        None => doc.to_owned(),
    }
}

fn part_of(field: &InputField, language: Language) -> String {
    match (language, chinese_labels::of(&field.name)) {
        (Language::Zh, Some((label, _))) => format!("“{label}”的一部分。"),
        (Language::Zh, None) | (Language::En, _) => format!("Part of {}.", field.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_kinds::JobKinds;

    #[test]
    fn the_template_of_every_kind_says_what_must_be_given() {
        for kind in JobKinds::built_in().by_name.values() {
            let columns = of_kind(kind, Language::Zh);
            let is_needed = |column: &BlankColumn| {
                matches!(column.required, Requirement::Always | Requirement::OneOf(_))
            };
            assert!(columns.iter().any(is_needed), "{}", kind.name);
        }
    }
}
