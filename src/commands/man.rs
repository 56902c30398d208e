//! `bondhu man`: the manual pages, from the same words as `--help`.

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{Failure, print};
use crate::cli::Cli;

pub(super) fn run(name: Option<&str>) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build(); // So that subcommands have their full names, and the flags of all.
    let page = match name {
        Some(name) => found(&program, name).ok_or_else(|| unknown(&program, name))?.clone(),
        None => program,
    };
    let mut roff = Vec::new();
    let rendered = Man::new(page).render(&mut roff);
    rendered.map_err(|error| Failure::Failed(format!("the page can't be made: {error}")))?;
    print(&String::from_utf8_lossy(&roff))
}

/// The subcommand whose path, joined by hyphens, is `name`.
fn found<'c>(command: &'c Command, name: &str) -> Option<&'c Command> {
    command.get_subcommands().find_map(|sub| {
        let rest = name.strip_prefix(sub.get_name())?;
        if rest.is_empty() { Some(sub) } else { found(sub, rest.strip_prefix('-')?) }
    })
}

fn unknown(program: &Command, name: &str) -> Failure {
    let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
    Failure::Misused(format!("there is no page for {name:?}; there is one for each of: {}", names.join(", ")))
}
