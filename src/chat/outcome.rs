//! The outcome of a turn: recorded, told to whoever follows, and found again.

use super::{AGAIN, Answer, ChatError, Inner, live::LiveReply};
use crate::store::{Ending, Event, Message, OpenTurn, Outcome, Status, StoreError};

/// What is told of a turn whose message went while it ran.
pub(super) const DELETED: &str = "The message was deleted while it was being answered.";

/// Whether a turn gets its first outcome or another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    First,
    Again,
}

/// Tells who follows that an answer anew has failed, where the log does not: the outcome that there was has stayed.
pub(super) async fn announce_kept(inner: &Inner, reply: &LiveReply, detail: &str) {
    let turn = reply.turn;
    if let Ok(Some((message, Outcome::Reply(_)))) = inner.parts.store.turn(turn.session, turn.seq).await {
        let ended = Event::Ended {
            session: turn.session,
            reply_to: turn.seq,
            seq: None,
            status: message.status,
            detail: Some(detail.to_owned()),
        };
        inner.parts.store.announce(reply.owner(), ended);
    }
}

/// Tells who follows that there will be no reply, because the message was deleted; nothing of that is in the log.
pub(super) fn announce_gone(inner: &Inner, reply: &LiveReply) {
    let OpenTurn { session, seq: reply_to } = reply.turn;
    let detail = Some(DELETED.to_owned());
    let ended = Event::Ended { session, reply_to, seq: None, status: Status::Failed, detail };
    inner.parts.store.announce(reply.owner(), ended);
}

/// Records the outcome. A stored message must get one, so a full queue and a failed write are waited for.
pub(super) async fn conclude(
    inner: &Inner,
    turn: OpenTurn,
    ending: Ending,
    annotation: Option<String>,
    record: Record,
) -> Result<Option<Message>, StoreError> {
    let store = &inner.parts.store;
    loop {
        let done = match record {
            Record::First => store.conclude(turn, ending.clone(), annotation.clone()).await,
            Record::Again => store.retry(turn, ending.clone()).await,
        };
        match done {
            Err(StoreError::Busy | StoreError::DiskFull) => {}
            // The write was taken back while the store goes on.
            Err(StoreError::Unknown) if store.health().writes() => {}
            // The message is stored, so this is no refusal: the next start answers it.
            Err(StoreError::Ended) => return Err(StoreError::Unknown),
            done => return done,
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The outcome of a message that was sent before: from the turn, while it runs, else from the log.
pub(super) async fn outcome_of(inner: &Inner, turn: OpenTurn) -> Result<Answer, ChatError> {
    loop {
        // A first answer that runs; one anew leaves the outcome as it is until it has a reply.
        if let Some(heard) = match inner.live.get(turn) {
            Some(reply) if reply.attempt == 1 => reply.outcome().await,
            Some(_) | None => None,
        } {
            return heard.map(|answer| Answer { repeated: true, ..answer });
        }
        if let Some(outcome) = of_log(inner, turn).await? {
            return outcome.map(|answer| Answer { repeated: true, ..answer });
        }
        // Its task has just begun or just ended, or answers it after a crash: look again.
        if !inner.parts.store.health().writes() {
            return Err(ChatError::Store(StoreError::Unknown));
        }
        match inner.live.get(turn) {
            Some(reply) => drop(reply.outcome().await),
            None => tokio::time::sleep(AGAIN).await,
        }
    }
}

/// The outcome that the log has of a turn, if any.
pub(super) async fn of_log(inner: &Inner, turn: OpenTurn) -> Result<Option<Result<Answer, ChatError>>, ChatError> {
    let stored = inner.parts.store.turn(turn.session, turn.seq).await?;
    let (message, outcome) = stored.ok_or(ChatError::DeletedMeanwhile)?;
    Ok(match outcome {
        Outcome::Reply(reply) => Some(Ok(Answer { session: turn.session, message, reply, repeated: false })),
        Outcome::Failed { detail, too_slow } => {
            Some(Err(ChatError::Failed { session: turn.session, message: message.id, detail, too_slow }))
        }
        Outcome::Interrupted => Some(Err(interrupted(turn, &message))),
        Outcome::Pending => None,
    })
}

pub(super) fn interrupted(turn: OpenTurn, message: &Message) -> ChatError {
    ChatError::Failed {
        session: turn.session,
        message: message.id,
        detail: "The server stopped while it was answering; please try again.".to_owned(),
        too_slow: false,
    }
}
