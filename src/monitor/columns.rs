//! What a sample has: one value for each name, in the order in which history keeps them.

use super::{process::Machine, totals::Span};
use crate::metrics::float;

/// How many values a sample has.
pub(super) const COLUMNS: usize = 43;

/// How several samples become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// The mean of those that are there.
    Mean,
    /// The largest: a peak must not go under.
    Max,
}

/// One value of a sample.
pub(super) struct Column {
    /// With its unit at the end: `_per_s`, `_s` (seconds), `_ratio` (0 to 1), `_bytes`; else a number of things.
    pub(super) name: &'static str,
    pub(super) fold: Fold,
    value: fn(&Span<'_>, &Machine) -> Option<f64>,
}

const fn mean(name: &'static str, value: fn(&Span<'_>, &Machine) -> Option<f64>) -> Column {
    Column { name, fold: Fold::Mean, value }
}

const fn peak(name: &'static str, value: fn(&Span<'_>, &Machine) -> Option<f64>) -> Column {
    Column { name, fold: Fold::Max, value }
}

/// All values, in their order. A change of this list begins the history anew.
pub(super) static ALL: [Column; COLUMNS] = [
    mean("requests_per_s", |span, _| span.rate(|t| t.answers)),
    mean("errors_per_s", |span, _| span.rate(|t| t.errors)),
    mean("client_errors_per_s", |span, _| span.rate(|t| t.client_errors)),
    peak("request_p50_s", |span, _| span.quantile(|t| &t.requests, 0.50)),
    peak("request_p95_s", |span, _| span.quantile(|t| &t.requests, 0.95)),
    peak("request_p99_s", |span, _| span.quantile(|t| &t.requests, 0.99)),
    mean("turns_answered_per_s", |span, _| span.rate(|t| t.answered)),
    mean("turns_stopped_per_s", |span, _| span.rate(|t| t.stopped)),
    mean("turns_failed_per_s", |span, _| span.rate(|t| t.failed)),
    peak("first_text_p50_s", |span, _| span.quantile(|t| &t.first_text, 0.50)),
    peak("first_text_p95_s", |span, _| span.quantile(|t| &t.first_text, 0.95)),
    peak("reply_p50_s", |span, _| span.quantile(|t| &t.replies, 0.50)),
    peak("reply_p95_s", |span, _| span.quantile(|t| &t.replies, 0.95)),
    peak("turns_running", |span, _| Some(span.now(|t| t.running))),
    peak("slots_held", |span, _| Some(span.now(|t| t.slots_held))),
    mean("slots_limit", |span, _| Some(span.now(|t| t.slots_limit))),
    peak("slots_waiting", |span, _| Some(span.now(|t| t.slots_waiting))),
    peak("slot_wait_p95_s", |span, _| span.quantile(|t| &t.slot_waits, 0.95)),
    mean("refused_users_per_s", |span, _| span.rate(|t| t.refused_users)),
    mean("refused_all_per_s", |span, _| span.rate(|t| t.refused_all)),
    mean("cache_hits_ratio", |span, _| span.cache_hits(1)),
    mean("cache_bytes", |span, _| Some(span.now(|t| t.cache_bytes))),
    mean("cpu_ratio", |span, machine| span.cpu(machine.cores)),
    peak("memory_bytes", |span, _| Some(span.now(|t| t.seen.process.memory))),
    peak("threads", |span, _| Some(span.now(|t| t.seen.process.threads))),
    peak("descriptors", |span, _| Some(span.now(|t| t.seen.process.descriptors))),
    mean("disk_free_bytes", |span, _| Some(float(span.after.seen.sizes?.disk_free))),
    mean("journal_bytes", |span, _| Some(float(span.after.seen.sizes?.journal))),
    mean("index_bytes", |span, _| Some(float(span.after.seen.sizes?.index))),
    peak("streams", |span, _| Some(span.now(|t| t.streams))),
    peak("users_listening", |span, _| Some(span.now(|t| t.listeners))),
    peak("connections", |span, _| Some(span.now(|t| t.connections))),
    mean("logins_per_s", |span, _| span.rate(|t| t.logins)),
    mean("failed_logins_per_s", |span, _| span.rate(|t| t.failed_logins)),
    mean("security_events_per_s", |span, _| span.rate(|t| t.security)),
    mean("syncs_per_s", |span, _| span.rate(|t| t.syncs)),
    mean("messages_per_sync", |span, _| span.part(float(span.grew(|t| t.messages)), float(span.grew(|t| t.syncs)))),
    peak("sync_p95_s", |span, _| span.quantile(|t| &t.sync_times, 0.95)),
    mean("users", |span, _| Some(float(span.after.seen.population?.users))),
    mean("sessions", |span, _| Some(float(span.after.seen.population?.sessions))),
    peak("jobs_waiting", |span, _| Some(span.now(|t| t.jobs_waiting))),
    peak("jobs_running", |span, _| Some(span.now(|t| t.jobs_running))),
    peak("jobs_parked", |span, _| Some(span.now(|t| t.jobs_parked))),
];

/// The values of a sample, each in the place of its column; not a number where there is none.
pub(super) type Values = [f32; COLUMNS];

/// What came in `span`.
#[expect(clippy::cast_possible_truncation, reason = "seven digits are more than a graph shows")]
pub(super) fn values(span: &Span<'_>, machine: &Machine) -> Values {
    std::array::from_fn(|at| (ALL[at].value)(span, machine).map_or(f32::NAN, |value| value as f32))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_there_once_and_is_a_name_for_programs() {
        let names: BTreeSet<_> = ALL.iter().map(|column| column.name).collect();
        assert_eq!(names.len(), COLUMNS);
        for name in names {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
        }
    }
}
