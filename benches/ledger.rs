//! The ledger alone: planning, then claim and settle with nothing in between, at two sizes of
//! history.
//!
//! `cargo bench --bench ledger -- [ITEMS] [HISTORY] [postgres://…]`: on a server, in an empty
//! schema of the address's.

mod support;

use std::time::Instant;

use payrun::clock::Clock;
use support::queue::{claim_and_settle, plan};

#[tokio::main]
async fn main() {
    if support::only_listed() {
        return;
    }
    let items = support::argument(0, 20_000);
    let history = support::argument(1, 1_000_000);
    let clock = Clock::System;
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = support::ledger(folder.path()).await;
    for (name, planned, measured) in [
        ("small", items, items),
        ("history", history, 0),
        ("large", items, items),
    ] {
        let began = Instant::now();
        let job_id = plan(&ledger, name, planned, &clock).await;
        println!(
            "{name}: planned {planned} at {} rows/s",
            planned * 1000 / u64::try_from(began.elapsed().as_millis().max(1)).unwrap_or(1)
        );
        let began = Instant::now();
        let settled = if measured == 0 { planned } else { measured };
        let done = claim_and_settle(
            &ledger,
            job_id,
            usize::try_from(settled).unwrap_or(0),
            &clock,
        )
        .await;
        assert_eq!(done as u64, settled);
        println!(
            "{name}: claimed and settled {settled} at {} items/s",
            settled * 1000 / u64::try_from(began.elapsed().as_millis().max(1)).unwrap_or(1)
        );
    }
    ledger.close().await;
}
