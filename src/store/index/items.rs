//! Annotations and progress in the index, and messages whose text is taken out.

use std::ops::Bound;

use super::{Index, IndexError, get, long::Long, put};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId},
    store::{
        codec::{self, CodecError},
        key::{MessageKey, PieceKey},
    },
};

/// The trees of what stands beside messages.
pub(crate) struct ItemTrees {
    pub(super) annotations: sled::Tree,
    progress: sled::Tree,
    /// What a login may do that a program holds, by its digest.
    scopes: sled::Tree,
}

impl ItemTrees {
    pub(super) fn open(db: &sled::Db) -> Result<Self, IndexError> {
        Ok(Self {
            annotations: db.open_tree("annotations")?,
            progress: db.open_tree("progress")?,
            scopes: db.open_tree("scopes")?,
        })
    }
}

impl Index {
    pub(super) fn put_annotation(
        &self,
        session: SessionId,
        seq: Seq,
        text: Option<&String>,
        at: Timestamp,
    ) -> Result<(), IndexError> {
        let place = MessageKey { session, seq };
        let key = place.encode();
        match text {
            Some(text) => self.put_long(Long::Annotation, place, text)?,
            None => {
                if self.items.annotations.contains_key(key)? {
                    self.note_deletion(at)?;
                    self.items.annotations.remove(key)?;
                }
            }
        }
        self.sweep(Long::Annotation, place)?;
        if seq > Seq::ZERO { self.end_progress(session, seq) } else { Ok(()) }
    }

    /// Takes the pieces of the reply to `seq` away, which is no longer made.
    pub(super) fn end_progress(&self, session: SessionId, seq: Seq) -> Result<(), IndexError> {
        for piece in self.items.progress.scan_prefix(MessageKey { session, seq }.encode()).keys() {
            self.items.progress.remove(piece?)?;
        }
        Ok(())
    }

    pub(super) fn put_piece(&self, session: SessionId, seq: Seq, at: u32, text: &String) -> Result<(), IndexError> {
        put(&self.items.progress, &PieceKey { message: MessageKey { session, seq }, at }.encode(), text)
    }

    /// Takes the text out of a message.
    pub(super) fn empty_message(&self, session: SessionId, seq: Seq, at: Timestamp) -> Result<(), IndexError> {
        if let Some(mut record) = self.message(session, seq)?
            && !record.content.is_empty()
        {
            self.note_deletion(at)?;
            record.content.clear();
            self.put_message(session, seq, &record)?;
        }
        // Also where its text is gone: a crash may have come between the two.
        self.sweep(Long::Message, MessageKey { session, seq })
    }

    pub(super) fn put_scopes(&self, digest: &[u8; 32], scopes: u32) -> Result<(), IndexError> {
        put(&self.items.scopes, digest, &scopes)
    }

    pub(super) fn end_scopes(&self, digest: &[u8]) -> Result<(), IndexError> {
        self.items.scopes.remove(digest)?;
        Ok(())
    }

    /// What the program may do that holds the login with this digest; nothing where a person holds it.
    pub(crate) fn scopes(&self, digest: &[u8; 32]) -> Result<Option<u32>, IndexError> {
        get(&self.items.scopes, digest)
    }

    /// The annotation of a place.
    pub(crate) fn annotation(&self, session: SessionId, seq: Seq) -> Result<Option<String>, IndexError> {
        self.get_long(Long::Annotation, MessageKey { session, seq })
    }

    /// The annotations of a session's messages from `first` to `last`, in order; read as they are asked for.
    pub(crate) fn annotations(
        &self,
        session: SessionId,
        first: Seq,
        last: Seq,
    ) -> impl DoubleEndedIterator<Item = Result<(Seq, String), IndexError>> {
        let key = |seq| MessageKey { session, seq }.encode();
        let entries = self.items.annotations.range((Bound::Included(key(first)), Bound::Included(key(last))));
        entries
            .filter_map(|entry| self.annotated(entry).transpose().map(|found| found.map(|(key, text)| (key.seq, text))))
    }

    /// The pieces of a running reply, as far as they are without a gap.
    pub(crate) fn pieces(&self, session: SessionId, seq: Seq) -> Result<Vec<String>, IndexError> {
        let (mut pieces, mut end) = (Vec::new(), 0);
        for entry in self.items.progress.scan_prefix(MessageKey { session, seq }.encode()) {
            let (key, text) = entry?;
            let text: String = codec::decode(&text)?;
            if PieceKey::decode(&key).is_none_or(|key| key.at as usize != end) {
                break;
            }
            end += text.len();
            pieces.push(text);
        }
        Ok(pieces)
    }

    /// All annotations with their places.
    pub(crate) fn all_annotations(&self) -> impl Iterator<Item = Result<(MessageKey, String), IndexError>> {
        self.items.annotations.iter().filter_map(|entry| self.annotated(entry).transpose())
    }

    /// All pieces of running replies, with the turn and the byte where each begins.
    pub(crate) fn all_pieces(&self) -> impl Iterator<Item = Result<(SessionId, Seq, u32, String), IndexError>> {
        self.items.progress.iter().map(|entry| {
            let (key, text) = entry?;
            let key = PieceKey::decode(&key).ok_or_else(|| malformed("a progress key"))?;
            Ok((key.message.session, key.message.seq, key.at, codec::decode(&text)?))
        })
    }

    /// The digests of all logins that have scopes.
    pub(crate) fn all_scopes(&self) -> impl Iterator<Item = Result<[u8; 32], IndexError>> {
        self.items.scopes.iter().keys().map(|key| key?.as_ref().try_into().map_err(|_| malformed("a scopes key")))
    }

    /// True where this very piece of a running reply is there.
    pub(crate) fn has_piece(&self, session: SessionId, seq: Seq, at: u32) -> Result<bool, IndexError> {
        Ok(self.items.progress.contains_key(PieceKey { message: MessageKey { session, seq }, at }.encode())?)
    }

    /// True where something stands beside a session or its messages.
    pub(super) fn has_items(&self, session: SessionId) -> Result<bool, IndexError> {
        let first = |tree: &sled::Tree| tree.scan_prefix(session.bytes()).keys().next().transpose();
        Ok(first(&self.items.annotations)?.is_some() || first(&self.items.progress)?.is_some())
    }

    /// Removes up to `limit` of what stands beside messages from `first` to `last`; true where there may be more.
    pub(super) fn remove_items(
        &self,
        session: SessionId,
        first: Seq,
        last: Seq,
        limit: usize,
    ) -> Result<bool, IndexError> {
        let from = MessageKey { session, seq: first }.encode();
        let mut to = MessageKey { session, seq: last }.encode().to_vec();
        to.extend([0xff; 4]); // The last piece beside the last message.
        let mut removed = 0;
        for tree in [&self.items.annotations, &self.items.progress] {
            let keys: Vec<_> =
                tree.range(&from[..]..=&to[..]).keys().take(limit - removed).collect::<Result<_, _>>()?;
            for key in keys {
                tree.remove(key)?;
                removed += 1;
            }
            if removed == limit {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn annotated(
        &self,
        entry: sled::Result<(sled::IVec, sled::IVec)>,
    ) -> Result<Option<(MessageKey, String)>, IndexError> {
        let (key, text) = entry?;
        let key = MessageKey::decode(&key).ok_or_else(|| malformed("an annotations key"))?;
        Ok(self.whole(Long::Annotation, key, text)?.map(|text| (key, text)))
    }
}

fn malformed(what: &str) -> IndexError {
    CodecError::Malformed(what.to_owned()).into()
}
