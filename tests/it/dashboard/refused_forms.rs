//! A form that is refused comes back on its page as it was filled in, with what is wrong beside the
//! field, and nothing was done.

use std::sync::LazyLock;

use crate::support::service::Service;
use crate::support::visitor::{VisitedPage, Visitor};
use crate::support::{App, Setup, WORKFLOW, contracts};

/// Longer than a reason may be, and hostile.
static LONG: LazyLock<String> = LazyLock::new(|| format!("a\"<b>&{}", "x".repeat(500)));

/// The same as the value of a field.
static LONG_SHOWN: LazyLock<String> =
    LazyLock::new(|| format!("value=\"a&#34;&#60;b&#62;&#38;{}\"", "x".repeat(500)));

fn item_that_failed() -> App {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nA-terminated,x,10.00,HKD,yes\nB-terminated,x,10.00,HKD,yes\n",
    );
    app.run().exits(3);
    // What is tried again stays where it is, so that no call is under way when the service ends.
    let pause = ["pause", "all", "--author", "ann", "--reason", "a test"];
    app.payrun(&pause).exits(0);
    app
}

/// That a page shows a form as it was sent, with the focus at what is wrong.
fn holds(refused: &VisitedPage, status: u16, said: &[&str]) {
    assert_eq!(refused.status, status, "{}", refused.html);
    let html = &refused.html;
    assert_eq!(html.matches("id=\"refusal\"").count(), 1, "{html}");
    assert_eq!(html.matches(" autofocus").count(), 1, "{html}");
    assert!(
        html.contains("role=\"alert\"") && html.contains("</html>"),
        "{html}"
    );
    for said in said {
        assert!(html.contains(said), "{said}: {html}");
    }
    assert!(!html.contains("<b>&"), "{html}");
}

#[test]
fn the_forms_of_an_item_come_back_filled_and_can_be_sent_as_they_come() {
    let app = item_that_failed();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let refused = ann.submit(
        &ann.page("/items/1"),
        "/items/1/retry",
        &[("reason", &LONG)],
    );
    let beside = "aria-invalid=\"true\" aria-describedby=\"refusal\" autofocus";
    holds(&refused, 422, &[&LONG_SHOWN, beside, "id=\"retry\" open"]);
    let note = ann.submit(&refused.html, "/items/1/notes", &[("note", &LONG)]);
    holds(&note, 422, &[&LONG_SHOWN, "id=\"note\" open"]);
    // Only what was sent comes back, and only in its own form.
    assert!(!note.html.contains("id=\"retry\" open"));
    assert_eq!(note.html.matches(&**LONG_SHOWN).count(), 1);
    let sent = ann.submit(&refused.html, "/items/1/retry", &[("reason", "once more")]);
    assert_eq!(sent.status, 303, "{}", sent.html);
    let page = ann.page("/items/1");
    assert!(page.contains("once more") && !page.contains("id=\"refusal\""));
}

#[test]
fn what_is_no_more_offered_is_refused_on_a_page_that_says_why() {
    let app = item_that_failed();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let before = ann.page("/items/1");
    app.payrun(&["retry", "1", "--author", "bob", "--reason", "first"])
        .exits(0);
    let late = ann.submit(&before, "/items/1/retry", &[("reason", "me too")]);
    assert!((400..500).contains(&late.status), "{}", late.html);
    assert!(late.html.contains("verdict bad"), "{}", late.html);
}

#[test]
fn what_has_changed_since_it_was_counted_is_counted_again_with_the_reason_kept() {
    let app = item_that_failed();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let count = ann.page("/bulk?action=retry&state=failed");
    app.payrun(&["retry", "1", "--author", "bob", "--reason", "first"])
        .exits(0);
    let refused = ann.submit(&count, "/bulk", &[("why", "asked \"them\"")]);
    let said = [
        "value=\"asked &#34;them&#34;\"",
        "count again",
        "<dd>1</dd>",
    ];
    holds(&refused, 409, &said);
    // It was done to nothing, and is done to what is counted now.
    assert!(app.json(&["bulk", "--json"]).as_array().unwrap().is_empty());
    let sent = ann.submit(&refused.html, "/bulk", &[("why", "asked \"them\"")]);
    assert_eq!(sent.status, 303, "{}", sent.html);
}

#[test]
fn an_approver_types_a_sum_again_only_where_the_batch_is_another() {
    let app = App::of(Setup {
        contracts: contracts("C", 3),
        job: "    approval: {}\n",
        ..Setup::default()
    });
    let ann = app.token("ann", "admin");
    app.payrun_as(&ann, &["run", WORKFLOW]).exits(4);
    let service = Service::of(&app);
    let bob = Visitor::of(&service, "bob", "approver");
    let (batch, approve) = ("/approvals/1/deduct", "/approvals/1/deduct/approve");
    let typed = [("sum-HKD", "119.99"), ("reason", "as \"agreed\"")];
    let wrong = bob.submit(&bob.page(batch), approve, &typed);
    let sum = "value=\"119.99\" aria-invalid=\"true\"";
    holds(&wrong, 422, &[sum, "as &#34;agreed&#34;</textarea>"]);
    // The batch is another than was shown: what was typed for that is not typed for this.
    let shown = bob.page(batch);
    app.payrun(&["cancel", "1", "--author", "ann", "--reason", "not this one"])
        .exits(0);
    let other = bob.submit(&shown, approve, &[("sum-HKD", "120.00"), ("reason", "ok")]);
    assert!((400..500).contains(&other.status), "{}", other.html);
    assert!(!other.html.contains("value=\"120.00\""), "{}", other.html);
}

#[test]
fn of_several_forms_of_a_page_the_refused_one_comes_back() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/gateways");
    let slow = [
        ("rate", "5/s"),
        ("concurrency", "two"),
        ("reason", "it is busy"),
    ];
    let refused = ann.submit(&page, "/gateways/slow", &slow);
    let said = [
        "name=\"rate\" placeholder=\"5/s\" value=\"5/s\"",
        "value=\"two\" aria-invalid",
        "value=\"it is busy\"",
    ];
    holds(&refused, 400, &said);
    assert_eq!(refused.html.matches("value=\"it is busy\"").count(), 1);
    let mended = [slow[0], ("concurrency", "2"), slow[2]];
    let sent = ann.submit(&refused.html, "/gateways/slow", &mended);
    assert_eq!(sent.status, 303, "{}", sent.html);
    let suspend = [("time", "soon"), ("reason", "the bank is away")];
    let refused = ann.submit(&page, "/gateways/suspend", &suspend);
    holds(
        &refused,
        400,
        &["value=\"soon\" aria-invalid", "value=\"the bank is away\""],
    );
}

#[test]
fn settings_and_uploads_come_back_as_they_were_chosen() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let settings = [
        ("language", "zh-Hant"),
        ("timezone", "Mars/Olympus"),
        ("dense", "yes"),
    ];
    let refused = ann.post("/settings", &settings);
    let said = [
        "value=\"Mars/Olympus\" autocomplete=\"off\" aria-invalid",
        "value=\"zh-Hant\" lang=\"zh-Hant\" selected",
        "name=\"dense\" value=\"yes\" checked",
    ];
    holds(&refused, 400, &said);
    let fields = [("target", "deductions/deduct"), ("encoding", "big5")];
    let refused = ann.upload("/upload", &fields, ("a.doc", b"x"));
    let said = [
        "value=\"deductions/deduct\" selected",
        "value=\"big5\" selected",
        "the name of the file ends in none of",
    ];
    holds(&refused, 400, &said);
}

/// Nothing that a person is let in by is ever written back.
#[test]
fn a_token_is_never_written_back() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let token = "payrun_0123456789abcdefghijklmnopqrstuv";
    let refused = ann.post("/sign-in", &[("token", token)]);
    assert_eq!(refused.status, 401, "{}", refused.html);
    assert!(!refused.html.contains(token), "{}", refused.html);
    let misplaced = ann.post(
        "/settings",
        &[("language", "en"), ("timezone", "x"), ("token", token)],
    );
    assert!(!misplaced.html.contains(token), "{}", misplaced.html);
}
