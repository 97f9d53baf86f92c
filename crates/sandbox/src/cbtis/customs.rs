//! CBTIS's customs declarations. Where one is created and its four fields are documented; the other
//! paths, the fields of a sub-order and of the replies, and every `code`, are made up after WeChat
//! Pay's \[C\].

use serde::Deserialize;
use serde_json::{Value, json};

use super::body::read;
use super::{CbtisRefusal, CbtisSubjectReply, FakeCbtis, error, ok};
use crate::Settings;
use crate::faults::Fault;
use crate::shared::customs::{
    Declaration, DeclarationOutcome, DeclarationResult, DeclaredFees, DeclaredTerms, Key,
    PaidPayment,
};
use crate::shared::fault_flow::FaultReply;
use crate::shared::transactions::{TransactionKind, TransactionState};
use crate::wechat::customs::CUSTOMS;

#[derive(Debug, Deserialize)]
struct Body {
    order_id: Option<String>,
    merchant_order_id: String,
    customs: String,
    merchant_customs_no: Option<String>,
    sub_order_no: Option<String>,
    fee_type: Option<String>,
    order_fee: Option<i64>,
    transport_fee: Option<i64>,
    product_fee: Option<i64>,
    duty: Option<i64>,
}

impl Body {
    fn of(bytes: &[u8], settings: &Settings) -> Result<(Self, Key), CbtisRefusal> {
        let body: Self = read(bytes)?;
        if !settings.declares_to(&CUSTOMS, &body.customs) {
            return Err(CbtisRefusal::param("unknown_customs"));
        }
        let key = Key {
            order: body.merchant_order_id.clone(),
            sub_order: body.sub_order_no.clone().unwrap_or_default(),
            customs: body.customs.clone(),
        };
        Ok((body, key))
    }

    fn merchant_customs_no(&self) -> Result<&str, CbtisRefusal> {
        self.merchant_customs_no
            .as_deref()
            .filter(|number| !number.is_empty())
            .ok_or(CbtisRefusal::param("missing_parameter"))
    }

    fn terms(&self) -> Result<DeclaredTerms, CbtisRefusal> {
        let fees = match (
            &self.sub_order_no,
            self.fee_type.as_deref(),
            self.order_fee,
            self.transport_fee,
            self.product_fee,
        ) {
            (None, None, None, None, None) => None,
            // The request table of each call says whether it takes a currency.
            (Some(_), None | Some("CNY"), Some(order), Some(transport), Some(product)) => {
                Some(DeclaredFees {
                    currency: "CNY".into(),
                    order,
                    transport,
                    product,
                })
            }
            _ => return Err(CbtisRefusal::param("wrong_sub_order")),
        };
        let fees = fees
            .map(DeclaredFees::check)
            .transpose()
            .map_err(|refusal| CbtisRefusal::param(refusal.reason))?;
        Ok(DeclaredTerms {
            merchant_customs_no: self.merchant_customs_no()?.to_owned(),
            duty: self.duty,
            fees,
            person: None,
        })
    }
}

impl FakeCbtis {
    pub(super) fn declare(&self, bytes: &[u8]) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let (body, key) = Body::of(bytes, &self.responder.settings)?;
        let paid = self.paid(&key.order, body.order_id.as_deref());
        let (settings, now) = (&self.responder.settings, self.responder.clock.now());
        let outcome = self.responder.declarations().declare(
            &key,
            body.terms()?,
            paid.as_ref(),
            settings,
            now,
        );
        Ok(said(&key, outcome))
    }

    pub(super) fn modify(&self, bytes: &[u8]) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let (body, key) = Body::of(bytes, &self.responder.settings)?;
        let paid = self.paid(&key.order, body.order_id.as_deref());
        let (settings, now) = (&self.responder.settings, self.responder.clock.now());
        let outcome =
            self.responder
                .declarations()
                .modify(&key, body.terms()?, paid.as_ref(), settings, now);
        Ok(said(&key, outcome))
    }

    pub(super) fn redeclare(&self, bytes: &[u8]) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let (body, key) = Body::of(bytes, &self.responder.settings)?;
        let (settings, now) = (&self.responder.settings, self.responder.clock.now());
        let outcome = self.responder.declarations().redeclare(
            &key,
            body.merchant_customs_no()?,
            settings,
            now,
        );
        Ok(said(&key, outcome))
    }

    pub(super) fn query_declaration(
        &self,
        bytes: &[u8],
    ) -> Result<CbtisSubjectReply, CbtisRefusal> {
        let (_, key) = Body::of(bytes, &self.responder.settings)?;
        let (settings, now) = (&self.responder.settings, self.responder.clock.now());
        let (mut seen, fault) =
            self.responder
                .declarations()
                .query(std::slice::from_ref(&key), settings, now);
        let body = seen
            .pop()
            .map_or_else(|| error(404_001), |entry| ok(show(&entry, None)));
        Ok((key.number().to_owned(), body, fault))
    }

    /// A payment by its numbers, if it was paid.
    fn paid(&self, number: &str, theirs: Option<&str>) -> Option<PaidPayment> {
        let transactions = self.responder.transactions();
        let entry = transactions.entry(TransactionKind::Payment, number)?;
        let fits = entry.state == TransactionState::Done
            && theirs.is_none_or(|theirs| entry.theirs == theirs);
        fits.then(|| PaidPayment {
            theirs: entry.theirs.clone(),
            currency: entry.currency.clone(),
            minor: entry.minor,
        })
    }
}

fn said(key: &Key, outcome: DeclarationOutcome) -> CbtisSubjectReply {
    let DeclarationOutcome { what, fault } = outcome;
    let body = match what {
        DeclarationResult::Shown(entry) => ok(show(&entry, fault)),
        DeclarationResult::Differs => error(409_001),
        DeclarationResult::NoPayment => error(404_002),
        DeclarationResult::TooMany | DeclarationResult::TooMuch => error(409_003),
        DeclarationResult::WrongState => error(409_002),
        DeclarationResult::Absent => error(404_001),
        DeclarationResult::Faulty(FaultReply::Soft) => error(429_001),
        DeclarationResult::Faulty(FaultReply::Hard) => error(403_001),
        DeclarationResult::Faulty(FaultReply::Unmapped) => error(999_999),
        DeclarationResult::Full => error(500_001),
    };
    (key.number().to_owned(), body, fault)
}

/// A declaration as every reply shows it. There is no amount to be another, so under that fault the
/// customs are.
fn show(entry: &Declaration, fault: Option<Fault>) -> Value {
    let another = if entry.key.customs == "NINGBO" {
        "TIANJIN"
    } else {
        "NINGBO"
    };
    let mut said = json!({
        "order_id": entry.payment,
        "merchant_order_id": entry.key.order,
        "customs": if fault == Some(Fault::OtherAmount) { another } else { &entry.key.customs },
        "state": entry.state.as_str(),
        "modify_time": entry.modified_at.to_string(),
        "verify_department": "NETSUNION",
        "verify_department_trade_id": entry.theirs,
    });
    if !entry.key.sub_order.is_empty() {
        said["sub_order_no"] = json!(entry.key.sub_order);
    }
    if let Some(explanation) = entry.explanation() {
        said["explanation"] = json!(explanation);
    }
    said
}
