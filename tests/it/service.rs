//! The server as a service: its unit, what it tells its supervisor, its manual and its settings.

use std::{
    fs,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use crate::support::{Server, command::bondhu};

/// The most that `systemd-analyze security` may give the unit, in tenths.
const EXPOSURE_MAX: &str = "15";

/// Writes the unit for these flags, with a program that is there.
fn unit(dir: &TempDir, flags: &[&str]) -> (PathBuf, String) {
    let text = bondhu(dir.path(), &[&["service", "--user", "daemon", "--exec", "/bin/true"], flags].concat(), "").ok();
    let file = dir.path().join("bondhu.service");
    fs::write(&file, &text).unwrap();
    (file, text)
}

/// What systemd says of a unit.
fn analyze(arguments: &[&str], file: &Path) -> (bool, String) {
    let done = Command::new("systemd-analyze").args(arguments).arg(file).output().unwrap();
    let said = [done.stdout, done.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (done.status.success(), said)
}

#[test]
fn systemd_takes_the_unit_and_finds_little_that_is_exposed() {
    let dir = tempfile::tempdir().unwrap();
    for flags in [
        &[][..],
        &["--listen", "0.0.0.0:443", "--data-dir", "/srv/my chat"],
        &["-O", "reply.backend=openai", "-O", "reply.openai.base_url=https://models.example.org/v1"],
    ] {
        let (file, text) = unit(&dir, flags);
        let (verified, said) = analyze(&["verify"], &file);
        let about_it: Vec<&str> = said.lines().filter(|line| line.contains("bondhu.service")).collect();
        assert!(about_it.is_empty(), "{verified} {about_it:?}\n{text}");
        let limit = ["security", "--offline=true", &format!("--threshold={EXPOSURE_MAX}")];
        // A port of the first thousand and other machines cost what they cost.
        let limit = if flags.contains(&"0.0.0.0:443") { [limit[0], limit[1], "--threshold=20"] } else { limit };
        let (passed, said) = analyze(&limit, &file);
        let last = said.lines().rfind(|line| line.contains("Overall")).unwrap_or_default();
        eprintln!("{flags:?}: {last}");
        assert!(passed, "{last}");
    }
}

#[test]
fn a_unit_names_the_configuration_and_the_data_it_was_made_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("chat.toml"), "[data]\ndir = \"/srv/chat\"\n[server]\nshutdown_grace_ms = 40000\n")
        .unwrap();
    let (_, text) = unit(&dir, &["--config", "chat.toml"]);
    let file = fs::canonicalize(dir.path().join("chat.toml")).unwrap();
    let line = format!("ExecStart=/bin/true serve --config {} --data-dir /srv/chat", file.display());
    assert!(text.lines().any(|found| found == line), "{text}");
    for line in ["User=daemon", "ReadWritePaths=/srv/chat", "TimeoutStopSec=60", "Type=notify"] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    let (_, text) = unit(&dir, &[]);
    assert!(text.contains("StateDirectory=daemon") && text.contains("--data-dir /var/lib/daemon"), "{text}");
    let refused = bondhu(dir.path(), &["service", "--user", "a b"], "");
    assert_eq!(refused.code, 2, "{}", refused.err);
    // The file that is read because one stands beside it is this configuration too.
    let file = fs::canonicalize(dir.path()).unwrap().join("bondhu.toml");
    fs::rename(dir.path().join("chat.toml"), &file).unwrap();
    let (_, text) = unit(&dir, &[]);
    let line = format!("ExecStart=/bin/true serve --config {} --data-dir /srv/chat", file.display());
    assert!(text.lines().any(|found| found == line), "{text}");
    let done = bondhu(dir.path(), &["service", "--exec", "bin/prog"], "");
    let full = format!("ExecStart={} ", dir.path().join("bin/prog").display());
    assert!(done.out.contains(&full), "{}{}", done.out, done.err);
}

#[test]
fn what_flags_set_is_set_in_the_unit_and_what_the_environment_sets_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let flags =
        ["--listen", "0.0.0.0:443", "-O", "log.format=json", "-O", "alerts.cpu=70% for 1m", "-O", "data.dir=/srv/a"];
    let (_, text) = unit(&dir, &flags);
    let line = "ExecStart=/bin/true serve --data-dir /srv/a --listen 0.0.0.0:443 -O log.format=json -O \"alerts.cpu=70%% for 1m\"";
    assert!(text.lines().any(|found| found == line), "{text}");

    let done = Command::new(env!("CARGO_BIN_EXE_bondhu"))
        .args(["service", "--exec", "/bin/true"])
        .env("BONDHU__LOG__FORMAT", "json")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && said.contains("BONDHU__LOG__FORMAT is not in the unit"), "{said}");
}

#[test]
fn a_unit_is_refused_paths_that_begin_where_one_stands_and_says_what_it_hides() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bondhu.toml");
    fs::write(&file, "[data]\ndir = \"data\"\n[backup]\ndir = \"backups\"\n").unwrap();
    let refused = bondhu(dir.path(), &["service", "--exec", "/bin/true"], "");
    assert_eq!(refused.code, 2, "{}", refused.out);
    for words in ["bondhu.toml:2: data.dir must be a full path", "bondhu.toml:4: backup.dir must be a full path"] {
        assert!(refused.err.contains(words), "{words}: {}", refused.err);
    }
    fs::write(&file, "[data]\ndir = \"/srv/chat\"\n").unwrap();
    let path = file.to_str().unwrap();
    let done = bondhu(dir.path(), &["service", "--exec", "/run/user/7/bondhu", "--config", path], "");
    assert!(done.err.contains("/run/user/7/bondhu can't be seen by the server"), "{}", done.err);
    let done = bondhu(dir.path(), &["service", "--exec", "/bin/true", "-O", "backup.dir=/srv/nowhere"], "");
    assert!(done.err.contains("sudo install -d -m 0700 -o bondhu /srv/nowhere"), "{}", done.err);
    fs::write(&file, "[data]\ndir = \"/srv/chat\"\n[backup]\ndir = \"/run/user/7/backups\"\n").unwrap();
    let done = bondhu(dir.path(), &["service", "--exec", "/bin/true", "--config", path], "");
    assert!(done.err.contains("/run/user/7/backups can't be seen by the server"), "{}", done.err);
    fs::remove_file(&file).unwrap();
    let done = bondhu(dir.path(), &["service", "--exec", "/bin/true"], "");
    assert!(done.err.contains("the unit's data directory is /var/lib/bondhu: set data.dir"), "{}", done.err);
    // Somebody who stands there means the directory below.
    let done = bondhu(dir.path(), &["service", "--exec", "/bin/true", "--data-dir", "here"], "");
    assert!(done.ok().contains("/here"));
}

/// A supervisor: what a server that it starts tells it.
struct Supervisor {
    heard: UnixDatagram,
    dir: Arc<TempDir>,
}

impl Supervisor {
    fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        let heard = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        heard.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        Self { heard, dir }
    }

    fn start(&self, watchdog_us: u64) -> Server {
        let socket = format!("NOTIFY_SOCKET={}", self.dir.path().join("notify").display());
        let watchdog = format!("WATCHDOG_USEC={watchdog_us}");
        let data = self.dir.path().join("data");
        Server::try_start(Arc::clone(&self.dir), data, &[], &["env", &socket, &watchdog]).unwrap()
    }

    /// Reads on until the server says this.
    fn hears(&self, what: &str) -> String {
        let mut bytes = [0; 4096];
        loop {
            let read = self.heard.recv(&mut bytes).unwrap_or_else(|error| panic!("never heard {what}: {error}"));
            let told = String::from_utf8_lossy(&bytes[..read]).into_owned();
            if told.contains(what) {
                return told;
            }
        }
    }
}

#[test]
fn a_supervisor_hears_when_the_server_is_ready_alive_reading_again_and_stopping() {
    let supervisor = Supervisor::new();
    fs::write(supervisor.dir.path().join("bondhu.toml"), "[chat]\nmessage_chars_max = 100\n").unwrap();
    let mut server = supervisor.start(200_000);
    supervisor.hears("READY=1");
    supervisor.hears("WATCHDOG=1");
    supervisor.hears("WATCHDOG=1");
    server.signal("HUP");
    assert!(supervisor.hears("RELOADING=1").contains("MONOTONIC_USEC="));
    supervisor.hears("READY=1");
    fs::write(supervisor.dir.path().join("bondhu.toml"), "[chat]\nmessage_chars_max = 0\n").unwrap();
    server.signal("HUP");
    assert!(supervisor.hears("READY=1").contains("fault"), "the status says why nothing changed");
    server.signal("TERM");
    supervisor.hears("STOPPING=1");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn every_setting_is_printed_with_what_set_it_and_nothing_is_started() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("bondhu.toml"), "[chat]\nmessage_chars_max = 100\n").unwrap();
    for flags in [
        &["--print-config", "-O", "server.workers=3"][..],
        &["--print-config", "serve", "-O", "server.workers=3"],
        &["serve", "-O", "server.workers=3", "--print-config"],
    ] {
        let printed = bondhu(dir.path(), flags, "").ok();
        for line in [
            "chat.message_chars_max = 100  # bondhu.toml:2",
            "server.workers = 3  # -O server.workers",
            "data.dir = \"data\"  # default",
        ] {
            assert!(printed.lines().any(|found| found == line), "{line}\n{printed}");
        }
    }
    assert!(!dir.path().join("data").exists());
    assert_eq!(bondhu(dir.path(), &["--print-config", "compact"], "").code, 2);
    fs::write(dir.path().join("hook.secret"), "a secret of more than 24 bytes").unwrap();
    let hook = "alerts.webhook_url=https://example.org/hook/t0ken";
    let hook = ["-O", hook, "-O", "alerts.webhook_secret_file=hook.secret"];
    for command in [&["--print-config"][..], &["check-config", "--show"]] {
        let printed = bondhu(dir.path(), &[command, &hook[..]].concat(), "").ok();
        assert!(printed.contains("alerts.webhook_url = \"(hidden)\"  # -O") && !printed.contains("t0ken"), "{printed}");
    }
}

#[test]
fn the_manual_has_a_page_for_the_program_and_for_each_command() {
    let dir = tempfile::tempdir().unwrap();
    let page = bondhu(dir.path(), &["man"], "").ok();
    assert!(page.contains(".TH bondhu 1") && page.contains("SYNOPSIS"), "{page}");
    for (name, words) in [("serve", "SIGTERM"), ("user-add", "password"), ("check-config", "configuration")] {
        let page = bondhu(dir.path(), &["man", name], "").ok();
        assert!(page.contains(&format!(".TH bondhu-{name} 1")) && page.contains(words), "{name}: {page}");
    }
    let page = bondhu(dir.path(), &["man", "user", "add"], "").ok();
    assert!(page.contains(concat!("\"bondhu ", env!("CARGO_PKG_VERSION"), "\"")), "{page}");
    assert!(page.contains("[\\fB\\-O\\fR]"), "{page}");
    let refused = bondhu(dir.path(), &["man", "user-nothing"], "");
    assert!(refused.code == 2, "{}", refused.err);
    for name in ["check-config", "user-add", "jobs-retry"] {
        assert!(refused.err.contains(name), "{name}: {}", refused.err);
    }
}
