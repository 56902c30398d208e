//! What the writer is asked to do with jobs.

use std::time::Duration;

use super::{
    super::{ExpiryCursor, OldMessages, StoreError, command::Reply},
    COMPACTION, Enqueued, Job, JobEffect, NewJob, Repeat, Taken,
};
use crate::{
    clock::Timestamp,
    id::{JobId, UserId},
};

/// Which job, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taking {
    pub(crate) id: JobId,
    pub(crate) lease: Duration,
}

/// A job and the number of the try that speaks for it.
pub(crate) type Run = (JobId, u32);

/// When a job that was tried so often is due again.
pub(crate) type Again = Box<dyn Fn(u32) -> Timestamp + Send>;

/// What is asked of the queue.
pub(crate) enum JobCommand {
    Enqueue(NewJob, Reply<Enqueued>),
    Take(Taking, Reply<Taken>),
    Finish(Run, JobEffect, Option<Timestamp>, Reply<()>),
    /// When it is due again, and when a recurring one's next time is.
    Fail(Run, String, (Timestamp, Option<Timestamp>), Reply<bool>),
    /// Not done, and not the job's fault: the try does not count.
    GiveBack(Run, Reply<()>),
    Park(JobId, String, Reply<()>),
    Release(Again, Reply<usize>),
    Retry(JobId, Reply<Job>),
    Remove(JobId, Reply<()>),
    /// Takes away what is over; changes nothing that the journal has.
    RemoveExpired(ExpiryCursor, Reply<(u64, Option<ExpiryCursor>)>),
    ClearOld(UserId, OldMessages, Reply<bool>),
}

impl JobCommand {
    /// True for what makes room, for what ends what was begun, and for the few jobs of the server's own that are to be there
    /// whatever the disk is like. Which jobs are begun then, those know who run them.
    pub(crate) fn is_allowed_on_a_full_disk(&self) -> bool {
        match self {
            Self::Enqueue(job, _) => job.repeat == Repeat::Recurring || job.kind == COMPACTION,
            Self::Finish(..)
            | Self::Fail(..)
            | Self::GiveBack(..)
            | Self::Park(..)
            | Self::Release(..)
            | Self::Remove(..)
            | Self::RemoveExpired(..)
            | Self::Take(..)
            | Self::ClearOld(..) => true,
            Self::Retry(..) => false,
        }
    }

    /// Refuses the command with `error`.
    pub(crate) fn refuse(self, error: StoreError) {
        // Whoever asked may have gone; there is nobody else to tell.
        match self {
            Self::Enqueue(_, reply) => drop(reply.send(Err(error))),
            Self::Take(_, reply) => drop(reply.send(Err(error))),
            Self::Finish(_, _, _, reply)
            | Self::Park(_, _, reply)
            | Self::GiveBack(_, reply)
            | Self::Remove(_, reply) => {
                drop(reply.send(Err(error)));
            }
            Self::Fail(_, _, _, reply) | Self::ClearOld(_, _, reply) => drop(reply.send(Err(error))),
            Self::Release(_, reply) => drop(reply.send(Err(error))),
            Self::Retry(_, reply) => drop(reply.send(Err(error))),
            Self::RemoveExpired(_, reply) => drop(reply.send(Err(error))),
        }
    }
}
