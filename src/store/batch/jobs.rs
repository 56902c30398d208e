//! Decisions about jobs: one job for a key, one taker for a job, its effects in the frame of its end.

use super::{
    super::{
        Enqueued, ExpiryCursor, Job, JobEffect, NewJob, OldMessages, OpenTurn, Repeat, StoreError, TITLES, Taken,
        codec::{Change, JobKeyRecord, JobRecord, JobStateCode, RepeatCode},
        error::JobError,
        jobs::{ATTEMPTS_MAX, JOBS_MAX, JobCommand, KEPT, PARKED_MAX, REASON_CHARS_MAX, REMEMBERED, Taking},
        key::JobKey,
    },
    Batch, Decision, State,
};
use crate::{
    clock::Timestamp,
    id::{JobId, Seq, UserId},
};

/// Messages that may have come since old ones were looked for, to be looked at once more.
const SINCE_MAX: u64 = 64;
/// What is said of a job that ran when the process ended, each time that it was tried.
const ENDED_WITH_PROCESS: &str = "the server ended while it ran";

impl Batch<'_> {
    pub(super) fn decide_job(&mut self, command: JobCommand) {
        match command {
            JobCommand::Enqueue(job, reply) => {
                let decided = self.enqueue(job);
                self.settle(reply, decided);
            }
            JobCommand::Take(taking, reply) => {
                let decided = self.take(taking);
                self.settle(reply, decided);
            }
            JobCommand::Finish(run, effect, next, reply) => {
                let decided = self.finish(run, effect, next);
                self.settle(reply, decided);
            }
            JobCommand::Fail(run, reason, (again, next), reply) => {
                let decided = self.running(run).and_then(|record| self.fail((run.0, record), &reason, again, next));
                self.settle(reply, decided);
            }
            JobCommand::GiveBack(run, reply) => {
                let decided = self.give_back(run);
                self.settle(reply, decided);
            }
            JobCommand::Park(id, reason, reply) => {
                let decided = self.park_waiting(id, &reason);
                self.settle(reply, decided);
            }
            JobCommand::Release(again, reply) => {
                let decided = self.release(again.as_ref());
                self.settle(reply, decided);
            }
            JobCommand::Retry(id, reply) => {
                let decided = self.retry_job(id);
                self.settle(reply, decided);
            }
            JobCommand::Remove(id, reply) => {
                let decided = self.remove(id);
                self.settle(reply, decided);
            }
            JobCommand::RemoveExpired(cursor, reply) => {
                let decided = self.remove_expired(cursor);
                self.settle(reply, decided);
            }
            JobCommand::ClearOld(owner, old, reply) => {
                let decided = self.clear_old(owner, old);
                self.settle(reply, decided);
            }
        }
    }

    /// The job as it is after what the batch decided; nothing where it is over.
    fn job(&self, id: JobId) -> Decision<Option<JobRecord>> {
        if let Some(job) = self.decided.jobs.get(&id) {
            return Ok(job.clone());
        }
        Ok(self.index.job(id)?.filter(|record| record.expires_at > self.now))
    }

    /// Whose a key is; nothing where it is free.
    fn job_key(&self, key: &str) -> Decision<Option<JobKeyRecord>> {
        let known = match self.decided.job_keys.get(key) {
            Some(known) => *known,
            None => self.index.job_key(key)?,
        };
        let Some(known) = known else { return Ok(None) };
        let is_taken = match known.ended_until {
            Some(until) => until > self.now,
            None => self.job(known.id)?.is_some(),
        };
        Ok(is_taken.then_some(known))
    }

    fn put_job(&mut self, id: JobId, record: JobRecord) {
        self.decided.job_keys.insert(record.key.clone(), Some(JobKeyRecord { id, ended_until: None }));
        self.changes.push(Change::Job { id, record: record.clone() });
        self.decided.jobs.insert(id, Some(record));
    }

    fn put_job_ended(&mut self, id: JobId, record: JobRecord) {
        let remembered_until = (record.repeat == RepeatCode::Once).then(|| self.now.after(REMEMBERED));
        let known = remembered_until.map(|until| JobKeyRecord { id, ended_until: Some(until) });
        self.decided.job_keys.insert(record.key.clone(), known);
        let JobRecord { key, expires_at, .. } = record;
        self.changes.push(Change::JobEnded { id, key, remembered_until, expires_at });
        self.decided.jobs.insert(id, None);
    }

    fn enqueue(&mut self, new: NewJob) -> Decision<Enqueued> {
        if let Some(known) = self.job_key(&new.key)? {
            self.bring_forward(known.id, &new)?;
            return Ok(Enqueued { id: known.id, is_new: false });
        }
        if let Some(user) = new.user
            && self.user(user)?.is_none()
        {
            return Err(StoreError::NoUser); // What concerns a user goes with the user, and does not come after.
        }
        let [queued, running, _] = self.index.job_counts();
        if queued + running >= JOBS_MAX {
            return Err(StoreError::Busy);
        }
        let id = JobId::new();
        let record = self.new_job(new);
        self.put_job(id, record);
        Ok(Enqueued { id, is_new: true })
    }

    fn new_job(&self, new: NewJob) -> JobRecord {
        JobRecord {
            kind: new.kind,
            key: new.key,
            user: new.user,
            payload: new.payload,
            repeat: new.repeat.into(),
            enqueued_at: self.now,
            due: new.due,
            attempts: 0,
            last_error: None,
            state: JobStateCode::Queued,
            expires_at: new.due.max(self.now).after(KEPT),
        }
    }

    /// A recurring job that waits is due no later than is asked for: its schedule may be another now.
    fn bring_forward(&mut self, id: JobId, new: &NewJob) -> Decision<()> {
        let waits = |job: &JobRecord| job.repeat == RepeatCode::Recurring && job.state == JobStateCode::Queued;
        let Some(mut record) = self.job(id)?.filter(|job| waits(job) && job.due > new.due) else { return Ok(()) };
        record.due = new.due;
        self.put_job(id, record);
        Ok(())
    }

    fn take(&mut self, Taking { id, lease }: Taking) -> Decision<Taken> {
        let due = |job: &JobRecord| job.state == JobStateCode::Queued && job.due <= self.now;
        let mut record = self.job(id)?.filter(due).ok_or(JobError::NotTaken)?;
        let until = self.now.after(lease);
        record.attempts += 1;
        record.state = JobStateCode::Running { until };
        record.expires_at = record.expires_at.max(until.after(KEPT));
        self.put_job(id, record.clone());
        Ok(Taken { job: Job::of(id, record) })
    }

    /// The job, where this try of it still runs.
    fn running(&self, (id, attempt): (JobId, u32)) -> Decision<JobRecord> {
        let runs = |job: &JobRecord| matches!(job.state, JobStateCode::Running { .. }) && job.attempts == attempt;
        self.job(id)?.filter(runs).ok_or_else(|| JobError::NotTaken.into())
    }

    fn finish(&mut self, run: (JobId, u32), effect: JobEffect, next: Option<Timestamp>) -> Decision<()> {
        let record = self.running(run)?;
        match effect {
            JobEffect::Nothing => {}
            JobEffect::Title { session, owner, title } => {
                let state = match self.owned(owner, session) {
                    Err(StoreError::NotOwner(_)) => None,
                    state => Some(state?),
                };
                if let Some(mut state) = state.filter(|state| state.meta.title.is_none()) {
                    state.meta.title = Some(title);
                    self.changes.push(Change::Session { id: session, meta: state.meta.clone() });
                    self.decided.sessions.insert(session, Some(state));
                }
            }
        }
        match next.filter(|_| record.repeat == RepeatCode::Recurring) {
            Some(next) => self.put_next(run.0, record, next),
            None => self.put_job_ended(run.0, record),
        }
        Ok(())
    }

    /// The next time of a recurring job.
    fn put_next(&mut self, id: JobId, record: JobRecord, due: Timestamp) {
        let expires_at = record.expires_at.max(due.after(KEPT));
        let next = JobRecord { due, attempts: 0, last_error: None, state: JobStateCode::Queued, expires_at, ..record };
        self.put_job(id, next);
    }

    fn fail(
        &mut self,
        (id, mut record): (JobId, JobRecord),
        reason: &str,
        again: Timestamp,
        next: Option<Timestamp>,
    ) -> Decision<bool> {
        record.last_error = Some(reason.chars().take(REASON_CHARS_MAX).collect());
        if record.attempts < ATTEMPTS_MAX {
            (record.due, record.state) = (again, JobStateCode::Queued);
            record.expires_at = record.expires_at.max(again.after(KEPT));
            self.put_job(id, record);
            return Ok(false);
        }
        match next.filter(|_| record.repeat == RepeatCode::Recurring) {
            Some(next) => {
                self.park(JobId::new(), record.clone())?;
                self.put_next(id, record, next);
            }
            None => self.park(id, record)?,
        }
        Ok(true)
    }

    fn give_back(&mut self, run: (JobId, u32)) -> Decision<()> {
        let mut record = self.running(run)?;
        (record.attempts, record.state) = (record.attempts.saturating_sub(1), JobStateCode::Queued);
        self.put_job(run.0, record);
        Ok(())
    }

    /// Parks a job under an id. Unless its key is for one job ever, another may have the key from now on.
    fn park(&mut self, id: JobId, mut record: JobRecord) -> Decision<()> {
        let [.., parked] = self.index.job_counts();
        let parks =
            |job: &Option<JobRecord>| job.as_ref().is_some_and(|job| matches!(job.state, JobStateCode::Parked { .. }));
        let here = self.decided.jobs.values().filter(|job| parks(job)).count() as u64;
        if parked + here >= PARKED_MAX {
            for (key, oldest) in self.index.jobs_in((JobKey::PARKED, self.now), None, self.decided.jobs.len() + 1)? {
                if !self.decided.jobs.contains_key(&key.id) {
                    self.put_job_ended(key.id, oldest);
                    break;
                }
            }
        }
        if record.repeat != RepeatCode::Once {
            let free = format!("{}/{id}", record.key.split('/').next().unwrap_or_default());
            let key = std::mem::replace(&mut record.key, free);
            self.decided.job_keys.insert(key, None);
            record.repeat = RepeatCode::Again;
        }
        record.state = JobStateCode::Parked { at: self.now };
        record.expires_at = record.expires_at.max(self.now.after(KEPT));
        self.put_job(id, record);
        Ok(())
    }

    fn park_waiting(&mut self, id: JobId, reason: &str) -> Decision<()> {
        let waits = |job: &JobRecord| job.state == JobStateCode::Queued;
        let mut record = self.job(id)?.filter(waits).ok_or(JobError::NotTaken)?;
        record.last_error = Some(reason.chars().take(REASON_CHARS_MAX).collect());
        self.park(id, record)
    }

    fn release(&mut self, again: &dyn Fn(u32) -> Timestamp) -> Decision<usize> {
        let running = self.index.jobs_in((JobKey::RUNNING, self.now), None, usize::MAX)?;
        let released = running.len();
        for (key, record) in running {
            let due = again(record.attempts);
            self.fail((key.id, record), ENDED_WITH_PROCESS, due, Some(due))?;
        }
        Ok(released)
    }

    fn retry_job(&mut self, id: JobId) -> Decision<Job> {
        let mut record = self.job(id)?.ok_or(JobError::Missing)?;
        if !matches!(record.state, JobStateCode::Parked { .. }) {
            return Err(JobError::NotParked.into());
        }
        (record.due, record.attempts, record.state) = (self.now, 0, JobStateCode::Queued);
        record.expires_at = record.expires_at.max(self.now.after(KEPT));
        self.put_job(id, record.clone());
        Ok(Job::of(id, record))
    }

    fn remove(&mut self, id: JobId) -> Decision<()> {
        let record = self.job(id)?.ok_or(JobError::Missing)?;
        match (record.state, record.repeat) {
            (JobStateCode::Running { .. }, _) => Err(JobError::Running.into()),
            (JobStateCode::Queued, RepeatCode::Recurring) => Err(JobError::Recurring.into()),
            (JobStateCode::Queued | JobStateCode::Parked { .. }, _) => {
                self.put_job_ended(id, record);
                Ok(())
            }
        }
    }

    /// The jobs about an account go with it.
    pub(super) fn end_jobs_of(&mut self, user: UserId) -> Decision<()> {
        let mut ids = self.index.jobs_of(user)?;
        let of_batch = self.decided.jobs.iter();
        let theirs = |job: &JobRecord| job.user == Some(user);
        ids.extend(of_batch.filter(|(_, job)| job.as_ref().is_some_and(theirs)).map(|(id, _)| *id));
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            if let Some(record) = self.job(id)? {
                self.put_job_ended(id, record);
            }
        }
        Ok(())
    }

    /// A session without a title gets one when its first turn has ended, by a job that is in the frame of that end. Needs
    /// no look at the index: a first turn ends once, and one that stands behind items is the first while it is the only one.
    pub(super) fn title_later(&mut self, turn: OpenTurn, state: &State) {
        let owner = state.meta.owner;
        let is_first = (turn.seq == Seq::ZERO.next() || state.end.turns == 1) && state.meta.title.is_none();
        let [queued, running, _] = self.index.job_counts();
        if !self.titles || !is_first || queued + running >= JOBS_MAX || self.memory.deleted_users.contains(&owner) {
            return;
        }
        let key = format!("{TITLES}/{}", turn.session);
        let new = NewJob {
            kind: TITLES.to_owned(),
            key,
            user: Some(owner),
            payload: turn.session.to_string(),
            due: self.now,
            repeat: Repeat::Again,
        };
        let record = self.new_job(new);
        self.put_job(JobId::new(), record);
    }

    fn remove_expired(&mut self, cursor: ExpiryCursor) -> Decision<(u64, Option<ExpiryCursor>)> {
        Ok(self.index.remove_expired(cursor, self.now)?)
    }

    /// Clears what is old, unless a turn there is open or was answered anew since it was looked at.
    fn clear_old(&mut self, owner: UserId, old: OldMessages) -> Decision<bool> {
        let OldMessages { session, through, turns, head } = old;
        let mut state = self.owned(owner, session)?;
        let end = state.end.head;
        let is_open = self.memory.open.keys().any(|turn| turn.session == session && turn.seq <= through);
        if through <= state.meta.cleared_through || through > end || is_open || end.0.saturating_sub(head.0) > SINCE_MAX
        {
            return Ok(false);
        }
        let in_batch = self.decided.sessions.contains_key(&session);
        let since = self.index.messages(session, head.next(), end)?;
        let answers_old = since.iter().any(|(_, record)| record.reply_to.is_some_and(|of| of <= through));
        if answers_old || (in_batch && end > head) {
            return Ok(false);
        }
        state.meta.cleared_through = through;
        state.meta.cleared_turns = turns;
        if through == end
            && let Some(last) = state.end.last_at.take()
        {
            state.meta.changed_at = state.meta.changed_at.max(last); // From here on the change stands for it.
        }
        self.decided.cleared.insert(session);
        self.changes.push(Change::Session { id: session, meta: state.meta.clone() });
        self.decided.sessions.insert(session, Some(state));
        Ok(true)
    }
}
