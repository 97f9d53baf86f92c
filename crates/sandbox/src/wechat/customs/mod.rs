//! How WeChat Pay's fake is spoken to about customs declarations (docs/gateways/wechat.md,
//! "Customs").
//!
//! Strict: mistyped fields, and customs that are not in the gateway's list, are refused; which
//! fields there may be is in the table of requests. Which code goes with which refusal is only
//! partly documented \[C\]. Since replies to declarations name no amount, [`Fault::OtherAmount`]
//! names another payment.

mod body;

use http::Method;
use serde_json::{Value, json};

use crate::faults::Fault;
use crate::shared::customs::{
    Declaration, DeclarationOutcome, DeclarationResult, DeclarationState, Key, NO_RECORD,
    NOT_DECLARED, PaidPayment,
};
use crate::shared::fault_flow::FaultReply;
use crate::shared::keys::FieldKey;
use crate::wechat::Refusal;
use crate::wechat::body::{param, parse};
use crate::wechat::deductions::WechatReply;
use crate::wechat::order_book::OrderState;
use crate::wechat::order_store::StoreError;
use crate::wechat::replies::NO_SUCH_PATH;
use crate::{FakeWechat, Reaction};
use body::{Body, CustomsRequest, DeclarationQuery, ids};
pub(crate) use body::{CUSTOMS, is_card};
use payrun_domain::time::Timestamp;
use payrun_gateway::transport::Request;

/// Whose it is, what is said, and what bends it.
type CustomsResult = Result<(String, WechatReply), Refusal>;

impl FakeWechat {
    /// A request under `/v3/global/customs/`.
    pub(crate) async fn take_customs(&self, rest: &[&str], request: &Request) -> Reaction {
        let now = self.clock.now();
        let answer = match (request.method(), rest) {
            (&Method::POST, ["orders"]) => self.file(CustomsRequest::Declare, request, now).await,
            (&Method::PATCH, ["orders"]) => self.file(CustomsRequest::Modify, request, now).await,
            (&Method::POST, ["redeclare"]) => {
                self.file(CustomsRequest::Redeclare, request, now).await
            }
            (&Method::POST, ["verify-certificate"]) => {
                self.file(CustomsRequest::WechatAccountKeys, request, now)
                    .await
            }
            (&Method::GET, ["orders"]) => {
                Ok(self.query_customs(request.uri().query().unwrap_or_default(), now))
            }
            _ => Ok(Err(NO_SUCH_PATH)),
        };
        match answer {
            Ok(Ok((subject, said))) => self.react(Ok(said), &subject).await,
            Ok(Err(refusal)) => self.refuse(refusal).await,
            Err(error) => self.react(Err(error), "").await,
        }
    }

    async fn file(
        &self,
        asked: CustomsRequest,
        request: &Request,
        now: Timestamp,
    ) -> Result<CustomsResult, StoreError> {
        let body = match parse::<Body>(request.body())
            .and_then(|body| body.check(asked, &self.settings))
        {
            Ok(body) => body,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let paid = match (&body.out_trade_no, &body.transaction_id) {
            (Some(number), theirs) => self
                .paid(number)
                .await?
                .filter(|paid| theirs.as_ref().is_none_or(|theirs| *theirs == paid.theirs)),
            (None, _) => None,
        };
        Ok(match asked {
            CustomsRequest::Declare => self.declared(&body, paid.as_ref(), now),
            CustomsRequest::Modify => self.modified(&body, paid.as_ref(), now),
            CustomsRequest::Redeclare => self.redeclared(&body, now),
            CustomsRequest::WechatAccountKeys => self.identified(&body, request, paid.as_ref()),
        })
    }

    /// A payment by the merchant's number, if it was paid. Every kind of order that can be paid is
    /// looked up here.
    async fn paid(&self, number: &str) -> Result<Option<PaidPayment>, StoreError> {
        if let Some(payment) = self.payments.paid(number) {
            return Ok(Some(PaidPayment {
                theirs: payment.theirs,
                currency: payment.currency,
                minor: payment.minor,
            }));
        }
        let order = self.books.lock().await.get(number).await?;
        let paid = order.filter(|order| order.state == OrderState::Success);
        Ok(paid.map(|order| PaidPayment {
            theirs: order.transaction_id,
            currency: order.currency,
            minor: order.minor,
        }))
    }

    fn declared(&self, body: &Body, paid: Option<&PaidPayment>, now: Timestamp) -> CustomsResult {
        let (key, terms) = (body.key()?, body.terms(None)?);
        let outcome = self
            .declarations()
            .declare(&key, terms, paid, &self.settings, now);
        Ok((key.number().to_owned(), self.say(outcome, false)))
    }

    fn modified(&self, body: &Body, paid: Option<&PaidPayment>, now: Timestamp) -> CustomsResult {
        let key = body.key()?;
        let before = self
            .declarations()
            .entry(&key)
            .and_then(|entry| entry.terms.fees.clone());
        let terms = body.terms(before.map(|fees| fees.currency))?;
        let outcome = self
            .declarations()
            .modify(&key, terms, paid, &self.settings, now);
        Ok((key.number().to_owned(), self.say(outcome, true)))
    }

    fn redeclared(&self, body: &Body, now: Timestamp) -> CustomsResult {
        let key = self
            .keys(body)?
            .into_iter()
            .find(|key| key.customs == body.customs);
        let Some(key) = key else {
            return Ok((String::new(), missing("", NOT_DECLARED)));
        };
        let outcome =
            self.declarations()
                .redeclare(&key, &body.merchant_customs_no, &self.settings, now);
        Ok((key.number().to_owned(), self.say(outcome, true)))
    }

    /// The declarations a redeclaration may mean, by any of the four numbers.
    fn keys(&self, body: &Body) -> Result<Vec<Key>, Refusal> {
        let book = self.declarations();
        let keys: Vec<Key> = match body {
            Body {
                sub_order_no: Some(number),
                ..
            } => book
                .of_sub_order(number, &body.customs)
                .into_iter()
                .collect(),
            Body {
                sub_order_id: Some(theirs),
                ..
            } => book.of_theirs(theirs).into_iter().collect(),
            Body {
                out_trade_no: Some(number),
                ..
            } => whole(book.of_order(number)),
            Body {
                transaction_id: Some(theirs),
                ..
            } => whole(book.of_payment(theirs)),
            Body { .. } => return Err(param("missing_parameter")),
        };
        let payment = |key: &Key| {
            book.entry(key)
                .map(|entry| entry.payment.clone())
                .unwrap_or_default()
        };
        let fits = |key: &Key| {
            body.out_trade_no
                .as_ref()
                .is_none_or(|number| *number == key.order)
                && body
                    .transaction_id
                    .as_ref()
                    .is_none_or(|theirs| *theirs == payment(key))
        };
        Ok(keys.into_iter().filter(fits).collect())
    }

    /// Decrypts both fields, and says nothing of them but whether they are the payer's.
    fn identified(
        &self,
        body: &Body,
        request: &Request,
        paid: Option<&PaidPayment>,
    ) -> CustomsResult {
        let serial = request
            .headers()
            .get("wechatpay-serial")
            .and_then(|serial| serial.to_str().ok());
        let key = self
            .field_key(serial.ok_or(param("missing_serial"))?)
            .ok_or(param("unknown_serial"))?;
        let open = |field: &Option<String>| {
            let sealed = field.as_deref().ok_or(param("missing_parameter"))?;
            key.open(sealed).ok_or(param("not_encrypted"))
        };
        if !is_card(&open(&body.certificate_id)?) || open(&body.certificate_name)?.trim().is_empty()
        {
            return Err(param("wrong_certificate"));
        }
        let key = body.key()?;
        // The check is for declared orders only, so an order that there is not is told as one that
        // is not declared.
        let Some(paid) = paid else {
            return Ok((String::new(), missing(key.number(), NOT_DECLARED)));
        };
        // Whether a declaration that was not sent on yet is enough is not documented: here it is
        // for half of the numbers.
        let declared = self.declarations().entry(&key).map(|entry| entry.state);
        if declared.is_none_or(|state| {
            state == DeclarationState::Seen
                || (state == DeclarationState::Undeclared && !either(key.number()))
        }) {
            return Ok((key.number().to_owned(), missing(key.number(), NOT_DECLARED)));
        }
        if key.number().ends_with("-unknown") {
            return Ok((key.number().to_owned(), missing(key.number(), NOT_DECLARED)));
        }
        if key.number().ends_with("-unread") {
            return Err(param("wrong_certificate"));
        }
        let fault = self
            .declarations()
            .check(&format!("{}/identity", key.number()), &self.settings);
        let result = if key.number().ends_with("-different") {
            "DIFFERENT"
        } else {
            "SAME"
        };
        let mut said = json!({
            "out_trade_no": key.order, "transaction_id": paid.theirs, "certificate_check_result": result,
        });
        self.sign_as_ours(&mut said);
        Ok((
            key.number().to_owned(),
            WechatReply {
                http: 200,
                body: said,
                fault,
            },
        ))
    }

    /// The private half of the platform's key of this serial.
    fn field_key(&self, serial: &str) -> Option<FieldKey> {
        let platform = self
            .platform
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone();
        let named = platform
            .iter()
            .find(|one| one.certified.serial == serial || one.public_id == serial);
        named?.certified.field_key().ok()
    }

    fn query_customs(&self, query: &str, now: Timestamp) -> CustomsResult {
        let asked = DeclarationQuery::read(query, &self.settings)?;
        let mut book = self.declarations();
        let mut keys = match asked.order_type.as_str() {
            "out_trade_no" => book.of_order(&asked.order_no),
            "transaction_id" => book.of_payment(&asked.order_no),
            "sub_order_no" => book
                .of_sub_order(&asked.order_no, &asked.customs)
                .into_iter()
                .collect(),
            "sub_order_id" => book.of_theirs(&asked.order_no).into_iter().collect(),
            _ => return Err(param("wrong_order_type")),
        };
        keys.retain(|key| key.customs == asked.customs);
        // Which order the rows have is not documented: here what many clients look for is the last.
        keys.reverse();
        let Some(subject) = keys.first().map(|key| key.number().to_owned()) else {
            let said = missing(&asked.order_no, NO_RECORD);
            return Ok((asked.order_no, said));
        };
        let (rows, fault) = book.query(&keys, &self.settings, now);
        drop(book);
        let data: Vec<Value> = rows
            .iter()
            .skip(asked.offset)
            .take(asked.limit)
            .map(row)
            .collect();
        let mut said = json!({
            "transaction_id": rows.first().map(|row| row.payment.clone()).unwrap_or_default(),
            "verify_department": "UNIONPAY",
            "verify_department_trade_id": rows.first().map(trade_number).unwrap_or_default(),
            "offset": asked.offset,
            "limit": asked.limit,
            "total_count": rows.len(),
            "data": data,
        });
        self.sign_as_ours(&mut said);
        let said = if rows.is_empty() {
            WechatReply {
                fault,
                ..empty_list(&subject, said)
            }
        } else {
            WechatReply {
                http: 200,
                body: said,
                fault,
            }
        };
        Ok((subject, said))
    }

    fn say(&self, outcome: DeclarationOutcome, again: bool) -> WechatReply {
        let DeclarationOutcome { what, fault } = outcome;
        let said = match what {
            DeclarationResult::Shown(entry) => {
                let mut said = declaration(&entry, fault, again);
                self.sign_as_ours(&mut said);
                WechatReply {
                    http: 200,
                    body: said,
                    fault: None,
                }
            }
            DeclarationResult::Differs => refused("the declaration differs from the original"),
            DeclarationResult::NoPayment => refused(NOT_PAID),
            DeclarationResult::TooMany => refused("the order has 50 sub-orders already"),
            DeclarationResult::TooMuch => {
                refused("the amounts declared of the order do not match the order's")
            }
            DeclarationResult::WrongState => {
                refused("the declaration is not in a state that allows this")
            }
            DeclarationResult::Absent => missing("", NOT_DECLARED),
            DeclarationResult::Faulty(FaultReply::Soft) => {
                WechatReply::error(429, "FREQUENCY_LIMITED", "declared too often")
            }
            DeclarationResult::Faulty(FaultReply::Hard) => {
                refused("the customs are not configured")
            }
            DeclarationResult::Faulty(FaultReply::Unmapped) => {
                WechatReply::error(403, "SANDBOX_UNMAPPED", "a code no document lists")
            }
            DeclarationResult::Full => WechatReply::error(500, "SYSTEM_ERROR", "the book is full"),
        };
        WechatReply { fault, ..said }
    }

    /// Puts in whose it is.
    fn sign_as_ours(&self, said: &mut Value) {
        let (mchid, appid) = ids(&self.identity.mode);
        said["mchid"] = json!(mchid);
        said["appid"] = json!(appid);
    }
}

const NOT_PAID: &str = "there is no such order, or it is not paid";

/// Those that are not split.
fn whole(keys: Vec<Key>) -> Vec<Key> {
    keys.into_iter()
        .filter(|key| key.sub_order.is_empty())
        .collect()
}

fn refused(message: &str) -> WechatReply {
    WechatReply::error(400, "INVALID_REQUEST", message)
}

/// Nothing is declared, or there is no record of it. Its number is at the end of the `Request-ID`;
/// which status and code go with it is not documented \[C\]: here it is one or the other.
fn missing(number: &str, why: &'static str) -> WechatReply {
    if either(number) {
        WechatReply::error(404, "RESOURCE_NOT_EXISTS", why)
    } else {
        WechatReply::error(400, "PARAM_ERROR", why)
    }
}

fn either(number: &str) -> bool {
    crate::wechat::order_book::short_hash(number.as_bytes())[0].is_multiple_of(2)
}

/// Of what cannot be seen yet, half of the numbers get an empty list and half an error: which it
/// is, is not documented \[C\].
fn empty_list(subject: &str, list: Value) -> WechatReply {
    if either(subject) {
        WechatReply {
            http: 200,
            body: list,
            fault: None,
        }
    } else {
        missing(subject, NO_RECORD)
    }
}

/// The reply to a declaration, and (with its time) to one that is filed again.
fn declaration(entry: &Declaration, fault: Option<Fault>, again: bool) -> Value {
    let payment = if fault == Some(Fault::OtherAmount) {
        "4200000000000000000000000000"
    } else {
        &entry.payment
    };
    let mut said = json!({
        "state": entry.state.as_str(),
        "out_trade_no": entry.key.order,
        "transaction_id": payment,
        "verify_department": "UNIONPAY",
        "verify_department_trade_id": trade_number(entry),
    });
    number(entry, &mut said);
    if again {
        said["modify_time"] = json!(entry.modified_at.to_string());
    }
    said
}

/// One row of a query's reply.
fn row(entry: &Declaration) -> Value {
    let mut said = json!({
        "customs": entry.key.customs,
        "state": entry.state.as_str(),
        "modify_time": entry.modified_at.to_string(),
        "mch_customs_no": entry.terms.merchant_customs_no,
        "verify_department_trade_id": trade_number(entry),
    });
    number(entry, &mut said);
    if let Some(duty) = entry.terms.duty {
        said["duty"] = json!(duty);
    }
    if let Some(fees) = &entry.terms.fees {
        said["fee_type"] = json!(fees.currency);
        said["order_fee"] = json!(fees.order);
        said["transport_fee"] = json!(fees.transport);
        said["product_fee"] = json!(fees.product);
    }
    if let Some(explanation) = entry.explanation() {
        said["explanation"] = json!(explanation);
    }
    debug_assert!(
        entry.state != DeclarationState::Seen,
        "what was not filed is not listed"
    );
    said
}

/// The number of a declaration at the department that checks it: of 31 digits, as in the gateway's
/// samples.
fn trade_number(entry: &Declaration) -> String {
    let own = entry.theirs.get(4..).unwrap_or_default();
    format!("2018112{own:0>24}")
}

/// A sub-order has numbers of its own.
fn number(entry: &Declaration, said: &mut Value) {
    if !entry.key.sub_order.is_empty() {
        said["sub_order_no"] = json!(entry.key.sub_order);
        said["sub_order_id"] = json!(entry.theirs);
    }
}
