//! A disk that keeps its promises and nothing more: what was synced is there, of the rest anything may be missing.

use std::{collections::HashMap, path::Path};

use super::{
    Random,
    strace::{Call, Deed},
};

const SECTOR: usize = 512;

/// What happens to what was written and not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Lost,
    Kept,
    /// Each sector for itself.
    Sectors,
    /// A beginning of it.
    Torn,
}

/// A change of a file that no sync has covered yet.
#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize { length: usize, grows: bool },
}

/// A file's content: what is certain, and what came after, each with the time at which it was done.
#[derive(Debug, Clone, Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<(usize, Change)>,
}

/// Directory entries below one directory, by path; the files, by number.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    files: Vec<File>,
    /// What the running system sees.
    entries: HashMap<String, usize>,
    /// What is certain after a cut.
    synced_entries: HashMap<String, usize>,
    open: HashMap<i64, String>,
}

impl Disk {
    /// The disk at the time `cut`, from the calls on paths below `dir`.
    pub(crate) fn at(calls: &[Call], dir: &Path, cut: usize) -> Self {
        let mut disk = Self::default();
        let dir = dir.to_str().unwrap();
        for call in calls.iter().filter(|call| call.began < cut) {
            disk.follow(call, dir, cut);
        }
        disk
    }

    fn follow(&mut self, call: &Call, dir: &str, cut: usize) {
        match &call.deed {
            Deed::Open { fd, path, creates, .. } if path.starts_with(dir) => {
                if *creates && !self.entries.contains_key(path) {
                    self.entries.insert(path.clone(), self.files.len());
                    self.files.push(File::default());
                }
                self.open.insert(*fd, path.clone());
            }
            Deed::Open { fd, .. } | Deed::Accept { fd } | Deed::Close { fd } => drop(self.open.remove(fd)),
            Deed::Write { fd, offset, bytes } => {
                let Some(file) = self.file(*fd) else { return };
                let offset = usize::try_from(offset.expect("data files are written at offsets")).unwrap();
                file.pending.push((call.ended, Change::Write { offset, bytes: bytes.clone() }));
            }
            Deed::Resize { fd, length, grows } => {
                let Some(file) = self.file(*fd) else { return };
                let length = usize::try_from(*length).unwrap();
                file.pending.push((call.ended, Change::Resize { length, grows: *grows }));
            }
            Deed::Sync { fd } if call.ended < cut => self.sync(*fd, call.began),
            Deed::Remove { path } => drop(self.entries.remove(path)),
            Deed::Rename { from, to } if from.starts_with(dir) => {
                let file = self.entries.remove(from).unwrap();
                self.entries.insert(to.clone(), file);
            }
            Deed::Sync { .. } | Deed::Rename { .. } | Deed::MakeDir { .. } => {}
        }
    }

    fn file(&mut self, fd: i64) -> Option<&mut File> {
        let file = *self.entries.get(self.open.get(&fd)?)?;
        self.files.get_mut(file)
    }

    /// What was done before the sync began is certain when it has ended.
    fn sync(&mut self, fd: i64, began: usize) {
        if let Some(file) = self.file(fd) {
            let pending = std::mem::take(&mut file.pending);
            let (covered, later) = pending.into_iter().partition::<Vec<_>, _>(|(ended, _)| *ended < began);
            for (_, change) in &covered {
                change.apply(&mut file.synced);
            }
            file.pending = later;
        } else if let Some(dir) = self.open.get(&fd) {
            let below = |path: &String| Path::new(path).parent() == Some(Path::new(dir));
            self.synced_entries.retain(|path, _| !below(path));
            let entries = self.entries.iter().filter(|(path, _)| below(path));
            self.synced_entries.extend(entries.map(|(path, file)| (path.clone(), *file)));
        }
    }

    /// True where bytes were written to a file below the directory, or a file was made there, and no sync has covered it.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let written = |file: &File| file.pending.iter().any(|(_, change)| matches!(change, Change::Write { .. }));
        self.files.iter().any(written) || self.entries.iter().any(|(path, _)| !self.synced_entries.contains_key(path))
    }

    /// True where these bytes are certain.
    pub(crate) fn holds(&self, needle: &[u8]) -> bool {
        self.files.iter().any(|file| file.synced.windows(needle.len()).any(|window| window == needle))
    }

    /// Writes what a cut leaves below `to`.
    pub(crate) fn write(&self, from: &Path, to: &Path, fate: Fate, random: &mut Random) {
        std::fs::create_dir_all(to).unwrap();
        let mut entries = self.synced_entries.clone();
        let changed = |path: &&String| self.entries.get(*path) != self.synced_entries.get(*path);
        let mut unsure: Vec<&String> = self.entries.keys().chain(self.synced_entries.keys()).filter(changed).collect();
        unsure.sort();
        unsure.dedup();
        for path in unsure.into_iter().filter(|_| fate == Fate::Kept || (fate != Fate::Lost && random.one_in(2))) {
            match self.entries.get(path) {
                Some(file) => drop(entries.insert(path.clone(), *file)),
                None => drop(entries.remove(path)),
            }
        }
        for (path, file) in entries {
            let content = self.files[file].after(fate, random);
            std::fs::write(to.join(Path::new(&path).strip_prefix(from).unwrap()), content).unwrap();
        }
    }
}

impl File {
    fn after(&self, fate: Fate, random: &mut Random) -> Vec<u8> {
        let mut content = self.synced.clone();
        for (_, change) in &self.pending {
            let survives = fate == Fate::Kept || (fate != Fate::Lost && random.one_in(2));
            match change {
                Change::Resize { .. } if survives => change.apply(&mut content),
                Change::Write { .. } if fate == Fate::Kept => change.apply(&mut content),
                Change::Write { offset, bytes } if fate != Fate::Lost => {
                    let mut left = if fate == Fate::Torn { random.below(bytes.len() / SECTOR + 2) } else { usize::MAX };
                    let mut at = 0;
                    while at < bytes.len() && left > 0 {
                        let end = (at + SECTOR - (offset + at) % SECTOR).min(bytes.len());
                        if fate == Fate::Torn || random.one_in(2) {
                            let part = Change::Write { offset: offset + at, bytes: bytes[at..end].to_vec() };
                            part.apply(&mut content);
                        }
                        at = end;
                        left -= 1;
                    }
                }
                Change::Resize { .. } | Change::Write { .. } => {}
            }
        }
        content
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Resize { length, grows } if *grows => content.resize(content.len().max(*length), 0),
            Self::Resize { length, .. } => content.resize(*length, 0),
        }
    }
}
