//! Runs one command and turns its end into an exit code.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    bondhu::commands::run(bondhu::cli::Cli::parse())
}
