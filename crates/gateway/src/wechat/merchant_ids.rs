//! Which ids a request carries: of the merchants, of the apps, both, or none. The page of each call
//! says which, and the gateway refuses the others, so there is a function here for each of the sets
//! that occur (docs/gateways/wechat.md, "Which ids go where").

use serde::Serialize;

use crate::exchange::percent_encode;
use crate::wechat::account::WechatMode;

/// The ids of one request; what it does not carry is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct MerchantIdFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sp_appid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_mchid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_appid: Option<&'a str>,
}

impl<'a> MerchantIdFields<'a> {
    /// Of the merchants: queries of orders and refunds, closing, the reversal of a quick payment,
    /// statements.
    pub(super) fn of_merchants(mode: &'a WechatMode) -> Self {
        match mode {
            WechatMode::Common { mchid, appid: _ } => Self {
                mchid: Some(mchid),
                ..Self::default()
            },
            WechatMode::Institutional {
                sp_mchid,
                sp_appid: _,
                sub_mchid,
                sub_appid: _,
            } => Self {
                sp_mchid: Some(sp_mchid),
                sub_mchid: Some(sub_mchid),
                ..Self::default()
            },
        }
    }

    /// Of the merchants and their apps: quick pay and refunds.
    pub(super) fn of_merchants_and_apps(mode: &'a WechatMode) -> Self {
        let merchants = Self::of_merchants(mode);
        match mode {
            WechatMode::Common { mchid: _, appid } => Self {
                appid: Some(appid),
                ..merchants
            },
            WechatMode::Institutional {
                sp_mchid: _,
                sp_appid,
                sub_mchid: _,
                sub_appid,
            } => Self {
                sp_appid: Some(sp_appid),
                sub_appid: sub_appid.as_deref(),
                ..merchants
            },
        }
    }

    /// Of a contract's app: deductions, and contracts. Neither `mchid` nor `sp_mchid` is known
    /// there.
    pub(super) fn of_contract(mode: &'a WechatMode) -> Self {
        match mode {
            WechatMode::Common { mchid: _, appid } => Self {
                appid: Some(appid),
                ..Self::default()
            },
            WechatMode::Institutional {
                sp_mchid: _,
                sp_appid,
                sub_mchid,
                sub_appid,
            } => Self {
                sub_mchid: Some(sub_mchid),
                sp_appid: Some(sp_appid),
                sub_appid: sub_appid.as_deref(),
                ..Self::default()
            },
        }
    }

    /// Of a deduction that exists, which is asked about or reversed: the sub-merchant's where there
    /// is one, else none.
    pub(super) fn of_deduction(mode: &'a WechatMode) -> Self {
        match mode {
            WechatMode::Common { mchid: _, appid: _ } => Self::default(),
            WechatMode::Institutional {
                sp_mchid: _,
                sp_appid: _,
                sub_mchid,
                sub_appid: _,
            } => Self {
                sub_mchid: Some(sub_mchid),
                ..Self::default()
            },
        }
    }

    /// As pairs of a query string.
    fn pairs(&self) -> impl Iterator<Item = String> + '_ {
        let all = [
            ("mchid", self.mchid),
            ("appid", self.appid),
            ("sp_mchid", self.sp_mchid),
            ("sp_appid", self.sp_appid),
            ("sub_mchid", self.sub_mchid),
            ("sub_appid", self.sub_appid),
        ];
        all.into_iter()
            .filter_map(|(name, id)| Some(format!("{name}={}", percent_encode(id?))))
    }

    /// A path with these ids as its query string, after `first`, pairs of the call's own; without
    /// any, the path alone.
    pub(super) fn on(&self, path: &str, first: &[String]) -> String {
        let pairs: Vec<String> = first.iter().cloned().chain(self.pairs()).collect();
        if pairs.is_empty() {
            path.to_owned()
        } else {
            format!("{path}?{}", pairs.join("&"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::request::samples::{common, institutional};

    #[test]
    fn each_set_of_ids_is_what_its_pages_list() {
        let query = |ids: MerchantIdFields<'_>| ids.on("/p", &[]);
        let (own, institution) = (common(), institutional());
        let cases = [
            (MerchantIdFields::of_merchants(&own), "/p?mchid=1900000001"),
            (
                MerchantIdFields::of_merchants(&institution),
                "/p?sp_mchid=1900000002&sub_mchid=10000097",
            ),
            (
                MerchantIdFields::of_merchants_and_apps(&own),
                "/p?mchid=1900000001&appid=wxcbda96de0b165486",
            ),
            (
                MerchantIdFields::of_merchants_and_apps(&institution),
                "/p?sp_mchid=1900000002&sp_appid=wxsp&sub_mchid=10000097",
            ),
            (
                MerchantIdFields::of_contract(&own),
                "/p?appid=wxcbda96de0b165486",
            ),
            (
                MerchantIdFields::of_contract(&institution),
                "/p?sp_appid=wxsp&sub_mchid=10000097",
            ),
            (MerchantIdFields::of_deduction(&own), "/p"),
            (
                MerchantIdFields::of_deduction(&institution),
                "/p?sub_mchid=10000097",
            ),
        ];
        for (ids, expected) in cases {
            assert_eq!(query(ids), expected);
        }
        assert_eq!(
            MerchantIdFields::of_deduction(&own).on("/p", &["a=1".to_owned()]),
            "/p?a=1"
        );
    }
}
