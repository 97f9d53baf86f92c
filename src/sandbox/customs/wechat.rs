//! How WeChat Pay's twin is spoken to about customs declarations (gateways.md 4.8).
//!
//! Strict: unknown, missing and mistyped fields, ids that are not the merchant's, and customs that are not in the gateway's
//! list are refused. Which code goes with which refusal is only partly documented \[C\]. Since replies to declarations name
//! no amount, [`Fault::OtherAmount`] names another payment.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Declaration, Fees, Key, Outcome, Paid, State, Terms, What};
use crate::config::WechatMode;
use crate::domain::money::Currency;
use crate::domain::time::Timestamp;
use crate::gateway::transport::Request;
use crate::gateway::wechat::oaep::FieldKey;
use crate::sandbox::body::{param, read_strictly};
use crate::sandbox::books::OrderState;
use crate::sandbox::faults::Fault;
use crate::sandbox::orders::Said;
use crate::sandbox::store::StoreError;
use crate::sandbox::{Reaction, Refusal, Sandbox, decode, identity};

/// The customs WeChat Pay Global declares to.
const CUSTOMS: [&str; 9] = [
    "GUANGZHOU_ZS",
    "HANGZHOU_ZS",
    "NINGBO",
    "ZHENGZHOU_BS",
    "CHONGQING",
    "SHANGHAI_ZS",
    "SHENZHEN",
    "ZHENGZHOU_ZH_ZS",
    "TIANJIN",
];

/// The most rows a query gives; the default as well. The true most is not documented.
const ROWS: usize = 20;

/// The body of every request but the query; which fields may and must be there, each request says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    appid: String,
    mchid: String,
    out_trade_no: Option<String>,
    transaction_id: Option<String>,
    customs: String,
    merchant_customs_no: String,
    duty: Option<i64>,
    sub_order_no: Option<String>,
    sub_order_id: Option<String>,
    fee_type: Option<String>,
    order_fee: Option<i64>,
    transport_fee: Option<i64>,
    product_fee: Option<i64>,
    certificate_type: Option<String>,
    certificate_id: Option<String>,
    certificate_name: Option<String>,
}

/// A request that was read.
enum Asked {
    Declare,
    Modify,
    Redeclare,
    Identity,
}

/// Whose it is, what is said, and what bends it.
type Answer = Result<(String, Said), Refusal>;

impl Sandbox {
    /// A request under `/v3/global/customs/`.
    pub(in crate::sandbox) async fn take_customs(&self, rest: &[&str], request: &Request) -> Reaction {
        let now = self.clock.now();
        let answer = match (request.method(), rest) {
            (&Method::POST, ["orders"]) => self.file(Asked::Declare, request, now).await,
            (&Method::PATCH, ["orders"]) => self.file(Asked::Modify, request, now).await,
            (&Method::POST, ["redeclare"]) => self.file(Asked::Redeclare, request, now).await,
            (&Method::POST, ["verify-certificate"]) => self.file(Asked::Identity, request, now).await,
            (&Method::GET, ["orders"]) => Ok(self.query_customs(request.uri().query().unwrap_or_default(), now)),
            _ => Ok(Err(crate::sandbox::NO_SUCH_PATH)),
        };
        match answer {
            Ok(Ok((subject, said))) => self.react(Ok(said), &subject).await,
            Ok(Err(refusal)) => self.refuse(refusal).await,
            Err(error) => self.react(Err(error), "").await,
        }
    }

    async fn file(&self, asked: Asked, request: &Request, now: Timestamp) -> Result<Answer, StoreError> {
        let body = match read_strictly::<Body>(request.body()).and_then(|body| body.check(&asked, &self.identity.mode))
        {
            Ok(body) => body,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let paid = match (&body.out_trade_no, &body.transaction_id) {
            (Some(number), theirs) => {
                self.paid(number).await?.filter(|paid| theirs.as_ref().is_none_or(|theirs| *theirs == paid.theirs))
            }
            (None, _) => None,
        };
        Ok(match asked {
            Asked::Declare => self.declared(&body, paid.as_ref(), now),
            Asked::Modify => self.modified(&body, paid.as_ref(), now),
            Asked::Redeclare => self.redeclared(&body, now),
            Asked::Identity => self.identified(&body, request, paid.as_ref()),
        })
    }

    /// A payment by the merchant's number, if it was paid. Every kind of order that can be paid is looked up here.
    async fn paid(&self, number: &str) -> Result<Option<Paid>, StoreError> {
        let order = self.books.lock().await.get(number).await?;
        let paid = order.filter(|order| order.state == OrderState::Success);
        Ok(paid.map(|order| Paid { theirs: order.transaction_id, currency: order.currency, minor: order.minor }))
    }

    fn declared(&self, body: &Body, paid: Option<&Paid>, now: Timestamp) -> Answer {
        let (key, terms) = (body.key()?, body.terms(None)?);
        let outcome = self.declarations().declare(&key, terms, paid, &self.settings, now);
        Ok((key.number().to_owned(), self.say(outcome, false)))
    }

    fn modified(&self, body: &Body, paid: Option<&Paid>, now: Timestamp) -> Answer {
        let key = body.key()?;
        let before = self.declarations().entry(&key).and_then(|entry| entry.terms.fees.clone());
        let terms = body.terms(before.map(|fees| fees.currency))?;
        let outcome = self.declarations().modify(&key, terms, paid, &self.settings, now);
        Ok((key.number().to_owned(), self.say(outcome, true)))
    }

    fn redeclared(&self, body: &Body, now: Timestamp) -> Answer {
        let key = self.keys(body)?.into_iter().find(|key| key.customs == body.customs);
        let Some(key) = key else { return Ok((String::new(), not_declared())) };
        let outcome = self.declarations().redeclare(&key, &body.merchant_customs_no, &self.settings, now);
        Ok((key.number().to_owned(), self.say(outcome, true)))
    }

    /// The declarations a redeclaration may mean, by any of the four numbers.
    fn keys(&self, body: &Body) -> Result<Vec<Key>, Refusal> {
        let book = self.declarations();
        let keys = match body {
            Body { sub_order_no: Some(number), .. } => book.of_sub_order(number, &body.customs).into_iter().collect(),
            Body { sub_order_id: Some(theirs), .. } => book.of_theirs(theirs).into_iter().collect(),
            Body { out_trade_no: Some(number), .. } => whole(book.of_order(number)),
            Body { transaction_id: Some(theirs), .. } => whole(book.of_payment(theirs)),
            Body { .. } => return Err(param("missing_field")),
        };
        drop(book);
        let fits = |key: &Key| body.out_trade_no.as_ref().is_none_or(|number| *number == key.order);
        Ok(keys.into_iter().filter(fits).collect())
    }

    /// Decrypts both fields, and says nothing of them but whether they are the payer's.
    fn identified(&self, body: &Body, request: &Request, paid: Option<&Paid>) -> Answer {
        let serial = request.headers().get("wechatpay-serial").and_then(|serial| serial.to_str().ok());
        let key = self.field_key(serial.ok_or(param("missing_serial"))?).ok_or(param("unknown_serial"))?;
        let open = |field: &Option<String>| {
            let sealed = field.as_deref().ok_or(param("missing_field"))?;
            key.open(sealed).map_err(|_| param("not_encrypted"))
        };
        if !is_card(&open(&body.certificate_id)?) || open(&body.certificate_name)?.trim().is_empty() {
            return Err(param("wrong_certificate"));
        }
        let key = body.key()?;
        let Some(paid) = paid else { return Ok((String::new(), refused(NOT_PAID))) };
        let fault = self.declarations().check(&format!("{}/identity", key.number()), &self.settings);
        let result = if key.number().ends_with("-different") { "DIFFERENT" } else { "SAME" };
        let mut said = json!({
            "out_trade_no": key.order, "transaction_id": paid.theirs, "certificate_check_result": result,
        });
        self.sign_as_ours(&mut said);
        Ok((key.number().to_owned(), Said { http: 200, body: said, fault }))
    }

    /// The private half of the platform's key of this serial.
    fn field_key(&self, serial: &str) -> Option<FieldKey> {
        if serial == identity::PUBLIC_KEY_ID {
            return self.identity.platform.field_key().ok();
        }
        let platform = self.platform.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        platform.iter().find(|one| one.certified.serial == serial)?.certified.field_key().ok()
    }

    fn query_customs(&self, query: &str, now: Timestamp) -> Answer {
        let asked = Query::read(query, &self.identity.mode)?;
        let mut book = self.declarations();
        let mut keys = match asked.order_type.as_str() {
            "out_trade_no" => book.of_order(&asked.order_no),
            "transaction_id" => book.of_payment(&asked.order_no),
            "sub_order_no" => book.of_sub_order(&asked.order_no, &asked.customs).into_iter().collect(),
            "sub_order_id" => book.of_theirs(&asked.order_no).into_iter().collect(),
            _ => return Err(param("wrong_order_type")),
        };
        keys.retain(|key| key.customs == asked.customs);
        let Some(subject) = keys.first().map(|key| key.number().to_owned()) else {
            return Ok((asked.order_no, not_declared()));
        };
        let (rows, fault) = book.query(&keys, &self.settings, now);
        drop(book);
        let data: Vec<Value> = rows.iter().skip(asked.offset).take(asked.limit).map(row).collect();
        let mut said = json!({
            "transaction_id": rows.first().map(|row| row.payment.clone()).unwrap_or_default(),
            "verify_department": "UNIONPAY",
            "verify_department_trade_id": "2018112288340107038204310100000",
            "offset": asked.offset,
            "limit": asked.limit,
            "total_count": rows.len(),
            "data": data,
        });
        self.sign_as_ours(&mut said);
        let said = if rows.is_empty() {
            Said { fault, ..empty_list(&subject, said) }
        } else {
            Said { http: 200, body: said, fault }
        };
        Ok((subject, said))
    }

    fn say(&self, outcome: Outcome, again: bool) -> Said {
        let Outcome { what, fault } = outcome;
        let said = match what {
            What::Shown(entry) => {
                let mut said = declaration(&entry, fault, again);
                self.sign_as_ours(&mut said);
                Said { http: 200, body: said, fault: None }
            }
            What::Differs => refused("the declaration differs from the original"),
            What::NoPayment => refused(NOT_PAID),
            What::TooMany => refused("the order has 50 sub-orders already"),
            What::TooMuch => refused("the amounts of the sub-orders do not match the order's"),
            What::WrongState => refused("the declaration is not in a state that allows this"),
            What::Absent => not_declared(),
            What::Soft => Said::error(429, "FREQUENCY_LIMITED", "declared too often"),
            What::Hard => refused("the customs are not configured"),
            What::Unlisted => Said::error(403, "SANDBOX_UNLISTED", "a code no document lists"),
            What::Full => Said::error(500, "SYSTEM_ERROR", "the book is full"),
        };
        Said { fault, ..said }
    }

    /// Puts in whose it is.
    fn sign_as_ours(&self, said: &mut Value) {
        let (mchid, appid) = ids(&self.identity.mode);
        said["mchid"] = json!(mchid);
        said["appid"] = json!(appid);
    }
}

const NOT_PAID: &str = "there is no such order, or it is not paid";

impl Body {
    /// Whether it is whole and well-formed for what is asked.
    fn check(self, asked: &Asked, mode: &WechatMode) -> Result<Self, Refusal> {
        if (self.mchid.as_str(), self.appid.as_str()) != ids(mode) {
            return Err(param("wrong_ids"));
        }
        if !CUSTOMS.contains(&self.customs.as_str()) {
            return Err(param("unknown_customs"));
        }
        let short = (1..=20).contains(&self.merchant_customs_no.len());
        if !short || !self.merchant_customs_no.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(param("wrong_customs_number"));
        }
        let numbers = [&self.out_trade_no, &self.transaction_id, &self.sub_order_no, &self.sub_order_id];
        if !numbers.into_iter().flatten().all(|number| is_number(number)) {
            return Err(param("wrong_order_number"));
        }
        self.check_fields(asked)?;
        Ok(self)
    }

    /// Which fields each request has (the pages of the five calls).
    fn check_fields(&self, asked: &Asked) -> Result<(), Refusal> {
        let of_payment = self.out_trade_no.is_some() && self.transaction_id.is_some() && self.sub_order_id.is_none();
        let fees = self.order_fee.is_some() || self.transport_fee.is_some() || self.product_fee.is_some();
        let terms = self.duty.is_some() || fees || self.fee_type.is_some();
        let person =
            self.certificate_type.is_some() || self.certificate_id.is_some() || self.certificate_name.is_some();
        let (whole, more) = match asked {
            Asked::Declare => (of_payment, person),
            Asked::Modify => (of_payment, person || self.fee_type.is_some()),
            Asked::Redeclare => (true, person || terms),
            Asked::Identity => (of_payment && self.certificate_type.as_deref() == Some("IDCARD"), terms),
        };
        match (whole, more) {
            (false, _) => Err(param("missing_field")),
            (true, true) => Err(param("unknown_field")),
            (true, false) => Ok(()),
        }
    }

    fn key(&self) -> Result<Key, Refusal> {
        Ok(Key {
            order: self.out_trade_no.clone().ok_or(param("missing_field"))?,
            sub_order: self.sub_order_no.clone().unwrap_or_default(),
            customs: self.customs.clone(),
        })
    }

    /// A sub-order has fees, which add up; the currency of one that is modified is that of before.
    fn terms(&self, currency: Option<String>) -> Result<Terms, Refusal> {
        let duty = self.duty;
        if duty.is_some_and(i64::is_negative) {
            return Err(param("wrong_amount"));
        }
        let fees = match (self.order_fee, self.transport_fee, self.product_fee, self.fee_type.clone().or(currency)) {
            (None, None, None, None) if self.sub_order_no.is_none() => None,
            (Some(order), Some(transport), Some(product), Some(currency)) if self.sub_order_no.is_some() => {
                Some(Fees { currency, order, transport, product }.check()?)
            }
            _ => return Err(param("missing_fee")),
        };
        Ok(Terms { merchant_customs_no: self.merchant_customs_no.clone(), duty, fees, person: None })
    }
}

impl Fees {
    /// Above zero, no part below it, and the sum of its parts.
    pub(in crate::sandbox) fn check(self) -> Result<Self, Refusal> {
        let adds_up = self.transport.checked_add(self.product) == Some(self.order);
        if self.order <= 0 || self.transport < 0 || self.product < 0 || !adds_up {
            return Err(param("wrong_amount"));
        }
        Currency::parse(&self.currency).map_err(|_| param("unknown_currency"))?;
        Ok(self)
    }
}

/// A query's parameters, all of them documented and none twice.
#[derive(Debug)]
struct Query {
    order_type: String,
    order_no: String,
    customs: String,
    offset: usize,
    limit: usize,
}

impl Query {
    fn read(query: &str, mode: &WechatMode) -> Result<Self, Refusal> {
        const KNOWN: [&str; 7] = ["appid", "mchid", "order_type", "order_no", "customs", "offset", "limit"];
        let pairs: Vec<(&str, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name, decode(value)))
            .collect();
        let repeated = |at: usize, name: &str| pairs[..at].iter().any(|(other, _)| *other == name);
        if pairs.iter().enumerate().any(|(at, (name, _))| !KNOWN.contains(name) || repeated(at, name)) {
            return Err(param("wrong_query"));
        }
        let get = |wanted: &str| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        let must = |name: &str| get(name).filter(|value| !value.is_empty()).ok_or(param("wrong_query"));
        let count =
            |name: &str, or: usize| get(name).map_or(Ok(or), |text| text.parse().map_err(|_| param("wrong_query")));
        if (must("mchid")?.as_str(), must("appid")?.as_str()) != ids(mode) {
            return Err(param("wrong_ids"));
        }
        let customs = must("customs")?;
        if !CUSTOMS.contains(&customs.as_str()) {
            return Err(param("unknown_customs"));
        }
        let limit = count("limit", ROWS)?;
        if limit == 0 || limit > ROWS {
            return Err(param("wrong_query"));
        }
        Ok(Self {
            order_type: must("order_type")?,
            order_no: must("order_no")?,
            customs,
            offset: count("offset", 0)?,
            limit,
        })
    }
}

/// Institutions declare under their own ids.
fn ids(mode: &WechatMode) -> (&str, &str) {
    match mode {
        WechatMode::Common { mchid, appid } => (mchid, appid),
        WechatMode::Institutional { sp_mchid, sp_appid, sub_mchid: _, sub_appid: _ } => (sp_mchid, sp_appid),
    }
}

fn is_number(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'|' | b'*' | b'@');
    (1..=32).contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether it is an identity card's number: 17 digits, and a digit or X.
pub(in crate::sandbox) fn is_card(text: &str) -> bool {
    let (digits, last) = text.split_at_checked(17).unwrap_or_default();
    digits.len() == 17 && digits.bytes().all(|b| b.is_ascii_digit()) && matches!(last.as_bytes(), [b'0'..=b'9' | b'X'])
}

/// Those that are not split.
fn whole(keys: Vec<Key>) -> Vec<Key> {
    keys.into_iter().filter(|key| key.sub_order.is_empty()).collect()
}

fn refused(message: &str) -> Said {
    Said::error(400, "INVALID_REQUEST", message)
}

fn not_declared() -> Said {
    Said::error(404, "RESOURCE_NOT_EXISTS", "the order is not declared")
}

/// Of what cannot be seen yet, half of the numbers get an empty list and half an error: which it is, is not documented \[C\].
fn empty_list(subject: &str, list: Value) -> Said {
    let even = crate::sandbox::books::short_hash(subject.as_bytes())[0].is_multiple_of(2);
    if even { Said { http: 200, body: list, fault: None } } else { not_declared() }
}

/// The reply to a declaration, and (with its time) to one that is filed again.
fn declaration(entry: &Declaration, fault: Option<Fault>, again: bool) -> Value {
    let payment = if fault == Some(Fault::OtherAmount) { "4200000000000000000000000000" } else { &entry.payment };
    let mut said = json!({
        "state": entry.state.word(),
        "out_trade_no": entry.key.order,
        "transaction_id": payment,
        "verify_department": "UNIONPAY",
        "verify_department_trade_id": "2018112288340107038204310100000",
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
        "state": entry.state.word(),
        "modify_time": entry.modified_at.to_string(),
        "mch_customs_no": entry.terms.merchant_customs_no,
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
    debug_assert!(entry.state != State::Seen, "what was not filed is not listed");
    said
}

/// A sub-order has numbers of its own.
fn number(entry: &Declaration, said: &mut Value) {
    if !entry.key.sub_order.is_empty() {
        said["sub_order_no"] = json!(entry.key.sub_order);
        said["sub_order_id"] = json!(entry.theirs);
    }
}
