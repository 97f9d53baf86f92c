//! Settlement batches of a window (docs/gateways/wechat.md, "Settlements"): all pages of what is
//! settled and of what is not, as one observation.
//!
//! What is not settled is asked for first, so that a batch that is settled in between is seen twice
//! and not missed; it counts as settled then. Nothing is reported of a list that could not be read
//! to its end. How many batches there are is said on the first page only.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::client::WechatClient;
use super::request::{PreparedWechat, ReplyKind};
use crate::exchange::{EVIDENCE_MAX, bounded, percent_encode, unreadable};
use crate::wechat::account::WechatMode;
use crate::{Call, Delivery, Observation, statement_file};

/// How many batches a page has; the gateway advises at most ten.
const LIMIT: usize = 10;
/// How many pages are read of each state.
const PAGES_MAX: usize = 100;
/// The fact of the first page that says how many batches there are on all.
const TOTAL: &str = "total_count";
/// The fact of every page that says how many it has.
const COUNT: &str = "count";

/// A page that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SettlementPage {
    state: SettlementState,
    offset: usize,
}

/// Which batches are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SettlementState {
    Settled,
    Unsettle,
}

impl SettlementState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "SETTLED",
            Self::Unsettle => "UNSETTLE",
        }
    }
}

impl WechatClient {
    /// All batches settled from `from` to `to`, and all that are not settled yet, whenever they
    /// were traded.
    ///
    /// `records` has a map a batch: `batch_id`, `settle_state`, `settlement_date`,
    /// `trade_start_date`, `trade_end_date`, `wallet_region`, `currency`, and `settled`,
    /// `unsettle`, `pay`, `refund`, `net`, `fee` as whole numbers. The gateway's page says
    /// "integer" and no unit; minor units are its rule everywhere else \[A,
    /// docs/gateways/wechat.md, "Amounts"\].
    ///
    /// `state` is `UNSETTLE` as long as a batch of the window's trades is not settled, else
    /// `SETTLED`, also where there is none; then the receipt is a SHA-256 over the batches by their
    /// ids.
    pub(super) async fn settlements(&self, call: &Call) -> Observation {
        let window = match window(call) {
            Ok(window) => window,
            Err(why) => return Observation::of(Delivery::Unsendable(why)),
        };
        let until = tokio::time::Instant::now() + call.timeout;
        let unsettled = self.list(SettlementState::Unsettle, &window, until).await;
        if !is_list(&unsettled) {
            return unsettled;
        }
        let settled = self.list(SettlementState::Settled, &window, until).await;
        if is_list(&settled) {
            put_together(unsettled, settled, &days_of(call))
        } else {
            settled
        }
    }

    /// All pages of one state; an observation without [`TOTAL`] is what came instead of one of
    /// them.
    async fn list(&self, state: SettlementState, window: &str, until: Instant) -> Observation {
        let mut whole = Observation::of(Delivery::Replied);
        for _ in 0..PAGES_MAX {
            let page = SettlementPage {
                state,
                offset: whole.records.len(),
            };
            let request = self.page(page, window);
            let seen = self
                .exchange(
                    request,
                    until.saturating_duration_since(tokio::time::Instant::now()),
                )
                .await;
            if page.offset == 0 && says_nothing_is_there(&seen) {
                return Observation {
                    result: total(0),
                    ..seen
                };
            }
            if seen.delivery != Delivery::Replied || !seen.result.contains_key(COUNT) {
                return seen;
            }
            let last = seen.records.len() < LIMIT;
            whole = joined(whole, seen);
            let count = whole.records.len();
            if whole.result == total(count) && distinct(&whole.records) == count {
                return whole;
            }
            if last {
                break;
            }
        }
        let why =
            "the pages of the list do not fit together, or are more than 100: ask for fewer days"
                .into();
        Observation {
            http: whole.http,
            evidence: whole.evidence,
            ..Observation::of(Delivery::Unreadable(why))
        }
    }

    fn page(&self, page: SettlementPage, window: &str) -> PreparedWechat {
        let sub_mchid = match &self.mode {
            WechatMode::Institutional { sub_mchid, .. } if self.settlements_by_sub_merchant => {
                format!("sub_mchid={}&", percent_encode(sub_mchid))
            }
            WechatMode::Institutional { .. } | WechatMode::Common { .. } => String::new(),
        };
        let window = match page.state {
            SettlementState::Settled => window,
            SettlementState::Unsettle => "",
        };
        let (state, offset) = (page.state.as_str(), page.offset);
        PreparedWechat {
            method: Method::GET,
            target: format!(
                "/v3/global/settle/settlements?{sub_mchid}settle_state={state}{window}&offset={offset}&limit={LIMIT}"
            ),
            body: Bytes::new(),
            reply: ReplyKind::Settlements(page),
        }
    }
}

/// What the gateway says when there is nothing is not known, since its list of errors is cut off
/// \[C\]; a verified 404 to a list can mean nothing else.
fn says_nothing_is_there(seen: &Observation) -> bool {
    seen.delivery == Delivery::Replied
        && seen.http == Some(StatusCode::NOT_FOUND.as_u16())
        && !seen.result.contains_key("unsigned")
}

fn is_list(seen: &Observation) -> bool {
    seen.delivery == Delivery::Replied && seen.result.contains_key(TOTAL)
}

fn total(count: usize) -> Map<String, Value> {
    Map::from_iter([(TOTAL.to_owned(), count.into())])
}

/// The part of the query that names the window.
fn window(call: &Call) -> Result<String, String> {
    let (from, to) = (
        statement_file::day(call, "from")?,
        statement_file::day(call, "to")?,
    );
    if to < from {
        return Err("`to` is before `from`".into());
    }
    Ok(format!(
        "&settle_start_date={}&settle_end_date={}",
        statement_file::compact(from),
        statement_file::compact(to)
    ))
}

/// The first and the last day of the window, as batches write days.
fn days_of(call: &Call) -> (String, String) {
    let day = |field| {
        statement_file::day(call, field)
            .map(statement_file::compact)
            .unwrap_or_default()
    };
    (day("from"), day("to"))
}

/// Whether a batch has trades of the window: the gateway names what is not settled of all days.
fn touches(batch: &Map<String, Value>, (from, to): &(String, String)) -> bool {
    let day = |name: &str| batch.get(name).and_then(Value::as_str).unwrap_or_default();
    day("trade_start_date") <= to.as_str() && day("trade_end_date") >= from.as_str()
}

/// A page as the gateway writes it.
#[derive(Debug, Deserialize)]
struct SettlementReply {
    total_count: Option<usize>,
    offset: Option<usize>,
    #[serde(default)]
    data: Vec<SettlementBatch>,
}

#[derive(Debug, Deserialize)]
struct SettlementBatch {
    batch_id: String,
    settlement_date: String,
    trade_start_date: String,
    trade_end_date: String,
    amount: SettlementSums,
    wallet_region: Option<String>,
}

#[derive(Debug, Deserialize)]
struct SettlementSums {
    settled: i64,
    unsettle: i64,
    currency: String,
    pay: i64,
    refund: i64,
    net: i64,
    fee: i64,
}

impl SettlementBatch {
    fn record(self, state: SettlementState) -> Map<String, Value> {
        let SettlementSums {
            settled,
            unsettle,
            currency,
            pay,
            refund,
            net,
            fee,
        } = self.amount;
        let texts = [
            ("batch_id", Some(self.batch_id)),
            ("settle_state", Some(state.as_str().to_owned())),
            ("settlement_date", Some(self.settlement_date)),
            ("trade_start_date", Some(self.trade_start_date)),
            ("trade_end_date", Some(self.trade_end_date)),
            ("wallet_region", self.wallet_region),
            ("currency", Some(currency)),
        ];
        let sums = [
            ("settled", settled),
            ("unsettle", unsettle),
            ("pay", pay),
            ("refund", refund),
            ("net", net),
            ("fee", fee),
        ];
        let texts = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, Value::from(bounded(text?, 64)))));
        let sums = sums
            .into_iter()
            .map(|(name, minor)| (name, Value::from(minor)));
        texts
            .chain(sums)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// Reads a page: its batches, and how many there are on all pages.
///
/// # Errors
/// In words: it is not of the documented shape, or another page.
pub(super) fn read_page(
    body: &[u8],
    page: &SettlementPage,
    seen: &mut Observation,
) -> Result<(), String> {
    let reply: SettlementReply =
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if reply.offset.is_some_and(|offset| offset != page.offset) || reply.data.len() > LIMIT {
        return Err("the reply is another page".into());
    }
    let count = reply.data.len();
    let said = reply
        .total_count
        .or((page.offset == 0 && count == 0).then_some(0));
    match said.filter(|_| page.offset == 0) {
        Some(all) => seen.result = total(all),
        None if page.offset == 0 => {
            return Err("the first page does not say how many batches there are".into());
        }
        None => {}
    }
    seen.result.insert(COUNT.to_owned(), count.into());
    seen.records = reply
        .data
        .into_iter()
        .map(|batch| batch.record(page.state))
        .collect();
    Ok(())
}

fn distinct(records: &[Map<String, Value>]) -> usize {
    records.iter().map(id).collect::<BTreeSet<_>>().len()
}

fn id(record: &Map<String, Value>) -> String {
    record
        .get("batch_id")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Two replies as one, with the total that the first of them has.
fn joined(before: Observation, after: Observation) -> Observation {
    let evidence = bounded(before.evidence + &after.evidence, EVIDENCE_MAX);
    let said = before
        .result
        .get(TOTAL)
        .or_else(|| after.result.get(TOTAL))
        .cloned();
    let result = said
        .into_iter()
        .map(|all| (TOTAL.to_owned(), all))
        .collect();
    let mut records = before.records;
    records.extend(after.records);
    Observation {
        evidence,
        records,
        result,
        ..after
    }
}

/// One observation of both lists. A batch that is in both was settled in between.
fn put_together(
    unsettled: Observation,
    settled: Observation,
    window: &(String, String),
) -> Observation {
    let seen = joined(unsettled, settled);
    let count = seen.records.len();
    let batches: BTreeMap<_, _> = seen
        .records
        .into_iter()
        .map(|record| (id(&record), record))
        .collect();
    let unsettle = Value::from(SettlementState::Unsettle.as_str());
    let is_open = |batch: &&Map<String, Value>| {
        batch.get("settle_state") == Some(&unsettle) && touches(batch, window)
    };
    let open = batches.values().filter(is_open).count();
    let state = if open == 0 {
        SettlementState::Settled
    } else {
        SettlementState::Unsettle
    };
    let facts = [
        ("batches", batches.len()),
        ("unsettled", open),
        ("settled_meanwhile", count - batches.len()),
    ];
    let records: Vec<_> = batches.into_values().collect();
    Observation {
        http: Some(StatusCode::OK.as_u16()),
        state: Some(state.as_str().into()),
        receipt: (open == 0)
            .then(|| statement_file::sha256(Value::from(records.clone()).to_string().as_bytes())),
        result: facts
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count.into()))
            .collect(),
        records,
        evidence: seen.evidence,
        ..Observation::of(Delivery::Replied)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(state: SettlementState, ids: &[&str]) -> Observation {
        let batch = |id: &&str| {
            json!({
                "batch_id": id, "settlement_date": "20261122", "trade_start_date": "20261121",
                "trade_end_date": "20261121", "wallet_region": "CHINA_HONGKONG",
                "amount": {
                    "settled": 98, "unsettle": 0, "currency": "HKD", "pay": 110, "refund": 10, "net": 100, "fee": 2
                },
            })
        };
        let data: Vec<_> = ids.iter().map(batch).collect();
        let body =
            json!({ "total_count": ids.len(), "offset": 0, "limit": ids.len(), "data": data })
                .to_string();
        let mut seen = Observation::of(Delivery::Replied);
        read_page(
            body.as_bytes(),
            &SettlementPage { state, offset: 0 },
            &mut seen,
        )
        .unwrap();
        seen
    }

    fn window() -> (String, String) {
        ("20261120".into(), "20261121".into())
    }

    #[test]
    fn what_is_not_settled_of_other_days_is_not_waited_for() {
        let later = ("20261110".into(), "20261120".into());
        let seen = put_together(
            list(SettlementState::Unsettle, &["a"]),
            list(SettlementState::Settled, &["b"]),
            &later,
        );
        assert_eq!(
            (seen.state.as_deref(), seen.records.len()),
            (Some("SETTLED"), 2)
        );
    }

    #[test]
    fn a_batch_that_was_settled_between_the_questions_is_settled_once() {
        let seen = put_together(
            list(SettlementState::Unsettle, &["a", "b"]),
            list(SettlementState::Settled, &["c", "a"]),
            &window(),
        );
        let states: Vec<_> = seen
            .records
            .iter()
            .map(|batch| (&batch["batch_id"], &batch["settle_state"]))
            .collect();
        let (a, b, c) = (json!("a"), json!("b"), json!("c"));
        let (settled, open) = (json!("SETTLED"), json!("UNSETTLE"));
        assert_eq!(states, [(&a, &settled), (&b, &open), (&c, &settled)]);
        assert_eq!(
            (seen.state.as_deref(), seen.receipt),
            (Some("UNSETTLE"), None)
        );
        assert_eq!(seen.result["settled_meanwhile"], 1);
    }

    #[test]
    fn the_receipt_does_not_depend_on_the_order_of_the_batches() {
        let receipt = |ids: &[&str]| {
            put_together(
                list(SettlementState::Unsettle, &[]),
                list(SettlementState::Settled, ids),
                &window(),
            )
            .receipt
            .unwrap()
        };
        assert_eq!(receipt(&["a", "b"]), receipt(&["b", "a"]));
        assert_ne!(receipt(&["a", "b"]), receipt(&["a"]));
    }

    #[test]
    fn how_many_batches_there_are_is_taken_from_the_first_page() {
        let read = |offset, body: &str| {
            let mut seen = Observation::of(Delivery::Replied);
            read_page(
                body.as_bytes(),
                &SettlementPage {
                    state: SettlementState::Settled,
                    offset,
                },
                &mut seen,
            )
            .map(|()| seen.result)
        };
        assert_eq!(
            read(0, r#"{"total_count":12,"offset":0,"limit":10,"data":[]}"#).unwrap()[TOTAL],
            12
        );
        assert_eq!(read(0, r#"{"data":[]}"#).unwrap()[TOTAL], 0);
        assert_eq!(
            read(10, r#"{"offset":10,"limit":10,"data":[]}"#)
                .unwrap()
                .get(TOTAL),
            None
        );
        assert_eq!(
            read(10, r#"{"total_count":2,"offset":10,"data":[]}"#)
                .unwrap()
                .get(TOTAL),
            None
        );
        let unsaid = r#"{"offset":0,"data":[{"batch_id":"a","settlement_date":"d","trade_start_date":"d","trade_end_date":"d",
            "amount":{"settled":1,"unsettle":0,"currency":"HKD","pay":1,"refund":0,"net":1,"fee":0}}]}"#;
        assert!(read(0, unsaid).unwrap_err().contains("how many"));
    }

    #[test]
    fn the_window_may_be_one_day() {
        let day = crate::wechat::request::samples::call(
            "settlements",
            json!({ "from": "2026-11-20", "to": "2026-11-20" }),
        );
        assert_eq!(
            super::window(&day).unwrap(),
            "&settle_start_date=20261120&settle_end_date=20261120"
        );
    }

    #[test]
    fn a_reply_that_is_another_page_or_lacks_a_sum_is_not_read() {
        let page = SettlementPage {
            state: SettlementState::Settled,
            offset: 10,
        };
        let read = |body: &[u8]| read_page(body, &page, &mut Observation::of(Delivery::Replied));
        assert!(read(br#"{"total_count":10,"offset":10,"limit":0}"#).is_ok());
        assert!(read(br#"{"total_count":10,"offset":0,"limit":0}"#).is_err());
        assert!(read(br#"{"total_count":11,"offset":10,"limit":1,"data":[{"batch_id":"a","amount":{}}]}"#).is_err());
        assert!(read(b"[]").is_err());
    }
}
