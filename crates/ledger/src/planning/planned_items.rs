//! Items are added to a plan, a chunk at a time. Each key makes one item; every other row that has
//! it is refused.

use std::collections::HashMap;
use std::sync::LazyLock;

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

use crate::db::location::DbKind;
use crate::error::LedgerError;
use crate::items::item_rows::text;
use crate::planning::payment_names::PaymentNames;
use crate::planning::plan::PlanWriter;
use crate::planning::references::{ItemReference, keep_references};
use crate::planning::rejected_rows::{RejectedRow, contradicts, duplicate_in_run, number_taken};
use crate::planning::replacement::ReplacementCheck;
use crate::planning::whole_or_parts::{ItemPart, Replaced};
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::State;
use payrun_domain::money::Amount;

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
    /// By what else it is found.
    pub references: Vec<ItemReference>,
    /// Of what it is the whole, or a part, where only one of both may be done.
    pub part: Option<ItemPart>,
    /// The payment it is of, where it is named by two numbers.
    pub payment: Option<PaymentNames>,
    /// Whether it does again what failed, with other content.
    pub again: ReplacementCheck,
}

impl NewItem {
    /// What it does again with other content.
    pub(super) fn replaced(&self) -> Replaced<'_> {
        self.again
            .replaces()
            .map_or(Replaced { but: 0, chain: "" }, |of| Replaced {
                but: of.earlier.id(),
                chain: &self.key,
            })
    }

    /// Whether an earlier row of the run has its key with other personal data.
    pub(super) const fn contradicts(&self) -> bool {
        matches!(self.again, ReplacementCheck::Contradicts)
    }
}

impl PlanWriter {
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
        while self.waits_for_parts(items).await? {}
        let (fresh, doubtful) = self.with_one_name_each(job_id, items, fresh).await?;
        refused.extend(doubtful);
        let (fresh, clashing) = self.without_clashes(job_id, fresh).await?;
        refused.extend(clashing);
        let before = self.newest_item().await?;
        let inserted = self.insert(job_id, &fresh).await?;
        keep_references(self.connection().await?, job_id, &fresh, before).await?;
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
                    self.total_changes
                        .add(job_id, item.amount, State::Planned, 1);
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
        let due = self.send_at.unwrap_or(self.now).millis();
        let tx = self.write_tx().await?;
        let engine = tx.db_kind();
        let connection = tx.connection();
        let mut inserted = 0;
        for rows in items.chunks(ROWS) {
            let mut statement = match rows.len() {
                ROWS => sqlx::query(AssertSqlSafe(full_statement(engine))),
                // The last chunk has a length of its own, which hardly comes again.
                fewer => sqlx::query(AssertSqlSafe(statement_for(engine, fewer))).persistent(false),
            };
            for item in rows {
                statement = bind_item(statement.bind(job_id).bind(due), item);
            }
            inserted += statement
                .execute(&mut *connection)
                .await
                .map_err(|source| LedgerError::of("planning items", source))?
                .rows_affected();
        }
        Ok(inserted)
    }
}

/// How many items are bound to one statement: a value each, which costs a third of reading them
/// from a JSON list.
const ROWS: usize = 100;

/// The values of an item that `planning/plan_items.sql` takes, in its order.
const VALUES: usize = 21;

/// The statement of as many items as one takes.
fn full_statement(engine: DbKind) -> &'static str {
    static SQLITE: LazyLock<String> = LazyLock::new(|| statement_for(DbKind::Sqlite, ROWS));
    static POSTGRES: LazyLock<String> = LazyLock::new(|| statement_for(DbKind::Postgres, ROWS));
    match engine {
        DbKind::Sqlite => &SQLITE,
        DbKind::Postgres => &POSTGRES,
    }
}

/// The statement that writes so many items.
fn statement_for(engine: DbKind, rows: usize) -> String {
    let value = |n: usize| match engine {
        // A number makes a name of it, and sqlx looks for each name among all of them: two thirds of
        // the time of a plan.
        DbKind::Sqlite => "?".to_owned(),
        DbKind::Postgres => format!("${}", n + 1),
    };
    let rows: Vec<String> = (0..rows)
        .map(|row| {
            let values: Vec<String> = (row * VALUES..(row + 1) * VALUES).map(value).collect();
            format!("({}, 'planned')", values.join(", "))
        })
        .collect();
    include_str!("plan_items.sql").replace("{rows}", &rows.join(", "))
}

fn bind_item<'q>(
    statement: Query<'q, Any, AnyArguments>,
    item: &NewItem,
) -> Query<'q, Any, AnyArguments> {
    let order_no = match &item.custom_order_no {
        Some(custom) => custom.clone(),
        None => OrderNumber::derive(item.key_hash, 1),
    };
    let (part, payment) = (item.part.as_ref(), item.payment.as_ref());
    statement
        .bind(i64::try_from(item.line).unwrap_or(i64::MAX))
        .bind(text(&item.key))
        .bind(bytes(item.key_hash))
        .bind(bytes(item.content_hash))
        .bind(item.exclusive_key.map(bytes))
        .bind(text(order_no.as_str()))
        .bind(
            item.custom_order_no
                .as_ref()
                .map(|number| text(number.as_str())),
        )
        .bind(item.amount.map(Amount::minor))
        .bind(item.amount.map(|amount| amount.currency().code()))
        .bind(text(&item.input))
        .bind(item.again.replaces().map(|of| text(&of.result())))
        .bind(part.map(|part| bytes(part.of)))
        .bind(part.map(|part| text(&part.folded())))
        .bind(part.map(|part| text(&part.written())))
        .bind(part.map(|part| i64::from(part.once)))
        .bind(payment.map(|names| text(&names.ours())))
        .bind(payment.map(|names| text(&names.theirs())))
        .bind(payment.and_then(PaymentNames::part).map(|part| text(&part)))
        .bind(payment.map(|names| text(&names.written())))
}

fn bytes(hash: KeyHash) -> Vec<u8> {
    hash.as_bytes().to_vec()
}
