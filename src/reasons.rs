//! Why a row, an item or a file is where it is, in the language of whoever reads it.
//!
//! The English stands where a reason arises; the other languages have theirs by its id, in
//! `src/reasons/`. What has none there is said in English as a whole, never in two languages at once.

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{Loader as _, static_loader};

use crate::domain::message::{Message, MessageArgument};
use crate::reader_language::ReaderLanguage;

static_loader! {
    static REASONS = {
        locales: "./src/reasons",
        fallback_language: "zh-Hans",
        // Marks around what is put in would be copied with it.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

impl ReaderLanguage {
    /// A reason in this language.
    pub fn reason(self, reason: &Message) -> String {
        self.translated(reason)
            .unwrap_or_else(|| reason.to_string())
    }

    fn translated(self, message: &Message) -> Option<String> {
        let Some(id) = message.id().filter(|_| self != Self::English) else {
            return Some(message.to_string());
        };
        let mut arguments = HashMap::new();
        for (name, argument) in message.arguments() {
            let said = FluentValue::from(self.argument(argument)?);
            arguments.insert(Cow::Owned(name.to_owned()), said);
        }
        REASONS.try_lookup_with_args(self.identifier(), id, &arguments)
    }

    fn argument(self, argument: &MessageArgument) -> Option<String> {
        match argument {
            MessageArgument::Text(text) => Some(text.clone()),
            MessageArgument::Message(message) => self.translated(message),
            MessageArgument::Names { names } => Some(names.join("、")),
            MessageArgument::Either { either } => Some(either.join(" 或 ")),
            MessageArgument::Sentences { sentences } => {
                let said = sentences.iter().map(|one| self.translated(one));
                Some(said.collect::<Option<Vec<_>>>()?.join(self.semicolon()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ReaderLanguage; 3] = ReaderLanguage::ALL;

    #[test]
    fn a_reason_is_said_in_the_readers_language_with_what_is_put_in() {
        let place = Message::new("place-column", " (column \"{column}\")").with("column", "金额");
        let field = Message::new("at-place", "{name}{place}")
            .with("name", "amount")
            .with("place", place);
        let reason = Message::new("field-empty", "{field} is empty").with("field", field);
        assert_eq!(
            ALL.map(|language| language.reason(&reason)),
            [
                "amount (column \"金额\") is empty",
                "amount（列「金额」） 为空",
                "amount（欄「金额」） 為空"
            ]
        );
    }

    #[test]
    fn a_reason_that_a_language_lacks_is_english_as_a_whole() {
        let unknown = Message::new("no-such-reason", "it rains");
        let reasons = Message::all(vec![
            Message::new("file-empty", "the file is empty"),
            unknown,
        ]);
        assert_eq!(
            ALL.map(|language| language.reason(&reasons)),
            ["the file is empty; it rains"; 3]
        );
        let words = Message::plain("as the gateway says");
        assert_eq!(
            ReaderLanguage::TraditionalChinese.reason(&words),
            "as the gateway says"
        );
    }
}
