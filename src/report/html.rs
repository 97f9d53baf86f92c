//! A report as a page that needs nothing else: on screens light and dark, and on paper. It has no
//! script and fetches nothing. Whatever comes from the configuration or a gateway is escaped.

use std::fmt::Write as _;

use super::{AMOUNT, FinanceReport, ReportSection};
use crate::domain::money::{Currency, decimal_text};
use crate::domain::text::{html as escape, thousands};
use crate::export::{TableCell, TableColumn, TableColumnKind};

const STYLE: &str = include_str!("style.css");

/// The most rows of a table; the workbook has all.
const LISTED: usize = 2_000;

/// The whole page.
pub(super) fn page(report: &FinanceReport) -> String {
    let sections: String = report
        .sections
        .iter()
        .map(|section| table(report, section))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{}{sections}</body>\n</html>\n",
        escape(&report.title),
        head(report),
    )
}

fn head(report: &FinanceReport) -> String {
    let fact = |(name, cell): &(&str, TableCell)| {
        let text = Some(escape(&cell.plain(report.zone))).filter(|text| !text.is_empty());
        let text = text.unwrap_or_else(|| "–".to_owned());
        let name = report.fact_name(name, cell);
        format!("<span><b>{name}</b> {text}</span>\n")
    };
    let number = |(name, count): &(&str, u64)| {
        let count = counted(count);
        format!("<div><dt>{name}</dt><dd>{count}</dd></div>")
    };
    format!(
        "<header>\n<h1>{}</h1>\n<p class=\"about\">\n{}</p>\n{}\n<dl>{}</dl>\n</header>\n",
        escape(&report.title),
        report.facts.iter().map(fact).collect::<String>(),
        verdict(report),
        report.numbers.iter().map(number).collect::<String>(),
    )
}

fn verdict(report: &FinanceReport) -> String {
    if report.is_settled {
        return "<p class=\"verdict good\"><strong>Everything is settled.</strong> No item is open.</p>".to_owned();
    }
    let open = report
        .open
        .iter()
        .map(|open| format!("<li>{}</li>", escape(open)));
    format!(
        "<div class=\"verdict bad\"><strong>Not everything is settled yet.</strong> These numbers may change.<ul>{}</ul></div>",
        open.collect::<String>()
    )
}

fn table(report: &FinanceReport, section: &ReportSection) -> String {
    let mut page = format!("<section>\n<h2>{}</h2>\n", section.heading);
    if section.rows.is_empty() {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", section.empty);
    }
    for note in &section.notes {
        let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(note));
    }
    if section.rows.is_empty() {
        page.push_str("</section>\n");
        return page;
    }
    if section.rows.len() > LISTED {
        let _ = writeln!(
            page,
            "<p class=\"note\">The first {LISTED} rows; the workbook has all.</p>"
        );
    }
    let columns = columns_of(section);
    let _ = write!(
        page,
        "<div class=\"wide\"><table id=\"{}\">\n<thead><tr>",
        section.name
    );
    for column in &columns {
        let heading = escape(&column.heading(report));
        let _ = write!(page, "<th{}>{heading}</th>", column.class());
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in section.rows.iter().take(LISTED) {
        page.push_str("<tr>");
        for column in &columns {
            let _ = write!(
                page,
                "<td{}>{}</td>",
                column.class(),
                column.cell(report, row)
            );
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n</section>\n");
    page
}

/// A column of the page: a count and its sum stand in one.
struct PageColumn<'a> {
    column: &'a TableColumn,
    place: usize,
    /// Where its sum is.
    sum: Option<usize>,
}

impl PageColumn<'_> {
    const fn is_number(&self) -> bool {
        matches!(
            self.column.kind,
            TableColumnKind::Count | TableColumnKind::Money
        )
    }

    fn class(&self) -> &'static str {
        if self.is_number() { " class=\"n\"" } else { "" }
    }

    fn heading(&self, report: &FinanceReport) -> String {
        match self.column.kind {
            TableColumnKind::Instant => format!("{} ({})", self.column.heading, report.zone.name()),
            TableColumnKind::Text
            | TableColumnKind::Prose
            | TableColumnKind::Id
            | TableColumnKind::Count
            | TableColumnKind::Money
            | TableColumnKind::Date
            | TableColumnKind::Clock => self.column.heading.clone(),
        }
    }

    fn cell(&self, report: &FinanceReport, row: &[TableCell]) -> String {
        let cell = &row[self.place];
        match (cell, self.sum.map(|place| &row[place])) {
            (TableCell::Count(0), Some(_)) => "–".to_owned(),
            (TableCell::Count(count), Some(TableCell::Money(minor, currency))) => {
                let count = counted(count);
                format!("{}<small>{count}×</small>", money(*minor, *currency))
            }
            (TableCell::Count(count), Some(_)) => {
                format!("{}×", counted(count))
            }
            // The number of a run is a name.
            (TableCell::Count(count), _) if self.column.name == "run" => count.to_string(),
            (TableCell::Count(count), _) => counted(count),
            (TableCell::Money(minor, currency), _) => money(*minor, *currency),
            (TableCell::Empty, _) => "–".to_owned(),
            (
                TableCell::Text(_)
                | TableCell::Name(..)
                | TableCell::Date(_)
                | TableCell::Instant(_)
                | TableCell::Clock(_),
                _,
            ) => escape(&cell.plain(report.zone)),
        }
    }
}

/// The columns of a table, each sum with its count.
fn columns_of(section: &ReportSection) -> Vec<PageColumn<'_>> {
    let of_sum = |name: &str| {
        let sum = format!("{name}{AMOUNT}");
        section.columns.iter().position(|column| column.name == sum)
    };
    let shown = section.shown().into_iter();
    let columns = shown.map(|place| (place, &section.columns[place]));
    columns
        .filter(|(_, column)| {
            let count = column.name.strip_suffix(AMOUNT);
            // A fee has no count beside it, and stands alone.
            !count.is_some_and(|count| section.columns.iter().any(|one| one.name == count))
        })
        .map(|(place, column)| PageColumn {
            column,
            place,
            sum: of_sum(&column.name),
        })
        .collect()
}

/// An amount with its thousands apart.
fn money(minor: i128, currency: Currency) -> String {
    thousands(&decimal_text(minor, currency))
}

/// A count likewise.
fn counted(count: impl ToString) -> String {
    thousands(&count.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_exact_and_has_its_thousands_apart() {
        let currency = |code| Currency::parse(code).unwrap();
        let plain = |minor, code| money(minor, currency(code)).replace('\u{202f}', " ");
        assert_eq!(plain(123_456_789, "HKD"), "1 234 567.89");
        assert_eq!(plain(-29, "USD"), "−0.29");
        assert_eq!(plain(-100_000, "USD"), "−1 000.00");
        assert_eq!(plain(1_200, "JPY"), "1 200");
    }

    #[test]
    fn text_makes_no_markup() {
        assert_eq!(
            escape("<b a='\">&\u{202e}"),
            "&lt;b a=&#39;&quot;&gt;&amp;[U+202E]"
        );
    }
}
