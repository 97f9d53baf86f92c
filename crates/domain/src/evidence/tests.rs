use std::time::Duration;

use super::*;
use crate::answer::{Decline, DeclineClass, NumberRule, Receipt};
use crate::policy::{QueryPolicy, Retry};

const SOURCES: [(EvidenceSource, &str); 3] = [
    (EvidenceSource::LateReply, "late reply"),
    (EvidenceSource::Notification, "notification"),
    (EvidenceSource::StatementLine, "statement"),
];

fn answers() -> Vec<Answer> {
    let declined = Decline {
        code: "NO_BALANCE".into(),
        class: DeclineClass::Soft,
        number: NumberRule::Next,
    };
    vec![
        Answer::Done(Receipt("R2".into())),
        Answer::Accepted,
        Answer::Declined(declined),
        Answer::Absent,
        Answer::NotProcessed {
            code: String::new(),
            after: None,
        },
        Answer::from(Cause::TimedOut),
        Answer::from(Cause::Mismatch),
    ]
}

fn news<'a>(
    source: EvidenceSource,
    answer: &'a Answer,
    is_in_use: bool,
    known: bool,
) -> Evidence<'a> {
    Evidence {
        source,
        answer,
        is_in_use,
        known,
        is_claimed: false,
        next_at: None,
        query_at: Timestamp::from_millis(7),
        words: "as the news says".into(),
    }
}

fn item(state: State) -> Item {
    Item {
        state,
        receipt: (state == State::Succeeded).then(|| Receipt("R1".into())),
        submit_count: 1,
        ..Item::planned(0)
    }
}

fn policy() -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        retry: Retry {
            attempts: 3,
            first: second,
            max: second,
        },
        query: QueryPolicy {
            schedule: vec![second],
            grace: second,
            horizon: second,
        },
        dunning: Vec::new(),
    }
}

/// A row of the table in the module's documentation.
struct Row {
    source: String,
    of: String,
    says: String,
    verdicts: Vec<String>,
}

/// The rows, and the states of the columns.
fn table() -> (Vec<State>, Vec<Row>) {
    let text = include_str!("../evidence.rs");
    let table = text.split("```").nth(1).unwrap();
    let mut lines = table
        .lines()
        .filter_map(|line| line.strip_prefix("//! "))
        .filter(|line| !line.is_empty());
    let head = lines.next().unwrap();
    let starts: Vec<usize> = ["of ", "says", "awaiting_approval"]
        .map(|word| head.find(word).unwrap())
        .to_vec();
    let states = head[starts[2]..]
        .split_whitespace()
        .map(|word| State::parse(word).unwrap())
        .collect();
    let rows = lines.map(|line| Row {
        source: line[..starts[0]].trim().to_owned(),
        of: line[starts[0]..starts[1]].trim().to_owned(),
        says: line[starts[1]..starts[2]].trim().to_owned(),
        verdicts: line[starts[2]..]
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    });
    (states, rows.collect())
}

/// Whether a row's word means this answer from this source.
fn means(word: &str, source: EvidenceSource, answer: &Answer) -> bool {
    let listed: &[&str] = match source {
        EvidenceSource::LateReply => &["done", "may be"],
        EvidenceSource::Notification => &["done", "declined", "mismatch"],
        EvidenceSource::StatementLine => &["done"],
    };
    let is = |word: &str| match (word, answer) {
        ("done", Answer::Done(_))
        | ("declined", Answer::Declined(_))
        | (
            "mismatch",
            Answer::Unknown {
                cause: Cause::Mismatch,
                ..
            },
        )
        | ("may be", Answer::Accepted | Answer::Unknown { .. }) => true,
        (_, _) => false,
    };
    match word {
        "may" => is("may be"),
        "other" => !listed.iter().any(|word| is(word)),
        word => is(word),
    }
}

fn word(verdict: EvidenceVerdict) -> &'static str {
    match verdict {
        EvidenceVerdict::Apply => "apply",
        EvidenceVerdict::Alarm(_) => "alarm",
        EvidenceVerdict::QueryNow => "query",
        EvidenceVerdict::Wait => "wait",
        EvidenceVerdict::Ignore => "-",
    }
}

#[test]
fn every_news_of_every_item_is_weighed_as_the_table_says() {
    let (states, rows) = table();
    assert_eq!((states.len(), rows.len()), (9, 17));
    let mut used = vec![0; rows.len()];
    for (source, name) in SOURCES {
        for answer in &answers() {
            for (is_in_use, known) in [(true, false), (true, true), (false, false), (false, true)] {
                let number = if is_in_use { "in use" } else { "earlier" };
                let fits = |row: &Row| {
                    row.source == name
                        && (row.of == number || row.of == "any")
                        && means(row.says.trim_end_matches(", known"), source, answer)
                };
                let about: Vec<usize> = (0..rows.len()).filter(|at| fits(&rows[*at])).collect();
                let says_known = |at: &&usize| rows[**at].says.ends_with(", known");
                let at = match about.iter().find(says_known) {
                    Some(at) if known => *at,
                    Some(_) => *about.iter().find(|at| !says_known(at)).unwrap(),
                    None => {
                        assert_eq!(about.len(), 1, "{name} {number} {answer:?}");
                        about[0]
                    }
                };
                used[at] += 1;
                for (state, expected) in states.iter().zip(&rows[at].verdicts) {
                    let verdict = weigh(&item(*state), &news(source, answer, is_in_use, known));
                    assert_eq!(
                        word(verdict),
                        expected,
                        "{name} {number} {answer:?} known {known}: {state}"
                    );
                }
                for state in [State::Rejected, State::Skipped] {
                    let verdict = weigh(&item(state), &news(source, answer, is_in_use, known));
                    assert_eq!(verdict, EvidenceVerdict::Ignore, "{state}");
                }
            }
        }
    }
    assert!(used.iter().all(|times| *times > 0), "{used:?}");
}

#[test]
fn the_alarms_are_those_of_another_amount_and_of_money_under_an_earlier_number() {
    for (source, _) in SOURCES {
        for answer in &answers() {
            for state in State::ALL {
                let EvidenceVerdict::Alarm(alarm) =
                    weigh(&item(state), &news(source, answer, false, false))
                else {
                    continue;
                };
                let expected = if matches!(answer, Answer::Done(_)) {
                    Alarm::MoneyMoved
                } else {
                    Alarm::AmountDiffers
                };
                assert_eq!(alarm, expected, "{source:?} {answer:?} {state}");
            }
        }
    }
}

#[test]
fn a_notification_waits_for_whoever_has_claimed_the_item_it_would_query() {
    for state in [State::Pending, State::Unknown] {
        for answer in &answers() {
            let claimed = Evidence {
                is_claimed: true,
                ..news(EvidenceSource::Notification, answer, true, false)
            };
            let free = news(EvidenceSource::Notification, answer, true, false);
            let (free, claimed) = (weigh(&item(state), &free), weigh(&item(state), &claimed));
            let expected = if free == EvidenceVerdict::QueryNow {
                EvidenceVerdict::Wait
            } else {
                free
            };
            assert_eq!(claimed, expected, "{answer:?}");
        }
    }
}

#[test]
fn the_receipt_that_is_known_is_nothing_new() {
    let same = Answer::Done(Receipt("R1".into()));
    for is_in_use in [true, false] {
        let verdict = weigh(
            &item(State::Succeeded),
            &news(EvidenceSource::Notification, &same, is_in_use, false),
        );
        assert_eq!(verdict, EvidenceVerdict::Ignore);
        let late = follow(
            &item(State::Succeeded),
            &news(EvidenceSource::LateReply, &same, is_in_use, false),
            &policy(),
            Timestamp::from_millis(9),
        );
        assert_eq!(late.unwrap(), Consequence::Ignore);
    }
}

#[test]
fn nothing_but_a_success_changes_a_state() {
    let now = Timestamp::from_millis(9);
    for (source, _) in SOURCES {
        for answer in &answers() {
            for (is_in_use, known) in [(true, false), (true, true), (false, false), (false, true)] {
                for state in State::ALL {
                    let (item, news) = (item(state), news(source, answer, is_in_use, known));
                    let Consequence::Move(moved) = follow(&item, &news, &policy(), now).unwrap()
                    else {
                        continue;
                    };
                    let succeeds =
                        moved.item.state == State::Succeeded && matches!(answer, Answer::Done(_));
                    assert!(
                        succeeds || moved.item.state == state,
                        "{source:?} {answer:?} {state}: {moved:?}"
                    );
                    assert!(
                        moved.item.state != state || moved.alarm.is_some(),
                        "a move that changes nothing tells somebody: {moved:?}"
                    );
                    if moved.alarm.is_some() {
                        assert_eq!(moved.reason, Some("as the news says".into()));
                    }
                }
            }
        }
    }
}

#[test]
fn after_an_alarm_what_is_open_is_asked_about_and_the_rest_is_done_at_its_time() {
    let done = Answer::Done(Receipt("R2".into()));
    let next_at = Some(Timestamp::from_millis(5));
    let mismatch = Answer::from(Cause::Mismatch);
    for (answer, is_in_use) in [(&done, false), (&mismatch, true)] {
        for state in [State::Pending, State::Unknown, State::NeedsReview] {
            let news = Evidence {
                next_at,
                ..news(EvidenceSource::Notification, answer, is_in_use, false)
            };
            let Consequence::Move(moved) =
                follow(&item(state), &news, &policy(), Timestamp::from_millis(9)).unwrap()
            else {
                panic!("{state}");
            };
            let expected = if state == State::NeedsReview {
                next_at
            } else {
                Some(news.query_at)
            };
            assert_eq!(
                (moved.next_at, moved.item),
                (expected, item(state)),
                "{state}"
            );
        }
    }
}

#[test]
fn a_success_closes_what_is_open_and_alarms_nobody() {
    let done = Answer::Done(Receipt("R2".into()));
    // A late reply is recorded; what it says of the number in use is queried.
    for &(source, name) in &SOURCES[1..] {
        for state in [State::Pending, State::Unknown] {
            let news = news(source, &done, true, false);
            let followed = follow(&item(state), &news, &policy(), Timestamp::from_millis(9));
            let Ok(Consequence::Move(moved)) = followed else {
                panic!("{name} of {state}: {followed:?}");
            };
            assert_eq!(
                (moved.item.state, moved.alarm),
                (State::Succeeded, None),
                "{name} of {state}"
            );
        }
    }
}
