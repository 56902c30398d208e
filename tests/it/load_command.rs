//! `bondhu load`: it finds nothing wrong with a good server, every kind of lie of a bad one, and a stall in its p99.

use std::{collections::HashMap, net::SocketAddr, path::Path, sync::mpsc, time::Duration};

use serde_json::Value;

use crate::support::{
    Server,
    command::{Done, bondhu},
    liar::{self, Lie},
    load::PATIENCE,
};

/// Runs a short load test in a directory, against `address`.
fn load(dir: &Path, address: SocketAddr, arguments: &[&str]) -> Done {
    let url = format!("http://{address}");
    let given = |option: &str| arguments.contains(&option);
    let mut words = vec!["load", &url];
    for pair in [["--warm-up", "0.1"], ["--duration", "1.5"], ["--seed", "7"]].iter().filter(|pair| !given(pair[0])) {
        words.extend(pair);
    }
    words.extend(arguments);
    bondhu(dir, &words, "")
}

#[track_caller]
fn json(done: &Done) -> Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {}{}", done.out, done.err))
}

#[test]
fn a_good_server_passes_every_scenario() {
    let server = Server::start(&[]);
    for scenario in ["journey", "history", "send", "streams", "mixed", "hijack", "rapid", "churn"] {
        let dir = server.dir();
        let done = load(dir.path(), server.address, &["--scenario", scenario, "--users", "6", "--json", "-"]);
        let report = json(&done);
        let errors = &report["phases"][0]["errors"];
        assert_eq!(done.code, 0, "{scenario}: {}{errors}\n{}", done.err, report["checks"]["in_words"]);
        let checks = &report["checks"];
        assert_eq!(checks["violations"], 0);
        let checked = if scenario == "hijack" { "attempts" } else { "acknowledgements" };
        assert!(checks[checked].as_u64().unwrap() > 5 && checks["reads"].as_u64().unwrap() > 5, "{scenario}: {checks}");
        if scenario == "streams" {
            assert!(checks["events"].as_u64().unwrap() > 20, "{checks}");
        }
    }
    server.is_calm();
}

#[test]
fn the_old_calls_are_checked_and_accounts_are_used_again() {
    let server = Server::start(&[]);
    let dir = server.dir();
    for run in 0..2 {
        let words = ["--api", "old", "--users", "5", "--users-file", "users.jsonl", "--json", "-"];
        let done = load(dir.path(), server.address, &words);
        let report = json(&done);
        assert_eq!(done.code, 0, "{}\n{}", done.err, report["checks"]["in_words"]);
        let calls = &report["phases"][0]["calls"];
        assert!(calls["history"]["count"].as_u64().unwrap() > 5, "{calls}");
        assert_eq!(calls["register"].is_null(), run == 1, "{calls}");
    }
    let kept = std::fs::read_to_string(dir.path().join("users.jsonl")).unwrap();
    assert_eq!(kept.lines().count(), 5);
}

#[test]
fn a_server_that_only_refuses_is_given_up_with_its_reason() {
    let server = Server::start(&["data.min_free=1TiB"]);
    let begun = std::time::Instant::now();
    let done = load(server.dir().path(), server.address, &["--users", "3"]);
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    assert!(done.err.contains("no account can be made") && done.err.contains("status 503"), "{}", done.err);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
}

#[test]
fn overload_is_measured_in_phases_and_its_refusals_are_no_errors() {
    let server = Server::start(&["concurrency.min=1", "concurrency.max=1", "concurrency.queue=2"]);
    let words = ["--scenario", "overload", "--capacity", "200", "--users", "30", "--duration", "0.5", "--json", "-"];
    let done = load(server.dir().path(), server.address, &words);
    let report = json(&done);
    assert_eq!(done.code, 0, "{}\n{}", done.err, report["checks"]["in_words"]);
    let phases = report["phases"].as_array().unwrap();
    let names: Vec<&str> = phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["1 times", "2 times", "5 times", "10 times"]);
    for phase in phases {
        assert!(phase["part_of_capacity"].as_f64().unwrap() > 0.0);
        assert!(phase["calls"]["health"]["count"].as_u64().unwrap() > 0);
        assert_eq!(phase["refusals_without_retry_after"], 0);
    }
}

#[test]
fn the_report_has_every_figure_and_the_plot_is_drawn() {
    let server = Server::start(&[]);
    let dir = server.dir();
    let words = ["--users", "3", "--rate", "50", "--json", "out.json", "--plot", "plot.svg"];
    let done = load(dir.path(), server.address, &words);
    let table = done.ok();
    for word in ["seed 7", "open loop, 50.0 steps/s", "send ", "page ", "p99.9 ms", "of a CPU", "no promise was broken"]
    {
        assert!(table.contains(word), "{word}: {table}");
    }
    let report: Value = serde_json::from_slice(&std::fs::read(dir.path().join("out.json")).unwrap()).unwrap();
    assert_eq!(
        (&report["schema"], &report["passed"], &report["seed"]),
        (&"bondhu-load/1".into(), &true.into(), &7.into())
    );
    assert!(report["client_limited"].is_boolean());
    let phase = &report["phases"][0];
    let send = &phase["calls"]["send"];
    let part = |name: &str| send["latency_us"][name].as_u64().unwrap();
    assert!(send["count"].as_u64().unwrap() > 10 && send["per_second"].as_f64().unwrap() > 10.0, "{send}");
    assert!(part("p50") > 0 && part("p50") <= part("p99") && part("p99") <= part("p99.99"), "{send}");
    assert!(part("p99.99") <= part("max") && phase["client"]["cpu_us_per_answer"].as_f64().unwrap() > 0.0);
    assert!(!phase["seconds"].as_array().unwrap().is_empty());
    let plot = std::fs::read_to_string(dir.path().join("plot.svg")).unwrap();
    assert!(plot.starts_with("<svg ") && plot.contains("latency, ms") && plot.contains("answered"), "{plot}");
}

#[test]
fn what_is_misused_or_not_there_has_its_own_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let at = |url: &str, words: &[&str]| bondhu(dir.path(), &[&["load", url], words].concat(), "");
    for (url, words) in [
        ("ftp://127.0.0.1", &[][..]),
        ("http://127.0.0.1:1", &["--users", "0"]),
        ("http://127.0.0.1:1", &["--rate", "-1"]),
        ("http://127.0.0.1:1", &["--no-auth"]),
        ("http://127.0.0.1:1", &["--api", "old", "--scenario", "streams"]),
    ] {
        let done = at(url, words);
        assert_eq!(done.code, 2, "{url} {words:?}: {}", done.err);
    }
    let done = at("http://127.0.0.1:1", &["--users", "1"]);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("no connection"), "{}", done.err);
}

#[test]
fn a_server_that_stalls_shows_it_in_the_p99_of_an_open_loop() {
    let server = Server::start(&[]);
    let words = ["--scenario", "send", "--users", "10", "--rate", "100", "--duration", "4", "--json", "-"];
    let report = std::thread::scope(|scope| {
        let running = scope.spawn(|| load(server.dir().path(), server.address, &words));
        let sent = || server.log().iter().filter(|line| line.contains("{id}/messages")).count();
        let began = std::time::Instant::now();
        while sent() < 50 {
            assert!(began.elapsed() < PATIENCE, "nothing is sent");
            std::thread::yield_now();
        }
        server.signal("STOP");
        let (_keep, nothing) = mpsc::channel::<()>();
        let _ = nothing.recv_timeout(Duration::from_secs(1));
        server.signal("CONT");
        json(&running.join().unwrap())
    });
    let send = &report["phases"][0]["calls"]["send"];
    assert!(send["latency_us"]["p99"].as_u64().unwrap() > 700_000, "{send}");
    assert_eq!(report["passed"], true, "{}", report["checks"]["in_words"]);
}

/// Runs the journey through a proxy that tells this lie, and wants the fault to be named.
#[track_caller]
fn is_caught(fault: &str, lie: Lie) {
    let server = Server::start(&[]);
    let address = liar::start(server.address, lie);
    let done = load(server.dir().path(), address, &["--users", "2"]);
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    assert!(done.out.contains(&format!("VIOLATION {fault} (P")), "{}", done.out);
    assert!(done.err.contains("promises were broken"), "{}", done.err);
}

/// The messages of a page that has two turns or more.
fn turns(page: &mut Value) -> Option<&mut Vec<Value>> {
    page["messages"].as_array_mut().filter(|messages| messages.len() >= 4)
}

#[test]
fn a_message_that_is_left_out_is_lost() {
    let lie = |_: &str, page: &mut Value| {
        if let Some(messages) = turns(page) {
            messages.drain(..2);
        }
    };
    is_caught("lost", Box::new(lie));
}

#[test]
fn an_old_page_is_stale() {
    let mut seen: HashMap<String, Value> = HashMap::new();
    is_caught("stale", Box::new(move |path, page| *page = seen.entry(path.to_owned()).or_insert(page.take()).clone()));
}

#[test]
fn messages_in_another_order_are_reordered() {
    let lie = |_: &str, page: &mut Value| {
        if let Some(messages) = turns(page) {
            messages.swap(0, 2);
        }
    };
    is_caught("reordered", Box::new(lie));
}

#[test]
fn replies_that_are_exchanged_are_mispaired() {
    let lie = |_: &str, page: &mut Value| {
        if let Some(messages) = turns(page) {
            let first = messages[1]["content"].take();
            messages[1]["content"] = std::mem::replace(&mut messages[3]["content"], first);
        }
    };
    is_caught("mispaired", Box::new(lie));
}

#[test]
fn the_text_of_another_user_is_foreign() {
    let mut seen: Vec<(String, Value)> = Vec::new();
    let lie = move |path: &str, page: &mut Value| {
        let Some(messages) = turns(page) else { return };
        match seen.iter().find(|(other, _)| other != path) {
            Some((_, text)) => messages[0]["content"] = text.clone(),
            None => seen.push((path.to_owned(), messages[0]["content"].clone())),
        }
    };
    is_caught("foreign", Box::new(lie));
}

#[test]
fn a_message_that_is_repeated_is_duplicated() {
    let lie = |_: &str, page: &mut Value| {
        if let Some(messages) = turns(page) {
            messages.insert(1, messages[0].clone());
        }
    };
    is_caught("duplicated", Box::new(lie));
}
