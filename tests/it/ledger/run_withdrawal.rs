//! A run that is withdrawn as a whole: from the first commit on nothing of it is sent.

use payrun::domain::item::State;
use payrun::domain::message::Message;
use payrun::domain::reason::FailureCode;
use payrun::ledger::{ActionResult, ClaimKind, NewJob, OperatorAction};

use super::ledger_fixture::{LedgerWorker, answered, at, by, done, item, job, run, unsent};
use super::on_every_engine;

#[test]
fn from_the_first_commit_on_nothing_is_sent_whatever_the_items_do() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 5).await;
        let ledger = &worker.ledger;
        let claimed = worker.claim(at(1), 3).await;
        assert!(
            ledger
                .begin_withdrawal(1, &by("ann"), || at(2))
                .await
                .unwrap()
        );
        // The same again changes nothing.
        assert!(
            ledger
                .begin_withdrawal(1, &by("bob"), || at(2))
                .await
                .unwrap()
        );
        let row = ledger.run(1).await.unwrap().unwrap();
        let withdrawal = row.withdrawal.unwrap();
        assert!(withdrawal.by.starts_with("ann: "), "{withdrawal:?}");
        assert_eq!((withdrawal.at, withdrawal.ended_at), (at(2), None));
        for one in &claimed {
            assert!(
                ledger.is_withdrawn(one.id()).await.unwrap(),
                "it is not sent late"
            );
        }
        // Two come back to be sent, and one did happen.
        for one in &claimed[..2] {
            ledger.settle(unsent(one, at(3))).await.unwrap();
        }
        let happened = answered(&claimed[2], done(), at(3));
        ledger.settle(happened).await.unwrap();
        for seconds in [4, 600, 100_000] {
            let sent = worker.claim(at(seconds), 10).await;
            assert!(
                sent.iter().all(|one| one.claim_kind != ClaimKind::Submit),
                "{sent:?}"
            );
        }
        let states = worker.states().await;
        assert_eq!(
            states
                .iter()
                .filter(|state| **state == State::Cancelled)
                .count(),
            4,
            "{states:?}"
        );
        let items = worker.items().await;
        // One that was never claimed.
        let cancelled = items.last().unwrap();
        let reason = cancelled.reason.as_deref().unwrap();
        assert!(reason.contains("its run 1 is withdrawn by ann"), "{reason}");
        // A person may have one tried again, once the withdrawal has ended.
        let retry = async || {
            ledger
                .apply_action(
                    cancelled.id,
                    &OperatorAction::Retry,
                    &by("bob"),
                    at(100_001),
                )
                .await
                .unwrap()
        };
        let refused = retry().await;
        assert!(matches!(refused, ActionResult::Stopped(_)), "{refused:?}");
        assert_eq!(refused.refusal_code(), "run_withdrawn");
        ledger.end_withdrawal(1, at(100_001)).await.unwrap();
        assert_eq!(retry().await, ActionResult::Moved(State::Planned));
        let sent = worker.claim(at(100_002), 10).await;
        assert_eq!(sent.len(), 1);
        assert!(!ledger.is_withdrawn(sent[0].id()).await.unwrap());
        worker.assert_sound().await;
    });
}

#[test]
fn a_job_of_a_withdrawn_run_is_not_planned_even_if_its_plan_was_under_way() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let ledger = &worker.ledger;
        let mut planning = ledger.plan(run("2")).await.unwrap();
        let first = planning.job(job("first")).await.unwrap();
        let later = NewJob {
            planned_with_run: false,
            needs: vec!["first".into()],
            ..job("later")
        };
        planning.job(later).await.unwrap();
        planning.items(first, &[item(1, "F")]).await.unwrap();
        let before = 0;
        planning.job_planned(first, before, None).await.unwrap();
        let run_id = planning.commit().await.unwrap();
        ledger
            .apply_action(2, &OperatorAction::Cancel, &by("ann"), at(1))
            .await
            .unwrap();
        ledger.advance(at(1)).await.unwrap();
        let to_plan = ledger.jobs_to_plan().await.unwrap();
        assert_eq!(to_plan.len(), 1);
        let late = &to_plan[0];
        let mut planning = ledger.plan_dependents(late, at(2)).await.unwrap().unwrap();
        assert_eq!(planning.withdrawn_by(), None);
        let added = item(1, "L");
        if let super::LedgerPlace::Sqlite(_) = &place {
            // There is one writer: the withdrawal waits for the plan, and finds its items.
            planning.abandon().await.unwrap();
        } else {
            planning.items(late.id, &[added]).await.unwrap();
            ledger_beside(&place, run_id).await;
            planning.job_planned(late.id, 2, None).await.unwrap();
            let error = planning.commit().await.unwrap_err();
            assert!(error.is_transient(), "{error}");
        }
        ledger
            .begin_withdrawal(run_id, &by("ann"), || at(3))
            .await
            .unwrap();
        let mut planning = ledger.plan_dependents(late, at(4)).await.unwrap().unwrap();
        assert!(planning.withdrawn_by().unwrap().starts_with("ann: "));
        let why = Message::plain("its run was withdrawn");
        let ends = Some((FailureCode::Withdrawn, &why));
        planning.job_planned(late.id, 2, ends).await.unwrap();
        planning.commit().await.unwrap();
        ledger.end_withdrawal(run_id, at(5)).await.unwrap();
        ledger.advance(at(6)).await.unwrap();
        assert!(
            ledger
                .run(run_id)
                .await
                .unwrap()
                .unwrap()
                .finished_at
                .is_some()
        );
        assert!(
            !ledger
                .begin_withdrawal(run_id, &by("ann"), || at(7))
                .await
                .unwrap()
        );
        assert_eq!(worker.items().await.len(), 2, "the later job has none");
        worker.assert_sound().await;
    });
}

/// Another process withdraws a run.
async fn ledger_beside(place: &super::LedgerPlace, run_id: i64) {
    let other = place.open().await;
    assert!(
        other
            .begin_withdrawal(run_id, &by("ann"), || at(3))
            .await
            .unwrap()
    );
}
