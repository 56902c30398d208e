//! Slots without a clock where they can be: futures are polled by hand.

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
    for (max, real) in [(0, 1), (1, 1), (3, 3)] {
        let slots = slots(max, 0);
        let mut held = Vec::new();
        while let Ok(slot) = slots.acquire(UserId::new()).await {
            held.push(slot);
        }
        assert_eq!(held.len(), real);
        held.pop();
        assert!(slots.acquire(UserId::new()).await.is_ok());
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
    assert_eq!(slots.gauges(), Gauges { limit: 1, held: 0, waiting: 0 });
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
    assert_eq!(slots.gauges(), Gauges { limit: 1, held: 1, waiting: 0 });
    drop(given);
    let state = slots.lock();
    assert_eq!((state.held, state.waiting, state.turns.len(), state.lines.len()), (0, 0, 0, 0));
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
    assert_eq!(slots.gauges(), Gauges { limit: 1, held: 0, waiting: 0 });
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

/// Limit, held and waiting, at the time that was passed last.
fn figures(slots: &Slots) -> (usize, usize, usize) {
    let state = slots.lock();
    (state.limit.get(), state.held, state.waiting)
}

/// Lets the limit see one wait, `from` to `to` in ms after `start`.
fn measure(slots: &Slots, start: Instant, from: u64, to: u64) {
    let mut state = slots.lock();
    state.pass(start + Duration::from_millis(from));
    let number = state.limit.ask();
    state.pass(start + Duration::from_millis(to));
    state.limit.first_token(number);
}

#[tokio::test]
async fn a_fallen_limit_takes_nothing_away_and_a_risen_one_lets_waiters_in_at_once() {
    let slots = slots(8, 10);
    let start = Instant::now();
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(slots.acquire(UserId::new()).await.unwrap());
    }
    measure(&slots, start, 0, 100);
    slots.lock().pass(start + Duration::from_millis(500));
    let stalled = slots.lock().limit.ask();
    slots.lock().pass(start + Duration::from_secs(2));
    assert_eq!(figures(&slots), (1, 8, 0));
    let mut waits: Vec<_> = (0..3).map(|_| ask(&slots, UserId::new())).collect();
    held.truncate(2);
    assert_eq!(figures(&slots), (1, 2, 3)); // Six came back, and none was given.
    held.truncate(1);
    slots.lock().limit.forget(stalled);
    measure(&slots, start, 2_000, 2_100);
    slots.lock().pass(start + Duration::from_millis(2_500));
    assert_eq!(figures(&slots), (2, 2, 2));
    let new: Vec<Slot> = waits.iter_mut().filter_map(granted).collect();
    assert_eq!(new.len(), 1);
}

#[tokio::test]
async fn a_measure_ends_with_its_value_however_it_ends() {
    let slots = slots(8, 0);
    let (first, refused, dropped) = (slots.measure(), slots.measure(), slots.measure());
    assert_eq!(slots.lock().limit.waits(), 3);
    first.first_token();
    drop(dropped);
    assert_eq!(slots.lock().limit.waits(), 1);
    refused.overloaded();
    assert_eq!(slots.lock().limit.waits(), 0);
    let end = Instant::now() + Duration::from_secs(1);
    slots.lock().pass(end); // 8 * 0.8, by the backend's own word.
    assert_eq!(slots.gauges().limit, 6);
}

#[tokio::test]
async fn one_user_has_half_of_the_slots_at_most_and_holds_up_nobody() {
    for (max, share) in [(1, 1), (2, 1), (3, 2), (8, 4)] {
        let slots = slots(max, 10);
        let (a, b) = (UserId::new(), UserId::new());
        drop(slots.acquire(b).await); // So that a is not alone.
        let mut held = Vec::new();
        for _ in 0..share {
            held.push(slots.acquire(a).await.unwrap());
        }
        let mut waits = ask(&slots, a);
        if max > 1 {
            held.push(slots.acquire(b).await.unwrap()); // Past the one who waits.
        }
        drop(held.remove(0));
        assert!(granted(&mut waits).is_some(), "{max}");
    }
}

#[tokio::test]
async fn a_user_who_is_alone_has_all_slots_until_somebody_comes() {
    let slots = slots(4, 10);
    let (a, b) = (UserId::new(), UserId::new());
    drop(slots.acquire(b).await);
    slots.lock().lately[0] = None; // As after a minute: the clock of these tests is the real one.
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(slots.acquire(a).await.unwrap());
    }
    let (mut more, mut comes) = (ask(&slots, a), ask(&slots, b));
    drop(held.pop());
    assert!(granted(&mut more).is_none());
    let _of_b = granted(&mut comes).unwrap();
    let mut state = slots.lock();
    assert!(!state.below_share(a));
    state.now += ALONE_AFTER;
    assert!(state.below_share(a));
}

#[tokio::test]
async fn a_user_at_the_share_keeps_the_turn_while_others_pass() {
    let slots = slots(2, 10);
    let (a, b, c) = (UserId::new(), UserId::new(), UserId::new());
    let (of_a, of_b) = (slots.acquire(a).await.unwrap(), slots.acquire(b).await.unwrap());
    let (mut again, mut other) = (ask(&slots, a), ask(&slots, c));
    drop(of_b);
    assert!(granted(&mut again).is_none());
    let _of_c = granted(&mut other).unwrap();
    let mut late = ask(&slots, b);
    drop(of_a);
    assert!(granted(&mut again).is_some());
    assert!(granted(&mut late).is_some()); // What `again` had is given back.
}

#[tokio::test]
async fn a_turn_that_a_crash_left_open_comes_first_and_under_no_share() {
    let slots = slots(1, 10);
    let (a, b) = (UserId::new(), UserId::new());
    let slot = slots.acquire(a).await.unwrap();
    let waits = ask(&slots, b);
    let first = |user| -> Acquire {
        let slots = slots.clone();
        Box::pin(async move { Ok(slots.acquire_first(user).await) })
    };
    let (mut one, mut left, mut two) = (first(a), first(a), first(a));
    for acquire in [&mut one, &mut left, &mut two] {
        assert!(granted(acquire).is_none());
    }
    assert_eq!(slots.gauges().waiting, 4);
    drop(left);
    assert_eq!(order(slot, vec![('w', waits), ('1', one), ('2', two)]), "12w");
    let left = |state: MutexGuard<'_, State>| (state.held, state.holders.len(), state.first.len());
    assert_eq!(left(slots.lock()), (0, 0, 0));
    let (_one, mut two) = (slots.acquire_first(a).await, first(a));
    assert!(granted(&mut two).is_none());
}

#[tokio::test]
async fn one_busy_user_leaves_ninety_nine_others_their_turn() {
    let slots = slots(8, 256);
    let users: Vec<UserId> = (0..100).map(|_| UserId::new()).collect();
    drop(slots.acquire(users[99]).await); // So that the busy one is not alone.
    let asks = std::iter::repeat_n(0, 100).chain(1..100);
    let mut waiters: Vec<(usize, Acquire)> = asks.map(|user| (user, acquire(&slots, users[user]))).collect();
    let (mut served, mut held) = ([0.0_f64; 100], VecDeque::new());
    for _ in 0..100 {
        let slot = loop {
            let got = waiters.iter_mut().enumerate().find_map(|(at, (_, acquire))| Some((at, granted(acquire)?)));
            if let Some((at, slot)) = got {
                served[waiters.remove(at).0] += 1.0;
                break slot;
            }
            held.pop_front(); // The oldest reply ends.
        };
        held.push_back(slot);
    }
    // Jain, Chiu and Hawe, "A quantitative measure of fairness", DEC-TR-301 (1984): (sum x)^2 / (n * sum x^2), 1 where
    // all have the same. After as many slots as there are users, x is the part of one each that a user got.
    let parts = served.map(|served| served.min(1.0));
    let (sum, squares): (f64, f64) = (parts.iter().sum(), parts.iter().map(|part| part * part).sum());
    let index = sum * sum / (100.0 * squares);
    assert!(index >= 0.9, "{index}: {served:?}");
    assert!(served[0] <= 6.0, "{served:?}"); // Half of the slots before anyone came, and one turn or two.
}

#[tokio::test]
async fn who_was_let_in_before_waits_in_turn_and_is_not_sent_away() {
    let slots = slots(1, 2);
    let (a, b, c) = (UserId::new(), UserId::new(), UserId::new());
    assert!(!slots.are_wanted());
    let slot = slots.acquire(a).await.unwrap();
    assert!(!slots.are_wanted());
    let again = |user| -> Acquire {
        let slots = slots.clone();
        Box::pin(async move { Ok(slots.acquire_again(user).await) })
    };
    let mut waits = ask(&slots, b);
    let (mut one, mut two) = (again(a), again(a));
    assert!(granted(&mut one).is_none() && granted(&mut two).is_none() && slots.are_wanted());
    refused(&slots, c); // The queue is full, and both of the crowd's waiters stay.
    drop(slot);
    let slot = granted(&mut waits).unwrap();
    assert!(granted(&mut one).is_none());
    assert_eq!(order(slot, vec![('1', one), ('2', two)]), "12");
    assert!(!slots.are_wanted());
}
