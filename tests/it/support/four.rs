//! A project with an account at each of the four gateways, all of them on one port of this process, with their books at hand.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use payrun::clock::Clock;
use payrun::domain::ids::OrderNumber;
use payrun::domain::money::{Amount, Currency};
use payrun::gateway::wechat::{Client, Transport};
use payrun::gateway::{Call, Gateway};
use payrun::sandbox::faults::FaultPlan;
use payrun::sandbox::{Gateways, Identity, Sandbox, Settings, cbtis, egms, hipopay, server};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

/// How many orders of each gateway exist; one more is asked about that does not.
pub const ORDERS: usize = 10;

pub const GATEWAYS: [&str; 4] = ["wechat", "hipopay", "egms", "cbtis"];

pub const LANE: &str = "    rate: 5000/s\n    concurrency: 16\n    timeout: 600ms\n    query_interval: 100ms\n    refund_interval: 200ms\n    funds_interval: 300ms\n";

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
    _runtime: tokio::runtime::Runtime,
}

impl Rig {
    pub fn new(plan: FaultPlan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let gateways = runtime.block_on(serve(folder.path(), plan));
        Self { folder, gateways, _runtime: runtime }
    }

    pub fn payrun(&self, args: &[&str]) -> (Option<i32>, String) {
        let out =
            Command::new(env!("CARGO_BIN_EXE_payrun")).current_dir(self.folder.path()).args(args).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.code(), text)
    }

    pub fn items(&self) -> Vec<Value> {
        let (code, text) = self.payrun(&["items", "--json", "-n", "0"]);
        assert_eq!(code, Some(0), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

async fn serve(folder: &Path, plan: FaultPlan) -> Gateways {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let settings = Settings { plan, timeout: Duration::from_millis(600), ..Settings::default() };
    let wechat = Identity::generate().unwrap();
    let hipopay = hipopay::Identity::generate().unwrap();
    let egms = egms::Identity::generate().unwrap();
    let cbtis = cbtis::Identity::generate().unwrap();
    wechat.save(&folder.join("keys/wechat")).unwrap();
    hipopay.save(&folder.join("keys/hipopay")).unwrap();
    egms.save(&folder.join("keys/egms")).unwrap();
    cbtis.save(&folder.join("keys/cbtis")).unwrap();
    // A saved identity is what a project goes on with.
    let hipopay = hipopay::Identity::load(&folder.join("keys/hipopay")).unwrap();
    let egms = egms::Identity::load(&folder.join("keys/egms")).unwrap();
    let cbtis = cbtis::Identity::load(&folder.join("keys/cbtis")).unwrap();
    let account = wechat.wechat_config(&url);
    let yaml = format!(
        "database: payrun.db\ntimezone: Asia/Hong_Kong\ngateways:\n  wechat:\n    kind: wechat\n    base_url: {url}\n    mode: common\n    \
         mchid: \"1900000001\"\n    appid: wx0000000000000001\n    merchant_key: {{ file: keys/wechat/merchant_key.pem }}\n    \
         merchant_serial: \"{}\"\n    api_v3_key: {{ file: keys/wechat/api_v3_key.txt }}\n    platform: auto\n    \
         notify_url: https://example.com/notify\n{LANE}  hipopay:\n{}{LANE}  egms:\n{}{LANE}  cbtis:\n{}{LANE}",
        account.merchant_serial,
        hipopay.yaml(&url, "keys/hipopay"),
        egms.yaml(&url, "keys/egms"),
        cbtis.yaml(&url, "keys/cbtis"),
    );
    std::fs::write(folder.join("payrun.yaml"), yaml).unwrap();
    let sandbox = Sandbox::open(wechat, settings.clone(), Clock::System).await.unwrap();
    let gateways = Gateways {
        wechat: Some(Arc::clone(&sandbox)),
        hipopay: Some(hipopay::Hipopay::open(&hipopay, settings.clone(), Clock::System).unwrap()),
        egms: Some(egms::Egms::open(&egms, settings.clone(), Clock::System)),
        cbtis: Some(cbtis::Cbtis::open(&cbtis, settings, Duration::from_secs(3_600), Clock::System)),
    };
    let charger = Client::new(&account, Transport::InProcess(sandbox), Clock::System).unwrap();
    for n in 0..ORDERS {
        charge(&charger, n).await;
        gateways.hipopay.as_ref().unwrap().seed(&number(n), hkd());
        gateways.egms.as_ref().unwrap().seed(&number(n), hkd());
        gateways.cbtis.as_ref().unwrap().seed(&number(n), hkd());
    }
    tokio::spawn(server::serve(gateways.clone(), listener, std::future::pending()));
    gateways
}

async fn charge(charger: &Client, n: usize) {
    let fields =
        [("contract_id", format!("C-{n}")), ("description", "Rent".into()), ("merchant_category_code", "1011".into())];
    let call = Call {
        operation: "deduct".into(),
        order_no: OrderNumber::parse(&number(n)).unwrap(),
        input: fields.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect::<Map<_, _>>(),
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
