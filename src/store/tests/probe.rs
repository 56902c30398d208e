//! What stands between the store and its files in a test: it sees every operation.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::super::disk::Operation;

/// Counts what is done to files by the area that it is done in: the directory that a file stands in.
#[derive(Debug, Default)]
pub(crate) struct Probe(Mutex<BTreeMap<String, usize>>);

impl Probe {
    /// Does an operation.
    pub(crate) fn run<T>(
        &self,
        path: &Path,
        operation: Operation<'_>,
        work: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let name = format!("{operation:?}");
        let kind = name.split([' ', '{']).next().unwrap_or_default();
        let area = path.parent().and_then(Path::file_name).unwrap_or_default();
        let key = format!("{kind} in {}", area.display());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        work()
    }

    /// How many of `length` bytes the write or read that comes next takes.
    #[expect(clippy::unused_self, reason = "it lets all pass")]
    pub(crate) fn at_once(&self, _: &Path, _: Operation<'_>, length: usize) -> usize {
        length
    }

    /// When the file was made, where the test says so.
    #[expect(clippy::unused_self, reason = "it lets the file system say so")]
    pub(crate) fn born(&self, _: &Path) -> Option<Duration> {
        None
    }

    pub(crate) fn count(&self, operation: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(operation).copied().unwrap_or(0)
    }
}
