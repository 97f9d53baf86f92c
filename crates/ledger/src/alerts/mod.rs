//! Alerts: what is worth one, and the mails that tell of it.

pub(crate) mod alert_queries;
pub(crate) mod incidents;
pub(crate) mod mutes;
pub(crate) mod outbox;
