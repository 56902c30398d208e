//! `[jobs]`: work that the server does by itself.

use std::time::Duration;

/// Where sessions that were given no title get one from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Titles {
    /// From the beginning of their first message.
    Excerpt,
    /// From nowhere: they stay without.
    None,
}

/// `[jobs]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobsConfig {
    /// Jobs that run at once.
    pub workers: usize,
    /// The wait after a job's first failure; after each further one it is four times as long.
    pub retry_after: Duration,
    /// Where sessions that were given no title get one from.
    pub titles: Titles,
}

impl Default for JobsConfig {
    fn default() -> Self {
        Self { workers: 2, retry_after: Duration::from_secs(10), titles: Titles::Excerpt }
    }
}
