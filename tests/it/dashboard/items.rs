//! Items: the list with its filter, one item with its history and what may be done about it, and
//! what is at risk.

use expect_test::expect;
use payrun::sandbox::faults::{Fault, FaultPlan};

use reqwest::Method;
use serde_json::json;

use crate::support::gateways::personal_key;
use crate::support::service::{Service, days_ago};
use crate::support::visitor::Visitor;
use crate::support::{App, Setup, WORKFLOW, contracts, until};

/// Two that the gateway refuses, and one that it charges.
fn some_refused() -> App {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nA-terminated,x,10.00,HKD,yes\nB-terminated,x,20.50,HKD,yes\nC,x,5.00,HKD,yes\n",
    );
    app.run().exits(3);
    app
}

/// What stands between two texts of a page.
fn between<'a>(page: &'a str, begin: &str, end: &str) -> &'a str {
    let after = page.split_once(begin);
    let (_, after) = after.unwrap_or_else(|| panic!("{begin} is not on the page: {page}"));
    after.split_once(end).unwrap().0
}

#[test]
fn a_failed_item_says_why_what_it_means_and_what_to_do() {
    let app = some_refused();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/items/1");
    let why = between(&page, "class=\"verdict bad\"", "</section>");
    for said in [
        "Why it is not charged",
        "It did not happen",
        "CONTRACT_NOT_EXIST",
        "declined for good",
        "What to do",
    ] {
        assert!(why.contains(said), "{said}: {why}");
    }
    let history = between(&page, "class=\"timeline\"", "</ol>");
    let places: Vec<usize> = ["Planned", "deduct: declined CONTRACT_NOT_EXIST", "failed"]
        .iter()
        .map(|text| history.find(text).unwrap_or_else(|| panic!("{history}")))
        .collect();
    assert!(places.is_sorted(), "{history}");
    assert!(page.contains("payrun show --item 1") && page.contains("payrun retry 1 --reason WHY"));
    // What the state machine does not allow is not offered.
    assert!(!page.contains("/items/1/resolve") && !page.contains("/items/1/cancel"));
    let charged = ann.page("/items/3");
    assert!(charged.contains("verdict good") && charged.contains("payrun refund 3 --reason WHY"));
    assert_eq!(ann.get("/items/99").status, 404);
    for (language, said) in [("zh-Hans", "为什么没有扣款"), ("zh-Hant", "為甚麼沒有扣款")]
    {
        ann.post("/settings", &[("language", language), ("timezone", "")]);
        assert!(ann.page("/items/1").contains(said));
        // The list as a file is in Chinese too.
        assert!(ann.page("/items").contains("format=csv&amp;lang=zh\""));
        let list = ann.get("/api/v1/exports/items?format=csv&lang=zh");
        assert!(list.html.contains("提交单号"), "{}", list.html);
    }
}

#[test]
fn an_item_is_tried_again_once_however_often_the_form_is_sent() {
    let app = some_refused();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/items/1");
    let again = [("reason", "the contract is signed anew")];
    for _ in 0..2 {
        let sent = ann.submit(&page, "/items/1/retry", &again);
        assert_eq!((sent.status, sent.location.as_str()), (303, "/items/1"));
    }
    let after = ann.page("/items/1");
    let history = between(&after, "class=\"timeline\"", "</ol>");
    let by = "by ann: the contract is signed anew";
    assert_eq!(history.matches("Tried again by a person").count(), 1);
    assert_eq!(history.matches(by).count(), 1, "{history}");
    let token = service.token("bob", "viewer");
    let entries = service.get(&token, "/api/v1/audit").body.to_string();
    assert_eq!(entries.matches("\"item.retry\"").count(), 1);
    assert!(entries.contains("dashboard (operator)"), "{entries}");
    // The same key with another reason is no second wish.
    let other = ann.submit(&page, "/items/1/retry", &[("reason", "")]);
    assert_eq!(other.status, 400, "{}", other.html);
}

#[test]
fn a_viewer_is_shown_everything_and_does_nothing() {
    let app = some_refused();
    let service = Service::of(&app);
    let eve = Visitor::of(&service, "eve", "viewer");
    for page in ["/items/1", "/items?state=failed", "/unknown", "/bulk"] {
        let html = eve.page(page);
        let main = between(&html, "<main", "</main>");
        assert!(!main.contains("method=\"post\""), "{page}");
        assert!(!main.contains("/bulk?action"), "{page}");
    }
    let key = "0123456789abcdef0123456789abcdef";
    let fields = [("key", key), ("reason", "x"), ("found", "failed")];
    for path in [
        "/items/1/retry",
        "/items/1/cancel",
        "/items/1/resolve",
        "/bulk",
    ] {
        assert_eq!(eve.post(path, &fields).status, 403, "{path}");
    }
    assert_eq!(eve.get("/bulk?action=retry&state=failed").status, 403);
    assert_eq!(app.by_state()["failed"], 2);
}

#[test]
fn a_filter_stays_in_the_address_and_a_mistyped_one_never_shows_everything() {
    let app = some_refused();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let failed = ann.page("/items?run=1&state=failed&reason=CONTRACT_NOT_EXIST");
    assert!(failed.contains("/items/1\"") && failed.contains("/items/2\""));
    assert!(!failed.contains("/items/3\""));
    let query = "run=1&amp;state=failed&amp;reason=CONTRACT%5FNOT%5FEXIST";
    // Askama writes an ampersand by its number.
    let numbered = query.replace("&amp;", "&#38;");
    assert!(
        failed.contains(&format!("/bulk?action=retry&amp;{numbered}")),
        "{failed}"
    );
    assert!(
        failed.contains("payrun items --run=1 --state=failed --with-reason=CONTRACT_NOT_EXIST")
    );
    for mistyped in [
        "/items?stat=failed",
        "/items?state=faild",
        "/items?run=one",
        "/items?run=1&run=2",
        "/bulk?action=retry&stat=failed",
        "/bulk?action=retry",
        "/bulk?state=failed",
        "/bulk?action=resolve&state=failed",
        "/unknown?lane=hk",
    ] {
        let refused = ann.get(mistyped);
        assert!((400..500).contains(&refused.status), "{mistyped}");
    }
    assert!(
        ann.page("/items?state=unknown")
            .contains("No item is like this")
    );
    assert!(
        ann.page("/items?gateway=cn")
            .contains("No item is like this")
    );
    // The command and the API answer the same.
    let listed = app.json_lines(&[
        "items",
        "--gateway",
        "hk",
        "--with-reason",
        "CONTRACT_NOT_EXIST",
        "--json",
    ]);
    assert_eq!(listed.len(), 2);
    let token = service.token("bob", "viewer");
    let api = service.get(
        &token,
        "/api/v1/items?reason_has=CONTRACT_NOT_EXIST&gateway=hk",
    );
    assert_eq!(api.body["items"].as_array().unwrap().len(), 2);
}

#[test]
fn a_long_list_goes_on_from_its_last_item() {
    let app = App::with_contracts(&contracts("C", 130));
    app.run().exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let first = ann.page("/items?run=1");
    assert_eq!(first.matches("<tr><td class=\"n\"").count(), 100);
    assert!(first.contains("run=1&amp;after=100"), "{first}");
    let rest = ann.page("/items?run=1&after=100");
    assert_eq!(rest.matches("<tr><td class=\"n\"").count(), 30);
    assert!(!rest.contains("rel=\"next\""));
    // As many as a page has, and no more, is no promise of another.
    assert!(
        ann.page("/items?run=1&after=130")
            .contains("There are no more")
    );
}

#[test]
fn what_a_file_says_is_text_wherever_it_is_shown() {
    let hostile = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let row = hostile.replace('"', "\"\"");
    let app = App::with_contracts(&format!(
        "contract_id,plan,amount,currency,active\n\"{row}\",x,10.00,HKD,yes\nC,\"{row}\",5.00,HKD,yes\n"
    ));
    app.run();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let address = format!(
        "/items?job={}",
        percent_encoding::utf8_percent_encode(hostile, percent_encoding::NON_ALPHANUMERIC)
    );
    for path in ["/items", "/items/1", "/items/2", "/unknown", &address] {
        let html = ann.page(path);
        assert!(
            !html.contains("<script>") && !html.contains("<img"),
            "{path}"
        );
    }
}

#[test]
fn what_nobody_knows_is_at_risk_until_somebody_decides_with_evidence() {
    // No order arrives, and nothing is answered.
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        faults: FaultPlan::only(Fault::SilentBefore),
        timeout: "300ms",
        ..Setup::default()
    });
    // Nor is it asked about while somebody looks at it.
    let (asked, later) = (
        "[50ms, 100ms, 200ms, 400ms], grace: 1200ms",
        "[1h], grace: 2h",
    );
    app.edit(WORKFLOW, asked, later);
    app.edit(WORKFLOW, "horizon: 5m", "horizon: 1d");
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let token = service.token("bob", "operator");
    let run = json!({ "workflow": "deductions", "date": days_ago(30) });
    let request = service
        .request(Method::POST, "/api/v1/runs")
        .bearer_auth(&token)
        .header("Idempotency-Key", "k-1")
        .header("content-type", "application/json");
    assert_eq!(service.send(request.body(run.to_string())).status, 201);
    until("nobody knows", || {
        ann.page("/unknown").matches("state unknown").count() >= 3
    });
    let risk = ann.page("/unknown");
    for said in [
        "less than 10 minutes",
        "payrun asks about these",
        "rect class=\"unknown\"",
        "/items/1?do=resolve#resolve",
        "HKD",
    ] {
        assert!(risk.contains(said), "{said}: {risk}");
    }
    let page = ann.page("/items/1");
    let without = [("found", "succeeded"), ("reason", "asked the bank")];
    let refused = ann.submit(&page, "/items/1/resolve", &without);
    assert_eq!(refused.status, 400, "a success has a receipt");
    let both = [&without[..1], &[("receipt", "R\u{200b}1"), ("reason", "x")]].concat();
    let refused = ann.submit(&page, "/items/1/resolve", &both);
    assert_eq!(
        refused.status, 422,
        "what is in a receipt can be seen: {}",
        refused.html
    );
    // What was refused did not use the form up.
    let found = [
        ("found", "failed"),
        ("receipt", ""),
        ("reason", "asked the bank"),
    ];
    let decided = ann.submit(&page, "/items/1/resolve", &found);
    assert_eq!(decided.status, 303, "{}", decided.html);
    let decided = ann.page("/items/1");
    assert!(decided.contains("state failed") && decided.contains("asked the bank"));
}

#[test]
fn what_is_personal_of_a_row_is_named_and_never_shown() {
    let app = App::with_contracts(&contracts("C", 1));
    let config = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "payrun.yaml",
        config + "encryption_key: { file: keys/personal.key }\n",
    );
    app.write("keys/personal.key", personal_key(7));
    app.write("data/shop.csv", "order,code\nS-1,134650720866987654\n");
    app.write(
        "workflows/shop.yaml",
        "workflow: shop\njobs:\n  pay:\n    uses: pay\n    gateway: hk\n    items: { file: ../data/shop.csv }\n    \
         key: \"{{ item.order }}\"\n    with:\n      amount: \"5.00\"\n      currency: HKD\n      description: Tea\n      \
         auth_code: \"{{ item.code }}\"\n      merchant_category_code: \"4900\"\n",
    );
    let pause = ["pause", "all", "--author", "ann", "--reason", "a test"];
    app.payrun(&pause).exits(0);
    app.payrun(&["run", "workflows/shop.yaml", "--wait", "1s"]);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "admin");
    let page = ann.page("/items/1");
    assert!(
        page.contains("<dt>code</dt><dd><span class=\"note\">sealed"),
        "{page}"
    );
    assert!(page.contains("<dd>Tea</dd>") && !page.contains("134650720866987654"));
    // Why it is not sent stands at the top.
    let why = between(&page, "class=\"verdict", "</section>");
    assert!(why.contains("paused by ann"), "{why}");
}

#[test]
fn a_note_changes_nothing_and_stands_in_the_history_for_everybody() {
    let app = App::with_contracts(&contracts("C", 1));
    app.payrun(&["run", WORKFLOW]).exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/items/1");
    let noted = ann.submit(
        &page,
        "/items/1/notes",
        &[("note", "the bank <b>called</b>")],
    );
    assert_eq!(noted.status, 303, "{}", noted.html);
    let page = ann.page("/items/1");
    assert!(
        page.contains("the bank &#60;b&#62;called&#60;/b&#62;"),
        "{page}"
    );
    app.payrun(&["note", "1", "--author", "bob", "--reason", "paid by hand"])
        .exits(0);
    let token = service.token("cleo", "viewer");
    let item = service.get(&token, "/api/v1/items/1").body;
    let notes: Vec<_> = item["notes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|note| note["note"].clone())
        .collect();
    assert_eq!(notes, ["the bank <b>called</b>", "paid by hand"]);
    assert_eq!(item["state"], "succeeded");
    app.payrun(&["show", "--item", "1"])
        .exits(0)
        .says(expect!["bob: paid by hand"]);
    let cleo = Visitor::with_token(&service, &token);
    assert!(!cleo.page("/items/1").contains("/items/1/notes"));
    assert_eq!(
        ann.post("/items/9/notes", &[("key", &"0".repeat(32)), ("note", "x")])
            .status,
        404
    );
}
