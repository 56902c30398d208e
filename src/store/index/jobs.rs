//! Jobs in the index: each under its id, and by how it stands and when that is due to change, by its key, by its user.

use std::sync::atomic::{AtomicU64, Ordering};

use sled::Tree;

use super::{
    super::{
        codec::{self, CodecError, JobKeyRecord, JobRecord, JobStateCode},
        key::{JobKey, UserKey},
    },
    Index, IndexError, get, put,
};
use crate::{
    clock::Timestamp,
    id::{JobId, UserId},
};

/// The trees of the queue.
pub(crate) struct JobTrees {
    pub(super) jobs: Tree,
    /// [`JobKey`], and nothing under it.
    pub(super) order: Tree,
    pub(super) keys: Tree,
    of_user: Tree,
    /// How many there are in each state, by the state's number in [`JobKey`].
    counts: [AtomicU64; 3],
}

impl JobTrees {
    pub(super) fn open(db: &sled::Db) -> Result<Self, IndexError> {
        let trees = Self {
            jobs: db.open_tree("jobs")?,
            order: db.open_tree("job_order")?,
            keys: db.open_tree("job_keys")?,
            of_user: db.open_tree("user_jobs")?,
            counts: [const { AtomicU64::new(0) }; 3],
        };
        for key in trees.order.iter().keys() {
            trees.count(job_key(&key?)?.state, true);
        }
        Ok(trees)
    }

    fn count(&self, state: u8, more: bool) {
        let Some(count) = self.counts.get(usize::from(state)) else { return };
        if more {
            count.fetch_add(1, Ordering::Relaxed);
        } else {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn insert_order(&self, key: JobKey) -> Result<(), IndexError> {
        if self.order.insert(key.encode(), &[])?.is_none() {
            self.count(key.state, true);
        }
        Ok(())
    }

    fn remove_order(&self, key: JobKey) -> Result<(), IndexError> {
        if self.order.remove(key.encode())?.is_some() {
            self.count(key.state, false);
        }
        Ok(())
    }
}

impl Index {
    /// Writes a job over what it was. One that counts for nothing any more is not written.
    pub(super) fn put_job(&self, id: JobId, record: &JobRecord, at: Timestamp) -> Result<(), IndexError> {
        if record.expires_at <= at {
            return Ok(());
        }
        let trees = &self.jobs;
        // Its old place goes first: a replay after a kill anywhere in here finds the old record, or makes the new place.
        if let Some(before) = self.job(id)? {
            trees.remove_order(place(id, &before))?;
            if before.key != record.key && self.job_key(&before.key)?.is_some_and(|key| key.id == id) {
                trees.keys.remove(&before.key)?;
            }
        }
        put(&trees.jobs, &id.bytes(), record)?;
        put(&trees.keys, record.key.as_bytes(), &JobKeyRecord { id, ended_until: None })?;
        if let Some(user) = record.user {
            trees.of_user.insert(UserKey::job(user, id).encode(), &[])?;
        }
        trees.insert_order(place(id, record))
    }

    /// Takes a job away; its key is remembered until `remembered_until`.
    pub(super) fn end_job(
        &self,
        id: JobId,
        key: &str,
        remembered_until: Option<Timestamp>,
        at: Timestamp,
    ) -> Result<(), IndexError> {
        let of_this = self.job_key(key)?.is_none_or(|known| known.id == id);
        if let Some(ended_until) = remembered_until.filter(|&until| until > at && of_this) {
            put(&self.jobs.keys, key.as_bytes(), &JobKeyRecord { id, ended_until: Some(ended_until) })?;
        }
        let Some(record) = self.job(id)? else { return Ok(()) };
        if remembered_until.is_none() && of_this {
            self.jobs.keys.remove(key)?;
        }
        self.jobs.remove_order(place(id, &record))?;
        if let Some(user) = record.user {
            self.jobs.of_user.remove(UserKey::job(user, id).encode())?;
        }
        // Last: as long as the record is there, a replay after a kill does the rest again.
        self.jobs.jobs.remove(id.bytes())?;
        Ok(())
    }

    /// The job, unless it has ended or never was.
    pub(crate) fn job(&self, id: JobId) -> Result<Option<JobRecord>, IndexError> {
        get(&self.jobs.jobs, &id.bytes())
    }

    /// True where the order has the job where it belongs.
    pub(crate) fn has_job_place(&self, id: JobId, record: &JobRecord) -> Result<bool, IndexError> {
        Ok(self.jobs.order.contains_key(place(id, record).encode())?)
    }

    /// Whose a key is.
    pub(crate) fn job_key(&self, key: &str) -> Result<Option<JobKeyRecord>, IndexError> {
        get(&self.jobs.keys, key.as_bytes())
    }

    /// Jobs in a state that are not over, in the order of their times, behind `after`; at most `limit`.
    pub(crate) fn jobs_in(
        &self,
        (state, now): (u8, Timestamp),
        after: Option<JobKey>,
        limit: usize,
    ) -> Result<Vec<(JobKey, JobRecord)>, IndexError> {
        let from = after.map_or(vec![state], |after| after.encode().to_vec());
        let mut found = Vec::new();
        for key in self.jobs.order.range(from..vec![state + 1]).keys() {
            let key = job_key(&key?)?;
            if after == Some(key) {
                continue;
            }
            if found.len() == limit {
                break;
            }
            // It may be between two states.
            let is_there = |record: &JobRecord| place(key.id, record) == key && record.expires_at > now;
            if let Some(record) = self.job(key.id)?.filter(is_there) {
                found.push((key, record));
            }
        }
        Ok(found)
    }

    /// The jobs that concern a user.
    pub(crate) fn jobs_of(&self, user: UserId) -> Result<Vec<JobId>, IndexError> {
        let keys = self.jobs.of_user.scan_prefix(user.bytes()).keys();
        keys.map(|key| {
            let key = UserKey::decode(&key?).ok_or_else(|| CodecError::Malformed("a user_jobs key".to_owned()))?;
            Ok(JobId::from_bytes(key.of))
        })
        .collect()
    }

    /// How many jobs there are: queued, running, parked.
    pub(crate) fn job_counts(&self) -> [u64; 3] {
        [0, 1, 2].map(|state: usize| self.jobs.counts[state].load(Ordering::Relaxed))
    }

    /// All jobs, in the order of their ids.
    pub(crate) fn all_jobs(&self) -> impl Iterator<Item = Result<(JobId, JobRecord), IndexError>> + '_ {
        self.jobs.jobs.iter().map(|entry| {
            let (key, value) = entry?;
            let id = key.as_ref().try_into().map_err(|_| CodecError::Malformed("a jobs key".to_owned()))?;
            Ok((JobId::from_bytes(id), codec::decode(&value)?))
        })
    }
}

/// Where a job stands in the order.
fn place(id: JobId, record: &JobRecord) -> JobKey {
    let (state, at) = match record.state {
        JobStateCode::Queued => (JobKey::QUEUED, record.due),
        JobStateCode::Running { until } => (JobKey::RUNNING, until),
        JobStateCode::Parked { at } => (JobKey::PARKED, at),
    };
    JobKey { state, at, id }
}

fn job_key(bytes: &[u8]) -> Result<JobKey, CodecError> {
    JobKey::decode(bytes).ok_or_else(|| CodecError::Malformed("a job_order key".to_owned()))
}
