//! The fields of a lane, which every kind of gateway has: how much and how fast the account may be called.

use std::time::Duration;

use crate::yaml::fields::{FieldSpec, Shape, duration_of, integer_of, text_of};
use crate::yaml::node::Node;
use crate::yaml::scalars;

use super::load::Reading;
use super::{GatewayConfig, GatewayKind, Rate};

pub(super) const RATE: FieldSpec =
    FieldSpec::optional("rate", Shape::Rate, "How many calls the account allows; 20/s if not given.");
pub(super) const CONCURRENCY: FieldSpec = FieldSpec::optional(
    "concurrency",
    Shape::Integer(1, 1024),
    "How many calls may be under way at once; 16 if not given.",
);
pub(super) const TIMEOUT: FieldSpec =
    FieldSpec::optional("timeout", Shape::Duration, "How long one call may take; 15s if not given.");
pub(super) const QUERY_INTERVAL: FieldSpec = FieldSpec::optional(
    "query_interval",
    Shape::Duration,
    "How long to leave one order alone between queries; 10s if not given.",
);

pub(super) const REFUND_INTERVAL: FieldSpec = FieldSpec::optional(
    "refund_interval",
    Shape::Duration,
    "How long to leave between two refunds of one payment; 1m if not given.",
);

pub(super) const FUNDS_INTERVAL: FieldSpec = FieldSpec::optional(
    "funds_interval",
    Shape::Duration,
    "How long nothing of a kind of job is sent when our balance is too small for it; 30m if not given.",
);

impl Reading<'_> {
    /// An account of a kind, with its lane.
    pub(super) fn account(&mut self, name: &str, node: &Node, kind: GatewayKind) -> GatewayConfig {
        let concurrency = integer_of(node, "concurrency").and_then(|number| u32::try_from(number).ok());
        let positive = |duration: &Duration| !duration.is_zero();
        if let Some(timeout) = node.get("timeout").filter(|_| duration_of(node, "timeout").is_some_and(|d| d.is_zero()))
        {
            self.refuse(timeout.at, "a call needs some time", "15s suits most gateways");
        }
        GatewayConfig {
            name: name.to_owned(),
            rate: text_of(node, "rate")
                .and_then(scalars::rate)
                .unwrap_or(Rate { calls: 20, per: Duration::from_secs(1) }),
            concurrency: concurrency.unwrap_or(16),
            timeout: duration_of(node, "timeout").filter(positive).unwrap_or(Duration::from_secs(15)),
            query_interval: duration_of(node, "query_interval").unwrap_or(Duration::from_secs(10)),
            refund_interval: duration_of(node, "refund_interval").unwrap_or(Duration::from_secs(60)),
            funds_interval: duration_of(node, "funds_interval").unwrap_or(Duration::from_secs(1_800)),
            kind,
        }
    }
}
