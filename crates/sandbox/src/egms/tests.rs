//! EgmsClient and fake against each other, in process.

use std::time::Duration;

use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::*;
use crate::faults::FaultPlan;
use payrun_domain::answer::{Answer, Cause, LaneEffect};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::Currency;
use payrun_gateway::egms::EgmsClient;
use payrun_gateway::egms::account::SignType;
use payrun_gateway::transport::Transport;
use payrun_gateway::{Call, Delivery, Gateway, Observation};
use payrun_project::config::EgmsConfig;
use payrun_project::job_kinds::judge::{ExpectedReply, judge};

const TIMEOUT: Duration = Duration::from_millis(400);

fn usd(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("USD").unwrap()).unwrap()
}

/// A client and its sandbox.
struct EgmsSandbox {
    fake: Arc<FakeEgms>,
    client: EgmsClient,
}

impl EgmsSandbox {
    fn new(plan: FaultPlan) -> Self {
        Self::of(EgmsAccountKeys::generate().unwrap(), plan)
    }

    fn of(identity: EgmsAccountKeys, plan: FaultPlan) -> Self {
        let settings = Settings {
            plan,
            timeout: TIMEOUT,
            pending: Duration::ZERO,
            ..Settings::default()
        };
        let fake = FakeEgms::open(&identity, settings, Clock::System);
        let transport = Transport::InProcess(fake.clone());
        let client = EgmsClient::new(
            &identity.config("https://sandbox.invalid"),
            transport,
            Clock::System,
        )
        .unwrap();
        Self { fake, client }
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
        let amount = amount.map(usd);
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
            json!({ "out_trade_no": payment, "reason": "returned", "trans_time": TIME }),
        )
        .await
    }
}

/// The same order has the same time, however often it is sent.
const TIME: &str = "2026-11-22T10:00:00+08:00";

fn said(seen: &Observation) -> (Option<&str>, Option<&str>) {
    assert_eq!(seen.delivery, Delivery::Replied, "{seen:?}");
    (seen.state.as_deref(), seen.code.as_deref())
}

#[tokio::test]
async fn a_payment_is_created_captured_and_refunded_under_every_digest() {
    for word in SignType::WORDS {
        let mut identity = EgmsAccountKeys::generate().unwrap();
        identity.sign_type = SignType::parse(word).unwrap();
        let rig = EgmsSandbox::of(identity, FaultPlan::NONE);
        let made = rig
            .call(
                "payment",
                "P-1",
                Some("10.00"),
                json!({ "merchant_category_code": "5411" }),
            )
            .await;
        assert_eq!(
            (said(&made), made.amount.clone()),
            ((Some("Pending"), None), Some(Ok(usd("10"))))
        );
        assert_eq!(made.result["action"]["type"], "presentQRCode");
        let captured = rig
            .call("payment_query", "P-1", Some("10.00"), json!({}))
            .await;
        assert_eq!(said(&captured), (Some("Captured"), None));
        assert_eq!(
            said(&rig.refund("R-1", "P-1", "4.00").await).0,
            Some("Received")
        );
        let refunded = rig
            .call("refund_query", "R-1", Some("4.00"), json!({}))
            .await;
        assert_eq!(
            (said(&refunded), refunded.order_no.as_deref()),
            ((Some("Success"), None), Some("R-1"))
        );
        assert_eq!(rig.fake.totals().refunded["USD"], (1, 400));
        assert!(
            rig.client
                .probe()
                .await
                .iter()
                .all(|probe| probe.found.is_ok())
        );
    }
}

#[tokio::test]
async fn only_a_pending_payment_is_cancelled_and_only_a_captured_one_refunded() {
    let settings = Settings {
        pending: Duration::from_secs(60),
        timeout: TIMEOUT,
        ..Settings::default()
    };
    let identity = EgmsAccountKeys::generate().unwrap();
    let fake = FakeEgms::open(&identity, settings, Clock::System);
    let transport = Transport::InProcess(fake.clone());
    let client = EgmsClient::new(
        &identity.config("https://sandbox.invalid"),
        transport,
        Clock::System,
    )
    .unwrap();
    let rig = EgmsSandbox { fake, client };
    let payment = json!({ "platform": "MINI", "openid": "o1", "appid": "wx1" });
    assert_eq!(
        said(&rig.call("payment", "P-1", Some("10.00"), payment).await).0,
        Some("Pending")
    );
    assert_eq!(
        said(&rig.refund("R-1", "P-1", "1.00").await).1,
        Some("B0012")
    );
    let cancel = rig
        .call("cancel", "C-1", None, json!({ "out_trade_no": "P-1" }))
        .await;
    assert_eq!(said(&cancel).0, Some("Received"));
    let mut ended = rig.call("cancel_query", "C-1", None, json!({})).await;
    if ended.state.as_deref() == Some("Received") {
        ended = rig.call("cancel_query", "C-1", None, json!({})).await;
    }
    assert_eq!(said(&ended).0, Some("Success"));
    assert_eq!(
        said(&rig.call("payment_query", "P-1", None, json!({})).await).0,
        Some("Cancelled")
    );
    rig.fake.seed("P-2", usd("5"));
    let late = rig
        .call("cancel", "C-2", None, json!({ "out_trade_no": "P-2" }))
        .await;
    assert_eq!((said(&late).1, late.http), (Some("B0012"), Some(400)));
    assert_eq!(
        said(&rig.refund("R-2", "P-9", "1.00").await).1,
        Some("B0014")
    );
}

#[tokio::test]
async fn success_around_a_failed_refund_is_seen_through() {
    let rig = EgmsSandbox::new(FaultPlan::only(Fault::SoftDecline));
    rig.fake.seed("P-1", usd("10.00"));
    assert_eq!(
        said(&rig.refund("R-1", "P-1", "4.00").await),
        (Some("Failed"), Some("P0001"))
    );
    assert_eq!(
        said(&rig.refund("R-1", "P-1", "4.00").await).0,
        Some("Received")
    );
    let rig = EgmsSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", usd("10.00"));
    assert_eq!(
        said(&rig.refund("R-1", "P-1", "10.01").await),
        (None, Some("B0013"))
    );
    assert_eq!(
        said(&rig.call("refund_query", "R-1", None, json!({})).await).1,
        Some("C0004")
    );
}

#[tokio::test]
async fn a_received_refund_may_still_fail() {
    let rig = EgmsSandbox::new(FaultPlan::only(Fault::Pending));
    rig.fake.seed("P-1", usd("10.00"));
    let mut ends = std::collections::BTreeSet::new();
    for n in 0..20 {
        let number = format!("R-{n}");
        let taken = rig.refund(&number, "P-1", "0.10").await;
        assert!(
            matches!(
                said(&taken),
                (Some("Received"), None) | (None, Some("S0003"))
            ),
            "{taken:?}"
        );
        ends.insert(
            rig.call("refund_query", &number, None, json!({}))
                .await
                .state
                .unwrap(),
        );
    }
    assert_eq!(ends.into_iter().collect::<Vec<_>>(), ["Failed", "Success"]);
}

#[tokio::test]
async fn every_fault_of_a_refund_is_observed_for_what_it_is_and_pays_at_most_once() {
    for fault in Fault::ALL {
        let rig = EgmsSandbox::new(FaultPlan::only(fault));
        rig.fake.seed("P-1", usd("10.00"));
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
            Fault::WrongSignature => matches!(seen.delivery, Delivery::Unverified(_)) && exists,
            Fault::Truncated => matches!(seen.delivery, Delivery::Unreadable(_)) && exists,
            Fault::OtherAmount => seen.amount == Some(Ok(usd("4.01"))) && exists,
            Fault::UnmappedCode => seen.code.as_deref() == Some("X9999"),
            Fault::Pending => {
                exists
                    && (seen.state.as_deref() == Some("Received")
                        || seen.code.as_deref() == Some("S0003"))
            }
            Fault::SoftDecline => seen.code.as_deref() == Some("P0001") && !exists,
            Fault::HardDecline => seen.code.as_deref() == Some("B0005") && !exists,
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
async fn a_reply_without_authorization_is_unverified_even_if_it_is_an_error() {
    let rig = EgmsSandbox::new(FaultPlan {
        seed: 2,
        ..FaultPlan::only(Fault::ErrorBefore)
    });
    for n in 0..20 {
        let number = format!("P-{n}");
        rig.fake.seed(&number, usd("1"));
        let seen = rig.call("payment_query", &number, None, json!({})).await;
        if seen.http == Some(502) {
            assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
            return;
        }
    }
    panic!("no unsigned error was met");
}

#[tokio::test]
async fn while_the_key_is_changed_the_first_signs_and_either_verifies() {
    let (new, old) = (
        EgmsAccountKeys::generate().unwrap(),
        EgmsAccountKeys::generate().unwrap(),
    );
    let keys = |identity: &EgmsAccountKeys| identity.config("https://sandbox.invalid").sign_keys;
    let config = EgmsConfig {
        sign_keys: [keys(&new), keys(&old)].concat(),
        ..new.config("https://sandbox.invalid")
    };
    let (after, before) = (
        EgmsSandbox::of(new, FaultPlan::NONE),
        EgmsSandbox::of(old, FaultPlan::NONE),
    );
    let client = EgmsClient::new(
        &config,
        Transport::InProcess(after.fake.clone()),
        Clock::System,
    )
    .unwrap();
    for fake in [&before.fake, &after.fake] {
        fake.seed("P-1", usd("10.00"));
        let (headers, body) = fake.notification("P-1", "/payrun/notify/egms").unwrap();
        assert_eq!(
            client
                .read_notification(&headers, &body, Clock::System.now())
                .delivery,
            Delivery::Replied
        );
    }
    let (headers, body) = before
        .fake
        .notification("P-1", "/payrun/notify/egms")
        .unwrap();
    assert!(matches!(
        after
            .client
            .read_notification(&headers, &body, Clock::System.now())
            .delivery,
        Delivery::Unverified(_)
    ));
    let found = client.probe().await;
    let found = found.last().unwrap().found.clone().unwrap();
    assert_eq!(
        found,
        "accepted under the first sign_key, and the reply verified under number 1"
    );
}

#[tokio::test]
async fn notifications_are_verified_with_our_public_path() {
    let rig = EgmsSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", usd("10.00"));
    let (headers, body) = rig.fake.notification("P-1", "/payrun/notify/egms").unwrap();
    let seen = rig
        .client
        .read_notification(&headers, &body, Clock::System.now());
    assert_eq!(
        (said(&seen), seen.order_no.as_deref()),
        ((Some("Captured"), None), Some("P-1"))
    );
    assert_eq!(seen.amount, Some(Ok(usd("10.00"))));
    let (headers, body) = rig.fake.notification("P-1", "/behind/a/proxy").unwrap();
    assert!(matches!(
        rig.client
            .read_notification(&headers, &body, Clock::System.now())
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
async fn the_same_order_sent_again_is_the_same_order_and_another_time_or_amount_makes_it_another() {
    let rig = EgmsSandbox::new(FaultPlan::NONE);
    let pay = |amount, time: &'static str| {
        rig.call(
            "payment",
            "P-1",
            Some(amount),
            json!({ "trans_time": time }),
        )
    };
    for _ in 0..2 {
        assert_eq!(said(&pay("10.00", TIME).await).1, None);
    }
    assert_eq!(said(&pay("11.00", TIME).await).1, Some("C0009"));
    assert_eq!(
        said(&pay("10.00", "2026-11-22T10:00:01+08:00").await).1,
        Some("C0009")
    );
    assert_eq!(rig.fake.totals().violations["two_bodies"], 2);
}

#[tokio::test]
async fn with_a_wrong_key_the_unsigned_word_of_it_is_all_that_is_reported() {
    let rig = EgmsSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", usd("10.00"));
    let stranger = EgmsAccountKeys::generate()
        .unwrap()
        .config("https://sandbox.invalid");
    let client = EgmsClient::new(
        &stranger,
        Transport::InProcess(rig.fake.clone()),
        Clock::System,
    )
    .unwrap();
    let rig = EgmsSandbox { client, ..rig };
    let seen = rig.refund("R-1", "P-1", "1.00").await;
    assert!(matches!(seen.delivery, Delivery::Unverified(_)), "{seen:?}");
    assert_eq!(
        (seen.code.as_deref(), seen.state, seen.order_no),
        (Some("V0010"), None, None)
    );
    let refund = payrun_project::job_kinds::JobKinds::built_in().by_name["refund"].clone();
    let operations = &refund.gateways["egms"];
    for (table, is_query) in [
        (&operations.submit_outcomes, false),
        (&operations.query_outcomes, true),
    ] {
        let seen = Observation {
            code: Some("V0010".into()),
            ..Observation::of(Delivery::Unverified("x".into()))
        };
        let judged = judge(table, is_query, true, &seen, &ExpectedReply::default());
        assert_eq!(
            judged.answer,
            Answer::Unknown {
                cause: Cause::Unverified,
                code: "V0010".into()
            }
        );
        assert_eq!(judged.lane, LaneEffect::Stop);
        let other = Observation {
            code: Some("C0001".into()),
            ..seen.clone()
        };
        let forged = judge(
            table,
            is_query,
            true,
            &Observation {
                code: None,
                ..other
            },
            &ExpectedReply::default(),
        );
        assert_eq!(
            (forged.answer, forged.lane),
            (Cause::Unverified.into(), LaneEffect::None)
        );
    }
}

#[tokio::test]
async fn lengths_are_bytes_and_what_a_platform_needs_is_there_or_nothing_is_sent() {
    let rig = EgmsSandbox::new(FaultPlan::NONE);
    rig.fake.seed("P-1", usd("10.00"));
    let refund = |reason: String| {
        rig.call(
            "refund",
            "R-1",
            Some("1.00"),
            json!({ "out_trade_no": "P-1", "reason": reason }),
        )
    };
    assert!(
        matches!(&refund("退".repeat(22)).await.delivery, Delivery::Unsendable(why) if why.contains("66 bytes"))
    );
    assert_eq!(said(&refund("退".repeat(21)).await).0, Some("Received"));
    let mini = rig
        .call(
            "payment",
            "P-2",
            Some("1.00"),
            json!({ "platform": "MINI", "appid": "wx1" }),
        )
        .await;
    assert!(
        matches!(&mini.delivery, Delivery::Unsendable(why) if why.contains("openid")),
        "{mini:?}"
    );
}

#[tokio::test]
async fn a_payment_may_be_cancelled_while_the_account_says_so() {
    let settings = Settings {
        pending: Duration::from_secs(60),
        timeout: TIMEOUT,
        ..Settings::default()
    };
    let identity = EgmsAccountKeys::generate().unwrap();
    let fake = FakeEgms::open(&identity, settings, Clock::System);
    let with = |cancel_when: &[&str]| {
        let cancel_when = cancel_when.iter().map(|word| (*word).to_owned()).collect();
        let config = payrun_project::config::EgmsConfig {
            cancel_when,
            ..identity.config("https://sandbox.invalid")
        };
        let client =
            EgmsClient::new(&config, Transport::InProcess(fake.clone()), Clock::System).unwrap();
        EgmsSandbox {
            fake: fake.clone(),
            client,
        }
    };
    let (usual, wide) = (
        with(&["Pending"]),
        with(&["Pending", "Authorised", "Verifying", "not_found"]),
    );
    let mut allowed = Vec::new();
    for kind in ["P", "P-verifying", "P-authorised", "P-paid", "P-gone"] {
        let mut told = [false; 2];
        for (at, rig) in [&usual, &wide].into_iter().enumerate() {
            // Some are paid by the time they are asked about.
            for n in 0..10 {
                let number = format!("{at}{n}{kind}");
                match kind {
                    "P-paid" => drop(fake.seed(&number, usd("1.00"))),
                    "P-gone" => {}
                    _ => drop(rig.call("payment", &number, Some("1.00"), json!({})).await),
                }
                let seen = rig
                    .call("cancel_check", "C", None, json!({ "out_trade_no": number }))
                    .await;
                told[at] |= seen.result.contains_key("cancellable");
            }
        }
        allowed.push((kind, told[0], told[1]));
    }
    assert_eq!(
        allowed,
        [
            ("P", true, true),
            ("P-verifying", false, true),
            ("P-authorised", false, true),
            ("P-paid", false, false),
            ("P-gone", false, true)
        ]
    );
}

/// The code of the answer to a query that was signed over these parts, joined by line feeds.
async fn code(
    rig: &EgmsSandbox,
    identity: &EgmsAccountKeys,
    covered: impl Fn(&str, &str, &str) -> String,
) -> Value {
    use sha2::{Digest, Sha256};
    let (date_time, key) = (
        "2026-11-22T10:00:00+08:00",
        &identity.config("").sign_keys[0],
    );
    let covered = covered(date_time, key.expose_secret(), "M1");
    let request = http::Request::get(TARGET)
        .header("content-type", "application/json; charset=utf-8")
        .header("datetime", date_time)
        .header("msgid", "M1")
        .header("signtype", "SHA256")
        .header("authorization", hex::encode(Sha256::digest(covered)))
        .body(Bytes::new())
        .unwrap();
    match rig.fake.handle(request).await {
        Reaction::Reply(reply) => {
            let body: Value = serde_json::from_slice(reply.body()).unwrap();
            body["result"]["code"].clone()
        }
        other @ (Reaction::Refuse
        | Reaction::Reset
        | Reaction::Hold
        | Reaction::Silence
        | Reaction::Truncate(_)) => panic!("{other:?}"),
    }
}

const TARGET: &str = "/g2/v1/payment/mer/S000001/evo.e-commerce.payment?merchantTransID=P-1";

/// A way to write what is signed of a query, from its time, the key and its id.
type SignedEgmsText = fn(&str, &str, &str) -> String;

#[tokio::test]
async fn only_the_parts_in_the_order_of_the_page_are_signed_as_documented() {
    let identity = EgmsAccountKeys::generate().unwrap();
    let rig = EgmsSandbox::of(identity.clone(), FaultPlan::NONE);
    let right = |at: &str, key: &str, id: &str| format!("GET\n{TARGET}\n{at}\n{key}\n{id}");
    assert_eq!(code(&rig, &identity, right).await, "C0004");
    let cases: [(&str, SignedEgmsText); 6] = [
        ("id before time", |at, key, id| {
            format!("GET\n{TARGET}\n{id}\n{key}\n{at}")
        }),
        ("key last", |at, key, id| {
            format!("GET\n{TARGET}\n{at}\n{id}\n{key}")
        }),
        ("a path without its query", |at, key, id| {
            let (path, _) = TARGET.split_once('?').unwrap();
            format!("GET\n{path}\n{at}\n{key}\n{id}")
        }),
        ("another path", |at, key, id| {
            format!("GET\n{}\n{at}\n{key}\n{id}", TARGET.replace("P-1", "P-2"))
        }),
        (
            "a line feed for the body that there is not",
            |at, key, id| format!("GET\n{TARGET}\n{at}\n{key}\n{id}\n"),
        ),
        ("no key", |at, _, id| format!("GET\n{TARGET}\n{at}\n{id}")),
    ];
    for (name, covered) in cases {
        assert_eq!(code(&rig, &identity, covered).await, "V0010", "{name}");
    }
    let totals = rig.fake.totals();
    assert_eq!(totals.refused["wrong_signature"], 6);
}
