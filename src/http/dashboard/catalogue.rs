//! The dashboard's languages: one catalogue of messages for each, in `locales/`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader as _, static_loader};

static_loader! {
    static MESSAGES = {
        locales: "./src/http/dashboard/locales",
        fallback_language: "en",
        // Marks around what is put in would be copied with it.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

/// A language of the dashboard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PageLanguage {
    English,
    SimplifiedChinese,
    TraditionalChinese,
}

impl PageLanguage {
    /// All, as they are offered.
    pub const ALL: [Self; 3] = [
        Self::English,
        Self::SimplifiedChinese,
        Self::TraditionalChinese,
    ];

    /// Its tag.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::SimplifiedChinese => "zh-Hans",
            Self::TraditionalChinese => "zh-Hant",
        }
    }

    /// Its own name for itself.
    pub const fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::SimplifiedChinese => "简体中文",
            Self::TraditionalChinese => "繁體中文",
        }
    }

    /// The language of a tag.
    pub fn parse(tag: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|language| language.tag().eq_ignore_ascii_case(tag))
    }

    /// The first that we have of what a browser asks for, by its `Accept-Language`.
    pub fn accepted(header: &str) -> Self {
        header
            .split(',')
            .filter_map(|part| Self::of_tag(part.split(';').next()?.trim()))
            .next()
            .unwrap_or(Self::English)
    }

    fn of_tag(tag: &str) -> Option<Self> {
        let tag = tag.to_ascii_lowercase();
        let mut parts = tag.split('-');
        match parts.next()? {
            "en" => Some(Self::English),
            "zh" if parts.any(|part| ["hant", "tw", "hk", "mo"].contains(&part)) => {
                Some(Self::TraditionalChinese)
            }
            "zh" => Some(Self::SimplifiedChinese),
            _ => None,
        }
    }

    fn identifier(self) -> &'static LanguageIdentifier {
        static IDENTIFIERS: LazyLock<[LanguageIdentifier; 3]> = LazyLock::new(|| {
            PageLanguage::ALL.map(|language| {
                language
                    .tag()
                    .parse()
                    .expect("the tags are those of the folders")
            })
        });
        &IDENTIFIERS[self as usize]
    }

    /// The message of an id, in this language. A test holds every template to the catalogues.
    pub fn message(self, id: &str) -> String {
        MESSAGES.lookup(self.identifier(), id)
    }

    /// The message of an id with what is put into it.
    pub fn message_with(
        self,
        id: &str,
        arguments: &HashMap<Cow<'static, str>, FluentValue<'_>>,
    ) -> String {
        MESSAGES.lookup_with_args(self.identifier(), id, arguments)
    }

    /// The message of an id, if there is one.
    pub fn message_if_any(self, id: &str) -> Option<String> {
        MESSAGES.try_lookup(self.identifier(), id)
    }
}
