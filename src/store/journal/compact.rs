//! Compaction of the journal: sealed segments written again without what is dead, and the old ones removed later.

use std::{io, os::unix::fs::FileExt, time::Duration};

use super::{
    super::{
        OpenError,
        codec::{self, Change},
        disk::Dir,
    },
    frame::{self, Kind},
    segment::{self, End, HEADER, Header, Segment},
};
use crate::clock::{Clock, Timestamp};

/// What a change is worth to compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worth {
    /// It still means something.
    Live,
    /// Something later took its place; it may stay a while.
    Stale,
    /// Someone deleted it: it has to go.
    Deleted,
    /// Someone took its text out: that has to go, the rest still means something.
    Emptied,
}

/// What rewriting a segment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// Bytes of the file before.
    pub(crate) before: u64,
    /// Bytes of the file after; the same where it was left as it is.
    pub(crate) after: u64,
}

/// Writes `segment` again with only its live changes; leaves it as it is where nothing in it was deleted and less than
/// half of it is stale.
///
/// The old file stays: [`remove_replaced`] takes it away later.
pub(crate) fn rewrite<E: From<OpenError>>(
    dir: &Dir,
    segment: &Segment,
    clock: &Clock,
    mut worth: impl FnMut(&Change) -> Result<Worth, E>,
) -> Result<Rewrite, E> {
    let mut bytes = vec![0; HEADER];
    let (mut used, mut deleted) = (HEADER, false);
    let (end, _) = segment.walk(&dir.disk, |number, payload, offset| {
        let changes: Vec<Change> =
            codec::decode(payload).map_err(|error| segment.damaged(offset, error.to_string()))?;
        used += payload.len();
        let mut live = Vec::with_capacity(changes.len());
        for change in changes {
            match worth(&change)? {
                Worth::Live => live.push(change),
                Worth::Stale => {}
                Worth::Deleted => deleted = true,
                Worth::Emptied => {
                    deleted = true;
                    live.push(change.emptied());
                }
            }
        }
        if !live.is_empty() {
            frame::write(segment.header.seed(), Kind::Data, number, &codec::encode(&live), &mut bytes);
        }
        Ok::<(), E>(())
    })?;
    let End::Sealed { next_frame } = end else {
        return Err(segment.damaged(HEADER, "an open segment can't be compacted").into());
    };
    if !deleted && bytes.len() * 2 > used {
        return Ok(Rewrite { before: segment.length, after: segment.length });
    }
    frame::write(segment.header.seed(), Kind::Seal, next_frame, &[], &mut bytes);
    let header = Header {
        format: segment::FORMAT,
        generation: segment.header.generation + 1,
        complete: false,
        created_at: clock.now(),
        ..segment.header
    };
    let path = header.path(dir);
    write_complete(dir, &header, &bytes).map_err(|source| OpenError::Io { path, source })?;
    Ok(Rewrite { before: segment.length, after: bytes.len() as u64 })
}

/// Writes the file, makes it durable, and only then marks it as complete.
fn write_complete(dir: &Dir, header: &Header, bytes: &[u8]) -> io::Result<()> {
    // A try that was interrupted before may have left the same name.
    match dir.disk.remove(&header.path(dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = header.create(dir, bytes.len() as u64)?;
    file.write_all_at(&bytes[HEADER..], HEADER as u64)?;
    file.sync_all()?;
    Header { complete: true, ..*header }.replace(&file)
}

/// Removes the segments that were replaced at least `keep` ago; gives how many bytes that freed.
pub(crate) fn remove_replaced(dir: &Dir, now: Timestamp, keep: Duration) -> Result<u64, OpenError> {
    let listing = segment::list(dir)?;
    let mut freed = 0;
    for old in &listing.replaced {
        let newer = listing.chain.iter().find(|newer| newer.header.number == old.header.number);
        if let Some(newer) = newer.filter(|newer| now.since(newer.header.created_at) >= keep) {
            // It may be complete in the system's memory only, where the last sync failed or was not reached.
            let replaced = dir.disk.open(&newer.path).and_then(|file| newer.header.replace(&file));
            replaced.map_err(|source| OpenError::Io { path: newer.path.clone(), source })?;
            dir.disk.remove(&old.path).map_err(|source| OpenError::Io { path: old.path.clone(), source })?;
            freed += old.length;
        }
    }
    if freed > 0 {
        dir.sync().map_err(|source| OpenError::Io { path: dir.path.clone(), source })?;
    }
    Ok(freed)
}
