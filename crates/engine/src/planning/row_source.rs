//! The rows of a job, wherever they come from: a file, the calendar, contracts, or the items of
//! another job.
//!
//! The items of a job are read in pages, so that memory stays flat. Their columns are the input
//! fields, `key`, `order_no`, `receipt`, `state`, `amount`, `currency`, and `result_NAME` for each
//! fact of the gateway's reply.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{Days, NaiveDate};
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::contracts::ContractRows;
use crate::vault::{StoredInputError, Vault, open_stored, sealed};
use payrun_domain::item::State;
use payrun_domain::message::Message;
use payrun_ledger::{ItemRow, Ledger, LedgerError, PlannedContract, RejectedRow, filed_again_as};
use payrun_project::job_kinds::JobKind;
use payrun_project::workflow::source::{self, FileReading, FileRow, RowError};
use payrun_project::workflow::{CONTRACT_COLUMNS, DaySpan, Job, Template};

/// How many items are read at a time.
const PAGE: u32 = 500;

/// Rows on their way.
pub(crate) enum RowStream {
    /// Of a file.
    File(Box<source::FileRows>),
    /// Few enough to be made at once.
    Made {
        columns: Vec<String>,
        rows: VecDeque<Vec<String>>,
        line: u64,
    },
    /// The items of other jobs.
    Items(Box<ItemRows>),
    /// What contracts owe.
    Contracts(Box<ContractRows>),
}

/// Why a row could not be read.
pub(crate) enum RowReadError {
    /// The row, or the file.
    Row(RowError),
    /// The ledger.
    Ledger(LedgerError),
    /// It can be read, and makes no item.
    Refused(Box<RejectedRow>),
}

impl From<LedgerError> for RowReadError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// The items of other jobs, a page at a time, job by job: a later job may have earlier items, where
/// its run was planned first.
pub(crate) struct ItemRows {
    items: JobItems,
    states: Vec<State>,
    columns: Vec<String>,
    /// Those that go into sensitive fields only: no other is opened.
    secret: BTreeSet<String>,
    vault: Option<Arc<Vault>>,
    page: VecDeque<ItemRow>,
    /// The last item of the job that is read.
    after: i64,
    /// Whether the job has no more items than are in the page.
    is_last_page: bool,
}

/// Whose items, and how they are read.
pub(crate) struct JobItems {
    pub(crate) ledger: Ledger,
    /// The reading thread is no task: it waits here for the ledger.
    pub(crate) runtime: Handle,
    /// The jobs, in the order of their ids, and of what kind they are, where that is known.
    pub(crate) jobs: VecDeque<(i64, Option<Arc<JobKind>>)>,
}

impl RowStream {
    /// One row for each day of a span.
    pub(crate) fn days(span: DaySpan, run_date: &str) -> Self {
        let rows = days_of(span, run_date)
            .into_iter()
            .map(|day| vec![day])
            .collect();
        Self::Made {
            columns: vec!["date".to_owned()],
            rows,
            line: 0,
        }
    }

    /// One row for the whole span.
    pub(crate) fn window(span: DaySpan, run_date: &str) -> Self {
        let days = days_of(span, run_date);
        let ends = days.first().cloned().zip(days.last().cloned());
        let rows = ends.into_iter().map(|(from, to)| vec![from, to]).collect();
        Self::Made {
            columns: vec!["from".to_owned(), "to".to_owned()],
            rows,
            line: 0,
        }
    }

    /// The items of jobs in these states, with these columns.
    pub(crate) fn items(
        items: JobItems,
        states: Vec<State>,
        columns: UsedColumns,
        vault: Option<Arc<Vault>>,
    ) -> Self {
        let (page, after, is_last_page) = (VecDeque::new(), 0, false);
        Self::Items(Box::new(ItemRows {
            items,
            states,
            columns: columns.used,
            secret: columns.secret,
            vault,
            page,
            after,
            is_last_page,
        }))
    }

    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::File(rows) => rows.columns().to_vec(),
            Self::Made { columns, .. } => columns.clone(),
            Self::Items(rows) => rows.columns.clone(),
            Self::Contracts(_) => CONTRACT_COLUMNS.map(str::to_owned).to_vec(),
        }
    }

    /// How the file was understood, where it is one.
    pub(crate) fn reading(&self) -> Option<&FileReading> {
        match self {
            Self::File(rows) => Some(rows.reading()),
            Self::Made { .. } | Self::Items(_) | Self::Contracts(_) => None,
        }
    }

    /// Whether what has been read so far may be written: of contracts, only whole ones.
    pub(crate) fn is_between(&self) -> bool {
        match self {
            Self::Contracts(rows) => rows.is_between(),
            Self::File(_) | Self::Made { .. } | Self::Items(_) => true,
        }
    }

    /// The contracts that have been read since this was asked last.
    pub(crate) fn taken(&mut self) -> Vec<PlannedContract> {
        match self {
            Self::Contracts(rows) => rows.taken(),
            Self::File(_) | Self::Made { .. } | Self::Items(_) => Vec::new(),
        }
    }

    /// Reads the next row; none at the end.
    pub(crate) fn read(&mut self, row: &mut FileRow) -> Option<Result<(), RowReadError>> {
        match self {
            Self::File(rows) => rows.read(row).map(|read| read.map_err(RowReadError::Row)),
            Self::Made { rows, line, .. } => {
                let cells = rows.pop_front()?;
                *line += 1;
                *row = FileRow::of(*line, &cells.iter().map(String::as_str).collect::<Vec<_>>());
                Some(Ok(()))
            }
            Self::Items(rows) => rows.next().map(|read| read.map(|next| *row = next)),
            Self::Contracts(rows) => rows.read(row),
        }
    }
}

impl ItemRows {
    fn next(&mut self) -> Option<Result<FileRow, RowReadError>> {
        while self.page.is_empty()
            && let Some((job, _)) = self.items.jobs.front().cloned()
        {
            if std::mem::take(&mut self.is_last_page) {
                self.items.jobs.pop_front();
                self.after = 0;
                continue;
            }
            let items = &self.items;
            let reading = items
                .ledger
                .items_of_job(job, &self.states, self.after, PAGE);
            match items.runtime.block_on(reading) {
                Ok(page) => {
                    self.is_last_page = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
                    self.after = page.last().map_or(self.after, |item| item.id);
                    // What is filed again with other content is the other item's by now.
                    for item in page {
                        match filed_again_as(item.id, item.result.as_deref()) {
                            Ok(None) => self.page.push_back(item),
                            Ok(Some(_)) => {}
                            Err(error) => return Some(Err(RowReadError::Ledger(error))),
                        }
                    }
                }
                Err(error) => return Some(Err(RowReadError::Ledger(error))),
            }
        }
        let item = self.page.pop_front()?;
        let cells = self.cells(&item);
        Some(match cells {
            Ok(cells) => {
                let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
                Ok(FileRow::of(item.line, &cells))
            }
            Err(error) => Err(error),
        })
    }

    fn cells(&self, item: &ItemRow) -> Result<Vec<String>, RowReadError> {
        let refused = |reason: Message| {
            RowReadError::Row(RowError {
                line: item.line,
                reason,
                fatal: false,
            })
        };
        let mut input = item.fields()?;
        let result = item.facts()?.unwrap_or_default();
        let fields = self
            .items
            .jobs
            .front()
            .and_then(|(_, kind)| kind.as_ref())
            .map_or(&[][..], |kind| &kind.fields);
        let is_personal = |name: &str| {
            fields
                .iter()
                .any(|field| field.sensitive && field.name == name)
        };
        let is_wanted = |name: &String, value: &Value| {
            self.columns.contains(name) && (sealed(value).is_some() || is_personal(name))
        };
        let mut wanted = input.iter().filter(|(name, value)| is_wanted(name, value));
        if let Some((name, _)) = wanted
            .clone()
            .find(|(name, _)| !self.secret.contains(*name))
        {
            let personal = Message::new(
                "column-personal",
                "the column {name} holds personal data; it may go into a field for such data only",
            );
            return Err(refused(personal.with("name", name)));
        }
        if wanted.next().is_some() {
            let key = item
                .key_hash
                .ok_or_else(|| refused(Message::new("item-no-key", "the item has no key")))?;
            input = open_stored(self.vault.as_deref(), input, fields, (item.id, key)).map_err(
                |error| match error {
                    StoredInputError::Ledger(error) => RowReadError::Ledger(error),
                    StoredInputError::Vault(error) => refused(error.message()),
                },
            )?;
        }
        Ok(self
            .columns
            .iter()
            .map(|column| cell(column, item, &input, &result))
            .collect())
    }
}

fn cell(
    column: &str,
    item: &ItemRow,
    input: &Map<String, Value>,
    result: &Map<String, Value>,
) -> String {
    if let Some(fact) = column.strip_prefix("result_") {
        return result.get(fact).map(text).unwrap_or_default();
    }
    match column {
        "key" => item.key.clone(),
        "order_no" => item.order_no.clone().unwrap_or_default(),
        "receipt" => item.receipt.clone().unwrap_or_default(),
        "state" => item.state.as_str().to_owned(),
        "amount" => item
            .amount
            .map(|amount| amount.decimal())
            .unwrap_or_default(),
        "currency" => item
            .amount
            .map(|amount| amount.currency().code().to_owned())
            .unwrap_or_default(),
        field => input.get(field).map(text).unwrap_or_default(),
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The columns that a job's templates ask of another job's items.
pub(crate) struct UsedColumns {
    used: Vec<String>,
    secret: BTreeSet<String>,
}

impl UsedColumns {
    /// Of a job.
    pub(crate) fn of(job: &Job) -> Self {
        let is_secret = |name: &str| job.kind.field(name).is_some_and(|field| field.sensitive);
        let columns = |template: &Template| -> Vec<String> {
            template
                .item_columns()
                .into_iter()
                .map(str::to_owned)
                .collect()
        };
        let (secret, open): (Vec<_>, Vec<_>) =
            job.with.iter().partition(|(name, _)| is_secret(name));
        let open = open
            .into_iter()
            .map(|(_, template)| template)
            .chain(&job.key)
            .chain(&job.order_number);
        let condition = job
            .items
            .condition
            .iter()
            .flat_map(|condition| condition.item_columns());
        let open: BTreeSet<String> = open
            .flat_map(columns)
            .chain(condition.map(str::to_owned))
            .collect();
        // Of what is found by a hash alone the hash is all that is kept.
        let hashed = job.items.searchable.iter().filter(|column| column.hashed);
        let secret: BTreeSet<String> = secret
            .into_iter()
            .flat_map(|(_, template)| columns(template))
            .chain(hashed.map(|column| column.name.clone()))
            .collect();
        let used = open.union(&secret).cloned().collect();
        Self {
            used,
            secret: secret.difference(&open).cloned().collect(),
        }
    }
}

/// The days of a span, oldest first.
fn days_of(span: DaySpan, run_date: &str) -> Vec<String> {
    let Ok(date) = NaiveDate::parse_from_str(run_date, "%Y-%m-%d") else {
        return Vec::new();
    };
    let last = if span.today {
        Some(date)
    } else {
        date.pred_opt()
    };
    let back = |days: u32| last?.checked_sub_days(Days::new(u64::from(days)));
    (0..span.days)
        .rev()
        .filter_map(back)
        .map(|day| day.format("%Y-%m-%d").to_string())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use payrun_domain::actor::Actor;
    use payrun_domain::ids::KeyHash;
    use payrun_domain::policy::{Policy, QueryPolicy, Retry};
    use payrun_domain::time::Timestamp;
    use payrun_ledger::{NewItem, NewJob, NewRun};

    #[test]
    fn days_end_yesterday_unless_today_is_asked_for() {
        let span = |days, today| days_of(DaySpan { days, today }, "2026-03-01");
        assert_eq!(span(2, false), ["2026-02-27", "2026-02-28"]);
        assert_eq!(span(2, true), ["2026-02-28", "2026-03-01"]);
        assert!(
            days_of(
                DaySpan {
                    days: 1,
                    today: true
                },
                "soon"
            )
            .is_empty()
        );
    }

    #[test]
    fn a_window_is_one_row_and_days_are_one_each() {
        let mut row = FileRow::default();
        let mut window = RowStream::window(
            DaySpan {
                days: 10,
                today: false,
            },
            "2026-11-22",
        );
        assert!(window.read(&mut row).is_some_and(|read| read.is_ok()));
        assert_eq!(
            (row.get(0), row.get(1)),
            (Some("2026-11-12"), Some("2026-11-21"))
        );
        assert!(window.read(&mut row).is_none());
        let mut days = RowStream::days(
            DaySpan {
                days: 3,
                today: false,
            },
            "2026-11-22",
        );
        assert_eq!(std::iter::from_fn(|| days.read(&mut row)).count(), 3);
    }

    /// A run with a job of so many items that are to be sent.
    async fn planned(ledger: &Ledger, occurrence: &str, items: u64) -> i64 {
        let (at, second) = (Timestamp::from_millis(0), Duration::from_secs(1));
        let run = NewRun {
            workflow: "w".to_owned(),
            occurrence: occurrence.to_owned(),
            at,
            timezone: "UTC".to_owned(),
            source: String::new(),
            file: None,
            params: "{}".to_owned(),
            author: Actor::payrun(),
            now: at,
        };
        let policy = Policy {
            retry: Retry {
                attempts: 1,
                first: second,
                max: second,
            },
            query: QueryPolicy {
                schedule: vec![second],
                grace: second,
                horizon: second,
            },
            dunning: Vec::new(),
        };
        let job = NewJob {
            file: None,
            planned_with_run: true,
            name: "j".to_owned(),
            kind: "refund".to_owned(),
            lane: "hk".to_owned(),
            account: "a".to_owned(),
            needs: Vec::new(),
            policy,
            rate: None,
            concurrency: None,
        };
        let item = |line: u64| {
            let key = format!("{occurrence}-{line}");
            NewItem {
                line,
                key_hash: KeyHash::of("hk", "refund", &key),
                content_hash: KeyHash::of("hk", "refund", &key),
                key,
                exclusive_key: None,
                custom_order_no: None,
                amount: None,
                shared: false,
                references: Vec::new(),
                part: None,
                payment: None,
                again: payrun_ledger::ReplacementCheck::Never,
                input: "{}".to_owned(),
            }
        };
        let mut planning = ledger.plan(run).await.unwrap();
        let id = planning.job(job).await.unwrap();
        assert_eq!(
            planning
                .items(id, &(1..=items).map(item).collect::<Vec<_>>())
                .await
                .unwrap(),
            Vec::new()
        );
        planning.commit().await.unwrap();
        id
    }

    #[test]
    fn each_job_is_read_from_its_first_item_on_whatever_items_the_one_before_had() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (ledger, jobs) = runtime.block_on(async {
            let ledger = Ledger::open(&folder.path().join("ledger.db"))
                .await
                .unwrap();
            let (early, full) = (
                planned(&ledger, "early", 3).await,
                planned(&ledger, "full", u64::from(PAGE)).await,
            );
            let jobs = [planned(&ledger, "late", 2).await, full, early]
                .map(|id| (id, None))
                .into();
            (ledger, jobs)
        });
        let items = JobItems {
            ledger,
            runtime: runtime.handle().clone(),
            jobs,
        };
        let columns = UsedColumns {
            used: vec!["key".to_owned()],
            secret: BTreeSet::new(),
        };
        let mut rows = RowStream::items(items, vec![State::Planned], columns, None);
        let (mut row, mut keys) = (FileRow::default(), Vec::new());
        while let Some(read) = rows.read(&mut row) {
            assert!(read.is_ok());
            keys.push(row.get(0).unwrap().to_owned());
        }
        assert_eq!(keys.len(), 5 + usize::try_from(PAGE).unwrap());
        assert_eq!(
            (
                keys[0].as_str(),
                keys[2].as_str(),
                keys.last().unwrap().as_str()
            ),
            ("late-1", "full-1", "early-3")
        );
    }
}
