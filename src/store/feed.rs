//! Who waits for what becomes durable: subscriptions by user, woken by the writer after the sync and before the
//! acknowledgement.
//!
//! A topic is there only while someone listens to its user. It keeps an event until every subscription has taken it, and
//! no more than a bound of them: who falls further behind is told so and has to begin anew, from the log. So a slow
//! reader costs a bounded memory, and nobody waits for it.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{Status, TokenDigest};
use crate::id::{Seq, SessionId, UserId};

/// Events that a topic keeps for those who are behind.
const EVENTS_MAX: usize = 1024;
/// Bytes of messages that a topic keeps for them.
const BYTES_MAX: usize = 256 << 10;
/// Each subscription that a user has over this many makes all of them a little slower to hear of what is not durable
/// yet: a thousand tabs must not make every token a thousand writes.
const CROWD: usize = 16;
const CROWD_PAUSE: Duration = Duration::from_micros(100);

/// What became durable, for the user whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message of a session.
    Message {
        /// In this session.
        session: SessionId,
        /// Its place.
        seq: Seq,
        /// The message that a reply answers.
        reply_to: Option<Seq>,
        /// The message as the API shows it, when it was stored.
        json: Bytes,
    },
    /// A turn has an outcome.
    Ended {
        /// In this session.
        session: SessionId,
        /// The user's message.
        reply_to: Seq,
        /// The reply, where there is one.
        seq: Option<Seq>,
        /// How the user's message stands now.
        status: Status,
        /// Why there is no reply.
        detail: Option<String>,
    },
    /// A session is not as it was.
    Session {
        /// Which.
        session: SessionId,
        /// What happened to it.
        change: SessionChange,
        /// The session as the API shows it; nothing for one that was deleted.
        json: Option<Bytes>,
    },
    /// The text of a message was taken out.
    Erased {
        /// In this session.
        session: SessionId,
        /// Its place.
        seq: Seq,
    },
    /// A login has ended.
    LoginEnded(TokenDigest),
}

/// What happened to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionChange {
    /// It is new.
    Created,
    /// Its title or its instructions changed.
    Renamed,
    /// Its messages up to this one were cleared.
    Cleared(Seq),
    /// It is gone.
    Deleted,
    /// It has a new message.
    Activity,
}

impl fmt::Display for SessionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Created => "created",
            Self::Renamed => "renamed",
            Self::Cleared(_) => "cleared",
            Self::Deleted => "deleted",
            Self::Activity => "activity",
        })
    }
}

/// What a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// These events, in order; none where it was only poked.
    Events(Vec<Event>),
    /// More has happened than is kept: begin anew, from the log.
    Missed,
    /// The server is stopping.
    Stopping,
}

impl Default for Heard {
    fn default() -> Self {
        Self::Events(Vec::new())
    }
}

impl Heard {
    fn is_nothing(&self) -> bool {
        *self == Self::Events(Vec::new())
    }
}

/// All topics.
#[derive(Default)]
pub(crate) struct Feed {
    /// Guards which users are listened to.
    topics: Mutex<HashMap<UserId, Arc<Topic>>>,
    subscriptions: AtomicUsize,
    ended: AtomicBool,
}

/// What one user's subscriptions share.
#[derive(Default)]
struct Topic(Mutex<Kept>);

/// Guarded by [`Topic`].
#[derive(Default)]
struct Kept {
    events: VecDeque<Event>,
    bytes: usize,
    /// How many events there were before the first that is kept.
    passed: u64,
    listeners: HashMap<u64, Listener>,
    next_listener: u64,
    /// Listeners that have not taken everything.
    behind: usize,
    /// When all were last poked.
    poked_at: Option<Instant>,
}

struct Listener {
    /// How many events it has taken, or had no claim to.
    taken: u64,
    poked: bool,
    waker: Option<Waker>,
}

/// One who listens; leaves when dropped.
pub struct Subscription {
    feed: Arc<Feed>,
    user: UserId,
    topic: Arc<Topic>,
    number: u64,
    outlives_stop: bool,
}

impl Feed {
    pub(crate) fn subscribe(self: &Arc<Self>, user: UserId) -> Subscription {
        let mut topics = lock(&self.topics);
        let topic = Arc::clone(topics.entry(user).or_default());
        let mut kept = lock(&topic.0);
        let number = kept.next_listener;
        kept.next_listener += 1;
        let taken = kept.end();
        kept.listeners.insert(number, Listener { taken, poked: false, waker: None });
        drop(kept);
        drop(topics);
        self.subscriptions.fetch_add(1, Ordering::Relaxed);
        Subscription { feed: Arc::clone(self), user, topic, number, outlives_stop: false }
    }

    /// Adds what `events` makes, where anyone listens to the user.
    pub(crate) fn publish(&self, user: UserId, events: impl FnOnce() -> Vec<Event>) {
        let Some(topic) = self.topic(user) else { return };
        let events = events();
        let mut kept = lock(&topic.0);
        for event in events {
            kept.push(event);
        }
        kept.wake();
    }

    /// Wakes the user's subscriptions without an event. Where there is a crowd of them, not every time: what they miss
    /// comes with the next poke or event, or when they look.
    pub(crate) fn poke(&self, user: UserId) {
        let Some(topic) = self.topic(user) else { return };
        let mut kept = lock(&topic.0);
        let crowd = kept.listeners.len().saturating_sub(CROWD);
        if crowd > 0 {
            let now = Instant::now();
            let pause = CROWD_PAUSE * u32::try_from(crowd).unwrap_or(u32::MAX);
            if kept.poked_at.is_some_and(|at| now.saturating_duration_since(at) < pause) {
                return;
            }
            kept.poked_at = Some(now);
        }
        kept.wake();
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        let topics: Vec<_> = lock(&self.topics).values().cloned().collect();
        for topic in topics {
            lock(&topic.0).wake();
        }
    }

    pub(crate) fn subscriptions(&self) -> usize {
        self.subscriptions.load(Ordering::Relaxed)
    }

    /// How many users are listened to.
    pub(crate) fn listeners(&self) -> usize {
        lock(&self.topics).len()
    }

    /// True where someone listens to the user.
    pub(crate) fn is_heard(&self, user: UserId) -> bool {
        lock(&self.topics).contains_key(&user)
    }

    fn topic(&self, user: UserId) -> Option<Arc<Topic>> {
        lock(&self.topics).get(&user).cloned()
    }
}

impl Kept {
    /// How many events there were.
    fn end(&self) -> u64 {
        self.passed + self.events.len() as u64
    }

    fn push(&mut self, event: Event) {
        if self.listeners.is_empty() {
            return; // The last one is just leaving.
        }
        self.bytes += weight(&event);
        self.events.push_back(event);
        self.behind = self.listeners.len();
        while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= weight(&oldest);
            self.passed += 1;
        }
    }

    fn wake(&mut self) {
        for listener in self.listeners.values_mut() {
            listener.poked = true;
            if let Some(waker) = listener.waker.take() {
                waker.wake();
            }
        }
    }

    fn take(&mut self, number: u64) -> Option<Heard> {
        let (end, passed) = (self.end(), self.passed);
        let listener = self.listeners.get_mut(&number)?;
        let poked = std::mem::take(&mut listener.poked);
        let taken = std::mem::replace(&mut listener.taken, end);
        if taken == end {
            return poked.then(|| Heard::Events(Vec::new()));
        }
        let heard = match taken.checked_sub(passed).and_then(|from| usize::try_from(from).ok()) {
            Some(from) => Heard::Events(self.events.range(from..).cloned().collect()),
            None => Heard::Missed,
        };
        self.caught_up();
        Some(heard)
    }

    /// One listener less is behind; nobody needs what the last one has taken.
    fn caught_up(&mut self) {
        self.behind = self.behind.saturating_sub(1);
        if self.behind == 0 {
            self.passed = self.end();
            self.events = VecDeque::new();
            self.bytes = 0;
        }
    }
}

impl Subscription {
    /// Lets it go on while the server stops: what it waits for is about to end by itself.
    pub fn outlives_stop(&mut self) {
        self.outlives_stop = true;
    }

    /// True where so many listen to the user that not every poke wakes them: who wants to miss nothing for long looks by
    /// itself now and then.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        lock(&self.topic.0).listeners.len() > CROWD
    }

    /// The next news. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Heard {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The next news, where there are any already.
    pub fn try_next(&mut self) -> Option<Heard> {
        lock(&self.topic.0).take(self.number)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let mut kept = lock(&self.topic.0);
        let heard = kept.take(self.number);
        let stopping = self.feed.ended.load(Ordering::Acquire) && !self.outlives_stop;
        match heard {
            // What came before the stop is heard first.
            None | Some(Heard::Events(_)) if stopping && heard.as_ref().is_none_or(Heard::is_nothing) => {
                return Poll::Ready(Heard::Stopping);
            }
            Some(heard) => return Poll::Ready(heard),
            None => {}
        }
        if let Some(listener) = kept.listeners.get_mut(&self.number) {
            listener.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.feed.subscriptions.fetch_sub(1, Ordering::Relaxed);
        let mut topics = lock(&self.feed.topics);
        let mut kept = lock(&self.topic.0);
        let end = kept.end();
        if kept.listeners.remove(&self.number).is_some_and(|listener| listener.taken < end) {
            kept.caught_up();
        }
        if kept.listeners.is_empty() {
            topics.remove(&self.user);
        }
    }
}

fn weight(event: &Event) -> usize {
    let bytes = match event {
        Event::Message { json, .. } => json.len(),
        Event::Ended { detail, .. } => detail.as_ref().map_or(0, String::len),
        Event::Session { json, .. } => json.as_ref().map_or(0, Bytes::len),
        Event::Erased { .. } | Event::LoginEnded(_) => 0,
    };
    size_of::<Event>() + bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks can panic with a topic half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(n: u64) -> Event {
        let (session, json) = (SessionId::from_bytes([1; 16]), Bytes::from(vec![b'x'; 100]));
        Event::Message { session, seq: Seq(n), reply_to: None, json }
    }

    fn heard(subscription: &mut Subscription) -> Option<Heard> {
        match subscription.poll_next(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(heard) => Some(heard),
            Poll::Pending => None,
        }
    }

    fn kept(subscription: &Subscription) -> usize {
        lock(&subscription.topic.0).events.len()
    }

    #[test]
    fn each_hears_each_event_once_and_nothing_is_kept_for_longer() {
        let (feed, user) = (Arc::new(Feed::default()), UserId::new());
        feed.publish(user, || panic!("nobody listens"));
        let (mut a, mut b) = (feed.subscribe(user), feed.subscribe(user));
        feed.publish(user, || vec![event(1), event(2)]);
        feed.publish(UserId::new(), || panic!("nobody listens to this one"));
        assert_eq!(heard(&mut a), Some(Heard::Events(vec![event(1), event(2)])));
        assert_eq!(heard(&mut a), None);
        feed.publish(user, || vec![event(3)]);
        assert_eq!(kept(&a), 3);
        assert_eq!(heard(&mut b), Some(Heard::Events(vec![event(1), event(2), event(3)])));
        let mut c = feed.subscribe(user);
        assert_eq!(heard(&mut c), None, "what came before it is not its");
        assert_eq!(heard(&mut a), Some(Heard::Events(vec![event(3)])));
        assert_eq!(kept(&a), 0);
        feed.poke(user);
        assert_eq!(heard(&mut c), Some(Heard::Events(Vec::new())));
        assert_eq!(heard(&mut c), None);
    }

    #[test]
    fn who_is_too_slow_is_told_so_and_others_are_not_held_up() {
        let (feed, user) = (Arc::new(Feed::default()), UserId::new());
        let (mut slow, mut quick) = (feed.subscribe(user), feed.subscribe(user));
        for n in 1..=3 * EVENTS_MAX as u64 {
            feed.publish(user, || vec![event(n)]);
            assert_eq!(heard(&mut quick), Some(Heard::Events(vec![event(n)])));
        }
        assert_eq!(kept(&slow), EVENTS_MAX);
        assert_eq!(heard(&mut slow), Some(Heard::Missed));
        assert_eq!(kept(&slow), 0);
        feed.publish(user, || vec![event(1)]);
        assert_eq!(heard(&mut slow), Some(Heard::Events(vec![event(1)])));
    }

    #[test]
    fn who_leaves_is_not_waited_for_and_the_last_one_takes_the_topic_along() {
        let (feed, user) = (Arc::new(Feed::default()), UserId::new());
        let (mut stays, leaves) = (feed.subscribe(user), feed.subscribe(user));
        feed.publish(user, || vec![event(1)]);
        heard(&mut stays);
        assert_eq!((kept(&stays), feed.subscriptions()), (1, 2));
        drop(leaves);
        assert_eq!((kept(&stays), feed.subscriptions()), (0, 1));
        drop(stays);
        assert!(!feed.is_heard(user) && lock(&feed.topics).is_empty());
    }

    #[test]
    fn a_crowd_is_not_woken_by_every_token_but_by_every_event() {
        let (feed, user) = (Arc::new(Feed::default()), UserId::new());
        let mut crowd: Vec<_> = (0..10_000 + CROWD).map(|_| feed.subscribe(user)).collect();
        feed.poke(user);
        assert_eq!(heard(&mut crowd[0]), Some(Heard::Events(Vec::new())));
        feed.poke(user); // Within the second for which so many are left in peace.
        assert_eq!(heard(&mut crowd[0]), None);
        feed.publish(user, || vec![event(1)]);
        assert_eq!(heard(&mut crowd[0]), Some(Heard::Events(vec![event(1)])));
    }

    #[test]
    fn a_stop_is_heard_after_everything_else() {
        let (feed, user) = (Arc::new(Feed::default()), UserId::new());
        let mut listens = feed.subscribe(user);
        feed.publish(user, || vec![event(1)]);
        feed.end();
        assert_eq!(heard(&mut listens), Some(Heard::Events(vec![event(1)])));
        assert_eq!(heard(&mut listens), Some(Heard::Stopping));
    }
}
