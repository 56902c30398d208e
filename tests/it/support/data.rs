//! Data directories from outside: `bondhu check`, copies, journal files.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Runs the binary with these arguments to its end.
pub(crate) fn bondhu(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bondhu")).args(arguments).output().unwrap()
}

/// Runs `bondhu check`; gives what it printed, and as an error what it found wrong.
pub(crate) fn check(dir: &Path) -> Result<String, String> {
    let output = bondhu(&["check", dir.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(said),
        Some(1) => Err(wrong),
        other => panic!("check ended with {other:?}: {said}{wrong}"),
    }
}

/// Wants `bondhu check` to find nothing wrong.
#[track_caller]
pub(crate) fn check_passes(dir: &Path) -> String {
    check(dir).unwrap_or_else(|wrong| panic!("check of {}: {wrong}", dir.display()))
}

/// `cp -a`, with its exit status wanted.
#[track_caller]
pub(crate) fn copy(from: &Path, to: &Path) {
    let output = Command::new("cp").arg("-a").args([from, to]).output().unwrap();
    assert!(output.status.success(), "cp -a: {}", String::from_utf8_lossy(&output.stderr));
}

/// The journal's files, in order.
pub(crate) fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(data.join("journal")).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

/// Every file below `dir`.
pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// True where the bytes of `needle` stand in the file.
pub(crate) fn holds(path: &Path, needle: &str) -> bool {
    let Ok(bytes) = std::fs::read(path) else { return false }; // A socket.
    bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
}
