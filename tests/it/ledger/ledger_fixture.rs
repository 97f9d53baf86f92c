//! A process at work in a scenario: it plans, claims, answers, and looks at what became of it. Time
//! is whatever it says.

use std::sync::Arc;
use std::time::Duration;

use payrun::domain::answer::{Answer, Receipt};
use payrun::domain::ids::KeyHash;
use payrun::domain::item::{Event, State, apply};
use payrun::domain::money::{Amount, Currency};
use payrun::domain::policy::{Policy, QueryPolicy, Rate, Retry};
use payrun::domain::time::Timestamp;
use payrun::ledger::{
    Attempt, ClaimRequest, Claimed, CommitFault, ItemFilter, ItemRow, JobQuota, Ledger, NewItem,
    NewJob, NewRun, Node, PlanWriter, Settlement,
};

use super::LedgerPlace;
pub use crate::support::by;
use payrun::domain::history::AttemptKind;

/// How long a claim holds here.
pub const LEASE: Duration = Duration::from_secs(60);

/// So many seconds after the beginning.
pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000).plus(Duration::from_secs(seconds))
}

pub fn policy() -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        retry: Retry {
            attempts: 5,
            first: second,
            max: second,
        },
        query: QueryPolicy {
            schedule: vec![second],
            grace: second * 10,
            horizon: second * 3600,
        },
        dunning: Vec::new(),
    }
}

pub fn run(occurrence: &str) -> NewRun {
    NewRun {
        author: by("ann").actor,
        at: at(0),
        timezone: "UTC".to_owned(),
        workflow: "w".into(),
        occurrence: occurrence.into(),
        source: String::new(),
        file: None,
        params: "{}".into(),
        now: at(0),
    }
}

pub fn job(name: &str) -> NewJob {
    NewJob {
        file: None,
        planned_with_run: true,
        name: name.into(),
        kind: "deduct".into(),
        lane: "hk".into(),
        account: "account".into(),
        needs: Vec::new(),
        policy: policy(),
        rate: None,
        concurrency: None,
    }
}

/// An item of a contract of its own.
pub fn item(line: u64, key: &str) -> NewItem {
    item_of(line, key, key)
}

/// An item of this contract.
pub fn item_of(line: u64, key: &str, contract: &str) -> NewItem {
    NewItem {
        line,
        key: key.into(),
        key_hash: KeyHash::of("hk", "deduct", key),
        content_hash: KeyHash::of("hk", "deduct", &format!("{key} {line}")),
        exclusive_key: Some(KeyHash::of("hk", "contract", contract)),
        custom_order_no: None,
        amount: Amount::from_minor(1000, Currency::parse("HKD").unwrap()).ok(),
        shared: false,
        references: Vec::new(),
        part: None,
        payment: None,
        again: payrun::ledger::ReplacementCheck::Never,
        input: "{}".into(),
    }
}

/// A process with its node.
pub struct LedgerWorker {
    pub ledger: Ledger,
    pub node: Node,
    pub job: i64,
}

impl LedgerWorker {
    /// Plans a run with these items and sits down.
    pub async fn with(place: &LedgerPlace, items: &[NewItem]) -> Self {
        let ledger = place.open().await;
        let mut planning = ledger.plan(run("1")).await.unwrap();
        let id = planning.job(job("charge")).await.unwrap();
        assert_eq!(planning.items(id, items).await.unwrap(), Vec::new());
        planning.commit().await.unwrap();
        let node = ledger.join(1 << 20, at(0)).await.unwrap();
        Self {
            ledger,
            node,
            job: id,
        }
    }

    /// With so many items, of contracts of their own.
    pub async fn with_items(place: &LedgerPlace, how_many: u64) -> Self {
        let items: Vec<NewItem> = (1..=how_many)
            .map(|line| item(line, &format!("K-{line}")))
            .collect();
        Self::with(place, &items).await
    }

    /// Another process at the same ledger.
    pub async fn beside(&self, place: &LedgerPlace, random: u64) -> Self {
        let ledger = place.open().await;
        let node = ledger.join(random << 20, at(0)).await.unwrap();
        Self {
            ledger,
            node,
            job: self.job,
        }
    }

    pub fn request(&self, now: Timestamp, slots: usize) -> ClaimRequest {
        ClaimRequest {
            lane: "hk".into(),
            node: self.node.id(),
            now,
            lease: LEASE,
            rate: Rate {
                calls: 1_000_000,
                per: Duration::from_secs(1),
            },
            slots,
            quotas: vec![JobQuota {
                job_id: self.job,
                kind: "deduct".into(),
                slots,
                rate: None,
                lease: None,
                policy: Arc::new(policy()),
                can_ask: true,
            }],
        }
    }

    pub async fn claim(&self, now: Timestamp, slots: usize) -> Vec<Claimed> {
        self.ledger
            .claim_due(self.request(now, slots))
            .await
            .unwrap()
            .0
    }

    /// Claims one in a commit that fails: who asked hears of nothing.
    pub async fn fails_to_claim(&self, now: Timestamp, fault: CommitFault) {
        self.ledger.plan_commit_fault(Some(fault)).await;
        self.ledger
            .claim_due(self.request(now, 1))
            .await
            .unwrap_err();
    }

    pub async fn states(&self) -> Vec<State> {
        self.items()
            .await
            .into_iter()
            .map(|item| item.state)
            .collect()
    }

    pub async fn items(&self) -> Vec<ItemRow> {
        self.ledger
            .items(&ItemFilter::default(), 0, 10_000)
            .await
            .unwrap()
    }

    /// An item's moves as words.
    pub async fn moves(&self, id: i64) -> Vec<String> {
        let events = self.ledger.events(id).await.unwrap();
        events
            .iter()
            .map(|event| format!("{} {}>{}", event.event, event.from, event.to))
            .collect()
    }

    pub async fn assert_sound(&self) {
        assert_eq!(self.ledger.check().await.unwrap(), Vec::<String>::new());
    }
}

/// Done, with a receipt of its own.
pub fn done() -> Answer {
    Answer::Done(Receipt("R1".into()))
}

/// What follows from an answer to a claim.
pub fn answered(claimed: &Claimed, answer: Answer, now: Timestamp) -> Settlement {
    let evidence = format!("evidence of {}", answer.as_str());
    answered_with(claimed, answer, now, &evidence)
}

/// A call that was answered, with what was received.
pub fn answered_with(
    claimed: &Claimed,
    answer: Answer,
    now: Timestamp,
    evidence: &str,
) -> Settlement {
    let kind = answer.kind();
    let code = answer.code().to_owned();
    let moved = apply(&claimed.item, &Event::Answered(answer), &policy(), now).unwrap();
    let attempt = Attempt {
        kind: AttemptKind::Call,
        operation: "deduct".into(),
        started_at: now,
        ended_at: now,
        answer: kind,
        code,
        http: Some(200),
        evidence: evidence.to_owned(),
        numbers: Vec::new(),
    };
    Settlement::answered(claimed, moved, attempt, None, now)
}

/// A claim that is given back.
pub fn unsent(claimed: &Claimed, now: Timestamp) -> Settlement {
    Settlement::unsent(
        claimed,
        apply(&claimed.item, &Event::Unsent, &policy(), now).unwrap(),
        now,
    )
}

/// A plan under way with one job.
pub async fn planning(ledger: &Ledger, occurrence: &str) -> (PlanWriter, i64) {
    planning_of(ledger, run(occurrence)).await
}

pub async fn planning_of(ledger: &Ledger, run: NewRun) -> (PlanWriter, i64) {
    let mut planning = ledger.plan(run).await.unwrap();
    let id = planning.job(job("charge")).await.unwrap();
    (planning, id)
}
