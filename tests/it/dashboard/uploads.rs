//! A batch that is sent as a file: looked at before anything is planned, begun once, and withdrawn
//! while it waits.

use std::time::Duration;

use serde_json::Value;

use crate::support::service::Service;
use crate::support::visitor::{VisitedPage, Visitor};
use crate::support::{App, Setup, WORKFLOW, contracts, until, workflow};

const TARGET: &str = "deductions/deduct";

/// The path of a location, without its query.
fn path(location: &str) -> &str {
    location.split('?').next().unwrap()
}

fn send(visitor: &Visitor<'_>, encoding: &str, file: (&str, &[u8])) -> VisitedPage {
    let fields = [("target", TARGET), ("encoding", encoding)];
    visitor.upload("/upload", &fields, file)
}

#[test]
fn a_file_in_another_encoding_with_other_headings_is_read_confirmed_and_remembered() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    assert!(ann.page("/upload").contains(TARGET));
    // 合约号,套餐,扣款额,currency,active in GBK.
    let mut file = vec![0xba, 0xcf, 0xd4, 0xbc, 0xba, 0xc5, b','];
    file.extend([
        0xcc, 0xd7, 0xb2, 0xcd, b',', 0xbf, 0xdb, 0xbf, 0xee, 0xb6, 0xee,
    ]);
    file.extend(b",currency,active\nK-1,basic,38.00,HKD,yes\nK-2,basic,4x,HKD,yes\n");
    let sent = send(&ann, "", ("payments of November.csv", &file));
    assert_eq!(sent.status, 303, "{}", sent.html);
    assert!(
        sent.location.contains("encoding=gb18030"),
        "{}",
        sent.location
    );
    let page = ann.page(&sent.location);
    assert!(
        page.contains("扣款额") && page.contains("Some columns were not found"),
        "{page}"
    );
    assert!(
        !page.contains("/begin"),
        "nothing is begun before the columns are known"
    );
    let columns = format!("{}/columns", path(&sent.location));
    let chosen = [
        ("column:contract_id", "合约号"),
        ("column:plan", "套餐"),
        ("column:amount", "扣款额"),
        ("column:currency", "currency"),
        ("column:active", "active"),
    ];
    let mut twice = chosen;
    twice[2] = ("column:amount", "套餐");
    assert_eq!(ann.submit(&page, &columns, &twice).status, 400);
    let mut strange = chosen;
    strange[2] = ("column:amount", "no such heading");
    assert_eq!(ann.submit(&page, &columns, &strange).status, 400);
    let kept = ann.submit(&page, &columns, &chosen);
    assert_eq!(kept.status, 303, "{}", kept.html);
    let page = ann.page(&kept.location);
    assert!(page.contains("as it was said for this header before"));
    // The bad row in its place, with its column; the good one counted with its money.
    assert!(
        page.contains("<td class=\"n\" data-label=\"Line\">3</td>"),
        "{page}"
    );
    assert!(page.contains("amount") && page.contains("38.00 <abbr>HKD</abbr>"));
    assert!(page.contains("Begin with 1 item"));
    assert_eq!(
        app.json_lines(&["items", "--json"]).len(),
        0,
        "nothing was planned"
    );

    let begin = format!("{}/begin", path(&sent.location));
    let begun = ann.submit(&page, &begin, &[("send_after", "1h")]);
    assert_eq!(
        (begun.status, begun.location.as_str()),
        (303, "/runs/1"),
        "{}",
        begun.html
    );
    // Sent once more, it is the same run.
    let again = ann.submit(&page, &begin, &[("send_after", "1h")]);
    assert_eq!((again.status, again.location.as_str()), (303, "/runs/1"));
    let run = ann.page("/runs/1");
    assert!(run.contains("Nothing of this run is sent before"), "{run}");
    // It is called what the person's own file is, and not by the digest that keeps it.
    for place in ["/runs", "/runs/1", "/items/1"] {
        let shown = ann.page(place);
        assert!(
            shown.contains("payments of November.csv"),
            "{place}: {shown}"
        );
        let digest = path(&sent.location).rsplit('/').next().unwrap();
        let digest = digest.split('%').next().unwrap().split('.').next().unwrap();
        assert!(digest.len() == 64 && !shown.contains(digest), "{place}");
    }
    assert!(run.contains("Uploaded file"), "{run}");
    assert!(ann.page("/runs").contains("<small>uploaded</small>"));
    let today = ann.page("/");
    let waits = today.split("href=\"/runs/1\"").nth(1).unwrap();
    let waits = waits.split("</p>").next().unwrap();
    assert!(
        waits.contains("is sent at")
            && waits.contains("38.00 <abbr>HKD</abbr>. <small>Until")
            && waits.contains("one item"),
        "{waits}"
    );
    let view = service
        .get(&service.token("cleo", "viewer"), "/api/v1/runs/1")
        .body;
    assert_eq!(
        (&view["by_state"]["planned"], &view["by_state"]["rejected"]),
        (&1.into(), &1.into())
    );
    assert!(view["send_at"].is_string());

    // The next file with this header is read the same way.
    let next = String::from_utf8_lossy(&file[26..]).replace("K-", "L-");
    let next = format!(
        "合约号,套餐,扣款额,currency,active\n{}",
        next.split_once('\n').unwrap().1
    );
    let sent = send(&ann, "", ("december.csv", next.as_bytes()));
    assert!(ann.page(&sent.location).contains("Begin with 1 item"));

    let viewer = Visitor::of(&service, "dora", "viewer");
    let withdraw = [("reason", "the wrong month")];
    assert!(!viewer.page("/runs/1").contains("/withdraw"));
    assert_eq!(
        viewer.submit(&run, "/runs/1/withdraw", &withdraw).status,
        403
    );
    assert_eq!(ann.submit(&run, "/runs/1/withdraw", &withdraw).status, 303);
    assert_eq!(ann.submit(&run, "/runs/1/withdraw", &withdraw).status, 303);
    assert_eq!(app.by_state()["cancelled"], 1);
    assert!(!ann.page("/runs/1").contains("/withdraw"));
    assert!(!ann.page("/").contains("is sent at"));
    assert_eq!(app.charges(), 0);
}

#[test]
fn only_operators_send_files_and_what_is_no_file_of_rows_is_told_of() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let file = contracts("K", 2);
    for role in ["viewer", "approver"] {
        let other = Visitor::of(&service, role, role);
        assert!(other.page("/upload").contains("is for operators"), "{role}");
        let refused = send(&other, "", ("a.csv", file.as_bytes()));
        assert_eq!(refused.status, 403, "{role}");
        assert_eq!(
            other
                .get(&format!("/upload/{}.csv?target={TARGET}", "0".repeat(64)))
                .status,
            403
        );
    }
    let ann = Visitor::of(&service, "ann", "operator");
    for (name, content) in [
        ("a.pdf", &b"%PDF-1.7"[..]),
        ("a.csv", b"%PDF-1.7"),
        ("a.csv", b""),
        ("", b"id\n1\n"),
        ("a.csv", b"id\n\0\n"),
        ("a.xlsx", b"PK\x03\x04 no workbook"),
    ] {
        let refused = send(&ann, "", (name, content));
        assert_eq!(refused.status, 400, "{name} {content:?} {}", refused.html);
    }
    assert_eq!(
        send(&ann, "klingon", ("a.csv", file.as_bytes())).status,
        400
    );
    let sent = send(&ann, "", ("<b>a.csv", file.as_bytes()));
    let page = ann.page(&sent.location);
    assert!(page.contains("&#60;b&#62;a.csv") && !page.contains("<b>a.csv"));
    let elsewhere = sent.location.replace("deduct&", "other&");
    assert_eq!(ann.get(&elsewhere).status, 404, "{elsewhere}");
    assert_eq!(
        ann.get(&format!("/upload/{}.csv?target={TARGET}", "0".repeat(64)))
            .status,
        422
    );
    // A workflow that was changed since is not begun unseen.
    app.write(
        WORKFLOW,
        workflow("contracts.csv", "    limits: { items: 5 }\n"),
    );
    let begin = format!("{}/begin", path(&sent.location));
    until("the workflow is taken up", || {
        let reply = ann.submit(&page, &begin, &[("send_after", "1h")]);
        assert!([409, 303].contains(&reply.status), "{}", reply.html);
        reply.status == 409 || reply.location.starts_with("/runs/")
    });
}

#[test]
fn nothing_is_sent_before_its_time_whoever_approves_it_and_whatever_is_restarted() {
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        job: "    approval: {}\n",
        ..Setup::default()
    });
    let service = Service::of(&app);
    let (ann, bob) = (
        service.token("ann", "operator"),
        service.token("bob", "approver"),
    );
    let body = serde_json::json!({ "workflow": "deductions", "send_after": "8s" });
    let request = service.request(reqwest::Method::POST, "/api/v1/runs");
    let begun = service.send(
        request
            .bearer_auth(&ann)
            .header("idempotency-key", "a")
            .header("content-type", "application/json")
            .body(body.to_string()),
    );
    assert_eq!(begun.status, 201, "{:?}", begun.body);
    let send_at = begun.body["run"]["send_at"].as_str().unwrap().to_owned();
    let hash = app.json(&["approvals", "list", "--json"])[0]["hash"].clone();
    let approve = serde_json::json!({ "hash": hash, "reason": "as agreed" });
    let request = service.request(reqwest::Method::POST, "/api/v1/runs/1/approve");
    let approved = service.send(
        request
            .bearer_auth(&bob)
            .header("content-type", "application/json")
            .body(approve.to_string()),
    );
    assert_eq!(approved.status, 200, "{:?}", approved.body);
    service.kill();
    let service = Service::of(&app);
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(app.charges(), 0);
    until("it is sent at its time", || {
        app.by_state()["succeeded"] == 2
    });
    let shown = service.get(&ann, "/api/v1/items/1").body;
    let first = shown["attempts"][0]["started_at"].as_str().unwrap();
    let instant = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap();
    assert!(instant(first) >= instant(&send_at), "{first} {send_at}");
    for wrong in ["0s", "8d", "soon", "-1s"] {
        let body = serde_json::json!({ "workflow": "deductions", "send_after": wrong });
        let request = service.request(reqwest::Method::POST, "/api/v1/runs");
        let request = request.bearer_auth(&ann).header("idempotency-key", "b");
        let refused = service.send(
            request
                .header("content-type", "application/json")
                .body(body.to_string()),
        );
        let code: &Value = &refused.body["error"]["code"];
        assert_eq!(
            (refused.status, code),
            (422, &"invalid_send_after".into()),
            "{wrong}"
        );
    }
}

#[test]
fn a_run_that_waits_is_withdrawn_with_its_batch_and_only_by_operators() {
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        job: "    approval: {}\n",
        ..Setup::default()
    });
    let service = Service::of(&app);
    let (ann, bob) = (
        service.token("ann", "operator"),
        service.token("bob", "approver"),
    );
    let post = |token: &str, path: &str, body: Value| {
        let request = service.request(reqwest::Method::POST, path);
        let request = request
            .bearer_auth(token)
            .header("idempotency-key", "a")
            .header("content-type", "application/json");
        service.send(request.body(body.to_string()))
    };
    let wanted = serde_json::json!({ "workflow": "deductions", "send_after": "1h" });
    let looked_at = post(&ann, "/api/v1/plans", wanted.clone());
    let job = &looked_at.body["jobs"][0];
    assert_eq!(
        (&job["items"], &job["sums"]["HKD"], &job["needs_approval"]),
        (&2.into(), &"79.00".into(), &true.into()),
        "{looked_at:?}"
    );
    assert_eq!(
        app.json_lines(&["items", "--json"]).len(),
        0,
        "nothing was planned"
    );
    assert_eq!(post(&bob, "/api/v1/plans", wanted.clone()).status, 403);
    assert_eq!(post(&ann, "/api/v1/runs", wanted).status, 201);
    let why = serde_json::json!({ "reason": "the wrong month" });
    assert_eq!(
        post(&bob, "/api/v1/runs/1/withdraw", why.clone()).status,
        403
    );
    assert_eq!(
        post(&ann, "/api/v1/runs/9/withdraw", why.clone()).status,
        404
    );
    let withdrawn = post(&ann, "/api/v1/runs/1/withdraw", why.clone());
    assert_eq!(
        withdrawn.body,
        serde_json::json!({ "cancelled": 2, "under_way": 0, "refused": 0 })
    );
    let approvals = app.json(&["approvals", "list", "--all", "--json"]);
    assert_eq!(approvals[0]["state"], "rejected");
    let again = post(&ann, "/api/v1/runs/1/withdraw", why);
    assert_eq!(again.body["cancelled"], 0);
}

#[test]
fn what_is_begun_is_what_was_shown_however_short_ago_the_workflow_was_saved() {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        job: "    approval: {}\n",
        ..Setup::default()
    });
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let file = b"contract_id,plan,amount,currency,active\nK-1,basic,38.00,HKD,yes\n";
    let sent = send(&ann, "", ("november.csv", file));
    let page = ann.page(&sent.location);
    let begin = format!("{}/begin", path(&sent.location));
    app.edit(WORKFLOW, "    approval: {}\n", "");
    let refused = ann.submit(&page, &begin, &[("send_after", "")]);
    assert_eq!(refused.status, 409, "{}", refused.html);
    assert!(
        refused.html.contains("the workflow was changed"),
        "{}",
        refused.html
    );
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(app.json(&["runs", "--json"]), serde_json::json!([]));
}

#[test]
fn the_time_to_withdraw_begins_when_the_run_has_been_planned() {
    use sqlx::Connection as _;
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        server: false,
        ..Setup::default()
    });
    app.payrun(&["runs"]).exits(0);
    let slow = Duration::from_secs(3);
    // Somebody else writes, so that planning takes long.
    let run = app.wait_for(async {
        let url = format!("sqlite://{}", app.database().display());
        let mut writer = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql("begin immediate")
            .execute(&mut writer)
            .await
            .unwrap();
        let run = app.start(&["run", WORKFLOW, "--send-after", "20s", "--wait", "0s"]);
        tokio::time::sleep(slow).await;
        sqlx::raw_sql("rollback")
            .execute(&mut writer)
            .await
            .unwrap();
        run
    });
    run.wait(crate::support::PATIENCE);
    let run = app.json(&["show", "1", "--json"]);
    let instant = |name: &str| {
        let text = run[name].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap()
    };
    let waits = (instant("send_at") - instant("planned_at"))
        .to_std()
        .unwrap();
    // It had begun a moment after the other writer.
    assert!(
        waits > Duration::from_secs(20) + slow / 2,
        "{waits:?} {run}"
    );
    app.payrun(&["withdraw", "1", "--author", "ann", "--reason", "x"])
        .exits(0);
    assert_eq!(app.by_state(), serde_json::json!({ "cancelled": 2 }));
}

#[test]
fn a_form_that_a_browser_broke_off_is_carried_out_before_it_is_said_to_be_done() {
    use std::io::Write as _;
    let app = App::with_contracts(&contracts("C", 3));
    app.payrun(&["run", WORKFLOW, "--send-after", "1h", "--wait", "0s"]);
    let service = Service::of(&app);
    for round in 0..12_u64 {
        let ann = Visitor::of(&service, &format!("ann-{round}"), "operator");
        let page = ann.page("/items/1");
        let cancel = "/items/1/cancel";
        let retry = "/items/1/retry";
        let to = if page.contains(cancel) { cancel } else { retry };
        let body = ann.form(&page, to, &[("reason", "once")]);
        let request = format!(
            "POST {to} HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\nsec-fetch-site: same-origin\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            service.host(),
            ann.cookie(),
            body.len()
        );
        let mut socket = std::net::TcpStream::connect(service.host()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(300 * round));
        drop(socket);
        let before = page.contains(cancel);
        let again = ann.submit(&page, to, &[("reason", "once")]);
        assert_eq!(again.status, 303, "{}", again.html);
        let state = app.json(&["show", "--item", "1", "--json"])["state"].clone();
        assert_eq!(
            state,
            if before { "cancelled" } else { "planned" },
            "round {round}"
        );
    }
}

/// The other file that the workflow of an upload reads, beside the job that the upload is for.
fn with_another_job(app: &App) {
    let first = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let second = first
        .split("jobs:\n")
        .nth(1)
        .unwrap()
        .replace("  deduct:\n", "  others:\n")
        .replace("contracts.csv", "others.csv");
    app.write(WORKFLOW, first + &second);
    app.write(
        "data/others.csv",
        "contract_id,plan,amount,currency,active\nO-1,basic,11.00,HKD,yes\n",
    );
}

#[test]
fn what_is_left_out_is_counted_and_the_other_files_are_those_that_were_shown() {
    let app = App::with_contracts(&contracts("C", 1));
    with_another_job(&app);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let file = b"contract_id,plan,amount,currency,active\nK-1,basic,38.00,HKD,yes\nK-2,basic,38.00,HKD,no\nK-3,basic,38.00,HKD,no\n";
    let sent = send(&ann, "", ("november.csv", file));
    let page = ann.page(&sent.location);
    assert!(
        page.contains("data-label=\"Left out by where\">2<small>active=no: 2</small>"),
        "{page}"
    );
    let token = service.token("bob", "operator");
    let post = |path: &str, body: serde_json::Value| {
        let request = service.request(reqwest::Method::POST, path);
        let request = request.bearer_auth(&token).header("idempotency-key", "k");
        let request = request.header("content-type", "application/json");
        service.send(request.body(body.to_string()))
    };
    let plan = post(
        "/api/v1/plans",
        serde_json::json!({ "workflow": "deductions" }),
    )
    .body;
    let version = plan["jobs"][1]["file_version"].clone();
    assert_eq!(version.as_str().unwrap().len(), 64, "{plan}");
    // Somebody saves the other file while the page is looked at.
    app.edit("data/others.csv", "11.00", "1100.00");
    let begin = format!("{}/begin", path(&sent.location));
    let refused = ann.submit(&page, &begin, &[("send_after", "1h")]);
    assert_eq!(refused.status, 409, "{}", refused.html);
    for said in [
        "others.csv is another file by now",
        "1,100.00 <abbr>HKD</abbr>",
        "value=\"1h\" selected",
    ] {
        assert!(refused.html.contains(said), "{said}: {}", refused.html);
    }
    let body = |version: &serde_json::Value| serde_json::json!({ "workflow": "deductions", "file_versions": { "others": version } });
    let changed = post("/api/v1/runs", body(&version));
    assert_eq!(
        (changed.status, &changed.body["error"]["code"]),
        (409, &"file_changed".into()),
        "{:?}",
        changed.body
    );
    let none = serde_json::json!({ "workflow": "deductions", "file_versions": { "no-such": "x" } });
    assert_eq!(post("/api/v1/runs", none).status, 422);
    assert_eq!(app.json(&["runs", "--json"]), serde_json::json!([]));
    // What is shown now can be begun.
    let begun = ann.submit(&refused.html, &begin, &[("send_after", "1h")]);
    assert_eq!(begun.status, 303, "{}", begun.html);
}

#[test]
fn previews_that_nobody_waits_for_hold_up_no_run_and_end() {
    let app = App::with_contracts(&contracts("C", 1));
    let own = std::fs::read_to_string(app.path("workflows/deductions.yaml")).unwrap();
    let big = own
        .replace("workflow: deductions", "workflow: big")
        .replace("contracts.csv", "big.csv");
    assert!(big.contains("big.csv"), "{own}");
    app.write("workflows/big.yaml", big);
    let rows = "a,,,,\n".repeat(400_000);
    app.write(
        "data/big.csv",
        format!("contract_id,plan,amount,currency,active\n{rows}"),
    );
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let request = |path: &str, workflow: &str| {
        let body = serde_json::json!({ "workflow": workflow });
        let request = service.request(reqwest::Method::POST, path);
        let request = request.bearer_auth(&token).header("idempotency-key", "k");
        let request = request.header("content-type", "application/json");
        request.body(body.to_string())
    };
    for _ in 0..2 {
        let looked = request("/api/v1/plans", "big").timeout(Duration::from_secs(1));
        let gone = app.wait_for(async { looked.send().await });
        gone.expect_err("nobody waits for it");
    }
    let began = std::time::Instant::now();
    let begun = service.send(request("/api/v1/runs", "deductions"));
    assert_eq!(begun.status, 201, "{:?}", begun.body);
    assert!(began.elapsed() < Duration::from_secs(10));
    // The two have given their place back.
    let shown = service.send(request("/api/v1/plans", "deductions"));
    assert_eq!(shown.status, 200, "{:?}", shown.body);
    let name = "n".repeat(256) + ".csv";
    let visitor = Visitor::of(&service, "bob", "operator");
    let refused = send(&visitor, "", (&name, b"contract_id\n"));
    assert_eq!(refused.status, 400, "{}", refused.html);
}
