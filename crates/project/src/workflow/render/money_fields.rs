//! A row's money: its amount with its currency, and what stands beside it.

use std::borrow::Cow;

use payrun_domain::message::Message;
use payrun_domain::money::{Amount, Currency, decimal_text, parse_minor};

use super::{FieldValues, find, of_field};
use crate::job_kinds::field::FIELD;
use crate::job_kinds::{FieldKind, InputField, JobKind, remedies};

/// Money beside the amount, written with all its decimals; and what must add up to the amount.
pub(super) fn check_decimals(
    values: &mut FieldValues<'_>,
    kind: &JobKind,
    amount: Option<Amount>,
    reasons: &mut Vec<Message>,
) {
    let Some(currency) = amount
        .map(Amount::currency)
        .or_else(|| kind.only_currency())
    else {
        return;
    };
    let parts = &kind.amount_is_sum_of;
    let mut read: Vec<(&str, i64)> = Vec::new();
    // The gateways' documents count it in another unit, so that 88 may be 88.00 or 0.88, whatever
    // stands beside it: it is written out.
    for bound in &kind.not_above {
        // What is above it in main units is told below.
        let most = find(values, &bound.most).and_then(|most| parse_minor(most, currency).ok());
        let fits = |minor: i64| minor > 0 && most.is_none_or(|most| minor <= most);
        let bare = |text: &&str| !text.contains('.') && parse_minor(text, currency).is_ok_and(fits);
        if let Some(text) = find(values, &bound.field)
            .filter(|_| currency.exponent() > 0)
            .filter(bare)
        {
            let whole = parse_minor(text, currency).unwrap_or_default();
            let written = |minor: i64| decimal_text(i128::from(minor), currency);
            let hundredth = whole / 10_i64.pow(currency.exponent());
            let bare = Message::new(
                "field-bare-number",
                "{field} is {text}, which may be {whole} or {hundredth}: write it with its decimals ({remedy})",
            );
            reasons.push(
                bare.with(FIELD, &bound.field)
                    .with("text", text)
                    .with("whole", written(whole))
                    .with("hundredth", written(hundredth))
                    .with("remedy", remedies::told(&bound.remedy)),
            );
        }
    }
    let (mut sum, mut given) = (0_i64, 0);
    for (field, value) in values
        .iter_mut()
        .filter(|(field, _)| field.kind == FieldKind::Decimal)
    {
        match parse_minor(value, currency) {
            Ok(minor) if minor < 0 => {
                let below = Message::new("field-below-zero", "{field} is below zero");
                reasons.push(below.with(FIELD, &field.name));
            }
            Ok(minor) => {
                *value = Cow::Owned(decimal_text(i128::from(minor), currency));
                read.push((field.name.as_str(), minor));
                if parts.contains(&field.name) {
                    sum = sum.saturating_add(minor);
                    given += 1;
                }
            }
            Err(error) => reasons.push(of_field(field, error.message())),
        }
    }
    if let Some(amount) =
        amount.filter(|amount| given > 0 && given == parts.len() && sum != amount.minor())
    {
        let text = |minor: i64| decimal_text(i128::from(minor), currency);
        let mut summed = read
            .iter()
            .filter(|(name, _)| parts.iter().any(|part| part == name));
        let first = summed.next().copied().unwrap_or_default();
        let behind = |others: Option<Message>, (name, minor): &(&str, i64)| {
            Some(
                Message::new("sum-part", " and {name} {value}{others}")
                    .with("name", *name)
                    .with("value", text(*minor))
                    .with("others", others),
            )
        };
        let differs = Message::new(
            "sum-differs",
            "{field} {value}{others} add up to {sum}, and the amount is {amount}",
        );
        reasons.push(
            differs
                .with(FIELD, first.0)
                .with("value", text(first.1))
                .with("others", summed.rev().fold(None, behind))
                .with("sum", text(sum))
                .with("amount", amount.decimal()),
        );
    }
    read.extend(
        kind.amount_field()
            .map(|field| field.name.as_str())
            .zip(amount.map(Amount::minor)),
    );
    let find = |name: &str| {
        read.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, minor)| *minor)
    };
    for bound in &kind.not_above {
        if let Some((minor, most)) = find(&bound.field)
            .zip(find(&bound.most))
            .filter(|(minor, most)| minor > most)
        {
            let text = |minor: i64| decimal_text(i128::from(minor), currency);
            let above = Message::new(
                "field-above",
                "{field} is {value}, and {other} only {most}: {remedy}",
            );
            reasons.push(
                above
                    .with(FIELD, &bound.field)
                    .with("value", text(minor))
                    .with("other", &bound.most)
                    .with("most", text(most))
                    .with("remedy", remedies::told(&bound.remedy)),
            );
        }
    }
}

/// The amount and its currency; both, or neither.
pub(super) fn amount_of(
    values: &[(&InputField, Cow<'_, str>)],
    reasons: &mut Vec<Message>,
) -> Option<Amount> {
    let of = |kind: &FieldKind| values.iter().find(|(field, _)| field.kind == *kind);
    let (amount, currency) = (of(&FieldKind::Amount), of(&FieldKind::Currency));
    let ((field, text), (currency_field, code)) = match (amount, currency) {
        (Some(amount), Some(currency)) => (amount, currency),
        (None, None) => return None,
        (None, Some(_)) => return None,
        (Some((alone, _)), None) => {
            // A missing one that is required has been noted already.
            if !alone.required {
                let stands_alone = Message::new(
                    "amount-alone",
                    "{field} stands alone: an amount and its currency belong together",
                );
                reasons.push(stands_alone.with(FIELD, &alone.name));
            }
            return None;
        }
    };
    let told = |field: &InputField, error: Message| {
        if field.sensitive {
            Message::new("field-is-wrong", "{field} is wrong").with(FIELD, &field.name)
        } else {
            of_field(field, error)
        }
    };
    let parsed = Currency::parse(code).map_err(|error| told(currency_field, error.message()));
    let parsed = parsed.and_then(|currency| {
        Amount::parse(text, currency).map_err(|error| told(field, error.message()))
    });
    parsed.map_err(|reason| reasons.push(reason)).ok()
}
