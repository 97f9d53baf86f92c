//! What people hear of, and what never stands in a mail.

use expect_test::expect;
use std::time::Duration;

use payrun::alerts::{AlertInputs, Emergency, EmergencyMailer, RefusedRun};
use payrun::domain::actor::{Actor, Authorization, Reason};
use payrun::domain::alert::ExpiringCredential;
use payrun::domain::answer::{Answer, Cause, Decline, DeclineClass, NumberRule};
use payrun::domain::time::Timestamp;
use payrun::ledger::decide_about;
use serde_json::json;

use super::{AlertProcess, config, text, yaml};
use crate::ledger::ledger_fixture::{LedgerWorker, answered, at, done, item};
use crate::ledger::{LedgerPlace, on_every_engine};
use crate::support::said::assert_said;
use crate::support::smtp::MailServer;

const TO: &str = "to: [ops@example.com]";

fn rules(kinds: &[&str]) -> String {
    let rules: String = kinds
        .iter()
        .map(|kind| format!("  - {{ on: {kind}, {TO} }}\n"))
        .collect();
    format!("alerts:\n{rules}")
}

fn declined(class: DeclineClass) -> Answer {
    Answer::Declined(Decline {
        code: "NO_SUCH_CARD 6222021234567890".into(),
        class,
        number: NumberRule::Same,
    })
}

/// Answers all items of a desk.
async fn answer_all(worker: &LedgerWorker, now: Timestamp, answers: &[Answer]) {
    for (claimed, answer) in worker.claim(now, answers.len()).await.iter().zip(answers) {
        worker
            .ledger
            .settle(answered(claimed, answer.clone(), now))
            .await
            .unwrap();
    }
    worker.ledger.advance(now).await.unwrap();
}

/// A process over a desk with items that ended like this.
async fn office_after(
    place: &LedgerPlace,
    server: &MailServer,
    rules: &str,
    answers: &[Answer],
) -> (AlertProcess, LedgerWorker) {
    let items: Vec<_> = (1..=answers.len() as u64)
        .map(|line| payrun::ledger::NewItem {
            input: json!({ "description": "Ann's own plan" }).to_string(),
            ..item(line, &format!("CONTRACT-{line}/2026-11"))
        })
        .collect();
    let worker = LedgerWorker::with(place, &items).await;
    answer_all(&worker, at(1), answers).await;
    let process = AlertProcess::open(place, server, rules, at(2)).await;
    (process, worker)
}

fn by_ann() -> Authorization {
    Authorization {
        actor: Actor::person("ann", "test").unwrap(),
        reason: Reason::parse("try again").unwrap(),
    }
}

#[test]
fn a_run_that_ended_with_failures_is_told_with_counts_and_masked_reasons() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let answers = [
            done(),
            declined(DeclineClass::Hard),
            declined(DeclineClass::Hard),
        ];
        let (process, _desk) = office_after(&place, &server, &rules(&["failed"]), &answers).await;
        assert_eq!(process.after(1).await.sent, 1);
        let mail = &server.mails()[0];
        assert_eq!(
            mail["headers"]["subject"],
            "[payrun] w: a run ended, and 2 items failed"
        );
        assert_said(text(mail), expect!["2: declined: NO_SUCH_CARD …"]);
        for body in ["text", "html"] {
            let body = mail[body].as_str().unwrap();
            assert!(
                !body.contains("6222021234567890") && !body.contains("Ann"),
                "{body}"
            );
        }
        assert_eq!(process.after(86_400).await.sent, 0, "news are told once");
    });
}

#[test]
fn what_happens_after_a_clock_that_was_ahead_was_set_right_is_told_all_the_same() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let worker = LedgerWorker::with(&place, &[item(1, "CONTRACT-1/2026-11")]).await;
        let process = AlertProcess::open(
            &place,
            &server,
            &rules(&["failed", "lane_stopped"]),
            at(86_400),
        )
        .await;
        let (stopped, why) = (
            payrun::ledger::LaneState::Stopped,
            "the gateway answers SIGN_ERROR",
        );
        worker
            .ledger
            .close_lane("tw", stopped, why, None, at(86_400))
            .await
            .unwrap();
        assert_eq!(
            process.after(1).await.sent,
            1,
            "a day ahead a mail goes out"
        );
        process.clock.set(at(10));
        process.after(10).await;
        answer_all(&worker, at(3_000), &[declined(DeclineClass::Hard)]).await;
        process.after(4_000).await;
        let subjects: Vec<String> = server
            .subjects()
            .into_iter()
            .map(|(_, subject)| subject)
            .collect();
        assert!(
            subjects
                .iter()
                .any(|subject| subject.contains("1 item failed")),
            "{subjects:?}"
        );
    });
}

#[test]
fn failures_that_were_retried_in_time_are_not_told() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let rules = format!("alerts:\n  - {{ on: failed, after: 1d, {TO} }}\n");
        let (process, worker) = office_after(
            &place,
            &server,
            &rules,
            &[declined(DeclineClass::Hard), declined(DeclineClass::Hard)],
        )
        .await;
        assert_eq!(process.after(80_000).await.sent, 0);
        for id in [1, 2] {
            worker
                .ledger
                .apply_action(
                    id,
                    &payrun::ledger::OperatorAction::Retry,
                    &by_ann(),
                    process.clock.now(),
                )
                .await
                .unwrap();
        }
        answer_all(
            &worker,
            process.clock.now(),
            &[done(), declined(DeclineClass::Hard)],
        )
        .await;
        assert_eq!(
            process.after(10_000).await.sent,
            0,
            "a day after the first end it had begun again"
        );
        // The retry asks first; whatever became of it, only what is failed a day after the last end
        // is told.
        process.after(90_000).await;
        assert!(server.mails().len() <= 1);
    });
}

#[test]
fn items_that_need_a_person_are_named_by_key_until_somebody_has_looked() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let answers = [
            declined(DeclineClass::Person),
            declined(DeclineClass::Person),
            done(),
        ];
        let (process, worker) =
            office_after(&place, &server, &rules(&["needs_review"]), &answers).await;
        assert_eq!(process.after(1).await.sent, 1);
        let mail = &server.mails()[0];
        assert_eq!(
            mail["headers"]["subject"],
            "[payrun] w: 2 items need a person"
        );
        assert_said(
            text(mail),
            expect!["CONTRACT-1/2026-11: a person has to decide"],
        );
        assert!(
            !text(mail).contains("Ann") && !text(mail).contains("6222"),
            "{}",
            text(mail)
        );
        for id in [1, 2] {
            worker
                .ledger
                .apply_action(
                    id,
                    &payrun::ledger::OperatorAction::Retry,
                    &by_ann(),
                    process.clock.now(),
                )
                .await
                .unwrap();
        }
        process.after(60).await;
        assert_eq!(process.after(700).await.sent, 1);
        assert_eq!(
            server.subjects()[1].1,
            "[payrun] over: w: 2 items need a person"
        );
    });
}

#[test]
fn what_is_not_known_for_long_is_told_and_what_is_known_soon_is_not() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let unknown = || Answer::Unknown {
            cause: Cause::TimedOut,
            code: String::new(),
        };
        let (process, _desk) = office_after(
            &place,
            &server,
            &rules(&["unknown, after: 10m"]),
            &[unknown(), unknown()],
        )
        .await;
        assert_eq!(process.after(500).await.sent, 0);
        assert_eq!(process.after(120).await.sent, 1);
        let subject = &server.subjects()[0].1;
        assert_eq!(
            subject,
            "[payrun] w: not known for more than 10m what became of 2 items"
        );
    });
}

#[test]
fn money_that_moved_for_an_ended_item_wakes_people_once() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let quiet = format!(
            "quiet_hours: {{ from: \"00:00\", to: \"23:59\" }}\n{}",
            rules(&["alarm", "failed"])
        );
        let (process, worker) =
            office_after(&place, &server, &quiet, &[declined(DeclineClass::Hard)]).await;
        assert_eq!(process.after(1).await.sent, 0, "failures wait");
        let evidence = payrun::ledger::StatementEvidence {
            day: "2023-11-14".to_owned(),
            line: 3,
            order_no: payrun::domain::ids::OrderNumber::parse(
                worker.items().await[0].order_no.as_deref().unwrap(),
            )
            .unwrap(),
            receipt: payrun::domain::answer::Receipt("R9".into()),
            amount: worker.items().await[0].amount.unwrap(),
            now: process.clock.now(),
        };
        let believed = worker
            .ledger
            .apply_statement_line(1, &evidence)
            .await
            .unwrap();
        assert_eq!(believed, payrun::ledger::EvidenceOutcome::Contradicted);
        assert_eq!(process.after(1).await.sent, 1);
        let subject = &server.subjects()[0].1;
        assert_eq!(
            subject,
            "[payrun] URGENT: w: money moved, or may have, against what is known of an item"
        );
        assert!(text(&server.mails()[0]).contains("CONTRACT-1/2026-11"));
        assert_eq!(process.after(600).await.sent, 0);
    });
}

#[test]
fn an_answer_that_nobody_has_listed_is_told_the_first_time() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(&place, &server, &rules(&["unmapped_code"]), at(0)).await;
        for seconds in [0, 1, 4_000] {
            process
                .ledger
                .note_unattested("hk", "deduct", "BRAND_NEW", None, 7, at(seconds))
                .await
                .unwrap();
        }
        assert_eq!(process.after(5_000).await.sent, 1);
        process
            .ledger
            .note_unattested("hk", "deduct", "BRAND_NEW", None, 8, at(9_000))
            .await
            .unwrap();
        assert_eq!(process.after(5_000).await.sent, 0);
        let (_, subject) = &server.subjects()[0];
        assert_eq!(
            subject,
            "[payrun] hk answers BRAND_NEW to deduct, which no outcome table lists"
        );
        let rests_on = "[C] a name from mainland's APIv3";
        for seconds in [10_000, 14_000] {
            let assumed = Some(rests_on);
            process
                .ledger
                .note_unattested("hk", "deduct", "NOT_ENOUGH", assumed, 9, at(seconds))
                .await
                .unwrap();
        }
        assert_eq!(process.after(9_000).await.sent, 1);
        let (_, subject) = &server.subjects()[1];
        assert_eq!(
            subject,
            "[payrun] hk answers NOT_ENOUGH to deduct, whose meaning payrun only assumes"
        );
    });
}

#[test]
fn a_run_that_does_not_begin_in_time_is_told_and_that_it_began_later() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = watching(&place, &server, "not_started, after: 30m").await;
        assert_eq!(
            process.after(60).await.sent,
            0,
            "what was due the day before, nobody watched"
        );
        assert_eq!(process.after(2_700).await.sent, 0, "22:59");
        assert_eq!(process.after(120).await.sent, 1);
        assert_eq!(server.subjects()[0].1, "[payrun] w has not begun in time");
        let late = payrun::ledger::NewRun {
            now: process.clock.now(),
            ..crate::ledger::ledger_fixture::run("late")
        };
        let mut planning = process.ledger.plan(late).await.unwrap();
        planning
            .job(crate::ledger::ledger_fixture::job("charge"))
            .await
            .unwrap();
        planning.commit().await.unwrap();
        process.after(60).await;
        assert_eq!(process.after(600).await.sent, 1);
        assert_eq!(
            server.subjects()[1].1,
            "[payrun] over: w has not begun in time"
        );
        // The next night nobody begins it either.
        assert_eq!(process.after(86_400).await.sent, 1);
    });
}

#[test]
fn a_run_that_does_not_end_in_time_is_told_and_that_it_ended_later() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = watching(&place, &server, "not_finished, by: \"23:30\"").await;
        assert_eq!(process.after(60).await.sent, 0);
        // 22:30
        process.clock.set(at(1_000));
        let begun = payrun::ledger::NewRun {
            now: process.clock.now(),
            ..crate::ledger::ledger_fixture::run("2023-11-14T22:30")
        };
        let mut planning = process.ledger.plan(begun).await.unwrap();
        planning
            .job(crate::ledger::ledger_fixture::job("charge"))
            .await
            .unwrap();
        planning.commit().await.unwrap();
        assert_eq!(process.after(3_000).await.sent, 0, "23:20");
        assert_eq!(process.after(900).await.sent, 1);
        assert_eq!(server.subjects()[0].1, "[payrun] w has not ended in time");
        process.ledger.advance(process.clock.now()).await.unwrap();
        process.after(60).await;
        assert_eq!(process.after(600).await.sent, 1);
        assert_eq!(
            server.subjects()[1].1,
            "[payrun] over: w has not ended in time"
        );
    });
}

#[test]
fn rows_that_were_refused_and_books_that_differ_are_told_by_the_command_that_looks() {
    let server = MailServer::plain(json!({}));
    let more = |kind: &str| format!("\n{}{}", server.yaml(), rules(&[kind]));
    let app = crate::support::App::with_contracts(
        "contract_id,plan,amount,currency,active\nC-1,basic,38.00,HKD,yes\nC-2,basic,of 6222021234567890,HKD,yes\n",
    );
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write("payrun.yaml", yaml + &more("rejected"));
    app.run().exits(3);
    app.payrun(&["alerts", "run"]).exits(0);
    assert_eq!(
        server.subjects()[0].1,
        "[payrun] deductions: 1 row was refused; the others go on"
    );
    assert!(
        !text(&server.mails()[0]).contains("6222021234567890"),
        "{}",
        text(&server.mails()[0])
    );
    app.payrun(&["alerts", "run"]).exits(0);
    assert_eq!(server.subjects().len(), 1, "once");

    let rig = crate::statements::reconciled(payrun::sandbox::faults::FaultPlan::NONE, "days: 1");
    let yaml = std::fs::read_to_string(rig.folder.path().join("payrun.yaml")).unwrap();
    rig.write("payrun.yaml", yaml + &more("difference"));
    let (code, told) = rig.payrun(&["alerts", "run"]);
    assert_eq!(code, Some(0), "{told}");
    let mail = &server.mails()[1];
    assert!(
        text(mail).contains("wechat:") && text(mail).contains("differences from the statement"),
        "{}",
        text(mail)
    );
    assert!(
        text(mail).contains("hipopay:") && text(mail).contains(".html"),
        "{}",
        text(mail)
    );
}

/// A process that watches a workflow with this rule. It is 14 November 2023, 22:13:20; the schedule
/// fires at 22:30.
async fn watching(place: &LedgerPlace, server: &MailServer, rule: &str) -> AlertProcess {
    let yaml = yaml(server, "").replace("gateways: {}", GATEWAY);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("key"),
        "0123456789abcdef0123456789abcdef",
    )
    .unwrap();
    let path = folder.path().join("payrun.yaml");
    let config =
        payrun::config::load::parse(&yaml, &path).unwrap_or_else(|found| panic!("{found}"));
    let text = SCHEDULED.replace("RULE", rule);
    let (place_of_it, job_kinds) = (
        folder.path().join("w.yaml"),
        payrun::job_kinds::JobKinds::built_in(),
    );
    let workflow = payrun::workflow::load::parse(&text, &place_of_it, &job_kinds, &config);
    let mut process = AlertProcess::open(place, server, "", at(0)).await;
    process.workflows = vec![std::sync::Arc::new(
        workflow.unwrap_or_else(|found| panic!("{found}")),
    )];
    process
}

const GATEWAY: &str = "gateways:
  tw:
    kind: egms
    base_url: https://egms.example.com
    sid: S1
    sign_key: { file: key }
    notify_url: https://pay.example.com/notify";

const SCHEDULED: &str = "workflow: w
schedule: { every: day, at: \"22:30\", timezone: UTC }
jobs:
  look:
    uses: query
    gateway: tw
    items: { file: a.csv }
    with: { out_trade_no: \"{{ item.no }}\" }
alerts:
  - { on: RULE, to: [ops@example.com] }
";

#[test]
fn what_the_process_itself_found_is_told_too() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(
            &place,
            &server,
            &rules(&["certificate", "refused", "limit"]),
            at(0),
        )
        .await;
        let certificate = |days: u64| ExpiringCredential {
            gateway: "hk".to_owned(),
            what: "merchant certificate".to_owned(),
            until: at(days * 86_400),
        };
        let refused = |limit, occurrence: &str| RefusedRun {
            workflow: "monthly".to_owned(),
            occurrence: occurrence.to_owned(),
            at: at(0),
            limit,
            reason: "column amount: 6222021234567890 is no amount".to_owned(),
            removed: None,
        };
        let removed = RefusedRun {
            removed: Some(decide_about("monthly")),
            ..refused(false, "3")
        };
        let watched = AlertInputs {
            certificates: &[certificate(40)],
            ..AlertInputs::default()
        };
        assert_eq!(process.work(&watched).await.sent, 0);
        let watched = AlertInputs {
            certificates: &[certificate(20)],
            refused: &[
                refused(false, "manual 2026-03-03T01:30:00.123Z"),
                refused(true, "2"),
                removed,
            ],
            ..AlertInputs::default()
        };
        assert_eq!(process.work(&watched).await.sent, 1);
        let mail = &server.mails()[0];
        for told in [
            "the merchant certificate expires at",
            "it could not be taken up",
            "exceeded a limit",
            "monthly: its file was removed, and it is paused",
            "`payrun resume workflow monthly --reason WHY`",
            "`payrun cancel --workflow monthly --state planned,awaiting_approval,sending,pending,unknown --reason WHY --yes`",
        ] {
            assert!(text(mail).contains(told), "{told}: {}", text(mail));
        }
        assert!(!text(mail).contains("6222"), "{}", text(mail));
        // No time is left as programs write it: each names its zone.
        let is_raw = |word: &&str| word.contains("T0") && word.ends_with('Z');
        let words = text(mail)
            .split(|c: char| c.is_whitespace() || "(),".contains(c))
            .map(str::to_owned);
        let words: Vec<String> = words.collect();
        let raw = words.iter().map(String::as_str).find(is_raw);
        assert_eq!(raw, None, "{}", text(mail));
        assert!(text(mail).contains("manual 2026-03-03 "), "{}", text(mail));
        assert_eq!(process.work(&watched).await.sent, 0);
    });
}

#[test]
fn the_daily_mail_has_the_sums_of_the_ledger_and_comes_once_a_day() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let rules = "daily: { at: \"08:00\", to: [finance@example.com] }\n";
        let answers = [done(), done(), declined(DeclineClass::Hard)];
        let (process, _desk) = office_after(&place, &server, rules, &answers).await;
        assert_eq!(
            process.after(1).await.sent,
            0,
            "22:13, and the last one is long past"
        );
        assert_eq!(process.after(36_000).await.sent, 1);
        assert_eq!(process.after(60).await.sent, 0);
        let mail = &server.mails()[0];
        assert_eq!(
            mail["headers"]["subject"],
            "[payrun] the sums of the day; 1 item did not go well"
        );
        assert_said(text(mail), expect!["w: 2 succeeded, 20.00 HKD"]);
        assert_said(text(mail), expect!["w: 1 failed, 10.00 HKD"]);
        assert_eq!(process.after(86_400).await.sent, 1);
        let next = &server.mails()[1];
        assert_eq!(
            next["headers"]["subject"],
            "[payrun] all quiet, and the sums of the day"
        );
    });
}

#[tokio::test]
async fn a_ledger_that_cannot_be_written_is_told_of_without_it_and_not_too_often() {
    let server = MailServer::plain(json!({}));
    let clock = payrun::clock::Clock::driven(at(0));
    let config = config(&yaml(&server, &rules(&["database", "disk"])));
    let direct = EmergencyMailer::new(&config, "pay-1", clock.clone()).unwrap();
    let pass = |seconds| clock.set(clock.now().plus(Duration::from_secs(seconds)));
    assert_eq!(direct.report(&[]).await, 0);
    let down = [Emergency::Database(
        "the disk of the ledger is full: settling".to_owned(),
    )];
    assert_eq!(direct.report(&down).await, 1);
    for _ in 0..100 {
        pass(5);
        assert_eq!(direct.report(&down).await, 0);
    }
    pass(3_600);
    assert_eq!(direct.report(&down).await, 1, "once an hour while it lasts");
    assert_eq!(direct.report(&[]).await, 1);
    assert_eq!(direct.report(&[]).await, 0);
    let subjects: Vec<String> = server
        .subjects()
        .into_iter()
        .map(|(_, subject)| subject)
        .collect();
    assert_eq!(subjects[0], "[payrun] URGENT: the ledger cannot be used");
    assert_eq!(subjects[2], "[payrun] over: the ledger cannot be used");
    assert!(text(&server.mails()[0]).contains("pay-1"));
}

#[tokio::test]
async fn an_incident_that_nobody_could_be_told_of_is_told_when_the_mail_server_is_back() {
    let server = MailServer::plain(json!({ "greylist": 1 }));
    let clock = payrun::clock::Clock::driven(at(0));
    let direct = EmergencyMailer::new(
        &config(&yaml(&server, &rules(&["disk"]))),
        "pay-1",
        clock.clone(),
    )
    .unwrap();
    let full = [Emergency::Disk("97 % of the disk is used".to_owned())];
    assert_eq!(direct.report(&full).await, 0);
    clock.set(at(30));
    assert_eq!(
        direct.report(&full).await,
        0,
        "it is left alone for a minute"
    );
    clock.set(at(61));
    assert_eq!(direct.report(&full).await, 1);
}

#[test]
fn contracts_that_payrun_stopped_and_those_that_nobody_charges_are_told_of() {
    let app = crate::support::App::with_contracts("contract_id,plan,amount,currency,active\n");
    let rows: String = (1..=12)
        .map(|n| format!("K-{n:02},38.00,HKD,2026-11-20,20,Basic\n"))
        .collect();
    app.write(
        "contracts.csv",
        format!("contract_id,amount,currency,start,anchor_day,description\n{rows}"),
    );
    app.payrun(&["contracts", "import", "contracts.csv", "--by", "ann"])
        .exits(0);
    let server = MailServer::plain(json!({}));
    app.wait_for(async {
        let ledger = app.ledger().await;
        let instant = |text: &str| {
            Timestamp::from_millis(
                chrono::DateTime::parse_from_rfc3339(text)
                    .unwrap()
                    .timestamp_millis(),
            )
        };
        let clock = payrun::clock::Clock::driven(instant("2026-11-21T23:00:00Z"));
        let config = super::config(&super::yaml(
            &server,
            &rules(&["contract_stopped", "contract_overdue"]),
        ));
        let notices = payrun::alerts::Alerts::new(&config, ledger.clone(), clock.clone()).unwrap();
        let process = AlertProcess {
            notices,
            clock,
            ledger,
            workflows: Vec::new(),
        };
        assert_eq!(
            process.after(0).await.sent,
            0,
            "it may be the 20th somewhere, and a day is no hurry"
        );
        let stop = |contract: i64, what, who: &str, why: &str| payrun::ledger::ContractChange {
            what,
            who: if who == "ann" {
                by_ann().actor
            } else {
                Actor::payrun()
            },
            why: why.to_owned(),
            code: None,
            today: chrono::NaiveDate::from_ymd_opt(
                2026,
                11,
                22 + u32::try_from(contract / 100).unwrap(),
            )
            .unwrap(),
            now: process.clock.now(),
        };
        process.clock.set(instant("2026-11-22T01:00:00Z"));
        for contract in 1..=11 {
            let change = stop(
                contract,
                payrun::ledger::ContractAction::Suspend,
                "payrun",
                "the card 6222021234567890 has expired",
            );
            process
                .ledger
                .change_contract(contract, &change)
                .await
                .unwrap();
        }
        let change = stop(
            12,
            payrun::ledger::ContractAction::Suspend,
            "ann",
            "the customer has called",
        );
        process.ledger.change_contract(12, &change).await.unwrap();
        assert_eq!(
            process.after(60).await.sent,
            0,
            "more may stop within minutes"
        );
        assert_eq!(process.after(300).await.sent, 1);
        let mail = &server.mails()[0];
        assert_eq!(
            mail["headers"]["subject"],
            "[payrun] 11 contracts suspended, and no longer charged"
        );
        assert!(
            text(mail).contains("K-01") && text(mail).contains("and 1 more"),
            "{}",
            text(mail)
        );
        assert!(
            !text(mail).contains("6222021234567890") && !text(mail).contains("K-12"),
            "{}",
            text(mail)
        );
        assert_eq!(process.after(900).await.sent, 0, "once");
        let change = stop(
            12,
            payrun::ledger::ContractAction::Resume,
            "ann",
            "the customer has paid",
        );
        process.ledger.change_contract(12, &change).await.unwrap();
        process.clock.set(instant("2026-12-22T01:00:00Z"));
        assert_eq!(process.after(0).await.sent, 1);
        assert_eq!(
            server.subjects()[1].1,
            "[payrun] 1 contract due and not charged"
        );
        process.ledger.close().await;
    });
}

#[test]
fn a_batch_that_waits_for_approval_is_told_of_with_the_link_to_its_page() {
    let app = crate::support::App::of(crate::support::Setup {
        contracts: crate::support::contracts("C", 3),
        job: "    approval: {}\n",
        ..crate::support::Setup::default()
    });
    app.run().exits(4);
    let server = MailServer::plain(json!({}));
    let rules = format!(
        "server: {{ public_url: \"https://pay.example.com/payrun/\" }}\n{}",
        rules(&["awaiting_approval"])
    );
    app.wait_for(async {
        let ledger = app.ledger().await;
        let clock = payrun::clock::Clock::driven(Timestamp::from_millis(
            chrono::Utc::now().timestamp_millis(),
        ));
        let config = config(&yaml(&server, &rules));
        let process = AlertProcess {
            notices: payrun::alerts::Alerts::new(&config, ledger.clone(), clock.clone()).unwrap(),
            clock,
            ledger: ledger.clone(),
            workflows: Vec::new(),
        };
        assert_eq!(process.after(0).await.sent, 1);
        assert_eq!(process.after(60).await.sent, 0, "once");
        let mail = &server.mails()[0];
        assert_eq!(
            mail["headers"]["subject"],
            "[payrun] deductions: 3 items (120.00 HKD) wait for approval"
        );
        assert_said(
            text(mail),
            expect!["https://pay.example.com/payrun/approvals/1/deduct"],
        );
        let approval = ledger.approvals_of_run(1).await.unwrap().remove(0);
        let now = process.clock.now();
        ledger.reject(approval.id, &by_ann(), now).await.unwrap();
        process.after(60).await;
        process.after(900).await;
        assert_eq!(
            server.subjects().last().unwrap().1,
            "[payrun] over: deductions: 3 items (120.00 HKD) wait for approval"
        );
        ledger.close().await;
    });
}
