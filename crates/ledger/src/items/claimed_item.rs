//! An item that is claimed, and what for.

use crate::items::item_rows::ItemRecord;
use payrun_domain::ids::{KeyHash, OrderNumber};
use payrun_domain::item::Item;
use payrun_domain::money::Amount;
use payrun_domain::time::Timestamp;

/// An item that this node, and nobody else, may call the gateway for until the lease ends.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub(crate) stored: ItemRecord,
    pub(crate) fields: serde_json::Map<String, serde_json::Value>,
    /// The item after the claim.
    pub item: Item,
    /// What to do.
    pub claim_kind: ClaimKind,
    /// When the lease ends.
    pub lease_until: Timestamp,
    /// Whether it is sent to find out whether our balance is large enough again: the others of its
    /// kind wait for that.
    pub tries_funds: bool,
}

/// What a claim is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimKind {
    /// Send it.
    Submit,
    /// Ask what became of it.
    Query,
}

impl Claimed {
    /// The item's id.
    pub const fn id(&self) -> i64 {
        self.stored.id
    }

    /// Its job.
    pub const fn job_id(&self) -> i64 {
        self.stored.job_id
    }

    /// The version it was claimed as; names the attempt.
    pub const fn version(&self) -> i64 {
        self.stored.version + 1
    }

    /// The number to call the gateway with.
    pub const fn order_no(&self) -> &OrderNumber {
        &self.stored.order_no
    }

    /// Its amount.
    pub const fn amount(&self) -> Option<Amount> {
        self.stored.amount
    }

    /// The fingerprint of its key.
    pub const fn key(&self) -> KeyHash {
        self.stored.key
    }

    /// What is known of its result.
    pub const fn facts(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.stored.facts
    }

    /// Its checked input fields, personal data sealed.
    pub const fn fields(&self) -> &serde_json::Map<String, serde_json::Value> {
        &self.fields
    }

    /// The row as it is after the claim.
    pub(crate) fn after(&self) -> ItemRecord {
        ItemRecord {
            version: self.version(),
            item: self.item.clone(),
            ..self.stored.clone()
        }
    }
}
