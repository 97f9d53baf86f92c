//! Reads a workflow file: the shape first, then what its fields mean beside each other, the job
//! kinds and the gateways.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Workflow;
use super::compile::Compiler;
use super::spec::WORKFLOW;
use crate::config::Config;
use crate::config::calendars::Calendars;
use crate::job_kinds::JobKinds;
use payrun_yaml as yaml;
use payrun_yaml::diagnostics::{Diagnostics, SourceText};
use payrun_yaml::fields::{ValueShape, check};

/// Reads and checks a workflow file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(path: &Path, job_kinds: &JobKinds, config: &Config) -> Result<Workflow, Diagnostics> {
    load_with(path, job_kinds, config, &config.calendars)
}

/// Reads and checks a workflow file, with other calendars than those of when the configuration was
/// read.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load_with(
    path: &Path,
    job_kinds: &JobKinds,
    config: &Config,
    calendars: &Calendars,
) -> Result<Workflow, Diagnostics> {
    read_workflow(
        &yaml::read(path, false)?,
        path,
        job_kinds,
        config,
        calendars,
    )
}

/// The workflow files of a folder, by name.
///
/// # Errors
/// If there is no such folder, or it cannot be read: that is not the same as an empty one.
pub fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = entries.collect::<Result<_, _>>()?;
    files.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "yaml" || extension == "yml")
    });
    files.sort();
    Ok(files)
}

/// Checks the text of a workflow that is to be understood as the file `path`.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(
    text: &str,
    path: &Path,
    job_kinds: &JobKinds,
    config: &Config,
) -> Result<Workflow, Diagnostics> {
    let source = SourceText::new(&path.display().to_string(), text.to_owned(), false);
    read_workflow(&source, path, job_kinds, config, &config.calendars)
}

fn read_workflow(
    source: &Arc<SourceText>,
    path: &Path,
    job_kinds: &JobKinds,
    config: &Config,
    calendars: &Calendars,
) -> Result<Workflow, Diagnostics> {
    let root = yaml::node::parse(source)?;
    let mut found = Diagnostics::default();
    check(&root, &ValueShape::Fields(&WORKFLOW), source, &mut found);
    let mut compiler = Compiler {
        source,
        job_kinds,
        config,
        calendars,
        found,
        params: Vec::new(),
    };
    let workflow = compiler.workflow(&root, path);
    compiler.found.or_value(Some(workflow))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::{
        Config, Database, GatewayConfig, GatewayKind, Platform, Rate, WechatConfig, WechatMode,
    };
    use crate::workflow::Approval;
    use payrun_domain::occurrence::{MissedPolicy, Overlap};
    use std::collections::BTreeMap;
    use std::time::Duration;

    /// Like the shipped workflow, but it stays as it is when that one changes.
    pub(in crate::workflow) const MONTHLY: &str = r#"
workflow: monthly-deductions
schedule: { every: month, on: 31, at: "09:30", timezone: Asia/Hong_Kong }
jobs:
  deduct:
    uses: deduct
    gateway: hk
    items:
      file: contracts.csv
      where: item.active == "yes"
    key: "{{ item.contract_id }}/{{ run.month }}"
    with:
      contract_id: "{{ item.contract_id }}"
      amount: "{{ item.amount }}"
      currency: HKD
      description: "{{ item.plan }} {{ run.month }}"
      merchant_category_code: "4900"
    limits: { items: 50000, total: { HKD: "5000000.00" } }
    dunning: [1d, 3d, 7d]
alerts:
  - { on: needs_review, to: [billing@example.com] }
  - { on: failed, after: 1d, to: [billing@example.com] }
"#;

    pub(in crate::workflow) fn config() -> Config {
        let wechat = WechatConfig {
            base_url: "https://apihk.mch.weixin.qq.com".to_owned(),
            mode: WechatMode::Common {
                mchid: "1".to_owned(),
                appid: "wx1".to_owned(),
            },
            merchant_keys: Vec::new(),
            api_v3_keys: Vec::new(),
            platform: Platform::certificates(),
            notify_url: "https://example.com/".to_owned(),
            settlements_by_sub_merchant: false,
        };
        let hk = GatewayConfig {
            name: "hk".to_owned(),
            rate: Rate {
                calls: 20,
                per: Duration::from_secs(1),
            },
            concurrency: 16,
            timeout: Duration::from_secs(15),
            query_interval: Duration::from_secs(10),
            refund_interval: Duration::from_secs(60),
            funds_interval: Duration::from_secs(1_800),
            burst: 0,
            stop_after: crate::config::StopAfter::default(),
            withdraw_at_once: false,
            customs: crate::config::CustomsConfig::default(),
            ownership: None,
            kind: GatewayKind::Wechat(wechat),
        };
        Config {
            timezone: chrono_tz::Asia::Hong_Kong,
            encryption_keys: vec!["none".into()],
            calendars: BTreeMap::from([(
                "hk".to_owned(),
                std::sync::Arc::new(payrun_domain::calendar::Calendar::new("hk")),
            )]),
            gateways: BTreeMap::from([("hk".to_owned(), hk)]),
            ..Config::with_ledger("".into(), Database::Sqlite("payrun.db".into()))
        }
    }

    pub(in crate::workflow) fn read(text: &str) -> Result<Workflow, Diagnostics> {
        parse(text, Path::new("w.yaml"), &JobKinds::built_in(), &config())
    }

    fn mistakes(text: &str) -> String {
        read(text)
            .map(|_| String::new())
            .unwrap_or_else(|found| found.to_string())
    }

    #[test]
    fn a_workflow_is_read_with_its_policies_and_limits() {
        let workflow = read(MONTHLY).unwrap();
        let job = &workflow.jobs[0];
        assert_eq!(job.policy.dunning.len(), 3);
        assert_eq!(job.policy.retry.attempts, 40);
        assert_eq!(job.limits.total["HKD"], 500_000_000);
        assert_eq!(
            workflow
                .schedule
                .as_ref()
                .map(|schedule| schedule.timetable.schedule().text()),
            Some("every month on 31 at 09:30")
        );
        assert_eq!(
            job.with["amount"]
                .item_columns()
                .into_iter()
                .collect::<Vec<_>>(),
            ["amount"]
        );
        assert_eq!(workflow.alerts[1].after, Duration::from_secs(86_400));
    }

    #[test]
    fn every_mistake_of_a_file_is_reported_at_once_with_what_to_do() {
        let text = r#"workflow: Monthly
schedule: "30 25 * * *"
params:
  month: { type: date, default: "2026-13-01" }
limts: 5
jobs:
  deduct:
    uses: deduckt
    gateway: hk
    items: { file: a.csv }
    key: "{{ item.id }}"
    with: {}
  charge:
    uses: deduct
    gateway: hkg
    needs: [dedukt]
    items:
      file: "{{ params.fiel }}"
      where: item.active = "yes"
    key: "{{ run.monht }}"
    with:
      contractid: "{{ item.contract_id }}"
      amount: "12.505"
      currency: HDK
      description: "{{ itm.plan }}"
      merchant_category_code: "12345678901234567"
    limits: { total: { HKX: "1", JPY: "1.5" } }
    rate: 100/s
    dunning: [1d, soon]
"#;
        insta::assert_snapshot!(mistakes(text), @r##"
        w.yaml:1:11: a workflow's name has 1 to 64 of a-z, 0-9, - and _, beginning with a letter
          | workflow: Monthly
          |           ^
        w.yaml:2:11: "25" is no hour; it takes 0 to 23, ranges, lists and steps such as */5
          | schedule: "30 25 * * *"
          |           ^
        w.yaml:4:33: the default must be a date such as 2026-11-30
          |   month: { type: date, default: "2026-13-01" }
          |                                 ^
        w.yaml:5:1: unknown field "limts"
          | limts: 5
          | ^
            help: valid here: workflow, description, schedule, params, jobs, alerts, report
        w.yaml:8:11: there is no job kind "deduckt"
          |     uses: deduckt
          |           ^
            help: did you mean "deduct"?
        w.yaml:15:14: payrun.yaml has no gateway "hkg"
          |     gateway: hkg
          |              ^
            help: did you mean "hk"?
        w.yaml:16:13: there is no job "dedukt"
          |     needs: [dedukt]
          |             ^
            help: did you mean "deduct"?
        w.yaml:18:13: there is no params.fiel
          |       file: "{{ params.fiel }}"
          |             ^
            help: valid here: month
        w.yaml:19:14: this is no expression: syntax error (unexpected input after expression)
          |       where: item.active = "yes"
          |              ^
        w.yaml:20:10: there is no run.monht
          |     key: "{{ run.monht }}"
          |          ^
            help: did you mean "month"?
        w.yaml:20:10: the key is the same for every row
          |     key: "{{ run.monht }}"
          |          ^
            help: use a column, such as {{ item.id }}
        w.yaml:22:7: deduct has no field "contractid"
          |       contractid: "{{ item.contract_id }}"
          |       ^
            help: did you mean "contract_id"?
        w.yaml:22:7: deduct needs the field "contract_id"
          |       contractid: "{{ item.contract_id }}"
          |       ^
            help: The contract, as the gateway returned it when it was signed.
        w.yaml:24:17: "HDK" is not a currency code of ISO 4217 (three capital letters, such as HKD)
          |       currency: HDK
          |                 ^
        w.yaml:25:24: unknown name "itm.plan"
          |       description: "{{ itm.plan }}"
          |                        ^
            help: there are item.<column>, params.<name> and run.<workflow|occurrence|date|month|id>; text needs quotes
        w.yaml:26:31: merchant_category_code has 17 characters; it takes 1 to 16
          |       merchant_category_code: "12345678901234567"
          |                               ^
        w.yaml:27:24: "HKX" is not a currency code of ISO 4217 (three capital letters, such as HKD)
          |     limits: { total: { HKX: "1", JPY: "1.5" } }
          |                        ^
        w.yaml:27:39: the amount 1.5 has more decimals than JPY has (0); a point that separates thousands is left out
          |     limits: { total: { HKX: "1", JPY: "1.5" } }
          |                                       ^
        w.yaml:29:19: expected a duration (250ms, 15s, 10m, 1h, 1d), found "soon"
          |     dunning: [1d, soon]
          |                   ^
        "##);
    }

    const REFUND: &str = r#"
workflow: refunds
jobs:
  refund:
    uses: refund
    gateway: hk
    items: { file: refunds.csv }
    key: "{{ item.refund }}"
    with: { out_trade_no: "{{ item.order }}", amount: "{{ item.amount }}", currency: HKD }
"#;

    #[test]
    fn refunds_wait_for_approval_unless_that_is_switched_off_and_others_if_they_say_so() {
        let deduct = |approval: &str| {
            MONTHLY.replace(
                "    dunning:",
                &format!("    approval: {approval}\n    dunning:"),
            )
        };
        let approval = |text: &str| read(text).unwrap().jobs[0].approval.clone();
        assert_eq!(approval(REFUND), Some(Approval::default()));
        assert_eq!(approval(&format!("{REFUND}    approval: off\n")), None);
        assert_eq!(approval(MONTHLY), None);
        let given = approval(&deduct("{ above: { HKD: \"10000\" }, by: 2, expires: 2d }")).unwrap();
        assert_eq!(
            (given.by, given.above["HKD"], given.expires),
            (2, 1_000_000, Duration::from_secs(2 * 86_400))
        );
        assert!(!given.is_needed([("HKD", 1_000_000)]) && given.is_needed([("HKD", 1_000_001)]));
        assert!(
            given.is_needed([("USD", 1)]),
            "a currency without a threshold"
        );
        assert!(Approval::default().is_needed([]));
        for (wrong, why) in [
            ("maybe", "expected off"),
            ("{ by: 0 }", "expected a whole number from 1 to 5"),
            ("{ above: { HKX: \"1\" } }", "is not a currency code"),
            ("{ expires: 0s }", "an approval takes some time"),
        ] {
            assert!(
                mistakes(&deduct(wrong)).contains(why),
                "{}",
                mistakes(&deduct(wrong))
            );
        }
    }

    fn with_jobs(needs: &[(&str, &str)]) -> String {
        let mut text = "workflow: w\njobs:\n".to_owned();
        for (name, needs) in needs {
            text.push_str(&format!(
                "  {name}:\n    uses: query\n    gateway: hk\n    needs: [{needs}]\n    items: {{ file: a.csv }}\n    with: {{ out_trade_no: \"{{{{ item.no }}}}\" }}\n"
            ));
        }
        text
    }

    #[test]
    fn jobs_that_wait_for_each_other_are_shown_as_a_path() {
        let shown = mistakes(&with_jobs(&[
            ("z", "a"),
            ("a", "b"),
            ("b", "c"),
            ("c", "a"),
        ]));
        assert!(
            shown.contains("these jobs wait for each other: a → b → c → a"),
            "{shown}"
        );
        assert!(mistakes(&with_jobs(&[("a", "a")])).contains("a → a"));
    }

    #[test]
    fn jobs_come_after_those_they_need_and_otherwise_as_written() {
        let workflow = read(&with_jobs(&[("d", "b"), ("a", ""), ("b", "c"), ("c", "")])).unwrap();
        let names: Vec<&str> = workflow.jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names, ["a", "c", "b", "d"]);
    }

    #[test]
    fn an_effect_needs_a_key_that_differs_from_row_to_row_and_a_look_up_brings_its_own() {
        let without = MONTHLY.replace("    key: \"{{ item.contract_id }}/{{ run.month }}\"\n", "");
        assert!(
            mistakes(&without).contains("deduct needs a key"),
            "{}",
            mistakes(&without)
        );
        let constant = MONTHLY.replace("{{ item.contract_id }}/{{ run.month }}", "{{ run.month }}");
        assert!(mistakes(&constant).contains("the key is the same for every row"));
        let look_up = read(&with_jobs(&[("a", "")])).unwrap();
        assert_eq!(
            look_up.jobs[0]
                .key
                .as_ref()
                .map(|key| key.item_columns().len()),
            None
        );
        let neither = with_jobs(&[("a", "")]).replace("out_trade_no: \"{{ item.no }}\"", "");
        assert!(
            mistakes(&neither).contains("query needs one of out_trade_no, transaction_id"),
            "{}",
            mistakes(&neither)
        );
    }

    #[test]
    fn schedules_are_checked_with_their_time_zone() {
        let with = |schedule: &str| {
            mistakes(
                &with_jobs(&[("a", "")]).replace("jobs:", &format!("schedule: {schedule}\njobs:")),
            )
        };
        for good in [
            "30 9 * * mon",
            "{ cron: '30 9 L * *', timezone: Europe/Berlin }",
            "{ every: week, on: monday, at: 09:30 }",
        ] {
            assert_eq!(with(good), "", "{good}");
        }
        for day in ["32", "0", "first", "1.5"] {
            let refused = with(&format!("{{ every: month, on: {day}, at: 09:30 }}"));
            let told = format!("\"{day}\" is no day of a month: write 1 to 31");
            assert!(refused.contains(&told), "{refused}");
        }
        assert!(with("{ every: month, at: 09:30 }").contains("needs on"));
        assert!(with("{ every: day, at: 25:00 }").contains("no time of day"));
        assert!(
            with("{ every: day, at: 09:00, timezone: Asia/Hongkong }")
                .contains("did you mean Asia/Hong_Kong?")
        );
        assert!(with("{ cron: '0 0 * * *', every: day }").contains("cron stands alone"));
    }

    #[test]
    fn a_schedule_says_what_is_done_on_days_off_and_about_times_that_were_missed() {
        let with = |more: &str| {
            MONTHLY.replace(
                "timezone: Asia/Hong_Kong",
                &format!("timezone: Asia/Hong_Kong{more}"),
            )
        };
        let plain = read(MONTHLY).unwrap().schedule.unwrap();
        assert_eq!(
            (plain.missed, plain.overlap, plain.paused),
            (MissedPolicy::Latest, Overlap::Allow, false)
        );
        let all = ", calendars: [hk], roll: skip, missed: each, overlap: queue, paused: true";
        let all = read(&with(all)).unwrap().schedule.unwrap();
        assert_eq!(
            (all.missed, all.overlap, all.paused),
            (MissedPolicy::Each, Overlap::Queue, true)
        );
        assert_eq!(all.timetable.calendars()[0].name, "hk");
        assert_ne!(all.timetable.moves(), plain.timetable.moves());
        for (more, expected) in [
            (", calendars: [hk, cn]", "there is no calendar \"cn\""),
            (", calendars: []", "names no calendar"),
            (", roll: back", "roll belongs to calendars"),
            (", missed: all", "expected none or latest or each"),
            (", overlap: wait", "expected allow or skip or queue"),
            (", paused: 1", "expected true or false"),
        ] {
            assert!(
                mistakes(&with(more)).contains(expected),
                "{more}: {}",
                mistakes(&with(more))
            );
        }
    }

    #[test]
    fn a_workflow_that_fires_by_itself_has_a_default_for_every_parameter() {
        let text = MONTHLY.replace("jobs:", "params:\n  day: { type: date }\njobs:");
        assert!(
            mistakes(&text).contains("a workflow with a schedule needs a default for \"day\""),
            "{}",
            mistakes(&text)
        );
    }
}
