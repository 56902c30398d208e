//! The durable queue of a run: what can be done with it, and what must come of that.

use std::{collections::BTreeMap, time::Duration};

use proptest::{option, prelude::*};

use super::{
    step::{DAY, HOUR},
    world::{Told, World},
};
use crate::{
    clock::Timestamp,
    store::{JobError, JobState, Repeat, jobs::ATTEMPTS_MAX, jobs::KEPT, jobs::REMEMBERED},
};

/// Jobs that are chosen from: the newest whose ids are known.
const RECENT: usize = 6;
/// A pick from here on means any of them, and not only those with which it can be done.
const ANY: u8 = 6;

/// Something that is done with the queue. `job` says which of those whose ids are known; `late` has an earlier try speak.
#[derive(Debug, Clone)]
pub(super) enum JobOp {
    Enqueue {
        key: u8,
        repeat: Repeat,
        user: Option<u8>,
        due: i64,
    },
    Take {
        job: u8,
        lease: i64,
    },
    /// With the session that is to get a title, and whose it is.
    Finish {
        job: u8,
        late: bool,
        title: Option<(u8, u8)>,
        next: Option<i64>,
    },
    Fail {
        job: u8,
        late: bool,
        again: i64,
        next: Option<i64>,
    },
    GiveBack {
        job: u8,
        late: bool,
    },
    Park {
        job: u8,
    },
    Retry {
        job: u8,
    },
    Remove {
        job: u8,
    },
}

pub(super) fn job_op() -> BoxedStrategy<JobOp> {
    let job = || 0..ANY + 2;
    let repeat = prop_oneof![Just(Repeat::Once), Just(Repeat::Again), Just(Repeat::Recurring)];
    let from_now = || prop_oneof![4 => Just(0), 1 => Just(-DAY), 2 => Just(HOUR), 1 => Just(2 * DAY)];
    let next = || option::weighted(0.7, from_now());
    prop_oneof![
        8 => (0..4_u8, repeat, option::weighted(0.4, 0..3_u8), from_now())
            .prop_map(|(key, repeat, user, due)| JobOp::Enqueue { key, repeat, user, due }),
        10 => (job(), prop_oneof![Just(1), Just(HOUR)]).prop_map(|(job, lease)| JobOp::Take { job, lease }),
        4 => (job(), late(), option::weighted(0.7, (0..12_u8, 0..3_u8)), next())
            .prop_map(|(job, late, title, next)| JobOp::Finish { job, late, title, next }),
        8 => (job(), late(), from_now(), next())
            .prop_map(|(job, late, again, next)| JobOp::Fail { job, late, again, next }),
        3 => (job(), late()).prop_map(|(job, late)| JobOp::GiveBack { job, late }),
        2 => job().prop_map(|job| JobOp::Park { job }),
        3 => job().prop_map(|job| JobOp::Retry { job }),
        2 => job().prop_map(|job| JobOp::Remove { job }),
    ]
    .boxed()
}

fn late() -> BoxedStrategy<bool> {
    prop_oneof![6 => Just(false), 1 => Just(true)].boxed()
}

impl JobOp {
    fn pick(&self) -> Option<u8> {
        match *self {
            Self::Enqueue { .. } => None,
            Self::Take { job, .. }
            | Self::Finish { job, .. }
            | Self::Fail { job, .. }
            | Self::GiveBack { job, .. }
            | Self::Park { job }
            | Self::Retry { job }
            | Self::Remove { job } => Some(job),
        }
    }

    fn fits(&self, work: &Work, now: i64) -> bool {
        match self {
            Self::Enqueue { .. } => true,
            Self::Take { .. } => work.state == JobState::Queued && work.due <= now,
            Self::Park { .. } => work.state == JobState::Queued,
            Self::Finish { .. } | Self::Fail { .. } | Self::GiveBack { .. } => {
                matches!(work.state, JobState::Running { .. })
            }
            Self::Retry { .. } => matches!(work.state, JobState::Parked { .. }),
            Self::Remove { .. } => !matches!(work.state, JobState::Running { .. }),
        }
    }
}

/// What a job is the only one with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Named(u8),
    /// Of the session whose number it is.
    Title(usize),
    /// Made of its own id, because another may have the key that it had.
    OwnNamed(u8),
    OwnTitle,
}

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) key: Key,
    pub(super) repeat: Repeat,
    pub(super) user: Option<usize>,
    /// The number of its text, or of the session that it gives a title.
    pub(super) payload: usize,
    pub(super) enqueued_at: i64,
    pub(super) due: i64,
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
    pub(super) state: JobState,
    expires_at: i64,
    ended: bool,
    /// Its id is known.
    pub(super) known: bool,
    /// It was over when what is over may have been taken away; whether it is there is not known if the clock goes back.
    forgotten: bool,
}

/// All jobs that ever were, and whose keys are.
#[derive(Debug, Clone, Default)]
pub(super) struct Queue {
    pub(super) all: Vec<Work>,
    keys: BTreeMap<Key, Known>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    job: usize,
    ended_until: Option<i64>,
    forgotten: bool,
}

/// Who has a key.
enum Has {
    Nobody,
    Job(usize),
    /// That depends on what was taken away.
    Unknown,
}

impl Work {
    /// True where nobody can say whether it is there.
    pub(super) fn is_unsure(&self, now: i64) -> bool {
        !self.ended && self.forgotten && self.expires_at > now
    }

    pub(super) fn is_there(&self, now: i64) -> bool {
        !self.ended && !self.forgotten && self.expires_at > now
    }

    fn keep_for(&mut self, from: i64) {
        self.expires_at = self.expires_at.max(after(from, KEPT));
    }

    /// The next time of a recurring one.
    fn comes_again(&mut self, due: i64) {
        (self.due, self.attempts, self.last_error, self.state) = (due, 0, None, JobState::Queued);
        self.keep_for(due);
    }
}

impl Queue {
    fn has(&self, key: Key, now: i64) -> Has {
        match self.keys.get(&key) {
            Some(Known { ended_until: Some(until), .. }) if *until <= now => Has::Nobody,
            Some(Known { ended_until: Some(_), forgotten: true, .. }) => Has::Unknown,
            Some(Known { ended_until: Some(_), job, .. }) => Has::Job(*job),
            Some(Known { job, .. }) if self.all[*job].is_unsure(now) => Has::Unknown,
            Some(Known { job, .. }) if self.all[*job].is_there(now) => Has::Job(*job),
            Some(_) | None => Has::Nobody,
        }
    }

    fn take_key(&mut self, job: usize) {
        self.keys.insert(self.all[job].key, Known { job, ended_until: None, forgotten: false });
    }

    fn push(&mut self, work: Work) -> usize {
        if let Some(before) = self.keys.get(&work.key) {
            self.all[before.job].forgotten = true; // It was over.
        }
        self.all.push(work);
        self.take_key(self.all.len() - 1);
        self.all.len() - 1
    }

    fn end(&mut self, job: usize, now: i64) {
        let work = &mut self.all[job];
        work.ended = true;
        let ended_until = (work.repeat == Repeat::Once).then(|| after(now, REMEMBERED));
        match ended_until {
            Some(_) => drop(self.keys.insert(work.key, Known { job, ended_until, forgotten: false })),
            None => drop(self.keys.remove(&work.key)),
        }
    }

    fn park(&mut self, job: usize, now: i64) {
        let work = &mut self.all[job];
        if work.repeat != Repeat::Once {
            self.keys.remove(&work.key);
            work.key = match work.key {
                Key::Named(key) | Key::OwnNamed(key) => Key::OwnNamed(key),
                Key::Title(_) | Key::OwnTitle => Key::OwnTitle,
            };
            work.repeat = Repeat::Again;
        }
        work.state = JobState::Parked { at: Timestamp(now) };
        work.keep_for(now);
    }

    /// A try failed; true where that was the last one.
    fn fail(&mut self, job: usize, reason: String, (again, next): (i64, Option<i64>), now: i64) -> bool {
        let work = &mut self.all[job];
        work.last_error = Some(reason);
        if work.attempts < ATTEMPTS_MAX {
            (work.due, work.state) = (again, JobState::Queued);
            work.keep_for(again);
            return false;
        }
        match next.filter(|_| work.repeat == Repeat::Recurring) {
            Some(next) => {
                // That time is parked as a job of its own.
                self.all.push(Work { known: false, ..self.all[job].clone() });
                let parked = self.all.len() - 1;
                self.park(parked, now);
                self.take_key(job);
                self.all[job].comes_again(next);
            }
            None => self.park(job, now),
        }
        true
    }
}

impl World {
    /// What was over may have been taken away from now on.
    pub(super) fn forget_jobs(&mut self) {
        let now = self.now;
        for work in &mut self.queue.all {
            work.forgotten |= work.expires_at <= now;
        }
        for known in self.queue.keys.values_mut() {
            known.forgotten |= known.ended_until.is_some_and(|until| until <= now);
        }
    }

    /// Jobs that ran when the store ended are given back.
    pub(super) fn release(&mut self) -> usize {
        let now = self.now;
        let runs = |work: &Work| work.is_there(now) && matches!(work.state, JobState::Running { .. });
        let running: Vec<usize> = (0..self.queue.all.len()).filter(|&job| runs(&self.queue.all[job])).collect();
        for &job in &running {
            let due = released_at(now, self.queue.all[job].attempts);
            self.queue.fail(job, "the server ended while it ran".to_owned(), (due, Some(due)), now);
        }
        running.len()
    }

    /// A session gets a job for its title when its first turn has ended.
    pub(super) fn title_later(&mut self, session: usize, seq: u64) {
        let log = &self.sessions[session];
        let is_first = seq == 1 || log.messages.iter().filter(|line| line.begins()).count() == 1;
        if !is_first || log.title.is_some() {
            return;
        }
        let (key, user) = (Key::Title(session), Some(self.sessions[session].owner));
        let work = self.new_work(key, Repeat::Again, user, (session, self.now));
        self.queue.push(work);
    }

    /// The jobs about an account go with it.
    pub(super) fn end_jobs_of(&mut self, user: usize) {
        for job in 0..self.queue.all.len() {
            if self.queue.all[job].user == Some(user) && self.queue.all[job].is_there(self.now) {
                self.queue.end(job, self.now);
            }
        }
    }

    fn new_work(&self, key: Key, repeat: Repeat, user: Option<usize>, (payload, due): (usize, i64)) -> Work {
        Work {
            key,
            repeat,
            user,
            payload,
            enqueued_at: self.now,
            due,
            attempts: 0,
            last_error: None,
            state: JobState::Queued,
            expires_at: after(due.max(self.now), KEPT),
            ended: false,
            known: false,
            forgotten: false,
        }
    }

    /// The job that is meant: mostly one with which `op` can be done. Nothing where there is none yet, or none of which all is
    /// known.
    pub(super) fn job(&self, op: &JobOp) -> Option<usize> {
        let (pick, now) = (op.pick()?, self.now);
        let known: Vec<usize> = (0..self.queue.all.len()).filter(|&job| self.queue.all[job].known).collect();
        let fits = |job: &usize| self.queue.all[*job].is_there(now) && op.fits(&self.queue.all[*job], now);
        let fitting: Vec<usize> = known.iter().copied().filter(fits).collect();
        let from = if pick >= ANY || fitting.is_empty() { &known } else { &fitting };
        let recent = &from[from.len().saturating_sub(RECENT)..];
        let job = recent.len().checked_sub(1 + usize::from(pick) % recent.len().max(1)).map(|at| recent[at])?;
        (!self.queue.all[job].is_unsure(now)).then_some(job)
    }

    pub(super) fn decide_job(&mut self, op: &JobOp) -> Option<Told> {
        let now = self.now;
        if matches!(op, JobOp::Enqueue { .. }) {
            return self.enqueue(op);
        }
        let job = self.job(op)?;
        Some(match *op {
            JobOp::Enqueue { .. } => return None,
            JobOp::Take { lease, .. } => {
                let work = &mut self.queue.all[job];
                if !work.is_there(now) || work.state != JobState::Queued || work.due > now {
                    return Some(Told::JobRefused(JobError::NotTaken));
                }
                work.attempts += 1;
                work.state = JobState::Running { until: Timestamp(now + lease) };
                work.keep_for(now + lease);
                Told::Taken(job)
            }
            JobOp::Finish { late, title, next, .. } => self.finish(job, late, title, next)?,
            JobOp::Fail { late, again, next, .. } => {
                if !self.runs(job, late) {
                    return Some(Told::JobRefused(JobError::NotTaken));
                }
                let reason = format!("reason {}", self.text());
                Told::Flag(self.queue.fail(job, reason, (now + again, next.map(|next| now + next)), now))
            }
            JobOp::GiveBack { late, .. } => {
                if !self.runs(job, late) {
                    return Some(Told::JobRefused(JobError::NotTaken));
                }
                let work = &mut self.queue.all[job];
                (work.attempts, work.state) = (work.attempts - 1, JobState::Queued);
                Told::Done
            }
            JobOp::Park { .. } => {
                if !self.queue.all[job].is_there(now) || self.queue.all[job].state != JobState::Queued {
                    return Some(Told::JobRefused(JobError::NotTaken));
                }
                self.queue.all[job].last_error = Some(format!("reason {}", self.text()));
                self.queue.park(job, now);
                Told::Done
            }
            JobOp::Retry { .. } => self.retry_job(job),
            JobOp::Remove { .. } => self.remove_job(job),
        })
    }

    fn enqueue(&mut self, op: &JobOp) -> Option<Told> {
        let JobOp::Enqueue { key, repeat, user, due } = *op else { return None };
        let (now, due) = (self.now, self.now + due);
        let text = self.text();
        match self.queue.has(Key::Named(key), now) {
            Has::Unknown => return None,
            Has::Job(job) => {
                let work = &mut self.queue.all[job];
                let waits = work.is_there(now) && work.state == JobState::Queued;
                if waits && work.repeat == Repeat::Recurring && work.due > due {
                    work.due = due;
                }
                return Some(Told::Enqueued(job, false));
            }
            Has::Nobody => {}
        }
        let user = if let Some(pick) = user { Some(self.user(pick)?) } else { None };
        if user.is_some_and(|user| self.users[user].deleted) {
            return Some(Told::NoUser);
        }
        let work = self.new_work(Key::Named(key), repeat, user, (text, due));
        Some(Told::Enqueued(self.queue.push(work), true))
    }

    /// True where the last try of the job runs, and it is that one which speaks.
    fn runs(&self, job: usize, late: bool) -> bool {
        let work = &self.queue.all[job];
        work.is_there(self.now) && matches!(work.state, JobState::Running { .. }) && !late
    }

    fn finish(&mut self, job: usize, late: bool, title: Option<(u8, u8)>, next: Option<i64>) -> Option<Told> {
        let now = self.now;
        let text = format!("title {}", self.text());
        if let Some((session, user)) = title {
            let (session, user) = (self.session(session), self.user(user)?);
            if self.is_adrift(session) {
                return None;
            }
            if self.runs(job, late) && self.owns(user, session) {
                self.sessions[session].title.get_or_insert(text);
            }
        }
        if !self.runs(job, late) {
            return Some(Told::JobRefused(JobError::NotTaken));
        }
        match next.filter(|_| self.queue.all[job].repeat == Repeat::Recurring) {
            Some(next) => self.queue.all[job].comes_again(now + next),
            None => self.queue.end(job, now),
        }
        Some(Told::Done)
    }

    fn retry_job(&mut self, job: usize) -> Told {
        let now = self.now;
        let work = &mut self.queue.all[job];
        if !work.is_there(now) {
            return Told::JobRefused(JobError::Missing);
        }
        if !matches!(work.state, JobState::Parked { .. }) {
            return Told::JobRefused(JobError::NotParked);
        }
        (work.due, work.attempts, work.state) = (now, 0, JobState::Queued);
        work.keep_for(now);
        Told::Job(job)
    }

    fn remove_job(&mut self, job: usize) -> Told {
        let work = &self.queue.all[job];
        if !work.is_there(self.now) {
            return Told::JobRefused(JobError::Missing);
        }
        match (work.state, work.repeat) {
            (JobState::Running { .. }, _) => Told::JobRefused(JobError::Running),
            (JobState::Queued, Repeat::Recurring) => Told::JobRefused(JobError::Recurring),
            (JobState::Queued | JobState::Parked { .. }, _) => {
                self.queue.end(job, self.now);
                Told::Done
            }
        }
    }
}

/// When a job that ran when the store ended is due again.
pub(super) fn released_at(now: i64, attempts: u32) -> i64 {
    now + i64::from(attempts) * HOUR
}

fn after(at: i64, time: Duration) -> i64 {
    Timestamp(at).after(time).0
}
