//! HipoPay (docs/gateways/hipopay.md).
//!
//! `request` says what goes on the wire (`customs` for declarations), `sign` signs it, `wire` reads
//! what comes back, `client` puts them in order. **Replies are not signed**: nothing but TLS
//! vouches for them. Notifications are.

pub mod account;
pub mod client;
mod customs;
mod request;
mod sign;
mod wire;

pub use client::{HipopayClient, HipopayClientError};
