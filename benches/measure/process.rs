//! What a process costs, as the kernel counts it.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// Lets a measurement take its time.
#[expect(clippy::disallowed_methods, reason = "time itself is what is waited for")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// CPU time of a process so far, user and system.
pub(crate) fn cpu_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10) // A tick is 10 ms on Linux.
}

/// Resident memory, KiB.
pub(crate) fn resident(process: u32) -> u32 {
    let rollup = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    let resident = rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
    resident.and_then(|kib| kib.parse().ok()).expect("the kernel tells of a process of ours")
}

/// System calls of a process, of all its threads.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Calls {
    pub(crate) all: f64,
    /// Of them, waits for what comes next (`epoll_wait`): one for many requests, where many are under way.
    pub(crate) waits: f64,
    /// Of them, `fdatasync` and `fsync`.
    pub(crate) syncs: f64,
}

/// A count that is under way, by `perf` or, where that may not, by `strace`, which slows the process down.
pub(crate) struct Counting(Child);

const EVENTS: &str = "raw_syscalls:sys_enter,syscalls:sys_enter_epoll_wait,syscalls:sys_enter_fdatasync,\
                      syscalls:sys_enter_fsync";
/// Until the counter is attached to all threads.
const ATTACH: Duration = Duration::from_millis(700);

impl Counting {
    /// Begins to count; nothing where neither program is there or allowed.
    pub(crate) fn begin(process: u32) -> Option<Self> {
        let process = process.to_string();
        let perf = ["stat", "-x", ",", "-e", EVENTS, "-p", &process];
        let strace = ["-c", "-f", "-q", "-p", &process];
        [("perf", &perf[..]), ("strace", &strace[..])].into_iter().find_map(|(program, words)| {
            let mut command = Command::new(program);
            let child = command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let mut child = child.spawn().ok()?;
            pause(ATTACH);
            matches!(child.try_wait(), Ok(None)).then_some(Self(child))
        })
    }

    /// Ends, and gives what was called meanwhile.
    pub(crate) fn end(self) -> Calls {
        let id = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw).expect("a process of ours");
        kill_process(id, Signal::INT).expect("it runs");
        let output = self.0.wait_with_output().expect("it ends");
        read(&String::from_utf8_lossy(&output.stderr))
    }
}

/// Reads what either program says: lines of `perf` have commas, those of `strace` end in the name of the call.
fn read(text: &str) -> Calls {
    let mut calls = Calls::default();
    for line in text.lines() {
        let (name, count) = if line.contains(',') {
            let mut fields = line.split(',');
            let count = fields.next().unwrap_or_default();
            (fields.nth(1).unwrap_or_default().to_owned(), count.to_owned())
        } else {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(name), Some(count)) = (fields.last(), fields.get(3)) else { continue };
            ((*name).to_owned(), (*count).to_owned())
        };
        let Ok(count) = count.parse::<f64>() else { continue };
        match name.rsplit("sys_enter_").next().unwrap_or_default() {
            "total" | "raw_syscalls:sys_enter" => calls.all += count,
            "epoll_wait" => calls.waits += count,
            "fdatasync" | "fsync" => calls.syncs += count,
            _ => {}
        }
    }
    calls
}
