//! A session that was given no title gets one from the first thing its user said, when its first turn has ended.
//!
//! The title is stored in the frame of the job's end, by the writer, which knows whether the user has set one meanwhile.

use std::{sync::Arc, time::Duration};

use super::{Failure, Kind};
use crate::{
    id::{Seq, SessionId, UserId},
    store::{JobEffect, Speaker, Store, StoreError, TITLES},
    text::Title,
};

const LEASE: Duration = Duration::from_secs(30);
/// Messages that are looked at.
const LOOK: usize = 20;

pub(super) fn kind(store: Arc<Store>) -> Kind {
    let run = move |job: &crate::store::Job| {
        let (store, session, owner) = (Arc::clone(&store), job.payload.parse::<SessionId>(), job.user);
        let work: super::Work = Box::pin(async move {
            match (session, owner) {
                (Ok(session), Some(owner)) => title(&store, session, owner).await,
                _ => Err(Failure("the job names no session, or no owner".to_owned())),
            }
        });
        work
    };
    Kind {
        name: TITLES,
        lease: LEASE,
        is_long: false,
        every: None,
        at_once: false,
        makes_room: false,
        run: Box::new(run),
    }
}

async fn title(store: &Store, session: SessionId, owner: UserId) -> Result<JobEffect, Failure> {
    let first = match store.run(session, Seq::ZERO.next(), true, LOOK).await {
        Err(StoreError::NotOwner(_)) => return Ok(JobEffect::Nothing), // Deleted meanwhile.
        read => read?,
    };
    // A program may have put instructions before what its user said.
    let said = first.iter().find(|message| message.role == Speaker::User && !message.content.is_empty());
    let Some(message) = said else { return Ok(JobEffect::Nothing) };
    let title = Title::of_words(&message.content);
    Ok(title.map_or(JobEffect::Nothing, |title| JobEffect::Title { session, owner, title: title.into_string() }))
}
