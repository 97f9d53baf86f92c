//! Runs: what failed by code and the lists behind it, the report, the files, and the pace.

use crate::support::service::Service;
use crate::support::visitor::Visitor;
use crate::support::{App, Setup, WORKFLOW, contracts};

/// Refused by two codes in two currencies, and one that is charged.
fn several_refused() -> App {
    let app = App::with_contracts(
        "contract_id,plan,amount,currency,active\nA-terminated,x,10.00,HKD,yes\nB-terminated,x,20.50,HKD,yes\n\
         D-terminated,x,7.00,USD,yes\nE-poor,x,5.00,HKD,yes\nF,x,6.00,HKD,yes\n",
    );
    app.run().exits(3);
    app
}

/// The section of failures by code.
fn codes(page: &str) -> &str {
    let after = page.split("id=\"codes\"").nth(1);
    let after = after.unwrap_or_else(|| panic!("no failures by code: {page}"));
    after.split("</section>").next().unwrap()
}

/// The addresses of items of a part of a page, as a browser reads them.
fn links(part: &str) -> Vec<String> {
    let after = part.split("href=\"").skip(1);
    let links = after.map(|rest| rest.split('"').next().unwrap().replace("&#38;", "&"));
    links
        .filter(|link| link.starts_with("/items?"))
        .map(|link| link.replace("&amp;", "&"))
        .collect()
}

fn rows(page: &str) -> usize {
    page.matches("<td class=\"n\" data-label=\"Item\"").count()
}

#[test]
fn a_row_of_failures_leads_to_just_its_items_everywhere() {
    let app = several_refused();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/runs/1");
    let listed: Vec<(String, usize)> = links(codes(&page))
        .into_iter()
        .map(|link| (link.clone(), rows(&ann.page(&link))))
        .collect();
    let of = |code: &str, currency: &str| {
        let query = format!(
            "/items?run=1&job=deduct&state=failed&code={}&currency={currency}",
            code.replace('_', "%5F")
        );
        let found = listed.iter().find(|(link, _)| *link == query);
        found.unwrap_or_else(|| panic!("{query}: {listed:?}")).1
    };
    assert_eq!(of("CONTRACT_NOT_EXIST", "HKD"), 2);
    assert_eq!(of("CONTRACT_NOT_EXIST", "USD"), 1);
    assert_eq!(of("NOT_ENOUGH", "HKD"), 1);
    assert_eq!(listed.len(), 3, "{listed:?}");
    // A part of a code is no code.
    assert_eq!(
        rows(&ann.page("/items?run=1&state=failed&code=CONTRACT")),
        0
    );
    assert_eq!(rows(&ann.page("/items?run=1&state=failed&code=none")), 0);
    assert_eq!(ann.get("/items?currency=hkd").status, 400);
    // What is done to all that match is done to just these.
    let list =
        ann.page("/items?run=1&job=deduct&state=failed&code=CONTRACT_NOT_EXIST&currency=HKD");
    assert!(list.contains("/bulk?action=retry"), "{list}");
    let filter = "run=1&job=deduct&state=failed&code=CONTRACT_NOT_EXIST&currency=HKD";
    let count = ann.page(&format!("/bulk?action=retry&{filter}"));
    assert!(
        count.contains("<dd>2</dd>") && count.contains("30.50"),
        "{count}"
    );
    let begun = ann.submit(&count, "/bulk", &[("why", "signed anew")]);
    assert_eq!(begun.status, 303, "{}", begun.html);
    let done = ann.page("/bulk/1");
    assert!(done.contains("CONTRACT_NOT_EXIST") && done.contains("HKD"));
    // The command, the API and the exports have the same filter.
    let by_command = app.json_lines(&["items", "--code", "NOT_ENOUGH", "--json"]);
    assert_eq!(by_command.len(), 1);
    assert_eq!(by_command[0]["item"], 4);
    let in_usd = app.json_lines(&["items", "--currency", "USD", "--json"]);
    assert_eq!(in_usd.len(), 1);
    let token = service.token("bob", "viewer");
    let api = service.get(&token, "/api/v1/items?run=1&code=NOT_ENOUGH&currency=HKD");
    assert_eq!(api.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(
        service.get(&token, "/api/v1/items?currency=dollars").status,
        400
    );
    let export = "/api/v1/exports/items?run=1&code=NOT_ENOUGH&currency=HKD&format=csv";
    let export = service.get(&token, export).body;
    let export = export.as_str().unwrap();
    assert_eq!(export.trim_end().lines().count(), 2, "{export}");
    let counted = app.json(&[
        "retry",
        "--state",
        "failed",
        "--code",
        "NOT_ENOUGH",
        "--json",
    ]);
    assert_eq!(counted["items"], 1);
}

#[test]
fn a_code_is_said_in_words_on_the_run_and_on_the_item_with_what_to_do() {
    let app = several_refused();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "operator");
    let page = ann.page("/runs/1");
    assert!(
        codes(&page).contains("the payer&#39;s balance is not enough"),
        "{page}"
    );
    let item = ann.page("/items/4");
    let why = item.split("class=\"verdict bad\"").nth(1).unwrap();
    let why = why.split("</section>").next().unwrap();
    for said in [
        "the payer&#39;s balance is not enough",
        "NOT_ENOUGH",
        "Ask the payer to put money into the account",
    ] {
        assert!(why.contains(said), "{said}: {why}");
    }
    for (language, said) in [("zh-Hans", "付款人余额不足"), ("zh-Hant", "付款人結餘不足")]
    {
        ann.post("/settings", &[("language", language), ("timezone", "")]);
        assert!(ann.page("/items/4").contains(said));
        assert!(codes(&ann.page("/runs/1")).contains(said));
    }
}

#[test]
fn the_failures_by_code_are_in_what_a_run_tells_while_it_goes_on() {
    let app = several_refused();
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let live = ann.get("/runs/1/live");
    assert_eq!(live.status, 200);
    assert!(codes(&live.html).contains("NOT_ENOUGH"), "{}", live.html);
    // At its end there is no pace and no time left.
    assert!(!live.html.contains("Items a second"), "{}", live.html);
    assert!(!live.html.contains("left"), "{}", live.html);
}

#[test]
fn the_reports_of_a_run_and_of_an_item_are_links_that_open() {
    let app = App::with_contracts(&contracts("C", 2));
    app.run().exits(0);
    let name = "hk/reconcile-2026-11-01-2026-11-02-run-1";
    {
        let service = Service::of(&app);
        let ann = Visitor::of(&service, "eve", "viewer");
        for page in ["/runs/1", "/items/1"] {
            assert!(!ann.page(page).contains("/api/v1/reports/"), "{page}");
        }
    }
    app.write("files/reports/runs/run-1.html", "<p>the run</p>");
    app.write("files/reports/runs/run-1.xlsx", "a workbook");
    app.write(&format!("files/reports/{name}.html"), "<p>the days</p>");
    app.write(&format!("files/reports/{name}.csv"), "a,b\n");
    let place = format!("/srv/old/reports/{name}.html");
    app.change(&format!(
        "update items set result = '{{\"report_html\": \"{place}\", \"lines\": 3}}' where id = 1"
    ));
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let run = ann.page("/runs/1");
    for format in ["html", "xlsx"] {
        let path = format!("/api/v1/reports/runs/run-1.{format}");
        assert!(run.contains(&format!("href=\"{path}\"")), "{path}: {run}");
        assert_eq!(ann.get(&path).status, 200, "{path}");
    }
    let item = ann.page("/items/1");
    for format in ["html", "csv"] {
        let path = format!("/api/v1/reports/{name}.{format}");
        assert!(item.contains(&format!("href=\"{path}\"")), "{path}: {item}");
        assert_eq!(ann.get(&path).status, 200, "{path}");
    }
    assert!(!item.contains("/srv/old"), "no place on the server: {item}");
}

#[test]
fn a_run_names_its_file_and_the_version_of_its_workflow() {
    let app = App::with_contracts(&contracts("C", 2));
    app.run().exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let token = service.token("log", "viewer");
    let view = service.get(&token, "/api/v1/runs/1").body;
    let version = view["workflow_version"].as_str().unwrap();
    for path in ["/runs", "/runs/1"] {
        let page = ann.page(path);
        assert!(page.contains("contracts.csv"), "{path}: {page}");
        assert!(page.contains(version), "{path}: {page}");
        assert!(!page.to_lowercase().contains(">uploaded"), "{path}: {page}");
    }
}

#[test]
fn what_was_sent_over_the_time_of_a_run_is_drawn_and_stands_in_a_table() {
    let app = App::with_contracts(&contracts("C", 30));
    app.run().exits(0);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    let page = ann.page("/runs/1");
    let pace = page.split("id=\"pace\"").nth(1).unwrap();
    let pace = pace.split("</section>").next().unwrap();
    let bars = pace.matches("<rect").count();
    assert!((1..=40).contains(&bars), "{pace}");
    let cells = pace.split("<tbody>").nth(1).unwrap().split("<tr>").skip(1);
    let items: u64 = cells
        .map(|row| {
            let cell = row.split("<td class=\"n\">").nth(1).unwrap();
            let count = cell.split('<').next().unwrap();
            count.parse::<u64>().unwrap()
        })
        .sum();
    assert_eq!(items, 30, "{pace}");
    // Nothing was sent of what waits.
    let app = App::of(Setup {
        contracts: contracts("D", 2),
        ..Setup::default()
    });
    let pause = ["pause", "all", "--author", "ann", "--reason", "a test"];
    app.payrun(&pause).exits(0);
    app.payrun(&["run", WORKFLOW, "--wait", "1s"]);
    let service = Service::of(&app);
    let ann = Visitor::of(&service, "ann", "viewer");
    assert!(!ann.page("/runs/1").contains("id=\"pace\""));
}
