//! What the dashboard is given, what is told when something is wrong, and what of it outlives the process.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, sync::Arc};

use base64ct::{Base64, Encoding};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{
    Client, PASSWORD, Server, at_once,
    command::bondhu,
    hooks::{Delivery, Hooks},
    list,
    model::{asking, until},
    stub::Stub,
    text,
};

/// Samples come ten times a second.
const QUICK: &str = "monitor.interval_ms=100";

fn admin(server: &Server) -> Client {
    let mut client = server.client();
    let credentials = json!({"username": "root", "password": PASSWORD});
    let mut answer = client.post("/api/v1/auth/login", &credentials);
    if answer.status == 401 {
        server.add_admin("root");
        answer = client.post("/api/v1/auth/login", &credentials);
    }
    client.token = Some(text(&answer.expect(200).json()["token"]));
    client
}

fn series(client: &mut Client, query: &str) -> Value {
    client.get(&format!("/api/v1/admin/monitor{query}")).expect(200).json()
}

fn now(client: &mut Client) -> Value {
    client.get("/api/v1/admin/monitor/now").expect(200).json()
}

/// The samples of the last half minute or so, each a point.
fn lately(client: &mut Client) -> Value {
    let now = series(client, "?since_ms=18446744073709551615")["at_ms"].as_u64().unwrap();
    series(client, &format!("?since_ms={}", now - 40_000))
}

/// The points of a column that are there, with the time at which each begins.
fn points(series: &Value, column: &str) -> Vec<(u64, f64)> {
    let (start, step) = (series["start_ms"].as_u64().unwrap(), series["step_ms"].as_u64().unwrap());
    let values = list(&series["columns"][column]);
    assert_eq!(values.len() as u64, series["points"].as_u64().unwrap(), "{column}");
    let known = values.iter().zip(0..).filter_map(|(value, n)| Some((start + n * step, value.as_f64()?)));
    known.collect()
}

/// Waits until there are so many samples; gives all of them.
fn sampled(client: &mut Client, count: usize) -> Value {
    until("samples", || {
        let series = lately(client);
        (points(&series, "requests_per_s").len() >= count).then_some(series)
    })
}

#[test]
fn samples_show_what_happens_and_outlive_the_process_with_a_gap_where_it_was_away() {
    let server = Server::start(&[QUICK]);
    let mut root = admin(&server);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let talked = until("a turn in a sample", || {
        amina.say(&session, "hello");
        let series = lately(&mut root);
        points(&series, "turns_answered_per_s").iter().any(|(_, value)| *value > 0.0).then_some(series)
    });
    assert_eq!((&talked["interval_ms"], &talked["step_ms"]), (&json!(100), &json!(100)));
    for column in ["requests_per_s", "memory_bytes", "syncs_per_s", "disk_free_bytes", "connections"] {
        assert!(points(&talked, column).iter().any(|(_, value)| *value > 0.0), "{column}");
    }
    let before = sampled(&mut root, 5);
    let kept = points(&before, "requests_per_s");
    let server = server.restart(&[QUICK]);
    let mut root = root.another_tab(&server);
    let last = kept.last().unwrap().0;
    let of_before = series(&mut root, &format!("?since_ms={}&until_ms={}", kept[0].0, last + 100));
    assert_eq!(points(&of_before, "requests_per_s"), kept, "what was sampled before is there");
    let new = until("a sample after the restart", || {
        let since = series(&mut root, &format!("?since_ms={}&until_ms={}", last + 100, last + 40_000));
        points(&since, "requests_per_s").first().copied()
    });
    let next = new.0;
    let (from, to) = (last, next + 100);
    let stretch = series(&mut root, &format!("?since_ms={from}&until_ms={to}"));
    assert_eq!(points(&stretch, "requests_per_s"), [*kept.last().unwrap(), new]);
    assert_eq!(gaps(&stretch), (next - last) / 100 - 1, "what was not sampled is null");
    let coarse = series(&mut root, &format!("?step_ms=1000&since_ms={from}"));
    assert_eq!(coarse["step_ms"], 1000);
    assert_eq!(coarse["start_ms"].as_u64().unwrap() % 1000, 0);
    server.is_calm();
}

fn gaps(series: &Value) -> u64 {
    list(&series["columns"]["requests_per_s"]).iter().filter(|value| value.is_null()).count() as u64
}

#[test]
fn bad_questions_are_422_and_odd_ones_are_answered() {
    let server = Server::start(&[QUICK]);
    let mut root = admin(&server);
    for query in ["?since_ms=yesterday", "?step_ms=-1", "?until_ms=1&until_ms=2", "?step_ms=99999999999999999999"] {
        let refused = root.get(&format!("/api/v1/admin/monitor{query}")).expect(422).json();
        assert!(text(&refused["detail"]).contains("_ms: "), "{refused}");
    }
    let most = u64::MAX;
    for query in [format!("?since_ms={most}&until_ms=0"), format!("?step_ms={most}"), format!("?until_ms={most}")] {
        assert!(series(&mut root, &query)["points"].as_u64().unwrap() <= 501, "{query}");
    }
    server.is_calm();
}

#[test]
fn now_says_what_runs_how_the_rules_stand_and_what_the_values_are_parts_of() {
    let server = Server::start(&[QUICK, "alerts.cpu=off"]);
    let mut root = admin(&server);
    let now = until("a sample with the account", || Some(now(&mut root)).filter(|now| now["sample"]["users"] == 1));
    assert_eq!(now["version"], env!("CARGO_PKG_VERSION"));
    assert!(now["bounds"]["cores"].as_f64().unwrap() >= 1.0 && now["bounds"]["disk_bytes"].as_u64() > Some(1 << 20));
    let rules: Vec<_> = list(&now["alerts"]).iter().map(|alert| text(&alert["rule"])).collect();
    assert!(!rules.contains(&"cpu".to_owned()) && rules.len() == 7, "{rules:?}");
    let memory = list(&now["alerts"]).iter().find(|alert| alert["rule"] == "memory").unwrap();
    assert_eq!((&memory["state"], &memory["limit"], &memory["unit"]), (&json!("ok"), &json!(80.0), &json!("percent")));
    assert!(memory["value"].as_f64().unwrap() > 0.0);
    assert_eq!((&now["work"]["backups"], &now["work"]["last_backup_at"]), (&json!(0), &Value::Null));
    assert!(!server.figures().series.contains_key("bondhu_alert_firing{rule=\"cpu\"}"));
}

#[test]
fn an_overload_fires_an_alert_and_its_end_resolves_it() {
    let stub = Stub::start();
    let slots = ["concurrency.min=1", "concurrency.max=1", "concurrency.queue=0"];
    let server = asking(&stub, &[&[QUICK, "alerts.error_rate=10% for 300ms"], &slots[..]].concat());
    let mut root = admin(&server);
    let (amina, _) = server.user("amina");
    let state = |root: &mut Client| {
        let now = now(root);
        let alert = list(&now["alerts"]).iter().find(|alert| alert["rule"] == "error_rate").unwrap().clone();
        (text(&alert["state"]), now)
    };
    assert_eq!(state(&mut root).0, "ok");
    let fired = until("an alert", || {
        at_once(8, |_| {
            let mut tab = amina.another_tab(&server);
            let session = tab.session();
            for _ in 0..5 {
                tab.try_say(&session, "[[tokens 4 20]] hello");
            }
        });
        let fires = server.figures().count("bondhu_alert_firing{rule=\"error_rate\"}") == 1;
        Some(state(&mut root)).filter(|(state, _)| fires && state == "firing")
    });
    let notice = &list(&fired.1["notices"])[0];
    assert_eq!((&notice["state"], &notice["rule"]), (&json!("firing"), &json!("error_rate")));
    assert!(text(&notice["summary"]).contains("over 10 %"), "{notice}");

    let resolved = until("its end", || Some(state(&mut root)).filter(|(state, _)| state == "ok"));
    let notice = &list(&resolved.1["notices"])[0];
    assert_eq!((&notice["state"], &notice["rule"]), (&json!("resolved"), &json!("error_rate")));
    assert_eq!(server.figures().count("bondhu_alert_firing{rule=\"error_rate\"}"), 0);
    let log = server.settled_log();
    let told = |state: &str| log.iter().filter(|line| line.contains("alerts:") && line.contains(state)).count();
    // On a slow machine there may be quiet enough between two rounds for it to end and begin again.
    assert!(told("state=\"firing\"") >= 1);
    assert_eq!(told("state=\"firing\""), told("state=\"resolved\""));
}

#[test]
fn word_of_an_alert_is_posted_until_it_is_taken_and_signed_anew_each_time() {
    let hooks = Hooks::start(Some(500));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let key = "a-secret-that-is-long-enough-for-this";
    let file = secret(dir.path(), key, 0o600);
    let written = |rule: &str| {
        let hook = format!("webhook_url = \"http://{}/hook\"\nwebhook_secret_file = \"{file}\"", hooks.address);
        fs::write(dir.path().join("bondhu.toml"), format!("[alerts]\ndisk_free = \"{rule}\"\n{hook}\n")).unwrap();
    };
    written("100%"); // No disk is that empty.
    let server = Server::start_in(Arc::clone(&dir), dir.path().join("data"), &[QUICK, "jobs.retry_after_ms=100"]);
    let header = |delivery: &Delivery, name: &str| {
        let line = delivery.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {name}: {}", delivery.head))
    };
    let tries = hooks.wait_for(2);
    for delivery in &tries {
        let (id, at) = (header(delivery, "webhook-id"), header(delivery, "webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(format!("{id}.{at}.{}", delivery.body).as_bytes());
        let wanted = format!("v1,{}", Base64::encode_string(&mac.finalize().into_bytes()));
        assert_eq!(header(delivery, "webhook-signature"), wanted);
    }
    assert_eq!((&tries[0].body, header(&tries[0], "webhook-id")), (&tries[1].body, header(&tries[1], "webhook-id")));
    let said: Value = serde_json::from_str(&tries[0].body).unwrap();
    assert_eq!((&said["type"], &said["data"]["rule"]), (&json!("alert.firing"), &json!("disk_free")));

    hooks.answer(Some(204));
    let mut root = admin(&server);
    until("it is taken", || {
        let figures = server.figures();
        (figures.count("bondhu_jobs_done_total{kind=\"alert\"}") == 1).then_some(())
    });
    assert!(server.figures().count("bondhu_job_failures_total{kind=\"alert\"}") >= 1);
    let so_far = hooks.came().len();
    written("off");
    root.post("/api/v1/admin/reload", &json!({})).expect(200);
    let last = hooks.wait_for(so_far + 1).pop().unwrap();
    let said: Value = serde_json::from_str(&last.body).unwrap();
    assert_eq!((&said["type"], &said["data"]["rule"]), (&json!("alert.resolved"), &json!("disk_free")));
    let log = server.settled_log().join("\n");
    assert!(!log.contains(key) && !log.contains("/hook"), "neither the secret nor the URL is logged");
}

#[test]
fn the_last_word_of_an_alert_is_the_newest_one_also_where_an_older_one_did_not_get_through() {
    let hooks = Hooks::start(Some(500));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let file = secret(dir.path(), "a-secret-that-is-long-enough-for-this", 0o600);
    let written = |rule: &str| {
        let hook = format!("webhook_url = \"http://{}/hook\"\nwebhook_secret_file = \"{file}\"", hooks.address);
        fs::write(dir.path().join("bondhu.toml"), format!("[alerts]\ndisk_free = \"{rule}\"\n{hook}\n")).unwrap();
    };
    written("100%");
    let server = Server::start_in(Arc::clone(&dir), dir.path().join("data"), &[QUICK, "jobs.retry_after_ms=6000"]);
    let mut root = admin(&server);
    hooks.wait_for(1);
    hooks.answer(Some(204));
    written("off");
    root.post("/api/v1/admin/reload", &json!({})).expect(200);
    hooks.wait_for(2);
    until("nothing more is to be told", || {
        let waits = |state| crate::jobs::jobs(&mut root, state).iter().any(|job| job["kind"] == "alert");
        (!["queued", "running"].map(waits).contains(&true)).then_some(())
    });
    let told = |delivery: &Delivery| serde_json::from_str::<Value>(&delivery.body).unwrap()["type"].clone();
    assert_eq!(hooks.came().iter().map(told).collect::<Vec<_>>(), ["alert.firing", "alert.resolved"]);
}

#[test]
fn rules_change_when_the_configuration_is_read_again() {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let rule =
        |rule: &str| fs::write(dir.path().join("bondhu.toml"), format!("[alerts]\ndisk_free = \"{rule}\"\n")).unwrap();
    rule("off");
    let server = Server::start_in(Arc::clone(&dir), dir.path().join("data"), &[QUICK]);
    let mut root = admin(&server);
    sampled(&mut root, 2);
    let standing = |root: &mut Client| {
        let now = now(root);
        let state = list(&now["alerts"]).iter().find(|alert| alert["rule"] == "disk_free").map(|it| text(&it["state"]));
        (state, list(&now["notices"]).iter().map(|notice| text(&notice["state"])).collect::<Vec<_>>())
    };
    assert_eq!(standing(&mut root), (None, vec![]));
    rule("100%"); // No disk is that empty.
    let told = root.post("/api/v1/admin/reload", &json!({})).expect(200).json();
    assert_eq!(told, json!({"changed": ["alerts.disk_free"], "at_next_start": []}));
    let (_, notices) =
        until("it fires", || Some(standing(&mut root)).filter(|(state, _)| state.as_deref() == Some("firing")));
    assert_eq!(notices, ["firing"]);
    rule("off");
    root.post("/api/v1/admin/reload", &json!({})).expect(200);
    assert_eq!(standing(&mut root), (None, vec!["resolved".to_owned(), "firing".to_owned()]));
}

#[test]
fn what_fires_goes_on_over_a_restart_and_its_end_is_told() {
    let firing = ["alerts.disk_free=100% for 0s", "alerts.memory=0.000001% for 0s"]; // Both are so, everywhere.
    let server = Server::start(&[&[QUICK], &firing[..]].concat());
    let mut root = admin(&server);
    let standing = |root: &mut Client| {
        let now = now(root);
        let state = |rule: &str| {
            let alert = list(&now["alerts"]).iter().find(|alert| alert["rule"] == rule);
            alert.map(|alert| (text(&alert["state"]), alert["since"].clone()))
        };
        let told = |notice: &Value| format!("{} {}", text(&notice["rule"]), text(&notice["state"]));
        (state("disk_free"), state("memory"), list(&now["notices"]).iter().map(told).collect::<Vec<_>>())
    };
    let before = until("both fire", || Some(standing(&mut root)).filter(|(_, _, told)| told.len() == 2));
    assert_eq!(before.0.as_ref().unwrap().0, "firing");
    let count = |server: &Server| server.figures().count("bondhu_alert_firing{rule=\"disk_free\"}");
    until("it is written", || server.data.join("monitor/firing").exists().then_some(()));

    let server = server.restart(&[&[QUICK], &firing[..]].concat());
    assert_eq!(count(&server), 1, "from the beginning on");
    root = admin(&server);
    sampled(&mut root, 2);
    assert_eq!(standing(&mut root), (before.0, before.1, vec![]), "since when it was, and nothing is told twice");

    // One has ended meanwhile, the other is watched no more.
    let mut server = server.restart(&[QUICK, "alerts.disk_free=0.001% for 0s", "alerts.memory=off"]);
    root = admin(&server);
    let ended = until("both end", || Some(standing(&mut root)).filter(|(_, _, told)| told.len() == 2));
    assert_eq!(ended.2, ["disk_free resolved", "memory resolved"]);
    assert_eq!(ended.0.unwrap().0, "ok");

    // A file that is not as it should be is none.
    assert!(server.stop().success());
    fs::write(server.data.join("monitor/firing"), "[{\"rule\": \"weather\"").unwrap();
    let server = server.restart(&[QUICK]);
    assert_eq!(count(&server), 0);
    assert!(server.settled_log().iter().any(|line| line.contains("what fired before this start is not known")));
}

#[test]
fn the_newest_security_events_are_listed_with_who_and_where_and_nothing_secret() {
    let server = Server::start(&[]);
    let mut root = admin(&server);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, id) = server.user("mallory");
    let session = amina.session();
    mallory.get(&format!("/api/v1/sessions/{session}")).expect(403);
    mallory.get("/api/v1/admin/security").expect(403);
    let wrong = json!({"username": "amina", "password": "a-wrong-password"});
    server.client().post("/api/v1/auth/login", &wrong).expect(401);
    let answer = root.get("/api/v1/admin/security").expect(200);
    let events = answer.json()["events"].clone();
    let shown: Vec<_> = list(&events)
        .iter()
        .take(3)
        .map(|event| (text(&event["kind"]), event["user_id"] == json!(id), text(&event["path"])))
        .collect();
    let wanted = [
        ("login_failed", false, "/api/v1/auth/login"),
        ("admin", true, "/api/v1/admin/security"),
        ("ownership", true, "/api/v1/sessions/{id}"),
    ];
    assert_eq!(shown, wanted.map(|(kind, own, path)| (kind.to_owned(), own, path.to_owned())));
    assert_eq!(list(&events)[0]["address"], "127.0.0.1");
    assert!(!answer.text().contains(&session) && !answer.text().contains("a-wrong-password"));
}

fn secret(dir: &Path, bytes: &str, mode: u32) -> String {
    let file = dir.join("secret");
    fs::write(&file, bytes).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file.display().to_string()
}

#[test]
fn the_config_is_shown_without_what_may_be_secret() {
    let dir = tempfile::tempdir().unwrap();
    let file = secret(dir.path(), "a-secret-that-is-long-enough-for-this", 0o600);
    let (url, file) = ("alerts.webhook_url=http://127.0.0.1:9/T0KEN", format!("alerts.webhook_secret_file={file}"));
    let server = Server::start(&[url, &file, "concurrency.max=17"]);
    let mut root = admin(&server);
    let answer = root.get("/api/v1/admin/config").expect(200);
    let settings = answer.json()["settings"].clone();
    let of = |key: &str| {
        let found = list(&settings).iter().find(|setting| setting["key"] == key).unwrap();
        text(&found["value"])
    };
    assert_eq!(of("concurrency.max"), "17");
    assert_eq!(of("alerts.cpu"), "\"80% for 5m\"");
    assert_eq!(of("alerts.webhook_url"), "\"(hidden)\"");
    assert!(!answer.text().contains("T0KEN") && !answer.text().contains("long-enough"));
}

#[test]
fn check_config_tests_the_rules_and_names_each_fault() {
    let dir = tempfile::tempdir().unwrap();
    let check = |lines: &str| {
        fs::write(dir.path().join("bondhu.toml"), format!("[alerts]\n{lines}\n")).unwrap();
        let done = bondhu(dir.path(), &["check-config"], "");
        (done.code, done.err)
    };
    let (code, told) = check("cpu = \"80\"\ndisk_free = \"120%\"\nlatency_p95 = \"2s for 2d\"\ncpus = \"1%\"");
    assert_eq!(code, 2);
    for fault in
        [":2: alerts.cpu must be", ":3: alerts.disk_free must be", ":4: alerts.latency_p95 must be", ":5: unknown"]
    {
        assert!(told.contains(fault), "{fault}: {told}");
    }
    let (code, told) = check("webhook_url = \"https://hooks.example/S3CRET\"");
    assert!(code == 2 && told.contains("alerts.webhook_secret_file must be set"), "{told}");
    let (_, told) = check("webhook_url = \"ftp://hooks.example/S3CRET\"");
    assert!(told.contains("neither http nor https") && !told.contains("S3CRET"), "{told}");
    for (bytes, mode, fault) in [
        ("a-secret-that-is-long-enough-for-this", 0o644, "can be read by others"),
        ("short", 0o600, "a secret has 24 to 1024"),
        ("", 0o600, "is empty"),
    ] {
        let file = secret(dir.path(), bytes, mode);
        let lines = format!("webhook_url = \"https://hooks.example/x\"\nwebhook_secret_file = \"{file}\"");
        let (code, told) = check(&lines);
        assert!(code == 2 && told.contains(fault), "{fault}: {told}");
    }
    let file = secret(dir.path(), "a-secret-that-is-long-enough-for-this", 0o600);
    let (code, told) = check(&format!(
        "webhook_url = \"https://hooks.example/x\"\nwebhook_secret_file = \"{file}\"\ncpu = \"off\"\nlatency_p95 = \"1.5s for 30s\""
    ));
    assert_eq!(code, 0, "{told}");
}

#[test]
fn a_damaged_history_is_begun_anew_and_neither_check_nor_a_copy_minds_it() {
    let mut server = Server::start(&[QUICK]);
    let mut root = admin(&server);
    sampled(&mut root, 3);
    let copy = server.dir().path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").args([&server.data, &copy]).status().unwrap().success());
    let file = server.data.join("monitor/history");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    server.stop();
    for dir in [&server.data, &copy] {
        bondhu(server.dir().path(), &["check", &dir.display().to_string()], "").ok();
    }
    fs::write(&file, b"not a history at all").unwrap();
    let server = server.restart(&[QUICK]);
    assert!(server.settled_log().iter().any(|line| line.contains("WARN") && line.contains("begun anew")));
    let mut root = root.another_tab(&server);
    sampled(&mut root, 3);
    let copied = Server::start_in(server.dir(), copy, &[QUICK]);
    assert!(!copied.settled_log().iter().any(|line| line.contains("begun anew")));
}
