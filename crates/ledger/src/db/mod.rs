//! The databases: where they are, who writes, who is told, and which processes live.

pub(crate) mod listen;
pub(crate) mod location;
pub(crate) mod node;
pub(crate) mod schema;
pub(crate) mod stored_values;
pub(crate) mod unreachable;
pub(crate) mod write_tx;
pub(crate) mod writer;
