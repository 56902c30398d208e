//! The durable queue, as commands ask for it.

use serde::{Deserialize, Serialize};

use super::ControlAnswer;
use crate::{
    clock::Timestamp,
    id::JobId,
    jobs::Jobs,
    store::{Job, JobCursor, JobState, JobStateName, Store},
};

/// The most jobs in one answer.
const JOBS_MAX: usize = 100;

/// A job as operators see it: not what it works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Its id.
    pub id: JobId,
    /// How it stands.
    pub state: JobStateName,
    /// When it is due, when its lease ends, or when it was parked.
    pub at: Timestamp,
    /// Which code runs it.
    pub kind: String,
    /// What it is the only one with.
    pub key: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub last_error: Option<String>,
}

impl From<Job> for JobRow {
    fn from(job: Job) -> Self {
        let (state, at) = match job.state {
            JobState::Queued => (JobStateName::Queued, job.due),
            JobState::Running { until } => (JobStateName::Running, until),
            JobState::Parked { at } => (JobStateName::Parked, at),
        };
        let Job { id, kind, key, attempts, last_error, .. } = job;
        Self { id, state, at, kind, key, attempts, last_error }
    }
}

pub(super) async fn list(
    store: &Store,
    state: Option<JobStateName>,
    after: Option<&str>,
) -> Result<ControlAnswer, String> {
    let after = after.map(str::parse::<JobCursor>).transpose()?;
    let listed = Jobs::list(store, state, after, JOBS_MAX).await;
    let (jobs, next) = listed.map_err(|error| error.to_string())?;
    let jobs = jobs.into_iter().map(JobRow::from).collect();
    Ok(ControlAnswer::Jobs { jobs, next: next.map(|next| next.to_string()) })
}

pub(super) async fn retry(store: &Store, id: JobId) -> Result<ControlAnswer, String> {
    let job = store.retry_job(id).await.map_err(|error| error.to_string())?;
    Ok(ControlAnswer::Jobs { jobs: vec![job.into()], next: None })
}

pub(super) async fn remove(store: &Store, id: JobId) -> Result<ControlAnswer, String> {
    store.remove_job(id).await.map_err(|error| error.to_string())?;
    Ok(ControlAnswer::Done {})
}
