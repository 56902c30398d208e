//! Whether a server is asked at all: after failures in a row it is left alone for a while, then asked by one reply alone.
//!
//! What fails may be the question: a message that breaks the server, or a reply that never ends. So failures that one user
//! could bring about close the server for the users who ran into them, and for everybody only where those are several.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::failure::Sign;
use crate::{id::UserId, reply::UpstreamState};

/// So many failures in a row open the breaker.
const FAILURES_MAX: u32 = 5;
/// So many users must have run into them, where a question may be what failed.
const ASKERS_MIN: usize = 3;
/// The first time for which a server is left alone; it doubles while nothing gets better.
const COOL_DOWN: Duration = Duration::from_secs(2);
/// The longest one.
const COOL_DOWN_MAX: Duration = Duration::from_secs(30);
/// A server that says when to come again is believed up to this.
pub(super) const AGAIN_MAX: Duration = Duration::from_mins(1);
/// Cool-downs differ by this part of them, so that several programs do not come back together.
const JITTER: f64 = 0.2;
/// When to look again while a single reply tries whether the server is back.
const PROBE_TIME: Duration = Duration::from_secs(1);

/// The breaker of one server.
pub(super) struct Breaker {
    /// Guards all of it.
    state: Mutex<State>,
}

struct State {
    /// Failures in a row.
    failures: u32,
    /// Who ran into them: [`ASKERS_MIN`] at most.
    askers: Vec<UserId>,
    /// One of them was no question's.
    is_certain: bool,
    /// Open until then, half open from then on; closed where there is none.
    open_until: Option<Instant>,
    /// Whom it is open for: everybody where there is nobody in it.
    open_for: Vec<UserId>,
    /// One reply tries whether the server is back.
    is_probed: bool,
    /// How long it is left alone the next time.
    cool_down: Duration,
}

/// Leave to ask the server once. Dropped without an outcome it counts as nothing.
pub(super) struct Pass<'b> {
    breaker: &'b Breaker,
    asker: UserId,
    is_probe: bool,
}

impl Breaker {
    pub(super) fn new() -> Self {
        let state = State {
            failures: 0,
            askers: Vec::new(),
            is_certain: false,
            open_until: None,
            open_for: Vec::new(),
            is_probed: false,
            cool_down: COOL_DOWN,
        };
        Self { state: Mutex::new(state) }
    }

    /// Leave for `asker` to ask the server now.
    ///
    /// # Errors
    /// How long they will be refused.
    pub(super) fn admit(&self, asker: UserId, now: Instant) -> Result<Pass<'_>, Duration> {
        let mut state = self.lock();
        match state.open_until.filter(|_| state.is_open_for(asker)) {
            None => Ok(Pass { breaker: self, asker, is_probe: false }),
            Some(until) if now < until => Err(until - now),
            Some(_) if state.is_probed => Err(PROBE_TIME),
            Some(_) => {
                state.is_probed = true;
                Ok(Pass { breaker: self, asker, is_probe: true })
            }
        }
    }

    /// How it stands, also where that is not for everybody.
    pub(super) fn state(&self, now: Instant) -> UpstreamState {
        let state = self.lock();
        match state.open_until {
            Some(until) if now < until => UpstreamState::Open,
            Some(_) if state.open_for.is_empty() => UpstreamState::HalfOpen,
            // Of some users, whoever they were may never come again.
            Some(_) | None => UpstreamState::Closed,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass<'_> {
    /// The server has begun to speak: enough to let others ask it again, but on probation until it ends well.
    pub(super) fn speaks(&mut self) {
        if std::mem::take(&mut self.is_probe) {
            let mut state = self.breaker.lock();
            state.close();
            state.failures = FAILURES_MAX - 1;
        }
    }

    /// The server answered as it should.
    pub(super) fn succeeded(mut self) {
        let mut state = self.breaker.lock();
        if std::mem::take(&mut self.is_probe) {
            state.close();
        }
        // Of one that was asked before the breaker opened, nothing can be said of now.
        if state.open_until.is_none() {
            state.forget();
            state.cool_down = COOL_DOWN;
        } else if !state.is_open_for(self.asker) {
            state.forget(); // It serves others well: what failed was the question.
        }
    }

    /// The server failed. Gives for how long it is left alone, where this opens the breaker. `chance` is from 0 to 1.
    pub(super) fn failed(self, sign: Sign, now: Instant, chance: f64) -> Option<Duration> {
        let is_probe = self.is_probe;
        let mut state = self.breaker.lock();
        let was_let_in = state.open_until.is_none() || !state.is_open_for(self.asker);
        state.failures = state.failures.saturating_add(1);
        state.is_certain |= sign == Sign::OfServer;
        if !state.askers.contains(&self.asker) && state.askers.len() < ASKERS_MIN {
            state.askers.push(self.asker);
        }
        let opens = is_probe || (was_let_in && state.failures >= FAILURES_MAX);
        let rest = opens.then(|| state.next_cool_down(chance));
        let is_everybodys = state.is_certain || state.askers.len() >= ASKERS_MIN;
        let open_for = if is_everybodys { Vec::new() } else { state.askers.clone() };
        drop(state);
        rest.map(|rest| self.open(now, rest, open_for))
    }

    /// The server asks for rest until `again` has passed. Gives for how long it is left alone.
    pub(super) fn overloaded(self, now: Instant, again: Duration) -> Duration {
        self.open(now, again.min(AGAIN_MAX), Vec::new())
    }

    fn open(mut self, now: Instant, rest: Duration, open_for: Vec<UserId>) -> Duration {
        let mut state = self.breaker.lock();
        if std::mem::take(&mut self.is_probe) {
            state.is_probed = false;
        }
        // Open for everybody it stays that; for several, it is open for all of them.
        let is_everybodys =
            open_for.is_empty() || (state.open_until.is_some_and(|until| now < until) && state.open_for.is_empty());
        state.open_for = if is_everybodys { Vec::new() } else { open_for };
        // Several replies may fail together: the longest rest holds.
        state.open_until = state.open_until.max(Some(now + rest));
        rest
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.is_probe {
            self.breaker.lock().is_probed = false; // Half open still: the next reply tries.
        }
    }
}

impl State {
    fn is_open_for(&self, asker: UserId) -> bool {
        self.open_for.is_empty() || self.open_for.contains(&asker)
    }

    fn close(&mut self) {
        self.open_until = None;
        self.open_for = Vec::new();
        self.is_probed = false;
    }

    /// The failures in a row are over.
    fn forget(&mut self) {
        self.failures = 0;
        self.askers.clear();
        self.is_certain = false;
    }

    fn next_cool_down(&mut self, chance: f64) -> Duration {
        let rest = self.cool_down.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance);
        self.cool_down = (self.cool_down * 2).min(COOL_DOWN_MAX);
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No jitter.
    const EVEN: f64 = 0.5;

    fn one() -> UserId {
        UserId::from_bytes([1; 16])
    }

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    /// A breaker that has just opened.
    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::new();
        for _ in 1..FAILURES_MAX {
            assert_eq!(breaker.admit(one(), now).ok().unwrap().failed(Sign::OfServer, now, EVEN), None);
            assert_eq!(breaker.state(now), UpstreamState::Closed);
        }
        assert_eq!(breaker.admit(one(), now).ok().unwrap().failed(Sign::OfServer, now, EVEN), Some(COOL_DOWN));
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_them_does_not() {
        let now = Instant::now();
        let breaker = opened(now);
        assert_eq!(breaker.state(now), UpstreamState::Open);
        assert_eq!(breaker.admit(one(), at(now, 500)).err(), Some(Duration::from_millis(1500)));
        let breaker = Breaker::new();
        for _ in 0..5 {
            for _ in 1..FAILURES_MAX {
                breaker.admit(one(), now).ok().unwrap().failed(Sign::OfServer, now, EVEN);
            }
            breaker.admit(one(), now).ok().unwrap().succeeded();
        }
        assert_eq!(breaker.state(now), UpstreamState::Closed);
    }

    #[test]
    fn half_open_it_admits_one_at_a_time_and_its_success_closes_it() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = at(now, 2000);
        assert_eq!(breaker.state(later), UpstreamState::HalfOpen);
        let probe = breaker.admit(one(), later).ok().unwrap();
        assert!(breaker.admit(one(), later).is_err());
        drop(probe); // Whoever asked has gone: the next one may.
        let probe = breaker.admit(one(), later).ok().unwrap();
        assert!(breaker.admit(one(), later).is_err());
        probe.succeeded();
        assert_eq!(breaker.state(later), UpstreamState::Closed);
        assert!(breaker.admit(one(), later).is_ok() && breaker.admit(one(), later).is_ok());
    }

    #[test]
    fn cool_downs_double_up_to_half_a_minute_and_begin_anew_after_a_success() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for seconds in [4, 8, 16, 30, 30] {
            now += Duration::from_mins(1);
            let rest = breaker.admit(one(), now).ok().unwrap().failed(Sign::OfServer, now, EVEN);
            assert_eq!(rest, Some(Duration::from_secs(seconds)));
            assert!(breaker.admit(one(), now + Duration::from_millis(seconds * 1000 - 1)).is_err());
        }
        now += Duration::from_mins(1);
        breaker.admit(one(), now).ok().unwrap().succeeded();
        for _ in 1..FAILURES_MAX {
            breaker.admit(one(), now).ok().unwrap().failed(Sign::OfServer, now, EVEN);
        }
        assert_eq!(breaker.admit(one(), now).ok().unwrap().failed(Sign::OfServer, now, EVEN), Some(COOL_DOWN));
    }

    #[test]
    fn cool_downs_differ_by_a_fifth_either_way() {
        for (chance, ms) in [(0.0, 1600), (1.0, 2400)] {
            let now = Instant::now();
            let breaker = Breaker::new();
            let passes: Vec<_> = (0..FAILURES_MAX).map(|_| breaker.admit(one(), now).ok().unwrap()).collect();
            let rests: Vec<_> =
                passes.into_iter().filter_map(|pass| pass.failed(Sign::OfServer, now, chance)).collect();
            assert_eq!(rests, [Duration::from_millis(ms)]);
        }
    }

    #[test]
    fn a_server_that_asks_for_rest_gets_it_at_once_up_to_a_minute() {
        let now = Instant::now();
        for (asked, given) in [(7, 7), (3600, 60)] {
            let breaker = Breaker::new();
            let rest = breaker.admit(one(), now).ok().unwrap().overloaded(now, Duration::from_secs(asked));
            assert_eq!(rest, Duration::from_secs(given));
            assert_eq!(breaker.admit(one(), now).err(), Some(rest));
            assert!(breaker.admit(one(), now + rest).is_ok());
        }
    }

    #[test]
    fn one_that_speaks_closes_it_on_probation() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = at(now, 2000);
        let mut probe = breaker.admit(one(), later).ok().unwrap();
        probe.speaks();
        assert_eq!(breaker.state(later), UpstreamState::Closed);
        assert_eq!(
            probe.failed(Sign::OfServer, later, EVEN),
            Some(COOL_DOWN * 2),
            "it broke off: open again, for longer"
        );
        let again = at(later, 4000);
        let mut probe = breaker.admit(one(), again).ok().unwrap();
        probe.speaks();
        probe.succeeded();
        assert_eq!(breaker.admit(one(), again).ok().unwrap().failed(Sign::OfServer, again, EVEN), None);
    }

    #[test]
    fn what_was_asked_before_it_opened_says_nothing_of_now() {
        let now = Instant::now();
        let breaker = Breaker::new();
        let [early, late] = [(); 2].map(|()| breaker.admit(one(), now).ok().unwrap());
        breaker.admit(one(), now).ok().unwrap().overloaded(now, Duration::from_secs(9));
        early.succeeded();
        assert_eq!(breaker.state(now), UpstreamState::Open);
        for _ in 0..9 {
            breaker.lock().failures = 9;
        }
        assert_eq!(late.failed(Sign::OfServer, now, EVEN), None);
        assert_eq!(breaker.admit(one(), now).err(), Some(Duration::from_secs(9)));
    }

    #[test]
    fn what_may_be_the_question_closes_it_for_who_asks_that_and_for_all_where_several_do() {
        let now = Instant::now();
        let user = |n: u8| UserId::from_bytes([n; 16]);
        let fails = |breaker: &Breaker, n: u8, at: Instant| {
            breaker.admit(user(n), at).ok().unwrap().failed(Sign::OfEither, at, EVEN)
        };
        let breaker = Breaker::new();
        let rests: Vec<_> = (0..5).filter_map(|_| fails(&breaker, 1, now)).collect();
        assert_eq!(rests, [COOL_DOWN]);
        assert!(breaker.admit(user(1), now).is_err() && breaker.state(now) == UpstreamState::Open);
        breaker.admit(user(2), now).ok().unwrap().succeeded();
        assert!(breaker.admit(user(1), now).is_err(), "one that serves others still does not serve this");
        let later = at(now, 2000);
        assert_eq!(fails(&breaker, 1, later), Some(COOL_DOWN * 2), "their next try is a probe, and nobody else's");
        assert!(breaker.admit(user(1), later).is_err() && breaker.admit(user(2), later).is_ok());
        // It fails for others too.
        for (n, opens) in [(2, false), (3, false), (3, false), (2, true)] {
            assert_eq!(fails(&breaker, n, later).is_some(), opens, "{n}");
        }
        assert!((1..=4).all(|n| breaker.admit(user(n), later).is_err()), "for everybody");
    }
}
