//! What the runs of jobs came to, as plain counters.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::Serialize;

use super::Kind;
use crate::{
    id::JobId,
    store::{Job, JobCounts},
};

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JobOutcome {
    /// The job is done.
    Done,
    /// It failed and is tried again.
    Failed,
    /// It failed as often as it may, and is parked.
    Parked,
    /// The server stopped meanwhile, or the job was removed.
    GivenBack,
}

impl JobOutcome {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Done, Self::Failed, Self::Parked, Self::GivenBack];
}

/// How often the runs of a kind came to an outcome, since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runs {
    /// The kind.
    pub kind: &'static str,
    /// What they came to.
    pub outcome: JobOutcome,
    /// How often.
    pub count: u64,
}

/// How the jobs stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// How many there are.
    pub jobs: JobCounts,
    /// What their runs came to: a row for each kind and outcome.
    pub runs: Vec<Runs>,
    /// Tries that did not end with their lease and still run.
    pub abandoned: usize,
}

pub(super) struct Counters {
    runs: HashMap<&'static str, [AtomicU64; 4]>,
    /// Guards the jobs whose last try goes on behind its lease.
    abandoned: Mutex<HashMap<JobId, Work>>,
}

/// What a job does: whatever its id, no two do it at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Work {
    kind: String,
    /// None where all jobs of the kind do the same.
    key: Option<String>,
}

impl Work {
    pub(super) fn of(job: &Job, kind: &Kind) -> Self {
        let is_one = kind.every.is_some() || kind.is_long;
        Self { kind: job.kind.clone(), key: (!is_one).then(|| job.key.clone()) }
    }
}

impl Counters {
    pub(super) fn new(kinds: impl Iterator<Item = &'static str>) -> Self {
        Self { runs: kinds.map(|kind| (kind, Default::default())).collect(), abandoned: Mutex::default() }
    }

    pub(super) fn count(&self, kind: &'static str, outcome: JobOutcome) {
        if let Some(counts) = self.runs.get(kind) {
            counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Looks at, or changes, which jobs have a try that goes on behind its lease.
    pub(super) fn abandoned<T>(&self, look: impl FnOnce(&mut HashMap<JobId, Work>) -> T) -> T {
        look(&mut self.abandoned.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn figures(&self, jobs: JobCounts) -> Figures {
        let row = |kind, counts: &[AtomicU64; 4]| {
            JobOutcome::ALL.map(|outcome| Runs {
                kind,
                outcome,
                count: counts[outcome as usize].load(Ordering::Relaxed),
            })
        };
        let mut runs: Vec<Runs> = self.runs.iter().flat_map(|(kind, counts)| row(*kind, counts)).collect();
        runs.sort_by_key(|runs| (runs.kind, runs.outcome as usize));
        Figures { jobs, runs, abandoned: self.abandoned(|jobs| jobs.len()) }
    }
}
