//! `payrun completions`

use std::io::Write as _;

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
    // Whoever reads only the beginning is no mistake.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut super::Args::command(), "payrun", &mut text);
    std::io::stdout().write_all(&text).ok();
    Ok(Exit::Success)
}
