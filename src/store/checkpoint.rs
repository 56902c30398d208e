//! The checkpoint: how far sled has applied the journal, and whether its file may be believed at all.
//!
//! sled is believed only if its file is the very one that the last run used (device, inode, birth time), the journal is
//! the one it was built from, and that run either stopped cleanly or was of this boot: what a process wrote survives its
//! death, but only a sync survives a power cut, and sled's own is none. In a copy, also one that went into the files that
//! were there, after a power cut, or with any other doubt it is rebuilt.

use std::{
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::{
    codec,
    disk::{Dir, Disk, DiskFile},
};

/// Two places that are written in turn: a write that is cut short spoils only one.
const SLOT: usize = 512;

/// What one run leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// Counts the checkpoints; the higher one counts.
    sequence: u64,
    /// Which journal the index was built from.
    journal: [u8; 16],
    /// Which file sled used: device, inode, birth time in nanoseconds.
    file: (u64, u64, u128),
    boot: String,
    /// True where the run stopped cleanly after this.
    clean: bool,
    /// Replay begins with this frame: all before it are applied, and none of their turns is open.
    pub(crate) replay_from: u64,
    /// The frame after the last one that was written.
    pub(crate) next_frame: u64,
    /// The next message's place among all.
    pub(crate) next_stamp: u64,
}

/// How far the journal is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) replay_from: u64,
    pub(crate) next_frame: u64,
    pub(crate) next_stamp: u64,
}

/// The checkpoint's file, open.
pub(crate) struct Checkpoints {
    file: DiskFile,
    index_dir: Dir,
    journal: [u8; 16],
    boot: String,
    sequence: u64,
}

impl Checkpoint {
    /// Reads the newer whole slot of `dir`'s checkpoint; nothing where there is none.
    pub(crate) fn read(index_dir: &Dir) -> Option<Self> {
        let bytes = index_dir.disk.read(&index_dir.join("checkpoint")).ok()?;
        bytes.chunks(SLOT).filter_map(decode_slot).max_by_key(|checkpoint| checkpoint.sequence)
    }

    /// Says why the index in `index_dir` can't be believed, if it can't.
    pub(crate) fn doubt(&self, index_dir: &Dir, journal: Option<[u8; 16]>) -> Option<&'static str> {
        if index_dir.disk.exists(&index_dir.join("rebuild")) {
            return Some("the last run asked for it");
        }
        if journal != Some(self.journal) {
            return Some("it was built from another journal");
        }
        if sled_file(index_dir).ok() != Some(self.file) {
            return Some("this directory is a copy, or its file was replaced");
        }
        if ["db", "checkpoint"].iter().any(|name| was_put_there(&index_dir.disk, &index_dir.join(name))) {
            return Some("its files were put there by a copy");
        }
        if !self.clean && self.boot != boot_id() {
            return Some("the machine went down without a clean stop");
        }
        None
    }

    /// True where the index was built from this journal, wherever its file is now.
    pub(crate) fn is_of(&self, journal: Option<[u8; 16]>) -> bool {
        journal == Some(self.journal)
    }

    /// True where the run that wrote it wrote nothing behind it.
    pub(crate) fn is_last(&self) -> bool {
        self.clean
    }

    /// Takes the word of a clean stop back, on the disk: from here on sled's file may change, and a power cut would leave
    /// it as no sync made it.
    pub(crate) fn take_back(&self, index_dir: &Dir) -> io::Result<()> {
        if !self.clean {
            return Ok(());
        }
        let mut checkpoints = Checkpoints::open(index_dir, self.journal)?;
        checkpoints.write(self.progress(), false)?;
        checkpoints.file.sync_all()
    }

    /// Gives the word of a clean stop again, where this checkpoint gave it and sled's file is closed.
    pub(crate) fn give_again(&self, index_dir: &Dir) -> io::Result<()> {
        if !self.clean {
            return Ok(());
        }
        sync_index(index_dir)?;
        Checkpoints::open(index_dir, self.journal)?.write(self.progress(), true)
    }

    fn progress(&self) -> Progress {
        Progress { replay_from: self.replay_from, next_frame: self.next_frame, next_stamp: self.next_stamp }
    }
}

impl Checkpoints {
    /// Opens the checkpoint's file, making it where it is missing.
    pub(crate) fn open(index_dir: &Dir, journal: [u8; 16]) -> io::Result<Self> {
        let file = index_dir.disk.open_or_create(&index_dir.join("checkpoint"))?;
        let sequence = Checkpoint::read(index_dir).map_or(0, |last| last.sequence);
        Ok(Self { file, index_dir: index_dir.clone(), journal, boot: boot_id(), sequence })
    }

    /// Notes how far the index is; only the word of a clean stop needs to survive a power cut.
    pub(crate) fn write(&mut self, progress: Progress, clean: bool) -> io::Result<()> {
        self.sequence += 1;
        let checkpoint = Checkpoint {
            sequence: self.sequence,
            journal: self.journal,
            file: sled_file(&self.index_dir)?,
            boot: self.boot.clone(),
            clean,
            replay_from: progress.replay_from,
            next_frame: progress.next_frame,
            next_stamp: progress.next_stamp,
        };
        let slot = if self.sequence.is_multiple_of(2) { 0 } else { SLOT as u64 };
        self.file.write_all_at(&encode_slot(&checkpoint), slot)?;
        if clean { self.file.sync_all() } else { Ok(()) }
    }
}

/// Makes all that sled has written durable, which its own flush does not.
pub(crate) fn sync_index(index_dir: &Dir) -> io::Result<()> {
    for path in index_dir.disk.list(&index_dir.path)? {
        index_dir.disk.open_to_read(&path)?.sync_all()?;
    }
    index_dir.sync()
}

/// Leaves word that the index is to be rebuilt at the next start.
pub(crate) fn mark_rebuild(index_dir: &Dir) -> io::Result<()> {
    index_dir.disk.open_or_create(&index_dir.join("rebuild"))?.sync_all()
}

impl codec::Record for Checkpoint {}

fn encode_slot(checkpoint: &Checkpoint) -> [u8; SLOT] {
    let record = codec::encode(checkpoint);
    let mut slot = [0; SLOT];
    slot[..4].copy_from_slice(&crc32fast::hash(&record).to_le_bytes());
    slot[4] = u8::try_from(record.len()).expect("a checkpoint has under 200 bytes");
    slot[5..5 + record.len()].copy_from_slice(&record);
    slot
}

fn decode_slot(slot: &[u8]) -> Option<Checkpoint> {
    let (checksum, rest) = slot.split_first_chunk::<4>()?;
    let (&length, rest) = rest.split_first()?;
    let record = rest.get(..usize::from(length))?;
    (crc32fast::hash(record) == u32::from_le_bytes(*checksum)).then(|| codec::decode(record).ok()).flatten()
}

fn sled_file(index_dir: &Dir) -> io::Result<(u64, u64, u128)> {
    let metadata = index_dir.disk.metadata(&index_dir.join("db"))?;
    // Where the file system keeps no birth time, device and inode must do.
    let born = metadata.created().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok((metadata.dev(), metadata.ino(), born.map_or(0, |born| born.as_nanos())))
}

/// True where the file was last touched by something else than a write, such as a copy that kept the original's times and
/// went into the file that was there: then neither inode nor birth tells.
fn was_put_there(disk: &Disk, path: &Path) -> bool {
    disk.metadata(path).is_ok_and(|file| (file.mtime(), file.mtime_nsec()) != (file.ctime(), file.ctime_nsec()))
}

/// Changes with every boot of the machine. Where it can't be read, no two boots count as the same.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| uuid::Uuid::new_v4().to_string(), |id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir_with_db() -> (tempfile::TempDir, Dir) {
        let keep = tempfile::tempdir().unwrap();
        let dir = Dir::of(keep.path());
        std::fs::write(dir.join("db"), "x").unwrap();
        (keep, dir)
    }

    fn written(dir: &Dir, clean: bool) -> Checkpoint {
        let mut checkpoints = Checkpoints::open(dir, [1; 16]).unwrap();
        checkpoints.write(Progress { replay_from: 5, next_frame: 9, next_stamp: 20 }, clean).unwrap();
        Checkpoint::read(dir).unwrap()
    }

    #[test]
    fn the_same_file_is_believed_and_anything_else_is_not() {
        let (_keep, dir) = dir_with_db();
        let checkpoint = written(&dir, false);
        assert_eq!(checkpoint.doubt(&dir, Some([1; 16])), None);
        assert!(checkpoint.doubt(&dir, Some([2; 16])).is_some());
        assert!(checkpoint.doubt(&dir, None).is_some());

        let (_kept, copy) = dir_with_db();
        std::fs::copy(dir.join("checkpoint"), copy.join("checkpoint")).unwrap();
        assert!(Checkpoint::read(&copy).unwrap().doubt(&copy, Some([1; 16])).is_some());

        mark_rebuild(&dir).unwrap();
        assert!(checkpoint.doubt(&dir, Some([1; 16])).is_some());
    }

    #[test]
    fn another_boot_is_believed_only_after_a_clean_stop() {
        let (_keep, dir) = dir_with_db();
        let elsewhere = |clean| Checkpoint { boot: "another boot".to_owned(), ..written(&dir, clean) };
        assert!(elsewhere(false).doubt(&dir, Some([1; 16])).is_some());
        assert_eq!(elsewhere(true).doubt(&dir, Some([1; 16])), None);
    }

    #[test]
    fn a_spoilt_slot_leaves_the_one_before() {
        let (_keep, dir) = dir_with_db();
        written(&dir, false);
        let newest = written(&dir, false);
        let path = dir.join("checkpoint");
        let mut bytes = std::fs::read(&path).unwrap();
        let slot = if newest.sequence.is_multiple_of(2) { 0 } else { SLOT };
        bytes[slot + 20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Checkpoint::read(&dir).unwrap().sequence, newest.sequence - 1);
    }
}
