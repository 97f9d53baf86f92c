//! Statements of gateways and their lines, and what reconciliation asks of the ledger.

pub(crate) mod reconcile;
pub(crate) mod settlements;
pub(crate) mod statement_files;
pub(crate) mod statement_sums;
