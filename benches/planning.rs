//! Planning a CSV: read, render, check, derive, write, in one transaction.
//!
//! `cargo bench --bench planning -- [ROWS]`

mod support;

use support::{engine_of, plan_of};

use std::sync::Arc;
use std::time::Instant;

#[tokio::main]
async fn main() {
    if support::only_listed() {
        return;
    }
    let rows = support::argument(0, 1_000_000);
    let folder = tempfile::tempdir().expect("a folder");
    let config = support::project(folder.path(), "http://127.0.0.1:1", rows, 64, "planning.db");
    let engine = Arc::new(engine_of(&config).await);
    let began = Instant::now();
    let run = plan_of(&config, &folder.path().join("workflow.yaml"), &engine).await;
    let millis = u64::try_from(began.elapsed().as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let planned: u64 = engine
        .ledger
        .totals(run)
        .await
        .expect("totals")
        .iter()
        .map(|total| total.items)
        .sum();
    assert_eq!(planned, rows);
    println!(
        "planning {rows} rows: {} rows/s, peak resident {} MiB",
        rows * 1000 / millis,
        support::peak_kib() / 1024
    );
}
