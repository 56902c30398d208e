//! The command line of the real binary.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use super::{PASSWORD, Server};

/// What a command came to.
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs `bondhu` with these arguments in `dir`, with `input` as its standard input.
pub(crate) fn bondhu(dir: &Path, arguments: &[&str], input: &str) -> Done {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bondhu"))
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()); // A command that reads nothing closes it.
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let utf8 = |bytes| String::from_utf8(bytes).unwrap();
    Done { code: status.code().unwrap_or(-1), out: utf8(stdout), err: utf8(stderr) }
}

impl Done {
    /// What it printed, where it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }
}

impl Server {
    /// Runs a command on this server's data directory.
    pub(crate) fn command(&self, arguments: &[&str], input: &str) -> Done {
        let data = self.data.display().to_string();
        let cheap = ["-O", "auth.argon2.memory_kib=8", "-O", "auth.argon2.iterations=1"];
        bondhu(self.dir().path(), &[arguments, &["--data-dir", &data], &cheap].concat(), input)
    }

    /// Adds an administrator, whose password is the usual one.
    pub(crate) fn add_admin(&self, name: &str) {
        self.command(&["user", "add", name, "--admin", "--password-file", "-"], PASSWORD).ok();
    }
}
