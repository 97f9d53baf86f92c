//! The body of a deduction as the gateway reads it: types, lengths and characters. Which fields
//! there may be, `request_table` knows.
//!
//! Written apart from the client's own types on purpose: what is wrong there must be refused here.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Refusal;
use payrun_domain::money::Currency;

/// A deduction.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    sub_appid: Option<String>,
    description: String,
    pub attach: Option<String>,
    notify_url: String,
    pub out_trade_no: String,
    goods_tag: Option<String>,
    pub merchant_category_code: String,
    pub contract_id: String,
    pub amount: BodyAmount,
    scene_info: Option<Scene>,
}

/// Its amount.
#[derive(Debug, Deserialize)]
pub(super) struct BodyAmount {
    pub total: i64,
    pub currency: String,
}

#[derive(Debug, Deserialize)]
struct Scene {
    device_ip: Option<String>,
    device_id: Option<String>,
}

impl Body {
    /// Reads a body and checks every field.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = parse(bytes)?;
        body.check_lengths()?;
        body.check_texts()?;
        Ok(body)
    }

    fn check_lengths(&self) -> Result<(), Refusal> {
        let scene = self.scene_info.as_ref();
        let fields = [
            (Some(&self.description), 128),
            (self.attach.as_ref(), 127),
            (Some(&self.notify_url), 256),
            (Some(&self.out_trade_no), 32),
            (self.goods_tag.as_ref(), 32),
            (Some(&self.merchant_category_code), 16),
            (Some(&self.contract_id), 64),
            (self.sub_appid.as_ref(), 32),
            (scene.and_then(|scene| scene.device_ip.as_ref()), 45),
            (scene.and_then(|scene| scene.device_id.as_ref()), 32),
        ];
        check_lengths(&fields)
    }

    fn check_texts(&self) -> Result<(), Refusal> {
        check_number(&self.out_trade_no)?;
        check_notify_url(&self.notify_url)?;
        check_amount(self.amount.total, &self.amount.currency)
    }
}

/// Reads a body in which every name and type must be as documented.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        param(if text.starts_with("missing field") {
            "missing_parameter"
        } else {
            "wrong_type"
        })
    })
}

/// No text that is there is empty, has more characters than it may, or one that UTF-8 writes in
/// four bytes.
pub(super) fn check_lengths(fields: &[(Option<&String>, usize)]) -> Result<(), Refusal> {
    let fits = |(text, most): &(Option<&String>, usize)| {
        text.is_none_or(|text| !text.is_empty() && text.chars().count() <= *most)
    };
    if !fields.iter().all(fits) {
        return Err(param("wrong_length"));
    }
    let mut texts = fields.iter().filter_map(|(text, _)| *text);
    if texts.any(|text| text.chars().any(|c| c.len_utf8() > 3)) {
        Err(param("wrong_character"))
    } else {
        Ok(())
    }
}

pub(super) fn check_number(number: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '*' | '@');
    if number.chars().all(allowed) {
        Ok(())
    } else {
        Err(param("wrong_order_number"))
    }
}

pub(super) fn check_notify_url(url: &str) -> Result<(), Refusal> {
    if url.starts_with("https://") && !url.contains('?') {
        Ok(())
    } else {
        Err(param("wrong_notify_url"))
    }
}

pub(super) fn check_amount(minor: i64, currency: &str) -> Result<(), Refusal> {
    if minor <= 0 {
        return Err(param("amount_not_positive"));
    }
    Currency::parse(currency)
        .map(|_| ())
        .map_err(|_| param("unknown_currency"))
}

pub(super) const fn param(reason: &'static str) -> Refusal {
    Refusal {
        http: 400,
        code: "PARAM_ERROR",
        reason,
    }
}
