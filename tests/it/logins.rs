//! Logins: what a stranger learns from a refused one, how guessing is slowed, and who may register.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Response, Server, at_once, each, list, text};

fn login(client: &mut Client, name: &str, password: &str) -> Response {
    client.post("/api/v1/auth/login", &json!({"username": name, "password": password}))
}

/// Status, body and headers of an answer but for its id and time.
fn told(answer: &Response) -> (u16, Value, Vec<(String, String)>) {
    let mut body = answer.json();
    body.as_object_mut().unwrap().remove("request_id");
    let mut headers = answer.headers.clone();
    headers.retain(|(name, _)| name != "x-request-id" && name != "date");
    (answer.status, body, headers)
}

#[test]
fn an_unknown_user_a_wrong_password_and_a_shut_account_give_the_same_bytes() {
    let server = Server::start(&[]);
    server.user("amina");
    server.user("mallory");
    server.command(&["user", "disable", "mallory"], "").ok();
    let mut client = server.client();
    let wanted = told(&login(&mut client, "amina", "not it, not at all").expect(401));
    for (name, password) in
        [("nobody", PASSWORD), ("mallory", PASSWORD), ("not a name", PASSWORD), ("", ""), ("amina", "")]
    {
        assert_eq!(told(&login(&mut client, name, password)), wanted, "{name:?}");
    }
    login(&mut client, "amina", PASSWORD).expect(200);
}

#[test]
fn repeated_failures_delay_their_account_and_no_other() {
    let server = Server::start(&[]);
    server.user("amina");
    server.user("bela");
    let mut client = server.client();
    for name in ["amina", "nobody"] {
        // Five are free; on a slow machine a delay of a second may be over before the next try.
        let mut tries = 0;
        let refused = loop {
            let answer = login(&mut client, name, "not it, not at all");
            if answer.status != 401 {
                break answer.expect(429);
            }
            tries += 1;
        };
        assert!((5..10).contains(&tries), "{tries}");
        assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
        assert_eq!(refused.json()["type"], "urn:bondhu:problem:too-many-failures");
    }
    login(&mut client, "bela", PASSWORD).expect(200);
    // The operator's new password lets the owner in at once.
    server.command(&["user", "passwd", "amina", "--password-file", "-"], "seven green umbrellas").ok();
    login(&mut client, "amina", "seven green umbrellas").expect(200);
}

#[test]
fn p8_a_refused_login_is_one_line_with_its_request_and_shows_no_word_that_was_typed() {
    let server = Server::start(&[]);
    let (_, user) = server.user("amina");
    let mut client = server.client();
    // People type their password into the field above it.
    for (name, account) in [("amina", Some(user.as_str())), ("canary-password-here", None), ("canary no name", None)] {
        let refused = login(&mut client, name, "not it, not at all").expect(401);
        let id = refused.header("x-request-id").unwrap();
        let log = server.settled_log();
        let lines: Vec<_> = log.iter().filter(|line| line.contains("security") && line.contains(id)).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("login_failed") && lines[0].contains("address=127.0.0.1"), "{}", lines[0]);
        assert_eq!(lines[0].contains("user="), account.is_some());
        assert!(account.is_none_or(|user| lines[0].contains(user)));
    }
    let listed = server.command(&["user", "list"], "").ok();
    assert!(listed.contains(&user), "an operator finds the name by the id: {listed}");
    let refused = loop {
        let answer = login(&mut client, "amina", "not it, not at all");
        if answer.status == 429 {
            break answer;
        }
    };
    let log = server.settled_log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains("rate_limited")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains(refused.header("x-request-id").unwrap()));
    assert!(!log.iter().any(|line| line.contains("canary")), "{log:?}");
}

#[test]
fn tries_at_once_pass_no_more_often_than_tries_one_by_one() {
    let server = Server::start(&[]);
    server.user("amina");
    assert_eq!(login(&mut server.client(), "amina", "not it, not at all").status, 401);
    let begun = Instant::now();
    let answers = at_once(30, |_| login(&mut server.client(), "amina", "not it, not at all").status);
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let looked_at = answers.iter().filter(|&&status| status == 401).count();
    assert!((4..8 + seconds).contains(&looked_at), "{seconds} s: {answers:?}"); // One more for each second that it took.
    assert_eq!(looked_at + answers.iter().filter(|&&status| status == 429).count(), 30, "{answers:?}");
}

#[test]
fn all_devices_of_a_person_may_log_in_at_once() {
    let server = Server::start(&[]);
    server.user("amina");
    let answers = at_once(20, |_| login(&mut server.client(), "amina", PASSWORD).status);
    assert!(answers.iter().all(|&status| status == 200), "{answers:?}");
}

#[test]
fn an_address_that_fails_everywhere_is_delayed_for_every_account() {
    let server = Server::start(&[]);
    server.user("amina");
    let mut client = server.client();
    for n in 0..20 {
        assert_eq!(login(&mut client, &format!("name-{n}"), PASSWORD).status, 401);
    }
    let refused = login(&mut client, "amina", PASSWORD).expect(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((50..=60).contains(&wait), "{wait}");
}

#[test]
fn logins_are_listed_with_their_labels_and_ended_one_by_one() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let body = json!({"username": "amina", "password": PASSWORD, "label": "my phone 📱"});
    let phone = text(&server.client().post("/api/v1/auth/login", &body).expect(200).json()["token"]);
    let mut phone = Client::with_token(server.address, &phone);

    let tokens = amina.get("/api/v1/auth/tokens").expect(200);
    assert!(!tokens.text().contains("bondhu_"));
    let tokens = tokens.json()["tokens"].clone();
    assert_eq!(each(&tokens, "label"), [&Value::Null, &json!("my phone 📱")]);
    assert_eq!(each(&tokens, "current"), [&json!(true), &json!(false)]);
    assert_eq!(list(&tokens)[1].as_object().unwrap().len(), 6);
    let path = |n: usize| format!("/api/v1/auth/tokens/{}", text(&list(&tokens)[n]["id"]));

    mallory.delete(&path(1)).expect(404);
    phone.get("/api/v1/auth/me").expect(200);
    amina.delete(&path(1)).expect(204);
    assert_eq!(phone.get("/api/v1/auth/me").status, 401);
    amina.delete(&path(1)).expect(404);
    amina.delete("/api/v1/auth/tokens/x").expect(404);
    let own = amina.delete(&path(0)).expect(204);
    assert!(own.header("set-cookie").unwrap().starts_with("bondhu=; "));
    assert_eq!(amina.get("/api/v1/auth/me").status, 401);

    let long = json!({"username": "amina", "password": PASSWORD, "label": "x".repeat(101)});
    let refused = server.client().post("/api/v1/auth/login", &long).expect(422);
    assert!(text(&refused.json()["detail"]).starts_with("label: "));
}

#[test]
fn one_login_too_many_ends_the_oldest() {
    let server = Server::start(&["auth.tokens_per_user=3"]);
    let (first, _) = server.user("amina");
    let tokens: Vec<_> =
        (0..3).map(|_| text(&login(&mut server.client(), "amina", PASSWORD).expect(200).json()["token"])).collect();
    assert_eq!(first.another_tab(&server).get("/api/v1/auth/me").status, 401);
    for token in &tokens {
        Client::with_token(server.address, token).get("/api/v1/auth/me").expect(200);
    }
}

#[test]
fn where_registration_is_closed_nobody_registers() {
    let server = Server::start(&["auth.registration=closed"]);
    let account = json!({"username": "amina", "password": PASSWORD});
    let answer = server.client().post("/api/v1/auth/register", &account).expect(403);
    assert_eq!(answer.json()["type"], "urn:bondhu:problem:registration-closed");
    server.command(&["user", "add", "amina", "--password-file", "-"], PASSWORD).ok();
    login(&mut server.client(), "amina", PASSWORD).expect(200);
}

#[test]
fn an_invitation_is_good_for_one_registration() {
    let server = Server::start(&["auth.registration=invite"]);
    let mut client = server.client();
    let mut register = |name: &str, code: Option<&str>| {
        let account = json!({"username": name, "password": PASSWORD, "invitation": code});
        client.post("/api/v1/auth/register", &account)
    };
    let code = server.command(&["user", "invite"], "").ok();
    let code = code.trim();
    for bad in [None, Some(""), Some("x"), Some(&code[1..]), Some(&code.replace("invite_", "invite_A")[..])] {
        register("amina", bad).expect(403);
    }
    // What is refused for another reason leaves the code as it is.
    let weak = json!({"username": "amina", "password": "short", "invitation": code});
    server.client().post("/api/v1/auth/register", &weak).expect(422);
    register("amina", Some(code)).expect(201);
    register("bela", Some(code)).expect(403);
    let code = server.command(&["user", "invite"], "").ok();
    let at_once = at_once(8, |n| {
        let account = json!({"username": format!("user-{n}"), "password": PASSWORD, "invitation": code.trim()});
        server.client().post("/api/v1/auth/register", &account).status
    });
    assert_eq!(at_once.iter().filter(|&&status| status == 201).count(), 1, "{at_once:?}");
    assert_eq!(at_once.iter().filter(|&&status| status == 403).count(), 7, "{at_once:?}");
}

#[test]
fn a_shut_account_is_out_at_once_and_back_when_it_is_opened() {
    let server = Server::start(&[]);
    let (mut mallory, _) = server.user("mallory");
    let session = mallory.session();
    mallory.say(&session, "I was here");
    server.command(&["user", "disable", "mallory"], "").ok();
    assert_eq!(mallory.get("/api/v1/auth/me").status, 401);
    assert_eq!(login(&mut server.client(), "mallory", PASSWORD).status, 401);
    server.command(&["user", "enable", "mallory"], "").ok();
    assert_eq!(mallory.get("/api/v1/auth/me").status, 401, "its logins have ended");
    mallory.token = Some(text(&login(&mut server.client(), "mallory", PASSWORD).expect(200).json()["token"]));
    assert_eq!(mallory.page(&session, "")["head"], 2);
}

#[test]
fn p6_a_flood_of_logins_is_refused_within_seconds_while_chat_goes_on() {
    let server = Server::start(&["auth.argon2.memory_kib=65536", "auth.argon2.iterations=4"]);
    let (mut amina, _) = server.user("amina");
    let begun = Instant::now();
    let answers = at_once(120, |n| {
        if n == 0 {
            let mut tab = amina.another_tab(&server);
            let session = tab.session();
            (0..10).for_each(|n| drop(tab.say(&session, &format!("still here {n}"))));
            return (200, Duration::ZERO);
        }
        let answer = login(&mut server.client(), &format!("name-{n}"), PASSWORD);
        let waits = answer.header("retry-after").is_some();
        assert_eq!(waits, matches!(answer.status, 429 | 503), "{}", answer.status);
        (answer.status, begun.elapsed())
    });
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status == 503).collect();
    assert!(refused.len() >= 50, "{answers:?}");
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 401 | 429 | 503)), "{answers:?}");
    assert!(refused.iter().all(|(_, after)| *after < Duration::from_secs(30)), "{refused:?}");
    amina.get("/api/v1/auth/me").expect(200);
}
