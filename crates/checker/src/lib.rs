//! An independent judge of the promises: it reads a gateway's true books and our exported journal,
//! both as plain JSON, and knows nothing of how payrun works. What it says, it says of the records
//! alone.
//!
//! The journal: one object an item (`payrun journal`): `item`, `run`, `job`, `kind`, `gateway`,
//! `key`, `order_no`, `state`, `currency`, `minor`, `events` (`version`, `at`, `event`, `from`,
//! `to`) and `attempts` (`version`, `kind`, `order_no`, `answer`, `late`). An item of a batch
//! that had to be approved also has `content_hash` and `approval` (`approved.rs`). The books: one
//! object a number under which money moved: `gateway`, `kind`, `number`, `currency`, `minor`,
//! `moved`.

mod approved;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// The kinds of job that move money, and the books in which it shows.
pub const EFFECTS: [(&str, &str); 3] = [
    ("deduct", "payment"),
    ("pay", "payment"),
    ("refund", "refund"),
];

/// States in which money may have moved, or be moving, without anybody being wrong.
pub const MAY_HAVE_MOVED: [&str; 5] =
    ["sending", "pending", "unknown", "needs_review", "succeeded"];

/// What may lead out of not knowing: an answer that says what happened, or a person. Never time,
/// never a death.
pub const EVIDENCE: [&str; 10] = [
    "done",
    "accepted",
    "declined",
    "absent",
    "not_processed",
    "statement",
    "notification",
    "late_done",
    "retry",
    "resolve",
];

/// What is told from elsewhere may come while a question is on its way, which it does not make
/// wrong; never while something is sent.
pub const TOLD: [&str; 3] = ["statement", "notification", "resolve"];

/// Attempts that were no calls: what a statement, a notification or a person said.
pub const NO_CALLS: [&str; 3] = ["statement", "notification", "person"];

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which: 1 at most once, 2 nothing vanishes, 3 unknown is never guessed, 4 the money adds up,
    /// 5 what was approved is what ran.
    pub promise: u8,
    /// What, and of which item or number.
    pub what: String,
}

/// What is known beside the records.
#[derive(Debug, Clone, Default)]
pub struct CheckContext {
    /// How many rows each job (`RUN/JOB`) was given.
    pub rows: BTreeMap<String, u64>,
    /// How long "no such order" must wait before it counts, in milliseconds; none where the
    /// processes' clocks did not agree.
    pub grace: Option<i64>,
    /// Numbers of which a request arrived when "no such order" counted already: if they were sent
    /// again and refused meanwhile, nobody but the gateway could know.
    pub too_late: BTreeSet<String>,
}

/// Checks promises 1 to 5. `totals`: the sums the ledger keeps, one object each: `run`, `job`,
/// `state`, `currency`, `items`, `minor`.
pub fn check(
    journal: &[Value],
    books: &[Value],
    totals: &[Value],
    known: &CheckContext,
) -> Vec<Violation> {
    let mut broken = Vec::new();
    at_most_once(journal, books, &mut broken);
    nothing_vanishes(journal, totals, &known.rows, &mut broken);
    for item in journal {
        never_guessed(item, &mut broken);
        intent_first(item, known.grace.is_some(), &mut broken);
        number_kept(item, &mut broken);
        if known.grace.is_some() {
            not_after_it_was_withdrawn(item, &mut broken);
        }
        known
            .grace
            .inspect(|grace| absent_in_time(item, *grace, &mut broken));
    }
    adds_up(journal, books, &known.too_late, &mut broken);
    approved::what_ran(journal, known.grace.is_some(), &mut broken);
    broken
}

fn text<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_default()
}

fn number(row: &Value, name: &str) -> i64 {
    row[name].as_i64().unwrap_or(0)
}

fn list<'a>(row: &'a Value, name: &str) -> &'a [Value] {
    row[name].as_array().map_or(&[], Vec::as_slice)
}

/// `RUN/JOB`.
fn job_of(row: &Value) -> String {
    format!("{}/{}", number(row, "run"), text(row, "job"))
}

/// The kind of book an item shows in; none if it moves no money.
fn book_kind(item: &Value) -> Option<&'static str> {
    EFFECTS
        .iter()
        .find(|(kind, _)| *kind == text(item, "kind"))
        .map(|(_, kind)| *kind)
}

/// Every number an item was ever sent under, and the one in use.
fn numbers(item: &Value) -> Vec<&str> {
    let mut numbers: Vec<&str> = list(item, "attempts")
        .iter()
        .map(|attempt| text(attempt, "order_no"))
        .collect();
    numbers.push(text(item, "order_no"));
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The books by gateway, kind and number.
type BooksIndex<'a> = HashMap<(&'a str, &'a str, &'a str), &'a Value>;

fn by_number(books: &[Value]) -> BooksIndex<'_> {
    books
        .iter()
        .map(|line| {
            (
                (
                    text(line, "gateway"),
                    text(line, "kind"),
                    text(line, "number"),
                ),
                line,
            )
        })
        .collect()
}

/// How often money moved for an item, under all its numbers.
fn moved<'a>(item: &'a Value, books: &BooksIndex<'a>) -> Vec<&'a Value> {
    let Some(kind) = book_kind(item) else {
        return Vec::new();
    };
    let gateway = text(item, "gateway");
    numbers(item)
        .into_iter()
        .filter_map(|number| books.get(&(gateway, kind, number)).copied())
        .collect()
}

/// Promise 1: at most one successful effect per key; and no effect that nobody of ours knows.
fn at_most_once(journal: &[Value], books: &[Value], broken: &mut Vec<Violation>) {
    let by_number = by_number(books);
    let mut of_key: BTreeMap<(&str, &str, &str), i64> = BTreeMap::new();
    let mut known: Vec<(&str, &str, &str)> = Vec::new();
    for item in journal {
        let Some(kind) = book_kind(item) else {
            continue;
        };
        let times: i64 = moved(item, &by_number)
            .iter()
            .map(|line| number(line, "moved"))
            .sum();
        *of_key
            .entry((text(item, "gateway"), text(item, "kind"), text(item, "key")))
            .or_default() += times;
        known.extend(
            numbers(item)
                .into_iter()
                .map(|number| (text(item, "gateway"), kind, number)),
        );
    }
    for ((gateway, kind, key), times) in of_key {
        if times > 1 {
            let what = format!("{kind} {key} on {gateway} happened {times} times");
            broken.push(Violation { promise: 1, what });
        }
    }
    known.sort_unstable();
    for line in books {
        let id = (
            text(line, "gateway"),
            text(line, "kind"),
            text(line, "number"),
        );
        if known.binary_search(&id).is_err() {
            broken.push(Violation {
                promise: 1,
                what: format!("money moved under {}, which nobody of ours sent", id.2),
            });
        }
    }
}

/// Promise 2: every row has a state, and the sums that are kept are the sums that are.
fn nothing_vanishes(
    journal: &[Value],
    totals: &[Value],
    rows: &BTreeMap<String, u64>,
    broken: &mut Vec<Violation>,
) {
    let mut of_job: BTreeMap<String, u64> = BTreeMap::new();
    let mut counted: BTreeMap<(String, &str, &str), (i64, i64)> = BTreeMap::new();
    for item in journal {
        *of_job.entry(job_of(item)).or_default() += 1;
        let sum = counted
            .entry((job_of(item), text(item, "state"), text(item, "currency")))
            .or_default();
        *sum = (sum.0 + 1, sum.1 + number(item, "minor"));
    }
    for (job, given) in rows {
        let kept = of_job.get(job).copied().unwrap_or(0);
        if kept != *given {
            broken.push(Violation {
                promise: 2,
                what: format!("job {job} was given {given} rows and has {kept}"),
            });
        }
    }
    let kept: BTreeMap<(String, &str, &str), (i64, i64)> = totals
        .iter()
        .map(|total| {
            let id = (job_of(total), text(total, "state"), text(total, "currency"));
            (id, (number(total, "items"), number(total, "minor")))
        })
        .filter(|(_, sums)| *sums != (0, 0))
        .collect();
    if kept != counted {
        broken.push(Violation {
            promise: 2,
            what: format!("the sums kept are {kept:?}, the items add up to {counted:?}"),
        });
    }
}

/// Promise 3: nothing leaves `unknown`, or `sending` for anything else, without evidence; and
/// nothing is sent again on the strength of a death or of time.
fn never_guessed(item: &Value, broken: &mut Vec<Violation>) {
    let mut guess = |what: String| {
        broken.push(Violation {
            promise: 3,
            what: format!("item {} ({}): {what}", item["item"], text(item, "key")),
        });
    };
    let attempts = list(item, "attempts");
    let begins_awaiting = list(item, "events")
        .first()
        .is_some_and(|event| text(event, "from") == "awaiting_approval");
    let mut state = if begins_awaiting {
        "awaiting_approval"
    } else {
        "planned"
    };
    for event in list(item, "events") {
        let (from, to, word) = (text(event, "from"), text(event, "to"), text(event, "event"));
        if from != state {
            guess(format!("it was {state} and moves from {from}"));
        }
        state = to;
        let asked = matches!(from, "unknown" | "pending" | "needs_review")
            && !matches!(to, "unknown" | "pending" | "needs_review");
        if word == "notification" && from != to && to != "succeeded" {
            guess(format!("a notification leads from {from} to {to}"));
        }
        // A claim of what is open only asks; one of what is planned sends.
        let left = from == "sending" && to != "unknown" && word != "unsent" && word != "looked_up";
        if !(asked || left) {
            continue;
        }
        if !EVIDENCE.contains(&word) {
            guess(format!("{word} leads from {from} to {to}"));
            continue;
        }
        let version = number(event, "version") - 1;
        let answered = |attempt: &&Value| {
            let says = if word == "notification" {
                text(attempt, "kind")
            } else {
                text(attempt, "answer")
            };
            number(attempt, "version") == version && says == word
        };
        let by_person_or_late = matches!(word, "retry" | "late_done" | "statement" | "resolve");
        if !by_person_or_late && !attempts.iter().any(|attempt| answered(&attempt)) {
            guess(format!(
                "{word} leads from {from} to {to}, and no call was answered so"
            ));
        }
    }
    // What was refused or skipped when it was planned has no history.
    if !list(item, "events").is_empty() && state != text(item, "state") {
        guess(format!(
            "its history ends in {state}, and it is {}",
            text(item, "state")
        ));
    }
}

/// Whether a claim is for sending, and not for asking.
fn sends(claim: Option<&Value>) -> bool {
    claim.is_some_and(|claim| text(claim, "to") == "sending")
}

/// Promise 1: every call was claimed before it was made, and began while its claim held.
fn intent_first(item: &Value, clocks_agree: bool, broken: &mut Vec<Violation>) {
    let events = list(item, "events");
    let of = |version: i64| {
        events
            .iter()
            .find(|event| number(event, "version") == version)
    };
    for attempt in list(item, "attempts")
        .iter()
        .filter(|attempt| !NO_CALLS.contains(&text(attempt, "kind")))
    {
        let version = number(attempt, "version");
        let mut wrong = |what: &str| {
            let what = format!(
                "item {} ({}): a call {what}, version {version}",
                item["item"],
                text(item, "key")
            );
            broken.push(Violation { promise: 1, what });
        };
        if of(version).is_none_or(|event| text(event, "event") != "claim") {
            wrong("was made that had not been claimed");
        }
        if of(version + 1).is_some_and(|end| text(end, "event") == "unsent") {
            wrong("was made for a claim that was given back as unsent");
        }
        let over =
            of(version + 1).filter(|end| sends(of(version)) || !TOLD.contains(&text(end, "event")));
        let over = over.map(|event| number(event, "at"));
        let is_late = attempt["late"] == true;
        if clocks_agree && is_late && over.is_some_and(|over| number(attempt, "started_at") > over)
        {
            wrong("began when its claim was over");
        }
    }
}

/// Promise 1: nothing is sent after a person has withdrawn it. Where clocks jump, nobody can tell
/// which was first.
fn not_after_it_was_withdrawn(item: &Value, broken: &mut Vec<Violation>) {
    let Some(withdrawn) = item["withdrawn_at"].as_i64() else {
        return;
    };
    let sent = list(item, "events")
        .iter()
        .find(|event| sends(Some(event)) && number(event, "at") > withdrawn);
    if let Some(sent) = sent {
        let what = format!(
            "item {} ({}): it was sent after it was withdrawn, version {}",
            item["item"],
            text(item, "key"),
            sent["version"]
        );
        broken.push(Violation { promise: 1, what });
    }
    // A call may begin a moment after its claim without another look.
    let claims = list(item, "events")
        .iter()
        .filter(|event| sends(Some(event)));
    let claims: Vec<i64> = claims.map(|event| number(event, "version")).collect();
    let called = list(item, "attempts").iter().find(|attempt| {
        claims.contains(&number(attempt, "version"))
            && number(attempt, "started_at") > withdrawn + A_MOMENT
    });
    if let Some(called) = called {
        let what = format!(
            "item {} ({}): a call began after it was withdrawn, version {}",
            item["item"],
            text(item, "key"),
            called["version"]
        );
        broken.push(Violation { promise: 1, what });
    }
}

/// How long after its claim a call may begin without another look at whether it was withdrawn, in
/// milliseconds.
const A_MOMENT: i64 = 100;

/// Promise 1: another number is used only when the one before was declined.
fn number_kept(item: &Value, broken: &mut Vec<Violation>) {
    let attempts = list(item, "attempts");
    let (mut before, mut declined) = (None, false);
    for event in list(item, "events") {
        declined |= text(event, "event") == "declined";
        if text(event, "to") != "sending" {
            continue;
        }
        let of_this = attempts
            .iter()
            .find(|attempt| number(attempt, "version") == number(event, "version"));
        let Some(order_no) = of_this.map(|attempt| text(attempt, "order_no")) else {
            continue;
        };
        if before.is_some_and(|before| before != order_no) && !declined {
            let what = format!(
                "item {} ({}): {order_no} is used, and nothing was declined",
                item["item"],
                text(item, "key")
            );
            broken.push(Violation { promise: 1, what });
        }
        (before, declined) = (Some(order_no), false);
    }
}

/// Promise 3: "no such order" counts only after a while, since an order may show up late.
fn absent_in_time(item: &Value, grace: i64, broken: &mut Vec<Violation>) {
    let mut sent_at = None;
    for event in list(item, "events") {
        let (from, to, at) = (text(event, "from"), text(event, "to"), number(event, "at"));
        if to == "sending" {
            sent_at = Some(at);
        }
        let believed = text(event, "event") == "absent" && from == "unknown" && to == "planned";
        if believed && sent_at.is_some_and(|sent| at - sent < grace) {
            let what = format!(
                "item {} ({}): \"no such order\" was believed at once",
                item["item"],
                text(item, "key")
            );
            broken.push(Violation { promise: 3, what });
        }
    }
}

/// Whether it failed because the gateway did not want it when it was sent again.
fn was_sent_again_and_refused(item: &Value) -> bool {
    let events = list(item, "events");
    let sent = events
        .iter()
        .filter(|event| text(event, "to") == "sending")
        .count();
    let refused = events
        .iter()
        .any(|event| matches!(text(event, "event"), "declined" | "not_processed"));
    text(item, "state") == "failed" && sent > 1 && refused
}

/// Promise 4: what we say moved is what moved, to the minor unit; and what we say did not, did not.
fn adds_up(
    journal: &[Value],
    books: &[Value],
    too_late: &BTreeSet<String>,
    broken: &mut Vec<Violation>,
) {
    let by_number = by_number(books);
    for item in journal.iter().filter(|item| book_kind(item).is_some()) {
        let lines = moved(item, &by_number);
        let state = text(item, "state");
        let mut wrong = |what: String| {
            broken.push(Violation {
                promise: 4,
                what: format!("item {} ({}): {what}", item["item"], text(item, "key")),
            });
        };
        let ours = (number(item, "minor"), text(item, "currency"));
        match lines.first() {
            None if state == "succeeded" => {
                wrong("we say it happened, and nothing moved".to_owned())
            }
            None => {}
            Some(line)
                if too_late.contains(text(line, "number"))
                    && (was_sent_again_and_refused(item) || !item["withdrawn_at"].is_null()) => {}
            Some(_) if !MAY_HAVE_MOVED.contains(&state) => {
                wrong(format!("money moved, and we say {state}"))
            }
            Some(line) if (number(line, "minor"), text(line, "currency")) != ours => {
                wrong(format!(
                    "{} {} moved, and we say {} {}",
                    line["minor"],
                    text(line, "currency"),
                    ours.0,
                    ours.1
                ));
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// An item that timed out, was asked about and had succeeded.
    fn item() -> Value {
        json!({
            "item": 1, "run": 1, "job": "deduct", "kind": "deduct", "gateway": "hk", "key": "A/1", "order_no": "n-1",
            "state": "succeeded", "currency": "HKD", "minor": 3800,
            "events": [
                { "version": 1, "event": "claim", "from": "planned", "to": "sending" },
                { "version": 2, "event": "unknown", "from": "sending", "to": "unknown" },
                { "version": 3, "event": "claim", "from": "unknown", "to": "unknown" },
                { "version": 4, "event": "done", "from": "unknown", "to": "succeeded" },
            ],
            "attempts": [
                { "version": 1, "kind": "call", "operation": "submit", "order_no": "n-1", "answer": "unknown" },
                { "version": 3, "kind": "call", "operation": "query", "order_no": "n-1", "answer": "done" },
            ],
        })
    }

    fn line(number: &str, minor: i64) -> Value {
        json!({ "gateway": "hk", "kind": "payment", "number": number, "currency": "HKD", "minor": minor, "moved": 1 })
    }

    fn totals() -> Vec<Value> {
        vec![
            json!({ "run": 1, "job": "deduct", "state": "succeeded", "currency": "HKD", "items": 1, "minor": 3800 }),
        ]
    }

    fn promises(journal: &[Value], books: &[Value], totals: &[Value]) -> Vec<u8> {
        let known = CheckContext {
            rows: BTreeMap::from([("1/deduct".to_owned(), 1)]),
            grace: Some(60_000),
            too_late: BTreeSet::from(["n-late".to_owned()]),
        };
        check(journal, books, totals, &known)
            .iter()
            .map(|broken| broken.promise)
            .collect()
    }

    #[test]
    fn records_that_agree_break_nothing() {
        assert_eq!(
            promises(&[item()], &[line("n-1", 3800)], &totals()),
            Vec::<u8>::new()
        );
    }

    #[test]
    fn a_second_number_that_moved_is_a_second_effect() {
        let mut item = item();
        item["attempts"][0]["order_no"] = json!("n-0");
        assert_eq!(
            promises(&[item], &[line("n-0", 3800), line("n-1", 3800)], &totals()),
            [1]
        );
    }

    #[test]
    fn money_that_nobody_sent_is_told_of() {
        assert_eq!(
            promises(&[item()], &[line("n-1", 3800), line("n-9", 1)], &totals()),
            [1]
        );
    }

    #[test]
    fn a_row_or_a_sum_that_is_missing_is_told_of() {
        assert_eq!(promises(&[], &[], &[]), [2]);
        assert_eq!(promises(&[item()], &[line("n-1", 3800)], &[]), [2]);
    }

    #[test]
    fn an_end_without_an_answer_is_a_guess() {
        let mut timed = item();
        timed["events"][3]["event"] = json!("horizon");
        assert_eq!(promises(&[timed], &[line("n-1", 3800)], &totals()), [3]);
        let mut unasked = item();
        unasked["attempts"].as_array_mut().unwrap().pop();
        assert_eq!(promises(&[unasked], &[line("n-1", 3800)], &totals()), [3]);
        let mut died = item();
        died["events"][1] =
            json!({ "version": 2, "event": "abandoned", "from": "sending", "to": "planned" });
        assert!(promises(&[died], &[line("n-1", 3800)], &totals()).contains(&3));
    }

    #[test]
    fn a_call_without_a_claim_or_after_it_is_told_of() {
        let mut unclaimed = item();
        unclaimed["attempts"][1]["version"] = json!(4);
        assert!(promises(&[unclaimed], &[line("n-1", 3800)], &totals()).contains(&1));
        let mut late = item();
        late["events"][1]["at"] = json!(100_000);
        late["attempts"][0]["late"] = json!(true);
        late["attempts"][0]["started_at"] = json!(100_001);
        assert_eq!(promises(&[late], &[line("n-1", 3800)], &totals()), [1]);
        let mut taken_away = item();
        taken_away["events"][1] =
            json!({ "version": 2, "event": "unsent", "from": "sending", "to": "planned" });
        taken_away["events"][2] =
            json!({ "version": 3, "event": "claim", "from": "planned", "to": "sending" });
        taken_away["events"][3]["from"] = json!("sending");
        assert_eq!(
            promises(&[taken_away], &[line("n-1", 3800)], &totals()),
            [1]
        );
    }

    #[test]
    fn another_number_without_a_decline_is_told_of() {
        let mut again = item();
        again["events"][1] =
            json!({ "version": 2, "event": "not_processed", "from": "sending", "to": "planned" });
        again["events"][2] =
            json!({ "version": 3, "event": "claim", "from": "planned", "to": "sending" });
        again["events"][3]["from"] = json!("sending");
        again["attempts"][0]["answer"] = json!("not_processed");
        assert_eq!(
            promises(&[again.clone()], &[line("n-1", 3800)], &totals()),
            Vec::<u8>::new()
        );
        again["attempts"][1]["order_no"] = json!("n-2");
        again["order_no"] = json!("n-2");
        assert_eq!(promises(&[again], &[line("n-2", 3800)], &totals()), [1]);
    }

    #[test]
    fn no_such_order_counts_only_after_the_grace_period() {
        let sent_again = |at: i64| {
            let mut again = item();
            again["state"] = json!("planned");
            again["events"][0]["at"] = json!(1_000);
            again["events"][3] = json!({ "version": 4, "at": at, "event": "absent", "from": "unknown", "to": "planned" });
            again["attempts"][1]["answer"] = json!("absent");
            let totals = [
                json!({ "run": 1, "job": "deduct", "state": "planned", "currency": "HKD", "items": 1, "minor": 3800 }),
            ];
            promises(&[again], &[], &totals)
        };
        assert_eq!(sent_again(60_999), [3]);
        assert_eq!(sent_again(61_000), Vec::<u8>::new());
    }

    #[test]
    fn an_amount_or_an_end_that_differs_does_not_add_up() {
        assert_eq!(promises(&[item()], &[line("n-1", 3801)], &totals()), [4]);
        assert_eq!(promises(&[item()], &[], &totals()), [4]);
        let mut failed = item();
        failed["state"] = json!("failed");
        failed["events"][3] =
            json!({ "version": 4, "event": "declined", "from": "unknown", "to": "failed" });
        failed["attempts"][1]["answer"] = json!("declined");
        let totals = [
            json!({ "run": 1, "job": "deduct", "state": "failed", "currency": "HKD", "items": 1, "minor": 3800 }),
        ];
        assert_eq!(
            promises(&[failed.clone()], &[line("n-1", 3800)], &totals),
            [4]
        );
        failed["order_no"] = json!("n-late");
        for attempt in failed["attempts"].as_array_mut().unwrap() {
            attempt["order_no"] = json!("n-late");
        }
        assert_eq!(
            promises(&[failed.clone()], &[line("n-late", 3800)], &totals),
            [4],
            "it was sent once only"
        );
        failed["events"][1] =
            json!({ "version": 2, "event": "not_processed", "from": "sending", "to": "planned" });
        failed["attempts"][0]["answer"] = json!("not_processed");
        failed["events"][2] =
            json!({ "version": 3, "event": "claim", "from": "planned", "to": "sending" });
        failed["events"][3]["from"] = json!("sending");
        assert_eq!(
            promises(&[failed.clone()], &[line("n-late", 3800)], &totals),
            Vec::<u8>::new()
        );
        let mut twice = line("n-late", 3800);
        twice["moved"] = json!(2);
        assert_eq!(promises(&[failed], &[twice], &totals), [1]);
    }
}
