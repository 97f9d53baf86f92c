//! Which columns a list of items has: the fields of the jobs' rows that are not personal, and the
//! facts of the replies. Both are found before the first row is written, by going over the items
//! once.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDateTime};
use chrono_tz::Tz;
use serde_json::{Map, Value};

use super::own_headings::OwnHeadings;
use super::table::{TableCell, TableColumn, TableColumnKind};
use super::{ColumnsWanted, ExportContext, PAGE, zone_of};
use crate::domain::difference::DifferenceReason;
use crate::domain::item::State;
use crate::domain::money::{Currency, parse_minor};
use crate::domain::time::Timestamp;
use crate::job_kinds::{FieldKind, InputField, JobKind, JobKinds, chinese_labels};
use crate::ledger::{ItemFacts, ItemFilter, LedgerError};
use crate::workflow::blank_file::Language;

/// The most columns of facts. What is beyond stands in the column for other facts.
const FACTS_MAX: usize = 200;

/// What stands before the name of a fact.
const FACT: &str = "result_";

/// What stands before the name of a field that is called like a column of payrun's own.
const FIELD: &str = "input_";

/// Facts by which payrun itself goes on; they say nothing of the payment.
const BOOKKEEPING: [&str; 7] = [
    "told_before",
    "unmapped_message",
    "number_exists",
    "filed_as",
    "contract_is",
    "sub_code",
    "event",
];

/// Facts of what moves or declares something that a clerk or an accountant asks about first: the
/// number at the customs. What else the gateway said is among all columns.
const FACTS_READ: [&str; 1] = ["verify_department_trade_id"];

/// What stands before the name of a fact that counts differences of one reason: `amount` counts those
/// in the amount, and is no money.
const DIFFERENCES: &str = "differences_in_";

/// The fact under which a reconciliation has its sums, by currency.
const SUMS: &str = "sums";

/// The columns of a list of items that differ from list to list.
#[derive(Debug)]
pub(super) struct ItemColumns {
    /// Fields of rows, in the order in which their kinds list them.
    pub fields: Vec<FieldColumn>,
    /// Facts, by name, with what each is wherever it is.
    pub facts: BTreeMap<String, TableColumnKind>,
    /// Whether rows may have facts without a column.
    pub other_facts: bool,
    /// Whether the items are of several jobs.
    pub several_jobs: bool,
    /// Whether the items are of several kinds.
    pub several_kinds: bool,
    /// Whether not everything went well.
    pub unsettled: bool,
    /// Whether rows were skipped, whose key other items have.
    pub skipped: bool,
    /// Whether items replace others: a declaration that was made again.
    pub replaced: bool,
    /// What people call the amount and its currency.
    pub money_headings: [Option<String>; 2],
    /// On whose clock instants are shown.
    pub zone: Tz,
}

/// A field of the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FieldColumn {
    /// Its name under `with:`.
    pub name: String,
    /// What people call it.
    pub heading: String,
    /// What it holds.
    pub kind: TableColumnKind,
}

impl ItemColumns {
    /// Of the items that are meant, `left` at most behind `after`.
    pub async fn of(
        context: &ExportContext,
        filter: &ItemFilter,
        (mut after, mut left): (i64, u64),
        wanted: ColumnsWanted,
    ) -> Result<Self, LedgerError> {
        let mut found = FoundColumns::default();
        while left > 0 {
            let size = super::page_of(left);
            let page = context.ledger.item_facts(filter, after, size).await?;
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
        let own = OwnHeadings::of(context, &found.jobs).await?;
        Ok(found.columns(zone_of(context), &own, wanted))
    }

    /// The columns of fields. One that is called like a column of payrun's own has another name.
    pub fn field_columns<'a>(
        &'a self,
        own: &'a [TableColumn],
    ) -> impl Iterator<Item = TableColumn> + 'a {
        let is_own = |name: &str| {
            let mut own = own.iter();
            own.any(|column| column.name == name || column.heading == name)
        };
        let is_twice = |heading: &str| {
            let same = self.fields.iter().filter(|field| field.heading == heading);
            same.count() > 1
        };
        self.fields.iter().map(move |field| {
            let name = if is_own(&field.name) {
                format!("{FIELD}{}", field.name)
            } else {
                field.name.clone()
            };
            let heading = if is_own(&field.heading) || is_twice(&field.heading) {
                name.clone()
            } else {
                field.heading.clone()
            };
            TableColumn {
                heading,
                ..TableColumn::new(name, field.kind)
            }
        })
    }

    /// The columns of facts.
    pub fn fact_columns(&self) -> impl Iterator<Item = TableColumn> + '_ {
        self.facts.iter().map(|(name, kind)| {
            let name = format!("{FACT}{name}");
            TableColumn {
                heading: name.clone(),
                ..TableColumn::new(name, *kind)
            }
        })
    }
}

/// A fact that items were found to have.
#[derive(Debug)]
struct FoundFact {
    /// What it is wherever it is; text where it differs.
    kind: TableColumnKind,
    /// Whether it lies deeper than in the reply itself.
    deep: bool,
    /// Whether it is of a job that moves or declares something, rather than tells of what was done.
    of_effect: bool,
}

/// Columns that items were found to have.
#[derive(Debug, Default)]
struct FoundColumns {
    /// By the name of a field: its column, its place, and whether all values so far are instants.
    fields: BTreeMap<String, (usize, TableColumnKind, bool)>,
    facts: BTreeMap<String, FoundFact>,
    other_facts: bool,
    zones: Vec<Tz>,
    jobs: BTreeSet<i64>,
    kinds: BTreeSet<String>,
    effect: bool,
    unsettled: bool,
    skipped: bool,
    replaced: bool,
}

impl FoundColumns {
    fn item(&mut self, job_kinds: &JobKinds, item: &ItemFacts) -> Result<(), LedgerError> {
        let corrupt = |column| LedgerError::corrupt("items", item.id, column);
        let input: Map<String, Value> =
            serde_json::from_str(&item.input).map_err(|_| corrupt("input"))?;
        let kind = job_kinds.by_name.get(&item.kind).map(|kind| &**kind);
        if let Some(kind) = kind {
            self.fields(kind, &input);
        }
        let of_effect = kind.is_none_or(|kind| kind.effect);
        for fact in facts(item.result.as_deref(), kind).ok_or_else(|| corrupt("result"))? {
            self.fact(&fact, of_effect);
        }
        self.jobs.insert(item.job_id);
        if !self.kinds.contains(&item.kind) {
            self.kinds.insert(item.kind.clone());
        }
        self.effect |= of_effect;
        self.unsettled |= !matches!(item.state, State::Succeeded | State::Planned);
        self.skipped |= item.state == State::Skipped;
        self.replaced |= item.has_related;
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
        for (name, value) in input {
            let is_instant = value.as_str().and_then(instant).is_some();
            if let Some((_, _, instants)) = self.fields.get_mut(name) {
                *instants &= is_instant;
                continue;
            }
            let known = kind.fields.iter().enumerate();
            let mut shown = known.filter(|(_, field)| field.name == *name && is_shown(field));
            if let Some((place, field)) = shown.next() {
                let column = (place, column_kind(&field.kind), is_instant);
                self.fields.insert(name.clone(), column);
            }
        }
    }

    fn fact(&mut self, fact: &ReplyFact, of_effect: bool) {
        let kind = fact.kind();
        if let Some(known) = self.facts.get_mut(&fact.name) {
            known.of_effect |= of_effect;
            if known.kind != kind {
                known.kind = TableColumnKind::Text;
            }
        } else if self.facts.len() < FACTS_MAX {
            let found = FoundFact {
                kind,
                deep: fact.deep,
                of_effect,
            };
            self.facts.insert(fact.name.clone(), found);
        } else {
            self.other_facts = true;
        }
    }

    /// `usual`: the time zone where the runs have several.
    fn columns(self, usual: Tz, own: &OwnHeadings, wanted: ColumnsWanted) -> ItemColumns {
        let zone = match self.zones.as_slice() {
            [only] => *only,
            _ => usual,
        };
        let (of_effect, several_jobs) = (self.effect, self.jobs.len() > 1);
        let several_kinds = self.kinds.len() > 1;
        // What a row of one kind has, rows of others have not: their keys and numbers say what they are.
        let is_asked_first =
            |name: &String| !several_kinds && own.is_given(name) && own.is_column(name);
        let field = |(name, (place, kind, instants)): (String, (usize, TableColumnKind, bool))| {
            let is_text = matches!(kind, TableColumnKind::Text | TableColumnKind::Id);
            let kind = if is_text && instants {
                TableColumnKind::Instant
            } else {
                kind
            };
            let heading = heading_of(&name, own, wanted.language).unwrap_or_else(|| name.clone());
            let is_wanted = wanted.all || is_asked_first(&name);
            let column = FieldColumn {
                name,
                heading,
                kind,
            };
            is_wanted.then_some((place, column))
        };
        let mut fields: Vec<(usize, FieldColumn)> =
            self.fields.into_iter().filter_map(field).collect();
        fields.sort_by_key(|(place, _)| *place);
        let names: Vec<&String> = fields.iter().map(|(_, field)| &field.name).collect();
        let is_first_asked = |name: &String, fact: &FoundFact| {
            let is_report = of_effect && !fact.of_effect;
            let deep = fact.deep && (of_effect || !name.starts_with(SUMS));
            let is_read = !of_effect || (!several_kinds && FACTS_READ.contains(&name.as_str()));
            let is_hidden = BOOKKEEPING.contains(&name.as_str()) || names.contains(&name);
            is_read && !is_report && !deep && !is_hidden
        };
        let facts = self.facts.iter();
        let facts: BTreeMap<String, TableColumnKind> = facts
            .filter(|(name, fact)| wanted.all || is_first_asked(name, fact))
            .map(|(name, fact)| (name.clone(), fact.kind))
            .collect();
        ItemColumns {
            money_headings: ["amount", "currency"]
                .map(|name| heading_of(name, own, wanted.language)),
            fields: fields.into_iter().map(|(_, field)| field).collect(),
            other_facts: wanted.all && self.other_facts,
            facts,
            several_jobs,
            several_kinds,
            unsettled: self.unsettled,
            skipped: self.skipped,
            replaced: self.replaced,
            zone,
        }
    }
}

/// Whether a fact says something of the payment, to people.
pub(super) fn is_known_to_people(fact: &str) -> bool {
    !BOOKKEEPING.contains(&fact)
}

/// What people call a field: as their file does, or in their language.
pub(super) fn heading_of(name: &str, own: &OwnHeadings, language: Language) -> Option<String> {
    let of_language = || match language {
        Language::En => None,
        Language::Zh => chinese_labels::of(name).map(|(label, _)| label),
    };
    let in_file = own.of_field(name).filter(|heading| *heading != name);
    in_file.or_else(of_language).map(str::to_owned)
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

/// An instant, as gateways write it: with its distance from UTC.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    // Most texts are none: they cost no parsing.
    text.bytes().next().filter(u8::is_ascii_digit)?;
    let at = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_from_str(text, "%Y%m%d%H%M%S%z"))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%z"));
    Some(Timestamp::from_millis(at.ok()?.timestamp_millis()))
}

/// A time without its distance from UTC, in a fact that is called a time.
fn clock_time(name: &str, text: &str) -> Option<NaiveDateTime> {
    let is_time = name.ends_with("time") || name.ends_with("_at");
    let formats = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y%m%d%H%M%S"];
    let read = |format: &&str| NaiveDateTime::parse_from_str(text, format).ok();
    formats.iter().filter(|_| is_time).find_map(read)
}

/// A fact of a result.
#[derive(Debug)]
pub(super) struct ReplyFact {
    /// A name of its own: what lies deeper has the names on the way to it.
    pub name: String,
    /// What it says.
    pub value: Value,
    /// Whether it lies deeper.
    deep: bool,
    /// The currency under whose code it lies.
    currency: Option<Currency>,
}

impl ReplyFact {
    /// What it is.
    pub fn kind(&self) -> TableColumnKind {
        match self.cell() {
            TableCell::Count(_) => TableColumnKind::Count,
            TableCell::Money(..) => TableColumnKind::Money,
            TableCell::Instant(_) => TableColumnKind::Instant,
            TableCell::Clock(_) => TableColumnKind::Clock,
            TableCell::Empty | TableCell::Text(_) | TableCell::Date(_) | TableCell::Name(..) => {
                TableColumnKind::Text
            }
        }
    }

    /// The same as what a cell holds.
    pub fn cell(&self) -> TableCell {
        let Some(text) = self.value.as_str() else {
            let count = self.value.as_i64().map(TableCell::Count);
            return count.unwrap_or_else(|| TableCell::text(self.plain()));
        };
        let money = self.currency.and_then(|currency| {
            let (sign, size) = match text.strip_prefix('-') {
                Some(size) => (-1, size),
                None => (1, text),
            };
            let minor = i128::from(parse_minor(size, currency).ok()?);
            Some(TableCell::Money(sign * minor, currency))
        });
        let at = || instant(text).map(TableCell::Instant);
        let on = || clock_time(&self.name, text).map(TableCell::Clock);
        money
            .or_else(at)
            .or_else(on)
            .unwrap_or_else(|| TableCell::text(text))
    }

    /// As text.
    pub fn plain(&self) -> String {
        let text = self.value.as_str();
        text.map_or_else(|| self.value.to_string(), str::to_owned)
    }
}

/// The facts of a result of a job of this kind. None if it is no JSON object.
pub(super) fn facts(result: Option<&str>, kind: Option<&JobKind>) -> Option<Vec<ReplyFact>> {
    let mut flat = Vec::new();
    let Some(result) = result else {
        return Some(flat);
    };
    let counts_differences = kind.is_some_and(|kind| kind.local);
    let known: Map<String, Value> = serde_json::from_str(result).ok()?;
    for (name, fact) in known {
        let name = if counts_differences && DifferenceReason::parse(&name).is_some() {
            format!("{DIFFERENCES}{name}")
        } else {
            name
        };
        flatten((name, false, None), fact, &mut flat);
    }
    Some(flat)
}

fn flatten(
    (name, deep, currency): (String, bool, Option<Currency>),
    fact: Value,
    flat: &mut Vec<ReplyFact>,
) {
    match fact {
        Value::Null => {}
        Value::Object(deeper) => {
            for (inner, fact) in deeper {
                let currency = Currency::parse(&inner).ok().or(currency);
                flatten((format!("{name}_{inner}"), true, currency), fact, flat);
            }
        }
        Value::Array(all) => {
            for (place, fact) in all.into_iter().enumerate() {
                flatten(
                    (format!("{name}_{}", place + 1), true, currency),
                    fact,
                    flat,
                );
            }
        }
        value @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => flat.push(ReplyFact {
            name,
            value,
            deep,
            currency,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(result: &str) -> Vec<(String, TableCell)> {
        let all = facts(Some(result), None).unwrap();
        all.iter()
            .map(|fact| (fact.name.clone(), fact.cell()))
            .collect()
    }

    fn fact(name: &str, value: Value) -> ReplyFact {
        ReplyFact {
            name: name.to_owned(),
            value,
            deep: false,
            currency: None,
        }
    }

    #[test]
    fn what_lies_deep_in_a_result_has_a_name_of_its_own() {
        let names: Vec<String> = told(r#"{"a":{"b":1,"c":[true,"x"]},"d":null,"e":"f"}"#)
            .into_iter()
            .map(|(name, cell)| format!("{name}={}", cell.plain(chrono_tz::UTC)))
            .collect();
        assert_eq!(names, ["a_b=1", "a_c_1=true", "a_c_2=x", "e=f"]);
        assert!(facts(Some("[]"), None).is_none());
    }

    #[test]
    fn sums_are_money_and_times_are_dates_however_a_gateway_writes_them() {
        let hkd = Currency::parse("HKD").unwrap();
        assert_eq!(
            told(r#"{"sums":{"HKD":{"net":{"count":2,"sum":"-12.30"}}}}"#),
            [
                ("sums_HKD_net_count".to_owned(), TableCell::Count(2)),
                ("sums_HKD_net_sum".to_owned(), TableCell::Money(-1_230, hkd)),
            ]
        );
        for (time, at) in [
            ("2026-03-31T09:30:00+08:00", "2026-03-31T01:30:00Z"),
            ("20260331093000+0800", "2026-03-31T01:30:00Z"),
        ] {
            let cell = fact("trans_time", time.into()).cell();
            assert!(
                matches!(cell, TableCell::Instant(found) if found.to_string() == at),
                "{time}: {cell:?}"
            );
        }
        let on = fact("finish_time", "2026-03-31 09:30:00".into());
        assert_eq!(on.kind(), TableColumnKind::Clock);
        assert_eq!(on.cell().plain(chrono_tz::UTC), "2026-03-31 09:30:00");
        // A number of fourteen digits is no time for that.
        let number = fact("receipt", "20260331093000".into());
        assert_eq!(number.kind(), TableColumnKind::Text);
    }

    #[test]
    fn a_count_of_differences_is_not_called_like_money() {
        let kinds = JobKinds::built_in();
        let kind = kinds.by_name.get("reconcile").map(|kind| &**kind);
        let all = facts(Some(r#"{"amount":1,"currency":0,"fee":2,"lines":3}"#), kind).unwrap();
        let names: Vec<&str> = all.iter().map(|fact| fact.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "differences_in_amount",
                "differences_in_currency",
                "differences_in_fee",
                "lines"
            ]
        );
    }

    #[test]
    fn a_fact_is_an_instant_if_it_is_one_everywhere() {
        let mut found = FoundColumns::default();
        found.fact(&fact("at", "2026-03-31T09:30:00+08:00".into()), true);
        found.fact(&fact("day", "2026-03-31T09:30:00+08:00".into()), true);
        found.fact(&fact("day", "2026-03-31".into()), true);
        assert_eq!(found.facts["at"].kind, TableColumnKind::Instant);
        assert_eq!(found.facts["day"].kind, TableColumnKind::Text);
    }

    #[test]
    fn facts_have_so_many_columns_and_no_more() {
        let mut found = FoundColumns::default();
        (0..=FACTS_MAX).for_each(|n| found.fact(&fact(&n.to_string(), n.into()), true));
        assert_eq!(found.facts.len(), FACTS_MAX);
        assert!(found.other_facts);
    }
}
