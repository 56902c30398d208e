//! Backups, and moving in and out.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Settings;

pub(super) const BACKUP: &str = "\
DIR becomes a directory that `bondhu serve` and `bondhu restore` can start from. It holds everything that was acknowledged \
before the command began. Repeated into the same DIR, it copies only what is new. Without DIR, one more backup is made \
below backup.dir, verified, and the oldest beyond backup.keep are removed.

Run it as the user that the server runs as.

Examples:
  bondhu backup /backup/bondhu --data-dir /var/lib/bondhu
  bondhu backup --config /etc/bondhu.toml";

pub(super) const RESTORE: &str = "\
Compares each file with backup.json, then does what `bondhu check` does. NEW is there only if nothing is wrong. A plain \
copy of a data directory is taken too.

Example:
  bondhu restore /backup/bondhu --into /var/lib/bondhu";

pub(super) const EXPORT: &str = "\
The form is that of GET /api/v1/auth/export; `bondhu import` reads it. Password hashes are in it only --with-passwords, and \
a file that is written is for its owner alone.

Examples:
  bondhu export --user alice > alice.jsonl
  bondhu export --with-passwords --out everything.jsonl";

pub(super) const IMPORT: &str = "\
Importing the same file again adds nothing, so an import that broke off is simply repeated. What had to be repaired or left \
out is listed with its place in the file; --report has all of it.

Forms: bondhu (an export), old (the table chat_messages as CSV or JSON Lines), chatgpt (conversations.json, or the unpacked \
folder that it came in), open-webui (an export of chats).

Examples:
  bondhu import everything.jsonl --trust
  bondhu import chat_messages.csv --map 3f0c9e6a-0d3c-4a43-9a1d-6a2f0b7c8d9e=alice --report report.jsonl
  bondhu import conversations.json --user alice";

/// `backup`
#[derive(Debug, Args)]
pub struct Backup {
    /// Where the backup goes: a directory that is not there, is empty, or holds an older backup of this server
    pub dir: Option<PathBuf>,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `restore`
#[derive(Debug, Args)]
pub struct Restore {
    /// The backup
    pub dir: PathBuf,
    /// The new data directory, which must not be there or be empty
    #[arg(long, value_name = "NEW")]
    pub into: PathBuf,
}

/// `export`
#[derive(Debug, Args)]
pub struct Export {
    /// Only this account
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Where to write [default: the standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Write over FILE where it is there
    #[arg(long, requires = "out")]
    pub force: bool,
    /// Also the hashes of the passwords, so that nobody needs a new one; needs --out
    #[arg(long)]
    pub with_passwords: bool,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `import`
#[derive(Debug, Args)]
pub struct Import {
    /// The files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// What they are [default: what they look like]
    #[arg(long, value_enum)]
    pub format: Option<FormatName>,
    /// The account that everything goes to; it must be there
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// The account that the conversations of a user of the old system go to; may be repeated [default: a new account that is
    /// shut, named old-...]
    #[arg(long, value_name = "OLD_USER_ID=NAME", value_parser = old_and_name)]
    pub map: Vec<(String, String)>,
    /// Take over roles and password hashes: the file is of a server of your own
    #[arg(long)]
    pub trust: bool,
    /// Where to write all that was repaired or left out, and each conversation, as JSON Lines
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

fn old_and_name(text: &str) -> Result<(String, String), &'static str> {
    let parts = text.split_once('=').map(|(old, name)| (old.trim().to_owned(), name.trim().to_owned()));
    let parts = parts.filter(|(old, name)| !old.is_empty() && !name.is_empty());
    parts.ok_or("the id of a user of the old system, =, and the name of an account here are needed, as 17=alice")
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// An export of bondhu
    Bondhu,
    /// The old system's table
    Old,
    /// ChatGPT's conversations
    Chatgpt,
    /// Open WebUI's export of chats
    OpenWebui,
}
