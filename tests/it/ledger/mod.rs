//! The ledger's conformance suite: what every engine behind [`payrun::ledger::Ledger`] must keep.
//!
//! A scenario is given a place where a fresh ledger can be opened, as often as there are processes in it. Another engine
//! joins with one more line in [`ENGINES`].

mod claims;
mod desk;
mod planning;
mod rates;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use payrun::ledger::Ledger;
use tempfile::TempDir;

type Open = fn(PathBuf) -> Pin<Box<dyn Future<Output = Ledger>>>;

/// The engines, by name, with what opens a ledger that lives in a folder.
const ENGINES: &[(&str, Open)] =
    &[("sqlite", |folder| Box::pin(async move { Ledger::open(&folder.join("ledger.db")).await.unwrap() }))];

/// Where a fresh ledger is.
#[derive(Clone)]
struct Place {
    folder: Arc<TempDir>,
    open: Open,
}

impl Place {
    /// Opens the ledger as one more process would.
    async fn open(&self) -> Ledger {
        (self.open)(self.folder.path().to_owned()).await
    }
}

/// Runs a scenario on a fresh ledger of every engine.
fn on_every_engine<F: Future<Output = ()>>(scenario: impl Fn(Place) -> F) {
    for (name, open) in ENGINES {
        eprintln!("engine: {name}");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let place = Place { folder: Arc::new(tempfile::tempdir().unwrap()), open: *open };
        runtime.block_on(scenario(place));
    }
}
