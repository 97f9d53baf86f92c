//! The ledger alone: planning, then claim and settle with nothing in between, at two sizes of history.
//!
//! `cargo bench --bench ledger -- [ITEMS] [HISTORY]`

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use payrun::clock::Clock;
use payrun::domain::answer::{Answer, Receipt};
use payrun::domain::ids::KeyHash;
use payrun::domain::item::{Event, apply};
use payrun::domain::money::{Amount, Currency};
use payrun::domain::policy::{Policy, Rate, Resolve, Retry};
use payrun::ledger::{Attempt, ClaimRequest, Ledger, NewItem, NewJob, NewRun, Settlement, Want};

const REPLY: &str = r#"{"mchid":"10000091","appid":"wxcbda96de0b165486","out_trade_no":"1217752501201407033233368018","transaction_id":"1217752501201407033233368018","attach":"Custom data","trade_type":"PAP","bank_type":"WPHK","success_time":"2018-06-08T10:34:56+08:00","trade_state":"SUCCESS","trade_state_desc":"ok","merchant_category_code":"1011","amount":{"total":888,"payer_total":888,"currency":"CNY"}}"#;

fn policy() -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        retry: Retry { attempts: 5, first: second, max: second },
        resolve: Resolve { schedule: vec![second], grace: second, horizon: second * 3600 },
        dunning: Vec::new(),
    }
}

async fn plan(ledger: &Ledger, occurrence: &str, items: u64, clock: &Clock) -> i64 {
    let run = NewRun {
        at: payrun::domain::time::Timestamp::from_millis(0),
        timezone: "UTC".to_owned(),
        workflow: "bench".into(),
        occurrence: occurrence.into(),
        source: String::new(),
        params: "{}".into(),
        now: clock.now(),
    };
    let mut planning = ledger.plan(run).await.expect("a plan");
    let job = NewJob {
        at_once: true,
        name: "charge".into(),
        kind: "deduct".into(),
        lane: "hk".into(),
        account: "account".into(),
        needs: Vec::new(),
        policy: policy(),
        rate: None,
        concurrency: None,
    };
    let job_id = planning.job(job).await.expect("a job");
    let hkd = Currency::parse("HKD").expect("HKD");
    let mut line = 1;
    while line <= items {
        let chunk: Vec<NewItem> = (line..(line + 1000).min(items + 1))
            .map(|line| {
                let key = format!("C-{line:08}/{occurrence}");
                NewItem {
                    line,
                    key_hash: KeyHash::of("hk", "deduct", &key),
                    identity: KeyHash::of("i", "d", &key),
                    serial: Some(KeyHash::of("hk", "contract", &format!("C-{line:08}"))),
                    custom_no: None,
                    amount: Amount::from_minor(1000, hkd).ok(),
                    input: format!(r#"{{"contract_id":"C-{line:08}","description":"Membership November","merchant_category_code":"5815"}}"#),
                    key,
                }
            })
            .collect();
        line += 1000;
        planning.items(job_id, &chunk).await.expect("items");
    }
    planning.commit().await.expect("a commit");
    job_id
}

async fn claim_and_settle(ledger: &Ledger, job_id: i64, items: usize, clock: &Clock) {
    let node = ledger.join(7, payrun::domain::time::Timestamp::from_millis(0)).await.expect("a node");
    let policy = Arc::new(policy());
    let mut left = items;
    while left > 0 {
        let request = ClaimRequest {
            lane: "hk".into(),
            node: node.id(),
            now: clock.now(),
            lease: Duration::from_secs(60),
            rate: Rate { calls: 10_000_000, per: Duration::from_secs(1) },
            slots: 128,
            wants: vec![Want {
                job_id,
                kind: "deduct".into(),
                slots: 128,
                rate: None,
                lease: None,
                policy: Arc::clone(&policy),
            }],
        };
        let (claimed, _) = ledger.claim_due(request).await.expect("claims");
        left -= claimed.len();
        let settles = claimed.iter().map(|one| {
            let answer = Answer::Done(Receipt("4200000000000000000000000001".into()));
            let now = clock.now();
            let moved = apply(&one.item, &Event::Answered(answer), &policy, now).expect("a move");
            let attempt = Attempt {
                operation: "deduct".into(),
                started_at: now,
                ended_at: now,
                answer: "done",
                code: String::new(),
                http: Some(200),
                evidence: REPLY.into(),
            };
            ledger.settle(Settlement::answered(one, moved, attempt, None, now))
        });
        for settled in futures_util::future::join_all(settles).await {
            settled.expect("a settle");
        }
    }
}

#[tokio::main]
async fn main() {
    if support::only_listed() {
        return;
    }
    let items = support::argument(0, 20_000);
    let history = support::argument(1, 1_000_000);
    let clock = Clock::System;
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = Ledger::open(&folder.path().join("bench.db")).await.expect("a ledger");
    for (name, planned, measured) in [("small", items, items), ("history", history, 0), ("large", items, items)] {
        let began = Instant::now();
        let job_id = plan(&ledger, name, planned, &clock).await;
        println!(
            "{name}: planned {planned} at {} rows/s",
            planned * 1000 / u64::try_from(began.elapsed().as_millis().max(1)).unwrap_or(1)
        );
        let began = Instant::now();
        let settled = if measured == 0 { planned } else { measured };
        claim_and_settle(&ledger, job_id, usize::try_from(settled).unwrap_or(0), &clock).await;
        println!(
            "{name}: claimed and settled {settled} at {} items/s",
            settled * 1000 / u64::try_from(began.elapsed().as_millis().max(1)).unwrap_or(1)
        );
    }
    ledger.close().await;
}
