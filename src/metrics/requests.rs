//! Figures of the HTTP front, over all routes.

use std::time::Duration;

use super::{Counter, Gauge, Histogram, Labelled};

/// Why a request was refused that may succeed later: the words of `reason`, 429 first, then 503.
pub const REFUSALS: [&str; 10] = [
    "requests",
    "messages",
    "streams",
    "login_failures",
    "slots",
    "logins",
    "stopping",
    "disk_full",
    "store_busy",
    "store_ended",
];

/// How many of them are one user's excess: those with 429, which come first.
const USERS: usize = 4;

/// Kinds of security events: the words of `kind`.
pub const SECURITY: [&str; 6] = ["ownership", "login_failed", "rate_limited", "admin", "scope", "other"];

/// Why a request was refused that may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The user makes too many requests.
    Requests,
    /// The user sends too many messages.
    Messages,
    /// The user has too many streams.
    Streams,
    /// Too many logins failed.
    LoginFailures,
    /// No reply slot came free.
    Slots,
    /// Too many passwords are being hashed.
    Logins,
    /// The server stops.
    Stopping,
    /// The disk is full.
    DiskFull,
    /// The store has too much to do.
    StoreBusy,
    /// The store can't go on.
    StoreEnded,
}

/// What an answer waits for, which is what its latency is worth comparing with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The store at most.
    Data,
    /// A reply.
    Reply,
    /// A password's hash.
    Password,
}

/// What the front counts.
#[derive(Debug)]
pub struct RequestFigures {
    /// Answers by the first digit of their status.
    classes: [Counter; 6],
    data: Histogram,
    reply: Histogram,
    password: Histogram,
    /// Refusals by reason.
    pub refusals: Labelled,
    /// Security events by kind.
    pub security: Labelled,
    /// Connections that are open.
    pub connections: Gauge,
    /// Connections that were closed at once, because there were too many.
    pub connections_refused: Counter,
}

impl Default for RequestFigures {
    fn default() -> Self {
        Self {
            classes: Default::default(),
            data: Histogram::default(),
            reply: Histogram::default(),
            password: Histogram::default(),
            refusals: Labelled::new(&REFUSALS),
            security: Labelled::new(&SECURITY),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
        }
    }
}

impl RequestFigures {
    /// Counts an answer. `wait` is nothing for probes, which would hide how long people wait.
    pub fn answered(&self, status: u16, wait: Option<Wait>, took: Duration) {
        if let Some(counter) = self.classes.get(usize::from(status / 100)) {
            counter.count();
        }
        if let Some(wait) = wait {
            self.latency(wait).record(took);
        }
    }

    /// Counts a refusal.
    pub fn refused(&self, refusal: Refusal) {
        self.refusals.count(REFUSALS[refusal as usize]);
    }

    /// Requests that were refused as one user's excess, and those that were refused for everybody's.
    #[must_use]
    pub fn refused_by_whose(&self) -> (u64, u64) {
        let users = self.refusals.all().take(USERS).map(|(_, count)| count).sum();
        (users, self.refusals.sum().saturating_sub(users))
    }

    /// Answers whose status begins with `digit`, 1 to 5.
    #[must_use]
    pub fn class(&self, digit: usize) -> u64 {
        self.classes.get(digit).map_or(0, Counter::get)
    }

    /// Answers in all.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.classes.iter().map(Counter::get).sum()
    }

    /// How long answers took that wait for this, until their head was ready.
    #[must_use]
    pub fn latency(&self, wait: Wait) -> &Histogram {
        match wait {
            Wait::Data => &self.data,
            Wait::Reply => &self.reply,
            Wait::Password => &self.password,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_in_its_class_and_a_probe_in_no_latency() {
        let figures = RequestFigures::default();
        figures.answered(200, Some(Wait::Data), Duration::from_millis(1));
        figures.answered(503, None, Duration::from_millis(1));
        assert_eq!([figures.class(2), figures.class(5), figures.class(4), figures.answers()], [1, 1, 0, 2]);
        assert_eq!(figures.latency(Wait::Data).read().count(), 1);
        assert_eq!(figures.latency(Wait::Reply).read().count(), 0);
    }

    #[test]
    fn each_refusal_has_its_own_word() {
        let figures = RequestFigures::default();
        figures.refused(Refusal::Requests);
        figures.refused(Refusal::Slots);
        figures.refused(Refusal::StoreEnded);
        let counted: Vec<_> = figures.refusals.all().filter(|(_, count)| *count > 0).map(|(word, _)| word).collect();
        assert_eq!(counted, ["requests", "slots", "store_ended"]);
        assert_eq!(figures.refused_by_whose(), (1, 2));
    }
}
