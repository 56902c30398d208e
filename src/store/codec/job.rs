//! Records of the durable queue.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    id::{JobId, UserId},
};

/// A job as it stands now: each change of it writes the whole record again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobRecord {
    pub(crate) kind: String,
    /// Of all jobs that live, one has this key.
    pub(crate) key: String,
    /// The account that it concerns: the job goes with it.
    pub(crate) user: Option<UserId>,
    /// What the kind makes of it; shown to nobody.
    pub(crate) payload: String,
    pub(crate) repeat: RepeatCode,
    pub(crate) enqueued_at: Timestamp,
    /// When it may be taken.
    pub(crate) due: Timestamp,
    /// How often it was taken since it was last due for the first time.
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<String>,
    pub(crate) state: JobStateCode,
    /// From here on the record counts for nothing, wherever it stands: only until then must its end be remembered.
    pub(crate) expires_at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RepeatCode {
    /// The key makes no second job, for a while after its end too.
    Once,
    /// The key is free again when the job has ended or is parked.
    Again,
    /// The job is there for good: its end is the enqueuing of the next time.
    Recurring,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobStateCode {
    Queued,
    Running { until: Timestamp },
    Parked { at: Timestamp },
}

/// Whose a key is: a job's that lives, or that of one which ended and is remembered until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobKeyRecord {
    pub(crate) id: JobId,
    pub(crate) ended_until: Option<Timestamp>,
}
