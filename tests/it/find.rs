//! `payrun find` and `GET /api/v1/search`: whatever is known of a payment leads to it, on both
//! engines, and what names a person is found by its hash alone.

use expect_test::expect;
use std::collections::BTreeSet;

use payrun::clock::Clock;
use payrun::ledger::NewNotification;
use payrun::sandbox::faults::{Fault, FaultPlan};
use serde_json::{Value, json};

use crate::statements;
use crate::support::gateways::{personal_key, text_of};
use crate::support::postgres::Schema;
use crate::support::service::Service;
use crate::support::{App, DATE, ExitedProcess, PATIENCE, Running, Setup, WORKFLOW, contracts};

fn on_both(test: impl Fn(bool)) {
    [false, true].into_iter().for_each(test);
}

fn app_with(server: bool, contracts: String) -> App {
    App::of(Setup {
        contracts,
        server,
        ..Setup::default()
    })
}

fn found(app: &App, args: &[&str]) -> Value {
    let ended = app.payrun(&[&["find", "--json"], args].concat()).exits(0);
    serde_json::from_str(&ended.stdout).unwrap()
}

fn nothing(app: &App, args: &[&str]) -> ExitedProcess {
    let ended = app.payrun(&[&["find"], args].concat()).exits(2);
    ended
        .says(expect!["nothing was found"])
        .says(expect!["looked in: "])
}

/// The ways in which each item was found, by its key.
fn ways(found: &Value) -> Vec<(String, BTreeSet<String>)> {
    let ways = |item: &Value| {
        let ways = item["found_by"].as_array().unwrap().iter();
        let ways = ways.map(|way| text_of(way, "text").to_owned());
        (text_of(item, "key").to_owned(), ways.collect())
    };
    found["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(ways)
        .collect()
}

fn by(key: &str, ways: &[&str]) -> Vec<(String, BTreeSet<String>)> {
    vec![(
        key.to_owned(),
        ways.iter().map(|way| (*way).to_owned()).collect(),
    )]
}

/// Days around now, so that midnight is between none of them.
fn around_now() -> [String; 2] {
    [-1, 1].map(|days| {
        (chrono::Utc::now() + chrono::Duration::days(days))
            .date_naive()
            .to_string()
    })
}

#[test]
fn every_number_of_an_item_leads_to_it() {
    on_both(|server| {
        let app = app_with(server, contracts("C", 20));
        app.run().exits(0);
        let of_contract = found(&app, &["C-0007"]);
        assert_eq!(
            ways(&of_contract),
            by("C-0007/2026-03", &["contract", "beginning of the key"])
        );
        let item = &of_contract["items"][0];
        assert_eq!(
            (
                &item["account"],
                &item["workflow"],
                &item["job"],
                &item["generation"]
            ),
            (
                &json!("hk"),
                &json!("deductions"),
                &json!("deduct"),
                &json!(1)
            )
        );
        let id = item["item"].to_string();
        for (text, way) in [
            ("C-0007/2026-03", "key"),
            (" C-0007/2026-03 ", "key"),
            (text_of(item, "order_no"), "order number (generation 1)"),
            (text_of(item, "receipt"), "gateway's number"),
            (&id, "item's number here"),
        ] {
            let found = found(&app, &[text]);
            assert_eq!(ways(&found), by("C-0007/2026-03", &[way]), "{text}");
        }
        let beginning = found(&app, &["C-0007/"]);
        assert_eq!(
            ways(&beginning),
            by("C-0007/2026-03", &["beginning of the key"])
        );
        let run = found(&app, &["1"]);
        assert_eq!(text_of(&run["runs"][0], "workflow"), "deductions", "{run}");
        assert_eq!(found(&app, &["deductions"])["runs"][0]["run"], 1);
        let occurrence = text_of(&run["runs"][0], "occurrence").to_owned();
        assert_eq!(
            found(&app, &[&format!("deductions/{occurrence}")])["runs"][0]["run"],
            1
        );
        app.payrun(&["find", "C-0007"])
            .exits(0)
            .says(expect!["succeeded, 38.00 HKD, last sent "])
            .says(expect!["found by      contract, beginning of the key"])
            .says(expect!["run           1 of deductions, job deduct"])
            .says(expect!["account       hk"])
            .prints(&format!("next          payrun show --item {id}"));
    });
}

#[test]
fn what_was_sent_of_an_amount_on_a_day_is_found_without_a_text() {
    on_both(|server| {
        let app = app_with(server, contracts("C", 20));
        app.run().exits(0);
        let [from, to] = around_now();
        let of = |amount: &str, from: &str, to: &str| {
            let args = [
                "--account",
                "hk",
                "--from",
                from,
                "--to",
                to,
                "--amount",
                amount,
                "--currency",
                "HKD",
                "--json",
            ];
            app.payrun(&[&["find"], &args[..]].concat())
        };
        let both: Value = serde_json::from_str(&of("38.00", &from, &to).exits(0).stdout).unwrap();
        let keys: Vec<String> = ways(&both).into_iter().map(|(key, _)| key).collect();
        let mut sorted = keys.clone();
        sorted.sort();
        assert_eq!(sorted, ["C-0007/2026-03", "C-0014/2026-03"], "{both}");
        assert_eq!(text_of(&both["items"][0]["found_by"][0], "way"), "amount");
        // Not another amount, and not another day.
        of("38.01", &from, &to)
            .exits(2)
            .says(expect!["nothing was found"]);
        of("38.00", "2020-01-01", "2020-12-31").exits(2);
        app.payrun(&["find", "C-0007", "--day", "2020-01-01"])
            .exits(2)
            .says(expect!["only what --day allows: there may be more without"]);
        assert_eq!(
            ways(&found(
                &app,
                &[
                    "C-0007",
                    "--from",
                    &from,
                    "--amount",
                    "38.00",
                    "--currency",
                    "HKD"
                ]
            ))
            .len(),
            1
        );
        nothing(&app, &["C-0007", "--amount", "39.00", "--currency", "HKD"]);
        for (args, why) in [
            (
                &["--account", "hk"][..],
                "without a text an amount, its currency and a day are needed",
            ),
            (&["C-0007", "--account", "hkk"], "no such gateway account"),
            (&["C-0007", "--day", "3 March"], "a day is YYYY-MM-DD"),
            (&["C-0007", "--amount", "1"], "--currency"),
        ] {
            app.payrun(&[&["find"], args].concat()).exits(2).prints(why);
        }
    });
}

#[test]
fn an_order_number_of_an_earlier_generation_finds_its_item() {
    on_both(|server| {
        // Some payers do not pay after all: the gateway wants another number then.
        let app = App::of(Setup {
            faults: FaultPlan::only(Fault::Pending),
            server,
            ..Setup::default()
        });
        app.run();
        let all = found(&app, &["C-"]);
        let mut items = all["items"].as_array().unwrap().iter();
        let item = items.find(|item| item["generation"] != 1);
        let item = item.unwrap_or_else(|| panic!("every first number was paid: {all}"));
        let (key, number) = (text_of(item, "key"), text_of(item, "order_no"));
        let digits = number.rsplit_once('-').unwrap().0;
        for generation in 1..=item["generation"].as_u64().unwrap() {
            let found = found(&app, &[&format!("{digits}-{generation}")]);
            let way = format!("order number (generation {generation})");
            assert_eq!(ways(&found), by(key, &[&way]));
        }
        let other = format!("{}-1", "0".repeat(digits.len()));
        nothing(&app, &[&other]);
    });
}

#[test]
fn what_is_found_in_the_middle_of_many_is_bounded_and_more_is_said() {
    let app = app_with(
        false,
        contracts("C", 20) + "C%_x,basic,38.00,HKD,yes\nC_,basic,38.00,HKD,yes\n",
    );
    app.run().exits(0);
    let some = found(&app, &["C-", "--limit", "5"]);
    assert_eq!((ways(&some).len(), &some["more_items"]), (5, &json!(15)));
    app.payrun(&["find", "C-", "--limit", "5"])
        .exits(0)
        .says(expect!["15 items more: a higher --limit"]);
    // No character stands for others.
    for (text, key) in [
        ("C%", "C%_x/2026-03"),
        ("C_", "C_/2026-03"),
        ("C%_", "C%_x/2026-03"),
    ] {
        let keys: Vec<String> = ways(&found(&app, &[text]))
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys, [key], "{text}");
    }
    for text in ["%", "_", "C-%", "c-0007", "C-0007'", "C-\u{1b}[31m"] {
        nothing(&app, &[text]).never_says("\u{1b}");
    }
    app.payrun(&["find", &"x".repeat(201)])
        .exits(2)
        .says(expect!["200 characters"]);
}

/// A project whose rows have the payers' numbers and telephones, with these columns searchable.
fn with_references(server: bool, searchable: &str) -> App {
    let rows: String = (1..=3)
        .map(|n| format!("C-{n:04},basic,38.00,HKD,yes,CUST-{n:04},+852 5109 {n:04}\n"))
        .collect();
    let app = app_with(
        server,
        format!("contract_id,plan,amount,currency,active,customer_no,phone\n{rows}"),
    );
    app.edit(
        WORKFLOW,
        "      where: item.active == \"yes\"\n",
        &format!("      where: item.active == \"yes\"\n      searchable: {searchable}\n"),
    );
    app.edit(
        WORKFLOW,
        "      merchant_category_code: \"4900\"\n",
        "      merchant_category_code: \"4900\"\n      attach: \"{{ item.customer_no }}\"\n",
    );
    app
}

fn with_key(app: &App, keys: &str) {
    for (name, byte) in [("old", 1), ("new", 2)] {
        app.write(&format!("keys/{name}.key"), personal_key(byte));
    }
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let rest: String = yaml
        .lines()
        .filter(|line| !line.starts_with("encryption_key:"))
        .map(|line| format!("{line}\n"))
        .collect();
    app.write("payrun.yaml", format!("encryption_key: {keys}\n{rest}"));
}

const PHONE: &str = "+852 5109 0002";

/// What is kept to be searched: `(column, hashed, text)`.
fn kept(app: &App) -> Vec<(String, i64, String)> {
    let query =
        "select name, cast(hashed as bigint), text from item_references order by item_id, name";
    app.wait_for(async {
        if app.database().exists() {
            let url = format!("sqlite://{}", app.database().display());
            let mut file = <sqlx::SqliteConnection as sqlx::Connection>::connect(&url)
                .await
                .unwrap();
            sqlx::query_as(query).fetch_all(&mut file).await.unwrap()
        } else {
            sqlx::query_as(query)
                .fetch_all(&mut app.schema().connect().await)
                .await
                .unwrap()
        }
    })
}

#[test]
fn a_searchable_column_finds_its_items_and_what_may_be_personal_is_kept_as_a_hash_alone() {
    on_both(|server| {
        let app = with_references(server, "[customer_no, phone]");
        app.payrun(&["check"])
            .exits(2)
            .says(expect!["the column phone may be personal"])
            .says(expect!["encryption_key"])
            .never_says("the column customer_no");
        with_key(&app, "{ file: keys/old.key }");
        app.payrun(&["check"]).exits(0);
        app.run().exits(0);
        for phone in [PHONE, " +852 5109 0002", "\u{ff0b}852 5109 \u{ff10}002"] {
            let found = found(&app, &[phone]);
            assert_eq!(
                ways(&found),
                by("C-0002/2026-03", &["reference column phone"]),
                "{phone}"
            );
            assert!(!found.to_string().contains("5109"), "{found}");
        }
        app.payrun(&["find", PHONE]).exits(0).never_says("5109");
        // Its beginning is hashed to something else.
        nothing(&app, &["+852 5109"]).never_says("5109");
        let of_customer = found(&app, &["cust-0003"]);
        assert_eq!(
            ways(&of_customer),
            by("C-0003/2026-03", &["reference column customer_no"])
        );
        let beginning = found(&app, &["CUST-00"]);
        assert_eq!(ways(&beginning).len(), 3);
        let kept = kept(&app);
        assert_eq!(kept.len(), 6, "{kept:?}");
        for (column, hashed, text) in kept {
            match column.as_str() {
                "customer_no" => assert!(hashed == 0 && text.starts_with("cust-"), "{text}"),
                _ => assert!(
                    hashed == 1 && text.len() == 32 && !text.contains("5109"),
                    "{text}"
                ),
            }
        }
        if !server {
            for file in ["payrun.db", "payrun.db-wal"] {
                let bytes = std::fs::read(app.path(file)).unwrap_or_default();
                let bytes = String::from_utf8_lossy(&bytes).into_owned();
                assert!(
                    !bytes.contains("5109 0002") && !bytes.contains("51090002"),
                    "{file}"
                );
            }
        }
    });
}

#[test]
fn references_are_found_after_the_key_was_changed_and_after_the_ledger_was_moved() {
    let mut app = with_references(false, "[phone]");
    with_key(&app, "{ file: keys/old.key }");
    app.run().exits(0);
    with_key(&app, "{ file: keys/new.key }");
    app.payrun(&["find", PHONE])
        .exits(2)
        .says(expect!["1 key of references"]);
    with_key(&app, "[{ file: keys/new.key }, { file: keys/old.key }]");
    app.payrun(&["reseal"])
        .exits(0)
        .says(expect!["1 moved to the key"]);
    with_key(&app, "{ file: keys/new.key }");
    assert_eq!(ways(&found(&app, &[PHONE])).len(), 1);
    let schema = app.wait_for(Schema::fresh());
    let ours = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write("server.yaml", ours.replace("payrun.db", &schema.address()));
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    app.moved_to(schema);
    app.write(
        "payrun.yaml",
        std::fs::read(app.path("server.yaml")).unwrap(),
    );
    assert_eq!(
        ways(&found(&app, &[PHONE])),
        by("C-0002/2026-03", &["reference column phone"])
    );
}

#[test]
fn references_go_with_the_evidence_and_keys_are_found_for_ever() {
    let app = with_references(false, "[customer_no, phone]");
    with_key(&app, "{ file: keys/old.key }");
    app.run().exits(0);
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "payrun.yaml",
        format!("{yaml}retention: {{ operational: 7d, evidence: 1y }}\n"),
    );
    app.write("clock", (400_u64 * 86_400_000).to_string());
    let mut command = app.command(&["prune"]);
    command.env("PAYRUN_CLOCK", app.path("clock"));
    Running::start(command).wait(PATIENCE).exits(0);
    assert_eq!(kept(&app), []);
    nothing(&app, &[PHONE]);
    assert_eq!(
        ways(&found(&app, &["C-0002"])),
        by("C-0002/2026-03", &["contract", "beginning of the key"])
    );
}

#[test]
fn a_searchable_column_that_is_not_there_or_stands_twice_is_refused_at_its_place() {
    let app = with_references(false, "[customer_no, telephone]");
    with_key(&app, "{ file: keys/old.key }");
    app.payrun(&["plan", WORKFLOW, "--date", DATE])
        .exits(2)
        .says(expect!["telephone"])
        .says(expect!["deductions.yaml:9:"]);
    app.edit(WORKFLOW, "telephone", "customer_no");
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["the column customer_no stands twice"]);
    app.edit(WORKFLOW, "file: ../data/contracts.csv", "contracts: active");
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["searchable belongs to file"]);
}

/// A project whose rows have order numbers and customers' numbers, of which the last three are not
/// taken: one is no amount, and two contradict each other.
fn with_rejected_rows(server: bool) -> App {
    let app = app_with(
        server,
        "contract_id,plan,amount,currency,active,number,customer_no\n\
         C-0001,basic,38.00,HKD,yes,N-1,CUST-0001\n\
         C-0002,basic,thirty,HKD,yes,N-2,CUST-0002\n\
         C-0003,basic,38.00,HKD,yes,N-3,CUST-0003\n\
         C-0003,basic,39.00,HKD,yes,N-4,CUST-0004\n"
            .to_owned(),
    );
    app.edit(
        WORKFLOW,
        "      where: item.active == \"yes\"\n",
        "      where: item.active == \"yes\"\n      searchable: [customer_no]\n    order_number: \"{{ item.number }}\"\n",
    );
    app.edit(
        WORKFLOW,
        "      merchant_category_code: \"4900\"\n",
        "      merchant_category_code: \"4900\"\n      attach: \"{{ item.customer_no }}\"\n",
    );
    app
}

#[test]
fn a_rejected_row_is_found_by_all_it_has_and_says_why_and_where_it_stands() {
    on_both(|server| {
        let app = with_rejected_rows(server);
        app.payrun(&["run", WORKFLOW, "--date", DATE]).exits(3);
        let number = "order number that the row gives";
        for (text, key, way) in [
            ("C-0002/2026-03", "C-0002/2026-03", "key"),
            ("N-2", "C-0002/2026-03", number),
            ("n-2", "C-0002/2026-03", number),
            (
                "cust-0002",
                "C-0002/2026-03",
                "reference column customer_no",
            ),
            ("N-3", "C-0003/2026-03", number),
            ("N-4", "C-0003/2026-03", number),
            (
                "CUST-0004",
                "C-0003/2026-03",
                "reference column customer_no",
            ),
        ] {
            let found = found(&app, &[text]);
            assert_eq!(ways(&found), by(key, &[way]), "{text}");
            let item = &found["items"][0];
            assert_eq!(
                (&item["state"], &item["file"]),
                (
                    &json!("rejected"),
                    &json!("workflows/../data/contracts.csv")
                ),
                "{found}"
            );
        }
        app.payrun(&["find", "N-2"])
            .exits(0)
            .says(expect!["rejected, never sent, planned "])
            .says(expect!["row           line 3 of "])
            .says(expect!["order number  N-2"])
            .says(expect!["is not a number"]);
        app.payrun(&["items", "1", "-o", "items.csv"]).exits(0);
        let csv = std::fs::read_to_string(app.path("items.csv")).unwrap();
        for number in ["N-1", "N-2", "N-3", "N-4"] {
            assert!(csv.contains(&format!(",{number},")), "{number}: {csv}");
        }
    });
}

#[test]
fn a_plan_that_was_given_up_leaves_no_reference() {
    let app = with_references(false, "[customer_no]");
    app.payrun(&["plan", WORKFLOW, "--date", DATE]).exits(0);
    assert_eq!(kept(&app), []);
    nothing(&app, &["CUST-0001"]);
}

#[test]
fn lines_of_statements_say_whose_they_are_and_refunds_are_found_by_their_payment() {
    let rig = statements::reconciled(FaultPlan::NONE, "days: 1");
    let find = |args: &[&str]| {
        let (code, text) = rig.payrun(&[&["find"], args].concat());
        assert_eq!(code, Some(0), "{text}");
        text
    };
    let number = crate::support::gateways::number(0);
    let told = find(&[&number]);
    assert!(
        told.contains("statement line ") && told.contains("; of no item in payrun"),
        "{told}"
    );
    let line: Value =
        serde_json::from_str(&find(&[&number, "--json", "--account", "wechat"])).unwrap();
    let line = &line["statement_lines"][0];
    assert_eq!(
        (&line["found_by"], &line["item"]),
        (&json!("order number"), &Value::Null),
        "{line}"
    );
    let theirs = text_of(line, "transaction_id");
    assert!(find(&[theirs]).contains("found by      gateway's number of the payment"));
    // A refund of it is found by both of its payment's numbers.
    rig.write(
        "refunds.yaml",
        "workflow: refunds\njobs:\n  refund:\n    uses: refund\n    gateway: wechat\n    approval: off\n    items: { file: refunds.csv }\n    \
         key: \"{{ item.id }}\"\n    with:\n      out_trade_no: \"{{ item.order }}\"\n      amount: \"1.00\"\n      \
         currency: HKD\n      reason: a test\n    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
         query: { schedule: [50ms, 100ms], grace: 1s, horizon: 1h }\n",
    );
    rig.write("refunds.csv", format!("id,order\nback-1,{number}\n"));
    assert_eq!(rig.to_the_end("refunds.yaml"), Some(0));
    for of in [number.as_str(), theirs] {
        let found: Value = serde_json::from_str(&find(&[of, "--json"])).unwrap();
        assert_eq!(
            ways(&found),
            by("back-1", &["payment it takes from"]),
            "{of}"
        );
    }
    let refund = &rig.items_of("refund")[0];
    let found: Value =
        serde_json::from_str(&find(&[text_of(refund, "receipt"), "--json"])).unwrap();
    assert_eq!(
        ways(&found),
        by("back-1", &["gateway's number of the refund"])
    );
}

#[test]
fn a_contract_that_is_kept_here_is_found_before_anything_was_charged_of_it() {
    on_both(|server| {
        let app = app_with(server, contracts("C", 1));
        app.write(
            "c.csv",
            "contract_id,amount,currency,start,anchor_day,description\nK-1,88.00,HKD,2026-01-05,5,Gold\n",
        );
        app.payrun(&["contracts", "import", "c.csv", "--by", "ann"])
            .exits(0);
        let kept = found(&app, &["K-1", "--account", "hk"]);
        assert_eq!(
            kept["contracts"],
            json!([{"contract": "K-1", "account": "hk", "state": "active"}])
        );
        app.payrun(&["find", "K-1"]).exits(0).says(expect![
            "contract K-1 of hk: active; payrun contracts show K-1"
        ]);
        nothing(&app, &["K-1", "--day", "2026-03-03"]);
    });
}

#[test]
fn notifications_are_found_by_the_order_they_name() {
    on_both(|server| {
        let app = app_with(server, contracts("C", 1));
        app.run().exits(0);
        app.wait_for(async {
            let ledger = app.ledger().await;
            let new = NewNotification {
                lane: "hk".into(),
                digest: "abc".into(),
                received_at: Clock::System.now(),
                headers: "{}".into(),
                body: "e30=".into(),
                sealed: false,
                order_no: Some("ORDER-1".into()),
            };
            ledger.keep_notification(new).await.unwrap();
            ledger.close().await;
        });
        let told = found(&app, &["ORDER-1"]);
        assert_eq!(told["notifications"][0]["item"], Value::Null);
        app.payrun(&["find", "ORDER-1"])
            .exits(0)
            .says(expect!["of no item in payrun; payrun notifications show 1"]);
        nothing(&app, &["ORDER-1", "--day", "2020-01-01"]);
    });
}

#[test]
fn the_api_answers_with_the_same_objects() {
    let app = app_with(false, contracts("C", 20));
    app.run().exits(0);
    let service = Service::of(&app);
    let token = service.token("ann", "viewer");
    let reply = service.get(&token, "/api/v1/search?q=C-0007");
    assert_eq!(
        (reply.status, &reply.body),
        (200, &found(&app, &["C-0007"]))
    );
    let [from, to] = around_now();
    let of_amount =
        format!("/api/v1/search?account=hk&from={from}&to={to}&amount=38.00&currency=HKD&limit=1");
    let reply = service.get(&token, &of_amount);
    assert_eq!(
        (ways(&reply.body).len(), &reply.body["more_items"]),
        (1, &json!(1))
    );
    let none = service.get(&token, "/api/v1/search?q=nobody");
    assert_eq!((none.status, &none.body["items"]), (200, &json!([])));
    for wrong in [
        "",
        "?q=%20",
        "?q=C&limit=501",
        "?q=C&day=yesterday",
        "?q=C&account=hkk",
        "?q=C&colour=red",
    ] {
        assert_eq!(
            service
                .get(&token, &format!("/api/v1/search{wrong}"))
                .status,
            400,
            "{wrong}"
        );
    }
    assert_eq!(service.get("payrun_no", "/api/v1/search?q=C").status, 401);
    service.stop().exits(0);
}
