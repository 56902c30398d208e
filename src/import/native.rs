//! JSON Lines as `bondhu export` and `GET /api/v1/auth/export` write them.

use std::{fs::File, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{Account, Event, ImportError, Note, Owner, Said, Talk, Tell, What, lines::Lines};
use crate::{
    clock::Timestamp,
    store::{ImportFailure, NOTE_BYTES_MAX, Role, Speaker, Tier},
};

/// How often it is told how far the reading is, in lines.
const PROGRESS_EVERY: u64 = 1000;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    User {
        username: String,
        display_name: Option<String>,
        role: Option<Role>,
        tier: Option<Tier>,
        created_at: Option<String>,
        #[serde(default)]
        disabled: bool,
        password: Option<String>,
    },
    Login {},
    Session {
        id: String,
        head: Option<u64>,
        title: Option<String>,
        system_prompt: Option<String>,
        note: Option<Value>,
        created_at: Option<String>,
        updated_at: Option<String>,
    },
    Message(Message),
}

#[derive(Deserialize)]
struct Message {
    session_id: String,
    seq: u64,
    id: String,
    role: Speaker,
    content: String,
    reply_to: Option<u64>,
    status: Option<String>,
    created_at: Option<String>,
    failure: Option<ImportFailure>,
    #[serde(default)]
    erased: bool,
    note: Option<Value>,
}

/// How much of a session has come.
#[derive(Default)]
struct Part {
    session: String,
    /// The last place that was given in it.
    head: Option<u64>,
    /// Messages, and the place of the first: what is before it was cleared.
    seen: u64,
    first: u64,
}

impl Part {
    /// Tells what is missing of the session, which ends here. One that was cleared as a whole has no message either.
    fn end(&mut self, tell: &mut Tell<'_>) -> Result<(), ImportError> {
        let Self { session, head, seen, first } = std::mem::take(self);
        let Some(head) = head.filter(|_| seen > 0) else { return Ok(()) };
        let wanted = (head + 1).saturating_sub(first);
        let missing = wanted.saturating_sub(seen);
        if missing == 0 {
            return Ok(());
        }
        let at = format!("session {session}: {missing} of {wanted}");
        tell(Event::Note(Note { what: What::Incomplete, at }))
    }
}

pub(super) fn read(path: &Path, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    let file = File::open(path).map_err(ImportError::io(path))?;
    let length = file.metadata().map_err(ImportError::io(path))?.len();
    let mut lines = Lines::of(file);
    let mut part = Part::default();
    while let Some(line) = lines.next().map_err(ImportError::io(path))? {
        let at = format!("line {}", line.number);
        let parsed = line.bytes.as_deref().and_then(|bytes| serde_json::from_slice::<Line>(bytes).ok());
        match parsed {
            None => {
                let what = if line.is_last { What::CutShort } else { What::Malformed };
                tell(Event::Note(Note { what, at }))?;
            }
            Some(Line::Login {}) => tell(Event::Note(Note { what: What::Login, at }))?,
            Some(Line::User { username, display_name, role, tier, created_at, disabled, password }) => {
                part.end(tell)?;
                tell(Event::Account(Account {
                    username,
                    display_name,
                    role: role.unwrap_or(Role::User),
                    tier: tier.unwrap_or(Tier::Free),
                    disabled,
                    created_at: time(created_at.as_ref()),
                    password,
                }))?;
            }
            Some(Line::Session { id, head, title, system_prompt, note, created_at, updated_at }) => {
                part.end(tell)?;
                let note = kept(note, &at, tell)?;
                part = Part { session: id.clone(), head, ..Part::default() };
                let (created_at, updated_at) = (time(created_at.as_ref()), time(updated_at.as_ref()));
                let owner = Owner::Account;
                tell(Event::Talk(Talk { owner, key: id, title, system_prompt, note, created_at, updated_at }))?;
            }
            Some(Line::Message(message)) if message.session_id != part.session => {
                tell(Event::Note(Note { what: What::NoSession, at }))?;
            }
            Some(Line::Message(mut message)) => {
                part.first = if part.seen == 0 { message.seq } else { part.first };
                part.seen += 1;
                let note = kept(message.note.take(), &at, tell)?;
                tell(Event::Said(said(message, at, note)))?;
            }
        }
        if line.number % PROGRESS_EVERY == 0 {
            tell(Event::Progress(line.offset, length))?;
        }
    }
    part.end(tell)
}

fn time(text: Option<&String>) -> Option<Timestamp> {
    text.and_then(|text| Timestamp::from_text(text))
}

/// What programs keep, as the text that it is here.
fn kept(note: Option<Value>, at: &str, tell: &mut Tell<'_>) -> Result<Option<String>, ImportError> {
    let text = match note {
        None => return Ok(None),
        Some(Value::String(text)) => Some(text),
        Some(object @ Value::Object(_)) => Some(object.to_string()),
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => None,
    };
    let text = text.filter(|text| text.len() <= NOTE_BYTES_MAX);
    if text.is_none() {
        tell(Event::Note(Note { what: What::Kept, at: at.to_owned() }))?;
    }
    Ok(text)
}

fn said(message: Message, at: String, note: Option<String>) -> Said {
    let Message { seq, id, role, content, reply_to, status, created_at, failure, erased, .. } = message;
    let status = status.unwrap_or_default();
    let failed = || ImportFailure { detail: super::turns::NO_REPLY.to_owned(), too_slow: false };
    let noted = status == "noted" || matches!(role, Speaker::System | Speaker::Developer);
    let failure = (role == Speaker::User && status == "failed").then(|| failure.unwrap_or_else(failed));
    Said {
        at,
        key: id,
        place: seq,
        role,
        text: content,
        reply_to,
        stopped: role == Speaker::Assistant && status == "stopped",
        failure,
        noted,
        erased,
        note,
        time: time(created_at.as_ref()),
    }
}
