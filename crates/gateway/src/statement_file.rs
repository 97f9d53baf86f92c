//! What the clients do around a file they fetch: the day that is asked for, and what is observed of
//! the file.
//!
//! A file is kept as a file and nowhere else: it names payers, so that no part of it goes into
//! evidence.

use bytes::Bytes;
use chrono::NaiveDate;

use super::exchange::required;
use super::{Call, Observation};

/// A day of the input, written `YYYY-MM-DD`.
///
/// # Errors
/// In words, if it is missing or no date.
pub(super) fn day(call: &Call, field: &str) -> Result<NaiveDate, String> {
    let text = required(call, field)?;
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d")
        .ok()
        .filter(|day| day.to_string() == text);
    day.ok_or_else(|| format!("{field} is no date such as 2026-11-22"))
}

/// A day as both gateways ask for it: `YYYYMMDD`.
pub(super) fn compact(day: NaiveDate) -> String {
    day.format("%Y%m%d").to_string()
}

/// A file that came and is believed: it, its SHA-256 as the receipt, and how long it is.
pub(super) fn fetched(body: &Bytes, seen: &mut Observation) {
    seen.receipt = Some(sha256(body));
    seen.result.insert("bytes".into(), body.len().into());
    seen.file = Some(body.clone());
    seen.evidence = String::new();
}

/// Keeps of a reply that was to be a file only what can be no part of one: JSON, or a page from
/// something in between.
pub(super) fn without_text(seen: Observation) -> Observation {
    let is_none = seen.evidence.trim_start().starts_with(['{', '<']);
    Observation {
        evidence: if is_none {
            seen.evidence
        } else {
            String::new()
        },
        ..seen
    }
}

/// SHA-256 in lower-case hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref())
}
