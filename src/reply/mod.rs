//! What makes replies. The rest of the program asks a [`Backend`] and does not know which it is.

pub mod companion;
mod openai;
pub mod tokens;

use std::{
    io,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub use companion::Line;

use self::{companion::Companion, openai::Openai};
use crate::{
    client::BuildError,
    config::{Fallback, ReplyBackend, ReplyConfig},
};

/// A reply is cut here, bytes: the index takes no longer record.
pub const REPLY_BYTES_MAX: usize = 64 << 10;

/// What a reply is made from.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// What the model is told first; nothing: what the configuration says. The companion does not look at it.
    pub system: Option<&'a str>,
    /// The conversation, oldest first; the last line is the user's.
    pub lines: &'a [Line<'a>],
}

/// Takes a reply's text piece by piece; `Break`: enough, the rest is not wanted.
pub type Sink<'a> = dyn FnMut(&str) -> ControlFlow<()> + Send + 'a;

/// How much of a conversation a reply can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many of the newest lines.
    Lines(usize),
    /// So many tokens, instructions and lines together, as [`tokens`] counts them.
    Tokens(usize),
}

/// How a server that makes replies stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamState {
    /// It is asked.
    Closed,
    /// It failed, and is left alone for a while.
    Open,
    /// It failed a while ago: one reply may try whether it is back.
    HalfOpen,
}

/// Why there is no reply, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct ReplyError {
    /// For the user: what happened and what to do. Has no text of another server, no host, no key.
    pub detail: String,
    /// It took too long.
    pub too_slow: bool,
    /// A sign that there is too much to do: too slow, or a server says so.
    pub overloaded: bool,
    /// For the log: one line, without the key or anything that was said.
    pub cause: String,
}

/// Why a configuration gives no backend.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A key can't be had, or can't be sent.
    #[error("{key}: {why}")]
    Key {
        /// The key of the configuration that names its place.
        key: String,
        /// What is wrong; the key is not in it.
        why: String,
    },
    /// The URL is none when it is complete.
    #[error("{key}: no URL can be made of it")]
    Url {
        /// The key of the configuration.
        key: String,
    },
    /// A server can't be asked from this machine.
    #[error("{table}: {source}")]
    Client {
        /// The server's table in the configuration.
        table: String,
        /// Why not.
        source: BuildError,
    },
    /// The system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(#[source] io::Error),
}

/// What makes replies.
pub struct Backend {
    kind: Kind,
}

enum Kind {
    Companion(Companion),
    Openai { servers: Openai, stand_in: Option<Companion> },
}

impl Backend {
    /// The backend that `config` names. Reads keys and certificates; connects to nobody.
    ///
    /// # Errors
    /// [`BackendError`], for the operator.
    pub fn new(config: &ReplyConfig) -> Result<Self, BackendError> {
        let kind = match config.backend {
            ReplyBackend::Companion => Kind::Companion(Companion::new()),
            ReplyBackend::Openai => Kind::Openai {
                servers: Openai::new(config, openai::chance)?,
                stand_in: (config.fallback == Fallback::Companion).then(Companion::new),
            },
        };
        Ok(Self { kind })
    }

    /// The name of its model, for people.
    #[must_use]
    pub fn model(&self) -> &str {
        match &self.kind {
            Kind::Companion(_) => Companion::NAME,
            Kind::Openai { servers, .. } => servers.model(),
        }
    }

    /// How much of a conversation it takes.
    #[must_use]
    pub fn budget(&self) -> Budget {
        match &self.kind {
            Kind::Companion(_) => Budget::Lines(companion::LINES_MAX),
            Kind::Openai { servers, .. } => Budget::Tokens(servers.budget()),
        }
    }

    /// What it is told where a prompt has no instructions: it counts against the budget. Empty for the companion.
    #[must_use]
    pub fn system(&self) -> &str {
        match &self.kind {
            Kind::Companion(_) => "",
            Kind::Openai { servers, .. } => servers.system(),
        }
    }

    /// How the servers stand that make replies, in the order in which they are asked; none for the companion.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        match &self.kind {
            Kind::Companion(_) => Vec::new(),
            Kind::Openai { servers, .. } => servers.states(),
        }
    }

    /// Makes the reply to the last line of `prompt` and passes it to `sink` as it comes; the companion's comes in one piece.
    ///
    /// Where `sink` breaks, that is the end, and a good one. Dropping the future stops the reply: a server's connection is
    /// closed at once.
    ///
    /// # Errors
    /// [`ReplyError`]; some text may have been passed on before.
    pub async fn reply(&self, prompt: Prompt<'_>, sink: &mut Sink<'_>) -> Result<(), ReplyError> {
        match &self.kind {
            Kind::Companion(companion) => once(sink, || companion.reply(prompt.lines)),
            Kind::Openai { servers, stand_in: None } => servers.reply(prompt, sink).await,
            Kind::Openai { servers, stand_in: Some(companion) } => {
                let mut has_begun = false;
                let mut passing = |text: &str| {
                    has_begun = true;
                    sink(text)
                };
                match servers.reply(prompt, &mut passing).await {
                    Err(error) if !has_begun => {
                        tracing::error!(cause = error.cause, "the companion stands in for the model");
                        once(sink, || companion.stand_in(prompt.lines))
                    }
                    done => done,
                }
            }
        }
    }
}

/// Adds `piece` to `text` as far as a reply has room; `Break` where it has no more.
pub fn append(text: &mut String, piece: &str) -> ControlFlow<()> {
    let room = REPLY_BYTES_MAX.saturating_sub(text.len());
    text.push_str(&piece[..piece.floor_char_boundary(room)]);
    if piece.len() > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// Passes on what the companion says.
fn once(sink: &mut Sink<'_>, say: impl FnOnce() -> String) -> Result<(), ReplyError> {
    // A fault in a rule costs one reply, not the process.
    let text = catch_unwind(AssertUnwindSafe(say)).map_err(|_| ReplyError {
        detail: "the companion had no answer; please put it in other words".to_owned(),
        too_slow: false,
        overloaded: false,
        cause: "a rule of the companion panicked".to_owned(),
    })?;
    let _ = sink(&text); // It is all there is.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Speaker;

    #[test]
    fn a_reply_is_cut_between_characters() {
        let long = "আ".repeat(REPLY_BYTES_MAX / 3 - 1);
        let mut text = String::new();
        assert!(append(&mut text, &long).is_continue() && text == long);
        assert!(append(&mut text, "আআ").is_break());
        assert!(text.len() <= REPLY_BYTES_MAX && text.len() > REPLY_BYTES_MAX - 3 && text.ends_with('আ'));
        assert!(append(&mut text, "আ").is_break() && append(&mut text, "").is_continue());
    }

    #[tokio::test]
    async fn the_companion_replies_in_one_piece() {
        let backend = Backend::new(&ReplyConfig::default()).unwrap();
        let lines = [Line { speaker: Speaker::User, text: "hello" }];
        let mut pieces = Vec::new();
        let mut sink = |piece: &str| {
            pieces.push(piece.to_owned());
            ControlFlow::Continue(())
        };
        backend.reply(Prompt { system: None, lines: &lines }, &mut sink).await.unwrap();
        assert!(pieces.len() == 1 && !pieces[0].is_empty());
        assert_eq!((backend.model(), backend.budget(), backend.upstreams()), ("companion", Budget::Lines(50), vec![]));
    }
}
