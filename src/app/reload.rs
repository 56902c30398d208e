//! Reading the configuration again while the server runs.

use std::io;

use tokio::sync::Mutex;
use tracing::level_filters::LevelFilter;

use super::App;
use crate::{
    config::{self, Change, Faults, Loaded},
    logging::Levels,
    pool::{Pool, PoolError},
};

/// Reads the configuration from where the server got it when it started.
pub type Read = Box<dyn Fn() -> Result<Loaded, Faults> + Send + Sync>;

/// How the configuration is read again, and the log that it rules.
pub struct Source {
    read: std::sync::Arc<Read>,
    levels: Levels,
    /// Files are read on a thread of its own.
    pool: Pool,
    /// One reading at a time, so that a later one is not overtaken.
    one: Mutex<()>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The configuration has faults; each is a line that names its place.
    #[error("{0}")]
    Faults(Faults),
    /// This process did not get its configuration from anywhere.
    #[error("this server's configuration was not read from a file, so it can't be read again")]
    NoSource,
    /// The thread that reads is busy or broken.
    #[error("the configuration could not be read: {0}")]
    Thread(PoolError),
}

impl Source {
    /// Reads by `read`, and sets the log's level by `levels`.
    ///
    /// # Errors
    /// The system's, where it gives no thread.
    pub fn new(read: Read, levels: Levels) -> io::Result<Self> {
        let pool = Pool::start("bondhu-config", 1, 4)?;
        Ok(Self { read: std::sync::Arc::new(read), levels, pool, one: Mutex::new(()) })
    }
}

impl App {
    /// Reads the configuration again. What may change while the server runs holds from the next request on; a
    /// configuration with a fault changes nothing. Says what became of it in the log, and gives it.
    ///
    /// Dropping the future leaves it unsaid whether anything was changed.
    ///
    /// # Errors
    /// As [`ReloadError`] says; nothing is changed then.
    pub async fn reload(&self) -> Result<Change, ReloadError> {
        let done = self.read_again().await;
        match &done {
            Ok(Change { changed, at_next_start, .. }) => {
                tracing::info!(?changed, ?at_next_start, "the configuration was read again");
            }
            Err(error) => {
                for line in error.to_string().lines() {
                    tracing::error!("the configuration was not changed: {line}");
                }
            }
        }
        done
    }

    async fn read_again(&self) -> Result<Change, ReloadError> {
        let source = self.source.get().ok_or(ReloadError::NoSource)?;
        let _one = source.one.lock().await;
        let read = std::sync::Arc::clone(&source.read);
        let loaded = source.pool.run(move || read()).await.map_err(ReloadError::Thread)?;
        let loaded = loaded.map_err(ReloadError::Faults)?;
        loaded.has_not_lost_the_file_of(&self.loaded()).map_err(ReloadError::Faults)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let change = config::change(&self.loaded().config, &loaded.config);
        let level = change.config.log.level;
        if change.changed.contains(&"log.level") {
            source.levels.set(level);
        }
        self.limits.set(change.config.limits.clone());
        self.auth_config.set(change.config.auth.clone());
        self.slots.reconfigure(&change.config.concurrency);
        self.alerts_config.set(change.config.alerts.clone());
        self.monitor.reconfigure(&change.config.alerts);
        self.loaded.set(Loaded { config: change.config.clone(), ..loaded });
        Ok(change)
    }

    /// The least severe level that the log has now, where this process has a log of its own.
    #[must_use]
    pub fn log_level(&self) -> Option<LevelFilter> {
        self.source.get().map(|source| source.levels.get())
    }

    /// Sets the log's level until the next start, or until `log.level` is changed in the file. False where this process has
    /// no log of its own.
    pub fn set_log_level(&self, level: LevelFilter) -> bool {
        let Some(source) = self.source.get() else { return false };
        source.levels.set(level);
        tracing::warn!(%level, "the log's level was set"); // A warning: so that it is seen at most levels.
        true
    }
}
