//! A ledger with items of every fate, statements, and an engine that reconciles them.

use payrun_domain::difference::SummaryRemark;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{NaiveDateTime, TimeZone};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::attempt::day_end;
use crate::attempt::{JobContext, execute};
use crate::file_store::Files;
use crate::{Account, Engine};
use payrun_domain::actor::Actor;
use payrun_domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule, Receipt};
use payrun_domain::history::AttemptKind;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::{Event, State, apply};
use payrun_domain::money::{Amount, Currency};
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::time::Timestamp;
use payrun_gateway::notification::{Notification, NotificationProtocol, NotificationReply};
use payrun_gateway::{BoxFuture, Call, Delivery, Gateway, Observation, Probe};
use payrun_ledger::{
    Attempt, ClaimRequest, Claimed, ItemFilter, ItemRow, JobQuota, Ledger, LineKind, NewItem,
    NewJob, NewRun, NewStatement, Node, Payment, RefundCapacity, RefundReservation, Settlement,
    StatementLine,
};
use payrun_project::config::{Config, Database, StatementOwnership};
use payrun_project::job_kinds::JobKinds;
use payrun_system::clock::Clock;

/// What becomes of an item that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Succeeds,
    Unknown,
    Pending,
    NeedsReview,
    Fails,
    /// It is never sent.
    Planned,
    /// It is planned under the next number.
    NextNumber,
}

struct Nobody;

impl Gateway for Nobody {
    fn call<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Observation> {
        Box::pin(async { Observation::of(Delivery::NotSent("nobody is there".to_owned())) })
    }

    fn verify_notification<'a>(&'a self, _notice: &'a Notification) -> BoxFuture<'a, Observation> {
        Box::pin(async { Observation::of(Delivery::Unverified("nobody is there".to_owned())) })
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

pub struct ReconcileFixture {
    pub folder: TempDir,
    pub engine: Engine,
    account: Arc<Account>,
    node: Node,
    runs: AtomicU64,
}

/// Beijing time.
pub fn at(local: &str) -> Timestamp {
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M").unwrap();
    Timestamp::from_millis(
        chrono_tz::Asia::Shanghai
            .from_local_datetime(&local)
            .unwrap()
            .timestamp_millis(),
    )
}

pub fn money(text: &str) -> Amount {
    let (number, code) = text.split_once(' ').unwrap();
    Amount::parse(number, Currency::parse(code).unwrap()).unwrap()
}

/// The number of an item of this kind and key.
pub fn number(kind: &str, key: &str, generation: u16) -> String {
    OrderNumber::derive(KeyHash::of("hk", kind, key), generation)
        .as_str()
        .to_owned()
}

/// A payment's line, with the receipt that [`ReconcileFixture::sent`] gives.
pub fn paid(line: u64, key: &str, amount: &str) -> StatementLine {
    StatementLine {
        line,
        kind: LineKind::Payment,
        time: String::new(),
        order_no: number("deduct", key, 1),
        transaction_id: format!("T-{key}"),
        refund_no: String::new(),
        refund_id: String::new(),
        state: "SUCCESS".to_owned(),
        amount: Some(money(amount)),
        fee: None,
        settled: None,
    }
}

/// A refund's line.
pub fn refunded(line: u64, key: &str, amount: &str) -> StatementLine {
    StatementLine {
        kind: LineKind::Refund,
        order_no: "P-of-refund".to_owned(),
        transaction_id: "T-of-refund".to_owned(),
        refund_no: number("refund", key, 1),
        refund_id: format!("T-{key}"),
        ..paid(line, key, amount)
    }
}

impl ReconcileFixture {
    pub async fn new() -> Self {
        Self::owning(None).await
    }

    /// A world whose account has a rule about whose lines are whose.
    pub async fn owning(ownership: Option<StatementOwnership>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.db"))
            .await
            .unwrap();
        let node = ledger.join(1, Timestamp::from_millis(0)).await.unwrap();
        let account = Arc::new(Account {
            name: "hk".to_owned(),
            identity: "hk".to_owned(),
            kind: "wechat",
            gateway: Box::new(Nobody),
            rate: Rate {
                calls: 100_000,
                per: Duration::from_secs(1),
            },
            concurrency: 1000,
            timeout: Duration::from_secs(20),
            query_interval: Duration::ZERO,
            refund_interval: Duration::ZERO,
            funds_interval: Duration::ZERO,
            withdraw_at_once: true,
            ownership,
            is_remote: false,
            pace: None,
            watch: crate::AccountWatch::default(),
        });
        let database = Database::Sqlite(folder.path().join("ledger.db"));
        let engine = Engine::new(
            ledger,
            Arc::new(Config::with_ledger(folder.path().to_owned(), database)),
            Arc::new(JobKinds::built_in()),
            BTreeMap::from([("hk".to_owned(), Arc::clone(&account))]),
            Files::open("files", folder.path()).unwrap(),
            Clock::driven(at("2026-11-25 12:00")),
        );
        Self {
            folder,
            engine,
            account,
            node,
            runs: AtomicU64::new(0),
        }
    }

    /// Gives the account another rule about whose lines are whose, or none.
    pub fn has_rule(&mut self, ownership: Option<StatementOwnership>) {
        self.engine.accounts.clear();
        let account = Arc::get_mut(&mut self.account).expect("nobody else has the account");
        account.ownership = ownership;
        let account = Arc::clone(&self.account);
        self.engine.accounts.insert("hk".to_owned(), account);
    }

    fn policy(&self) -> Policy {
        let dunning = vec![Duration::from_secs(86_400 * 30)];
        Policy {
            dunning,
            ..self.engine.job_kinds.by_name["deduct"].policy.clone()
        }
    }

    async fn plan(&self, kind: &str, items: &[NewItem], now: Timestamp) -> i64 {
        let occurrence = self.runs.fetch_add(1, Ordering::SeqCst).to_string();
        let run = NewRun {
            author: Actor::person("ann", "a test").unwrap(),
            workflow: "w".to_owned(),
            occurrence,
            source: String::new(),
            file: None,
            params: "{}".to_owned(),
            at: now,
            timezone: "UTC".to_owned(),
            now,
        };
        let mut planning = self.engine.ledger.plan(run).await.unwrap();
        let job = NewJob {
            file: None,
            name: kind.to_owned(),
            kind: kind.to_owned(),
            lane: "hk".to_owned(),
            account: "account".into(),
            needs: Vec::new(),
            policy: self.policy(),
            rate: None,
            concurrency: None,
            planned_with_run: true,
        };
        let job = planning.job(job).await.unwrap();
        let before = planning.newest_item().await.unwrap();
        assert!(planning.items(job, items).await.unwrap().is_empty());
        planning.job_planned(job, before, None).await.unwrap();
        planning.commit().await.unwrap();
        job
    }

    async fn claim(&self, job_id: i64, kind: &str, now: Timestamp) -> Vec<Claimed> {
        let rate = self.account.rate;
        let quota = JobQuota {
            job_id,
            kind: kind.to_owned(),
            slots: 1000,
            rate: None,
            lease: None,
            policy: Arc::new(self.policy()),
            can_ask: false,
        };
        let request = ClaimRequest {
            lane: "hk".to_owned(),
            node: self.node.id(),
            now,
            lease: self.account.lease(),
            rate,
            slots: 1000,
            quotas: vec![quota],
        };
        self.engine.ledger.claim_due(request).await.unwrap().0
    }

    /// Items that are sent at this time, with their keys, amounts and fates. What succeeds has the
    /// receipt `T-key`.
    pub async fn sent(&self, kind: &str, local: &str, rows: &[(&str, &str, Fate)]) {
        let now = at(local);
        let item = |(line, (key, amount, _)): (usize, &(&str, &str, Fate))| {
            new_item(line, kind, key, amount)
        };
        let (send, keep): (Vec<_>, Vec<_>) =
            rows.iter().partition(|(_, _, fate)| *fate != Fate::Planned);
        for (rows, is_sent) in [(send, true), (keep, false)] {
            let items: Vec<NewItem> = rows.iter().copied().enumerate().map(item).collect();
            if items.is_empty() {
                continue;
            }
            let job = self.plan(kind, &items, now).await;
            let claimed = if is_sent {
                self.claim(job, kind, now).await
            } else {
                Vec::new()
            };
            assert!(!is_sent || claimed.len() == items.len());
            for claimed in claimed {
                let (key, _, fate) = rows
                    .iter()
                    .find(|row| KeyHash::of("hk", kind, row.0) == claimed.key())
                    .unwrap();
                self.answer(&claimed, &answer(key, *fate), now).await;
            }
            self.engine.ledger.advance(now).await.unwrap();
        }
    }

    /// A refund of this payment that succeeds, or of which it is not known.
    pub async fn refunded_from(&self, transaction_id: &str, key: &str, amount: &str, fate: Fate) {
        let now = at("2026-11-20 12:00");
        let item = new_item(1, "refund", key, amount);
        let job = self.plan("refund", &[item], now).await;
        let claimed = self.claim(job, "refund", now).await.remove(0);
        let payment = Payment {
            order_no: "P".to_owned(),
            transaction_id: transaction_id.to_owned(),
            amount: money("1000 HKD"),
            other: None,
        };
        let account = KeyHash::of("hk", "payment", "");
        let taking = RefundReservation {
            payment: &payment,
            account,
            interval: Duration::ZERO,
            now,
        };
        assert_eq!(
            self.engine
                .ledger
                .reserve_refund(&claimed, taking)
                .await
                .unwrap(),
            RefundCapacity::Taken
        );
        self.answer(&claimed, &answer(key, fate), now).await;
    }

    /// Sends a planned item again, to this end.
    pub async fn send_again(&self, key: &str, local: &str, end: &Answer) {
        let job = self.item(key).await.job_id;
        let claimed = self.claim(job, "deduct", at(local)).await;
        assert_eq!(claimed.len(), 1);
        self.answer(&claimed[0], end, at(local)).await;
    }

    async fn answer(&self, claimed: &Claimed, answer: &Answer, now: Timestamp) {
        let moved = apply(
            &claimed.item,
            &Event::Answered(answer.clone()),
            &self.policy(),
            now,
        )
        .unwrap();
        let attempt = Attempt {
            kind: AttemptKind::Call,
            operation: "submit".to_owned(),
            started_at: now,
            ended_at: now,
            answer: answer.kind(),
            code: answer.code().to_owned(),
            http: None,
            evidence: String::new(),
            numbers: Vec::new(),
        };
        self.engine
            .ledger
            .settle(Settlement::answered(claimed, moved, attempt, None, now))
            .await
            .unwrap();
    }

    /// Keeps a day's statement.
    pub async fn statement(&self, day: &str, lines: impl IntoIterator<Item = StatementLine>) {
        self.statement_at(day, "2026-11-25 10:00", &[], lines).await;
    }

    /// Keeps what was fetched of a day at an instant, with what its totals say otherwise.
    pub async fn statement_at(
        &self,
        day: &str,
        fetched_at: &str,
        remarks: &[&str],
        lines: impl IntoIterator<Item = StatementLine>,
    ) {
        let statement = NewStatement {
            lane: "hk".to_owned(),
            day: day.to_owned(),
            sha256: format!("{day} {fetched_at}"),
            location: day.to_owned(),
            fetched_at: at(fetched_at),
            day_ends: day_end(day).unwrap(),
            remarks: remarks
                .iter()
                .map(|says| SummaryRemark {
                    total: says.split(' ').next().unwrap().to_owned(),
                    says: (*says).to_owned(),
                })
                .collect(),
        };
        let lines: Vec<StatementLine> = lines.into_iter().collect();
        self.engine
            .ledger
            .keep_statement(&statement, lines)
            .await
            .unwrap();
    }

    /// Reconciles as a worker would; the item of it.
    pub async fn reconcile(&self, from: &str, to: &str, rate: &str) -> ItemRow {
        let kind = Arc::clone(&self.engine.job_kinds.by_name["reconcile"]);
        let now = self.engine.clock.now();
        let key = format!("{from}/{to}/{}", self.runs.load(Ordering::SeqCst));
        let item = NewItem {
            line: 1,
            key_hash: KeyHash::of("hk", "reconcile", &key),
            content_hash: KeyHash::of("hk", "content", &key),
            key: key.clone(),
            exclusive_key: None,
            custom_order_no: None,
            amount: None,
            shared: false,
            references: Vec::new(),
            part: None,
            payment: None,
            again: payrun_ledger::ReplacementCheck::Never,
            input: json!({ "from": from, "to": to, "fee_rate": rate }).to_string(),
        };
        let job = self.plan("reconcile", &[item], now).await;
        let claimed = self.claim(job, "reconcile", now).await;
        let [claimed] = claimed.as_slice() else {
            panic!("{claimed:?}")
        };
        let work = JobContext {
            policy: Arc::new(kind.policy.clone()),
            kind,
        };
        let settlement = execute(&self.engine, &self.account, &work, claimed, || {})
            .await
            .unwrap();
        self.engine.ledger.settle(settlement).await.unwrap();
        assert_eq!(
            self.engine.ledger.check().await.unwrap(),
            Vec::<String>::new()
        );
        self.engine
            .ledger
            .item(claimed.id())
            .await
            .unwrap()
            .unwrap()
    }

    /// The JSON report of these days.
    pub fn report(&self, from: &str, to: &str) -> Value {
        serde_json::from_str(&self.file(from, to, "json")).unwrap()
    }

    /// A file of the newest report of these days.
    pub fn file(&self, from: &str, to: &str, extension: &str) -> String {
        let names = self.reports().into_iter();
        let begin = format!("reconcile-{from}-{to}-run-");
        let of_run = |name: &String| {
            name.strip_prefix(&begin)?
                .strip_suffix(extension)?
                .trim_end_matches('.')
                .parse::<i64>()
                .ok()
        };
        let newest = names
            .filter(|name| of_run(name).is_some())
            .max_by_key(of_run);
        let place = self
            .folder
            .path()
            .join("files/reports/hk")
            .join(newest.unwrap());
        std::fs::read_to_string(place).unwrap()
    }

    /// The names of all files of reports.
    pub fn reports(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.folder.path().join("files/reports/hk")).unwrap();
        let names = folder.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// The item of this key.
    pub async fn item(&self, key: &str) -> ItemRow {
        let filter = ItemFilter {
            key: Some(key.to_owned()),
            ..ItemFilter::default()
        };
        self.engine
            .ledger
            .items(&filter, 0, 1)
            .await
            .unwrap()
            .pop()
            .unwrap()
    }

    pub async fn state(&self, key: &str) -> State {
        self.item(key).await.state
    }
}

/// A key `own:NUMBER` gives the item that number.
fn new_item(line: usize, kind: &str, key: &str, amount: &str) -> NewItem {
    NewItem {
        line: u64::try_from(line).unwrap() + 1,
        key: key.to_owned(),
        key_hash: KeyHash::of("hk", kind, key),
        content_hash: KeyHash::of("hk", "content", key),
        exclusive_key: None,
        custom_order_no: key
            .strip_prefix("own:")
            .map(|own| OrderNumber::parse(own).unwrap()),
        amount: Some(money(amount)),
        shared: false,
        references: Vec::new(),
        part: None,
        payment: None,
        again: payrun_ledger::ReplacementCheck::Never,
        input: "{}".to_owned(),
    }
}

fn answer(key: &str, fate: Fate) -> Answer {
    let declined = |class, number| {
        Answer::Declined(Decline {
            code: "NO".to_owned(),
            class,
            number,
        })
    };
    match fate {
        Fate::Succeeds => Answer::Done(Receipt(format!("T-{key}"))),
        Fate::Unknown => Answer::Unknown {
            cause: Cause::TimedOut,
            code: String::new(),
        },
        Fate::Pending => Answer::Accepted,
        Fate::NeedsReview => declined(DeclineClass::Person, NumberRule::Same),
        Fate::Fails => declined(DeclineClass::Hard, NumberRule::Same),
        Fate::NextNumber => declined(DeclineClass::Soft, NumberRule::Next),
        Fate::Planned => unreachable!("it is never sent"),
    }
}

/// The result of an item, as it is kept.
pub fn facts(item: &ItemRow) -> Map<String, Value> {
    serde_json::from_str(item.result.as_deref().unwrap_or("{}")).unwrap()
}

/// How many differences there are of each reason, without those there are none of.
pub fn reasons(report: &Value) -> BTreeMap<String, u64> {
    let reasons = report["reasons"].as_object().unwrap().iter();
    reasons
        .map(|(name, count)| (name.clone(), count.as_u64().unwrap()))
        .filter(|(_, count)| *count > 0)
        .collect()
}
