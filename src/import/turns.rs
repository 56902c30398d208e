//! Messages and replies in the order in which they were said, as turns: for files in which a reply is the next thing said.

use super::{Event, ImportError, Note, Said, Tell, What};
use crate::{
    clock::Timestamp,
    store::{ImportFailure, Speaker},
};

/// What is told of a message to which the file has no reply.
pub(super) const NO_REPLY: &str = "The file that this was imported from has no reply to it.";

/// Something said.
pub(super) struct Line {
    pub(super) key: String,
    pub(super) role: Speaker,
    pub(super) text: String,
    pub(super) time: Option<Timestamp>,
    /// Of a reply, true where it was not finished.
    pub(super) stopped: bool,
    /// Of a reply without text, why there is none.
    pub(super) error: Option<String>,
}

/// Tells of `lines` as turns; `at` says where they stand.
pub(super) fn tell(lines: Vec<Line>, at: &str, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    let mut said: Vec<Said> = Vec::new();
    let note = |what, place: usize, tell: &mut Tell<'_>| {
        tell(Event::Note(Note { what, at: format!("{at}, message {}", place + 1) }))
    };
    for (place, line) in lines.into_iter().enumerate() {
        let Line { key, role, text, time, stopped, error } = line;
        let is_blank = text.trim().is_empty();
        let last = said.last_mut();
        match role {
            // Neither of those whose files are read here gives these as messages.
            Speaker::System | Speaker::Developer => {}
            Speaker::User if is_blank => note(What::Empty, place, tell)?,
            Speaker::User => said.push(Said {
                at: format!("{at}, message {}", place + 1),
                key,
                place: place as u64,
                role,
                text,
                reply_to: None,
                stopped: false,
                failure: Some(ImportFailure { detail: NO_REPLY.to_owned(), too_slow: false }),
                noted: false,
                erased: false,
                note: None,
                time,
            }),
            Speaker::Assistant => match last {
                None => note(What::NoMessage, place, tell)?,
                Some(last) if is_blank => {
                    if let (Some(failure), Some(error)) = (&mut last.failure, error) {
                        failure.detail = error;
                    }
                    note(What::Empty, place, tell)?;
                }
                Some(last) if last.role == Speaker::Assistant => {
                    last.text.push_str("\n\n");
                    last.text.push_str(&text);
                    last.stopped = stopped;
                    note(What::Joined, place, tell)?;
                }
                Some(last) => {
                    last.failure = None;
                    let reply_to = Some(last.place);
                    let (at, place) = (format!("{at}, message {}", place + 1), place as u64);
                    said.push(Said {
                        at,
                        key,
                        place,
                        role,
                        text,
                        reply_to,
                        stopped,
                        failure: None,
                        noted: false,
                        erased: false,
                        note: None,
                        time,
                    });
                }
            },
        }
    }
    for said in said {
        if said.failure.is_some() {
            tell(Event::Note(Note { what: What::NoReply, at: said.at.clone() }))?;
        }
        tell(Event::Said(said))?;
    }
    Ok(())
}
