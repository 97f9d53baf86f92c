//! Every code and state that a gateway documents has a row wherever it can come up.

use std::collections::BTreeSet;

use super::{JobKinds, OutcomeRow};

/// What a query at HipoPay can show: the HipoPay document, "Check Payment Order" and "Payment
/// Order Status".
const HIPOPAY: &str =
    "INIT PAID FAIL USERPAYING EXPIRED PAYMENT_NOT_FOUND ILLEGAL_SECURITY_PROFILE";

/// What a query at EGMS can show: docs/gateways/egms.md, "Error codes".
const EGMS: &str = "S0003 V0000 V0001 V0002 V0003 V0004 V0005 V0006 V0007 V0008 V0009 V0010 \
    C0000 C0001 C0002 C0003 C0004 C0005 C0006 C0007 C0008 C0009 C0010 C0011 C0012 \
    B0000 B0001 B0002 B0003 B0004 B0005 B0006 B0007 B0008 B0009 B0011 B0012 B0013 B0014 B0032 B0035 \
    Pending Authorised Capturing Captured Cancelling Cancelled Refunding Refunded Failed Verifying";

/// What a query at CBTIS can show: the CBTIS document, "Explain of status"; it documents no code,
/// and `NOT_FOUND` is what the account's configuration says of one.
const CBTIS: &str = "PENDING SUCCEEDED CANCELLED NOT_FOUND";

/// The refund codes of the HipoPay document, 0000 to 0299.
const HIPOPAY_REFUND: &str = "0000 0001 0002 0003 0004 0005 0006 0007 0008 0009 0010 0011 0012 0013 0099 \
    0101 0102 0103 0104 0105 0106 0107 0108 0109 0110 0111 0112 0113 0114 0115 0116 0117 0118 0119 0120 0121 0199 \
    0201 0202 0203 0204 0205 0206 0207 0208 0209 0210 0211 0212 0213 0214 0215 0216 0217 0218 0219 0220 0221 0222 0223 \
    0224 0225 0226 0227 0228 0229 0230 0231 0232 0233 0299";

#[test]
fn every_refund_code_of_hipopay_has_an_answer_and_no_code_is_made_up() {
    let refund = JobKinds::built_in().by_name["refund"].clone();
    let rows = &refund.gateways["hipopay"].submit_outcomes;
    let listed: BTreeSet<&str> = rows.iter().filter_map(|row| row.code.as_deref()).collect();
    let codes: BTreeSet<&str> = listed
        .into_iter()
        .filter(|code| code.bytes().all(|digit| digit.is_ascii_digit()))
        .collect();
    assert_eq!(codes, HIPOPAY_REFUND.split_whitespace().collect());
}

fn names(table: &[OutcomeRow]) -> BTreeSet<&str> {
    table
        .iter()
        .flat_map(|row| [row.code.as_deref(), row.state.as_deref()])
        .flatten()
        .collect()
}

#[test]
fn every_documented_code_of_a_query_has_a_row_and_no_row_is_made_up() {
    let query = JobKinds::built_in().by_name["query"].clone();
    for (gateway, documented) in [("hipopay", HIPOPAY), ("egms", EGMS), ("cbtis", CBTIS)] {
        let documented: BTreeSet<&str> = documented.split_whitespace().collect();
        assert_eq!(
            names(&query.gateways[gateway].submit_outcomes),
            documented,
            "{gateway}"
        );
    }
}

fn sources() -> BTreeSet<String> {
    let mut sources = BTreeSet::new();
    for kind in JobKinds::built_in().by_name.values() {
        for operations in kind.gateways.values() {
            sources.extend(operations.outcomes().map(|row| row.source.clone()));
        }
    }
    sources
}

/// "Title, address, date [mark]", as far as the first mark.
fn names_a_page(source: &str) -> bool {
    let end = ["[A]", "[B]", "[V]"]
        .iter()
        .filter_map(|mark| source.find(mark))
        .min();
    let parts: Vec<&str> = source[..end.unwrap_or(0)].trim_end().split(", ").collect();
    let [title, address @ .., date] = &parts[..] else {
        return false;
    };
    let day = date.rsplit(' ').next().unwrap_or_default();
    !title.is_empty()
        && address.iter().any(|part| part.contains(['/', '.']))
        && day.starts_with("20")
        && day
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
}

#[test]
fn every_row_names_a_page_with_its_address_and_date_or_says_that_no_page_tells() {
    let elsewhere = |source: &&String| {
        !names_a_page(source)
            && !source.starts_with("[C] ")
            && !source.starts_with("payrun itself: ")
    };
    assert_eq!(
        sources().iter().filter(elsewhere).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    assert!(
        !names_a_page("Refunds, seen 2026-11-28 [A]")
            && !names_a_page("Refunds, pay.example/refunds [A]")
    );
}

/// The pages that say what is known of the gateways, and from where.
const PAGES: [&str; 4] = [
    include_str!("../../../../docs/gateways/wechat.md"),
    include_str!("../../../../docs/gateways/hipopay.md"),
    include_str!("../../../../docs/gateways/egms.md"),
    include_str!("../../../../docs/gateways/cbtis.md"),
];

/// The addresses in a source, wherever in it they stand.
fn addresses(source: &str) -> impl Iterator<Item = &str> {
    source
        .split(|c: char| c.is_whitespace() || ",;:()[]\"".contains(c))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.contains('/'))
}

/// Whether a page of ours lists an address as a whole, and not as the beginning of a longer one.
fn is_listed(address: &str) -> bool {
    let goes_on = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    PAGES.iter().any(|page| {
        let mut places = page.match_indices(address);
        places.any(|(at, _)| !page[at + address.len()..].starts_with(goes_on))
    })
}

#[test]
fn every_address_of_a_source_stands_on_a_page_about_the_gateways() {
    let address = "doc/global/v3/zh/4012354972";
    let source = format!("HTTP状态码, {address}, 2025-09-28 [A]: (docs/other), not here.");
    assert_eq!(
        addresses(&source).collect::<Vec<_>>(),
        [address, "docs/other"]
    );
    assert!(is_listed(address) && !is_listed(&address[..address.len() - 1]));
    assert!(!is_listed("doc/global/v3/zh/1"));
    let sources = sources();
    let (listed, unlisted): (Vec<&str>, Vec<&str>) = sources
        .iter()
        .flat_map(|source| addresses(source))
        .partition(|address| is_listed(address));
    assert_eq!(unlisted, Vec::<&str>::new());
    assert!(listed.len() > 100, "{} addresses", listed.len());
}

#[test]
fn what_rests_on_no_page_is_marked_so_by_one_form_only() {
    let odd = |source: &&String| {
        source.contains("C, our") || source.contains("[c]") || source.contains("gateways.md")
    };
    assert_eq!(
        sources().iter().filter(odd).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
}
