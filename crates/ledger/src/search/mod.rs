//! Looking for what a person knows of a payment: a key, a number, a contract, a reference of the
//! payer, an amount on a day.
//!
//! Every way of looking goes by an index of its own and reads a bounded number of rows, however
//! many there are. It only reads; what a text may mean (which fields name contracts, which hash a
//! reference has) is told by whoever asks.

mod items;
mod lines;
mod search_statements;

use crate::Ledger;
use crate::error::LedgerError;
use crate::items::gateway_numbers::GatewayNumber;
use crate::notifications::notification_queue::{NotificationFilter, NotificationRow};
use crate::reads::item::ItemRow;
use crate::reads::runs::RunRow;
use crate::statements::reconcile::TimeSpan;
use crate::statements::statement_files::StatementLine;
use payrun_domain::ids::KeyHash;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

/// How many rows each way of looking reads at most.
pub const LOOKED_AT: usize = 500;

/// What is looked for.
#[derive(Debug, Clone)]
pub struct SearchQuery {
    /// The text, in each form in which it is kept; none: what was sent of an amount on some days.
    pub text: Option<SearchText>,
    /// Only these.
    pub filter: SearchFilter,
    /// How many of each kind are given back at most.
    pub limit: u32,
}

/// A text that is looked for, in each form in which it is kept. It prints nothing of a reference.
#[derive(Clone)]
pub struct SearchText {
    /// As it was given, without blanks around it.
    pub text: String,
    /// As references are kept.
    pub reference: String,
    /// As personal references are kept; none where no item has any.
    pub reference_hash: Option<String>,
    /// What one thing in flight at a time has this name, with the field that names it: a contract.
    pub exclusive_keys: Vec<(KeyHash, String)>,
    /// Fingerprints of the accounts, as payments have them.
    pub accounts: Vec<KeyHash>,
}

impl std::fmt::Debug for SearchText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SearchText").finish_non_exhaustive()
    }
}

/// Which of all that is found is meant.
#[derive(Debug, Clone, Default)]
pub struct SearchFilter {
    /// Of this gateway account.
    pub lane: Option<String>,
    /// On these days.
    pub days: Option<SearchDays>,
    /// Of this amount.
    pub amount: Option<Amount>,
}

/// Days, on the wall clock of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchDays {
    /// The first, `YYYY-MM-DD`.
    pub first: String,
    /// The last.
    pub last: String,
    /// All of them.
    pub span: TimeSpan,
}

impl SearchDays {
    fn has(&self, at: Timestamp) -> bool {
        self.span.from <= at && at < self.span.until
    }
}

/// In which way something was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchedBy {
    /// Its own number here.
    Id,
    /// Its whole key.
    Key,
    /// An order number it has, or has had.
    OrderNumber {
        /// Which generation of it.
        generation: u16,
    },
    /// The gateway's number for what it did.
    Receipt,
    /// Another number that the gateway gave for it.
    GatewayNumber {
        /// The fact of the reply that it is, or [`RECEIPT`](crate::RECEIPT).
        name: String,
    },
    /// The payment that it takes from: the gateway's number of that, or the merchant's.
    RefundedPayment,
    /// What it has of which only one may be in flight, such as its contract: the field's name.
    Exclusive {
        /// The field.
        field: String,
    },
    /// A reference, whole.
    Reference {
        /// The column.
        column: String,
    },
    /// The beginning of its key.
    KeyBeginning,
    /// The beginning of a reference that is not personal.
    ReferenceBeginning {
        /// The column.
        column: String,
    },
    /// A line of a statement, which names it.
    StatementLine,
    /// A notification, which names it.
    Notification,
    /// Its amount, and the day on which it was sent.
    Amount,
}

/// An item that was found.
#[derive(Debug, Clone)]
pub struct FoundItem {
    /// The item.
    pub item: ItemRow,
    /// Its run's workflow.
    pub workflow: String,
    /// The gateway account.
    pub lane: String,
    /// Its kind's name.
    pub kind: String,
    /// Which order number is in use.
    pub generation: u16,
    /// When it was last sent.
    pub sent_at: Option<Timestamp>,
    /// When its run was planned.
    pub planned_at: Timestamp,
    /// How the file was read that its row came from, as JSON; none where it came from no file.
    pub file: Option<String>,
    /// The gateway's numbers of it that are not its receipt.
    pub gateway_numbers: Vec<GatewayNumber>,
    /// The ways in which it was found; at least one.
    pub matched: Vec<MatchedBy>,
}

/// A statement line that was found.
#[derive(Debug, Clone)]
pub struct FoundLine {
    /// The gateway account.
    pub lane: String,
    /// The day of its statement.
    pub day: String,
    /// The line.
    pub line: StatementLine,
    /// Which of its numbers it was found by: the column's name.
    pub column: String,
    /// The item that it is about; none where no item here has its numbers.
    pub item_id: Option<i64>,
}

/// A contract that is kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundContract {
    /// The gateway's id.
    pub contract: String,
    /// Its account, as the gateway tells accounts apart.
    pub account: String,
    /// Whether it is active.
    pub state: String,
}

/// Some of what was found, the newest first.
#[derive(Debug, Clone)]
pub struct FoundList<T> {
    /// As many as were asked for at most.
    pub rows: Vec<T>,
    /// How many more were found.
    pub more: u64,
}

impl<T> Default for FoundList<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            more: 0,
        }
    }
}

impl<T> FoundList<T> {
    fn of(mut rows: Vec<T>, limit: u32) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len().saturating_sub(limit) as u64;
        rows.truncate(limit);
        Self { rows, more }
    }
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct SearchResults {
    /// Items.
    pub items: FoundList<FoundItem>,
    /// Contracts that are kept here.
    pub contracts: FoundList<FoundContract>,
    /// Lines of statements.
    pub lines: FoundList<FoundLine>,
    /// Notifications.
    pub notifications: FoundList<NotificationRow>,
    /// Runs.
    pub runs: FoundList<RunRow>,
    /// Ways in which more than [`LOOKED_AT`] rows answer, of which only the first were looked at.
    pub cut: Vec<MatchedBy>,
}

impl SearchResults {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        self.items.rows.is_empty()
            && self.contracts.rows.is_empty()
            && self.lines.rows.is_empty()
            && self.notifications.rows.is_empty()
            && self.runs.rows.is_empty()
    }
}

impl Ledger {
    /// The accounts of all jobs there have been, as the gateways tell them apart; 1,000 at most.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn accounts(&self) -> Result<Vec<String>, LedgerError> {
        sqlx::query_scalar(search_statements::ACCOUNTS)
            .fetch_all(&self.read)
            .await
            .map_err(|source| LedgerError::of("listing accounts", source))
    }

    /// Looks for something in every place where it may stand.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchResults, LedgerError> {
        let mut hits = items::SearchHits::default();
        let mut results = SearchResults::default();
        match &query.text {
            Some(text) => {
                // Together: on a server each round trip is waited for once.
                let (found, lines, notifications, contracts, runs) = tokio::try_join!(
                    self.items_of_text(text),
                    self.lines_of_text(text, &query.filter),
                    self.notifications_of_text(text, query),
                    self.contracts_of_text(text, query),
                    self.runs_of_text(text, query),
                )?;
                hits = found;
                hits.add_all(
                    lines.iter().filter_map(|line| line.item_id),
                    MatchedBy::StatementLine,
                );
                hits.add_all(
                    notifications.iter().filter_map(|row| row.item_id),
                    MatchedBy::Notification,
                );
                results.lines = FoundList::of(lines, query.limit);
                results.notifications = FoundList::of(notifications, query.limit);
                results.contracts = FoundList::of(contracts, query.limit);
                results.runs = FoundList::of(runs, query.limit);
            }
            None => self.items_sent(&query.filter, &mut hits).await?,
        }
        results.items = self.found_items(&hits, query).await?;
        results.cut = hits.into_cut();
        Ok(results)
    }

    /// Notifications that name this order, or have this number.
    async fn notifications_of_text(
        &self,
        text: &SearchText,
        query: &SearchQuery,
    ) -> Result<Vec<NotificationRow>, LedgerError> {
        let filter = &query.filter;
        let named = NotificationFilter {
            lane: filter.lane.clone(),
            order_no: Some(text.text.clone()),
            since: filter.days.as_ref().map(|days| days.span.from),
            ..NotificationFilter::default()
        };
        let most = u32::try_from(LOOKED_AT).unwrap_or(u32::MAX);
        let mut found = self.notifications(&named, None, most).await?;
        if let Ok(id) = text.text.parse::<i64>()
            && let Some(row) = self.notification(id).await?
            && filter.lane.as_ref().is_none_or(|lane| *lane == row.lane)
            && found.iter().all(|other| other.id != row.id)
        {
            found.push(row);
        }
        // What a notification says of an amount is sealed.
        found.retain(|row| {
            filter.amount.is_none()
                && filter
                    .days
                    .as_ref()
                    .is_none_or(|days| days.has(row.received_at))
        });
        Ok(found)
    }
}
