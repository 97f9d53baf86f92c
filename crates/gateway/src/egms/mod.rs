//! EGMS, the merchant API of EVO Cloud (Evonet), version 1 (docs/gateways/egms.md).
//!
//! `request` says what goes on the wire, `sign` signs it and verifies what comes back, `wire` reads
//! it, `client` puts them in order. One keyed digest signs requests, replies and notifications; a
//! reply without it is not believed.

pub mod account;
pub mod client;
mod request;
mod sign;
mod wire;

pub use client::{EgmsClient, EgmsClientError};
