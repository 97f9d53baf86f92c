//! Many items at once: what was counted is done, or nothing is, and what was done has a page.

use serde_json::json;

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use payrun::sandbox::faults::{Fault, FaultPlan};

use crate::support::{App, PATIENCE, Setup, WORKFLOW, contracts, until};

/// Items that are planned and stay so.
fn planned(items: u32) -> App {
    let app = App::with_contracts(&contracts("C", items));
    let pause = ["pause", "all", "--author", "ann", "--reason", "a test"];
    app.payrun(&pause).exits(0);
    app.payrun(&["run", WORKFLOW, "--wait", "1s"]);
    assert_eq!(app.by_state()["planned"], items);
    app
}

const COUNT: &str = "/bulk?action=cancel&run=1&state=planned";

fn set_of(page: &str) -> String {
    let after = page.split("name=\"set\" value=\"").nth(1).unwrap();
    after.split('"').next().unwrap().to_owned()
}

/// The page of what a form began, once that has ended.
fn done_page(visitor: &Visitor<'_>, location: &str) -> String {
    until("it is done", || {
        visitor.page(location).contains("state succeeded\">done")
    });
    visitor.page(location)
}

#[test]
fn what_was_counted_is_done_and_is_a_thing_with_a_page() {
    // More than a page has, more than one commit has.
    let app = planned(230);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let count = ann.page(COUNT);
    assert!(count.contains("<dd>230</dd>") && count.contains(" HKD</dd>"));
    let set = set_of(&count);
    assert!(count.contains(&format!(
        "payrun cancel --run=1 --state=planned --yes --expect {set}"
    )));
    let why = [("why", "a wrong file")];
    let begun = ann.submit(&count, "/bulk", &why);
    assert_eq!(
        (begun.status, begun.location.as_str()),
        (303, "/bulk/1"),
        "{}",
        begun.html
    );
    let page = done_page(&ann, "/bulk/1");
    for said in [
        "230 / 230",
        "ann",
        "a wrong file",
        "dashboard (operator)",
        &set,
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert_eq!(app.by_state(), json!({ "cancelled": 230 }));
    // Sent again, by a reload or an impatient hand, it is the same.
    assert_eq!(ann.submit(&count, "/bulk", &why).location, "/bulk/1");
    let other = ann.submit(&count, "/bulk", &[("why", "a wrong file"), ("more", "x")]);
    assert_eq!(other.status, 400);
    assert_eq!(ann.page("/bulk").matches("href=\"/bulk/").count(), 1);
    // The API and the command tell the same.
    let token = service.token("bob", "viewer");
    let api = service.get(&token, "/api/v1/bulk-actions/1").body;
    assert_eq!(
        (&api["state"], &api["moved"], &api["set"]),
        (&json!("done"), &json!({ "cancelled": 230 }), &json!(set))
    );
    assert_eq!(api["chosen_by"]["states"], json!(["planned"]));
    let listed = service.get(&token, "/api/v1/bulk-actions").body;
    assert_eq!(listed["bulk_actions"][0]["bulk_action"], 1);
    assert_eq!(service.get(&token, "/api/v1/bulk-actions/9").status, 404);
    assert_eq!(app.json(&["bulk", "1", "--json"])["items"], 230);
    let audit = service.get(&token, "/api/v1/audit").body.to_string();
    assert!(audit.contains("bulk_action"), "{audit}");
}

/// The accident of another product: the page was loaded again, the filter was lost, and the button
/// that said "all that match" ended everything.
#[test]
fn a_filter_that_is_lost_before_all_is_refused_by_the_set() {
    let app = planned(12);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let one = "/bulk?action=cancel&run=1&state=planned&job=no-such-job";
    assert!(ann.page(one).contains("there is nothing to do"));
    let count = ann.page(COUNT);
    let (set, key) = (set_of(&count), "0123456789abcdef0123456789abcdef");
    let send = |fields: &[(&str, &str)]| {
        let why = [("key", key), ("set", &set), ("why", "x")];
        ann.post("/bulk", &[&why[..], fields].concat())
    };
    // Other items moved meanwhile, and the filter is lost, wider, or of another action.
    app.payrun(&["cancel", "1", "--author", "ann", "--reason", "first"])
        .exits(0);
    let (action, state) = (("action", "cancel"), ("state", "planned"));
    for (fields, status) in [
        (&[][..], 400),
        (&[action][..], 422),
        (&[action, state][..], 409),
        (&[action, ("run", "1"), state][..], 409),
        (
            &[action, ("run", "1"), ("state", "planned,cancelled")][..],
            409,
        ),
        (&[("action", "retry"), ("run", "1"), state][..], 409),
    ] {
        let refused = send(fields);
        assert_eq!(refused.status, status, "{fields:?}: {}", refused.html);
    }
    assert_eq!(app.by_state(), json!({ "planned": 11, "cancelled": 1 }));
    assert!(app.json(&["bulk", "--json"]).as_array().unwrap().is_empty());
    // Without a reason nothing is done either.
    let count = ann.page(COUNT);
    assert_eq!(ann.submit(&count, "/bulk", &[("why", " ")]).status, 422);
    let sent = ann.submit(&count, "/bulk", &[("why", "counted again")]);
    assert_eq!(sent.status, 303, "{}", sent.html);
}

/// What was counted to be tried again is not what was counted to be withdrawn.
#[test]
fn a_set_stands_for_what_is_done_too() {
    let app = planned(3);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let retry = "/bulk?action=retry&run=1&state=planned";
    assert_ne!(set_of(&ann.page(COUNT)), set_of(&ann.page(retry)));
}

#[test]
fn of_two_people_at_one_set_each_item_is_moved_once_and_both_see_what_they_did() {
    let app = planned(60);
    let service = Service::of(&app);
    let (ann, bob) = (
        Visitor::of(&service, "ann", "operator"),
        Visitor::of(&service, "bob", "operator"),
    );
    let (one, other) = (ann.page(COUNT), bob.page(COUNT));
    assert_eq!(set_of(&one), set_of(&other));
    let first = ann.submit(&one, "/bulk", &[("why", "mine")]);
    done_page(&ann, &first.location);
    // She was first: what he counted is not there any more.
    let second = bob.submit(&other, "/bulk", &[("why", "mine too")]);
    assert_eq!(second.status, 409, "{}", second.html);
    assert!(second.html.contains("count again"), "{}", second.html);
    assert_eq!(app.by_state(), json!({ "cancelled": 60 }));
}

#[test]
fn a_process_that_dies_in_the_middle_leaves_a_row_that_says_what_was_done() {
    let app = planned(450);
    let command = [
        "cancel", "--run", "1", "--state", "planned", "--yes", "--author", "ann", "--reason",
        "stop",
    ];
    app.start_to_die_at(&command, "bulk_step", 3).wait(PATIENCE);
    let row = app.json(&["bulk", "1", "--json"]);
    assert_eq!(
        (&row["handled"], &row["items"], &row["moved"]),
        (&json!(400), &json!(450), &json!({ "cancelled": 400 })),
        "{row}"
    );
    assert_eq!(app.by_state(), json!({ "planned": 50, "cancelled": 400 }));
    app.change("update bulk_actions set went_on_at = went_on_at - 120000");
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/bulk/1");
    assert!(
        page.contains("broken off") && page.contains("50 items had no turn"),
        "{page}"
    );
    let count = ann.page(COUNT);
    let rest = ann.submit(&count, "/bulk", &[("why", "the rest")]);
    done_page(&ann, &rest.location);
    assert_eq!(app.by_state(), json!({ "cancelled": 450 }));
}

#[test]
fn what_was_left_as_it_was_is_named_with_the_reason() {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nA-terminated,x,10.00,HKD,yes\nB-terminated,x,20.50,HKD,yes\n",
    );
    app.run().exits(3);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    // What has failed cannot be withdrawn.
    let count = ann.page("/bulk?action=cancel&state=failed");
    let begun = ann.submit(&count, "/bulk", &[("why", "by mistake")]);
    let page = done_page(&ann, &begun.location);
    assert!(page.contains("its state does not allow it"), "{page}");
    assert!(page.contains("/items/1\"") && page.contains("/items/2\""));
    let token = service.token("bob", "viewer");
    let api = service.get(&token, "/api/v1/bulk-actions/1?limit=1").body;
    assert_eq!(
        (
            &api["refused"],
            &api["refusals"][0]["code"],
            &api["next_after"]
        ),
        (&json!(2), &json!("not_allowed"), &json!(1))
    );
    let rest = service.get(&token, "/api/v1/bulk-actions/1?after=1").body;
    assert_eq!(rest["refusals"][0]["item"], 2);
}

/// The address of the count that a page of a bulk action offers to take it back.
fn undo_of(page: &str) -> String {
    let section = page.split("id=\"undo\"").nth(1).unwrap();
    let address = section.split("href=\"/bulk?").nth(1).unwrap();
    let address = address.split('"').next().unwrap().replace("&#38;", "&");
    format!("/bulk?{address}")
}

#[test]
fn what_was_not_sent_since_is_taken_back_and_nothing_else() {
    let app = planned(6);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let begun = ann.submit(&ann.page(COUNT), "/bulk", &[("why", "a wrong file")]);
    let page = done_page(&ann, &begun.location);
    // Its items, as a list that says what it is a list of; and from an item back to it.
    assert!(page.contains("/items?bulk_action=1\""), "{page}");
    let items = ann.page("/items?bulk_action=1");
    assert_eq!(items.matches("href=\"/items/").count(), 6, "{items}");
    assert!(items.contains("payrun items --bulk-action=1"), "{items}");
    assert!(ann.page("/items/3").contains("href=\"/bulk/1\""));
    // Somebody has touched one since.
    let by = ["--author", "ann", "--reason", "this one is right"];
    let touch = |verb: &str| app.payrun(&[&[verb, "2"][..], &by].concat()).exits(0);
    touch("retry");
    touch("cancel");
    let count = ann.page(&undo_of(&page));
    assert!(count.contains("<dd>5</dd>"), "{count}");
    assert!(
        count.contains("payrun retry --state=cancelled --bulk-action=1 --untouched --yes"),
        "{count}"
    );
    let undone = ann.submit(&count, "/bulk", &[("why", "the file was right")]);
    let undone = done_page(&ann, &undone.location);
    assert_eq!(app.by_state(), json!({ "planned": 5, "cancelled": 1 }));
    // Done twice there is nothing left to do.
    assert!(
        ann.page(&undo_of(&page))
            .contains("nothing can be taken back")
    );
    // What is sent meanwhile is not what was counted, and is not taken back.
    let count = ann.page(&undo_of(&undone));
    assert!(count.contains("<dd>5</dd>"), "{count}");
    let suspended = [
        "pause", "contract", "C-0005", "--author", "ann", "--reason", "stays",
    ];
    app.payrun(&suspended).exits(0);
    let resume = ["resume", "all", "--author", "ann", "--reason", "go on"];
    app.payrun(&resume).exits(0);
    until("they are sent", || app.by_state()["succeeded"] == 4);
    let late = ann.submit(&count, "/bulk", &[("why", "too late")]);
    assert_eq!(late.status, 409, "{}", late.html);
    let count = ann.page(&undo_of(&undone));
    assert!(count.contains("<dd>1</dd>"), "{count}");
    let rest = ann.submit(&count, "/bulk", &[("why", "what is left of it")]);
    done_page(&ann, &rest.location);
    assert_eq!(app.by_state(), json!({ "succeeded": 4, "cancelled": 2 }));
}

#[test]
fn the_api_and_the_command_take_a_bulk_action_back_as_the_page_does() {
    let app = planned(3);
    let service = Service::of(&app);
    let (ann, vic) = (
        service.token("ann", "operator"),
        Visitor::of(&service, "vic", "viewer"),
    );
    let cancel = |more: &[&str]| {
        let of = ["cancel", "--run", "1", "--state", "planned", "--yes"];
        let by = ["--author", "ann", "--reason", "stop"];
        app.payrun(&[&of[..], more, &by].concat()).exits(0);
    };
    cancel(&[]);
    let row = service.get(&ann, "/api/v1/bulk-actions/1").body;
    let undo = &row["undo"];
    assert_eq!(
        (&undo["action"], &undo["chosen_by"]["untouched"]),
        (&json!("retry"), &json!(true)),
        "{row}"
    );
    let listed = service.get(&ann, "/api/v1/items?bulk_action=1").body;
    assert_eq!(listed["items"].as_array().unwrap().len(), 3);
    let lonely = service.get(&ann, "/api/v1/items?untouched=true");
    assert_eq!(lonely.status, 400, "{:?}", lonely.body);
    let of_item = service.get(&ann, "/api/v1/items/1").body;
    assert_eq!(of_item["bulk_actions"][0]["bulk_action"], 1, "{of_item}");
    // A viewer sees the items, and is offered nothing.
    let page = vic.page("/bulk/1");
    assert!(page.contains("/items?bulk_action=1") && !page.contains("id=\"undo\""));
    // What was said to be chosen is what is sent back.
    let body = json!({
        "action": undo["action"], "states": undo["chosen_by"]["states"],
        "bulk_action": 1, "untouched": true,
    });
    let send = |body: &serde_json::Value| {
        let request = service.request(reqwest::Method::POST, "/api/v1/items/bulk");
        let request = request.bearer_auth(&ann);
        let request = request.header("content-type", "application/json");
        service.send(request.body(body.to_string())).body
    };
    let counted = send(&body);
    assert_eq!(counted["items"], 3, "{counted}");
    let mut confirmed = body.clone();
    confirmed["set"] = counted["set"].clone();
    confirmed["reason"] = json!("it was right");
    let done = send(&confirmed);
    assert_eq!(done["moved"], json!({ "planned": 3 }), "{done}");
    // And by the command that the other names.
    let said = app.payrun(&["bulk", "2"]).stdout;
    assert!(
        said.contains("payrun cancel --state planned,pending,unknown --bulk-action 2 --untouched"),
        "{said}"
    );
    app.payrun(&["retry", "1", "--author", "ann", "--reason", "no"]);
    cancel(&["--bulk-action", "2", "--untouched"]);
    assert_eq!(app.by_state(), json!({ "cancelled": 3 }));
    let shown = app.payrun(&["show", "--item", "1"]).stdout;
    assert!(
        shown.contains("1 (cancel), 2 (retry), 3 (cancel)"),
        "{shown}"
    );
}

/// What may be under way was only withdrawn: the page says that this is not taken back.
#[test]
fn what_may_be_under_way_and_was_withdrawn_is_not_tried_again_by_an_undo() {
    // No order arrives, nothing is answered, and nobody asks before the test has ended.
    let app = App::of(Setup {
        contracts: contracts("C", 2),
        faults: FaultPlan::only(Fault::SilentBefore),
        timeout: "300ms",
        ..Setup::default()
    });
    let asked = "[50ms, 100ms, 200ms, 400ms], grace: 1200ms";
    app.edit(WORKFLOW, asked, "[1h], grace: 2h");
    app.edit(WORKFLOW, "horizon: 5m", "horizon: 1d");
    app.payrun(&["run", WORKFLOW, "--wait", "2s"]);
    assert_eq!(app.by_state(), json!({ "unknown": 2 }));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let count = ann.page("/bulk?action=cancel&state=unknown");
    let begun = ann.submit(&count, "/bulk", &[("why", "stop")]);
    let page = done_page(&ann, &begun.location);
    assert!(
        page.contains("stays withdrawn until its end is known"),
        "{page}"
    );
    assert!(
        ann.page(&undo_of(&page))
            .contains("nothing can be taken back")
    );
}
