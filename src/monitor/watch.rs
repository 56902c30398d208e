//! What the rules of alerts are shown.

use super::{process::Machine, totals::Span};
use crate::{alerts::Rule, metrics::float};

/// Fewer answers than this say nothing about the part of them that fails, or how long most take.
const ANSWERS_MIN: u64 = 20;
/// Fewer turns than this say nothing about how long most take.
const TURNS_MIN: u64 = 5;
/// Fewer reads than this say nothing about the cache.
const READS_MIN: u64 = 100;

/// The value of a rule, in the unit of its limit; nothing where there is too little to say one.
pub(super) fn value(rule: Rule, span: &Span<'_>, machine: &Machine) -> Option<f64> {
    let seen = &span.after.seen;
    let percent = |part: f64| part * 100.0;
    let millis = |seconds: f64| seconds * 1000.0;
    match rule {
        Rule::Cpu => span.cpu(machine.cores).map(percent),
        Rule::Memory => span.part(float(seen.process.memory), float(machine.memory)).map(percent),
        Rule::LatencyP95 => {
            let times = span.after.requests.since(&span.before.requests);
            if times.count() < ANSWERS_MIN { None } else { times.quantile(0.95).map(millis) }
        }
        Rule::FirstTextP95 => {
            let times = span.after.first_text.since(&span.before.first_text);
            if times.count() < TURNS_MIN { None } else { times.quantile(0.95).map(millis) }
        }
        Rule::ErrorRate => {
            let (errors, answers) = (span.grew(|t| t.errors), span.grew(|t| t.answers));
            if answers < ANSWERS_MIN { None } else { span.part(float(errors), float(answers)).map(percent) }
        }
        Rule::CacheHits => span.cache_hits(READS_MIN).map(percent),
        Rule::DiskFree => {
            let sizes = seen.sizes?;
            span.part(float(sizes.disk_free), float(sizes.disk)).map(percent)
        }
        Rule::BackupFailed => Some(f64::from(u8::from(span.after.backup_failed))),
    }
}
