//! Admission of a turn: its user's allowance, a reply slot, and a place in its session's line. Nothing is stored before.

use std::sync::Arc;

use super::{ChatError, Inner, line::Place};
use crate::{
    admission::rate::Rates,
    auth::Identity,
    id::{SessionId, UserId},
    store::{StoreError, Tier},
};

/// Charges the caller, gets a slot where the session's line does not have one, and takes the next place in that line.
pub(super) async fn admitted<T>(
    inner: &Arc<Inner>,
    caller: &Identity,
    session: SessionId,
    mut begin: impl FnMut() -> Result<T, StoreError>,
) -> Result<(Place, T), ChatError> {
    let parts = &inner.parts;
    let user = caller.id();
    let charge = Charge::new(&parts.rates, caller)?;
    let mut slot = None;
    loop {
        // Where others wait, a turn that only joins a line waits with them, and gives back what it was given: who is in
        // must not get in again before them.
        let wanted = parts.slots.are_wanted();
        if slot.is_none() && (!inner.lines.is_there(session, wanted)? || wanted) {
            slot = Some(parts.slots.acquire(user).await?);
        }
        // The line may have ended since it was looked at; then a slot is needed after all.
        if let Some(entered) = inner.lines.enter(session, &mut slot, &mut begin)? {
            charge.keep();
            return Ok(entered);
        }
    }
}

/// What a message costs its user, given back where it is not taken: that is not the user's excess.
pub(super) struct Charge<'r> {
    rates: &'r Rates,
    user: UserId,
    tier: Tier,
    kept: bool,
}

impl<'r> Charge<'r> {
    pub(super) fn new(rates: &'r Rates, caller: &Identity) -> Result<Self, ChatError> {
        let (user, tier) = (caller.id(), caller.user().tier);
        rates.charge_message(user, tier)?;
        Ok(Self { rates, user, tier, kept: false })
    }

    /// It is taken.
    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if !self.kept {
            self.rates.refund_message(self.user, self.tier);
        }
    }
}
