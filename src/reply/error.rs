//! Why there is no reply.

use serde::{Deserialize, Serialize};

use super::{Finish, Usage, openai::Said};

/// Why there is no reply, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct ReplyError {
    /// For the user: what happened and what to do. Has no text of another server, no host, no key.
    pub detail: String,
    /// What that means to who asked.
    pub fault: Fault,
    /// The tokens that it took all the same, where the model's server said so.
    pub usage: Option<Usage>,
    /// For the log: one line, without the key or anything that was said.
    pub cause: String,
}

/// What it means that there is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It took too long: there is too much to do.
    TooSlow,
    /// A server says that it has too much to do.
    Busy,
    /// What was asked is at fault, as its server says: another try gets the same.
    Refused(Refused),
    /// The model's server let nothing of its answer through.
    Filtered,
    /// The model used up its tokens before it said anything.
    Spent,
    /// Anything else.
    Other,
}

/// What is wrong with what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refused {
    /// It is longer than the model has room for.
    TooLong,
    /// Anything else.
    Other,
}

impl ReplyError {
    /// What is wrong with what was asked, where that is at fault.
    #[must_use]
    pub fn refused(&self) -> Option<Refused> {
        match self.fault {
            Fault::Refused(why) => Some(why),
            Fault::TooSlow | Fault::Busy | Fault::Filtered | Fault::Spent | Fault::Other => None,
        }
    }

    /// True where it took too long.
    #[must_use]
    pub fn is_too_slow(&self) -> bool {
        self.fault == Fault::TooSlow
    }

    /// True where the model's answer came to its end all the same, but without a word.
    #[must_use]
    pub fn is_wordless(&self) -> bool {
        self.wordless().is_some()
    }

    /// What its server said of an answer that came to its end without a word, for a reason that programs know.
    pub(super) fn wordless(&self) -> Option<Said> {
        let finish = match self.fault {
            Fault::Filtered => Finish::ContentFilter,
            Fault::Spent => Finish::Length,
            Fault::TooSlow | Fault::Busy | Fault::Refused(_) | Fault::Other => return None,
        };
        Some(Said { finish: Some(finish), usage: self.usage })
    }

    /// What was asked has a form, and the companion has words only.
    pub(super) fn words_only() -> Self {
        Self {
            detail: "The built-in companion has words only; please ask for text, or have a model in the configuration."
                .to_owned(),
            fault: Fault::Refused(Refused::Other),
            usage: None,
            cause: "the companion was asked for another form than text".to_owned(),
        }
    }

    /// True where it is a sign that there is too much to do.
    pub(super) fn is_overload(&self) -> bool {
        matches!(self.fault, Fault::TooSlow | Fault::Busy)
    }
}
