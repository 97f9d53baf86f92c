//! Who the fake and its one merchant are: a generated token, credentials and API key, worth nothing
//! at CBTIS.

use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::auth::same;
use crate::shared::key_files::{AccountKeysError, make_folder, random, read, write};
use payrun_project::config::{
    AccessToken, CbtisConfig, CbtisCustoms, CustomsAmounts, TokenRequest,
};

/// Where the fake issues tokens; CBTIS's own place is not documented.
pub const TOKEN_PATH: &str = "/mch-api/v1/auth/token";

/// Where it issues them to headers without a body, as a like product does (docs/gateways/cbtis.md,
/// "Authentication and signatures" \[C\]).
pub const LOGIN_PATH: &str = "/mch-api/v1/authentication/login";

const ACCESS_TOKEN: &str = "access_token.txt";
const TOKEN_REQUEST: &str = "token_request.json";
const API_KEY: &str = "api_key.txt";

/// What both sides share.
#[derive(Debug, Clone)]
pub struct CbtisAccountKeys {
    token: SecretString,
    request: SecretString,
    api_key: SecretString,
}

impl CbtisAccountKeys {
    /// Fresh secrets.
    ///
    /// # Errors
    /// If the system's randomness fails.
    pub fn generate() -> Result<Self, AccountKeysError> {
        let request = json!({ "app_id": "sandbox", "app_secret": random()? }).to_string();
        Ok(Self {
            token: random()?.into(),
            request: request.into(),
            api_key: random()?.into(),
        })
    }

    /// Writes the secrets to a folder, which is created; files and folder are their owner's only.
    ///
    /// # Errors
    /// Which file could not be written.
    pub fn save(&self, folder: &Path) -> Result<(), AccountKeysError> {
        make_folder(folder)?;
        write(folder, ACCESS_TOKEN, self.token.expose_secret())?;
        write(folder, TOKEN_REQUEST, self.request.expose_secret())?;
        write(folder, API_KEY, self.api_key.expose_secret())
    }

    /// Reads what [`CbtisAccountKeys::save`] wrote.
    ///
    /// # Errors
    /// Which file is missing.
    pub fn load(folder: &Path) -> Result<Self, AccountKeysError> {
        let secret =
            |name| Ok::<_, AccountKeysError>(SecretString::from(read(folder, name)?.trim()));
        Ok(Self {
            token: secret(ACCESS_TOKEN)?,
            request: secret(TOKEN_REQUEST)?,
            api_key: secret(API_KEY)?,
        })
    }

    /// The account a client is configured with; its token is fetched from the fake.
    pub fn config(&self, base_url: &str) -> CbtisConfig {
        let request = TokenRequest {
            path: TOKEN_PATH.into(),
            headers: Vec::new(),
            body: Some(self.request.clone()),
            token_field: "data.access_token".into(),
            expires_field: "data.expires_in".into(),
            lifetime: Duration::from_secs(600),
        };
        CbtisConfig {
            base_url: base_url.to_owned(),
            access_token: AccessToken::Fetched(request),
            token_header: "authorization".into(),
            token_prefix: "Bearer ".into(),
            api_keys: vec![self.api_key.clone()],
            signature_header: "signature".into(),
            refund_path: "/mch-api/v1/pa/refunds/create".into(),
            refund_query_path: "/mch-api/v1/pa/refunds/query".into(),
            not_found_code: Some("404001".into()),
            notify_url: "https://example.com/payrun/notify/cbtis".into(),
            customs: CbtisCustoms {
                amounts: Some(CustomsAmounts::Cents),
                ..CbtisCustoms::default()
            },
        }
    }

    /// The same account with a token that is fetched with headers and no body.
    pub fn config_with_login(&self, base_url: &str) -> CbtisConfig {
        let (id, key) = self.credentials();
        let request = TokenRequest {
            path: LOGIN_PATH.into(),
            headers: vec![
                ("x-client-id".into(), id.into()),
                ("x-api-key".into(), key.into()),
            ],
            body: None,
            token_field: "token".into(),
            expires_field: "expires_at".into(),
            lifetime: Duration::from_secs(600),
        };
        CbtisConfig {
            access_token: AccessToken::Fetched(request),
            ..self.config(base_url)
        }
    }

    fn credentials(&self) -> (String, String) {
        let request: Value = serde_json::from_str(self.request.expose_secret()).unwrap_or_default();
        let text = |name: &str| request[name].as_str().unwrap_or_default().to_owned();
        (text("app_id"), text("app_secret"))
    }

    /// The same account with a token that stays.
    pub fn config_with_fixed_token(&self, base_url: &str) -> CbtisConfig {
        CbtisConfig {
            access_token: AccessToken::Fixed(self.token.clone()),
            ..self.config(base_url)
        }
    }

    /// The account in `payrun.yaml`, with its secrets in this folder; without the lane.
    pub fn yaml(&self, base_url: &str, keys: &str) -> String {
        format!(
            "    kind: cbtis\n    base_url: {base_url}\n    token_request: {{ path: {TOKEN_PATH}, body: {{ file: {keys}/{TOKEN_REQUEST} }} }}\n    \
             api_key: {{ file: {keys}/{API_KEY} }}\n    not_found_code: 404001\n    customs: {{ amounts: cents }}\n    notify_url: https://example.com/payrun/notify/cbtis\n"
        )
    }

    pub(super) fn is_token(&self, given: &str) -> bool {
        same(&self.token, given.as_bytes())
    }

    pub(super) fn is_token_request(&self, body: &[u8]) -> bool {
        let ours: Option<Value> = serde_json::from_str(self.request.expose_secret()).ok();
        ours.is_some() && serde_json::from_slice(body).ok() == ours
    }

    /// Whether these are the credentials, as headers carry them.
    pub(super) fn is_login(&self, id: &str, key: &str) -> bool {
        let (our_id, our_key) = self.credentials();
        !our_key.is_empty() && id == our_id && same(&our_key.into(), key.as_bytes())
    }

    pub(super) fn api_key(&self) -> SecretString {
        self.api_key.clone()
    }
}
