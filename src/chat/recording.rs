//! A running reply whose text is shown for good: each piece is durable before anyone is shown it, and after a crash the
//! reply goes on behind what was shown.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use super::{
    AGAIN, Inner,
    live::LiveReply,
    making::Made,
    response::{Asked, Note, NotedEnd},
};
use crate::store::{Ending, OpenTurn, StoreError};

/// Between two pieces, so that a fast model does not make a frame of every token: too short to be seen.
const PAUSE: Duration = Duration::from_millis(25);
/// The most pieces of one reply, for all of their ends are kept: what comes behind them is shown at the end.
pub(super) const PIECES_MAX: usize = 8192;

/// What is kept of a running response beside its text.
#[derive(Debug)]
pub(super) struct Recording {
    asked: Asked,
    shown: Mutex<Shown>,
    /// Changes with every piece.
    changed: watch::Sender<()>,
    /// Told of new text.
    grown: Notify,
}

/// Guarded by [`Recording`].
#[derive(Debug, Default)]
struct Shown {
    text: String,
    ends: Vec<usize>,
    /// The model that makes it, once one does.
    made_by: Option<String>,
}

impl Recording {
    /// Of a response that begins, or goes on behind `pieces`.
    pub(super) fn new(asked: Asked, pieces: Vec<String>) -> Self {
        let mut shown = Shown::default();
        for piece in pieces {
            shown.add(&piece);
        }
        Self { asked, shown: Mutex::new(shown), changed: watch::Sender::new(()), grown: Notify::new() }
    }

    /// What was asked.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// This model makes what comes next.
    pub(super) fn made_by(&self, model: &str) {
        self.lock().made_by = Some(model.to_owned());
    }

    /// The model that makes it; nothing where there is no text yet.
    pub(super) fn maker(&self) -> Option<String> {
        self.lock().made_by.clone()
    }

    /// There is more text.
    pub(super) fn grow(&self) {
        self.grown.notify_one();
    }

    /// The text that may be shown.
    pub(super) fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// The piece with this number, from 0, where it may be shown.
    pub(super) fn piece(&self, number: usize) -> Option<String> {
        let shown = self.lock();
        let end = *shown.ends.get(number)?;
        let start = number.checked_sub(1).map_or(0, |before| shown.ends[before]);
        Some(shown.text[start..end].to_owned())
    }

    /// Changes with every piece from here on.
    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Makes pieces of `reply`'s text durable, and then shows them, until it is dropped; where nothing is to be shown, it does
    /// nothing.
    pub(super) async fn record(&self, inner: &Inner, reply: &LiveReply) -> Infallible {
        if !self.asked.shown {
            return std::future::pending().await;
        }
        loop {
            self.grown.notified().await;
            let (at, count) = {
                let shown = self.lock();
                (shown.text.len(), shown.ends.len())
            };
            if count >= PIECES_MAX {
                break;
            }
            let Some(piece) = reply.piece(at) else { continue };
            let from = u32::try_from(at).unwrap_or(u32::MAX); // A reply has 64 KiB at the most.
            match inner.parts.store.progress(reply.turn, from, piece.text.clone()).await {
                Ok(()) => {
                    self.lock().add(&piece.text);
                    self.changed.send_replace(());
                    tokio::time::sleep(PAUSE).await;
                }
                // It is shown later: at the end of the reply, if not before.
                Err(StoreError::Busy | StoreError::DiskFull | StoreError::Unknown) => tokio::time::sleep(AGAIN).await,
                Err(_) => break,
            }
            self.grown.notify_one(); // There may be more by now.
        }
        std::future::pending().await
    }

    /// The annotation with which its turn ends.
    pub(super) fn note(&self, inner: &Inner, made: &Made) -> String {
        let Shown { text, mut ends, made_by } = std::mem::take(&mut *self.lock());
        let shown = match &made.ending {
            Ending::Reply { content, .. } => {
                if content.len() > text.len() {
                    ends.push(content.len());
                }
                String::new()
            }
            Ending::Failed { .. } | Ending::Interrupted => text,
        };
        let (finish, usage) = made.end.unzip();
        let model = made_by.unwrap_or_else(|| inner.parts.backend.model().to_owned());
        let at = inner.parts.clock.now();
        let ended = Some(NotedEnd { at, model, finish, usage, refused: made.refused, ends, shown });
        Note { asked: self.asked.clone(), ended }.write()
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn add(&mut self, piece: &str) {
        self.text.push_str(piece);
        self.ends.push(self.text.len());
    }
}

/// What a turn that a crash left open is to go on with; nothing where it is no response.
pub(super) async fn resumed(inner: &Inner, turn: OpenTurn) -> Result<Option<Recording>, StoreError> {
    let store = &inner.parts.store;
    let note = again(|| store.annotation(turn.session, turn.seq)).await?;
    let Some(note) = note.and_then(|text| Note::read(&text)) else { return Ok(None) };
    let pieces = again(|| store.pieces(turn)).await?;
    Ok(Some(Recording::new(note.asked, pieces)))
}

/// Reads until the store has time for it: a stored message must get its outcome.
pub(super) async fn again<T, F: Future<Output = Result<T, StoreError>>>(
    mut read: impl FnMut() -> F,
) -> Result<T, StoreError> {
    loop {
        match read().await {
            Err(StoreError::Busy) => tokio::time::sleep(AGAIN).await,
            read => return read,
        }
    }
}
