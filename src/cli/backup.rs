//! `payrun backup`

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{count, say};
use crate::app::Project;
use crate::clock::Clock;
use crate::ledger::BackupError;

/// Arguments of `payrun backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file to be made; or a folder, where it gets a name with the time
    #[arg(value_name = "FILE")]
    to: PathBuf,
}

pub(super) async fn run(context: &Context, args: BackupArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let ledger = project.ledger().await?;
    let now = Clock::of_machine().now();
    let path = if args.to.is_dir() {
        args.to
            .join(format!("payrun-{}.db", now.to_string().replace(':', "")))
    } else {
        args.to
    };
    let bytes = ledger
        .back_up(&path, now)
        .await
        .map_err(|error| match error {
            BackupError::Server | BackupError::There { .. } => Failure::invalid(chain(&error)),
            error @ (BackupError::Ledger(_)
            | BackupError::Damaged { .. }
            | BackupError::File { .. }) => Failure::internal(&error),
        })?;
    say(format!(
        "{}: {} bytes, checked",
        path.display(),
        count(bytes)
    ));
    Ok(Exit::Success)
}
