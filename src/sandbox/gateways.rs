//! Every gateway's other side, side by side: which of them a request is for.

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use super::cbtis::Cbtis;
use super::egms::Egms;
use super::hipopay::Hipopay;
use super::{Sandbox, Twin};

/// The gateways that are served together; those that are not there answer 404.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    /// WeChat Pay Global.
    pub wechat: Option<Arc<Sandbox>>,
    /// HipoPay.
    pub hipopay: Option<Arc<Hipopay>>,
    /// EGMS.
    pub egms: Option<Arc<Egms>>,
    /// CBTIS.
    pub cbtis: Option<Arc<Cbtis>>,
}

impl From<Arc<Sandbox>> for Gateways {
    fn from(wechat: Arc<Sandbox>) -> Self {
        Self { wechat: Some(wechat), ..Self::default() }
    }
}

impl Gateways {
    /// Who answers on this path.
    pub(super) fn twin_of(&self, path: &str) -> Option<&dyn Twin> {
        let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match first {
            "v3" => self.wechat.as_deref().map(|twin| twin as &dyn Twin),
            "payment" | "payment_refund" | "wechatpay" | "download_bill" => {
                self.hipopay.as_deref().map(|twin| twin as &dyn Twin)
            }
            "g2" => self.egms.as_deref().map(|twin| twin as &dyn Twin),
            "mch-api" => self.cbtis.as_deref().map(|twin| twin as &dyn Twin),
            _ => None,
        }
    }

    /// What a twin says of itself; none if the path is of none of them. Of WeChat Pay these are all payments but deductions,
    /// which have books of their own.
    pub(super) fn about(&self, method: &Method, path: &str, body: &[u8]) -> Option<Result<Value, StatusCode>> {
        let (gateway, page) = path.strip_prefix("/sandbox/")?.split_once('/')?;
        let counter = match gateway {
            "wechat" => self.wechat.as_ref().map(|twin| &twin.desk.counter),
            "hipopay" => self.hipopay.as_ref().map(|twin| &twin.counter),
            "egms" => self.egms.as_ref().map(|twin| &twin.counter),
            "cbtis" => self.cbtis.as_ref().map(|twin| &twin.counter),
            _ => return None,
        };
        Some(counter.ok_or(StatusCode::NOT_FOUND).and_then(|counter| counter.about(method, page, body)))
    }
}
