//! What operators see: all figures as they are now and over the last day, alerts, security events.
//!
//! The parts count; the monitor reads. A thread of its own takes a sample every few seconds, and does there whatever
//! blocks or walks; what is asked of the monitor answers from memory. It changes nothing that the promises are about.

mod columns;
mod expose;
mod firing;
mod history;
mod process;
mod report;
mod security;
mod totals;
mod watch;

use std::{
    collections::VecDeque,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError, SyncSender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

pub use self::{
    report::{Now, Series},
    security::SecurityEvent,
};

use crate::{
    admission::slots::Slots,
    alerts::{Alerts, Change, Moment, Notice, Rule},
    auth::AuthFigures,
    chat::Chat,
    clock::{Clock, Timestamp},
    config::{AlertsConfig, MonitorConfig},
    jobs::Jobs,
    metrics::{BackupFigures, RequestFigures},
    store::{Population, Sizes, Store},
};
use firing::FiringFile;
use history::{History, HistoryFile};
use process::{Machine, Process};
use security::SecurityLog;
use totals::{Span, Totals};

/// Accounts and sessions are counted once in so many samples at most,
const COUNT_EVERY: u32 = 6;
/// and no more of the time than one part in so many.
const COUNT_SHARE: u32 = 100;

/// Samples that the values of alerts are made from.
const WINDOW: usize = 6;
/// Changes of alerts that are kept; the oldest go first.
const NOTICES_MAX: usize = 50;

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
    pub jobs: Jobs,
    /// The time.
    pub clock: Clock,
}

/// Who is told of each change of an alert, from the thread of the samples: it must not block.
pub type Notifier = Box<dyn Fn(&Notice) + Send>;

/// What operators see.
pub struct Monitor {
    parts: Parts,
    machine: Machine,
    started_at: Timestamp,
    started: Instant,
    /// Time between two samples.
    interval: Duration,
    security: SecurityLog,
    /// Guards what the last sample saw.
    seen: Mutex<Seen>,
    /// Guards the samples.
    history: Mutex<History>,
    /// Guards how the rules stand, and what they said last.
    alerts: Mutex<Standing>,
    /// Guards who is told.
    notifier: Mutex<Option<Notifier>>,
}

/// How the rules stand.
struct Standing {
    alerts: Alerts,
    /// The newest changes, newest last.
    notices: VecDeque<Notice>,
}

impl Standing {
    /// Keeps changes, under the lock under which they became visible.
    fn keep(&mut self, notices: &[Notice]) {
        self.notices.extend(notices.iter().cloned());
        let over = self.notices.len().saturating_sub(NOTICES_MAX);
        self.notices.drain(..over);
    }
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
    pub fn new(parts: Parts, config: &MonitorConfig, alerts: &AlertsConfig) -> Self {
        let alerts = Alerts::new(alerts, config.interval);
        Self {
            started_at: parts.clock.now(),
            started: Instant::now(),
            interval: config.interval,
            parts,
            machine: Machine::read(),
            security: SecurityLog::default(),
            seen: Mutex::default(),
            history: Mutex::new(History::new(config.interval)),
            alerts: Mutex::new(Standing { alerts, notices: VecDeque::new() }),
            notifier: Mutex::default(),
        }
    }

    /// Reads the samples of before out of the directory `data`, looks around once, and from then on takes a sample in the
    /// middle of each interval, in a thread of its own. Blocks until it has looked.
    ///
    /// # Errors
    /// The system's, where it gives no thread. A history that can't be kept is a warning.
    pub fn start(self: &Arc<Self>, data: &Path) -> std::io::Result<Sampler> {
        let file = HistoryFile::open(data, &mut lock(&self.history));
        let unkept = |error: &std::io::Error| {
            tracing::warn!(target: "monitor", %error, "the history can't be kept on disk; it ends with this process");
        };
        let firing = FiringFile::open(data);
        self.resume(&firing);
        let mut work = Work { file: file.inspect_err(unkept).ok(), firing: Some(firing), ..Work::default() };
        self.look(&mut work);
        work.window.push_back(Totals::of(&self.parts, self.seen()));
        let monitor = Arc::clone(self);
        let (stop, stopped) = mpsc::sync_channel(1);
        let samples = move || {
            while stopped.recv_timeout(monitor.until_next()) == Err(RecvTimeoutError::Timeout) {
                monitor.sample(&mut work);
            }
        };
        let thread = std::thread::Builder::new().name("bondhu-monitor".to_owned()).spawn(samples)?;
        Ok(Sampler { stop: Some(stop), thread: Some(thread) })
    }

    /// From now on, `notifier` is told of each change of an alert.
    pub fn notify(&self, notifier: Notifier) {
        *lock(&self.notifier) = Some(notifier);
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

    /// How long until the middle of an interval, where the clock may be off by nearly half of one in either direction
    /// without a sample's falling into the wrong one.
    fn until_next(&self) -> Duration {
        let interval = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX).max(4);
        let now = u64::try_from(self.parts.clock.now().0).unwrap_or(0) % interval;
        let wait = (interval + interval / 2 - now) % interval;
        // Where that is about now, this interval has its sample.
        Duration::from_micros(if wait < interval / 4 { wait + interval } else { wait })
    }

    fn sample(&self, work: &mut Work) {
        self.look(work);
        let totals = Totals::of(&self.parts, self.seen());
        let at = self.parts.clock.now();
        if let Some(before) = work.window.back() {
            let values = columns::values(&Span { before, after: &totals }, &self.machine);
            let number = lock(&self.history).keep(at, values);
            work.write(number, &values);
        }
        work.window.push_back(totals);
        if work.window.len() > WINDOW + 1 {
            work.window.pop_front();
        }
        self.watch(work, at);
        if let Some(file) = &mut work.firing {
            let fired = lock(&self.alerts).alerts.fired();
            file.keep(fired);
        }
    }

    fn watch(&self, work: &Work, time: Timestamp) {
        let (Some(before), Some(after)) = (work.window.front(), work.window.back()) else { return };
        let span = Span { before, after };
        let now = Moment { elapsed: self.started.elapsed(), time };
        let mut standing = lock(&self.alerts);
        let notices = standing.alerts.observe(now, |rule| watch::value(rule, &span, &self.machine));
        standing.keep(&notices);
        drop(standing);
        self.tell(&notices);
    }

    /// Takes up what fired when the process before this one ended.
    fn resume(&self, firing: &FiringFile) {
        let fired = firing.fired();
        if fired.iter().any(|fired| fired.rule == Rule::BackupFailed) {
            self.parts.backups.last_failed.set(1); // It still is the last one.
        }
        let now = Moment { elapsed: self.started.elapsed(), time: self.parts.clock.now() };
        let mut standing = lock(&self.alerts);
        let ended = standing.alerts.resume(fired, now);
        standing.keep(&ended);
        drop(standing);
        self.tell(&ended);
    }

    /// From now on the rules are those of `config`; those that stay go on as they stand.
    pub fn reconfigure(&self, config: &AlertsConfig) {
        let now = Moment { elapsed: self.started.elapsed(), time: self.parts.clock.now() };
        let mut standing = lock(&self.alerts);
        let ended = standing.alerts.reconfigure(config, now);
        standing.keep(&ended);
        drop(standing);
        self.tell(&ended);
    }

    /// Logs changes and hands them on.
    fn tell(&self, notices: &[Notice]) {
        for notice in notices {
            let Notice { rule, value, limit, summary, .. } = notice;
            let (rule, state) = (rule.key(), notice.state.name());
            match notice.state {
                Change::Firing => tracing::warn!(target: "alerts", rule, state, value, limit, "{summary}"),
                Change::Resolved => tracing::info!(target: "alerts", rule, state, value, limit, "{summary}"),
            }
            if let Some(tell) = lock(&self.notifier).as_ref() {
                tell(notice);
            }
        }
    }

    /// Looks at what takes a walk.
    fn look(&self, work: &mut Work) {
        let mut seen = self.seen();
        match Process::read() {
            Ok(process) => seen.process = process,
            Err(error) => tracing::debug!(target: "monitor", %error, "the process can't be looked at"),
        }
        match self.parts.store.sizes() {
            Ok(sizes) => seen.sizes = Some(sizes),
            Err(error) => tracing::debug!(target: "monitor", %error, "the data directory can't be looked at"),
        }
        if work.next_count.is_none_or(|next| Instant::now() >= next) {
            let begun = Instant::now();
            // A failure is the store's to tell, and ends the process.
            seen.population = self.parts.store.population().ok().or(seen.population);
            let pause = (self.interval * COUNT_EVERY).max(begun.elapsed() * COUNT_SHARE);
            work.next_count = Some(Instant::now() + pause);
        }
        *lock(&self.seen) = seen;
    }

    fn seen(&self) -> Seen {
        *lock(&self.seen)
    }
}

/// What the thread of the samples keeps for itself.
#[derive(Default)]
struct Work {
    /// The newest moments, newest last.
    window: VecDeque<Totals>,
    /// Nothing where the history can't be kept.
    file: Option<HistoryFile>,
    /// Nothing before the start.
    firing: Option<FiringFile>,
    /// True where the last write failed: it is one line in the log, not one every few seconds.
    failing: bool,
    /// When accounts and sessions are counted again.
    next_count: Option<Instant>,
}

impl Work {
    fn write(&mut self, number: u64, values: &columns::Values) {
        let Some(file) = &self.file else { return };
        let written = file.write(number, values);
        if let Err(error) = &written
            && !self.failing
        {
            tracing::warn!(target: "monitor", %error, "a sample can't be written; the history has a gap");
        }
        self.failing = written.is_err();
    }
}

/// No code that can panic runs under these locks.
fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic of it was printed where it happened.
        }
    }
}
