//! What is counted of logins.

use super::AuthError;
use crate::metrics::{Counter, Labelled};

/// How a login can end: the words of `outcome`.
const OUTCOMES: [&str; 5] = ["ok", "wrong", "throttled", "busy", "error"];

/// What was counted since the start.
#[derive(Debug)]
pub struct AuthFigures {
    /// Logins by outcome.
    pub logins: Labelled,
    /// Accounts that people made for themselves.
    pub registrations: Counter,
}

impl Default for AuthFigures {
    fn default() -> Self {
        Self { logins: Labelled::new(&OUTCOMES), registrations: Counter::default() }
    }
}

impl AuthFigures {
    /// Counts a login that ended so.
    pub(super) fn login(&self, error: Option<&AuthError>) {
        self.logins.count(match error {
            None => "ok",
            Some(AuthError::WrongCredentials { .. }) => "wrong",
            Some(AuthError::TooManyFailures { .. }) => "throttled",
            Some(AuthError::Busy { .. }) => "busy",
            Some(
                AuthError::RegistrationClosed
                | AuthError::NoInvitation
                | AuthError::NameTaken
                | AuthError::BadName(_)
                | AuthError::WeakPassword(_)
                | AuthError::NoIdentity
                | AuthError::NotAdministrator
                | AuthError::OutOfScope { .. }
                | AuthError::TooManyKeys { .. }
                | AuthError::NotFound
                | AuthError::Store(_),
            ) => "error",
        });
    }
}
