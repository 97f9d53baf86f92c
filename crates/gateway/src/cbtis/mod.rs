//! CBTIS payment intents (docs/gateways/cbtis.md).
//!
//! Much of CBTIS is not documented: how the access token is had and sent, the refund calls, the
//! meaning of any `code` but 0. The first two are configuration with a guess as default \[C\]; a
//! `code` no table lists is never guessed at but asked about. **Replies are not signed**, and
//! notifications name an order without saying what became of it: they lead to a query.

pub mod account;
pub mod client;
mod customs;
mod request;
mod sign;
mod token;
mod wire;

pub use client::{CbtisClient, CbtisClientError};
