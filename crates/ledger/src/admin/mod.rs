//! What is done to a ledger as a whole: backup, move, deletion, keys.

pub(crate) mod backup;
pub(crate) mod copied_table;
pub(crate) mod fence;
pub(crate) mod promote;
pub(crate) mod prune;
pub(crate) mod prune_evidence;
pub(crate) mod restore;
pub(crate) mod vault;
