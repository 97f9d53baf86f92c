//! A payment has two numbers: no two items name one payment by different ones.

use payrun::domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule};
use payrun::domain::ids::KeyHash;
use payrun::domain::item::State;
use payrun::ledger::{
    ActionResult, BulkVerb, ItemPart, NewItem, OperatorAction, PaymentNames, PlanWriter,
    RejectedRow, ReplacedItem, ReplacementCheck,
};

use super::bulk_actions::bulk_of;
use super::ledger_fixture::{LedgerWorker, answered, at, by, done, item, job, planning, run};
use super::{LedgerPlace, on_every_engine};

/// A declaration of a sub-order of a payment.
fn declared(line: u64, [ours, theirs, sub_order]: [&str; 3]) -> NewItem {
    let values = [ours, "SHENZHEN", sub_order];
    NewItem {
        exclusive_key: None,
        part: Some(ItemPart {
            of: KeyHash::part_of("hk", &["order", "customs"].map(str::to_owned), &values[..2]),
            fields: ["order", "customs", "sub_order"]
                .map(str::to_owned)
                .to_vec(),
            values: values.map(str::to_owned).to_vec(),
            once: true,
        }),
        payment: Some(PaymentNames {
            account: "hk".into(),
            fields: ["order", "transaction"].map(str::to_owned),
            numbers: [ours, theirs].map(str::to_owned),
            part: None,
        }),
        ..item(line, &values.join("/"))
    }
}

/// The same under another key.
fn keyed(key: &str, of: NewItem) -> NewItem {
    let own = item(of.line, key);
    NewItem {
        key: own.key,
        key_hash: own.key_hash,
        ..of
    }
}

/// The same, done again by another kind.
fn again(key: &str, of: NewItem) -> NewItem {
    let part = of.part.clone().map(|part| ItemPart {
        once: false,
        ..part
    });
    keyed(key, NewItem { part, ..of })
}

fn lines(refused: &[RejectedRow]) -> Vec<u64> {
    let mut lines: Vec<u64> = refused.iter().map(|one| one.line).collect();
    lines.sort_unstable();
    lines
}

async fn refused(plan: &mut PlanWriter, job: i64, items: &[NewItem]) -> Vec<RejectedRow> {
    let refused = plan.items(job, items).await.unwrap();
    assert!(
        refused.iter().all(|one| one.state == State::Rejected),
        "{refused:?}"
    );
    refused
}

fn declined() -> Answer {
    Answer::Declined(Decline {
        code: "NO".into(),
        class: DeclineClass::Hard,
        number: NumberRule::Same,
    })
}

async fn settle_one(worker: &LedgerWorker, answer: Answer) {
    let claimed = worker.claim(at(1), 1).await.remove(0);
    worker
        .ledger
        .settle(answered(&claimed, answer, at(2)))
        .await
        .unwrap();
}

async fn retried(worker: &LedgerWorker, item: i64) -> ActionResult {
    worker
        .ledger
        .apply_action(item, &OperatorAction::Retry, &by("ann"), at(3))
        .await
        .unwrap()
}

#[test]
fn rows_of_a_file_that_name_one_payment_by_two_numbers_are_refused_together() {
    on_every_engine(|place| async move {
        let ledger = place.open().await;
        let (mut plan, id) = planning(&ledger, "1").await;
        let rows = [
            declared(1, ["P-1", "4201", "S-1"]),
            declared(2, ["P-1x", "4201", "S-1"]),
            declared(3, ["P-2", "4202", "S-1"]),
            declared(4, ["P-2", "4202", "S-2"]),
            declared(5, ["P-3", "4203", "S-1"]),
            declared(6, ["P-3", "4204", "S-2"]),
        ];
        let told = refused(&mut plan, id, &rows).await;
        assert_eq!(lines(&told), [1, 2, 5, 6], "{told:#?}");
        assert_eq!(
            told[0].reason.to_string(),
            "line 1 is of the payment P-1/4201, and line 2 of order P-1x, transaction 4201: they share a number or a part, so one of them \
             is mistyped, and nobody can tell which: no row with one of these numbers is sent; mend the wrong row"
        );
        // A row of a later part of the file with one of these numbers, and one that makes what was
        // planned doubtful, and through it another.
        let rows = [
            declared(7, ["P-1", "4201", "S-9"]),
            declared(8, ["P-7", "4204", "S-1"]),
            declared(9, ["P-8", "4208", "S-1"]),
            declared(10, ["P-2", "4208", "S-3"]),
        ];
        let told = refused(&mut plan, id, &rows).await;
        assert_eq!(lines(&told), [3, 4, 7, 8, 9, 10], "{told:#?}");
        let was_planned: Vec<u64> = lines(
            &told
                .iter()
                .filter(|one| one.was_planned)
                .cloned()
                .collect::<Vec<_>>(),
        );
        assert_eq!(was_planned, [3, 4]);
        plan.commit().await.unwrap();
        assert_eq!(ledger.check().await.unwrap(), Vec::<String>::new());
        // What makes no item keeps nobody away.
        let (mut plan, id) = planning(&ledger, "2").await;
        let mended = [
            declared(1, ["P-1", "4201", "S-1"]),
            declared(2, ["P-2", "4202", "S-1"]),
        ];
        assert_eq!(lines(&refused(&mut plan, id, &mended).await), [0_u64; 0]);
        plan.commit().await.unwrap();
    });
}

#[test]
fn a_row_that_names_the_payment_of_an_item_otherwise_is_refused_until_that_came_to_nothing() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[declared(1, ["P-1", "4201", "S-1"])]).await;
        let wrong = [
            declared(1, ["P-1x", "4201", "S-1"]),
            declared(2, ["P-1", "4201x", "S-2"]),
            declared(3, ["p-1", "4201", "S-3"]),
            again("again", declared(4, ["P-9", "4201", "S-1"])),
            declared(5, ["P-1", "4201", "S-5"]),
        ];
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let told = refused(&mut plan, id, &wrong).await;
        assert_eq!(lines(&told), [1, 2, 3, 4], "{told:#?}");
        assert_eq!(
            told[0].reason.to_string(),
            "item 1 of run 1 (planned) names its payment P-1/4201, and this row order P-1x, transaction 4201: a payment has one number \
             of each, and by a mistyped one the same would be declared twice; look which is right (payrun show --item 1), and mend this \
             row or leave it out; as it is, it may come again once that item has failed or was cancelled"
        );
        plan.abandon().await.unwrap();
        // Nobody knows what became of it.
        settle_one(&worker, Answer::from(Cause::TimedOut)).await;
        let (mut plan, id) = planning(&worker.ledger, "3").await;
        let told = refused(&mut plan, id, &wrong[..1]).await;
        assert!(told[0].reason.to_string().contains("(unknown)"), "{told:?}");
        plan.abandon().await.unwrap();
        let place = place.fresh().await;
        let other = LedgerWorker::with(&place, &[declared(1, ["P-1", "4201", "S-1"])]).await;
        settle_one(&other, declined()).await;
        let (mut plan, id) = planning(&other.ledger, "2").await;
        assert_eq!(
            lines(&refused(&mut plan, id, &wrong[..1]).await),
            [0_u64; 0]
        );
        plan.commit().await.unwrap();
        // What failed is not tried again beside it.
        assert_eq!(retried(&other, 1).await, ActionResult::OtherPayment(2));
        other.assert_sound().await;
    });
}

#[test]
fn a_row_that_names_a_payment_otherwise_than_the_gateway_showed_it_is_refused() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with(&place, &[item(1, "C-1")]).await;
        let payment = payrun::ledger::Payment {
            order_no: "P-1".into(),
            transaction_id: "4201".into(),
            amount: item(1, "C-1").amount.unwrap(),
            other: None,
        };
        let account = KeyHash::of("hk", "payment", "");
        let known = worker
            .ledger
            .record_payment(account, &payment, false, at(1))
            .await;
        assert!(known.unwrap().is_some());
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let rows = [
            declared(1, ["P-1x", "4201", "S-1"]),
            declared(2, ["P-1", "4209", "S-1"]),
            declared(3, ["P-1", "4201", "S-2"]),
        ];
        let told = refused(&mut plan, id, &rows).await;
        assert_eq!(lines(&told), [1, 2], "{told:#?}");
        assert!(
            told[0].reason.to_string().starts_with(
                "the gateway has shown this payment as P-1/4201, and this row names order P-1x, transaction 4201: "
            ),
            "{told:?}"
        );
        plan.abandon().await.unwrap();
    });
}

#[test]
fn a_part_whose_number_is_its_own_is_of_one_payment() {
    on_every_engine(|place| async move {
        let alone = |line, [ours, theirs, sub_order]: [&str; 3]| {
            let of = declared(line, [ours, theirs, sub_order]);
            let payment = of.payment.clone().map(|payment| PaymentNames {
                part: Some(["SHENZHEN", sub_order].map(str::to_owned).to_vec()),
                ..payment
            });
            NewItem { payment, ..of }
        };
        let worker = LedgerWorker::with(&place, &[alone(1, ["P-1", "4201", "S-1"])]).await;
        let rows = [
            // A column that has slipped by a row: both numbers are those of another payment.
            alone(1, ["P-2", "4202", "S-1"]),
            alone(2, ["P-3", "4203", "S-2"]),
            alone(3, ["P-4", "4204", "s-2"]),
            alone(4, ["P-1", "4201", "S-3"]),
            // A number that is only the payment's own sub-order's.
            declared(5, ["P-5", "4205", "S-1"]),
        ];
        let (mut plan, id) = planning(&worker.ledger, "2").await;
        let told = refused(&mut plan, id, &rows).await;
        assert_eq!(lines(&told), [1, 2, 3], "{told:#?}");
        assert!(
            told[0].reason.to_string().starts_with("item 1 of run 1 (planned) is for SHENZHEN/S-1 of the payment P-1/4201, and this row of order P-2"),
            "{told:?}"
        );
        plan.commit().await.unwrap();
        let found = worker.ledger.payments_named_twice(9).await.unwrap();
        assert_eq!(found, []);
        worker.assert_sound().await;
    });
}

#[test]
fn what_failed_is_not_tried_again_beside_another_of_the_same_part() {
    on_every_engine(|place| async move {
        for answer in [None, Some(Answer::from(Cause::TimedOut)), Some(done())] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with(&place, &[declared(1, ["P-1", "4201", "S-1"])]).await;
            settle_one(&worker, declined()).await;
            let (mut plan, id) = planning(&worker.ledger, "2").await;
            let other = keyed("own", declared(1, ["P-1", "4201", "S-1"]));
            assert_eq!(lines(&refused(&mut plan, id, &[other]).await), [0_u64; 0]);
            plan.commit().await.unwrap();
            let second = LedgerWorker {
                node: worker.ledger.join(2 << 20, at(0)).await.unwrap(),
                job: id,
                ledger: worker.ledger.clone(),
            };
            if let Some(answer) = answer {
                settle_one(&second, answer).await;
            }
            assert_eq!(retried(&worker, 1).await, ActionResult::DoneAs(2));
            let version = worker.items().await[0].version;
            let bulk = bulk_of(&worker, 1).await;
            let how = (&by("ann"), "failed");
            let all = worker
                .ledger
                .apply_actions(bulk, &[(1, version)], BulkVerb::Retry, how, at(3))
                .await
                .unwrap();
            assert_eq!(all, [(1, ActionResult::DoneAs(2))]);
        }
    });
}

#[test]
fn a_change_that_failed_is_not_tried_again_over_a_later_one_of_the_same_and_is_beside_an_earlier() {
    on_every_engine(|place| async move {
        let changes = [
            again("change 1", declared(1, ["P-1", "4201", "S-1"])),
            again("change 2", declared(2, ["P-1", "4201", "S-1"])),
        ];
        for (fails, expected) in [(0, true), (1, false)] {
            let place = place.fresh().await;
            let worker = LedgerWorker::with(&place, &changes).await;
            let mut claimed = worker.claim(at(1), 2).await;
            claimed.sort_by_key(payrun::ledger::Claimed::id);
            for (n, one) in claimed.iter().enumerate() {
                let answer = if n == fails { declined() } else { done() };
                worker
                    .ledger
                    .settle(answered(one, answer, at(2)))
                    .await
                    .unwrap();
            }
            let result = retried(&worker, claimed[fails].id()).await;
            let is_refused = result == ActionResult::DoneAs(claimed[1].id());
            assert_eq!(is_refused, expected, "{result:?}");
        }
    });
}

#[test]
fn payments_with_two_names_that_lie_in_the_ledger_are_found() {
    on_every_engine(|place| async move {
        let rows = [
            declared(1, ["P-1", "4201", "S-1"]),
            declared(2, ["P-2", "4202", "S-1"]),
            declared(3, ["P-3", "4203", "S-1"]),
        ];
        let worker = LedgerWorker::with(&place, &rows).await;
        assert_eq!(worker.ledger.payments_named_twice(9).await.unwrap(), []);
        place
            .run("update items set payment_theirs = 'hk/4201', payment_written = 'P-2/4201' where id = 2")
            .await;
        let found = worker.ledger.payments_named_twice(9).await.unwrap();
        let told: Vec<(&str, i64, &str)> = found
            .iter()
            .map(|one| (one.number.as_str(), one.item_id, one.written.as_str()))
            .collect();
        assert_eq!(
            told,
            [("hk/4201", 1, "P-1/4201"), ("hk/4201", 2, "P-2/4201")]
        );
        // What came to nothing names nothing.
        place
            .run("update items set state = 'failed' where id = 2")
            .await;
        assert_eq!(worker.ledger.payments_named_twice(9).await.unwrap(), []);
    });
}

#[test]
fn a_mended_row_clashes_with_nothing_of_what_it_does_again() {
    on_every_engine(|place| async move {
        let first = declared(1, ["P-1", "4201x", "S-1"]);
        let worker = LedgerWorker::with(&place, std::slice::from_ref(&first)).await;
        place
            .run("update items set state = 'needs_review', next_at = null where id = 1")
            .await;
        // Twice: the second time the item before the last still needs review too.
        let mut before = first.key_hash;
        for (n, theirs) in ["4201y", "4201"].into_iter().enumerate() {
            let (mut plan, id) = planning(&worker.ledger, &format!("again {n}")).await;
            let mut earlier = plan.earlier(&[before]).await.unwrap();
            let key_hash = KeyHash::of("hk", &format!("again {n}"), &first.key);
            let mended = NewItem {
                key_hash,
                again: ReplacementCheck::Replaces(Box::new(ReplacedItem {
                    earlier: earlier.remove(&before).unwrap(),
                    same_terms: false,
                })),
                ..declared(1, ["P-1", theirs, "S-1"])
            };
            assert_eq!(lines(&refused(&mut plan, id, &[mended]).await), [0_u64; 0]);
            plan.commit().await.unwrap();
            place
                .run("update items set state = 'needs_review', next_at = null where state = 'planned'")
                .await;
            before = key_hash;
        }
        // Another row of the same waits for all of them.
        let (mut plan, id) = planning(&worker.ledger, "own").await;
        let own = keyed("own", declared(1, ["P-1", "4201", "S-1"]));
        assert_eq!(lines(&refused(&mut plan, id, &[own]).await), [1]);
        plan.abandon().await.unwrap();
        // And the newest is tried again beside those that it does again.
        place
            .run("update items set state = 'failed' where id = 3")
            .await;
        let retried = retried(&worker, 3).await;
        assert!(matches!(retried, ActionResult::Moved(_)), "{retried:?}");
    });
}

#[test]
fn a_payment_that_another_plan_names_is_waited_for_until_that_is_decided() {
    on_every_engine(|place| async move {
        let LedgerPlace::Sqlite(_) = &place else {
            return;
        };
        let (ledger, other) = (place.open().await, place.open().await);
        let mut preview = ledger.plan_in_steps(run("preview"), 1).await.unwrap();
        let id = preview.job(job("declare")).await.unwrap();
        let mistyped = declared(1, ["P-1", "T-2", "S-1"]);
        preview.items(id, &[mistyped]).await.unwrap();
        preview.step().await.unwrap();
        let mut plan = other.plan_in_steps(run("plan"), 1).await.unwrap();
        let id = plan.job(job("declare")).await.unwrap();
        let free = keyed("K", declared(1, ["P-9", "T-9", "S-9"]));
        assert!(!plan.waits_for_another(&[free]).await.unwrap());
        for row in [
            // By our number, by theirs, and as another part of the same payment.
            ["P-1", "T-1", "S-2"],
            ["P-3", "T-2", "S-2"],
            ["P-1", "T-2", "S-2"],
        ] {
            let row = keyed("K", declared(1, row));
            assert!(plan.waits_for_another(&[row]).await.unwrap());
        }
        preview.abandon().await.unwrap();
        let row = declared(1, ["P-1", "T-1", "S-1"]);
        while plan
            .waits_for_another(std::slice::from_ref(&row))
            .await
            .unwrap()
        {}
        let refused = plan.items(id, &[row]).await.unwrap();
        assert!(
            refused.is_empty(),
            "a preview keeps no row away: {refused:?}"
        );
        plan.commit().await.unwrap();
    });
}
