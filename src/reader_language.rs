//! The languages in which people read pages and lists.

use std::sync::LazyLock;

use clap::ValueEnum;
use fluent_templates::LanguageIdentifier;

use crate::workflow::blank_file::Language;

/// A language of whoever reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ReaderLanguage {
    /// English.
    #[default]
    #[value(name = "en")]
    English,
    /// Chinese in simplified characters.
    #[value(name = "zh", alias = "zh-Hans")]
    SimplifiedChinese,
    /// Chinese in traditional characters.
    #[value(name = "zh-Hant")]
    TraditionalChinese,
}

impl ReaderLanguage {
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

    /// What stands between sentences that are one.
    pub const fn semicolon(self) -> &'static str {
        match self {
            Self::English => "; ",
            Self::SimplifiedChinese | Self::TraditionalChinese => "；",
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

    /// The language that a tag of a browser's, or of a caller's, means.
    pub fn of_tag(tag: &str) -> Option<Self> {
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

    /// As the catalogues know it.
    pub(crate) fn identifier(self) -> &'static LanguageIdentifier {
        static IDENTIFIERS: LazyLock<[LanguageIdentifier; 3]> = LazyLock::new(|| {
            ReaderLanguage::ALL.map(|language| {
                language
                    .tag()
                    .parse()
                    .expect("the tags are those of the folders")
            })
        });
        &IDENTIFIERS[self as usize]
    }
}

impl From<Language> for ReaderLanguage {
    fn from(language: Language) -> Self {
        match language {
            Language::En => Self::English,
            Language::Zh => Self::SimplifiedChinese,
        }
    }
}

impl From<ReaderLanguage> for Language {
    fn from(language: ReaderLanguage) -> Self {
        match language {
            ReaderLanguage::English => Self::En,
            ReaderLanguage::SimplifiedChinese | ReaderLanguage::TraditionalChinese => Self::Zh,
        }
    }
}
