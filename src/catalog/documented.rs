//! Every code and state that a gateway documents has a row wherever it can come up.

use std::collections::BTreeSet;

use super::{Catalog, Outcome};

/// What a look-up at HipoPay can show: the HipoPay document, "Check Payment Order" and "Payment Order Status".
const HIPOPAY: &str = "INIT PAID FAIL USERPAYING EXPIRED PAYMENT_NOT_FOUND ILLEGAL_SECURITY_PROFILE";

/// What a look-up at EGMS can show: gateways.md 1.5 (merchant dialect) and 1.6.
const EGMS: &str = "V0000 V0001 V0002 V0003 V0004 V0005 V0006 V0007 V0008 V0009 V0010 \
    C0000 C0001 C0002 C0003 C0004 C0005 C0006 C0007 C0008 C0009 C0010 C0011 C0012 \
    B0000 B0001 B0002 B0003 B0004 B0005 B0006 B0007 B0008 B0009 B0011 B0032 B0035 \
    Pending Authorised Capturing Captured Cancelling Cancelled Refunding Refunded Failed Verifying";

/// What a look-up at CBTIS can show: the CBTIS document, "Explain of status"; it documents no code.
const CBTIS: &str = "PENDING SUCCEEDED CANCELLED";

fn names(table: &[Outcome]) -> BTreeSet<&str> {
    table.iter().flat_map(|row| [row.code.as_deref(), row.state.as_deref()]).flatten().collect()
}

#[test]
fn every_documented_code_of_a_look_up_has_a_row_and_no_row_is_made_up() {
    let query = Catalog::built_in().kinds["query"].clone();
    for (gateway, documented) in [("hipopay", HIPOPAY), ("egms", EGMS), ("cbtis", CBTIS)] {
        let documented: BTreeSet<&str> = documented.split_whitespace().collect();
        assert_eq!(names(&query.gateways[gateway].submit_outcomes), documented, "{gateway}");
    }
}

#[test]
fn every_row_of_every_gateway_says_where_it_comes_from() {
    for kind in Catalog::built_in().kinds.values() {
        for operations in kind.gateways.values() {
            let rows = operations.submit_outcomes.iter().chain(&operations.query_outcomes);
            rows.for_each(|row| assert!(row.source.len() > 10, "{row:?}"));
        }
    }
}
