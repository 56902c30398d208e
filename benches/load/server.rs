//! bondhu in a process of its own, so that its memory and its CPU time are its alone.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

/// Set for every server: no limits for users, hashes that cost nothing, connections that
/// stay open while nothing is asked on them, and short conversations for the model.
const SETTINGS: [&str; 10] = [
    "server.header_timeout_ms=600000",
    "limits.free.messages_per_minute=0",
    "limits.free.requests_per_minute=0",
    "limits.free.streams=0",
    "auth.argon2.memory_kib=8",
    "auth.argon2.iterations=1",
    "log.level=error",
    "reply.backend=openai",
    "reply.openai.context_tokens=512",
    "reply.openai.max_tokens=64",
];

/// A server in a process of its own; both end when it is dropped, and the directory of its data with them.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    _dir: Option<TempDir>,
}

impl Server {
    /// Starts bondhu, with the model server at `model`.
    pub(crate) fn start(model: &str, settings: &[&str]) -> Self {
        let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
        let dir = tempfile::tempdir_in(parent).expect("a directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_bondhu"));
        command.args(["serve", "--data-dir"]).arg(dir.path().join("data"));
        command.args(["-O", &format!("reply.openai.base_url={model}")]);
        for setting in SETTINGS.iter().chain(settings) {
            command.args(["-O", setting]);
        }
        Self::run(command.arg("--listen"), Some(dir))
    }

    /// Runs a program whose last word is the address to listen at, a port that is free; waits until it answers there.
    pub(crate) fn run(command: &mut Command, dir: Option<TempDir>) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        let child = command.arg(address.to_string()).stdin(Stdio::null()).spawn().expect("the server starts");
        let server = Self { child, address, _dir: dir };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "the server does not start");
            std::thread::yield_now();
        }
        server
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        Duration::from_millis((ticks(11) + ticks(12)) * 10) // A tick is 10 ms on Linux.
    }

    /// Resident memory, KiB.
    pub(crate) fn resident(&self) -> u32 {
        let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.child.id())).unwrap_or_default();
        let resident = rollup.lines().find_map(|line| line.strip_prefix("Rss:")?.trim().strip_suffix(" kB"));
        resident.and_then(|kib| kib.parse().ok()).expect("the kernel tells of a process of ours")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As many connections as the system allows without asking.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("a higher limit");
}
