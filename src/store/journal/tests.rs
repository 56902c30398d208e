//! The journal by itself: what it gives back after stops, cuts and damage.

use super::*;
use crate::id::UserId;

const SEGMENT: u64 = 4096;

fn change(n: u8) -> Change {
    Change::UserDeleted { id: UserId::from_bytes([n; 16]) }
}

fn open(dir: &Dir) -> Result<(Journal, Vec<Change>), OpenError> {
    let mut seen = Vec::new();
    let journal = Journal::open(dir, SEGMENT, &Clock::System, Known { from: 0, next_frame: 0 }, |_, changes| {
        seen.extend(changes);
        Ok(())
    })?;
    Ok((journal, seen))
}

fn filled(dir: &Dir, count: u8) -> Vec<Change> {
    let (mut journal, _) = open(dir).unwrap();
    let changes: Vec<Change> = (0..count).map(change).collect();
    for change in &changes {
        journal.append_and_sync(std::slice::from_ref(change)).unwrap();
    }
    changes
}

#[test]
fn frames_survive_with_and_without_a_clean_stop_over_many_segments() {
    let keep = tempfile::tempdir().unwrap();
    let dir = Dir::of(keep.path());
    let mut wanted = filled(&dir, 200);
    assert!(list(&dir).unwrap().chain.len() > 3);
    let (mut journal, seen) = open(&dir).unwrap();
    assert_eq!(seen, wanted);
    journal.append_and_sync(&[change(201), change(202)]).unwrap();
    wanted.extend([change(201), change(202)]);
    journal.stop().unwrap();
    drop(journal);
    assert_eq!(open(&dir).unwrap().1, wanted);
}

#[test]
fn a_cut_end_loses_only_what_was_cut() {
    let keep = tempfile::tempdir().unwrap();
    let dir = Dir::of(keep.path());
    let wanted = filled(&dir, 20);
    let path = list(&dir).unwrap().chain[0].path.clone();
    let whole = std::fs::read(&path).unwrap();
    for end in segment::HEADER..segment::HEADER + 20 * 64 {
        std::fs::write(&path, &whole[..end]).unwrap();
        let (mut journal, seen) = open(&dir).unwrap();
        assert_eq!(seen, wanted[..seen.len()], "cut at {end}");
        // A frame here is a header and one block; the padding of the last one may be cut without loss.
        let whole = (end - segment::HEADER) / 64;
        assert!((whole..=whole + 1).contains(&seen.len()), "cut at {end}: {}", seen.len());
        journal.append_and_sync(&[change(99)]).unwrap();
        drop(journal);
        assert_eq!(open(&dir).unwrap().1.last(), Some(&change(99)));
    }
}

#[test]
fn damage_is_named_by_segment_and_offset() {
    let keep = tempfile::tempdir().unwrap();
    let dir = Dir::of(keep.path());
    filled(&dir, 10);
    let path = list(&dir).unwrap().chain[0].path.clone();
    let whole = std::fs::read(&path).unwrap();
    let fourth = segment::HEADER + 3 * 64;
    for byte in [fourth, fourth + 13, fourth + 33, fourth + 40] {
        let mut bytes = whole.clone();
        bytes[byte] ^= 0x10;
        std::fs::write(&path, &bytes).unwrap();
        match open(&dir).map(|(_, seen)| seen.len()) {
            Err(OpenError::Damaged { path: named, offset, .. }) => {
                assert_eq!((named, offset), (path.clone(), fourth as u64));
            }
            other => panic!("byte {byte}: {other:?}"),
        }
    }
    // A hole with whole frames behind it is no torn end.
    let mut bytes = whole;
    bytes[fourth..fourth + 64].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    assert!(matches!(open(&dir), Err(OpenError::Damaged { .. })));
}

#[test]
fn a_rewritten_segment_keeps_what_is_live_and_replaces_the_old_one() {
    let keep = tempfile::tempdir().unwrap();
    let dir = Dir::of(keep.path());
    filled(&dir, 200);
    let first = list(&dir).unwrap().chain[0].clone();
    // A segment with another time than its file's counts as a copy.
    let now = Clock::System.now();
    let kept = change(7);
    let rewrite = rewrite::<OpenError>(&dir, &first, &Clock::manual(now), |change| {
        Ok(if *change == kept { Worth::Live } else { Worth::Deleted })
    })
    .unwrap();
    assert!(rewrite.after < rewrite.before);
    let in_first = |seen: &[Change]| seen.iter().filter(|&change| *change == kept).count();
    let (_, seen) = open(&dir).unwrap();
    assert_eq!((in_first(&seen), seen[1].clone() == change(8)), (1, false));
    let old = list(&dir).unwrap().replaced;
    assert_eq!(old.len(), 1);
    assert_eq!(remove_replaced(&dir, now, std::time::Duration::from_secs(1)).unwrap(), 0);
    assert_eq!(
        remove_replaced(&dir, now.after(std::time::Duration::from_secs(1)), std::time::Duration::from_secs(1)).unwrap(),
        old[0].length
    );
    assert_eq!(open(&dir).unwrap().1, seen);
}
