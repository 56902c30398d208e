//! What programs keep in a conversation beside its turns: messages that belong to none, annotations of places in the
//! log, and the text of a running reply that somebody was shown for good.
//!
//! An annotation is a text that the store does not look into. It stands beside a message, or at [`Seq::ZERO`] beside the
//! session as a whole, and goes when they go. Progress makes a piece of a running reply durable before it is shown;
//! the annotation that is written with the turn's outcome ends it.

use std::{cmp::Ordering, time::Instant};

use super::{
    Message, NewMessage, OpenTurn, Outcome, SendKey, Speaker, Status, Store, StoreError,
    batch::message_of,
    command::{Command, Reply},
    index::Index,
    log::Within,
    read::PAGE_BYTES_MAX,
};
use crate::id::{Seq, SessionId, UserId};

/// The longest annotation with which a message or a session begins, bytes: instructions as long as a text may be, with every
/// character escaped, and what stands around them. Whoever makes one holds it to that.
pub const ANNOTATION_BYTES_MAX: usize = 2 << 20;
/// By so many bytes it may be longer once the turn's outcome is noted in it.
pub const ANNOTATION_GROWTH_MAX: usize = 448 << 10;
/// The most items that are added at once.
pub const ITEMS_MAX: usize = 1024;

/// A way through places of all of a user's sessions.
#[derive(Debug, Clone, Copy)]
pub struct Walk {
    /// It begins behind this place.
    pub after: Option<(SessionId, Seq)>,
    /// In the order of sessions and places, or against it.
    pub upwards: bool,
    /// What it gives at most.
    pub limit: usize,
    /// When it is given up.
    pub until: Instant,
}

/// What was found with its places, and whether there is no more.
pub type Walked = (Vec<(SessionId, Seq, String)>, bool);

/// A message that belongs to no turn, on its way to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewItem {
    /// Who says it.
    pub role: Speaker,
    /// The text, of at most [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX).
    pub content: String,
}

/// What comes into the log with a message, in the same frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// Items before it, at most [`ITEMS_MAX`].
    pub before: Vec<NewItem>,
    /// Its annotation, of at most [`ANNOTATION_BYTES_MAX`].
    pub annotation: Option<String>,
    /// The annotation of its session, where that is made with it.
    pub about: Option<String>,
    /// Where its session's log must end for it to be stored.
    pub behind: Option<Seq>,
    /// True: its key is this message's from here on, whatever it was used for before.
    pub renews_key: bool,
}

/// Items on their way to the end of a session's log.
#[derive(Debug, Clone)]
pub struct NewItems {
    /// Who adds them.
    pub user: UserId,
    /// Where to; must be theirs.
    pub session: SessionId,
    /// Make the session where nobody has it.
    pub create: bool,
    /// The annotation of a session that is made.
    pub about: Option<String>,
    /// The items, at most [`ITEMS_MAX`].
    pub items: Vec<NewItem>,
    /// By what a repeat is known.
    pub key: Option<SendKey>,
    /// True: the key is theirs from here on, whatever it was used for before.
    pub renews_key: bool,
}

/// What became of [`NewItems`], now or when they were added with the same key.
#[derive(Debug, Clone)]
pub struct AddedItems {
    /// The session that they are in.
    pub session: SessionId,
    /// The messages that they are.
    pub items: Vec<Message>,
}

/// What became of an order to erase a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Erasure {
    /// Its text is gone, or was before.
    Erased,
    /// There is no such message.
    NoSuchMessage,
    /// It is being answered: first that must end.
    BeingAnswered,
}

/// A command about items; see [`super::command`].
pub(crate) enum ItemCommand {
    Add(NewItems, Reply<AddedItems>),
    Annotate(UserId, SessionId, Seq, Option<String>, Reply<bool>),
    Progress(OpenTurn, u32, String, Reply<()>),
    Erase(UserId, SessionId, Seq, Reply<Erasure>),
}

impl ItemCommand {
    /// See [`Command::is_allowed_on_a_full_disk`].
    pub(crate) fn is_allowed_on_a_full_disk(&self) -> bool {
        match self {
            Self::Erase(..) => true,
            Self::Annotate(.., text, _) => text.is_none(),
            Self::Add(..) | Self::Progress(..) => false,
        }
    }

    /// See [`Command::is_decided_from_memory`].
    pub(crate) fn is_decided_from_memory(&self) -> bool {
        match self {
            Self::Progress(..) => true,
            Self::Add(..) | Self::Annotate(..) | Self::Erase(..) => false,
        }
    }

    /// Bytes of text in it.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Add(items, _) => items.items.iter().map(|item| item.content.len()).sum(),
            Self::Annotate(.., text, _) => text.as_ref().map_or(0, String::len),
            Self::Progress(_, _, text, _) => text.len(),
            Self::Erase(..) => 0,
        }
    }

    /// Refuses the command with `error`.
    pub(crate) fn refuse(self, error: StoreError) {
        // Whoever asked may have gone; there is nobody else to tell.
        match self {
            Self::Add(_, reply) => drop(reply.send(Err(error))),
            Self::Annotate(.., reply) => drop(reply.send(Err(error))),
            Self::Progress(.., reply) => drop(reply.send(Err(error))),
            Self::Erase(.., reply) => drop(reply.send(Err(error))),
        }
    }
}

impl NewMessage {
    /// Bytes of text in it.
    pub(crate) fn bytes(&self) -> usize {
        let Beside { before, annotation, about, .. } = &self.beside;
        let before: usize = before.iter().map(|item| item.content.len()).sum();
        before + self.content.len() + [annotation, about].into_iter().flatten().map(String::len).sum::<usize>()
    }
}

impl Store {
    /// Adds messages that belong to no turn to the end of a session's log: all of them, or none. A key that is known gives
    /// those of the first time.
    ///
    /// Dropping the future does not undo it.
    ///
    /// # Errors
    /// `NotOwner`; `KeyReused`; `TurnGone` where what was added with the key was deleted since; those of every write.
    pub async fn add_items(&self, items: NewItems) -> Result<AddedItems, StoreError> {
        self.write(|reply| Command::Item(ItemCommand::Add(items, reply))).await
    }

    /// Sets, or takes away, the annotation of a place in a session's log; false where that place is not there.
    ///
    /// # Errors
    /// `NotOwner`; those of every write.
    pub async fn annotate(
        &self,
        user: UserId,
        session: SessionId,
        seq: Seq,
        text: Option<String>,
    ) -> Result<bool, StoreError> {
        self.write(|reply| Command::Item(ItemCommand::Annotate(user, session, seq, text, reply))).await
    }

    /// Makes a piece of a running reply durable: `text` from the reply's byte `at` on, right behind the piece before it.
    ///
    /// # Errors
    /// `TurnGone` where it has an outcome, was cleared or deleted; those of every write.
    pub async fn progress(&self, turn: OpenTurn, at: u32, text: String) -> Result<(), StoreError> {
        self.write(|reply| Command::Item(ItemCommand::Progress(turn, at, text, reply))).await
    }

    /// Takes the text out of a message, whose place stays, and its annotation away.
    ///
    /// # Errors
    /// `NotOwner`; those of every write.
    pub async fn erase(&self, user: UserId, session: SessionId, seq: Seq) -> Result<Erasure, StoreError> {
        self.write(|reply| Command::Item(ItemCommand::Erase(user, session, seq, reply))).await
    }

    /// The annotation of a place in a session's log; nothing where there is none, or the place was cleared.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn annotation(&self, session: SessionId, seq: Seq) -> Result<Option<String>, StoreError> {
        self.read(move |index| {
            let Some(meta) = index.session_meta(session)? else { return Ok(None) };
            if seq > Seq::ZERO && seq <= meta.cleared_through {
                return Ok(None);
            }
            Ok(index.annotation(session, seq)?)
        })
        .await
    }

    /// The annotations of messages in all of a user's sessions for which `wanted` is true, not many bytes of them; true where
    /// there are no more.
    ///
    /// # Errors
    /// `Busy` where that is not done in time, or too many wait; those of every read.
    pub async fn annotations(
        &self,
        user: UserId,
        walk: Walk,
        wanted: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<Walked, StoreError> {
        self.scan(move |index| annotations(index, user, &walk, wanted)).await
    }

    /// The pieces of a reply that were made durable while it ran, in order; none where it has its outcome or was cleared.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn pieces(&self, turn: OpenTurn) -> Result<Vec<String>, StoreError> {
        self.read(move |index| match index.session_meta(turn.session)? {
            Some(meta) if turn.seq > meta.cleared_through => Ok(index.pieces(turn.session, turn.seq)?),
            _ => Ok(Vec::new()),
        })
        .await
    }

    /// Up to `limit` messages of a session, and not many bytes, from `from` on, upwards or downwards, with how they stand and for a user's message
    /// the place of its answer; superseded replies and erased messages are among them.
    ///
    /// # Errors
    /// `NotOwner` where it was deleted meanwhile; those of every read.
    pub async fn run(
        &self,
        session: SessionId,
        from: Seq,
        upwards: bool,
        limit: usize,
    ) -> Result<Vec<Message>, StoreError> {
        let head = self.session(session).await?.ok_or(StoreError::NotOwner(session))?.head;
        self.read(move |index| {
            let Some(meta) = index.session_meta(session)? else { return Err(StoreError::NotOwner(session)) };
            let oldest = meta.cleared_through.next();
            let wide = (limit as u64).saturating_sub(1);
            let (first, last) = if upwards {
                let first = from.max(oldest);
                (first, Seq(first.0.saturating_add(wide)).min(head))
            } else {
                let last = from.min(head);
                (Seq(last.0.saturating_sub(wide)).max(oldest), last)
            };
            let within = if upwards { Within::First(PAGE_BYTES_MAX) } else { Within::Last(PAGE_BYTES_MAX) };
            let (entries, _) = index.entries_within(session, (first, last), head, within)?;
            let mut messages: Vec<_> =
                entries.iter().map(|entry| message_of(entry.seq, &entry.record, entry.status)).collect();
            if !upwards {
                messages.reverse();
            }
            Ok(messages)
        })
        .await
    }

    /// The reply that is the outcome of the turn of `seq`, or the message itself where `answer` is false.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn message(&self, session: SessionId, seq: Seq, answer: bool) -> Result<Option<Message>, StoreError> {
        if answer {
            return Ok(match self.turn(session, seq).await? {
                Some((_, Outcome::Reply(reply))) => Some(reply),
                Some((_, Outcome::Pending | Outcome::Failed { .. } | Outcome::Interrupted)) | None => None,
            });
        }
        let found = self.run(session, seq, true, 1).await?;
        Ok(found.into_iter().find(|message| message.seq == seq && message.status != Status::Superseded))
    }
}

fn annotations(index: &Index, user: UserId, walk: &Walk, wanted: impl Fn(&str) -> bool) -> Result<Walked, StoreError> {
    let Walk { after, upwards, limit, until } = *walk;
    let mut sessions = index.sessions_of(user, usize::MAX)?;
    if !upwards {
        sessions.reverse();
    }
    let (mut found, mut bytes) = (Vec::new(), 0);
    for session in sessions {
        let behind = after.map(|(at, seq)| (session.cmp(&at), seq));
        let (first, last) = match (behind, upwards) {
            (None | Some((Ordering::Greater, _)), true) | (None | Some((Ordering::Less, _)), false) => {
                (Seq::ZERO.next(), Seq(u64::MAX))
            }
            (Some((Ordering::Equal, seq)), true) if seq < Seq(u64::MAX) => (seq.next(), Seq(u64::MAX)),
            (Some((Ordering::Equal, seq)), false) => (Seq::ZERO.next(), Seq(seq.0.saturating_sub(1))),
            (Some(_), _) => continue,
        };
        let Some(meta) = index.session_meta(session)? else { continue };
        let mut of_session = index.annotations(session, first.max(meta.cleared_through.next()), last);
        while let Some(annotation) = if upwards { of_session.next() } else { of_session.next_back() } {
            let (seq, text) = annotation?;
            if wanted(&text) {
                bytes += text.len();
                found.push((session, seq, text));
            }
            if found.len() == limit || bytes >= PAGE_BYTES_MAX {
                return Ok((found, false));
            }
            if Instant::now() > until {
                return Err(StoreError::Busy);
            }
        }
    }
    Ok((found, true))
}
