//! Customs declarations of WeChat Pay Global (docs/gateways/wechat.md, "Customs" \[A\]): what is
//! sent, and what is read of the replies.
//!
//! Pure, except that the identity check's two fields are encrypted anew each time; it changes
//! nothing at the gateway. The invariant: what names a person is encrypted before it is anywhere
//! near a request. An institution declares under its own ids; its sub-merchants' customs data are
//! kept in the console.
//!
//! The replies to `declare`, `modify` and `redeclare` name no customs and no amount, only those to
//! queries do.

use std::fmt;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::client::WechatClient;
use super::request::{PreparedWechat, ReplyKind};
use super::sensitive_fields::FieldSeal;
use super::wire::facts;
use crate::customs::{
    DeclarationIds, NamedDeclaration, RefilingMethod, SubOrderFees, card_number, duty,
};
use crate::exchange::{bounded, percent_encode, required, unreadable};
use crate::wechat::account::WechatMode;
use crate::{Call, Delivery, Observation};
use payrun_domain::money::{Amount, Currency};

/// How many rows a query asks for at once: the gateway's default.
const ROWS: usize = 20;
/// How many pages of rows are looked through: a payment has at most 50 sub-orders, at a few customs
/// each.
const PAGES_MAX: usize = 20;
/// The fact of a page that has no row of ours and is not the last: where the next one begins.
const NEXT: &str = "next_offset";

/// What a reply is to be about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExpectedDeclaration {
    which: DeclarationIds,
    mchid: String,
    form: ReplyForm,
}

/// What a reply looks like.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ReplyForm {
    Declaration,
    /// A page of rows, and how many rows come before it.
    List(usize),
    WechatAccountKeys(Person),
}

impl ExpectedDeclaration {
    /// The person whose fields are still to be encrypted and put into the request.
    pub(super) fn person(&self) -> Option<&Person> {
        match &self.form {
            ReplyForm::WechatAccountKeys(person) => Some(person),
            ReplyForm::Declaration | ReplyForm::List(_) => None,
        }
    }
}

/// A person to be checked, not encrypted yet. Does not print.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Person {
    cert_id: String,
    name: String,
}

impl fmt::Debug for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Person")
    }
}

/// Prepares a call of this file; none if its operation is another's.
pub(super) fn prepare(call: &Call, mode: &WechatMode) -> Option<Result<PreparedWechat, String>> {
    match call.operation.as_str() {
        "declare" => Some(declare(call, mode)),
        "declare_query" => Some(query(call, mode, 0)),
        "redeclare" => Some(redeclare(call, mode)),
        "identity_check" => Some(identity_check(call, mode)),
        _ => None,
    }
}

/// The body of every request but the query. Field order is fixed, so that one call always gives the
/// same bytes.
#[derive(Debug, Serialize)]
struct DeclaredOrder<'a> {
    appid: &'a str,
    mchid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    out_trade_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    customs: &'a str,
    merchant_customs_no: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duty: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_order_no: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order_fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transport_fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_fee: Option<i64>,
}

impl<'a> DeclaredOrder<'a> {
    /// The declaration that is meant, without terms.
    fn of(call: &'a Call, mode: &'a WechatMode, which: &'a DeclarationIds) -> Result<Self, String> {
        let (mchid, appid) = ids(mode);
        Ok(Self {
            appid,
            mchid,
            out_trade_no: which.out_trade_no.as_deref(),
            transaction_id: which.transaction_id.as_deref(),
            customs: &which.customs,
            merchant_customs_no: required(call, "mch_customs_no")?,
            duty: None,
            sub_order_no: which.sub_order_no.as_deref(),
            fee_type: None,
            order_fee: None,
            transport_fee: None,
            product_fee: None,
        })
    }

    /// The same of a payment by both its numbers, which all but a redeclaration need.
    fn of_payment(
        call: &'a Call,
        mode: &'a WechatMode,
        which: &'a DeclarationIds,
    ) -> Result<Self, String> {
        which.payment()?;
        required(call, "transaction_id")?;
        Self::of(call, mode, which)
    }

    /// With duty, and with the fees of a sub-order; a declaration that is not split has none.
    fn with_terms(self, call: &Call) -> Result<Self, String> {
        let duty = duty(call)?;
        if self.sub_order_no.is_none() {
            return Ok(Self { duty, ..self });
        }
        let fees = SubOrderFees::of(call)?;
        Ok(Self {
            duty,
            fee_type: Some(fees.order.currency().code()),
            order_fee: Some(fees.order.minor()),
            transport_fee: Some(fees.transport),
            product_fee: Some(fees.product),
            ..self
        })
    }
}

/// `POST /v3/global/customs/orders`.
fn declare(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let which = DeclarationIds::of(call)?;
    let body = to_bytes(&DeclaredOrder::of_payment(call, mode, &which)?.with_terms(call)?)?;
    Ok(prepared(
        Method::POST,
        "/v3/global/customs/orders".into(),
        body,
        mode,
        which,
        ReplyForm::Declaration,
    ))
}

/// `POST /v3/global/customs/redeclare`, or to modify `PATCH /v3/global/customs/orders`, whose
/// currency cannot be changed.
fn redeclare(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let which = DeclarationIds::of(call)?;
    let (method, path, body) = match RefilingMethod::of(call)? {
        RefilingMethod::Redeclare => (
            Method::POST,
            "/v3/global/customs/redeclare",
            to_bytes(&DeclaredOrder::of(call, mode, &which)?)?,
        ),
        RefilingMethod::Modify => {
            let order = DeclaredOrder::of_payment(call, mode, &which)?.with_terms(call)?;
            (
                Method::PATCH,
                "/v3/global/customs/orders",
                to_bytes(&DeclaredOrder {
                    fee_type: None,
                    ..order
                })?,
            )
        }
    };
    Ok(prepared(
        method,
        path.into(),
        body,
        mode,
        which,
        ReplyForm::Declaration,
    ))
}

impl WechatClient {
    /// A declaration, on whatever page of the payment's its row is, within the time of one call.
    pub(super) async fn declaration(&self, call: &Call) -> Observation {
        let until = tokio::time::Instant::now() + call.timeout;
        let mut offset = 0;
        for _ in 0..PAGES_MAX {
            let request = match query(call, &self.mode, offset) {
                Ok(request) => request,
                Err(why) => return Observation::of(Delivery::Unsendable(why)),
            };
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            let mut seen = self.exchange(request, left).await;
            let next = seen
                .result
                .remove(NEXT)
                .and_then(|next| usize::try_from(next.as_u64()?).ok());
            match next {
                Some(next) => offset = next,
                None => return seen,
            }
        }
        let why = format!("the declaration is on none of the first {PAGES_MAX} pages");
        Observation::of(Delivery::Unreadable(why))
    }
}

/// `GET /v3/global/customs/orders`, by the sub-order, else by the gateway's number of the payment,
/// else by ours.
fn query(call: &Call, mode: &WechatMode, offset: usize) -> Result<PreparedWechat, String> {
    let which = DeclarationIds::of(call)?;
    let (mchid, appid) = ids(mode);
    let (order_type, order_no) = match (&which.sub_order_no, &which.transaction_id) {
        (Some(sub_order_no), _) => ("sub_order_no", sub_order_no.as_str()),
        (None, Some(transaction_id)) => ("transaction_id", transaction_id.as_str()),
        (None, None) => ("out_trade_no", which.payment()?),
    };
    let target = format!(
        "/v3/global/customs/orders?appid={}&mchid={}&order_type={order_type}&order_no={}&customs={}&offset={offset}&limit={ROWS}",
        percent_encode(appid),
        percent_encode(mchid),
        percent_encode(order_no),
        percent_encode(&which.customs),
    );
    Ok(prepared(
        Method::GET,
        target,
        Bytes::new(),
        mode,
        which,
        ReplyForm::List(offset),
    ))
}

/// `POST /v3/global/customs/verify-certificate`. [`with_person`] adds the person when the
/// platform's key is known.
fn identity_check(call: &Call, mode: &WechatMode) -> Result<PreparedWechat, String> {
    let which = DeclarationIds::of(call)?;
    let body = to_bytes(&DeclaredOrder::of_payment(call, mode, &which)?)?;
    let cert_id = card_number(required(call, "cert_id")?);
    let person = Person {
        cert_id,
        name: required(call, "name")?.to_owned(),
    };
    let path = "/v3/global/customs/verify-certificate".to_owned();
    Ok(prepared(
        Method::POST,
        path,
        body,
        mode,
        which,
        ReplyForm::WechatAccountKeys(person),
    ))
}

/// The body of an identity check with the person, encrypted for the platform.
pub(super) fn with_person(body: &[u8], person: &Person, seal: &FieldSeal) -> Result<Bytes, String> {
    let mut body: Map<String, Value> =
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let sealed = |text| {
        seal.seal(text)
            .map(Value::from)
            .map_err(|error| error.to_string())
    };
    body.insert("certificate_type".into(), "IDCARD".into());
    body.insert("certificate_id".into(), sealed(&person.cert_id)?);
    body.insert("certificate_name".into(), sealed(&person.name)?);
    to_bytes(&body)
}

fn prepared(
    method: Method,
    target: String,
    body: Bytes,
    mode: &WechatMode,
    which: DeclarationIds,
    form: ReplyForm,
) -> PreparedWechat {
    let wanted = ExpectedDeclaration {
        which,
        mchid: ids(mode).0.to_owned(),
        form,
    };
    PreparedWechat {
        method,
        target,
        body,
        reply: ReplyKind::Customs(wanted),
    }
}

fn to_bytes(body: &impl Serialize) -> Result<Bytes, String> {
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// Whose `mchid` and `appid` declare.
fn ids(mode: &WechatMode) -> (&str, &str) {
    match mode {
        WechatMode::Common { mchid, appid } => (mchid, appid),
        WechatMode::Institutional {
            sp_mchid,
            sp_appid,
            sub_mchid: _,
            sub_appid: _,
        } => (sp_mchid, sp_appid),
    }
}

/// What a reply may say; which of it, the call decides.
#[derive(Debug, Deserialize)]
struct DeclarationReply {
    mchid: Option<String>,
    out_trade_no: Option<String>,
    transaction_id: Option<String>,
    sub_order_no: Option<String>,
    sub_order_id: Option<String>,
    customs: Option<String>,
    state: Option<String>,
    certificate_check_result: Option<String>,
    verify_department: Option<String>,
    verify_department_trade_id: Option<String>,
    modify_time: Option<String>,
    explanation: Option<String>,
    fee_type: Option<String>,
    order_fee: Option<i64>,
    total_count: Option<u64>,
    data: Option<Vec<DeclarationReply>>,
}

impl DeclarationReply {
    fn named(&self) -> NamedDeclaration<'_> {
        NamedDeclaration {
            customs: self.customs.as_deref(),
            out_trade_no: self.out_trade_no.as_deref(),
            transaction_id: self.transaction_id.as_deref(),
            sub_order_no: self
                .sub_order_no
                .as_deref()
                .filter(|number| !number.is_empty()),
        }
    }

    fn amount(&self) -> Option<Result<Amount, String>> {
        let (minor, code) = (self.order_fee?, self.fee_type.as_deref()?);
        let currency = Currency::parse(code).map_err(|error| error.to_string());
        Some(currency.and_then(|currency| {
            Amount::from_minor(minor, currency).map_err(|error| error.to_string())
        }))
    }
}

/// Reads a 2xx reply into what was observed.
///
/// A query that finds no declaration may get an empty list: that is observed as the code
/// `NO_DECLARATION`, which is ours and not the gateway's.
///
/// # Errors
/// In words: it is not of the documented shape, or speaks of something else.
pub(super) fn read(
    body: &[u8],
    wanted: &ExpectedDeclaration,
    seen: &mut Observation,
) -> Result<(), String> {
    let reply: DeclarationReply =
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if reply
        .mchid
        .as_ref()
        .is_some_and(|said| *said != wanted.mchid)
    {
        return Err("the reply speaks of another merchant".into());
    }
    match &wanted.form {
        ReplyForm::Declaration => read_declaration(reply, &wanted.which, seen),
        ReplyForm::WechatAccountKeys(_) => read_identity(reply, &wanted.which, seen),
        ReplyForm::List(offset) => read_list(reply, &wanted.which, *offset, seen),
    }
}

fn read_declaration(
    reply: DeclarationReply,
    which: &DeclarationIds,
    seen: &mut Observation,
) -> Result<(), String> {
    which.check(&reply.named())?;
    seen.order_no = which.number(&reply.named());
    seen.amount = reply.amount();
    seen.result = facts([
        ("verify_department", &reply.verify_department),
        (
            "verify_department_trade_id",
            &reply.verify_department_trade_id,
        ),
        ("modify_time", &reply.modify_time),
        ("explanation", &reply.explanation),
    ]);
    seen.result
        .insert("customs".into(), which.customs.clone().into());
    seen.state = Some(bounded(reply.state.ok_or("the reply has no state")?, 64));
    // A declaration that is not split has no number of its own; the payment's stands for it.
    seen.receipt = reply
        .sub_order_id
        .filter(|id| !id.is_empty())
        .or(reply.transaction_id);
    Ok(())
}

/// The reply speaks of the payment only, so that is its number, split or not.
fn read_identity(
    reply: DeclarationReply,
    which: &DeclarationIds,
    seen: &mut Observation,
) -> Result<(), String> {
    which.check(&reply.named())?;
    let result = bounded(
        reply
            .certificate_check_result
            .ok_or("the reply has no certificate_check_result")?,
        64,
    );
    seen.order_no = reply.out_trade_no;
    seen.receipt = reply.transaction_id;
    seen.result
        .insert("cert_check_result".into(), result.clone().into());
    seen.result
        .insert("customs".into(), which.customs.clone().into());
    seen.state = Some(result);
    Ok(())
}

/// Takes the row of our customs and sub-order, or says where the next page begins. What stands
/// above the rows (payment, department) is said of each. A payment may have rows of others:
/// declared by its sub-orders, or as a whole.
fn read_list(
    list: DeclarationReply,
    which: &DeclarationIds,
    offset: usize,
    seen: &mut Observation,
) -> Result<(), String> {
    let rows = list.data.ok_or("the reply has no data")?;
    which.check(&NamedDeclaration {
        transaction_id: list.transaction_id.as_deref(),
        ..NamedDeclaration::default()
    })?;
    let (found, end) = (rows.len(), offset.saturating_add(rows.len()));
    let other = |row: &DeclarationReply| {
        row.customs
            .as_ref()
            .is_some_and(|customs| *customs != which.customs)
            || (which.sub_order_no.is_some()
                && row.named().sub_order_no != which.sub_order_no.as_deref())
    };
    let strange = rows.iter().any(other);
    let ours = |row: &DeclarationReply| {
        row.customs.as_ref() == Some(&which.customs)
            && row.named().sub_order_no == which.sub_order_no.as_deref()
    };
    if let Some(row) = rows.into_iter().find(ours) {
        let row = DeclarationReply {
            transaction_id: row.transaction_id.or(list.transaction_id),
            verify_department: row.verify_department.or(list.verify_department),
            verify_department_trade_id: row
                .verify_department_trade_id
                .or(list.verify_department_trade_id),
            ..row
        };
        return read_declaration(row, which, seen);
    }
    let total = list
        .total_count
        .map(|total| usize::try_from(total).unwrap_or(usize::MAX));
    match (found, total) {
        (0, Some(total)) if total > end => Err("the list breaks off before its end".into()),
        (_, Some(total)) if total > end => {
            seen.result.insert(NEXT.into(), end.into());
            Ok(())
        }
        (ROWS.., None) => {
            seen.result.insert(NEXT.into(), end.into());
            Ok(())
        }
        (_, _) if strange => Err("the reply speaks of another customs or sub-order".into()),
        (_, _) => {
            seen.code = Some("NO_DECLARATION".into());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
