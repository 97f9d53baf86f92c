//! Reconciling a small ledger, from planning to the report.

mod accounted_once;
mod cases;
mod differences_over_time;
mod reconcile_fixture;
mod reports;
