//! Bulk look-ups on all four gateways at once, by the command, against the sandbox on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use payrun::clock::Clock;
use payrun::domain::ids::OrderNumber;
use payrun::domain::money::{Amount, Currency};
use payrun::gateway::wechat::{Client, Transport};
use payrun::gateway::{Call, Gateway};
use payrun::sandbox::faults::{CallKind, Fault, FaultPlan, Level};
use payrun::sandbox::{Gateways, Identity, Sandbox, Settings, cbtis, egms, hipopay, server};
use serde_json::{Map, Value};
use tokio::net::TcpListener;

use crate::support::process::payrun;
use crate::support::{PATIENCE, Running, until};

/// How many orders of each gateway exist; one more is asked about that does not.
const ORDERS: usize = 10;

const GATEWAYS: [&str; 4] = ["wechat", "hipopay", "egms", "cbtis"];

const LANE: &str = "    rate: 5000/s\n    concurrency: 16\n    timeout: 600ms\n    query_interval: 100ms\n";

fn hkd() -> Amount {
    Amount::parse("12.50", Currency::parse("HKD").unwrap()).unwrap()
}

fn number(n: usize) -> String {
    format!("ORDER-{n:03}")
}

/// A project with an account at each gateway, and all of them on one port.
struct Rig {
    folder: tempfile::TempDir,
    gateways: Gateways,
    _runtime: tokio::runtime::Runtime,
}

impl Rig {
    fn new(plan: FaultPlan) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let gateways = runtime.block_on(serve(folder.path(), plan));
        workflow(folder.path());
        Self { folder, gateways, _runtime: runtime }
    }

    fn payrun(&self, args: &[&str]) -> (Option<i32>, String) {
        let out =
            Command::new(env!("CARGO_BIN_EXE_payrun")).current_dir(self.folder.path()).args(args).output().unwrap();
        let text = String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap();
        (out.status.code(), text)
    }

    fn items(&self) -> Vec<Value> {
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
    assert_eq!(charger.call(&call).await.state.as_deref(), Some("SUCCESS"));
}

/// A job for each gateway over the same rows: orders that exist, one that does not, and one whose amount is another.
fn workflow(folder: &Path) {
    let mut yaml = "workflow: look\njobs:\n".to_owned();
    for gateway in GATEWAYS {
        yaml.push_str(&format!(
            "  {gateway}:\n    uses: query\n    gateway: {gateway}\n    items: {{ file: orders.csv }}\n    key: \"{{{{ item.order }}}}\"\n    \
             with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n    \
             retry: {{ attempts: 12, first: 50ms, max: 100ms }}\n"
        ));
    }
    std::fs::write(folder.join("look.yaml"), yaml).unwrap();
    let mut rows = "order,amount\n".to_owned();
    for n in 0..ORDERS {
        let amount = if n == ORDERS - 1 { "12.51" } else { "12.50" };
        rows.push_str(&format!("{},{amount}\n", number(n)));
    }
    rows.push_str("GONE-1,1.00\n");
    std::fs::write(folder.join("orders.csv"), rows).unwrap();
}

fn look(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    let (code, text) = rig.payrun(&["run", "look.yaml", "--json", "--wait", "30s"]);
    assert_eq!(code, Some(3), "{text}");
    let items = rig.items();
    assert_eq!(items.len(), GATEWAYS.len() * (ORDERS + 1));
    for item in &items {
        let key = item["key"].as_str().unwrap();
        let expected = match key {
            "GONE-1" | "ORDER-009" => "failed",
            _ => "succeeded",
        };
        assert_eq!(item["state"], expected, "{item}");
        if expected == "succeeded" {
            assert!(item["receipt"].as_str().is_some_and(|receipt| !receipt.is_empty()), "{item}");
        }
        if key == "ORDER-009" {
            assert!(item["reason"].as_str().unwrap().contains("mismatch"), "{item}");
        }
    }
    rig
}

#[test]
fn orders_are_looked_up_in_bulk_on_all_four_gateways() {
    let rig = look(FaultPlan::NONE);
    let found = |state: &str| rig.items().iter().filter(|item| item["result"]["state"] == state).count();
    assert_eq!((found("PAID"), found("Captured"), found("SUCCEEDED")), (ORDERS, ORDERS, ORDERS));
    let (code, text) = rig.payrun(&["doctor"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_bulk_look_up_ends_the_same_whatever_the_gateways_do_to_it() {
    let rig = look(FaultPlan { on: Some(CallKind::Query), ..FaultPlan::new(5, Level::Heavy) });
    let Gateways { wechat: _, hipopay, egms, cbtis } = &rig.gateways;
    for totals in
        [hipopay.as_ref().unwrap().totals(), egms.as_ref().unwrap().totals(), cbtis.as_ref().unwrap().totals()]
    {
        assert!(totals.faults.values().sum::<u64>() > 3, "{totals:?}");
        assert!(totals.violations.is_empty() && totals.refused.is_empty(), "{totals:?}");
    }
    look(FaultPlan { on: Some(CallKind::Query), ..FaultPlan::only(Fault::WrongSignature) });
}

/// One request to the sandbox about itself, by hand: its status line and body.
fn ask(address: &str, method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn a_new_project_has_an_account_at_every_gateway_of_its_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    Running::start(payrun(folder.path(), &["init", "shop"])).wait(PATIENCE).exits(0);
    let mut sandbox = Running::start(payrun(&shop, &["sandbox", "--port", "0", "--latency", "0"]));
    until("the sandbox listens", || sandbox.stdout_so_far().contains("http://127.0.0.1:") || sandbox.has_ended());
    let said = sandbox.stdout_so_far();
    let rest = said.split("http://").nth(1).unwrap();
    let address = rest.split(|c: char| !(c.is_ascii_digit() || ".:".contains(c))).next().unwrap().to_owned();
    let config = std::fs::read_to_string(shop.join("payrun.yaml")).unwrap();
    std::fs::write(shop.join("payrun.yaml"), config.replace("127.0.0.1:4455", &address)).unwrap();
    let doctor = Running::start(payrun(&shop, &["doctor"])).wait(PATIENCE).exits(0);
    for gateway in ["hk", "hipopay", "egms", "cbtis"] {
        assert!(doctor.stdout.contains(gateway), "{}", doctor.stdout);
    }
    for gateway in ["hipopay", "egms", "cbtis"] {
        let paid = r#"[{"number":"P-1","amount":"10.00","currency":"HKD"}]"#;
        let (status, put) = ask(&address, "POST", &format!("/sandbox/{gateway}/payments"), paid);
        assert!(status.contains("200") && put.contains("gateway_number"), "{gateway}: {status} {put}");
        let (_, books) = ask(&address, "GET", &format!("/sandbox/{gateway}/books"), "");
        let books: Value = serde_json::from_str(&books).unwrap();
        assert_eq!(books["paid"]["HKD"], serde_json::json!([1, 1000]), "{gateway}: {books}");
        let wrong = r#"[{"number":"P-1","amount":"10.001","currency":"HKD"}]"#;
        assert!(ask(&address, "POST", &format!("/sandbox/{gateway}/payments"), wrong).0.contains("400"));
    }
    assert!(ask(&address, "GET", "/sandbox/nobody/books", "").0.contains("404"));
    sandbox.interrupt();
    sandbox.wait(Duration::from_secs(20)).exits(0);
}
