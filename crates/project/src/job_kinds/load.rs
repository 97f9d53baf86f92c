//! Job kinds from YAML: the built-in ones, and those of a folder of the user's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use payrun_domain::policy::{Policy, QueryPolicy, Retry};
use payrun_yaml as yaml;
use payrun_yaml::diagnostics::{Diagnostic, Diagnostics, SourceText};
use payrun_yaml::fields::{ValueShape, check, duration_of, integer_of, is_true, text_of};
use payrun_yaml::node::{MappingEntry, Position, YamlNode, parse};
use payrun_yaml::scalars;

use super::outcomes::{OutcomeTable, read as read_outcomes};
use super::{
    Alphabet, FieldExpansion, FieldKind, FieldRule, IdentityCard, InputField, JobKind, JobKinds,
    NotAbove, NotBefore, NotOlderThan, Operations, PayerCheck, PaymentFields, PaymentLookup,
    ReplyStorage, StatementRole, WholeOrParts, spec,
};

/// The job kinds that are compiled in: file name and text.
const BUILT_IN: [(&str, &str); 13] = [
    (
        "jobs/cancel.yaml",
        include_str!("../../../../jobs/cancel.yaml"),
    ),
    (
        "jobs/declare.yaml",
        include_str!("../../../../jobs/declare.yaml"),
    ),
    (
        "jobs/deduct.yaml",
        include_str!("../../../../jobs/deduct.yaml"),
    ),
    (
        "jobs/exchange-rate.yaml",
        include_str!("../../../../jobs/exchange-rate.yaml"),
    ),
    (
        "jobs/identity.yaml",
        include_str!("../../../../jobs/identity.yaml"),
    ),
    ("jobs/pay.yaml", include_str!("../../../../jobs/pay.yaml")),
    (
        "jobs/query.yaml",
        include_str!("../../../../jobs/query.yaml"),
    ),
    (
        "jobs/reconcile.yaml",
        include_str!("../../../../jobs/reconcile.yaml"),
    ),
    (
        "jobs/redeclare.yaml",
        include_str!("../../../../jobs/redeclare.yaml"),
    ),
    (
        "jobs/refund.yaml",
        include_str!("../../../../jobs/refund.yaml"),
    ),
    (
        "jobs/settlement.yaml",
        include_str!("../../../../jobs/settlement.yaml"),
    ),
    (
        "jobs/statement.yaml",
        include_str!("../../../../jobs/statement.yaml"),
    ),
    (
        "jobs/terminate.yaml",
        include_str!("../../../../jobs/terminate.yaml"),
    ),
];

/// The most files of a folder that are read.
const FILES_MAX: usize = 200;

impl JobKinds {
    /// Whether jobs of a kind move money or declare it, rather than ask or tell of what was done. Of a
    /// kind that is no longer known it is taken for granted.
    pub fn moves_money(&self, kind: &str) -> bool {
        self.by_name.get(kind).is_none_or(|kind| kind.effect)
    }

    /// The job kinds that are compiled in.
    ///
    /// # Panics
    /// If a compiled-in file is wrong, which a test rules out.
    pub fn built_in() -> Self {
        let mut kinds = BTreeMap::new();
        for (file, text) in BUILT_IN {
            let source = SourceText::new(file, text.to_owned(), false);
            match read_kind(&source) {
                Ok(kind) => kinds.insert(kind.name.clone(), Arc::new(kind)),
                Err(found) => panic!("a compiled-in job kind is wrong:\n{found}"),
            };
        }
        Self { by_name: kinds }
    }

    /// The built-in job kinds and those of a folder, which replace built-in ones of the same name.
    ///
    /// # Errors
    /// Everything that is wrong with the folder's files.
    pub fn with_overrides(folder: &Path) -> Result<Self, Diagnostics> {
        let mut job_kinds = Self::built_in();
        let mut found = Diagnostics::default();
        let mut given = BTreeMap::new();
        for path in files_of(folder)? {
            match yaml::read(&path, false).and_then(|source| read_kind(&source)) {
                Err(wrong) => found.extend(wrong),
                Ok(kind) => {
                    if let Some(other) = given.insert(kind.name.clone(), path.clone()) {
                        let message = format!(
                            "the job kind \"{}\" is also in {}",
                            kind.name,
                            other.display()
                        );
                        found.push(Diagnostic::bare(
                            &path.display().to_string(),
                            Position { line: 1, column: 1 },
                            message,
                        ));
                    }
                    job_kinds.by_name.insert(kind.name.clone(), Arc::new(kind));
                }
            }
        }
        found.or_value(Some(job_kinds))
    }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, Diagnostics> {
    let refuse = |message: String| {
        let diagnostic = Diagnostic::bare(
            &folder.display().to_string(),
            Position { line: 1, column: 1 },
            message,
        );
        Diagnostics::from(diagnostic.help("it is the folder that payrun.yaml names under jobs:"))
    };
    let entries = std::fs::read_dir(folder)
        .map_err(|error| refuse(format!("the folder cannot be read: {error}")))?;
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_yaml = |path: &PathBuf| {
        path.extension()
            .is_some_and(|ext| ext == "yaml" || ext == "yml")
    };
    let mut paths: Vec<PathBuf> = paths.filter(is_yaml).take(FILES_MAX + 1).collect();
    if paths.len() > FILES_MAX {
        return Err(refuse(format!(
            "the folder has more than {FILES_MAX} job kinds"
        )));
    }
    paths.sort();
    Ok(paths)
}

/// Reads a job kind's file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read_kind(source: &SourceText) -> Result<JobKind, Diagnostics> {
    let root = parse(source)?;
    let mut found = Diagnostics::default();
    check(
        &root,
        &ValueShape::Fields(&spec::JOB_KIND),
        source,
        &mut found,
    );
    if !found.is_empty() {
        return Err(found);
    }
    let effect = is_true(&root, "effect");
    let fields: Vec<InputField> = entries(&root, "fields")
        .iter()
        .map(|entry| read_field(entry, source, &mut found))
        .collect();
    check_money(&root, &fields, source, &mut found);
    check_names(&root, &fields, source, &mut found);
    let gateways = entries(&root, "gateways")
        .iter()
        .map(|entry| {
            (
                entry.key.clone(),
                read_operations(entry, effect, source, &mut found),
            )
        })
        .collect();
    let text = |name| text_of(&root, name).map(str::to_owned);
    let policy = root.get("policy").map_or_else(
        || default_policy().clone(),
        |node| read_policy(node, &default_policy()),
    );
    let kind = JobKind {
        name: text("name").unwrap_or_default(),
        description: text("description").unwrap_or_default(),
        effect,
        fields,
        one_at_a_time: text("one_at_a_time"),
        amount_is_sum_of: root.get("amount_is_sum_of").map_or_else(Vec::new, texts),
        redo_with: text("redo_with"),
        identity_card: root.get("identity_card").map(|node| IdentityCard {
            number: text_of(node, "number").unwrap_or_default().to_owned(),
            document: text_of(node, "document").map(str::to_owned),
        }),
        not_above: root
            .get("not_above")
            .map_or(&[][..], YamlNode::list)
            .iter()
            .map(read_not_above)
            .collect(),
        expand: root.get("expand").map(read_expand),
        whole_or_parts: root.get("whole_or_parts").map(|node| WholeOrParts {
            of: node.get("of").map_or_else(Vec::new, texts),
            part: text_of(node, "part").unwrap_or_default().to_owned(),
        }),
        payment_names: root.get("payment_names").map(|node| PaymentFields {
            ours: text_of(node, "ours").unwrap_or_default().to_owned(),
            theirs: text_of(node, "theirs").unwrap_or_default().to_owned(),
        }),
        not_older_than: root.get("not_older_than").map(read_not_older_than),
        local: is_true(&root, "local"),
        approval: is_true(&root, "approval"),
        in_statement: match text_of(&root, "in_statement") {
            Some("payment") => Some(StatementRole::Payment),
            Some("refund") => Some(StatementRole::Refund),
            Some("reversal") => Some(StatementRole::Reversal),
            Some(_) | None => None,
        },
        one_of: groups(&root, "one_of"),
        all_or_none: groups(&root, "all_or_none"),
        key: root.get("key").map_or_else(Vec::new, texts),
        order_number: text("order_number"),
        gateways,
        rules: Vec::new(),
        policy,
    };
    found.or_value(Some(kind))
}

fn entries<'a>(node: &'a YamlNode, name: &str) -> &'a [MappingEntry] {
    node.get(name).map_or(&[], YamlNode::entries)
}

fn texts(node: &YamlNode) -> Vec<String> {
    node.list()
        .iter()
        .filter_map(|node| node.text().map(str::to_owned))
        .collect()
}

fn groups(root: &YamlNode, name: &str) -> Vec<Vec<String>> {
    root.get(name)
        .map_or_else(Vec::new, |node| node.list().iter().map(texts).collect())
}

fn read_expand(node: &YamlNode) -> FieldExpansion {
    FieldExpansion {
        field: text_of(node, "field").unwrap_or_default().to_owned(),
        values: entries(node, "values")
            .iter()
            .map(|entry| (entry.key.clone(), texts(&entry.value)))
            .collect(),
    }
}

fn read_not_above(node: &YamlNode) -> NotAbove {
    let text = |name| text_of(node, name).unwrap_or_default().to_owned();
    NotAbove {
        field: text("field"),
        most: text("most"),
        remedy: text("remedy"),
    }
}

fn read_not_older_than(node: &YamlNode) -> NotOlderThan {
    NotOlderThan {
        field: text_of(node, "field").unwrap_or_default().to_owned(),
        age: duration_of(node, "age").unwrap_or_default(),
    }
}

fn read_field(entry: &MappingEntry, source: &SourceText, found: &mut Diagnostics) -> InputField {
    let node = &entry.value;
    let size = |name| integer_of(node, name).and_then(|size| usize::try_from(size).ok());
    let kind = match text_of(node, "type") {
        Some("amount") => FieldKind::Amount,
        Some("currency") => FieldKind::Currency,
        Some("decimal") => FieldKind::Decimal,
        Some("date") => FieldKind::Date,
        Some("choice") => FieldKind::Choice(node.get("values").map_or_else(Vec::new, texts)),
        Some(_) | None => {
            let (min, max) = (size("min").unwrap_or(1), size("max"));
            if max.is_none_or(|max| max < min) {
                found.push(source.diagnostic(
                    node.at,
                    "a text field needs max, and max must not be below min",
                ));
            }
            FieldKind::Text {
                min,
                max: max.unwrap_or(min),
                alphabet: text_of(node, "alphabet").map(alphabet),
                utf8mb3: false,
            }
        }
    };
    InputField {
        name: entry.key.clone(),
        kind,
        required: is_true(node, "required"),
        sensitive: is_true(node, "sensitive"),
        identity: is_true(node, "identity"),
        gateways: node.get("gateways").map_or_else(Vec::new, texts),
        is_told: true,
        default: text_of(node, "default").map(str::to_owned),
        currencies: node
            .get("values")
            .filter(|_| text_of(node, "type") == Some("currency"))
            .map_or_else(Vec::new, texts),
        refused: None,
        max_bytes: None,
        in_statement: false,
        doc: text_of(node, "doc").unwrap_or_default().to_owned(),
    }
}

fn alphabet(word: &str) -> Alphabet {
    match word {
        "digits" => Alphabet::Digits,
        "order_number" => Alphabet::OrderNumber,
        "name" => Alphabet::Name,
        _ => Alphabet::Ascii,
    }
}

fn check_money(
    root: &YamlNode,
    fields: &[InputField],
    source: &SourceText,
    found: &mut Diagnostics,
) {
    let count = |kind: &FieldKind| fields.iter().filter(|field| field.kind == *kind).count();
    let (amounts, currencies) = (count(&FieldKind::Amount), count(&FieldKind::Currency));
    if amounts > 1 || amounts != currencies {
        let at = root.get("fields").map_or(root.at, |node| node.at);
        found.push(source.diagnostic(
            at,
            "a job kind has one field of type amount and one of type currency, or neither",
        ));
    }
}

/// Fields that are named elsewhere in the file must exist.
fn check_names(
    root: &YamlNode,
    fields: &[InputField],
    source: &SourceText,
    found: &mut Diagnostics,
) {
    let single = ["one_at_a_time", "order_number"]
        .into_iter()
        .filter_map(|name| root.get(name));
    let keys = root.get("key").into_iter().flat_map(YamlNode::list);
    let groups = ["one_of", "all_or_none"]
        .into_iter()
        .filter_map(|name| root.get(name))
        .flat_map(YamlNode::list)
        .flat_map(YamlNode::list);
    let parts = root
        .get("amount_is_sum_of")
        .into_iter()
        .flat_map(YamlNode::list);
    let expanded = root.get("expand").and_then(|node| node.get("field"));
    let split = root.get("whole_or_parts");
    let wholes = split
        .and_then(|node| node.get("of"))
        .into_iter()
        .flat_map(YamlNode::list);
    let part = split.and_then(|node| node.get("part"));
    let names = root.get("payment_names");
    let named = ["ours", "theirs"]
        .into_iter()
        .filter_map(|side| names?.get(side));
    for node in wholes.clone().chain(part).chain(named.clone()) {
        let name = node.text().unwrap_or_default();
        if fields
            .iter()
            .any(|field| field.name == name && field.sensitive)
        {
            let message = format!("{name} is personal data, and is kept with the item");
            found.push(source.diagnostic(node.at, message));
        }
    }
    let gateways = || entries(root, "gateways").iter().map(|entry| &entry.value);
    let named_by = gateways()
        .filter_map(|gateway| gateway.get("named_by"))
        .flat_map(one_or_more);
    let given = gateways().filter_map(|gateway| gateway.get("lookup")?.get("given"));
    let checked = gateways().filter_map(|gateway| gateway.get("payer_check")?.get("given"));
    let dated = root
        .get("not_older_than")
        .and_then(|node| node.get("field"));
    let required = gateways()
        .filter_map(|gateway| gateway.get("requires"))
        .flat_map(YamlNode::list);
    let stating = gateways()
        .filter_map(|gateway| gateway.get("statement_texts"))
        .flat_map(YamlNode::list);
    let compared = root.get("not_above").map_or(&[][..], YamlNode::list).iter();
    let compared = compared
        .flat_map(|node| [node.get("field"), node.get("most")])
        .flatten();
    check_rules(root, fields, source, found);
    let mut refuse = |node: &YamlNode, name: &str| {
        let names = fields.iter().map(|field| field.name.as_str());
        found.push(
            source
                .diagnostic(node.at, format!("there is no such field \"{name}\""))
                .nearest(name, names),
        );
    };
    for node in single
        .chain(keys)
        .chain(parts)
        .chain(expanded)
        .chain(wholes)
        .chain(part)
        .chain(named_by)
        .chain(given)
        .chain(checked)
        .chain(dated)
        .chain(named)
    {
        let name = node.text().unwrap_or_default();
        let is_money =
            |field: &InputField| matches!(field.kind, FieldKind::Amount | FieldKind::Currency);
        if !fields
            .iter()
            .any(|field| field.name == name && !is_money(field))
        {
            refuse(node, name);
        }
    }
    let card = root
        .get("identity_card")
        .into_iter()
        .flat_map(|node| [node.get("number"), node.get("document")])
        .flatten();
    for node in groups
        .chain(required)
        .chain(stating)
        .chain(compared)
        .chain(card)
    {
        let name = node.text().unwrap_or_default();
        if !fields.iter().any(|field| field.name == name) {
            refuse(node, name);
        }
    }
    for entry in gateways()
        .filter_map(|gateway| gateway.get("max"))
        .flat_map(YamlNode::entries)
    {
        let is_text = |field: &InputField| matches!(field.kind, FieldKind::Text { .. });
        if !fields
            .iter()
            .any(|field| field.name == entry.key && is_text(field))
        {
            refuse(&entry.value, &entry.key);
        }
    }
}

/// The items of a list, or the one thing itself.
fn one_or_more(node: &YamlNode) -> &[YamlNode] {
    if node.list().is_empty() {
        std::slice::from_ref(node)
    } else {
        node.list()
    }
}

/// The fields that rules and lengths name must exist; these may be the amount's and the currency's
/// too.
fn check_rules(
    root: &YamlNode,
    fields: &[InputField],
    source: &SourceText,
    found: &mut Diagnostics,
) {
    let mut known = |name: &str, at: Position| {
        if !fields.iter().any(|field| field.name == name) {
            let names = fields.iter().map(|field| field.name.as_str());
            found.push(
                source
                    .diagnostic(at, format!("there is no such field \"{name}\""))
                    .nearest(name, names),
            );
        }
    };
    for gateway in entries(root, "gateways").iter().map(|entry| &entry.value) {
        let rules = gateway.get("rules").map_or(&[][..], YamlNode::list);
        let keyed = rules
            .iter()
            .flat_map(|rule| [entries(rule, "when"), entries(rule, "only")])
            .flatten();
        for entry in keyed.chain(entries(gateway, "max_bytes")) {
            known(&entry.key, entry.key_at);
        }
        let named = rules
            .iter()
            .flat_map(|rule| [rule.get("needs"), rule.get("without")])
            .flatten();
        for node in named.flat_map(YamlNode::list) {
            known(node.text().unwrap_or_default(), node.at);
        }
    }
}

fn read_operations(
    entry: &MappingEntry,
    effect: bool,
    source: &SourceText,
    found: &mut Diagnostics,
) -> Operations {
    let node = &entry.value;
    let text = |name| text_of(node, name).map(str::to_owned);
    let rows = |name| {
        node.get("outcomes")
            .and_then(|node| node.get(name))
            .map_or(&[][..], YamlNode::list)
    };
    let asks = node.get("query").is_some();
    if (effect && !asks) || asks == rows("query").is_empty() {
        let message = "a kind with an effect needs a query; a query needs its outcomes";
        found.push(source.diagnostic(entry.key_at, message));
    }
    Operations {
        submit: text("submit").unwrap_or_default(),
        query: text("query"),
        explain: text("explain"),
        lookup: node
            .get("lookup")
            .map(|node| read_lookup(node, source, found)),
        payer_check: node.get("payer_check").map(|node| PayerCheck {
            operation: text_of(node, "operation").unwrap_or_default().to_owned(),
            given: text_of(node, "given").unwrap_or_default().to_owned(),
        }),
        named_by: node.get("named_by").map_or_else(Vec::new, |node| {
            one_or_more(node)
                .iter()
                .filter_map(|node| node.text().map(str::to_owned))
                .collect()
        }),
        names_no_amount: is_true(node, "names_no_amount"),
        requires: node.get("requires").map_or_else(Vec::new, texts),
        values: entries(node, "values")
            .iter()
            .map(|entry| (entry.key.clone(), texts(&entry.value)))
            .collect(),
        max: entries(node, "max")
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.parse().ok()?)))
            .collect(),
        utf8mb3: is_true(node, "utf8mb3"),
        rules: node
            .get("rules")
            .map_or(&[][..], YamlNode::list)
            .iter()
            .filter_map(read_rule)
            .collect(),
        max_bytes: entries(node, "max_bytes")
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.parse().ok()?)))
            .collect(),
        not_before: node.get("not_before").map(read_not_before),
        statement_texts: node.get("statement_texts").map_or_else(Vec::new, texts),
        stores: match text_of(node, "stores") {
            Some("statement") => Some(ReplyStorage::Statement),
            Some("settlements") => Some(ReplyStorage::Settlements),
            Some(_) | None => None,
        },
        submit_outcomes: read_outcomes(
            rows("submit"),
            OutcomeTable {
                is_query: false,
                effect,
            },
            source,
            found,
        ),
        query_outcomes: read_outcomes(
            rows("query"),
            OutcomeTable {
                is_query: true,
                effect,
            },
            source,
            found,
        ),
    }
}

fn read_rule(node: &YamlNode) -> Option<FieldRule> {
    let when = node.get("when")?.entries().first()?;
    let one = when.value.text().map(|text| vec![text.to_owned()]);
    let values = one.unwrap_or_else(|| texts(&when.value));
    Some(FieldRule {
        field: when.key.clone(),
        values: if values == ["given"] {
            Vec::new()
        } else {
            values
        },
        needs: node.get("needs").map_or_else(Vec::new, texts),
        without: node.get("without").map_or_else(Vec::new, texts),
        only: entries(node, "only")
            .iter()
            .map(|entry| (entry.key.clone(), texts(&entry.value)))
            .collect(),
        remedy: text_of(node, "remedy").unwrap_or_default().to_owned(),
    })
}

fn read_lookup(node: &YamlNode, source: &SourceText, found: &mut Diagnostics) -> PaymentLookup {
    let rows = node.get("outcomes").map_or(&[][..], YamlNode::list);
    PaymentLookup {
        operation: text_of(node, "operation").unwrap_or_default().to_owned(),
        given: text_of(node, "given").map(str::to_owned),
        outcomes: read_outcomes(
            rows,
            OutcomeTable {
                is_query: false,
                effect: false,
            },
            source,
            found,
        ),
        reserves_amount: is_true(node, "reserves_amount"),
    }
}

fn read_not_before(node: &YamlNode) -> NotBefore {
    let age = |entry: &MappingEntry| {
        Some((
            entry.key.clone(),
            entry.value.text().and_then(scalars::duration)?,
        ))
    };
    NotBefore {
        field: text_of(node, "field").unwrap_or_default().to_owned(),
        if_not_given: text_of(node, "if_not_given").unwrap_or_default().to_owned(),
        ages: entries(node, "ages").iter().filter_map(age).collect(),
    }
}

fn default_policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy {
        retry: Retry {
            attempts: 10,
            first: seconds(1),
            max: seconds(300),
        },
        query: QueryPolicy {
            schedule: vec![seconds(10), seconds(60)],
            grace: seconds(600),
            horizon: seconds(86_400),
        },
        dunning: Vec::new(),
    }
}

/// A policy as written under `retry`, `query` and `dunning`, with `base` where nothing is
/// written.
pub(crate) fn read_policy(node: &YamlNode, base: &Policy) -> Policy {
    let mut policy = base.clone();
    if let Some(retry) = node.get("retry") {
        let attempts = integer_of(retry, "attempts").and_then(|number| u32::try_from(number).ok());
        policy.retry.attempts = attempts.unwrap_or(policy.retry.attempts);
        policy.retry.first = duration_of(retry, "first").unwrap_or(policy.retry.first);
        policy.retry.max = duration_of(retry, "max").unwrap_or(policy.retry.max);
    }
    if let Some(query) = node.get("query") {
        let waits = query
            .get("schedule")
            .map(durations)
            .filter(|waits| !waits.is_empty());
        policy.query.schedule = waits.unwrap_or(policy.query.schedule);
        policy.query.grace = duration_of(query, "grace").unwrap_or(policy.query.grace);
        policy.query.horizon = duration_of(query, "horizon").unwrap_or(policy.query.horizon);
    }
    if let Some(dunning) = node.get("dunning") {
        policy.dunning = durations(dunning);
    }
    policy
}

fn durations(node: &YamlNode) -> Vec<Duration> {
    node.list()
        .iter()
        .filter_map(|node| scalars::duration(node.text()?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(change: impl Fn(String) -> String) -> String {
        let text = change(BUILT_IN[2].1.to_owned());
        read_kind(&SourceText::new("deduct.yaml", text, false))
            .map(|_| String::new())
            .unwrap_or_else(|found| found.to_string())
    }

    #[test]
    fn every_field_that_a_job_kind_calls_sensitive_is_kept_out() {
        for kind in JobKinds::built_in().by_name.values() {
            for field in kind.fields.iter().filter(|field| field.sensitive) {
                assert!(
                    payrun_gateway::redaction::FIELDS.contains(&field.name.as_str()),
                    "{}: {}",
                    kind.name,
                    field.name
                );
            }
        }
    }

    #[test]
    fn the_built_in_kinds_are_read() {
        let job_kinds = JobKinds::built_in();
        let deduct = &job_kinds.by_name["deduct"];
        assert!(deduct.effect);
        assert_eq!(deduct.one_at_a_time.as_deref(), Some("contract_id"));
        assert_eq!(deduct.policy.query.schedule.len(), 7);
        assert_eq!(deduct.policy.query.horizon, Duration::from_secs(86_400));
        let identity: Vec<&str> = deduct
            .fields
            .iter()
            .filter(|f| f.identity)
            .map(|f| f.name.as_str())
            .collect();
        assert_eq!(identity, ["contract_id", "amount", "currency"]);
        let query = &job_kinds.by_name["query"];
        assert!(!query.effect);
        assert_eq!(query.one_of, [["out_trade_no", "transaction_id"]]);
        let listed = |name: &str| job_kinds.by_name[name].in_statement;
        assert_eq!(
            [listed("deduct"), listed("refund")],
            [Some(StatementRole::Payment), Some(StatementRole::Refund)]
        );
        assert_eq!([listed("query"), listed("reconcile")], [None, None]);
        assert!(
            job_kinds
                .by_name
                .values()
                .flat_map(|kind| &kind.fields)
                .all(|field| !field.doc.is_empty())
        );
    }

    #[test]
    fn what_names_something_has_an_alphabet_without_blanks_and_marks() {
        let job_kinds = JobKinds::built_in();
        for (kind, field) in job_kinds
            .by_name
            .iter()
            .flat_map(|(name, kind)| kind.fields.iter().map(move |field| (name, field)))
        {
            let names = ["_id", "_no", "appid"]
                .iter()
                .any(|end| field.name.ends_with(end))
                && !field.sensitive;
            let text = matches!(field.kind, FieldKind::Text { .. });
            // A cashier or a terminal may be called as its owner likes.
            if names && text && !["operator_id", "device_id"].contains(&field.name.as_str()) {
                assert!(field.is_name(), "{kind}: {}", field.name);
                for odd in ["C 1", "`C1", "'C1", "C1\"", "C,1", "C;1"] {
                    assert!(
                        field.check(odd).is_err(),
                        "{kind}: {} takes {odd}",
                        field.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_that_would_guess_is_refused() {
        let query = |row: &str| {
            mistakes(|text| format!("{text}        - {{ {row}, source: \"a test\" }}\n"))
        };
        assert!(
            query("http: 418, answer: not_processed").contains("use unknown with cause not_asked")
        );
        assert!(query("http: 418, answer: declined").contains("declined needs one"));
        assert!(query("answer: done").contains("at least one of http, code, state and fact"));
        assert!(query("http: 511, code: X, answer: done").contains("never reached"));
        assert!(query("http: 5x, answer: done").contains("a class such as 5xx"));
        let submit = mistakes(|text| text.replacen("answer: accepted", "answer: absent", 1));
        assert!(
            submit.contains("absent belongs in the query table only"),
            "{submit}"
        );
    }

    #[test]
    fn fields_that_do_not_exist_are_refused_where_they_are_named() {
        let wrong = mistakes(|text| {
            text.replace("one_at_a_time: contract_id", "one_at_a_time: contractid")
        });
        assert!(wrong.contains("did you mean \"contract_id\"?"), "{wrong}");
        let wrong = mistakes(|text| text.replace("type: currency", "type: text, max: 3"));
        assert!(
            wrong.contains("one field of type amount and one of type currency"),
            "{wrong}"
        );
        let wrong = mistakes(|text| text.replace("    query: transaction\n", ""));
        assert!(wrong.contains("needs a query"), "{wrong}");
    }

    #[test]
    fn what_is_declared_and_declared_again_counts_together() {
        let job_kinds = JobKinds::built_in();
        let split = |name: &str| job_kinds.by_name[name].whole_or_parts.clone();
        assert!(split("declare").is_some());
        assert_eq!(split("declare"), split("redeclare"));
    }

    #[test]
    fn what_is_declared_names_its_payment_by_both_numbers_and_the_fields_exist() {
        let job_kinds = JobKinds::built_in();
        let names = |name: &str| job_kinds.by_name[name].payment_names.clone();
        assert!(names("declare").is_some());
        assert_eq!(names("declare"), names("redeclare"));
        let declare = |theirs: &str| {
            let text = BUILT_IN[1].1.replace("theirs: transaction_id", theirs);
            let found = read_kind(&SourceText::new("declare.yaml", text, false)).unwrap_err();
            found.to_string()
        };
        let wrong = declare("theirs: transaction");
        assert!(
            wrong.contains("did you mean \"transaction_id\"?"),
            "{wrong}"
        );
        let wrong = declare("theirs: cert_id");
        assert!(wrong.contains("cert_id is personal data"), "{wrong}");
    }

    #[test]
    fn the_fields_of_a_whole_and_its_parts_exist_and_are_nobodys_personal_data() {
        let declare = |of: &str| {
            let text = BUILT_IN[1].1.replace("of: [out_trade_no, customs]", of);
            let found = read_kind(&SourceText::new("declare.yaml", text, false)).unwrap_err();
            found.to_string()
        };
        let wrong = declare("of: [out_trade_no, custom]");
        assert!(wrong.contains("did you mean \"customs\"?"), "{wrong}");
        let wrong = declare("of: [cert_id, customs]");
        assert!(wrong.contains("cert_id is personal data"), "{wrong}");
    }

    #[test]
    fn rules_and_lengths_name_fields_that_exist() {
        let with = |lines: &str| {
            mistakes(|text| {
                text.replacen(
                    "    submit: deduct\n",
                    &format!("    submit: deduct\n{lines}"),
                    1,
                )
            })
        };
        let wrong = with("    max_bytes: { descriptin: 64 }\n");
        assert!(wrong.contains("did you mean \"description\"?"), "{wrong}");
        let wrong = with(
            "    rules: [{ when: { x: given }, needs: [y], only: { currencyy: [CNY] }, remedy: z }]\n",
        );
        let all = [
            "no such field \"x\"",
            "no such field \"y\"",
            "did you mean \"currency\"?",
        ];
        assert!(all.iter().all(|one| wrong.contains(one)), "{wrong}");
    }

    #[test]
    fn a_folder_replaces_kinds_by_name_and_reports_all_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let ours = BUILT_IN[2]
            .1
            .replace("Charges a signed", "Our own way to charge a signed");
        std::fs::write(folder.path().join("ours.yaml"), ours).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not: [a kind").unwrap();
        let job_kinds = JobKinds::with_overrides(folder.path()).unwrap();
        assert!(
            job_kinds.by_name["deduct"]
                .description
                .starts_with("Our own")
        );
        assert!(job_kinds.by_name.contains_key("query"));
        std::fs::write(folder.path().join("a.yaml"), "name: x\n").unwrap();
        std::fs::write(folder.path().join("b.yaml"), "name: [\n").unwrap();
        let found = JobKinds::with_overrides(folder.path())
            .unwrap_err()
            .to_string();
        assert!(
            found.contains("a.yaml:1:1: the field \"gateways\" is missing"),
            "{found}"
        );
        assert!(found.contains("b.yaml:"), "{found}");
        assert!(JobKinds::with_overrides(&folder.path().join("gone")).is_err());
    }
}
