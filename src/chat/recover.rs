//! What a crash left pending: turns whose message is in the log and whose outcome is not.

use std::sync::Arc;

use super::{AGAIN, Inner, turn};
use crate::store::{OpenTurn, StoreError};

/// How many starts answer a turn again; then it ends as interrupted. A reply that brings the server down must not do so
/// at every start.
const RESUMES_MAX: u32 = 2;

/// Finishes `open_turns`, which are in the order of the log. They take their places in their sessions' lines at once:
/// whatever is sent from now on comes after them. They get their slots before all new work.
pub(super) fn finish(inner: &Arc<Inner>, open_turns: Vec<OpenTurn>) {
    if open_turns.is_empty() {
        return;
    }
    tracing::info!(turns = open_turns.len(), "finishing the turns that were left open");
    let mut places: Vec<_> = open_turns.iter().map(|turn| (*turn, inner.lines.enter_again(turn.session))).collect();
    let counting = Arc::clone(inner);
    inner.tasks.spawn(async move {
        let inner = counting;
        let resumed = loop {
            match inner.parts.store.resume(open_turns.clone(), RESUMES_MAX).await {
                Err(StoreError::Busy | StoreError::DiskFull) => tokio::time::sleep(AGAIN).await,
                Err(StoreError::Unknown) if inner.parts.store.health().writes() => tokio::time::sleep(AGAIN).await,
                Err(error) => {
                    tracing::error!(%error, "the open turns can't be finished; the next start tries again");
                    return;
                }
                Ok(resumed) => break resumed,
            }
        };
        for resumed in resumed {
            if let Some(at) = places.iter().position(|(turn, _)| *turn == resumed.turn) {
                let (_, place) = places.remove(at);
                inner.tasks.spawn(turn::finish(Arc::clone(&inner), place, resumed));
            }
        }
    });
}
