//! The API keys of an account, for those who operate the server.

use serde::{Deserialize, Serialize};

use super::{ControlAnswer, Secret, refusal};
use crate::{
    auth::{ApiKey, Auth, AuthError, KeyLifetime, NewKey, Scope, Scopes},
    clock::Timestamp,
    id::TokenId,
    text::KeyName,
};

/// What an operator wants a key to be.
pub(super) fn new(name: String, scopes: &[Scope], days: u32) -> Result<NewKey, String> {
    if scopes.is_empty() {
        return Err(format!("a key needs at least one scope of {}", Scopes::of(&Scope::ALL)));
    }
    let lifetime = KeyLifetime::days(days);
    Ok(NewKey {
        name: KeyName::new(name).map_err(|fault| format!("the name {fault}"))?,
        scopes: Scopes::of(scopes),
        lifetime: lifetime.ok_or_else(|| format!("a key holds for 1 to {} days", KeyLifetime::DAYS_MAX))?,
    })
}

/// The keys of an account.
pub(super) async fn list(auth: &Auth, username: &str) -> Result<ControlAnswer, String> {
    let keys = auth.keys_of_user(username).await.map_err(|error| refusal(username, &error))?;
    Ok(ControlAnswer::Keys { keys: keys.into_iter().map(KeyRow::from).collect() })
}

/// One more key of an account.
pub(super) async fn make(auth: &Auth, username: &str, new: NewKey) -> Result<ControlAnswer, String> {
    auth.find_user(username).await.map_err(|error| refusal(username, &error))?;
    let made = auth.make_key_of_user(username, new).await.map_err(|error| {
        if !matches!(error, AuthError::NotFound) {
            return error.to_string();
        }
        format!("the account {username:?} is shut, so it gets no keys: \"bondhu user enable {username}\" opens it")
    })?;
    Ok(ControlAnswer::Key { key: Secret(made.secret) })
}

/// Ends a key of an account.
pub(super) async fn revoke(auth: &Auth, username: &str, id: TokenId) -> Result<ControlAnswer, String> {
    auth.find_user(username).await.map_err(|error| refusal(username, &error))?;
    auth.revoke_key(username, id).await.map_err(|error| {
        if !matches!(error, AuthError::NotFound) {
            return error.to_string();
        }
        format!(
            "{username:?} has no API key with this id, or it has ended already: \"bondhu user keys {username}\" lists those \
             that hold"
        )
    })?;
    Ok(ControlAnswer::Done {})
}

/// An API key, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRow {
    /// Its id.
    pub id: TokenId,
    /// What its user calls it.
    pub name: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, exact to the hour; nothing where it never was.
    pub last_used_at: Option<Timestamp>,
}

impl From<ApiKey> for KeyRow {
    fn from(key: ApiKey) -> Self {
        let ApiKey { id, name, scopes, created_at, expires_at, last_used_at } = key;
        Self { id, name, scopes: scopes.iter().collect(), created_at, expires_at, last_used_at }
    }
}
