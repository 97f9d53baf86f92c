//! Items: claim, settle, and what else moves one.

pub(crate) mod apply_notification;
pub(crate) mod bulk_actions;
pub(crate) mod bulk_items;
pub(crate) mod claim;
pub(crate) mod claimed_item;
mod claimed_lane;
pub(crate) mod due_items;
pub(crate) mod gateway_numbers;
mod item_note;
pub(crate) mod item_rows;
pub(crate) mod operator_action;
pub(crate) mod run_withdrawal;
pub(crate) mod settle;
pub(crate) mod state_machine;
pub(crate) mod statement_line;
mod token_bucket;
