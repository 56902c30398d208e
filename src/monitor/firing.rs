//! Which alerts fire, in a file that outlives the process: so that a restart tells nothing again, and word of the end comes.
//!
//! It is no part of what the promises are about: a file that can't be read is none.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::alerts::Fired;

/// The file, and what it says.
pub(super) struct FiringFile {
    path: PathBuf,
    written: Vec<Fired>,
}

impl FiringFile {
    /// Reads `monitor/firing` in the data directory. What can't be read is told in the log, and is nothing.
    pub(super) fn open(data: &Path) -> Self {
        let path = data.join("monitor").join("firing");
        let written = match read(&path) {
            Ok(fired) => fired,
            Err(error) => {
                tracing::warn!(target: "monitor", path = %path.display(), %error, "what fired before this start is not known");
                Vec::new()
            }
        };
        Self { path, written }
    }

    /// What fired when the process before this one ended.
    pub(super) fn fired(&self) -> Vec<Fired> {
        self.written.clone()
    }

    /// Writes what fires now, where that is something else than before. A failure is told once for each change.
    pub(super) fn keep(&mut self, fired: Vec<Fired>) {
        if fired == self.written {
            return;
        }
        if let Err(error) = write(&self.path, &fired) {
            tracing::warn!(target: "monitor", path = %self.path.display(), %error, "which alerts fire can't be written; a restart forgets them");
        }
        self.written = fired;
    }
}

fn read(path: &Path) -> io::Result<Vec<Fired>> {
    match fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// In one step, and without waiting for the disk: a power cut may cost the newest change.
fn write(path: &Path, fired: &[Fired]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(fired)?)?;
    fs::rename(&new, path)
}
