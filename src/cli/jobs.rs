//! `bondhu jobs`, as types for clap.

use clap::{Args, Subcommand, ValueEnum};

use super::Settings;
use crate::{id::JobId, store::JobStateName};

/// `jobs`
#[derive(Debug, Args)]
pub struct Jobs {
    /// Settings between `jobs` and what follows.
    #[command(flatten)]
    pub settings: Settings,
    /// What to do.
    #[command(subcommand)]
    pub command: JobsCommand,
}

/// What `jobs` does.
#[derive(Debug, Subcommand)]
pub enum JobsCommand {
    /// List the jobs that run, that wait and that are parked
    #[command(after_help = "\
A line each: id, state, when it is due (its lease ends, it was parked), kind, tries so far, key, and why the last try failed.

Example:
  bondhu jobs list --state parked")]
    List(JobsList),
    /// Run a parked job again, at once and with all its tries
    #[command(after_help = "Example:\n  bondhu jobs retry 0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a")]
    Retry(JobName),
    /// Take a job out of the queue that waits or is parked
    #[command(after_help = "Example:\n  bondhu jobs remove 0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a")]
    Remove(JobName),
}

/// `jobs list`
#[derive(Debug, Args)]
pub struct JobsList {
    /// Only those in this state
    #[arg(long, value_enum)]
    pub state: Option<StateName>,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// `jobs retry` and `jobs remove`
#[derive(Debug, Args)]
pub struct JobName {
    /// The job's id, as `jobs list` shows it
    pub id: JobId,
    /// Settings after the subcommand.
    #[command(flatten)]
    pub settings: Settings,
}

/// A state on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StateName {
    /// It waits for its time
    Queued,
    /// It runs
    Running,
    /// It failed too often
    Parked,
}

impl From<StateName> for JobStateName {
    fn from(name: StateName) -> Self {
        match name {
            StateName::Queued => Self::Queued,
            StateName::Running => Self::Running,
            StateName::Parked => Self::Parked,
        }
    }
}
