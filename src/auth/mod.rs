//! Who is asking: accounts, passwords, logins.
//!
//! Only this module makes an [`Identity`], and only from a token that is known, not expired, and of an account that is
//! open. What a stranger learns from a refused login is the same whether the name, the password or the account's state
//! was the reason: the same words, after the same work.

mod figures;
mod keys;
mod operator;
mod password;
mod policy;
mod scope;
mod throttle;
mod token;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub use figures::AuthFigures;
pub use keys::{ApiKey, KEYS_PER_USER_MAX, KeyLifetime, MadeKey, NewKey};
pub use operator::ImportedAccount;
pub use password::Password;
pub use scope::{Scope, Scopes};

use crate::{
    clock::{Clock, Timestamp},
    config::{AuthConfig, Live, Registration},
    id::{TokenId, UserId},
    store::{Role, Store, StoreError, Tier, Token, TokenDigest, User, UserChange},
    text::{DisplayName, TextFault, Username},
};
use password::{Hasher, Verdict};
use throttle::Throttle;
use token::Kind;

/// Proof of who asks: only this module makes one.
#[derive(Clone)]
pub struct Identity {
    user: Arc<User>,
    token: TokenId,
    digest: TokenDigest,
    until: Timestamp,
    scopes: Option<Scopes>,
}

impl Identity {
    /// The account.
    #[must_use]
    pub fn user(&self) -> &User {
        &self.user
    }

    /// The account's id.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.user.id
    }

    /// The login that proved it.
    #[must_use]
    pub fn token(&self) -> TokenId {
        self.token
    }

    /// What the store knows that login by.
    #[must_use]
    pub fn digest(&self) -> TokenDigest {
        self.digest
    }

    /// When the login ends unless it is used again, and at the latest.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }
}

/// Proof that who asks is an administrator: only [`Identity::administrator`] makes one.
pub struct Administrator(Identity);

impl Identity {
    /// The proof of this right, where the account has it now.
    ///
    /// # Errors
    /// `NotAdministrator`; `OutOfScope` where a key of one asks.
    pub fn administrator(self) -> Result<Administrator, AuthError> {
        self.person()?;
        match self.user.role {
            Role::Admin => Ok(Administrator(self)),
            Role::User => Err(AuthError::NotAdministrator),
        }
    }
}

impl Administrator {
    /// The administrator's own account.
    #[must_use]
    pub fn id(&self) -> UserId {
        self.0.id()
    }
}

/// What a person gives to register.
pub struct NewAccount {
    /// The wanted name.
    pub username: Username,
    /// The password.
    pub password: Password,
    /// How to be called; the user name where it is missing.
    pub display_name: Option<DisplayName>,
    /// An invitation code, where registration asks for one.
    pub invitation: Option<String>,
}

/// A login that was just made.
pub struct Login {
    /// The secret, shown this once.
    pub token: String,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
    /// Whose it is.
    pub user: Arc<User>,
}

/// Why an identity was not given or changed.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// `auth.registration` is `closed`.
    #[error("registration is closed")]
    RegistrationClosed,
    /// `auth.registration` is `invite`, and the code is missing, unknown, used or over.
    #[error("registration needs a valid invitation")]
    NoInvitation,
    /// Someone has the name.
    #[error("the name is taken")]
    NameTaken,
    /// The name can't be one.
    #[error("the user name {0}")]
    BadName(#[from] TextFault),
    /// The password is refused; says why.
    #[error("the password {0}")]
    WeakPassword(String),
    /// The name, the password, or the account's state: never said which.
    #[error("wrong user name or password")]
    WrongCredentials {
        /// The account that was tried, where there is one: for the log, and never for who asks.
        account: Option<UserId>,
    },
    /// The token is missing, unknown, ended or expired.
    #[error("no valid token")]
    NoIdentity,
    /// Too many failures; try again after this.
    #[error("too many failed logins")]
    TooManyFailures {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many passwords are being hashed.
    #[error("too many logins at once")]
    Busy {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The account is not an administrator's.
    #[error("not an administrator")]
    NotAdministrator,
    /// The API key does not allow it.
    #[error("the API key does not allow it")]
    OutOfScope {
        /// What would; nothing where no key may do it.
        needs: Option<Scope>,
    },
    /// The user has as many API keys as one may have.
    #[error("there are {max} API keys already")]
    TooManyKeys {
        /// How many that is.
        max: usize,
    },
    /// There is no such account or login.
    #[error("there is no such account or login")]
    NotFound,
    /// The store's.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AuthError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoUser => Self::NotFound,
            StoreError::NameTaken => Self::NameTaken,
            StoreError::NoInvitation => Self::NoInvitation,
            StoreError::NotOwner(_)
            | StoreError::KeyReused
            | StoreError::TurnGone
            | StoreError::Moved
            | StoreError::Job(_)
            | StoreError::DiskFull
            | StoreError::Busy
            | StoreError::Ended
            | StoreError::Unknown
            | StoreError::Unreadable(_) => Self::Store(error),
        }
    }
}

/// What the store's error means where the account is the caller's own: without it there is no identity either.
fn of_caller(error: StoreError) -> AuthError {
    if matches!(error, StoreError::NoUser) { AuthError::NoIdentity } else { error.into() }
}

/// Accounts and logins.
///
/// What an operator does with accounts is in `operator.rs`.
pub struct Auth {
    config: Live<AuthConfig>,
    store: Arc<Store>,
    clock: Clock,
    hasher: Hasher,
    throttle: Throttle,
    figures: Arc<AuthFigures>,
}

impl Auth {
    /// Starts the hashing threads.
    ///
    /// # Errors
    /// The system's, where it gives no thread; `InvalidInput` for parameters that argon2 does not have.
    pub fn start(config: impl Into<Live<AuthConfig>>, store: Arc<Store>, clock: Clock) -> std::io::Result<Self> {
        let config = config.into();
        let hasher = Hasher::start(config.get().argon2)?;
        let figures = Arc::default();
        Ok(Self { config, store, clock, hasher, throttle: Throttle::new(), figures })
    }

    /// What was counted since the start.
    #[must_use]
    pub fn figures(&self) -> &Arc<AuthFigures> {
        &self.figures
    }

    /// Makes an account. Dropping the future leaves it unsaid whether it was made.
    ///
    /// # Errors
    /// `RegistrationClosed`, `NoInvitation`, `WeakPassword`, `NameTaken`, `Busy`, or the store's.
    pub async fn register(&self, account: NewAccount) -> Result<Arc<User>, AuthError> {
        let invitation = match self.config.get().registration {
            Registration::Open => None,
            Registration::Invite => {
                let code = account.invitation.as_deref().and_then(|code| token::parse(Kind::Invitation, code));
                Some(code.ok_or(AuthError::NoInvitation)?)
            }
            Registration::Closed => return Err(AuthError::RegistrationClosed),
        };
        let user = self.create(account, Role::User, Tier::Free, invitation).await?;
        self.figures.registrations.count();
        Ok(user)
    }

    /// Proves a password and makes a login. An unknown name, a wrong password and a shut account answer alike, in
    /// the same time. Dropping the future may leave a login behind whose secret nobody has.
    ///
    /// # Errors
    /// `WrongCredentials`, `TooManyFailures`, `Busy`, or the store's.
    pub async fn login(
        &self,
        from: IpAddr,
        username: &str,
        password: Password,
        label: Option<String>,
    ) -> Result<Login, AuthError> {
        let made = self.make_login(from, username, password, label).await;
        self.figures.login(made.as_ref().err());
        made
    }

    async fn make_login(
        &self,
        from: IpAddr,
        username: &str,
        password: Password,
        label: Option<String>,
    ) -> Result<Login, AuthError> {
        let name = Username::new(username).ok();
        let user = self.prove(name.as_ref().map(Username::folded), from, &password).await?;
        let (secret, digest) = token::mint(Kind::Login);
        let now = self.clock.now();
        let expires_at = now.after(self.config.get().token_lifetime);
        let id = TokenId::new();
        let token = Token { id, user: user.id, label, created_at: now, expires_at, last_used_at: now, scopes: None };
        let made = self.store.create_token(digest, token, self.config.get().tokens_per_user).await;
        if matches!(made, Err(StoreError::NoUser)) {
            return Err(AuthError::WrongCredentials { account: None }); // Deleted since it was proved: as if it had never been there.
        }
        made?;
        // A change of password, or an operator's shutting of the account, ends the logins of before. This one may have
        // come just after that, with the old password.
        if !self.still_proves(&user, password).await? {
            self.store.end_token(user.id, id).await?;
            return Err(AuthError::WrongCredentials { account: Some(user.id) });
        }
        Ok(Login { token: secret, expires_at, user })
    }

    /// Whose token this is. Dropping the future does nothing.
    ///
    /// # Errors
    /// `NoIdentity`, or the store's.
    pub async fn identify(&self, token: &str) -> Result<Identity, AuthError> {
        let (digest, kind) = keys::shown(token).ok_or(AuthError::NoIdentity)?;
        let token = self.store.token(digest).await?.ok_or(AuthError::NoIdentity)?;
        if token.scopes.is_some() != (kind == Kind::Key) {
            return Err(AuthError::NoIdentity); // A key without its bounds is nobody's.
        }
        let now = self.clock.now();
        if !token::is_live(&token, self.config.get().token_idle, now) {
            return Err(AuthError::NoIdentity);
        }
        let user = self.store.user(token.user).await?.ok_or(AuthError::NoIdentity)?;
        if user.disabled || user.id != token.user {
            return Err(AuthError::NoIdentity);
        }
        if token::is_use_news(&token, now) {
            self.store.touch_token(digest, now);
        }
        let until = token::ends_at(&token, self.config.get().token_idle, now);
        let scopes = token.scopes.map(Scopes::from_bits);
        Ok(Identity { user, token: token.id, digest, until, scopes })
    }

    /// Ends the login that asks. Dropping the future leaves it unsaid whether it ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn logout(&self, caller: &Identity) -> Result<(), AuthError> {
        self.store.end_token(caller.id(), caller.token()).await?; // One that has ended meanwhile is as good.
        Ok(())
    }

    /// Changes the caller's password and ends every other login, and every key. Dropping the future leaves it unsaid whether it did.
    ///
    /// # Errors
    /// `WeakPassword`, `WrongCredentials`, `TooManyFailures`, `Busy`, or the store's.
    pub async fn change_password(
        &self,
        caller: &Identity,
        from: IpAddr,
        current: Password,
        new: Password,
    ) -> Result<(), AuthError> {
        self.check_policy(&new, caller.user())?;
        self.prove_caller(caller, from, &current).await?;
        let password = self.hasher.hash(new).await?;
        let change = UserChange::Password { password, keep: Some(caller.token()) };
        self.store.change_user(caller.id(), change).await.map(drop).map_err(of_caller)
    }

    /// The caller's logins, oldest first, without those that have expired, and without keys.
    ///
    /// # Errors
    /// The store's.
    pub async fn tokens(&self, caller: &Identity) -> Result<Vec<Token>, AuthError> {
        let now = self.clock.now();
        let mut tokens = self.store.tokens(caller.id()).await?;
        tokens.retain(|token| token.scopes.is_none() && token::is_live(token, self.config.get().token_idle, now));
        Ok(tokens)
    }

    /// Ends one of the caller's logins. Dropping the future leaves it unsaid whether it ended.
    ///
    /// # Errors
    /// `NotFound`, or the store's.
    pub async fn end_token(&self, caller: &Identity, id: TokenId) -> Result<(), AuthError> {
        let tokens = self.store.tokens(caller.id()).await?;
        let is_login = tokens.iter().any(|token| token.id == id && token.scopes.is_none());
        if is_login && self.store.end_token(caller.id(), id).await? { Ok(()) } else { Err(AuthError::NotFound) }
    }

    /// Deletes the caller's account and everything in it. Dropping the future leaves it unsaid whether it did.
    ///
    /// # Errors
    /// `WrongCredentials`, `TooManyFailures`, `Busy`, or the store's.
    pub async fn delete_account(&self, caller: &Identity, from: IpAddr, password: Password) -> Result<(), AuthError> {
        self.prove_caller(caller, from, &password).await?;
        self.store.delete_user(caller.id()).await.map_err(of_caller)
    }

    /// Makes an account after all that can be checked without hashing; the store has the last word on the name.
    async fn create(
        &self,
        account: NewAccount,
        role: Role,
        tier: Tier,
        invitation: Option<TokenDigest>,
    ) -> Result<Arc<User>, AuthError> {
        let NewAccount { username, password, display_name, invitation: _ } = account;
        let mut user = User {
            id: UserId::new(),
            username: username.as_str().to_owned(),
            folded: username.folded().to_owned(),
            display_name: display_name.map_or_else(|| username.as_str().to_owned(), DisplayName::into_string),
            role,
            tier,
            password: String::new(),
            disabled: false,
            created_at: self.clock.now(),
        };
        self.check_policy(&password, &user)?;
        if self.store.user_by_name(&user.folded).await?.is_some() {
            return Err(AuthError::NameTaken);
        }
        user.password = self.hasher.hash(password).await?;
        self.store.create_user(user.clone(), invitation).await?;
        Ok(Arc::new(user))
    }

    fn check_policy(&self, password: &Password, user: &User) -> Result<(), AuthError> {
        policy::check(password, self.config.get().password_min, [&user.username, &user.display_name])
    }

    /// The caller's password, where a token is not enough: for what can't be taken back.
    async fn prove_caller(&self, caller: &Identity, from: IpAddr, password: &Password) -> Result<(), AuthError> {
        let user = self.prove(Some(&caller.user().folded), from, password).await?;
        // The account may have been deleted, and its name given away, since the token was looked at.
        if user.id == caller.id() { Ok(()) } else { Err(AuthError::WrongCredentials { account: None }) }
    }

    /// Proves that `password` is that of the account with this folded name, under the delays for who fails too often; no
    /// name: what was given can't be one.
    async fn prove(&self, name: Option<&str>, from: IpAddr, password: &Password) -> Result<Arc<User>, AuthError> {
        let held_up = |retry_after| AuthError::TooManyFailures { retry_after };
        let attempt = self.throttle.begin(name, from, Instant::now()).map_err(held_up)?;
        let proved = self.compare(name, password).await;
        match &proved {
            Ok(_) => attempt.proved(),
            Err(AuthError::WrongCredentials { .. }) => drop(attempt), // Which counts the failure.
            Err(_) => attempt.undone(),
        }
        proved
    }

    /// The account with this name, where it is open and has this password. The work is the same where it has not.
    async fn compare(&self, name: Option<&str>, password: &Password) -> Result<Arc<User>, AuthError> {
        let user = match name {
            Some(folded) => self.store.user_by_name(folded).await?,
            None => None,
        };
        let stored = user.as_ref().map(|user| user.password.as_str());
        let verdict = self.hasher.verify(password.clone(), stored).await?;
        match (user, verdict) {
            (Some(user), Verdict::Right { rehashed }) if !user.disabled => Ok(self.keep(user, rehashed).await),
            (user, Verdict::Right { .. } | Verdict::Wrong) => {
                Err(AuthError::WrongCredentials { account: user.map(|user| user.id) })
            }
        }
    }

    /// Stores the new hash of a password, where there is one; without that the login is as good.
    async fn keep(&self, user: Arc<User>, rehashed: Option<String>) -> Arc<User> {
        let Some(new) = rehashed else { return user };
        let change = UserChange::Rehash { old: user.password.clone(), new: new.clone() };
        match self.store.change_user(user.id, change).await {
            Ok(changed) if changed.password == new => changed,
            Ok(_) => user, // The password was changed meanwhile; what was proved is the old one.
            Err(error) => {
                tracing::warn!(%error, "a password's new hash could not be stored; the next login tries again");
                user
            }
        }
    }

    /// True while what was proved of `user` holds: the account is there and open, and has the same password.
    async fn still_proves(&self, user: &User, password: Password) -> Result<bool, AuthError> {
        let Some(current) = self.store.user(user.id).await?.filter(|current| !current.disabled) else {
            return Ok(false);
        };
        if current.password == user.password {
            return Ok(true);
        }
        // Another login may have hashed the same password anew.
        Ok(self.hasher.verify(password, Some(&current.password)).await? != Verdict::Wrong)
    }
}
