//! Contracts: there is no list of them. What one is worth follows from the end of its id (the table
//! in [`super`]).

use serde_json::{Value, json};

use crate::wechat::order_book::OrderState;

/// What the end of a contract's id makes of a deduction: the code, and the state the order is left
/// in.
pub(crate) fn refusal(contract_id: &str) -> Option<(&'static str, OrderState)> {
    if contract_id.ends_with("-terminated") || contract_id.ends_with("-unknown") {
        Some(("CONTRACT_NOT_EXIST", OrderState::Seen))
    } else if contract_id.ends_with("-blocked") {
        Some(("USER_ACCOUNT_ABNORMAL", OrderState::Seen))
    } else if contract_id.ends_with("-poor") {
        Some(("NOT_ENOUGH", OrderState::NotPay))
    } else {
        None
    }
}

/// A contract as its query shows it; none if there is no such contract. `ended`: the merchant has
/// ended it, with this note. How its mode is spelled then is not documented [C].
pub(crate) fn show(contract_id: &str, ended: Option<String>) -> Option<Value> {
    if contract_id.ends_with("-unknown")
        || contract_id.is_empty()
        || contract_id.chars().count() > 64
    {
        return None;
    }
    let mut shown = json!({
        "contract_id": contract_id,
        "plan_id": "12535",
        "out_contract_code": contract_id,
        "user_display_name": "A Payer",
        "openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6a",
        "state": "SIGNED",
        "signed_time": "2026-01-01T00:00:00+08:00",
    });
    if contract_id.ends_with("-terminated") {
        shown["state"] = json!("TERMINATED");
        shown["terminated_time"] = json!("2026-02-01T00:00:00+08:00");
        shown["termination_mode"] = json!("USER");
    }
    if let Some(note) = ended {
        shown["state"] = json!("TERMINATED");
        shown["terminated_time"] = json!("2026-02-01T00:00:00+08:00");
        shown["termination_mode"] = json!("MERCHANT");
        shown["termination_note"] = json!(note);
    }
    Some(shown)
}
