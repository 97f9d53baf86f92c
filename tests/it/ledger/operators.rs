//! What persons do: pause, hold, slow, resolve and approve, each with its entry in the audit log.

use crate::support::said::assert_said;
use expect_test::expect;
use std::time::Duration;

use payrun::domain::actor::{Actor, Authorization};
use payrun::domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule, Receipt};
use payrun::domain::audit::AuditHash;
use payrun::domain::ids::KeyHash;
use payrun::domain::item::{Resolution, State};
use payrun::domain::policy::Rate;
use payrun::domain::time::Timestamp;
use payrun::ledger::{
    ActionResult, ApprovalRow, ApprovalState, BulkVerb, ClaimKind, DecisionOutcome, LaneLimits,
    LaneState, Ledger, ListedApprovals, NewApproval, NewItem, NewRun, OperatorAction, PauseTarget,
    SettleOutcome, StopReason,
};

use super::bulk_actions::bulk_of;
use super::ledger_fixture::{LedgerWorker, answered, at, by, item, item_of, planning_of, run};
use super::{LedgerPlace, on_every_engine};

fn timed_out() -> Answer {
    Answer::from(Cause::TimedOut)
}

/// The entries' actions, the chain followed.
async fn actions(ledger: &Ledger) -> Vec<String> {
    let mut head = AuditHash::BEGIN;
    let rows = ledger.audit(0, 1000).await.unwrap();
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(
            row.entry.seq,
            i64::try_from(place).unwrap() + 1,
            "without gaps"
        );
        head = head.tie(&row.entry);
        assert_eq!(row.hash, head.to_string(), "{row:?}");
    }
    rows.into_iter().map(|row| row.entry.action).collect()
}

#[test]
fn a_deed_is_in_the_audit_log_and_the_log_refuses_every_change() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        assert!(
            worker
                .ledger
                .pause(&PauseTarget::All, &by("Ann Lee"), at(5))
                .await
                .unwrap()
        );
        assert!(
            !worker
                .ledger
                .pause(&PauseTarget::All, &by("bob"), at(6))
                .await
                .unwrap(),
            "it is paused"
        );
        let log = worker.ledger.audit(0, 10).await.unwrap();
        let [only] = log.as_slice() else {
            panic!("{log:?}")
        };
        assert_eq!(
            (only.entry.actor.as_str(), only.entry.via.as_str()),
            ("Ann Lee", "a test")
        );
        assert_eq!(
            (only.entry.action.as_str(), only.entry.target.as_str()),
            ("pause", "all")
        );
        assert_eq!(
            (only.entry.before.as_str(), only.entry.after.as_str()),
            ("{\"paused\":false}", "{\"paused\":true}")
        );
        assert_eq!(worker.ledger.audit_named().await.unwrap(), 1);
        for change in [
            "update audit set actor = 'bob' where seq = 1",
            "delete from audit",
            "insert into audit (seq, at, actor, via, action, target, reason, before, after, hash) \
             values (1, 0, 'x', 'x', 'x', 'x', 'x', '{}', '{}', 'x')",
        ] {
            assert!(place.refuses(change).await, "{change}");
        }
        assert_eq!(actions(&worker.ledger).await, ["pause"]);
    });
}

/// One item whose call timed out, and one that was not sent yet.
async fn half_sent(place: &LedgerPlace) -> LedgerWorker {
    let worker = LedgerWorker::with_items(place, 2).await;
    let claimed = worker.claim(at(1), 1).await;
    worker
        .ledger
        .settle(answered(&claimed[0], timed_out(), at(2)))
        .await
        .unwrap();
    worker
}

#[test]
fn what_is_paused_sends_nothing_new_and_is_asked_about() {
    on_every_engine(|place| async move {
        let worker = half_sent(&place).await;
        let scopes = [
            PauseTarget::All,
            PauseTarget::Gateway("hk".into()),
            PauseTarget::Workflow("w".into()),
        ];
        for (second, scope) in (10..).step_by(10).zip(scopes) {
            assert!(
                worker
                    .ledger
                    .pause(&scope, &by("ann"), at(second))
                    .await
                    .unwrap()
            );
            let claimed = worker.claim(at(second + 1), 9).await;
            let [asked] = claimed.as_slice() else {
                panic!("{scope}: {claimed:?}")
            };
            assert_eq!(asked.claim_kind, ClaimKind::Query, "{scope}");
            worker
                .ledger
                .settle(answered(asked, timed_out(), at(second + 2)))
                .await
                .unwrap();
            assert!(
                worker
                    .ledger
                    .resume(&scope, &by("bob"), at(second + 3))
                    .await
                    .unwrap()
            );
            assert!(
                !worker
                    .ledger
                    .resume(&scope, &by("bob"), at(second + 3))
                    .await
                    .unwrap(),
                "not paused any more"
            );
        }
        for other in [
            PauseTarget::Gateway("eu".into()),
            PauseTarget::Workflow("v".into()),
        ] {
            assert!(
                worker
                    .ledger
                    .pause(&other, &by("ann"), at(50))
                    .await
                    .unwrap()
            );
        }
        assert_eq!(worker.ledger.paused_workflows().await.unwrap(), ["v"]);
        assert_eq!(worker.claim(at(60), 9).await.len(), 2, "others are paused");
        worker.assert_sound().await;
    });
}

#[test]
fn a_paused_run_is_not_waited_for() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let due = async || {
            let work = worker
                .ledger
                .work(1, &["hk".to_owned()].into(), &Default::default())
                .await
                .unwrap();
            (work.open, work.next_due)
        };
        let idle = async || worker.ledger.idle_lane(at(100), at(50)).await.unwrap();
        assert_eq!(due().await, (2, Some(at(0))));
        assert_eq!(idle().await.as_deref(), Some("hk"));
        worker
            .ledger
            .pause(&PauseTarget::Workflow("w".into()), &by("ann"), at(1))
            .await
            .unwrap();
        assert_eq!(due().await, (2, None));
        assert_eq!(idle().await, None, "it is ready: nothing is to be done");
    });
}

#[test]
fn a_paused_contract_waits_and_goes_on_at_once_when_it_is_resumed() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let exclusive_key = KeyHash::of("hk", "contract", "K-1");
        let contract = PauseTarget::Contract {
            gateway: "hk".into(),
            contract: "K-1".into(),
            exclusive_key,
        };
        worker
            .ledger
            .pause(&contract, &by("ann"), at(1))
            .await
            .unwrap();
        let claimed = worker.claim(at(2), 9).await;
        assert_eq!(claimed.iter().map(|one| one.id()).collect::<Vec<_>>(), [2]);
        let waiting = &worker.items().await[0];
        assert_eq!(
            waiting.reason.as_deref(),
            Some("waits: its contract is paused")
        );
        assert_eq!(worker.ledger.pauses().await.unwrap()[0].name, "hk/K-1");
        worker
            .ledger
            .resume(&contract, &by("ann"), at(3))
            .await
            .unwrap();
        assert_eq!(worker.claim(at(4), 9).await.len(), 1, "an hour early");
    });
}

#[test]
fn what_a_person_holds_only_a_person_releases() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        worker
            .ledger
            .suspend_lane("hk", None, &by("ann"), at(1))
            .await
            .unwrap();
        assert!(worker.claim(at(2), 1).await.is_empty());
        assert!(
            !worker
                .ledger
                .close_lane("hk", LaneState::Stopped, "wrong key", None, at(2))
                .await
                .unwrap(),
            "no news"
        );
        assert!(
            !worker.ledger.release_lane("hk").await.unwrap(),
            "payrun lets it be"
        );
        let closed = worker.ledger.closed_lanes(at(3)).await.unwrap();
        assert_eq!(
            (closed[0].state, closed[0].author.as_deref()),
            (LaneState::Suspended, Some("ann"))
        );
        assert!(
            worker
                .ledger
                .open_lane("hk", &by("bob"), at(4))
                .await
                .unwrap()
        );
        assert_eq!(worker.claim(at(5), 1).await.len(), 1);
        assert_eq!(
            actions(&worker.ledger).await,
            ["lane.suspend", "lane.release"]
        );
    });
}

#[test]
fn what_a_person_held_for_a_time_payrun_closes_again_when_the_time_is_over() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        worker
            .ledger
            .suspend_lane("hk", Some(at(10)), &by("ann"), at(1))
            .await
            .unwrap();
        let stop = |now| {
            worker
                .ledger
                .close_lane("hk", LaneState::Stopped, "wrong key", None, now)
        };
        assert!(!stop(at(9)).await.unwrap(), "ann still holds it");
        assert!(stop(at(10)).await.unwrap(), "nobody does");
        let closed = worker.ledger.closed_lanes(at(11)).await.unwrap();
        assert_eq!(
            (closed[0].state, closed[0].author.as_deref()),
            (LaneState::Stopped, None)
        );
        assert!(worker.claim(at(11), 1).await.is_empty());
        assert!(
            worker.ledger.release_lane("hk").await.unwrap(),
            "payrun's own"
        );
    });
}

#[test]
fn a_slowed_lane_is_slow_for_every_process_from_the_next_claim_on() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 50).await;
        let beside = worker.beside(&place, 2).await;
        let limits = LaneLimits {
            rate: Some(Rate {
                calls: 1,
                per: Duration::from_secs(1),
            }),
            concurrency: Some(3),
        };
        worker
            .ledger
            .limit_lane("hk", limits, &by("ann"), at(1))
            .await
            .unwrap();
        assert_eq!(beside.ledger.lane_limits("hk").await.unwrap(), limits);
        assert_eq!(
            worker.claim(at(2), 20).await.len() + beside.claim(at(2), 20).await.len(),
            1
        );
        worker
            .ledger
            .limit_lane("hk", LaneLimits::default(), &by("ann"), at(3))
            .await
            .unwrap();
        assert_eq!(beside.claim(at(4), 20).await.len(), 20);
        assert!(worker.ledger.limited_lanes().await.unwrap().is_empty());
    });
}

#[test]
fn a_person_closes_what_nobody_could_find_out_and_nothing_else() {
    on_every_engine(|place| async move {
        let items: Vec<NewItem> = vec![item_of(1, "a", "C"), item_of(2, "b", "C"), item(3, "c")];
        let worker = LedgerWorker::with(&place, &items).await;
        let happened = OperatorAction::Resolve(Resolution::Succeeded(Receipt("R-7".into())));
        let refused = worker
            .ledger
            .apply_action(1, &happened, &by("ann"), at(1))
            .await
            .unwrap();
        assert!(
            matches!(refused, ActionResult::Refused(_)),
            "it was not sent: {refused:?}"
        );
        let claimed = worker.claim(at(1), 9).await;
        for one in &claimed {
            worker
                .ledger
                .settle(answered(one, timed_out(), at(2)))
                .await
                .unwrap();
        }
        // The second of the contract waits for the first; a question about the first is under way.
        let asked = worker.claim(at(4), 9).await;
        assert_eq!(
            worker
                .ledger
                .apply_action(1, &happened, &by("ann"), at(5))
                .await
                .unwrap(),
            ActionResult::Moved(State::Succeeded)
        );
        let did_not = OperatorAction::Resolve(Resolution::Failed);
        assert_eq!(
            worker
                .ledger
                .apply_action(3, &did_not, &by("ann"), at(5))
                .await
                .unwrap(),
            ActionResult::Moved(State::Failed)
        );
        let late = answered(&asked[0], timed_out(), at(6));
        assert_eq!(
            worker.ledger.settle(late).await.unwrap(),
            SettleOutcome::Late
        );
        let first = &worker.items().await[0];
        assert_eq!(
            (first.state, first.receipt.as_deref()),
            (State::Succeeded, Some("R-7"))
        );
        assert_eq!(first.reason.as_deref(), Some("resolved by ann: a test"));
        let evidence = worker
            .ledger
            .attempts(1)
            .await
            .unwrap()
            .into_iter()
            .find(|one| one.operation == "person")
            .unwrap();
        assert_eq!(
            (evidence.answer.as_str(), evidence.evidence.as_str()),
            ("done", "ann: a test, a test; it happened, R-7")
        );
        assert_eq!(
            worker.moves(3).await.last().unwrap(),
            "resolve unknown>failed"
        );
        assert_eq!(
            worker
                .ledger
                .apply_action(3, &OperatorAction::Retry, &by("ann"), at(7))
                .await
                .unwrap(),
            ActionResult::Moved(State::Unknown)
        );
        worker.assert_sound().await;
        assert_eq!(
            actions(&worker.ledger).await,
            ["item.resolve", "item.resolve", "item.retry"]
        );
    });
}

#[test]
fn of_items_that_were_counted_together_those_that_moved_since_are_left_alone() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 3).await;
        let counted: Vec<(i64, i64)> = worker
            .items()
            .await
            .iter()
            .map(|item| (item.id, item.version))
            .collect();
        worker.claim(at(1), 1).await;
        let done = worker
            .ledger
            .apply_actions(
                bulk_of(&worker, 3).await,
                &counted,
                BulkVerb::Cancel,
                (&by("ann"), "state planned"),
                at(2),
            )
            .await
            .unwrap();
        let cancelled = ActionResult::Moved(State::Cancelled);
        assert_eq!(
            done,
            [
                (1, ActionResult::Changed),
                (2, cancelled.clone()),
                (3, cancelled)
            ]
        );
        let log = worker.ledger.audit(0, 10).await.unwrap();
        assert_eq!(
            log[0].entry.after,
            "{\"ids\":[2,3],\"minor\":{\"HKD\":2000},\"states\":{\"cancelled\":2}}"
        );
        worker.assert_sound().await;
    });
}

#[test]
fn the_audit_log_tells_withdrawals_of_what_was_under_way_from_items_that_were_cancelled_at_once() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 3).await;
        worker.claim(at(1), 1).await;
        let chosen: Vec<(i64, i64)> = worker
            .items()
            .await
            .iter()
            .map(|item| (item.id, item.version))
            .collect();
        let done = worker
            .ledger
            .apply_actions(
                bulk_of(&worker, 3).await,
                &chosen,
                BulkVerb::Cancel,
                (&by("ann"), "all"),
                at(2),
            )
            .await
            .unwrap();
        assert_eq!(done[0], (1, ActionResult::Withdrawn(State::Sending)));
        let log = worker.ledger.audit(0, 10).await.unwrap();
        let after = "{\"ids\":[1,2,3],\"minor\":{\"HKD\":3000},\"states\":{\"cancelled\":2},\"withdrawn\":{\"sending\":1}}";
        assert_eq!(log[0].entry.after, after);
        worker.assert_sound().await;
    });
}

/// A batch of three that waits until so many have approved it; ann started it.
async fn batch(place: &LedgerPlace, needed: u32) -> LedgerWorker {
    let worker = LedgerWorker::with_items(place, 0).await;
    let job = plan_batch(&worker.ledger, run("2"), needed).await;
    LedgerWorker { job, ..worker }
}

async fn plan_batch(ledger: &Ledger, run: NewRun, needed: u32) -> i64 {
    let (mut planning, job) = planning_of(ledger, run).await;
    let before = planning.newest_item().await.unwrap();
    let items: Vec<NewItem> = (1..=3)
        .map(|line| item(line, &format!("R-{line}")))
        .collect();
    assert_eq!(
        planning.items(job, &items).await.unwrap(),
        Vec::new(),
        "the keys are free"
    );
    planning.job_planned(job, before, None).await.unwrap();
    planning
        .hold(
            job,
            &NewApproval {
                needed,
                expires_at: at(1000),
            },
        )
        .await
        .unwrap();
    planning.commit().await.unwrap();
    job
}

async fn newest(ledger: &Ledger) -> ApprovalRow {
    ledger
        .approvals(ListedApprovals::All, i64::MAX, 1)
        .await
        .unwrap()
        .remove(0)
}

async fn approve(worker: &LedgerWorker, name: &str, now: Timestamp) -> DecisionOutcome {
    let approval = newest(&worker.ledger).await;
    worker
        .ledger
        .approve(approval.id, None, &by(name), now)
        .await
        .unwrap()
}

#[test]
fn a_held_batch_is_sent_when_somebody_else_than_its_author_has_approved_it() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        assert_eq!(worker.states().await, [State::AwaitingApproval; 3]);
        worker.ledger.advance(at(1)).await.unwrap();
        assert!(
            worker
                .ledger
                .run(2)
                .await
                .unwrap()
                .unwrap()
                .finished_at
                .is_none(),
            "it is open"
        );
        assert!(worker.claim(at(1), 9).await.is_empty());
        let waiting = newest(&worker.ledger).await;
        assert_eq!(
            (waiting.author.as_str(), waiting.items, waiting.sums[0].1),
            ("ann", 3, 3000)
        );
        for author in ["ann", "ANN", " Ann"] {
            assert_eq!(
                approve(&worker, author, at(2)).await,
                DecisionOutcome::OwnBatch
            );
        }
        let other = worker
            .ledger
            .approve(waiting.id, Some("another"), &by("bob"), at(2))
            .await
            .unwrap();
        assert_eq!(other, DecisionOutcome::NotAsShown);
        let decided = worker
            .ledger
            .approve(waiting.id, Some(&waiting.content_hash), &by("bob"), at(3))
            .await
            .unwrap();
        assert_eq!(decided, DecisionOutcome::Released(3));
        assert_eq!(
            approve(&worker, "cleo", at(4)).await,
            DecisionOutcome::NotWaiting(ApprovalState::Approved)
        );
        assert_eq!(worker.claim(at(5), 9).await.len(), 3);
        assert_eq!(
            worker.moves(1).await,
            ["approve awaiting_approval>planned", "claim planned>sending"]
        );
        assert_eq!(newest(&worker.ledger).await.votes[0].actor, "bob");
        worker.assert_sound().await;
        assert_eq!(actions(&worker.ledger).await, ["approval.approve"]);
    });
}

#[test]
fn two_names_of_one_user_are_one_person_who_approves() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 0).await;
        let user = |name, user| Authorization {
            actor: Actor::at_console(name, user).unwrap(),
            ..by("nobody")
        };
        plan_batch(
            &worker.ledger,
            NewRun {
                author: user("ann", "u-ann").actor,
                ..run("2")
            },
            2,
        )
        .await;
        let id = newest(&worker.ledger).await.id;
        let ledger = &worker.ledger;
        let approve = |who| async move { ledger.approve(id, None, &who, at(2)).await.unwrap() };
        for own in [
            user("bob", "u-ann"),
            user("bob", "ANN"),
            user("ann", "u-bob"),
            user("u-ann", "u-bob"),
        ] {
            assert_eq!(approve(own).await, DecisionOutcome::OwnBatch);
        }
        assert_eq!(approve(by("bob")).await, DecisionOutcome::Incomparable);
        assert_eq!(
            approve(user("bob", "u-bob")).await,
            DecisionOutcome::Counted {
                given: 1,
                needed: 2
            }
        );
        assert_eq!(
            approve(user("cleo", "u-bob")).await,
            DecisionOutcome::VotedBefore
        );
        assert_eq!(
            approve(user("cleo", "u-cleo")).await,
            DecisionOutcome::Released(3)
        );
    });
}

#[test]
fn two_who_must_approve_are_two_different_persons() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 2).await;
        assert_eq!(
            approve(&worker, "bob", at(1)).await,
            DecisionOutcome::Counted {
                given: 1,
                needed: 2
            }
        );
        assert_eq!(
            approve(&worker, "BOB", at(2)).await,
            DecisionOutcome::VotedBefore
        );
        assert_eq!(
            approve(&worker, "ann", at(2)).await,
            DecisionOutcome::OwnBatch
        );
        assert_eq!(worker.states().await, [State::AwaitingApproval; 3]);
        assert_eq!(
            approve(&worker, "cleo", at(3)).await,
            DecisionOutcome::Released(3)
        );
        assert_eq!(
            actions(&worker.ledger).await,
            ["approval.approve", "approval.approve"]
        );
    });
}

#[test]
fn a_row_that_was_changed_makes_the_approval_void() {
    on_every_engine(|place| async move {
        let changes = [
            "update items set input = '{\"reason\":\"x\"}' where line = 2",
            "update items set key = 'R-9' where line = 3",
            "update runs set source = 'other' where id = 2",
            "update jobs set lane = 'eu' where run_id = 2",
        ];
        let change = changes[usize::from(matches!(place, LedgerPlace::Postgres(_)))];
        let worker = batch(&place, 2).await;
        assert_eq!(
            approve(&worker, "bob", at(1)).await,
            DecisionOutcome::Counted {
                given: 1,
                needed: 2
            }
        );
        place.run(change).await;
        assert_eq!(
            approve(&worker, "cleo", at(2)).await,
            DecisionOutcome::Changed
        );
        assert_eq!(
            approve(&worker, "cleo", at(3)).await,
            DecisionOutcome::NotWaiting(ApprovalState::Void)
        );
        assert_eq!(
            worker.states().await,
            [State::AwaitingApproval; 3],
            "nothing of it is sent"
        );
        let id = newest(&worker.ledger).await.id;
        assert_eq!(
            worker.ledger.reject(id, &by("ann"), at(4)).await.unwrap(),
            DecisionOutcome::Withdrawn(3)
        );
        worker.assert_sound().await;
        assert_eq!(
            actions(&worker.ledger).await,
            ["approval.approve", "approval.void", "approval.reject"]
        );
    });
}

#[test]
fn what_was_rejected_is_never_sent_and_can_be_planned_anew() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        let id = newest(&worker.ledger).await.id;
        assert_eq!(
            worker.ledger.reject(id, &by("bob"), at(1)).await.unwrap(),
            DecisionOutcome::Withdrawn(3)
        );
        assert_eq!(worker.states().await, [State::Cancelled; 3]);
        assert_eq!(
            approve(&worker, "bob", at(2)).await,
            DecisionOutcome::NotWaiting(ApprovalState::Rejected)
        );
        assert_eq!(
            worker
                .ledger
                .apply_action(1, &OperatorAction::Retry, &by("ann"), at(2))
                .await
                .unwrap(),
            ActionResult::NeverApproved
        );
        worker.ledger.advance(at(3)).await.unwrap();
        assert!(
            worker
                .ledger
                .run(2)
                .await
                .unwrap()
                .unwrap()
                .finished_at
                .is_some()
        );
        plan_batch(&worker.ledger, run("3"), 1).await;
        assert_eq!(
            worker.ledger.find_item("R-1").await.unwrap().unwrap().id,
            4,
            "who holds the key is meant"
        );
        assert_eq!(
            approve(&worker, "bob", at(4)).await,
            DecisionOutcome::Released(3)
        );
        worker.assert_sound().await;
    });
}

#[test]
fn nothing_of_a_batch_is_sent_once_its_approval_was_revoked() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        let id = newest(&worker.ledger).await.id;
        let (ledger, bob) = (&worker.ledger, by("bob"));
        assert!(
            !ledger.revoke_approval(id, &bob, at(1)).await.unwrap(),
            "it was never given"
        );
        assert_eq!(
            approve(&worker, "bob", at(2)).await,
            DecisionOutcome::Released(3)
        );
        let sent = worker.claim(at(3), 1).await.remove(0);
        assert!(ledger.revoke_approval(id, &bob, at(4)).await.unwrap());
        assert!(!ledger.revoke_approval(id, &bob, at(5)).await.unwrap());
        // What the command withdraws item by item: as if it had died before it came to them.
        assert_eq!(worker.claim(at(6), 9).await.len(), 0);
        assert_eq!(
            worker.states().await,
            [State::Sending, State::Cancelled, State::Cancelled]
        );
        let refused = Answer::Declined(Decline {
            code: "NOT_ENOUGH".into(),
            class: DeclineClass::Hard,
            number: NumberRule::Next,
        });
        let settled = ledger
            .settle(answered(&sent, refused, at(7)))
            .await
            .unwrap();
        assert_eq!(settled, SettleOutcome::Applied);
        for item in 1..=3 {
            let again = ledger
                .apply_action(item, &OperatorAction::Retry, &bob, at(8))
                .await
                .unwrap();
            let ActionResult::Stopped(stopped) = again else {
                panic!("item {item}: {again:?}");
            };
            let words = stopped.to_string();
            assert_said(
                &words,
                expect!["run 2 job charge was rejected after its approval"],
            );
        }
        assert_eq!(
            approve(&worker, "cleo", at(9)).await,
            DecisionOutcome::NotWaiting(ApprovalState::Revoked)
        );
        worker.assert_sound().await;
        assert_eq!(
            actions(&worker.ledger).await,
            ["approval.approve", "approval.reject"]
        );
    });
}

#[test]
fn a_row_that_is_withdrawn_is_another_batch_and_no_way_around_the_approval() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        assert_eq!(
            worker
                .ledger
                .apply_action(2, &OperatorAction::Cancel, &by("ann"), at(1))
                .await
                .unwrap(),
            ActionResult::Moved(State::Cancelled)
        );
        assert_eq!(
            worker
                .ledger
                .apply_action(2, &OperatorAction::Retry, &by("ann"), at(2))
                .await
                .unwrap(),
            ActionResult::NeverApproved
        );
        assert_eq!(
            approve(&worker, "bob", at(3)).await,
            DecisionOutcome::NotWaiting(ApprovalState::Void)
        );
        assert_eq!(
            worker.states().await,
            [
                State::AwaitingApproval,
                State::Cancelled,
                State::AwaitingApproval
            ]
        );
    });
}

#[test]
fn what_was_withdrawn_from_an_approved_batch_is_not_sent_again_by_who_started_it() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        assert_eq!(
            approve(&worker, "bob", at(1)).await,
            DecisionOutcome::Released(3)
        );
        let ledger = &worker.ledger;
        let wish = |wish, name| async move {
            ledger
                .apply_action(2, &wish, &by(name), at(2))
                .await
                .unwrap()
        };
        assert_eq!(
            wish(OperatorAction::Cancel, "cleo").await,
            ActionResult::Moved(State::Cancelled)
        );
        let author = "ann".to_owned();
        assert_eq!(
            wish(OperatorAction::Retry, "ann").await,
            ActionResult::Stopped(StopReason::OwnBatch { author })
        );
        assert_eq!(
            wish(OperatorAction::Retry, "bob").await,
            ActionResult::Moved(State::Planned)
        );
        worker.assert_sound().await;
    });
}

#[test]
fn what_nobody_approves_in_time_is_withdrawn() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        assert_eq!(
            worker
                .ledger
                .expire_approvals(&by("cleo"), at(999))
                .await
                .unwrap(),
            0
        );
        assert_eq!(
            approve(&worker, "bob", at(1000)).await,
            DecisionOutcome::NotWaiting(ApprovalState::Expired)
        );
        assert_eq!(
            worker
                .ledger
                .expire_approvals(&by("cleo"), at(1000))
                .await
                .unwrap(),
            1
        );
        assert_eq!(
            worker
                .ledger
                .expire_approvals(&by("cleo"), at(1001))
                .await
                .unwrap(),
            0
        );
        assert_eq!(worker.states().await, [State::Cancelled; 3]);
        assert_eq!(
            worker.items().await[0].reason.as_deref(),
            Some("nobody approved the batch in time")
        );
        worker.assert_sound().await;
    });
}

#[test]
fn money_that_moved_for_a_held_item_is_an_alarm_and_another_batch() {
    on_every_engine(|place| async move {
        let worker = batch(&place, 1).await;
        let item = worker.items().await.remove(0);
        let shown = payrun::ledger::StatementEvidence {
            day: "2026-03-31".into(),
            line: 1,
            order_no: payrun::domain::ids::OrderNumber::parse(item.order_no.as_deref().unwrap())
                .unwrap(),
            receipt: Receipt("R1".into()),
            amount: item.amount.unwrap(),
            now: at(1),
        };
        let believed = worker
            .ledger
            .apply_statement_line(item.id, &shown)
            .await
            .unwrap();
        assert_eq!(believed, payrun::ledger::EvidenceOutcome::Contradicted);
        assert_eq!(worker.states().await[0], State::Succeeded);
        assert_eq!(
            approve(&worker, "bob", at(2)).await,
            DecisionOutcome::Changed
        );
    });
}

#[test]
fn a_refund_is_not_tried_again_beside_a_later_one_that_names_its_payment_by_the_other_number() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let claimed = worker.claim(at(1), 1).await.remove(0);
        let declined = Answer::Declined(Decline {
            code: "NO".into(),
            class: DeclineClass::Hard,
            number: NumberRule::Same,
        });
        worker
            .ledger
            .settle(answered(&claimed, declined, at(2)))
            .await
            .unwrap();
        let (id, later) = (claimed.id(), 3 - claimed.id());
        assert!(later > id, "the first is claimed first");
        place
            .run("update items set refunded_payment = unhex('0011')")
            .await;
        let (ledger, by) = (&worker.ledger, by("ann"));
        let retry = || ledger.apply_action(id, &OperatorAction::Retry, &by, at(3));
        assert_eq!(retry().await.unwrap(), ActionResult::GivenBackAs(later));
        // Another amount is another refund.
        place
            .run("update items set amount = 999 where state = 'planned'")
            .await;
        assert!(matches!(retry().await.unwrap(), ActionResult::Moved(_)));
    });
}
