//! Customs declarations of CBTIS: what is sent, and what is read of the replies. Pure.
//!
//! CBTIS documents where a declaration is created and four fields of it (docs.globalcbtis.com,
//! "Customs Declaration - WeChat Pay" \[A\]); for the rest it refers to WeChat Pay's own document.
//! The other paths, the fields of a sub-order, how their amounts are written and the fields of
//! replies are WeChat Pay's by analogy \[C\], and configuration as far as they are sent.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::request::{PreparedCbtis, ReplyData, prepared};
use super::wire::facts;
use crate::cbtis::account::{CbtisCustoms, CustomsAmounts};
use crate::customs::{DeclarationIds, NamedDeclaration, RefilingMethod, SubOrderFees, duty};
use crate::exchange::{bounded, required, text, unreadable};
use crate::{Call, Observation};
use payrun_domain::money::decimal_text;

/// The currency that customs are told amounts in.
const CURRENCY: &str = "CNY";

/// Prepares a call of this file; none if its operation is another's.
pub(super) fn prepare(call: &Call, config: &CbtisCustoms) -> Option<Result<PreparedCbtis, String>> {
    match call.operation.as_str() {
        "declare" => Some(declare(call, config)),
        "declare_query" => Some(query(call, config)),
        "redeclare" => Some(redeclare(call, config)),
        _ => None,
    }
}

/// A declaration with all its terms. WeChat Pay takes the currency when it is created, and none
/// when it is modified.
fn declare(call: &Call, config: &CbtisCustoms) -> Result<PreparedCbtis, String> {
    let mut body = terms(call, config)?;
    if declaration_ids(call)?.sub_order_no.is_some() {
        body.insert(config.name("fee_type"), CURRENCY.into());
    }
    prepared(
        &config.create_path,
        &Value::Object(body),
        ReplyData::Customs(declaration_ids(call)?),
    )
}

fn modify(call: &Call, config: &CbtisCustoms) -> Result<PreparedCbtis, String> {
    prepared(
        &config.update_path,
        &Value::Object(terms(call, config)?),
        ReplyData::Customs(declaration_ids(call)?),
    )
}

fn terms(call: &Call, config: &CbtisCustoms) -> Result<Map<String, Value>, String> {
    if text(call, "cert_id").is_some() || text(call, "name").is_some() {
        return Err("CBTIS documents no field for the buyer; leave cert_id and name out".into());
    }
    let which = declaration_ids(call)?;
    let mut body = named(&which, config)?;
    body.insert(
        "merchant_customs_no".into(),
        required(call, "mch_customs_no")?.into(),
    );
    if which.sub_order_no.is_some() {
        sub_order(call, config, &mut body)?;
    } else if text(call, "duty").is_some() {
        return Err("CBTIS documents no field for the duty of a payment that is not split".into());
    }
    Ok(body)
}

/// The amounts of a sub-order.
fn sub_order(
    call: &Call,
    config: &CbtisCustoms,
    body: &mut Map<String, Value>,
) -> Result<(), String> {
    let fees = SubOrderFees::of(call)?;
    let currency = fees.order.currency();
    if currency.code() != CURRENCY {
        return Err(format!(
            "customs are told amounts in CNY, and the amount is in {currency}"
        ));
    }
    let written = config.amounts.ok_or(
        "how CBTIS writes the amounts of a sub-order is not documented: ask CBTIS, and set customs: { amounts: cents } or decimal",
    )?;
    let write = |minor: i64| match written {
        CustomsAmounts::Cents => Value::from(minor),
        CustomsAmounts::Decimal => Value::from(decimal_text(i128::from(minor), currency)),
    };
    body.insert(config.name("order_fee"), write(fees.order.minor()));
    body.insert(config.name("transport_fee"), write(fees.transport));
    body.insert(config.name("product_fee"), write(fees.product));
    body.extend(duty(call)?.map(|duty| (config.name("duty"), write(duty))));
    Ok(())
}

fn query(call: &Call, config: &CbtisCustoms) -> Result<PreparedCbtis, String> {
    let which = declaration_ids(call)?;
    let body = named(&which, config)?;
    prepared(
        &config.query_path,
        &Value::Object(body),
        ReplyData::Customs(which),
    )
}

fn redeclare(call: &Call, config: &CbtisCustoms) -> Result<PreparedCbtis, String> {
    match RefilingMethod::of(call)? {
        RefilingMethod::Modify => modify(call, config),
        RefilingMethod::Redeclare => {
            let which = declaration_ids(call)?;
            let mut body = named(&which, config)?;
            body.insert(
                "merchant_customs_no".into(),
                required(call, "mch_customs_no")?.into(),
            );
            prepared(
                &config.redeclare_path,
                &Value::Object(body),
                ReplyData::Customs(which),
            )
        }
    }
}

/// The payment's number is the input's, whether or not it is split.
fn declaration_ids(call: &Call) -> Result<DeclarationIds, String> {
    Ok(DeclarationIds {
        out_trade_no: Some(required(call, "out_trade_no")?.to_owned()),
        ..DeclarationIds::of(call)?
    })
}

/// The fields that say which declaration is meant.
fn named(which: &DeclarationIds, config: &CbtisCustoms) -> Result<Map<String, Value>, String> {
    let mut body = Map::new();
    body.extend(
        which
            .transaction_id
            .clone()
            .map(|id| ("order_id".to_owned(), id.into())),
    );
    body.insert("merchant_order_id".into(), which.payment()?.into());
    body.insert("customs".into(), which.customs.clone().into());
    body.extend(
        which
            .sub_order_no
            .clone()
            .map(|number| (config.name("sub_order_no"), number.into())),
    );
    Ok(body)
}

impl CbtisCustoms {
    /// CBTIS's name of one of WeChat Pay's fields.
    fn name(&self, field: &str) -> String {
        self.fields
            .get(field)
            .cloned()
            .unwrap_or_else(|| field.to_owned())
    }
}

/// The `data` of every reply \[C\].
#[derive(Debug, Deserialize)]
struct Declaration {
    order_id: Option<String>,
    merchant_order_id: Option<String>,
    customs: Option<String>,
    sub_order_no: Option<String>,
    state: Option<String>,
    status: Option<String>,
    modify_time: Option<String>,
    explanation: Option<String>,
    verify_department: Option<String>,
    verify_department_trade_id: Option<String>,
}

/// Reads the `data` of a reply into what was observed. What it is about is the payment's number.
///
/// # Errors
/// In words: it is not of the shape that is expected, or speaks of something else.
pub(super) fn read(
    data: Value,
    which: &DeclarationIds,
    seen: &mut Observation,
) -> Result<(), String> {
    let said: Declaration = serde_json::from_value(data).map_err(|error| unreadable(&error))?;
    let named = NamedDeclaration {
        customs: said.customs.as_deref(),
        out_trade_no: said.merchant_order_id.as_deref(),
        transaction_id: said.order_id.as_deref(),
        sub_order_no: said.sub_order_no.as_deref(),
    };
    which.check(&named)?;
    seen.order_no = said.merchant_order_id;
    seen.receipt = said
        .verify_department_trade_id
        .clone()
        .filter(|id| !id.is_empty());
    let state = said.state.or(said.status).ok_or("the reply has no state")?;
    seen.state = Some(bounded(state, 64));
    seen.result.extend(facts([
        ("state", seen.state.clone()),
        ("verify_department", said.verify_department),
        (
            "verify_department_trade_id",
            said.verify_department_trade_id,
        ),
        ("modify_time", said.modify_time),
        ("explanation", said.explanation),
        ("customs", Some(which.customs.clone())),
    ]));
    Ok(())
}
