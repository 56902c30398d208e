//! Emptying all of a user's sessions: what there is now goes, some sessions at a time.

use super::{Batch, Decision};
use crate::{
    id::{SessionId, UserId},
    store::codec::Change,
};

/// Sessions that one command looks at: each that it empties is written with its whole prompt, and others wait meanwhile.
const AT_ONCE: usize = 64;

impl Batch<'_> {
    /// Empties the user's next sessions behind `after`; gives the last of them, where there may be more.
    pub(super) fn clear_sessions(&mut self, user: UserId, after: Option<SessionId>) -> Decision<Option<SessionId>> {
        let mut ids = self.index.sessions_after(user, after, AT_ONCE)?;
        let last = ids.last().copied().filter(|_| ids.len() == AT_ONCE);
        let is_next = |id: SessionId| after.is_none_or(|after| id > after) && last.is_none_or(|last| id <= last);
        ids.extend(self.decided.sessions.keys().copied().filter(|id| is_next(*id)));
        ids.sort_unstable();
        ids.dedup();
        let mut cleared = Vec::new();
        for id in ids {
            let Some(mut state) = self.state(id)?.filter(|state| state.meta.owner == user) else { continue };
            if state.end.head > state.meta.cleared_through {
                state.meta.cleared_through = state.end.head;
                state.meta.cleared_turns = state.end.turns;
                let at = state.end.last_at.take().unwrap_or(self.now); // From here on the change stands for it.
                state.meta.changed_at = state.meta.changed_at.max(at).max(self.now);
                cleared.push((id, state));
            }
        }
        for (id, state) in cleared {
            self.decided.cleared.insert(id);
            self.changes.push(Change::Session { id, meta: state.meta.clone() });
            self.decided.sessions.insert(id, Some(state));
        }
        Ok(last)
    }
}
