//! WechatClient and fake against each other, in process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use serde_json::{Map, json};

use super::*;
use crate::faults::{CallKind, FaultPlan};
use crate::shared::keys::nonce;
use crate::wechat::auth::{authorization, request_message};
use crate::{Reaction, SignsWith, WechatAccountKeys};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::Currency;
use payrun_gateway::wechat::{Transport, WechatClient};
use payrun_gateway::{Call, Delivery, Gateway, Observation};

const TIMEOUT: Duration = Duration::from_millis(400);
const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const PAYS: &str = "134650720866361395";
const PAYS_LATER: &str = "134650720866360000";
const CANNOT_PAY: &str = "134650720866360001";

fn identity() -> WechatAccountKeys {
    static ONE: OnceLock<WechatAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| WechatAccountKeys::generate().unwrap())
        .clone()
}

fn institution() -> WechatAccountKeys {
    let mut institution = identity();
    institution.mode = WechatMode::Institutional {
        sp_mchid: "1900000002".into(),
        sp_appid: "wxsp".into(),
        sub_mchid: "10000097".into(),
        sub_appid: Some("wxsub".into()),
    };
    institution
}

fn hkd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("HKD").unwrap()).unwrap()
}

/// What is decided later is decided when it is asked about.
fn at_once() -> Settings {
    Settings {
        pending: Duration::ZERO,
        ..Settings::default()
    }
}

/// A client and its sandbox, on one clock.
struct WechatSandbox {
    fake: Arc<FakeWechat>,
    client: WechatClient,
    clock: Clock,
}

impl WechatSandbox {
    async fn new(plan: FaultPlan) -> Self {
        Self::with(identity(), plan, at_once(), Clock::System).await
    }

    async fn with(
        identity: WechatAccountKeys,
        plan: FaultPlan,
        settings: Settings,
        clock: Clock,
    ) -> Self {
        let settings = Settings {
            plan,
            timeout: TIMEOUT,
            ..settings
        };
        let fake = FakeWechat::open(identity.clone(), settings, clock.clone())
            .await
            .unwrap();
        let config = identity.wechat_config("https://sandbox.invalid");
        let client =
            WechatClient::new(&config, Transport::InProcess(fake.clone()), clock.clone()).unwrap();
        client.probe().await;
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

    async fn pay(&self, number: &str, code: &str) -> Observation {
        let input =
            json!({ "auth_code": code, "description": "Tea", "merchant_category_code": "4111" });
        self.call("micropay", number, Some(hkd("10.00")), input)
            .await
    }

    async fn deduct(&self, number: &str, contract: &str) -> Observation {
        let input = json!({ "contract_id": contract, "description": "Rent", "merchant_category_code": "1011" });
        self.call("deduct", number, Some(hkd("10.00")), input).await
    }

    async fn order(&self, number: &str) -> Observation {
        self.call("order", number, None, json!({})).await
    }

    async fn cancel(&self, way: &str, number: &str) -> Observation {
        self.call(
            "cancel",
            "x",
            None,
            json!({ "way": way, "out_trade_no": number }),
        )
        .await
    }

    /// Gives back some of a payment of 10.00.
    async fn refund(&self, number: &str, transaction_id: &str, amount: &str) -> Observation {
        let input =
            json!({ "transaction_id": transaction_id, "paid": "10.00", "reason": "sold out" });
        self.call("refund", number, Some(hkd(amount)), input).await
    }

    async fn refund_state(&self, number: &str) -> Option<String> {
        let mut state = None;
        for _ in 0..4 {
            state = self
                .call("refund_query", number, None, json!({}))
                .await
                .state;
        }
        state
    }

    async fn totals(&self) -> Totals {
        self.fake.totals().await.unwrap()
    }

    fn moved(&self, number: &str) -> u32 {
        self.fake.refund(number).map_or(0, |refund| refund.moved)
    }
}

fn said(seen: &Observation) -> (Option<u16>, Option<&str>, Option<&str>) {
    assert_eq!(seen.delivery, Delivery::Replied, "{seen:?}");
    (seen.http, seen.state.as_deref(), seen.code.as_deref())
}

const fn refused(http: u16, code: &str) -> (Option<u16>, Option<&str>, Option<&str>) {
    (Some(http), None, Some(code))
}

const DONE: (Option<u16>, Option<&str>, Option<&str>) = (Some(204), None, None);

fn ok(state: &str) -> (Option<u16>, Option<&str>, Option<&str>) {
    (Some(200), Some(state), None)
}

#[tokio::test]
async fn the_payment_code_decides_what_the_payer_does_and_is_never_kept() {
    for identity in [identity(), institution()] {
        let rig = WechatSandbox::with(identity, FaultPlan::NONE, at_once(), Clock::System).await;
        let paid = rig.pay("Q-1", PAYS).await;
        assert_eq!(said(&paid), ok("SUCCESS"));
        assert_eq!(
            (paid.order_no.as_deref(), paid.amount.clone()),
            (Some("Q-1"), Some(Ok(hkd("10.00"))))
        );
        assert!(!format!("{paid:?}").contains(PAYS) && !paid.evidence.contains("oUpF8"));
        let by_id = rig
            .call(
                "order",
                "x",
                None,
                json!({ "transaction_id": paid.receipt.clone().unwrap() }),
            )
            .await;
        assert_eq!(
            (said(&by_id), by_id.order_no.as_deref(), &by_id.receipt),
            (ok("SUCCESS"), Some("Q-1"), &paid.receipt)
        );
        assert_eq!(said(&rig.pay("Q-2", PAYS_LATER).await), ok("USERPAYING"));
        rig.order("Q-2").await;
        assert_eq!(said(&rig.order("Q-2").await), ok("SUCCESS"));
        assert_eq!(said(&rig.pay("Q-3", CANNOT_PAY).await), ok("PAYERROR"));
        assert_eq!(said(&rig.order("Q-3").await), ok("PAYERROR"));
        assert_eq!(
            said(&rig.order("Q-4").await),
            refused(404, "ORDER_NOT_EXIST")
        );
        let totals = rig.totals().await;
        assert_eq!(
            (totals.paid["HKD"], totals.charged.len()),
            (
                ChargedSum {
                    count: 2,
                    minor: 2_000
                },
                0
            )
        );
        assert!(
            totals.refused.is_empty() && totals.violations.is_empty(),
            "{totals:?}"
        );
    }
}

#[tokio::test]
async fn every_fault_of_a_quick_payment_takes_money_at_most_once() {
    for fault in Fault::ALL {
        let rig = WechatSandbox::new(FaultPlan::only(fault)).await;
        let seen = rig.pay("Q-1", PAYS).await;
        let count = |totals: &Totals| totals.paid.get("HKD").map_or(0, |paid| paid.count);
        let moved = count(&rig.totals().await);
        let fits = match fault {
            Fault::Refused
            | Fault::ResetBefore
            | Fault::SilentBefore
            | Fault::ErrorBefore
            | Fault::Limited => moved == 0,
            Fault::ResetAfter | Fault::LateVisible => {
                matches!(seen.delivery, Delivery::Lost(_)) && moved == 1
            }
            Fault::SilentAfter => seen.delivery == Delivery::TimedOut && moved == 1,
            Fault::ErrorAfter => matches!(seen.http, Some(500 | 502)) && moved == 1,
            Fault::WrongSignature => matches!(seen.delivery, Delivery::Unverified(_)) && moved == 1,
            Fault::Truncated => matches!(seen.delivery, Delivery::Unreadable(_)) && moved == 1,
            Fault::OtherAmount => seen.amount == Some(Ok(hkd("10.01"))) && moved == 1,
            Fault::UnmappedCode => seen.code.as_deref() == Some("SANDBOX_UNMAPPED"),
            Fault::Pending => seen.state.as_deref() == Some("USERPAYING") && moved == 0,
            Fault::SoftDecline => seen.code.as_deref() == Some("NOT_ENOUGH") && moved == 0,
            Fault::HardDecline => {
                seen.code.as_deref() == Some("USER_ACCOUNT_ABNORMAL") && moved == 0
            }
            Fault::Slow => moved == 1,
        };
        assert!(fits, "{fault}: moved {moved}, {seen:?}");
        assert_eq!(
            rig.pay("Q-1", PAYS).await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        assert_eq!(
            rig.order("Q-1").await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        let totals = rig.totals().await;
        assert!(
            count(&totals) <= 1 && totals.violations.is_empty(),
            "{fault}: {totals:?}"
        );
    }
}

#[tokio::test]
async fn a_number_is_a_deductions_or_a_quick_payments_and_never_both() {
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    rig.deduct("D-1", "C").await;
    assert_eq!(
        said(&rig.pay("D-1", PAYS).await),
        refused(400, "OUT_TRADE_NO_USED")
    );
    rig.pay("Q-1", PAYS).await;
    assert_eq!(
        said(&rig.deduct("Q-1", "C").await),
        refused(400, "OUT_TRADE_NO_USED")
    );
    assert_eq!(
        said(&rig.pay("Q-1", PAYS_LATER).await),
        refused(400, "OUT_TRADE_NO_USED")
    );
    assert_eq!(rig.totals().await.violations["two_bodies"], 3);
}

#[tokio::test]
async fn a_refund_is_accepted_first_and_made_later() {
    for identity in [identity(), institution()] {
        let rig = WechatSandbox::with(identity, FaultPlan::NONE, at_once(), Clock::System).await;
        let id = rig.fake.seed("P-1", hkd("10.00"));
        let accepted = rig.refund("R-1", &id, "4.00").await;
        assert_eq!(said(&accepted), (Some(200), None, None));
        assert_eq!(
            (accepted.order_no.as_deref(), accepted.amount),
            (Some("R-1"), Some(Ok(hkd("4.00"))))
        );
        assert_eq!(rig.moved("R-1"), 0);
        let made = rig.call("refund_query", "R-1", None, json!({})).await;
        assert_eq!(
            (said(&made), made.amount.clone()),
            (ok("SUCCESS"), Some(Ok(hkd("4.00"))))
        );
        assert_eq!(
            (&made.receipt, made.order_no.as_deref()),
            (&accepted.receipt, Some("R-1"))
        );
        assert_eq!(
            (&made.result["transaction_id"], &made.result["out_trade_no"]),
            (&json!(id), &json!("P-1"))
        );
        assert_eq!(made.result["channel"], "ORIGINAL");
        assert!(
            !made.evidence.contains("0403") && !made.evidence.contains("招商"),
            "{}",
            made.evidence
        );
        assert_eq!(said(&rig.order("P-1").await), ok("REFUND"));
        let absent = rig.call("refund_query", "R-2", None, json!({})).await;
        assert_eq!(said(&absent), refused(404, "RESOURCE_NOT_EXISTS"));
        let totals = rig.totals().await;
        assert_eq!(
            totals.refunded["HKD"],
            ChargedSum {
                count: 1,
                minor: 400
            }
        );
        assert!(
            totals.refused.is_empty() && totals.violations.is_empty(),
            "{totals:?}"
        );
    }
}

#[tokio::test]
async fn a_deduction_is_refunded_under_its_own_number_and_counts_once() {
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    let id = rig.deduct("D-1", "C").await.receipt.unwrap();
    rig.refund("R-1", &id, "4.00").await;
    let by_number = json!({ "out_trade_no": "D-1", "paid": "10.00" });
    rig.call("refund", "R-2", Some(hkd("6.00")), by_number)
        .await;
    for number in ["R-1", "R-2"] {
        assert_eq!(rig.refund_state(number).await.as_deref(), Some("SUCCESS"));
    }
    let order = rig.order("D-1").await;
    assert_eq!(
        (said(&order), order.receipt.as_deref()),
        (ok("REFUND"), Some(id.as_str()))
    );
    assert_eq!(
        said(&rig.call("transaction", "D-1", None, json!({})).await),
        ok("REFUND")
    );
    let totals = rig.totals().await;
    assert_eq!((totals.charged["HKD"].count, totals.paid.len()), (1, 0));
    assert_eq!(
        totals.refunded["HKD"],
        ChargedSum {
            count: 2,
            minor: 1_000
        }
    );
}

#[tokio::test]
async fn every_fault_of_a_refund_is_observed_for_what_it_is_and_pays_at_most_once() {
    for fault in Fault::ALL {
        let rig = WechatSandbox::new(FaultPlan::only(fault)).await;
        let id = rig.fake.seed("P-1", hkd("10.00"));
        let seen = rig.refund("R-1", &id, "4.00").await;
        let created = rig
            .fake
            .refund("R-1")
            .is_some_and(|refund| refund.state != TransactionState::Seen);
        let lost = matches!(seen.delivery, Delivery::Lost(_));
        let fits = match fault {
            Fault::Refused => matches!(seen.delivery, Delivery::Unreachable(..)) && !created,
            Fault::ResetBefore => lost && !created,
            Fault::ResetAfter | Fault::LateVisible => lost && created,
            Fault::SilentBefore => seen.delivery == Delivery::TimedOut && !created,
            Fault::SilentAfter => seen.delivery == Delivery::TimedOut && created,
            Fault::ErrorBefore => matches!(seen.http, Some(500 | 502)) && !created,
            // One that is limited may have been accepted all the same.
            Fault::ErrorAfter => matches!(seen.http, Some(500 | 502 | 429)) && created,
            Fault::Limited => seen.http == Some(429) && seen.retry_after.is_some() && !created,
            Fault::WrongSignature => matches!(seen.delivery, Delivery::Unverified(_)) && created,
            Fault::Truncated => matches!(seen.delivery, Delivery::Unreadable(_)) && created,
            Fault::OtherAmount => seen.amount == Some(Ok(hkd("4.01"))) && created,
            Fault::UnmappedCode => seen.code.as_deref() == Some("SANDBOX_UNMAPPED"),
            Fault::Pending => seen.http == Some(200) && created,
            Fault::SoftDecline => said(&seen) == refused(403, "NOT_ENOUGH") && !created,
            Fault::HardDecline => said(&seen) == refused(403, "USER_ACCOUNT_ABNORMAL") && !created,
            Fault::Slow => created,
        };
        assert!(fits, "{fault}: created {created}, {seen:?}");
        assert_eq!(
            rig.refund("R-1", &id, "4.00").await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        rig.refund_state("R-1").await;
        assert!(rig.moved("R-1") <= 1, "{fault}");
        let totals = rig.totals().await;
        assert!(
            totals.violations.is_empty() && totals.faults[fault.as_str()] == 1,
            "{fault}: {totals:?}"
        );
    }
}

#[tokio::test]
async fn a_refund_that_was_accepted_can_still_fail_and_gives_its_share_back() {
    let rig = WechatSandbox::new(FaultPlan::only(Fault::Pending)).await;
    let id = rig.fake.seed("P-1", hkd("10.00"));
    let mut failed = 0;
    for n in 0..20 {
        let number = format!("R-{n}");
        assert_eq!(
            said(&rig.refund(&number, &id, "0.50").await),
            (Some(200), None, None)
        );
        failed += i64::from(rig.refund_state(&number).await.as_deref() == Some("ABNORMAL"));
    }
    assert!((1..20).contains(&failed), "{failed}");
    let rest = Amount::from_minor(50 * failed, Currency::parse("HKD").unwrap()).unwrap();
    assert_eq!(
        said(&rig.refund("R-rest", &id, &rest.decimal()).await),
        (Some(200), None, None)
    );
    assert_eq!(
        said(&rig.refund("R-more", &id, "0.01").await),
        refused(403, "INVALID_REQUEST")
    );
    assert_eq!(
        rig.totals()
            .await
            .violations
            .into_keys()
            .collect::<Vec<_>>(),
        ["refund_above_payment"]
    );
}

#[tokio::test]
async fn whatever_goes_wrong_no_more_is_given_back_than_was_paid() {
    for seed in 0..3 {
        let rig = WechatSandbox::new(FaultPlan::new(seed, crate::faults::Level::Heavy)).await;
        let id = rig.fake.seed("P-1", hkd("10.00"));
        let numbers: Vec<String> = (0..8).map(|n| format!("R-{seed}-{n}")).collect();
        for _ in 0..2 {
            futures_util::future::join_all(
                numbers.iter().map(|number| rig.refund(number, &id, "2.00")),
            )
            .await;
            futures_util::future::join_all(numbers.iter().map(|number| rig.refund_state(number)))
                .await;
        }
        let refunded = rig.totals().await.refunded["HKD"];
        assert!(
            refunded.minor <= 1_000 && refunded.minor == i128::from(refunded.count) * 200,
            "{seed}: {refunded:?}"
        );
        assert!(
            numbers.iter().all(|number| rig.moved(number) <= 1),
            "{seed}"
        );
    }
}

#[tokio::test]
async fn refunds_that_break_a_rule_are_refused_and_counted() {
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    let id = rig.fake.seed("P-1", hkd("10.00"));
    rig.refund("R-1", &id, "4.00").await;
    assert_eq!(
        said(&rig.refund("R-1", &id, "5.00").await),
        refused(400, "OUT_REFUND_NO_USED")
    );
    assert_eq!(
        said(&rig.refund("R-2", &id, "6.01").await),
        refused(403, "INVALID_REQUEST")
    );
    assert_eq!(
        said(&rig.refund("R-3", "404", "1.00").await),
        refused(404, "RESOURCE_NOT_EXISTS")
    );
    let other_total = json!({ "transaction_id": id, "paid": "11.00" });
    let refusal = rig
        .call("refund", "R-4", Some(hkd("1.00")), other_total)
        .await;
    assert_eq!(said(&refusal), refused(403, "INVALID_REQUEST"));
    rig.pay("Q-1", CANNOT_PAY).await;
    let unpaid = json!({ "out_trade_no": "Q-1", "paid": "10.00" });
    assert_eq!(
        said(&rig.call("refund", "R-5", Some(hkd("1.00")), unpaid).await),
        refused(403, "INVALID_REQUEST")
    );
    rig.deduct("D-1", "C-poor").await;
    let unpaid = json!({ "out_trade_no": "D-1", "paid": "10.00" });
    assert_eq!(
        said(&rig.call("refund", "R-6", Some(hkd("1.00")), unpaid).await),
        refused(403, "INVALID_REQUEST")
    );
    let totals = rig.totals().await;
    assert_eq!(
        totals.violations.into_keys().collect::<Vec<_>>(),
        ["refund_above_payment", "two_bodies"]
    );
}

#[tokio::test]
async fn two_refunds_of_a_payment_are_as_far_apart_as_is_asked_for() {
    let clock = Clock::driven(NOW);
    let settings = Settings {
        refund_gap: Duration::from_secs(60),
        ..Settings::default()
    };
    let rig = WechatSandbox::with(identity(), FaultPlan::NONE, settings, clock.clone()).await;
    let (id, other) = (
        rig.fake.seed("P-1", hkd("10.00")),
        rig.fake.seed("P-2", hkd("10.00")),
    );
    rig.refund("R-1", &id, "1.00").await;
    assert_eq!(said(&rig.refund("R-1", &id, "1.00").await).0, Some(200));
    assert_eq!(said(&rig.refund("R-2", &other, "1.00").await).0, Some(200));
    assert_eq!(
        said(&rig.refund("R-3", &id, "1.00").await),
        refused(429, "FREQUENCY_LIMITED")
    );
    assert_eq!(rig.totals().await.violations["refunds_too_close"], 1);
    clock.set(clock.now().plus(Duration::from_secs(60)));
    assert_eq!(said(&rig.refund("R-3", &id, "1.00").await).0, Some(200));
}

#[tokio::test]
async fn all_refunds_of_a_payment_come_page_after_page_and_there_are_fifty_at_most() {
    let rig = WechatSandbox::with(institution(), FaultPlan::NONE, at_once(), Clock::System).await;
    let id = rig.fake.seed("P-1", hkd("10.00"));
    let none = rig
        .call("refunds", "x", None, json!({ "transaction_id": id }))
        .await;
    assert_eq!(
        (said(&none), none.records.len()),
        ((Some(200), Some("LISTED"), None), 0)
    );
    for n in 0..50 {
        assert_eq!(
            said(&rig.refund(&format!("R-{n}"), &id, "0.10").await).0,
            Some(200)
        );
    }
    assert_eq!(
        said(&rig.refund("R-50", &id, "0.10").await),
        refused(403, "INVALID_REQUEST")
    );
    for input in [
        json!({ "transaction_id": id }),
        json!({ "out_trade_no": "P-1" }),
    ] {
        let seen = rig.call("refunds", "x", None, input).await;
        assert_eq!(seen.records.len(), 50);
        assert!(!seen.evidence.contains("0403") && !seen.evidence.contains("招商"));
        let numbers: Vec<_> = seen
            .records
            .iter()
            .map(|row| row["out_refund_no"].as_str().unwrap())
            .collect();
        assert_eq!((numbers[0], numbers[49]), ("R-0", "R-49"));
        assert_eq!(
            (&seen.records[0]["refund"], &seen.records[0]["currency"]),
            (&json!(10), &json!("HKD"))
        );
        assert_eq!(
            (seen.receipt.as_ref(), seen.order_no.as_deref()),
            (Some(&id), Some("P-1"))
        );
    }
    let absent = rig
        .call("refunds", "x", None, json!({ "out_trade_no": "P-2" }))
        .await;
    assert_eq!(said(&absent), refused(404, "ORDER_NOT_EXIST"));
    assert!(rig.totals().await.refused.is_empty());
}

#[tokio::test]
async fn a_list_of_which_a_page_does_not_come_is_not_given_out() {
    for fault in [
        Fault::ResetBefore,
        Fault::SilentBefore,
        Fault::ErrorBefore,
        Fault::WrongSignature,
        Fault::Truncated,
    ] {
        let plan = FaultPlan {
            on: Some(CallKind::Query),
            ..FaultPlan::only(fault)
        };
        let rig = WechatSandbox::new(plan).await;
        let id = rig.fake.seed("P-1", hkd("10.00"));
        rig.refund("R-1", &id, "1.00").await;
        let seen = rig
            .call("refunds", "x", None, json!({ "transaction_id": id }))
            .await;
        assert!(
            seen.records.is_empty() && seen.http != Some(200) || seen.delivery != Delivery::Replied,
            "{fault}: {seen:?}"
        );
        let again = rig
            .call("refunds", "x", None, json!({ "transaction_id": id }))
            .await;
        assert_eq!(again.records.len(), 1, "{fault}");
    }
}

#[tokio::test]
async fn closing_ends_what_is_not_paid_and_nothing_else() {
    let rig = WechatSandbox::with(identity(), FaultPlan::NONE, at_once(), Clock::System).await;
    rig.pay("Q-1", PAYS).await;
    assert_eq!(
        said(&rig.cancel("close", "Q-1").await),
        refused(400, "ORDERPAID")
    );
    let slow = Settings {
        pending: Duration::from_secs(60),
        ..Settings::default()
    };
    let waiting = WechatSandbox::with(institution(), FaultPlan::NONE, slow, Clock::System).await;
    waiting.pay("Q-2", PAYS_LATER).await;
    for _ in 0..2 {
        let closed = waiting.cancel("close", "Q-2").await;
        assert_eq!((said(&closed), closed.evidence.as_str()), (DONE, ""));
    }
    assert_eq!(said(&waiting.order("Q-2").await), ok("CLOSED"));
    assert_eq!(said(&waiting.pay("Q-2", PAYS_LATER).await), ok("CLOSED"));
    assert_eq!(waiting.totals().await.paid.len(), 0);
    rig.deduct("D-1", "C-poor").await;
    assert_eq!(
        said(&rig.cancel("close", "D-1").await),
        refused(404, "ORDER_NOT_EXIST")
    );
    assert_eq!(
        said(&rig.cancel("close", "D-3").await),
        refused(404, "ORDER_NOT_EXIST")
    );
}

/// Half of the reversed payments have each of these states.
fn is_reversed(order: &Observation) -> bool {
    [ok("REVOKED"), ok("REFUND")].contains(&said(order))
}

#[tokio::test]
async fn a_reversal_gives_back_what_was_paid_once_and_is_repeated_while_the_payer_pays() {
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    rig.pay("Q-1", PAYS).await;
    rig.pay("Q-2", CANNOT_PAY).await;
    let slow = Settings {
        pending: Duration::from_secs(60),
        ..Settings::default()
    };
    for number in ["Q-1", "Q-1", "Q-2"] {
        assert_eq!(said(&rig.cancel("reverse", number).await), DONE);
    }
    assert!(is_reversed(&rig.order("Q-1").await));
    assert_eq!(
        rig.totals().await.refunded["HKD"],
        ChargedSum {
            count: 1,
            minor: 1_000
        }
    );
    let id = rig.order("Q-1").await.receipt.unwrap();
    assert_eq!(
        said(&rig.refund("R-1", &id, "1.00").await),
        refused(403, "INVALID_REQUEST")
    );
    assert_eq!(rig.totals().await.refunded["HKD"].count, 1);
    let waiting = WechatSandbox::with(identity(), FaultPlan::NONE, slow, Clock::System).await;
    let mut repeated = 0;
    for n in 0..6 {
        let number = format!("Q-1{n}");
        waiting.pay(&number, PAYS_LATER).await;
        let mut answer = waiting.cancel("reverse", &number).await;
        while said(&answer) == refused(500, "SYSTEM_ERROR") && repeated < 20 {
            repeated += 1;
            answer = waiting.cancel("reverse", &number).await;
        }
        assert!(
            said(&answer) == DONE && is_reversed(&waiting.order(&number).await),
            "{answer:?}"
        );
    }
    assert!((1..20).contains(&repeated), "{repeated}");
    let totals = waiting.totals().await;
    assert_eq!(
        (totals.paid["HKD"], &totals.refunded),
        (
            ChargedSum {
                count: 6,
                minor: 6_000
            },
            &totals.paid
        )
    );
}

#[tokio::test]
async fn the_reversal_of_a_deduction_closes_an_unpaid_one_and_gives_no_money_back() {
    for identity in [identity(), institution()] {
        let rig = WechatSandbox::with(identity, FaultPlan::NONE, at_once(), Clock::System).await;
        for number in ["D-1", "D-3", "D-4", "D-5"] {
            rig.deduct(number, &format!("C-{number}")).await;
            assert_eq!(
                said(&rig.cancel("reverse", number).await),
                refused(404, "ORDER_NOT_EXIST")
            );
            let paid = rig.cancel("deduction", number).await;
            assert!(
                matches!(
                    (paid.http, paid.code.as_deref()),
                    (Some(400), Some("ORDERPAID" | "ORDER_PAID"))
                ),
                "{paid:?}"
            );
            assert_eq!(
                said(&rig.call("transaction", number, None, json!({})).await),
                ok("SUCCESS")
            );
        }
        assert!(rig.totals().await.refunded.is_empty());
        assert_eq!(
            said(&rig.cancel("deduction", "D-9").await),
            refused(404, "NOT_FOUND")
        );
        rig.deduct("D-2", "C-2-poor").await;
        assert_eq!(said(&rig.cancel("deduction", "D-2").await), DONE);
        let again = rig.cancel("deduction", "D-2").await;
        assert!(
            matches!(again.code.as_deref(), Some("ORDERCLOSED" | "ORDER_CLOSED")),
            "{again:?}"
        );
        assert_eq!(
            said(&rig.call("transaction", "D-2", None, json!({})).await),
            ok("CLOSED")
        );
        let totals = rig.totals().await;
        assert!(
            totals.refused.is_empty() && totals.violations.is_empty(),
            "{totals:?}"
        );
    }
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    let totals = rig.totals().await;
    assert!(
        totals.refused.is_empty() && totals.violations.is_empty(),
        "{totals:?}"
    );
}

#[tokio::test]
async fn every_fault_of_a_reversal_gives_back_at_most_once() {
    for fault in Fault::ALL {
        let rig = WechatSandbox::new(FaultPlan::only(fault)).await;
        rig.fake.seed("P-1", hkd("10.00"));
        let mut last = rig.cancel("reverse", "P-1").await;
        for _ in 0..3 {
            last = rig.cancel("reverse", "P-1").await;
        }
        let given = rig
            .totals()
            .await
            .refunded
            .get("HKD")
            .map_or(0, |given| given.count);
        let ended = matches!(last.http, Some(204 | 403));
        assert!(
            ended && given <= 1 && (last.http == Some(204)) == (given == 1),
            "{fault}: {given}, {last:?}"
        );
        assert!(rig.totals().await.violations.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn over_sockets_a_reply_without_a_body_is_verified_and_every_fault_resolved() {
    for fault in Fault::ALL {
        let settings = Settings {
            plan: FaultPlan::only(fault),
            timeout: TIMEOUT,
            ..at_once()
        };
        let fake = FakeWechat::open(identity(), settings, Clock::System)
            .await
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config =
            identity().wechat_config(&format!("http://{}", listener.local_addr().unwrap()));
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let shutdown = async move { stopped.await.unwrap_or(()) };
        tokio::spawn(crate::server::serve(fake.clone(), listener, shutdown));
        let client =
            WechatClient::new(&config, Transport::http(8, TIMEOUT).unwrap(), Clock::System)
                .unwrap();
        client.probe().await;
        let rig = WechatSandbox {
            fake,
            client,
            clock: Clock::System,
        };
        rig.fake.seed("P-1", hkd("10.00"));
        let first = rig.cancel("reverse", "P-1").await;
        if fault == Fault::WrongSignature {
            assert!(
                matches!(first.delivery, Delivery::Unverified(_)),
                "{first:?}"
            );
        }
        if fault == Fault::OtherAmount {
            assert_eq!((said(&first), first.evidence.as_str()), (DONE, ""));
        }
        let last = rig.cancel("reverse", "P-1").await;
        assert!(matches!(last.http, Some(204 | 403)), "{fault}: {last:?}");
        let given = rig
            .totals()
            .await
            .refunded
            .get("HKD")
            .map_or(0, |given| given.count);
        assert_eq!(given, u64::from(last.http == Some(204)), "{fault}");
        drop(stop);
    }
}

#[tokio::test]
async fn whatever_goes_wrong_a_deduction_that_was_not_paid_is_closed_and_stays_so() {
    let mut met = 0;
    for seed in 0..4 {
        let rig = WechatSandbox::new(FaultPlan::new(seed, crate::faults::Level::Heavy)).await;
        for n in 0..3 {
            let number = format!("D-{n}");
            let mut refused = rig.deduct(&number, "C-poor").await;
            while refused.code.as_deref() != Some("NOT_ENOUGH") {
                refused = rig.deduct(&number, "C-poor").await;
            }
            let mut closed = rig.cancel("deduction", &number).await;
            while closed.http != Some(204) {
                met += 1;
                assert!(met < 100, "{closed:?}");
                closed = rig.cancel("deduction", &number).await;
            }
            assert_eq!(
                rig.deduct(&number, "C-poor").await.code.as_deref(),
                Some("ORDER_CLOSED")
            );
        }
        let totals = rig.totals().await;
        assert!(
            totals.charged.is_empty() && totals.refunded.is_empty() && totals.violations.is_empty(),
            "{totals:?}"
        );
    }
    assert!(met > 0);
}

#[tokio::test]
async fn orders_are_withdrawn_no_sooner_than_is_asked_for() {
    let clock = Clock::driven(NOW);
    let settings = Settings {
        reverse_after: Duration::from_secs(15),
        close_after: Duration::from_secs(300),
        ..Settings::default()
    };
    let rig = WechatSandbox::with(identity(), FaultPlan::NONE, settings, clock.clone()).await;
    rig.pay("Q-1", PAYS).await;
    rig.pay("Q-2", CANNOT_PAY).await;
    clock.set(clock.now().plus(Duration::from_secs(14)));
    assert_eq!(
        said(&rig.cancel("reverse", "Q-1").await),
        refused(403, "INVALID_REQUEST")
    );
    assert_eq!(
        said(&rig.cancel("close", "Q-2").await),
        refused(403, "INVALID_REQUEST")
    );
    clock.set(clock.now().plus(Duration::from_secs(1)));
    assert_eq!(said(&rig.cancel("reverse", "Q-1").await), DONE);
    clock.set(clock.now().plus(Duration::from_secs(285)));
    assert_eq!(said(&rig.cancel("close", "Q-2").await), DONE);
}

#[tokio::test]
async fn an_ended_contract_says_so_and_is_deducted_from_no_more() {
    for identity in [identity(), institution()] {
        let rig = WechatSandbox::with(identity, FaultPlan::NONE, at_once(), Clock::System).await;
        let end = async |contract: &str| {
            rig.call(
                "terminate",
                "T-1",
                None,
                json!({ "contract_id": contract, "reason": "moved out" }),
            )
            .await
        };
        let state = async || {
            rig.call("contract", "T-1", None, json!({ "contract_id": "C-1" }))
                .await
                .state
        };
        assert_eq!(state().await.as_deref(), Some("SIGNED"));
        assert_eq!(said(&end("C-1").await), DONE);
        assert_eq!(state().await.as_deref(), Some("TERMINATED"));
        assert_eq!(
            said(&rig.deduct("D-1", "C-1").await),
            refused(403, "CONTRACT_NOT_EXIST")
        );
        assert_eq!(
            said(&end("C-unknown").await),
            refused(403, "CONTRACT_NOT_EXIST")
        );
        assert!(rig.totals().await.refused.is_empty());
    }
    for fault in Fault::ALL {
        let rig = WechatSandbox::new(FaultPlan::only(fault)).await;
        let input = json!({ "contract_id": "C-1", "reason": "moved out" });
        rig.call("terminate", "T-1", None, input.clone()).await;
        assert_eq!(
            said(&rig.call("terminate", "T-1", None, input).await),
            DONE,
            "{fault}"
        );
        assert!(rig.fake.payments.has_ended("C-1"), "{fault}");
    }
}

#[tokio::test]
async fn notifications_read_like_queries_of_the_same_thing() {
    for identity in [identity(), institution()] {
        let rig = WechatSandbox::with(identity, FaultPlan::NONE, at_once(), Clock::System).await;
        let same = |notified: Observation, asked: Observation| {
            let bare = |seen: Observation| Observation {
                http: None,
                about: None,
                evidence: String::new(),
                ..seen
            };
            assert_eq!(notified.delivery, Delivery::Replied);
            assert!(
                !notified.evidence.contains("oUpF8") && !notified.evidence.contains("0403"),
                "{notified:?}"
            );
            assert_eq!(bare(notified), bare(asked));
        };
        rig.pay("Q-1", PAYS).await;
        rig.deduct("D-1", "C").await;
        for number in ["Q-1", "D-1"] {
            let (headers, body) = rig.fake.notification(number).await.unwrap().unwrap();
            same(
                rig.client
                    .read_notification(&headers, &body, rig.clock.now())
                    .await,
                rig.order(number).await,
            );
        }
        let id = rig.order("Q-1").await.receipt.unwrap();
        rig.refund("R-1", &id, "4.00").await;
        assert!(rig.fake.refund_notification("R-1").is_none());
        let asked = rig.call("refund_query", "R-1", None, json!({})).await;
        let (headers, body) = rig.fake.refund_notification("R-1").unwrap();
        let notified = rig
            .client
            .read_notification(&headers, &body, rig.clock.now())
            .await;
        // A notification does not say by which way the money goes back.
        let asked_result = asked
            .result
            .clone()
            .into_iter()
            .filter(|(name, _)| name != "channel")
            .collect();
        same(
            notified,
            Observation {
                result: asked_result,
                ..asked
            },
        );
        assert!(rig.fake.notification("Q-2").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_notification_that_is_forged_stale_or_not_ours_is_not_believed() {
    let clock = Clock::driven(NOW);
    let rig = WechatSandbox::with(
        identity(),
        FaultPlan::NONE,
        Settings::default(),
        clock.clone(),
    )
    .await;
    rig.pay("Q-1", PAYS).await;
    let (headers, body) = rig.fake.notification("Q-1").await.unwrap().unwrap();
    let unverified = async |headers: &HeaderMap, body: &[u8]| {
        let seen = rig
            .client
            .read_notification(headers, body, clock.now())
            .await;
        assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
        assert_eq!((seen.state, seen.amount, seen.order_no), (None, None, None));
    };
    let spoilt = Bytes::from([&body[..body.len() - 1], b" }"].concat());
    unverified(&headers, &spoilt).await;
    unverified(&HeaderMap::new(), &body).await;
    let mut probe = headers.clone();
    probe.insert(
        "wechatpay-signature",
        HeaderValue::from_static("WECHATPAY/SIGNTEST/c2lnbmVk"),
    );
    unverified(&probe, &body).await;
    let mut stranger = headers.clone();
    stranger.insert(
        "wechatpay-serial",
        HeaderValue::from_static("7000000000000000"),
    );
    unverified(&stranger, &body).await;
    let stranger = institution().wechat_config("https://sandbox.invalid");
    let stranger = WechatClient::new(
        &stranger,
        Transport::InProcess(rig.fake.clone()),
        clock.clone(),
    )
    .unwrap();
    let seen = stranger
        .read_notification(&headers, &body, clock.now())
        .await;
    // The gateway refuses it the certificates.
    assert!(matches!(&seen.delivery, Delivery::NoKeys(_)), "{seen:?}");
    let (own, text) = rig
        .fake
        .notice(
            "PAYSCORE.USER_OPEN_SERVICE",
            "payscore",
            &json!({ "mchid": "1900000001" }),
        )
        .unwrap();
    assert!(matches!(
        rig.client
            .read_notification(&own, &text, clock.now())
            .await
            .delivery,
        Delivery::Unreadable(_)
    ));
    let (other, text) = rig
        .fake
        .notice(
            "REFUND.SUCCESS",
            "refund",
            &json!({ "mchid": "1900000003" }),
        )
        .unwrap();
    let seen = rig
        .client
        .read_notification(&other, &text, clock.now())
        .await;
    assert_eq!(
        seen.delivery,
        Delivery::Unreadable("the notification is for another merchant".into())
    );
    assert_eq!(
        rig.client
            .read_notification(&headers, &body, rig.clock.now())
            .await
            .delivery,
        Delivery::Replied
    );
    clock.set(clock.now().plus(Duration::from_secs(300)));
    unverified(&headers, &body).await;
    let (ahead, body) = rig.fake.notification("Q-1").await.unwrap().unwrap();
    let late = WechatClient::new(
        &identity().wechat_config("https://sandbox.invalid"),
        Transport::InProcess(rig.fake.clone()),
        Clock::driven(NOW),
    );
    assert!(matches!(
        late.unwrap()
            .read_notification(&ahead, &body, NOW)
            .await
            .delivery,
        Delivery::Unverified(_)
    ));
    assert!(rig.clock.now() > NOW);
}

#[tokio::test]
async fn in_public_key_mode_notifications_are_verified_and_opened_too() {
    let settings = Settings {
        signs_with: SignsWith::PublicKey,
        ..Settings::default()
    };
    let fake = FakeWechat::open(identity(), settings, Clock::System)
        .await
        .unwrap();
    fake.seed("P-1", hkd("10.00"));
    let config = identity().wechat_config_with_public_key("https://sandbox.invalid");
    let client =
        WechatClient::new(&config, Transport::InProcess(fake.clone()), Clock::System).unwrap();
    let (headers, body) = fake.notification("P-1").await.unwrap().unwrap();
    assert_eq!(
        said(
            &client
                .read_notification(&headers, &body, Clock::System.now())
                .await
        ),
        (None, Some("SUCCESS"), None)
    );
}

#[tokio::test]
async fn requests_that_are_not_as_documented_are_refused() {
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    let send = async |method: Method, target: &str, body: Value| {
        let body = if body.is_null() {
            Bytes::new()
        } else {
            serde_json::to_vec(&body).unwrap().into()
        };
        let (seconds, random) = (rig.clock.now().seconds().to_string(), nonce().unwrap());
        let message = request_message(method.as_str(), target, &seconds, &random, &body);
        let signed = authorization(&identity().merchant, &seconds, &random, &message);
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
        match rig.fake.handle(request.body(body).unwrap()).await {
            Reaction::Reply(reply) => {
                let body: Value = serde_json::from_slice(reply.body()).unwrap_or_default();
                body["message"].as_str().unwrap_or_default().to_owned()
            }
            other @ (Reaction::Refuse
            | Reaction::Reset
            | Reaction::Hold
            | Reaction::Silence
            | Reaction::Truncate(_)) => {
                panic!("{other:?}")
            }
        }
    };
    let refund = |field: &str, value: Value| {
        let mut body = json!({
            "mchid": "1900000001", "appid": "wx0000000000000001", "transaction_id": "1", "out_refund_no": "R",
            "amount": { "refund": 1, "total": 1, "currency": "HKD" },
        });
        body[field] = value;
        body
    };
    let amount = |refund: Value| json!({ "refund": refund, "total": 1, "currency": "HKD" });
    let cases = [
        ("surprise", json!(1), "unknown_parameter"),
        ("mchid", json!("1900000009"), "wrong_ids"),
        ("sp_mchid", json!("1900000001"), "unknown_parameter"),
        ("out_trade_no", json!("P-1"), "repeated_parameter"),
        ("amount", amount(json!("1")), "wrong_type"),
        ("amount", amount(json!(0)), "amount_not_positive"),
        (
            "notify_url",
            json!("http://example.com"),
            "wrong_notify_url",
        ),
        ("out_refund_no", json!("x".repeat(65)), "wrong_length"),
        ("source", json!("POCKET"), "wrong_word"),
    ];
    for (field, value, reason) in cases {
        assert_eq!(
            send(Method::POST, "/v3/global/refunds", refund(field, value)).await,
            reason,
            "{field}"
        );
    }
    let ids = "mchid=1900000001";
    let queries = [
        (
            "/v3/global/refunds?transaction_id=1&offset=0&count=21&",
            "wrong_number",
        ),
        (
            "/v3/global/refunds?transaction_id=1&count=20&",
            "missing_parameter",
        ),
        ("/v3/global/refunds?offset=0&count=20&", "missing_parameter"),
        (
            "/v3/global/transactions/id/1?surprise=1&",
            "unknown_parameter",
        ),
        ("/v3/global/transactions/name/1?", "no_such_path"),
    ];
    for (target, reason) in queries {
        assert_eq!(
            send(Method::GET, &format!("{target}{ids}"), Value::Null).await,
            reason,
            "{target}"
        );
    }
    assert_eq!(
        send(
            Method::GET,
            "/v3/global/transactions/id/1?mchid=2",
            Value::Null
        )
        .await,
        "wrong_ids"
    );
    let close = "/v3/global/transactions/out-trade-no/P-1/close";
    assert_eq!(
        send(
            Method::POST,
            close,
            json!({ "mchid": "1900000001", "appid": "wx" })
        )
        .await,
        "unknown_parameter"
    );
    assert_eq!(
        send(Method::POST, close, json!({})).await,
        "missing_parameter"
    );
    let end = "/v3/global/papay/contracts/C/terminate";
    assert_eq!(
        send(Method::POST, end, json!({ "appid": "wx0000000000000001" })).await,
        "missing_parameter"
    );
    assert!(
        rig.pay("Q-1", "12")
            .await
            .evidence
            .contains("wrong_auth_code")
    );
}

#[tokio::test]
async fn the_books_of_other_payments_are_shown_and_filled_beside_those_of_deductions() {
    let rig = WechatSandbox::new(FaultPlan::NONE).await;
    let seeds = br#"[{"number":"P-1","amount":"10.00","currency":"HKD"}]"#;
    let put = rig
        .fake
        .payments
        .responder
        .about(&Method::POST, "payments", seeds)
        .unwrap();
    rig.refund("R-1", put[0]["gateway_number"].as_str().unwrap(), "4.00")
        .await;
    rig.refund_state("R-1").await;
    let books = rig
        .fake
        .payments
        .responder
        .about(&Method::GET, "books", b"")
        .unwrap();
    assert_eq!(
        (&books["paid"]["HKD"], &books["refunded"]["HKD"]),
        (&json!([1, 1_000]), &json!([1, 400]))
    );
}
