//! The store: everything that outlives the process, behind one seam.
//!
//! Callers see users, tokens, sessions and messages; no tree, cache, thread or byte. Writes are commands to the one
//! writer thread and return when they are durable. Reads answer from the cache, or from one closure in a pool of
//! threads, and never show what is not durable yet.
//!
//! The truth is the journal; sled is an index built from it; see `DESIGN` in ARCHITECTURE.md.

mod account;
mod apply;
mod batch;
mod cache;
mod checkpoint;
mod codec;
mod command;
mod conversation;
mod disk;
mod error;
mod export;
mod feed;
mod figures;
mod following;
mod fragment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod history;
mod import;
mod index;
mod items;
mod jobs;
mod journal;
mod key;
mod log;
mod logins;
mod maintain;
mod memory;
mod news;
mod read;
mod recover;
mod retention;
mod roster;
mod sealed;
mod search;
mod verify;
mod view;
mod worth;
mod writer;

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
        mpsc::{self, SyncSender, TrySendError},
    },
    task::{Context, Poll},
    thread::JoinHandle,
};

use tokio::sync::{oneshot, watch};

pub use account::{AccountEdit, Role, Tier, Token, TokenDigest, User, UserChange};
pub use cache::CacheFigures;
pub use conversation::{
    Appended, Edit, Ending, Logged, Message, NewMessage, OpenTurn, Outcome, PageRange, Rendered, Resumed, SendKey,
    Session, SessionEdit, Speaker, Standing, Status, TakenAway, UsedKey,
};
pub use error::{Health, JobError, OpenError, StoreError};
pub use export::{ExportCursor, Passwords};
pub use feed::{Event, Heard, SessionChange, Subscription};
pub use figures::{Population, Sizes, StoreFigures};
pub use import::{
    Holder, IMPORT_MESSAGES_MAX, Import, ImportFailure, ImportMessage, ImportSession, Imported, Look, NOTE_BYTES_MAX,
    TEXT_BYTES_MAX,
};
pub use index::ExpiryCursor;
pub use items::{
    ANNOTATION_BYTES_MAX, ANNOTATION_GROWTH_MAX, AddedItems, Beside, Erasure, ITEMS_MAX, NewItem, NewItems, Walk,
    Walked,
};
pub use jobs::{
    COMPACTION, Enqueued, Job, JobCounts, JobCursor, JobEffect, JobState, JobStateName, NewJob, Repeat, TITLES, Taken,
};
pub use read::PAGE_BYTES_MAX;
pub use retention::OldMessages;
pub use roster::{Holdings, RosterEntry};
pub use sealed::{Sealed, Sealer, SegmentHead, check_sealed};
pub use search::{Hit, Hits};
pub use verify::{FORMAT, Finding, Verdict, is_data_dir, newest_format, verify, verify_locked};

use crate::{
    clock::{Clock, Timestamp},
    config::{CacheConfig, DataConfig},
    id::{Seq, SessionId, UserId},
    pool::Pool,
};
use apply::Applier;
use cache::Cache;
use checkpoint::{Checkpoints, Progress};
use command::{Command, Reply};
use disk::{Dir, Disk, DiskFile};
use feed::Feed;
use jobs::JobsLink;
use journal::Journal;
use maintain::Compactor;
use memory::Memory;
use recover::Layout;
use writer::{Shared, Timers, Writer};

/// Commands that may wait for the writer.
const COMMANDS_MAX: usize = 8192;
/// Reads that may wait for a thread.
const READS_MAX: usize = 4096;
/// Searches and exports that may wait for theirs.
const SCANS_MAX: usize = 64;
/// Of the cache, the hundredths that sessions get, and users' views; tokens and accounts share the rest.
const SESSIONS_SHARE: u64 = 75;
const VIEWS_SHARE: u64 = 10;

/// Everything that outlives the process.
pub struct Store {
    shared: Arc<Shared>,
    commands: SyncSender<Command>,
    compactions: SyncSender<Reply<u64>>,
    /// Short reads.
    reads: Arc<Pool>,
    /// Searches and exports: however long they take, no page waits for them.
    scans: Arc<Pool>,
    clock: Clock,
    stop: Arc<AtomicBool>,
    dir: Dir,
    /// Held while the chain of segments must stay as it is.
    chain: Arc<Mutex<()>>,
    /// Guards what is left to do at a clean stop; nothing once it was done.
    running: Mutex<Option<Running>>,
}

type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

/// A message on its way to the disk.
pub struct PendingAppend(Answer<Appended>);

impl Future for PendingAppend {
    type Output = Result<Appended, StoreError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The writer dies only with the command's outcome in doubt.
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(StoreError::Unknown)))
    }
}

struct Running {
    writer: JoinHandle<Option<(Journal, Progress)>>,
    checkpoints: JoinHandle<Checkpoints>,
    lock: DiskFile,
}

impl Store {
    /// Opens `config.dir`, making it where it is missing, and gives the turns that have no outcome, oldest first.
    ///
    /// # Errors
    /// As [`OpenError`] says; nothing that was acknowledged is changed then.
    pub fn open(config: &DataConfig, cache: &CacheConfig, clock: Clock) -> Result<(Self, Vec<OpenTurn>), OpenError> {
        Self::open_on(Disk::default(), config, cache, clock)
    }

    /// As [`Store::open`], on any disk.
    fn open_on(
        disk: Disk,
        config: &DataConfig,
        cache: &CacheConfig,
        clock: Clock,
    ) -> Result<(Self, Vec<OpenTurn>), OpenError> {
        let recovered = recover::recover(&disk, config, &clock)?;
        let dir = Dir { disk, path: config.dir.clone() };
        let store_dir = dir.clone();
        let recover::Layout { journal: journal_dir, index: index_dir } = Layout::of(&dir);
        let mut open: Vec<(OpenTurn, u64)> = recovered.open.into_iter().collect();
        open.sort_unstable_by_key(|(turn, frame)| (*frame, *turn));
        let turns = open.iter().map(|(turn, _)| *turn).collect();
        let removals = recovered.index.has_removals();
        let shared = Arc::new(shared(recovered.index, cache, index_dir));
        let (commands, received) = mpsc::sync_channel(COMMANDS_MAX);
        let (checkpoints, wanted) = mpsc::sync_channel(1);
        let (compactions, requests) = mpsc::sync_channel(4);
        let stop = Arc::new(AtomicBool::new(false));
        let chain = Arc::default();
        let start_applier = || Applier::start(Arc::clone(&shared));
        let writer = Writer {
            journal: recovered.journal,
            shared: Arc::clone(&shared),
            commands: received,
            checkpoints,
            memory: Memory::new(open, recovered.next_stamp),
            clock: clock.clone(),
            dir,
            min_free: config.min_free,
            timers: Timers::new(removals),
            applier: start_applier().map_err(OpenError::Thread)?,
            next_command: None,
        };
        let compactor = Compactor {
            shared: Arc::clone(&shared),
            clock: clock.clone(),
            journal_dir,
            chain: Arc::clone(&chain),
            commands: commands.clone(),
            requests,
            keep_replaced: config.keep_replaced,
            compact_within: config.compact_within,
            stop: Arc::clone(&stop),
        };
        let of_checkpoints = Arc::clone(&shared);
        let file = recovered.checkpoints;
        let start = || {
            let readers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2);
            let running = Running {
                checkpoints: spawn("bondhu-check", move || maintain::run_checkpoints(&of_checkpoints, &wanted, file))?,
                writer: spawn("bondhu-writer", {
                    let shared = Arc::clone(&shared);
                    move || writer_thread(&shared, writer)
                })?,
                lock: recovered.lock,
            };
            spawn("bondhu-compact", move || compactor.run())?;
            let reads = Arc::new(Pool::start("bondhu-read", readers, READS_MAX)?);
            Ok((running, reads, Arc::new(Pool::start("bondhu-scan", 1, SCANS_MAX)?)))
        };
        let (running, reads, scans) = start().map_err(OpenError::Thread)?;
        let running = Mutex::new(Some(running));
        let dir = store_dir;
        Ok((Self { shared, commands, compactions, reads, scans, clock, stop, dir, chain, running }, turns))
    }

    /// Ends when the store can't go on, with the reason: the process should end with exit code 1.
    pub async fn failed(&self) -> String {
        let mut failed = self.shared.failed.subscribe();
        let why = failed.wait_for(Option::is_some).await.map(|why| why.clone());
        match why {
            Ok(why) => why.unwrap_or_default(),
            Err(_) => std::future::pending().await, // The sender lives as long as the store.
        }
    }

    /// Waits until everything taken is written, marks a clean stop and closes. Later writes get `Ended`.
    ///
    /// Dropping the future does not stop the closing.
    pub async fn close(&self) {
        self.stop.store(true, Ordering::Release);
        let Some(running) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let (reply, closing) = oneshot::channel();
        let (done, closed) = oneshot::channel();
        let commands = self.commands.clone();
        let shared = Arc::clone(&self.shared);
        let index_dir = Layout::of(&self.dir).index;
        // A thread of its own: searches may have the pool for as long as a stop may take.
        let spawned = spawn("bondhu-close", move || {
            // A full queue is emptied by the writer, which ends only with this command.
            let _ = commands.send(Command::Close(reply));
            close(running, &shared, &index_dir);
            let _ = done.send(()); // Whoever asked may have gone.
        });
        if spawned.is_err() || closed.await.is_err() {
            tracing::warn!("the store was not closed cleanly; the next start finishes it");
        }
        drop(closing);
    }

    async fn write<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        // The writer dies only with the command's outcome in doubt.
        self.submit(command)?.await.unwrap_or(Err(StoreError::Unknown))
    }

    /// Puts a command at the end of the writer's queue.
    fn submit<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<Answer<T>, StoreError> {
        let (reply, answer) = oneshot::channel();
        let command = command(reply);
        match self.shared.health() {
            Health::DiskFull if !command.is_allowed_on_a_full_disk() => return Err(StoreError::DiskFull),
            Health::Failed => return Err(StoreError::Ended),
            Health::Ready | Health::DiskFull => {}
        }
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Ended,
        })?;
        Ok(answer)
    }

    /// Makes an account. `invitation` is the digest of a code that is used up by it.
    ///
    /// # Errors
    /// `NameTaken`, `NoInvitation`, and those of every write.
    pub async fn create_user(&self, user: User, invitation: Option<TokenDigest>) -> Result<(), StoreError> {
        self.write(|reply| Command::CreateUser(Box::new(user), invitation, reply)).await
    }

    /// Adds an invitation code that one registration may use until `expires_at`.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn create_invitation(&self, code: TokenDigest, expires_at: Timestamp) -> Result<(), StoreError> {
        self.write(|reply| Command::CreateInvitation(code, expires_at, reply)).await
    }

    /// Changes an account, and gives it as it is then.
    ///
    /// # Errors
    /// `NoUser`, and those of every write.
    pub async fn change_user(&self, id: UserId, change: UserChange) -> Result<Arc<User>, StoreError> {
        self.write(|reply| Command::ChangeUser(id, change, reply)).await
    }

    /// Deletes an account with its tokens, sessions and messages: at once for readers, from the files by compaction.
    ///
    /// # Errors
    /// `NoUser`, and those of every write.
    pub async fn delete_user(&self, id: UserId) -> Result<(), StoreError> {
        self.write(|reply| Command::DeleteUser(id, reply)).await
    }

    /// Makes a session, or finds the user's own with that id: then the flag is false, and nothing of it changes.
    ///
    /// # Errors
    /// `NotOwner` where the id is someone else's or was deleted; those of every write.
    pub async fn create_session(
        &self,
        user: UserId,
        id: SessionId,
        edit: SessionEdit,
    ) -> Result<(Session, bool), StoreError> {
        self.write(|reply| Command::CreateSession(user, id, edit, reply)).await
    }

    /// Changes what a session says of itself.
    ///
    /// # Errors
    /// `NotOwner`, and those of every write.
    pub async fn edit_session(&self, user: UserId, id: SessionId, edit: SessionEdit) -> Result<Session, StoreError> {
        self.write(|reply| Command::EditSession(user, id, edit, reply)).await
    }

    /// Deletes a session; its id is never given again.
    ///
    /// # Errors
    /// `NotOwner`, and those of every write.
    pub async fn delete_session(&self, user: UserId, id: SessionId) -> Result<(), StoreError> {
        self.write(|reply| Command::DeleteSession(user, id, None, reply)).await
    }

    /// As [`Store::delete_session`], only where the session's log ends at `head`.
    ///
    /// # Errors
    /// `Moved` where it does not.
    pub async fn delete_session_at(&self, user: UserId, id: SessionId, head: Seq) -> Result<(), StoreError> {
        self.write(|reply| Command::DeleteSession(user, id, Some(head), reply)).await
    }

    /// Empties all sessions of a user, some at a time; their sequences go on.
    ///
    /// # Errors
    /// Those of every write; then only the first ones may be empty.
    pub async fn clear_sessions(&self, user: UserId) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            after = self.write(|reply| Command::ClearSessions(user, after, reply)).await?;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Places a user's message at the end of its session's log and opens its turn: at once in the writer's queue, so
    /// that messages get their sequence in the order of these calls; what is given back waits until it is durable.
    ///
    /// Dropping what is given back does not undo it.
    ///
    /// # Errors
    /// `Busy`, `DiskFull`, `Ended` at once; `NotOwner`, `KeyReused`, `TurnGone` (the key's message was deleted since),
    /// and those of every write when awaited.
    pub fn append(&self, message: NewMessage) -> Result<PendingAppend, StoreError> {
        Ok(PendingAppend(self.submit(|reply| Command::Append(message, reply))?))
    }

    /// Ends an open turn, and annotates its message where that is given; gives the reply where there is one.
    ///
    /// # Errors
    /// `TurnGone` where it has an outcome, was cleared or deleted; those of every write.
    pub async fn conclude(
        &self,
        turn: OpenTurn,
        ending: Ending,
        annotation: Option<String>,
    ) -> Result<Option<Message>, StoreError> {
        self.write(|reply| Command::Conclude(turn, ending, annotation, reply)).await
    }

    /// Gives an ended turn a new outcome; gives the reply where there is one. The reply that it replaces stays in the log,
    /// superseded from the same frame on. A failure leaves a turn that has a reply as it is.
    ///
    /// # Errors
    /// `TurnGone` where it is open, was cleared or deleted; those of every write.
    pub async fn retry(&self, turn: OpenTurn, ending: Ending) -> Result<Option<Message>, StoreError> {
        self.write(|reply| Command::Retry(turn, ending, reply)).await
    }

    /// Counts that `turns`, which are open, are being answered again, each at most `times_max` times in its life.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn resume(&self, turns: Vec<OpenTurn>, times_max: u32) -> Result<Vec<Resumed>, StoreError> {
        self.write(|reply| Command::Resume(turns, times_max, reply)).await
    }

    /// Everything of `user` that becomes durable from now on, as it does.
    #[must_use]
    pub fn subscribe(&self, user: UserId) -> Subscription {
        self.shared.feed.subscribe(user)
    }

    /// Wakes the user's subscriptions: something that is not the store's is news to them.
    pub fn poke(&self, user: UserId) {
        self.shared.feed.poke(user);
    }

    /// Tells the user's subscriptions of something that changed nothing in the log.
    pub fn announce(&self, user: UserId, event: Event) {
        self.shared.feed.publish(user, || vec![event]);
    }

    /// Ends every subscription, because the server stops; running turns are still told of.
    pub fn end_subscriptions(&self) {
        self.shared.feed.end();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn shared(index: index::Index, cache: &CacheConfig, index_dir: Dir) -> Shared {
    let bytes = |share: u64| usize::try_from(cache.capacity / 100 * share).unwrap_or(usize::MAX);
    let rest = (100 - SESSIONS_SHARE - VIEWS_SHARE) / 2;
    Shared {
        index: Arc::new(index),
        index_dir,
        sessions: Arc::new(Cache::new(bytes(SESSIONS_SHARE))),
        user_views: Arc::new(Cache::new(bytes(VIEWS_SHARE))),
        users: Arc::new(Cache::new(bytes(rest))),
        tokens: Arc::new(Cache::new(bytes(rest))),
        feed: Arc::new(Feed::default()),
        jobs: JobsLink::default(),
        health: AtomicU8::new(0),
        failed: watch::Sender::new(None),
        figures: StoreFigures::default(),
    }
}

fn spawn<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// The writer may fail, but not in silence.
fn writer_thread(shared: &Shared, writer: Writer) -> Option<(Journal, Progress)> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| writer.run())).unwrap_or_else(|_| {
        shared.fail("the writer panicked".to_owned());
        None
    })
}

/// Ends the threads and marks the stop as clean; after a failure, asks for a new index instead.
fn close(running: Running, shared: &Shared, index_dir: &Dir) {
    let Running { writer, checkpoints, lock } = running;
    let written = writer.join().unwrap_or(None);
    let checkpoints = checkpoints.join().ok();
    let clean = || -> Result<(), String> {
        let (mut journal, progress) = written.ok_or("writing had ended")?;
        let mut checkpoints = checkpoints.ok_or("the checkpoints had ended")?;
        index::guarded(|| shared.index.flush(progress.next_frame)).map_err(|error| error.to_string())?;
        // sled's own flush is no sync: the index is believed after a power cut only if this one succeeds.
        checkpoint::sync_index(index_dir).map_err(|error| error.to_string())?;
        journal.stop().map_err(|error| error.to_string())?;
        checkpoints.write(progress, true).map_err(|error| error.to_string())
    };
    if let Err(why) = clean() {
        tracing::warn!(%why, "not a clean stop; the next start rebuilds the index");
        if let Err(error) = checkpoint::mark_rebuild(index_dir) {
            tracing::error!(%error, "the index can't be marked for rebuilding; remove the index folder by hand");
        }
    }
    drop(lock);
}

#[cfg(test)]
mod tests;
