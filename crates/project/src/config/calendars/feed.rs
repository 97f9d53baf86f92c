//! What the entries of a published feed mean: a day off, a working day that makes up for one, or an
//! ordinary day.
//!
//! Feeds hold solar terms, observances and working Saturdays beside days off, and mark them in
//! different ways:
//!
//! | Feed | Days off | Working days | Ordinary days |
//! |---|---|---|---|
//! | Apple, iCloud | `X-APPLE-SPECIAL-DAY:WORK-HOLIDAY` | `X-APPLE-SPECIAL-DAY:ALTERNATE-WORKDAY` | entries without that mark, in a feed that has it |
//! | Google | `DESCRIPTION:Public holiday` | – | `DESCRIPTION:Observance…` |
//! | China's, of many publishers | 休, 放假, 假期, 休息 in the name or `CATEGORIES` | 班, 补班, 上班 | the solar terms |
//! | gov.hk (1823), GOV.UK | all | – | – |
//!
//! `TRANSP` and `X-MICROSOFT-CDO-BUSYSTATUS` say whether a person is busy and decide nothing. What
//! no mark tells, what marks tell in two ways, and what is called a working day without a mark, is
//! not guessed: the feed is refused until a person has decided ([`Decisions`]).

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::in_line;
use crate::workflow::source::TextEncoding;
use payrun_domain::calendar::Calendar;
use payrun_yaml::diagnostics::{Diagnostics, SourceText};
use payrun_yaml::node::Position;

/// How many doubtful entries are listed.
const LISTED: usize = 10;

/// What an entry makes of its days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DayMeaning {
    /// They are no business days.
    Off,
    /// They are business days, also on a weekend.
    Worked,
    /// They are as they would be without it.
    Ordinary,
}

/// An all-day entry.
#[derive(Debug)]
pub(super) struct FeedEntry {
    /// The line in which it begins.
    pub line: u32,
    /// Its name.
    pub name: String,
    /// Its days.
    pub days: Vec<NaiveDate>,
    /// What it says of them itself; why that is not known otherwise.
    pub meaning: Result<DayMeaning, UnclearMeaning>,
}

/// Why it is not known what an entry means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnclearMeaning {
    /// It says nothing of its days: what all such entries are may be decided at once.
    SaysNothing,
    /// It says something that may mean two things: each is decided by its name.
    Says(&'static str),
}

impl UnclearMeaning {
    const fn words(self) -> &'static str {
        match self {
            Self::SaysNothing => "does not say whether it is a day off",
            Self::Says(words) => words,
        }
    }
}

/// The properties of an entry that may say what it means.
#[derive(Debug, Default)]
pub(super) struct EntryProperties<'a> {
    /// `X-APPLE-SPECIAL-DAY`, each time it is there.
    pub apple: Vec<&'a str>,
    /// `SUMMARY`, and after it `CATEGORIES`.
    pub names: Vec<String>,
    /// The first line of each `DESCRIPTION`.
    pub descriptions: Vec<String>,
}

/// What is known of a feed as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct FeedTraits {
    /// It lists nothing but days off.
    pub only_days_off: bool,
    /// It marks its days off as Apple does.
    pub apple: bool,
}

/// What a person has decided about a feed.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// What entries are that do not say it themselves.
    pub unmarked: Option<DayMeaning>,
    /// In which encoding it is, where that is not UTF-8.
    pub encoding: Option<TextEncoding>,
    /// What entries of a name are, whatever they say, and where that is written.
    pub named: BTreeMap<String, (DayMeaning, Position)>,
}

/// What an entry says of its days; otherwise why that is not known.
pub(super) fn meaning(
    marks: &EntryProperties<'_>,
    habits: FeedTraits,
) -> Result<DayMeaning, UnclearMeaning> {
    let mut said: BTreeSet<DayMeaning> = marks
        .apple
        .iter()
        .filter_map(|word| apple_mark(word))
        .collect();
    for name in &marks.names {
        said.extend(name_mark(name)?);
    }
    for description in &marks.descriptions {
        said.extend(description_mark(description)?);
    }
    match (said.len(), said.first()) {
        (_, Some(DayMeaning::Off | DayMeaning::Ordinary) | None) if calls_itself_worked(marks) => {
            Err(UnclearMeaning::Says(
                "is called a working day, and does not say whether payments are made on it",
            ))
        }
        (1, Some(meaning)) => Ok(*meaning),
        (0, _)
            if marks
                .names
                .iter()
                .any(|name| name.contains("调休") || name.contains("調休")) =>
        {
            Err(UnclearMeaning::Says(
                "is 调休, which is written for days off and for working days",
            ))
        }
        (0, _) if habits.only_days_off => Ok(DayMeaning::Off),
        (0, _) if habits.apple || marks.names.first().is_some_and(|name| is_solar_term(name)) => {
            Ok(DayMeaning::Ordinary)
        }
        (0, _) => Err(UnclearMeaning::SaysNothing),
        _ => Err(UnclearMeaning::Says("says two things about its days")),
    }
}

/// Whether a name speaks of a day that is worked, as English feeds do without a mark.
fn calls_itself_worked(marks: &EntryProperties<'_>) -> bool {
    const WORDS: [&str; 5] = [
        "working day",
        "work day",
        "workday",
        "working saturday",
        "working sunday",
    ];
    let says = |name: &String| {
        let name = name.to_lowercase().replace('-', " ");
        let worked = WORDS.iter().any(|word| name.contains(word));
        let denied = ["non work", "nonwork", "no work", "not a work"];
        worked && !denied.iter().any(|word| name.contains(word))
    };
    marks.names.iter().any(says)
}

/// Apple's mark, where it is one about work.
pub(super) fn apple_mark(value: &str) -> Option<DayMeaning> {
    match value.to_ascii_uppercase().as_str() {
        "WORK-HOLIDAY" => Some(DayMeaning::Off),
        "ALTERNATE-WORKDAY" => Some(DayMeaning::Worked),
        _ => None,
    }
}

/// What a name or category says.
fn name_mark(name: &str) -> Result<BTreeSet<DayMeaning>, UnclearMeaning> {
    let name = name.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    if has(&["half day", "half-day", "半天", "半日", "early close"]) {
        return Err(UnclearMeaning::Says("is off for half a day only"));
    }
    if has(&["regional holiday"]) {
        return Err(UnclearMeaning::Says("is a holiday of some regions only"));
    }
    if has(&["不放假", "照常上班", "not a public holiday", "(observance)"]) {
        return Ok(BTreeSet::from([DayMeaning::Ordinary]));
    }
    // What stands at the end of a word names the day; within one it may be about anything. 第2天
    // counts days.
    let parts = || {
        name.split(|c: char| !c.is_alphanumeric())
            .map(|part| part.split('第').next().unwrap_or_default())
    };
    let ends = |words: &[&str]| parts().any(|part| words.iter().any(|word| part.ends_with(word)));
    let stands_alone = |mark: &str| parts().any(|part| part == mark);
    let off = stands_alone("休")
        || ends(&["放假", "假期", "休假", "休息", "休息日"])
        || has(&["(off)", "(day off)", "public holiday"]);
    let worked = stands_alone("班")
        || ends(&["补班", "補班", "上班", "补工", "补班日", "上班日"])
        || has(&["(work)", "(workday)", "(working day)", "make-up work"]);
    let said = [
        off.then_some(DayMeaning::Off),
        worked.then_some(DayMeaning::Worked),
    ];
    let said: BTreeSet<DayMeaning> = said.into_iter().flatten().collect();
    Ok(said)
}

/// What the first line of a description says, as Google writes it.
fn description_mark(line: &str) -> Result<Option<DayMeaning>, UnclearMeaning> {
    match line.trim().to_lowercase().as_str() {
        "public holiday" => Ok(Some(DayMeaning::Off)),
        "observance" => Ok(Some(DayMeaning::Ordinary)),
        line if line.starts_with("public holiday in ") || line.contains("regional holiday") => {
            Err(UnclearMeaning::Says("is a holiday of some regions only"))
        }
        line if line.contains("half-day") || line.contains("half day") => {
            Err(UnclearMeaning::Says("is off for half a day only"))
        }
        _ => Ok(None),
    }
}

/// Whether it is one of the 24 solar terms; 清明 is not among these, since it is a holiday too.
fn is_solar_term(name: &str) -> bool {
    const TERMS: [&str; 29] = [
        "立春", "雨水", "惊蛰", "驚蟄", "春分", "谷雨", "穀雨", "立夏", "小满", "小滿", "芒种",
        "芒種", "夏至", "小暑", "大暑", "立秋", "处暑", "處暑", "白露", "秋分", "寒露", "霜降",
        "立冬", "小雪", "大雪", "冬至", "小寒", "大寒", "啟蟄",
    ];
    TERMS.contains(&name.trim())
}

/// Adds a feed to a calendar, of which what a person has written beats it; or lists what has to be
/// decided, and how.
pub(super) fn add_to(
    calendar: Calendar,
    entries: Vec<FeedEntry>,
    decisions: &Decisions,
    feed: &SourceText,
) -> Result<Calendar, Diagnostics> {
    let own = calendar
        .holidays
        .keys()
        .chain(&calendar.working)
        .copied()
        .collect();
    let mut adding = FeedMerge {
        calendar,
        own,
        by_date: BTreeMap::new(),
        doubtful: Vec::new(),
    };
    for entry in entries {
        let decided = decisions
            .named
            .get(&entry.name)
            .map(|(meaning, _)| Ok(*meaning));
        let unmarked = || {
            let by_default = decisions
                .unmarked
                .filter(|_| entry.meaning == Err(UnclearMeaning::SaysNothing));
            entry.meaning.or_else(|why| by_default.ok_or(why))
        };
        match decided.unwrap_or_else(unmarked) {
            Ok(meaning) => adding.take(entry, meaning),
            Err(why) => adding.doubt(entry, why.words().to_owned()),
        }
    }
    if adding.doubtful.is_empty() {
        Ok(adding.calendar)
    } else {
        Err(refusal(&adding, feed))
    }
}

struct FeedMerge {
    calendar: Calendar,
    /// The days about which a person has written something.
    own: BTreeSet<NaiveDate>,
    /// What the feed says of a day so far, and by which entry.
    by_date: BTreeMap<NaiveDate, (DayMeaning, String)>,
    /// What is in doubt, by name, once: the entry, and why.
    doubtful: Vec<(FeedEntry, String)>,
}

impl FeedMerge {
    fn take(&mut self, entry: FeedEntry, meaning: DayMeaning) {
        if meaning == DayMeaning::Ordinary {
            self.calendar.ordinary.insert(entry.name);
            return;
        }
        let days: Vec<NaiveDate> = entry
            .days
            .iter()
            .filter(|date| !self.own.contains(date))
            .copied()
            .collect();
        for date in days {
            match self.by_date.get(&date) {
                Some((other, name)) if *other != meaning => {
                    let why = format!("says the contrary of \"{name}\" about {date}");
                    return self.doubt(entry, why);
                }
                Some(_) | None => self.by_date.insert(date, (meaning, entry.name.clone())),
            };
            if meaning == DayMeaning::Worked {
                self.calendar.working.insert(date);
            } else {
                self.calendar.holidays.insert(date, entry.name.clone());
            }
        }
    }

    fn doubt(&mut self, entry: FeedEntry, why: String) {
        if !self
            .doubtful
            .iter()
            .any(|(known, _)| known.name == entry.name)
        {
            self.doubtful.push((entry, why));
        }
    }
}

/// What has to be decided, and how.
fn refusal(adding: &FeedMerge, feed: &SourceText) -> Diagnostics {
    let (doubtful, name) = (&adding.doubtful, &adding.calendar.name);
    let mut found = Diagnostics::default();
    for (entry, why) in doubtful.iter().take(LISTED) {
        let first = entry
            .days
            .first()
            .map(|day| format!(" ({day})"))
            .unwrap_or_default();
        found.push(in_line(
            feed,
            entry.line,
            format!("the entry \"{}\"{first} {why}", entry.name),
        ));
    }
    let message = match doubtful.len().saturating_sub(LISTED) {
        0 => "somebody has to decide whether payments are made on the days of these entries"
            .to_owned(),
        more => {
            format!(
                "and {more} more: somebody has to decide whether payments are made on the days of these entries"
            )
        }
    };
    let names = doubtful
        .iter()
        .take(LISTED)
        .map(|(entry, _)| serde_json::to_string(&entry.name).unwrap_or_default());
    let names = names.collect::<Vec<_>>().join(", ");
    let help = format!(
        "write {name}.yaml beside this file, and move each name from undecided into the list it belongs to: feed: {{ off: [], ordinary: \
         [], worked: [], undecided: [{names}] }}; what all are that do not say it may be decided at once there, by unmarked: off or \
         unmarked: ordinary"
    );
    found.push(in_line(feed, 1, message).help(help));
    found
}
