//! Bulk queries on all four gateways at once, by the command, against the sandbox on loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use payrun::sandbox::Gateways;
use payrun::sandbox::faults::{CallKind, Fault, FaultPlan, Level};
use serde_json::Value;

use crate::support::gateways::{GATEWAYS, ORDERS, Rig, number};
use crate::support::process::payrun;
use crate::support::{PATIENCE, Running, until};

/// A job for each gateway over the same rows: orders that exist, one that does not, and one whose
/// amount is another.
fn workflow(folder: &Path) {
    let mut yaml = "workflow: look\njobs:\n".to_owned();
    for gateway in GATEWAYS {
        yaml.push_str(&format!(
            "  {gateway}:\n    uses: query\n    gateway: {gateway}\n    items: {{ file: orders.csv }}\n    key: \"{{{{ item.order }}}}\"\n    \
             with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n      amount: \"{{{{ item.amount }}}}\"\n      currency: HKD\n    \
             retry: {{ attempts: 12, first: 50ms, max: 100ms }}\n"
        ));
    }
    std::fs::write(folder.join("look.yaml"), yaml).unwrap();
    let mut rows = "order,amount\n".to_owned();
    for n in 0..ORDERS {
        let amount = if n == ORDERS - 1 { "12.51" } else { "12.50" };
        rows.push_str(&format!("{},{amount}\n", number(n)));
    }
    rows.push_str("GONE-1,1.00\n");
    std::fs::write(folder.join("orders.csv"), rows).unwrap();
}

fn look(plan: FaultPlan) -> Rig {
    let rig = Rig::new(plan);
    workflow(rig.folder.path());
    let (code, text) = rig.payrun(&["run", "look.yaml", "--json", "--wait", "30s"]);
    assert_eq!(code, Some(3), "{text}");
    let items = rig.items();
    assert_eq!(items.len(), GATEWAYS.len() * (ORDERS + 1));
    for item in &items {
        let key = item["key"].as_str().unwrap();
        let expected = match key {
            "GONE-1" | "ORDER-009" => "failed",
            _ => "succeeded",
        };
        assert_eq!(item["state"], expected, "{item}");
        if expected == "succeeded" {
            assert!(
                item["receipt"]
                    .as_str()
                    .is_some_and(|receipt| !receipt.is_empty()),
                "{item}"
            );
        }
        if key == "ORDER-009" {
            assert!(
                item["reason"].as_str().unwrap().contains("mismatch"),
                "{item}"
            );
        }
    }
    rig
}

#[test]
fn orders_are_queried_in_bulk_on_all_four_gateways() {
    let rig = look(FaultPlan::NONE);
    let found = |state: &str| {
        rig.items()
            .iter()
            .filter(|item| item["result"]["state"] == state)
            .count()
    };
    assert_eq!(
        (found("PAID"), found("Captured"), found("SUCCEEDED")),
        (ORDERS, ORDERS, ORDERS)
    );
    let (code, text) = rig.payrun(&["doctor"]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_bulk_query_ends_the_same_whatever_the_gateways_do_to_it() {
    let rig = look(FaultPlan {
        on: Some(CallKind::Query),
        ..FaultPlan::new(5, Level::Heavy)
    });
    let Gateways {
        wechat: _,
        hipopay,
        egms,
        cbtis,
    } = &rig.gateways;
    for totals in [
        hipopay.as_ref().unwrap().totals(),
        egms.as_ref().unwrap().totals(),
        cbtis.as_ref().unwrap().totals(),
    ] {
        assert!(totals.faults.values().sum::<u64>() > 3, "{totals:?}");
        assert!(
            totals.violations.is_empty() && totals.refused.is_empty(),
            "{totals:?}"
        );
    }
    look(FaultPlan {
        on: Some(CallKind::Query),
        ..FaultPlan::only(Fault::WrongSignature)
    });
}

/// One request to the sandbox about itself, by hand: its status line and body.
fn ask(address: &str, method: &str, path: &str, body: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// Starts the sandbox of a project, and has the project speak to it.
fn sandbox_of(shop: &Path) -> (Running, String) {
    let mut sandbox = Running::start(payrun(shop, &["sandbox", "--port", "0", "--latency", "0"]));
    until("the sandbox listens", || {
        sandbox.stdout_so_far().contains("http://127.0.0.1:") || sandbox.has_ended()
    });
    let said = sandbox.stdout_so_far();
    let rest = said.split("http://").nth(1).unwrap();
    let address = rest
        .split(|c: char| !(c.is_ascii_digit() || ".:".contains(c)))
        .next()
        .unwrap()
        .to_owned();
    let config = std::fs::read_to_string(shop.join("payrun.yaml")).unwrap();
    std::fs::write(
        shop.join("payrun.yaml"),
        config.replace("127.0.0.1:4455", &address),
    )
    .unwrap();
    (sandbox, address)
}

#[test]
fn every_query_of_every_ready_workflow_is_taken_by_the_sandbox_of_a_merchant_and_of_an_institution()
{
    for institution in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let shop = folder.path().join("shop");
        Running::start(payrun(folder.path(), &["init", "shop"]))
            .wait(PATIENCE)
            .exits(0);
        if institution {
            let config = std::fs::read_to_string(shop.join("payrun.yaml")).unwrap();
            let config = config
                .replacen("mode: common", "mode: institutional", 1)
                .replacen(
                    "    mchid:",
                    "    sub_mchid: \"1900000109\"\n    sp_mchid:",
                    1,
                )
                .replacen("    appid:", "    sp_appid:", 1);
            std::fs::write(shop.join("payrun.yaml"), config).unwrap();
        }
        let (sandbox, _) = sandbox_of(&shop);
        let mut args = ["check", "--online", "--contracts", "0"]
            .map(str::to_owned)
            .to_vec();
        for file in std::fs::read_dir(shop.join("ready")).unwrap() {
            args.push(format!(
                "ready/{}",
                file.unwrap().file_name().to_str().unwrap()
            ));
        }
        assert!(args.len() > 10, "{args:?}");
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let told = Running::start(payrun(&shop, &args)).wait(PATIENCE).exits(0);
        for operation in [
            "transaction",
            "contract",
            "identity_check",
            "declare_query",
            "refund_query",
            "settlements",
        ] {
            assert!(
                told.stdout.contains(&format!("{operation}: taken")),
                "{operation}: {}",
                told.stdout
            );
        }
        sandbox.interrupt();
        sandbox.wait(Duration::from_secs(20)).exits(0);
    }
}

#[test]
fn a_new_project_has_an_account_at_every_gateway_of_its_sandbox() {
    let folder = tempfile::tempdir().unwrap();
    let shop = folder.path().join("shop");
    Running::start(payrun(folder.path(), &["init", "shop"]))
        .wait(PATIENCE)
        .exits(0);
    let (sandbox, address) = sandbox_of(&shop);
    let doctor = Running::start(payrun(&shop, &["doctor"]))
        .wait(PATIENCE)
        .exits(0);
    for gateway in ["hk", "hipopay", "egms", "cbtis"] {
        assert!(doctor.stdout.contains(gateway), "{}", doctor.stdout);
    }
    for gateway in ["hipopay", "egms", "cbtis"] {
        let paid = r#"[{"number":"P-1","amount":"10.00","currency":"HKD"}]"#;
        let (status, put) = ask(
            &address,
            "POST",
            &format!("/sandbox/{gateway}/payments"),
            paid,
        );
        assert!(
            status.contains("200") && put.contains("gateway_number"),
            "{gateway}: {status} {put}"
        );
        let (_, books) = ask(&address, "GET", &format!("/sandbox/{gateway}/books"), "");
        let books: Value = serde_json::from_str(&books).unwrap();
        assert_eq!(
            books["paid"]["HKD"],
            serde_json::json!([1, 1000]),
            "{gateway}: {books}"
        );
        let wrong = r#"[{"number":"P-1","amount":"10.001","currency":"HKD"}]"#;
        assert!(
            ask(
                &address,
                "POST",
                &format!("/sandbox/{gateway}/payments"),
                wrong
            )
            .0
            .contains("400")
        );
    }
    assert!(
        ask(&address, "GET", "/sandbox/nobody/books", "")
            .0
            .contains("404")
    );
    sandbox.interrupt();
    sandbox.wait(Duration::from_secs(20)).exits(0);
}
