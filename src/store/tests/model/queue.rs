//! The durable queue in the model.

use std::time::Duration;

use super::{super::super::*, Deed, World, session_id, user_id};

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Queued {
    pub(super) user: u8,
    attempts: u32,
    runs: bool,
}

impl Deed {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller chooses the deeds of the queue")]
    pub(super) async fn ask_of_queue(&self, store: &Store) -> Result<(), StoreError> {
        match *self {
            Self::Job(key, user) => store.enqueue(new_job(key, user)).await.map(|_| ()),
            Self::TakeJob(key) => {
                let job = find(store, key, JobStateName::Queued).await?;
                store.take_job(job.id, Duration::from_mins(1)).await.map(|_| ())
            }
            Self::FailJob(key) => {
                let job = find(store, key, JobStateName::Running).await?;
                store.fail_job(&Taken { job }, "it failed".to_owned(), Timestamp(1), None).await.map(|_| ())
            }
            Self::EndJob(key, session, user, title) => {
                let job = find(store, key, JobStateName::Running).await?;
                let (session, owner, title) = (session_id(session), user_id(user), title.to_owned());
                store.finish_job(&Taken { job }, JobEffect::Title { session, owner, title }, None).await
            }
            _ => panic!("{self:?} has nothing to do with the queue"),
        }
    }
}

impl World {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller chooses the deeds of the queue")]
    pub(super) fn follow_in_queue(&mut self, deed: &Deed) -> Option<u64> {
        match *deed {
            Deed::Job(key, _) if self.jobs.contains_key(&key) => {}
            Deed::Job(key, user) => {
                self.users.get(&user)?;
                self.jobs.insert(key, Queued { user, ..Queued::default() });
            }
            Deed::TakeJob(key) => {
                let job = self.jobs.get_mut(&key).filter(|job| !job.runs)?;
                (job.runs, job.attempts) = (true, job.attempts + 1);
            }
            Deed::FailJob(key) => self.jobs.get_mut(&key).filter(|job| job.runs)?.runs = false,
            Deed::EndJob(key, id, user, title) => {
                self.jobs.get(&key).filter(|job| job.runs)?;
                self.jobs.remove(&key);
                let log = self.sessions.get_mut(&id).filter(|log| log.owner == user && log.title.is_none());
                if let Some(log) = log {
                    log.title = Some(title.to_owned());
                }
            }
            _ => panic!("{deed:?} has nothing to do with the queue"),
        }
        Some(0)
    }

    pub(super) async fn read_queue(&mut self, store: &Store) {
        for state in [JobStateName::Queued, JobStateName::Running, JobStateName::Parked] {
            for job in store.jobs(state, None, 100).await.unwrap() {
                let user = job.user.unwrap().bytes()[0];
                let queued = Queued { user, attempts: job.attempts, runs: state == JobStateName::Running };
                assert_eq!(self.jobs.insert(job.key.parse().unwrap(), queued), None, "{} is there twice", job.key);
            }
        }
    }
}

fn new_job(key: u8, user: u8) -> NewJob {
    NewJob {
        kind: "test".to_owned(),
        key: key.to_string(),
        user: Some(user_id(user)),
        payload: "x".repeat(3000),
        due: Timestamp(1),
        repeat: Repeat::Again,
    }
}

/// What is not found in a store that can't go on may be there after the next start.
async fn find(store: &Store, key: u8, state: JobStateName) -> Result<Job, StoreError> {
    let jobs = store.jobs(state, None, 100).await.unwrap();
    let found = jobs.into_iter().find(|job| job.key == key.to_string());
    found.ok_or_else(|| if store.health().writes() { JobError::NotTaken.into() } else { StoreError::Ended })
}
