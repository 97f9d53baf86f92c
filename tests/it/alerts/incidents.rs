//! One mail an incident: opened, gathered, over; quiet hours; and several processes.

use expect_test::expect;
use std::collections::BTreeMap;

use payrun::domain::time::Timestamp;
use payrun::ledger::LaneState;
use serde_json::json;

use super::{AlertProcess, text};
use crate::ledger::ledger_fixture::at;
use crate::ledger::{LedgerPlace, on_every_engine};
use crate::support::said::assert_said;
use crate::support::smtp::MailServer;

const RULES: &str = "alerts:
  - { on: lane_stopped, to: [ops@example.com] }
  - { on: lane_suspended, to: [ops@example.com] }
  - { on: lane_suspended, after: 30m, to: [boss@example.com] }
";

async fn stop(process: &AlertProcess, lane: &str) {
    let (stopped, why) = (LaneState::Stopped, "the gateway answers SIGN_ERROR");
    process
        .ledger
        .close_lane(lane, stopped, why, None, process.clock.now())
        .await
        .unwrap();
}

async fn suspend(process: &AlertProcess, lane: &str, seconds: u64) {
    let until = Timestamp::from_millis(
        process.clock.now().millis() + i64::try_from(seconds * 1000).unwrap(),
    );
    let (suspended, why) = (LaneState::Suspended, "the gateway answers NOT_ENOUGH");
    process
        .ledger
        .close_lane(lane, suspended, why, Some(until), process.clock.now())
        .await
        .unwrap();
}

fn subjects_to(server: &MailServer, whom: &str) -> Vec<String> {
    server
        .subjects()
        .into_iter()
        .filter(|(to, _)| to == whom)
        .map(|(_, subject)| subject)
        .collect()
}

#[test]
fn an_incident_is_told_when_it_begins_and_when_it_is_over_and_not_between() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(&place, &server, RULES, at(0)).await;
        assert_eq!(process.after(1).await.posted, 0);
        stop(&process, "hk").await;
        assert_eq!(process.after(5).await.sent, 1);
        for _ in 0..20 {
            assert_eq!(process.after(600).await.sent, 0, "one mail an incident");
        }
        process.ledger.release_lane("hk").await.unwrap();
        assert_eq!(process.after(5).await.sent, 0, "it may come again at once");
        assert_eq!(process.after(61).await.sent, 1);
        let mails = server.mails();
        assert_eq!(
            server
                .subjects()
                .into_iter()
                .map(|(_, subject)| subject)
                .collect::<Vec<_>>(),
            [
                "[payrun] URGENT: hk is stopped: nothing is sent until a person has mended it",
                "[payrun] over: hk is stopped: nothing is sent until a person has mended it",
            ]
        );
        assert!(
            text(&mails[0]).contains("the gateway answers SIGN_ERROR"),
            "{}",
            text(&mails[0])
        );
        assert!(text(&mails[0]).contains("What to do: mend what the reason says"));
        assert!(
            !text(&mails[1]).contains("What to do"),
            "{}",
            text(&mails[1])
        );
        // The same again is another incident.
        stop(&process, "hk").await;
        assert_eq!(process.after(700).await.sent, 1);
    });
}

#[test]
fn what_comes_and_goes_and_comes_is_one_incident() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(&place, &server, RULES, at(0)).await;
        for _ in 0..6 {
            suspend(&process, "hk/refund", 1_800).await;
            process.after(60).await;
            process.after(1_740).await;
            process.after(120).await;
        }
        assert_eq!(
            subjects_to(&server, "ops@example.com"),
            ["[payrun] hk is suspended: no refund is sent for now"]
        );
        process.after(1_800).await;
        process.after(700).await;
        assert_eq!(
            subjects_to(&server, "ops@example.com").len(),
            2,
            "over, once"
        );
    });
}

#[test]
fn a_rule_with_after_is_told_only_what_lasts_that_long() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(&place, &server, RULES, at(0)).await;
        suspend(&process, "hk", 1_200).await;
        for _ in 0..60 {
            process.after(60).await;
        }
        assert_eq!(subjects_to(&server, "ops@example.com").len(), 2);
        assert_eq!(subjects_to(&server, "boss@example.com").len(), 0);
        suspend(&process, "hk", 10_000).await;
        process.after(60).await;
        assert_eq!(process.after(1_700).await.sent, 0);
        assert_eq!(process.after(100).await.sent, 1);
        assert_eq!(subjects_to(&server, "boss@example.com").len(), 1);
    });
}

#[test]
fn what_comes_soon_after_a_mail_is_gathered_into_one_and_what_is_urgent_waits_a_minute_at_most() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(&place, &server, RULES, at(0)).await;
        suspend(&process, "a", 100_000).await;
        assert_eq!(process.after(1).await.sent, 1);
        suspend(&process, "b", 100_000).await;
        suspend(&process, "c", 100_000).await;
        assert_eq!(process.after(300).await.sent, 0);
        assert_eq!(
            process.after(301).await.sent,
            1,
            "ten minutes after the first"
        );
        assert_eq!(
            server.subjects()[1].1,
            "[payrun] b is suspended: nothing is sent for now (and 1 more)"
        );
        stop(&process, "d").await;
        assert_eq!(process.after(20).await.sent, 0);
        assert_eq!(process.after(41).await.sent, 1);
        assert!(
            server.subjects()[2]
                .1
                .starts_with("[payrun] URGENT: d is stopped")
        );
    });
}

#[test]
fn quiet_hours_hold_back_what_can_wait_and_nothing_else() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let rules = format!("quiet_hours: {{ from: \"22:00\", to: \"07:00\" }}\n{RULES}");
        // 14 November 2023, 22:13:20.
        let process = AlertProcess::open(&place, &server, &rules, at(0)).await;
        suspend(&process, "hk", 3_600).await;
        assert_eq!(process.after(60).await.sent, 0);
        stop(&process, "tw").await;
        assert_eq!(
            process.after(60).await.sent,
            1,
            "people are woken for a stopped lane"
        );
        assert!(!text(&server.mails()[0]).contains("hk"));
        process.ledger.release_lane("tw").await.unwrap();
        process.after(3_500).await;
        assert_eq!(
            process.after(100).await.sent,
            1,
            "and hear when they can sleep again"
        );
        assert!(
            text(&server.mails()[1]).contains("OVER: tw is stopped"),
            "{}",
            text(&server.mails()[1])
        );
        for _ in 0..7 {
            assert_eq!(process.after(3_600).await.sent, 0);
        }
        let waiting = process.ledger.waiting_alerts().await.unwrap();
        assert!(
            waiting
                .iter()
                .any(|(to, number, _)| to == "ops@example.com" && *number == 2),
            "{waiting:?}"
        );
        assert_eq!(process.after(2_520).await.sent, 0, "06:57 is still quiet");
        assert_eq!(process.after(200).await.sent, 1);
        let morning = &server.mails()[2];
        assert_said(text(morning), expect!["OVER AGAIN: hk is suspended"]);
    });
}

#[test]
fn rules_that_are_gone_end_their_incidents_without_a_word() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = AlertProcess::open(&place, &server, RULES, at(0)).await;
        suspend(&process, "hk", 100_000).await;
        assert_eq!(process.after(1).await.sent, 1);
        let other = AlertProcess::open(
            &place,
            &server,
            "alerts:\n  - { on: alarm, to: [x@example.com] }\n",
            at(60),
        )
        .await;
        other.after(60).await;
        other.after(600).await;
        assert_eq!(server.mails().len(), 1);
        assert_eq!(other.ledger.open_incidents().await.unwrap(), []);
    });
}

#[test]
fn several_processes_tell_everything_once() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let offices = offices(&place, &server).await;
        for lane in ["a", "b", "c"] {
            stop(&offices[0], lane).await;
        }
        for _ in 0..3 {
            let all = offices.iter().map(|process| async {
                for _ in 0..5 {
                    process.after(30).await;
                }
            });
            futures_util::future::join_all(all).await;
        }
        for lane in ["a", "b", "c"] {
            offices[0].ledger.release_lane(lane).await.unwrap();
        }
        for _ in 0..4 {
            futures_util::future::join_all(offices.iter().map(|process| process.after(400))).await;
        }
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for mail in server.mails() {
            for line in text(&mail)
                .lines()
                .filter(|line| line.contains("is stopped"))
            {
                *told
                    .entry(format!("{} {line}", mail["to"][0].as_str().unwrap()))
                    .or_default() += 1;
            }
        }
        assert_eq!(
            told.len(),
            12,
            "three lanes, two people, begun and over: {told:#?}"
        );
        assert!(told.values().all(|times| *times == 1), "{told:#?}");
    });
}

/// Four processes that mail two people.
async fn offices(place: &LedgerPlace, server: &MailServer) -> Vec<AlertProcess> {
    let rules = "alerts:\n  - { on: lane_stopped, to: [ann@example.com, bob@example.com] }\n";
    let mut offices = Vec::new();
    for _ in 0..4 {
        offices.push(AlertProcess::open(place, server, rules, at(0)).await);
    }
    offices
}

#[test]
fn a_gateway_that_is_not_reached_for_a_minute_is_told_of_and_that_it_is_reached_again() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let rules = "alerts:\n  - { on: gateway_unreachable, to: [ops@example.com] }\n";
        let process = AlertProcess::open(&place, &server, rules, at(0)).await;
        process
            .ledger
            .note_unreachable("hk", "connection refused", process.clock.now())
            .await
            .unwrap();
        assert_eq!(
            process.after(5).await.sent,
            0,
            "a moment is nobody's incident"
        );
        // Tried again, and in vain: since when stays.
        process
            .ledger
            .note_unreachable("hk", "connecting timed out", process.clock.now())
            .await
            .unwrap();
        assert_eq!(
            process.after(60).await.sent + process.after(70).await.sent,
            1
        );
        process.ledger.note_reached("hk").await.unwrap();
        process.after(5).await;
        assert_eq!(
            process.after(61).await.sent + process.after(601).await.sent,
            1
        );
        let subjects = subjects_to(&server, "ops@example.com");
        assert_eq!(
            subjects,
            [
                "[payrun] URGENT: hk cannot be reached: connecting timed out",
                "[payrun] over: hk cannot be reached: connecting timed out",
            ]
        );
    });
}
