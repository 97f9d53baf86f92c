//! Statements, settlements and reconciliation by the command: kept whole, never replaced, and every
//! difference named.

use expect_test::expect;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use payrun::sandbox::faults::{CallKind, FaultPlan};
use serde_json::Value;

use crate::support::gateways::{ORDERS, Rig, under_each_fault};
use crate::support::said::assert_said;

const WAITS: &str = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
     query: { schedule: [50ms, 100ms], grace: 1s, horizon: 1h }\n";

/// Fetches the statements of these days on both gateways that have any, follows settlements, and
/// reconciles today.
pub fn day(days: &str) -> String {
    let mut yaml = "workflow: day\njobs:\n".to_owned();
    for gateway in ["wechat", "hipopay"] {
        yaml.push_str(&format!(
            "  statement-{gateway}:\n    uses: statement\n    gateway: {gateway}\n    items: {{ {days}, until: today }}\n    \
             with: {{ date: \"{{{{ item.date }}}}\", open_day: keep }}\n{WAITS}  \
             reconcile-{gateway}:\n    uses: reconcile\n    gateway: {gateway}\n    needs: [statement-{gateway}]\n    \
             items: {{ window: 1, until: today }}\n    with: {{ from: \"{{{{ item.from }}}}\", to: \"{{{{ item.to }}}}\" }}\n{WAITS}"
        ));
    }
    yaml.push_str(&format!(
        "  settlement:\n    uses: settlement\n    gateway: wechat\n    items: {{ window: 2, until: today }}\n    \
         with: {{ from: \"{{{{ item.from }}}}\", to: \"{{{{ item.to }}}}\" }}\n{WAITS}"
    ));
    yaml
}

/// Runs the day to its end: the payments of the project's beginning are not in the ledger, which is
/// a difference.
pub fn reconciled(plan: FaultPlan, days: &str) -> Rig {
    reconciled_with(plan, days, |_| {})
}

/// The same, with what is changed in the project before.
pub fn reconciled_with(plan: FaultPlan, days: &str, change: impl FnOnce(&Rig)) -> Rig {
    let rig = Rig::new(plan);
    rig.write("day.yaml", day(days));
    change(&rig);
    assert_eq!(rig.to_the_end("day.yaml"), Some(3));
    rig
}

fn ends_with_every_difference_named(rig: &Rig) {
    for gateway in ["wechat", "hipopay"] {
        let statement = &rig.items_of(&format!("statement-{gateway}"))[0];
        assert_eq!(
            (&statement["state"], &statement["result"]["lines"]),
            (&"succeeded".into(), &ORDERS.into()),
            "{statement}"
        );
        let reconcile = &rig.items_of(&format!("reconcile-{gateway}"))[0];
        assert_eq!(
            (&reconcile["state"], &reconcile["result"]["missing_here"]),
            (&"failed".into(), &ORDERS.into()),
            "{reconcile}"
        );
        let csv = reconcile["result"]["report_csv"].as_str().unwrap();
        let csv = std::fs::read_to_string(rig.folder.path().join(csv)).unwrap();
        assert_eq!(
            csv.lines()
                .filter(|line| line.contains("missing_here"))
                .count(),
            ORDERS,
            "{csv}"
        );
    }
    let settlement = &rig.items_of("settlement")[0];
    assert_eq!(settlement["state"], "succeeded", "{settlement}");
}

#[test]
fn payments_that_somebody_else_made_are_named_one_by_one() {
    ends_with_every_difference_named(&reconciled(FaultPlan::NONE, "days: 1"));
}

#[test]
fn under_each_fault_a_statement_is_kept_whole_or_not_at_all() {
    under_each_fault(|fault| {
        let plan = FaultPlan {
            on: Some(CallKind::Query),
            ..FaultPlan::only(fault)
        };
        ends_with_every_difference_named(&reconciled(plan, "days: 1"));
    });
}

#[test]
fn a_day_without_trades_that_is_long_over_has_a_statement_without_lines() {
    let rig = reconciled(FaultPlan::NONE, "days: 4");
    for gateway in ["wechat", "hipopay"] {
        let items = rig.items_of(&format!("statement-{gateway}"));
        assert_eq!(items.len(), 4);
        for item in &items[..2] {
            assert_eq!(
                (&item["state"], &item["result"]["lines"]),
                (&"succeeded".into(), &0.into()),
                "{item}"
            );
        }
    }
}

#[test]
fn a_file_that_is_there_with_another_content_stays_as_it_is() {
    let rig = reconciled(FaultPlan::NONE, "days: 1");
    let kept = rig.items_of("statement-wechat")[0]["result"]["file"]
        .as_str()
        .unwrap()
        .to_owned();
    let kept = rig.folder.path().join(kept);
    std::fs::write(&kept, "a line of mine").unwrap();
    assert_eq!(rig.to_the_end("day.yaml"), Some(3));
    let again = rig.items_of("statement-wechat");
    let reason = again[1]["reason"].as_str().unwrap();
    assert_said(reason, expect!["is there with another content"]);
    assert_eq!(codes_of(&rig, &again[1]), ["FILE_CHANGED"]);
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "a line of mine");
}

/// Listens before the gateways and hands everything on; of the first statement of HipoPay's it
/// leaves out the last line.
fn cutting_once(gateway: &str) -> (String, Arc<AtomicU32>) {
    let upstream = gateway.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, bills) = (
        format!("http://{}", listener.local_addr().unwrap()),
        Arc::new(AtomicU32::new(0)),
    );
    let counted = Arc::clone(&bills);
    std::thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let (upstream, bills) = (upstream.clone(), Arc::clone(&counted));
            std::thread::spawn(move || hand_on(client, &upstream, &bills));
        }
    });
    (address, bills)
}

fn hand_on(mut client: TcpStream, upstream: &str, bills: &AtomicU32) -> Option<()> {
    let mut request = Vec::new();
    let mut bytes = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = client.read(&mut bytes).ok().filter(|read| *read > 0)?;
        request.extend_from_slice(&bytes[..read]);
    }
    let is_bill = request.windows(14).any(|path| path == b"/download_bill");
    let text = String::from_utf8(request)
        .ok()?
        .replacen("\r\n", "\r\nConnection: close\r\n", 1);
    let mut server = TcpStream::connect(upstream).ok()?;
    server.write_all(text.as_bytes()).ok()?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).ok()?;
    let reply = String::from_utf8(reply).ok()?;
    let (head, body) = reply.split_once("\r\n\r\n")?;
    let cut = is_bill && bills.fetch_add(1, Ordering::SeqCst) == 0;
    let end = if cut {
        body.trim_end().rfind('\n')? + 1
    } else {
        body.len()
    };
    let head: Vec<&str> = head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("content-length"))
        .collect();
    let reply = format!(
        "{}\r\nContent-Length: {end}\r\n\r\n{}",
        head.join("\r\n"),
        &body[..end]
    );
    client.write_all(reply.as_bytes()).ok()
}

#[test]
fn a_statement_that_was_cut_on_its_way_is_fetched_again() {
    let rig = Rig::new(FaultPlan::NONE);
    let (address, bills) = cutting_once(&rig.base_url());
    let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    let (before, hipopay) = yaml.split_once("  hipopay:\n").unwrap();
    rig.write(
        "payrun.yaml",
        format!(
            "{before}  hipopay:\n{}",
            hipopay.replacen(&rig.base_url(), &address, 1)
        ),
    );
    let yaml = "workflow: day\njobs:\n  statement:\n    uses: statement\n    gateway: hipopay\n    \
                items: { days: 1, until: today }\n    with: { date: \"{{ item.date }}\", open_day: keep }\n";
    rig.write("day.yaml", format!("{yaml}{WAITS}"));
    assert_eq!(rig.to_the_end("day.yaml"), Some(0));
    let item = &rig.items_of("statement")[0];
    assert_eq!(item["result"]["lines"], ORDERS, "the whole file: {item}");
    assert_eq!(
        bills.load(Ordering::SeqCst),
        4,
        "the cut one and one to compare, then twice the same"
    );
    let (_, shown) = rig.payrun(&["show", "--item", &item["item"].to_string()]);
    assert_said(
        &shown,
        expect!["the file was another one when it was fetched once more"],
    );
    assert_eq!(codes_of(&rig, item)[0], "STATEMENT_INCOMPLETE");
}

/// The codes of the answers to an item, oldest first.
fn codes_of(rig: &Rig, item: &Value) -> Vec<String> {
    let (_, shown) = rig.payrun(&["show", "--item", &item["item"].to_string(), "--json"]);
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let attempts = shown["attempts"].as_array().unwrap().iter();
    attempts
        .map(|attempt| attempt["code"].as_str().unwrap_or_default().to_owned())
        .collect()
}
