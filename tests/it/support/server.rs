//! The real binary as a child process.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Client, PASSWORD};

/// A start, or an end, takes at most this long.
const PATIENCE: Duration = Duration::from_mins(1);

/// Cheap passwords, no rate limits and no titles that come by themselves: most tests are about something else.
const QUICK: [&str; 7] = [
    "auth.argon2.memory_kib=8",
    "auth.argon2.iterations=1",
    "limits.free.messages_per_minute=0",
    "limits.free.requests_per_minute=0",
    "limits.free.streams=0",
    "data.min_free=1MiB",
    "jobs.titles=none",
];

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) data: PathBuf,
    log: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    /// Removes the directory with the last server that uses it.
    dir: Arc<TempDir>,
}

impl Server {
    /// Starts a server on an empty directory, with these settings (`key=value`) over the quick ones.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let data = dir.path().join("data");
        Self::start_in(dir, data, settings)
    }

    /// Starts a server on `data`, which stands somewhere in `dir`.
    pub(crate) fn start_in(dir: Arc<TempDir>, data: PathBuf, settings: &[&str]) -> Self {
        Self::try_start(dir, data, settings, &[]).unwrap_or_else(|log| panic!("no start:\n{}", log.join("\n")))
    }

    /// Starts a server behind `wrapper` (a command and its arguments, such as strace's); gives its log where it ends
    /// before it is ready.
    pub(crate) fn try_start(
        dir: Arc<TempDir>,
        data: PathBuf,
        settings: &[&str],
        wrapper: &[&str],
    ) -> Result<Self, Vec<String>> {
        let mut line: Vec<String> = wrapper.iter().map(|&word| word.to_owned()).collect();
        line.push(env!("CARGO_BIN_EXE_bondhu").to_owned());
        line.extend(["serve", "--listen", "127.0.0.1:0", "--data-dir"].map(str::to_owned));
        line.push(data.display().to_string());
        for setting in QUICK.iter().chain(settings) {
            line.extend(["-O".to_owned(), (*setting).to_owned()]);
        }
        let mut child = Command::new(&line[0])
            .args(&line[1..])
            .current_dir(dir.path())
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (tell, told) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if let Some(address) = ready_at(&line) {
                    let _ = tell.send(address);
                }
                kept.lock().unwrap().push(line);
            }
        });
        if let Ok(address) = told.recv_timeout(PATIENCE) {
            Ok(Self { child, address, data, log, reader: Some(reader), dir })
        } else {
            let _ = child.kill();
            let _ = child.wait();
            reader.join().unwrap();
            let log = log.lock().unwrap().clone();
            Err(log)
        }
    }

    /// The directory that everything of this server stands in.
    pub(crate) fn dir(&self) -> Arc<TempDir> {
        Arc::clone(&self.dir)
    }

    /// Starts again on the same directory, after this one has ended.
    pub(crate) fn restart(mut self, settings: &[&str]) -> Self {
        self.child.try_wait().unwrap().unwrap_or_else(|| self.stop());
        Self::start_in(Arc::clone(&self.dir), self.data.clone(), settings)
    }

    /// The process id of the server itself where there is no wrapper.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it with SIGTERM and waits.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    /// Ends it with SIGKILL and waits.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// All that it logged up to now. Lines are written by a thread of their own, in order: those of a last request close
    /// the list.
    #[track_caller]
    pub(crate) fn settled_log(&self) -> Vec<String> {
        let last = self.client().get("/ready");
        let id = last.header("x-request-id").unwrap();
        let begun = Instant::now();
        loop {
            let log = self.log();
            if log.iter().any(|line| line.contains(id)) {
                return log;
            }
            assert!(begun.elapsed() < PATIENCE, "request {id} was never logged");
            std::thread::yield_now();
        }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Nothing broke so far: no panic, no error, no answer of the 500s.
    #[track_caller]
    pub(crate) fn is_calm(&self) {
        for line in self.settled_log() {
            assert!(!line.contains("panicked") && !line.contains("ERROR") && !line.contains("status=5"), "{line}");
        }
    }

    /// A client without identity.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Registers and logs in: a client with the user's token, and the user's id.
    pub(crate) fn user(&self, name: &str) -> (Client, String) {
        let mut client = self.client();
        let account = json!({"username": name, "password": PASSWORD});
        let user = client.post("/api/v1/auth/register", &account).expect(201).json();
        let login = client.post("/api/v1/auth/login", &account).expect(200).json();
        client.token = Some(text(&login["token"]));
        (client, text(&user["user"]["id"]))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A JSON string's text.
#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// The address in the line, text or JSON, that says that the server is ready.
fn ready_at(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("bondhu is ready")?;
    let (_, rest) = rest.split_once("address")?;
    let rest = rest.trim_start_matches(['=', '"', ':']);
    rest.split(['"', ' ']).next()?.parse().ok()
}
