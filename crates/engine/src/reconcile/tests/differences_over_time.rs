//! Differences from one reconciliation to the next: told once, gone on from, explained, accepted, and
//! closed by later evidence.

use super::reconcile_fixture::{Fate, ReconcileFixture, at, facts, paid};
use payrun_domain::actor::{Actor, Authorization, Reason};
use payrun_domain::difference::{DifferenceOwner, DifferenceReason, DifferenceState};
use payrun_domain::item::State;
use payrun_ledger::{DifferenceChange, DifferenceFilter, DifferenceRow, StatementLine};
use payrun_project::config::{OthersRule, StatementOwnership};

const DAY: &str = "2026-11-20";
const AFTER: &str = "2026-11-21";
const NOON: &str = "2026-11-20 12:00";

/// All differences of the ledger, in the order of their numbers.
async fn rows(world: &ReconcileFixture) -> Vec<DifferenceRow> {
    let all = DifferenceFilter::default();
    world
        .engine
        .ledger
        .list_differences(&all, 0, 1000)
        .await
        .unwrap()
}

async fn states(world: &ReconcileFixture) -> Vec<(DifferenceReason, DifferenceState)> {
    let rows = rows(world).await;
    rows.iter()
        .map(|row| (row.difference.reason, row.state))
        .collect()
}

/// How many open differences a reconciliation found for the first time, found again, and carried over
/// from other days, how many it closed, and what became of its item.
async fn reconciled(world: &ReconcileFixture, from: &str, to: &str) -> (u64, u64, u64, u64, State) {
    let item = world.reconcile(from, to, "").await;
    let facts = facts(&item);
    let count = |name: &str| facts[name].as_u64().unwrap();
    let new = count("new_differences");
    (
        new,
        count("open_differences") - new,
        count("earlier_differences"),
        count("closed_differences"),
        item.state,
    )
}

async fn change(world: &ReconcileFixture, id: i64, what: DifferenceChange, why: &str) {
    let by = Authorization {
        actor: Actor::person("ann", "a test").unwrap(),
        reason: Reason::parse(why).unwrap(),
    };
    let ledger = &world.engine.ledger;
    let now = at("2026-11-25 13:00");
    let outcome = ledger.change_differences(&[id], &what, &by, now).await;
    assert_eq!(outcome.unwrap().changed, [id]);
}

#[tokio::test]
async fn a_difference_is_told_once_and_stays_open_until_a_person_or_later_evidence_ends_it() {
    let world = ReconcileFixture::new().await;
    world
        .sent("deduct", NOON, &[("A", "10 HKD", Fate::Succeeds)])
        .await;
    world.statement(DAY, [paid(1, "A", "9 HKD")]).await;
    world.statement(AFTER, []).await;
    assert_eq!(
        reconciled(&world, DAY, DAY).await,
        (1, 0, 0, 0, State::Failed)
    );
    // Over the same days again, and over others: nothing is new.
    assert_eq!(
        reconciled(&world, DAY, AFTER).await,
        (0, 1, 0, 0, State::Succeeded)
    );
    assert_eq!(
        reconciled(&world, AFTER, AFTER).await,
        (0, 0, 1, 0, State::Succeeded)
    );
    let report = world.report(AFTER, AFTER);
    assert_eq!(report["earlier_differences"][0]["reason"], "amount");
    assert_eq!(report["verdict"], "different");
    let [row] = rows(&world).await.try_into().unwrap();
    assert_eq!(row.state, DifferenceState::Open);
    change(
        &world,
        row.id,
        DifferenceChange::Accept,
        "a discount of the gateway",
    )
    .await;
    assert_eq!(
        reconciled(&world, DAY, AFTER).await,
        (0, 0, 0, 0, State::Succeeded)
    );
    let [row] = rows(&world).await.try_into().unwrap();
    assert_eq!(
        (row.state, row.note.as_deref()),
        (DifferenceState::Accepted, Some("a discount of the gateway"))
    );
}

#[tokio::test]
async fn the_statement_of_the_next_day_closes_what_was_missing_or_says_that_it_is() {
    let world = ReconcileFixture::new().await;
    let late = [
        ("A", "10 HKD", Fate::Succeeds),
        ("B", "11 HKD", Fate::Succeeds),
    ];
    world.sent("deduct", "2026-11-20 23:50", &late).await;
    world.statement(DAY, []).await;
    assert_eq!(
        reconciled(&world, DAY, DAY).await,
        (0, 0, 0, 0, State::Succeeded)
    );
    let timing = (DifferenceReason::Timing, DifferenceState::Explained);
    assert_eq!(states(&world).await, [timing, timing]);
    world.statement(AFTER, [paid(1, "A", "10 HKD")]).await;
    // B is missing now, and new; A's row is closed by the statement.
    let (new, _, _, closed, state) = reconciled(&world, AFTER, AFTER).await;
    assert_eq!((new, closed, state), (1, 2, State::Failed));
    assert_eq!(
        states(&world).await,
        [
            (DifferenceReason::Timing, DifferenceState::Closed),
            (DifferenceReason::Timing, DifferenceState::Closed),
            (DifferenceReason::MissingThere, DifferenceState::Open),
        ]
    );
    // Told once: it was sent in the hour before this day, so it is looked for again.
    assert_eq!(
        reconciled(&world, AFTER, AFTER).await,
        (0, 1, 0, 0, State::Succeeded)
    );
}

#[tokio::test]
async fn a_line_without_item_is_closed_once_its_item_is_there() {
    let world = ReconcileFixture::new().await;
    world.statement(DAY, [paid(1, "A", "10 HKD")]).await;
    world.statement(AFTER, []).await;
    assert_eq!(
        reconciled(&world, DAY, DAY).await,
        (1, 0, 0, 0, State::Failed)
    );
    world
        .sent("deduct", NOON, &[("A", "10 HKD", Fate::Succeeds)])
        .await;
    assert_eq!(
        reconciled(&world, AFTER, AFTER).await,
        (0, 0, 0, 1, State::Succeeded)
    );
    let [row] = rows(&world).await.try_into().unwrap();
    assert_eq!(row.state, DifferenceState::Closed);
    let (_, events) = world
        .engine
        .ledger
        .difference(row.id)
        .await
        .unwrap()
        .unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| (event.event.as_str(), event.note.as_str()))
        .collect();
    assert_eq!(
        told,
        [("found", ""), ("not_found", "its line and its item agree")]
    );
}

#[tokio::test]
async fn one_difference_takes_the_place_of_another_when_the_evidence_changes() {
    let world = ReconcileFixture::new().await;
    world.statement(DAY, [paid(1, "A", "9 HKD")]).await;
    world.statement(AFTER, []).await;
    reconciled(&world, DAY, DAY).await;
    world
        .sent("deduct", NOON, &[("A", "10 HKD", Fate::Succeeds)])
        .await;
    assert_eq!(
        reconciled(&world, AFTER, AFTER).await,
        (1, 0, 0, 1, State::Failed)
    );
    assert_eq!(
        states(&world).await,
        [
            (DifferenceReason::MissingHere, DifferenceState::Closed),
            (DifferenceReason::Amount, DifferenceState::Open),
        ]
    );
}

#[tokio::test]
async fn what_comes_back_after_it_was_closed_is_news_again() {
    let world = ReconcileFixture::new().await;
    world
        .sent("deduct", NOON, &[("A", "10 HKD", Fate::Succeeds)])
        .await;
    // Fetched before the day was over: a later file takes its place.
    world
        .statement_at(
            DAY,
            "2026-11-20 20:00",
            &["the total is 3"],
            [paid(1, "A", "10 HKD")],
        )
        .await;
    assert_eq!(
        reconciled(&world, DAY, DAY).await,
        (1, 0, 0, 0, State::Failed)
    );
    world
        .statement_at(DAY, "2026-11-20 21:00", &[], [paid(1, "A", "10 HKD")])
        .await;
    assert_eq!(
        reconciled(&world, DAY, DAY).await,
        (0, 0, 0, 1, State::Succeeded)
    );
    world
        .statement_at(
            DAY,
            "2026-11-20 22:00",
            &["the total is 3"],
            [paid(1, "A", "10 HKD")],
        )
        .await;
    assert_eq!(
        reconciled(&world, DAY, DAY).await,
        (1, 0, 0, 0, State::Failed)
    );
    let [row] = rows(&world).await.try_into().unwrap();
    assert_eq!((row.state, row.version), (DifferenceState::Open, 3));
}

#[tokio::test]
async fn what_cannot_be_looked_at_again_stays_as_it_is() {
    let world = ReconcileFixture::new().await;
    world
        .sent("deduct", NOON, &[("A", "10 HKD", Fate::Succeeds)])
        .await;
    let fee = StatementLine {
        fee: Some((50, super::reconcile_fixture::money("1 HKD").currency())),
        ..paid(1, "A", "10 HKD")
    };
    world.statement(DAY, [fee]).await;
    world.statement(AFTER, []).await;
    world.reconcile(DAY, DAY, "0.01").await;
    let open = [(DifferenceReason::Fee, DifferenceState::Open)];
    assert_eq!(states(&world).await, open);
    // Without a rate no fee is checked, on these days or others.
    for (from, to) in [(DAY, DAY), (AFTER, AFTER)] {
        assert_eq!(reconciled(&world, from, to).await.3, 0);
        assert_eq!(states(&world).await, open);
    }
    // Another rate explains it.
    world.reconcile(AFTER, AFTER, "0.05").await;
    assert_eq!(
        states(&world).await,
        [(DifferenceReason::Fee, DifferenceState::Closed)]
    );
}

#[tokio::test]
async fn a_line_whose_statement_has_gone_closes_nothing() {
    let world = ReconcileFixture::new().await;
    world.statement(DAY, [paid(1, "A", "10 HKD")]).await;
    world.statement(AFTER, []).await;
    reconciled(&world, DAY, DAY).await;
    let ledger = &world.engine.ledger;
    let (what, now) = (
        payrun_ledger::Prunable::StatementLines,
        at("2026-11-25 14:00"),
    );
    // Both days were fetched at 10:00.
    while ledger.prune(what, now, 100, now).await.unwrap() > 0 {}
    world.statement(AFTER, []).await;
    assert_eq!(
        reconciled(&world, AFTER, AFTER).await,
        (0, 0, 1, 0, State::Succeeded)
    );
}

#[tokio::test]
async fn lines_of_other_systems_are_no_differences_where_a_rule_says_whose_they_are() {
    for (others, listed) in [(OthersRule::List, 1), (OthersRule::Ignore, 0)] {
        let world = ReconcileFixture::owning(rule(others)).await;
        world
            .sent("deduct", NOON, &[("A", "10 HKD", Fate::Succeeds)])
            .await;
        let lines = [
            paid(1, "A", "10 HKD"),
            numbered(2, "SHOP-1"),
            numbered(3, "KD-9"),
            // payrun derived it, and has no item of it.
            paid(4, "B", "5 HKD"),
        ];
        world.statement(DAY, lines).await;
        let item = world.reconcile(DAY, DAY, "").await;
        let report = world.report(DAY, DAY);
        assert_eq!(report["reasons"]["missing_here"], 2, "{report:#}");
        assert_eq!(report["reasons"]["others"], listed);
        assert_eq!(facts(&item)["new_differences"], 2);
        assert_eq!(facts(&item)["lines_of_others"], 1 - listed);
        let payments = &report["sums"]["HKD"]["payments"];
        assert_eq!(payments["of_others"]["sum"], "5.00");
        assert_eq!(payments["theirs"]["sum"], "25.00");
        let rows = rows(&world).await;
        let others = rows
            .iter()
            .filter(|row| row.difference.reason == DifferenceReason::Others);
        assert!(
            others
                .clone()
                .all(|row| row.state == DifferenceState::Explained)
        );
        assert_eq!(others.count(), usize::try_from(listed).unwrap());
    }
}

/// What was written of a difference by payrun: what happened, the state after it, and the note.
async fn told(world: &ReconcileFixture, id: i64) -> Vec<(String, DifferenceState, String)> {
    let (_, events) = world.engine.ledger.difference(id).await.unwrap().unwrap();
    let by_payrun = events.into_iter().filter(|event| event.actor == "payrun");
    by_payrun
        .map(|event| (event.event, event.to_state, event.note))
        .collect()
}

fn rule(others: OthersRule) -> Option<StatementOwnership> {
    Some(StatementOwnership {
        prefixes: vec!["KD".to_owned()],
        others,
    })
}

fn numbered(line: u64, number: &str) -> StatementLine {
    StatementLine {
        order_no: number.to_owned(),
        ..paid(line, number, "5 HKD")
    }
}

#[tokio::test]
async fn a_difference_that_a_new_rule_explains_stays_the_same_and_keeps_its_owner_and_note() {
    // Reconciled again on its own day, and from the day after.
    for day in [DAY, AFTER] {
        let mut world = ReconcileFixture::new().await;
        world.statement(DAY, [numbered(1, "SHOP-1")]).await;
        world.statement(AFTER, []).await;
        reconciled(&world, DAY, DAY).await;
        let [row] = rows(&world).await.try_into().unwrap();
        let assign = DifferenceChange::Assign(Some(DifferenceOwner::parse("li").unwrap()));
        change(&world, row.id, assign, "who knows the shop").await;
        change(&world, row.id, DifferenceChange::Explain, "the shop's till").await;

        world.has_rule(rule(OthersRule::List));
        let (new, .., closed, state) = reconciled(&world, day, day).await;
        assert_eq!((new, closed, state), (0, 0, State::Succeeded));
        let [row] = rows(&world).await.try_into().unwrap();
        let reason = DifferenceReason::Others;
        assert_eq!(
            (row.difference.reason, row.state),
            (reason, DifferenceState::Explained)
        );
        assert_eq!(
            (row.owner.as_deref(), row.note.as_deref()),
            (Some("li"), Some("the shop's till"))
        );

        // Without the rule it is open again, and news.
        world.has_rule(None);
        assert_eq!(reconciled(&world, day, day).await.0, 1);
        let [row] = rows(&world).await.try_into().unwrap();
        let reason = DifferenceReason::MissingHere;
        assert_eq!(
            (row.difference.reason, row.state),
            (reason, DifferenceState::Open)
        );
        let (told, rule) = (
            told(&world, row.id).await,
            "by `ours` and `others` of hk in payrun.yaml it is another system's",
        );
        let told: Vec<_> = told
            .iter()
            .map(|(event, state, note)| (&**event, *state, &**note))
            .collect();
        let explained = format!("it was missing_here and is others now: {rule}");
        assert_eq!(
            told,
            [
                ("found", DifferenceState::Open, ""),
                ("found_otherwise", DifferenceState::Explained, &*explained),
                (
                    "found_otherwise",
                    DifferenceState::Open,
                    "it was others and is missing_here now"
                ),
            ]
        );
    }
}

#[tokio::test]
async fn a_difference_that_a_new_rule_leaves_out_is_closed_by_that_rule() {
    for day in [DAY, AFTER] {
        let mut world = ReconcileFixture::new().await;
        world.statement(DAY, [numbered(1, "SHOP-1")]).await;
        world.statement(AFTER, []).await;
        reconciled(&world, DAY, DAY).await;
        world.has_rule(rule(OthersRule::Ignore));
        assert_eq!(reconciled(&world, day, day).await.3, 1);
        let [row] = rows(&world).await.try_into().unwrap();
        assert_eq!(row.state, DifferenceState::Closed);
        let (_, _, note) = told(&world, row.id).await.pop().unwrap();
        assert_eq!(
            note,
            "by `ours` and `others` of hk in payrun.yaml it is another system's"
        );
    }
}

#[tokio::test]
async fn persons_say_whose_it_is_and_why_and_each_word_is_kept() {
    let world = ReconcileFixture::new().await;
    world.statement(DAY, [paid(1, "A", "10 HKD")]).await;
    reconciled(&world, DAY, DAY).await;
    let [row] = rows(&world).await.try_into().unwrap();
    let assign = DifferenceChange::Assign(Some(DifferenceOwner::parse("li").unwrap()));
    change(&world, row.id, assign, "the shop's till").await;
    change(
        &world,
        row.id,
        DifferenceChange::Explain,
        "paid at the till",
    )
    .await;
    change(&world, row.id, DifferenceChange::Reopen, "it was not").await;
    let ledger = &world.engine.ledger;
    let (row, events) = ledger.difference(row.id).await.unwrap().unwrap();
    assert_eq!(
        (row.state, row.owner.as_deref(), row.note.as_deref()),
        (DifferenceState::Open, Some("li"), Some("it was not"))
    );
    let told: Vec<_> = events
        .iter()
        .map(|event| (&*event.event, event.to_state.as_str(), &*event.actor))
        .collect();
    assert_eq!(
        told,
        [
            ("found", "open", "payrun"),
            ("assign", "open", "ann"),
            ("explain", "explained", "ann"),
            ("reopen", "open", "ann"),
        ]
    );
    let audit = ledger.audit(0, 100).await.unwrap();
    let audit: Vec<_> = audit
        .iter()
        .map(|row| (&*row.entry.action, &*row.entry.target, &*row.entry.after))
        .collect();
    assert_eq!(
        audit[2],
        (
            "difference.reopen",
            "difference 1",
            r#"{"owner":"li","state":"open"}"#
        )
    );
    // What is open cannot be opened, and what is not there is said so.
    let by = Authorization {
        actor: Actor::person("ann", "a test").unwrap(),
        reason: Reason::parse("again").unwrap(),
    };
    let now = at("2026-11-25 13:00");
    let outcome = ledger
        .change_differences(&[1, 7], &DifferenceChange::Reopen, &by, now)
        .await
        .unwrap();
    assert_eq!(outcome.refused, [(1, DifferenceState::Open)]);
    assert_eq!((outcome.changed, outcome.unknown), (vec![], vec![7]));
    assert_eq!(ledger.audit(0, 100).await.unwrap().len(), 3);
}
