//! What names a person in a call, and keeping it out of what is kept: evidence, results, logs.
//!
//! It does not decide what is sent. The invariant: no text of a personal field prints with a call,
//! and none that a gateway echoes stays in an observation.

use std::fmt;

use serde_json::{Map, Value};

use super::exchange::{text, without_values};
use super::{Call, Observation};

/// The input fields that hold personal data, or what is worth money while it is fresh: the fields
/// that job kinds call sensitive.
pub const FIELDS: [&str; 6] = [
    "cert_id",
    "name",
    "openid",
    "client_ip",
    "payer_client_ip",
    "auth_code",
];

/// The facts that a gateway gives in its own free words: why the customs refuse, why a refund
/// failed.
pub const TOLD: [&str; 3] = ["explanation", "fail_message", "failure_reason"];

/// The fields by which a notification can name a person.
const TOLD_OF: [&str; 3] = ["openid", "OpenID", "cert_id"];

/// Whether a notification names a person, be it JSON or a form: it is not kept then but sealed.
pub fn names_person(body: &[u8]) -> bool {
    without_values(body, &TOLD_OF) != String::from_utf8_lossy(body)
}

/// From how many bytes on a text is nowhere by chance.
const LONG: usize = 6;

/// What stands in place of a text.
const MASK: &str = "***";

/// A call's input as it may be printed.
pub(super) struct RedactedInput<'a>(pub(super) &'a Map<String, Value>);

impl fmt::Debug for RedactedInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = Value::from(MASK);
        let entries = self.0.iter();
        f.debug_map()
            .entries(entries.map(|(name, value)| {
                (
                    name,
                    if FIELDS.contains(&name.as_str()) {
                        &hidden
                    } else {
                        value
                    },
                )
            }))
            .finish()
    }
}

/// The observation without the call's personal texts, should the gateway have echoed them. What
/// decides (state, code, numbers) is left alone: those are the gateway's words.
pub(super) fn redact(call: &Call, mut seen: Observation) -> Observation {
    for personal in FIELDS.into_iter().filter_map(|field| text(call, field)) {
        seen.evidence = without(&seen.evidence, personal);
        seen.message = seen.message.map(|message| without(&message, personal));
        for (name, fact) in &mut seen.result {
            // A short text may stand anywhere by chance; where the gateway speaks freely it is
            // taken out all the same.
            if personal.len() >= LONG || TOLD.contains(&name.as_str()) {
                take_out(fact, personal);
            }
        }
    }
    seen
}

/// Takes a text out of a fact, however deep.
fn take_out(fact: &mut Value, personal: &str) {
    match fact {
        Value::String(words) => *words = without(words, personal),
        Value::Array(all) => all.iter_mut().for_each(|one| take_out(one, personal)),
        Value::Object(all) => all.values_mut().for_each(|one| take_out(one, personal)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// A text without another, as it stands and as JSON may escape it.
fn without(kept: &str, personal: &str) -> String {
    let kept = kept.replace(personal, MASK);
    if personal.is_ascii() {
        return kept;
    }
    let (lower, upper) = (
        escaped(personal, |unit| format!("\\u{unit:04x}")),
        escaped(personal, |unit| format!("\\u{unit:04X}")),
    );
    kept.replace(&lower, MASK).replace(&upper, MASK)
}

fn escaped(text: &str, write: impl Fn(u16) -> String) -> String {
    let ascii = |unit: u16| {
        u8::try_from(unit)
            .ok()
            .filter(u8::is_ascii)
            .map(|byte| char::from(byte).to_string())
    };
    text.encode_utf16()
        .map(|unit| ascii(unit).unwrap_or_else(|| write(unit)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::Delivery;
    use payrun_domain::ids::OrderNumber;

    #[test]
    fn an_echoed_name_goes_in_every_spelling_and_a_call_prints_without_it() {
        let input =
            json!({ "cert_id": "510921199308772318", "name": "李四", "customs": "SHENZHEN" });
        let call = Call {
            operation: "declare".into(),
            order_no: OrderNumber::parse("A-1").unwrap(),
            input: serde_json::from_value(input).unwrap(),
            amount: None,
            timeout: Duration::from_secs(1),
        };
        let mut seen = Observation::of(Delivery::Replied);
        seen.evidence =
            r#"{"a":"李四","b":"\u674e\u56db","c":"\u674E\u56DB","d":"510921199308772318"}"#.into();
        seen.result
            .insert("explanation".into(), "李四 is another".into());
        let seen = redact(&call, seen);
        assert_eq!(
            seen.evidence,
            r#"{"a":"***","b":"***","c":"***","d":"***"}"#
        );
        assert_eq!(seen.result["explanation"], "*** is another");
        let printed = format!("{call:?}");
        assert!(
            printed.contains("SHENZHEN") && !printed.contains("李四") && !printed.contains("5109"),
            "{printed}"
        );
    }
}
