//! What an operator does with accounts. Names are found in any case and composition.

use std::{sync::Arc, time::Duration};

use super::{
    Auth, AuthError, NewAccount, Password,
    token::{self, Kind},
};
use crate::{
    clock::Timestamp,
    id::UserId,
    store::{AccountEdit, Role, StoreError, Tier, User, UserChange},
    text::{DisplayName, Username},
};

/// How long an invitation code is valid.
const INVITATION_LIFETIME: Duration = Duration::from_hours(7 * 24);

/// An account as another server had it.
pub struct ImportedAccount {
    /// The name.
    pub username: Username,
    /// How to call the person.
    pub display_name: DisplayName,
    /// What it may do.
    pub role: Role,
    /// The limits that hold for it.
    pub tier: Tier,
    /// True where it is shut.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The password's hash, as a PHC string.
    pub password: Option<String>,
}

/// Dropping a future of these leaves it unsaid whether the change was made.
impl Auth {
    /// Makes an account as an operator: registration may be closed, and an invitation is not asked for.
    ///
    /// # Errors
    /// `WeakPassword`, `NameTaken`, `Busy`, or the store's.
    pub async fn add_user(&self, account: NewAccount, role: Role, tier: Tier) -> Result<Arc<User>, AuthError> {
        self.create(account, role, tier, None).await
    }

    /// Finds the account of this name, or makes it as another server had it; true where it was made. One that is there stays
    /// as it is. Without a password hash nobody can log in before an operator sets a password.
    ///
    /// # Errors
    /// `WeakPassword` where the hash can't be used here; the store's.
    pub async fn import_user(&self, account: ImportedAccount) -> Result<(Arc<User>, bool), AuthError> {
        if let Some(user) = self.store.user_by_name(account.username.folded()).await? {
            return Ok((user, false));
        }
        if let Some(hash) = &account.password {
            let refused = |why| AuthError::WeakPassword(format!("can't be taken over: {why}"));
            self.hasher.accept(hash).map_err(refused)?;
        }
        let user = User {
            id: UserId::new(),
            username: account.username.as_str().to_owned(),
            folded: account.username.folded().to_owned(),
            display_name: account.display_name.into_string(),
            role: account.role,
            tier: account.tier,
            password: account.password.unwrap_or_else(|| self.hasher.nobody().to_owned()),
            disabled: account.disabled,
            created_at: account.created_at.min(self.clock.now()),
        };
        match self.store.create_user(user.clone(), None).await {
            Ok(()) => Ok((Arc::new(user), true)),
            // Somebody registered it meanwhile.
            Err(StoreError::NameTaken) => Ok((self.named(account.username.as_str()).await?, false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Sets a password as an operator; every login of the user ends, and so do the delays after failed ones.
    ///
    /// # Errors
    /// `NotFound`, `WeakPassword`, `Busy`, or the store's.
    pub async fn set_password(&self, username: &str, new: Password) -> Result<(), AuthError> {
        let user = self.named(username).await?;
        self.reset_password(user.id, new).await
    }

    /// [`Auth::set_password`], of the account with this id.
    ///
    /// # Errors
    /// As it says.
    pub async fn reset_password(&self, id: UserId, new: Password) -> Result<(), AuthError> {
        let user = self.account(id).await?;
        self.check_policy(&new, &user)?;
        let password = self.hasher.hash(new).await?;
        self.store.change_user(user.id, UserChange::Password { password, keep: None }).await?;
        self.throttle.forgive(&user.folded);
        Ok(())
    }

    /// Sets a role as an operator, and gives the account as it is then.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn set_role(&self, username: &str, role: Role) -> Result<Arc<User>, AuthError> {
        self.edit(username, AccountEdit { role: Some(role), ..AccountEdit::default() }).await
    }

    /// Sets a tier as an operator, and gives the account as it is then.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn set_tier(&self, username: &str, tier: Tier) -> Result<Arc<User>, AuthError> {
        self.edit(username, AccountEdit { tier: Some(tier), ..AccountEdit::default() }).await
    }

    /// Shuts an account (every login of it ends) or opens it again, as an operator, and gives it as it is then.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn set_disabled(&self, username: &str, disabled: bool) -> Result<Arc<User>, AuthError> {
        self.edit(username, AccountEdit { disabled: Some(disabled), ..AccountEdit::default() }).await
    }

    /// Changes an account as an operator, all at once, and gives it as it is then.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn edit_account(&self, id: UserId, edit: AccountEdit) -> Result<Arc<User>, AuthError> {
        Ok(self.store.change_user(id, UserChange::Edit(edit)).await?)
    }

    /// Ends every login of an account as an operator.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn end_logins(&self, id: UserId) -> Result<(), AuthError> {
        self.store.change_user(id, UserChange::EndLogins).await?;
        Ok(())
    }

    /// Deletes an account with everything in it, as an operator, and gives it as it was.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn remove_user(&self, username: &str) -> Result<Arc<User>, AuthError> {
        let user = self.named(username).await?;
        self.store.delete_user(user.id).await?;
        Ok(user)
    }

    /// The account with this id, as an operator sees it.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn account(&self, id: UserId) -> Result<Arc<User>, AuthError> {
        self.store.user(id).await?.ok_or(AuthError::NotFound)
    }

    /// Makes an invitation code for one registration within seven days, as an operator. It is shown this once.
    ///
    /// # Errors
    /// The store's.
    pub async fn invite(&self) -> Result<String, AuthError> {
        let (code, digest) = token::mint(Kind::Invitation);
        self.store.create_invitation(digest, self.clock.now().after(INVITATION_LIFETIME)).await?;
        Ok(code)
    }

    /// All accounts in pages of up to `limit`, oldest first, after `after`.
    ///
    /// # Errors
    /// The store's.
    pub async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, AuthError> {
        Ok(self.store.users(after, limit).await?)
    }

    /// The account of this name.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn find_user(&self, username: &str) -> Result<Arc<User>, AuthError> {
        self.named(username).await
    }

    async fn edit(&self, username: &str, edit: AccountEdit) -> Result<Arc<User>, AuthError> {
        let user = self.named(username).await?;
        self.edit_account(user.id, edit).await
    }

    async fn named(&self, username: &str) -> Result<Arc<User>, AuthError> {
        let name = Username::new(username).map_err(|_| AuthError::NotFound)?; // What can't be a name is nobody's.
        self.store.user_by_name(name.folded()).await?.ok_or(AuthError::NotFound)
    }
}
