//! Outcome tables: from YAML rows to [`OutcomeRow`]s, with what may not stand in which table.

use payrun_domain::answer::{Cause, DeclineClass, LaneEffect, NumberRule};
use payrun_domain::subscription::ContractSignal;
use payrun_yaml::diagnostics::{Diagnostics, SourceText};
use payrun_yaml::fields::{duration_of, is_true, text_of};
use payrun_yaml::node::YamlNode;

use super::{HttpMatch, OutcomeMeaning, OutcomeRow, Prerequisite};

/// Which table a row stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutcomeTable {
    /// The query's table, else the submit's.
    pub(super) is_query: bool,
    /// Whether the kind has an effect.
    pub(super) effect: bool,
}

/// Reads a table; rows with several codes or states become one row each.
pub(super) fn read(
    rows: &[YamlNode],
    table: OutcomeTable,
    source: &SourceText,
    found: &mut Diagnostics,
) -> Vec<OutcomeRow> {
    let mut outcomes: Vec<OutcomeRow> = Vec::new();
    for node in rows {
        for outcome in row(node, table, source, found) {
            if let Some(earlier) = outcomes.iter().find(|earlier| covers(earlier, &outcome)) {
                let message = format!(
                    "this row is never reached: an earlier one takes it ({})",
                    earlier.source
                );
                found.push(
                    source
                        .diagnostic(node.at, message)
                        .help("put the narrower row first"),
                );
            }
            outcomes.push(outcome);
        }
    }
    outcomes
}

fn row(
    node: &YamlNode,
    table: OutcomeTable,
    source: &SourceText,
    found: &mut Diagnostics,
) -> Vec<OutcomeRow> {
    let mut refuse = |name: &str, message: &str| {
        let at = node.get(name).map_or(node.at, |value| value.at);
        found.push(source.diagnostic(at, message));
    };
    let http = text_of(node, "http").map(http_match);
    if http == Some(None) {
        refuse(
            "http",
            "http takes a status such as 404 or a class such as 5xx",
        );
    }
    let meaning = match meaning(node) {
        Ok(meaning) => meaning,
        Err(message) => {
            refuse("answer", message);
            return Vec::new();
        }
    };
    if let Some(message) = misplaced(meaning, table) {
        refuse("answer", message);
    }
    if node.get("http").is_none()
        && node.get("code").is_none()
        && node.get("state").is_none()
        && node.get("fact").is_none()
    {
        refuse(
            "answer",
            "a row needs at least one of http, code, state and fact; what no row takes is unknown",
        );
    }
    if node.get("wait").is_some() && meaning != OutcomeMeaning::NotProcessed {
        refuse(
            "wait",
            "wait belongs to not_processed: how long to leave it alone before it is sent again",
        );
    }
    if is_true(node, "exists") && (table.is_query || !matches!(meaning, OutcomeMeaning::Unknown(_)))
    {
        refuse(
            "exists",
            "exists belongs to unknown in the submit table: only the query tells what became of the number",
        );
    }
    let contract = text_of(node, "contract").and_then(ContractSignal::parse);
    let says_it = matches!(meaning, OutcomeMeaning::Declined(..))
        || (meaning == OutcomeMeaning::Done && contract == Some(ContractSignal::Ended));
    if contract.is_some() && !says_it {
        refuse(
            "contract",
            "contract belongs to declined, and ended to done too: nothing else says anything of the contract",
        );
    }
    if node.get("advice").is_some() && !matches!(meaning, OutcomeMeaning::Declined(..)) {
        refuse(
            "advice",
            "advice belongs to declined: of what is not refused there is nothing to mend",
        );
    }
    if is_true(node, "request_fault")
        && !matches!(meaning, OutcomeMeaning::Declined(DeclineClass::Hard, _))
    {
        refuse(
            "request_fault",
            "request_fault belongs to declined with class hard: what is not refused for good stops no job",
        );
    }
    let lane = match text_of(node, "lane") {
        Some("stop") => LaneEffect::Stop,
        Some("suspend") => LaneEffect::Suspend,
        Some(_) | None => LaneEffect::None,
    };
    let mut outcomes = Vec::new();
    for code in names(node.get("code")) {
        for state in names(node.get("state")) {
            outcomes.push(OutcomeRow {
                http: http.flatten(),
                code: code.clone(),
                state,
                fact: named(node, "fact"),
                when: named(node, "when"),
                unless_refunded: is_true(node, "unless_refunded"),
                after: after(node),
                exists: is_true(node, "exists"),
                wait: duration_of(node, "wait"),
                day_over_for: duration_of(node, "day_over_for"),
                meaning,
                lane,
                explain: is_true(node, "explain"),
                contract,
                request_fault: is_true(node, "request_fault"),
                advice: text_of(node, "advice").map(str::to_owned),
                source: text_of(node, "source").unwrap_or_default().to_owned(),
            });
        }
    }
    outcomes
}

fn after(node: &YamlNode) -> Option<Prerequisite> {
    match text_of(node, "after") {
        Some("accepted") => Some(Prerequisite::Accepted),
        Some("exists") => Some(Prerequisite::Exists),
        Some(_) | None => None,
    }
}

fn named(node: &YamlNode, field: &str) -> Option<(String, String)> {
    let entry = node.get(field)?.entries().first()?;
    Some((entry.key.clone(), entry.value.text()?.to_owned()))
}

fn names(node: Option<&YamlNode>) -> Vec<Option<String>> {
    let text = |node: &YamlNode| node.text().map(str::to_owned);
    match node {
        None => vec![None],
        Some(node) if node.list().is_empty() => vec![text(node)],
        Some(node) => node.list().iter().map(text).collect(),
    }
}

fn http_match(text: &str) -> Option<HttpMatch> {
    if let Some(class) = text.strip_suffix("xx") {
        return class
            .parse()
            .ok()
            .filter(|class| (1..=5).contains(class))
            .map(HttpMatch::Class);
    }
    text.parse()
        .ok()
        .filter(|status| (100..=599).contains(status))
        .map(HttpMatch::Status)
}

fn meaning(node: &YamlNode) -> Result<OutcomeMeaning, &'static str> {
    let answer = text_of(node, "answer");
    if node.get("class").is_some() != (answer == Some("declined")) {
        return Err(
            "class belongs to declined, and declined needs one: soft, hard, person, config or funds",
        );
    }
    if node.get("cause").is_some() != (answer == Some("unknown")) {
        return Err(
            "cause belongs to unknown, and unknown needs one: ambiguous, gateway_failed, not_asked or unmapped",
        );
    }
    match answer {
        Some("done") => Ok(OutcomeMeaning::Done),
        Some("nothing") => Ok(OutcomeMeaning::Nothing),
        Some("accepted") => Ok(OutcomeMeaning::Accepted),
        Some("declined") => Ok(OutcomeMeaning::Declined(class(node), number(node))),
        Some("not_processed") => Ok(OutcomeMeaning::NotProcessed),
        Some("absent") => Ok(OutcomeMeaning::Absent),
        Some("unknown") => Ok(OutcomeMeaning::Unknown(cause(node))),
        Some(_) | None => Err("this is no answer"),
    }
}

fn class(node: &YamlNode) -> DeclineClass {
    match text_of(node, "class") {
        Some("soft") => DeclineClass::Soft,
        Some("config") => DeclineClass::Config,
        Some("funds") => DeclineClass::Funds,
        Some("spent") => DeclineClass::Spent,
        Some("person") => DeclineClass::Person,
        Some(_) | None => DeclineClass::Hard,
    }
}

fn number(node: &YamlNode) -> NumberRule {
    match text_of(node, "number") {
        Some("same") => NumberRule::Same,
        Some("next") => NumberRule::Next,
        Some(_) | None => NumberRule::Ask,
    }
}

fn cause(node: &YamlNode) -> Cause {
    match text_of(node, "cause") {
        Some("gateway_failed") => Cause::GatewayFailed,
        Some("not_asked") => Cause::NotAsked,
        Some("unmapped") => Cause::Unmapped,
        Some(_) | None => Cause::Ambiguous,
    }
}

fn misplaced(meaning: OutcomeMeaning, table: OutcomeTable) -> Option<&'static str> {
    match meaning {
        OutcomeMeaning::NotProcessed if table.is_query && table.effect => Some(
            "a query cannot tell that the effect was not processed; use unknown with cause not_asked",
        ),
        OutcomeMeaning::Nothing if table.effect => {
            Some("nothing belongs to lookups: there is nothing to be had")
        }
        OutcomeMeaning::Absent if !table.is_query => Some("absent belongs in the query table only"),
        OutcomeMeaning::Unknown(_) if !table.effect => {
            Some("a lookup that says nothing may be repeated: use not_processed")
        }
        OutcomeMeaning::Done
        | OutcomeMeaning::Nothing
        | OutcomeMeaning::Accepted
        | OutcomeMeaning::Declined(..)
        | OutcomeMeaning::NotProcessed
        | OutcomeMeaning::Absent
        | OutcomeMeaning::Unknown(_) => None,
    }
}

fn covers(earlier: &OutcomeRow, later: &OutcomeRow) -> bool {
    let http = match (earlier.http, later.http) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(HttpMatch::Class(class)), Some(HttpMatch::Status(status))) => status / 100 == class,
        (Some(one), Some(other)) => one == other,
    };
    let covered =
        |earlier: &Option<String>, later: &Option<String>| earlier.is_none() || earlier == later;
    let fact = earlier.fact.is_none() || earlier.fact == later.fact;
    let after =
        (earlier.after.is_none() || earlier.after == later.after) && earlier.day_over_for.is_none();
    let when = (earlier.when.is_none() || earlier.when == later.when) && !earlier.unless_refunded;
    http && fact
        && after
        && when
        && covered(&earlier.code, &later.code)
        && covered(&earlier.state, &later.state)
}
