//! HipoPay's statement (the HipoPay document, "Export Reconciliation Report"): a text file of some
//! days, not signed.
//!
//! In a refund's line the refund's own number stands under "Order No." and the payment's two
//! numbers under "Refund Order" and "External Refund Order No.", as in the document's sample. One
//! in a hundred of a payment is kept as the fee.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use chrono::{Months, NaiveDate};
use http::HeaderValue;
use serde_json::Value;

use super::auth::{HipopayRefusal, Params};
use super::{FakeHipopay, error};
use crate::Reaction;
use crate::shared::fault_flow::{Reply, stray_page};
use crate::shared::responder::json_reply;
use crate::shared::statements::{Trade, TradeKind, compact, day_of, of_store, parse_day, written};
use payrun_domain::money::{Currency, decimal_text};
use payrun_gateway::FILE_MAX;
use payrun_gateway::transport::Response;

/// How many months back the bill goes.
const MONTHS: u32 = 3;

const HEADER: &str = "Transaction Type,Transaction Time,Order No.,External order No.,Credit,Debit,Balance,Transaction Amount,Exchange Rate Adopted for Settlement,Service Fee,Refund Amount,Refund Order,External Refund Order No.,Fee for Withdrawal,Converted Currency,Exchange Rate Adopted for Conversion,Amount After Conversion,Payment Channel";

impl FakeHipopay {
    /// `GET /download_bill`.
    pub(super) async fn bill(&self, params: &Params) -> Reaction {
        let days = match self.asked_days(params) {
            Ok(days) => days,
            Err(refused) => return self.refuse(refused).await,
        };
        let subject = format!(
            "statement-{}-{}",
            compact(*days.start()),
            compact(*days.end())
        );
        let (before, fault) = self.looks.note(&subject, &self.responder.settings);
        let file = {
            let mut transactions = self.responder.transactions();
            if let Some(fault) = fault {
                transactions.meet(fault);
            }
            let there = self.responder.settings.statements.is_there(before);
            there
                .then(|| write(&days, of_store(&transactions, &days)))
                .flatten()
        };
        let body = match file {
            Some(_) => Value::Null,
            None => error("BILL_NOT_FOUND", "there is no bill of these days"),
        };
        let say = |http, body: &Value, forged: bool| match &file {
            _ if forged => Some(stray_page()),
            Some(file) if body.is_null() => Some(text(file.clone())),
            Some(_) | None => json_reply(http, body, &self.responder.clock),
        };
        let (broken, busy) = (
            error("SYSTEM_ERROR", "system error"),
            error("FREQUENCY_LIMITED", "slow down"),
        );
        self.responder
            .respond(Reply {
                subject: &subject,
                http: 200,
                body,
                fault,
                say: &say,
                broken,
                busy,
            })
            .await
    }

    fn asked_days(&self, params: &Params) -> Result<RangeInclusive<NaiveDate>, HipopayRefusal> {
        if params.must("merchant_no")? != self.merchant_no {
            return Err(HipopayRefusal::new("PARAM_ERROR", "wrong_merchant_no"));
        }
        let wrong = HipopayRefusal::new("PARAM_ERROR", "wrong_date");
        let day = |name| {
            params
                .must(name)
                .and_then(|text| parse_day(text).ok_or(wrong))
        };
        let (from, to) = (day("start_date")?, day("end_date")?);
        let today = day_of(self.responder.clock.now());
        let oldest = today
            .checked_sub_months(Months::new(MONTHS))
            .unwrap_or(NaiveDate::MIN);
        if from < oldest || to < from || to > today {
            Err(wrong)
        } else {
            Ok(from..=to)
        }
    }
}

fn text(file: Bytes) -> Response {
    let mut response = Response::new(file);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The file of what was traded; none if nothing was, or if it would be too long.
pub(crate) fn write(
    days: &RangeInclusive<NaiveDate>,
    trades: impl Iterator<Item = Trade>,
) -> Option<Bytes> {
    let (from, to) = (compact(*days.start()), compact(*days.end()));
    let mut file =
        format!("Sandbox: company's reconciliation report of {from} to {to}\n{HEADER}\n");
    let mut balances = BTreeMap::new();
    let mut any = false;
    for trade in trades {
        let left = trade.minor - trade.minor / 100;
        let moved = match trade.kind {
            TradeKind::Paid => left,
            TradeKind::Refunded { .. } => -left,
            TradeKind::Revoked => continue,
        };
        any = true;
        let balance: &mut i128 = balances.entry(trade.currency.clone()).or_default();
        *balance += i128::from(moved);
        file.push_str(&line(&trade, left, *balance));
        if file.len() > FILE_MAX {
            return None;
        }
    }
    any.then(|| file.into())
}

fn line(trade: &Trade, left: i64, balance: i128) -> String {
    let money = |minor: i128| {
        let text = Currency::parse(&trade.currency)
            .map(|currency| decimal_text(minor, currency))
            .unwrap_or_default();
        format!("{text} {}", trade.currency)
    };
    let (time, balance, amount) = (written(trade.at), money(balance), money(trade.minor.into()));
    let Trade { number, theirs, .. } = trade;
    match &trade.kind {
        TradeKind::Refunded {
            number: _,
            theirs: refund,
            processing: _,
        } => {
            let debit = money(-i128::from(left));
            format!(
                "Refund,{time},`{refund},`,-,{debit},{balance},-,-,-,{amount},`{theirs},`{number},-,-,-,-,WECHATPAYCN\n"
            )
        }
        TradeKind::Paid | TradeKind::Revoked => {
            let (credit, fee) = (
                money(left.into()),
                money(i128::from(trade.minor) - i128::from(left)),
            );
            format!(
                "Collection via WeChat Pay,{time},`{theirs},`{number},{credit},-,{balance},{amount},1,{fee},-,-,-,-,-,-,-,WECHATPAYCN\n"
            )
        }
    }
}
