//! The report for people: one page that needs nothing else, on screens light and dark, on paper,
//! and without scripts.
//!
//! Whatever comes from a file or from the configuration is escaped.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::chart::{self, ChartBar, ChartPair};
use super::{ReportHeading, money, table};
use crate::reconcile::findings::{
    CountAndSum, CurrencyTotals, Findings, ListedDifference, Sighting,
};
use payrun_domain::difference::{DifferenceReason, DifferenceState};
use payrun_domain::text::{html as escape, thousands};

/// The most differences of the page's table.
const LISTED: usize = 1_000;

/// The most rows of the table of days.
const DAYS_LISTED: usize = 1_000;

/// The most days of a chart: the last ones.
const DAYS_DRAWN: usize = 31;

const STYLE: &str = include_str!("style.css");

/// The whole page. `csv` is where all differences stand.
pub(super) fn report(about: &ReportHeading<'_>, found: &Findings, csv: &str) -> String {
    let (lane, from, to) = (escape(about.lane), escape(about.from), escape(about.to));
    let parts = [
        head(about, found),
        totals(found),
        reasons(found),
        differences(found, csv),
        earlier(found, csv),
        closed(found),
        charts(found),
        days(found),
    ];
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Reconciliation of {lane}, {from} to {to}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}\n</body>\n</html>\n",
        parts.concat()
    )
}

fn head(about: &ReportHeading<'_>, found: &Findings) -> String {
    let counts = &found.counts;
    let facts = [
        ("Statement lines", counts.lines),
        (
            "Lines that agree",
            counts.matched_lines + found.closed_count,
        ),
        ("Our items", counts.items),
        ("Closed by a line", found.closed_count),
        ("New differences", found.new_and_open()),
        (
            "Still open",
            found.open() - found.new_and_open() + found.carried_count,
        ),
        ("No longer there", found.closed_differences),
        ("Explained or accepted", found.count() - found.open()),
    ];
    let facts: String = facts
        .iter()
        .map(|(name, count)| format!("<div><dt>{name}</dt><dd>{}</dd></div>", grouped(*count)))
        .collect();
    format!(
        "<header>\n<h1>Reconciliation of {}</h1>\n<p class=\"about\">{} to {}, days as the gateway counts them (Beijing) · run {} · made {}</p>\n{}\n<dl>{facts}</dl>\n</header>\n",
        escape(about.lane),
        escape(about.from),
        escape(about.to),
        about.run,
        about.made(),
        verdict(found)
    )
}

fn verdict(found: &Findings) -> String {
    let (new, open) = (found.new_and_open(), found.open() + found.carried_count);
    let some = |count: u64| match count {
        1 => "One difference".to_owned(),
        count => format!("{} differences", grouped(count)),
    };
    let of_state = found.listed().filter(|listed| {
        listed.difference.reason == DifferenceReason::State && listed.found == Sighting::New
    });
    let start = match of_state.count() {
        0 => "Somebody has to look at it.".to_owned(),
        _ => "Begin with those of state: there, money may have moved against what we know."
            .to_owned(),
    };
    match (new, open) {
        (0, 0) => {
            let explained = match found.count() {
                0 => "Every line has its item and every item its line.".to_owned(),
                count => format!("{} explained or accepted.", some(count)),
            };
            format!("<p class=\"verdict good\"><strong>Everything agrees.</strong> {explained}</p>")
        }
        (0, open) => format!(
            "<p class=\"verdict bad\"><strong>Nothing new.</strong> {} from before, which nobody has explained or accepted yet.</p>",
            some(open)
        ),
        (new, open) => {
            let before = match open - new {
                0 => String::new(),
                before => format!(" Open from before: {}.", grouped(before)),
            };
            format!(
                "<p class=\"verdict bad\"><strong>{}.</strong> {start}{before}</p>",
                some(new).replace(" difference", " new difference")
            )
        }
    }
}

fn totals(found: &Findings) -> String {
    let rows: String = found
        .by_currency()
        .iter()
        .map(|(code, totals)| totals_row("all days", code, totals))
        .collect();
    if rows.is_empty() {
        return "<h2>Totals</h2>\n<p class=\"note\">Neither side has anything on these days.</p>\n"
            .to_owned();
    }
    let beside = match found.counts.lines_of_other_days {
        0 => String::new(),
        lines => format!(
            "<p class=\"note\">Of the lines that agree, {} are of items that were sent on other days: the sums differ by them.</p>\n",
            grouped(lines)
        ),
    };
    format!("<h2>Totals</h2>\n{}{beside}", totals_table("totals", &rows))
}

fn days(found: &Findings) -> String {
    if found.totals.is_empty() {
        return String::new();
    }
    let listed = found.totals.iter().take(DAYS_LISTED);
    let rows: String = listed
        .map(|((day, code), totals)| totals_row(&escape(day), code, totals))
        .collect();
    let cut = if found.totals.len() > DAYS_LISTED {
        format!(
            "<p class=\"note\">The first {DAYS_LISTED} rows; the JSON beside this page has all.</p>\n"
        )
    } else {
        String::new()
    };
    format!(
        "<h2>Totals by day</h2>\n{}{cut}",
        totals_table("days", &rows)
    )
}

fn totals_table(id: &str, rows: &str) -> String {
    format!(
        "<div class=\"wide\"><table id=\"{id}\">\n<thead><tr><th>Day</th><th>Currency</th>\
         <th class=\"n\">Payments, ours</th><th class=\"n\">theirs</th><th class=\"n\">Refunds, ours</th><th class=\"n\">theirs</th>\
         <th class=\"n\">Fees</th><th class=\"n\">Settled net</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

fn totals_row(day: &str, code: &str, totals: &CurrencyTotals) -> String {
    let pair = |ours: CountAndSum, theirs: CountAndSum, others: CountAndSum| {
        let is_same = ours.plus(others) == theirs;
        let mark = if is_same { "n" } else { "n pair" };
        let of_others = match others.count {
            0 => String::new(),
            _ => format!("<small>of others {}</small>", shown(others, code)),
        };
        let theirs = cell(mark, theirs, code).replace("</td>", &format!("{of_others}</td>"));
        [cell(mark, ours, code), theirs].concat()
    };
    let alone = |sum: CountAndSum| {
        if sum.count == 0 {
            "–".to_owned()
        } else {
            shown(sum, code)
        }
    };
    format!(
        "<tr><td>{day}</td><td>{}</td>{}{}<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        escape(code),
        pair(
            totals.our_payments,
            totals.their_payments,
            totals.others_payments
        ),
        pair(
            totals.our_refunds,
            totals.their_refunds,
            totals.others_refunds
        ),
        alone(totals.fees),
        alone(totals.net),
    )
}

fn cell(class: &str, sum: CountAndSum, code: &str) -> String {
    if sum.count == 0 {
        return format!("<td class=\"{class}\">–</td>");
    }
    format!(
        "<td class=\"{class}\">{}<small>{}×</small></td>",
        shown(sum, code),
        grouped(sum.count)
    )
}

/// A sum with its thousands apart.
fn shown(sum: CountAndSum, code: &str) -> String {
    thousands(&money(sum, code))
}

fn charts(found: &Findings) -> String {
    let mut drawn = false;
    let currencies: BTreeSet<&str> = found.totals.keys().map(|(_, code)| *code).collect();
    let mut page = String::from(
        "<h2>Payments by day</h2>\n<p class=\"note\"><span class=\"key ours\"></span>ours<span class=\"key theirs\"></span>theirs</p>\n",
    );
    for code in currencies {
        let days: Vec<_> = found
            .totals
            .iter()
            .filter(|((_, other), _)| *other == code)
            .collect();
        let pairs: Vec<ChartPair> = days[days.len().saturating_sub(DAYS_DRAWN)..]
            .iter()
            .map(|((day, _), totals)| ChartPair {
                label: escape(day.get(5..).unwrap_or(day)),
                ours: (totals.our_payments.minor, shown(totals.our_payments, code)),
                theirs: (
                    totals.their_payments.minor,
                    shown(totals.their_payments, code),
                ),
            })
            .collect();
        if pairs
            .iter()
            .all(|pair| pair.ours.0 == 0 && pair.theirs.0 == 0)
        {
            continue;
        }
        let highest = pairs
            .iter()
            .flat_map(|pair| [&pair.ours, &pair.theirs])
            .max_by_key(|(minor, _)| *minor);
        let highest = highest.map(|(_, told)| told.as_str()).unwrap_or_default();
        let last = if days.len() > DAYS_DRAWN {
            format!("; the last {DAYS_DRAWN} days")
        } else {
            String::new()
        };
        let chart = chart::pairs(
            &format!("Payments in {code} by day, ours and theirs"),
            &pairs,
        );
        let _ = writeln!(
            page,
            "<figure><figcaption>{code}, the highest is {highest}{last}</figcaption>{chart}</figure>"
        );
        drawn = true;
    }
    if drawn { page } else { String::new() }
}

fn reasons(found: &Findings) -> String {
    let bars: Vec<ChartBar> = DifferenceReason::ALL
        .into_iter()
        .filter_map(|reason| Some((reason, *found.reasons.get(&reason)?)))
        .map(|(reason, count)| ChartBar {
            label: reason.as_str(),
            count,
            grave: reason.matters(),
        })
        .collect();
    if bars.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Differences by reason</h2>\n<figure>{}</figure>\n",
        chart::bars("Differences by reason", &bars)
    )
}

fn differences(found: &Findings, csv: &str) -> String {
    if found.count() == 0 {
        return String::new();
    }
    let rows: String = found.listed().take(LISTED).map(difference_row).collect();
    let mut notes = listed_of(found.differences.len(), found.count(), csv);
    if found.not_listed() > 0 {
        let _ = writeln!(
            notes,
            "<p class=\"note\">{} differences are counted and listed nowhere: there are too many.</p>",
            grouped(found.not_listed())
        );
    }
    format!(
        "<h2>Differences</h2>\n{notes}{}{}",
        advice(found),
        difference_table("differences", &rows)
    )
}

/// What earlier reconciliations found, and nobody has explained or accepted yet.
fn earlier(found: &Findings, csv: &str) -> String {
    if found.carried_count == 0 {
        return String::new();
    }
    let rows: String = found.earlier().take(LISTED).map(difference_row).collect();
    format!(
        "<h2>Open from other days</h2>\n{}<p class=\"note\">These were told before. They were looked at again, and are still so.</p>\n{}",
        listed_of(found.carried.len(), found.carried_count, csv),
        difference_table("earlier", &rows)
    )
}

/// Where the rest is, if there are more than stand on the page.
fn listed_of(listed: usize, all: u64, csv: &str) -> String {
    let listed = u64::try_from(listed.min(LISTED)).unwrap_or(u64::MAX);
    if listed == all {
        return String::new();
    }
    format!(
        "<p class=\"note\">The first {} of {} differences; the rest stands in <code>{}</code>.</p>\n",
        grouped(listed),
        grouped(all),
        escape(csv)
    )
}

fn difference_table(id: &str, rows: &str) -> String {
    format!(
        "<div class=\"wide\"><table id=\"{id}\">\n<thead><tr><th class=\"n\">No.</th><th>Reason</th><th>Day</th><th>Kind</th>\
         <th>Numbers</th><th class=\"n\">Ours</th><th class=\"n\">Theirs</th><th>Item</th><th>Line</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n"
    )
}

/// What to do, once for each reason there is.
fn advice(found: &Findings) -> String {
    let line = |reason: &DifferenceReason| {
        format!(
            "<li><b>{}</b>: {}</li>\n",
            reason.as_str().replace('_', " "),
            escape(reason.advice())
        )
    };
    let lines: String = DifferenceReason::ALL
        .iter()
        .filter(|reason| found.reasons.contains_key(reason))
        .map(line)
        .collect();
    format!("<ul class=\"note\">\n{lines}</ul>\n")
}

fn difference_row(listed: ListedDifference<'_>) -> String {
    let difference = listed.difference;
    let [
        id,
        found,
        state,
        owner,
        reason,
        day,
        currency,
        kind,
        order_no,
        refund_no,
        transaction_id,
        ours,
        theirs,
        our_state,
        their_state,
        item,
        line,
        detail,
        _,
    ] = table::row(&listed).map(|field| escape(&field));
    let class = if listed.state == DifferenceState::Open {
        "reason grave"
    } else {
        "reason"
    };
    let owner = match owner.as_str() {
        "" => String::new(),
        owner => format!(", {owner}"),
    };
    let numbers: String = [
        ("order", order_no),
        ("refund", refund_no),
        ("gateway", transaction_id),
    ]
    .into_iter()
    .filter(|(_, number)| !number.is_empty())
    .map(|(name, number)| format!("<div>{name} <code>{number}</code></div>"))
    .collect();
    let side = |amount: &str, state: &str| match amount {
        "" => format!("<td class=\"n\">–<small>{state}</small></td>"),
        amount => format!("<td class=\"n\">{amount} {currency}<small>{state}</small></td>"),
    };
    // Where currencies differ, each side has its own.
    let (ours, theirs) = match (difference.ours, difference.theirs) {
        (Some(one), Some(other)) if one.currency() != other.currency() => {
            let both = [(one, our_state), (other, their_state)];
            let [ours, theirs] = both.map(|(amount, state)| {
                format!("<td class=\"n\">{amount}<small>{state}</small></td>")
            });
            (ours, theirs)
        }
        _ => (side(&ours, &our_state), side(&theirs, &their_state)),
    };
    format!(
        "<tr><td class=\"n\">{id}<small>{found}, {state}{owner}</small></td><td><span class=\"{class}\">{}</span><small>{detail}</small></td><td>{day}</td><td>{kind}</td><td>{numbers}</td>{ours}{theirs}<td>{item}</td><td>{line}</td></tr>\n",
        reason.replace('_', " ")
    )
}

fn closed(found: &Findings) -> String {
    if found.closed_count == 0 {
        return String::new();
    }
    let row = |closed: &crate::reconcile::findings::ClosedItem| {
        let (day, was) = (escape(&closed.place.day), closed.was.as_str());
        format!(
            "<tr><td>{}</td><td>{was}</td><td>{day}</td><td>{}</td></tr>\n",
            closed.item, closed.place.line
        )
    };
    let rows: String = found.closed.iter().take(LISTED).map(row).collect();
    format!(
        "<h2>Closed by a line</h2>\n<p class=\"note\">It was not known what became of these items; the statement shows that it happened, with our amount. {} in all.</p>\n\
         <div class=\"wide\"><table id=\"closed\">\n<thead><tr><th>Item</th><th>Was</th><th>Statement of</th><th>Line</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n",
        grouped(found.closed_count)
    )
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    thousands(&count.to_string())
}
