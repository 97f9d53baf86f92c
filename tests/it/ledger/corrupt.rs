//! Values that no version of payrun writes: they are told by table, row and column, and nothing is
//! made up in their place.

use std::fmt::Debug;

use payrun::domain::answer::{Answer, Decline, DeclineClass, NumberRule};
use payrun::domain::item::State;
use payrun::ledger::{LedgerError, OperatorAction};

use super::ledger_fixture::{Desk, answered, at, by};
use super::on_every_engine;

/// Where the value is that cannot be read.
pub(super) fn place_of<T: Debug>(result: Result<T, LedgerError>) -> String {
    match result {
        Err(LedgerError::Corrupt { table, id, column }) => format!("{table} {id} {column}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_of_an_item_that_cannot_be_read_is_claimed_by_nobody() {
    on_every_engine(|place| async move {
        for (change, column) in [
            ("state = 'somewhere'", "state"),
            ("generation = -1", "generation"),
            ("submit_count = -1", "submit_count"),
            ("key_hash = null", "key_hash"),
            ("query_purpose = '{'", "query_purpose"),
            ("order_no = 'no number'", "order_no"),
            ("result = '{'", "result"),
            ("result = '[]'", "result"),
        ] {
            let place = place.fresh().await;
            let desk = Desk::with_items(&place, 1).await;
            let change = format!("update items set {change} where id = 1");
            place.run(change.leak()).await;
            let claimed = desk.ledger.claim_due(desk.request(at(1), 1)).await;
            assert_eq!(place_of(claimed), format!("items 1 {column}"));
        }
    });
}

#[test]
fn limits_of_a_lane_that_cannot_be_read_let_nothing_go_faster() {
    on_every_engine(|place| async move {
        for (columns, column) in [
            ("-1, 1000, null", "rate_calls"),
            ("1, -1000, null", "rate_per"),
            ("1, null, null", "rate_per"),
            ("1, 1000, -1", "concurrency"),
        ] {
            let place = place.fresh().await;
            let desk = Desk::with_items(&place, 1).await;
            let insert = format!(
                "insert into lane_limits (name, rate_calls, rate_per, concurrency, at, actor, reason, audit) \
                 values ('hk', {columns}, 0, 'ann', 'a test', 1)"
            );
            place.run(insert.leak()).await;
            let read = desk.ledger.lane_limits("hk").await;
            assert_eq!(place_of(read), format!("lane_limits hk {column}"));
            if column != "concurrency" {
                let claimed = desk.ledger.claim_due(desk.request(at(1), 1)).await;
                assert_eq!(place_of(claimed), format!("lane_limits hk {column}"));
                assert_eq!(desk.states().await, [State::Planned]);
            }
        }
    });
}

#[test]
fn what_is_known_of_an_item_is_not_written_over_where_it_cannot_be_read() {
    on_every_engine(|place| async move {
        let desk = Desk::with_items(&place, 1).await;
        let cancelled = desk
            .ledger
            .apply_action(1, &OperatorAction::Cancel, &by("ann"), at(1))
            .await;
        assert!(cancelled.is_ok(), "{cancelled:?}");
        place
            .run("update items set result = '{' where id = 1")
            .await;
        let retried = desk
            .ledger
            .apply_action(1, &OperatorAction::Retry, &by("ann"), at(2))
            .await;
        assert_eq!(place_of(retried), "items 1 result");
        assert_eq!(desk.states().await, [State::Cancelled]);
    });
}

#[test]
fn words_that_steer_are_not_guessed() {
    on_every_engine(|place| async move {
        let desk = Desk::with_items(&place, 1).await;
        let claimed = desk.claim(at(1), 1).await;
        let answer = Answer::Declined(Decline {
            code: "NO".to_owned(),
            class: DeclineClass::Hard,
            number: NumberRule::Same,
        });
        let settled = desk
            .ledger
            .settle(answered(&claimed[0], answer, at(2)))
            .await;
        assert!(settled.is_ok(), "{settled:?}");
        let job = desk.ledger.item(1).await.unwrap().unwrap().job_id;
        for change in [
            "update events set event = 'something' where item_id = 1 and version = 1",
            "update attempts set kind = 'something' where item_id = 1",
            "update items set reason_code = 'something' where id = 1",
            "update jobs set failure_code = 'something'",
        ] {
            place.run(change).await;
        }
        let ledger = &desk.ledger;
        assert_eq!(place_of(ledger.events(1).await), "events 1 event");
        assert_eq!(place_of(ledger.attempts(1).await), "attempts 1 kind");
        let retried = ledger
            .apply_action(1, &OperatorAction::Retry, &by("ann"), at(3))
            .await;
        assert_eq!(place_of(retried), "items 1 reason_code");
        assert_eq!(
            place_of(ledger.jobs(1).await),
            format!("jobs {job} failure_code")
        );
    });
}

#[test]
fn facts_of_settlements_and_remarks_of_statements_are_not_made_up() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        place
            .run(
                "insert into settlements (lane, batch_id, state, facts, first_seen, last_seen) \
                 values ('hk', 'B-7', 'SETTLED', '{', 1, 1)",
            )
            .await;
        place
            .run(
                "insert into statements (id, lane, day, sha256, location, lines, remarks, fetched_at) \
                 values (5, 'hk', '2026-03-01', '', '', 0, '[', 1)",
            )
            .await;
        assert_eq!(
            place_of(ledger.settlements("hk", "", 10).await),
            "settlements B-7 facts"
        );
        assert_eq!(
            place_of(ledger.statements("hk", "2026-03-01", "2026-03-02").await),
            "statements 5 remarks"
        );
    });
}

#[test]
fn totals_lanes_notifications_and_policies_that_cannot_be_read_are_told_by_their_place() {
    on_every_engine(|place| async move {
        let desk = Desk::with_items(&place, 1).await;
        place
            .run("insert into totals (job_id, state, currency, items, minor) values (1, 'succeeded', 'X?', 1, 5)")
            .await;
        assert_eq!(place_of(desk.ledger.totals(1).await), "totals 1 currency");
        place
            .run("insert into lanes (name, state, reason) values ('hk/deduct', 'zz', 'a test')")
            .await;
        let lanes = desk.ledger.closed_lanes(at(1)).await;
        assert_eq!(place_of(lanes), "lanes hk/deduct state");
        place.run("update jobs set policy = '{' where id = 1").await;
        let cancel = desk
            .ledger
            .apply_action(1, &OperatorAction::Cancel, &by("ann"), at(2))
            .await;
        assert_eq!(place_of(cancel), "jobs 1 policy");
    });
}
