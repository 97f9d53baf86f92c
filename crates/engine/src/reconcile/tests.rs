//! Reconciling a small ledger, from planning to the report.

mod cases;
mod every;
mod life;
mod reports;
mod world;
