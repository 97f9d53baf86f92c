//! The body of a deduction as the gateway reads it, checked against the documented table (the auto-debit page, "Request").
//!
//! Written apart from the client's own types on purpose: a name that is wrong there must be refused here.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Refusal;
use crate::config::WechatMode;
use crate::domain::money::Currency;

/// A deduction.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    appid: Option<String>,
    sub_mchid: Option<String>,
    sp_appid: Option<String>,
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
#[serde(deny_unknown_fields)]
pub(super) struct BodyAmount {
    pub total: i64,
    pub currency: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scene {
    device_ip: Option<String>,
    device_id: Option<String>,
}

impl Body {
    /// Reads a body and checks every field.
    pub(super) fn read(bytes: &[u8], mode: &WechatMode) -> Result<Self, Refusal> {
        let body: Self = parse(bytes)?;
        body.check_ids(mode)?;
        body.check_lengths()?;
        body.check_texts()?;
        Ok(body)
    }

    fn check_ids(&self, mode: &WechatMode) -> Result<(), Refusal> {
        let fits = match mode {
            WechatMode::Common { mchid: _, appid } => {
                self.appid.as_ref() == Some(appid) && self.sp_appid.is_none() && self.sub_mchid.is_none()
            }
            WechatMode::Institutional { sp_mchid: _, sp_appid, sub_mchid, sub_appid: _ } => {
                self.sp_appid.as_ref() == Some(sp_appid)
                    && self.sub_mchid.as_ref() == Some(sub_mchid)
                    && self.appid.is_none()
            }
        };
        if fits { Ok(()) } else { Err(param("wrong_ids")) }
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
        let fits = |(text, most): (Option<&String>, usize)| {
            text.is_none_or(|text| !text.is_empty() && text.chars().count() <= most)
        };
        if fields.into_iter().all(fits) { Ok(()) } else { Err(param("wrong_length")) }
    }

    fn check_texts(&self) -> Result<(), Refusal> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '*' | '@');
        if !self.out_trade_no.chars().all(allowed) {
            return Err(param("wrong_order_number"));
        }
        if !self.notify_url.starts_with("https://") || self.notify_url.contains('?') {
            return Err(param("wrong_notify_url"));
        }
        if self.amount.total <= 0 {
            return Err(param("amount_not_positive"));
        }
        Currency::parse(&self.amount.currency).map(|_| ()).map_err(|_| param("unknown_currency"))
    }
}

/// Reads a body in which every name and type must be as documented.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|error| {
        let text = error.to_string();
        let reason = if text.starts_with("unknown field") {
            "unknown_field"
        } else if text.starts_with("missing field") {
            "missing_field"
        } else {
            "wrong_type"
        };
        param(reason)
    })
}

pub(super) const fn param(reason: &'static str) -> Refusal {
    Refusal { http: 400, code: "PARAM_ERROR", reason }
}
