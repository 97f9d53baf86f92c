//! What a search found, as `payrun find` and the API show it: the same objects. Nothing here is
//! personal: of a reference only its column is said.

use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::money::Amount;
use crate::engine::Engine;
use crate::engine::search::{PLACES, PLACES_OF_AMOUNT, SearchTerms};
use crate::ledger::{
    FoundContract, FoundItem, FoundLine, LOOKED_AT, LedgerError, MatchedBy, NotificationRow,
    ROW_ORDER_NUMBER, RunRow, SearchResults,
};
use crate::view::{GatewayNumberView, ItemView};
use crate::workflow::source::FileReading;

/// What was found, the newest first. No list is cut without saying so.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundView {
    /// Items.
    pub items: Vec<FoundItemView>,
    /// How many more items were found.
    pub more_items: u64,
    /// Contracts that are kept in payrun.
    pub contracts: Vec<FoundContractView>,
    /// How many more.
    pub more_contracts: u64,
    /// Lines of statements.
    pub statement_lines: Vec<FoundLineView>,
    /// How many more.
    pub more_statement_lines: u64,
    /// Notifications.
    pub notifications: Vec<FoundNotificationView>,
    /// How many more.
    pub more_notifications: u64,
    /// Runs.
    pub runs: Vec<FoundRunView>,
    /// How many more.
    pub more_runs: u64,
    /// Ways of looking that had more rows than are looked at, so that there may be more items than
    /// `more_items` says.
    pub incomplete: Vec<String>,
    /// Where was looked.
    pub looked_in: Vec<&'static str>,
}

/// An item that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundItemView {
    /// The item.
    #[serde(flatten)]
    pub item: ItemView,
    /// Its run's workflow.
    pub workflow: String,
    /// The gateway account.
    pub account: String,
    /// Its job kind.
    pub kind: String,
    /// Which order number is in use: 1 for the first.
    pub generation: u16,
    /// When it was last sent; none if it never was.
    pub sent_at: Option<String>,
    /// When its run was planned.
    pub planned_at: String,
    /// The file that its row came from; none where it came from no file.
    pub file: Option<String>,
    /// The gateway's numbers of it that are not its receipt.
    pub gateway_numbers: Vec<GatewayNumberView>,
    /// The ways in which it was found.
    pub found_by: Vec<FoundByView>,
}

/// In which way something was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundByView {
    /// For programs: `id`, `key`, `key_beginning`, `order_number`, `gateway_number`,
    /// `customs_number`, `refund_id`,
    /// `refunded_payment`, `contract`, `field`, `reference`, `reference_beginning`,
    /// `row_order_number`, `row_order_number_beginning`, `statement_line`, `notification` or `amount`.
    pub way: &'static str,
    /// Of an order number: which generation of it.
    pub generation: Option<u16>,
    /// Of a reference its column; of a field its name.
    pub name: Option<String>,
    /// For people.
    pub text: String,
}

/// A contract that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundContractView {
    /// The gateway's id.
    pub contract: String,
    /// The gateway account; none if it is no longer configured.
    pub account: Option<String>,
    /// Whether it is active.
    pub state: String,
}

/// A line of a statement that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundLineView {
    /// The gateway account.
    pub account: String,
    /// The day of the statement.
    pub day: String,
    /// Its number in the file.
    pub line: u64,
    /// `payment`, `refund`, `reversal` or `other`.
    pub kind: &'static str,
    /// When, as the gateway writes it.
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
    /// Its amount, as decimal text.
    pub amount: Option<String>,
    /// The amount's currency.
    pub currency: Option<&'static str>,
    /// Which of its numbers was looked for.
    pub found_by: String,
    /// The item it is about; none if it is of no item in payrun.
    pub item: Option<i64>,
}

/// A notification that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundNotificationView {
    /// Its id.
    pub notification: i64,
    /// The gateway account.
    pub account: String,
    /// When it came in.
    pub received_at: String,
    /// Whose order it names.
    pub order_no: Option<String>,
    /// What became of it.
    pub outcome: &'static str,
    /// The item it is about; none if it is of no item in payrun.
    pub item: Option<i64>,
}

/// A run that was found.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FoundRunView {
    /// Its id.
    pub run: i64,
    /// The workflow's name.
    pub workflow: String,
    /// What it was for.
    pub occurrence: String,
    /// When it was planned.
    pub planned_at: String,
    /// When its last item came to rest; none while it is open.
    pub finished_at: Option<String>,
}

impl FoundView {
    /// Of what a search found.
    ///
    /// # Errors
    /// [`LedgerError::Corrupt`] if the result of an item cannot be read.
    pub fn of(
        engine: &Engine,
        terms: &SearchTerms,
        found: &SearchResults,
    ) -> Result<Self, LedgerError> {
        let items = found.items.rows.iter();
        let contracts = found.contracts.rows.iter();
        Ok(Self {
            items: items
                .map(|item| FoundItemView::of(engine, item))
                .collect::<Result<_, _>>()?,
            more_items: found.items.more,
            contracts: contracts
                .map(|contract| FoundContractView::of(engine, contract))
                .collect(),
            more_contracts: found.contracts.more,
            statement_lines: found.lines.rows.iter().map(FoundLineView::from).collect(),
            more_statement_lines: found.lines.more,
            notifications: found
                .notifications
                .rows
                .iter()
                .map(FoundNotificationView::from)
                .collect(),
            more_notifications: found.notifications.more,
            runs: found.runs.rows.iter().map(FoundRunView::from).collect(),
            more_runs: found.runs.more,
            incomplete: found.cut.iter().map(incomplete).collect(),
            looked_in: match terms.text {
                Some(_) => PLACES.to_vec(),
                None => PLACES_OF_AMOUNT.to_vec(),
            },
        })
    }
}

/// What is to be said of a way that was cut.
fn incomplete(way: &MatchedBy) -> String {
    let what = match way {
        MatchedBy::KeyBeginning => {
            return format!(
                "more than {LOOKED_AT} keys begin so: only the first of them were looked at; type more of the key"
            );
        }
        MatchedBy::ReferenceBeginning { column } => {
            return format!(
                "more than {LOOKED_AT} references of {column} begin so: only the first of them were looked at; type more of it"
            );
        }
        MatchedBy::Amount => {
            return "so many items were sent of that amount that only the newest were looked at; name fewer days"
                .to_owned();
        }
        other @ (MatchedBy::Id
        | MatchedBy::Key
        | MatchedBy::OrderNumber { .. }
        | MatchedBy::Receipt
        | MatchedBy::GatewayNumber { .. }
        | MatchedBy::RefundedPayment
        | MatchedBy::Exclusive { .. }
        | MatchedBy::Reference { .. }
        | MatchedBy::StatementLine
        | MatchedBy::Notification) => way_of(other, false).text,
    };
    format!(
        "more than {LOOKED_AT} items have this ({what}): only the newest of them were looked at; what they are is in `payrun items`"
    )
}

/// In which way an item was found; `is_refund`: whether it gives money back.
fn way_of(matched: &MatchedBy, is_refund: bool) -> FoundByView {
    let way = |way: &'static str, text: &str| FoundByView {
        way,
        generation: None,
        name: None,
        text: text.to_owned(),
    };
    let named = |code: &'static str, name: &String, text: String| FoundByView {
        name: Some(name.clone()),
        ..way(code, &text)
    };
    match matched {
        MatchedBy::Id => way("id", "item's number here"),
        MatchedBy::Key => way("key", "key"),
        MatchedBy::KeyBeginning => way("key_beginning", "beginning of the key"),
        MatchedBy::OrderNumber { generation } => FoundByView {
            generation: Some(*generation),
            ..way(
                "order_number",
                &format!("order number (generation {generation})"),
            )
        },
        MatchedBy::GatewayNumber { name } if name == "verify_department_trade_id" => {
            named("customs_number", name, "number at the customs".to_owned())
        }
        MatchedBy::Receipt | MatchedBy::GatewayNumber { .. } if is_refund => {
            way("refund_id", "gateway's number of the refund")
        }
        MatchedBy::Receipt | MatchedBy::GatewayNumber { .. } => {
            way("gateway_number", "gateway's number")
        }
        MatchedBy::RefundedPayment => way("refunded_payment", "payment it takes from"),
        MatchedBy::Exclusive { field } if field == "contract_id" => {
            named("contract", field, "contract".to_owned())
        }
        MatchedBy::Exclusive { field } => named("field", field, format!("field {field}")),
        MatchedBy::Reference { column } if column == ROW_ORDER_NUMBER => {
            way("row_order_number", "order number that the row gives")
        }
        MatchedBy::ReferenceBeginning { column } if column == ROW_ORDER_NUMBER => way(
            "row_order_number_beginning",
            "beginning of the order number that the row gives",
        ),
        MatchedBy::Reference { column } => {
            named("reference", column, format!("reference column {column}"))
        }
        MatchedBy::ReferenceBeginning { column } => named(
            "reference_beginning",
            column,
            format!("beginning of the reference column {column}"),
        ),
        MatchedBy::StatementLine => way("statement_line", "statement line"),
        MatchedBy::Notification => way("notification", "notification"),
        MatchedBy::Amount => way("amount", "amount and day"),
    }
}

impl FoundItemView {
    fn of(engine: &Engine, found: &FoundItem) -> Result<Self, LedgerError> {
        let is_refund = engine.is_refund(found);
        let ways = found.matched.iter();
        Ok(Self {
            item: ItemView::of(&found.item)?,
            workflow: found.workflow.clone(),
            account: found.lane.clone(),
            kind: found.kind.clone(),
            generation: found.generation,
            sent_at: found.sent_at.map(|at| at.to_string()),
            planned_at: found.planned_at.to_string(),
            file: file_of(found)?,
            gateway_numbers: found
                .gateway_numbers
                .iter()
                .map(GatewayNumberView::from)
                .collect(),
            found_by: ways.map(|way| way_of(way, is_refund)).collect(),
        })
    }
}

/// The file that a row came from, as people know it.
fn file_of(found: &FoundItem) -> Result<Option<String>, LedgerError> {
    let reading = found
        .file
        .as_deref()
        .map(serde_json::from_str::<FileReading>);
    let reading = reading.transpose();
    let reading = reading.map_err(|_| LedgerError::corrupt("jobs", found.item.job_id, "file"))?;
    Ok(reading.map(|reading| reading.shown_name().to_owned()))
}

impl FoundContractView {
    fn of(engine: &Engine, found: &FoundContract) -> Self {
        Self {
            contract: found.contract.clone(),
            account: engine.name_of_account(&found.account).map(str::to_owned),
            state: found.state.clone(),
        }
    }
}

impl From<&FoundLine> for FoundLineView {
    fn from(found: &FoundLine) -> Self {
        let line = &found.line;
        let found_by = match found.column.as_str() {
            "transaction_id" => "gateway's number of the payment",
            "refund_no" => "refund number",
            "refund_id" => "gateway's number of the refund",
            _ => "order number",
        };
        Self {
            account: found.lane.clone(),
            day: found.day.clone(),
            line: line.line,
            kind: line.kind.as_str(),
            time: line.time.clone(),
            order_no: line.order_no.clone(),
            transaction_id: line.transaction_id.clone(),
            refund_no: line.refund_no.clone(),
            refund_id: line.refund_id.clone(),
            state: line.state.clone(),
            amount: line.amount.map(Amount::decimal),
            currency: line.amount.map(|amount| amount.currency().code()),
            found_by: found_by.to_owned(),
            item: found.item_id,
        }
    }
}

impl From<&NotificationRow> for FoundNotificationView {
    fn from(row: &NotificationRow) -> Self {
        Self {
            notification: row.id,
            account: row.lane.clone(),
            received_at: row.received_at.to_string(),
            order_no: row.order_no.clone(),
            outcome: row.outcome.as_str(),
            item: row.item_id,
        }
    }
}

impl From<&RunRow> for FoundRunView {
    fn from(run: &RunRow) -> Self {
        Self {
            run: run.id,
            workflow: run.workflow.clone(),
            occurrence: run.occurrence.clone(),
            planned_at: run.started_at.to_string(),
            finished_at: run.finished_at.map(|at| at.to_string()),
        }
    }
}
