//! Rows that no version of payrun writes, through the commands: each says in which table, row and
//! column the value lies, nothing stands in its place, and what else there is to say is said.

use expect_test::expect;
use payrun::clock::Clock;
use payrun::ledger::{NewNotification, NotificationOutcome};
use payrun::sandbox::faults::FaultPlan;
use serde_json::Value;

use crate::reseal;
use crate::support::engine_builder::WebhookService;
use crate::support::gateways::Rig;
use crate::support::said::assert_said;
use crate::support::{App, Setup};

#[test]
fn each_command_names_the_value_that_it_cannot_read() {
    let app = App::of(Setup::default());
    app.token("ann", "admin");
    app.run();
    let unread = "cannot be read; restore it";
    let doctor: &[&str] = &["doctor", "--offline"];
    for (spoil, mend, args, code, place) in [
        (
            "insert into lanes (name, state, reason) values ('hk/pay', 'shut', 'a test')",
            "delete from lanes where name = 'hk/pay'",
            doctor,
            3,
            "lane: the ledger holds what it never wrote: state of row hk/pay in lanes",
        ),
        (
            "update tokens set role = 'boss:' || role",
            "update tokens set role = substr(role, 6)",
            doctor,
            3,
            "token: the ledger holds what it never wrote: role of row ann in tokens",
        ),
        (
            "insert into incidents (id, key, kind, lasting, since, opened_at, payload) \
             values (7, 'k', 'lane_stopped', 1, 1, 1, '{')",
            "delete from incidents",
            &["alerts", "list"],
            0,
            "payload of row 7 in incidents",
        ),
        (
            "update runs set timezone = 'Mars/' || timezone",
            "update runs set timezone = substr(timezone, 6)",
            &["items", "-o", "items.xlsx"],
            1,
            "timezone of row 1 in runs",
        ),
        (
            "update jobs set file = '{' || file",
            "update jobs set file = substr(file, 2)",
            &["show", "1", "--json"],
            1,
            "file of row 1 in jobs",
        ),
        (
            "update jobs set file = '{' || file",
            "update jobs set file = substr(file, 2)",
            &["items", "-o", "items.xlsx"],
            1,
            "file of row 1 in jobs",
        ),
        (
            "insert into differences (id, lane, content_hash, reason, day, kind, order_no, refund_no, transaction_id, \
               their_state, detail, state, version, found_in, first_seen, last_seen, changed_at) \
             values (5, 'hk', zeroblob(16), 'missing_here', 'some day', 'payment', '', '', '', '', '', 'open', 1, 1, 1, 1, 1)",
            "delete from differences",
            &["differences", "list", "-o", "differences.xlsx"],
            1,
            "day of row 5 in differences",
        ),
    ] {
        app.change(spoil);
        app.payrun(args).exits(code).prints(place).prints(unread);
        app.change(mend);
    }
    app.payrun(doctor).exits(0);
}

#[test]
fn an_input_that_is_no_object_is_left_when_it_is_sealed_again_and_named() {
    let app = reseal::waiting(false, "");
    app.payrun(&reseal::RUN).exits(4);
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let both = "encryption_key: [{ file: keys/new.key }, { file: keys/old.key }]";
    app.write(
        "payrun.yaml",
        yaml.replace("encryption_key: { file: keys/old.key }", both),
    );
    app.change("update items set input = '{' || input where id = 3");
    let ended = app.payrun(&["reseal", "--json"]).exits(3);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&told["moved"], &told["left"]), (&29.into(), &1.into()));
    let why = told["why"][0].as_str().unwrap();
    assert_said(why, expect!["input of row 3 in items"]);
    app.change("update items set input = substr(input, 2) where id = 3");
}

#[test]
fn a_notification_that_cannot_be_read_stays_open_holds_up_no_other_and_is_named() {
    let rig = Rig::new(FaultPlan::NONE);
    rig.wait_for(async {
        let service = WebhookService::of(&rig, Clock::System).await;
        for (headers, body) in [("{", "e30="), ("{}", "%%"), ("{}", "e30=")] {
            let new = NewNotification {
                lane: "egms".to_owned(),
                digest: format!("{headers} {body}"),
                received_at: Clock::System.now(),
                headers: headers.to_owned(),
                body: body.to_owned(),
                sealed: false,
                order_no: None,
            };
            service.engine.ledger.keep_notification(new).await.unwrap();
        }
        service.hear().await;
        let mut kept = service.kept().await;
        kept.sort_by_key(|row| row.id);
        for (row, column) in kept.iter().zip(["headers", "body"]) {
            let place = format!("{column} of row {} in notifications", row.id);
            let detail = row.detail.as_deref().unwrap();
            assert!(detail.contains(&place), "{detail}");
            assert_eq!(row.outcome, NotificationOutcome::Open);
            assert!(row.next_at.is_some(), "{row:?}");
            let read = service.engine.read_notification(row).await;
            assert!(read.unwrap_err().to_string().contains(&place));
        }
        let third = kept[2].detail.as_deref().unwrap();
        assert_said(third, expect!["not the one whose digest"]);
        service.engine.ledger.clone().close().await;
    });
}
