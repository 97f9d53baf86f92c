//! What is wrong with a file, and where, for people.
//!
//! A diagnostic quotes the line it speaks of, except where that line could hold a secret.

use std::fmt;
use std::sync::Arc;

use super::node::Position;

/// A file's text, shared by all that speak of it.
#[derive(Debug)]
pub struct SourceText {
    /// The file's name as it was given.
    pub file: String,
    /// Its text, without a byte order mark.
    pub text: String,
    confidential: bool,
}

/// The longest part of a line that is quoted, in characters.
const QUOTE_MAX: usize = 120;

/// The longest message, in characters: what a file says may stand in it, and may be long.
const MESSAGE_MAX: usize = 600;

impl SourceText {
    /// Of a text. In a `confidential` one only lines with a plain, harmless field are quoted whole.
    pub fn new(file: &str, text: String, confidential: bool) -> Arc<Self> {
        let text = text
            .strip_prefix('\u{feff}')
            .map(str::to_owned)
            .unwrap_or(text);
        Arc::new(Self {
            file: file.to_owned(),
            text,
            confidential,
        })
    }

    /// Whether its lines may hold secrets.
    pub const fn is_confidential(&self) -> bool {
        self.confidential
    }

    /// A diagnostic at a place of this file.
    pub fn diagnostic(&self, at: Position, message: impl Into<String>) -> Diagnostic {
        let mut diagnostic = Diagnostic::bare(&self.file, at, message.into());
        diagnostic.quote = self.quote(at);
        diagnostic
    }

    /// The line at this place with the column of the caret in it; cut where it is long or may hold
    /// a secret.
    fn quote(&self, at: Position) -> Option<(String, usize)> {
        let line = self
            .text
            .lines()
            .nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        let shown = if self.confidential {
            without_value(line)?
        } else {
            line.to_owned()
        };
        let caret = usize::try_from(at.column).ok()?.saturating_sub(1);
        let from = caret.saturating_sub(QUOTE_MAX - 20);
        let part: String = shown.chars().skip(from).take(QUOTE_MAX).collect();
        let part = part.replace(|c: char| c.is_control(), " ");
        (caret <= shown.chars().count()).then_some((part, caret - from))
    }
}

/// Fields of which the value may be shown.
const HARMLESS: &[&str] = &[
    "calendars",
    "database",
    "timezone",
    "jobs",
    "gateways",
    "kind",
    "base_url",
    "mode",
    "mchid",
    "appid",
    "sp_mchid",
    "sp_appid",
    "sub_mchid",
    "sub_appid",
    "notify_url",
    "rate",
    "concurrency",
    "timeout",
    "query_interval",
    "refund_interval",
    "funds_interval",
    "withdraw_at_once",
    "files",
    "host",
    "port",
    "security",
    "on",
    "after",
    "by",
    "workflow",
    "env",
    "file",
];

/// The line without what may be a secret; none if nothing of it may be shown.
fn without_value(line: &str) -> Option<String> {
    let (field, value) = line.split_once(':')?;
    let name = field.trim();
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    {
        return None;
    }
    let value = value.trim();
    if value.is_empty()
        || (HARMLESS.contains(&name) && !value.contains(['{', '@']) && !value.contains("BEGIN"))
    {
        return Some(line.to_owned());
    }
    Some(format!("{field}: …"))
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    quote: Option<(String, usize)>,
}

impl Diagnostic {
    /// Without a quoted line.
    pub fn bare(file: &str, at: Position, message: String) -> Self {
        let message = cut(message);
        Self {
            file: file.to_owned(),
            line: at.line,
            column: at.column,
            message,
            help: None,
            quote: None,
        }
    }

    /// With what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(cut(help.into()));
        self
    }

    /// With the nearest of the valid names as help, or all of them if none is near and they are
    /// few.
    #[must_use]
    pub fn nearest<'a>(mut self, given: &str, valid: impl IntoIterator<Item = &'a str>) -> Self {
        self.help = suggestion(given, valid).map(cut);
        self
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MESSAGE_MAX) {
        None => text,
        Some((end, _)) => format!("{} …", &text[..end]),
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )?;
        if let Some((line, caret)) = &self.quote {
            write!(f, "\n  | {line}\n  | {:caret$}^", "")?;
        }
        match &self.help {
            Some(help) => write!(f, "\n    help: {help}"),
            None => Ok(()),
        }
    }
}

/// "did you mean …", or the valid names if they are few.
pub fn suggestion<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let valid: Vec<&str> = valid.into_iter().collect();
    if let Some(near) = nearest_name(given, valid.iter().copied()) {
        return Some(format!("did you mean \"{near}\"?"));
    }
    let listed = (1..=24).contains(&valid.len()).then(|| valid.join(", "));
    listed.map(|names| format!("valid here: {names}"))
}

/// The valid name that was probably meant.
pub fn nearest_name<'a>(given: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given: String = given.chars().take(64).collect::<String>().to_lowercase();
    let allowed = (given.chars().count() / 3).clamp(1, 3);
    valid
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&given, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// All the mistakes of a file, in the order of their places.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics(Vec<Diagnostic>);

/// The most mistakes that are kept of one file.
const DIAGNOSTICS_MAX: usize = 200;

impl Diagnostics {
    /// Adds one, keeping the order of places.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.0.len() >= DIAGNOSTICS_MAX {
            return;
        }
        let place = (diagnostic.line, diagnostic.column);
        let index = self.0.partition_point(|known| {
            (&known.file, (known.line, known.column)) <= (&diagnostic.file, place)
        });
        self.0.insert(index, diagnostic);
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        other
            .0
            .into_iter()
            .for_each(|diagnostic| self.push(diagnostic));
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in the order of their places.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// The value, if nothing is wrong.
    ///
    /// # Errors
    /// These diagnostics, if there are any, or if there is no value.
    pub fn or_value<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            Some(_) | None => Err(self),
        }
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            diagnostic.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u32, column: u32) -> Position {
        Position { line, column }
    }

    #[test]
    fn mistakes_come_in_the_order_of_their_places_with_the_line_and_a_caret() {
        let source = SourceText::new("w.yaml", "workflow: x\njbos: {}\n".to_owned(), false);
        let mut all = Diagnostics::default();
        all.push(
            source
                .diagnostic(at(2, 1), "unknown field \"jbos\"")
                .nearest("jbos", ["jobs", "params"]),
        );
        all.push(source.diagnostic(at(1, 11), "too short"));
        insta::assert_snapshot!(all, @r#"
        w.yaml:1:11: too short
          | workflow: x
          |           ^
        w.yaml:2:1: unknown field "jbos"
          | jbos: {}
          | ^
            help: did you mean "jobs"?
        "#);
    }

    #[test]
    fn a_line_that_may_hold_a_secret_is_never_quoted_whole() {
        let text = "api_v3_key: hunter2\n  -----BEGIN hunter2\nhk: { api_v3_key: hunter2 }\nrate: { k: hunter2 }\nrate: 5/x\n";
        let source = SourceText::new("payrun.yaml", text.to_owned(), true);
        for line in 1..=4 {
            assert!(
                !source
                    .diagnostic(at(line, 1), "wrong")
                    .to_string()
                    .contains("hunter2"),
                "line {line}"
            );
        }
        assert!(
            source
                .diagnostic(at(5, 7), "wrong")
                .to_string()
                .contains("5/x")
        );
    }

    #[test]
    fn names_that_are_far_off_are_not_suggested() {
        assert_eq!(
            nearest_name("schedul", ["schedule", "jobs"]),
            Some("schedule")
        );
        assert_eq!(nearest_name("zzz", ["schedule", "jobs"]), None);
    }
}
