//! Planning: all or nothing, each key once, every row accounted for; and jobs that wait for others.

use std::collections::BTreeSet;

use payrun::domain::actor::{Actor, Authorization, Reason};
use payrun::domain::answer::{Answer, AnswerKind, Decline, DeclineClass, NumberRule};
use payrun::domain::history::AttemptKind;
use payrun::domain::ids::{KeyHash, OrderNumber};
use payrun::domain::item::{Event, State, apply};
use payrun::ledger::{
    ActionResult, Attempt, EarlierProblems, GatewayNumber, ItemFilter, LedgerError, MatchedBy,
    NewItem, NewJob, OperatorAction, RECEIPT, RejectedRow, ReplacedItem, ReplacementCheck,
    SearchFilter, SearchQuery, SearchText, SettleOutcome, Settlement, TimeSpan, filed_again_as,
};

use super::ledger_fixture::{
    LedgerWorker, answered, at, by, done, item, job, planning, policy, run,
};
use super::on_every_engine;

#[test]
fn a_plan_that_is_abandoned_leaves_nothing() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        plan.items(id, &[item(1, "A")]).await.unwrap();
        plan.abandon().await.unwrap();
        assert!(ledger.runs(None, 10).await.unwrap().is_empty());
        assert!(
            ledger
                .items(&ItemFilter::default(), 0, 10)
                .await
                .unwrap()
                .is_empty()
        );
        assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
        let (mut plan, id) = planning(&ledger, "1").await;
        assert!(
            plan.items(id, &[item(1, "A")]).await.unwrap().is_empty(),
            "the key is free"
        );
        plan.commit().await.unwrap();
    });
}

#[test]
fn a_plan_that_is_dropped_half_way_leaves_nothing_and_stops_nobody() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        plan.items(id, &[item(1, "A")]).await.unwrap();
        drop(plan);
        assert_eq!(worker.claim(at(1), 5).await.len(), 1);
        assert_eq!(worker.ledger.runs(None, 10).await.unwrap().len(), 1);
        assert_eq!(worker.items().await.len(), 1);
        worker.assert_sound().await;
    });
}

#[test]
fn after_a_plan_that_was_dropped_the_next_deed_of_any_kind_is_durable() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (plan, _) = planning(&ledger, "1").await;
        drop(plan);
        let (mut plan, id) = planning(&ledger, "2").await;
        plan.items(id, &[item(1, "A")]).await.unwrap();
        plan.commit().await.unwrap();
        let other = place.open().await;
        let occurrences: Vec<String> = other
            .runs(None, 10)
            .await
            .unwrap()
            .into_iter()
            .map(|run| run.occurrence)
            .collect();
        assert_eq!(occurrences, ["2"]);
    });
}

#[test]
fn an_occurrence_is_planned_once() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (plan, _) = planning(&ledger, "1").await;
        plan.commit().await.unwrap();
        let again = ledger.plan(run("1")).await;
        assert!(
            matches!(again, Err(LedgerError::RunExists { .. })),
            "{again:?}"
        );
        let (plan, _) = planning(&ledger, "2").await;
        plan.commit().await.unwrap();
    });
}

/// As a test compares them, whose process ends soon.
fn reasons(refusals: &[RejectedRow]) -> Vec<(u64, State, Option<i64>, bool, &'static str)> {
    refusals
        .iter()
        .map(|one| {
            (
                one.line,
                one.state,
                one.duplicate_of,
                one.alarming,
                &*one.reason.to_string().leak(),
            )
        })
        .collect()
}

#[test]
fn a_key_that_stands_twice_in_a_run_is_rejected_the_second_time() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let refused = plan
            .items(
                id,
                &[
                    item(1, "A"),
                    item(2, "B"),
                    NewItem {
                        line: 3,
                        ..item(1, "A")
                    },
                ],
            )
            .await
            .unwrap();
        assert_eq!(
            reasons(&refused),
            [(
                3,
                State::Rejected,
                None,
                false,
                "the key \"A\" stands in line 1 already"
            )]
        );
        let refused = plan
            .items(
                id,
                &[NewItem {
                    line: 4,
                    ..item(2, "B")
                }],
            )
            .await
            .unwrap();
        assert_eq!(
            reasons(&refused),
            [(
                4,
                State::Rejected,
                None,
                false,
                "the key \"B\" stands in line 2 already"
            )],
            "in another chunk"
        );
        plan.commit().await.unwrap();
        let states: Vec<State> = ledger
            .items(&ItemFilter::default(), 0, 10)
            .await
            .unwrap()
            .iter()
            .map(|item| item.state)
            .collect();
        assert_eq!(
            states,
            [
                State::Planned,
                State::Planned,
                State::Rejected,
                State::Rejected
            ]
        );
        assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn a_row_that_another_one_stands_for_too_is_skipped_wherever_it_stands() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let shared = |line| NewItem {
            line,
            shared: true,
            ..item(1, "A")
        };
        let refused = plan.items(id, &[shared(1), shared(2)]).await.unwrap();
        let refused = [refused, plan.items(id, &[shared(3)]).await.unwrap()].concat();
        let state = |line| {
            (
                line,
                State::Skipped,
                None,
                false,
                "the key \"A\" stands in line 1 already",
            )
        };
        assert_eq!(reasons(&refused), [state(2), state(3)]);
        plan.commit().await.unwrap();
        assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn what_is_filed_again_is_a_new_item_and_the_one_of_before_is_kept_and_not_retried() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[item(1, "A"), item(2, "B")]).await;
        let decline = Decline {
            code: "NO".into(),
            class: DeclineClass::Hard,
            number: NumberRule::Same,
        };
        let claimed = worker.claim(at(1), 1).await.remove(0);
        worker
            .ledger
            .settle(answered(&claimed, Answer::Declined(decline), at(2)))
            .await
            .unwrap();
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let mut earlier = plan
            .earlier(&[item(1, "A").key_hash, item(2, "B").key_hash])
            .await
            .unwrap();
        assert_eq!(earlier.len(), 2);
        assert!(
            !earlier
                .remove(&item(2, "B").key_hash)
                .unwrap()
                .can_be_replaced(),
            "it is still to be sent"
        );
        let earlier = earlier.remove(&item(1, "A").key_hash).unwrap();
        assert!(
            earlier.can_be_replaced()
                && earlier.amount() == item(1, "A").amount
                && earlier.run_id() == 1
        );
        let mended = NewItem {
            key_hash: KeyHash::of("hk", "deduct/filed again 2", "A"),
            again: ReplacementCheck::Replaces(Box::new(ReplacedItem {
                earlier,
                same_terms: true,
            })),
            ..item(1, "A")
        };
        assert!(plan.items(id, &[mended]).await.unwrap().is_empty());
        plan.commit().await.unwrap();
        let items = worker
            .ledger
            .items(&ItemFilter::default(), 0, 10)
            .await
            .unwrap();
        let [old, _, new] = &items[..] else {
            panic!("{items:?}")
        };
        assert_eq!(
            (old.state, new.state, &old.input),
            (State::Failed, State::Planned, &item(1, "A").input)
        );
        assert_ne!(old.order_no, new.order_no);
        assert_eq!(
            filed_again_as(old.id, old.result.as_deref()).unwrap(),
            Some(new.id)
        );
        assert!(
            old.reason
                .as_deref()
                .unwrap()
                .ends_with("; filed again with other content as item 3"),
            "{old:?}"
        );
        assert!(
            new.result.as_deref().unwrap().contains("\"files_again\":1"),
            "{new:?}"
        );
        assert!(
            worker
                .moves(old.id)
                .await
                .last()
                .unwrap()
                .contains("filed_again"),
            "{:?}",
            worker.moves(old.id).await
        );
        let by = Authorization {
            actor: Actor::person("o", "o").unwrap(),
            reason: Reason::parse("again").unwrap(),
        };
        let retried = worker
            .ledger
            .apply_action(old.id, &OperatorAction::Retry, &by, at(3))
            .await
            .unwrap();
        assert_eq!(retried, ActionResult::FiledAgain(new.id));
        // It happened after all: whoever hears of it has to look at both.
        let late = worker
            .ledger
            .settle(answered(&claimed, done(), at(4)))
            .await;
        assert_eq!(late.unwrap(), SettleOutcome::Late);
        let events = worker.ledger.events(old.id).await.unwrap();
        let last = events.last().unwrap();
        assert_eq!(last.alarm.as_deref(), Some("money_moved"), "{last:?}");
        let detail = last.detail.as_ref().unwrap().to_string();
        assert!(
            detail.contains("money moved: a late reply")
                && detail.contains("filed again as item 3, so both"),
            "{detail}"
        );
        worker.assert_sound().await;
    });
}

#[test]
fn what_did_not_go_well_of_skipped_rows_is_counted_by_run() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[item(1, "A"), item(2, "B"), item(3, "C")]).await;
        let decline = Decline {
            code: "NO".into(),
            class: DeclineClass::Hard,
            number: NumberRule::Same,
        };
        for claimed in worker.claim(at(1), 2).await {
            worker
                .ledger
                .settle(answered(&claimed, Answer::Declined(decline.clone()), at(2)))
                .await
                .unwrap();
        }
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let run_id = plan.run_id();
        plan.items(
            id,
            &[item(1, "A"), item(2, "B"), item(3, "C"), item(4, "D")],
        )
        .await
        .unwrap();
        plan.commit().await.unwrap();
        let expected = [EarlierProblems {
            run_id: 1,
            kind: "deduct".into(),
            state: State::Failed,
            items: 2,
        }];
        assert_eq!(
            worker.ledger.problems_before(run_id).await.unwrap(),
            expected
        );
        assert_eq!(worker.ledger.problems_before(1).await.unwrap(), []);
    });
}

#[test]
fn rows_that_say_different_things_under_one_key_are_all_refused_wherever_they_stand() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let other = |line, key| NewItem {
            content_hash: KeyHash::of("hk", "deduct", "something else"),
            ..item(line, key)
        };
        let told = |refused: &[RejectedRow]| -> Vec<(u64, bool)> {
            assert!(
                refused
                    .iter()
                    .all(|one| one.reason.to_string().contains("neither row is sent")),
                "{refused:?}"
            );
            refused
                .iter()
                .map(|one| (one.line, one.was_planned))
                .collect()
        };
        let refused = plan
            .items(
                id,
                &[item(1, "A"), item(2, "B"), other(3, "A"), item(4, "A")],
            )
            .await
            .unwrap();
        assert_eq!(
            told(&refused),
            [(1, false), (3, false), (4, false)],
            "in one chunk"
        );
        let refused = plan
            .items(id, &[item(5, "A"), other(6, "B"), item(7, "C")])
            .await
            .unwrap();
        assert_eq!(
            told(&refused),
            [(5, false), (6, false), (2, true)],
            "in another chunk"
        );
        assert_eq!(
            told(&plan.items(id, &[item(8, "B")]).await.unwrap()),
            [(8, false)],
            "also for the third"
        );
        plan.commit().await.unwrap();
        let items = ledger.items(&ItemFilter::default(), 0, 20).await.unwrap();
        let planned: Vec<&str> = items
            .iter()
            .filter(|item| item.state == State::Planned)
            .map(|item| item.key.as_str())
            .collect();
        assert_eq!((planned, items.len()), (vec!["C"], 8));
        assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
        // The right row alone, in another run, is planned.
        let (mut plan, id) = planning(&ledger, "2").await;
        assert!(plan.items(id, &[item(1, "A")]).await.unwrap().is_empty());
        plan.commit().await.unwrap();
    });
}

#[test]
fn a_key_of_another_run_is_skipped_or_rejected_if_it_says_something_else() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[item(1, "A"), item(2, "B")]).await;
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let other = NewItem {
            content_hash: KeyHash::of("hk", "deduct", "something else"),
            ..item(2, "B")
        };
        let refused = plan
            .items(id, &[item(1, "A"), other, item(3, "C")])
            .await
            .unwrap();
        plan.commit().await.unwrap();
        assert_eq!(
            reasons(&refused),
            [
                (
                    1,
                    State::Skipped,
                    Some(1),
                    false,
                    "run 1 has this key already (item 1, planned)"
                ),
                (
                    2,
                    State::Rejected,
                    Some(2),
                    true,
                    "run 1 has this key with other content (item 2, planned, 10.00 HKD), which is still open and is not changed by this \
                     row; give a new key if it is another thing"
                ),
            ]
        );
        assert_eq!(
            worker.claim(at(1), 10).await.len(),
            2,
            "of the first run's job"
        );
        worker.assert_sound().await;
    });
}

#[test]
fn an_order_number_that_a_user_gives_belongs_to_one_item() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let with_number = |line, key: &str| NewItem {
            custom_order_no: OrderNumber::parse("own-1").ok(),
            ..item(line, key)
        };
        let refused = plan
            .items(id, &[with_number(1, "A"), with_number(2, "B")])
            .await
            .unwrap();
        plan.commit().await.unwrap();
        assert_eq!(
            reasons(&refused),
            [(
                2,
                State::Rejected,
                None,
                false,
                "the order number own-1 belongs to another item"
            )]
        );
        assert_eq!(ledger.find_item("own-1").await.unwrap().unwrap().key, "A");
    });
}

#[test]
fn nothing_of_a_plan_is_seen_before_it_is_committed() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let other = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        plan.items(id, &[item(1, "A")]).await.unwrap();
        assert!(other.runs(None, 10).await.unwrap().is_empty());
        plan.commit().await.unwrap();
        assert_eq!(other.runs(None, 10).await.unwrap().len(), 1);
    });
}

/// A run of two jobs, of which the second needs the first, with an item each.
async fn two_jobs(place: &super::LedgerPlace) -> LedgerWorker {
    let ledger = place.open().await;
    let mut plan = ledger.plan(run("1")).await.unwrap();
    let first = plan.job(job("first")).await.unwrap();
    let second = plan
        .job(NewJob {
            needs: vec!["first".into()],
            ..job("second")
        })
        .await
        .unwrap();
    plan.items(first, &[item(1, "A")]).await.unwrap();
    plan.items(second, &[item(1, "B")]).await.unwrap();
    plan.commit().await.unwrap();
    let node = ledger.join(1 << 20, at(0)).await.unwrap();
    LedgerWorker {
        ledger,
        node,
        job: first,
    }
}

async fn open_jobs(worker: &LedgerWorker) -> Vec<i64> {
    worker
        .ledger
        .open_jobs("hk")
        .await
        .unwrap()
        .iter()
        .map(|job| job.id)
        .collect()
}

#[test]
fn a_job_starts_when_those_it_needs_have_ended_and_the_run_ends_with_the_last() {
    on_every_engine(|place| async move {
        let worker = two_jobs(&place).await;
        worker.ledger.advance(at(1)).await.unwrap();
        assert_eq!(open_jobs(&worker).await, [1]);
        let lanes = BTreeSet::from(["hk".to_owned()]);
        assert_eq!(
            worker
                .ledger
                .work(1, &lanes, &std::collections::BTreeSet::new())
                .await
                .unwrap()
                .open,
            2
        );
        for (job, next) in [(1, vec![2]), (2, vec![])] {
            let claimed = LedgerWorker {
                job,
                ..two_jobs_desk(&worker).await
            }
            .claim(at(2), 1)
            .await
            .remove(0);
            worker
                .ledger
                .settle(answered(&claimed, done(), at(3)))
                .await
                .unwrap();
            worker.ledger.advance(at(4)).await.unwrap();
            assert_eq!(open_jobs(&worker).await, next);
        }
        assert_eq!(
            worker.ledger.run(1).await.unwrap().unwrap().finished_at,
            Some(at(4))
        );
        assert!(worker.ledger.unfinished_runs().await.unwrap().is_empty());
    });
}

/// The same process at another job.
async fn two_jobs_desk(worker: &LedgerWorker) -> LedgerWorker {
    LedgerWorker {
        ledger: worker.ledger.clone(),
        node: worker.ledger.join(rand::random(), at(0)).await.unwrap(),
        job: worker.job,
    }
}

#[test]
fn a_process_that_dies_between_ending_a_job_and_starting_the_next_leaves_nothing_stuck() {
    on_every_engine(|place| async move {
        let worker = two_jobs(&place).await;
        let claimed = worker.claim(at(2), 1).await.remove(0);
        worker
            .ledger
            .settle(answered(&claimed, done(), at(3)))
            .await
            .unwrap();
        // What an earlier version left then: it ended and started jobs in two commits.
        place
            .run("update jobs set finished_at = 1 where id = 1")
            .await;
        worker.ledger.advance(at(4)).await.unwrap();
        assert_eq!(open_jobs(&worker).await, [2]);
    });
}

#[test]
fn a_run_without_items_ends_at_once() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        plan.refuse(id, &[]).await.unwrap();
        plan.commit().await.unwrap();
        ledger.advance(at(1)).await.unwrap();
        assert!(ledger.unfinished_runs().await.unwrap().is_empty());
    });
}

#[test]
fn items_of_a_span_of_time_are_those_of_the_runs_that_were_planned_in_it() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let between = |from, until| ItemFilter {
            planned: Some(TimeSpan {
                from: at(from),
                until: at(until),
            }),
            ..ItemFilter::default()
        };
        for (from, until, found) in [(0, 1, 2), (1, 100, 0)] {
            let filter = between(from, until);
            let items = worker.ledger.items(&filter, 0, 10).await.unwrap();
            assert_eq!(items.len(), found, "{from} to {until}");
            let exported = worker.ledger.exported_items(&filter, 0, 10).await.unwrap();
            assert_eq!(exported.len(), found, "{from} to {until}");
        }
        let of_run = ItemFilter {
            run_id: Some(1),
            ..between(1, 100)
        };
        assert!(
            worker
                .ledger
                .items(&of_run, 0, 10)
                .await
                .unwrap()
                .is_empty()
        );
        let job = worker.ledger.jobs(1).await.unwrap().remove(0);
        let source = worker.ledger.job_source(job.id).await.unwrap().unwrap();
        assert_eq!((source.name.as_str(), source.file), ("charge", None));
        assert!(worker.ledger.job_source(99).await.unwrap().is_none());
        let zone = worker.ledger.timezone_of(Some(1), None).await.unwrap();
        assert_eq!(zone.as_deref(), Some("UTC"));
        let zone = worker.ledger.timezone_of(None, Some("w")).await.unwrap();
        assert_eq!(zone.as_deref(), Some("UTC"));
        assert_eq!(worker.ledger.timezone_of(None, None).await.unwrap(), None);
    });
}

#[test]
fn numbers_that_are_no_receipt_are_kept_once_and_found() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 2).await;
        let number = |name: &str, number: &str| GatewayNumber {
            name: name.to_owned(),
            number: number.to_owned(),
        };
        let claimed = worker.claim(at(1), 1).await.remove(0);
        let moved = apply(
            &claimed.item,
            &Event::Answered(Answer::Accepted),
            &policy(),
            at(2),
        );
        let attempt = Attempt {
            kind: AttemptKind::Call,
            operation: "deduct".into(),
            started_at: at(2),
            ended_at: at(2),
            answer: AnswerKind::Accepted,
            code: String::new(),
            http: Some(200),
            evidence: String::new(),
            numbers: vec![number(RECEIPT, "G-1"), number("customs", "C-1")],
        };
        let pending = Settlement::answered(&claimed, moved.unwrap(), attempt, None, at(2));
        worker.ledger.settle(pending).await.unwrap();
        let found = |text: &'static str| {
            let ledger = worker.ledger.clone();
            async move {
                let text = SearchText {
                    text: text.to_owned(),
                    reference: text.to_lowercase(),
                    reference_hash: None,
                    exclusive_keys: Vec::new(),
                    accounts: Vec::new(),
                };
                let query = SearchQuery {
                    text: Some(text),
                    filter: SearchFilter::default(),
                    limit: 10,
                };
                let found = ledger.search(&query).await.unwrap();
                let rows = found.items.rows.into_iter();
                rows.map(|row| (row.item.id, row.matched))
                    .collect::<Vec<_>>()
            }
        };
        let named = |name: &str| MatchedBy::GatewayNumber {
            name: name.to_owned(),
        };
        assert_eq!(found("G-1").await, [(claimed.id(), vec![named(RECEIPT)])]);
        assert_eq!(found("C-1").await, [(claimed.id(), vec![named("customs")])]);
        assert_eq!(found("C-2").await, []);
        worker.assert_sound().await;
    });
}

#[test]
fn nothing_of_a_run_is_due_before_its_time_approved_or_not() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let mut planning = worker.ledger.plan(run("2")).await.unwrap();
        planning.send_at(at(100));
        let (sent, held) = (
            planning.job(job("sent")).await.unwrap(),
            planning.job(job("held")).await.unwrap(),
        );
        let before = planning.newest_item().await.unwrap();
        planning.items(sent, &[item(1, "S-1")]).await.unwrap();
        planning.job_planned(sent, before, None).await.unwrap();
        let before = planning.newest_item().await.unwrap();
        planning.items(held, &[item(1, "H-1")]).await.unwrap();
        planning.job_planned(held, before, None).await.unwrap();
        let approval = payrun::ledger::NewApproval {
            needed: 1,
            expires_at: at(1000),
        };
        planning.hold(held, &approval).await.unwrap();
        planning.commit().await.unwrap();
        let ledger = &worker.ledger;
        let waiting = ledger.approvals_of_run(2).await.unwrap().remove(0);
        let bob = by("bob");
        let decided = ledger.approve(waiting.id, None, &bob, at(5)).await;
        assert_eq!(
            decided.unwrap(),
            payrun::ledger::DecisionOutcome::Released(1)
        );
        // Whatever else makes an item due, its job is not.
        assert_eq!(sent, 2);
        place
            .run("update items set next_at = 0 where job_id = 2")
            .await;
        let due = async |job: i64| {
            let open = ledger.open_jobs("hk").await.unwrap();
            open.into_iter().find(|open| open.id == job).unwrap().due
        };
        assert_eq!(
            (due(sent).await, due(held).await),
            (Some(at(100)), Some(at(100)))
        );
        let own = LedgerWorker {
            job: held,
            ..two_jobs_desk(&worker).await
        };
        assert!(own.claim(at(99), 9).await.is_empty());
        let lanes = BTreeSet::from(["hk".to_owned()]);
        let work = ledger.work(2, &lanes, &BTreeSet::new()).await.unwrap();
        assert_eq!(work.next_due, Some(at(100)));
        assert_eq!(ledger.run(2).await.unwrap().unwrap().send_at, Some(at(100)));
        assert_eq!(own.claim(at(100), 9).await.len(), 1);
    });
}

#[test]
fn the_columns_of_a_header_are_what_was_said_of_it_last_and_of_no_other() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let header = ["金额".to_owned(), "号".to_owned()];
        let of = payrun::ledger::HeaderOfJob {
            workflow: "w",
            job: "pay",
            header: &header,
        };
        assert_eq!(ledger.chosen_columns(of).await.unwrap(), None);
        for heading in ["号", "金额"] {
            let columns = [("amount".to_owned(), heading.to_owned())]
                .into_iter()
                .collect();
            ledger
                .keep_chosen_columns(of, &columns, ("ann", at(1)))
                .await
                .unwrap();
            assert_eq!(ledger.chosen_columns(of).await.unwrap(), Some(columns));
        }
        let joined = ["金额,号".to_owned()];
        for other in [
            payrun::ledger::HeaderOfJob {
                job: "refund",
                ..of
            },
            payrun::ledger::HeaderOfJob {
                header: &joined,
                ..of
            },
            payrun::ledger::HeaderOfJob {
                header: &header[..1],
                ..of
            },
        ] {
            assert_eq!(ledger.chosen_columns(other).await.unwrap(), None);
        }
        ledger.close().await;
    });
}
