//! Values that are too long for one record of sled's.
//!
//! sled moves records over a quarter of its segment to files that it never syncs, and a record is a page of up to 17
//! values. So a long value is cut: under its own key stands its first part, as long as a part is and with a mark of the whole
//! at its end, and in a tree of their own stand the others, under that mark. What has another length is whole.
//!
//! The other parts are written before the first one, and taken away behind it: whoever finds them missing has read a first
//! part that was replaced meanwhile, and reads again.

use super::{Index, IndexError};
use crate::{
    id::{Seq, SessionId},
    store::{
        codec::{self, CodecError},
        key::MessageKey,
    },
};

/// Bytes of a first part, with its mark. 17 of them, a page at most, stay well below a quarter of a segment.
const FIRST: usize = 96 << 10;
/// Bytes of the mark: the length of the whole, and its checksum.
const MARK: usize = 8;
/// Bytes of every other part, but for the last one.
const PART: usize = 64 << 10;
/// How often a value is read that is replaced while it is read.
const READS_MAX: usize = 8;

/// What is long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Long {
    Message,
    Annotation,
}

impl Long {
    const ALL: [Self; 2] = [Self::Message, Self::Annotation];

    /// Where the other parts of the value at `key` begin.
    fn prefix(self, key: MessageKey) -> Vec<u8> {
        let tag = match self {
            Self::Message => 0,
            Self::Annotation => 1,
        };
        [&[tag][..], &key.encode()].concat()
    }
}

/// Bytes of the value whose first part, or all of it, is `head`.
pub(crate) fn length(head: &[u8]) -> usize {
    mark_of(head).map_or(head.len(), |[a, b, c, d, ..]| u32::from_be_bytes([a, b, c, d]) as usize)
}

impl Index {
    fn heads(&self, of: Long) -> &sled::Tree {
        match of {
            Long::Message => &self.messages,
            Long::Annotation => &self.items.annotations,
        }
    }

    /// Writes a value, however long. The parts of one that stood there before stay until [`Index::sweep`].
    pub(super) fn put_long<T: serde::Serialize>(&self, of: Long, key: MessageKey, value: &T) -> Result<(), IndexError> {
        let bytes = codec::encode(value);
        if bytes.len() < FIRST {
            self.heads(of).insert(key.encode(), bytes)?;
            return Ok(());
        }
        let (first, rest) = bytes.split_at(FIRST - MARK);
        let mark = mark(&bytes)?;
        for (number, part) in rest.chunks(PART).enumerate() {
            self.parts.insert(part_key(of, key, mark, number), part)?;
        }
        self.heads(of).insert(key.encode(), [first, &mark].concat())?;
        Ok(())
    }

    /// Takes away the parts of what stood at `key` before.
    pub(super) fn sweep(&self, of: Long, key: MessageKey) -> Result<(), IndexError> {
        let kept = self.heads(of).get(key.encode())?.and_then(|head| mark_of(&head));
        for part in self.parts.scan_prefix(of.prefix(key)).keys() {
            let part = part?;
            if kept.is_none_or(|mark| !part[of.prefix(key).len()..].starts_with(&mark)) {
                self.parts.remove(part)?;
            }
        }
        Ok(())
    }

    /// The value at `key`; nothing where there is none.
    pub(crate) fn get_long<T: codec::Record>(&self, of: Long, key: MessageKey) -> Result<Option<T>, IndexError> {
        match self.heads(of).get(key.encode())? {
            Some(head) => self.whole(of, key, head),
            None => Ok(None),
        }
    }

    /// The value whose first part, or all of it, is `head`; nothing where it was taken away meanwhile.
    pub(crate) fn whole<T: codec::Record>(
        &self,
        of: Long,
        key: MessageKey,
        mut head: sled::IVec,
    ) -> Result<Option<T>, IndexError> {
        for _ in 0..READS_MAX {
            let Some(mark) = mark_of(&head) else { return Ok(Some(codec::decode(&head)?)) };
            let mut bytes = head[..FIRST - MARK].to_vec();
            let prefix = [of.prefix(key), mark.to_vec()].concat();
            for part in self.parts.scan_prefix(prefix).values() {
                bytes.extend_from_slice(&part?);
            }
            if self::mark(&bytes)? == mark {
                return Ok(Some(codec::decode(&bytes)?));
            }
            match self.heads(of).get(key.encode())? {
                Some(new) => head = new,
                None => return Ok(None),
            }
        }
        Err(CodecError::Malformed("a long value".to_owned()).into())
    }

    /// How many parts there are beside the first ones.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> usize {
        self.parts.len()
    }

    /// Removes up to `limit` parts of values from `first` to `last`, whose first parts are gone; true where there may be more.
    pub(super) fn remove_parts(
        &self,
        session: SessionId,
        (first, last): (Seq, Seq),
        limit: usize,
    ) -> Result<bool, IndexError> {
        let mut removed = 0;
        for of in Long::ALL {
            let from = of.prefix(MessageKey { session, seq: first });
            let mut to = of.prefix(MessageKey { session, seq: last });
            to.extend([0xff; MARK + 3]); // Behind the last part of the last value.
            let keys: Vec<_> =
                self.parts.range(from..=to).keys().take(limit - removed).collect::<Result<_, sled::Error>>()?;
            for key in keys {
                self.parts.remove(key)?;
                removed += 1;
            }
            if removed == limit {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn part_key(of: Long, key: MessageKey, mark: [u8; MARK], number: usize) -> Vec<u8> {
    let number = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes(); // Records have far fewer parts.
    [&of.prefix(key)[..], &mark, &number].concat()
}

fn mark(bytes: &[u8]) -> Result<[u8; MARK], CodecError> {
    let length = u32::try_from(bytes.len()).map_err(|_| CodecError::Malformed("a value without end".to_owned()))?;
    let mut mark = [0; MARK];
    mark[..4].copy_from_slice(&length.to_be_bytes());
    mark[4..].copy_from_slice(&crc32fast::hash(bytes).to_be_bytes());
    Ok(mark)
}

/// The mark at the end of a first part; nothing where the value is whole.
fn mark_of(head: &[u8]) -> Option<[u8; MARK]> {
    let is_first = head.len() == FIRST;
    is_first.then(|| head.last_chunk().copied()).flatten()
}
