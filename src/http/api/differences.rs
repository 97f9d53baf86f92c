//! Differences that reconciliations found: listed, shown, and changed by persons. Each change wants a
//! reason, and is in the audit log.

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::page::{OldestFirstQuery, page_size};
use crate::domain::difference::{DifferenceOwner, DifferenceReason, DifferenceState};
use crate::http::App;
use crate::http::auth::Caller;
use crate::http::error::{ApiError, ErrorBody};
use crate::http::extract::{JsonBody, Path, Query};
use crate::ledger::{DIFFERENCES_AT_ONCE, DifferenceChange, DifferenceFilter};
use crate::view::{DifferenceEventView, DifferenceView};

/// Which differences.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DifferencesQuery {
    /// Only in these states, separated by commas: `open`, `explained`, `accepted`, `closed`; `open` if
    /// nothing is said.
    state: Option<String>,
    /// Only on this gateway account.
    gateway: Option<String>,
    /// Only for this reason, such as `fee`.
    reason: Option<String>,
    /// Only those that this person looks after; an empty name: nobody.
    owner: Option<String>,
    /// Only of this day on, `2026-11-30`, as the gateway counts days.
    from: Option<String>,
    /// Only up to this day.
    to: Option<String>,
    /// Only with this number of a payment or refund, ours or the gateway's.
    number: Option<String>,
    /// Only about this item.
    item: Option<i64>,
}

impl DifferencesQuery {
    /// The differences that are meant.
    pub fn filter(self) -> Result<DifferenceFilter, ApiError> {
        let state = |word: &str| {
            DifferenceState::parse(word).ok_or_else(|| {
                let known = DifferenceState::ALL.map(DifferenceState::as_str);
                ApiError::invalid(format!("state is of {}", known.join(", ")))
            })
        };
        let reason = |word: String| {
            DifferenceReason::parse(&word).ok_or_else(|| {
                let known = DifferenceReason::ALL.map(DifferenceReason::as_str);
                ApiError::invalid(format!("reason is one of {}", known.join(", ")))
            })
        };
        let day = |text: String| {
            let day = text.parse::<chrono::NaiveDate>();
            day.map(|day| day.to_string())
                .map_err(|_| ApiError::invalid("a day is written like 2026-11-30"))
        };
        let states = self.state.as_deref().unwrap_or("open").split(',');
        Ok(DifferenceFilter {
            states: states.map(state).collect::<Result<_, _>>()?,
            lane: self.gateway,
            reason: self.reason.map(reason).transpose()?,
            owner: self.owner,
            from: self.from.map(day).transpose()?,
            to: self.to.map(day).transpose()?,
            number: self.number,
            item: self.item,
        })
    }
}

/// Differences, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferencesPage {
    differences: Vec<DifferenceView>,
    /// Give it as `after` for the next page; none if this is the last.
    next_after: Option<i64>,
}

/// A difference, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferenceWithEvents {
    #[serde(flatten)]
    difference: DifferenceView,
    /// Oldest first.
    events: Vec<DifferenceEventView>,
}

/// What is to become of differences.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeDifferencesBody {
    action: DifferenceAction,
    /// The numbers of the differences.
    #[schema(min_items = 1, max_items = 500)]
    differences: Vec<i64>,
    /// With `assign`: who looks after them; none: nobody.
    #[schema(min_length = 1, max_length = 100)]
    owner: Option<String>,
    /// Kept with the difference as its note, and in the audit log.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DifferenceAction {
    Assign,
    Comment,
    Explain,
    Accept,
    Reopen,
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangedDifferences {
    /// Those that were changed.
    changed: Vec<i64>,
    /// Those whose state does not allow it.
    refused: Vec<RefusedDifference>,
    /// Those that there are not.
    unknown: Vec<i64>,
}

/// A difference that cannot be changed so.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RefusedDifference {
    difference: i64,
    /// The state it is in.
    state: &'static str,
}

/// Differences that reconciliations found, oldest first; the open ones if no state is given
#[utoipa::path(get, path = "/differences", tag = "differences", params(DifferencesQuery, OldestFirstQuery),
    responses((status = 200, body = DifferencesPage), (status = 400, body = ErrorBody)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<DifferencesQuery>,
    Query(page): Query<OldestFirstQuery>,
) -> Result<Json<DifferencesPage>, ApiError> {
    let size = page_size(page.limit)?;
    let filter = query.filter()?;
    let after = page.after.unwrap_or(0);
    let rows = app
        .engine()
        .ledger
        .list_differences(&filter, after, size)
        .await?;
    let is_full = rows.len() == size as usize;
    Ok(Json(DifferencesPage {
        next_after: rows.last().map(|row| row.id).filter(|_| is_full),
        differences: rows.iter().map(DifferenceView::of).collect(),
    }))
}

/// A difference: both sides, and what became of it
#[utoipa::path(get, path = "/differences/{difference}", tag = "differences",
    params(("difference" = i64, Path, description = "Its number")),
    responses((status = 200, body = DifferenceWithEvents), (status = 400, body = ErrorBody), (status = 404, body = ErrorBody)))]
pub(super) async fn show(
    State(app): State<App>,
    Path(difference): Path<i64>,
) -> Result<Json<DifferenceWithEvents>, ApiError> {
    let found = app.engine().ledger.difference(difference).await?;
    let (row, events) = found.ok_or_else(|| ApiError::not_found("there is no such difference"))?;
    Ok(Json(DifferenceWithEvents {
        difference: DifferenceView::of(&row),
        events: events.iter().map(DifferenceEventView::of).collect(),
    }))
}

/// Assigns, explains, accepts or reopens differences, or leaves a note on them: all of them in one
/// commit, but for those whose state does not allow it
#[utoipa::path(post, path = "/differences/change", tag = "differences", request_body = ChangeDifferencesBody,
    responses((status = 200, body = ChangedDifferences), (status = 400, body = ErrorBody), (status = 413, body = ErrorBody),
              (status = 415, body = ErrorBody), (status = 422, body = ErrorBody)))]
pub(super) async fn change(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    JsonBody(wanted): JsonBody<ChangeDifferencesBody>,
) -> Result<Json<ChangedDifferences>, ApiError> {
    let by = caller.signed(&wanted.reason)?;
    let refused = |message: String| Err(ApiError::refused("invalid_change", message));
    if !(1..=DIFFERENCES_AT_ONCE).contains(&wanted.differences.len()) {
        return refused(format!(
            "differences has 1 to {DIFFERENCES_AT_ONCE} numbers"
        ));
    }
    if wanted.owner.is_some() && wanted.action != DifferenceAction::Assign {
        return refused("owner belongs to assign".to_owned());
    }
    let owner = wanted.owner.as_deref().map(DifferenceOwner::parse);
    let owner = match owner.transpose() {
        Ok(owner) => owner,
        Err(invalid) => return refused(invalid.to_string()),
    };
    let what = match wanted.action {
        DifferenceAction::Assign => DifferenceChange::Assign(owner),
        DifferenceAction::Comment => DifferenceChange::Comment,
        DifferenceAction::Explain => DifferenceChange::Explain,
        DifferenceAction::Accept => DifferenceChange::Accept,
        DifferenceAction::Reopen => DifferenceChange::Reopen,
    };
    let engine = app.engine();
    let now = engine.clock.now();
    let done = engine
        .ledger
        .change_differences(&wanted.differences, &what, &by, now)
        .await?;
    let refused = |(difference, state): (i64, DifferenceState)| RefusedDifference {
        difference,
        state: state.as_str(),
    };
    Ok(Json(ChangedDifferences {
        changed: done.changed,
        refused: done.refused.into_iter().map(refused).collect(),
        unknown: done.unknown,
    }))
}
