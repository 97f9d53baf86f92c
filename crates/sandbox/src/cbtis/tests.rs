//! CbtisClient and fake against each other, in process.

use serde_json::{Map, Value, json};

use super::*;
use crate::faults::FaultPlan;
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::Currency;
use payrun_gateway::cbtis::CbtisClient;
use payrun_gateway::transport::Transport;
use payrun_gateway::{Call, Delivery, Gateway, Observation};
use payrun_project::config::{CbtisConfig, CbtisCustoms};

const TIMEOUT: Duration = Duration::from_millis(400);
const HOUR: Duration = Duration::from_secs(3_600);

fn hkd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("HKD").unwrap()).unwrap()
}

/// A client and its sandbox, on one clock.
struct CbtisSandbox {
    fake: Arc<FakeCbtis>,
    client: CbtisClient,
    clock: Clock,
}

impl CbtisSandbox {
    fn new(plan: FaultPlan) -> Self {
        let identity = CbtisAccountKeys::generate().unwrap();
        let clock = Clock::driven(Timestamp::from_millis(1_800_000_000_000));
        let settings = Settings {
            plan,
            timeout: TIMEOUT,
            pending: Duration::ZERO,
            ..Settings::default()
        };
        let fake = FakeCbtis::open(&identity, settings, HOUR, clock.clone());
        let transport = Transport::InProcess(fake.clone());
        let client = CbtisClient::new(
            &identity.config("https://sandbox.invalid"),
            transport,
            clock.clone(),
        )
        .unwrap();
        Self {
            fake,
            client,
            clock,
        }
    }

    async fn call(
        &self,
        operation: &str,
        number: &str,
        amount: Option<&str>,
        input: Value,
    ) -> Observation {
        let input: Map<String, Value> = serde_json::from_value(input).unwrap();
        let order_no = OrderNumber::parse(number).unwrap();
        let amount = amount.map(hkd);
        self.client
            .call(&Call {
                operation: operation.into(),
                order_no,
                input,
                amount,
                timeout: TIMEOUT,
            })
            .await
    }

    async fn refund(&self, number: &str, payment: &str, amount: &str) -> Observation {
        self.call(
            "refund",
            number,
            Some(amount),
            json!({ "out_trade_no": payment }),
        )
        .await
    }

    async fn query(&self, number: &str) -> Observation {
        self.call("payment_query", number, None, json!({})).await
    }
}

fn said(seen: &Observation) -> (Option<&str>, Option<&str>) {
    assert_eq!(seen.delivery, Delivery::Replied, "{seen:?}");
    (seen.state.as_deref(), seen.code.as_deref())
}

#[tokio::test]
async fn an_intent_is_created_paid_and_refunded() {
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    let input = json!({ "description": "Tea", "success_url": "https://example.com/ok" });
    let made = rig
        .call("payment_create", "P-1", Some("10.00"), input)
        .await;
    assert_eq!(
        (said(&made), made.amount.clone()),
        ((Some("PENDING"), None), Some(Ok(hkd("10"))))
    );
    assert_eq!(made.result["next_action"]["type"], "call_sdk");
    let paid = rig.query("P-1").await;
    assert_eq!(
        (said(&paid), paid.order_no.as_deref()),
        ((Some("SUCCEEDED"), None), Some("P-1"))
    );
    let theirs = json!({ "transaction_id": paid.receipt.clone().unwrap() });
    assert_eq!(
        rig.call("payment_query", "x", None, theirs.clone())
            .await
            .order_no
            .as_deref(),
        Some("P-1")
    );
    assert_eq!(
        said(&rig.call("refund", "R-1", Some("4.00"), theirs).await).0,
        Some("PENDING")
    );
    let refunded = rig
        .call("refund_query", "R-1", Some("4.00"), json!({}))
        .await;
    assert_eq!(
        (said(&refunded).0, refunded.amount.clone()),
        (Some("SUCCEEDED"), None),
        "a refund's reply names no amount"
    );
    assert_eq!(
        said(&rig.refund("R-2", "P-1", "6.01").await),
        (None, Some("409003"))
    );
    assert_eq!(rig.fake.totals().refunded["HKD"], (1, 400));
}

#[tokio::test]
async fn a_token_is_fetched_once_renewed_in_time_and_again_after_it_was_refused() {
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", hkd("1"));
    for _ in 0..3 {
        assert_eq!(said(&rig.query("P-1").await).0, Some("SUCCEEDED"));
    }
    assert_eq!(rig.fake.tokens_issued(), 1);
    let later = rig.clock.now().plus(HOUR - Duration::from_secs(30));
    rig.clock.set(later);
    assert_eq!(said(&rig.query("P-1").await).0, Some("SUCCEEDED"));
    assert_eq!(rig.fake.tokens_issued(), 2);
    rig.fake.revoke_tokens();
    let refused = rig.query("P-1").await;
    assert_eq!(
        (refused.http, refused.code.as_deref()),
        (Some(401), Some("401001"))
    );
    assert_eq!(said(&rig.query("P-1").await).0, Some("SUCCEEDED"));
    assert_eq!(rig.fake.tokens_issued(), 3);
}

#[tokio::test]
async fn an_order_whose_token_cannot_be_had_is_not_sent() {
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    let config = CbtisAccountKeys::generate()
        .unwrap()
        .config("https://sandbox.invalid");
    let stranger = CbtisClient::new(
        &config,
        Transport::InProcess(rig.fake.clone()),
        rig.clock.clone(),
    )
    .unwrap();
    let rig = CbtisSandbox {
        client: stranger,
        ..rig
    };
    let seen = rig.refund("R-1", "P-1", "1.00").await;
    assert!(
        matches!(&seen.delivery, Delivery::Refused(why) if why == "no access token: HTTP 401"),
        "{seen:?}"
    );
    assert_eq!(rig.fake.totals().refused["wrong_credentials"], 1);
    assert!(rig.client.probe().await[0].found.is_err());
}

#[tokio::test]
async fn a_fixed_token_is_sent_as_it_is() {
    let identity = CbtisAccountKeys::generate().unwrap();
    let fake = FakeCbtis::open(&identity, Settings::default(), HOUR, Clock::System);
    let config = identity.config_with_fixed_token("https://sandbox.invalid");
    let client =
        CbtisClient::new(&config, Transport::InProcess(fake.clone()), Clock::System).unwrap();
    assert!(client.probe().await.iter().all(|probe| probe.found.is_ok()));
    assert_eq!(fake.tokens_issued(), 0);
}

#[tokio::test]
async fn every_fault_of_a_refund_is_observed_for_what_it_is_and_pays_at_most_once() {
    for fault in Fault::ALL {
        let rig = CbtisSandbox::new(FaultPlan::only(fault));
        rig.fake.seed("P-1", hkd("10.00"));
        let seen = rig.refund("R-1", "P-1", "4.00").await;
        let exists = rig
            .fake
            .refund("R-1")
            .is_some_and(|refund| refund.state != TransactionState::Seen);
        let fits = match fault {
            Fault::Refused => matches!(seen.delivery, Delivery::Unreachable(..)) && !exists,
            Fault::ResetBefore => matches!(seen.delivery, Delivery::Lost(_)) && !exists,
            Fault::ResetAfter | Fault::LateVisible => {
                matches!(seen.delivery, Delivery::Lost(_)) && exists
            }
            Fault::SilentBefore => seen.delivery == Delivery::TimedOut && !exists,
            Fault::SilentAfter => seen.delivery == Delivery::TimedOut && exists,
            Fault::ErrorBefore => matches!(seen.http, Some(500 | 502)) && !exists,
            Fault::ErrorAfter => matches!(seen.http, Some(500 | 502)) && exists,
            Fault::Limited => seen.http == Some(429) && seen.retry_after.is_some() && !exists,
            Fault::WrongSignature | Fault::Truncated => {
                matches!(seen.delivery, Delivery::Unreadable(_)) && exists
            }
            // A refund's reply names no amount that could differ.
            Fault::OtherAmount => {
                seen.state.as_deref() == Some("PENDING") && seen.amount.is_none() && exists
            }
            Fault::UnmappedCode => seen.code.as_deref() == Some("999999"),
            Fault::Pending => seen.state.as_deref() == Some("PENDING") && exists,
            Fault::SoftDecline => seen.state.as_deref() == Some("FAILED") && !exists,
            Fault::HardDecline => seen.code.as_deref() == Some("403001") && !exists,
            Fault::Slow => exists,
        };
        assert!(fits, "{fault}: exists {exists}, {seen:?}");
        assert_eq!(
            rig.refund("R-1", "P-1", "4.00").await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        assert!(rig.fake.refund("R-1").unwrap().moved <= 1, "{fault}");
        assert!(rig.fake.totals().violations.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn a_notification_names_an_order_and_never_says_what_became_of_it() {
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", hkd("10.00"));
    let (headers, body) = rig.fake.notification("P-1").unwrap();
    let seen = rig.client.read_notification(&headers, &body);
    assert_eq!(
        (said(&seen), seen.order_no.as_deref()),
        ((None, None), Some("P-1"))
    );
    assert_eq!(seen.amount, None);
    assert_eq!(seen.result["notify_type"], "payment_success");
    let other = String::from_utf8(body.to_vec())
        .unwrap()
        .replace("P-1", "P-2");
    assert!(matches!(
        rig.client
            .read_notification(&headers, other.as_bytes())
            .delivery,
        Delivery::Unverified(_)
    ));
    assert!(matches!(
        rig.client
            .read_notification(&http::HeaderMap::new(), &body)
            .delivery,
        Delivery::Unverified(_)
    ));
}

#[tokio::test]
async fn while_the_api_key_is_changed_either_verifies() {
    let (new, old) = (
        CbtisAccountKeys::generate().unwrap(),
        CbtisAccountKeys::generate().unwrap(),
    );
    let keys = |identity: &CbtisAccountKeys| identity.config("https://sandbox.invalid").api_keys;
    let config = CbtisConfig {
        api_keys: [keys(&new), keys(&old)].concat(),
        ..new.config("https://sandbox.invalid")
    };
    let fakes = [&new, &old].map(|identity| {
        FakeCbtis::open(
            identity,
            Settings::default(),
            Duration::from_secs(600),
            Clock::System,
        )
    });
    for (at, fake) in fakes.iter().enumerate() {
        fake.seed("P-1", hkd("10.00"));
        let (headers, body) = fake.notification("P-1").unwrap();
        let read = |config: &CbtisConfig| {
            let client =
                CbtisClient::new(config, Transport::InProcess(fake.clone()), Clock::System)
                    .unwrap();
            client.read_notification(&headers, &body).delivery
        };
        assert_eq!(read(&config), Delivery::Replied);
        assert_eq!(
            read(&new.config("https://sandbox.invalid")) == Delivery::Replied,
            at == 0
        );
    }
}

#[tokio::test]
async fn a_token_is_had_with_headers_and_no_body_and_lives_until_an_instant() {
    let identity = CbtisAccountKeys::generate().unwrap();
    let clock = Clock::driven(Timestamp::from_millis(1_800_000_000_000));
    let fake = FakeCbtis::open(
        &identity,
        Settings {
            timeout: TIMEOUT,
            ..Settings::default()
        },
        HOUR,
        clock.clone(),
    );
    let transport = Transport::InProcess(fake.clone());
    let client = CbtisClient::new(
        &identity.config_with_login("https://sandbox.invalid"),
        transport,
        clock.clone(),
    )
    .unwrap();
    let rig = CbtisSandbox {
        fake,
        client,
        clock,
    };
    rig.fake.seed("P-1", hkd("1"));
    for (after, issued) in [(0, 1), (3_500, 1), (60, 2)] {
        rig.clock
            .set(rig.clock.now().plus(Duration::from_secs(after)));
        assert_eq!(said(&rig.query("P-1").await).0, Some("SUCCEEDED"));
        assert_eq!(rig.fake.tokens_issued(), issued, "after {after} s");
    }
}

#[tokio::test]
async fn a_payment_is_declared_modified_and_pushed_again() {
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    let theirs = rig.fake.seed("P-1", hkd("100"));
    let whole = json!({
        "out_trade_no": "P-1", "transaction_id": theirs, "customs": "SHANGHAI_ZS", "mch_customs_no": "123456"
    });
    let missing = rig.call("declare_query", "D-1", None, whole.clone()).await;
    assert_eq!(said(&missing), (None, Some("NOT_FOUND")));
    let filed = rig.call("declare", "D-1", None, whole.clone()).await;
    assert_eq!(
        (said(&filed).0, filed.order_no.as_deref()),
        (Some("UNDECLARED"), Some("P-1"))
    );
    let mut ended = rig.call("declare_query", "D-1", None, whole.clone()).await;
    for _ in 0..5 {
        ended = rig.call("declare_query", "D-1", None, whole.clone()).await;
    }
    assert_eq!(said(&ended).0, Some("SUCCESS"));
    assert!(ended.receipt.is_some());
    assert_eq!(
        said(&rig.call("redeclare", "E-1", None, whole.clone()).await).0,
        Some("UNDECLARED")
    );
    assert_eq!(rig.fake.totals().customs.redeclared, 1);
    let mut split = whole.clone();
    split["sub_order_no"] = json!("S-1");
    split["product_fee"] = json!("20.00");
    split["transport_fee"] = json!("3.22");
    let cny = Amount::parse("23.22", Currency::parse("CNY").unwrap()).unwrap();
    let call = |operation: &str, input: &Value| Call {
        operation: operation.into(),
        order_no: OrderNumber::parse("D-2").unwrap(),
        input: serde_json::from_value(input.clone()).unwrap(),
        amount: Some(cny),
        timeout: TIMEOUT,
    };
    // Beside the whole that would be more than was paid; other customs are told of the same payment.
    let beside = rig.client.call(&call("declare", &split)).await;
    assert_eq!(said(&beside).0, None);
    let violations = rig.fake.totals().violations;
    assert_eq!(violations["declared_whole_and_split"], 1);
    split["customs"] = json!("NINGBO");
    let filed = rig.client.call(&call("declare", &split)).await;
    assert_eq!(
        (said(&filed).0, filed.order_no.as_deref()),
        (Some("UNDECLARED"), Some("P-1"))
    );
    assert_eq!(rig.fake.totals().customs.filed_twice, 0);
    let mut named = whole.clone();
    named["cert_id"] = json!("510921199308772318");
    let seen = rig.client.call(&call("declare", &named)).await;
    assert!(
        matches!(&seen.delivery, Delivery::Unsendable(why) if why.contains("no field for the buyer")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn a_sub_order_is_not_declared_before_somebody_says_how_its_amounts_are_written() {
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    let identity = CbtisAccountKeys::generate().unwrap();
    let config = identity.config("https://sandbox.invalid");
    let config = CbtisConfig {
        customs: CbtisCustoms::default(),
        ..config
    };
    let client = CbtisClient::new(
        &config,
        Transport::InProcess(rig.fake.clone()),
        rig.clock.clone(),
    )
    .unwrap();
    let input = json!({
        "out_trade_no": "P-1", "customs": "NINGBO", "mch_customs_no": "1", "sub_order_no": "S-1", "product_fee": "1",
        "transport_fee": "0"
    });
    let call = Call {
        operation: "declare".into(),
        order_no: OrderNumber::parse("D-1").unwrap(),
        input: serde_json::from_value(input).unwrap(),
        amount: Some(Amount::parse("1", Currency::parse("CNY").unwrap()).unwrap()),
        timeout: TIMEOUT,
    };
    let seen = client.call(&call).await;
    assert!(
        matches!(&seen.delivery, Delivery::Unsendable(why) if why.contains("amounts: cents")),
        "{seen:?}"
    );
}

#[tokio::test]
async fn only_a_digest_over_body_full_stop_and_key_makes_a_notification_cbtiss() {
    use secrecy::ExposeSecret as _;
    use sha2::{Digest, Sha256};
    let rig = CbtisSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", hkd("10.00"));
    let (headers, body) = rig.fake.notification("P-1").unwrap();
    assert_eq!(
        rig.client.read_notification(&headers, &body).delivery,
        Delivery::Replied
    );
    let key = rig.fake.identity.api_key();
    let (key, body_text) = (key.expose_secret(), std::str::from_utf8(&body).unwrap());
    for covered in [
        format!("{key}.{body_text}"),
        format!("{body_text}{key}"),
        format!("{body_text}.{key}\n"),
    ] {
        let mut headers = headers.clone();
        let signature = hex::encode(Sha256::digest(covered));
        headers.insert("signature", signature.parse().unwrap());
        let seen = rig.client.read_notification(&headers, &body);
        assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
    }
}
