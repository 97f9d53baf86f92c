//! The ledger's conformance suite: what every engine behind [`payrun::ledger::Ledger`] must keep.
//!
//! A scenario is given a place where a fresh ledger can be opened, as often as there are processes
//! in it. It runs on every engine.

mod bulk_actions;
mod claims;
mod contracts;
mod corrupt;
mod differences;
pub mod ledger_fixture;
mod notifications;
mod operators;
mod payment_names;
mod plan_steps;
mod planning;
mod rates;
mod retention;
mod run_withdrawal;
mod whole_or_parts;

use std::sync::Arc;

use payrun::ledger::Ledger;
use sqlx::{ConnectOptions, Executor, sqlite::SqliteConnectOptions};
use tempfile::TempDir;

use crate::support::postgres::Schema;

/// Where a fresh ledger is.
#[derive(Clone)]
pub enum LedgerPlace {
    Sqlite(Arc<TempDir>),
    Postgres(Arc<Schema>),
}

impl LedgerPlace {
    /// Opens the ledger as one more process would.
    pub async fn open(&self) -> Ledger {
        match self {
            Self::Sqlite(folder) => Ledger::open(&folder.path().join("ledger.db"))
                .await
                .unwrap(),
            Self::Postgres(schema) => Ledger::connect(&schema.address()).await.unwrap(),
        }
    }

    /// Another place on the same engine.
    pub async fn fresh(&self) -> Self {
        match self {
            Self::Sqlite(_) => Self::Sqlite(Arc::new(tempfile::tempdir().unwrap())),
            Self::Postgres(_) => Self::Postgres(Arc::new(Schema::fresh().await)),
        }
    }

    /// From now on the database takes no change of the item 2.
    async fn spoil_item_2(&self) {
        self.run(match self {
            Self::Sqlite(_) => {
                "create trigger spoilt before update on items when new.id = 2 begin select raise(abort, 'spoilt'); end"
            }
            Self::Postgres(_) => {
                "create function spoil() returns trigger language plpgsql as $$ begin raise 'spoilt'; end $$; \
                 create trigger spoilt before update on items for each row when (new.id = 2) execute function spoil()"
            }
        })
        .await;
    }

    /// Does something behind the ledger's back.
    async fn run(&self, statement: &'static str) {
        self.execute(statement).await.unwrap();
    }

    /// Whether the database refuses to do something.
    async fn refuses(&self, statement: &'static str) -> bool {
        self.execute(statement).await.is_err()
    }

    async fn execute(&self, statement: &'static str) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(folder) => {
                let file = SqliteConnectOptions::new().filename(folder.path().join("ledger.db"));
                file.connect().await?.execute(statement).await.map(|_| ())
            }
            Self::Postgres(schema) => schema.connect().await.execute(statement).await.map(|_| ()),
        }
    }
}

/// Runs a scenario on a fresh ledger of every engine.
pub fn on_every_engine<F: Future<Output = ()>>(scenario: impl Fn(LedgerPlace) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        eprintln!("engine: sqlite");
        scenario(LedgerPlace::Sqlite(Arc::new(tempfile::tempdir().unwrap()))).await;
        eprintln!("engine: postgres");
        scenario(LedgerPlace::Postgres(Arc::new(Schema::fresh().await))).await;
    });
}
