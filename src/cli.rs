//! The command line: types for clap, and nothing that acts.

mod jobs;
mod load;
mod moving;
mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub use self::{
    jobs::{JobName, Jobs, JobsCommand, JobsList, StateName},
    load::{Api, Load, Scenario},
    moving::{Backup, Export, FormatName, Import, Restore},
    user::{
        PasswordSource, RoleName, ScopeName, TierName, User, UserAdd, UserCommand, UserDelete, UserKey, UserName,
        UserPasswd, UserRevoke, UserRole, UserTier,
    },
};
const EXAMPLES: &str = "\
Examples:
  bondhu                                 serve with ./bondhu.toml, or with the defaults
  bondhu serve --config /etc/bondhu.toml
  bondhu user add alice --admin          the first administrator; asks for the password
  bondhu check-config && systemctl restart bondhu

Settings are taken from the file, then from BONDHU__SECTION__KEY in the environment, then from flags; the later wins.
Exit codes: 0 done, 1 failed, 2 misused (a bad configuration included).";

/// The whole back end of a multi-user AI companion chat in one executable.
#[derive(Debug, Parser)]
#[command(name = "bondhu", version, about, after_help = EXAMPLES)]
pub struct Cli {
    /// Settings before the subcommand.
    #[command(flatten)]
    pub settings: Settings,
    /// Print every setting with its value and where that comes from, and do nothing else
    #[arg(long)]
    pub print_config: bool,
    /// What to do; `serve` where it is missing.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Where settings come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Settings")]
pub struct Settings {
    /// The configuration file [default: bondhu.toml in the working directory, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, as 127.0.0.1:8000; port 0 takes any free one (server.listen)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<String>,
    /// The data directory (data.dir)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Sets any key of bondhu.toml, as -O server.workers=4; lists are parted by commas
    #[arg(short = 'O', value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub options: Vec<(String, String)>,
}

fn key_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("a key, =, and a value are needed, as server.workers=4")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT (what bondhu does without a subcommand)
    #[command(after_help = "\
The first SIGTERM or SIGINT lets running requests finish within server.shutdown_grace_ms; a second one ends at once.

Examples:
  bondhu serve
  bondhu serve --listen 0.0.0.0:8000 --data-dir /var/lib/bondhu
  BONDHU__LOG__FORMAT=json bondhu serve")]
    Serve(Serve),
    /// Name everything that is wrong with the configuration; change nothing
    #[command(after_help = "\
Examples:
  bondhu check-config
  bondhu check-config --config /etc/bondhu.toml --show")]
    CheckConfig(CheckConfig),
    /// Ask a running server whether it is healthy
    #[command(after_help = "\
Exits 0 where the server answers 200 within two seconds, 1 otherwise.

Examples:
  bondhu healthcheck
  bondhu healthcheck --url http://127.0.0.1:9000/health")]
    Healthcheck(Healthcheck),
    /// Add, list and change accounts, on a running server or directly
    User(User),
    /// Rewrite the data to what is alive, so that deleted text leaves the disk now
    #[command(after_help = "\
Through the running server where there is one; otherwise the data directory is opened directly.

Example:
  bondhu compact --data-dir /var/lib/bondhu")]
    Compact(Settings),
    /// See and settle what the server does by itself: list jobs, retry and remove them
    #[command(after_help = "\
Through the running server where there is one; otherwise the data directory is opened for a moment.

Examples:
  bondhu jobs list
  bondhu jobs list --state parked
  bondhu jobs retry 0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a")]
    Jobs(Jobs),
    /// Have the running server read its configuration again; a bad one changes nothing
    #[command(after_help = "\
Does what SIGHUP does, and says what came of it. Exits 2 where the configuration has a fault, and names it; 1 where no server runs, or where that one refuses.

Example:
  bondhu reload --data-dir /var/lib/bondhu")]
    Reload(Settings),
    /// Set the least severe level of the running server's log, until its next start
    #[command(after_help = "\
Example:
  bondhu log-level debug --data-dir /var/lib/bondhu")]
    LogLevel(LogLevel),
    /// Print a systemd unit for this configuration
    #[command(after_help = "\
The unit opens what the configuration needs, and nothing else: print it again after a change of server.listen or of a model's \
server. Without --data-dir the data stands in /var/lib/USER.

Examples:
  bondhu service --config /etc/bondhu/bondhu.toml | sudo tee /etc/systemd/system/bondhu.service
  bondhu service --user chat --exec /usr/local/bin/bondhu --data-dir /srv/chat")]
    Service(Service),
    /// Print the manual page
    #[command(after_help = "\
Examples:
  bondhu man | man -l -
  bondhu man user add > bondhu-user-add.1")]
    Man(Man),
    /// Make a backup of the running server, or of the data directory where none runs
    #[command(after_help = moving::BACKUP)]
    Backup(Backup),
    /// Make a data directory from a backup, once every byte of it is verified
    #[command(after_help = moving::RESTORE)]
    Restore(Restore),
    /// Write everything of one account, or of all, as JSON Lines
    #[command(after_help = moving::EXPORT)]
    Export(Export),
    /// Bring in conversations of another server, of the old system, of ChatGPT or of Open WebUI
    #[command(after_help = moving::IMPORT)]
    Import(Import),
    /// Verify every promise about the data that a data directory can show
    #[command(after_help = "\
Looks at checksums, sequences, outcomes, owners and tombstones, and compares the index with the journal. No server may \
be using the directory. Exits 1 where anything is wrong, and names it.

Examples:
  bondhu check /var/lib/bondhu
  cp -a /var/lib/bondhu /backup/today && bondhu check /backup/today")]
    Check(Check),
    /// Put a server under load, and hold each of its answers against the promises
    #[command(after_help = load::HELP)]
    Load(Load),
    /// Print a completion script for a shell
    #[command(after_help = "\
Example:
  bondhu completions bash > ~/.local/share/bash-completion/completions/bondhu")]
    Completions(Completions),
}

/// `serve`
#[derive(Debug, Args)]
pub struct Serve {
    /// Print every setting with its value and where that comes from, and do nothing else
    #[arg(long)]
    pub print_config: bool,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `check-config`
#[derive(Debug, Args)]
pub struct CheckConfig {
    /// Also print every key with its value and where it comes from
    #[arg(long)]
    pub show: bool,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `healthcheck`
#[derive(Debug, Args)]
pub struct Healthcheck {
    /// What to ask [default: /health at server.listen]
    #[arg(long)]
    pub url: Option<String>,
    /// Ask by the socket in the data directory, and not over the network; so it is done where the server speaks TLS
    #[arg(long, conflicts_with = "url")]
    pub socket: bool,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `service`
#[derive(Debug, Args)]
pub struct Service {
    /// The system user that the server runs as
    #[arg(long, default_value = "bondhu")]
    pub user: String,
    /// The program [default: this one]
    #[arg(long, value_name = "FILE")]
    pub exec: Option<PathBuf>,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `man`
#[derive(Debug, Args)]
pub struct Man {
    /// The subcommand, as user add or user-add; the whole program without it
    pub command: Vec<String>,
}

/// `log-level`
#[derive(Debug, Args)]
pub struct LogLevel {
    /// The level
    #[arg(value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub level: String,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `check`
#[derive(Debug, Args)]
pub struct Check {
    /// The data directory, a copy of one, or a backup
    pub dir: PathBuf,
}

/// `completions`
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: Shell,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// What stands below the help of a command, and of those within it.
    fn texts(command: &clap::Command) -> Vec<String> {
        let own = command.get_after_help().map(ToString::to_string);
        own.into_iter().chain(command.get_subcommands().flat_map(texts)).collect()
    }

    #[test]
    fn no_paragraph_of_help_is_broken_into_lines_before_it_is_shown() {
        let texts = texts(&Cli::command());
        assert!(texts.len() > 20);
        for text in texts {
            for pair in text.lines().collect::<Vec<_>>().windows(2) {
                let goes_on = pair[1].starts_with(|first: char| first.is_ascii_lowercase());
                assert!(pair[0].is_empty() || !goes_on, "{pair:?}");
            }
        }
    }

    #[test]
    fn settings_may_stand_before_and_after_the_subcommand() {
        let cli = Cli::try_parse_from(["bondhu", "-O", "a=1", "serve", "-O", "b=2", "-O", "c=x=y"]).unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(cli.settings.options, [pair("a", "1")]);
        match cli.command {
            Some(Command::Serve(serve)) => assert_eq!(serve.settings.options, [pair("b", "2"), pair("c", "x=y")]),
            other => panic!("{other:?}"),
        }
        assert!(Cli::try_parse_from(["bondhu", "-O", "server.workers"]).is_err());
    }

    #[test]
    fn a_password_is_no_argument() {
        assert!(Cli::try_parse_from(["bondhu", "user", "add", "alice", "--password", "secret"]).is_err());
        assert!(Cli::try_parse_from(["bondhu", "user", "add", "alice", "secret"]).is_err());
    }
}
