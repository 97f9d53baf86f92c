//! Business-day calendars: the files of a folder, YAML or ICS, each a calendar by the name of its file.
//!
//! Every mistake of every file is reported at its place. A file that is not wholly understood is refused: a holiday that is
//! missed charges people on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::domain::calendar::Calendar;
use crate::yaml;
use crate::yaml::diagnostics::{Diagnostic, Diagnostics, Source};
use crate::yaml::node::Position;

mod ics;
mod yml;

pub use yml::CALENDAR;

/// The folder, where `payrun.yaml` names none.
pub const FOLDER: &str = "calendars";

/// How many files are read.
const FILES_MAX: usize = 200;

/// Calendars by name.
pub type Calendars = BTreeMap<String, Arc<Calendar>>;

/// Reads all calendars of a folder.
///
/// # Errors
/// Everything that is wrong with its files, or that it cannot be read.
pub fn load(folder: &Path) -> Result<Calendars, Diagnostics> {
    let files = files(folder).map_err(|error| wrong(folder, &format!("the folder cannot be read: {error}")))?;
    if files.len() > FILES_MAX {
        return Err(wrong(folder, "the folder has more than 200 calendars").into());
    }
    let (mut calendars, mut found) = (Calendars::new(), Diagnostics::default());
    for file in files {
        match read(&file) {
            Ok(calendar) if calendars.contains_key(&calendar.name) => {
                found.push(wrong(&file, &format!("there are two calendars \"{}\"", calendar.name)));
            }
            Ok(calendar) => {
                calendars.insert(calendar.name.clone(), Arc::new(calendar));
            }
            Err(mistakes) => found.extend(mistakes),
        }
    }
    found.or_value(Some(calendars))
}

fn read(file: &Path) -> Result<Calendar, Diagnostics> {
    let source = yaml::read(file, false)?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if !is_name(name) {
        return Err(wrong(file, "a calendar's file is named by 1 to 64 of a-z, 0-9, - and _").into());
    }
    if extension(file) == "ics" { ics::read(&source, name) } else { yml::read(&source, name) }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| matches!(extension(path), "yaml" | "yml" | "ics"));
    files.sort();
    Ok(files)
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn wrong(path: &Path, message: &str) -> Diagnostic {
    Diagnostic::bare(&path.display().to_string(), Position { line: 1, column: 1 }, message.to_owned())
}

/// A mistake in a line of a file.
fn in_line(source: &Source, line: u32, message: impl Into<String>) -> Diagnostic {
    source.diagnostic(Position { line, column: 1 }, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::NaiveDate;
    use std::fs;

    fn day(text: &str) -> NaiveDate {
        NaiveDate::parse_from_str(text, "%Y-%m-%d").unwrap()
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn mistakes(files: &[(&str, &str)]) -> String {
        let folder = folder(files);
        let shown = load(folder.path()).map(|_| String::new()).unwrap_or_else(|found| found.to_string());
        shown.replace(&format!("{}/", folder.path().display()), "")
    }

    const HK: &str = "\
BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:-//1823 Call Centre\\, HKSARG//EN\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20261001\r
DTEND;VALUE=DATE:20261002\r
TRANSP:TRANSPARENT\r
UID:20261001@1823.gov.hk\r
SUMMARY:National Day\\, or the day\r
 after\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART:20260217\r
DTEND:20260220\r
SUMMARY:Lunar New Year\r
BEGIN:VALARM\r
ACTION:DISPLAY\r
END:VALARM\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;TZID=Asia/Hong_Kong:20260305T090000\r
SUMMARY:A meeting\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20260306\r
STATUS:CANCELLED\r
SUMMARY:Called off\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20201225\r
RRULE:FREQ=YEARLY;UNTIL=20291225\r
EXDATE;VALUE=DATE:20271225\r
SUMMARY:Christmas\r
END:VEVENT\r
BEGIN:VEVENT\r
DTSTART;VALUE=DATE:20251127\r
RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=4TH\r
SUMMARY:Thanksgiving\r
END:VEVENT\r
END:VCALENDAR\r
";

    #[test]
    fn all_day_events_of_an_ics_file_are_holidays_and_nothing_else_is() {
        let calendars = load(folder(&[("hk.ics", HK), ("note.txt", "x")]).path()).unwrap();
        let hk = &calendars["hk"];
        assert_eq!(hk.closed(day("2026-10-01")), Some("National Day, or the dayafter"));
        assert_eq!(hk.closed(day("2026-10-02")), None);
        assert_eq!(hk.closed(day("2026-02-19")), Some("Lunar New Year"), "the end is not one of the days");
        assert_eq!(hk.closed(day("2026-02-20")), None);
        assert_eq!(hk.closed(day("2026-03-05")), None, "an event with a time");
        assert_eq!(hk.closed(day("2026-03-06")), None, "cancelled");
        assert_eq!(hk.closed(day("2026-03-07")), Some("Saturday"));
    }

    #[test]
    fn yearly_rules_of_an_ics_file_are_followed() {
        let calendars = load(folder(&[("hk.ics", HK)]).path()).unwrap();
        let hk = &calendars["hk"];
        for (date, expected) in [
            ("2020-12-25", Some("Christmas")),
            ("2026-12-25", Some("Christmas")),
            ("2027-12-25", Some("Saturday")),
            ("2029-12-25", Some("Christmas")),
            ("2030-12-25", None),
            ("2028-11-23", Some("Thanksgiving")),
            ("2028-11-30", None),
            ("2071-11-26", Some("Thanksgiving")),
        ] {
            assert_eq!(hk.closed(day(date)), expected, "{date}");
        }
    }

    #[test]
    fn what_of_an_ics_file_is_not_understood_is_refused_at_its_place() {
        for (from, to, expected) in [
            ("FREQ=YEARLY;UNTIL=20291225", "FREQ=DAILY", "hk.ics:29:1: it happens more than 1000 times"),
            ("FREQ=YEARLY;UNTIL=20291225", "FREQ=SOMETIMES", "hk.ics:29:1: this rule cannot be followed"),
            ("EXDATE;VALUE=DATE:20271225", "RDATE;VALUE=PERIOD:20271225/P1D", "hk.ics:29:1: RDATE \"20271225/P1D\""),
            ("DTEND;VALUE=DATE:20261002", "DTEND;VALUE=DATE:20260930", "hk.ics:4:1: it ends before it begins"),
            ("DTEND;VALUE=DATE:20261002", "DTEND;VALUE=DATE:20360930", "hk.ics:4:1: it is longer than 60 days"),
            (
                "DTSTART;VALUE=DATE:20261001",
                "DTSTART;VALUE=DATE:20261301",
                "hk.ics:4:1: DTSTART \"20261301\" is no date",
            ),
            ("DTSTART;VALUE=DATE:20261001\r\n", "", "hk.ics:4:1: the event has no DTSTART"),
            ("END:VCALENDAR", "BEGIN:VEVENT", "hk.ics:"),
            ("BEGIN:VCALENDAR", "BEGIN:VTODO", "hk.ics:"),
        ] {
            assert!(HK.contains(from), "{from}");
            let shown = mistakes(&[("hk.ics", &HK.replacen(from, to, 1))]);
            assert!(shown.contains(expected), "{to}: {shown}");
        }
        let deep = "BEGIN:A\n".repeat(100_000);
        assert!(mistakes(&[("hk.ics", &deep)]).contains("nests deeper"));
    }

    #[test]
    fn a_yaml_calendar_has_holidays_of_one_year_and_of_every_year_and_working_weekends() {
        let text = "\
weekend: [saturday, sunday]
holidays:
  - 2026-01-01
  - { date: 2026-10-01, to: 2026-10-07, name: National Day }
  - { date: 05-01, name: Labour Day }
working: [2026-10-10]
";
        let calendars = load(folder(&[("cn.yaml", text), ("plain.yml", "weekend: [friday]\n")]).path()).unwrap();
        let cn = &calendars["cn"];
        assert_eq!(cn.closed(day("2026-01-01")), Some("holiday"));
        assert_eq!(cn.closed(day("2026-10-07")), Some("National Day"));
        assert_eq!(cn.closed(day("2026-10-08")), None);
        assert_eq!(cn.closed(day("2026-10-10")), None, "a Saturday");
        assert_eq!(cn.closed(day("2042-05-01")), Some("Labour Day"));
        assert_eq!(calendars["plain"].closed(day("2026-10-10")), None);
        assert_eq!(calendars["plain"].closed(day("2026-10-09")), Some("Friday"));
    }

    #[test]
    fn every_mistake_of_all_calendars_is_reported_at_its_place() {
        let cn = "\
holidays:
  - 2026-02-30
  - { date: 2026-10-07, to: 2026-10-01 }
  - { date: 13-01 }
  - 2026-10-10
  - { date: 05-01, to: 05-03 }
working: [2026-10-10, 10-11]
wekend: [sunday]
";
        insta::assert_snapshot!(mistakes(&[("Bad Name.yaml", "{}\n"), ("cn.yaml", cn), ("empty.ics", "")]), @r##"
        Bad Name.yaml:1:1: a calendar's file is named by 1 to 64 of a-z, 0-9, - and _
        cn.yaml:2:5: "2026-02-30" is no date such as 2026-10-01, or 12-25
          |   - 2026-02-30
          |     ^
        cn.yaml:3:29: it ends before it begins
          |   - { date: 2026-10-07, to: 2026-10-01 }
          |                             ^
        cn.yaml:4:13: "13-01" is no date such as 2026-10-01, or 12-25
          |   - { date: 13-01 }
          |             ^
        cn.yaml:6:24: a holiday of every year is a single day; list the others too
          |   - { date: 05-01, to: 05-03 }
          |                        ^
        cn.yaml:7:11: this day is among the holidays too
          | working: [2026-10-10, 10-11]
          |           ^
        cn.yaml:7:23: a working day needs its year, such as 2026-10-10
          | working: [2026-10-10, 10-11]
          |                       ^
        cn.yaml:8:1: unknown field "wekend"
          | wekend: [sunday]
          | ^
            help: did you mean "weekend"?
        empty.ics:1:1: this is no ICS calendar, or not to its end: it begins with BEGIN:VCALENDAR and ends with END:VCALENDAR
        "##);
    }

    #[test]
    fn two_files_of_one_name_are_refused() {
        assert!(mistakes(&[("hk.ics", HK), ("hk.yaml", "{}\n")]).contains("there are two calendars \"hk\""));
    }
}
