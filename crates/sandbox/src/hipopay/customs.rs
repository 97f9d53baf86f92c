//! HipoPay's customs declarations (the HipoPay document, "WeChat Pay Interface for Customs
//! Declaration" and after).
//!
//! Strict as the rest of this fake. Which errors HipoPay gives is not documented \[C\]: they are
//! WeChat Pay's words, which stands behind it, and `DECLARATION_NOT_FOUND`. `raw_response` echoes
//! the person on purpose, for nobody to keep.

use serde_json::{Value, json};

use super::auth::{HipopayRefusal, Params};
use super::{FakeHipopay, error};
use crate::faults::Fault;
use crate::shared::customs::{
    Declaration, DeclarationBook, DeclarationOutcome, DeclarationResult, DeclaredFees,
    DeclaredTerms, Key, PaidPayment,
};
use crate::shared::fault_flow::FaultReply;
use crate::shared::fault_flow::{Reply, stray_page};
use crate::shared::keys::nonce;
use crate::shared::responder::{json_reply, shown_amount};
use crate::shared::transactions::{TransactionKind, TransactionState};
use crate::wechat::order_book::short_hash;
use crate::{Reaction, Settings};

/// The document's "WeChat Pay Customs Code".
const CUSTOMS: [&str; 13] = [
    "GUANGZHOU_ZS",
    "GUANGZHOU_HP_GJ",
    "GUANGZHOU_NS_GJ",
    "HANGZHOU_ZS",
    "NINGBO",
    "ZHENGZHOU_BS",
    "CHONGQING",
    "XIAN",
    "SHANGHAI_ZS",
    "SHENZHEN",
    "ZHENGZHOU_ZH_ZS",
    "TIANJIN",
    "BEIJING",
];

/// What is said, and under which HTTP status.
struct CustomsReply {
    subject: String,
    http: u16,
    body: Value,
    fault: Option<Fault>,
}

impl FakeHipopay {
    pub(super) async fn take_declaration(&self, params: &Params) -> Reaction {
        self.answer(self.declare(params)).await
    }

    pub(super) async fn take_redeclaration(&self, params: &Params) -> Reaction {
        self.answer(self.redeclare(params)).await
    }

    pub(super) async fn take_declaration_query(&self, params: &Params) -> Reaction {
        self.answer(self.query_declaration(params)).await
    }

    async fn answer(&self, said: Result<CustomsReply, HipopayRefusal>) -> Reaction {
        let CustomsReply {
            subject,
            http,
            body,
            fault,
        } = match said {
            Ok(said) => said,
            Err(refused) => return self.refuse(refused).await,
        };
        let say = |http, body: &Value, forged: bool| {
            if forged {
                Some(stray_page())
            } else {
                json_reply(http, body, &self.responder.clock)
            }
        };
        let broken = error("SYSTEM_ERROR", "system error");
        let busy = error("FREQUENCY_LIMITED", "slow down");
        self.responder
            .respond(Reply {
                subject: &subject,
                http,
                body,
                fault,
                say: &say,
                broken,
                busy,
            })
            .await
    }

    fn declare(&self, params: &Params) -> Result<CustomsReply, HipopayRefusal> {
        let key = Key {
            order: params.number("out_order_no")?,
            sub_order: params.number("sub_order_no")?,
            customs: customs(params, &self.responder.settings)?,
        };
        let terms = terms(params)?;
        let paid = self.paid(&key.order, params.must("payment_no")?);
        let (settings, now) = (&self.responder.settings, self.responder.clock.now());
        let mut book = self.responder.declarations();
        let outcome = match params.get("action_type") {
            None | Some("ADD") => book.declare(&key, terms, paid.as_ref(), settings, now),
            Some("MODIFY") => book.modify(&key, terms, paid.as_ref(), settings, now),
            Some(_) => return Err(HipopayRefusal::new("PARAM_ERROR", "wrong_action_type")),
        };
        drop(book);
        Ok(said(&key, outcome, |entry, fault| {
            with_raw(whole(entry, fault), params)
        }))
    }

    fn redeclare(&self, params: &Params) -> Result<CustomsReply, HipopayRefusal> {
        let number = merchant_customs_no(params)?;
        let mut book = self.responder.declarations();
        let Some(key) = which(&book, params, &self.responder.settings)? else {
            return Ok(not_found());
        };
        let outcome = book.redeclare(
            &key,
            &number,
            &self.responder.settings,
            self.responder.clock.now(),
        );
        drop(book);
        Ok(said(&key, outcome, brief))
    }

    fn query_declaration(&self, params: &Params) -> Result<CustomsReply, HipopayRefusal> {
        let mut book = self.responder.declarations();
        let Some(key) = which(&book, params, &self.responder.settings)? else {
            return Ok(not_found());
        };
        let (mut seen, fault) = book.query(
            std::slice::from_ref(&key),
            &self.responder.settings,
            self.responder.clock.now(),
        );
        drop(book);
        let subject = key.number().to_owned();
        let Some(entry) = seen.pop() else {
            return Ok(CustomsReply {
                subject,
                fault,
                ..not_found()
            });
        };
        Ok(CustomsReply {
            subject,
            http: 200,
            body: json!({ "is_success": true, "response": queried(&entry) }),
            fault,
        })
    }

    /// A payment by both its numbers, if it was paid.
    fn paid(&self, number: &str, theirs: &str) -> Option<PaidPayment> {
        let transactions = self.responder.transactions();
        let entry = transactions.entry(TransactionKind::Payment, number)?;
        (entry.state == TransactionState::Done && entry.theirs == theirs).then(|| PaidPayment {
            theirs: entry.theirs.clone(),
            currency: entry.currency.clone(),
            minor: entry.minor,
        })
    }
}

/// The declaration that is meant. Every one here is of a sub-order, so the numbers of a payment
/// lead nowhere.
fn which(
    book: &DeclarationBook,
    params: &Params,
    settings: &Settings,
) -> Result<Option<Key>, HipopayRefusal> {
    let customs = customs(params, settings)?;
    match (
        params.get("sub_order_no"),
        params.get("payment_no").or(params.get("out_order_no")),
    ) {
        (Some(_), _) => Ok(book.of_sub_order(&params.number("sub_order_no")?, &customs)),
        (None, Some(_)) => Ok(None),
        (None, None) => Err(HipopayRefusal::new("PARAM_ERROR", "no_number")),
    }
}

fn customs(params: &Params, settings: &Settings) -> Result<String, HipopayRefusal> {
    let code = params.must("customs")?;
    if settings.declares_to(&CUSTOMS, code) {
        Ok(code.to_owned())
    } else {
        Err(HipopayRefusal::new("PARAM_ERROR", "unknown_customs"))
    }
}

fn merchant_customs_no(params: &Params) -> Result<String, HipopayRefusal> {
    let number = params.must("mch_customs_no")?;
    let fits = number.len() <= 20 && number.bytes().all(|b| b.is_ascii_alphanumeric());
    if fits {
        Ok(number.to_owned())
    } else {
        Err(HipopayRefusal::new("PARAM_ERROR", "wrong_customs_number"))
    }
}

fn terms(params: &Params) -> Result<DeclaredTerms, HipopayRefusal> {
    let wrong = || HipopayRefusal::new("PARAM_ERROR", "wrong_amount");
    let duty = params.get("duty").map(|duty| {
        let digits = duty.len() <= 15 && duty.bytes().all(|b| b.is_ascii_digit());
        duty.parse().ok().filter(|_| digits).ok_or_else(wrong)
    });
    let fees = DeclaredFees {
        currency: "CNY".into(),
        order: fen(params.must("sub_order_amount")?).ok_or_else(wrong)?,
        transport: fen(params.must("transport_amount")?).ok_or_else(wrong)?,
        product: fen(params.must("product_amount")?).ok_or_else(wrong)?,
    };
    let person = match (params.get("cert_id"), params.get("name")) {
        (None, None) => None,
        (Some(cert_id), Some(name)) if crate::wechat::customs::is_card(cert_id) => {
            Some(short_hash(format!("{cert_id}/{name}").as_bytes()))
        }
        (Some(_) | None, Some(_) | None) => {
            return Err(HipopayRefusal::new("PARAM_ERROR", "wrong_certificate"));
        }
    };
    Ok(DeclaredTerms {
        merchant_customs_no: merchant_customs_no(params)?,
        duty: duty.transpose()?,
        fees: Some(
            fees.check()
                .map_err(|refusal| HipopayRefusal::new("PARAM_ERROR", refusal.reason))?,
        ),
        person,
    })
}

/// Decimal text in CNY as a whole number of 0.01; zero is one too.
fn fen(text: &str) -> Option<i64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 2 {
        return None;
    }
    let cents: i64 = format!("{decimals:0<2}").parse().ok()?;
    whole
        .parse::<i64>()
        .ok()?
        .checked_mul(100)?
        .checked_add(cents)
}

fn said(
    key: &Key,
    outcome: DeclarationOutcome,
    show: impl FnOnce(&Declaration, Option<Fault>) -> Value,
) -> CustomsReply {
    let DeclarationOutcome { what, fault } = outcome;
    let refused = |message| (200, error("INVALID_REQUEST", message));
    let (http, body) = match what {
        DeclarationResult::Shown(entry) => (
            200,
            json!({ "is_success": true, "response": show(&entry, fault) }),
        ),
        DeclarationResult::Differs => refused("the declaration differs from the original"),
        DeclarationResult::NoPayment => refused("there is no such payment, or it is not paid"),
        DeclarationResult::TooMany => refused("the payment has 50 sub-orders already"),
        DeclarationResult::TooMuch => {
            refused("the amounts of the sub-orders do not match the payment's")
        }
        DeclarationResult::WrongState => {
            refused("the declaration is not in a state that allows this")
        }
        DeclarationResult::Faulty(FaultReply::Hard) => refused("the customs are not configured"),
        DeclarationResult::Absent => (200, not_found().body),
        DeclarationResult::Faulty(FaultReply::Soft) => {
            (429, error("FREQUENCY_LIMITED", "declared too often"))
        }
        DeclarationResult::Faulty(FaultReply::Unmapped) => {
            (200, error("SANDBOX_UNMAPPED", "a code no document lists"))
        }
        DeclarationResult::Full => (200, error("SYSTEM_ERROR", "the book is full")),
    };
    CustomsReply {
        subject: key.number().to_owned(),
        http,
        body,
        fault,
    }
}

fn not_found() -> CustomsReply {
    let body = error("DECLARATION_NOT_FOUND", "Declaration not found");
    CustomsReply {
        subject: String::new(),
        http: 200,
        body,
        fault: None,
    }
}

/// What the reply to a redeclaration says: nothing of the sub-order.
fn brief(entry: &Declaration, fault: Option<Fault>) -> Value {
    // There is no amount to be another.
    let another = if entry.key.customs == "XIAN" {
        "BEIJING"
    } else {
        "XIAN"
    };
    let customs = if fault == Some(Fault::OtherAmount) {
        another
    } else {
        &entry.key.customs
    };
    let mut said = json!({
        "out_order_no": entry.key.order,
        "payment_no": entry.payment,
        "customs": customs,
        "wechatpay_no": format!("42{}", entry.payment),
        "state": entry.state.as_str(),
        "modify_time": entry.modified_at.to_string(),
    });
    if let Some(explanation) = entry.explanation() {
        said["explanation"] = json!(explanation);
    }
    said
}

/// What a query shows.
fn queried(entry: &Declaration) -> Value {
    let mut said = brief(entry, None);
    with_amounts(entry, None, &mut said);
    if entry.terms.person.is_some() {
        said["cert_check_result"] = json!(entry.person());
    }
    said
}

/// What the reply to a declaration shows.
fn whole(entry: &Declaration, fault: Option<Fault>) -> Value {
    let mut said = brief(entry, None);
    with_amounts(entry, fault, &mut said);
    said["ver_dept"] = json!("NETSUNION");
    said["pay_transaction_id"] = json!(entry.theirs);
    said["cert_check_result"] = json!(entry.person());
    said
}

fn with_amounts(entry: &Declaration, fault: Option<Fault>, said: &mut Value) {
    said["sub_order_no"] = json!(entry.key.sub_order);
    if let Some(fees) = &entry.terms.fees {
        said["sub_order_amount"] = json!(shown_amount(fees.order, &fees.currency, fault));
        said["transport_amount"] = json!(shown_amount(fees.transport, &fees.currency, None));
        said["product_amount"] = json!(shown_amount(fees.product, &fees.currency, None));
    }
}

/// With the customs' own words, in which the person stands.
fn with_raw(mut said: Value, params: &Params) -> Value {
    let raw = json!({
        "return_code": "SUCCESS",
        "sign": nonce().unwrap_or_default(),
        "cert_id": params.get("cert_id"),
        "cert_name": params.get("name"),
    });
    said["raw_response"] = json!(raw.to_string());
    said
}

#[cfg(test)]
mod tests;
