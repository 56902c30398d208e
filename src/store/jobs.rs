//! The durable queue, as the rest of the program sees it: jobs with a due time, a lease and attempts.
//!
//! A job is a record of the journal like all else. Only the writer changes it, so that a key makes one job, a job is
//! taken by one at a time, and what it changes in the store is in the same frame as its end.

mod command;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub(crate) use command::{JobCommand, Taking};

use super::{
    ExpiryCursor, OldMessages, Store, StoreError,
    codec::{JobRecord, JobStateCode, RepeatCode},
    command::Command,
    error::JobError,
    key::JobKey,
};
use crate::{
    clock::{Timestamp, rfc3339},
    id::{JobId, SessionId, UserId},
};

/// Jobs that may be queued or running.
pub(crate) const JOBS_MAX: u64 = 100_000;
/// Jobs that are kept parked; the oldest goes when there would be one more.
pub(crate) const PARKED_MAX: u64 = 1_000;
/// A job that failed so often is parked.
pub(crate) const ATTEMPTS_MAX: u32 = 5;
/// A job that nobody ran, or retried, in this time is over.
pub(crate) const KEPT: Duration = Duration::from_hours(30 * 24);
/// The key of a job with [`Repeat::Once`] makes no second one for this long after its end.
pub(crate) const REMEMBERED: Duration = Duration::from_hours(24);
/// Bounds of a job's texts, bytes.
const KIND_MAX: usize = 64;
const KEY_MAX: usize = 256;
const PAYLOAD_MAX: usize = 256 << 10;
/// What is kept of why a job failed, characters.
pub(crate) const REASON_CHARS_MAX: usize = 300;

/// The kind of job that rewrites the journal to what is alive: the store asks for it when that is due.
pub const COMPACTION: &str = "compaction";
/// The kind of job that gives a session its title: the store asks for it when a first turn has ended.
pub const TITLES: &str = "titles";

/// What becomes of a job's key, and of the job at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// The key makes one job, and none for a day after its end.
    Once,
    /// The key makes a job where none with it waits or runs.
    Again,
    /// The job stays: the next time is enqueued by the end of the last, in the same frame.
    Recurring,
}

/// A job to be enqueued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    /// Which code runs it, 64 bytes at most.
    pub kind: String,
    /// What it is the only one with, 256 bytes at most; shown to operators, so nothing secret.
    pub key: String,
    /// The account that it concerns, if any: the job goes with it.
    pub user: Option<UserId>,
    /// What the kind makes of it, 256 KiB at most; shown to nobody.
    pub payload: String,
    /// When it may run first.
    pub due: Timestamp,
    /// What becomes of its key.
    pub repeat: Repeat,
}

/// What became of a [`NewJob`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enqueued {
    /// The job with that key.
    pub id: JobId,
    /// False where there was one already, or where it has ended lately.
    pub is_new: bool,
}

/// How a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its time.
    Queued,
    /// It runs, until then at the latest.
    Running {
        /// The end of its lease.
        until: Timestamp,
    },
    /// It failed too often, and waits for an operator.
    Parked {
        /// Since when.
        at: Timestamp,
    },
}

/// A state without its time, as lists ask for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobStateName {
    /// See [`JobState::Queued`].
    Queued,
    /// See [`JobState::Running`].
    Running,
    /// See [`JobState::Parked`].
    Parked,
}

/// A job; `Serialize` gives what operators see, which is not its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Job {
    /// Its id, for good.
    pub id: JobId,
    /// Which code runs it.
    pub kind: String,
    /// What it is the only one with.
    pub key: String,
    /// The account that it concerns.
    #[serde(skip)]
    pub user: Option<UserId>,
    /// What the kind makes of it.
    #[serde(skip)]
    pub payload: String,
    /// When it was enqueued.
    #[serde(serialize_with = "rfc3339")]
    pub enqueued_at: Timestamp,
    /// When it is, or was, due.
    #[serde(serialize_with = "rfc3339")]
    pub due: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub last_error: Option<String>,
    /// How it stands.
    #[serde(skip)]
    pub state: JobState,
    /// True where it comes again and again.
    pub recurring: bool,
}

/// A place in a list of jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobCursor(pub(super) JobKey);

/// One try of a job. Only who holds it can end the job, and only while its lease lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The job as it is while it runs.
    pub job: Job,
}

/// What a job changes in the store by its end: in the same frame, so once and not without its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum JobEffect {
    /// Nothing.
    #[default]
    Nothing,
    /// The session gets this title, unless it has one by then or is gone.
    Title {
        /// Which session.
        session: SessionId,
        /// Whose.
        owner: UserId,
        /// The title.
        title: String,
    },
}

/// How many jobs there are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Waiting for their time.
    pub queued: u64,
    /// Running.
    pub running: u64,
    /// Parked.
    pub parked: u64,
}

/// What those who run jobs have to do with the store.
pub(crate) struct JobsLink {
    /// Counts the batches that changed a job.
    pub(crate) changed: watch::Sender<u64>,
    /// True where somebody runs jobs.
    pub(crate) runs: AtomicBool,
    /// True where jobs are to give titles.
    pub(crate) titles: AtomicBool,
}

impl Default for JobsLink {
    fn default() -> Self {
        Self { changed: watch::Sender::new(0), runs: AtomicBool::new(false), titles: AtomicBool::new(false) }
    }
}

impl NewJob {
    /// True where its texts are within their bounds.
    pub(crate) fn is_bounded(&self) -> bool {
        let Self { kind, key, payload, .. } = self;
        kind.len() <= KIND_MAX && !key.is_empty() && key.len() <= KEY_MAX && payload.len() <= PAYLOAD_MAX
    }
}

impl JobStateName {
    fn number(self) -> u8 {
        match self {
            Self::Queued => JobKey::QUEUED,
            Self::Running => JobKey::RUNNING,
            Self::Parked => JobKey::PARKED,
        }
    }
}

impl Job {
    pub(crate) fn of(id: JobId, record: JobRecord) -> Self {
        let state = match record.state {
            JobStateCode::Queued => JobState::Queued,
            JobStateCode::Running { until } => JobState::Running { until },
            JobStateCode::Parked { at } => JobState::Parked { at },
        };
        Self {
            id,
            kind: record.kind,
            key: record.key,
            user: record.user,
            payload: record.payload,
            enqueued_at: record.enqueued_at,
            due: record.due,
            attempts: record.attempts,
            last_error: record.last_error,
            state,
            recurring: record.repeat == RepeatCode::Recurring,
        }
    }

    /// Where a list goes on behind this job.
    #[must_use]
    pub fn cursor(&self) -> JobCursor {
        let (state, at) = match self.state {
            JobState::Queued => (JobKey::QUEUED, self.due),
            JobState::Running { until } => (JobKey::RUNNING, until),
            JobState::Parked { at } => (JobKey::PARKED, at),
        };
        JobCursor(JobKey { state, at, id: self.id })
    }
}

impl JobCursor {
    /// The state of the jobs among which it is.
    #[must_use]
    pub fn state(self) -> JobStateName {
        match self.0.state {
            JobKey::QUEUED => JobStateName::Queued,
            JobKey::RUNNING => JobStateName::Running,
            _ => JobStateName::Parked,
        }
    }
}

impl std::fmt::Display for JobCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}_{}", self.0.state, self.0.at.0, self.0.id)
    }
}

impl std::str::FromStr for JobCursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('_').collect();
        let [state, at, id] = parts[..] else { return Err("not the \"next\" of a list of jobs") };
        let read =
            || Some((state.parse().ok().filter(|&state| state <= JobKey::PARKED)?, at.parse().ok()?, id.parse().ok()?));
        let (state, at, id) = read().ok_or("not the \"next\" of a list of jobs")?;
        Ok(Self(JobKey { state, at: Timestamp(at), id }))
    }
}

impl Store {
    /// Says that somebody runs jobs from now on, and whether there are to be some that give titles.
    pub fn runs_jobs(&self, titles: bool) {
        self.shared.jobs.titles.store(titles, Ordering::Relaxed);
        self.shared.jobs.runs.store(true, Ordering::Relaxed);
    }

    /// Changes whenever jobs do, once that can be read.
    #[must_use]
    pub fn watch_jobs(&self) -> watch::Receiver<u64> {
        self.shared.jobs.changed.subscribe()
    }

    /// How many jobs there are.
    #[must_use]
    pub fn job_counts(&self) -> JobCounts {
        let [queued, running, parked] = self.shared.index.job_counts();
        JobCounts { queued, running, parked }
    }

    /// Puts a job into the queue, or finds the one that has its key. A recurring one that waits longer than this becomes
    /// due with this.
    ///
    /// # Errors
    /// `JobError::TooLong`; `NoUser` where the user it concerns is not there; `Busy` where 100,000 jobs wait; those of every write.
    pub async fn enqueue(&self, job: NewJob) -> Result<Enqueued, StoreError> {
        if !job.is_bounded() {
            return Err(JobError::TooLong.into());
        }
        self.write(|reply| Command::Job(JobCommand::Enqueue(job, reply))).await
    }

    /// Takes a job that is due, for `lease`: counted and durable before this returns, so that a job which ends the
    /// process counts too.
    ///
    /// # Errors
    /// `JobError::NotTaken` where it is not due or not there; those of every write.
    pub async fn take_job(&self, id: JobId, lease: Duration) -> Result<Taken, StoreError> {
        self.write(|reply| Command::Job(JobCommand::Take(Taking { id, lease }, reply))).await
    }

    /// Ends a job that was taken, with what it changes; `next` is when a recurring one is due again.
    ///
    /// # Errors
    /// `JobError::NotTaken` where its lease was given to another or it is gone; those of every write.
    pub async fn finish_job(
        &self,
        taken: &Taken,
        effect: JobEffect,
        next: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let run = (taken.job.id, taken.job.attempts);
        self.write(|reply| Command::Job(JobCommand::Finish(run, effect, next, reply))).await
    }

    /// Gives a job back that could not be done, for `reason`: due `again` then, or parked after the fifth time; of a
    /// recurring one, that time is parked and the next is due at `next`. True where it was parked.
    ///
    /// # Errors
    /// As [`Store::finish_job`].
    pub async fn fail_job(
        &self,
        taken: &Taken,
        reason: String,
        again: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<bool, StoreError> {
        let run = (taken.job.id, taken.job.attempts);
        self.write(|reply| Command::Job(JobCommand::Fail(run, reason, (again, next), reply))).await
    }

    /// Gives a job back that was not done because the server stops: it is due at once, and the try does not count.
    ///
    /// # Errors
    /// As [`Store::finish_job`].
    pub async fn give_back_job(&self, taken: &Taken) -> Result<(), StoreError> {
        let run = (taken.job.id, taken.job.attempts);
        self.write(|reply| Command::Job(JobCommand::GiveBack(run, reply))).await
    }

    /// Parks a job that waits, for `reason`.
    ///
    /// # Errors
    /// `JobError::NotTaken` where it does not wait; those of every write.
    pub async fn park_job(&self, id: JobId, reason: String) -> Result<(), StoreError> {
        self.write(|reply| Command::Job(JobCommand::Park(id, reason, reply))).await
    }

    /// Gives back all jobs that run: nobody runs any at a start. Those that had their tries are parked. `again` says when
    /// one that was tried so often is due.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn release_jobs(&self, again: impl Fn(u32) -> Timestamp + Send + 'static) -> Result<usize, StoreError> {
        self.write(|reply| Command::Job(JobCommand::Release(Box::new(again), reply))).await
    }

    /// Has a parked job run again, at once and with all its tries.
    ///
    /// # Errors
    /// `JobError`; those of every write.
    pub async fn retry_job(&self, id: JobId) -> Result<Job, StoreError> {
        self.write(|reply| Command::Job(JobCommand::Retry(id, reply))).await
    }

    /// Takes a job out of the queue that is parked or waits.
    ///
    /// # Errors
    /// `JobError`; those of every write.
    pub async fn remove_job(&self, id: JobId) -> Result<(), StoreError> {
        self.write(|reply| Command::Job(JobCommand::Remove(id, reply))).await
    }

    /// Jobs in a state, in the order of their times, behind `after`; at most `limit`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn jobs(
        &self,
        state: JobStateName,
        after: Option<JobCursor>,
        limit: usize,
    ) -> Result<Vec<Job>, StoreError> {
        let after = after.map(|cursor| cursor.0).filter(|key| key.state == state.number());
        let state = (state.number(), self.clock.now());
        let found = self.read(move |index| Ok(index.jobs_in(state, after, limit)?)).await?;
        Ok(found.into_iter().map(|(key, record)| Job::of(key.id, record)).collect())
    }

    /// Takes away what is over by itself, a bounded number of records for each call: gives how many went so far, and where
    /// to go on.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn remove_expired(&self, cursor: ExpiryCursor) -> Result<(u64, Option<ExpiryCursor>), StoreError> {
        self.write(|reply| Command::Job(JobCommand::RemoveExpired(cursor, reply))).await
    }

    /// Clears old messages of a session; false where it has changed since they were found.
    ///
    /// # Errors
    /// `NotOwner`, and those of every write.
    pub async fn clear_old(&self, owner: UserId, old: OldMessages) -> Result<bool, StoreError> {
        self.write(|reply| Command::Job(JobCommand::ClearOld(owner, old, reply))).await
    }
}

impl From<Repeat> for RepeatCode {
    fn from(repeat: Repeat) -> Self {
        match repeat {
            Repeat::Once => Self::Once,
            Repeat::Again => Self::Again,
            Repeat::Recurring => Self::Recurring,
        }
    }
}
