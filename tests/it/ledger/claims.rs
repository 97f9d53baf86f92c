//! Claim is intent, settle is outcome, a lease that runs out is asked about.

use crate::support::said::assert_said;
use expect_test::expect;
use std::collections::HashSet;
use std::time::Duration;

use payrun::domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule, Receipt};
use payrun::domain::item::{Resolution, State};
use payrun::ledger::{
    ActionResult, ClaimKind, Claimed, CommitFault, LaneState, OperatorAction, SettleOutcome,
};

use super::ledger_fixture::{
    LedgerWorker, answered, answered_with, at, by, done, item, item_of, planning, unsent,
};
use super::{LedgerPlace, on_every_engine};
use payrun::domain::history::EventKind;
use sqlx::{AssertSqlSafe, Executor};

fn timed_out() -> Answer {
    Answer::from(Cause::TimedOut)
}

#[test]
fn what_is_claimed_is_sending_under_its_number_before_the_claimer_knows() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 3).await;
        let claimed = worker.claim(at(1), 2).await;
        assert_eq!(
            claimed.iter().map(|one| one.claim_kind).collect::<Vec<_>>(),
            [ClaimKind::Submit, ClaimKind::Submit]
        );
        let other = place.open().await;
        for one in &claimed {
            let row = other.item(one.id()).await.unwrap().unwrap();
            assert_eq!(
                (row.state, row.order_no.as_deref()),
                (State::Sending, Some(one.order_no().as_str()))
            );
            assert_eq!(
                (row.next_at, row.lease_until),
                (None, Some(one.lease_until)),
                "it is looked at again when the lease ends"
            );
        }
        assert_eq!(
            worker.states().await,
            [State::Sending, State::Sending, State::Planned]
        );
        worker.assert_sound().await;
    });
}

#[test]
fn two_claimers_never_get_the_same_item() {
    on_every_engine(|place| async move {
        let one = LedgerWorker::with_items(&place, 300).await;
        let other = one.beside(&place, 2).await;
        let (mut got, mut of_other) = (Vec::new(), Vec::new());
        loop {
            // Both ask at the same moment.
            let (mine, others) = tokio::join!(one.claim(at(1), 7), other.claim(at(1), 7));
            if mine.is_empty() && others.is_empty() {
                break;
            }
            got.extend(mine.iter().map(Claimed::id));
            of_other.extend(others.iter().map(Claimed::id));
        }
        let union: HashSet<i64> = got.iter().chain(&of_other).copied().collect();
        assert_eq!((union.len(), got.len() + of_other.len()), (300, 300));
        assert!(
            got.len() > 100 && of_other.len() > 100,
            "both had their share"
        );
    });
}

#[test]
fn a_settlement_moves_the_item_and_the_totals_in_one_commit() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        assert_eq!(
            worker
                .ledger
                .settle(answered(&claimed, done(), at(2)))
                .await
                .unwrap(),
            SettleOutcome::Applied
        );
        let row = worker.ledger.item(claimed.id()).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.receipt.as_deref(), row.next_at),
            (State::Succeeded, Some("R1"), None)
        );
        let run = worker.ledger.runs(None, 1).await.unwrap()[0].id;
        let mut totals: Vec<_> = worker
            .ledger
            .totals(run)
            .await
            .unwrap()
            .iter()
            .map(|t| (t.state, t.items, t.minor))
            .collect();
        totals.sort();
        assert_eq!(
            totals,
            [(State::Planned, 1, 1000), (State::Succeeded, 1, 1000)]
        );
        assert_eq!(
            worker.moves(claimed.id()).await,
            ["claim planned>sending", "done sending>succeeded"]
        );
        worker.assert_sound().await;
    });
}

#[test]
fn a_settlement_given_twice_counts_once() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        let settlement = answered(&claimed, done(), at(2));
        assert_eq!(
            worker.ledger.settle(settlement.clone()).await.unwrap(),
            SettleOutcome::Applied
        );
        assert_eq!(
            worker.ledger.settle(settlement).await.unwrap(),
            SettleOutcome::Late
        );
        assert_eq!(worker.ledger.attempts(claimed.id()).await.unwrap().len(), 1);
        assert_eq!(worker.moves(claimed.id()).await.len(), 2);
        worker.assert_sound().await;
    });
}

#[test]
fn a_lease_that_runs_out_makes_the_item_unknown_and_it_is_asked_about() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        assert!(worker.claim(at(60), 1).await.is_empty(), "the lease holds");
        assert!(
            worker.claim(at(61), 1).await.is_empty(),
            "the first look finds out that it has run out"
        );
        assert_eq!(worker.states().await, [State::Unknown]);
        let again = worker.claim(at(61), 1).await.remove(0);
        assert_eq!(
            (again.claim_kind, again.order_no()),
            (ClaimKind::Query, claimed.order_no())
        );
        assert_eq!(
            worker.moves(claimed.id()).await,
            [
                "claim planned>sending",
                "abandoned sending>unknown",
                "claim unknown>unknown"
            ]
        );
        worker.assert_sound().await;
    });
}

#[test]
fn a_query_whose_lease_runs_out_is_asked_again() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        worker
            .ledger
            .settle(answered(&claimed, timed_out(), at(2)))
            .await
            .unwrap();
        assert_eq!(
            worker.claim(at(10), 1).await[0].claim_kind,
            ClaimKind::Query
        );
        assert!(
            worker.claim(at(20), 1).await.is_empty(),
            "nobody else asks meanwhile"
        );
        assert_eq!(
            worker.claim(at(70), 1).await[0].claim_kind,
            ClaimKind::Query
        );
    });
}

#[test]
fn an_answer_that_comes_late_changes_nothing_is_kept_with_its_evidence_and_makes_us_ask() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        worker.claim(at(61), 1).await;
        assert_eq!(
            worker
                .ledger
                .settle(answered(&claimed, done(), at(62)))
                .await
                .unwrap(),
            SettleOutcome::Late
        );
        assert_eq!(
            worker.states().await,
            [State::Unknown],
            "only what is asked now counts"
        );
        let attempts = worker.ledger.attempts(claimed.id()).await.unwrap();
        let late: Vec<_> = attempts
            .iter()
            .filter(|attempt| attempt.late)
            .map(|attempt| attempt.evidence.as_str())
            .collect();
        assert_eq!(late, ["evidence of done"], "{attempts:#?}");
        assert_eq!(
            worker
                .ledger
                .settle(answered(&claimed, done(), at(62)))
                .await
                .unwrap(),
            SettleOutcome::Late
        );
        assert_eq!(
            worker.ledger.attempts(claimed.id()).await.unwrap().len(),
            attempts.len(),
            "and kept once"
        );
        assert_eq!(
            worker.claim(at(62), 1).await[0].claim_kind,
            ClaimKind::Query
        );
        worker.assert_sound().await;
    });
}

#[test]
fn a_late_success_reaches_what_is_to_be_sent_again_and_alarms_about_what_was_cancelled() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let claimed = worker.claim(at(1), 2).await;
        worker.claim(at(61), 2).await;
        for query in worker.claim(at(20_000), 2).await {
            worker
                .ledger
                .settle(answered(&query, Answer::Absent, at(20_000)))
                .await
                .unwrap();
        }
        assert_eq!(
            worker.states().await,
            [State::Planned, State::Planned],
            "the grace period is over"
        );
        worker
            .ledger
            .apply_action(
                claimed[1].id(),
                &OperatorAction::Cancel,
                &by("ann"),
                at(20_001),
            )
            .await
            .unwrap();
        for one in &claimed {
            assert_eq!(
                worker
                    .ledger
                    .settle(answered(one, done(), at(20_002)))
                    .await
                    .unwrap(),
                SettleOutcome::Late
            );
        }
        assert_eq!(worker.states().await, [State::Succeeded, State::Cancelled]);
        for (one, alarm) in claimed.iter().zip(["moved_before_sent", "money_moved"]) {
            let last = worker.ledger.events(one.id()).await.unwrap().pop().unwrap();
            assert_eq!(
                (last.event.as_str(), last.alarm.as_deref()),
                ("late_done", Some(alarm))
            );
        }
        assert!(
            worker.claim(at(20_003), 2).await.is_empty(),
            "nothing is sent again"
        );
        worker.assert_sound().await;
    });
}

/// A call that was made after its item had ended: nobody asks any more, so somebody must be told.
#[test]
fn a_call_that_came_to_be_made_after_the_end_is_an_alarm_whatever_it_was_answered() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 5).await;
        let mut claimed = worker.claim(at(1), 5).await;
        worker.claim(at(61), 5).await;
        let mut questions = worker.claim(at(20_000), 5).await;
        claimed.sort_by_key(Claimed::id);
        questions.sort_by_key(Claimed::id);
        for question in &questions[..4] {
            worker
                .ledger
                .settle(answered(question, Answer::Absent, at(20_000)))
                .await
                .unwrap();
        }
        worker
            .ledger
            .settle(answered(&questions[4], hard(NumberRule::Same), at(20_000)))
            .await
            .unwrap();
        for one in &claimed[..3] {
            worker
                .ledger
                .apply_action(one.id(), &OperatorAction::Cancel, &by("ann"), at(20_001))
                .await
                .unwrap();
        }
        let answers = [
            Answer::Accepted,
            timed_out(),
            hard(NumberRule::Same),
            Answer::Accepted,
            Answer::Accepted,
        ];
        for (one, answer) in claimed.iter().zip(answers) {
            for _ in 0..2 {
                let late = answered(one, answer.clone(), at(20_002));
                assert_eq!(
                    worker.ledger.settle(late).await.unwrap(),
                    SettleOutcome::Late
                );
            }
        }
        let alarms = async |one: &Claimed| -> Vec<Option<String>> {
            let events = worker.ledger.events(one.id()).await.unwrap();
            events
                .into_iter()
                .filter(|event| event.event == EventKind::LateAnswer)
                .map(|event| event.alarm)
                .collect()
        };
        let moved = || vec![Some("money_moved".to_owned())];
        assert_eq!(alarms(&claimed[0]).await, moved(), "it was taken");
        assert_eq!(
            alarms(&claimed[1]).await,
            moved(),
            "it is not known what became of it"
        );
        assert_eq!(alarms(&claimed[2]).await, [], "it was refused");
        assert_eq!(
            alarms(&claimed[3]).await,
            [],
            "it is to be sent, under the same number"
        );
        assert_eq!(
            alarms(&claimed[4]).await,
            [],
            "the gateway had said what became of it"
        );
        let cancelled = [State::Cancelled; 3];
        assert_eq!(worker.states().await[..3], cancelled);
        assert_eq!(worker.states().await[3..], [State::Planned, State::Failed]);
        worker.assert_sound().await;
    });
}

#[test]
fn nothing_more_is_sent_of_an_item_of_which_money_moved_under_an_earlier_number() {
    on_every_engine(|place| async move {
        for state in [State::Unknown, State::NeedsReview] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with_items(&place, 1).await;
            let (first, second) = twice_sent(&worker, state).await;
            assert_ne!(first.order_no(), second.order_no());
            let late = answered_with(&first, done(), at(400), "paid after all");
            assert_eq!(
                worker.ledger.settle(late).await.unwrap(),
                SettleOutcome::Late
            );
            assert_eq!(
                worker.states().await,
                [state],
                "what became of the number in use is still to be found out"
            );
            let last = worker.ledger.events(1).await.unwrap().pop().unwrap();
            assert_eq!(
                (last.event.as_str(), last.alarm.as_deref()),
                ("late_done", Some("money_moved"))
            );
            if state == State::NeedsReview {
                worker
                    .ledger
                    .apply_action(1, &OperatorAction::Retry, &by("ann"), at(401))
                    .await
                    .unwrap();
            }
            let question = worker.claim(at(20_000), 1).await.remove(0);
            assert_eq!(question.claim_kind, ClaimKind::Query);
            worker
                .ledger
                .settle(answered(&question, Answer::Absent, at(20_000)))
                .await
                .unwrap();
            assert_eq!(worker.states().await, [State::Planned]);
            assert!(worker.claim(at(30_000), 1).await.is_empty());
            let item = worker.items().await.remove(0);
            assert_eq!(item.state, State::NeedsReview);
            assert_said(
                item.reason.unwrap(),
                expect!["under an earlier order number"],
            );
            worker.assert_sound().await;
        }
    });
}

/// The claims of an item whose first number was declined, and whose second is in this state.
async fn twice_sent(worker: &LedgerWorker, state: State) -> (Claimed, Claimed) {
    let first = worker.claim(at(1), 1).await.remove(0);
    worker
        .ledger
        .settle(answered(&first, hard(NumberRule::Next), at(2)))
        .await
        .unwrap();
    worker
        .ledger
        .apply_action(1, &OperatorAction::Retry, &by("ann"), at(3))
        .await
        .unwrap();
    let question = worker.claim(at(4), 1).await.remove(0);
    worker
        .ledger
        .settle(answered(&question, hard(NumberRule::Next), at(5)))
        .await
        .unwrap();
    let second = worker.claim(at(300), 1).await.remove(0);
    let for_a_person = Answer::Declined(Decline {
        class: DeclineClass::Person,
        ..decline(NumberRule::Same)
    });
    let answer = if state == State::NeedsReview {
        for_a_person
    } else {
        timed_out()
    };
    worker
        .ledger
        .settle(answered(&second, answer, at(301)))
        .await
        .unwrap();
    (first, second)
}

fn decline(number: NumberRule) -> Decline {
    Decline {
        code: "REFUSED".into(),
        class: DeclineClass::Hard,
        number,
    }
}

fn hard(number: NumberRule) -> Answer {
    Answer::Declined(decline(number))
}

#[test]
fn a_late_answer_does_not_spoil_those_it_is_committed_with() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 20).await;
        let first = worker.claim(at(1), 10).await;
        let second = worker.claim(at(61), 10).await;
        worker.claim(at(61), 10).await;
        assert_eq!((first.len(), second.len()), (10, 10));
        let settles = first
            .iter()
            .chain(&second)
            .map(|one| worker.ledger.settle(answered(one, done(), at(62))));
        let settled: Vec<SettleOutcome> = futures_util::future::join_all(settles)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        assert_eq!(settled[..10], [SettleOutcome::Late; 10]);
        assert_eq!(settled[10..], [SettleOutcome::Applied; 10]);
        worker.assert_sound().await;
    });
}

#[test]
fn what_is_given_back_unsent_is_planned_again_and_was_never_sent() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        worker.ledger.settle(unsent(&claimed, at(2))).await.unwrap();
        assert_eq!(worker.states().await, [State::Planned]);
        assert_eq!(worker.ledger.attempts(claimed.id()).await.unwrap().len(), 0);
        let again = worker.claim(at(2), 1).await.remove(0);
        assert_eq!(
            (again.claim_kind, again.item.submit_count),
            (ClaimKind::Submit, 1)
        );
        worker.assert_sound().await;
    });
}

#[test]
fn one_contract_is_in_flight_once_at_a_time() {
    on_every_engine(|place| async move {
        let items = [item_of(1, "A/1", "A"), item_of(2, "A/2", "A"), item(3, "B")];
        let worker = LedgerWorker::with(&place, &items).await;
        let other = worker.beside(&place, 2).await;
        let claimed = worker.claim(at(1), 3).await;
        assert_eq!(
            claimed.iter().map(|one| one.id()).collect::<Vec<_>>(),
            [1, 3],
            "the second of A waits"
        );
        assert!(other.claim(at(10), 3).await.is_empty());
        worker
            .ledger
            .settle(answered(&claimed[0], timed_out(), at(11)))
            .await
            .unwrap();
        let asked = other.claim(at(13), 3).await;
        assert_eq!(
            (asked.len(), asked[0].id(), asked[0].claim_kind),
            (1, 1, ClaimKind::Query),
            "unknown is in flight too"
        );
        other
            .ledger
            .settle(answered(&asked[0], done(), at(14)))
            .await
            .unwrap();
        assert_eq!(
            worker.claim(at(20), 3).await[0].id(),
            2,
            "now the second goes"
        );
        worker.assert_sound().await;
    });
}

#[test]
fn the_leases_of_a_dead_process_end_at_once_and_those_of_a_living_one_do_not() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let dying = worker.beside(&place, 2).await;
        assert_eq!(
            (
                worker.claim(at(1), 1).await.len(),
                dying.claim(at(1), 1).await.len()
            ),
            (1, 1)
        );
        assert_eq!(
            worker.ledger.reap_dead_nodes(at(2)).await.unwrap(),
            0,
            "both live"
        );
        drop(dying);
        // The server lets go of the lock when it has noticed that the connection is gone.
        let mut freed = 0;
        for _ in 0..100 {
            freed = worker.ledger.reap_dead_nodes(at(2)).await.unwrap();
            if freed > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(freed, 1);
        assert_eq!(
            worker.ledger.reap_dead_nodes(at(2)).await.unwrap(),
            0,
            "once is enough"
        );
        worker.claim(at(2), 5).await;
        assert_eq!(worker.states().await, [State::Sending, State::Unknown]);
        assert_eq!(worker.claim(at(2), 5).await[0].claim_kind, ClaimKind::Query);
    });
}

#[test]
fn what_the_database_will_not_take_of_one_settle_does_not_hold_up_the_others() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 3).await;
        let claimed = worker.claim(at(1), 3).await;
        place.spoil_item_2().await;
        let settles = claimed
            .iter()
            .map(|one| worker.ledger.settle(answered(one, done(), at(2))));
        let settled = futures_util::future::join_all(settles).await;
        let well: Vec<bool> = settled
            .iter()
            .map(|settled| matches!(settled, Ok(SettleOutcome::Applied)))
            .collect();
        assert_eq!(well, [true, false, true], "{settled:?}");
        assert_eq!(
            worker.states().await,
            [State::Succeeded, State::Sending, State::Succeeded]
        );
    });
}

#[test]
fn a_claim_in_doubt_is_given_back_if_it_was_made() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let other = worker.beside(&place, 2).await;
        worker.fails_to_claim(at(1), CommitFault::Untold).await;
        assert!(other.claim(at(1), 1).await.is_empty(), "it was made");
        let again = worker.claim(at(2), 1).await.remove(0);
        assert_eq!(
            (again.claim_kind, again.item.submit_count),
            (ClaimKind::Submit, 1),
            "nothing was sent for the first"
        );
        assert_eq!(
            worker.moves(1).await,
            [
                "claim planned>sending",
                "unsent sending>planned",
                "claim planned>sending"
            ]
        );
        assert_eq!(
            worker
                .ledger
                .settle(answered(&again, done(), at(3)))
                .await
                .unwrap(),
            SettleOutcome::Applied
        );
        worker.assert_sound().await;
    });
}

#[test]
fn a_claim_in_doubt_takes_nothing_from_another_who_has_claimed_it() {
    on_every_engine(|place| async move {
        for fault in [CommitFault::Lost, CommitFault::Refused] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with_items(&place, 2).await;
            let other = worker.beside(&place, 2).await;
            worker.fails_to_claim(at(1), fault).await;
            let theirs = other.claim(at(1), 1).await.remove(0);
            assert_eq!(
                worker
                    .claim(at(2), 5)
                    .await
                    .iter()
                    .map(Claimed::id)
                    .collect::<Vec<_>>(),
                [2]
            );
            assert_eq!(
                worker.moves(theirs.id()).await,
                ["claim planned>sending"],
                "{fault:?}: it is being sent"
            );
            assert_eq!(
                other
                    .ledger
                    .settle(answered(&theirs, done(), at(3)))
                    .await
                    .unwrap(),
                SettleOutcome::Applied
            );
            worker.assert_sound().await;
        }
    });
}

#[test]
fn what_was_claimed_after_a_commit_had_failed_for_another_deed_is_not_given_back() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 200).await;
        let mut told = worker.claim(at(1), 1).await;
        let mut both = 0;
        // Whether the two share a commit is not ours to say.
        for second in 2..40 {
            let before = told.last().unwrap().clone();
            worker
                .ledger
                .plan_commit_fault(Some(CommitFault::Refused))
                .await;
            let settle = worker.ledger.settle(answered(&before, done(), at(second)));
            let (settled, claimed) = tokio::join!(
                settle,
                worker.ledger.claim_due(worker.request(at(second), 1))
            );
            worker.ledger.plan_commit_fault(None).await;
            both += u32::from(settled.is_ok() && claimed.is_ok());
            told.extend(claimed.map(|(claimed, _)| claimed).unwrap_or_default());
            told.extend(worker.claim(at(second), 1).await);
        }
        assert!(both > 0, "they never shared a commit that failed");
        for one in told {
            let moves = worker.moves(one.id()).await;
            assert!(
                !moves.last().unwrap().starts_with("unsent"),
                "{moves:?}: it was told of and taken away"
            );
        }
        worker.assert_sound().await;
    });
}

/// No database keeps it in a text, and a reply may have it.
#[test]
fn a_reply_with_a_nul_is_kept() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        let settlement = answered_with(&claimed, timed_out(), at(2), "half\0a reply \\u0000");
        assert_eq!(
            worker.ledger.settle(settlement).await.unwrap(),
            SettleOutcome::Applied
        );
        assert_eq!(
            worker.ledger.attempts(1).await.unwrap()[0].evidence,
            "half\u{fffd}a reply \\u0000"
        );
        worker.assert_sound().await;
    });
}

#[test]
fn a_closed_lane_gives_nothing_until_it_is_released_or_its_time_has_come() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        worker
            .ledger
            .close_lane("hk", LaneState::Suspended, "no money", Some(at(100)), at(0))
            .await
            .unwrap();
        assert!(worker.claim(at(1), 1).await.is_empty());
        assert_eq!(worker.claim(at(100), 1).await.len(), 1);
        worker
            .ledger
            .close_lane("hk", LaneState::Stopped, "wrong key", None, at(100))
            .await
            .unwrap();
        assert!(
            worker
                .claim(at(100_000), 1)
                .await
                .iter()
                .all(|one| one.claim_kind != ClaimKind::Submit)
        );
        assert_eq!(
            worker.ledger.closed_lanes(at(100_000)).await.unwrap().len(),
            1
        );
        assert!(worker.ledger.release_lane("hk").await.unwrap());
        worker.claim(at(101), 1).await;
        assert_eq!(worker.states().await[1], State::Sending);
    });
}

#[test]
fn what_needs_review_and_is_withdrawn_holds_its_contract_until_a_person_says_what_became_of_it() {
    on_every_engine(|place| async move {
        let happened = Resolution::Succeeded(Receipt("R1".into()));
        for (finding, end) in [
            (Resolution::Failed, State::Cancelled),
            (happened, State::Succeeded),
        ] {
            let place = place.fresh().await;
            let worker =
                LedgerWorker::with(&place, &[item_of(1, "A/1", "A"), item_of(2, "A/2", "A")]).await;
            let first = worker.claim(at(1), 2).await.remove(0);
            let person = Answer::Declined(Decline {
                class: DeclineClass::Person,
                ..decline(NumberRule::Same)
            });
            worker
                .ledger
                .settle(answered(&first, person, at(2)))
                .await
                .unwrap();
            let cancel = worker
                .ledger
                .apply_action(1, &OperatorAction::Cancel, &by("ann"), at(3))
                .await
                .unwrap();
            assert_eq!(cancel, ActionResult::Withdrawn(State::NeedsReview));
            assert!(
                worker.claim(at(10), 2).await.is_empty(),
                "nobody knows what became of it"
            );
            let resolved = worker
                .ledger
                .apply_action(1, &OperatorAction::Resolve(finding), &by("ann"), at(11))
                .await
                .unwrap();
            assert_eq!(resolved, ActionResult::Moved(end));
            assert_eq!(
                worker.claim(at(12), 2).await[0].id(),
                2,
                "the contract goes on at once"
            );
            worker.assert_sound().await;
        }
    });
}

#[test]
fn a_person_cancels_what_was_not_sent_at_once_and_what_was_sent_when_it_is_known_that_it_did_not_happen()
 {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        let cancel = async |id| {
            worker
                .ledger
                .apply_action(id, &OperatorAction::Cancel, &by("ann"), at(2))
                .await
                .unwrap()
        };
        assert_eq!(
            cancel(claimed.id()).await,
            ActionResult::Withdrawn(State::Sending)
        );
        assert_eq!(
            cancel(claimed.id()).await,
            ActionResult::Withdrawn(State::Sending),
            "said twice, it is one wish"
        );
        assert_eq!(cancel(2).await, ActionResult::Moved(State::Cancelled));
        assert_eq!(cancel(99).await, ActionResult::NoSuchItem);
        assert!(
            matches!(cancel(2).await, ActionResult::Refused(_)),
            "it has ended"
        );
        assert!(
            worker.claim(at(30), 5).await.is_empty(),
            "what is cancelled is not claimed"
        );
        assert_eq!(
            worker
                .ledger
                .settle(answered(&claimed, done(), at(31)))
                .await
                .unwrap(),
            SettleOutcome::Applied
        );
        let last = worker
            .ledger
            .events(claimed.id())
            .await
            .unwrap()
            .pop()
            .unwrap();
        assert_eq!(
            (last.event.as_str(), last.alarm.as_deref()),
            ("done", Some("withdrawn_too_late"))
        );
        worker.assert_sound().await;
    });
}

#[test]
fn whatever_is_heard_of_what_was_withdrawn_nothing_is_sent_again() {
    let not_processed = || Answer::NotProcessed {
        code: "SLOW_DOWN".into(),
        after: None,
    };
    let declined = |class| {
        Answer::Declined(Decline {
            code: "NOT_ENOUGH".into(),
            class,
            number: NumberRule::Same,
        })
    };
    let answers = [
        timed_out(),
        not_processed(),
        declined(DeclineClass::Soft),
        declined(DeclineClass::Hard),
        declined(DeclineClass::Config),
        declined(DeclineClass::Funds),
        Answer::Accepted,
    ];
    on_every_engine(|place| {
        let answers = answers.clone();
        async move {
            let worker = LedgerWorker::with_items(&place, answers.len() as u64 + 1).await;
            let mut claimed = worker.claim(at(1), answers.len()).await;
            claimed.sort_by_key(Claimed::id);
            for one in &claimed {
                worker
                    .ledger
                    .apply_action(one.id(), &OperatorAction::Cancel, &by("ann"), at(2))
                    .await
                    .unwrap();
            }
            for (one, answer) in claimed.iter().zip(&answers) {
                assert_eq!(
                    worker
                        .ledger
                        .settle(answered(one, answer.clone(), at(3)))
                        .await
                        .unwrap(),
                    SettleOutcome::Applied
                );
            }
            // Given back before anything was sent: the last item's claim.
            let last = worker.claim(at(3), 1).await.remove(0);
            worker
                .ledger
                .apply_action(last.id(), &OperatorAction::Cancel, &by("ann"), at(3))
                .await
                .unwrap();
            worker.ledger.settle(unsent(&last, at(4))).await.unwrap();
            for now in [at(100), at(20_000), at(20_100)] {
                for one in worker.claim(now, 50).await {
                    assert_eq!(one.claim_kind, ClaimKind::Query, "nothing is sent again");
                    worker
                        .ledger
                        .settle(answered(&one, Answer::Absent, now))
                        .await
                        .unwrap();
                }
            }
            let states = worker.states().await;
            assert!(
                states.iter().all(|state| *state == State::Cancelled),
                "{states:?}"
            );
            let reasons: Vec<String> = worker
                .items()
                .await
                .into_iter()
                .filter_map(|item| item.reason)
                .collect();
            assert!(
                reasons
                    .iter()
                    .all(|reason| reason.starts_with("withdrawn by ann: ")),
                "{reasons:?}"
            );
            // A person who wants it again is asked about what was sent before, and then it is sent.
            let wished = worker
                .ledger
                .apply_action(
                    claimed[0].id(),
                    &OperatorAction::Retry,
                    &by("ann"),
                    at(20_200),
                )
                .await
                .unwrap();
            assert_eq!(wished, ActionResult::Moved(State::Unknown));
            let asked = worker.claim(at(20_200), 1).await.remove(0);
            worker
                .ledger
                .settle(answered(&asked, Answer::Absent, at(20_201)))
                .await
                .unwrap();
            assert_eq!(
                worker.claim(at(40_000), 1).await.remove(0).claim_kind,
                ClaimKind::Submit
            );
            worker.assert_sound().await;
        }
    });
}

#[test]
fn a_process_that_dies_with_what_was_withdrawn_leaves_it_to_be_asked_about() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        worker
            .ledger
            .apply_action(claimed.id(), &OperatorAction::Cancel, &by("ann"), at(2))
            .await
            .unwrap();
        worker.claim(at(61), 1).await;
        assert_eq!(worker.states().await, [State::Unknown]);
        let asked = worker.claim(at(20_000), 1).await.remove(0);
        worker
            .ledger
            .settle(answered(&asked, Answer::Absent, at(20_000)))
            .await
            .unwrap();
        assert_eq!(worker.states().await, [State::Cancelled]);
        // What was on its way all the time arrives after all.
        assert_eq!(
            worker
                .ledger
                .settle(answered(&claimed, done(), at(20_001)))
                .await
                .unwrap(),
            SettleOutcome::Late
        );
        let last = worker
            .ledger
            .events(claimed.id())
            .await
            .unwrap()
            .pop()
            .unwrap();
        assert_eq!(last.alarm.as_deref(), Some("money_moved"));
        worker.assert_sound().await;
    });
}

#[test]
fn totals_equal_a_recount_after_every_deed_in_any_order() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 60).await;
        let mut chance: u64 = 7;
        for round in 0..40_u64 {
            let now = at(1 + round * 3);
            let claimed = worker.claim(now, 9).await;
            let settles = claimed.iter().map(|one| {
                chance = chance
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let settlement = match (chance >> 40) % 5 {
                    0 => unsent(one, now),
                    1 => answered(one, timed_out(), now),
                    2 => answered(one, Answer::Accepted, now),
                    _ => answered(one, done(), now),
                };
                worker.ledger.settle(settlement)
            });
            for settled in futures_util::future::join_all(settles.collect::<Vec<_>>()).await {
                settled.unwrap();
            }
            worker.assert_sound().await;
        }
        assert_eq!(worker.states().await, vec![State::Succeeded; 60]);
    });
}

#[test]
fn what_was_settled_is_there_after_opening_again() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        worker
            .ledger
            .settle(answered(&claimed, done(), at(2)))
            .await
            .unwrap();
        let LedgerWorker { ledger, node, .. } = worker;
        drop(node);
        tokio::time::timeout(Duration::from_secs(10), ledger.close())
            .await
            .unwrap();
        let again = place.open().await;
        assert_eq!(
            again.item(1).await.unwrap().unwrap().state,
            State::Succeeded
        );
    });
}

#[test]
fn a_job_with_something_due_is_worked_on_however_many_wait_for_a_later_day() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let (mut many, job) = planning(&worker.ledger, "many").await;
        many.items(job, &[item(1, "LATER")]).await.unwrap();
        many.commit().await.unwrap();
        // As if they were in dunning.
        place.run("update items set next_at = 9000000000000").await;
        for n in 0..1_000 {
            let (early, _) = planning(&worker.ledger, &format!("early {n}")).await;
            early.commit().await.unwrap();
        }
        let (mut now, last) = planning(&worker.ledger, "last").await;
        now.items(last, &[item(1, "NOW")]).await.unwrap();
        now.commit().await.unwrap();
        let open = worker.ledger.open_jobs("hk").await.unwrap();
        assert_eq!((open.len(), open[0].id), (1_000, last));
        assert_eq!(worker.ledger.unfinished_runs().await.unwrap().len(), 1_003);
    });
}

#[test]
fn a_row_that_somebody_else_holds_keeps_no_claim_waiting() {
    on_every_engine(|place| async move {
        // Only a server has locks of rows.
        let LedgerPlace::Postgres(schema) = &place else {
            return;
        };
        let worker = LedgerWorker::with_items(&place, 2).await;
        let first = worker.claim(at(1), 1).await;
        let after = first[0].lease_until;
        let mut console = schema.connect().await;
        let held = format!(
            "begin; select 1 from items where id = {} for update",
            first[0].id()
        );
        console.execute(AssertSqlSafe(held)).await.unwrap();
        let claim = worker.claim(after, 2);
        let claimed = tokio::time::timeout(Duration::from_secs(10), claim).await;
        let claimed = claimed.expect("it waits for nobody");
        assert_eq!(claimed.iter().map(Claimed::id).collect::<Vec<_>>(), [2]);
        assert_eq!(worker.states().await[0], State::Sending);
        console.execute("rollback").await.unwrap();
        worker.claim(after, 2).await;
        assert_eq!(
            worker.states().await[0],
            State::Unknown,
            "it is looked at when it is free"
        );
        worker.assert_sound().await;
    });
}
