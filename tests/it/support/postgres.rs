//! A fresh ledger's home on the PostgreSQL server that `tests/run.sh` starts: a schema of its own,
//! dropped in the end.

use sqlx::{Connection, Executor, PgConnection};

/// Names the server. Not being given one is a failure, so that nobody takes half of the tests for
/// all.
const SERVER: &str = "PAYRUN_TEST_POSTGRES";

/// A schema nobody else uses.
pub struct Schema {
    server: String,
    name: String,
}

impl Schema {
    pub async fn fresh() -> Self {
        let server = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!("{SERVER} is not set: run tests/run.sh, or `tests/postgres.sh start FOLDER` and name what it prints")
        });
        Self::fresh_at(server).await
    }

    /// The same on this server.
    pub async fn fresh_at(server: String) -> Self {
        let name = format!("payrun_{:016x}", rand::random::<u64>());
        let schema = Self { server, name };
        schema.run(format!("create schema {}", schema.name)).await;
        schema
    }

    /// The address of a ledger in it; its connections go by the schema's name.
    pub fn address(&self) -> String {
        format!(
            "{}?options=-csearch_path%3D{}&application_name={1}",
            self.server, self.name
        )
    }

    /// One more connection, for what a test does behind the ledger's back.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.address()).await.unwrap()
    }

    /// Has the server end every connection of this schema's ledger; returns how many there were.
    pub fn end_connections(&self, app: &super::App) -> u64 {
        app.wait_for(async {
            let mut connection = PgConnection::connect(&self.server).await.unwrap();
            let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                       where application_name = $1 and pid <> pg_backend_pid()";
            let ended: i64 = sqlx::query_scalar(end)
                .bind(&self.name)
                .fetch_one(&mut connection)
                .await
                .unwrap();
            u64::try_from(ended).unwrap()
        })
    }

    async fn run(&self, statement: String) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        connection
            .execute(sqlx::AssertSqlSafe(statement))
            .await
            .unwrap();
        connection.close().await.unwrap();
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let (server, statement) = (
            self.server.clone(),
            format!("drop schema {} cascade", self.name),
        );
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&server).await {
                    connection
                        .execute(sqlx::AssertSqlSafe(statement))
                        .await
                        .ok();
                }
            });
        });
        dropping.join().ok();
    }
}
