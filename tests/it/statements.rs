//! Statements, settlements and reconciliation by the command: kept whole, never replaced, and every difference named.

use payrun::sandbox::faults::{CallKind, FaultPlan};

use crate::support::four::{ORDERS, Rig, under_each_fault};

const WAITS: &str = "    retry: { attempts: 30, first: 50ms, max: 200ms }\n    \
     resolve: { schedule: [50ms, 100ms], grace: 1s, horizon: 1h }\n";

/// Fetches the statements of these days on both gateways that have any, follows settlements, and reconciles today.
fn day(days: &str) -> String {
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

/// Runs the day to its end: the payments of the project's beginning are not in the ledger, which is a difference.
pub fn reconciled(plan: FaultPlan, days: &str) -> Rig {
    let rig = Rig::new(plan);
    rig.write("day.yaml", day(days));
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
        assert_eq!(csv.lines().filter(|line| line.contains("missing_here")).count(), ORDERS, "{csv}");
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
        let plan = FaultPlan { on: Some(CallKind::Query), ..FaultPlan::only(fault) };
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
            assert_eq!((&item["state"], &item["result"]["lines"]), (&"succeeded".into(), &0.into()), "{item}");
        }
    }
}

#[test]
fn a_file_that_is_there_with_another_content_stays_as_it_is() {
    let rig = reconciled(FaultPlan::NONE, "days: 1");
    let kept = rig.items_of("statement-wechat")[0]["result"]["file"].as_str().unwrap().to_owned();
    let kept = rig.folder.path().join(kept);
    std::fs::write(&kept, "a line of mine").unwrap();
    assert_eq!(rig.to_the_end("day.yaml"), Some(3));
    let again = rig.items_of("statement-wechat");
    let reason = again[1]["reason"].as_str().unwrap();
    assert!(reason.contains("is there with another content"), "{reason}");
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "a line of mine");
}
