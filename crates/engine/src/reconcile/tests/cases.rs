//! Each reason by an example, and what a line may do to an item.

use std::collections::BTreeMap;

use super::reconcile_fixture::{
    Fate, ReconcileFixture, at, facts, money, number, paid, reasons, refunded,
};
use payrun_domain::answer::{Answer, Cause, Receipt};
use payrun_domain::item::State;
use payrun_ledger::{LineKind, StatementLine};

const DAY: &str = "2026-11-20";
const BEFORE: &str = "2026-11-19";
const AFTER: &str = "2026-11-21";
const NOON: &str = "2026-11-20 12:00";

/// The one difference that a world of these days has, found for the first time.
async fn only(world: &ReconcileFixture, reason: &str) -> serde_json::Value {
    let difference = found(world, reason, "new").await;
    assert_eq!(difference["found"], "new", "{difference}");
    difference
}

/// The same, found for the first time (`new`) or `again`, which fails no reconciliation.
async fn found(world: &ReconcileFixture, reason: &str, when: &str) -> serde_json::Value {
    let item = world.reconcile(DAY, DAY, "").await;
    let report = world.report(DAY, DAY);
    assert_eq!(
        reasons(&report),
        BTreeMap::from([(reason.to_owned(), 1)]),
        "{report:#}"
    );
    let state = if reason == "timing" || when == "again" {
        State::Succeeded
    } else {
        State::Failed
    };
    assert_eq!(item.state, state, "{item:?}");
    report["differences"][0].clone()
}

async fn with(rows: &[(&str, &str, Fate)], lines: Vec<StatementLine>) -> ReconcileFixture {
    let world = ReconcileFixture::new().await;
    world.sent("deduct", NOON, rows).await;
    world.statement(DAY, lines).await;
    world
}

#[tokio::test]
async fn what_agrees_is_done_and_says_where_the_report_is() {
    let world = ReconcileFixture::new().await;
    world
        .sent(
            "deduct",
            NOON,
            &[
                ("A", "12.50 HKD", Fate::Succeeds),
                ("own:N-1", "3 JPY", Fate::Succeeds),
            ],
        )
        .await;
    world
        .sent("refund", NOON, &[("R", "2.50 HKD", Fate::Succeeds)])
        .await;
    let own = StatementLine {
        order_no: "N-1".to_owned(),
        ..paid(2, "own:N-1", "3 JPY")
    };
    let withdrawal = StatementLine {
        kind: LineKind::Other,
        order_no: String::new(),
        amount: None,
        ..own.clone()
    };
    let withdrawal = StatementLine {
        line: 4,
        ..withdrawal
    };
    world
        .statement(
            DAY,
            [
                paid(1, "A", "12.50 HKD"),
                own,
                refunded(3, "R", "2.50 HKD"),
                withdrawal,
            ],
        )
        .await;
    let item = world.reconcile(DAY, DAY, "").await;
    let facts = facts(&item);
    assert_eq!(
        (
            item.state,
            facts["differences"].as_u64(),
            facts["lines"].as_u64()
        ),
        (State::Succeeded, Some(0), Some(4))
    );
    assert_eq!(item.receipt.unwrap().len(), 64);
    assert_eq!(facts["sums"]["HKD"]["refunds"]["theirs"]["sum"], "2.50");
    for name in ["report_csv", "report_json", "report_html"] {
        assert!(std::fs::exists(facts[name].as_str().unwrap()).unwrap());
    }
    let report = world.report(DAY, DAY);
    assert_eq!(report["verdict"], "matched");
    assert_eq!(report["counts"]["matched_lines"], 3);
}

#[tokio::test]
async fn a_day_without_its_statement_is_asked_about_again_later() {
    let world = with(&[], vec![]).await;
    let item = world.reconcile(DAY, AFTER, "").await;
    assert_eq!(item.state, State::Planned);
    assert!(item.next_at.is_some());
    assert_eq!(facts(&item)["missing_days"], serde_json::json!([AFTER]));
    assert!(!world.folder.path().join("files/reports").exists());
}

#[tokio::test]
async fn days_and_rates_that_cannot_be_used_are_refused() {
    let world = with(&[], vec![]).await;
    for (from, to, rate) in [
        (AFTER, DAY, ""),
        (DAY, DAY, "eight percent"),
        (DAY, DAY, "1.5"),
        (DAY, DAY, "-0.1"),
    ] {
        let item = world.reconcile(from, to, rate).await;
        assert_eq!(item.state, State::Failed, "{from} {to} {rate}");
        assert!(facts(&item).contains_key("mistake"));
    }
}

#[tokio::test]
async fn a_payment_or_refund_that_is_not_ours_is_named() {
    let stranger = StatementLine {
        order_no: "SHOP-1".to_owned(),
        ..paid(1, "X", "9 HKD")
    };
    let difference = only(&with(&[], vec![stranger]).await, "missing_here").await;
    assert_eq!(
        (&difference["order_no"], &difference["theirs"]),
        (&"SHOP-1".into(), &"9.00".into())
    );
    only(
        &with(&[], vec![refunded(1, "X", "9 HKD")]).await,
        "refund_of_another_system",
    )
    .await;
}

#[tokio::test]
async fn another_amount_and_another_currency_are_two_things() {
    let succeeded = [("A", "12.50 HKD", Fate::Succeeds)];
    let difference = only(
        &with(&succeeded, vec![paid(1, "A", "12.51 HKD")]).await,
        "amount",
    )
    .await;
    assert_eq!(
        (&difference["ours"], &difference["theirs"]),
        (&"12.50".into(), &"12.51".into())
    );
    only(
        &with(&succeeded, vec![paid(1, "A", "12.50 USD")]).await,
        "currency",
    )
    .await;
}

#[tokio::test]
async fn a_success_that_was_revoked_differs_in_state_and_a_failure_that_was_revoked_agrees() {
    let revoked = || StatementLine {
        kind: LineKind::Reversal,
        state: "REVOKED".to_owned(),
        ..paid(1, "A", "1 HKD")
    };
    only(
        &with(&[("A", "1 HKD", Fate::Succeeds)], vec![revoked()]).await,
        "state",
    )
    .await;
    let world = with(&[("A", "1 HKD", Fate::Fails)], vec![revoked()]).await;
    assert_eq!(world.reconcile(DAY, DAY, "").await.state, State::Succeeded);
    only(
        &with(&[("A", "1 HKD", Fate::Unknown)], vec![revoked()]).await,
        "state",
    )
    .await;
}

#[tokio::test]
async fn what_we_took_back_ourselves_agrees() {
    for (way, fate, agrees) in [
        ("reverse", Fate::Succeeds, true),
        ("deduction", Fate::Succeeds, true),
        ("reverse", Fate::Fails, false),
    ] {
        let revoked = StatementLine {
            kind: LineKind::Reversal,
            state: "REVOKED".to_owned(),
            ..paid(2, "A", "1 HKD")
        };
        let world = with(
            &[("A", "1 HKD", Fate::Succeeds)],
            vec![paid(1, "A", "1 HKD"), revoked.clone()],
        )
        .await;
        world
            .sent(
                "cancel",
                NOON,
                &[(&format!("{}/{way}", revoked.order_no), "1 HKD", fate)],
            )
            .await;
        let item = world.reconcile(DAY, DAY, "").await;
        assert_eq!(
            item.state == State::Succeeded,
            agrees,
            "{way} {fate:?}: {:#}",
            world.report(DAY, DAY)
        );
    }
}

#[tokio::test]
async fn a_refund_that_did_not_arrive_differs_and_one_under_way_counts_as_done() {
    for (state, differs) in [
        ("PROCESSING", false),
        ("SUCCESS", false),
        ("ABNORMAL", true),
        ("SOMETHING", true),
    ] {
        let world = ReconcileFixture::new().await;
        world
            .sent("refund", NOON, &[("R", "1 HKD", Fate::Succeeds)])
            .await;
        world
            .statement(
                DAY,
                [StatementLine {
                    state: state.to_owned(),
                    ..refunded(1, "R", "1 HKD")
                }],
            )
            .await;
        world.reconcile(DAY, DAY, "").await;
        assert_eq!(
            reasons(&world.report(DAY, DAY)).contains_key("state"),
            differs,
            "{state}"
        );
    }
}

#[tokio::test]
async fn a_line_closes_what_was_unknown_or_pending_or_needs_review() {
    for fate in [Fate::Unknown, Fate::Pending, Fate::NeedsReview] {
        let world = with(&[("A", "12.50 HKD", fate)], vec![paid(7, "A", "12.50 HKD")]).await;
        assert_eq!(
            world.reconcile(DAY, DAY, "").await.state,
            State::Succeeded,
            "{fate:?}"
        );
        let item = world.item("A").await;
        assert_eq!(
            (item.state, item.receipt.as_deref(), item.next_at),
            (State::Succeeded, Some("T-A"), None)
        );
        let attempts = world.engine.ledger.attempts(item.id).await.unwrap();
        let last = attempts.last().unwrap();
        assert_eq!(
            (last.operation.as_str(), last.answer.as_str()),
            ("statement", "done")
        );
        assert_eq!(
            last.evidence,
            "the statement of 2026-11-20, line 7: 12.50 HKD, T-A"
        );
        let report = world.report(DAY, DAY);
        assert_eq!(report["closed_by_statement"][0]["line"], 7);
        assert_eq!(
            (
                report["counts"]["items"].as_u64(),
                report["counts"]["listed_items"].as_u64()
            ),
            (Some(1), Some(1))
        );
        world.reconcile(DAY, DAY, "").await;
        let report = world.report(DAY, DAY);
        assert_eq!(
            (
                &report["counts"]["matched_lines"],
                &report["counts"]["closed_by_statement"]
            ),
            (&1.into(), &0.into())
        );
    }
}

#[tokio::test]
async fn an_open_refund_is_closed_by_its_own_number() {
    let world = ReconcileFixture::new().await;
    world
        .sent(
            "refund",
            NOON,
            &[("R", "5 HKD", Fate::Unknown), ("S", "5 HKD", Fate::Unknown)],
        )
        .await;
    world
        .statement(DAY, [refunded(1, "R", "5 HKD"), refunded(2, "S", "4 HKD")])
        .await;
    world.reconcile(DAY, DAY, "").await;
    assert_eq!(
        (world.state("R").await, world.state("S").await),
        (State::Succeeded, State::Unknown)
    );
    assert_eq!(world.item("R").await.receipt.as_deref(), Some("T-R"));
    assert_eq!(
        reasons(&world.report(DAY, DAY)),
        BTreeMap::from([("amount".to_owned(), 1)])
    );
}

#[tokio::test]
async fn a_refund_line_without_our_number_is_found_by_the_gateways() {
    let world = ReconcileFixture::new().await;
    world
        .refunded_from("T-paid", "R", "5 HKD", Fate::Succeeds)
        .await;
    let nameless = |line, key| StatementLine {
        refund_no: String::new(),
        transaction_id: "T-paid".to_owned(),
        state: "Refund".to_owned(),
        ..refunded(line, key, "5 HKD")
    };
    world
        .statement(
            DAY,
            [nameless(1, "R"), nameless(2, "R"), nameless(3, "another")],
        )
        .await;
    world.reconcile(DAY, DAY, "").await;
    let report = world.report(DAY, DAY);
    let expected = [("duplicate_line", 1), ("refund_of_another_system", 1)]
        .map(|(name, count)| (name.to_owned(), count));
    assert_eq!(reasons(&report), BTreeMap::from(expected));
    assert_eq!(
        (
            &report["counts"]["matched_lines"],
            &report["counts"]["listed_items"]
        ),
        (&1.into(), &1.into())
    );
}

#[tokio::test]
async fn a_line_of_an_item_of_another_day_agrees_and_is_counted() {
    let world = ReconcileFixture::new().await;
    world
        .sent(
            "deduct",
            "2026-11-19 23:59",
            &[("A", "1 HKD", Fate::Succeeds)],
        )
        .await;
    world.statement(DAY, [paid(1, "A", "1 HKD")]).await;
    assert_eq!(world.reconcile(DAY, DAY, "").await.state, State::Succeeded);
    let counts = &world.report(DAY, DAY)["counts"];
    assert_eq!(
        (&counts["lines_of_other_days"], &counts["items"]),
        (&1.into(), &0.into())
    );
}

#[tokio::test]
async fn money_that_moved_for_a_failed_item_is_an_alarm_once_and_one_difference() {
    let world = with(&[("A", "1 HKD", Fate::Fails)], vec![paid(1, "A", "1 HKD")]).await;
    for when in ["new", "again"] {
        let difference = found(&world, "state", when).await;
        assert_eq!(
            (&difference["our_state"], &difference["their_state"]),
            (&"failed".into(), &"SUCCESS".into())
        );
    }
    let item = world.item("A").await;
    assert_eq!(item.state, State::Failed);
    assert!(
        item.reason
            .unwrap()
            .starts_with("money moved: the statement of 2026-11-20, line 1, has 1.00 HKD")
    );
    let alarms = world.engine.ledger.events(item.id).await.unwrap();
    assert_eq!(
        alarms
            .iter()
            .filter_map(|event| event.alarm.as_deref())
            .collect::<Vec<_>>(),
        ["money_moved"]
    );
}

#[tokio::test]
async fn a_planned_item_whose_money_moved_is_never_sent_again() {
    for (fate, generation) in [(Fate::Planned, 1), (Fate::NextNumber, 1)] {
        let line = StatementLine {
            order_no: number("deduct", "A", generation),
            ..paid(1, "A", "1 HKD")
        };
        let world = with(&[("A", "1 HKD", fate)], vec![line]).await;
        assert_eq!(world.state("A").await, State::Planned);
        world.reconcile(DAY, DAY, "").await;
        assert_eq!(
            reasons(&world.report(DAY, DAY)),
            BTreeMap::from([("state".to_owned(), 1)]),
            "{fate:?}"
        );
        let item = world.item("A").await;
        assert_eq!((item.state, item.next_at), (State::Succeeded, None));
    }
}

#[tokio::test]
async fn money_that_moved_in_another_amount_for_an_item_at_rest_is_an_alarm_and_changes_nothing() {
    for fate in [Fate::Planned, Fate::Fails] {
        let world = with(&[("A", "1 HKD", fate)], vec![paid(1, "A", "2 HKD")]).await;
        let before = world.state("A").await;
        only(&world, "state").await;
        assert_eq!(world.state("A").await, before);
    }
}

#[tokio::test]
async fn what_was_sent_after_an_early_statement_was_fetched_is_not_missing_there() {
    let world = ReconcileFixture::new().await;
    world
        .sent("deduct", NOON, &[("A", "12.50 HKD", Fate::Succeeds)])
        .await;
    world
        .sent(
            "deduct",
            "2026-11-20 15:00",
            &[("B", "12.50 HKD", Fate::Succeeds)],
        )
        .await;
    world
        .statement_at(DAY, "2026-11-20 14:00", &[], [paid(1, "A", "12.50 HKD")])
        .await;
    assert!(
        only(&world, "timing").await["detail"]
            .as_str()
            .unwrap()
            .contains("when the day was not over")
    );
    // The whole file of the next day takes its place.
    world
        .statement_at(
            DAY,
            "2026-11-21 10:15",
            &[],
            [paid(1, "A", "12.50 HKD"), paid(2, "B", "12.50 HKD")],
        )
        .await;
    world.reconcile(DAY, DAY, "").await;
    assert_eq!(world.report(DAY, DAY)["verdict"], "matched");
}

#[tokio::test]
async fn a_total_that_counts_otherwise_is_a_difference_beside_the_lines() {
    let world = ReconcileFixture::new().await;
    world
        .sent("deduct", NOON, &[("A", "12.50 HKD", Fate::Succeeds)])
        .await;
    let remarks = ["手续费总金额 is not what the lines sum up to"];
    world
        .statement_at(
            DAY,
            "2026-11-21 10:15",
            &remarks,
            [paid(1, "A", "12.50 HKD")],
        )
        .await;
    let difference = only(&world, "summary").await;
    assert_eq!(
        (&difference["day"], &difference["detail"]),
        (&DAY.into(), &remarks[0].into())
    );
    assert_eq!(world.report(DAY, DAY)["counts"]["matched_lines"], 1);
}

#[tokio::test]
async fn an_item_that_stands_nowhere_is_missing_there() {
    let world = with(
        &[
            ("A", "1 HKD", Fate::Succeeds),
            ("B", "1 HKD", Fate::Succeeds),
        ],
        vec![paid(1, "A", "1 HKD")],
    )
    .await;
    let difference = only(&world, "missing_there").await;
    assert_eq!(difference["order_no"], number("deduct", "B", 1));
}

#[tokio::test]
async fn an_item_in_the_statement_of_another_day_is_timing() {
    let world = with(&[("A", "1 HKD", Fate::Succeeds)], vec![]).await;
    world.statement(AFTER, [paid(1, "A", "1 HKD")]).await;
    let difference = only(&world, "timing").await;
    assert_eq!(
        difference["detail"],
        "it stands in the statement of 2026-11-21"
    );
}

#[tokio::test]
async fn near_midnight_it_is_timing_until_the_statement_beside_is_there() {
    for (local, beside) in [("2026-11-20 23:30", AFTER), ("2026-11-20 00:30", BEFORE)] {
        let world = ReconcileFixture::new().await;
        world
            .sent("deduct", local, &[("A", "1 HKD", Fate::Succeeds)])
            .await;
        world.statement(DAY, []).await;
        only(&world, "timing").await;
        world.statement(beside, []).await;
        only(&world, "missing_there").await;
    }
}

#[tokio::test]
async fn what_was_timing_yesterday_and_is_nowhere_today_is_missing() {
    let world = ReconcileFixture::new().await;
    world
        .sent(
            "deduct",
            "2026-11-19 23:30",
            &[
                ("A", "1 HKD", Fate::Succeeds),
                ("B", "1 HKD", Fate::Succeeds),
            ],
        )
        .await;
    world.statement(BEFORE, []).await;
    world.statement(DAY, [paid(1, "B", "1 HKD")]).await;
    let difference = only(&world, "missing_there").await;
    assert_eq!(
        (&difference["order_no"], &difference["day"]),
        (&number("deduct", "A", 1).into(), &BEFORE.into())
    );
}

#[tokio::test]
async fn a_number_that_stands_twice_is_told_of_once_each_time() {
    let world = with(
        &[("A", "1 HKD", Fate::Succeeds)],
        vec![paid(1, "A", "1 HKD"), paid(2, "A", "1 HKD")],
    )
    .await;
    assert_eq!(only(&world, "duplicate_line").await["line"], 2);
    world.statement(AFTER, [paid(1, "A", "1 HKD")]).await;
    world.reconcile(AFTER, AFTER, "").await;
    assert_eq!(
        reasons(&world.report(AFTER, AFTER)),
        BTreeMap::from([("duplicate_line".to_owned(), 1)])
    );
}

#[tokio::test]
async fn a_payment_and_its_refund_are_no_duplicates_and_neither_are_two_refunds_of_one_payment() {
    let world = with(&[("A", "3 HKD", Fate::Succeeds)], vec![]).await;
    world
        .sent(
            "refund",
            NOON,
            &[
                ("R", "1 HKD", Fate::Succeeds),
                ("S", "2 HKD", Fate::Succeeds),
            ],
        )
        .await;
    let order_no = || number("deduct", "A", 1);
    let of_it = |line, key, amount| StatementLine {
        order_no: order_no(),
        ..refunded(line, key, amount)
    };
    world
        .statement(
            AFTER,
            [
                paid(1, "A", "3 HKD"),
                of_it(2, "R", "1 HKD"),
                of_it(3, "S", "2 HKD"),
            ],
        )
        .await;
    assert_eq!(
        world.reconcile(DAY, AFTER, "").await.state,
        State::Succeeded
    );
}

#[tokio::test]
async fn a_charge_under_an_earlier_number_is_an_alarm_once_and_one_difference() {
    let again = Answer::Done(Receipt("T-again".to_owned()));
    let ends = [
        (again, State::Succeeded, 0),
        (Answer::from(Cause::TimedOut), State::Unknown, 1),
        (Answer::Accepted, State::Pending, 1),
    ];
    for (end, state, alarms) in ends {
        let world = with(
            &[("A", "1 HKD", Fate::NextNumber)],
            vec![paid(1, "A", "1 HKD")],
        )
        .await;
        // The second number is sent before the statement is looked at.
        world.send_again("A", "2026-12-21 12:00", &end).await;
        for when in ["new", "again"] {
            let difference = found(&world, "state", when).await;
            assert!(
                difference["detail"]
                    .as_str()
                    .unwrap()
                    .contains("charged twice"),
                "{difference}"
            );
        }
        let item = world.item("A").await;
        assert_eq!(
            (item.state, item.next_at.is_some()),
            (state, state.is_open()),
            "its own end is still to be found out"
        );
        let events = world.engine.ledger.events(item.id).await.unwrap();
        assert_eq!(
            events
                .iter()
                .filter(|event| event.alarm.as_deref() == Some("money_moved"))
                .count(),
            alarms
        );
    }
}

#[tokio::test]
async fn a_fee_is_checked_to_the_minor_unit() {
    let fee = |line, key, minor| StatementLine {
        fee: Some((minor, money("1 HKD").currency())),
        ..paid(line, key, "100 HKD")
    };
    let rows = ["A", "B", "C", "D"].map(|key| (key, "100 HKD", Fate::Succeeds));
    let world = with(
        &rows,
        vec![
            fee(1, "A", 80),
            fee(2, "B", 81),
            fee(3, "C", 82),
            paid(4, "D", "100 HKD"),
        ],
    )
    .await;
    world.reconcile(DAY, DAY, "0.008").await;
    let report = world.report(DAY, DAY);
    assert_eq!(reasons(&report), BTreeMap::from([("fee".to_owned(), 2)]));
    assert_eq!(
        report["differences"][0]["detail"],
        "the fee is 0.82, the rate gives 0.8"
    );
    assert_eq!(
        report["differences"][1]["detail"],
        "the fee is none, the rate gives 0.8"
    );
    assert_eq!(report["counts"]["matched_lines"], 4);
}

#[tokio::test]
async fn jobs_and_items_of_other_times_are_left_alone() {
    let world = with(
        &[("A", "1 HKD", Fate::Succeeds)],
        vec![paid(1, "A", "1 HKD")],
    )
    .await;
    world
        .sent(
            "deduct",
            "2026-11-18 12:00",
            &[("early", "1 HKD", Fate::Succeeds)],
        )
        .await;
    world
        .sent(
            "deduct",
            "2026-11-22 12:00",
            &[("late", "1 HKD", Fate::Succeeds)],
        )
        .await;
    assert_eq!(world.reconcile(DAY, DAY, "").await.state, State::Succeeded);
    assert!(at("2026-11-20 00:00") < at(NOON));
}
