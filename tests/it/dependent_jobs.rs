//! Jobs that take their items from other jobs of their run: planned once, when those have ended,
//! whoever dies in between.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use payrun::engine::run_monitor::RunStatus;
use payrun::engine::vault::Vault;
use payrun::ledger::NewJob;
use payrun::sandbox::faults::FaultPlan;
use serde_json::Value;

use crate::ledger::ledger_fixture::{answered, done, item, job, run};
use crate::ledger::on_every_engine;
use crate::support::gateways::{
    Rig, assert_at_rest, moved, personal_key, text_of, under_each_fault,
};
use crate::support::scripted_gateway::ScriptedProcess;

/// How often an end between two looks is tried.
const ROUNDS: u64 = 60;

/// How many contracts there are; the last one's payer has no money.
const CONTRACTS: usize = 6;

const POLICY: &str = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
                      query: { schedule: [50ms, 100ms, 200ms], grace: 1500ms, horizon: 1h }\n";

/// Charged, declared as it was charged, and given back where it was much. `limits` are the
/// refunds'.
fn chain(limits: &str) -> String {
    format!(
        "workflow: chain\njobs:\n  \
         deduct:\n    uses: deduct\n    gateway: wechat\n    items: {{ file: contracts.csv }}\n    \
         key: \"{{{{ item.contract }}}}/{{{{ run.month }}}}\"\n    with:\n      contract_id: \"{{{{ item.contract }}}}\"\n      \
         amount: \"{{{{ item.amount }}}}\"\n      currency: CNY\n      description: Rent\n      \
         merchant_category_code: \"4900\"\n      attach: \"{{{{ item.unit }}}}\"\n{POLICY}  \
         declare:\n    uses: declare\n    gateway: wechat\n    items: {{ from: deduct }}\n    with:\n      \
         out_trade_no: \"{{{{ item.order_no }}}}\"\n      transaction_id: \"{{{{ item.receipt }}}}\"\n      \
         sub_order_no: \"S-{{{{ item.attach }}}}\"\n      customs: SHENZHEN\n      mch_customs_no: SZ0001\n      \
         amount: \"{{{{ item.amount }}}}\"\n      currency: \"{{{{ item.currency }}}}\"\n      \
         product_fee: \"{{{{ item.amount }}}}\"\n      transport_fee: \"0\"\n{POLICY}  \
         refund:\n    uses: refund\n    approval: off\n    gateway: wechat\n    needs: [declare]\n    \
         items: {{ from: deduct, where: 'item.amount|decimal >= \"22\"|decimal' }}\n    \
         key: \"{{{{ item.key }}}}/back\"\n    with:\n      out_trade_no: \"{{{{ item.order_no }}}}\"\n      \
         amount: \"{{{{ item.amount }}}}\"\n      currency: \"{{{{ item.currency }}}}\"\n      \
         reason: \"{{{{ item.result_trade_type }}}} of {{{{ item.attach }}}}\"\n{limits}{POLICY}"
    )
}

fn project(plan: FaultPlan, limits: &str) -> Rig {
    let rig = Rig::new(plan);
    let rows: String = (0..CONTRACTS)
        .map(|n| format!("K-{n},2{n}.00,u{n}\n"))
        .collect();
    rig.write(
        "contracts.csv",
        format!("contract,amount,unit\n{rows}K-poor,29.00,u9\n"),
    );
    rig.write("chain.yaml", chain(limits));
    rig
}

/// Every job has what the one before it left, once, and the gateway's books say the same.
fn each_once(rig: &Rig) {
    let items = rig.items();
    assert_at_rest(&items);
    let of =
        |job: &str| -> Vec<&Value> { items.iter().filter(|item| item["job"] == job).collect() };
    let charged = moved(&items, "deduct", "CNY");
    assert_eq!(
        rig.charged().get("CNY").copied().unwrap_or_default(),
        charged,
        "{items:#?}"
    );
    assert_eq!(of("deduct").len(), CONTRACTS + 1);
    assert_eq!(of("declare").len() as u64, charged.0, "{items:#?}");
    let much = of("deduct")
        .into_iter()
        .filter(|item| item["state"] == "succeeded" && text_of(item, "amount") >= "22.00");
    assert_eq!(of("refund").len(), much.count(), "{items:#?}");
    let theirs = rig.totals("wechat");
    assert_eq!(
        theirs.refunded.get("CNY").copied().unwrap_or_default(),
        moved(&items, "refund", "CNY")
    );
    assert!(
        theirs.violations.is_empty() && theirs.refused.is_empty(),
        "{theirs:?}"
    );
    assert_eq!(theirs.customs.filed_twice, 0);
}

#[test]
fn what_was_charged_is_declared_and_given_back_by_its_own_numbers() {
    let rig = project(FaultPlan::NONE, "");
    assert_eq!(rig.to_the_end("chain.yaml"), Some(3));
    each_once(&rig);
    let items = rig.items();
    let of = |job: &str, state: &str| {
        items
            .iter()
            .filter(|item| item["job"] == job && item["state"] == state)
            .count()
    };
    assert_eq!(
        (of("deduct", "succeeded"), of("deduct", "failed")),
        (CONTRACTS, 1)
    );
    assert_eq!(
        (of("declare", "succeeded"), of("refund", "succeeded")),
        (CONTRACTS, CONTRACTS - 2)
    );
    assert_eq!(
        rig.totals("wechat").refunded["CNY"],
        (4, 2_200 + 2_300 + 2_400 + 2_500)
    );
    // The next run of the same month finds nothing new to charge, and so nothing to declare or to
    // give back.
    rig.to_the_end("chain.yaml");
    assert_eq!(rig.totals("wechat").refunded["CNY"], (4, 9_400));
}

#[test]
fn under_each_fault_the_chain_goes_on_with_what_succeeded() {
    under_each_fault(|fault| {
        let rig = project(FaultPlan::only(fault), "");
        rig.to_the_end("chain.yaml");
        each_once(&rig);
    });
}

/// Dies at a place, and goes on.
fn died_at(place: &str, nth: u32) -> bool {
    let rig = project(FaultPlan::NONE, "");
    let mut command = rig.command(&["run", "chain.yaml", "--json", "--wait", "20s"]);
    let died = command
        .env("PAYRUN_FAILPOINT", format!("{place}:{nth}"))
        .output()
        .unwrap()
        .status
        .code()
        .is_none();
    let planned = !rig.items().is_empty();
    let (code, text) = match planned {
        true => rig.payrun(&["run", "--resume", "--json", "--wait", "20s"]),
        false => rig.payrun(&["run", "chain.yaml", "--json", "--wait", "20s"]),
    };
    assert!(matches!(code, Some(0 | 3)), "{place}:{nth} {text}");
    each_once(&rig);
    let (_, runs) = rig.payrun(&["runs", "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&runs)
            .unwrap()
            .as_array()
            .unwrap()
            .len(),
        1,
        "{runs}"
    );
    died
}

#[test]
fn killed_anywhere_between_the_jobs_the_later_ones_are_planned_once() {
    let deaths: Vec<(&str, u32)> = ["before_commit", "after_commit", "before_send", "after_send"]
        .into_iter()
        .flat_map(|place| (1..30).step_by(4).map(move |nth| (place, nth)))
        .collect();
    let died = std::thread::scope(|scope| {
        let count = |some: &[(&'static str, u32)]| {
            some.iter()
                .filter(|(place, nth)| died_at(place, *nth))
                .count()
        };
        let threads: Vec<_> = deaths
            .chunks(4)
            .map(|some| scope.spawn(move || count(some)))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .sum::<usize>()
    });
    assert!(
        died * 4 > deaths.len() * 3,
        "only {died} of {} died",
        deaths.len()
    );
}

#[test]
fn a_later_job_over_its_limit_ends_without_items_and_says_so() {
    for limits in [
        "    limits: { items: 3 }\n",
        "    limits: { total: { CNY: \"90.00\" } }\n",
    ] {
        let rig = project(FaultPlan::NONE, limits);
        let (code, text) = rig.payrun(&["run", "chain.yaml", "--wait", "20s"]);
        assert_eq!(code, Some(3), "{text}");
        assert!(
            text.contains("refund") && text.contains("over its limit"),
            "{text}"
        );
        let items = rig.items();
        assert_eq!(
            items.iter().filter(|item| item["job"] == "refund").count(),
            0,
            "{items:#?}"
        );
        assert_eq!(rig.totals("wechat").refunded.get("CNY"), None);
    }
}

#[test]
fn a_column_that_the_items_of_a_job_do_not_have_is_found_when_the_file_is_read() {
    let rig = project(FaultPlan::NONE, "");
    rig.write(
        "chain.yaml",
        chain("").replace(
            "amount: \"{{ item.amount }}\"\n      currency: \"{{ item.currency }}\"\n      reason",
            "amount: \"{{ item.amonut }}\"\n      currency: \"{{ item.currency }}\"\n      reason",
        ),
    );
    let (code, text) = rig.payrun(&["run", "chain.yaml"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("have no column amonut") && text.contains("did you mean \"amount\""),
        "{text}"
    );
}

/// What is read of an item decides what is sent next: where it cannot be read nothing is planned
/// from it, and nothing is lost.
#[test]
fn an_item_that_cannot_be_read_stops_the_job_that_takes_its_items_from_it_and_is_named() {
    for column in ["input", "result"] {
        let rig = project(FaultPlan::NONE, "");
        let one_by_one = chain("").replacen(
            "    gateway: wechat\n    items: { file: contracts.csv }\n",
            "    gateway: wechat\n    concurrency: 1\n    items: { file: contracts.csv }\n",
            1,
        );
        rig.write("chain.yaml", one_by_one);
        let died = rig
            .command(&["run", "chain.yaml", "--wait", "20s"])
            .env("PAYRUN_FAILPOINT", "before_send:4")
            .output()
            .unwrap();
        assert_eq!(died.status.code(), None, "{died:?}");
        let charged = rig.items();
        let charged = charged.iter().find(|item| item["state"] == "succeeded");
        let id = charged.unwrap()["item"].as_i64().unwrap();
        let spoilt = format!("update items set {column} = '{{' || {column} where id = {id}");
        rig.change(&spoilt);
        let (code, text) = rig.payrun(&["run", "--resume", "--wait", "20s"]);
        let place = format!("{column} of row {id} in items cannot be read");
        assert!(text.contains(&place), "{text}");
        assert_eq!(code, Some(1), "{text}");
        assert!(rig.totals("wechat").customs.filed.is_empty(), "{text}");
        let mended = format!("update items set {column} = substr({column}, 2) where id = {id}");
        rig.change(&mended);
        let (code, text) = rig.payrun(&["run", "--resume", "--wait", "20s"]);
        assert_eq!(code, Some(3), "{text}");
        each_once(&rig);
    }
}

/// Two buyers are declared, their orders are looked up at another gateway, and then whether they are
/// the payers is asked again.
fn buyers(rig: &Rig) {
    let row = |n: usize| {
        let [theirs, _] = ["wechat", "hipopay"]
            .map(|gateway| rig.seed(gateway, &format!("B-{n}"), "20.00", "CNY"));
        format!("B-{n},{theirs},510921199308072310\n")
    };
    let rows: String = (0..2).map(row).collect();
    rig.write("buyers.csv", format!("order,theirs,card\n{rows}"));
    let job = |name: &str, head: &str, order: &str, theirs: &str, (card, buyer): (&str, &str)| {
        format!(
            "  {name}:\n    gateway: wechat\n{head}    with:\n      out_trade_no: \"{{{{ item.{order} }}}}\"\n      \
             transaction_id: \"{{{{ item.{theirs} }}}}\"\n      customs: SHENZHEN\n      mch_customs_no: SZ0001\n      \
             cert_id: \"{{{{ item.{card} }}}}\"\n      name: \"{buyer}\"\n{POLICY}"
        )
    };
    let declare = job(
        "declare",
        "    uses: declare\n    items: { file: buyers.csv }\n",
        "order",
        "theirs",
        ("card", "Li Lei"),
    );
    let check = job(
        "check",
        "    uses: identity\n    needs: [look]\n    items: { from: declare }\n",
        "out_trade_no",
        "transaction_id",
        ("cert_id", "{{ item.name }}"),
    );
    rig.write(
        "buyers.yaml",
        format!(
            "workflow: buyers\njobs:\n{declare}  look:\n    uses: query\n    gateway: hipopay\n    \
             items: {{ file: buyers.csv }}\n    with:\n      out_trade_no: \"{{{{ item.order }}}}\"\n{POLICY}{check}"
        ),
    );
}

/// A key can be put back, so the job waits for it; no row goes missing meanwhile.
#[test]
fn an_item_that_cannot_be_opened_stops_the_job_that_takes_its_items_from_it_and_says_what_is_lacking()
 {
    let vault = Vault::of(&[personal_key(7).into()]).unwrap().unwrap();
    let key = vault.ids().next().unwrap();
    let name = |sealed: &str| format!("\"name\":{{\"sealed\":\"{sealed}");
    let right = name(&format!("{key}:"));
    // The first value of the input is under a listed key, so that nothing is said at the start.
    let other_key = "00112233445566ff";
    let lacks = format!("lacks the key {other_key},");
    for (spoilt, code, says) in [
        (name(&format!("{other_key}:")), Some(2), lacks.as_str()),
        (name(&format!("{key}:AAAA")), Some(1), "cannot be read"),
    ] {
        let rig = Rig::new(FaultPlan::NONE);
        buyers(&rig);
        rig.payrun(&["pause", "gateway", "hipopay", "--reason", "a test"]);
        rig.payrun(&["run", "buyers.yaml", "--wait", "0s"]);
        let is_declared = || {
            let items = rig.items_of("declare");
            items.iter().all(|item| item["state"] == "succeeded")
        };
        for _ in 0..20 {
            if !is_declared() {
                rig.payrun(&["run", "--resume", "--wait", "1s"]);
            }
        }
        assert!(is_declared(), "{:?}", rig.items());
        let id = rig.items_of("declare")[0]["item"].as_i64().unwrap();
        rig.payrun(&["resume", "gateway", "hipopay", "--reason", "a test"]);
        let replace = |from: &str, to: &str| {
            let input = format!("replace(input, '{from}', '{to}')");
            rig.change(&format!("update items set input = {input} where id = {id}"));
        };
        replace(&right, &spoilt);
        let (ended, text) = rig.payrun(&["run", "--resume", "--wait", "20s"]);
        let place = format!("input of row {id} in items");
        assert!(text.contains(&place) && text.contains(says), "{text}");
        assert_eq!(ended, code, "{text}");
        assert_eq!(rig.items_of("check"), Vec::<Value>::new());
        replace(&spoilt, &right);
        let (ended, text) = rig.payrun(&["run", "--resume", "--wait", "20s"]);
        assert_eq!(ended, Some(0), "{text}");
        let checked = rig.items_of("check");
        assert_eq!(checked.len(), 2);
        assert!(
            checked.iter().all(|item| item["state"] == "succeeded"),
            "{checked:?}"
        );
    }
}

/// What a run waits for may end between two looks at it: then there is something to be done, and
/// nobody ends for want of it. Many times, since the moment is short.
#[test]
fn a_job_whose_last_need_ends_between_two_looks_is_not_waited_for_in_vain() {
    on_every_engine(|place| async move {
        let process = ScriptedProcess::at(&place, "wechat", |_| panic!("nobody calls")).await;
        let lanes = BTreeSet::from(["hk".to_owned()]);
        for round in 0..ROUNDS {
            let mut planning = process
                .ledger()
                .plan(run(&round.to_string()))
                .await
                .unwrap();
            let run_id = planning.run_id();
            let first = planning.job(job("first")).await.unwrap();
            let second = NewJob {
                needs: vec!["first".to_owned()],
                ..job("second")
            };
            let second = planning.job(second).await.unwrap();
            for (id, name) in [(first, "A"), (second, "B")] {
                let before = planning.newest_item().await.unwrap();
                let items = [item(1, &format!("{name}-{round}"))];
                assert!(planning.items(id, &items).await.unwrap().is_empty());
                planning.job_planned(id, before, None).await.unwrap();
            }
            planning.commit().await.unwrap();
            let claimed = process.claim(first, "deduct", 1).await.remove(0);
            let settled = AtomicBool::new(false);
            let settle = async {
                tokio::time::sleep(Duration::from_micros(round * 50)).await;
                let settlement = answered(&claimed, done(), process.now());
                process.ledger().settle(settlement).await.unwrap();
                settled.store(true, Ordering::SeqCst);
            };
            let follow = async {
                loop {
                    let was_settled = settled.load(Ordering::SeqCst);
                    let status = process
                        .engine
                        .follow(&[run_id], &lanes, &BTreeSet::new(), Duration::from_secs(60))
                        .await
                        .unwrap();
                    assert!(
                        matches!(status, RunStatus::Working(_)),
                        "{round}: {status:?}"
                    );
                    if was_settled {
                        break;
                    }
                }
            };
            tokio::join!(settle, follow);
        }
    });
}

/// What takes its items from those that were cancelled.
const AFTER_CANCELLED: &str = "\
    workflow: undo\njobs:\n  \
      deduct:\n    uses: deduct\n    gateway: wechat\n    items: { file: contracts.csv }\n    \
        key: \"{{ item.contract }}/{{ run.month }}\"\n    with:\n      contract_id: \"{{ item.contract }}\"\n      \
        amount: \"{{ item.amount }}\"\n      currency: CNY\n      description: Rent\n      \
        merchant_category_code: \"4900\"\n  \
      back:\n    uses: refund\n    approval: off\n    gateway: wechat\n    items: { from: deduct, state: cancelled }\n    \
        key: \"{{ item.key }}/back\"\n    with:\n      out_trade_no: \"{{ item.order_no }}\"\n      \
        amount: \"{{ item.amount }}\"\n      currency: \"{{ item.currency }}\"\n      reason: undone\n";

#[test]
fn the_later_jobs_of_a_withdrawn_run_get_no_items() {
    let rig = project(FaultPlan::NONE, "");
    rig.write("undo.yaml", AFTER_CANCELLED);
    rig.payrun(&["run", "undo.yaml", "--send-after", "1h", "--wait", "0s"]);
    assert_eq!(rig.items_of("deduct").len(), CONTRACTS + 1);
    let (code, told) = rig.payrun(&[
        "withdraw",
        "1",
        "--author",
        "ann",
        "--reason",
        "a wrong file",
    ]);
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("7 cancelled") && told.contains("nothing more of it is sent"),
        "{told}"
    );
    rig.payrun(&["run", "--resume"]);
    assert_eq!(rig.items_of("back"), Vec::<Value>::new());
    let (_, shown) = rig.payrun(&["show", "1", "--json"]);
    assert!(shown.contains("\"failure_code\": \"withdrawn\""), "{shown}");
    assert!(shown.contains("ann: a wrong file"), "{shown}");
    assert_eq!(rig.charged().get("CNY"), None);
    let (code, told) = rig.payrun(&["withdraw", "1", "--author", "ann", "--reason", "again"]);
    assert_eq!(
        (code, told.contains("withdrawn, by ann: a wrong file")),
        (Some(0), true),
        "{told}"
    );
}
