//! The fields `ours` and `others` of an account: which lines of its statements are payrun's to
//! explain, where other systems sell over the same account.

use payrun_domain::ids::OrderNumber;
use payrun_yaml::fields::{FieldSpec, ValueShape, text_of};
use payrun_yaml::node::YamlNode;

use super::load::FileContext;

/// The most prefixes, and the longest, in characters: an order number has no more.
const PREFIXES_MAX: usize = 100;
const PREFIX_LONGEST: usize = 32;

static OURS_FIELDS: [FieldSpec; 1] = [FieldSpec::required(
    "prefix",
    ValueShape::Either(&[ValueShape::Text, ValueShape::List(&ValueShape::Text)]),
    "How our own order numbers begin, such as [KD, REF-]. Numbers that payrun derives are ours without it.",
)];

pub(super) const OURS: FieldSpec = FieldSpec::optional(
    "ours",
    ValueShape::Fields(&OURS_FIELDS),
    "Which lines of this account's statements are ours: whatever has no item here and begins otherwise belongs to another \
     system. Without ours and others every line must have its item.",
);

pub(super) const OTHERS: FieldSpec = FieldSpec::optional(
    "others",
    ValueShape::Word(&OthersRule::WORDS),
    "What reconciliation does with lines of other systems: list has each in the report, explained; ignore only counts them. list \
     if ours is given.",
);

/// What is done with the statement lines of other systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OthersRule {
    /// Each stands in the report, and needs nobody.
    List,
    /// They are counted.
    Ignore,
}

impl OthersRule {
    const WORDS: [&str; 2] = ["list", "ignore"];
}

/// Which lines of an account's statements are payrun's to explain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementOwnership {
    /// How our own order numbers begin.
    pub prefixes: Vec<String>,
    /// What is done with the others.
    pub others: OthersRule,
}

impl StatementOwnership {
    /// Whether a line with these numbers, for which there is no item, is ours: payrun derived one of
    /// them, or one begins as ours do.
    pub fn is_ours(&self, numbers: [&str; 2]) -> bool {
        let is_derived = |number: &str| {
            OrderNumber::parse(number).is_ok_and(|number| number.key_hash().is_some())
        };
        let begins = |number: &str| {
            let mut prefixes = self.prefixes.iter();
            prefixes.any(|prefix| number.starts_with(prefix.as_str()))
        };
        numbers
            .into_iter()
            .any(|number| is_derived(number) || begins(number))
    }
}

impl FileContext<'_> {
    pub(super) fn ownership(&mut self, node: &YamlNode) -> Option<StatementOwnership> {
        let (ours, others) = (node.get("ours"), text_of(node, "others"));
        if ours.is_none() && others.is_none() {
            return None;
        }
        let mut prefixes = Vec::new();
        if let Some(given) = ours.and_then(|ours| ours.get("prefix")) {
            let one = given.text().map(|_| given);
            for prefix in one.into_iter().chain(given.list()) {
                let text = prefix.text().unwrap_or_default();
                let fits = (1..=PREFIX_LONGEST).contains(&text.chars().count())
                    && OrderNumber::parse(text).is_ok();
                if fits && prefixes.len() < PREFIXES_MAX {
                    prefixes.push(text.to_owned());
                } else {
                    let help = format!(
                        "1 to {PREFIX_LONGEST} of the characters of order numbers, at most {PREFIXES_MAX} prefixes: [KD, REF-]"
                    );
                    self.refuse(prefix.at, "no order number begins like this", &help);
                }
            }
        }
        Some(StatementOwnership {
            prefixes,
            others: match others {
                Some("ignore") => OthersRule::Ignore,
                _ => OthersRule::List,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_ours_by_how_its_numbers_begin_or_if_payrun_derived_one() {
        let own = StatementOwnership {
            prefixes: vec!["KD".to_owned()],
            others: OthersRule::Ignore,
        };
        let derived = OrderNumber::derive(payrun_domain::ids::KeyHash::of("hk", "deduct", "A"), 2);
        assert!(own.is_ours(["KD-1", ""]));
        assert!(own.is_ours(["", "KD-1"]));
        assert!(own.is_ours([derived.as_str(), ""]));
        assert!(!own.is_ours(["SHOP-KD", "kd-1"]));
        assert!(!own.is_ours(["", ""]));
    }
}
