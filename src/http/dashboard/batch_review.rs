//! One batch as whoever approves it has to see it: its sums, what stands out, what differs from the
//! batch before, and its rows.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::IntoResponse;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use super::approvals::{ApproverStanding, colour_of, sums_of};
use super::command_line::shell_word;
use super::errors::PageError;
use super::forms::fresh_key;
use super::frame::{Page, PageFrame};
use super::page_fields::{PagePath, PageQuery};
use super::session::Viewer;
use super::sums::Sum;
use crate::domain::item::State as ItemState;
use crate::domain::message::Message;
use crate::engine::operator::review::{KnownPayment, Review, ReviewedRow};
use crate::http::App;
use crate::ledger::{
    ApprovalRow, ApprovalState, BatchDifferences, KeySample, LedgerError, RepeatedItem, RowPlace,
};

/// How many rows a page has.
const PAGE: u32 = 50;

/// How long a page looks through all rows for what stands out, and how long where that is what is
/// asked for.
const SOON: Duration = Duration::from_millis(1_200);
const PATIENT: Duration = Duration::from_secs(30);

/// Which rows of a batch.
#[derive(Debug, Deserialize)]
pub(super) struct BatchRowsQuery {
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "approval.html")]
struct BatchReviewPage {
    page: PageFrame,
    approval: ApprovalRow,
    colour: &'static str,
    /// What is before the paths of its forms.
    path: String,
    sums: Vec<Sum>,
    standing: ApproverStanding,
    /// Whether it can be rejected, or what is open of it withdrawn.
    may_reject: bool,
    findings: Option<BatchFindings>,
    is_first: bool,
    rows: Vec<RowToApprove>,
    next_after: Option<String>,
    approve_key: String,
    reject_key: String,
    command: String,
}

/// What there is to say of all rows.
struct BatchFindings {
    /// How many rows were looked at, where that is not all.
    only_first: Option<u64>,
    /// Sorts of rows that stand out: the message that counts them, how many, and the largest.
    outliers: Vec<Outlier>,
    of_unknown_payments: u64,
    differences: Option<BatchDifferences>,
}

/// Rows that stand out in one way.
struct Outlier {
    message: &'static str,
    count: u64,
    rows: Vec<RowToApprove>,
}

/// A row of a batch.
struct RowToApprove {
    item: i64,
    line: u64,
    key: String,
    amount: Option<Sum>,
    /// What was paid, and given back of it, where that is known.
    paid: Option<Sum>,
    refunded: Option<Sum>,
    /// Its fields that are not personal, beside the amount.
    fields: Vec<(String, String)>,
    notes: Vec<String>,
}

/// One batch, with what is found within a moment.
pub(super) async fn show(
    State(app): State<App>,
    viewer: Viewer,
    PagePath((run, job)): PagePath<(i64, String)>,
    PageQuery(query): PageQuery<BatchRowsQuery>,
) -> Result<impl IntoResponse, PageError> {
    let wrong = || {
        PageError::invalid(Message::new(
            "rows-after",
            "after is where the rows before ended: go back to the first",
        ))
    };
    let after = query.after.as_deref();
    let after = after
        .map(|text| RowPlace::parse(text).ok_or_else(wrong))
        .transpose()?;
    let approval = found(&app, run, &job).await?;
    page(&app, &viewer, approval, (after, SOON)).await
}

/// The same where all rows are looked through, however long that takes.
pub(super) async fn check_all(
    State(app): State<App>,
    viewer: Viewer,
    PagePath((run, job)): PagePath<(i64, String)>,
) -> Result<impl IntoResponse, PageError> {
    let approval = found(&app, run, &job).await?;
    page(&app, &viewer, approval, (None, PATIENT)).await
}

/// The batch of a job.
pub(super) async fn found(app: &App, run: i64, job: &str) -> Result<ApprovalRow, PageError> {
    let batches = app.engine().ledger.approvals_of_run(run).await?;
    let own = batches.into_iter().find(|approval| approval.job == job);
    own.ok_or_else(|| {
        PageError::not_found(
            Message::new(
                "no-such-batch",
                "nothing of that job of run {run} has to be approved",
            )
            .with("run", run),
        )
    })
}

/// The path of a batch's page, within the base path.
pub(super) fn path_of(run: i64, job: &str) -> String {
    // What a job may be called by, and no more.
    const OTHERS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
    format!("/approvals/{run}/{}", utf8_percent_encode(job, OTHERS))
}

/// Whether anything of an approved batch may still be sent, now or when it is tried again.
async fn is_something_left(app: &App, approval: &ApprovalRow) -> Result<bool, LedgerError> {
    let totals = app.engine().ledger.totals(approval.run_id).await?;
    let mut of_job = totals
        .iter()
        .filter(|total| total.job_id == approval.job_id);
    let ended = [
        ItemState::Succeeded,
        ItemState::Rejected,
        ItemState::Skipped,
    ];
    Ok(of_job.any(|total| total.items > 0 && !ended.contains(&total.state)))
}

async fn page(
    app: &App,
    viewer: &Viewer,
    approval: ApprovalRow,
    (after, patience): (Option<RowPlace>, Duration),
) -> Result<impl IntoResponse + use<>, PageError> {
    let frame = PageFrame::of(viewer);
    let review = review(app, &approval, after.as_ref(), patience).await?;
    let is_first = after.is_none();
    let (rows, findings, next) = match review {
        BatchLook::Whole(review) => {
            let findings = is_first.then(|| BatchFindings::of(&frame, &approval, &review));
            (review.rows, findings, review.next)
        }
        BatchLook::Rows(rows, next) => (rows, None, next),
    };
    let shown = |row: &ReviewedRow| RowToApprove::of(&frame, row);
    let now = app.engine().clock.now();
    let may_be_stopped = approval.state.is_open()
        || approval.state == ApprovalState::Approved && is_something_left(app, &approval).await?;
    Ok(Page(BatchReviewPage {
        colour: colour_of(approval.state),
        path: format!("{}{}", viewer.base, path_of(approval.run_id, &approval.job)),
        sums: sums_of(&approval),
        standing: ApproverStanding::of(viewer, &approval, now),
        may_reject: frame.may_approve() && may_be_stopped,
        findings,
        is_first,
        rows: rows.iter().map(shown).collect(),
        next_after: next.map(|place| place.to_string()),
        approve_key: fresh_key(),
        reject_key: fresh_key(),
        command: command_of(&approval),
        page: frame,
        approval,
    }))
}

/// What was seen of a batch.
enum BatchLook {
    /// Everything.
    Whole(Box<Review>),
    /// There are too many rows to look at in time: only those of the page, and where the next begin.
    Rows(Vec<ReviewedRow>, Option<RowPlace>),
}

async fn review(
    app: &App,
    approval: &ApprovalRow,
    after: Option<&RowPlace>,
    patience: Duration,
) -> Result<BatchLook, LedgerError> {
    let engine = app.engine();
    let whole = async {
        let reviewing = engine.reviewing(approval).await?;
        reviewing.review(after, PAGE).await
    };
    match tokio::time::timeout(patience, whole).await {
        Ok(review) => Ok(BatchLook::Whole(Box::new(review?))),
        Err(_) => {
            let reviewing = engine.reviewing_each_row(approval).await?;
            let (rows, next) = reviewing.rows(after, PAGE).await?;
            Ok(BatchLook::Rows(rows, next))
        }
    }
}

fn command_of(approval: &ApprovalRow) -> String {
    let (run, job, hash) = (
        approval.run_id,
        shell_word(&approval.job),
        &approval.content_hash,
    );
    if approval.state == ApprovalState::Waiting {
        format!("payrun approvals approve {run} --job {job} --hash {hash} --reason '…'")
    } else {
        format!("payrun approvals show {run} --job {job}")
    }
}

impl BatchFindings {
    fn of(page: &PageFrame, approval: &ApprovalRow, review: &Review) -> Self {
        let sorts = [
            ("approvals-failing", review.failing, &review.first_failing),
            ("approvals-crowded", review.crowded, &review.first_crowded),
            (
                "approvals-repeating",
                review.repeating,
                &review.first_repeating,
            ),
        ];
        let outlier = |(message, count, rows): (_, _, &Vec<ReviewedRow>)| Outlier {
            message,
            count,
            rows: rows.iter().map(|row| RowToApprove::of(page, row)).collect(),
        };
        let stand_out = sorts.into_iter().filter(|(_, count, _)| *count > 0);
        Self {
            only_first: Some(review.checked).filter(|checked| *checked < approval.items),
            outliers: stand_out.map(outlier).collect(),
            of_unknown_payments: review.of_unknown_payments,
            differences: review.differences.clone(),
        }
    }

    fn is_nothing(&self) -> bool {
        self.outliers.is_empty() && self.of_unknown_payments == 0 && self.only_first.is_none()
    }

    /// What differs from the batch before: the message, how many keys, and the first of them.
    fn changes(&self) -> Vec<(&'static str, &KeySample)> {
        self.differences.as_ref().map_or_else(Vec::new, |found| {
            vec![
                ("approvals-added", &found.added),
                ("approvals-removed", &found.removed),
                ("approvals-changed", &found.changed),
            ]
        })
    }
}

impl RowToApprove {
    fn of(page: &PageFrame, row: &ReviewedRow) -> Self {
        let given_back = |payment: KnownPayment| {
            Sum::of_minor(i128::from(payment.refunded), payment.paid.currency())
        };
        Self {
            item: row.item.id,
            line: row.item.line,
            key: row.item.key.clone(),
            amount: row.item.amount.map(Sum::of),
            paid: row.payment.map(|payment| Sum::of(payment.paid)),
            refunded: row.payment.map(given_back),
            fields: fields_of(row),
            notes: notes_of(page, row),
        }
    }
}

/// The fields beside the amount that are filled.
fn fields_of(row: &ReviewedRow) -> Vec<(String, String)> {
    let others = row
        .fields
        .iter()
        .filter(|(name, _)| !["amount", "currency"].contains(&name.as_str()));
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    others
        .map(|(name, value)| (name.clone(), text(value)))
        .filter(|(_, value)| !value.is_empty())
        .collect()
}

/// What stands out of a row, in the reader's language.
fn notes_of(page: &PageFrame, row: &ReviewedRow) -> Vec<String> {
    let refusal = row.will_fail.as_ref().or(row.crowded.as_ref());
    let refusal = refusal.map(|refusal| {
        let code = refusal.code.as_str();
        page.word("approval-code", &code.to_ascii_lowercase())
    });
    let unknown = row
        .of_unknown_payment
        .then(|| page.say("approvals-unknown-payment"));
    let repeated = row
        .repeated
        .as_ref()
        .map(|repeated| repetition(page, repeated));
    [refusal, unknown, repeated].into_iter().flatten().collect()
}

fn repetition(page: &PageFrame, repeated: &RepeatedItem) -> String {
    let state = page.word("state", &repeated.state);
    let texts = [
        ("item", repeated.item.to_string()),
        ("run", repeated.run.to_string()),
        ("state", state),
    ];
    let texts: Vec<(&'static str, &str)> = texts
        .iter()
        .map(|(name, text)| (*name, text.as_str()))
        .collect();
    page.say_with("approvals-repeats", &texts)
}
