//! When steps begin, by a timer that is exact to some microseconds: the runtime's own rounds up to a millisecond.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime, timerfd_create,
    timerfd_settime,
};
use tokio::{io::unix::AsyncFd, sync::Notify};
use tokio_util::sync::CancellationToken;

use super::{bench::Bench, random::Random};

/// How often the load test looks how late it is itself.
const PROBE: Duration = Duration::from_millis(10);

/// A timer of its own.
pub(super) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    #[expect(deprecated, reason = "its successor is unsafe; what is registered here owns its descriptor for as long")]
    pub(super) fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::new(timer)?))
    }

    /// Waits until then.
    pub(super) async fn until(&mut self, then: Instant) -> io::Result<()> {
        let wait = then.saturating_duration_since(Instant::now());
        if wait.is_zero() {
            return Ok(());
        }
        let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: seconds, tv_nsec: i64::from(wait.subsec_nanos()) },
        };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // Anything else was no event of this time.
            if let Ok(read) = ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut [0; 8])?)) {
                return read.map(|_| ());
            }
        }
    }
}

/// Steps that are due and that nobody has begun.
#[derive(Default)]
pub(super) struct Due {
    waiting: RefCell<VecDeque<Instant>>,
    news: Notify,
    /// Users who wait for a step.
    idle: Cell<usize>,
    /// No more come.
    pub(super) end: CancellationToken,
}

impl Due {
    /// The next step; waits for it. Nothing once all have been begun and no more come.
    async fn next(&self) -> Option<Instant> {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            if next.is_some() {
                return next;
            }
            self.idle.set(self.idle.get() + 1);
            let more = tokio::select! {
                biased;
                () = self.news.notified() => true,
                () = self.end.cancelled() => false,
            };
            self.idle.set(self.idle.get() - 1);
            if !more && self.waiting.borrow().is_empty() {
                return None;
            }
        }
    }

    /// Whether a step that is due now has to wait until somebody has time.
    fn all_are_busy(&self) -> bool {
        self.waiting.borrow().len() >= self.idle.get()
    }
}

/// How one user's steps follow each other.
pub(super) enum Pace {
    /// When they are due, whoever begins them.
    Open(Rc<Due>),
    /// After a time of thinking, the first one after `start`.
    Closed {
        /// How long to wait before the first step.
        start: Duration,
        /// About how long to think.
        think: Duration,
        /// Whether the first step was begun.
        begun: bool,
    },
}

impl Pace {
    /// When the next step is due; nothing where the run is over.
    pub(super) async fn next(&mut self, bench: &Bench, random: &mut Random) -> Option<Instant> {
        match self {
            Self::Open(due) => due.next().await,
            Self::Closed { start, think, begun } => {
                let wait = if std::mem::replace(begun, true) { random.around(*think) } else { *start };
                if !wait.is_zero() {
                    let until = bench.until.get().unwrap_or_else(Instant::now);
                    tokio::time::sleep_until((Instant::now() + wait).min(until).into()).await;
                }
                (!bench.is_over()).then(Instant::now)
            }
        }
    }
}

/// Makes so many steps due in each second, until the run is over.
pub(super) async fn steps(bench: Rc<Bench>, due: Rc<Due>, rate: f64) -> io::Result<()> {
    let mut timer = Timer::new()?;
    let (begin, mut number) = (Instant::now(), 0_u32);
    loop {
        let then = begin + Duration::from_secs_f64(f64::from(number) / rate);
        if bench.until.get().is_some_and(|until| then >= until) {
            return Ok(());
        }
        timer.until(then).await?;
        let counts = bench.from.get().is_some_and(|from| then >= from);
        if counts && due.all_are_busy() {
            bench.figures.borrow_mut().waited += 1;
        }
        due.waiting.borrow_mut().push_back(then);
        due.news.notify_one();
        number += 1;
        if number.is_multiple_of(64) {
            tokio::task::yield_now().await; // Where it is behind, the answers must not wait for it.
        }
    }
}

/// Measures how late this program is, whatever the server does.
pub(super) async fn lag(bench: Rc<Bench>) -> io::Result<()> {
    let mut timer = Timer::new()?;
    let mut then = Instant::now() + PROBE;
    loop {
        timer.until(then).await?;
        let late = then.elapsed();
        if bench.from.get().is_some_and(|from| then >= from) {
            bench.figures.borrow_mut().lag.saturating_record(super::figures::micros(late));
        }
        then = (then + PROBE).max(Instant::now());
    }
}

/// CPU time of this program so far.
pub(super) fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let [seconds, nanos] = [time.tv_sec, time.tv_nsec].map(|part| u64::try_from(part).unwrap_or(0));
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}
