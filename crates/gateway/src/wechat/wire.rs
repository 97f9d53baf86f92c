//! Bodies as WeChat Pay Global writes them (docs/gateways/wechat.md, "Requests"), and what is read
//! from them.
//!
//! Reading is lenient where pages and samples disagree (`id` or `transaction_id`; promotion details
//! are not read at all) and strict about what decides: order number, state and amount.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::merchant_ids::MerchantIdFields;
use crate::exchange::{self, bounded};
use crate::wechat::account::WechatMode;
use payrun_domain::money::{Amount, Currency};

/// The body of a deduction. Field order is fixed, so that one call always gives the same bytes.
#[derive(Debug, Serialize)]
pub(super) struct Deduction<'a> {
    #[serde(flatten)]
    pub ids: MerchantIdFields<'a>,
    pub description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach: Option<&'a str>,
    pub notify_url: &'a str,
    pub out_trade_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goods_tag: Option<&'a str>,
    pub merchant_category_code: &'a str,
    pub contract_id: &'a str,
    pub amount: AmountTotal,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scene_info: Option<SceneInfo<'a>>,
}

/// An amount to be deducted, in minor units.
#[derive(Debug, Serialize)]
pub(super) struct AmountTotal {
    pub total: i64,
    pub currency: &'static str,
}

/// Where the deduction was asked for.
#[derive(Debug, Serialize)]
pub(super) struct SceneInfo<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_ip: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_id: Option<&'a str>,
}

/// An order, as a deduction and a query reply it.
#[derive(Debug, Deserialize)]
pub(super) struct TransactionBody {
    pub mchid: Option<String>,
    pub sp_mchid: Option<String>,
    pub sub_mchid: Option<String>,
    pub out_trade_no: String,
    transaction_id: Option<String>,
    id: Option<String>,
    pub trade_state: String,
    trade_type: Option<String>,
    bank_type: Option<String>,
    success_time: Option<String>,
    amount: Option<Value>,
}

impl TransactionBody {
    /// The gateway's number, by either name.
    pub(super) fn receipt(&self) -> Option<String> {
        self.transaction_id.clone().or_else(|| self.id.clone())
    }

    /// The amount: none if absent, an error if there and no amount.
    pub(super) fn amount(&self) -> Option<Result<Amount, String>> {
        self.amount
            .as_ref()
            .map(|amount| read_amount(amount, "total"))
    }

    /// What is worth keeping of it.
    pub(super) fn facts(&self) -> Map<String, Value> {
        facts([
            ("success_time", &self.success_time),
            ("bank_type", &self.bank_type),
            ("trade_type", &self.trade_type),
        ])
    }

    /// Whether it speaks of these ids, as far as it names any.
    pub(super) fn is_of(&self, mode: &WechatMode) -> bool {
        let fits =
            |said: &Option<String>, ours: &str| said.as_deref().is_none_or(|said| said == ours);
        match mode {
            WechatMode::Common { mchid, appid: _ } => fits(&self.mchid, mchid),
            WechatMode::Institutional {
                sp_mchid,
                sp_appid: _,
                sub_mchid,
                sub_appid: _,
            } => fits(&self.sp_mchid, sp_mchid) && fits(&self.sub_mchid, sub_mchid),
        }
    }
}

/// One field of an amount, in minor units, with the amount's currency.
pub(super) fn read_amount(amount: &Value, field: &str) -> Result<Amount, String> {
    let minor = amount.get(field).and_then(Value::as_i64);
    let minor = minor.ok_or_else(|| format!("amount.{field} is no whole number"))?;
    let code = amount
        .get("currency")
        .and_then(Value::as_str)
        .ok_or("amount.currency is no text")?;
    let currency = Currency::parse(code).map_err(|error| error.to_string())?;
    Amount::from_minor(minor, currency).map_err(|error| error.to_string())
}

/// A contract, as its query replies it.
#[derive(Debug, Deserialize)]
pub(super) struct Contract {
    pub contract_id: Option<String>,
    pub state: String,
    terminated_time: Option<String>,
    termination_mode: Option<String>,
}

impl Contract {
    /// What is worth keeping of it.
    pub(super) fn facts(&self) -> Map<String, Value> {
        let mut facts = facts([
            ("terminated_time", &self.terminated_time),
            ("termination_mode", &self.termination_mode),
        ]);
        facts.insert("state".into(), Value::String(self.state.clone()));
        facts
    }
}

/// The facts that are there, each of a bounded length.
pub(super) fn facts<const N: usize>(fields: [(&str, &Option<String>); N]) -> Map<String, Value> {
    let present = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    present
        .map(|(name, value)| (name.to_owned(), Value::String(bounded(value.clone(), 128))))
        .collect()
}

/// The certificates in force (docs/gateways/wechat.md, "Platform keys").
#[derive(Debug, Deserialize)]
pub(super) struct CertificateList {
    pub data: Vec<Certificate>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct Certificate {
    pub serial_no: String,
    pub encrypt_certificate: EncryptedResource,
}

/// What a certificate, or a notification's resource, is encrypted as.
#[derive(Debug, Deserialize)]
pub(super) struct EncryptedResource {
    pub algorithm: String,
    pub nonce: String,
    pub associated_data: Option<String>,
    pub ciphertext: String,
}

/// The fine-grained code at the end of a `Request-ID`, after the last dash; none where it says
/// nothing (docs/gateways/wechat.md, "Sub-codes" \[A\]).
pub(super) fn sub_code(request_id: &str) -> Option<String> {
    let (_, tail) = request_id.trim().rsplit_once('-')?;
    let is_code = (2..=12).contains(&tail.len()) && tail.bytes().all(|byte| byte.is_ascii_digit());
    is_code.then(|| tail.to_owned())
}

/// What an error body says in words: which parameter it complains of, how, and its message.
pub(super) fn refusal(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorBody {
        message: Option<String>,
        detail: Option<Detail>,
    }
    #[derive(Deserialize)]
    struct Detail {
        field: Option<String>,
        issue: Option<String>,
    }
    let read: ErrorBody = serde_json::from_slice(body).ok()?;
    let (field, issue) = read
        .detail
        .map_or((None, None), |detail| (detail.field, detail.issue));
    exchange::message([field, issue, read.message])
}

/// The `code` of an error body, if it has one (docs/gateways/wechat.md, "Error codes").
pub(super) fn error_code(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct ErrorBody {
        code: String,
    }
    let read: ErrorBody = serde_json::from_slice(body).ok()?;
    Some(bounded(read.code, 64)).filter(|code| !code.is_empty())
}

/// A reply as it is kept, with what names a person masked.
pub(super) fn evidence(body: &[u8]) -> String {
    let masked = [
        "openid",
        "user_display_name",
        "recv_account",
        "auth_code",
        "certificate_id",
        "certificate_name",
    ];
    exchange::evidence(body, &masked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::{EVIDENCE_MAX, percent_encode};

    fn transaction(json: &str) -> TransactionBody {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn the_receipt_goes_by_either_name() {
        let by_id = transaction(r#"{"out_trade_no":"a","id":"42","trade_state":"SUCCESS"}"#);
        let by_name =
            transaction(r#"{"out_trade_no":"a","transaction_id":"43","trade_state":"SUCCESS"}"#);
        assert_eq!(
            (by_id.receipt().as_deref(), by_name.receipt().as_deref()),
            (Some("42"), Some("43"))
        );
    }

    #[test]
    fn an_amount_that_is_there_and_is_no_amount_is_an_error_not_an_absence() {
        let amount = |amount: &str| {
            transaction(&format!(
                r#"{{"out_trade_no":"a","trade_state":"SUCCESS","amount":{amount}}}"#
            ))
            .amount()
        };
        assert!(amount(r#"{"total":888,"currency":"CNY"}"#).unwrap().is_ok());
        assert!(amount("null").is_none());
        for bad in [
            r#"{"total":8.5,"currency":"CNY"}"#,
            r#"{"total":"8","currency":"CNY"}"#,
            "7",
            r#"{"total":8}"#,
        ] {
            assert!(amount(bad).unwrap().is_err(), "{bad}");
        }
        assert!(
            amount(r#"{"total":92233720368547758080,"currency":"CNY"}"#)
                .unwrap()
                .is_err()
        );
        assert!(amount(r#"{"total":0,"currency":"CNY"}"#).unwrap().is_err());
    }

    #[test]
    fn promotion_details_may_be_an_object_or_a_list_or_anything() {
        for goods in [r#"{"goods_id":"1"}"#, r#"[{"goods_id":"1"}]"#, "null"] {
            transaction(&format!(
                r#"{{"out_trade_no":"a","trade_state":"SUCCESS","promotion_detail":[{{"goods_detail":{goods}}}]}}"#
            ));
        }
    }

    #[test]
    fn evidence_masks_the_payer_even_in_a_body_that_is_cut_off() {
        let whole = br#"{"payer":{"openid" : "oUpF8\"x","sp_openid":"p"},"trade_state":"SUCCESS"}"#;
        assert_eq!(
            evidence(whole),
            r#"{"payer":{"openid":"***","sp_openid":"***"},"trade_state":"SUCCESS"}"#
        );
        assert_eq!(
            evidence(br#"{"payer":{"openid":"oUpF"#),
            r#"{"payer":{"openid":"***""#
        );
    }

    #[test]
    fn evidence_is_bounded_and_survives_bytes_that_are_no_text() {
        assert!(evidence(&vec![0xFF; 100_000]).len() <= EVIDENCE_MAX);
        assert!(evidence("签".repeat(20_000).as_bytes()).len() <= EVIDENCE_MAX);
    }

    #[test]
    fn a_sub_code_is_the_number_after_the_last_dash_of_a_request_id() {
        assert_eq!(
            sub_code("08F8A5B20610F70218E1B2A6BA0120-35312011").as_deref(),
            Some("35312011")
        );
        for none in ["", "-", "08F8-0", "08F8", "08F8-x12", "08F8-1234567890123"] {
            assert_eq!(sub_code(none), None, "{none}");
        }
    }

    #[test]
    fn a_refusal_is_named_where_the_gateway_names_it() {
        let body = r#"{"code":"PARAM_ERROR","message":"a parameter that is not defined","detail":{"field":"mchid","issue":"not defined"}}"#;
        let told = refusal(body.as_bytes());
        assert_eq!(
            told.as_deref(),
            Some("mchid: not defined: a parameter that is not defined")
        );
        assert_eq!(refusal(br#"{"code":"PARAM_ERROR"}"#), None);
    }

    #[test]
    fn path_segments_are_percent_encoded() {
        assert_eq!(percent_encode("Wx-1_2.~"), "Wx-1_2.~");
        assert_eq!(percent_encode("a/b?c d约"), "a%2Fb%3Fc%20d%E7%BA%A6");
    }
}
