//! Mail servers as they are: with TLS and login, in a bad mood, and dead.

use expect_test::expect;
use std::fs;

use payrun::domain::time::Timestamp;
use payrun::ledger::{LaneState, MailState};
use serde_json::json;

use super::{AlertProcess, text};
use crate::ledger::ledger_fixture::at;
use crate::ledger::{LedgerPlace, on_every_engine};
use crate::support::App;
use crate::support::said::assert_said;
use crate::support::smtp::{MailServer, USER};

const RULE: &str = "alerts:\n  - { on: lane_stopped, to: [ops@example.com] }\n";

fn app(server: &MailServer) -> App {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    let yaml = fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write("payrun.yaml", format!("{yaml}{}{RULE}", server.yaml()));
    app
}

#[test]
fn a_test_mail_goes_out_with_tls_and_login_and_says_what_the_server_said() {
    for security in ["tls", "starttls"] {
        let server = MailServer::secured(security);
        let app = app(&server);
        app.payrun(&["alerts", "test"])
            .exits(0)
            .says(expect!["ops@example.com: taken; the server said: 250"]);
        app.payrun(&[
            "alerts",
            "test",
            "--to",
            "ann@example.com",
            "--to",
            "bob@example.com",
        ])
        .exits(0);
        let mails = server.mails();
        assert_eq!(server.subjects().len(), 3, "{mails:#?}");
        for mail in &mails {
            assert_eq!(
                (&mail["tls"], &mail["user"]),
                (&json!(true), &json!(USER)),
                "{security}"
            );
            assert_eq!(mail["from"], "payrun@example.com");
            assert_eq!(mail["headers"]["auto-submitted"], "auto-generated");
            assert!(
                mail["html"]
                    .as_str()
                    .unwrap()
                    .starts_with("<!doctype html>")
                    && text(mail).contains("a test")
            );
        }
    }
}

#[test]
fn a_server_that_cannot_prove_who_it_is_gets_neither_password_nor_mail() {
    for security in ["tls", "starttls"] {
        let server = MailServer::secured(security);
        let app = app(&server);
        let stranger = server.stranger();
        let yaml = fs::read_to_string(app.path("payrun.yaml")).unwrap();
        let ca = yaml
            .lines()
            .find(|line| line.starts_with("  ca: "))
            .unwrap();
        app.write(
            "payrun.yaml",
            yaml.replace(ca, &format!("  ca: {{ file: {} }}", stranger.display())),
        );
        app.payrun(&["alerts", "test"])
            .exits(3)
            .says(expect!["not taken now"])
            .never_says("hunter2");
        // Nor is the machine's own store asked, which does not know it either.
        app.write("payrun.yaml", yaml.replace(&format!("{ca}\n"), ""));
        app.payrun(&["alerts", "test"])
            .exits(3)
            .says(expect!["not taken now"]);
        assert_eq!(server.mails().len(), 0);
    }
}

#[test]
fn a_server_without_starttls_gets_nothing_where_it_is_asked_for() {
    let server = MailServer::plain(json!({}));
    let app = app(&server);
    app.edit("payrun.yaml", "security: none", "security: starttls");
    app.payrun(&["alerts", "test"])
        .exits(3)
        .says(expect!["STARTTLS"]);
    assert_eq!(server.mails().len(), 0);
}

#[test]
fn a_wrong_password_waits_to_be_mended_and_is_never_shown() {
    let server = MailServer::secured("starttls");
    let app = app(&server);
    let yaml = fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let password = yaml
        .lines()
        .find(|line| line.starts_with("  password: "))
        .unwrap();
    app.write("wrong", "s3cret-but-wrong");
    app.write(
        "payrun.yaml",
        yaml.replace(password, "  password: { file: wrong }"),
    );
    app.payrun(&["alerts", "test"])
        .exits(3)
        .says(expect!["not let in by localhost"])
        .never_says("s3cret");
    assert_eq!(server.mails().len(), 0);
}

#[test]
fn without_a_mail_server_it_is_said_what_to_write() {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    app.payrun(&["alerts", "test", "--to", "ann@example.com"])
        .exits(2)
        .says(expect!["no mail server"])
        .says(expect!["host:"]);
}

/// A ledger of which a lane is stopped.
async fn stopped(place: &LedgerPlace, server: &MailServer, to: &str) -> AlertProcess {
    let rules = format!("alerts:\n  - {{ on: lane_stopped, to: [{to}] }}\n");
    let process = AlertProcess::open(place, server, &rules, at(0)).await;
    let (stopped, why) = (LaneState::Stopped, "the gateway answers SIGN_ERROR");
    process
        .ledger
        .close_lane("hk", stopped, why, None, at(0))
        .await
        .unwrap();
    process
}

#[test]
fn one_recipient_who_is_refused_does_not_cost_the_others_their_mail() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({ "refuse": ["gone@example.com"] }));
        let process = stopped(
            &place,
            &server,
            "ann@example.com, gone@example.com, bob@example.com",
        )
        .await;
        let delivered = process.after(1).await;
        assert_eq!((delivered.sent, delivered.lost), (2, 1));
        let to: Vec<String> = server.subjects().into_iter().map(|(to, _)| to).collect();
        assert_eq!(to, ["ann@example.com", "bob@example.com"]);
        let lost = process.ledger.undelivered_mails(None, 10).await.unwrap();
        assert_eq!((lost.len(), lost[0].state), (1, MailState::Refused));
        assert_said(
            lost[0].answer.as_deref().unwrap(),
            expect!["nobody of that name"],
        );
        assert_eq!(
            process.after(100_000).await.sent,
            0,
            "it is not tried again"
        );
        let again = process
            .ledger
            .resend_mails(Timestamp::from_millis(0), at(100_010))
            .await
            .unwrap();
        assert_eq!(
            (again, process.after(10).await.lost),
            (1, 1),
            "but a person may have it tried again"
        );
    });
}

#[test]
fn a_server_that_greylists_gets_the_mail_later_and_once() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({ "greylist": 2 }));
        let process = stopped(&place, &server, "ann@example.com").await;
        assert_eq!(process.after(1).await.waiting, 1);
        assert_eq!(
            process.after(30).await.waiting,
            0,
            "it is left alone for a minute"
        );
        assert_eq!(process.after(31).await.waiting, 1);
        let waiting = process.ledger.undelivered_mails(None, 10).await.unwrap();
        assert!(
            waiting[0].answer.as_deref().unwrap().contains("greylisted"),
            "{waiting:?}"
        );
        assert_eq!(process.after(60).await.sent, 0, "and then for two");
        assert_eq!(process.after(60).await.sent, 1);
        assert_eq!(
            process.after(10_000).await,
            payrun::alerts::DeliveryCounts::default()
        );
        assert_eq!(server.mails().len(), 1);
    });
}

#[test]
fn a_server_that_dies_before_it_says_that_it_took_the_mail_gets_it_again_under_the_same_id() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({ "die": 1 }));
        let process = stopped(&place, &server, "ann@example.com, bob@example.com").await;
        let first = process.after(1).await;
        assert_eq!(
            (first.sent, first.waiting),
            (1, 1),
            "the second mail goes by a connection of its own"
        );
        assert_eq!(process.after(61).await.sent, 1);
        let mails = server.mails();
        let to_ann: Vec<&str> = mails
            .iter()
            .filter(|mail| mail["to"][0] == "ann@example.com")
            .map(|mail| mail["headers"]["message-id"].as_str().unwrap())
            .collect();
        assert_eq!((mails.len(), to_ann.len()), (3, 2));
        assert_eq!(to_ann[0], to_ann[1], "whoever gets it twice can tell");
    });
}

#[test]
fn a_ledger_that_is_moved_takes_its_outbox_along_and_the_file_mails_no_more() {
    on_every_engine(async |place| {
        let LedgerPlace::Sqlite(_) = &place else {
            return;
        };
        let server = MailServer::plain(json!({ "greylist": 1 }));
        let process = stopped(&place, &server, "ann@example.com").await;
        process
            .ledger
            .note_unattested("hk", "deduct", "BRAND_NEW", None, 7, at(0))
            .await
            .unwrap();
        assert_eq!(process.after(1).await.waiting, 1);
        let schema = std::sync::Arc::new(crate::support::postgres::Schema::fresh().await);
        let there = LedgerPlace::Postgres(schema);
        let target = there.open().await;
        process
            .ledger
            .promote_to(&target, at(2), |_, _| {})
            .await
            .unwrap();
        let before = process.ledger.undelivered_mails(None, 10).await.unwrap();
        assert_eq!(
            (
                target.undelivered_mails(None, 10).await.unwrap(),
                before.len()
            ),
            (before, 1)
        );
        assert_eq!(
            target.open_incidents().await.unwrap(),
            process.ledger.open_incidents().await.unwrap()
        );
        let rules = "alerts:\n  - { on: lane_stopped, to: [ann@example.com] }\n";
        let moved = AlertProcess::open(&there, &server, rules, at(0)).await;
        assert_eq!(moved.after(100).await.sent, 1);
        process.clock.set(at(1_000));
        assert!(
            process.notices.deliver().await.is_err(),
            "the file is fenced"
        );
        assert_eq!(server.mails().len(), 1);
    });
}

#[test]
fn a_server_that_is_dead_for_days_loses_nothing_and_after_a_week_it_is_said() {
    on_every_engine(async |place| {
        let server = MailServer::plain(json!({}));
        let process = stopped(&place, &server, "ann@example.com").await;
        let dead = MailServer::dead();
        let rules = "alerts:\n  - { on: lane_stopped, to: [ann@example.com] }\n";
        let away = AlertProcess::open(&place, &dead, rules, at(0)).await;
        assert_eq!(away.after(1).await.waiting, 1);
        let mut tries = 1;
        for _ in 0..72 {
            tries += away.after(3_600).await.waiting;
        }
        assert!((60..=80).contains(&tries), "about once an hour: {tries}");
        process.clock.set(away.clock.now());
        assert_eq!(
            process.after(3_600).await.sent,
            1,
            "three days later it is there again"
        );
        assert_said(&server.subjects()[0].1, expect!["hk is stopped"]);

        let (stopped, why) = (LaneState::Stopped, "the gateway answers SIGN_ERROR");
        away.ledger
            .close_lane("tw", stopped, why, None, away.clock.now())
            .await
            .unwrap();
        away.clock.set(process.clock.now());
        assert_eq!(away.after(3_600).await.waiting, 1);
        assert_eq!(away.after(8 * 86_400).await.lost, 1);
        let lost = away.ledger.undelivered_mails(None, 10).await.unwrap();
        assert_eq!(lost[0].state, MailState::Expired);
        assert_said(
            lost[0].answer.as_deref().unwrap(),
            expect!["cannot connect to localhost"],
        );
    });
}
