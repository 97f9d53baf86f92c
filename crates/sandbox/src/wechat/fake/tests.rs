//! WechatClient and sandbox against each other, in-process and over loopback.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;

use super::*;
use crate::faults::{CallKind, Fault, FaultPlan, Level};
use crate::server;
use crate::wechat::auth::{SCHEME, authorization, request_message};
use crate::wechat::order_book::ChargedSum;
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;
use payrun_gateway::wechat::{Transport, WechatClient};
use payrun_gateway::{Call, Delivery, Gateway, NoConnection, Observation};

const TIMEOUT: Duration = Duration::from_millis(1_000);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn identity() -> WechatAccountKeys {
    static ONE: OnceLock<WechatAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| WechatAccountKeys::generate().unwrap())
        .clone()
}

fn with_plan(plan: FaultPlan) -> Settings {
    Settings {
        plan,
        timeout: TIMEOUT,
        late: Duration::from_secs(1),
        ..Settings::default()
    }
}

/// A client and its sandbox; over sockets the server stops when this is dropped.
struct ConnectedWechat {
    sandbox: Arc<FakeWechat>,
    client: WechatClient,
    _stop: Option<oneshot::Sender<()>>,
}

async fn open(settings: Settings, clock: Clock) -> Arc<FakeWechat> {
    FakeWechat::open(identity(), settings, clock).await.unwrap()
}

async fn in_process(settings: Settings) -> ConnectedWechat {
    let sandbox = open(settings, Clock::System).await;
    let config = identity().wechat_config("https://sandbox.invalid");
    let client = WechatClient::new(
        &config,
        Transport::InProcess(sandbox.clone()),
        Clock::System,
    )
    .unwrap();
    client.probe().await;
    ConnectedWechat {
        sandbox,
        client,
        _stop: None,
    }
}

async fn over_sockets(settings: Settings) -> ConnectedWechat {
    let sandbox = open(settings, Clock::System).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = identity().wechat_config(&format!("http://{}", listener.local_addr().unwrap()));
    let (stop, stopped) = oneshot::channel::<()>();
    tokio::spawn(server::serve(sandbox.clone(), listener, async {
        let _ = stopped.await;
    }));
    let client =
        WechatClient::new(&config, Transport::http(8, TIMEOUT).unwrap(), Clock::System).unwrap();
    client.probe().await;
    ConnectedWechat {
        sandbox,
        client,
        _stop: Some(stop),
    }
}

fn call(operation: &str, number: &str, contract: &str) -> Call {
    let mut input = Map::new();
    for (field, value) in [
        ("contract_id", contract),
        ("description", "Rent"),
        ("merchant_category_code", "1011"),
    ] {
        input.insert(field.into(), value.into());
    }
    Call {
        operation: operation.into(),
        order_no: OrderNumber::parse(number).unwrap(),
        input,
        amount: Some(Amount::from_minor(1_250, Currency::parse("HKD").unwrap()).unwrap()),
        timeout: TIMEOUT,
    }
}

impl ConnectedWechat {
    async fn deduct(&self, number: &str) -> Observation {
        self.client
            .call(&call("deduct", number, &format!("C-{number}")))
            .await
    }

    async fn query(&self, number: &str) -> Observation {
        self.client.call(&call("transaction", number, "")).await
    }

    async fn charged(&self, number: &str) -> u32 {
        self.sandbox
            .order(number)
            .await
            .unwrap()
            .map_or(0, |order| order.charged)
    }
}

/// One fault through the client: what it observes, what the books say, and that sending again never
/// charges twice.
async fn meet(rig: &ConnectedWechat, fault: Fault) {
    let number = fault.as_str();
    let seen = rig.deduct(number).await;
    let charged = rig.charged(number).await;
    let lost = matches!(seen.delivery, Delivery::Lost(_));
    let replied = seen.delivery == Delivery::Replied;
    let code = seen.code.as_deref();
    let fits = match fault {
        Fault::Refused => {
            (lost || matches!(seen.delivery, Delivery::Unreachable(..))) && charged == 0
        }
        Fault::ResetBefore => lost && charged == 0,
        Fault::ResetAfter | Fault::LateVisible => lost && charged == 1,
        Fault::SilentBefore => seen.delivery == Delivery::TimedOut && charged == 0,
        Fault::SilentAfter => seen.delivery == Delivery::TimedOut && charged == 1,
        Fault::ErrorBefore => replied && matches!(seen.http, Some(500 | 502)) && charged == 0,
        Fault::ErrorAfter => replied && matches!(seen.http, Some(500 | 502)) && charged == 1,
        Fault::Limited => {
            replied
                && code == Some("FREQUENCY_LIMITED")
                && seen.retry_after == Some(Duration::from_secs(1))
                && charged == 0
        }
        Fault::WrongSignature => matches!(seen.delivery, Delivery::Unverified(_)) && charged == 1,
        Fault::Truncated => matches!(seen.delivery, Delivery::Unreadable(_)) && charged == 1,
        Fault::OtherAmount => {
            replied
                && seen.amount.as_ref().unwrap().as_ref().unwrap().minor() == 1_251
                && charged == 1
        }
        Fault::UnmappedCode => replied && code == Some("SANDBOX_UNMAPPED"),
        Fault::Pending => replied && seen.state.as_deref() == Some("USERPAYING") && charged == 0,
        Fault::SoftDecline => replied && code == Some("NOT_ENOUGH") && charged == 0,
        Fault::HardDecline => replied && seen.http == Some(403) && charged == 0,
        Fault::Slow => {
            (seen.delivery == Delivery::TimedOut || seen.state.as_deref() == Some("SUCCESS"))
                && charged == 1
        }
    };
    assert!(fits, "{fault}: charged {charged}, observed {seen:?}");
    assert_eq!(
        rig.sandbox.totals().await.unwrap().faults[fault.as_str()],
        1
    );
    if fault == Fault::LateVisible {
        assert_eq!(rig.query(number).await.code.as_deref(), Some("NOT_FOUND"));
    }
    let again = rig.deduct(number).await;
    assert_eq!(again.delivery, Delivery::Replied, "{fault}");
    assert!(rig.charged(number).await <= 1, "{fault}");
    assert!(
        rig.sandbox.totals().await.unwrap().violations.is_empty(),
        "{fault}"
    );
}

#[tokio::test]
async fn every_fault_in_process_is_observed_for_what_it_is() {
    for fault in Fault::ALL {
        meet(&in_process(with_plan(FaultPlan::only(fault))).await, fault).await;
    }
}

#[tokio::test]
async fn every_fault_over_sockets_is_observed_for_what_it_is() {
    for fault in Fault::ALL {
        meet(
            &over_sockets(with_plan(FaultPlan::only(fault))).await,
            fault,
        )
        .await;
    }
}

#[tokio::test]
async fn a_refusal_is_unsent_in_process_and_lost_over_sockets() {
    let plan = with_plan(FaultPlan::only(Fault::Refused));
    assert!(matches!(
        in_process(plan.clone()).await.deduct("r-1").await.delivery,
        Delivery::Unreachable(..)
    ));
    assert!(matches!(
        over_sockets(plan).await.deduct("r-1").await.delivery,
        Delivery::Lost(_)
    ));
}

#[tokio::test]
async fn queries_meet_faults_too_and_never_change_the_books() {
    let faults = [
        Fault::ResetBefore,
        Fault::SilentBefore,
        Fault::ErrorBefore,
        Fault::Limited,
        Fault::WrongSignature,
    ];
    for fault in faults {
        let plan = FaultPlan {
            on: Some(CallKind::Query),
            ..FaultPlan::only(fault)
        };
        let rig = over_sockets(with_plan(plan)).await;
        assert_eq!(rig.deduct("q-1").await.state.as_deref(), Some("SUCCESS"));
        let faulty = rig.query("q-1").await;
        assert_ne!(
            faulty.state.as_deref(),
            Some("SUCCESS"),
            "{fault}: {faulty:?}"
        );
        assert_eq!(
            rig.query("q-1").await.state.as_deref(),
            Some("SUCCESS"),
            "{fault}"
        );
        assert_eq!(rig.charged("q-1").await, 1);
    }
}

#[tokio::test]
async fn a_pending_order_is_decided_after_some_queries() {
    for number in ["p-1", "p-2", "p-3", "p-4", "p-5", "p-6"] {
        let rig = in_process(with_plan(FaultPlan::only(Fault::Pending))).await;
        assert_eq!(
            rig.deduct(number).await.state.as_deref(),
            Some("USERPAYING")
        );
        let mut last = rig.query(number).await;
        for _ in 0..2 {
            last = rig.query(number).await;
        }
        let state = last.state.unwrap();
        assert!(matches!(state.as_str(), "SUCCESS" | "PAYERROR"), "{state}");
        assert_eq!(rig.charged(number).await, u32::from(state == "SUCCESS"));
    }
}

#[tokio::test]
async fn an_order_hidden_for_a_while_shows_up_with_one_charge() {
    let rig = in_process(with_plan(FaultPlan::only(Fault::LateVisible))).await;
    rig.deduct("l-1").await;
    let started = std::time::Instant::now();
    while rig.query("l-1").await.state.as_deref() != Some("SUCCESS") {
        assert!(started.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(rig.charged("l-1").await, 1);
}

#[tokio::test]
async fn a_success_says_everything_the_engine_needs_and_hides_the_payer() {
    let rig = over_sockets(with_plan(FaultPlan::NONE)).await;
    let seen = rig.deduct("s-1").await;
    assert_eq!(seen.delivery, Delivery::Replied);
    assert_eq!(
        (seen.http, seen.code.as_deref(), seen.state.as_deref()),
        (Some(200), None, Some("SUCCESS"))
    );
    assert_eq!(seen.order_no.as_deref(), Some("s-1"));
    assert_eq!(seen.amount.unwrap().unwrap().to_string(), "12.50 HKD");
    let receipt = seen.receipt.unwrap();
    assert_eq!(seen.result["bank_type"], "WPHK");
    assert!(!seen.evidence.contains("oUpF8") && seen.evidence.contains(&receipt));
    let mut by_id = call("transaction", "x", "");
    by_id
        .input
        .insert("transaction_id".into(), receipt.clone().into());
    assert_eq!(
        rig.client.call(&by_id).await.order_no.as_deref(),
        Some("s-1")
    );
    let mut by_number = call("transaction", "x", "");
    by_number.input.insert("out_trade_no".into(), "s-1".into());
    assert_eq!(
        rig.client.call(&by_number).await.receipt.as_deref(),
        Some(receipt.as_str())
    );
    let totals = rig.sandbox.totals().await.unwrap();
    assert_eq!(
        totals.charged["HKD"],
        ChargedSum {
            count: 1,
            minor: 1_250
        }
    );
    assert!(totals.refused.is_empty(), "{totals:?}");
}

#[tokio::test]
async fn contracts_are_worth_what_the_end_of_their_id_says() {
    let rig = in_process(with_plan(FaultPlan::NONE)).await;
    let cases = [
        ("-terminated", Some("TERMINATED"), "CONTRACT_NOT_EXIST"),
        ("-unknown", None, "CONTRACT_NOT_EXIST"),
        ("-blocked", Some("SIGNED"), "USER_ACCOUNT_ABNORMAL"),
        ("-poor", Some("SIGNED"), "NOT_ENOUGH"),
    ];
    for (end, state, code) in cases {
        let id = format!("C{end}");
        let contract = rig.client.call(&call("contract", "c-1", &id)).await;
        assert_eq!(contract.state.as_deref(), state, "{end}");
        assert!(!contract.evidence.contains("A Payer"));
        let refused = rig
            .client
            .call(&call("deduct", &format!("n{end}"), &id))
            .await;
        assert_eq!(
            (refused.http, refused.code.as_deref()),
            (Some(403), Some(code)),
            "{end}"
        );
    }
    assert_eq!(
        rig.client
            .call(&call("contract", "c-1", "C-terminated"))
            .await
            .result["termination_mode"],
        "USER"
    );
    assert_eq!(rig.query("n-poor").await.state.as_deref(), Some("NOTPAY"));
    assert_eq!(
        rig.query("n-blocked").await.code.as_deref(),
        Some("NOT_FOUND")
    );
}

#[tokio::test]
async fn a_second_body_under_one_number_is_refused_and_counted() {
    let rig = in_process(with_plan(FaultPlan::NONE)).await;
    rig.deduct("b-1").await;
    let other = rig.client.call(&call("deduct", "b-1", "C-another")).await;
    assert_eq!(
        (other.http, other.code.as_deref()),
        (Some(400), Some("OUT_TRADE_NO_USED"))
    );
    assert_eq!(rig.charged("b-1").await, 1);
    assert_eq!(
        rig.sandbox.totals().await.unwrap().violations["two_bodies"],
        1
    );
}

#[tokio::test]
async fn a_second_deduction_of_a_contract_waits_until_the_first_has_ended() {
    let rig = in_process(with_plan(FaultPlan::only(Fault::Pending))).await;
    rig.client.call(&call("deduct", "w-1", "C-same")).await;
    let refused = rig.client.call(&call("deduct", "w-2", "C-same")).await;
    assert_eq!(
        (refused.http, refused.code.as_deref()),
        (Some(429), Some("FREQUENCY_LIMITED"))
    );
    assert_eq!(
        rig.sandbox.totals().await.unwrap().violations["overlapping_contract"],
        1
    );
}

#[tokio::test]
async fn two_deductions_of_a_contract_in_flight_together_are_counted() {
    let rig = in_process(Settings {
        latency: Duration::from_millis(200),
        ..with_plan(FaultPlan::NONE)
    })
    .await;
    let (one, other) = (
        call("deduct", "f-1", "C-same"),
        call("deduct", "f-2", "C-same"),
    );
    tokio::join!(rig.client.call(&one), rig.client.call(&other));
    let totals = rig.sandbox.totals().await.unwrap();
    assert_eq!(
        (
            totals.violations["overlapping_contract"],
            totals.charged["HKD"].count
        ),
        (1, 1)
    );
}

#[tokio::test]
async fn an_institution_is_served_under_its_own_ids() {
    let mut institution = identity();
    institution.mode = WechatMode::Institutional {
        sp_mchid: "1900000002".into(),
        sp_appid: "wxsp".into(),
        sub_mchid: "10000097".into(),
        sub_appid: None,
    };
    let sandbox = FakeWechat::open(
        institution.clone(),
        with_plan(FaultPlan::NONE),
        Clock::System,
    )
    .await
    .unwrap();
    let config = institution.wechat_config("https://sandbox.invalid");
    let client = WechatClient::new(
        &config,
        Transport::InProcess(sandbox.clone()),
        Clock::System,
    )
    .unwrap();
    assert_eq!(
        client
            .call(&call("deduct", "i-1", "C"))
            .await
            .state
            .as_deref(),
        Some("SUCCESS")
    );
    assert_eq!(
        client
            .call(&call("transaction", "i-1", "C"))
            .await
            .state
            .as_deref(),
        Some("SUCCESS")
    );
    assert!(sandbox.totals().await.unwrap().refused.is_empty());
}

#[tokio::test]
async fn in_public_key_mode_nothing_is_downloaded_and_no_other_key_is_accepted() {
    for (signs_with, accepted) in [
        (SignsWith::PublicKey, true),
        (SignsWith::Certificate, false),
    ] {
        let sandbox = open(
            Settings {
                signs_with,
                ..with_plan(FaultPlan::NONE)
            },
            Clock::System,
        )
        .await;
        let config = identity().wechat_config_with_public_key("https://sandbox.invalid");
        let client = WechatClient::new(
            &config,
            Transport::InProcess(sandbox.clone()),
            Clock::System,
        )
        .unwrap();
        let seen = client.call(&call("deduct", "k-1", "C")).await;
        assert_eq!(seen.delivery == Delivery::Replied, accepted, "{seen:?}");
        assert_eq!(matches!(seen.delivery, Delivery::Unverified(_)), !accepted);
        assert_eq!(sandbox.downloads(), 0);
    }
}

/// A client and a sandbox with a clock each.
async fn with_clocks(theirs: Clock, ours: Clock) -> (Arc<FakeWechat>, WechatClient) {
    let sandbox = open(with_plan(FaultPlan::NONE), theirs).await;
    let config = identity().wechat_config("https://sandbox.invalid");
    let client = WechatClient::new(&config, Transport::InProcess(sandbox.clone()), ours).unwrap();
    (sandbox, client)
}

#[tokio::test]
async fn a_certificate_rotated_in_mid_run_costs_one_download_however_many_ask() {
    let clock = Clock::driven(NOW);
    let (sandbox, client) = with_clocks(clock.clone(), clock.clone()).await;
    client.call(&call("deduct", "t-0", "C0")).await;
    assert_eq!(sandbox.downloads(), 1);
    sandbox.rotate_platform().unwrap();
    let calls: Vec<Call> = (1..=20)
        .map(|n| call("deduct", &format!("t-{n}"), &format!("C{n}")))
        .collect();
    let seen = futures_util::future::join_all(calls.iter().map(|call| client.call(call))).await;
    assert!(
        seen.iter().all(|seen| seen.delivery == Delivery::Replied),
        "{seen:?}"
    );
    assert_eq!(sandbox.downloads(), 2);
}

#[tokio::test]
async fn unknown_serials_lead_to_one_download_a_minute() {
    let clock = Clock::driven(NOW);
    let (sandbox, client) = with_clocks(clock.clone(), clock.clone()).await;
    client.call(&call("deduct", "m-0", "C")).await;
    sandbox.rotate_platform().unwrap();
    assert_eq!(
        client.call(&call("transaction", "m-0", "C")).await.delivery,
        Delivery::Replied
    );
    sandbox.rotate_platform().unwrap();
    let early = client.call(&call("transaction", "m-0", "C")).await;
    assert!(
        matches!(early.delivery, Delivery::Unverified(_)),
        "{early:?}"
    );
    assert_eq!(sandbox.downloads(), 2);
    clock.set(NOW.plus(Duration::from_secs(61)));
    assert_eq!(
        client.call(&call("transaction", "m-0", "C")).await.delivery,
        Delivery::Replied
    );
    assert_eq!(sandbox.downloads(), 3);
}

#[tokio::test]
async fn certificates_are_downloaded_again_after_twelve_hours() {
    let clock = Clock::driven(NOW);
    let (sandbox, client) = with_clocks(clock.clone(), clock.clone()).await;
    client.call(&call("deduct", "h-0", "C")).await;
    clock.set(NOW.plus(Duration::from_secs(12 * 3600 - 1)));
    client.call(&call("transaction", "h-0", "C")).await;
    assert_eq!(sandbox.downloads(), 1);
    clock.set(NOW.plus(Duration::from_secs(12 * 3600)));
    client.call(&call("transaction", "h-0", "C")).await;
    assert_eq!(sandbox.downloads(), 2);
}

#[tokio::test]
async fn a_reply_whose_timestamp_is_five_minutes_off_is_not_believed_though_money_moved() {
    let theirs = Clock::driven(NOW);
    let ours = Clock::driven(NOW);
    let (sandbox, client) = with_clocks(theirs.clone(), ours).await;
    client.call(&call("transaction", "none", "C")).await;
    theirs.set(NOW.plus(Duration::from_secs(300)));
    let seen = client.call(&call("deduct", "z-1", "C")).await;
    assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
    assert_eq!(sandbox.order("z-1").await.unwrap().unwrap().charged, 1);
}

#[tokio::test]
async fn without_platform_keys_nothing_is_sent() {
    let sandbox = open(with_plan(FaultPlan::NONE), Clock::System).await;
    let mut config = identity().wechat_config("https://sandbox.invalid");
    config.api_v3_keys = vec![SecretString::from("0".repeat(32))];
    let client = WechatClient::new(
        &config,
        Transport::InProcess(sandbox.clone()),
        Clock::System,
    )
    .unwrap();
    let seen = client.call(&call("deduct", "n-1", "C")).await;
    assert!(
        matches!(&seen.delivery, Delivery::Refused(why) if why.contains("APIv3 key")),
        "{seen:?}"
    );
    assert!(sandbox.order("n-1").await.unwrap().is_none());
    // An account in public-key mode has no certificates.
    let settings = Settings {
        signs_with: SignsWith::PublicKey,
        ..with_plan(FaultPlan::NONE)
    };
    let sandbox = open(settings, Clock::System).await;
    let config = identity().wechat_config("https://sandbox.invalid");
    let client = WechatClient::new(
        &config,
        Transport::InProcess(sandbox.clone()),
        Clock::System,
    )
    .unwrap();
    let seen = client.call(&call("deduct", "n-2", "C")).await;
    assert!(
        matches!(&seen.delivery, Delivery::Refused(why) if why.contains("platform")),
        "{seen:?}"
    );
    assert!(sandbox.order("n-2").await.unwrap().is_none());
}

#[tokio::test]
async fn a_probe_names_what_is_wrong() {
    let found = |probes: &[payrun_gateway::Probe], step: &str| {
        probes
            .iter()
            .find(|probe| probe.step == step)
            .map(|probe| probe.found.clone())
            .unwrap()
    };
    let rig = over_sockets(with_plan(FaultPlan::new(1, Level::Heavy))).await;
    let probes = rig.client.probe().await;
    assert!(probes.iter().all(|probe| probe.found.is_ok()), "{probes:?}");

    let (_, slow) = with_clocks(
        Clock::driven(NOW.plus(Duration::from_secs(90))),
        Clock::driven(NOW),
    )
    .await;
    assert!(
        found(&slow.probe().await, "clock")
            .unwrap()
            .starts_with("warning: -90 s")
    );

    let mut wrong_serial = identity().wechat_config_with_public_key("https://sandbox.invalid");
    wrong_serial.merchant_keys[0].serial = "AB".into();
    let settings = Settings {
        signs_with: SignsWith::PublicKey,
        ..with_plan(FaultPlan::NONE)
    };
    let sandbox = open(settings, Clock::System).await;
    let client =
        WechatClient::new(&wrong_serial, Transport::InProcess(sandbox), Clock::System).unwrap();
    assert!(
        found(&client.probe().await, "signature")
            .unwrap_err()
            .contains("SIGN_ERROR")
    );

    let (client, _held) = client_of_a_closed_port();
    assert!(found(&client.probe().await, "reach").is_err());
}

/// A client in public-key mode whose gateway's port is closed, and stays so as long as the socket
/// is held.
fn client_of_a_closed_port() -> (WechatClient, TcpSocket) {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let config =
        identity().wechat_config_with_public_key(&format!("http://{}", held.local_addr().unwrap()));
    (
        WechatClient::new(&config, Transport::http(1, TIMEOUT).unwrap(), Clock::System).unwrap(),
        held,
    )
}

#[tokio::test]
async fn a_refused_connection_is_not_sent() {
    let (client, _held) = client_of_a_closed_port();
    let seen = client.call(&call("deduct", "c-1", "C")).await;
    assert!(
        matches!(
            seen.delivery,
            Delivery::Unreachable(NoConnection::Refused, _)
        ),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_base_url_without_tls_is_for_this_machine_only() {
    let transport = || Transport::http(1, TIMEOUT).unwrap();
    for refused in [
        "http://example.com",
        "https://example.com/v3",
        "ftp://example.com",
        "example.com",
        "https://a@b",
    ] {
        let config = identity().wechat_config(refused);
        assert!(
            WechatClient::new(&config, transport(), Clock::System).is_err(),
            "{refused}"
        );
    }
    for taken in [
        "http://127.0.0.1:1",
        "http://localhost:1/",
        "https://apihk.mch.weixin.qq.com",
    ] {
        assert!(
            WechatClient::new(&identity().wechat_config(taken), transport(), Clock::System).is_ok(),
            "{taken}"
        );
    }
}

/// A gateway that answers a connection's first request with an unsigned 404 and resets at its
/// second; it counts requests.
async fn resetting_gateway() -> (String, Arc<AtomicU64>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicU64::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 8_192];
                assert!(stream.read(&mut buffer).await.unwrap() > 0);
                counted.fetch_add(1, Ordering::SeqCst);
                stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}")
                    .await
                    .unwrap();
                if stream.read(&mut buffer).await.unwrap() > 0 {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                stream.set_zero_linger().unwrap();
            });
        }
    });
    (base, requests)
}

#[tokio::test]
async fn a_reset_on_a_kept_connection_is_lost_and_nothing_is_sent_again() {
    let (base, requests) = resetting_gateway().await;
    let config = identity().wechat_config_with_public_key(&base);
    let client =
        WechatClient::new(&config, Transport::http(4, TIMEOUT).unwrap(), Clock::System).unwrap();
    assert_eq!(
        client.call(&call("transaction", "a-1", "C")).await.http,
        Some(404)
    );
    let seen = client.call(&call("deduct", "a-1", "C")).await;
    assert!(matches!(seen.delivery, Delivery::Lost(_)), "{seen:?}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_reply_that_is_too_long_or_a_redirect_is_taken_for_what_it_is() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let long = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\nconnection: close\r\n\r\n{}",
        "x".repeat(300_000)
    );
    let moved = format!(
        "HTTP/1.1 307 Moved\r\nlocation: {base}/other\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    tokio::spawn(async move {
        for reply in [long, moved] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = vec![0; 8_192];
            assert!(stream.read(&mut buffer).await.unwrap() > 0);
            // The client may have gone before all of it was written.
            let _ = stream.write_all(reply.as_bytes()).await;
        }
    });
    let config = identity().wechat_config_with_public_key(&base);
    let client =
        WechatClient::new(&config, Transport::http(1, TIMEOUT).unwrap(), Clock::System).unwrap();
    let seen = client.call(&call("deduct", "a-1", "C")).await;
    assert!(
        matches!(&seen.delivery, Delivery::Unreadable(why) if why.contains("longer than")),
        "{seen:?}"
    );
    let seen = client.call(&call("deduct", "a-2", "C")).await;
    assert_eq!(
        (seen.delivery, seen.http, &seen.result["unsigned"]),
        (Delivery::Replied, Some(307), &json!(true))
    );
}

#[tokio::test]
async fn the_books_can_be_read_over_http() {
    let rig = over_sockets(with_plan(FaultPlan::NONE)).await;
    rig.deduct("o-1").await;
    rig.deduct("o-2").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server::serve(rig.sandbox.clone(), listener, async {
        let _ = stopped.await;
    }));
    let totals: Totals = get(&format!("{base}/sandbox/books")).await;
    assert_eq!(totals.charged["HKD"].count, 2);
    let page: OrderPage = get(&format!("{base}/sandbox/books/orders?after=&limit=1")).await;
    assert_eq!(
        (page.orders[0].number.as_str(), page.next.as_deref()),
        ("o-1", Some("o-1"))
    );
    let page: OrderPage = get(&format!("{base}/sandbox/books/orders?after=o-1&limit=10")).await;
    assert_eq!((page.orders.len(), page.next), (1, None));
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

async fn get<T: serde::de::DeserializeOwned>(url: &str) -> T {
    let body = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// A request as a careful client sends it, before it is spoilt.
struct Raw {
    mchid: String,
    serial: String,
    seconds: i64,
    nonce: String,
    body: Value,
    headers: Vec<(&'static str, &'static str)>,
    spoil_signature: bool,
}

impl Raw {
    fn new(nonce: &str) -> Self {
        Self {
            mchid: "1900000001".into(),
            serial: identity().merchant.serial,
            seconds: NOW.seconds(),
            nonce: nonce.into(),
            body: json!({
                "appid": "wx0000000000000001",
                "description": "Rent",
                "notify_url": "https://example.com/n",
                "out_trade_no": "strict-1",
                "merchant_category_code": "1011",
                "contract_id": "C-1",
                "amount": { "total": 100, "currency": "HKD" },
            }),
            headers: vec![
                ("accept", "application/json"),
                ("user-agent", "t"),
                ("content-type", "application/json"),
            ],
            spoil_signature: false,
        }
    }

    fn with(nonce: &str, field: &str, value: Value) -> Self {
        let mut raw = Self::new(nonce);
        match field.split_once('.') {
            Some((outer, inner)) => raw.body[outer][inner] = value,
            None => raw.body[field] = value,
        }
        raw
    }

    fn without(nonce: &str, header: &str) -> Self {
        let mut raw = Self::new(nonce);
        raw.headers.retain(|(name, _)| *name != header);
        raw
    }

    fn request(&self) -> Request {
        let target = "/v3/global/papay/transactions";
        let body = serde_json::to_vec(&self.body).unwrap();
        let key = identity().merchant.signing_key().unwrap();
        let signed: &[u8] = if self.spoil_signature {
            b"other"
        } else {
            &body
        };
        let signature = key
            .sign(&request_message(
                "POST",
                target,
                &self.seconds.to_string(),
                &self.nonce,
                signed,
            ))
            .unwrap();
        let authorization = format!(
            "{SCHEME} mchid=\"{}\",serial_no=\"{}\",timestamp=\"{}\",nonce_str=\"{}\",signature=\"{signature}\"",
            self.mchid, self.serial, self.seconds, self.nonce
        );
        let mut request = http::Request::post(target).header("authorization", authorization);
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        request.body(body.into()).unwrap()
    }
}

async fn refusal(sandbox: &FakeWechat, request: Request) -> (u16, String) {
    match sandbox.handle(request).await {
        Reaction::Reply(response) => {
            let body: Value = serde_json::from_slice(response.body()).unwrap();
            (
                response.status().as_u16(),
                body["message"].as_str().unwrap_or("accepted").to_owned(),
            )
        }
        other @ (Reaction::Refuse
        | Reaction::Reset
        | Reaction::Hold
        | Reaction::Silence
        | Reaction::Truncate(_)) => {
            panic!("{other:?}")
        }
    }
}

#[tokio::test]
async fn a_request_that_is_not_signed_as_documented_is_refused() {
    let sandbox = open(with_plan(FaultPlan::NONE), Clock::driven(NOW)).await;
    assert_eq!(
        refusal(&sandbox, Raw::new("1").request()).await,
        (200, "accepted".into())
    );
    let mut unsigned = Raw::new("x").request();
    unsigned.headers_mut().remove("authorization");
    let mut garbled = Raw::new("x").request();
    garbled.headers_mut().insert(
        "authorization",
        HeaderValue::from_static("WECHATPAY2-SHA256-RSA2048 mchid=\"1\""),
    );
    let cases = [
        (
            Raw {
                spoil_signature: true,
                ..Raw::new("2")
            }
            .request(),
            (401, "wrong_signature"),
        ),
        (
            Raw {
                seconds: NOW.seconds() - 301,
                ..Raw::new("3")
            }
            .request(),
            (401, "stale_timestamp"),
        ),
        (
            Raw {
                seconds: NOW.seconds() + 301,
                ..Raw::new("3")
            }
            .request(),
            (401, "stale_timestamp"),
        ),
        (Raw::new("1").request(), (401, "repeated_nonce")),
        (
            Raw {
                mchid: "1".into(),
                ..Raw::new("4")
            }
            .request(),
            (401, "wrong_mchid"),
        ),
        (
            Raw {
                serial: "AB".into(),
                ..Raw::new("5")
            }
            .request(),
            (401, "wrong_serial"),
        ),
        (unsigned, (401, "missing_authorization")),
        (garbled, (401, "unreadable_authorization")),
        (
            Raw::without("6", "accept").request(),
            (400, "missing_accept"),
        ),
        (
            Raw::without("7", "user-agent").request(),
            (400, "missing_user_agent"),
        ),
        (
            Raw::without("8", "content-type").request(),
            (400, "missing_content_type"),
        ),
    ];
    for (request, (http, reason)) in cases {
        assert_eq!(refusal(&sandbox, request).await, (http, reason.to_owned()));
        assert!(sandbox.totals().await.unwrap().refused[reason] > 0);
    }
    assert_eq!(sandbox.totals().await.unwrap().charged["HKD"].count, 1);
}

#[tokio::test]
async fn a_body_that_is_not_as_documented_is_refused() {
    let sandbox = open(with_plan(FaultPlan::NONE), Clock::driven(NOW)).await;
    let cases = [
        ("amount.total", json!(0), "amount_not_positive"),
        ("amount.total", json!(-5), "amount_not_positive"),
        (
            "amount.total",
            json!(9_223_372_036_854_775_808_u64),
            "wrong_type",
        ),
        ("amount.total", json!("100"), "wrong_type"),
        ("amount.currency", json!("HKX"), "unknown_currency"),
        ("amount.extra", json!(1), "unknown_parameter"),
        ("surprise", json!(1), "unknown_parameter"),
        ("mchid", json!("1900000001"), "unknown_parameter"),
        ("appid", json!("wx1"), "wrong_ids"),
        ("description", json!("x".repeat(129)), "wrong_length"),
        ("description", json!(""), "wrong_length"),
        ("attach", json!("签".repeat(128)), "wrong_length"),
        ("out_trade_no", json!("x".repeat(33)), "wrong_length"),
        ("out_trade_no", json!("a b"), "wrong_order_number"),
        ("contract_id", json!("x".repeat(65)), "wrong_length"),
        (
            "notify_url",
            json!("http://example.com"),
            "wrong_notify_url",
        ),
        (
            "notify_url",
            json!("https://example.com/?a=1"),
            "wrong_notify_url",
        ),
        ("merchant_category_code", json!(1_011), "wrong_type"),
    ];
    for (n, (field, value, reason)) in cases.into_iter().enumerate() {
        let request = Raw::with(&format!("n{n}"), field, value.clone()).request();
        assert_eq!(
            refusal(&sandbox, request).await,
            (400, reason.to_owned()),
            "{field} = {value}"
        );
    }
    let mut short = Raw::new("short");
    short.body.as_object_mut().unwrap().remove("contract_id");
    assert_eq!(
        refusal(&sandbox, short.request()).await,
        (400, "missing_parameter".into())
    );
    let fits = Raw::with("fits", "attach", json!("签".repeat(127))).request();
    assert_eq!(refusal(&sandbox, fits).await, (200, "accepted".into()));
    assert_eq!(sandbox.totals().await.unwrap().charged["HKD"].count, 1);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_books_whatever_the_order_of_calls() {
    let run = async |backwards: bool| {
        let rig = in_process(Settings {
            timeout: Duration::from_millis(10),
            ..with_plan(FaultPlan::new(9, Level::Heavy))
        })
        .await;
        let mut numbers: Vec<usize> = (0..40).collect();
        if backwards {
            numbers.reverse();
        }
        let calls: Vec<Call> = numbers
            .iter()
            .map(|n| Call {
                timeout: Duration::from_millis(100),
                ..call("deduct", &format!("d-{n}"), &format!("C{n}"))
            })
            .collect();
        futures_util::future::join_all(calls.iter().map(|call| rig.client.call(call))).await;
        (
            rig.sandbox.page("", 1_000).await.unwrap(),
            rig.sandbox.totals().await.unwrap(),
        )
    };
    assert_eq!(run(false).await, run(true).await);
}

/// A look at a contract, signed over the message that is made of its time and nonce.
fn look(nonce: &str, message: impl Fn(&str, &str) -> String) -> Request {
    let seconds = NOW.seconds().to_string();
    let message = message(&seconds, nonce);
    let authorization = authorization(&identity().merchant, &seconds, nonce, message.as_bytes());
    http::Request::get(LOOK)
        .header("accept", "application/json")
        .header("user-agent", "t")
        .header("authorization", authorization)
        .body(Bytes::new())
        .unwrap()
}

const LOOK: &str = "/v3/global/papay/contracts/C-1?appid=wx0000000000000001";

/// A way to write what is signed of [`LOOK`], from its time and nonce.
type SignedWechatText = fn(&str, &str) -> String;

#[tokio::test]
async fn only_the_five_lines_of_the_page_are_signed_as_documented() {
    let sandbox = open(with_plan(FaultPlan::NONE), Clock::driven(NOW)).await;
    let right = look("1", |at, nonce| format!("GET\n{LOOK}\n{at}\n{nonce}\n\n"));
    assert_eq!(refusal(&sandbox, right).await, (200, "accepted".into()));
    let cases: [(&str, SignedWechatText); 7] = [
        ("a path without its query", |at, nonce| {
            let (path, _) = LOOK.split_once('?').unwrap();
            format!("GET\n{path}\n{at}\n{nonce}\n\n")
        }),
        ("a path with its host", |at, nonce| {
            format!("GET\nhttps://sandbox.invalid{LOOK}\n{at}\n{nonce}\n\n")
        }),
        ("another path", |at, nonce| {
            format!("GET\n{}\n{at}\n{nonce}\n\n", LOOK.replace("C-1", "C-2"))
        }),
        ("nonce before time", |at, nonce| {
            format!("GET\n{LOOK}\n{nonce}\n{at}\n\n")
        }),
        ("path before method", |at, nonce| {
            format!("{LOOK}\nGET\n{at}\n{nonce}\n\n")
        }),
        ("no fifth line", |at, nonce| {
            format!("GET\n{LOOK}\n{at}\n{nonce}\n")
        }),
        ("another method", |at, nonce| {
            format!("POST\n{LOOK}\n{at}\n{nonce}\n\n")
        }),
    ];
    for (name, covered) in cases {
        assert_eq!(
            refusal(&sandbox, look("2", covered)).await,
            (401, "wrong_signature".into()),
            "{name}"
        );
    }
}
