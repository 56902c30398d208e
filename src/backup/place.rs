//! The place of a backup, or of a restored directory: built beside it as `NAME.partial`, and put there in one step.

use std::{
    ffi::OsString,
    fs::{File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{BackupError, JOURNAL, LOCK, MANIFEST, Manifest, files};

/// A directory that is being made.
pub(super) struct Place {
    /// Where it goes.
    pub(super) dir: PathBuf,
    /// Where it is built.
    pub(super) partial: PathBuf,
    /// Where the old one waits for its removal, on file systems that can't exchange two names.
    old: PathBuf,
    parent: PathBuf,
    /// Nobody else builds here, or uses what stands here, as long as these are open.
    locks: Vec<File>,
}

/// What stands at a place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or an empty directory.
    Nothing,
    /// A backup with this manifest.
    Backup(Manifest),
}

impl Place {
    /// Takes the place `dir`, finishes or removes what a run that was killed has left there, and says what stands there.
    pub(super) fn take(dir: &Path) -> Result<(Self, Found), BackupError> {
        let mut place = Self::of(dir)?;
        place.look()?; // What is refused leaves no trace.
        files::make_dir(&place.parent)?;
        place.lock_partial()?;
        match place.take_locked() {
            Ok(found) => Ok((place, found)),
            Err(error) => {
                place.abandon();
                Err(error)
            }
        }
    }

    fn take_locked(&mut self) -> Result<Found, BackupError> {
        self.finish_killed()?;
        let found = self.look()?;
        if found != Found::Nothing {
            self.locks.push(lock(&self.dir)?);
        }
        Ok(found)
    }

    fn of(dir: &Path) -> Result<Self, BackupError> {
        let taken = |why: &str| BackupError::Taken { dir: dir.to_owned(), why: why.to_owned() };
        let name = dir.file_name().ok_or_else(|| taken("has no name of its own"))?;
        let beside = |ending: &str| {
            let mut name = OsString::from(name);
            name.push(ending);
            dir.with_file_name(name)
        };
        let parent = match dir.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new(".").to_owned(),
            Some(parent) => parent.to_owned(),
            None => return Err(taken("has no directory above it")),
        };
        let (partial, old) = (beside(".partial"), beside(".old"));
        Ok(Self { dir: dir.to_owned(), partial, old, parent, locks: Vec::new() })
    }

    /// Makes the directory to build in, or takes the one that a killed run has left.
    fn lock_partial(&mut self) -> Result<(), BackupError> {
        if self.partial.exists() {
            wants_ours(&self.partial)?;
        }
        files::make_dir(&self.partial).map_err(|error| {
            let is_denied = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
            if !matches!(&error, BackupError::Io { source, .. } if is_denied(source)) {
                return error;
            }
            let why = format!("stands in {}, which is not writable", self.parent.display());
            BackupError::Beside { dir: self.dir.clone(), why }
        })?;
        self.locks.push(lock(&self.partial)?);
        files::make_dir(&self.journal())
    }

    /// Where there is no exchange, a run may have been killed between its two steps.
    fn finish_killed(&self) -> Result<(), BackupError> {
        if !self.old.exists() {
            return Ok(());
        }
        wants_ours(&self.old)?;
        if self.dir.exists() {
            return std::fs::remove_dir_all(&self.old).map_err(BackupError::io(&self.old));
        }
        std::fs::rename(&self.old, &self.dir).map_err(BackupError::io(&self.dir))
    }

    fn look(&self) -> Result<Found, BackupError> {
        let taken = |why: &str| BackupError::Taken { dir: self.dir.clone(), why: why.to_owned() };
        match std::fs::metadata(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(BackupError::io(&self.dir)(error)),
            Ok(found) if !found.is_dir() => return Err(taken("is not a directory")),
            Ok(found) => {
                let above = std::fs::metadata(&self.parent).map_err(BackupError::io(&self.parent))?;
                if above.dev() != found.dev() {
                    let why = "is the top of a file system".to_owned();
                    return Err(BackupError::Beside { dir: self.dir.clone(), why });
                }
            }
        }
        if files::names(&self.dir)?.is_empty() {
            return Ok(Found::Nothing);
        }
        let Some(manifest) = Manifest::read(&self.dir)? else {
            return Err(taken("has something else than a backup in it"));
        };
        wants_untouched(&self.dir, &manifest)?;
        Ok(Found::Backup(manifest))
    }

    /// The folder of segments that is built.
    pub(super) fn journal(&self) -> PathBuf {
        self.partial.join(JOURNAL)
    }

    /// Makes all names that were made durable, and puts the directory into its place; what stood there is removed.
    pub(super) fn settle(self) -> Result<(), BackupError> {
        files::sync_dir(&self.journal())?;
        files::sync_dir(&self.partial)?;
        let exchanged = if self.dir.exists() { self.replace()? } else { self.rename_to_dir().map(|()| None)? };
        files::sync_dir(&self.parent)?;
        // The locks are held until then: nobody builds in what is being removed.
        if let Some(old) = exchanged {
            std::fs::remove_dir_all(&old).map_err(BackupError::io(&old))?;
            files::sync_dir(&self.parent)?;
        }
        Ok(())
    }

    /// Puts the new one where the old one stands; gives where the old one is then.
    fn replace(&self) -> Result<Option<PathBuf>, BackupError> {
        match renameat_with(CWD, &self.partial, CWD, &self.dir, RenameFlags::EXCHANGE) {
            Ok(()) => Ok(Some(self.partial.clone())),
            // A file system that can't exchange: a moment without either, which the next run finishes.
            Err(Errno::INVAL | Errno::NOSYS) => {
                std::fs::rename(&self.dir, &self.old).map_err(BackupError::io(&self.dir))?;
                self.rename_to_dir()?;
                Ok(Some(self.old.clone()))
            }
            Err(error) => Err(BackupError::io(&self.dir)(error.into())),
        }
    }

    fn rename_to_dir(&self) -> Result<(), BackupError> {
        std::fs::rename(&self.partial, &self.dir).map_err(BackupError::io(&self.dir))
    }

    /// Gives the place up, and removes what was built there.
    pub(super) fn abandon(self) {
        let _ = std::fs::remove_dir_all(&self.partial); // What stays is removed by the next run.
    }
}

/// Takes a directory for this process.
pub(super) fn lock(dir: &Path) -> Result<File, BackupError> {
    let path = dir.join(LOCK);
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(BackupError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(BackupError::io(&path)(error)),
    }
}

/// Takes the backup at `dir` for its removal: nobody uses it, and nothing is in it but what its manifest lists.
pub(super) fn take_to_remove(dir: &Path, manifest: &Manifest) -> Result<File, BackupError> {
    let lock = lock(dir)?;
    wants_untouched(dir, manifest)?;
    Ok(lock)
}

/// Wants the backup at `dir` to be as it was made: it is going to be removed.
fn wants_untouched(dir: &Path, manifest: &Manifest) -> Result<(), BackupError> {
    wants_ours(dir)?;
    let known = |name: &String| manifest.file(name).is_some();
    if files::names(&dir.join(JOURNAL))?.iter().all(known) {
        return Ok(());
    }
    let why = "has files that its backup.json does not list, as if a server had been started on it".to_owned();
    Err(BackupError::Taken { dir: dir.to_owned(), why })
}

/// Wants nothing to be in `dir` but what a backup has: it is going to be removed.
fn wants_ours(dir: &Path) -> Result<(), BackupError> {
    match other_name(dir)? {
        Some(name) => Err(BackupError::Taken { dir: dir.to_owned(), why: format!("has {name:?} in it") }),
        None => Ok(()),
    }
}

/// True where nothing is in `dir` but what a backup has.
pub(super) fn is_ours(dir: &Path) -> Result<bool, BackupError> {
    Ok(other_name(dir)?.is_none())
}

fn other_name(dir: &Path) -> Result<Option<String>, BackupError> {
    let ours = [JOURNAL, LOCK, MANIFEST];
    Ok(files::names(dir)?.into_iter().find(|name| !ours.contains(&name.strip_suffix(".tmp").unwrap_or(name))))
}
