//! What the cache holds: the tail of a session with its messages rendered, and the ends of a user's sessions.
//!
//! The writer brings both up to date with [`SessionView::apply`] and [`UserView::apply`]. A change that an entry has
//! already seen, because it was loaded after the index had it, changes nothing.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use super::{
    Message, PageRange, Rendered, Session, Status, Token, User,
    batch::{State, session_of},
    cache::{Keep, Weigh},
    codec::{Change, MessageRecord, OutcomeRecord, SessionMeta, SpeakerCode},
    fragment::{self, Fragment, Pair},
    index::{Index, IndexError},
    log::{LogEnd, Within},
};
use crate::id::{Seq, SessionId, UserId};

/// Messages that a session's entry keeps at most: two pages of the default size.
const TAIL_MESSAGES: usize = 100;
/// Bytes of messages that a session's entry keeps at most.
const TAIL_BYTES: usize = 64 << 10;
/// Answers that an entry keeps ready at most.
const READY_MAX: usize = 3;
/// A longer answer is rendered anew each time.
const READY_BYTES_MAX: usize = 64 << 10;

/// Answers that were rendered from an entry as it is: dropped with the next change of it.
struct Ready<K>(Mutex<Vec<(K, Rendered)>>);

/// The end of one session.
#[derive(Clone)]
pub(crate) struct SessionView {
    pub(crate) id: SessionId,
    pub(crate) meta: SessionMeta,
    pub(crate) end: LogEnd,
    /// The newest messages that are not cleared, without a gap up to the head.
    tail: VecDeque<Fragment>,
    tail_bytes: usize,
    /// The reply that the next message replaces: both change their standing at the same moment.
    replaced_next: Option<Seq>,
    ready: Ready<ReadyPage>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ReadyPage {
    Messages(PageRange),
    Pairs { limit: usize, offset: u64 },
}

/// The ends of all sessions of a user.
#[derive(Clone)]
pub(crate) struct UserView {
    ends: HashMap<SessionId, SessionEnd>,
    ready: Ready<(usize, u64)>,
}

/// What the order and the number of a user's turns need of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionEnd {
    pub(crate) turns: u64,
    pub(crate) cleared_turns: u64,
    pub(crate) cleared_through: Seq,
    pub(crate) head: Seq,
    /// The last message's place among all messages of the server.
    pub(crate) stamp: u64,
}

/// A run of messages: from `first` to `last`, both included; empty where `first` is after `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: Seq,
    pub(crate) last: Seq,
    pub(crate) has_more: bool,
}

impl<K: PartialEq + Copy> Ready<K> {
    fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn get_or_render(&self, key: K, render: impl FnOnce() -> Option<Rendered>) -> Option<Rendered> {
        let mut ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, rendered)) = ready.iter().find(|(known, _)| *known == key) {
            return Some(rendered.clone());
        }
        let rendered = render()?;
        if rendered.body.len() <= READY_BYTES_MAX {
            if ready.len() == READY_MAX {
                ready.remove(0);
            }
            ready.push((key, rendered.clone()));
        }
        Some(rendered)
    }

    fn get(&self, key: K) -> Option<Rendered> {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.iter().find(|(known, _)| *known == key).map(|(_, rendered)| rendered.clone())
    }

    fn clear(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn bytes(&self) -> usize {
        let ready = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ready.iter().map(|(_, rendered)| rendered.body.len() + 100).sum()
    }
}

impl<K> Clone for Ready<K> {
    /// A copy is made to be changed, so it begins with nothing ready.
    fn clone(&self) -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl SessionView {
    /// Loads a session from the index; nothing where it was deleted or never was.
    pub(crate) fn load(index: &Index, id: SessionId) -> Result<Option<Self>, IndexError> {
        let Some(meta) = index.session_meta(id)? else { return Ok(None) };
        let end = index.log_end(id, meta.cleared_through, meta.cleared_turns)?;
        Self::up_to(index, id, meta, end).map(Some)
    }

    /// The session as it was when its log ended with `end`: the index may be ahead of that.
    fn up_to(index: &Index, id: SessionId, meta: SessionMeta, end: LogEnd) -> Result<Self, IndexError> {
        let first = meta.cleared_through.0.max(end.head.0.saturating_sub(TAIL_MESSAGES as u64)) + 1;
        let within = Within::Last(TAIL_BYTES);
        let (entries, _) = index.entries_within(id, (Seq(first), end.head), end.head, within)?;
        let mut view = Self::empty(id, meta);
        view.end = end;
        for entry in entries {
            view.push(Fragment::of(&entry));
        }
        Ok(view)
    }

    /// A session without messages.
    pub(crate) fn empty(id: SessionId, meta: SessionMeta) -> Self {
        let end = LogEnd { head: meta.cleared_through, turns: meta.cleared_turns, last_at: None, stamp: 0 };
        Self { id, meta, end, tail: VecDeque::new(), tail_bytes: 0, replaced_next: None, ready: Ready::new() }
    }

    /// The session as its owner sees it.
    pub(crate) fn session(&self) -> Session {
        session_of(self.id, &State { meta: self.meta.clone(), end: self.end })
    }

    /// What a user's view needs of it.
    pub(crate) fn session_end(&self) -> SessionEnd {
        SessionEnd {
            turns: self.end.turns,
            cleared_turns: self.meta.cleared_turns,
            cleared_through: self.meta.cleared_through,
            head: self.end.head,
            stamp: self.end.stamp,
        }
    }

    /// Brings the view up to date with a change of its session.
    pub(crate) fn apply(&mut self, change: &Change) -> Keep {
        self.ready.clear();
        match change {
            Change::Session { meta, .. } => self.set_meta(meta),
            Change::Message { seq, record, .. } => self.add(*seq, record),
            Change::Outcome { seq, record, .. } => self.end_turn(*seq, record),
            // What was erased is seen when the entry is loaded anew, for the index has it already.
            Change::SessionDeleted { .. } | Change::Erased { .. } => return Keep::No,
            Change::User { .. }
            | Change::UserDeleted { .. }
            | Change::Token { .. }
            | Change::TokenEnded { .. }
            | Change::Invitation { .. }
            | Change::InvitationUsed { .. }
            | Change::SendKey { .. }
            | Change::Job { .. }
            | Change::JobEnded { .. }
            | Change::Annotation { .. }
            | Change::Progress { .. }
            | Change::Scopes { .. } => {}
        }
        Keep::Yes
    }

    fn set_meta(&mut self, meta: &SessionMeta) {
        self.meta = meta.clone();
        while self.tail.front().is_some_and(|oldest| oldest.seq <= meta.cleared_through) {
            self.pop_oldest();
        }
        if self.end.head <= meta.cleared_through {
            self.end = LogEnd { head: meta.cleared_through, turns: meta.cleared_turns, last_at: None, stamp: 0 };
        }
    }

    fn add(&mut self, seq: Seq, record: &MessageRecord) {
        let replaced = self.replaced_next.take();
        if seq != self.end.head.next() {
            return;
        }
        self.end = LogEnd { head: seq, turns: record.turn, last_at: Some(record.created_at), stamp: record.stamp };
        let status = record.first_status();
        if let Some(of) = record.reply_to {
            let answer = self.find(of).and_then(|message| message.answer).filter(|&answer| answer != seq);
            let replaced = replaced.or(answer);
            let standing = if record.stopped { Status::Stopped } else { Status::Answered };
            self.stand(of, standing, Some(seq));
            if let Some(replaced) = replaced {
                self.stand(replaced, Status::Superseded, None);
            }
        }
        self.push(Fragment::new(seq, record, status, None));
    }

    fn end_turn(&mut self, seq: Seq, outcome: &OutcomeRecord) {
        match outcome {
            // The reply itself comes right behind, and says the same.
            OutcomeRecord::Reply { .. } | OutcomeRecord::Resumed { .. } => {}
            OutcomeRecord::Retried { before, .. } => self.replaced_next = *before,
            OutcomeRecord::Failed { .. } | OutcomeRecord::RetryFailed { .. } => self.stand(seq, Status::Failed, None),
            OutcomeRecord::Interrupted { .. } => self.stand(seq, Status::Interrupted, None),
        }
    }

    fn stand(&mut self, seq: Seq, status: Status, answer: Option<Seq>) {
        let Some(index) = self.position(seq) else { return };
        let message = &mut self.tail[index];
        self.tail_bytes -= message.json.len();
        message.stand(status, answer);
        self.tail_bytes += message.json.len();
    }

    fn push(&mut self, fragment: Fragment) {
        self.tail_bytes += fragment.json.len();
        self.tail.push_back(fragment);
        while self.tail.len() > TAIL_MESSAGES || (self.tail_bytes > TAIL_BYTES && self.tail.len() > 1) {
            self.pop_oldest();
        }
    }

    fn pop_oldest(&mut self) {
        if let Some(oldest) = self.tail.pop_front() {
            self.tail_bytes -= oldest.json.len();
        }
    }

    fn position(&self, seq: Seq) -> Option<usize> {
        let first = self.tail.front()?.seq.0;
        usize::try_from(seq.0.checked_sub(first)?).ok().filter(|&index| index < self.tail.len())
    }

    /// The message at `seq`, if it is in the tail.
    pub(crate) fn find(&self, seq: Seq) -> Option<&Fragment> {
        self.position(seq).map(|index| &self.tail[index])
    }

    /// Which messages `range` means.
    pub(crate) fn run(&self, range: PageRange) -> Run {
        let oldest = self.meta.cleared_through.0 + 1;
        let before = range.before.map_or(u64::MAX, |seq| seq.0);
        let newest = self.end.head.0.min(before.saturating_sub(1));
        let limit = range.limit as u64;
        if let Some(after) = range.after {
            let first = oldest.max(after.0.saturating_add(1));
            let last = newest.min(first.saturating_add(limit - 1));
            Run { first: Seq(first), last: Seq(last), has_more: last < newest && first <= last }
        } else {
            let first = oldest.max((newest + 1).saturating_sub(limit));
            Run { first: Seq(first), last: Seq(newest), has_more: first > oldest && first <= newest }
        }
    }

    /// The page that `range` means, if it was rendered since the last change.
    pub(crate) fn ready_page(&self, range: PageRange) -> Option<Rendered> {
        self.ready.get(ReadyPage::Messages(range))
    }

    /// The old client's page, if it was rendered since the last change.
    pub(crate) fn ready_pairs(&self, limit: usize, offset: u64) -> Option<Rendered> {
        self.ready.get(ReadyPage::Pairs { limit, offset })
    }

    /// Renders the page that `range` means, where the tail has it whole; the cache is to weigh the entry anew.
    pub(crate) fn page(&self, range: PageRange) -> Option<Rendered> {
        self.ready.get_or_render(ReadyPage::Messages(range), || {
            let run = self.run(range);
            let messages = self.slice(run.first, run.last)?;
            Some(fragment::page(messages, self.end.head, run.has_more))
        })
    }

    /// The newest messages up to `seq`, at most `limit`, and all behind it, where the tail has them all.
    pub(crate) fn context(&self, seq: Seq, limit: usize) -> Option<Vec<Message>> {
        let run = self.run(PageRange { after: None, before: Some(seq.next()), limit });
        self.slice(run.first, self.end.head)?.map(Fragment::message).collect()
    }

    /// How the turns from `first` to `last` (counted from 1 in the session) stand, where the tail has them all.
    pub(crate) fn standings(&self, first: u64, last: u64) -> Option<Vec<(Seq, Status)>> {
        let turns: Vec<_> = self
            .tail
            .iter()
            .filter(|message| message.speaker == SpeakerCode::User && (first..=last).contains(&message.turn))
            .map(|message| (message.seq, message.status))
            .collect();
        (turns.len() as u64 == (last + 1).saturating_sub(first)).then_some(turns)
    }

    /// The messages from `first` to `last`, both included, where the tail has them all.
    pub(crate) fn slice(&self, first: Seq, last: Seq) -> Option<impl Iterator<Item = &Fragment>> {
        if first > last {
            return Some(self.tail.range(0..0));
        }
        let (from, to) = (self.position(first)?, self.position(last)?);
        Some(self.tail.range(from..=to))
    }

    /// Renders the old client's page of this session, where the tail has it whole; the cache is to weigh the entry anew.
    pub(crate) fn pairs(&self, limit: usize, offset: u64) -> Option<Rendered> {
        self.ready.get_or_render(ReadyPage::Pairs { limit, offset }, || {
            let (first, last) = turn_window(self.session_end(), limit, offset);
            let pairs: Vec<Pair> = (first..=last).map(|turn| self.turn(turn)).collect::<Option<_>>()?;
            Some(fragment::pairs(&pairs, self.end.turns - self.meta.cleared_turns, self.meta.owner))
        })
    }

    /// The turn with this number (from 1 in the session) with its reply, where the tail has it.
    pub(crate) fn turn(&self, turn: u64) -> Option<Pair> {
        let message = self.tail.iter().find(|message| message.turn == turn && message.speaker == SpeakerCode::User)?;
        let reply = message.answer.and_then(|seq| self.find(seq)).cloned();
        Some(Pair { session: self.id, message: message.clone(), reply })
    }
}

/// The turns that the newest `limit` are after skipping `offset`: first and last, counted from 1 in the session.
pub(crate) fn turn_window(end: SessionEnd, limit: usize, offset: u64) -> (u64, u64) {
    let last = end.turns.saturating_sub(offset).max(end.cleared_turns);
    let first = last.saturating_sub(limit as u64).max(end.cleared_turns) + 1;
    (first, last)
}

impl UserView {
    /// Loads the ends of a user's sessions from the index.
    pub(crate) fn load(index: &Index, user: UserId) -> Result<Self, IndexError> {
        let mut ends = HashMap::new();
        for id in index.sessions_of(user, usize::MAX)? {
            let Some(meta) = index.session_meta(id)? else { continue };
            let end = index.log_end(id, meta.cleared_through, meta.cleared_turns)?;
            let end = SessionEnd {
                turns: end.turns,
                cleared_turns: meta.cleared_turns,
                cleared_through: meta.cleared_through,
                head: end.head,
                stamp: end.stamp,
            };
            ends.insert(id, end);
        }
        Ok(Self { ends, ready: Ready::new() })
    }

    /// The sessions and their ends.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (SessionId, SessionEnd)> {
        self.ends.iter().map(|(id, end)| (*id, *end))
    }

    /// How many turns there are.
    pub(crate) fn total(&self) -> u64 {
        self.ends.values().map(|end| end.turns - end.cleared_turns).sum()
    }

    /// The old client's page over all sessions, if it was rendered since the last change.
    pub(crate) fn ready_pairs(&self, limit: usize, offset: u64) -> Option<Rendered> {
        self.ready.get((limit, offset))
    }

    /// Keeps the old client's page over all sessions ready until the next change.
    pub(crate) fn pairs(
        &self,
        limit: usize,
        offset: u64,
        render: impl FnOnce() -> Option<Rendered>,
    ) -> Option<Rendered> {
        self.ready.get_or_render((limit, offset), render)
    }

    /// Brings the view up to date with a change of one of the user's sessions.
    pub(crate) fn apply(&mut self, change: &Change) -> Keep {
        self.ready.clear();
        match change {
            Change::Session { id, meta } => {
                let end = self.ends.entry(*id).or_insert(SessionEnd {
                    turns: 0,
                    cleared_turns: 0,
                    cleared_through: Seq::ZERO,
                    head: Seq::ZERO,
                    stamp: 0,
                });
                end.cleared_through = meta.cleared_through;
                end.cleared_turns = meta.cleared_turns;
                end.turns = end.turns.max(meta.cleared_turns);
                end.head = end.head.max(meta.cleared_through);
            }
            Change::Message { session, seq, record } => {
                if let Some(end) = self.ends.get_mut(session)
                    && *seq > end.head
                {
                    end.head = *seq;
                    end.turns = record.turn;
                    end.stamp = record.stamp;
                }
            }
            Change::SessionDeleted { id, .. } => {
                self.ends.remove(id);
            }
            Change::UserDeleted { .. } => return Keep::No,
            Change::Outcome { .. }
            | Change::User { .. }
            | Change::Token { .. }
            | Change::TokenEnded { .. }
            | Change::Invitation { .. }
            | Change::InvitationUsed { .. }
            | Change::SendKey { .. }
            | Change::Job { .. }
            | Change::JobEnded { .. }
            | Change::Annotation { .. }
            | Change::Progress { .. }
            | Change::Erased { .. }
            | Change::Scopes { .. } => {}
        }
        Keep::Yes
    }
}

impl Weigh for SessionView {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.tail_bytes + self.tail.capacity() * size_of::<Fragment>() + self.ready.bytes()
    }
}

impl Weigh for UserView {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.ends.capacity() * (size_of::<(SessionId, SessionEnd)>() + 1) + self.ready.bytes()
    }
}

impl Weigh for User {
    fn weight(&self) -> usize {
        let texts = [&self.username, &self.folded, &self.display_name, &self.password];
        size_of::<Self>() + texts.iter().map(|text| text.len()).sum::<usize>()
    }
}

impl Weigh for Token {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.label.as_ref().map_or(0, String::len)
    }
}

#[cfg(test)]
mod tests;
