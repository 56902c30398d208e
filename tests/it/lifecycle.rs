//! The process: its threads, its signals, what it refuses to start on, and how it says that it is well.

use std::{fs, path::Path};

use serde_json::json;

use crate::support::{Client, Raw, Server, comes_true, command::bondhu};

/// A connection with the first part of a request that sends `{"content":"a"}`, and what is missing of it. The server
/// is known to have read the head: it has asked for the body.
fn half_said(server: &Server, client: &mut Client) -> (Raw, &'static str) {
    let (session, token) = (client.session(), client.token.clone().unwrap());
    let mut raw = Raw::to(server);
    raw.send(format!(
        "POST /api/v1/sessions/{session}/messages HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 15\r\n\r\n",
        server.address
    ));
    assert_eq!(raw.answer().unwrap().status, 100);
    (raw, "{\"content\":\"a\"}")
}

/// The names of the process's threads.
fn threads(server: &Server) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
    tasks
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .map(|n| n.trim().to_owned())
        .collect()
}

#[test]
fn the_worker_pool_has_the_configured_size_and_name_and_nothing_else_has_it() {
    let cores = std::thread::available_parallelism().unwrap().get();
    for (workers, wanted) in [("server.workers=0", cores), ("server.workers=1", 1), ("server.workers=5", 5)] {
        let server = Server::start(&[workers]);
        let (mut amina, _) = server.user("amina");
        amina.post("/api/v1/chat/send", &json!({"message": "hello"})).expect(200);
        amina.get("/api/v1/chat/search?q=hello").expect(200);
        amina.get("/api/v1/auth/export").expect(200);
        server.command(&["compact"], "").ok();
        let mut names: Vec<_> = threads(&server).into_iter().filter(|name| name.contains("worker")).collect();
        names.sort();
        let wanted: Vec<_> = (0..wanted).map(|n| format!("bondhu-worker-{n}")).collect();
        assert_eq!(names, wanted, "{workers}");
    }
}

#[test]
fn sigterm_and_sigint_let_an_open_request_finish_and_end_with_0() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&[]);
        let (mut amina, _) = server.user("amina");
        let mut idle = Raw::to(&server);
        idle.send(format!("GET /ready HTTP/1.1\r\nhost: {}\r\n\r\n", server.address)).answer().unwrap();
        let (mut open, rest) = half_said(&server, &mut amina);
        server.signal(signal);
        assert!(idle.is_closed(), "an idle connection is closed at once");
        comes_true("nobody new is let in", || std::net::TcpStream::connect(server.address).is_err());
        let answer = open.send(rest).answer().unwrap();
        assert_eq!((answer.status, answer.header("connection")), (201, Some("close")), "{}", answer.text());
        assert!(open.is_closed());
        assert_eq!(server.wait().code(), Some(0));
        assert!(server.log().last().unwrap().ends_with("stopped"), "{:?}", server.log());
        let server = server.restart(&[]);
        assert_eq!(amina.another_tab(&server).history("")["total"], 1);
    }
}

#[test]
fn a_request_that_does_not_finish_is_cut_off_after_the_grace() {
    let mut server = Server::start(&["server.shutdown_grace_ms=100"]);
    let (mut amina, _) = server.user("amina");
    let (mut open, _) = half_said(&server, &mut amina);
    server.signal("TERM");
    assert!(open.is_closed());
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().iter().any(|line| line.contains("server.shutdown_grace")));
}

#[test]
fn a_second_signal_ends_it_at_once_and_what_was_acknowledged_is_there() {
    let mut server = Server::start(&["server.shutdown_grace_ms=600000"]);
    let (mut amina, _) = server.user("amina");
    amina.post("/api/v1/chat/send", &json!({"message": "hello"})).expect(200);
    let (_open, _) = half_said(&server, &mut amina);
    server.signal("TERM");
    let heard = |line: &String| line.contains("a second signal ends it at once");
    comes_true("the signal is heard", || server.log().iter().any(heard));
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(1));
    let server = server.restart(&[]);
    assert_eq!(amina.another_tab(&server).history("")["total"], 1);
}

#[test]
fn a_second_server_is_refused_the_directory_and_the_address() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (dir, data) = (server.dir(), server.data.display().to_string());
    let second = bondhu(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--data-dir", &data], "");
    assert_eq!(second.code, 1, "{}", second.err);
    assert!(second.err.contains(&data) && second.err.contains("in use"), "{}", second.err);
    let address = server.address.to_string();
    let second = bondhu(dir.path(), &["serve", "--listen", &address, "--data-dir", "other"], "");
    assert_eq!(second.code, 1, "{}", second.err);
    assert!(second.err.contains(&address) && second.err.contains("in use"), "{}", second.err);
    amina.get("/api/v1/auth/me").expect(200);
    server.command(&["user", "list"], "").ok();
}

#[test]
fn p8_a_bad_configuration_is_named_in_full_and_nothing_is_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("bad.toml"),
        "[server]\nworkers = -1\nlisten = 8000\n\n[auht]\nx = 1\n[data]\ndir = \"made\"\n",
    )
    .unwrap();
    fs::write(dir.path().join("broken.toml"), "[server\n").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["--config", "bad.toml"],
            &["bad.toml:2", "server.workers", "bad.toml:3", "server.listen", "bad.toml:5", "auht"],
        ),
        (&["--config", "broken.toml"], &["broken.toml:1"]),
        (&["--config", "missing.toml"], &["missing.toml"]),
        (&["-O", "server.wrkers=1", "--data-dir", "made"], &["server.wrkers"]),
        (
            &["-O", "limits.free.messages_per_minute=-1", "-O", "server.workers=x", "--data-dir", "made"],
            &["limits.free.messages_per_minute", "server.workers"],
        ),
        (&["--listen", "127.0.0.1:65536", "--data-dir", "made"], &["--listen"]),
        (&["-O", "data.segment=1", "--data-dir", "made"], &["data.segment", "1MiB"]),
    ];
    for (arguments, named) in cases {
        for command in ["serve", "check-config"] {
            let done = bondhu(dir.path(), &[&[command], arguments].concat(), "");
            assert_eq!(done.code, 2, "{arguments:?}: {}", done.err);
            for name in named {
                assert!(done.err.contains(name), "{arguments:?} does not name {name}: {}", done.err);
            }
            assert!(!done.err.contains("panicked"));
        }
    }
    assert!(!dir.path().join("made").exists());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    let good = bondhu(dir.path(), &["check-config", "--show", "-O", "server.workers=3"], "").ok();
    assert!(good.contains("server.workers = 3") && good.ends_with("the configuration is good\n"), "{good}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_data_directory_that_is_none_is_refused_in_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "x").unwrap();
    for data in ["file", "file/below"] {
        let done = bondhu(dir.path(), &["serve", "--listen", "127.0.0.1:0", "--data-dir", data], "");
        assert!([1, 2].contains(&done.code), "{}", done.err);
        let fault = done.err.lines().last().unwrap();
        assert!(fault.contains(data) && !fault.contains("panicked"), "{}", done.err);
    }
    assert_eq!(fs::read(dir.path().join("file")).unwrap(), b"x");
}

#[test]
fn health_ready_and_the_healthcheck_say_that_all_is_well() {
    let mut server = Server::start(&[]);
    let mut client = server.client();
    assert_eq!(client.get("/health").expect(200).json(), json!({"status": "healthy"}));
    let ready = client.get("/ready").expect(200).json();
    assert_eq!([&ready["status"], &ready["parts"]["store"]], ["ready"; 2]);
    assert_eq!([&ready["parts"]["replies"]["running"], &ready["parts"]["streams"]], [0; 2]);
    let chat = client.get("/api/v1/chat/health").expect(200).json();
    assert_eq!([&chat["status"], &chat["service"], &chat["model"]], ["healthy", "chat", "companion"]);
    let (listen, url) = (server.address.to_string(), format!("http://{}/health", server.address));
    let ask = |arguments: &[&str]| bondhu(Path::new("/"), &[&["healthcheck"], arguments].concat(), "");
    assert_eq!(ask(&["--listen", &listen]).ok(), "healthy\n");
    assert_eq!(ask(&["--url", &url]).ok(), "healthy\n");
    assert_eq!(ask(&["--url", &format!("http://{listen}/no/such/path")]).code, 1);
    assert_eq!(ask(&["--url", "not a url"]).code, 2);
    server.stop();
    let gone = ask(&["--listen", &listen]);
    assert_eq!((gone.code, gone.out.as_str()), (1, ""));
    assert!(gone.err.contains(&listen), "{}", gone.err);
}

#[test]
fn the_command_line_helps_and_refuses_with_2() {
    let run = |arguments: &[&str]| bondhu(Path::new("/"), arguments, "");
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).ok();
        assert!(script.contains("healthcheck") && script.contains("data-dir"), "{shell}");
    }
    let help = run(&["--help"]).ok();
    for command in ["serve", "check-config", "healthcheck", "compact", "completions", "user add", "user tier"] {
        let words: Vec<_> = command.split(' ').collect();
        assert!(help.contains(words[0]), "{command}");
        assert!(run(&[&words[..], &["--help"]].concat()).ok().contains("Example"), "{command}");
    }
    assert!(run(&["--version"]).ok().starts_with("bondhu "));
    for bad in [&["nonsense"][..], &["completions", "nonsense"], &["serve", "extra"], &["user"], &["-O", "x"]] {
        let done = run(bad);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{bad:?}");
        assert!(!done.err.is_empty());
    }
}

#[test]
fn p6_health_answers_while_two_hundred_requests_are_under_way() {
    // Longer than any test takes: an answer that waited for one of these would never come.
    let server = Server::start(&["server.body_timeout_ms=600000", "server.workers=1"]);
    let (mut amina, _) = server.user("amina");
    let open: Vec<_> = (0..200).map(|_| half_said(&server, &mut amina)).collect();
    let mut client = server.client();
    for _ in 0..50 {
        client.get("/health").expect(200);
    }
    let listen = server.address.to_string();
    bondhu(Path::new("/"), &["healthcheck", "--listen", &listen], "").ok();
    for (mut raw, rest) in open {
        assert_eq!(raw.send(rest).answer().unwrap().status, 201);
    }
    assert_eq!(amina.history("")["total"], 200);
}
