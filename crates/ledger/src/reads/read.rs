//! Looking into the ledger. Every list has a bound and goes on from a key, never from an offset.

use crate::db::stored::{self, total_currency};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::db::location::DbKind;
use crate::error::LedgerError;
use crate::items::item_rows::amount_of;
use payrun_domain::answer::AnswerKind;
use payrun_domain::history::{AttemptKind, EventKind};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::policy::{Policy, Rate};
use payrun_domain::reason::FailureCode;
use payrun_domain::time::Timestamp;

/// A job whose items a worker may claim.
#[derive(Debug, Clone)]
pub struct OpenJob {
    /// Its id.
    pub id: i64,
    /// Its kind's name.
    pub kind: String,
    /// The gateway account.
    pub lane: String,
    /// The account it was planned for, as the gateway tells accounts apart; none if that was not
    /// kept.
    pub account: Option<String>,
    /// Its policies as they were planned.
    pub policy: Arc<Policy>,
    /// A slower rate than the lane's.
    pub rate: Option<Rate>,
    /// A smaller concurrency than the lane's.
    pub concurrency: Option<u32>,
    /// When something of it is due next, as it was when this was read.
    pub due: Option<Timestamp>,
}

impl OpenJob {
    /// Whether there may be something to claim.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

/// A run.
#[derive(Debug, Clone)]
pub struct RunRow {
    /// Its id.
    pub id: i64,
    /// The workflow's name.
    pub workflow: String,
    /// Which firing of it.
    pub occurrence: String,
    /// When it was planned.
    pub started_at: Timestamp,
    /// When its last item came to rest; none while it is open.
    pub finished_at: Option<Timestamp>,
    /// Who started it; none if that was not kept.
    pub author: Option<String>,
    /// Since when nothing is kept any more of what its items were answered.
    pub pruned_at: Option<Timestamp>,
}

/// A job of a run.
#[derive(Debug, Clone)]
pub struct JobRow {
    /// Its id.
    pub id: i64,
    /// Its run.
    pub run_id: i64,
    /// Its name in the workflow.
    pub name: String,
    /// Its kind's name.
    pub kind: String,
    /// The gateway account.
    pub lane: String,
    /// The account it was planned for, as the gateway tells accounts apart; none if that was not
    /// kept.
    pub account: Option<String>,
    /// When its last item came to rest.
    pub finished_at: Option<Timestamp>,
    /// Why it could not be planned.
    pub failure: Option<String>,
    /// The same for programs.
    pub failure_code: Option<FailureCode>,
}

/// Items that failed or need review, and have keys that another run met again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierProblems {
    /// Their run.
    pub run_id: i64,
    /// Of which kind of job.
    pub kind: String,
    /// `failed` or `needs_review`.
    pub state: State,
    /// How many.
    pub items: u64,
}

/// How many items of a state there are, and how much money they are, in one currency.
#[derive(Debug, Clone)]
pub struct Total {
    /// The job.
    pub job_id: i64,
    /// The state.
    pub state: State,
    /// The currency; none where items have no amount.
    pub currency: Option<Currency>,
    /// How many.
    pub items: u64,
    /// How much, in minor units.
    pub minor: i64,
}

/// What there is to do for some runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// Items that have not come to rest.
    pub open: u64,
    /// When the next of them is due; none if all wait for other jobs.
    pub next_due: Option<Timestamp>,
    /// Items claimed at this moment.
    pub claimed: u64,
}

/// An item as people see it.
#[derive(Debug, Clone)]
pub struct ItemRow {
    /// Its id.
    pub id: i64,
    /// Its job.
    pub job_id: i64,
    /// Its run.
    pub run_id: i64,
    /// The name of its job in the workflow.
    pub job: String,
    /// Its line in the file.
    pub line: i64,
    /// What may happen at most once.
    pub key: String,
    /// The key's fingerprint; none for rows that made no item.
    pub key_hash: Option<KeyHash>,
    /// What the gateway sees.
    pub order_no: Option<String>,
    /// The order number that the user gave.
    pub custom_order_no: Option<String>,
    /// Its version: grows with each move.
    pub version: i64,
    /// Its state.
    pub state: State,
    /// Its amount.
    pub amount: Option<Amount>,
    /// When it is looked at next; none while it is claimed.
    pub next_at: Option<Timestamp>,
    /// While it is claimed: when the claim ends.
    pub lease_until: Option<Timestamp>,
    /// The gateway's number for what it did.
    pub receipt: Option<String>,
    /// Why, where the state alone does not say.
    pub reason: Option<String>,
    /// Who has withdrawn it while it may have been under way, and why.
    pub withdrawn: Option<String>,
    /// When.
    pub withdrawn_at: Option<Timestamp>,
    /// Facts from the reply, a JSON object.
    pub result: Option<String>,
    /// Its checked fields, a JSON object; may hold personal data.
    pub input: String,
    /// The item that has the key.
    pub duplicate_of: Option<i64>,
}

impl ItemRow {
    /// When it is looked at next: when it is due, or when its claim ends.
    pub fn looked_at(&self) -> Option<Timestamp> {
        self.next_at.or(self.lease_until)
    }
}

/// One call and its answer.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// The item's version when it was claimed for this.
    pub version: i64,
    /// A call, or what was told without one.
    pub kind: AttemptKind,
    /// The gateway's operation; where there was no call, the kind.
    pub operation: String,
    /// The number it was about.
    pub order_no: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The answer.
    pub answer: AnswerKind,
    /// The gateway's code, or the cause.
    pub code: String,
    /// The HTTP status.
    pub http: Option<u16>,
    /// Whether it came after the lease had run out, and changed nothing.
    pub late: bool,
    /// What was received.
    pub evidence: String,
}

/// One move.
#[derive(Debug, Clone)]
pub struct EventRow {
    /// The item's version from then on.
    pub version: i64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub event: EventKind,
    /// From which state.
    pub from: String,
    /// To which state.
    pub to: String,
    /// Why.
    pub detail: Option<String>,
    /// What a person should hear of.
    pub alarm: Option<String>,
}

/// Whose job is meant.
#[derive(Debug, Clone, Copy)]
pub enum WhoseJob<'a> {
    /// This run's.
    Run(i64),
    /// Those of all runs of the workflow of this name that began since an instant.
    RunsOf(&'a str, Timestamp),
}

/// Which items are meant.
#[derive(Debug, Clone, Default)]
pub struct ItemFilter {
    /// Of this run.
    pub run_id: Option<i64>,
    /// Of runs of this workflow.
    pub workflow: Option<String>,
    /// Of jobs of this name.
    pub job: Option<String>,
    /// In these states; all if empty.
    pub states: Vec<State>,
    /// With this key.
    pub key: Option<String>,
    /// On this gateway account.
    pub lane: Option<String>,
    /// Whose reason has this text in it, such as a gateway's code.
    pub reason: Option<String>,
}

impl Ledger {
    /// The jobs that a lane's worker may claim from: those with what is due first come first, since
    /// there may be more in dunning than are read.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn open_jobs(&self, lane: &str) -> Result<Vec<OpenJob>, LedgerError> {
        let query = include_str!("open_jobs.sql");
        let query = sqlx::query(query).bind(lane.to_owned());
        let rows = self.rows("listing open jobs", query).await?;
        rows.iter().map(open_job).collect()
    }

    /// Runs, newest first, from before `before` on.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn runs(&self, before: Option<i64>, limit: u32) -> Result<Vec<RunRow>, LedgerError> {
        let query = "select id, workflow, occurrence, started_at, finished_at, author, pruned_at from runs where id < $1 order by id desc limit $2";
        let query = sqlx::query(query)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        self.rows("listing runs", query)
            .await?
            .iter()
            .map(run_row)
            .collect()
    }

    /// Runs that are not finished, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn unfinished_runs(&self) -> Result<Vec<RunRow>, LedgerError> {
        let query = "select id, workflow, occurrence, started_at, finished_at, author, pruned_at from runs \
                     where finished_at is null order by id limit 100000";
        self.rows("listing open runs", sqlx::query(query))
            .await?
            .iter()
            .map(run_row)
            .collect()
    }

    /// One run.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn run(&self, id: i64) -> Result<Option<RunRow>, LedgerError> {
        let query = "select id, workflow, occurrence, started_at, finished_at, author, pruned_at from runs where id = $1";
        self.rows("reading a run", sqlx::query(query).bind(id))
            .await?
            .first()
            .map(run_row)
            .transpose()
    }

    /// The run of an occurrence.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn run_of(
        &self,
        workflow: &str,
        occurrence: &str,
    ) -> Result<Option<RunRow>, LedgerError> {
        let query = "select id, workflow, occurrence, started_at, finished_at, author, pruned_at from runs where workflow = $1 and occurrence = $2";
        let query = sqlx::query(query)
            .bind(workflow.to_owned())
            .bind(occurrence.to_owned());
        self.rows("looking for a run", query)
            .await?
            .first()
            .map(run_row)
            .transpose()
    }

    /// Whether a workflow has ever had a run.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn has_run(&self, workflow: &str) -> Result<bool, LedgerError> {
        let query = sqlx::query("select id from runs where workflow = $1 limit 1")
            .bind(workflow.to_owned());
        Ok(!self.rows("looking for a run", query).await?.is_empty())
    }

    /// The jobs of a run, in the order of the workflow.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs(&self, run_id: i64) -> Result<Vec<JobRow>, LedgerError> {
        let query = "select id, run_id, name, kind, lane, account, finished_at, failure, failure_code from jobs where run_id = $1 order by id limit 1000";
        self.rows("listing jobs", sqlx::query(query).bind(run_id))
            .await?
            .iter()
            .map(job_row)
            .collect()
    }

    /// The totals of a run's jobs, as every commit keeps them.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn totals(&self, run_id: i64) -> Result<Vec<Total>, LedgerError> {
        let query = "select t.job_id, t.state, t.currency, t.items, t.minor from jobs as j \
                     cross join totals as t where t.job_id = j.id and j.run_id = $1 and t.items <> 0 limit 100000";
        self.rows("reading totals", sqlx::query(query).bind(run_id))
            .await?
            .iter()
            .map(total_row)
            .collect()
    }

    /// What did not go well of the items that have the keys of a run's skipped rows: in which run,
    /// and how many of them failed or need review. Of many skipped rows only the first 100,000 are
    /// looked at.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn problems_before(&self, run_id: i64) -> Result<Vec<EarlierProblems>, LedgerError> {
        let failed = |source| {
            LedgerError::of(
                "looking for items that have the keys of skipped rows",
                source,
            )
        };
        let query = include_str!("earlier_problems.sql");
        let rows = self.rows(
            "looking for items that have the keys of skipped rows",
            sqlx::query(query).bind(run_id),
        );
        let read = |row: &AnyRow| {
            let state: &str = row.try_get(1).map_err(failed)?;
            let state = stored::state(state, ("items", &state, "state"))?;
            let items = row.try_get::<i64, _>(2).map_err(failed)?.unsigned_abs();
            let kind = row.try_get(3).map_err(failed)?;
            Ok(EarlierProblems {
                run_id: row.try_get(0).map_err(failed)?,
                kind,
                state,
                items,
            })
        };
        rows.await?.iter().map(read).collect()
    }

    /// What there is to do for a run; the next due item is looked for in these lanes only. Of what
    /// is paused, and of what may only ask (`LANE`, `LANE/KIND` or `LANE/KIND/JOB`), only what is
    /// asked about is due.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn work(
        &self,
        run_id: i64,
        lanes: &BTreeSet<String>,
        only_ask: &BTreeSet<String>,
    ) -> Result<RunProgress, LedgerError> {
        let doing = "looking for work";
        let query = include_str!("run_progress.sql");
        let rows = self
            .rows(
                doing,
                sqlx::query(query)
                    .bind(run_id)
                    .bind(crate::items::item_rows::list(
                        &lanes.iter().collect::<Vec<_>>(),
                    ))
                    .bind(crate::items::item_rows::list(
                        &only_ask.iter().collect::<Vec<_>>(),
                    )),
            )
            .await?;
        let Some(row) = rows.first() else {
            return Ok(RunProgress::default());
        };
        Ok(RunProgress {
            open: unsigned(row, 0, doing)?,
            claimed: unsigned(row, 1, doing)?,
            next_due: row
                .try_get::<Option<i64>, _>(2)
                .map_err(|e| LedgerError::of(doing, e))?
                .map(Timestamp::from_millis),
        })
    }

    /// Jobs of this name, each with its kind: of a run, or of the runs of a workflow.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn jobs_named(
        &self,
        whose: WhoseJob<'_>,
        name: &str,
    ) -> Result<Vec<(i64, String)>, LedgerError> {
        let doing = "looking for a job";
        let query = match whose {
            WhoseJob::Run(run) => {
                sqlx::query("select id, kind from jobs where name = $1 and run_id = $2")
                    .bind(name.to_owned())
                    .bind(run)
            }
            WhoseJob::RunsOf(workflow, since) => sqlx::query(
                "select j.id, j.kind from runs as r join jobs as j on j.run_id = r.id \
                 where j.name = $1 and r.workflow = $2 and r.started_at >= $3 order by j.id",
            )
            .bind(name.to_owned())
            .bind(workflow.to_owned())
            .bind(since.millis()),
        };
        let rows = self.rows(doing, query).await?;
        let failed = |source| LedgerError::of(doing, source);
        let job = |row: &AnyRow| {
            Ok((
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            ))
        };
        rows.iter().map(job).collect()
    }

    /// Items of a job in some states, from behind `after` on, in the order of their ids.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn items_of_job(
        &self,
        job_id: i64,
        states: &[State],
        after: i64,
        limit: u32,
    ) -> Result<Vec<ItemRow>, LedgerError> {
        let states: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
        let query = sqlx::query(
            "select i.*, j.run_id, j.name as job from jobs as j cross join items as i \
             where j.id = $1 and i.id >= coalesce(j.first_item, 0) and i.id > $3 \
               and i.id <= coalesce(j.last_item, 9223372036854775807) and i.job_id = j.id \
               and i.state in (select atom from json_each($2)) order by i.id limit $4",
        );
        let query = query
            .bind(job_id)
            .bind(crate::items::item_rows::list(&states))
            .bind(after)
            .bind(i64::from(limit));
        self.rows("listing the items of a job", query)
            .await?
            .iter()
            .map(item_row)
            .collect()
    }

    /// One item.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn item(&self, id: i64) -> Result<Option<ItemRow>, LedgerError> {
        let query = "select i.*, j.run_id, j.name as job from items as i join jobs as j on j.id = i.job_id where i.id = $1";
        self.rows("reading an item", sqlx::query(query).bind(id))
            .await?
            .first()
            .map(item_row)
            .transpose()
    }

    /// The item a person means by this text: its id, its order number (of any generation), or its
    /// key. Of several rows with a key the one that holds it is meant.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find_item(&self, name: &str) -> Result<Option<ItemRow>, LedgerError> {
        let columns =
            "select i.*, j.run_id, j.name as job from items as i join jobs as j on j.id = i.job_id";
        let by_key_hash = OrderNumber::parse(name)
            .ok()
            .and_then(|number| number.key_hash());
        if let Some(hash) = by_key_hash {
            let query = sqlx::query(AssertSqlSafe(format!("{columns} where i.key_hash = $1")));
            let rows = self
                .rows("finding an item", query.bind(hash.as_bytes().to_vec()))
                .await?;
            if let Some(row) = rows.first() {
                return item_row(row).map(Some);
            }
        }
        let ways = "i.id in (select id from items where id = $1 union select id from items where custom_order_no = $2 \
                      union select id from items where key = $2)";
        let query = sqlx::query(AssertSqlSafe(format!(
            "{columns} where {ways} order by i.id = $1 desc, i.key_hash is null, i.id limit 1"
        )));
        let query = query
            .bind(name.parse::<i64>().unwrap_or(-1))
            .bind(name.to_owned());
        self.rows("finding an item", query)
            .await?
            .first()
            .map(item_row)
            .transpose()
    }

    /// The calls made for an item, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn attempts(&self, item_id: i64) -> Result<Vec<AttemptRow>, LedgerError> {
        let query = "select * from attempts where item_id = $1 order by version, late limit 10000";
        self.rows("reading attempts", sqlx::query(query).bind(item_id))
            .await?
            .iter()
            .map(attempt_row)
            .collect()
    }

    /// The moves of an item, oldest first.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn events(&self, item_id: i64) -> Result<Vec<EventRow>, LedgerError> {
        let query = "select * from events where item_id = $1 order by version limit 10000";
        self.rows("reading events", sqlx::query(query).bind(item_id))
            .await?
            .iter()
            .map(event_row)
            .collect()
    }

    /// Looks for damage: what the database itself finds, and totals that do not add up. Empty if
    /// all is sound.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn check(&self) -> Result<Vec<String>, LedgerError> {
        let doing = "checking the ledger";
        let failed = |source| LedgerError::of(doing, source);
        let mut mistakes = Vec::new();
        let damage = match self.home.engine {
            DbKind::Sqlite => {
                self.rows(doing, sqlx::query("pragma quick_check(10)"))
                    .await?
            }
            // A server looks after its own files (data checksums, amcheck).
            DbKind::Postgres => Vec::new(),
        };
        for row in damage {
            let found: String = row.try_get(0).map_err(failed)?;
            if found != "ok" {
                mistakes.push(found);
            }
        }
        let query = include_str!("wrong_totals.sql");
        for row in self.rows(doing, sqlx::query(query)).await? {
            let (job, word): (i64, String) = (
                row.try_get(0).map_err(failed)?,
                row.try_get(1).map_err(failed)?,
            );
            mistakes.push(format!(
                "the totals of job {job}, {word}, are not what its items add up to"
            ));
        }
        Ok(mistakes)
    }

    /// How often each answer was given in a run, by word and code.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn answers(&self, run_id: i64) -> Result<Vec<(String, String, u64)>, LedgerError> {
        let doing = "counting answers";
        let query = "select a.answer, a.code, count(*) from jobs as j cross join items as i \
                     cross join attempts as a where i.job_id = j.id and a.item_id = i.id and j.run_id = $1 group by 1, 2 order by 3 desc limit 1000";
        let rows = self.rows(doing, sqlx::query(query).bind(run_id)).await?;
        let failed = |source| LedgerError::of(doing, source);
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get(0).map_err(failed)?,
                    row.try_get(1).map_err(failed)?,
                    unsigned(row, 2, doing)?,
                ))
            })
            .collect()
    }

    /// How many moves led from one state to another by one event in a run: `(event, from, to,
    /// moves)`.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn moves(
        &self,
        run_id: i64,
    ) -> Result<Vec<(EventKind, State, State, u64)>, LedgerError> {
        let doing = "counting moves";
        let query = "select e.event, e.from_state, e.to_state, count(*) from jobs as j cross join items as i \
                     cross join events as e where i.job_id = j.id and e.item_id = i.id and j.run_id = $1 group by 1, 2, 3 limit 1000";
        let rows = self.rows(doing, sqlx::query(query).bind(run_id)).await?;
        let event = |row: &AnyRow| {
            let word: &str = row
                .try_get(0)
                .map_err(|source| LedgerError::of(doing, source))?;
            EventKind::parse(word).ok_or_else(|| LedgerError::corrupt("events", word, "event"))
        };
        let state = |row: &AnyRow, column: usize, name: &'static str| {
            let word: &str = row
                .try_get(column)
                .map_err(|source| LedgerError::of(doing, source))?;
            stored::state(word, ("events", &word, name))
        };
        rows.iter()
            .map(|row| {
                Ok((
                    event(row)?,
                    state(row, 1, "from_state")?,
                    state(row, 2, "to_state")?,
                    unsigned(row, 3, doing)?,
                ))
            })
            .collect()
    }

    async fn rows(
        &self,
        doing: &'static str,
        query: sqlx::query::Query<'_, sqlx::Any, sqlx::any::AnyArguments>,
    ) -> Result<Vec<AnyRow>, LedgerError> {
        query
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of(doing, source))
    }
}

fn open_job(row: &AnyRow) -> Result<OpenJob, LedgerError> {
    let failed = |source| LedgerError::of("reading a job", source);
    let id: i64 = row.try_get("id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("jobs", id, column);
    let calls: Option<i64> = row.try_get("rate_calls").map_err(failed)?;
    let per: Option<i64> = row.try_get("rate_per").map_err(failed)?;
    let rate = match (calls.map(u32::try_from), per.map(u64::try_from)) {
        (Some(Ok(calls)), Some(Ok(per))) => Some(Rate {
            calls,
            per: Duration::from_millis(per),
        }),
        (None, None) => None,
        (_, _) => return Err(corrupt("rate")),
    };
    Ok(OpenJob {
        id,
        kind: row.try_get("kind").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
        account: row.try_get("account").map_err(failed)?,
        policy: serde_json::from_str(row.try_get("policy").map_err(failed)?)
            .map(Arc::new)
            .map_err(|_| corrupt("policy"))?,
        rate,
        concurrency: row
            .try_get::<Option<i64>, _>("concurrency")
            .map_err(failed)?
            .map(u32::try_from)
            .transpose()
            .map_err(|_| corrupt("concurrency"))?,
        due: row
            .try_get::<Option<i64>, _>("due")
            .map_err(failed)?
            .map(Timestamp::from_millis),
    })
}

fn run_row(row: &AnyRow) -> Result<RunRow, LedgerError> {
    let failed = |source| LedgerError::of("reading a run", source);
    Ok(RunRow {
        id: row.try_get("id").map_err(failed)?,
        workflow: row.try_get("workflow").map_err(failed)?,
        occurrence: row.try_get("occurrence").map_err(failed)?,
        started_at: row
            .try_get("started_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        finished_at: row
            .try_get::<Option<i64>, _>("finished_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        author: row.try_get("author").map_err(failed)?,
        pruned_at: row
            .try_get::<Option<i64>, _>("pruned_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
    })
}

fn job_row(row: &AnyRow) -> Result<JobRow, LedgerError> {
    let failed = |source| LedgerError::of("reading a job", source);
    Ok(JobRow {
        id: row.try_get("id").map_err(failed)?,
        run_id: row.try_get("run_id").map_err(failed)?,
        name: row.try_get("name").map_err(failed)?,
        kind: row.try_get("kind").map_err(failed)?,
        lane: row.try_get("lane").map_err(failed)?,
        account: row.try_get("account").map_err(failed)?,
        finished_at: row
            .try_get::<Option<i64>, _>("finished_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        failure: row.try_get("failure").map_err(failed)?,
        failure_code: failure_code(row, ("jobs", row.try_get("id").map_err(failed)?))?,
    })
}

/// The failure code of a row of this table.
pub(crate) fn failure_code(
    row: &AnyRow,
    (table, id): (&'static str, i64),
) -> Result<Option<FailureCode>, LedgerError> {
    let word: Option<&str> = row
        .try_get("failure_code")
        .map_err(|source| LedgerError::of("reading a failure", source))?;
    word.map(|word| {
        FailureCode::parse(word).ok_or_else(|| LedgerError::corrupt(table, id, "failure_code"))
    })
    .transpose()
}

fn total_row(row: &AnyRow) -> Result<Total, LedgerError> {
    let doing = "reading totals";
    let failed = |source| LedgerError::of(doing, source);
    let (word, code): (&str, &str) = (
        row.try_get("state").map_err(failed)?,
        row.try_get("currency").map_err(failed)?,
    );
    let job_id: i64 = row.try_get("job_id").map_err(failed)?;
    Ok(Total {
        job_id,
        state: stored::state(word, ("totals", &job_id, "state"))?,
        currency: total_currency(code, &job_id)?,
        items: unsigned(row, 3, doing)?,
        minor: row.try_get("minor").map_err(failed)?,
    })
}

pub(crate) fn item_row(row: &AnyRow) -> Result<ItemRow, LedgerError> {
    let doing = "reading an item";
    let failed = |source| LedgerError::of(doing, source);
    let id = row.try_get("id").map_err(failed)?;
    let word: &str = row.try_get("state").map_err(failed)?;
    Ok(ItemRow {
        id,
        job_id: row.try_get("job_id").map_err(failed)?,
        run_id: row.try_get("run_id").map_err(failed)?,
        job: row.try_get("job").map_err(failed)?,
        line: row.try_get("line").map_err(failed)?,
        key: row.try_get("key").map_err(failed)?,
        key_hash: row
            .try_get::<Option<&[u8]>, _>("key_hash")
            .map_err(failed)?
            .and_then(KeyHash::from_bytes),
        order_no: row.try_get("order_no").map_err(failed)?,
        custom_order_no: row.try_get("custom_order_no").map_err(failed)?,
        version: row.try_get("version").map_err(failed)?,
        state: State::parse(word).ok_or_else(|| LedgerError::corrupt("items", id, "state"))?,
        amount: amount_of(row, id)?,
        next_at: row
            .try_get::<Option<i64>, _>("next_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        lease_until: row
            .try_get::<Option<i64>, _>("lease_until")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        receipt: row.try_get("receipt").map_err(failed)?,
        reason: row.try_get("reason").map_err(failed)?,
        withdrawn: row.try_get("withdrawn").map_err(failed)?,
        withdrawn_at: row
            .try_get::<Option<i64>, _>("withdrawn_at")
            .map_err(failed)?
            .map(Timestamp::from_millis),
        result: row.try_get("result").map_err(failed)?,
        input: row.try_get("input").map_err(failed)?,
        duplicate_of: row.try_get("duplicate_of").map_err(failed)?,
    })
}

fn attempt_row(row: &AnyRow) -> Result<AttemptRow, LedgerError> {
    let failed = |source| LedgerError::of("reading an attempt", source);
    let item_id: i64 = row.try_get("item_id").map_err(failed)?;
    let corrupt = |column| LedgerError::corrupt("attempts", item_id, column);
    let (kind, answer): (&str, &str) = (
        row.try_get("kind").map_err(failed)?,
        row.try_get("answer").map_err(failed)?,
    );
    Ok(AttemptRow {
        kind: AttemptKind::parse(kind).ok_or_else(|| corrupt("kind"))?,
        version: row.try_get("version").map_err(failed)?,
        operation: row.try_get("operation").map_err(failed)?,
        order_no: row.try_get("order_no").map_err(failed)?,
        started_at: row
            .try_get("started_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        ended_at: row
            .try_get("ended_at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        answer: AnswerKind::parse(answer).ok_or_else(|| corrupt("answer"))?,
        code: row.try_get("code").map_err(failed)?,
        http: row
            .try_get::<Option<i64>, _>("http")
            .map_err(failed)?
            .map(|http| u16::try_from(http).map_err(|_| corrupt("http")))
            .transpose()?,
        late: row.try_get::<i64, _>("late").map_err(failed)? != 0,
        evidence: row.try_get("evidence").map_err(failed)?,
    })
}

fn event_row(row: &AnyRow) -> Result<EventRow, LedgerError> {
    let failed = |source| LedgerError::of("reading an event", source);
    let item_id: i64 = row.try_get("item_id").map_err(failed)?;
    let event: &str = row.try_get("event").map_err(failed)?;
    Ok(EventRow {
        version: row.try_get("version").map_err(failed)?,
        at: row
            .try_get("at")
            .map(Timestamp::from_millis)
            .map_err(failed)?,
        event: EventKind::parse(event)
            .ok_or_else(|| LedgerError::corrupt("events", item_id, "event"))?,
        from: row.try_get("from_state").map_err(failed)?,
        to: row.try_get("to_state").map_err(failed)?,
        detail: row.try_get("detail").map_err(failed)?,
        alarm: row.try_get("alarm").map_err(failed)?,
    })
}

fn unsigned(row: &AnyRow, column: usize, doing: &'static str) -> Result<u64, LedgerError> {
    let number: i64 = row
        .try_get(column)
        .map_err(|source| LedgerError::of(doing, source))?;
    stored::count(number, doing)
}
