//! Telling people: from facts of the ledger to mails that a real SMTP server took.

mod config;
mod facts;
mod incidents;
mod server;

use std::sync::Arc;
use std::time::Duration;

use payrun::alerts::{AlertInputs, Alerts, DeliveryCounts};
use payrun::clock::Clock;
use payrun::config::Config;
use payrun::domain::time::Timestamp;
use payrun::ledger::Ledger;
use payrun::workflow::Workflow;
use serde_json::Value;

use crate::ledger::LedgerPlace;
use crate::support::smtp::MailServer;

/// A process that looks and delivers, at a time of the test's.
struct AlertProcess {
    notices: Alerts,
    clock: Clock,
    ledger: Ledger,
    workflows: Vec<Arc<Workflow>>,
}

/// `payrun.yaml` with these rules, and a mail server.
fn yaml(server: &MailServer, rules: &str) -> String {
    format!(
        "database: payrun.db\ntimezone: UTC\ngateways: {{}}\n{}{rules}",
        server.yaml()
    )
}

fn config(text: &str) -> Config {
    payrun::config::load::parse(text, std::path::Path::new("payrun.yaml"))
        .unwrap_or_else(|found| panic!("{found}"))
}

impl AlertProcess {
    /// Opens at a place, at an instant.
    async fn open(place: &LedgerPlace, server: &MailServer, rules: &str, at: Timestamp) -> Self {
        let (clock, ledger) = (Clock::driven(at), place.open().await);
        let notices =
            Alerts::new(&config(&yaml(server, rules)), ledger.clone(), clock.clone()).unwrap();
        Self {
            notices,
            clock,
            ledger,
            workflows: Vec::new(),
        }
    }

    /// Some time passes, and then it looks and delivers.
    async fn after(&self, seconds: u64) -> DeliveryCounts {
        self.clock
            .set(self.clock.now().plus(Duration::from_secs(seconds)));
        self.work(&AlertInputs {
            workflows: &self.workflows,
            ..AlertInputs::default()
        })
        .await
    }

    async fn work(&self, watched: &AlertInputs<'_>) -> DeliveryCounts {
        self.notices.look(watched).await.unwrap();
        self.notices.deliver().await.unwrap()
    }
}

/// The text of a mail.
fn text(mail: &Value) -> &str {
    mail["text"].as_str().unwrap()
}
