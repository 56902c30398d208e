//! All figures at one moment, and what came between two.

use std::time::{Duration, Instant};

use super::{Parts, Seen, process};
use crate::metrics::{Reading, Wait, float};

/// The caches that hold conversations: accounts and logins are found there at nearly every request, which would hide how
/// the others do.
const CONVERSATIONS: [&str; 2] = ["sessions", "views"];

/// All figures at one moment.
#[derive(Debug, Clone)]
pub(super) struct Totals {
    pub(super) at: Instant,
    /// Counts since the start.
    pub(super) answers: u64,
    pub(super) client_errors: u64,
    pub(super) errors: u64,
    pub(super) refused_users: u64,
    pub(super) refused_all: u64,
    pub(super) answered: u64,
    pub(super) stopped: u64,
    pub(super) failed: u64,
    pub(super) cache_hits: u64,
    pub(super) cache_misses: u64,
    pub(super) logins: u64,
    pub(super) failed_logins: u64,
    pub(super) security: u64,
    pub(super) syncs: u64,
    pub(super) messages: u64,
    pub(super) cpu: Duration,
    /// Times since the start.
    pub(super) requests: Reading,
    pub(super) first_text: Reading,
    pub(super) replies: Reading,
    pub(super) slot_waits: Reading,
    pub(super) sync_times: Reading,
    /// As of now.
    pub(super) cache_bytes: u64,
    pub(super) running: u64,
    pub(super) slots_held: u64,
    pub(super) slots_limit: u64,
    pub(super) slots_waiting: u64,
    pub(super) streams: u64,
    pub(super) listeners: u64,
    pub(super) connections: u64,
    pub(super) jobs_waiting: u64,
    pub(super) jobs_running: u64,
    pub(super) jobs_parked: u64,
    pub(super) backup_failed: bool,
    pub(super) seen: Seen,
}

impl Totals {
    pub(super) fn of(parts: &Parts, seen: Seen) -> Self {
        let (requests, chat, store) = (&parts.requests, parts.chat.figures(), parts.store.figures());
        let (slots, logins) = (parts.slots.gauges(), &parts.auth.logins);
        let caches = parts.store.cache_figures();
        let conversations = || caches.iter().filter(|(name, _)| CONVERSATIONS.contains(name)).map(|(_, cache)| cache);
        let (refused_users, refused_all) = requests.refused_by_whose();
        let ok = logins.get("ok");
        Self {
            at: Instant::now(),
            answers: requests.answers(),
            client_errors: requests.class(4),
            errors: requests.class(5),
            refused_users,
            refused_all,
            answered: chat.turns.get("answered"),
            stopped: chat.turns.get("stopped"),
            failed: ["failed", "too_slow", "interrupted", "not_stored"].map(|how| chat.turns.get(how)).iter().sum(),
            cache_hits: conversations().map(|cache| cache.hits).sum(),
            cache_misses: conversations().map(|cache| cache.misses).sum(),
            logins: ok,
            failed_logins: logins.sum().saturating_sub(ok),
            security: requests.security.sum(),
            syncs: store.syncs.get(),
            messages: store.messages.get(),
            cpu: process::cpu_time(),
            requests: requests.latency(Wait::Data).read(),
            first_text: chat.first_token.read(),
            replies: chat.reply.read(),
            slot_waits: parts.slots.waits().read(),
            sync_times: store.sync_time.read(),
            cache_bytes: caches.iter().map(|(_, cache)| cache.bytes).sum(),
            running: parts.chat.running() as u64,
            slots_held: slots.held as u64,
            slots_limit: slots.limit as u64,
            slots_waiting: slots.waiting as u64,
            streams: parts.store.subscriptions() as u64,
            listeners: parts.store.listeners() as u64,
            connections: requests.connections.get(),
            jobs_waiting: parts.store.job_counts().queued,
            jobs_running: parts.store.job_counts().running,
            jobs_parked: parts.store.job_counts().parked,
            backup_failed: parts.backups.last_failed.get() > 0,
            seen,
        }
    }
}

/// What came between two moments.
pub(super) struct Span<'t> {
    pub(super) before: &'t Totals,
    pub(super) after: &'t Totals,
}

impl Span<'_> {
    /// What is counted up and down, at the end.
    pub(super) fn now(&self, value: fn(&Totals) -> u64) -> f64 {
        float(value(self.after))
    }

    /// How much a count grew.
    pub(super) fn grew(&self, count: fn(&Totals) -> u64) -> u64 {
        count(self.after).saturating_sub(count(self.before))
    }

    /// How much a count grew in a second; nothing where no time passed.
    pub(super) fn rate(&self, count: fn(&Totals) -> u64) -> Option<f64> {
        self.part(float(self.grew(count)), self.seconds())
    }

    /// The time, in seconds, that this share of what ended meanwhile did not exceed; nothing where nothing did.
    pub(super) fn quantile(&self, times: fn(&Totals) -> &Reading, share: f64) -> Option<f64> {
        times(self.after).since(times(self.before)).quantile(share)
    }

    /// CPU time as a part of all of `cores`.
    pub(super) fn cpu(&self, cores: f64) -> Option<f64> {
        self.part(self.after.cpu.saturating_sub(self.before.cpu).as_secs_f64(), self.seconds() * cores)
    }

    /// `part` of `whole`, where that is not 0.
    #[expect(clippy::unused_self, reason = "reads as the others do")]
    pub(super) fn part(&self, part: f64, whole: f64) -> Option<f64> {
        (whole > 0.0).then(|| part / whole)
    }

    /// The part of reads of conversations that found what they wanted; nothing where there were fewer than `least`.
    pub(super) fn cache_hits(&self, least: u64) -> Option<f64> {
        let (hits, misses) = (self.grew(|t| t.cache_hits), self.grew(|t| t.cache_misses));
        if hits + misses < least { None } else { self.part(float(hits), float(hits + misses)) }
    }

    fn seconds(&self) -> f64 {
        self.after.at.saturating_duration_since(self.before.at).as_secs_f64()
    }
}
