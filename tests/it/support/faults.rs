//! Faults that `strace` injects into the system calls of a running server.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// A fault that is in force until it is dropped.
pub(crate) struct Fault(Child);

impl Fault {
    /// From now on the server's thread of this name gets what `injection` says, in the words of `strace -e inject=`;
    /// nothing where this user may not trace a process that runs.
    pub(crate) fn inject(pid: u32, thread: &str, injection: &str) -> Option<Self> {
        let task = task(pid, thread);
        let what = format!("inject={injection}");
        let call = injection.split(':').next().unwrap();
        let mut child = Command::new("strace")
            .args(["-p", &task, "-e", &format!("trace={call}"), "-e", &what, "-o", "/dev/null"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let fault = Self(child);
        if said.contains("ttach: ptrace") {
            eprintln!("skipped: no process that runs can be traced: {said}");
            return None;
        }
        assert!(said.contains("attached"), "{said}");
        Some(fault)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // It lets the server go, and dies with it.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

/// The id of the thread with this name.
fn task(pid: u32, thread: &str) -> String {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut named = tasks
        .map(|task| task.unwrap())
        .filter(|task| std::fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == thread));
    named.next().unwrap().file_name().into_string().unwrap()
}
