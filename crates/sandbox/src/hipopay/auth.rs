//! Who is let in, and what they brought: headers and signature over all parameters
//! (docs/gateways/hipopay.md, "Authentication and signatures"); and the strings that HipoPay's
//! signatures cover, as its page has them.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::shared::keys::MerchantVerifyingKey;
use crate::shared::request_table::{Issue, RequestTable};
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;

/// How far a request's timestamp may be from the fake's clock, in seconds. HipoPay's own window is
/// not documented.
const WINDOW: i64 = 300;
/// The most parameters a form may have.
const PARAMS_MAX: usize = 100;
/// What RFC 3986 does not leave as it is. Which of `~ * ! ' ( )` HipoPay's server leaves is not
/// documented \[C\]: payrun's default, and so the sandbox's only way, is the RFC.
const RESERVED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a request is refused for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HipopayRefusal {
    pub code: &'static str,
    /// The word in the books.
    pub reason: &'static str,
}

impl HipopayRefusal {
    pub(super) const fn new(code: &'static str, reason: &'static str) -> Self {
        Self { code, reason }
    }
}

/// A request's parameters, none of them twice.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

/// Lets a request in or says why not. Which code HipoPay gives to a wrong signature is not
/// documented \[C\]; here it is the one for an encryption method that is not supported.
pub(super) fn admit(
    request: &Request,
    merchant_no: &str,
    key: &MerchantVerifyingKey,
    now: Timestamp,
) -> Result<Params, HipopayRefusal> {
    let refused = |reason| HipopayRefusal::new("ILLEGAL_SECURITY_PROFILE", reason);
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    if header("merchantno") != merchant_no {
        return Err(refused("wrong_merchant_no"));
    }
    // "Specify the Version field in the header of this API to 3.0" (the HipoPay document, "Export
    // Reconciliation Report").
    let version = if request.uri().path() == "/download_bill" {
        "3.0"
    } else {
        "1.0"
    };
    if header("version") != version {
        return Err(refused("wrong_version"));
    }
    let seconds: i64 = header("timestamp")
        .parse()
        .map_err(|_| refused("unreadable_timestamp"))?;
    if now.seconds().saturating_sub(seconds).saturating_abs() > WINDOW {
        return Err(refused("stale_timestamp"));
    }
    let params = if request.method() == Method::GET {
        parse_form(request.uri().query().unwrap_or_default().as_bytes())
    } else if header("content-type").starts_with("application/x-www-form-urlencoded") {
        parse_form(request.body())
    } else {
        None
    };
    let params = params.ok_or(HipopayRefusal::new("PARAM_ERROR", "no_form"))?;
    let message = request_message(&params, header("timestamp"));
    if !key.verifies(message.as_bytes(), header("signature")) {
        return Err(refused("wrong_signature"));
    }
    let repeats = params
        .iter()
        .enumerate()
        .any(|(at, (name, _))| params[..at].iter().any(|(other, _)| other == name));
    if repeats {
        Err(HipopayRefusal::new("PARAM_ERROR", "repeated_parameter"))
    } else {
        Ok(Params(params))
    }
}

/// What the signature of a request covers: the parameters sorted by name, their values
/// percent-encoded, a comma, and the `Timestamp` header.
pub fn request_message(params: &[(String, String)], timestamp: &str) -> String {
    sorted(params, timestamp, |value| {
        utf8_percent_encode(value, &RESERVED).to_string()
    })
}

/// What the signature of a notification covers: the same with the values as they are.
pub fn notification_message(params: &[(String, String)], timestamp: &str) -> String {
    sorted(params, timestamp, str::to_owned)
}

fn sorted(params: &[(String, String)], timestamp: &str, write: fn(&str) -> String) -> String {
    let mut by_name: Vec<&(String, String)> = params.iter().collect();
    by_name.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut text = String::new();
    for (name, value) in by_name {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(&write(value));
    }
    text + "," + timestamp
}

/// The parameters of a form or query, decoded, in their order; none if it is no text, has a `%`
/// without two hex digits behind it, or too many parameters.
pub fn parse_form(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        let whole = spaced.split('%').skip(1).all(|after| {
            let digits = after.bytes().take(2).filter(u8::is_ascii_hexdigit);
            digits.count() == 2
        });
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        whole.then(|| decoded.into_owned())
    };
    let text = std::str::from_utf8(bytes).ok()?;
    let parts = text.split('&').filter(|part| !part.is_empty());
    let params: Vec<(String, String)> = parts
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect::<Option<_>>()?;
    (params.len() <= PARAMS_MAX).then_some(params)
}

impl Params {
    /// Whether they are those of a call that the document has, and no others.
    pub(super) fn documented(&self, request: &Request) -> Result<(), HipopayRefusal> {
        let table = RequestTable::hipopay();
        let unknown = HipopayRefusal::new("PATH_NOT_FOUND", "no_such_path");
        let row = table
            .find("any", request.method(), request.uri().path())
            .ok_or(unknown)?;
        // A query beside a form is signed by nobody, and no page has one.
        if request.method() != Method::GET
            && request.uri().query().is_some_and(|query| !query.is_empty())
        {
            return Err(HipopayRefusal::new(
                "PARAM_ERROR",
                Issue::NotDefined.as_str(),
            ));
        }
        let checked = table
            .check_headers(request.headers(), &[])
            .and_then(|()| row.check_form(&self.0).map(|_| ()));
        checked.map_err(|wrong| HipopayRefusal::new("PARAM_ERROR", wrong.issue.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn must(&self, name: &str) -> Result<&str, HipopayRefusal> {
        self.get(name)
            .ok_or(HipopayRefusal::new("PARAM_ERROR", "missing_parameter"))
    }

    /// A number of the merchant's own.
    pub(super) fn number(&self, name: &str) -> Result<String, HipopayRefusal> {
        let number = self.must(name)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if number.len() <= 32 && number.bytes().all(allowed) {
            return Ok(number.to_owned());
        }
        Err(HipopayRefusal::new("PARAM_ERROR", "wrong_number"))
    }

    /// An amount: at most the currency's decimals, above zero.
    pub(super) fn amount(&self, name: &str, currency: Currency) -> Result<Amount, HipopayRefusal> {
        let text = self.must(name)?;
        let decimals = text
            .split_once('.')
            .map_or(0, |(_, decimals)| decimals.len());
        let fits = u32::try_from(decimals).is_ok_and(|decimals| decimals <= currency.exponent());
        let amount = Amount::parse(text, currency).ok().filter(|_| fits);
        amount.ok_or(HipopayRefusal::new("REFUND_AMOUNT_INVALID", "wrong_amount"))
    }

    /// What makes the body of its number.
    pub(super) fn bytes(&self) -> Vec<u8> {
        request_message(&self.0, "").into_bytes()
    }
}
