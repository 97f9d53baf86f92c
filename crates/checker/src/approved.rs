//! Promise 5: what was approved is what ran, byte for byte, and nobody approved their own batch.
//!
//! An item of a batch that had to be approved has `content_hash`, the hash of its content as it is
//! now, and `approval`: `state`, `author`, `needed`, `by` (who approved), `origin` (the hash of
//! workflow, parameters and account) and `content_hash`, which the approval is bound to: SHA-256
//! over the origin, the content hashes of all rows, their number, and their sums by currency. Once
//! it is `revoked`, at `decided_at`, nothing more is sent; where clocks jump, nobody can tell which
//! was first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Violation, job_of, list, number, text};

/// Checks the batches of a journal.
pub(super) fn what_ran(journal: &[Value], clocks_agree: bool, broken: &mut Vec<Violation>) {
    let mut batches: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for item in journal.iter().filter(|item| item["approval"].is_object()) {
        batches.entry(job_of(item)).or_default().push(item);
    }
    for (job, mut items) in batches {
        items.sort_by_key(|item| number(item, "item"));
        let mut wrong = |what: String| {
            broken.push(Violation {
                promise: 5,
                what: format!("job {job}: {what}"),
            })
        };
        items.iter().filter(|item| was_sent(item)).for_each(|item| {
            if !was_approved(item) {
                wrong(format!(
                    "item {} was sent, and nobody had approved it",
                    item["item"]
                ));
            }
        });
        for sent in items
            .iter()
            .filter(|item| clocks_agree && was_sent_after_it_was_revoked(item))
        {
            wrong(format!(
                "item {} was sent after the approval was revoked",
                sent["item"]
            ));
        }
        let approved: Vec<&Value> = items
            .iter()
            .copied()
            .filter(|item| was_approved(item))
            .collect();
        if let Some(first) = approved.first() {
            by_others(&first["approval"], &mut wrong);
            if content_hash(&first["approval"], &approved)
                != text(&first["approval"], "content_hash")
            {
                wrong("its rows are not those that were approved".to_owned());
            }
        }
    }
}

fn was_sent(item: &Value) -> bool {
    list(item, "events")
        .iter()
        .any(|event| text(event, "to") == "sending")
}

fn was_sent_after_it_was_revoked(item: &Value) -> bool {
    let approval = &item["approval"];
    text(approval, "state") == "revoked"
        && list(item, "events").iter().any(|event| {
            text(event, "to") == "sending" && number(event, "at") > number(approval, "decided_at")
        })
}

/// Whether it waited for approval, and was then planned by an approval.
fn was_approved(item: &Value) -> bool {
    let mut events = list(item, "events").iter();
    events.next().is_some_and(|event| {
        (text(event, "event"), text(event, "from")) == ("approve", "awaiting_approval")
    })
}

/// Enough persons have approved, and none of them started it.
fn by_others(approval: &Value, wrong: &mut impl FnMut(String)) {
    let persons: Vec<String> = list(approval, "by")
        .iter()
        .filter_map(Value::as_str)
        .map(|name| name.to_lowercase())
        .collect();
    let different: BTreeSet<&String> = persons.iter().collect();
    let needed = u64::try_from(number(approval, "needed")).unwrap_or(u64::MAX);
    let given = matches!(text(approval, "state"), "approved" | "revoked");
    if (different.len() as u64) < needed.max(1) || !given {
        wrong(format!(
            "it ran with {} of {needed} approvals",
            different.len()
        ));
    }
    let author = text(approval, "author").to_lowercase();
    if persons.contains(&author) {
        wrong(format!("{author} started it and approved it"));
    }
}

/// The hash that an approval of these rows is bound to.
fn content_hash(approval: &Value, items: &[&Value]) -> String {
    let mut hash = Sha256::new();
    hash.update(bytes(text(approval, "origin")));
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for item in items {
        hash.update(bytes(text(item, "content_hash")));
        if item["minor"].is_i64() {
            *sums.entry(text(item, "currency")).or_default() += number(item, "minor");
        }
    }
    hash.update((items.len() as u64).to_be_bytes());
    for (currency, minor) in sums {
        hash.update(currency.as_bytes());
        hash.update(minor.to_be_bytes());
    }
    hex::encode(hash.finalize())
}

/// The bytes of hexadecimal digits; of anything else none.
fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap_or_default());
    pairs
        .map_while(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn item(id: i64, minor: i64) -> Value {
        let content_hash = format!("{id:064}");
        json!({
            "item": id, "run": 1, "job": "refund", "state": "succeeded", "currency": "HKD", "minor": minor, "content_hash": content_hash,
            "approval": { "state": "approved", "author": "Ann", "needed": 1, "by": ["bob"], "origin": "00".repeat(32) },
            "events": [
                { "event": "approve", "from": "awaiting_approval", "to": "planned" },
                { "event": "claim", "from": "planned", "to": "sending" },
            ],
        })
    }

    /// Two rows, with the content hash that they had when they were approved.
    fn batch() -> [Value; 2] {
        let mut items = [item(1, 100), item(2, 200)];
        let bound = content_hash(&items[0]["approval"], &[&items[0], &items[1]]);
        items
            .iter_mut()
            .for_each(|item| item["approval"]["content_hash"] = json!(bound));
        items
    }

    fn said(items: &[Value]) -> Vec<String> {
        let mut broken = Vec::new();
        what_ran(items, true, &mut broken);
        broken.into_iter().map(|broken| broken.what).collect()
    }

    fn changed(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut items = batch();
        items.iter_mut().for_each(change);
        said(&items)
    }

    #[test]
    fn a_batch_that_somebody_else_approved_as_it_is_breaks_nothing() {
        assert_eq!(said(&batch()), Vec::<String>::new());
    }

    #[test]
    fn a_row_that_is_another_or_missing_or_was_not_approved_is_told_of() {
        let not_those = "job 1/refund: its rows are not those that were approved";
        assert_eq!(changed(|item| item["minor"] = json!(300)), [not_those]);
        assert_eq!(
            changed(|item| item["content_hash"] = json!("11".repeat(32))),
            [not_those]
        );
        assert_eq!(said(&batch()[..1]), [not_those]);
        let unasked = changed(|item| {
            item["events"][0] = json!({ "event": "claim", "from": "planned", "to": "sending" })
        });
        assert_eq!(unasked.len(), 2, "{unasked:?}");
    }

    #[test]
    fn what_was_sent_after_its_approval_was_revoked_is_told_of() {
        let revoked = |at: i64| {
            changed(|item| {
                item["approval"]["state"] = json!("revoked");
                item["approval"]["decided_at"] = json!(at);
                item["events"][1]["at"] = json!(5);
            })
        };
        assert_eq!(revoked(5), Vec::<String>::new());
        assert_eq!(
            revoked(4),
            [1, 2].map(|item| format!(
                "job 1/refund: item {item} was sent after the approval was revoked"
            ))
        );
    }

    #[test]
    fn an_author_who_approves_and_a_person_who_counts_twice_are_told_of() {
        assert_eq!(
            changed(|item| item["approval"]["by"] = json!(["ANN"])),
            ["job 1/refund: ann started it and approved it"]
        );
        let twice = changed(|item| {
            item["approval"]["needed"] = json!(2);
            item["approval"]["by"] = json!(["bob", "Bob"]);
        });
        assert_eq!(twice, ["job 1/refund: it ran with 1 of 2 approvals"]);
    }
}
