//! Statements of the gateways: the lines of the files that were fetched, a day of a lane each.
//!
//! A day is kept once, with all its lines or not at all. What the lines mean for our items is not
//! known here; `statements/reconcile.rs` holds them against each other.

use payrun_domain::difference::SummaryRemark;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::Ledger;
use crate::db::write_tx::WriteTx;
use crate::error::{LedgerError, undecodable};
use crate::items::item_rows::list;
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;

/// What stands for the hash where there is no file: a day without trades.
const NO_FILE: &str = "nothing";

/// How many lines one statement of SQL inserts.
const CHUNK: usize = 500;

/// A statement that was fetched.
#[derive(Debug, Clone)]
pub struct NewStatement {
    /// The gateway account.
    pub lane: String,
    /// The day, as the gateway counts days: `YYYY-MM-DD`.
    pub day: String,
    /// Hex SHA-256 of the file.
    pub sha256: String,
    /// Where the file is.
    pub location: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// When its day is over: what was fetched before may lack lines, and gives way to a later file.
    pub day_ends: Timestamp,
    /// What its totals say otherwise than its lines.
    pub remarks: Vec<SummaryRemark>,
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LineKind {
    /// Money from a payer.
    Payment,
    /// Money back to a payer.
    Refund,
    /// A payment that was taken back as a whole.
    Reversal,
    /// Anything else.
    Other,
}

/// One line of a statement. A text is empty where the file has nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// Its number in the file, from 1.
    pub line: u64,
    /// What it is about.
    pub kind: LineKind,
    /// When, as written.
    pub time: String,
    /// The merchant's number of the payment.
    pub order_no: String,
    /// The gateway's number of the payment.
    pub transaction_id: String,
    /// The merchant's number of the refund.
    pub refund_no: String,
    /// The gateway's number of the refund.
    pub refund_id: String,
    /// The gateway's word for its state.
    pub state: String,
    /// How much was paid, or given back.
    pub amount: Option<Amount>,
    /// The gateway's fee, in minor units.
    pub fee: Option<(i64, Currency)>,
    /// What the line does to what the gateway owes us, in minor units.
    pub settled: Option<(i64, Currency)>,
}

/// What became of a statement that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptStatement {
    /// It is new.
    New,
    /// The same file was kept before.
    Known,
    /// Another file of that day was kept before, when the day was over; that one stays.
    Other,
}

/// A day's statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementRow {
    /// Its id.
    pub id: i64,
    /// The day: `YYYY-MM-DD`.
    pub day: String,
    /// When it was fetched.
    pub fetched_at: Timestamp,
    /// What its totals say otherwise than its lines.
    pub remarks: Vec<SummaryRemark>,
}

impl LineKind {
    /// All.
    pub const ALL: [Self; 4] = [Self::Payment, Self::Refund, Self::Reversal, Self::Other];

    /// The word for it, as the ledger spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Reversal => "reversal",
            Self::Other => "other",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Ledger {
    /// Keeps a day's statement with all its lines.
    ///
    /// # Errors
    /// Whatever the database says; then nothing of it was kept.
    pub async fn keep_statement(
        &self,
        statement: &NewStatement,
        lines: impl IntoIterator<Item = StatementLine, IntoIter: Send> + Send,
    ) -> Result<KeptStatement, LedgerError> {
        let mut tx = self.begin_write("keeping a statement").await?;
        let kept = keep(&mut tx, statement, lines.into_iter()).await?;
        if kept == KeptStatement::Other {
            tx.rollback().await
        } else {
            tx.commit().await
        }
        .map(|()| kept)
    }

    /// The statements of a lane from one day to another, in the order of their days; at most a
    /// thousand.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn statements(
        &self,
        lane: &str,
        from: &str,
        to: &str,
    ) -> Result<Vec<StatementRow>, LedgerError> {
        let failed = |source| LedgerError::of("looking for statements", source);
        let query = "select id, day, fetched_at, remarks from statements where lane = $1 and day between $2 and $3 and pruned_at is null \
                     order by day limit 1000";
        let rows = sqlx::query(query)
            .bind(lane)
            .bind(from)
            .bind(to)
            .fetch_all(&self.read)
            .await
            .map_err(failed)?;
        let row = |row: &AnyRow| {
            let id: i64 = row.try_get("id")?;
            let remarks: Option<&str> = row.try_get("remarks")?;
            Ok(StatementRow {
                id,
                day: row.try_get("day")?,
                fetched_at: Timestamp::from_millis(row.try_get("fetched_at")?),
                remarks: remarks.map_or_else(
                    || Ok(Vec::new()),
                    |text| {
                        serde_json::from_str(text)
                            .map_err(|_| undecodable("statements", id, "remarks"))
                    },
                )?,
            })
        };
        rows.iter()
            .map(row)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Lines of a statement from behind `after` on, in the order of the file.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn statement_lines(
        &self,
        statement_id: i64,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StatementLine>, LedgerError> {
        let query = "select * from statement_lines where statement_id = $1 and line > $2 order by line limit $3";
        let query = sqlx::query(query)
            .bind(statement_id)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit));
        let rows = query.fetch_all(&self.read).await;
        let rows = rows.map_err(|source| LedgerError::of("reading a statement", source))?;
        rows.iter().map(|row| line_row(row, statement_id)).collect()
    }
}

async fn keep(
    tx: &mut WriteTx,
    statement: &NewStatement,
    lines: impl Iterator<Item = StatementLine> + Send,
) -> Result<KeptStatement, LedgerError> {
    let failed = |source| LedgerError::of("keeping a statement", source);
    let known =
        sqlx::query("select id, sha256, fetched_at from statements where lane = $1 and day = $2")
            .bind(&statement.lane)
            .bind(&statement.day)
            .fetch_optional(tx.connection())
            .await
            .map_err(failed)?;
    if let Some(known) = known {
        let (id, sha256): (i64, String) = (
            known.try_get("id").map_err(failed)?,
            known.try_get("sha256").map_err(failed)?,
        );
        let fetched_at: i64 = known.try_get("fetched_at").map_err(failed)?;
        let was_open = fetched_at < statement.day_ends.millis();
        if sha256 == statement.sha256 {
            if was_open {
                let again = sqlx::query(
                    "update statements set fetched_at = $2, location = $3 where id = $1",
                );
                let again = again
                    .bind(id)
                    .bind(statement.fetched_at.millis())
                    .bind(&statement.location);
                again.execute(tx.connection()).await.map_err(failed)?;
            }
            return Ok(KeptStatement::Known);
        }
        // It was a day without trades as far as anybody knew, or one that was not over.
        if sha256 != NO_FILE && !was_open {
            return Ok(KeptStatement::Other);
        }
        for delete in [
            "delete from statement_lines where statement_id = $1",
            "delete from statements where id = $1",
        ] {
            sqlx::query(delete)
                .bind(id)
                .execute(tx.connection())
                .await
                .map_err(failed)?;
        }
    }
    let insert = "insert into statements (lane, day, sha256, location, lines, fetched_at, remarks) \
                  values ($1, $2, $3, $4, 0, $5, $6) returning id";
    let id: i64 = sqlx::query_scalar(insert)
        .bind(&statement.lane)
        .bind(&statement.day)
        .bind(&statement.sha256)
        .bind(&statement.location)
        .bind(statement.fetched_at.millis())
        .bind((!statement.remarks.is_empty()).then(|| list(&statement.remarks)))
        .fetch_one(tx.connection())
        .await
        .map_err(failed)?;
    let (mut count, mut chunk) = (0_i64, Vec::with_capacity(CHUNK));
    for line in lines {
        count += 1;
        chunk.push(line);
        if chunk.len() == CHUNK {
            insert_lines(tx, id, &chunk).await?;
            chunk.clear();
        }
    }
    insert_lines(tx, id, &chunk).await?;
    let counted = sqlx::query("update statements set lines = $2 where id = $1")
        .bind(id)
        .bind(count);
    counted.execute(tx.connection()).await.map_err(failed)?;
    Ok(KeptStatement::New)
}

async fn insert_lines(
    tx: &mut WriteTx,
    statement_id: i64,
    lines: &[StatementLine],
) -> Result<(), LedgerError> {
    let minor_of = |sum: Option<(i64, Currency)>| sum.map(|(minor, _)| minor);
    let code_of = |sum: Option<(i64, Currency)>| sum.map(|(_, currency)| currency.code());
    let rows: Vec<_> = lines
        .iter()
        .map(|line| {
            json!({
                "line": line.line,
                "kind": line.kind.as_str(),
                "time": line.time,
                "order_no": line.order_no,
                "transaction_id": line.transaction_id,
                "refund_no": line.refund_no,
                "refund_id": line.refund_id,
                "state": line.state,
                "amount": line.amount.map(Amount::minor),
                "currency": line.amount.map(|amount| amount.currency().code()),
                "fee": minor_of(line.fee),
                "fee_currency": code_of(line.fee),
                "settled": minor_of(line.settled),
                "settled_currency": code_of(line.settled),
            })
        })
        .collect();
    sqlx::query(include_str!("keep_lines.sql"))
        .bind(list(&rows))
        .bind(statement_id)
        .execute(tx.connection())
        .await
        .map_err(|source| LedgerError::of("keeping the lines of a statement", source))?;
    Ok(())
}

pub(crate) fn line_row(row: &AnyRow, statement_id: i64) -> Result<StatementLine, LedgerError> {
    let failed = |source| LedgerError::of("reading a line of a statement", source);
    let line: i64 = row.try_get("line").map_err(failed)?;
    let corrupt = |column| {
        LedgerError::corrupt(
            "statement_lines",
            format!("{statement_id}, line {line}"),
            column,
        )
    };
    let word: &str = row.try_get("kind").map_err(failed)?;
    let sum = |minor: &str, code: &str| match (
        row.try_get(minor),
        row.try_get::<Option<&str>, _>(code),
    ) {
        (Ok(Some(minor)), Ok(Some(code))) => Currency::parse(code)
            .map(|currency| Some((minor, currency)))
            .map_err(|_| corrupt("currency")),
        (Ok(Some(_)), Ok(None)) => Err(corrupt("currency")),
        (Ok(None), Ok(_)) => Ok(None),
        (Err(source), _) | (_, Err(source)) => Err(failed(source)),
    };
    let amount =
        sum("amount", "currency")?.map(|(minor, currency)| Amount::from_minor(minor, currency));
    Ok(StatementLine {
        line: u64::try_from(line).map_err(|_| corrupt("line"))?,
        kind: LineKind::parse(word).ok_or_else(|| corrupt("kind"))?,
        time: row.try_get("time").map_err(failed)?,
        order_no: row.try_get("order_no").map_err(failed)?,
        transaction_id: row.try_get("transaction_id").map_err(failed)?,
        refund_no: row.try_get("refund_no").map_err(failed)?,
        refund_id: row.try_get("refund_id").map_err(failed)?,
        state: row.try_get("state").map_err(failed)?,
        amount: amount.transpose().map_err(|_| corrupt("amount"))?,
        fee: sum("fee", "fee_currency")?,
        settled: sum("settled", "settled_currency")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(sha256: &str) -> NewStatement {
        NewStatement {
            lane: "hk".to_owned(),
            day: "2026-11-20".to_owned(),
            sha256: sha256.to_owned(),
            location: "statements/hk/2026-11-20.csv".to_owned(),
            fetched_at: Timestamp::from_millis(0),
            day_ends: Timestamp::from_millis(0),
            remarks: Vec::new(),
        }
    }

    fn line(line: u64) -> StatementLine {
        let hkd = Currency::parse("HKD").unwrap();
        StatementLine {
            line,
            kind: LineKind::Refund,
            time: "2026-11-20 10:00:00".to_owned(),
            order_no: format!("P-{line}"),
            transaction_id: "42".to_owned(),
            refund_no: "R-1".to_owned(),
            refund_id: "50".to_owned(),
            state: "SUCCESS".to_owned(),
            amount: Amount::from_minor(1250, hkd).ok(),
            fee: Some((-3, hkd)),
            settled: None,
        }
    }

    #[tokio::test]
    async fn a_day_is_kept_once_and_its_lines_come_back_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("ledger.db"))
            .await
            .unwrap();
        let lines: Vec<StatementLine> = (1..=1201).map(line).collect();
        assert_eq!(
            ledger
                .keep_statement(&statement("a"), lines.clone())
                .await
                .unwrap(),
            KeptStatement::New
        );
        assert_eq!(
            ledger
                .keep_statement(&statement("a"), lines.clone())
                .await
                .unwrap(),
            KeptStatement::Known
        );
        assert_eq!(
            ledger
                .keep_statement(&statement("b"), [line(1)])
                .await
                .unwrap(),
            KeptStatement::Other
        );
        let kept = ledger
            .statements("hk", "2026-11-20", "2026-11-20")
            .await
            .unwrap();
        let [kept] = kept.as_slice() else {
            panic!("{kept:?}")
        };
        let first = ledger.statement_lines(kept.id, 0, 1000).await.unwrap();
        let rest = ledger.statement_lines(kept.id, 1000, 1000).await.unwrap();
        assert_eq!([first, rest].concat(), lines);
        assert!(
            ledger
                .statements("eu", "2026-11-20", "2026-11-20")
                .await
                .unwrap()
                .is_empty()
        );
    }
}
