//! What is read when a play has ended: our journal, the gateways' true books, and what became of
//! everybody.

use std::collections::BTreeMap;

use serde_json::Value;

use super::world::SimAccount;
use super::{ItemTrace, JsonObjects};
use payrun_engine::journal::{Journal, totals};
use payrun_ledger::{ItemFilter, Ledger};
use payrun_sandbox::EventCounts;

use super::SimulationError;

/// What was found.
#[derive(Debug)]
pub(super) struct CollectedRecords {
    pub journal: JsonObjects,
    pub books: JsonObjects,
    pub totals: JsonObjects,
    pub states: BTreeMap<String, u64>,
    /// How many items were unknown, and for how long in all.
    pub unknown: (u64, u64),
    pub longest_unknown: u64,
    /// What the gateways hold against us.
    pub violations: EventCounts,
}

/// Reads both sides. `given`: payments that were in the books before anything began, by account and
/// number.
pub(super) async fn collect(
    ledger: &Ledger,
    places: &BTreeMap<String, SimAccount>,
    given: &[(String, String)],
) -> Result<CollectedRecords, SimulationError> {
    let mut journal = JsonObjects::new();
    let mut reading = Journal::of(ledger, ItemFilter::default());
    loop {
        let page = reading.page().await?;
        if page.is_empty() {
            break;
        }
        journal.extend(page);
    }
    let mut sums = JsonObjects::new();
    for run in ledger.runs(None, 1000).await? {
        sums.extend(totals(ledger, run.id).await?);
    }
    let mut states = BTreeMap::new();
    for item in &journal {
        *states
            .entry(item["state"].as_str().unwrap_or_default().to_owned())
            .or_default() += 1;
    }
    let times: Vec<u64> = journal
        .iter()
        .map(unknown_for)
        .filter(|time| *time > 0)
        .collect();
    Ok(CollectedRecords {
        books: books(places, given).await?,
        totals: sums,
        states,
        unknown: (times.len() as u64, times.iter().sum()),
        longest_unknown: times.iter().copied().max().unwrap_or(0),
        violations: met(places).await?.1,
        journal,
    })
}

async fn books(
    places: &BTreeMap<String, SimAccount>,
    given: &[(String, String)],
) -> Result<JsonObjects, SimulationError> {
    let mut rows = JsonObjects::new();
    for (name, place) in places {
        let lines = place
            .gateways
            .lines()
            .await
            .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        for line in lines {
            if line.kind == "cancel"
                || given
                    .iter()
                    .any(|(account, number)| account == name && *number == line.number)
            {
                continue;
            }
            let mut row = serde_json::to_value(&line).unwrap_or_default();
            row["gateway"] = Value::from(name.as_str());
            rows.push(row);
        }
    }
    Ok(rows)
}

/// What became of an item.
pub(super) fn story(item: &Value) -> ItemTrace {
    let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
    let begins = item["events"][0]["from"].as_str();
    let mut way = vec![begins.unwrap_or("planned")];
    for event in item["events"].as_array().into_iter().flatten() {
        let to = event["to"].as_str().unwrap_or_default();
        if way.last() != Some(&to) {
            way.push(to);
        }
    }
    let moved = item["events"]
        .as_array()
        .is_some_and(|events| !events.is_empty());
    ItemTrace {
        line: item["line"].as_u64().unwrap_or(0),
        key: text("key"),
        state: text("state"),
        unknown: unknown_for(item),
        calls: item["attempts"]
            .as_array()
            .map_or(0, |attempts| attempts.len() as u64),
        way: if moved {
            way.join(", ")
        } else {
            text("reason")
        },
    }
}

/// How long an item was unknown, in milliseconds.
fn unknown_for(item: &Value) -> u64 {
    let (mut sum, mut since) = (0, None);
    for event in item["events"].as_array().into_iter().flatten() {
        let at = event["at"].as_i64().unwrap_or(0);
        match (event["to"] == "unknown", since) {
            (true, None) => since = Some(at),
            (false, Some(begun)) => {
                sum += u64::try_from(at - begun).unwrap_or(0);
                since = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }
    sum
}

/// What went wrong at the gateways, and what they hold against us.
pub(super) async fn met(
    places: &BTreeMap<String, SimAccount>,
) -> Result<(EventCounts, EventCounts), SimulationError> {
    let (mut faults, mut violations) = (EventCounts::new(), EventCounts::new());
    for place in places.values() {
        let met = place
            .gateways
            .fault_counts()
            .await
            .map_err(|error| SimulationError::Sandbox(error.to_string()))?;
        for (sum, counts) in [(&mut faults, met.0), (&mut violations, met.1)] {
            counts
                .into_iter()
                .for_each(|(word, times)| *sum.entry(word).or_default() += times);
        }
    }
    Ok((faults, violations))
}
