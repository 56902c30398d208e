//! Accounts, from registering to deleting: names, passwords, and what is left.

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Response, Server, at_once, each, text};

fn register(client: &mut Client, name: &str, password: &str) -> Response {
    client.post("/api/v1/auth/register", &json!({"username": name, "password": password}))
}

fn login(client: &mut Client, name: &str, password: &str) -> Response {
    client.post("/api/v1/auth/login", &json!({"username": name, "password": password}))
}

#[test]
fn an_account_is_made_shown_and_left() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let body = json!({"username": "Amina", "password": PASSWORD, "display_name": "আমিনা 🌧"});
    let answer = client.post("/api/v1/auth/register", &body).expect(201);
    assert!(!answer.text().contains(PASSWORD) && !answer.text().contains("argon2"), "{}", answer.text());
    let user = answer.json()["user"].clone();
    let rest = ["username", "display_name", "role", "tier"].map(|field| &user[field]);
    assert_eq!(rest, [&json!("Amina"), &json!("আমিনা 🌧"), &json!("user"), &json!("free")]);
    assert_eq!(user.as_object().unwrap().len(), 6);

    let answer = login(&mut client, "amina", PASSWORD).expect(200).json();
    assert_eq!(answer["user"], user, "a name's case does not matter");
    client.token = Some(text(&answer["token"]));
    assert!(text(&answer["token"]).starts_with("bondhu_"));
    assert_eq!(client.get("/api/v1/auth/me").expect(200).json(), json!({"user": user}));
    let left = client.post("/api/v1/auth/logout", &json!({})).expect(204);
    assert!(left.header("set-cookie").unwrap().starts_with("bondhu=; "), "{:?}", left.headers);
    assert_eq!(client.get("/api/v1/auth/me").status, 401);
}

#[test]
fn of_fifty_registrations_of_one_name_at_once_one_gets_it() {
    let server = Server::start(&[]);
    let spellings = ["amina", "AMINA", "Amina", "ａmina"];
    let answers = at_once(50, |n| register(&mut server.client(), spellings[n % 4], &format!("{PASSWORD}-{n}")));
    let got: Vec<_> = answers.iter().enumerate().filter(|(_, answer)| answer.status == 201).map(|(n, _)| n).collect();
    assert_eq!(got.len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 409).count(), 49);
    login(&mut server.client(), "amina", &format!("{PASSWORD}-{}", got[0])).expect(200);
}

#[test]
fn names_that_differ_only_in_case_or_composition_are_one_name() {
    let server = Server::start(&[]);
    let mut client = server.client();
    for (first, twins) in [
        ("\u{c9}mile", ["e\u{301}mile", "\u{e9}MILE", "E\u{301}MILE"]),
        ("ক\u{9dc}ি", ["ক\u{9a1}\u{9bc}ি", "ক\u{9dc}ি", "ক\u{9a1}\u{9bc}ি"]),
        ("straße", ["STRAßE", "Straße", "ｓtraße"]),
    ] {
        register(&mut client, first, PASSWORD).expect(201);
        for twin in twins {
            assert_eq!(register(&mut client, twin, PASSWORD).status, 409, "{twin}");
            login(&mut client, twin, PASSWORD).expect(200);
        }
    }
    let long = "x".repeat(65);
    for bad in ["", " ", "a b", "../x", "a/b", "a\0", "amina ", "🙂", "a\u{202e}b", "\u{200b}", &long] {
        let answer = register(&mut client, bad, PASSWORD).expect(422);
        assert!(text(&answer.json()["detail"]).starts_with("username: "), "{bad:?}: {}", answer.text());
    }
    register(&mut client, &long[1..], PASSWORD).expect(201);
}

#[test]
fn a_password_is_neither_short_nor_endless_nor_easily_guessed() {
    let server = Server::start(&[]);
    let mut client = server.client();
    let words = "correct horse battery staple ".repeat(10);
    let bengali = "নৌকা ভাসে জলে যায়".chars().take(12).collect::<String>();
    let good = [&words[..12], &words[..256], &bengali, "🚲🌧️🍋🧦🪴🎺🧊🔭📎🧵🥁🦔", " two  blanks "];
    for (n, password) in good.iter().enumerate() {
        register(&mut client, &format!("good-{n}"), password).expect(201);
        login(&mut client, &format!("good-{n}"), password).expect(200);
    }
    assert_eq!(login(&mut client, "good-4", "two  blanks").status, 401, "nothing is trimmed");
    let long = "x".repeat(100_000);
    for bad in [
        "",
        "short",
        &words[..11],
        &words[..257],
        "reviewer-amy",
        "reviewer-amy1",
        "password1234",
        "            ",
        &long,
    ] {
        let answer = register(&mut client, "reviewer-amy", bad).expect(422);
        assert!(text(&answer.json()["detail"]).starts_with("password: "), "{bad:?}: {}", answer.text());
        assert!(bad.len() < 5 || !answer.text().contains(bad), "the answer repeats the password");
    }
    let refused = login(&mut client, "reviewer-amy", PASSWORD);
    assert_eq!(refused.status, 401, "no refused registration left an account");
}

#[test]
fn a_changed_password_ends_every_other_login() {
    let server = Server::start(&[]);
    let (mut own, _) = server.user("amina");
    let other = text(&login(&mut server.client(), "amina", PASSWORD).expect(200).json()["token"]);
    let mut other = Client::with_token(server.address, &other);
    let change = |client: &mut Client, current: &str, new: &str| {
        client.post("/api/v1/auth/password", &json!({"current": current, "new": new}))
    };
    let wrong = change(&mut own, "not it, not at all", "seven green umbrellas");
    assert_eq!(wrong.status, 401);
    let weak = change(&mut own, PASSWORD, "short").expect(422);
    assert!(text(&weak.json()["detail"]).starts_with("new: "));
    other.get("/api/v1/auth/me").expect(200);

    change(&mut own, PASSWORD, "seven green umbrellas").expect(204);
    own.get("/api/v1/auth/me").expect(200);
    assert_eq!(other.get("/api/v1/auth/me").status, 401);
    assert_eq!(login(&mut server.client(), "amina", PASSWORD).status, 401);
    let server = server.restart(&[]);
    login(&mut server.client(), "amina", "seven green umbrellas").expect(200);
    own.another_tab(&server).get("/api/v1/auth/me").expect(200);
    assert_eq!(other.another_tab(&server).get("/api/v1/auth/me").status, 401);
}

#[test]
fn an_export_is_everything_of_the_callers_as_json_lines_and_nothing_else() {
    let server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    let (mut other, _) = server.user("mallory");
    let theirs = other.session();
    other.say(&theirs, "canary-of-mallory");
    let sessions: Vec<_> = (0..3).map(|_| amina.session()).collect();
    for n in 0..110 {
        amina.say(&sessions[0], &format!("first {n}\nline two"));
    }
    amina.say(&sessions[1], "আমি\u{0}🙂");
    let gone = amina.session();
    amina.say(&gone, "canary-of-the-deleted");
    amina.delete(&format!("/api/v1/sessions/{gone}")).expect(204);

    let export = amina.get("/api/v1/auth/export").expect(200);
    assert_eq!(export.header("content-type"), Some("application/x-ndjson"));
    let exported = export.text();
    assert!(!exported.contains("canary") && !exported.contains("argon2") && !exported.contains("bondhu_"));
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
    assert_eq!((of("user").len(), of("login").len()), (1, 1));
    assert_eq!(of("user")[0]["id"], json!(user));
    assert_eq!(each(&json!(of("session")), "id"), json!(sessions).as_array().unwrap().iter().collect::<Vec<_>>());
    for session in &sessions {
        let page = [amina.page(session, "?limit=200&after=0"), amina.page(session, "?limit=200&after=200")];
        let mut shown =
            [page[0]["messages"].as_array().unwrap().clone(), page[1]["messages"].as_array().unwrap().clone()].concat();
        for message in &mut shown {
            message["session_id"] = json!(session);
            message["type"] = json!("message");
        }
        let exported: Vec<_> = of("message").into_iter().filter(|line| line["session_id"] == *session).collect();
        assert_eq!(exported, shown);
    }
    assert_eq!(lines.len(), 1 + 1 + 3 + 220 + 2);
}

#[test]
fn a_deleted_account_is_gone_with_all_that_was_in_it_and_its_name_is_free() {
    let server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    let mut tablet = amina.another_tab(&server);
    let (mut other, _) = server.user("bela");
    let session = amina.session();
    amina.say(&session, "This is between us");
    let delete = |client: &mut Client, password: &str| {
        client.json("DELETE", "/api/v1/auth/me", &[], &json!({"password": password}))
    };
    assert_eq!(delete(&mut amina, "not it, not at all").status, 401);
    assert_eq!(amina.page(&session, "")["head"], 2);

    delete(&mut amina, PASSWORD).expect(204);
    for client in [&mut amina, &mut tablet] {
        assert_eq!(client.get("/api/v1/auth/me").status, 401);
    }
    assert_eq!(login(&mut server.client(), "amina", PASSWORD).status, 401);
    let path = |id: &str| format!("/api/v1/sessions/{id}");
    let body = |answer: Response| {
        let mut body = answer.expect(403).json();
        body.as_object_mut().unwrap().remove("request_id");
        body
    };
    let never = uuid::Uuid::now_v7().to_string();
    assert_eq!(body(other.get(&path(&session))), body(other.get(&path(&never))));
    other.post("/api/v1/sessions", &json!({"id": session})).expect(403);

    let (mut again, new_user) = server.user("Amina");
    assert_ne!(user, new_user);
    assert_eq!(again.history("")["total"], 0);
    again.get(&path(&session)).expect(403);
    let server = server.restart(&[]);
    again.another_tab(&server).get(&path(&session)).expect(403);
    assert_eq!(amina.another_tab(&server).get("/api/v1/auth/me").status, 401);
}
