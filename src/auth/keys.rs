//! API keys: what a user makes for a program, so that it acts as the user within its scopes.
//!
//! A key is a login with bounds. Whatever ends all logins of a user ends the keys too; only people make, list and end them.

use std::{sync::Arc, time::Duration};

use super::{
    Auth, AuthError, Identity, Scope, Scopes,
    token::{self, Kind},
};
use crate::{
    clock::Timestamp,
    id::{TokenId, UserId},
    store::{Token, TokenDigest, User},
    text::KeyName,
};

/// The most keys that a user has at once, those that ran out aside.
pub const KEYS_PER_USER_MAX: usize = 50;

/// How long a key holds, a whole number of days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyLifetime(u32);

impl KeyLifetime {
    /// The longest, days: ten years. A key that nobody remembers ends some day.
    pub const DAYS_MAX: u32 = 3650;
    /// Where nothing else is said, days.
    pub const DAYS_DEFAULT: u32 = 365;

    /// So many days; nothing where they are none, or more than [`KeyLifetime::DAYS_MAX`].
    #[must_use]
    pub fn days(days: u32) -> Option<Self> {
        (1..=Self::DAYS_MAX).contains(&days).then_some(Self(days))
    }

    fn duration(self) -> Duration {
        Duration::from_hours(24 * u64::from(self.0))
    }
}

impl Default for KeyLifetime {
    fn default() -> Self {
        Self(Self::DAYS_DEFAULT)
    }
}

/// What a person gives to make a key.
#[derive(Debug)]
pub struct NewKey {
    /// What it is for.
    pub name: KeyName,
    /// What it allows.
    pub scopes: Scopes,
    /// How long it holds.
    pub lifetime: KeyLifetime,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Names it in lists.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was last used, exact to the hour; nothing where it never was.
    pub last_used_at: Option<Timestamp>,
}

/// A key that was just made.
pub struct MadeKey {
    /// The secret, shown this once.
    pub secret: String,
    /// The rest of it.
    pub key: ApiKey,
}

impl ApiKey {
    /// The key that a login is; nothing where a person holds it.
    fn of(token: Token) -> Option<Self> {
        let Token { id, user: _, label, created_at, expires_at, last_used_at, scopes } = token;
        Some(Self {
            id,
            name: label.unwrap_or_default(),
            scopes: Scopes::from_bits(scopes?),
            created_at,
            expires_at,
            last_used_at: (last_used_at > created_at).then_some(last_used_at),
        })
    }
}

impl Identity {
    /// True where a program asks by an API key.
    #[must_use]
    pub fn is_key(&self) -> bool {
        self.scopes.is_some()
    }

    /// Whether who asks may do what needs `scope`. People may do all; without a scope it is for them only.
    ///
    /// # Errors
    /// `OutOfScope`.
    pub fn may(&self, scope: Option<Scope>) -> Result<(), AuthError> {
        let Some(scopes) = self.scopes else { return Ok(()) };
        if scope.is_some_and(|scope| scopes.allow(scope)) {
            Ok(())
        } else {
            Err(AuthError::OutOfScope { needs: scope })
        }
    }

    pub(super) fn person(&self) -> Result<(), AuthError> {
        self.may(None)
    }
}

/// Dropping a future of these leaves it unsaid whether the change was made.
impl Auth {
    /// Makes a key. It is of no use to anyone where the future is dropped: nobody has its secret.
    ///
    /// # Errors
    /// `OutOfScope` where a key asks; `TooManyKeys`; `NoIdentity` where the login has ended meanwhile; the store's.
    pub async fn make_key(&self, caller: &Identity, new: NewKey) -> Result<MadeKey, AuthError> {
        caller.person()?;
        self.mint_key(caller.id(), Some(caller.digest()), new).await.map_err(|error| {
            // The account is the caller's own: without it there is no identity either.
            if matches!(error, AuthError::NotFound) { AuthError::NoIdentity } else { error }
        })
    }

    /// Makes a key of the account with this name, as an operator.
    ///
    /// # Errors
    /// `NotFound` where there is no such account, or it is shut; `TooManyKeys`; the store's.
    pub async fn make_key_of_user(&self, username: &str, new: NewKey) -> Result<MadeKey, AuthError> {
        let user: Arc<User> = self.find_user(username).await?;
        self.mint_key(user.id, None, new).await
    }

    async fn mint_key(&self, user: UserId, by: Option<TokenDigest>, new: NewKey) -> Result<MadeKey, AuthError> {
        let (secret, digest) = token::mint(Kind::Key);
        let now = self.clock.now();
        let token = Token {
            id: TokenId::new(),
            user,
            label: Some(new.name.into_string()),
            created_at: now,
            expires_at: now.after(new.lifetime.duration()),
            last_used_at: now,
            scopes: Some(new.scopes.bits()),
        };
        if !self.store.create_key(digest, token.clone(), by, KEYS_PER_USER_MAX).await? {
            return Err(AuthError::TooManyKeys { max: KEYS_PER_USER_MAX });
        }
        let key = ApiKey::of(token).ok_or(AuthError::NotFound)?;
        tracing::info!(target: "auth", %user, key = %key.id, scopes = %new.scopes, "an API key was made");
        Ok(MadeKey { secret, key })
    }

    /// The caller's keys, oldest first, without those that have run out.
    ///
    /// # Errors
    /// The store's.
    pub async fn keys(&self, caller: &Identity) -> Result<Vec<ApiKey>, AuthError> {
        self.keys_of(caller.id()).await
    }

    /// Ends one of the caller's keys.
    ///
    /// # Errors
    /// `NotFound` where the caller has no such key, or the store's.
    pub async fn end_key(&self, caller: &Identity, id: TokenId) -> Result<(), AuthError> {
        self.end_key_of(caller.id(), id).await
    }

    /// The keys of the account with this name, as an operator sees them: oldest first, without those that have run out.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn keys_of_user(&self, username: &str) -> Result<Vec<ApiKey>, AuthError> {
        let user: Arc<User> = self.find_user(username).await?;
        self.keys_of(user.id).await
    }

    /// Ends a key of the account with this name, as an operator.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn revoke_key(&self, username: &str, id: TokenId) -> Result<(), AuthError> {
        let user: Arc<User> = self.find_user(username).await?;
        self.end_key_of(user.id, id).await
    }

    async fn keys_of(&self, user: UserId) -> Result<Vec<ApiKey>, AuthError> {
        let now = self.clock.now();
        let tokens = self.store.tokens(user).await?;
        Ok(tokens.into_iter().filter(|token| token.expires_at > now).filter_map(ApiKey::of).collect())
    }

    async fn end_key_of(&self, user: UserId, id: TokenId) -> Result<(), AuthError> {
        let tokens = self.store.tokens(user).await?;
        let is_key = tokens.iter().any(|token| token.id == id && token.scopes.is_some());
        if !is_key || !self.store.end_token(user, id).await? {
            return Err(AuthError::NotFound);
        }
        tracing::info!(target: "auth", user = %user, key = %id, "an API key was ended");
        Ok(())
    }
}

/// What is kept of `text`, where it has the form of what programs and people show; and which of the two.
pub(super) fn shown(text: &str) -> Option<(TokenDigest, Kind)> {
    [Kind::Login, Kind::Key].into_iter().find_map(|kind| Some((token::parse(kind, text)?, kind)))
}
