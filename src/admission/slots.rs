//! Reply slots: so many replies at once as the backend bears, and a short queue that is fair by user.
//!
//! A slot that comes free goes straight to whoever is next, so none is ever free while somebody waits who may have it,
//! and a newcomer can't overtake the queue. No user has more than half of the slots, so that whoever comes next finds
//! some, unless nobody else has come for a while. Where the limit falls, nothing is taken away: nobody gets a slot until
//! enough are back.
//!
//! No timer closes the limit's windows; every call passes the time. Nobody waits for ever for that: whoever waits, waits
//! for replies that are being made, there is one at least, and its end is such a call. A limit that could have risen
//! since the last call is found then, some milliseconds later than a timer would find it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::limit::Limit;
use crate::{config::ConcurrencyConfig, id::UserId, metrics::Histogram};

/// A user is alone when nobody else has asked for this long.
const ALONE_AFTER: Duration = Duration::from_mins(1);

/// No slot came free in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no reply slot came free in time")]
pub struct Overloaded {
    /// How long to wait before another try.
    pub retry_after: Duration,
}

/// All slots.
#[derive(Clone)]
pub struct Slots {
    shared: Arc<Shared>,
}

/// The right to make one reply; given back when dropped.
#[must_use]
pub struct Slot {
    slots: Slots,
    user: UserId,
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauges {
    /// Slots that may be held at once, as of now.
    pub limit: usize,
    /// Slots that are held; more than `limit` for a while after it fell.
    pub held: usize,
    /// Turns that wait for a slot.
    pub waiting: usize,
}

/// The wait for one reply's first token. Dropped without a word of how it ended, it counts for nothing.
#[must_use]
pub struct Measure {
    slots: Slots,
    /// The limit's number for it.
    number: u64,
}

struct Shared {
    /// Guards who has and who waits.
    state: Mutex<State>,
    /// How often [`Overloaded`] was the answer; spreads the times to come back.
    refused: AtomicU64,
    /// How long turns waited for a slot that they got, those that had one at once too.
    waits: Histogram,
}

struct State {
    /// How many slots there are, just now.
    limit: Limit,
    /// How many may wait for one, and how long.
    queue_max: usize,
    queue_timeout: Duration,
    /// Slots that somebody has. No fewer than the limit while somebody waits who is below the share.
    held: usize,
    /// How many of them each user has; never 0.
    holders: HashMap<UserId, usize>,
    /// Those who wait before all others, oldest first: no more than the turns that a crash left open, and those were
    /// admitted before it.
    first: VecDeque<Waiter>,
    /// All waiters of all users.
    waiting: usize,
    /// The users who wait, each once, in the order in which they get the next slots.
    turns: VecDeque<UserId>,
    /// Each waiting user's waiters, oldest first; never an empty line.
    lines: HashMap<UserId, VecDeque<Waiter>>,
    /// The next waiter's number.
    next: u64,
    /// The last two users who asked, each with the last time, newest first.
    lately: [Option<(UserId, Instant)>; 2],
    /// When that was looked at last.
    now: Instant,
}

struct Waiter {
    user: UserId,
    number: u64,
    /// Its message is stored: it can't be sent away.
    stays: bool,
    /// Told once a slot is the waiter's; dropped where the waiter has to go.
    granted: oneshot::Sender<()>,
}

/// A place in the queue, left when dropped.
struct Place {
    slots: Slots,
    user: UserId,
    /// The waiter's.
    number: u64,
    granted: oneshot::Receiver<()>,
}

impl Slots {
    /// `config.max` slots, one at least; later as many as the measured waits speak for, between `min` and `max`.
    #[must_use]
    pub fn new(config: &ConcurrencyConfig) -> Self {
        let now = Instant::now();
        let state = State {
            limit: Limit::new(config.min, config.max, now),
            queue_max: config.queue,
            queue_timeout: config.queue_timeout,
            held: 0,
            holders: HashMap::new(),
            first: VecDeque::new(),
            waiting: 0,
            turns: VecDeque::new(),
            lines: HashMap::new(),
            next: 0,
            lately: [None; 2],
            now,
        };
        let shared = Shared { state: Mutex::new(state), refused: AtomicU64::new(0), waits: Histogram::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Other bounds from now on. What is held stays held, and who waits goes on waiting as long as was said.
    pub fn reconfigure(&self, config: &ConcurrencyConfig) {
        let mut state = self.now();
        state.limit.set_bounds(config.min, config.max);
        (state.queue_max, state.queue_timeout) = (config.queue, config.queue_timeout);
        state.pass(Instant::now()); // Slots that there are now go to who waits.
    }

    /// Takes a slot, after a short wait where none is free. Dropping the future leaves the queue.
    ///
    /// Waiting users get slots in turn, one each, whatever number of waiters each has; a user's own waiters in the
    /// order they came. A user who has half of the slots (rounded up) waits too, and is passed over; one who is alone
    /// may have all. Where the queue is full of one user's waiters, the newest of them makes room for another user.
    ///
    /// # Errors
    /// [`Overloaded`] at once where the queue is full, or when the wait is over.
    pub async fn acquire(&self, user: UserId) -> Result<Slot, Overloaded> {
        let Some(mut place) = self.enter(user)? else {
            self.shared.waits.record(Duration::ZERO);
            return Ok(self.slot(user));
        };
        let (queue_timeout, begun) = (self.lock().queue_timeout, Instant::now());
        match tokio::time::timeout(queue_timeout, &mut place.granted).await {
            Ok(Ok(())) => {
                self.shared.waits.record(begun.elapsed());
                Ok(self.slot(user)) // The place has none to pass on any more.
            }
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    /// Takes a slot before everyone else who waits, however long that takes: for turns that a crash left open. No share
    /// bounds it, but what it takes counts in the user's. Dropping the future leaves the queue.
    pub async fn acquire_first(&self, user: UserId) -> Slot {
        while let Some(mut place) = self.enter_first(user) {
            if (&mut place.granted).await.is_ok() {
                break;
            } // No one is sent away from this line, so it does not come to another round.
        }
        self.slot(user)
    }

    /// Takes a slot in the user's turn, however long that takes: for a turn that was let in before, and whose session has
    /// given its slot to others. Dropping the future leaves the queue.
    pub async fn acquire_again(&self, user: UserId) -> Slot {
        loop {
            let Some(mut place) = self.enter_again(user) else { return self.slot(user) };
            if (&mut place.granted).await.is_ok() {
                return self.slot(user);
            } // Who stays is not sent away, so it does not come to another round.
        }
    }

    /// Whether others wait for a slot, or there are fewer than are held: who can do without one should give it back.
    #[must_use]
    pub fn are_wanted(&self) -> bool {
        let state = self.now();
        state.waiting > 0 || !state.first.is_empty() || state.held > state.limit.get()
    }

    /// How many slots there are, are held and are waited for. That says nothing of what the next call is answered.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let state = self.now();
        Gauges { limit: state.limit.get(), held: state.held, waiting: state.waiting + state.first.len() }
    }

    /// How long new turns waited for the slot that they got; 0 for those that had one at once.
    #[must_use]
    pub fn waits(&self) -> &Histogram {
        &self.shared.waits
    }

    /// A reply is asked for now: its first token's wait moves the limit, and so does a wait that does not end.
    pub fn measure(&self) -> Measure {
        let number = self.now().limit.ask();
        Measure { slots: self.clone(), number }
    }

    /// Takes a free slot (then there is no place to wait in), or else a place in the queue.
    fn enter(&self, user: UserId) -> Result<Option<Place>, Overloaded> {
        let mut state = self.now();
        state.asks(user);
        // Where a slot is free still, nobody waits who may have it.
        if state.held < state.limit.get() && state.below_share(user) {
            state.take(user);
            return Ok(None);
        }
        if state.waiting >= state.queue_max && !state.make_room(user) {
            drop(state);
            return Err(self.overloaded());
        }
        let (granted, told) = oneshot::channel();
        let number = state.push(user, granted, false);
        Ok(Some(Place { slots: self.clone(), user, number, granted: told }))
    }

    /// The same for who can't be refused.
    fn enter_again(&self, user: UserId) -> Option<Place> {
        let mut state = self.now();
        if state.held < state.limit.get() && state.below_share(user) {
            state.take(user);
            return None;
        }
        let (granted, told) = oneshot::channel();
        let number = state.push(user, granted, true);
        Some(Place { slots: self.clone(), user, number, granted: told })
    }

    /// The same for who comes before all others.
    fn enter_first(&self, user: UserId) -> Option<Place> {
        let mut state = self.now();
        if state.held < state.limit.get() {
            state.take(user);
            return None;
        }
        let (granted, told) = oneshot::channel();
        let number = state.number();
        state.first.push_back(Waiter { user, number, stays: true, granted });
        Some(Place { slots: self.clone(), user, number, granted: told })
    }

    /// The slot that `user` was given in the state.
    fn slot(&self, user: UserId) -> Slot {
        Slot { slots: self.clone(), user }
    }

    /// One second or two, in turn, so that not all come back at once; whole seconds are what `Retry-After` can say.
    fn overloaded(&self) -> Overloaded {
        let refused = self.shared.refused.fetch_add(1, Ordering::Relaxed);
        Overloaded { retry_after: Duration::from_secs(1 + refused % 2) }
    }

    /// The state as of now: what the time that has passed does to the limit is done.
    fn now(&self) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        state.pass(Instant::now()); // Read under the lock, so that it never goes back.
        state
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.now().give_back(self.user);
    }
}

impl Measure {
    /// The first token is here.
    pub fn first_token(self) {
        self.slots.now().limit.first_token(self.number);
    }

    /// The backend said that it was overloaded (429, 503), or nothing in time.
    pub fn overloaded(self) {
        self.slots.now().limit.overloaded(self.number);
    }
}

impl Drop for Measure {
    fn drop(&mut self) {
        self.slots.now().limit.forget(self.number); // Nothing where it has ended already.
    }
}

impl Drop for Place {
    /// Leaves the queue, and passes a slot on that came too late.
    ///
    /// Who is taken out of the queue is told so under the same lock, so the answer here can't change any more. A slot
    /// that `acquire` has received is gone from the channel, and stays with it.
    fn drop(&mut self) {
        let mut state = self.slots.now();
        if !state.remove(self.user, self.number) && self.granted.try_recv().is_ok() {
            state.give_back(self.user);
        }
    }
}

impl State {
    fn push(&mut self, user: UserId, granted: oneshot::Sender<()>, stays: bool) -> u64 {
        let number = self.number();
        self.waiting += 1;
        let line = self.lines.entry(user).or_default();
        if line.is_empty() {
            self.turns.push_back(user);
        }
        line.push_back(Waiter { user, number, stays, granted });
        number
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// It is `now`: the limit may have moved, and where it rose, who waits gets what is new.
    fn pass(&mut self, now: Instant) {
        self.now = now;
        self.limit.pass(now, self.held);
        self.grant();
    }

    fn asks(&mut self, user: UserId) {
        let [newest, _] = self.lately;
        if newest.is_some_and(|(other, _)| other != user) {
            self.lately[1] = newest;
        }
        self.lately[0] = Some((user, self.now));
    }

    /// Whether the user has less than half of the slots, rounded up, or is alone.
    fn below_share(&self, user: UserId) -> bool {
        let others = self.lately.iter().flatten().filter(|(other, _)| *other != user);
        let alone = others.map(|(_, at)| self.now.saturating_duration_since(*at)).all(|ago| ago >= ALONE_AFTER);
        alone || self.holders.get(&user).is_none_or(|&held| held < self.limit.get().div_ceil(2))
    }

    fn take(&mut self, user: UserId) {
        self.held += 1;
        *self.holders.entry(user).or_default() += 1;
    }

    /// Takes a slot back, for whoever is next.
    fn give_back(&mut self, user: UserId) {
        self.held -= 1;
        if let Some(held) = self.holders.get_mut(&user) {
            *held -= 1;
            if *held == 0 {
                self.holders.remove(&user);
            }
        }
        self.grant();
    }

    /// Hands every slot there is to who is next.
    fn grant(&mut self) {
        while self.held < self.limit.get() {
            let Some(waiter) = self.first.pop_front().or_else(|| self.pop()) else { return };
            self.take(waiter.user);
            // A receiver leaves the queue before it goes, so it is there to be told.
            let _ = waiter.granted.send(());
        }
    }

    /// Takes the oldest waiter of the next user below the share out of the queue.
    ///
    /// While a slot is free, two users can't both have half of them: whoever is next is the first in turn or the second.
    fn pop(&mut self) -> Option<Waiter> {
        let at = self.turns.iter().position(|&user| self.below_share(user))?;
        let user = self.turns.remove(at)?;
        let line = self.lines.get_mut(&user)?;
        let waiter = line.pop_front()?;
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&user);
        } else {
            self.turns.push_back(user);
        }
        Some(waiter)
    }

    /// Sends the newest waiter of the user with most of them away, if `user` would still have fewer with one more.
    ///
    /// It looks at every waiting user: of the 256 waiters that a queue is meant for, that takes microseconds.
    fn make_room(&mut self, user: UserId) -> bool {
        let own = self.lines.get(&user).map_or(0, VecDeque::len);
        let Some((&crowd, line)) = self.lines.iter().max_by_key(|(_, line)| line.len()) else { return false };
        if line.len() <= own + 1 {
            return false;
        }
        let newest = line.iter().rev().find(|waiter| !waiter.stays).map(|waiter| waiter.number);
        newest.is_some_and(|number| self.remove(crowd, number))
    }

    /// Takes a waiter out of the queue; false where it is not there.
    fn remove(&mut self, user: UserId, number: u64) -> bool {
        if let Some(at) = self.first.iter().position(|waiter| waiter.number == number) {
            self.first.remove(at);
            return true;
        }
        let Some(line) = self.lines.get_mut(&user) else { return false };
        let Some(at) = line.iter().position(|waiter| waiter.number == number) else { return false };
        line.remove(at);
        self.waiting -= 1;
        if line.is_empty() {
            self.lines.remove(&user);
            self.turns.retain(|&turn| turn != user);
        }
        true
    }
}

#[cfg(test)]
mod tests;
