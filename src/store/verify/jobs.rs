//! What a directory shows of the durable queue.

use std::collections::{HashMap, HashSet};

use super::{
    super::{
        codec::{Change, JobRecord, JobStateCode},
        index::{Index, IndexError},
        jobs::ATTEMPTS_MAX,
    },
    Verdict,
};
use crate::{
    clock::Timestamp,
    id::{JobId, UserId},
};

/// The queue as the journal has it.
#[derive(Default)]
pub(super) struct Queue {
    jobs: HashMap<JobId, JobRecord>,
    ended: HashSet<JobId>,
}

impl Queue {
    pub(super) fn follow(&mut self, change: &Change, frame: u64, verdict: &mut Verdict) {
        if let Change::Job { id, record } = change {
            if self.ended.contains(id) {
                verdict.find(format!("frame {frame}: job {id} comes back after its end"));
            }
            self.jobs.insert(*id, record.clone());
        }
        if let Change::JobEnded { id, .. } = change {
            self.jobs.remove(id);
            self.ended.insert(*id);
        }
    }

    /// The jobs that count.
    fn live(&self, now: Timestamp) -> impl Iterator<Item = (&JobId, &JobRecord)> {
        self.jobs.iter().filter(move |(_, job)| job.expires_at > now)
    }

    pub(super) fn finish(&self, now: Timestamp, is_there: impl Fn(UserId) -> bool, verdict: &mut Verdict) {
        let mut keys = HashMap::new();
        for (id, job) in self.live(now) {
            verdict.jobs += 1;
            if let Some(other) = keys.insert(&job.key, id) {
                verdict.find(format!("jobs {id} and {other} have the same key"));
            }
            if let Some(user) = job.user.filter(|user| !is_there(*user)) {
                verdict.find(format!("job {id} concerns user {user}, who is not there"));
            }
            if job.attempts > ATTEMPTS_MAX {
                verdict.find(format!("job {id} was tried {} times", job.attempts));
            }
            if matches!(job.state, JobStateCode::Parked { .. }) && job.last_error.is_none() {
                verdict.find(format!("job {id} is parked without a reason"));
            }
        }
    }

    pub(super) fn compare(&self, index: &Index, now: Timestamp, verdict: &mut Verdict) -> Result<(), IndexError> {
        for (id, job) in self.live(now) {
            let key = index.job_key(&job.key)?;
            let is_keyed = key.is_some_and(|key| key.id == *id && key.ended_until.is_none());
            if index.job(*id)?.as_ref() != Some(job) || !is_keyed {
                verdict.find(format!("job {id} is not so in the index"));
            }
        }
        let mut there = 0;
        for entry in index.all_jobs() {
            let (id, job) = entry?;
            if !index.has_job_place(id, &job)? {
                verdict.find(format!("job {id} has no place in the order"));
            }
            there += usize::from(job.expires_at > now);
        }
        let wanted = self.live(now).count();
        if there != wanted {
            verdict.find(format!("the index has {there} jobs, the journal {wanted}"));
        }
        Ok(())
    }
}
