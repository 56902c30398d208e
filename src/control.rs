//! How commands reach a running server: a Unix socket in the data directory, which only its owner can open.
//!
//! One request a connection: a line of JSON, answered by a line of JSON. The same requests are performed directly, by
//! the same code, where no server runs.

mod client;
mod jobs;
mod keys;
mod moving;
mod server;

use std::{
    fmt, io,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::{
    client::ask,
    jobs::JobRow,
    keys::KeyRow,
    server::{bind, remove, serve},
};
use crate::{
    auth::{Auth, AuthError, NewAccount, Password, Scope},
    clock::Timestamp,
    config::SOCKET,
    id::{JobId, Seq, SessionId, TokenId, UserId},
    store::{ExportCursor, Import, Imported, JobStateName, Look, Passwords, Role, Sealed, Store, Tier, User},
    text::{DisplayName, Username},
};

/// The longest request, bytes: a batch of an import at its longest.
const REQUEST_MAX: u64 = 16 << 20;
/// The longest answer, bytes: a part of an export at its longest.
const ANSWER_MAX: u64 = 16 << 20;
/// The most accounts in one answer.
pub const USERS_MAX: usize = 100;
/// Longest wait for a request to come, or for an answer to be taken.
const TRANSFER_WITHIN: Duration = Duration::from_secs(5);

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlRequest {
    /// Whether anyone is there.
    Ping {},
    /// A new account.
    UserAdd {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
        /// How to call the person; the user name where it is missing.
        display_name: Option<String>,
        /// What it may do.
        role: Role,
        /// The limits that hold for it.
        tier: Tier,
    },
    /// The accounts after `after`, oldest first, [`USERS_MAX`] at most.
    UserList {
        /// Where an earlier answer stopped.
        after: Option<UserId>,
    },
    /// A new password.
    UserPasswd {
        /// The account.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A new role.
    UserRole {
        /// The account.
        username: String,
        /// The role.
        role: Role,
    },
    /// A new tier.
    UserTier {
        /// The account.
        username: String,
        /// The tier.
        tier: Tier,
    },
    /// Shuts an account.
    UserDisable {
        /// The account.
        username: String,
    },
    /// Opens an account that was shut.
    UserEnable {
        /// The account.
        username: String,
    },
    /// Deletes an account with everything in it.
    UserDelete {
        /// The account.
        username: String,
    },
    /// The API keys of an account.
    UserKeys {
        /// The account.
        username: String,
    },
    /// A new API key.
    UserKey {
        /// The account.
        username: String,
        /// What it is for.
        name: String,
        /// What it allows; one at least.
        scopes: Vec<Scope>,
        /// How long it holds, days.
        days: u32,
    },
    /// Ends an API key.
    UserRevoke {
        /// The account.
        username: String,
        /// The key.
        id: TokenId,
    },
    /// A code for one registration.
    UserInvite {},
    /// Rewrites the data to what is alive.
    Compact {},
    /// Jobs in this state, or in all, behind `after`.
    JobList {
        /// The state.
        state: Option<JobStateName>,
        /// The `next` of an earlier answer.
        after: Option<String>,
    },
    /// Runs a parked job again.
    JobRetry {
        /// The job.
        id: JobId,
    },
    /// Takes a job out of the queue.
    JobRemove {
        /// The job.
        id: JobId,
    },
    /// Reads the configuration again; of a running server only.
    Reload {},
    /// Sets the least severe level of the log until the next start; of a running server only.
    LogLevel {
        /// "error", "warn", "info", "debug" or "trace".
        level: String,
    },
    /// Seals the journal, for a backup.
    Seal {},
    /// The account of this name.
    UserFind {
        /// The user name.
        username: String,
    },
    /// The next lines of an account's export.
    Export {
        /// The account.
        user: UserId,
        /// Where an earlier answer stopped.
        after: Option<ExportCursor>,
        /// Whether the password's hash is a part of it.
        passwords: Passwords,
    },
    /// An account of another server; one of this name stays as it is.
    ImportUser {
        /// It.
        account: ImportAccount,
    },
    /// What an account has in a session, and the ids of the messages there.
    ImportLook {
        /// The account.
        user: UserId,
        /// The session.
        session: SessionId,
        /// Only messages behind this place.
        after: Seq,
    },
    /// Messages for the end of a session.
    Import {
        /// They.
        import: Import,
    },
}

impl ControlRequest {
    /// What it changes of an account, as the log has it, and of whose; nothing where it changes none.
    pub(crate) fn account_change(&self) -> Option<(&'static str, &str)> {
        if let Self::UserAdd { username, .. } = self {
            Some(("an account was made", username))
        } else if let Self::UserPasswd { username, .. } = self {
            Some(("a password was reset", username))
        } else if let Self::UserRole { username, role: Role::Admin } = self {
            Some(("an account was made an administrator's", username))
        } else if let Self::UserRole { username, .. } = self {
            Some(("an account was made a user's", username))
        } else if let Self::UserTier { username, .. } = self {
            Some(("an account's tier was set", username))
        } else if let Self::UserDisable { username } = self {
            Some(("an account was shut", username))
        } else if let Self::UserEnable { username } = self {
            Some(("an account was opened", username))
        } else if let Self::UserDelete { username } = self {
            Some(("an account was deleted", username))
        } else {
            None
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
pub enum ControlAnswer {
    /// It is done, and there is nothing to tell.
    Done {},
    /// The account as it is now.
    User {
        /// It.
        user: Account,
    },
    /// A page of accounts.
    Users {
        /// They; fewer than [`USERS_MAX`] are the last page.
        users: Vec<Account>,
    },
    /// The API keys of an account, oldest first.
    Keys {
        /// They.
        keys: Vec<KeyRow>,
    },
    /// A new API key.
    Key {
        /// Its secret, shown this once.
        key: Secret,
    },
    /// An invitation code.
    Invitation {
        /// It, shown this once.
        code: Secret,
    },
    /// The configuration was read again.
    Reloaded {
        /// The keys that have other values now.
        changed: Vec<String>,
        /// The keys whose new values hold from the next start on.
        at_next_start: Vec<String>,
    },
    /// A page of jobs.
    Jobs {
        /// They.
        jobs: Vec<JobRow>,
        /// Where the list goes on, where it does.
        next: Option<String>,
    },
    /// The data is compacted.
    Compacted {
        /// How many bytes it saved.
        bytes_saved: u64,
    },
    /// A part of an export.
    Exported {
        /// Its lines.
        lines: String,
        /// Where it stopped; nothing at the end.
        next: Option<ExportCursor>,
    },
    /// The account that an import found or made.
    ImportedUser {
        /// It.
        user: Account,
        /// True where it was made.
        made: bool,
    },
    /// What was looked for.
    Looked {
        /// It.
        look: Look,
    },
    /// What became of an import.
    Imported {
        /// It.
        imported: Imported,
    },
    /// The journal is sealed.
    Sealed {
        /// The generation of each sealed segment, from the first on.
        generations: Vec<u32>,
        /// The frame that comes after them.
        next_frame: u64,
    },
    /// Nothing was changed, or it is not known whether anything was.
    Refused {
        /// Why, for a person.
        reason: String,
    },
}

/// An account as another server had it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportAccount {
    /// The user name.
    pub username: String,
    /// How to call the person; the user name where it is missing.
    pub display_name: Option<String>,
    /// What it may do.
    pub role: Role,
    /// Which limits hold.
    pub tier: Tier,
    /// True where it is shut.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The password's hash, as a PHC string.
    pub password: Option<Secret>,
}

/// An account as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: UserId,
    /// The name as its owner wrote it.
    pub username: String,
    /// How the person wants to be called.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// Which limits hold.
    pub tier: Tier,
    /// True where it is shut.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A text that `Debug` does not show.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&User> for Account {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            username: user.username.clone(),
            display_name: user.display_name.clone(),
            role: user.role,
            tier: user.tier,
            disabled: user.disabled,
            created_at: user.created_at,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No server listens: the data directory may be opened directly.
    #[error("no server listens at {0}")]
    NobodyThere(PathBuf),
    /// There is a socket, but it can't be used.
    #[error("the server's socket {path} can't be used: {source}")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A server is there, but the talk with it failed; what it did is not known.
    #[error("the running server gave no answer, so it may or may not be done: {0}")]
    Broken(#[source] io::Error),
}

/// Performs one request.
///
/// Dropping the future leaves a change that the store has taken to be finished by the store.
pub async fn perform(auth: &Auth, store: &Store, request: ControlRequest) -> ControlAnswer {
    try_perform(auth, store, request).await.unwrap_or_else(|reason| ControlAnswer::Refused { reason })
}

async fn try_perform(auth: &Auth, store: &Store, request: ControlRequest) -> Result<ControlAnswer, String> {
    let refused = |error: AuthError| error.to_string();
    let of = |username: String| move |error| refusal(&username, &error);
    let user = match request {
        ControlRequest::Ping {} => return Ok(ControlAnswer::Done {}),
        ControlRequest::UserList { after } => {
            let users = auth.users(after, USERS_MAX).await.map_err(refused)?;
            return Ok(ControlAnswer::Users { users: users.iter().map(Account::from).collect() });
        }
        ControlRequest::UserKeys { username } => {
            return keys::list(auth, &username).await;
        }
        ControlRequest::UserKey { username, name, scopes, days } => {
            return keys::make(auth, &username, keys::new(name, &scopes, days)?).await;
        }
        ControlRequest::UserRevoke { username, id } => {
            return keys::revoke(auth, &username, id).await;
        }
        ControlRequest::UserInvite {} => {
            let code = Secret(auth.invite().await.map_err(refused)?);
            return Ok(ControlAnswer::Invitation { code });
        }
        ControlRequest::JobList { state, after } => return jobs::list(store, state, after.as_deref()).await,
        ControlRequest::JobRetry { id } => return jobs::retry(store, id).await,
        ControlRequest::JobRemove { id } => return jobs::remove(store, id).await,
        ControlRequest::Compact {} => {
            let bytes_saved = store.compact().await.map_err(|error| error.to_string())?;
            let marked = store.rebuild_at_next_start().await;
            marked.map_err(|error| format!("the index can't be marked for rebuilding: {error}"))?;
            return Ok(ControlAnswer::Compacted { bytes_saved });
        }
        ControlRequest::Reload {} | ControlRequest::LogLevel { .. } => {
            return Err("no server runs on this data directory: the next start reads the configuration".to_owned());
        }
        ControlRequest::Seal {} => {
            let Sealed { generations, next_frame } = store.seal().await.map_err(|error| error.to_string())?;
            return Ok(ControlAnswer::Sealed { generations, next_frame });
        }
        ControlRequest::UserFind { username } => auth.find_user(&username).await.map_err(of(username)),
        ControlRequest::Export { user, after, passwords } => {
            return moving::export(store, user, after, passwords).await;
        }
        ControlRequest::ImportUser { account } => return moving::import_user(auth, account).await,
        ControlRequest::ImportLook { user, session, after } => {
            let look = store.look_for_import(user, session, after).await.map_err(|error| error.to_string())?;
            return Ok(ControlAnswer::Looked { look });
        }
        ControlRequest::Import { import } => return moving::import(store, import).await,
        ControlRequest::UserPasswd { username, password } => {
            auth.set_password(&username, Password::new(password.0)).await.map_err(of(username))?;
            return Ok(ControlAnswer::Done {});
        }
        ControlRequest::UserAdd { username, password, display_name, role, tier } => {
            let account = account(&username, password, display_name)?;
            auth.add_user(account, role, tier).await.map_err(refused)
        }
        ControlRequest::UserRole { username, role } => auth.set_role(&username, role).await.map_err(of(username)),
        ControlRequest::UserTier { username, tier } => auth.set_tier(&username, tier).await.map_err(of(username)),
        ControlRequest::UserDisable { username } => auth.set_disabled(&username, true).await.map_err(of(username)),
        ControlRequest::UserEnable { username } => auth.set_disabled(&username, false).await.map_err(of(username)),
        ControlRequest::UserDelete { username } => {
            auth.remove_user(&username).await.map_err(of(username))?;
            return Ok(ControlAnswer::Done {});
        }
    };
    let user = Account::from(user?.as_ref());
    Ok(ControlAnswer::User { user })
}

/// Why nothing was done to the account that an operator named.
#[must_use]
pub fn refusal(username: &str, error: &AuthError) -> String {
    if matches!(error, AuthError::NotFound) {
        return format!("there is no account {username:?}: \"bondhu user list\" shows all");
    }
    error.to_string()
}

fn account(username: &str, password: Secret, display_name: Option<String>) -> Result<NewAccount, String> {
    let display_name = display_name.map(DisplayName::new).transpose();
    Ok(NewAccount {
        username: Username::new(username).map_err(|fault| AuthError::from(fault).to_string())?,
        password: Password::new(password.0),
        display_name: display_name.map_err(|fault| format!("the display name {fault}"))?,
        invitation: None,
    })
}

/// Where the socket of a data directory is.
fn socket(dir: &Path) -> PathBuf {
    dir.join(SOCKET)
}

#[cfg(test)]
mod tests;
