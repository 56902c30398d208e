//! Backups by the clock: each in a directory of its own below `backup.dir`, sharing with the one before what is the same,
//! verified, and the oldest removed.

use std::path::{Path, PathBuf};

use super::{
    BackupError, Base, MANIFEST, Report, files, make,
    place::{is_ours, lock},
};
use crate::{
    clock::Clock,
    config::BackupConfig,
    store::{Sealed, Verdict, verify},
};

/// What a scheduled backup came to.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// The new one.
    pub report: Report,
    /// What is in it.
    pub verdict: Verdict,
    /// The old ones that were removed.
    pub removed: Vec<PathBuf>,
}

/// Makes one more backup of the data directory `data` below `config.dir`, verifies it, and removes the oldest beyond
/// `config.keep`. `seal` and `progress` are those of [`make`].
///
/// # Errors
/// As [`BackupError`] says; no old one is removed then. One that does not pass the check stays, to be looked at, and is no
/// base of the next.
pub fn make_scheduled(
    config: &BackupConfig,
    data: &Path,
    clock: &Clock,
    seal: impl FnMut() -> Result<Sealed, String>,
    progress: impl FnMut(u64, u64),
) -> Result<Scheduled, BackupError> {
    let dir = &config.dir;
    files::make_dir(dir)?;
    let _lock = lock(dir)?; // One at a time, whoever begins it.
    remove_rests(dir)?;
    let before = backups(dir)?;
    let into = dir.join(name(clock));
    let report = make((data, &into), &Base::Other(before.last().cloned()), clock, seal, progress)?;
    let verdict = verify(&into, |_, _| ())?;
    if !verdict.findings.is_empty() {
        let unsound = into.with_added_extension("unsound");
        std::fs::rename(&into, &unsound).map_err(BackupError::io(&unsound))?;
        let findings = verdict.findings.iter().map(|finding| finding.0.clone()).collect();
        return Err(BackupError::Unsound { dir: unsound, findings });
    }
    let excess = (before.len() + 1).saturating_sub(config.keep.max(1));
    let removed: Vec<PathBuf> = before.into_iter().take(excess).collect();
    for old in &removed {
        remove(old)?;
    }
    files::sync_dir(dir)?;
    Ok(Scheduled { report, verdict, removed })
}

/// The moment as the name of a directory, as `2026-11-29T214501Z`: the order of names is that of time.
fn name(clock: &Clock) -> String {
    let now = clock.now().to_string();
    let second = now.split('.').next().unwrap_or(&now);
    format!("{}Z", second.replace(':', ""))
}

/// The newest of the backups by the clock that stand in `dir`, if any do.
#[must_use]
pub fn newest_below(dir: &Path) -> Option<PathBuf> {
    backups(dir).ok()?.pop()
}

/// The whole backups in `dir`, oldest first.
fn backups(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let names = files::names(dir)?.into_iter().filter(|name| is_moment(name));
    Ok(names.map(|name| dir.join(name)).filter(|path| path.join(MANIFEST).is_file()).collect())
}

fn is_moment(name: &str) -> bool {
    let form = "0000-00-00T000000Z";
    let fits = |(c, of): (char, char)| if of == '0' { c.is_ascii_digit() } else { c == of };
    name.len() == form.len() && name.chars().zip(form.chars()).all(fits)
}

/// Removes a backup; one that is half removed has a name that says so.
fn remove(backup: &Path) -> Result<(), BackupError> {
    let going = backup.with_added_extension("partial");
    std::fs::rename(backup, &going).map_err(BackupError::io(&going))?;
    std::fs::remove_dir_all(&going).map_err(BackupError::io(&going))
}

/// Removes what runs that were killed have left.
fn remove_rests(dir: &Path) -> Result<(), BackupError> {
    for name in files::names(dir)? {
        let path = dir.join(&name);
        if name.strip_suffix(".partial").is_some_and(is_moment) && is_ours(&path)? {
            std::fs::remove_dir_all(&path).map_err(BackupError::io(&path))?;
        }
    }
    Ok(())
}
