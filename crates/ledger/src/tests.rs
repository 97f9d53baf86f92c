//! How the hot statements find their rows. SQLite picks the wrong way if it is let: the list must
//! come first, and nothing may be sorted or scanned that grows with history.

use sqlx::{AssertSqlSafe, Row};

use crate::Ledger;
use crate::items::claim::{ASKED, DUE, EXPIRE_LEASES};
use crate::items::due_items::{BUMP, RECALLED};
use crate::items::item_rows::WRITE;
use crate::lanes::pauses::WAKE;

/// The steps of a statement, as `explain query plan` tells them.
pub(super) async fn steps(statement: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("ledger.db"))
        .await
        .unwrap();
    let explained = sqlx::query(AssertSqlSafe(format!("explain query plan {statement}")))
        .fetch_all(&ledger.read)
        .await
        .unwrap();
    let steps = explained
        .iter()
        .map(|row| row.get::<String, _>("detail"))
        .collect();
    ledger.close().await;
    steps
}

pub(super) fn place(steps: &[String], step: &str) -> usize {
    steps
        .iter()
        .position(|one| one.contains(step))
        .unwrap_or_else(|| panic!("no step says {step:?}: {steps:#?}"))
}

#[tokio::test]
async fn moves_read_the_list_first_and_find_items_by_id() {
    let moves = WRITE.split(';').next().expect("the first statement");
    for statement in [moves, BUMP, RECALLED] {
        let steps = steps(statement).await;
        let list = place(&steps, "SCAN");
        assert!(steps[list].contains("VIRTUAL TABLE"), "{steps:#?}");
        assert!(
            list < place(&steps, "SEARCH items USING INTEGER PRIMARY KEY"),
            "{steps:#?}"
        );
    }
}

#[tokio::test]
async fn what_is_due_is_found_by_its_index_in_order() {
    let steps = steps(DUE).await;
    assert!(
        steps[0].starts_with("SEARCH items USING INDEX items_due"),
        "{steps:#?}"
    );
    place(&steps, "USING INDEX items_in_flight");
    place(&steps, "items_of_contract (exclusive_key=?)");
    place(&steps, "jobs_terminating");
    assert!(
        steps
            .iter()
            // The jobs under way that end contracts are few.
            .filter(|step| !step.contains("jobs_terminating"))
            .all(|step| !step.contains("TEMP B-TREE") && !step.starts_with("SCAN")),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn leases_that_ran_out_are_found_by_their_index() {
    let steps = steps(EXPIRE_LEASES).await;
    place(&steps, "INDEX items_leased (job_id=? AND lease_until<?)");
}

#[tokio::test]
async fn what_is_asked_about_is_found_however_much_waits_to_be_sent() {
    let steps = steps(ASKED).await;
    place(&steps, "SCAN items USING INDEX items_queried");
    place(&steps, "items_claimed");
    assert!(
        steps.iter().all(|step| !step.contains("items_due")),
        "{steps:#?}"
    );
}

#[tokio::test]
async fn what_was_put_off_for_a_contract_is_found_by_its_contract() {
    let steps = steps(WAKE).await;
    place(&steps, "USING INDEX items_postponed (exclusive_key=?)");
}
