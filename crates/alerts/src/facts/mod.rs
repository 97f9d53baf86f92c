//! What could be told: facts of the ledger, and of the process that looks.

mod absence;
mod approvals;
mod contracts;
mod gateways;
mod money;
mod runs;
mod tokens;

use std::collections::BTreeSet;

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::AlertInputs;
use super::rules::ScopedRule;
use payrun_domain::alert::AlertKind;
use payrun_domain::occurrence::instants_on_clock;
use payrun_domain::time::Timestamp;
use payrun_ledger::{IncidentRow, Ledger, LedgerError, RunRef};
use payrun_project::config::PublicUrl;

pub use runs::RefusedRun;

/// The most events of one kind that one look takes up. More of a kind within minutes are nobody's to
/// read: the ledger has them.
const NEWS_MAX: u32 = 5_000;

/// Something that rules may be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub kind: AlertKind,
    /// What it is about: the same words, the same incident.
    pub subject: String,
    pub workflow: Option<String>,
    pub gateway: Option<String>,
    /// For rules that say this of time, if only for those.
    pub spec: Option<String>,
    /// Since when, where that is known; else since it is first seen.
    pub since: Option<Timestamp>,
    pub payload: FactText,
    /// What is looked up before it is told.
    pub more: DetailLookup,
}

/// What a mail says of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct FactText {
    /// One line.
    pub title: String,
    /// Names and values.
    pub facts: Vec<(String, String)>,
    /// Examples and reasons.
    pub lines: Vec<String>,
    /// What to do.
    pub advice: String,
}

/// What is looked up before something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DetailLookup {
    Nothing,
    /// Why items of a run failed.
    Failures(i64),
    /// Which items of a run need review.
    NeedsReview(i64),
}

/// From behind one instant to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct InstantRange {
    pub after: Timestamp,
    pub until: Timestamp,
}

/// What there is that one of the rules may be about.
pub(super) async fn gather(
    ledger: &Ledger,
    rules: &[ScopedRule<'_>],
    watched: &AlertInputs<'_>,
    window: InstantRange,
    public_url: Option<&PublicUrl>,
) -> Result<Vec<Fact>, LedgerError> {
    let kinds: BTreeSet<AlertKind> = rules.iter().map(|scoped| scoped.rule.on).collect();
    let mut facts = Vec::new();
    for kind in kinds {
        let of_kind: Vec<&ScopedRule<'_>> = rules
            .iter()
            .filter(|scoped| scoped.rule.on == kind)
            .collect();
        facts.extend(match kind {
            AlertKind::Failed => runs::failed(ledger, &of_kind, window).await?,
            AlertKind::Rejected => runs::rejected(ledger, window).await?,
            AlertKind::Refused | AlertKind::Limit => runs::refused(watched.refused, kind),
            AlertKind::NotStarted | AlertKind::NotFinished => {
                absence::absent(ledger, &of_kind, window.until).await?
            }
            AlertKind::Unknown => runs::unknown(ledger, &of_kind, window.until).await?,
            AlertKind::NeedsReview => runs::needing_review(ledger).await?,
            AlertKind::AwaitingApproval => approvals::waiting(ledger, public_url).await?,
            AlertKind::LaneSuspended | AlertKind::LaneStopped => {
                gateways::lanes(ledger, kind, window.until).await?
            }
            AlertKind::GatewayUnreachable => {
                gateways::unreachable(ledger, &of_kind, window.until).await?
            }
            AlertKind::Certificate => {
                let mut facts = gateways::certificates(watched.certificates, window.until);
                facts.extend(tokens::ending(ledger, window.until).await?);
                facts
            }
            AlertKind::UnmappedCode => gateways::unmapped_codes(ledger, window).await?,
            AlertKind::PayerDiffers => money::other_payers(ledger, window).await?,
            AlertKind::Alarm => money::alarms(ledger, window).await?,
            AlertKind::Difference => money::differences(ledger, window, public_url).await?,
            AlertKind::ContractStopped => contracts::stopped(ledger, window).await?,
            AlertKind::ContractOverdue => contracts::overdue(ledger, window.until).await?,
            // What breaks the ledger is told without it.
            AlertKind::Disk | AlertKind::Database => Vec::new(),
        });
    }
    Ok(facts)
}

/// What a mail says of a fact, as JSON, with what is looked up for it; its instants on this wall
/// clock.
pub(super) async fn payload(ledger: &Ledger, fact: &Fact, zone: Tz) -> Result<String, LedgerError> {
    let mut payload = fact.payload.clone();
    payload.lines.extend(match fact.more {
        DetailLookup::Nothing => Vec::new(),
        DetailLookup::Failures(run) => runs::failures(ledger, run).await?,
        DetailLookup::NeedsReview(run) => runs::examples(ledger, run).await?,
    });
    Ok(serde_json::to_string(&payload.on_clock(zone)).unwrap_or_default())
}

impl FactText {
    /// The same with its instants on a wall clock, whose time zone is named.
    fn on_clock(self, zone: Tz) -> Self {
        let shown = |text: String| instants_on_clock(&text, zone);
        Self {
            title: shown(self.title),
            facts: self
                .facts
                .into_iter()
                .map(|(name, value)| (name, shown(value)))
                .collect(),
            lines: self.lines.into_iter().map(shown).collect(),
            advice: self.advice,
        }
    }
}

/// The title of an incident.
pub fn headline(incident: &IncidentRow) -> String {
    told(incident.id, &incident.payload).title
}

/// What was told of an incident. Where that cannot be read its title says so, and where it lies: an
/// alert still says that there is something.
pub(super) fn told(incident: i64, payload: &str) -> FactText {
    serde_json::from_str(payload).unwrap_or_else(|_| FactText {
        title: LedgerError::corrupt("incidents", incident, "payload").to_string(),
        ..FactText::default()
    })
}

/// `3 items`, `1 item`.
pub(super) fn counted(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// What every fact about a run says of it.
fn of_run(run: &RunRef) -> Vec<(String, String)> {
    vec![
        ("workflow".to_owned(), run.workflow.clone()),
        (
            "run".to_owned(),
            format!("{} ({})", run.run_id, run.occurrence),
        ),
    ]
}
