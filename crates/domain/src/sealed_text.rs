//! How a sealed text names its key, and what stays of it when keys are changed.
//!
//! `KEY:DIGEST:SEALED`. The id of a key tells nothing of the key. The digest is that of the text
//! and of random bytes that are sealed with it: it tells nothing of the text either, fits no other
//! text, and stays the same when the text is sealed under another key. Texts that were sealed
//! before keys had ids are `SEALED` alone.

/// How long the id of a key is, in characters.
pub const KEY_ID: usize = 16;

/// What stands before a sealed text in an item's input, and what behind it. No text of a user's
/// looks like this: there, quotation marks have a backslash.
const BEFORE: &str = "{\"sealed\":\"";
const BEHIND: &str = "\"}";

/// The parts of a sealed text that names its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedText<'a> {
    /// The id of the key.
    pub key: &'a str,
    /// What an approval is bound to.
    pub digest: &'a str,
    /// What is sealed, in base64.
    pub sealed: &'a str,
}

impl<'a> SealedText<'a> {
    /// The parts; none if it names no key.
    ///
    /// ```
    /// use payrun_domain::sealed_text::SealedText;
    /// assert_eq!(SealedText::parse("00112233445566ff:D=:S=").map(|text| text.key), Some("00112233445566ff"));
    /// assert_eq!(SealedText::parse("AAAA"), None);
    /// ```
    pub fn parse(text: &'a str) -> Option<Self> {
        let (key, rest) = text.split_once(':')?;
        let (digest, sealed) = rest.split_once(':')?;
        (key.len() == KEY_ID).then_some(Self {
            key,
            digest,
            sealed,
        })
    }
}

/// An item's input with each sealed text replaced by what stays of it when keys are changed.
///
/// ```
/// use payrun_domain::sealed_text::lasting;
/// let input = r#"{"customs":"SHENZHEN","name":{"sealed":"00112233445566ff:D=:S="}}"#;
/// assert_eq!(lasting(input), r#"{"customs":"SHENZHEN","name":{"sealed":"D="}}"#);
/// ```
pub fn lasting(input: &str) -> String {
    let mut lasting = String::with_capacity(input.len());
    let mut rest = input;
    while let Some((before, text, behind)) = next(rest) {
        lasting.push_str(before);
        lasting.push_str(BEFORE);
        lasting.push_str(SealedText::parse(text).map_or(text, |parts| parts.digest));
        lasting.push_str(BEHIND);
        rest = behind;
    }
    lasting.push_str(rest);
    lasting
}

/// The next sealed text of an input, and what stands before and behind it.
fn next(input: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = input.split_once(BEFORE)?;
    let (text, behind) = rest.split_once(BEHIND)?;
    Some((before, text, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_sealed_is_replaced_and_what_names_no_key_stays() {
        let old = r#"{"a":{"sealed":"AAAA"},"b":"x"}"#;
        assert_eq!(lasting(old), old);
        let text =
            serde_json::json!({ "note": "{\"sealed\":\"00112233445566ff:D:S\"}" }).to_string();
        assert_eq!(lasting(&text), text);
        let two =
            r#"{"a":{"sealed":"00112233445566ff:D:S"},"b":{"sealed":"00112233445566ff:E:T"}}"#;
        assert_eq!(lasting(two), r#"{"a":{"sealed":"D"},"b":{"sealed":"E"}}"#);
        assert_eq!(lasting("{}"), "{}");
    }
}
