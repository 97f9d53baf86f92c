//! What is to be changed: what is wanted held against the episodes that are open. Pure.

use std::collections::HashMap;
use std::time::Duration;

use super::facts::headline;
use super::rules::{Scoped, Wanted};
use payrun_domain::alert::Kind;
use payrun_domain::time::Timestamp;
use payrun_ledger::{Change, EpisodeRow};

/// What is to be changed.
#[derive(Debug, Default)]
pub(super) struct Planned<'a, 'b> {
    /// New episodes.
    pub begin: Vec<&'a Wanted<'b>>,
    /// Episodes that have lasted for long enough.
    pub open: Vec<(i64, &'a Wanted<'b>)>,
    /// Episodes of which something else is to be said by now.
    pub tell: Vec<(i64, &'a Wanted<'b>)>,
    /// Episodes that are over.
    pub close: Vec<(i64, Kind)>,
    /// What needs nothing more.
    pub changes: Vec<Change>,
}

/// How long something must not have been seen before it is over: what comes and goes is one
/// trouble.
const fn settled_after(kind: Kind) -> Duration {
    match kind {
        // It ends by itself, and comes again with the next call if our balance is as small as
        // before.
        Kind::LaneHeld => Duration::from_secs(600),
        Kind::Failed
        | Kind::Rejected
        | Kind::Refused
        | Kind::Limit
        | Kind::NotStarted
        | Kind::NotFinished
        | Kind::Unknown
        | Kind::Parked
        | Kind::LaneStopped
        | Kind::GatewayUnreachable
        | Kind::Certificate
        | Kind::Unlisted
        | Kind::PayerDiffers
        | Kind::Alarm
        | Kind::Difference
        | Kind::ContractStopped
        | Kind::ContractOverdue
        | Kind::Disk
        | Kind::Database => Duration::from_secs(60),
    }
}

/// Plans the changes.
pub(super) fn plan<'a, 'b>(
    wanted: &'a [Wanted<'b>],
    open: &[EpisodeRow],
    rules: &[Scoped<'_>],
    now: Timestamp,
) -> Planned<'a, 'b> {
    let rows: HashMap<&str, &EpisodeRow> = open.iter().map(|row| (row.key.as_str(), row)).collect();
    let seen: HashMap<&str, &Wanted<'_>> = wanted
        .iter()
        .map(|wanted| (wanted.key.as_str(), wanted))
        .collect();
    let mut planned = Planned::default();
    for wanted in wanted {
        match rows.get(wanted.key.as_str()) {
            None => planned.begin.push(wanted),
            Some(row) => planned.go_on(wanted, row, now),
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

impl<'a, 'b> Planned<'a, 'b> {
    fn go_on(&mut self, wanted: &'a Wanted<'b>, row: &EpisodeRow, now: Timestamp) {
        if row.gone_since.is_some() {
            self.changes.push(Change::Meet(row.id));
        }
        if row.opened_at.is_none()
            && (wanted.fact.since.is_some() || now.since(row.since) >= wanted.after)
        {
            self.open.push((row.id, wanted));
        }
        if headline(&row.told) != wanted.fact.told.title {
            self.tell.push((row.id, wanted));
        }
    }

    fn missing(&mut self, row: &EpisodeRow, rules: &[Scoped<'_>], now: Timestamp) {
        let ruled = rules.iter().any(|Scoped { rule, .. }| {
            rule.on == row.kind
                && row
                    .key
                    .strip_suffix(&rule.spec())
                    .is_some_and(|rest| rest.ends_with('/'))
        });
        match row.gone_since {
            _ if !ruled || row.opened_at.is_none() => self.changes.push(Change::Drop(row.id)),
            None => self.changes.push(Change::Miss(row.id)),
            Some(gone) if now.since(gone) >= settled_after(row.kind) => {
                self.close.push((row.id, row.kind))
            }
            Some(_) => {}
        }
    }
}
