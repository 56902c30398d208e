//! `bondhu man`: the manual pages, from the same words as `--help`.

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::{Failure, print};
use crate::cli::Cli;

/// The page of the command whose path, joined by hyphens, is `name`; that of the whole program where it is empty.
pub(super) fn run(name: &str) -> Result<(), Failure> {
    let mut program = Cli::command();
    program.build(); // So that subcommands have their full names, and the flags of all.
    let page = if name.is_empty() { &program } else { found(&program, name).ok_or_else(|| unknown(&program, name))? };
    let title = page.get_display_name().unwrap_or(page.get_name()).to_owned();
    let man = Man::new(page.clone()).title(title).source(concat!("bondhu ", env!("CARGO_PKG_VERSION")));
    let mut roff = Vec::new();
    man.render(&mut roff).map_err(|error| Failure::Failed(format!("the page can't be made: {error}")))?;
    // A flag without a long name is shown with the place of one.
    print(&String::from_utf8_lossy(&roff).replace("\\fB\\-O \\fR", "\\fB\\-O\\fR"))
}

/// The subcommand whose path, joined by hyphens, is `name`.
fn found<'c>(command: &'c Command, name: &str) -> Option<&'c Command> {
    command.get_subcommands().find_map(|sub| {
        let rest = name.strip_prefix(sub.get_name())?;
        if rest.is_empty() { Some(sub) } else { found(sub, rest.strip_prefix('-')?) }
    })
}

/// The names of the pages of all commands within this one.
fn names(command: &Command, above: &str) -> Vec<String> {
    let all = command.get_subcommands().filter(|sub| sub.get_name() != "help");
    let of = |sub: &Command| {
        let name = format!("{above}{}", sub.get_name());
        let within = names(sub, &format!("{name}-"));
        [vec![name], within].concat()
    };
    all.flat_map(of).collect()
}

fn unknown(program: &Command, name: &str) -> Failure {
    let names = names(program, "").join(", ");
    Failure::Misused(format!("there is no page for {name:?}; there is one for each of: {names}"))
}
