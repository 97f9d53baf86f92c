//! Batches that wait for approval, on their pages: the sum is typed, nobody approves their own, and
//! what was not shown is not approved.

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, Setup, WORKFLOW, contracts, until};

const BATCH: &str = "/approvals/1/deduct";
const APPROVE: &str = "/approvals/1/deduct/approve";
const REJECT: &str = "/approvals/1/deduct/reject";

/// A project with a batch of three charges, 39.00 to 41.00 HKD, that waits for one person or more.
struct WaitingBatch {
    app: App,
    ann: String,
}

impl WaitingBatch {
    fn of(contracts: String, approval: &'static str) -> Self {
        let app = App::of(Setup {
            contracts,
            job: approval,
            ..Setup::default()
        });
        let ann = app.token("ann", "admin");
        app.payrun_as(&ann, &["run", WORKFLOW]).exits(4);
        Self { app, ann }
    }

    fn new() -> Self {
        Self::of(contracts("C", 3), "    approval: {}\n")
    }

    fn audited(&self) -> usize {
        let of_batch =
            |line: &serde_json::Value| line["action"].as_str().unwrap().starts_with("approval.");
        let lines = self.app.json_lines(&["audit", "export"]);
        lines.iter().filter(|line| of_batch(line)).count()
    }
}

#[test]
fn a_batch_is_approved_by_typing_its_sum_and_a_wrong_sum_tells_the_ledger_nothing() {
    let waiting = WaitingBatch::new();
    let service = Service::of(&waiting.app);
    let bob = Visitor::of(&service, "bob", "approver");
    let list = bob.page("/approvals");
    assert!(list.contains(&format!("href=\"{BATCH}\"")) && list.contains("120.00"));
    let page = bob.page(BATCH);
    assert!(page.contains("No row is certain to fail"), "{page}");
    for wrong in ["", "12", "120.01", "12,0.00", "USD 120.00"] {
        let refused = bob.submit(
            &page,
            APPROVE,
            &[("sum-HKD", wrong), ("reason", "as <agreed>")],
        );
        assert_eq!(refused.status, 422, "{wrong}");
        assert!(refused.html.contains("That is not the sum of this batch"));
        // What was typed is not lost, and is a text.
        assert!(
            refused.html.contains("as &#60;agreed&#62;"),
            "{}",
            refused.html
        );
    }
    assert_eq!(waiting.audited(), 0);
    let no_reason = bob.submit(&page, APPROVE, &[("sum-HKD", "120"), ("reason", " ")]);
    assert_eq!(no_reason.status, 422);
    let typed = [("sum-HKD", "HKD 120.00"), ("reason", "as agreed")];
    let approved = bob.submit(&page, APPROVE, &typed);
    assert_eq!((approved.status, approved.location.as_str()), (303, BATCH));
    // Sent once more, it does nothing more and shows the same.
    assert_eq!(bob.submit(&page, APPROVE, &typed).status, 303);
    assert_eq!(waiting.audited(), 1);
    let page = bob.page(BATCH);
    assert!(page.contains("state succeeded\">approved") && page.contains("as agreed"));
    assert!(!page.contains(APPROVE));
    until("the run ends", || {
        bob.page("/runs/1").contains("<th>") && waiting.app.by_state()["succeeded"] == 3
    });
}

#[test]
fn nobody_approves_a_run_of_their_own_and_other_roles_do_not_approve() {
    let waiting = WaitingBatch::new();
    let service = Service::of(&waiting.app);
    let bob = Visitor::of(&service, "bob", "approver");
    let form = bob.page(BATCH);
    let typed = [("sum-HKD", "120.00"), ("reason", "mine")];
    let ann = Visitor::with_token(&service, &waiting.ann);
    let own = ann.page(BATCH);
    assert!(own.contains("Somebody else has to approve it") && !own.contains(APPROVE));
    let refused = ann.submit(&form, APPROVE, &typed);
    assert_eq!(refused.status, 409, "{}", refused.html);
    for role in ["viewer", "operator"] {
        let other = Visitor::of(&service, role, role);
        let page = other.page(BATCH);
        assert!(page.contains("You can look, and not approve"));
        assert!(!page.contains(APPROVE) && !page.contains(REJECT));
        assert_eq!(other.submit(&form, APPROVE, &typed).status, 403, "{role}");
        assert_eq!(other.submit(&form, REJECT, &typed).status, 403, "{role}");
    }
    assert_eq!(waiting.audited(), 0);
    // To withdraw it is no approval.
    assert_eq!(
        ann.submit(&own, REJECT, &[("reason", "not yet")]).status,
        303
    );
    assert!(ann.page(BATCH).contains("state failed\">rejected"));
}

#[test]
fn of_two_who_decide_at_once_one_has_decided_and_the_other_is_told() {
    let waiting = WaitingBatch::new();
    let service = Service::of(&waiting.app);
    let bob = Visitor::of(&service, "bob", "approver");
    let cleo = Visitor::of(&service, "cleo", "approver");
    let (of_bob, of_cleo) = (bob.page(BATCH), cleo.page(BATCH));
    let (approved, rejected) = std::thread::scope(|scope| {
        let typed = [("sum-HKD", "120"), ("reason", "go")];
        let approved = scope.spawn(move || bob.submit(&of_bob, APPROVE, &typed).status);
        let rejected =
            scope.spawn(move || cleo.submit(&of_cleo, REJECT, &[("reason", "no")]).status);
        (approved.join().unwrap(), rejected.join().unwrap())
    });
    let state = waiting.app.json(&["approvals", "list", "--all", "--json"])[0]["state"].clone();
    match (approved, rejected) {
        // Approved first, it is revoked; nothing is sent behind that.
        (303, 303) => assert_eq!(state, "revoked"),
        (409, 303) => assert_eq!(state, "rejected"),
        // All was sent before it could be revoked.
        (303, 409) => assert_eq!(state, "approved"),
        other => panic!("{other:?} {state}"),
    }
}

#[test]
fn two_persons_are_two_and_one_counts_once() {
    let waiting = WaitingBatch::of(contracts("C", 3), "    approval: { by: 2 }\n");
    let service = Service::of(&waiting.app);
    let bob = Visitor::of(&service, "bob", "approver");
    let cleo = Visitor::of(&service, "cleo", "approver");
    let typed = [("sum-HKD", "120"), ("reason", "go")];
    assert_eq!(bob.submit(&bob.page(BATCH), APPROVE, &typed).status, 303);
    let page = bob.page(BATCH);
    assert!(page.contains("1 / 2") && page.contains("Another person has to"));
    assert!(!page.contains(APPROVE));
    assert_eq!(bob.submit(&cleo.page(BATCH), APPROVE, &typed).status, 409);
    assert_eq!(cleo.submit(&cleo.page(BATCH), APPROVE, &typed).status, 303);
    assert!(cleo.page(BATCH).contains("2 / 2"));
    until("all are charged", || waiting.app.charges() == 3);
    service.stop();
}

#[test]
fn what_is_approved_is_what_was_shown() {
    let waiting = WaitingBatch::new();
    let service = Service::of(&waiting.app);
    let bob = Visitor::of(&service, "bob", "approver");
    let other = "0".repeat(64);
    let page = bob.page(BATCH);
    let key = page
        .split("name=\"key\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let typed = [
        ("key", key),
        ("hash", other.as_str()),
        ("sum-HKD", "120"),
        ("reason", "go"),
    ];
    let refused = bob.post(APPROVE, &typed);
    assert_eq!(refused.status, 409);
    assert!(
        refused.html.contains("look at it again"),
        "{}",
        refused.html
    );
    assert_eq!(bob.get("/approvals/1/other").status, 404);
    assert_eq!(bob.get("/approvals/9/deduct").status, 404);
    assert_eq!(bob.get(&format!("{BATCH}?after=nowhere")).status, 400);
}

#[test]
fn a_batch_of_which_nothing_is_left_waits_for_nobody() {
    let batch = WaitingBatch::of(contracts("C", 2), "    approval: {}\n");
    let app = &batch.app;
    let waiting = || {
        let listed = app.json(&["approvals", "list", "--json"]);
        listed.as_array().unwrap().len()
    };
    for (item, left) in [("1", 1), ("2", 0)] {
        assert_eq!(waiting(), 1);
        app.payrun(&["cancel", item, "--author", "ann", "--reason", "not meant"])
            .exits(0);
        assert_eq!(waiting(), left, "after item {item}");
    }
    let service = Service::of(app);
    let bob = Visitor::of(&service, "bob", "approver");
    let page = bob.page("/approvals");
    let decided = page.split("id=\"decided\"").nth(1).unwrap();
    assert!(decided.contains(BATCH), "{page}");
}

#[test]
fn rows_are_paged_the_largest_first_and_what_they_say_is_text() {
    let mut rows = contracts("C", 120);
    rows.push_str("\"<script>alert(1)</script>\",<img src=x>,9999.00,HKD,yes\n");
    let waiting = WaitingBatch::of(rows, "    approval: {}\n");
    let service = Service::of(&waiting.app);
    let bob = Visitor::of(&service, "bob", "approver");
    let mut seen = Vec::new();
    let mut next = Some(BATCH.to_owned());
    while let Some(path) = next {
        let page = bob.page(&path);
        assert!(
            !page.contains("<img") && !page.contains("alert(1)<"),
            "{path}"
        );
        let rows = page.split("id=\"rows\"").nth(1).unwrap();
        let keys = rows.split("href=\"/items/").skip(1);
        seen.extend(keys.map(|row| row.split(['>', '<']).nth(1).unwrap().to_owned()));
        next = rows
            .split("rel=\"next\" href=\"")
            .nth(1)
            .map(|rest| rest.split('#').next().unwrap().to_owned());
    }
    assert_eq!(
        seen.iter().collect::<std::collections::BTreeSet<_>>().len(),
        seen.len()
    );
    let rejected = waiting.app.by_state()["rejected"].as_u64().unwrap_or(0);
    assert_eq!(seen.len() as u64 + rejected, 121, "{seen:?}");
}
