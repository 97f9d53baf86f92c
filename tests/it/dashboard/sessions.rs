//! Who is signed in, and what a page may load.

use expect_test::expect;
use reqwest::Method;

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, WORKFLOW, contracts};

#[test]
fn whoever_is_not_signed_in_is_asked_to_and_comes_back_to_the_page() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let asked = service.send(service.request(Method::GET, "/runs?before=5"));
    assert_eq!(asked.status, 303);
    let to = asked.headers["location"].to_str().unwrap();
    assert_eq!(to, "/sign-in?to=%2Fruns%3Fbefore%3D5");
    let form = service.send(service.request(Method::GET, to));
    assert!(
        form.body
            .as_str()
            .unwrap()
            .contains("name=\"to\" value=\"/runs?before=5\"")
    );
}

#[test]
fn a_session_is_a_cookie_that_no_script_reads_and_ends_with_its_token() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let token = service.token("ann", "viewer");
    let request = service
        .request(Method::POST, "/sign-in")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("token={token}&to=/runs"));
    let signed_in = service.send(request);
    let to = signed_in.headers["location"].to_str().unwrap();
    assert_eq!(to, "/sign-in?entered=yes&to=%2Fruns");
    // A browser that has not kept the session comes back without it, and is told so.
    let lost = service.send(service.request(Method::GET, to));
    assert!(
        lost.body
            .as_str()
            .unwrap()
            .contains("has not kept the session")
    );
    let cookie = signed_in.headers["set-cookie"].to_str().unwrap().to_owned();
    for part in [
        "__Host-payrun=",
        "; Path=/;",
        "; Secure; HttpOnly; SameSite=Lax",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let ann = Visitor::with_token(&service, &token);
    assert!(ann.page("/runs").contains("ann <small>viewer</small>"));
    assert_eq!(ann.get(to).location, "/runs");
    // The API's files are led to by links; what changes anything wants the token itself.
    assert_eq!(ann.get("/api/v1/runs").status, 200);
    assert_eq!(ann.post("/api/v1/runs/1/approve", &[]).status, 401);
    app.payrun(&["tokens", "revoke", "ann"]).exits(0);
    assert_eq!(ann.get("/runs").status, 303);
    assert_eq!(ann.get("/api/v1/runs").status, 401);
}

#[test]
fn signing_out_ends_the_session_wherever_its_cookie_is() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    assert_eq!(ann.post("/sign-out", &[]).status, 303);
    assert_eq!(ann.get("/runs").status, 303);
}

#[test]
fn a_wrong_token_is_told_of_and_too_many_have_to_wait() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let enter = || {
        let request = service
            .request(Method::POST, "/sign-in")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("token=payrun_wrong");
        service.send(request)
    };
    assert_eq!(enter().status, 401);
    assert!((0..12).any(|_| enter().status == 429));
}

#[test]
fn a_form_of_another_site_is_refused() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ] {
        let request = service
            .request(Method::POST, "/sign-out")
            .header(name, value);
        assert_eq!(service.send(request).status, 403, "{name}: {value}");
    }
}

#[test]
fn a_page_loads_nothing_but_what_we_serve_and_nothing_frames_it() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let page = service.send(service.request(Method::GET, "/sign-in"));
    expect![[r#"
        default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"#]]
    .assert_eq(page.headers["content-security-policy"].to_str().unwrap());
    assert_eq!(page.headers["cache-control"], "no-store");
    let ann = Visitor::of(&service, "ann", "viewer");
    let html = ann.page("/runs");
    for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
        assert!(!html.contains(inline), "{inline}");
    }
    let files: Vec<&str> = html
        .split('"')
        .filter(|text| text.starts_with("/assets/"))
        .collect();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let got = service.send(service.request(Method::GET, file));
        assert_eq!(got.status, 200, "{file}");
        assert!(
            got.headers["cache-control"]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
    }
}

#[test]
fn a_person_chooses_language_and_clock_for_every_page() {
    let app = App::with_contracts(&contracts("C", 3));
    app.payrun(&["run", WORKFLOW]).exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let english = ann.page("/runs/1");
    assert!(english.contains("<html lang=\"en\">") && english.contains("succeeded"));
    let chosen = [("language", "zh-Hant"), ("timezone", "America/New_York")];
    assert_eq!(ann.post("/settings", &chosen).status, 303);
    let chinese = ann.page("/runs/1");
    assert!(chinese.contains("<html lang=\"zh-Hant\">") && chinese.contains("成功"));
    assert!(chinese.contains("America/New_York"));
    let wrong = ann.post("/settings", &[("language", "tlh"), ("timezone", "")]);
    assert_eq!(wrong.status, 400);
}

#[test]
fn what_a_page_fetches_by_itself_takes_the_whole_page_to_the_sign_in() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let asked = service.send(
        service
            .request(Method::GET, "/")
            .header("hx-request", "true"),
    );
    assert_eq!(
        (asked.status, &asked.headers["hx-refresh"]),
        (401, &"true".parse().unwrap())
    );
}

#[test]
fn a_page_that_watches_a_run_ends_with_its_session() {
    let app = App::with_contracts(&contracts("C", 1));
    app.payrun(&["run", WORKFLOW, "--send-after", "1h", "--wait", "0s"]);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let watch = service
        .request(Method::GET, "/runs/1/live")
        .header("cookie", ann.cookie())
        .timeout(std::time::Duration::from_secs(60));
    let began = std::time::Instant::now();
    let ended = app.wait_for(async {
        let mut stream = watch.send().await.unwrap();
        assert!(stream.chunk().await.unwrap().is_some());
        let leave = service
            .request(Method::POST, "/sign-out")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", ann.cookie());
        assert_eq!(leave.send().await.unwrap().status(), 303);
        while stream.chunk().await.unwrap().is_some() {}
        began.elapsed()
    });
    assert!(ended < std::time::Duration::from_secs(8), "{ended:?}");
}

/// More than the network and we hold on the way: the rest is written when somebody reads on.
#[test]
fn a_list_that_is_being_sent_ends_with_its_session() {
    let app = App::with_contracts(&contracts("C", 12_000));
    let pause = ["pause", "all", "--author", "ann", "--reason", "a test"];
    app.payrun(&pause).exits(0);
    app.payrun(&["run", WORKFLOW, "--wait", "0s"]);
    let service = Service::of(&app);
    let (ann, bob) = (
        Visitor::of(&service, "ann", "viewer"),
        Visitor::of(&service, "bob", "viewer"),
    );
    let begin = |visitor: &Visitor<'_>| {
        service
            .request(
                Method::GET,
                "/api/v1/exports/items?format=json&all_columns=true",
            )
            .header("cookie", visitor.cookie())
            .timeout(std::time::Duration::from_secs(60))
    };
    app.wait_for(async {
        let mut left = begin(&ann).send().await.unwrap();
        let mut whole = begin(&bob).send().await.unwrap();
        assert!(left.chunk().await.unwrap().is_some());
        assert!(whole.chunk().await.unwrap().is_some());
        let leave = service
            .request(Method::POST, "/sign-out")
            .header("sec-fetch-site", "same-origin")
            .header("cookie", ann.cookie());
        assert_eq!(leave.send().await.unwrap().status(), 303);
        let broken = loop {
            match left.chunk().await {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        assert!(broken.is_err(), "nobody takes a part for the whole");
        while whole.chunk().await.unwrap().is_some() {}
    });
}

#[test]
fn behind_a_base_path_every_link_of_a_page_leads_somewhere() {
    let app = App::with_contracts(&contracts("C", 2));
    app.payrun(&["run", WORKFLOW]).exits(0);
    let listen = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "payrun.yaml",
        format!("{listen}server:\n  base_path: /pay\n"),
    );
    let service = Service::of(&app);
    let token = service.token("ann", "operator");
    let ann = Visitor::at(&service, "/pay", &token);
    let mut seen = std::collections::BTreeSet::new();
    let mut todo = vec!["/pay/".to_owned(), "/pay".to_owned()];
    while let Some(path) = todo.pop() {
        if !seen.insert(path.clone()) || seen.len() > 60 {
            continue;
        }
        let shown = ann.get(&path);
        assert!(
            matches!(shown.status, 200 | 303),
            "{path}: {} {}",
            shown.status,
            shown.html
        );
        for link in shown.html.split("href=\"").skip(1) {
            let link = link
                .split('"')
                .next()
                .unwrap()
                .replace("&amp;", "&")
                .replace("&#38;", "&");
            if link.starts_with('#') || link.contains("/assets/") {
                continue;
            }
            assert!(link.starts_with("/pay"), "{path} leads to {link}");
            todo.push(link.split('#').next().unwrap().to_owned());
        }
    }
    assert!(
        seen.iter().any(|path| path.contains("format=csv")),
        "{seen:?}"
    );
    assert_eq!(ann.get("/runs").status, 404);
    assert_eq!(ann.get("/payroll").status, 404);
    assert_eq!(
        service
            .send(service.request(Method::GET, "/healthz"))
            .status,
        200
    );
    let strange = ann.get("/pay/items/abc");
    assert_eq!(strange.status, 400);
    assert!(strange.html.contains("<!doctype html>"), "{}", strange.html);
}
