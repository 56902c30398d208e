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
    /// What stands there; nothing where it can't be read.
    pub(super) raw: Option<Raw>,
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
                    Numbered { number: line.number, offset: line.offset, raw }
                }))
            }
            Form::Csv { reader, left, columns } => {
                let mut record = ByteRecord::new();
                left.set(ROW_MAX);
                let read = reader.read_byte_record(&mut record);
                if !read.map_err(|error| csv_error(&self.path, &error))? {
                    return Ok(None);
                }
                let position = record.position().cloned().unwrap_or_else(Position::new);
                let raw = columns.raw(&record);
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
        Ok(self.next()?.and_then(|read| read.raw))
    }
}

fn csv_of(path: &Path, file: File) -> Result<Form, ImportError> {
    let left = Rc::new(Cell::new(ROW_MAX));
    let bounded = Bounded { file, left: Rc::clone(&left) };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bounded);
    let names = reader.byte_headers().map_err(|error| csv_error(path, &error))?;
    let columns = Columns::of(names).map_err(|name| {
        ImportError::unreadable(
            path,
            format!("the first row names no column {name:?}, as the table chat_messages has it"),
        )
    })?;
    Ok(Form::Csv { reader, left, columns })
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
