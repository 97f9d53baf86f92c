//! What a gateway tells of its own accord: kept once, put to the state machine once, and never a
//! step back.

use std::time::Duration;

use payrun::domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule, Receipt};
use payrun::domain::ids::OrderNumber;
use payrun::domain::item::State;
use payrun::domain::money::{Amount, Currency};
use payrun::domain::time::Timestamp;
use payrun::ledger::{
    Claimed, Ledger, NewNotification, NotificationClaim, NotificationFilter, NotificationOutcome,
    NotificationRow,
};

use super::ledger_fixture::{LedgerWorker, answered, at, done, item_of};
use super::on_every_engine;

fn new(digest: &str, order: &str, received_at: Timestamp) -> NewNotification {
    NewNotification {
        lane: "hk".into(),
        digest: digest.into(),
        received_at,
        headers: "{}".into(),
        body: "e30=".into(),
        sealed: false,
        order_no: Some(order.into()),
    }
}

async fn kept(ledger: &Ledger, digest: &str, order: &OrderNumber) -> NotificationRow {
    ledger
        .keep_notification(new(digest, order.as_str(), at(1)))
        .await
        .unwrap();
    let rows = ledger
        .notifications(&NotificationFilter::default(), None, 100)
        .await
        .unwrap();
    rows.into_iter().find(|row| row.digest == digest).unwrap()
}

fn said(
    row: &NotificationRow,
    claimed: &Claimed,
    answer: Answer,
    now: Timestamp,
) -> NotificationClaim {
    NotificationClaim {
        notification: row.id,
        item_id: claimed.id(),
        order_no: claimed.order_no().clone(),
        answer,
        amount: Amount::from_minor(900, Currency::parse("HKD").unwrap()).ok(),
        differs: "it names 9.00 HKD, ours is 10.00 HKD".into(),
        facts: serde_json::Map::from_iter([("state".to_owned(), "SUCCESS".into())]),
        evidence: "as it came".into(),
        numbers: Vec::new(),
        query_interval: Duration::from_secs(10),
        now,
    }
}

/// A notification about a claim, put to the state machine.
async fn tell(
    worker: &LedgerWorker,
    claimed: &Claimed,
    digest: &str,
    answer: Answer,
    now: Timestamp,
) -> NotificationOutcome {
    let row = kept(&worker.ledger, digest, claimed.order_no()).await;
    let outcome = worker
        .ledger
        .apply_notifications(&[said(&row, claimed, answer, now)])
        .await
        .unwrap()[0];
    let written = worker
        .ledger
        .notification(row.id)
        .await
        .unwrap()
        .unwrap()
        .outcome;
    // What it once did stays written.
    assert_eq!(
        written,
        if row.outcome == NotificationOutcome::Open {
            outcome
        } else {
            row.outcome
        }
    );
    outcome
}

async fn with_answer(place: &super::LedgerPlace, answer: Answer) -> (LedgerWorker, Claimed) {
    let worker = LedgerWorker::with_items(place, 1).await;
    let claimed = worker.claim(at(1), 1).await.remove(0);
    worker
        .ledger
        .settle(answered(&claimed, answer, at(2)))
        .await
        .unwrap();
    (worker, claimed)
}

fn declined() -> Answer {
    Answer::Declined(Decline {
        code: "ABNORMAL".into(),
        class: DeclineClass::Hard,
        number: NumberRule::Same,
    })
}

#[test]
fn the_same_body_is_one_notification_however_often_it_comes() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let one = || ledger.keep_notification(new("a", "O-1", at(1)));
        // Some of them share a commit.
        for kept in futures_util::future::join_all((0..20).map(|_| one())).await {
            kept.unwrap();
        }
        one().await.unwrap();
        ledger
            .keep_notification(new("b", "O-1", at(2)))
            .await
            .unwrap();
        ledger
            .keep_notification(NewNotification {
                lane: "other".into(),
                ..new("a", "O-1", at(3))
            })
            .await
            .unwrap();
        let of_order = NotificationFilter {
            order_no: Some("O-1".into()),
            ..NotificationFilter::default()
        };
        let rows = ledger.notifications(&of_order, None, 10).await.unwrap();
        let shown: Vec<_> = rows
            .iter()
            .map(|row| (&*row.lane, &*row.digest, row.repeats, row.outcome))
            .collect();
        assert_eq!(
            shown,
            [
                ("other", "a", 0, NotificationOutcome::Open),
                ("hk", "b", 0, NotificationOutcome::Open),
                ("hk", "a", 20, NotificationOutcome::Open)
            ]
        );
        assert_eq!(ledger.notifications_due(at(2), 10).await.unwrap().len(), 2);
        let page = ledger
            .notifications(&of_order, Some(rows[0].id), 1)
            .await
            .unwrap();
        assert_eq!(page[0].digest, "b");
    });
}

#[test]
fn money_that_moved_closes_what_is_open_once_and_frees_its_contract() {
    on_every_engine(|place| async move {
        for answer in [Answer::from(Cause::TimedOut), Answer::Accepted] {
            let place = place.fresh().await;
            let worker =
                LedgerWorker::with(&place, &[item_of(1, "A", "C-1"), item_of(2, "B", "C-1")]).await;
            let claimed = worker.claim(at(1), 2).await.remove(0);
            worker
                .ledger
                .settle(answered(&claimed, answer, at(2)))
                .await
                .unwrap();
            assert_eq!(
                worker.claim(at(2), 2).await.len(),
                0,
                "the contract is busy"
            );
            assert_eq!(
                tell(&worker, &claimed, "a", done(), at(3)).await,
                NotificationOutcome::Applied
            );
            let row = worker.ledger.item(claimed.id()).await.unwrap().unwrap();
            assert_eq!(
                (row.state, row.receipt.as_deref(), row.next_at),
                (State::Succeeded, Some("R1"), None)
            );
            assert_eq!(row.result.as_deref(), Some(r#"{"state":"SUCCESS"}"#));
            let attempts = worker.ledger.attempts(claimed.id()).await.unwrap();
            assert_eq!(
                attempts
                    .last()
                    .map(|last| (&*last.operation, &*last.evidence)),
                Some(("notification", "as it came"))
            );
            let events = worker.ledger.events(claimed.id()).await.unwrap().len();
            for digest in ["a", "b"] {
                assert_eq!(
                    tell(&worker, &claimed, digest, done(), at(4)).await,
                    NotificationOutcome::NoChange
                );
            }
            assert_eq!(
                worker.ledger.events(claimed.id()).await.unwrap().len(),
                events,
                "nothing is written twice"
            );
            assert_eq!(
                worker.claim(at(5), 2).await.len(),
                1,
                "the next of the contract"
            );
            worker.assert_sound().await;
        }
    });
}

#[test]
fn what_is_being_sent_is_left_to_its_call_and_the_notification_waits() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        assert_eq!(
            tell(&worker, &claimed, "a", done(), at(1)).await,
            NotificationOutcome::Open
        );
        assert_eq!(worker.states().await, [State::Sending]);
        assert!(
            worker
                .ledger
                .notifications_due(at(1), 9)
                .await
                .unwrap()
                .is_empty()
        );
        let due = worker
            .ledger
            .notifications_due(at(2), 9)
            .await
            .unwrap()
            .remove(0);
        worker
            .ledger
            .settle(answered(&claimed, Answer::from(Cause::TimedOut), at(2)))
            .await
            .unwrap();
        let outcome = worker
            .ledger
            .apply_notifications(&[said(&due, &claimed, done(), at(3))])
            .await
            .unwrap();
        assert_eq!(
            (outcome, worker.states().await),
            (vec![NotificationOutcome::Applied], vec![State::Succeeded])
        );
        worker.assert_sound().await;
    });
}

#[test]
fn whatever_else_a_notification_says_is_a_reason_to_ask_and_not_before_the_gateway_wants_it() {
    on_every_engine(|place| async move {
        let says = [
            Answer::Accepted,
            declined(),
            Answer::Absent,
            Answer::from(Cause::Ambiguous),
        ];
        for (place_of, answer) in says.into_iter().enumerate() {
            let place = place.fresh().await;
            let (worker, claimed) = with_answer(&place, Answer::Accepted).await;
            let before = worker.items().await;
            let digest = format!("{place_of}");
            assert_eq!(
                tell(&worker, &claimed, &digest, answer, at(2)).await,
                NotificationOutcome::Queried
            );
            let after = worker.items().await;
            assert_eq!(
                (after[0].state, &after[0].reason),
                (State::Pending, &before[0].reason)
            );
            // It was called at 2; it is due after a second anyway.
            assert_eq!(after[0].next_at, before[0].next_at);
            worker.assert_sound().await;
        }
    });
}

#[test]
fn nothing_that_comes_out_of_order_lowers_a_state() {
    on_every_engine(|place| async move {
        let (worker, claimed) = with_answer(&place, done()).await;
        for (digest, answer, outcome) in [
            ("a", Answer::Accepted, NotificationOutcome::NoChange),
            ("b", Answer::Absent, NotificationOutcome::NoChange),
            (
                "c",
                Answer::from(Cause::Unmapped),
                NotificationOutcome::NoChange,
            ),
            ("d", done(), NotificationOutcome::NoChange),
            ("e", declined(), NotificationOutcome::Contradicts),
            ("f", declined(), NotificationOutcome::NoChange),
            (
                "g",
                Answer::Done(Receipt("R2".into())),
                NotificationOutcome::Contradicts,
            ),
            (
                "h",
                Answer::Done(Receipt("R2".into())),
                NotificationOutcome::NoChange,
            ),
        ] {
            assert_eq!(
                tell(&worker, &claimed, digest, answer, at(5)).await,
                outcome,
                "{digest}"
            );
            assert_eq!(worker.states().await, [State::Succeeded]);
        }
        let alarms: Vec<_> = worker
            .ledger
            .events(claimed.id())
            .await
            .unwrap()
            .into_iter()
            .filter_map(|event| event.alarm)
            .collect();
        assert_eq!(alarms, ["success_denied", "second_receipt"]);
        worker.assert_sound().await;
    });
}

#[test]
fn another_amount_is_an_alarm_once_and_closes_nothing() {
    on_every_engine(|place| async move {
        let (worker, claimed) = with_answer(&place, Answer::from(Cause::TimedOut)).await;
        assert_eq!(
            tell(&worker, &claimed, "a", Answer::from(Cause::Mismatch), at(3)).await,
            NotificationOutcome::Mismatch
        );
        assert_eq!(
            tell(&worker, &claimed, "b", Answer::from(Cause::Mismatch), at(4)).await,
            NotificationOutcome::NoChange
        );
        let row = worker.items().await.remove(0);
        assert_eq!(
            (row.state, row.next_at),
            (State::Unknown, Some(at(12))),
            "it is queried when the gateway allows"
        );
        assert!(
            row.reason
                .unwrap()
                .ends_with("it names 9.00 HKD, ours is 10.00 HKD")
        );
        let events = worker.ledger.events(claimed.id()).await.unwrap();
        assert_eq!(
            events
                .iter()
                .filter_map(|event| event.alarm.as_deref())
                .collect::<Vec<_>>(),
            ["amount_differs"]
        );
        // The sentence does not say whether it is the same: what it is about does.
        for (digest, minor, differs, outcome) in [
            ("c", 900, "reworded", NotificationOutcome::NoChange),
            ("d", 901, "reworded", NotificationOutcome::Mismatch),
            ("e", 901, "reworded again", NotificationOutcome::NoChange),
        ] {
            let kept = kept(&worker.ledger, digest, claimed.order_no()).await;
            let said = NotificationClaim {
                amount: Amount::from_minor(minor, Currency::parse("HKD").unwrap()).ok(),
                differs: differs.into(),
                ..said(&kept, &claimed, Answer::from(Cause::Mismatch), at(5))
            };
            let told = worker.ledger.apply_notifications(&[said]).await.unwrap();
            assert_eq!(told, [outcome], "{digest}");
        }
        worker.assert_sound().await;
    });
}

#[test]
fn money_under_a_number_that_was_given_up_is_an_alarm_and_what_waits_to_be_sent_is_not_sent() {
    on_every_engine(|place| async move {
        let (worker, claimed) = with_answer(&place, declined()).await;
        assert_eq!(worker.states().await, [State::Failed]);
        assert_eq!(
            tell(&worker, &claimed, "a", done(), at(3)).await,
            NotificationOutcome::Contradicts
        );
        assert_eq!(worker.states().await, [State::Failed]);
        let other = place.fresh().await;
        let planned = LedgerWorker::with_items(&other, 1).await;
        let given_back = planned.claim(at(1), 1).await.remove(0);
        planned
            .ledger
            .settle(super::ledger_fixture::unsent(&given_back, at(2)))
            .await
            .unwrap();
        assert_eq!(
            tell(&planned, &given_back, "a", done(), at(3)).await,
            NotificationOutcome::Applied
        );
        assert_eq!(
            (planned.states().await, planned.claim(at(9), 9).await.len()),
            (vec![State::Succeeded], 0)
        );
        worker.assert_sound().await;
        planned.assert_sound().await;
    });
}

#[test]
fn what_has_ended_is_forgotten_after_a_time_and_what_is_open_never() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        for (digest, second) in [("a", 1), ("b", 2), ("c", 30)] {
            ledger
                .keep_notification(new(digest, "O", at(second)))
                .await
                .unwrap();
        }
        let rows = ledger.notifications_due(at(60), 9).await.unwrap();
        ledger
            .end_notification(
                rows[0].id,
                NotificationOutcome::UnknownOrder,
                "nobody has it",
                None,
            )
            .await
            .unwrap();
        ledger
            .end_notification(
                rows[2].id,
                NotificationOutcome::UnknownOrder,
                "nobody has it",
                None,
            )
            .await
            .unwrap();
        assert_eq!(ledger.prune_notifications(at(20), 100).await.unwrap(), 1);
        let left = ledger
            .notifications(&NotificationFilter::default(), None, 9)
            .await
            .unwrap();
        assert_eq!(
            left.iter().map(|row| &*row.digest).collect::<Vec<_>>(),
            ["c", "b"]
        );
    });
}
