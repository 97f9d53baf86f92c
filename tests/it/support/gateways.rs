//! A project with an account at each of the four gateways, all of them on one port of this process,
//! with their books at hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use payrun::clock::Clock;
use payrun::domain::ids::OrderNumber;
use payrun::domain::money::{Amount, Currency};
use payrun::gateway::wechat::{Transport, WechatClient};
use payrun::gateway::{Call, Gateway};
use payrun::sandbox::faults::{Fault, FaultPlan};
use payrun::sandbox::{
    ChargedSum, FakeWechat, Gateways, Settings, TransactionTotals, WechatAccountKeys, cbtis, egms,
    hipopay, server,
};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

/// How many orders of each gateway exist; one more is asked about that does not.
pub const ORDERS: usize = 10;

pub const GATEWAYS: [&str; 4] = ["wechat", "hipopay", "egms", "cbtis"];

pub const LANE: &str = "    rate: 5000/s\n    concurrency: 16\n    timeout: 600ms\n    query_interval: 100ms\n    refund_interval: 200ms\n    funds_interval: 300ms\n    withdraw_at_once: true\n    stop_after: { unverified: 1000, refused: 1000 }\n";

pub fn hkd() -> Amount {
    Amount::parse("12.50", Currency::parse("HKD").unwrap()).unwrap()
}

pub fn number(n: usize) -> String {
    format!("ORDER-{n:03}")
}

/// A project with an account at each gateway, and all of them on one port.
pub struct Rig {
    pub folder: tempfile::TempDir,
    pub gateways: Gateways,
    runtime: tokio::runtime::Runtime,
}

impl Rig {
    /// What is seen late is seen long before the grace periods of these tests are over, however
    /// slow the machine is.
    pub fn new(plan: FaultPlan) -> Self {
        let (timeout, late) = (Duration::from_millis(600), Duration::from_millis(300));
        Self::of(Settings {
            plan,
            timeout,
            late,
            ..Settings::default()
        })
    }

    pub fn of(settings: Settings) -> Self {
        Self::with_clock(settings, Clock::System)
    }

    /// A project whose gateways live by this clock.
    pub fn with_clock(settings: Settings, clock: Clock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let gateways = runtime.block_on(serve(folder.path(), settings, clock));
        Self {
            folder,
            gateways,
            runtime,
        }
    }

    /// Puts a paid payment into a gateway's books; the gateway's number of it.
    pub fn seed(&self, gateway: &str, number: &str, amount: &str, currency: &str) -> String {
        let amount = Amount::parse(amount, Currency::parse(currency).unwrap()).unwrap();
        let Gateways {
            wechat,
            hipopay,
            egms,
            cbtis,
        } = &self.gateways;
        match gateway {
            "wechat" => wechat.as_ref().unwrap().seed(number, amount),
            "hipopay" => hipopay.as_ref().unwrap().seed(number, amount),
            "egms" => egms.as_ref().unwrap().seed(number, amount),
            "cbtis" => cbtis.as_ref().unwrap().seed(number, amount),
            _ => panic!("there is no gateway {gateway}"),
        }
    }

    /// A gateway's books in sum; of WeChat Pay's without deductions, which are [`Rig::charged`].
    pub fn totals(&self, gateway: &str) -> TransactionTotals {
        let Gateways {
            wechat,
            hipopay,
            egms,
            cbtis,
        } = &self.gateways;
        match gateway {
            "wechat" => {
                let totals = self
                    .runtime
                    .block_on(wechat.as_ref().unwrap().totals())
                    .unwrap();
                TransactionTotals {
                    paid: totals.paid.into_iter().map(sum).collect(),
                    refunded: totals.refunded.into_iter().map(sum).collect(),
                    faults: totals.faults,
                    refused: totals.refused,
                    violations: totals.violations,
                    customs: totals.customs,
                }
            }
            "hipopay" => hipopay.as_ref().unwrap().totals(),
            "egms" => egms.as_ref().unwrap().totals(),
            "cbtis" => cbtis.as_ref().unwrap().totals(),
            _ => panic!("there is no gateway {gateway}"),
        }
    }

    /// What WeChat Pay's deductions moved, by currency.
    pub fn charged(&self) -> BTreeMap<String, (u64, i64)> {
        let totals = self
            .runtime
            .block_on(self.gateways.wechat.as_ref().unwrap().totals())
            .unwrap();
        totals.charged.into_iter().map(sum).collect()
    }

    /// Runs something that waits.
    pub fn wait_for<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Where the gateways are.
    pub fn base_url(&self) -> String {
        let yaml = std::fs::read_to_string(self.folder.path().join("payrun.yaml")).unwrap();
        yaml.split("base_url: ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
    }

    /// Writes a file of the project.
    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// The binary, to be run in the project's folder.
    pub fn command(&self, args: &[&str]) -> Command {
        super::process::payrun(self.folder.path(), args)
    }

    pub fn payrun(&self, args: &[&str]) -> (Option<i32>, String) {
        let out = self.command(args).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.code(), text)
    }

    /// Changes the ledger behind payrun's back.
    pub fn change(&self, statement: &str) {
        let ledger = self.folder.path().join("payrun.db");
        self.wait_for(super::change(&ledger, statement));
    }

    /// Runs a workflow until nothing of it is open; how the last run ended.
    pub fn to_the_end(&self, workflow: &str) -> Option<i32> {
        let mut ended = self.payrun(&["run", workflow, "--json", "--wait", "20s"]);
        for _ in 0..10 {
            match ended.0 {
                Some(0 | 3) => return ended.0,
                Some(4) => {
                    self.release_lanes();
                    ended = self.payrun(&["run", "--resume", "--json", "--wait", "20s"]);
                }
                _ => panic!("{}", ended.1),
            }
        }
        panic!("{workflow} does not end: {}\n{:?}", ended.1, self.items())
    }

    /// A person lets go on what was stopped.
    pub fn release_lanes(&self) {
        let (code, text) = self.payrun(&["lane", "list", "--json"]);
        assert_eq!(code, Some(0), "{text}");
        let lanes: Vec<Value> = serde_json::from_str(&text).unwrap();
        let closed = lanes
            .iter()
            .flat_map(|lane| lane["closed"].as_array().into_iter().flatten());
        for lane in closed.filter(|lane| lane["state"] == "stopped") {
            let released = self.payrun(&[
                "lane",
                "release",
                text_of(lane, "name"),
                "--reason",
                "looked at it",
            ]);
            assert_eq!(released.0, Some(0), "{}", released.1);
        }
    }

    pub fn items(&self) -> Vec<Value> {
        let (code, text) = self.payrun(&["items", "--json", "-n", "0"]);
        assert_eq!(code, Some(0), "{text}");
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The items of a job.
    pub fn items_of(&self, job: &str) -> Vec<Value> {
        self.items()
            .into_iter()
            .filter(|item| item["job"] == job)
            .collect()
    }
}

fn sum((currency, charged): (String, ChargedSum)) -> (String, (u64, i64)) {
    (
        currency,
        (charged.count, i64::try_from(charged.minor).unwrap()),
    )
}

/// What our books say moved by a job, in a currency: how many succeeded, and their minor units.
pub fn moved(items: &[Value], job: &str, currency: &str) -> (u64, i64) {
    let moved = |item: &&Value| {
        item["job"] == job && item["state"] == "succeeded" && item["currency"] == currency
    };
    items
        .iter()
        .filter(moved)
        .fold((0, 0), |(count, sum), item| {
            let minor: i64 = item["amount"]
                .as_str()
                .unwrap()
                .replace('.', "")
                .parse()
                .unwrap();
            (count + 1, sum + minor)
        })
}

/// Asserts that nothing is under way or about to be.
#[track_caller]
pub fn assert_at_rest(items: &[Value]) {
    let is_open = |item: &&Value| {
        [
            "sending",
            "unknown",
            "pending",
            "planned",
            "awaiting_approval",
        ]
        .contains(&text_of(item, "state"))
    };
    assert_eq!(items.iter().find(is_open), None, "nothing is open");
}

/// A text of an item, empty if it has none.
pub fn text_of<'a>(item: &'a Value, field: &str) -> &'a str {
    item[field].as_str().unwrap_or_default()
}

struct Identities {
    wechat: WechatAccountKeys,
    hipopay: hipopay::HipopayAccountKeys,
    egms: egms::EgmsAccountKeys,
    cbtis: cbtis::CbtisAccountKeys,
}

/// The same for all projects of a test: keys take long to make.
fn identities() -> &'static Identities {
    static IDENTITIES: OnceLock<Identities> = OnceLock::new();
    IDENTITIES.get_or_init(|| Identities {
        wechat: super::identity(),
        hipopay: hipopay::HipopayAccountKeys::generate().unwrap(),
        egms: egms::EgmsAccountKeys::generate().unwrap(),
        cbtis: cbtis::CbtisAccountKeys::generate().unwrap(),
    })
}

async fn serve(folder: &Path, settings: Settings, clock: Clock) -> Gateways {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let Identities {
        wechat,
        hipopay,
        egms,
        cbtis,
    } = identities();
    wechat.save(&folder.join("keys/wechat")).unwrap();
    hipopay.save(&folder.join("keys/hipopay")).unwrap();
    egms.save(&folder.join("keys/egms")).unwrap();
    cbtis.save(&folder.join("keys/cbtis")).unwrap();
    // A saved identity is what a project goes on with.
    let hipopay = hipopay::HipopayAccountKeys::load(&folder.join("keys/hipopay")).unwrap();
    let egms = egms::EgmsAccountKeys::load(&folder.join("keys/egms")).unwrap();
    let cbtis = cbtis::CbtisAccountKeys::load(&folder.join("keys/cbtis")).unwrap();
    let account = wechat.wechat_config(&url);
    let yaml = format!(
        "database: payrun.db\ntimezone: Asia/Hong_Kong\nencryption_key: {{ file: keys/personal.key }}\ngateways:\n  wechat:\n    kind: wechat\n    base_url: {url}\n    mode: common\n    \
         mchid: \"1900000001\"\n    appid: wx0000000000000001\n    merchant_key: {{ file: keys/wechat/merchant_key.pem }}\n    \
         merchant_serial: \"{}\"\n    api_v3_key: {{ file: keys/wechat/api_v3_key.txt }}\n    platform: auto\n    \
         notify_url: https://example.com/notify\n{LANE}  hipopay:\n{}{LANE}  egms:\n{}{LANE}  cbtis:\n{}{LANE}",
        wechat.merchant_serial(),
        hipopay.yaml(&url, "keys/hipopay"),
        egms.yaml(&url, "keys/egms"),
        cbtis.yaml(&url, "keys/cbtis"),
    );
    std::fs::write(folder.join("payrun.yaml"), yaml).unwrap();
    std::fs::write(folder.join("keys/personal.key"), personal_key(7)).unwrap();
    let sandbox = FakeWechat::open(wechat.clone(), settings.clone(), clock.clone())
        .await
        .unwrap();
    let gateways = Gateways {
        wechat: Some(Arc::clone(&sandbox)),
        hipopay: Some(
            hipopay::FakeHipopay::open(&hipopay, settings.clone(), clock.clone()).unwrap(),
        ),
        egms: Some(egms::FakeEgms::open(&egms, settings.clone(), clock.clone())),
        cbtis: Some(cbtis::FakeCbtis::open(
            &cbtis,
            settings,
            Duration::from_secs(3_600),
            clock.clone(),
        )),
    };
    let charger = WechatClient::new(&account, Transport::InProcess(sandbox), clock).unwrap();
    for n in 0..ORDERS {
        charge(&charger, n).await;
        gateways.hipopay.as_ref().unwrap().seed(&number(n), hkd());
        gateways.egms.as_ref().unwrap().seed(&number(n), hkd());
        gateways.cbtis.as_ref().unwrap().seed(&number(n), hkd());
    }
    tokio::spawn(server::serve(
        gateways.clone(),
        listener,
        std::future::pending(),
    ));
    gateways
}

/// Does something under each fault by itself, several at a time.
pub fn under_each_fault(test: impl Fn(Fault) + Sync) {
    let left = Mutex::new(Fault::ALL.to_vec());
    let next = || left.lock().unwrap().pop();
    std::thread::scope(|scope| {
        let work = || std::iter::from_fn(next).for_each(&test);
        let workers: Vec<_> = (0..9).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    });
}

/// A key for personal data.
pub fn personal_key(byte: u8) -> String {
    STANDARD.encode([byte; 32])
}

async fn charge(charger: &WechatClient, n: usize) {
    let fields = [
        ("contract_id", format!("C-{n}")),
        ("description", "Rent".into()),
        ("merchant_category_code", "1011".into()),
    ];
    let call = Call {
        operation: "deduct".into(),
        order_no: OrderNumber::parse(&number(n)).unwrap(),
        input: fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect::<Map<_, _>>(),
        amount: Some(hkd()),
        timeout: Duration::from_secs(1),
    };
    // Whatever goes wrong meanwhile: one number is charged once, so it may be sent until it is.
    for _ in 0..100 {
        if charger.call(&call).await.state.as_deref() == Some("SUCCESS") {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
