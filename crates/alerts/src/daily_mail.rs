//! The daily mail: all quiet or not, and the sums, counted from the totals that every commit keeps.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use super::Alerts;
use super::deliver::letterhead;
use super::facts;
use super::mail_body::shown;
use super::report_mails::{ReportLine, report_line};
use super::templates::MailKind;
use payrun_domain::alert::last_fire;
use payrun_domain::item::State;
use payrun_domain::money::decimal_text;
use payrun_domain::time::Timestamp;
use payrun_ledger::{LedgerError, StateSum, SummedRuns};

/// A daily mail that is later than this is not sent: the next one is near.
const LATE: Duration = Duration::from_secs(12 * 3_600);

/// What a daily mail says; templates see these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Day {
    /// Its subject.
    pub subject: String,
    /// Whether nothing is wrong.
    pub quiet: bool,
    /// From when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// What is wrong at present, one line each.
    pub incidents: Vec<String>,
    /// Of runs that have ended.
    pub ended: Vec<DailyRow>,
    /// Of runs that have not.
    pub open: Vec<DailyRow>,
    /// Reports of runs.
    pub reports: Vec<ReportLine>,
    /// When it was made, on the project's wall clock.
    pub made_at: String,
    /// Which ledger it is about.
    pub ledger: String,
}

/// One workflow's items in one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct DailyRow {
    /// The workflow.
    pub workflow: String,
    /// The state.
    pub state: &'static str,
    /// How many items.
    pub items: u64,
    /// How much, by currency: `1,234.00 HKD`.
    pub sums: Vec<String>,
}

impl Alerts {
    /// Puts the day's mail into the outbox, where it is due and not there yet; says how many mails
    /// that made.
    pub(super) async fn post_daily(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let Some(daily) = &self.alerts.daily else {
            return Ok(0);
        };
        let Some(due) = last_fire(&daily.at, now).filter(|due| now.since(*due) < LATE) else {
            return Ok(0);
        };
        let mut posted = 0;
        let mut day = None;
        for recipient in &daily.to {
            let name = format!("daily/{}/{recipient}", due.millis());
            if self.ledger.is_posted(&name).await? {
                continue;
            }
            let day = match &mut day {
                Some(day) => &*day,
                none @ None => &*none.insert(self.day(due, now).await?),
            };
            let (day, attachments) = day;
            let (plain, html) = self.templates.render(MailKind::Daily, day);
            let mut mail = letterhead(&self.alerts, name, recipient, &day.subject, plain, html);
            mail.attachments.clone_from(attachments);
            posted += usize::from(self.ledger.post(&mail, &[], now).await?);
        }
        Ok(posted)
    }

    /// What the mail says, and the files that hang on it.
    async fn day(&self, due: Timestamp, now: Timestamp) -> Result<(Day, Vec<String>), LedgerError> {
        let from = self
            .alerts
            .daily
            .as_ref()
            .and_then(|daily| last_fire(&daily.at, due.minus(Duration::from_millis(1))));
        let from = from.unwrap_or(due);
        let ended = rows(&self.ledger.sums(SummedRuns::Ended(from, due)).await?);
        let open = rows(&self.ledger.sums(SummedRuns::Open).await?);
        let incidents = self.ledger.open_incidents().await?;
        let open_ones = incidents
            .iter()
            .filter(|incident| incident.opened_at.is_some());
        let incidents = open_ones.map(facts::headline).take(50).collect();
        let made = self.run_reports((from, due)).await?;
        let attachments = made
            .iter()
            .map(|report| format!("reports/{}.xlsx", report.name));
        let day = day(
            DailySpan {
                from,
                to: due,
                now,
                zone: self.zone,
            },
            incidents,
            ended,
            open,
            self.ledger.name(),
        );
        let reports = made.iter();
        let reports =
            reports.map(|report| report_line(report, self.public_url.as_ref(), self.zone));
        let day = Day {
            reports: reports.collect(),
            ..day
        };
        Ok((day, attachments.collect()))
    }
}

/// Of which day, and as seen when.
#[derive(Debug, Clone, Copy)]
pub(super) struct DailySpan {
    pub from: Timestamp,
    pub to: Timestamp,
    pub now: Timestamp,
    pub zone: Tz,
}

pub(super) fn day(
    span: DailySpan,
    incidents: Vec<String>,
    ended: Vec<DailyRow>,
    open: Vec<DailyRow>,
    ledger: &str,
) -> Day {
    let bad = [
        State::Failed.label(),
        State::NeedsReview.label(),
        State::Rejected.label(),
    ];
    let went_wrong: u64 = ended
        .iter()
        .filter(|row| bad.contains(&row.state))
        .map(|row| row.items)
        .sum();
    let quiet = incidents.is_empty() && went_wrong == 0;
    let subject = match (quiet, incidents.len()) {
        (true, _) => "[payrun] all quiet, and the sums of the day".to_owned(),
        (false, 0) => format!(
            "[payrun] the sums of the day; {} did not go well",
            facts::counted(went_wrong, "item")
        ),
        (false, 1) => "[payrun] the sums of the day; 1 incident is open".to_owned(),
        (false, many) => format!("[payrun] the sums of the day; {many} incidents are open"),
    };
    Day {
        subject,
        quiet,
        from: shown(span.from, span.zone),
        to: shown(span.to, span.zone),
        incidents,
        ended,
        open,
        reports: Vec::new(),
        made_at: shown(span.now, span.zone),
        ledger: ledger.to_owned(),
    }
}

/// By workflow and state, in the order of tables.
fn rows(sums: &[StateSum]) -> Vec<DailyRow> {
    let place = |state: State| {
        State::ALL
            .iter()
            .position(|known| *known == state)
            .unwrap_or(State::ALL.len())
    };
    let mut rows: BTreeMap<(String, usize), DailyRow> = BTreeMap::new();
    for sum in sums {
        let row = rows
            .entry((sum.workflow.clone(), place(sum.state)))
            .or_insert_with(|| DailyRow {
                workflow: sum.workflow.clone(),
                state: sum.state.label(),
                items: 0,
                sums: Vec::new(),
            });
        row.items += sum.items;
        // What was never to be sent is in no sum.
        let is_taken = !State::NOT_TAKEN.contains(&sum.state);
        row.sums
            .extend(sum.currency.filter(|_| is_taken).map(|currency| {
                format!(
                    "{} {currency}",
                    thousands(&decimal_text(i128::from(sum.minor), currency))
                )
            }));
    }
    rows.into_values().collect()
}

/// Decimal text with thousands separated.
pub(super) fn thousands(decimal: &str) -> String {
    let (whole, fraction) = decimal.split_at(decimal.find('.').unwrap_or(decimal.len()));
    let mut text = String::with_capacity(decimal.len() + whole.len() / 3);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_domain::money::Currency;

    #[test]
    fn sums_stand_by_workflow_and_state_with_all_their_currencies() {
        let sum = |state, code, items, minor| StateSum {
            workflow: "monthly".to_owned(),
            state,
            currency: Currency::parse(code).ok(),
            items,
            minor,
        };
        let rows = rows(&[
            sum(State::Failed, "HKD", 1, 3_900),
            sum(State::Succeeded, "HKD", 2, 123_456_789),
            sum(State::Succeeded, "JPY", 1, 1_200),
        ]);
        let shown: Vec<(&str, u64, String)> = rows
            .iter()
            .map(|row| (row.state, row.items, row.sums.join(", ")))
            .collect();
        assert_eq!(
            shown,
            [
                ("succeeded", 3, "1,234,567.89 HKD, 1,200 JPY".to_owned()),
                ("failed", 1, "39.00 HKD".to_owned())
            ]
        );
    }
}
