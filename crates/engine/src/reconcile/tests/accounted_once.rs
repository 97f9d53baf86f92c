//! Whatever items and lines there are: each is accounted for exactly once, and the sums add up.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;

use super::reconcile_fixture::{Fate, ReconcileFixture, money, number, paid, reasons, refunded};
use payrun_domain::item::State;
use payrun_domain::money::{Amount, Currency, decimal_text};
use payrun_ledger::{LineKind, StatementLine};

const DAYS: [&str; 2] = ["2026-11-20", "2026-11-21"];

/// An item, and the lines that the gateway has of it: on which day, with which amount.
#[derive(Debug, Clone)]
struct Story {
    refund: bool,
    fate: Fate,
    /// Hours after the beginning of the day before the first.
    hour: u32,
    amount: i64,
    yen: bool,
    lines: Vec<(usize, i64, LineTruth)>,
}

/// How a line tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineTruth {
    Truly,
    OfAStranger,
    Revoked,
    Other,
}

fn story() -> impl Strategy<Value = Story> {
    let fates = vec![
        Fate::Succeeds,
        Fate::Succeeds,
        Fate::Succeeds,
        Fate::Unknown,
        Fate::Pending,
        Fate::NeedsReview,
        Fate::Fails,
        Fate::Planned,
        Fate::NextNumber,
    ];
    let told = vec![
        LineTruth::Truly,
        LineTruth::Truly,
        LineTruth::Truly,
        LineTruth::OfAStranger,
        LineTruth::Revoked,
        LineTruth::Other,
    ];
    let line = (
        0..2_usize,
        prop_oneof![4 => Just(0_i64), 1 => 1..3_i64],
        prop::sample::select(told),
    );
    (
        any::<bool>(),
        prop::sample::select(fates),
        0..72_u32,
        100..100_000_i64,
        any::<bool>(),
        prop::collection::vec(line, 0..3),
    )
        .prop_map(|(refund, fate, hour, amount, yen, lines)| Story {
            refund,
            fate,
            hour,
            amount,
            yen,
            lines,
        })
}

impl Story {
    fn amount(&self, more: i64) -> Amount {
        let code = if self.yen { "JPY" } else { "HKD" };
        Amount::from_minor(self.amount + more, Currency::parse(code).unwrap()).unwrap()
    }

    fn kind(&self) -> &'static str {
        if self.refund { "refund" } else { "deduct" }
    }

    fn local(&self) -> String {
        format!("2026-11-{} {:02}:30", 19 + self.hour / 24, self.hour % 24)
    }

    fn line(&self, key: &str, place: u64, more: i64, told: LineTruth) -> StatementLine {
        let amount = self.amount(more).to_string();
        let key = if told == LineTruth::OfAStranger {
            format!("not-{key}-{place}")
        } else {
            key.to_owned()
        };
        let line = if self.refund {
            refunded(place, &key, &amount)
        } else {
            paid(place, &key, &amount)
        };
        let revoked = || StatementLine {
            kind: LineKind::Reversal,
            state: "REVOKED".to_owned(),
            ..line.clone()
        };
        let line = match told {
            LineTruth::Truly | LineTruth::OfAStranger => line,
            LineTruth::Revoked if self.refund => StatementLine {
                state: "ABNORMAL".to_owned(),
                ..line
            },
            LineTruth::Revoked => revoked(),
            LineTruth::Other => StatementLine {
                kind: LineKind::Other,
                ..line
            },
        };
        let amount = self.amount(more);
        StatementLine {
            fee: Some((1, amount.currency())),
            settled: Some((amount.minor() - 1, amount.currency())),
            ..line
        }
    }
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// The report, all lines, and what our books say succeeded in these days: by kind and currency.
async fn told(stories: &[Story]) -> (Value, Vec<StatementLine>, Sums) {
    let world = ReconcileFixture::new().await;
    let mut lines: [Vec<StatementLine>; 2] = [Vec::new(), Vec::new()];
    for (place, story) in stories.iter().enumerate() {
        let key = format!("K{place}");
        world
            .sent(
                story.kind(),
                &story.local(),
                &[(&key, &story.amount(0).to_string(), story.fate)],
            )
            .await;
        for (day, more, told) in &story.lines {
            let place = u64::try_from(lines[*day].len()).unwrap() + 1;
            lines[*day].push(story.line(&key, place, *more, *told));
        }
    }
    for (day, lines) in DAYS.into_iter().zip(&lines) {
        world.statement(day, lines.clone()).await;
    }
    world.reconcile(DAYS[0], DAYS[1], "").await;
    let mut ours = Sums::new();
    for (place, story) in stories.iter().enumerate() {
        // What was planned was never sent, though a line may have shown that it happened.
        let sent_inside = story.hour >= 24 && story.fate != Fate::Planned;
        if sent_inside && world.state(&format!("K{place}")).await == State::Succeeded {
            let side = if story.refund { "refunds" } else { "payments" };
            *ours
                .entry((side, story.amount(0).currency().code()))
                .or_default() += i128::from(story.amount);
        }
    }
    (world.report(DAYS[0], DAYS[1]), lines.concat(), ours)
}

type Sums = BTreeMap<(&'static str, &'static str), i128>;

/// The gateway's sums by currency, as the lines have them.
fn theirs(lines: &[StatementLine], kind: LineKind) -> BTreeMap<&'static str, i128> {
    let mut sums = BTreeMap::new();
    for line in lines
        .iter()
        .filter(|line| line.kind == kind && line.state != "ABNORMAL")
    {
        let amount = line.amount.unwrap();
        *sums.entry(amount.currency().code()).or_default() += i128::from(amount.minor());
    }
    sums
}

fn assert_accounted(stories: &[Story], report: &Value, lines: &[StatementLine], ours: &Sums) {
    let (counts, reasons) = (&report["counts"], reasons(report));
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|name| reasons.get(*name).copied().unwrap_or_default())
            .sum::<u64>()
    };
    let line_reasons = of(&[
        "state",
        "amount",
        "currency",
        "missing_here",
        "refund_of_another_system",
        "duplicate_line",
    ]);
    let accounted = count(&counts["matched_lines"])
        + count(&counts["other_lines"])
        + count(&counts["closed_by_statement"]);
    assert_eq!(count(&counts["lines"]), u64::try_from(lines.len()).unwrap());
    assert_eq!(
        count(&counts["lines"]),
        accounted + line_reasons,
        "every line once: {report:#}"
    );
    let differences = report["differences"].as_array().unwrap();
    let before = differences
        .iter()
        .filter(|one| one["day"] == "2026-11-19" && one["reason"] == "missing_there")
        .count();
    assert_eq!(before, 0, "the statement of the day before is not there");
    assert_eq!(
        count(&counts["items"]),
        count(&counts["listed_items"]) + of(&["missing_there", "timing"]),
        "every item once: {report:#}"
    );
    let sent_inside = |story: &&Story| story.hour >= 24 && story.fate == Fate::Succeeds;
    assert!(
        count(&counts["items"])
            >= u64::try_from(stories.iter().filter(sent_inside).count()).unwrap()
    );
    for (side, kind) in [
        ("payments", LineKind::Payment),
        ("refunds", LineKind::Refund),
    ] {
        let empty = serde_json::Map::new();
        let sums = report["sums"].as_object().unwrap_or(&empty);
        let theirs = theirs(lines, kind);
        for (code, sums) in sums {
            let expected = theirs.get(code.as_str()).copied().unwrap_or_default();
            let expected = decimal_text(expected, Currency::parse(code).unwrap());
            assert_eq!(sums[side]["theirs"]["sum"], expected, "{report:#}");
            let booked = ours
                .iter()
                .find(|((kind, currency), _)| *kind == side && *currency == code);
            let booked = decimal_text(
                booked.map_or(0, |(_, sum)| *sum),
                Currency::parse(code).unwrap(),
            );
            assert_eq!(sums[side]["ours"]["sum"], booked, "{report:#}");
        }
        let codes: Vec<_> = sums.keys().map(String::as_str).collect();
        assert!(theirs.keys().all(|code| codes.contains(code)));
    }
}

#[test]
fn every_line_and_every_item_is_accounted_for_exactly_once_and_the_sums_add_up() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 48,
        ..Config::default()
    });
    let stories = prop::collection::vec(story(), 0..12);
    let held = runner.run(&stories, |stories| {
        let (report, lines, ours) = runtime.block_on(told(&stories));
        assert_accounted(&stories, &report, &lines, &ours);
        Ok(())
    });
    held.unwrap();
}

#[tokio::test]
async fn more_lines_and_items_than_a_page_are_all_seen() {
    let world = ReconcileFixture::new().await;
    let keys: Vec<String> = (0..900).map(|key| format!("K{key}")).collect();
    let rows: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), "1 HKD", Fate::Succeeds))
        .collect();
    world.sent("deduct", "2026-11-20 12:00", &rows).await;
    let lines = keys
        .iter()
        .skip(1)
        .zip(1..)
        .map(|(key, line)| paid(line, key, "1 HKD"));
    let more = (900..1300).map(|line| StatementLine {
        order_no: format!("S-{line}"),
        ..paid(line, "x", "1 HKD")
    });
    world.statement("2026-11-20", lines.chain(more)).await;
    world.reconcile("2026-11-20", "2026-11-20", "").await;
    let report = world.report("2026-11-20", "2026-11-20");
    assert_eq!(
        (
            count(&report["counts"]["lines"]),
            count(&report["counts"]["matched_lines"])
        ),
        (1299, 899)
    );
    assert_eq!(
        reasons(&report),
        BTreeMap::from([
            ("missing_here".to_owned(), 400),
            ("missing_there".to_owned(), 1)
        ])
    );
    assert_eq!(report["sums"]["HKD"]["payments"]["ours"]["sum"], "900.00");
    assert_eq!(
        number("deduct", "K0", 1),
        report["differences"][400]["order_no"]
    );
    assert_eq!(money("900 HKD").decimal(), "900.00");
}
