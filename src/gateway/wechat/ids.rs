//! The ids that go into the bodies of orders and refunds. Which of them a body carries differs from call to call
//! (gateways.md section 4); queries and deductions have theirs in `wire`.

use serde::Serialize;

use crate::config::WechatMode;

/// Merchant ids, with or without the ids of the apps; what a mode does not have is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Ids<'a> {
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

impl<'a> Ids<'a> {
    /// Merchants only: closing and reversing.
    pub(super) fn of_merchants(mode: &'a WechatMode) -> Self {
        match mode {
            WechatMode::Common { mchid, appid: _ } => Self { mchid: Some(mchid), ..Self::default() },
            WechatMode::Institutional { sp_mchid, sp_appid: _, sub_mchid, sub_appid: _ } => {
                Self { sp_mchid: Some(sp_mchid), sub_mchid: Some(sub_mchid), ..Self::default() }
            }
        }
    }

    /// Merchants and their apps: quick pay and refunds.
    pub(super) fn with_apps(mode: &'a WechatMode) -> Self {
        let merchants = Self::of_merchants(mode);
        match mode {
            WechatMode::Common { mchid: _, appid } => Self { appid: Some(appid), ..merchants },
            WechatMode::Institutional { sp_mchid: _, sp_appid, sub_mchid: _, sub_appid } => {
                Self { sp_appid: Some(sp_appid), sub_appid: sub_appid.as_deref(), ..merchants }
            }
        }
    }
}
