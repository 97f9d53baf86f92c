//! The book's promises, and WeChat Pay's client and fake against each other.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::faults::{Fault, FaultPlan, Level};
use crate::shared::fault_flow::Calls;
use crate::shared::keys::nonce;
use crate::wechat::auth::{authorization, request_message};
use crate::wechat::order_book::{DeductionOrder, OrderState};
use crate::{FakeWechat, Reaction, Settings, WechatAccountKeys, server};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::{Amount, Currency};
use payrun_gateway::wechat::{Transport, WechatClient};
use payrun_gateway::{Call, Delivery, Gateway, Observation};
use payrun_project::config::WechatConfig;
use payrun_system::clock::Clock;

const TIMEOUT: Duration = Duration::from_millis(400);
/// An identity card's number, and the name on it; neither may be found anywhere.
const CARD: &str = "51092119930877231X";
const NAME: &str = "卡娜丽";

fn identity() -> WechatAccountKeys {
    static ONE: OnceLock<WechatAccountKeys> = OnceLock::new();
    ONE.get_or_init(|| WechatAccountKeys::generate().unwrap())
        .clone()
}

fn cny(text: &str) -> Amount {
    Amount::parse(text, Currency::parse("CNY").unwrap()).unwrap()
}

/// A client of WeChat's customs and its sandbox, with a payment to declare.
struct CustomsSandbox {
    sandbox: Arc<FakeWechat>,
    client: WechatClient,
    /// The gateway's number of the payment `P-1`, of 10.00 CNY.
    payment: String,
}

impl CustomsSandbox {
    async fn new(plan: FaultPlan) -> Self {
        Self::with(&identity().wechat_config("https://sandbox.invalid"), plan).await
    }

    async fn with(config: &WechatConfig, plan: FaultPlan) -> Self {
        let settings = Settings {
            plan,
            timeout: TIMEOUT,
            late: Duration::ZERO,
            ..Settings::default()
        };
        let sandbox = FakeWechat::open(identity(), settings, Clock::System)
            .await
            .unwrap();
        let client =
            WechatClient::new(config, Transport::InProcess(sandbox.clone()), Clock::System)
                .unwrap();
        let mut rig = Self {
            sandbox,
            client,
            payment: String::new(),
        };
        rig.payment = rig.pay("P-1").await;
        rig
    }

    /// Puts a paid order into the books, past all faults; the gateway's number of it.
    async fn pay(&self, number: &str) -> String {
        let order = DeductionOrder {
            number: number.into(),
            contract: "C-1".into(),
            currency: "CNY".into(),
            minor: 1_000,
            body: [0; 16],
            attach: None,
            category: "1011".into(),
            state: OrderState::Success,
            transaction_id: format!("4200-{number}"),
            charged: 1,
            calls: Calls { made: 1, met: 0 },
            effect_at: Timestamp::default(),
            decide_at: Timestamp::default(),
            queries_left: 0,
            hidden_until: Timestamp::default(),
            dirty: true,
        };
        let mut books = self.sandbox.books.lock().await;
        books.charge(&order);
        let theirs = order.transaction_id.clone();
        books.put(order).await.unwrap();
        theirs
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

    fn input(&self, sub_order: &str) -> Value {
        json!({
            "out_trade_no": "P-1", "transaction_id": self.payment, "sub_order_no": sub_order, "customs": "SHENZHEN",
            "mch_customs_no": "123456789B", "transport_fee": "0.50", "product_fee": "1.50", "duty": "0.88",
        })
    }

    async fn declare(&self, sub_order: &str) -> Observation {
        self.call(
            "declare",
            sub_order,
            Some(cny("2.00")),
            self.input(sub_order),
        )
        .await
    }

    /// Declares it and asks until it was sent on to the customs.
    async fn declare_and_see(&self, sub_order: &str) {
        for _ in 0..6 {
            self.declare(sub_order).await;
            self.ask(sub_order).await;
        }
    }

    async fn ask(&self, sub_order: &str) -> Observation {
        self.call(
            "declare_query",
            sub_order,
            Some(cny("2.00")),
            self.input(sub_order),
        )
        .await
    }

    async fn again(
        &self,
        sub_order: &str,
        way: &str,
        product_fee: &str,
        amount: &str,
    ) -> Observation {
        let mut input = self.input(sub_order);
        input["way"] = json!(way);
        input["product_fee"] = json!(product_fee);
        self.call("redeclare", sub_order, Some(cny(amount)), input)
            .await
    }

    /// The states a declaration is seen in, until it is seen in this many.
    async fn states(&self, sub_order: &str, count: usize) -> Vec<String> {
        let mut states = Vec::new();
        for _ in 0..count {
            states.push(self.ask(sub_order).await.state.unwrap_or_default());
        }
        states
    }

    async fn filed(&self, sub_order: &str) -> u32 {
        let key = Key {
            order: "P-1".into(),
            sub_order: sub_order.into(),
            customs: "SHENZHEN".into(),
        };
        self.sandbox
            .declarations()
            .entry(&key)
            .map_or(0, |entry| entry.filed)
    }

    async fn totals(&self) -> crate::Totals {
        self.sandbox.totals().await.unwrap()
    }
}

fn said(seen: &Observation) -> (Option<&str>, Option<&str>) {
    assert_eq!(seen.delivery, Delivery::Replied, "{seen:?}");
    (seen.state.as_deref(), seen.code.as_deref())
}

#[tokio::test]
async fn a_sub_order_is_declared_processed_and_cleared() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let declared = rig.declare("S-1").await;
    assert_eq!(
        (said(&declared), declared.order_no.as_deref()),
        ((Some("UNDECLARED"), None), Some("S-1"))
    );
    assert_eq!(said(&rig.ask("S-1").await), (Some("PROCESSING"), None));
    let cleared = rig.ask("S-1").await;
    assert_eq!(
        (said(&cleared), cleared.amount.clone()),
        ((Some("SUCCESS"), None), Some(Ok(cny("2.00"))))
    );
    assert_eq!(
        (&cleared.receipt, &cleared.result["customs"]),
        (&declared.receipt, &json!("SHENZHEN"))
    );
    assert_eq!(cleared.result["verify_department"], "UNIONPAY");
    // To declare it once more shows it, and files nothing.
    assert_eq!(said(&rig.declare("S-1").await), (Some("SUCCESS"), None));
    let totals = rig.totals().await;
    assert_eq!(
        (
            rig.filed("S-1").await,
            totals.customs.filed["SHENZHEN"]["SUCCESS"]
        ),
        (1, 1)
    );
    assert!(totals.violations.is_empty());
}

#[tokio::test]
async fn a_whole_payment_is_declared_and_found_by_either_number() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let bare = json!({ "customs": "NINGBO", "mch_customs_no": "4403169D3W" });
    let mut input = bare.clone();
    input["transaction_id"] = json!(rig.payment);
    input["duty"] = json!("0");
    let declared = rig.call("declare", "P-1", None, input.clone()).await;
    assert_eq!(
        (said(&declared), declared.order_no.as_deref()),
        ((Some("UNDECLARED"), None), Some("P-1"))
    );
    assert_eq!(declared.receipt, Some(rig.payment.clone()));
    assert_eq!(
        rig.call("declare_query", "P-1", None, input)
            .await
            .order_no
            .as_deref(),
        Some("P-1")
    );
    let by_ours = rig.call("declare_query", "P-1", None, bare.clone()).await;
    assert_eq!(said(&by_ours), (Some("SUCCESS"), None));
    let again = rig.call("redeclare", "P-1", None, bare.clone()).await;
    assert_eq!(
        (said(&again), again.order_no.as_deref()),
        ((Some("UNDECLARED"), None), Some("P-1"))
    );
}

#[tokio::test]
async fn the_end_of_a_number_decides_and_filing_again_mends_it() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    for (number, ends) in [
        ("a-fail", "FAIL"),
        ("a-except", "EXCEPT"),
        ("a-back", "SUCCESS"),
    ] {
        rig.declare(number).await;
        assert_eq!(rig.states(number, 2).await, ["PROCESSING", ends]);
    }
    assert_eq!(
        rig.ask("a-fail").await.result["explanation"],
        "支付单信息不符"
    );
    assert_eq!(rig.states("a-back", 1).await, ["EXCEPT"]);
    // From FAIL only a modification helps.
    let refused = rig.again("a-fail", "redeclare", "1.50", "2.00").await;
    assert_eq!(
        (said(&refused), refused.http),
        ((None, Some("INVALID_REQUEST")), Some(400))
    );
    assert_eq!(
        said(&rig.again("a-fail", "modify", "1.40", "1.90").await),
        (Some("SUBMITTED"), None)
    );
    assert_eq!(
        said(&rig.again("a-fail", "modify", "1.40", "1.90").await),
        (Some("SUBMITTED"), None)
    );
    assert_eq!(rig.states("a-fail", 2).await, ["PROCESSING", "SUCCESS"]);
    assert_eq!(rig.ask("a-fail").await.amount, Some(Ok(cny("1.90"))));
    for number in ["a-except", "a-back"] {
        assert_eq!(
            said(&rig.again(number, "redeclare", "1.50", "2.00").await),
            (Some("UNDECLARED"), None)
        );
        assert_eq!(
            rig.states(number, 3).await,
            ["PROCESSING", "SUCCESS", "SUCCESS"]
        );
    }
    let totals = rig.totals().await;
    assert_eq!(
        (
            totals.customs.redeclared,
            totals.customs.modified,
            totals.customs.filed_twice
        ),
        (2, 1, 0)
    );
    assert!(totals.violations.is_empty());
}

#[tokio::test]
async fn other_terms_under_one_number_and_more_than_was_paid_are_refused_and_counted() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    rig.declare("S-1").await;
    let mut other = rig.input("S-1");
    other["product_fee"] = json!("2.00");
    let refused = rig.call("declare", "S-1", Some(cny("2.50")), other).await;
    assert_eq!(said(&refused), (None, Some("INVALID_REQUEST")));
    assert!(refused.evidence.contains("differs from the original"));
    let mut much = rig.input("S-2");
    much["product_fee"] = json!("9.51");
    assert_eq!(
        said(&rig.call("declare", "S-2", Some(cny("10.01")), much).await).1,
        Some("INVALID_REQUEST")
    );
    let totals = rig.totals().await;
    assert_eq!(
        totals.violations.into_keys().collect::<Vec<_>>(),
        ["declared_above_payment", "two_declarations"]
    );
    assert_eq!((rig.filed("S-1").await, rig.filed("S-2").await), (1, 0));
}

impl CustomsSandbox {
    /// Declares a sub-order of so much.
    async fn declare_of(&self, sub_order: &str, product_fee: &str, amount: &str) -> Observation {
        let mut input = self.input(sub_order);
        input["product_fee"] = json!(product_fee);
        self.call("declare", sub_order, Some(cny(amount)), input)
            .await
    }

    /// Declares the payment as a whole, or does so again.
    async fn whole(&self, operation: &str, customs: &str) -> Observation {
        let input = json!({
            "out_trade_no": "P-1", "transaction_id": self.payment, "customs": customs, "mch_customs_no": "123456789B",
        });
        self.call(operation, "P-1", None, input).await
    }
}

#[tokio::test]
async fn sub_orders_of_a_payment_are_together_at_most_what_was_paid() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let (taken, refused) = ((Some("UNDECLARED"), None), (None, Some("INVALID_REQUEST")));
    assert_eq!(said(&rig.declare("S-1").await), taken);
    assert_eq!(said(&rig.declare_of("S-2", "7.51", "8.01").await), refused);
    // In other capitals it is another number here.
    assert_eq!(said(&rig.declare_of("s-1", "7.51", "8.01").await), refused);
    let fitting = rig.declare_of("S-2-fail", "7.50", "8.00").await;
    assert_eq!(said(&fitting), taken);
    assert_eq!(said(&rig.declare("S-3").await), refused);
    // What the customs refuse counts no more, until it is filed again.
    assert_eq!(rig.states("S-2-fail", 2).await, ["PROCESSING", "FAIL"]);
    assert_eq!(said(&rig.declare("S-3").await), taken);
    let again = rig.again("S-2-fail", "modify", "7.50", "8.00").await;
    assert_eq!(said(&again), refused);
    let less = rig.again("S-2-fail", "modify", "5.50", "6.00").await;
    assert_eq!(said(&less), (Some("SUBMITTED"), None));
    // The same once more is no second one.
    assert_eq!(said(&rig.declare("S-3").await).1, None);
    rig.states("S-1", 3).await;
    let pushed = rig.again("S-1", "redeclare", "1.50", "2.00").await;
    assert_eq!(said(&pushed), taken);
    let totals = rig.totals().await;
    assert_eq!(totals.violations["declared_above_payment"], 4);
    assert_eq!(totals.customs.filed_twice, 0);
}

#[tokio::test]
async fn a_payment_is_declared_to_a_customs_as_a_whole_or_by_its_sub_orders() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let (taken, refused) = ((Some("UNDECLARED"), None), (None, Some("INVALID_REQUEST")));
    assert_eq!(said(&rig.declare("S-1-except").await), taken);
    assert_eq!(said(&rig.whole("declare", "SHENZHEN").await), refused);
    // Other customs are told of the same payment.
    assert_eq!(said(&rig.whole("declare", "NINGBO").await), taken);
    assert_eq!(rig.states("S-1-except", 2).await, ["PROCESSING", "EXCEPT"]);
    assert_eq!(said(&rig.whole("declare", "SHENZHEN").await), taken);
    assert_eq!(said(&rig.declare("S-2").await), refused);
    for way in ["redeclare", "modify"] {
        let again = rig.again("S-1-except", way, "1.50", "2.00").await;
        assert_eq!(said(&again), refused, "{way}");
    }
    let totals = rig.totals().await;
    assert_eq!(totals.violations["declared_whole_and_split"], 4);
}

#[tokio::test]
async fn what_is_not_declared_or_not_paid_is_said_to_be_so() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let missing = rig.ask("S-1").await;
    assert!(
        matches!(
            missing.code.as_deref(),
            Some("RESOURCE_NOT_EXISTS" | "PARAM_ERROR")
        ),
        "{missing:?}"
    );
    assert_eq!(missing.result["sub_code"], "132021037");
    let mut unpaid = rig.input("S-1");
    unpaid["out_trade_no"] = json!("P-2");
    assert_eq!(
        said(&rig.call("declare", "S-1", Some(cny("2.00")), unpaid).await).1,
        Some("INVALID_REQUEST")
    );
    let mut nowhere = rig.input("S-1");
    nowhere["customs"] = json!("XIAN");
    assert_eq!(
        said(&rig.call("declare", "S-1", Some(cny("2.00")), nowhere).await).1,
        Some("PARAM_ERROR")
    );
    assert_eq!(
        said(
            &rig.call("declare", "S-1", Some(cny("2.01")), rig.input("S-1"))
                .await
        )
        .1,
        Some("PARAM_ERROR")
    );
    let totals = rig.totals().await;
    assert_eq!(
        totals.refused.into_keys().collect::<Vec<_>>(),
        ["unknown_customs", "wrong_amount"]
    );
    assert!(totals.customs.filed.is_empty());
}

/// A declaration under each fault: what is observed, what the book says, and that it is never filed
/// twice nor lost.
#[tokio::test]
async fn every_fault_of_a_declaration_files_at_most_once_and_loses_nothing() {
    for fault in Fault::ALL {
        let rig = CustomsSandbox::new(FaultPlan::only(fault)).await;
        let seen = rig.declare("S-1").await;
        let (filed, code) = (rig.filed("S-1").await, seen.code.as_deref());
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
            Fault::WrongSignature => matches!(seen.delivery, Delivery::Unverified(_)) && filed == 1,
            Fault::Truncated => matches!(seen.delivery, Delivery::Unreadable(_)) && filed == 1,
            Fault::OtherAmount => {
                seen.delivery == Delivery::Unreadable("the reply speaks of another payment".into())
                    && filed == 1
            }
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
            rig.declare("S-1").await.delivery,
            Delivery::Replied,
            "{fault}"
        );
        assert_eq!(
            rig.states("S-1", 4).await.last().map(String::as_str),
            Some("SUCCESS"),
            "{fault}"
        );
        assert_eq!(rig.filed("S-1").await, 1, "{fault}");
        assert!(rig.totals().await.violations.is_empty(), "{fault}");
    }
}

#[tokio::test]
async fn a_query_under_each_fault_is_answered_when_it_is_asked_again() {
    for fault in Fault::ALL {
        let plan = FaultPlan {
            on: Some(crate::faults::CallKind::Query),
            ..FaultPlan::only(fault)
        };
        let rig = CustomsSandbox::new(plan).await;
        rig.declare("S-1").await;
        rig.ask("S-1").await;
        assert_eq!(
            rig.states("S-1", 3).await.last().map(String::as_str),
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
            let rig = CustomsSandbox::new(FaultPlan::only(fault)).await;
            let key = Key {
                order: "P-1".into(),
                sub_order: number.into(),
                customs: "SHENZHEN".into(),
            };
            let fees = DeclaredFees {
                currency: "CNY".into(),
                order: 200,
                transport: 50,
                product: 150,
            };
            let terms = DeclaredTerms {
                merchant_customs_no: "123456789B".into(),
                duty: Some(88),
                fees: Some(fees),
                person: None,
            };
            let paid = PaidPayment {
                theirs: rig.payment.clone(),
                currency: "CNY".into(),
                minor: 1_000,
            };
            let (calm, now) = (
                Settings {
                    pending: Duration::ZERO,
                    ..Settings::default()
                },
                Clock::System.now(),
            );
            rig.sandbox
                .declarations()
                .declare(&key, terms, Some(&paid), &calm, now);
            for _ in 0..3 {
                rig.again(number, way, "1.50", "2.00").await;
            }
            assert_eq!(
                rig.states(number, 5).await.last().map(String::as_str),
                Some("SUCCESS"),
                "{fault} {way}"
            );
            let customs = rig.totals().await.customs;
            let counted = if way == "modify" { (0, 1) } else { (1, 0) };
            assert_eq!(
                (customs.redeclared, customs.modified),
                counted,
                "{fault} {way}"
            );
            assert_eq!(
                (rig.filed(number).await, customs.filed_twice),
                (1, 0),
                "{fault} {way}"
            );
        }
    }
}

#[tokio::test]
async fn a_person_is_checked_under_both_kinds_of_platform_key_and_found_nowhere() {
    let account = identity();
    let base = "https://sandbox.invalid";
    for config in [
        account.wechat_config(base),
        account.wechat_config_with_public_key(base),
    ] {
        let settings = Settings {
            timeout: TIMEOUT,
            signs_with: if config.platform.certificates {
                crate::SignsWith::Certificate
            } else {
                crate::SignsWith::PublicKey
            },
            ..Settings::default()
        };
        let sandbox = FakeWechat::open(account.clone(), settings, Clock::System)
            .await
            .unwrap();
        let client = WechatClient::new(
            &config,
            Transport::InProcess(sandbox.clone()),
            Clock::System,
        )
        .unwrap();
        let mut rig = CustomsSandbox {
            sandbox,
            client,
            payment: String::new(),
        };
        rig.payment = rig.pay("P-1").await;
        for (sub_order, result) in [("S-1", "SAME"), ("S-different", "DIFFERENT")] {
            rig.declare_and_see(sub_order).await;
            let mut input = rig.input(sub_order);
            input["cert_id"] = json!(CARD);
            input["name"] = json!(NAME);
            let seen = rig.call("identity_check", sub_order, None, input).await;
            assert_eq!(
                (said(&seen).0, &seen.result["cert_check_result"]),
                (Some(result), &json!(result))
            );
            let printed = format!("{seen:?}");
            assert!(
                !printed.contains(CARD) && !printed.contains(NAME),
                "{printed}"
            );
        }
        assert_eq!(rig.totals().await.customs.identity_checks, 2);
    }
}

#[tokio::test]
async fn after_a_rotation_a_person_is_checked_under_the_newest_key() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    rig.sandbox.rotate_platform().unwrap();
    // The first reply under the new serial leads to a download.
    rig.declare_and_see("S-1").await;
    let mut input = rig.input("S-1");
    input["cert_id"] = json!(CARD);
    input["name"] = json!(NAME);
    assert_eq!(
        said(&rig.call("identity_check", "S-1", None, input.clone()).await).0,
        Some("SAME")
    );
    input["cert_id"] = json!("no card");
    let refused = rig.call("identity_check", "S-1", None, input).await;
    assert_eq!(
        (said(&refused), refused.http),
        ((None, Some("PARAM_ERROR")), Some(400))
    );
    assert_eq!(rig.totals().await.refused["wrong_certificate"], 1);
}

#[tokio::test]
async fn over_sockets_a_declaration_is_filed_modified_and_shown_in_the_books() {
    let sandbox = FakeWechat::open(identity(), Settings::default(), Clock::System)
        .await
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(server::serve(
        sandbox.clone(),
        listener,
        std::future::pending(),
    ));
    let transport = Transport::http(2, Duration::from_secs(5)).unwrap();
    let client =
        WechatClient::new(&identity().wechat_config(&base), transport, Clock::System).unwrap();
    let mut rig = CustomsSandbox {
        sandbox,
        client,
        payment: String::new(),
    };
    rig.payment = rig.pay("P-1").await;
    // The first call fetches the platform's certificates, which may take longer than a call in
    // process.
    rig.client.probe().await;
    assert_eq!(
        said(&rig.declare("S-fail").await),
        (Some("UNDECLARED"), None)
    );
    assert_eq!(rig.states("S-fail", 2).await, ["PROCESSING", "FAIL"]);
    assert_eq!(
        said(&rig.again("S-fail", "modify", "1.40", "1.90").await),
        (Some("SUBMITTED"), None)
    );
    let books = reqwest::get(format!("{base}/sandbox/books"))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let books: Value = serde_json::from_slice(&books).unwrap();
    assert_eq!(
        books["customs"]["filed"],
        json!({ "SHENZHEN": { "SUBMITTED": 1 } })
    );
    assert_eq!(
        (&books["customs"]["modified"], &books["violations"]),
        (&json!(1), &json!({}))
    );
}

/// A signed request that no client would send, and why it is refused.
async fn refusal(
    rig: &CustomsSandbox,
    method: &str,
    target: &str,
    body: &str,
    serial: Option<&str>,
) -> (u16, String) {
    let seconds = Clock::System.now().seconds().to_string();
    let random = nonce().unwrap();
    let message = request_message(method, target, &seconds, &random, body.as_bytes());
    let merchant = &rig.sandbox.identity.merchant;
    let authorization = authorization(merchant, &seconds, &random, &message);
    let request = http::Request::builder()
        .method(method)
        .uri(target)
        .header("authorization", authorization);
    let request = request
        .header("accept", "*/*")
        .header("user-agent", "t")
        .header("content-type", "application/json");
    let request = serial.into_iter().fold(request, |request, serial| {
        request.header("wechatpay-serial", serial)
    });
    match rig
        .sandbox
        .handle(request.body(body.to_owned().into()).unwrap())
        .await
    {
        Reaction::Reply(reply) => {
            let said: Value = serde_json::from_slice(reply.body()).unwrap();
            (
                reply.status().as_u16(),
                said["message"].as_str().unwrap_or("accepted").to_owned(),
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
async fn a_declaration_that_is_not_as_documented_is_refused_for_what_is_wrong() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let body = json!({
        "appid": "wx0000000000000001", "mchid": "1900000001", "out_trade_no": "P-1", "transaction_id": rig.payment,
        "customs": "SHENZHEN", "merchant_customs_no": "123456789B", "sub_order_no": "S-1", "fee_type": "CNY",
        "order_fee": 200, "transport_fee": 50, "product_fee": 150,
    });
    let orders = "/v3/global/customs/orders";
    for (field, value, why) in [
        ("mch_customs_no", json!("1"), "unknown_parameter"),
        ("certificate_id", json!("x"), "unknown_parameter"),
        ("fee_type", Value::Null, "missing_fee"),
        ("transport_fee", Value::Null, "missing_fee"),
        ("order_fee", json!("200"), "wrong_type"),
        ("order_fee", json!(201), "wrong_amount"),
        ("duty", json!(-1), "wrong_amount"),
        ("mchid", json!("1900000002"), "wrong_ids"),
        ("customs", json!("BEIJING"), "unknown_customs"),
        ("merchant_customs_no", json!("a b"), "wrong_customs_number"),
        ("sub_order_no", json!("a b"), "wrong_order_number"),
        ("transaction_id", Value::Null, "missing_parameter"),
    ] {
        let mut wrong = body.clone();
        wrong[field] = value;
        assert_eq!(
            refusal(&rig, "POST", orders, &wrong.to_string(), None).await,
            (400, why.into()),
            "{field}"
        );
    }
    // What is modified names no currency, what is redeclared no amount.
    let patched = refusal(&rig, "PATCH", orders, &body.to_string(), None).await;
    let again = refusal(
        &rig,
        "POST",
        "/v3/global/customs/redeclare",
        &body.to_string(),
        None,
    )
    .await;
    assert_eq!(
        (patched, again),
        (
            (400, "unknown_parameter".into()),
            (400, "unknown_parameter".into())
        )
    );
    assert!(rig.totals().await.customs.filed.is_empty());
}

#[tokio::test]
async fn a_person_that_is_not_encrypted_for_the_platform_is_refused() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let body = json!({
        "appid": "wx0000000000000001", "mchid": "1900000001", "out_trade_no": "P-1", "transaction_id": rig.payment,
        "customs": "SHENZHEN", "merchant_customs_no": "1", "certificate_type": "IDCARD", "certificate_id": CARD,
        "certificate_name": NAME,
    });
    let (path, ours) = (
        "/v3/global/customs/verify-certificate",
        rig.sandbox.identity.platform.serial.clone(),
    );
    for (serial, why) in [
        (None, "missing_serial"),
        (Some("7F"), "unknown_serial"),
        (Some(ours.as_str()), "not_encrypted"),
    ] {
        assert_eq!(
            refusal(&rig, "POST", path, &body.to_string(), serial).await,
            (400, why.into())
        );
    }
}

#[tokio::test]
async fn a_check_of_a_person_under_each_fault_is_answered_when_it_is_asked_again() {
    for fault in Fault::ALL {
        let rig = CustomsSandbox::new(FaultPlan::only(fault)).await;
        rig.declare_and_see("S-1").await;
        let mut input = rig.input("S-1");
        input["cert_id"] = json!(CARD);
        input["name"] = json!(NAME);
        let seen = rig.call("identity_check", "S-1", None, input.clone()).await;
        let printed = format!("{seen:?}");
        assert!(
            !printed.contains(CARD) && !printed.contains(NAME),
            "{printed}"
        );
        assert_eq!(
            said(&rig.call("identity_check", "S-1", None, input).await).0,
            Some("SAME"),
            "{fault}"
        );
    }
}

/// Whatever is drawn, the book keeps its promise.
#[test]
fn whatever_goes_wrong_nothing_is_filed_twice() {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let paid = PaidPayment {
        theirs: "42".into(),
        currency: "CNY".into(),
        minor: 1_500,
    };
    for seed in 0..50 {
        let settings = Settings {
            plan: FaultPlan::new(seed, Level::Heavy),
            ..Settings::default()
        };
        let mut book = DeclarationBook::default();
        for round in 0..8 {
            for n in 0..10 {
                let key = Key {
                    order: "P".into(),
                    sub_order: format!("S-{n}"),
                    customs: "NINGBO".into(),
                };
                let fees = DeclaredFees {
                    currency: "CNY".into(),
                    order: 150,
                    transport: 0,
                    product: 150,
                };
                let terms = DeclaredTerms {
                    merchant_customs_no: "1".into(),
                    duty: None,
                    fees: Some(fees),
                    person: None,
                };
                let later = now.plus(Duration::from_secs(round));
                book.declare(&key, terms, Some(&paid), &settings, later);
                book.query(std::slice::from_ref(&key), &settings, later);
            }
        }
        let totals = book.totals(&mut BTreeMap::new(), &mut BTreeMap::new());
        let filed: u64 = totals.filed["NINGBO"].values().sum();
        assert!(filed <= 10 && totals.filed_twice == 0, "{seed}: {totals:?}");
    }
}

#[test]
fn a_payment_has_fifty_sub_orders_at_most() {
    let (now, settings) = (
        Timestamp::from_millis(1_800_000_000_000),
        Settings::default(),
    );
    let paid = PaidPayment {
        theirs: "42".into(),
        currency: "CNY".into(),
        minor: 1_000,
    };
    let mut book = DeclarationBook::default();
    let mut declare = |n: u32, customs: &str| {
        let key = Key {
            order: "P".into(),
            sub_order: format!("S-{n}"),
            customs: customs.into(),
        };
        let fees = DeclaredFees {
            currency: "CNY".into(),
            order: 1,
            transport: 0,
            product: 1,
        };
        let terms = DeclaredTerms {
            merchant_customs_no: "1".into(),
            duty: None,
            fees: Some(fees),
            person: None,
        };
        book.declare(&key, terms, Some(&paid), &settings, now).what
    };
    assert!((0..50).all(|n| matches!(declare(n, "NINGBO"), DeclarationResult::Shown(_))));
    assert!(matches!(declare(50, "NINGBO"), DeclarationResult::TooMany));
    assert!(matches!(declare(0, "TIANJIN"), DeclarationResult::Shown(_)));
}

#[tokio::test]
async fn a_person_is_checked_only_of_what_is_declared() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let mut input = rig.input("S-1");
    input["cert_id"] = json!(CARD);
    input["name"] = json!(NAME);
    let early = rig.call("identity_check", "S-1", None, input.clone()).await;
    assert_eq!(
        (early.state, &early.result["sub_code"]),
        (None, &json!("35312011"))
    );
    rig.declare_and_see("S-1").await;
    assert_eq!(
        said(&rig.call("identity_check", "S-1", None, input).await).0,
        Some("SAME")
    );
}

#[tokio::test]
async fn an_order_that_is_not_split_is_declared_without_amounts() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    let input = json!({
        "out_trade_no": "P-1", "transaction_id": rig.payment, "customs": "ZONGSHU", "mch_customs_no": "123456789B",
    });
    assert_eq!(
        said(&rig.call("declare", "x", None, input.clone()).await).0,
        Some("UNDECLARED")
    );
    let mut seen = None;
    for _ in 0..4 {
        seen = Some(rig.call("declare_query", "x", None, input.clone()).await);
    }
    let seen = seen.unwrap();
    assert_eq!(
        (said(&seen).0, seen.order_no.as_deref()),
        (Some("SUCCESS"), Some("P-1"))
    );
    assert_eq!(seen.receipt.as_deref(), Some(rig.payment.as_str()));
    assert!(rig.totals().await.refused.is_empty());
}

#[tokio::test]
async fn a_declaration_beyond_the_first_page_is_found() {
    let rig = CustomsSandbox::new(FaultPlan::NONE).await;
    for n in 0..45 {
        let sub_order = format!("S-{n:02}-fail");
        rig.declare(&sub_order).await;
        // What fails leaves room for the next.
        rig.states(&sub_order, 2).await;
    }
    let whole = json!({
        "out_trade_no": "P-1", "transaction_id": rig.payment, "customs": "SHENZHEN", "mch_customs_no": "123456789B",
    });
    let absent = rig.call("declare_query", "x", None, whole.clone()).await;
    assert_eq!(absent.code.as_deref(), Some("NO_DECLARATION"));
    rig.call("declare", "x", None, whole.clone()).await;
    let seen = rig.call("declare_query", "x", None, whole).await;
    assert_eq!(
        (seen.order_no.as_deref(), seen.state.is_some()),
        (Some("P-1"), true)
    );
    assert!(seen.result.get("next_offset").is_none());
}
