//! A user's data as JSON Lines: one line of the account, one for each login, then each session with its messages.
//!
//! `{"type":"user",...}`, `{"type":"login",...}`, `{"type":"session",...}`, `{"type":"message","session_id":...,...}`. What
//! programs keep beside a session or a message is its `note`. A line stands by itself, so that a long export is made and read in constant memory. `src/import/native.rs` reads it again.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ImportFailure, Message, Role, Session, Speaker, Status, Store, StoreError, Tier, Token,
    batch::{State, message_of, session_of, token_of, user_of},
    index::{Index, IndexError},
    log::{Ended, NOW, Within},
};
use crate::{
    clock::{Timestamp, rfc3339},
    id::{Seq, SessionId, TokenId, UserId},
};

/// Messages of one step.
const STEP: u64 = 200;
/// A step ends with the message that goes beyond so many bytes of lines.
const STEP_BYTES: usize = 256 << 10;

/// Where an export stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportCursor {
    session: Option<SessionId>,
    seq: Seq,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    User {
        id: UserId,
        username: &'a str,
        display_name: &'a str,
        role: Role,
        tier: Tier,
        #[serde(serialize_with = "rfc3339")]
        created_at: Timestamp,
        #[serde(skip_serializing_if = "is_false")]
        disabled: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        password: Option<&'a str>,
    },
    Login {
        id: TokenId,
        label: Option<&'a str>,
        #[serde(serialize_with = "rfc3339")]
        created_at: Timestamp,
        #[serde(serialize_with = "rfc3339")]
        expires_at: Timestamp,
        #[serde(serialize_with = "rfc3339")]
        last_used_at: Timestamp,
        #[serde(skip_serializing_if = "is_false")]
        program: bool,
    },
    Session {
        #[serde(flatten)]
        session: &'a Session,
        /// What programs keep of it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<Value>,
    },
    Message {
        session_id: SessionId,
        #[serde(flatten)]
        message: &'a Message,
        /// Why a message that failed has no reply.
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<ImportFailure>,
        /// True where its text was taken out.
        #[serde(skip_serializing_if = "is_false")]
        erased: bool,
        /// What programs keep beside it.
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<Value>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Whether the account's password hash is a part of its export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Passwords {
    /// It is left out: the export is for the user, or for anyone.
    Without,
    /// It is in it: the export is a secret of the operator.
    With,
}

impl Store {
    /// The next lines of a user's export after `after`; nothing at the end.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn export(
        &self,
        user: UserId,
        after: Option<ExportCursor>,
        passwords: Passwords,
    ) -> Result<Option<(Bytes, ExportCursor)>, StoreError> {
        self.scan(move |index| Ok(step(index, user, after, passwords)?)).await
    }
}

fn step(
    index: &Index,
    user: UserId,
    after: Option<ExportCursor>,
    passwords: Passwords,
) -> Result<Option<(Bytes, ExportCursor)>, IndexError> {
    let mut out = Vec::new();
    let Some(cursor) = after else {
        account(index, user, passwords, &mut out)?;
        return Ok(Some((Bytes::from(out), ExportCursor { session: None, seq: Seq::ZERO })));
    };
    let mut at = cursor;
    loop {
        if let Some(id) = at.session
            && let Some(meta) = index.session_meta(id)?
        {
            let first = at.seq.max(meta.cleared_through).next();
            let head = index.log_end(id, meta.cleared_through, meta.cleared_turns)?.head;
            let last = Seq(first.0 + STEP - 1).min(head);
            if first <= last {
                let last = messages(index, id, first, last, &mut out)?;
                return Ok(Some((Bytes::from(out), ExportCursor { session: Some(id), seq: last })));
            }
        }
        let Some(id) = next_session(index, user, at.session)? else {
            return Ok((!out.is_empty()).then(|| (Bytes::from(out), at)));
        };
        if let Some(meta) = index.session_meta(id)? {
            let end = index.log_end(id, meta.cleared_through, meta.cleared_turns)?;
            let (session, note) = (session_of(id, &State { meta, end }), note(index, id, Seq::ZERO)?);
            line(&Line::Session { session: &session, note }, &mut out);
        }
        at = ExportCursor { session: Some(id), seq: Seq::ZERO };
        if out.len() >= STEP_BYTES {
            return Ok(Some((Bytes::from(out), at)));
        }
    }
}

fn account(index: &Index, user: UserId, passwords: Passwords, out: &mut Vec<u8>) -> Result<(), IndexError> {
    if let Some(record) = index.user_record(user)? {
        let user = user_of(user, &record);
        line(
            &Line::User {
                id: user.id,
                username: &user.username,
                display_name: &user.display_name,
                role: user.role,
                tier: user.tier,
                created_at: user.created_at,
                disabled: user.disabled,
                password: (passwords == Passwords::With).then_some(&user.password),
            },
            out,
        );
    }
    for (digest, record) in index.token_records(user)? {
        let token = token_of(&record, index.scopes(&digest)?);
        let Token { id, label, created_at, expires_at, last_used_at, scopes, .. } = token;
        let (label, program) = (label.as_deref(), scopes.is_some());
        line(&Line::Login { id, label, created_at, expires_at, last_used_at, program }, out);
    }
    Ok(())
}

/// Adds messages from `first` on, to `last` at the most, and gives the last one that it added.
fn messages(index: &Index, session: SessionId, first: Seq, last: Seq, out: &mut Vec<u8>) -> Result<Seq, IndexError> {
    let (entries, is_cut) = index.entries_within(session, (first, last), NOW, Within::First(STEP_BYTES))?;
    let last = entries.last().filter(|_| is_cut).map_or(last, |entry| entry.seq);
    for entry in entries {
        let message = message_of(entry.seq, &entry.record, entry.status);
        let failure = if entry.status == Status::Failed { failure(index, session, entry.seq)? } else { None };
        // A reply that was stopped before its first word has no text either.
        let is_stopped = message.role == Speaker::Assistant && message.status == Status::Stopped;
        let erased = message.content.is_empty() && !is_stopped;
        let note = note(index, session, entry.seq)?;
        line(&Line::Message { session_id: session, message: &message, failure, erased, note }, out);
        if out.len() >= STEP_BYTES {
            return Ok(entry.seq);
        }
    }
    Ok(last)
}

/// What programs keep at a place: the object that it is, else the text.
fn note(index: &Index, session: SessionId, seq: Seq) -> Result<Option<Value>, IndexError> {
    let annotation = index.annotation(session, seq)?;
    Ok(annotation.map(|text| match serde_json::from_str::<Value>(&text) {
        Ok(object @ Value::Object(_)) => object,
        Ok(_) | Err(_) => Value::String(text),
    }))
}

fn failure(index: &Index, session: SessionId, seq: Seq) -> Result<Option<ImportFailure>, IndexError> {
    Ok(match index.ended(session, seq)? {
        Ended::Failed { detail, too_slow } => Some(ImportFailure { detail, too_slow }),
        Ended::NotYet | Ended::Reply(..) | Ended::Interrupted => None,
    })
}

/// The user's session after `after` in the order of ids.
fn next_session(index: &Index, user: UserId, after: Option<SessionId>) -> Result<Option<SessionId>, IndexError> {
    Ok(index.sessions_after(user, after, 1)?.pop())
}

fn line(line: &Line<'_>, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, line).expect("numbers, texts and ids always serialise, and a Vec takes them all");
    out.push(b'\n');
}
