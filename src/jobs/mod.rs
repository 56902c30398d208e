//! Work that the server does by itself, and that outlives it: durable jobs, one file for each kind.
//!
//! The store keeps the jobs, this runs them. A job is taken in the journal before it runs, runs on a thread of its own
//! until its lease ends, and is ended, given back or parked in the journal. So one that panics, hangs or ends the process
//! is found again, and hurts no other. Knows nothing of what a kind does but how long that may take.

pub mod alert;
mod backoff;
pub mod backup;
mod compaction;
mod expiry;
mod figures;
mod retention;
mod run;
mod runner;
#[cfg(test)]
mod tests;
mod titles;
pub mod webhook;

use std::{
    collections::{HashMap, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use figures::{Figures, JobOutcome, Runs};

use crate::{
    clock::{Clock, Timestamp, rfc3339},
    config::{AlertsConfig, JobsConfig, LimitsConfig, Live, Titles},
    id::JobId,
    store::{Enqueued, Job, JobCursor, JobEffect, JobStateName, NewJob, Store, StoreError},
};
use figures::Counters;

/// Ended jobs that are remembered, to be shown.
const ENDED_MAX: usize = 100;

/// Why a job could not be done: a sentence for operators, without anything that a user said and without secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// What a job does. Dropping it ends it, where it waits.
pub type Work = Pin<Box<dyn Future<Output = Result<JobEffect, Failure>> + Send>>;

/// A kind of job.
pub struct Kind {
    /// Its name, in each job of it.
    pub name: &'static str,
    /// How long one try may take.
    pub lease: Duration,
    /// True where that is long: such jobs never have all places.
    pub is_long: bool,
    /// How long after its end it is due again; nothing for what is enqueued.
    pub every: Option<Duration>,
    /// True where the first of those is due at once.
    pub at_once: bool,
    /// True where it is begun on a full disk too, because it makes room there.
    pub makes_room: bool,
    /// Begins a try. What the try changes must be what the end of the job changes, or must be the same when it is done twice.
    pub run: Box<dyn Fn(&Job) -> Work + Send + Sync>,
}

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndedJob {
    /// Its id.
    pub id: JobId,
    /// Which code ran it.
    pub kind: &'static str,
    /// What it was the only one with.
    pub key: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it ended.
    #[serde(serialize_with = "rfc3339")]
    pub ended_at: Timestamp,
    /// How long the last try took.
    pub took_ms: u64,
}

/// What runs the jobs; clones are the same. Dropping it ends nothing; [`Jobs::halt`] does.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<Store>,
    clock: Clock,
    config: JobsConfig,
    kinds: HashMap<&'static str, Kind>,
    counters: Counters,
    /// Guards the jobs that ended last, newest first.
    ended: Mutex<VecDeque<EndedJob>>,
    /// A place in the pool was given back, or a try ended that went on behind its lease.
    freed: Notify,
    /// No other job is to be taken.
    stop: CancellationToken,
    /// None is, any more.
    stopped: CancellationToken,
    /// Those that run are given back.
    halt: CancellationToken,
    tasks: TaskTracker,
}

/// What of the configuration the kinds look at while they run.
pub struct OwnConfig {
    /// How long messages are kept.
    pub limits: Live<LimitsConfig>,
    /// Where alerts are posted to.
    pub alerts: Live<AlertsConfig>,
}

/// The kinds of this program.
#[must_use]
pub fn kinds(store: &Arc<Store>, clock: &Clock, config: OwnConfig, backups: backup::Backups) -> Vec<Kind> {
    vec![
        expiry::kind(Arc::clone(store)),
        retention::kind(Arc::clone(store), clock.clone(), config.limits),
        compaction::kind(Arc::clone(store)),
        titles::kind(Arc::clone(store)),
        webhook::kind(),
        alert::kind(config.alerts, clock.clone()),
        backup::kind(Arc::clone(store), clock.clone(), backups),
    ]
}

impl Jobs {
    /// Starts running the jobs of `store`, those first that ran when the last process ended; must be called within a tokio
    /// runtime.
    #[must_use]
    pub fn start(store: Arc<Store>, clock: Clock, config: JobsConfig, kinds: Vec<Kind>) -> Self {
        let titles = config.titles == Titles::Excerpt && kinds.iter().any(|kind| kind.name == crate::store::TITLES);
        store.runs_jobs(titles);
        let counters = Counters::new(kinds.iter().map(|kind| kind.name));
        let inner = Arc::new(Inner {
            store,
            clock,
            config,
            kinds: kinds.into_iter().map(|kind| (kind.name, kind)).collect(),
            counters,
            ended: Mutex::default(),
            freed: Notify::new(),
            stop: CancellationToken::new(),
            stopped: CancellationToken::new(),
            halt: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        inner.tasks.spawn(runner::run(Arc::clone(&inner)));
        Self { inner }
    }

    /// Puts a job into the queue, or finds the one that has its key.
    ///
    /// # Errors
    /// As [`Store::enqueue`].
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, StoreError> {
        self.inner.store.enqueue(job).await
    }

    /// How many jobs there are, and what the runs came to.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.inner.counters.figures(self.inner.store.job_counts())
    }

    /// The jobs that ended last, newest first, 100 at most; only those of this process.
    #[must_use]
    pub fn ended(&self) -> Vec<EndedJob> {
        self.inner.ended.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Takes no job any more, and waits for those that run.
    pub async fn drain(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Jobs in `state`, or in all states: first those that run, then those that wait, then those that are parked, each in the
    /// order of their times. At most `limit`, behind `after`; with where to go on.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn list(
        store: &Store,
        state: Option<JobStateName>,
        after: Option<JobCursor>,
        limit: usize,
    ) -> Result<(Vec<Job>, Option<JobCursor>), StoreError> {
        let all = [JobStateName::Running, JobStateName::Queued, JobStateName::Parked];
        let from = after.map(JobCursor::state);
        let states = all.into_iter().filter(|name| state.is_none_or(|state| state == *name));
        let states = states.skip_while(|name| from.is_some_and(|from| from != *name));
        let mut jobs = Vec::new();
        for name in states {
            // One more tells whether any follow.
            jobs.extend(store.jobs(name, after.filter(|_| from == Some(name)), limit + 1 - jobs.len()).await?);
            if jobs.len() > limit {
                jobs.truncate(limit);
                let next = jobs.last().map(Job::cursor);
                return Ok((jobs, next));
            }
        }
        Ok((jobs, None))
    }

    /// Gives back what still runs: the next start finds it due. Takes a few seconds at most.
    pub async fn halt(&self) {
        self.inner.stop.cancel();
        self.inner.stopped.cancelled().await; // What is given back is not to be taken again.
        self.inner.halt.cancel();
        self.drain().await;
    }
}

impl Inner {
    fn note_ended(&self, ended: EndedJob) {
        let mut all = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        all.truncate(ENDED_MAX - 1);
        all.push_front(ended);
    }
}
