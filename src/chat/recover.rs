//! What a crash left pending: turns whose message is in the log and whose outcome is not.

use std::sync::Arc;

use super::{
    Inner,
    turn::{self, Place},
};
use crate::store::OpenTurn;

/// Finishes `open_turns`, which are in the order of the log. They take their places in their sessions' lines at once:
/// whatever is sent from now on comes after them. They need no slots, so no new work is before them.
pub(super) fn finish(inner: &Arc<Inner>, open_turns: Vec<OpenTurn>) {
    if !open_turns.is_empty() {
        tracing::info!(turns = open_turns.len(), "finishing the turns that were left open");
    }
    for open in open_turns {
        match Place::of_open_turn(inner, open) {
            Ok(place) => drop(inner.tasks.spawn(turn::finish(place, open))),
            Err(error) => tracing::error!(session = %open.session, %error, "an open turn can't be finished"),
        }
    }
}
