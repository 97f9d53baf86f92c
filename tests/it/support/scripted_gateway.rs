//! An engine over a fresh ledger of any engine, whose one account answers what the test says: what
//! is asked and sent in which order, and what a person does meanwhile, is up to the test. Time is
//! whatever it says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use payrun::clock::Clock;
use payrun::config::{Config, Database};
use payrun::domain::ids::KeyHash;
use payrun::domain::money::{Amount, Currency};
use payrun::domain::policy::{Policy, Rate};
use payrun::domain::time::Timestamp;
use payrun::engine::attempt::{JobContext, execute};
use payrun::engine::{Account, Engine};
use payrun::file_store::Files;
use payrun::gateway::notification::{Notification, NotificationProtocol, NotificationReply};
use payrun::gateway::{BoxFuture, Call, Delivery, Gateway, Observation, Probe};
use payrun::job_kinds::JobKinds;
use payrun::ledger::{ClaimRequest, Claimed, ItemRow, JobQuota, Ledger, NewItem, NewJob, Node};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ledger::LedgerPlace;
use crate::ledger::ledger_fixture::{at, job, run};

/// What the gateway says to a call.
pub type Says = Box<dyn FnMut(Call) -> BoxFuture<'static, Observation> + Send>;

#[derive(Clone)]
struct Scripted {
    says: Arc<Mutex<Says>>,
    heard: Arc<Mutex<Vec<Call>>>,
}

impl Gateway for Scripted {
    fn call<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Observation> {
        self.heard.lock().unwrap().push(call.clone());
        (self.says.lock().unwrap())(call.clone())
    }

    fn verify_notification<'a>(&'a self, _notice: &'a Notification) -> BoxFuture<'a, Observation> {
        Box::pin(async { Observation::of(Delivery::Unverified("nobody notifies".to_owned())) })
    }

    fn credentials(&self) -> &'static str {
        "nothing"
    }

    fn notification_protocol(&self) -> NotificationProtocol {
        let nothing = NotificationReply {
            media: "text/plain",
            body: "",
        };
        NotificationProtocol {
            media: &[],
            signed_by: Vec::new(),
            taken: nothing,
            refused: nothing,
        }
    }

    fn probe(&self) -> BoxFuture<'_, Vec<Probe>> {
        Box::pin(async { Vec::new() })
    }
}

/// One process at work with an account that the test speaks for.
pub struct ScriptedProcess {
    pub engine: Arc<Engine>,
    account: Arc<Account>,
    gateway: Scripted,
    node: Node,
    planned: Mutex<u64>,
    dunning: Vec<Duration>,
    folder: TempDir,
}

/// A reply with HTTP 200 that shows a state.
pub fn shows(state: &str) -> Observation {
    Observation {
        http: Some(200),
        state: Some(state.to_owned()),
        ..Observation::of(Delivery::Replied)
    }
}

/// A refusal.
pub fn refuses(http: u16, code: &str) -> Observation {
    Observation {
        http: Some(http),
        code: Some(code.to_owned()),
        ..Observation::of(Delivery::Replied)
    }
}

/// So much, in Hong Kong dollars.
pub fn hkd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("HKD").unwrap()).unwrap()
}

/// A payment of this number, as a lookup shows it.
pub fn payment(order_no: &str, paid: &str) -> Observation {
    Observation {
        order_no: Some(order_no.to_owned()),
        receipt: Some(format!("T-{order_no}")),
        amount: Some(Ok(hkd(paid))),
        ..shows("SUCCESS")
    }
}

impl ScriptedProcess {
    /// Of an account at a kind of gateway.
    pub async fn at(
        place: &LedgerPlace,
        kind: &'static str,
        says: impl FnMut(Call) -> BoxFuture<'static, Observation> + Send + 'static,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = place.open().await;
        let node = ledger.join(1 << 20, at(0)).await.unwrap();
        let says: Says = Box::new(says);
        let gateway = Scripted {
            says: Arc::new(Mutex::new(says)),
            heard: Arc::default(),
        };
        let account = Arc::new(Account {
            name: "hk".to_owned(),
            identity: "hk".to_owned(),
            kind,
            gateway: Box::new(gateway.clone()),
            rate: Rate {
                calls: 1_000_000,
                per: Duration::from_secs(1),
            },
            concurrency: 100,
            timeout: Duration::from_secs(10),
            query_interval: Duration::from_secs(1),
            refund_interval: Duration::from_secs(60),
            funds_interval: Duration::from_secs(1_800),
            withdraw_at_once: false,
            ownership: None,
            is_remote: false,
            pace: None,
            watch: payrun::engine::AccountWatch::default(),
        });
        let database = Database::Sqlite("unused".into());
        let engine = Engine::new(
            ledger,
            Arc::new(Config::with_ledger(folder.path().to_owned(), database)),
            Arc::new(JobKinds::built_in()),
            BTreeMap::from([("hk".to_owned(), Arc::clone(&account))]),
            Files::open("files", folder.path()).unwrap(),
            Clock::driven(at(0)),
        );
        Self {
            engine: Arc::new(engine),
            account,
            gateway,
            node,
            planned: Mutex::default(),
            dunning: Vec::new(),
            folder,
        }
    }

    /// A file of its project.
    pub fn path(&self, file: &str) -> std::path::PathBuf {
        self.folder.path().join(file)
    }

    pub fn ledger(&self) -> &Ledger {
        &self.engine.ledger
    }

    pub fn now(&self) -> Timestamp {
        self.engine.clock.now()
    }

    /// From now on it is this long after the beginning.
    pub fn set(&self, seconds: u64) {
        self.engine.clock.set(at(seconds));
    }

    /// The calls that were made since this was asked last.
    pub fn calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.gateway.heard.lock().unwrap())
    }

    /// Their operations.
    pub fn heard(&self) -> Vec<String> {
        self.calls()
            .into_iter()
            .map(|call| call.operation)
            .collect()
    }

    fn policy(&self, kind: &str) -> Policy {
        Policy {
            dunning: self.dunning.clone(),
            ..self.engine.job_kinds.by_name[kind].policy.clone()
        }
    }

    /// With these steps after a soft decline.
    pub fn with_dunning(self, dunning: Vec<Duration>) -> Self {
        Self { dunning, ..self }
    }

    /// Plans a job of a kind with these inputs, each with its key and amount; the job.
    pub async fn plan(&self, kind: &str, items: &[(&str, Option<Amount>, Value)]) -> i64 {
        let occurrence = {
            let mut planned = self.planned.lock().unwrap();
            *planned += 1;
            planned.to_string()
        };
        let mut planning = self.ledger().plan(run(&occurrence)).await.unwrap();
        let new = NewJob {
            kind: kind.into(),
            policy: self.policy(kind),
            ..job(kind)
        };
        let id = planning.job(new).await.unwrap();
        let before = planning.newest_item().await.unwrap();
        let item =
            |(line, (key, amount, input)): (usize, &(&str, Option<Amount>, Value))| NewItem {
                line: line as u64 + 1,
                key: (*key).to_owned(),
                key_hash: KeyHash::of("hk", kind, key),
                content_hash: KeyHash::of("hk", kind, &format!("{key} {line}")),
                exclusive_key: None,
                custom_order_no: None,
                amount: *amount,
                shared: false,
                references: Vec::new(),
                part: None,
                payment: None,
                again: payrun::ledger::ReplacementCheck::Never,
                input: input.to_string(),
            };
        let items: Vec<NewItem> = items.iter().enumerate().map(item).collect();
        assert!(planning.items(id, &items).await.unwrap().is_empty());
        planning.job_planned(id, before, None).await.unwrap();
        planning.commit().await.unwrap();
        id
    }

    /// Plans one refund of a payment; the job.
    pub async fn plan_refund(&self, key: &str, of: &str, amount: &str, paid: Option<&str>) -> i64 {
        let mut input = json!({ "out_trade_no": of });
        if let Some(paid) = paid {
            input["paid"] = paid.into();
        }
        self.plan("refund", &[(key, Some(hkd(amount)), input)])
            .await
    }

    pub async fn claim(&self, job_id: i64, kind: &str, slots: usize) -> Vec<Claimed> {
        let want = JobQuota {
            job_id,
            kind: kind.to_owned(),
            slots,
            rate: None,
            lease: None,
            policy: Arc::new(self.policy(kind)),
            can_ask: true,
        };
        let request = ClaimRequest {
            lane: "hk".to_owned(),
            node: self.node.id(),
            now: self.now(),
            lease: self.account.lease(),
            rate: self.account.rate,
            slots,
            quotas: vec![want],
        };
        self.ledger().claim_due(request).await.unwrap().0
    }

    /// Does what a claim is for, and writes down what became of it.
    pub async fn perform(&self, claimed: &Claimed, kind: &str) {
        let policy = Arc::new(self.policy(kind));
        let work = JobContext {
            policy,
            kind: Arc::clone(&self.engine.job_kinds.by_name[kind]),
        };
        let settlement = execute(&self.engine, &self.account, &work, claimed, || {})
            .await
            .unwrap();
        self.ledger().settle(settlement).await.unwrap();
    }

    /// Claims and does all that is due of a job, until nothing of it is due at this instant.
    pub async fn work(&self, job_id: i64, kind: &str) {
        for _ in 0..20 {
            let claimed = self.claim(job_id, kind, 100).await;
            if claimed.is_empty() {
                return;
            }
            for one in claimed {
                self.perform(&one, kind).await;
            }
        }
        panic!("there is always something due");
    }

    pub async fn item(&self, id: i64) -> ItemRow {
        self.ledger().item(id).await.unwrap().unwrap()
    }

    pub async fn assert_sound(&self) {
        assert_eq!(self.ledger().check().await.unwrap(), Vec::<String>::new());
    }
}
