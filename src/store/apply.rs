//! The second half of a commit: what is durable goes into the index and the cache, the feed hears of it, and whoever
//! waits for it is told, in this order.
//!
//! Where more commands wait, a thread of its own does that, while the writer decides and syncs the next batch. Batches
//! are applied one after another, in the order of the journal; one is under way at most.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use super::{
    Health, StoreError, TokenDigest,
    batch::{Acknowledge, Decided, token_of, user_of},
    cache::Keep,
    codec::Change,
    index::guarded,
    news,
    view::SessionView,
    writer::Shared,
};
use crate::{clock::Timestamp, id::SessionId};

/// A batch that is in the journal and nowhere else yet.
pub(crate) struct Durable {
    pub(crate) changes: Vec<Change>,
    pub(crate) decided: Decided,
    pub(crate) acknowledgements: Vec<Acknowledge>,
    pub(crate) at: Timestamp,
}

impl Durable {
    /// Makes the batch visible, and acknowledges it.
    pub(crate) fn apply(self, shared: &Shared) {
        let applied = self.make_visible(shared);
        for acknowledge in self.acknowledgements {
            acknowledge(applied.clone());
        }
    }

    fn make_visible(&self, shared: &Shared) -> Result<(), StoreError> {
        if shared.health() == Health::Failed {
            return Err(StoreError::Unknown);
        }
        if let Err(error) = guarded(|| self.changes.iter().try_for_each(|change| shared.index.apply(change, self.at))) {
            // Durable, but not to be read before the index is rebuilt: nobody may be told that it is done.
            shared.fail_index(format!("the index can't be written: {error}"));
            return Err(StoreError::Unknown);
        }
        let mut begun = HashSet::new();
        for change in &self.changes {
            update_cache(shared, change, &self.decided, &mut begun);
        }
        news::tell(shared, &self.changes, &self.decided);
        if self.changes.iter().any(|change| matches!(change, Change::Job { .. } | Change::JobEnded { .. })) {
            shared.jobs.changed.send_modify(|changes| *changes += 1);
        }
        Ok(())
    }
}

/// The thread that applies while the writer goes on.
pub(crate) struct Applier {
    batches: SyncSender<Durable>,
    applied: Receiver<()>,
    under_way: bool,
    thread: Option<JoinHandle<()>>,
}

impl Applier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let (batches, waiting) = sync_channel::<Durable>(1);
        let (done, applied) = sync_channel(1);
        let work = move || {
            for batch in waiting {
                batch.apply(&shared);
                if done.send(()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("bondhu-apply".to_owned()).spawn(work)?;
        Ok(Self { batches, applied, under_way: false, thread: Some(thread) })
    }

    /// Waits until nothing is under way.
    ///
    /// # Panics
    /// Where the thread did: the writer, which is told so, ends all writing.
    pub(crate) fn finish(&mut self) {
        if self.under_way {
            self.applied.recv().expect("the thread lives as long as it has not panicked");
            self.under_way = false;
        }
    }

    /// Has `batch` applied without waiting for it; nothing else may be under way.
    ///
    /// # Panics
    /// As [`Applier::finish`].
    pub(crate) fn begin(&mut self, batch: Durable) {
        assert!(self.batches.send(batch).is_ok(), "the thread lives as long as it has not panicked");
        self.under_way = true;
    }
}

impl Drop for Applier {
    /// Waits for the thread: who closes the store finds nothing under way.
    fn drop(&mut self) {
        let (closed, _) = sync_channel(0);
        drop(std::mem::replace(&mut self.batches, closed));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // Its panic was seen where a batch was waited for.
        }
    }
}

/// Brings the cache up to date with one change; `begun` has the sessions of this batch whose views were begun.
fn update_cache(shared: &Shared, change: &Change, decided: &Decided, begun: &mut HashSet<SessionId>) {
    let Shared { sessions, user_views, users, tokens, .. } = shared;
    match change {
        Change::Session { id, meta } => {
            // Later changes of the same batch come after it, as they do in the log. Only the first one of a new session finds
            // it empty: by the next the cache may have had no room for what was said in between.
            if decided.created.contains(id) && begun.insert(*id) && sessions.held(id).is_none() {
                sessions.insert(*id, SessionView::empty(*id, meta.clone()));
            } else {
                sessions.update(id, |view| view.apply(change));
            }
            user_views.update(&meta.owner, |view| view.apply(change));
        }
        Change::SessionDeleted { id, owner } => {
            sessions.update(id, |view| view.apply(change));
            user_views.update(owner, |view| view.apply(change));
        }
        Change::Message { session, .. } | Change::Outcome { session, .. } | Change::Erased { session, .. } => {
            sessions.update(session, |view| view.apply(change));
            if let Some(Some(state)) = decided.sessions.get(session) {
                user_views.update(&state.meta.owner, |view| view.apply(change));
            }
        }
        Change::User { id, record } => users.update(id, |user| {
            *user = user_of(*id, record);
            Keep::Yes
        }),
        Change::UserDeleted { id } => {
            users.update(id, |_| Keep::No);
            user_views.update(id, |view| view.apply(change));
        }
        Change::Token { digest, record } => tokens.update(&TokenDigest(*digest), |token| {
            *token = token_of(record, token.scopes);
            Keep::Yes
        }),
        // What it may do is loaded again with the login.
        Change::TokenEnded { digest, .. } | Change::Scopes { digest, .. } => {
            tokens.update(&TokenDigest(*digest), |_| Keep::No);
        }
        Change::Invitation { .. }
        | Change::InvitationUsed { .. }
        | Change::SendKey { .. }
        | Change::Job { .. }
        | Change::JobEnded { .. }
        | Change::Annotation { .. }
        | Change::Progress { .. } => {}
    }
}
