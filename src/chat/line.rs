//! The lines of the sessions: the turns of one session are answered one after the other, in the order of their sequence.
//!
//! A line holds one reply slot, however many turns stand in it: only its first turn is being answered. So a burst into
//! one session takes one slot from the others, and what is taken into a line needs no slot of its own. Where others wait
//! for a slot, a line gives its own back between two turns, and takes one again when its user's turn comes: a session
//! that is never quiet must not keep a slot for ever.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

use super::ChatError;
use crate::{admission::slots::Slot, id::SessionId, store::StoreError};

/// Turns that may stand in one session's line.
const LINE_MAX: usize = 256;
/// As many while slots are waited for: then each turn of a line waits for its own, and more could not be answered in time.
const LINE_MAX_WHEN_WANTED: usize = 2;
/// Whoever finds the line full should come again after this.
const FULL_RETRY: Duration = Duration::from_secs(2);

/// All lines.
#[derive(Default)]
pub(super) struct Lines {
    /// Guards the lines of the sessions that are being answered.
    lines: Mutex<HashMap<SessionId, Line>>,
}

struct Line {
    /// When the last turn is done.
    done: watch::Receiver<bool>,
    /// Turns that stand in it.
    length: usize,
    /// What the first turn is answered with; given back with the last one. A line that begins with a recovered turn gets
    /// its slot when that is answered.
    slot: Option<Slot>,
}

/// A turn's place in its session's line; given up when dropped. Whoever has one waits for it first, whatever it came to:
/// the place behind it must not overtake the one before.
pub(super) struct Place {
    lines: Arc<Lines>,
    session: SessionId,
    before: Option<watch::Receiver<bool>>,
    done: watch::Sender<bool>,
}

impl Lines {
    /// Whether the session has a line, which one more turn may join. `wanted`: others wait for slots.
    ///
    /// # Errors
    /// `LineFull`.
    pub(super) fn is_there(&self, session: SessionId, wanted: bool) -> Result<bool, ChatError> {
        match self.lock().get(&session) {
            Some(line) if line.length >= if wanted { LINE_MAX_WHEN_WANTED } else { LINE_MAX } => {
                Err(ChatError::LineFull { retry_after: FULL_RETRY })
            }
            line => Ok(line.is_some()),
        }
    }

    /// Takes the next place in the session's line and does `begin`, which puts a message into the writer's queue: under
    /// one lock, so that the line is in the order of the sequence. Nothing where there is no line and `slot` is empty:
    /// then `begin` was not called.
    ///
    /// # Errors
    /// `LineFull`, and those of `begin`.
    pub(super) fn enter<T>(
        self: &Arc<Self>,
        session: SessionId,
        slot: &mut Option<Slot>,
        begin: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<(Place, T)>, ChatError> {
        let mut lines = self.lock();
        let before = match lines.get(&session) {
            Some(line) if line.length >= LINE_MAX => return Err(ChatError::LineFull { retry_after: FULL_RETRY }),
            Some(line) => Some(line.done.clone()),
            None if slot.is_none() => return Ok(None),
            None => None,
        };
        let entered = begin()?;
        let (done, is_done) = watch::channel(false);
        // A line that is there has a slot, or its first turn is about to get one: the caller's goes back.
        let slot = if before.is_none() { slot.take() } else { None };
        put(&mut lines, session, is_done, slot);
        Ok(Some((Place { lines: Arc::clone(self), session, before, done }, entered)))
    }

    /// Takes the next place for a turn that a crash left open: it is in the log already, and gets its slot later.
    pub(super) fn enter_again(self: &Arc<Self>, session: SessionId) -> Place {
        let mut lines = self.lock();
        let before = lines.get(&session).map(|line| line.done.clone());
        let (done, is_done) = watch::channel(false);
        put(&mut lines, session, is_done, None);
        Place { lines: Arc::clone(self), session, before, done }
    }

    /// True where no turn stands anywhere.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a turn at the end of a line, which begins with it and with `slot` where there was none.
fn put(lines: &mut HashMap<SessionId, Line>, session: SessionId, done: watch::Receiver<bool>, slot: Option<Slot>) {
    match lines.get_mut(&session) {
        Some(line) => {
            line.done = done;
            line.length += 1;
        }
        None => drop(lines.insert(session, Line { done, length: 1, slot })),
    }
}

impl Place {
    /// Takes the line's slot away, for others.
    pub(super) fn give_up_slot(&self) {
        let slot = self.lines.lock().get_mut(&self.session).and_then(|line| line.slot.take());
        drop(slot); // Without our lock, for it wakes others.
    }

    /// True until the turn has waited for those before it, where there were any.
    pub(super) fn is_behind(&self) -> bool {
        self.before.is_some()
    }

    /// Waits until every earlier turn of the session has its outcome.
    pub(super) async fn wait(&mut self) {
        if let Some(before) = &mut self.before {
            let _ = before.wait_for(|done| *done).await; // An error means that it is gone: done.
        }
        self.before = None;
    }

    /// True where the line has no slot: it begins with a turn that was found at the start, or gave its own to others.
    pub(super) fn needs_slot(&self) -> bool {
        self.lines.lock().get(&self.session).is_some_and(|line| line.slot.is_none())
    }

    /// Gives the line the slot that it lacks.
    pub(super) fn provide(&self, slot: Slot) {
        if let Some(line) = self.lines.lock().get_mut(&self.session) {
            line.slot = Some(slot);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        let mut ended = None;
        if let Some(line) = lines.get_mut(&self.session) {
            line.length -= 1;
            if line.length == 0 {
                ended = lines.remove(&self.session);
            }
        }
        drop(lines);
        drop(ended); // Its slot may wake others, which no lock of ours should hold up.
        self.done.send_replace(true);
    }
}
