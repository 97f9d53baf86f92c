//! Customs declarations: HipoPay's client and fake against each other, in process.

use serde_json::{Value, json};

use super::*;
use crate::Settings;
use crate::faults::{CallKind, FaultPlan};
use crate::hipopay::tests::{HipopaySandbox, said};
use payrun_domain::money::{Amount, Currency};
use payrun_gateway::{Delivery, Observation};
use payrun_system::clock::Clock;

/// An identity card's number, and the name on it; neither may be found anywhere.
const CARD: &str = "51092119930877231X";
const NAME: &str = "卡娜丽";

fn cny(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("CNY").unwrap()).unwrap()
}

/// A fake with the payment `P-1` of 100.00 CNY.
struct Customs {
    rig: HipopaySandbox,
    payment_no: String,
}

impl Customs {
    fn new(plan: FaultPlan) -> Self {
        let rig = HipopaySandbox::new(plan);
        let payment_no = rig.fake.seed("P-1", cny("100.00"));
        Self { rig, payment_no }
    }

    fn input(&self) -> Value {
        json!({
            "out_trade_no": "P-1", "transaction_id": self.payment_no, "customs": "SHENZHEN", "mch_customs_no": "123456789BTW",
            "transport_fee": "23.22", "product_fee": "23.22", "duty": "0.88",
        })
    }

    async fn call(&self, operation: &str, number: &str, more: Value) -> Observation {
        let mut input = self.input();
        for (name, value) in more.as_object().unwrap() {
            input[name] = value.clone();
        }
        self.rig
            .call(operation, number, Some(cny("46.44")), input)
            .await
    }

    async fn declare(&self, number: &str) -> Observation {
        self.call("declare", number, json!({})).await
    }

    async fn ask(&self, number: &str) -> Observation {
        self.call("declare_query", number, json!({})).await
    }

    fn filed(&self, number: &str) -> u32 {
        let key = Key {
            order: "P-1".into(),
            sub_order: number.into(),
            customs: "SHENZHEN".into(),
        };
        self.rig
            .fake
            .responder
            .declarations()
            .entry(&key)
            .map_or(0, |entry| entry.filed)
    }
}

#[tokio::test]
async fn a_sub_order_is_declared_under_the_items_own_number() {
    let customs = Customs::new(FaultPlan::NONE);
    assert_eq!(
        said(&customs.ask("S-1").await),
        (None, Some("DECLARATION_NOT_FOUND"))
    );
    let declared = customs.declare("S-1").await;
    assert_eq!(
        (said(&declared), declared.order_no.as_deref()),
        ((Some("UNDECLARED"), None), Some("S-1"))
    );
    assert_eq!(
        (&declared.amount, &declared.result["cert_check_result"]),
        (&Some(Ok(cny("46.44"))), &json!("UNCHECKED"))
    );
    let cleared = customs.ask("S-1").await;
    assert_eq!(
        (said(&cleared), &cleared.amount),
        ((Some("SUCCESS"), None), &Some(Ok(cny("46.44"))))
    );
    assert_eq!(
        (said(&customs.declare("S-1").await), customs.filed("S-1")),
        ((Some("SUCCESS"), None), 1)
    );
    assert_eq!(
        customs.rig.fake.totals().customs.filed["SHENZHEN"]["SUCCESS"],
        1
    );
}

#[tokio::test]
async fn a_person_is_checked_with_the_declaration_and_found_nowhere() {
    let customs = Customs::new(FaultPlan::NONE);
    for (number, result) in [("S-1", "SAME"), ("S-different", "DIFFERENT")] {
        let person = json!({ "cert_id": CARD, "name": NAME });
        for operation in ["declare", "declare_query"] {
            let seen = customs.call(operation, number, person.clone()).await;
            assert_eq!(
                (said(&seen).1, &seen.result["cert_check_result"]),
                (None, &json!(result))
            );
            let printed = format!("{seen:?}");
            assert!(
                !printed.contains(CARD) && !printed.contains(NAME),
                "{printed}"
            );
        }
    }
    let half = customs
        .call("declare", "S-3", json!({ "cert_id": CARD }))
        .await;
    assert_eq!(
        half.delivery,
        Delivery::Unsendable("the call has a cert_id and no name".into())
    );
    assert!(!format!("{:?}", customs.rig.fake).contains(NAME));
}

#[tokio::test]
async fn what_failed_is_modified_and_what_was_lost_is_redeclared() {
    let customs = Customs::new(FaultPlan::NONE);
    for (number, ends, way, then) in [
        ("S-fail", "FAIL", "modify", "SUBMITTED"),
        ("S-except", "EXCEPT", "redeclare", "UNDECLARED"),
    ] {
        customs.declare(number).await;
        assert_eq!(said(&customs.ask(number).await).0, Some(ends));
        let again = customs
            .call("redeclare", number, json!({ "way": way }))
            .await;
        assert_eq!(said(&again), (Some(then), None));
        assert_eq!(said(&customs.ask(number).await).0, Some("SUCCESS"));
    }
    let totals = customs.rig.fake.totals();
    assert_eq!((totals.customs.redeclared, totals.customs.modified), (1, 1));
    assert!(totals.violations.is_empty() && customs.filed("S-fail") == 1);
}

#[tokio::test]
async fn other_terms_under_one_number_are_refused_and_counted() {
    let customs = Customs::new(FaultPlan::NONE);
    customs.declare("S-1").await;
    let refused = customs
        .call("declare", "S-1", json!({ "duty": "0.89" }))
        .await;
    assert_eq!(said(&refused), (None, Some("INVALID_REQUEST")));
    assert_eq!(customs.rig.fake.totals().violations["two_declarations"], 1);
    for wrong in [
        json!({ "customs": "FUZHOU" }),
        json!({ "product_fee": "23.23" }),
        json!({ "mch_customs_no": "a b" }),
        json!({ "cert_id": "1", "name": NAME }),
    ] {
        assert_eq!(
            said(&customs.call("declare", "S-2", wrong).await),
            (None, Some("PARAM_ERROR"))
        );
    }
    assert_eq!((customs.filed("S-1"), customs.filed("S-2")), (1, 0));
}

#[tokio::test]
async fn a_declaration_that_hipopay_cannot_take_is_not_sent() {
    let customs = Customs::new(FaultPlan::NONE);
    let hkd = Amount::parse("46.44", Currency::parse("HKD").unwrap()).unwrap();
    let seen = customs
        .rig
        .call("declare", "S-1", Some(hkd), customs.input())
        .await;
    assert_eq!(
        seen.delivery,
        Delivery::Unsendable("hipopay declares in CNY, and the amount is in HKD".into())
    );
    let seen = customs
        .call("declare", "S-1", json!({ "transaction_id": "" }))
        .await;
    assert_eq!(
        seen.delivery,
        Delivery::Unsendable("the call has no transaction_id".into())
    );
}

#[tokio::test]
async fn every_fault_of_a_declaration_files_at_most_once_and_loses_nothing() {
    for fault in Fault::ALL {
        let customs = Customs::new(FaultPlan::only(fault));
        let seen = customs.declare("S-1").await;
        let (filed, code) = (customs.filed("S-1"), seen.code.as_deref());
        let fits = match fault {
            Fault::Refused => matches!(seen.delivery, Delivery::Unreachable(..)) && filed == 0,
            Fault::ResetBefore => matches!(seen.delivery, Delivery::Lost(_)) && filed == 0,
            Fault::ResetAfter | Fault::LateVisible => {
                matches!(seen.delivery, Delivery::Lost(_)) && filed == 1
            }
            Fault::SilentBefore => seen.delivery == Delivery::TimedOut && filed == 0,
            Fault::SilentAfter => seen.delivery == Delivery::TimedOut && filed == 1,
            Fault::ErrorBefore => matches!(seen.http, Some(500 | 502)) && filed == 0,
            Fault::ErrorAfter => matches!(seen.http, Some(500 | 502)) && filed == 1,
            Fault::Limited => seen.http == Some(429) && seen.retry_after.is_some() && filed == 0,
            Fault::WrongSignature | Fault::Truncated => {
                matches!(seen.delivery, Delivery::Unreadable(_)) && filed == 1
            }
            Fault::OtherAmount => seen.amount == Some(Ok(cny("46.45"))) && filed == 1,
            Fault::UnmappedCode => code == Some("SANDBOX_UNMAPPED"),
            Fault::Pending => seen.state.as_deref() == Some("UNDECLARED") && filed == 1,
            Fault::SoftDecline => {
                seen.http == Some(429) && code == Some("FREQUENCY_LIMITED") && filed == 0
            }
            Fault::HardDecline => code == Some("INVALID_REQUEST") && filed == 0,
            Fault::Slow => filed == 1,
        };
        assert!(fits, "{fault}: filed {filed}, {seen:?}");
        assert_eq!(
            customs.declare("S-1").await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        assert_eq!(customs.filed("S-1"), 1, "{fault}");
        assert!(customs.rig.fake.totals().violations.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn a_query_under_each_fault_is_answered_when_it_is_asked_again() {
    for fault in Fault::ALL {
        let customs = Customs::new(FaultPlan {
            on: Some(CallKind::Query),
            ..FaultPlan::only(fault)
        });
        customs.declare("S-1").await;
        customs.ask("S-1").await;
        assert_eq!(
            said(&customs.ask("S-1").await).0,
            Some("SUCCESS"),
            "{fault}"
        );
    }
}

/// What is declared without faults, and filed again under one.
#[tokio::test]
async fn filing_again_under_each_fault_is_counted_for_what_it_is() {
    for fault in Fault::ALL {
        for (way, number) in [("redeclare", "S-except"), ("modify", "S-fail")] {
            let customs = Customs::new(FaultPlan::only(fault));
            let key = Key {
                order: "P-1".into(),
                sub_order: number.into(),
                customs: "SHENZHEN".into(),
            };
            let fees = DeclaredFees {
                currency: "CNY".into(),
                order: 4_644,
                transport: 2_322,
                product: 2_322,
            };
            let terms = DeclaredTerms {
                merchant_customs_no: "123456789BTW".into(),
                duty: Some(88),
                fees: Some(fees),
                person: None,
            };
            let paid = PaidPayment {
                theirs: customs.payment_no.clone(),
                currency: "CNY".into(),
                minor: 10_000,
            };
            let calm = Settings {
                pending: std::time::Duration::ZERO,
                ..Settings::default()
            };
            let now = Clock::System.now();
            customs
                .rig
                .fake
                .responder
                .declarations()
                .declare(&key, terms, Some(&paid), &calm, now);
            let first = customs
                .call("redeclare", number, json!({ "way": way }))
                .await;
            if fault == Fault::OtherAmount && way == "redeclare" {
                assert_eq!(
                    first.delivery,
                    Delivery::Unreadable("the reply speaks of another customs".into())
                );
            }
            // A person looks before filing again: a redeclaration has no memory of its own.
            if said(&customs.ask(number).await).0 != Some("SUCCESS") {
                customs
                    .call("redeclare", number, json!({ "way": way }))
                    .await;
            }
            assert_eq!(
                said(&customs.ask(number).await).0,
                Some("SUCCESS"),
                "{fault} {way}"
            );
            let totals = customs.rig.fake.totals().customs;
            let counted = if way == "modify" { (0, 1) } else { (1, 0) };
            assert_eq!(
                (totals.redeclared, totals.modified, totals.filed_twice),
                (counted.0, counted.1, 0),
                "{fault} {way}"
            );
        }
    }
}
