//! Lines of a file, each bounded, with their numbers and where they begin.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
};

/// The longest line, bytes: the longest text with every character escaped, its annotation, and what stands around them.
const LINE_MAX: u64 = 16 << 20;

/// A file, line by line.
pub(super) struct Lines {
    file: BufReader<File>,
    offset: u64,
    number: u64,
}

/// A line.
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: u64,
    /// Where it begins, bytes.
    pub(super) offset: u64,
    /// Its bytes without the end; nothing where it is too long.
    pub(super) bytes: Option<Vec<u8>>,
    /// True where the file ends before the line does: it may be cut.
    pub(super) is_last: bool,
}

impl Lines {
    pub(super) fn of(file: File) -> Self {
        Self { file: BufReader::new(file), offset: 0, number: 0 }
    }

    /// The next line that is not blank.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            let offset = self.offset;
            let mut bytes = Vec::new();
            let read = (&mut self.file).take(LINE_MAX).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.offset += read as u64;
            self.number += 1;
            let is_whole = bytes.ends_with(b"\n") || read as u64 != LINE_MAX;
            if !is_whole {
                self.skip_rest()?;
                return Ok(Some(Line { number: self.number, offset, bytes: None, is_last: false }));
            }
            if !bytes.trim_ascii().is_empty() {
                let is_last = !bytes.ends_with(b"\n");
                let bytes = bytes.trim_ascii().strip_prefix(b"\xEF\xBB\xBF").map_or(bytes.trim_ascii(), |rest| rest);
                return Ok(Some(Line { number: self.number, offset, bytes: Some(bytes.to_vec()), is_last }));
            }
        }
    }

    /// Reads on from `offset`, where a line begins. Numbers are not right any more.
    pub(super) fn seek(&mut self, offset: u64) -> io::Result<()> {
        self.offset = offset;
        self.file.seek(SeekFrom::Start(offset)).map(drop)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.file.fill_buf()?;
            let (length, is_end) = match buffer.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.file.consume(length);
            self.offset += length as u64;
            if is_end {
                return Ok(());
            }
        }
    }
}
