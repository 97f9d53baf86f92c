//! The fields of a lane, which every kind of gateway has: how much and how fast the account may be
//! called.

use std::time::Duration;

use payrun_yaml::fields::{FieldSpec, ValueShape, duration_of, integer_of, is_true, text_of};
use payrun_yaml::node::YamlNode;
use payrun_yaml::scalars;

use super::load::FileContext;
use super::{CustomsConfig, GatewayConfig, GatewayKind, Rate, StopAfter};

pub(super) const RATE: FieldSpec = FieldSpec::optional(
    "rate",
    ValueShape::Rate,
    "How many calls the account allows; 20/s if not given.",
);
pub(super) const BURST: FieldSpec = FieldSpec::optional(
    "burst",
    ValueShape::Integer(0, 100_000),
    "How many calls of a process beyond the rate may fall into one span of it; 0 if not given.",
);
pub(super) const CONCURRENCY: FieldSpec = FieldSpec::optional(
    "concurrency",
    ValueShape::Integer(1, 1024),
    "How many calls each process may have under way at once; 16 if not given. All processes together keep the rate.",
);
pub(super) const TIMEOUT: FieldSpec = FieldSpec::optional(
    "timeout",
    ValueShape::Duration,
    "How long one call may take; 15s if not given.",
);
pub(super) const QUERY_INTERVAL: FieldSpec = FieldSpec::optional(
    "query_interval",
    ValueShape::Duration,
    "How long to leave one order alone between queries; 10s if not given.",
);

pub(super) const REFUND_INTERVAL: FieldSpec = FieldSpec::optional(
    "refund_interval",
    ValueShape::Duration,
    "How long to leave between two refunds of one payment; 1m if not given.",
);

pub(super) const FUNDS_INTERVAL: FieldSpec = FieldSpec::optional(
    "funds_interval",
    ValueShape::Duration,
    "How long nothing of a kind of job is sent when our balance is too small for it; 30m if not given.",
);

static STOP_AFTER_FIELDS: [FieldSpec; 2] = [
    FieldSpec::optional(
        "unverified",
        ValueShape::Integer(1, 1000),
        "After how many replies in a row that cannot be verified the lane is stopped; 5 if not given.",
    ),
    FieldSpec::optional(
        "refused",
        ValueShape::Integer(1, 100_000),
        "After how many items that are refused for the same fault of the request, before any went well, their job is stopped; 5 \
         if not given.",
    ),
];

pub(super) const STOP_AFTER: FieldSpec = FieldSpec::optional(
    "stop_after",
    ValueShape::Fields(&STOP_AFTER_FIELDS),
    "After how many failures in a row nothing more is sent until a person has looked.",
);

pub(super) const WITHDRAW_AT_ONCE: FieldSpec = FieldSpec::optional(
    "withdraw_at_once",
    ValueShape::Boolean,
    "Whether this gateway, such as a sandbox, lets an order be closed or reversed right after it was made; false if not given: \
     payrun waits as long as the job kind's not_before says.",
);

static CUSTOMS_FIELDS: [FieldSpec; 3] = [
    FieldSpec::optional(
        "ports",
        ValueShape::List(&ValueShape::Text),
        "Codes of customs beside the gateway's known list, such as HAIKOU_ZS.",
    ),
    FieldSpec::optional(
        "sub_orders",
        ValueShape::Boolean,
        "Whether orders may be declared by their sub-orders; true if not given. The gateway's Chinese pages give that to \
         institutions only, its English pages to everybody.",
    ),
    FieldSpec::optional(
        "declare_within",
        ValueShape::Duration,
        "How long after paid_on a payment may be declared; 365d if not given.",
    ),
];

pub(super) const CUSTOMS: FieldSpec = FieldSpec::optional(
    "customs",
    ValueShape::Fields(&CUSTOMS_FIELDS),
    "What is particular to customs declarations here.",
);

impl FileContext<'_> {
    fn customs(&mut self, node: &YamlNode) -> CustomsConfig {
        let Some(node) = node.get("customs") else {
            return CustomsConfig::default();
        };
        let mut ports = Vec::new();
        for port in node.get("ports").map_or(&[][..], YamlNode::list) {
            let text = port.text().unwrap_or_default();
            let fits =
                |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
            if (1..=32).contains(&text.len()) && text.bytes().all(fits) {
                ports.push(text.to_owned());
            } else {
                let help = "1 to 32 of A-Z, 0-9 and _, such as HAIKOU_ZS";
                self.refuse(port.at, "this is no code of a customs office", help);
            }
        }
        let sub_orders = node.get("sub_orders").is_none() || is_true(node, "sub_orders");
        CustomsConfig {
            ports,
            sub_orders,
            declare_within: duration_of(node, "declare_within"),
        }
    }

    /// An account of a kind, with its lane.
    pub(super) fn account(
        &mut self,
        name: &str,
        node: &YamlNode,
        kind: GatewayKind,
    ) -> GatewayConfig {
        let concurrency =
            integer_of(node, "concurrency").and_then(|number| u32::try_from(number).ok());
        let positive = |duration: &Duration| !duration.is_zero();
        if let Some(timeout) = node
            .get("timeout")
            .filter(|_| duration_of(node, "timeout").is_some_and(|d| d.is_zero()))
        {
            self.refuse(
                timeout.at,
                "a call needs some time",
                "15s suits most gateways",
            );
        }
        GatewayConfig {
            name: name.to_owned(),
            rate: text_of(node, "rate")
                .and_then(scalars::rate)
                .unwrap_or(Rate {
                    calls: 20,
                    per: Duration::from_secs(1),
                }),
            concurrency: concurrency.unwrap_or(16),
            timeout: duration_of(node, "timeout")
                .filter(positive)
                .unwrap_or(Duration::from_secs(15)),
            query_interval: duration_of(node, "query_interval").unwrap_or(Duration::from_secs(10)),
            refund_interval: duration_of(node, "refund_interval")
                .unwrap_or(Duration::from_secs(60)),
            funds_interval: duration_of(node, "funds_interval")
                .unwrap_or(Duration::from_secs(1_800)),
            burst: integer_of(node, "burst")
                .and_then(|number| u32::try_from(number).ok())
                .unwrap_or(0),
            stop_after: stop_after(node),
            withdraw_at_once: is_true(node, "withdraw_at_once"),
            customs: self.customs(node),
            ownership: self.ownership(node),
            kind,
        }
    }
}

fn stop_after(node: &YamlNode) -> StopAfter {
    let usual = StopAfter::default();
    let Some(node) = node.get("stop_after") else {
        return usual;
    };
    let given = |name| integer_of(node, name).and_then(|number| u32::try_from(number).ok());
    StopAfter {
        unverified: given("unverified").unwrap_or(usual.unverified),
        refused: given("refused").unwrap_or(usual.refused),
    }
}
