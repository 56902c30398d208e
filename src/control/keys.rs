//! The API keys of an account, for those who operate the server.

use serde::{Deserialize, Serialize};

use crate::{
    auth::{ApiKey, Scope},
    clock::Timestamp,
    id::TokenId,
};

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
