//! The ledger as a queue with nothing in between: planning, then claim and settle.

use std::sync::Arc;
use std::time::Duration;

use payrun::clock::Clock;
use payrun::domain::actor::Actor;
use payrun::domain::answer::{Answer, AnswerKind, Receipt};
use payrun::domain::history::AttemptKind;
use payrun::domain::ids::KeyHash;
use payrun::domain::item::{Event, apply};
use payrun::domain::money::{Amount, Currency};
use payrun::domain::policy::{Policy, QueryPolicy, Rate, Retry};
use payrun::ledger::{
    Attempt, ClaimRequest, ItemReference, JobQuota, Ledger, NewItem, NewJob, NewRun, Settlement,
};

const REPLY: &str = r#"{"mchid":"10000091","appid":"wxcbda96de0b165486","out_trade_no":"1217752501201407033233368018","transaction_id":"1217752501201407033233368018","attach":"Custom data","trade_type":"PAP","bank_type":"WPHK","success_time":"2018-06-08T10:34:56+08:00","trade_state":"SUCCESS","trade_state_desc":"ok","merchant_category_code":"1011","amount":{"total":888,"payer_total":888,"currency":"CNY"}}"#;

fn policy() -> Policy {
    let second = Duration::from_secs(1);
    Policy {
        retry: Retry {
            attempts: 5,
            first: second,
            max: second,
        },
        query: QueryPolicy {
            schedule: vec![second],
            grace: second,
            horizon: second * 3600,
        },
        dunning: Vec::new(),
    }
}

/// Plans a run of so many items; its job.
pub async fn plan(ledger: &Ledger, occurrence: &str, items: u64, clock: &Clock) -> i64 {
    plan_referring(ledger, (occurrence, items), clock, false).await
}

/// The same; each item is found by two references too, if it is to be.
pub async fn plan_referring(
    ledger: &Ledger,
    (occurrence, items): (&str, u64),
    clock: &Clock,
    refers: bool,
) -> i64 {
    let reference = |line: u64, column: &str, hashed: bool| ItemReference {
        column: column.to_owned(),
        text: match hashed {
            true => hex::encode(KeyHash::of("hk", column, &line.to_string()).as_bytes()),
            false => format!("cust-{line:08}"),
        },
        hashed,
    };
    let references = |line: u64| match refers {
        true => vec![
            reference(line, "customer_no", false),
            reference(line, "phone", true),
        ],
        false => Vec::new(),
    };
    let run = NewRun {
        author: Actor::payrun(),
        at: payrun::domain::time::Timestamp::from_millis(0),
        timezone: "UTC".to_owned(),
        workflow: "bench".into(),
        occurrence: occurrence.into(),
        source: String::new(),
        file: None,
        params: "{}".into(),
        now: clock.now(),
    };
    let mut planning = ledger.plan(run).await.expect("a plan");
    let job = NewJob {
        file: None,
        planned_with_run: true,
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
                    content_hash: KeyHash::of("i", "d", &key),
                    exclusive_key: Some(KeyHash::of("hk", "contract", &format!("C-{line:08}"))),
                    custom_order_no: None,
                    amount: Amount::from_minor(1000, hkd).ok(),
                    shared: false,
                    references: references(line),
                    part: None,
                    payment: None,
                    again: payrun::ledger::ReplacementCheck::Never,
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

/// Claims and settles until so many are done, or until nothing is left.
pub async fn claim_and_settle(ledger: &Ledger, job_id: i64, items: usize, clock: &Clock) -> usize {
    let node = ledger
        .join(
            rand::random(),
            payrun::domain::time::Timestamp::from_millis(0),
        )
        .await
        .expect("a node");
    let policy = Arc::new(policy());
    let mut left = items;
    while left > 0 {
        let request = ClaimRequest {
            lane: "hk".into(),
            node: node.id(),
            now: clock.now(),
            lease: Duration::from_secs(60),
            rate: Rate {
                calls: 10_000_000,
                per: Duration::from_secs(1),
            },
            slots: 128,
            quotas: vec![JobQuota {
                job_id,
                kind: "deduct".into(),
                slots: 128,
                rate: None,
                lease: None,
                policy: Arc::clone(&policy),
                can_ask: false,
            }],
        };
        let (claimed, _) = ledger.claim_due(request).await.expect("claims");
        if claimed.is_empty() {
            break;
        }
        left = left.saturating_sub(claimed.len());
        let settles = claimed.iter().map(|one| {
            let answer = Answer::Done(Receipt("4200000000000000000000000001".into()));
            let now = clock.now();
            let moved = apply(&one.item, &Event::Answered(answer), &policy, now).expect("a move");
            let attempt = Attempt {
                kind: AttemptKind::Call,
                operation: "deduct".into(),
                started_at: now,
                ended_at: now,
                answer: AnswerKind::Done,
                code: String::new(),
                http: Some(200),
                evidence: REPLY.into(),
                numbers: Vec::new(),
            };
            ledger.settle(Settlement::answered(one, moved, attempt, None, now))
        });
        for settled in futures_util::future::join_all(settles).await {
            settled.expect("a settle");
        }
    }
    items - left
}
