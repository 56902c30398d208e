//! What the writer tells the feed of one batch: only where someone listens, so that nobody else pays for it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{
    Status,
    batch::{Decided, State, session_of},
    codec::{Change, MessageRecord, OutcomeRecord},
    feed::{Event, SessionChange},
    fragment::Fragment,
    writer::Shared,
};
use crate::id::{Seq, SessionId, UserId};

/// Tells of `changes`, which are durable and in the cache, in their order.
pub(crate) fn tell(shared: &Shared, changes: &[Change], decided: &Decided) {
    let mut news: HashMap<UserId, Vec<Event>> = HashMap::new();
    // Created or cleared: only the change that did it is told as that.
    let mut told: HashSet<SessionId> = HashSet::new();
    for change in changes {
        let Some((owner, session, state)) = place(change, decided) else { continue };
        if news.contains_key(&owner) || shared.feed.is_heard(owner) {
            let events = news.entry(owner).or_default();
            match change {
                Change::Message { seq, record, .. } => message(events, shared, session, (*seq, record), state),
                Change::Outcome { seq, record, .. } => events.extend(failure(session, *seq, record)),
                Change::Session { meta, .. } => {
                    let through = meta.cleared_through;
                    let clears = state.is_some_and(|state| state.meta.cleared_through == through);
                    let change = if decided.created.contains(&session) && told.insert(session) {
                        SessionChange::Created
                    } else if decided.cleared.contains(&session) && clears && told.insert(session) {
                        SessionChange::Cleared(through)
                    } else {
                        SessionChange::Renamed
                    };
                    events.push(session_event(session, change, state));
                }
                Change::Erased { seq, .. } => events.push(Event::Erased { session, seq: *seq }),
                Change::SessionDeleted { .. } => events.push(session_event(session, SessionChange::Deleted, None)),
                Change::User { .. }
                | Change::UserDeleted { .. }
                | Change::Token { .. }
                | Change::TokenEnded { .. }
                | Change::Invitation { .. }
                | Change::InvitationUsed { .. }
                | Change::SendKey { .. }
                | Change::Job { .. }
                | Change::JobEnded { .. }
                | Change::Annotation { .. }
                | Change::Progress { .. }
                | Change::Scopes { .. } => {}
            }
        }
    }
    for (user, login) in &decided.ended_logins {
        if news.contains_key(user) || shared.feed.is_heard(*user) {
            news.entry(*user).or_default().push(Event::LoginEnded(*login));
        }
    }
    for (user, events) in news {
        shared.feed.publish(user, || events);
    }
}

/// Whose the change is, in which session, and how that stands after the batch.
fn place<'d>(change: &Change, decided: &'d Decided) -> Option<(UserId, SessionId, Option<&'d State>)> {
    let of_state = |session: SessionId| {
        let state = decided.sessions.get(&session)?.as_ref()?;
        Some((state.meta.owner, session, Some(state)))
    };
    match change {
        Change::Message { session, .. } | Change::Outcome { session, .. } | Change::Erased { session, .. } => {
            of_state(*session)
        }
        Change::Session { id, meta } => Some((meta.owner, *id, decided.sessions.get(id).and_then(Option::as_ref))),
        Change::SessionDeleted { id, owner } => Some((*owner, *id, None)),
        Change::User { .. }
        | Change::UserDeleted { .. }
        | Change::Token { .. }
        | Change::TokenEnded { .. }
        | Change::Invitation { .. }
        | Change::InvitationUsed { .. }
        | Change::SendKey { .. }
        | Change::Job { .. }
        | Change::JobEnded { .. }
        | Change::Annotation { .. }
        | Change::Progress { .. }
        | Change::Scopes { .. } => None,
    }
}

/// A message, that its session has moved, and for a reply that its turn has ended.
fn message(
    events: &mut Vec<Event>,
    shared: &Shared,
    session: SessionId,
    (seq, record): (Seq, &MessageRecord),
    state: Option<&State>,
) {
    let status = record.first_status();
    // The cache has rendered it already; unless a later message of the batch changed how it stands.
    let view = shared.sessions.held(&session);
    let cached = view.as_ref().and_then(|view| view.find(seq)).filter(|fragment| fragment.status == status);
    let json = cached.map_or_else(|| Fragment::new(seq, record, status, None).json, |fragment| fragment.json.clone());
    events.push(Event::Message { session, seq, reply_to: record.reply_to, json });
    if let Some(reply_to) = record.reply_to {
        let status = if record.stopped { Status::Stopped } else { Status::Answered };
        events.push(Event::Ended { session, reply_to, seq: Some(seq), status, detail: None });
    }
    events.push(session_event(session, SessionChange::Activity, state));
}

/// That a turn has ended without a reply, where the record says so.
fn failure(session: SessionId, reply_to: Seq, record: &OutcomeRecord) -> Option<Event> {
    let (status, detail) = match record {
        OutcomeRecord::Failed { detail, .. } | OutcomeRecord::RetryFailed { detail, .. } => {
            (Status::Failed, Some(detail.clone()))
        }
        OutcomeRecord::Interrupted { .. } => (Status::Interrupted, None),
        OutcomeRecord::Reply { .. } | OutcomeRecord::Retried { .. } | OutcomeRecord::Resumed { .. } => return None,
    };
    Some(Event::Ended { session, reply_to, seq: None, status, detail })
}

fn session_event(session: SessionId, change: SessionChange, state: Option<&State>) -> Event {
    let json = state.and_then(|state| {
        let mut shown = session_of(session, state);
        if change == SessionChange::Activity {
            shown.system_prompt = None; // It may be long, did not change, and would come with every message.
        }
        serde_json::to_vec(&shown).ok()
    });
    Event::Session { session, change, json: json.map(Bytes::from) }
}
