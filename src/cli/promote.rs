//! `payrun promote`

use clap::Args;
use secrecy::ExposeSecret;

use super::Context;
use super::exit::{Exit, Failure, chain};
use super::output::{count, say};
use crate::app::{Project, server_is_verified};
use crate::clock::Clock;
use crate::config::{Config, Database};
use crate::ledger::{Ledger, LedgerError, PromoteError};

/// Arguments of `payrun promote`.
#[derive(Debug, Args)]
pub(super) struct PromoteArgs {
    /// A configuration that differs from this one in its database: the server the ledger is moved
    /// to
    #[arg(long, value_name = "FILE")]
    to: std::path::PathBuf,
}

pub(super) async fn run(context: &Context, args: PromoteArgs) -> Result<Exit, Failure> {
    let project = Project::open(&context.config)?;
    let Database::Sqlite(path) = &project.config.database else {
        return Err(Failure::invalid(PromoteError::WrongWay.to_string()));
    };
    let address = match target(&args.to)?.database {
        Database::Postgres(address) => address,
        Database::Sqlite(_) => return Err(Failure::invalid(PromoteError::WrongWay.to_string())),
    };
    if !path.exists() {
        return Err(Failure::invalid(format!(
            "there is no ledger at {}",
            path.display()
        )));
    }
    let server = Ledger::connect(address.expose_secret()).await?;
    let ours = Ledger::open_fenced(path).await?;
    let told = |table: &str, rows: u64| {
        say(format!(
            "{table}: {} rows, the same on both sides",
            count(rows)
        ))
    };
    let promoted = ours
        .promote_to(&server, Clock::of_machine().now(), told)
        .await
        .map_err(|error| match error {
            PromoteError::Ledger(moved @ LedgerError::Moved { .. }) => Failure::from(moved),
            PromoteError::Ledger(error) => {
                Failure::from(error).help("mend this and give the same command again")
            }
            refused @ (PromoteError::WrongWay
            | PromoteError::AtWork
            | PromoteError::NotEmpty { .. }
            | PromoteError::NotTheSame { .. }) => Failure::invalid(chain(&refused)),
        })?;
    let before = if promoted.there_already {
        " It had been copied before."
    } else {
        ""
    };
    say(format!(
        "the ledger is at {} now, and {} can no longer be used.{before}",
        server.name(),
        path.display()
    ));
    say(format!(
        "from now on use {} (or its `database:` in payrun.yaml)",
        args.to.display()
    ));
    server.close().await;
    ours.close().await;
    Ok(Exit::Success)
}

fn target(path: &std::path::Path) -> Result<Config, Failure> {
    let config = crate::config::load::load(path)
        .map_err(|mistakes| Failure::invalid(mistakes.to_string()))?;
    server_is_verified(&config, path)?;
    Ok(config)
}
