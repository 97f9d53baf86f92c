//! How the statements about contracts find their rows among a million.

use super::change::{OPEN, OVER};
use super::due::{DUE, KEEP, NEXT, STOPPED, TAKE};
use super::period_moves::MOVED;
use super::upsert::KNOWN;
use super::{ACCOUNTED, COLUMNS, UPDATE};
use crate::tests::{place, steps};

#[tokio::test]
async fn due_contracts_are_found_by_their_index_in_order() {
    let steps = steps(&format!("select {COLUMNS} {DUE}")).await;
    place(&steps, "SEARCH c USING INDEX contracts_due (account=? AND ");
    assert!(
        steps
            .iter()
            .all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN")),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn lists_are_read_first_and_rows_found_by_index() {
    for (statement, search) in [
        (MOVED, "INDEX contract_periods_item (item_id=?)"),
        (UPDATE, "SEARCH contracts USING INTEGER PRIMARY KEY"),
        (TAKE, "SEARCH contracts USING INTEGER PRIMARY KEY"),
        (NEXT, "SEARCH contracts USING INTEGER PRIMARY KEY"),
        (ACCOUNTED, "SEARCH p USING PRIMARY KEY (contract_id=?)"),
        (
            KNOWN,
            "SEARCH c USING COVERING INDEX sqlite_autoindex_contracts_1 (contract=? AND account=?)",
        ),
        (
            STOPPED,
            "SEARCH c USING INDEX sqlite_autoindex_contracts_1 (contract=? AND account=?)",
        ),
        (KEEP, "SEARCH i USING INDEX items_key (key_hash=?)"),
    ] {
        let steps = steps(statement).await;
        let list = place(&steps, "VIRTUAL TABLE");
        assert!(list < place(&steps, search), "{steps:#?}");
    }
}

#[tokio::test]
async fn news_are_found_without_reading_every_period() {
    let news = steps(
        "select item_id from contract_periods as p where p.failure_unprocessed = 1 order by p.item_id limit 5",
    )
    .await;
    place(&news, "contract_periods_failure_unprocessed");
    let open = steps(OPEN).await;
    place(&open, "items_of_contract (exclusive_key=?)");
    place(&open, "items_in_flight (exclusive_key=?)");
    let over = steps(OVER).await;
    assert!(
        over[0].starts_with("SEARCH c USING INDEX contracts_ending"),
        "{over:#?}"
    );
    place(&over, "SEARCH p USING PRIMARY KEY (contract_id=?)");
}
