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
    pub made_at: Timestamp,
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

/// Writes the report, in place of an earlier one of the same days.
pub(super) async fn write(
    files: &Files,
    about: &ReportHeading<'_>,
    found: &Findings,
) -> Result<ReportFiles, FilesError> {
    let name = |extension| {
        format!(
            "reports/{}/reconcile-{}-{}.{extension}",
            about.lane, about.from, about.to
        )
    };
    let json = json::report(about, found);
    let digest = hex::encode(Sha256::digest(json.as_bytes()));
    let csv = files
        .replace(&name("csv"), Bytes::from(table::report(found)))
        .await?;
    let page = html::report(about, found, &csv);
    let json = files.replace(&name("json"), Bytes::from(json)).await?;
    Ok(ReportFiles {
        csv,
        json,
        html: files.replace(&name("html"), Bytes::from(page)).await?,
        digest,
    })
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
