//! The report: a table for spreadsheets, JSON for programs, a page for people. All three say the
//! same.
//!
//! Order numbers, amounts and states only: no personal data. The same findings make the
//! same JSON, whose digest is the receipt.

mod chart;
mod html;
mod json;
mod table;

use bytes::Bytes;
use chrono::DateTime;
use chrono_tz::Tz;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::findings::{CountAndSum, Findings};
use crate::file_store::{Files, FilesError};
use payrun_domain::money::{Currency, decimal_text};
use payrun_domain::time::Timestamp;

/// What is reported about.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReportHeading<'a> {
    pub lane: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    /// The run that reconciles.
    pub run: i64,
    pub made_at: Timestamp,
    /// On whose clock people read when it was made.
    pub zone: Tz,
}

impl ReportHeading<'_> {
    /// When it was made, on the clock of the project.
    fn made(&self) -> String {
        let made_at = DateTime::from_timestamp_millis(self.made_at.millis()).unwrap_or_default();
        let made_at = made_at.with_timezone(&self.zone);
        let zone = self.zone.name();
        format!("{} ({zone})", made_at.format("%Y-%m-%d %H:%M:%S"))
    }
}

/// Where the report is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReportFiles {
    pub csv: String,
    pub json: String,
    pub html: String,
    /// Hex SHA-256 of the JSON.
    pub digest: String,
}

/// How often one run may reconcile the same days, each time with another report.
const VERSIONS: u32 = 1_000;

/// Writes the report beside those of the same days that other runs, or this one, wrote before: what
/// a reconciliation said stays to be read. The same findings again take the same name. The page
/// comes last: where it is, the report is whole.
pub(super) async fn write(
    files: &Files,
    about: &ReportHeading<'_>,
    found: &Findings,
) -> Result<ReportFiles, FilesError> {
    let report = Bytes::from(json::report(about, found));
    let digest = hex::encode(Sha256::digest(&report));
    let mut version = 1;
    let (name, json) = loop {
        let name = name(about, version);
        match files.keep(&format!("{name}.json"), report.clone()).await {
            Ok(json) => break (name, json),
            Err(FilesError::Other { .. }) if version < VERSIONS => version += 1,
            Err(error) => return Err(error),
        }
    };
    let csv = files
        .replace(&format!("{name}.csv"), Bytes::from(table::report(found)))
        .await?;
    let page = Bytes::from(html::report(about, found, &csv));
    Ok(ReportFiles {
        csv,
        json,
        html: files.replace(&format!("{name}.html"), page).await?,
        digest,
    })
}

/// Without the format: `reports/hk/reconcile-2026-11-01-2026-11-30-run-7`, and with `-2` behind it
/// the second of that run.
fn name(about: &ReportHeading<'_>, version: u32) -> String {
    let ReportHeading {
        lane,
        from,
        to,
        run,
        ..
    } = about;
    let name = format!("reports/{lane}/reconcile-{from}-{to}-run-{run}");
    match version {
        1 => name,
        _ => format!("{name}-{version}"),
    }
}

/// The table, the JSON and the page, where nothing is written.
#[cfg(test)]
pub(super) fn texts(about: &ReportHeading<'_>, found: &Findings, csv: &str) -> [String; 3] {
    let table = String::from_utf8_lossy(&table::report(found)).into_owned();
    [
        table,
        json::report(about, found),
        html::report(about, found, csv),
    ]
}

/// The sums of all days, by currency.
pub(super) fn sums(found: &Findings) -> Value {
    let sums = found
        .by_currency()
        .into_iter()
        .map(|(code, totals)| (code.to_owned(), json::totals(code, &totals)));
    Value::Object(sums.collect::<Map<_, _>>())
}

/// A sum as decimal text.
fn money(sum: CountAndSum, code: &str) -> String {
    // The code was a currency when it was counted.
    Currency::parse(code).map_or_else(
        |_| sum.minor.to_string(),
        |currency| decimal_text(sum.minor, currency),
    )
}

fn counted(sum: CountAndSum, code: &str) -> Value {
    json!({ "count": sum.count, "sum": money(sum, code) })
}
