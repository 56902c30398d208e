//! The journal: the truth. Every acknowledged change, in order, in segments of checksummed frames.
//!
//! A frame is what one group commit makes durable with one `fdatasync`. After a failed sync the disk is in doubt, so the
//! journal takes nothing more: it is never retried.

mod compact;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod segment;

use std::{
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

pub(crate) use compact::{Worth, remove_replaced, rewrite};
use frame::Seed;
use segment::{CreateError, Header};
pub(crate) use segment::{End, FORMAT, Segment, list, segment_name};

use super::{
    OpenError,
    codec::{self, Change},
    disk::{Dir, Disk, DiskFile},
};
use crate::clock::Clock;

/// Below this, every segment's checksums are verified at each start; above it, only those that are replayed.
const VERIFY_ALL_MAX: u64 = 512 << 20;

/// Why changes were not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    /// Nothing was written: there is no room for another segment.
    #[error("no room for a new segment: {0}")]
    NoRoom(#[source] io::Error),
    /// The write failed and was taken back; the next one may succeed.
    #[error("the write failed: {0}")]
    NotWritten(#[source] io::Error),
    /// The disk is in doubt: nothing may be written any more.
    #[error("writing has ended: {0}")]
    Ended(#[source] io::Error),
}

impl From<CreateError> for JournalError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::NoRoom(error) => Self::NoRoom(error),
            CreateError::NotSynced(error) => Self::Ended(error),
        }
    }
}

/// The end of the journal, open for writing.
pub(crate) struct Journal {
    dir: Dir,
    id: [u8; 16],
    segment_bytes: u64,
    clock: Clock,
    file: DiskFile,
    path: PathBuf,
    /// The segment's number.
    number: u64,
    /// True where the segment is sealed and the next one could not be made yet.
    sealed: bool,
    /// Where the next frame goes.
    offset: u64,
    next_frame: u64,
    buffer: Vec<u8>,
}

/// What is known of a journal before it is opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// Replay begins with this frame.
    pub(crate) from: u64,
    /// The journal has written every frame before this one: if they are not there, acknowledged changes are missing.
    pub(crate) next_frame: u64,
}

impl Journal {
    /// Opens the journal in `dir` (making it where it is empty), gives every frame from `known.from` on to `replay`, and
    /// cuts a torn end.
    pub(crate) fn open(
        dir: &Dir,
        segment_bytes: u64,
        clock: &Clock,
        known: Known,
        mut replay: impl FnMut(u64, Vec<Change>) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        let io = |path: &Path, source| OpenError::Io { path: path.to_owned(), source };
        let from = known.from;
        let listing = segment::list(dir)?;
        for path in &listing.unfinished {
            tracing::info!(path = %path.display(), "removing a segment that was never finished");
            dir.disk.remove(path).map_err(|error| io(path, error))?;
        }
        let bytes: u64 = listing.chain.iter().map(|segment| segment.length).sum();
        let mut reached = Reached { next_frame: 1, open: None, last: segment::HEADER..segment::HEADER };
        for (index, segment) in listing.chain.iter().enumerate() {
            let next = listing.chain.get(index + 1);
            if bytes > VERIFY_ALL_MAX && next.is_some_and(|next| next.header.first_frame <= from) {
                reached.next_frame = next.map_or(reached.next_frame, |next| next.header.first_frame);
                continue;
            }
            reached = read_segment((&dir.disk, segment), reached.next_frame, next.is_none(), from, &mut replay)?;
        }
        let Reached { next_frame, open, last: last_frame } = reached;
        if next_frame < known.next_frame {
            return Err(ends_early(listing.chain.last(), &dir.path, next_frame, open, known));
        }
        let mut journal = Self {
            dir: dir.clone(),
            id: [0; 16],
            segment_bytes,
            clock: clock.clone(),
            file: dir.disk.open_to_read(&dir.path).map_err(|error| io(&dir.path, error))?,
            path: dir.path.clone(),
            number: 0,
            sealed: true,
            offset: 0,
            next_frame,
            buffer: Vec::new(),
        };
        match listing.chain.last() {
            None => getrandom::fill(&mut journal.id).map_err(|error| io(&dir.path, error.into()))?,
            Some(last) => {
                journal.id = last.header.journal;
                journal.number = last.header.number;
                last.confirm(dir, &last_frame).map_err(|error| io(&last.path, error))?;
                if last.header.format < segment::FORMAT {
                    let (before, now) = (last.header.format, segment::FORMAT);
                    tracing::info!(before, now, "the journal goes on in a newer format, which older programs refuse");
                }
                if let Some((offset, torn)) = open {
                    journal.take_over(last, offset, torn).map_err(|error| io(&last.path, error))?;
                    if last.header.format < segment::FORMAT {
                        // An older program must not find newer changes in a segment that it takes for its own.
                        journal.seal().map_err(|error| io(&last.path, io::Error::other(error)))?;
                    }
                }
            }
        }
        if journal.sealed {
            journal.create_next().map_err(|error| io(&dir.path, error.into()))?;
        }
        // Only now: what was read instead of them is whole.
        for path in &listing.passed_over {
            tracing::info!(path = %path.display(), "removing a rewritten segment of a copy; the older one has everything");
            dir.disk.remove(path).map_err(|error| io(path, error))?;
        }
        Ok(journal)
    }

    /// Which journal this is.
    pub(crate) fn id(&self) -> [u8; 16] {
        self.id
    }

    /// The number that the next frame gets.
    pub(crate) fn next_frame(&self) -> u64 {
        self.next_frame
    }

    /// Writes `changes` as one frame and makes it durable; gives the frame's length in bytes.
    pub(crate) fn append_and_sync(&mut self, changes: &[Change]) -> Result<u64, JournalError> {
        let payload =
            codec::encode_changes(changes).map_err(|error| JournalError::NotWritten(io::Error::other(error)))?;
        let seed = Seed::of(&self.id);
        self.buffer.clear();
        frame::write(seed, frame::Kind::Data, self.next_frame, &payload, &mut self.buffer);
        if self.offset + self.buffer.len() as u64 > self.segment_bytes && self.offset > segment::HEADER as u64 {
            self.seal()?;
        }
        if self.sealed {
            self.create_next()?;
        }
        self.write_and_sync()?;
        self.next_frame += 1;
        Ok(self.buffer.len() as u64)
    }

    /// Seals the segment that is written and starts the next: everything before is ready for compaction.
    pub(crate) fn rotate(&mut self) -> Result<(), JournalError> {
        if !self.sealed && self.offset > segment::HEADER as u64 {
            self.seal()?;
        }
        if self.sealed { Ok(self.create_next()?) } else { Ok(()) }
    }

    /// Marks a clean stop and gives the unused space back.
    pub(crate) fn stop(&mut self) -> Result<(), JournalError> {
        if self.sealed {
            return Ok(());
        }
        self.buffer.clear();
        let seed = Seed::of(&self.id);
        frame::write(seed, frame::Kind::Stop, self.next_frame, &[], &mut self.buffer);
        self.write_and_sync()?;
        self.file.set_len(self.offset).and_then(|()| self.file.sync_all()).map_err(JournalError::Ended)
    }

    fn seal(&mut self) -> Result<(), JournalError> {
        let data = std::mem::take(&mut self.buffer);
        let seed = Seed::of(&self.id);
        frame::write(seed, frame::Kind::Seal, self.next_frame, &[], &mut self.buffer);
        let sealed = self.write_and_sync();
        self.buffer = data;
        sealed?;
        self.sealed = true;
        // What was reserved and not needed; a failure costs only the space.
        if let Err(error) = self.file.set_len(self.offset) {
            tracing::warn!(path = %self.path.display(), %error, "the unused end of a segment stays reserved");
        }
        Ok(())
    }

    /// Writes the buffer at the end and makes it durable.
    fn write_and_sync(&mut self) -> Result<(), JournalError> {
        if let Err(error) = self.file.write_all_at(&self.buffer, self.offset) {
            return match self.cut() {
                Ok(()) => Err(JournalError::NotWritten(error)),
                Err(cut) => {
                    tracing::error!(path = %self.path.display(), %error, %cut, "a torn write can't be cut");
                    Err(JournalError::Ended(cut))
                }
            };
        }
        self.file.sync_data().map_err(JournalError::Ended)?;
        self.offset += self.buffer.len() as u64;
        Ok(())
    }

    /// Removes whatever stands behind the last whole frame.
    fn cut(&self) -> io::Result<()> {
        self.file.set_len(self.offset)?;
        self.file.reserve(self.segment_bytes.max(self.offset))?;
        self.file.sync_all()
    }

    fn take_over(&mut self, last: &Segment, offset: usize, torn: bool) -> io::Result<()> {
        self.file = self.dir.disk.open(&last.path)?;
        self.path.clone_from(&last.path);
        self.offset = offset as u64;
        self.sealed = false;
        if torn {
            tracing::warn!(path = %last.path.display(), offset, "cutting a write that was interrupted");
        }
        if torn || last.length < self.segment_bytes { self.cut() } else { Ok(()) }
    }

    fn create_next(&mut self) -> Result<(), CreateError> {
        let header = Header {
            journal: self.id,
            format: segment::FORMAT,
            number: self.number + 1,
            generation: 0,
            complete: true,
            first_frame: self.next_frame,
            created_at: self.clock.now(),
        };
        let room = self.segment_bytes.max((segment::HEADER + self.buffer.len()) as u64);
        self.file = header.create(&self.dir, room)?;
        self.path = header.path(&self.dir);
        self.number = header.number;
        self.offset = segment::HEADER as u64;
        self.sealed = false;
        Ok(())
    }
}

/// How far a segment goes.
struct Reached {
    /// The number of the frame after it.
    next_frame: u64,
    /// Of an open end, its offset and whether it is torn.
    open: Option<(usize, bool)>,
    /// Where its last frame stands.
    last: Range<usize>,
}

/// Reads one segment of the chain.
fn read_segment(
    (disk, segment): (&Disk, &Segment),
    expected: u64,
    is_last: bool,
    from: u64,
    replay: &mut impl FnMut(u64, Vec<Change>) -> Result<(), OpenError>,
) -> Result<Reached, OpenError> {
    if segment.header.first_frame != expected {
        return Err(
            segment.damaged(0, format!("it begins with frame {} where {expected} comes", segment.header.first_frame))
        );
    }
    let mut next_frame = expected;
    let (end, last) = segment.walk(disk, |number, payload, offset| {
        next_frame = number + 1;
        if number < from {
            return Ok(());
        }
        let changes = codec::decode(payload).map_err(|error| segment.damaged(offset, error.to_string()))?;
        replay(number, changes)
    })?;
    match end {
        End::Sealed { next_frame } => Ok(Reached { next_frame, open: None, last }),
        End::Open { offset, torn } if is_last => Ok(Reached { next_frame, open: Some((offset, torn)), last }),
        End::Open { offset, .. } => Err(segment.damaged(offset, "the segment's end is missing")),
    }
}

fn ends_early(
    last: Option<&Segment>,
    dir: &Path,
    next_frame: u64,
    open: Option<(usize, bool)>,
    known: Known,
) -> OpenError {
    OpenError::Damaged {
        path: last.map_or_else(|| dir.to_owned(), |last| last.path.clone()),
        offset: open.map_or(0, |(offset, _)| offset as u64),
        what: format!(
            "it ends before frame {next_frame}, but frames up to {} were acknowledged; if an older backup was put in \
             place on purpose, remove the index folder",
            known.next_frame - 1
        ),
    }
}

/// Where a journal that was read ends.
pub(crate) struct Ended {
    /// The number of the frame that would come next.
    pub(crate) next_frame: u64,
    /// True where the last segment is sealed: nothing in it shows that none came after it.
    pub(crate) is_sealed: bool,
}

/// Reads the whole chain without changing anything, for `check`: gives every frame to `each`, and where it ends.
pub(crate) fn read_all(
    dir: &Dir,
    mut progress: impl FnMut(u64),
    mut each: impl FnMut(u64, Vec<Change>) -> Result<(), OpenError>,
) -> Result<Ended, OpenError> {
    let listing = segment::list(dir)?;
    let mut ended = Ended { next_frame: 1, is_sealed: false };
    for (index, segment) in listing.chain.iter().enumerate() {
        let is_last = index + 1 == listing.chain.len();
        let reached = read_segment((&dir.disk, segment), ended.next_frame, is_last, 0, &mut each)?;
        ended = Ended { next_frame: reached.next_frame, is_sealed: reached.open.is_none() };
        progress(segment.length);
    }
    Ok(ended)
}

#[cfg(test)]
mod tests;
