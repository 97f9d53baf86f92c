//! Bulk actions as rows, and what people are shown before they act on many items.

use std::collections::BTreeMap;

use payrun::domain::answer::{Answer, Cause};
use payrun::domain::item::State;
use payrun::domain::money::Currency;
use payrun::ledger::{
    BulkStart, BulkState, BulkVerb, CountedItems, ItemFilter, NewBulkAction, OfferedActions,
    UnresolvedSum,
};

use super::ledger_fixture::{LedgerWorker, answered, at, by};
use super::on_every_engine;

/// A bulk action of so many items that has begun.
pub async fn bulk_of(worker: &LedgerWorker, items: u64) -> i64 {
    let counted = CountedItems {
        items,
        set: "00aa".to_owned(),
        ..CountedItems::default()
    };
    let filter = ItemFilter {
        states: vec![State::Planned],
        ..ItemFilter::default()
    };
    let new = NewBulkAction {
        verb: BulkVerb::Cancel,
        filter: &filter,
        counted: &counted,
        request_key: None,
    };
    let begun = worker
        .ledger
        .begin_bulk_action(new, &by("ann"), at(2))
        .await;
    match begun.unwrap() {
        BulkStart::Begun(id) => id,
        other @ (BulkStart::Again(_) | BulkStart::Otherwise) => panic!("{other:?}"),
    }
}

#[test]
fn a_bulk_action_says_in_each_commit_how_far_it_is_and_what_was_left_alone() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 3).await;
        let (ledger, id) = (&worker.ledger, bulk_of(&worker, 3).await);
        let begun = ledger.bulk_action(id).await.unwrap().unwrap();
        assert_eq!(begun.state(at(2)), BulkState::UnderWay);
        assert_eq!((begun.handled, begun.filter.states.len()), (0, 1));
        let apply = |items: Vec<(i64, i64)>| async move {
            let by = by("ann");
            let how = (&by, "state planned");
            ledger
                .apply_actions(id, &items, BulkVerb::Cancel, how, at(3))
                .await
                .unwrap()
        };
        // One moved since it was counted, and none of this commit is cancelled.
        apply(vec![(1, 7)]).await;
        let under_way = ledger.bulk_action(id).await.unwrap().unwrap();
        assert_eq!((under_way.handled, under_way.refused), (1, 1));
        assert_eq!(under_way.state(at(3)), BulkState::UnderWay);
        assert_eq!(under_way.state(at(3 + 60)), BulkState::BrokenOff);
        apply(vec![(2, 0), (3, 0)]).await;
        let done = ledger.bulk_action(id).await.unwrap().unwrap();
        assert_eq!(done.state(at(1_000)), BulkState::Done);
        assert_eq!(done.moved, BTreeMap::from([(State::Cancelled, 2)]));
        assert_eq!((done.handled, done.ended_at), (3, Some(at(3))));
        let refusals = ledger.bulk_refusals(id, 0, 10).await.unwrap();
        assert_eq!(
            (refusals[0].item, refusals[0].code.as_str()),
            (1, "changed")
        );
        let counts = ledger.bulk_refusal_counts(id).await.unwrap();
        assert_eq!(counts, [("changed".to_owned(), 1)]);
        let listed = ledger.bulk_actions(None, 10).await.unwrap();
        assert_eq!(listed.len(), 1);
        // A later end is no break.
        ledger.break_off_bulk_action(id, at(9)).await.unwrap();
        let done = ledger.bulk_action(id).await.unwrap().unwrap();
        assert_eq!(done.broke_off_at, None);
        worker.assert_sound().await;
    });
}

#[test]
fn a_form_that_is_sent_twice_begins_one_bulk_action() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 1).await;
        let begin = |set: &'static str, name: &'static str| {
            let ledger = worker.ledger.clone();
            async move {
                let counted = CountedItems {
                    items: 1,
                    set: set.to_owned(),
                    ..CountedItems::default()
                };
                let new = NewBulkAction {
                    verb: BulkVerb::Retry,
                    filter: &ItemFilter::default(),
                    counted: &counted,
                    request_key: Some("k1"),
                };
                let begun = ledger.begin_bulk_action(new, &by(name), at(1)).await;
                begun.unwrap()
            }
        };
        let BulkStart::Begun(first) = begin("aa", "ann").await else {
            panic!("it is the first")
        };
        assert_eq!(begin("aa", "ann").await, BulkStart::Again(first));
        assert_eq!(begin("bb", "ann").await, BulkStart::Otherwise);
        // A key is one person's.
        assert!(matches!(begin("aa", "bob").await, BulkStart::Begun(_)));
        let found = worker.ledger.bulk_action_of_request("ann", "k1").await;
        assert_eq!(found.unwrap().unwrap().id, first);
    });
}

#[test]
fn what_is_at_risk_is_added_up_by_age_and_what_may_be_asked_of_an_item_is_known() {
    on_every_engine(|place| async move {
        let worker = LedgerWorker::with_items(&place, 3).await;
        let ledger = &worker.ledger;
        let none = ledger.unresolved_sums(None, at(5)).await.unwrap();
        assert!(none.sums.is_empty() && !none.is_cut);
        let planned = ledger.offered_actions(1, at(5)).await.unwrap();
        assert!(planned.cancel && !planned.retry && !planned.resolve);
        for one in &worker.claim(at(1), 2).await {
            let silent = answered(one, Answer::from(Cause::TimedOut), at(2));
            ledger.settle(silent).await.unwrap();
        }
        let unknown = ledger.offered_actions(1, at(5)).await.unwrap();
        assert!(unknown.cancel && !unknown.retry && unknown.resolve);
        let hkd = Currency::parse("HKD").ok();
        let risk = |age| UnresolvedSum {
            state: State::Unknown,
            age,
            currency: hkd,
            items: 2,
            minor: 2_000,
        };
        for (seconds, age) in [(5, 0), (2 + 600, 1), (2 + 3_600, 2), (2 + 86_400, 3)] {
            let found = ledger.unresolved_sums(Some("hk"), at(seconds)).await;
            assert_eq!(found.unwrap().sums, [risk(age)], "after {seconds} s");
        }
        let elsewhere = ledger.unresolved_sums(Some("cn"), at(5)).await.unwrap();
        assert!(elsewhere.sums.is_empty());
        assert_eq!(
            ledger.offered_actions(99, at(5)).await.unwrap(),
            OfferedActions::default()
        );
    });
}
