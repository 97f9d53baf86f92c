//! Client and twin against each other, in process.

use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::*;
use crate::domain::ids::OrderNumber;
use crate::gateway::hipopay::Client;
use crate::gateway::transport::Transport;
use crate::gateway::{Call, Gateway, Observation, Reached};
use crate::sandbox::faults::FaultPlan;

const TIMEOUT: Duration = Duration::from_millis(400);

fn identity() -> Identity {
    static ONE: OnceLock<Identity> = OnceLock::new();
    ONE.get_or_init(|| Identity::generate().unwrap()).clone()
}

fn hkd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("HKD").unwrap()).unwrap()
}

pub(super) struct Rig {
    pub(super) twin: Arc<Hipopay>,
    client: Client,
}

impl Rig {
    pub(super) fn new(plan: FaultPlan) -> Self {
        let settings = Settings { plan, timeout: TIMEOUT, pending: Duration::ZERO, ..Settings::default() };
        let twin = Hipopay::open(&identity(), settings, Clock::System).unwrap();
        let transport = Transport::InProcess(twin.clone());
        let client = Client::new(&identity().config("https://sandbox.invalid"), transport, Clock::System).unwrap();
        Self { twin, client }
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
        self.client.call(&Call { operation: operation.into(), order_no, input, amount, timeout: TIMEOUT }).await
    }

    async fn refund(&self, number: &str, payment_no: &str, amount: &str) -> Observation {
        self.call("refund", number, Some(hkd(amount)), json!({ "transaction_id": payment_no })).await
    }
}

pub(super) fn said(seen: &Observation) -> (Option<&str>, Option<&str>) {
    assert_eq!(seen.reached, Reached::Replied, "{seen:?}");
    (seen.state.as_deref(), seen.code.as_deref())
}

#[tokio::test]
async fn a_payment_is_created_asked_about_and_paid() {
    let rig = Rig::new(FaultPlan::NONE);
    let input = json!({ "description": "two teas ~*!'()", "appid": "wx1", "openid": "o-1", "client_ip": "10.1.2.3" });
    let made = rig.call("mini_program_payment", "P-1", Some(hkd("8.88")), input).await;
    assert_eq!(said(&made), (Some("INIT"), None));
    assert!(made.result["prepay_params"]["prepay_id"].as_str().unwrap().starts_with("wx"));
    assert!(!made.evidence.contains("466790B2486C24F2DE0BD4C77C7D22AB"), "{}", made.evidence);
    let paid = rig.call("payment_query", "P-1", Some(hkd("8.88")), json!({})).await;
    assert_eq!((said(&paid), paid.amount.clone()), ((Some("PAID"), None), Some(Ok(hkd("8.88")))));
    let by_theirs = json!({ "transaction_id": paid.receipt.unwrap() });
    assert_eq!(rig.call("payment_query", "x", None, by_theirs).await.order_no.as_deref(), Some("P-1"));
    assert_eq!(said(&rig.call("payment_query", "P-2", None, json!({})).await), (None, Some("PAYMENT_NOT_FOUND")));
}

#[tokio::test]
async fn an_envelope_of_success_around_a_failed_refund_is_seen_through() {
    let rig = Rig::new(FaultPlan::only(Fault::SoftDecline));
    let payment_no = rig.twin.seed("P-1", hkd("10.00"));
    let refused = rig.refund("R-1", &payment_no, "4.00").await;
    assert_eq!(said(&refused), (Some("FAIL"), Some("0011")));
    assert_eq!(rig.twin.totals().refunded.len(), 0);
    let again = rig.refund("R-1", &payment_no, "4.00").await;
    assert_eq!((said(&again), again.amount.clone()), ((Some("SUCCESS"), Some("0000")), Some(Ok(hkd("4.00")))));
    assert_eq!(rig.twin.totals().refunded["HKD"], (1, 400));
}

#[tokio::test]
async fn a_refund_that_was_accepted_can_still_fail_and_gives_its_share_back() {
    let rig = Rig::new(FaultPlan::only(Fault::Pending));
    let payment_no = rig.twin.seed("P-1", hkd("10.00"));
    let mut ends = Vec::new();
    for n in 0..20 {
        let number = format!("R-{n}");
        let accepted = rig.refund(&number, &payment_no, "0.50").await;
        assert_eq!(said(&accepted), (Some("PROCESSING"), Some("0000")));
        let ended = rig.call("refund_query", &number, Some(hkd("0.50")), json!({})).await;
        ends.push(said(&ended).0.unwrap().to_owned());
    }
    let failed = i64::try_from(ends.iter().filter(|end| *end == "FAIL").count()).unwrap();
    assert!((1..20).contains(&failed), "{ends:?}");
    let rest = hkd("0.50").minor() * failed;
    let rest = Amount::from_minor(rest, Currency::parse("HKD").unwrap()).unwrap().decimal();
    assert_eq!(said(&rig.refund("R-rest", &payment_no, &rest).await).0, Some("PROCESSING"));
    assert_eq!(said(&rig.refund("R-more", &payment_no, "0.01").await), (Some("FAIL"), Some("0008")));
}

#[tokio::test]
async fn every_fault_of_a_refund_is_observed_for_what_it_is_and_pays_at_most_once() {
    for fault in Fault::ALL {
        let rig = Rig::new(FaultPlan::only(fault));
        let payment_no = rig.twin.seed("P-1", hkd("10.00"));
        let seen = rig.refund("R-1", &payment_no, "4.00").await;
        let moved = rig.twin.refund("R-1").map_or(0, |refund| refund.moved);
        let fits = match fault {
            Fault::Refused => matches!(seen.reached, Reached::NotSent(_)) && moved == 0,
            Fault::ResetBefore => matches!(seen.reached, Reached::Lost(_)) && moved == 0,
            Fault::ResetAfter | Fault::LateVisible => matches!(seen.reached, Reached::Lost(_)) && moved == 1,
            Fault::SilentBefore => seen.reached == Reached::TimedOut && moved == 0,
            Fault::SilentAfter => seen.reached == Reached::TimedOut && moved == 1,
            Fault::ErrorBefore => matches!(seen.http, Some(500 | 502)) && moved == 0,
            Fault::ErrorAfter => matches!(seen.http, Some(500 | 502)) && moved == 1,
            Fault::Limited => seen.http == Some(429) && seen.retry_after.is_some() && moved == 0,
            Fault::WrongSignature | Fault::Truncated => matches!(seen.reached, Reached::Unreadable(_)) && moved == 1,
            Fault::OtherAmount => seen.amount == Some(Ok(hkd("4.01"))) && moved == 1,
            Fault::UnlistedCode => seen.code.as_deref() == Some("9999"),
            Fault::Pending => seen.state.as_deref() == Some("PROCESSING") && moved == 0,
            Fault::SoftDecline => seen.code.as_deref() == Some("0011") && moved == 0,
            Fault::HardDecline => seen.code.as_deref() == Some("0105") && moved == 0,
            Fault::Slow => moved == 1,
        };
        assert!(fits, "{fault}: moved {moved}, {seen:?}");
        assert_eq!(rig.refund("R-1", &payment_no, "4.00").await.reached, Reached::Replied, "{fault}");
        assert!(rig.twin.refund("R-1").unwrap().moved <= 1, "{fault}");
        assert!(rig.twin.totals().violations.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn a_number_with_another_body_and_a_refund_above_the_payment_are_refused_and_counted() {
    let rig = Rig::new(FaultPlan::NONE);
    let payment_no = rig.twin.seed("P-1", hkd("10.00"));
    assert_eq!(said(&rig.refund("R-1", &payment_no, "4.00").await).0, Some("SUCCESS"));
    assert_eq!(said(&rig.refund("R-1", &payment_no, "5.00").await), (Some("FAIL"), Some("0119")));
    assert_eq!(said(&rig.refund("R-2", &payment_no, "6.01").await), (Some("FAIL"), Some("0008")));
    assert_eq!(said(&rig.refund("R-3", "404", "1.00").await), (Some("FAIL"), Some("0002")));
    let totals = rig.twin.totals();
    assert_eq!(totals.violations.into_keys().collect::<Vec<_>>(), ["refund_above_payment", "two_bodies"]);
    assert_eq!(totals.refunded["HKD"], (1, 400));
}

#[tokio::test]
async fn rates_are_text_to_the_last_digit_and_the_probe_finds_wrong_credentials() {
    let rig = Rig::new(FaultPlan::NONE);
    let rate = rig.call("exchange_rate", "x", None, json!({ "of": "USD" })).await;
    assert_eq!(rate.result["forex_rate"], "0.1490046489450854690854690666349");
    assert_eq!(
        said(&rig.call("exchange_rate", "x", None, json!({ "of": "CHF" })).await).1,
        Some("CURRENCY_NOT_SUPPORT")
    );
    assert!(rig.client.probe().await.iter().all(|probe| probe.found.is_ok()));
    let config =
        crate::config::HipopayConfig { merchant_no: "HP2".into(), ..identity().config("https://sandbox.invalid") };
    let stranger = Client::new(&config, Transport::InProcess(rig.twin.clone()), Clock::System).unwrap();
    let found = stranger.probe().await;
    assert!(found.last().unwrap().found.as_ref().unwrap_err().contains("ILLEGAL_SECURITY_PROFILE"), "{found:?}");
}

#[tokio::test]
async fn notifications_are_verified_before_they_are_read() {
    let rig = Rig::new(FaultPlan::NONE);
    rig.twin.seed("P-1", hkd("10.00"));
    let (headers, body) = rig.twin.notification("P-1").unwrap();
    let seen = rig.client.read_notification(&headers, &body);
    assert_eq!((said(&seen), seen.order_no.as_deref()), ((Some("PAID"), None), Some("P-1")));
    assert_eq!(seen.amount, Some(Ok(hkd("10.00"))));
    let other = String::from_utf8(body.to_vec()).unwrap().replace("10.00", "99.00");
    assert!(matches!(rig.client.read_notification(&headers, other.as_bytes()).reached, Reached::Unverified(_)));
    assert!(matches!(rig.client.read_notification(&HeaderMap::new(), &body).reached, Reached::Unverified(_)));
}

#[tokio::test]
async fn a_call_that_cannot_be_made_is_not_sent_and_says_why() {
    let rig = Rig::new(FaultPlan::NONE);
    for (operation, amount, why) in [
        ("refund", None, "refund the whole payment"),
        ("refund", Some(hkd("1")), "no transaction_id"),
        ("deduct", None, "no operation"),
        ("mini_program_payment", Some(hkd("1")), "no description"),
    ] {
        let seen = rig.call(operation, "R-1", amount, json!({})).await;
        assert!(matches!(&seen.reached, Reached::Unsendable(said) if said.contains(why)), "{seen:?}");
    }
    assert_eq!(rig.twin.totals(), TillTotals::default());
}
