//! What to do about a row that breaks a rule of a job kind, for other languages: the built-in kinds
//! say it in English in their files, and here each of these sentences has its id.

use payrun_domain::message::Message;

static BUILT_IN: [Message; 12] = [
    Message::new(
        "remedy-duty-unit",
        "duty is in main units of CNY; the gateways' documents count it in 0.01 CNY, where 88 is 0.88",
    ),
    Message::new(
        "remedy-cbtis-no-buyer",
        "CBTIS documents no field for the buyer; leave it out",
    ),
    Message::new(
        "remedy-cbtis-no-duty",
        "CBTIS documents no field for the duty of a payment that is not split; leave it out",
    ),
    Message::new(
        "remedy-whole-shop",
        "WeChat Pay takes a shop with its name and address, or none",
    ),
    Message::new(
        "remedy-settlement-apart",
        "give the amount in CNY and the currency of settlement apart, or leave is_rmb out",
    ),
    Message::new(
        "remedy-settlement-beside-cny",
        "HipoPay takes a currency of settlement only beside a price in CNY; set is_rmb, or leave settlement_currency out",
    ),
    Message::new(
        "remedy-egms-mini-program",
        "EGMS wants the payer's openid at the mini-program, and its appid",
    ),
    Message::new(
        "remedy-egms-app",
        "EGMS wants the appid that WeChat gave your app",
    ),
    Message::new(
        "remedy-official-account",
        "in an official account WeChat Pay wants the payer's openid and the account's appid",
    ),
    Message::new(
        "remedy-cbtis-mini-program",
        "CBTIS wants the payer's openid at the mini-program, and its appid",
    ),
    Message::new(
        "remedy-settlement-of-cny",
        "with is_rmb TRUE a payment's amount is in CNY; leave settlement_currency out of any other payment's row",
    ),
    Message::new(
        "remedy-egms-own-number",
        "EGMS finds a payment by your number alone (merchantTransID); give that in place of transaction_id",
    ),
];

/// A remedy; one of a person's own job kind is the same in every language.
pub(crate) fn told(remedy: &str) -> Message {
    let known = BUILT_IN.iter().find(|known| known.english() == remedy);
    known
        .cloned()
        .unwrap_or_else(|| Message::plain(remedy.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::job_kinds::JobKinds;

    #[test]
    fn every_remedy_of_a_built_in_kind_can_be_said_in_other_languages() {
        let kinds = JobKinds::built_in();
        let rules = kinds.by_name.values().flat_map(|kind| {
            let of_gateways = kind.gateways.values().flat_map(|gateway| &gateway.rules);
            let remedies = of_gateways.map(|rule| rule.remedy.as_str());
            remedies.chain(kind.not_above.iter().map(|bound| bound.remedy.as_str()))
        });
        let told: BTreeSet<&str> = rules.collect();
        let known: BTreeSet<&str> = BUILT_IN.iter().map(Message::english).collect();
        assert_eq!(told, known);
    }
}
