//! Values that no version of payrun writes: they are told by table, row and column, and nothing is
//! made up in their place.

use std::fmt::Debug;

use chrono::NaiveDate;
use payrun::domain::actor::Actor;
use payrun::domain::answer::{Answer, Decline, DeclineClass, NumberRule};
use payrun::domain::ids::KeyHash;
use payrun::domain::item::State;
use payrun::ledger::{Ledger, LedgerError, ListedApprovals, OperatorAction, ReopenRequest};
use payrun::view::ItemView;

use super::ledger_fixture::{LedgerWorker, answered, at, by, item, planning};
use super::{LedgerPlace, on_every_engine};

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
            ("input = '{'", "input"),
            ("input = '[]'", "input"),
        ] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with_items(&place, 1).await;
            let change = format!("update items set {change} where id = 1");
            place.run(change.leak()).await;
            let claimed = worker.ledger.claim_due(worker.request(at(1), 1)).await;
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
            let worker = LedgerWorker::with_items(&place, 1).await;
            let insert = format!(
                "insert into lane_limits (name, rate_calls, rate_per, concurrency, at, actor, reason, audit) \
                 values ('hk', {columns}, 0, 'ann', 'a test', 1)"
            );
            place.run(insert.leak()).await;
            let read = worker.ledger.lane_limits("hk").await;
            assert_eq!(place_of(read), format!("lane_limits hk {column}"));
            if column != "concurrency" {
                let claimed = worker.ledger.claim_due(worker.request(at(1), 1)).await;
                assert_eq!(place_of(claimed), format!("lane_limits hk {column}"));
                assert_eq!(worker.states().await, [State::Planned]);
            }
        }
    });
}

#[test]
fn what_is_known_of_an_item_is_not_written_over_where_it_cannot_be_read() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let cancelled = worker
            .ledger
            .apply_action(1, &OperatorAction::Cancel, &by("ann"), at(1))
            .await;
        assert!(cancelled.is_ok(), "{cancelled:?}");
        place
            .run("update items set result = '{' where id = 1")
            .await;
        let retried = worker
            .ledger
            .apply_action(1, &OperatorAction::Retry, &by("ann"), at(2))
            .await;
        assert_eq!(place_of(retried), "items 1 result");
        assert_eq!(worker.states().await, [State::Cancelled]);
    });
}

#[test]
fn words_that_steer_are_not_guessed() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await;
        let answer = Answer::Declined(Decline {
            code: "NO".to_owned(),
            class: DeclineClass::Hard,
            number: NumberRule::Same,
        });
        let settled = worker
            .ledger
            .settle(answered(&claimed[0], answer, at(2)))
            .await;
        assert!(settled.is_ok(), "{settled:?}");
        let job = worker.ledger.item(1).await.unwrap().unwrap().job_id;
        for change in [
            "update events set event = 'something' where item_id = 1 and version = 1",
            "update attempts set kind = 'something' where item_id = 1",
            "update items set reason_code = 'something' where id = 1",
            "update jobs set failure_code = 'something'",
        ] {
            place.run(change).await;
        }
        let ledger = &worker.ledger;
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
        let worker = LedgerWorker::with_items(&place, 1).await;
        place
            .run("insert into totals (job_id, state, currency, items, minor) values (1, 'succeeded', 'X?', 1, 5)")
            .await;
        assert_eq!(place_of(worker.ledger.totals(1).await), "totals 1 currency");
        place
            .run("insert into lanes (name, state, reason) values ('hk/deduct', 'zz', 'a test')")
            .await;
        let lanes = worker.ledger.closed_lanes(at(1)).await;
        assert_eq!(place_of(lanes), "lanes hk/deduct state");
        place.run("update jobs set policy = '{' where id = 1").await;
        let cancel = worker
            .ledger
            .apply_action(1, &OperatorAction::Cancel, &by("ann"), at(2))
            .await;
        assert_eq!(place_of(cancel), "jobs 1 policy");
    });
}

/// A contract with a period that has lapsed.
const LAPSED: [&str; 2] = [
    "insert into contracts (id, contract, account, state, currency, prices, every, anchor, start_on, pay_within, description, created_at) \
     values (1, 'C-1', 'account', 'active', 'HKD', '[[\"2026-01-01\",1000]]', 'month', 1, '2026-01-01', 5, '', 0)",
    "insert into contract_periods (contract_id, period, due, state, amount, recorded_at) \
     values (1, '2026-02', '2026-02-01', 'lapsed', 1000, 0)",
];

#[test]
fn a_period_whose_day_cannot_be_read_is_not_reopened() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        for insert in LAPSED {
            place.run(insert).await;
        }
        place
            .run("update contract_periods set due = 'some day'")
            .await;
        let today = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        let reopening = ReopenRequest {
            period: "2026-02".to_owned(),
            until: today,
            who: Actor::at_console("ann", "ann").unwrap(),
            why: "a test".to_owned(),
            today,
            now: at(1),
        };
        let reopened = ledger.reopen_period(1, &reopening).await;
        assert_eq!(place_of(reopened), "contract_periods 2026-02 due");
        place
            .run("update contract_periods set due = '2026-02-01', pay_by = 'one day'")
            .await;
        let periods = ledger.contract_periods(1, "", 10).await;
        assert_eq!(place_of(periods), "contract_periods 2026-02 pay_by");
    });
}

#[test]
fn a_change_of_a_contract_that_cannot_be_read_is_not_shown_as_nothing() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        for (before, after, column) in [("'{'", "'{}'", "before"), ("null", "'{'", "after")] {
            let insert = format!(
                "insert into contract_changes (id, contract_id, at, actor, change, reason, before, after) \
                 values (7, 1, 0, 'ann', 'changed', 'a test', {before}, {after})"
            );
            place.run(LAPSED[0]).await;
            place.run(insert.leak()).await;
            let changes = ledger.contract_changes(Some(1), 0, 10).await;
            assert_eq!(place_of(changes), format!("contract_changes 7 {column}"));
            place.run("delete from contract_changes").await;
            place.run("delete from contracts").await;
        }
    });
}

#[test]
fn an_item_that_cannot_be_read_is_shown_to_nobody() {
    on_every_engine(|place| async move {
        for (change, column) in [
            ("line = -1", "line"),
            ("currency = null", "currency"),
            ("state = 'somewhere'", "state"),
        ] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with_items(&place, 1).await;
            let change = format!("update items set {change} where id = 1");
            place.run(change.leak()).await;
            assert_eq!(
                place_of(worker.ledger.item(1).await),
                format!("items 1 {column}")
            );
        }
        for (result, is_read) in [("{", false), ("[]", false), ("{}", true)] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with_items(&place, 1).await;
            let change = format!("update items set result = '{result}' where id = 1");
            place.run(change.leak()).await;
            let item = worker.ledger.item(1).await.unwrap().unwrap();
            match ItemView::of(&item) {
                Ok(view) => assert!(is_read && view.result.is_some(), "{result}"),
                unread => assert_eq!(
                    (place_of(unread).as_str(), is_read),
                    ("items 1 result", false)
                ),
            }
        }
    });
}

#[test]
fn a_key_whose_item_cannot_be_read_is_not_compared() {
    on_every_engine(|place| async move {
        for (change, column) in [
            ("line = -1", "line"),
            ("state = 'somewhere'", "state"),
            ("content_hash = x'00'", "content_hash"),
        ] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with_items(&place, 1).await;
            let change = match (column, &place) {
                ("content_hash", LedgerPlace::Postgres(_)) => "content_hash = '\\x00'",
                _ => change,
            };
            let change = format!("update items set {change} where id = 1");
            place.run(change.leak()).await;
            let (mut planning, job) = planning(&worker.ledger, "2").await;
            let planned = planning.items(job, &[item(1, "K-1")]).await;
            assert_eq!(place_of(planned), format!("items 1 {column}"));
        }
    });
}

#[test]
fn a_refund_without_an_amount_does_not_count_as_nothing() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let account = KeyHash::of("hk", "account", "account");
        let payment = KeyHash::of(&hex::encode(account.as_bytes()), "payment", "4200");
        let payment = hex::encode(payment.as_bytes());
        let bytes = match &place {
            LedgerPlace::Sqlite(_) => format!("x'{payment}'"),
            LedgerPlace::Postgres(_) => format!("'\\x{payment}'"),
        };
        let change = format!(
            "update items set state = 'succeeded', node = null, amount = null, currency = null, refunded_payment = {bytes}"
        );
        place.run(change.leak()).await;
        let taken = worker.ledger.taken_from(account, &["4200"]).await;
        assert_eq!(place_of(taken), "items 1 amount");
    });
}

#[test]
fn sums_of_a_batch_in_no_currency_are_not_shown_as_money() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        for sums in ["{", "[]", "{\"X?\":1000}", "{\"HKD\":\"1000\"}"] {
            let insert = format!(
                "insert into approvals (id, job_id, state, author, needed, content_hash, items, sums, asked_at, expires_at) \
                 values (3, {}, 'waiting', 'ann', 1, '', 1, '{sums}', 0, 9)",
                worker.job
            );
            place.run(insert.leak()).await;
            let read = worker
                .ledger
                .approvals(ListedApprovals::All, i64::MAX, 10)
                .await;
            assert_eq!(place_of(read), "approvals 3 sums", "{sums}");
            place.run("delete from approvals").await;
        }
    });
}

#[test]
fn a_schema_whose_version_cannot_be_read_is_no_empty_database() {
    on_every_engine(|place| async move {
        place.open().await.close().await;
        place
            .run("alter table _sqlx_migrations rename column version to other")
            .await;
        let opened = match &place {
            LedgerPlace::Sqlite(folder) => Ledger::open(&folder.path().join("ledger.db")).await,
            LedgerPlace::Postgres(schema) => Ledger::connect(&schema.address()).await,
        };
        match opened.map(|_| ()) {
            Err(LedgerError::Database { operation, .. }) => {
                assert_eq!(operation, "reading the version of its schema");
            }
            other => panic!("{other:?}"),
        }
    });
}
