//! `payrun man`

use std::path::PathBuf;

use clap::{Args, CommandFactory};

use super::exit::{Exit, Failure};
use super::output::say;

/// Arguments of `payrun man`.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// The folder; made if it is not there
    folder: PathBuf,
}

pub(super) fn run(args: &ManArgs) -> Result<Exit, Failure> {
    let folder = args.folder.display();
    let written = std::fs::create_dir_all(&args.folder)
        .and_then(|()| clap_mangen::generate_to(super::Args::command(), &args.folder));
    written.map_err(|error| {
        Failure::invalid(format!(
            "the manual pages cannot be written into {folder}: {error}"
        ))
    })?;
    say(format!(
        "wrote the manual pages into {folder}; read the first with `man {folder}/payrun.1`"
    ));
    Ok(Exit::Success)
}
