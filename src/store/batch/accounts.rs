//! Decisions about accounts, logins and invitations.

use std::sync::Arc;

use super::{
    super::{
        AccountEdit, StoreError, Token, TokenDigest, User, UserChange,
        codec::{Change, TokenRecord, UserRecord},
    },
    Batch, Decision,
};
use crate::{
    clock::Timestamp,
    id::{TokenId, UserId},
};

/// A login, under its digest.
type Kept = ([u8; 32], TokenRecord);

/// Who holds a login.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    Person,
    Program,
}

impl Batch<'_> {
    pub(super) fn user(&self, id: UserId) -> Decision<Option<UserRecord>> {
        if let Some(user) = self.decided.users.get(&id) {
            return Ok(user.clone());
        }
        Ok(self.index.user_record(id)?)
    }

    pub(super) fn create_user(&mut self, user: &User, invitation: Option<TokenDigest>) -> Decision<()> {
        let known = match self.decided.names.get(&user.folded) {
            Some(known) => Some(*known),
            None => self.index.user_named(&user.folded)?,
        };
        if known.is_some_and(|known| self.decided.users.get(&known) != Some(&None)) {
            return Err(StoreError::NameTaken);
        }
        if let Some(TokenDigest(digest)) = invitation {
            let expires_at = self.index.invitation(digest)?.filter(|&expires_at| expires_at > self.now);
            let unused = !self.decided.invitations.contains(&digest);
            let expires_at = expires_at.filter(|_| unused).ok_or(StoreError::NoInvitation)?;
            self.decided.invitations.insert(digest);
            self.changes.push(Change::InvitationUsed { digest, expires_at });
        }
        let record = user_record(user);
        self.decided.names.insert(user.folded.clone(), user.id);
        self.put_user(user.id, record);
        Ok(())
    }

    pub(super) fn put_user(&mut self, id: UserId, record: UserRecord) {
        self.changes.push(Change::User { id, record: record.clone() });
        self.decided.users.insert(id, Some(record));
    }

    pub(super) fn change_user(&mut self, id: UserId, change: UserChange) -> Decision<Arc<User>> {
        let mut record = self.user(id)?.ok_or(StoreError::NoUser)?;
        match change {
            UserChange::Password { password, keep } => {
                record.password = password;
                self.end_tokens(id, keep)?;
            }
            UserChange::Rehash { old, new } if record.password == old => record.password = new,
            UserChange::Rehash { .. } => return Ok(Arc::new(user_of(id, &record))),
            UserChange::Edit(AccountEdit { role, tier, disabled }) => {
                record.role = role.map_or(record.role, Into::into);
                record.tier = tier.map_or(record.tier, Into::into);
                record.disabled = disabled.unwrap_or(record.disabled);
                if disabled == Some(true) {
                    self.end_tokens(id, None)?;
                }
            }
            UserChange::EndLogins => {
                self.end_tokens(id, None)?;
                return Ok(Arc::new(user_of(id, &record)));
            }
        }
        let user = Arc::new(user_of(id, &record));
        self.put_user(id, record);
        Ok(user)
    }

    pub(super) fn delete_user(&mut self, id: UserId) -> Decision<()> {
        if self.user(id)?.is_none() {
            return Err(StoreError::NoUser);
        }
        self.end_tokens(id, None)?;
        self.end_jobs_of(id)?;
        self.changes.push(Change::UserDeleted { id });
        self.decided.users.insert(id, None);
        Ok(())
    }

    /// The user's logins, those of this batch included, oldest first.
    pub(super) fn tokens(&self, user: UserId) -> Decision<Vec<Kept>> {
        let mut tokens = self.index.token_records(user)?;
        tokens.retain(|(digest, _)| !self.decided.tokens.contains_key(digest));
        let of_batch = self.decided.tokens.iter().filter_map(|(digest, token)| Some((*digest, token.clone()?)));
        tokens.extend(of_batch.filter(|(_, token)| token.user == user));
        tokens.sort_by_key(|(_, token)| (token.created_at, token.id));
        Ok(tokens)
    }

    pub(super) fn end_tokens(&mut self, user: UserId, keep: Option<TokenId>) -> Decision<()> {
        for (digest, token) in self.tokens(user)? {
            if Some(token.id) != keep {
                self.put_ended(digest, &token);
            }
        }
        Ok(())
    }

    pub(super) fn put_ended(&mut self, digest: [u8; 32], token: &TokenRecord) {
        self.changes.push(Change::TokenEnded { digest, expires_at: token.expires_at });
        self.decided.tokens.insert(digest, None);
        self.decided.ended_logins.push((token.user, TokenDigest(digest)));
    }

    /// Makes a person's login; the oldest of them beyond `max` end.
    pub(super) fn create_token(&mut self, digest: TokenDigest, token: &Token, max: usize) -> Decision<()> {
        self.has_open_account(token.user)?;
        let logins = self.only(self.tokens(token.user)?, Holder::Person)?;
        for (oldest, token) in logins.iter().take((logins.len() + 1).saturating_sub(max)) {
            self.put_ended(*oldest, token);
        }
        self.put_token(digest, token);
        Ok(())
    }

    /// Makes a login that a program holds, unless the user has `max` of them; false where that is so. The login `by`, which
    /// asks for it, must be there still: whatever ended that one ended what it might leave behind, too. An operator has none.
    pub(in crate::store) fn create_key(
        &mut self,
        digest: TokenDigest,
        token: &Token,
        by: Option<TokenDigest>,
        max: usize,
    ) -> Decision<bool> {
        self.has_open_account(token.user)?;
        let logins = self.tokens(token.user)?;
        if by.is_some_and(|by| logins.iter().all(|(digest, _)| *digest != by.0)) {
            return Err(StoreError::NoUser);
        }
        let keys = self.only(logins, Holder::Program)?;
        if keys.iter().filter(|(_, key)| key.expires_at > self.now).count() >= max {
            return Ok(false);
        }
        if let Some(scopes) = token.scopes {
            // First: nobody may find the login without its bounds.
            self.changes.push(Change::Scopes { digest: digest.0, scopes });
            self.decided.of_programs.insert(digest.0);
        }
        self.put_token(digest, token);
        Ok(true)
    }

    fn has_open_account(&self, user: UserId) -> Decision<()> {
        let user = self.user(user)?.filter(|user| !user.disabled);
        user.map(drop).ok_or(StoreError::NoUser)
    }

    fn only(&self, tokens: Vec<Kept>, holder: Holder) -> Decision<Vec<Kept>> {
        let mut only = Vec::with_capacity(tokens.len());
        for (digest, token) in tokens {
            let is_of_program = self.decided.of_programs.contains(&digest) || self.index.scopes(&digest)?.is_some();
            if is_of_program == (holder == Holder::Program) {
                only.push((digest, token));
            }
        }
        Ok(only)
    }

    fn put_token(&mut self, digest: TokenDigest, token: &Token) {
        let record = token_record(token);
        self.changes.push(Change::Token { digest: digest.0, record: record.clone() });
        self.decided.tokens.insert(digest.0, Some(record));
    }

    pub(super) fn end_token(&mut self, user: UserId, id: TokenId) -> Decision<bool> {
        let token = self.tokens(user)?.into_iter().find(|(_, token)| token.id == id);
        if let Some((digest, token)) = &token {
            self.put_ended(*digest, token);
        }
        Ok(token.is_some())
    }

    pub(super) fn touch_token(&mut self, digest: TokenDigest, at: Timestamp) -> Decision<()> {
        let token = match self.decided.tokens.get(&digest.0) {
            Some(token) => token.clone(),
            None => self.index.token_record(digest.0)?,
        };
        if let Some(mut record) = token.filter(|token| token.last_used_at < at) {
            record.last_used_at = at;
            self.changes.push(Change::Token { digest: digest.0, record: record.clone() });
            self.decided.tokens.insert(digest.0, Some(record));
        }
        Ok(())
    }
}

/// An account from its record.
pub(crate) fn user_of(id: UserId, record: &UserRecord) -> User {
    User {
        id,
        username: record.username.clone(),
        folded: record.folded.clone(),
        display_name: record.display_name.clone(),
        role: record.role.into(),
        tier: record.tier.into(),
        password: record.password.clone(),
        disabled: record.disabled,
        created_at: record.created_at,
    }
}

fn user_record(user: &User) -> UserRecord {
    UserRecord {
        username: user.username.clone(),
        folded: user.folded.clone(),
        display_name: user.display_name.clone(),
        role: user.role.into(),
        tier: user.tier.into(),
        password: user.password.clone(),
        disabled: user.disabled,
        created_at: user.created_at,
    }
}

/// A login from its record.
pub(crate) fn token_of(record: &TokenRecord, scopes: Option<u32>) -> Token {
    Token {
        id: record.id,
        user: record.user,
        label: record.label.clone(),
        created_at: record.created_at,
        expires_at: record.expires_at,
        last_used_at: record.last_used_at,
        scopes,
    }
}

fn token_record(token: &Token) -> TokenRecord {
    TokenRecord {
        id: token.id,
        user: token.user,
        label: token.label.clone(),
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
    }
}
