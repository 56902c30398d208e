//! A broken promise, in words.

use std::fmt::{self, Write as _};

/// How a promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// What was acknowledged is not there.
    Lost,
    /// A read shows an earlier state than one that was acknowledged or shown before it began.
    Stale,
    /// The order is another one than it was, or a sequence is missing or used twice.
    Reordered,
    /// A reply stands with a message that it does not answer.
    Mispaired,
    /// A text of another session, or one that nobody sent.
    Foreign,
    /// Something is there twice.
    Duplicated,
    /// A reply's text is another one than it was.
    Altered,
    /// What was refused, cleared or deleted is there.
    Undead,
    /// A turn has two outcomes, or none.
    Outcome,
    /// Somebody else was let in.
    Opened,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Lost,
        Self::Stale,
        Self::Reordered,
        Self::Mispaired,
        Self::Foreign,
        Self::Duplicated,
        Self::Altered,
        Self::Undead,
        Self::Outcome,
        Self::Opened,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Stale => "stale",
            Self::Reordered => "reordered",
            Self::Mispaired => "mispaired",
            Self::Foreign => "foreign",
            Self::Duplicated => "duplicated",
            Self::Altered => "altered",
            Self::Undead => "undead",
            Self::Outcome => "outcome",
            Self::Opened => "opened",
        }
    }

    /// The promise that it breaks.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Self::Lost | Self::Altered => "P1 durable",
            Self::Reordered => "P2 ordered",
            Self::Stale | Self::Undead => "P3 fresh",
            Self::Foreign | Self::Opened => "P4 owned",
            Self::Mispaired | Self::Duplicated | Self::Outcome => "P5 answered once",
        }
    }
}

/// One broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// How it was broken.
    pub fault: Fault,
    /// In which session.
    pub session: String,
    /// What was seen, and what should have been.
    pub detail: String,
    /// The digest of a text whose owner may be another session.
    text: Option<u64>,
}

impl Violation {
    pub(super) fn new(fault: Fault, session: &str, detail: String) -> Self {
        Self { fault, session: session.to_owned(), detail, text: None }
    }

    /// One about a text that was not sent in this session.
    pub(super) fn with_text(fault: Fault, session: &str, detail: String, text: u64) -> Self {
        Self { text: Some(text), ..Self::new(fault, session, detail) }
    }

    /// Says whose text it is, where `owner` knows.
    pub(super) fn name_owner(&mut self, owner: impl FnOnce(u64) -> Option<String>) {
        let Some(text) = self.text else { return };
        match owner(text) {
            Some(other) => {
                self.fault = Fault::Foreign;
                let _ = write!(self.detail, "; it is a text of session {other}");
            }
            None if self.fault == Fault::Foreign => self.detail += "; nobody sent it",
            None => {}
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fault, session, detail, .. } = self;
        write!(f, "{} ({}): session {session}: {detail}", fault.name(), fault.promise())
    }
}

/// The beginning of a text, for the words of a violation.
pub(super) fn short(text: &str) -> String {
    const CHARS: usize = 48;
    let mut short: String = text.chars().take(CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}
