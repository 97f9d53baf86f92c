//! The fake gateways, strict ones, of WeChat Pay Global, HipoPay, EGMS and CBTIS, each for
//! one merchant, with faults on demand and books of the money that really moved. They are the same
//! in-process ([`FakeGateway::handle`]) and over sockets ([`server`]).
//!
//! They are written apart from the clients: they share no message types with these, and neither the
//! strings that are signed nor the keys that verify and seal ([`shared::keys`], [`wechat::auth`]).
//! So a client that speaks or signs wrongly is refused.
//!
//! What is alike in all is in [`shared`]: transactions, faults of replies, customs declarations,
//! statements. How each is spoken to is in its own folder.

pub mod cbtis;
pub mod egms;
pub mod faults;
mod gateways;
pub mod hipopay;
pub mod notifications;
pub mod server;
mod settings;
pub mod shared;
pub mod wechat;

pub use gateways::{EventCounts, Gateways};
pub use payrun_gateway::in_process::{FakeGateway, HOLD_MAX, Reaction};
pub use settings::{Settings, SignsWith};
pub use shared::customs::CustomsTotals;
pub use shared::key_files::AccountKeysError;
pub use shared::statements::StatementDelay;
pub use shared::transactions::{
    BookLine, Transaction, TransactionKind, TransactionState, TransactionTotals,
};
pub use wechat::account_keys::WechatAccountKeys;
pub use wechat::fake::{FakeWechat, SandboxError};
pub use wechat::order_book::{ChargedSum, OrderLine, OrderPage, OrderState, Totals};
pub use wechat::order_store::StoreError;
