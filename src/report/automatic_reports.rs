//! Reports that are made by themselves: of a run when it ends, where its workflow says so, and of a
//! month when it is over. They are kept as a page and a workbook.

use std::time::Duration;

use chrono::{Datelike as _, Months, NaiveDate};
use thiserror::Error;

use super::stored_reports::ReportScope;
use super::{ReportFormat, ReportSubject, day_of, make};
use crate::config::report_link_or_place;
use crate::domain::alert::last_fire;
use crate::engine::Engine;
use crate::engine::file_store::FilesError;
use crate::errors::chain;
use crate::export::{ExportContext, ExportError};
use crate::ledger::{DueReport, LedgerError};

/// How long one that could not be made is left alone.
const AGAIN: Duration = Duration::from_secs(60);

/// The most reports that one look makes.
const REPORTS: usize = 100;

/// How many months are made at most that nobody made while no service ran.
const MONTHS: u32 = 24;

/// The files of a report, the page last: where it is, the report is whole.
const FORMATS: [ReportFormat; 2] = [ReportFormat::Xlsx, ReportFormat::Html];

/// Why a report was not made.
#[derive(Debug, Error)]
enum MakeError {
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The workbook.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// The place for files.
    #[error(transparent)]
    Files(#[from] FilesError),
}

/// Makes the reports that are due; says for each what it can be opened by: a link, or where its page
/// is. One that cannot be made is logged, and tried again later.
///
/// # Errors
/// If the ledger cannot say which are due.
pub async fn make_due(engine: &Engine) -> Result<Vec<String>, LedgerError> {
    let mut places = Vec::new();
    for _ in 0..REPORTS {
        let Some(due) = engine.ledger.claim_report(engine.clock.now()).await? else {
            break;
        };
        match write(engine, &due).await {
            Ok(place) => {
                engine.ledger.report_made(&due, engine.clock.now()).await?;
                tracing::info!(report = due.name, "a report was made");
                places.extend(place);
            }
            Err(error) => {
                let (report, error) = (&due.name, chain(&error));
                tracing::warn!(
                    report,
                    error,
                    "a report could not be made; it is tried again"
                );
                let again = engine.clock.now().plus(AGAIN);
                engine.ledger.report_failed(&due, again).await?;
            }
        }
    }
    Ok(places)
}

/// Writes a report in place of what may be there; none if what it is about is nowhere.
async fn write(engine: &Engine, due: &DueReport) -> Result<Option<String>, MakeError> {
    let Some((scope, subject)) = ReportScope::parse(&due.name).and_then(subject_of) else {
        return Ok(None);
    };
    let context = ExportContext {
        ledger: engine.ledger.clone(),
        config: engine.config.clone(),
        job_kinds: engine.job_kinds.clone(),
        now: engine.clock.now(),
    };
    let Some(report) = make(&context, &subject).await? else {
        return Ok(None);
    };
    let mut place = None;
    for format in FORMATS {
        let content = report.file(format)?;
        let name = scope.file(format.as_str());
        place = Some(engine.files.replace(&name, content.into()).await?);
    }
    Ok(place.map(|place| report_link_or_place(engine.config.server.public_url.as_ref(), &place)))
}

fn subject_of(scope: ReportScope) -> Option<(ReportScope, ReportSubject)> {
    let subject = match &scope {
        ReportScope::Run(run) => ReportSubject::Run(*run),
        ReportScope::Month(first) => ReportSubject::Month {
            first: *first,
            account: None,
        },
        ReportScope::Reconcile { .. } => return None,
    };
    Some((scope, subject))
}

/// Has the reports made of the months that are over, as `monthly` of payrun.yaml says when: that of
/// the last month, and those behind the newest that there is.
///
/// # Errors
/// Whatever the ledger says.
pub async fn want_months(engine: &Engine) -> Result<(), LedgerError> {
    let (now, zone) = (engine.clock.now(), engine.config.timezone);
    let Some(monthly) = &engine.config.alerts.monthly else {
        return Ok(());
    };
    let fired = last_fire(&monthly.at, now).and_then(|at| day_of(at, zone));
    let Some(newest) = fired.and_then(month_before) else {
        return Ok(());
    };
    let ledger = &engine.ledger;
    let known = ledger.newest_month_report().await?;
    let known = known.and_then(|name| match ReportScope::parse(&name) {
        Some(ReportScope::Month(first)) => Some(first),
        Some(ReportScope::Run(_) | ReportScope::Reconcile { .. }) | None => None,
    });
    if known.is_some_and(|known| known >= newest) {
        return Ok(());
    }
    // Of a time before there was any run, there is nothing to report.
    let begun = ledger.first_run_at().await?.and_then(|at| day_of(at, zone));
    if begun.is_none_or(|begun| begun >= next_month(newest)) {
        return Ok(());
    }
    for month in months_between(known, newest) {
        let name = ReportScope::Month(month).name();
        ledger.want_month_report(&name, now).await?;
    }
    Ok(())
}

/// The first day of the month before that of a day.
fn month_before(day: NaiveDate) -> Option<NaiveDate> {
    day.with_day(1)?.checked_sub_months(Months::new(1))
}

fn next_month(first: NaiveDate) -> NaiveDate {
    first
        .checked_add_months(Months::new(1))
        .unwrap_or(NaiveDate::MAX)
}

/// The months behind one that is known up to the newest, the oldest first; the newest alone where
/// none is known.
fn months_between(known: Option<NaiveDate>, newest: NaiveDate) -> Vec<NaiveDate> {
    let back = (0..MONTHS).map_while(|back| newest.checked_sub_months(Months::new(back)));
    let mut months: Vec<NaiveDate> = match known {
        None => vec![newest],
        Some(known) => back.take_while(|month| *month > known).collect(),
    };
    months.reverse();
    months
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_that_nobody_made_are_made_up_for() {
        let month = |year, month| NaiveDate::from_ymd_opt(year, month, 1).unwrap();
        let newest = month(2026, 2);
        assert_eq!(months_between(None, newest), [newest]);
        assert_eq!(
            months_between(Some(month(2025, 11)), newest),
            [month(2025, 12), month(2026, 1), newest]
        );
        assert_eq!(
            months_between(Some(month(2020, 1)), newest).len(),
            MONTHS as usize
        );
        assert_eq!(month_before(month(2026, 1)), Some(month(2025, 12)));
    }
}
