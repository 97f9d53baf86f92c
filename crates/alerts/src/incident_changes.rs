//! What is to be changed: what is wanted held against the incidents that are open. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::facts::headline;
use super::rules::{ScopedRule, WantedFact};
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;
use payrun_ledger::{IncidentChange, IncidentRow};

/// What is to be changed.
#[derive(Debug, Default)]
pub(super) struct IncidentChanges<'a, 'b> {
    /// New incidents.
    pub begin: Vec<&'a WantedFact<'b>>,
    /// Incidents that have lasted for long enough.
    pub open: Vec<(i64, &'a WantedFact<'b>)>,
    /// Incidents of which something else is to be said by now.
    pub tell: Vec<(i64, &'a WantedFact<'b>)>,
    /// Incidents that are over.
    pub close: Vec<(i64, AlertKind)>,
    /// What needs nothing more.
    pub changes: Vec<IncidentChange>,
}

/// How long something must not have been seen before it is over: what comes and goes is one
/// incident.
const fn settled_after(kind: AlertKind) -> Duration {
    match kind {
        // It ends by itself, and comes again with the next call if our balance is as small as
        // before.
        AlertKind::LaneSuspended => Duration::from_secs(600),
        AlertKind::Failed
        | AlertKind::Rejected
        | AlertKind::Refused
        | AlertKind::Limit
        | AlertKind::NotStarted
        | AlertKind::NotFinished
        | AlertKind::Unknown
        | AlertKind::NeedsReview
        | AlertKind::AwaitingApproval
        | AlertKind::LaneStopped
        | AlertKind::GatewayUnreachable
        | AlertKind::Certificate
        | AlertKind::UnmappedCode
        | AlertKind::PayerDiffers
        | AlertKind::Alarm
        | AlertKind::Difference
        | AlertKind::ContractStopped
        | AlertKind::ContractOverdue
        | AlertKind::Disk
        | AlertKind::Database => Duration::from_secs(60),
    }
}

/// Plans the changes.
pub(super) fn plan<'a, 'b>(
    wanted: &'a [WantedFact<'b>],
    open: &[IncidentRow],
    rules: &[ScopedRule<'_>],
    now: Timestamp,
) -> IncidentChanges<'a, 'b> {
    let rows: HashMap<&str, &IncidentRow> =
        open.iter().map(|row| (row.key.as_str(), row)).collect();
    let seen: HashMap<&str, &WantedFact<'_>> = wanted
        .iter()
        .map(|wanted| (wanted.key.as_str(), wanted))
        .collect();
    let mut planned = IncidentChanges::default();
    for wanted in wanted {
        match rows.get(wanted.key.as_str()) {
            None => planned.begin.push(wanted),
            Some(row) => planned.continue_incident(wanted, row, now),
        }
    }
    for row in open
        .iter()
        .filter(|row| !seen.contains_key(row.key.as_str()))
    {
        planned.missing(row, rules, now);
    }
    planned
}

impl<'a, 'b> IncidentChanges<'a, 'b> {
    fn continue_incident(&mut self, wanted: &'a WantedFact<'b>, row: &IncidentRow, now: Timestamp) {
        if row.gone_since.is_some() {
            self.changes.push(IncidentChange::Meet(row.id));
        }
        if row.opened_at.is_none()
            && (wanted.fact.since.is_some() || now.since(row.since) >= wanted.after)
        {
            self.open.push((row.id, wanted));
        }
        if headline(row) != wanted.fact.payload.title {
            self.tell.push((row.id, wanted));
        }
    }

    fn missing(&mut self, row: &IncidentRow, rules: &[ScopedRule<'_>], now: Timestamp) {
        let ruled = rules.iter().any(|ScopedRule { rule, .. }| {
            rule.on == row.kind
                && row
                    .key
                    .strip_suffix(&rule.spec())
                    .is_some_and(|rest| rest.ends_with('/'))
        });
        match row.gone_since {
            _ if !ruled || row.opened_at.is_none() => {
                self.changes.push(IncidentChange::Drop(row.id))
            }
            None => self.changes.push(IncidentChange::Miss(row.id)),
            Some(gone) if now.since(gone) >= settled_after(row.kind) => {
                self.close.push((row.id, row.kind))
            }
            Some(_) => {}
        }
    }
}
