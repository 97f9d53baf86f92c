//! A row's money: its amount with its currency, and what stands beside it.

use std::borrow::Cow;

use payrun_domain::money::{Amount, Currency, decimal_text, parse_minor};

use super::{FieldValues, find};
use crate::job_kinds::{FieldKind, InputField, JobKind};

/// Money beside the amount, written with all its decimals; and what must add up to the amount.
pub(super) fn check_decimals(
    values: &mut FieldValues<'_>,
    kind: &JobKind,
    amount: Option<Amount>,
    reasons: &mut Vec<String>,
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
            reasons.push(format!(
                "{} is {text}, which may be {} or {}: write it with its decimals ({})",
                bound.field,
                written(whole),
                written(hundredth),
                bound.remedy
            ));
        }
    }
    let (mut sum, mut given) = (0_i64, 0);
    for (field, value) in values
        .iter_mut()
        .filter(|(field, _)| field.kind == FieldKind::Decimal)
    {
        match parse_minor(value, currency) {
            Ok(minor) if minor < 0 => reasons.push(format!("{} is below zero", field.name)),
            Ok(minor) => {
                *value = Cow::Owned(decimal_text(i128::from(minor), currency));
                read.push((field.name.as_str(), minor));
                if parts.contains(&field.name) {
                    sum = sum.saturating_add(minor);
                    given += 1;
                }
            }
            Err(error) => reasons.push(format!("{}: {error}", field.name)),
        }
    }
    if let Some(amount) =
        amount.filter(|amount| given > 0 && given == parts.len() && sum != amount.minor())
    {
        let text = |minor: i64| decimal_text(i128::from(minor), currency);
        let part = |(name, minor): &(&str, i64)| format!("{name} {}", text(*minor));
        let summed: Vec<String> = read
            .iter()
            .filter(|(name, _)| parts.iter().any(|part| part == name))
            .map(part)
            .collect();
        reasons.push(format!(
            "{} add up to {}, and the amount is {}",
            summed.join(" and "),
            text(sum),
            amount.decimal()
        ));
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
            let (field, other) = (&bound.field, &bound.most);
            let what = format!(
                "{field} is {}, and {other} only {}: {}",
                text(minor),
                text(most),
                bound.remedy
            );
            reasons.push(what);
        }
    }
}

/// The amount and its currency; both, or neither.
pub(super) fn amount_of(
    values: &[(&InputField, Cow<'_, str>)],
    reasons: &mut Vec<String>,
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
                reasons.push(format!(
                    "{} stands alone: an amount and its currency belong together",
                    alone.name
                ));
            }
            return None;
        }
    };
    let told = |field: &InputField, error: String| {
        if field.sensitive {
            format!("{} is wrong", field.name)
        } else {
            format!("{}: {error}", field.name)
        }
    };
    let parsed = Currency::parse(code).map_err(|error| told(currency_field, error.to_string()));
    let parsed = parsed.and_then(|currency| {
        Amount::parse(text, currency).map_err(|error| told(field, error.to_string()))
    });
    parsed.map_err(|reason| reasons.push(reason)).ok()
}
