//! The disk: every file operation that the store itself makes goes through here, and sled's own do not.
//!
//! A release calls the system and nothing else. In the lib's tests a [`Probe`](super::tests::probe::Probe) sees each
//! operation before it is done: it may note it, have it fail, or do a part of it.

#[cfg(test)]
use std::sync::Arc;
use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

#[cfg(test)]
use super::tests::probe::Probe;

/// The way to the files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    #[cfg(test)]
    pub(super) probe: Option<Arc<Probe>>,
}

/// A directory of the store, on its disk.
#[derive(Debug, Clone)]
pub(crate) struct Dir {
    pub(crate) disk: Disk,
    pub(crate) path: PathBuf,
}

/// An open file.
#[derive(Debug)]
pub(crate) struct DiskFile {
    file: File,
    disk: Disk,
    #[cfg(test)]
    path: PathBuf,
}

/// An operation on a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    MakeDir,
    List,
    /// Looks at a name: length, times, whether it is there.
    Look,
    Permit,
    /// Makes a file that must not be there.
    Create,
    Open,
    OpenOrCreate,
    Lock,
    Read,
    Write {
        offset: u64,
        bytes: &'a [u8],
    },
    Reserve {
        length: u64,
    },
    SetLen {
        length: u64,
    },
    SyncData,
    SyncAll,
    SyncDir,
    Remove,
    RemoveDir,
    Free,
}

impl Disk {
    /// Does `work`, which is `operation` on `path`.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests there is something to ask")]
    fn run<T>(&self, _: &Path, _: Operation<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        work()
    }

    #[cfg(test)]
    fn run<T>(&self, path: &Path, operation: Operation<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match &self.probe {
            Some(probe) => probe.run(path, operation, work),
            None => work(),
        }
    }

    /// How many of `length` bytes one call writes or reads at most.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests there is something to ask")]
    fn at_once(&self, _: &Path, _: Operation<'_>, length: usize) -> usize {
        length
    }

    #[cfg(test)]
    fn at_once(&self, path: &Path, operation: Operation<'_>, length: usize) -> usize {
        self.probe.as_ref().map_or(length, |probe| probe.at_once(path, operation, length))
    }

    /// Makes a directory and those above it, for the owner alone; one that is there stays as it is.
    pub(crate) fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.run(path, Operation::MakeDir, || DirBuilder::new().recursive(true).mode(0o700).create(path))
    }

    /// Closes a directory to all but its owner.
    pub(crate) fn close_to_others(&self, path: &Path) -> io::Result<()> {
        self.run(path, Operation::Permit, || std::fs::set_permissions(path, Permissions::from_mode(0o700)))
    }

    /// The paths of what is in a directory.
    pub(crate) fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        self.run(path, Operation::List, || std::fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect())
    }

    /// What the file system knows of a name.
    pub(crate) fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        self.run(path, Operation::Look, || std::fs::metadata(path))
    }

    /// True where there is something of this name.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.metadata(path).is_ok()
    }

    /// When a file was made, since 1970; nothing where the file system does not say.
    pub(crate) fn born(&self, path: &Path) -> Option<Duration> {
        #[cfg(test)]
        if let Some(born) = self.probe.as_ref().and_then(|probe| probe.born(path)) {
            return Some(born);
        }
        self.metadata(path).ok()?.created().ok()?.duration_since(UNIX_EPOCH).ok()
    }

    /// Bytes that are free for this user on the file system of `path`.
    pub(crate) fn free(&self, path: &Path) -> io::Result<u64> {
        self.run(path, Operation::Free, || {
            let disk = rustix::fs::statvfs(path)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
        })
    }

    /// Bytes that are free for this user on the file system of `path`, and all that it has.
    pub(crate) fn space(&self, path: &Path) -> io::Result<(u64, u64)> {
        self.run(path, Operation::Free, || {
            let disk = rustix::fs::statvfs(path)?;
            Ok((disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize)))
        })
    }

    /// Makes a file that must not be there yet.
    pub(crate) fn create(&self, path: &Path) -> io::Result<DiskFile> {
        self.opened(path, Operation::Create, OpenOptions::new().read(true).write(true).create_new(true))
    }

    /// Opens a file for reading and writing, making it where it is missing.
    pub(crate) fn open_or_create(&self, path: &Path) -> io::Result<DiskFile> {
        let mut options = OpenOptions::new();
        self.opened(path, Operation::OpenOrCreate, options.read(true).write(true).create(true).truncate(false))
    }

    /// Opens a file for reading and writing.
    pub(crate) fn open(&self, path: &Path) -> io::Result<DiskFile> {
        self.opened(path, Operation::Open, OpenOptions::new().read(true).write(true))
    }

    /// Opens a file, or a directory, for reading.
    pub(crate) fn open_to_read(&self, path: &Path) -> io::Result<DiskFile> {
        self.opened(path, Operation::Open, OpenOptions::new().read(true))
    }

    fn opened(&self, path: &Path, operation: Operation<'_>, options: &mut OpenOptions) -> io::Result<DiskFile> {
        let file = self.run(path, operation, || options.mode(0o600).open(path))?;
        Ok(DiskFile {
            file,
            disk: self.clone(),
            #[cfg(test)]
            path: path.to_owned(),
        })
    }

    /// All of a file.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open_to_read(path)?;
        let mut bytes = vec![0; usize::try_from(file.length()?).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Makes the entries of a directory durable.
    pub(crate) fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.run(path, Operation::SyncDir, || File::open(path)?.sync_all())
    }

    /// Removes a file's name.
    pub(crate) fn remove(&self, path: &Path) -> io::Result<()> {
        self.run(path, Operation::Remove, || std::fs::remove_file(path))
    }

    /// Removes a directory with all that is in it.
    pub(crate) fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.run(path, Operation::RemoveDir, || std::fs::remove_dir_all(path))
    }
}

impl Dir {
    /// The directory at `path` of the machine's disk.
    pub(crate) fn of(path: impl Into<PathBuf>) -> Self {
        Self { disk: Disk::default(), path: path.into() }
    }

    /// What stands, or would stand, in it under this name.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The directory of this name in it.
    pub(crate) fn dir(&self, name: &str) -> Self {
        Self { disk: self.disk.clone(), path: self.join(name) }
    }

    /// Makes its entries durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.disk.sync_dir(&self.path)
    }
}

impl DiskFile {
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "in tests a file has its path")]
    fn path(&self) -> &Path {
        Path::new("")
    }

    #[cfg(test)]
    fn path(&self) -> &Path {
        &self.path
    }

    fn run<T>(&self, operation: Operation<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.disk.run(self.path(), operation, work)
    }

    /// Its length, bytes.
    pub(crate) fn length(&self) -> io::Result<u64> {
        self.run(Operation::Look, || Ok(self.file.metadata()?.len()))
    }

    /// Takes the lock that belongs to it, until it is closed.
    pub(crate) fn try_lock(&self) -> Result<(), TryLockError> {
        let mut busy = false;
        let locked = self.run(Operation::Lock, || match self.file.try_lock() {
            Err(TryLockError::Error(error)) => Err(error),
            Err(TryLockError::WouldBlock) => {
                busy = true;
                Ok(())
            }
            Ok(()) => Ok(()),
        });
        if busy { Err(TryLockError::WouldBlock) } else { locked.map_err(TryLockError::Error) }
    }

    /// Makes its bytes, and its length where they need it, durable.
    pub(crate) fn sync_data(&self) -> io::Result<()> {
        self.run(Operation::SyncData, || self.file.sync_data())
    }

    /// Makes everything of it durable.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        self.run(Operation::SyncAll, || self.file.sync_all())
    }

    /// Cuts it, or fills it with zeros, to this length.
    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        self.run(Operation::SetLen { length }, || self.file.set_len(length))
    }

    /// Reserves `length` bytes that read as zeros, so that a write within them does not meet a full disk.
    pub(crate) fn reserve(&self, length: u64) -> io::Result<()> {
        self.run(Operation::Reserve { length }, || {
            match rustix::fs::fallocate(&self.file, rustix::fs::FallocateFlags::empty(), 0, length) {
                Ok(()) => Ok(()),
                // A file system that can't reserve still has the floor of free space before it.
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    let now = self.file.metadata()?.len();
                    if now < length { self.file.set_len(length) } else { Ok(()) }
                }
                Err(error) => Err(error.into()),
            }
        })
    }
}

impl FileExt for DiskFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let length = self.disk.at_once(self.path(), Operation::Read, bytes.len());
        self.run(Operation::Read, || self.file.read_at(&mut bytes[..length], offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let length = self.disk.at_once(self.path(), Operation::Write { offset, bytes }, bytes.len());
        let bytes = &bytes[..length];
        self.run(Operation::Write { offset, bytes }, || self.file.write_at(bytes, offset))
    }
}
