//! The fields of a CBTIS account in `payrun.yaml` (docs/gateways/cbtis.md).

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

use payrun_gateway::cbtis::account::{
    AccessToken, CbtisConfig, CbtisCustoms, CustomsAmounts, TokenRequest,
};
use payrun_yaml::fields::{FieldSpec, ValueShape, duration_of, text_of};
use payrun_yaml::node::YamlNode;

use super::lane::{
    BURST, CONCURRENCY, FUNDS_INTERVAL, QUERY_INTERVAL, RATE, REFUND_INTERVAL, STOP_AFTER, TIMEOUT,
    WITHDRAW_AT_ONCE,
};
use super::load::FileContext;

static CUSTOMS: [FieldSpec; 6] = [
    FieldSpec::optional(
        "create_path",
        ValueShape::Text,
        "Where a declaration is created; CBTIS documents it.",
    ),
    FieldSpec::optional(
        "update_path",
        ValueShape::Text,
        "Where it is modified; a guess, …/update_customs_declare, if not given.",
    ),
    FieldSpec::optional(
        "query_path",
        ValueShape::Text,
        "Where it is queried; a guess, …/retrieve_customs_declare, if not given.",
    ),
    FieldSpec::optional(
        "redeclare_path",
        ValueShape::Text,
        "Where it is pushed again; a guess, …/redeclare_customs_declare, if not given.",
    ),
    FieldSpec::optional(
        "fields",
        ValueShape::Named(&ValueShape::Text),
        "CBTIS's names of WeChat Pay's fields sub_order_no, fee_type, order_fee, transport_fee, product_fee and duty, where they \
         are others; not documented.",
    ),
    FieldSpec::optional(
        "amounts",
        ValueShape::Word(&["cents", "decimal"]),
        "How the amounts of a sub-order are written; not documented, so no sub-order is declared if not given.",
    ),
];

static TOKEN_REQUEST: [FieldSpec; 6] = [
    FieldSpec::required(
        "path",
        ValueShape::Text,
        "The path of the request at base_url.",
    ),
    FieldSpec::optional(
        "headers",
        ValueShape::Named(&ValueShape::Secret),
        "Headers of the request that hold the credentials, such as x-client-id and x-api-key.",
    ),
    FieldSpec::optional(
        "body",
        ValueShape::Secret,
        "The JSON body of the request, with the credentials in it.",
    ),
    FieldSpec::optional(
        "token_field",
        ValueShape::Text,
        "Where the reply has the token; data.access_token if not given.",
    ),
    FieldSpec::optional(
        "expires_field",
        ValueShape::Text,
        "Where the reply has its lifetime in seconds, or its end in ISO 8601; data.expires_in if not given.",
    ),
    FieldSpec::optional(
        "lifetime",
        ValueShape::Duration,
        "How long it lives if the reply does not say; 10m if not given.",
    ),
];

/// The fields of an account.
pub static FIELDS: [FieldSpec; 22] = [
    FieldSpec::required(
        "kind",
        ValueShape::Word(&["cbtis"]),
        "The kind of gateway: cbtis is CBTIS (AiscPay).",
    ),
    FieldSpec::required(
        "base_url",
        ValueShape::Text,
        "Scheme and host, as CBTIS names it.",
    ),
    FieldSpec::optional(
        "access_token",
        ValueShape::Secret,
        "An access token that stays; or give token_request.",
    ),
    FieldSpec::optional(
        "token_request",
        ValueShape::Fields(&TOKEN_REQUEST),
        "How an access token is fetched and renewed; or give access_token.",
    ),
    FieldSpec::optional(
        "token_header",
        ValueShape::Text,
        "The header of the token; a guess, Authorization, if not given.",
    ),
    FieldSpec::optional(
        "token_prefix",
        ValueShape::Text,
        "What stands before the token; a guess, Bearer, if not given.",
    ),
    FieldSpec::required(
        "api_key",
        ValueShape::Secrets,
        "The API key that notifications are signed with; of a list [new, old] any verifies.",
    ),
    FieldSpec::optional(
        "signature_header",
        ValueShape::Text,
        "The header of a notification's signature; a guess, Signature, if not given.",
    ),
    FieldSpec::optional(
        "refund_path",
        ValueShape::Text,
        "Where refunds are made; a guess, /mch-api/v1/pa/refunds/create, if not given.",
    ),
    FieldSpec::optional(
        "refund_query_path",
        ValueShape::Text,
        "Where refunds are queried; a guess, /mch-api/v1/pa/refunds/query, if not given.",
    ),
    FieldSpec::optional(
        "not_found_code",
        ValueShape::Scalar,
        "The code of a reply that says there is no such order; not documented, so every code is queried if not given.",
    ),
    FieldSpec::optional(
        "customs",
        ValueShape::Fields(&CUSTOMS),
        "How customs declarations are made, where CBTIS's way is not what was guessed.",
    ),
    FieldSpec::required(
        "notify_url",
        ValueShape::Text,
        "Where the gateway sends notifications: https, without a query.",
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

/// The fields of a declaration that CBTIS may call otherwise.
const CUSTOMS_FIELDS: [&str; 6] = [
    "sub_order_no",
    "fee_type",
    "order_fee",
    "transport_fee",
    "product_fee",
    "duty",
];

impl FileContext<'_> {
    pub(super) fn cbtis(&mut self, node: &YamlNode) -> Option<CbtisConfig> {
        let base_url = self.base_url(node, None);
        let access_token = self.access_token(node);
        let token_header = self.header_name(node, "token_header", "authorization");
        let token_prefix = match text_of(node, "token_prefix") {
            None => "Bearer ".to_owned(),
            Some("") => String::new(),
            Some(word) => format!("{} ", word.trim()),
        };
        let api_keys = node.get("api_key").and_then(|value| self.secrets(value));
        let signature_header = self.header_name(node, "signature_header", "signature");
        let refund_path = self.path(node, "refund_path", "/mch-api/v1/pa/refunds/create");
        let refund_query_path =
            self.path(node, "refund_query_path", "/mch-api/v1/pa/refunds/query");
        let notify_url = self.notify_url(node, base_url.as_deref());
        let customs = self.cbtis_customs(node.get("customs"));
        Some(CbtisConfig {
            base_url: base_url?,
            access_token: access_token?,
            token_header: token_header?,
            token_prefix,
            api_keys: api_keys?,
            signature_header: signature_header?,
            refund_path: refund_path?,
            refund_query_path: refund_query_path?,
            not_found_code: node
                .get("not_found_code")
                .and_then(|node| Some(node.scalar()?.text.clone())),
            notify_url: notify_url?,
            customs: customs?,
        })
    }

    fn cbtis_customs(&mut self, node: Option<&YamlNode>) -> Option<CbtisCustoms> {
        let usual = CbtisCustoms::default();
        let Some(node) = node else { return Some(usual) };
        let mut fields = BTreeMap::new();
        for entry in node.get("fields").map_or(&[][..], YamlNode::entries) {
            if !CUSTOMS_FIELDS.contains(&entry.key.as_str()) {
                let message = format!(
                    "there is no field \"{}\" of a declaration",
                    payrun_domain::text::shown(&entry.key)
                );
                self.refuse(
                    entry.key_at,
                    message,
                    &format!("the fields are {}", CUSTOMS_FIELDS.join(", ")),
                );
            }
            fields.extend(
                entry
                    .value
                    .text()
                    .map(|name| (entry.key.clone(), name.to_owned())),
            );
        }
        Some(CbtisCustoms {
            create_path: self.path(node, "create_path", &usual.create_path)?,
            update_path: self.path(node, "update_path", &usual.update_path)?,
            query_path: self.path(node, "query_path", &usual.query_path)?,
            redeclare_path: self.path(node, "redeclare_path", &usual.redeclare_path)?,
            fields,
            amounts: text_of(node, "amounts").map(|word| match word {
                "decimal" => CustomsAmounts::Decimal,
                _ => CustomsAmounts::Cents,
            }),
        })
    }

    fn access_token(&mut self, node: &YamlNode) -> Option<AccessToken> {
        match (node.get("access_token"), node.get("token_request")) {
            (Some(fixed), None) => self.secret(fixed).map(AccessToken::Fixed),
            (None, Some(request)) => {
                let body = request.get("body").map(|value| self.secret(value));
                let headers = self.token_headers(request);
                if body.is_none() && request.get("headers").is_none() {
                    let help = "name the credentials: body: { file: … }, or headers: { x-client-id: { env: … } }";
                    self.refuse(
                        request.at,
                        "a token request has headers, a body, or both",
                        help,
                    );
                    return None;
                }
                let text =
                    |name, default: &str| text_of(request, name).unwrap_or(default).to_owned();
                Some(AccessToken::Fetched(TokenRequest {
                    path: self.path(request, "path", "/")?,
                    headers: headers?,
                    body: match body {
                        None => None,
                        Some(body) => Some(body?),
                    },
                    token_field: text("token_field", "data.access_token"),
                    expires_field: text("expires_field", "data.expires_in"),
                    lifetime: duration_of(request, "lifetime").unwrap_or(Duration::from_secs(600)),
                }))
            }
            (Some(_), Some(_)) | (None, None) => {
                let help = "access_token stays the same; token_request fetches one and renews it";
                self.refuse(
                    node.at,
                    "exactly one of access_token and token_request is needed",
                    help,
                );
                None
            }
        }
    }

    fn token_headers(&mut self, request: &YamlNode) -> Option<Vec<(String, SecretString)>> {
        let mut headers = Vec::new();
        for entry in request.get("headers").map_or(&[][..], YamlNode::entries) {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
            if entry.key.is_empty() || entry.key.len() > 64 || !entry.key.bytes().all(allowed) {
                self.refuse(
                    entry.key_at,
                    "a header's name has 1 to 64 letters, digits, _ and -",
                    "",
                );
                return None;
            }
            headers.push((entry.key.to_ascii_lowercase(), self.secret(&entry.value)?));
        }
        Some(headers)
    }

    fn header_name(&mut self, node: &YamlNode, name: &str, default: &str) -> Option<String> {
        let given = self.bounded(node, name, 64);
        if node.get(name).is_some() {
            given.map(|name| name.to_ascii_lowercase())
        } else {
            Some(default.to_owned())
        }
    }
}
