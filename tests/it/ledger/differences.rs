//! Differences of reconciliations: each is kept once, changes as persons and evidence say, and is
//! found by what is known of it.

use payrun::domain::difference::{DifferenceOwner, DifferenceReason, DifferenceState};
use payrun::domain::money::{Amount, Currency};
use payrun::ledger::{
    Difference, DifferenceChange, DifferenceFilter, DifferenceRow, DifferenceSpan, Ledger, LineKind,
};

use super::ledger_fixture::{at, by};
use super::{LedgerPlace, on_every_engine};

fn hkd(minor: i64) -> Option<Amount> {
    Amount::from_minor(minor, Currency::parse("HKD").unwrap()).ok()
}

fn difference(reason: DifferenceReason, day: &str, number: &str) -> Difference {
    Difference {
        reason,
        day: day.to_owned(),
        kind: LineKind::Payment,
        order_no: number.to_owned(),
        refund_no: String::new(),
        transaction_id: format!("T-{number}"),
        ours: None,
        theirs: hkd(1_000),
        our_state: None,
        their_state: "SUCCESS".to_owned(),
        item: None,
        line: Some(1),
        total: None,
        detail: String::new(),
    }
}

async fn list(ledger: &Ledger, filter: DifferenceFilter) -> Vec<i64> {
    let rows = ledger.list_differences(&filter, 0, 100).await.unwrap();
    rows.iter().map(|row| row.id).collect()
}

async fn row(ledger: &Ledger, id: i64) -> DifferenceRow {
    ledger.difference(id).await.unwrap().unwrap().0
}

/// Three differences of two accounts, 1 to 3.
async fn with_three(place: &LedgerPlace) -> Ledger {
    let ledger = place.open().await;
    let missing = difference(DifferenceReason::MissingHere, "2026-11-20", "A");
    let fee = difference(DifferenceReason::Fee, "2026-11-21", "B");
    let found = [missing.clone(), fee, missing.clone()];
    let kept = ledger
        .keep_differences("hk", &found, 7, at(1))
        .await
        .unwrap();
    let ids: Vec<i64> = kept.iter().map(|kept| kept.id).collect();
    assert_eq!(ids, [1, 2, 1], "what stands twice is one");
    let other = ledger
        .keep_differences("eu", &[missing], 8, at(1))
        .await
        .unwrap();
    assert_eq!((other[0].id, other[0].is_new), (3, true));
    ledger
}

#[test]
fn the_same_difference_is_one_row_whenever_it_is_found() {
    on_every_engine(|place| async move {
        let ledger = with_three(&place).await;
        // Another line and state of our item, as after a later file, are no other difference.
        let again = Difference {
            line: Some(9),
            our_state: Some(payrun::domain::item::State::Failed),
            ..difference(DifferenceReason::MissingHere, "2026-11-20", "A")
        };
        let kept = ledger
            .keep_differences("hk", std::slice::from_ref(&again), 9, at(5))
            .await
            .unwrap();
        assert_eq!((kept[0].id, kept[0].is_new), (1, false));
        let kept = row(&ledger, 1).await;
        assert_eq!(
            (kept.difference.line, kept.first_seen, kept.last_seen),
            (Some(9), at(1), at(5))
        );
        assert_eq!(kept.version, 1);
        // Another amount is another difference.
        let other = Difference {
            theirs: hkd(1_001),
            ..again
        };
        let kept = ledger
            .keep_differences("hk", &[other], 9, at(5))
            .await
            .unwrap();
        assert_eq!((kept[0].id, kept[0].is_new), (4, true));
        // A total is known by its caption, however the sentence is worded.
        let of_total = |total: &str, detail: &str| Difference {
            total: Some(total.to_owned()),
            detail: detail.to_owned(),
            ..difference(DifferenceReason::Summary, "2026-11-20", "")
        };
        let told = [
            of_total("fees", "fees are not what the lines sum up to"),
            of_total("fees", "the lines sum up to other fees"),
            of_total("refunds", "refunds are not what the lines sum up to"),
        ];
        let kept = ledger
            .keep_differences("hk", &told, 9, at(5))
            .await
            .unwrap();
        let ids: Vec<i64> = kept.iter().map(|kept| kept.id).collect();
        assert_eq!(ids, [5, 5, 6]);
        let total = row(&ledger, 5).await.difference.total;
        assert_eq!(total.as_deref(), Some("fees"));
    });
}

#[test]
fn what_was_closed_and_is_found_again_is_new_and_what_changed_meanwhile_is_not_closed() {
    on_every_engine(|place| async move {
        let ledger = with_three(&place).await;
        let rows = ledger
            .list_differences(&DifferenceFilter::default(), 0, 100)
            .await
            .unwrap();
        let accept = DifferenceChange::Accept;
        let outcome = ledger
            .change_differences(&[2], &accept, &by("ann"), at(2))
            .await
            .unwrap();
        assert_eq!(outcome.changed, [2]);
        // 2 was accepted after it was read: it stays so.
        let closed = ledger
            .differences_not_found(&rows, "gone", at(3))
            .await
            .unwrap();
        assert_eq!(closed, 2);
        let states: Vec<_> = [
            row(&ledger, 1).await,
            row(&ledger, 2).await,
            row(&ledger, 3).await,
        ]
        .iter()
        .map(|row| row.state)
        .collect();
        let (closed, accepted) = (DifferenceState::Closed, DifferenceState::Accepted);
        assert_eq!(states, [closed, accepted, closed]);
        let found = [
            difference(DifferenceReason::MissingHere, "2026-11-20", "A"),
            difference(DifferenceReason::Fee, "2026-11-21", "B"),
        ];
        let kept = ledger
            .keep_differences("hk", &found, 10, at(4))
            .await
            .unwrap();
        let told: Vec<_> = kept.iter().map(|kept| (kept.state, kept.is_new)).collect();
        assert_eq!(told, [(DifferenceState::Open, true), (accepted, false)]);
        let (_, events) = ledger.difference(1).await.unwrap().unwrap();
        let events: Vec<_> = events
            .iter()
            .map(|event| (event.version, event.event.as_str(), event.note.as_str()))
            .collect();
        assert_eq!(
            events,
            [(1, "found", ""), (2, "not_found", "gone"), (3, "found", "")]
        );
    });
}

#[test]
fn differences_are_found_by_what_is_known_of_them() {
    on_every_engine(|place| async move {
        let ledger = with_three(&place).await;
        let assign = DifferenceChange::Assign(Some(DifferenceOwner::parse("li").unwrap()));
        ledger
            .change_differences(&[2], &assign, &by("ann"), at(2))
            .await
            .unwrap();
        let every = DifferenceFilter::default;
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            (every(), vec![1, 2, 3]),
            (
                DifferenceFilter {
                    states: vec![DifferenceState::Open],
                    lane: text("hk"),
                    ..every()
                },
                vec![1, 2],
            ),
            (
                DifferenceFilter {
                    states: vec![DifferenceState::Closed, DifferenceState::Accepted],
                    ..every()
                },
                vec![],
            ),
            (
                DifferenceFilter {
                    reason: Some(DifferenceReason::Fee),
                    ..every()
                },
                vec![2],
            ),
            (
                DifferenceFilter {
                    owner: text("li"),
                    ..every()
                },
                vec![2],
            ),
            (
                DifferenceFilter {
                    owner: text(""),
                    ..every()
                },
                vec![1, 3],
            ),
            (
                DifferenceFilter {
                    from: text("2026-11-21"),
                    to: text("2026-11-21"),
                    ..every()
                },
                vec![2],
            ),
            (
                DifferenceFilter {
                    number: text("A"),
                    ..every()
                },
                vec![1, 3],
            ),
            (
                DifferenceFilter {
                    number: text("T-B"),
                    ..every()
                },
                vec![2],
            ),
            (
                DifferenceFilter {
                    item: Some(12),
                    ..every()
                },
                vec![],
            ),
        ];
        for (filter, ids) in cases {
            let told = format!("{filter:?}");
            assert_eq!(list(&ledger, filter).await, ids, "{told}");
        }
        let november = DifferenceSpan::Days {
            lane: text("hk"),
            from: "2026-11-01".to_owned(),
            to: "2026-11-30".to_owned(),
        };
        let sums = ledger.difference_sums(&november).await.unwrap();
        let sums: Vec<_> = sums
            .iter()
            .map(|sum| {
                (
                    sum.reason.as_str(),
                    sum.state.as_str(),
                    sum.count,
                    sum.theirs,
                )
            })
            .collect();
        assert_eq!(
            sums,
            [
                ("fee", "open", 1, 1_000),
                ("missing_here", "open", 1, 1_000)
            ]
        );
        // Nobody reconciled in this run.
        let none = ledger.difference_sums(&DifferenceSpan::Run(1)).await;
        assert_eq!(none.unwrap(), []);
    });
}

#[test]
fn one_change_of_many_is_one_entry_of_the_audit_log() {
    on_every_engine(|place| async move {
        let ledger = with_three(&place).await;
        let explain = DifferenceChange::Explain;
        let outcome = ledger
            .change_differences(&[3, 1, 99, 1, 99], &explain, &by("ann"), at(2))
            .await
            .unwrap();
        assert_eq!(
            (outcome.changed, outcome.refused, outcome.unknown),
            (vec![1, 3], vec![], vec![99])
        );
        let audit = ledger.audit(0, 10).await.unwrap();
        let [entry] = audit.as_slice() else {
            panic!("{audit:?}")
        };
        assert_eq!(
            (
                entry.entry.action.as_str(),
                entry.entry.target.as_str(),
                entry.entry.after.as_str()
            ),
            (
                "difference.explain",
                "differences 1, 3",
                r#"{"owner":null,"state":"explained"}"#
            )
        );
    });
}
