//! Restoring: a backup, or a plain copy of a data directory, becomes a new data directory once it is found whole.

use std::path::Path;

use super::{
    BackupError, JOURNAL, Manifest, files,
    place::{Found, Place},
    schedule::newest_below,
};
use crate::{
    config::is_within,
    store::{Verdict, verify_locked},
};

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What the backup says of itself; none where it is a plain copy, of which only the journal's own checksums tell.
    pub manifest: Option<Manifest>,
    /// Bytes that were copied.
    pub bytes: u64,
    /// What is in it.
    pub verdict: Verdict,
}

/// Copies the backup at `from` to `into`, which must not be there or be empty, and puts it there once every file is what
/// the manifest says and the whole passes `bondhu check`. `progress` gets (bytes done, bytes in all).
///
/// Root restores for the user that the server runs as: to whom `into` belongs where it is there, or else the backup.
///
/// A run that is killed leaves nothing at `into`; the next one removes what it has left beside it.
///
/// # Errors
/// As [`BackupError`] says; nothing is at `into` then.
pub fn restore(from: &Path, into: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Restored, BackupError> {
    if !from.join(JOURNAL).is_dir() {
        let hint = newest_below(from)
            .map_or_else(String::new, |backup| format!("; the newest backup below it is {}", backup.display()));
        return Err(BackupError::damaged(from, format!("is no backup: it has no folder \"journal\"{hint}")));
    }
    if is_within(into, from) {
        return Err(BackupError::Within { into: into.to_owned(), from: from.to_owned() });
    }
    if into.exists() && files::names(into).is_ok_and(|names| !names.is_empty()) {
        return Err(BackupError::Occupied(into.to_owned()));
    }
    let manifest = Manifest::read(from)?;
    let whose = if into.exists() { into } else { from };
    let owner = whose.metadata().map_err(BackupError::io(whose))?;
    let (place, found) = Place::take(into)?;
    let restored = match found {
        Found::Nothing => fill(from, manifest, &place, &mut progress),
        Found::Backup(_) => Err(BackupError::Occupied(into.to_owned())),
    };
    match restored.and_then(|restored| files::give(&place.partial, &owner).map(|()| restored)) {
        Ok(restored) => place.settle().map(|()| restored),
        Err(error) => {
            place.abandon();
            Err(error)
        }
    }
}

/// Compares every file of the backup at `dir` with its manifest, which is given; nothing where `dir` is no backup.
///
/// # Errors
/// `Damaged` for the first file that is not as it should be; `Io`.
pub fn check(dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Option<Manifest>, BackupError> {
    // Where a server was started on it, it is a data directory, and changes.
    let is_served = dir.join("index").exists();
    let Some(manifest) = Manifest::read(dir)?.filter(|_| !is_served) else { return Ok(None) };
    let mut done = 0;
    for file in &manifest.files {
        file.read(dir)?;
        done += file.length;
        progress(done, manifest.bytes);
    }
    Ok(Some(manifest))
}

fn fill(
    from: &Path,
    manifest: Option<Manifest>,
    place: &Place,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Restored, BackupError> {
    for name in files::names(&place.journal())? {
        files::remove(&place.journal().join(name))?; // A run that was killed has left it.
    }
    let journal = from.join(JOURNAL);
    let names: Vec<String> = files::names(&journal)?.into_iter().filter(|name| name.ends_with(".journal")).collect();
    if let Some(manifest) = &manifest
        && let Some(other) = names.iter().find(|name| manifest.file(name).is_none())
    {
        let why = "is not in backup.json, as if a server had been started on the backup; to restore all that is there, \
                   remove backup.json";
        return Err(BackupError::damaged(&journal.join(other), why));
    }
    let mut total = 0;
    for name in &names {
        let path = journal.join(name);
        total += std::fs::metadata(&path).map_err(BackupError::io(&path))?.len();
    }
    // Copying is one half of the work, and the check reads everything twice.
    let (mut bytes, all) = (0, total * 2);
    let mut copy = |name: &str, content: &[u8]| {
        bytes += content.len() as u64;
        progress(bytes, all);
        files::write(&place.journal().join(name), content)
    };
    match &manifest {
        Some(manifest) => {
            for file in &manifest.files {
                copy(&file.name, &file.read(from)?)?;
            }
        }
        None => {
            for name in &names {
                let path = journal.join(name);
                copy(name, &files::read(&path).map_err(BackupError::io(&path))?)?;
            }
        }
    }
    let verdict = verify_locked(&place.partial, |done, of| progress(total + done * total / of.max(1), all))?;
    if verdict.findings.is_empty() {
        return Ok(Restored { manifest, bytes, verdict });
    }
    // What was copied is about to be removed: the words are about what it was copied from.
    let (copy, original) = (place.partial.display().to_string(), from.display().to_string());
    let findings = verdict.findings.iter().map(|finding| finding.0.replace(&copy, &original)).collect();
    Err(BackupError::Unsound { dir: from.to_owned(), findings })
}
