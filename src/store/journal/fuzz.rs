//! What must hold for segments and frames, whatever bytes stand in the file.

use std::path::{Path, PathBuf};

use super::{
    super::{OpenError, codec, disk::Disk},
    frame::{self, ALIGN, Found, Kind, Seed},
    segment::{End, FORMAT, HEADER, Header, Segment},
};
use crate::clock::Timestamp;

/// A data frame: its number, its payload, and where it begins.
type Frame = (u64, Vec<u8>, usize);

const SECTOR: usize = 512;

/// The first byte says what the others are: a file as it is, a file with its checksums put right, or a plan to make a
/// segment and to break it.
pub(crate) fn segments(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else { return };
    match first % 3 {
        0 => any(rest),
        1 => any(&with_right_checksums(rest.to_vec())),
        _ => broken(rest),
    }
}

/// Where the checksums are right, everything behind them is reached.
fn with_right_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(header) = bytes.first_chunk_mut::<HEADER>() {
        let checksum = crc32fast::hash(&header[..60]);
        header[60..].copy_from_slice(&checksum.to_le_bytes());
    }
    let seed = segment_of(&bytes).header.seed();
    for at in (HEADER..bytes.len()).step_by(ALIGN) {
        if !bytes[at..].starts_with(b"bFrm") || bytes.len() < at + ALIGN {
            continue;
        }
        let length = u32::from_le_bytes([bytes[at + 8], bytes[at + 9], bytes[at + 10], bytes[at + 11]]);
        let payload = bytes[at + ALIGN..].get(..usize::try_from(length).unwrap_or(usize::MAX)).unwrap_or_default();
        let payload = seed.checksum(payload);
        bytes[at + 20..at + 24].copy_from_slice(&payload.to_le_bytes());
        let head = seed.checksum(&bytes[at..at + 24]);
        bytes[at + 24..at + 28].copy_from_slice(&head.to_le_bytes());
    }
    bytes
}

/// The segment whose header stands in front of `bytes`, or one that could.
fn segment_of(bytes: &[u8]) -> Segment {
    let read = bytes.first_chunk::<HEADER>().and_then(|header| {
        let read = Header::decode(header, Path::new("fuzz")).ok()?;
        assert_eq!(Header::decode(&read.encode(), Path::new("fuzz")).ok(), Some(read), "a header comes back");
        assert!(read.format <= FORMAT, "a newer format is refused");
        Some(read)
    });
    let made = Header {
        journal: [5; 16],
        format: FORMAT,
        number: 1,
        generation: 0,
        complete: true,
        first_frame: 1,
        created_at: Timestamp(1),
    };
    Segment { path: PathBuf::from("fuzz"), header: read.unwrap_or(made), length: bytes.len() as u64 }
}

fn walk(segment: &Segment, bytes: &[u8]) -> (Vec<Frame>, Result<End, OpenError>) {
    let mut frames = Vec::new();
    let walked = segment.walk_bytes(&Disk::default(), bytes, |number, payload, offset| {
        frames.push((number, payload.to_vec(), offset));
        Ok(())
    });
    (frames, walked.map(|(end, _)| end))
}

fn any(bytes: &[u8]) {
    let segment = segment_of(bytes);
    let seed = segment.header.seed();
    let (frames, end) = walk(&segment, bytes);
    let mut expected = segment.header.first_frame;
    for (number, payload, offset) in &frames {
        assert!(*number >= expected, "frames are in order");
        assert!(segment.header.generation > 0 || *number == expected, "no frame is missing");
        expected = number.saturating_add(1);
        is_written_so(seed, Kind::Data, *number, payload, &bytes[*offset..]);
        assert!(payload.len() as u64 <= codec::BYTES_MAX);
    }
    match end {
        Ok(End::Sealed { next_frame }) => assert!(next_frame >= expected, "the seal names the next frame"),
        Ok(End::Open { offset, torn }) => {
            let rest = bytes.get(offset..).unwrap_or_default();
            assert!(torn || rest.iter().all(|byte| *byte == 0), "what is left behind the end is empty");
            assert_eq!(frame::next_whole(seed, bytes, offset), None, "nothing whole is cut");
        }
        Err(OpenError::Damaged { offset, .. }) => {
            assert!(offset <= bytes.len() as u64 && offset % ALIGN as u64 == 0, "damage is named by its place");
        }
        Err(other) => panic!("bytes alone can't be {other}"),
    }
}

/// What was read is what would be written, but for the padding, which means nothing.
fn is_written_so(seed: Seed, kind: Kind, number: u64, payload: &[u8], found: &[u8]) {
    let mut written = Vec::new();
    frame::write(seed, kind, number, payload, &mut written);
    let whole = ALIGN + payload.len();
    assert!(found.starts_with(&written[..whole]), "a frame is read that was not written so");
    match frame::read(seed, &written, 0) {
        Found::Frame(header, again, length) => {
            assert_eq!((header.kind, header.number, again, length), (kind, number, payload, written.len()));
        }
        other @ (Found::Nothing | Found::Torn | Found::Damaged(_)) => panic!("what was written is {other:?}"),
    }
}

/// Makes a segment, breaks it, and wants all that was not touched, or to be told.
fn broken(plan: &[u8]) {
    let Some(([count, repeat, end, how, low, high, with, more], text)) = plan.split_first_chunk::<8>() else { return };
    let header = Header { first_frame: u64::from(*with), ..segment_of(&[]).header };
    let segment = Segment { header, ..segment_of(&[]) };
    let (mut bytes, frames) = whole(&segment, text, usize::from(count % 6 + 1), usize::from(*repeat) + 1, *end);
    let (read, _) = walk(&segment, &bytes);
    assert!(read == frames, "what was written does not come back");
    let before = bytes.clone();
    let at = usize::from(u16::from_le_bytes([*low, *high])) % (bytes.len() - HEADER) + HEADER;
    hurt(&mut bytes, *how, at, [*with, *more]);

    let (read, end) = walk(&segment, &bytes);
    assert!(frames.starts_with(&read), "another change is read than was written");
    let touched = |(_, payload, at): &Frame| {
        let place = *at..*at + ALIGN + payload.len();
        bytes.get(place.clone()) != Some(&before[place])
    };
    match end {
        Ok(_) => assert!(frames[read.len()..].iter().all(touched), "a frame is lost that nothing touched"),
        Err(OpenError::Damaged { .. }) => assert!(before != bytes, "nothing is damaged, but damage is told"),
        Err(other) => panic!("bytes alone can't be {other}"),
    }
}

/// A segment with some frames, perhaps with an end, and empty space behind them.
fn whole(segment: &Segment, text: &[u8], count: usize, repeat: usize, end: u8) -> (Vec<u8>, Vec<Frame>) {
    let mut bytes = segment.header.encode().to_vec();
    let mut frames = Vec::new();
    let seed = segment.header.seed();
    let first = segment.header.first_frame;
    for (number, piece) in (first..).zip(text.chunks((text.len() / count).max(1)).take(count)) {
        let payload = piece.repeat((repeat * piece.len()).min(4096) / piece.len() + 1);
        frames.push((number, payload.clone(), bytes.len()));
        frame::write(seed, Kind::Data, number, &payload, &mut bytes);
    }
    let next = first + frames.len() as u64;
    match end % 3 {
        0 => {}
        1 => frame::write(seed, Kind::Seal, next, &[], &mut bytes),
        _ => frame::write(seed, Kind::Stop, next, &[], &mut bytes),
    }
    bytes.resize(bytes.len() + usize::from(end) * 8 / ALIGN * ALIGN + ALIGN, 0);
    (bytes, frames)
}

/// What disks and people do to files. Changes of bits are few enough for a CRC-32 to see every one of them.
fn hurt(bytes: &mut Vec<u8>, how: u8, at: usize, with: [u8; 2]) {
    let length = bytes.len();
    match how % 6 {
        0 => {
            for (n, bit) in with.iter().enumerate() {
                let place = (at + n * usize::from(*bit)).min(length - 1);
                bytes[place] ^= 1 << (bit % 8);
            }
        }
        1 => {
            for (byte, with) in bytes[at..].iter_mut().zip(with.repeat(2)) {
                *byte = with;
            }
        }
        2 => bytes.truncate(at),
        3 => {
            let sector = at / SECTOR * SECTOR;
            bytes[sector.max(HEADER)..(sector + SECTOR).min(length)].fill(0);
        }
        4 => {
            // A write that lost any of its sectors.
            for (n, sector) in bytes[HEADER..].chunks_mut(SECTOR).enumerate() {
                if u16::from_le_bytes(with) >> (n % 16) & 1 == 1 {
                    sector.fill(0);
                }
            }
        }
        _ => {
            // An old frame in the place of a later one.
            let from = (usize::from(with[0]) * ALIGN).min(length - ALIGN) / ALIGN * ALIGN;
            let to = (at / ALIGN * ALIGN).max(HEADER);
            let taken = (usize::from(with[1]) * ALIGN).min(length - from.max(to));
            bytes.copy_within(from..from + taken, to);
        }
    }
}
