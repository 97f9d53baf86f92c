//! The signature of CBTIS's notifications (docs/gateways/cbtis.md, "Authentication and
//! signatures"): the SHA-256 of the raw body, a dot and the API key, in hex.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{Context, SHA256};
use secrecy::{ExposeSecret, SecretString};

/// The signature of a body: hex, lower case.
pub fn signature(body: &[u8], key: &SecretString) -> String {
    let key = key.expose_secret().as_bytes();
    #[cfg(feature = "mutation")]
    let (body, key) = crate::mutation::digest_of(body, key);
    let mut context = Context::new(&SHA256);
    context.update(body);
    context.update(b".");
    context.update(key);
    hex::encode(context.finish())
}

/// Whether a signature is that of a body; in constant time, whatever its case.
pub fn verifies(body: &[u8], key: &SecretString, given: &str) -> bool {
    verify_slices_are_equal(
        signature(body, key).as_bytes(),
        given.to_ascii_lowercase().as_bytes(),
    )
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"notify_type":"refund_success","data":{"uid":39172931,"refund_id":"C34368224017070000","merchant_refund_id":"P2164521756312637123","order_amount":"105.00","create_time":"2023-08-23T18:25:43.511Z","refund_time":"2023-08-23T18:28:16.511Z"}}"#;
    const C1: &str = "3ce5a54d8a76590179f0f4192a6c0efddf20e118966b6276b1bfbbc0b33f362a";

    #[test]
    fn vector_c1_the_documented_refund_notification_verifies() {
        let key = SecretString::from("6d0e8fa7b10c40c3a48c0c2be41cb178");
        assert_eq!(signature(BODY.as_bytes(), &key), C1);
        assert!(verifies(BODY.as_bytes(), &key, &C1.to_ascii_uppercase()));
        assert!(!verifies(
            BODY.replace("105.00", "106.00").as_bytes(),
            &key,
            C1
        ));
        assert!(!verifies(BODY.as_bytes(), &SecretString::from("6d0e"), C1));
        assert!(
            !verifies(BODY.as_bytes(), &key, "") && !verifies(BODY.as_bytes(), &key, &C1[..63])
        );
    }
}
