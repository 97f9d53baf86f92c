//! What one value of an input field may be, in plain sentences. Messages never hold a value, which may be sensitive.

use std::fmt::Write as _;

use chrono::NaiveDate;

use super::{Alphabet, Field, FieldKind, JobKind};

impl Alphabet {
    fn has(self, c: char) -> bool {
        match self {
            Self::Digits => c.is_ascii_digit(),
            Self::OrderNumber => c.is_ascii_alphanumeric() || matches!(c, '_' | '-'),
            Self::Ascii => matches!(c, ' '..='~'),
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Digits => "digits",
            Self::OrderNumber => "letters, digits, _ and -",
            Self::Ascii => "printable ASCII characters",
        }
    }
}

impl Field {
    /// Checks a text value. Amounts and currencies are checked where they are parsed.
    ///
    /// # Errors
    /// A sentence that names the field, and not the value.
    pub fn check(&self, value: &str) -> Result<(), String> {
        let (min, max, alphabet) = match &self.kind {
            FieldKind::Text { min, max, alphabet } => (min, max, alphabet),
            FieldKind::Choice(words) => return self.one_of(words, value),
            FieldKind::Date if value.len() == 10 && NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok() => {
                return Ok(());
            }
            FieldKind::Date => return Err(format!("{} takes a date such as 2026-11-30", self.name)),
            FieldKind::Decimal | FieldKind::Amount | FieldKind::Currency => return Ok(()),
        };
        let mut count = 0;
        for c in value.chars() {
            count += 1;
            if c.is_control() {
                return Err(format!("{} contains a control character (U+{:04X})", self.name, u32::from(c)));
            }
            if let Some(alphabet) = alphabet.filter(|alphabet| !alphabet.has(c)) {
                let mut reason = format!("{} takes {} only", self.name, alphabet.words());
                if !self.sensitive {
                    let _ = write!(reason, "; it contains {c:?}");
                }
                return Err(reason);
            }
        }
        if count < *min || count > *max {
            return Err(format!("{} has {count} characters; it takes {min} to {max}", self.name));
        }
        Ok(())
    }

    fn one_of(&self, words: &[String], value: &str) -> Result<(), String> {
        if words.iter().any(|word| word == value) {
            return Ok(());
        }
        Err(format!("{} takes one of {}", self.name, words.join(", ")))
    }
}

impl JobKind {
    /// The keys that the kind makes by itself of an item whose first field of the key is this: one for each word of a choice.
    pub fn keys_about(&self, first: &str) -> Vec<String> {
        let choices = self.key.iter().skip(1).filter_map(|name| match &self.field(name)?.kind {
            FieldKind::Choice(words) => Some(words),
            FieldKind::Text { .. } | FieldKind::Date | FieldKind::Decimal | FieldKind::Amount | FieldKind::Currency => {
                None
            }
        });
        let words = choices.flatten().map(|word| format!("{first}/{word}"));
        std::iter::once(first.to_owned()).chain(words).collect()
    }

    /// The kind as it is on a kind of gateway, which may know fewer words of a choice than all gateways together, and need more
    /// fields.
    #[must_use]
    pub fn on(&self, gateway: &str) -> Self {
        let mut kind = self.clone();
        let Some(operations) = self.gateways.get(gateway) else { return kind };
        let known = &operations.values;
        for field in &mut kind.fields {
            field.required |= operations.requires.contains(&field.name);
            if let (FieldKind::Choice(words), Some(known)) = (&mut field.kind, known.get(&field.name)) {
                words.clone_from(known);
            }
        }
        kind
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field that holds the amount.
    pub fn amount_field(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.kind == FieldKind::Amount)
    }

    /// The field that holds the currency.
    pub fn currency_field(&self) -> Option<&Field> {
        self.fields.iter().find(|field| field.kind == FieldKind::Currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(sensitive: bool) -> Field {
        let kind = FieldKind::Text { min: 1, max: 4, alphabet: Some(Alphabet::Ascii) };
        Field {
            name: "name".to_owned(),
            kind,
            required: true,
            sensitive,
            identity: false,
            default: None,
            doc: String::new(),
        }
    }

    #[test]
    fn lengths_count_characters_and_alphabets_are_kept() {
        assert_eq!(field(false).check("abcd"), Ok(()));
        assert!(field(false).check("abcde").unwrap_err().contains("5 characters; it takes 1 to 4"));
        assert!(field(false).check("é").unwrap_err().contains("'é'"));
        assert!(field(false).check("a\u{7}").unwrap_err().contains("U+0007"));
    }

    #[test]
    fn a_sensitive_value_is_not_in_the_reason() {
        assert!(!field(true).check("é").unwrap_err().contains('é'));
    }
}
