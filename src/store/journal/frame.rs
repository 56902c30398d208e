//! Frames: how changes stand in a segment, and how a torn end is told from damage.
//!
//! A frame is a header of 32 bytes and a payload, padded to a multiple of 32. So no header crosses a sector (512 bytes):
//! after a power cut it is there whole or not at all, and a header that is neither empty nor right is damage. Segments
//! are preallocated, so what was never written reads as zeros: a payload whose checksum is wrong was torn if one of its
//! sectors is still empty, or its end is, and is damaged if not. A write that was cut short may end in a header, too.

use super::super::codec;

/// Frames start at multiples of this, and headers have this length.
pub(crate) const ALIGN: usize = 32;

const MAGIC: [u8; 4] = *b"bFrm";
const SECTOR: usize = 512;
/// No payload of ours ends with so many zeros.
const EMPTY_END: usize = 16;
/// Where a header has its own checksum.
const CHECKED: usize = 24;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Changes.
    Data,
    /// The segment is complete; the frame's number is the one that comes after it.
    Seal,
    /// The server stopped cleanly here.
    Stop,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    /// The payload's length, bytes.
    pub(crate) length: usize,
    /// Data frames of a journal are numbered 1, 2, 3, ... for ever; compaction keeps the numbers.
    pub(crate) number: u64,
    checksum: u32,
}

/// What stands at a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// A whole frame, and the length that it takes.
    Frame(Header, &'a [u8], usize),
    /// Nothing was written here.
    Nothing,
    /// A write that did not reach the disk whole.
    Torn,
    /// Bytes that no interrupted write explains.
    Damaged(&'static str),
}

/// Where a journal's checksums begin: made from its random id, so that nobody can write a message that holds a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn of(journal: &[u8; 16]) -> Self {
        Self(crc32fast::hash(journal))
    }

    pub(super) fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        hasher.finalize()
    }
}

/// Adds a frame to `out`.
pub(crate) fn write(seed: Seed, kind: Kind, number: u64, payload: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(MAGIC);
    out.extend([kind as u8, 0, 0, 0]);
    out.extend(u32::try_from(payload.len()).expect("a frame is bounded far below 4 GiB").to_le_bytes());
    out.extend(number.to_le_bytes());
    out.extend(seed.checksum(payload).to_le_bytes());
    let header = seed.checksum(&out[start..]);
    out.extend(header.to_le_bytes());
    out.extend([0; 4]);
    out.extend(payload);
    out.resize(start + ALIGN + payload.len().next_multiple_of(ALIGN), 0);
}

/// Looks at what stands at `offset` (a multiple of [`ALIGN`]) of a segment's bytes.
pub(crate) fn read(seed: Seed, segment: &[u8], offset: usize) -> Found<'_> {
    let Some(rest) = segment.get(offset..) else { return Found::Nothing };
    if rest.is_empty() {
        return Found::Nothing;
    }
    let Some((head, rest)) = rest.split_first_chunk::<ALIGN>() else {
        // The file ends in the middle of a header: it was cut there.
        return Found::Torn;
    };
    if *head == [0; ALIGN] {
        return Found::Nothing;
    }
    let Some(header) = parse(seed, head) else {
        let is_cut_short = head[CHECKED..].iter().chain(rest).all(|&byte| byte == 0);
        return if is_cut_short { Found::Torn } else { Found::Damaged("a frame's header is wrong") };
    };
    let Some(payload) = rest.get(..header.length) else { return Found::Torn };
    if seed.checksum(payload) == header.checksum {
        return Found::Frame(header, payload, ALIGN + header.length.next_multiple_of(ALIGN));
    }
    if has_empty_sector(payload, offset + ALIGN) || ends_empty(payload) {
        Found::Torn
    } else {
        Found::Damaged("a frame's checksum is wrong")
    }
}

/// The offset of the next whole frame after `offset`, if there is one: what stands before it is no torn end.
pub(crate) fn next_whole(seed: Seed, segment: &[u8], offset: usize) -> Option<usize> {
    (offset + ALIGN..segment.len())
        .step_by(ALIGN)
        .find(|&at| segment[at..].starts_with(&MAGIC) && matches!(read(seed, segment, at), Found::Frame(..)))
}

fn parse(seed: Seed, head: &[u8; ALIGN]) -> Option<Header> {
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let zeros = head[5..8] == [0; 3] && head[28..] == [0; 4];
    if head[..4] != MAGIC || seed.checksum(&head[..CHECKED]) != word(CHECKED) || !zeros {
        return None;
    }
    let kind = match head[4] {
        0 => Kind::Data,
        1 => Kind::Seal,
        2 => Kind::Stop,
        _ => return None,
    };
    let length = usize::try_from(word(8)).ok()?;
    if length as u64 > codec::BYTES_MAX {
        return None;
    }
    let number = u64::from(word(12)) | u64::from(word(16)) << 32;
    Some(Header { kind, length, number, checksum: word(20) })
}

/// True where a sector that the payload (starting at `start` of the file) touches holds nothing of it.
fn has_empty_sector(payload: &[u8], start: usize) -> bool {
    let first = (SECTOR - start % SECTOR).min(payload.len());
    let (head, rest) = payload.split_at(first);
    let empty = |part: &[u8]| !part.is_empty() && part.iter().all(|&byte| byte == 0);
    empty(head) || rest.chunks(SECTOR).any(empty)
}

/// True where the end of the payload was never written: the system took a part of the write only.
fn ends_empty(payload: &[u8]) -> bool {
    payload.len() >= EMPTY_END && payload[payload.len() - EMPTY_END..].iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: Seed = Seed(7);

    fn two_frames() -> (Vec<u8>, usize) {
        let mut bytes = Vec::new();
        write(SEED, Kind::Data, 1, &[7; 1000], &mut bytes);
        let second = bytes.len();
        write(SEED, Kind::Data, 2, b"two", &mut bytes);
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, second)
    }

    #[test]
    fn frames_come_back_and_the_end_is_nothing() {
        let (bytes, second) = two_frames();
        let Found::Frame(header, payload, length) = read(SEED, &bytes, 0) else { panic!("no first frame") };
        assert_eq!((header.number, payload, length), (1, &[7; 1000][..], second));
        let Found::Frame(header, payload, length) = read(SEED, &bytes, second) else { panic!("no second frame") };
        assert_eq!((header.number, payload), (2, &b"two"[..]));
        assert_eq!(read(SEED, &bytes, second + length), Found::Nothing);
    }

    #[test]
    fn every_flipped_bit_is_damage_or_nothing_new() {
        let (whole, second) = two_frames();
        for bit in 0..(second + ALIGN + 3) * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let (first, next) = (read(SEED, &bytes, 0), read(SEED, &bytes, second));
            if matches!(first, Found::Frame(..)) && matches!(next, Found::Frame(..)) {
                // Only the padding behind a payload means nothing.
                assert!((ALIGN + 1000..second).contains(&(bit / 8)), "bit {bit} went unseen");
            } else {
                let bad = if matches!(first, Found::Frame(..)) { next } else { first };
                assert!(matches!(bad, Found::Damaged(_)), "bit {bit}: {bad:?}");
            }
        }
    }

    #[test]
    fn a_write_that_lost_sectors_is_torn() {
        let (whole, second) = two_frames();
        for sector in 0..second / SECTOR {
            let mut bytes = whole.clone();
            bytes[sector * SECTOR..(sector + 1) * SECTOR].fill(0);
            let found = read(SEED, &bytes, 0);
            assert!(matches!(found, Found::Torn | Found::Nothing), "sector {sector}: {found:?}");
            assert_eq!(next_whole(SEED, &bytes, 0), Some(second));
        }
        for cut in 1..second {
            let found = read(SEED, &whole[..cut], 0);
            let whole_enough = cut >= ALIGN + 1000;
            assert_eq!(matches!(found, Found::Torn), !whole_enough, "cut at {cut}: {found:?}");
        }
    }

    #[test]
    fn p1_a_write_that_was_cut_short_anywhere_is_torn() {
        let (whole, second) = two_frames();
        for cut in (1..=CHECKED).chain(ALIGN..ALIGN + 1000 - EMPTY_END) {
            let mut bytes = whole[..cut].to_vec();
            bytes.resize(whole.len(), 0);
            assert_eq!(read(SEED, &bytes, 0), Found::Torn, "cut at {cut}");
            // With a frame behind it, something is missing that was there.
            bytes[second..].copy_from_slice(&whole[second..]);
            let found = read(SEED, &bytes, 0);
            assert!(found != Found::Torn || next_whole(SEED, &bytes, 0).is_some(), "cut at {cut}: {found:?}");
        }
    }

    #[test]
    fn p8_a_header_with_something_where_zeros_belong_is_damage() {
        let whole = two_frames().0;
        for at in [5, 6, 7, 28, 31] {
            let mut bytes = whole.clone();
            bytes[at] = 1;
            let checksum = SEED.checksum(&bytes[..24]);
            bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
            assert!(matches!(read(SEED, &bytes, 0), Found::Damaged(_)), "byte {at}");
        }
    }

    #[test]
    fn a_frame_of_another_journal_is_none() {
        let mut payload = vec![1; 32];
        write(Seed(8), Kind::Data, 9, b"crafted by someone who knows the format", &mut payload);
        let mut bytes = Vec::new();
        write(SEED, Kind::Data, 1, &payload, &mut bytes);
        assert!(matches!(read(Seed(8), &bytes, ALIGN + 32), Found::Frame(..)));
        assert_eq!(next_whole(SEED, &bytes, 0), None);
    }
}
