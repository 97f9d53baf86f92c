//! Who asks for a change by the API, and why: the token's name and a reason, as the audit log wants
//! to have them.

use super::auth::Caller;
use super::error::ApiError;
use crate::domain::actor::{Authorization, Reason};

impl Caller {
    /// The caller, and a reason.
    pub(in crate::http) fn signed(&self, reason: &str) -> Result<Authorization, ApiError> {
        let reason = Reason::parse(reason)
            .map_err(|error| ApiError::refused("invalid_reason", error.to_string()))?;
        Ok(Authorization {
            actor: self.actor()?,
            reason,
        })
    }
}
