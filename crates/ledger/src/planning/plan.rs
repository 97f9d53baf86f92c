//! Planning: a run, its jobs and its items, all or none, streamed in chunks, so that memory stays
//! flat. It is one transaction, or a row of short ones of which nothing is seen before the last
//! (`planning/plan_steps.rs`).
//!
//! A key that is there already makes no second item: the row is kept as `skipped` and points at the
//! item that has the key, or as `rejected` if it says something else under the same key, or stands
//! twice in its own run.

use crate::db::stored;
use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::Ledger;
use crate::approvals::approval_batch::{NewApproval, ask};
use crate::contracts::withdraw_what_has_ended;
use crate::db::location::DbKind;
use crate::db::write_tx::WriteTx;
use crate::error::LedgerError;
use crate::items::item_rows::{ChangeBatch, ItemChange, ItemRecord, TotalsDelta, amount_of, list};
use crate::planning::plan_steps::PlanSteps;
use payrun_domain::actor::Actor;
use payrun_domain::history::EventKind;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::{Move, State};
use payrun_domain::money::Amount;
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;

/// A run to be planned.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The workflow's name.
    pub workflow: String,
    /// Which firing of it.
    pub occurrence: String,
    /// The workflow file.
    pub source: String,
    /// Its path in the workflows folder; none if it comes from elsewhere.
    pub file: Option<String>,
    /// Its parameters, a JSON object.
    pub params: String,
    /// The instant it is for.
    pub at: Timestamp,
    /// The wall clock of `at`.
    pub timezone: String,
    /// Who starts it, and can never approve it.
    pub author: Actor,
    /// When.
    pub now: Timestamp,
}

/// A job to be planned.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its name in the workflow.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The gateway account, by its name.
    pub lane: String,
    /// The account as the gateway tells accounts apart.
    pub account: String,
    /// The jobs that must have ended before it starts.
    pub needs: Vec<String>,
    /// Its policies.
    pub policy: Policy,
    /// A slower rate than the lane's.
    pub rate: Option<Rate>,
    /// A smaller concurrency than the lane's.
    pub concurrency: Option<u32>,
    /// Whether its items are planned with the run; else when the jobs it takes them from have
    /// ended.
    pub at_once: bool,
}

/// A job whose items can be planned now, and what its run was planned with.
#[derive(Debug, Clone)]
pub struct DependentJob {
    /// The job.
    pub id: i64,
    /// Its name in the workflow.
    pub name: String,
    /// Its run.
    pub run_id: i64,
    /// Which firing of the workflow.
    pub occurrence: String,
    /// The workflow file as it was planned.
    pub source: String,
    /// The run's parameters, a JSON object.
    pub params: String,
    /// The instant the run is for.
    pub at: Timestamp,
    /// The wall clock of `at`.
    pub timezone: String,
}

/// An item to be planned.
#[derive(Debug, Clone)]
pub struct NewItem {
    /// Its line in the file.
    pub line: u64,
    /// What may happen at most once.
    pub key: String,
    /// The key's fingerprint in its scope.
    pub key_hash: KeyHash,
    /// Fingerprint of what must be equal where the key is.
    pub content_hash: KeyHash,
    /// Fingerprint of what may be in flight once at a time.
    pub exclusive_key: Option<KeyHash>,
    /// The order number the user gave.
    pub custom_order_no: Option<OrderNumber>,
    /// Its amount.
    pub amount: Option<Amount>,
    /// Whether other rows stand for it too, so that none of them says it twice.
    pub shared: bool,
    /// Its checked fields, a JSON object.
    pub input: String,
    /// Whether it does again what failed, with other content.
    pub again: ReplacementCheck,
}

/// Whether an item does again what another one with its key did not bring about.
#[derive(Debug, Clone)]
pub enum ReplacementCheck {
    /// Its kind never does that.
    Never,
    /// Its kind does, and it is no such item.
    Possible,
    /// Its kind does, and the item that has its key says something else (another buyer) and cannot
    /// be replaced.
    TooLate,
    /// An earlier row of the run has its key with other personal data, which its fingerprint does
    /// not cover.
    Contradicts,
    /// It is one.
    Replaces(Box<ReplacedItem>),
}

/// What an item does again with other content, under the next generation of its key.
#[derive(Debug, Clone)]
pub struct ReplacedItem {
    /// The item of before.
    pub earlier: EarlierItem,
    /// Whether all that makes it the same thing is as it was.
    pub same_terms: bool,
}

impl ReplacedItem {
    /// The fact of an item's result that names the item it files again.
    pub const FACT: &str = "files_again";
    /// The fact that says whether its terms are the same.
    pub const SAME_TERMS: &str = "same_terms";
    /// The fact of the item of before that names the one that files it again.
    pub const BY: &str = "filed_again_as";

    fn result(&self) -> String {
        json!({ Self::FACT: self.earlier.stored.id, Self::SAME_TERMS: self.same_terms }).to_string()
    }
}

/// The item that files this one again with other content, as its result says.
///
/// # Errors
/// [`LedgerError::Corrupt`] if the result cannot be read.
pub fn filed_again_as(item: i64, result: Option<&str>) -> Result<Option<i64>, LedgerError> {
    let Some(result) = result.filter(|result| result.contains(ReplacedItem::BY)) else {
        return Ok(None);
    };
    let result: serde_json::Value =
        serde_json::from_str(result).map_err(|_| LedgerError::corrupt("items", item, "result"))?;
    Ok(result
        .get(ReplacedItem::BY)
        .and_then(serde_json::Value::as_i64))
}

/// An item that has a key already, with its content.
#[derive(Debug, Clone)]
pub struct EarlierItem {
    stored: ItemRecord,
    run_id: i64,
    content_hash: Option<KeyHash>,
    reason: Option<String>,
    pruned: bool,
}

impl EarlierItem {
    /// Its run.
    pub const fn run_id(&self) -> i64 {
        self.run_id
    }

    /// Its key.
    pub const fn key(&self) -> KeyHash {
        self.stored.key
    }

    /// Its checked fields, a JSON object.
    pub fn input(&self) -> &str {
        &self.stored.input
    }

    /// Its amount.
    pub const fn amount(&self) -> Option<Amount> {
        self.stored.amount
    }

    /// Fingerprint of what must be equal where the key is.
    pub const fn content_hash(&self) -> Option<KeyHash> {
        self.content_hash
    }

    /// Whether its content is no longer kept.
    pub const fn is_pruned(&self) -> bool {
        self.pruned
    }

    /// Whether nothing of it is under way, and nobody has withdrawn it: it has failed, or only a
    /// person could say more.
    pub const fn can_be_replaced(&self) -> bool {
        matches!(self.stored.item.state, State::Failed | State::NeedsReview)
            && self.stored.withdrawn.is_none()
    }
}

/// Why a row makes no item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// Its line in the file.
    pub line: u64,
    /// Its key, where it has one.
    pub key: String,
    /// `rejected` or `skipped`.
    pub state: State,
    /// Why, in a sentence.
    pub reason: String,
    /// The item that has the key.
    pub duplicate_of: Option<i64>,
    /// Whether somebody should hear of it at once: the same key with other content.
    pub alarming: bool,
    /// Its amount, where it is known.
    pub amount: Option<Amount>,
    /// Whether it had been planned by this plan, before a later row contradicted it.
    pub was_planned: bool,
    /// Whether it is skipped though it says something else than the item that has its key, such as
    /// another buyer.
    pub is_changed: bool,
}

/// A plan under way: nothing of it is seen by anybody until it is committed.
#[derive(Debug)]
pub struct PlanWriter {
    pub(crate) ledger: Ledger,
    /// There, but between two commits of a plan that is made in several.
    pub(crate) tx: Option<WriteTx>,
    /// Of a plan that is made in several commits.
    pub(crate) steps: Option<PlanSteps>,
    run_id: i64,
    now: Timestamp,
    shifts: TotalsDelta,
    /// The newest item of before, once a period of a contract has been noted.
    before_periods: Option<i64>,
    /// Keys under which rows of this plan say different things, and the first line that has one.
    contradicted: HashMap<KeyHash, u64>,
}

impl Ledger {
    /// Begins to plan a run.
    ///
    /// # Errors
    /// [`LedgerError::RunExists`] if this occurrence has been planned.
    pub async fn plan(&self, run: NewRun) -> Result<PlanWriter, LedgerError> {
        self.clear_dead_plans().await?;
        let mut tx = WriteTx::take_long(&self.write, "planning a run").await?;
        let Some(run_id) = insert_run(&mut tx, None, &run).await? else {
            tx.rollback().await?;
            return Err(LedgerError::RunExists {
                workflow: run.workflow,
                occurrence: run.occurrence,
            });
        };
        Ok(PlanWriter::new(self, Some(tx), run_id, run.now))
    }

    /// Jobs that have started and are not planned: those they take their items from have ended.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn late_jobs(&self) -> Result<Vec<DependentJob>, LedgerError> {
        let failed = |source| LedgerError::of("looking for jobs to plan", source);
        let query = "select j.id, j.name, j.run_id, r.occurrence, r.source, r.params, coalesce(r.at, r.started_at) as at, \
                     coalesce(r.timezone, 'UTC') as timezone from jobs as j join runs as r on r.id = j.run_id \
                     where j.planned = 0 and j.started = 1 and j.finished_at is null order by j.run_id limit 100";
        let rows = sqlx::query(query)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let late = |row: &AnyRow| {
            Ok(DependentJob {
                id: row.try_get("id")?,
                name: row.try_get("name")?,
                run_id: row.try_get("run_id")?,
                occurrence: row.try_get("occurrence")?,
                source: row.try_get("source")?,
                params: row.try_get("params")?,
                at: Timestamp::from_millis(row.try_get("at")?),
                timezone: row.try_get("timezone")?,
            })
        };
        rows.iter()
            .map(late)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Begins to plan a job of a run that was planned before; none if somebody else has done it
    /// meanwhile.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn plan_late(
        &self,
        job: &DependentJob,
        now: Timestamp,
    ) -> Result<Option<PlanWriter>, LedgerError> {
        let failed = |source| LedgerError::of("beginning to plan a job", source);
        let mut tx = WriteTx::take_long(&self.write, "planning a job").await?;
        // Whoever else is at it holds the row until its plan has ended.
        let mine =
            sqlx::query("update jobs set planned = 0 where id = $1 and planned = 0").bind(job.id);
        if mine
            .execute(tx.connection())
            .await
            .map_err(failed)?
            .rows_affected()
            == 0
        {
            tx.rollback().await?;
            return Ok(None);
        }
        Ok(Some(PlanWriter::new(self, Some(tx), job.run_id, now)))
    }
}

/// Numbers that a run and a job have in a file: also behind those that a plan under way has.
const NEXT_RUN: &str = "(select 1 + max(coalesce((select max(id) from runs), 0), \
    coalesce((select max(run_id) from unfinished_plans), 0)))";
const NEXT_JOB: &str = "(select 1 + max(coalesce((select max(id) from jobs), 0), \
    coalesce((select max(last_job) from unfinished_plans), 0)))";

/// The number of a new row, as SQL: the one that it has been given, or the next.
fn number(engine: DbKind, given: Option<i64>, next: &str) -> String {
    match (given, engine) {
        (Some(id), _) => id.to_string(),
        (None, DbKind::Sqlite) => next.to_owned(),
        (None, DbKind::Postgres) => "default".to_owned(),
    }
}

/// Makes a run; none if there is one of this occurrence.
pub(crate) async fn insert_run(
    tx: &mut WriteTx,
    id: Option<i64>,
    run: &NewRun,
) -> Result<Option<i64>, LedgerError> {
    let id = number(tx.engine(), id, NEXT_RUN);
    let insert = format!(
        "insert into runs (id, workflow, occurrence, source, params, started_at, at, timezone, author, author_user, file) \
         values ({id}, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (workflow, occurrence) do nothing returning id"
    );
    sqlx::query_scalar(AssertSqlSafe(insert))
        .bind(&run.workflow)
        .bind(&run.occurrence)
        .bind(&run.source)
        .bind(&run.params)
        .bind(run.now.millis())
        .bind(run.at.millis())
        .bind(&run.timezone)
        .bind(run.author.name())
        .bind(run.author.user())
        .bind(&run.file)
        .fetch_optional(tx.connection())
        .await
        .map_err(|source| LedgerError::of("beginning a plan", source))
}

/// Makes a job; returns its id.
pub(crate) async fn insert_job(
    tx: &mut WriteTx,
    id: Option<i64>,
    run_id: i64,
    job: &NewJob,
) -> Result<i64, LedgerError> {
    let (needs, policy) = (
        list(&job.needs),
        serde_json::to_string(&job.policy).unwrap_or_default(),
    );
    let id = number(tx.engine(), id, NEXT_JOB);
    let insert = format!(
        "insert into jobs (id, run_id, name, kind, lane, needs, policy, rate_calls, rate_per, concurrency, started, planned, \
           account) \
         values ({id}, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) returning id"
    );
    sqlx::query_scalar(AssertSqlSafe(insert))
        .bind(run_id)
        .bind(&job.name)
        .bind(&job.kind)
        .bind(&job.lane)
        .bind(needs)
        .bind(policy)
        .bind(job.rate.map(|rate| i64::from(rate.calls)))
        .bind(
            job.rate
                .map(|rate| i64::try_from(rate.per.as_millis()).unwrap_or(i64::MAX)),
        )
        .bind(job.concurrency.map(i64::from))
        .bind(i64::from(job.needs.is_empty()))
        .bind(i64::from(job.at_once))
        .bind(&job.account)
        .fetch_one(tx.connection())
        .await
        .map_err(|source| LedgerError::of("planning a job", source))
}

/// A job has been planned: its items have these numbers.
pub(crate) async fn job_is_planned(
    tx: &mut WriteTx,
    id: i64,
    (first, last): (i64, i64),
    failure: Option<(FailureCode, &str)>,
) -> Result<(), LedgerError> {
    sqlx::query(
        "update jobs set planned = 1, first_item = $2, last_item = $3, failure_code = $4, failure = $5 where id = $1",
    )
    .bind(id)
    .bind(first)
    .bind(last)
    .bind(failure.map(|(code, _)| code.as_str()))
    .bind(failure.map(|(_, why)| why))
    .execute(tx.connection())
    .await
    .map(|_| ())
    .map_err(|source| LedgerError::of("planning a job", source))
}

impl PlanWriter {
    /// The run's id, if it is committed.
    pub const fn run_id(&self) -> i64 {
        self.run_id
    }

    pub(crate) fn new(ledger: &Ledger, tx: Option<WriteTx>, run_id: i64, now: Timestamp) -> Self {
        Self {
            ledger: ledger.clone(),
            tx,
            steps: None,
            run_id,
            now,
            shifts: TotalsDelta::default(),
            before_periods: None,
            contradicted: HashMap::new(),
        }
    }

    /// The transaction; a plan that is made in several begins the next one.
    pub(crate) async fn write_tx(&mut self) -> Result<&mut WriteTx, LedgerError> {
        if let (None, Some(steps)) = (&self.tx, &mut self.steps) {
            let mut tx = WriteTx::begin(&self.ledger.write, "planning a run").await?;
            steps.begin(&mut tx).await?;
            self.tx = Some(tx);
        }
        Ok(self
            .tx
            .as_mut()
            .expect("a plan in one transaction has it until it ends"))
    }

    /// Adds a job; returns its id.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn job(&mut self, job: NewJob) -> Result<i64, LedgerError> {
        if let Some(steps) = &mut self.steps {
            return Ok(steps.job(job));
        }
        let run_id = self.run_id;
        insert_job(self.write_tx().await?, None, run_id, &job).await
    }

    /// Ends the planning of a job whose items are those behind `before`, or which has none because
    /// it could not be planned.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn job_planned(
        &mut self,
        job_id: i64,
        before: i64,
        failure: Option<(FailureCode, &str)>,
    ) -> Result<(), LedgerError> {
        self.step().await?;
        if let Some(steps) = &mut self.steps {
            steps.job_planned(job_id, before, failure);
            return Ok(());
        }
        let last = self.newest_item().await?;
        job_is_planned(self.write_tx().await?, job_id, (before + 1, last), failure).await
    }

    /// Holds all items of a job, which has been planned by now, until they are approved as they
    /// are.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn hold(&mut self, job_id: i64, approval: &NewApproval) -> Result<(), LedgerError> {
        if self.steps.is_some() {
            self.hold_in_steps(job_id, approval).await?;
        } else {
            let now = self.now;
            ask(self.write_tx().await?, job_id, approval, now).await?;
        }
        self.shifts.hold(job_id);
        Ok(())
    }

    /// Adds items of a job. Returns those that were refused, with the reason; they are kept as
    /// such.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn items(
        &mut self,
        job_id: i64,
        items: &[NewItem],
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        #[cfg(feature = "mutation")]
        let items = &crate::mutation::keyed(items)[..];
        let mut refused = Vec::new();
        let mut first_with: HashMap<KeyHash, &NewItem> = HashMap::with_capacity(items.len());
        for item in items {
            let first = first_with.get(&item.key_hash).copied();
            match (self.contradicted.get(&item.key_hash), first) {
                (Some(line), _) => refused.push(contradicts(item, *line)),
                (None, Some(first))
                    if first.content_hash == item.content_hash && !item.contradicts() =>
                {
                    refused.push(duplicate_in_run(item, first.line))
                }
                // Which of them is meant, nobody can tell.
                (None, Some(first)) => {
                    self.contradicted.insert(item.key_hash, first.line);
                    refused.extend([contradicts(first, item.line), contradicts(item, first.line)]);
                }
                (None, None) => {
                    first_with.insert(item.key_hash, item);
                }
            }
        }
        let is_first = |item: &&NewItem| {
            let first = first_with
                .get(&item.key_hash)
                .is_some_and(|first| std::ptr::eq(*first, *item));
            first && !self.contradicted.contains_key(&item.key_hash)
        };
        let fresh: Vec<&NewItem> = items.iter().filter(is_first).collect();
        if self.steps.is_none() {
            self.waits_for_another(items).await?;
        }
        let before = self.newest_item().await?;
        let inserted = self.insert(job_id, &fresh).await?;
        let all_new = inserted == fresh.len() as u64;
        let holders = if all_new {
            HashMap::new()
        } else {
            self.holders(&fresh).await?
        };
        let mut replacing = Vec::new();
        for item in fresh {
            match holders.get(&item.key_hash) {
                // Somebody else may plan at the same time: only what is of this job and new was
                // made just now.
                Some(holder)
                    if holder.id <= before
                        && holder.job_id == job_id
                        && holder.contradicts(item) =>
                {
                    self.contradicted.insert(item.key_hash, holder.first_line());
                    refused.extend([
                        self.reject_first(holder, item).await?,
                        contradicts(item, holder.first_line()),
                    ]);
                }
                Some(holder) if holder.id <= before || holder.job_id != job_id => {
                    refused.push(holder.refuse(item, self.run_id))
                }
                None if !all_new => refused.push(number_taken(item)),
                Some(_) | None => {
                    self.shifts.add(job_id, item.amount, State::Planned, 1);
                    replacing.extend(item.again.replaces().map(|of| (item.key_hash, of)));
                }
            }
        }
        self.note_replaced(&replacing).await?;
        let (kept, new): (Vec<RejectedRow>, Vec<RejectedRow>) =
            refused.into_iter().partition(|refusal| refusal.was_planned);
        self.refuse(job_id, &new).await?;
        Ok(new.into_iter().chain(kept).collect())
    }

    /// Which items have these keys by now, with their content.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn earlier(
        &mut self,
        keys: &[KeyHash],
    ) -> Result<HashMap<KeyHash, EarlierItem>, LedgerError> {
        let failed = |source| LedgerError::of("reading what has a key already", source);
        let keys: Vec<String> = keys.iter().map(|key| hex(*key)).collect();
        // The jobs of a plan in several commits have no rows yet.
        let query = "select i.*, coalesce(j.run_id, $2) as run_id, j.pruned_to from json_each($1) as k cross join items as i \
                     left join jobs as j on j.id = i.job_id where i.key_hash = unhex(k.atom)";
        let own = self.run_id;
        let rows = sqlx::query(query)
            .bind(list(&keys))
            .bind(own)
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        let read = |row: &AnyRow| {
            let stored = ItemRecord::read(row)?;
            let content_hash: Option<&[u8]> = row.try_get("content_hash").map_err(failed)?;
            let pruned: Option<i64> = row.try_get("pruned_to").map_err(failed)?;
            let earlier = EarlierItem {
                run_id: row.try_get("run_id").map_err(failed)?,
                content_hash: content_hash.and_then(KeyHash::from_bytes),
                reason: row.try_get("reason").map_err(failed)?,
                pruned: pruned.is_some_and(|to| to >= stored.id),
                stored,
            };
            Ok((earlier.key(), earlier))
        };
        rows.iter().map(read).collect()
    }

    /// Notes with the items of before which items do them again: nobody may have them tried again
    /// then.
    async fn note_replaced(
        &mut self,
        replacing: &[(KeyHash, &ReplacedItem)],
    ) -> Result<(), LedgerError> {
        if replacing.is_empty() {
            return Ok(());
        }
        let keys: Vec<KeyHash> = replacing.iter().map(|(key, _)| *key).collect();
        let new = self.earlier(&keys).await?;
        let mut noted = Vec::with_capacity(replacing.len());
        for (key, of) in replacing {
            let Some(by) = new.get(key).map(|new| new.stored.id) else {
                continue;
            };
            let EarlierItem { stored, reason, .. } = &of.earlier;
            let mut result = stored.facts.clone();
            result.insert(ReplacedItem::BY.to_owned(), by.into());
            let reason = format!(
                "{}; filed again with other content as item {by}",
                reason.as_deref().unwrap_or("failed")
            );
            let moved = Move::noted(&stored.item, reason);
            noted.push((stored, moved, serde_json::Value::Object(result).to_string()));
        }
        let written: Vec<ItemChange<'_>> = noted
            .iter()
            .map(|(stored, moved, result)| ItemChange {
                stored,
                event: EventKind::FiledAgain,
                moved,
                lease: None,
                result: Some(result),
                at: self.now,
            })
            .collect();
        if ChangeBatch::of(&written, &[])?
            .execute(self.write_tx().await?)
            .await?
        {
            return Ok(());
        }
        let what =
            "an item changed while a file was planned that files it again; plan the file once more";
        Err(LedgerError::Inconsistent {
            what: what.to_owned(),
        })
    }

    /// Takes note of rows that cannot be read but for their keys. A row of the job with such a key
    /// may not be the one that is meant: what was planned of it is refused after all, and so is
    /// what is still to come.
    ///
    /// # Errors
    /// Whatever the database says; then the plan must be abandoned.
    pub async fn unreadable(
        &mut self,
        job_id: i64,
        rows: &[(KeyHash, u64)],
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        for (key, line) in rows {
            self.contradicted.entry(*key).or_insert(*line);
        }
        let failed = |source| LedgerError::of("refusing a row that another contradicts", source);
        let keys: Vec<String> = rows.iter().map(|(key, _)| hex(*key)).collect();
        let reject = include_str!("reject_contradicted.sql");
        let reason = "another row of the file has this key and cannot be read: neither is sent; leave the right one alone in the file";
        let rejected = sqlx::query(reject)
            .bind(list(&keys))
            .bind(job_id)
            .bind(reason);
        let rejected = rejected
            .fetch_all(self.connection().await?)
            .await
            .map_err(failed)?;
        let mut refusals = Vec::with_capacity(rejected.len());
        for row in &rejected {
            let amount = amount_of(row, row.try_get("id").map_err(failed)?)?;
            self.shifts.add(job_id, amount, State::Planned, -1);
            self.shifts.add(job_id, amount, State::Rejected, 1);
            refusals.push(RejectedRow {
                line: stored::unsigned(
                    row.try_get("line").map_err(failed)?,
                    (
                        "items",
                        &row.try_get::<i64, _>("id").map_err(failed)?,
                        "line",
                    ),
                )?,
                key: row.try_get("key").map_err(failed)?,
                state: State::Rejected,
                reason: reason.to_owned(),
                duplicate_of: None,
                alarming: false,
                amount,
                was_planned: true,
                is_changed: false,
            });
        }
        Ok(refusals)
    }

    /// The row of this job that has a key which a later row contradicts is not planned after all.
    /// Nobody has seen it yet.
    async fn reject_first(
        &mut self,
        holder: &ExistingKey,
        item: &NewItem,
    ) -> Result<RejectedRow, LedgerError> {
        let first = NewItem {
            line: holder.first_line(),
            amount: holder.amount,
            ..item.clone()
        };
        let refusal = RejectedRow {
            was_planned: true,
            ..contradicts(&first, item.line)
        };
        let reject = "update items set state = 'rejected', reason = $2, next_at = null, key_hash = null, content_hash = null, \
                        exclusive_key = null, order_no = null, custom_order_no = null, input = '{}' where id = $1";
        let rejected = sqlx::query(reject)
            .bind(holder.id)
            .bind(&refusal.reason)
            .execute(self.connection().await?)
            .await;
        rejected
            .map_err(|source| LedgerError::of("refusing a row that another contradicts", source))?;
        self.shifts
            .add(holder.job_id, holder.amount, State::Planned, -1);
        self.shifts
            .add(holder.job_id, holder.amount, State::Rejected, 1);
        Ok(refusal)
    }

    /// Keeps rows that were refused.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn refuse(
        &mut self,
        job_id: i64,
        refusals: &[RejectedRow],
    ) -> Result<(), LedgerError> {
        #[cfg(feature = "mutation")]
        if crate::mutation::rows_are_dropped() {
            return Ok(());
        }
        if refusals.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = refusals
            .iter()
            .map(|refusal| {
                self.shifts.add(job_id, refusal.amount, refusal.state, 1);
                json!({
                    "job_id": job_id,
                    "line": refusal.line,
                    "key": refusal.key,
                    "state": refusal.state.as_str(),
                    "reason": refusal.reason,
                    "duplicate_of": refusal.duplicate_of,
                    "amount": refusal.amount.map(Amount::minor),
                    "currency": refusal.amount.map(|amount| amount.currency().code()),
                })
            })
            .collect();
        sqlx::query(include_str!("keep_refused_rows.sql"))
            .bind(list(&rows))
            .execute(self.connection().await?)
            .await
            .map_err(|source| LedgerError::of("keeping refused rows", source))?;
        Ok(())
    }

    /// Makes the plan real; returns the run's id.
    ///
    /// # Errors
    /// Whatever the database says; then nothing was planned.
    pub async fn commit(mut self) -> Result<i64, LedgerError> {
        let made = self.make().await;
        if let Some(steps) = self.steps.take() {
            match &made {
                Ok(()) => steps.end_lock(),
                Err(_) => {
                    self.end_turn().await?;
                    steps.give_up(&self.ledger).await;
                }
            }
        }
        made?;
        self.ledger.woken.notify_waiters();
        Ok(self.run_id)
    }

    async fn make(&mut self) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of("committing a plan", source);
        let totals = list(&std::mem::take(&mut self.shifts).lines());
        self.step().await?;
        self.write_tx().await?.acquire_write_lock().await?;
        if let Some(before) = self.before_periods {
            self.look_at_holders(before).await?;
        }
        if let (Some(steps), Some(tx)) = (&self.steps, &mut self.tx) {
            steps.finish(tx).await?;
        }
        sqlx::query(SHIFT_TOTALS)
            .bind(totals)
            .execute(self.connection().await?)
            .await
            .map_err(failed)?;
        let (run_id, now) = (self.run_id, self.now);
        withdraw_what_has_ended(self.write_tx().await?, run_id, now, now).await?;
        if self.steps.is_some() {
            payrun_system::failpoint::hit("plan_step");
        }
        self.tx
            .take()
            .expect("the transaction that was just begun")
            .commit_and_tell()
            .await?;
        if self.steps.is_some() {
            payrun_system::failpoint::hit("plan_step");
        }
        Ok(())
    }

    /// The connection, within the plan's transaction.
    pub(crate) async fn connection(&mut self) -> Result<&mut AnyConnection, LedgerError> {
        Ok(self.write_tx().await?.connection())
    }

    /// When this is planned.
    pub(crate) const fn now(&self) -> Timestamp {
        self.now
    }

    /// Periods of contracts are noted from here on: which item is the newest of before is
    /// remembered.
    pub(crate) async fn periods_begin(&mut self) -> Result<(), LedgerError> {
        if self.before_periods.is_none() {
            self.before_periods = Some(self.newest_item().await?);
        }
        Ok(())
    }

    /// Leaves everything as it was before.
    ///
    /// # Errors
    /// Whatever the database says; nothing was planned all the same.
    pub async fn abandon(mut self) -> Result<(), LedgerError> {
        let ended = self.end_turn().await;
        if let Some(steps) = self.steps.take() {
            steps.give_up(&self.ledger).await;
        }
        ended
    }

    async fn end_turn(&mut self) -> Result<(), LedgerError> {
        match self.tx.take() {
            Some(tx) => tx.rollback().await,
            None => Ok(()),
        }
    }

    /// The newest item of all; zero if there is none.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn newest_item(&mut self) -> Result<i64, LedgerError> {
        let failed = |source| LedgerError::of("planning items", source);
        let row = sqlx::query("select coalesce(max(id), 0) from items")
            .fetch_one(self.connection().await?)
            .await
            .map_err(failed)?;
        row.try_get(0).map_err(failed)
    }

    async fn insert(&mut self, job_id: i64, items: &[&NewItem]) -> Result<u64, LedgerError> {
        let due = self.now.millis();
        let rows: Vec<_> = items
            .iter()
            .map(|item| PlannedLine {
                line: item.line,
                key: &item.key,
                key_hash: hex(item.key_hash),
                content_hash: hex(item.content_hash),
                exclusive_key: item.exclusive_key.map(hex),
                order_no: item
                    .custom_order_no
                    .clone()
                    .unwrap_or_else(|| OrderNumber::derive(item.key_hash, 1)),
                custom_order_no: item.custom_order_no.as_ref(),
                amount: item.amount.map(Amount::minor),
                currency: item.amount.map(|amount| amount.currency().code()),
                input: &item.input,
                result: item.again.replaces().map(ReplacedItem::result),
            })
            .collect();
        let inserted = sqlx::query(include_str!("plan_items.sql"))
            .bind(list(&rows))
            .bind(job_id)
            .bind(due)
            .execute(self.connection().await?)
            .await
            .map_err(|source| LedgerError::of("planning items", source))?;
        Ok(inserted.rows_affected())
    }

    /// Who has the keys of these items by now.
    async fn holders(
        &mut self,
        items: &[&NewItem],
    ) -> Result<HashMap<KeyHash, ExistingKey>, LedgerError> {
        let failed = |source| LedgerError::of("looking for keys that were planned before", source);
        let keys: Vec<String> = items.iter().map(|item| hex(item.key_hash)).collect();
        let own = self.run_id;
        let rows = sqlx::query(
            "select i.id, i.job_id, i.key_hash, i.content_hash, i.line, i.state, i.amount, i.currency, \
               coalesce(j.run_id, $2) as run_id from json_each($1) as k \
             cross join items as i left join jobs as j on j.id = i.job_id where i.key_hash = unhex(k.atom)",
        )
        .bind(list(&keys))
        .bind(own)
        .fetch_all(self.connection().await?)
        .await
        .map_err(failed)?;
        let mut holders = HashMap::with_capacity(rows.len());
        for row in rows {
            let key: &[u8] = row.try_get("key_hash").map_err(failed)?;
            let content_hash: &[u8] = row.try_get("content_hash").map_err(failed)?;
            let id = row.try_get("id").map_err(failed)?;
            let holder = ExistingKey {
                id,
                amount: amount_of(&row, id)?,
                job_id: row.try_get("job_id").map_err(failed)?,
                run_id: row.try_get("run_id").map_err(failed)?,
                line: row.try_get("line").map_err(failed)?,
                state: row.try_get("state").map_err(failed)?,
                content_hash: KeyHash::from_bytes(content_hash),
            };
            if let Some(key) = KeyHash::from_bytes(key) {
                holders.insert(key, holder);
            }
        }
        Ok(holders)
    }
}

const SHIFT_TOTALS: &str = "\
    insert into totals (job_id, state, currency, items, minor) \
    select cast(value ->> 'job_id' as bigint), value ->> 'state', value ->> 'currency', cast(value ->> 'items' as bigint), \
      cast(value ->> 'minor' as bigint) \
    from json_each($1)";

/// A new row of `items`, as `planning/plan_items.sql` reads it: the fields go by their names.
#[derive(Debug, Serialize)]
struct PlannedLine<'a> {
    line: u64,
    key: &'a str,
    key_hash: String,
    content_hash: String,
    exclusive_key: Option<String>,
    order_no: OrderNumber,
    custom_order_no: Option<&'a OrderNumber>,
    amount: Option<i64>,
    currency: Option<&'static str>,
    input: &'a str,
    result: Option<String>,
}

/// The item that has a key.
#[derive(Debug)]
struct ExistingKey {
    id: i64,
    job_id: i64,
    run_id: i64,
    line: i64,
    state: String,
    content_hash: Option<KeyHash>,
    amount: Option<Amount>,
}

impl ExistingKey {
    /// Whether it says something else under the same key.
    fn contradicts(&self, item: &NewItem) -> bool {
        self.content_hash != Some(item.content_hash) || item.contradicts()
    }

    /// Whether its order may still be carried out as it was planned.
    fn is_open(&self) -> bool {
        match State::parse(&self.state) {
            Some(
                State::Planned
                | State::AwaitingApproval
                | State::Sending
                | State::Pending
                | State::Unknown
                | State::NeedsReview,
            ) => true,
            Some(
                State::Succeeded
                | State::Failed
                | State::Cancelled
                | State::Rejected
                | State::Skipped,
            )
            | None => false,
        }
    }

    fn first_line(&self) -> u64 {
        u64::try_from(self.line).unwrap_or(0)
    }

    fn refuse(&self, item: &NewItem, run_id: i64) -> RejectedRow {
        if self.run_id == run_id {
            return duplicate_in_run(item, self.first_line());
        }
        let same = self.content_hash == Some(item.content_hash);
        let (run, id, state) = (self.run_id, self.id, &self.state);
        let amount = self
            .amount
            .map(|amount| format!(", {amount}"))
            .unwrap_or_default();
        let open = if self.is_open() {
            ", which is still open and is not changed by this row"
        } else {
            ""
        };
        let reason = if !same && !matches!(item.again, ReplacementCheck::Never) {
            format!(
                "run {run} has this key with other content (item {id}, {state}{amount}){open}; only what has failed or needs review is filed \
                 again with other content (what was accepted: job kind redeclare with way: modify)"
            )
        } else if matches!(item.again, ReplacementCheck::TooLate) {
            format!(
                "run {run} has this key with another buyer or other content beside it (item {id}, {state}): what this row says now is \
                 not filed; only what has failed or needs review is filed again with other content (what was accepted: job kind \
                 redeclare with way: modify, where its gateway takes a buyer; else it cannot be changed there)"
            )
        } else if same {
            let mended = match (&item.again, self.state.as_str()) {
                (ReplacementCheck::Possible, "failed" | "needs_review") => {
                    "; mend the row and give it again: the gateway is asked what it has, and it is filed with the new content"
                }
                _ => "",
            };
            format!("run {run} has this key already (item {id}, {state}){mended}")
        } else {
            format!(
                "run {run} has this key with other content (item {id}, {state}{amount}){open}; give a new key if it is another thing"
            )
        };
        let state = if same {
            State::Skipped
        } else {
            State::Rejected
        };
        let is_changed = same && matches!(item.again, ReplacementCheck::TooLate);
        RejectedRow {
            state,
            reason,
            duplicate_of: Some(self.id),
            alarming: !same,
            is_changed,
            ..refusal_of(item)
        }
    }
}

impl NewItem {
    const fn contradicts(&self) -> bool {
        matches!(self.again, ReplacementCheck::Contradicts)
    }
}

impl ReplacementCheck {
    /// What it does again, if it does.
    pub fn replaces(&self) -> Option<&ReplacedItem> {
        match self {
            Self::Replaces(of) => Some(of),
            Self::Never | Self::Possible | Self::TooLate | Self::Contradicts => None,
        }
    }
}

fn refusal_of(item: &NewItem) -> RejectedRow {
    RejectedRow {
        line: item.line,
        key: item.key.clone(),
        state: State::Rejected,
        reason: String::new(),
        duplicate_of: None,
        alarming: false,
        amount: item.amount,
        was_planned: false,
        is_changed: false,
    }
}

fn contradicts(item: &NewItem, line: u64) -> RejectedRow {
    let reason = format!(
        "the key \"{}\" stands in line {line} too, with other content: neither row is sent; leave the right one alone in the file",
        item.key
    );
    RejectedRow {
        reason,
        ..refusal_of(item)
    }
}

fn duplicate_in_run(item: &NewItem, line: u64) -> RejectedRow {
    let reason = format!("the key \"{}\" stands in line {line} already", item.key);
    // What one row writes out and another stands for is the same thing, done once.
    let state = if item.shared {
        State::Skipped
    } else {
        State::Rejected
    };
    RejectedRow {
        state,
        reason,
        ..refusal_of(item)
    }
}

fn number_taken(item: &NewItem) -> RejectedRow {
    let number = item
        .custom_order_no
        .as_ref()
        .map_or("", OrderNumber::as_str);
    RejectedRow {
        reason: format!("the order number {number} belongs to another item"),
        ..refusal_of(item)
    }
}

/// As text, for `unhex`.
pub(crate) fn hex(hash: KeyHash) -> String {
    hex::encode(hash.as_bytes())
}
