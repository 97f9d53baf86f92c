//! Bodies as EGMS reads them, checked against the documented tables. Written apart from the
//! client's own types on purpose.

use serde::Deserialize;
use serde_json::Value;

use super::EgmsRefusal;
use crate::shared::json_body::{self, BodyError};
use crate::shared::transactions::{TransactionKind, TransactionRequest};
use payrun_domain::money::{Amount, Currency};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    merchant_trans_info: TransInfo,
    #[serde(rename = "storeInfo")]
    _store_info: Option<Value>,
    trans_amount: TransAmount,
    #[serde(rename = "validTime")]
    _valid_time: Option<u32>,
    #[serde(rename = "returnURL")]
    return_url: Option<String>,
    payment_method: PaymentMethod,
    trans_initiator: TransInitiator,
    webhook: Option<String>,
    metadata: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UndoRequest {
    merchant_trans_info: TransInfo,
    trans_amount: Option<TransAmount>,
    initiating_reason: Option<String>,
    webhook: Option<String>,
    metadata: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TransInfo {
    #[serde(rename = "merchantTransID")]
    id: String,
    #[serde(rename = "merchantTransTime")]
    time: String,
    #[serde(rename = "merchantOrderReference")]
    _reference: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TransAmount {
    currency: String,
    value: String,
}

#[derive(Debug, Deserialize)]
struct PaymentMethod {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "e-wallet")]
    e_wallet: EWallet,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct EWallet {
    payment_brand: String,
    #[serde(rename = "subOpenID")]
    sub_open_id: Option<String>,
    #[serde(rename = "subAppID")]
    sub_app_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TransInitiator {
    platform: String,
}

/// A payment.
pub(super) fn payment(bytes: &[u8]) -> Result<TransactionRequest, EgmsRefusal> {
    let body: Payment = read(bytes)?;
    let wallet = &body.payment_method.e_wallet;
    if body.payment_method.kind != "e-wallet" || wallet.payment_brand != "WeChat_Pay" {
        return Err(EgmsRefusal {
            code: "B0006",
            reason: "wrong_brand",
        });
    }
    let needs_ids = match body.trans_initiator.platform.as_str() {
        "WEB" | "WAP" | "INWALLET" => (false, false),
        "APP" => (true, false),
        "MINI" => (true, true),
        _ => {
            return Err(EgmsRefusal {
                code: "V0002",
                reason: "wrong_platform",
            });
        }
    };
    if (needs_ids.0 && wallet.sub_app_id.is_none()) || (needs_ids.1 && wallet.sub_open_id.is_none())
    {
        return Err(EgmsRefusal {
            code: "V0007",
            reason: "missing_wallet_ids",
        });
    }
    short(body.return_url.as_deref(), 300)?;
    short(body.webhook.as_deref(), 300)?;
    short(body.metadata.as_deref(), 512)?;
    let amount = amount(&body.trans_amount)?;
    Ok(TransactionRequest {
        kind: TransactionKind::Payment,
        number: number(&body.merchant_trans_info, body.webhook.as_deref())?,
        of: String::new(),
        currency: amount.currency().code().to_owned(),
        minor: amount.minor(),
        body: bytes.to_vec(),
        waits: true,
    })
}

/// A refund, with an amount, or a cancellation, without one, of a payment whose currency is known
/// if it exists.
pub(super) fn undo(
    bytes: &[u8],
    kind: TransactionKind,
    payment: String,
    currency: Option<String>,
) -> Result<TransactionRequest, EgmsRefusal> {
    let body: UndoRequest = read(bytes)?;
    short(body.initiating_reason.as_deref(), 64)?;
    short(body.webhook.as_deref(), 300)?;
    short(body.metadata.as_deref(), 512)?;
    let amount = match (&body.trans_amount, kind) {
        (Some(given), TransactionKind::Refund) => Some(amount(given)?),
        (None, TransactionKind::Cancel | TransactionKind::Payment) => None,
        (None, TransactionKind::Refund) => {
            return Err(EgmsRefusal {
                code: "V0001",
                reason: "missing_amount",
            });
        }
        (Some(_), TransactionKind::Cancel | TransactionKind::Payment) => {
            return Err(EgmsRefusal {
                code: "V0008",
                reason: "amount_of_a_cancel",
            });
        }
    };
    Ok(TransactionRequest {
        kind,
        number: number(&body.merchant_trans_info, body.webhook.as_deref())?,
        of: payment,
        currency: amount
            .map(|amount| amount.currency().code().to_owned())
            .or(currency)
            .unwrap_or_default(),
        minor: amount.map_or(0, Amount::minor),
        body: bytes.to_vec(),
        waits: true,
    })
}

/// Lengths are bytes (docs/gateways/egms.md, "Notes to the table").
fn short(text: Option<&str>, most: usize) -> Result<(), EgmsRefusal> {
    let long = text.is_some_and(|text| text.len() > most);
    if long {
        Err(EgmsRefusal {
            code: "V0002",
            reason: "too_long",
        })
    } else {
        Ok(())
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EgmsRefusal> {
    json_body::read(bytes).map_err(|wrong: BodyError| EgmsRefusal {
        code: match wrong {
            BodyError::MissingField => "V0001",
            BodyError::WrongType => "V0005",
        },
        reason: wrong.as_str(),
    })
}

fn number(info: &TransInfo, webhook: Option<&str>) -> Result<String, EgmsRefusal> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if info.id.is_empty() || info.id.len() > 32 || !info.id.bytes().all(allowed) {
        return Err(EgmsRefusal {
            code: "V0002",
            reason: "wrong_number",
        });
    }
    if chrono::DateTime::parse_from_rfc3339(&info.time).is_err() {
        return Err(EgmsRefusal {
            code: "V0002",
            reason: "wrong_time",
        });
    }
    if webhook.is_some_and(|url| !url.starts_with("https://")) {
        return Err(EgmsRefusal {
            code: "V0002",
            reason: "wrong_webhook",
        });
    }
    Ok(info.id.clone())
}

fn amount(given: &TransAmount) -> Result<Amount, EgmsRefusal> {
    let currency = Currency::parse(&given.currency).map_err(|_| EgmsRefusal {
        code: "B0007",
        reason: "unknown_currency",
    })?;
    Amount::parse(&given.value, currency).map_err(|_| EgmsRefusal {
        code: "V0002",
        reason: "wrong_amount",
    })
}
