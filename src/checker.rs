//! What clients were told, held against the promises: which of P1 to P6 do these answers break?
//!
//! The checker is told of sends and their outcomes, of reads and the pages that came, and of the events of streams, in the
//! order in which they happened: the order of the calls is its only time. What ended before something began is before it;
//! anything else was at the same moment, and either order is right. It knows no network and no clock, and believes nothing
//! but that every text that is sent is another one.
//!
//! Of a message it keeps two digests and some numbers, 32 bytes, so an hour of a thousand users fits in memory; texts are
//! kept only of replies that a stream is in the middle of.

mod log;
mod pairs;
mod stream;
#[cfg(test)]
mod tests;
mod violation;
mod wire;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher},
};

use log::Log;

pub use self::{
    log::{Asked, ReadBegun, SendNo},
    stream::Stream,
    violation::{Fault, Violation},
    wire::{Ended, Message, Page, Pair, Pairs, Progress, Role, State, Status},
};

/// Violations that are kept in words; all are counted.
const KEPT_MAX: usize = 100;

/// A session, as the checker knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionNo(u32);

/// How much was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Acknowledgements of messages.
    pub acknowledgements: u64,
    /// Pages and histories.
    pub reads: u64,
    /// Messages in them, a turn of the old form as one.
    pub messages: u64,
    /// Events of streams.
    pub events: u64,
    /// Attempts on what is another user's.
    pub attempts: u64,
}

/// All that clients were told, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Checker {
    logs: HashMap<SessionNo, Log>,
    next: u32,
    checked: Checked,
    violations: Vec<Violation>,
    count: u64,
}

impl Checker {
    /// A checker that was told nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A session that is new and empty; `name` is for the words of a violation.
    pub fn session(&mut self, name: &str) -> SessionNo {
        let no = SessionNo(self.next);
        self.next += 1;
        self.logs.insert(no, Log::new(name));
        no
    }

    /// A session with messages that are not known here, up to this sequence.
    pub fn session_from(&mut self, name: &str, head: u64) -> SessionNo {
        let no = self.session(name);
        self.with(no, |log, _| log.begin_at(head));
        no
    }

    /// Nothing more comes of this session: what is known of it is dropped.
    pub fn forget(&mut self, session: SessionNo) {
        self.logs.remove(&session);
    }

    /// A message is being sent. Its text is one that was never sent before, in any session.
    pub fn send_begins(&mut self, session: SessionNo, text: &str) -> SendNo {
        self.log(session).map_or(SendNo::default(), |log| log.send_begins(digest(text)))
    }

    /// It was acknowledged, as this message and this reply; also where it was repeated with its key.
    pub fn acknowledged(&mut self, session: SessionNo, send: SendNo, message: &Message, reply: Option<&Message>) {
        self.checked.acknowledgements += 1;
        self.with(session, |log, wrong| log.acknowledged(send, message, reply, wrong));
    }

    /// The server stored it, and says that its reply failed.
    pub fn failed(&mut self, session: SessionNo, send: SendNo) {
        self.checked.acknowledgements += 1;
        self.with(session, |log, _| log.failed(send));
    }

    /// The server refused it: nothing of it may ever be shown.
    pub fn refused(&mut self, session: SessionNo, send: SendNo) {
        self.with(session, |log, wrong| log.refused(send, wrong));
    }

    /// A turn was answered anew, as this message and this reply.
    pub fn retried(&mut self, session: SessionNo, message: &Message, reply: &Message) {
        self.checked.acknowledgements += 1;
        self.with(session, |log, wrong| log.retried(message, reply, wrong));
    }

    /// The turn at `seq` may be answered anew from now on.
    pub fn retry_begins(&mut self, session: SessionNo) {
        self.with(session, |log, _| log.retry_begins());
    }

    /// The session is being emptied.
    pub fn clear_begins(&mut self, session: SessionNo) {
        self.with(session, |log, _| log.clear_begins());
    }

    /// It was emptied.
    pub fn cleared(&mut self, session: SessionNo) {
        self.with(session, |log, _| log.cleared());
    }

    /// A read begins; what ends from now on need not be in it.
    pub fn read_begins(&mut self, session: SessionNo) -> ReadBegun {
        self.log(session).map(Log::read_begins).unwrap_or_default()
    }

    /// A read has given this page.
    pub fn read(&mut self, session: SessionNo, begun: ReadBegun, asked: Asked, page: &Page) {
        self.checked.reads += 1;
        self.checked.messages += u64::try_from(page.messages.len()).unwrap_or(0);
        self.with(session, |log, wrong| log.read(begun, asked, page, wrong));
    }

    /// It was acknowledged in the old form, which names no place: with this reply, and its id.
    pub fn acknowledged_as_pair(&mut self, session: SessionNo, send: SendNo, response: &str, id: Option<&str>) {
        self.checked.acknowledgements += 1;
        self.with(session, |log, wrong| log.acknowledged_as_pair(send, digest(response), id.map(digest), wrong));
    }

    /// A read has given this page of the old form, of at most `limit` turns, the newest ones.
    pub fn read_pairs(&mut self, session: SessionNo, begun: ReadBegun, asked: Asked, page: &Pairs) {
        self.checked.reads += 1;
        self.checked.messages += u64::try_from(page.messages.len()).unwrap_or(0);
        self.with(session, |log, wrong| log.read_pairs(begun, asked, page, wrong));
    }

    /// A page came that is byte for byte one that was checked, at a moment when nothing had happened since.
    pub fn read_same(&mut self, messages: usize) {
        self.checked.reads += 1;
        self.checked.messages += u64::try_from(messages).unwrap_or(0);
    }

    /// A stream begins: behind `after`, or at the head that its `state` will name.
    pub fn stream_begins(&mut self, session: SessionNo, after: Option<u64>) -> Stream {
        let begun = self.read_begins(session);
        Stream::new(begun, after)
    }

    /// The stream of one turn begins.
    pub fn turn_begins(&mut self, session: SessionNo) -> Stream {
        Stream::of_turn(self.read_begins(session))
    }

    /// An event of a stream: its name and data.
    pub fn event(&mut self, session: SessionNo, stream: &mut Stream, name: &str, data: &str) {
        self.checked.events += 1;
        self.with(session, |log, wrong| stream.event(log, name, data, wrong));
    }

    /// True once the stream has told all that is known to be in the session.
    #[must_use]
    pub fn has_caught_up(&self, session: SessionNo, stream: &Stream) -> bool {
        self.logs.get(&session).is_none_or(|log| stream.has_told(log.floor()))
    }

    /// The stream ends here, and had time enough to tell everything.
    pub fn stream_ends(&mut self, session: SessionNo, stream: &Stream) {
        self.with(session, |log, wrong| stream.ends(log, wrong));
    }

    /// Somebody else asked for this session, or for something in it; `answer` is what they got.
    pub fn attempted(&mut self, session: SessionNo, what: &str, answer: u16) {
        self.checked.attempts += 1;
        let wrong = |log: &mut Log, wrong: &mut Vec<Violation>| {
            let detail = format!("another user's {what} was answered {answer}, not 403");
            wrong.push(Violation::new(Fault::Opened, log.name(), detail));
        };
        if answer != 403 {
            self.with(session, wrong);
        }
    }

    /// A fault that the caller found by itself.
    pub fn found(&mut self, session: SessionNo, fault: Fault, detail: String) {
        self.with(session, |log, wrong| wrong.push(Violation::new(fault, log.name(), detail)));
    }

    /// The highest sequence that is known to be acknowledged or shown.
    #[must_use]
    pub fn head(&self, session: SessionNo) -> u64 {
        self.logs.get(&session).map_or(0, Log::floor)
    }

    /// Sends of the session whose outcome is not known.
    #[must_use]
    pub fn open(&self, session: SessionNo) -> usize {
        self.logs.get(&session).map_or(0, Log::open)
    }

    /// How much was checked.
    #[must_use]
    pub fn checked(&self) -> Checked {
        self.checked
    }

    /// How many violations there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The first violations, in the order in which they were found.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    fn log(&mut self, session: SessionNo) -> Option<&mut Log> {
        self.logs.get_mut(&session)
    }

    /// Works on a session's log, and takes note of what was found wrong.
    fn with(&mut self, session: SessionNo, work: impl FnOnce(&mut Log, &mut Vec<Violation>)) {
        let mut wrong = Vec::new();
        if let Some(log) = self.logs.get_mut(&session) {
            work(log, &mut wrong);
        }
        for mut violation in wrong {
            self.count += 1;
            if self.violations.len() < KEPT_MAX {
                violation.name_owner(|text| {
                    let others = self.logs.iter().filter(|(no, _)| **no != session);
                    others.map(|(_, log)| log).find(|log| log.has(text)).map(|log| log.name().to_owned())
                });
                self.violations.push(violation);
            }
        }
    }
}

/// What is kept of a text or an id.
fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
