//! Requests about customs declarations as WeChat Pay reads them, checked against the documented tables (gateways.md 4.8).
//!
//! Written apart from the client's own types on purpose: a name that is wrong there must be refused here.

use serde::Deserialize;

use super::{Fees, Key, Terms};
use crate::config::WechatMode;
use crate::domain::money::Currency;
use crate::sandbox::body::param;
use crate::sandbox::{Refusal, decode};

/// The customs WeChat Pay Global declares to.
const CUSTOMS: [&str; 9] = [
    "GUANGZHOU_ZS",
    "HANGZHOU_ZS",
    "NINGBO",
    "ZHENGZHOU_BS",
    "CHONGQING",
    "SHANGHAI_ZS",
    "SHENZHEN",
    "ZHENGZHOU_ZH_ZS",
    "TIANJIN",
];

/// The most rows a query gives; the default as well. The true most is not documented.
const ROWS: usize = 20;

/// The body of every request but the query; which fields may and must be there, each request says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    appid: String,
    mchid: String,
    pub out_trade_no: Option<String>,
    pub transaction_id: Option<String>,
    pub customs: String,
    pub merchant_customs_no: String,
    duty: Option<i64>,
    pub sub_order_no: Option<String>,
    pub sub_order_id: Option<String>,
    fee_type: Option<String>,
    order_fee: Option<i64>,
    transport_fee: Option<i64>,
    product_fee: Option<i64>,
    certificate_type: Option<String>,
    pub certificate_id: Option<String>,
    pub certificate_name: Option<String>,
}

/// A request that was read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asked {
    Declare,
    Modify,
    Redeclare,
    Identity,
}

impl Body {
    /// Whether it is whole and well-formed for what is asked.
    pub(super) fn check(self, asked: Asked, mode: &WechatMode) -> Result<Self, Refusal> {
        if (self.mchid.as_str(), self.appid.as_str()) != ids(mode) {
            return Err(param("wrong_ids"));
        }
        if !CUSTOMS.contains(&self.customs.as_str()) {
            return Err(param("unknown_customs"));
        }
        let short = (1..=20).contains(&self.merchant_customs_no.len());
        if !short || !self.merchant_customs_no.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(param("wrong_customs_number"));
        }
        let numbers = [&self.out_trade_no, &self.transaction_id, &self.sub_order_no, &self.sub_order_id];
        if !numbers.into_iter().flatten().all(|number| is_number(number)) {
            return Err(param("wrong_order_number"));
        }
        self.check_fields(asked)?;
        Ok(self)
    }

    /// Which fields each request has (the pages of the five calls).
    fn check_fields(&self, asked: Asked) -> Result<(), Refusal> {
        let of_payment = self.out_trade_no.is_some() && self.transaction_id.is_some() && self.sub_order_id.is_none();
        let fees = self.order_fee.is_some() || self.transport_fee.is_some() || self.product_fee.is_some();
        let terms = self.duty.is_some() || fees || self.fee_type.is_some();
        let person =
            self.certificate_type.is_some() || self.certificate_id.is_some() || self.certificate_name.is_some();
        let (whole, more) = match asked {
            Asked::Declare => (of_payment, person),
            Asked::Modify => (of_payment, person || self.fee_type.is_some()),
            Asked::Redeclare => (true, person || terms),
            Asked::Identity => (of_payment && self.certificate_type.as_deref() == Some("IDCARD"), terms),
        };
        match (whole, more) {
            (false, _) => Err(param("missing_field")),
            (true, true) => Err(param("unknown_field")),
            (true, false) => Ok(()),
        }
    }

    pub(super) fn key(&self) -> Result<Key, Refusal> {
        Ok(Key {
            order: self.out_trade_no.clone().ok_or(param("missing_field"))?,
            sub_order: self.sub_order_no.clone().unwrap_or_default(),
            customs: self.customs.clone(),
        })
    }

    /// A sub-order has fees, which add up; the currency of one that is modified is that of before.
    pub(super) fn terms(&self, currency: Option<String>) -> Result<Terms, Refusal> {
        let duty = self.duty;
        if duty.is_some_and(i64::is_negative) {
            return Err(param("wrong_amount"));
        }
        let fees = match (self.order_fee, self.transport_fee, self.product_fee, self.fee_type.clone().or(currency)) {
            (None, None, None, None) if self.sub_order_no.is_none() => None,
            (Some(order), Some(transport), Some(product), Some(currency)) if self.sub_order_no.is_some() => {
                Some(Fees { currency, order, transport, product }.check()?)
            }
            _ => return Err(param("missing_fee")),
        };
        Ok(Terms { merchant_customs_no: self.merchant_customs_no.clone(), duty, fees, person: None })
    }
}

impl Fees {
    /// Above zero, no part below it, and the sum of its parts.
    pub(in crate::sandbox) fn check(self) -> Result<Self, Refusal> {
        let adds_up = self.transport.checked_add(self.product) == Some(self.order);
        if self.order <= 0 || self.transport < 0 || self.product < 0 || !adds_up {
            return Err(param("wrong_amount"));
        }
        Currency::parse(&self.currency).map_err(|_| param("unknown_currency"))?;
        Ok(self)
    }
}

/// A query's parameters, all of them documented and none twice.
#[derive(Debug)]
pub(super) struct Query {
    pub order_type: String,
    pub order_no: String,
    pub customs: String,
    pub offset: usize,
    pub limit: usize,
}

impl Query {
    pub(super) fn read(query: &str, mode: &WechatMode) -> Result<Self, Refusal> {
        const KNOWN: [&str; 7] = ["appid", "mchid", "order_type", "order_no", "customs", "offset", "limit"];
        let pairs: Vec<(&str, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, decode(value)))
            .collect();
        let repeated = |at: usize, name: &str| pairs[..at].iter().any(|(other, _)| *other == name);
        if pairs.iter().enumerate().any(|(at, (name, _))| !KNOWN.contains(name) || repeated(at, name)) {
            return Err(param("wrong_query"));
        }
        let get = |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        let must = |name: &str| get(name).filter(|value| !value.is_empty()).ok_or(param("wrong_query"));
        let count =
            |name: &str, or: usize| get(name).map_or(Ok(or), |text| text.parse().map_err(|_| param("wrong_query")));
        if (must("mchid")?.as_str(), must("appid")?.as_str()) != ids(mode) {
            return Err(param("wrong_ids"));
        }
        let customs = must("customs")?;
        if !CUSTOMS.contains(&customs.as_str()) {
            return Err(param("unknown_customs"));
        }
        let limit = count("limit", ROWS)?;
        if limit == 0 || limit > ROWS {
            return Err(param("wrong_query"));
        }
        Ok(Self {
            order_type: must("order_type")?,
            order_no: must("order_no")?,
            customs,
            offset: count("offset", 0)?,
            limit,
        })
    }
}

/// Institutions declare under their own ids.
pub(super) fn ids(mode: &WechatMode) -> (&str, &str) {
    match mode {
        WechatMode::Common { mchid, appid } => (mchid, appid),
        WechatMode::Institutional { sp_mchid, sp_appid, sub_mchid: _, sub_appid: _ } => (sp_mchid, sp_appid),
    }
}

fn is_number(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'|' | b'*' | b'@');
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether it is an identity card's number: 17 digits, and a digit or X.
pub(in crate::sandbox) fn is_card(text: &str) -> bool {
    let (digits, last) = text.split_at_checked(17).unwrap_or_default();
    digits.len() == 17 && digits.bytes().all(|b| b.is_ascii_digit()) && matches!(last.as_bytes(), [b'0'..=b'9' | b'X'])
}
