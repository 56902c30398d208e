//! `backup.json`: what is in a backup, with the length and the SHA-256 of every file.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};

use super::{BackupError, HEADER, JOURNAL, files};

/// The manifest's name.
pub const MANIFEST: &str = "backup.json";
/// The newest form of it that is known here.
const FORMAT: u32 = 1;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of this file.
    pub format: u32,
    /// The version of the program that made it.
    pub bondhu: String,
    /// When it was made, RFC 3339 in UTC.
    pub made_at: String,
    /// The id of the journal, in hexadecimal; none where nothing was stored yet.
    pub journal: Option<String>,
    /// The newest format of a segment in it.
    pub journal_format: u32,
    /// The last frame in it: everything that was acknowledged before `made_at` is in frames up to it.
    pub last_frame: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The segments, in order.
    pub files: Vec<BackupFile>,
}

/// A file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Its name in the folder `journal`.
    pub name: String,
    /// Its length, bytes.
    pub length: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// A backup that may be in the place of an older one.
pub(super) struct Newer<'a> {
    /// Where its segments stand.
    pub(super) folder: &'a Path,
    /// The id of its journal.
    pub(super) journal: Option<&'a str>,
    /// The frame behind its last one.
    pub(super) next_frame: u64,
    /// The segments.
    pub(super) files: &'a [BackupFile],
}

#[derive(Deserialize)]
struct Form {
    format: u32,
}

impl Manifest {
    /// The manifest of the backup at `dir`; none where there is no such file.
    ///
    /// # Errors
    /// `Damaged` where it can't be read or is of a newer program; `Io`.
    pub fn read(dir: &Path) -> Result<Option<Self>, BackupError> {
        let path = dir.join(MANIFEST);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(BackupError::io(&path)(error)),
        };
        let damaged = |error: serde_json::Error| BackupError::damaged(&path, format!("can't be read: {error}"));
        let Form { format } = serde_json::from_slice(&bytes).map_err(damaged)?;
        if format > FORMAT {
            let why =
                format!("is of a newer bondhu (format {format}; this one knows up to {FORMAT}): upgrade the program");
            return Err(BackupError::damaged(&path, why));
        }
        let manifest: Self = serde_json::from_slice(&bytes).map_err(damaged)?;
        // Names lead into one folder, whoever wrote them.
        match manifest.files.iter().find(|file| file.name.contains('/') || !file.name.ends_with(".journal")) {
            Some(file) => Err(BackupError::damaged(&path, format!("names {:?}, which is no segment", file.name))),
            None => Ok(Some(manifest)),
        }
    }

    /// A manifest of these files.
    pub(super) fn of(files: Vec<BackupFile>, made_at: String) -> Self {
        Self {
            format: FORMAT,
            bondhu: env!("CARGO_PKG_VERSION").to_owned(),
            made_at,
            journal: None,
            journal_format: 0,
            last_frame: 0,
            bytes: files.iter().map(|file| file.length).sum(),
            files,
        }
    }

    /// Writes it into the backup at `dir`.
    pub(super) fn write(&self, dir: &Path) -> Result<(), BackupError> {
        let mut text = serde_json::to_vec_pretty(self).expect("numbers and texts always serialise");
        text.push(b'\n');
        files::write(&dir.join(MANIFEST), &text)
    }

    /// Wants `newer` to have all that this backup, at `dir`, has; else says why it may not be removed in favour of that one.
    pub(super) fn is_superseded_by(&self, dir: &Path, newer: &Newer<'_>) -> Result<(), String> {
        if self.journal.is_some() && self.journal.as_deref() != newer.journal {
            return Err("holds a backup of another server".to_owned());
        }
        if self.last_frame >= newer.next_frame {
            let (theirs, ours) = (self.last_frame, newer.next_frame.saturating_sub(1));
            return Err(format!("holds a later state (frame {theirs}) than this server has (frame {ours})"));
        }
        // A sealed segment never changes. Where an older backup was put back, another was written in its place; the header has
        // the time when that was.
        for BackupFile { name, sha256, .. } in newer.files {
            if self.file(name).is_none_or(|own| own.sha256 == *sha256) {
                continue;
            }
            let header = |folder: &Path| files::read_first::<HEADER>(&folder.join(name));
            let same = header(&dir.join(JOURNAL)).and_then(|own| Ok(own == header(newer.folder)?));
            if !same.map_err(|error| format!("can't be compared: {name}: {error}"))? {
                let way = "went another way than this server, which went on from an older state";
                return Err(format!("{way}: it has another {name}"));
            }
        }
        Ok(())
    }

    /// The file of this name.
    pub(super) fn file(&self, name: &str) -> Option<&BackupFile> {
        self.files.iter().find(|file| file.name == name)
    }
}

impl BackupFile {
    /// Reads the file in the backup at `dir`, and wants it to be what the manifest says.
    ///
    /// # Errors
    /// `Damaged` where it is not, `Io`.
    pub(super) fn read(&self, dir: &Path) -> Result<Vec<u8>, BackupError> {
        let path = dir.join(super::JOURNAL).join(&self.name);
        let bytes = match files::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(BackupError::damaged(&path, "is missing, and backup.json lists it"));
            }
            Err(error) => return Err(BackupError::io(&path)(error)),
        };
        if bytes.len() as u64 != self.length {
            let why = format!("has {} bytes, and backup.json says {}", bytes.len(), self.length);
            return Err(BackupError::damaged(&path, why));
        }
        if files::digest(&bytes) != self.sha256 {
            return Err(BackupError::damaged(&path, "has other bytes than backup.json says (SHA-256)"));
        }
        Ok(bytes)
    }
}
