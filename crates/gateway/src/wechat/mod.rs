//! WeChat Pay Global, APIv3 (docs/gateways/wechat.md).
//!
//! `request` says what goes on the wire (with `orders`, `refunds`, `refund_list` and `customs`),
//! `channel` signs it, `transport` sends it once, `platform_keys` verifies what comes back, `wire`,
//! `statement` and `settlements` read it; `client` puts them in order. `notification` reads what
//! comes unasked.

pub mod account;
mod api_v3_key;
mod channel;
pub mod client;
mod customs;
mod merchant_ids;
mod notification;
mod orders;
mod platform_keys;
mod refund_list;
mod refunds;
mod request;
mod sensitive_fields;
mod settlements;
mod sign;
mod statement;
mod wire;

pub use crate::transport::{self, Transport};
pub use client::{WechatClient, WechatClientError};
