//! API keys: made, shown once, used within their bounds, listed, revoked, and ended by whatever ends logins.

use std::{
    fs,
    time::{Duration, Instant},
};

use bondhu::{
    app::App,
    auth::{KeyLifetime, NewAccount, NewKey, Password, Scope, Scopes},
    clock::{Clock, Timestamp},
    config::Config,
    text::{KeyName, Username},
};
use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Server, list, text};

const DEAD: &str = "urn:bondhu:problem:invalid-token";

/// Makes a key; gives a program that holds it, and its id.
fn key(server: &Server, person: &mut Client, name: &str, scopes: &[&str]) -> (Client, String) {
    let made = person.post("/api/v1/auth/keys", &json!({"name": name, "scopes": scopes})).expect(201).json();
    (Client::with_token(server.address, &text(&made["key"])), text(&made["id"]))
}

fn keys(person: &mut Client) -> Vec<Value> {
    list(&person.get("/api/v1/auth/keys").expect(200).json()["keys"]).to_vec()
}

#[track_caller]
fn is_dead(program: &mut Client) {
    assert_eq!(program.get("/api/v1/sessions").expect(401).json()["type"], DEAD);
}

#[test]
fn a_key_acts_as_its_user_and_is_shown_once() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let wanted = json!({"name": "Notizen 📓", "scopes": ["read", "conversations"], "expires_in_days": 30});
    let made = amina.post("/api/v1/auth/keys", &wanted).expect(201).json();
    let secret = text(&made["key"]);
    assert!(secret.starts_with("bondhu_key_"), "{secret}");
    assert_eq!((&made["name"], &made["scopes"]), (&json!("Notizen 📓"), &json!(["conversations", "read"])));
    let listed = amina.get("/api/v1/auth/keys").expect(200);
    assert!(!listed.text().contains(&secret[11..]), "the secret is shown this once");
    let listed = &listed.json()["keys"][0];
    for member in ["id", "name", "scopes", "created_at", "expires_at"] {
        assert_eq!(listed[member], made[member]);
    }
    assert_eq!(listed["last_used_at"], Value::Null);

    let mut program = Client::with_token(server.address, &secret);
    let session = program.session();
    program.say(&session, "I lost my umbrella");
    assert_eq!(amina.page(&session, "")["head"], 2, "it is the user's own session");
    assert_ne!(keys(&mut amina)[0]["last_used_at"], Value::Null);

    server.kill();
    let server = server.restart(&[]);
    let mut program = program.another_tab(&server);
    assert_eq!(program.page(&session, "")["head"], 2);
    assert_eq!(program.get("/api/v1/auth/me").expect(403).json()["type"], "urn:bondhu:problem:out-of-scope");
    assert!(!is_below(&server.data, &secret[11..54]), "only its hash is on the disk");
    assert!(server.log().iter().all(|line| !line.contains(&secret[11..54])), "nor is it in the log");
}

/// True where some file below `dir` has `text` in it.
fn is_below(dir: &std::path::Path, text: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_below(&path, text);
        }
        let bytes = fs::read(path).unwrap_or_default(); // A socket has none.
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[test]
fn what_is_no_key_is_refused_in_words_and_nothing_is_made() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let fine = json!({"name": "notes", "scopes": ["read"]});
    for (member, wrong, words) in [
        ("name", json!(" \u{200B}"), "white space"),
        ("name", json!("x".repeat(101)), "at most 100"),
        ("name", json!(7), "name"),
        ("scopes", json!([]), "models, completions, conversations, read"),
        ("scopes", json!(["admin"]), "scopes[0]: must be one of `models`"),
        ("scopes", json!("read"), "scopes"),
        ("expires_in_days", json!(0), "1 to 3650"),
        ("expires_in_days", json!(3651), "1 to 3650"),
        ("expires_in_days", json!(-1), "expires_in_days"),
        ("expires_in_days", json!("never"), "expires_in_days"),
        ("user_id", json!("x"), "user_id"),
    ] {
        let mut body = fine.clone();
        body[member] = wrong;
        let refused = amina.post("/api/v1/auth/keys", &body).expect(422).json();
        assert!(text(&refused["detail"]).contains(words), "{body}: {refused}");
    }
    for missing in ["name", "scopes"] {
        let mut body = fine.clone();
        body.as_object_mut().unwrap().remove(missing);
        amina.post("/api/v1/auth/keys", &body).expect(422);
    }
    assert_eq!(keys(&mut amina), Vec::<Value>::new());
    for days in [json!(1), json!(3650), Value::Null] {
        let mut body = fine.clone();
        body["expires_in_days"] = days;
        amina.post("/api/v1/auth/keys", &body).expect(201);
    }
    let lasts = |key: &Value| day(&key["expires_at"]) - day(&key["created_at"]);
    assert_eq!(keys(&mut amina).iter().map(lasts).collect::<Vec<_>>(), [1, 3650, 365]);
}

/// The day of a time, counted from some day on.
fn day(time: &Value) -> i64 {
    let text = text(time);
    let number = |at: std::ops::Range<usize>| text[at].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Years that begin in March end with the day that some of them lack.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day
}

#[test]
fn a_revoked_key_is_nobodys_and_so_is_anothers() {
    let server = Server::start(&[]);
    let ((mut amina, _), (mut mallory, _)) = (server.user("amina"), server.user("mallory"));
    let (mut first, first_id) = key(&server, &mut amina, "first", &["read"]);
    let (mut second, second_id) = key(&server, &mut amina, "second", &["read"]);
    let login = text(&amina.get("/api/v1/auth/tokens").expect(200).json()["tokens"][0]["id"]);
    for program in [&mut first, &mut second] {
        program.get("/api/v1/sessions").expect(200);
    }
    mallory.delete(&format!("/api/v1/auth/keys/{first_id}")).expect(404);
    for id in [&login, "x", &login[1..]] {
        amina.delete(&format!("/api/v1/auth/keys/{id}")).expect(404);
    }
    amina.delete(&format!("/api/v1/auth/tokens/{first_id}")).expect(404);
    amina.delete(&format!("/api/v1/auth/keys/{first_id}")).expect(204);
    is_dead(&mut first);
    amina.delete(&format!("/api/v1/auth/keys/{first_id}")).expect(404);
    second.get("/api/v1/sessions").expect(200);
    assert_eq!(keys(&mut amina).iter().map(|key| text(&key["id"])).collect::<Vec<_>>(), [second_id]);
    let listed = amina.get("/api/v1/auth/tokens").expect(200).json();
    assert_eq!(list(&listed["tokens"]).len(), 1, "a key is in the list of keys only");
}

#[test]
fn a_stream_ends_with_its_key() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut program, id) = key(&server, &mut amina, "listener", &["read"]);
    let (mut other, _) = key(&server, &mut amina, "another listener", &["read"]);
    let session = amina.session();
    let mut streams = [program.events("/api/v1/events"), program.events(&format!("/api/v1/sessions/{session}/events"))];
    let mut stays = other.events("/api/v1/events");
    for stream in streams.iter_mut().chain([&mut stays]) {
        stream.find("state");
    }
    amina.delete(&format!("/api/v1/auth/keys/{id}")).expect(204);
    for stream in streams {
        let events = stream.rest();
        assert!(events.iter().all(|event| event.name != "message"), "it ends");
    }
    amina.say(&session, "I lost my umbrella");
    stays.find("message");
    is_dead(&mut program);
    other.get("/api/v1/sessions").expect(200);
}

#[test]
fn fifty_keys_are_enough_and_logins_take_none_away() {
    let server = Server::start(&["auth.tokens_per_user=2"]);
    let (mut amina, _) = server.user("amina");
    let made: Vec<_> = (0..50).map(|n| key(&server, &mut amina, &format!("key {n}"), &["read"])).collect();
    let refused = amina.post("/api/v1/auth/keys", &json!({"name": "one more", "scopes": ["read"]})).expect(409).json();
    assert_eq!(refused["type"], "urn:bondhu:problem:too-many-keys");
    assert!(text(&refused["detail"]).contains("50"), "{refused}");
    amina.get("/api/v1/auth/me").expect(200);
    for _ in 0..4 {
        let login = server.client().post("/api/v1/auth/login", &json!({"username": "amina", "password": PASSWORD}));
        amina.token = Some(text(&login.expect(200).json()["token"]));
    }
    assert_eq!(list(&amina.get("/api/v1/auth/tokens").expect(200).json()["tokens"]).len(), 2);
    assert_eq!(keys(&mut amina).len(), 50);
    let (mut oldest, id) = made.into_iter().next().unwrap();
    oldest.get("/api/v1/sessions").expect(200);
    amina.delete(&format!("/api/v1/auth/keys/{id}")).expect(204);
    key(&server, &mut amina, "one more", &["read"]);
}

#[test]
fn whatever_ends_all_logins_ends_the_keys() {
    let server = Server::start(&[]);
    server.add_admin("root");
    let mut admin = server.client();
    let login = admin.post("/api/v1/auth/login", &json!({"username": "root", "password": PASSWORD})).expect(200).json();
    admin.token = Some(text(&login["token"]));
    let new = json!({"password": "seven green umbrellas"});
    for (n, how) in ["change", "reset", "end", "shut", "passwd", "delete"].into_iter().enumerate() {
        let name = format!("amina{n}");
        let (mut amina, id) = server.user(&name);
        let (mut program, _) = key(&server, &mut amina, "notes", &["read"]);
        program.get("/api/v1/sessions").expect(200);
        let account = format!("/api/v1/admin/users/{id}");
        let seen = admin.get(&account).expect(200).json()["user"].clone();
        assert_eq!((&seen["keys"], &seen["logins"]), (&json!(1), &json!(1)));
        match how {
            "change" => {
                let change = json!({"current": PASSWORD, "new": "seven green umbrellas"});
                amina.post("/api/v1/auth/password", &change).expect(204);
                assert_eq!(keys(&mut amina), Vec::<Value>::new(), "the login that asked stays, and sees it");
            }
            "reset" => drop(admin.post(&format!("{account}/password"), &new).expect(204)),
            "end" => drop(admin.delete(&format!("{account}/tokens")).expect(204)),
            "shut" => drop(admin.json("PATCH", &account, &[], &json!({"disabled": true})).expect(200)),
            "passwd" => {
                server.command(&["user", "passwd", &name, "--password-file", "-"], "seven green umbrellas").ok();
            }
            _ => drop(amina.json("DELETE", "/api/v1/auth/me", &[], &json!({"password": PASSWORD})).expect(204)),
        }
        is_dead(&mut program);
        if how == "shut" {
            admin.json("PATCH", &account, &[], &json!({"disabled": false})).expect(200);
            is_dead(&mut program);
        }
        if how != "delete" {
            assert_eq!(admin.get(&account).expect(200).json()["user"]["keys"], 0, "{how}");
        }
    }
}

#[test]
fn a_key_is_no_cookie_and_no_page_is_taken_for_its_program() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (program, _) = key(&server, &mut amina, "notes", &["conversations"]);
    let secret = program.token.unwrap();
    let cookie = format!("bondhu={secret}");
    for (method, headers) in [
        ("GET", vec![("cookie", cookie.as_str())]),
        (
            "POST",
            vec![("cookie", cookie.as_str()), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")],
        ),
    ] {
        let body = (method == "POST").then_some(&b"{}"[..]);
        let refused = server.client().send(method, "/api/v1/sessions", &headers, body).unwrap();
        assert_eq!(refused.expect(401).json()["type"], DEAD, "{method}");
    }
    let bearer = format!("Bearer {secret}");
    server.client().send("GET", "/api/v1/sessions", &[("authorization", &bearer)], None).unwrap().expect(200);
    let other = [("authorization", bearer.as_str()), ("x-bondhu-user", "0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a")];
    server.client().send("GET", "/api/v1/sessions", &other, None).unwrap().expect(409);
    let both = [("authorization", bearer.as_str()), ("cookie", &format!("bondhu={}", amina.token.clone().unwrap()))];
    server.client().send("GET", "/api/v1/sessions", &both, None).unwrap().expect(400);
    let broken = format!("Bearer {}x", &secret[..secret.len() - 1]);
    let refused = server.client().send("GET", "/api/v1/sessions", &[("authorization", &broken)], None).unwrap();
    assert!(refused.status == 401 || secret.ends_with('x'), "{}", refused.status);
}

#[test]
fn a_key_holds_until_its_day_however_long_it_rests() {
    let mut server = Server::start(&[]);
    server.stop();
    let mut config = Config::default();
    config.data.dir.clone_from(&server.data);
    config.auth.argon2.memory_kib = 8;
    let (made_ago, made) = (Duration::from_hours(24 * 100), Instant::now());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let secrets: Vec<String> = runtime.block_on(async {
        let then = Timestamp(Clock::System.now().0 - i64::try_from(made_ago.as_micros()).unwrap());
        let app = App::start(config, Clock::manual(then)).unwrap();
        let (username, password) = (Username::new("amina").unwrap(), Password::new(PASSWORD.to_owned()));
        let account = NewAccount { username, password: password.clone(), display_name: None, invitation: None };
        app.auth.register(account).await.map_err(|error| error.to_string()).unwrap();
        let home = std::net::IpAddr::from([127, 0, 0, 1]);
        let login = app.auth.login(home, "amina", password, None).await.map_err(|error| error.to_string()).unwrap();
        let caller = app.auth.identify(&login.token).await.map_err(|error| error.to_string()).unwrap();
        let mut secrets = vec![login.token];
        for days in [99, 101] {
            let name = KeyName::new(format!("for {days} days")).unwrap();
            let lifetime = KeyLifetime::days(days).unwrap();
            let new = NewKey { name, scopes: Scopes::of(&[Scope::Read]), lifetime };
            secrets.push(app.auth.make_key(&caller, new).await.map_err(|error| error.to_string()).unwrap().secret);
        }
        app.store.close().await;
        secrets
    });
    assert!(made.elapsed() < Duration::from_hours(1));
    let server = server.restart(&[]);
    let [mut login, mut over, mut holds] = [0, 1, 2].map(|n| Client::with_token(server.address, &secrets[n]));
    is_dead(&mut login);
    is_dead(&mut over);
    holds.get("/api/v1/sessions").expect(200);
    let fresh = server.client().post("/api/v1/auth/login", &json!({"username": "amina", "password": PASSWORD}));
    login.token = Some(text(&fresh.expect(200).json()["token"]));
    let listed: Vec<_> = keys(&mut login).iter().map(|key| text(&key["name"])).collect();
    assert_eq!(listed, ["for 101 days"]);
}

#[test]
fn operators_see_and_end_the_keys_of_an_account_with_and_without_a_server() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut bad, bad_id) = key(&server, &mut amina, "from the \u{1b}[2J forum", &["read", "models"]);
    let (mut good, good_id) = key(&server, &mut amina, "notes", &["conversations"]);
    let listed = server.command(&["user", "keys", "Amina"], "").ok();
    let lines: Vec<Vec<_>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((lines.len(), lines[0][0], lines[1][0]), (2, &*bad_id, &*good_id), "{listed}");
    assert_eq!((lines[0][3], lines[0][4], lines[1][4]), ("never", "models,read", "conversations"), "{listed}");
    assert!(!listed.contains('\u{1b}'), "a name can't act on the terminal");
    for arguments in [["nobody", &*bad_id], ["amina", "0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a"]] {
        let refused = server.command(&["user", "revoke", arguments[0], arguments[1]], "");
        assert_eq!(refused.code, 1, "{}", refused.err);
    }
    assert_eq!(server.command(&["user", "revoke", "amina", "x"], "").code, 2);
    assert_eq!(server.command(&["user", "revoke", "amina", &bad_id], "").ok(), "done\n");
    is_dead(&mut bad);
    good.get("/api/v1/sessions").expect(200);
    server.stop();
    assert_eq!(server.command(&["user", "revoke", "amina", &good_id], "").ok(), "done\n");
    assert_eq!(server.command(&["user", "keys", "amina"], "").ok(), "");
    let server = server.restart(&[]);
    is_dead(&mut good.another_tab(&server));
}

#[test]
fn operators_make_a_key_of_an_account_that_is_printed_once_with_and_without_a_server() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let make = |server: &Server, more: &[&str]| {
        server.command(&[&["user", "key", "Amina", "--name", "ci"], more].concat(), "")
    };
    for running in [true, false] {
        if !running {
            server.stop();
        }
        let printed = make(&server, &["--scopes", "models,read", "--days", "30"]).ok();
        if !running {
            server = server.restart(&[]);
            amina = amina.another_tab(&server);
        }
        assert!(printed.starts_with("bondhu_key_") && printed.lines().count() == 1, "{printed}");
        let mut program = Client::with_token(server.address, printed.trim());
        program.get("/v1/models").expect(200);
        program.get("/api/v1/sessions").expect(200);
        program.post("/api/v1/sessions", &json!({})).expect(403);
        let newest = keys(&mut amina).pop().unwrap();
        assert_eq!((&newest["name"], &newest["scopes"]), (&json!("ci"), &json!(["models", "read"])));
    }
    let log = server.settled_log().join("\n");
    assert!(!log.contains("bondhu_key_"), "{log}");
    for (wrong, code, words) in [
        (&["--scopes", "models", "--days", "0"][..], 1, "1 to 3650 days"),
        (&["--scopes", "everything"], 2, "conversations"),
        (&[], 2, "--scopes"),
    ] {
        let refused = make(&server, wrong);
        assert!(refused.code == code && refused.err.contains(words), "{wrong:?}: {}", refused.err);
    }
    let nobody = server.command(&["user", "key", "nobody", "--name", "ci", "--scopes", "read"], "");
    assert!(nobody.code == 1 && nobody.err.contains("there is no account \"nobody\""), "{}", nobody.err);
    let dead = "0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a";
    let refused = server.command(&["user", "revoke", "amina", dead], "");
    assert!(refused.code == 1 && refused.err.contains("bondhu user keys amina"), "{}", refused.err);
}

#[test]
fn programs_are_told_of_keys_and_not_of_a_page_to_log_in_at() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut program, id) = key(&server, &mut amina, "notes", &["models"]);
    amina.delete(&format!("/api/v1/auth/keys/{id}")).expect(204);
    let unknown = Client::with_token(server.address, "sk-something");
    for mut client in [server.client(), unknown, program.another_tab(&server)] {
        let error = client.get("/v1/models").expect(401).json()["error"].clone();
        let message = text(&error["message"]);
        assert!(message.contains("Keys for programs") && !message.contains("log in"), "{message}");
        assert_eq!(error["code"], "invalid_api_key");
    }
    for (path, is_of_openai) in
        [("/chat/completions", true), ("/responses", true), ("/chat", false), ("/v2/models", false)]
    {
        let detail = text(&program.post(path, &json!({})).expect(404).json()["detail"]);
        assert_eq!(detail.contains("ends with /v1"), is_of_openai, "{path}: {detail}");
    }
    let detail = text(&program.get("/api/v1/sessions").expect(401).json()["detail"]);
    assert!(detail.contains("log in"), "{detail}");
}
