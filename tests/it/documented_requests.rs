//! The clients and the fakes held to the tables of the gateways' pages (docs/gateways, "Requests"):
//! every request is one that a page documents, with its parameters and no others; and a fake refuses
//! what the page of a call does not list.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use payrun::clock::Clock;
use payrun::config::{WechatConfig, WechatMode};
use payrun::domain::ids::OrderNumber;
use payrun::domain::money::{Amount, Currency};
use payrun::gateway::transport::{Request, Transport};
use payrun::gateway::{Call, Gateway, cbtis, egms, hipopay, wechat};
use payrun::sandbox::shared::keys::SandboxSigningKey;
use payrun::sandbox::shared::request_table::RequestTable;
use payrun::sandbox::wechat::auth::{SCHEME, request_message};
use payrun::sandbox::{FakeGateway, FakeWechat, Reaction, Settings, WechatAccountKeys};
use payrun::sandbox::{cbtis as cbtis_fake, egms as egms_fake, hipopay as hipopay_fake};
use serde_json::{Map, Value, json};

/// A gateway that hears everything and answers nothing.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Request>>);

impl FakeGateway for Recorder {
    fn handle(&self, request: Request) -> Pin<Box<dyn Future<Output = Reaction> + Send + '_>> {
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

/// What WeChat Pay's client is asked, with all a call may be given and with no more than it must;
/// and which rows of the table may come of it.
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
            let currency = if operation.contains("declare") || operation == "identity_check" {
                "CNY"
            } else {
                "HKD"
            };
            calls.push((call(operation, currency, input), row));
        }
    };
    let bare =
        json!({ "description": "Rent", "merchant_category_code": "1011", "contract_id": "C-1" });
    add("deduct", "deduct", &[&deduction, &bare]);
    add(
        "transaction",
        "transaction",
        &[&json!({}), &number, &payment],
    );
    add("contract", "contract", &[&json!({ "contract_id": "C-1" })]);
    add(
        "terminate",
        "terminate",
        &[&json!({ "contract_id": "C-1", "reason": "moved out" })],
    );
    add("order", "order", &[&json!({}), &number, &payment]);
    add("any_order", "order", &[&number, &payment]);
    add(
        "any_order",
        "transaction",
        &[&with(&number, json!({ "way": "deduction" }))],
    );
    let quick_bare = json!({ "auth_code": "134650720866361395", "merchant_category_code": "4111", "description": "Tea" });
    add("micropay", "micropay", &[&quick, &quick_bare]);
    add("cancel", "close", &[&number, &payment]);
    let reverse = json!({ "way": "reverse" });
    add(
        "cancel",
        "micropay_reversal",
        &[&with(&number, reverse.clone()), &with(&payment, reverse)],
    );
    add(
        "cancel",
        "deduction_reversal",
        &[&with(&number, json!({ "way": "deduction" }))],
    );
    let refund = with(&payment, json!({ "paid": "20.00", "reason": "sold out" }));
    add(
        "refund",
        "refund",
        &[&refund, &with(&number, json!({ "paid": "20.00" }))],
    );
    add("refund_query", "refund_query", &[&json!({})]);
    add("refunds", "refunds", &[&number, &payment]);
    add(
        "statement",
        "statement",
        &[&json!({ "date": "2026-11-27" })],
    );
    add(
        "settlements",
        "settlements",
        &[&json!({ "from": "2026-11-20", "to": "2026-11-20" })],
    );
    add("declare", "declare", &[&order, &sub_order]);
    add(
        "declare_query",
        "declare_query",
        &[
            &order,
            &sub_order,
            &json!({ "out_trade_no": "P-1", "customs": "SHENZHEN" }),
        ],
    );
    add("redeclare", "redeclare", &[&order, &sub_order]);
    add(
        "redeclare",
        "modify",
        &[&modify(&order), &modify(&sub_order)],
    );
    let person = json!({ "cert_id": "11010119900307002X", "name": "張三" });
    add(
        "identity_check",
        "identity_check",
        &[&sub_order, &with(&order, person)],
    );
    calls
}

fn modes() -> [(&'static str, WechatMode, bool); 3] {
    let institution = |sub_appid: Option<&str>| WechatMode::Institutional {
        sp_mchid: "1900000002".into(),
        sp_appid: "wxsp".into(),
        sub_mchid: "10000097".into(),
        sub_appid: sub_appid.map(str::to_owned),
    };
    let own = WechatMode::Common {
        mchid: "1900000001".into(),
        appid: "wx0000000000000001".into(),
    };
    [
        ("common", own, false),
        ("institutional", institution(None), true),
        ("institutional", institution(Some("wxsub")), false),
    ]
}

fn identity(mode: &WechatMode) -> WechatAccountKeys {
    let mut identity = WechatAccountKeys::generate().unwrap();
    identity.mode = mode.clone();
    identity
}

/// What the client sends for each call; its keys are configured, so that nothing else is sent.
async fn sent(
    identity: &WechatAccountKeys,
    by_sub_merchant: bool,
) -> Vec<(Call, &'static str, Request)> {
    let recorder = Arc::new(Recorder::default());
    let config = WechatConfig {
        settlements_by_sub_merchant: by_sub_merchant,
        ..identity.wechat_config_with_public_key("https://gateway.invalid")
    };
    let client = wechat::WechatClient::new(
        &config,
        Transport::InProcess(recorder.clone()),
        Clock::System,
    )
    .unwrap();
    let mut sent = Vec::new();
    for (call, row) in wechat_calls() {
        client.call(&call).await;
        let requests = std::mem::take(&mut *recorder.0.lock().unwrap());
        assert_eq!(requests.len(), 1, "{call:?}");
        sent.extend(
            requests
                .into_iter()
                .map(|request| (call.clone(), row, request)),
        );
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
            let row =
                row.unwrap_or_else(|| panic!("no page has {} {}", request.method(), request.uri()));
            assert_eq!(
                row.operation,
                operation,
                "{} {}",
                request.method(),
                request.uri()
            );
            let (query, body) = bytes(&request);
            let checked = row.check_json(query, body);
            assert!(
                checked.is_ok(),
                "{mode} {call:?}: {:?}",
                checked.unwrap_err()
            );
            let known = table.check_headers(request.headers(), &[]);
            assert!(known.is_ok(), "{operation}: {:?}", known.unwrap_err());
            made.insert((row.operation.clone(), row.mode.clone(), row.path.clone()));
        }
    }
    // What the keyring asks for, and what nothing needs to ask for.
    let never = [
        ("certificates", "/v3/global/certificates"),
        ("refund_query", "/v3/global/refunds/id/{refund_id}"),
    ];
    for row in table.rows() {
        let made = made.contains(&(row.operation.clone(), row.mode.clone(), row.path.clone()));
        let never = never.contains(&(row.operation.as_str(), row.path.as_str()));
        assert!(
            made != never,
            "{} ({}) {}: made {made}",
            row.operation,
            row.mode,
            row.path
        );
    }
}

/// The merchant of WeChat Pay's fake.
struct Merchant {
    mchid: String,
    serial: String,
    key: SandboxSigningKey,
}

impl Merchant {
    /// The `Authorization` header of a request that is signed now.
    fn authorize(&self, method: &Method, target: &str, body: &[u8]) -> String {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let nonce = format!("{:032}", SENT.fetch_add(1, Ordering::SeqCst));
        let timestamp = Clock::System.now().seconds().to_string();
        let message = request_message(method.as_str(), target, &timestamp, &nonce, body);
        format!(
            "{SCHEME} mchid=\"{}\",nonce_str=\"{nonce}\",timestamp=\"{timestamp}\",serial_no=\"{}\",signature=\"{}\"",
            self.mchid,
            self.serial,
            self.key.sign(&message).unwrap()
        )
    }
}

/// The message of a refusal and its parameter, or nothing.
async fn refused(
    sandbox: &FakeWechat,
    merchant: &Merchant,
    method: &Method,
    target: &str,
    body: Bytes,
    serial: &str,
) -> Option<String> {
    let signed = merchant.authorize(method, target, &body);
    let request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", signed);
    let headers = [
        ("accept", "application/json"),
        ("user-agent", "test"),
        ("content-type", "application/json"),
    ];
    let request = headers.into_iter().fold(request, |request, (name, value)| {
        request.header(name, value)
    });
    let request = request
        .header("wechatpay-serial", serial)
        .body(body)
        .unwrap();
    let Reaction::Reply(reply) = sandbox.handle(request).await else {
        return None;
    };
    let said: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    let is_parameter = reply.status() == 400
        && said["code"] == "PARAM_ERROR"
        && said["detail"]["field"].is_string();
    is_parameter.then(|| {
        format!(
            "{} {}",
            said["message"].as_str().unwrap(),
            said["detail"]["field"].as_str().unwrap()
        )
    })
}

#[tokio::test]
async fn the_fake_of_wechat_pay_refuses_what_no_page_lists_and_what_is_missing() {
    for (mode, ids, by_sub_merchant) in modes() {
        let identity = identity(&ids);
        let settings = Settings {
            settlements_by_sub_merchant: by_sub_merchant,
            ..Settings::default()
        };
        let sandbox = FakeWechat::open(identity.clone(), settings, Clock::System)
            .await
            .unwrap();
        let mchid = match &ids {
            WechatMode::Common { mchid, .. } => mchid.clone(),
            WechatMode::Institutional { sp_mchid, .. } => sp_mchid.clone(),
        };
        let config = identity.wechat_config_with_public_key("https://gateway.invalid");
        let own = &config.merchant_keys[0];
        let merchant = Merchant {
            mchid,
            serial: own.serial.clone(),
            key: SandboxSigningKey::from_pem(&own.key).unwrap(),
        };
        let serial = payrun::sandbox::wechat::account_keys::PUBLIC_KEY_ID;
        for (_, operation, request) in sent(&identity, by_sub_merchant).await {
            let (method, target) = (request.method().clone(), request.uri().to_string());
            let send = async |target: &str, body: Bytes| {
                refused(&sandbox, &merchant, &method, target, body, serial).await
            };
            let as_it_is = send(&target, request.body().clone()).await;
            assert_eq!(as_it_is, None, "{mode} {operation} {target}");
            // Beside what is documented: an id of the other mode's, and one of nobody's, wherever
            // it could stand.
            for odd in ["surprise", "sp_mchid", "mchid"] {
                let row = RequestTable::wechat()
                    .find(mode, &method, request.uri().path())
                    .unwrap();
                let documented = |all: &[payrun::sandbox::shared::request_table::Parameter]| {
                    all.iter()
                        .any(|parameter| parameter.names.iter().any(|name| name == odd))
                };
                let glue = if target.contains('?') { '&' } else { '?' };
                if !documented(&row.query) {
                    let told =
                        send(&format!("{target}{glue}{odd}=1"), request.body().clone()).await;
                    assert_eq!(
                        told,
                        Some(format!("unknown_parameter {odd}")),
                        "{mode} {operation} query"
                    );
                }
                if !documented(&row.body) {
                    let body: Result<Map<String, Value>, _> =
                        serde_json::from_slice(request.body());
                    let mut body = body.unwrap_or_default();
                    body.insert(odd.to_owned(), json!("1"));
                    let told = send(&target, serde_json::to_vec(&body).unwrap().into()).await;
                    assert_eq!(
                        told,
                        Some(format!("unknown_parameter {odd}")),
                        "{mode} {operation} body"
                    );
                }
            }
            // Without any one that is required.
            let row = RequestTable::wechat()
                .find(mode, &method, request.uri().path())
                .unwrap();
            for parameter in row.body.iter().filter(|parameter| parameter.required) {
                let mut body: Value = serde_json::from_slice(request.body()).unwrap();
                for name in &parameter.names {
                    remove(&mut body, name);
                }
                let told = send(&target, serde_json::to_vec(&body).unwrap().into()).await;
                assert_eq!(
                    told,
                    Some(format!("missing_parameter {}", parameter.names.join("/"))),
                    "{operation}"
                );
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

/// What the clients of the other gateways are asked, and which row of the gateway's table comes of
/// it.
fn other_calls(gateway: &str) -> Vec<(Call, &'static str)> {
    let number = json!({ "out_trade_no": "P-1" });
    let theirs = json!({ "transaction_id": "2018081316331654230251111" });
    let order = json!({
        "out_trade_no": "P-1", "transaction_id": "2018081316331654230251111", "customs": "SHENZHEN",
        "mch_customs_no": "123456789B", "sub_order_no": "S-1", "transport_fee": "4.00", "product_fee": "6.00",
    });
    let with = |base: &Value, more: Value| {
        let mut base = base.as_object().unwrap().clone();
        base.extend(more.as_object().unwrap().clone());
        Value::Object(base)
    };
    let modify = with(&order, json!({ "way": "modify" }));
    let buyer = with(
        &order,
        json!({ "cert_id": "11010119900307002X", "name": "張三", "duty": "0.88" }),
    );
    let whole =
        json!({ "out_trade_no": "P-1", "customs": "SHENZHEN", "mch_customs_no": "123456789B" });
    let calls = match gateway {
        "hipopay" => {
            let payment = json!({ "description": "Tea", "appid": "wx1", "openid": "o-1", "client_ip": "10.1.1.1" });
            vec![
                (
                    "mini_program_payment",
                    "HKD",
                    payment.clone(),
                    "mini_program_payment",
                ),
                (
                    "mini_program_payment",
                    "CNY",
                    with(
                        &payment,
                        json!({ "is_rmb": "TRUE", "settlement_currency": "USD" }),
                    ),
                    "mini_program_payment",
                ),
                ("payment_query", "HKD", number.clone(), "payment_query"),
                ("payment_query", "HKD", theirs.clone(), "payment_query"),
                ("refund", "HKD", theirs.clone(), "refund"),
                ("refund_query", "HKD", json!({}), "refund_query"),
                (
                    "exchange_rate",
                    "HKD",
                    json!({ "of": "USD" }),
                    "exchange_rate",
                ),
                (
                    "statement",
                    "HKD",
                    json!({ "date": "2026-11-27" }),
                    "statement",
                ),
                ("declare", "CNY", order.clone(), "declare"),
                ("declare", "CNY", buyer, "declare"),
                ("declare_query", "CNY", order.clone(), "declare_query"),
                ("redeclare", "CNY", order, "redeclare"),
                ("redeclare", "CNY", modify, "declare"),
            ]
        }
        "egms" => {
            let undo = with(
                &number,
                json!({ "reason": "sold out", "trans_time": "2026-11-28T10:00:00+08:00" }),
            );
            let payment = json!({
                "platform": "MINI", "openid": "o-1", "appid": "wx1", "valid_minutes": "5",
                "return_url": "https://example.com/back", "merchant_category_code": "5411",
            });
            vec![
                ("payment", "HKD", json!({}), "payment"),
                ("payment", "HKD", payment, "payment"),
                ("payment_query", "HKD", number.clone(), "payment_query"),
                ("cancel", "HKD", undo.clone(), "cancel"),
                ("cancel_query", "HKD", number.clone(), "cancel_query"),
                ("refund", "HKD", undo, "refund"),
                ("refund_query", "HKD", number, "refund_query"),
            ]
        }
        _ => {
            let page = json!({
                "description": "Tea", "flow": "official_account", "success_url": "https://example.com/a",
                "failed_url": "https://example.com/b", "canceled_url": "https://example.com/c",
                "settlement_currency": "HKD",
            });
            let mini = json!({ "description": "Tea", "flow": "mini_program", "appid": "wx1", "openid": "o-1" });
            vec![
                ("payment_create", "HKD", page, "payment_create"),
                ("payment_create", "HKD", mini, "payment_create"),
                ("payment_query", "HKD", number.clone(), "payment_query"),
                ("payment_query", "HKD", theirs.clone(), "payment_query"),
                (
                    "refund",
                    "HKD",
                    with(&number, json!({ "reason": "sold out" })),
                    "refund",
                ),
                ("refund", "HKD", theirs, "refund"),
                ("refund_query", "HKD", json!({}), "refund_query"),
                ("declare", "CNY", whole.clone(), "declare"),
                ("declare", "CNY", order.clone(), "declare"),
                ("declare_query", "CNY", whole.clone(), "declare_query"),
                ("redeclare", "CNY", whole, "redeclare"),
                ("redeclare", "CNY", modify, "modify"),
            ]
        }
    };
    calls
        .into_iter()
        .map(|(operation, currency, input, row)| (call(operation, currency, &input), row))
        .collect()
}

/// A gateway's client that sends to a recorder, and its fake.
struct Other {
    gateway: &'static str,
    table: &'static RequestTable,
    client: Box<dyn Gateway>,
    recorder: Arc<Recorder>,
    fake: Arc<dyn FakeGateway>,
    /// Signs a request as the client does, after it was changed.
    sign: Box<dyn Fn(&mut Request)>,
}

fn others() -> Vec<Other> {
    let base = "https://gateway.invalid";
    let recorder = || Arc::new(Recorder::default());
    let (to_hipopay, to_egms, to_cbtis) = (recorder(), recorder(), recorder());
    let into = |recorder: &Arc<Recorder>| Transport::InProcess(recorder.clone());
    let clock = || Clock::System;
    let identity = hipopay_fake::HipopayAccountKeys::generate().unwrap();
    let config = identity.config(base);
    let key = SandboxSigningKey::from_pem(&config.merchant_key).unwrap();
    let hipopay = Other {
        gateway: "hipopay",
        table: RequestTable::hipopay(),
        client: Box::new(hipopay::HipopayClient::new(&config, into(&to_hipopay), clock()).unwrap()),
        recorder: to_hipopay,
        fake: hipopay_fake::FakeHipopay::open(&identity, Settings::default(), clock()).unwrap(),
        sign: Box::new(move |request| {
            let timestamp = request.headers()["timestamp"].to_str().unwrap().to_owned();
            let pairs = hipopay_fake::auth::parse_form(form(request).as_bytes()).unwrap();
            let message = hipopay_fake::auth::request_message(&pairs, &timestamp);
            let signature = key.sign(message.as_bytes()).unwrap();
            request
                .headers_mut()
                .insert("signature", signature.parse().unwrap());
        }),
    };
    let identity = egms_fake::EgmsAccountKeys::generate().unwrap();
    let config = identity.config(base);
    let key = egms_fake::auth::SandboxSignKey::new(config.sign_keys[0].clone(), config.sign_type);
    let egms = Other {
        gateway: "egms",
        table: RequestTable::egms(),
        client: Box::new(egms::EgmsClient::new(&config, into(&to_egms), clock()).unwrap()),
        recorder: to_egms,
        fake: egms_fake::FakeEgms::open(&identity, Settings::default(), clock()),
        sign: Box::new(move |request| {
            let header = |name: &str| request.headers()[name].to_str().unwrap().to_owned();
            let (date_time, msg_id, target) = (
                header("datetime"),
                header("msgid"),
                request.uri().to_string(),
            );
            let method = request.method().as_str().to_owned();
            let message = egms_fake::auth::SignedParts {
                method: &method,
                target: &target,
                date_time: &date_time,
                msg_id: &msg_id,
                body: request.body(),
            };
            let signature = key.sign(message).unwrap();
            request
                .headers_mut()
                .insert("authorization", signature.parse().unwrap());
        }),
    };
    let identity = cbtis_fake::CbtisAccountKeys::generate().unwrap();
    let mut config = identity.config_with_fixed_token(base);
    config.customs.amounts = Some(payrun::config::CustomsAmounts::Cents);
    let cbtis = Other {
        gateway: "cbtis",
        table: RequestTable::cbtis(),
        client: Box::new(cbtis::CbtisClient::new(&config, into(&to_cbtis), clock()).unwrap()),
        recorder: to_cbtis,
        fake: cbtis_fake::FakeCbtis::open(
            &identity,
            Settings::default(),
            Duration::from_secs(3_600),
            clock(),
        ),
        sign: Box::new(|_| {}),
    };
    vec![hipopay, egms, cbtis]
}

/// The parameters of a form: of a GET its query, of a POST its body.
fn form(request: &Request) -> String {
    match *request.method() {
        Method::GET => request.uri().query().unwrap_or_default().to_owned(),
        _ => String::from_utf8(request.body().to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn every_request_of_the_other_clients_is_as_its_page_says_and_the_fakes_refuse_any_other() {
    for other in others() {
        let mut made = BTreeSet::new();
        for (call, operation) in other_calls(other.gateway) {
            other.client.call(&call).await;
            let mut requests = std::mem::take(&mut *other.recorder.0.lock().unwrap());
            assert_eq!(requests.len(), 1, "{} {call:?}", other.gateway);
            let request = requests.remove(0);
            let row = other
                .table
                .find("any", request.method(), request.uri().path());
            let row =
                row.unwrap_or_else(|| panic!("no page has {} {}", request.method(), request.uri()));
            assert_eq!(
                row.operation,
                operation,
                "{} {}",
                request.method(),
                request.uri()
            );
            let checked = if other.gateway == "hipopay" {
                row.check_form(&hipopay_fake::auth::parse_form(form(&request).as_bytes()).unwrap())
            } else {
                let (query, body) = bytes(&request);
                row.check_json(query, body)
            };
            assert!(checked.is_ok(), "{call:?}: {:?}", checked.unwrap_err());
            let known = other.table.check_headers(request.headers(), &[]);
            assert!(known.is_ok(), "{operation}: {:?}", known.unwrap_err());
            made.insert(row.operation.clone());
            assert!(
                !is_refused_for_its_shape(&other, request.clone()).await,
                "{operation}"
            );
            for changed in [
                in_query(&request),
                in_body(&request, other.gateway),
                in_headers(&request),
            ] {
                let Some(mut changed) = changed else { continue };
                (other.sign)(&mut changed);
                assert!(
                    is_refused_for_its_shape(&other, changed).await,
                    "{operation}"
                );
            }
        }
        // A declaration that is modified is told from a new one by a parameter, where the path is
        // the same.
        let rows = other.table.rows().iter().map(|row| row.operation.clone());
        let missing: Vec<String> = rows
            .filter(|row| row != "modify" && !made.contains(row))
            .collect();
        assert!(missing.is_empty(), "{}: {missing:?}", other.gateway);
    }
}

async fn is_refused_for_its_shape(other: &Other, request: Request) -> bool {
    let Reaction::Reply(reply) = other.fake.handle(request).await else {
        panic!("{} says nothing", other.gateway)
    };
    let said: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
    match other.gateway {
        "hipopay" => said["error_message"] == "unknown_parameter",
        "egms" => said["result"]["code"] == "V0009",
        _ => said["code"] == 400_001,
    }
}

fn in_query(request: &Request) -> Option<Request> {
    let glue = if request.uri().query().is_some() {
        '&'
    } else {
        '?'
    };
    let mut changed = request.clone();
    *changed.uri_mut() = format!("{}{glue}surprise=1", request.uri())
        .parse()
        .unwrap();
    Some(changed)
}

fn in_body(request: &Request, gateway: &str) -> Option<Request> {
    if request.method() == Method::GET {
        return None;
    }
    let mut changed = request.clone();
    *changed.body_mut() = if gateway == "hipopay" {
        format!("{}&surprise=1", form(request)).into()
    } else {
        let mut body: Map<String, Value> = serde_json::from_slice(request.body()).unwrap();
        body.insert("surprise".to_owned(), json!(1));
        serde_json::to_vec(&body).unwrap().into()
    };
    Some(changed)
}

fn in_headers(request: &Request) -> Option<Request> {
    let mut changed = request.clone();
    changed
        .headers_mut()
        .insert("x-surprise", "1".parse().unwrap());
    Some(changed)
}
