//! The seeded faults of what is signed and verified (`payrun_domain::mutation`).

use payrun_domain::mutation::{Mutation, is};

/// The path of a request alone, whose query is sent and not signed.
pub(crate) fn signed_target(target: &str) -> &str {
    match target.split_once('?') {
        Some((path, _)) if is(Mutation::QueryNotSigned) => path,
        Some(_) | None => target,
    }
}

/// Parameters as they came, not sorted.
pub(crate) fn pairs<'a>(
    sorted: Vec<(&'a str, &'a str)>,
    params: &'a [(String, String)],
) -> Vec<(&'a str, &'a str)> {
    if !is(Mutation::ParametersNotSorted) {
        return sorted;
    }
    let pair = |(name, value): &'a (String, String)| (name.as_str(), value.as_str());
    params.iter().map(pair).collect()
}

/// `~` percent-encoded.
pub(crate) fn keeps(keeps: bool, byte: u8) -> bool {
    keeps && !(byte == b'~' && is(Mutation::TildeEncoded))
}

/// The parts of EGMS's digest in another order.
pub(crate) fn digest_parts<'a>(date_time: &'a str, msg_id: &'a str) -> (&'a str, &'a str) {
    if is(Mutation::DigestPartsSwapped) {
        (msg_id, date_time)
    } else {
        (date_time, msg_id)
    }
}

/// CBTIS's key before the body.
pub(crate) fn digest_of<'a>(body: &'a [u8], key: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if is(Mutation::DigestKeyFirst) {
        (key, body)
    } else {
        (body, key)
    }
}
