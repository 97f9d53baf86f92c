//! What the fake gateways have in common: transactions with the rules that all share, how a
//! reply is bent by its fault, customs declarations, statements, keys, and the tables of requests.
//! How each is spoken to is beside it.

pub(crate) mod customs;
pub(crate) mod fault_flow;
pub(crate) mod json_body;
pub(crate) mod key_files;
pub(crate) mod key_pair;
pub mod keys;
pub(crate) mod percent_decoding;
pub mod request_table;
pub(crate) mod responder;
mod seed;
pub(crate) mod statements;
pub(crate) mod transactions;
