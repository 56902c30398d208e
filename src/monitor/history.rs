//! The samples of the last day, in memory and in a file that outlives the process.
//!
//! The file is a ring of slots of one size, each in the place that its time has in the day, so nothing has to be moved,
//! and what was not sampled is a gap. It is no part of what the promises are about: a slot that is damaged is a gap too,
//! and a file that is not just as it should be is begun anew.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::Path,
    time::Duration,
};

use super::columns::{ALL, COLUMNS, Fold, Values};
use crate::clock::Timestamp;

/// Samples that are kept: a day of them at ten seconds each.
pub(super) const SLOTS: u64 = 8640;
/// Points that one answer has at most: more than a screen is wide, and under 200 kB for all columns.
pub(super) const POINTS_MAX: u64 = 500;

/// What stands before the slots, bytes.
const HEADER: usize = 4096;
/// A number, the values, a checksum; bytes.
const SLOT: usize = 8 + 4 * COLUMNS + 4;
/// The first line of the file; a change of what follows it needs another.
const MAGIC: &str = "bondhu history 1";

/// The samples in memory.
pub(super) struct History {
    interval_ms: u64,
    /// Each with its number: the time since 1970 in intervals.
    slots: Vec<Option<(u64, Values)>>,
}

/// The samples on disk.
pub(super) struct HistoryFile {
    file: File,
}

/// A stretch of history, folded to points of one width.
#[derive(Debug, PartialEq)]
pub(super) struct Stretch {
    /// When the first point begins, milliseconds since 1970.
    pub(super) start_ms: u64,
    /// How wide a point is, milliseconds.
    pub(super) step_ms: u64,
    /// For each column, its value in each point; not a number where there is none.
    pub(super) columns: Vec<Vec<f32>>,
}

impl History {
    pub(super) fn new(interval: Duration) -> Self {
        let interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1);
        Self { interval_ms, slots: vec![None; usize::try_from(SLOTS).unwrap_or_default()] }
    }

    /// Time between two samples, milliseconds.
    pub(super) fn interval_ms(&self) -> u64 {
        self.interval_ms
    }

    /// Keeps a sample; gives its number.
    pub(super) fn keep(&mut self, at: Timestamp, values: Values) -> u64 {
        let number = ms(at) / self.interval_ms;
        if let Some(slot) = self.slots.get_mut(place(number)) {
            *slot = Some((number, values));
        }
        number
    }

    /// The newest sample that is not from after `now`.
    pub(super) fn newest(&self, now: Timestamp) -> Option<&Values> {
        let last = ms(now) / self.interval_ms;
        let known = self.slots.iter().flatten().filter(|(number, _)| *number <= last && number + SLOTS > last);
        known.max_by_key(|(number, _)| *number).map(|(_, values)| values)
    }

    /// From `since_ms` until `until_ms`, as far as it is kept, in points that are `step_ms` wide or wider: whole numbers
    /// of intervals, and [`POINTS_MAX`] of them at most.
    pub(super) fn stretch(&self, now: Timestamp, since_ms: u64, until_ms: u64, step_ms: u64) -> Stretch {
        let last = ms(now) / self.interval_ms;
        let first_kept = (last + 1).saturating_sub(SLOTS);
        let end = (until_ms.div_ceil(self.interval_ms)).clamp(first_kept, last + 1);
        let begin = (since_ms / self.interval_ms).clamp(first_kept, end);
        let wanted = step_ms.div_ceil(self.interval_ms).clamp(1, SLOTS);
        let step = wanted.max((end - begin).div_ceil(POINTS_MAX));
        // Points begin at whole steps, so that those of the next answer are the same ones.
        let begin = begin / step * step;
        let points = (end - begin).div_ceil(step);
        let mut columns = vec![Vec::new(); COLUMNS];
        for point in 0..points {
            let from = begin + point * step;
            let samples = (from..from + step).filter_map(|number| self.sample(number));
            for (column, value) in columns.iter_mut().zip(folded(samples)) {
                column.push(value);
            }
        }
        Stretch { start_ms: begin * self.interval_ms, step_ms: step * self.interval_ms, columns }
    }

    fn sample(&self, number: u64) -> Option<&Values> {
        self.slots.get(place(number))?.as_ref().filter(|(kept, _)| *kept == number).map(|(_, values)| values)
    }
}

/// Several samples as one.
fn folded<'v>(samples: impl Iterator<Item = &'v Values>) -> Values {
    let (mut sums, mut counts) = ([0.0f64; COLUMNS], [0u32; COLUMNS]);
    for values in samples {
        for (at, value) in values.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
            counts[at] += 1;
            match ALL[at].fold {
                Fold::Mean => sums[at] += f64::from(*value),
                Fold::Max => sums[at] = sums[at].max(f64::from(*value)),
            }
        }
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is no more exact than what it was made from")]
    std::array::from_fn(|at| match (counts[at], ALL[at].fold) {
        (0, _) => f32::NAN,
        (count, Fold::Mean) => (sums[at] / f64::from(count)) as f32,
        (_, Fold::Max) => sums[at] as f32,
    })
}

impl HistoryFile {
    /// Opens `monitor/history` in the data directory, made where it is missing, and reads what it has into `history`.
    ///
    /// # Errors
    /// The system's; the server can do without.
    pub(super) fn open(data: &Path, history: &mut History) -> io::Result<Self> {
        let dir = data.join("monitor");
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let path = dir.join("history");
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let wanted = header(history.interval_ms);
        let length = file.metadata()?.len();
        let mut found = vec![0; HEADER];
        let is_ours = length == file_bytes() && file.read_exact_at(&mut found, 0).is_ok() && found == wanted;
        if is_ours {
            read(&file, history)?;
        } else {
            if length > 0 {
                let path = path.display();
                tracing::warn!(target: "monitor", %path, "the history is another version's or damaged; it is begun anew");
            }
            file.set_len(0)?;
            file.set_len(file_bytes())?;
            file.write_all_at(&wanted, 0)?;
        }
        Ok(Self { file })
    }

    /// Writes the sample with this number. Nothing waits for the disk: a power cut may cost some seconds of graphs.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write(&self, number: u64, values: &Values) -> io::Result<()> {
        self.file.write_all_at(&encode(number, values), offset(place(number)))
    }
}

fn read(file: &File, history: &mut History) -> io::Result<()> {
    let mut bytes = vec![0; history.slots.len() * SLOT];
    file.read_exact_at(&mut bytes, HEADER as u64)?;
    let mut damaged = 0;
    for (at, (slot, bytes)) in history.slots.iter_mut().zip(bytes.chunks_exact(SLOT)).enumerate() {
        *slot = decode(bytes).filter(|(number, _)| place(*number) == at);
        damaged += usize::from(slot.is_none() && bytes.iter().any(|byte| *byte != 0));
    }
    if damaged > 0 {
        tracing::warn!(target: "monitor", damaged, "samples of the history are damaged; they are gaps now");
    }
    Ok(())
}

fn header(interval_ms: u64) -> Vec<u8> {
    let names: Vec<&str> = ALL.iter().map(|column| column.name).collect();
    let mut header = format!("{MAGIC}\ninterval_ms {interval_ms}\nslots {SLOTS}\n{}\n", names.join(" ")).into_bytes();
    header.resize(HEADER, 0);
    header
}

fn encode(number: u64, values: &Values) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend_from_slice(&number.to_le_bytes());
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<(u64, Values)> {
    let (sample, checksum) = bytes.split_last_chunk::<4>()?;
    let (number, values) = sample.split_first_chunk::<8>()?;
    if crc32fast::hash(sample) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut read = [f32::NAN; COLUMNS];
    for (value, bytes) in read.iter_mut().zip(values.chunks_exact(4)) {
        *value = f32::from_le_bytes(bytes.try_into().ok()?);
    }
    Some((u64::from_le_bytes(*number), read))
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLOTS).unwrap_or_default()
}

fn offset(place: usize) -> u64 {
    (HEADER + place * SLOT) as u64
}

fn file_bytes() -> u64 {
    HEADER as u64 + SLOTS * SLOT as u64
}

/// Milliseconds since 1970.
pub(super) fn ms(at: Timestamp) -> u64 {
    u64::try_from(at.0 / 1000).unwrap_or(0)
}

#[cfg(test)]
mod tests;
