//! The one writer: a thread through which every change of the data goes.
//!
//! It takes all commands that wait, decides them in order, makes all of them durable with one frame and one sync,
//! applies them to the index, brings the cache up to date, and only then tells anyone. A failed sync leaves the disk in
//! doubt, so it ends all writing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    Ending, Health, StoreError, StoreFigures, Token, TokenDigest, User,
    apply::{Applier, Durable},
    batch::{Batch, Decided},
    cache::Cache,
    checkpoint::{self, Progress},
    codec::Change,
    command::{Command, Reply},
    disk::Dir,
    feed::Feed,
    index::{Index, IndexError, Removal, guarded},
    jobs::JobsLink,
    journal::{Journal, JournalError},
    memory::{Memory, Unapplied, forget_turns},
    view::{SessionView, UserView},
};
use crate::{
    clock::Clock,
    id::{Seq, SessionId, UserId},
};

/// Commands that one frame takes at most: more only add latency.
const BATCH_MAX: usize = 512;
/// Text that one frame takes at most, bytes.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// The index is checkpointed after this much change, in bytes of the journal or in time.
const CHECKPOINT_BYTES: u64 = if cfg!(test) { 128 << 10 } else { 64 << 20 };
const CHECKPOINT_EVERY: Duration = Duration::from_secs(10);
/// The disk's free space is looked at this often.
const DISK_EVERY: Duration = Duration::from_millis(250);

/// What the writer, the readers and the rest of the store share.
pub(crate) struct Shared {
    pub(crate) index: Arc<Index>,
    pub(crate) index_dir: Dir,
    pub(crate) sessions: Arc<Cache<SessionId, SessionView>>,
    pub(crate) user_views: Arc<Cache<UserId, UserView>>,
    pub(crate) users: Arc<Cache<UserId, User>>,
    pub(crate) tokens: Arc<Cache<TokenDigest, Token>>,
    /// Who is told of what became durable.
    pub(crate) feed: Arc<Feed>,
    /// What those who run jobs have to do with the store.
    pub(crate) jobs: JobsLink,
    pub(crate) health: AtomicU8,
    /// Why the store can't go on, once it can't.
    pub(crate) failed: watch::Sender<Option<String>>,
    /// What was counted.
    pub(crate) figures: StoreFigures,
}

impl Shared {
    pub(crate) fn health(&self) -> Health {
        match self.health.load(Ordering::Acquire) {
            0 => Health::Ready,
            1 => Health::DiskFull,
            _ => Health::Failed,
        }
    }

    fn set_health(&self, health: Health) {
        self.health.store(health as u8, Ordering::Release);
    }

    /// The store can't go on: nothing is written any more, and the process is told to end.
    pub(crate) fn fail(&self, why: String) {
        self.set_health(Health::Failed);
        tracing::error!(%why, "the store can't go on");
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(why);
            first
        });
    }

    /// As [`Shared::fail`], where the index is the reason: the next start rebuilds it.
    pub(crate) fn fail_index(&self, why: String) {
        if let Err(error) = checkpoint::mark_rebuild(&self.index_dir) {
            tracing::error!(%error, "the index can't be marked for rebuilding; remove the index folder by hand");
        }
        self.fail(why);
    }
}

/// What the writer works with.
pub(crate) struct Writer {
    pub(crate) journal: Journal,
    pub(crate) shared: Arc<Shared>,
    pub(crate) commands: Receiver<Command>,
    pub(crate) checkpoints: SyncSender<Progress>,
    pub(crate) memory: Memory,
    pub(crate) clock: Clock,
    /// Where the disk's free space is asked for.
    pub(crate) dir: Dir,
    pub(crate) min_free: u64,
    pub(crate) timers: Timers,
    pub(crate) applier: Applier,
    /// A command that was taken from the queue to see whether there is one.
    pub(crate) next_command: Option<Command>,
}

/// When the writer last did what it does now and then.
pub(crate) struct Timers {
    disk: Option<Instant>,
    checkpoint: Instant,
    /// Bytes of the journal since the last checkpoint.
    bytes: u64,
    /// True where the index may hold something to remove.
    removals: bool,
    /// Nothing is removed before this: the last write failed.
    removals_from: Instant,
}

impl Timers {
    pub(crate) fn new(removals: bool) -> Self {
        let now = Instant::now();
        Self { disk: None, checkpoint: now, bytes: 0, removals, removals_from: now }
    }
}

enum Next {
    Commands(Vec<Command>),
    Idle,
    Gone,
}

impl Writer {
    /// Works until it is told to close, everyone is gone, or writing has ended; gives the journal back after a clean end.
    pub(crate) fn run(mut self) -> Option<(Journal, Progress)> {
        loop {
            self.look_at_disk();
            let commands = match self.next() {
                Next::Commands(commands) => commands,
                Next::Idle => Vec::new(),
                Next::Gone => break,
            };
            let (mut changes, mut rotations, mut closing) = (Vec::with_capacity(commands.len()), Vec::new(), None);
            for command in commands {
                if let Command::Rotate(reply) = command {
                    rotations.push(reply);
                } else if let Command::Close(reply) = command {
                    closing = Some(reply);
                } else {
                    changes.push(command);
                }
            }
            self.commit(changes);
            if !rotations.is_empty() || closing.is_some() {
                self.settle();
            }
            for reply in rotations {
                self.rotate(reply);
            }
            if let Some(reply) = closing {
                let _ = reply.send(Ok(()));
                break;
            }
            self.checkpoint_if_due();
        }
        self.settle();
        let waiting = self.next_command.take().into_iter().chain(self.commands.try_iter());
        for command in waiting {
            command.refuse(StoreError::Ended);
        }
        let progress = self.progress();
        (self.shared.health() != Health::Failed).then_some((self.journal, progress))
    }

    fn next(&mut self) -> Next {
        let first = if let Some(command) = self.next_command.take() {
            command
        } else if self.removes() {
            match self.commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) => return Next::Idle,
                Err(TryRecvError::Disconnected) => return Next::Gone,
            }
        } else {
            match self.commands.recv_timeout(DISK_EVERY) {
                Ok(command) => command,
                Err(RecvTimeoutError::Timeout) => return Next::Idle,
                Err(RecvTimeoutError::Disconnected) => return Next::Gone,
            }
        };
        let mut bytes = weight(&first);
        let mut commands = vec![first];
        while commands.len() < BATCH_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(command) = self.commands.try_recv() else { break };
            bytes += weight(&command);
            commands.push(command);
        }
        Next::Commands(commands)
    }

    /// True where there is something to remove from the index and nothing is wrong.
    fn removes(&self) -> bool {
        let timers = &self.timers;
        // On a full disk too: it is what a deletion there is for.
        timers.removals && self.shared.health() != Health::Failed && Instant::now() >= timers.removals_from
    }

    /// Decides every command in order and makes all of them durable with one frame and one sync; only then does anyone
    /// hear of them.
    ///
    /// Messages and outcomes are decided by what the writer remembers, so the batch before may still be on its way into
    /// the index. Everything else is decided by the index.
    fn commit(&mut self, commands: Vec<Command>) {
        let health = self.shared.health();
        let removes = self.removes();
        if commands.is_empty() && !removes {
            return;
        }
        let overlaps = !removes && commands.iter().all(Command::is_decided_from_memory);
        if !overlaps {
            self.settle();
        }
        let shared = Arc::clone(&self.shared);
        let mut batch = Batch::over(&shared.index, &mut self.memory, self.clock.now());
        batch.titles = shared.jobs.titles.load(Ordering::Relaxed);
        for command in commands {
            match health {
                Health::Failed => command.refuse(StoreError::Ended),
                Health::DiskFull if !command.is_allowed_on_a_full_disk() => command.refuse(StoreError::DiskFull),
                Health::Ready | Health::DiskFull => match guarded(|| {
                    batch.decide(command);
                    Ok(())
                }) {
                    Ok(()) => {}
                    Err(error) => batch.broken = Some(error.into()),
                },
            }
        }
        if removes && batch.broken.is_none() {
            match guarded(|| shared.index.remove_some()) {
                Ok(Removal::None) => self.timers.removals = false,
                Ok(Removal::Some) => {}
                Ok(Removal::Sessions(owner, sessions)) => batch.delete_sessions(owner, &sessions),
                Err(error) => batch.broken = Some(error.into()),
            }
        }
        let Batch { changes, acknowledgements, mut decided, broken, .. } = batch;
        let written = match broken {
            Some(error) => {
                self.shared.fail_index(format!("the index can't be read: {error}"));
                Err(error)
            }
            None => self.write(&changes, &mut decided),
        };
        if let Err(error) = written {
            for acknowledge in acknowledgements {
                acknowledge(Err(error.clone()));
            }
            return;
        }
        self.settle();
        let unapplied = Unapplied::of(&mut decided);
        let durable = Durable { changes, decided, acknowledgements, at: self.clock.now() };
        if overlaps && self.is_more_waiting() {
            self.memory.unapplied = unapplied;
            self.applier.begin(durable);
        } else {
            durable.apply(&self.shared);
        }
    }

    /// Waits until the index has everything that was written.
    fn settle(&mut self) {
        self.applier.finish();
        self.memory.unapplied = Unapplied::default();
    }

    /// True where another command has come.
    fn is_more_waiting(&mut self) -> bool {
        self.next_command = self.next_command.take().or_else(|| self.commands.try_recv().ok());
        self.next_command.is_some()
    }

    /// Journal first; what was decided is then true for the decisions that come.
    fn write(&mut self, changes: &[Change], decided: &mut Decided) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let frame = self.journal.next_frame();
        let begun = Instant::now();
        match self.journal.append_and_sync(changes) {
            Ok(bytes) => {
                self.timers.bytes += bytes;
                self.count(changes, bytes, begun.elapsed());
            }
            Err(error) => return Err(self.not_written(error)),
        }
        self.remember(changes, decided, frame);
        Ok(())
    }

    fn count(&self, changes: &[Change], bytes: u64, took: Duration) {
        let figures = &self.shared.figures;
        figures.syncs.count();
        figures.sync_time.record(took);
        figures.bytes.add(bytes);
        figures.changes.add(changes.len() as u64);
        let messages = changes.iter().filter(|change| matches!(change, Change::Message { .. })).count();
        figures.messages.add(messages as u64);
    }

    fn not_written(&mut self, error: JournalError) -> StoreError {
        self.shared.figures.write_failures.count();
        self.timers.removals_from = Instant::now() + Duration::from_secs(1);
        match error {
            JournalError::NoRoom(error) => {
                tracing::error!(%error, "no room for another segment; writes are refused until there is");
                self.shared.set_health(Health::DiskFull);
                StoreError::DiskFull
            }
            JournalError::NotWritten(error) => {
                tracing::error!(%error, "a write to the journal failed and was taken back");
                self.timers.disk = None;
                StoreError::Unknown
            }
            JournalError::Ended(error) => {
                self.shared.fail(format!("a write or sync of the journal failed: {error}"));
                StoreError::Unknown
            }
        }
    }

    /// Takes what was decided and is now durable into the writer's memory.
    fn remember(&mut self, changes: &[Change], decided: &mut Decided, frame: u64) {
        self.memory.next_stamp += decided.stamps;
        for turn in decided.opened.drain(..) {
            self.memory.open.insert(turn, frame);
        }
        for turn in &decided.closed {
            self.memory.open.remove(turn);
        }
        for (id, state) in &decided.sessions {
            match state {
                Some(state) => drop(self.memory.states.put(*id, state.clone())),
                None => drop(self.memory.states.pop(id)),
            }
        }
        for change in changes {
            self.timers.removals |= may_remove(change);
            forget_turns(&mut self.memory.open, change);
            if let Change::UserDeleted { id } = change {
                self.memory.deleted_users.put(*id, ());
            }
        }
    }

    fn rotate(&mut self, reply: Reply<()>) {
        let rotated = match self.shared.health() {
            Health::Failed => Err(StoreError::Ended),
            Health::Ready | Health::DiskFull => self.journal.rotate().map_err(|error| self.not_written(error)),
        };
        let _ = reply.send(rotated);
    }

    fn look_at_disk(&mut self) {
        if self.timers.disk.is_some_and(|at| at.elapsed() < DISK_EVERY) {
            return;
        }
        self.timers.disk = Some(Instant::now());
        let Ok(free) = self.dir.disk.free(&self.dir.path) else { return };
        match self.shared.health() {
            Health::Ready if free < self.min_free => {
                tracing::error!(free, min_free = self.min_free, "the disk is nearly full; writes are refused");
                self.shared.set_health(Health::DiskFull);
            }
            Health::DiskFull if free >= self.min_free => {
                tracing::info!(free, "the disk has room again; writes are taken");
                self.shared.set_health(Health::Ready);
            }
            Health::Ready | Health::DiskFull | Health::Failed => {}
        }
    }

    fn progress(&self) -> Progress {
        let next_frame = self.journal.next_frame();
        let replay_from = self.memory.open.values().copied().min().unwrap_or(next_frame);
        Progress { replay_from, next_frame, next_stamp: self.memory.next_stamp }
    }

    fn checkpoint_if_due(&mut self) {
        let changed = self.timers.bytes > 0;
        let due = self.timers.bytes >= CHECKPOINT_BYTES || self.timers.checkpoint.elapsed() >= CHECKPOINT_EVERY;
        if changed && due {
            self.settle();
        }
        if changed && due && self.checkpoints.try_send(self.progress()).is_ok() {
            self.timers.bytes = 0;
            self.timers.checkpoint = Instant::now();
        }
    }
}

/// True where a change leaves something in the index that is to be removed.
fn may_remove(change: &Change) -> bool {
    match change {
        Change::UserDeleted { .. } | Change::SessionDeleted { .. } => true,
        Change::Session { meta, .. } => meta.cleared_through > Seq::ZERO,
        Change::Message { .. }
        | Change::Outcome { .. }
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
        | Change::Erased { .. }
        | Change::Scopes { .. } => false,
    }
}

fn weight(command: &Command) -> usize {
    if let Command::Append(message, _) = command {
        return message.bytes();
    }
    if let Command::Import(import, _) = command {
        return import.bytes();
    }
    if let Command::Item(command) = command {
        return command.bytes();
    }
    if let Command::Conclude(_, Ending::Reply { content, .. }, annotation, _) = command {
        return content.len() + annotation.as_ref().map_or(0, String::len);
    }
    0
}

/// The index failed outside the writer.
pub(crate) fn fail_on(shared: &Shared, error: IndexError) -> StoreError {
    let error = StoreError::from(error);
    shared.fail_index(error.to_string());
    error
}
