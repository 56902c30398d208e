//! Everything that is counted, as text for Prometheus. The routes' own counts are added by who has the routes.
//!
//! It walks over nothing: what would need that was looked at by the last sample.

use crate::{
    clock::Timestamp,
    jobs::{JobOutcome, Runs},
    metrics::{Exposition, Kind, Wait, float},
};

use super::{Monitor, lock, process};

/// Ends of buckets, microseconds: of answers that wait for data,
const DATA: [u64; 9] = [500, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 2_000_000, 10_000_000];
/// of those that wait for a password's hash,
const PASSWORDS: [u64; 5] = [50_000, 100_000, 500_000, 2_000_000, 10_000_000];
/// of replies,
const REPLIES: [u64; 7] = [100_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 20_000_000, 100_000_000];
/// of waits for a slot,
const WAITS: [u64; 6] = [1_000, 10_000, 100_000, 500_000, 1_000_000, 2_000_000];
/// and of syncs.
const SYNCS: [u64; 8] = [100, 500, 1_000, 2_000, 5_000, 10_000, 50_000, 500_000];

impl Monitor {
    /// All figures but those of single routes.
    #[must_use]
    pub fn expose(&self) -> Exposition {
        let mut text = Exposition::default();
        self.expose_process(&mut text);
        self.expose_requests(&mut text);
        self.expose_turns(&mut text);
        self.expose_store(&mut text);
        self.expose_cache(&mut text);
        self.expose_work(&mut text);
        self.expose_alerts(&mut text);
        text
    }

    fn expose_process(&self, text: &mut Exposition) {
        let (seen, machine) = (self.seen(), &self.machine);
        text.family("bondhu_build_info", Kind::Gauge, "Always 1; the label says which version runs.");
        text.series(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        let started = seconds(self.started_at);
        text.gauge("bondhu_process_start_time_seconds", "When this process began, seconds since 1970.", started);
        let cpu = process::cpu_time().as_secs_f64();
        text.family("bondhu_process_cpu_seconds_total", Kind::Counter, "CPU time that this process has used.");
        text.series(&[], cpu);
        text.gauge("bondhu_cpu_cores", "Cores that this process may use.", machine.cores);
        let memory = float(seen.process.memory);
        text.gauge("bondhu_process_resident_memory_bytes", "Memory that this process takes.", memory);
        text.gauge(
            "bondhu_memory_limit_bytes",
            "Memory that this process may take: the machine's, or its control group's.",
            float(machine.memory),
        );
        text.gauge("bondhu_process_threads", "Threads of this process.", float(seen.process.threads));
        text.gauge("bondhu_process_open_fds", "Open descriptors.", float(seen.process.descriptors));
        let most = machine.descriptors.map_or(f64::INFINITY, float);
        text.gauge("bondhu_process_max_fds", "Descriptors that may be open.", most);
    }

    fn expose_requests(&self, text: &mut Exposition) {
        let requests = &self.parts.requests;
        text.family(
            "bondhu_http_request_seconds",
            Kind::Histogram,
            "Time from a request's head to its answer's, by what the answer waits for: data, a reply, or a password's hash.",
        );
        let waits: [(Wait, &str, &[u64]); 3] =
            [(Wait::Data, "data", &DATA), (Wait::Reply, "reply", &REPLIES), (Wait::Password, "password", &PASSWORDS)];
        for (wait, label, bounds) in waits {
            text.histogram(&[("wait", label)], bounds, &requests.latency(wait).read());
        }
        let help =
            "Requests that were refused for now, by reason: with 429 up to login_failures, with 503 from slots on.";
        text.labelled("bondhu_http_refusals_total", help, "reason", &requests.refusals);
        let help = "Security events by kind; the log has each.";
        text.labelled("bondhu_security_events_total", help, "kind", &requests.security);
        let open = float(requests.connections.get());
        text.gauge("bondhu_http_connections", "Connections that are open.", open);
        let refused = requests.connections_refused.get();
        let help = "Connections that were closed at once, because there were too many.";
        text.counter("bondhu_http_connections_refused_total", help, refused);
        text.labelled("bondhu_logins_total", "Logins by outcome.", "outcome", &self.parts.auth.logins);
        let help = "Accounts that people made for themselves.";
        text.counter("bondhu_registrations_total", help, self.parts.auth.registrations.get());
    }

    fn expose_turns(&self, text: &mut Exposition) {
        let (chat, slots) = (self.parts.chat.figures(), self.parts.slots.gauges());
        text.labelled("bondhu_turns_total", "Turns that ended, by outcome.", "outcome", &chat.turns);
        text.family(
            "bondhu_turn_first_text_seconds",
            Kind::Histogram,
            "Time from a stored message to its reply's first text.",
        );
        text.histogram(&[], &REPLIES, &chat.first_token.read());
        text.family(
            "bondhu_turn_reply_seconds",
            Kind::Histogram,
            "Time from a stored message to its whole, stored reply.",
        );
        text.histogram(&[], &REPLIES, &chat.reply.read());
        let help = "Completions that ended and are not stored, by outcome.";
        text.labelled("bondhu_completions_total", help, "outcome", &chat.completions);
        let help = "Time from a completion's reply slot to the first of its text.";
        text.family("bondhu_completion_first_text_seconds", Kind::Histogram, help);
        text.histogram(&[], &REPLIES, &chat.completion_first.read());
        let help = "Time from a completion's reply slot to all of its text.";
        text.family("bondhu_completion_seconds", Kind::Histogram, help);
        text.histogram(&[], &REPLIES, &chat.completion.read());
        text.gauge("bondhu_turns_running", "Turns without an outcome.", float(self.parts.chat.running() as u64));
        text.gauge("bondhu_reply_slots_held", "Reply slots that are taken.", float(slots.held as u64));
        text.gauge("bondhu_reply_slots_limit", "Reply slots that there are, just now.", float(slots.limit as u64));
        text.gauge("bondhu_reply_slots_waiting", "Turns that wait for a slot.", float(slots.waiting as u64));
        let help = "Time that turns waited for the slot that they got; those that had one at once are in it.";
        text.family("bondhu_reply_slot_wait_seconds", Kind::Histogram, help);
        text.histogram(&[], &WAITS, &self.parts.slots.waits().read());
        let streams = float(self.parts.store.subscriptions() as u64);
        text.gauge("bondhu_streams", "Event streams that are open.", streams);
        let listeners = float(self.parts.store.listeners() as u64);
        text.gauge("bondhu_users_listening", "Users with an event stream at least.", listeners);
    }

    fn expose_store(&self, text: &mut Exposition) {
        let (figures, seen) = (self.parts.store.figures(), self.seen());
        text.counter("bondhu_journal_syncs_total", "Frames made durable, each with one sync.", figures.syncs.get());
        text.family("bondhu_journal_sync_seconds", Kind::Histogram, "Time to write a frame and sync it.");
        text.histogram(&[], &SYNCS, &figures.sync_time.read());
        let help = "Messages made durable, replies among them; by syncs, messages per sync.";
        text.counter("bondhu_journal_messages_total", help, figures.messages.get());
        text.counter("bondhu_journal_changes_total", "Changes of any kind made durable.", figures.changes.get());
        text.counter("bondhu_journal_written_bytes_total", "Bytes of the frames.", figures.bytes.get());
        let help = "Writes that failed or found no room; nothing of them was acknowledged.";
        text.counter("bondhu_journal_write_failures_total", help, figures.write_failures.get());
        text.counter("bondhu_checkpoints_total", "Checkpoints of the index.", figures.checkpoints.get());
        let help = "Checkpoints of the index that could not be made.";
        text.counter("bondhu_checkpoint_failures_total", help, figures.checkpoint_failures.get());
        text.counter("bondhu_compactions_total", "Compactions of the journal.", figures.compactions.get());
        let help = "Compactions that did not come to their end.";
        text.counter("bondhu_compaction_failures_total", help, figures.compaction_failures.get());
        let help = "Bytes that compactions saved.";
        text.counter("bondhu_compaction_saved_bytes_total", help, figures.compaction_saved.get());
        let help = "When the last compaction ended, seconds since 1970; 0: there is none.";
        text.gauge("bondhu_compaction_last_time_seconds", help, float(figures.compaction_at.get()) / 1e6);
        if let Some(sizes) = seen.sizes {
            let help = "Segments of the journal, with replaced ones that are still kept and with reserved space.";
            text.gauge("bondhu_journal_bytes", help, float(sizes.journal));
            text.gauge("bondhu_index_bytes", "Files of the index.", float(sizes.index));
            text.gauge("bondhu_disk_free_bytes", "Free on the disk of the data directory.", float(sizes.disk_free));
            text.gauge("bondhu_disk_bytes", "All of the disk of the data directory.", float(sizes.disk));
        }
        if let Some(population) = seen.population {
            text.gauge("bondhu_users", "Accounts.", float(population.users));
            text.gauge("bondhu_sessions", "Sessions that are not deleted.", float(population.sessions));
        }
    }

    fn expose_cache(&self, text: &mut Exposition) {
        let caches = self.parts.store.cache_figures();
        text.family("bondhu_cache_hits_total", Kind::Counter, "Reads that found what they wanted in the cache.");
        for (name, cache) in caches {
            text.series(&[("cache", name)], float(cache.hits));
        }
        text.family("bondhu_cache_misses_total", Kind::Counter, "Reads that did not.");
        for (name, cache) in caches {
            text.series(&[("cache", name)], float(cache.misses));
        }
        text.family("bondhu_cache_bytes", Kind::Gauge, "Bytes in the cache.");
        for (name, cache) in caches {
            text.series(&[("cache", name)], float(cache.bytes));
        }
        text.family("bondhu_cache_entries", Kind::Gauge, "Entries in the cache.");
        for (name, cache) in caches {
            text.series(&[("cache", name)], float(cache.entries));
        }
    }

    fn expose_alerts(&self, text: &mut Exposition) {
        text.family("bondhu_alert_firing", Kind::Gauge, "1 where the rule fires; rules that are off have no series.");
        for alert in lock(&self.alerts).alerts.states() {
            text.series(&[("rule", alert.rule.key())], f64::from(u8::from(alert.state == "firing")));
        }
    }

    fn expose_work(&self, text: &mut Exposition) {
        let (backups, jobs) = (&self.parts.backups, self.parts.jobs.figures());
        text.counter("bondhu_backups_total", "Backups that were made whole.", backups.successes.get());
        text.counter("bondhu_backup_failures_total", "Backups that were not.", backups.failures.get());
        let help = "When the last good backup ended, seconds since 1970; 0: none since the start.";
        text.gauge("bondhu_backup_last_success_time_seconds", help, float(backups.last_success_at.get()) / 1e6);
        text.gauge("bondhu_backup_last_bytes", "Bytes of the last good backup.", float(backups.last_bytes.get()));
        let took = float(backups.last_micros.get()) / 1e6;
        text.gauge("bondhu_backup_last_duration_seconds", "How long the last good backup took.", took);
        let failed = float(backups.last_failed.get());
        text.gauge("bondhu_backup_last_failed", "1 where the last backup failed.", failed);
        text.family("bondhu_jobs_done_total", Kind::Counter, "Jobs that were done, by kind.");
        for runs in jobs.runs.iter().filter(|runs| runs.outcome == JobOutcome::Done) {
            text.series(&[("kind", runs.kind)], float(runs.count));
        }
        text.family("bondhu_job_failures_total", Kind::Counter, "Tries at jobs that failed, by kind.");
        for kind in jobs.runs.iter().filter(|runs| runs.outcome == JobOutcome::Failed).map(|runs| runs.kind) {
            let failed =
                |runs: &&Runs| runs.kind == kind && matches!(runs.outcome, JobOutcome::Failed | JobOutcome::Parked);
            let count: u64 = jobs.runs.iter().filter(failed).map(|runs| runs.count).sum();
            text.series(&[("kind", kind)], float(count));
        }
        text.gauge("bondhu_jobs_waiting", "Jobs that wait for their time or a worker.", float(jobs.jobs.queued));
        text.gauge("bondhu_jobs_running", "Jobs that run.", float(jobs.jobs.running));
        text.gauge("bondhu_jobs_parked", "Jobs that were given up.", float(jobs.jobs.parked));
    }
}

/// `time` in seconds since 1970.
fn seconds(time: Timestamp) -> f64 {
    float(u64::try_from(time.0).unwrap_or(0)) / 1e6
}
