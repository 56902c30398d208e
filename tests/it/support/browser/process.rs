//! The processes of one browser: chromedriver, Chromium and its children, in a session of the system that is theirs alone.
//!
//! A shell between the tests and chromedriver waits for the end of its input, which comes when this value is dropped and
//! also when the tests are killed. Then it kills chromedriver. Chromium ends with its pipe to chromedriver, and the shell
//! kills what is left of the group.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    time::Instant,
};

use super::PATIENCE;

/// Kills all of them at the end of its input.
const KEEPER: &str = "chromedriver --port=0 & read -r end; kill -KILL $!; wait $!; kill -KILL 0";

/// A running chromedriver, and whatever it starts.
pub(super) struct Process {
    keeper: Child,
    /// Open as long as they are to live.
    input: Option<ChildStdin>,
    /// Where chromedriver listens.
    pub(super) port: u16,
}

/// How often a chromedriver is started before the tests give up.
const TRIES: usize = 3;

impl Process {
    /// Starts a chromedriver on a free port. One that says nothing is given up: on a busy machine two may reach for the
    /// same port.
    pub(super) fn start() -> Self {
        let started = (0..TRIES).find_map(|_| Self::try_start());
        started.expect("chromedriver starts: tests/run installs it")
    }

    fn try_start() -> Option<Self> {
        let mut keeper = Command::new("setsid")
            .args(["sh", "-c", KEEPER])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let input = keeper.stdin.take();
        let output = BufReader::new(keeper.stdout.take().unwrap());
        let (tell, told) = mpsc::channel();
        // Reads on, so that chromedriver never waits for it; it ends with chromedriver.
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(port) = port_in(&line) {
                    let _ = tell.send(port);
                }
            }
        });
        let port = told.recv_timeout(PATIENCE / 2).ok();
        let process = Self { keeper, input, port: port.unwrap_or_default() };
        port.map(|_| process)
    }

    /// The id of their session: the keeper's process id.
    pub(super) fn group(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.keeper.wait();
        // Killed is not yet gone: what still runs may write to the profile that is about to be removed.
        let begun = Instant::now();
        while !alive(self.group()).is_empty() && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
    }
}

/// The processes of a session that are alive; one that has ended and that nobody has asked for is not.
pub(super) fn alive(session: u32) -> Vec<u32> {
    let is_of = |id: &u32| {
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { return false };
        // Behind the name, which may hold anything: state, parent, group, session.
        let Some((_, rest)) = stat.rsplit_once(") ") else { return false };
        let mut fields = rest.split(' ');
        !matches!(fields.next(), Some("Z" | "X")) && fields.nth(2) == Some(&session.to_string())
    };
    let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    ids.filter(is_of).collect()
}

/// The port in the line that says that chromedriver is there.
fn port_in(line: &str) -> Option<u16> {
    let (_, port) = line.split_once("started successfully on port ")?;
    port.trim_end_matches('.').parse().ok()
}
