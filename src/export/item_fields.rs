//! One item for a page: the fields of its row as its file calls them, and the facts of the replies.
//! What is personal is named and not shown.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ExportContext;
use super::item_columns::{facts, heading_of, is_known_to_people, is_shown};
use super::own_headings::OwnHeadings;
use crate::job_kinds::{FieldKind, JobKind};
use crate::ledger::{ItemRow, LedgerError};
use crate::workflow::blank_file::Language;

/// A field of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowField {
    /// What the person's file calls it, or payrun.
    pub heading: String,
    /// What it says; none where it is personal.
    pub text: Option<String>,
}

/// The fields of an item's row, in the order in which its kind lists them, without its amount.
///
/// # Errors
/// Whatever the ledger says.
pub async fn row_fields(
    context: &ExportContext,
    item: &ItemRow,
    kind: Option<&JobKind>,
    language: Language,
) -> Result<Vec<RowField>, LedgerError> {
    let Some(kind) = kind else {
        return Ok(Vec::new());
    };
    let own = OwnHeadings::of(context, &BTreeSet::from([item.job_id])).await?;
    let input = item.fields()?;
    let fields = kind.fields.iter().filter_map(|field| {
        let value = input.get(&field.name).filter(|value| !value.is_null())?;
        let is_money = matches!(field.kind, FieldKind::Amount | FieldKind::Currency);
        if is_money && !field.sensitive {
            return None;
        }
        let heading = heading_of(&field.name, &own, language);
        Some(RowField {
            heading: heading.unwrap_or_else(|| field.name.clone()),
            text: is_shown(field).then(|| plain(value)),
        })
    });
    Ok(fields.collect())
}

fn plain(value: &Value) -> String {
    let text = value.as_str();
    text.map_or_else(|| value.to_string(), str::to_owned)
}

/// The facts of an item's replies, by name, without those by which payrun itself goes on.
///
/// # Errors
/// If the result of the item cannot be read.
pub fn reply_facts(
    item: &ItemRow,
    kind: Option<&JobKind>,
) -> Result<Vec<(String, String)>, LedgerError> {
    let all = facts(item.result.as_deref(), kind)
        .ok_or_else(|| LedgerError::corrupt("items", item.id, "result"))?;
    let known = all
        .into_iter()
        .filter(|fact| is_known_to_people(&fact.name));
    Ok(known
        .map(|fact| (fact.name.clone(), fact.plain()))
        .collect())
}
