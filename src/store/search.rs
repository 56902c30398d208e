//! Finding text in what a user said and was told.
//!
//! A search looks through every message of the user, so it has a time to end by. There is no index of words: a text is
//! sought as it is written, in any language.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Speaker, Status, Store, StoreError,
    codec::{MessageRecord, SessionMeta, SpeakerCode},
    index::Index,
    log::{NOW, Within},
};
use crate::{
    clock::{Timestamp, rfc3339},
    id::{Seq, SessionId, UserId},
    text,
};

/// Messages that are read from the index at once.
const STEP: u64 = 256;
/// Bytes of messages that are read at once, but for a longer one.
const STEP_BYTES: usize = 4 << 20;
/// The most characters of a message that a hit shows.
const EXCERPT_CHARS_MAX: usize = 240;

/// The messages that were found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hits {
    /// The newest of them, newest first.
    pub hits: Vec<Hit>,
    /// How many there are in all.
    pub total: u64,
}

/// A message that has the sought text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hit {
    /// Its session.
    pub session_id: SessionId,
    /// The session's title.
    pub title: Option<String>,
    /// Its place there.
    pub seq: Seq,
    /// Who said it.
    pub role: Speaker,
    /// When it was stored.
    #[serde(serialize_with = "rfc3339")]
    pub created_at: Timestamp,
    /// The text around the first place of what was sought.
    pub excerpt: String,
}

/// What is sought, and where.
pub(super) struct Sought<'s> {
    pub(super) user: UserId,
    /// In its folded form.
    pub(super) needle: &'s str,
    /// When it is given up.
    pub(super) until: Instant,
}

/// A message that has what is sought.
pub(super) struct Match<'m> {
    pub(super) session: SessionId,
    pub(super) meta: &'m SessionMeta,
    pub(super) seq: Seq,
    pub(super) record: MessageRecord,
}

impl Store {
    /// The user's messages and replies that have `needle` in them, the newest `limit` of them. Replies that were replaced
    /// are left out.
    ///
    /// # Errors
    /// `Busy` where it takes longer than `within`; those of every read.
    pub async fn find(&self, user: UserId, needle: &str, limit: usize, within: Duration) -> Result<Hits, StoreError> {
        let needle = text::folded(needle);
        let until = Instant::now() + within;
        self.scan(move |index| hits(index, &Sought { user, needle: &needle, until }, limit)).await
    }
}

impl Sought<'_> {
    /// Gives every match to `found`, one session after the other.
    ///
    /// # Errors
    /// `Busy` where the time is over; those of the index and of `found`.
    pub(super) fn each(
        &self,
        index: &Index,
        mut found: impl FnMut(Match<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for session in index.sessions_of(self.user, usize::MAX)? {
            let Some(meta) = index.session_meta(session)? else { continue };
            let mut first = meta.cleared_through.next();
            let head = index.log_end(session, meta.cleared_through, meta.cleared_turns)?.head;
            while first <= head {
                self.in_time()?;
                let last = Seq(first.0 + STEP - 1).min(head);
                let (messages, is_cut) = index.messages_within(session, (first, last), Within::First(STEP_BYTES))?;
                let last = messages.last().filter(|_| is_cut).map_or(last, |(seq, _)| *seq);
                for (seq, record) in messages {
                    if text::folded(&record.content).contains(self.needle) {
                        found(Match { session, meta: &meta, seq, record })?;
                    }
                }
                first = last.next();
            }
        }
        Ok(())
    }

    fn in_time(&self) -> Result<(), StoreError> {
        if Instant::now() > self.until { Err(StoreError::Busy) } else { Ok(()) }
    }
}

fn hits(index: &Index, sought: &Sought<'_>, limit: usize) -> Result<Hits, StoreError> {
    let mut total = 0;
    let mut newest: BinaryHeap<Reverse<(u64, SessionId, Seq)>> = BinaryHeap::new();
    let mut titles: HashMap<SessionId, Option<String>> = HashMap::new();
    sought.each(index, |Match { session, meta, seq, record }| {
        let is_reply = record.speaker == SpeakerCode::Assistant;
        if is_reply && index.standing((session, seq), &record, None, NOW)?.0 == Status::Superseded {
            return Ok(());
        }
        total += 1;
        titles.entry(session).or_insert_with(|| meta.title.clone());
        newest.push(Reverse((record.stamp, session, seq)));
        if newest.len() > limit {
            newest.pop();
        }
        Ok(())
    })?;
    let mut hits = Vec::with_capacity(newest.len());
    // The smallest `Reverse` is the newest.
    for Reverse((_, session, seq)) in newest.into_sorted_vec() {
        sought.in_time()?;
        // One that was deleted meanwhile may be gone.
        let Some(record) = index.message(session, seq)? else { continue };
        let Some(excerpt) = text::excerpt(&record.content, sought.needle, EXCERPT_CHARS_MAX) else { continue };
        hits.push(Hit {
            session_id: session,
            title: titles.get(&session).cloned().flatten(),
            seq,
            role: record.speaker.into(),
            created_at: record.created_at,
            excerpt,
        });
    }
    Ok(Hits { hits, total })
}
