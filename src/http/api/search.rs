//! Looking for a payment by whatever is known of it.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::engine::search::{SearchError, SearchTerms};
use crate::http::App;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::Query;
use crate::search_view::FoundView;

/// What is looked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchParams {
    /// A key or its beginning, an order number of any generation, a gateway's number of a payment or
    /// refund, a contract, a value of a searchable column, an item, a run, a notification. Without
    /// it `amount`, `currency` and a day are needed.
    q: Option<String>,
    /// Only on this gateway account.
    account: Option<String>,
    /// Only what was sent, asked or planned on this day of the project's time zone: `YYYY-MM-DD`.
    day: Option<String>,
    /// Only from this day on.
    from: Option<String>,
    /// Only up to this day.
    to: Option<String>,
    /// Only of this amount, as decimal text: 88.00.
    amount: Option<String>,
    /// The amount's currency.
    currency: Option<String>,
    /// How many of each kind at most.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

impl From<SearchParams> for SearchTerms {
    fn from(query: SearchParams) -> Self {
        Self {
            text: query.q,
            account: query.account,
            day: query.day,
            from: query.from,
            to: query.to,
            amount: query.amount,
            currency: query.currency,
            limit: query.limit,
        }
    }
}

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        match error {
            SearchError::Terms { what, help } => {
                let invalid = Self::invalid(what);
                match help {
                    Some(help) => invalid.help(help),
                    None => invalid,
                }
            }
            SearchError::Ledger(error) => error.into(),
            SearchError::References(error) => {
                tracing::error!(error = crate::errors::chain(&error), "a search failed");
                Self::unavailable("personal references cannot be looked for at present")
            }
        }
    }
}

/// What has this key, number, contract or reference, newest first
#[utoipa::path(get, path = "/search", tag = "search", params(SearchParams),
    responses((status = 200, body = FoundView), (status = 400, body = ErrorBody)))]
pub(super) async fn search(
    State(app): State<App>,
    Query(query): Query<SearchParams>,
) -> Result<Json<FoundView>, ApiError> {
    let terms = SearchTerms::from(query);
    let engine = app.engine();
    let found = engine.search(&terms).await?;
    Ok(Json(FoundView::of(engine, &terms, &found)?))
}
