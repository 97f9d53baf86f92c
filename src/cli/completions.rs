//! `payrun completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::exit::{Exit, Failure};

/// Arguments of `payrun completions`.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &CompletionsArgs) -> Result<Exit, Failure> {
    clap_complete::generate(args.shell, &mut super::Args::command(), "payrun", &mut std::io::stdout());
    Ok(Exit::Success)
}
