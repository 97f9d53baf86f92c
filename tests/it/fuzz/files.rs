//! Files that a person writes, or gets from somebody: workflows, `payrun.yaml`, job kinds,
//! calendars; and the expressions in them. What is refused is refused at its place in few words;
//! what is taken is taken again as the same.

use std::fmt::{Debug, Display};
use std::path::Path;

use chrono::{Datelike as _, NaiveDate, TimeDelta};
use minijinja::value::Value;
use payrun::config::Config;
use payrun::config::calendars::{self, CalendarFiles};
use payrun::domain::time::Timestamp;
use payrun::job_kinds::JobKinds;
use payrun::job_kinds::load::read_kind;
use payrun::workflow::expression::{Expression, scope};
use payrun::workflow::params::{RunValues, bind_params};
use payrun::workflow::render::Renderer;
use payrun::workflow::source::FileRow;
use payrun::workflow::{Template, Workflow};
use payrun::yaml::diagnostics::{Diagnostic, Diagnostics, SourceText};
use payrun::yaml::node::Position;

use super::Target;
use crate::support::process::payrun;

/// The longest diagnostic, in bytes, and the most that are shown of a file.
const DIAGNOSTIC_MAX: usize = 4_000;
const DIAGNOSTICS_MAX: usize = 200;

/// The longest text that an expression makes, or is made from, in bytes.
const TEXT_MAX: usize = 10_000;

/// A fresh project, with an account at each gateway.
fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        payrun(folder.path(), &["init", "."])
            .output()
            .unwrap()
            .status
            .success()
    );
    folder
}

/// The first mistake, of diagnostics that a person can read.
fn first(found: &Diagnostics) -> String {
    assert!(
        (1..=DIAGNOSTICS_MAX).contains(&found.len()),
        "{} mistakes",
        found.len()
    );
    found.iter().for_each(is_short);
    found
        .iter()
        .next()
        .map(|diagnostic| diagnostic.message.clone())
        .unwrap_or_default()
}

fn is_short(diagnostic: &Diagnostic) {
    let shown = diagnostic.to_string();
    assert!(
        shown.len() <= DIAGNOSTIC_MAX,
        "a diagnostic of {} bytes: {shown:.200}",
        shown.len()
    );
}

/// What is read twice from the same text is the same.
fn twice<T: Debug, E: Display + Debug>(read: impl Fn() -> Result<T, E>) -> Result<T, E> {
    let (once, again) = (read(), read());
    assert_eq!(format!("{once:?}"), format!("{again:?}"));
    once
}

#[test]
fn workflows() {
    let target = Target {
        also: &["workflows"],
        words: "yaml",
        ..Target::of("workflow", 400)
    };
    let folder = project();
    let config = payrun::config::load::load(&folder.path().join("payrun.yaml")).unwrap();
    let job_kinds = JobKinds::built_in();
    let path = folder.path().join("workflows/fuzz.yaml");
    target.try_on(|input| {
        let text = String::from_utf8_lossy(input);
        let read = || payrun::workflow::load::parse(&text, &path, &job_kinds, &config);
        match twice(read) {
            Err(found) => first(&found),
            Ok(workflow) => rendered(&workflow, &config),
        }
    });
}

/// What becomes of rows under a workflow that was taken.
fn rendered(workflow: &Workflow, config: &Config) -> String {
    let at = Timestamp::from_millis(1_774_920_600_000);
    let run = RunValues::new(
        &workflow.name,
        "o-1",
        "1",
        at,
        workflow.timezone(config.timezone),
    );
    let mut outcome = String::from("taken");
    let Ok(params) = bind_params(workflow, &[]) else {
        return "params are missing".to_owned();
    };
    for job in &workflow.jobs {
        let templates = job.with.values().chain(&job.key).chain(&job.order_number);
        let used = templates.flat_map(Template::item_columns);
        let used = used.chain(
            job.items
                .condition
                .iter()
                .flat_map(|condition| condition.item_columns()),
        );
        let mut columns: Vec<String> = used.map(str::to_owned).collect();
        columns.sort();
        columns.dedup();
        let renderer = Renderer::new(job, &columns, None, &run, &params)
            .expect("every column that is used is there");
        for value in [
            "",
            "1",
            "12.50",
            "HKD",
            "2026-03-31",
            "yes",
            "é\u{202e}\u{0}",
            "99999999999999999999.999",
        ] {
            let row = FileRow::of(2, &vec![value; columns.len()]);
            match renderer.row(&row) {
                Ok(items) => outcome.push_str(&format!(" {}", items.len())),
                Err(reasons) => {
                    assert!(
                        !reasons.is_empty()
                            && reasons
                                .iter()
                                .all(|reason| reason.to_string().len() <= DIAGNOSTIC_MAX),
                        "{reasons:?}"
                    );
                    outcome.push_str(" refused");
                }
            }
        }
    }
    outcome
}

#[test]
fn configurations() {
    let target = Target {
        words: "yaml",
        ..Target::of("configuration", 400)
    };
    let folder = project();
    let path = folder.path().join("payrun.yaml");
    let own = std::fs::read(&path).unwrap();
    target.try_on_these(vec![own], |input| {
        let text = String::from_utf8_lossy(input);
        match payrun::config::load::parse(&text, &path) {
            Err(found) => first(&found),
            Ok(config) => format!(
                "{} accounts, {} calendars",
                config.gateways.len(),
                config.calendars.len()
            ),
        }
    });
}

#[test]
fn job_kinds() {
    let target = Target {
        also: &["jobs"],
        words: "yaml",
        ..Target::of("job_kind", 40)
    };
    target.try_on(|input| {
        let source = SourceText::new(
            "kind.yaml",
            String::from_utf8_lossy(input).into_owned(),
            false,
        );
        match twice(|| read_kind(&source)) {
            Err(found) => first(&found),
            Ok(kind) => format!("{} fields", kind.fields.len()),
        }
    });
}

#[test]
fn expressions() {
    let target = Target::of("expression", 1_500);
    let long = "aé中".repeat(1_500);
    let map = |pairs: &[(&'static str, &str)]| {
        Value::from_pairs(
            pairs
                .iter()
                .map(|(name, value)| (*name, Value::from(*value))),
        )
    };
    let item = map(&[
        ("a", "12.50"),
        ("a b", "x"),
        ("empty", ""),
        ("n", "9223372036854775807"),
        ("long", &long),
    ]);
    let scope = scope(item, map(&[("p", "q")]), map(&[("month", "2026-03")]));
    let source = SourceText::new("w.yaml", String::new(), false);
    target.try_on(|input| {
        let text = String::from_utf8_lossy(input);
        if let Err(diagnostic) = Template::parse(&text, &source, Position { line: 1, column: 1 }) {
            is_short(&diagnostic);
        }
        let expression = match Expression::compile(&text) {
            Ok(expression) => expression,
            Err((why, help)) => {
                assert!(why.len() + help.map_or(0, |help| help.len()) <= DIAGNOSTIC_MAX);
                return why;
            }
        };
        expression
            .truth(&scope)
            .map(|_| ())
            .unwrap_or_else(|why| assert!(why.to_string().len() <= DIAGNOSTIC_MAX, "{why}"));
        match expression.text_value(&scope) {
            Ok(made) => {
                assert!(made.len() <= TEXT_MAX, "{} bytes", made.len());
                "a text".to_owned()
            }
            Err(why) => {
                let why = why.to_string();
                assert!(why.len() <= DIAGNOSTIC_MAX, "{why}");
                why
            }
        }
    });
}

/// A calendar of this text in a file of this name, beside others; asked about every day of a few
/// years.
fn calendar(folder: &Path, name: &str, input: &[u8], beside: &[&str]) -> String {
    std::fs::write(folder.join(name), input).unwrap();
    let paths = std::iter::once(name)
        .chain(beside.iter().copied())
        .map(|name| folder.join(name))
        .collect();
    let files = CalendarFiles {
        name: "hk".to_owned(),
        paths,
    };
    let calendar = match twice(|| calendars::read(&files)) {
        Ok(calendar) => calendar,
        Err(found) => return first(&found),
    };
    let days = NaiveDate::from_ymd_opt(2025, 1, 1)
        .unwrap()
        .iter_days()
        .take(1_100);
    let closed = days.filter(|day| calendar.closed(*day).is_some()).count();
    for day in [
        NaiveDate::MIN,
        NaiveDate::MAX,
        NaiveDate::MIN + TimeDelta::days(40),
        NaiveDate::MAX - TimeDelta::days(40),
    ] {
        calendar.closed(day);
        calendar.knows(day.year());
    }
    format!("{closed} days are closed")
}

#[test]
fn calendars_in_ics() {
    let target = Target::of("calendar_ics", 300);
    let folder = tempfile::tempdir().unwrap();
    target.try_on(|input| calendar(folder.path(), "hk.ics", input, &[]));
}

#[test]
fn calendars_of_gov_hk() {
    let target = Target::of("calendar_json", 400);
    let folder = tempfile::tempdir().unwrap();
    target.try_on(|input| calendar(folder.path(), "hk.json", input, &[]));
}

#[test]
fn calendars_in_yaml_and_what_they_decide_about_a_feed() {
    let target = Target::of("calendar_yaml", 300);
    let folder = tempfile::tempdir().unwrap();
    let feed =
        std::fs::read(crate::support::root().join("tests/it/fuzz/corpus/calendar_ics/gov_hk.ics"))
            .unwrap();
    std::fs::write(folder.path().join("hk.ics"), feed).unwrap();
    target.try_on(|input| {
        let decides = input.windows(5).any(|part| part == b"feed:");
        calendar(
            folder.path(),
            "hk.yaml",
            input,
            if decides { &["hk.ics"] } else { &[] },
        )
    });
}
