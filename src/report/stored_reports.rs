//! The reports that are kept, by their names: of runs and months (`runs/run-7`, `months/2026-11`),
//! and of reconciliations (`hk/reconcile-2026-11-30-2026-11-30-run-7`, and with `-2` behind it the
//! second of that run). Nothing else in the folder has a name here, so nothing else can be asked for.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use futures_util::TryStreamExt as _;

use crate::domain::time::Timestamp;
use crate::engine::Engine;
use crate::engine::file_store::{Files, FilesError, StoredFile};
use crate::export::totals::parse_month;

/// Their folder in the store.
pub const FOLDER: &str = "reports";

/// What a kept report is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReportScope {
    /// A run.
    Run(i64),
    /// A month, by its first day.
    Month(NaiveDate),
    /// The reconciliation of an account's days.
    Reconcile {
        /// The gateway account.
        account: String,
        /// The first day.
        from: NaiveDate,
        /// The last day.
        to: NaiveDate,
        /// The run that made it, and which report of the days it is there; none of one that was
        /// written before reports were kept apart.
        made_in: Option<(i64, u32)>,
    },
}

impl ReportScope {
    /// The words for the kinds.
    pub const KINDS: [&str; 3] = ["run", "month", "reconcile"];

    /// The report of this name, such as `runs/run-7`; none if no report is called so.
    pub fn parse(name: &str) -> Option<Self> {
        let (folder, file) = name.split_once('/')?;
        let scope = match (folder, file) {
            ("runs", file) if file.starts_with("run-") => Self::Run(
                file.strip_prefix("run-")?
                    .parse()
                    .ok()
                    .filter(|run| *run > 0)?,
            ),
            ("months", file) if !file.starts_with("reconcile-") => Self::Month(parse_month(file)?),
            (account, file) => {
                let days = file.strip_prefix("reconcile-")?;
                let (from, rest) = (days.get(..10)?, days.get(10..)?.strip_prefix('-')?);
                let (to, made_in) = (rest.get(..10)?, rest.get(10..)?);
                let account = account.to_owned();
                Self::Reconcile {
                    account: is_account(&account).then_some(account)?,
                    from: from.parse().ok()?,
                    to: to.parse().ok()?,
                    made_in: match made_in.strip_prefix("-run-") {
                        None if made_in.is_empty() => None,
                        None => return None,
                        Some(made_in) => Some(run_and_version(made_in)?),
                    },
                }
            }
        };
        // What reads the same is not yet the same name: `run-007`.
        (scope.name() == name).then_some(scope)
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Self::Run(run) => format!("runs/run-{run}"),
            Self::Month(first) => format!("months/{}", first.format("%Y-%m")),
            Self::Reconcile {
                account,
                from,
                to,
                made_in,
            } => {
                let made_in = match made_in {
                    None => String::new(),
                    Some((run, 1)) => format!("-run-{run}"),
                    Some((run, version)) => format!("-run-{run}-{version}"),
                };
                format!("{account}/reconcile-{from}-{to}{made_in}")
            }
        }
    }

    /// The word for its kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Run(_) => "run",
            Self::Month(_) => "month",
            Self::Reconcile { .. } => "reconcile",
        }
    }

    /// The formats that there may be, the page first.
    pub const fn formats(&self) -> &'static [&'static str] {
        match self {
            Self::Run(_) | Self::Month(_) => &["html", "xlsx"],
            Self::Reconcile { .. } => &["html", "csv", "json"],
        }
    }

    /// Its file of a format, in the store.
    pub fn file(&self, format: &str) -> String {
        format!("{FOLDER}/{}.{format}", self.name())
    }
}

/// `7`, or `7-2` of the second one.
fn run_and_version(text: &str) -> Option<(i64, u32)> {
    let (run, version) = text.split_once('-').unwrap_or((text, "1"));
    Some((run.parse().ok()?, version.parse().ok()?))
}

/// As payrun.yaml names accounts.
fn is_account(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=31).contains(&name.len()) && name.bytes().all(allowed)
}

/// A report that is there, and its files by format.
#[derive(Debug)]
pub struct StoredReport {
    /// What it is about.
    pub scope: ReportScope,
    /// When its page was written.
    pub made_at: Timestamp,
    /// Its files, each with its format.
    pub files: Vec<(&'static str, StoredFile)>,
}

/// Where a page of the list goes on: behind a report that was made then.
pub type ReportCursor = (Timestamp, ReportScope);

/// Reports, newest first, at most so many from before one on; of one kind only where one is given.
/// Whatever there is is looked at, and no more than a page is in memory.
///
/// # Errors
/// If the store cannot be read.
pub async fn list(
    files: &Files,
    kind: Option<&str>,
    before: Option<&ReportCursor>,
    limit: usize,
) -> Result<Vec<StoredReport>, FilesError> {
    let mut newest: BTreeSet<ReportCursor> = BTreeSet::new();
    let mut all = files.list(FOLDER);
    while let Some(file) = all.try_next().await? {
        let Some(scope) = page_of(&file.name) else {
            continue;
        };
        let found = (file.written_at, scope);
        let is_meant = kind.is_none_or(|kind| kind == found.1.kind());
        if is_meant && before.is_none_or(|before| found < *before) {
            newest.insert(found);
            if newest.len() > limit {
                newest.pop_first();
            }
        }
    }
    let mut reports = Vec::with_capacity(newest.len());
    for (made_at, scope) in newest.into_iter().rev() {
        reports.push(StoredReport {
            files: files_of(files, &scope).await?,
            scope,
            made_at,
        });
    }
    Ok(reports)
}

/// A report by its name, with the instant it was made; none if it is not there.
///
/// # Errors
/// If the store cannot be read.
pub async fn cursor(files: &Files, name: &str) -> Result<Option<ReportCursor>, FilesError> {
    let Some(scope) = ReportScope::parse(name) else {
        return Ok(None);
    };
    let page = files.stat(&scope.file("html")).await?;
    Ok(page.map(|page| (page.written_at, scope)))
}

/// The report whose page this file is.
fn page_of(name: &str) -> Option<ReportScope> {
    scope_of(name).filter(|_| name.ends_with(".html"))
}

/// The report that this file is of.
fn scope_of(name: &str) -> Option<ReportScope> {
    let name = name.strip_prefix(FOLDER)?.strip_prefix('/')?;
    let (name, format) = name.rsplit_once('.')?;
    ReportScope::parse(name).filter(|scope| scope.formats().contains(&format))
}

/// How many files of reports are deleted at a time, and the most that are counted.
const FILES: usize = 500;
const FILES_COUNTED: usize = 1_000_000;

/// Files of reports that `retention.reports` says are old, so many at most; none where they are kept
/// for ever. What else lies in the folder is nobody's to delete.
async fn old(engine: &Engine, most: usize) -> Result<Vec<String>, FilesError> {
    let Some(kept) = engine.config.retention.reports else {
        return Ok(Vec::new());
    };
    let before = engine.clock.now().minus(kept);
    let (mut old, mut all) = (Vec::new(), engine.files.list(FOLDER));
    while old.len() < most
        && let Some(file) = all.try_next().await?
    {
        if file.written_at < before && scope_of(&file.name).is_some() {
            old.push(file.name);
        }
    }
    Ok(old)
}

/// How many files of reports are old.
///
/// # Errors
/// If the store cannot be read.
pub async fn count_old(engine: &Engine) -> Result<u64, FilesError> {
    Ok(old(engine, FILES_COUNTED).await?.len() as u64)
}

/// Deletes some files of reports that are old; say it again until it says zero.
///
/// # Errors
/// Whatever the store says; what was deleted before is gone.
pub async fn prune(engine: &Engine) -> Result<u64, FilesError> {
    let old = old(engine, FILES).await?;
    for name in &old {
        engine.files.delete(name).await?;
    }
    Ok(old.len() as u64)
}

/// The files that there are of a report, each with its format.
///
/// # Errors
/// If the store cannot be read.
pub async fn files_of(
    files: &Files,
    scope: &ReportScope,
) -> Result<Vec<(&'static str, StoredFile)>, FilesError> {
    let mut found = Vec::new();
    for format in scope.formats() {
        let file = files.stat(&scope.file(format)).await?;
        found.extend(file.map(|file| (*format, file)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reports_have_names() {
        for name in [
            "runs/run-7",
            "months/2026-11",
            "hk/reconcile-2026-11-01-2026-11-30",
            "runs/reconcile-2026-11-01-2026-11-30",
            "hk/reconcile-2026-11-01-2026-11-30-run-7",
            "hk/reconcile-2026-11-01-2026-11-30-run-7-2",
        ] {
            let scope = ReportScope::parse(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(scope.name(), name);
        }
        for other in [
            "runs/run-007",
            "runs/run-0",
            "runs/run--7",
            "runs/../runs/run-7",
            "../reconcile-2026-11-01-2026-11-30",
            "./reconcile-2026-11-01-2026-11-30",
            "HK/reconcile-2026-11-01-2026-11-30",
            "hk/reconcile-2026-11-1-2026-11-30",
            "hk/reconcile-2026-11-01",
            "hk/reconcile-2026-11-01-2026-11-30-run-",
            "hk/reconcile-2026-11-01-2026-11-30-run-07",
            "hk/reconcile-2026-11-01-2026-11-30-run-7-1",
            "hk/reconcile-2026-11-01-2026-11-30-7",
            "hk/reconcile-2026-11-01-2026-11-30-run-7-2-3",
            "months/2026-13",
            "months/run-7",
            "run-7",
            "",
        ] {
            assert_eq!(ReportScope::parse(other), None, "{other}");
        }
    }
}
