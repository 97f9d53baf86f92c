//! What a lane lets be claimed: its switch and its bucket, what persons have paused and slowed, and
//! the kinds and jobs on it of which nothing is sent at present.

use sqlx::Row;
use sqlx::any::AnyRow;

use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::claim::ClaimRequest;
use crate::items::token_bucket::Tokens;
use crate::lanes::lane_states::{LaneState, rate_of};

/// A lane as it stands in a transaction.
#[derive(Debug)]
pub(super) struct ClaimedLane {
    pub(super) tokens: Tokens,
    /// Whether nothing new may be sent on it.
    pub(super) paused: bool,
    /// Whether some workflows are paused.
    pub(super) some_jobs: bool,
}

impl ClaimedLane {
    /// None if a person has suspended the lane. What payrun stopped sends nothing; it still asks.
    pub(super) async fn read(
        tx: &mut WriteTx,
        request: &ClaimRequest,
    ) -> Result<Option<Self>, LedgerError> {
        let failed = |source| LedgerError::of("reading the lane", source);
        let name = format!("lane:{}", request.lane);
        let row = sqlx::query(include_str!("lane_to_claim_from.sql"))
            .bind(&request.lane)
            .bind(&name)
            .fetch_one(tx.connection())
            .await
            .map_err(failed)?;
        let state: Option<&str> = row.try_get(0).map_err(failed)?;
        let until: Option<i64> = row.try_get(1).map_err(failed)?;
        let is_over = until.is_some_and(|until| until <= request.now.millis());
        let is_stopped = state == Some(LaneState::Stopped.as_str()) && !is_over;
        let is_open = matches!(state, None | Some("open")) || is_stopped || is_over;
        let kept = (
            row.try_get(2).map_err(failed)?,
            row.try_get(3).map_err(failed)?,
        );
        let slowed = rate_of(
            &request.lane,
            row.try_get(4).map_err(failed)?,
            row.try_get(5).map_err(failed)?,
        )?;
        let rate = slowed.map_or(request.rate, |slowed| slowed.slower(request.rate));
        let is_some = |column| {
            row.try_get::<i64, _>(column)
                .map(|count| count > 0)
                .map_err(failed)
        };
        let (paused, some_jobs) = (is_some("paused")? || is_stopped, is_some("workflows")?);
        Ok(is_open.then(|| Self {
            tokens: Tokens::filled(name, rate, kept, request.now),
            paused,
            some_jobs,
        }))
    }
}

/// The kinds of job, and the jobs (`KIND/JOB`), of which nothing is sent on this lane at present;
/// what is open of them is still asked about.
pub(super) async fn closed_kinds(
    tx: &mut WriteTx,
    request: &ClaimRequest,
) -> Result<Vec<String>, LedgerError> {
    let query = "select substr(name, length($1) + 2) from lanes where name > $1 || '/' and name < $1 || '0' \
                 and state <> 'open' and (until is null or until > $2) limit 100";
    let closed = sqlx::query_scalar(query)
        .bind(&request.lane)
        .bind(request.now.millis())
        .fetch_all(tx.connection());
    closed
        .await
        .map_err(|source| LedgerError::of("reading the lane", source))
}

/// The kinds of job of this lane for which our balance was too small until a while ago, and whether
/// an item of each is being sent now. One at a time tries whether it is large enough again.
pub(super) async fn tried_kinds(
    tx: &mut WriteTx,
    request: &ClaimRequest,
) -> Result<Vec<(String, bool)>, LedgerError> {
    let failed = |source| LedgerError::of("reading the lane", source);
    let query = include_str!("kinds_short_of_balance.sql");
    let rows = sqlx::query(query)
        .bind(&request.lane)
        .bind(request.now.millis())
        .fetch_all(tx.connection());
    let rows = rows.await.map_err(failed)?;
    let read = |row: &AnyRow| Ok((row.try_get(0)?, row.try_get::<i64, _>(1)? > 0));
    rows.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(failed)
}

/// The jobs of this lane whose workflows are paused.
pub(super) async fn paused_jobs(
    tx: &mut WriteTx,
    request: &ClaimRequest,
) -> Result<Vec<i64>, LedgerError> {
    let query = "select j.id from pauses as p join runs as r on r.workflow = p.name join jobs as j on j.run_id = r.id \
                 where p.scope = 'workflow' and j.lane = $1 and j.finished_at is null and r.finished_at is null limit 10000";
    let paused = sqlx::query_scalar(query)
        .bind(&request.lane)
        .fetch_all(tx.connection());
    paused
        .await
        .map_err(|source| LedgerError::of("reading what is paused", source))
}
