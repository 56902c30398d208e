//! How many replies at once the backend bears just now, from how long first tokens take.
//!
//! A first token's wait shows queueing at the model; a whole reply's time shows mostly how much was said. The rule is
//! a gradient in the manner of `Gradient2Limit` of Netflix's concurrency-limits
//! (<https://github.com/Netflix/concurrency-limits>): the wait of the last moment is compared with the usual one, and the
//! limit is multiplied by what they differ beyond a tolerance, plus a headroom of its square root. The limit is a brake
//! under the operator's maximum: it begins there, and returns there when nothing speaks against it.
//!
//! It knows no users, no locks and no clock: time is passed in and never goes back.

use std::{
    collections::BTreeMap,
    mem,
    time::{Duration, Instant},
};

/// The limit moves once in each.
const WINDOW: Duration = Duration::from_millis(500);

/// Windows that one call catches up on at most: a minute. By then a stall has braked all it can.
const CATCH_UP_MAX: u32 = 120;

/// Waits up to this many times the usual are no congestion: models are that uneven.
const TOLERANCE: f64 = 2.0;

/// The least gradient: one window's evidence at most halves the limit.
const GRADIENT_MIN: f64 = 0.5;

/// The gradient, at most, of a window in which the backend said that it was overloaded.
const GRADIENT_REFUSED: f64 = 0.8;

/// The limit's growth in a window whose waits were no longer than usual, beside the headroom. With the headroom alone a
/// limit in the thousands would need minutes to come back.
const GROWTH: f64 = 1.25;

/// Seconds. The usual wait counts as this long at least, so waits under `TOLERANCE` times this are never congestion:
/// nobody feels them, and their relative noise is great.
const USUAL_MIN: f64 = 0.05;

/// One wait counts as so many times the usual one at most: the gradient is at its least there, so that more says
/// nothing, and one reply that hangs must not outweigh all the others.
const WAIT_MAX: f64 = TOLERANCE / GRADIENT_MIN;

/// The weight of one window in the usual wait where few replies are made at once: a half-life of 120 windows, a minute.
/// `1 - 2^(-1/120)`.
const LEARNED: f64 = 0.005_759;

/// The same where many are made at once: a half-life of an hour, `1 - 2^(-1/7200)`. There the wait may be of our own
/// making; learned at the full rate, it lifts the brake that it calls for within half a minute.
const LEARNED_CROWDED: f64 = 0.000_096_3;

/// More replies at once than this part of the maximum are many.
const CROWD: f64 = 0.25;

/// Of so many windows first the usual wait is the plain mean.
const WARM_UP: u32 = 20;

/// The usual wait's factor in a window whose wait was less than half of it: what is faster again is believed sooner
/// than what is slower.
const FALL: f64 = 0.9;

/// Waits that a window needs before [`FALL`] applies: a few quick ones between slow ones are chance.
const FALL_COUNT_MIN: u32 = 4;

/// The state of the rule.
pub(super) struct Limit {
    /// At least 1 and at most `max`.
    min: f64,
    max: f64,
    /// Between `min` and `max`; whole only for those who ask.
    value: f64,
    /// Seconds: the usual wait. None before the first one has ended.
    long: Option<f64>,
    /// Windows that `long` has learned from, up to [`WARM_UP`].
    learned: u32,
    /// The time that was passed last.
    now: Instant,
    /// When each of those that still wait began to, in the order in which they did.
    asked: BTreeMap<u64, Instant>,
    /// The next number in `asked`.
    next: u64,
    window: Window,
}

/// What is known of the window that is not over.
struct Window {
    begin: Instant,
    /// Seconds: the sum of the waits that ended in it, each bounded by [`WAIT_MAX`].
    waits: f64,
    /// How many they are.
    count: u32,
    /// Most replies at once.
    held: usize,
    /// Whether the backend said that it was overloaded.
    refused: bool,
}

impl Window {
    fn new(begin: Instant, held: usize) -> Self {
        Self { begin, waits: 0.0, count: 0, held, refused: false }
    }
}

impl Limit {
    /// A limit that begins at `max`; both bounds are taken as 1 at least.
    pub(super) fn new(min: usize, max: usize, now: Instant) -> Self {
        let max = float(max).max(1.0);
        Self {
            min: float(min).clamp(1.0, max),
            max,
            value: max,
            long: None,
            learned: 0,
            now,
            asked: BTreeMap::new(),
            next: 0,
            window: Window::new(now, 0),
        }
    }

    /// Other bounds, each taken as 1 at least. Where the limit stood at its maximum, or the new one is below it, it goes
    /// with the maximum.
    pub(super) fn set_bounds(&mut self, min: usize, max: usize) {
        let was_at_max = self.value >= self.max;
        self.max = float(max).max(1.0);
        self.min = float(min).clamp(1.0, self.max);
        self.value = if was_at_max { self.max } else { self.value.clamp(self.min, self.max) };
    }

    /// Replies that may be made at once; 1 at least.
    pub(super) fn get(&self) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a u32")]
        let whole = self.value.round() as usize;
        whole
    }

    /// It is `now`, and `held` replies were being made since the last call. Comes before every other call, so that
    /// what is told there falls into the right window.
    pub(super) fn pass(&mut self, now: Instant, held: usize) {
        self.now = now;
        self.window.held = self.window.held.max(held);
        let over = now.saturating_duration_since(self.window.begin).as_nanos() / WINDOW.as_nanos();
        let over = u32::try_from(over).unwrap_or(u32::MAX);
        let begin = self.window.begin + WINDOW * over;
        for _ in 0..over.min(CATCH_UP_MAX) {
            self.close(held);
            if self.asked.is_empty() {
                break; // Nothing can have happened in the later ones.
            }
        }
        self.window.begin = begin;
    }

    /// A first token is waited for from now on; the number names the wait.
    pub(super) fn ask(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.asked.insert(number, self.now);
        number
    }

    /// The wait is over: the first token is here.
    pub(super) fn first_token(&mut self, number: u64) {
        let Some(asked) = self.asked.remove(&number) else { return };
        self.window.waits += self.counted(self.now.saturating_duration_since(asked));
        self.window.count += 1;
    }

    /// The wait is over: the backend said that it was overloaded, or nothing in time. How long that took says nothing.
    pub(super) fn overloaded(&mut self, number: u64) {
        self.window.refused |= self.asked.remove(&number).is_some();
    }

    /// The wait is over, and counts for nothing. It may have ended before.
    pub(super) fn forget(&mut self, number: u64) {
        self.asked.remove(&number);
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn waits(&self) -> usize {
        self.asked.len()
    }

    /// Seconds: the usual wait.
    fn usual(&self) -> Option<f64> {
        self.long.map(|long| long.max(USUAL_MIN))
    }

    /// Seconds of a wait that count.
    fn counted(&self, wait: Duration) -> f64 {
        let wait = wait.as_secs_f64();
        self.usual().map_or(wait, |usual| wait.min(WAIT_MAX * usual))
    }

    /// Ends the window, and moves the limit by what happened in it.
    fn close(&mut self, held: usize) {
        let end = self.window.begin + WINDOW;
        let window = mem::replace(&mut self.window, Window::new(end, held));
        let short = self.short(&window, end);
        if let Some(short) = short
            && window.count > 0
        {
            self.learn(short, &window);
        }
        if let Some(next) = self.next(short, &window) {
            self.value = next.clamp(self.min, self.max);
        }
    }

    /// Seconds: the mean of the waits that ended in the window and of those that last longer than usual already, so
    /// that a stall is seen before it ends. None where there is neither.
    fn short(&self, window: &Window, end: Instant) -> Option<f64> {
        let count = f64::from(window.count);
        let usual = self.usual().or_else(|| (window.count > 0).then(|| window.waits / count))?;
        let ages = self.asked.values().map(|&asked| end.saturating_duration_since(asked));
        let late = ages.take_while(|age| age.as_secs_f64() > usual); // The oldest come first.
        let (sum, count) = late.fold((window.waits, count), |(sum, count), age| (sum + self.counted(age), count + 1.0));
        (count > 0.0).then(|| sum / count)
    }

    fn learn(&mut self, short: f64, window: &Window) {
        self.learned = (self.learned + 1).min(WARM_UP);
        let long = self.long.unwrap_or(short);
        let weight = if self.learned < WARM_UP {
            1.0 / f64::from(self.learned)
        } else if float(window.held) > CROWD * self.max {
            LEARNED_CROWDED
        } else {
            LEARNED
        };
        let fell = window.count >= FALL_COUNT_MIN && long > TOLERANCE * short;
        self.long = Some(if fell { long * FALL } else { long + weight * (short - long) });
    }

    /// The next limit; none where it stays.
    ///
    /// `limit * gradient + sqrt(limit)`, with the gradient `TOLERANCE * usual / short` between [`GRADIENT_MIN`] and 1.
    /// There is no headroom where the gradient is at its least, nor after the backend's own word: with headroom
    /// `limit / 2 + sqrt(limit)` never comes below 4, and `0.8 * limit + sqrt(limit)` never below 25.
    ///
    /// Between the extremes, a step is the smaller the longer the waits are compared with a window: what a step does
    /// shows only after such a wait, and full steps until then swing the limit up and down by half.
    ///
    /// The limit grows also while it is not used up: a brake that stays on after a hiccup refuses the next burst. It
    /// falls only while half of it is used: fewer did not make the queue that they wait in, and a lower limit would
    /// not spare them anything.
    fn next(&self, short: Option<f64>, window: &Window) -> Option<f64> {
        let seen = short.zip(self.usual()).map(|(short, usual)| (short, TOLERANCE * usual / short));
        if window.refused {
            let gradient = seen.map_or(GRADIENT_REFUSED, |(_, gradient)| gradient);
            return Some(self.value * gradient.clamp(GRADIENT_MIN, GRADIENT_REFUSED));
        }
        let (short, gradient) = seen?;
        let next = if gradient <= GRADIENT_MIN {
            self.value * GRADIENT_MIN
        } else if gradient >= TOLERANCE {
            self.value * GROWTH + self.value.sqrt()
        } else {
            let step = self.value * (gradient.min(1.0) - 1.0) + self.value.sqrt();
            self.value + step * (WINDOW.as_secs_f64() / short).min(1.0)
        };
        let used = 2.0 * float(window.held) >= self.value;
        (used || next > self.value).then_some(next)
    }
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

#[cfg(test)]
mod tests;
