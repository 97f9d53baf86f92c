//! Which columns a list of items has: the fields of the jobs' rows that are not personal, and the
//! facts of the replies. Both are found before the first row is written, by going over the items
//! once.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::table::{TableColumn, TableColumnKind};
use super::{ExportContext, PAGE, zone_of};
use crate::domain::item::State;
use crate::domain::time::Timestamp;
use crate::job_kinds::{FieldKind, InputField, JobKind, JobKinds};
use crate::ledger::{ItemFacts, ItemFilter, LedgerError};

/// The most columns of facts. What is beyond stands in the column for other facts.
const FACTS_MAX: usize = 200;

/// What stands before the name of a fact.
const FACT: &str = "result_";

/// What stands before the name of a field that is called like a column of payrun's own.
const FIELD: &str = "input_";

/// The columns of a list of items that differ from list to list.
#[derive(Debug)]
pub(super) struct ItemColumns {
    /// Fields of rows, in the order in which their kinds list them.
    pub fields: Vec<FieldColumn>,
    /// Facts, by name; whether each is an instant wherever it is.
    pub facts: BTreeMap<String, bool>,
    /// Whether rows may have facts without a column.
    pub other_facts: bool,
    /// On whose clock instants are shown.
    pub zone: Tz,
}

/// A field of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldColumn {
    /// Its name under `with:`.
    pub name: String,
    /// What it holds.
    pub kind: TableColumnKind,
}

impl ItemColumns {
    /// Of the items that are meant, `limit` at most behind `after`.
    pub async fn of(
        context: &ExportContext,
        filter: &ItemFilter,
        mut after: i64,
        mut left: u64,
    ) -> Result<Self, LedgerError> {
        let mut found = FoundColumns::default();
        while left > 0 {
            let wanted = super::page_of(left);
            let page = context.ledger.item_facts(filter, after, wanted).await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            left = left.saturating_sub(page.len() as u64);
            for item in &page {
                found.item(&context.job_kinds, item)?;
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        Ok(found.columns(zone_of(context)))
    }

    /// The columns of fields. One that is called like a column of payrun's own has another name.
    pub fn field_columns<'a>(
        &'a self,
        own: &'a [TableColumn],
    ) -> impl Iterator<Item = TableColumn> + 'a {
        self.fields.iter().map(|field| {
            let taken = own
                .iter()
                .any(|column| column.name == field.name || column.heading == field.name);
            let name = if taken {
                format!("{FIELD}{}", field.name)
            } else {
                field.name.clone()
            };
            TableColumn {
                heading: name.clone(),
                ..TableColumn::new(name, field.kind)
            }
        })
    }

    /// The columns of facts.
    pub fn fact_columns(&self) -> impl Iterator<Item = TableColumn> + '_ {
        self.facts.iter().map(|(name, is_instant)| {
            let kind = if *is_instant {
                TableColumnKind::Instant
            } else {
                TableColumnKind::Text
            };
            let name = format!("{FACT}{name}");
            TableColumn {
                heading: name.clone(),
                ..TableColumn::new(name, kind)
            }
        })
    }
}

/// Columns that items were found to have.
#[derive(Debug, Default)]
struct FoundColumns {
    /// By the name of a field: its column, and its place.
    fields: BTreeMap<String, (usize, TableColumnKind)>,
    facts: BTreeMap<String, bool>,
    other_facts: bool,
    zones: Vec<Tz>,
}

impl FoundColumns {
    fn item(&mut self, job_kinds: &JobKinds, item: &ItemFacts) -> Result<(), LedgerError> {
        let corrupt = |column| LedgerError::corrupt("items", item.id, column);
        let input: Map<String, Value> =
            serde_json::from_str(&item.input).map_err(|_| corrupt("input"))?;
        if let Some(kind) = job_kinds.by_name.get(&item.kind) {
            self.fields(kind, &input);
        }
        for (name, fact) in facts(item.result.as_deref()).ok_or_else(|| corrupt("result"))? {
            self.fact(name, &fact);
        }
        // What is open may have more facts by the time that it is written.
        self.other_facts |= item.state.is_open() || item.state == State::NeedsReview;
        let zone = item.timezone.as_deref().map(str::parse).transpose();
        let zone = zone.map_err(|_| LedgerError::corrupt("runs", item.run_id, "timezone"))?;
        if let Some(zone) = zone.filter(|zone| !self.zones.contains(zone)) {
            self.zones.push(zone);
        }
        Ok(())
    }

    fn fields(&mut self, kind: &JobKind, input: &Map<String, Value>) {
        for (name, _) in input {
            if self.fields.contains_key(name) {
                continue;
            }
            let known = kind.fields.iter().enumerate();
            let mut shown = known.filter(|(_, field)| field.name == *name && is_shown(field));
            if let Some((place, field)) = shown.next() {
                self.fields
                    .insert(name.clone(), (place, column_kind(&field.kind)));
            }
        }
    }

    fn fact(&mut self, name: String, fact: &Value) {
        let is_instant = fact.as_str().and_then(instant).is_some();
        if let Some(known) = self.facts.get_mut(&name) {
            *known &= is_instant;
        } else if self.facts.len() < FACTS_MAX {
            self.facts.insert(name, is_instant);
        } else {
            self.other_facts = true;
        }
    }

    /// `usual`: the time zone where the runs have several.
    fn columns(self, usual: Tz) -> ItemColumns {
        let zone = match self.zones.as_slice() {
            [only] => *only,
            _ => usual,
        };
        let mut fields: Vec<(usize, FieldColumn)> = self
            .fields
            .into_iter()
            .map(|(name, (place, kind))| (place, FieldColumn { name, kind }))
            .collect();
        fields.sort_by_key(|(place, _)| *place);
        ItemColumns {
            fields: fields.into_iter().map(|(_, field)| field).collect(),
            facts: self.facts,
            other_facts: self.other_facts,
            zone,
        }
    }
}

/// Whether a field has a column of its own: personal data has none, and the amount has payrun's.
pub(super) fn is_shown(field: &InputField) -> bool {
    !field.sensitive && !matches!(field.kind, FieldKind::Amount | FieldKind::Currency)
}

const fn column_kind(kind: &FieldKind) -> TableColumnKind {
    match kind {
        FieldKind::Date => TableColumnKind::Date,
        FieldKind::Decimal => TableColumnKind::Money,
        FieldKind::Text {
            alphabet: Some(_), ..
        } => TableColumnKind::Id,
        FieldKind::Text { alphabet: None, .. } | FieldKind::Choice(_) => TableColumnKind::Text,
        FieldKind::Amount | FieldKind::Currency => TableColumnKind::Money,
    }
}

/// An instant as RFC 3339 writes it.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let at = chrono::DateTime::parse_from_rfc3339(text).ok()?;
    Some(Timestamp::from_millis(at.timestamp_millis()))
}

/// The facts of a result, each with a name of its own: what lies deeper has the names on the way to
/// it. None if it is no JSON object.
pub(super) fn facts(result: Option<&str>) -> Option<Vec<(String, Value)>> {
    let mut flat = Vec::new();
    let Some(result) = result else {
        return Some(flat);
    };
    let known: Map<String, Value> = serde_json::from_str(result).ok()?;
    for (name, fact) in known {
        flatten(name, fact, &mut flat);
    }
    Some(flat)
}

fn flatten(name: String, fact: Value, flat: &mut Vec<(String, Value)>) {
    match fact {
        Value::Null => {}
        Value::Object(deeper) => {
            for (inner, fact) in deeper {
                flatten(format!("{name}_{inner}"), fact, flat);
            }
        }
        Value::Array(all) => {
            for (place, fact) in all.into_iter().enumerate() {
                flatten(format!("{name}_{}", place + 1), fact, flat);
            }
        }
        fact @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => flat.push((name, fact)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_deep_in_a_result_has_a_name_of_its_own() {
        let result = r#"{"a":{"b":1,"c":[true,"x"]},"d":null,"e":"2026-03-31T09:30:00+08:00"}"#;
        let names: Vec<String> = facts(Some(result))
            .unwrap()
            .iter()
            .map(|(name, fact)| format!("{name}={fact}"))
            .collect();
        let at = r#"e="2026-03-31T09:30:00+08:00""#;
        assert_eq!(names, ["a_b=1", "a_c_1=true", r#"a_c_2="x""#, at]);
        assert_eq!(facts(Some("[]")), None);
    }

    #[test]
    fn a_fact_is_an_instant_if_it_is_one_everywhere() {
        let mut found = FoundColumns::default();
        found.fact("at".to_owned(), &"2026-03-31T09:30:00+08:00".into());
        found.fact("day".to_owned(), &"2026-03-31T09:30:00+08:00".into());
        found.fact("day".to_owned(), &"2026-03-31".into());
        assert!(found.facts["at"]);
        assert!(!found.facts["day"]);
    }

    #[test]
    fn facts_have_so_many_columns_and_no_more() {
        let mut found = FoundColumns::default();
        (0..=FACTS_MAX).for_each(|n| found.fact(n.to_string(), &n.into()));
        assert_eq!(found.facts.len(), FACTS_MAX);
        assert!(found.other_facts);
    }
}
