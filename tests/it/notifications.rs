//! Notifications of all four gateways, over sockets: what is theirs is kept and applied once, what
//! is not leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use payrun::clock::Clock;
use payrun::ledger::{ItemFilter, NotificationOutcome};
use payrun::sandbox::faults::{CallKind, Fault, FaultPlan, Level};
use payrun::sandbox::notifications::events::{FinishedOrder, NotificationFlaw};
use payrun::sandbox::notifications::sender::{Address, NotificationSender};
use payrun::sandbox::{Settings, TransactionKind};
use serde_json::{Value, json};

use crate::support::engine_builder::WebhookService;
use crate::support::gateways::{GATEWAYS, Rig, text_of};
use crate::support::service::Service;
use crate::support::{App, DATE, Setup, WORKFLOW, contracts, until};

/// The path by which EGMS knows us.
const SIGNED_PATH: &str = "/payrun/notify/egms";

/// How each gateway knows that we have its notification.
const TAKEN: [(&str, &str); 4] = [
    ("wechat", r#"{"code":"SUCCESS","message":"OK"}"#),
    ("hipopay", "success"),
    ("egms", "SUCCESS"),
    ("cbtis", "success"),
];

pub fn media(gateway: &str) -> &'static str {
    if gateway == "hipopay" {
        "application/x-www-form-urlencoded"
    } else {
        "application/json"
    }
}

/// A payment job, whose payers take a while, and which asks after an hour only.
fn pay(gateway: &str) -> String {
    let particulars = match gateway {
        "wechat" => {
            "      auth_code: \"{{ item.code }}\"\n      merchant_category_code: \"4111\"\n"
        }
        "hipopay" => "      openid: o-1\n      appid: wx1\n      client_ip: 203.0.113.9\n",
        "egms" => "      platform: WEB\n",
        "cbtis" => "      success_url: https://example.com/paid\n",
        other => panic!("there is no gateway {other}"),
    };
    format!(
        "  {gateway}:\n    uses: pay\n    gateway: {gateway}\n    items: {{ file: payments.csv }}\n    \
         key: \"{{{{ item.id }}}}\"\n    with:\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n      \
         description: Rent\n{particulars}    retry: {{ attempts: 30, first: 50ms, max: 200ms }}\n    \
         query: {{ schedule: [1h], grace: 1500ms, horizon: 1d }}\n"
    )
}

/// A project with pending payments at every gateway, whose payers have paid by now.
pub fn waiting(payments: usize) -> Rig {
    waiting_by(payments, Clock::System)
}

/// The same with gateways that live by this clock.
fn waiting_by(payments: usize, clock: Clock) -> Rig {
    let settings = Settings {
        notes_ends: true,
        pending: Duration::from_millis(1),
        ..Settings::default()
    };
    let rig = Rig::with_clock(
        Settings {
            timeout: Duration::from_millis(600),
            ..settings
        },
        clock,
    );
    // Not what the rig begins with.
    rig.wait_for(rig.gateways.ended()).unwrap();
    // Nothing fails here: a busy machine is waited for.
    let config = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    rig.write(
        "payrun.yaml",
        config.replace("timeout: 600ms", "timeout: 20s"),
    );
    let rows: String = (0..payments)
        .map(|n| format!("p-{n},1{n}.50,13465072086{n:03}0000\n"))
        .collect();
    rig.write("payments.csv", format!("id,amount,code\n{rows}"));
    rig.write(
        "pay.yaml",
        format!("workflow: pay\njobs:\n{}", GATEWAYS.map(pay).concat()),
    );
    let (code, text) = rig.payrun(&["run", "pay.yaml", "--json", "--wait", "0s"]);
    assert_eq!(code, Some(4), "{text}");
    rig
}

fn states(rig: &Rig) -> BTreeMap<(String, String), usize> {
    let mut states = BTreeMap::new();
    for item in rig.items() {
        *states
            .entry((
                text_of(&item, "job").to_owned(),
                text_of(&item, "state").to_owned(),
            ))
            .or_default() += 1;
    }
    states
}

fn all(rig: &Rig, state: &str) -> bool {
    rig.items()
        .iter()
        .all(|item| text_of(item, "state") == state)
}

/// The payment of a gateway's only item.
fn payment(rig: &Rig, gateway: &'static str) -> FinishedOrder {
    let number = text_of(&rig.items_of(gateway)[0], "order_no").to_owned();
    FinishedOrder {
        gateway,
        kind: TransactionKind::Payment,
        number,
    }
}

pub async fn news(
    rig: &Rig,
    of: &FinishedOrder,
    twist: Option<NotificationFlaw>,
) -> (HeaderMap, Bytes) {
    rig.gateways
        .notification(of, twist, SIGNED_PATH)
        .await
        .unwrap()
        .unwrap()
}

#[test]
fn what_a_gateway_tells_is_kept_acknowledged_in_its_way_and_closes_the_payment() {
    let rig = waiting(3);
    assert!(all(&rig, "pending"), "{:?}", states(&rig));
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        let address = Address {
            urls: GATEWAYS
                .into_iter()
                .map(|name| (name, format!("{}/{name}", service.url)))
                .collect(),
            signed_path: Some(SIGNED_PATH.to_owned()),
            compressed: 1_000,
        };
        let mut sender = NotificationSender::new(rig.gateways.clone(), address, FaultPlan::NONE);
        let sent = sender.step().await.unwrap();
        assert_eq!(
            (sent.requests, sent.taken, sender.is_idle()),
            (12, 12, true)
        );
        assert_eq!(service.kept().await.len(), 12);
        service.hear().await;
    });
    let succeeded =
        |gateway: &str| states(&rig).get(&(gateway.to_owned(), "succeeded".to_owned())) == Some(&3);
    // What HipoPay and CBTIS say is a reason to ask at once.
    assert!(
        ["wechat", "egms"].into_iter().all(succeeded),
        "{:?}",
        states(&rig)
    );
    assert!(
        !["hipopay", "cbtis"].into_iter().any(succeeded),
        "{:?}",
        states(&rig)
    );
    let (code, text) = rig.payrun(&["run", "--resume", "--json", "--wait", "5s"]);
    assert_eq!(code, Some(0), "{text}");
    for item in rig.items() {
        assert!(
            !text_of(&item, "receipt").is_empty() && text_of(&item, "state") == "succeeded",
            "{item}"
        );
    }
}

#[test]
fn every_gateway_is_answered_in_its_own_way_and_the_same_again_is_counted() {
    let rig = waiting(1);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        rig.gateways.ended().await.unwrap();
        for (gateway, taken) in TAKEN {
            let (headers, body) = news(&rig, &payment(&rig, gateway), None).await;
            for _ in 0..3 {
                let answer = service
                    .post(gateway, media(gateway), headers.clone(), body.clone())
                    .await;
                assert_eq!(answer, (200, taken.to_owned()), "{gateway}");
                service.hear().await;
            }
            let kept = service.kept().await;
            assert_eq!(
                (kept[0].repeats, kept[0].lane.as_str(), kept[0].sealed),
                (2, gateway, true)
            );
        }
        assert_eq!(service.kept().await.len(), 4);
        assert_eq!(service.limiter.answered()["egms"].taken, 3);
    });
}

#[test]
fn what_is_forged_stale_too_long_or_of_another_type_leaves_nothing_behind() {
    let rig = waiting(1);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        for gateway in GATEWAYS {
            let of = payment(&rig, gateway);
            let (headers, body) = news(&rig, &of, Some(NotificationFlaw::Forged)).await;
            assert_eq!(
                service.post(gateway, media(gateway), headers, body).await.0,
                401,
                "{gateway}: forged"
            );
            let (headers, body) = news(&rig, &of, None).await;
            let without = service
                .post(gateway, media(gateway), HeaderMap::new(), body.clone())
                .await;
            assert_eq!(without.0, 401, "{gateway}: not signed");
            let long = Bytes::from([&body[..], &vec![b' '; 256 * 1024]].concat());
            assert_eq!(
                service
                    .post(gateway, media(gateway), headers.clone(), long)
                    .await
                    .0,
                413,
                "{gateway}: too long"
            );
            if gateway != "hipopay" {
                let other = service.post(gateway, "text/html", headers, body).await;
                assert_eq!(other.0, 415, "{gateway}: another content type");
            }
        }
        // CBTIS signs no instant.
        for (gateway, refusal) in [
            ("wechat", r#"{"code":"FAIL","message":"not accepted"}"#),
            ("hipopay", "fail"),
            ("egms", "FAIL"),
        ] {
            let (headers, body) =
                news(&rig, &payment(&rig, gateway), Some(NotificationFlaw::Stale)).await;
            let answered = service.post(gateway, media(gateway), headers, body).await;
            assert_eq!(answered, (401, refusal.to_owned()), "{gateway}: stale");
        }
        let (headers, body) = news(&rig, &payment(&rig, "egms"), None).await;
        assert_eq!(
            service
                .post("nobody", "application/json", headers.clone(), body.clone())
                .await
                .0,
            404
        );
        // Signed by the one, sent to the other.
        assert_eq!(
            service
                .post("cbtis", "application/json", headers, body)
                .await
                .0,
            401
        );
        assert!(
            service.kept().await.is_empty(),
            "{:?}",
            service.kept().await
        );
        let answered = service.limiter.answered();
        assert_eq!(
            (
                answered["cbtis"].refused,
                answered["cbtis"].unfit,
                answered["cbtis"].taken
            ),
            (3, 2, 0)
        );
    });
    assert!(all(&rig, "pending"), "{:?}", states(&rig));
}

#[test]
fn what_cannot_be_verified_before_certificates_can_be_had_is_to_be_sent_again_and_nobody_else_causes_downloads()
 {
    let rig = waiting(1);
    rig.wait_for(async {
        let wechat = rig.gateways.wechat.clone().unwrap();
        let clock = Clock::driven(Clock::System.now());
        let service = WebhookService::of(&rig, clock.clone()).await;
        let before = wechat.downloads();
        wechat.hide_certificates(true);
        rig.gateways.ended().await.unwrap();
        let (headers, body) = news(&rig, &payment(&rig, "wechat"), None).await;
        let post = async |headers: &HeaderMap, body: &Bytes| {
            service
                .post("wechat", media("wechat"), headers.clone(), body.clone())
                .await
                .0
        };
        for _ in 0..3 {
            assert_eq!(post(&headers, &body).await, 503);
        }
        assert_eq!(wechat.downloads() - before, 1);
        // What a stranger makes up is refused all the same, under whatever serial.
        let mut forged: Value = serde_json::from_slice(&body).unwrap();
        forged["resource"]["ciphertext"] =
            json!("Zm9yZ2VkIGJ5IHNvbWVib2R5IHdobyBoYXMgbm8ga2V5IG9mIG91cnM=");
        let forged = Bytes::from(forged.to_string());
        for serial in ["7000000000000001", "7000000000000002"] {
            let mut headers = headers.clone();
            headers.insert("wechatpay-serial", serial.parse().unwrap());
            assert_eq!(post(&headers, &forged).await, 401);
            clock.set(clock.now().plus(Duration::from_secs(61)));
        }
        assert_eq!(wechat.downloads() - before, 1);
        assert!(service.kept().await.is_empty());
        // The gateway sends it again, and by then the certificates can be had.
        wechat.hide_certificates(false);
        assert_eq!(post(&headers, &body).await, 200);
        let answered = service.limiter.answered();
        assert_eq!(
            (
                answered["wechat"].failed,
                answered["wechat"].refused,
                answered["wechat"].taken
            ),
            (3, 2, 1)
        );
        service.hear().await;
        assert_eq!(
            service.kept().await[0].outcome,
            NotificationOutcome::Applied
        );
    });
    assert_eq!(text_of(&rig.items_of("wechat")[0], "state"), "succeeded");
}

#[test]
fn one_that_was_kept_waits_until_its_certificates_can_be_had_again() {
    let clock = Clock::driven(Clock::System.now());
    let rig = waiting_by(1, clock.clone());
    clock.set(clock.now().plus(Duration::from_secs(1)));
    rig.wait_for(async {
        let wechat = rig.gateways.wechat.clone().unwrap();
        let service = WebhookService::of(&rig, clock.clone()).await;
        rig.gateways.ended().await.unwrap();
        let (headers, body) = news(&rig, &payment(&rig, "wechat"), None).await;
        assert_eq!(
            service
                .post("wechat", media("wechat"), headers, body)
                .await
                .0,
            200
        );
        // Another process, which knows no certificates yet.
        let other = WebhookService::of(&rig, clock.clone()).await;
        wechat.hide_certificates(true);
        for _ in 0..3 {
            other.hear().await;
            let kept = other.kept().await.remove(0);
            assert_eq!(kept.outcome, NotificationOutcome::Open, "{kept:?}");
            clock.set(clock.now().plus(Duration::from_secs(3_600)));
        }
        wechat.hide_certificates(false);
        other.hear().await;
        assert_eq!(other.kept().await[0].outcome, NotificationOutcome::Applied);
    });
}

#[test]
fn a_form_without_a_content_type_is_a_form_all_the_same() {
    let rig = waiting(1);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        let (headers, body) = news(&rig, &payment(&rig, "hipopay"), None).await;
        assert_eq!(
            service.post("hipopay", "", headers, body).await,
            (200, "success".to_owned())
        );
    });
}

#[test]
fn what_comes_out_of_order_or_names_another_amount_closes_nothing_and_lowers_nothing() {
    let rig = waiting(1);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        rig.gateways.ended().await.unwrap();
        for gateway in ["wechat", "egms"] {
            let of = payment(&rig, gateway);
            let outcome = async |twist| {
                let (headers, body) = news(&rig, &of, twist).await;
                assert_eq!(
                    service.post(gateway, media(gateway), headers, body).await.0,
                    200,
                    "{gateway}"
                );
                service.hear().await;
                service.kept().await[0].outcome
            };
            assert_eq!(
                outcome(Some(NotificationFlaw::OtherAmount)).await,
                NotificationOutcome::Mismatch,
                "{gateway}"
            );
            let item = rig.items_of(gateway).remove(0);
            assert_eq!(text_of(&item, "state"), "pending", "{gateway}");
            assert!(text_of(&item, "reason").contains("ours is"), "{item}");
            assert_eq!(
                outcome(Some(NotificationFlaw::Early)).await,
                NotificationOutcome::Queried,
                "{gateway}"
            );
            assert_eq!(
                outcome(None).await,
                NotificationOutcome::Applied,
                "{gateway}"
            );
            outcome(Some(NotificationFlaw::Early)).await;
            assert_eq!(
                text_of(&rig.items_of(gateway)[0], "state"),
                "succeeded",
                "{gateway}"
            );
        }
    });
}

#[test]
fn an_order_that_nobody_has_is_looked_for_during_an_hour_and_then_told_of() {
    let rig = waiting(1);
    GATEWAYS
        .iter()
        .for_each(|gateway| drop(rig.seed(gateway, "STRANGER-1", "12.00", "HKD")));
    rig.wait_for(async {
        let clock = Clock::driven(Clock::System.now());
        let service = WebhookService::of(&rig, clock.clone()).await;
        for gateway in GATEWAYS {
            let stranger = FinishedOrder {
                gateway,
                kind: TransactionKind::Payment,
                number: "STRANGER-1".to_owned(),
            };
            let (headers, body) = news(&rig, &stranger, None).await;
            assert_eq!(
                service.post(gateway, media(gateway), headers, body).await.0,
                200,
                "{gateway}"
            );
        }
        for _ in 0..12 {
            service.hear().await;
            let kept = service.kept().await;
            assert_eq!(kept.len(), 4);
            for one in &kept {
                assert_eq!(
                    (one.outcome, one.order_no.as_deref()),
                    (NotificationOutcome::Open, Some("STRANGER-1")),
                    "{}",
                    one.lane
                );
            }
            clock.set(kept.iter().filter_map(|one| one.next_at).max().unwrap());
        }
        clock.set(clock.now().plus(Duration::from_secs(3_600)));
        service.hear().await;
        for one in service.kept().await {
            assert_eq!(
                (one.outcome, one.next_at),
                (NotificationOutcome::UnknownOrder, None),
                "{}",
                one.lane
            );
        }
    });
    assert!(all(&rig, "pending"));
}

#[test]
fn by_command_notifications_are_listed_shown_without_persons_and_replayed_without_effect() {
    let rig = waiting(2);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        for ended in rig.gateways.ended().await.unwrap() {
            let (headers, body) = news(&rig, &ended, None).await;
            assert_eq!(
                service
                    .post(ended.gateway, media(ended.gateway), headers, body)
                    .await
                    .0,
                200
            );
        }
        service.engine.ledger.clone().close().await;
    });
    // Nobody has applied them: a replay does, and the next one changes nothing.
    let (code, text) = rig.payrun(&["notifications", "replay", "--since", "1h", "--json"]);
    let outcomes: BTreeMap<String, u64> = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, outcomes),
        (
            Some(0),
            BTreeMap::from([("applied".into(), 4), ("queried".into(), 4)])
        )
    );
    let (_, before) = rig.payrun(&["journal"]);
    let (code, text) = rig.payrun(&["notifications", "replay", "--since", "1h"]);
    assert_eq!((code, text.as_str()), (Some(0), "4 no_change\n4 queried\n"));
    assert_eq!(rig.payrun(&["journal"]).1, before);
    let (code, text) = rig.payrun(&["notifications", "list", "--gateway", "wechat", "--json"]);
    let rows: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (code, rows.len(), text_of(&rows[0], "outcome")),
        (Some(0), 2, "applied")
    );
    let id = rows[0]["notification"].to_string();
    let (code, text) = rig.payrun(&["notifications", "show", &id]);
    assert!(
        code == Some(0) && text.contains("\"trade_state\":\"SUCCESS\"") && !text.contains("oUpF8"),
        "{text}"
    );
    let (code, text) = rig.payrun(&["notifications", "list", "--order", "NOBODY"]);
    assert_eq!((code, text.as_str()), (Some(0), "no such notifications\n"));
    let item = rig.items_of("wechat").remove(0)["item"].to_string();
    let (_, text) = rig.payrun(&["show", "--item", &item, "--json"]);
    assert!(
        text.contains("\"notification\"")
            && text.contains("trade_state")
            && !text.contains("oUpF8"),
        "{text}"
    );
}

#[test]
fn thousands_at_once_are_answered_within_five_seconds_and_all_are_kept() {
    const MANY: usize = 3_000;
    const CONNECTIONS: usize = 256;
    let rig = waiting(1);
    rig.wait_for(async {
        let service = Arc::new(WebhookService::of(&rig, Clock::System).await);
        let mut all = Vec::with_capacity(MANY);
        for n in 0..MANY {
            let number = format!("MANY-{n}");
            rig.seed("hipopay", &number, "12.00", "HKD");
            all.push(
                news(
                    &rig,
                    &FinishedOrder {
                        gateway: "hipopay",
                        kind: TransactionKind::Payment,
                        number,
                    },
                    None,
                )
                .await,
            );
        }
        let began = Instant::now();
        let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
        let posts = all.into_iter().map(|(headers, body)| {
            let (service, places) = (Arc::clone(&service), Arc::clone(&places));
            tokio::spawn(async move {
                let _place = places.acquire_owned().await.unwrap();
                let began = Instant::now();
                let (status, _) = service.post("hipopay", "", headers, body).await;
                (status, began.elapsed())
            })
        });
        let mut longest = Duration::ZERO;
        for post in posts.collect::<Vec<_>>() {
            let (status, took) = post.await.unwrap();
            assert_eq!(status, 200);
            longest = longest.max(took);
        }
        println!(
            "{MANY} at once: the longest answer took {longest:?}, all {:?}",
            began.elapsed()
        );
        assert!(longest < Duration::from_secs(5), "{longest:?}");
        assert_eq!(service.kept().await.len(), MANY);
    });
}

#[test]
fn whatever_goes_wrong_on_the_way_everything_is_told_in_the_end_and_nothing_is_undone() {
    let rig = waiting(10);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        let address = Address {
            urls: GATEWAYS
                .into_iter()
                .map(|name| (name, format!("{}/{name}", service.url)))
                .collect(),
            signed_path: Some(SIGNED_PATH.to_owned()),
            compressed: 1_000,
        };
        let mut sender = NotificationSender::new(
            rig.gateways.clone(),
            address,
            FaultPlan::new(5, Level::Heavy),
        );
        let began = Instant::now();
        loop {
            let sent = sender.step().await.unwrap();
            service.hear().await;
            if sender.is_idle() {
                assert!(
                    sent.taken > 30 && sent.requests > sent.taken && sent.given_up == 0,
                    "{sent:?}"
                );
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{sent:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let alarms = service
            .engine
            .ledger
            .items(&ItemFilter::default(), 0, 100)
            .await
            .unwrap();
        assert!(
            alarms
                .iter()
                .all(|item| matches!(item.state.as_str(), "pending" | "succeeded")),
            "{alarms:?}"
        );
    });
    // What nobody was told of is asked about in an hour.
    let told = states(&rig);
    let succeeded: usize = told
        .iter()
        .filter(|((_, state), _)| state == "succeeded")
        .map(|(_, count)| count)
        .sum();
    assert!(succeeded >= 14, "{told:?}");
}

#[test]
fn a_service_takes_notifications_and_applies_them_by_itself() {
    let faults = FaultPlan {
        on: Some(CallKind::Submit),
        ..FaultPlan::only(Fault::SilentAfter)
    };
    let app = App::of(Setup {
        faults,
        contracts: contracts("C", 3),
        ..Setup::default()
    });
    app.edit(
        WORKFLOW,
        "schedule: [50ms, 100ms, 200ms, 400ms]",
        "schedule: [1h]",
    );
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"])
        .exits(4);
    assert_eq!(app.by_state(), json!({ "unknown": 3 }));
    let service = Service::of(&app);
    for item in app.json_lines(&["items", "--json"]) {
        let told = app
            .wait_for(app.sandbox().notification(text_of(&item, "order_no")))
            .unwrap();
        let (headers, body) = told.expect("it is paid");
        let post = service
            .request(reqwest::Method::POST, "/notify/hk")
            .headers(headers)
            .body(body);
        assert_eq!(service.send(post).status, 200);
    }
    until("what was told of is closed", || {
        app.by_state() == json!({ "succeeded": 3 })
    });
    let metrics = service
        .get(&service.token("prometheus", "viewer"), "/metrics")
        .body
        .to_string();
    assert!(
        metrics.contains("payrun_notifications{gateway=\\\"hk\\\",answer=\\\"taken\\\"} 3"),
        "{metrics}"
    );
    service.stop().exits(0);
}

#[test]
fn what_names_a_person_is_masked_where_it_is_shown_and_not_kept_without_a_key_to_seal_it_with() {
    let rig = waiting(1);
    let of = payment(&rig, "hipopay");
    rig.wait_for(async {
        rig.gateways.ended().await.unwrap();
        let (headers, body) = news(&rig, &of, None).await;
        assert!(
            String::from_utf8_lossy(&body).contains("openid=o-1"),
            "the sandbox names the payer"
        );
        let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
        rig.write(
            "payrun.yaml",
            yaml.replace("encryption_key: { file: keys/personal.key }\n", ""),
        );
        let open = WebhookService::of(&rig, Clock::System).await;
        let (status, answer) = open
            .post("hipopay", media("hipopay"), headers.clone(), body.clone())
            .await;
        assert_eq!(
            (status, answer.as_str(), open.kept().await.len()),
            (503, "fail", 0)
        );
        open.engine.ledger.clone().close().await;
        rig.write("payrun.yaml", yaml);
        let sealed = WebhookService::of(&rig, Clock::System).await;
        assert_eq!(
            sealed
                .post("hipopay", media("hipopay"), headers, body)
                .await,
            (200, "success".to_owned())
        );
        let kept = sealed.kept().await.remove(0);
        assert!(kept.sealed);
        let seen = sealed.engine.read_notification(&kept).await.unwrap();
        assert!(
            seen.evidence.contains("openid=***") && !seen.evidence.contains("o-1"),
            "{}",
            seen.evidence
        );
        sealed.hear().await;
        assert_eq!(sealed.kept().await[0].outcome, NotificationOutcome::Queried);
        sealed.engine.ledger.clone().close().await;
    });
}

#[test]
fn a_payment_to_another_merchant_under_our_number_has_ours_asked_about_and_closes_nothing() {
    let rig = waiting(1);
    let of = payment(&rig, "hipopay");
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        // HipoPay signs for every merchant with one key, and names none: paid, elsewhere, in our
        // amount or in another.
        for twist in [None, Some(NotificationFlaw::OtherAmount)] {
            let (headers, body) = news(&rig, &of, twist).await;
            assert_eq!(
                service
                    .post("hipopay", media("hipopay"), headers, body)
                    .await
                    .0,
                200
            );
            service.hear().await;
            let kept = service.kept().await.remove(0);
            assert_eq!(
                (kept.outcome, kept.detail.as_deref()),
                (NotificationOutcome::Queried, Some("unknown")),
                "{kept:?}"
            );
            let item = rig.items_of("hipopay").remove(0);
            assert_eq!(
                (text_of(&item, "state"), text_of(&item, "receipt")),
                ("pending", ""),
                "{item}"
            );
        }
        service.engine.ledger.clone().close().await;
    });
    // What HipoPay answers to us is what counts. The other payments are asked about after an hour.
    let (code, text) = rig.payrun(&["run", "--resume", "--json", "--wait", "3s"]);
    assert_eq!(code, Some(4), "{text}");
    let item = rig.items_of("hipopay").remove(0);
    assert_eq!(text_of(&item, "state"), "succeeded");
    let (_, story) = rig.payrun(&["show", &item["item"].to_string()]);
    assert!(!story.contains("alarm"), "{story}");
    // Once it is paid, the words of another payment change nothing, and nobody is told.
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        let (headers, body) = news(&rig, &of, Some(NotificationFlaw::OtherAmount)).await;
        assert_eq!(
            service
                .post("hipopay", media("hipopay"), headers, body)
                .await
                .0,
            200
        );
        service.hear().await;
        service.engine.ledger.clone().close().await;
    });
    assert_eq!(
        rig.items_of("hipopay").remove(0)["receipt"],
        item["receipt"]
    );
}

/// Other bodies with the same pairs, so with the same signature.
fn encodings(body: &str) -> Vec<String> {
    let pairs: Vec<&str> = body.split('&').collect();
    let escaped = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap();
        let value: String = value
            .chars()
            .map(|c| {
                if c == '+' {
                    "%20".into()
                } else {
                    format!("%{:02x}", c as u32)
                }
            })
            .collect();
        format!("{name}={value}")
    };
    let turned = (0..pairs.len()).map(|by| [&pairs[by..], &pairs[..by]].concat().join("&"));
    let escapes = (0..pairs.len()).map(|at| {
        let pair = |(n, pair): (usize, &&str)| {
            if n <= at {
                escaped(pair)
            } else {
                (*pair).to_owned()
            }
        };
        pairs
            .iter()
            .enumerate()
            .map(pair)
            .collect::<Vec<_>>()
            .join("&")
    });
    let padded = (0..20).map(|more| format!("{}{body}{}", "&".repeat(more), "&".repeat(more)));
    turned.chain(escapes).chain(padded).collect()
}

#[test]
fn a_form_that_is_encoded_otherwise_is_the_same_notification_and_one_that_can_be_read_in_two_ways_is_refused()
 {
    let rig = waiting(1);
    let of = payment(&rig, "hipopay");
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        rig.gateways.ended().await.unwrap();
        let (headers, body) = news(&rig, &of, None).await;
        let body = String::from_utf8(body.to_vec()).unwrap();
        let encodings = encodings(&body);
        for other in &encodings {
            let answered = service
                .post(
                    "hipopay",
                    media("hipopay"),
                    headers.clone(),
                    other.clone().into(),
                )
                .await;
            assert_eq!(answered.0, 200, "{other}");
        }
        let kept = service.kept().await;
        assert_eq!(
            (kept.len(), kept[0].repeats as usize),
            (1, encodings.len() - 1)
        );
        // `amount` and `currency` in one pair are signed as they are in two.
        let currency = body
            .split('&')
            .find(|pair| pair.starts_with("currency="))
            .unwrap();
        let folded = body.replace(&format!("&{currency}"), "").replace(
            "amount=10.50",
            &format!("amount=10.50%26{}", currency.replace('=', "%3D")),
        );
        assert_ne!(folded, body);
        assert_eq!(
            service
                .post("hipopay", media("hipopay"), headers, folded.into())
                .await
                .0,
            401
        );
        assert_eq!(service.kept().await.len(), 1);
        service.engine.ledger.clone().close().await;
    });
}

#[test]
fn a_payment_with_a_price_in_cny_is_asked_about_whichever_currency_its_notification_names() {
    let rig = waiting(1);
    let pay = pay("hipopay").replace(
        "currency: HKD",
        "currency: CNY\n      is_rmb: \"TRUE\"\n      settlement_currency: HKD",
    );
    rig.write(
        "cny.yaml",
        format!(
            "workflow: cny\njobs:\n{}",
            pay.replace("  hipopay:\n", "  priced:\n")
        ),
    );
    let rows: String = (0..8).map(|n| format!("c-{n},2{n}.50,x\n")).collect();
    rig.write("payments.csv", format!("id,amount,code\n{rows}"));
    let (code, text) = rig.payrun(&["run", "cny.yaml", "--json", "--wait", "0s"]);
    assert_eq!(code, Some(4), "{text}");
    let mut named = std::collections::BTreeSet::new();
    rig.wait_for(async {
        rig.gateways.ended().await.unwrap();
        let service = WebhookService::of(&rig, Clock::System).await;
        for item in rig.items_of("priced") {
            let of = FinishedOrder {
                gateway: "hipopay",
                kind: TransactionKind::Payment,
                number: text_of(&item, "order_no").to_owned(),
            };
            let (headers, body) = news(&rig, &of, None).await;
            named.insert(String::from_utf8_lossy(&body).contains("&currency=HKD"));
            assert_eq!(
                service
                    .post("hipopay", media("hipopay"), headers, body)
                    .await
                    .0,
                200
            );
        }
        service.hear().await;
        assert!(
            service
                .kept()
                .await
                .iter()
                .all(|row| row.outcome == NotificationOutcome::Queried)
        );
        service.engine.ledger.clone().close().await;
    });
    assert_eq!(named.len(), 2, "both currencies were named");
    let (code, text) = rig.payrun(&["run", "--resume", "--json", "--wait", "3s"]);
    assert_eq!(code, Some(4), "{text}");
    assert!(
        rig.items_of("priced")
            .iter()
            .all(|item| item["state"] == "succeeded")
    );
}
