//! A JSON array, or a single value, one element after the other: however long it is, one is in memory.

use std::{fmt, fs::File, io::BufReader, path::Path};

use serde::{
    Deserializer,
    de::{self, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Event, ImportError, Tell};

/// Gives each element of the file at `path` to `each`, with its number from 1.
pub(super) fn each(
    path: &Path,
    tell: &mut Tell<'_>,
    each: impl FnMut(u64, Value, &mut Tell<'_>) -> Result<(), ImportError>,
) -> Result<(), ImportError> {
    let file = File::open(path).map_err(ImportError::io(path))?;
    let length = file.metadata().map_err(ImportError::io(path))?.len();
    let mut failed = None;
    let elements = Elements { each, tell, failed: &mut failed, number: 0 };
    let mut reader = serde_json::Deserializer::from_reader(BufReader::new(file));
    let read = reader.deserialize_any(elements).and_then(|()| reader.end());
    if let Some(error) = failed {
        return Err(error);
    }
    read.map_err(|error| ImportError::unreadable(path, format!("no JSON: {error}")))?;
    tell(Event::Progress(length, length))
}

struct Elements<'e, 't, F> {
    each: F,
    tell: &'e mut Tell<'t>,
    failed: &'e mut Option<ImportError>,
    number: u64,
}

impl<F: FnMut(u64, Value, &mut Tell<'_>) -> Result<(), ImportError>> Elements<'_, '_, F> {
    fn take<E: de::Error>(&mut self, value: Value) -> Result<(), E> {
        self.number += 1;
        (self.each)(self.number, value, self.tell).map_err(|error| {
            *self.failed = Some(error);
            E::custom("stopped")
        })
    }
}

impl<'de, F: FnMut(u64, Value, &mut Tell<'_>) -> Result<(), ImportError>> Visitor<'de> for Elements<'_, '_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of conversations")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<Value>()? {
            self.take(value)?;
        }
        Ok(())
    }

    fn visit_map<A: de::MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        let value = <Value as serde::Deserialize>::deserialize(de::value::MapAccessDeserializer::new(map))?;
        self.take(value)
    }
}
