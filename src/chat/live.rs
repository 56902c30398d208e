//! The replies that are being made: their text so far, who may stop them, and who waits for their outcome.
//!
//! A reply belongs to the server. Its text here is provisional: once it is sealed, nobody is shown more of it, and what
//! counts is the message that the log gets.

use std::{
    collections::HashMap,
    convert::Infallible,
    num::NonZeroUsize,
    ops::ControlFlow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Answer, ChatError, Inner, making::Made, recording::Recording};
use crate::{
    id::UserId,
    reply,
    store::{OpenTurn, Store},
};

/// Turns whose number of tries is remembered, so that a later try has a higher one.
const ATTEMPTS_MAX: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not 0");

/// What a turn came to, for whoever listens; nothing while it runs.
pub(super) type Heard = Option<Result<Answer, ChatError>>;

/// A reply that is being made.
pub(super) struct LiveReply {
    /// Whose it is.
    pub(super) turn: OpenTurn,
    /// The number of the try, from 1.
    pub(super) attempt: u32,
    owner: UserId,
    store: Arc<Store>,
    text: Mutex<Text>,
    /// Asked to end with what there is.
    pub(super) stop: CancellationToken,
    heard: watch::Sender<Heard>,
    /// What is kept of it beside its text, where a program asked for it.
    pub(super) recording: Option<Recording>,
}

/// Guarded by [`LiveReply`].
#[derive(Default)]
struct Text {
    so_far: String,
    sealed: bool,
}

/// A piece of a reply's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) text: String,
    /// Where the next one begins, bytes.
    pub(super) end: usize,
}

/// All replies that are being made.
pub(super) struct Live {
    /// Guards which these are.
    replies: Mutex<Replies>,
    /// Guards the tries of turns that were answered more than once.
    attempts: Mutex<LruCache<OpenTurn, u32>>,
}

#[derive(Default)]
struct Replies {
    by_turn: HashMap<OpenTurn, Arc<LiveReply>>,
    by_owner: HashMap<UserId, Vec<Arc<LiveReply>>>,
}

/// A reply that can be heard and stopped, until it is dropped.
pub(super) struct Running {
    live: Arc<Live>,
    reply: Arc<LiveReply>,
}

/// Which try of a turn begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Try {
    /// The one with this number.
    Number(u32),
    /// The one after the last that is known.
    Next,
}

impl Default for Live {
    fn default() -> Self {
        Self { replies: Mutex::default(), attempts: Mutex::new(LruCache::sparse(ATTEMPTS_MAX)) }
    }
}

impl Live {
    /// Begins a reply; nothing where one for this turn is being made already.
    pub(super) fn begin(
        self: &Arc<Self>,
        store: &Arc<Store>,
        turn: OpenTurn,
        owner: UserId,
        (which, recording): (Try, Option<Recording>),
    ) -> Option<Running> {
        let mut replies = lock(&self.replies);
        if replies.by_turn.contains_key(&turn) {
            return None;
        }
        let reply = Arc::new(LiveReply {
            turn,
            attempt: self.attempt(turn, which),
            owner,
            store: Arc::clone(store),
            text: Mutex::new(Text {
                so_far: recording.as_ref().map(Recording::text).unwrap_or_default(),
                sealed: false,
            }),
            stop: CancellationToken::new(),
            heard: watch::Sender::new(None),
            recording,
        });
        replies.by_turn.insert(turn, Arc::clone(&reply));
        replies.by_owner.entry(owner).or_default().push(Arc::clone(&reply));
        Some(Running { live: Arc::clone(self), reply })
    }

    fn attempt(&self, turn: OpenTurn, which: Try) -> u32 {
        let mut attempts = lock(&self.attempts);
        let attempt = match which {
            Try::Number(1) => return 1, // Most turns: nothing to remember.
            Try::Number(number) => number,
            Try::Next => attempts.get(&turn).map_or(2, |last| last.saturating_add(1)),
        };
        attempts.put(turn, attempt);
        attempt
    }

    /// The reply to `turn`, while it is being made.
    pub(super) fn get(&self, turn: OpenTurn) -> Option<Arc<LiveReply>> {
        lock(&self.replies).by_turn.get(&turn).cloned()
    }

    /// The replies that are being made for `owner`.
    pub(super) fn of(&self, owner: UserId) -> Vec<Arc<LiveReply>> {
        lock(&self.replies).by_owner.get(&owner).cloned().unwrap_or_default()
    }

    /// How many replies are being made or wait for their turn.
    pub(super) fn count(&self) -> usize {
        lock(&self.replies).by_turn.len()
    }
}

impl LiveReply {
    /// Whose the session is.
    pub(super) fn owner(&self) -> UserId {
        self.owner
    }

    /// Adds to the text and wakes who follows it; `Break` where the reply is as long as one may be.
    pub(super) fn push(&self, piece: &str) -> ControlFlow<()> {
        let mut text = lock(&self.text);
        if text.sealed {
            return ControlFlow::Break(());
        }
        let go_on = reply::append(&mut text.so_far, piece);
        drop(text);
        self.store.poke(self.owner);
        if let Some(recording) = &self.recording {
            recording.grow();
        }
        go_on
    }

    /// Takes the text; nobody is shown any more of it from here on.
    pub(super) fn seal(&self) -> String {
        let mut text = lock(&self.text);
        text.sealed = true;
        std::mem::take(&mut text.so_far)
    }

    /// What there is so far.
    pub(super) fn text(&self) -> String {
        lock(&self.text).so_far.clone()
    }

    /// What there is from `start` (bytes) on; nothing where there is nothing new or it is sealed.
    pub(super) fn piece(&self, start: usize) -> Option<Piece> {
        let text = lock(&self.text);
        let new = text.so_far.get(start..).filter(|new| !new.is_empty() && !text.sealed)?;
        Some(Piece { text: new.to_owned(), end: text.so_far.len() })
    }

    /// True once its outcome is on the way to the log.
    pub(super) fn is_sealed(&self) -> bool {
        lock(&self.text).sealed
    }

    /// Makes what there is of it durable piece by piece, where it is to be shown so; never ends.
    pub(super) async fn record(&self, inner: &Inner) -> Infallible {
        match &self.recording {
            Some(recording) => recording.record(inner, self).await,
            None => std::future::pending().await,
        }
    }

    /// The annotation with which its turn ends, where it has one.
    pub(super) fn note(&self, inner: &Inner, made: &Made) -> Option<String> {
        self.recording.as_ref().map(|recording| recording.note(inner, made))
    }

    /// Waits for what the turn comes to; nothing where its task is gone without a word.
    pub(super) async fn outcome(&self) -> Heard {
        let mut heard = self.heard.subscribe();
        heard.wait_for(Option::is_some).await.ok().and_then(|heard| heard.clone())
    }
}

impl Running {
    /// The reply.
    pub(super) fn reply(&self) -> &Arc<LiveReply> {
        &self.reply
    }

    /// Tells who waits, and lets the turn be answered anew.
    pub(super) fn end(self, outcome: Result<Answer, ChatError>) {
        self.reply.heard.send_replace(Some(outcome));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let reply = &self.reply;
        let mut replies = lock(&self.live.replies);
        replies.by_turn.remove(&reply.turn);
        if let Some(of_owner) = replies.by_owner.get_mut(&reply.owner) {
            of_owner.retain(|other| other.turn != reply.turn);
            if of_owner.is_empty() {
                replies.by_owner.remove(&reply.owner);
            }
        }
        drop(replies);
        if reply.heard.borrow().is_none() {
            // Its task was dropped: who waits looks into the log.
            reply.heard.send_replace(Some(Err(ChatError::Store(crate::store::StoreError::Unknown))));
        }
        reply.store.poke(reply.owner);
    }
}

/// Has these replies end with what there is.
pub(super) fn stop_all<'r>(replies: impl IntoIterator<Item = &'r Arc<LiveReply>>) {
    for reply in replies {
        reply.stop.cancel();
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
