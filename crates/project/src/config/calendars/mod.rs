//! Business-day calendars: the files of a folder, YAML, ICS, or gov.hk's JSON, each a calendar by
//! the name of its file. A YAML file with `feed` and the feed of its name are one.
//!
//! Every mistake of every file is reported at its place. A file that is not wholly understood is
//! refused: a holiday that is missed charges people on it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::workflow::source::{TextEncoding, text_in};
use payrun_domain::calendar::Calendar;
use payrun_domain::text::shown;
use payrun_yaml as yaml;
use payrun_yaml::diagnostics::{Diagnostic, Diagnostics, SourceText};
use payrun_yaml::node::Position;

mod feed;
mod gov_hk;
mod ics;
mod yml;

use feed::{Decisions, FeedEntry};
pub use yml::CALENDAR;

/// The folder, where `payrun.yaml` names none.
pub const FOLDER: &str = "calendars";

/// How many files are read.
const FILES_MAX: usize = 200;

/// Calendars by name.
pub type Calendars = BTreeMap<String, Arc<Calendar>>;

/// The files of a calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarFiles {
    /// By the name of the first.
    pub name: String,
    /// All that have this name.
    pub paths: Vec<PathBuf>,
}

/// Reads all calendars of a folder.
///
/// # Errors
/// Everything that is wrong with its files, or that it cannot be read.
pub fn load(folder: &Path) -> Result<Calendars, Diagnostics> {
    let (mut calendars, mut found) = (Calendars::new(), Diagnostics::default());
    for files in files_of(folder)? {
        match read(&files) {
            Ok(calendar) => {
                calendars.insert(files.name, Arc::new(calendar));
            }
            Err(mistakes) => found.extend(mistakes),
        }
    }
    found.or_value(Some(calendars))
}

/// The calendars of a folder, by their files.
///
/// # Errors
/// If it cannot be read, or has too many.
pub fn files_of(folder: &Path) -> Result<Vec<CalendarFiles>, Diagnostic> {
    let files = files(folder)
        .map_err(|error| wrong(folder, &format!("the folder cannot be read: {error}")))?;
    if files.len() > FILES_MAX {
        return Err(wrong(folder, "the folder has more than 200 calendars"));
    }
    let mut calendars: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let name = file
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
            .to_owned();
        calendars.entry(name).or_default().push(file);
    }
    Ok(calendars
        .into_iter()
        .map(|(name, paths)| CalendarFiles { name, paths })
        .collect())
}

/// Reads a calendar.
///
/// # Errors
/// Everything that is wrong with its files.
pub fn read(files: &CalendarFiles) -> Result<Calendar, Diagnostics> {
    let CalendarFiles { name, paths } = files;
    let first = paths
        .first()
        .map(PathBuf::as_path)
        .unwrap_or(Path::new(name));
    if !is_name(name) {
        return Err(wrong(
            first,
            "a calendar's file is named by 1 to 64 of a-z, 0-9, - and _",
        )
        .into());
    }
    let (written, feeds): (Vec<&PathBuf>, Vec<&PathBuf>) = paths
        .iter()
        .partition(|path| matches!(extension(path), "yaml" | "yml"));
    match (written.as_slice(), feeds.as_slice()) {
        ([], [feed]) => with_feed(Calendar::new(name), &Decisions::default(), feed),
        ([path], feeds) => {
            let source = yaml::read(path, false)?;
            let written = yml::read(&source, name)?;
            match (written.feed, feeds) {
                (None, []) => Ok(written.calendar),
                (Some(decisions), [feed]) => decided(written.calendar, &decisions, &source, feed),
                (Some(_), []) => Err(wrong(
                    path,
                    &format!("there is no {name}.ics or {name}.json beside it"),
                )
                .into()),
                (None, [_, ..]) | (Some(_), [_, _, ..]) => Err(two(first, name)),
            }
        }
        _ => Err(two(first, name)),
    }
}

/// A calendar with a feed, as a person has decided what its entries are.
fn decided(
    written: Calendar,
    decisions: &Decisions,
    source: &SourceText,
    feed: &Path,
) -> Result<Calendar, Diagnostics> {
    let (entries, feed) = entries(feed, decisions.encoding)?;
    let mut found = Diagnostics::default();
    for (name, (_, at)) in &decisions.named {
        if !entries.iter().any(|entry| entry.name == *name) {
            let message = format!("{} has no entry \"{}\"", feed.file, shown(name));
            let names = entries.iter().map(|entry| entry.name.as_str());
            found.push(source.diagnostic(*at, message).nearest(name, names));
        }
    }
    found.or_value(Some(()))?;
    feed::add_to(written, entries, decisions, &feed)
}

fn with_feed(
    calendar: Calendar,
    decisions: &Decisions,
    feed: &Path,
) -> Result<Calendar, Diagnostics> {
    let (entries, feed) = entries(feed, decisions.encoding)?;
    feed::add_to(calendar, entries, decisions, &feed)
}

fn entries(
    feed: &Path,
    encoding: Option<TextEncoding>,
) -> Result<(Vec<FeedEntry>, Arc<SourceText>), Diagnostics> {
    let source = match yaml::read(feed, false) {
        Ok(source) => source,
        Err(refused) => in_other_encoding(feed, encoding).ok_or(refused)??,
    };
    let entries = if extension(feed) == "json" {
        gov_hk::read(&source)?
    } else {
        ics::read(&source)?
    };
    Ok((entries, source))
}

/// A feed that is not UTF-8; none where that is not what is wrong with it.
fn in_other_encoding(
    feed: &Path,
    said: Option<TextEncoding>,
) -> Option<Result<Arc<SourceText>, Diagnostics>> {
    let is_short = std::fs::metadata(feed).is_ok_and(|data| data.len() <= yaml::FILE_MAX as u64);
    let read = is_short.then(|| text_in(feed, said).ok()).flatten()?;
    let likely = match read {
        Ok(text) => {
            return Some(Ok(SourceText::new(
                &feed.display().to_string(),
                text,
                false,
            )));
        }
        Err(likely) => likely,
    };
    let words: Vec<&str> = likely.iter().map(|encoding| encoding.as_str()).collect();
    let name = feed.file_stem().unwrap_or_default().to_string_lossy();
    (!words.is_empty()).then(|| {
        let refused = wrong(feed, "the file is not UTF-8 text").help(format!(
            "say what it is in {name}.yaml beside it, feed: {{ encoding: {} }}; or save it as UTF-8",
            words.join(" or ")
        ));
        Err(refused.into())
    })
}

fn two(first: &Path, name: &str) -> Diagnostics {
    let message = format!("there are two calendars \"{name}\"");
    wrong(first, &message)
        .help(format!(
            "if {name}.yaml decides about a feed of its name, give it feed: {{}}"
        ))
        .into()
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|path| matches!(extension(path), "yaml" | "yml" | "ics" | "json"));
    files.sort();
    Ok(files)
}

fn extension(path: &Path) -> &str {
    path.extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn wrong(path: &Path, message: &str) -> Diagnostic {
    Diagnostic::bare(
        &path.display().to_string(),
        Position { line: 1, column: 1 },
        message.to_owned(),
    )
}

/// A mistake in a line of a file.
fn in_line(source: &SourceText, line: u32, message: impl Into<String>) -> Diagnostic {
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

    fn refusal_of(files: &[(&str, &str)]) -> Option<String> {
        load(folder(files).path())
            .err()
            .map(|found| found.to_string())
    }

    fn mistakes(files: &[(&str, &str)]) -> String {
        let folder = folder(files);
        let shown = load(folder.path())
            .map(|_| String::new())
            .unwrap_or_else(|found| found.to_string());
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
    fn all_day_events_of_gov_hk_are_holidays_and_nothing_else_is() {
        let calendars = load(folder(&[("hk.ics", HK), ("note.txt", "x")]).path()).unwrap();
        let hk = &calendars["hk"];
        assert_eq!(
            hk.closed(day("2026-10-01")),
            Some("National Day, or the dayafter")
        );
        assert_eq!(hk.closed(day("2026-10-02")), None);
        assert_eq!(
            hk.closed(day("2026-02-19")),
            Some("Lunar New Year"),
            "the end is not one of the days"
        );
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
            (
                "FREQ=YEARLY;UNTIL=20291225",
                "FREQ=DAILY",
                "hk.ics:29:1: it happens more than 1000 times",
            ),
            (
                "FREQ=YEARLY;UNTIL=20291225",
                "FREQ=SOMETIMES",
                "hk.ics:29:1: this rule cannot be followed",
            ),
            (
                "EXDATE;VALUE=DATE:20271225",
                "RDATE;VALUE=PERIOD:20271225/P1D",
                "hk.ics:29:1: RDATE \"20271225/P1D\"",
            ),
            (
                "DTEND;VALUE=DATE:20261002",
                "DTEND;VALUE=DATE:20260930",
                "hk.ics:4:1: it ends before it begins",
            ),
            (
                "DTEND;VALUE=DATE:20261002",
                "DTEND;VALUE=DATE:20360930",
                "hk.ics:4:1: it is longer than 60 days",
            ),
            (
                "DTSTART;VALUE=DATE:20261001",
                "DTSTART;VALUE=DATE:20261301",
                "hk.ics:4:1: DTSTART \"20261301\" is no date",
            ),
            (
                "DTSTART;VALUE=DATE:20261001\r\n",
                "",
                "hk.ics:4:1: the event has no DTSTART",
            ),
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
    fn a_feed_in_another_encoding_is_read_in_the_one_that_is_said_and_in_none_that_is_not() {
        let feed = HK.replace("Lunar New Year", "农历新年");
        let gbk = encoding_rs::GB18030.encode(&feed).0.into_owned();
        let utf16: Vec<u8> = std::iter::once(0xfeff)
            .chain(feed.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let closed = |bytes: &[u8], files: &[(&str, &str)]| {
            let folder = folder(files);
            fs::write(folder.path().join("hk.ics"), bytes).unwrap();
            load(folder.path())
                .map(|calendars| {
                    let closed = calendars["hk"].closed(day("2026-02-19"));
                    closed.map(str::to_owned)
                })
                .map_err(|found| found.to_string())
        };
        let said = [("hk.yaml", "feed: { encoding: gb18030 }\n")];
        assert_eq!(closed(&gbk, &said), Ok(Some("农历新年".to_owned())));
        assert_eq!(closed(&utf16, &[]), Ok(Some("农历新年".to_owned())));
        assert_eq!(
            closed(feed.as_bytes(), &said),
            Ok(Some("农历新年".to_owned()))
        );
        let refused = closed(&gbk, &[]).unwrap_err();
        assert!(refused.contains("the file is not UTF-8 text"), "{refused}");
        assert!(
            refused.contains("hk.yaml beside it, feed: { encoding: gb18030"),
            "{refused}"
        );
        assert!(closed(b"BEGIN:\xff\xff\xff", &said).is_err());
    }

    /// A feed of all-day events: date, name, and further lines.
    fn feed(product: &str, events: &[(&str, &str, &str)]) -> String {
        let event = |(date, name, more): &(&str, &str, &str)| {
            format!(
                "BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:{date}\r\nSUMMARY:{name}\r\n{more}END:VEVENT\r\n"
            )
        };
        let events: String = events.iter().map(event).collect();
        format!("BEGIN:VCALENDAR\r\nPRODID:{product}\r\n{events}END:VCALENDAR\r\n")
    }

    #[test]
    fn a_phone_s_calendar_marks_days_off_and_working_saturdays_and_its_other_entries_are_ordinary_days()
     {
        const OFF: &str = "DTEND;VALUE=DATE:20261008\r\nTRANSP:TRANSPARENT\r\nX-APPLE-SPECIAL-DAY:WORK-HOLIDAY\r\n";
        const WORKED: &str = "TRANSP:TRANSPARENT\r\nX-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY\r\n";
        let phone = feed(
            "-//Apple//EN",
            &[
                ("20261001", "National Day (off)", OFF),
                ("20261010", "National Day (work)", WORKED),
                ("20261023", "Frost's Descent", "TRANSP:TRANSPARENT\r\n"),
                ("20261111", "Shopping Festival", "TRANSP:TRANSPARENT\r\n"),
            ],
        );
        let calendars = load(folder(&[("phone.ics", &phone)]).path()).unwrap();
        let phone = &calendars["phone"];
        for (date, expected) in [
            ("2026-10-01", Some("National Day (off)")),
            ("2026-10-07", Some("National Day (off)")),
            ("2026-10-08", None),
            ("2026-10-10", None),
            ("2026-10-11", Some("Sunday")),
            ("2026-10-17", Some("Saturday")),
            ("2026-10-23", None),
            ("2026-11-11", None),
        ] {
            assert_eq!(phone.closed(day(date)), expected, "{date}");
        }
        assert_eq!(
            phone.ordinary.iter().collect::<Vec<_>>(),
            ["Frost's Descent", "Shopping Festival"]
        );
        assert!(
            phone.knows(2026) && !phone.knows(2027),
            "of a year without days off nothing is known"
        );
    }

    #[test]
    fn an_entry_that_says_two_things_of_its_days_is_refused_in_whatever_order_it_says_them() {
        let (off, worked) = (
            "X-APPLE-SPECIAL-DAY:WORK-HOLIDAY\r\n",
            "X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY\r\n",
        );
        let both = "X-APPLE-SPECIAL-DAY:WORK-HOLIDAY,ALTERNATE-WORKDAY\r\n".to_owned();
        let descriptions = "DESCRIPTION:Observance\r\nDESCRIPTION:Public holiday\r\n".to_owned();
        let names = format!("SUMMARY:国庆节（班）\r\n{off}");
        for more in [
            format!("{off}{worked}"),
            format!("{worked}{off}"),
            both,
            descriptions,
            names,
        ] {
            let phone = feed(
                "-//Apple//EN",
                &[
                    ("20261001", "Half meant", &more),
                    ("20261002", "Plain", off),
                ],
            );
            let told = load(folder(&[("phone.ics", &phone)]).path())
                .unwrap_err()
                .to_string();
            assert!(
                told.contains("Half meant") && told.contains("says two things about its days"),
                "{more}: {told}"
            );
            assert!(!told.contains("Plain"), "{told}");
        }
        // The same said twice is one thing.
        let twice = feed(
            "-//Apple//EN",
            &[("20261001", "Meant", &format!("{off}{off}"))],
        );
        let calendars = load(folder(&[("phone.ics", &twice)]).path()).unwrap();
        assert_eq!(calendars["phone"].closed(day("2026-10-01")), Some("Meant"));
    }

    #[test]
    fn whole_days_that_are_written_with_times_and_words_that_only_look_like_marks_are_not_guessed()
    {
        let events = |events: &[(&str, &str, &str)]| {
            let one = |(name, start, end): &(&str, &str, &str)| {
                format!(
                    "BEGIN:VEVENT\r\nSUMMARY:{name}\r\nDTSTART{start}\r\nDTEND{end}\r\nEND:VEVENT\r\n"
                )
            };
            let all: String = events.iter().map(one).collect();
            format!("BEGIN:VCALENDAR\r\nPRODID:-//x//EN\r\n{all}END:VCALENDAR\r\n")
        };
        let outlook = events(&[("国庆节（休）", ":20261110T000000", ":20261112T000000")]);
        let calendars = load(folder(&[("outlook.ics", outlook.as_str())]).path()).unwrap();
        for (date, is_closed) in [
            ("2026-11-10", true),
            ("2026-11-11", true),
            ("2026-11-12", false),
        ] {
            assert_eq!(
                calendars["outlook"].closed(day(date)).is_some(),
                is_closed,
                "{date}"
            );
        }
        let refused = |text: &str| {
            load(folder(&[("x.ics", text)]).path())
                .unwrap_err()
                .to_string()
        };
        let utc = events(&[("国庆节（休）", ":20261109T160000Z", ":20261110T160000Z")]);
        assert!(
            refused(&utc).contains("written with times"),
            "{}",
            refused(&utc)
        );
        assert!(refused(&events(&[])).contains("no entry of whole days"));
        for name in ["休假申请截止", "假期结束", "假期旅行出发", "上班族健康日"]
        {
            let text = events(&[(name, ";VALUE=DATE:20261110", ";VALUE=DATE:20261111")]);
            assert!(
                refused(&text).contains("does not say whether it is a day off"),
                "{name}: {}",
                refused(&text)
            );
        }
    }

    #[test]
    fn marks_of_other_publishers_are_read() {
        let google = feed(
            "-//Google Inc//Google Calendar 70.9054//EN",
            &[
                ("20260126", "Republic Day", "DESCRIPTION:Public holiday\r\n"),
                (
                    "20260227",
                    "Valentine's Day",
                    "DESCRIPTION:Observance\\nTo hide observances\\, go to Google Calendar Setting\r\n s > Holidays\r\n",
                ),
            ],
        );
        let china = feed(
            "-//somebody//CN",
            &[
                ("20261001", "国庆节（休）", ""),
                ("20261002", "国庆节假期 第2天/共8天", ""),
                ("20261005", "休｜国庆节", ""),
                ("20261006", "国庆", "CATEGORIES:假期\r\n"),
                ("20261010", "国庆节补班", ""),
                ("20261011", "班｜国庆节", ""),
                ("20261017", "国庆节调休", "CATEGORIES:上班\r\n"),
                ("20261023", "霜降", ""),
                ("20261026", "重阳节（不放假）", ""),
                ("20261102", "寒假放假第1天", ""),
            ],
        );
        let uk = feed(
            "-//uk.gov/GOVUK calendars//EN",
            &[("20260831", "Summer bank holiday", "")],
        );
        let files = [
            ("google.ics", google.as_str()),
            ("cn.ics", &china),
            ("uk.ics", &uk),
        ];
        let calendars = load(folder(&files).path()).unwrap();
        let closed = |name: &str, date: &str| calendars[name].closed(day(date)).map(str::to_owned);
        assert_eq!(
            closed("google", "2026-01-26").as_deref(),
            Some("Republic Day")
        );
        assert_eq!(closed("google", "2026-02-27"), None);
        for date in ["2026-10-01", "2026-10-02", "2026-10-05", "2026-10-06"] {
            assert!(
                closed("cn", date).is_some_and(|name| name.contains("国庆")),
                "{date}"
            );
        }
        for date in [
            "2026-10-10",
            "2026-10-11",
            "2026-10-17",
            "2026-10-23",
            "2026-10-26",
        ] {
            assert_eq!(closed("cn", date), None, "{date}");
        }
        assert_eq!(
            closed("uk", "2026-08-31").as_deref(),
            Some("Summer bank holiday")
        );
    }

    #[test]
    fn gov_hk_s_json_is_read_like_its_ics() {
        let json = r#"{"vcalendar": [{"prodid": "-//1823 Call Centre, HKSAR Government//Hong Kong Public Holidays//EN",
            "version": "2.0", "x-wr-timezone": "Asia/Hong_Kong", "vevent": [{"dtstart": ["20261001", {"value": "DATE"}],
            "dtend": ["20261002", {"value": "DATE"}], "transp": "TRANSPARENT", "uid": "20261001@1823.gov.hk",
            "summary": "National Day"}]}]}"#;
        let calendars = load(folder(&[("hk.json", &format!("\u{feff}{json}"))]).path()).unwrap();
        assert_eq!(
            calendars["hk"].closed(day("2026-10-01")),
            Some("National Day")
        );
        assert_eq!(calendars["hk"].closed(day("2026-10-02")), None);
        for (from, to) in [
            ("vevent", "events"),
            ("\"20261001\"", "\"2026\\n1001\""),
            ("}]}]}", "}]}"),
        ] {
            let shown = mistakes(&[("hk.json", &json.replacen(from, to, 1))]);
            assert!(
                shown.contains("hk.json:1:1: this is no calendar as 1823.gov.hk publishes it"),
                "{to}: {shown}"
            );
        }
        let shown = mistakes(&[("hk.json", &json.replacen("20261001", "20261301", 1))]);
        assert!(shown.contains("DTSTART \"20261301\" is no date"), "{shown}");
    }

    #[test]
    fn what_is_called_a_working_day_without_a_mark_is_refused_and_what_is_called_none_is_not() {
        let called = |name: &str, more: &str| {
            let events = [
                ("20260101", "The first day of January", ""),
                ("20260214", name, more),
            ];
            refusal_of(&[("hk.ics", &feed("-//1823 Call Centre, HKSARG//EN", &events))])
        };
        for name in ["Special Working Day", "Workday", "Working Saturday"] {
            for more in [
                "",
                "DESCRIPTION:Public holiday\r\n",
                "DESCRIPTION:Observance\r\n",
            ] {
                let shown = called(name, more).unwrap_or_default();
                assert!(shown.contains("is called a working day"), "{name}: {shown}");
            }
        }
        for (name, more) in [
            ("Special Non-Working Day", ""),
            ("Working day", "X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY\r\n"),
            ("Special (working day)", ""),
        ] {
            assert_eq!(called(name, more), None, "{name}");
        }
    }

    #[test]
    fn a_feed_with_entries_that_may_mean_anything_is_refused_until_a_person_has_decided() {
        let feed = feed(
            "-//somebody//EN",
            &[
                ("20260217", "Lunar New Year", ""),
                ("20261010", "国庆调休", ""),
                (
                    "20261026",
                    "Thaipusam",
                    "DESCRIPTION:Public holiday in Johor\\, Kedah\r\n",
                ),
                (
                    "20261224",
                    "Christmas Eve (half day)",
                    "DESCRIPTION:Public holiday\r\n",
                ),
                ("20261225", "Christmas (off)", ""),
                ("20261225", "Christmas market (work)", ""),
                ("20261228", "Boxing Day (off)", "DESCRIPTION:Observance\r\n"),
            ],
        );
        insta::assert_snapshot!(mistakes(&[("hk.ics", &feed)]), @r#"
        hk.ics:1:1: somebody has to decide whether payments are made on the days of these entries
          | BEGIN:VCALENDAR
          | ^
            help: write hk.yaml beside this file, and move each name from undecided into the list it belongs to: feed: { off: [], ordinary: [], worked: [], undecided: ["Lunar New Year", "国庆调休", "Thaipusam", "Christmas Eve (half day)", "Christmas market (work)", "Boxing Day (off)"] }; what all are that do not say it may be decided at once there, by unmarked: off or unmarked: ordinary
        hk.ics:3:1: the entry "Lunar New Year" (2026-02-17) does not say whether it is a day off
          | BEGIN:VEVENT
          | ^
        hk.ics:7:1: the entry "国庆调休" (2026-10-10) is 调休, which is written for days off and for working days
          | BEGIN:VEVENT
          | ^
        hk.ics:11:1: the entry "Thaipusam" (2026-10-26) is a holiday of some regions only
          | BEGIN:VEVENT
          | ^
        hk.ics:16:1: the entry "Christmas Eve (half day)" (2026-12-24) is off for half a day only
          | BEGIN:VEVENT
          | ^
        hk.ics:25:1: the entry "Christmas market (work)" (2026-12-25) says the contrary of "Christmas (off)" about 2026-12-25
          | BEGIN:VEVENT
          | ^
        hk.ics:29:1: the entry "Boxing Day (off)" (2026-12-28) says two things about its days
          | BEGIN:VEVENT
          | ^
        "#);
        let with = |text: &str| mistakes(&[("hk.ics", &feed), ("hk.yaml", text)]);
        let names = "off: [Thaipusam, Boxing Day (off)], ordinary: [Christmas Eve (half day)], worked: [国庆调休, Christmas market (work)]";
        let all = format!("feed: {{ unmarked: off, {names} }}\n");
        let shown = with(&all);
        assert!(
            shown.contains("says the contrary of \"Christmas (off)\" about 2026-12-25"),
            "{shown}"
        );
        assert!(
            with("feed: { unmarked: off }\n").contains("says the contrary"),
            "what contradicts itself stays in doubt"
        );
        assert!(with("feed: { off: [Lunar] }\n").contains("hk.ics has no entry \"Lunar\""));
        assert!(
            with("feed: { off: [Thaipusam], ordinary: [Thaipusam] }\n")
                .contains("is decided twice")
        );
        assert!(with("{}\n").contains("there are two calendars \"hk\""));
        assert!(mistakes(&[("hk.yaml", &all)]).contains("there is no hk.ics or hk.json beside it"));
        // What a person writes about a day beats the feed.
        let days = format!("{all}holidays: [2026-12-25]\n");
        let calendars = load(folder(&[("hk.ics", &feed), ("hk.yaml", &days)]).path()).unwrap();
        for (date, expected) in [
            ("2026-02-17", Some("Lunar New Year")),
            ("2026-10-10", None),
            ("2026-10-26", Some("Thaipusam")),
            ("2026-12-24", None),
            ("2026-12-25", Some("holiday")),
            ("2026-12-28", Some("Boxing Day (off)")),
        ] {
            assert_eq!(calendars["hk"].closed(day(date)), expected, "{date}");
        }
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
        let calendars =
            load(folder(&[("cn.yaml", text), ("plain.yml", "weekend: [friday]\n")]).path())
                .unwrap();
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
        assert!(
            mistakes(&[("hk.ics", HK), ("hk.yaml", "{}\n")])
                .contains("there are two calendars \"hk\"")
        );
    }
}
