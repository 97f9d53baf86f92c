//! The `payrun` command: parse, run, and map the result to an exit code.

use std::process::ExitCode;

use payrun::cli;
use payrun::workflow::source::read_workbook_if_asked;

fn main() -> ExitCode {
    if let Some(read) = read_workbook_if_asked(std::env::args_os()) {
        return read;
    }
    cli::main()
}
