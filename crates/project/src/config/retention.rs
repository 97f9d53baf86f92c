//! The section `retention:` of `payrun.yaml`: how long what is kept, on two clocks.
//!
//! What the service needs to run goes early; what shows that money moved, late or never. No item
//! that is open is forgotten by either, and no key ever.

use std::time::Duration;

use payrun_yaml::fields::{FieldSpec, ValueShape};
use payrun_yaml::node::YamlNode;

use super::load::FileContext;

const DAY: Duration = Duration::from_secs(86_400);

/// How long what the service needs to run is kept if nothing else is said.
const OPERATIONAL: u32 = 90;

/// The least that may be said.
const OPERATIONAL_LEAST: u32 = 7;
const EVIDENCE_LEAST: u32 = 90;

/// The most days that may be said; what is to stay longer stays for ever.
const DAYS_MAX: u32 = 100 * 366;

/// The fields of `retention:`.
pub(super) static FIELDS: [FieldSpec; 3] = [
    FieldSpec::optional(
        "operational",
        ValueShape::Text,
        "How long mails, notifications, decided occurrences and uploaded files are kept: 90d if not given.",
    ),
    FieldSpec::optional(
        "evidence",
        ValueShape::Text,
        "How long what was sent and answered of finished runs, their items' input, and statement lines are kept: days or years \
         (10y), or forever, which it is if not given.",
    ),
    FieldSpec::optional(
        "reports",
        ValueShape::Text,
        "How long reports of runs, months and reconciliations are kept as files: days or years (10y), or forever, which it is if not \
         given.",
    ),
];

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionConfig {
    /// What the service needs to run.
    pub operational: Duration,
    /// What shows that money moved; for ever if none.
    pub evidence: Option<Duration>,
    /// The files of reports; for ever if none.
    pub reports: Option<Duration>,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            operational: DAY * OPERATIONAL,
            evidence: None,
            reports: None,
        }
    }
}

impl FileContext<'_> {
    pub(super) fn retention(&mut self, node: &YamlNode) -> RetentionConfig {
        let usual = RetentionConfig::default();
        let operational = node
            .get("operational")
            .and_then(|node| self.kept(node, OPERATIONAL_LEAST));
        let forever = |node: &&YamlNode| node.text() == Some("forever");
        let evidence = node.get("evidence").filter(|node| !forever(node));
        let reports = node.get("reports").filter(|node| !forever(node));
        RetentionConfig {
            operational: operational.unwrap_or(usual.operational),
            evidence: evidence.and_then(|node| self.kept(node, EVIDENCE_LEAST)),
            reports: reports.and_then(|node| self.kept(node, EVIDENCE_LEAST)),
        }
    }

    /// A span of days or years that is not too short.
    fn kept(&mut self, node: &YamlNode, least: u32) -> Option<Duration> {
        let text = node.text()?;
        let days = days(text);
        if days.is_none() {
            self.refuse(
                node.at,
                format!(
                    "\"{}\" is no span of days or years",
                    payrun_domain::text::shown(text)
                ),
                HELP,
            );
        }
        let days = days?;
        if days < least {
            let help = format!("at least {least}d");
            self.refuse(node.at, "this is forgotten too soon", &help);
            return None;
        }
        Some(DAY * days)
    }
}

const HELP: &str = "such as 90d or 10y; evidence and reports may be kept forever";

/// A whole number and `d`, or `y` with a leap day in each, so that nothing goes too early.
fn days(text: &str) -> Option<u32> {
    let split = text
        .len()
        .checked_sub(1)
        .filter(|split| text.is_char_boundary(*split))?;
    let (count, unit) = text.split_at(split);
    let count: u32 = count.parse().ok()?;
    let days = match unit {
        "d" => count,
        "y" => count.checked_mul(366)?,
        _ => return None,
    };
    (days <= DAYS_MAX).then_some(days)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_days_or_years() {
        for (text, expected) in [
            ("90d", Some(90)),
            ("10y", Some(3660)),
            ("101y", None),
            ("9", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }
}
