//! Runs and items as programs see them: what `--json` prints and the API answers, one shape for
//! both.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::bulk_view::BulkActionOfItemView;
use crate::domain::answer::AnswerKind;
use crate::domain::item::State;
use crate::domain::message::Message;
use crate::domain::money::{Amount, Currency, decimal_text};
use crate::domain::own_code::OwnCode;
use crate::domain::time::Timestamp;
use crate::engine::operator::review::{Review, ReviewedRow};
use crate::ledger::{
    ApprovalRow, AttemptRow, AuditRow, DifferenceEventRow, DifferenceRow, EventRow, GatewayNumber,
    ItemRow, JobRow, KeySample, Ledger, LedgerError, RECEIPT, RelatedItem, Relation, RunRow,
    RunWithdrawal, Total,
};
use crate::workflow::source::FileReading;
use crate::workflow::version_of;

/// A run and what became of its items.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunView {
    /// Its id.
    pub run: i64,
    /// The workflow's name.
    pub workflow: String,
    /// Which firing of it.
    pub occurrence: String,
    /// The workflow that it was planned with: how the SHA-256 of its file begins.
    pub workflow_version: Option<String>,
    /// Who started it, and can never approve it.
    pub author: Option<String>,
    /// `open` or `finished`.
    pub state: &'static str,
    /// When it was planned.
    pub planned_at: String,
    /// Before when nothing of it is sent, and it can be withdrawn as a whole; none where it is sent
    /// at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// That it was withdrawn as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withdrawal: Option<RunWithdrawalView>,
    /// When its last item came to rest.
    pub finished_at: Option<String>,
    /// All items.
    pub items: u64,
    /// Those that have not come to rest.
    pub open: u64,
    /// Items by state.
    pub by_state: BTreeMap<String, u64>,
    /// Decimal amounts by state and currency. Rejected and skipped rows were never to be sent, and have
    /// none.
    pub amounts: BTreeMap<String, BTreeMap<String, String>>,
    /// Its jobs, in the order of the workflow.
    pub jobs: Vec<JobView>,
}

/// What a person noted of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoteView {
    /// When.
    pub at: String,
    /// Who.
    pub by: String,
    /// What.
    pub note: String,
    /// When, for clocks.
    #[serde(skip)]
    pub instant: Timestamp,
}

impl NoteView {
    /// Of an entry of the audit log.
    pub fn of(row: &AuditRow) -> Self {
        Self {
            at: row.entry.at.to_string(),
            by: row.entry.actor.clone(),
            note: row.entry.reason.clone(),
            instant: row.entry.at,
        }
    }
}

/// That a run was withdrawn as a whole: nothing more of it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RunWithdrawalView {
    /// Who withdrew it, and why.
    pub by: String,
    /// When.
    pub at: String,
    /// Since when none of its items is open that is not withdrawn; none while that is being done.
    pub ended_at: Option<String>,
}

impl RunWithdrawalView {
    fn of(withdrawal: &RunWithdrawal) -> Self {
        Self {
            by: withdrawal.by.clone(),
            at: withdrawal.at.to_string(),
            ended_at: withdrawal.ended_at.map(|at| at.to_string()),
        }
    }
}

/// A job of a run.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The gateway account.
    pub gateway: String,
    /// When its last item came to rest.
    pub finished_at: Option<String>,
    /// Why it could not be planned.
    pub failure: Option<String>,
    /// The same for programs, such as `over_limit`.
    pub failure_code: Option<String>,
    /// How its item file was understood, where it read one.
    pub read_as: Option<String>,
    /// The columns of that file of which it made nothing.
    pub columns_not_used: Vec<String>,
    /// Items by state.
    pub by_state: BTreeMap<String, u64>,
}

/// An item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemView {
    /// Its id.
    pub item: i64,
    /// Its run.
    pub run: i64,
    /// Its job.
    pub job: String,
    /// Its line in the file.
    pub line: u64,
    /// What may happen at most once.
    pub key: String,
    /// What the gateway sees; of a row that was rejected or skipped the order number that it gives.
    pub order_no: Option<String>,
    /// Its state.
    pub state: &'static str,
    /// Its amount, as decimal text.
    pub amount: Option<String>,
    /// The amount's currency.
    pub currency: Option<&'static str>,
    /// The gateway's number for what it did.
    pub receipt: Option<String>,
    /// When somebody has to look at it next.
    pub next_at: Option<String>,
    /// Why, where the state alone does not say.
    pub reason: Option<String>,
    /// Who has withdrawn it while it may have been under way, and why: nothing more of it is sent.
    pub withdrawn: Option<String>,
    /// When.
    pub withdrawn_at: Option<String>,
    /// Facts from the gateway.
    pub result: Option<Value>,
    /// The item that has the key, of one that was skipped.
    pub duplicate_of: Option<i64>,
}

/// A number that the gateway gave an item, and that is not its receipt.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GatewayNumberView {
    /// `receipt`: what would be the receipt if the item had succeeded; else the fact of the reply
    /// that it is.
    pub name: String,
    /// The number.
    pub number: String,
}

impl From<&GatewayNumber> for GatewayNumberView {
    fn from(number: &GatewayNumber) -> Self {
        Self {
            name: number.name.clone(),
            number: number.number.clone(),
        }
    }
}

/// The number that the gateway knows an item by: its receipt, or what would be that if it had
/// succeeded.
pub fn gateway_number<'a>(
    receipt: Option<&'a str>,
    others: &'a [GatewayNumberView],
) -> Option<&'a str> {
    let other = others.iter().find(|other| other.name == RECEIPT);
    receipt.or_else(|| other.map(|other| other.number.as_str()))
}

/// An item that belongs to another one.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RelatedItemView {
    /// What it is to the other one: `refund`, `replaced` (it said the same before, and the other
    /// stands for it) or `replaced_by` (it stands for the other).
    pub relation: &'static str,
    /// The item.
    #[serde(flatten)]
    pub item: ItemView,
    /// Its job kind.
    pub kind: String,
}

impl RelatedItemView {
    /// Of an item as it is in the ledger.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if its result cannot be read.
    pub fn of(related: &RelatedItem) -> Result<Self, LedgerError> {
        Ok(Self {
            relation: match related.relation {
                Relation::Refund => "refund",
                Relation::Replaced => "replaced",
                Relation::ReplacedBy => "replaced_by",
            },
            item: ItemView::of(&related.item)?,
            kind: related.kind.clone(),
        })
    }
}

/// What else there is to know of an item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ItemSurroundings {
    /// The gateway's numbers of it that are not its receipt.
    pub gateway_numbers: Vec<GatewayNumberView>,
    /// The refunds that take from it, and the declarations of the same before and after it.
    pub related: Vec<RelatedItemView>,
    /// What persons noted of it, oldest first.
    pub notes: Vec<NoteView>,
    /// The bulk actions that changed it, oldest first.
    pub bulk_actions: Vec<BulkActionOfItemView>,
}

impl ItemSurroundings {
    /// Of an item, and of its job where that is still there.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn read(
        ledger: &Ledger,
        item: &ItemRow,
        job: Option<&JobRow>,
    ) -> Result<Self, LedgerError> {
        let numbers = ledger.gateway_numbers(&[item.id]).await?;
        let related = match job {
            Some(job) => ledger.related_items(item, job).await?,
            None => Vec::new(),
        };
        let bulk_actions = ledger.bulk_actions_of_item(item.id).await?;
        Ok(Self {
            bulk_actions: bulk_actions.iter().map(BulkActionOfItemView::of).collect(),
            gateway_numbers: numbers
                .values()
                .flatten()
                .map(GatewayNumberView::from)
                .collect(),
            related: related
                .iter()
                .map(RelatedItemView::of)
                .collect::<Result<_, _>>()?,
            notes: ledger
                .notes_of_item(item.id)
                .await?
                .iter()
                .map(NoteView::of)
                .collect(),
        })
    }
}

/// A call and its answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AttemptView {
    /// `call`, `abandoned`, `notification`, `statement` or `person`.
    pub kind: String,
    /// The gateway's operation; where there was no call, the kind.
    pub operation: String,
    /// The number it was about.
    pub order_no: String,
    /// When it began.
    pub started_at: String,
    /// When it ended.
    pub ended_at: String,
    /// The word for the answer.
    pub answer: String,
    /// The gateway's code, payrun's own, or the cause.
    pub code: String,
    /// What the code means and what to do, where it is payrun's own: no gateway said it.
    pub code_meaning: Option<String>,
    /// The HTTP status.
    pub http: Option<u16>,
    /// Whether it came after its lease, and changed nothing.
    pub late: bool,
    /// What was received, sensitive fields masked.
    pub evidence: String,
}

/// A move of an item.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventView {
    /// When.
    pub at: String,
    /// What happened.
    pub event: String,
    /// From which state.
    pub from: String,
    /// To which.
    pub to: String,
    /// Why.
    pub why: Option<String>,
    /// What a person should hear of.
    pub alarm: Option<String>,
}

/// A batch that waits for approval, or waited.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApprovalView {
    /// Its id.
    pub id: i64,
    /// The run.
    pub run: i64,
    /// The workflow's name.
    pub workflow: String,
    /// The job.
    pub job: String,
    /// `waiting`, or how it ended.
    pub state: &'static str,
    /// Who began the run, and can never approve it.
    pub author: String,
    /// How many persons must approve.
    pub needed: u32,
    /// How many items.
    pub items: u64,
    /// Their money, as decimal text by currency.
    pub sums: BTreeMap<String, String>,
    /// What an approval is bound to.
    pub hash: String,
    /// Since when it waits.
    pub asked_at: String,
    /// Until when.
    pub expires_at: String,
    /// When it was decided.
    pub decided_at: Option<String>,
    /// Who has approved.
    pub approved_by: Vec<VoteView>,
}

/// A person's approval.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct VoteView {
    /// Who.
    pub name: String,
    /// When.
    pub at: String,
    /// Why.
    pub reason: String,
}

impl From<&ApprovalRow> for ApprovalView {
    fn from(approval: &ApprovalRow) -> Self {
        let votes = approval.votes.iter();
        Self {
            id: approval.id,
            run: approval.run_id,
            workflow: approval.workflow.clone(),
            job: approval.job.clone(),
            state: approval.state.as_str(),
            author: approval.author.clone(),
            needed: approval.needed,
            items: approval.items,
            sums: approval
                .sums
                .iter()
                .map(|(currency, minor)| {
                    let sum = decimal_text(i128::from(*minor), *currency);
                    (currency.code().to_owned(), sum)
                })
                .collect(),
            hash: approval.content_hash.clone(),
            asked_at: approval.asked_at.to_string(),
            expires_at: approval.expires_at.to_string(),
            decided_at: approval.decided_at.map(|at| at.to_string()),
            approved_by: votes
                .map(|vote| VoteView {
                    name: vote.actor.clone(),
                    at: vote.at.to_string(),
                    reason: vote.reason.clone(),
                })
                .collect(),
        }
    }
}

/// A batch with what whoever approves it has to know.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BatchView {
    /// The batch.
    #[serde(flatten)]
    pub approval: ApprovalView,
    /// Its rows, by currency, the largest first.
    pub rows: Vec<BatchRowView>,
    /// Give it as `after` for the next rows; none if there are no more.
    pub next_after: Option<String>,
    /// How many rows were looked at for what follows; none where `after` was given.
    pub checked: u64,
    /// How many rows are certain to fail, each by itself.
    pub failing: u64,
    /// The largest of them, 20 at most.
    pub first_failing: Vec<BatchRowView>,
    /// How many more take too much of their payment only together with other rows: some of them may
    /// be carried out.
    pub crowded: u64,
    /// The largest of them, 20 at most.
    pub first_crowded: Vec<BatchRowView>,
    /// How many rows are of payments that payrun does not know: what those paid and gave back
    /// before cannot be said.
    pub of_unknown_payments: u64,
    /// How many rows say the same of the same payment, or the same contract and amount, as an
    /// earlier item.
    pub repeating: u64,
    /// The largest of them, 20 at most.
    pub first_repeating: Vec<BatchRowView>,
    /// What differs from the batch that was planned before it for the same workflow and job.
    pub differences: Option<DifferencesView>,
}

/// A row of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BatchRowView {
    /// The item.
    #[serde(flatten)]
    pub item: ItemView,
    /// Every field that is not personal.
    #[schema(value_type = Object)]
    pub fields: Value,
    /// What was paid, where the ledger knows it.
    pub paid: Option<String>,
    /// What was given back before, or may have been.
    pub refunded: Option<String>,
    /// By how many refunds.
    pub refunds: Option<u64>,
    /// What cannot be said of its payment, where payrun does not know that.
    pub unknown_payment: Option<&'static str>,
    /// The code that its item would fail with, where it is certain to fail.
    pub will_fail_code: Option<&'static str>,
    /// Why it is certain to fail.
    pub will_fail: Option<String>,
    /// The code that some rows of its payment would fail with, though this one might not.
    pub crowded_code: Option<&'static str>,
    /// Why not all rows of its payment can be carried out, though this one might be.
    pub crowded: Option<String>,
    /// Earlier items that say the same.
    pub repeats: Option<RepeatsView>,
}

/// Earlier items that say the same of the same payment or contract.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RepeatsView {
    /// How many there are.
    pub times: u64,
    /// The latest of them.
    pub item: i64,
    /// Its run.
    pub run: i64,
    /// Its key.
    pub key: String,
    /// Its state.
    pub state: String,
}

/// What differs from an earlier batch.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DifferencesView {
    /// The earlier batch's run.
    pub run: i64,
    /// Keys that it had not.
    pub added: KeysView,
    /// Keys that are no more.
    pub removed: KeysView,
    /// Keys of which anything else changed.
    pub changed: KeysView,
    /// How many rows are as they were.
    pub same: u64,
}

/// How many keys, and the first of them.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct KeysView {
    /// How many.
    pub count: u64,
    /// The first 20.
    pub keys: Vec<String>,
}

impl BatchView {
    /// Of a batch that was reviewed.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the result of a row's item cannot be read.
    pub fn of(approval: &ApprovalRow, review: &Review) -> Result<Self, LedgerError> {
        let rows = |rows: &[ReviewedRow]| {
            let rows = rows.iter().map(BatchRowView::of);
            rows.collect::<Result<Vec<_>, _>>()
        };
        let keys = |named: &KeySample| KeysView {
            count: named.count,
            keys: named.keys.clone(),
        };
        Ok(Self {
            approval: approval.into(),
            rows: rows(&review.rows)?,
            next_after: review.next.as_ref().map(ToString::to_string),
            checked: review.checked,
            failing: review.failing,
            first_failing: rows(&review.first_failing)?,
            crowded: review.crowded,
            first_crowded: rows(&review.first_crowded)?,
            of_unknown_payments: review.of_unknown_payments,
            repeating: review.repeating,
            first_repeating: rows(&review.first_repeating)?,
            differences: review.differences.as_ref().map(|differs| DifferencesView {
                run: differs.run,
                added: keys(&differs.added),
                removed: keys(&differs.removed),
                changed: keys(&differs.changed),
                same: differs.same,
            }),
        })
    }
}

/// What is to be said of a payment that is not in the ledger.
pub const UNKNOWN_PAYMENT: &str =
    "payrun does not know this payment; what it paid before cannot be said";

impl BatchRowView {
    /// Of a row that was reviewed.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the item's result cannot be read.
    pub fn of(row: &ReviewedRow) -> Result<Self, LedgerError> {
        Ok(Self {
            item: ItemView::of(&row.item)?,
            fields: Value::Object(row.fields.clone()),
            paid: row.payment.map(|payment| payment.paid.decimal()),
            refunded: row.payment.map(|payment| payment.refunded_text()),
            refunds: row.payment.map(|payment| payment.refunds),
            unknown_payment: row.of_unknown_payment.then_some(UNKNOWN_PAYMENT),
            will_fail_code: row.will_fail.as_ref().map(|why| why.code.as_str()),
            will_fail: row.will_fail.as_ref().map(|why| why.words.clone()),
            crowded_code: row.crowded.as_ref().map(|why| why.code.as_str()),
            crowded: row.crowded.as_ref().map(|why| why.words.clone()),
            repeats: row.repeated.as_ref().map(|repeated| RepeatsView {
                times: repeated.times,
                item: repeated.item,
                run: repeated.run,
                key: repeated.key.clone(),
                state: repeated.state.clone(),
            }),
        })
    }
}

impl RunView {
    /// Of a run, with its jobs and totals as the commits keep them.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn read(ledger: &Ledger, run: &RunRow) -> Result<Self, LedgerError> {
        let source = ledger.workflow_of_run(run.id).await?;
        Self::of(
            run,
            source.as_deref().map(version_of),
            &ledger.jobs(run.id).await?,
            &ledger.totals(run.id).await?,
        )
    }

    /// Of what was read.
    ///
    /// # Errors
    /// If it cannot be read how a job has read its file.
    pub fn of(
        run: &RunRow,
        workflow_version: Option<String>,
        jobs: &[JobRow],
        totals: &[Total],
    ) -> Result<Self, LedgerError> {
        let mut amounts: BTreeMap<String, BTreeMap<String, (i64, Currency)>> = BTreeMap::new();
        for total in totals {
            if let Some((currency, minor)) = total.money() {
                let sums = amounts.entry(total.state.as_str().to_owned()).or_default();
                sums.entry(currency.code().to_owned())
                    .or_insert((0, currency))
                    .0 += minor;
            }
        }
        let text = |(minor, currency): &(i64, _)| decimal_text(i128::from(*minor), *currency);
        let in_text = |sums: BTreeMap<String, _>| {
            sums.iter()
                .map(|(code, sum)| (code.clone(), text(sum)))
                .collect()
        };
        Ok(Self {
            run: run.id,
            workflow: run.workflow.clone(),
            occurrence: run.occurrence.clone(),
            workflow_version,
            author: run.author.clone(),
            state: if run.finished_at.is_some() {
                "finished"
            } else {
                "open"
            },
            planned_at: run.started_at.to_string(),
            send_at: run.send_at.map(|at| at.to_string()),
            withdrawal: run.withdrawal.as_ref().map(RunWithdrawalView::of),
            finished_at: run.finished_at.map(|at| at.to_string()),
            items: totals.iter().map(|total| total.items).sum(),
            open: totals
                .iter()
                .filter(|total| total.state.is_open())
                .map(|total| total.items)
                .sum(),
            by_state: by_state(totals),
            amounts: amounts
                .into_iter()
                .map(|(state, sums)| (state, in_text(sums)))
                .collect(),
            jobs: jobs
                .iter()
                .map(|job| JobView::of(job, totals))
                .collect::<Result<_, _>>()?,
        })
    }
}

impl JobView {
    fn of(job: &JobRow, totals: &[Total]) -> Result<Self, LedgerError> {
        let own: Vec<Total> = totals
            .iter()
            .filter(|total| total.job_id == job.id)
            .cloned()
            .collect();
        let reading = job.file.as_deref().map(serde_json::from_str::<FileReading>);
        let reading = reading
            .transpose()
            .map_err(|_| LedgerError::corrupt("jobs", job.id, "file"))?;
        Ok(Self {
            name: job.name.clone(),
            kind: job.kind.clone(),
            gateway: job.lane.clone(),
            finished_at: job.finished_at.map(|at| at.to_string()),
            failure: job.failure.as_ref().map(Message::to_string),
            failure_code: job.failure_code.map(|code| code.to_string()),
            read_as: reading.as_ref().map(ToString::to_string),
            columns_not_used: reading.map(|reading| reading.unused).unwrap_or_default(),
            by_state: by_state(&own),
        })
    }
}

fn by_state(totals: &[Total]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for total in totals.iter().filter(|total| total.items > 0) {
        *sums.entry(total.state.as_str().to_owned()).or_default() += total.items;
    }
    sums
}

/// Why an item is in its state, in a sentence; of one that is withdrawn and may be under way, that
/// first.
pub fn reason_of(item: &ItemRow) -> String {
    told_of(item).map_or_else(String::new, |told| told.to_string())
}

/// The same, as it can be said in other languages.
pub fn told_of(item: &ItemRow) -> Option<Message> {
    let withdrawn = item.withdrawn.as_ref();
    let withdrawn = withdrawn
        .filter(|_| item.state.is_in_flight())
        .map(|who| Message::new("withdrawn-by", "withdrawn by {who}").with("who", who));
    let told: Vec<Message> = withdrawn.into_iter().chain(item.told.clone()).collect();
    (!told.is_empty()).then(|| Message::all(told))
}

impl ItemView {
    /// Of an item as it is in the ledger.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if its result cannot be read.
    pub fn of(item: &ItemRow) -> Result<Self, LedgerError> {
        Ok(Self {
            item: item.id,
            run: item.run_id,
            job: item.job.clone(),
            line: item.line,
            key: item.key.clone(),
            order_no: item.order_no.clone(),
            state: State::as_str(item.state),
            amount: item.amount.map(Amount::decimal),
            currency: item.amount.map(|amount| amount.currency().code()),
            receipt: item.receipt.clone(),
            next_at: item.looked_at().map(|at| at.to_string()),
            reason: item.reason.clone(),
            withdrawn: item.withdrawn.clone(),
            withdrawn_at: item.withdrawn_at.map(|at| at.to_string()),
            result: item.facts()?.map(Value::Object),
            duplicate_of: item.duplicate_of,
        })
    }
}

/// The code of an attempt, where payrun itself gave it.
pub(crate) fn own_code(attempt: &AttemptRow) -> Option<OwnCode> {
    match attempt.answer {
        AnswerKind::Declined | AnswerKind::NotProcessed => OwnCode::parse(&attempt.code),
        AnswerKind::Done | AnswerKind::Accepted | AnswerKind::Absent | AnswerKind::Unknown => None,
    }
}

impl From<&AttemptRow> for AttemptView {
    fn from(attempt: &AttemptRow) -> Self {
        Self {
            kind: attempt.kind.to_string(),
            operation: attempt.operation.clone(),
            order_no: attempt.order_no.clone(),
            started_at: attempt.started_at.to_string(),
            ended_at: attempt.ended_at.to_string(),
            answer: attempt.answer.to_string(),
            code: attempt.code.clone(),
            code_meaning: own_code(attempt).map(OwnCode::explained),
            http: attempt.http,
            late: attempt.late,
            evidence: attempt.evidence.clone(),
        }
    }
}

impl From<&EventRow> for EventView {
    fn from(event: &EventRow) -> Self {
        Self {
            at: event.at.to_string(),
            event: event.event.to_string(),
            from: event.from.clone(),
            to: event.to.clone(),
            why: event.detail.as_ref().map(Message::to_string),
            alarm: event.alarm.clone(),
        }
    }
}

/// A difference that a reconciliation found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DifferenceView {
    /// Its number.
    pub difference: i64,
    /// The gateway account.
    pub gateway: String,
    /// `open`, `explained`, `accepted` or `closed`.
    pub state: &'static str,
    /// Why it is one: `state`, `amount`, `currency`, `missing_here`, `refund_of_another_system`,
    /// `missing_there`, `duplicate_line`, `fee`, `summary`, `timing` or `others`.
    pub reason: &'static str,
    /// What a person should do.
    pub what_to_do: &'static str,
    /// Who looks after it.
    pub owner: Option<String>,
    /// What a person said of it last.
    pub note: Option<String>,
    /// The day of the statement, or on which our item was sent.
    pub day: String,
    /// `payment`, `refund`, `reversal` or `other`.
    pub kind: &'static str,
    /// The merchant's number of the payment; empty where there is none, as those below.
    pub order_no: String,
    /// The merchant's number of the refund.
    pub refund_no: String,
    /// The gateway's number.
    pub transaction_id: String,
    /// Our amount, as decimal text.
    pub ours: Option<String>,
    /// Its currency.
    pub our_currency: Option<&'static str>,
    /// The gateway's amount.
    pub theirs: Option<String>,
    /// Its currency.
    pub their_currency: Option<&'static str>,
    /// The state of our item when it was last found.
    pub our_state: Option<&'static str>,
    /// The gateway's word for the state.
    pub their_state: String,
    /// Our item.
    pub item: Option<i64>,
    /// The line of the statement.
    pub line: Option<u64>,
    /// Where the reason alone does not say.
    pub detail: String,
    /// When it was found for the first time.
    pub first_seen: String,
    /// When it was found last.
    pub last_seen: String,
    /// When its state, owner or note changed last.
    pub changed_at: String,
}

impl DifferenceView {
    /// The difference as programs see it.
    pub fn of(row: &DifferenceRow) -> Self {
        let difference = &row.difference;
        let code = |amount: Amount| amount.currency().code();
        Self {
            difference: row.id,
            gateway: row.lane.clone(),
            state: row.state.as_str(),
            reason: difference.reason.as_str(),
            what_to_do: difference.reason.advice(),
            owner: row.owner.clone(),
            note: row.note.clone(),
            day: difference.day.clone(),
            kind: difference.kind.as_str(),
            order_no: difference.order_no.clone(),
            refund_no: difference.refund_no.clone(),
            transaction_id: difference.transaction_id.clone(),
            ours: difference.ours.map(Amount::decimal),
            our_currency: difference.ours.map(code),
            theirs: difference.theirs.map(Amount::decimal),
            their_currency: difference.theirs.map(code),
            our_state: difference.our_state.map(State::as_str),
            their_state: difference.their_state.clone(),
            item: difference.item,
            line: difference.line,
            detail: difference.detail.clone(),
            first_seen: row.first_seen.to_string(),
            last_seen: row.last_seen.to_string(),
            changed_at: row.changed_at.to_string(),
        }
    }
}

/// What became of a difference once.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DifferenceEventView {
    /// When.
    pub at: String,
    /// `found`, `found_otherwise`, `not_found`, `explain`, `accept`, `reopen`, `assign` or `comment`.
    pub event: String,
    /// The state after it.
    pub state: &'static str,
    /// Who.
    pub by: String,
    /// The person's reason, or the evidence.
    pub note: String,
}

impl DifferenceEventView {
    /// The event as programs see it.
    pub fn of(row: &DifferenceEventRow) -> Self {
        Self {
            at: row.at.to_string(),
            event: row.event.clone(),
            state: row.to_state.as_str(),
            by: row.actor.clone(),
            note: row.note.clone(),
        }
    }
}
