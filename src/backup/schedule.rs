//! Backups by the clock: each in a directory of its own below `backup.dir`, sharing with the one before what is the same,
//! verified, and the oldest removed.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    BackupError, Base, JOURNAL, MANIFEST, Manifest, Report, files, make,
    manifest::Newer,
    place::{is_ours, lock, take_to_remove},
};
use crate::{
    clock::{Clock, Timestamp},
    config::BackupConfig,
    store::{Sealed, Verdict, verify},
};

/// So many names of seconds are looked at for one that no backup has.
const NAMES_MAX: u64 = 60;

/// What a scheduled backup came to.
#[derive(Debug, Clone)]
pub struct Scheduled {
    /// The new one.
    pub report: Report,
    /// What is in it.
    pub verdict: Verdict,
    /// The old ones that were removed.
    pub removed: Vec<PathBuf>,
    /// Those that stay whatever their age.
    pub kept: Vec<Kept>,
}

/// A backup that is not removed, though it may be old: nothing that was made since has what it has.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Where it stands.
    pub dir: PathBuf,
    /// Why it stays, to be said behind the place.
    pub why: String,
}

/// Makes one more backup of the data directory `data` below `config.dir`, verifies it, and removes the oldest of this
/// server's beyond `config.keep`. `seal` and `progress` are those of [`make`].
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
    let into = free_place(dir, clock)?;
    let report = make((data, &into), &Base::Other(before.last().cloned()), clock, seal, progress)?;
    let verdict = verify(&into, |_, _| ())?;
    if !verdict.findings.is_empty() {
        let unsound = into.with_added_extension("unsound");
        std::fs::rename(&into, &unsound).map_err(BackupError::io(&unsound))?;
        let findings = verdict.findings.iter().map(|finding| finding.0.clone()).collect();
        return Err(BackupError::Unsound { dir: unsound, findings });
    }
    let (removed, kept) = remove_oldest(before, &into, config.keep)?;
    files::sync_dir(dir)?;
    Ok(Scheduled { report, verdict, removed, kept })
}

/// Removes the oldest of the backups `before` that the one at `newest` makes superfluous, but `keep` with that one. What is of
/// another server, or of a later state than this one has, says nothing of this server, and stays: an empty server that
/// began where a disk was lost must not age the good backups out.
fn remove_oldest(before: Vec<PathBuf>, newest: &Path, keep: usize) -> Result<(Vec<PathBuf>, Vec<Kept>), BackupError> {
    let new = Manifest::read(newest)?;
    let newer = Newer {
        folder: &newest.join(JOURNAL),
        journal: new.as_ref().and_then(|new| new.journal.as_deref()),
        next_frame: new.as_ref().map_or(0, |new| new.last_frame + 1),
        files: new.as_ref().map_or(&[][..], |new| &new.files),
    };
    let (mut kept, mut own) = (Vec::new(), Vec::new());
    for dir in before {
        let why = match Manifest::read(&dir) {
            Ok(Some(old)) => match old.is_superseded_by(&dir, &newer) {
                Ok(()) => {
                    own.push((dir, old));
                    continue;
                }
                Err(why) => why,
            },
            Ok(None) => continue,
            Err(error) => format!("can't be judged: {error}"),
        };
        kept.push(Kept { dir, why });
    }
    let excess = (own.len() + 1).saturating_sub(keep.max(1));
    let mut removed = Vec::new();
    for (dir, old) in own.into_iter().take(excess) {
        match take_to_remove(&dir, &old) {
            Ok(_lock) => {
                remove(&dir)?;
                removed.push(dir);
            }
            Err(BackupError::InUse(_)) => kept.push(Kept { dir, why: "is in use".to_owned() }),
            Err(BackupError::Taken { why, .. }) => kept.push(Kept { dir, why }),
            Err(error) => return Err(error),
        }
    }
    Ok((removed, kept))
}

/// A place that no backup has: where one was made in this second, that of the next.
fn free_place(dir: &Path, clock: &Clock) -> Result<PathBuf, BackupError> {
    let now = clock.now();
    let places = (0..NAMES_MAX).map(|seconds| dir.join(name(now.after(Duration::from_secs(seconds)))));
    let mut last = dir.to_owned();
    for place in places {
        if !place.exists() {
            return Ok(place);
        }
        last = place;
    }
    Err(BackupError::NoName(last))
}

/// The moment as the name of a directory, as `2026-11-29T214501Z`: the order of names is that of time.
fn name(at: Timestamp) -> String {
    let at = at.to_string();
    let second = at.split('.').next().unwrap_or(&at);
    format!("{}Z", second.replace(':', ""))
}

/// What is in the newest of the backups by the clock of this journal that stand in `dir`, if any do.
#[must_use]
pub fn newest_of(dir: &Path, journal: [u8; 16]) -> Option<Manifest> {
    let journal = Some(files::hex(&journal));
    let manifests = backups(dir).ok()?.into_iter().rev().filter_map(|backup| Manifest::read(&backup).ok()?);
    manifests.into_iter().find(|manifest| manifest.journal == journal)
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
