//! Moving a ledger from a SQLite file to a PostgreSQL server: fenced first, then copied in one
//! transaction, then compared row by row.
//!
//! From the fence on nobody can write to the file, whatever has it open, so that the same items can
//! never be sent from two ledgers. The fence names the server, which must be empty: a second move
//! to somewhere else is refused, and so is that of a backup. It names the move too, and a move that
//! has ended is named on the server, in the commit that copied it: so what became of one that was
//! broken off is known for certain, and the fence is taken away only where nothing has come to be.

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use super::Ledger;
use super::error::LedgerError;
use super::fence::put_fence;
use super::location::Engine;
use super::rows::list;
use super::write_tx::WriteTx;
use payrun_domain::time::Timestamp;

/// How many rows are copied and compared at a time.
const PAGE: usize = 500;

const COPYING: &str = "copying the ledger";

/// Behind the server's name in a fence until the move has ended; then come which server that is,
/// and which move.
const UNFINISHED: &str = ", unless the move was broken off (`payrun promote` once more tells; ";

/// A column by its name, and what is in it.
type Column = (&'static str, Holds);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    Number,
    Text,
    Bytes,
}

/// A table, the columns of its key first.
struct Table {
    name: &'static str,
    key: usize,
    columns: &'static [Column],
    /// Whether the server numbers its rows.
    numbered: bool,
}

use Holds::{Bytes as B, Number as N, Text as T};

const TABLES: &[Table] = &[
    Table {
        name: "runs",
        key: 1,
        columns: &[
            ("id", N),
            ("workflow", T),
            ("occurrence", T),
            ("source", T),
            ("params", T),
            ("started_at", N),
            ("finished_at", N),
            ("at", N),
            ("timezone", T),
            ("author", T),
            ("author_user", T),
            ("forgotten_at", N),
            ("file", T),
        ],
        numbered: true,
    },
    Table {
        name: "jobs",
        key: 1,
        columns: &[
            ("id", N),
            ("run_id", N),
            ("name", T),
            ("kind", T),
            ("lane", T),
            ("needs", T),
            ("policy", T),
            ("rate_calls", N),
            ("rate_per", N),
            ("concurrency", N),
            ("started", N),
            ("finished_at", N),
            ("planned", N),
            ("failure", T),
            ("first_item", N),
            ("last_item", N),
            ("account", T),
            ("forgotten_to", N),
        ],
        numbered: true,
    },
    Table {
        name: "totals",
        key: 3,
        columns: &[
            ("job_id", N),
            ("state", T),
            ("currency", T),
            ("items", N),
            ("minor", N),
        ],
        numbered: false,
    },
    Table {
        name: "items",
        key: 1,
        columns: &[
            ("id", N),
            ("job_id", N),
            ("line", N),
            ("key", T),
            ("key_hash", B),
            ("identity", B),
            ("serial", B),
            ("order_no", T),
            ("custom_no", T),
            ("generation", N),
            ("state", T),
            ("version", N),
            ("due_at", N),
            ("node", N),
            ("sends", N),
            ("asks", N),
            ("declines", N),
            ("sent_at", N),
            ("asking_since", N),
            ("asking", T),
            ("amount", N),
            ("currency", T),
            ("input", T),
            ("receipt", T),
            ("result", T),
            ("reason", T),
            ("duplicate_of", N),
            ("taken_from", B),
            ("recalled", N),
            ("withdrawn", T),
            ("withdrawn_at", N),
        ],
        numbered: true,
    },
    Table {
        name: "attempts",
        key: 3,
        columns: &[
            ("item_id", N),
            ("version", N),
            ("late", N),
            ("operation", T),
            ("order_no", T),
            ("started_at", N),
            ("ended_at", N),
            ("answer", T),
            ("code", T),
            ("http", N),
            ("evidence", T),
        ],
        numbered: false,
    },
    Table {
        name: "events",
        key: 2,
        columns: &[
            ("item_id", N),
            ("version", N),
            ("at", N),
            ("event", T),
            ("from_state", T),
            ("to_state", T),
            ("detail", T),
            ("alarm", T),
        ],
        numbered: false,
    },
    Table {
        name: "buckets",
        key: 1,
        columns: &[("name", T), ("tokens", N), ("filled_at", N)],
        numbered: false,
    },
    Table {
        name: "lanes",
        key: 1,
        columns: &[
            ("name", T),
            ("state", T),
            ("reason", T),
            ("until", N),
            ("author", T),
        ],
        numbered: false,
    },
    Table {
        name: "unreachable",
        key: 1,
        columns: &[("lane", T), ("since", N), ("how", T)],
        numbered: false,
    },
    Table {
        name: "payments",
        key: 1,
        columns: &[
            ("id", N),
            ("account", B),
            ("order_no", T),
            ("transaction_id", T),
            ("amount", N),
            ("currency", T),
            ("seen_at", N),
            ("other_amount", N),
            ("other_currency", T),
        ],
        numbered: true,
    },
    Table {
        name: "statements",
        key: 1,
        columns: &[
            ("id", N),
            ("lane", T),
            ("day", T),
            ("sha256", T),
            ("location", T),
            ("lines", N),
            ("fetched_at", N),
            ("forgotten_at", N),
            ("remarks", T),
        ],
        numbered: true,
    },
    Table {
        name: "statement_lines",
        key: 2,
        columns: &[
            ("statement_id", N),
            ("line", N),
            ("kind", T),
            ("time", T),
            ("order_no", T),
            ("transaction_id", T),
            ("refund_no", T),
            ("refund_id", T),
            ("state", T),
            ("amount", N),
            ("currency", T),
            ("fee", N),
            ("fee_currency", T),
            ("settled", N),
            ("settled_currency", T),
        ],
        numbered: false,
    },
    Table {
        name: "settlements",
        key: 2,
        columns: &[
            ("lane", T),
            ("batch_id", T),
            ("state", T),
            ("facts", T),
            ("first_seen", N),
            ("last_seen", N),
        ],
        numbered: false,
    },
    Table {
        name: "contracts",
        key: 1,
        columns: &[
            ("id", N),
            ("contract", T),
            ("account", T),
            ("version", N),
            ("state", T),
            ("since", T),
            ("reason", T),
            ("currency", T),
            ("prices", T),
            ("every", T),
            ("anchor", N),
            ("start_on", T),
            ("end_on", T),
            ("pay_within", N),
            ("description", T),
            ("next_due", T),
            ("created_at", N),
        ],
        numbered: true,
    },
    Table {
        name: "contract_periods",
        key: 2,
        columns: &[
            ("contract_id", N),
            ("period", T),
            ("due", T),
            ("state", T),
            ("item_id", N),
            ("amount", N),
            ("reason", T),
            ("noted_at", N),
            ("news", N),
            ("pay_by", T),
        ],
        numbered: false,
    },
    Table {
        name: "contract_changes",
        key: 1,
        columns: &[
            ("id", N),
            ("contract_id", N),
            ("at", N),
            ("who", T),
            ("what", T),
            ("why", T),
            ("before", T),
            ("after", T),
        ],
        numbered: true,
    },
    Table {
        name: "notifications",
        key: 1,
        columns: &[
            ("id", N),
            ("lane", T),
            ("digest", T),
            ("received_at", N),
            ("repeats", N),
            ("headers", T),
            ("body", T),
            ("sealed", N),
            ("order_no", T),
            ("outcome", T),
            ("detail", T),
            ("item_id", N),
            ("tries", N),
            ("due_at", N),
        ],
        numbered: true,
    },
    Table {
        name: "unfinished_plans",
        key: 1,
        columns: &[
            ("id", N),
            ("run_id", N),
            ("first_job", N),
            ("last_job", N),
            ("first_item", N),
            ("given_up", N),
        ],
        numbered: false,
    },
    Table {
        name: "restores",
        key: 1,
        columns: &[("id", N), ("backup_at", N), ("at", N), ("asks_until", N)],
        numbered: false,
    },
    Table {
        name: "vault",
        key: 1,
        columns: &[("id", N), ("proof", T)],
        numbered: false,
    },
    Table {
        name: "tokens",
        key: 1,
        columns: &[
            ("id", N),
            ("name", T),
            ("role", T),
            ("hash", B),
            ("created_at", N),
            ("created_by", T),
            ("expires_at", N),
            ("revoked_at", N),
        ],
        numbered: true,
    },
    Table {
        name: "requests",
        key: 2,
        columns: &[
            ("caller", T),
            ("key", T),
            ("fingerprint", B),
            ("created_at", N),
        ],
        numbered: false,
    },
    Table {
        name: "schedules",
        key: 1,
        columns: &[
            ("workflow", T),
            ("rule", T),
            ("moves", T),
            ("since", N),
            ("noted_until", N),
            ("resumed_at", N),
        ],
        numbered: false,
    },
    Table {
        name: "occurrences",
        key: 2,
        columns: &[
            ("workflow", T),
            ("nominal", T),
            ("at", N),
            ("timezone", T),
            ("state", T),
            ("run_id", N),
            ("reason", T),
            ("changed_at", N),
        ],
        numbered: false,
    },
    Table {
        name: "episodes",
        key: 1,
        columns: &[
            ("id", N),
            ("key", T),
            ("kind", T),
            ("lasting", N),
            ("since", N),
            ("opened_at", N),
            ("gone_since", N),
            ("closed_at", N),
            ("told", T),
        ],
        numbered: true,
    },
    Table {
        name: "notices",
        key: 3,
        columns: &[
            ("episode_id", N),
            ("recipient", T),
            ("news", T),
            ("due_at", N),
            ("urgent", N),
            ("mail_id", N),
        ],
        numbered: false,
    },
    Table {
        name: "mails",
        key: 1,
        columns: &[
            ("id", N),
            ("name", T),
            ("recipient", T),
            ("message_id", T),
            ("subject", T),
            ("plain", T),
            ("html", T),
            ("created_at", N),
            ("state", T),
            ("tries", N),
            ("due_at", N),
            ("lease", N),
            ("lease_until", N),
            ("ended_at", N),
            ("answer", T),
        ],
        numbered: true,
    },
    Table {
        name: "looks",
        key: 1,
        columns: &[("name", T), ("at", N)],
        numbered: false,
    },
    Table {
        name: "unlisted",
        key: 3,
        columns: &[
            ("lane", T),
            ("kind", T),
            ("code", T),
            ("first_at", N),
            ("last_at", N),
            ("item_id", N),
            ("assumed", T),
        ],
        numbered: false,
    },
    Table {
        name: "audit",
        key: 1,
        columns: &[
            ("seq", N),
            ("at", N),
            ("actor", T),
            ("via", T),
            ("verb", T),
            ("target", T),
            ("reason", T),
            ("before", T),
            ("after", T),
            ("hash", T),
        ],
        numbered: false,
    },
    Table {
        name: "pauses",
        key: 2,
        columns: &[
            ("scope", T),
            ("name", T),
            ("at", N),
            ("actor", T),
            ("reason", T),
            ("audit", N),
        ],
        numbered: false,
    },
    Table {
        name: "paused_contracts",
        key: 2,
        // By name, since pages go on from a key that is no fingerprint.
        columns: &[
            ("gateway", T),
            ("contract", T),
            ("serial", B),
            ("at", N),
            ("actor", T),
            ("reason", T),
            ("audit", N),
        ],
        numbered: false,
    },
    Table {
        name: "lane_limits",
        key: 1,
        columns: &[
            ("name", T),
            ("rate_calls", N),
            ("rate_per", N),
            ("concurrency", N),
            ("at", N),
            ("actor", T),
            ("reason", T),
            ("audit", N),
        ],
        numbered: false,
    },
    Table {
        name: "approvals",
        key: 1,
        columns: &[
            ("id", N),
            ("job_id", N),
            ("state", T),
            ("author", T),
            ("needed", N),
            ("print", T),
            ("items", N),
            ("sums", T),
            ("asked_at", N),
            ("expires_at", N),
            ("decided_at", N),
        ],
        numbered: true,
    },
    Table {
        name: "votes",
        key: 2,
        columns: &[
            ("approval_id", N),
            ("person", T),
            ("actor", T),
            ("at", N),
            ("reason", T),
            ("audit", N),
        ],
        numbered: false,
    },
];

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Promoted {
    /// How many rows of each table were copied, and are the same on both sides.
    pub rows: Vec<(&'static str, u64)>,
    /// Whether the server had them already: an earlier try had come so far.
    pub there_already: bool,
}

/// Why a ledger was not moved. Whether the file may be used is what opening it says.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    /// Whatever a database says.
    #[error("the ledger was not moved")]
    Ledger(#[from] LedgerError),
    /// Not from a file to a server.
    #[error("a ledger is moved from a SQLite file to a PostgreSQL server")]
    WrongWay,
    /// Somebody works on it.
    #[error("a process is at work on this ledger: stop it first")]
    AtWork,
    /// It could not be told from what is there whether this ledger is.
    #[error("{to} holds a ledger already: {table} has rows; name an empty database")]
    NotEmpty {
        /// Where it was to go.
        to: String,
        /// Which table.
        table: &'static str,
    },
    /// What was written is not what was read.
    #[error("{table} would not be on the server what it is here (row {row}); nothing was moved")]
    NotTheSame {
        /// Which table.
        table: &'static str,
        /// Which row of it, from 1.
        row: u64,
    },
}

impl Ledger {
    /// Moves this ledger to a server; `told` hears of each table as it is done. Once more after a
    /// failure goes on.
    ///
    /// # Errors
    /// Why it was not moved.
    pub async fn promote_to(
        &self,
        server: &Self,
        now: Timestamp,
        told: impl FnMut(&'static str, u64),
    ) -> Result<Promoted, PromoteError> {
        if self.home.engine != Engine::Sqlite || server.home.engine != Engine::Postgres {
            return Err(PromoteError::WrongWay);
        }
        if self.is_at_work(now).await? {
            return Err(PromoteError::AtWork);
        }
        // Whoever was at it before has ended by now, one way or the other.
        let mut turn = server.turn(COPYING).await?;
        let to = place(server.name(), &mut turn).await?;
        let moving = format!("{to}{UNFINISHED}{}", identity(&mut turn).await?);
        let ours = format!("{moving} {:016x})", rand::random::<u64>());
        let mut file = self.turn(COPYING).await?;
        let before = Self::moved_to(file.connection()).await?;
        match &before {
            Some(fence) if !fence.starts_with(&moving) => {
                return Err(LedgerError::Moved {
                    place: self.name().to_owned(),
                    to: fence.clone(),
                }
                .into());
            }
            Some(fence) if has_ended(&mut turn, fence).await? => {
                put_fence(&mut file, &to, now).await?;
                file.commit().await?;
                return Ok(Promoted {
                    there_already: true,
                    ..Promoted::default()
                });
            }
            Some(_) | None => {}
        }
        if let Some(table) = first_with_rows(&mut turn).await? {
            file.rollback().await?;
            // The move before this one has not ended, and cannot any more.
            if let Some(fence) = before {
                self.unfence(&fence).await?;
            }
            return Err(PromoteError::NotEmpty { to, table });
        }
        put_fence(&mut file, &ours, now).await?;
        file.commit().await?;
        match self.copy_to(&mut turn, &ours, told).await {
            Ok(promoted) => {
                turn.commit_and_tell().await?;
                let mut file = self.turn(COPYING).await?;
                put_fence(&mut file, &to, now).await?;
                file.commit().await?;
                Ok(promoted)
            }
            Err(error) => {
                drop(turn);
                // Nothing has come to be on the server, and nothing will; unless another has taken
                // the move over.
                self.unfence(&ours).await?;
                Err(error)
            }
        }
    }

    async fn copy_to(
        &self,
        turn: &mut WriteTx,
        ours: &str,
        mut told: impl FnMut(&'static str, u64),
    ) -> Result<Promoted, PromoteError> {
        let mut from = self.home.connect().await?;
        let mut promoted = Promoted::default();
        for table in TABLES {
            table.copy(&mut from, turn.connection()).await?;
            let rows = table.compare(&mut from, turn.connection()).await?;
            told(table.name, rows);
            promoted.rows.push((table.name, rows));
        }
        let mark = sqlx::query("insert into moved_here (move) values ($1)").bind(ours);
        mark.execute(turn.connection())
            .await
            .map_err(|source| LedgerError::of(COPYING, source))?;
        Ok(promoted)
    }
}

impl Table {
    fn names(&self) -> String {
        self.columns
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn keys(&self) -> String {
        self.columns[..self.key]
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// The rows behind one, as JSON lists: numbers, texts, and bytes in hexadecimal digits.
    async fn page(
        &self,
        connection: &mut AnyConnection,
        after: Option<&[Value]>,
    ) -> Result<Vec<Vec<Value>>, LedgerError> {
        let failed = |source| LedgerError::of(COPYING, source);
        let (names, keys) = (self.names(), self.keys());
        let places: Vec<String> = (1..=self.key).map(|place| format!("${place}")).collect();
        let behind = if after.is_some() {
            format!("where ({keys}) > ({})", places.join(", "))
        } else {
            String::new()
        };
        let statement = format!(
            "select {names} from {} {behind} order by {keys} limit {PAGE}",
            self.name
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for value in after.into_iter().flatten() {
            query = match value.as_i64() {
                Some(number) => query.bind(number),
                None => query.bind(value.as_str().map(str::to_owned)),
            };
        }
        let rows = query.fetch_all(connection).await.map_err(failed)?;
        rows.iter()
            .map(|row| self.values(row).map_err(failed))
            .collect()
    }

    fn values(&self, row: &AnyRow) -> Result<Vec<Value>, sqlx::Error> {
        let value = |(place, (_, holds)): (usize, &Column)| {
            Ok(match holds {
                Holds::Number => row.try_get::<Option<i64>, _>(place)?.map(Value::from),
                Holds::Text => row.try_get::<Option<String>, _>(place)?.map(Value::from),
                Holds::Bytes => row
                    .try_get::<Option<Vec<u8>>, _>(place)?
                    .map(|bytes| Value::from(digits(&bytes))),
            }
            .unwrap_or_default())
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    async fn copy(
        &self,
        from: &mut AnyConnection,
        to: &mut AnyConnection,
    ) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of(COPYING, source);
        let field = |(place, (_, holds)): (usize, &Column)| match holds {
            Holds::Number => format!("cast(value ->> {place} as bigint)"),
            Holds::Text => format!("value ->> {place}"),
            Holds::Bytes => format!("unhex(value ->> {place})"),
        };
        let fields: Vec<String> = self.columns.iter().enumerate().map(field).collect();
        let insert = format!(
            "insert into {} ({}) select {} from json_each($1)",
            self.name,
            self.names(),
            fields.join(", ")
        );
        let mut last: Option<Vec<Value>> = None;
        loop {
            let page = self
                .page(from, last.as_deref().map(|row| &row[..self.key]))
                .await?;
            if page.is_empty() {
                break;
            }
            let rows = sqlx::query(AssertSqlSafe(insert.clone())).bind(list(&page));
            rows.execute(&mut *to).await.map_err(failed)?;
            last = page.into_iter().last();
        }
        if self.numbered {
            let next = format!(
                "select setval(pg_get_serial_sequence('{0}', 'id'), coalesce((select max(id) from {0}), 0) + 1, false)",
                self.name
            );
            sqlx::raw_sql(AssertSqlSafe(next))
                .execute(to)
                .await
                .map_err(failed)?;
        }
        Ok(())
    }

    /// How many rows there are, all of them the same on both sides.
    async fn compare(
        &self,
        from: &mut AnyConnection,
        to: &mut AnyConnection,
    ) -> Result<u64, PromoteError> {
        let (mut last, mut rows): (Option<Vec<Value>>, u64) = (None, 0);
        loop {
            let after = last.as_deref().map(|row| &row[..self.key]);
            let (ours, theirs) = (self.page(from, after).await?, self.page(to, after).await?);
            let same = ours
                .iter()
                .zip(&theirs)
                .take_while(|(one, other)| one == other)
                .count();
            if same != ours.len() || same != theirs.len() {
                return Err(PromoteError::NotTheSame {
                    table: self.name,
                    row: rows + same as u64 + 1,
                });
            }
            rows += same as u64;
            match ours.into_iter().last() {
                Some(row) => last = Some(row),
                None => return Ok(rows),
            }
        }
    }
}

/// A server's ledger by its name, with the schema where that is not the usual one.
async fn place(name: &str, turn: &mut WriteTx) -> Result<String, LedgerError> {
    let schema = sqlx::query_scalar("select cast(current_schema() as text)")
        .fetch_one(turn.connection())
        .await;
    let schema: String = schema.map_err(|source| LedgerError::of(COPYING, source))?;
    Ok(if schema == "public" {
        name.to_owned()
    } else {
        format!("{name} (schema {schema})")
    })
}

/// Which database a server's is, whatever it is called by.
async fn identity(turn: &mut WriteTx) -> Result<String, LedgerError> {
    let failed = |source| LedgerError::of(COPYING, source);
    let oid = sqlx::query_scalar(
        "select cast(oid as text) from pg_database where datname = current_database()",
    );
    let oid: String = oid.fetch_one(turn.connection()).await.map_err(failed)?;
    let may = "select case when has_function_privilege('pg_control_system()', 'execute') then 1 else 0 end";
    let may: i32 = sqlx::query_scalar(may)
        .fetch_one(turn.connection())
        .await
        .map_err(failed)?;
    if may == 0 {
        return Ok(oid);
    }
    let system =
        sqlx::query_scalar("select cast(system_identifier as text) from pg_control_system()");
    let system: String = system.fetch_one(turn.connection()).await.map_err(failed)?;
    Ok(format!("{system}.{oid}"))
}

/// Whether the move with this fence got to its end on the server.
async fn has_ended(turn: &mut WriteTx, fence: &str) -> Result<bool, LedgerError> {
    let mark = sqlx::query("select move from moved_here where move = $1").bind(fence.to_owned());
    let mark = mark
        .fetch_optional(turn.connection())
        .await
        .map_err(|source| LedgerError::of(COPYING, source))?;
    Ok(mark.is_some())
}

/// A table that is not empty, if one is.
async fn first_with_rows(turn: &mut WriteTx) -> Result<Option<&'static str>, LedgerError> {
    for table in TABLES {
        let any = AssertSqlSafe(format!(
            "select cast(1 as bigint) from {} limit 1",
            table.name
        ));
        let any = sqlx::query(any).fetch_optional(turn.connection()).await;
        if any
            .map_err(|source| LedgerError::of(COPYING, source))?
            .is_some()
        {
            return Ok(Some(table.name));
        }
    }
    Ok(None)
}

fn digits(bytes: &[u8]) -> String {
    hex::encode(bytes)
}
