//! Reports in mails: those of the day's runs in the daily mail, and the mail of a month.

use std::time::Duration;

use chrono_tz::Tz;
use serde::Serialize;

use super::Alerts;
use super::deliver::letterhead;
use super::mail_body::shown;
use super::templates::MailKind;
use payrun_domain::occurrence::name_on_clock;
use payrun_domain::time::Timestamp;
use payrun_ledger::{LedgerError, MadeReport};
use payrun_project::config::PublicUrl;

/// The most reports of one mail.
const REPORTS: u32 = 50;

/// A month's report that was made before this long is not mailed any more.
const LATE: Duration = Duration::from_secs(7 * 86_400);

/// A report as a mail names it; templates see these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ReportLine {
    /// `run 7 of monthly-deductions (2026-11-30)`.
    pub title: String,
    /// The link to its page; empty where it is not known what the service is reached by.
    pub link: String,
    /// Its workbook: `run-7.xlsx`.
    pub workbook: String,
}

/// What the mail of a month says; templates see these names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct MonthBody {
    /// Its subject.
    pub subject: String,
    /// The month: `2026-11`.
    pub month: String,
    /// Its report.
    pub report: ReportLine,
    /// When the report was made, on the project's wall clock.
    pub made_at: String,
    /// Which ledger it is about.
    pub ledger: String,
}

/// How a mail names a report.
pub(super) fn report_line(report: &MadeReport, url: Option<&PublicUrl>, zone: Tz) -> ReportLine {
    let short = report.name.rsplit('/').next().unwrap_or(&report.name);
    let title = match &report.run {
        Some((run, workflow, occurrence)) => {
            let occurrence = name_on_clock(occurrence, zone);
            format!("run {run} of {workflow} ({occurrence})")
        }
        None => short.to_owned(),
    };
    let link = url.map(|url| url.report(&format!("{}.html", report.name)));
    ReportLine {
        title,
        link: link.unwrap_or_default(),
        workbook: format!("{short}.xlsx"),
    }
}

/// What a mail says of a month's report.
pub(super) fn month_body(
    month: &str,
    report: ReportLine,
    made_at: String,
    ledger: &str,
) -> MonthBody {
    MonthBody {
        subject: format!("[payrun] the report of {month}"),
        month: month.to_owned(),
        report,
        made_at,
        ledger: ledger.to_owned(),
    }
}

impl Alerts {
    /// The reports of runs that were made from behind one instant up to another.
    pub(super) async fn run_reports(
        &self,
        span: (Timestamp, Timestamp),
    ) -> Result<Vec<MadeReport>, LedgerError> {
        self.ledger.run_reports_made(span, REPORTS).await
    }

    /// Puts the mails of a month's report into the outbox, where it is made and they are not there
    /// yet; says how many mails that made.
    pub(super) async fn post_months(&self, now: Timestamp) -> Result<usize, LedgerError> {
        let to = self.alerts.monthly.iter().flat_map(|monthly| &monthly.to);
        let to: Vec<&String> = to.collect();
        if to.is_empty() {
            return Ok(0);
        }
        let mut posted = 0;
        let made = self
            .ledger
            .month_reports_made((now.minus(LATE), now), REPORTS);
        for report in made.await? {
            let Some(month) = report.name.strip_prefix("months/") else {
                continue;
            };
            for recipient in &to {
                let name = format!("monthly/{month}/{recipient}");
                if self.ledger.is_posted(&name).await? {
                    continue;
                }
                let line = report_line(&report, self.public_url.as_ref(), self.zone);
                let made_at = shown(report.made_at, self.zone);
                let body = month_body(month, line, made_at, self.ledger.name());
                let (plain, html) = self.templates.render(MailKind::Monthly, &body);
                let mut mail =
                    letterhead(&self.alerts, name, recipient, &body.subject, plain, html);
                mail.attachments = ["xlsx", "html"]
                    .map(|format| format!("reports/{}.{format}", report.name))
                    .into();
                posted += usize::from(self.ledger.post(&mail, &[], now).await?);
            }
        }
        Ok(posted)
    }
}
