//! A project opened for measuring it from outside: what `payrun run` does, in pieces.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::Context;
use super::exit::Failure;
use super::plan::failed;
use super::project::Project;
use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::engine::Engine;
use crate::engine::planning::{FileNamer, PlanRequest, SHOWN};
use crate::ledger::Ledger;

fn project(config: &Path) -> Result<Project, Failure> {
    Project::load(&Context {
        config: config.to_owned(),
        colour: false,
    })
}

/// The engine of a project.
///
/// # Errors
/// As the commands have them.
pub async fn engine_of(config: &Path) -> Result<Engine, Failure> {
    let project = project(config)?;
    project
        .engine(project.ledger().await?, Clock::of_machine())
        .await
}

/// The engine of a project over another ledger.
///
/// # Errors
/// As the commands have them.
pub async fn engine_over(config: &Path, ledger: Ledger) -> Result<Engine, Failure> {
    project(config)?.engine(ledger, Clock::of_machine()).await
}

/// Plans a workflow once; the run's id.
///
/// # Errors
/// As the commands have them.
pub async fn plan_of(config: &Path, workflow: &Path, engine: &Engine) -> Result<i64, Failure> {
    let project = project(config)?;
    let request = PlanRequest {
        workflow: project.workflow(workflow)?,
        params: BTreeMap::new(),
        occurrence: "bench".to_owned(),
        at: engine.clock.now(),
        timezone: project.config.timezone,
        allow_future: false,
        author: Actor::payrun(),
        inputs: BTreeMap::new(),
        named_by: FileNamer::Person,
        commit: true,
        shown: SHOWN,
    };
    Ok(engine
        .plan(&request, &Arc::new(AtomicU64::new(0)))
        .await
        .map_err(failed)?
        .run_id)
}
