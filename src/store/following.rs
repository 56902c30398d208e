//! What streams read: the log behind a place, how a session stands, and what is gone of what was told before.

use std::ops::ControlFlow;

use super::{
    Logged, PageRange, Standing, Store, StoreError, TakenAway, fragment::Fragment, log::Within, view::turn_window,
};
use crate::id::{Seq, SessionId};

/// Bytes of messages that one step of following the log takes, roughly.
const LOGGED_BYTES_MAX: usize = 256 << 10;

impl Store {
    /// The first messages after `after`, at most `limit` and not many bytes, and the head of the log that they were read from.
    ///
    /// # Errors
    /// `NotOwner` where it was deleted meanwhile; those of every read.
    pub async fn log_after(
        &self,
        session: SessionId,
        after: Seq,
        limit: usize,
    ) -> Result<(Vec<Logged>, Seq), StoreError> {
        let view = self.view(session).await?.ok_or(StoreError::NotOwner(session))?;
        let run = view.run(PageRange { after: Some(after), before: None, limit });
        let head = view.end.head;
        if let Some(messages) = view.slice(run.first, run.last) {
            return Ok((first_bytes(messages.map(Fragment::logged)), head));
        }
        let messages = self.read(move |index| {
            let within = Within::First(LOGGED_BYTES_MAX);
            let (entries, _) = index.entries_within(session, (run.first, run.last), head, within)?;
            Ok(first_bytes(entries.iter().map(|entry| Fragment::of(entry).logged())))
        });
        Ok((messages.await?, head))
    }

    /// How a session stands, with its newest `turns` turns.
    ///
    /// # Errors
    /// `NotOwner` where it was deleted meanwhile; those of every read.
    pub async fn standing(&self, session: SessionId, turns: usize) -> Result<Standing, StoreError> {
        let view = self.view(session).await?.ok_or(StoreError::NotOwner(session))?;
        let (end, head) = (view.session_end(), view.end.head);
        let (first, last) = turn_window(end, turns, 0);
        if let Some(turns) = view.standings(first, last) {
            return Ok(Standing { head, turns });
        }
        let turns = self.read(move |index| {
            let mut turns = Vec::new();
            index.turns_back(session, (end.cleared_through, head), (first, last), |entry| {
                turns.push((entry.seq, entry.status));
                Ok(ControlFlow::Continue(()))
            })?;
            turns.reverse();
            Ok(turns)
        });
        Ok(Standing { head, turns: turns.await? })
    }

    /// What is gone of the messages up to `after`, which somebody was told of before: whether they were cleared, and which
    /// of the newest `limit` have no text: what was erased, and replies that were stopped before their first word.
    ///
    /// # Errors
    /// `NotOwner` where the session was deleted meanwhile; those of every read.
    pub async fn taken_away(&self, session: SessionId, after: Seq, limit: usize) -> Result<TakenAway, StoreError> {
        let view = self.view(session).await?.ok_or(StoreError::NotOwner(session))?;
        let through = view.meta.cleared_through;
        // Whoever has what came behind a clearing was told of that before.
        let is_news = after > Seq::ZERO && after <= through;
        let cleared = is_news.then(|| (through, view.session()));
        let run = view.run(PageRange { after: None, before: Some(after.next()), limit });
        if let Some(messages) = view.slice(run.first, run.last) {
            let erased = messages.filter(|message| message.content() == b"\"\"").map(|message| message.seq).collect();
            return Ok(TakenAway { cleared, erased });
        }
        let erased = self.read(move |index| {
            let (mut erased, mut last) = (Vec::new(), run.last);
            loop {
                let within = Within::Last(LOGGED_BYTES_MAX);
                let (messages, is_cut) = index.messages_within(session, (run.first, last), within)?;
                erased.extend(messages.iter().rev().filter(|(_, it)| it.content.is_empty()).map(|(seq, _)| *seq));
                match messages.first() {
                    Some((first, _)) if is_cut => last = Seq(first.0 - 1),
                    Some(_) | None => break,
                }
            }
            erased.reverse();
            Ok(erased)
        });
        Ok(TakenAway { cleared, erased: erased.await? })
    }
}

/// The first of `messages`, one at least, until they are many bytes: one who reads slowly keeps them waiting.
fn first_bytes(messages: impl Iterator<Item = Logged>) -> Vec<Logged> {
    let mut bytes = 0;
    let mut first = Vec::new();
    for message in messages {
        bytes += message.json.len();
        first.push(message);
        if bytes > LOGGED_BYTES_MAX {
            break;
        }
    }
    first
}
