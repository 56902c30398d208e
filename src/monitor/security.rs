//! The newest security events, for operators; the log has all of them.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, PoisonError},
};

use serde::Serialize;

use crate::{clock::Timestamp, id::UserId};

/// Events that are kept; the oldest go first.
const EVENTS_MAX: usize = 200;

/// Somebody overstepped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SecurityEvent {
    /// When.
    #[serde(serialize_with = "crate::clock::rfc3339")]
    pub at: Timestamp,
    /// What it was, as in the log.
    pub kind: &'static str,
    /// The account that it is about, where that is known.
    pub user_id: Option<UserId>,
    /// Where it came from.
    pub address: IpAddr,
    /// The route's template.
    pub path: &'static str,
}

/// The newest events.
#[derive(Debug, Default)]
pub(super) struct SecurityLog {
    /// Guards the events, newest last.
    events: Mutex<VecDeque<SecurityEvent>>,
}

impl SecurityLog {
    pub(super) fn note(&self, event: SecurityEvent) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.len() >= EVENTS_MAX {
            events.pop_front();
        }
        events.push_back(event);
    }

    /// Newest first.
    pub(super) fn newest(&self) -> Vec<SecurityEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_events_are_kept_and_come_first() {
        let log = SecurityLog::default();
        for n in 0..500 {
            let address = IpAddr::from([127, 0, 0, 1]);
            log.note(SecurityEvent { at: Timestamp(n), kind: "ownership", user_id: None, address, path: "/" });
        }
        let newest = log.newest();
        assert_eq!((newest.len(), newest[0].at, newest[199].at), (EVENTS_MAX, Timestamp(499), Timestamp(300)));
    }
}
