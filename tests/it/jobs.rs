//! The durable queue from outside: kills in every state of a job, what is parked and retried, titles, an old directory.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use bondhu::{
    clock::Clock,
    config::{CacheConfig, DataConfig},
    jobs::webhook::Webhook,
    store::Store,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Client, PASSWORD, Random, Server, comes_true, data::check_passes, hooks::Hooks, list, model::until, text,
};

pub(crate) const QUICK_RETRIES: &str = "jobs.retry_after_ms=1";

fn admin(server: &Server) -> Client {
    server.add_admin("root");
    login(server, "root", PASSWORD)
}

pub(crate) fn login(server: &Server, name: &str, password: &str) -> Client {
    let mut client = server.client();
    let answer = client.post("/api/v1/auth/login", &json!({"username": name, "password": password})).expect(200).json();
    client.token = Some(text(&answer["token"]));
    client
}

/// The jobs in a state, as an administrator sees them.
pub(crate) fn jobs(root: &mut Client, state: &str) -> Vec<Value> {
    root.get(&format!("/api/v1/admin/jobs?state={state}&limit=200")).expect(200).json()["jobs"]
        .as_array()
        .unwrap()
        .clone()
}

fn of_kind(jobs: Vec<Value>, kind: &str) -> Vec<Value> {
    jobs.into_iter().filter(|job| job["kind"] == kind).collect()
}

fn webhook(hooks: &Hooks, n: usize) -> Webhook {
    Webhook {
        url: format!("http://{}/secret-path", hooks.address),
        headers: BTreeMap::from([("x-signature".to_owned(), "secret-signature".to_owned())]),
        body: json!({"number": n}).to_string(),
    }
}

/// Opens the store of a directory that no server uses, for `work`.
pub(crate) fn with_store(data: &Path, work: impl AsyncFnOnce(&Store)) {
    let config = DataConfig { dir: data.to_owned(), min_free: 1 << 20, ..DataConfig::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
        work(&store).await;
        store.close().await;
    });
}

/// Enqueues messages to `hooks` in a directory that no server uses, all of them twice.
pub(crate) fn enqueue(data: &Path, hooks: &Hooks, count: usize) {
    with_store(data, async |store| {
        for n in (0..count).chain(0..count) {
            let job = webhook(hooks, n).job(format!("test {n}"), Clock::System.now()).unwrap();
            store.enqueue(job).await.unwrap();
        }
    });
}

/// Waits until no webhook waits or runs.
fn all_delivered(root: &mut Client) {
    comes_true("all are delivered", || {
        let waiting = ["queued", "running"].map(|state| of_kind(jobs(root, state), "webhook").len());
        waiting == [0, 0]
    });
}

#[test]
fn a_message_whose_server_is_killed_in_its_middle_is_sent_again_with_the_same_id_and_then_never_more() {
    let hooks = Hooks::start(None);
    let mut server = Server::start(&[]);
    server.add_admin("root");
    server.stop();
    enqueue(&server.data, &hooks, 1);
    let mut server = server.restart(&[]);
    let first = hooks.wait_for(1);
    let mut root = login(&server, "root", PASSWORD);
    let running = of_kind(jobs(&mut root, "running"), "webhook");
    assert_eq!((running.len(), &running[0]["attempts"], &running[0]["id"]), (1, &json!(1), &json!(first[0].id)));
    assert!(running[0]["lease_until"].is_string());
    server.kill();
    check_passes(&server.data);
    hooks.answer(Some(204));
    let mut server = server.restart(&[QUICK_RETRIES]);
    let both = hooks.wait_for(2);
    assert_eq!(both[1], both[0], "the same message under the same id");
    assert!(
        both[0].head.contains("content-type: application/json")
            && both[0].head.contains("x-signature: secret-signature")
    );
    let mut root = login(&server, "root", PASSWORD);
    all_delivered(&mut root);
    let done = of_kind(jobs(&mut root, "done"), "webhook");
    assert_eq!((done.len(), &done[0]["attempts"], &done[0]["key"]), (1, &json!(2), &json!("test 0")));
    server.kill();
    enqueue(&server.data, &hooks, 1);
    let server = server.restart(&[QUICK_RETRIES]);
    all_delivered(&mut login(&server, "root", PASSWORD));
    assert_eq!(hooks.came().len(), 2, "what has ended stays ended, also where it is enqueued once more");
    for line in server.settled_log() {
        assert!(!line.contains("secret"), "{line}");
    }
}

#[test]
fn kills_at_any_moment_lose_no_job_and_repeat_only_what_ran() {
    const JOBS: usize = 200;
    let mut random = Random::seeded("jobs");
    let hooks = Hooks::start(Some(200));
    let mut server = Server::start(&[]);
    server.add_admin("root");
    server.stop();
    enqueue(&server.data, &hooks, JOBS);
    let mut kills = 0;
    for _ in 0..4 {
        let target = hooks.came().len() + 1 + random.below(JOBS / 6);
        server = server.restart(&[QUICK_RETRIES]);
        hooks.wait_for(target.min(JOBS));
        server.kill();
        kills += 1;
        check_passes(&server.data);
    }
    let server = server.restart(&[QUICK_RETRIES]);
    let mut root = login(&server, "root", PASSWORD);
    all_delivered(&mut root);
    let counts = hooks.counts();
    let repeated = counts.values().filter(|count| **count > 1).count();
    eprintln!("jobs: {JOBS} messages, {kills} kills, {repeated} came more than once");
    assert_eq!(counts.len(), JOBS, "each came");
    // Two run at once, so a kill repeats two at most.
    assert!(hooks.came().len() <= JOBS + 2 * kills, "{counts:?}");
    assert!(jobs(&mut root, "parked").is_empty());
}

#[test]
fn five_failures_park_a_job_with_its_reason_and_the_api_and_the_command_have_it_run_again() {
    let hooks = Hooks::start(Some(302));
    let mut server = Server::start(&[]);
    server.add_admin("root");
    server.stop();
    enqueue(&server.data, &hooks, 2);
    let mut server = server.restart(&[QUICK_RETRIES]);
    let mut root = login(&server, "root", PASSWORD);
    let until_parked = |root: &mut Client| comes_true("both are parked", || jobs(root, "parked").len() == 2);
    until_parked(&mut root);
    assert_eq!(hooks.counts().into_values().collect::<Vec<_>>(), [5, 5], "no redirect is followed");
    let answer = root.get("/api/v1/admin/jobs?state=parked").expect(200);
    assert!(!answer.text().contains("secret"), "{}", answer.text());
    let parked = jobs(&mut root, "parked");
    assert_eq!(parked[0]["last_error"], "it was answered with 302 Found");
    assert!(parked[0]["parked_at"].is_string() && parked[0]["key"].as_str().unwrap().starts_with("test "));
    let (one, other) = (text(&parked[0]["id"]), text(&parked[1]["id"]));
    let again = root.post(&format!("/api/v1/admin/jobs/{one}/retry"), &json!({})).expect(200).json();
    assert_eq!((&again["job"]["state"], &again["job"]["attempts"]), (&json!("queued"), &json!(0)));
    hooks.wait_for(15);
    until_parked(&mut root);
    hooks.answer(Some(201));
    let printed = server.command(&["jobs", "retry", &one], "").ok();
    assert!(printed.starts_with(&format!("{one} queued")), "{printed}");
    all_delivered(&mut root);
    assert_eq!(hooks.counts()[&one], 11);
    // The other one, while no server runs.
    server.stop();
    let listed = server.command(&["jobs", "list", "--state", "parked"], "").ok();
    assert!(listed.contains(&other) && listed.contains("it was answered with 302 Found"), "{listed}");
    assert!(!listed.contains("secret") && listed.lines().count() == 1, "{listed}");
    let refused = server.command(&["jobs", "retry", &one], "");
    assert!(refused.code == 1 && refused.err.contains("no such job"), "{}", refused.err);
    server.command(&["jobs", "remove", &other], "").ok();
    assert_eq!(server.command(&["jobs", "list", "--state", "parked"], "").ok(), "");
    check_passes(&server.data);
}

#[test]
fn administrators_see_the_queue_page_by_page_and_are_told_what_can_not_be() {
    let hooks = Hooks::start(None);
    let mut server = Server::start(&[]);
    server.add_admin("root");
    server.stop();
    enqueue(&server.data, &hooks, 5);
    let server = server.restart(&[]);
    hooks.wait_for(2);
    let mut root = login(&server, "root", PASSWORD);
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = root.get(&format!("/api/v1/admin/jobs?limit=2{cursor}")).expect(200).json();
        paged.extend(page["jobs"].as_array().unwrap().clone());
        assert_eq!(page["counts"], json!({"queued": 5, "running": 2, "parked": 0}));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let states: Vec<_> = paged.iter().map(|job| text(&job["state"])).collect();
    assert_eq!(states, ["running", "running", "queued", "queued", "queued", "queued", "queued"]);
    let recurring: Vec<_> = paged.iter().filter(|job| job["recurring"] == true).collect();
    assert_eq!(recurring.len(), 2, "expiry and retention");
    let retry = |id: &Value| format!("/api/v1/admin/jobs/{}/retry", text(id));
    let path = |id: &Value| format!("/api/v1/admin/jobs/{}", text(id));
    for (answer, detail) in [
        (root.delete(&path(&paged[0]["id"])), "The job runs just now"),
        (root.delete(&path(&recurring[0]["id"])), "The job comes again and again"),
        (root.post(&retry(&paged[2]["id"]), &json!({})), "The job is not parked"),
    ] {
        let problem = answer.expect(409).json();
        assert_eq!(problem["type"], "urn:bondhu:problem:job-state");
        assert!(text(&problem["detail"]).starts_with(detail), "{problem}");
    }
    let waiting = paged.iter().find(|job| job["kind"] == "webhook" && job["state"] == "queued").unwrap();
    root.delete(&path(&waiting["id"])).expect(204);
    root.delete(&path(&waiting["id"])).expect(404);
    for wrong in ["state=lost", "cursor=7", "cursor=1_x_y", "limit=0"] {
        let problem = root.get(&format!("/api/v1/admin/jobs?{wrong}")).expect(422).json();
        let field = wrong.split('=').next().unwrap();
        assert!(text(&problem["detail"]).starts_with(field), "{problem}");
    }
}

#[test]
fn a_title_that_was_made_of_words_goes_with_them() {
    let server = Server::start(&["jobs.titles=excerpt"]);
    let (mut amina, _) = server.user("amina");
    let say = |amina: &mut Client, body: Value| amina.post("/v1/responses", &body).expect(200).json();
    let made = [0, 1].map(|n| say(&mut amina, json!({"input": format!("my pin is 471{n}")})));
    let titles = |amina: &mut Client| {
        let sessions = amina.get("/api/v1/sessions").expect(200).json();
        let named = |session: &Value| (text(&session["id"]), session["title"].clone());
        list(&sessions["sessions"]).iter().map(named).collect::<BTreeMap<_, _>>()
    };
    let of = |amina: &mut Client, wanted: &str| {
        titles(amina).into_iter().find_map(|(id, title)| (title == wanted).then_some(id))
    };
    let ids = [0, 1].map(|n| until("it has its title", || of(&mut amina, &format!("my pin is 471{n}"))));
    for made in &made {
        say(&mut amina, json!({"input": "and more", "previous_response_id": made["id"]}));
    }
    amina.json("PATCH", &format!("/api/v1/sessions/{}", ids[1]), &[], &json!({"title": "Mine"})).expect(200);
    for made in &made {
        amina.delete(&format!("/v1/responses/{}", text(&made["id"]))).expect(200);
    }
    let now = titles(&mut amina);
    assert_eq!((&now[&ids[0]], &now[&ids[1]]), (&Value::Null, &json!("Mine")));
    let everything = amina.get("/api/v1/auth/export").expect(200);
    assert!(!String::from_utf8_lossy(&everything.body).contains("my pin"), "it is nowhere else");
}

#[test]
fn a_session_without_a_title_gets_one_once_whenever_the_server_is_killed() {
    const TITLES: [&str; 2] = ["jobs.titles=excerpt", QUICK_RETRIES];
    let mut random = Random::seeded("titles");
    let mut server = Server::start(&TITLES);
    let (mut amina, _) = server.user("amina");
    let mut events = amina.events("/api/v1/events");
    let first = amina.session();
    amina.try_say(&first, "The old lighthouse at the end of the pier").expect(201);
    let mut renamed = 0;
    while renamed == 0 {
        let event = events.next().unwrap();
        renamed += usize::from(event.name == "session" && event.data["change"] == "renamed");
    }
    let title = |client: &mut Client, id: &str| {
        client.get(&format!("/api/v1/sessions/{id}")).expect(200).json()["title"].clone()
    };
    assert_eq!(title(&mut amina, &first), "The old lighthouse at the end of the pier");
    let mut sessions = vec![(first, "The old lighthouse at the end of the pier".to_owned())];
    for round in 0..5 {
        for n in 0..4 {
            let (id, said) = (amina.session(), format!("Round {round}, number {n}"));
            amina.try_say(&id, &said).expect(201);
            sessions.push((id, said));
        }
        for _ in 0..random.below(40) {
            server.client().get("/health").expect(200); // Some time, in which jobs run.
        }
        server.kill();
        check_passes(&server.data);
        server = server.restart(&TITLES);
        amina = amina.another_tab(&server);
    }
    for (id, said) in &sessions {
        comes_true("it has its title", || title(&mut amina, id) == **said);
    }
    let mut root = admin(&server);
    comes_true("nothing is left to do", || of_kind(jobs(&mut root, "queued"), "titles").is_empty());
    assert!(jobs(&mut root, "parked").is_empty());
    // A user's own title stays, and so does one that was there first.
    let own = amina.session();
    amina.json("PATCH", &format!("/api/v1/sessions/{own}"), &[], &json!({"title": "Mine"})).expect(200);
    amina.try_say(&own, "Something else").expect(201);
    let last = amina.session();
    amina.try_say(&last, "The last one").expect(201);
    comes_true("the last one has its title", || title(&mut amina, &last) == "The last one");
    assert_eq!(title(&mut amina, &own), "Mine");
}

/// A data directory as the program before this format left it.
fn of_the_format_before() -> (Arc<TempDir>, PathBuf) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let data = dir.path().join("data");
    let segment = data.join("journal/0000000001.000.journal");
    fs::create_dir_all(segment.parent().unwrap()).unwrap();
    let bytes = include_bytes!("../fixtures/journal_v2.bin");
    assert_eq!(bytes[8], 2, "its format");
    fs::write(&segment, bytes).unwrap();
    (dir, data)
}

#[test]
fn no_command_upgrades_a_directory_by_the_way() {
    let (dir, data) = of_the_format_before();
    let backup = dir.path().join("backup");
    for command in [&["user", "list"][..], &["compact"], &["backup", backup.to_str().unwrap()]] {
        let words = [command, &["--data-dir", data.to_str().unwrap()]].concat();
        let done = crate::support::command::bondhu(dir.path(), &words, "");
        assert!(done.code == 1 && done.err.contains("is still in format 2"), "{}{}", done.out, done.err);
    }
    assert_eq!((crate::support::data::segments(&data).len(), backup.exists()), (1, false));
}

#[test]
fn a_directory_of_the_format_before_opens_and_goes_on() {
    let (dir, data) = of_the_format_before();
    check_passes(&data);
    let server = Server::start_in(dir, data, &["jobs.titles=excerpt"]);
    let mut anna = login(&server, "anna", "correct horse battery");
    let log = server.settled_log();
    assert!(log.iter().any(|line| line.contains("goes on in a newer format") && line.contains("before=2")), "{log:?}");
    let sessions = anna.get("/api/v1/sessions").expect(200).json();
    assert_eq!(sessions["sessions"].as_array().unwrap().len(), 2);
    let id = text(&sessions["sessions"][0]["id"]);
    let before = anna.get(&format!("/api/v1/sessions/{id}/messages")).expect(200).json();
    let head = before["head"].as_u64().unwrap();
    assert_eq!(before["messages"].as_array().unwrap().last().unwrap()["seq"], json!(head));
    anna.try_say(&id, "after the upgrade").expect(201);
    let new = anna.session();
    anna.try_say(&new, "a new session").expect(201);
    comes_true("it has a title", || {
        anna.get(&format!("/api/v1/sessions/{new}")).expect(200).json()["title"] == "a new session"
    });
    let mut server = server.restart(&[]);
    anna = anna.another_tab(&server);
    let after = anna.get(&format!("/api/v1/sessions/{id}/messages")).expect(200).json();
    assert_eq!(after["head"], json!(head + 2));
    server.stop();
    check_passes(&server.data);
    let segments = crate::support::data::segments(&server.data);
    assert_eq!(segments.iter().map(|path| fs::read(path).unwrap()[8]).collect::<Vec<_>>(), [2, 4]);
}
