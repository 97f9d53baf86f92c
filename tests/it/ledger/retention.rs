//! What is pruned when its time is over, and what never is.

use payrun::domain::difference::SummaryRemark;
use payrun::domain::item::State;
use payrun::domain::occurrence::OccurrenceState;
use payrun::domain::time::Timestamp;
use payrun::ledger::{
    ActionResult, ItemFilter, KeptStatement, Ledger, NewOccurrence, NewStatement, OccurrenceFilter,
    Prunable, ScheduleRow, ScheduleUpdate,
};

use super::ledger_fixture::{LedgerWorker, answered, at, by, done, item, job, run};
use super::{LedgerPlace, on_every_engine};

/// Says it until nothing is left; how much went.
async fn prune(ledger: &Ledger, what: Prunable, before: Timestamp) -> u64 {
    let mut gone = 0;
    for _ in 0..1000 {
        match ledger.prune(what, before, 10, at(1_000_000)).await.unwrap() {
            0 => return gone,
            some => gone += some,
        }
    }
    panic!("there is no end of {what:?}");
}

/// A run of seven items of which some are answered at second 5, and ended.
async fn with_a_run(place: &LedgerPlace, answers: usize) -> LedgerWorker {
    let ledger = place.open().await;
    let mut planning = ledger.plan(run("1")).await.unwrap();
    let id = planning.job(job("charge")).await.unwrap();
    let before = planning.newest_item().await.unwrap();
    let items: Vec<_> = (1..=7)
        .map(|line| payrun::ledger::NewItem {
            input: r#"{"name":"Chan"}"#.into(),
            ..item(line, &format!("K-{line}"))
        })
        .collect();
    assert_eq!(planning.items(id, &items).await.unwrap(), Vec::new());
    planning.job_planned(id, before, None).await.unwrap();
    planning.commit().await.unwrap();
    let node = ledger.join(1 << 20, at(0)).await.unwrap();
    let worker = LedgerWorker {
        ledger,
        node,
        job: id,
    };
    for claimed in worker.claim(at(5), answers).await {
        worker
            .ledger
            .settle(answered(&claimed, done(), at(5)))
            .await
            .unwrap();
    }
    worker.ledger.advance(at(6)).await.unwrap();
    worker
}

#[test]
fn evidence_of_a_finished_run_goes_and_its_keys_stay() {
    on_every_engine(|place| async move {
        let worker = with_a_run(&place, 7).await;
        assert_eq!(
            worker
                .ledger
                .prunable(Prunable::Evidence, at(6))
                .await
                .unwrap(),
            0,
            "it ended then, not before"
        );
        assert_eq!(prune(&worker.ledger, Prunable::Evidence, at(6)).await, 0);
        assert_eq!(
            worker
                .ledger
                .prunable(Prunable::Evidence, at(7))
                .await
                .unwrap(),
            7
        );
        assert!(prune(&worker.ledger, Prunable::Evidence, at(7)).await >= 7);
        assert_eq!(
            worker
                .ledger
                .prunable(Prunable::Evidence, at(7))
                .await
                .unwrap(),
            0
        );
        for item in worker.items().await {
            assert_eq!(
                (item.state, item.input.as_str(), item.result),
                (State::Succeeded, "{}", None)
            );
            assert!(item.receipt.is_some() && item.amount.is_some() && item.order_no.is_some());
            assert!(worker.ledger.attempts(item.id).await.unwrap().is_empty());
            assert!(worker.ledger.events(item.id).await.unwrap().is_empty());
        }
        assert_eq!(
            worker.ledger.runs(None, 1).await.unwrap()[0].pruned_at,
            Some(at(1_000_000))
        );
        // The key is known for ever.
        let mut again = worker.ledger.plan(run("2")).await.unwrap();
        let id = again.job(job("charge")).await.unwrap();
        let refused = again.items(id, &[item(1, "K-1")]).await.unwrap();
        assert_eq!(
            refused
                .iter()
                .map(|refusal| refusal.state)
                .collect::<Vec<_>>(),
            [State::Skipped]
        );
        again.abandon().await.unwrap();
        let first = worker.items().await[0].id;
        assert_eq!(wish(&worker, first).await, ActionResult::EvidenceGone);
        worker.assert_sound().await;
    });
}

/// A refund that was sent again, declined, and made all the same counts against its payment for
/// ever.
#[test]
fn what_moved_although_it_failed_keeps_its_evidence() {
    on_every_engine(|place| async move {
        let worker = with_a_run(&place, 7).await;
        place
            .run("update events set alarm = 'money_moved' where item_id = 1 and version = 2")
            .await;
        assert!(prune(&worker.ledger, Prunable::Evidence, at(7)).await >= 7);
        let kept = worker.ledger.events(1).await.unwrap();
        assert!(
            kept.iter()
                .any(|event| event.alarm.as_deref() == Some("money_moved"))
        );
        assert!(worker.ledger.events(2).await.unwrap().is_empty());
        assert!(
            worker.ledger.runs(None, 1).await.unwrap()[0]
                .pruned_at
                .is_some(),
            "the rest has gone"
        );
        worker.assert_sound().await;
    });
}

async fn wish(worker: &LedgerWorker, item: i64) -> ActionResult {
    worker
        .ledger
        .apply_action(
            item,
            &payrun::ledger::OperatorAction::Retry,
            &by("ann"),
            at(9),
        )
        .await
        .unwrap()
}

#[test]
fn a_run_of_which_something_is_open_or_needs_review_is_left_as_a_whole() {
    on_every_engine(|place| async move {
        let worker = with_a_run(&place, 6).await;
        assert_eq!(
            prune(&worker.ledger, Prunable::Evidence, at(1_000_000)).await,
            0,
            "one is planned"
        );
        let claimed = worker.claim(at(10), 1).await.remove(0);
        let person = payrun::domain::answer::Decline {
            code: "ASK".into(),
            class: payrun::domain::answer::DeclineClass::Person,
            number: payrun::domain::answer::NumberRule::Ask,
        };
        let answer = payrun::domain::answer::Answer::Declined(person);
        worker
            .ledger
            .settle(answered(&claimed, answer, at(10)))
            .await
            .unwrap();
        worker.ledger.advance(at(11)).await.unwrap();
        assert!(
            worker.ledger.runs(None, 1).await.unwrap()[0]
                .finished_at
                .is_some()
        );
        assert_eq!(
            worker
                .ledger
                .prunable(Prunable::Evidence, at(1_000_000))
                .await
                .unwrap(),
            0
        );
        assert_eq!(
            prune(&worker.ledger, Prunable::Evidence, at(1_000_000)).await,
            0,
            "one needs review"
        );
        let items = worker
            .ledger
            .items(&ItemFilter::default(), 0, 10)
            .await
            .unwrap();
        assert!(items.iter().all(|item| item.input.contains("Chan")));
    });
}

#[test]
fn a_pruned_time_does_not_come_again_when_the_clock_goes_back() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let schedule = |since: u64, until: u64| ScheduleRow {
            workflow: "w".into(),
            rule: "daily".into(),
            calendar_hash: String::new(),
            since: at(since),
            recorded_until: at(until),
        };
        let time = |seconds: u64, state| NewOccurrence {
            nominal: format!("2023-11-{seconds:02}T00:00"),
            at: at(seconds),
            timezone: "UTC".into(),
            state,
            reason: None,
        };
        let begun = ScheduleUpdate {
            before: None,
            after: schedule(0, 0),
            occurrences: Vec::new(),
            now: at(0),
        };
        assert!(ledger.note(&begun).await.unwrap());
        let missed = (10..25).map(|seconds| time(seconds, OccurrenceState::Missed));
        let noting = ScheduleUpdate {
            before: Some(schedule(0, 0)),
            after: schedule(0, 50),
            occurrences: missed
                .chain([
                    time(5, OccurrenceState::Due),
                    time(40, OccurrenceState::Skipped),
                ])
                .collect(),
            now: at(50),
        };
        assert!(ledger.note(&noting).await.unwrap());
        assert_eq!(
            ledger
                .prunable(Prunable::Occurrences, at(30))
                .await
                .unwrap(),
            15
        );
        assert_eq!(prune(&ledger, Prunable::Occurrences, at(30)).await, 15);
        let left = ledger
            .occurrences(&OccurrenceFilter::default(), None, 100)
            .await
            .unwrap();
        let mut left: Vec<_> = left.iter().map(|row| (row.at, row.state)).collect();
        left.sort_by_key(|(at, _)| *at);
        assert_eq!(
            left,
            [
                (at(5), OccurrenceState::Due),
                (at(40), OccurrenceState::Skipped)
            ]
        );
        assert_eq!(ledger.schedule("w").await.unwrap().unwrap().since, at(24));
        assert!(
            !ledger.note(&noting).await.unwrap(),
            "who knows the schedule of before reads it again"
        );
    });
}

#[test]
fn what_was_fetched_of_a_day_that_was_not_over_gives_way_to_its_whole_file() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let fetched = |sha256: &str, second| NewStatement {
            lane: "hk".into(),
            day: "2023-11-14".into(),
            sha256: sha256.into(),
            location: format!("statements/{sha256}"),
            fetched_at: at(second),
            day_ends: at(100),
            remarks: if sha256 == "whole" {
                vec![remark()]
            } else {
                Vec::new()
            },
        };
        let keep = async |sha256: &str, second, lines: u64| {
            let lines: Vec<_> = (1..=lines).map(line).collect();
            ledger
                .keep_statement(&fetched(sha256, second), lines)
                .await
                .unwrap()
        };
        assert_eq!(keep("early", 10, 3).await, KeptStatement::New);
        assert_eq!(keep("early", 20, 3).await, KeptStatement::Known);
        assert_eq!(
            keep("later", 30, 5).await,
            KeptStatement::New,
            "of the same day, with more lines"
        );
        assert_eq!(keep("whole", 110, 7).await, KeptStatement::New);
        assert_eq!(keep("whole", 120, 7).await, KeptStatement::Known);
        assert_eq!(
            keep("other", 130, 8).await,
            KeptStatement::Other,
            "a whole file stays"
        );
        let kept = ledger
            .statements("hk", "2023-11-14", "2023-11-14")
            .await
            .unwrap();
        let [kept] = &kept[..] else {
            panic!("{kept:?}")
        };
        assert_eq!(
            (kept.fetched_at, &kept.remarks[..]),
            (at(110), &[remark()][..])
        );
        assert_eq!(
            ledger.statement_lines(kept.id, 0, 100).await.unwrap().len(),
            7
        );
    });
}

#[test]
fn lines_of_statements_go_when_they_are_old() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let statement = NewStatement {
            lane: "hk".into(),
            day: "2023-11-14".into(),
            sha256: "a".into(),
            location: "statements/a".into(),
            fetched_at: at(10),
            day_ends: at(9),
            remarks: Vec::new(),
        };
        let lines = || (1..=25).map(line);
        ledger
            .keep_statement(&statement, lines().collect::<Vec<_>>())
            .await
            .unwrap();
        assert_eq!(
            ledger
                .prunable(Prunable::StatementLines, at(11))
                .await
                .unwrap(),
            25
        );
        assert_eq!(
            ledger
                .prune(Prunable::StatementLines, at(11), 10, at(20))
                .await
                .unwrap(),
            10
        );
        assert!(
            ledger
                .statements("hk", "2023-11-01", "2023-11-30")
                .await
                .unwrap()
                .is_empty(),
            "half of it is none"
        );
        assert_eq!(prune(&ledger, Prunable::StatementLines, at(11)).await, 15);
        let kept = ledger
            .keep_statement(&statement, lines().collect::<Vec<_>>())
            .await
            .unwrap();
        assert_eq!(kept, KeptStatement::New, "its day can be fetched again");
    });
}

fn line(line: u64) -> payrun::ledger::StatementLine {
    payrun::ledger::StatementLine {
        line,
        kind: payrun::ledger::LineKind::Payment,
        time: "2023-11-14 10:00:00".into(),
        order_no: format!("P-{line}"),
        transaction_id: "42".into(),
        refund_no: String::new(),
        refund_id: String::new(),
        state: "SUCCESS".into(),
        amount: None,
        fee: None,
        settled: None,
    }
}

fn remark() -> SummaryRemark {
    SummaryRemark {
        total: SummaryRemark::LINES.to_owned(),
        says: "a total differs".to_owned(),
    }
}
