//! The books on disk: the sandbox's only SQL. One file, one connection, written in batches.
//!
//! `synchronous = off`: these are the books of a sandbox, which nobody restores after a power cut;
//! a killed process loses nothing that was flushed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, QueryBuilder, Row, Sqlite};
use thiserror::Error;

use crate::shared::fault_flow::Calls;
use crate::shared::statements::{BEIJING, DAY};
use crate::wechat::order_book::{BookedCharge, DeductionOrder, OrderState};
use crate::wechat::settlements::DaySum;
use payrun_domain::time::Timestamp;

/// How many rows one statement writes: 16 columns each, below SQLite's limit of 32,766 values.
const ROWS: usize = 256;

const SCHEMA: &[&str] = &[
    "create table if not exists orders (
        number text primary key, contract text not null, currency text not null, minor integer not null,
        body blob not null, attach text, category text not null, state text not null, transaction_id text not null,
        charged integer not null, calls integer not null, met integer not null, effect_at integer not null,
        decide_at integer not null, queries_left integer not null, hidden_until integer not null
    ) without rowid",
    "create table if not exists charges (
        transaction_id text primary key, number text not null, currency text not null, minor integer not null,
        at integer not null
    ) without rowid",
    "create table if not exists counters (kind text, name text, count integer not null, primary key (kind, name)) without rowid",
];

const COLUMNS: &str = "number, contract, currency, minor, body, attach, category, state, transaction_id, charged, calls, \
     met, effect_at, decide_at, queries_left, hidden_until";

/// The file of the books.
#[derive(Debug)]
pub(crate) struct OrderStore {
    connection: SqliteConnection,
    /// Removed with the store, if it is temporary.
    temporary: Option<PathBuf>,
}

impl OrderStore {
    /// Opens the books at a path, or temporary ones.
    pub(crate) async fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let temporary = path.is_none().then(|| {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            std::env::temp_dir().join(format!(
                "payrun-sandbox-{}-{count}.sqlite",
                std::process::id()
            ))
        });
        let file = path.map_or_else(|| temporary.clone().unwrap_or_default(), Path::to_owned);
        let mut connection = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Off)
            .pragma("cache_size", "-8192")
            .disable_statement_logging()
            .connect()
            .await?;
        for statement in SCHEMA {
            sqlx::query(*statement).execute(&mut connection).await?;
        }
        Ok(Self {
            connection,
            temporary,
        })
    }

    /// Writes orders (replacing), charges (adding) and counters (replacing) in one commit.
    pub(crate) async fn write(
        &mut self,
        orders: &[&DeductionOrder],
        charges: &[BookedCharge],
        counters: &[(&str, String, u64)],
    ) -> Result<(), StoreError> {
        use sqlx::Connection as _;
        let mut commit = self.connection.begin().await?;
        for chunk in orders.chunks(ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new("insert or replace into orders (");
            insert.push(COLUMNS).push(") ");
            insert.push_values(chunk, |mut row, order| {
                row.push_bind(&order.number)
                    .push_bind(&order.contract)
                    .push_bind(&order.currency)
                    .push_bind(order.minor)
                    .push_bind(order.body.as_slice())
                    .push_bind(&order.attach)
                    .push_bind(&order.category)
                    .push_bind(order.state.as_str())
                    .push_bind(&order.transaction_id)
                    .push_bind(order.charged)
                    .push_bind(order.calls.made)
                    .push_bind(order.calls.met)
                    .push_bind(order.effect_at.millis())
                    .push_bind(order.decide_at.millis())
                    .push_bind(order.queries_left)
                    .push_bind(order.hidden_until.millis());
            });
            insert.build().execute(&mut *commit).await?;
        }
        for chunk in charges.chunks(ROWS) {
            let mut insert = QueryBuilder::<Sqlite>::new(
                "insert into charges (transaction_id, number, currency, minor, at) ",
            );
            insert.push_values(chunk, |mut row, charge| {
                row.push_bind(&charge.transaction_id)
                    .push_bind(&charge.number)
                    .push_bind(&charge.currency)
                    .push_bind(charge.minor)
                    .push_bind(charge.at.millis());
            });
            insert.build().execute(&mut *commit).await?;
        }
        for (kind, name, count) in counters {
            sqlx::query("insert or replace into counters (kind, name, count) values (?, ?, ?)")
                .bind(*kind)
                .bind(name)
                .bind(i64::try_from(*count).unwrap_or(i64::MAX))
                .execute(&mut *commit)
                .await?;
        }
        Ok(commit.commit().await?)
    }

    /// One order.
    pub(crate) async fn order(
        &mut self,
        number: &str,
    ) -> Result<Option<DeductionOrder>, StoreError> {
        let row = sqlx::query("select * from orders where number = ?")
            .bind(number)
            .fetch_optional(&mut self.connection);
        row.await?.as_ref().map(read_order).transpose()
    }

    /// The number of the order with this transaction id.
    pub(crate) async fn number_of(
        &mut self,
        transaction_id: &str,
    ) -> Result<Option<String>, StoreError> {
        let row = sqlx::query_scalar("select number from charges where transaction_id = ?")
            .bind(transaction_id);
        Ok(row.fetch_optional(&mut self.connection).await?)
    }

    /// A page of the charges from one instant to before another, in the order of their transaction
    /// ids, after one.
    pub(crate) async fn charges(
        &mut self,
        within: (Timestamp, Timestamp),
        after: &str,
        limit: u32,
    ) -> Result<Vec<BookedCharge>, StoreError> {
        let rows = sqlx::query(
            "select transaction_id, number, currency, minor, at from charges
             where transaction_id > ? and at >= ? and at < ? order by transaction_id limit ?",
        );
        let rows = rows
            .bind(after)
            .bind(within.0.millis())
            .bind(within.1.millis())
            .bind(limit);
        let rows = rows.fetch_all(&mut self.connection).await?;
        let charges = rows.iter().map(|row| {
            Ok(BookedCharge {
                transaction_id: row.try_get(0)?,
                number: row.try_get(1)?,
                currency: row.try_get(2)?,
                minor: row.try_get(3)?,
                at: Timestamp::from_millis(row.try_get(4)?),
            })
        });
        charges.collect()
    }

    /// What was charged, by day in Beijing and currency; summed in halves as in
    /// [`OrderStore::charged`].
    pub(crate) async fn day_sums(&mut self) -> Result<Vec<DaySum>, StoreError> {
        let rows = sqlx::query(
            "select (at + ?) / ?, currency, sum(minor >> 32), sum(minor & 4294967295) from charges
             group by 1, 2 order by 1, 2 limit 10000",
        );
        let rows = rows
            .bind(BEIJING)
            .bind(DAY)
            .fetch_all(&mut self.connection)
            .await?;
        let sums = rows.iter().map(|row| {
            let pay = (i128::from(row.try_get::<i64, _>(2)?) << 32)
                + i128::from(row.try_get::<i64, _>(3)?);
            Ok(DaySum {
                day: row.try_get(0)?,
                currency: row.try_get(1)?,
                pay,
                refund: 0,
            })
        });
        sums.collect()
    }

    /// A page of orders in the order of their numbers, after one number.
    pub(crate) async fn page(
        &mut self,
        after: &str,
        limit: u32,
    ) -> Result<Vec<DeductionOrder>, StoreError> {
        let rows = sqlx::query("select * from orders where number > ? order by number limit ?")
            .bind(after)
            .bind(limit);
        rows.fetch_all(&mut self.connection)
            .await?
            .iter()
            .map(read_order)
            .collect()
    }

    /// How many orders are in each state.
    pub(crate) async fn states(&mut self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows = sqlx::query("select state, count(*) from orders group by state order by state");
        let rows = rows.fetch_all(&mut self.connection).await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, count(row, 1)?)))
            .collect()
    }

    /// Per currency: how many charges, and their sum. Summed in halves, so that no sum leaves
    /// SQLite's 64 bits.
    pub(crate) async fn charged(&mut self) -> Result<Vec<(String, u64, i128)>, StoreError> {
        let rows = sqlx::query(
            "select currency, count(*), sum(minor >> 32), sum(minor & 4294967295) from charges
             group by currency order by currency",
        );
        let rows = rows.fetch_all(&mut self.connection).await?;
        let sum = |row: &SqliteRow| -> Result<i128, sqlx::Error> {
            Ok((i128::from(row.try_get::<i64, _>(2)?) << 32)
                + i128::from(row.try_get::<i64, _>(3)?))
        };
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, count(row, 1)?, sum(row)?)))
            .collect()
    }

    /// How many order numbers were charged more than once.
    pub(crate) async fn charged_twice(&mut self) -> Result<u64, StoreError> {
        let row = sqlx::query("select count(*) from orders where charged > 1")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(count(&row, 0)?)
    }

    /// The orders that are still being decided.
    pub(crate) async fn processing(&mut self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query_as(
            "select contract, number from orders where state = 'processing' limit 100000",
        );
        Ok(rows.fetch_all(&mut self.connection).await?)
    }

    /// All counters.
    pub(crate) async fn counters(&mut self) -> Result<Vec<(String, String, i64)>, StoreError> {
        let rows = sqlx::query_as("select kind, name, count from counters limit 1000");
        Ok(rows.fetch_all(&mut self.connection).await?)
    }
}

impl Drop for OrderStore {
    fn drop(&mut self) {
        if let Some(file) = &self.temporary {
            for suffix in ["", "-wal", "-shm"] {
                let mut path = file.clone().into_os_string();
                path.push(suffix);
                // Nothing is lost if a temporary file stays behind.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

fn count(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
}

fn read_order(row: &SqliteRow) -> Result<DeductionOrder, StoreError> {
    let at = |column: &str| row.try_get(column).map(Timestamp::from_millis);
    let state: String = row.try_get("state")?;
    let body: Vec<u8> = row.try_get("body")?;
    Ok(DeductionOrder {
        number: row.try_get("number")?,
        contract: row.try_get("contract")?,
        currency: row.try_get("currency")?,
        minor: row.try_get("minor")?,
        body: body.try_into().map_err(|_| StoreError::Damaged)?,
        attach: row.try_get("attach")?,
        category: row.try_get("category")?,
        state: OrderState::parse(&state).ok_or(StoreError::Damaged)?,
        transaction_id: row.try_get("transaction_id")?,
        charged: row.try_get("charged")?,
        calls: Calls {
            made: row.try_get("calls")?,
            met: row.try_get("met")?,
        },
        effect_at: at("effect_at")?,
        decide_at: at("decide_at")?,
        queries_left: row.try_get("queries_left")?,
        hidden_until: at("hidden_until")?,
        dirty: false,
    })
}

/// Why the books could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error("the sandbox's books could not be read or written")]
    Sqlite(#[from] sqlx::Error),
    /// A file of them would be longer than any client reads.
    #[error("there is too much in the sandbox's books for one file")]
    TooMuch,
    /// A row is not what was written.
    #[error("the sandbox's books are damaged")]
    Damaged,
}
