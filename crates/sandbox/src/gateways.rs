//! Every fake gateway, side by side: which of them a request is for.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::cbtis::FakeCbtis;
use crate::egms::FakeEgms;
use crate::hipopay::FakeHipopay;
use crate::shared::responder::Responder;
use crate::{BookLine, FakeGateway, FakeWechat, StoreError};
use payrun_domain::money::Amount;

/// The kinds of gateway.
pub(crate) const GATEWAYS: [&str; 4] = ["wechat", "hipopay", "egms", "cbtis"];

/// How often each of some things happened.
pub type EventCounts = BTreeMap<String, u64>;

/// The gateways that are served together; those that are not there answer 404.
#[derive(Debug, Clone, Default)]
pub struct Gateways {
    /// WeChat Pay Global.
    pub wechat: Option<Arc<FakeWechat>>,
    /// HipoPay.
    pub hipopay: Option<Arc<FakeHipopay>>,
    /// EGMS.
    pub egms: Option<Arc<FakeEgms>>,
    /// CBTIS.
    pub cbtis: Option<Arc<FakeCbtis>>,
}

impl From<Arc<FakeWechat>> for Gateways {
    fn from(wechat: Arc<FakeWechat>) -> Self {
        Self {
            wechat: Some(wechat),
            ..Self::default()
        }
    }
}

impl Gateways {
    /// Who answers on this path.
    pub(crate) fn fake_of(&self, path: &str) -> Option<&dyn FakeGateway> {
        let first = path
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        match first {
            "v3" => self.wechat.as_deref().map(|fake| fake as &dyn FakeGateway),
            "payment" | "payment_refund" | "wechatpay" | "download_bill" => {
                self.hipopay.as_deref().map(|fake| fake as &dyn FakeGateway)
            }
            "g2" => self.egms.as_deref().map(|fake| fake as &dyn FakeGateway),
            "mch-api" => self.cbtis.as_deref().map(|fake| fake as &dyn FakeGateway),
            _ => None,
        }
    }

    /// Puts a paid payment into a gateway's books, as if its payer had just paid.
    pub fn seed(&self, gateway: &str, number: &str, amount: Amount) {
        if let Some(counter) = self.responder(gateway) {
            counter.seed(number, amount);
        }
    }

    /// Everything under which money moved at any of them: the true books.
    ///
    /// # Errors
    /// If the books of WeChat Pay cannot be read.
    pub async fn lines(&self) -> Result<Vec<BookLine>, StoreError> {
        let mut lines = match &self.wechat {
            Some(wechat) => wechat.deductions().await?,
            None => Vec::new(),
        };
        let deducted: HashSet<String> = lines.iter().map(|line| line.number.clone()).collect();
        for (gateway, counter) in GATEWAYS
            .iter()
            .filter_map(|name| self.responder(name).map(|counter| (*name, counter)))
        {
            // A deduction that is given back is taken over into the other books.
            let of = counter.transactions().lines(gateway).into_iter();
            lines.extend(
                of.filter(|line| line.kind != "payment" || !deducted.contains(&line.number)),
            );
        }
        Ok(lines)
    }

    /// How often each fault was met, and each promise of ours to a gateway broken.
    ///
    /// # Errors
    /// If the books of WeChat Pay cannot be read.
    pub async fn fault_counts(&self) -> Result<(EventCounts, EventCounts), StoreError> {
        let (mut faults, mut violations) = (EventCounts::new(), EventCounts::new());
        let mut add = |some: EventCounts, others: EventCounts| {
            for (sum, counts) in [(&mut faults, some), (&mut violations, others)] {
                counts
                    .into_iter()
                    .for_each(|(word, times)| *sum.entry(word).or_default() += times);
            }
        };
        if let Some(wechat) = &self.wechat {
            let totals = wechat.totals().await?;
            add(totals.faults, totals.violations);
        }
        for counter in GATEWAYS
            .iter()
            .filter(|name| **name != "wechat")
            .filter_map(|name| self.responder(name))
        {
            let totals = counter.totals();
            add(totals.faults, totals.violations);
        }
        Ok((faults, violations))
    }

    pub(crate) fn responder(&self, gateway: &str) -> Option<&Responder> {
        match gateway {
            "wechat" => self.wechat.as_ref().map(|fake| &fake.payments.responder),
            "hipopay" => self.hipopay.as_ref().map(|fake| &fake.responder),
            "egms" => self.egms.as_ref().map(|fake| &fake.responder),
            "cbtis" => self.cbtis.as_ref().map(|fake| &fake.responder),
            _ => None,
        }
    }

    /// What a fake says of itself; none if the path is of none of them. Of WeChat Pay these are all
    /// payments but deductions, which have books of their own.
    pub(crate) fn about(
        &self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Option<Result<Value, StatusCode>> {
        let (gateway, page) = path.strip_prefix("/sandbox/")?.split_once('/')?;
        if !GATEWAYS.contains(&gateway) {
            return None;
        }
        Some(
            self.responder(gateway)
                .ok_or(StatusCode::NOT_FOUND)
                .and_then(|counter| counter.about(method, page, body)),
        )
    }
}
