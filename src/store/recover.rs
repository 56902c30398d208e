//! Opening a data directory: the lock, the journal's last whole frame, and an index that is believed or rebuilt.

use std::{
    collections::{BTreeMap, HashMap},
    fs::TryLockError,
    io,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};

use super::{
    OpenError, OpenTurn,
    checkpoint::{Checkpoint, Checkpoints, Progress},
    codec::{Change, MessageRecord},
    disk::{Dir, Disk, DiskFile},
    index::{Index, IndexError, guarded},
    journal::{self, Journal, Known},
    memory::follow_turns,
};
use crate::{
    clock::{Clock, Timestamp},
    config::DataConfig,
    id::{Seq, SessionId},
};

/// Messages that a rebuild sorts before it inserts them, bytes: sled takes them several times faster in order.
const SORTED_BYTES_MAX: usize = 32 << 20;

/// A long rebuild says how far it is this often.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// A data directory, ready for the writer.
pub(crate) struct Recovered {
    /// Held as long as the directory is in use.
    pub(crate) lock: DiskFile,
    pub(crate) journal: Journal,
    pub(crate) index: Index,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) open: HashMap<OpenTurn, u64>,
    pub(crate) next_stamp: u64,
}

/// The parts of a data directory.
pub(crate) struct Layout {
    pub(crate) journal: Dir,
    pub(crate) index: Dir,
}

impl Layout {
    pub(crate) fn of(dir: &Dir) -> Self {
        Self { journal: dir.dir("journal"), index: dir.dir("index") }
    }
}

/// Opens `config.dir` on `disk`, making it where it is missing.
pub(crate) fn recover(disk: &Disk, config: &DataConfig, clock: &Clock) -> Result<Recovered, OpenError> {
    // What sled makes is for the owner alone, whatever the umask was.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let dir = Dir { disk: disk.clone(), path: config.dir.clone() };
    let layout = Layout::of(&dir);
    make_private_dir(&dir)?;
    let lock = lock(&dir)?;
    make_private_dir(&layout.journal)?;
    make_private_dir(&layout.index)?;

    let checkpoint = Checkpoint::read(&layout.index);
    let chain = journal::list(&layout.journal)?.chain;
    if chain.is_empty() {
        any_missing(&layout, checkpoint.as_ref())?;
    }
    let journal_id = chain.first().map(|segment| segment.header.journal);
    let mut doubt = match &checkpoint {
        None if chain.is_empty() && !disk.exists(&layout.index.join("db")) => None,
        None => Some("there is none".to_owned()),
        Some(checkpoint) => checkpoint.doubt(&layout.index, journal_id).map(str::to_owned),
    };
    if doubt.is_none() {
        if let Some(checkpoint) = &checkpoint {
            let taken_back = checkpoint.take_back(&layout.index);
            taken_back.map_err(|source| OpenError::Io { path: layout.index.join("checkpoint"), source })?;
        }
        match replay(config, &layout, clock, checkpoint.as_ref()) {
            Ok(replayed) => return finish(replayed, lock, &layout),
            Err(OpenError::Index(why)) => doubt = Some(why),
            Err(error) => return Err(error),
        }
    }
    let why = doubt.unwrap_or_default();
    tracing::warn!(%why, "rebuilding the index from the journal");
    let started = Instant::now();
    remove_index(&layout.index)?;
    let replayed = replay(config, &layout, clock, None)?;
    tracing::info!(seconds = started.elapsed().as_secs_f64(), "the index is rebuilt");
    finish(replayed, lock, &layout)
}

/// Refuses a journal without segments where the index has seen some, of whatever journal it was.
pub(crate) fn any_missing(layout: &Layout, checkpoint: Option<&Checkpoint>) -> Result<(), OpenError> {
    if checkpoint.is_none_or(|checkpoint| checkpoint.next_frame <= 1) {
        return Ok(());
    }
    let what = "all segments are missing, but the index has seen changes".to_owned();
    Err(OpenError::Damaged { path: layout.journal.path.clone(), offset: 0, what })
}

/// Takes the directory for this process; held until the file is dropped.
pub(crate) fn lock(dir: &Dir) -> Result<DiskFile, OpenError> {
    let path = dir.join("LOCK");
    let io = |source| OpenError::Io { path: path.clone(), source };
    let file = dir.disk.open_or_create(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.path.clone())),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

struct Replayed {
    journal: Journal,
    index: Index,
    open: HashMap<OpenTurn, u64>,
    next_stamp: u64,
}

/// Opens the index and applies what it lacks of the journal: all of it where there is no checkpoint.
fn replay(
    config: &DataConfig,
    layout: &Layout,
    clock: &Clock,
    checkpoint: Option<&Checkpoint>,
) -> Result<Replayed, OpenError> {
    let index = Index::open(&layout.index.path, config.index_cache).map_err(|error| index_error(&error))?;
    if let Some(checkpoint) = checkpoint {
        index.require_applied(checkpoint.next_frame).map_err(|error| index_error(&error))?;
    }
    let known = checkpoint.map_or(Known { from: 0, next_frame: 0 }, |checkpoint| Known {
        from: checkpoint.replay_from,
        next_frame: checkpoint.next_frame,
    });
    let mut open = HashMap::new();
    let mut next_stamp = checkpoint.map_or(1, |checkpoint| checkpoint.next_stamp);
    let mut builder = Builder::new(&index, clock.now());
    let journal = Journal::open(&layout.journal, config.segment, clock, known, |frame, changes| {
        for change in changes {
            follow_turns(&mut open, &change, frame);
            if let Change::Message { record, .. } = &change {
                next_stamp = next_stamp.max(record.stamp + 1);
            }
            builder.apply(change).map_err(|error| index_error(&error))?;
        }
        Ok(())
    })?;
    builder.finish().map_err(|error| index_error(&error))?;
    Ok(Replayed { journal, index, open, next_stamp })
}

fn finish(replayed: Replayed, lock: DiskFile, layout: &Layout) -> Result<Recovered, OpenError> {
    let Replayed { journal, index, open, next_stamp } = replayed;
    let io = |source| OpenError::Io { path: layout.index.join("checkpoint"), source };
    let mut checkpoints = Checkpoints::open(&layout.index, journal.id()).map_err(io)?;
    let next_frame = journal.next_frame();
    let replay_from = open.values().copied().min().unwrap_or(next_frame);
    // From here on the last run's word counts for nothing: this run's does.
    guarded(|| index.flush(next_frame)).map_err(|error| index_error(&error))?;
    checkpoints.write(Progress { replay_from, next_frame, next_stamp }, false).map_err(io)?;
    Ok(Recovered { lock, journal, index, checkpoints, open, next_stamp })
}

/// Applies changes to the index, messages sorted: a rebuild has all of them before it.
pub(crate) struct Builder<'a> {
    index: &'a Index,
    now: Timestamp,
    messages: BTreeMap<(SessionId, Seq), MessageRecord>,
    bytes: usize,
    applied: u64,
    reported: Instant,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(index: &'a Index, now: Timestamp) -> Self {
        Self { index, now, messages: BTreeMap::new(), bytes: 0, applied: 0, reported: Instant::now() }
    }

    pub(crate) fn apply(&mut self, change: Change) -> Result<(), IndexError> {
        self.applied += 1;
        if self.reported.elapsed() >= REPORT_EVERY {
            self.reported = Instant::now();
            tracing::info!(changes = self.applied, "applying the journal to the index");
        }
        match change {
            Change::Message { session, seq, record } => {
                self.bytes += record.content.len() + 200;
                self.messages.insert((session, seq), record);
                if self.bytes > SORTED_BYTES_MAX { self.flush() } else { Ok(()) }
            }
            // What removes messages, or looks at them, comes after those that came before it.
            Change::Session { .. }
            | Change::SessionDeleted { .. }
            | Change::UserDeleted { .. }
            | Change::Erased { .. } => {
                let removes = !matches!(&change, Change::Session { meta, .. } if meta.cleared_through == Seq::ZERO);
                if removes {
                    self.flush()?;
                }
                guarded(|| self.index.apply(&change, self.now))
            }
            change @ (Change::Outcome { .. }
            | Change::User { .. }
            | Change::Token { .. }
            | Change::TokenEnded { .. }
            | Change::Invitation { .. }
            | Change::InvitationUsed { .. }
            | Change::SendKey { .. }
            | Change::Job { .. }
            | Change::JobEnded { .. }
            | Change::Annotation { .. }
            | Change::Progress { .. }
            | Change::Scopes { .. }) => guarded(|| self.index.apply(&change, self.now)),
        }
    }

    pub(crate) fn finish(mut self) -> Result<(), IndexError> {
        self.flush()
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.bytes = 0;
        let messages = std::mem::take(&mut self.messages);
        guarded(|| {
            messages.iter().try_for_each(|((session, seq), record)| self.index.put_message(*session, *seq, record))
        })
    }
}

fn index_error(error: &IndexError) -> OpenError {
    match error {
        // No reason to build it anew, for which there would be no room either.
        IndexError::Sled(sled::Error::Io(source)) if source.kind() == io::ErrorKind::StorageFull => OpenError::DiskFull,
        IndexError::Sled(_) | IndexError::Codec(_) | IndexError::Behind | IndexError::Panic(_) => {
            OpenError::Index(error.to_string())
        }
    }
}

fn remove_index(dir: &Dir) -> Result<(), OpenError> {
    let removed = dir.disk.remove_dir(&dir.path);
    removed.map_err(|source| OpenError::Io { path: dir.path.clone(), source })?;
    make_private_dir(dir)
}

/// Makes the names of directories that were `missing`, and of `dir` itself, durable: a file is there after a power cut
/// only if the way to it is. An earlier start may have died before it came to that.
fn sync_way_to(dir: &Dir, missing: &[&Path]) -> io::Result<()> {
    let made = missing.iter().skip(1).copied();
    for path in std::iter::once(dir.path.as_path()).chain(made) {
        let parent = match path.parent() {
            None => continue,
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
        };
        match dir.disk.sync_dir(parent) {
            // Who may enter it and not read it can't sync it; it was there before.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && missing.is_empty() => {}
            synced => synced?,
        }
    }
    Ok(())
}

/// Makes `dir` with mode 0700; an existing one that others may enter is closed to them, with a warning.
fn make_private_dir(dir: &Dir) -> Result<(), OpenError> {
    let Dir { disk, path } = dir;
    let io = |source| OpenError::Io { path: path.clone(), source };
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !disk.exists(path)).collect();
    disk.make_dir(path).map_err(io)?;
    sync_way_to(dir, &missing).map_err(io)?;
    let metadata = disk.metadata(path).map_err(io)?;
    if !metadata.is_dir() {
        return Err(io(io::Error::new(io::ErrorKind::NotADirectory, "not a directory")));
    }
    if metadata.mode() & 0o077 != 0 {
        tracing::warn!(dir = %path.display(), mode = format!("{:o}", metadata.mode() & 0o777), "others could enter the data directory; closing it to them");
        disk.close_to_others(path).map_err(io)?;
    }
    Ok(())
}
