//! One mail of each kind, made up: to look at, and to try templates with.

use super::daily_mail::{DailyRow, DailySpan, Day, day as compose_day};
use super::facts::FactText;
use super::mail_body::{MailBody, mail_body as compose};
use super::report_mails::{MonthBody, ReportLine, month_body};
use super::templates::{MailKind, TemplateError, Templates};
use payrun_domain::alert::AlertKind;
use payrun_domain::time::Timestamp;
use payrun_ledger::{AlertEvent, AlertEventRow};

/// Midnight of 30 November 2026 in Hong Kong, and a place.
const AT: Timestamp = Timestamp::from_millis(1_795_968_000_000);
const ZONE: chrono_tz::Tz = chrono_tz::Asia::Hong_Kong;
const LEDGER: &str = "payrun.db";

/// A name, the text and the HTML of a mail.
pub type Preview = (&'static str, String, String);

/// One of each, by the templates of a folder.
///
/// # Errors
/// What is wrong with a template.
pub fn previews(folder: &std::path::Path) -> Result<Vec<Preview>, TemplateError> {
    let templates = Templates::load(folder)?;
    templates.check()?;
    let alert = |name, mail_body: MailBody| {
        let (text, html) = templates.render(MailKind::Alert, &mail_body);
        (name, text, html)
    };
    let over = AlertEventRow {
        event: AlertEvent::Closed,
        closed_at: Some(AT),
        ..stopped()
    };
    let daily = |name, day: Day| {
        let (text, html) = templates.render(MailKind::Daily, &day);
        (name, text, html)
    };
    let monthly = |month: MonthBody| {
        let (text, html) = templates.render(MailKind::Monthly, &month);
        ("monthly", text, html)
    };
    Ok(vec![
        alert("alert", compose(&[stopped()], LEDGER, AT, ZONE)),
        alert("digest", mail_body()),
        alert("over", compose(&[over], LEDGER, AT, ZONE)),
        alert("test", test_letter(LEDGER, AT, ZONE)),
        daily("daily-quiet", quiet_day()),
        daily("daily", day()),
        monthly(month()),
    ])
}

/// A digest.
pub(super) fn mail_body() -> MailBody {
    let over = AlertEventRow {
        incident_id: 4,
        event: AlertEvent::Closed,
        closed_at: Some(AT),
        ..stopped()
    };
    compose(
        &[stopped(), alarm(), needing_review(), over],
        LEDGER,
        AT,
        ZONE,
    )
}

/// What `payrun alerts test` sends.
pub(super) fn test_letter(ledger: &str, now: Timestamp, zone: chrono_tz::Tz) -> MailBody {
    let payload = FactText {
        title: "this is a test".to_owned(),
        lines: vec!["Mails of payrun reach you.".to_owned()],
        ..FactText::default()
    };
    let mut mail_body = compose(
        &[notice(1, AlertKind::NeedsReview, &payload)],
        ledger,
        now,
        zone,
    );
    mail_body.entries.iter_mut().for_each(|entry| {
        entry.kind = "test";
        entry.since = super::mail_body::shown(now, zone);
    });
    mail_body
}

fn notice(incident_id: i64, kind: AlertKind, payload: &FactText) -> AlertEventRow {
    AlertEventRow {
        incident_id,
        event: AlertEvent::Opened,
        kind,
        since: AT.minus(std::time::Duration::from_secs(5_400)),
        closed_at: None,
        payload: serde_json::to_string(payload).unwrap_or_default(),
    }
}

fn payload(title: &str, facts: &[(&str, &str)], lines: &[&str], advice: &str) -> FactText {
    FactText {
        title: title.to_owned(),
        facts: facts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        advice: advice.to_owned(),
    }
}

fn stopped() -> AlertEventRow {
    let payload = payload(
        "hk is stopped: nothing is sent until a person has mended it",
        &[
            ("gateway", "hk"),
            (
                "reason",
                "the gateway answers SIGN_ERROR; check merchant_key, merchant_serial, mchid, api_v3_key and platform of hk in payrun.yaml",
            ),
        ],
        &[],
        "mend what the reason says (key, certificate, permission); what was sent is queried; `payrun lane release hk` lets it go on",
    );
    notice(1, AlertKind::LaneStopped, &payload)
}

fn alarm() -> AlertEventRow {
    let payload = payload(
        "monthly-deductions: a second receipt for an item that had succeeded: it may be charged twice",
        &[
            ("workflow", "monthly-deductions"),
            ("run", "7 (2026-11-30)"),
            ("item", "4711"),
            ("key", "Wx0001000004711/2026-11"),
        ],
        &["alarm: second_receipt"],
        "`payrun show --item 4711` has every answer; compare with the gateway's own records",
    );
    notice(2, AlertKind::Alarm, &payload)
}

fn needing_review() -> AlertEventRow {
    let payload = payload(
        "monthly-deductions: 3 items need a person",
        &[
            ("workflow", "monthly-deductions"),
            ("run", "7 (2026-11-30)"),
            ("state", "needs_review"),
        ],
        &[
            "Wx0001000000017/2026-11: a person has to decide: USER_ACCOUNT_ABNORMAL",
            "Wx0001000000018/2026-11: asked 40 times without learning what happened: <timed_out>",
        ],
        "look with `payrun show --item KEY`, then decide; `payrun items --run 7 --state needs_review` names all",
    );
    notice(3, AlertKind::NeedsReview, &payload)
}

/// A day on which something went wrong.
pub(super) fn day() -> Day {
    let row = |workflow: &str, state, items, sums: &[&str]| DailyRow {
        workflow: workflow.to_owned(),
        state,
        items,
        sums: sums.iter().map(|sum| (*sum).to_owned()).collect(),
    };
    let ended = vec![
        row("customs-filing", "succeeded", 1_204, &["88,120.50 CNY"]),
        row(
            "monthly-deductions",
            "succeeded",
            19_990,
            &["759,620.00 HKD", "1,200 JPY"],
        ),
        row("monthly-deductions", "failed", 7, &["266.00 HKD"]),
    ];
    let open = vec![row("refund-batch", "pending", 3, &["117.00 HKD"])];
    let day = compose_day(
        span(),
        vec!["monthly-deductions: 3 items need a person".to_owned()],
        ended,
        open,
        LEDGER,
    );
    Day {
        reports: vec![report(
            "runs/run-7",
            "run 7 of monthly-deductions (2026-11-30)",
        )],
        ..day
    }
}

fn report(name: &str, title: &str) -> ReportLine {
    let short = name.rsplit('/').next().unwrap_or(name);
    ReportLine {
        title: title.to_owned(),
        link: format!("https://payrun.example.com/api/v1/reports/{name}.html"),
        workbook: format!("{short}.xlsx"),
    }
}

/// The mail of a month.
pub(super) fn month() -> MonthBody {
    let report = report("months/2026-11", "2026-11");
    month_body("2026-11", report, super::mail_body::shown(AT, ZONE), LEDGER)
}

fn quiet_day() -> Day {
    let ended = day()
        .ended
        .into_iter()
        .filter(|row| row.state == "succeeded")
        .collect();
    compose_day(span(), Vec::new(), ended, Vec::new(), LEDGER)
}

fn span() -> DailySpan {
    DailySpan {
        from: AT.minus(std::time::Duration::from_secs(86_400)),
        to: AT,
        now: AT,
        zone: ZONE,
    }
}
