//! What the pages say, and the words of lists: one catalogue of messages for each language, in
//! `locales/`. Why a row, an item or a file is where it is comes from elsewhere, and has a catalogue
//! of its own, `src/reasons/`.

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{Loader as _, static_loader};

use crate::reader_language::ReaderLanguage;

static_loader! {
    static MESSAGES = {
        locales: "./src/locales",
        fallback_language: "en",
        // Marks around what is put in would be copied with it.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

impl ReaderLanguage {
    /// The message of an id, in this language. A test holds every template to the catalogues.
    pub(crate) fn message(self, id: &str) -> String {
        MESSAGES.lookup(self.identifier(), id)
    }

    /// The message of an id with what is put into it.
    pub(crate) fn message_with(
        self,
        id: &str,
        arguments: &HashMap<Cow<'static, str>, FluentValue<'_>>,
    ) -> String {
        MESSAGES.lookup_with_args(self.identifier(), id, arguments)
    }

    /// The word for a word of a fixed list, such as a job kind or a state; none where the catalogue
    /// has none.
    pub(crate) fn word(self, list: &str, word: &str) -> Option<String> {
        let word = word.to_ascii_lowercase().replace(['_', '.'], "-");
        MESSAGES.try_lookup(self.identifier(), &format!("{list}-{word}"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::item::State;
    use crate::domain::own_code::OwnCode;
    use crate::job_kinds::JobKinds;

    /// That each of these has a word of its own in every language.
    fn have_their_words(list: &str, names: &[&str]) {
        for language in ReaderLanguage::ALL {
            let words = names.iter().filter_map(|name| language.word(list, name));
            let different: BTreeSet<String> = words.collect();
            assert_eq!(different.len(), names.len(), "{list} in {}", language.tag());
        }
    }

    #[test]
    fn every_state_kind_and_code_has_a_word_of_its_own_in_every_language() {
        have_their_words("state", &State::ALL.map(State::as_str));
        let own: Vec<&str> = OwnCode::ALL.into_iter().map(OwnCode::as_str).collect();
        have_their_words("own", &own);
        let kinds = JobKinds::built_in();
        let names: Vec<&str> = kinds.by_name.keys().map(|name| &**name).collect();
        have_their_words("kind", &names);
        let chinese = ReaderLanguage::SimplifiedChinese;
        assert_ne!(chinese.word("kind", "deduct").as_deref(), Some("deduct"));
        assert_eq!(chinese.word("kind", "our-own"), None);
    }
}
