//! What makes replies. The rest of the program asks a [`Backend`] and does not know which it is.

pub mod companion;
pub mod tokens;

use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub use companion::Line;

use crate::{
    config::{ReplyBackend, ReplyConfig},
    reply::companion::Companion,
};

/// A reply is cut here, bytes: the index takes no longer record.
pub const REPLY_BYTES_MAX: usize = 64 << 10;

/// What a reply is made from.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// A session's own instructions; nothing: the configured ones.
    pub system: Option<&'a str>,
    /// The conversation; its last line is the user's.
    pub lines: &'a [Line<'a>],
}

/// Takes a reply's text piece by piece; `Break`: enough, the rest is not wanted.
pub type Sink<'a> = dyn FnMut(&str) -> ControlFlow<()> + Send + 'a;

/// How much of a conversation a backend takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many lines.
    Lines(usize),
    /// So many tokens, the system prompt included.
    Tokens(usize),
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct ReplyError {
    /// A sentence for the user.
    pub detail: String,
    /// True: too slow.
    pub too_slow: bool,
    /// True: overloaded.
    pub overloaded: bool,
    /// For the log.
    pub cause: String,
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
    pub fn model(&self) -> &str {
        match self {
            Self::Companion(_) => "companion",
        }
    }

    /// The reply to the last line of `conversation`, which is the user's; at most [`REPLY_BYTES_MAX`] long.
    ///
    /// # Errors
    /// [`ReplyError`] where there is none.
    pub async fn reply(&self, prompt: Prompt<'_>, sink: &mut Sink<'_>) -> Result<(), ReplyError> {
        match self {
            Self::Companion(companion) => {
                // A fault in a rule costs one reply, not the process.
                let reply = catch_unwind(AssertUnwindSafe(|| companion.reply(prompt.lines)));
                let reply = reply.map_err(|_| ReplyError {
                    detail: "The reply could not be made; please try again.".to_owned(),
                    too_slow: false,
                    overloaded: false,
                    cause: "the companion panicked".to_owned(),
                })?;
                let _ = sink(&cut(reply));
                Ok(())
            }
        }
    }

    /// How much of a conversation it takes.
    #[must_use]
    pub fn budget(&self) -> Budget {
        Budget::Lines(50)
    }

    /// Tokens of the system prompt.
    #[must_use]
    pub fn system_tokens(&self, _own: Option<&str>) -> usize {
        0
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
