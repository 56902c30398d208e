//! Figures of backups.

use std::time::Duration;

use super::{Counter, Gauge};
use crate::clock::Timestamp;

/// How backups go. Whoever makes them says so with [`BackupFigures::succeeded`] and [`BackupFigures::failed`].
#[derive(Debug, Default)]
pub struct BackupFigures {
    /// Backups that were made whole.
    pub successes: Counter,
    /// Backups that were not.
    pub failures: Counter,
    /// When the last good one ended (or was begun, where that was before the start), microseconds since 1970; 0: there is none.
    pub last_success_at: Gauge,
    /// Bytes that the last good one holds.
    pub last_bytes: Gauge,
    /// How long the last good one took, microseconds.
    pub last_micros: Gauge,
    /// 1 where the last one failed, 0 where it did not or there was none.
    pub last_failed: Gauge,
}

impl BackupFigures {
    /// A backup of `bytes` was made whole at `at`, in `took`.
    pub fn succeeded(&self, at: Timestamp, bytes: u64, took: Duration) {
        self.successes.count();
        self.last_success_at.set(u64::try_from(at.0).unwrap_or(0));
        self.last_bytes.set(bytes);
        self.last_micros.set(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.last_failed.set(0);
    }

    /// The last good one before the start holds `bytes`, and was begun at `at`.
    pub fn found(&self, at: Timestamp, bytes: u64) {
        if self.last_success_at.get() == 0 {
            self.last_success_at.set(u64::try_from(at.0).unwrap_or(0));
            self.last_bytes.set(bytes);
        }
    }

    /// A backup was not made.
    pub fn failed(&self) {
        self.failures.count();
        self.last_failed.set(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_backup_ends_the_word_of_a_failed_one() {
        let backups = BackupFigures::default();
        backups.failed();
        assert_eq!((backups.last_failed.get(), backups.last_success_at.get()), (1, 0));
        backups.succeeded(Timestamp(7), 512, Duration::from_millis(3));
        assert_eq!((backups.last_failed.get(), backups.last_success_at.get(), backups.last_micros.get()), (0, 7, 3000));
        assert_eq!((backups.successes.get(), backups.failures.get(), backups.last_bytes.get()), (1, 1, 512));
    }
}
