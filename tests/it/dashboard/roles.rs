//! Who may do what: every form of the dashboard, as its routes name them.

use std::fs;

use reqwest::Method;

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, contracts, root};

/// Forms that are about nobody but who sends them.
const OWN: [&str; 3] = ["/sign-in", "/sign-out", "/settings"];

/// The paths that take forms, with 1 for whatever is named in them.
fn forms() -> Vec<String> {
    let text = fs::read_to_string(root().join("src/http/dashboard/mod.rs")).unwrap();
    let mut forms = Vec::new();
    for route in text.split(".route(").skip(1) {
        let route = route.split(".route(").next().unwrap();
        let statement = route.split("\n        .").next().unwrap();
        if !statement.contains("post(") {
            continue;
        }
        let path = route.split('"').nth(1).unwrap();
        let parts = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part });
        forms.push(parts.collect::<Vec<_>>().join("/"));
    }
    forms.retain(|path| !OWN.contains(&path.as_str()));
    forms
}

#[test]
fn a_viewer_sends_no_form_that_changes_anything_and_nobody_does_without_signing_in() {
    let app = App::with_contracts(&contracts("C", 2));
    let service = Service::of(&app);
    let vic = Visitor::of(&service, "vic", "viewer");
    let forms = forms();
    assert!(forms.len() >= 6, "{forms:?}");
    for path in &forms {
        let refused = vic.post(path, &[("key", "0123456789abcdef0123456789abcdef")]);
        assert_eq!(refused.status, 403, "{path}: {}", refused.html);
        let stranger = service.request(Method::POST, path).body("");
        let stranger = service.send(stranger);
        assert_eq!(stranger.status, 303, "{path}");
        assert!(
            stranger.headers["location"]
                .to_str()
                .unwrap()
                .starts_with("/sign-in")
        );
    }
}
