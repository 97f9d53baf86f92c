//! What the ledger has of an item and of what belongs to it: calls, moves, notifications, statement
//! lines, and other items.

use super::errors::PageError;
use super::item_timeline::ItemRecords;
use crate::domain::item::State as ItemState;
use crate::domain::time::Timestamp;
use crate::engine::search::SearchTerms;
use crate::http::App;
use crate::http::error::ApiError;
use crate::ledger::{
    FoundItem, FoundLine, ItemRow, LedgerError, MatchedBy, NotificationRow, ReplacedItem,
    SearchResults, filed_again_as,
};

/// How many entries of the audit log a page shows of an item.
const AUDITED: u32 = 200;

/// Another item that has to do with this one.
pub(super) struct LinkedItem {
    pub label: &'static str,
    pub id: i64,
    pub state: ItemState,
    pub amount: String,
}

/// What names the order number of an item, and the gateway's: refunds, statement lines,
/// notifications.
pub(super) async fn numbers_of(app: &App, item: &ItemRow) -> Result<SearchResults, PageError> {
    let mut all = SearchResults::default();
    for number in [item.order_no.as_ref(), item.receipt.as_ref()] {
        let Some(number) = number.filter(|number| !number.is_empty()) else {
            continue;
        };
        let found = search(app, number).await?;
        all.items.rows.extend(found.items.rows);
        all.lines.rows.extend(found.lines.rows);
        all.notifications.rows.extend(found.notifications.rows);
    }
    Ok(all)
}

async fn search(app: &App, number: &str) -> Result<SearchResults, PageError> {
    let terms = SearchTerms {
        text: Some(number.to_owned()),
        ..SearchTerms::default()
    };
    let found = app.engine().search(&terms).await;
    // A number that nobody could look for is on no other item.
    match found {
        Ok(found) => Ok(found),
        Err(crate::engine::search::SearchError::Terms { .. }) => Ok(SearchResults::default()),
        Err(error) => Err(ApiError::from(error).into()),
    }
}

/// All that is known of what happened to an item.
pub(super) async fn records(
    app: &App,
    item: ItemRow,
    found: SearchResults,
) -> Result<ItemRecords, LedgerError> {
    let (ledger, id) = (&app.engine().ledger, item.id);
    let jobs = ledger.jobs(item.run_id).await?;
    let approvals = ledger.approvals_of_run(item.run_id).await?;
    Ok(ItemRecords {
        run: ledger.run(item.run_id).await?,
        job: jobs.into_iter().find(|job| job.id == item.job_id),
        attempts: ledger.attempts(id).await?,
        events: ledger.events(id).await?,
        audit: ledger.audit_of(&format!("item {id}"), AUDITED).await?,
        bulk_actions: ledger.bulk_actions_of_item(id).await?,
        approval: approvals
            .into_iter()
            .find(|approval| approval.job_id == item.job_id),
        notifications: notifications_of(id, found.notifications.rows),
        lines: lines_of(app, id, found.lines.rows).await?,
        item,
    })
}

fn notifications_of(item: i64, mut rows: Vec<NotificationRow>) -> Vec<NotificationRow> {
    rows.retain(|row| row.item_id == Some(item));
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    rows
}

/// The lines of statements that are about an item, with when each statement was fetched.
async fn lines_of(
    app: &App,
    item: i64,
    mut lines: Vec<FoundLine>,
) -> Result<Vec<(Timestamp, FoundLine)>, LedgerError> {
    lines.retain(|line| line.item_id == Some(item));
    lines.sort_by(|one, other| (&one.day, one.line.line).cmp(&(&other.day, other.line.line)));
    lines.dedup_by(|one, other| (&one.day, one.line.line) == (&other.day, other.line.line));
    let mut fetched = Vec::with_capacity(lines.len());
    for line in lines {
        let ledger = &app.engine().ledger;
        let statements = ledger.statements(&line.lane, &line.day, &line.day).await?;
        let statement = statements.first();
        fetched.extend(statement.map(|statement| (statement.fetched_at, line)));
    }
    Ok(fetched)
}

/// Other items that have to do with this one.
pub(super) async fn related(
    app: &App,
    item: &ItemRow,
    found: &SearchResults,
) -> Result<Vec<LinkedItem>, PageError> {
    let mut related = Vec::new();
    let takes_from = |found: &&FoundItem| found.matched.contains(&MatchedBy::RefundedPayment);
    related.extend(
        found
            .items
            .rows
            .iter()
            .filter(takes_from)
            .map(|found| LinkedItem::of("related-refund", &found.item)),
    );
    let fields = item.fields()?;
    let numbers = ["order_no", "transaction_id"].map(|field| fields.get(field)?.as_str());
    for number in numbers.into_iter().flatten() {
        let payments = search(app, number).await?.items.rows;
        let is_it = |found: &&FoundItem| {
            let by =
                |way: &MatchedBy| matches!(way, MatchedBy::OrderNumber { .. } | MatchedBy::Receipt);
            found.item.id != item.id && found.matched.iter().any(by)
        };
        related.extend(
            payments
                .iter()
                .filter(is_it)
                .map(|found| LinkedItem::of("related-payment", &found.item)),
        );
    }
    let facts = item.facts()?.unwrap_or_default();
    let by_number = [
        ("related-same-key", item.duplicate_of),
        (
            "related-filed-again",
            filed_again_as(item.id, item.result.as_deref())?,
        ),
        (
            "related-files-again",
            facts
                .get(ReplacedItem::FACT)
                .and_then(serde_json::Value::as_i64),
        ),
    ];
    for (label, id) in by_number {
        let Some(id) = id else { continue };
        let other = app.engine().ledger.item(id).await?;
        related.extend(other.map(|other| LinkedItem::of(label, &other)));
    }
    related.sort_by_key(|other| other.id);
    related.dedup_by_key(|other| other.id);
    Ok(related)
}

impl LinkedItem {
    fn of(label: &'static str, item: &ItemRow) -> Self {
        let amount = item.amount.map(|amount| amount.to_string());
        Self {
            label,
            id: item.id,
            state: item.state,
            amount: amount.unwrap_or_default(),
        }
    }
}
