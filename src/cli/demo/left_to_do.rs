//! What the day leaves for whoever looks at it on the dashboard: a batch of refunds that waits for
//! approval, of which somebody is told, and a workflow that a schedule starts. All of it comes after
//! the books were compared, and nothing of it is sent before it is approved.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::app::Project;
use crate::cli::exit::Failure;
use crate::cli::plan::failed;
use crate::cli::write_new::write_new;
use crate::domain::item::State;
use crate::engine::Engine;
use crate::ledger::{ItemFilter, ItemRow};

use super::{FOLDER, request};

const REFUNDS: &str = include_str!("refunds.yaml");
const STATEMENTS: &str = include_str!("statements.yaml");

/// What `payrun.yaml` says more where the dashboard is served.
pub(super) const ALERTS: &str = include_str!("alerts.yaml");

/// How many payments the batch gives back of, and among how many they are looked for.
const ROWS: usize = 12;
const LOOKED_AT: u32 = 500;

/// Writes the files where the gateways' workflows are.
pub(super) fn write_workflows(folder: &Path) -> Result<(), Failure> {
    write_new(folder, "workflows/refunds.yaml", REFUNDS)?;
    write_new(folder, "workflows/daily-statements.yaml", STATEMENTS)
}

/// Plans the batch that waits for approval, of payments of a run; none where nothing succeeded.
pub(super) async fn plan_refunds(
    engine: &Engine,
    project: &Project,
    run_id: i64,
) -> Result<(), Failure> {
    let filter = ItemFilter {
        run_id: Some(run_id),
        job: Some("deduct".to_owned()),
        states: vec![State::Succeeded],
        ..ItemFilter::default()
    };
    let charged = engine.ledger.items(&filter, 0, LOOKED_AT).await?;
    let rows = refunds_csv(&charged);
    let folder = Path::new(FOLDER);
    write_new(folder, "data/refunds.csv", &rows)?;
    if rows.lines().count() < 2 {
        return Ok(());
    }
    let request = request(project, &folder.join("workflows/refunds.yaml"))?;
    let counter = Arc::new(AtomicU64::new(0));
    engine.plan(&request, &counter).await.map_err(failed)?;
    Ok(())
}

/// A part of what was charged, of payments of which the day has given nothing back.
fn refunds_csv(charged: &[ItemRow]) -> String {
    let mut rows = "refund,order,amount,currency,reason\n".to_owned();
    let untouched = charged.iter().filter(|item| !item.key.contains("42/"));
    for (number, item) in untouched.take(ROWS).enumerate() {
        let (Some(order), Some(amount)) = (&item.order_no, item.amount) else {
            continue;
        };
        let currency = amount.currency().code();
        writeln!(rows, "R-{:04},{order},5.00,{currency},sold out", number + 1).ok();
    }
    rows
}
