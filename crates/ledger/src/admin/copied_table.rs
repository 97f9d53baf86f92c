//! A table of a SQLite ledger as it is copied to a server, page by page in the order of its primary
//! key, and compared there.
//!
//! What there is to copy is read from the schema of the file, so that no table and no column that a
//! migration adds is left behind. Columns go by their names: their order may differ on the server.

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};

use crate::admin::promote::{COPYING, PromoteError};
use crate::error::LedgerError;
use crate::items::item_rows::list;

/// How many rows are copied and compared at a time.
const PAGE: usize = 500;

/// The tables of a file that are not the ledger's content; everything else is copied. (The server
/// has two more that no file has: `nodes`, whose rows are locks of that server, and `moved_here`,
/// which the move itself writes.)
const NOT_COPIED: [&str; 2] = [
    // sqlx's own: the server's schema was made by the server's migrations.
    "_sqlx_migrations",
    // It says that this file was moved, and to where.
    "fence",
];

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnType {
    Number,
    Text,
    Bytes,
}

impl ColumnType {
    /// Of the type that a migration gives a column.
    fn of(declared: &str) -> Option<Self> {
        match declared.to_ascii_lowercase().as_str() {
            "integer" => Some(Self::Number),
            "text" => Some(Self::Text),
            "blob" => Some(Self::Bytes),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Column {
    name: String,
    holds: ColumnType,
}

/// A table, and its columns, those of the primary key first.
#[derive(Debug)]
pub(crate) struct CopiedTable {
    pub name: String,
    columns: Vec<Column>,
    /// How many columns the primary key has.
    key: usize,
}

/// Every table of a SQLite ledger that is copied, in the order in which the migrations made them: a
/// table refers only to those before it.
pub(crate) async fn copied_tables(
    file: &mut AnyConnection,
) -> Result<Vec<CopiedTable>, LedgerError> {
    let failed = |source| LedgerError::of("reading the schema", source);
    // SQLite keeps the names that begin with `sqlite_` for itself.
    let query = "select name from sqlite_master where type = 'table' and name not like 'sqlite\\_%' escape '\\' \
                 order by rowid";
    let names: Vec<String> = sqlx::query_scalar(query)
        .fetch_all(&mut *file)
        .await
        .map_err(failed)?;
    let mut tables = Vec::new();
    for name in names {
        if !NOT_COPIED.contains(&name.as_str()) {
            tables.push(CopiedTable::read(file, name).await?);
        }
    }
    Ok(tables)
}

impl CopiedTable {
    async fn read(file: &mut AnyConnection, name: String) -> Result<Self, LedgerError> {
        let failed = |source| LedgerError::of("reading the schema", source);
        // `pk` is a column's place in the primary key, from 1; 0 is none.
        let query = "select name, type, pk from pragma_table_info($1) order by pk = 0, pk, cid";
        let rows = sqlx::query(query)
            .bind(&name)
            .fetch_all(file)
            .await
            .map_err(failed)?;
        let (mut columns, mut key) = (Vec::with_capacity(rows.len()), 0);
        for row in &rows {
            let column: String = row.try_get(0).map_err(failed)?;
            let declared: String = row.try_get(1).map_err(failed)?;
            let holds = ColumnType::of(&declared).ok_or_else(|| LedgerError::Inconsistent {
                what: format!("{name}.{column} is of the type {declared:?}"),
            })?;
            key += usize::from(row.try_get::<i64, _>(2).map_err(failed)? > 0);
            columns.push(Column {
                name: column,
                holds,
            });
        }
        if key == 0 {
            return Err(LedgerError::Inconsistent {
                what: format!("{name} has no primary key"),
            });
        }
        Ok(Self { name, columns, key })
    }

    fn names(&self) -> String {
        quoted(&self.columns)
    }

    fn keys(&self) -> String {
        quoted(&self.columns[..self.key])
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
        for (value, column) in after.into_iter().flatten().zip(&self.columns) {
            query = match column.holds {
                ColumnType::Number => query.bind(value.as_i64()),
                ColumnType::Text => query.bind(value.as_str().map(str::to_owned)),
                ColumnType::Bytes => {
                    query.bind(value.as_str().and_then(|text| hex::decode(text).ok()))
                }
            };
        }
        let rows = query.fetch_all(connection).await.map_err(failed)?;
        rows.iter()
            .map(|row| self.values(row).map_err(failed))
            .collect()
    }

    fn values(&self, row: &AnyRow) -> Result<Vec<Value>, sqlx::Error> {
        let value = |(place, column): (usize, &Column)| {
            Ok(match column.holds {
                ColumnType::Number => row.try_get::<Option<i64>, _>(place)?.map(Value::from),
                ColumnType::Text => row.try_get::<Option<String>, _>(place)?.map(Value::from),
                ColumnType::Bytes => row
                    .try_get::<Option<Vec<u8>>, _>(place)?
                    .map(|bytes| Value::from(hex::encode(bytes))),
            }
            .unwrap_or_default())
        };
        self.columns.iter().enumerate().map(value).collect()
    }

    /// Copies every row to the server, whose next numbers follow on.
    pub async fn copy(
        &self,
        from: &mut AnyConnection,
        to: &mut AnyConnection,
    ) -> Result<(), LedgerError> {
        let failed = |source| LedgerError::of(COPYING, source);
        let field = |(place, column): (usize, &Column)| match column.holds {
            ColumnType::Number => format!("cast(value ->> {place} as bigint)"),
            ColumnType::Text => format!("value ->> {place}"),
            ColumnType::Bytes => format!("unhex(value ->> {place})"),
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
        self.number_on(to).await.map_err(failed)
    }

    /// Has the server number new rows from behind the copied ones, where it numbers them.
    async fn number_on(&self, to: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let query = "select cast(column_name as text) from information_schema.columns \
                     where table_schema = current_schema() and table_name = $1 and is_identity = 'YES'";
        let numbered: Option<String> = sqlx::query_scalar(query)
            .bind(&self.name)
            .fetch_optional(&mut *to)
            .await?;
        if let Some(column) = numbered {
            let next = format!(
                "select setval(pg_get_serial_sequence('{0}', '{column}'), \
                   coalesce((select max({column}) from {0}), 0) + 1, false)",
                self.name
            );
            sqlx::raw_sql(AssertSqlSafe(next)).execute(to).await?;
        }
        Ok(())
    }

    /// How many rows there are, all of them the same on both sides.
    pub async fn compare(
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
                    table: self.name.clone(),
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

fn quoted(columns: &[Column]) -> String {
    columns
        .iter()
        .map(|column| format!("\"{}\"", column.name))
        .collect::<Vec<_>>()
        .join(", ")
}
