//! WeChat Pay Global, APIv3 (gateways.md sections 3 and 4).
//!
//! `request` says what goes on the wire (`customs` for declarations), `channel` signs it, `transport` sends it once, `platform` verifies what comes
//! back, `wire` reads it; `client` puts them in order.

mod channel;
pub mod client;
mod customs;
pub mod oaep;
pub mod platform;
mod request;
pub mod seal;
pub mod sign;
mod wire;

pub use crate::gateway::transport::{self, Transport};
pub use client::{Client, ClientError};
