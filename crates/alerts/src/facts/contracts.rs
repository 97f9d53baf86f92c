//! Facts about contracts that are kept here: those that are no longer charged, and those that
//! nobody charges.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;

use super::super::mask::masked;
use super::{DetailLookup, Fact, FactText, InstantRange, NEWS_MAX, counted};
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;
use payrun_ledger::{AutomaticStop, ContractStop, Ledger, LedgerError};

/// What stopped within one of these spans is told together, when the span is over.
const SPAN: Duration = Duration::from_secs(300);

/// How many are named.
const NAMED: usize = 10;

/// A period is overdue when its day is over everywhere, and one more.
const OVERDUE: Duration = Duration::from_secs(2 * 86_400);

/// Contracts that payrun suspended or ended by itself.
pub(super) async fn stopped(
    ledger: &Ledger,
    window: InstantRange,
) -> Result<Vec<Fact>, LedgerError> {
    let mut spans: BTreeMap<(i64, AutomaticStop), Vec<ContractStop>> = BTreeMap::new();
    for stop in ledger
        .contract_stops(window.after, window.until, NEWS_MAX)
        .await?
    {
        spans
            .entry((end_of_span(stop.at), stop.what))
            .or_default()
            .push(stop);
    }
    let over = spans
        .into_iter()
        .filter(|((end, _), _)| *end <= window.until.millis());
    Ok(over
        .map(|((end, what), stops)| stopped_in(end, what, &stops))
        .collect())
}

fn end_of_span(at: Timestamp) -> i64 {
    let span = i64::try_from(SPAN.as_millis()).unwrap_or(i64::MAX);
    at.millis() - at.millis().rem_euclid(span) + span
}

fn stopped_in(end: i64, what: AutomaticStop, stops: &[ContractStop]) -> Fact {
    let number = counted(stops.len() as u64, "contract");
    let (verb, advice) = match what {
        AutomaticStop::Suspended => (
            "suspended",
            "`payrun contracts show ID` has the reason; `payrun contracts resume ID` charges it again",
        ),
        AutomaticStop::Ended => (
            "ended",
            "the gateway says that it is no longer good: the customer has to sign a new one",
        ),
    };
    let named = stops
        .iter()
        .take(NAMED)
        .map(|stop| format!("{}: {}", stop.contract, masked(&stop.why)));
    let more = stops
        .len()
        .checked_sub(NAMED + 1)
        .map(|more| format!("and {} more", more + 1));
    Fact {
        kind: AlertKind::ContractStopped,
        subject: format!("{verb} until {end}"),
        workflow: None,
        gateway: None,
        spec: None,
        since: stops.first().map(|stop| stop.at),
        payload: FactText {
            title: format!("{number} {verb}, and no longer charged"),
            facts: Vec::new(),
            lines: named.chain(more).collect(),
            advice: advice.to_owned(),
        },
        more: DetailLookup::Nothing,
    }
}

/// Contracts whose period fell due days ago, and is neither planned nor given up.
pub(super) async fn overdue(ledger: &Ledger, now: Timestamp) -> Result<Vec<Fact>, LedgerError> {
    let before = DateTime::from_timestamp_millis(now.minus(OVERDUE).millis())
        .unwrap_or_default()
        .date_naive();
    let overdue = ledger.overdue_contracts(before).await?;
    Ok(overdue
        .iter()
        .map(|(account, number)| overdue_at(account, *number))
        .collect())
}

fn overdue_at(account: &str, number: u64) -> Fact {
    Fact {
        kind: AlertKind::ContractOverdue,
        subject: account.to_owned(),
        workflow: None,
        gateway: None,
        spec: None,
        since: None,
        payload: FactText {
            title: format!("{} due and not charged", counted(number, "contract")),
            facts: vec![("account".to_owned(), account.to_owned())],
            lines: Vec::new(),
            advice: "`payrun contracts list --overdue` names them; a workflow with `items: { contracts: active, due: run }` \
                     charges them"
                .to_owned(),
        },
        more: DetailLookup::Nothing,
    }
}
