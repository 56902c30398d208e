//! What may change while the server runs, and how its parts see it.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};

use super::{ApiConfig, AuthConfig, ChatConfig, Config, LogConfig, SETTINGS, ServerConfig};

/// A value that may be replaced while others read it; clones share it. Each reading sees one value or the next, whole.
#[derive(Debug)]
pub struct Live<T>(Arc<ArcSwap<T>>);

impl<T> Live<T> {
    /// What holds now. Short-lived: to be read, and not kept across a wait.
    #[must_use]
    pub fn get(&self) -> Guard<Arc<T>> {
        self.0.load()
    }

    /// What holds now, to be kept.
    #[must_use]
    pub fn full(&self) -> Arc<T> {
        self.0.load_full()
    }

    /// Puts `value` in place of what held.
    pub fn set(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

impl<T> Clone for Live<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> From<T> for Live<T> {
    fn from(value: T) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(value)))
    }
}

/// What a configuration that was read anew means for the one that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What holds from now on: the new values of what may change, and the old ones of everything else.
    pub config: Config,
    /// The keys that are different now.
    pub changed: Vec<&'static str>,
    /// The keys whose new values hold from the next start on.
    pub at_next_start: Vec<&'static str>,
}

/// Compares what runs with what was read.
#[must_use]
pub fn change(running: &Config, read: &Config) -> Change {
    let config = merged(running, read);
    let different = |one: &Config, other: &Config| -> Vec<&'static str> {
        let keys = SETTINGS.iter().filter(|setting| setting.show(one) != setting.show(other));
        keys.map(|setting| setting.key).collect()
    };
    let (changed, at_next_start) = (different(running, &config), different(&config, read));
    Change { config, changed, at_next_start }
}

/// `running`, with the values of `read` where they may change. A section's fields are named where some of them can't: what
/// was opened, bound or started with a value keeps it.
fn merged(running: &Config, read: &Config) -> Config {
    let (old, new) = (running.clone(), read.clone());
    Config {
        server: ServerConfig { hosts: new.server.hosts, cors_origins: new.server.cors_origins, ..old.server },
        auth: AuthConfig { argon2: old.auth.argon2, ..new.auth },
        chat: ChatConfig { message_chars_max: new.chat.message_chars_max, ..old.chat },
        api: ApiConfig { input_chars_max: new.api.input_chars_max, ..old.api },
        concurrency: new.concurrency,
        limits: new.limits,
        alerts: new.alerts,
        log: LogConfig { level: new.log.level, ..old.log },
        ..old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_changes_and_the_rest_waits_for_the_next_start() {
        let running = Config::default();
        let mut read = Config::default();
        read.limits.free.messages_per_minute = 7;
        read.auth.password_min = 20;
        (read.api.input_chars_max, read.api.body_max) = (7, 1 << 24);
        read.auth.argon2.iterations = 3;
        read.server.hosts = vec!["chat.example.org".to_owned()];
        read.server.workers = 9;
        read.log.level = tracing::level_filters::LevelFilter::DEBUG;
        read.data.dir = "elsewhere".into();
        let Change { config, changed, at_next_start } = change(&running, &read);
        let programs = "api.input_chars_max";
        assert_eq!(
            changed,
            ["server.hosts", "auth.password_min", programs, "limits.free.messages_per_minute", "log.level"]
        );
        assert_eq!(at_next_start, ["server.workers", "data.dir", "auth.argon2.iterations", "api.body_max"]);
        assert_eq!((config.limits.free.messages_per_minute, config.data.dir), (7, running.data.dir.clone()));
        let same = change(&running, &running);
        assert!(same.changed.is_empty() && same.at_next_start.is_empty() && same.config == running);
    }
}
