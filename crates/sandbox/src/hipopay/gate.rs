//! Who is let in, and what they brought: headers and signature over all parameters
//! (docs/gateways/hipopay.md).

use http::Method;

use crate::request_table::{Issue, RequestTable};
use payrun_domain::money::{Amount, Currency};
use payrun_domain::time::Timestamp;
use payrun_gateway::hipopay::sign::{Encoding, parse_form, request_message};
use payrun_gateway::keys::VerifyingKey;
use payrun_gateway::transport::Request;

/// How far a request's timestamp may be from the twin's clock, in seconds. HipoPay's own window is
/// not documented.
const WINDOW: i64 = 300;

/// Why a request is refused for what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refused {
    pub code: &'static str,
    /// The word in the books.
    pub reason: &'static str,
}

impl Refused {
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
    key: &VerifyingKey,
    now: Timestamp,
) -> Result<Params, Refused> {
    let refused = |reason| Refused::new("ILLEGAL_SECURITY_PROFILE", reason);
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
    let params = params.ok_or(Refused::new("PARAM_ERROR", "no_form"))?;
    let message = request_message(&params, header("timestamp"), Encoding::Rfc3986);
    if !key.verifies(message.as_bytes(), header("signature")) {
        return Err(refused("wrong_signature"));
    }
    let repeats = params
        .iter()
        .enumerate()
        .any(|(at, (name, _))| params[..at].iter().any(|(other, _)| other == name));
    if repeats {
        Err(Refused::new("PARAM_ERROR", "repeated_parameter"))
    } else {
        Ok(Params(params))
    }
}

impl Params {
    /// Whether they are those of a call that the document has, and no others.
    pub(super) fn documented(&self, request: &Request) -> Result<(), Refused> {
        let table = RequestTable::hipopay();
        let unknown = Refused::new("PATH_NOT_FOUND", "no_such_path");
        let row = table
            .find("any", request.method(), request.uri().path())
            .ok_or(unknown)?;
        // A query beside a form is signed by nobody, and no page has one.
        if request.method() != Method::GET
            && request.uri().query().is_some_and(|query| !query.is_empty())
        {
            return Err(Refused::new("PARAM_ERROR", Issue::NotDefined.as_str()));
        }
        let checked = table
            .check_headers(request.headers(), &[])
            .and_then(|()| row.check_form(&self.0).map(|_| ()));
        checked.map_err(|wrong| Refused::new("PARAM_ERROR", wrong.issue.as_str()))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn must(&self, name: &str) -> Result<&str, Refused> {
        self.get(name)
            .ok_or(Refused::new("PARAM_ERROR", "missing_parameter"))
    }

    /// A number of the merchant's own.
    pub(super) fn number(&self, name: &str) -> Result<String, Refused> {
        let number = self.must(name)?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if number.len() <= 32 && number.bytes().all(allowed) {
            return Ok(number.to_owned());
        }
        Err(Refused::new("PARAM_ERROR", "wrong_number"))
    }

    /// An amount: at most the currency's decimals, above zero.
    pub(super) fn amount(&self, name: &str, currency: Currency) -> Result<Amount, Refused> {
        let text = self.must(name)?;
        let decimals = text
            .split_once('.')
            .map_or(0, |(_, decimals)| decimals.len());
        let fits = u32::try_from(decimals).is_ok_and(|decimals| decimals <= currency.exponent());
        let amount = Amount::parse(text, currency).ok().filter(|_| fits);
        amount.ok_or(Refused::new("REFUND_AMOUNT_INVALID", "wrong_amount"))
    }

    /// What makes the body of its number.
    pub(super) fn bytes(&self) -> Vec<u8> {
        request_message(&self.0, "", Encoding::Rfc3986).into_bytes()
    }
}
