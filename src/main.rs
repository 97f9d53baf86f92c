//! The `payrun` command: parse, run, and map the result to an exit code.

use std::process::ExitCode;

use clap::Parser;
use payrun::cli::{self, Args};

fn main() -> ExitCode {
    let args = Args::parse();
    cli::main(args)
}
