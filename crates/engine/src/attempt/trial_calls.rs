//! Tries the calls of a job kind that change nothing, about things that do not exist: whether the
//! gateway takes our requests as they are. What has an effect is never tried.

use serde_json::{Map, Value};

use crate::Account;
use crate::attempt::in_time;
use payrun_domain::ids::OrderNumber;
use payrun_domain::money::{Amount, Currency};
use payrun_gateway::{Call, Delivery, Observation};
use payrun_project::job_kinds::{FieldKind, JobKind};

/// A number that no order has, and no contract.
const NOBODYS: &str = "payrun-check-unknown";
/// The same where only digits are taken.
const NOBODYS_DIGITS: &str = "4200000000000000000000000000";
/// The codes by which gateways refuse a request for what it is.
const WRONG_REQUEST: [&str; 11] = [
    "PARAM_ERROR",
    "V0000",
    "V0001",
    "V0002",
    "V0003",
    "V0004",
    "V0005",
    "V0006",
    "V0007",
    "V0008",
    "V0009",
];

/// The codes by which gateways say that there is no such thing.
const MISSING: [&str; 18] = [
    "NOT_FOUND",
    "ORDER_NOT_EXIST",
    "ORDERNOTEXIST",
    "RESOURCE_NOT_EXISTS",
    "REFUND_NOT_EXISTS",
    "REFUNDNOTEXIST",
    "CONTRACT_NOT_EXIST",
    "NO_STATEMENT_EXIST",
    "STATEMENT_CREATING",
    "NO_DECLARATION",
    "ORDER_NEED_DECLARE",
    "PAYMENT_NOT_FOUND",
    "REFUND_NOT_FOUND",
    "DECLARATION_NOT_FOUND",
    "BILL_NOT_FOUND",
    "BILL_NOT_EXIST",
    "C0004",
    "B0014",
];

/// What came of one call.
#[derive(Debug, Clone)]
pub struct TrialCall {
    /// The gateway's operation.
    pub operation: String,
    /// What was answered; or what is wrong.
    pub found: Result<String, String>,
}

/// Which operations of a job kind on an account's kind of gateway change nothing.
pub fn queries(kind: &JobKind, gateway: &str) -> Vec<String> {
    let Some(operations) = kind.gateways.get(gateway) else {
        return Vec::new();
    };
    let submit = (!kind.effect && !kind.local).then_some(&operations.submit);
    let lookup = operations.lookup.as_ref().map(|lookup| &lookup.operation);
    let check = operations
        .payer_check
        .as_ref()
        .map(|check| &check.operation);
    let all = [
        submit,
        operations.query.as_ref(),
        operations.explain.as_ref(),
        lookup,
        check,
    ];
    all.into_iter().flatten().cloned().collect()
}

/// Makes one of them, about a day that is over where a day is asked about.
pub async fn attempt(account: &Account, kind: &JobKind, operation: &str, day: &str) -> TrialCall {
    let currency = kind
        .currency_field()
        .and_then(|field| field.currencies.first())
        .map_or("HKD", String::as_str);
    let amount = Currency::parse(currency)
        .ok()
        .and_then(|currency| Amount::parse("1", currency).ok());
    let order_no = OrderNumber::parse(NOBODYS);
    let Ok(order_no) = order_no else {
        return TrialCall {
            operation: operation.to_owned(),
            found: Err("payrun has no number to ask with".to_owned()),
        };
    };
    let call = Call {
        operation: operation.to_owned(),
        order_no,
        input: input(kind, day),
        amount: amount.filter(|_| kind.amount_field().is_some()),
        timeout: account.timeout,
    };
    let seen = in_time(account, &call).await;
    TrialCall {
        operation: operation.to_owned(),
        found: read(&seen),
    }
}

/// A value for every field that names something, of something that does not exist.
fn input(kind: &JobKind, day: &str) -> Map<String, Value> {
    let mut input = Map::new();
    for field in &kind.fields {
        let value = match (&field.kind, field.name.as_str()) {
            (FieldKind::Text { .. }, "transaction_id") => NOBODYS_DIGITS,
            (FieldKind::Text { .. }, "cert_id") => "11010119900307002X",
            (FieldKind::Text { .. }, "mch_customs_no") => "4403169D3W",
            (FieldKind::Text { .. }, "name") => "张三",
            (FieldKind::Text { .. }, "out_trade_no" | "contract_id") => NOBODYS,
            (FieldKind::Choice(words), "customs") => words.first().map_or("", String::as_str),
            (FieldKind::Date, "date" | "from" | "to") => day,
            (FieldKind::Text { .. }, "of") => "HKD",
            (
                FieldKind::Text { .. }
                | FieldKind::Choice(_)
                | FieldKind::Date
                | FieldKind::Decimal
                | FieldKind::Amount
                | FieldKind::Currency,
                _,
            ) => continue,
        };
        input.insert(field.name.clone(), value.into());
    }
    input
}

/// What one answer says of our request. It was taken where it was answered with a success, or with
/// a code that says that there is no such thing; who may not ask, asks too often or signs wrongly
/// learns nothing of it.
fn read(seen: &Observation) -> Result<String, String> {
    let code = seen.code.as_deref().unwrap_or_default();
    let (Delivery::Replied, Some(http)) = (&seen.delivery, seen.http) else {
        return Err(format!("no answer {}", seen.delivery.why())
            .trim_end()
            .to_owned());
    };
    let answered = format!("answered HTTP {http} {code}");
    let is_good = (200..300).contains(&http) && matches!(code, "" | "S0000" | "S0003");
    if is_good || MISSING.contains(&code) || is_about_something_missing(seen) {
        Ok(format!("taken; {}", answered.trim_end()))
    } else if WRONG_REQUEST.contains(&code) {
        let said = complaint(&seen.evidence).unwrap_or_default();
        Err(format!(
            "our request is wrong (HTTP {http} {code}{said}): report it, see docs/gateways/README.md"
        ))
    } else {
        Err(format!(
            "it says nothing of our request: {}",
            answered.trim_end()
        ))
    }
}

/// Whether the fine-grained code says that what was asked about does not exist, whatever the code
/// around it.
fn is_about_something_missing(seen: &Observation) -> bool {
    let sub_code = seen
        .result
        .get("sub_code")
        .and_then(Value::as_str)
        .unwrap_or_default();
    ["132021037", "35312011", "268512771"].contains(&sub_code)
}

/// Which parameter a gateway complains of, in its words.
fn complaint(evidence: &str) -> Option<String> {
    let body: Value = serde_json::from_str(evidence).ok()?;
    let at = |path: &str| {
        body.pointer(path)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    };
    let paths = [
        "/detail/field",
        "/detail/issue",
        "/message",
        "/error_message",
        "/result/message",
    ];
    let said: Vec<&str> = paths.into_iter().filter_map(at).collect();
    (!said.is_empty()).then(|| {
        format!(
            ": {}",
            said.join(", ").chars().take(300).collect::<String>()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use payrun_project::job_kinds::JobKinds;

    #[test]
    fn nothing_that_has_an_effect_is_ever_tried() {
        let job_kinds = JobKinds::built_in();
        let submits = [
            "deduct",
            "refund",
            "declare",
            "redeclare",
            "cancel",
            "terminate",
            "pay",
        ];
        for kind in job_kinds.by_name.values() {
            for (gateway, operations) in &kind.gateways {
                let tried = queries(kind, gateway);
                assert!(
                    !kind.effect || !tried.contains(&operations.submit),
                    "{} {gateway}",
                    kind.name
                );
            }
        }
        assert!(submits.iter().all(|name| job_kinds.by_name[*name].effect));
    }

    #[test]
    fn a_parameter_the_gateway_complains_of_is_named() {
        let mut seen = Observation::of(Delivery::Replied);
        (seen.http, seen.code) = (Some(400), Some("PARAM_ERROR".to_owned()));
        seen.evidence =
            r#"{"code":"PARAM_ERROR","message":"not defined","detail":{"field":"mchid"}}"#
                .to_owned();
        assert!(read(&seen).unwrap_err().contains("mchid, not defined"));
        seen.result.insert("sub_code".into(), "35312011".into());
        assert_eq!(read(&seen).unwrap(), "taken; answered HTTP 400 PARAM_ERROR");
        (seen.http, seen.code) = (Some(404), Some("NOT_FOUND".to_owned()));
        assert_eq!(read(&seen).unwrap(), "taken; answered HTTP 404 NOT_FOUND");
        for (http, code) in [
            (401, "SIGN_ERROR"),
            (403, "INVALID_REQUEST"),
            (500, "SYSTEM_ERROR"),
            (404, ""),
            (200, "40004"),
        ] {
            (seen.http, seen.code) = (Some(http), Some(code.to_owned()));
            seen.result.clear();
            assert!(
                read(&seen)
                    .unwrap_err()
                    .starts_with("it says nothing of our request"),
                "{http} {code}"
            );
        }
    }
}
