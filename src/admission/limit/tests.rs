//! The limit in virtual time, against backends that a formula describes.

use super::*;

/// One step of the simulation.
const TICK: Duration = Duration::from_millis(10);

/// A backend under more demand than it can take, or under as much as `demand` says.
struct Run {
    limit: Limit,
    start: Instant,
    now: Instant,
    /// When each open reply was asked for, its number, and when its first token comes.
    open: Vec<(u64, Instant)>,
    /// Replies at once that are wanted.
    demand: usize,
    /// The state of a generator of uniform numbers.
    random: u64,
}

impl Run {
    fn new(min: usize, max: usize) -> Self {
        let start = Instant::now();
        Self { limit: Limit::new(min, max, start), start, now: start, open: Vec::new(), demand: 10_000, random: 1 }
    }

    /// Goes on for `seconds`; a first token comes after what `wait` makes of the replies at once and of a number in
    /// 0..1. The limit at the end of each second.
    fn go(&mut self, seconds: u32, mut wait: impl FnMut(f64, f64) -> f64) -> Vec<usize> {
        (0..seconds).map(|_| self.second(&mut wait)).collect()
    }

    fn second(&mut self, wait: &mut impl FnMut(f64, f64) -> f64) -> usize {
        for _ in 0..100 {
            self.now += TICK;
            self.limit.pass(self.now, self.open.len());
            let (now, limit) = (self.now, &mut self.limit);
            self.open.retain(|&(number, due)| {
                if due <= now {
                    limit.first_token(number);
                }
                due > now
            });
            while self.open.len() < self.limit.get().min(self.demand) {
                let seconds = wait(float(self.open.len() + 1), self.uniform());
                self.open.push((self.limit.ask(), self.now + Duration::from_secs_f64(seconds)));
            }
            let limit = self.limit.value;
            assert!((self.limit.min..=self.limit.max).contains(&limit), "{limit} at {:?}", self.now - self.start);
        }
        self.limit.get()
    }

    /// The next number in 0..1: xorshift64* (Vigna 2016), so that every run is the same.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = u32::try_from(self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32).unwrap();
        f64::from(high) / 4_294_967_296.0
    }
}

/// The least and the most.
fn range(limits: &[usize]) -> (usize, usize) {
    (*limits.iter().min().unwrap(), *limits.iter().max().unwrap())
}

fn fast(_: f64, _: f64) -> f64 {
    0.05
}

fn slow(_: f64, _: f64) -> f64 {
    5.0
}

/// A backend that makes 16 replies at once and lets the others wait.
fn sixteen(at_once: f64, _: f64) -> f64 {
    0.2 * (at_once / 16.0).max(1.0)
}

#[test]
fn constant_waits_never_brake_whatever_the_load() {
    for seconds in [0.01, 0.05, 0.7, 5.0, 30.0] {
        for demand in [1, 10, 64, 1000] {
            let mut run = Run::new(1, 64);
            run.demand = demand;
            assert_eq!(range(&run.go(120, |_, _| seconds)), (64, 64), "{seconds} s, {demand} wanted");
        }
    }
}

#[test]
fn a_slow_backend_brakes_within_ten_seconds_and_a_fast_one_releases_within_ten() {
    for max in [8, 16, 64, 200, 1000] {
        let mut run = Run::new(1, max);
        assert_eq!(range(&run.go(60, fast)), (max, max));
        let falls = run.go(30, slow);
        assert!(*falls[9..].iter().max().unwrap() <= max / 4, "{max}: {falls:?}");
        let rises = run.go(30, fast);
        assert!(*rises[9..].iter().min().unwrap() >= max * 3 / 4, "{max}: {rises:?}");
    }
}

#[test]
fn waits_that_swing_for_minutes_neither_break_the_bounds_nor_leave_the_brake_on() {
    let mut run = Run::new(4, 64);
    for _ in 0..5 {
        let quick = run.go(30, fast);
        assert!(*quick[15..].iter().min().unwrap() >= 48, "{quick:?}");
        let slowed = run.go(30, slow);
        assert!(*slowed.last().unwrap() <= 32, "{slowed:?}");
    }
    assert_eq!(run.go(30, fast).last(), Some(&64));
}

#[test]
fn a_backend_with_a_bound_of_its_own_is_held_near_it() {
    for max in [64, 256] {
        let mut run = Run::new(4, max);
        run.demand = 8; // What is usual, it learns from quieter hours.
        assert_eq!(range(&run.go(60, sixteen)), (max, max));
        run.demand = 10_000;
        let limits = run.go(600, sixteen);
        let (least, most) = range(&limits[20..]);
        let middle = usize::midpoint(least, most);
        assert!(4 * (most - middle) <= middle, "{least} to {most}");
        assert!(most <= 80, "{most}");
    }
}

#[test]
fn an_uneven_but_healthy_backend_is_not_braked() {
    for (max, least) in [(8, 7), (16, 14), (64, 60)] {
        for demand in [1, max / 2, max] {
            let mut run = Run::new(1, max);
            run.demand = demand;
            let limits = run.go(300, |_, random| 0.3 + 2.7 * random);
            assert!(range(&limits).0 >= least, "{max}, {demand}: {limits:?}");
        }
    }
}

#[test]
fn a_new_normal_is_accepted_within_minutes() {
    for slower in [0.25, 0.8, 2.5] {
        let mut run = Run::new(4, 64);
        run.go(60, |_, _| 0.1);
        let limits = run.go(780, |_, _| slower);
        assert!(*limits[..60].iter().min().unwrap() < 64);
        assert!(limits[300] >= 16, "{limits:?}");
        assert!(*limits.last().unwrap() >= 60, "{limits:?}");
    }
}

/// A limit of 64 with a usual wait of 100 ms, and how it goes on: each step is ms since the start, and replies at once.
fn braked() -> (Limit, impl Fn(&mut Limit, u64, usize)) {
    let start = Instant::now();
    let pass = move |limit: &mut Limit, ms, held| limit.pass(start + Duration::from_millis(ms), held);
    let mut limit = Limit::new(4, 64, start);
    let number = limit.ask();
    pass(&mut limit, 100, 1);
    limit.first_token(number);
    pass(&mut limit, 500, 1);
    (limit, pass)
}

#[test]
fn a_stall_is_seen_before_it_ends_and_at_once_after_a_long_silence() {
    let (mut limit, pass) = braked();
    limit.ask();
    pass(&mut limit, 1_000, 64);
    assert_eq!(limit.get(), 32);
    pass(&mut limit, 3_600_000, 64);
    assert_eq!(limit.get(), 4);
    assert_eq!(limit.window.begin + WINDOW, limit.now + WINDOW);
}

#[test]
fn waits_under_a_tenth_of_a_second_are_no_congestion() {
    let mut run = Run::new(1, 64);
    run.go(30, |_, _| 0.001);
    assert_eq!(range(&run.go(10, |_, _| 0.09)), (64, 64));
    assert!(range(&run.go(10, |_, _| 0.4)).0 < 32);
}

#[test]
fn a_reply_that_hangs_among_healthy_ones_does_not_brake() {
    let mut run = Run::new(1, 16);
    run.go(30, |_, _| 0.5);
    run.limit.ask(); // Never answered.
    assert_eq!(range(&run.go(120, |_, _| 0.5)), (16, 16));
}

#[test]
fn a_stall_that_few_wait_for_does_not_lower_what_they_do_not_use() {
    let (mut limit, pass) = braked();
    limit.ask();
    pass(&mut limit, 60_000, 31);
    assert_eq!(limit.get(), 64);
    pass(&mut limit, 60_500, 32);
    assert_eq!(limit.get(), 32);
}

#[test]
fn a_window_without_anything_in_it_changes_nothing() {
    let (mut limit, pass) = braked();
    let hung = limit.ask();
    pass(&mut limit, 1_000, 64);
    limit.forget(hung);
    let young = limit.ask();
    pass(&mut limit, 1_050, 64);
    limit.forget(young);
    pass(&mut limit, 600_000, 64);
    assert_eq!((limit.get(), limit.waits()), (32, 0));
}

#[test]
fn a_brake_is_released_also_by_a_load_that_does_not_need_it() {
    let mut run = Run::new(4, 64);
    run.go(30, fast);
    assert_eq!(run.go(10, slow).last(), Some(&4));
    run.demand = 1;
    assert_eq!(run.go(15, fast).last(), Some(&64));
}

#[test]
fn a_backend_that_refuses_what_is_too_much_gets_about_what_it_takes() {
    let (mut limit, pass) = braked();
    let mut limits = Vec::new();
    for window in 1..240 {
        let asked: Vec<_> = (0..limit.get()).map(|_| limit.ask()).collect();
        pass(&mut limit, 500 * window + 100, asked.len());
        for (at, &number) in asked.iter().enumerate() {
            if at < 16 { limit.first_token(number) } else { limit.overloaded(number) }
        }
        pass(&mut limit, 500 * (window + 1), asked.len());
        limits.push(limit.get());
    }
    let (least, most) = range(&limits[20..]);
    assert!(least >= 12 && most <= 25, "{least} to {most}");
}
