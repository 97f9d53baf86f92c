//! A plan in several commits: nothing of it is there before the last one, nothing when it is given
//! up, and each key is planned once.

use std::time::Duration;

use payrun::domain::ids::OrderNumber;
use payrun::domain::item::State;
use payrun::ledger::{
    DecisionOutcome, ItemFilter, Ledger, LedgerError, ListedApprovals, NewApproval, NewItem,
    PlanWriter,
};

use super::ledger_fixture::{
    LedgerWorker, answered, at, done, item, item_of, job, planning_of, run,
};
use super::{LedgerPlace, on_every_engine};
use crate::support::by;

/// A plan under way with one job, in steps where the engine has them.
async fn in_steps(ledger: &Ledger, occurrence: &str) -> (PlanWriter, i64) {
    let mut planning = ledger.plan_in_steps(run(occurrence), 1).await.unwrap();
    let id = planning.job(job("charge")).await.unwrap();
    (planning, id)
}

fn items(prefix: &str, lines: std::ops::RangeInclusive<u64>) -> Vec<NewItem> {
    lines
        .map(|line| item(line, &format!("{prefix}-{line}")))
        .collect()
}

/// What anybody sees of it.
async fn seen(ledger: &Ledger) -> (usize, usize) {
    assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
    let (runs, items) = (
        ledger.runs(None, 10).await.unwrap(),
        ledger.items(&ItemFilter::default(), 0, 99).await.unwrap(),
    );
    (runs.len(), items.len())
}

/// How many items the database has, whoever sees them.
async fn rows(place: &LedgerPlace) -> i64 {
    let LedgerPlace::Sqlite(folder) = place else {
        return 0;
    };
    use sqlx::Connection as _;
    let file = folder.path().join("ledger.db");
    let mut ledger = sqlx::SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    let query = "select (select count(*) from items) + (select count(*) from unfinished_plans)";
    sqlx::query_scalar(query)
        .fetch_one(&mut ledger)
        .await
        .unwrap()
}

#[test]
fn nothing_of_a_plan_is_there_before_its_last_commit() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let other = place.open().await;
        let (mut plan, id) = in_steps(&worker.ledger, "2").await;
        let before = plan.newest_item().await.unwrap();
        for lines in [1..=3, 4..=5] {
            assert_eq!(
                plan.items(id, &items("A", lines)).await.unwrap(),
                Vec::new()
            );
            plan.step().await.unwrap();
            assert_eq!(seen(&other).await, (1, 1));
            // As an older payrun would make one, which knows of no plans under way.
            let taken = "insert into jobs (run_id, name, kind, lane, needs, policy) values (1, 'x', 'deduct', 'hk', '[]', '{}')";
            assert!(
                matches!(place, LedgerPlace::Postgres(_)) || place.refuses(taken).await,
                "its job's number is kept for it"
            );
            other.advance(at(1)).await.unwrap();
            assert!(
                other
                    .open_jobs("hk")
                    .await
                    .unwrap()
                    .iter()
                    .all(|job| job.id != id),
                "nothing of it can be claimed"
            );
        }
        let again = plan
            .items(
                id,
                &[NewItem {
                    line: 6,
                    ..item(1, "A-1")
                }],
            )
            .await
            .unwrap();
        assert_eq!(
            again[0].reason.to_string(),
            "the key \"A-1\" stands in line 1 already",
            "in a commit of before"
        );
        plan.job_planned(id, before, None).await.unwrap();
        assert_eq!(seen(&other).await, (1, 1));
        assert_eq!(plan.commit().await.unwrap(), 2);
        assert_eq!(seen(&other).await, (2, 7));
        let worker = LedgerWorker { job: id, ..worker };
        assert_eq!(worker.claim(at(2), 9).await.len(), 5);
        worker.assert_sound().await;
    });
}

#[test]
fn a_plan_in_steps_that_is_given_up_or_left_leaves_nothing_and_keeps_no_key() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        for left in [false, true, false] {
            let (mut plan, id) = in_steps(&ledger, "1").await;
            assert_eq!(
                plan.items(id, &items("A", 1..=3)).await.unwrap(),
                Vec::new(),
                "the keys are free"
            );
            plan.step().await.unwrap();
            assert_eq!(
                plan.items(id, &items("A", 4..=5)).await.unwrap(),
                Vec::new()
            );
            if left {
                drop(plan);
                assert_eq!(seen(&ledger).await, (0, 0));
                ledger.reap_dead_nodes(at(1)).await.unwrap();
            } else {
                plan.abandon().await.unwrap();
            }
            assert_eq!((seen(&ledger).await, rows(&place).await), ((0, 0), 0));
        }
        let (mut whole, id) = planning_of(&ledger, run("1")).await;
        assert_eq!(
            whole.items(id, &items("A", 1..=3)).await.unwrap(),
            Vec::new()
        );
        let number = whole.commit().await.unwrap();
        assert!(
            number == 1 || matches!(place, LedgerPlace::Postgres(_)),
            "as if nothing had been: {number}"
        );
        let again = ledger.plan_in_steps(run("1"), 1).await;
        assert!(
            matches!(again, Err(LedgerError::RunExists { .. })),
            "{again:?}"
        );
    });
}

#[test]
fn whoever_meets_a_key_of_a_plan_that_is_not_decided_waits_for_what_becomes_of_it() {
    on_every_engine(|place| async move {
        let LedgerPlace::Sqlite(_) = &place else {
            return;
        };
        let (ledger, other) = (place.open().await, place.open().await);
        let own = |line| NewItem {
            custom_order_no: Some(OrderNumber::parse("MINE-1").unwrap()),
            ..item(line, "B")
        };
        for kept in [false, true] {
            let name = if kept { "kept" } else { "given up" };
            let (mut first, first_job) = in_steps(&ledger, name).await;
            first
                .items(first_job, &[item(1, "A"), own(2)])
                .await
                .unwrap();
            first.step().await.unwrap();
            // In a transaction of its own that has the writer nobody can wait.
            let (mut whole, whole_job) = planning_of(&other, run("whole")).await;
            let busy = whole.items(whole_job, &[item(1, "A")]).await;
            assert!(matches!(busy, Err(LedgerError::Busy { .. })), "{busy:?}");
            whole.abandon().await.unwrap();
            let (mut second, second_job) = in_steps(&other, &format!("beside {name}")).await;
            assert!(
                !second.waits_for_another(&[item(1, "C")]).await.unwrap(),
                "it has nothing of these"
            );
            assert!(
                second
                    .waits_for_another(&[item(1, "C"), item(2, "A")])
                    .await
                    .unwrap()
            );
            let number = NewItem {
                key_hash: item(1, "D").key_hash,
                ..own(3)
            };
            assert!(
                second
                    .waits_for_another(std::slice::from_ref(&number))
                    .await
                    .unwrap(),
                "the number of the user's"
            );
            if kept {
                first.commit().await.unwrap();
            } else {
                drop(first);
                while second.waits_for_another(&[item(2, "A")]).await.unwrap() {}
            }
            assert!(
                !second
                    .waits_for_another(&[item(2, "A"), number])
                    .await
                    .unwrap()
            );
            let refused = second.items(second_job, &[item(2, "A")]).await.unwrap();
            assert_eq!(refused.len(), usize::from(kept), "{refused:?}");
            second.abandon().await.unwrap();
        }
        assert_eq!(seen(&ledger).await, (1, 2));
    });
}

#[test]
fn two_plans_in_steps_beside_each_other_have_numbers_of_their_own() {
    on_every_engine(|place| async move {
        let (ledger, other) = (place.open().await, place.open().await);
        let (mut gone, gone_job) = in_steps(&ledger, "0").await;
        gone.items(gone_job, &items("G", 1..=9)).await.unwrap();
        gone.step().await.unwrap();
        let (mut one, one_job) = in_steps(&ledger, "1").await;
        let (mut two, two_job) = in_steps(&other, "2").await;
        let (one_before, two_before) = (one.newest_item().await.unwrap(), 0);
        one.step().await.unwrap();
        // The newest numbers are free again, and used by those who began when they were not.
        gone.abandon().await.unwrap();
        for lines in [1..=2, 3..=3] {
            one.items(one_job, &items("A", lines.clone()))
                .await
                .unwrap();
            one.step().await.unwrap();
            two.items(two_job, &items("B", lines)).await.unwrap();
            two.step().await.unwrap();
        }
        two.job_planned(two_job, two_before, None).await.unwrap();
        let (whole, _) = planning_of(&other, run("3")).await;
        let whole = whole.commit().await.unwrap();
        one.job_planned(one_job, one_before, None).await.unwrap();
        let (two, one) = (two.commit().await.unwrap(), one.commit().await.unwrap());
        assert!(one != two && one != whole && two != whole && one_job != two_job);
        for run in [one, two] {
            let filter = ItemFilter {
                run_id: Some(run),
                ..ItemFilter::default()
            };
            let lines: Vec<u64> = ledger
                .items(&filter, 0, 99)
                .await
                .unwrap()
                .iter()
                .map(|item| item.line)
                .collect();
            assert_eq!(lines, [1, 2, 3]);
        }
        assert_eq!(seen(&ledger).await, (3, 6));
        assert!(
            matches!(rows(&place).await, 0 | 6),
            "the items are all that is left"
        );
    });
}

#[test]
fn what_is_approved_is_the_same_in_steps_and_in_one_transaction() {
    on_every_engine(|place| async move {
        let mut prints = Vec::new();
        for steps in [false, true] {
            let fresh = place.fresh().await;
            let ledger = fresh.open().await;
            let mut plan = match steps {
                false => ledger.plan(run("1")).await.unwrap(),
                true => ledger.plan_in_steps(run("1"), 1).await.unwrap(),
            };
            let id = plan.job(job("charge")).await.unwrap();
            let before = plan.newest_item().await.unwrap();
            for lines in [1..=2, 3..=4] {
                assert_eq!(
                    plan.items(id, &items("A", lines)).await.unwrap(),
                    Vec::new()
                );
                plan.step().await.unwrap();
            }
            assert_eq!(plan.items(id, &items("A", 4..=4)).await.unwrap().len(), 1);
            plan.job_planned(id, before, None).await.unwrap();
            plan.hold(
                id,
                &NewApproval {
                    needed: 1,
                    expires_at: at(1000),
                },
            )
            .await
            .unwrap();
            plan.commit().await.unwrap();
            let waiting = ledger
                .approvals(ListedApprovals::All, i64::MAX, 1)
                .await
                .unwrap()
                .remove(0);
            let states: Vec<State> = ledger
                .items(&ItemFilter::default(), 0, 99)
                .await
                .unwrap()
                .iter()
                .map(|item| item.state)
                .collect();
            assert_eq!(
                states,
                [
                    State::AwaitingApproval,
                    State::AwaitingApproval,
                    State::AwaitingApproval,
                    State::AwaitingApproval,
                    State::Rejected
                ]
            );
            let decided = ledger
                .approve(waiting.id, Some(&waiting.content_hash), &by("bob"), at(3))
                .await
                .unwrap();
            assert_eq!(decided, DecisionOutcome::Released(4));
            assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
            prints.push((
                waiting.content_hash,
                waiting.items,
                waiting.sums[0].1,
                waiting.author,
            ));
        }
        assert_eq!(prints[0], prints[1]);
    });
}

#[test]
fn others_write_while_a_plan_is_made() {
    on_every_engine(|place| async move {
        let (ledger, other) = (place.open().await, place.open().await);
        let (mut plan, id) = in_steps(&ledger, "1").await;
        for line in 1..=5 {
            plan.items(id, &[item(line, &format!("A-{line}"))])
                .await
                .unwrap();
            plan.step().await.unwrap();
            // Between two of its commits nobody is kept out, and nobody waits for its end.
            let turn = tokio::time::timeout(Duration::from_secs(10), other.try_begin_write()).await;
            turn.expect("others write while a plan is made").unwrap();
        }
        plan.abandon().await.unwrap();
    });
}

#[test]
fn of_a_plan_that_was_taken_for_left_nothing_more_is_committed() {
    on_every_engine(|place| async move {
        let LedgerPlace::Sqlite(folder) = &place else {
            return;
        };
        let (ledger, other) = (place.open().await, place.open().await);
        for is_half_gone in [true, false] {
            let (mut plan, id) = in_steps(&ledger, "1").await;
            let before = plan.newest_item().await.unwrap();
            plan.items(id, &items("A", 1..=3)).await.unwrap();
            plan.step().await.unwrap();
            if is_half_gone {
                // The first commit of whoever takes it away; the rest of the items are there still.
                place
                    .execute("update unfinished_plans set given_up = 1")
                    .await
                    .unwrap();
            } else {
                std::fs::remove_dir_all(folder.path().join("ledger.db-nodes")).unwrap();
                other.reap_dead_nodes(at(1)).await.unwrap();
            }
            plan.job_planned(id, before, None).await.unwrap();
            assert!(matches!(
                plan.commit().await,
                Err(LedgerError::Inconsistent { .. })
            ));
            assert_eq!((seen(&other).await, rows(&place).await), ((0, 0), 0));
        }
    });
}

#[test]
fn what_is_planned_of_a_contract_that_was_ended_meanwhile_is_withdrawn() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[item_of(1, "END", "C")]).await;
        let (mut plan, id) = in_steps(&worker.ledger, "2").await;
        let before = plan.newest_item().await.unwrap();
        plan.items(id, &[item_of(1, "A", "C"), item(2, "B")])
            .await
            .unwrap();
        plan.step().await.unwrap();
        let ending = worker.beside(&place, 2).await;
        let claimed = ending.claim(at(1), 9).await;
        ending
            .ledger
            .settle(answered(&claimed[0], done(), at(2)))
            .await
            .unwrap();
        place
            .execute(
                "update jobs set kind = 'terminate', first_item = 1, last_item = 1000 where id = 1",
            )
            .await
            .unwrap();
        plan.job_planned(id, before, None).await.unwrap();
        let run = plan.commit().await.unwrap();
        let filter = ItemFilter {
            run_id: Some(run),
            ..ItemFilter::default()
        };
        let planned = worker.ledger.items(&filter, 0, 9).await.unwrap();
        let states: Vec<(String, State)> = planned
            .into_iter()
            .map(|item| (item.key, item.state))
            .collect();
        assert_eq!(
            states,
            [
                ("A".to_owned(), State::Cancelled),
                ("B".to_owned(), State::Planned)
            ]
        );
        assert_eq!(worker.ledger.check().await.unwrap(), Vec::<String>::new());
    });
}
