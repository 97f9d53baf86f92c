//! One attempt at a time: what is asked before something is sent, what is sent then, and what a
//! person does in between.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use payrun::domain::item::State;
use payrun::gateway::{BoxFuture, Call, Delivery, Observation};
use payrun::ledger::{Ledger, OperatorAction};
use serde_json::json;
use tokio::sync::OnceCell;

use crate::ledger::on_every_engine;
use crate::support::by;
use crate::support::scripted_gateway::{ScriptedProcess, hkd, payment, refuses, shows};

/// A gateway that says the same to every call of an operation.
fn says(
    answer: impl Fn(&Call) -> Observation + Send + 'static,
) -> impl FnMut(Call) -> BoxFuture<'static, Observation> + Send {
    move |call| {
        let said = answer(&call);
        Box::pin(async move { said })
    }
}

/// Of a gateway that may be asked whether a payment can be cancelled: while it is asked, a person
/// withdraws the cancellation.
#[test]
fn what_is_withdrawn_while_its_payment_is_looked_up_is_not_sent() {
    on_every_engine(|place| async move {
        let ledger: Arc<OnceCell<Ledger>> = Arc::default();
        ledger.set(place.open().await).unwrap();
        let other = Arc::clone(&ledger);
        let process = ScriptedProcess::at(&place, "egms", move |call| {
            let ledger = Arc::clone(&other);
            Box::pin(async move {
                if call.operation == "cancel_check" {
                    let now = crate::ledger::ledger_fixture::at(1);
                    ledger
                        .get()
                        .unwrap()
                        .apply_action(1, &OperatorAction::Cancel, &by("ann"), now)
                        .await
                        .unwrap();
                    let mut seen = shows("Pending");
                    seen.result.insert("cancellable".to_owned(), "yes".into());
                    return seen;
                }
                shows("Success")
            })
        })
        .await;
        let job = process
            .plan("cancel", &[("P-1", None, json!({ "out_trade_no": "P-1" }))])
            .await;
        process.work(job, "cancel").await;
        assert_eq!(
            process.heard(),
            ["cancel_check"],
            "nothing is sent after the withdrawal"
        );
        let item = process.item(1).await;
        assert_eq!(item.state, State::Cancelled);
        assert!(
            item.reason
                .as_deref()
                .unwrap()
                .starts_with("withdrawn by ann: "),
            "{item:?}"
        );
        process.assert_sound().await;
    });
}

/// A claim that waited for its turn is looked at once more before it is sent.
#[test]
fn what_is_withdrawn_between_a_claim_and_a_late_send_is_not_sent() {
    on_every_engine(|place| async move {
        let process = ScriptedProcess::at(&place, "wechat", says(|_| shows("SUCCESS"))).await;
        let job = process
            .plan(
                "terminate",
                &[("C-1", None, json!({ "contract_id": "C-1", "reason": "x" }))],
            )
            .await;
        let claimed = process.claim(job, "terminate", 1).await.remove(0);
        process
            .ledger()
            .apply_action(1, &OperatorAction::Cancel, &by("ann"), process.now())
            .await
            .unwrap();
        process.set(1);
        process.perform(&claimed, "terminate").await;
        assert_eq!(process.heard(), Vec::<String>::new());
        assert_eq!(process.item(1).await.state, State::Cancelled);
        process.assert_sound().await;
    });
}

/// WeChat Pay, whose lookups of a payment of 12.50 show these amounts, the last for ever; a refund
/// must name the true total.
fn misreads(
    amounts: &'static [&'static str],
) -> impl FnMut(Call) -> BoxFuture<'static, Observation> + Send {
    let looks = AtomicUsize::new(0);
    let taken: Mutex<HashSet<String>> = Mutex::default();
    says(move |call| match call.operation.as_str() {
        "any_order" => payment(
            "P-1",
            amounts[looks.fetch_add(1, Ordering::SeqCst).min(amounts.len() - 1)],
        ),
        "refund" if call.input["paid"] == "12.50" => {
            taken.lock().unwrap().insert(call.order_no.to_string());
            shows("PROCESSING")
        }
        "refund" => refuses(403, "INVALID_REQUEST"),
        _ if taken.lock().unwrap().contains(call.order_no.as_str()) => Observation {
            order_no: Some(call.order_no.to_string()),
            ..shows("PROCESSING")
        },
        _ => refuses(404, "RESOURCE_NOT_EXISTS"),
    })
}

#[track_caller]
fn names(reason: Option<&str>, words: &[&str]) {
    let reason = reason.unwrap_or_default();
    assert!(
        words.iter().all(|word| reason.contains(word)),
        "{words:?}: {reason}"
    );
}

#[test]
fn a_payment_that_contradicts_its_row_is_looked_up_again_and_two_answers_of_the_gateway_are_a_persons()
 {
    on_every_engine(|place| async move {
        let process = ScriptedProcess::at(&place, "wechat", misreads(&["13.50", "12.50"])).await;
        let first = process
            .plan_refund("R-1", "P-1", "5.00", Some("12.50"))
            .await;
        process.work(first, "refund").await;
        assert_eq!(
            process.heard(),
            ["any_order", "any_order"],
            "it is asked again before it is refused"
        );
        let item = process.item(1).await;
        assert_eq!(item.state, State::NeedsReview);
        names(
            item.reason.as_deref(),
            &["TWO_AMOUNTS_PAID", "13.50 HKD", "12.50 HKD", "payrun retry"],
        );
        // Another batch sends nothing of it either, whatever its rows say.
        let second = process.plan_refund("R-2", "P-1", "5.00", None).await;
        process.work(second, "refund").await;
        assert_eq!(process.heard(), Vec::<String>::new());
        assert_eq!(process.item(2).await.state, State::NeedsReview);
        // A person's retry asks anew, at once; what was said twice is so.
        for id in [1, 2] {
            process
                .ledger()
                .apply_action(id, &OperatorAction::Retry, &by("ann"), process.now())
                .await
                .unwrap();
        }
        let item = process.item(1).await;
        names(
            item.reason.as_deref(),
            &[
                "asked at once",
                "before: a person has to decide: TWO_AMOUNTS_PAID",
                "13.50 HKD",
            ],
        );
        process.work(first, "refund").await;
        let mut calls = process.calls();
        let heard: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(
            heard,
            ["refund_query", "any_order", "refund"],
            "no grace period is waited for: nothing was sent"
        );
        let events = process.ledger().events(1).await.unwrap();
        let looked_up = "its payment was looked up again: 12.50 HKD was paid";
        assert!(
            events.iter().any(|event| event
                .detail
                .as_ref()
                .is_some_and(|detail| detail.to_string() == looked_up)),
            "{events:?}"
        );
        for seconds in (0..2_000).step_by(50) {
            process.set(seconds);
            process.work(first, "refund").await;
            process.work(second, "refund").await;
        }
        calls.extend(process.calls());
        let sent: Vec<Call> = calls
            .into_iter()
            .filter(|call| call.operation == "refund")
            .collect();
        assert_eq!(sent.len(), 2);
        assert!(
            sent.iter().all(|call| call.input["paid"] == "12.50"),
            "{sent:?}"
        );
        process.assert_sound().await;
    });
}

#[test]
fn a_code_that_no_table_lists_sends_the_item_to_review_with_the_gateways_own_words() {
    on_every_engine(|place| async move {
        let process = ScriptedProcess::at(
            &place,
            "wechat",
            says(|call| match call.operation.as_str() {
                "deduct" => Observation {
                    message: Some("channel closed for good".into()),
                    ..refuses(400, "BRAND_NEW")
                },
                _ => refuses(404, "ORDER_NOT_EXIST"),
            }),
        )
        .await;
        let job = process
            .plan(
                "deduct",
                &[("D-1", Some(hkd("5.00")), json!({ "contract_id": "C-1" }))],
            )
            .await;
        for minutes in 0..300 {
            process.set(minutes * 60);
            process.work(job, "deduct").await;
            if process.item(1).await.state == State::NeedsReview {
                break;
            }
        }
        let item = process.item(1).await;
        assert_eq!(item.state, State::NeedsReview, "{:?}", item.reason);
        let words = "which no outcome table lists, and the gateway has no such order; its words were: channel closed for good";
        names(item.reason.as_deref(), &["answered BRAND_NEW", words]);
        process.assert_sound().await;
    });
}

/// A statement of WeChat Pay's that has these orders in it, each paid with 10.00.
fn statement_of(orders: &[String]) -> Observation {
    let captions = "交易时间,公众账号ID,商户号,特约商户号,设备号,微信订单号,商户订单号,用户标识,交易类型,交易状态,付款银行,货币种类,\
                    应结订单金额,代金券金额,微信退款单号,商户退款单号,退款金额,充值券退款金额,退款类型,退款状态,商品名称,商户数据包,\
                    手续费,费率,订单金额,申请退款金额,费率备注\n";
    let line = |order: &String| {
        format!(
            "`2023-11-15 07:00:00,`,`,`,`,`T-{order},`{order},`,`,`SUCCESS,`,`HKD,`10.00,`,`,`,`0.00,`,`,`,`,`,`0.00,`,`10.00,`0.00,`\n"
        )
    };
    let file = format!("{captions}{}", orders.iter().map(line).collect::<String>());
    Observation {
        receipt: Some(format!("sha-{}", orders.len())),
        file: Some(file.into()),
        ..shows("")
    }
}

#[test]
fn the_next_days_whole_file_takes_the_place_of_an_early_statement_and_both_files_stay() {
    on_every_engine(|place| async move {
        let orders: Arc<Mutex<Vec<String>>> = Arc::default();
        let known = Arc::clone(&orders);
        let process = ScriptedProcess::at(
            &place,
            "wechat",
            says(move |call| {
                let mut known = known.lock().unwrap();
                if call.operation == "statement" {
                    return statement_of(&known);
                }
                let order = call.order_no.to_string();
                known.push(order.clone());
                payment(&order, "10.00")
            }),
        )
        .await;
        // It is six in the morning in Beijing, on the 15th.
        let deduct = |key| (key, Some(hkd("10.00")), json!({ "contract_id": key }));
        let statement = |key| {
            (
                key,
                None,
                json!({ "date": "2023-11-15", "open_day": "keep" }),
            )
        };
        let window = json!({ "from": "2023-11-15", "to": "2023-11-15" });
        let work = async |kind: &'static str, item| {
            let job = process.plan(kind, &[item]).await;
            process.work(job, kind).await;
        };
        process.set(3_600);
        work("deduct", deduct("C-1")).await;
        process.set(7_200);
        work("statement", statement("early")).await;
        process.set(10_800);
        work("deduct", deduct("C-2")).await;
        work("reconcile", ("at once", None, window.clone())).await;
        let (early, at_once) = (process.item(2).await, process.item(4).await);
        let fact = |item: &payrun::ledger::ItemRow, name: &str| -> serde_json::Value {
            let result: serde_json::Value =
                serde_json::from_str(item.result.as_deref().unwrap_or("{}")).unwrap();
            result[name].clone()
        };
        assert_eq!(
            (early.state, fact(&early, "lines")),
            (State::Succeeded, 1.into()),
            "{early:?}"
        );
        assert_eq!(
            (fact(&at_once, "missing_there"), fact(&at_once, "timing")),
            (0.into(), 1.into()),
            "{at_once:?}"
        );
        // A quarter past ten of the next day.
        process.set(101_000);
        work("statement", statement("whole")).await;
        work("reconcile", ("afterwards", None, window)).await;
        let (whole, afterwards) = (process.item(5).await, process.item(6).await);
        assert_eq!(
            (whole.state, fact(&whole, "lines")),
            (State::Succeeded, 2.into()),
            "{whole:?}"
        );
        assert_eq!(
            (afterwards.state, fact(&afterwards, "differences")),
            (State::Succeeded, 0.into()),
            "{afterwards:?}"
        );
        let files = [fact(&early, "file"), fact(&whole, "file")]
            .map(|file| file.as_str().unwrap().to_owned());
        assert_ne!(files[0], files[1]);
        for (file, lines) in files.iter().zip([2, 3]) {
            let kept = std::fs::read_to_string(process.path(file)).unwrap();
            assert_eq!(kept.lines().count(), lines, "{file}");
        }
    });
}

#[test]
fn a_refund_that_the_gateway_refuses_is_held_against_a_new_look_up_of_its_payment() {
    on_every_engine(|place| async move {
        let process = ScriptedProcess::at(&place, "wechat", misreads(&["13.50", "12.50"])).await;
        let job = process.plan_refund("R-1", "P-1", "5.00", None).await;
        process.work(job, "refund").await;
        assert_eq!(process.heard(), ["any_order", "refund", "any_order"]);
        let item = process.item(1).await;
        assert_eq!(item.state, State::NeedsReview);
        names(
            item.reason.as_deref(),
            &["TWO_AMOUNTS_PAID", "13.50 HKD", "12.50 HKD"],
        );
        process.assert_sound().await;
    });
}

#[test]
fn a_row_that_is_wrong_fails_once_the_gateway_has_said_so_twice_and_names_both_amounts() {
    on_every_engine(|place| async move {
        let process = ScriptedProcess::at(&place, "wechat", misreads(&["12.50"])).await;
        let wrong = process
            .plan_refund("R-1", "P-1", "5.00", Some("21.50"))
            .await;
        process.work(wrong, "refund").await;
        assert_eq!(process.heard(), ["any_order", "any_order"]);
        let item = process.item(1).await;
        assert_eq!(item.state, State::Failed);
        names(
            item.reason.as_deref(),
            &["OTHER_AMOUNT_PAID", "21.50", "12.50 HKD"],
        );
        let above = process.plan_refund("R-2", "P-1", "12.51", None).await;
        process.work(above, "refund").await;
        let item = process.item(2).await;
        assert_eq!(item.state, State::Failed);
        names(
            item.reason.as_deref(),
            &["EXCEEDS_PAYMENT", "12.51 HKD", "12.50 HKD"],
        );
        process.assert_sound().await;
    });
}

#[test]
fn the_interval_between_refunds_counts_from_the_reply_or_from_when_it_was_learnt_what_happened() {
    on_every_engine(|place| async move {
        for lost in [false, true] {
            let place = place.fresh().await;
            let clock: Arc<Mutex<Option<payrun::clock::Clock>>> = Arc::default();
            let slow = Arc::clone(&clock);
            let process = ScriptedProcess::at(
                &place,
                "wechat",
                says(move |call| match call.operation.as_str() {
                    "any_order" => payment("P-1", "12.50"),
                    "refund" => {
                        // The reply takes nine seconds.
                        let clock = slow.lock().unwrap().clone().unwrap();
                        clock.set(clock.now().plus(std::time::Duration::from_secs(9)));
                        if lost {
                            Observation::of(Delivery::TimedOut)
                        } else {
                            shows("PROCESSING")
                        }
                    }
                    _ => shows("PROCESSING"),
                }),
            )
            .await;
            *clock.lock().unwrap() = Some(process.engine.clock.clone());
            let first = process.plan_refund("R-1", "P-1", "5.00", None).await;
            process.set(1);
            process.work(first, "refund").await;
            assert_eq!(process.heard(), ["any_order", "refund"]);
            // The gateway may have had it at 10; where the reply was lost it is learnt at 30.
            let known = if lost { 30 } else { 10 };
            process.set(known);
            process.work(first, "refund").await;
            process.heard();
            let second = process.plan_refund("R-2", "P-1", "5.00", None).await;
            for seconds in known..known + 63 {
                process.set(seconds);
                process.work(second, "refund").await;
                assert_eq!(
                    process.heard(),
                    Vec::<String>::new(),
                    "a minute and a margin after {known}: {seconds}"
                );
            }
            process.set(known + 63);
            process.work(second, "refund").await;
            assert_eq!(process.heard(), ["refund"]);
            process.assert_sound().await;
        }
    });
}

/// A quick payment that payrun made may be reversed 15 s and closed 5 minutes after it, as the
/// gateway's pages say.
#[test]
fn a_payment_is_not_withdrawn_before_the_gateway_lets_it_be() {
    on_every_engine(|place| async move {
        for (way, age) in [
            (json!("reverse"), 15),
            (json!("close"), 300),
            (json!(null), 300),
            (json!("deduction"), 0),
        ] {
            let place = place.fresh().await;
            let process = ScriptedProcess::at(
                &place,
                "wechat",
                says(|call| match call.operation.as_str() {
                    "micropay" => shows("USERPAYING"),
                    _ => Observation {
                        http: Some(204),
                        ..Observation::of(Delivery::Replied)
                    },
                }),
            )
            .await;
            let pay = process
                .plan("pay", &[("P-1", Some(hkd("10.00")), json!({}))])
                .await;
            process.set(100);
            let order = process.item(1).await.order_no.unwrap();
            let claimed = process.claim(pay, "pay", 1).await.remove(0);
            process.perform(&claimed, "pay").await;
            process.heard();
            let input = if way.is_null() {
                json!({ "out_trade_no": order })
            } else {
                json!({ "out_trade_no": order, "way": way })
            };
            let cancel = process.plan("cancel", &[("P-1", None, input)]).await;
            // The payment was made within the ten seconds that its call may take.
            let first = if age == 0 { 100 } else { 110 + age };
            process.work(cancel, "cancel").await;
            for seconds in [first - 1, first] {
                if seconds > 100 {
                    assert_eq!(process.heard(), Vec::<String>::new(), "{way} {seconds}");
                }
                process.set(seconds.max(100));
                process.work(cancel, "cancel").await;
            }
            assert_eq!(process.heard(), ["cancel"], "{way}");
            process.assert_sound().await;
        }
    });
}

/// Of payments that payrun did not make nobody here knows the time: what is refused as too early is
/// sent again.
#[test]
fn a_withdrawal_that_is_refused_as_too_early_is_sent_again() {
    on_every_engine(|place| async move {
        for http in [400, 403] {
            let place = place.fresh().await;
            let process = ScriptedProcess::at(
                &place,
                "wechat",
                says(move |_| refuses(http, "INVALID_REQUEST")),
            )
            .await;
            let job = process
                .plan("cancel", &[("P-1", None, json!({ "out_trade_no": "P-1" }))])
                .await;
            for seconds in (0..=300).step_by(10) {
                process.set(seconds);
                process.work(job, "cancel").await;
            }
            assert_eq!(process.item(1).await.state, State::Planned, "{http}");
            assert!(process.heard().len() > 5);
        }
    });
}

/// The answer to a withdrawal was lost, and the query shows that the order is refunded or closed.
#[test]
fn a_withdrawal_whose_answer_was_lost_ends_by_what_its_order_shows() {
    on_every_engine(|place| async move {
        let cases = [
            ("reverse", "REFUND", false, State::Succeeded),
            ("reverse", "REFUND", true, State::Unknown),
            ("close", "REFUND", false, State::Failed),
            ("deduction", "REFUND", false, State::Failed),
            ("reverse", "REVOKED", false, State::Succeeded),
            ("close", "CLOSED", true, State::Succeeded),
            ("deduction", "CLOSED", false, State::Succeeded),
        ];
        for (way, shown, refunded, end) in cases {
            let place = place.fresh().await;
            let process = ScriptedProcess::at(
                &place,
                "wechat",
                says(move |call| match call.operation.as_str() {
                    "any_order" if call.input.contains_key("way") => Observation {
                        state: Some(shown.to_owned()),
                        ..payment("P-1", "12.50")
                    },
                    "any_order" => payment("P-1", "12.50"),
                    "refund" => shows("PROCESSING"),
                    _ => Observation::of(Delivery::TimedOut),
                }),
            )
            .await;
            if refunded {
                let refund = process.plan_refund("R-1", "P-1", "1.00", None).await;
                process.work(refund, "refund").await;
            }
            let job = process
                .plan(
                    "cancel",
                    &[("P-1", None, json!({ "out_trade_no": "P-1", "way": way }))],
                )
                .await;
            for seconds in [0, 20, 40] {
                process.set(seconds);
                process.work(job, "cancel").await;
            }
            let item = process.item(if refunded { 2 } else { 1 }).await;
            assert_eq!(item.state, end, "{way} {shown} {refunded}: {item:?}");
            process.assert_sound().await;
        }
    });
}

/// A contract's number that the gateway finds closed before it asks the payer: the step of the
/// ladder is not used up.
#[test]
fn a_number_that_is_closed_already_uses_up_no_step_of_the_dunning_ladder() {
    on_every_engine(|place| async move {
        let asked: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&asked);
        let closed: Mutex<HashSet<String>> = Mutex::default();
        let process = ScriptedProcess::at(
            &place,
            "wechat",
            says(move |call| match call.operation.as_str() {
                // The second number is closed when it comes; under any other the payer has not
                // enough.
                "deduct" if call.order_no.as_str().ends_with("-2") => {
                    closed.lock().unwrap().insert(call.order_no.to_string());
                    refuses(400, "ORDER_CLOSED")
                }
                "deduct" => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    closed.lock().unwrap().insert(call.order_no.to_string());
                    refuses(403, "NOT_ENOUGH")
                }
                "transaction" if closed.lock().unwrap().contains(call.order_no.as_str()) => {
                    Observation {
                        order_no: Some(call.order_no.to_string()),
                        ..shows("CLOSED")
                    }
                }
                _ => refuses(404, "ORDER_NOT_EXIST"),
            }),
        )
        .await;
        let day = std::time::Duration::from_secs(86_400);
        let process = process.with_dunning(vec![day]);
        let job = process
            .plan(
                "deduct",
                &[("K-1", Some(hkd("10.00")), json!({ "contract_id": "C-1" }))],
            )
            .await;
        for hours in 0..72 {
            process.set(hours * 3_600);
            process.work(job, "deduct").await;
        }
        let item = process.item(1).await;
        assert_eq!(item.state, State::Failed, "{item:?}");
        assert_eq!(
            asked.load(Ordering::SeqCst),
            2,
            "the payer was asked twice: {item:?}"
        );
        assert!(item.order_no.unwrap().ends_with("-3"));
        process.assert_sound().await;
    });
}

/// Our balance was too small: when the hold is over one tries, and the others wait until it went
/// well.
#[test]
fn after_a_hold_for_funds_one_item_tries_and_the_others_follow_when_it_went_well() {
    on_every_engine(|place| async move {
        let funds: Arc<AtomicUsize> = Arc::default();
        let have = Arc::clone(&funds);
        let sent: Arc<AtomicUsize> = Arc::default();
        let counted = Arc::clone(&sent);
        let process = ScriptedProcess::at(
            &place,
            "wechat",
            says(move |call| match call.operation.as_str() {
                "any_order" => payment(call.input["out_trade_no"].as_str().unwrap(), "12.50"),
                "refund" => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    if have.load(Ordering::SeqCst) == 0 {
                        refuses(403, "NOT_ENOUGH")
                    } else {
                        shows("PROCESSING")
                    }
                }
                _ => shows("PROCESSING"),
            }),
        )
        .await;
        let mut jobs = Vec::new();
        for batch in 0..2 {
            let mut rows = Vec::new();
            let keys: Vec<(String, String)> = (0..5)
                .map(|n| (format!("R-{batch}-{n}"), format!("P-{batch}-{n}")))
                .collect();
            for (key, of) in &keys {
                rows.push((
                    key.as_str(),
                    Some(hkd("1.00")),
                    json!({ "out_trade_no": of }),
                ));
            }
            jobs.push(process.plan("refund", &rows).await);
        }
        let work = async |seconds: u64| {
            process.set(seconds);
            for job in &jobs {
                process.work(*job, "refund").await;
            }
            sent.swap(0, Ordering::SeqCst)
        };
        assert!(
            work(0).await >= 1,
            "what was claimed together may be on its way"
        );
        // Half an hour each; what was put off comes due meanwhile.
        assert_eq!(work(1_799).await, 0);
        assert_eq!(work(1_900).await, 1, "one tries");
        assert_eq!(work(3_000).await, 0);
        assert_eq!(work(3_800).await, 1, "one tries again");
        funds.store(1, Ordering::SeqCst);
        assert_eq!(work(9_000).await, 10, "one tries, and all follow");
        process.assert_sound().await;
    });
}
