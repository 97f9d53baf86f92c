//! The schema on both engines: the same tables and columns, and all of it moves with `payrun
//! promote`. Whatever a migration adds is in these tests from then on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use payrun::domain::time::Timestamp;
use payrun::ledger::Ledger;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Executor as _, PgConnection, SqliteConnection};

use crate::support::postgres::Schema;

/// Says that a file was moved; a server is never fenced.
const OF_A_FILE: [&str; 1] = ["fence"];
/// The processes whose locks a server holds (beside a file they are a file), and from where a
/// ledger was moved here.
const OF_A_SERVER: [&str; 2] = ["nodes", "moved_here"];

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    kind: Kind,
    may_be_null: bool,
    default: Option<String>,
    in_key: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Bytes,
}

/// The tables by name, and their columns.
type Tables = BTreeMap<String, BTreeMap<String, Column>>;

fn kind_of(declared: &str) -> Kind {
    match declared.to_ascii_lowercase().as_str() {
        "integer" | "bigint" => Kind::Number,
        "text" => Kind::Text,
        "blob" | "bytea" => Kind::Bytes,
        other => panic!("a column of the type {other}"),
    }
}

async fn open(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    options.connect().await.unwrap()
}

/// All but sqlx's own, whose rows tell which migrations an engine has had.
async fn tables_of_file(file: &mut SqliteConnection) -> Tables {
    let query = "select m.name, c.name, c.type, c.\"notnull\", c.dflt_value, c.pk \
                 from sqlite_master as m, pragma_table_info(m.name) as c \
                 where m.type = 'table' and m.name not like 'sqlite_%' and m.name <> '_sqlx_migrations'";
    let rows: Vec<(String, String, String, bool, Option<String>, i64)> =
        sqlx::query_as(query).fetch_all(file).await.unwrap();
    let mut tables = Tables::new();
    for (table, column, declared, not_null, default, place) in rows {
        let in_key = place > 0;
        let column_of = Column {
            kind: kind_of(&declared),
            may_be_null: !not_null && !in_key,
            default,
            in_key,
        };
        tables.entry(table).or_default().insert(column, column_of);
    }
    tables
}

async fn tables_of_server(server: &mut PgConnection) -> Tables {
    let query = "select c.table_name::text, c.column_name::text, c.data_type::text, \
                   c.is_nullable = 'YES', c.column_default::text, c.collation_name::text, \
                   exists (select 1 from information_schema.key_column_usage as k \
                     join information_schema.table_constraints as t using (constraint_schema, constraint_name) \
                     where t.constraint_type = 'PRIMARY KEY' and k.table_schema = c.table_schema \
                       and k.table_name = c.table_name and k.column_name = c.column_name) \
                 from information_schema.columns as c \
                 where c.table_schema = current_schema() and c.table_name <> '_sqlx_migrations'";
    type Row = (
        String,
        String,
        String,
        bool,
        Option<String>,
        Option<String>,
        bool,
    );
    let rows: Vec<Row> = sqlx::query_as(query).fetch_all(server).await.unwrap();
    let mut tables = Tables::new();
    for (table, column, declared, may_be_null, default, collation, in_key) in rows {
        let kind = kind_of(&declared);
        // Pages of a move go on by the key, in the order of bytes as on SQLite.
        let is_sorted_alike = !in_key || kind != Kind::Text || collation.as_deref() == Some("C");
        assert!(
            is_sorted_alike || OF_A_SERVER.contains(&table.as_str()),
            "{table}.{column} is sorted as the server's language has it"
        );
        let column_of = Column {
            kind,
            may_be_null,
            default,
            in_key,
        };
        tables.entry(table).or_default().insert(column, column_of);
    }
    tables
}

/// A fresh ledger on each engine.
async fn both() -> (tempfile::TempDir, Ledger, Schema, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let file = Ledger::open(&folder.path().join("ledger.db"))
        .await
        .unwrap();
    let schema = Schema::fresh().await;
    let server = Ledger::connect(&schema.address()).await.unwrap();
    (folder, file, schema, server)
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_columns() {
    let (folder, _file, schema, _server) = both().await;
    let mut file = open(&folder.path().join("ledger.db")).await;
    let mut server = schema.connect().await;
    let (mut ours, mut theirs) = (
        tables_of_file(&mut file).await,
        tables_of_server(&mut server).await,
    );
    for table in OF_A_FILE {
        assert!(ours.remove(table).is_some() && !theirs.contains_key(table));
    }
    for table in OF_A_SERVER {
        assert!(theirs.remove(table).is_some() && !ours.contains_key(table));
    }
    assert!(ours.len() > 30, "{:?}", ours.keys());
    assert_eq!(ours, theirs);
    // So are the indices that have names of ours.
    let indices: Vec<String> = sqlx::query_scalar(
        "select name from sqlite_master where type = 'index' and sql is not null",
    )
    .fetch_all(&mut file)
    .await
    .unwrap();
    let there: Vec<String> = sqlx::query_scalar(
        "select indexname::text from pg_indexes where schemaname = current_schema() \
         and indexname not like '%\\_key' and indexname not like '%\\_pkey'",
    )
    .fetch_all(&mut server)
    .await
    .unwrap();
    let sorted = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    let (mut indices, there) = (sorted(indices), sorted(there));
    // The one name of ours that ends like those that the server gives.
    indices.retain(|name| !name.ends_with("_key"));
    assert_eq!(indices, there);
}

/// Puts rows into every table: in each column what it holds, and another value in each row.
async fn fill(file: &mut SqliteConnection, tables: &Tables, in_order: &[String], rows: u32) {
    for table in in_order {
        let columns = &tables[table];
        let names: Vec<String> = columns.keys().map(|name| format!("\"{name}\"")).collect();
        let values = columns.values().map(|column| match column.kind {
            Kind::Number => "n",
            Kind::Text => "'text ' || n",
            Kind::Bytes => "cast('bytes ' || n as blob)",
        });
        let values: Vec<&str> = values.collect();
        let insert = |rows: u32| {
            AssertSqlSafe(format!(
                "insert into {table} ({}) with recursive c (n) as \
                   (select 1 union all select n + 1 from c where n < {rows}) select {} from c",
                names.join(", "),
                values.join(", ")
            ))
        };
        // Of some there is one row at most.
        if file.execute(insert(rows)).await.is_err() {
            file.execute(insert(1)).await.unwrap();
        }
    }
}

/// Each row of a table as text, by the names of its columns.
fn select(table: &str, columns: &BTreeMap<String, Column>, bytes: &str, text: &str) -> String {
    let values = columns.iter().map(|(name, column)| match column.kind {
        Kind::Bytes => bytes.replace('?', name),
        Kind::Number | Kind::Text => text.replace('?', name),
    });
    let values: Vec<String> = values
        .map(|value| format!("coalesce({value}, 'none')"))
        .collect();
    format!("select {} from {table}", values.join(" || ', ' || "))
}

#[tokio::test]
async fn every_column_of_every_table_moves_to_a_server_whatever_their_order_there() {
    let (folder, ledger, schema, target) = both().await;
    let mut file = open(&folder.path().join("ledger.db")).await;
    let mut server = schema.connect().await;
    // As later migrations may leave it: a column that came last, and elsewhere was there first.
    file.execute("alter table items add column later_text text; alter table items add column later_number integer")
        .await
        .unwrap();
    server
        .execute("alter table items add column later_number bigint; alter table items add column later_text text")
        .await
        .unwrap();
    let mut tables = tables_of_file(&mut file).await;
    for stays in OF_A_FILE {
        tables.remove(stays);
    }
    let in_order: Vec<String> = sqlx::query_scalar(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' \
         and name not in ('fence', '_sqlx_migrations') order by rowid",
    )
    .fetch_all(&mut file)
    .await
    .unwrap();
    assert_eq!(in_order.len(), tables.len());
    // More than are copied at a time.
    fill(&mut file, &tables, &in_order, 700).await;

    let promoted = ledger
        .promote_to(&target, Timestamp::from_millis(1), |_, _| {})
        .await
        .unwrap();
    let moved: BTreeSet<&str> = promoted
        .rows
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(moved, tables.keys().map(String::as_str).collect());
    for (table, columns) in &tables {
        let ours = select(table, columns, "lower(hex(\"?\"))", "cast(\"?\" as text)");
        let theirs = select(table, columns, "encode(\"?\", 'hex')", "\"?\"::text");
        let ours: BTreeSet<String> = sqlx::query_scalar(AssertSqlSafe(ours))
            .fetch_all(&mut file)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let theirs: BTreeSet<String> = sqlx::query_scalar(AssertSqlSafe(theirs))
            .fetch_all(&mut server)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let rows = match table.as_str() {
            "encryption_key_check" | "reference_key" | "restores" => 1,
            // A hundred plans of dead processes were taken away before.
            "unfinished_plans" => 600,
            _ => 700,
        };
        assert_eq!(ours.len(), rows, "{table}");
        assert!(
            ours == theirs,
            "{table}: {:?}",
            ours.difference(&theirs).next()
        );
        let told = promoted.rows.iter().find(|(name, _)| name == table);
        assert_eq!(
            told.map(|(_, rows)| *rows),
            Some(ours.len() as u64),
            "{table}"
        );
    }
    // The server numbers on where the file ended.
    let next: i64 = sqlx::query_scalar(
        "insert into runs (workflow, occurrence, source, params, started_at) \
         values ('w', 'o', '', '{}', 1) returning id",
    )
    .fetch_one(&mut server)
    .await
    .unwrap();
    assert_eq!(next, 701);
}
