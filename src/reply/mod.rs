//! What makes replies. The rest of the program asks a [`Backend`] and does not know which it is.

pub mod companion;
mod ended;
mod error;
mod openai;
mod readers;
mod sampling;
pub mod tokens;

use std::{
    io,
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

pub use companion::{Line, WordedHelpline};
pub use ended::{Finish, Usage};
pub use error::{Fault, Refused, ReplyError};
#[cfg(any(test, fuzzing))]
pub(crate) use openai::fuzz;
pub use readers::{Reader, Readers};
pub use sampling::Sampling;

use self::{
    companion::Companion,
    ended::Counted,
    openai::{Openai, Said},
};
use crate::{
    client::BuildError,
    completions::Role,
    config::{Fallback, ReplyBackend, ReplyConfig},
    id::UserId,
    store::Speaker,
};

/// A reply is cut here, bytes: the index takes no longer record.
pub const REPLY_BYTES_MAX: usize = 64 << 10;

/// What a reply is made from.
#[derive(Debug, Clone, Copy)]
pub struct Prompt<'a> {
    /// What the model is told first. The companion does not look at it.
    pub instructions: Instructions<'a>,
    /// The conversation, oldest first, as the model is to see it.
    pub lines: &'a [Line<'a>],
    /// How the words are chosen.
    pub sampling: &'a Sampling,
    /// Whose it is. No server is told.
    pub asker: UserId,
}

/// What a model is told before a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions<'a> {
    /// What the configuration says.
    Usual,
    /// This.
    Own(&'a str),
    /// Nothing: the lines have all that it is to know.
    None,
}

impl From<Speaker> for Role {
    fn from(speaker: Speaker) -> Self {
        match speaker {
            Speaker::User => Self::User,
            Speaker::Assistant => Self::Assistant,
            Speaker::System => Self::System,
            Speaker::Developer => Self::Developer,
        }
    }
}

/// Takes a model's text piece by piece.
trait Sink: Send {
    /// This model is asked now; text that comes next is its.
    fn asked(&mut self, _model: &str) {}

    /// Text. `Break`: enough, the rest is not wanted.
    fn text(&mut self, text: &str) -> ControlFlow<()>;
}

impl<F: FnMut(&str) -> ControlFlow<()> + Send> Sink for F {
    fn text(&mut self, text: &str) -> ControlFlow<()> {
        self(text)
    }
}

/// Takes a reply as it is made, and hears how the model does.
pub trait Hearer: Send {
    /// The text that comes next is of this model, or of the companion; the last one that is named made the reply.
    fn made_by(&mut self, model: &str);
    /// Text of the model; `Break`: enough, the rest is not wanted.
    fn model(&mut self, text: &str) -> ControlFlow<()>;
    /// Text that is not the model's: it says nothing of how long that takes.
    fn aside(&mut self, text: &str) -> ControlFlow<()>;
    /// The model has too much to do.
    fn overloaded(&mut self);
    /// The reply is at its end, and a good one: why, and the tokens that it took, by its server's count or estimated.
    /// Comes once, behind the last text; where there is no reply, only if the model came to its end without a word.
    fn finished(&mut self, finish: Finish, usage: Usage);
}

/// How much of a conversation a reply can be made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// So many of the newest lines.
    Lines(usize),
    /// So many tokens, instructions and lines together, as [`tokens`] counts them.
    Tokens(usize),
}

/// How a server that makes replies stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamState {
    /// It is asked.
    Closed,
    /// It failed, and is left alone for a while.
    Open,
    /// It failed a while ago: one reply may try whether it is back.
    HalfOpen,
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
    Companion(Box<Companion>),
    Openai(Box<Model>),
}

/// A model, and the companion that listens along.
struct Model {
    servers: Openai,
    companion: Companion,
    /// Whether the companion answers where the model can't.
    stands_in: bool,
}

/// How much of a reply there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it.
    Whole,
    /// The beginning, which is worth keeping: helplines.
    Part,
}

impl Backend {
    /// The backend that `config` names. Reads keys and certificates; connects to nobody.
    ///
    /// # Errors
    /// [`BackendError`], for the operator.
    pub fn new(config: &ReplyConfig) -> Result<Self, BackendError> {
        let kind = match config.backend {
            ReplyBackend::Companion => Kind::Companion(Box::new(Companion::new())),
            ReplyBackend::Openai => Kind::Openai(Box::new(Model {
                servers: Openai::new(config, openai::chance)?,
                companion: Companion::new(),
                stands_in: config.fallback == Fallback::Companion,
            })),
        };
        Ok(Self { kind })
    }

    /// The name of its model, for people.
    #[must_use]
    pub fn model(&self) -> &str {
        match &self.kind {
            Kind::Companion(_) => Companion::NAME,
            Kind::Openai(model) => model.servers.model(),
        }
    }

    /// The names of all models that may make a reply, the likeliest first, each once.
    #[must_use]
    pub fn models(&self) -> Vec<&str> {
        let Kind::Openai(model) = &self.kind else { return vec![Companion::NAME] };
        let mut names: Vec<&str> = Vec::new();
        for name in model.servers.models().chain(model.stands_in.then_some(Companion::NAME)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// How much of a conversation it takes.
    #[must_use]
    pub fn budget(&self) -> Budget {
        match &self.kind {
            Kind::Companion(_) => Budget::Lines(companion::LINES_MAX),
            Kind::Openai(model) => Budget::Tokens(model.servers.budget()),
        }
    }

    /// What it is told where a prompt has no instructions: it counts against the budget. Empty for the companion.
    #[must_use]
    pub fn system(&self) -> &str {
        match &self.kind {
            Kind::Companion(_) => "",
            Kind::Openai(model) => model.servers.system(),
        }
    }

    /// How the servers stand that make replies, in the order in which they are asked; none for the companion.
    #[must_use]
    pub fn upstreams(&self) -> Vec<UpstreamState> {
        match &self.kind {
            Kind::Companion(_) => Vec::new(),
            Kind::Openai(model) => model.servers.states(),
        }
    }

    /// The helplines that are given where somebody speaks of self-harm, whatever makes the replies.
    #[must_use]
    pub fn helplines(&self) -> Vec<WordedHelpline<'_>> {
        match &self.kind {
            Kind::Companion(companion) => companion.helplines(),
            Kind::Openai(model) => model.companion.helplines(),
        }
    }

    /// True where who says this is given the helplines.
    #[must_use]
    pub fn mentions_self_harm(&self, text: &str) -> bool {
        let companion = match &self.kind {
            Kind::Companion(companion) => companion,
            Kind::Openai(model) => &model.companion,
        };
        said(|| companion.mentions_self_harm(text)).unwrap_or(false)
    }

    /// Makes the reply to the last line of `prompt` and passes it to `hearer` as it comes; the companion's comes in one
    /// piece.
    ///
    /// Where `hearer` breaks, that is the end, and a good one. Dropping the future stops the reply: a server's connection is
    /// closed at once.
    ///
    /// # Errors
    /// [`ReplyError`]; some text may have been passed on before.
    pub async fn reply(&self, prompt: Prompt<'_>, hearer: &mut dyn Hearer) -> Result<Extent, ReplyError> {
        let mut counted = Counted::new(hearer);
        let made = match &self.kind {
            Kind::Companion(companion) => words(companion, prompt, &mut counted),
            Kind::Openai(model) => model.reply(prompt, &mut counted).await,
        };
        match made {
            Ok((extent, said)) => {
                counted.ended(said, || self.cost(prompt));
                Ok(extent)
            }
            Err(error) => {
                if let Some(said) = error.wordless() {
                    counted.ended(said, || self.cost(prompt));
                }
                Err(error)
            }
        }
    }

    /// The tokens of what a reply is made from, estimated.
    fn cost(&self, prompt: Prompt<'_>) -> u64 {
        let instructions = match prompt.instructions {
            Instructions::Usual => Some(self.system()).filter(|system| !system.is_empty()),
            Instructions::Own(own) => Some(own),
            Instructions::None => None,
        };
        let texts = prompt.lines.iter().map(|line| line.text).chain(instructions);
        texts.map(|text| (tokens::at_most(text) + tokens::PER_MESSAGE) as u64).sum()
    }
}

/// What the companion hears of a conversation: what the user and the assistant said, up to the user's last line.
fn told<'a>(lines: &[Line<'a>]) -> Vec<Line<'a>> {
    let mut told: Vec<_> =
        lines.iter().filter(|line| matches!(line.role, Role::User | Role::Assistant)).copied().collect();
    let users = told.iter().rposition(|line| line.role == Role::User);
    told.truncate(users.map_or(0, |last| last + 1));
    if told.is_empty() {
        told.push(Line { role: Role::User, text: "", name: None }); // Whoever says nothing is greeted.
    }
    told
}

impl Model {
    /// The model's reply. Whoever speaks of self-harm is told the helplines before anything that a model says, and also
    /// where it says nothing.
    async fn reply(&self, prompt: Prompt<'_>, hearer: &mut dyn Hearer) -> Result<(Extent, Said), ReplyError> {
        let lines = told(prompt.lines);
        let helplines = said(|| self.companion.helplines_first(&lines))?;
        if let Some(helplines) = &helplines {
            hearer.made_by(Companion::NAME);
            if hearer.aside(helplines).is_break() {
                return Ok((Extent::Whole, Said::default()));
            }
        }
        let mut passing = Passing { hearer, asked: String::new(), has_begun: false, is_behind: helplines.is_some() };
        let made = self.servers.reply(prompt, &mut passing).await;
        let stands_in = self.stands_in && prompt.sampling.response_format.is_none(); // It has words only.
        let Passing { hearer, asked, has_begun, .. } = passing;
        if made.as_ref().is_err_and(ReplyError::is_overload) {
            hearer.overloaded();
        }
        match (made, helplines) {
            (Ok(told), _) => Ok((Extent::Whole, told)),
            (Err(error), Some(helplines)) => {
                tracing::error!(cause = error.cause, "the model made no reply behind the helplines");
                if has_begun || !stands_in {
                    return Ok((Extent::Part, error.wordless().unwrap_or_default()));
                }
                let whole = said(|| self.companion.reply(&lines))?;
                let _ = hearer.aside(whole.strip_prefix(&helplines).unwrap_or(&whole)); // It is all there is.
                Ok((Extent::Whole, Said::default()))
            }
            // What the servers don't take is to be said otherwise, and not that they can't be reached.
            (Err(error), None) if stands_in && !has_begun && error.refused().is_none() => {
                tracing::error!(cause = error.cause, "the companion stands in for the model");
                once(hearer, || self.companion.stand_in(&lines))?;
                Ok((Extent::Whole, Said::default()))
            }
            (Err(error), None) => {
                if error.is_wordless() {
                    hearer.made_by(&asked);
                }
                Err(error)
            }
        }
    }
}

/// Passes a model's text on, behind the helplines where there are any.
struct Passing<'h> {
    hearer: &'h mut dyn Hearer,
    /// The model that was asked last.
    asked: String,
    has_begun: bool,
    is_behind: bool,
}

impl Sink for Passing<'_> {
    fn asked(&mut self, model: &str) {
        model.clone_into(&mut self.asked);
    }

    fn text(&mut self, text: &str) -> ControlFlow<()> {
        if !std::mem::replace(&mut self.has_begun, true) {
            self.hearer.made_by(&self.asked);
            if self.is_behind && self.hearer.aside("\n\n").is_break() {
                return ControlFlow::Break(());
            }
        }
        self.hearer.model(text)
    }
}

/// Adds `piece` to `text` as far as a reply has room; `Break` where it has no more.
pub fn append(text: &mut String, piece: &str) -> ControlFlow<()> {
    let room = REPLY_BYTES_MAX.saturating_sub(text.len());
    text.push_str(&piece[..piece.floor_char_boundary(room)]);
    if piece.len() > room { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The companion's reply. It has words only; who speaks of self-harm is given those, whatever form was asked for.
fn words(companion: &Companion, prompt: Prompt<'_>, hearer: &mut dyn Hearer) -> Result<(Extent, Said), ReplyError> {
    let lines = told(prompt.lines);
    if prompt.sampling.response_format.is_some() && said(|| companion.helplines_first(&lines))?.is_none() {
        return Err(ReplyError::words_only());
    }
    once(hearer, || companion.reply(&lines))?;
    Ok((Extent::Whole, Said::default()))
}

/// Passes on what the companion says.
fn once(hearer: &mut dyn Hearer, say: impl FnOnce() -> String) -> Result<(), ReplyError> {
    let text = said(say)?;
    hearer.made_by(Companion::NAME);
    let _ = hearer.aside(&text); // It is all there is.
    Ok(())
}

/// What the companion says: a fault in a rule costs one reply, not the process.
fn said<T>(say: impl FnOnce() -> T) -> Result<T, ReplyError> {
    catch_unwind(AssertUnwindSafe(say)).map_err(|_| ReplyError {
        detail: "The companion had no answer; please put it in other words.".to_owned(),
        fault: Fault::Other,
        usage: None,
        cause: "a rule of the companion panicked".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<F: FnMut(&str) -> ControlFlow<()> + Send> Hearer for F {
        fn made_by(&mut self, _: &str) {}

        fn model(&mut self, text: &str) -> ControlFlow<()> {
            self(text)
        }

        fn aside(&mut self, text: &str) -> ControlFlow<()> {
            self(text)
        }

        fn overloaded(&mut self) {}

        fn finished(&mut self, _: Finish, _: Usage) {}
    }

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
        let lines = [Line { role: Role::User, text: "hello", name: None }];
        let mut pieces = Vec::new();
        let mut sink = |piece: &str| {
            pieces.push(piece.to_owned());
            ControlFlow::Continue(())
        };
        backend
            .reply(
                Prompt {
                    instructions: Instructions::Usual,
                    lines: &lines,
                    sampling: Sampling::USUAL,
                    asker: UserId::new(),
                },
                &mut sink,
            )
            .await
            .unwrap();
        assert!(pieces.len() == 1 && !pieces[0].is_empty());
        assert_eq!((backend.model(), backend.budget(), backend.upstreams()), ("companion", Budget::Lines(50), vec![]));
    }
}
