//! Alerts: incidents are looked for, mails are delivered, and what breaks the ledger itself is told
//! without it. Three duties, since a mail server that hangs must not keep anybody from looking.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use crate::alerts::{AlertInputs, Alerts, Emergency, EmergencyMailer, RefusedRun};
use crate::domain::reason::FailureCode;
use crate::domain::time::Timestamp;
use crate::ledger::{LedgerError, decide_about};

/// How often is looked.
const TICK: Duration = Duration::from_secs(5);

/// How far back occurrences that could not be planned are told of, and how many at a time.
const RECENT: Duration = Duration::from_secs(86_400);
const OCCURRENCES: u32 = 200;

/// How little room a disk may have.
const ROOM: u64 = 512 * 1024 * 1024;

/// How long the ledger may fail before it is told: a restart of a server is none.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those who tell.
#[derive(Debug, Clone)]
pub struct AlertSenders {
    /// Of what is in the ledger.
    pub notices: Arc<Alerts>,
    /// Of what is wrong with the ledger.
    pub direct: Arc<EmergencyMailer>,
}

pub(super) async fn run(service: Service, senders: AlertSenders, stop: watch::Receiver<bool>) {
    let health = Arc::clone(&service.health);
    let looking = super::periodic::run_periodically(&health, "alerts", stop.clone(), || {
        look(&service, &senders.notices)
    });
    let delivering = super::periodic::run_periodically(&health, "mails", stop.clone(), || async {
        senders.notices.deliver().await?;
        Ok(TICK)
    });
    let telling = super::periodic::run_periodically(&health, "disk and database", stop, || async {
        senders.direct.report(&emergencies(&service).await).await;
        Ok(TICK)
    });
    tokio::join!(looking, delivering, telling);
}

async fn look(service: &Service, notices: &Alerts) -> Result<Duration, LedgerError> {
    let engine = &service.engine;
    let (mut workflows, certificates) = (service.workflows.all(), engine.certificates());
    // What a person paused is not missed.
    let paused = engine.ledger.paused_workflows().await?;
    workflows.retain(|workflow| !paused.contains(&workflow.name));
    let refused = refused(service, engine.clock.now()).await?;
    let watched = AlertInputs {
        workflows: &workflows,
        certificates: &certificates,
        refused: &refused,
    };
    notices.look(&watched).await?;
    Ok(TICK)
}

/// What could not be taken up: workflow files with mistakes, and occurrences that could not be
/// planned.
async fn refused(service: &Service, now: Timestamp) -> Result<Vec<RefusedRun>, LedgerError> {
    let failed = service
        .engine
        .ledger
        .failed_occurrences(now.minus(RECENT), OCCURRENCES)
        .await?;
    let failed = failed.into_iter().map(|row| {
        let reason = row.reason.unwrap_or_default();
        let limit = row.failure_code == Some(FailureCode::OverLimit);
        RefusedRun {
            workflow: row.workflow,
            occurrence: row.nominal,
            at: row.changed_at,
            limit,
            reason,
            removed: None,
        }
    });
    let removed = service.workflows.removed();
    let files = service.workflows.refused().into_iter().map(|(file, mistakes)| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let occurrence = short(&mistakes);
        match removed.iter().find(|(_, path)| *path == file) {
            Some((workflow, _)) => {
                let reason =
                    format!("{name} is gone; nothing new of {workflow} is sent, what is under way is queried");
                let (workflow, removed) = (workflow.clone(), Some(decide_about(workflow)));
                RefusedRun { workflow, occurrence, at: now, limit: false, reason, removed }
            }
            None => RefusedRun { workflow: name, occurrence, at: now, limit: false, reason: mistakes, removed: None },
        }
    });
    Ok(failed.chain(files).collect())
}

/// What tells one refusal of a file from the next: its mistakes.
fn short(mistakes: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(mistakes.as_bytes());
    format!("file {}", hex::encode(&digest[..4]))
}

/// What is wrong at this moment with what everything else needs.
async fn emergencies(service: &Service) -> Vec<Emergency> {
    let engine = &service.engine;
    let mut emergencies = Vec::new();
    if let Some(left) = engine
        .ledger
        .folder()
        .and_then(|folder| room(&folder))
        .filter(|left| *left < ROOM)
    {
        emergencies.push(Emergency::Disk(format!(
            "the disk of the ledger has {} MiB left",
            left / 1_048_576
        )));
    }
    let failing = service
        .health
        .unwell()
        .into_iter()
        .find(|duty| duty.failure.is_some() && duty.since > PATIENCE);
    if let Some(duty) = failing {
        emergencies.push(Emergency::Database(format!(
            "{}: {}",
            duty.duty,
            duty.failure.unwrap_or_default()
        )));
    }
    emergencies
}

/// How many bytes a disk has left for us.
fn room(folder: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
