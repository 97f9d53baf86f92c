//! `mail`, `alerts`, `quiet_hours` and `daily`: every mistake at once, at its place.

use crate::support::said::assert_said;
use crate::support::smtp::MailServer;
use crate::support::{App, WORKFLOW};
use expect_test::expect;

fn mistakes(more: &str) -> String {
    let text = format!("database: payrun.db\ntimezone: UTC\ngateways: {{}}\n{more}");
    let found = payrun::config::load::parse(&text, std::path::Path::new("payrun.yaml"));
    found
        .map(|_| String::new())
        .unwrap_or_else(|found| found.to_string())
}

const MAIL: &str = "mail: { host: localhost, security: none, from: payrun@example.com }\n";

#[test]
fn mistakes_in_rules_and_mail_are_told_with_what_to_do() {
    let text = r#"mail:
  host: smtp.example.com
  security: none
  user: payrun
  from: nobody
alerts:
  - { on: needs_reviw, to: [a@example.com] }
  - { on: alarm, after: 5m, to: [a@example.com] }
  - { on: not_started, to: [a@example.com] }
  - { on: not_finished, by: "25:00", to: [a@example.com] }
  - { on: needs_review, by: "10:00", to: [a@example.com] }
  - { on: disk, workflow: w, to: [a@example.com] }
  - { on: failed, after: 31d, to: [] }
quiet_hours: { from: "22:00", to: "7" }
daily: { at: "8 o'clock", to: [a@example.com] }
"#;
    insta::assert_snapshot!(mistakes(text), @r#"
    payrun.yaml:5:3: user and password belong together
      |   host: smtp.example.com
      |   ^
        help: give both, or neither
    payrun.yaml:6:13: security: none is for a server on this machine, not for smtp.example.com
      |   security: none
      |             ^
        help: use tls or starttls
    payrun.yaml:8:9: this is no e-mail address
      |   from: …
      |         ^
        help: such as payrun <payrun@example.com>
    payrun.yaml:10:11: expected failed or rejected or refused or limit or not_started or not_finished or unknown or needs_review or awaiting_approval or lane_suspended or lane_stopped or gateway_unreachable or certificate or unmapped_code or payer_differs or alarm or difference or contract_stopped or contract_overdue or disk or database, found text
        help: did you mean "needs_review"?
    payrun.yaml:11:5: alarm: it is told at once, and takes no after
    payrun.yaml:12:5: not_started: exactly one of after (the schedule's time) and by (a time of day) is needed
    payrun.yaml:13:29: by takes a time of day
        help: such as "09:45"
    payrun.yaml:14:5: needs_review: by is for not_started and not_finished
    payrun.yaml:15:5: disk is about no workflow
        help: write it in payrun.yaml, without workflow
    payrun.yaml:16:5: failed: after takes at most 30d
    payrun.yaml:16:35: to takes 1 to 50 addresses
    payrun.yaml:17:14: "7" is no time of day (write it like "02:30")
      | quiet_hours: …
      |              ^
    payrun.yaml:18:8: "8 o'clock" is no time of day (write it like "02:30")
      | daily: …
      |        ^
    "#);
}

#[test]
fn everything_that_is_well_formed_is_taken() {
    let good = r#"alerts:
  - { on: not_started, by: "09:45", workflow: monthly, to: [a@example.com] }
  - { on: not_finished, after: 8h, to: [a@example.com, b@example.com] }
  - { on: unknown, after: 1h, to: [a@example.com] }
  - { on: disk, to: [a@example.com] }
quiet_hours: { from: "22:00", to: "07:00" }
daily: "08:00"
"#;
    assert_eq!(mistakes(&format!("{MAIL}{good}")), "");
    assert_said(mistakes(good), expect!["alerts needs mail"]);
    assert!(
        mistakes(&format!("{MAIL}daily: \"08:00\"\n")).contains("nobody would get the daily mail")
    );
}

#[test]
fn rules_of_a_workflow_file_are_checked_as_those_of_payrun_yaml() {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    let workflow = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let with = |rule: &str| {
        app.write(WORKFLOW, format!("{workflow}alerts:\n  - {rule}\n"));
        app.payrun(&["check"])
    };
    with("{ on: lane_stoped, to: [a@example.com] }")
        .exits(2)
        .says(expect!["did you mean \"lane_stopped\"?"]);
    with("{ on: database, to: [a@example.com] }")
        .exits(2)
        .says(expect!["write it in payrun.yaml"]);
    with("{ on: needs_review, to: [a@@example.com] }")
        .exits(2)
        .says(expect!["this is no e-mail address"]);
    with("{ on: needs_review, after: 10m, to: [a@example.com] }").exits(0);
    app.payrun(&["alerts", "rules"])
        .exits(0)
        .says(expect!["after 10m"])
        .says(expect!["deductions"])
        .says(expect!["no alert is sent"]);
}

#[test]
fn a_rule_about_a_workflow_that_is_not_there_is_a_mistake() {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "payrun.yaml",
        format!(
            "{yaml}{MAIL}alerts: [{{ on: needs_review, workflow: deduction, to: [a@example.com] }}]\n"
        ),
    );
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["the workflow \"deduction\""]);
    app.edit(
        "payrun.yaml",
        "workflow: deduction,",
        "workflow: deductions,",
    );
    app.payrun(&["check"]).exits(0);
}

#[test]
fn an_absence_needs_a_schedule() {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    let workflow = std::fs::read_to_string(app.path(WORKFLOW)).unwrap();
    let rule = "alerts: [{ on: not_started, after: 5m, to: [a@example.com] }]\n";
    app.write(WORKFLOW, format!("{workflow}{rule}"));
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["not_started needs a schedule"]);
    app.write(
        WORKFLOW,
        format!("schedule: \"30 9 * * *\"\n{workflow}{rule}"),
    );
    app.payrun(&["check"]).exits(0);
}

/// A certificate with a serial, that has expired.
fn expired(serial: &str) -> String {
    use rcgen::{CertificateParams, KeyPair, SerialNumber, date_time_ymd};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let digits = serial
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16));
    params.serial_number = Some(SerialNumber::from(
        digits.collect::<Result<Vec<u8>, _>>().unwrap(),
    ));
    (params.not_before, params.not_after) = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
    params
        .self_signed(&KeyPair::generate().unwrap())
        .unwrap()
        .pem()
}

#[test]
fn our_own_certificate_is_told_of_before_it_expires_and_must_be_the_one_in_use() {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    let server = MailServer::plain(serde_json::json!({}));
    let yaml = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    let serial = yaml
        .lines()
        .find_map(|line| line.trim().strip_prefix("merchant_serial: "))
        .unwrap()
        .trim_matches('"');
    let with = yaml.replace(
        "    mode: common\n",
        "    mode: common\n    merchant_certificate: { file: own.pem }\n",
    );
    let rules = "alerts: [{ on: certificate, to: [ops@example.com] }]\n";
    app.write("payrun.yaml", format!("{with}{}{rules}", server.yaml()));
    app.write("own.pem", expired("0102030405060708"));
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["another serial than merchant_serial says"]);
    app.write("own.pem", "no certificate");
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["this is no certificate"]);
    app.write("own.pem", expired(serial));
    app.payrun(&["alerts", "run"])
        .exits(0)
        .says(expect!["1 sent"]);
    app.payrun(&["alerts", "run"])
        .exits(0)
        .says(expect!["0 sent"]);
    let subjects = server.subjects();
    assert_eq!(
        subjects[0].1,
        "[payrun] hk: the merchant certificate expires at 2020-01-01 08:00:00 (Asia/Hong_Kong)"
    );
    app.payrun(&["alerts", "list"])
        .exits(0)
        .says(expect!["the merchant certificate"])
        .says(expect!["every mail was taken"]);
}

#[test]
fn a_template_of_the_projects_own_is_used_and_a_wrong_one_is_told_of_before_it_matters() {
    let app = App::with_contracts("contract_id,plan,amount,currency,active\n");
    app.write(
        "templates/alert.html",
        "<p>{% for entry in entries %}{{ entry.lines | join }}{% endfor %}</p>",
    );
    app.payrun(&["alerts", "preview", "mails"]).exits(0);
    let html = std::fs::read_to_string(app.path("mails/digest.html")).unwrap();
    assert!(
        html.starts_with("<p>") && html.contains("&lt;timed_out&gt;"),
        "{html}"
    );
    app.write("templates/alert.html", "{{ entrys }}");
    app.payrun(&["alerts", "preview", "mails"])
        .exits(2)
        .says(expect!["templates/alert.html is wrong"]);
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["templates/alert.html is wrong"]);
    app.write(
        "templates/alert.html",
        "{% for x in range(100000) %}{% for y in range(100000) %}{% endfor %}{% endfor %}",
    );
    app.payrun(&["alerts", "preview", "mails"])
        .exits(2)
        .says(expect!["templates/alert.html is wrong"]);
}
