//! Requests about customs declarations as WeChat Pay reads them, checked against the documented
//! tables (docs/gateways/wechat.md, "Requests").
//!
//! Written apart from the client's own types on purpose: a name that is wrong there must be refused
//! here.

use serde::Deserialize;

use crate::Settings;
use crate::shared::customs::{DeclaredFees, DeclaredTerms, Key};
use crate::wechat::Refusal;
use crate::wechat::body::param;
use crate::wechat::query::WechatQuery as Parameters;
use payrun_project::config::WechatMode;

/// The customs WeChat Pay Global declares to; CBTIS's page refers to it.
pub(crate) const CUSTOMS: [&str; 10] = [
    "GUANGZHOU_ZS",
    "HANGZHOU_ZS",
    "NINGBO",
    "ZHENGZHOU_BS",
    "CHONGQING",
    "SHANGHAI_ZS",
    "SHENZHEN",
    "ZHENGZHOU_ZH_ZS",
    "TIANJIN",
    "ZONGSHU",
];

/// The most rows a query gives; the default as well. The true most is not documented.
const ROWS: usize = 20;

/// The body of every request but the query; which fields may and must be there, the table of
/// requests says.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
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
pub(super) enum CustomsRequest {
    Declare,
    Modify,
    Redeclare,
    WechatAccountKeys,
}

impl Body {
    /// Whether it is whole and well-formed for what is asked.
    pub(super) fn check(self, asked: CustomsRequest, settings: &Settings) -> Result<Self, Refusal> {
        if !settings.declares_to(&CUSTOMS, &self.customs) {
            return Err(param("unknown_customs"));
        }
        let short = (1..=32).contains(&self.merchant_customs_no.len());
        if !short
            || !self
                .merchant_customs_no
                .bytes()
                .all(|b| b.is_ascii_alphanumeric())
        {
            return Err(param("wrong_customs_number"));
        }
        let numbers = [
            &self.out_trade_no,
            &self.transaction_id,
            &self.sub_order_no,
            &self.sub_order_id,
        ];
        if !numbers
            .into_iter()
            .flatten()
            .all(|number| is_number(number))
        {
            return Err(param("wrong_order_number"));
        }
        if matches!(asked, CustomsRequest::WechatAccountKeys)
            && self.certificate_type.as_deref() != Some("IDCARD")
        {
            return Err(param("wrong_word"));
        }
        Ok(self)
    }

    pub(super) fn key(&self) -> Result<Key, Refusal> {
        Ok(Key {
            order: self
                .out_trade_no
                .clone()
                .ok_or(param("missing_parameter"))?,
            sub_order: self.sub_order_no.clone().unwrap_or_default(),
            customs: self.customs.clone(),
        })
    }

    /// A sub-order has fees, which add up; the currency of one that is modified is that of before.
    pub(super) fn terms(&self, currency: Option<String>) -> Result<DeclaredTerms, Refusal> {
        let duty = self.duty;
        if duty.is_some_and(i64::is_negative) {
            return Err(param("wrong_amount"));
        }
        let fees = match (
            self.order_fee,
            self.transport_fee,
            self.product_fee,
            self.fee_type.clone().or(currency),
        ) {
            (None, None, None, None) if self.sub_order_no.is_none() => None,
            (Some(order), Some(transport), Some(product), Some(currency))
                if self.sub_order_no.is_some() =>
            {
                Some(
                    DeclaredFees {
                        currency,
                        order,
                        transport,
                        product,
                    }
                    .check()?,
                )
            }
            _ => return Err(param("missing_fee")),
        };
        Ok(DeclaredTerms {
            merchant_customs_no: self.merchant_customs_no.clone(),
            duty,
            fees,
            person: None,
        })
    }
}

impl DeclaredFees {
    /// Above zero, no part below it, and the sum of its parts.
    pub(crate) fn check(self) -> Result<Self, Refusal> {
        let adds_up = self.transport.checked_add(self.product) == Some(self.order);
        if self.order <= 0 || self.transport < 0 || self.product < 0 || !adds_up {
            return Err(param("wrong_amount"));
        }
        if self.currency == "CNY" {
            Ok(self)
        } else {
            Err(param("not_in_cny"))
        }
    }
}

/// What a query asks for.
#[derive(Debug)]
pub(super) struct DeclarationQuery {
    pub order_type: String,
    pub order_no: String,
    pub customs: String,
    pub offset: usize,
    pub limit: usize,
}

impl DeclarationQuery {
    pub(super) fn read(query: &str, settings: &Settings) -> Result<Self, Refusal> {
        let query = Parameters::read(query);
        let must = |name: &str| {
            query
                .get(name)
                .filter(|value| !value.is_empty())
                .ok_or(param("missing_parameter"))
        };
        let count = |name: &str, or: usize| query.get(name).map_or(Ok(or), |_| query.number(name));
        let customs = must("customs")?;
        if !settings.declares_to(&CUSTOMS, customs) {
            return Err(param("unknown_customs"));
        }
        let limit = count("limit", ROWS)?;
        if limit == 0 || limit > ROWS {
            return Err(param("wrong_number"));
        }
        Ok(Self {
            order_type: must("order_type")?.to_owned(),
            order_no: must("order_no")?.to_owned(),
            customs: customs.to_owned(),
            offset: count("offset", 0)?,
            limit,
        })
    }
}

/// Institutions declare under their own ids.
pub(super) fn ids(mode: &WechatMode) -> (&str, &str) {
    match mode {
        WechatMode::Common { mchid, appid } => (mchid, appid),
        WechatMode::Institutional {
            sp_mchid,
            sp_appid,
            sub_mchid: _,
            sub_appid: _,
        } => (sp_mchid, sp_appid),
    }
}

fn is_number(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'|' | b'*' | b'@');
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether it is an identity card's number: 17 digits, and a digit or X.
pub(crate) fn is_card(text: &str) -> bool {
    let (digits, last) = text.split_at_checked(17).unwrap_or_default();
    digits.len() == 17
        && digits.bytes().all(|b| b.is_ascii_digit())
        && matches!(last.as_bytes(), [b'0'..=b'9' | b'X'])
}
