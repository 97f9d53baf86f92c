//! Bodies as the gateway reads them: types, lengths and words. Which fields there may be,
//! `request_table` knows. Written apart from the client's own types on purpose.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::OrderName;
use crate::shared::json_body;
use crate::wechat::Refusal;
use payrun_domain::money::Currency;

/// A deduction.
#[derive(Debug, Deserialize)]
pub(crate) struct Deduction {
    sub_appid: Option<String>,
    description: String,
    pub attach: Option<String>,
    notify_url: String,
    pub out_trade_no: String,
    goods_tag: Option<String>,
    pub merchant_category_code: String,
    pub contract_id: String,
    pub amount: BodyAmount,
    scene_info: Option<Device>,
}

/// Its amount.
#[derive(Debug, Deserialize)]
pub(crate) struct BodyAmount {
    pub total: i64,
    pub currency: String,
}

#[derive(Debug, Deserialize)]
struct Device {
    device_ip: Option<String>,
    device_id: Option<String>,
}

impl Deduction {
    /// Reads a body and checks every field.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
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

/// The end of a contract.
#[derive(Deserialize)]
pub(super) struct Termination {
    sub_appid: Option<String>,
    pub termination_note: String,
}

impl Termination {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = parse(bytes)?;
        check_lengths(&[
            (Some(&body.termination_note), 256),
            (body.sub_appid.as_ref(), 32),
        ])?;
        Ok(body)
    }
}

/// A payment by code.
#[derive(Deserialize)]
pub(super) struct Micropay {
    sub_appid: Option<String>,
    description: String,
    attach: Option<String>,
    pub out_trade_no: String,
    goods_tag: Option<String>,
    trade_type: String,
    limit_pay: Option<String>,
    merchant_category_code: String,
    pub payer: Payer,
    pub amount: BodyAmount,
    scene_info: Option<SceneInfo>,
}

#[derive(Deserialize)]
pub(super) struct Payer {
    pub auth_code: String,
}

#[derive(Deserialize)]
struct SceneInfo {
    payer_client_ip: Option<String>,
    device_ip: Option<String>,
    device_id: Option<String>,
    operator_id: Option<String>,
    store_info: Option<Store>,
}

/// Name and address are required where a store is sent.
#[derive(Deserialize)]
struct Store {
    id: Option<String>,
    name: String,
    address: String,
}

impl Micropay {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = parse(bytes)?;
        body.check_texts()?;
        check_amount(body.amount.total, &body.amount.currency)?;
        Ok(body)
    }

    fn check_texts(&self) -> Result<(), Refusal> {
        let scene = self.scene_info.as_ref();
        let store = scene.and_then(|scene| scene.store_info.as_ref());
        check_lengths(&[
            (Some(&self.description), 127),
            (self.attach.as_ref(), 127),
            (Some(&self.out_trade_no), 32),
            (self.goods_tag.as_ref(), 32),
            (Some(&self.merchant_category_code), 16),
            (self.sub_appid.as_ref(), 32),
            (scene.and_then(|scene| scene.payer_client_ip.as_ref()), 45),
            (scene.and_then(|scene| scene.device_ip.as_ref()), 45),
            (scene.and_then(|scene| scene.device_id.as_ref()), 32),
            (scene.and_then(|scene| scene.operator_id.as_ref()), 32),
            (store.and_then(|store| store.id.as_ref()), 32),
            (store.map(|store| &store.name), 256),
            (store.map(|store| &store.address), 512),
        ])?;
        check_number(&self.out_trade_no)?;
        if self.trade_type != "MICROPAY"
            || self
                .limit_pay
                .as_ref()
                .is_some_and(|limit| limit != "no_credit")
        {
            return Err(param("wrong_word"));
        }
        let code = &self.payer.auth_code;
        let is_code =
            (16..=24).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_digit());
        if is_code {
            Ok(())
        } else {
            Err(param("wrong_auth_code"))
        }
    }
}

/// A refund.
#[derive(Deserialize)]
pub(super) struct Refund {
    sub_appid: Option<String>,
    transaction_id: Option<String>,
    out_trade_no: Option<String>,
    pub out_refund_no: String,
    reason: Option<String>,
    notify_url: Option<String>,
    source: Option<String>,
    pub amount: RefundAmount,
}

#[derive(Deserialize)]
pub(super) struct RefundAmount {
    pub refund: i64,
    pub total: i64,
    pub currency: String,
}

impl Refund {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let body: Self = parse(bytes)?;
        check_lengths(&[
            (body.transaction_id.as_ref(), 32),
            (body.out_trade_no.as_ref(), 32),
            (Some(&body.out_refund_no), 64),
            (body.reason.as_ref(), 80),
            (body.notify_url.as_ref(), 256),
            (body.sub_appid.as_ref(), 32),
        ])?;
        check_number(&body.out_refund_no)?;
        body.notify_url
            .as_deref()
            .map_or(Ok(()), check_notify_url)?;
        check_amount(body.amount.refund, &body.amount.currency)?;
        check_amount(body.amount.total, &body.amount.currency)?;
        let sources = [
            "REFUND_SOURCE_UNSETTLED_FUNDS",
            "REFUND_SOURCE_RECHARGE_FUNDS",
        ];
        if body
            .source
            .as_deref()
            .is_some_and(|source| !sources.contains(&source))
        {
            return Err(param("wrong_word"));
        }
        Ok(body)
    }

    /// The payment, by one of its names.
    pub(super) fn of(&self) -> Result<OrderName, Refusal> {
        match (&self.transaction_id, &self.out_trade_no) {
            (Some(id), None) => Ok(OrderName::Theirs(id.clone())),
            (None, Some(number)) => Ok(OrderName::Ours(number.clone())),
            (Some(_), Some(_)) | (None, None) => Err(param("missing_parameter")),
        }
    }
}

/// Reads a body in which every name and type must be as documented.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    json_body::read(bytes).map_err(|wrong| param(wrong.as_str()))
}

/// No text that is there is empty, has more characters than it may, or one that UTF-8 writes in
/// four bytes.
pub(crate) fn check_lengths(fields: &[(Option<&String>, usize)]) -> Result<(), Refusal> {
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

pub(crate) fn check_number(number: &str) -> Result<(), Refusal> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '|' | '*' | '@');
    if number.chars().all(allowed) {
        Ok(())
    } else {
        Err(param("wrong_order_number"))
    }
}

pub(crate) fn check_notify_url(url: &str) -> Result<(), Refusal> {
    if url.starts_with("https://") && !url.contains('?') {
        Ok(())
    } else {
        Err(param("wrong_notify_url"))
    }
}

pub(crate) fn check_amount(minor: i64, currency: &str) -> Result<(), Refusal> {
    if minor <= 0 {
        return Err(param("amount_not_positive"));
    }
    Currency::parse(currency)
        .map(|_| ())
        .map_err(|_| param("unknown_currency"))
}

pub(crate) const fn param(reason: &'static str) -> Refusal {
    Refusal {
        http: 400,
        code: "PARAM_ERROR",
        reason,
    }
}
