//! What is read for people, pages and metrics; nothing here decides about money.

pub(crate) mod item_pages;
pub(crate) mod metrics_queries;
pub(crate) mod read;
pub(crate) mod run_completion;
