//! bondhu in a process of its own, so that its memory and its CPU time are its alone.

use std::{
    cell::RefCell,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use bondhu::cli::Cli;
use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::measure::{
    allocations::{self, Allocations},
    process,
};

/// Set for every server: no limits for users, hashes that cost nothing, and connections that stay open while nothing
/// is asked on them.
const SETTINGS: [&str; 7] = [
    "server.header_timeout_ms=600000",
    "limits.free.messages_per_minute=0",
    "limits.free.requests_per_minute=0",
    "limits.free.streams=0",
    "auth.argon2.memory_kib=8",
    "auth.argon2.iterations=1",
    "log.level=error",
];
/// Set for a server that asks a model: short conversations.
const OF_MODEL: [&str; 3] = ["reply.backend=openai", "reply.openai.context_tokens=512", "reply.openai.max_tokens=64"];
/// The first word of a bench that is to be the server itself, so that its allocations are counted.
const COUNTED: &str = "counted";

/// A server in a process of its own; both end when it is dropped, and the directory of its data with them.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    dir: Option<TempDir>,
    /// Where a process that counts its allocations is asked for them, and answers.
    counter: Option<RefCell<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Server {
    /// Starts bondhu, with the model server at `model`.
    pub(crate) fn start(model: &str, settings: &[&str]) -> Self {
        let model = format!("reply.openai.base_url={model}");
        let settings = OF_MODEL.iter().copied().chain([model.as_str()]).chain(settings.iter().copied());
        Self::offline(&settings.collect::<Vec<_>>(), false)
    }

    /// Starts bondhu with the built-in companion; on the first core only, if it is to leave the others free.
    pub(crate) fn offline(settings: &[&str], pinned: bool) -> Self {
        let (command, dir) = serve(Command::new(env!("CARGO_BIN_EXE_bondhu")), settings);
        Self::run(if pinned { on_first_core(command) } else { command }, Some(dir))
    }

    /// The same server in a process of this bench, which counts its allocations.
    pub(crate) fn counted(settings: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(COUNTED);
        let (command, dir) = serve(command, settings);
        Self::run_counted(command, Some(dir))
    }

    /// Runs a program whose last word is the address to listen at, a port that is free; waits until it answers there.
    pub(crate) fn run(command: Command, dir: Option<TempDir>) -> Self {
        Self::spawn(command, dir, false)
    }

    /// The same, for a program that tells its allocations.
    pub(crate) fn run_counted(command: Command, dir: Option<TempDir>) -> Self {
        Self::spawn(command, dir, true)
    }

    fn spawn(mut command: Command, dir: Option<TempDir>, counts: bool) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a free port");
        command.arg(address.to_string());
        // Where its lines are logged they are part of what it costs, but nobody reads them.
        command.stderr(Stdio::null());
        if counts {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null());
        }
        let mut child = command.spawn().expect("the server starts");
        let counter = child.stdin.take().zip(child.stdout.take().map(BufReader::new)).map(RefCell::new);
        let server = Self { child, address, dir, counter };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "the server does not start");
            std::thread::yield_now();
        }
        server
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.dir.as_ref().expect("bondhu has one").path().join("data")
    }

    /// CPU time so far, user and system.
    pub(crate) fn cpu_time(&self) -> Duration {
        process::cpu_time(self.child.id())
    }

    /// Resident memory, KiB.
    pub(crate) fn resident(&self) -> u32 {
        process::resident(self.child.id())
    }

    /// Allocations so far of a server that counts them.
    pub(crate) fn allocations(&self) -> Allocations {
        let mut counter = self.counter.as_ref().expect("a server that counts").borrow_mut();
        let (ask, answers) = &mut *counter;
        ask.write_all(b"\n").expect("the server reads");
        let mut line = String::new();
        answers.read_line(&mut line).expect("the server answers");
        let mut numbers = line.split_whitespace().map(|word| word.parse().expect("a number"));
        let mut next = || numbers.next().expect("two numbers");
        Allocations { count: next(), bytes: next() }
    }
}

/// Is the server, where this process was started as one that counts its allocations, until it is ended.
pub(crate) fn be_counted(words: &[String]) -> bool {
    let Some((first, words)) = words.split_first() else { return false };
    if first != COUNTED {
        return false;
    }
    allocations::tell();
    let words = std::iter::once("bondhu").chain(words.iter().map(String::as_str));
    let _ = bondhu::commands::run(Cli::parse_from(words));
    true
}

/// The words of `bondhu serve`, all but the address.
fn serve(mut command: Command, settings: &[&str]) -> (Command, TempDir) {
    let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    command.args(["serve", "--data-dir"]).arg(dir.path().join("data"));
    for setting in SETTINGS.iter().chain(settings) {
        command.args(["-O", setting]);
    }
    command.arg("--listen");
    (command, dir)
}

/// The same command, on the first core where `taskset` is there.
pub(crate) fn on_first_core(command: Command) -> Command {
    let has_taskset = Command::new("taskset").arg("-V").stdout(Stdio::null()).status().is_ok();
    if !has_taskset {
        return command;
    }
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    pinned
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
