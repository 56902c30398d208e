//! Files of other systems, and of other servers, read as one stream: who, which session, what was said.
//!
//! Nothing is guessed in silence: what is repaired or can't be kept is told by a [`Note`] with its place in the file. Nothing
//! here stores anything, and no more than one conversation is in memory, or for the old system's table a few words for each row.

mod array;
mod chatgpt;
mod lines;
mod native;
mod note;
mod old;
mod open_webui;
mod tree;
mod turns;

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

pub use self::note::{Fate, Note, What};
use crate::{
    clock::Timestamp,
    id::Id,
    store::{ImportFailure, Role, Speaker, Tier},
};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON Lines, as `bondhu export` and `GET /api/v1/auth/export` write them.
    Bondhu,
    /// The old system's table `chat_messages`, as CSV or JSON Lines.
    Old,
    /// ChatGPT's `conversations.json`, or the folder that it came in.
    Chatgpt,
    /// Open WebUI's export of chats.
    OpenWebui,
}

/// What a file has, in order.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// An account; the talks that follow are its own.
    Account(Account),
    /// A conversation begins.
    Talk(Talk),
    /// The next message of it.
    Said(Said),
    /// Something that is not as it should be.
    Note(Note),
    /// So many bytes of so many are read.
    Progress(u64, u64),
}

/// An account of another server.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// The user name.
    pub username: String,
    /// How to call the person.
    pub display_name: Option<String>,
    /// What it may do there.
    pub role: Role,
    /// Which limits hold there.
    pub tier: Tier,
    /// True where it is shut there.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// The password's hash.
    pub password: Option<String>,
}

/// Whose a conversation is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Owner {
    /// The account that came last.
    Account,
    /// The user whom the old system called so.
    Old(String),
    /// Whoever is named where the file is imported: it says nothing of that.
    Named,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Talk {
    /// Whose it is.
    pub owner: Owner,
    /// What it is called there: an id.
    pub key: String,
    /// Its title.
    pub title: Option<String>,
    /// Its own instructions for the backend.
    pub system_prompt: Option<String>,
    /// What programs keep of it.
    pub note: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it last changed.
    pub updated_at: Option<Timestamp>,
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Where it stands in the file, for people.
    pub at: String,
    /// What it is called there: an id.
    pub key: String,
    /// Its place in the conversation, by which replies name it.
    pub place: u64,
    /// Who speaks.
    pub role: Speaker,
    /// The text.
    pub text: String,
    /// Of a reply, the place of what it answers.
    pub reply_to: Option<u64>,
    /// True for a reply that was stopped before its end.
    pub stopped: bool,
    /// Of a message without a reply, why there is none.
    pub failure: Option<ImportFailure>,
    /// True for what belongs to no turn: nobody was asked to answer it, and it answers nothing.
    pub noted: bool,
    /// True where its text was taken out.
    pub erased: bool,
    /// What programs keep beside it.
    pub note: Option<String>,
    /// When it was said.
    pub time: Option<Timestamp>,
}

/// Why a file can't be read any further.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {why}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Whoever was told of an event wants no more: the reason.
    #[error("{0}")]
    Stopped(String),
}

impl ImportError {
    fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { path: path.clone(), source }
    }

    fn unreadable(path: &Path, why: impl Into<String>) -> Self {
        Self::Unreadable { path: path.to_owned(), why: why.into() }
    }
}

/// Who is told of events; an error ends the reading.
pub type Tell<'t> = dyn FnMut(Event) -> Result<(), ImportError> + 't;

/// Reads the file at `path` from its beginning to its end, and tells of everything in it.
///
/// # Errors
/// As [`ImportError`] says. What was told before stands.
pub fn read(path: &Path, format: Format, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    match format {
        Format::Bondhu => native::read(path, tell),
        Format::Old => old::read(path, tell),
        Format::Chatgpt => chatgpt::read(path, tell),
        Format::OpenWebui => open_webui::read(path, tell),
    }
}

/// How much of a file is looked at to see what it is.
const LOOKED_AT: u64 = 256 << 10;

/// What the file at `path` is, by what it begins with; nothing where that is not known.
///
/// # Errors
/// The system's.
pub fn detect(path: &Path) -> Result<Option<Format>, ImportError> {
    if path.is_dir() {
        return Ok(Some(Format::Chatgpt));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(ImportError::io(path))?;
    file.take(LOOKED_AT).read_to_end(&mut bytes).map_err(ImportError::io(path))?;
    if bytes.starts_with(b"\xFF\xFE") || bytes.starts_with(b"\xFE\xFF") {
        return Err(ImportError::unreadable(path, "it is encoded as UTF-16: save it as UTF-8"));
    }
    if bytes.starts_with(b"sep=") || bytes.starts_with(b"\xEF\xBB\xBFsep=") {
        let why =
            "its first line says how columns are separated (\"sep=\"): take that line out, and save it with commas";
        return Err(ImportError::unreadable(path, why));
    }
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches('\u{FEFF}').trim_start();
    let has = |words: &[&str]| words.iter().all(|word| text.contains(&format!("\"{word}\"")));
    let first = text.lines().next().unwrap_or_default();
    Ok(if text.starts_with('[') && has(&["mapping"]) {
        Some(Format::Chatgpt)
    } else if text.starts_with(['[', '{']) && has(&["chat", "messages"]) {
        Some(Format::OpenWebui)
    } else if first.starts_with('{') && first.contains("\"sender_type\"") {
        Some(Format::Old)
    } else if first.starts_with('{') && first.contains("\"type\"") {
        Some(Format::Bondhu)
    } else if !first.starts_with(['[', '{']) && first.contains("sender_type") {
        Some(Format::Old)
    } else {
        None
    })
}

/// The id that the parts always give, here and on the next import, shaped as version 4 so that clients may name it.
#[must_use]
pub fn derived<K>(parts: &[&[u8]]) -> Id<K> {
    let mut hasher = Sha256::new_with_prefix(b"bondhu import");
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    Id::from_bytes(bytes)
}
