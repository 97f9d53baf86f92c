//! What other systems did over an account: the lines of its statements that are not ours by the
//! account's own rules, added up by day and currency. The same rule as a reconciliation's; nothing
//! is changed, and no more than a page of lines is in memory.

use std::collections::BTreeMap;

use super::line_verdict::{LineOutcome, shown};
use super::named_items::{AccountItems, NamedItems};
use payrun_domain::money::Currency;
use payrun_ledger::{Ledger, LedgerError, LineKind, StatementLine};
use payrun_project::config::GatewayConfig;
use payrun_project::job_kinds::JobKinds;

/// How many lines are read at a time.
const PAGE: u32 = 500;

/// How many lines, and how much in minor units.
pub type LinesAndSum = (u64, i128);

/// Lines of other systems of one day, in one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OtherSystemsSums {
    /// What payers paid.
    pub payments: LinesAndSum,
    /// What was given back.
    pub refunds: LinesAndSum,
    /// What the gateway keeps of them.
    pub fees: LinesAndSum,
    /// What it settles.
    pub net: LinesAndSum,
}

/// By day (`YYYY-MM-DD`, as the gateway counts days) and the code of the currency.
pub type OtherSystemsDays = BTreeMap<(String, &'static str), OtherSystemsSums>;

/// The lines of other systems in an account's statements of these days, both included; none where
/// the account has neither `ours` nor `others`.
///
/// # Errors
/// Whatever the ledger says.
pub async fn lines_of_others(
    ledger: &Ledger,
    job_kinds: &JobKinds,
    account: &GatewayConfig,
    (from, to): (&str, &str),
) -> Result<OtherSystemsDays, LedgerError> {
    let mut days = OtherSystemsDays::new();
    let Some(ownership) = &account.ownership else {
        return Ok(days);
    };
    let identity = account.identity();
    let items = AccountItems::of(ledger, job_kinds, (&account.name, &identity));
    for statement in ledger.statements(&account.name, from, to).await? {
        let mut after = 0;
        loop {
            let page = ledger.statement_lines(statement.id, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.line;
            let named = NamedItems::of(&items, &page).await?;
            let others = page.iter().filter(|line| named.is_others(line, ownership));
            others.for_each(|line| add(&mut days, &statement.day, line));
        }
    }
    Ok(days)
}

fn add(days: &mut OtherSystemsDays, day: &str, line: &StatementLine) {
    type Side = fn(&mut OtherSystemsSums) -> &mut LinesAndSum;
    let side: Side = match line.kind {
        LineKind::Payment => |sums| &mut sums.payments,
        LineKind::Refund => |sums| &mut sums.refunds,
        LineKind::Reversal | LineKind::Other => return,
    };
    let mut count = |side: Side, minor: i64, currency: Currency| {
        let sums = days.entry((day.to_owned(), currency.code())).or_default();
        let (lines, sum) = side(sums);
        *lines += 1;
        *sum += i128::from(minor);
    };
    if let Some(amount) = line.amount.filter(|_| shown(line) != LineOutcome::DidNot) {
        count(side, amount.minor(), amount.currency());
    }
    if let Some((minor, currency)) = line.fee {
        count(|sums| &mut sums.fees, minor, currency);
    }
    if let Some((minor, currency)) = line.settled {
        count(|sums| &mut sums.net, minor, currency);
    }
}
