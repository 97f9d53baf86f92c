//! Contracts that live here.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::page::OldestFirstQuery;
use super::page::page_size;
use crate::http::App;
use crate::http::error::ApiError;
use crate::http::error::ErrorBody;
use crate::http::extract::Query;
use crate::ledger::ContractFilter;

/// Contracts, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContractsPage {
    contracts: Vec<ContractView>,
    /// Give it as `after` for the next page; none if this is the last.
    next_after: Option<i64>,
}

/// A contract.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ContractView {
    id: i64,
    /// The gateway's id.
    contract: String,
    /// The account, as the gateway tells accounts apart.
    account: String,
    /// When the first period falls due that is not accounted for.
    next_due: Option<String>,
    /// Terms, prices and standing.
    #[schema(value_type = Object)]
    terms: Value,
}

/// Contracts that live here, oldest first
#[utoipa::path(get, path = "/contracts", tag = "contracts", params(OldestFirstQuery),
    responses((status = 200, body = ContractsPage), (status = 400, body = ErrorBody)))]
pub(super) async fn contracts(
    State(app): State<App>,
    Query(query): Query<OldestFirstQuery>,
) -> Result<Json<ContractsPage>, ApiError> {
    let size = page_size(query.limit)?;
    let found = app
        .engine()
        .ledger
        .contracts(&ContractFilter::default(), query.after.unwrap_or(0), size)
        .await?;
    let next_after = found
        .last()
        .map(|row| row.id)
        .filter(|_| found.len() == size as usize);
    let views = found.into_iter().map(|row| ContractView {
        terms: row.json(),
        next_due: row.next_due.map(|day| day.to_string()),
        id: row.id,
        contract: row.contract,
        account: row.account,
    });
    Ok(Json(ContractsPage {
        contracts: views.collect(),
        next_after,
    }))
}
