//! All refunds of a payment (docs/gateways/wechat.md, "Refunds"). They come in pages; a list of
//! which a page is missing is not given out.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::client::WechatClient;
use super::merchant_ids::MerchantIdFields;
use super::refunds::{Payment, Refund, of};
use super::request::{PreparedWechat, ReplyKind};
use super::wire::read_amount;
use crate::exchange::{EVIDENCE_MAX, before, bounded, percent_encode, unreadable};
use crate::wechat::account::WechatMode;
use crate::{Call, Delivery, Observation};

/// How many refunds a page has at most.
const PAGE: usize = 20;
/// How many refunds a payment has at most.
const REFUNDS_MAX: usize = 50;

/// `GET /v3/global/refunds?…`: a page of the refunds of a payment.
pub(super) fn page(
    call: &Call,
    mode: &WechatMode,
    offset: usize,
) -> Result<PreparedWechat, String> {
    let of = of(call)?;
    let name = match &of {
        Payment::Theirs(id) => format!("transaction_id={}", percent_encode(id)),
        Payment::Ours(number) => format!("out_trade_no={}", percent_encode(number)),
    };
    let pairs = [name, format!("offset={offset}"), format!("count={PAGE}")];
    let target = MerchantIdFields::of_merchants(mode).on("/v3/global/refunds", &pairs);
    Ok(PreparedWechat::get(target, ReplyKind::RefundList(of)))
}

/// Whether a query is of a payment's refunds.
pub(super) fn is_asked_for(call: &Call) -> bool {
    call.input.get("way").and_then(Value::as_str) == Some("refunds")
}

/// A page of the refunds of a payment.
#[derive(Debug, Deserialize)]
struct RefundPage {
    id: Option<String>,
    out_trade_no: Option<String>,
    amount: Option<Value>,
    data: Vec<Refund>,
    total_num: usize,
}

/// Reads a page: one record for each refund, the payment's numbers, and how many refunds there are
/// in all.
pub(super) fn read_page(body: &[u8], of: &Payment, seen: &mut Observation) -> Result<(), String> {
    let list: RefundPage = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let fits = match of {
        Payment::Theirs(id) => list.id.as_ref().is_none_or(|said| said == id),
        Payment::Ours(number) => list.out_trade_no.as_ref().is_none_or(|said| said == number),
    };
    if !fits {
        return Err("the reply speaks of another payment".into());
    }
    let currency = list
        .amount
        .as_ref()
        .and_then(|amount| amount.get("currency"));
    seen.records = list
        .data
        .iter()
        .map(|refund| refund.record(currency))
        .collect::<Result<_, _>>()?;
    let total = list
        .amount
        .as_ref()
        .filter(|amount| amount.get("total").is_some());
    seen.amount = total.map(|amount| read_amount(amount, "total"));
    seen.receipt = list.id;
    seen.order_no = list.out_trade_no;
    seen.result.insert(TOTAL.into(), list.total_num.into());
    Ok(())
}

/// How many refunds the gateway says there are.
const TOTAL: &str = "total_num";

impl WechatClient {
    /// All refunds of a payment: page after page, within the time of one call. Anything but a whole
    /// list is what the page that failed was.
    pub(super) async fn all_refunds(&self, call: &Call) -> Observation {
        let deadline = tokio::time::sleep(call.timeout);
        tokio::pin!(deadline);
        before(deadline, self.pages(call))
            .await
            .unwrap_or_else(|| Observation::of(Delivery::TimedOut))
    }

    async fn pages(&self, call: &Call) -> Observation {
        let mut whole: Option<Observation> = None;
        loop {
            let offset = whole.as_ref().map_or(0, |whole| whole.records.len());
            let request = match page(call, &self.mode, offset) {
                Ok(request) => request,
                Err(why) => return Observation::of(Delivery::Unsendable(why)),
            };
            let seen = self.exchange(request, call.timeout).await;
            if seen.delivery != Delivery::Replied || !seen.result.contains_key(TOTAL) {
                return seen;
            }
            let last = seen.records.is_empty();
            let seen = match whole.take() {
                None => seen,
                Some(earlier) => joined(earlier, seen),
            };
            let total = seen
                .result
                .get(TOTAL)
                .and_then(Value::as_u64)
                .and_then(|total| usize::try_from(total).ok());
            match (total, seen.records.len()) {
                (Some(total), have) if have == total && distinct(&seen.records) => {
                    return whole_list(seen);
                }
                (Some(total), have) if have < total && total <= REFUNDS_MAX && !last => {
                    whole = Some(seen)
                }
                (Some(_) | None, _) => {
                    let why =
                        Delivery::Unreadable("the pages of the list do not fit together".into());
                    return Observation {
                        delivery: why,
                        records: Vec::new(),
                        ..seen
                    };
                }
            }
        }
    }
}

/// A list of which nothing is missing.
fn whole_list(mut seen: Observation) -> Observation {
    seen.state = Some("LISTED".into());
    seen.result.insert(
        "refunds".into(),
        seen.records.iter().cloned().map(Value::Object).collect(),
    );
    seen
}

/// Two pages as one.
fn joined(before: Observation, after: Observation) -> Observation {
    let evidence = bounded(
        format!("{}\n{}", before.evidence, after.evidence),
        EVIDENCE_MAX,
    );
    let mut records = before.records;
    records.extend(after.records);
    Observation {
        evidence,
        records,
        ..after
    }
}

/// Whether no refund is there twice, as one would be if the list changed between two pages.
fn distinct(records: &[Map<String, Value>]) -> bool {
    let numbers: HashSet<_> = records
        .iter()
        .filter_map(|record| record.get("out_refund_no").and_then(Value::as_str))
        .collect();
    numbers.len() == records.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::wechat::request::samples::{call, institutional, prepare};

    #[test]
    fn the_documented_list_is_asked_for_as_documented() {
        let ids = "sp_mchid=1900000002&sub_mchid=10000097";
        let list = prepare(
            &call("refunds", json!({ "out_trade_no": "YX202111100020" })),
            &institutional(),
        )
        .unwrap();
        assert_eq!(
            list.target,
            format!("/v3/global/refunds?out_trade_no=YX202111100020&offset=0&count=20&{ids}")
        );
    }

    #[test]
    fn a_list_gives_a_record_for_each_refund_and_is_of_the_payment_asked_for() {
        let text = r#"{"id":"42","out_trade_no":"A","amount":{"total":900,"currency":"HKD"},"total_num":2,"current_total_num":2,
            "data":[{"id":"51","out_refund_no":"R-1","status":"SUCCESS","amount":{"refund":100,"currency":"HKD"}},
                    {"id":"52","out_refund_no":"R-2","status":"PROCESSING","amount":{"refund":50}}]}"#;
        let read = |text: &str, of: Payment| {
            let mut seen = Observation::of(Delivery::Replied);
            read_page(text.as_bytes(), &of, &mut seen).map(|()| seen)
        };
        let seen = read(text, Payment::Ours("A".into())).unwrap();
        let rows: Vec<Value> = seen.records.into_iter().map(Value::Object).collect();
        let row = |number, id, status, refund| json!({ "out_refund_no": number, "id": id, "status": status, "refund": refund, "currency": "HKD" });
        assert_eq!(
            rows,
            [
                row("R-1", "51", "SUCCESS", 100),
                row("R-2", "52", "PROCESSING", 50)
            ]
        );
        assert!(
            read(text, Payment::Theirs("43".into()))
                .unwrap_err()
                .contains("another payment")
        );
        assert!(
            read(
                &text.replace("\"total_num\":2,", ""),
                Payment::Ours("A".into())
            )
            .is_err()
        );
    }
}
