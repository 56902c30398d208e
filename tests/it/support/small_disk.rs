//! Disks that a test may fill: a small file system of its own, or a part of the machine's.

use std::{
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
/// A part of the machine's own disk is so large, where that much is free: others write to it at the same time.
const PART_OF_OWN: u64 = 64 * MIB;

/// A disk of some parts, of a MiB each where it is a file system of its own.
pub(crate) struct SmallDisk {
    dir: TempDir,
    is_mounted: bool,
    /// Bytes of a part.
    part: u64,
    /// Free bytes that count as taken.
    beyond: u64,
}

impl SmallDisk {
    /// A file system of `parts`; nothing where this user may not mount one.
    pub(crate) fn mount(parts: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let options = format!("size={parts}m,mode=700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(dir.path()).output().unwrap();
        if !mounted.status.success() {
            eprintln!("no file system can be mounted: {}", String::from_utf8_lossy(&mounted.stderr));
            return None;
        }
        Some(Self { dir, is_mounted: true, part: MIB, beyond: 0 })
    }

    /// [`SmallDisk::mount`], or, where that is not permitted, the machine's own disk, of which all but `parts` count as
    /// taken: only what a floor of free space is about can be seen there.
    pub(crate) fn mounted_or_own(parts: u64) -> Self {
        Self::mount(parts).unwrap_or_else(|| Self::own(parts))
    }

    fn own(parts: u64) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let free = free_of(dir.path());
        let part = PART_OF_OWN.min(free / parts / 2);
        Self { dir, is_mounted: false, part, beyond: free - parts * part }
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The bytes that are free where so many parts are.
    pub(crate) fn bytes(&self, parts: u64) -> u64 {
        self.beyond + parts * self.part
    }

    /// As [`SmallDisk::bytes`], in percent of all that the file system has.
    pub(crate) fn percent(&self, parts: u64) -> String {
        let all = statvfs(self.path()).unwrap();
        let millionths = u128::from(self.bytes(parts)) * 100_000_000 / u128::from(all.f_blocks * all.f_frsize);
        format!("{}.{:06}%", millionths / 1_000_000, millionths % 1_000_000)
    }

    /// The bytes that are free.
    pub(crate) fn free(&self) -> u64 {
        free_of(self.path())
    }

    /// Somebody else's file takes all but so many parts.
    pub(crate) fn leave(&self, parts: u64) {
        let file = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        let more = self.free().saturating_sub(self.bytes(parts));
        if more > 0 {
            fallocate(&file, FallocateFlags::empty(), file.metadata().unwrap().len(), more).unwrap();
        }
    }

    /// That file goes away.
    pub(crate) fn clear(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").args(["-l"]).arg(self.path()).status();
        }
    }
}

fn free_of(path: &Path) -> u64 {
    let disk = statvfs(path).unwrap();
    disk.f_bavail * disk.f_frsize
}
