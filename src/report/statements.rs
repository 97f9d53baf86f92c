//! Payments, refunds, fees and net of the gateways' statements of a month, and how much of them is
//! of other systems: what a statement has is ours and theirs, to the minor unit.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::{AMOUNT, OF_OTHERS, OURS, ReportSection, day_of};
use crate::domain::money::Currency;
use crate::engine::{
    LineOutcome, LinesAndSum, OtherSystemsDays, OtherSystemsSums, lines_of_others,
};
use crate::export::{ExportContext, TableCell, TableColumn, TableColumnKind};
use crate::ledger::{LedgerError, LineKind, StatementSum};

/// As both gateways with statements count days.
const GATEWAY_ZONE: chrono_tz::Tz = chrono_tz::Asia::Shanghai;

/// How the columns add up.
const OURS_AND_OTHERS: &str = "What the statements have is ours and that of other systems. Where ours differs from our items, the table \
    of differences says by what.";

/// The job kind that fetches statements.
const STATEMENT: &str = "statement";

/// What statements say of a month.
pub(super) struct MonthStatements {
    pub section: ReportSection,
    /// The lines of other systems, by day.
    pub others: ReportSection,
    /// Which statements are missing, a sentence an account.
    pub missing: Vec<String>,
}

/// What one account has in one currency: how many lines, and how much.
#[derive(Debug, Clone, Copy, Default)]
struct CurrencySums {
    payments: LinesAndSum,
    refunds: LinesAndSum,
    fees: LinesAndSum,
    net: LinesAndSum,
    /// Of these, what is of other systems.
    others: OtherSystemsSums,
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
    let (mut rows, mut other_rows, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (lane, gateway) in &context.config.gateways {
        if account.is_some_and(|account| account != lane) {
            continue;
        }
        let statements = context.ledger.statements(lane, &from, &to).await?;
        let days = (from.as_str(), to.as_str());
        let others = lines_of_others(&context.ledger, &context.job_kinds, gateway, days).await?;
        let mut totals = by_currency(&context.ledger.statement_sums(lane, &from, &to).await?);
        add_others(&mut totals, &others);
        let counted = statements.len() as u64;
        rows.extend(
            totals
                .iter()
                .map(|(code, sums)| row(lane, code, counted, sums)),
        );
        for (of, sums) in &others {
            other_rows.push(other_row(lane, of, sums)?);
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
    if !other_rows.is_empty() {
        notes.push(OURS_AND_OTHERS.to_owned());
    }
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
        others: others_section(other_rows),
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

/// Tells of each currency how much of it is of other systems.
fn add_others(totals: &mut BTreeMap<&'static str, CurrencySums>, others: &OtherSystemsDays) {
    let add = |place: &mut LinesAndSum, (lines, minor): LinesAndSum| {
        place.0 += lines;
        place.1 += minor;
    };
    for ((_, code), of_day) in others {
        let sums = &mut totals.entry(code).or_default().others;
        add(&mut sums.payments, of_day.payments);
        add(&mut sums.refunds, of_day.refunds);
        add(&mut sums.fees, of_day.fees);
        add(&mut sums.net, of_day.net);
    }
}

/// What other systems did over our accounts, a row for each day and currency.
fn others_section(rows: Vec<Vec<TableCell>>) -> ReportSection {
    let labels = [
        TableColumn::new("day", TableColumnKind::Date),
        TableColumn::new("account", TableColumnKind::Text),
        TableColumn::new("currency", TableColumnKind::Text),
    ];
    let counted = ["payments", "refunds"].into_iter().flat_map(counted);
    let sums = ["fees_amount", "net_amount"]
        .into_iter()
        .map(|name| TableColumn::new(name, TableColumnKind::Money));
    ReportSection {
        name: "others",
        heading: "Statement lines of other systems, by day",
        notes: vec![
            "Lines without an item here that `ours` of the account in payrun.yaml says are not ours. They stand in the statements above."
                .to_owned(),
        ],
        columns: labels.into_iter().chain(counted).chain(sums).collect(),
        rows,
        empty: "No statement line of this month is of another system.",
    }
}

fn other_row(
    lane: &str,
    (day, code): &(String, &str),
    sums: &OtherSystemsSums,
) -> Result<Vec<TableCell>, LedgerError> {
    let on = day.parse();
    let labels = [
        TableCell::Date(on.map_err(|_| LedgerError::corrupt("statements", lane, "day"))?),
        TableCell::text(lane),
        TableCell::text(*code),
    ];
    let counted = [sums.payments, sums.refunds].into_iter();
    let counted = counted.flat_map(|(lines, minor)| [TableCell::count(lines), money(minor, code)]);
    let rest = [sums.fees, sums.net].map(|(_, minor)| money(minor, code));
    Ok(labels.into_iter().chain(counted).chain(rest).collect())
}

/// A sum; the code was a currency when it was counted.
fn money(minor: i128, code: &str) -> TableCell {
    Currency::parse(code).map_or(TableCell::Empty, |currency| {
        TableCell::Money(minor, currency)
    })
}

/// A count and its sum.
fn counted(name: impl std::fmt::Display) -> [TableColumn; 2] {
    [
        TableColumn::new(name.to_string(), TableColumnKind::Count),
        TableColumn::new(format!("{name}{AMOUNT}"), TableColumnKind::Money),
    ]
}

fn columns() -> Vec<TableColumn> {
    let counted = ["payments", "refunds"].into_iter().flat_map(|name| {
        ["", OF_OTHERS, OURS]
            .into_iter()
            .flat_map(move |whose| counted(format!("{name}{whose}")))
    });
    // How many lines have a fee tells nobody anything, and would be read as the fee.
    let sums = ["fees", "net"].into_iter().flat_map(|name| {
        ["", OF_OTHERS]
            .map(|whose| TableColumn::new(format!("{name}{whose}{AMOUNT}"), TableColumnKind::Money))
    });
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
    let others = &sums.others;
    let sides = [
        (sums.payments, others.payments),
        (sums.refunds, others.refunds),
    ];
    let counted = sides.into_iter().flat_map(|(all, others)| {
        let ours = (all.0.saturating_sub(others.0), all.1 - others.1);
        [all, others, ours]
    });
    let counted = counted.flat_map(|(lines, minor)| [TableCell::count(lines), money(minor, code)]);
    let rest = [sums.fees, others.fees, sums.net, others.net];
    let rest = rest.map(|(_, minor)| money(minor, code));
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
