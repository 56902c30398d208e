//! Files of a backup: read whole, compared, copied in pieces that a busy disk does not feel, made durable.

use std::{
    fmt::Write as _,
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown},
    path::Path,
};

use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};

use super::BackupError;

/// What is written before it is synced, bytes: a sync of the journal waits for what the file system has before it.
const PIECE: usize = 1 << 20;

/// The SHA-256 of `bytes` in hexadecimal.
pub(super) fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// `bytes` in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // A String takes everything.
        text
    })
}

/// All of a file, which is not kept in the system's cache for it: a server beside it has better use for that.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?);
    file.read_to_end(&mut bytes)?;
    forget(&file);
    Ok(bytes)
}

/// The first bytes of a file.
pub(super) fn read_first<const N: usize>(path: &Path) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open(path)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes a file that is for its owner alone, and makes it durable; under its name it is whole or not there.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), BackupError> {
    let part = path.with_added_extension("tmp");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
        for piece in bytes.chunks(PIECE) {
            file.write_all(piece)?;
            file.sync_data()?;
        }
        file.sync_all()?;
        forget(&file);
        std::fs::rename(&part, path)
    };
    write().map_err(BackupError::io(path))
}

/// Makes a directory that is for its owner alone, and those above it; one that is there stays.
pub(super) fn make_dir(dir: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(BackupError::io(dir))
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), BackupError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(BackupError::io(dir))
}

/// The names in a directory, in order.
pub(super) fn names(dir: &Path) -> Result<Vec<String>, BackupError> {
    let list = || {
        let names = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<Vec<_>>>()
    };
    let mut names = list().map_err(BackupError::io(dir))?;
    names.sort_unstable();
    Ok(names)
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) -> Result<(), BackupError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackupError::io(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Gives `path`, and all in it, to the user and the group that `owner` has; what only root can do, and only root has to.
pub(super) fn give(path: &Path, owner: &Metadata) -> Result<(), BackupError> {
    let metadata = path.symlink_metadata().map_err(BackupError::io(path))?;
    if metadata.is_dir() {
        for name in names(path)? {
            give(&path.join(name), owner)?;
        }
    }
    if (metadata.uid(), metadata.gid()) == (owner.uid(), owner.gid()) {
        return Ok(());
    }
    match chown(path, Some(owner.uid()), Some(owner.gid())) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(BackupError::io(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn forget(file: &File) {
    let _ = fadvise(file, 0, None, Advice::DontNeed); // Advice: a system that does not take it loses nothing.
}
