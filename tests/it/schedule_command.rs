//! `payrun schedule`: what a person and a script see of it, and a process that dies in the middle
//! of firing.

use expect_test::expect;
use serde_json::json;

use crate::support::postgres::Schema;
use crate::support::said::assert_said;
use crate::support::service::Service;
use crate::support::{App, PATIENCE, Setup, until};

const WEEKENDS: &str = "holidays:\n  - { date: 2026-10-01, to: 2026-10-07, name: National Day }\nworking: [2026-10-10]\n";

fn project(schedule: &str) -> App {
    let app = App::of(Setup::default());
    app.edit(
        crate::support::WORKFLOW,
        "workflow: deductions\n",
        &format!("workflow: deductions\nschedule: {schedule}\n"),
    );
    app.write("calendars/cn.yaml", WEEKENDS);
    app
}

const WEEKLY: &str = "{ cron: '30 9 * * 4', timezone: Asia/Shanghai, calendars: [cn] }";

#[test]
fn the_list_shows_local_time_zone_and_what_a_calendar_moved() {
    let app = project(WEEKLY);
    app.write(
        "workflows/night.yaml",
        std::fs::read_to_string(app.path(crate::support::WORKFLOW)).unwrap(),
    );
    app.edit(
        "workflows/night.yaml",
        "workflow: deductions\n",
        "workflow: night\n",
    );
    app.edit(
        "workflows/night.yaml",
        WEEKLY,
        "{ cron: '30 2 28-29 3 *', timezone: Europe/Berlin }",
    );
    let autumn = app
        .payrun(&["schedule", "--from", "2026-09-30", "--until", "2026-10-15"])
        .exits(0);
    insta::assert_snapshot!(autumn.stdout, @r#"
    WORKFLOW    LOCAL TIME                   TIME ZONE      NOTE
    deductions  Thu 2026-10-08 09:30 +08:00  Asia/Shanghai  moved from Thu 2026-10-01 (cn: National Day)
    deductions  Thu 2026-10-08 09:30 +08:00  Asia/Shanghai
    deductions  Thu 2026-10-15 09:30 +08:00  Asia/Shanghai
    "#);
    let spring = app
        .payrun(&[
            "schedule",
            "--from",
            "2027-03-25",
            "--until",
            "2027-03-31",
            "--workflow",
            "night",
        ])
        .exits(0);
    insta::assert_snapshot!(spring.stdout, @r#"
    WORKFLOW  LOCAL TIME                   TIME ZONE      NOTE
    night     Sun 2027-03-28 03:00 +02:00  Europe/Berlin  02:30 does not exist on this day
    night     Mon 2027-03-29 02:30 +02:00  Europe/Berlin
    "#);
    app.edit(
        "workflows/night.yaml",
        "'30 2 28-29 3 *', timezone: Europe/Berlin",
        "'*/15 1 28 3 *', timezone: Europe/London",
    );
    let quarters = app
        .payrun(&[
            "schedule",
            "--from",
            "2027-03-25",
            "--until",
            "2027-03-31",
            "--workflow",
            "night",
        ])
        .exits(0);
    insta::assert_snapshot!(quarters.stdout, @r#"
    WORKFLOW  LOCAL TIME                   TIME ZONE      NOTE
    night     Sun 2027-03-28 02:00 +01:00  Europe/London  01:00 does not exist on this day; fires once for 01:15, 01:30, 01:45 too
    "#);
    let skipped = app
        .payrun(&["schedule", "fire", "night", "2027-03-28T01:15"])
        .exits(2);
    skipped.says(expect!["2027-03-28T01:15 of night does not fire by itself: the clock skips it, and 2027-03-28T01:00 fires for it"]);
    app.payrun(&["schedule", "fire", "night", "2027-03-28T01:20"])
        .exits(2)
        .says(expect!["names no time 2027-03-28T01:20"]);
    let listed = app.json(&[
        "schedule",
        "--from",
        "2026-09-30",
        "--until",
        "2026-10-15",
        "-n",
        "1",
        "--json",
    ]);
    insta::assert_snapshot!(format!("{listed:#}"), @r#"
    {
      "more": true,
      "times": [
        {
          "at": "2026-10-08T01:30:00Z",
          "left_out": false,
          "local": "2026-10-08T09:30:00+08:00",
          "moved": true,
          "note": "moved from Thu 2026-10-01 (cn: National Day)",
          "occurrence": "2026-10-01T09:30",
          "timezone": "Asia/Shanghai",
          "workflow": "deductions"
        }
      ]
    }
    "#);
}

#[test]
fn the_list_can_be_exported_as_a_calendar() {
    let app = project(WEEKLY);
    let ics = app
        .payrun(&[
            "schedule",
            "--from",
            "2026-09-30",
            "--until",
            "2026-10-15",
            "--ics",
        ])
        .exits(0)
        .stdout;
    let shown: Vec<&str> = ics
        .lines()
        .filter(|line| !line.starts_with("DTSTAMP"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"), @r#"
    BEGIN:VCALENDAR
    VERSION:2.0
    PRODID:ICALENDAR-RS
    CALSCALE:GREGORIAN
    NAME:payrun
    X-WR-CALNAME:payrun
    BEGIN:VEVENT
    DESCRIPTION:moved from Thu 2026-10-01 (cn: National Day)
    DTSTART:20261008T013000Z
    SUMMARY:payrun: deductions
    UID:deductions-2026-10-01T09:30@payrun
    END:VEVENT
    BEGIN:VEVENT
    DTSTART:20261008T013000Z
    SUMMARY:payrun: deductions
    UID:deductions-2026-10-08T09:30@payrun
    END:VEVENT
    BEGIN:VEVENT
    DTSTART:20261015T013000Z
    SUMMARY:payrun: deductions
    UID:deductions-2026-10-15T09:30@payrun
    END:VEVENT
    END:VCALENDAR
    "#);
}

/// As a phone has it: a week off, a Saturday that is worked for it, a solar term and an occasion.
const PHONE: &str = "\
BEGIN:VCALENDAR\r
VERSION:2.0\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20261001\r
DTEND;VALUE=DATE:20261008\r
SUMMARY:National Day (off)\r
X-APPLE-SPECIAL-DAY:WORK-HOLIDAY\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20261010\r
SUMMARY:National Day (work)\r
X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20261023\r
SUMMARY:Frost's Descent\r
END:VEVENT\r
END:VCALENDAR\r
";

#[test]
fn a_phone_s_calendar_moves_payments_from_days_off_only() {
    let app =
        project("{ cron: '30 9 3,10,17,23 * *', timezone: Asia/Shanghai, calendars: [phone] }");
    app.write("calendars/phone.ics", PHONE);
    let listed = app
        .payrun(&["schedule", "--from", "2026-10-01", "--until", "2026-10-31"])
        .exits(0);
    insta::assert_snapshot!(listed.stdout, @r#"
    WORKFLOW    LOCAL TIME                   TIME ZONE      NOTE
    deductions  Thu 2026-10-08 09:30 +08:00  Asia/Shanghai  moved from Sat 2026-10-03 (phone: National Day (off))
    deductions  Sat 2026-10-10 09:30 +08:00  Asia/Shanghai
    deductions  Mon 2026-10-19 09:30 +08:00  Asia/Shanghai  moved from Sat 2026-10-17 (phone: Saturday)
    deductions  Fri 2026-10-23 09:30 +08:00  Asia/Shanghai
    "#);
    app.payrun(&["check"])
        .exits(0)
        .says(expect!["ordinary days: Frost's Descent"]);
    // Without the marks nobody knows what the days are.
    let plain = PHONE
        .lines()
        .filter(|line| !line.starts_with("X-APPLE") && !line.contains("(work)"));
    app.write(
        "calendars/phone.ics",
        plain
            .map(|line| format!("{}\r\n", line.replace(" (off)", "")))
            .collect::<String>(),
    );
    let refused = app.payrun(&["check"]).exits(2);
    let help = format!("{}{}", refused.stdout, refused.stderr);
    refused
        .says(expect![
            "the entry \"Frost's Descent\" (2026-10-23) does not say whether it is a day off"
        ])
        .says(expect!["unmarked: off"]);
    // What the help shows decides nothing as it is.
    let example = help
        .split_once("feed: {")
        .and_then(|(_, rest)| rest.split_once('}'))
        .unwrap()
        .0;
    app.write("calendars/phone.yaml", format!("feed: {{{example}}}\n"));
    let pasted = app.payrun(&["check"]).exits(2);
    pasted
        .says(expect![
            "the entry \"National Day\" is not decided: move it into off"
        ])
        .says(expect!["the entry \"Frost's Descent\" is not decided"]);
    app.write(
        "calendars/phone.yaml",
        "feed: { off: [National Day], unmarked: ordinary }\n",
    );
    app.payrun(&["check"]).exits(0);
    let decided = app
        .payrun(&["schedule", "--from", "2026-10-01", "--until", "2026-10-31"])
        .exits(0);
    decided.says(expect!["moved from Sat 2026-10-03 (phone: National Day)"]);
}

#[test]
fn a_plan_says_which_entry_of_a_calendar_moves_the_next_time() {
    let app = project("{ every: day, at: '09:30', timezone: Asia/Shanghai, calendars: [off] }");
    let days = (0..30).map(|days| {
        (chrono::Utc::now() + chrono::TimeDelta::days(days))
            .format("%Y-%m-%d")
            .to_string()
    });
    let days: Vec<String> = days
        .map(|day| format!("  - {{ date: {day}, name: Great Holiday }}\n"))
        .collect();
    app.write(
        "calendars/off.yaml",
        format!("weekend: []\nholidays:\n{}", days.concat()),
    );
    app.payrun(&["plan", crate::support::WORKFLOW])
        .exits(0)
        .says(expect!["its schedule fires next on"])
        .says(expect!["(off: Great Holiday)"]);
    let plan = app.json(&["plan", crate::support::WORKFLOW, "--json"]);
    assert_said(
        plan["next"]["moved"].as_str().unwrap(),
        expect!["(off: Great Holiday)"],
    );
}

#[test]
fn the_service_takes_up_a_changed_calendar_and_keeps_the_old_one_of_a_broken_file() {
    let app = project("{ every: day, at: '09:30', timezone: Asia/Shanghai, calendars: [days] }");
    let holiday = (chrono::Utc::now() + chrono::TimeDelta::days(3))
        .format("%Y-%m-%d")
        .to_string();
    let named =
        |name: &str| format!("weekend: []\nholidays: [{{ date: {holiday}, name: {name} }}]\n");
    app.write("calendars/days.yaml", named("First"));
    let service = Service::of(&app);
    let token = service.token("ann", "viewer");
    let moved = || {
        let firings = service.get(&token, "/api/v1/schedule?days=9").body["firings"].clone();
        let moved = firings
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|one| one["moved"].as_str());
        moved.map(str::to_owned).collect::<Vec<_>>().join("; ")
    };
    let refused = || service.get(&token, "/api/v1/workflows").body["refused"].to_string();
    assert!(moved().contains("(days: First)"), "{}", moved());
    app.write("calendars/days.yaml", named("Second-one"));
    until("the changed calendar counts", || {
        moved().contains("(days: Second-one)")
    });
    assert_eq!(refused(), "[]");
    app.write("calendars/days.yaml", "holidays: [2026-13-01]\n");
    until("the broken calendar is told of", || {
        refused().contains("\\\"2026-13-01\\\" is no date")
    });
    assert!(
        refused().contains("the calendar stays as it was")
            && moved().contains("(days: Second-one)")
    );
    std::fs::remove_file(app.path("calendars/days.yaml")).unwrap();
    until("the calendar that is gone is told of", || {
        refused().contains("the file is gone")
    });
    assert!(moved().contains("(days: Second-one)"));
    app.write("calendars/days.yaml", named("Third"));
    until("it is back", || moved().contains("(days: Third)"));
    assert_eq!(refused(), "[]");
    service.stop().exits(0);
}

#[test]
fn what_is_wrong_is_said_and_the_rest_is_listed() {
    let app = project(WEEKLY);
    app.write("workflows/broken.yaml", "workflow: broken\n");
    let ended = app
        .payrun(&["schedule", "--from", "2026-10-14", "--until", "2026-10-15"])
        .exits(2);
    ended
        .says(expect!["2026-10-15"])
        .says(expect!["the field \"jobs\" is missing"]);
    app.payrun(&["schedule", "--workflow", "deduction"])
        .exits(2);
    std::fs::remove_file(app.path("workflows/broken.yaml")).unwrap();
    app.payrun(&["schedule", "--workflow", "deduction"])
        .exits(2)
        .says(expect!["did you mean \"deductions\"?"]);
    app.payrun(&["schedule", "--from", "2026-10-02", "--until", "2026-10-01"])
        .exits(2)
        .says(expect!["must end after it begins"]);
    app.write("calendars/cn.yaml", "holidays: [2026-13-01]\n");
    app.payrun(&["schedule"])
        .exits(2)
        .says(expect!["calendars/cn.yaml:1:12: \"2026-13-01\" is no date"]);
}

#[test]
fn a_process_that_dies_between_a_plan_and_its_note_has_fired_once() {
    let app = project("{ every: day, at: '09:30', timezone: Asia/Hong_Kong }");
    let fire = ["schedule", "fire", "deductions", "2026-03-31T09:30"];
    assert!(
        app.start_to_die_at(&fire, "after_plan", 1)
            .wait(PATIENCE)
            .was_killed()
    );
    // Nobody but the person has begun it: nothing is left for the schedule to fire in another's
    // name.
    assert_eq!(app.json(&["schedule", "history", "--json"]), json!([]));
    app.payrun(&fire)
        .exits(0)
        .says(expect!["run 1 was there already"]);
    app.payrun(&["run", "--resume"]).exits(0);
    let history = app.json(&["schedule", "history", "--json", "--state", "fired"]);
    assert_eq!(
        (&history[0]["occurrence"], &history[0]["run"]),
        (&json!("2026-03-31T09:30"), &json!(1))
    );
    assert_eq!(app.json(&["runs", "--json"]).as_array().unwrap().len(), 1);
    assert_eq!(app.charges(), 20);
    app.payrun(&["schedule", "fire", "deductions", "2026-03-31T09:31"])
        .exits(2)
        .says(expect!["names no time"]);
    app.payrun(&["schedule", "fire", "deductions", "tomorrow"])
        .exits(2)
        .says(expect!["write a time like"]);
}

#[test]
fn occurrences_move_with_the_ledger_to_a_server() {
    let mut app = App::of(Setup {
        server: false,
        ..Setup::default()
    });
    let schedule =
        "workflow: deductions\nschedule: { every: day, at: '09:30', timezone: Asia/Hong_Kong }\n";
    app.edit(crate::support::WORKFLOW, "workflow: deductions\n", schedule);
    let fire = ["schedule", "fire", "deductions", "2026-03-31T09:30"];
    app.payrun(&fire).exits(0);
    app.payrun(&["run", "--resume"]).exits(0);
    let schema = app.wait_for(Schema::fresh());
    let ours = std::fs::read_to_string(app.path("payrun.yaml")).unwrap();
    app.write(
        "server.yaml",
        ours.replace(
            "database: payrun.db",
            &format!("database: {}", schema.address()),
        ),
    );
    app.payrun(&["promote", "--to", "server.yaml"]).exits(0);
    app.moved_to(schema);
    let again = [&fire[..], &["--config", "server.yaml"]].concat();
    app.payrun(&again)
        .exits(0)
        .says(expect!["run 1 was there already"]);
    assert_eq!(app.charges(), 20);
}

#[test]
fn the_service_fires_what_is_due_within_a_second_and_takes_up_a_changed_schedule() {
    let app = App::of(Setup::default());
    let service = Service::of(&app);
    app.edit(
        crate::support::WORKFLOW,
        "workflow: deductions\n",
        "workflow: deductions\nschedule: { cron: '* * * * *', timezone: Asia/Hong_Kong }\n",
    );
    until("the next minute has a run", || {
        app.json(&["runs", "--json"])[0]["open"] == json!(0)
    });
    let history = app.json(&["schedule", "history", "--json"]);
    let first = history.as_array().unwrap().last().unwrap();
    assert_eq!(first["state"], json!("fired"));
    // A second, and what a busy machine needs.
    let time =
        |name: &str| chrono::DateTime::parse_from_rfc3339(first[name].as_str().unwrap()).unwrap();
    assert!(
        (0..=10).contains(&(time("since") - time("at")).num_seconds()),
        "{first}"
    );
    assert_eq!(app.charges(), 20);
    service.stop().exits(0);
}

/// Two places whose days are never the same: one period would have two keys, and everybody would be
/// charged twice.
#[test]
fn a_run_by_hand_is_of_the_day_that_the_schedule_would_say() {
    let app = project("{ every: month, on: 31, at: \"18:00\", timezone: Pacific/Pago_Pago }");
    app.edit("payrun.yaml", "Asia/Hong_Kong", "Pacific/Kiritimati");
    app.edit(
        crate::support::WORKFLOW,
        "contract_id }}/{{ run.month }}",
        "contract_id }}/{{ run.date }}",
    );
    let there = || {
        chrono::Utc::now()
            .with_timezone(&chrono_tz::Pacific::Pago_Pago)
            .format("%Y-%m-%d")
            .to_string()
    };
    let before = there();
    app.payrun(&["run", crate::support::WORKFLOW]).exits(0);
    let keys = app.json_lines(&["journal"]);
    let key = keys[0]["key"].as_str().unwrap();
    assert!(
        [before, there()].iter().any(|day| key.ends_with(day)),
        "{key}"
    );
}

#[test]
fn a_line_of_quartz_fires_and_check_says_how_its_days_were_counted() {
    let app = project("{ cron: '0 30 9 ? * 2-6', timezone: Asia/Shanghai }");
    let list = app
        .payrun(&["schedule", "--from", "2026-11-28", "--until", "2026-12-01"])
        .exits(0);
    insta::assert_snapshot!(list.stdout, @r#"
    WORKFLOW    LOCAL TIME                   TIME ZONE      NOTE
    deductions  Mon 2026-11-30 09:30 +08:00  Asia/Shanghai
    deductions  Tue 2026-12-01 09:30 +08:00  Asia/Shanghai
    "#);
    app.payrun(&["check"]).exits(0).says(expect![
        "deductions: day of week 2-6 is MON, TUE, WED, THU, FRI, as Quartz counts (Sunday = 1)"
    ]);
    app.edit(crate::support::WORKFLOW, "? * 2-6'", "? * MON-FRI'");
    let named = app.payrun(&["check"]).exits(0);
    assert!(!named.stdout.contains("Quartz"), "{}", named.stdout);
    app.edit(crate::support::WORKFLOW, "'0 30 9 ?", "'30 30 9 ?");
    app.payrun(&["check"]).exits(2).says(expect![
        "\"30\" is no second; payrun fires at full minutes, so it takes 0"
    ]);
}

#[test]
fn a_schedule_whose_years_are_over_is_told_by_check() {
    let app = project("'0 0 9 1 * ? 2020'");
    app.payrun(&["check"])
        .exits(2)
        .says(expect!["workflow \"deductions\": no date to come fits \"0 0 9 1 * ? 2020\", so it never fires again"]);
    let told = app.json(&["check", "--json"]);
    assert_eq!(told["ok"], false, "{told}");
    let app = project("'0 0 9 1 * ? 2020,2100'");
    app.payrun(&["check"]).exits(0);
}
