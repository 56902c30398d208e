//! Who performs a command on the data: the server that runs on the directory, or this process where none runs.

use std::{
    fmt::Write,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::process::geteuid;

use super::{Failure, note, print, small_runtime};
use crate::{
    auth::Auth,
    clock::Clock,
    config::Loaded,
    control::{self, Account, ControlAnswer, ControlError, ControlRequest, JobRow, KeyRow, USERS_MAX},
    store::{FORMAT, JobStateName, OpenError, Role, Store, Tier, newest_format},
};

/// Performs requests, by the same code in both cases.
pub(super) enum Operator {
    /// The server that runs on this directory.
    Server(PathBuf),
    /// This process, which holds the directory's lock.
    Here(Box<Here>),
}

pub(super) struct Here {
    runtime: tokio::runtime::Runtime,
    store: Arc<Store>,
    auth: Auth,
}

impl Operator {
    /// The operator of a data directory, which is made where it is missing.
    pub(super) fn of(loaded: &Loaded) -> Result<Self, Failure> {
        let dir = &loaded.config.data.dir;
        match control::ask(dir, &ControlRequest::Ping {}) {
            Ok(_) => Ok(Self::Server(dir.clone())),
            Err(ControlError::NobodyThere(_)) => {
                let is_new = !dir.exists();
                let here = Here::open(loaded)?;
                if is_new {
                    // Whoever stands elsewhere than the server does makes an account where nobody will look for it.
                    note(&format!(
                        "{} was not there, and was made; start the server with the same one",
                        full(dir).display()
                    ));
                }
                Ok(Self::Here(Box::new(here)))
            }
            Err(error @ (ControlError::Broken(_) | ControlError::Unreachable { .. })) => {
                Err(Failure::Failed(error.to_string()))
            }
        }
    }

    /// The operator of a data directory that must be there.
    pub(super) fn of_existing(loaded: &Loaded) -> Result<Self, Failure> {
        let dir = &loaded.config.data.dir;
        if dir.exists() {
            return Self::of(loaded);
        }
        let shown = dir.display();
        Err(Failure::Failed(format!("there is no data directory {shown}; name another by --data-dir or --config")))
    }

    /// The server that runs on a data directory.
    pub(super) fn running(loaded: &Loaded) -> Result<Self, Failure> {
        let dir = &loaded.config.data.dir;
        match control::ask(dir, &ControlRequest::Ping {}) {
            Ok(_) => Ok(Self::Server(dir.clone())),
            Err(error) => Err(Failure::Failed(error.to_string())),
        }
    }

    /// Has `request` performed, prints what became of it, and closes.
    pub(super) fn perform(self, request: ControlRequest) -> Result<(), Failure> {
        let answer = self.ask(request);
        self.end();
        print(&text(&answer?))
    }

    /// Prints all accounts, page by page, and closes.
    pub(super) fn list_users(self) -> Result<(), Failure> {
        let listed = self.print_users();
        self.end();
        listed
    }

    /// Prints all jobs in this state, or in all, page by page, and closes.
    pub(super) fn list_jobs(self, state: Option<JobStateName>) -> Result<(), Failure> {
        let listed = self.print_jobs(state);
        self.end();
        listed
    }

    fn print_jobs(&self, state: Option<JobStateName>) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let answer = self.ask(ControlRequest::JobList { state, after })?;
            print(&text(&answer))?;
            let ControlAnswer::Jobs { next: Some(next), .. } = answer else { return Ok(()) };
            after = Some(next);
        }
    }

    fn print_users(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let answer = self.ask(ControlRequest::UserList { after })?;
            print(&text(&answer))?;
            let ControlAnswer::Users { users } = answer else { return Ok(()) };
            after = users.last().map(|user| user.id);
            if users.len() < USERS_MAX {
                return Ok(());
            }
        }
    }

    /// Has `request` performed.
    pub(super) fn ask(&self, request: ControlRequest) -> Result<ControlAnswer, Failure> {
        let answer = match self {
            Self::Server(dir) => control::ask(dir, &request).map_err(|error| Failure::Failed(error.to_string()))?,
            Self::Here(here) => here.runtime.block_on(control::perform(&here.auth, &here.store, request)),
        };
        if let ControlAnswer::Refused { reason } = answer {
            return Err(Failure::Failed(reason));
        }
        Ok(answer)
    }

    /// Closes the data directory, where this process holds it.
    pub(super) fn end(self) {
        match self {
            Self::Server(_) => {}
            Self::Here(here) => here.runtime.block_on(here.store.close()),
        }
    }
}

impl Here {
    fn open(loaded: &Loaded) -> Result<Self, Failure> {
        let config = &loaded.config;
        is_own(&config.data.dir)?;
        is_current(&config.data.dir)?;
        let runtime = small_runtime()?;
        let entered = runtime.enter();
        let opened = Store::open(&config.data, &config.cache, Clock::System);
        let refused = |error: OpenError| Failure::Failed(refusal(&error, &config.data.dir));
        let (store, _) = opened.map_err(refused)?; // The server answers what is open.
        let store = Arc::new(store);
        let auth = Auth::start(config.auth.clone(), Arc::clone(&store), Clock::System)
            .map_err(|error| Failure::Failed(format!("no thread can be started: {error}")))?;
        drop(entered);
        Ok(Self { runtime, store, auth })
    }
}

/// Refuses another user's directory: the server that runs as that user could not open what this process writes there.
pub(super) fn is_own(dir: &Path) -> Result<(), Failure> {
    let Some((owner, own)) = other_owner(dir) else { return Ok(()) };
    Err(Failure::Failed(format!(
        "{} belongs to the user with the id {owner}, and this is the one with {own}: run this command as the user that the \
         server runs as, as by sudo -u '#{owner}'",
        dir.display()
    )))
}

/// Refuses to serve another user's directory: that user could not open what this process would write there.
pub(super) fn may_serve(dir: &Path) -> Result<(), Failure> {
    let Some((owner, own)) = other_owner(dir) else { return Ok(()) };
    Err(Failure::Failed(format!(
        "{0} belongs to the user with the id {owner}, and this is the one with {own}: start the server as that user, as by \
         sudo -u '#{owner}', or give this one the directory: chown -R {own} {0}",
        full(dir).display()
    )))
}

/// The directory's owner and who this is, where they are not the same. One that is not there is nobody's: it will be made, or
/// its opening says why it can't be.
fn other_owner(dir: &Path) -> Option<(u32, u32)> {
    let (owner, own) = (dir.metadata().ok()?.uid(), geteuid().as_raw());
    (owner != own).then_some((owner, own))
}

/// The path as it is from everywhere.
fn full(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned())
}

/// Why a directory can't be opened, with what to do where another user has left files in it.
pub(super) fn with_remedy(error: &OpenError, dir: &Path) -> String {
    let is_denied = matches!(error, OpenError::Io { source, .. } if source.kind() == ErrorKind::PermissionDenied);
    if !is_denied {
        return error.to_string();
    }
    let own = geteuid().as_raw();
    format!(
        "{error}: another user has left files there, as a server that root ran; give them back, as root: chown -R {own} {}",
        full(dir).display()
    )
}

/// Refuses the directory of an older program: to open it would end the way back to that one, which is for a start of the
/// server to do, when its operator has a copy.
fn is_current(dir: &Path) -> Result<(), Failure> {
    // Whatever is wrong with it, its opening says.
    let Some(format) = newest_format(dir).ok().flatten().filter(|format| *format < FORMAT) else { return Ok(()) };
    Err(Failure::Failed(format!(
        "{} is still in format {format}: copy it (cp -a), then start the server with this program, which goes on in \
         {FORMAT}; the older program refuses it from then on, and its way back is the copy",
        dir.display()
    )))
}

fn refusal(error: &OpenError, dir: &Path) -> String {
    match error {
        OpenError::InUse(dir) => format!(
            "{} is in use, but nobody answers at its {}: wait until that process has started or stopped, then try again",
            dir.display(),
            crate::config::SOCKET,
        ),
        OpenError::Damaged { .. }
        | OpenError::Newer { .. }
        | OpenError::Io { .. }
        | OpenError::DiskFull
        | OpenError::Thread(_)
        | OpenError::Index(_) => with_remedy(error, dir),
    }
}

/// An answer for a person.
fn text(answer: &ControlAnswer) -> String {
    match answer {
        ControlAnswer::Done {} => "done\n".to_owned(),
        ControlAnswer::User { user } | ControlAnswer::ImportedUser { user, .. } => line(user),
        ControlAnswer::Users { users } => users.iter().map(line).collect(),
        ControlAnswer::Keys { keys } => keys.iter().map(key_line).collect(),
        ControlAnswer::Key { key: secret } | ControlAnswer::Invitation { code: secret } => format!("{}\n", secret.0),
        ControlAnswer::Compacted { bytes_saved } => {
            format!("compacted: {bytes_saved} bytes saved; the next start rebuilds the index\n")
        }
        ControlAnswer::Jobs { jobs, .. } => jobs.iter().map(job_line).collect(),
        ControlAnswer::Reloaded { changed, at_next_start } => reloaded(changed, at_next_start),
        ControlAnswer::Exported { lines, .. } => lines.clone(),
        ControlAnswer::Looked { look } => format!("{look:?}\n"),
        ControlAnswer::Imported { imported } => format!("{imported:?}\n"),
        ControlAnswer::Sealed { next_frame, .. } => format!("sealed up to frame {next_frame}\n"),
        ControlAnswer::Refused { reason } => format!("refused: {reason}\n"),
    }
}

/// What a reading of the configuration changed.
fn reloaded(changed: &[String], at_next_start: &[String]) -> String {
    let mut text = match changed {
        [] => "nothing that can change while the server runs is different\n".to_owned(),
        changed => format!("changed: {}\n", changed.join(", ")),
    };
    if !at_next_start.is_empty() {
        let _ = writeln!(text, "from the next start on: {}", at_next_start.join(", ")); // Writing to a String does not fail.
    }
    text
}

/// A job as one line, in columns.
fn job_line(job: &JobRow) -> String {
    let state = match job.state {
        JobStateName::Queued => "queued",
        JobStateName::Running => "running",
        JobStateName::Parked => "parked",
    };
    let JobRow { id, at, attempts, .. } = job;
    // Texts of other programs may be in it, and none of their characters may act on the terminal.
    let (kind, key) = (job.kind.escape_debug(), job.key.escape_debug());
    let why = job.last_error.as_deref().unwrap_or_default().escape_debug();
    let line = format!("{id} {state:<7} {at} {kind:<12} {attempts} {key} {why}");
    format!("{}\n", line.trim_end())
}

/// An API key as one line, in columns.
fn key_line(key: &KeyRow) -> String {
    let KeyRow { id, name, scopes, created_at, expires_at, last_used_at } = key;
    let used = last_used_at.map_or_else(|| format!("{:<27}", "never"), |at| at.to_string());
    let scopes = scopes.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(",");
    format!("{id} {created_at} {expires_at} {used} {scopes} {}\n", name.escape_debug())
}

/// An account as one line, in columns.
fn line(user: &Account) -> String {
    let role = match user.role {
        Role::User => "user",
        Role::Admin => "admin",
    };
    let tier = match user.tier {
        Tier::Free => "free",
        Tier::Premium => "premium",
        Tier::Unlimited => "unlimited",
    };
    let state = if user.disabled { "disabled" } else { "active" };
    // A display name may have any character in it, and none of them may act on the terminal.
    let shown = user.display_name.escape_debug();
    let Account { username, id, created_at, .. } = user;
    format!("{username:<24} {id} {role:<5} {tier:<9} {state:<8} {created_at} {shown}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Timestamp, id::UserId};

    #[test]
    fn a_display_name_cannot_act_on_the_terminal() {
        let user = Account {
            id: UserId::new(),
            username: "mallory".to_owned(),
            display_name: "\u{1B}[2J\nroot\u{202E}".to_owned(),
            role: Role::User,
            tier: Tier::Free,
            disabled: true,
            created_at: Timestamp(0),
        };
        let line = line(&user);
        assert!(line.starts_with("mallory ") && line.contains(" disabled "), "{line}");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains(['\u{1B}', '\u{202E}']), "{line:?}");
    }
}
