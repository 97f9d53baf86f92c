//! What is kept of a reply beside the item's own result: the file of a statement and its lines, the
//! batches of a settlement.
//!
//! It is kept before the item is settled: what the ledger says was fetched is there. A file that
//! cannot be read to its end is not kept at all, and one that is there is never replaced by
//! another. Only what was fetched of a day that was not over gives way to the day's whole file;
//! both files stay.
//!
//! A file that nobody has signed, and that has no total, may have been cut on its way: it is
//! fetched twice, and only what came twice is read.

use std::fmt::Display;

use bytes::Bytes;
use serde_json::Value;

use crate::attempt::{AttemptContext, call_at_rate, day_end, day_over};
use crate::file_store::FilesError;
use payrun_domain::answer::{Answer, Decline, DeclineClass, NumberRule};
use payrun_domain::difference::SummaryRemark;
use payrun_domain::own_code::OwnCode;
use payrun_gateway::statement::{
    self, BillNames, Line, SignedAmount, Statement, StatementFormat, StatementLineKind,
};
use payrun_gateway::{Call, Observation};
use payrun_ledger::{KeptStatement, LineKind, NewStatement, StatementLine};
use payrun_project::job_kinds::ReplyStorage;
use payrun_project::job_kinds::judge::{Judgement, NOTHING};

/// Keeps what is to be kept; a failure to do so is the answer then.
pub(crate) async fn persist(
    context: &AttemptContext<'_>,
    call: &Call,
    seen: &mut Observation,
    judged: Judgement,
) -> Judgement {
    let Some(stores) = context.operations.stores else {
        return judged;
    };
    let answer = match (stores, &judged.answer) {
        (ReplyStorage::Statement, Answer::Done(receipt)) => {
            keep_statement(context, call, seen, &receipt.0).await
        }
        (ReplyStorage::Settlements, Answer::Done(_) | Answer::Accepted) => {
            keep_settlements(context, seen).await
        }
        (ReplyStorage::Statement | ReplyStorage::Settlements, _) => Ok(()),
    };
    match answer {
        Ok(()) => judged,
        Err(failure) => Judgement {
            answer: failure.answer(),
            message: Some(failure.why),
            advice: failure
                .is_final
                .then(|| failure.code.advice())
                .flatten()
                .map(str::to_owned),
            ..judged
        },
    }
}

/// Why something was not kept, as what became of the item.
struct PersistFailure {
    code: OwnCode,
    why: String,
    is_final: bool,
}

impl PersistFailure {
    /// Trying again is in vain.
    fn never(code: OwnCode, why: impl Display) -> Self {
        Self {
            code,
            why: why.to_string(),
            is_final: true,
        }
    }

    /// It may go well another time.
    fn now(code: OwnCode, why: impl Display) -> Self {
        Self {
            is_final: false,
            ..Self::never(code, why)
        }
    }

    fn not_kept(why: impl Display) -> Self {
        Self::now(OwnCode::NotKept, why)
    }

    fn answer(&self) -> Answer {
        let code = self.code.to_string();
        if self.is_final {
            Answer::Declined(Decline {
                code,
                class: DeclineClass::Hard,
                number: NumberRule::Same,
            })
        } else {
            Answer::NotProcessed { code, after: None }
        }
    }
}

async fn keep_statement(
    context: &AttemptContext<'_>,
    call: &Call,
    seen: &mut Observation,
    receipt: &str,
) -> Result<(), PersistFailure> {
    if receipt == NOTHING {
        return keep_lines(
            context,
            (day(call), NOTHING.to_owned(), Vec::new()),
            Vec::new(),
            seen,
            None,
        )
        .await;
    }
    let file = seen.file.take().ok_or_else(|| {
        PersistFailure::now(OwnCode::StatementIncomplete, "the reply holds no file")
    })?;
    let day = day(call);
    let is_open = day_over(call, context.engine.clock.now()).is_none_or(|over| over.is_zero());
    if is_open && !keeps_open_day(call) {
        return Err(PersistFailure::now(
            OwnCode::StatementIncomplete,
            "the day is not over; its statement may lack trades",
        ));
    }
    let (format, ending) = match context.account.kind {
        "wechat" => (StatementFormat::Wechat, "csv"),
        "hipopay" => (StatementFormat::Hipopay, "txt"),
        other => {
            return Err(PersistFailure::never(
                OwnCode::FileUnreadable,
                format!("payrun cannot read statements of {other}"),
            ));
        }
    };
    if format == StatementFormat::Hipopay {
        came_twice(context, call, &file).await?;
    }
    let Statement { lines, totals } =
        read(format, context.account.gateway.bill_names(), file.clone()).await?;
    let part = if is_open {
        format!("-open-{}", receipt.chars().take(12).collect::<String>())
    } else {
        String::new()
    };
    let name = format!("statements/{}/{day}{part}.{ending}", context.account.name);
    let location = context
        .engine
        .files
        .keep(&name, file)
        .await
        .map_err(|error| match error {
            FilesError::Other { .. } => PersistFailure::never(OwnCode::FileChanged, error),
            FilesError::Open { .. } | FilesError::Folder { .. } | FilesError::Store { .. } => {
                PersistFailure::not_kept(error)
            }
        })?;
    let remarks = totals.map(|totals| totals.differs).unwrap_or_default();
    keep_lines(
        context,
        (day, receipt.to_owned(), remarks),
        lines,
        seen,
        Some(location),
    )
    .await
}

/// Fetches the file once more: what was cut on its way is another file then. The title may tell
/// when it was made.
async fn came_twice(
    context: &AttemptContext<'_>,
    call: &Call,
    file: &Bytes,
) -> Result<(), PersistFailure> {
    let behind_title = |file: &Bytes| {
        file.iter()
            .position(|byte| *byte == b'\n')
            .map(|end| file.slice(end..))
    };
    let again = call_at_rate(context.engine, context.account, call).await;
    match again.file {
        Some(again) if behind_title(&again) == behind_title(file) => Ok(()),
        Some(_) => Err(PersistFailure::now(
            OwnCode::StatementIncomplete,
            "the file was another one when it was fetched once more; it may have been cut",
        )),
        None => Err(PersistFailure::now(
            OwnCode::StatementIncomplete,
            "the file could not be fetched once more, to compare",
        )),
    }
}

/// Whether the statement of a day that is not over is wanted all the same.
fn keeps_open_day(call: &Call) -> bool {
    call.input.get("open_day").and_then(Value::as_str) == Some("keep")
}

fn day(call: &Call) -> String {
    call.input
        .get("date")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Keeps a day's lines; none, and no file, where there was no trade.
async fn keep_lines(
    context: &AttemptContext<'_>,
    (day, sha256, remarks): (String, String, Vec<SummaryRemark>),
    lines: Vec<Line>,
    seen: &mut Observation,
    location: Option<String>,
) -> Result<(), PersistFailure> {
    let now = context.engine.clock.now();
    let day_ends = day_end(&day)
        .ok_or_else(|| PersistFailure::never(OwnCode::BadInput, "the call names no day"))?;
    let statement = NewStatement {
        lane: context.account.name.clone(),
        day,
        sha256,
        location: location.clone().unwrap_or_default(),
        fetched_at: now,
        day_ends,
        remarks,
    };
    let count = lines.len();
    let kept = context
        .engine
        .ledger
        .keep_statement(&statement, lines.into_iter().map(line))
        .await;
    match kept.map_err(PersistFailure::not_kept)? {
        KeptStatement::New | KeptStatement::Known => {
            seen.result
                .extend(location.map(|location| ("file".to_owned(), location.into())));
            seen.result.insert("lines".to_owned(), count.into());
            Ok(())
        }
        KeptStatement::Other => Err(PersistFailure::never(
            OwnCode::FileChanged,
            "another statement of that day is in the ledger; it stays",
        )),
    }
}

/// The lines of a file, read on a thread of its own: a large one takes a while.
async fn read(
    format: StatementFormat,
    names: BillNames,
    file: Bytes,
) -> Result<Statement, PersistFailure> {
    let reading = tokio::task::spawn_blocking(move || statement::read_named(format, &names, &file));
    let read = reading.await.map_err(PersistFailure::not_kept)?;
    read.map_err(|error| {
        PersistFailure::never(OwnCode::FileUnreadable, format!("malformed file: {error}"))
    })
}

fn line(line: Line) -> StatementLine {
    let money = |sum: Option<SignedAmount>| sum.map(|sum| (sum.minor, sum.currency));
    StatementLine {
        line: line.line,
        kind: match line.kind {
            StatementLineKind::Payment => LineKind::Payment,
            StatementLineKind::Refund => LineKind::Refund,
            StatementLineKind::Reversal => LineKind::Reversal,
            StatementLineKind::Other => LineKind::Other,
        },
        time: line.time,
        order_no: line.order_no,
        transaction_id: line.transaction_id,
        refund_no: line.refund_no,
        refund_id: line.refund_id,
        state: line.state,
        amount: line.amount,
        fee: money(line.fee),
        settled: money(line.settled),
    }
}

async fn keep_settlements(
    context: &AttemptContext<'_>,
    seen: &Observation,
) -> Result<(), PersistFailure> {
    let now = context.engine.clock.now();
    context
        .engine
        .ledger
        .keep_settlements(&context.account.name, &seen.records, now)
        .await
        .map_err(PersistFailure::not_kept)
}
