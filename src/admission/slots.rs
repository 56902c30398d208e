//! Reply slots: so many replies at once, and a short queue that is fair by user.
//!
//! A slot that comes free goes straight to whoever is next, so none is ever free while somebody waits, and a newcomer
//! can't overtake the queue.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{config::ConcurrencyConfig, id::UserId};

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
}

struct Shared {
    /// Guards who has and who waits.
    state: Mutex<State>,
    queue_max: usize,
    queue_timeout: Duration,
    /// How often [`Overloaded`] was the answer; spreads the times to come back.
    refused: AtomicU64,
}

struct State {
    /// Slots that nobody has. None while somebody waits.
    free: usize,
    /// All waiters of all users.
    waiting: usize,
    /// The users who wait, each once, in the order in which they get the next slots.
    turns: VecDeque<UserId>,
    /// Each waiting user's waiters, oldest first; never an empty line.
    lines: HashMap<UserId, VecDeque<Waiter>>,
    /// The next waiter's number.
    next: u64,
}

struct Waiter {
    number: u64,
    /// Told once a slot is the waiter's; dropped where the waiter has to go.
    granted: oneshot::Sender<()>,
}

/// A place in the queue, left when dropped.
struct Place {
    slots: Slots,
    user: UserId,
    number: u64,
    granted: oneshot::Receiver<()>,
}

impl Slots {
    /// As many as `config.max` says, and one at least.
    #[must_use]
    pub fn new(config: &ConcurrencyConfig) -> Self {
        let state =
            State { free: config.max.max(1), waiting: 0, turns: VecDeque::new(), lines: HashMap::new(), next: 0 };
        let shared = Shared {
            state: Mutex::new(state),
            queue_max: config.queue,
            queue_timeout: config.queue_timeout,
            refused: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes a slot, after a short wait where none is free. Dropping the future leaves the queue.
    ///
    /// Waiting users get slots in turn, one each, whatever number of waiters each has; a user's own waiters in the
    /// order they came. Where the queue is full of one user's waiters, the newest of them makes room for another user.
    ///
    /// # Errors
    /// [`Overloaded`] at once where the queue is full, or when the wait is over.
    pub async fn acquire(&self, user: UserId) -> Result<Slot, Overloaded> {
        let Some(mut place) = self.enter(user)? else {
            return Ok(Slot { slots: self.clone() });
        };
        match tokio::time::timeout(self.shared.queue_timeout, &mut place.granted).await {
            Ok(Ok(())) => Ok(Slot { slots: self.clone() }), // The place has none to pass on any more.
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }

    /// Takes a free slot (then there is no place to wait in), or else a place in the queue.
    fn enter(&self, user: UserId) -> Result<Option<Place>, Overloaded> {
        let mut state = self.lock();
        if state.free > 0 {
            state.free -= 1;
            return Ok(None);
        }
        if state.waiting >= self.shared.queue_max && !state.make_room(user) {
            drop(state);
            return Err(self.overloaded());
        }
        let (granted, told) = oneshot::channel();
        let number = state.push(user, granted);
        Ok(Some(Place { slots: self.clone(), user, number, granted: told }))
    }

    /// One second or two, in turn, so that not all come back at once; whole seconds are what `Retry-After` can say.
    fn overloaded(&self) -> Overloaded {
        let refused = self.shared.refused.fetch_add(1, Ordering::Relaxed);
        Overloaded { retry_after: Duration::from_secs(1 + refused % 2) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under this lock.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().give_back();
    }
}

impl Drop for Place {
    /// Leaves the queue, and passes a slot on that came too late.
    ///
    /// Who is taken out of the queue is told so under the same lock, so the answer here can't change any more. A slot
    /// that `acquire` has received is gone from the channel, and stays with it.
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        if !state.remove(self.user, self.number) && self.granted.try_recv().is_ok() {
            state.give_back();
        }
    }
}

impl State {
    fn push(&mut self, user: UserId, granted: oneshot::Sender<()>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.waiting += 1;
        let line = self.lines.entry(user).or_default();
        if line.is_empty() {
            self.turns.push_back(user);
        }
        line.push_back(Waiter { number, granted });
        number
    }

    /// Hands a slot to the next user's oldest waiter; it is free where nobody waits.
    fn give_back(&mut self) {
        while let Some(user) = self.turns.pop_front() {
            let Some(line) = self.lines.get_mut(&user) else { continue };
            let waiter = line.pop_front();
            if line.is_empty() {
                self.lines.remove(&user);
            } else {
                self.turns.push_back(user);
            }
            if let Some(waiter) = waiter {
                self.waiting -= 1;
                // A receiver leaves the queue before it goes, so it is there to be told.
                let _ = waiter.granted.send(());
                return;
            }
        }
        self.free += 1;
    }

    /// Sends the newest waiter of the user with most of them away, if `user` would still have fewer with one more.
    fn make_room(&mut self, user: UserId) -> bool {
        let own = self.lines.get(&user).map_or(0, VecDeque::len);
        let Some((&crowd, line)) = self.lines.iter().max_by_key(|(_, line)| line.len()) else { return false };
        if line.len() <= own + 1 {
            return false;
        }
        let newest = line.back().map(|waiter| waiter.number);
        newest.is_some_and(|number| self.remove(crowd, number))
    }

    /// Takes a waiter out of the queue; false where it is not there.
    fn remove(&mut self, user: UserId, number: u64) -> bool {
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
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    type Acquire = Pin<Box<dyn Future<Output = Result<Slot, Overloaded>>>>;

    fn slots(max: usize, queue: usize) -> Slots {
        let queue_timeout = Duration::from_hours(24);
        Slots::new(&ConcurrencyConfig { min: 1, max, queue, queue_timeout })
    }

    fn acquire(slots: &Slots, user: UserId) -> Acquire {
        let slots = slots.clone();
        Box::pin(async move { slots.acquire(user).await })
    }

    /// A caller that has asked, and waits unless a slot was free.
    fn ask(slots: &Slots, user: UserId) -> Acquire {
        let mut acquire = acquire(slots, user);
        assert!(poll(&mut acquire).is_pending(), "no slot should be free");
        acquire
    }

    /// A caller that is refused at once.
    fn refused(slots: &Slots, user: UserId) -> Overloaded {
        match poll(&mut acquire(slots, user)) {
            Poll::Ready(Err(overloaded)) => overloaded,
            Poll::Ready(Ok(_)) | Poll::Pending => panic!("not refused"),
        }
    }

    fn poll(acquire: &mut Acquire) -> Poll<Result<Slot, Overloaded>> {
        acquire.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    fn granted(acquire: &mut Acquire) -> Option<Slot> {
        match poll(acquire) {
            Poll::Ready(Ok(slot)) => Some(slot),
            Poll::Ready(Err(_)) => panic!("refused"),
            Poll::Pending => None,
        }
    }

    /// Gives `slot` back again and again, and says in which order the waiters got it.
    fn order(slot: Slot, mut waiters: Vec<(char, Acquire)>) -> String {
        let (mut slot, mut order) = (Some(slot), String::new());
        while !waiters.is_empty() {
            drop(slot.take());
            let at = waiters.iter_mut().position(|(_, acquire)| {
                slot = granted(acquire);
                slot.is_some()
            });
            order.push(waiters.remove(at.expect("a slot that was given back goes to a waiter")).0);
        }
        order
    }

    #[tokio::test]
    async fn there_are_as_many_slots_as_configured_and_one_at_least() {
        let user = UserId::new();
        for (max, real) in [(0, 1), (1, 1), (3, 3)] {
            let slots = slots(max, 0);
            let mut held = Vec::new();
            while let Ok(slot) = slots.acquire(user).await {
                held.push(slot);
            }
            assert_eq!(held.len(), real);
            held.pop();
            assert!(slots.acquire(user).await.is_ok());
        }
    }

    #[tokio::test]
    async fn users_take_turns_and_each_is_served_in_its_own_order() {
        let slots = slots(1, 10);
        let (a, b, c) = (UserId::new(), UserId::new(), UserId::new());
        let slot = slots.acquire(a).await.unwrap();
        let waiters = [(a, '1'), (a, '2'), (a, '3'), (b, '4'), (c, '5'), (b, '6')];
        let waiters = waiters.map(|(user, name)| (name, ask(&slots, user)));
        assert_eq!(order(slot, waiters.into()), "145263");
        assert_eq!(slots.lock().free, 1);
    }

    #[tokio::test]
    async fn a_newcomer_does_not_take_a_slot_that_a_waiter_was_given() {
        let slots = slots(1, 10);
        let slot = slots.acquire(UserId::new()).await.unwrap();
        let mut first = ask(&slots, UserId::new());
        drop(slot); // It is the first one's now, though that one has not run since.
        let mut newcomer = ask(&slots, UserId::new());
        let slot = granted(&mut first).unwrap();
        assert!(granted(&mut newcomer).is_none());
        drop(slot);
        assert!(granted(&mut newcomer).is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_goes_away_leaks_no_slot_and_no_place() {
        let slots = slots(1, 2);
        let (a, b) = (UserId::new(), UserId::new());
        let slot = slots.acquire(a).await.unwrap();
        let (waits, mut stays) = (ask(&slots, a), ask(&slots, b));
        drop(waits);
        assert_eq!(slots.lock().waiting, 1);
        let given = ask(&slots, a);
        drop(slot);
        let slot = granted(&mut stays).unwrap();
        drop(slot); // To `given`, which goes away without ever taking it.
        assert_eq!(slots.lock().free, 0);
        drop(given);
        let state = slots.lock();
        assert_eq!((state.free, state.waiting, state.turns.len(), state.lines.len()), (1, 0, 0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let slots = slots(1, 1);
        let (a, b) = (UserId::new(), UserId::new());
        let _slot = slots.acquire(a).await.unwrap();
        let mut waits = ask(&slots, a);
        let waits_told = [refused(&slots, a), refused(&slots, b)].map(|refused| refused.retry_after.as_secs());
        assert_eq!(waits_told, [1, 2]);
        assert!(granted(&mut waits).is_none());
    }

    #[tokio::test]
    async fn one_users_crowd_makes_room_for_another_user() {
        let slots = slots(1, 3);
        let (a, b) = (UserId::new(), UserId::new());
        let slot = slots.acquire(a).await.unwrap();
        let (first, second) = (ask(&slots, a), ask(&slots, a));
        let mut newest = ask(&slots, a);
        let other = ask(&slots, b);
        assert!(matches!(poll(&mut newest), Poll::Ready(Err(_))));
        drop(newest);
        refused(&slots, b); // With one more, b would have as many as a.
        assert_eq!(order(slot, vec![('1', first), ('2', second), ('3', other)]), "132");
        assert_eq!(slots.lock().free, 1);
    }

    #[tokio::test]
    async fn a_wait_ends_at_the_timeout_and_leaves_nothing_behind() {
        let slots = Slots::new(&ConcurrencyConfig { min: 1, max: 1, queue: 5, queue_timeout: Duration::ZERO });
        let slot = slots.acquire(UserId::new()).await.unwrap();
        assert!(slots.acquire(UserId::new()).await.is_err());
        assert_eq!(slots.lock().waiting, 0);
        drop(slot);
        assert!(slots.acquire(UserId::new()).await.is_ok());
    }
}
