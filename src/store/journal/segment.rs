//! Segments: the journal's files, their headers, and the chain that they form.
//!
//! `NUMBER.GENERATION.journal`: segments are numbered 1, 2, 3, ...; compaction writes a segment again under the next
//! generation, and the newest complete generation of each number is the chain. A missing number is an error, not a gap.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{
        OpenError,
        disk::{Dir, Disk, DiskFile},
    },
    frame::{self, Found, Kind, Seed},
};
use crate::clock::Timestamp;

/// The header's length: frames begin here.
pub(crate) const HEADER: usize = 64;

/// The format of the segments that this program makes, and the newest that it knows: that of the changes in them.
pub(crate) const FORMAT: u32 = 4;

const MAGIC: [u8; 8] = *b"bondhuJ\n";

/// A segment's file is born this close to the time in its header; a copy is not.
const MADE_WITHIN: Duration = Duration::from_millis(100);

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which journal it belongs to: made at random with the first segment.
    pub(crate) journal: [u8; 16],
    /// The format of the changes in it.
    pub(crate) format: u32,
    /// Its place in the chain, from 1.
    pub(crate) number: u64,
    /// How often it was rewritten; it replaces the generation before.
    pub(crate) generation: u32,
    /// False while a rewritten segment is still being written: it counts for nothing.
    pub(crate) complete: bool,
    /// The number that its first frame has (or had, before compaction).
    pub(crate) first_frame: u64,
    /// When it was made.
    pub(crate) created_at: Timestamp,
}

/// A segment of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// Length of the file, bytes.
    pub(crate) length: u64,
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// With a seal that names the next frame.
    Sealed { next_frame: u64 },
    /// Frames may be added at `offset`; `torn` where an interrupted write stands there.
    Open { offset: usize, torn: bool },
}

/// Why a segment was not made.
#[derive(Debug)]
pub(crate) enum CreateError {
    /// Nothing is left of it; a later try may succeed.
    NoRoom(io::Error),
    /// A sync failed: the disk is in doubt.
    NotSynced(io::Error),
}

impl From<CreateError> for io::Error {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::NoRoom(error) | CreateError::NotSynced(error) => error,
        }
    }
}

/// What the directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// The chain, in order.
    pub(crate) chain: Vec<Segment>,
    /// Segments that a newer generation replaced.
    pub(crate) replaced: Vec<Segment>,
    /// Rewritten segments of a copy, which is read by the older ones that came with them.
    pub(crate) passed_over: Vec<PathBuf>,
    /// Files that were never finished.
    pub(crate) unfinished: Vec<PathBuf>,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.format.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_frame.to_le_bytes());
        bytes[32..48].copy_from_slice(&self.journal);
        bytes[48..56].copy_from_slice(&self.created_at.0.to_le_bytes());
        bytes[56..60].copy_from_slice(&u32::from(self.complete).to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; HEADER], path: &Path) -> Result<Self, OpenError> {
        let damaged = |what: &str| OpenError::Damaged { path: path.to_owned(), offset: 0, what: what.to_owned() };
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        if bytes[..8] != MAGIC || crc32fast::hash(&bytes[..60]) != word(60) {
            return Err(damaged("the segment's header is wrong"));
        }
        if word(8) > FORMAT {
            return Err(OpenError::Newer { path: path.to_owned(), found: word(8), known: FORMAT });
        }
        let mut journal = [0; 16];
        journal.copy_from_slice(&bytes[32..48]);
        Ok(Self {
            journal,
            format: word(8),
            number: long(16),
            generation: word(12),
            complete: word(56) != 0,
            first_frame: long(24),
            created_at: Timestamp(long(48).cast_signed()),
        })
    }

    /// Where the checksums of its frames begin.
    pub(crate) fn seed(&self) -> Seed {
        Seed::of(&self.journal)
    }

    /// Where a segment with this header stands.
    pub(crate) fn path(&self, dir: &Dir) -> PathBuf {
        dir.join(&segment_name(self.number, self.generation))
    }

    /// Makes the segment's file, preallocated to `length` bytes, and makes it durable with its directory entry.
    pub(crate) fn create(&self, dir: &Dir, length: u64) -> Result<DiskFile, CreateError> {
        let path = self.path(dir);
        let file = dir.disk.create(&path).map_err(CreateError::NoRoom)?;
        if let Err(error) = file.reserve(length).and_then(|()| file.write_all_at(&self.encode(), 0)) {
            // A file without its space would only be in the way of the next try.
            let _ = dir.disk.remove(&path);
            return Err(CreateError::NoRoom(error));
        }
        file.sync_all().and_then(|()| dir.sync()).map_err(CreateError::NotSynced)?;
        Ok(file)
    }

    /// Writes this header over the one of `file`, and makes it durable.
    pub(crate) fn replace(&self, file: &DiskFile) -> io::Result<()> {
        file.write_all_at(&self.encode(), 0)?;
        file.sync_all()
    }
}

/// What a segment's file is called.
pub(crate) fn segment_name(number: u64, generation: u32) -> String {
    format!("{number:010}.{generation:03}.journal")
}

/// Reads the directory and finds the chain.
pub(crate) fn list(dir: &Dir) -> Result<Listing, OpenError> {
    let mut listing = Listing::default();
    let mut by_number: BTreeMap<u64, Vec<Segment>> = BTreeMap::new();
    let io = |source| OpenError::Io { path: dir.path.clone(), source };
    for path in dir.disk.list(&dir.path).map_err(io)? {
        if path.extension().is_none_or(|extension| extension != "journal") {
            continue;
        }
        match read_header(&dir.disk, &path)? {
            Some(segment) => by_number.entry(segment.header.number).or_default().push(segment),
            None => listing.unfinished.push(path),
        }
    }
    for (number, mut generations) in by_number {
        generations.sort_by_key(|segment| segment.header.generation);
        while let Some(newest) = generations.pop_if(|newest| !newest.header.complete) {
            listing.unfinished.push(newest.path);
        }
        // A copy may have a rewritten segment and lack what came between the two: an older generation lacks nothing.
        // What was rewritten in this very directory comes after the copying, so it lacks nothing either.
        if generations.len() > 1 && generations.last().is_some_and(|newest| newest.is_copy(&dir.disk)) {
            listing.passed_over.extend(generations.drain(1..).map(|newer| newer.path));
        }
        let Some(newest) = generations.pop() else { continue };
        let expected = listing.chain.last().map_or(1, |last| last.header.number + 1);
        if number != expected {
            let missing = Header { number: expected, generation: 0, ..newest.header }.path(dir);
            return Err(OpenError::Damaged { path: missing, offset: 0, what: "the segment is missing".to_owned() });
        }
        if listing.chain.last().is_some_and(|last| last.header.journal != newest.header.journal) {
            let what = "the segment belongs to another journal".to_owned();
            return Err(OpenError::Damaged { path: newest.path, offset: 0, what });
        }
        listing.chain.push(newest);
        listing.replaced.append(&mut generations);
    }
    Ok(listing)
}

/// The segment at `path`; nothing where its making was interrupted.
fn read_header(disk: &Disk, path: &Path) -> Result<Option<Segment>, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let file = disk.open_to_read(path).map_err(io)?;
    let length = file.length().map_err(io)?;
    let mut bytes = [0; HEADER];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) if bytes == [0; HEADER] => return Ok(None),
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(io(error)),
    }
    let header = Header::decode(&bytes, path)?;
    Ok(Some(Segment { path: path.to_owned(), header, length }))
}

impl Segment {
    /// Reads the file and gives every data frame (number, payload, offset) to `each`, in order; gives how it ends, and
    /// which bytes its last frame takes.
    ///
    /// Bytes that no interrupted write explains are [`OpenError::Damaged`].
    pub(crate) fn walk<E: From<OpenError>>(
        &self,
        disk: &Disk,
        each: impl FnMut(u64, &[u8], usize) -> Result<(), E>,
    ) -> Result<(End, Range<usize>), E> {
        let bytes = disk.read(&self.path).map_err(|source| OpenError::Io { path: self.path.clone(), source })?;
        self.walk_bytes(disk, &bytes, each)
    }

    /// The segment that the file at `path` is, where its `bytes` are at hand.
    pub(crate) fn of_bytes(path: &Path, bytes: &[u8]) -> Result<Self, OpenError> {
        let Some(header) = bytes.first_chunk() else {
            let what = "the file is shorter than a header".to_owned();
            return Err(OpenError::Damaged { path: path.to_owned(), offset: 0, what });
        };
        let header = Header::decode(header, path)?;
        Ok(Self { path: path.to_owned(), header, length: bytes.len() as u64 })
    }

    /// [`Segment::walk`], where the file's `bytes` are at hand.
    pub(crate) fn walk_bytes<E: From<OpenError>>(
        &self,
        disk: &Disk,
        bytes: &[u8],
        mut each: impl FnMut(u64, &[u8], usize) -> Result<(), E>,
    ) -> Result<(End, Range<usize>), E> {
        let seed = self.header.seed();
        let mut offset = HEADER;
        let mut last = HEADER..HEADER;
        let mut expected = self.header.first_frame;
        loop {
            match frame::read(seed, bytes, offset) {
                Found::Frame(header, payload, length) => {
                    let dense = self.header.generation == 0;
                    if header.number < expected || (dense && header.number != expected) {
                        return Err(self.damaged(offset, "a frame is missing before this one").into());
                    }
                    match header.kind {
                        Kind::Data => {
                            let Some(next) = header.number.checked_add(1) else {
                                return Err(self.damaged(offset, "no frame can have this number").into());
                            };
                            each(header.number, payload, offset)?;
                            expected = next;
                        }
                        Kind::Stop => {}
                        Kind::Seal => {
                            return Ok((End::Sealed { next_frame: header.number }, offset..offset + length));
                        }
                    }
                    last = offset..offset + length;
                    offset += length;
                }
                Found::Damaged(what) => return Err(self.damaged(offset, what).into()),
                found @ (Found::Nothing | Found::Torn) => {
                    if frame::next_whole(seed, bytes, offset).is_some() && !self.is_copy(disk) {
                        return Err(self.damaged(offset, "a frame is missing, and whole ones follow").into());
                    }
                    let rest = bytes.get(offset..).unwrap_or(&[]);
                    let torn = found == Found::Torn || rest.iter().any(|&byte| byte != 0);
                    return Ok((End::Open { offset, torn }, last));
                }
            }
        }
    }

    /// True where the file is not the one that was made with this header.
    ///
    /// A copy of a file that grows has each page as it was when the copy came to it: a page that was read before a frame
    /// was written to it, and behind it a page that was read later. Whatever stands behind such a gap came after the copy
    /// began, so it is cut as a torn end is; in the original file, a gap is damage.
    fn is_copy(&self, disk: &Disk) -> bool {
        let born = disk.born(&self.path);
        let made = u64::try_from(self.header.created_at.0).map(Duration::from_micros);
        // Where the file system keeps no birth time, nothing shows that it is a copy.
        matches!((born, made), (Some(born), Ok(made)) if born.abs_diff(made) > MADE_WITHIN)
    }

    /// Writes the header and the frame at `last` again, and makes them durable with the segment's name.
    ///
    /// A process may have died between writing them and syncing them, or of a sync that failed: then they can be read,
    /// because the system has them in memory, but they need not be on the disk, and a sync alone need not write what the
    /// system takes for written.
    pub(crate) fn confirm(&self, dir: &Dir, last: &Range<usize>) -> io::Result<()> {
        let file = dir.disk.open(&self.path)?;
        // The padding behind it may be cut off.
        let end = last.end.min(usize::try_from(self.length).unwrap_or(usize::MAX));
        let mut frame = vec![0; end - last.start];
        file.read_exact_at(&mut frame, last.start as u64)?;
        file.write_all_at(&frame, last.start as u64)?;
        self.header.replace(&file)?;
        dir.sync()
    }

    /// Damage in this segment.
    pub(crate) fn damaged(&self, offset: usize, what: impl Into<String>) -> OpenError {
        OpenError::Damaged { path: self.path.clone(), offset: offset as u64, what: what.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    fn dir() -> (tempfile::TempDir, Dir) {
        let keep = tempfile::tempdir().unwrap();
        let dir = Dir::of(keep.path());
        (keep, dir)
    }

    fn header(number: u64, generation: u32) -> Header {
        Header {
            format: FORMAT,
            journal: [5; 16],
            number,
            generation,
            complete: true,
            first_frame: number * 100,
            created_at: Timestamp(1), // Long ago: a file with it counts as a copy.
        }
    }

    fn numbers(listing: &Listing) -> Vec<(u64, u32)> {
        listing.chain.iter().map(|segment| (segment.header.number, segment.header.generation)).collect()
    }

    #[test]
    fn the_newest_complete_generation_of_each_number_is_the_chain() {
        let (_keep, dir) = dir();
        let original = |number, generation| Header { created_at: Clock::System.now(), ..header(number, generation) };
        for (number, generation) in [(1, 0), (2, 0), (2, 1), (3, 0)] {
            original(number, generation).create(&dir, 4096).unwrap();
        }
        Header { complete: false, ..original(3, 1) }.create(&dir, 4096).unwrap();
        std::fs::write(dir.join("0000000004.000.journal"), [0; 100]).unwrap();
        let listing = list(&dir).unwrap();
        assert_eq!(numbers(&listing), [(1, 0), (2, 1), (3, 0)]);
        assert_eq!((listing.replaced.len(), listing.unfinished.len()), (1, 2));
    }

    #[test]
    fn p7_a_copy_begins_with_the_oldest_generation_that_it_has() {
        let (_keep, dir) = dir();
        for generation in [0, 1] {
            // A copy's file was not born at the time in its header.
            header(1, generation).create(&dir, 4096).unwrap();
        }
        let listing = list(&dir).unwrap();
        assert_eq!((numbers(&listing), listing.passed_over.len()), (vec![(1, 0)], 1));
    }

    #[test]
    fn what_was_compacted_in_a_copy_stays_compacted() {
        let (_keep, dir) = dir();
        header(1, 0).create(&dir, 4096).unwrap();
        Header { created_at: Clock::System.now(), ..header(1, 1) }.create(&dir, 4096).unwrap();
        let listing = list(&dir).unwrap();
        assert_eq!((numbers(&listing), listing.replaced.len()), (vec![(1, 1)], 1));
    }

    #[test]
    fn a_missing_segment_is_an_error_that_names_it() {
        let (_keep, dir) = dir();
        for number in [1, 3] {
            header(number, 0).create(&dir, 4096).unwrap();
        }
        let error = list(&dir).unwrap_err().to_string();
        assert!(error.contains("0000000002.000.journal") && error.contains("missing"), "{error}");
    }

    #[test]
    fn p8_a_number_behind_which_there_is_none_is_damage() {
        let header = Header { first_frame: u64::MAX, ..header(1, 0) };
        let mut bytes = header.encode().to_vec();
        frame::write(header.seed(), Kind::Data, u64::MAX, b"last", &mut bytes);
        let segment = Segment { path: PathBuf::from("none"), header, length: bytes.len() as u64 };
        let walked = segment.walk_bytes::<OpenError>(&Disk::default(), &bytes, |_, _, _| Ok(()));
        assert!(matches!(walked, Err(OpenError::Damaged { .. })), "{walked:?}");
    }

    #[test]
    fn a_header_with_a_flipped_bit_is_damage() {
        let (_keep, dir) = dir();
        let bytes = header(1, 0).encode();
        for bit in 0..HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, &dir.path).is_err(), "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes, &dir.path).unwrap(), header(1, 0));
    }
}
