//! What was measured: for each call a histogram of latencies, and for each second what came and how late.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;

/// Different errors that are kept in words.
const KINDS_MAX: usize = 20;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Call {
    Register,
    Login,
    Session,
    Send,
    Page,
    History,
    Sessions,
    Stream,
    Event,
    Attempt,
    Retry,
    Clear,
    Delete,
    Password,
    Health,
}

impl Call {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Login => "login",
            Self::Session => "new session",
            Self::Send => "send",
            Self::Page => "page",
            Self::History => "history",
            Self::Sessions => "sessions",
            Self::Stream => "stream opened",
            Self::Event => "send to event",
            Self::Attempt => "attempt",
            Self::Retry => "retry",
            Self::Clear => "clear",
            Self::Delete => "delete",
            Self::Password => "password",
            Self::Health => "health",
        }
    }

    /// True for what is done once for each user, before it is measured.
    pub(super) fn is_setup(self) -> bool {
        matches!(self, Self::Register | Self::Login)
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Ok,
    /// With 429 or 503, and when to come again where it says so.
    Refused(Option<u32>),
    /// With another status, or none.
    Error(String),
}

/// The figures of one call.
#[derive(Debug)]
pub(super) struct OfCall {
    /// Microseconds.
    pub(super) ok: Histogram<u64>,
    /// Microseconds.
    pub(super) refused: Histogram<u64>,
    pub(super) errors: u64,
}

/// One second of the run.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Second {
    pub(super) ok: u64,
    pub(super) refused: u64,
    pub(super) errors: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
}

/// All figures.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) calls: BTreeMap<Call, OfCall>,
    pub(super) seconds: Vec<Second>,
    pub(super) errors: BTreeMap<String, u64>,
    /// How late the load test itself was, microseconds.
    pub(super) lag: Histogram<u64>,
    /// Steps that waited because all users were busy.
    pub(super) waited: u64,
    /// Refusals that did not say when to come again.
    pub(super) rude: u64,
    now: Second,
    of_now: Histogram<u64>,
}

impl Figures {
    pub(super) fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
            seconds: Vec::new(),
            errors: BTreeMap::new(),
            lag: histogram(),
            waited: 0,
            rude: 0,
            now: Second::default(),
            of_now: histogram(),
        }
    }

    pub(super) fn record(&mut self, call: Call, took: Duration, end: &End) {
        let of = self.calls.entry(call).or_insert_with(OfCall::new);
        let us = micros(took);
        match end {
            End::Ok => {
                of.ok.saturating_record(us);
                self.now.ok += u64::from(call != Call::Event);
            }
            End::Refused(again) => {
                of.refused.saturating_record(us);
                self.now.refused += 1;
                self.rude += u64::from(again.is_none());
            }
            End::Error(what) => {
                of.errors += 1;
                self.now.errors += 1;
                let what = format!("{}: {what}", call.name());
                if self.errors.len() < KINDS_MAX || self.errors.contains_key(&what) {
                    *self.errors.entry(what).or_default() += 1;
                }
            }
        }
        if !matches!(end, End::Refused(_)) {
            self.of_now.saturating_record(us);
        }
    }

    /// A second is over.
    pub(super) fn tick(&mut self) {
        let mut second = std::mem::take(&mut self.now);
        second.p50_us = self.of_now.value_at_quantile(0.5);
        second.p99_us = self.of_now.value_at_quantile(0.99);
        self.of_now.reset();
        self.seconds.push(second);
    }

    pub(super) fn errors(&self) -> u64 {
        self.calls.values().map(|of| of.errors).sum()
    }

    pub(super) fn answers(&self) -> u64 {
        self.calls.values().map(|of| of.ok.len() + of.refused.len()).sum()
    }
}

impl OfCall {
    fn new() -> Self {
        Self { ok: histogram(), refused: histogram(), errors: 0 }
    }
}

/// Three digits, from a microsecond to an hour.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("these are within the bounds of HdrHistogram")
}

pub(super) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
