//! Items: claim, settle, and what else moves one.

pub(crate) mod apply_notification;
pub(crate) mod claim;
pub(crate) mod item_rows;
pub(crate) mod operator_action;
pub(crate) mod settle;
pub(crate) mod statement_line;
