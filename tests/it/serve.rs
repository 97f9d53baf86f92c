//! `payrun serve`: who may speak to it, what it answers, what it takes up, and how it ends.

use expect_test::expect;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::said::assert_said;
use crate::support::service::{Reply, Service, days_ago};
use crate::support::{App, DATE, PATIENCE, Running, Setup, WORKFLOW, contracts, until};

fn begin(service: &Service<'_>, token: &str, key: &str, body: &Value) -> Reply {
    let request = service
        .request(Method::POST, "/api/v1/runs")
        .bearer_auth(token)
        .header("Idempotency-Key", key);
    service.send(
        request
            .header("content-type", "application/json")
            .body(body.to_string()),
    )
}

fn lately() -> Value {
    json!({ "workflow": "deductions", "date": days_ago(30) })
}

#[test]
fn a_run_that_is_begun_by_the_api_is_carried_out_and_followed() {
    let app = App::with_contracts(&contracts("C", 30));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let begun = begin(&service, &token, "k-1", &lately());
    assert_eq!(
        (begun.status, &begun.body["run"]["items"]),
        (201, &json!(30)),
        "{begun:?}"
    );
    let events = service.get(&token, "/api/v1/runs/1/events");
    let text = events.body.as_str().unwrap();
    let last = text
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    let last: Value = serde_json::from_str(last).unwrap();
    assert_eq!(
        (&last["state"], &last["by_state"]),
        (&json!("finished"), &json!({ "succeeded": 30 }))
    );
    let page = service.get(&token, "/api/v1/items?run=1&limit=20").body;
    assert_eq!(
        (page["items"].as_array().unwrap().len(), &page["next_after"]),
        (20, &json!(20))
    );
    let item = service.get(&token, "/api/v1/items/1").body;
    assert_eq!(
        (&item["state"], item["attempts"].as_array().unwrap().len()),
        (&json!("succeeded"), 1)
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn the_same_request_sent_again_is_the_same_run() {
    let app = App::with_contracts(&contracts("C", 5));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let first = begin(&service, &token, "k-1", &lately());
    let again = begin(&service, &token, "k-1", &lately());
    assert_eq!(
        (first.status, again.status, &again.body["repeated"]),
        (201, 200, &json!(true))
    );
    assert_eq!(first.body["run"]["run"], again.body["run"]["run"]);
    let other = begin(
        &service,
        &token,
        "k-1",
        &json!({ "workflow": "deductions", "date": days_ago(20) }),
    );
    assert_eq!(
        (other.status, &other.body["error"]["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    // Another caller's key of the same name is another key; the rows are the same, so nobody is
    // charged again.
    let bob = service.token("bob", "operator");
    let his = begin(&service, &bob, "k-1", &lately());
    assert_eq!(
        (his.status, &his.body["run"]["by_state"]),
        (201, &json!({ "skipped": 5 }))
    );
    until("all are charged", || app.charges() == 5);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_run_over_the_api_is_for_a_day_near_today() {
    let app = App::with_contracts(&contracts("C", 2));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let far = [
        "2199-12-31",
        "9999-12-31",
        "+262142-12-31",
        "0001-01-01",
        "1970-01-31",
        &days_ago(-9),
        &days_ago(64),
    ];
    for (n, date) in far.into_iter().enumerate() {
        let wanted = json!({ "workflow": "deductions", "date": date, "allow_future": true });
        let refused = begin(&service, &token, &format!("far-{n}"), &wanted);
        assert_eq!(
            (refused.status, &refused.body["error"]["code"]),
            (422, &json!("far_date")),
            "{date}: {refused:?}"
        );
    }
    let ahead = |allowed: bool| json!({ "workflow": "deductions", "date": days_ago(-3), "allow_future": allowed });
    let refused = begin(&service, &token, "near", &ahead(false));
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (422, &json!("future_date")),
        "{refused:?}"
    );
    assert_eq!(app.charges(), 0);
    // What was refused has not used up the key.
    assert_eq!(begin(&service, &token, "near", &ahead(true)).status, 201);
    until("all are charged", || app.charges() == 2);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_key_is_used_up_by_what_was_begun_and_not_by_what_was_refused() {
    key_of_what_was_refused(Setup::default());
    key_of_what_was_refused(Setup {
        server: true,
        ..Setup::default()
    });
}

fn key_of_what_was_refused(setup: Setup) {
    let app = App::of(Setup {
        contracts: contracts("C", 3),
        ..setup
    });
    let good = std::fs::read_to_string(app.path("data/contracts.csv")).unwrap();
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let refused = [
        (404, json!({ "workflow": "none" })),
        (
            422,
            json!({ "workflow": "deductions", "params": { "no": "such" } }),
        ),
        (
            422,
            json!({ "workflow": "deductions", "inputs": { "deduct": "x.csv" } }),
        ),
    ];
    for (status, wanted) in refused {
        assert_eq!(
            begin(&service, &token, "k", &wanted).status,
            status,
            "{wanted}"
        );
    }
    app.write("data/contracts.csv", "no,such,columns\n1,2,3\n");
    assert_eq!(
        begin(&service, &token, "k", &json!({ "workflow": "deductions" })).status,
        422
    );
    app.write("data/contracts.csv", good);
    let begun = begin(&service, &token, "k", &lately());
    assert_eq!(
        (begun.status, &begun.body["repeated"]),
        (201, &json!(false)),
        "{begun:?}"
    );
    let other = begin(&service, &token, "k", &json!({ "workflow": "deductions" }));
    assert_eq!(
        (other.status, &other.body["error"]["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    assert_eq!(begin(&service, &token, "k", &lately()).status, 200);
    until("all are charged", || app.charges() == 3);
    let run = format!("/api/v1/runs/{}", begun.body["run"]["run"]);
    until("the run has ended", || {
        service.get(&token, &run).body["state"] == "finished"
    });
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn what_the_address_or_the_body_cannot_have_is_told_on_both_engines() {
    addresses(Setup {
        server: false,
        ..Setup::default()
    });
    addresses(Setup {
        server: true,
        ..Setup::default()
    });
}

fn addresses(setup: Setup) {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        ..setup
    });
    let service = Service::of(&app);
    let token = service.token("ann", "admin");
    for (path, help) in [
        ("/api/v1/items?stat=failed", "did you mean \"state\"?"),
        (
            "/api/v1/items?run=1&limit=2&xyzzy=1",
            "valid here: run, workflow, job, gateway, state, reason_has, code, currency, bulk_action, untouched, key, after, limit",
        ),
        ("/api/v1/runs/1?limit=2", "this path takes none"),
        ("/api/v1/pauses?limit=2", "this path takes none"),
    ] {
        let refused = service.get(&token, path);
        assert_eq!(
            (refused.status, &refused.body["error"]["help"]),
            (400, &json!(help)),
            "{path}: {refused:?}"
        );
    }
    for path in [
        "/api/v1/items?key=%00",
        "/api/v1/items?job=a%00b",
        "/api/v1/runs/%00",
        "/api/v1/runs/1/approvals/a%00",
    ] {
        let refused = service.get(&token, path);
        assert_eq!(
            (refused.status, &refused.body["error"]["code"]),
            (400, &json!("invalid_request")),
            "{path}"
        );
    }
    for (path, body) in [
        (
            "/api/v1/pauses",
            json!({ "scope": "contract", "name": "C\u{0}", "reason": "r" }),
        ),
        (
            "/api/v1/pauses",
            json!({ "scope": "gateway", "name": "hk", "reason": "r\u{0}" }),
        ),
        (
            "/api/v1/lanes/suspend",
            json!({ "lane": "h\u{0}k", "reason": "r" }),
        ),
        (
            "/api/v1/items/bulk",
            json!({ "action": "retry", "states": ["failed"], "job": "\u{0}", "reason": "r" }),
        ),
        (
            "/api/v1/items/1/resolve",
            json!({ "receipt": "\u{0}", "reason": "r" }),
        ),
    ] {
        let request = service
            .request(Method::POST, path)
            .bearer_auth(&token)
            .header("content-type", "application/json");
        let refused = service.send(request.body(body.to_string()));
        assert_eq!(
            (refused.status, &refused.body["error"]["code"]),
            (400, &json!("invalid_request")),
            "{path}: {refused:?}"
        );
    }
    assert!(!service.told().contains("ERROR"), "{}", service.told());
    assert_eq!(
        service
            .get(&token, "/api/v1/items?state=failed&limit=3")
            .status,
        200
    );
    assert_eq!(service.stop().code(), Some(0));
    app.payrun(&["items"]);
}

#[test]
fn what_is_for_another_host_is_refused_and_notifications_come_by_the_public_name() {
    let app = App::with_contracts(&contracts("C", 1));
    app.edit(
        "payrun.yaml",
        "gateways:",
        "server: { hosts: [payrun.internal] }\ngateways:",
    );
    let service = Service::of(&app);
    let token = service.token("ann", "viewer");
    let of = |method: Method, path: &str, host: &str| {
        let request = service
            .request(method, path)
            .bearer_auth(&token)
            .header("host", host);
        service
            .send(
                request
                    .header("content-type", "application/json")
                    .body("{}"),
            )
            .status
    };
    for host in [
        "127.0.0.1",
        "localhost:1",
        "LOCALHOST",
        "[::1]:8420",
        "payrun.internal",
        "Payrun.Internal:443",
    ] {
        assert_eq!(of(Method::GET, "/api/v1/runs", host), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "10.1.2.3", "x"] {
        for path in [
            "/api/v1/runs",
            "/readyz",
            "/metrics",
            "/api/openapi.json",
            "/nothing",
        ] {
            assert_eq!(of(Method::GET, path, host), 421, "{host}{path}");
        }
        assert_eq!(of(Method::POST, "/notify/hk", host), 421);
        assert_eq!(
            of(Method::GET, "/healthz", host),
            200,
            "it says nothing of anybody"
        );
    }
    assert_eq!(
        of(Method::POST, "/notify/hk", "example.com"),
        401,
        "the host of notify_url"
    );
    assert_eq!(
        of(Method::GET, "/api/v1/runs", "example.com"),
        421,
        "for notifications alone"
    );
    let two = service
        .request(Method::GET, "/api/v1/runs")
        .bearer_auth(&token)
        .header("host", "localhost");
    assert_eq!(service.send(two.header("host", "evil.example")).status, 400);
    assert_eq!(service.stop().code(), Some(0));
    app.edit(
        "payrun.yaml",
        "[payrun.internal]",
        "[\"https://payrun.internal\"]",
    );
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["this is no name of a host"]);
}

#[test]
fn event_streams_end_with_their_token_and_one_token_has_ten() {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        ..Setup::default()
    });
    app.edit(
        WORKFLOW,
        "    retry:",
        "    approval: { by: 1 }\n    retry:",
    );
    app.payrun(&["run", WORKFLOW, "--date", DATE, "--wait", "0s"]);
    let service = Service::of(&app);
    let (vic, bob) = (
        service.token("vic", "viewer"),
        service.token("bob", "viewer"),
    );
    let follow = |token: &str| {
        service
            .request(Method::GET, "/api/v1/runs/1/events")
            .bearer_auth(token)
    };
    app.wait_for(async {
        let mut streams = Vec::new();
        for _ in 0..10 {
            let stream = follow(&vic).send().await.unwrap();
            assert_eq!(stream.status().as_u16(), 200);
            streams.push(stream);
        }
        assert_eq!(
            follow(&vic).send().await.unwrap().status().as_u16(),
            503,
            "of one token"
        );
        let other = follow(&bob).send().await.unwrap();
        assert_eq!(other.status().as_u16(), 200);
        let revoke = app.command(&["tokens", "revoke", "vic"]).output().unwrap();
        assert!(revoke.status.success());
        for stream in streams {
            let text = tokio::time::timeout(Duration::from_secs(10), stream.text()).await;
            assert!(
                text.expect("it ends with its token")
                    .unwrap()
                    .contains("event: run")
            );
        }
        let mut other = other;
        other.chunk().await.unwrap();
        let goes_on = tokio::time::timeout(Duration::from_secs(2), other.chunk()).await;
        assert!(goes_on.is_err(), "bob's is good: {goes_on:?}");
    });
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_request_whose_service_died_is_answered_by_the_next_one() {
    let app = App::of(Setup {
        contracts: contracts("C", 40),
        latency: Duration::from_millis(20),
        ..Setup::default()
    });
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    begin(&service, &token, "k-1", &lately());
    until("something was charged", || app.charges() > 2);
    assert!(service.kill().was_killed());
    let service = Service::of(&app);
    let again = begin(&service, &token, "k-1", &lately());
    assert_eq!((again.status, &again.body["run"]["run"]), (200, &json!(1)));
    until("all are charged", || app.charges() == 40);
    until("the run has ended", || {
        service.get(&token, "/api/v1/runs/1").body["state"] == "finished"
    });
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn nobody_does_what_the_role_does_not_allow() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let viewer = service.token("vic", "viewer");
    assert_eq!(service.get("payrun_x", "/api/v1/runs").status, 401);
    assert_eq!(
        service
            .send(service.request(Method::GET, "/api/v1/runs"))
            .status,
        401
    );
    assert_eq!(service.get(&viewer, "/api/v1/runs").status, 200);
    let refused = begin(&service, &viewer, "k-1", &lately());
    assert_eq!(
        (refused.status, &refused.body["error"]["code"]),
        (403, &json!("forbidden"))
    );
    app.payrun(&["tokens", "revoke", "vic"]).exits(0);
    assert_eq!(service.get(&viewer, "/api/v1/runs").status, 401, "at once");
    let short = app
        .payrun(&["tokens", "create", "sam", "--expires", "1ms"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    assert_eq!(
        service.get(&short, "/api/v1/runs").status,
        401,
        "it has expired"
    );
    assert_eq!(app.charges(), 0);
    let told = service.told();
    assert!(
        !told.contains(&viewer) && told.contains("a token that is not good was given"),
        "{told}"
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_token_expires_after_ninety_days_unless_said_is_warned_of_before_and_is_renewed_under_its_name()
{
    let app = App::with_contracts(&contracts("C", 1));
    let server = crate::support::smtp::MailServer::plain(json!({}));
    let rules = "alerts: [{ on: certificate, to: [ops@example.com] }]\n";
    app.edit(
        "payrun.yaml",
        "gateways:",
        &format!("{}{rules}gateways:", server.yaml()),
    );
    let ann = app.token("ann", "operator");
    app.payrun(&["tokens", "create", "robot", "--expires", "never"])
        .exits(0);
    app.payrun(&["tokens", "create", "sam", "--expires", "soon"])
        .exits(2)
        .says(expect!["a time like 12h or 90d, or never"]);
    app.write("clock", "0");
    let days_on = |days: i64| app.write("clock", (days * 86_400_000).to_string());
    let later = |args: &[&str]| {
        let mut command = app.command(args);
        command.env("PAYRUN_CLOCK", app.path("clock"));
        Running::start(command).wait(PATIENCE)
    };
    let listed = || later(&["tokens", "list"]).exits(0).stdout;
    let (sound, told) = (["doctor", "--offline"], ["alerts", "run"]);
    days_on(75);
    assert!(!listed().contains("soon"), "{}", listed());
    later(&sound).exits(0);
    later(&told).exits(0).says(expect!["0 sent"]);
    days_on(77);
    assert_said(listed(), expect!["`payrun tokens renew ann`"]);
    later(&sound)
        .exits(3)
        .says(expect!["token: that of ann expires at"]);
    later(&told).exits(0).says(expect!["1 sent"]);
    later(&told).exits(0).says(expect!["0 sent"]);
    assert_said(
        &server.subjects()[0].1,
        expect!["the token of ann expires at"],
    );
    let renewed = later(&["tokens", "renew", "ann"])
        .exits(0)
        .stdout
        .trim()
        .to_owned();
    later(&sound).exits(0);
    days_on(91);
    let list: Value =
        serde_json::from_str(&later(&["tokens", "list", "--json"]).exits(0).stdout).unwrap();
    assert_eq!(
        (&list[0]["name"], &list[0]["role"], &list[0]["good"]),
        (&json!("ann"), &json!("operator"), &json!(true))
    );
    assert_eq!(
        (&list[1]["name"], &list[1]["good"]),
        (&json!("robot"), &json!(true))
    );
    days_on(0);
    let service = Service::of(&app);
    assert_eq!(
        service.get(&ann, "/api/v1/runs").status,
        401,
        "another one has its place"
    );
    assert_eq!(service.get(&renewed, "/api/v1/runs").status, 200);
    app.payrun(&["tokens", "revoke", "ann"]).exits(0);
    app.payrun(&["tokens", "renew", "ann"])
        .exits(2)
        .says(expect!["no token of ann to renew"]);
    assert_eq!(service.stop().code(), Some(0));
    app.payrun(&["audit", "list"])
        .exits(0)
        .says(expect!["token.renew"]);
}

#[test]
fn a_duty_that_fails_makes_the_process_unready_until_it_is_done() {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        server: false,
        ..Setup::default()
    });
    let service = Service::of(&app);
    let ready = || service.send(service.request(Method::GET, "/readyz"));
    assert_eq!(ready().status, 200);
    let behind = |statement: &'static str| {
        app.wait_for(async {
            use sqlx::Connection as _;
            let url = format!("sqlite://{}", app.database().display());
            let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
            sqlx::raw_sql(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        });
    };
    behind("alter table schedules rename to away");
    until("it is unready", || ready().status == 503);
    assert_said(
        ready().body["wrong"].to_string(),
        expect!["schedules not done"],
    );
    assert_eq!(
        service
            .send(service.request(Method::GET, "/healthz"))
            .status,
        200,
        "it is up all the same"
    );
    behind("alter table away rename to schedules");
    until("it is ready again", || ready().status == 200);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn behind_a_proxy_the_address_that_it_names_is_the_one_that_has_to_wait() {
    let app = App::with_contracts(&contracts("C", 1));
    app.edit(
        "payrun.yaml",
        "gateways:",
        "server: { behind_proxy: true }\ngateways:",
    );
    let service = Service::of(&app);
    let good = service.token("ann", "viewer");
    let from = |token: &str, address: &str| {
        let request = service
            .request(Method::GET, "/api/v1/runs")
            .bearer_auth(token);
        service
            .send(request.header("x-forwarded-for", address))
            .status
    };
    for _ in 0..10 {
        assert_eq!(from("payrun_guess", "10.0.0.9, 203.0.113.7"), 401);
    }
    assert_eq!(
        from("payrun_guess", "198.51.100.1, 203.0.113.7"),
        429,
        "the last is whom the proxy saw"
    );
    assert_eq!(from("payrun_guess", "203.0.113.7, 203.0.113.8"), 401);
    assert_eq!(
        from(&good, "198.51.100.1, 203.0.113.7"),
        200,
        "a good one is good from anywhere"
    );
    for _ in 0..10 {
        assert_eq!(service.get("payrun_guess", "/api/v1/runs").status, 401);
    }
    assert_eq!(
        service.get("payrun_guess", "/api/v1/runs").status,
        429,
        "who comes without the proxy is counted too"
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn an_address_that_guesses_tokens_has_to_wait_and_shuts_nobody_out() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::without_pool(&app, None);
    let good = service.token("ann", "viewer");
    let (guess, shaped) = (
        "payrun_guess".to_owned(),
        format!("payrun_{}", "A".repeat(43)),
    );
    for guess in [&guess, &shaped].into_iter().cycle().take(10) {
        assert_eq!(service.get(guess, "/api/v1/runs").status, 401);
    }
    for guess in [&guess, &shaped].into_iter().cycle().take(50) {
        let refused = service.get(guess, "/api/v1/runs");
        assert_eq!(refused.status, 429);
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert_eq!(service.get(&good, "/api/v1/runs").status, 200);
    assert_eq!(service.get(&good, "/metrics").status, 200);
    assert_eq!(
        service
            .told()
            .matches("a token that is not good was given")
            .count(),
        10
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn an_uploaded_file_is_what_a_run_is_of() {
    upload_and_run(&App::with_contracts(&contracts("C", 1)), false);
    let app = App::with_contracts(&contracts("C", 1));
    app.write(
        "keys/personal.key",
        STANDARD.encode(rand::random::<[u8; 32]>()),
    );
    app.edit(
        "payrun.yaml",
        "gateways:",
        "encryption_key: { file: keys/personal.key }\ngateways:",
    );
    upload_and_run(&app, true);
}

fn upload_and_run(app: &App, sealed: bool) {
    let service = Service::of(app);
    let token = service.token("ann", "operator");
    let upload = |format: &str, body: String| {
        let request = service
            .request(Method::POST, &format!("/api/v1/files?format={format}"))
            .bearer_auth(&token);
        service.send(request.body(body))
    };
    let kept = upload("csv", contracts("U", 7));
    assert_eq!(kept.status, 200, "{kept:?}");
    assert_eq!(
        upload("csv", contracts("U", 7)).body["file"],
        kept.body["file"],
        "kept by its content"
    );
    let files: Vec<Vec<u8>> = std::fs::read_dir(app.path("files/uploads"))
        .unwrap()
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let readable = files
        .iter()
        .any(|file| file.windows(6).any(|bytes| bytes == b"U-0001"));
    assert_eq!((files.len(), readable), (1, !sealed));
    assert_eq!(upload("exe", "x".to_owned()).status, 400);
    let mut wanted = lately();
    wanted["inputs"] = json!({ "deduct": kept.body["file"] });
    let begun = begin(&service, &token, "k-1", &wanted);
    assert_eq!(
        (begun.status, &begun.body["run"]["items"]),
        (201, &json!(7)),
        "{begun:?}"
    );
    for name in ["../keys/merchant_key.pem", "x.csv", ""] {
        wanted["inputs"] = json!({ "deduct": name });
        let refused = begin(&service, &token, "k-2", &wanted);
        assert_eq!(refused.status, 422, "{name}: {refused:?}");
    }
    until("all are charged", || app.charges() == 7);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_workflow_is_taken_up_when_it_changes_and_only_if_it_is_valid() {
    let app = App::with_contracts(&contracts("C", 3));
    let service = Service::of(&app);
    let token = service.token("ann", "viewer");
    let known = || service.get(&token, "/api/v1/workflows").body;
    let good = std::fs::read_to_string(app.path("workflows/deductions.yaml")).unwrap();
    app.write(
        "workflows/deductions.yaml",
        good.replace(
            "workflow: deductions",
            "workflow: deductions\ndescription: changed",
        ),
    );
    until("the change is taken up", || {
        known()["workflows"][0]["description"] == "changed"
    });
    app.write(
        "workflows/deductions.yaml",
        good.replace("uses: deduct", "uses: deduce"),
    );
    until("the mistake is told", || {
        known()["refused"]
            .as_array()
            .is_some_and(|refused| refused.len() == 1)
    });
    let now = known();
    assert_eq!(
        now["workflows"][0]["description"], "changed",
        "the last valid version stays in force"
    );
    assert!(
        now["refused"][0]["mistakes"]
            .as_str()
            .unwrap()
            .contains("deduce"),
        "{now}"
    );
    app.write("workflows/second.yaml", &good);
    app.write("workflows/deductions.yaml", &good);
    until("two files claim one name", || {
        known()["refused"]
            .to_string()
            .contains("another file has the workflow")
    });
    std::fs::rename(app.path("workflows"), app.path("away")).unwrap();
    until("the folder is missed", || {
        known()["refused"].to_string().contains("cannot be read")
    });
    assert_eq!(
        known()["workflows"][0]["name"],
        "deductions",
        "what was in force stays in force"
    );
    std::fs::rename(app.path("away"), app.path("workflows")).unwrap();
    until("the folder is back", || {
        !known()["refused"].to_string().contains("cannot be read")
    });
    std::fs::remove_file(app.path("workflows/deductions.yaml")).unwrap();
    until("the other file has the workflow now", || {
        known()["refused"] == json!([])
    });
    std::fs::remove_file(app.path("workflows/second.yaml")).unwrap();
    until("a file that is gone is told of", || {
        known()["refused"]
            .to_string()
            .contains("second.yaml: the file is gone")
    });
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn what_cannot_be_understood_is_told_in_one_shape() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let code = |reply: &Reply| {
        reply.body["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    for (path, status, expected) in [
        ("/api/v1/runs/99", 404, "not_found"),
        ("/api/v1/runs/x", 400, "invalid_request"),
        ("/api/v1/runs?limit=0", 400, "invalid_request"),
        ("/api/v1/items?state=lost", 400, "invalid_request"),
        ("/nothing", 404, "not_found"),
    ] {
        let reply = service.get(&token, path);
        assert_eq!(
            (reply.status, code(&reply).as_str()),
            (status, expected),
            "{path}: {reply:?}"
        );
        assert!(reply.headers.contains_key("x-request-id"));
    }
    let missing = begin(&service, &token, "k-1", &json!({ "workflow": "none" }));
    assert_eq!(
        (missing.status, code(&missing)),
        (404, "not_found".to_owned())
    );
    let wrong = begin(&service, &token, "not a key", &lately());
    assert_eq!(
        (wrong.status, code(&wrong)),
        (400, "invalid_request".to_owned())
    );
    let unknown = begin(
        &service,
        &token,
        "k-2",
        &json!({ "workflow": "deductions", "dat": "2026-03-31" }),
    );
    assert_eq!(
        (unknown.status, code(&unknown)),
        (422, "invalid_request".to_owned()),
        "{unknown:?}"
    );
    app.write("data/contracts.csv", "no,such,columns\n1,2,3\n");
    let unplannable = begin(&service, &token, "k-3", &lately());
    assert_eq!(
        (unplannable.status, code(&unplannable)),
        (422, "cannot_plan".to_owned()),
        "{unplannable:?}"
    );
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn it_listens_beyond_this_machine_only_with_tls_and_a_token() {
    let app = App::with_contracts(&contracts("C", 1));
    app.payrun(&["serve", "--listen", "0.0.0.0:0"])
        .exits(2)
        .says(expect!["with TLS only"]);
    app.edit(
        "payrun.yaml",
        "gateways:",
        "server: { listen: \"0.0.0.0:8420\" }\ngateways:",
    );
    app.payrun(&["check"]).exits(2).says(expect![
        "beyond this machine the service listens with TLS only"
    ]);
    app.edit(
        "payrun.yaml",
        "\"0.0.0.0:8420\" }",
        "\"0.0.0.0:0\", behind_proxy: true }",
    );
    app.payrun(&["serve"])
        .exits(2)
        .says(expect!["only when there is a token"]);
}

#[test]
fn readiness_and_metrics_tell_of_the_work() {
    let app = App::with_contracts(&contracts("C", 10));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    begin(&service, &token, "k-1", &lately());
    until("the run has ended", || {
        service.get(&token, "/api/v1/runs/1").body["state"] == "finished"
    });
    assert_eq!(
        service
            .send(service.request(Method::GET, "/healthz"))
            .status,
        200
    );
    let ready = service.send(service.request(Method::GET, "/readyz"));
    assert_eq!(
        (ready.status, &ready.body["ready"]),
        (200, &json!(true)),
        "{ready:?}"
    );
    assert_eq!(
        service
            .send(service.request(Method::GET, "/metrics"))
            .status,
        401
    );
    let metrics = service.get(&token, "/metrics").body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "payrun_items{state=\"succeeded\"} 10",
        "payrun_answers_total{gateway=\"hk\",operation=\"deduct\",answer=\"done\",code=\"\"} 10",
        "payrun_money_minor{state=\"succeeded\",currency=\"HKD\"} ",
        "payrun_unknown_items{longer_than=\"600\"} 0",
        "payrun_lane_tokens_milli{gateway=\"hk\"} ",
        "payrun_queue_delay_milliseconds{gateway=\"hk\"} 0",
        "payrun_call_duration_seconds_count{gateway=\"hk\",operation=\"deduct\"} 10",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_program_that_is_told_to_stop_settles_what_is_under_way() {
    let app = App::of(Setup {
        contracts: contracts("C", 60),
        latency: Duration::from_millis(100),
        concurrency: 4,
        ..Setup::default()
    });
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    begin(&service, &token, "k-1", &lately());
    until("something was charged", || app.charges() > 2);
    assert_eq!(service.stop().code(), Some(0));
    let left = app.by_state();
    assert!(
        left["sending"].is_null() && left["unknown"].is_null(),
        "{left}"
    );
    app.payrun(&["work", "--drain"]).exits(0);
    assert_eq!(app.charges(), 60);
}

#[test]
fn the_document_of_the_api_is_the_one_that_is_checked_in() {
    let document = payrun::http::api::document().to_pretty_json().unwrap() + "\n";
    let path = crate::support::root().join("docs/openapi.json");
    if std::env::var_os("PAYRUN_WRITE_OPENAPI").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == document,
        "docs/openapi.json is another one: PAYRUN_WRITE_OPENAPI=1 writes it"
    );
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let served = service
        .send(service.request(Method::GET, "/api/openapi.json"))
        .body;
    assert_eq!(served, serde_json::from_str::<Value>(&document).unwrap());
    assert_eq!(service.stop().code(), Some(0));
}

/// Whether there is as much of a request as its head says.
fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let size = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .expect("a length");
    let begins = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap()
        + 4;
    bytes.len() - begins >= size.trim().parse().unwrap()
}

#[test]
fn a_collector_is_sent_the_spans_of_attempts_and_nothing_of_persons() {
    let app = App::with_contracts(&contracts("C", 3));
    let collector = app
        .wait_for(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .unwrap();
    let address = format!("http://{}", collector.local_addr().unwrap());
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listening = async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        loop {
            let (mut stream, _) = collector.accept().await.unwrap();
            let mut bytes = Vec::new();
            // One request a connection.
            while !is_whole(&bytes) && matches!(stream.read_buf(&mut bytes).await, Ok(1..)) {
                assert!(bytes.len() < 1_000_000);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
                .ok();
            told.send(String::from_utf8_lossy(&bytes).into_owned()).ok();
        }
    };
    let process = app.start(&[
        "--otlp",
        &address,
        "run",
        crate::support::WORKFLOW,
        "--date",
        crate::support::DATE,
    ]);
    let sent = app.wait_for(async {
        let listening = tokio::spawn(listening);
        let first = tokio::time::timeout(Duration::from_secs(60), heard.recv())
            .await
            .unwrap()
            .unwrap();
        listening.abort();
        first
    });
    process.wait(crate::support::PATIENCE).exits(0);
    assert!(sent.starts_with("POST /v1/traces "), "{sent}");
    assert!(
        sent.contains("attempt") && sent.contains("order.no") && sent.contains("plan"),
        "{sent}"
    );
    assert!(!sent.contains("contract_id"), "{sent}");
}

#[test]
fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let app = App::with_contracts(&contracts("C", 1));
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    app.write("cert.pem", made.cert.pem());
    app.write("key.pem", made.signing_key.serialize_pem());
    app.edit(
        "payrun.yaml",
        "gateways:",
        "server: { tls: { certificate: cert.pem, key: { file: key.pem } } }\ngateways:",
    );
    let process = app.start(&["serve", "--listen", "127.0.0.1:0"]);
    until("the service listens", || {
        process.stderr_so_far().contains("Ctrl-C stops")
    });
    let told = process.stderr_so_far();
    let port = told
        .split("https://127.0.0.1:")
        .nth(1)
        .and_then(|rest| rest.split('/').next())
        .unwrap()
        .to_owned();
    let trusting = |pem: &str| {
        let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        reqwest::Client::builder()
            .tls_certs_only([trusted])
            .no_proxy()
            .build()
            .unwrap()
    };
    app.wait_for(async {
        let client = trusting(&made.cert.pem());
        let ready = client
            .get(format!("https://localhost:{port}/readyz"))
            .send()
            .await
            .unwrap();
        assert_eq!(ready.status().as_u16(), 200);
        assert!(
            client
                .get(format!("http://localhost:{port}/readyz"))
                .send()
                .await
                .is_err()
        );
    });
    let renewed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    app.write("cert.pem", renewed.cert.pem());
    // For a while the key is still the old one.
    std::thread::sleep(Duration::from_secs(6));
    app.write("key.pem", renewed.signing_key.serialize_pem());
    until("the renewed certificate is shown", || {
        let asked = trusting(&renewed.cert.pem())
            .get(format!("https://localhost:{port}/readyz"))
            .send();
        app.wait_for(asked).is_ok()
    });
    process.interrupt();
    assert_eq!(process.wait(crate::support::PATIENCE).code(), Some(0));
    app.write("key.pem", "no key");
    app.payrun(&["serve", "--listen", "127.0.0.1:0"])
        .exits(2)
        .says(expect!["cert.pem and its key cannot be used"]);
}

#[test]
fn people_hear_by_mail_of_a_file_that_is_refused_and_of_a_run_that_failed() {
    let app = App::of(Setup {
        contracts: "contract_id,plan,amount,currency,active\nC-1-terminated,basic,38.00,HKD,yes\n"
            .to_owned(),
        ..Setup::default()
    });
    let server = crate::support::smtp::MailServer::plain(json!({}));
    // Two people, since one is told at most every ten minutes.
    let rules = "alerts:\n  - { on: refused, to: [dev@example.com] }\n  - { on: failed, to: [ops@example.com] }\n";
    app.edit(
        "payrun.yaml",
        "gateways:",
        &format!("{}{rules}gateways:", server.yaml()),
    );
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    assert_eq!(begin(&service, &token, "k-1", &lately()).status, 201);
    let mailed = |word: &str| {
        server
            .mails()
            .iter()
            .any(|mail| mail.to_string().contains(word))
    };
    until("the failed run is told", || mailed("deductions"));
    app.write("workflows/broken.yaml", "workflow: broken\n");
    until("the refused file is told", || mailed("broken.yaml"));
    assert!(!mailed("C-1-terminated,basic"), "rows of files stay here");
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_run_of_a_file_that_was_saved_with_mistakes_says_which_version_it_uses_and_what_is_wrong() {
    let app = App::with_contracts(&contracts("C", 2));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let first = begin(&service, &token, "k-1", &lately());
    assert_eq!(first.status, 201, "{}", first.body);
    assert_eq!(first.body["newer_file"], Value::Null);
    let version = first.body["workflow_version"].clone();
    app.edit(WORKFLOW, "uses: deduct", "uses: deduce");
    let second = begin(&service, &token, "k-2", &lately());
    assert_eq!(second.status, 201, "{}", second.body);
    assert_eq!(second.body["workflow_version"], version);
    let newer = &second.body["newer_file"];
    assert!(
        newer["file"].as_str().unwrap().ends_with("deductions.yaml")
            && newer["mistakes"].as_str().unwrap().contains("deduce"),
        "{newer}"
    );
    let at = |name: &str| newer[name].as_str().unwrap().to_owned();
    assert!(at("in_force_since") <= at("saved_at"), "{newer}");
    let run = service.get(&token, "/api/v1/runs/2");
    assert_eq!(run.body["workflow_version"], version, "{}", run.body);
    assert_eq!(service.stop().code(), Some(0));
}

#[test]
fn a_run_uses_the_workflow_as_it_was_saved_a_moment_before_and_names_its_version() {
    let app = App::with_contracts(&contracts("C", 2));
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let begun = |key: &str| {
        let reply = begin(&service, &token, key, &lately());
        assert_eq!(reply.status, 201, "{}", reply.body);
        let version = reply.body["workflow_version"].as_str().unwrap().to_owned();
        let again = begin(&service, &token, key, &lately());
        assert_eq!(
            (again.status, again.body["workflow_version"].as_str()),
            (200, Some(version.as_str()))
        );
        let run = reply.body["run"]["run"].as_i64().unwrap();
        (version, run)
    };
    let (first, _) = begun("k-1");
    let mut versions = vec![first];
    for n in 2..=6 {
        let yaml = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
        app.write(WORKFLOW, format!("{yaml}# {n}\n"));
        let (version, run) = begun(&format!("k-{n}"));
        let saved = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
        let source = app.wait_for(async {
            let ledger = app.ledger().await;
            let source = ledger.workflow_of_run(run).await.unwrap().unwrap();
            ledger.close().await;
            source
        });
        assert_eq!(source, saved);
        assert_eq!(version, payrun::workflow::version_of(&saved));
        assert!(!versions.contains(&version));
        versions.push(version);
    }
    // A workflow that is new is there at once too.
    let yaml = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    app.write(
        "workflows/fresh.yaml",
        yaml.replace("workflow: deductions", "workflow: fresh"),
    );
    let body = json!({ "workflow": "fresh", "date": days_ago(40) });
    let reply = begin(&service, &token, "k-fresh", &body);
    assert_eq!(reply.status, 201, "{}", reply.body);
    // And one whose file was just removed is not there.
    std::fs::remove_file(app.path("workflows/fresh.yaml")).unwrap();
    let reply = begin(&service, &token, "k-removed", &body);
    assert_eq!(reply.status, 404, "{}", reply.body);
    service.stop();
}
