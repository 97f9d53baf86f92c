//! The fields of an EGMS account in `payrun.yaml` (docs/gateways/egms.md).

use payrun_gateway::egms::account::{EgmsConfig, SignType};
use payrun_yaml::fields::{FieldSpec, ValueShape, text_of};
use payrun_yaml::node::YamlNode;

use super::lane::{
    BURST, CONCURRENCY, FUNDS_INTERVAL, QUERY_INTERVAL, RATE, REFUND_INTERVAL, STOP_AFTER, TIMEOUT,
    WITHDRAW_AT_ONCE,
};
use super::load::FileContext;
use super::urls::url_parts;

/// The fields of an account.
pub static FIELDS: [FieldSpec; 18] = [
    FieldSpec::required(
        "kind",
        ValueShape::Word(&["egms"]),
        "The kind of gateway: egms is EGMS of EVO Cloud (Evonet).",
    ),
    FieldSpec::required(
        "base_url",
        ValueShape::Text,
        "Scheme and host, as EGMS names it.",
    ),
    FieldSpec::required(
        "sid",
        ValueShape::Text,
        "The merchant's id, as it stands in the paths.",
    ),
    FieldSpec::required(
        "sign_key",
        ValueShape::Secrets,
        "The SignKey: 32 characters; of a list [new, old] the first signs, and any verifies.",
    ),
    FieldSpec::optional(
        "sign_type",
        ValueShape::Word(&SignType::WORDS),
        "The digest of signatures; SHA256 if not given.",
    ),
    FieldSpec::optional(
        "key_id",
        ValueShape::Text,
        "The KeyID header, if EGMS issued one.",
    ),
    FieldSpec::optional(
        "cancel_when",
        ValueShape::List(&ValueShape::Word(&[
            "Pending",
            "Authorised",
            "Verifying",
            "not_found",
        ])),
        "While a payment stands so it may be cancelled; Pending if not given, as EGMS's page on WeChat Pay has it. Its general \
         pages allow Authorised and Verifying too, and not_found after a time-out; ask EGMS before.",
    ),
    FieldSpec::required(
        "notify_url",
        ValueShape::Text,
        "Where the gateway sends notifications: https, without a query.",
    ),
    FieldSpec::optional(
        "notify_path",
        ValueShape::Text,
        "The path notifications are signed with; that of notify_url if not given.",
    ),
    RATE,
    CONCURRENCY,
    TIMEOUT,
    QUERY_INTERVAL,
    REFUND_INTERVAL,
    FUNDS_INTERVAL,
    BURST,
    STOP_AFTER,
    WITHDRAW_AT_ONCE,
];

impl FileContext<'_> {
    pub(super) fn egms(&mut self, node: &YamlNode) -> Option<EgmsConfig> {
        let base_url = self.base_url(node, None);
        let sid = self.bounded(node, "sid", 64);
        let sign_keys = node.get("sign_key").and_then(|value| self.secrets(value));
        let sign_type = text_of(node, "sign_type")
            .and_then(SignType::parse)
            .unwrap_or_default();
        let key_id = self.bounded(node, "key_id", 32);
        let cancel_when = node.get("cancel_when").map_or_else(
            || vec!["Pending".to_owned()],
            |node| {
                node.list()
                    .iter()
                    .filter_map(|node| node.text().map(str::to_owned))
                    .collect()
            },
        );
        let notify_url = self.notify_url(node, base_url.as_deref());
        let path = notify_url
            .as_deref()
            .and_then(|url| url_parts(url).ok())
            .map_or("/", |(_, path)| path)
            .to_owned();
        let notify_path = self.path(
            node,
            "notify_path",
            if path.is_empty() { "/" } else { &path },
        );
        Some(EgmsConfig {
            base_url: base_url?,
            sid: sid?,
            sign_keys: sign_keys?,
            sign_type,
            key_id,
            cancel_when,
            notify_url: notify_url?,
            notify_path: notify_path?,
        })
    }
}
