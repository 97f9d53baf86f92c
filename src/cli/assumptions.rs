//! `payrun doctor --facts`: what payrun only assumes of the configured gateways, and what that
//! rests on.

use std::collections::BTreeSet;

use serde_json::json;

use super::exit::Exit;
use super::output::{say, say_json};
use crate::app::Project;
use crate::job_kinds::{HttpMatch, OutcomeMeaning, OutcomeRow};

/// Rows of an outcome table with the same meaning for the same reason.
struct Assumption {
    kind: String,
    gateway: String,
    table: &'static str,
    replies: Vec<String>,
    answer: &'static str,
    rests_on: String,
}

/// Prints them.
pub(super) fn print(project: &Project, as_json: bool) -> Exit {
    let configured: BTreeSet<&str> = project
        .config
        .gateways
        .values()
        .map(|account| account.kind.as_str())
        .collect();
    let mut found = Vec::new();
    for kind in project.job_kinds.by_name.values() {
        for (gateway, operations) in kind
            .gateways
            .iter()
            .filter(|(gateway, _)| configured.contains(gateway.as_str()))
        {
            let lookup = operations
                .lookup
                .as_ref()
                .map_or(&[][..], |lookup| &lookup.outcomes);
            let tables = [
                ("submit", &operations.submit_outcomes[..]),
                ("query", &operations.query_outcomes),
                ("lookup", lookup),
            ];
            for (table, rows) in tables {
                rows.iter()
                    .filter(|row| row.is_assumed())
                    .for_each(|row| add(&mut found, &kind.name, gateway, table, row));
            }
        }
    }
    if as_json {
        let shown = |one: &Assumption| {
            json!({
                "gateway": one.gateway, "kind": one.kind, "table": one.table, "replies": one.replies,
                "answer": one.answer, "rests_on": one.rests_on,
            })
        };
        say_json(&json!(found.iter().map(shown).collect::<Vec<_>>()));
        return Exit::Success;
    }
    for one in &found {
        say(format!(
            "{} {}, {}: {} → {}",
            one.gateway,
            one.kind,
            one.table,
            one.replies.join(", "),
            one.answer
        ));
        say(format!("    {}", one.rests_on));
    }
    say(format!(
        "{} readings of {} rest on no page of the gateway's ([C]); docs/gateways has all facts, and how to report one that is wrong",
        found.len(),
        configured.into_iter().collect::<Vec<_>>().join(", ")
    ));
    Exit::Success
}

fn add(
    found: &mut Vec<Assumption>,
    kind: &str,
    gateway: &str,
    table: &'static str,
    row: &OutcomeRow,
) {
    let (reply, answer) = (reply(row), answer(row.meaning));
    let same = found.last_mut().filter(|last| {
        (last.kind.as_str(), last.gateway.as_str(), last.table) == (kind, gateway, table)
            && (last.answer, &last.rests_on) == (answer, &row.source)
    });
    match same {
        Some(last) => last.replies.push(reply),
        None => found.push(Assumption {
            kind: kind.to_owned(),
            gateway: gateway.to_owned(),
            table,
            replies: vec![reply],
            answer,
            rests_on: row.source.clone(),
        }),
    }
}

/// What is matched, for people: `4xx NOT_ENOUGH`.
fn reply(row: &OutcomeRow) -> String {
    let http = row.http.map(|http| match http {
        HttpMatch::Status(status) => status.to_string(),
        HttpMatch::Class(class) => format!("{class}xx"),
    });
    let fact = row
        .fact
        .as_ref()
        .map(|(name, value)| format!("{name} {value}"));
    let parts = [http, row.code.clone(), row.state.clone(), fact];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

const fn answer(meaning: OutcomeMeaning) -> &'static str {
    match meaning {
        OutcomeMeaning::Done => "done",
        OutcomeMeaning::Nothing => "nothing",
        OutcomeMeaning::Accepted => "accepted",
        OutcomeMeaning::Declined(..) => "declined",
        OutcomeMeaning::NotProcessed => "not_processed",
        OutcomeMeaning::Absent => "absent",
        OutcomeMeaning::Unknown(_) => "unknown",
    }
}
