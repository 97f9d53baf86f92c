//! `payrun restore`

use std::path::{Path, PathBuf};

use chrono::DateTime;
use clap::Args;

use super::Context;
use super::actor::Author;
use super::exit::{Exit, Failure, chain};
use super::output::{count, say};
use crate::app::Project;
use crate::clock::Clock;
use crate::config::Database;
use crate::domain::actor::{Authorization, Reason};
use crate::domain::item::State;
use crate::domain::time::Timestamp;
use crate::ledger::{Ledger, RestoreError, RestoreReport};

/// Arguments of `payrun restore`.
#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// What `payrun backup` has made; it stays as it is
    #[arg(value_name = "FILE", required_unless_present = "lost_since")]
    backup: Option<PathBuf>,
    /// The ledger is there again by other means (a server's own tools, a standby that lacked
    /// commits, a snapshot of a disk), without what was done since this time, such as
    /// 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "backup")]
    lost_since: Option<Timestamp>,
    #[command(flatten)]
    author: Author,
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|_| "write it like 2026-11-22T10:00:00Z".to_owned())?;
    Ok(Timestamp::from_millis(time.timestamp_millis()))
}

pub(super) async fn run(context: &Context, args: &RestoreArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let now = Clock::of_machine().now();
    let reason =
        Reason::parse("what was done since is lost").map_err(|error| Failure::internal(&error))?;
    let by = Authorization {
        actor: args.author.actor()?,
        reason,
    };
    let restored = match (&args.backup, args.lost_since) {
        (Some(backup), _) => Ledger::restore(backup, place(&project)?, &by, now).await,
        (None, Some(since)) if since > now => {
            return Err(Failure::invalid("--lost-since is a time to come"));
        }
        (None, since) => {
            project
                .ledger()
                .await?
                .was_restored(since.unwrap_or(now), &by, now)
                .await
        }
    };
    let restored = restored.map_err(|error| match error {
        RestoreError::There { .. } | RestoreError::NoBackup { .. } | RestoreError::AtWork => {
            Failure::invalid(chain(&error))
        }
        error @ (RestoreError::Ledger(_)
        | RestoreError::Damaged { .. }
        | RestoreError::File { .. }) => Failure::internal(&error),
    })?;
    say(format!("the ledger is as it was at {}", restored.backup_at));
    tell(&restored);
    Ok(Exit::Success)
}

/// Where a backup goes: only a file is put back by payrun.
fn place(project: &Project) -> Result<&Path, Failure> {
    match &project.config.database {
        Database::Sqlite(path) => Ok(path),
        Database::Postgres(_) => {
            let help = "restore it with the server's own tools, then say until when it goes: payrun restore --lost-since TIME";
            Err(Failure::invalid("the ledger is on a PostgreSQL server").help(help))
        }
    }
}

fn tell(restored: &RestoreReport) {
    let of = |state: State| restored.items.get(&state).copied().unwrap_or(0);
    let open = of(State::Sending) + of(State::Pending) + of(State::Unknown);
    say(format!(
        "{} planned, {} under way: all of them are queried before anything is sent,",
        count(of(State::Planned)),
        count(open)
    ));
    say(format!(
        "and so is whatever is planned until {}",
        restored.queries_until
    ));
    say(
        "what else was done since then is gone: revoke tokens again, look at contracts, and reconcile the days since",
    );
}
