//! Which part of a list is asked for.

use serde::Deserialize;
use utoipa::IntoParams;

use super::{PAGE, PAGE_MAX};
use crate::http::error::ApiError;

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct NewestFirstQuery {
    /// Only before this one: the last of the page before.
    pub before: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// Which part of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OldestFirstQuery {
    /// Only behind this one: the last of the page before.
    pub after: Option<i64>,
    /// How many at most.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<u32>,
}

/// How many rows of a page are meant.
pub(super) fn page_size(limit: Option<u32>) -> Result<u32, ApiError> {
    let size = limit.unwrap_or(PAGE);
    if (1..=PAGE_MAX).contains(&size) {
        Ok(size)
    } else {
        Err(ApiError::invalid(format!("limit is 1 to {PAGE_MAX}")))
    }
}
