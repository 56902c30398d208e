//! What an import says at its end: what came in, what was repaired, what was left out, and where that stands.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Read, Write},
    path::Path,
};

use serde_json::{Value, json};

use super::super::Failure;
use crate::{
    id::UserId,
    import::{Fate, Note, What},
};

/// No line of a report is longer.
const LINE_MAX: u64 = 64 << 10;
/// Places of one kind that are listed; a report file has them all.
const LISTED_MAX: usize = 20;

/// What was seen so far.
pub(super) struct Report {
    file: Option<BufWriter<File>>,
    failed: Option<String>,
    path: String,
    notes: BTreeMap<(Fate, What), (u64, Vec<String>)>,
    /// Accounts, and whether they were made.
    users: HashMap<UserId, bool>,
    /// The ids of the old system's users that were seen and mapped.
    mapped: HashSet<String>,
    pub(super) sessions_made: u64,
    pub(super) sessions_found: u64,
    pub(super) sessions_left_out: u64,
    pub(super) added: u64,
    pub(super) there: u64,
}

/// A conversation, once it is done.
pub(super) struct Told<'a> {
    pub(super) key: &'a str,
    pub(super) session: Option<String>,
    pub(super) user: Option<&'a str>,
    pub(super) added: u64,
    pub(super) there: u64,
}

impl Report {
    /// A report that is also written to the file at `path`, as JSON Lines, over an older one.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let create = |path: &Path| {
            if is_other(path) {
                let why = "is there already, and no report: choose another --report, or remove it";
                return Err(Failure::Misused(format!("{} {why}", path.display())));
            }
            File::create(path).map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))
        };
        Ok(Self {
            file: path.map(create).transpose()?.map(BufWriter::new),
            failed: None,
            path: String::new(),
            notes: BTreeMap::new(),
            users: HashMap::new(),
            mapped: HashSet::new(),
            sessions_made: 0,
            sessions_found: 0,
            sessions_left_out: 0,
            added: 0,
            there: 0,
        })
    }

    /// What follows is of this file.
    pub(super) fn begin(&mut self, path: &Path) {
        self.path = path.display().to_string();
    }

    /// Something was not as it should be.
    pub(super) fn note(&mut self, note: &Note) {
        let (count, places) = self.notes.entry((note.what.fate(), note.what)).or_default();
        *count += 1;
        if places.len() < LISTED_MAX {
            places.push(note.at.clone());
        }
        let fate = match note.what.fate() {
            Fate::Repaired => "repaired",
            Fate::LeftOut => "left out",
        };
        self.line(&json!({"file": self.path, "at": note.at, "what": note.what.name(), "fate": fate}));
    }

    /// An account was found or made.
    pub(super) fn user(&mut self, id: UserId, made: bool) {
        self.users.entry(id).or_insert(made);
    }

    /// A user of the old system, for whom an account was named, is in the file.
    pub(super) fn map(&mut self, old: &str) {
        self.mapped.insert(old.to_owned());
    }

    /// True where that user was in a file.
    pub(super) fn is_mapped(&self, old: &str) -> bool {
        self.mapped.contains(old)
    }

    /// A conversation is done.
    pub(super) fn talk(&mut self, told: &Told<'_>) {
        self.added += told.added;
        self.there += told.there;
        self.line(&json!({
            "file": self.path, "conversation": told.key, "session": told.session, "user": told.user, "added": told.added,
            "there": told.there,
        }));
    }

    fn line(&mut self, value: &Value) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = writeln!(file, "{value}") {
            self.failed.get_or_insert_with(|| error.to_string());
        }
    }

    /// True where there is nothing that was imported, now or before.
    pub(super) fn is_nothing(&self) -> bool {
        let is_lost = self.notes.keys().any(|(_, what)| what.loses_messages());
        let is_empty = self.users.is_empty() && self.sessions_made + self.sessions_found == 0;
        self.added + self.there == 0 && (is_empty || is_lost)
    }

    /// True where a file was not whole, or hides a part of what it has.
    pub(super) fn is_of_broken_file(&self) -> bool {
        self.notes.keys().any(|(_, what)| what.is_broken_file())
    }

    /// All of it, for people.
    pub(super) fn text(&self) -> String {
        let made = self.users.values().filter(|made| **made).count();
        let mut text = format!(
            "users       {} made, {} found\nsessions    {} made, {} found, {} left out\nmessages    {} added, {} there already\n",
            made,
            self.users.len() - made,
            self.sessions_made,
            self.sessions_found,
            self.sessions_left_out,
            self.added,
            self.there
        );
        for ((fate, what), (count, places)) in &self.notes {
            let fate = match fate {
                Fate::Repaired => "repaired ",
                Fate::LeftOut => "left out ",
            };
            let more = count - places.len() as u64;
            let more = if more > 0 { format!(", and {more} more (--report FILE lists all)") } else { String::new() };
            let _ = writeln!(text, "{fate}   {} ({count}): {}{more}", what.sentence(), places.join(", "));
        }
        text
    }

    /// Wants the file to have everything.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let flushed = self.file.as_mut().map_or(Ok(()), Write::flush).map_err(|error| error.to_string());
        match self.failed.take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(Failure::Failed(format!("the report can't be written: {error}"))),
        }
    }
}

/// True where something else than a report is at `path`: a slip of the hand names the table that is to be imported.
fn is_other(path: &Path) -> bool {
    let mut first = String::new();
    let read = File::open(path).and_then(|file| BufReader::new(file.take(LINE_MAX)).read_line(&mut first));
    match read {
        Ok(0) => false,
        Ok(_) => serde_json::from_str::<Value>(&first).map_or(true, |line| !line["file"].is_string()),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}
