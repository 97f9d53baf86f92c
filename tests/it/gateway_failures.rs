//! A gateway or a key that fails stops the batch, and somebody is told: by the command, against the
//! sandbox on loopback.

use expect_test::expect;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use payrun::domain::item::State;
use payrun::sandbox::faults::FaultPlan;
use serde_json::Value;

use crate::support::gateways::{ORDERS, Rig, text_of};
use crate::support::{App, PATIENCE, Running, Setup, WORKFLOW, until};

/// How many payments each gateway is asked for: far more than may be under way at once.
const PAYMENTS: usize = 120;

/// How many may be under way at once.
const CONCURRENCY: usize = 16;

/// What a gateway wants to know of a payment beside its amount.
fn particulars(gateway: &str) -> &'static str {
    match gateway {
        "wechat" => {
            "      auth_code: \"{{ item.code }}\"\n      merchant_category_code: \"4111\"\n"
        }
        "hipopay" => {
            "      openid: \"{{ item.openid }}\"\n      appid: wx1\n      client_ip: 203.0.113.9\n"
        }
        "egms" => "      platform: WEB\n",
        "cbtis" => "      success_url: https://example.com/paid\n",
        other => panic!("there is no gateway {other}"),
    }
}

/// A project whose workflow asks one gateway for payments.
fn project(gateway: &str) -> Rig {
    let rig = Rig::new(FaultPlan::NONE);
    // Codes that end with 0000 or 0001 mean payers who take a while, or cannot pay.
    let payer = if gateway == "hipopay" {
        "openid"
    } else {
        "payer"
    };
    let rows = (10..PAYMENTS + 10).map(|n| format!("p-{n},10.00,1346507208663{n:05},o-{n}\n"));
    rig.write(
        "payments.csv",
        format!("id,amount,code,{payer}\n{}", rows.collect::<String>()),
    );
    let yaml = format!(
        "workflow: pay\njobs:\n  pay:\n    uses: pay\n    gateway: {gateway}\n    items: {{ file: payments.csv }}\n    \
         key: \"{{{{ item.id }}}}\"\n    with:\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n      \
         description: Rent\n{}    retry: {{ attempts: 3, first: 50ms, max: 100ms }}\n    \
         query: {{ schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 1h }}\n",
        particulars(gateway)
    );
    rig.write("pay.yaml", yaml);
    // The usual limit, which the project of these tests has set high.
    edit(
        &rig,
        "payrun.yaml",
        "    stop_after: { unverified: 1000, refused: 1000 }\n",
        "",
    );
    rig
}

fn edit(rig: &Rig, name: &str, from: &str, to: &str) {
    let path = rig.folder.path().join(name);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from:?} in {name}: {text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

fn copy(rig: &Rig, from: &str, to: &str) {
    fs::copy(rig.folder.path().join(from), rig.folder.path().join(to)).unwrap();
}

fn run(rig: &Rig, args: &[&str]) -> Value {
    let (code, text) = rig.payrun(&[&["run"], args, &["--json", "--wait", "3s"]].concat());
    assert!(matches!(code, Some(0 | 3 | 4)), "{text}");
    let json = text.find("{\n").or_else(|| text.find('{')).unwrap();
    serde_json::Deserializer::from_str(&text[json..])
        .into_iter()
        .next()
        .unwrap()
        .unwrap()
}

fn in_state(items: &[Value], state: &str) -> usize {
    items.iter().filter(|item| item["state"] == state).count()
}

/// The account's row of `payrun lane list`.
fn lane(rig: &Rig, name: &str) -> Value {
    let (code, text) = rig.payrun(&["lane", "list", "--json"]);
    assert_eq!(code, Some(0), "{text}");
    let lanes: Vec<Value> = serde_json::from_str(&text).unwrap();
    lanes.into_iter().find(|lane| lane["lane"] == name).unwrap()
}

#[test]
fn refused_credentials_stop_the_lane_of_every_gateway_and_the_items_stay_planned() {
    type Spoil = fn(&Rig);
    let wrong: [(&str, &str, Spoil); 5] = [
        ("wechat", "merchant_key", |rig| {
            copy(
                rig,
                "keys/hipopay/merchant_key.pem",
                "keys/wechat/merchant_key.pem",
            )
        }),
        ("hipopay", "merchant_key", |rig| {
            copy(
                rig,
                "keys/wechat/merchant_key.pem",
                "keys/hipopay/merchant_key.pem",
            )
        }),
        ("egms", "sign_key", |rig| {
            rig.write("keys/egms/sign_key.txt", "another")
        }),
        ("cbtis", "token_request", |rig| {
            rig.write("keys/cbtis/token_request.json", "{}")
        }),
        ("cbtis", "access_token", |rig| {
            rig.write("keys/cbtis/access_token.txt", "another");
            let yaml = fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
            let line = yaml
                .lines()
                .find(|line| line.contains("token_request:"))
                .unwrap();
            edit(
                rig,
                "payrun.yaml",
                line,
                "    access_token: { file: keys/cbtis/access_token.txt }",
            );
        }),
    ];
    for (gateway, field, spoil) in wrong {
        let rig = project(gateway);
        spoil(&rig);
        assert_eq!(run(&rig, &["pay.yaml"])["ended"], "blocked", "{gateway}");
        let items = rig.items();
        // Where nothing that the gateway says can be verified, what was sent is not known.
        let (planned, unknown) = (in_state(&items, "planned"), in_state(&items, "unknown"));
        assert_eq!(planned + unknown, PAYMENTS, "{gateway}: {items:#?}");
        assert!(
            unknown <= if gateway == "egms" { CONCURRENCY } else { 0 },
            "{gateway}: {unknown} unknown"
        );
        let lane = lane(&rig, gateway);
        assert_eq!(lane["state"], "stopped", "{gateway}: {lane}");
        assert!(
            text_of(&lane["closed"][0], "reason").contains(field),
            "{gateway}: {lane}"
        );
    }
}

#[test]
fn an_account_in_public_key_mode_stops_the_lane_that_has_no_public_key_and_nothing_fails() {
    let rig = project("wechat");
    rig.write("keys/wechat/api_v3_key.txt", "0".repeat(32));
    assert_eq!(run(&rig, &["pay.yaml"])["ended"], "blocked");
    assert_eq!(in_state(&rig.items(), "planned"), PAYMENTS);
    let lane = lane(&rig, "wechat");
    assert!(
        text_of(&lane["closed"][0], "reason").contains("platform"),
        "{lane}"
    );
}

#[test]
fn replies_that_cannot_be_verified_stop_the_lane_and_what_was_sent_is_asked_about() {
    let rig = project("wechat");
    let right = fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    let wrong = "platform: { public_key: { file: keys/hipopay/merchant_public_key.pem }, id: PUB_KEY_ID_1 }";
    edit(&rig, "payrun.yaml", "platform: auto", wrong);
    assert_eq!(run(&rig, &["pay.yaml"])["ended"], "blocked");
    let items = rig.items();
    let (planned, unknown) = (in_state(&items, "planned"), in_state(&items, "unknown"));
    assert_eq!(planned + unknown, PAYMENTS, "{items:#?}");
    assert!((5..5 + CONCURRENCY).contains(&unknown), "{unknown} unknown");
    let stopped = lane(&rig, "wechat");
    assert_eq!(stopped["state"], "stopped", "{stopped}");
    assert!(
        text_of(&stopped["closed"][0], "reason").contains("5 replies in a row cannot be verified"),
        "{stopped}"
    );

    // Whoever works on it meanwhile sends nothing more, and asks once the key is right.
    rig.write("payrun.yaml", right);
    let working = Running::start(rig.command(&["work"]));
    until("what was sent is known", || {
        in_state(&rig.items(), "succeeded") == unknown
    });
    assert_eq!(in_state(&rig.items(), "planned"), PAYMENTS - unknown);
    working.interrupt();
    working.wait(PATIENCE).exits(4);
    // Whoever only starts it again has mended nothing.
    for _ in 0..2 {
        let (code, text) = rig.payrun(&["run", "--resume", "--wait", "1s"]);
        assert!(
            code == Some(4) && text.contains("payrun lane release wechat --reason WHY"),
            "{text}"
        );
        assert_eq!(in_state(&rig.items(), "planned"), PAYMENTS - unknown);
    }
    rig.release_lanes();
    assert_eq!(rig.payrun(&["run", "--resume", "--wait", "20s"]).0, Some(0));
    assert_eq!(in_state(&rig.items(), "succeeded"), PAYMENTS);
    let paid = rig
        .totals("wechat")
        .paid
        .get("HKD")
        .copied()
        .unwrap_or_default();
    assert_eq!(
        paid.0,
        (PAYMENTS) as u64,
        "{ORDERS} of the project are deductions"
    );
}

#[test]
fn a_run_that_meets_a_stopped_lane_asks_on_and_names_the_lane_in_the_end() {
    let rig = project("wechat");
    let right = fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    let wrong = "platform: { public_key: { file: keys/hipopay/merchant_public_key.pem }, id: PUB_KEY_ID_1 }";
    edit(&rig, "payrun.yaml", "platform: auto", wrong);
    run(&rig, &["pay.yaml"]);
    let unknown = in_state(&rig.items(), "unknown");
    assert!(unknown >= 5, "{unknown}");
    // The key is right again, and the job alone is stopped: what was sent is asked about by the
    // same command.
    rig.write("payrun.yaml", right);
    let job = "wechat/pay/1";
    let stop =
        "insert into lanes (name, state, reason) values ('wechat/pay/1', 'stopped', 'a test')";
    rig.wait_for(async {
        use sqlx::Connection as _;
        let url = format!("sqlite://{}", rig.folder.path().join("payrun.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(stop).execute(&mut connection).await.unwrap();
    });
    let (code, text) = rig.payrun(&["run", "--resume", "--wait", "20s"]);
    assert_eq!(code, Some(4), "{text}");
    let items = rig.items();
    assert_eq!(in_state(&items, "succeeded"), unknown, "{text}");
    assert_eq!(in_state(&items, "planned"), PAYMENTS - unknown);
    assert!(
        text.contains(&format!(
            "lane {job} is stopped: a test; `payrun lane release {job} --reason WHY`"
        )),
        "{text}"
    );
    rig.release_lanes();
    assert_eq!(rig.payrun(&["run", "--resume", "--wait", "20s"]).0, Some(0));
}

/// A file of contracts of which the gateway takes those of the first list and refuses the others
/// for a parameter.
fn contracts(good: usize, invalid: usize) -> String {
    let ids = (0..good)
        .map(|n| format!("A-{n:03}"))
        .chain((0..invalid).map(|n| format!("B-{n:03}-invalid")));
    let rows = ids.map(|id| format!("{id},basic,38.00,HKD,yes\n"));
    std::iter::once("contract_id,plan,amount,currency,active\n".to_owned())
        .chain(rows)
        .collect()
}

#[test]
fn the_same_fault_of_the_request_on_the_first_items_stops_the_job_and_the_reason_has_the_gateways_words()
 {
    for server in [false, true] {
        let app = App::of(Setup {
            contracts: contracts(0, 60),
            concurrency: 2,
            server,
            ..Setup::default()
        });
        app.run().exits(4).says(expect![
            "lane hk/deduct/1 is stopped: run 1, job deduct: its first "
        ]);
        let states = app.by_state();
        let failed = states["failed"].as_u64().unwrap();
        // Beside those five: what was under way when the fifth was answered.
        assert!((5..=20).contains(&failed), "{states}");
        assert_eq!(states["planned"], 60 - failed, "{states}");
        let items = app.json_lines(&["items", "--state", "failed", "--json"]);
        let words = "declined: PARAM_ERROR (contract_id: not valid: the contract_id is not valid)";
        assert!(
            items.iter().all(|item| item["reason"] == words),
            "{items:#?}"
        );
        app.payrun(&["items", "--state", "failed", "--format", "csv"])
            .exits(0)
            .prints(words);

        // A person lets it go on: whoever works on it stops again, for the same reason.
        app.payrun(&["lane", "release", "hk/deduct/1", "--reason", "looked at it"])
            .exits(0);
        app.payrun(&["run", "--resume"])
            .exits(4)
            .says(expect!["lane hk/deduct/1 is stopped"]);
        assert!(app.by_state()["failed"].as_u64().unwrap() >= failed + 5);
    }
}

#[test]
fn a_job_of_which_something_went_well_goes_on() {
    let app = App::of(Setup {
        contracts: contracts(1, 20),
        concurrency: 1,
        ..Setup::default()
    });
    app.run().exits(3);
    assert_eq!(app.by_state()["failed"], 20);
}

#[test]
fn what_was_clearly_declined_is_retried_without_a_grace_period_and_is_never_unknown() {
    let app = App::of(Setup {
        contracts: contracts(0, 4),
        ..Setup::default()
    });
    app.edit(WORKFLOW, "grace: 1200ms", "grace: 1h");
    app.run().exits(3);
    assert_eq!(app.by_state()["failed"], 4);
    for n in 0..4 {
        let item = format!("B-{n:03}-invalid/2026-03");
        app.payrun(&["retry", &item, "--reason", "mended"]).exits(0);
    }
    let states = app.by_state();
    assert_eq!(states["pending"], 4, "{states}");
    let waiting = app.json_lines(&["items", "--state", "pending", "--json"]);
    assert!(
        waiting
            .iter()
            .all(|item| text_of(item, "reason").contains("mended; verifying: it was declined")),
        "{waiting:#?}"
    );
    // The gateway's own words stay until it says something new.
    let words =
        "; before: declined: PARAM_ERROR (contract_id: not valid: the contract_id is not valid)";
    assert!(
        waiting
            .iter()
            .all(|item| text_of(item, "reason").ends_with(words)),
        "{waiting:#?}"
    );
    app.payrun(&["run", "--resume"]).exits(3);
    for (item, events) in app.histories() {
        let sent = events.iter().filter(|event| event.to == "sending").count();
        assert_eq!((sent, item.state), (2, State::Failed), "{events:#?}");
        assert!(
            events.iter().all(|event| event.to != "unknown"),
            "{events:#?}"
        );
    }
}

/// Where nobody listens. A port that was free a moment ago may be the sandbox of another test,
/// which would be paid.
const CLOSED: &str = "http://127.0.0.1:1";

#[test]
fn a_gateway_that_takes_no_connection_is_noted_until_it_is_reached() {
    let rig = project("hipopay");
    let right = fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    rig.write(
        "payments.csv",
        "id,amount,code,openid\np-1,10.00,13465072086630010,o-1\n",
    );
    rig.write("payrun.yaml", right.replace(&rig.base_url(), CLOSED));
    assert_eq!(run(&rig, &["pay.yaml"])["ended"], "at_rest");
    let items = rig.items();
    assert_eq!(
        items[0]["reason"], "cannot reach the gateway: connection refused, in 3 attempts",
        "{items:#?}"
    );
    assert_eq!(
        lane(&rig, "hipopay")["unreachable"]["how"],
        "connection refused"
    );
    let (_, text) = rig.payrun(&["lane", "list"]);
    assert!(
        text.contains("hipopay: unreachable since") && text.contains("HKT, connection refused"),
        "{text}"
    );

    rig.write("payrun.yaml", right);
    assert_eq!(
        rig.payrun(&["retry", "p-1", "--reason", "it is back"]).0,
        Some(0)
    );
    assert_eq!(rig.payrun(&["run", "--resume", "--wait", "20s"]).0, Some(0));
    assert_eq!(lane(&rig, "hipopay")["unreachable"], Value::Null);
}

/// A listener that takes connections and never answers; how many it took.
fn silent() -> (String, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            count.fetch_add(1, Ordering::Relaxed);
            held.push(stream);
        }
    });
    (url, taken)
}

#[test]
fn the_wait_ends_where_a_gateway_takes_connections_and_never_answers() {
    for (gateway, what) in [
        ("wechat", "the platform certificates"),
        ("cbtis", "the access token"),
    ] {
        let rig = project(gateway);
        let (url, taken) = silent();
        edit(&rig, "payrun.yaml", &rig.base_url(), &url);
        edit(
            &rig,
            "payrun.yaml",
            "    timeout: 600ms\n",
            "    timeout: 3s\n",
        );
        let began = std::time::Instant::now();
        let seen = run(&rig, &["pay.yaml"]);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(12), "{gateway}: {took:?}");
        assert_eq!(seen["ended"], "waiting", "{gateway}");
        let items = rig.items();
        let tried = items
            .iter()
            .filter(|item| !item["reason"].is_null())
            .collect::<Vec<_>>();
        assert!(
            !tried.is_empty() && tried.len() <= 3 * CONCURRENCY,
            "{gateway}: {}",
            tried.len()
        );
        for item in tried {
            assert_eq!(
                item["reason"],
                format!("nothing was sent: {what} cannot be had: timed out"),
                "{item:#}"
            );
        }
        // One for all: not one for each item.
        assert!(
            taken.load(Ordering::Relaxed) <= 4,
            "{gateway}: {taken:?} connections"
        );
    }
}

#[test]
fn the_wait_ends_where_a_gateway_answers_no_order_and_each_is_unknown() {
    for gateway in ["hipopay", "egms"] {
        let rig = project(gateway);
        let (url, _) = silent();
        edit(&rig, "payrun.yaml", &rig.base_url(), &url);
        edit(
            &rig,
            "payrun.yaml",
            "    timeout: 600ms\n",
            "    timeout: 2s\n",
        );
        let began = std::time::Instant::now();
        let seen = run(&rig, &["pay.yaml"]);
        let took = began.elapsed();
        assert_eq!(seen["ended"], "waiting", "{gateway}: {seen}");
        let items = rig.items();
        let (planned, unknown) = (in_state(&items, "planned"), in_state(&items, "unknown"));
        assert!(
            unknown >= 5 && planned > 0 && planned + unknown == PAYMENTS,
            "{gateway}: {unknown} unknown in {took:?}"
        );
        assert_eq!(
            lane(&rig, gateway)["unreachable"]["how"],
            "it takes connections and does not answer",
            "{gateway}"
        );
    }
}

#[test]
fn what_every_call_needs_beforehand_and_cannot_be_had_uses_up_no_attempt() {
    for gateway in ["wechat", "cbtis"] {
        let rig = project(gateway);
        edit(
            &rig,
            "pay.yaml",
            "attempts: 3, first: 50ms, max: 100ms",
            "attempts: 1, first: 50ms, max: 100ms",
        );
        let right = fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
        let ((silent, _), base) = (silent(), rig.base_url());
        for (url, file) in [(silent, "pay.yaml"), (CLOSED.to_owned(), "--resume")] {
            rig.write("payrun.yaml", right.replace(&base, &url));
            run(&rig, &[file]);
            let items = rig.items();
            assert_eq!(
                in_state(&items, "planned"),
                items.len(),
                "{gateway}: {items:#?}"
            );
            assert!(
                items.iter().any(|item| !item["reason"].is_null()),
                "{gateway}: it was tried"
            );
        }
        rig.write("payrun.yaml", right);
        assert_eq!(
            rig.payrun(&["run", "--resume", "--wait", "20s"]).0,
            Some(0),
            "{gateway}: {:#?}",
            rig.items()
        );
        let items = rig.items();
        assert_eq!(
            in_state(&items, "succeeded"),
            items.len(),
            "{gateway}: {items:#?}"
        );
    }
}

#[test]
fn the_wait_ends_where_a_gateway_refuses_connections() {
    for gateway in ["wechat", "hipopay", "egms", "cbtis"] {
        let rig = project(gateway);
        edit(
            &rig,
            "pay.yaml",
            "attempts: 3, first: 50ms, max: 100ms",
            "attempts: 1000, first: 300ms, max: 300ms",
        );
        edit(&rig, "payrun.yaml", &rig.base_url(), CLOSED);
        let began = std::time::Instant::now();
        let seen = run(&rig, &["pay.yaml"]);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(8), "{gateway}: {took:?}");
        assert_eq!(seen["ended"], "waiting", "{gateway}");
        let items = rig.items();
        let told = |item: &&Value| item["reason"] == "cannot reach the gateway: connection refused";
        assert!(
            items.iter().any(|item| told(&item)),
            "{gateway}: {items:#?}"
        );
        assert_eq!(
            lane(&rig, gateway)["unreachable"]["how"],
            "connection refused"
        );
        // What is open is due again by then.
        std::thread::sleep(Duration::from_millis(400));
        let (_, told) = rig.payrun(&["run", "--resume", "--wait", "0s"]);
        assert!(
            told.contains(&format!("{gateway}: unreachable since")),
            "{told}"
        );
    }
}
