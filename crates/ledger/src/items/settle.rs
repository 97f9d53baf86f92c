//! Settle is outcome: the answer, the attempt, the new state, the totals and the event, in one
//! commit.
//!
//! A settle that comes after the item has moved on (its lease had run out) is *late*: the attempt
//! is recorded with its evidence. What is open is asked about at once; of what is at rest, or would
//! be sent again, the table of evidence decides ([`payrun_domain::evidence`]).

use std::collections::{HashMap, HashSet};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::approvals::votes::void_stale_approval;
use crate::db::write_tx::WriteTx;
use crate::db::writer::UncertainClaim;
use crate::error::LedgerError;
use crate::items::claimed_item::Claimed;
use crate::items::gateway_numbers::GatewayNumber;
use crate::items::item_rows::{ChangeBatch, ItemChange, ItemRecord, list, policy_of};
use crate::items::state_machine::follow;
use crate::items::statement_line::write_evidence;
use payrun_domain::answer::{Answer, AnswerKind, Cause};
use payrun_domain::evidence::{Consequence, Evidence, EvidenceSource};
use payrun_domain::history::{AttemptKind, EventKind};
use payrun_domain::ids::OrderNumber;
use payrun_domain::item::{Move, State};
use payrun_domain::time::Timestamp;

/// What became of a claim.
#[derive(Debug, Clone)]
pub struct Settlement {
    pub(crate) stored: ItemRecord,
    pub(crate) event: EventKind,
    pub(crate) moved: Move,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) result: Option<String>,
    pub(crate) at: Timestamp,
}

impl Settlement {
    /// A call was made and ended in an answer, from which `moved` followed.
    pub fn answered(
        claimed: &Claimed,
        moved: Move,
        attempt: Attempt,
        result: Option<String>,
        at: Timestamp,
    ) -> Self {
        let event = EventKind::Answered(attempt.answer);
        Self {
            stored: claimed.after(),
            event,
            moved,
            attempt: Some(attempt),
            result,
            at,
        }
    }

    /// What the item acts on was looked up; nothing of its own was sent, and it is given back.
    pub fn looked_up(
        claimed: &Claimed,
        moved: Move,
        attempt: Attempt,
        result: Option<String>,
        at: Timestamp,
    ) -> Self {
        Self {
            stored: claimed.after(),
            event: EventKind::LookedUp,
            moved,
            attempt: Some(attempt),
            result,
            at,
        }
    }

    /// Nothing was sent; the item is given back.
    pub fn unsent(claimed: &Claimed, moved: Move, at: Timestamp) -> Self {
        Self {
            stored: claimed.after(),
            event: EventKind::Unsent,
            moved,
            attempt: None,
            result: None,
            at,
        }
    }
}

/// One call and its answer.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// A call, or what was told without one.
    pub kind: AttemptKind,
    /// The gateway's operation; where there was no call, the kind.
    pub operation: String,
    /// When the call began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The answer.
    pub answer: AnswerKind,
    /// The gateway's code, or the cause.
    pub code: String,
    /// The HTTP status, where there was a reply.
    pub http: Option<u16>,
    /// What was received, sensitive fields masked.
    pub evidence: String,
    /// The gateway's numbers of the item that it tells.
    pub numbers: Vec<GatewayNumber>,
}

/// One row of `attempts`, as [`WRITE`](crate::items::item_rows::WRITE) reads it by position: item,
/// version, kind, operation, order number, begin, end, answer, code, HTTP status, late, evidence.
type AttemptFields<'a> = (
    i64,
    i64,
    &'static str,
    &'a str,
    &'a OrderNumber,
    i64,
    i64,
    &'static str,
    &'a str,
    Option<u16>,
    u8,
    &'a str,
);

/// An attempt as it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AttemptLine<'a> {
    row: AttemptFields<'a>,
    pub numbers: &'a [GatewayNumber],
}

impl AttemptLine<'_> {
    pub fn item_id(&self) -> i64 {
        self.row.0
    }
}

impl Serialize for AttemptLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.row.serialize(serializer)
    }
}

impl Attempt {
    /// The attempt of a process that did not live to tell.
    pub(crate) fn abandoned(stored: &ItemRecord, now: Timestamp) -> Self {
        let answer = Answer::from(Cause::Abandoned);
        Self {
            kind: AttemptKind::Abandoned,
            operation: "submit".to_owned(),
            started_at: stored.item.sent_at.unwrap_or(now),
            ended_at: now,
            answer: answer.kind(),
            code: answer.code().to_owned(),
            http: None,
            evidence: String::new(),
            numbers: Vec::new(),
        }
    }

    pub(crate) fn line<'a>(
        &'a self,
        item_id: i64,
        version: i64,
        order_no: &'a OrderNumber,
        late: bool,
    ) -> AttemptLine<'a> {
        let row: AttemptFields<'a> = (
            item_id,
            version,
            self.kind.as_str(),
            &self.operation,
            order_no,
            self.started_at.millis(),
            self.ended_at.millis(),
            self.answer.as_str(),
            &self.code,
            self.http,
            u8::from(late),
            &self.evidence,
        );
        AttemptLine {
            row,
            numbers: &self.numbers,
        }
    }
}

/// Whether a settlement counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettleOutcome {
    /// The item moved.
    Applied,
    /// The item had moved on before: the attempt is recorded and changed nothing.
    Late,
}

/// Of claims in doubt, those that were made and not taken over: where the commit did not happen
/// another node may have claimed the item, which then has the same version.
pub(crate) async fn still_claimed<'a>(
    tx: &mut WriteTx,
    uncertain: &'a [UncertainClaim],
) -> Result<Vec<&'a Settlement>, LedgerError> {
    let are_ours = uncertain.is_empty();
    #[cfg(feature = "mutation")]
    let are_ours = crate::mutation::are_ours(are_ours);
    if are_ours {
        return Ok(uncertain.iter().map(|one| &one.settlement).collect());
    }
    let claims: Vec<(i64, i64, i64)> = uncertain
        .iter()
        .map(|one| {
            (
                one.settlement.stored.id,
                one.settlement.stored.version,
                one.node.0,
            )
        })
        .collect();
    let named: Vec<Value> = claims
        .iter()
        .map(|(item, version, node)| json!({ "item": item, "version": version, "node": node }))
        .collect();
    let query = "select i.id, i.version, i.node from json_each($1) as c join items as i \
                   on i.id = cast(c.value ->> 'item' as bigint) and i.version = cast(c.value ->> 'version' as bigint) \
                   and i.node = cast(c.value ->> 'node' as bigint)";
    let failed = |source| LedgerError::of("looking for claims in doubt", source);
    let rows = sqlx::query(query)
        .bind(list(&named))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let get = |row: &AnyRow| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?));
    let made: HashSet<(i64, i64, i64)> = rows
        .iter()
        .map(get)
        .collect::<Result<_, _>>()
        .map_err(failed)?;
    let theirs = uncertain
        .iter()
        .zip(claims)
        .filter(|(_, claim)| made.contains(claim));
    Ok(theirs.map(|(one, _)| &one.settlement).collect())
}

/// Settles all together, or one by one where some are late.
pub(crate) async fn settle(
    tx: &mut WriteTx,
    batch: &[&Settlement],
) -> Result<Vec<SettleOutcome>, LedgerError> {
    let heeding = withdrawn_meanwhile(tx, batch).await?;
    let batch: Vec<&Settlement> = batch
        .iter()
        .enumerate()
        .map(|(at, one)| heeding.get(&at).unwrap_or(one))
        .collect();
    let batch = &batch[..];
    run(tx, "savepoint everyone").await?;
    if writes(batch)?.execute(tx).await? {
        return Ok(vec![SettleOutcome::Applied; batch.len()]);
    }
    run(tx, "rollback to everyone").await?;
    let mut settled = Vec::with_capacity(batch.len());
    for one in batch {
        run(tx, "savepoint one").await?;
        if writes(std::slice::from_ref(one))?.execute(tx).await? {
            settled.push(SettleOutcome::Applied);
        } else {
            run(tx, "rollback to one").await?;
            record_late(tx, one).await?;
            settled.push(SettleOutcome::Late);
        }
        run(tx, "release one").await?;
    }
    Ok(settled)
}

/// Those, by their place, of which a person said, while they were under way, that nothing more is
/// to be sent.
async fn withdrawn_meanwhile(
    tx: &mut WriteTx,
    batch: &[&Settlement],
) -> Result<HashMap<usize, Settlement>, LedgerError> {
    let failed = |source| LedgerError::of("looking for what was withdrawn", source);
    let ids: Vec<i64> = batch.iter().map(|one| one.stored.id).collect();
    let query = "select i.id, i.withdrawn from json_each($1) as s join items as i on i.id = cast(s.value as bigint) \
                 where i.withdrawn is not null";
    let rows = sqlx::query(query)
        .bind(list(&ids))
        .fetch_all(tx.connection())
        .await
        .map_err(failed)?;
    let mut withdrawn = HashMap::new();
    for row in rows {
        let id: i64 = row.try_get(0).map_err(failed)?;
        let withdrawal: Option<String> = row.try_get(1).map_err(failed)?;
        for (at, one) in batch
            .iter()
            .enumerate()
            .filter(|(_, one)| one.stored.id == id)
        {
            let stored = ItemRecord {
                withdrawn: withdrawal.clone(),
                ..one.stored.clone()
            };
            withdrawn.insert(
                at,
                Settlement {
                    stored,
                    ..(*one).clone()
                },
            );
        }
    }
    Ok(withdrawn)
}

fn writes(batch: &[&Settlement]) -> Result<ChangeBatch, LedgerError> {
    let moves: Vec<ItemChange<'_>> = batch
        .iter()
        .map(|one| ItemChange {
            stored: &one.stored,
            event: one.event,
            moved: &one.moved,
            lease: None,
            result: one.result.as_deref(),
            at: one.at,
        })
        .collect();
    let attempts: Vec<_> = batch
        .iter()
        .filter_map(|one| attempt_line(one, false))
        .collect();
    ChangeBatch::of(&moves, &attempts)
}

async fn record_late(tx: &mut WriteTx, one: &Settlement) -> Result<(), LedgerError> {
    let told_before = "select count(*) from attempts where item_id = $1 and version = $2 and ended_at = $3 and answer = $4";
    if let Some(attempt) = &one.attempt {
        // The same settlement given again is no second answer.
        let known: i64 = sqlx::query_scalar(told_before)
            .bind(one.stored.id)
            .bind(one.stored.version)
            .bind(attempt.ended_at.millis())
            .bind(attempt.answer.as_str())
            .fetch_one(tx.connection())
            .await
            .map_err(|source| LedgerError::of("looking for a late answer", source))?;
        if known == 0 {
            let attempts: Vec<_> = attempt_line(one, true).into_iter().collect();
            ChangeBatch::of(&[], &attempts)?.execute(tx).await?;
            apply_late_reply(tx, one, attempt).await?;
        }
    }
    // What came late may be the truth: ask at once. Not a move, so no event.
    sqlx::query("update items set next_at = $2 where id = $1 and state in ('pending', 'unknown') and node is null")
        .bind(one.stored.id)
        .bind(one.at.millis())
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("asking about a late answer", source))?;
    Ok(())
}

/// What came late of an item that is at rest, or about to be sent again, nobody would ask about:
/// there the table of evidence decides.
async fn apply_late_reply(
    tx: &mut WriteTx,
    one: &Settlement,
    attempt: &Attempt,
) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::of("applying a late reply", source);
    let Some(answer) = late_answer(one, attempt) else {
        return Ok(());
    };
    let query = "select i.*, j.policy, (select count(*) from attempts as a where a.item_id = i.id and a.order_no = $2 \
                   and a.answer = 'declined' and a.kind <> 'person') as declined \
                 from items as i join jobs as j on j.id = i.job_id where i.id = $1";
    let row = sqlx::query(query)
        .bind(one.stored.id)
        .bind(one.stored.order_no.as_str());
    let row = row.fetch_one(tx.connection()).await.map_err(failed)?;
    let stored = ItemRecord::read(&row)?;
    let was_declined = row.try_get::<i64, _>("declined").map_err(failed)? > 0;
    let number = &one.stored.order_no;
    let words = match &answer {
        Answer::Done(receipt) => {
            format!("money moved: a late reply has {} under {number}", receipt.0)
        }
        Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => format!("a late reply says of {number}: {}", answer.as_str()),
    };
    let news = Evidence {
        source: EvidenceSource::LateReply,
        answer: &answer,
        is_in_use: stored.order_no == *number,
        known: was_declined || one.stored.item.state != State::Sending,
        is_claimed: false,
        next_at: None,
        query_at: one.at,
        words,
    };
    let Consequence::Move(moved) = follow(&stored, &news, &policy_of(&row)?, one.at)? else {
        return Ok(());
    };
    if let Some(alarm) = moved.alarm {
        tracing::error!(
            item.id = stored.id,
            alarm = alarm.as_str(),
            "an answer came late and contradicts what was known"
        );
    }
    let event = if one.moved.item.state == State::Succeeded {
        EventKind::LateDone
    } else {
        EventKind::LateAnswer
    };
    let written = ItemChange {
        stored: &stored,
        event,
        moved: &moved,
        lease: None,
        result: None,
        at: one.at,
    };
    write_evidence(tx, written, &[]).await?;
    if stored.item.state == State::AwaitingApproval {
        void_stale_approval(tx, stored.job_id).await?;
    }
    Ok(())
}

/// What a late reply said, where that may mean that money moved.
fn late_answer(one: &Settlement, attempt: &Attempt) -> Option<Answer> {
    let succeeded = one.moved.item.state == State::Succeeded;
    let receipt = one.moved.item.receipt.clone().filter(|_| succeeded);
    receipt.map(Answer::Done).or_else(|| {
        [Answer::Accepted, Answer::from(Cause::TimedOut)]
            .into_iter()
            .find(|answer| answer.kind() == attempt.answer)
    })
}

fn attempt_line(one: &Settlement, late: bool) -> Option<AttemptLine<'_>> {
    one.attempt.as_ref().map(|attempt| {
        attempt.line(
            one.stored.id,
            one.stored.version,
            &one.stored.order_no,
            late,
        )
    })
}

async fn run(tx: &mut WriteTx, statement: &'static str) -> Result<(), LedgerError> {
    let done = sqlx::raw_sql(statement).execute(tx.connection()).await;
    done.map(|_| ())
        .map_err(|source| LedgerError::of("settling", source))
}
