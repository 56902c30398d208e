//! Making a backup: the sealed segments of one moment, linked where an older backup has them, copied where it does not.

use std::{
    collections::HashSet,
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    Amount, BackupError, BackupFile, HEADER, JOURNAL, Manifest, Report, files,
    manifest::Newer,
    place::{Found, Place},
};
use crate::{
    clock::Clock,
    config::is_within,
    store::{Sealed, SegmentHead, check_sealed},
};

/// How often the copying begins anew where compaction removes what is being copied.
const TRIES: usize = 5;

/// Which older backup shares its segments with the new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// The one that stands in the same place, which the new one replaces.
    Same,
    /// This one, or none; the place must be free.
    Other(Option<PathBuf>),
}

/// Makes a backup of the data directory `data` at `into`. `seal` has the journal sealed by who writes it, and is asked again
/// where compaction was faster than the copying. `progress` gets (bytes done, bytes in all).
///
/// A run that is killed leaves the old backup or the new one, and beside it what the next run finishes or removes. Writers of
/// `data` are not held up: nothing of theirs is locked, and each piece that is copied is small.
///
/// # Errors
/// As [`BackupError`] says; what stood at `into` is as it was then.
pub fn make(
    (data, into): (&Path, &Path),
    base: &Base,
    clock: &Clock,
    mut seal: impl FnMut() -> Result<Sealed, String>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, BackupError> {
    let began = Instant::now();
    if is_within(into, data) {
        return Err(BackupError::Taken { dir: into.to_owned(), why: "is within the data directory".to_owned() });
    }
    let (place, found) = Place::take(into)?;
    let made_at = clock.now().to_string(); // Before the sealing: what was acknowledged by now is in it.
    let build = || {
        let older = older(into, base, found)?;
        for _ in 0..TRIES {
            let sealed = seal().map_err(BackupError::NotSealed)?;
            let mut copy = Copy::new(data, &place, older.as_ref());
            match copy.all(&sealed, &mut progress) {
                Ok(()) if *base == Base::Same => copy.may_replace(&sealed)?,
                Ok(()) => {}
                // Compaction has replaced it meanwhile: the chain of now lacks nothing.
                Err(BackupError::Io { source, path })
                    if source.kind() == io::ErrorKind::NotFound && path.starts_with(data) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            }
            return copy.finish(into, &sealed, &made_at);
        }
        Err(BackupError::Overtaken(TRIES))
    };
    match build() {
        Ok(report) => {
            place.settle()?;
            Ok(Report { took: began.elapsed(), ..report })
        }
        Err(error) => {
            place.abandon();
            Err(error)
        }
    }
}

/// The backup whose segments may be shared, and what it says of them.
fn older(into: &Path, base: &Base, found: Found) -> Result<Option<(PathBuf, Manifest)>, BackupError> {
    match (base, found) {
        (Base::Same, Found::Backup(manifest)) => Ok(Some((into.to_owned(), manifest))),
        (Base::Other(Some(dir)), Found::Nothing) => Ok(Manifest::read(dir)?.map(|manifest| (dir.clone(), manifest))),
        (Base::Same | Base::Other(None), Found::Nothing) => Ok(None),
        (Base::Other(_), Found::Backup(_)) => {
            Err(BackupError::Taken { dir: into.to_owned(), why: "is there already".to_owned() })
        }
    }
}

/// One try.
struct Copy<'a> {
    data: PathBuf,
    place: &'a Place,
    older: Option<&'a (PathBuf, Manifest)>,
    files: Vec<BackupFile>,
    copied: Amount,
    linked: Amount,
    repaired: Vec<String>,
    journal: Option<[u8; 16]>,
    format: u32,
}

impl<'a> Copy<'a> {
    fn new(data: &Path, place: &'a Place, older: Option<&'a (PathBuf, Manifest)>) -> Self {
        Self {
            data: data.join(JOURNAL),
            place,
            older,
            files: Vec::new(),
            copied: Amount::default(),
            linked: Amount::default(),
            repaired: Vec::new(),
            journal: None,
            format: 0,
        }
    }

    fn all(&mut self, sealed: &Sealed, progress: &mut impl FnMut(u64, u64)) -> Result<(), BackupError> {
        let names: Vec<String> = sealed.names().collect();
        let mut lengths = Vec::with_capacity(names.len());
        for name in &names {
            let path = self.data.join(name);
            lengths.push(std::fs::metadata(&path).map_err(BackupError::io(&path))?.len());
        }
        let total = lengths.iter().sum();
        let mut done = 0;
        for (name, length) in names.iter().zip(lengths) {
            if !self.link(name, length)? {
                self.copy(name)?;
            }
            done += length;
            progress(done, total);
        }
        let wanted: HashSet<&String> = names.iter().collect();
        for name in files::names(&self.place.journal())? {
            if !wanted.contains(&name) {
                files::remove(&self.place.journal().join(name))?;
            }
        }
        Ok(())
    }

    /// Takes the segment from the older backup, where it is there and as its manifest says; false where it is to be copied.
    fn link(&mut self, name: &str, length: u64) -> Result<bool, BackupError> {
        let Some((dir, manifest)) = self.older else { return Ok(false) };
        let Some(file) = manifest.file(name).filter(|file| file.length == length) else { return Ok(false) };
        let bytes = match file.read(dir) {
            Ok(bytes) => bytes,
            Err(BackupError::Damaged { .. }) => {
                self.repaired.push(name.to_owned());
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        // The header has the journal's id, the segment's number and generation and when it was made: where all of it is the
        // same, so is the rest, for sealed segments never change. After an older backup was put back, it is another one.
        let source = self.data.join(name);
        if bytes.get(..HEADER) != Some(&files::read_first::<HEADER>(&source).map_err(BackupError::io(&source))?) {
            return Ok(false);
        }
        let (path, to) = (dir.join(JOURNAL).join(name), self.place.journal().join(name));
        let head = check_sealed(&path, &bytes)?;
        files::remove(&to)?;
        if std::fs::hard_link(&path, &to).is_err() {
            return Ok(false); // Another file system, or one without links.
        }
        self.see(&path, head)?;
        self.linked.add(length);
        self.files.push(file.clone());
        Ok(true)
    }

    fn copy(&mut self, name: &str) -> Result<(), BackupError> {
        let path = self.data.join(name);
        let bytes = files::read(&path).map_err(BackupError::io(&path))?;
        self.see(&path, check_sealed(&path, &bytes)?)?;
        let file = BackupFile { name: name.to_owned(), length: bytes.len() as u64, sha256: files::digest(&bytes) };
        let to = self.place.journal().join(name);
        // A run that was killed may have copied it already.
        if files::read(&to).is_ok_and(|there| there == bytes) {
            self.linked.add(file.length);
        } else {
            files::remove(&to)?;
            files::write(&to, &bytes)?;
            self.copied.add(file.length);
        }
        self.files.push(file);
        Ok(())
    }

    fn see(&mut self, path: &Path, head: SegmentHead) -> Result<(), BackupError> {
        if *self.journal.get_or_insert(head.journal) != head.journal {
            return Err(BackupError::damaged(path, "is of another journal than those before it"));
        }
        self.format = self.format.max(head.format);
        Ok(())
    }

    /// Wants the backup that is going to be removed to have nothing that the new one lacks.
    fn may_replace(&self, sealed: &Sealed) -> Result<(), BackupError> {
        let Some((dir, older)) = self.older else { return Ok(()) };
        let (folder, journal) = (self.place.journal(), self.journal_id());
        let newer =
            Newer { folder: &folder, journal: journal.as_deref(), next_frame: sealed.next_frame, files: &self.files };
        older.is_superseded_by(dir, &newer).map_err(|why| BackupError::Taken { dir: dir.clone(), why })
    }

    fn journal_id(&self) -> Option<String> {
        self.journal.map(|id| files::hex(&id))
    }

    /// Writes the manifest.
    fn finish(self, into: &Path, sealed: &Sealed, made_at: &str) -> Result<Report, BackupError> {
        let (journal, last_frame) = (self.journal_id(), sealed.next_frame.saturating_sub(1));
        let manifest = Manifest {
            journal,
            journal_format: self.format,
            last_frame,
            ..Manifest::of(self.files, made_at.to_owned())
        };
        manifest.write(&self.place.partial)?;
        let Self { copied, linked, repaired, .. } = self;
        Ok(Report { dir: into.to_owned(), copied, linked, repaired, last_frame, took: Duration::ZERO })
    }
}
