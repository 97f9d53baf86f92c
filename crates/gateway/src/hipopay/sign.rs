//! The strings HipoPay signs, both ways (docs/gateways/hipopay.md, "Authentication and
//! signatures"): parameters sorted by name, a comma, the `Timestamp` header.
//!
//! In requests the values are percent-encoded, in notifications they are raw. HipoPay's four SDKs
//! disagree on which of `~ * ! ' ( )` a request's string leaves as they are, and what the server
//! does is not known \[C\]: it is configuration.

use std::borrow::Cow;

use super::account::Encoding;
use crate::keys::VerifyingKey;

impl Encoding {
    fn keeps(self, byte: u8) -> bool {
        let keeps = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => true,
            b'~' => matches!(self, Self::Rfc3986 | Self::Node),
            b'*' => matches!(self, Self::Java | Self::Node),
            b'!' | b'\'' | b'(' | b')' => matches!(self, Self::Node),
            _ => false,
        };
        #[cfg(feature = "mutation")]
        let keeps = crate::mutation::keeps(keeps, byte);
        keeps
    }

    /// Percent-encodes a text.
    pub(super) fn encode(self, text: &str) -> String {
        let mut encoded = String::with_capacity(text.len());
        for byte in text.bytes() {
            if self.keeps(byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
        encoded
    }
}

/// What a request's signature covers.
pub fn request_message(params: &[(String, String)], timestamp: &str, encoding: Encoding) -> String {
    sorted(params, timestamp, |text| encoding.encode(text))
}

/// What a notification's signature covers.
pub fn notification_message(params: &[(String, String)], timestamp: &str) -> String {
    sorted(params, timestamp, str::to_owned)
}

fn sorted(params: &[(String, String)], timestamp: &str, encode: impl Fn(&str) -> String) -> String {
    let mut pairs: Vec<(&str, &str)> = params
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    pairs.sort_unstable();
    #[cfg(feature = "mutation")]
    let pairs = crate::mutation::pairs(pairs, params);
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    format!("{},{timestamp}", pairs.join("&"))
}

/// The parameters of a notification whose signature is right by any of HipoPay's keys.
///
/// The body is read as a form whatever its content type says: some notifications have come without
/// one.
///
/// # Errors
/// In words: it is no form, names a parameter twice, has one that can be read in two ways, or the
/// signature is not HipoPay's.
pub fn verified(
    keys: &[VerifyingKey],
    body: &[u8],
    timestamp: &str,
    signature: &str,
) -> Result<Vec<(String, String)>, &'static str> {
    let params = parse_form(body).ok_or("the notification is no form")?;
    let repeats = params
        .iter()
        .enumerate()
        .any(|(at, (name, _))| params[..at].iter().any(|(other, _)| other == name));
    if repeats {
        return Err("the notification names a parameter twice");
    }
    // The values are signed raw: of these nobody can say where one pair ends.
    let is_ambiguous = |text: &String| text.contains(['&', '=', ',']);
    if params
        .iter()
        .any(|(name, value)| is_ambiguous(name) || is_ambiguous(value))
    {
        return Err("the notification has a parameter with & or = or a comma in it");
    }
    let message = notification_message(&params, timestamp);
    if keys
        .iter()
        .any(|key| key.verifies(message.as_bytes(), signature))
    {
        Ok(params)
    } else {
        Err("the signature is not HipoPay's")
    }
}

/// What of a notification's body is signed: the pairs, decoded and sorted; the body itself if it is
/// no form.
pub fn signed_part(body: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut params) = parse_form(body) else {
        return Cow::Borrowed(body);
    };
    params.sort_unstable();
    let pairs: Vec<String> = params
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Cow::Owned(pairs.join("&").into_bytes())
}

/// The pairs of a form or a query string, decoded; none if it is no UTF-8 or has a broken `%`, or
/// more than 100 pairs.
pub fn parse_form(body: &[u8]) -> Option<Vec<(String, String)>> {
    let text = std::str::from_utf8(body).ok()?;
    let pairs: Vec<&str> = text.split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > 100 {
        return None;
    }
    pairs
        .into_iter()
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let hex = std::str::from_utf8(after.get(..2)?).ok()?;
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                rest = &after[2..];
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    const H1_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEApziLTABFQJQ0jjUS+FeY5A5MlD8Rrb1PWmL+yhrw8FYqc4ic7USI9o7vgXYPYcHjBvqIIYppsRNVckNpgvire6hK4RTJbHCLWigFbjGnGxyJN2SIc2ml+DegVhKz0VltDbM9f61P9yIPnSLadWnoeANLaDhNnfDXtJtDczB2334+nAeY67hzpINbQ0X+bgBJytXJ96/KpKI6axrwetPGPHGG2SKnHQP6kICbCzVEFw46K3OCw0K1gexaUmCBFy1kXarw7cDdn+HqAF94dMIO7yrxm+uIuGQi39AmzPzC0sKsxu0Nud0u2q1Ed+xGUK4pZSY6JLh2IcyieN3Bsv0FFwIDAQAB";
    const H1_SIGNATURE: &str = "BKMSFfYvoLt+sy5ZIWw0zr4nf6ZAOPOD09qEP4HaIA/Rdl8G7E25YAha5D487sippyuwEfEUNRquUr9hAM0YuPd/JsLsK45LUwPv4IMn2oxXSs4ovJtFX3taw2FpitD96svjl/H4SoAN59II/yeLnl5tiisQSlPr6864Rby4iisABY1FwsEOTb7pafE04YU71fnJWBs4BLi2NBiO5B1diHbbuda+rCPd6vwbKBgAF/yFrii+lhWV7uWpAdMPp5/NLdjDvoZiqJk+3Xq0Xish6TjvrXEKqnmDPHNXebt5crhKVHss2WdRBzvS132kxTZco+cmwzqVfKp4qXoroYzi2A==";
    const H1: &str = "status=PAID&trade_type=NATIVE&pay_amount=0.89&out_trade_id=20190815002&currency=HKD&settle_currency=HKD&pay_currency=CNY&exchange_rate=1.0000000000&finish_time=2019-08-15+17%3A20%3A45&amount=1.00&payment_no=2019081517201983250411444&trade_time=2019-08-15%2017:20:20";
    const H2_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA969bp95lxX+fkXJnqtJjy5S+RANFzKsoIDnihqi5wYpIbbBC360IoK2m8sYZJveei4Xh7MKN2WVjxjJ1p+dBeojb23W9EzWanUePlokp6Fru8+M5KVJywNn/jiXNwCyvm0smV7sVVXsVHrMgujHDrOFJGxfLf2eoY6rXSH/6PwWtYDEHOJoVwogIihiqvem8xh2pSidDJwNBt9R0HLS78W/F2oZtQS6dxqochgaI8bvO8fl7SehQpnrfIzNrybXOw8v/w0/JimiQRtrzvZOWXF+Owdu1oCr/Z6s1ZdIht7OYNKAZWN1uwczfFF4brhwkjLEVbhbY3jH+1OP3zE0NSQIDAQAB";
    const H2_SIGNATURE: &str = "WxOfFD6o4RTntf6sActNTstHAX1zbw6s9s20ebwaOB1KpcgoCk8riWUZOKyUmPHfO2tMqJDhZHWlVzeTZivm3vhgrdqDVgIHmm15lxlybCi7+/wqgntO/lds91IEuKxZQmkZsrnkwrfEd4ktpf5YtEcZbBzD+cTnQb8hwBvkGNc22+j3RBrNLYSCFlKvCLWBQ6n9jAwZtPqOVH/opiR2mwtmNcA30SFz2GssMFY89PsYppVb9Gi3FUYlWkytLtFaiHaHmR22URo52bxuCuvE1QUbtguQrYMAHPP+PT0/f2mzRZmEcgpvbtX3bXuj0xm4l37yZ7QCOr5ZjB1eNwW44w==";
    const H2: &str = "status=PAID&trade_type=NATIVE&exchange_rate=1.0000000000&payment_no=2019070514445292733433289&currency=HKD&amount=1.50&trade_time=2019-07-05+14%3A44%3A53&finish_time=2019-07-05+14%3A45%3A23&pay_currency=CNY&pay_amount=1.32&out_trade_id=132964985901940736&settle_currency=HKD";

    fn key(spki: &str) -> VerifyingKey {
        VerifyingKey::from_der(&STANDARD.decode(spki).unwrap()).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn vector_h1_the_python_sdks_callback_verifies_over_raw_values() {
        let params = verified(&[key(H1_KEY)], H1.as_bytes(), "1565861695", H1_SIGNATURE).unwrap();
        assert!(params.contains(&pair("trade_time", "2019-08-15 17:20:20")));
        let encoded = request_message(&params, "1565861695", Encoding::Rfc3986);
        assert!(!key(H1_KEY).verifies(encoded.as_bytes(), H1_SIGNATURE));
    }

    #[test]
    fn vector_h2_the_java_sdks_callback_verifies_and_one_changed_digit_does_not() {
        assert!(verified(&[key(H2_KEY)], H2.as_bytes(), "1562309330", H2_SIGNATURE).is_ok());
        let changed = H2.replace("amount=1.50", "amount=1.51");
        let refused = verified(
            &[key(H2_KEY)],
            changed.as_bytes(),
            "1562309330",
            H2_SIGNATURE,
        );
        assert_eq!(refused, Err("the signature is not HipoPay's"));
        assert!(verified(&[key(H2_KEY)], H2.as_bytes(), "1562309331", H2_SIGNATURE).is_err());
    }

    #[test]
    fn a_callback_that_names_a_parameter_twice_is_refused_before_its_signature() {
        let twice = format!("{H2}&amount=9.99");
        let refused = verified(&[key(H2_KEY)], twice.as_bytes(), "1562309330", H2_SIGNATURE);
        assert_eq!(refused, Err("the notification names a parameter twice"));
        assert!(
            parse_form(b"a=%ff").is_none()
                && parse_form(b"a=%4").is_none()
                && parse_form(b"a=%zz").is_none()
        );
    }

    #[test]
    fn requests_are_sorted_encoded_and_keep_empty_values() {
        let params = [pair("b", ""), pair("c", "x y/約"), pair("a", "1")];
        let message = request_message(&params, "7", Encoding::Rfc3986);
        assert_eq!(message, "a=1&b=&c=x%20y%2F%E7%B4%84,7");
    }

    #[test]
    fn each_sdk_leaves_other_characters_as_they_are() {
        let encoded = |word| Encoding::parse(word).unwrap().encode("~*!'()");
        assert_eq!(encoded("rfc3986"), "~%2A%21%27%28%29");
        assert_eq!(encoded("java"), "%7E*%21%27%28%29");
        assert_eq!(encoded("node"), "~*!'()");
        assert_eq!(encoded("python"), "%7E%2A%21%27%28%29");
        assert!(
            Encoding::WORDS
                .into_iter()
                .all(|word| Encoding::parse(word).is_some())
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_percent_encoded_comes_back_whatever_the_encoding(text in ".*") {
            for encoding in [Encoding::Rfc3986, Encoding::Java, Encoding::Node, Encoding::Python] {
                let form = format!("a={}", encoding.encode(&text));
                proptest::prop_assert_eq!(parse_form(form.as_bytes()), Some(vec![pair("a", &text)]));
            }
        }
    }
}
