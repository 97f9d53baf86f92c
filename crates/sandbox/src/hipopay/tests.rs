//! HipopayClient and fake against each other, in process.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::*;
use crate::faults::FaultPlan;
use payrun_domain::ids::OrderNumber;
use payrun_gateway::hipopay::HipopayClient;
use payrun_gateway::transport::Transport;
use payrun_gateway::{Call, Delivery, Gateway, Observation};
use payrun_project::config::HipopayConfig;

const TIMEOUT: Duration = Duration::from_millis(400);

fn identity() -> HipopayAccountKeys {
    static ONE: OnceLock<HipopayAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| HipopayAccountKeys::generate().unwrap())
        .clone()
}

fn hkd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("HKD").unwrap()).unwrap()
}

/// A client and its sandbox.
pub(super) struct HipopaySandbox {
    pub(super) fake: Arc<FakeHipopay>,
    client: HipopayClient,
}

impl HipopaySandbox {
    pub(super) fn new(plan: FaultPlan) -> Self {
        let settings = Settings {
            plan,
            timeout: TIMEOUT,
            pending: Duration::ZERO,
            ..Settings::default()
        };
        let fake = FakeHipopay::open(&identity(), settings, Clock::System).unwrap();
        let transport = Transport::InProcess(fake.clone());
        let client = HipopayClient::new(
            &identity().config("https://sandbox.invalid"),
            transport,
            Clock::System,
        )
        .unwrap();
        Self { fake, client }
    }

    pub(super) async fn call(
        &self,
        operation: &str,
        number: &str,
        amount: Option<Amount>,
        input: Value,
    ) -> Observation {
        let input: Map<String, Value> = serde_json::from_value(input).unwrap();
        let order_no = OrderNumber::parse(number).unwrap();
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

    async fn refund(&self, number: &str, payment_no: &str, amount: &str) -> Observation {
        self.call(
            "refund",
            number,
            Some(hkd(amount)),
            json!({ "transaction_id": payment_no }),
        )
        .await
    }
}

pub(super) fn said(seen: &Observation) -> (Option<&str>, Option<&str>) {
    assert_eq!(seen.delivery, Delivery::Replied, "{seen:?}");
    (seen.state.as_deref(), seen.code.as_deref())
}

#[tokio::test]
async fn a_payment_is_created_asked_about_and_paid() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    let input = json!({ "description": "two teas ~*!'()", "appid": "wx1", "openid": "o-1", "client_ip": "10.1.2.3" });
    let made = rig
        .call("mini_program_payment", "P-1", Some(hkd("8.88")), input)
        .await;
    assert_eq!(said(&made), (Some("INIT"), None));
    assert!(
        made.result["prepay_params"]["prepay_id"]
            .as_str()
            .unwrap()
            .starts_with("wx")
    );
    assert!(
        !made.evidence.contains("466790B2486C24F2DE0BD4C77C7D22AB"),
        "{}",
        made.evidence
    );
    let paid = rig
        .call("payment_query", "P-1", Some(hkd("8.88")), json!({}))
        .await;
    assert_eq!(
        (said(&paid), paid.amount.clone()),
        ((Some("PAID"), None), Some(Ok(hkd("8.88"))))
    );
    let by_theirs = json!({ "transaction_id": paid.receipt.unwrap() });
    assert_eq!(
        rig.call("payment_query", "x", None, by_theirs)
            .await
            .order_no
            .as_deref(),
        Some("P-1")
    );
    assert_eq!(
        said(&rig.call("payment_query", "P-2", None, json!({})).await),
        (None, Some("PAYMENT_NOT_FOUND"))
    );
}

#[tokio::test]
async fn an_envelope_of_success_around_a_failed_refund_is_seen_through() {
    let rig = HipopaySandbox::new(FaultPlan::only(Fault::SoftDecline));
    let payment_no = rig.fake.seed("P-1", hkd("10.00"));
    let refused = rig.refund("R-1", &payment_no, "4.00").await;
    assert_eq!(said(&refused), (Some("FAIL"), Some("0011")));
    assert_eq!(rig.fake.totals().refunded.len(), 0);
    let again = rig.refund("R-1", &payment_no, "4.00").await;
    assert_eq!(
        (said(&again), again.amount.clone()),
        ((Some("SUCCESS"), Some("0000")), Some(Ok(hkd("4.00"))))
    );
    assert_eq!(rig.fake.totals().refunded["HKD"], (1, 400));
}

#[tokio::test]
async fn a_refund_that_was_accepted_can_still_fail_and_gives_its_share_back() {
    let rig = HipopaySandbox::new(FaultPlan::only(Fault::Pending));
    let payment_no = rig.fake.seed("P-1", hkd("10.00"));
    let mut ends = Vec::new();
    for n in 0..20 {
        let number = format!("R-{n}");
        let accepted = rig.refund(&number, &payment_no, "0.50").await;
        assert_eq!(said(&accepted), (Some("PROCESSING"), Some("0000")));
        let ended = rig
            .call("refund_query", &number, Some(hkd("0.50")), json!({}))
            .await;
        ends.push(said(&ended).0.unwrap().to_owned());
    }
    let failed = i64::try_from(ends.iter().filter(|end| *end == "FAIL").count()).unwrap();
    assert!((1..20).contains(&failed), "{ends:?}");
    let rest = hkd("0.50").minor() * failed;
    let rest = Amount::from_minor(rest, Currency::parse("HKD").unwrap())
        .unwrap()
        .decimal();
    assert_eq!(
        said(&rig.refund("R-rest", &payment_no, &rest).await).0,
        Some("PROCESSING")
    );
    assert_eq!(
        said(&rig.refund("R-more", &payment_no, "0.01").await),
        (Some("FAIL"), Some("0008"))
    );
}

#[tokio::test]
async fn every_fault_of_a_refund_is_observed_for_what_it_is_and_pays_at_most_once() {
    for fault in Fault::ALL {
        let rig = HipopaySandbox::new(FaultPlan::only(fault));
        let payment_no = rig.fake.seed("P-1", hkd("10.00"));
        let seen = rig.refund("R-1", &payment_no, "4.00").await;
        let moved = rig.fake.refund("R-1").map_or(0, |refund| refund.moved);
        let fits = match fault {
            Fault::Refused => matches!(seen.delivery, Delivery::Unreachable(..)) && moved == 0,
            Fault::ResetBefore => matches!(seen.delivery, Delivery::Lost(_)) && moved == 0,
            Fault::ResetAfter | Fault::LateVisible => {
                matches!(seen.delivery, Delivery::Lost(_)) && moved == 1
            }
            Fault::SilentBefore => seen.delivery == Delivery::TimedOut && moved == 0,
            Fault::SilentAfter => seen.delivery == Delivery::TimedOut && moved == 1,
            Fault::ErrorBefore => matches!(seen.http, Some(500 | 502)) && moved == 0,
            Fault::ErrorAfter => matches!(seen.http, Some(500 | 502)) && moved == 1,
            Fault::Limited => seen.http == Some(429) && seen.retry_after.is_some() && moved == 0,
            Fault::WrongSignature | Fault::Truncated => {
                matches!(seen.delivery, Delivery::Unreadable(_)) && moved == 1
            }
            Fault::OtherAmount => seen.amount == Some(Ok(hkd("4.01"))) && moved == 1,
            Fault::UnmappedCode => seen.code.as_deref() == Some("9999"),
            Fault::Pending => seen.state.as_deref() == Some("PROCESSING") && moved == 0,
            Fault::SoftDecline => seen.code.as_deref() == Some("0011") && moved == 0,
            Fault::HardDecline => seen.code.as_deref() == Some("0105") && moved == 0,
            Fault::Slow => moved == 1,
        };
        assert!(fits, "{fault}: moved {moved}, {seen:?}");
        assert_eq!(
            rig.refund("R-1", &payment_no, "4.00").await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        assert!(rig.fake.refund("R-1").unwrap().moved <= 1, "{fault}");
        assert!(rig.fake.totals().violations.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn a_number_with_another_body_and_a_refund_above_the_payment_are_refused_and_counted() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    let payment_no = rig.fake.seed("P-1", hkd("10.00"));
    assert_eq!(
        said(&rig.refund("R-1", &payment_no, "4.00").await).0,
        Some("SUCCESS")
    );
    assert_eq!(
        said(&rig.refund("R-1", &payment_no, "5.00").await),
        (Some("FAIL"), Some("0119"))
    );
    assert_eq!(
        said(&rig.refund("R-2", &payment_no, "6.01").await),
        (Some("FAIL"), Some("0008"))
    );
    assert_eq!(
        said(&rig.refund("R-3", "404", "1.00").await),
        (Some("FAIL"), Some("0002"))
    );
    let totals = rig.fake.totals();
    assert_eq!(
        totals.violations.into_keys().collect::<Vec<_>>(),
        ["refund_above_payment", "two_bodies"]
    );
    assert_eq!(totals.refunded["HKD"], (1, 400));
}

#[tokio::test]
async fn rates_are_text_to_the_last_digit_and_the_probe_finds_wrong_credentials() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    let rate = rig
        .call("exchange_rate", "x", None, json!({ "of": "USD" }))
        .await;
    assert_eq!(
        rate.result["forex_rate"],
        "0.1490046489450854690854690666349"
    );
    assert_eq!(
        said(
            &rig.call("exchange_rate", "x", None, json!({ "of": "CHF" }))
                .await
        )
        .1,
        Some("CURRENCY_NOT_SUPPORT")
    );
    assert!(
        rig.client
            .probe()
            .await
            .iter()
            .all(|probe| probe.found.is_ok())
    );
    let config = payrun_project::config::HipopayConfig {
        merchant_no: "HP2".into(),
        ..identity().config("https://sandbox.invalid")
    };
    let stranger = HipopayClient::new(
        &config,
        Transport::InProcess(rig.fake.clone()),
        Clock::System,
    )
    .unwrap();
    let found = stranger.probe().await;
    assert!(
        found
            .last()
            .unwrap()
            .found
            .as_ref()
            .unwrap_err()
            .contains("ILLEGAL_SECURITY_PROFILE"),
        "{found:?}"
    );
}

#[tokio::test]
async fn while_hipopays_key_is_changed_either_verifies() {
    let (new, old) = (
        HipopayAccountKeys::generate().unwrap(),
        HipopayAccountKeys::generate().unwrap(),
    );
    let keys = |identity: &HipopayAccountKeys| {
        identity
            .config("https://sandbox.invalid")
            .platform_public_keys
    };
    let platform_public_keys = [keys(&new), keys(&old)].concat();
    let config = HipopayConfig {
        platform_public_keys,
        ..new.config("https://sandbox.invalid")
    };
    let fakes = [&new, &old]
        .map(|identity| FakeHipopay::open(identity, Settings::default(), Clock::System).unwrap());
    for (at, fake) in fakes.iter().enumerate() {
        fake.seed("P-1", hkd("10.00"));
        let (headers, body) = fake.notification("P-1").unwrap();
        let read = |config: &HipopayConfig| {
            let client =
                HipopayClient::new(config, Transport::InProcess(fake.clone()), Clock::System)
                    .unwrap();
            client
                .read_notification(&headers, &body, Clock::System.now())
                .delivery
        };
        assert_eq!(read(&config), Delivery::Replied);
        assert_eq!(
            read(&new.config("https://sandbox.invalid")) == Delivery::Replied,
            at == 0
        );
    }
}

#[tokio::test]
async fn notifications_are_verified_before_they_are_read() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", hkd("10.00"));
    let (headers, body) = rig.fake.notification("P-1").unwrap();
    let seen = rig
        .client
        .read_notification(&headers, &body, Clock::System.now());
    // A reason to ask: what it says of state, amount and receipt is shown, and nothing is made of
    // it.
    assert_eq!(
        (said(&seen), seen.order_no.as_deref()),
        ((None, None), Some("P-1"))
    );
    assert_eq!((&seen.amount, &seen.receipt), (&None, &None));
    assert_eq!(
        (&seen.result["status"], &seen.result["amount"]),
        (&json!("PAID"), &json!("10.00"))
    );
    let other = String::from_utf8(body.to_vec())
        .unwrap()
        .replace("10.00", "99.00");
    assert!(matches!(
        rig.client
            .read_notification(&headers, other.as_bytes(), Clock::System.now())
            .delivery,
        Delivery::Unverified(_)
    ));
    assert!(matches!(
        rig.client
            .read_notification(&http::HeaderMap::new(), &body, Clock::System.now())
            .delivery,
        Delivery::Unverified(_)
    ));
}

#[tokio::test]
async fn a_call_that_cannot_be_made_is_not_sent_and_says_why() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    for (operation, amount, why) in [
        ("refund", None, "refund the whole payment"),
        ("refund", Some(hkd("1")), "no transaction_id"),
        ("deduct", None, "no operation"),
        ("mini_program_payment", Some(hkd("1")), "no description"),
    ] {
        let seen = rig.call(operation, "R-1", amount, json!({})).await;
        assert!(
            matches!(&seen.delivery, Delivery::Unsendable(said) if said.contains(why)),
            "{seen:?}"
        );
    }
    assert_eq!(rig.fake.totals(), TransactionTotals::default());
}

fn cny(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("CNY").unwrap()).unwrap()
}

/// What a payment with a price in CNY is asked with.
fn priced_in_cny() -> Value {
    json!({
        "description": "tea", "appid": "wx1", "openid": "o-1", "client_ip": "10.1.2.3", "is_rmb": "TRUE",
        "settlement_currency": "JPY"
    })
}

#[tokio::test]
async fn a_price_in_cny_goes_out_with_the_currency_of_settlement_and_comes_back_under_either() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    let mut named = std::collections::BTreeSet::new();
    for n in 0..12 {
        let number = format!("P-{n}");
        let made = rig
            .call(
                "mini_program_payment",
                &number,
                Some(cny("88.50")),
                priced_in_cny(),
            )
            .await;
        assert_eq!(
            (said(&made).0, made.amount.clone()),
            (Some("INIT"), Some(Ok(cny("88.50")))),
            "{}",
            made.evidence
        );
        let paid = rig
            .call(
                "payment_query",
                &number,
                Some(cny("88.50")),
                priced_in_cny(),
            )
            .await;
        assert_eq!(
            (said(&paid).0, paid.amount.clone()),
            (Some("PAID"), Some(Ok(cny("88.50"))))
        );
        named.insert(paid.evidence.contains(r#""currency":"JPY""#));
        let (headers, body) = rig.fake.notification(&number).unwrap();
        let told = rig
            .client
            .read_notification(&headers, &body, Clock::System.now());
        assert!(
            !told.evidence.contains("o-1") && told.evidence.contains("openid=***"),
            "{}",
            told.evidence
        );
    }
    assert_eq!(named.len(), 2, "both were played");
    assert_eq!(rig.fake.totals().paid["CNY"], (12, 12 * 8_850));
}

#[tokio::test]
async fn a_price_in_cny_of_an_amount_in_another_currency_is_not_sent() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    let pay = |amount, input: Value| rig.call("mini_program_payment", "P-1", Some(amount), input);
    let seen = pay(hkd("5"), priced_in_cny()).await;
    assert!(
        matches!(&seen.delivery, Delivery::Unsendable(why) if why.contains("in CNY, and it is in HKD")),
        "{seen:?}"
    );
    let mut alone = priced_in_cny();
    alone["settlement_currency"] = json!("");
    let seen = pay(cny("5"), alone).await;
    assert!(
        matches!(&seen.delivery, Delivery::Unsendable(why) if why.contains("no settlement_currency")),
        "{seen:?}"
    );
    let mut not = priced_in_cny();
    not["is_rmb"] = json!("FALSE");
    let seen = pay(cny("5"), not).await;
    assert!(
        matches!(&seen.delivery, Delivery::Unsendable(why) if why.contains("belongs to is_rmb TRUE")),
        "{seen:?}"
    );
    assert_eq!(rig.fake.totals(), TransactionTotals::default());
}

#[tokio::test]
async fn a_number_that_is_spent_fails_and_exists_when_it_is_sent_again() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    let payment_no = rig.fake.seed("P-1", hkd("10.00"));
    let send = || rig.refund("R-1-spent", &payment_no, "4.00");
    assert_eq!(said(&send().await), (Some("FAIL"), Some("0104")));
    assert_eq!(said(&send().await), (Some("FAIL"), Some("0001")));
    let asked = rig
        .call("refund_query", "R-1-spent", Some(hkd("4.00")), json!({}))
        .await;
    assert_eq!(said(&asked), (Some("FAIL"), Some("0104")));
    assert!(rig.fake.totals().refunded.is_empty());
}

#[test]
fn after_0001_a_refund_that_still_fails_is_for_a_person_and_before_it_may_be_sent_again() {
    use payrun_domain::answer::{Answer, DeclineClass, NumberRule};
    use payrun_project::job_kinds::judge::{ExpectedReply, judge};
    let refund = payrun_project::job_kinds::JobKinds::built_in().by_name["refund"].clone();
    let operations = &refund.gateways["hipopay"];
    let failed = |code: &str| Observation {
        http: Some(201),
        state: Some("FAIL".into()),
        code: Some(code.into()),
        ..Observation::of(Delivery::Replied)
    };
    let asked = |code: &str, exists| {
        let expected = ExpectedReply {
            exists,
            ..ExpectedReply::default()
        };
        judge(
            &operations.query_outcomes,
            true,
            true,
            &failed(code),
            &expected,
        )
    };
    let sent = judge(
        &operations.submit_outcomes,
        false,
        true,
        &failed("0001"),
        &ExpectedReply::default(),
    );
    assert!(sent.exists && matches!(sent.answer, Answer::Unknown { .. }));
    for code in ["0104", "0011", "0005", "0001"] {
        let judged = asked(code, true);
        assert!(
            judged
                .advice
                .is_some_and(|advice| advice.contains("payrun resolve --failed")),
            "{code}"
        );
        let Answer::Declined(decline) = judged.answer else {
            panic!("{code}: {:?}", judged.answer)
        };
        assert_eq!(
            (decline.class, decline.number),
            (DeclineClass::Person, NumberRule::Next),
            "{code}"
        );
    }
    assert_eq!(asked("0104", false).answer, Answer::Absent);
    let limited = judge(
        &operations.submit_outcomes,
        false,
        true,
        &failed("0107"),
        &ExpectedReply::default(),
    );
    assert_eq!(
        limited.answer,
        Answer::NotProcessed {
            code: "0107".into(),
            after: Some(60_000)
        }
    );
}

/// The answer to a query of a rate that was signed over this message; `{at}` in it is the
/// timestamp.
async fn answered(rig: &HipopaySandbox, query: &str, message: &str) -> Value {
    let at = Clock::System.now().seconds().to_string();
    let key = SandboxSigningKey::from_pem(&identity().config("").merchant_key).unwrap();
    let signature = key.sign(message.replace("{at}", &at).as_bytes());
    let request = http::Request::get(format!("/wechatpay/forex_rate?{query}"))
        .header("merchantno", &identity().merchant_no)
        .header("version", "1.0")
        .header("timestamp", &at)
        .header("signature", signature.unwrap())
        .body(Bytes::new())
        .unwrap();
    match rig.fake.handle(request).await {
        Reaction::Reply(reply) => serde_json::from_slice(reply.body()).unwrap(),
        other @ (Reaction::Refuse
        | Reaction::Reset
        | Reaction::Hold
        | Reaction::Silence
        | Reaction::Truncate(_)) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn only_sorted_parameters_with_values_by_rfc_3986_are_signed_as_documented() {
    let rig = HipopaySandbox::new(FaultPlan::NONE);
    // Beside the currency, a parameter that no page has: the signature is looked at first.
    let (query, right) = (
        "zone=~1%2A%20x&currency=USD",
        "currency=USD&zone=~1%2A%20x,{at}",
    );
    assert_eq!(
        answered(&rig, query, right).await["error_message"],
        "unknown_parameter"
    );
    let cases = [
        ("not sorted", "zone=~1%2A%20x&currency=USD,{at}"),
        ("~ encoded", "currency=USD&zone=%7E1%2A%20x,{at}"),
        ("* left", "currency=USD&zone=~1*%20x,{at}"),
        ("a space as +", "currency=USD&zone=~1%2A+x,{at}"),
        ("lower-case hex", "currency=USD&zone=~1%2a%20x,{at}"),
        ("raw values", "currency=USD&zone=~1* x,{at}"),
        ("no time", "currency=USD&zone=~1%2A%20x"),
        ("time first", "{at},currency=USD&zone=~1%2A%20x"),
        ("one left out", "currency=USD,{at}"),
    ];
    for (name, message) in cases {
        let refused = answered(&rig, query, message).await;
        assert_eq!(
            (&refused["error"], &refused["error_message"]),
            (
                &json!("ILLEGAL_SECURITY_PROFILE"),
                &json!("wrong_signature")
            ),
            "{name}"
        );
    }
}
