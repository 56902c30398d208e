//! What the store counts, and what can be asked of it besides.

use std::io;

use super::{Health, Store, StoreError, cache::CacheFigures, index::guarded, recover::Layout, writer::fail_on};
use crate::metrics::{Counter, Gauge, Histogram};

/// What the store counts since its start.
#[derive(Debug, Default)]
pub struct StoreFigures {
    /// Frames of the journal that were made durable, each with one sync.
    pub syncs: Counter,
    /// How long each took: writing the frame, and the sync.
    pub sync_time: Histogram,
    /// Messages in those frames, replies among them.
    pub messages: Counter,
    /// Changes of any kind in those frames.
    pub changes: Counter,
    /// Bytes of those frames.
    pub bytes: Counter,
    /// Writes that failed, were taken back, or found no room.
    pub write_failures: Counter,
    /// Checkpoints of the index that were made.
    pub checkpoints: Counter,
    /// Checkpoints that could not be made.
    pub checkpoint_failures: Counter,
    /// Compactions that came to their end.
    pub compactions: Counter,
    /// Compactions that did not.
    pub compaction_failures: Counter,
    /// Bytes that compactions saved.
    pub compaction_saved: Counter,
    /// When the last one ended, microseconds since 1970; 0 where there was none since the start.
    pub compaction_at: Gauge,
}

/// What the files take, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The journal's segments, replaced ones too, and what is reserved at the end of the last.
    pub journal: u64,
    /// The index.
    pub index: u64,
    /// Free on the disk, for this user.
    pub disk_free: u64,
    /// The whole disk.
    pub disk: u64,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Population {
    /// Accounts.
    pub users: u64,
    /// Sessions that are not deleted.
    pub sessions: u64,
}

impl Store {
    /// How it stands.
    #[must_use]
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.shared.feed.subscriptions()
    }

    /// What was counted since the start.
    #[must_use]
    pub fn figures(&self) -> &StoreFigures {
        &self.shared.figures
    }

    /// The parts of the cache by name: `sessions` and `views` hold conversations, `users` and `tokens` accounts.
    #[must_use]
    pub fn cache_figures(&self) -> [(&'static str, CacheFigures); 4] {
        [
            ("sessions", self.shared.sessions.figures()),
            ("views", self.shared.user_views.figures()),
            ("users", self.shared.users.figures()),
            ("tokens", self.shared.tokens.figures()),
        ]
    }

    /// Empties the cache; gives what it held. It fills again as things are read.
    pub fn clear_cache(&self) -> [(&'static str, CacheFigures); 4] {
        let held = self.cache_figures();
        self.shared.sessions.clear();
        self.shared.user_views.clear();
        self.shared.users.clear();
        self.shared.tokens.clear();
        held
    }

    /// How many users have at least one stream.
    #[must_use]
    pub fn listeners(&self) -> usize {
        self.shared.feed.listeners()
    }

    /// What the files take. Blocks: it lists directories.
    ///
    /// # Errors
    /// The system's.
    pub fn sizes(&self) -> io::Result<Sizes> {
        let Layout { journal, index } = Layout::of(&self.dir);
        let (disk_free, disk) = self.dir.disk.space(&self.dir.path)?;
        let bytes = |dir: &super::disk::Dir| -> io::Result<u64> {
            let mut sum = 0;
            for path in dir.disk.list(&dir.path)? {
                match dir.disk.metadata(&path) {
                    Ok(found) if found.is_file() => sum += found.len(),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {} // Removed since it was listed.
                    Err(error) => return Err(error),
                }
            }
            Ok(sum)
        };
        Ok(Sizes { journal: bytes(&journal)?, index: bytes(&index)?, disk_free, disk })
    }

    /// Counts accounts and sessions. Blocks: it walks over their keys, about a second for a million.
    ///
    /// # Errors
    /// `Unreadable`: then the process is told to end.
    pub fn population(&self) -> Result<Population, StoreError> {
        let index = &self.shared.index;
        let counted = guarded(|| {
            let mut population = Population::default();
            for key in index.usernames.iter().keys() {
                key?;
                population.users += 1;
            }
            for key in index.user_sessions.iter().keys() {
                key?;
                population.sessions += 1;
            }
            Ok(population)
        });
        counted.map_err(|error| fail_on(&self.shared, error))
    }
}
