//! One more backup below `backup.dir`, by the clock.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{Failure, Kind};
use crate::{
    backup,
    clock::{Clock, Timestamp},
    config::BackupConfig,
    metrics::BackupFigures,
    store::{JobEffect, Store},
};

/// The kind's name.
pub(super) const BACKUP: &str = "backup";
/// A hundred gigabytes take so long, the verifying included.
const LEASE: Duration = Duration::from_hours(6);

/// What a backup needs.
pub struct Backups {
    /// Where they stand, how often they are made, how many are kept.
    pub config: BackupConfig,
    /// The data directory.
    pub data: PathBuf,
    /// Counts them.
    pub figures: Arc<BackupFigures>,
}

/// A backup that is being made: one that failed where it is dropped without having been made, as by a panic.
struct Attempt {
    figures: Arc<BackupFigures>,
    is_made: bool,
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if !self.is_made {
            self.figures.failed();
        }
    }
}

/// Finds the last backup that was made before the start. On a thread of its own: `dir` may be on another machine.
fn find_last(store: &Store, dir: PathBuf, figures: Arc<BackupFigures>) {
    let sealer = store.sealer();
    let find = move || {
        let last = sealer.journal().and_then(|journal| backup::newest_of(&dir, journal));
        if let Some((last, at)) = last.and_then(|last| Timestamp::from_text(&last.made_at).map(|at| (last, at))) {
            figures.found(at, last.bytes);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("bondhu-last".to_owned()).spawn(find) {
        tracing::warn!(%error, "when the last backup was made is not known: the system gives no thread");
    }
}

/// Made again where it was killed, it leaves no half of one. Without `backup.dir` there is none to be made: what was enqueued
/// when there was one then ends at once.
pub(super) fn kind(store: Arc<Store>, clock: Clock, backups: Backups) -> Kind {
    let Backups { config, data, figures } = backups;
    let is_on = !config.dir.as_os_str().is_empty();
    let every = is_on.then_some(config.every);
    if is_on {
        find_last(&store, config.dir.clone(), Arc::clone(&figures));
    }
    let run = move |_: &_| {
        let (sealer, clock, config) = (store.sealer(), clock.clone(), config.clone());
        let (data, figures) = (data.clone(), Arc::clone(&figures));
        // It blocks, on a thread of its own.
        let work: super::Work = Box::pin(async move {
            if !is_on {
                return Ok(JobEffect::Nothing);
            }
            let seal = || sealer.seal().map_err(|error| error.to_string());
            let mut attempt = Attempt { figures, is_made: false };
            match backup::make_scheduled(&config, &data, &clock, seal, |_, _| ()) {
                Ok(made) => {
                    let bytes = made.report.copied.bytes + made.report.linked.bytes;
                    attempt.is_made = true;
                    attempt.figures.succeeded(clock.now(), bytes, made.report.took);
                    let (dir, copied) = (made.report.dir.display(), made.report.copied.bytes);
                    tracing::info!(%dir, copied, bytes, removed = made.removed.len(), "a backup was made and verified");
                    for old in &made.kept {
                        let (dir, why) = (old.dir.display(), &old.why);
                        tracing::warn!(%dir, why, "an older backup stays, whatever its age");
                    }
                    Ok(JobEffect::Nothing)
                }
                Err(error) => Err(Failure(error.to_string())),
            }
        });
        work
    };
    Kind { name: BACKUP, lease: LEASE, is_long: true, every, at_once: true, makes_room: false, run: Box::new(run) }
}
