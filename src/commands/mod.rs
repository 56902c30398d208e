//! What each subcommand does: one file for each.
//!
//! Exit codes: 0 done, 1 failed, 2 misused (a bad configuration included).

mod backup;
mod check;
mod check_config;
mod compact;
mod completions;
mod export;
mod healthcheck;
mod import;
mod jobs;
mod load;
mod man;
mod operator;
mod password;
mod progress;
mod restore;
mod running;
mod serve;
mod service;
mod user;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use crate::{
    cli::{Cli, Command, Serve, Settings},
    config::{self, Faults, Flag, Loaded, Sources},
};

/// Why a command did not do what it was asked.
#[derive(Debug)]
enum Failure {
    /// It could not: exit code 1. The text is for the standard error.
    Failed(String),
    /// It could not, and the log says why: exit code 1.
    Logged,
    /// It was asked wrongly: exit code 2. The text is for the standard error.
    Misused(String),
}

impl Failure {
    /// What is to be said of it.
    fn into_words(self) -> String {
        match self {
            Self::Failed(why) | Self::Misused(why) => why,
            Self::Logged => "see the log".to_owned(),
        }
    }
}

impl From<Faults> for Failure {
    fn from(faults: Faults) -> Self {
        Self::Misused(faults.to_string())
    }
}

/// Performs the command, and says on the standard error what went wrong.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    let (text, code) = match dispatch(cli) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Logged) => return ExitCode::from(1),
        Err(Failure::Failed(text)) => (text, 1),
        Err(Failure::Misused(text)) => (text, 2),
    };
    for line in text.lines() {
        // Nobody is left to tell where the standard error is closed; the exit code still says it.
        let _ = writeln!(io::stderr(), "bondhu: {line}");
    }
    ExitCode::from(code)
}

fn dispatch(cli: Cli) -> Result<(), Failure> {
    let first = cli.settings;
    if cli.print_config {
        return match cli.command {
            None => check_config::print_all(&[first]),
            Some(command) => check_config::print_all(&[first, served(command)?]),
        };
    }
    match cli.command {
        None => serve::run(&[first]),
        Some(Command::Serve(Serve { print_config: true, settings })) => check_config::print_all(&[first, settings]),
        Some(Command::Serve(Serve { print_config: false, settings })) => serve::run(&[first, settings]),
        Some(Command::CheckConfig(check)) => check_config::run(&[first, check.settings], check.show),
        Some(Command::Healthcheck(health)) => healthcheck::run(&[first, health.settings], health.url, health.socket),
        Some(Command::User(user)) => user::run(first, user),
        Some(Command::Jobs(jobs)) => jobs::run(first, jobs),
        Some(Command::Compact(settings)) => compact::run(&[first, settings]),
        Some(Command::Reload(settings)) => running::reload(&[first, settings]),
        Some(Command::LogLevel(log)) => running::log_level(&[first, log.settings], log.level),
        Some(Command::Service(options)) => service::run(first, &options),
        Some(Command::Man(man)) => man::run(&man.command.join("-")),
        Some(Command::Backup(backup)) => backup::run(&[first, backup.settings], backup.dir),
        Some(Command::Export(export)) => export::run(first, export),
        Some(Command::Import(import)) => import::run(first, import),
        Some(Command::Restore(restore)) => restore::run(&restore.dir, &restore.into),
        Some(Command::Check(check)) => check::run(&check.dir),
        Some(Command::Load(options)) => load::run(&options),
        Some(Command::Completions(completions)) => completions::run(completions.shell),
    }
}

/// The settings of `serve`, whose configuration is to be printed.
fn served(command: Command) -> Result<Settings, Failure> {
    if let Command::Serve(serve) = command { Ok(serve.settings) } else { Err(not_served()) }
}

fn not_served() -> Failure {
    Failure::Misused("--print-config goes with serve only; check-config --show is the same for a file".to_owned())
}

/// Loads the configuration from the settings of the command line, outermost first; the later wins.
fn load(settings: &[Settings], surroundings: bool) -> Result<Loaded, Faults> {
    let mut sources = Sources { environment: std::env::vars_os().collect(), surroundings, ..Sources::default() };
    for settings in settings {
        sources.file = settings.config.clone().or(sources.file);
        let named = [("--listen", "server.listen", &settings.listen), ("--data-dir", "data.dir", &settings.data_dir)];
        for (name, key, value) in named {
            let flag =
                value.iter().map(|value| Flag { name: name.to_owned(), key: key.to_owned(), value: value.clone() });
            sources.flags.extend(flag);
        }
        let options = settings.options.iter();
        sources.flags.extend(options.map(|(key, value)| Flag {
            name: format!("-O {key}"),
            key: key.clone(),
            value: value.clone(),
        }));
    }
    config::load(&sources)
}

/// Prints a result. A reader that has read enough, as `head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Failed(format!("the result can't be written: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Says something beside the result, on the standard error.
fn note(text: &str) {
    let _ = writeln!(io::stderr(), "bondhu: {text}"); // Nobody is left to tell where it is closed.
}

/// A runtime for a command that asks one thing.
fn small_runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::Failed(format!("no runtime can be started: {error}")))
}
