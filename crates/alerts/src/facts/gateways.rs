//! Facts about gateway accounts: lanes that are closed, certificates that expire, answers that
//! nobody has listed.

use std::time::Duration;

use super::super::mask::masked;
use super::super::rules::ScopedRule;
use super::{DetailLookup, Fact, FactText, InstantRange, NEWS_MAX};
use payrun_domain::alert::{AlertKind, ExpiringCredential, UNREACHABLE_FOR};
use payrun_domain::time::Timestamp;
use payrun_ledger::{LaneRow, LaneState, Ledger, LedgerError, UnmappedCode, UnreachableRow};

/// How long before it expires people hear of a certificate.
const BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// Lanes that are suspended, or stopped.
pub(super) async fn lanes(
    ledger: &Ledger,
    kind: AlertKind,
    now: Timestamp,
) -> Result<Vec<Fact>, LedgerError> {
    let wanted = if kind == AlertKind::LaneStopped {
        LaneState::Stopped
    } else {
        LaneState::Suspended
    };
    let lanes = ledger.closed_lanes(now).await?;
    Ok(lanes
        .iter()
        .filter(|lane| lane.state == wanted)
        .map(|lane| closed(lane, kind))
        .collect())
}

fn closed(lane: &LaneRow, kind: AlertKind) -> Fact {
    // `hk/refund` is one kind of job of the account `hk`, `hk/refund/7` one job of it.
    let mut parts = lane.name.split('/');
    let (gateway, of_kind, of_job) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let what = match (of_kind, of_job) {
        (None, _) => "nothing".to_owned(),
        (Some(kind), None) => format!("no {kind}"),
        (Some(_), Some(_)) => "nothing more of one job".to_owned(),
    };
    let (title, advice) = if kind == AlertKind::LaneStopped {
        let mend = if of_job.is_some() {
            "mend what the reason says (workflow, columns), or cancel what is left;"
        } else {
            "mend what the reason says (key, certificate, permission); what was sent is queried;"
        };
        let advice = format!("{mend} `payrun lane release {}` lets it go on", lane.name);
        (
            format!("{gateway} is stopped: {what} is sent until a person has mended it"),
            advice,
        )
    } else {
        let advice =
            "look at the account's balance; it goes on by itself, or when the lane is released"
                .to_owned();
        (
            format!("{gateway} is suspended: {what} is sent for now"),
            advice,
        )
    };
    let mut facts = vec![("gateway".to_owned(), gateway.to_owned())];
    facts.extend(
        lane.reason
            .as_deref()
            .map(|reason| ("reason".to_owned(), masked(reason))),
    );
    Fact {
        kind,
        subject: lane.name.clone(),
        workflow: None,
        gateway: Some(gateway.to_owned()),
        spec: None,
        since: None,
        payload: FactText {
            title,
            facts,
            lines: Vec::new(),
            advice,
        },
        more: DetailLookup::Nothing,
    }
}

/// Gateways to which there is no connection, for as long as the most impatient rule says.
pub(super) async fn unreachable(
    ledger: &Ledger,
    rules: &[&ScopedRule<'_>],
    now: Timestamp,
) -> Result<Vec<Fact>, LedgerError> {
    let after = rules
        .iter()
        .map(|scoped| scoped.rule.after)
        .min()
        .unwrap_or(UNREACHABLE_FOR);
    let rows = ledger.unreachable().await?;
    Ok(rows
        .iter()
        .filter(|row| row.since <= now.minus(after))
        .map(not_reached)
        .collect())
}

fn not_reached(row: &UnreachableRow) -> Fact {
    let UnreachableRow { lane, since, how } = row;
    Fact {
        kind: AlertKind::GatewayUnreachable,
        subject: lane.clone(),
        workflow: None,
        gateway: Some(lane.clone()),
        spec: None,
        since: Some(*since),
        payload: FactText {
            title: format!("{lane} cannot be reached: {how}"),
            facts: vec![("gateway".to_owned(), lane.clone())],
            lines: Vec::new(),
            advice: "look at base_url, the network and the gateway's own notices; what is due is tried again by itself, and what \
                     used up its attempts by `payrun retry`"
                .to_owned(),
        },
        more: DetailLookup::Nothing,
    }
}

/// Certificates that expire soon, or have.
pub(super) fn certificates(all: &[ExpiringCredential], now: Timestamp) -> Vec<Fact> {
    all.iter()
        .filter(|certificate| certificate.until <= now.plus(BEFORE))
        .map(expiring)
        .collect()
}

fn expiring(certificate: &ExpiringCredential) -> Fact {
    let ExpiringCredential {
        gateway,
        what,
        until,
    } = certificate;
    Fact {
        kind: AlertKind::Certificate,
        subject: format!("{gateway} {what} {}", until.millis()),
        workflow: None,
        gateway: Some(gateway.clone()),
        spec: None,
        since: Some(until.minus(BEFORE)),
        payload: FactText {
            title: format!("{gateway}: the {what} expires at {until}"),
            facts: vec![
                ("gateway".to_owned(), gateway.clone()),
                ("good until".to_owned(), until.to_string()),
            ],
            lines: Vec::new(),
            advice: "replace it before then; the gateway refuses every call afterwards".to_owned(),
        },
        more: DetailLookup::Nothing,
    }
}

/// Answers that no outcome table lists, seen for the first time.
pub(super) async fn unmapped_codes(
    ledger: &Ledger,
    window: InstantRange,
) -> Result<Vec<Fact>, LedgerError> {
    let answers = ledger.unmapped_codes(window.after, NEWS_MAX).await?;
    Ok(answers.iter().map(new_answer).collect())
}

fn new_answer(answer: &UnmappedCode) -> Fact {
    let UnmappedCode {
        lane,
        kind,
        code,
        first_at,
        item_id,
        assumed,
    } = answer;
    let shown = masked(code);
    let (title, advice) = match assumed {
        None => (
            format!("{lane} answers {shown} to {kind}, which no outcome table lists"),
            format!(
                "it is taken for unknown and queried; `payrun show --item {item_id}` has the answer. \
                 Ask the gateway what it means, and list it in the job kind"
            ),
        ),
        Some(rests_on) => (
            format!("{lane} answers {shown} to {kind}, whose meaning payrun only assumes"),
            format!(
                "what it is taken for rests on: {rests_on}. `payrun show --item {item_id}` has the answer; ask the gateway \
                 whether that is right, and report it as docs/gateways/README.md says"
            ),
        ),
    };
    Fact {
        kind: AlertKind::UnmappedCode,
        subject: format!("{lane} {kind} {code}"),
        workflow: None,
        gateway: Some(lane.clone()),
        spec: None,
        since: Some(*first_at),
        payload: FactText {
            title,
            facts: vec![
                ("gateway".to_owned(), lane.clone()),
                ("job kind".to_owned(), kind.clone()),
                ("code".to_owned(), shown),
            ],
            lines: Vec::new(),
            advice,
        },
        more: DetailLookup::Nothing,
    }
}
