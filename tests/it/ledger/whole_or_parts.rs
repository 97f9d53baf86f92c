//! Items that are for a whole and items that are for its parts: never both are planned.

use crate::support::said::assert_said;
use expect_test::expect;
use std::time::Duration;

use payrun::domain::actor::{Actor, Authorization, Reason};
use payrun::domain::answer::{Answer, Decline, DeclineClass, NumberRule};
use payrun::domain::ids::KeyHash;
use payrun::domain::item::State;
use payrun::ledger::{
    ActionResult, ItemPart, LedgerError, NewItem, OperatorAction, PlanWriter, RejectedRow,
};

use super::corrupt::place_of;
use super::ledger_fixture::{LedgerWorker, answered, at, done, item, planning};
use super::{LedgerPlace, on_every_engine};

/// A declaration of a payment to SHENZHEN: of a sub-order, or of the whole where that is empty.
fn part(line: u64, order: &str, sub_order: &str) -> NewItem {
    let values = [order, "SHENZHEN", sub_order];
    let fields = ["order", "customs", "sub_order"];
    NewItem {
        part: Some(ItemPart {
            of: KeyHash::part_of("hk", &["order", "customs"].map(str::to_owned), &values[..2]),
            fields: fields.map(str::to_owned).to_vec(),
            values: values.map(str::to_owned).to_vec(),
            once: true,
        }),
        ..item(line, &values.join("/"))
    }
}

/// As a test compares them, whose process ends soon.
fn told(refusals: &[RejectedRow]) -> Vec<(u64, State, &'static str)> {
    refusals
        .iter()
        .map(|one| (one.line, one.state, &*one.reason.to_string().leak()))
        .collect()
}

async fn planned(plan: &mut PlanWriter, job: i64, items: &[NewItem]) -> Vec<String> {
    let refused = plan.items(job, items).await.unwrap();
    let reasons = refused.into_iter().map(|one| {
        assert_eq!(one.state, State::Rejected);
        one.reason.to_string()
    });
    reasons.collect()
}

fn by() -> Authorization {
    Authorization {
        actor: Actor::person("o", "o").unwrap(),
        reason: Reason::parse("again").unwrap(),
    }
}

fn declined() -> Answer {
    Answer::Declined(Decline {
        code: "NO".into(),
        class: DeclineClass::Hard,
        number: NumberRule::Same,
    })
}

/// Claims and settles one item.
async fn settle_one(worker: &LedgerWorker, answer: Answer) {
    let claimed = worker.claim(at(1), 1).await.remove(0);
    worker
        .ledger
        .settle(answered(&claimed, answer, at(2)))
        .await
        .unwrap();
}

/// The same under another key, as a workflow's own key makes it.
fn keyed(line: u64, key: &str, order: &str, sub_order: &str) -> NewItem {
    let own = item(line, key);
    NewItem {
        key: own.key,
        key_hash: own.key_hash,
        ..part(line, order, sub_order)
    }
}

#[test]
fn what_is_done_once_is_not_done_again_under_another_key() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[part(1, "P-1", "S-1"), part(2, "P-2", "")]).await;
        for run in ["2", "3"] {
            let (mut plan, id) = planning(&worker.ledger, run).await;
            let rows = [
                keyed(1, "own-1", "P-1", "S-1"),
                keyed(2, "own-2", "P-2", ""),
                keyed(3, "own-3", "P-3", "S-1"),
                keyed(4, "own-4", "P-3", "S-1"),
            ];
            let refused = plan.items(id, &rows).await.unwrap();
            let mut told = told(&refused);
            told.sort_unstable();
            let lines: Vec<u64> = told.iter().map(|(line, ..)| *line).collect();
            assert_eq!(lines, [1, 2, 4], "{told:?}");
            for (_, state, reason) in told {
                assert_eq!(state, State::Rejected);
                assert!(reason.contains("under another key"), "{reason}");
            }
            plan.abandon().await.unwrap();
        }
        // What came to nothing may come under another key.
        settle_one(&worker, declined()).await;
        let (mut plan, id) = planning(&worker.ledger, "4").await;
        let row = [keyed(1, "own-1", "P-1", "S-1")];
        assert_eq!(planned(&mut plan, id, &row).await, Vec::<String>::new());
        plan.commit().await.unwrap();
        worker.assert_sound().await;
    });
}

#[test]
fn rows_of_a_job_that_are_for_the_whole_and_for_parts_are_refused_together() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let reason = "line 2 is for the whole of order P-1, customs SHENZHEN, and line 1 for a part of it: none of these rows is sent; \
                      leave the whole or the parts alone in the file";
        let refused = plan
            .items(
                id,
                &[
                    part(1, "P-1", "S-1"),
                    part(2, "P-1", ""),
                    part(3, "P-2", ""),
                    part(4, "P-1", "S-2"),
                ],
            )
            .await
            .unwrap();
        let mut all = told(&refused);
        all.sort_unstable();
        let expected = [1, 2, 4].map(|line| (line, State::Rejected, reason));
        assert_eq!(all, expected);
        // What comes later of the same is refused too, and the other way round in another chunk.
        assert_eq!(
            planned(&mut plan, id, &[part(5, "P-1", "S-3")]).await,
            [reason]
        );
        assert_eq!(
            planned(
                &mut plan,
                id,
                &[part(6, "P-3", "S-1"), part(7, "P-3", "S-2")]
            )
            .await,
            Vec::<String>::new()
        );
        let refused = plan.items(id, &[part(8, "P-3", "")]).await.unwrap();
        let was_planned: Vec<(u64, bool)> = refused
            .iter()
            .map(|one| (one.line, one.was_planned))
            .collect();
        assert_eq!(was_planned, [(8, false), (6, true), (7, true)]);
        assert!(
            refused[1]
                .reason
                .to_string()
                .starts_with("line 8 is for the whole of order P-3")
        );
        plan.commit().await.unwrap();
        let worker = LedgerWorker {
            node: ledger.join(1 << 20, at(0)).await.unwrap(),
            job: id,
            ledger,
        };
        let items = worker.items().await;
        let sent: Vec<&str> = items
            .iter()
            .filter(|item| item.state == State::Planned)
            .map(|item| item.key.as_str())
            .collect();
        assert_eq!((sent, items.len()), (vec!["P-2/SHENZHEN/"], 8));
        worker.assert_sound().await;
        // What makes no item keeps nobody away: the next file has the whole alone.
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let alone = [part(1, "P-1", ""), part(2, "P-3", "S-1")];
        assert_eq!(planned(&mut plan, id, &alone).await, Vec::<String>::new());
        plan.commit().await.unwrap();
    });
}

#[test]
fn of_two_parts_that_differ_in_capitals_only_the_second_is_refused() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let rows = [
            part(1, "P-1", "S-1"),
            part(2, "P-1", "s-1"),
            part(3, "P-1", "S-2"),
        ];
        let reason = "line 1 has P-1/SHENZHEN/S-1, from which P-1/SHENZHEN/s-1 differs in capitals only: no document says that the \
                      gateway tells them apart; write it alike, or give it another number";
        assert_eq!(planned(&mut plan, id, &rows).await, [reason]);
        let rows = [
            part(4, "P-1", "s-2"),
            part(5, "P-2", ""),
            part(6, "p-2", ""),
        ];
        let refused = planned(&mut plan, id, &rows).await;
        assert_eq!(refused.len(), 2, "{refused:?}");
        assert!(
            refused[0].starts_with("line 3 of this run is for P-1/SHENZHEN/S-2, from which"),
            "{refused:?}"
        );
        assert!(
            refused[1].starts_with("line 5 has P-2/SHENZHEN, from which p-2/SHENZHEN differs"),
            "{refused:?}"
        );
        plan.commit().await.unwrap();
        let (mut plan, id) = planning(&ledger, "2").await;
        let rows = [
            part(1, "P-1", "s-1"),
            part(2, "P-1", "S-1"),
            part(3, "P-1", "S-3"),
        ];
        let refused = plan.items(id, &rows).await.unwrap();
        assert_eq!(
            told(&refused),
            [
                (
                    1,
                    State::Rejected,
                    "item 1 of run 1 (planned) is for P-1/SHENZHEN/S-1, from which P-1/SHENZHEN/s-1 differs in capitals only: no \
                     document says that the gateway tells them apart; write it as before, or give it another number"
                ),
                (2, State::Rejected, told(&refused)[1].2),
            ],
            "its key is known, with other content"
        );
        assert_said(
            refused[1].reason.to_string(),
            expect!["run 1 has this key with other content"],
        );
        plan.commit().await.unwrap();
        assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
    });
}

#[test]
fn what_an_earlier_run_plans_as_a_whole_no_later_one_plans_by_parts_until_it_has_failed() {
    on_every_engine(|place| async move {
        for (first, later) in [("", "S-1"), ("S-1", "")] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with(&place, &[part(1, "P-1", first)]).await;
            let (mut plan, id) = planning(&worker.ledger, "2").await;
            let refused = planned(
                &mut plan,
                id,
                &[part(1, "P-1", later), part(2, "P-2", later)],
            )
            .await;
            let [reason] = &refused[..] else {
                panic!("{refused:?}")
            };
            let shapes = match first {
                "" => {
                    "is for the whole of order P-1, customs SHENZHEN, and this row for a part of it (sub_order S-1): "
                }
                _ => {
                    "is for a part of order P-1, customs SHENZHEN (P-1/SHENZHEN/S-1), and this row for the whole: "
                }
            };
            assert_eq!(
                *reason,
                format!(
                    "item 1 of run 1 (planned) {shapes}both together are more than the whole; leave this row out; it may come again \
                     once that item has failed or was cancelled"
                )
            );
            plan.abandon().await.unwrap();
            settle_one(&worker, declined()).await;
            let (mut plan, id) = planning(&worker.ledger, "3").await;
            assert_eq!(
                planned(&mut plan, id, &[part(1, "P-1", later)]).await,
                Vec::<String>::new()
            );
            plan.commit().await.unwrap();
            // Now the other way round: what failed is not tried again beside it.
            let items = worker.items().await;
            let retried = worker
                .ledger
                .apply_action(1, &OperatorAction::Retry, &by(), at(3))
                .await
                .unwrap();
            assert_eq!(retried, ActionResult::Clashes(items[1].id));
            let cancelled = worker
                .ledger
                .apply_action(items[1].id, &OperatorAction::Cancel, &by(), at(3))
                .await
                .unwrap();
            assert_eq!(cancelled, ActionResult::Moved(State::Cancelled));
            let retried = worker
                .ledger
                .apply_action(1, &OperatorAction::Retry, &by(), at(4))
                .await
                .unwrap();
            assert!(matches!(retried, ActionResult::Moved(_)), "{retried:?}");
            let back = worker
                .ledger
                .apply_action(items[1].id, &OperatorAction::Retry, &by(), at(4))
                .await
                .unwrap();
            assert_eq!(back, ActionResult::Clashes(1));
            worker.assert_sound().await;
        }
    });
}

#[test]
fn what_an_item_is_for_that_cannot_be_read_is_not_taken_for_nothing_when_it_is_tried_again() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[part(1, "P-1", "")]).await;
        settle_one(&worker, declined()).await;
        place
            .run("update items set part_of = unhex('01') where id = 1")
            .await;
        let retried = worker
            .ledger
            .apply_action(1, &OperatorAction::Retry, &by(), at(3))
            .await;
        assert_eq!(place_of(retried), "items 1 part_of");
    });
}

#[test]
fn the_same_part_once_more_is_told_by_its_key_or_by_another_kind_and_clashes_with_nothing() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[part(1, "P-1", "S-1"), part(2, "P-2", "")]).await;
        settle_one(&worker, done()).await;
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let refused = plan
            .items(id, &[part(1, "P-1", "S-1"), part(2, "P-2", "")])
            .await
            .unwrap();
        assert_eq!(refused.len(), 2);
        assert!(
            refused
                .iter()
                .all(|one| one.state == State::Skipped
                    && one.reason.to_string().contains("this key")),
            "{refused:?}"
        );
        // It is pushed again, under a key of its own.
        let again = NewItem {
            key_hash: KeyHash::of("hk", "redeclare", "P-1"),
            part: part(3, "P-1", "S-1").part.map(|part| ItemPart {
                once: false,
                ..part
            }),
            ..part(3, "P-1", "S-1")
        };
        assert_eq!(planned(&mut plan, id, &[again]).await, Vec::<String>::new());
        plan.commit().await.unwrap();
        worker.assert_sound().await;
    });
}

#[test]
fn of_two_plans_at_the_same_time_one_gets_in() {
    on_every_engine(|place| async move {
        for kept in [true, false] {
            let place = place.fresh().await;
            let (ledger, other) = (place.open().await, place.open().await);
            let (mut first, job) = planning(&ledger, "1").await;
            assert_eq!(
                planned(&mut first, job, &[part(1, "P-1", "")]).await,
                Vec::<String>::new()
            );
            let second = tokio::spawn(async move {
                let (mut second, job) = planning(&other, "2").await;
                let refused = planned(&mut second, job, &[part(1, "P-1", "S-1")]).await;
                second.commit().await.unwrap();
                refused
            });
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(
                !second.is_finished(),
                "it waits for what becomes of the first"
            );
            if kept {
                first.commit().await.unwrap();
            } else {
                first.abandon().await.unwrap();
            }
            let refused = second.await.unwrap();
            assert_eq!(refused.len(), usize::from(kept), "{refused:?}");
            assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
        }
    });
}

#[test]
fn nothing_is_tried_again_while_a_plan_that_may_clash_with_it_is_not_decided() {
    on_every_engine(|place| async move {
        let LedgerPlace::Postgres(_) = &place else {
            return;
        };
        let worker = LedgerWorker::with(&place, &[part(1, "P-1", "")]).await;
        settle_one(&worker, declined()).await;
        let other = place.open().await;
        let (mut plan, id) = planning(&other, "2").await;
        assert_eq!(
            planned(&mut plan, id, &[part(1, "P-1", "S-1")]).await,
            Vec::<String>::new()
        );
        let by = by();
        let retry = || {
            worker
                .ledger
                .apply_action(1, &OperatorAction::Retry, &by, at(3))
        };
        let early = retry().await;
        assert!(matches!(early, Err(LedgerError::Busy { .. })), "{early:?}");
        plan.commit().await.unwrap();
        assert_eq!(retry().await.unwrap(), ActionResult::Clashes(2));
    });
}
