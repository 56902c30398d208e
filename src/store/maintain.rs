//! What the store does beside the writer: checkpoints of the index, and compaction of the journal.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    COMPACTION, Health, NewJob, OpenError, Repeat, Store, StoreError,
    checkpoint::{self, Checkpoints, Progress},
    command::{Command, Reply},
    disk::Dir,
    index::{IndexError, guarded},
    jobs::JobCommand,
    journal::{self, Worth},
    recover::Layout,
    writer::{Shared, fail_on},
};
use crate::clock::Clock;

/// Compaction looks whether it is due this often.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Without any deletion, compaction looks for stale changes this often.
const STALE_EVERY: Duration = Duration::from_hours(24);
/// How long compaction waits for deletions that are still being carried out in the index.
const REMOVALS_WAIT: Duration = Duration::from_mins(10);

impl Store {
    /// Rewrites the journal to the live data now; gives the bytes that it saved. The old segments stay for a while.
    ///
    /// # Errors
    /// `Busy`, `Ended`, `DiskFull`, `Unreadable`.
    pub async fn compact(&self) -> Result<u64, StoreError> {
        let (reply, saved) = oneshot::channel();
        self.compactions.try_send(reply).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Ended,
        })?;
        saved.await.unwrap_or(Err(StoreError::Ended))
    }

    /// Leaves word that the index is to be rebuilt at the next start: what sled has freed may still hold deleted text.
    ///
    /// # Errors
    /// The system's, and one of its own where too many reads wait.
    pub async fn rebuild_at_next_start(&self) -> io::Result<()> {
        let index = Layout::of(&self.dir).index;
        // The sync blocks, which no worker may.
        self.read(move |_| Ok(checkpoint::mark_rebuild(&index))).await.map_err(io::Error::other)?
    }
}

/// Flushes the index whenever the writer asks, until the writer is gone; gives the file back for the last one.
pub(crate) fn run_checkpoints(
    shared: &Shared,
    wanted: &Receiver<Progress>,
    mut checkpoints: Checkpoints,
) -> Checkpoints {
    while let Ok(progress) = wanted.recv() {
        let figures = &shared.figures;
        if let Err(error) = guarded(|| shared.index.flush(progress.next_frame)) {
            figures.checkpoint_failures.count();
            shared.fail_index(format!("the index can't be flushed: {error}"));
        } else if let Err(error) = checkpoints.write(progress, false) {
            figures.checkpoint_failures.count();
            // An older checkpoint only makes the next start replay more.
            tracing::warn!(%error, "the checkpoint can't be written");
        } else {
            figures.checkpoints.count();
        }
    }
    checkpoints
}

/// Rewrites the journal to the live data, when it is due and when it is asked to.
pub(crate) struct Compactor {
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Clock,
    pub(crate) journal_dir: Dir,
    /// Held while a segment is rewritten: whoever holds it finds the chain as it is.
    pub(crate) chain: Arc<Mutex<()>>,
    pub(crate) commands: SyncSender<Command>,
    /// Requests to compact now; each gets the bytes that were saved.
    pub(crate) requests: Receiver<Reply<u64>>,
    pub(crate) keep_replaced: Duration,
    pub(crate) compact_within: Duration,
    pub(crate) stop: Arc<AtomicBool>,
}

/// Why a compaction ended early.
enum CompactError {
    Open(OpenError),
    Store(StoreError),
    Stopped,
}

impl From<OpenError> for CompactError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<StoreError> for CompactError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Compactor {
    /// Works until the store is gone.
    pub(crate) fn run(self) {
        let mut last = Instant::now();
        loop {
            let request = match self.requests.recv_timeout(LOOK_EVERY) {
                Ok(reply) => Some(reply),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let due = request.is_none() && self.is_due(last);
            if due && self.shared.jobs.runs.load(Ordering::Relaxed) {
                last = if self.enqueue() { Instant::now() } else { last };
            } else if request.is_some() || due {
                last = Instant::now();
                let saved = self.compact();
                if let Some(reply) = request {
                    let _ = reply.send(saved); // Whoever asked may have gone.
                }
            }
            if let Err(error) = journal::remove_replaced(&self.journal_dir, self.clock.now(), self.keep_replaced) {
                tracing::warn!(%error, "replaced segments can't be removed");
            }
        }
    }

    /// Asks for a job that asks for compaction: tried again where it fails, and seen by operators. True where there is one.
    fn enqueue(&self) -> bool {
        let (kind, key) = (COMPACTION.to_owned(), COMPACTION.to_owned());
        let (due, repeat) = (self.clock.now(), Repeat::Again);
        let job = NewJob { kind, key, user: None, payload: String::new(), due, repeat };
        let (reply, enqueued) = oneshot::channel();
        let sent = self.commands.try_send(Command::Job(JobCommand::Enqueue(job, reply)));
        sent.is_ok() && matches!(enqueued.blocking_recv(), Ok(Ok(_)))
    }

    fn is_due(&self, last: Instant) -> bool {
        // Half the time is for the deletion to be carried out and the old segments to be kept.
        let deleted_at = guarded(|| self.shared.index.deleted_at()).ok().flatten();
        let deletion = deleted_at.is_some_and(|at| self.clock.now().since(at) >= self.compact_within);
        deletion || last.elapsed() >= STALE_EVERY
    }

    fn compact(&self) -> Result<u64, StoreError> {
        let figures = &self.shared.figures;
        match self.rewrite_all() {
            Ok(saved) => {
                figures.compactions.count();
                figures.compaction_saved.add(saved);
                figures.compaction_at.set(u64::try_from(self.clock.now().0).unwrap_or(0));
                tracing::info!(saved, "compacted the journal");
                Ok(saved)
            }
            Err(CompactError::Stopped) => Err(StoreError::Ended),
            Err(CompactError::Store(error)) => {
                figures.compaction_failures.count();
                Err(error)
            }
            Err(CompactError::Open(error)) => {
                figures.compaction_failures.count();
                tracing::error!(%error, "compaction failed; nothing was lost");
                Err(StoreError::Unreadable(Arc::from(error.to_string())))
            }
        }
    }

    fn rewrite_all(&self) -> Result<u64, CompactError> {
        let began = self.clock.now();
        guarded(|| self.shared.index.compaction_begins()).map_err(|error| fail_on(&self.shared, error))?;
        self.wait_for_removals()?;
        let (reply, rotated) = oneshot::channel();
        self.commands.try_send(Command::Rotate(reply)).map_err(|_| StoreError::Busy)?;
        rotated.blocking_recv().map_err(|_| StoreError::Ended)??;
        let mut chain = journal::list(&self.journal_dir)?.chain;
        chain.pop(); // The one that is written.
        let mut saved = 0;
        for segment in &chain {
            if self.stop.load(Ordering::Acquire) {
                return Err(CompactError::Stopped);
            }
            let _held = self.chain.lock().unwrap_or_else(PoisonError::into_inner);
            let rewrite = journal::rewrite(&self.journal_dir, segment, &self.clock, |change| {
                let worth: Result<Worth, IndexError> = guarded(|| self.shared.index.worth(change, began));
                worth.map_err(|error| CompactError::Store(fail_on(&self.shared, error)))
            })?;
            saved += rewrite.before.saturating_sub(rewrite.after);
        }
        guarded(|| self.shared.index.deletions_compacted()).map_err(|error| fail_on(&self.shared, error))?;
        Ok(saved)
    }

    /// A deleted account's sessions become tombstones one chunk after another: only then are their messages dead.
    fn wait_for_removals(&self) -> Result<(), CompactError> {
        let began = Instant::now();
        while self.shared.index.has_removals() {
            if self.stop.load(Ordering::Acquire) {
                return Err(CompactError::Stopped);
            }
            if self.shared.health() == Health::Failed {
                // Nothing is removed any more.
                return Err(CompactError::Store(StoreError::Ended));
            }
            if began.elapsed() >= REMOVALS_WAIT {
                return Err(CompactError::Store(StoreError::Busy));
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        Ok(())
    }
}
