//! `bondhu restore`: a data directory from a backup, verified before it is there.

use std::path::Path;

use super::{Failure, check, note, print, progress::Progress};
use crate::backup::{self, Restored};

/// Restores `from` to `into`, which must not be there or be empty.
pub(super) fn run(from: &Path, into: &Path) -> Result<(), Failure> {
    let mut progress = Progress::new("restoring");
    let restored = backup::restore(from, into, |done, total| progress.step(done, total));
    progress.end();
    let Restored { manifest, bytes, verdict } = restored.map_err(|error| {
        let advice = "nothing was restored";
        Failure::Failed(format!("{error}\n{advice}"))
    })?;
    match &manifest {
        Some(manifest) => print(&format!("made        {}\n", manifest.made_at))?,
        None => note("there is no backup.json: a plain copy, of which only the journal's own checksums were compared"),
    }
    print(&format!("bytes       {bytes}\n{}", check::summary(&verdict)))?;
    check::print_doubt(manifest.as_ref(), &verdict)?;
    print(&format!("restored    {}\n", into.display()))
}
