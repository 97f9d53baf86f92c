//! Payments, refunds, fees and net of the gateways' statements of a month.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{ReportSection, day_of};
use crate::domain::money::Currency;
use crate::engine::LineOutcome;
use crate::export::{ExportContext, TableCell, TableColumn, TableColumnKind};
use crate::ledger::{LedgerError, LineKind, StatementSum};

/// As both gateways with statements count days.
const GATEWAY_ZONE: chrono_tz::Tz = chrono_tz::Asia::Shanghai;

/// The job kind that fetches statements.
const STATEMENT: &str = "statement";

/// What statements say of a month.
pub(super) struct MonthStatements {
    pub section: ReportSection,
    /// Which statements are missing, a sentence an account.
    pub missing: Vec<String>,
}

/// What one account has in one currency: how many lines, and how much.
#[derive(Debug, Clone, Copy, Default)]
struct CurrencySums {
    payments: (u64, i128),
    refunds: (u64, i128),
    fees: (u64, i128),
    net: (u64, i128),
}

/// Of a month, by its first day. `lanes`: the accounts of which items stand in statements.
pub(super) async fn of_month(
    context: &ExportContext,
    first: NaiveDate,
    account: Option<&str>,
    lanes: &BTreeSet<String>,
) -> Result<MonthStatements, LedgerError> {
    let next = first
        .checked_add_months(chrono::Months::new(1))
        .unwrap_or(NaiveDate::MAX);
    let ended = day_of(context.now, GATEWAY_ZONE).map_or(next, |today| today.min(next));
    let last = next.pred_opt().unwrap_or(first);
    let (from, to) = (first.to_string(), last.to_string());
    let (mut rows, mut missing) = (Vec::new(), Vec::new());
    for (lane, gateway) in &context.config.gateways {
        if account.is_some_and(|account| account != lane) {
            continue;
        }
        let statements = context.ledger.statements(lane, &from, &to).await?;
        for (code, sums) in by_currency(&context.ledger.statement_sums(lane, &from, &to).await?) {
            rows.push(row(lane, code, statements.len() as u64, &sums));
        }
        let has_statements = context
            .job_kinds
            .by_name
            .get(STATEMENT)
            .is_some_and(|kind| kind.gateways.contains_key(gateway.kind.as_str()));
        // Who has never fetched one and has nothing in them misses none.
        if has_statements && (lanes.contains(lane) || !statements.is_empty()) {
            let there: BTreeSet<&str> = statements.iter().map(|row| row.day.as_str()).collect();
            let days = first.iter_days().take_while(|day| *day < ended);
            let absent = days.filter(|day| !there.contains(day.to_string().as_str()));
            missing.extend(absent_days(lane, &absent.collect::<Vec<_>>()));
        }
    }
    let mut notes = vec![
        "What the gateways say of the days of this month, which they count in Beijing. Net is what they settle.".to_owned(),
    ];
    notes.extend(missing.iter().cloned());
    Ok(MonthStatements {
        section: ReportSection {
            name: "statements",
            heading: "Statements of the gateways",
            notes,
            columns: columns(),
            rows,
            empty: "No statement of this month is here.",
        },
        missing,
    })
}

/// What lines add up to, by the code of the currency.
fn by_currency(sums: &[StatementSum]) -> BTreeMap<&'static str, CurrencySums> {
    let mut totals: BTreeMap<&'static str, CurrencySums> = BTreeMap::new();
    for sum in sums {
        // Its amount is no money.
        let happened = LineOutcome::of(sum.kind, &sum.state) != LineOutcome::DidNot;
        let mut add = |part: Option<(u64, i64, Currency)>,
                       place: fn(&mut CurrencySums) -> &mut (u64, i128)| {
            if let Some((lines, minor, currency)) = part.filter(|(lines, ..)| *lines > 0) {
                let (count, total) = place(totals.entry(currency.code()).or_default());
                *count += lines;
                *total += i128::from(minor);
            }
        };
        match sum.kind {
            LineKind::Payment => add(sum.amounts.filter(|_| happened), |sums| &mut sums.payments),
            LineKind::Refund => add(sum.amounts.filter(|_| happened), |sums| &mut sums.refunds),
            LineKind::Reversal | LineKind::Other => continue,
        }
        add(sum.fees, |sums| &mut sums.fees);
        add(sum.settled, |sums| &mut sums.net);
    }
    totals
}

fn columns() -> Vec<TableColumn> {
    let counted = ["payments", "refunds"].into_iter().flat_map(|name| {
        [
            TableColumn::new(name, TableColumnKind::Count),
            TableColumn::new(format!("{name}_amount"), TableColumnKind::Money),
        ]
    });
    // How many lines have a fee tells nobody anything, and would be read as the fee.
    let sums = ["fees_amount", "net_amount"]
        .into_iter()
        .map(|name| TableColumn::new(name, TableColumnKind::Money));
    let labels = [
        TableColumn::new("account", TableColumnKind::Text),
        TableColumn::new("currency", TableColumnKind::Text),
        TableColumn::new("days", TableColumnKind::Count),
    ];
    labels.into_iter().chain(counted).chain(sums).collect()
}

fn row(lane: &str, code: &str, days: u64, sums: &CurrencySums) -> Vec<TableCell> {
    let labels = [
        TableCell::text(lane),
        TableCell::text(code),
        TableCell::count(days),
    ];
    let money = |minor| {
        Currency::parse(code).map_or(TableCell::Empty, |currency| {
            TableCell::Money(minor, currency)
        })
    };
    let counted = [sums.payments, sums.refunds].into_iter();
    let counted = counted.flat_map(|(lines, minor)| [TableCell::count(lines), money(minor)]);
    let rest = [sums.fees, sums.net].map(|(_, minor)| money(minor));
    labels.into_iter().chain(counted).chain(rest).collect()
}

/// Which days of an account have no statement; days behind each other as a span.
fn absent_days(lane: &str, days: &[NaiveDate]) -> Option<String> {
    if days.is_empty() {
        return None;
    }
    let spans: Vec<String> = days
        .chunk_by(|one, next| one.succ_opt() == Some(*next))
        .map(|span| match span {
            [one] => one.to_string(),
            [first, .., last] => format!("{first} to {last}"),
            [] => String::new(),
        })
        .collect();
    Some(format!(
        "Account {lane} has no statement of {}.",
        spans.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_days_are_named_as_spans() {
        let day = |n| NaiveDate::from_ymd_opt(2026, 3, n).unwrap();
        assert_eq!(
            absent_days("hk", &[day(1), day(2), day(3), day(9)]).as_deref(),
            Some("Account hk has no statement of 2026-03-01 to 2026-03-03, 2026-03-09.")
        );
        assert_eq!(absent_days("hk", &[]), None);
    }

    #[test]
    fn what_did_not_happen_is_no_money_and_fees_may_have_another_currency() {
        let currency = |code| Currency::parse(code).unwrap();
        let sum = |kind, state: &str, minor, fee: &'static str| StatementSum {
            kind,
            state: state.to_owned(),
            amounts: Some((1, minor, currency("HKD"))),
            fees: Some((1, 5, currency(fee))),
            settled: None,
        };
        let totals = by_currency(&[
            sum(LineKind::Payment, "SUCCESS", 1_000, "HKD"),
            sum(LineKind::Refund, "FAIL", 300, "USD"),
            sum(LineKind::Refund, "SUCCESS", 200, "HKD"),
        ]);
        assert_eq!(totals["HKD"].payments, (1, 1_000));
        assert_eq!(totals["HKD"].refunds, (1, 200));
        assert_eq!(totals["HKD"].fees, (2, 10));
        assert_eq!(totals["USD"].fees, (1, 5));
    }
}
