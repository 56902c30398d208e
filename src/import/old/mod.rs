//! The old system's table `chat_messages`: a row for each message and each reply, with nothing that says which belong
//! together.
//!
//! The file is read twice. First only who, where, when and a digest of each text are kept, 56 bytes a row; then each
//! session is put in order and paired, and its texts are read one after the other.

mod pairing;
mod rows;

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
};

use self::{
    pairing::{Paired, Row, pair},
    rows::{Broken, Raw, Rows},
};
use super::{Event, ImportError, Note, Owner, Said, Talk, Tell, What};
use crate::{
    clock::Timestamp,
    store::{ImportFailure, Speaker},
};

/// What is told of a message to which the old system stored no reply.
const NO_REPLY: &str = "The old system stored no reply to it.";
/// The most rows of one file.
const ROWS_MAX: usize = 20_000_000;
/// How often it is told how far the reading is, in rows.
const PROGRESS_EVERY: u64 = 1000;

/// A session of one user.
struct Session {
    user: String,
    key: String,
    /// True for the first user who has a session of this id.
    is_first: bool,
    rows: Vec<Row>,
    /// The time of the last row that has one.
    last: Option<Timestamp>,
}

pub(super) fn read(path: &Path, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    let mut rows = Rows::open(path)?;
    let length = rows.length();
    let mut sessions = collect(path, &mut rows, tell)?;
    // The order of the whole log is that of the imports: so it comes close to the order in which it was said.
    sessions.sort_by_key(|session| session.last);
    let mut done = 0;
    for session in sessions {
        done += session.rows.len() as u64;
        tell_session(path, session, &mut rows, tell)?;
        tell(Event::Progress(length / 2 + done.min(length / 2), length))?;
    }
    Ok(())
}

/// The first reading: which rows each session has.
fn collect(path: &Path, rows: &mut Rows, tell: &mut Tell<'_>) -> Result<Vec<Session>, ImportError> {
    let length = rows.length();
    let mut sessions: Vec<Session> = Vec::new();
    let mut places: HashMap<(String, String), usize> = HashMap::new();
    let mut firsts: HashMap<String, String> = HashMap::new();
    let (mut count, mut number) = (0, 0);
    while let Some(read) = rows.next()? {
        number += 1;
        if number % PROGRESS_EVERY == 0 {
            tell(Event::Progress(read.offset / 2, length))?;
        }
        let at = rows.at(read.number);
        let raw = match read.raw {
            Ok(raw) => raw,
            Err(broken) => {
                tell(Event::Note(note_of(broken, at)))?;
                continue;
            }
        };
        let mut note = |what| tell(Event::Note(Note { what, at: at.clone() }));
        if raw.user.is_empty() {
            note(What::NoUser)?;
            continue;
        }
        let Some(role) = raw.role() else {
            note(What::Sender)?;
            continue;
        };
        if raw.text.trim().is_empty() {
            note(What::Empty)?;
            continue;
        }
        if raw.has_mood {
            note(What::Mood)?;
        }
        if raw.session.is_empty() {
            note(What::NoSession)?;
        }
        count += 1;
        if count > ROWS_MAX {
            return Err(ImportError::unreadable(path, format!("has over {ROWS_MAX} rows: split it by user")));
        }
        let time = raw.time();
        if time.is_none() {
            note(What::NoTime)?;
        }
        let row =
            Row { number: read.number, offset: read.offset, role, time, text: hash(&raw.text), id: raw.id_hash() };
        let place = match places.entry((raw.user.clone(), raw.session.clone())) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(entry) => {
                let first = firsts.entry(raw.session.clone()).or_insert_with(|| raw.user.clone());
                let is_first = *first == raw.user;
                if !is_first && !raw.session.is_empty() {
                    note(What::Shared)?;
                }
                let (user, key) = (raw.user, raw.session);
                sessions.push(Session { user, key, is_first, rows: Vec::new(), last: None });
                *entry.insert(sessions.len() - 1)
            }
        };
        let session = &mut sessions[place];
        session.last = session.last.max(time);
        session.rows.push(row);
    }
    Ok(sessions)
}

fn tell_session(path: &Path, session: Session, rows: &mut Rows, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    let Session { user, key, is_first, rows: of_session, .. } = session;
    let Paired { lines, notes } = pair(of_session);
    // Rows without a session, and those of a second user of one, get an id of the user's own.
    let key = if is_first && !key.is_empty() { key } else { format!("{user}\n{key}") };
    let first = lines.first().and_then(|line| line.row.time);
    tell(Event::Talk(Talk {
        owner: Owner::Old(user),
        key,
        title: None,
        system_prompt: None,
        note: None,
        created_at: first,
        updated_at: None,
    }))?;
    for (number, what) in notes {
        tell(Event::Note(Note { what, at: rows.at(number) }))?;
    }
    for (place, line) in (1..).zip(lines) {
        let Some(Raw { id, text, .. }) = rows.read_at(line.row.offset)? else {
            return Err(ImportError::unreadable(path, "it was changed while it was read"));
        };
        if hash(&text) != line.row.text {
            return Err(ImportError::unreadable(path, "it was changed while it was read"));
        }
        let key = if id.is_empty() { format!("{} {}", line.row.number, line.row.text) } else { id };
        let failure = line.failed.then(|| ImportFailure { detail: NO_REPLY.to_owned(), too_slow: false });
        tell(Event::Said(Said {
            at: rows.at(line.row.number),
            key,
            place,
            role: line.row.role,
            text,
            reply_to: line.reply_to.map(|at| at as u64 + 1),
            stopped: false,
            failure,
            noted: false,
            erased: false,
            note: None,
            time: line.row.time,
        }))?;
    }
    Ok(())
}

/// What is told of a row that can't be read.
fn note_of(broken: Broken, at: String) -> Note {
    match broken {
        Broken::Malformed => Note { what: What::Malformed, at },
        Broken::CutShort => Note { what: What::CutShort, at },
        Broken::Swallowed => Note { what: What::Swallowed, at },
        Broken::OpenQuote { line, lines } => {
            let at = format!("{at}, which begins in line {line}: {lines} lines, to the end of the file");
            Note { what: What::OpenQuote, at }
        }
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl Raw {
    /// Who speaks; nothing where that is neither.
    fn role(&self) -> Option<Speaker> {
        match self.sender.to_ascii_lowercase().as_str() {
            "user" | "human" => Some(Speaker::User),
            "ai" | "assistant" | "bot" => Some(Speaker::Assistant),
            _ => None,
        }
    }

    fn time(&self) -> Option<Timestamp> {
        Timestamp::from_text(&self.time)
    }

    /// A digest of the row's id; 0 where it has none.
    fn id_hash(&self) -> u64 {
        if self.id.is_empty() { 0 } else { hash(&self.id) }
    }
}
