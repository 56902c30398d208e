//! What operators see: all figures as they are now and over the last day, alerts, security events.
//!
//! The parts count; the monitor reads. A thread of its own takes a sample every few seconds, and does there whatever
//! blocks or walks; what is asked of the monitor answers from memory. It changes nothing that the promises are about.

mod expose;
mod process;
mod security;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use security::SecurityEvent;

use crate::{
    admission::slots::Slots,
    auth::AuthFigures,
    chat::Chat,
    clock::{Clock, Timestamp},
    config::MonitorConfig,
    metrics::{BackupFigures, JobFigures, RequestFigures},
    store::{Population, Sizes, Store},
};
use process::{Machine, Process};
use security::SecurityLog;

/// Accounts and sessions are counted this often at most,
const COUNT_EVERY: Duration = Duration::from_mins(1);
/// and no more of the time than one part in so many.
const COUNT_SHARE: u32 = 100;

/// What the monitor reads.
pub struct Parts {
    /// The journal, the index, the cache, the streams.
    pub store: Arc<Store>,
    /// Reply slots.
    pub slots: Slots,
    /// Turns.
    pub chat: Chat,
    /// Logins.
    pub auth: Arc<AuthFigures>,
    /// The HTTP front.
    pub requests: Arc<RequestFigures>,
    /// Backups.
    pub backups: Arc<BackupFigures>,
    /// Jobs.
    pub jobs: Arc<JobFigures>,
    /// The time.
    pub clock: Clock,
}

/// What operators see.
pub struct Monitor {
    parts: Parts,
    machine: Machine,
    started_at: Timestamp,
    security: SecurityLog,
    /// Guards what the last sample saw.
    seen: Mutex<Seen>,
}

/// What takes a look at files or a walk.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    process: Process,
    /// Nothing until it was seen once.
    sizes: Option<Sizes>,
    population: Option<Population>,
}

/// The thread that takes the samples; dropping it ends the thread.
pub struct Sampler {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Monitor {
    /// A monitor that has seen nothing yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let started_at = parts.clock.now();
        Self { parts, machine: Machine::read(), started_at, security: SecurityLog::default(), seen: Mutex::default() }
    }

    /// Takes a first sample, and from then on one each `config.interval` in a thread of its own. Blocks for that first
    /// one.
    ///
    /// # Errors
    /// The system's, where it gives no thread.
    pub fn start(self: &Arc<Self>, config: &MonitorConfig) -> std::io::Result<Sampler> {
        let (monitor, interval) = (Arc::clone(self), config.interval);
        let (stop, stopped) = mpsc::sync_channel(1);
        let mut look = Look::default();
        self.sample(&mut look);
        let work = move || {
            while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                monitor.sample(&mut look);
            }
        };
        let thread = std::thread::Builder::new().name("bondhu-monitor".to_owned()).spawn(work)?;
        Ok(Sampler { stop: Some(stop), thread: Some(thread) })
    }

    /// The newest security events, newest first.
    #[must_use]
    pub fn security(&self) -> Vec<SecurityEvent> {
        self.security.newest()
    }

    /// Counts a security event and keeps it for operators.
    pub fn note(&self, event: SecurityEvent) {
        self.parts.requests.security.count(event.kind);
        self.security.note(event);
    }

    fn sample(&self, look: &mut Look) {
        let mut seen = self.seen();
        match Process::read() {
            Ok(process) => seen.process = process,
            Err(error) => tracing::debug!(target: "monitor", %error, "the process can't be looked at"),
        }
        match self.parts.store.sizes() {
            Ok(sizes) => seen.sizes = Some(sizes),
            Err(error) => tracing::debug!(target: "monitor", %error, "the data directory can't be looked at"),
        }
        if look.count_is_due() {
            let begun = Instant::now();
            // A failure is the store's to tell, and ends the process.
            seen.population = self.parts.store.population().ok().or(seen.population);
            look.counted(begun.elapsed());
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When accounts and sessions are counted again.
#[derive(Default)]
struct Look {
    next: Option<Instant>,
}

impl Look {
    fn count_is_due(&self) -> bool {
        self.next.is_none_or(|next| Instant::now() >= next)
    }

    fn counted(&mut self, took: Duration) {
        self.next = Some(Instant::now() + COUNT_EVERY.max(took * COUNT_SHARE));
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic of it was printed where it happened.
        }
    }
}
