//! The rows of the table, from CSV or JSON Lines, each to be found again by where it begins.

use std::{
    cell::Cell,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    rc::Rc,
};

use csv::{ByteRecord, Position};
use serde_json::Value;

use super::super::{ImportError, lines::Lines};

/// The longest row, bytes: beyond it a quote is missing.
const ROW_MAX: u64 = 16 << 20;

/// A row as it stands there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Raw {
    pub(super) id: String,
    pub(super) user: String,
    pub(super) session: String,
    pub(super) sender: String,
    pub(super) text: String,
    pub(super) time: String,
    pub(super) has_mood: bool,
}

/// A row that was read.
pub(super) struct Numbered {
    /// Its number: of a line in JSON Lines; in CSV of a row, the names of the columns being the first.
    pub(super) number: u64,
    /// Where it begins.
    pub(super) offset: u64,
    /// What stands there, or what it is that can't be read.
    pub(super) raw: Result<Raw, Broken>,
}

/// Why a row can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is no row of this table.
    Malformed,
    /// It is the last one, and ends before it is one.
    CutShort,
    /// A quote that begins in it is open at the end of the file.
    OpenQuote {
        /// The line in which the row begins.
        line: u64,
        /// How many lines the quote has taken.
        lines: u64,
    },
    /// In its text there are rows of this table.
    Swallowed,
}

/// The rows of a file.
pub(super) struct Rows {
    path: PathBuf,
    length: u64,
    form: Form,
}

enum Form {
    Csv { reader: csv::Reader<Bounded>, left: Rc<Cell<u64>>, columns: Columns },
    Lines(Lines),
}

/// Which column is what.
struct Columns {
    id: Option<usize>,
    user: usize,
    session: usize,
    sender: usize,
    text: usize,
    time: usize,
    mood: Option<usize>,
    count: usize,
}

impl Rows {
    /// Opens the file: CSV unless it begins with a brace.
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let io = ImportError::io(path);
        let mut file = File::open(path).map_err(&io)?;
        let length = file.metadata().map_err(&io)?.len();
        let mut first = [0];
        let is_json = file.read(&mut first).map_err(&io)? == 1 && first == *b"{";
        file.seek(SeekFrom::Start(0)).map_err(&io)?;
        let form = if is_json { Form::Lines(Lines::of(file)) } else { csv_of(path, file)? };
        Ok(Self { path: path.to_owned(), length, form })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Where the row of this number is, for people.
    pub(super) fn at(&self, number: u64) -> String {
        match self.form {
            Form::Csv { .. } => format!("row {number}"),
            Form::Lines(_) => format!("line {number}"),
        }
    }

    /// The next row.
    pub(super) fn next(&mut self) -> Result<Option<Numbered>, ImportError> {
        match &mut self.form {
            Form::Lines(lines) => {
                let line = lines.next().map_err(ImportError::io(&self.path))?;
                Ok(line.map(|line| {
                    let raw = line.bytes.as_deref().and_then(of_json);
                    let raw = raw.ok_or(if line.is_last { Broken::CutShort } else { Broken::Malformed });
                    Numbered { number: line.number, offset: line.offset, raw }
                }))
            }
            Form::Csv { reader, left, columns } => {
                let mut record = ByteRecord::new();
                left.set(ROW_MAX);
                let begun = reader.position().clone();
                let read = reader.read_byte_record(&mut record);
                let row = |error: &csv::Error| format!("row {} (line {}): {error}", begun.record() + 1, begun.line());
                if !read.map_err(|error| ImportError::unreadable(&self.path, row(&error)))? {
                    return Ok(None);
                }
                let position = record.position().cloned().unwrap_or_else(Position::new);
                // Only behind the last row is there nothing more.
                let end = if reader.position().byte() >= self.length {
                    end_of(&self.path, position.byte()).map_err(ImportError::io(&self.path))?
                } else {
                    RowEnd::Whole
                };
                let raw = match (end, columns.raw(&record)) {
                    (RowEnd::InQuote { before, lines }, _) => {
                        Err(Broken::OpenQuote { line: position.line() + before, lines })
                    }
                    (RowEnd::InRow, None) => Err(Broken::CutShort),
                    (_, None) => Err(Broken::Malformed),
                    (_, Some(raw)) if columns.has_rows(&raw) => Err(Broken::Swallowed),
                    (_, Some(raw)) => Ok(raw),
                };
                // The reader counts the row of names as record 0, and people count from 1.
                Ok(Some(Numbered { number: position.record() + 1, offset: position.byte(), raw }))
            }
        }
    }

    /// The row that begins at `offset`.
    pub(super) fn read_at(&mut self, offset: u64) -> Result<Option<Raw>, ImportError> {
        match &mut self.form {
            Form::Lines(lines) => lines.seek(offset).map_err(ImportError::io(&self.path))?,
            Form::Csv { reader, left, .. } => {
                left.set(ROW_MAX);
                let mut position = Position::new();
                position.set_byte(offset);
                reader.seek(position).map_err(|error| csv_error(&self.path, &error))?;
            }
        }
        Ok(self.next()?.and_then(|read| read.raw.ok()))
    }
}

fn csv_of(path: &Path, file: File) -> Result<Form, ImportError> {
    let left = Rc::new(Cell::new(ROW_MAX));
    let bounded = Bounded { file, left: Rc::clone(&left) };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bounded);
    let names = reader.byte_headers().map_err(|error| csv_error(path, &error))?;
    let columns = Columns::of(names).map_err(|name| {
        let why = separator(names).map_or_else(
            || format!("the first row names no column {name:?}, as the table chat_messages has it"),
            |other| format!("its columns are separated by {other}: save it with commas"),
        );
        ImportError::unreadable(path, why)
    })?;
    Ok(Form::Csv { reader, left, columns })
}

/// What separates the names of the columns, where it is no comma.
fn separator(names: &ByteRecord) -> Option<&'static str> {
    let first = names.get(0).filter(|_| names.len() == 1)?;
    match first {
        _ if first.contains(&b';') => Some("semicolons"),
        _ if first.contains(&b'\t') => Some("tabs"),
        _ => None,
    }
}

fn csv_error(path: &Path, error: &csv::Error) -> ImportError {
    ImportError::unreadable(path, error.to_string())
}

impl Columns {
    fn of(names: &ByteRecord) -> Result<Self, &'static str> {
        let clean = |name: &[u8]| {
            let name = name.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(name);
            String::from_utf8_lossy(name).trim().trim_matches('"').to_ascii_lowercase()
        };
        let names: Vec<String> = names.iter().map(clean).collect();
        let find = |wanted: &str| names.iter().position(|name| name == wanted);
        let need = |wanted: &'static str| find(wanted).ok_or(wanted);
        Ok(Self {
            id: find("id"),
            user: need("user_id")?,
            session: need("session_id")?,
            sender: need("sender_type")?,
            text: need("message_text")?,
            time: need("timestamp")?,
            mood: find("mood_detected"),
            count: names.len(),
        })
    }

    /// The row; nothing where it has another number of columns, or is no UTF-8.
    fn raw(&self, record: &ByteRecord) -> Option<Raw> {
        if record.len() != self.count {
            return None;
        }
        let text = |column: usize| std::str::from_utf8(record.get(column)?).ok().map(str::to_owned);
        let optional = |column: Option<usize>| column.map_or_else(|| Some(String::new()), text);
        let trimmed = |column: usize| text(column).map(|text| text.trim().to_owned());
        Some(Raw {
            id: optional(self.id)?,
            user: trimmed(self.user)?,
            session: trimmed(self.session)?,
            sender: trimmed(self.sender)?,
            text: text(self.text)?,
            time: trimmed(self.time)?,
            has_mood: optional(self.mood).is_some_and(|mood| !mood.trim().is_empty()),
        })
    }
}

impl Columns {
    /// True where the text has a line break and, behind it, what no one says: a whole row of this table. A quote that was left
    /// out makes it so, for the next one ends the text then.
    fn has_rows(&self, raw: &Raw) -> bool {
        raw.text.lines().skip(1).any(|line| {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            let row = reader.byte_records().next().and_then(Result::ok).and_then(|record| self.raw(&record));
            row.is_some_and(|row| !row.user.is_empty() && row.role().is_some() && row.time().is_some())
        })
    }
}

/// How the last row of a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowEnd {
    /// With the end of a line, or it is not the last one.
    Whole,
    /// With the file, in the middle of its line.
    InRow,
    /// Within quotes, behind so many lines; `before` ends of lines stand before the row, where the reader left one.
    InQuote { before: u64, lines: u64 },
}

/// How the row ends that begins at `offset` and is the file's last one: quotes open at the beginning of a field, and a doubled
/// one within them is a character.
fn end_of(path: &Path, offset: u64) -> io::Result<RowEnd> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(2 * ROW_MAX).read_to_end(&mut bytes)?;
    let row = bytes.trim_ascii_start();
    let count = |bytes: &[u8]| bytes.split(|&byte| byte == b'\n').skip(1).count() as u64;
    let (mut is_begin, mut is_quoted) = (true, false);
    for &byte in row {
        // The second quote of a doubled one opens again what the first has closed.
        let opens = byte == b'"' && is_begin;
        is_begin = if is_quoted { byte == b'"' } else { matches!(byte, b',' | b'\n' | b'\r') };
        is_quoted = if is_quoted { byte != b'"' } else { opens };
    }
    Ok(if is_quoted {
        let before = count(&bytes[..bytes.len() - row.len()]);
        RowEnd::InQuote { before, lines: count(row) + u64::from(!row.ends_with(b"\n")) }
    } else if row.ends_with(b"\n") {
        RowEnd::Whole
    } else {
        RowEnd::InRow
    })
}

fn of_json(line: &[u8]) -> Option<Raw> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let object = value.as_object()?;
    let text = |name: &str| match object.get(name) {
        None | Some(Value::Null) => Some(String::new()),
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(Value::Bool(_) | Value::Array(_) | Value::Object(_)) => None,
    };
    Some(Raw {
        id: text("id")?,
        user: text("user_id")?,
        session: text("session_id")?,
        sender: text("sender_type")?,
        text: text("message_text")?,
        time: text("timestamp")?,
        has_mood: text("mood_detected").is_none_or(|mood| !mood.is_empty()),
    })
}

/// A file of which one row is read at a time, bounded: without its closing quote a row would be the rest of the file.
struct Bounded {
    file: File,
    left: Rc<Cell<u64>>,
}

impl Read for Bounded {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(bytes)?;
        let left = self.left.get().checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, format!("a row is over {ROW_MAX} bytes: a quote is missing"))
        })?;
        self.left.set(left);
        Ok(read)
    }
}

impl Seek for Bounded {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}
