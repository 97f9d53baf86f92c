//! Settlement batches (docs/gateways/wechat.md, "Settlements"): one a day and currency over what
//! was charged, settled on the day it was traded.
//!
//! While [`Settings::unsettled`](crate::Settings) queries for what is not settled have not
//! been answered, every batch is `UNSETTLE`; after them every batch is `SETTLED`.

use chrono::{Days, NaiveDate};
use serde_json::{Value, json};

use crate::wechat::body::param;
use crate::wechat::query::WechatQuery;
use std::collections::BTreeMap;

use crate::faults::Fault;
use crate::shared::statements::{BEIJING, DAY, TradeKind, compact, of_store, parse_day};
use crate::shared::transactions::TransactionStore;
use crate::wechat::Refusal;
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_book::Counter;
use crate::wechat::order_store::StoreError;
use crate::{FakeWechat, Reaction};

/// The most batches a page may be asked for.
const LIMIT_MAX: usize = 30;
/// Whose queries are counted.
const UNSETTLE: &str = "settlements-UNSETTLE";

/// What is asked for.
struct SettlementRequest {
    settled: bool,
    /// Of settled batches: from and until which day.
    window: Option<(NaiveDate, NaiveDate)>,
    offset: usize,
    limit: usize,
}

/// What was traded on a day in a currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DaySum {
    /// Days since 1970-01-01, in Beijing.
    pub day: i64,
    pub currency: String,
    /// In minor units.
    pub pay: i128,
    pub refund: i128,
}

impl FakeWechat {
    /// `GET /v3/global/settle/settlements`.
    pub(crate) async fn settlement_page(&self, query: &str) -> Reaction {
        let asked = match self.asked_page(query) {
            Ok(asked) => asked,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let subject = match (asked.offset, asked.settled) {
            (0, false) => UNSETTLE,
            (0, true) => "settlements-SETTLED",
            (_, _) => "settlements-further",
        };
        let (_, fault) = self.looks.note(subject, &self.settings);
        if let Some(fault) = fault {
            self.books
                .lock()
                .await
                .count(Counter::Fault, fault.as_str());
        }
        let said = self.settlements(&asked, fault).await;
        self.react(said, subject).await
    }

    fn asked_page(&self, query: &str) -> Result<SettlementRequest, Refusal> {
        let query = WechatQuery::read(query);
        // Whose settlements they are follows from who asks; ordinary service providers name the
        // sub-merchant.
        if query.get("sub_mchid").is_some() != self.settings.settlements_by_sub_merchant {
            return Err(param("wrong_ids"));
        }
        let settled = match query.get("settle_state") {
            Some("SETTLED") => true,
            Some("UNSETTLE") => false,
            Some(_) | None => return Err(param("wrong_settle_state")),
        };
        let day = |name| query.get(name).and_then(parse_day);
        let window = day("settle_start_date").zip(day("settle_end_date"));
        if settled && window.is_none_or(|(from, to)| to < from) {
            return Err(param("wrong_window"));
        }
        let (offset, limit) = (query.number("offset")?, query.number("limit")?);
        let asked = SettlementRequest {
            settled,
            window: window.filter(|_| settled),
            offset,
            limit,
        };
        if (1..=LIMIT_MAX).contains(&asked.limit) {
            Ok(asked)
        } else {
            Err(param("wrong_page"))
        }
    }

    async fn settlements(
        &self,
        asked: &SettlementRequest,
        fault: Option<Fault>,
    ) -> Result<WechatReply, StoreError> {
        let late = self.settings.unsettled;
        let settled = late == 0 || self.looks.answered(UNSETTLE) > late;
        let mut batches = Vec::new();
        if settled == asked.settled {
            let charged = self.books.lock().await.day_sums().await?;
            for sum in with_transactions(charged, &self.payments.responder.transactions()) {
                let Some(day) = day(sum.day) else { continue };
                if asked
                    .window
                    .is_none_or(|(from, to)| (from..=to).contains(&day))
                {
                    batches.push(show(&sum, day, settled));
                }
            }
        }
        let data: Vec<&Value> = batches
            .iter()
            .skip(asked.offset)
            .take(asked.limit)
            .collect();
        let mut body = json!({ "offset": asked.offset, "limit": data.len(), "data": data });
        // How many there are is promised of the first page only.
        if asked.offset == 0 || data.is_empty() {
            body["total_count"] = json!(batches.len());
        }
        Ok(WechatReply {
            http: 200,
            body,
            fault,
        })
    }
}

/// The sums with what the transactions hold beside the charges.
fn with_transactions(charged: Vec<DaySum>, transactions: &TransactionStore) -> Vec<DaySum> {
    let mut sums: BTreeMap<(i64, String), DaySum> = charged
        .into_iter()
        .map(|sum| ((sum.day, sum.currency.clone()), sum))
        .collect();
    let all = NaiveDate::MIN..=NaiveDate::MAX;
    for trade in of_store(transactions, &all) {
        let day = (trade.at.millis() + BEIJING).div_euclid(DAY);
        let fresh = || DaySum {
            day,
            currency: trade.currency.clone(),
            pay: 0,
            refund: 0,
        };
        let sum = sums
            .entry((day, trade.currency.clone()))
            .or_insert_with(fresh);
        match trade.kind {
            TradeKind::Paid => sum.pay += i128::from(trade.minor),
            TradeKind::Revoked | TradeKind::Refunded { .. } => {
                sum.refund += i128::from(trade.minor)
            }
        }
    }
    sums.into_values().collect()
}

fn day(since_1970: i64) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(1970, 1, 1)?
        .checked_add_days(Days::new(u64::try_from(since_1970).ok()?))
}

fn show(sum: &DaySum, day: NaiveDate, settled: bool) -> Value {
    let minor = |sum: i128| i64::try_from(sum).unwrap_or(i64::MAX);
    let (net, day) = (minor(sum.pay - sum.refund), compact(day));
    json!({
        "batch_id": format!("{day}{}", sum.currency),
        "settlement_date": day,
        "trade_start_date": day,
        "trade_end_date": day,
        "amount": {
            "settled": if settled { net } else { 0 },
            "unsettle": if settled { 0 } else { net },
            "currency": sum.currency,
            "pay": minor(sum.pay),
            "refund": minor(sum.refund),
            "net": net,
            "fee": 0,
        },
        "wallet_region": "CHINA_HONGKONG",
    })
}
