//! What a customs declaration is to every gateway that files one: which it is, and how much of it
//! is what.
//!
//! It reads a call's input and knows no protocol. The invariant: amounts are exact, and a reply
//! that names another customs, payment or sub-order is never taken for ours.

use super::Call;
use super::exchange::{required, text};
use payrun_domain::money::{Amount, Currency, MoneyError};

/// Which declaration is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeclarationIds {
    /// The merchant's number of the payment. Of a declaration that is not split it is the item's,
    /// if the input has none.
    pub out_trade_no: Option<String>,
    /// The gateway's number of the payment.
    pub transaction_id: Option<String>,
    /// The merchant's number of the sub-order, where the payment is split.
    pub sub_order_no: Option<String>,
    /// The code of the customs.
    pub customs: String,
}

/// What a reply says that it speaks of; a gateway does not always say everything.
#[derive(Debug, Default)]
pub(super) struct NamedDeclaration<'a> {
    pub customs: Option<&'a str>,
    pub out_trade_no: Option<&'a str>,
    pub transaction_id: Option<&'a str>,
    pub sub_order_no: Option<&'a str>,
}

impl DeclarationIds {
    /// From the fields `out_trade_no`, `transaction_id`, `sub_order_no` and `customs`.
    pub(super) fn of(call: &Call) -> Result<Self, String> {
        let owned = |field| text(call, field).map(str::to_owned);
        let sub_order_no = owned("sub_order_no");
        let whole = sub_order_no
            .is_none()
            .then(|| call.order_no.as_str().to_owned());
        Ok(Self {
            out_trade_no: owned("out_trade_no").or(whole),
            transaction_id: owned("transaction_id"),
            sub_order_no,
            customs: required(call, "customs")?.to_owned(),
        })
    }

    /// The merchant's number of the payment, where it cannot be done without.
    pub(super) fn payment(&self) -> Result<&str, String> {
        self.out_trade_no
            .as_deref()
            .ok_or_else(|| "the call has no out_trade_no".to_owned())
    }

    /// Whether a reply speaks of this one, as far as it says.
    pub(super) fn check(&self, said: &NamedDeclaration<'_>) -> Result<(), String> {
        let differs = |said: Option<&str>, ours: Option<&str>| {
            said.filter(|said| !said.is_empty())
                .zip(ours)
                .is_some_and(|(said, ours)| said != ours)
        };
        if differs(said.customs, Some(&self.customs)) {
            return Err("the reply speaks of another customs".into());
        }
        if differs(said.transaction_id, self.transaction_id.as_deref())
            || differs(said.out_trade_no, self.out_trade_no.as_deref())
        {
            return Err("the reply speaks of another payment".into());
        }
        // A sub-order's reply is not that of the whole payment.
        if differs(
            said.sub_order_no,
            Some(self.sub_order_no.as_deref().unwrap_or_default()),
        ) {
            return Err("the reply speaks of another sub-order".into());
        }
        Ok(())
    }

    /// The number a reply that passed [`DeclarationIds::check`] speaks of: the sub-order's if it
    /// names one; the payment's if the declaration is not split; else none, since nothing is
    /// reported that was not said.
    pub(super) fn number(&self, said: &NamedDeclaration<'_>) -> Option<String> {
        match &self.sub_order_no {
            Some(_) => said
                .sub_order_no
                .filter(|said| !said.is_empty())
                .map(str::to_owned),
            None => said
                .out_trade_no
                .map(str::to_owned)
                .or_else(|| self.out_trade_no.clone()),
        }
    }
}

/// What a sub-order costs. Transport and product may be zero each; that they add up is the
/// gateway's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SubOrderFees {
    /// All of it.
    pub order: Amount,
    /// In minor units of the order's currency.
    pub transport: i64,
    /// In minor units of the order's currency.
    pub product: i64,
}

impl SubOrderFees {
    /// From the call's amount and the decimal texts `transport_fee` and `product_fee`, in main
    /// units of its currency.
    pub(super) fn of(call: &Call) -> Result<Self, String> {
        let order = call
            .amount
            .ok_or("the declaration of a sub-order has an amount")?;
        let fee = |field| minor(field, required(call, field)?, order.currency());
        Ok(Self {
            order,
            transport: fee("transport_fee")?,
            product: fee("product_fee")?,
        })
    }
}

/// The number of an identity card as gateways want it: its check character is a capital X.
pub(super) fn card_number(text: &str) -> String {
    text.to_ascii_uppercase()
}

/// The duty in 0.01 CNY, from the decimal text `duty` in CNY, where there is one.
pub(super) fn duty(call: &Call) -> Result<Option<i64>, String> {
    let Some(text) = text(call, "duty") else {
        return Ok(None);
    };
    let cny = Currency::parse("CNY").map_err(|error| error.to_string())?;
    minor("duty", text, cny).map(Some)
}

/// A part of an amount, which unlike an [`Amount`] may be zero.
fn minor(field: &str, text: &str, currency: Currency) -> Result<i64, String> {
    match Amount::parse(text, currency) {
        Ok(amount) => Ok(amount.minor()),
        Err(MoneyError::NotPositive { .. }) if !text.starts_with('-') => Ok(0),
        Err(error) => Err(format!("{field}: {error}")),
    }
}

/// How a declaration is filed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefilingMethod {
    /// The same once more: for one that the customs lost.
    Redeclare,
    /// With other terms: voids the one before.
    Modify,
}

impl RefilingMethod {
    /// From the field `way`.
    pub(super) fn of(call: &Call) -> Result<Self, String> {
        match text(call, "way") {
            None | Some("redeclare") => Ok(Self::Redeclare),
            Some("modify") => Ok(Self::Modify),
            Some(_) => Err("way is redeclare or modify".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declaration_ids(sub_order_no: Option<&str>) -> DeclarationIds {
        DeclarationIds {
            out_trade_no: Some("P-1".into()),
            transaction_id: Some("42".into()),
            sub_order_no: sub_order_no.map(str::to_owned),
            customs: "SHENZHEN".into(),
        }
    }

    #[test]
    fn a_reply_about_anything_else_is_not_taken_for_ours() {
        let named = |customs, payment, sub_order| NamedDeclaration {
            customs: Some(customs),
            out_trade_no: None,
            transaction_id: Some(payment),
            sub_order_no: sub_order,
        };
        let ours = declaration_ids(Some("S-1"));
        assert_eq!(ours.check(&named("SHENZHEN", "42", Some("S-1"))), Ok(()));
        assert_eq!(ours.check(&NamedDeclaration::default()), Ok(()));
        assert!(
            ours.check(&named("NINGBO", "42", Some("S-1")))
                .unwrap_err()
                .contains("another customs")
        );
        assert!(
            ours.check(&named("SHENZHEN", "43", Some("S-1")))
                .unwrap_err()
                .contains("another payment")
        );
        assert!(
            ours.check(&named("SHENZHEN", "42", Some("S-2")))
                .unwrap_err()
                .contains("another sub-order")
        );
        assert!(
            declaration_ids(None)
                .check(&named("SHENZHEN", "42", Some("S-2")))
                .is_err()
        );
    }

    #[test]
    fn nothing_is_reported_that_a_reply_did_not_say_of_a_sub_order() {
        let said = NamedDeclaration {
            out_trade_no: Some("P-1"),
            ..NamedDeclaration::default()
        };
        assert_eq!(
            (
                declaration_ids(Some("S-1")).number(&said),
                declaration_ids(None).number(&said)
            ),
            (None, Some("P-1".into()))
        );
    }

    #[test]
    fn a_fee_may_be_zero_and_is_exact_otherwise() {
        let cny = Currency::parse("CNY").unwrap();
        let fee = |text| minor("duty", text, cny).ok();
        assert_eq!(
            (fee("0"), fee("0.00"), fee("23.22"), fee("0.1")),
            (Some(0), Some(0), Some(2322), Some(10))
        );
        assert_eq!(
            (fee("-0"), fee("-1"), fee("1.001"), fee("x")),
            (None, None, None, None)
        );
    }
}
