//! How the store stands, and what can go wrong with it.

use std::sync::Arc;

use crate::id::SessionId;

/// How far the store is from ready, and whether it writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// Reads and writes.
    Ready,
    /// Reads only: the disk has less free space than the floor.
    DiskFull,
    /// Reads only, and the process is about to end.
    Failed,
}

impl Health {
    /// True unless writing has ended for good.
    #[must_use]
    pub fn writes(&self) -> bool {
        match self {
            Self::Ready | Self::DiskFull => true,
            Self::Failed => false,
        }
    }
}

/// What can go wrong, by what a caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The session is someone else's, deleted, or never was.
    #[error("no session {0} of this user")]
    NotOwner(SessionId),
    /// The user is not there.
    #[error("no such user")]
    NoUser,
    /// The name is taken.
    #[error("the name is taken")]
    NameTaken,
    /// The invitation is unknown, used, or over.
    #[error("the invitation is not valid")]
    NoInvitation,
    /// The idempotency key came before with another body.
    #[error("the idempotency key was used with another body")]
    KeyReused,
    /// Nothing was stored: the log does not end where it was to.
    #[error("something else was said meanwhile")]
    Moved,
    /// The turn is not open: answered already, cleared or deleted meanwhile.
    #[error("the turn is gone")]
    TurnGone,
    /// The queue can't do that with the job.
    #[error(transparent)]
    Job(#[from] JobError),
    /// Nothing was stored: the disk is below its floor of free space.
    #[error("the disk has less free space than data.min_free")]
    DiskFull,
    /// Nothing was stored: too much waits already.
    #[error("the store's queue is full")]
    Busy,
    /// Nothing was stored, and nothing more will be: a sync failed; the process is about to end.
    #[error("writing has ended")]
    Ended,
    /// A write or a sync failed while this was under way: it may be stored or not.
    #[error("the outcome is unknown")]
    Unknown,
    /// The index could not be read; the process is about to end, to rebuild it.
    #[error("the index can't be read: {0}")]
    Unreadable(Arc<str>),
}

/// Why the queue can't do something with a job, by what a caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// It has ended, or never was.
    #[error("there is no such job")]
    Missing,
    /// It is not due, or someone else runs it: what ran it longer than its lease has nothing to say any more.
    #[error("the job is not this one's to run")]
    NotTaken,
    /// It runs: it can be removed when it has ended or was parked.
    #[error("the job runs just now; wait until it has ended")]
    Running,
    /// Only what is parked can be retried.
    #[error("the job is not parked, so there is nothing to retry: it runs by itself when it is due")]
    NotParked,
    /// It would be there again after the next start.
    #[error("the job comes again and again by the configuration; change that instead")]
    Recurring,
    /// Its kind, key or payload is over the bound.
    #[error("the job's kind, key or payload is too long")]
    TooLong,
}

/// Why a data directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{0} is in use by another bondhu process; stop that one first, or choose another data.dir")]
    InUse(std::path::PathBuf),
    /// The journal is damaged.
    #[error("journal damaged: {path} at offset {offset}: {what}; restore a backup, or see \"bondhu check\"")]
    Damaged {
        /// The segment.
        path: std::path::PathBuf,
        /// Where in it, bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Written by a newer bondhu.
    #[error(
        "{path} was written by a newer bondhu (format {found}; this one knows up to {known}); upgrade the program, or restore a backup from before"
    )]
    Newer {
        /// The file.
        path: std::path::PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no room on the disk for what a start writes into the index.
    #[error("the disk is full: free some room on that of data.dir, then start again; nothing is lost")]
    DiskFull,
    /// The system gives no thread.
    #[error(
        "the system gives no thread: {0}; raise its limit of threads and processes (ulimit -u, or TasksMax= of the unit), or end what else runs"
    )]
    Thread(std::io::Error),
    /// The index can't be built.
    #[error("the index can't be built: {0}")]
    Index(String),
}
