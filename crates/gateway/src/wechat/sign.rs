//! Keys and signatures of APIv3: RSA PKCS#1 v1.5 with SHA-256 (docs/gateways/wechat.md,
//! "Authentication and signatures").
//!
//! What is signed or verified is always the bytes on the wire: the path as it is sent, the body as
//! it came.

use payrun_domain::time::Timestamp;

pub use crate::keys::{KeyError, SignError, SigningKey, VerifyingKey, nonce};

/// The scheme's name, in `Authorization` and in `Wechatpay-Signature-Type`.
pub const SCHEME: &str = "WECHATPAY2-SHA256-RSA2048";

/// Who signs requests: the merchant's (or institution's) id and its keys.
#[derive(Debug)]
pub struct Merchant {
    /// `mchid`, or `sp_mchid` in institutional mode.
    pub mchid: String,
    /// Its keys in the order in which they are used: the first, and each other from its time on.
    pub keys: Vec<RequestSigningKey>,
}

/// A key that signs requests.
#[derive(Debug)]
pub struct RequestSigningKey {
    /// The serial of the certificate that belongs to the key.
    pub serial: String,
    /// The key.
    pub key: SigningKey,
    /// From when on it is used.
    pub from: Option<Timestamp>,
}

impl Merchant {
    /// The key that is used at an instant: the last one whose time has come.
    pub fn key_at(&self, now: Timestamp) -> Option<&RequestSigningKey> {
        self.keys
            .iter()
            .rev()
            .find(|key| key.from.is_none_or(|from| from <= now))
    }

    /// The `Authorization` header of a request, under a fresh nonce (docs/gateways/wechat.md,
    /// "Request signature").
    ///
    /// # Errors
    /// [`SignError`] if there is no randomness or the crypto library refuses; nothing was sent
    /// then.
    pub fn authorize(
        &self,
        method: &str,
        target: &str,
        body: &[u8],
        now: Timestamp,
    ) -> Result<String, SignError> {
        #[cfg(feature = "mutation")]
        let target = crate::mutation::signed_target(target);
        let nonce = nonce()?;
        let seconds = now.seconds();
        let used = self.key_at(now).ok_or(SignError::Refused)?;
        let signature = used
            .key
            .sign(&request_message(method, target, seconds, &nonce, body))?;
        Ok(format!(
            "{SCHEME} mchid=\"{}\",nonce_str=\"{nonce}\",timestamp=\"{seconds}\",serial_no=\"{}\",signature=\"{signature}\"",
            self.mchid, used.serial
        ))
    }
}

/// What a request's signature covers: five lines, the last one ended too.
pub fn request_message(
    method: &str,
    target: &str,
    seconds: i64,
    nonce: &str,
    body: &[u8],
) -> Vec<u8> {
    let mut message = format!("{method}\n{target}\n{seconds}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message.push(b'\n');
    message
}

/// What a reply's or notification's signature covers: three lines, the last one ended too.
///
/// The time is taken as the text of the header, so that what was signed is what is verified.
pub fn reply_message(timestamp: &str, nonce: &str, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{timestamp}\n{nonce}\n").into_bytes();
    message.extend_from_slice(body);
    message.push(b'\n');
    message
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeyPair;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use secrecy::SecretString;

    use super::*;

    /// The public half of wechatpay-go's test key (docs/gateways/wechat.md, "Test vectors").
    const GO_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA2VCTd91fnUn73Xy9DLvt/V62TVxRTEEstVdeRaZ3B3leO0pldE806mXO4RwdHXagHQ4vGeZN0yqm++rDsGK+U3AH7kejyD2pXshNP9Cq5YwbptiLGtjcquw4HNxJQUOmDeJf2vg6byms9RUipiq4SzbJKqJFlUpbuIPDpSpWz10PYmyCNeDGUUK65E5h2B834uxl1zNLYQCrkdBzb8oUxwYeP5a2DNxmjL5lsJML7DGr5znsevnoqGRwTm9fxCGfy8wus7hwKz6clt3Whmmda7UAdb1c08hEQFVRbF14AR73xbnd8N0obCWJPCbzMCtkaSef4FdEEgEXJiw0VAJT8wIDAQAB";
    const W1: &str = "BKyAfU4iMCuvXMXS0Wzam3V/cnxZ+JaqigPM5OhljS2iOT95OO6Fsuml2JkFANJU9K6q9bLlDhPXuoVz+pp4hAm6pHU4ld815U4jsKu1RkyaII+1CYBUYC8TK0XtJ8FwUXXz8vZHh58rrAVN1XwNyvD1vfpxrMT4SL536GLwvpUHlCqIMzoZUguLli/K8V29QiOhuH6IEqLNJn8e9b3nwNcQ7be3CzYGpDAKBfDGPCqCv8Rw5zndhlffk2FEA70G4hvMwe51qMN/RAJbknXG23bSlObuTCN7Ndj1aJGH6/L+hdwfLpUtJm4QYVazzW7DFD27EpSQEqA8bX9+8m1rLg==";
    const W2_SIGNATURE: &str = "tJHIiIS9eB2hAYstmAmbbD3ZE5LiIm/Ug5tuL4fC0YOFRWIHV39UFIZXC0e9Wl6lBu6sKvkqDkzpqzBsVHyXFlbYZTOQrVdG4b6LfTnK4mikv9++ixJMd3vTf2yCqvBkh98zs3Ds5zsYQakzbcwhmw4fMJs4nPLws28H0UW9FjDR//rxELLwXvV1VEA1IBLX70xptjL8hrfUjEE8kkry6yNJTHZRU8CAc7qHli2Ng1V1qb9ARbK8A3ThmFmPQvRGrapI/jS2laKKgYUmfdEdkNO6B2Cke5e8VTxY406ArAmQ90GAihDwIcb16TQMnzCMBoutnwZKNiKRACrFmtxw2Q==";
    const W2_BODY: &str = r#"{"id":"3119dfba-e649-5eec-ab1e-3412bc4d2e17","create_time":"2021-06-24T16:37:26+08:00","resource_type":"encrypt-resource","event_type":"PAYSCORE.USER_OPEN_SERVICE","summary":"签约成功","resource":{"original_type":"payscore","algorithm":"AEAD_AES_256_GCM","ciphertext":"YDS3lKPaC4Y52Gf3uhft5qUBlIa8b428AWTtTauHQfQrRw+X1WpiuHIDy0vo1Vd6VEq67aVyqPdDYMkRVSDaZL3iZttevRMOoPKMifozg6XPWjIZumks/GpT48lI4NizyeaqLBokNebthah3o1H76qSlO9NkDjp9bzmKLEYYH9TEklFUpsvPqOTOcgSLgh21YJXYR7dEBXFgRLiNIKRgO5JdXh1hccRUAlyVWxE54PXpnQ==","associated_data":"payscore","nonce":"Kj7QIyUiYx1q"}}"#;
    const W8: &str = "wZq1dPXE/vfB9xVpRIqV0BmcvHAeQsfHIt8KBkFIe2VvRJlSv7vAE6pvJZSKmJOSRMnnPjRJBLPMxGT5jQXDs4vC28eiaE4ljXQjHYMFDLVQkPZVsN9WCKWu/MkySStObAAODH/RLEFujknZ1VK8bVtjP6+KPdFYWl8dlGqUqHugZFh31+KPgskkU6qhSZMInnJ9vic/oXox0HzYTUVkJU64ExJ/J2HIOWgJbADLVq4Id97NR/NMGGiMbpEFmzjurpPaeXVoqJtNzKmN86Bofb/pViT6I9nmNk3oN3O0D6se+aS3USpAl31qfHtbDV+t0EIp92ANRl1ZdlS1UKz6Yg==";

    fn go_key() -> VerifyingKey {
        VerifyingKey::from_der(&STANDARD.decode(GO_KEY).unwrap()).unwrap()
    }

    fn some_key() -> SigningKey {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        SigningKey::from_pem(&SecretString::from(pem)).unwrap()
    }

    fn some_merchant() -> Merchant {
        let key = RequestSigningKey {
            serial: "ABCD".into(),
            key: some_key(),
            from: None,
        };
        Merchant {
            mchid: "1234567891".into(),
            keys: vec![key],
        }
    }

    #[test]
    fn vector_w1_the_go_sdk_signature_of_source_verifies() {
        assert!(go_key().verifies(b"source", W1));
        assert!(!go_key().verifies(b"sourcf", W1));
    }

    #[test]
    fn vector_w2_the_go_sdk_notification_verifies_over_its_raw_bytes() {
        let message = |body: &str| {
            reply_message(
                "1624523846",
                "EcZ9Cmy4Xyx1i6RlJQzLcCyEqDa26NBz",
                body.as_bytes(),
            )
        };
        assert!(go_key().verifies(&message(W2_BODY), W2_SIGNATURE));
        assert!(!go_key().verifies(
            &message(&W2_BODY.replace("签约成功", "签约成功 ")),
            W2_SIGNATURE
        ));
    }

    #[test]
    fn vector_w8_the_request_message_is_five_ended_lines() {
        let message = request_message(
            "GET",
            "/v3/global/certificates",
            1_624_523_846,
            "A1B2C3D4E5F6G7",
            b"",
        );
        assert_eq!(
            message,
            b"GET\n/v3/global/certificates\n1624523846\nA1B2C3D4E5F6G7\n\n"
        );
        assert!(go_key().verifies(&message, W8));
    }

    #[test]
    fn vector_w7_the_authorization_header_is_laid_out_as_the_sdks_do() {
        let merchant = some_merchant();
        let target = "/v3/pay/transactions/id/1217752501201407033233368018?mchid=1230000109";
        let header = merchant
            .authorize(
                "GET",
                target,
                b"",
                Timestamp::from_millis(1_652_750_623_000),
            )
            .unwrap();
        let rest = header
            .strip_prefix("WECHATPAY2-SHA256-RSA2048 mchid=\"1234567891\",nonce_str=\"")
            .unwrap();
        let (nonce, rest) = rest.split_once('"').unwrap();
        let rest = rest
            .strip_prefix(",timestamp=\"1652750623\",serial_no=\"ABCD\",signature=\"")
            .unwrap();
        let signature = rest.strip_suffix('"').unwrap();
        let message = request_message("GET", target, 1_652_750_623, nonce, b"");
        assert!(
            merchant.keys[0]
                .key
                .verifying_key()
                .verifies(&message, signature)
        );
    }

    #[test]
    fn a_key_signs_from_its_time_on_under_its_own_serial() {
        let at = Timestamp::from_millis;
        let (old, new) = (some_key(), some_key());
        let publics = [&old, &new].map(|key| key.verifying_key());
        let keys = vec![
            RequestSigningKey {
                serial: "OLD".into(),
                key: old,
                from: None,
            },
            RequestSigningKey {
                serial: "NEW".into(),
                key: new,
                from: Some(at(2_000_000)),
            },
        ];
        let merchant = Merchant {
            mchid: "1".into(),
            keys,
        };
        for (now, serial, public) in [
            (0, "OLD", 0),
            (1_999_999, "OLD", 0),
            (2_000_000, "NEW", 1),
            (9_000_000, "NEW", 1),
        ] {
            let header = merchant.authorize("GET", "/", b"", at(now)).unwrap();
            let item = |name: &str| {
                header
                    .split(&format!("{name}=\""))
                    .nth(1)
                    .unwrap()
                    .split('"')
                    .next()
                    .unwrap()
            };
            assert_eq!(item("serial_no"), serial, "{now}");
            let message = request_message("GET", "/", at(now).seconds(), item("nonce_str"), b"");
            assert!(
                publics[public].verifies(&message, item("signature")),
                "{now}"
            );
        }
    }

    #[test]
    fn nonces_are_32_hex_digits_and_differ() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(one, other);
    }

    #[test]
    fn a_file_that_is_no_key_is_told_apart_from_a_key_of_the_wrong_kind() {
        assert_eq!(
            SigningKey::from_pem(&SecretString::from("hello")).unwrap_err(),
            KeyError::NotPem
        );
        let ec = rcgen::KeyPair::generate().unwrap().serialize_pem();
        assert_eq!(
            SigningKey::from_pem(&SecretString::from(ec)).unwrap_err(),
            KeyError::NotRsa
        );
    }

    #[test]
    fn a_signature_that_is_no_base64_is_wrong_not_a_panic() {
        assert!(!go_key().verifies(b"source", "WECHATPAY/SIGNTEST/****"));
        assert!(!go_key().verifies(b"source", ""));
    }
}
