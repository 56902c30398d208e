//! `bondhu completions`: a script that completes this command line in a shell.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Failure, print};
use crate::cli::Cli;

pub(super) fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bondhu", &mut script);
    print(&String::from_utf8_lossy(&script))
}
