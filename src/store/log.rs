//! Reading the message log from the index: pages, turns, and how each message stands.

use std::ops::ControlFlow;

use super::{
    Status,
    codec::{CodecError, MessageRecord, OutcomeRecord, SpeakerCode},
    index::{Index, IndexError, Long, length},
    key::MessageKey,
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId},
};

/// A message and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: Seq,
    pub(crate) record: MessageRecord,
    pub(crate) status: Status,
    /// For a user's message: the reply that is its outcome.
    pub(crate) answer: Option<Seq>,
}

/// Where the log ends for those who want all of it.
pub(crate) const NOW: Seq = Seq(u64::MAX);

/// How much of a run of messages is read: one at least, and no more than so many bytes of the first ones, or of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Within {
    First(usize),
    Last(usize),
}

/// How a turn ended, as the log and the outcomes show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    NotYet,
    Reply(Seq, MessageRecord),
    Failed { detail: String, too_slow: bool },
    Interrupted,
}

impl Ended {
    /// True where the turn's outcome is the reply at `seq`.
    pub(crate) fn is_reply_at(&self, seq: Seq) -> bool {
        matches!(self, Self::Reply(at, _) if *at == seq)
    }
}

/// The end of a session's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogEnd {
    pub(crate) head: Seq,
    /// How many turns have begun, cleared ones included.
    pub(crate) turns: u64,
    /// When the last message was stored.
    pub(crate) last_at: Option<Timestamp>,
    /// The last message's place among all.
    pub(crate) stamp: u64,
}

impl Index {
    /// The message at `seq`.
    pub(crate) fn message(&self, session: SessionId, seq: Seq) -> Result<Option<MessageRecord>, IndexError> {
        self.get_long(Long::Message, MessageKey { session, seq })
    }

    /// The session's last message, also where it is cleared and not yet removed.
    pub(crate) fn last(&self, session: SessionId) -> Result<Option<(Seq, MessageRecord)>, IndexError> {
        let last = self.messages.scan_prefix(session.bytes()).next_back();
        last.map_or(Ok(None), |entry| self.decode_entry(entry?))
    }

    /// The end of a session's log, where the messages through `cleared` (the last of turn `cleared_turns`) are cleared.
    pub(crate) fn log_end(&self, session: SessionId, cleared: Seq, cleared_turns: u64) -> Result<LogEnd, IndexError> {
        Ok(match self.last(session)? {
            Some((seq, record)) if seq > cleared => {
                LogEnd { head: seq, turns: record.turn, last_at: Some(record.created_at), stamp: record.stamp }
            }
            Some(_) | None => LogEnd { head: cleared, turns: cleared_turns, last_at: None, stamp: 0 },
        })
    }

    /// The messages from `first` to `last`, both included, in order.
    pub(crate) fn messages(
        &self,
        session: SessionId,
        first: Seq,
        last: Seq,
    ) -> Result<Vec<(Seq, MessageRecord)>, IndexError> {
        if first > last {
            return Ok(Vec::new());
        }
        let bounds = MessageKey { session, seq: first }.encode()..=MessageKey { session, seq: last }.encode();
        let entries = self.messages.range(bounds);
        entries
            .filter_map(|entry| entry.map_err(IndexError::from).and_then(|entry| self.decode_entry(entry)).transpose())
            .collect()
    }

    /// Those of [`Index::messages`] that are within the bound, in order, and true where others were left out.
    pub(crate) fn messages_within(
        &self,
        session: SessionId,
        (first, last): (Seq, Seq),
        within: Within,
    ) -> Result<(Vec<(Seq, MessageRecord)>, bool), IndexError> {
        if first > last {
            return Ok((Vec::new(), false));
        }
        let bounds = MessageKey { session, seq: first }.encode()..=MessageKey { session, seq: last }.encode();
        let mut entries = self.messages.range(bounds);
        let (mut messages, mut bytes, mut is_cut) = (Vec::new(), 0, false);
        loop {
            let (entry, bytes_max) = match within {
                Within::First(bytes) => (entries.next(), bytes),
                Within::Last(bytes) => (entries.next_back(), bytes),
            };
            let Some((key, value)) = entry.transpose()? else { break };
            bytes += length(&value);
            is_cut = bytes > bytes_max && !messages.is_empty();
            if is_cut {
                break;
            }
            messages.extend(self.decode_entry((key, value))?);
        }
        if matches!(within, Within::Last(_)) {
            messages.reverse();
        }
        Ok((messages, is_cut))
    }

    /// Those of [`Index::entries`] that are within the bound, and true where others were left out.
    pub(crate) fn entries_within(
        &self,
        session: SessionId,
        bounds: (Seq, Seq),
        head: Seq,
        within: Within,
    ) -> Result<(Vec<Entry>, bool), IndexError> {
        let (messages, is_cut) = self.messages_within(session, bounds, within)?;
        Ok((self.with_standings(session, &messages, head)?, is_cut))
    }

    /// The messages from `first` to `last` and how they stood when the log ended at `head`: a reply behind that had not
    /// come yet, and had replaced none.
    pub(crate) fn entries(
        &self,
        session: SessionId,
        first: Seq,
        last: Seq,
        head: Seq,
    ) -> Result<Vec<Entry>, IndexError> {
        let messages = self.messages(session, first, last)?;
        self.with_standings(session, &messages, head)
    }

    /// Messages in order, and how they stood when the log ended at `head`.
    fn with_standings(
        &self,
        session: SessionId,
        messages: &[(Seq, MessageRecord)],
        head: Seq,
    ) -> Result<Vec<Entry>, IndexError> {
        let mut entries = Vec::with_capacity(messages.len());
        for (index, (seq, record)) in messages.iter().enumerate() {
            let next = messages.get(index + 1).filter(|(next, _)| *next == seq.next()).map(|(_, record)| record);
            let (status, answer) = self.standing((session, *seq), record, next, head)?;
            entries.push(Entry { seq: *seq, record: record.clone(), status, answer });
        }
        Ok(entries)
    }

    /// How a message stood when the log ended at `head`, and the reply that answered it. `next` is the message behind it,
    /// where it is at hand.
    pub(crate) fn standing(
        &self,
        (session, seq): (SessionId, Seq),
        record: &MessageRecord,
        next: Option<&MessageRecord>,
        head: Seq,
    ) -> Result<(Status, Option<Seq>), IndexError> {
        match record.speaker {
            SpeakerCode::User => {}
            SpeakerCode::Assistant => return Ok((self.standing_of_reply(session, seq, record, head)?, None)),
            SpeakerCode::Noted(_) => return Ok((Status::Noted, None)),
        }
        if let Some(next) = next
            && next.reply_to == Some(seq)
            && !self.is_ended_elsewhere(session, seq)?
        {
            return Ok((answered(next), Some(seq.next())));
        }
        Ok(match self.ended_as_of(session, seq, head)? {
            Ended::NotYet if self.has_failed_before(session, seq)? => (Status::Failed, None),
            Ended::NotYet => (Status::Pending, None),
            Ended::Reply(at, reply) => (answered(&reply), Some(at)),
            Ended::Failed { .. } => (Status::Failed, None),
            Ended::Interrupted => (Status::Interrupted, None),
        })
    }

    /// True where a record says how the turn ended; else the reply behind its message does.
    fn is_ended_elsewhere(&self, session: SessionId, seq: Seq) -> Result<bool, IndexError> {
        Ok(match self.outcome_record(session, seq)? {
            None | Some(OutcomeRecord::Resumed { .. }) => false,
            Some(_) => true,
        })
    }

    /// True where the turn, which has no reply as of now, had no reply either when it was answered anew: it has failed
    /// since it was open, in whichever way.
    fn has_failed_before(&self, session: SessionId, seq: Seq) -> Result<bool, IndexError> {
        Ok(matches!(self.outcome_record(session, seq)?, Some(OutcomeRecord::Retried { before: None, .. })))
    }

    fn standing_of_reply(
        &self,
        session: SessionId,
        seq: Seq,
        record: &MessageRecord,
        head: Seq,
    ) -> Result<Status, IndexError> {
        let outcome = match record.reply_to {
            Some(of) => self.outcome_record(session, of)?,
            None => None,
        };
        Ok(match outcome {
            Some(OutcomeRecord::Reply { seq: current }) if current != seq => Status::Superseded,
            Some(OutcomeRecord::Retried { seq: current, before })
                if current != seq
                    && (before != Some(seq) || current <= head && self.message(session, current)?.is_some()) =>
            {
                Status::Superseded
            }
            Some(_) | None if record.stopped => Status::Stopped,
            Some(_) | None => Status::Complete,
        })
    }

    /// How the turn of the user's message at `seq` ended.
    pub(crate) fn ended(&self, session: SessionId, seq: Seq) -> Result<Ended, IndexError> {
        self.ended_as_of(session, seq, NOW)
    }

    /// How the turn of the user's message at `seq` had ended when the log ended at `head`.
    pub(crate) fn ended_as_of(&self, session: SessionId, seq: Seq, head: Seq) -> Result<Ended, IndexError> {
        // The outcome is written before its reply: until that is there, what was true before holds.
        let reply = |at: Seq| if at <= head { self.message(session, at) } else { Ok(None) };
        match self.outcome_record(session, seq)? {
            Some(OutcomeRecord::Reply { seq: at }) => {
                if let Some(reply) = reply(at)? {
                    return Ok(Ended::Reply(at, reply));
                }
            }
            Some(OutcomeRecord::Retried { seq: at, before }) => {
                for at in [Some(at), before].into_iter().flatten() {
                    if let Some(reply) = reply(at)? {
                        return Ok(Ended::Reply(at, reply));
                    }
                }
            }
            Some(
                OutcomeRecord::Failed { detail, too_slow, .. } | OutcomeRecord::RetryFailed { detail, too_slow, .. },
            ) => {
                return Ok(Ended::Failed { detail, too_slow });
            }
            Some(OutcomeRecord::Interrupted { .. }) => return Ok(Ended::Interrupted),
            Some(OutcomeRecord::Resumed { .. }) | None => {}
        }
        Ok(match reply(seq.next())? {
            Some(reply) if reply.reply_to == Some(seq) => Ended::Reply(seq.next(), reply),
            Some(_) | None => Ended::NotYet,
        })
    }

    /// The first message after `cleared`, up to `head`, for which `reached` is true; `head`'s next where there is none.
    ///
    /// `reached` must stay true once it is: turn and stamp only grow along a session.
    pub(crate) fn search_log(
        &self,
        session: SessionId,
        cleared: Seq,
        head: Seq,
        reached: impl Fn(&MessageRecord) -> bool,
    ) -> Result<Seq, IndexError> {
        let (mut low, mut high) = (cleared.0 + 1, head.0 + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.message(session, Seq(middle))? {
                Some(record) if !reached(&record) => low = middle + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(Seq(low))
    }

    /// Shows `look` the user's messages that begin the turns `first` to `last` (counted from 1 in the session), newest first, as
    /// they stood when the log ended where `bounds` do; until it breaks.
    pub(crate) fn turns_back(
        &self,
        session: SessionId,
        bounds: (Seq, Seq),
        (first, last): (u64, u64),
        mut look: impl FnMut(Entry) -> Result<ControlFlow<()>, IndexError>,
    ) -> Result<(), IndexError> {
        if first > last {
            return Ok(());
        }
        let (cleared, head) = bounds;
        let start = self.search_log(session, cleared, head, |record| record.turn >= first)?;
        let end = self.search_log(session, Seq(start.0 - 1), head, |record| record.turn > last)?;
        let from = MessageKey { session, seq: start }.encode();
        let to = MessageKey { session, seq: end }.encode();
        for entry in self.messages.range(from..to).rev() {
            let Some((seq, record)) = self.decode_entry(entry?)? else { continue };
            if record.speaker != SpeakerCode::User {
                continue;
            }
            let (status, answer) = self.standing((session, seq), &record, None, head)?;
            if look(Entry { seq, record, status, answer })?.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// A message that was found; nothing where it was taken away meanwhile.
    fn decode_entry(&self, (key, value): (sled::IVec, sled::IVec)) -> Result<Option<(Seq, MessageRecord)>, IndexError> {
        let key = MessageKey::decode(&key).ok_or_else(|| CodecError::Malformed("a messages key".to_owned()))?;
        Ok(self.whole(Long::Message, key, value)?.map(|record| (key.seq, record)))
    }
}

fn answered(reply: &MessageRecord) -> Status {
    if reply.stopped { Status::Stopped } else { Status::Answered }
}
