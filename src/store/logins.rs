//! Logins, of persons and of programs: how they are made and ended.

use super::{Command, Health, Store, StoreError, Token, TokenDigest};
use crate::{
    clock::Timestamp,
    id::{TokenId, UserId},
};

impl Store {
    /// Stores a login. The user's oldest ends where there would be more than `max`.
    ///
    /// # Errors
    /// `NoUser` where the account is not there or shut, and those of every write.
    pub async fn create_token(&self, digest: TokenDigest, token: Token, max: usize) -> Result<(), StoreError> {
        self.write(|reply| Command::CreateToken(digest, token, max, reply)).await
    }

    /// Makes a login with bounds, which a program holds, for the login `by` or, without one, for an operator; false where the user has `max` of them that have
    /// not expired. They end no person's login, and new logins of persons end none of them.
    ///
    /// # Errors
    /// `NoUser` where the account is shut or gone, or the login `by` has ended; those of every write.
    pub async fn create_key(
        &self,
        digest: TokenDigest,
        token: Token,
        by: impl Into<Option<TokenDigest>>,
        max: usize,
    ) -> Result<bool, StoreError> {
        let by = by.into();
        self.write(|reply| Command::CreateKey(digest, token, by, max, reply)).await
    }

    /// Ends a login; false where the user has none with this id.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn end_token(&self, user: UserId, id: TokenId) -> Result<bool, StoreError> {
        self.write(|reply| Command::EndToken(user, id, reply)).await
    }

    /// Notes that a login was used; nobody waits for it, and a full queue drops it.
    pub fn touch_token(&self, digest: TokenDigest, at: Timestamp) {
        if self.shared.health() == Health::Ready {
            let _ = self.commands.try_send(Command::TouchToken(digest, at)); // The next use says it again.
        }
    }
}
