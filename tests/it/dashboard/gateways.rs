//! Lanes and alerts by the dashboard: who may, and what becomes of it.

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, WORKFLOW, contracts};

#[test]
fn an_operator_suspends_and_releases_a_lane_and_a_viewer_does_neither() {
    let app = App::with_contracts(&contracts("C", 2));
    app.payrun(&["run", WORKFLOW]).exits(0);
    let service = Service::of(&app);
    let (ann, vic) = (
        Visitor::of(&service, "ann", "operator"),
        Visitor::of(&service, "vic", "viewer"),
    );
    let seen = vic.page("/gateways");
    assert!(
        seen.contains("<h2 id=\"g-1\">") && !seen.contains("<form method=\"post\" class=\"stack\"")
    );
    let page = ann.page("/gateways");
    let fields = [("time", "2h"), ("reason", "the bank is away")];
    let refused = vic.post(
        "/gateways/suspend",
        &[
            ("key", "0123456789abcdef0123456789abcdef"),
            ("lane", "hk"),
            fields[0],
            fields[1],
        ],
    );
    assert_eq!(refused.status, 403);
    assert!(refused.html.contains("role operator"), "{}", refused.html);
    let sent = ann.submit(&page, "/gateways/suspend", &fields);
    assert_eq!((sent.status, sent.location.as_str()), (303, "/gateways"));
    // The same form once more: it is suspended once, as the audit log has it.
    assert_eq!(ann.submit(&page, "/gateways/suspend", &fields).status, 303);
    let closed = ann.page("/gateways");
    assert!(closed.contains("suspended") && closed.contains("the bank is away"));
    let log = service
        .get(&service.token("log", "viewer"), "/api/v1/audit")
        .body;
    let suspended = log["entries"].as_array().unwrap().iter();
    let suspended: Vec<_> = suspended
        .filter(|entry| entry["action"] == "lane.suspend")
        .collect();
    assert_eq!(suspended.len(), 1, "{log}");
    assert_eq!(suspended[0]["via"], "dashboard (operator)");
    let release = [("reason", "it is back")];
    assert_eq!(
        ann.submit(&closed, "/gateways/release", &release).status,
        303
    );
    assert!(!ann.page("/gateways").contains("the bank is away"));
}

#[test]
fn a_lane_is_slowed_and_never_made_faster_than_payrun_yaml_allows() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/gateways");
    let slow = [
        ("rate", "5/s"),
        ("concurrency", "2"),
        ("reason", "it is busy"),
    ];
    assert_eq!(ann.submit(&page, "/gateways/slow", &slow).status, 303);
    assert!(ann.page("/gateways").contains("5/s"));
    let page = ann.page("/gateways");
    let fast = [
        ("rate", "900000/s"),
        ("concurrency", ""),
        ("reason", "hurry"),
    ];
    let refused = ann.submit(&page, "/gateways/slow", &fast);
    assert_eq!(refused.status, 422, "{}", refused.html);
    let nonsense = [("rate", "many"), ("concurrency", "x"), ("reason", "hurry")];
    assert_eq!(ann.submit(&page, "/gateways/slow", &nonsense).status, 400);
    let silent = [("rate", "1/s"), ("concurrency", ""), ("reason", "")];
    let page = ann.page("/gateways");
    assert_eq!(ann.submit(&page, "/gateways/slow", &silent).status, 422);
}

#[test]
fn what_was_refused_is_done_when_the_same_form_is_sent_as_it_should_be() {
    let app = App::with_contracts(&contracts("C", 1));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/gateways");
    let sent = |reason| {
        ann.submit(
            &page,
            "/gateways/suspend",
            &[("time", ""), ("reason", reason)],
        )
    };
    assert_eq!(sent(" ").status, 422);
    assert_eq!(sent("the bank is away").status, 303);
    assert!(ann.page("/gateways").contains("the bank is away"));
}
