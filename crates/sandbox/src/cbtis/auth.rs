//! The signature of CBTIS's notifications, as its Webhook page has it (docs/gateways/cbtis.md).
//! Requests and replies are not signed.

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

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
