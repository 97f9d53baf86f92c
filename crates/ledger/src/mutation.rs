//! The seeded faults of what is written down (`payrun_domain::mutation`): each function bends one
//! value, where the fault is active.

use payrun_domain::approval::ApprovalRight;
use payrun_domain::ids::KeyHash;
use payrun_domain::mutation::{Mutation, is};
use payrun_domain::time::Timestamp;

use crate::NewItem;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::TotalLine;

/// Authors approve.
pub(crate) fn approval_right(right: ApprovalRight) -> ApprovalRight {
    if matches!(right, ApprovalRight::Own) && is(Mutation::AuthorApproves) {
        return ApprovalRight::Approves;
    }
    right
}

/// Claims in doubt are given back, whoever has them now.
pub(crate) fn are_ours(are_ours: bool) -> bool {
    are_ours || is(Mutation::ClaimOfOthersGivenBack)
}

/// A settle is acknowledged and not written.
pub(crate) fn settle_is_lost() -> bool {
    is(Mutation::SettleNotSynced)
}

/// The line is part of the key.
pub(crate) fn keyed(items: &[NewItem]) -> Vec<NewItem> {
    let with_line = |item: &NewItem| KeyHash::of("", &item.line.to_string(), &item.key);
    let keyed = |item: &NewItem| {
        let mut item = item.clone();
        if is(Mutation::KeyWithLine) {
            item.key_hash = with_line(&item);
        }
        item
    };
    items.iter().map(keyed).collect()
}

/// Rejected rows are not kept.
pub(crate) fn rows_are_dropped() -> bool {
    is(Mutation::RefusedRowsDropped)
}

/// A withdrawal is not seen.
pub(crate) fn is_withdrawn(is_withdrawn: bool) -> bool {
    is_withdrawn && !is(Mutation::WithdrawalForgotten)
}

/// Two items of a contract are claimed together: nobody looks at what of it is in flight.
pub(crate) fn exclusive<F, K>(in_flight: Option<F>, key: Option<&K>) -> (Option<F>, Option<&K>) {
    if is(Mutation::ContractNotChecked) {
        (None, None)
    } else {
        (in_flight, key)
    }
}

/// A claim is handed out without its intent on disk.
pub(crate) fn claim_is_lost() -> bool {
    is(Mutation::ClaimNotWritten)
}

/// Calls that the token bucket is not emptied by.
pub(crate) fn taken(calls: usize) -> usize {
    if is(Mutation::RateNotKept) { 0 } else { calls }
}

/// A commit that forgets the history, the calls, the totals, or the money in these.
pub(crate) fn batch<E, A>(
    mut events: Vec<E>,
    attempts: &[A],
    mut totals: Vec<TotalLine>,
) -> (Vec<E>, &[A], Vec<TotalLine>) {
    if is(Mutation::EventsNotKept) {
        events.clear();
    }
    if is(Mutation::TotalsNotKept) {
        totals.clear();
    }
    if is(Mutation::MoneyNotCounted) {
        totals.iter_mut().for_each(|total| total.minor = 0);
    }
    let attempts = if is(Mutation::AttemptsNotKept) {
        &[]
    } else {
        attempts
    };
    (events, attempts, totals)
}

/// Refunds may exceed the payment.
pub(crate) fn exceeds(exceeds: bool) -> bool {
    exceeds && !is(Mutation::RefundSumNotChecked)
}

/// The sum of a payment's other refunds, how many are under way, and how many are unknown: without
/// those that are unknown.
pub(crate) async fn other_refunds(
    tx: &mut WriteTx,
    others: (i64, i64, i64),
    (payment, item): (&[u8], i64),
) -> Result<(i64, i64, i64), LedgerError> {
    if !is(Mutation::RefundSumForgetsUnknown) {
        return Ok(others);
    }
    let sum: i64 = sqlx::query_scalar(
        "select cast(coalesce(sum(amount), 0) as bigint) from items \
         where refunded_payment = $1 and id <> $2 and state in ('sending', 'succeeded')",
    )
    .bind(payment.to_vec())
    .bind(item)
    .fetch_one(tx.connection())
    .await
    .map_err(|source| LedgerError::of("summing refunds", source))?;
    Ok((sum, 0, 0))
}

/// Items have the version that a move was made of, and nothing of what came after it.
pub(crate) async fn force_versions(
    tx: &mut WriteTx,
    items: &str,
    events: &str,
) -> Result<(), LedgerError> {
    if !is(Mutation::VersionNotChecked) {
        return Ok(());
    }
    // The lists go by position: the item comes first, its version second.
    let later = "from json_each($1) as m where m.value ->> 0 = item_id and m.value ->> 1 = version";
    let steps = [
        ("update items set version = m.value ->> 1 from json_each($1) as m where items.id = m.value ->> 0".to_owned(), items),
        (format!("delete from events where exists (select 1 {later})"), events),
        (format!("delete from attempts where exists (select 1 {later})"), events),
    ];
    for (step, lines) in steps {
        sqlx::query(sqlx::AssertSqlSafe(step))
            .bind(lines.to_owned())
            .execute(tx.connection())
            .await
            .map_err(|source| LedgerError::of("forcing versions", source))?;
    }
    Ok(())
}

/// Whether nothing is there to end: jobs with unknown items end too.
pub(crate) fn is_idle(is_idle: bool) -> bool {
    is_idle && !is(Mutation::EndsWithUnknown)
}

/// Ends jobs whose items are at rest or unknown.
pub(crate) async fn end_jobs(tx: &mut WriteTx, now: Timestamp) -> Result<(), LedgerError> {
    if !is(Mutation::EndsWithUnknown) {
        return Ok(());
    }
    sqlx::query(
        "update jobs set finished_at = $1 where finished_at is null and started = 1 and planned = 1 and not exists \
           (select 1 from totals as t where t.job_id = jobs.id and t.items > 0 and t.state in ('planned', 'sending', 'pending'))",
    )
    .bind(now.millis())
    .execute(tx.connection())
    .await
    .map_err(|source| LedgerError::of("ending jobs", source))?;
    Ok(())
}
