//! What a run came to: for a person, and for a program.

use std::{fmt::Write as _, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::{
    bench::Bench,
    figures::{Call, End, Figures, OfCall},
};
use crate::{
    checker::{Checked, Fault},
    cli::{Api, Scenario},
};

/// The JSON's form; another number where a field changes its meaning or goes away.
const SCHEMA: &str = "bondhu-load/1";
/// Above so much of a CPU, or so late, the load test is the limit itself.
const CPU_MAX: f64 = 0.85;
const LAG_MAX_US: u64 = 20_000;
/// Violations that are told in words.
const TOLD_MAX: usize = 20;

/// One phase of a run.
pub(super) struct Phase {
    pub(super) name: String,
    /// Steps a second that were begun; none where users waited for their answers.
    rate: Option<f64>,
    /// How long it was measured.
    pub(super) took: Duration,
    /// CPU time of the load test meanwhile.
    cpu: Duration,
    pub(super) figures: Figures,
    /// What part of the capacity was answered.
    pub(super) part: Option<f64>,
}

/// The whole run.
pub(super) struct Outcome {
    url: String,
    scenario: Scenario,
    api: Api,
    users: u32,
    seed: u64,
    errors_max: u64,
    interrupted: bool,
    pub(super) phases: Vec<Phase>,
    checked: Checked,
    /// In words.
    violations: Vec<(Fault, String)>,
    count: u64,
}

impl Phase {
    /// Takes the figures of what was just measured.
    pub(super) fn take(bench: &Bench, rate: Option<f64>, took: Duration, cpu: Duration) -> Self {
        let mut figures = bench.figures.replace(Figures::new());
        figures.tick(); // The last second is a part of one.
        Self { name: "all".to_owned(), rate, took, cpu, figures, part: None }
    }

    /// What was measured up to an interruption.
    pub(super) fn cut_short(bench: &Bench) -> Self {
        let took = bench.from.get().map_or(Duration::ZERO, |from| from.elapsed());
        let cpu = super::pace::cpu_time().saturating_sub(bench.cpu_at_begin.get());
        Self::take(bench, bench.options.rate, took, cpu)
    }

    fn seconds(&self) -> f64 {
        self.took.as_secs_f64().max(0.001)
    }

    /// How many of these calls were answered, a second.
    pub(super) fn rate_of(&self, call: Call) -> f64 {
        self.figures.calls.get(&call).map_or(0.0, |of| float(of.ok.len())) / self.seconds()
    }

    /// The load test's own CPU time, as a part of one CPU.
    fn cpu_part(&self) -> f64 {
        self.cpu.as_secs_f64() / self.seconds()
    }

    /// Why the figures can't be trusted, where they can't.
    fn limits(&self) -> Vec<String> {
        let mut limits = Vec::new();
        if self.cpu_part() > CPU_MAX {
            limits.push(format!("it used {:.2} of one CPU, and has no more", self.cpu_part()));
        }
        let lag = self.figures.lag.value_at_quantile(0.99);
        if lag > LAG_MAX_US {
            limits.push(format!("its own timers were up to {:.0} ms late (p99)", ms(lag)));
        }
        if self.figures.waited > 0 && self.rate.is_some() {
            let waited = self.figures.waited;
            limits.push(format!("{waited} steps were due while others waited for a free user; that counts as latency"));
        }
        limits
    }

    /// Whether the load test itself was the limit.
    fn client_limited(&self) -> bool {
        self.cpu_part() > CPU_MAX || self.figures.lag.value_at_quantile(0.99) > LAG_MAX_US
    }

    fn text(&self, out: &mut String) {
        let Figures { calls, errors, rude, .. } = &self.figures;
        let pace = self.rate.map_or("closed loop".to_owned(), |rate| format!("open loop, {rate:.1} steps/s"));
        let part = self.part.map_or(String::new(), |part| format!(", {part:.2} of the capacity answered"));
        let _ = writeln!(out, "{}: {pace}, {:.1} s{part}", self.name, self.seconds());
        let _ = writeln!(
            out,
            "{:<14} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>8} {:>11}",
            "call",
            "count",
            "/s",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "errors",
            "refused",
            "refused p99"
        );
        for (call, of) in calls {
            let OfCall { ok, refused, errors } = of;
            let rate = if call.is_setup() { "-".to_owned() } else { format!("{:.1}", self.rate_of(*call)) };
            let [p50, p90, p99, p999] = [0.5, 0.9, 0.99, 0.999].map(|part| ms(ok.value_at_quantile(part)));
            let late =
                if refused.is_empty() { "-".to_owned() } else { format!("{:.2}", ms(refused.value_at_quantile(0.99))) };
            let _ = writeln!(
                out,
                "{:<14} {:>9} {rate:>9} {p50:>9.2} {p90:>9.2} {p99:>9.2} {p999:>9.2} {:>9.2} {errors:>7} {:>8} {late:>11}",
                call.name(),
                ok.len(),
                ms(ok.max()),
                refused.len(),
            );
        }
        for (what, count) in errors {
            let _ = writeln!(out, "error, {count} times: {what}");
        }
        if *rude > 0 {
            let _ = writeln!(out, "{rude} refusals did not say when to come again (Retry-After)");
        }
        let answers = self.figures.answers().max(1);
        let each = self.cpu.as_secs_f64() * 1e6 / float(answers);
        let _ = writeln!(out, "the load test itself: {:.2} of a CPU, {each:.0} us an answer", self.cpu_part());
        for limit in self.limits() {
            let _ = writeln!(out, "warning: {limit}");
        }
        if self.client_limited() {
            let _ = writeln!(out, "warning: the load test was the limit itself; don't trust these latencies");
        }
        out.push('\n');
    }

    fn json(&self) -> Value {
        let Figures { calls, seconds, errors, lag, waited, rude, .. } = &self.figures;
        let calls: serde_json::Map<String, Value> = calls
            .iter()
            .map(|(call, OfCall { ok, refused, errors })| {
                let rate = if call.is_setup() { Value::Null } else { json!(rounded(self.rate_of(*call))) };
                let figures = json!({
                    "count": ok.len(),
                    "per_second": rate,
                    "latency_us": latency(ok),
                    "errors": errors,
                    "refused": refused.len(),
                    "refused_latency_us": latency(refused),
                });
                (call.name().replace(' ', "_"), figures)
            })
            .collect();
        let seconds: Vec<Value> = seconds
            .iter()
            .map(|second| {
                json!({"ok": second.ok, "refused": second.refused, "errors": second.errors,
                       "p50_us": second.p50_us, "p99_us": second.p99_us})
            })
            .collect();
        json!({
            "name": self.name,
            "rate_per_second": self.rate,
            "duration_s": rounded(self.seconds()),
            "part_of_capacity": self.part.map(rounded),
            "calls": calls,
            "errors": errors,
            "refusals_without_retry_after": rude,
            "client_limited": self.client_limited(),
            "client": {
                "cpu_s": rounded(self.cpu.as_secs_f64()),
                "cpu_part": rounded(self.cpu_part()),
                "cpu_us_per_answer": rounded(self.cpu.as_secs_f64() * 1e6 / float(self.figures.answers().max(1))),
                "lag_us": latency(lag),
                "steps_that_waited": waited,
            },
            "seconds": seconds,
        })
    }
}

impl Outcome {
    pub(super) fn new(bench: &Bench, mut phases: Vec<Phase>) -> Self {
        // What went wrong in the last reads counts too.
        let last = bench.figures.replace(Figures::new());
        if let Some(phase) = phases.last_mut() {
            for what in last.errors.keys() {
                phase.figures.record(Call::Page, Duration::ZERO, &End::Error(what.clone()));
            }
        }
        let checker = bench.checker.borrow();
        let violations = checker.violations().iter().map(|violation| (violation.fault, violation.to_string()));
        Self {
            url: bench.options.url.clone(),
            scenario: bench.options.scenario,
            api: bench.options.api,
            users: bench.options.users,
            seed: bench.seed,
            errors_max: bench.options.errors_max,
            interrupted: bench.interrupted.get(),
            phases,
            checked: checker.checked(),
            violations: violations.collect(),
            count: checker.count(),
        }
    }

    fn errors(&self) -> u64 {
        self.phases.iter().map(|phase| phase.figures.errors()).sum()
    }

    /// Why the run failed, where it did.
    pub(super) fn verdict(&self) -> Option<String> {
        let mut why = Vec::new();
        if self.count > 0 {
            why.push(format!("{} promises were broken", self.count));
        }
        if self.errors() > self.errors_max {
            why.push(format!("{} errors, and {} are all right", self.errors(), self.errors_max));
        }
        if self.phases.iter().all(|phase| phase.figures.answers() == 0) {
            why.push("nothing was answered".to_owned());
        }
        (!why.is_empty()).then(|| why.join("; "))
    }

    /// The report for a person.
    pub(super) fn text(&self) -> String {
        let Self { url, users, seed, .. } = self;
        let mut out = format!("{url}: {}, {users} users, seed {seed}\n", name(self.scenario));
        if self.interrupted {
            out += "interrupted: this is what was measured until then, and the last reads are missing\n";
        }
        out.push('\n');
        for phase in &self.phases {
            phase.text(&mut out);
        }
        let Checked { acknowledgements, reads, messages, events, attempts } = self.checked;
        let _ = writeln!(
            out,
            "checked: {acknowledgements} acknowledgements, {reads} reads with {messages} messages, {events} events, \
             {attempts} attempts on others' sessions"
        );
        for (_, violation) in self.violations.iter().take(TOLD_MAX) {
            let _ = writeln!(out, "VIOLATION {violation}");
        }
        let _ = match self.count {
            0 => writeln!(out, "no promise was broken"),
            count => writeln!(out, "{count} violations"),
        };
        out
    }

    /// The report for a program.
    pub(super) fn json(&self) -> String {
        let Checked { acknowledgements, reads, messages, events, attempts } = self.checked;
        let by_fault: serde_json::Map<String, Value> = Fault::ALL
            .iter()
            .map(|fault| (fault.name().to_owned(), json!(self.violations.iter().filter(|(of, _)| of == fault).count())))
            .collect();
        let text = json!({
            "schema": SCHEMA,
            "bondhu": env!("CARGO_PKG_VERSION"),
            "url": self.url,
            "scenario": name(self.scenario),
            "api": match self.api { Api::Native => "native", Api::Old => "old" },
            "users": self.users,
            "seed": self.seed,
            "interrupted": self.interrupted,
            "passed": self.verdict().is_none(),
            "client_limited": self.phases.iter().any(Phase::client_limited),
            "errors": self.errors(),
            "checks": {
                "acknowledgements": acknowledgements,
                "reads": reads,
                "messages": messages,
                "events": events,
                "attempts": attempts,
                "violations": self.count,
                "kept_by_fault": by_fault,
                "in_words": self.violations.iter().map(|(_, words)| words).collect::<Vec<_>>(),
            },
            "phases": self.phases.iter().map(Phase::json).collect::<Vec<_>>(),
        });
        format!("{text:#}\n")
    }
}

fn name(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Journey => "journey",
        Scenario::History => "history",
        Scenario::Send => "send",
        Scenario::Streams => "streams",
        Scenario::Mixed => "mixed",
        Scenario::Hijack => "hijack",
        Scenario::Rapid => "rapid",
        Scenario::Overload => "overload",
        Scenario::Churn => "churn",
    }
}

fn latency(of: &Histogram<u64>) -> Value {
    let at = |part| of.value_at_quantile(part);
    json!({"p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "p99.9": at(0.999), "p99.99": at(0.9999), "max": of.max()})
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

/// Milliseconds, of microseconds.
pub(super) fn ms(us: u64) -> f64 {
    float(us) / 1000.0
}
