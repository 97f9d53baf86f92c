//! From what was observed to what it means, by the outcome tables. Pure.
//!
//! The invariant: nothing becomes `Done` without a receipt and, for an effect, our own order number
//! and amount in the reply; nothing becomes `NotProcessed` unless nothing was sent or a row says
//! so; everything else is `Unknown`.

use std::time::Duration;

use serde_json::{Map, Value};

use payrun_domain::answer::{
    Answer, Cause, Decline, DeclineClass, LaneEffect, NumberRule, Receipt,
};
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::Amount;
use payrun_domain::own_code::OwnCode;
use payrun_domain::subscription::ContractSignal;
use payrun_gateway::{Delivery, Observation};

use super::{HttpMatch, OutcomeMeaning, OutcomeRow, Prerequisite};

/// How a row asks for a reply without a code.
const NO_CODE: &str = "none";

/// The code where there was no connection.
const UNREACHABLE: &str = "unreachable";

/// The receipt where there is nothing to be had.
pub const NOTHING: &str = "nothing";

/// What an observation means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What became of the order.
    pub answer: Answer,
    /// What it does to the lane.
    pub lane: LaneEffect,
    /// Whether the kind's `explain` operation is worth calling.
    pub explain: bool,
    /// What a decline says of the contract.
    pub contract: Option<ContractSignal>,
    /// What a person may do about a decline.
    pub advice: Option<String>,
    /// What keeps an item open that the gateway has accepted, where that is not the gateway's decision.
    pub held_by: Option<&'static str>,
    /// What the gateway says of it in words.
    pub message: Option<String>,
    /// Whether the request as such is at fault, so that the job's other items will be refused too.
    pub request_fault: bool,
    /// The gateway's code, its state, or the HTTP status; empty where nothing was replied.
    pub code: String,
    /// Whether it says that the order number exists already.
    pub exists: bool,
    /// Whether a row was found; if not, someone should hear of the code.
    pub listed: bool,
    /// Where the row's meaning is only assumed: what it rests on.
    pub assumed: Option<String>,
}

/// What a reply is held against.
#[derive(Debug, Clone, Default)]
pub struct ExpectedReply {
    /// The number it must name; none only where an order is looked up by another number than ours.
    pub order_no: Option<OrderNumber>,
    /// The amount it must name.
    pub amount: Option<Amount>,
    /// Whether it may name none; another it may not name.
    pub amount_may_lack: bool,
    /// The item's fields, where a row of the table asks for one.
    pub input: Map<String, Value>,
    /// Whether payrun knows of a refund of the payment, or cannot tell.
    pub refunded: bool,
    /// Whether the gateway has accepted the order before.
    pub accepted: bool,
    /// Whether a submission was answered that the number exists already.
    pub exists: bool,
    /// How long the day has been over that is asked about, where one is.
    pub day_over: Option<Duration>,
    /// Whether the gateway has no number of its own for it: then the one it is named by is the
    /// receipt.
    pub named: bool,
}

/// Judges an observation.
///
/// `outcomes` is the table of the operation that was called; `is_query` tells whether that was the
/// query of an effect.
///
/// ```
/// use payrun_project::job_kinds::judge::{ExpectedReply, judge};
/// use payrun_domain::answer::{Answer, Cause};
/// use payrun_domain::ids::OrderNumber;
/// use payrun_gateway::{Observation, Delivery};
///
/// let ours = OrderNumber::parse("1217752501201407033233368018").unwrap();
/// let expected = ExpectedReply { order_no: Some(ours), ..ExpectedReply::default() };
/// let judged = judge(&[], false, true, &Observation::of(Delivery::TimedOut), &expected);
/// assert_eq!(judged.answer, Answer::Unknown { cause: Cause::TimedOut, code: String::new() });
/// ```
pub fn judge(
    outcomes: &[OutcomeRow],
    is_query: bool,
    effect: bool,
    seen: &Observation,
    expected: &ExpectedReply,
) -> Judgement {
    let unknown = |cause| {
        Judgement::plain(Answer::Unknown {
            cause,
            code: String::new(),
        })
    };
    let judged = match &seen.delivery {
        Delivery::Refused(_) => refused(is_query && effect, seen),
        Delivery::NotSent(_) | Delivery::Unreachable(..) | Delivery::Unsendable(_)
            if is_query && effect =>
        {
            unknown(Cause::NotAsked)
        }
        Delivery::Unsendable(_) => Judgement::plain(unsendable()),
        Delivery::NotSent(_) => Judgement::plain(not_sent()),
        Delivery::Unreachable(..) => Judgement::plain(Answer::NotProcessed {
            code: UNREACHABLE.to_owned(),
            after: None,
        }),
        Delivery::TimedOut => unknown(Cause::TimedOut),
        Delivery::Lost(_) => unknown(Cause::ConnectionLost),
        Delivery::Unreadable(_) => unknown(Cause::Unreadable),
        Delivery::Unverified(_) | Delivery::NoKeys(_) => unverified(outcomes, seen),
        Delivery::Replied => replied(outcomes, seen, expected, effect, is_query),
    };
    #[cfg(feature = "mutation")]
    let judged = crate::mutation::judged(judged, seen);
    let judged = Judgement {
        message: seen.message.clone(),
        ..judged
    };
    if effect {
        judged
    } else {
        repeatable(judged, seen)
    }
}

impl Judgement {
    pub(crate) const fn plain(answer: Answer) -> Self {
        Self {
            answer,
            lane: LaneEffect::None,
            explain: false,
            contract: None,
            advice: None,
            held_by: None,
            message: None,
            request_fault: false,
            exists: false,
            code: String::new(),
            listed: true,
            assumed: None,
        }
    }
}

/// The gateway refuses us as such: nothing of the order happened, and nothing more is sent until a
/// person has mended it.
fn refused(asks: bool, seen: &Observation) -> Judgement {
    let code = seen
        .code
        .clone()
        .unwrap_or_else(|| "credentials_refused".to_owned());
    let answer = if asks {
        Answer::Unknown {
            cause: Cause::NotAsked,
            code: code.clone(),
        }
    } else {
        Answer::Declined(Decline {
            code: code.clone(),
            class: DeclineClass::Config,
            number: NumberRule::Same,
        })
    };
    Judgement {
        lane: LaneEffect::Stop,
        code,
        ..Judgement::plain(answer)
    }
}

pub(crate) fn not_sent() -> Answer {
    Answer::NotProcessed {
        code: OwnCode::NotSent.to_string(),
        after: None,
    }
}

/// What nobody has signed is believed about nothing, with one exception: that our side is refused,
/// since nothing more is sent because of it. With a wrong key not even that could ever be verified.
fn unverified(outcomes: &[OutcomeRow], seen: &Observation) -> Judgement {
    let refuses =
        |row: &&OutcomeRow| row.lane == LaneEffect::Stop && row.code.is_some() && fits(row, seen);
    let lane = outcomes
        .iter()
        .find(refuses)
        .map_or(LaneEffect::None, |row| row.lane);
    let code = if lane == LaneEffect::None {
        String::new()
    } else {
        code_of(seen)
    };
    Judgement {
        lane,
        ..Judgement::plain(Answer::Unknown {
            cause: Cause::Unverified,
            code,
        })
    }
}

/// It was not sent and cannot be. An earlier attempt may have been, with another configuration.
pub(crate) fn unsendable() -> Answer {
    Answer::Declined(Decline {
        code: OwnCode::Unsendable.to_string(),
        class: DeclineClass::Hard,
        number: NumberRule::Ask,
    })
}

fn replied(
    outcomes: &[OutcomeRow],
    seen: &Observation,
    ours: &ExpectedReply,
    effect: bool,
    is_query: bool,
) -> Judgement {
    let Some(row) = outcomes
        .iter()
        .find(|row| fits(row, seen) && counts(row, ours))
    else {
        // Whatever else it says, HTTP's 202 says that the order was taken and is not decided (RFC
        // 9110, 15.3.3).
        if seen.http == Some(202) && effect && !is_query && !names_another(seen, ours) {
            return Judgement {
                code: code_of(seen),
                ..Judgement::plain(Answer::Accepted)
            };
        }
        let answer = Answer::Unknown {
            cause: Cause::Unmapped,
            code: code_of(seen),
        };
        let lane = if refuses_us(seen) {
            LaneEffect::Stop
        } else {
            LaneEffect::None
        };
        return Judgement {
            lane,
            listed: false,
            code: code_of(seen),
            ..Judgement::plain(answer)
        };
    };
    // The fact that decided says more than the state it came with.
    let code = row
        .fact
        .as_ref()
        .map_or_else(|| code_of(seen), |(name, value)| format!("{name} {value}"));
    let said = code.clone();
    let answer = match row.meaning {
        OutcomeMeaning::Done => done(seen, ours, effect),
        OutcomeMeaning::Nothing => Answer::Done(Receipt(NOTHING.to_owned())),
        // A reply about another order says nothing about ours, whatever it says.
        _ if names_another(seen, ours) => Answer::Unknown {
            cause: Cause::Mismatch,
            code,
        },
        OutcomeMeaning::Accepted => Answer::Accepted,
        OutcomeMeaning::Declined(class, number) => Answer::Declined(Decline {
            code,
            class,
            number,
        }),
        OutcomeMeaning::NotProcessed => Answer::NotProcessed {
            code,
            after: after(seen).max(row.wait.map(millis)),
        },
        OutcomeMeaning::Absent => Answer::Absent,
        OutcomeMeaning::Unknown(cause) => Answer::Unknown { cause, code },
    };
    let answer = if effect {
        doubted(answer, seen)
    } else {
        answer
    };
    let declined = matches!(answer, Answer::Declined(_));
    let contract = row
        .contract
        .filter(|_| declined || matches!(answer, Answer::Done(_)));
    Judgement {
        answer,
        lane: row.lane,
        explain: row.explain && declined,
        contract,
        held_by: None,
        advice: row.advice.clone().filter(|_| declined),
        message: None,
        request_fault: row.request_fault && declined,
        code: said,
        exists: row.exists,
        listed: true,
        assumed: row.is_assumed().then(|| row.source.clone()),
    }
}

/// Whether HTTP itself says that we are refused, and not the order (RFC 9110, 15.5.2 and 15.5.4): a
/// 401, or a 403 that gives no reason of the gateway's own. What became of the order it does not
/// say.
fn refuses_us(seen: &Observation) -> bool {
    seen.http == Some(401) || (seen.http == Some(403) && seen.code.is_none())
}

/// A refusal that nobody has signed where refusals are signed is asked about before it is believed.
/// What is wrong on our side is believed: nothing more is sent because of it.
fn doubted(answer: Answer, seen: &Observation) -> Answer {
    let unsigned = seen.result.get("unsigned") == Some(&Value::Bool(true));
    match answer {
        Answer::Declined(decline) if unsigned && !matches!(decline.class, DeclineClass::Config) => {
            Answer::Unknown {
                cause: Cause::Ambiguous,
                code: decline.code,
            }
        }
        Answer::Done(_)
        | Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent
        | Answer::Unknown { .. } => answer,
    }
}

/// Done, if the reply proves that it speaks of our order.
fn done(seen: &Observation, ours: &ExpectedReply, effect: bool) -> Answer {
    let mismatch = || Answer::Unknown {
        cause: Cause::Mismatch,
        code: String::new(),
    };
    let amount_fits = match (&seen.amount, ours.amount) {
        (_, None) => true,
        (Some(Ok(seen)), Some(ours)) => *seen == ours,
        (Some(Err(_)), Some(_)) => false,
        // A lookup finds orders that were never paid and name no amount.
        (None, Some(_)) => !effect || ours.amount_may_lack,
    };
    let order_fits = ours
        .order_no
        .as_ref()
        .is_none_or(|ours| seen.order_no.as_deref() == Some(ours.as_str()));
    if !amount_fits || !order_fits {
        return mismatch();
    }
    let fallback = if effect && !ours.named {
        None
    } else {
        seen.order_no.as_ref()
    };
    let receipt = seen.receipt.as_ref().or(fallback);
    receipt
        .and_then(|text| Receipt::named(text))
        .map_or_else(mismatch, Answer::Done)
}

fn names_another(seen: &Observation, ours: &ExpectedReply) -> bool {
    match (&seen.order_no, &ours.order_no) {
        (Some(seen), Some(ours)) => seen != ours.as_str(),
        (Some(_) | None, _) => false,
    }
}

/// A lookup changes nothing: what is unknown may be asked again, and another order or amount is a
/// refusal.
fn repeatable(judged: Judgement, seen: &Observation) -> Judgement {
    let answer = match judged.answer {
        Answer::Unknown {
            cause: Cause::Mismatch,
            ..
        } => Answer::Declined(Decline {
            code: Cause::Mismatch.as_str().to_owned(),
            class: DeclineClass::Hard,
            number: NumberRule::Same,
        }),
        Answer::Unknown { cause, code } => {
            let code = if code.is_empty() {
                cause.as_str().to_owned()
            } else {
                code
            };
            Answer::NotProcessed {
                code,
                after: after(seen),
            }
        }
        known @ (Answer::Done(_)
        | Answer::Accepted
        | Answer::Declined(_)
        | Answer::NotProcessed { .. }
        | Answer::Absent) => known,
    };
    Judgement { answer, ..judged }
}

/// Whether a row counts for this order at this time.
fn counts(row: &OutcomeRow, ours: &ExpectedReply) -> bool {
    let day = row
        .day_over_for
        .is_none_or(|wanted| ours.day_over.is_some_and(|over| over >= wanted));
    let after = match row.after {
        None => true,
        Some(Prerequisite::Accepted) => ours.accepted,
        Some(Prerequisite::Exists) => ours.exists,
    };
    let when = row
        .when
        .as_ref()
        .is_none_or(|(field, value)| ours.input.get(field).and_then(Value::as_str) == Some(value));
    day && after && when && !(row.unless_refunded && ours.refunded)
}

fn fits(row: &OutcomeRow, seen: &Observation) -> bool {
    let http = match (row.http, seen.http) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(HttpMatch::Status(status)), Some(http)) => http == status,
        (Some(HttpMatch::Class(class)), Some(http)) => http / 100 == class,
    };
    let same = |row: &Option<String>, seen: &Option<String>| row.is_none() || row == seen;
    let code = same(&row.code, &seen.code)
        || (row.code.as_deref() == Some(NO_CODE) && seen.code.is_none());
    let fact = row.fact.as_ref().is_none_or(|(name, value)| {
        seen.result.get(name).and_then(Value::as_str) == Some(value.as_str())
    });
    http && fact && code && same(&row.state, &seen.state)
}

/// The gateway's code; lacking one the order's state; lacking that the HTTP status.
fn code_of(seen: &Observation) -> String {
    let status = || seen.http.map(|status| format!("HTTP_{status}"));
    let code = seen
        .code
        .clone()
        .or_else(|| seen.state.clone())
        .or_else(status)
        .unwrap_or_default();
    code.chars().take(64).collect()
}

fn after(seen: &Observation) -> Option<u64> {
    seen.retry_after.map(millis)
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod rows;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_kinds::JobKinds;
    use payrun_domain::money::Currency;

    fn hkd(minor: i64) -> Amount {
        Amount::from_minor(minor, Currency::parse("HKD").unwrap()).unwrap()
    }

    fn ours() -> OrderNumber {
        OrderNumber::parse("ours-1").unwrap()
    }

    fn replied(http: u16, code: &str, state: &str) -> Observation {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let mut seen = Observation::of(Delivery::Replied);
        seen.http = Some(http);
        seen.code = text(code);
        seen.state = text(state);
        if !state.is_empty() {
            seen.order_no = Some("ours-1".to_owned());
            seen.receipt = Some("R1".to_owned());
            seen.amount = Some(Ok(hkd(100)));
        }
        seen
    }

    fn judged(kind: &str, is_query: bool, seen: &Observation) -> Judgement {
        let kind = JobKinds::built_in().by_name[kind].clone();
        let operations = &kind.gateways["wechat"];
        let table = if is_query {
            &operations.query_outcomes
        } else {
            &operations.submit_outcomes
        };
        {
            let expected = ExpectedReply {
                order_no: Some(ours()),
                amount: Some(hkd(100)),
                ..ExpectedReply::default()
            };
            judge(table, is_query, kind.effect, seen, &expected)
        }
    }

    fn shown(kind: &str, is_query: bool, seen: &Observation) -> String {
        let judged = judged(kind, is_query, seen);
        let mut text = match &judged.answer {
            Answer::Declined(decline) => {
                format!("declined {:?} {:?}", decline.class, decline.number).to_lowercase()
            }
            Answer::Unknown { cause, .. } => format!("unknown {}", cause.as_str()),
            Answer::Done(_) | Answer::Accepted | Answer::NotProcessed { .. } | Answer::Absent => {
                judged.answer.as_str().to_owned()
            }
        };
        if judged.lane == LaneEffect::Stop {
            text.push_str(" stop");
        }
        if judged.explain {
            text.push_str(" explain");
        }
        text
    }

    #[test]
    fn a_deductions_replies_mean_what_the_table_says() {
        // http code state | submit | query
        let table = "
            200 - SUCCESS                | done                        | done
            200 - REFUND                 | done                        | done
            200 - USERPAYING             | accepted                    | accepted
            200 - NOTPAY                 | unknown ambiguous           | absent
            200 - CLOSED                 | declined soft ask           | declined soft next
            200 - PAYERROR               | declined soft ask           | declined soft next
            200 - NEWSTATE               | unknown unmapped            | unknown unmapped
            202 - -                      | accepted                    | unknown unmapped
            202 USERPAYING -             | accepted                    | unknown unmapped
            400 PARAM_ERROR -            | declined hard ask           | unknown not_asked
            400 INVALID_REQUEST -        | declined hard ask           | unknown not_asked
            401 SIGN_ERROR -             | declined config same stop   | unknown not_asked stop
            403 NO_AUTH -                | declined config same stop   | unknown not_asked stop
            403 NOT_ENOUGH -             | declined soft ask           | unknown unmapped
            403 RULE_LIMIT -             | declined soft ask           | unknown unmapped
            403 CONTRACT_NOT_EXIST -     | declined hard ask explain   | unknown unmapped
            403 USER_ACCOUNT_ABNORMAL -  | declined hard ask explain   | unknown unmapped
            403 BANK_ERROR -             | unknown ambiguous           | unknown unmapped
            403 ORDERPAID -              | unknown ambiguous           | unknown unmapped
            403 OUT_TRADE_NO_USED -      | unknown ambiguous           | unknown unmapped
            403 ORDER_CLOSED -           | declined spent ask          | unknown unmapped
            404 ORDER_NOT_EXIST -        | unknown unmapped            | absent
            404 - -                      | unknown unmapped            | unknown unmapped
            429 FREQUENCY_LIMITED -      | not_processed               | unknown not_asked
            429 - -                      | unknown unmapped            | unknown unmapped
            500 SYSTEM_ERROR -           | unknown gateway_failed      | unknown gateway_failed
            503 SERVICE_UNAVAILABLE -    | unknown gateway_failed      | unknown gateway_failed
            504 - -                      | unknown gateway_failed      | unknown gateway_failed
            500 RULE_LIMIT -             | unknown gateway_failed      | unknown gateway_failed";
        for line in table.lines().filter(|line| !line.trim().is_empty()) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let given: Vec<&str> = cells[0]
                .split_whitespace()
                .map(|word| word.trim_matches('-'))
                .collect();
            let seen = replied(given[0].parse().unwrap(), given[1], given[2]);
            assert_eq!(shown("deduct", false, &seen), cells[1], "{line}");
            assert_eq!(shown("deduct", true, &seen), cells[2], "{line}");
        }
    }

    #[test]
    fn every_documented_code_has_a_row() {
        // docs/gateways/wechat.md, "Error codes": those of every call, then those of a deduction.
        let generic = [
            "PARAM_ERROR",
            "INVALID_REQUEST",
            "SIGN_ERROR",
            "NO_AUTH",
            "ORDER_NOT_EXIST",
            "ORDERNOTEXIST",
            "RESOURCE_NOT_EXISTS",
            "RATE_LIMITED",
            "RATELIMIT_EXCEEDED",
            "FREQUENCY_LIMITED",
            "FREQUENCY_LIMIT_EXCEED",
            "SYSTEM_ERROR",
            "SYSTEMERROR",
            "SERVICE_UNAVAILABLE",
        ];
        let business = [
            "NOT_ENOUGH",
            "ORDERPAID",
            "ORDER_CLOSED",
            "OUT_TRADE_NO_USED",
            "CONTRACT_NOT_EXIST",
            "RULE_LIMIT",
            "USER_ACCOUNT_ABNORMAL",
            "BANK_ERROR",
        ];
        let states = [
            "SUCCESS",
            "REFUND",
            "NOTPAY",
            "USERPAYING",
            "CLOSED",
            "REVOKED",
            "PAYERROR",
        ];
        let job_kinds = JobKinds::built_in();
        let lists = |table: &[OutcomeRow], names: &[&str]| {
            for name in names {
                let has = |row: &OutcomeRow| {
                    row.code.as_deref() == Some(name) || row.state.as_deref() == Some(name)
                };
                assert!(table.iter().any(has), "{name} has no row");
            }
        };
        let deduct = &job_kinds.by_name["deduct"].gateways["wechat"];
        lists(
            &deduct.submit_outcomes,
            &[&generic[..], &business, &states].concat(),
        );
        lists(&deduct.query_outcomes, &[&generic[..], &states].concat());
        lists(
            &job_kinds.by_name["query"].gateways["wechat"].submit_outcomes,
            &[&generic[..], &states].concat(),
        );
    }

    #[test]
    fn what_was_sent_without_a_proper_reply_is_unknown() {
        let of = |delivery| shown("deduct", false, &Observation::of(delivery));
        assert_eq!(of(Delivery::NotSent(String::new())), "not_processed");
        assert_eq!(of(Delivery::Unsendable(String::new())), "declined hard ask");
        assert_eq!(of(Delivery::TimedOut), "unknown timed_out");
        assert_eq!(of(Delivery::Lost(String::new())), "unknown connection_lost");
        assert_eq!(
            of(Delivery::Unreadable(String::new())),
            "unknown unreadable"
        );
        assert_eq!(
            of(Delivery::Unverified(String::new())),
            "unknown unverified"
        );
        assert_eq!(
            shown(
                "deduct",
                true,
                &Observation::of(Delivery::NotSent(String::new()))
            ),
            "unknown not_asked"
        );
    }

    #[test]
    fn a_success_that_does_not_prove_itself_is_a_mismatch() {
        let spoil: [fn(&mut Observation); 9] = [
            |seen| seen.receipt = None,
            |seen| seen.receipt = Some(String::new()),
            |seen| seen.receipt = Some("4".repeat(129)),
            |seen| seen.receipt = Some("4\u{202e}2".to_owned()),
            |seen| seen.order_no = Some("other".to_owned()),
            |seen| seen.order_no = None,
            |seen| seen.amount = Some(Ok(hkd(101))),
            |seen| seen.amount = Some(Err("x".to_owned())),
            |seen| seen.amount = None,
        ];
        for (index, spoil) in spoil.iter().enumerate() {
            let mut seen = replied(200, "", "SUCCESS");
            spoil(&mut seen);
            assert_eq!(shown("deduct", false, &seen), "unknown mismatch", "{index}");
            assert_eq!(shown("deduct", true, &seen), "unknown mismatch", "{index}");
        }
        let mut seen = replied(200, "", "CLOSED");
        seen.order_no = Some("other".to_owned());
        assert_eq!(shown("deduct", true, &seen), "unknown mismatch");
    }

    #[test]
    fn the_wait_a_gateway_asks_for_is_kept() {
        let mut seen = replied(429, "RATE_LIMITED", "");
        seen.retry_after = Some(Duration::from_secs(2));
        let expected = Answer::NotProcessed {
            code: "RATE_LIMITED".to_owned(),
            after: Some(2_000),
        };
        assert_eq!(judged("deduct", false, &seen).answer, expected);
    }

    #[test]
    fn a_look_up_is_repeated_until_it_says_something() {
        assert_eq!(shown("query", false, &replied(200, "", "NOTPAY")), "done");
        assert_eq!(
            shown("query", false, &replied(404, "ORDER_NOT_EXIST", "")),
            "declined hard same"
        );
        for delivery in [
            Delivery::TimedOut,
            Delivery::Lost(String::new()),
            Delivery::Unverified(String::new()),
        ] {
            assert_eq!(
                shown("query", false, &Observation::of(delivery)),
                "not_processed"
            );
        }
        assert_eq!(
            shown("query", false, &replied(418, "TEAPOT", "")),
            "not_processed"
        );
        assert!(!judged("query", false, &replied(418, "TEAPOT", "")).listed);
        let mut other = replied(200, "", "SUCCESS");
        other.amount = Some(Ok(hkd(1)));
        assert_eq!(shown("query", false, &other), "declined hard same");
    }

    #[test]
    fn an_order_looked_up_by_the_gateways_number_need_not_have_ours() {
        let kind = JobKinds::built_in().by_name["query"].clone();
        let mut seen = replied(200, "", "SUCCESS");
        seen.order_no = Some("theirs".to_owned());
        let judged = judge(
            &kind.gateways["wechat"].submit_outcomes,
            false,
            false,
            &seen,
            &ExpectedReply::default(),
        );
        assert_eq!(judged.answer, Answer::Done(Receipt("R1".to_owned())));
    }
}
