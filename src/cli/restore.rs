//! `payrun restore`

use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{count, say};
use super::project::Project;
use crate::clock::Clock;
use crate::config::Database;
use crate::domain::item::State;
use crate::ledger::{Ledger, RestoreError, Restored};

/// Arguments of `payrun restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// What `payrun backup` has made; it stays as it is
    #[arg(value_name = "FILE")]
    backup: PathBuf,
}

pub(super) async fn run(context: &Context, args: &RestoreArgs) -> Result<Exit, Failure> {
    let project = Project::load(context)?;
    let Database::Sqlite(to) = &project.config.database else {
        let help = "restore it with the server's own tools, and begin no run before you have compared statements";
        return Err(Failure::invalid("the ledger is on a PostgreSQL server").help(help));
    };
    let restored = Ledger::restore(&args.backup, to, Clock::of_machine().now()).await.map_err(|error| match error {
        RestoreError::There { .. } | RestoreError::NoBackup { .. } => Failure::invalid(chain(&error)),
        error @ (RestoreError::Ledger(_) | RestoreError::Damaged { .. } | RestoreError::File { .. }) => {
            Failure::internal(&error)
        }
    })?;
    say(format!("{}: as it was at {}", to.display(), restored.backup_at));
    tell(&restored);
    Ok(Exit::Success)
}

fn tell(restored: &Restored) {
    let of = |state: State| restored.items.get(&state).copied().unwrap_or(0);
    let open = of(State::Sending) + of(State::Pending) + of(State::Unknown);
    say(format!(
        "{} planned, {} under way: all of them are asked about before anything is sent,",
        count(of(State::Planned)),
        count(open)
    ));
    say(format!("and so is whatever is planned until {}", restored.asks_until));
    say(
        "what else was done since the backup is gone: revoke tokens again, look at contracts, and reconcile the days since",
    );
}
