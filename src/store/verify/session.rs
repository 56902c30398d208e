//! One session as the journal tells it: its messages and what becomes of its turns.

use std::collections::{HashMap, HashSet};

use super::super::codec::{MessageRecord, OutcomeRecord, SessionMeta, SpeakerCode};
use crate::id::{MessageId, Seq, SessionId};

/// What can be wrong with a reply that compaction makes look so where its turn was cleared.
pub(super) const ENDED_BEFORE: &str = "answers a message that has an outcome";
pub(super) const NOT_BEHIND: &str = "is no outcome, for it is not behind its message";

/// What the journal says of one session.
#[derive(Default)]
pub(super) struct SessionModel {
    pub(super) meta: Option<SessionMeta>,
    pub(super) deleted: bool,
    pub(super) head: Seq,
    pub(super) turns: u64,
    /// Sequences that are missing: compaction has removed what was cleared.
    pub(super) gaps: Vec<(Seq, Seq)>,
    pub(super) open: HashSet<Seq>,
    /// The last message that an idempotency key names. Keys come before their messages, and outlive them.
    pub(super) keyed: Seq,
    /// The turn that the next reply ends anew, by an outcome in the same frame.
    pub(super) announced: Option<(Seq, Seq)>,
    /// What is wrong with these messages, unless they are cleared in the end: compaction may have taken what explains it.
    pub(super) suspects: Vec<(Seq, String)>,
    /// Messages whose text was taken out.
    pub(super) erased: HashSet<Seq>,
}

impl SessionModel {
    /// Follows one message; says what is wrong with it.
    pub(super) fn message(&mut self, seq: Seq, record: &MessageRecord) -> Option<&'static str> {
        let expected = self.head.next();
        let announced = self.announced.take();
        if self.deleted {
            return Some("comes after the session's deletion");
        }
        if seq < expected {
            return Some("uses a sequence again");
        }
        let gap = seq > expected;
        if gap {
            self.gaps.push((expected, Seq(seq.0 - 1)));
        }
        self.head = seq;
        let turns = std::mem::replace(&mut self.turns, record.turn);
        match (record.speaker, record.reply_to) {
            (SpeakerCode::User, None) => {
                self.open.insert(seq);
                (!gap && record.turn != turns + 1).then_some("counts its turn wrongly")
            }
            (SpeakerCode::User, Some(_)) => Some("is a user's and answers something"),
            (SpeakerCode::Noted(_), Some(_)) => Some("belongs to no turn and answers something"),
            (SpeakerCode::Noted(_), None) => (!gap && record.turn != turns).then_some("counts its turn wrongly"),
            (SpeakerCode::Assistant, None) => Some("is a reply to nothing"),
            (SpeakerCode::Assistant, Some(of)) => {
                let ends_anew = announced == Some((of, seq));
                let ends = self.open.remove(&of);
                if of >= seq {
                    Some("answers a later message")
                } else if !ends && !ends_anew {
                    Some(ENDED_BEFORE)
                } else if ends && seq != of.next() && !ends_anew {
                    Some(NOT_BEHIND)
                } else {
                    None
                }
            }
        }
    }
}

impl SessionModel {
    /// Follows one outcome; says what seems wrong with it.
    pub(super) fn outcome(&mut self, seq: Seq, record: &OutcomeRecord) -> Option<&'static str> {
        match record {
            OutcomeRecord::Reply { seq: reply } | OutcomeRecord::Retried { seq: reply, .. } => {
                self.announced = Some((seq, *reply));
                None
            }
            // What it ended before may be compacted away, so the turn may look open.
            OutcomeRecord::RetryFailed { .. } => {
                self.open.remove(&seq);
                None
            }
            OutcomeRecord::Resumed { .. } => (!self.open.contains(&seq)).then_some("is resumed after its end"),
            OutcomeRecord::Failed { .. } | OutcomeRecord::Interrupted { .. } => {
                (!self.open.remove(&seq)).then_some("ends twice")
            }
        }
    }
}

/// The ids of one session after another, as an index has them: no more than those of the longest are in memory.
#[derive(Default)]
pub(super) struct Ids {
    session: Option<SessionId>,
    seen: HashMap<MessageId, Seq>,
}

impl Ids {
    /// Takes the next message; gives the place where its session has the same id already.
    pub(super) fn twice(&mut self, session: SessionId, seq: Seq, id: MessageId) -> Option<Seq> {
        if self.session.replace(session) != Some(session) {
            self.seen = HashMap::new();
        }
        self.seen.insert(id, seq)
    }
}
