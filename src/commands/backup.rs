//! `bondhu backup`: a backup of the running server, or of a directory that none runs on.

use std::path::PathBuf;

use super::{
    Failure,
    export::unexpected,
    load, note,
    operator::{Operator, is_own},
    print,
    progress::Progress,
};
use crate::{
    backup::{self, Base, Report},
    cli::Settings,
    clock::Clock,
    config::Loaded,
    control::{ControlAnswer, ControlRequest},
    store::Sealed,
};

/// Makes a backup at `dir`, or where there is none the next one of those by the clock.
pub(super) fn run(settings: &[Settings], dir: Option<PathBuf>) -> Result<(), Failure> {
    let loaded = load(settings, true)?;
    if dir.is_none() && loaded.config.backup.dir.as_os_str().is_empty() {
        return Err(Failure::Misused("name a directory to back up into, or set backup.dir".to_owned()));
    }
    let operator = Operator::of_existing(&loaded)?;
    if dir.is_none() {
        is_own(&loaded.config.data.dir)?; // The next one by the clock is the server's, and shares the files of this one.
    }
    let mut progress = Progress::new("backing up");
    let made = make(&loaded, dir, &operator, &mut progress);
    progress.end();
    operator.end();
    print(&made?)
}

fn make(
    loaded: &Loaded,
    dir: Option<PathBuf>,
    operator: &Operator,
    progress: &mut Progress,
) -> Result<String, Failure> {
    let data = &loaded.config.data.dir;
    let seal = || {
        let answer = operator.ask(ControlRequest::Seal {}).map_err(Failure::into_words)?;
        let ControlAnswer::Sealed { generations, next_frame } = answer else {
            return Err(unexpected(&answer).into_words());
        };
        Ok(Sealed { generations, next_frame })
    };
    let step = |done, total| progress.step(done, total);
    let failed = |error: backup::BackupError| Failure::Failed(error.to_string());
    let Some(dir) = dir else {
        let made = backup::make_scheduled(&loaded.config.backup, data, &Clock::System, seal, step).map_err(failed)?;
        let removed = made.removed.iter().map(|old| format!("removed     {}\n", old.display()));
        let kept = made.kept.iter().map(|old| format!("kept        {}: it {}\n", old.dir.display(), old.why));
        return Ok(text(&made.report) + &removed.chain(kept).collect::<String>());
    };
    Ok(text(&backup::make((data, &dir), &Base::Same, &Clock::System, seal, step).map_err(failed)?))
}

fn text(report: &Report) -> String {
    let Report { dir, copied, linked, repaired, last_frame, took } = report;
    for name in repaired {
        note(&format!("{name} was damaged in the older backup, and was copied again"));
    }
    format!(
        "backup      {}\nframes      up to {last_frame}\ncopied      {} segments, {} bytes\nshared      {} segments, {} \
         bytes\nseconds     {:.3}\n",
        dir.display(),
        copied.files,
        copied.bytes,
        linked.files,
        linked.bytes,
        took.as_secs_f64()
    )
}
