//! Hong Kong's general holidays as 1823.gov.hk publishes them in JSON: the same calendar as its
//! ICS, a property a member.

use serde_json::Value;

use super::feed::FeedEntry;
use super::{ics, in_line};
use payrun_yaml::diagnostics::{Diagnostics, SourceText};

const NO_CALENDAR: &str = "this is no calendar as 1823.gov.hk publishes it: {\"vcalendar\": [{\"prodid\": .., \"vevent\": [..]}]}; take \
    its ICS, or write the days as YAML";

/// Reads the entries of a file. All are said to be in its first line: the file has no others.
pub(super) fn read(source: &SourceText) -> Result<Vec<FeedEntry>, Diagnostics> {
    let text = serde_json::from_str(&source.text)
        .ok()
        .and_then(|file: Value| as_ics(&file));
    let text = text.ok_or_else(|| Diagnostics::from(in_line(source, 1, NO_CALENDAR)))?;
    ics::entries(
        source,
        &text,
        &vec![1; text.matches("\nBEGIN:VEVENT\n").count()],
    )
}

/// The same calendar in ICS; none if anything is not as it should be.
fn as_ics(file: &Value) -> Option<String> {
    let mut text = String::new();
    for calendar in file.get("vcalendar")?.as_array()? {
        text.push_str("BEGIN:VCALENDAR\n");
        property(&mut text, "PRODID", calendar.get("prodid")?)?;
        for event in calendar.get("vevent")?.as_array()? {
            text.push_str("BEGIN:VEVENT\n");
            for (name, value) in event.as_object()? {
                property(&mut text, &name.to_ascii_uppercase(), value)?;
            }
            text.push_str("END:VEVENT\n");
        }
        text.push_str("END:VCALENDAR\n");
    }
    (!text.is_empty()).then_some(text)
}

/// A property is its text, or a list of its text and its parameters.
fn property(text: &mut String, name: &str, value: &Value) -> Option<()> {
    let (value, parameters) = match value {
        Value::String(value) => (value.as_str(), None),
        Value::Array(parts) => (parts.first()?.as_str()?, parts.get(1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return None,
    };
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_name(name) || value.contains(['\n', '\r']) {
        return None;
    }
    text.push_str(name);
    for (parameter, value) in parameters.and_then(Value::as_object).into_iter().flatten() {
        let value = value
            .as_str()
            .filter(|value| is_name(value) && is_name(parameter))?;
        text.push_str(&format!(";{}={value}", parameter.to_ascii_uppercase()));
    }
    text.push_str(&format!(":{value}\n"));
    Some(())
}
