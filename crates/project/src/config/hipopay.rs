//! The fields of a HipoPay account in `payrun.yaml` (docs/gateways/hipopay.md).

use std::collections::BTreeMap;

use secrecy::SecretString;

use payrun_domain::text::shown;
use payrun_gateway::hipopay::account::{Encoding, HipopayConfig};
use payrun_gateway::key_check;
use payrun_gateway::statement::BillNames;
use payrun_yaml::fields::{FieldSpec, ValueShape, text_of};
use payrun_yaml::node::YamlNode;

use super::lane::{
    BURST, CONCURRENCY, CUSTOMS, FUNDS_INTERVAL, QUERY_INTERVAL, RATE, REFUND_INTERVAL, STOP_AFTER,
    TIMEOUT, WITHDRAW_AT_ONCE,
};
use super::load::FileContext;
use super::ownership::{OTHERS, OURS};
use super::secrets;

/// The fields of an account.
pub static FIELDS: [FieldSpec; 22] = [
    FieldSpec::required(
        "kind",
        ValueShape::Word(&["hipopay"]),
        "The kind of gateway: hipopay is HipoPay.",
    ),
    FieldSpec::required(
        "base_url",
        ValueShape::Text,
        "Scheme and host; the sandbox's is https://testapi.hipopay.com. In production https://api.hipopay.com was found in HipoPay's \
         own SDK (2019), and https://api.wisecashier.com before: confirm it with HipoPay.",
    ),
    FieldSpec::required(
        "merchant_no",
        ValueShape::Text,
        "The merchant number, MerchantNO.",
    ),
    FieldSpec::required(
        "merchant_key",
        ValueShape::Secret,
        "The RSA private key that signs our requests, as PEM.",
    ),
    FieldSpec::required(
        "platform_public_key",
        ValueShape::Secrets,
        "HipoPay's public key for notifications, as PEM; of a list [new, old] any verifies.",
    ),
    FieldSpec::optional(
        "version",
        ValueShape::Text,
        "The Version header; 1.0 if not given.",
    ),
    FieldSpec::required(
        "notify_url",
        ValueShape::Text,
        "Where the gateway sends notifications: https, without a query.",
    ),
    FieldSpec::optional(
        "encoding",
        ValueShape::Word(&Encoding::WORDS),
        "What the string to sign leaves of ~ * ! ' ( ): rfc3986 (only ~) if not given. HipoPay's own SDKs disagree.",
    ),
    CUSTOMS,
    OURS,
    OTHERS,
    FieldSpec::optional(
        "bill_columns",
        ValueShape::Named(&ValueShape::Text),
        "What the reconciliation report calls its columns, by ours (transaction_type, order_no, …), where that is not the document's \
         English; the language of a real file is not documented.",
    ),
    FieldSpec::optional(
        "bill_words",
        ValueShape::Fields(&BILL_WORDS),
        "What the reconciliation report calls the types of its lines, where that is not the document's English.",
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

static BILL_WORDS: [FieldSpec; 2] = [
    FieldSpec::optional(
        "payment",
        ValueShape::Text,
        "How the type of a payment begins; Collection via, if not given.",
    ),
    FieldSpec::optional(
        "refund",
        ValueShape::Text,
        "The type of a refund; Refund if not given.",
    ),
];

impl FileContext<'_> {
    pub(super) fn hipopay(&mut self, node: &YamlNode) -> Option<HipopayConfig> {
        let base_url = self.base_url(node, None);
        let merchant_no = self.bounded(node, "merchant_no", 64);
        let merchant_key = self.rsa_key(node, "merchant_key");
        let platform_public_keys = self.rsa_public_keys(node, "platform_public_key");
        let version = self.version(node);
        let notify_url = self.notify_url(node, base_url.as_deref());
        let encoding = text_of(node, "encoding")
            .and_then(Encoding::parse)
            .unwrap_or(Encoding::Rfc3986);
        Some(HipopayConfig {
            base_url: base_url?,
            merchant_no: merchant_no?,
            merchant_key: merchant_key?,
            platform_public_keys: platform_public_keys?,
            version: version?,
            notify_url: notify_url?,
            encoding,
            bill_names: self.bill_names(node),
        })
    }

    fn bill_names(&mut self, node: &YamlNode) -> BillNames {
        let mut columns = BTreeMap::new();
        for entry in node.get("bill_columns").map_or(&[][..], YamlNode::entries) {
            if !BillNames::columns_known().any(|name| name == entry.key) {
                let message = format!("the bill has no column \"{}\"", shown(&entry.key));
                let known: Vec<&str> = BillNames::columns_known().collect();
                self.refuse(
                    entry.key_at,
                    message,
                    &format!("the columns are {}", known.join(", ")),
                );
            }
            columns.extend(
                entry
                    .value
                    .text()
                    .map(|name| (entry.key.clone(), name.to_owned())),
            );
        }
        let word = |name| {
            node.get("bill_words")
                .and_then(|words| text_of(words, name))
                .map(str::to_owned)
        };
        BillNames {
            columns,
            payment: word("payment"),
            refund: word("refund"),
        }
    }

    fn version(&mut self, node: &YamlNode) -> Option<String> {
        let Some(value) = node.get("version") else {
            return Some("1.0".to_owned());
        };
        let text = value.text()?;
        if (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Some(text.to_owned());
        }
        self.refuse(value.at, "version is a number such as 1.0", "");
        None
    }

    fn rsa_key(&mut self, node: &YamlNode, name: &str) -> Option<SecretString> {
        let value = node.get(name)?;
        let key = self.secret(value)?;
        match key_check::private_key(&key) {
            Ok(()) => Some(key),
            Err(error) => {
                self.refuse(
                    value.at,
                    format!("{name} ({}): {error}", secrets::origin(value)),
                    "",
                );
                None
            }
        }
    }

    fn rsa_public_keys(&mut self, node: &YamlNode, name: &str) -> Option<Vec<String>> {
        let value = node.get(name)?;
        let pems: Vec<_> = secrets::references(value)
            .iter()
            .map(|pem| self.public(pem))
            .collect();
        let pems: Vec<String> = pems.into_iter().collect::<Option<_>>()?;
        let mut fit = true;
        for (pem, reference) in pems.iter().zip(secrets::references(value)) {
            if let Err(error) = key_check::public_key(pem) {
                self.refuse(
                    reference.at,
                    format!("{name} ({}): {error}", secrets::origin(reference)),
                    "",
                );
                fit = false;
            }
        }
        fit.then_some(pems)
    }
}
