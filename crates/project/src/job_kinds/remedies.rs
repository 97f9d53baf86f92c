//! What to do about a row that breaks a rule of a job kind, and about a code of a gateway, for other
//! languages: the built-in kinds say it in English in their files, and here each of these sentences
//! has its id.

use payrun_domain::message::Message;

static BUILT_IN: [Message; 26] = [
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
    Message::new(
        "advice-refund-paid",
        "it is paid: refund it (job kind refund)",
    ),
    Message::new(
        "advice-no-order-to-withdraw",
        "the gateway knows no such order on this account, so there is nothing to withdraw: compare out_trade_no with the order",
    ),
    Message::new(
        "advice-given-back",
        "it was paid and is given back: there is nothing left to withdraw",
    ),
    Message::new(
        "advice-file-again",
        "mend the row and give it again in the same workflow: it is filed with the new content as the gateway demands",
    ),
    Message::new(
        "advice-no-payment-to-declare",
        "the gateway knows no such payment on this account: compare out_trade_no and transaction_id with the payment, mend the row and give it again in the same workflow",
    ),
    Message::new(
        "advice-mend-buyer",
        "the filing goes on: mend the buyer of your own order, or let the buyer pay",
    ),
    Message::new(
        "advice-no-declared-order",
        "the gateway knows no such declared order on this account: compare the numbers, and whether it was declared",
    ),
    Message::new(
        "advice-no-order",
        "the gateway knows no order by this number on this account: compare the number and the account",
    ),
    Message::new("advice-declare-first", "declare it first"),
    Message::new(
        "advice-file-again-or-other-key",
        "mend the row and give it again: in the workflow that declared it, or, where a file is modified, under another key",
    ),
    Message::new(
        "advice-no-declaration",
        "the gateway has no such declaration on this account: compare the numbers; what was never declared is declared by the job kind declare",
    ),
    Message::new(
        "advice-no-payment",
        "the gateway knows no payment by this number on this account: compare out_trade_no (or transaction_id) with the payment, and plan the mended row with a key of its own",
    ),
    Message::new(
        "advice-hipopay-refund-number",
        "the refund failed, and HipoPay takes its number no second time (0001). To refund under a new number: payrun resolve --failed, then payrun retry",
    ),
    Message::new(
        "advice-no-contract",
        "the gateway knows no such contract on this account: compare the number",
    ),
];

/// A remedy, or the advice of an outcome table; one of a person's own job kind is the same in every
/// language.
pub fn told(remedy: &str) -> Message {
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
        let sentences = kinds.by_name.values().flat_map(|kind| {
            let gateways = kind.gateways.values();
            let rules = gateways.clone().flat_map(|gateway| &gateway.rules);
            let rows = gateways.flat_map(|gateway| gateway.outcomes());
            rules
                .map(|rule| rule.remedy.as_str())
                .chain(kind.not_above.iter().map(|bound| bound.remedy.as_str()))
                .chain(rows.filter_map(|row| row.advice.as_deref()))
        });
        let told: BTreeSet<&str> = sentences.collect();
        let known: BTreeSet<&str> = BUILT_IN.iter().map(Message::english).collect();
        assert_eq!(told, known);
    }
}
