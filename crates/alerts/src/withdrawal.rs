//! What a person can do about a withdrawal that came too late, by what the item's job does.

/// Whether a job of this kind takes money that can be given back.
pub fn takes_money(kind: &str) -> bool {
    matches!(kind, "deduct" | "pay")
}

/// What is left to do.
pub fn remedy(kind: &str, item: i64) -> String {
    if takes_money(kind) {
        return format!(
            "`payrun refund {item} --reason WHY` writes a workflow that gives it back, for somebody to approve"
        );
    }
    let remedy = match kind {
        "refund" => "the money went back to the payer; if it was to stay, it has to be taken anew",
        "cancel" => {
            "the order was withdrawn, or its payment taken back; if it was to stand, the payer has to pay anew"
        }
        "declare" | "redeclare" => {
            "the customs have the declaration; job kind redeclare changes it"
        }
        "terminate" => "the contract has ended at the gateway; the payer has to sign another",
        _ => "compare with the gateway's own records what it did",
    };
    remedy.to_owned()
}
