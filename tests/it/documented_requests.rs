//! The clients and the fakes held to the tables of docs/gateways: every request is one that a page documents, with its
//! parameters and no others; and a fake refuses what the page of a call does not list.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use payrun::clock::Clock;
use payrun::config::{WechatConfig, WechatMode};
use payrun::domain::ids::OrderNumber;
use payrun::domain::money::{Amount, Currency};
use payrun::gateway::transport::{Request, Transport};
use payrun::gateway::wechat::sign::Merchant;
use payrun::gateway::{Call, Gateway, wechat};
use payrun::sandbox::request_table::RequestTable;
use payrun::sandbox::{Identity, Reaction, Sandbox, Settings, Twin};
use serde_json::{Map, Value, json};

/// A gateway that hears everything and answers nothing.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Request>>);

impl Twin for Recorder {
    fn take(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
        self.0.lock().unwrap().push(request);
        Box::pin(async { Reaction::Reset })
    }
}

fn call(operation: &str, currency: &str, input: &Value) -> Call {
    let input: Map<String, Value> = serde_json::from_value(input.clone()).unwrap();
    Call {
        operation: operation.to_owned(),
        order_no: OrderNumber::parse("D-20261128-1").unwrap(),
        input,
        amount: Some(Amount::parse("10.00", Currency::parse(currency).unwrap()).unwrap()),
        timeout: Duration::from_secs(5),
    }
}

/// What WeChat Pay's client is asked, with all a call may be given and with no more than it must; and which rows of the table
/// may come of it.
fn wechat_calls() -> Vec<(Call, &'static str)> {
    let deduction = json!({
        "description": "Rent", "attach": "a", "goods_tag": "g", "merchant_category_code": "1011", "contract_id": "C-1",
        "device_ip": "59.37.125.32", "device_id": "d",
    });
    let payment = json!({ "transaction_id": "4200000000000000000000000001" });
    let number = json!({ "out_trade_no": "P-1" });
    let quick = json!({
        "auth_code": "134650720866361395", "merchant_category_code": "4111", "attach": "a", "description": "Tea",
        "goods_tag": "g", "payer_client_ip": "14.23.150.211", "device_ip": "59.37.125.32", "device_id": "d",
        "operator_id": "o", "store_id": "s", "store_name": "Shop", "store_address": "1 Sea Road",
    });
    let with = |base: &Value, more: Value| {
        let mut base = base.as_object().unwrap().clone();
        base.extend(more.as_object().unwrap().clone());
        Value::Object(base)
    };
    let order = json!({
        "out_trade_no": "P-1", "transaction_id": "4200000000000000000000000001", "customs": "SHENZHEN",
        "mch_customs_no": "123456789B",
    });
    let sub_order = with(
        &order,
        json!({
            "sub_order_no": "S-1", "transport_fee": "4.00", "product_fee": "6.00", "duty": "0.88",
            "cert_id": "11010119900307002x", "name": "張三",
        }),
    );
    let modify = |base: &Value| with(base, json!({ "way": "modify" }));
    let mut calls = Vec::new();
    let mut add = |operation: &str, row, inputs: &[&Value]| {
        for input in inputs {
            let currency = if operation.contains("declare") || operation == "identity_check" { "CNY" } else { "HKD" };
            calls.push((call(operation, currency, input), row));
        }
    };
    let bare = json!({ "description": "Rent", "merchant_category_code": "1011", "contract_id": "C-1" });
    add("deduct", "deduct", &[&deduction, &bare]);
    add("transaction", "transaction", &[&json!({}), &number, &payment]);
    add("contract", "contract", &[&json!({ "contract_id": "C-1" })]);
    add("terminate", "terminate", &[&json!({ "contract_id": "C-1", "reason": "moved out" })]);
    add("order", "order", &[&json!({}), &number, &payment]);
    add("any_order", "order", &[&number, &payment]);
    add("any_order", "transaction", &[&with(&number, json!({ "way": "deduction" }))]);
    let quick_bare =
        json!({ "auth_code": "134650720866361395", "merchant_category_code": "4111", "description": "Tea" });
    add("micropay", "micropay", &[&quick, &quick_bare]);
    add("cancel", "close", &[&number, &payment]);
    let reverse = json!({ "way": "reverse" });
    add("cancel", "micropay_reversal", &[&with(&number, reverse.clone()), &with(&payment, reverse)]);
    add("cancel", "deduction_reversal", &[&with(&number, json!({ "way": "deduction" }))]);
    let refund = with(&payment, json!({ "paid": "20.00", "reason": "sold out" }));
    add("refund", "refund", &[&refund, &with(&number, json!({ "paid": "20.00" }))]);
    add("refund_query", "refund_query", &[&json!({})]);
    add("refunds", "refunds", &[&number, &payment]);
    add("statement", "statement", &[&json!({ "date": "2026-11-27" })]);
    add("settlements", "settlements", &[&json!({ "from": "2026-11-20", "to": "2026-11-20" })]);
    add("declare", "declare", &[&order, &sub_order]);
    add(
        "declare_query",
        "declare_query",
        &[&order, &sub_order, &json!({ "out_trade_no": "P-1", "customs": "SHENZHEN" })],
    );
    add("redeclare", "redeclare", &[&order, &sub_order]);
    add("redeclare", "modify", &[&modify(&order), &modify(&sub_order)]);
    let person = json!({ "cert_id": "11010119900307002X", "name": "張三" });
    add("identity_check", "identity_check", &[&sub_order, &with(&order, person)]);
    calls
}

fn modes() -> [(&'static str, WechatMode, bool); 3] {
    let institution = |sub_appid: Option<&str>| WechatMode::Institutional {
        sp_mchid: "1900000002".into(),
        sp_appid: "wxsp".into(),
        sub_mchid: "10000097".into(),
        sub_appid: sub_appid.map(str::to_owned),
    };
    let own = WechatMode::Common { mchid: "1900000001".into(), appid: "wx0000000000000001".into() };
    [
        ("common", own, false),
        ("institutional", institution(None), true),
        ("institutional", institution(Some("wxsub")), false),
    ]
}

fn identity(mode: &WechatMode) -> Identity {
    let mut identity = Identity::generate().unwrap();
    identity.mode = mode.clone();
    identity
}

/// What the client sends for each call; its keys are configured, so that nothing else is sent.
async fn sent(identity: &Identity, by_sub_merchant: bool) -> Vec<(Call, &'static str, Request)> {
    let recorder = Arc::new(Recorder::default());
    let config = WechatConfig {
        settlements_by_sub_merchant: by_sub_merchant,
        ..identity.wechat_config_with_public_key("https://gateway.invalid")
    };
    let client = wechat::Client::new(&config, Transport::InProcess(recorder.clone()), Clock::System).unwrap();
    let mut sent = Vec::new();
    for (call, row) in wechat_calls() {
        client.call(&call).await;
        let requests = std::mem::take(&mut *recorder.0.lock().unwrap());
        assert_eq!(requests.len(), 1, "{call:?}");
        sent.extend(requests.into_iter().map(|request| (call.clone(), row, request)));
    }
    sent
}

fn bytes(request: &Request) -> (&str, &[u8]) {
    (request.uri().query().unwrap_or_default(), request.body())
}

#[tokio::test]
async fn every_request_of_wechat_pay_s_client_is_as_its_page_says() {
    let table = RequestTable::wechat();
    let mut made = BTreeSet::new();
    for (mode, ids, by_sub_merchant) in modes() {
        for (call, operation, request) in sent(&identity(&ids), by_sub_merchant).await {
            let row = table.find(mode, request.method(), request.uri().path());
            let row = row.unwrap_or_else(|| panic!("no page has {} {}", request.method(), request.uri()));
            assert_eq!(row.operation, operation, "{} {}", request.method(), request.uri());
            let (query, body) = bytes(&request);
            let checked = row.check_json(query, body);
            assert!(checked.is_ok(), "{mode} {call:?}: {:?}", checked.unwrap_err());
            let known = table.check_headers(request.headers(), &[]);
            assert!(known.is_ok(), "{operation}: {:?}", known.unwrap_err());
            made.insert((row.operation.clone(), row.mode.clone(), row.path.clone()));
        }
    }
    // What the keyring asks for, and what nothing needs to ask for.
    let never = [("certificates", "/v3/global/certificates"), ("refund_query", "/v3/global/refunds/id/{refund_id}")];
    for row in table.rows() {
        let made = made.contains(&(row.operation.clone(), row.mode.clone(), row.path.clone()));
        let never = never.contains(&(row.operation.as_str(), row.path.as_str()));
        assert!(made != never, "{} ({}) {}: made {made}", row.operation, row.mode, row.path);
    }
}

/// The message of a refusal and its parameter, or nothing.
async fn refused(
    sandbox: &Sandbox,
    merchant: &Merchant,
    method: &Method,
    target: &str,
    body: Bytes,
    serial: &str,
) -> Option<String> {
    let signed = merchant.authorize(method.as_str(), target, &body, Clock::System.now()).unwrap();
    let request = http::Request::builder().method(method).uri(target).header("authorization", signed);
    let headers = [("accept", "application/json"), ("user-agent", "test"), ("content-type", "application/json")];
    let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
    let request = request.header("wechatpay-serial", serial).body(body).unwrap();
    let Reaction::Reply(reply) = sandbox.handle(request).await else { return None };
    let said: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    let is_parameter = reply.status() == 400 && said["code"] == "PARAM_ERROR" && said["detail"]["field"].is_string();
    is_parameter.then(|| format!("{} {}", said["message"].as_str().unwrap(), said["detail"]["field"].as_str().unwrap()))
}

#[tokio::test]
async fn the_fake_of_wechat_pay_refuses_what_no_page_lists_and_what_is_missing() {
    for (mode, ids, by_sub_merchant) in modes() {
        let identity = identity(&ids);
        let settings = Settings { settlements_by_sub_merchant: by_sub_merchant, ..Settings::default() };
        let sandbox = Sandbox::open(identity.clone(), settings, Clock::System).await.unwrap();
        let mchid = match &ids {
            WechatMode::Common { mchid, .. } => mchid.clone(),
            WechatMode::Institutional { sp_mchid, .. } => sp_mchid.clone(),
        };
        let config = identity.wechat_config_with_public_key("https://gateway.invalid");
        let key = payrun::gateway::keys::SigningKey::from_pem(&config.merchant_key).unwrap();
        let merchant = Merchant { mchid, serial: config.merchant_serial.clone(), key };
        let serial = payrun::sandbox::identity::PUBLIC_KEY_ID;
        for (_, operation, request) in sent(&identity, by_sub_merchant).await {
            let (method, target) = (request.method().clone(), request.uri().to_string());
            let send =
                async |target: &str, body: Bytes| refused(&sandbox, &merchant, &method, target, body, serial).await;
            let as_it_is = send(&target, request.body().clone()).await;
            assert_eq!(as_it_is, None, "{mode} {operation} {target}");
            // Beside what is documented: an id of the other mode's, and one of nobody's, wherever it could stand.
            for odd in ["surprise", "sp_mchid", "mchid"] {
                let row = RequestTable::wechat().find(mode, &method, request.uri().path()).unwrap();
                let documented = |all: &[payrun::sandbox::request_table::Parameter]| {
                    all.iter().any(|parameter| parameter.names.iter().any(|name| name == odd))
                };
                let glue = if target.contains('?') { '&' } else { '?' };
                if !documented(&row.query) {
                    let told = send(&format!("{target}{glue}{odd}=1"), request.body().clone()).await;
                    assert_eq!(told, Some(format!("unknown_parameter {odd}")), "{mode} {operation} query");
                }
                if !documented(&row.body) {
                    let body: Result<Map<String, Value>, _> = serde_json::from_slice(request.body());
                    let mut body = body.unwrap_or_default();
                    body.insert(odd.to_owned(), json!("1"));
                    let told = send(&target, serde_json::to_vec(&body).unwrap().into()).await;
                    assert_eq!(told, Some(format!("unknown_parameter {odd}")), "{mode} {operation} body");
                }
            }
            // Without any one that is required.
            let row = RequestTable::wechat().find(mode, &method, request.uri().path()).unwrap();
            for parameter in row.body.iter().filter(|parameter| parameter.required) {
                let mut body: Value = serde_json::from_slice(request.body()).unwrap();
                for name in &parameter.names {
                    remove(&mut body, name);
                }
                let told = send(&target, serde_json::to_vec(&body).unwrap().into()).await;
                assert_eq!(told, Some(format!("missing_parameter {}", parameter.names.join("/"))), "{operation}");
            }
        }
    }
}

fn remove(body: &mut Value, name: &str) {
    match name.split_once('.') {
        None => {
            body.as_object_mut().unwrap().remove(name);
        }
        Some((first, rest)) => {
            if let Some(inner) = body.get_mut(first) {
                remove(inner, rest);
            }
        }
    }
}
