//! The journal: every item with all that was done and answered, as plain JSON for whoever wants to
//! check it.
//!
//! What is entered of an item (which may name persons) and what was received are left out; of a
//! batch that was to be approved, each row has its hash, so that the approval's can be made again.

use std::collections::HashMap;

use serde_json::{Value, json};

use payrun_domain::approval::{BatchOrigin, BatchRow as Content, ContentHash};
use payrun_domain::message::Message;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;
use payrun_ledger::{AttemptRow, EventRow, ItemFilter, ItemRow, JobRow, Ledger, LedgerError};

/// How many items are read at a time.
const PAGE: u32 = 500;

/// Reads the journal page by page, so that memory stays flat.
#[derive(Debug)]
pub struct Journal<'a> {
    ledger: &'a Ledger,
    filter: ItemFilter,
    after: i64,
    jobs: HashMap<i64, JobRow>,
    approvals: HashMap<i64, Value>,
}

impl<'a> Journal<'a> {
    /// The journal of these items.
    pub fn of(ledger: &'a Ledger, filter: ItemFilter) -> Self {
        Self {
            ledger,
            filter,
            after: 0,
            jobs: HashMap::new(),
            approvals: HashMap::new(),
        }
    }

    /// The next items; none at the end.
    ///
    /// # Errors
    /// Whatever the ledger says.
    pub async fn page(&mut self) -> Result<Vec<Value>, LedgerError> {
        let items = self.ledger.items(&self.filter, self.after, PAGE).await?;
        let mut rows = Vec::with_capacity(items.len());
        for item in &items {
            self.after = item.id;
            if !self.jobs.contains_key(&item.job_id) {
                let jobs = self.ledger.jobs(item.run_id).await?;
                self.jobs.extend(jobs.into_iter().map(|job| (job.id, job)));
                self.read_approvals(item.run_id).await?;
            }
            let (events, attempts) = (
                self.ledger.events(item.id).await?,
                self.ledger.attempts(item.id).await?,
            );
            let mut row = row(item, self.jobs.get(&item.job_id), &events, &attempts);
            if let Some(approval) = self.approvals.get(&item.job_id) {
                row["approval"] = approval.clone();
                row["content_hash"] =
                    json!(content_hash(item).map(|content_hash| content_hash.to_string()));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn read_approvals(&mut self, run_id: i64) -> Result<(), LedgerError> {
        let Some(origin) = self.ledger.origin_of(run_id).await? else {
            return Ok(());
        };
        for approval in self.ledger.approvals_of_run(run_id).await? {
            let Some(job) = self.jobs.get(&approval.job_id) else {
                continue;
            };
            let account = [
                job.lane.as_str(),
                job.account.as_deref().unwrap_or_default(),
            ];
            let origin = BatchOrigin {
                workflow: &approval.workflow,
                occurrence: &origin.occurrence,
                source: &origin.source,
                params: &origin.params,
                job: &job.name,
                kind: &job.kind,
                account,
            };
            let by: Vec<&str> = approval
                .votes
                .iter()
                .map(|vote| vote.person.as_str())
                .collect();
            let known = json!({
                "state": approval.state.as_str(),
                "author": approval.author_user.as_deref().unwrap_or(&approval.author),
                "needed": approval.needed,
                "by": by,
                "origin": origin.content_hash().to_string(),
                "content_hash": approval.content_hash,
                "items": approval.items,
                "decided_at": approval.decided_at.map(Timestamp::millis),
            });
            self.approvals.insert(approval.job_id, known);
        }
        Ok(())
    }
}

/// The content of an item as an approval is bound to it; none of what gave its key back.
fn content_hash(item: &ItemRow) -> Option<ContentHash> {
    let row = Content {
        line: item.line,
        key: &item.key,
        key_hash: item.key_hash?,
        custom_order_no: item.custom_order_no.as_deref(),
        amount: item.amount,
        input: &item.input,
    };
    Some(row.content_hash())
}

/// The sums that the ledger keeps of a run, as plain JSON.
///
/// # Errors
/// Whatever the ledger says.
pub async fn totals(ledger: &Ledger, run_id: i64) -> Result<Vec<Value>, LedgerError> {
    let names: HashMap<i64, String> = ledger
        .jobs(run_id)
        .await?
        .into_iter()
        .map(|job| (job.id, job.name))
        .collect();
    let totals = ledger.totals(run_id).await?;
    let row = |total: &payrun_ledger::Total| {
        json!({
            "run": run_id,
            "job": names.get(&total.job_id),
            "state": total.state.as_str(),
            "currency": total.currency.map_or("", |currency| currency.code()),
            "items": total.items,
            "minor": total.minor,
        })
    };
    Ok(totals.iter().map(row).collect())
}

fn row(
    item: &ItemRow,
    job: Option<&JobRow>,
    events: &[EventRow],
    attempts: &[AttemptRow],
) -> Value {
    json!({
        "item": item.id,
        "run": item.run_id,
        "job": item.job,
        "kind": job.map(|job| &job.kind),
        "gateway": job.map(|job| &job.lane),
        "line": item.line,
        "key": item.key,
        // The number that a rejected row gives may be that of another item, and nothing went out under it.
        "order_no": item.order_no.as_ref().filter(|_| item.key_hash.is_some()),
        "state": item.state.as_str(),
        "currency": item.amount.map_or("", |amount| amount.currency().code()),
        "minor": item.amount.map(Amount::minor),
        "receipt": item.receipt,
        "reason": item.reason,
        "withdrawn": item.withdrawn,
        "withdrawn_at": item.withdrawn_at.map(|at| at.millis()),
        "duplicate_of": item.duplicate_of,
        "events": events.iter().map(event).collect::<Vec<_>>(),
        "attempts": attempts.iter().map(attempt).collect::<Vec<_>>(),
    })
}

fn event(event: &EventRow) -> Value {
    json!({
        "version": event.version,
        "at": event.at.millis(),
        "event": event.event.as_str(),
        "from": event.from,
        "to": event.to,
        "detail": event.detail.as_ref().map(Message::to_string),
        "alarm": event.alarm,
    })
}

fn attempt(attempt: &AttemptRow) -> Value {
    json!({
        "version": attempt.version,
        "kind": attempt.kind.as_str(),
        "operation": attempt.operation,
        "order_no": attempt.order_no,
        "started_at": attempt.started_at.millis(),
        "ended_at": attempt.ended_at.millis(),
        "answer": attempt.answer.as_str(),
        "code": attempt.code,
        "http": attempt.http,
        "late": attempt.late,
    })
}
