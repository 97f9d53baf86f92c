//! What keeps a ledger in order beside the payments: old data is pruned, sealed values move to a
//! new key, and what happens is counted.

pub mod housekeeping;
pub mod metrics;
pub mod reseal;
