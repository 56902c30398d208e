//! Backups: a directory that `bondhu serve` can start from, made from the sealed segments of a running server, and put back
//! from there only when it is found whole.
//!
//! A backup is complete or not there: it is built beside its place and takes it in one step, whatever ends the process. It
//! knows nothing of what is in a segment; the store says which there are and whether one is whole.

mod files;
mod make;
mod manifest;
mod place;
mod restore;
mod schedule;

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

pub use self::{
    make::{Base, make},
    manifest::{BackupFile, MANIFEST, Manifest},
    restore::{Restored, check, restore},
    schedule::{Kept, Scheduled, make_scheduled, newest_below, newest_of},
};
use crate::store::OpenError;

/// The folder of the segments, in a data directory and in a backup.
const JOURNAL: &str = "journal";
/// The length of a segment's header, bytes.
const HEADER: usize = 64;
/// The file that is locked as long as a process uses a data directory; a backup has it too.
const LOCK: &str = "LOCK";

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Where it stands.
    pub dir: PathBuf,
    /// Segments that were copied, and their bytes.
    pub copied: Amount,
    /// Segments that an older backup had already, which share their bytes with it.
    pub linked: Amount,
    /// Names of segments that were copied again, because the older backup's were damaged.
    pub repaired: Vec<String>,
    /// The last frame of the journal that is in it.
    pub last_frame: u64,
    /// How long it took.
    pub took: Duration,
}

/// Files and their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many files.
    pub files: usize,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }
}

/// Why there is no backup, or nothing was restored from one. What was there before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The place is taken by something else.
    #[error("{dir} {why}: name a directory that is empty or not there, or one that holds a backup of this server")]
    Taken {
        /// The place.
        dir: PathBuf,
        /// What is there.
        why: String,
    },
    /// Nothing can be built beside the place.
    #[error("{dir} {why}, and what comes there is built beside it first: name a directory within it")]
    Beside {
        /// The place.
        dir: PathBuf,
        /// What it is.
        why: String,
    },
    /// The place of a restored directory is taken.
    #[error("{0} is there and not empty: name a directory that is not, or move that one away")]
    Occupied(PathBuf),
    /// The place of a restored directory is in what it is restored from.
    #[error("{into} is within {from}, and would go when that does: name a place outside of it")]
    Within {
        /// The place.
        into: PathBuf,
        /// The backup.
        from: PathBuf,
    },
    /// Another process works there.
    #[error("{0} is in use: another backup or a server has it; wait until that has ended, then try again")]
    InUse(PathBuf),
    /// There is a backup of each second of the next minute.
    #[error("{0} is there already, as are those of the seconds before it: wait a minute, then try again")]
    NoName(PathBuf),
    /// The server did not seal its journal.
    #[error("the journal can't be sealed: {0}")]
    NotSealed(String),
    /// Compaction took segments away faster than they could be copied.
    #[error("segments were removed while they were copied, {0} times: raise data.keep_replaced_s, then try again")]
    Overtaken(usize),
    /// What was read is not what it should be.
    #[error("{path} {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A segment is damaged, or of a newer program.
    #[error(transparent)]
    Segment(#[from] OpenError),
    /// All of it is there, and does not keep the promises.
    #[error("{dir} does not pass the check: {}", findings.join("; "))]
    Unsound {
        /// The directory.
        dir: PathBuf,
        /// What was found.
        findings: Vec<String>,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BackupError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    fn damaged(path: &Path, why: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), why: why.into() }
    }
}
