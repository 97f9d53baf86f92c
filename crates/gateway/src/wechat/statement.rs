//! The statement of a day (docs/gateways/wechat.md, "Statements"): the reply is the file itself,
//! and its signature covers `{"sha1":"…"}`.
//!
//! A file whose SHA-1 is not the signed one is not believed. SHA-1 is what the gateway gives; the
//! receipt is a SHA-256.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use bytes::Bytes;
use http::Method;

use super::merchant_ids::MerchantIdFields;
use super::request::{PreparedWechat, ReplyKind};
use super::transport::Response;
use crate::exchange::header;
use crate::wechat::account::WechatMode;
use crate::{Call, Observation, statement_file};

/// The header with the file's SHA-1 in hex.
const SHA1: &str = "wechatpay-statement-sha1";

/// `GET /v3/global/statements` of a day in Beijing. Compression is not asked for.
///
/// # Errors
/// In words, if the input has no `date`.
pub(super) fn prepare(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let date = statement_file::compact(statement_file::day(call, "date")?);
    Ok(PreparedWechat {
        method: Method::GET,
        target: MerchantIdFields::of_merchants(mode)
            .on("/v3/global/statements", &[format!("date={date}")]),
        body: Bytes::new(),
        reply: ReplyKind::Statement,
    })
}

/// What the signature of a statement covers, if its body is the one that was signed.
///
/// # Errors
/// In words, if there is no SHA-1 or it is another body's.
pub(super) fn covered(response: &Response) -> Result<String, String> {
    let said = header(response.headers(), SHA1).unwrap_or_default();
    if said.len() != 40 || !said.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err("the file comes without its SHA-1".into());
    }
    let is = hex::encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, response.body()).as_ref());
    if !said.eq_ignore_ascii_case(&is) {
        return Err("the file has another SHA-1 than was signed".into());
    }
    Ok(signed_text(said))
}

/// The JSON text that stands for the file, byte for byte.
fn signed_text(sha1: &str) -> String {
    format!("{{\"sha1\":\"{sha1}\"}}")
}

/// Reads a verified reply.
pub(super) fn read(response: &Response, seen: &mut Observation) {
    statement_file::fetched(response.body(), seen);
    if let Some(sha1) = header(response.headers(), SHA1) {
        seen.result
            .insert("sha1".into(), sha1.to_ascii_lowercase().into());
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::wechat::sign::{VerifyingKey, reply_message};

    /// The public half of wechatpay-go's test key (docs/gateways/wechat.md, "Test vectors").
    const GO_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2VCTd91fnUn73Xy9DLvt/V62TVxRTEEstVdeRaZ3B3leO0pldE806mXO4RwdHXagHQ4vGeZN0yqm++rDsGK+U3AH7kejyD2pXshNP9Cq5YwbptiLGtjcquw4HNxJQUOmDeJf2vg6byms9RUipiq4SzbJKqJFlUpbuIPDpSpWz10PYmyCNeDGUUK65E5h2B834uxl1zNLYQCrkdBzb8oUxwYeP5a2DNxmjL5lsJML7DGr5znsevnoqGRwTm9fxCGfy8wus7hwKz6clt3Whmmda7UAdb1c08hEQFVRbF14AR73xbnd8N0obCWJPCbzMCtkaSef4FdEEgEXJiw0VAJT8wIDAQAB";
    const W9: &str = "cX1Zuon/H1GEczmMSfgfSIRHY5aZI06Ci5kdyUSYbXkHrhomGV+6G8qxRAryH9PrVd5edGYrPlTR9Pz0ERGF5u1iQmFbbfEy0qgZ2Pc/H0R6e6sKElMBt5hjz1gUSF2SgCO/6SX4hVHSDRgmbsA4eir+HV8FF0lzJrWH2Xf8Ft7csD4vkXQ+McU3VVNc/hxf9NE1Ps0dU5gRnhwQClv0FEVvSP3DwZzP/QfSiFaDVW9EAO1uODc1MnGKAAZTWXw3e5o70KOlzlkBgQBgWfPrJvbQ2hzRSF/ddk8EqurQooaVmzqrwxKRMWEemY6JXfqpnYFDLmVv3H6XkHJ7dZBTlg==";

    fn with_sha1(sha1: &str, body: &'static [u8]) -> Response {
        let mut response = Response::new(Bytes::from_static(body));
        response.headers_mut().insert(SHA1, sha1.parse().unwrap());
        response
    }

    #[test]
    fn vector_w9_the_signature_covers_the_sha1_as_json() {
        let key = VerifyingKey::from_der(&STANDARD.decode(GO_KEY).unwrap()).unwrap();
        let message =
            |sha1| reply_message("1624523846", "A1B2C3D4E5F6G7", signed_text(sha1).as_bytes());
        assert!(key.verifies(&message("9bb6cd819be348f17a9cbcedddc8eb62fefbd790"), W9));
        assert!(!key.verifies(&message("9bb6cd819be348f17a9cbcedddc8eb62fefbd791"), W9));
    }

    #[test]
    fn a_body_is_covered_only_by_its_own_sha1() {
        let sha1 = "a9993e364706816aba3e25717850c26c9cd0d89d";
        assert_eq!(
            covered(&with_sha1(sha1, b"abc")).unwrap(),
            format!("{{\"sha1\":\"{sha1}\"}}")
        );
        assert!(covered(&with_sha1(&sha1.to_uppercase(), b"abc")).is_ok());
        for (wrong, body) in [
            (sha1, b"abd".as_slice()),
            ("a999", b"abc"),
            ("\"},{\"sha1\":\"", b"abc"),
        ] {
            assert!(covered(&with_sha1(wrong, body)).is_err(), "{wrong}");
        }
        assert!(covered(&Response::new(Bytes::from_static(b"abc"))).is_err());
    }
}
