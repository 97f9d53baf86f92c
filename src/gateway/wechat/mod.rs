//! WeChat Pay Global, APIv3 (gateways.md sections 3 and 4).
//!
//! `request` says what goes on the wire (with `orders`, `refunds` and `refund_list`), `channel` signs it, `transport` sends it once,
//! `platform` verifies what comes back, `wire` reads it; `client` puts them in order. `notice` reads what comes unasked.

mod channel;
pub mod client;
mod ids;
mod notice;
mod orders;
pub mod platform;
mod refund_list;
mod refunds;
mod request;
pub mod seal;
pub mod sign;
mod wire;

pub use crate::gateway::transport::{self, Transport};
pub use client::{Client, ClientError};
