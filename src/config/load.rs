//! Defaults, then the file, then the environment, then flags: the later wins, and every fault of all is reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{Config, Fault, Faults, Place, SETTINGS, Setting, check, fault::nearest, given::Given};

/// The file that is read where none is named and it is there.
pub const DEFAULT_FILE: &str = "bondhu.toml";
/// What a variable of the environment begins with that sets a key.
pub(super) const PREFIX: &str = "BONDHU__";
/// The largest file that is read, bytes; a hundred times what all keys with their comments take.
const FILE_MAX: u64 = 1 << 20;

/// Where a configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that was named; without one [`DEFAULT_FILE`] is read where it is there.
    pub file: Option<PathBuf>,
    /// The environment. Names without the prefix `BONDHU__` are somebody else's.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags in their order; a later one wins.
    pub flags: Vec<Flag>,
    /// True to look as well whether this machine has what the config asks for: a data directory that can be written, a
    /// key file that only its owner can read. Nothing is made or changed.
    pub surroundings: bool,
}

/// A flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// As it was written, for reports: `--listen`, `-O server.listen`.
    pub name: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

/// A configuration without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// What holds.
    pub config: Config,
    /// What is allowed but should be known: sentences for a person.
    pub warnings: Vec<String>,
    /// Where the keys that are set were set; the others have their defaults.
    pub places: BTreeMap<&'static str, Place>,
    /// The file that was read; none where there was none.
    pub file: Option<PathBuf>,
}

impl Loaded {
    /// What is wrong where the file is gone that `before` was read from: without it nothing of what was set would hold.
    ///
    /// # Errors
    /// One fault, which names that file.
    pub fn has_not_lost_the_file_of(&self, before: &Self) -> Result<(), Faults> {
        match (&before.file, &self.file) {
            (Some(path), None) => {
                let place = Place::File { path: path.clone(), line: 0, column: 0 };
                let message = "is not there any more: put it back, or restart the server to run without it";
                Err(Faults(vec![Fault { place, message: message.to_owned() }]))
            }
            (Some(_) | None, _) => Ok(()),
        }
    }
}

impl From<Config> for Loaded {
    /// A configuration that was set by nothing that could be named.
    fn from(config: Config) -> Self {
        Self { config, warnings: Vec::new(), places: BTreeMap::new(), file: None }
    }
}

/// Reads the configuration.
///
/// # Errors
/// Every fault of the file, the environment and the flags.
pub fn load(sources: &Sources) -> Result<Loaded, Faults> {
    let mut loading = Loading::default();
    loading.file(sources.file.as_deref());
    loading.over_file(sources)
}

/// [`load()`] of a file that says `text`.
#[cfg(any(test, fuzzing))]
pub(super) fn load_text(text: &str, sources: &Sources) -> Result<Loaded, Faults> {
    let mut loading = Loading::default();
    FileText { path: Path::new(DEFAULT_FILE), text }.apply(&mut loading);
    loading.over_file(sources)
}

/// A configuration that is being read.
#[derive(Default)]
struct Loading {
    config: Config,
    places: BTreeMap<&'static str, Place>,
    file: Option<PathBuf>,
    faults: Vec<Fault>,
    /// True where the file could not be read: what holds is not what was meant.
    is_unread: bool,
    /// Keys that were given a wrong value somewhere.
    faulty: BTreeSet<&'static str>,
}

impl Loading {
    fn file(&mut self, named: Option<&Path>) {
        let path = named.unwrap_or(Path::new(DEFAULT_FILE));
        match read(path) {
            Ok(text) => {
                self.file = Some(path.to_owned());
                FileText { path, text: &text }.apply(self);
            }
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.is_unread = true;
                let place = Place::File { path: path.to_owned(), line: 0, column: 0 };
                self.faults.push(Fault { place, message: format!("can't be read: {error}") });
            }
        }
    }

    /// What stands above the file: the environment, then the flags.
    fn over_file(mut self, sources: &Sources) -> Result<Loaded, Faults> {
        for (name, value) in &sources.environment {
            self.variable(name, value);
        }
        for flag in &sources.flags {
            self.flag(flag);
        }
        self.finish(sources.surroundings)
    }

    fn variable(&mut self, name: &OsString, value: &OsString) {
        if !name.as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            return;
        }
        let place = Place::Environment(name.to_string_lossy().into_owned());
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            return self.faults.push(Fault { place, message: "is not UTF-8".to_owned() });
        };
        if let Some(setting) = SETTINGS.iter().find(|setting| setting.variable() == name) {
            return self.set(setting, &setting.read(value), place);
        }
        let variables: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
        let hint = hint(nearest(name, variables.iter().map(String::as_str)));
        self.faults.push(Fault { place, message: format!("no such setting{hint}") });
    }

    fn flag(&mut self, flag: &Flag) {
        let place = Place::Flag(flag.name.clone());
        match SETTINGS.iter().find(|setting| setting.key == flag.key) {
            Some(setting) => self.set(setting, &setting.read(&flag.value), place),
            None => self.faults.push(Fault { place, message: unknown_key(&flag.key) }),
        }
    }

    fn set(&mut self, setting: &'static Setting, given: &Given, place: Place) {
        match setting.set(&mut self.config, given) {
            Ok(()) => {
                self.places.insert(setting.key, place);
            }
            Err(message) => {
                self.faulty.insert(setting.key);
                self.faults.push(Fault { place, message: format!("{} {message}", setting.key) });
            }
        }
    }

    fn finish(mut self, surroundings: bool) -> Result<Loaded, Faults> {
        let mut broken = check::between_keys(&self.config, &self.faulty);
        if surroundings && !self.is_unread {
            let found = check::surroundings(&self.config).into_iter();
            broken.extend(found.filter(|broken| !self.faulty.contains(broken.key)));
        }
        let placed: Vec<Fault> = broken.iter().map(|broken| self.placed(broken)).collect();
        self.faults.extend(placed);
        self.faults.extend(self.port_zero());
        if !self.faults.is_empty() {
            self.faults.sort(); // Stable in meaning: the file's by line, then the environment's, then the flags'.
            return Err(Faults(self.faults));
        }
        let warnings = check::warnings(&self.config);
        Ok(Loaded { config: self.config, warnings, places: self.places, file: self.file })
    }

    fn placed(&self, broken: &check::Broken) -> Fault {
        let place = self.places.get(broken.key).cloned().unwrap_or(Place::Default);
        Fault { place, message: format!("{} {}", broken.key, broken.message) }
    }

    /// Port 0 is any free port. Who types it sees which one it became; written down it would be another at each start.
    fn port_zero(&self) -> Option<Fault> {
        let place = self.places.get("server.listen")?;
        if self.config.server.listen.port() != 0 || matches!(place, Place::Flag(_)) {
            return None;
        }
        let message =
            "server.listen must have a port from 1 to 65535, not 0 (any free port), which only a flag may ask for";
        Some(Fault { place: place.clone(), message: message.to_owned() })
    }
}

/// The text of a file that is being applied.
struct FileText<'a> {
    path: &'a Path,
    text: &'a str,
}

impl FileText<'_> {
    fn apply(&self, loading: &mut Loading) {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let broken: Vec<Fault> = errors.iter().map(|error| self.syntax(error)).collect();
        let first = loading.faults.len();
        self.table("", table.get_ref(), loading);
        // What the parser guessed after an error is no statement of the operator: nothing more about such a line.
        let lines: BTreeSet<usize> = broken.iter().filter_map(|fault| line_of(&fault.place)).collect();
        let guessed = |fault: &Fault| line_of(&fault.place).is_some_and(|line| lines.contains(&line));
        let found = loading.faults.split_off(first);
        loading.faults.extend(found.into_iter().filter(|fault| !guessed(fault)).chain(broken));
    }

    /// Applies the entries of the table named `prefix`; the file's own table has the name "".
    fn table(&self, prefix: &str, table: &DeTable<'_>, loading: &mut Loading) {
        for (name, value) in table {
            // A quoted name with a dot in it is one name, and none of ours: its quotes keep it from looking like two.
            let name_text = name.get_ref();
            let name_text = if name_text.contains('.') { format!("{name_text:?}") } else { name_text.to_string() };
            let key = if prefix.is_empty() { name_text } else { format!("{prefix}.{name_text}") };
            let place = self.place(name.span().start, false);
            let is_table = SETTINGS.iter().any(|setting| is_inside(setting.key, &key));
            match (SETTINGS.iter().find(|setting| setting.key == key), value.get_ref()) {
                (Some(setting), value) => loading.set(setting, &Given::from_toml(value), place),
                (None, DeValue::Table(inner)) if is_table => self.table(&key, inner, loading),
                (None, other) if is_table => {
                    let message = format!("{key} must be a table, written [{key}], not {}", Given::from_toml(other));
                    loading.faults.push(Fault { place, message });
                }
                (None, DeValue::Table(_)) => loading.faults.push(Fault { place, message: unknown_table(&key) }),
                (None, _) => loading.faults.push(Fault { place, message: unknown_key(&key) }),
            }
        }
    }

    fn syntax(&self, error: &toml::de::Error) -> Fault {
        let at = error.span().map_or(self.text.len(), |span| span.start);
        Fault { place: self.place(at, true), message: error.message().to_owned() }
    }

    fn place(&self, at: usize, with_column: bool) -> Place {
        // The parser may name a byte inside a character; its line is that of the characters before it.
        let before = &self.text.as_bytes()[..at.min(self.text.len())];
        let (line, line_start) = line_at(before);
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        Place::File { path: self.path.to_owned(), line, column: if with_column { column } else { 0 } }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_MAX + 1).read_to_end(&mut text)?;
    if text.len() as u64 > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is over 1 MiB: is it the right file?"));
    }
    String::from_utf8(text).map_err(|error| {
        let (line, _) = line_at(&error.as_bytes()[..error.utf8_error().valid_up_to()]);
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

/// The line, from 1, in which the text after `before` stands, and where in `before` it begins.
fn line_at(before: &[u8]) -> (usize, usize) {
    let starts = before.split(|byte| *byte == b'\n');
    let last = starts.clone().next_back().map_or(0, <[u8]>::len);
    (starts.count(), before.len() - last)
}

fn line_of(place: &Place) -> Option<usize> {
    match place {
        Place::File { line, .. } => Some(*line),
        Place::Default | Place::Environment(_) | Place::Flag(_) => None,
    }
}

/// True where `key` is in the table `table`, or in one within it.
fn is_inside(key: &str, table: &str) -> bool {
    key.strip_prefix(table).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown_key(key: &str) -> String {
    // A right name in the wrong table is the likeliest mistake, and too far away for `nearest`.
    let leaf = key.rsplit('.').next().unwrap_or(key);
    let mut same = SETTINGS.iter().map(|setting| setting.key).filter(|known| known.rsplit('.').next() == Some(leaf));
    let moved = same.next().filter(|_| same.next().is_none());
    format!("unknown key {key:?}{}", hint(nearest(key, SETTINGS.iter().map(|setting| setting.key)).or(moved)))
}

fn unknown_table(table: &str) -> String {
    let tables = SETTINGS.iter().flat_map(|setting| setting.key.match_indices('.').map(|(end, _)| &setting.key[..end]));
    format!("unknown table {table:?}{}", hint(nearest(table, tables)))
}

fn hint(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean \"{near}\"?"))
}
