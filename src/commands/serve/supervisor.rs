//! What the server tells the supervisor that started it, where that is systemd: that it is ready, reads its configuration
//! again, stops, and is alive.

use std::time::Duration;

use sd_notify::{NotifyState, watchdog_enabled};
use tokio::time::sleep;

/// Says that the server is ready.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Says that the server stops.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
}

/// Says that the configuration is being read again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the supervisor was not told that the configuration is read again"),
    }
}

/// Says that the server is alive, twice in each time that the supervisor asks for; a server whose worker threads do nothing
/// any more says nothing, and is started again.
pub(super) fn keep_alive() {
    let Some(within) = watchdog_enabled().filter(|within| *within > Duration::ZERO) else { return };
    tokio::spawn(async move {
        loop {
            tell(&[NotifyState::Watchdog]);
            sleep(within / 2).await;
        }
    });
}

fn tell(states: &[NotifyState<'_>]) {
    // Without a supervisor that listens it does nothing.
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the supervisor could not be told how the server stands");
    }
}
