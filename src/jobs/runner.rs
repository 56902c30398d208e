//! Which job is taken when, and what becomes of it.
//!
//! The runner sleeps until the next job is due or until jobs change. It looks more often only because the wall clock, by
//! which jobs are due, may jump.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    EndedJob, Inner, JobOutcome, Kind, backoff,
    figures::Work,
    run::{self, Tried},
};
use crate::{
    clock::Timestamp,
    store::{Health, Job, JobError, JobStateName, NewJob, Repeat, StoreError, Taken},
};

/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_mins(10);
/// What the store refuses for now is tried again after this.
const AGAIN: Duration = Duration::from_millis(200);
/// Due jobs that one look sees: there are fewer long ones, and fewer than places and four that are not tried beside
/// themselves.
const LOOK: usize = 128;

/// The places of the pool.
struct Places {
    all: Arc<Semaphore>,
    /// Long jobs have one of these too, of which there is one less where there can be.
    long: Arc<Semaphore>,
}

/// What a job that runs holds of them.
type Place = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

/// What a look at the queue came to.
enum Next {
    Run(Box<Taken>, Place),
    /// Nothing can be taken until then, or until jobs change.
    Wait(Option<Timestamp>),
}

/// Runs jobs until the server stops.
pub(super) async fn run(inner: Arc<Inner>) {
    let _stopped = inner.stopped.clone().drop_guard();
    if unless_stopped(&inner, make_ready(&inner)).await.is_none() {
        return;
    }
    let workers = inner.config.workers;
    let places =
        Places { all: Arc::new(Semaphore::new(workers)), long: Arc::new(Semaphore::new((workers - 1).max(1))) };
    let mut changes = inner.store.watch_jobs();
    // What is taken is run, so a stop is looked at between, and not within, the taking of two jobs.
    while let Some(Ok(place)) = unless_stopped(&inner, Arc::clone(&places.all).acquire_owned()).await {
        changes.mark_unchanged();
        match next(&inner, &places, place).await {
            Ok(Next::Run(taken, place)) => {
                let inner = Arc::clone(&inner);
                let tasks = inner.tasks.clone();
                tasks.spawn(async move { one(&inner, *taken, place).await });
            }
            Ok(Next::Wait(until)) => {
                let wait = until.map_or(SLEEP_MAX, |until| until.since(inner.clock.now()).min(SLEEP_MAX));
                let news = async {
                    tokio::select! {
                        _ = changes.changed() => {} // The store outlives this, so they never end.
                        () = inner.freed.notified() => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                };
                unless_stopped(&inner, news).await;
            }
            Err(error) => {
                tracing::debug!(%error, "no job can be taken for now");
                unless_stopped(&inner, tokio::time::sleep(AGAIN)).await;
            }
        }
    }
}

/// Gives back what ran when the last process ended, and has each recurring job be there.
async fn make_ready(inner: &Inner) {
    until_stored(inner, || inner.store.release_jobs(again_by(inner))).await;
    for kind in inner.kinds.values() {
        let Some(every) = kind.every else { continue };
        let due = |wait| recurring(kind, inner.clock.now().after(wait));
        let job = until_stored(inner, || inner.store.enqueue(due(every))).await;
        // Where there was one, its own time holds: that the server starts is no reason for one more.
        if kind.at_once && job.is_some_and(|job| job.is_new) {
            until_stored(inner, || inner.store.enqueue(due(Duration::ZERO))).await;
        }
    }
}

/// What `work` gives; nothing once the server stops.
async fn unless_stopped<T>(inner: &Inner, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = inner.stop.cancelled() => None,
        done = work => Some(done),
    }
}

/// A job that is always there.
fn recurring(kind: &Kind, due: Timestamp) -> NewJob {
    let (name, key) = (kind.name.to_owned(), kind.name.to_owned());
    NewJob { kind: name, key, user: None, payload: String::new(), due, repeat: Repeat::Recurring }
}

/// Takes the first due job that may run. What this program knows nothing of is parked for one that does.
///
/// On a full disk only what makes room is begun, however much waits before it.
async fn next(inner: &Inner, places: &Places, place: OwnedSemaphorePermit) -> Result<Next, StoreError> {
    let now = inner.clock.now();
    let is_full = inner.store.health() == Health::DiskFull;
    let again = is_full.then(|| now.after(AGAIN)); // Nobody tells that there is room again.
    let mut after = None;
    loop {
        let jobs = inner.store.jobs(JobStateName::Queued, after, LOOK).await?;
        let (is_last, last) = (jobs.len() < LOOK, jobs.last().map(Job::cursor));
        for job in jobs {
            if job.due > now {
                return Ok(Next::Wait(Some(again.map_or(job.due, |again| again.min(job.due)))));
            }
            let Some(kind) = inner.kinds.get(job.kind.as_str()) else {
                let parked = inner.store.park_job(job.id, "this program has no such kind of job".to_owned()).await;
                not_taken(parked)?;
                tracing::warn!(job = %job.id, kind = job.kind, "a job of an unknown kind was parked");
                continue;
            };
            let work = Work::of(&job, kind);
            let is_at_it = inner.counters.abandoned(|jobs| jobs.values().any(|at_it| *at_it == work)); // Its end wakes us.
            if is_at_it || is_full && !kind.makes_room {
                continue;
            }
            let long = match kind.is_long.then(|| Arc::clone(&places.long).try_acquire_owned()) {
                Some(Err(_)) => continue,
                Some(Ok(long)) => Some(long),
                None => None,
            };
            if let Some(taken) = not_taken(inner.store.take_job(job.id, kind.lease).await)? {
                return Ok(Next::Run(Box::new(taken), (place, long)));
            }
        }
        if is_last || !is_full {
            return Ok(Next::Wait(again));
        }
        after = last;
    }
}

/// Nothing where the job was removed meanwhile.
fn not_taken<T>(done: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(StoreError::Job(JobError::NotTaken)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Runs a job that was taken, and has the store know what became of it.
async fn one(inner: &Arc<Inner>, taken: Taken, place: Place) {
    let Some(kind) = inner.kinds.get(taken.job.kind.as_str()) else { return };
    let began = Instant::now();
    let work = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (kind.run)(&taken.job)));
    let place = Arc::new(place); // The thread may need it longer than this does.
    let tried = match work {
        Ok(work) => run::run(inner, (&taken.job, kind), work, Arc::clone(&place)).await,
        Err(_) => Tried::Failed(super::Failure("it panicked".to_owned())),
    };
    let next = kind.every.map(|every| inner.clock.now().after(every));
    let outcome = match tried {
        Tried::Done(effect) => {
            let done = until_stored(inner, || inner.store.finish_job(&taken, effect.clone(), next)).await;
            done.map(|()| JobOutcome::Done)
        }
        Tried::Failed(failure) => {
            let again = again_by(inner)(taken.job.attempts);
            let parked = until_stored(inner, || inner.store.fail_job(&taken, failure.0.clone(), again, next)).await;
            tracing::warn!(job = %taken.job.id, kind = kind.name, attempt = taken.job.attempts, parked, %failure, "a job failed");
            parked.map(|parked| if parked { JobOutcome::Parked } else { JobOutcome::Failed })
        }
        Tried::Halted => {
            until_stored(inner, || inner.store.give_back_job(&taken)).await;
            None
        }
    };
    let outcome = outcome.unwrap_or(JobOutcome::GivenBack);
    inner.counters.count(kind.name, outcome);
    if outcome == JobOutcome::Done {
        note(inner, kind, taken, began.elapsed());
    }
    drop(place);
    inner.freed.notify_one();
}

fn note(inner: &Inner, kind: &Kind, taken: Taken, took: Duration) {
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (job, ended_at) = (taken.job, inner.clock.now());
    tracing::debug!(job = %job.id, kind = kind.name, took_ms, "a job is done");
    inner.note_ended(EndedJob { id: job.id, kind: kind.name, key: job.key, attempts: job.attempts, ended_at, took_ms });
}

/// When a job is due that was tried so often.
fn again_by(inner: &Inner) -> impl Fn(u32) -> Timestamp + Send + use<> {
    let (clock, first) = (inner.clock.clone(), inner.config.retry_after);
    move |attempt| clock.now().after(backoff::wait(attempt, first, backoff::random()))
}

/// What a job came to must be stored: a full queue and a failed write are waited for. Nothing where the job is no longer
/// this one's, or where the store has ended: then the next start finds the job as it was taken.
async fn until_stored<T, F: Future<Output = Result<T, StoreError>>>(inner: &Inner, ask: impl Fn() -> F) -> Option<T> {
    loop {
        match ask().await {
            Ok(done) => return Some(done),
            Err(StoreError::Busy | StoreError::DiskFull) => {}
            // The write was taken back while the store goes on.
            Err(StoreError::Unknown) if inner.store.health().writes() => {}
            Err(StoreError::Job(_)) => return None,
            Err(error) => {
                tracing::warn!(%error, "what became of a job can't be stored; the next start finds it");
                return None;
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}
