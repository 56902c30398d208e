//! What makes replies. The rest of the program asks a [`Backend`] and does not know which it is.

pub mod companion;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use companion::Line;

use crate::{
    config::{ReplyBackend, ReplyConfig},
    reply::companion::Companion,
};

/// A reply is cut here, bytes: the index takes no longer record.
pub const REPLY_BYTES_MAX: usize = 64 << 10;

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// The backend broke off or said nothing usable.
    #[error("{0}")]
    Failed(String),
}

/// What makes replies.
pub enum Backend {
    /// The built-in companion.
    Companion(Companion),
}

impl Backend {
    /// The backend that `config` names.
    #[must_use]
    pub fn new(config: &ReplyConfig) -> Self {
        match config.backend {
            // The configuration refuses `openai` while there is only this one.
            ReplyBackend::Companion | ReplyBackend::Openai => Self::Companion(Companion::new()),
        }
    }

    /// Its name, for people.
    #[must_use]
    pub fn model(&self) -> &'static str {
        match self {
            Self::Companion(_) => "companion",
        }
    }

    /// The reply to the last line of `conversation`, which is the user's; at most [`REPLY_BYTES_MAX`] long.
    ///
    /// # Errors
    /// [`ReplyError`] where there is none.
    pub fn reply(&self, conversation: &[Line<'_>]) -> Result<String, ReplyError> {
        match self {
            Self::Companion(companion) => {
                // A fault in a rule costs one reply, not the process.
                let reply = catch_unwind(AssertUnwindSafe(|| companion.reply(conversation)));
                let reply = reply.map_err(|_| ReplyError::Failed("the companion had no answer".to_owned()))?;
                Ok(cut(reply))
            }
        }
    }
}

fn cut(mut reply: String) -> String {
    if reply.len() > REPLY_BYTES_MAX {
        let end = (0..=REPLY_BYTES_MAX).rev().find(|&at| reply.is_char_boundary(at)).unwrap_or(0);
        reply.truncate(end);
    }
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_cut_between_characters() {
        let long = "আ".repeat(REPLY_BYTES_MAX);
        let short = cut(long.clone());
        assert!(short.len() <= REPLY_BYTES_MAX && short.len() > REPLY_BYTES_MAX - 3 && long.starts_with(&short));
        assert_eq!(cut("short".to_owned()), "short");
    }
}
