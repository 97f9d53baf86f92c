//! Access tokens, which let requests in, and the signature of notifications, as CBTIS's Webhook
//! page has it (docs/gateways/cbtis.md, "Authentication and signatures"). Requests and replies are
//! not signed.

use std::sync::PoisonError;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{CbtisRefusal, CbtisSubjectReply, FakeCbtis, ok};
use crate::shared::keys::nonce;
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;

/// How many issued tokens are kept; older ones are forgotten.
const TOKENS_MAX: usize = 1_000;

impl FakeCbtis {
    /// How many tokens were issued and are not forgotten.
    pub fn tokens_issued(&self) -> usize {
        self.issued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Makes every issued token worthless.
    pub fn revoke_tokens(&self) {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued
            .values_mut()
            .for_each(|until| *until = Timestamp::default());
    }

    pub(super) fn knows(&self, token: &str) -> bool {
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        self.identity.is_token(token)
            || issued
                .get(token)
                .is_some_and(|until| self.responder.clock.now() < *until)
    }

    pub(super) fn issue(&self, body: &[u8]) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let known = self.identity.is_token_request(body);
        let (token, _) = self.new_token(known)?;
        let data = json!({ "access_token": token, "expires_in": self.lifetime.as_secs() });
        Ok((String::new(), ok(data), None))
    }

    /// A token for headers: no body, and when it ends instead of how long it lives.
    pub(super) fn log_in(
        &self,
        request: &Request,
        id: &str,
        key: &str,
    ) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let known = self.identity.is_login(id, key) && request.body().is_empty();
        let (token, until) = self.new_token(known)?;
        let until = chrono::DateTime::from_timestamp_millis(until.millis()).unwrap_or_default();
        let until = until.format("%Y-%m-%dT%H:%M:%S%z").to_string();
        Ok((
            String::new(),
            json!({ "token": token, "expires_at": until }),
            None,
        ))
    }

    fn new_token(&self, known: bool) -> Result<(String, Timestamp), CbtisRefusal> {
        let refused = CbtisRefusal {
            http: 401,
            code: 401_002,
            reason: "wrong_credentials",
        };
        let token = nonce().ok_or(refused)?;
        if !known {
            return Err(refused);
        }
        let until = self.responder.clock.now().plus(self.lifetime);
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        while issued.len() >= TOKENS_MAX {
            issued.pop_first();
        }
        issued.insert(token.clone(), until);
        Ok((token, until))
    }
}

/// A secret as text, for comparisons.
pub(super) fn same(secret: &SecretString, given: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(secret.expose_secret().as_bytes(), given)
        .is_ok()
}

/// The lower-case hex of SHA-256 over raw body, full stop and API key.
pub fn signature(body: &[u8], key: &SecretString) -> String {
    let covered = [body, b".", key.expose_secret().as_bytes()].concat();
    hex::encode(Sha256::digest(covered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_c1_the_documented_refund_notification_comes_out() {
        let body = br#"{"notify_type":"refund_success","data":{"uid":39172931,"refund_id":"C34368224017070000","merchant_refund_id":"P2164521756312637123","order_amount":"105.00","create_time":"2023-08-23T18:25:43.511Z","refund_time":"2023-08-23T18:28:16.511Z"}}"#;
        assert_eq!(
            signature(body, &"6d0e8fa7b10c40c3a48c0c2be41cb178".into()),
            "3ce5a54d8a76590179f0f4192a6c0efddf20e118966b6276b1bfbbc0b33f362a"
        );
    }
}
