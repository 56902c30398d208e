//! One session's log, as it must be after all that was told of it.

use super::{Fault, Message, Page, Role, Status, Violation, digest, pairs::Known, violation::short};

/// One send of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct SendNo(u32);

/// What was so when a read began.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadBegun {
    /// The head that it must show at least.
    pub(super) floor: u64,
    /// When it was.
    pub(super) at: u32,
    /// Up to here everything was gone.
    pub(super) gone: u64,
    /// It is no read, but an acknowledgement, whose send was taken already.
    is_answer: bool,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The first messages behind this one; the newest of all where it is missing.
    pub after: Option<u64>,
    /// So many at most.
    pub limit: usize,
    /// Nothing is under way any more, and nothing comes behind this read: what is not in it is lost, not late.
    pub last: bool,
}

/// A message that is known.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    text: u64,
    /// 0: a user's message.
    reply_to: u32,
    /// When it was known that it has its outcome.
    settled: u32,
    status: Status,
    acknowledged: bool,
}

/// A send whose place, or whose outcome, is not known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    no: SendNo,
    pub(super) text: u64,
    /// When it began.
    pub(super) begun: u32,
    /// Everything up to here was acknowledged before it began.
    floor: u64,
    /// Where it was seen.
    seq: Option<u64>,
    /// When it was known that it is stored.
    pub(super) stored: Option<u32>,
}

impl Open {
    /// It was seen where places have no number.
    pub(super) fn mark_shown(&mut self) {
        self.seq.get_or_insert(0);
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Log {
    name: String,
    /// By sequence, from 1; nothing is known of some.
    entries: Vec<Option<Entry>>,
    pub(super) open: Vec<Open>,
    /// The texts that were refused.
    pub(super) refused: Vec<u64>,
    /// The turns of the old form.
    pub(super) known: Known,
    sends: u32,
    /// Counts what happens.
    pub(super) now: u32,
    /// The highest sequence that was acknowledged or shown.
    floor: u64,
    /// Up to `.0` everything is gone, up to `.1` it may be.
    gone: (u64, u64),
    /// What the clear that is under way takes at least.
    clearing: Option<u64>,
    retries: bool,
}

/// What was found wrong.
type Wrong = Vec<Violation>;

impl Log {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            entries: Vec::new(),
            open: Vec::new(),
            refused: Vec::new(),
            known: Known::default(),
            sends: 0,
            now: 1,
            floor: 0,
            gone: (0, 0),
            clearing: None,
            retries: false,
        }
    }

    pub(super) fn begin_at(&mut self, head: u64) {
        (self.floor, self.gone) = (head, (0, head));
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn floor(&self) -> u64 {
        self.floor
    }

    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    pub(super) fn has_retries(&self) -> bool {
        self.retries
    }

    /// True where this text was sent or shown here.
    pub(super) fn has(&self, text: u64) -> bool {
        self.open.iter().any(|open| open.text == text)
            || self.entries.iter().flatten().any(|entry| entry.text == text)
            || self.known.has(text)
    }

    pub(super) fn fault(&self, fault: Fault, detail: String, wrong: &mut Wrong) {
        wrong.push(Violation::new(fault, &self.name, detail));
    }

    fn tick(&mut self) -> u32 {
        self.now += 1;
        self.now
    }

    pub(super) fn send_begins(&mut self, text: u64) -> SendNo {
        self.sends += 1;
        let (no, begun) = (SendNo(self.sends), self.tick());
        self.open.push(Open { no, text, begun, floor: self.floor, seq: None, stored: None });
        no
    }

    /// Takes the send from those whose outcome is not known.
    pub(super) fn take(&mut self, send: SendNo) -> Option<Open> {
        let at = self.open.iter().position(|open| open.no == send)?;
        Some(self.open.remove(at))
    }

    pub(super) fn acknowledged(&mut self, send: SendNo, message: &Message, reply: Option<&Message>, wrong: &mut Wrong) {
        let now = self.tick();
        let seq = message.seq;
        if let Some(open) = self.take(send) {
            if open.text != digest(&message.content) {
                let detail = format!("a send was acknowledged as another message, {}", short(&message.content));
                self.fault(Fault::Mispaired, detail, wrong);
            }
            if let Some(shown) = open.seq.filter(|shown| *shown != seq) {
                let detail = format!("the message at {shown} was acknowledged at {seq}: there are two of it");
                self.fault(Fault::Duplicated, detail, wrong);
            }
            if seq <= open.floor {
                let detail = format!("a send that began behind {} was given sequence {seq}", open.floor);
                self.fault(Fault::Reordered, detail, wrong);
            }
        } else if let Some(at) = self.seq_of(digest(&message.content)).filter(|at| *at != seq) {
            let detail = format!("the key of the message at {at} was answered with one at {seq}");
            self.fault(Fault::Duplicated, detail, wrong);
        }
        self.stored(message, now, wrong);
        if let Some(reply) = reply {
            self.answers(message, reply, wrong);
            self.stored(reply, now, wrong);
        }
    }

    fn answers(&self, message: &Message, reply: &Message, wrong: &mut Wrong) {
        if reply.reply_to != Some(message.seq) || reply.seq <= message.seq {
            let detail = format!("the reply at {} to {} answers {:?}", reply.seq, message.seq, reply.reply_to);
            self.fault(Fault::Mispaired, detail, wrong);
        }
    }

    /// An acknowledgement has shown this message.
    fn stored(&mut self, message: &Message, now: u32, wrong: &mut Wrong) {
        let taken = self.entry(message.seq).is_some_and(|known| known.id != digest(&message.id));
        if taken {
            let detail = format!("sequence {} was given out twice", message.seq);
            return self.fault(Fault::Reordered, detail, wrong);
        }
        self.see(message, ReadBegun { at: now, is_answer: true, ..ReadBegun::default() }, wrong);
        if let Some(entry) = self.entry_mut(message.seq) {
            entry.acknowledged = true;
        }
        self.floor = self.floor.max(message.seq);
    }

    pub(super) fn failed(&mut self, send: SendNo) {
        let now = self.tick();
        if let Some(open) = self.open.iter_mut().find(|open| open.no == send) {
            open.stored = Some(now);
        }
    }

    pub(super) fn refused(&mut self, send: SendNo, wrong: &mut Wrong) {
        self.tick();
        let Some(open) = self.take(send) else { return };
        if let Some(seq) = open.seq {
            let detail = format!("a message was refused, and is shown at {seq}");
            self.fault(Fault::Undead, detail, wrong);
        }
        self.refused.push(open.text);
    }

    pub(super) fn retry_begins(&mut self) {
        self.retries = true;
    }

    pub(super) fn retried(&mut self, message: &Message, reply: &Message, wrong: &mut Wrong) {
        let now = self.tick();
        self.answers(message, reply, wrong);
        self.stored(message, now, wrong);
        self.stored(reply, now, wrong);
    }

    pub(super) fn clear_begins(&mut self) {
        self.tick();
        self.clearing = Some(self.floor);
    }

    pub(super) fn cleared(&mut self) {
        let now = self.tick();
        let least = self.clearing.take().unwrap_or_default();
        let in_flight = u64::try_from(self.open.len()).unwrap_or(0) * 2;
        self.gone = (self.gone.0.max(least), self.floor + in_flight);
        self.open.iter_mut().for_each(|open| open.stored = None); // It may have gone with the others.
        self.known.clear(now);
    }

    pub(super) fn read_begins(&mut self) -> ReadBegun {
        ReadBegun { floor: self.floor, at: self.tick(), gone: self.gone.0, is_answer: false }
    }

    pub(super) fn read(&mut self, begun: ReadBegun, asked: Asked, page: &Page, wrong: &mut Wrong) {
        let before = wrong.len();
        if page.head < begun.floor {
            let fault = if asked.last { Fault::Lost } else { Fault::Stale };
            let detail = format!("a page ends at {}; {} was known before it was asked for", page.head, begun.floor);
            self.fault(fault, detail, wrong);
        }
        self.holes(asked, page, wrong);
        for message in &page.messages {
            self.see(message, begun, wrong);
        }
        if wrong.len() == before {
            self.outcomes(asked, page, wrong);
            self.unplaced(begun, page, wrong);
        }
        self.floor = self.floor.max(page.head);
        self.tick();
    }

    /// Wants the page to have each sequence of its window, in order.
    fn holes(&self, asked: Asked, page: &Page, wrong: &mut Wrong) {
        // While it is being cleared, a page may begin anywhere.
        let gone = if self.clearing.is_some() { u64::MAX } else { self.gone.1 };
        let from = asked.after.unwrap_or(0).max(gone);
        let is_full = page.messages.len() >= asked.limit;
        let mut last = match page.messages.first() {
            // A page of the newest begins anywhere, once it is full; what may be gone need not be there.
            Some(first) if first.seq <= from || (is_full && asked.after.is_none()) => first.seq.saturating_sub(1),
            Some(_) | None => from,
        };
        for message in &page.messages {
            let seq = message.seq;
            match seq.cmp(&(last + 1)) {
                std::cmp::Ordering::Equal => {}
                std::cmp::Ordering::Greater => self.missing(last + 1, seq - 1, wrong),
                std::cmp::Ordering::Less if seq == last => {
                    self.fault(Fault::Duplicated, format!("a page has {seq} twice"), wrong);
                }
                std::cmp::Ordering::Less => {
                    self.fault(Fault::Reordered, format!("a page has {seq} behind {last}"), wrong);
                }
            }
            last = seq.max(last);
        }
        let ends = asked.after.is_none() || !page.has_more;
        if ends && self.clearing.is_none() && last < page.head && page.head > self.gone.1 {
            self.missing(last + 1, page.head, wrong);
        }
    }

    /// Nothing stands between two messages of a page.
    fn missing(&self, first: u64, last: u64, wrong: &mut Wrong) {
        let known = (first..=last).find(|seq| self.entry(*seq).is_some());
        match known {
            Some(seq) => self.fault(Fault::Lost, format!("{seq} is not in a page that should have it"), wrong),
            None => self.fault(Fault::Reordered, format!("{first} to {last} are missing in a page"), wrong),
        }
    }

    /// A read, or a stream, shows this message.
    pub(super) fn see(&mut self, message: &Message, begun: ReadBegun, wrong: &mut Wrong) {
        let seq = message.seq;
        if seq <= begun.gone {
            return self.fault(Fault::Undead, format!("{seq} was cleared before it was asked for"), wrong);
        }
        let (id, text) = (digest(&message.id), digest(&message.content));
        let reply_to = message.reply_to.map_or(0, |seq| u32::try_from(seq).unwrap_or(u32::MAX));
        let Some(known) = self.entry(seq).copied() else { return self.first_seen(message, begun, wrong) };
        if (known.id, known.text) != (id, text) {
            return self.differs(message, known, wrong);
        }
        if known.reply_to != reply_to {
            let detail = format!("the reply at {seq} answers {reply_to}, and answered {} before", known.reply_to);
            return self.fault(Fault::Mispaired, detail, wrong);
        }
        let replaced = message.status == Status::Superseded && !self.retries;
        let reopened = message.status == Status::Pending && known.settled != 0 && known.settled < begun.at;
        if replaced {
            let detail = format!("the reply at {seq} was replaced, though nobody asked for another");
            self.fault(Fault::Outcome, detail, wrong);
        }
        if reopened {
            let detail = format!("{seq} is pending; its outcome was known before it was asked for");
            self.fault(Fault::Stale, detail, wrong);
        }
        self.settle(seq, message.status);
    }

    fn settle(&mut self, seq: u64, status: Status) {
        let now = self.now;
        if let Some(entry) = self.entry_mut(seq) {
            if status != Status::Pending && entry.settled == 0 {
                entry.settled = now;
            }
            entry.status = status;
        }
    }

    /// Another message stands at this place, or another text, than before.
    fn differs(&self, message: &Message, known: Entry, wrong: &mut Wrong) {
        let (seq, text) = (message.seq, digest(&message.content));
        let what = short(&message.content);
        let elsewhere = self.seq_of(text);
        let detail = match elsewhere {
            Some(other) => format!("at {seq} stands {what}, which was at {other}"),
            None => format!("at {seq} stands {what}, and another text was there"),
        };
        let fault = match (message.role, elsewhere) {
            (Role::Assistant, Some(_)) => Fault::Mispaired,
            (Role::Assistant, None) => Fault::Altered,
            (Role::User, Some(_)) => Fault::Reordered,
            (Role::User, None) => Fault::Foreign,
        };
        match elsewhere {
            Some(_) => self.fault(fault, detail, wrong),
            None => wrong.push(Violation::with_text(fault, &self.name, detail, text)),
        }
        if known.acknowledged && message.role == Role::User && known.reply_to == 0 {
            self.fault(Fault::Lost, format!("the message that was acknowledged at {seq} is not there"), wrong);
        }
    }

    fn first_seen(&mut self, message: &Message, begun: ReadBegun, wrong: &mut Wrong) {
        let (seq, text) = (message.seq, digest(&message.content));
        match message.role {
            Role::Assistant => {
                let asked = message.reply_to.filter(|to| *to < seq);
                let to_reply = asked.and_then(|to| self.entry(to)).is_some_and(|entry| entry.reply_to != 0);
                if asked.is_none() || to_reply {
                    let detail = format!("the reply at {seq} answers {:?}, which is no message", message.reply_to);
                    self.fault(Fault::Mispaired, detail, wrong);
                }
            }
            Role::User if seq > self.gone.1 || self.sends > 0 => self.place(message, begun, wrong),
            Role::User => {} // From before the checker was told anything.
        }
        let reply_to = message.reply_to.map_or(0, |to| u32::try_from(to).unwrap_or(u32::MAX));
        let settled = if message.status == Status::Pending { 0 } else { self.now };
        let status = message.status;
        let entry = Entry { id: digest(&message.id), text, reply_to, settled, status, acknowledged: false };
        let index = usize::try_from(seq.saturating_sub(1)).unwrap_or(usize::MAX);
        if index > self.entries.len() + (1 << 24) {
            return self.fault(Fault::Reordered, format!("sequence {seq} is far from all others"), wrong);
        }
        if self.entries.len() <= index {
            self.entries.resize(index + 1, None);
        }
        self.entries[index] = Some(entry);
    }

    /// Finds the send of a message that is seen for the first time.
    fn place(&mut self, message: &Message, begun: ReadBegun, wrong: &mut Wrong) {
        let (seq, text) = (message.seq, digest(&message.content));
        let what = short(&message.content);
        if let Some(open) = self.open.iter_mut().find(|open| open.text == text) {
            if let Some(other) = open.seq.replace(seq) {
                self.fault(Fault::Duplicated, format!("{what} is at {other} and at {seq}"), wrong);
            } else if seq <= open.floor {
                let detail = format!("{what} is at {seq}, and was sent behind {}", open.floor);
                self.fault(Fault::Reordered, detail, wrong);
            }
        } else if let Some(other) = self.seq_of(text) {
            self.fault(Fault::Duplicated, format!("{what} is at {other} and at {seq}"), wrong);
        } else if self.refused.contains(&text) {
            self.fault(Fault::Undead, format!("{what} at {seq} was refused"), wrong);
        } else if !begun.is_answer && seq > self.gone.1 {
            let detail = format!("{what} is at {seq}");
            wrong.push(Violation::with_text(Fault::Foreign, &self.name, detail, text));
        }
    }

    /// Wants one reply to each message of the page that has one.
    fn outcomes(&self, asked: Asked, page: &Page, wrong: &mut Wrong) {
        let first = page.messages.first().map_or(0, |message| message.seq);
        let whole = page.messages.last().is_some_and(|last| last.seq == page.head);
        let mut replies = vec![0_u8; page.messages.len()];
        let place = |seq: u64| seq.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let standing = page.messages.iter().filter(|message| message.status != Status::Superseded);
        for asked in standing.filter_map(|message| place(message.reply_to?)) {
            if let Some(count) = replies.get_mut(asked) {
                *count = count.saturating_add(1);
            }
        }
        for (message, count) in page.messages.iter().zip(replies).filter(|(message, _)| message.role == Role::User) {
            let (seq, status) = (message.seq, message.status);
            let wanted = match status {
                Status::Answered => 1..=1,
                Status::Stopped => 0..=1,
                Status::Pending | Status::Failed | Status::Interrupted | Status::Complete | Status::Superseded => 0..=0,
            };
            if !wanted.contains(&count) && (whole || count > 1) {
                self.fault(Fault::Outcome, format!("{seq} is {status:?} and has {count} replies"), wrong);
            }
            if asked.last && status == Status::Pending {
                self.fault(Fault::Outcome, format!("{seq} has no outcome"), wrong);
            }
        }
    }

    /// Wants what was stored without a place to be in a page that has all places it can have.
    fn unplaced(&mut self, begun: ReadBegun, page: &Page, wrong: &mut Wrong) {
        let Some(first) = page.messages.first().map(|message| message.seq) else { return };
        if page.messages.last().is_some_and(|last| last.seq != page.head) {
            return;
        }
        let gone = self.gone.1;
        let is_lost = |open: &&Open| {
            open.seq.is_none() && open.stored.is_some_and(|at| at < begun.at) && first <= open.floor.max(gone) + 1
        };
        let lost = self.open.iter().filter(is_lost).count();
        if lost > 0 {
            let detail = format!("{lost} messages whose reply failed are not there, up to {}", page.head);
            self.fault(Fault::Lost, detail, wrong);
        }
        self.open.retain(|open| open.stored.is_none() || open.seq.is_none());
    }

    fn entry(&self, seq: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?)?.as_ref()
    }

    fn entry_mut(&mut self, seq: u64) -> Option<&mut Entry> {
        self.entries.get_mut(usize::try_from(seq.checked_sub(1)?).ok()?)?.as_mut()
    }

    /// Where a text was; slow, and only for words of a violation.
    fn seq_of(&self, text: u64) -> Option<u64> {
        let at = self.entries.iter().position(|entry| entry.is_some_and(|entry| entry.text == text))?;
        u64::try_from(at + 1).ok()
    }
}
