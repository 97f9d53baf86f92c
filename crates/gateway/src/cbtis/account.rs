//! A CBTIS account: where it is reached and by what it is known.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::SecretString;

/// A CBTIS account. What CBTIS does not document is here with a guess as default \[C\].
#[derive(Debug, Clone)]
pub struct CbtisConfig {
    /// Scheme and host.
    pub base_url: String,
    /// Where the access token comes from.
    pub access_token: AccessToken,
    /// The header that carries it; `authorization` is a guess \[C\].
    pub token_header: String,
    /// What stands before it there; `Bearer ` is a guess \[C\].
    pub token_prefix: String,
    /// The API keys that notifications may be signed with: any of them verifies.
    pub api_keys: Vec<SecretString>,
    /// The header that carries a notification's signature; `signature` is a guess \[C\].
    pub signature_header: String,
    /// Where refunds are made; a guess by analogy \[C\].
    pub refund_path: String,
    /// Where they are asked about; a guess by analogy \[C\].
    pub refund_query_path: String,
    /// The `code` of a reply that says that there is no such order or refund; not documented \[C\],
    /// so none if not given.
    pub not_found_code: Option<String>,
    /// Where CBTIS sends notifications.
    pub notify_url: String,
    /// How customs declarations are made.
    pub customs: CbtisCustoms,
}

/// How customs declarations are made. Documented is where one is created, and its four fields; the
/// rest is by analogy \[C\].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CbtisCustoms {
    /// Where one is created.
    pub create_path: String,
    /// Where it is modified \[C\].
    pub update_path: String,
    /// Where it is asked about \[C\].
    pub query_path: String,
    /// Where it is pushed again \[C\].
    pub redeclare_path: String,
    /// By WeChat Pay's name of a field: CBTIS's, where it is another \[C\].
    pub fields: BTreeMap<String, String>,
    /// How the amounts of a sub-order are written \[C\]; none: not known, and no sub-order is
    /// declared.
    pub amounts: Option<CustomsAmounts>,
}

/// How the amounts of a sub-order are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomsAmounts {
    /// As whole numbers of 0.01, as WeChat Pay has it.
    Cents,
    /// As decimal text, as CBTIS writes the amounts of payments.
    Decimal,
}

impl Default for CbtisCustoms {
    fn default() -> Self {
        let path = |name: &str| format!("/mch-api/v1/pa/channel_extra/wechat/{name}");
        Self {
            create_path: path("create_customs_declare"),
            update_path: path("update_customs_declare"),
            query_path: path("retrieve_customs_declare"),
            redeclare_path: path("redeclare_customs_declare"),
            fields: BTreeMap::new(),
            amounts: None,
        }
    }
}

/// Where an access token comes from.
#[derive(Debug, Clone)]
pub enum AccessToken {
    /// It stays the same.
    Fixed(SecretString),
    /// It is fetched, and fetched again before it expires.
    Fetched(TokenRequest),
}

/// How an access token is fetched: a POST, with the credentials in headers, in a body of JSON, or
/// in both.
#[derive(Debug, Clone)]
pub struct TokenRequest {
    /// Its path at the account's `base_url`.
    pub path: String,
    /// Its headers by name, in lower case.
    pub headers: Vec<(String, SecretString)>,
    /// Its body, where it has one.
    pub body: Option<SecretString>,
    /// Where in the reply the token is: `data.access_token`.
    pub token_field: String,
    /// Where in the reply its lifetime is, in seconds, or when it ends, in ISO 8601:
    /// `data.expires_in`.
    pub expires_field: String,
    /// How long it lives if the reply does not say.
    pub lifetime: Duration,
}
