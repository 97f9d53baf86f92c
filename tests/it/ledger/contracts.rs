//! Contracts through good and bad days: whatever is imported, suspended, resumed, ended, planned and
//! answered, in whatever order, each period is accounted for once, and none is missing.

use expect_test::expect;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Days, NaiveDate};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use payrun::app::Project;
use payrun::clock::Clock;
use payrun::domain::answer::{Answer, Decline, DeclineClass, NumberRule, Receipt};
use payrun::domain::item::{Event, State, apply};
use payrun::domain::money::{Amount, Currency};
use payrun::domain::policy::Rate;
use payrun::domain::subscription::{
    Anchor, BillingInterval, BillingTerms, ContractEvent, ContractOffer, ContractStanding,
};
use payrun::domain::time::Timestamp;
use payrun::engine::Engine;
use payrun::engine::planning::{PlannedRun, RunRequest};
use payrun::ledger::{
    ActionResult, Attempt, ClaimRequest, ContractAction, ContractChange, ContractChangeOutcome,
    ContractFilter, ContractRow, Import, ItemFilter, JobQuota, NewContract, Node, OperatorAction,
    PeriodRow, PlannedContract, ReopenRequest, Settlement, UpsertOutcome,
};
use payrun::workflow::Workflow;

use super::{LedgerPlace, on_every_engine};
use crate::support::said::assert_said;
use crate::support::{App, Setup, by};
use payrun::domain::history::AttemptKind;

const WORKFLOW: &str = "workflows/charge.yaml";

fn project() -> App {
    let app = App::of(Setup {
        server: false,
        ..Setup::default()
    });
    app.write(
        WORKFLOW,
        "workflow: charge\njobs:\n  charge:\n    uses: deduct\n    gateway: hk\n    items: { contracts: active, due: run }\n    \
         with:\n      contract_id: \"{{ item.contract_id }}\"\n      amount: \"{{ item.amount }}\"\n      \
         currency: \"{{ item.currency }}\"\n      description: \"{{ item.period }}\"\n      merchant_category_code: \"4900\"\n",
    );
    app
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Noon of a day in Hong Kong.
fn noon(day: NaiveDate) -> Timestamp {
    Timestamp::from_millis(
        day.and_hms_opt(4, 0, 0)
            .unwrap()
            .and_utc()
            .timestamp_millis(),
    )
}

fn hkd(minor: i64) -> Amount {
    Amount::from_minor(minor, Currency::parse("HKD").unwrap()).unwrap()
}

fn monthly(start: &str) -> ContractOffer {
    let anchor = Anchor::parse("31", BillingInterval::Month).unwrap();
    let terms = BillingTerms::new(BillingInterval::Month, anchor, day(start), None, 14).unwrap();
    ContractOffer {
        terms,
        amount: hkd(3_800),
        amount_from: None,
        description: String::new(),
    }
}

/// A process at work, on a day.
struct BillingWorld {
    engine: Engine,
    workflow: Arc<Workflow>,
    node: Node,
    today: NaiveDate,
    runs: u32,
}

impl BillingWorld {
    async fn at(place: &LedgerPlace, config: &Path, today: &str) -> Self {
        let clock = Clock::driven(noon(day(today)));
        let project = Project::open(config).unwrap();
        let engine = project.engine(place.open().await, clock).await.unwrap();
        let path = config.parent().unwrap().join(WORKFLOW);
        let workflow =
            payrun::workflow::load::load(&path, &engine.job_kinds, &engine.config).unwrap();
        let node = engine
            .ledger
            .join(rand::random(), engine.clock.now())
            .await
            .unwrap();
        Self {
            engine,
            workflow: Arc::new(workflow),
            node,
            today: day(today),
            runs: 0,
        }
    }

    fn go_to(&mut self, today: NaiveDate) {
        self.today = today;
        self.engine.clock.set(noon(today));
    }

    fn account(&self) -> String {
        self.engine.accounts["hk"].identity.clone()
    }

    fn request(&mut self) -> RunRequest {
        self.runs += 1;
        let (workflow, author) = (Arc::clone(&self.workflow), crate::support::by("ann").actor);
        let now = self.engine.clock.now();
        let mut request =
            RunRequest::manual(workflow, &self.engine.config, &[], author, now).unwrap();
        request.occurrence = self.runs.to_string();
        request
    }

    async fn plan(&mut self) -> PlannedRun {
        let request = self.request();
        self.engine.plan(&request, &Arc::default()).await.unwrap()
    }

    async fn import(&self, contract: &str, offer: ContractOffer) -> UpsertOutcome {
        let import = Import {
            account: self.account(),
            who: by("ann").actor,
            why: "test".to_owned(),
            today: self.today,
            now: self.engine.clock.now(),
            commit: true,
        };
        let row = NewContract {
            contract: contract.to_owned(),
            offer,
        };
        self.engine
            .ledger
            .keep_contracts(&[row], &import)
            .await
            .unwrap()
            .remove(0)
    }

    async fn contract(&self, name: &str) -> ContractRow {
        self.engine
            .ledger
            .contracts_called(name, None)
            .await
            .unwrap()
            .remove(0)
    }

    async fn change(&self, name: &str, what: ContractAction) -> ContractChangeOutcome {
        let now = self.engine.clock.now();
        let change = ContractChange {
            what,
            who: by("ann").actor,
            why: "asked".to_owned(),
            code: None,
            today: self.today,
            now,
        };
        let id = self.contract(name).await.id;
        self.engine
            .ledger
            .change_contract(id, &change)
            .await
            .unwrap()
    }

    async fn reopen(&self, name: &str, period: &str, until: &str) -> ContractChangeOutcome {
        let reopening = ReopenRequest {
            period: period.to_owned(),
            until: day(until),
            who: by("ann").actor,
            why: "asked".to_owned(),
            today: self.today,
            now: self.engine.clock.now(),
        };
        let id = self.contract(name).await.id;
        self.engine
            .ledger
            .reopen_period(id, &reopening)
            .await
            .unwrap()
    }

    async fn periods(&self, name: &str) -> Vec<PeriodRow> {
        let id = self.contract(name).await.id;
        self.engine
            .ledger
            .contract_periods(id, "", 10_000)
            .await
            .unwrap()
    }

    async fn told(&self, name: &str) -> Vec<String> {
        self.periods(name)
            .await
            .iter()
            .map(|one| format!("{} {}", one.period, one.state.label()))
            .collect()
    }

    /// Has every item answered that can be claimed; by turns charged and declined where some are.
    async fn answer(&self, declined: impl Fn(i64) -> bool) {
        let now = self.engine.clock.now();
        for job in self.engine.ledger.open_jobs("hk").await.unwrap() {
            let policy = Arc::clone(&job.policy);
            let quota = JobQuota {
                job_id: job.id,
                kind: "deduct".into(),
                slots: 100,
                rate: None,
                lease: None,
                policy: Arc::clone(&policy),
                can_ask: true,
            };
            let request = ClaimRequest {
                lane: "hk".into(),
                node: self.node.id(),
                now,
                lease: std::time::Duration::from_secs(60),
                rate: Rate {
                    calls: 1_000_000,
                    per: std::time::Duration::from_secs(1),
                },
                slots: 100,
                quotas: vec![quota],
            };
            for claimed in self.engine.ledger.claim_due(request).await.unwrap().0 {
                let no = Decline {
                    code: "NOT_ENOUGH".into(),
                    class: DeclineClass::Soft,
                    number: NumberRule::Next,
                };
                let answer = if declined(claimed.id()) {
                    Answer::Declined(no)
                } else {
                    Answer::Done(Receipt("R".into()))
                };
                let attempt = Attempt {
                    kind: AttemptKind::Call,
                    operation: "deduct".into(),
                    started_at: now,
                    ended_at: now,
                    answer: answer.kind(),
                    code: answer.code().to_owned(),
                    http: Some(200),
                    evidence: String::new(),
                    numbers: Vec::new(),
                };
                let moved = apply(&claimed.item, &Event::Answered(answer), &policy, now).unwrap();
                let settlement = Settlement::answered(&claimed, moved, attempt, None, now);
                self.engine.ledger.settle(settlement).await.unwrap();
            }
        }
    }
}

#[test]
fn a_reopened_period_is_charged_lapses_again_or_is_waived_with_its_contract() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let mut world = BillingWorld::at(&place, &config, "2026-04-01").await;
            for name in ["A", "B", "C"] {
                assert_eq!(
                    world.import(name, monthly("2026-01-31")).await,
                    UpsertOutcome::New
                );
            }
            world.plan().await;
            let before = ["2026-01 lapsed", "2026-02 lapsed", "2026-03 planned"];
            assert_eq!(world.told("A").await, before);
            let done = ContractChangeOutcome::Done {
                cancelled: 0,
                waived: 0,
            };
            for name in ["A", "B", "C"] {
                assert_eq!(world.reopen(name, "2026-01", "2026-04-10").await, done);
            }
            assert!(
                matches!(
                    world.reopen("A", "2026-03", "2026-04-10").await,
                    ContractChangeOutcome::Refused(_)
                ),
                "it is planned"
            );
            assert_eq!(
                world.change("C", ContractAction::End).await,
                ContractChangeOutcome::Done {
                    cancelled: 1,
                    waived: 1
                }
            );
            assert_eq!(
                world.told("C").await,
                ["2026-01 waived", "2026-02 lapsed", "2026-03 waived"]
            );
            assert!(
                matches!(
                    world.reopen("C", "2026-02", "2026-04-10").await,
                    ContractChangeOutcome::Refused(_)
                ),
                "it has ended"
            );
            // A's is not reached in time, B's is.
            world.change("A", ContractAction::Suspend).await;
            world.plan().await;
            world.answer(|_| false).await;
            assert_eq!(
                world.told("B").await,
                ["2026-01 paid", "2026-02 lapsed", "2026-03 paid"]
            );
            world.go_to(day("2026-04-11"));
            world.change("A", ContractAction::Resume).await;
            world.plan().await;
            assert_eq!(
                world.told("A").await,
                ["2026-01 lapsed", "2026-02 lapsed", "2026-03 waived"]
            );
        }
    });
}

#[test]
fn a_pause_withdraws_what_was_not_sent_and_waives_what_falls_due_in_it() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let mut world = BillingWorld::at(&place, &config, "2026-02-01").await;
            assert_eq!(
                world.import("A", monthly("2026-01-31")).await,
                UpsertOutcome::New
            );
            world.plan().await;
            assert_eq!(
                world.change("A", ContractAction::Suspend).await,
                ContractChangeOutcome::Done {
                    cancelled: 1,
                    waived: 0
                }
            );
            assert!(matches!(
                world.change("A", ContractAction::Suspend).await,
                ContractChangeOutcome::Refused(_)
            ));
            assert_eq!(world.told("A").await, ["2026-01 waived"]);
            world.go_to(day("2026-04-29"));
            assert_eq!(world.plan().await.jobs[0].items, 0);
            assert_eq!(
                world.change("A", ContractAction::Resume).await,
                ContractChangeOutcome::Done {
                    cancelled: 0,
                    waived: 2
                }
            );
            world.go_to(day("2026-04-30"));
            assert_eq!(world.plan().await.jobs[0].items, 1);
            world.answer(|_| false).await;
            assert_eq!(
                world.told("A").await,
                [
                    "2026-01 waived",
                    "2026-02 waived",
                    "2026-03 waived",
                    "2026-04 paid"
                ]
            );
            assert_eq!(
                world.engine.ledger.check().await.unwrap(),
                Vec::<String>::new()
            );
        }
    });
}

#[test]
fn nothing_is_sent_of_a_stopped_contract_whatever_has_planned_it() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let mut world = BillingWorld::at(&place, &config, "2026-02-01").await;
            for name in ["A", "B", "C", "D"] {
                world.import(name, monthly("2026-01-31")).await;
            }
            world.plan().await;
            place
                .run(
                    "update contracts set state = 'ended', since = '2026-02-01', reason = 'asked' where contract = 'A'; \
                     update contracts set state = 'suspended', since = '2026-02-01', reason = 'asked' where contract = 'B'; \
                     update contracts set end_on = '2026-01-30' where contract = 'C'",
                )
                .await;
            world.answer(|_| false).await;
            for name in ["A", "B", "C"] {
                assert_eq!(world.told(name).await, ["2026-01 waived"], "{name}");
            }
            assert_eq!(world.told("D").await, ["2026-01 paid"]);
            let items = world
                .engine
                .ledger
                .items(&ItemFilter::default(), 0, 10)
                .await
                .unwrap();
            let reasons: Vec<&str> = items
                .iter()
                .map(|item| item.reason.as_deref().unwrap_or_default())
                .collect();
            assert_said(
                reasons[0],
                expect!["its contract A is ended since 2026-02-01: asked"],
            );
            assert_said(reasons[1], expect!["payrun contracts resume B"]);
            assert_said(
                reasons[2],
                expect!["after the last day of its contract C, 2026-01-30"],
            );
            let now = world.engine.clock.now();
            for item in &items[..3] {
                let wish = world
                    .engine
                    .ledger
                    .apply_action(item.id, &OperatorAction::Retry, &by("ann"), now)
                    .await
                    .unwrap();
                assert!(matches!(wish, ActionResult::Stopped(_)), "{wish:?}");
            }
        }
    });
}

#[test]
fn a_contract_that_somebody_changed_after_it_was_read_is_left_alone() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let world = BillingWorld::at(&place, &config, "2026-02-01").await;
            world.import("A", monthly("2026-01-31")).await;
            let due = world
                .engine
                .ledger
                .due_contracts(&world.account(), world.today, None, 10)
                .await
                .unwrap();
            let ContractRow {
                id,
                contract,
                version,
                ..
            } = due[0].clone();
            let taken = PlannedContract {
                id,
                contract,
                version,
                periods: Vec::new(),
                next_due: None,
            };
            world.change("A", ContractAction::Suspend).await;
            world.change("A", ContractAction::Resume).await;
            let mut plan = world
                .engine
                .ledger
                .plan(super::ledger_fixture::run("1"))
                .await
                .unwrap();
            assert_eq!(
                plan.take_contracts(std::slice::from_ref(&taken))
                    .await
                    .unwrap(),
                BTreeSet::from([id])
            );
            let again = PlannedContract {
                version: version + 2,
                ..taken
            };
            assert!(
                plan.take_contracts(std::slice::from_ref(&again))
                    .await
                    .unwrap()
                    .is_empty()
            );
            assert_eq!(
                plan.take_contracts(&[again]).await.unwrap(),
                BTreeSet::from([id]),
                "another job of the same plan"
            );
            plan.abandon().await.unwrap();
        }
    });
}

#[test]
fn a_contract_hears_once_of_an_item_that_failed_and_not_of_one_that_is_tried_again() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let mut world = BillingWorld::at(&place, &config, "2026-01-31").await;
            for name in ["A", "B"] {
                world.import(name, monthly("2026-01-31")).await;
            }
            world.plan().await;
            world.answer(|_| true).await;
            let items = world
                .engine
                .ledger
                .items(&ItemFilter::default(), 0, 10)
                .await
                .unwrap();
            let now = world.engine.clock.now();
            world
                .engine
                .ledger
                .apply_action(
                    items[1].id,
                    &OperatorAction::Retry,
                    &crate::support::by("ann"),
                    now,
                )
                .await
                .unwrap();
            assert_eq!(world.engine.keep_contracts(now).await.unwrap().suspended, 1);
            assert_eq!(world.engine.keep_contracts(now).await.unwrap().suspended, 0);
            let state = |row: ContractRow| row.subscription.standing.as_str();
            assert_eq!(
                (
                    state(world.contract("A").await),
                    state(world.contract("B").await)
                ),
                ("suspended", "active")
            );
            assert_eq!(
                (world.told("A").await, world.told("B").await),
                (
                    vec!["2026-01 failed".to_owned()],
                    vec!["2026-01 planned".to_owned()]
                )
            );
            // Whoever changed it and why can be read in order.
            let changes = world
                .engine
                .ledger
                .contract_changes(None, 0, 10)
                .await
                .unwrap();
            let told: Vec<_> = changes
                .iter()
                .map(|one| format!("{} {} {}", one.contract, one.what, one.who))
                .collect();
            assert_eq!(
                told,
                ["A imported ann", "B imported ann", "A suspended payrun"]
            );
        }
    });
}

#[test]
fn a_contract_whose_last_day_is_over_ends_when_nothing_of_it_is_open() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let mut world = BillingWorld::at(&place, &config, "2026-01-31").await;
            world.import("A", monthly("2026-01-31")).await;
            world.plan().await;
            assert!(matches!(
                world
                    .change("A", ContractAction::EndOn(day("2026-01-30")))
                    .await,
                ContractChangeOutcome::Refused(_)
            ));
            assert_eq!(
                world
                    .change("A", ContractAction::EndOn(day("2026-02-28")))
                    .await,
                ContractChangeOutcome::Done {
                    cancelled: 0,
                    waived: 0
                }
            );
            world.go_to(day("2026-03-02"));
            assert_eq!(
                world
                    .engine
                    .keep_contracts(world.engine.clock.now())
                    .await
                    .unwrap()
                    .over,
                0,
                "February is open"
            );
            world.plan().await;
            let over = world
                .engine
                .keep_contracts(world.engine.clock.now())
                .await
                .unwrap()
                .over;
            assert_eq!(
                (over, world.told("A").await[1].as_str()),
                (0, "2026-02 planned"),
                "its item waits to be sent"
            );
            world.answer(|_| false).await;
            assert_eq!(
                world
                    .engine
                    .keep_contracts(world.engine.clock.now())
                    .await
                    .unwrap()
                    .over,
                1
            );
            let standing = world.contract("A").await.subscription.standing;
            assert!(
                matches!(standing, ContractStanding::Ended { on, .. } if on == day("2026-02-28")),
                "{standing:?}"
            );
            assert_eq!(world.told("A").await, ["2026-01 paid", "2026-02 paid"]);
        }
    });
}

#[test]
fn a_signal_that_cannot_be_read_is_named_and_keeps_no_other_contract_from_hearing() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let mut world = BillingWorld::at(&place, &config, "2026-01-31").await;
            for name in ["A", "B", "C"] {
                world.import(name, monthly("2026-01-31")).await;
            }
            world.plan().await;
            world.answer(|_| true).await;
            let filter = ItemFilter::default();
            let items = world.engine.ledger.items(&filter, 0, 10).await.unwrap();
            for (item, signal) in items.iter().zip(["\"over\"", "\"ended\"", "7"]) {
                let spoil = format!(
                    "update items set result = '{{\"contract_is\":{signal}}}' where id = {}",
                    item.id
                );
                place.run(spoil.leak()).await;
            }
            let now = world.engine.clock.now();
            for _ in 0..2 {
                let told = world.engine.keep_contracts(now).await;
                assert_eq!(
                    super::corrupt::place_of(told),
                    format!("items {} result", items[0].id)
                );
            }
            let state = |row: ContractRow| row.subscription.standing.as_str();
            for (name, standing) in [("A", "active"), ("B", "ended"), ("C", "active")] {
                assert_eq!(state(world.contract(name).await), standing, "{name}");
            }
            let mend = format!(
                "update items set result = '{{\"contract_is\":\"ended\"}}' where id in ({}, {})",
                items[0].id, items[2].id
            );
            place.run(mend.leak()).await;
            let told = world.engine.keep_contracts(now).await.unwrap();
            assert_eq!(told.terminated, 2);
        }
    });
}

/// Something that happens.
#[derive(Debug, Clone)]
enum ContractStep {
    Import(usize, usize, u64, i64),
    Change(usize, ContractAction),
    EndIn(usize, u64),
    Plan,
    Answer(bool),
    Keep,
    Days(u64),
}

const NAMES: [&str; 4] = ["A", "B", "C", "D"];

fn contract_steps() -> impl Strategy<Value = Vec<ContractStep>> {
    let one = prop_oneof![
        4 => (0..4_usize, 0..7_usize, 0..60_u64, 1..5_i64).prop_map(|(name, every, start, price)| ContractStep::Import(name, every, start, price)),
        2 => (0..4_usize).prop_map(|name| ContractStep::Change(name, ContractAction::Suspend)),
        2 => (0..4_usize).prop_map(|name| ContractStep::Change(name, ContractAction::Resume)),
        1 => (0..4_usize).prop_map(|name| ContractStep::Change(name, ContractAction::End)),
        1 => (0..4_usize, 0..90_u64).prop_map(|(name, days)| ContractStep::EndIn(name, days)),
        6 => Just(ContractStep::Plan),
        4 => any::<bool>().prop_map(ContractStep::Answer),
        2 => Just(ContractStep::Keep),
        6 => (1..45_u64).prop_map(ContractStep::Days),
    ];
    proptest::collection::vec(one, 20..60)
}

impl BillingWorld {
    async fn does(&mut self, event: &ContractStep) {
        match event {
            ContractStep::Import(name, every, start, price) => {
                let (every, start) = (
                    BillingInterval::ALL[*every],
                    day("2026-01-01") + Days::new(*start),
                );
                let terms =
                    BillingTerms::new(every, Anchor::of(start, every), start, None, 10).unwrap();
                let offer = ContractOffer {
                    terms,
                    amount: hkd(*price),
                    amount_from: None,
                    description: String::new(),
                };
                self.import(NAMES[*name], offer).await;
            }
            ContractStep::Change(name, what) => self.change_known(*name, *what).await,
            ContractStep::EndIn(name, days) => {
                self.change_known(*name, ContractAction::EndOn(self.today + Days::new(*days)))
                    .await
            }
            ContractStep::Plan => drop(self.plan().await),
            ContractStep::Answer(some) => self.answer(|item| *some && item % 5 == 0).await,
            ContractStep::Keep => drop(
                self.engine
                    .keep_contracts(self.engine.clock.now())
                    .await
                    .unwrap(),
            ),
            ContractStep::Days(days) => self.go_to(self.today + Days::new(*days)),
        }
    }

    async fn plays(mut self, contract_steps: &[ContractStep]) {
        for step in contract_steps {
            self.does(step).await;
        }
        self.assert_all_is_accounted_for(contract_steps).await;
        assert_eq!(
            self.engine.ledger.check().await.unwrap(),
            Vec::<String>::new()
        );
    }

    async fn change_known(&self, name: usize, what: ContractAction) {
        if !self
            .engine
            .ledger
            .contracts_called(NAMES[name], None)
            .await
            .unwrap()
            .is_empty()
        {
            self.change(NAMES[name], what).await;
        }
    }

    /// After a last plan no period is missing, none is there twice, and each that was not charged
    /// has a reason that holds.
    async fn assert_all_is_accounted_for(&mut self, contract_steps: &[ContractStep]) {
        for name in 0..NAMES.len() {
            self.change_known(name, ContractAction::Resume).await;
        }
        self.plan().await;
        let mut with_item = BTreeSet::new();
        let mut seen = 0;
        for row in self
            .engine
            .ledger
            .contracts(&ContractFilter::default(), 0, 100)
            .await
            .unwrap()
        {
            let last = match &row.subscription.standing {
                ContractStanding::Ended { on, .. } => (*on).min(self.today),
                ContractStanding::Active | ContractStanding::Suspended { .. } => self.today,
            };
            let terms = row.subscription.terms;
            let owed: BTreeSet<String> = terms
                .dues(terms.start())
                .take_while(|due| *due <= last)
                .map(|due| terms.period(due).name)
                .collect();
            let periods = self
                .engine
                .ledger
                .contract_periods(row.id, "", 10_000)
                .await
                .unwrap();
            let accounted: BTreeSet<String> =
                periods.iter().map(|period| period.period.clone()).collect();
            assert_eq!(accounted, owed, "{row:#?} {periods:#?} {contract_steps:#?}");
            let stopped = self.stopped(row.id).await;
            for period in &periods {
                seen += 1;
                self.assert_reason_holds(&row, period, &stopped, contract_steps);
                with_item.extend(
                    period
                        .item
                        .map(|_| format!("{}/{}", row.contract, period.period)),
                );
            }
        }
        assert_eq!(
            self.keys().await,
            with_item,
            "every item has its period, and the other way round: {contract_steps:#?}"
        );
        assert!(
            seen > 0
                || !contract_steps
                    .iter()
                    .any(|event| matches!(event, ContractStep::Import(..)))
                || self.runs == 1,
            "{contract_steps:#?}"
        );
    }

    fn assert_reason_holds(
        &self,
        row: &ContractRow,
        period: &PeriodRow,
        stopped: &[(NaiveDate, NaiveDate)],
        contract_steps: &[ContractStep],
    ) {
        let within = stopped
            .iter()
            .any(|(from, to)| (*from..*to).contains(&period.due));
        let ended = matches!(row.subscription.standing, ContractStanding::Ended { .. });
        let why = || format!("{period:#?} {stopped:?} {row:#?} {contract_steps:#?}");
        match period.state.label() {
            // With an item: it was withdrawn.
            "waived" => assert!(within || ended || period.item.is_some(), "{}", why()),
            "lapsed" => assert!(
                period.due + Days::new(10) < self.today && period.item.is_none(),
                "{}",
                why()
            ),
            "planned" | "paid" | "failed" => assert!(period.item.is_some(), "{}", why()),
            other => panic!("{other}"),
        }
    }

    /// From when to when a contract was suspended.
    async fn stopped(&self, id: i64) -> Vec<(NaiveDate, NaiveDate)> {
        let (mut stopped, mut since) = (Vec::new(), None);
        for change in self
            .engine
            .ledger
            .contract_changes(Some(id), 0, 1_000)
            .await
            .unwrap()
        {
            let at = DateTime::from_timestamp_millis(change.at.millis())
                .unwrap()
                .date_naive();
            match change.what {
                ContractEvent::Suspended => since = Some(at),
                ContractEvent::Resumed | ContractEvent::Ended => {
                    stopped.extend(since.take().map(|since| (since, at)))
                }
                ContractEvent::Imported | ContractEvent::Changed | ContractEvent::Reopened => {}
            }
        }
        stopped
    }

    /// The keys of all items, each once.
    async fn keys(&self) -> BTreeSet<String> {
        let items = self
            .engine
            .ledger
            .items(&ItemFilter::default(), 0, 10_000)
            .await
            .unwrap();
        let real = items
            .iter()
            .filter(|item| !matches!(item.state, State::Rejected | State::Skipped));
        let keys: Vec<String> = real.map(|item| item.key.clone()).collect();
        let once: BTreeSet<String> = keys.iter().cloned().collect();
        assert_eq!(keys.len(), once.len(), "{keys:?}");
        once
    }
}

#[test]
fn whatever_happens_in_whatever_order_each_period_is_accounted_for_once() {
    let app = project();
    let mut runner = TestRunner::deterministic();
    for play in 0..16 {
        let contract_steps = contract_steps().new_tree(&mut runner).unwrap().current();
        let scenario = |place: LedgerPlace| {
            let (config, contract_steps) = (app.path("payrun.yaml"), contract_steps.clone());
            async move {
                BillingWorld::at(&place, &config, "2026-01-15")
                    .await
                    .plays(&contract_steps)
                    .await
            }
        };
        match play {
            0..3 => on_every_engine(scenario),
            _ => app.wait_for(scenario(LedgerPlace::Sqlite(Arc::new(
                tempfile::tempdir().unwrap(),
            )))),
        }
    }
}

#[test]
fn a_day_of_a_contract_that_cannot_be_read_bounds_nothing_and_is_told() {
    let app = project();
    on_every_engine(|place| {
        let config = app.path("payrun.yaml");
        async move {
            let world = BillingWorld::at(&place, &config, "2026-02-01").await;
            world.import("A", monthly("2026-01-31")).await;
            let id = world.contract("A").await.id;
            place.run("update contracts set end_on = 'the end'").await;
            let read = world.engine.ledger.contracts_called("A", None).await;
            let told = super::corrupt::place_of(read);
            assert_eq!(told, format!("contracts {id} end_on"));
        }
    });
}
