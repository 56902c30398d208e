//! Accounts and logins, as the rest of the program sees them.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    id::{TokenId, UserId},
};

/// Who an account is to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses it.
    User,
    /// Operates it.
    Admin,
}

/// Which limits hold for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// `[limits.free]`
    Free,
    /// `[limits.premium]`
    Premium,
    /// `[limits.unlimited]`
    Unlimited,
}

/// An account.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The name as its owner wrote it.
    pub username: String,
    /// The name in the form in which names are compared.
    pub folded: String,
    /// How the person wants to be called.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// Which limits hold.
    pub tier: Tier,
    /// The password's hash, as a PHC string.
    pub password: String,
    /// True where an operator has shut the account.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A change of one account.
#[derive(Clone)]
pub enum UserChange {
    /// A new password hash (PHC); every token but `keep` ends with it.
    Password {
        /// The new hash.
        password: String,
        /// The login that stays: the one that asked.
        keep: Option<TokenId>,
    },
    /// The same password under new parameters: no token ends. Changes nothing where the hash is not `old` any more, so
    /// that a password that was changed meanwhile does not come back.
    Rehash {
        /// The hash that the password was compared with.
        old: String,
        /// The new hash.
        new: String,
    },
    /// What an operator decides of it.
    Edit(AccountEdit),
    /// Every token ends.
    EndLogins,
}

/// What an operator decides of an account; what is nothing stays as it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountEdit {
    /// A new role.
    pub role: Option<Role>,
    /// A new tier.
    pub tier: Option<Tier>,
    /// Shut (every token ends) or opened again.
    pub disabled: Option<bool>,
}

/// SHA-256 of a token's text: all that is kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest(pub [u8; 32]);

/// A login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Names it in lists.
    pub id: TokenId,
    /// Whose it is.
    pub user: UserId,
    /// What the user calls it.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// When it was last used, exact to the hour.
    pub last_used_at: Timestamp,
    /// What the program may do that holds it, as [`crate::auth`] numbers it; nothing where a person holds it, who may do all.
    pub scopes: Option<u32>,
}
