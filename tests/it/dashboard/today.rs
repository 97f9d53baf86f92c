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
    for list in ["/approvals", "/alerts", "/runs"] {
        assert!(page.contains(&format!("href=\"{list}\"")), "{list}");
    }
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
