//! What the fakes write is what the parser reads; client and fake against each other, in process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::faults::FaultPlan;
use crate::hipopay::{self, FakeHipopay};
use crate::{FakeWechat, WechatAccountKeys};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::{Amount, Currency};
use payrun_gateway::statement::{self, StatementFormat, StatementLineKind};
use payrun_gateway::transport::Transport;
use payrun_gateway::{
    Call, Delivery, Gateway, Observation, hipopay as hipopay_client, wechat as wechat_client,
};
use payrun_system::clock::Clock;

const TIMEOUT: Duration = Duration::from_millis(1_000);

fn settings(plan: FaultPlan) -> Settings {
    Settings {
        plan,
        timeout: TIMEOUT,
        ..Settings::default()
    }
}

fn call(operation: &str, input: Value) -> Call {
    let Value::Object(input) = input else {
        panic!("{input}")
    };
    Call {
        operation: operation.into(),
        order_no: OrderNumber::parse("S-1").unwrap(),
        input,
        amount: None,
        timeout: TIMEOUT,
    }
}

fn today() -> NaiveDate {
    day_of(Clock::System.now())
}

fn day(ago: u64) -> Value {
    json!({ "date": today().checked_sub_days(chrono::Days::new(ago)).unwrap().to_string() })
}

fn identity() -> WechatAccountKeys {
    static ONE: OnceLock<WechatAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| WechatAccountKeys::generate().unwrap())
        .clone()
}

struct Wechat {
    sandbox: Arc<FakeWechat>,
    client: wechat_client::WechatClient,
}

impl Wechat {
    async fn new(settings: Settings) -> Self {
        Self::of(identity(), settings).await
    }

    async fn of(identity: WechatAccountKeys, settings: Settings) -> Self {
        let config = identity.wechat_config("https://sandbox.invalid");
        let sandbox = FakeWechat::open(identity, settings, Clock::System)
            .await
            .unwrap();
        let transport = Transport::InProcess(sandbox.clone());
        let client = wechat_client::WechatClient::new(&config, transport, Clock::System).unwrap();
        client.probe().await;
        Self { sandbox, client }
    }

    /// Charges this often.
    async fn charge(&self, count: usize) {
        self.charge_in(&vec!["HKD"; count]).await;
    }

    /// Charges once in each of these currencies.
    async fn charge_in(&self, currencies: &[&str]) {
        for (n, currency) in currencies.iter().enumerate() {
            let mut deduction = call(
                "deduct",
                json!({ "contract_id": format!("C-{n}"), "description": "Rent", "merchant_category_code": "1011" }),
            );
            deduction.order_no = OrderNumber::parse(&format!("W-{n}")).unwrap();
            deduction.amount = Amount::from_minor(1_250, Currency::parse(currency).unwrap()).ok();
            assert_eq!(
                self.client.call(&deduction).await.delivery,
                Delivery::Replied
            );
        }
    }

    async fn statement(&self, ago: u64) -> Observation {
        self.client.call(&call("statement", day(ago))).await
    }

    async fn settlements(&self) -> Observation {
        let window = json!({ "from": today().pred_opt().unwrap().to_string(), "to": today().succ_opt().unwrap().to_string() });
        self.client.call(&call("settlements", window)).await
    }
}

fn hipopay_identity() -> hipopay::HipopayAccountKeys {
    static ONE: OnceLock<hipopay::HipopayAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| hipopay::HipopayAccountKeys::generate().unwrap())
        .clone()
}

struct Hipo {
    fake: Arc<FakeHipopay>,
    client: hipopay_client::HipopayClient,
}

impl Hipo {
    fn new(settings: Settings) -> Self {
        let identity = hipopay_identity();
        let fake = FakeHipopay::open(&identity, settings, Clock::System).unwrap();
        let transport = Transport::InProcess(fake.clone());
        let config = identity.config("https://sandbox.invalid");
        Self {
            fake,
            client: hipopay_client::HipopayClient::new(&config, transport, Clock::System).unwrap(),
        }
    }

    async fn statement(&self, ago: u64) -> Observation {
        self.client.call(&call("statement", day(ago))).await
    }
}

fn hkd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("HKD").unwrap()).unwrap()
}

fn code(seen: &Observation) -> Option<&str> {
    assert_eq!(
        (&seen.delivery, &seen.file),
        (&Delivery::Replied, &None),
        "{seen:?}"
    );
    seen.code.as_deref()
}

/// A file that was fetched, which is in no evidence.
fn file(seen: &Observation) -> &[u8] {
    assert_eq!(
        (&seen.delivery, seen.evidence.as_str()),
        (&Delivery::Replied, ""),
        "{seen:?}"
    );
    let file = seen.file.as_deref().unwrap();
    assert_eq!(seen.result["bytes"], json!(file.len()));
    assert_eq!(seen.receipt.as_deref().map(str::len), Some(64));
    file
}

#[tokio::test]
async fn wechats_statement_lists_what_was_charged_and_passes_for_nothing_else() {
    let rig = Wechat::new(settings(FaultPlan::NONE)).await;
    assert_eq!(code(&rig.statement(0).await), Some("NO_STATEMENT_EXIST"));
    rig.charge(3).await;
    let seen = rig.statement(0).await;
    let statement = statement::read(StatementFormat::Wechat, file(&seen)).unwrap();
    let listed: Vec<_> = statement
        .lines
        .iter()
        .map(|line| (line.kind, line.amount))
        .collect();
    assert_eq!(
        listed,
        vec![(StatementLineKind::Payment, Some(hkd("12.50"))); 3]
    );
    for line in &statement.lines {
        let order = rig.sandbox.order(&line.order_no).await.unwrap().unwrap();
        assert_eq!(
            (&order.transaction_id, line.state.as_str()),
            (&line.transaction_id, "SUCCESS")
        );
    }
    assert_eq!(statement.totals.unwrap().count, 3);
    assert_eq!(seen.result["sha1"].as_str().map(str::len), Some(40));
    assert_eq!(seen.order_no, None);
    assert_eq!(code(&rig.statement(1).await), Some("NO_STATEMENT_EXIST"));
    assert_eq!(code(&rig.statement(181).await), Some("PARAM_ERROR"));
}

#[tokio::test]
async fn hipopays_bill_lists_payments_and_refunds() {
    let rig = Hipo::new(settings(FaultPlan::NONE));
    assert_eq!(code(&rig.statement(0).await), Some("BILL_NOT_FOUND"));
    let payment_no = rig.fake.seed("P-1", hkd("10.00"));
    let mut refund = call("refund", json!({ "transaction_id": payment_no }));
    refund.amount = Some(hkd("4.00"));
    assert_eq!(
        rig.client.call(&refund).await.state.as_deref(),
        Some("SUCCESS")
    );
    let seen = rig.statement(0).await;
    let lines = statement::read(StatementFormat::Hipopay, file(&seen))
        .unwrap()
        .lines;
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| (line.kind, line.order_no.as_str(), line.amount))
        .collect();
    assert_eq!(
        numbers,
        [
            (StatementLineKind::Payment, "P-1", Some(hkd("10.00"))),
            (StatementLineKind::Refund, "P-1", Some(hkd("4.00")))
        ]
    );
    assert_eq!(lines[1].refund_id, rig.fake.refund("S-1").unwrap().theirs);
    assert_eq!(lines[1].transaction_id, payment_no);
    assert_eq!(code(&rig.statement(120).await), Some("PARAM_ERROR"));
}

#[tokio::test]
async fn a_file_may_be_longer_than_any_other_reply() {
    let identity = hipopay_identity();
    let fake = FakeHipopay::open(&identity, settings(FaultPlan::NONE), Clock::System).unwrap();
    (0..3_000).for_each(|n| drop(fake.seed(&format!("P-{n}"), hkd("10.00"))));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = identity.config(&format!("http://{}", listener.local_addr().unwrap()));
    let served = crate::Gateways {
        hipopay: Some(fake),
        ..Default::default()
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(crate::server::serve(served, listener, async {
        drop(stopped.await)
    }));
    let transport = Transport::http(1, TIMEOUT).unwrap();
    let client = hipopay_client::HipopayClient::new(&config, transport, Clock::System).unwrap();
    let seen = client
        .call(&Call {
            timeout: Duration::from_secs(20),
            ..call("statement", day(0))
        })
        .await;
    drop(stop);
    assert!(file(&seen).len() > payrun_gateway::REPLY_MAX);
    assert_eq!(
        statement::read(StatementFormat::Hipopay, file(&seen))
            .unwrap()
            .lines
            .len(),
        3_000
    );
}

#[tokio::test]
async fn an_institution_gets_the_statement_and_the_batches_of_its_sub_merchant() {
    let institution = payrun_project::config::WechatMode::Institutional {
        sp_mchid: "1900000002".into(),
        sp_appid: "wxsp".into(),
        sub_mchid: "10000097".into(),
        sub_appid: None,
    };
    let mut identity = identity();
    identity.mode = institution;
    let rig = Wechat::of(identity, settings(FaultPlan::NONE)).await;
    rig.charge(1).await;
    assert_eq!(
        statement::read(StatementFormat::Wechat, file(&rig.statement(0).await))
            .unwrap()
            .lines
            .len(),
        1
    );
    assert_eq!(rig.settlements().await.records.len(), 1);
}

#[tokio::test]
async fn batches_come_from_as_many_pages_as_there_are() {
    let rig = Wechat::new(settings(FaultPlan::NONE)).await;
    let currencies = [
        "HKD", "USD", "CNY", "JPY", "KRW", "GBP", "EUR", "AUD", "CAD", "NZD", "THB", "SGD", "CHF",
        "SEK", "NOK", "DKK", "VND", "MYR", "PHP", "IDR",
    ];
    rig.charge_in(&currencies).await;
    let seen = rig.settlements().await;
    let mut found: Vec<_> = seen
        .records
        .iter()
        .map(|batch| batch["currency"].as_str().unwrap())
        .collect();
    let mut expected = currencies;
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(seen.state.as_deref(), Some("SETTLED"));
    let read = statement::read(StatementFormat::Wechat, file(&rig.statement(0).await)).unwrap();
    assert_eq!(read.lines.len(), currencies.len());
}

#[tokio::test]
async fn a_late_statement_is_refused_until_it_is_there() {
    let late = Settings {
        statements: StatementDelay::AfterRequests(2),
        ..settings(FaultPlan::NONE)
    };
    let rig = Wechat::new(late.clone()).await;
    rig.charge(1).await;
    assert_eq!(code(&rig.statement(0).await), Some("STATEMENT_CREATING"));
    assert_eq!(code(&rig.statement(1).await), Some("STATEMENT_CREATING"));
    assert_eq!(code(&rig.statement(0).await), Some("STATEMENT_CREATING"));
    assert!(rig.statement(0).await.file.is_some());
    let rig = Hipo::new(late);
    rig.fake.seed("P-1", hkd("10.00"));
    assert_eq!(code(&rig.statement(0).await), Some("BILL_NOT_FOUND"));
    assert_eq!(code(&rig.statement(0).await), Some("BILL_NOT_FOUND"));
    assert!(rig.statement(0).await.file.is_some());
}

#[tokio::test]
async fn no_fault_ever_yields_a_file_that_is_not_the_statement() {
    for fault in Fault::ALL {
        let seeds = if fault == Fault::WrongSignature { 8 } else { 1 };
        for seed in 0..seeds {
            let plan = FaultPlan {
                on: Some(CallKind::Query),
                seed,
                ..FaultPlan::only(fault)
            };
            let mut settings = settings(plan);
            settings.timeout = Duration::from_millis(200);
            let wechat = Wechat::new(settings.clone()).await;
            wechat.charge(1).await;
            let hipopay = Hipo::new(settings);
            hipopay.fake.seed("P-1", hkd("10.00"));
            for (seen, format) in [
                (wechat.statement(0).await, StatementFormat::Wechat),
                (hipopay.statement(0).await, StatementFormat::Hipopay),
            ] {
                let whole = seen
                    .file
                    .as_ref()
                    .map(|file| statement::read(format, file).unwrap().lines.len());
                assert!(matches!(whole, None | Some(1)), "{fault}: {seen:?}");
                assert_eq!(seen.file.is_some(), seen.receipt.is_some(), "{fault}");
                assert!(
                    !seen.evidence.contains("oUpF8") && !seen.evidence.contains("P-1"),
                    "{fault}: {seen:?}"
                );
                let fits = match fault {
                    Fault::WrongSignature if format == StatementFormat::Wechat => {
                        matches!(seen.delivery, Delivery::Unverified(_))
                    }
                    Fault::WrongSignature | Fault::Truncated => {
                        matches!(seen.delivery, Delivery::Unreadable(_))
                    }
                    Fault::Refused => matches!(seen.delivery, Delivery::Unreachable(..)),
                    Fault::ResetBefore => matches!(seen.delivery, Delivery::Lost(_)),
                    Fault::SilentBefore => seen.delivery == Delivery::TimedOut,
                    Fault::Limited => seen.http == Some(429),
                    Fault::ErrorBefore => seen.http.is_some_and(|http| http >= 500),
                    Fault::ResetAfter
                    | Fault::SilentAfter
                    | Fault::ErrorAfter
                    | Fault::OtherAmount
                    | Fault::UnmappedCode
                    | Fault::Pending
                    | Fault::LateVisible
                    | Fault::SoftDecline
                    | Fault::HardDecline
                    | Fault::Slow => whole == Some(1),
                };
                assert!(fits, "{fault}: {seen:?}");
            }
            assert!(
                wechat.statement(0).await.file.is_some()
                    && hipopay.statement(0).await.file.is_some(),
                "{fault}"
            );
        }
    }
}

#[tokio::test]
async fn settlement_batches_move_from_unsettle_to_settled() {
    let rig = Wechat::new(Settings {
        unsettled: 2,
        ..settings(FaultPlan::NONE)
    })
    .await;
    rig.charge(3).await;
    for _ in 0..2 {
        let seen = rig.settlements().await;
        assert_eq!(
            (&seen.delivery, seen.state.as_deref(), &seen.receipt),
            (&Delivery::Replied, Some("UNSETTLE"), &None)
        );
        assert_eq!(seen.records.len(), 1);
        assert_eq!(
            (&seen.records[0]["unsettle"], &seen.records[0]["settled"]),
            (&json!(3_750), &json!(0))
        );
    }
    let seen = rig.settlements().await;
    assert_eq!(
        (seen.state.as_deref(), seen.result["batches"].as_u64()),
        (Some("SETTLED"), Some(1))
    );
    let today = compact(today());
    let expected = json!({
        "batch_id": format!("{today}HKD"), "settle_state": "SETTLED", "settlement_date": today, "trade_start_date": today,
        "trade_end_date": today, "currency": "HKD", "settled": 3_750, "unsettle": 0, "pay": 3_750, "refund": 0,
        "net": 3_750, "fee": 0, "wallet_region": "CHINA_HONGKONG",
    });
    assert_eq!(Value::Object(seen.records[0].clone()), expected);
    assert_eq!(rig.settlements().await.receipt, seen.receipt);
}

#[tokio::test]
async fn settlements_that_cannot_be_read_whole_are_not_reported() {
    for fault in [
        Fault::WrongSignature,
        Fault::Truncated,
        Fault::ErrorBefore,
        Fault::ResetBefore,
    ] {
        let plan = FaultPlan {
            on: Some(CallKind::Query),
            ..FaultPlan::only(fault)
        };
        let rig = Wechat::new(settings(plan)).await;
        rig.charge(1).await;
        // The first asks for what is not settled, the second gets as far as what is.
        for _ in 0..2 {
            let seen = rig.settlements().await;
            assert!(
                seen.records.is_empty() && seen.receipt.is_none() && seen.state.is_none(),
                "{fault}: {seen:?}"
            );
        }
        assert_eq!(rig.settlements().await.records.len(), 1, "{fault}");
    }
}

#[tokio::test]
async fn a_day_that_is_no_date_and_a_window_that_is_none_are_not_sent() {
    let rig = Wechat::new(settings(FaultPlan::NONE)).await;
    for input in [
        json!({}),
        json!({ "date": "20261122" }),
        json!({ "date": "2026-02-30" }),
        json!({ "date": "2026-2-3" }),
    ] {
        let seen = rig.client.call(&call("statement", input)).await;
        assert!(matches!(seen.delivery, Delivery::Unsendable(_)), "{seen:?}");
    }
    let backwards = json!({ "from": "2026-11-22", "to": "2026-11-21" });
    assert!(matches!(
        rig.client
            .call(&call("settlements", backwards))
            .await
            .delivery,
        Delivery::Unsendable(_)
    ));
    assert_eq!(
        rig.sandbox
            .totals()
            .await
            .unwrap()
            .refused
            .get("wrong_query"),
        None
    );
}

fn trades() -> impl Strategy<Value = Vec<Trade>> {
    let number = "[A-Za-z0-9_-]{0,32}";
    let kind = prop_oneof![
        Just(TradeKind::Paid),
        Just(TradeKind::Revoked),
        (number, "[0-9]{1,32}", any::<bool>()).prop_map(|(number, theirs, processing)| {
            TradeKind::Refunded {
                number,
                theirs,
                processing,
            }
        }),
    ];
    let currency = prop::sample::select(vec!["HKD", "JPY", "CNY", "KRW", "USD"]);
    let minor = prop_oneof![1..100_i64, 1..1_000_000_000_000_i64];
    let trade = (
        kind,
        0..4_000_000_000_000_i64,
        number,
        "[0-9]{1,32}",
        currency,
        minor,
    )
        .prop_map(|(kind, at, number, theirs, currency, minor)| Trade {
            kind,
            at: Timestamp::from_millis(at),
            number,
            theirs,
            currency: currency.to_owned(),
            minor,
        });
    prop::collection::vec(trade, 1..20)
}

/// A line as its trade should be read, without what differs between the formats.
fn expected(trade: &Trade) -> (StatementLineKind, String, String, String, Option<Amount>) {
    let line_kind = match trade.kind {
        TradeKind::Paid => StatementLineKind::Payment,
        TradeKind::Revoked => StatementLineKind::Reversal,
        TradeKind::Refunded { .. } => StatementLineKind::Refund,
    };
    let amount = Amount::from_minor(trade.minor, Currency::parse(&trade.currency).unwrap()).ok();
    (
        line_kind,
        written(trade.at),
        trade.number.clone(),
        trade.theirs.clone(),
        amount,
    )
}

fn shown(line: &statement::Line) -> (StatementLineKind, String, String, String, Option<Amount>) {
    (
        line.kind,
        line.time.clone(),
        line.order_no.clone(),
        line.transaction_id.clone(),
        line.amount,
    )
}

proptest! {
    #[test]
    fn what_wechats_twin_writes_is_what_is_read(trades in trades()) {
        let mode = payrun_project::config::WechatMode::Common { mchid: "1900000001".into(), appid: "wx1".into() };
        let mut file = crate::wechat::statements::StatementFile::new(&mode);
        trades.iter().for_each(|trade| file.add(trade));
        let read = statement::read(StatementFormat::Wechat, &file.finish()).unwrap();
        prop_assert_eq!(read.lines.iter().map(shown).collect::<Vec<_>>(), trades.iter().map(expected).collect::<Vec<_>>());
        prop_assert_eq!(read.totals.unwrap().count, u64::try_from(trades.len()).unwrap());
        for (line, trade) in read.lines.iter().zip(&trades) {
            let refund = match &trade.kind {
                TradeKind::Refunded { number, theirs, processing } => {
                    let state = if *processing { "PROCESSING" } else { "SUCCESS" };
                    (number.as_str(), theirs.as_str(), state, Some(-trade.minor))
                }
                TradeKind::Paid => ("", "", "SUCCESS", Some(trade.minor)),
                TradeKind::Revoked => ("", "", "REVOKED", None),
            };
            let settled = line.settled.map(|settled| settled.minor);
            prop_assert_eq!((line.refund_no.as_str(), line.refund_id.as_str(), line.state.as_str(), settled), refund);
        }
    }

    #[test]
    fn what_hipopays_twin_writes_is_what_is_read(trades in trades()) {
        let trades: Vec<_> = trades.into_iter().filter(|trade| trade.kind != TradeKind::Revoked).collect();
        let days = today()..=today();
        let Some(file) = hipopay::write(&days, trades.iter().cloned()) else {
            prop_assert!(trades.is_empty());
            return Ok(());
        };
        let read = statement::read(StatementFormat::Hipopay, &file).unwrap().lines;
        prop_assert_eq!(read.iter().map(shown).collect::<Vec<_>>(), trades.iter().map(expected).collect::<Vec<_>>());
        for (line, trade) in read.iter().zip(&trades) {
            let left = trade.minor - trade.minor / 100;
            let settled = if line.kind == StatementLineKind::Refund { -left } else { left };
            prop_assert_eq!(line.settled.map(|settled| settled.minor), Some(settled));
        }
    }
}
