//! The first page, and finding a payment from it.

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, Setup, WORKFLOW, contracts};

#[test]
fn a_quiet_day_says_so_and_each_number_leads_to_its_list() {
    let app = App::with_contracts(&contracts("C", 3));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let page = ann.page("/");
    assert!(page.contains("Nothing needs a person"));
    for list in ["/approvals", "/alerts"] {
        assert!(page.contains(&format!("href=\"{list}\"")), "{list}");
    }
    app.run().exits(0);
    let page = ann.page("/");
    assert!(page.contains("href=\"/runs\""), "{page}");
    for (state, items) in [("", 3), ("state=succeeded&#38;", 3), ("state=", 0)] {
        let link = page
            .split("href=\"")
            .map(|rest| rest.split('"').next().unwrap())
            .find(|link| {
                let query = link.strip_prefix("/items?").unwrap_or_default();
                match state {
                    "" => query.starts_with("since="),
                    "state=" => query.contains("awaiting_approval&"),
                    state => query.starts_with(state),
                }
            })
            .unwrap_or_else(|| panic!("{state}: {page}"));
        let list = ann.page(&link.replace("&#38;", "&"));
        let rows = list.matches("<td class=\"n\" data-label=\"Item\"").count();
        assert_eq!(rows, items, "{link}: {list}");
    }
}

#[test]
fn lists_since_a_day_and_their_files_have_the_same_items_and_offer_nothing_for_all() {
    let app = App::with_contracts(&contracts("C", 3));
    app.run().exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let past = ann.page("/items?state=succeeded&since=2026-01-01");
    assert_eq!(past.matches("data-label=\"Item\"").count(), 3);
    assert!(past.contains("payrun items --state=succeeded --since=2026-01-01"));
    assert!(
        past.contains("state=succeeded&#38;since=2026-01-01&amp;format=csv"),
        "{past}"
    );
    let planned = ann.page("/items?state=failed&since=2026-01-01");
    assert!(!planned.contains("/bulk?action"), "{planned}");
    let future = ann.page("/items?since=2999-01-01");
    assert!(future.contains("No item is like this"), "{future}");
    assert_eq!(ann.get("/items?since=yesterday").status, 400);
    assert_eq!(
        ann.get("/bulk?action=retry&state=failed&since=2026-01-01")
            .status,
        400
    );
}

#[test]
fn a_batch_that_waits_is_told_of_to_whoever_may_decide_it_and_to_others_as_waiting() {
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        job: "    approval: {}\n",
        ..Setup::default()
    });
    let author = app.token("abe", "admin");
    app.payrun_as(&author, &["run", WORKFLOW]).exits(4);
    let service = Service::of(&app);
    let bob = Visitor::of(&service, "bob", "approver");
    let eve = Visitor::of(&service, "eve", "viewer");
    let abe = Visitor::with_token(&service, &author);
    let asked = "One batch waits for you to approve or reject it";
    let told = "One batch waits for an approver";
    for (visitor, says, not) in [
        (&bob, asked, told),
        (&eve, told, asked),
        (&abe, told, asked),
    ] {
        let page = visitor.page("/");
        assert!(page.contains(says), "{says}: {page}");
        assert!(!page.contains(not), "{not}: {page}");
        assert!(!page.contains("Nothing needs a person"), "{page}");
    }
}

#[test]
fn a_run_is_found_by_its_number_with_the_word_before_it() {
    let app = App::with_contracts(&contracts("C", 1));
    app.run().exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    for text in [
        "run%201",
        "Run%20%231",
        "%E8%BF%90%E8%A1%8C%201",
        "%E5%9F%B7%E8%A1%8C1",
    ] {
        let found = ann.get(&format!("/search?q={text}"));
        assert_eq!(
            (found.status, found.location.as_str()),
            (303, "/runs/1"),
            "{text}"
        );
    }
    assert!(
        ann.page("/search?q=run%2099")
            .contains("Nothing has this number")
    );
}

#[test]
fn what_needs_a_person_is_on_the_first_page_with_its_money() {
    let app = App::with_contracts(&contracts("C", 2));
    app.payrun(&[
        "lane",
        "suspend",
        "hk",
        "--reason",
        "the <b>bank</b> is away",
    ])
    .exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let page = ann.page("/");
    assert!(!page.contains("Nothing needs a person"), "{page}");
    assert!(
        page.contains("the &#60;b&#62;bank&#60;/b&#62; is away"),
        "{page}"
    );
}

#[test]
fn the_one_hit_is_shown_at_once_and_several_are_listed() {
    let app = App::with_contracts(&contracts("C", 3));
    app.payrun(&["run", WORKFLOW]).exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let token = service.token("log", "viewer");
    let items = service.get(&token, "/api/v1/items").body["items"].clone();
    let items = items.as_array().unwrap();
    let order_no = items[0]["order_no"].as_str().unwrap();
    let found = ann.get(&format!("/search?q={order_no}"));
    assert_eq!(found.status, 303);
    assert_eq!(found.location, format!("/items/{}", items[0]["item"]));
    let listed = ann.page(&format!(
        "/search?q={}",
        &items[0]["key"].as_str().unwrap()[..1]
    ));
    for item in items {
        assert!(listed.contains(&format!("href=\"/items/{}\"", item["item"])));
    }
    assert!(
        ann.page("/search?q=nothing-has-this")
            .contains("Nothing has this number")
    );
    let wrong = ann.get("/search?amount=88.00");
    assert_eq!(wrong.status, 400);
    assert!(wrong.html.contains("role=\"alert\""));
}

#[test]
fn the_last_backup_stands_on_the_first_page() {
    let app = App::of(Setup {
        contracts: contracts("C", 1),
        server: false,
        ..Setup::default()
    });
    app.payrun(&["runs"]).exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    assert!(ann.page("/").contains("payrun backup FILE"));
    app.payrun(&["backup", "kept.db"]).exits(0);
    let page = ann.page("/");
    assert!(page.contains("kept.db"), "{page}");
    assert!(!page.contains("payrun backup FILE"), "{page}");
}
