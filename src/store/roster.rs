//! The accounts as those who operate the server look through them: by name, with what they have.

use serde::Serialize;

use super::{Store, StoreError, User, batch::user_of, index::Index};
use crate::{clock::Timestamp, id::UserId};

/// The most sessions that are counted of one account: a list shows how busy it is, and is no statistic.
const COUNTED_MAX: usize = 10_000;

/// An account, and what it has.
pub struct RosterEntry {
    /// The account.
    pub user: User,
    /// What it has.
    pub holdings: Holdings,
}

/// What an account has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Its logins, those that ran out but are not removed yet included.
    pub logins: usize,
    /// Its API keys, likewise.
    pub keys: usize,
    /// When one of either was last used, exact to the hour.
    #[serde(serialize_with = "crate::clock::rfc3339_or_null")]
    pub last_used_at: Option<Timestamp>,
    /// Its sessions, up to 10,000.
    pub sessions: usize,
}

impl Store {
    /// Up to `limit` accounts whose folded name begins with `prefix`, in the order of those names, behind the name `after`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn roster(
        &self,
        prefix: String,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<RosterEntry>, StoreError> {
        self.scan(move |index| {
            let ids = index.users_named(&prefix, after.as_deref(), limit)?;
            let entries = ids.into_iter().map(|id| entry(index, id));
            entries.filter_map(Result::transpose).collect()
        })
        .await
    }

    /// The account with this id, and what it has.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn roster_entry(&self, id: UserId) -> Result<Option<RosterEntry>, StoreError> {
        self.scan(move |index| entry(index, id)).await
    }
}

fn entry(index: &Index, id: UserId) -> Result<Option<RosterEntry>, StoreError> {
    let Some(record) = index.user_record(id)? else { return Ok(None) };
    let tokens = index.token_records(id)?;
    let mut keys = 0;
    for (digest, _) in &tokens {
        keys += usize::from(index.scopes(digest)?.is_some());
    }
    let holdings = Holdings {
        logins: tokens.len() - keys,
        keys,
        last_used_at: tokens.iter().map(|(_, login)| login.last_used_at).max(),
        sessions: index.sessions_of(id, COUNTED_MAX)?.len(),
    };
    Ok(Some(RosterEntry { user: user_of(id, &record), holdings }))
}
