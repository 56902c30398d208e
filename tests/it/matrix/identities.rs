//! Every route for every identity that proves nothing, and for every spelling of an id, with a cold and a warm cache.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use bondhu::{
    app::App,
    auth::Password,
    clock::{Clock, Timestamp},
    config::Config,
    http::routes::{Access, ROUTES},
};
use serde_json::{Value, json};

use super::{OF_A_SESSION, WANTED, World, ask, told};
use crate::support::{Client, PASSWORD, Response, Server, text};

/// Logins of this user that were made so many days ago, by a server that ran then.
fn old_logins(server: &Server, name: &str, ages_days: &[u64]) -> Vec<String> {
    let mut config = Config::default();
    config.data.dir.clone_from(&server.data);
    config.auth.argon2.memory_kib = 8;
    let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(async {
        let mut logins = Vec::new();
        for age in ages_days {
            let then = Clock::System.now().0 - i64::try_from(Duration::from_hours(24 * age).as_micros()).unwrap();
            let app = App::start(config.clone(), Clock::manual(Timestamp(then))).unwrap();
            let login = app.auth.login(home, name, Password::new(PASSWORD.to_owned()), None).await;
            logins.push(login.unwrap_or_else(|error| panic!("{error}")).token);
            app.store.close().await;
        }
        logins
    })
}

/// Who asks without being anyone: a name, the header line that shows it, and the `type` of the refusal. A cookie shows the
/// owner, but nothing says that a page of ours sends it: that is refused only where it would change something.
type Nobody = (&'static str, (&'static str, String), &'static str);

const COOKIE: &str = "the owner's cookie from nowhere";

/// All of them; the server is stopped in between, and started again on the same directory.
fn nobodies(mut server: Server, owner: &mut Client) -> (Server, Vec<Nobody>) {
    let token = |client: &Client| client.token.clone().unwrap();
    let (mut left, _) = server.user("left");
    let (mut deleted, _) = server.user("deleted");
    let (shut, _) = server.user("shut");
    let (mut changed, _) = server.user("changed");
    server.user("expired");
    for client in [&mut left, &mut deleted, &mut shut.another_tab(&server), &mut changed] {
        client.get("/api/v1/auth/me").expect(200); // So that the cache has them.
    }
    let credentials = json!({"username": "changed", "password": PASSWORD});
    let second = text(&server.client().post("/api/v1/auth/login", &credentials).expect(200).json()["token"]);
    left.post("/api/v1/auth/logout", &json!({})).expect(204);
    deleted.json("DELETE", "/api/v1/auth/me", &[], &json!({"password": PASSWORD})).expect(204);
    server.command(&["user", "disable", "shut"], "").ok();
    let change = json!({"current": PASSWORD, "new": "seven green umbrellas"});
    Client::with_token(server.address, &second).post("/api/v1/auth/password", &change).expect(204);
    server.stop();
    let old = old_logins(&server, "expired", &[181, 31]);
    let server = server.restart(&[]);
    let mine = token(owner);
    let (unknown, swapped) = (format!("bondhu_{}", "A".repeat(43)), mine.replace("bondhu_", "bondhu-"));
    let dead = "urn:bondhu:problem:invalid-token";
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let all = vec![
        ("nobody", ("x-nothing", String::new()), "urn:bondhu:problem:no-identity"),
        ("a malformed token", bearer("x"), dead),
        ("a token with another prefix", bearer(&swapped), dead),
        ("an unknown token", bearer(&unknown), dead),
        ("a login that was too old", bearer(&old[0]), dead),
        ("a login that was not used for too long", bearer(&old[1]), dead),
        ("a login that has ended", bearer(&token(&left)), dead),
        ("a deleted user", bearer(&token(&deleted)), dead),
        ("a shut user", bearer(&token(&shut)), dead),
        ("a login of before the new password", bearer(&token(&changed)), dead),
        (COOKIE, ("cookie", format!("bondhu={mine}")), "urn:bondhu:problem:cross-site"),
    ];
    (server, all)
}

/// True for a row of [`WANTED`] that anyone here may call.
pub(super) fn is_open(method: &str, template: &str) -> bool {
    let path = template.split('?').next().unwrap();
    let mut rows = ROUTES.iter().filter(|route| route.method.as_str() == method && route.path == path);
    rows.any(|route| matches!(route.access, Access::Public | Access::Local)) // Tests ask from this machine.
}

fn as_nobody(server: &Server, (_, (name, value), _): &Nobody, method: &str, path: &str, body: &str) -> Response {
    let headers = [("content-type", "application/json"), (*name, value.as_str())];
    let body = (!body.is_empty()).then_some(body.as_bytes());
    server.client().send(method, path, &headers, body).unwrap()
}

#[test]
fn p4_whoever_proves_nothing_gets_nothing_from_any_route_with_a_cold_and_a_warm_cache() {
    let server = Server::start(&[]);
    let mut world = World::new(&server, "amina");
    let before = world.state();
    let (mut server, nobodies) = nobodies(server, &mut world.owner);
    let (mut seen, mut cells) = ([const { Vec::<(Vec<(String, String)>, Value)>::new() }; 2], 0);
    for warm in [false, true] {
        server = server.restart(&[]);
        world.owner = world.owner.another_tab(&server);
        if warm {
            world.state();
            world.owner.page(&world.session.clone(), "");
        }
        for (method, path, body, _) in WANTED {
            if is_open(method, path) {
                continue;
            }
            let (path, body) = (world.fill(path, "new"), world.fill(body, "new"));
            for nobody in &nobodies {
                // Programs show their key themselves: a cookie is none to them.
                let (is_v1, by_cookie) = (path.starts_with("/v1/"), nobody.0 == COOKIE);
                if by_cookie && !is_v1 && *method == "GET" {
                    continue; // That reading is the owner's own is the browser's rule.
                }
                let wanted = if by_cookie && !is_v1 { 403 } else { 401 };
                let answer = as_nobody(&server, nobody, method, &path, &body);
                assert_eq!(answer.status, wanted, "{method} {path} by {}: {}", nobody.0, answer.text());
                if is_v1 {
                    assert_eq!(answer.json()["error"]["code"], "invalid_api_key", "{method} {path} by {}", nobody.0);
                } else {
                    assert_eq!(answer.json()["type"], nobody.2, "{method} {path} by {}", nobody.0);
                }
                if wanted == 401 {
                    let (_, headers, body) = told(&answer);
                    let seen = &mut seen[usize::from(is_v1)];
                    if !seen.contains(&(headers.clone(), body.clone())) {
                        seen.push((headers, body));
                    }
                }
                cells += 1;
            }
        }
        assert_eq!(world.state(), before, "warm: {warm}");
    }
    for seen in seen {
        assert_eq!(seen.len(), 2, "no token has one answer, a dead one another, whatever it died of: {seen:?}");
    }
    assert!(cells > 600, "{cells}");
    server.is_calm();
}

#[test]
fn a_login_that_the_client_does_not_mean_is_409_on_every_route_that_needs_one_and_the_others_do_not_ask() {
    let server = Server::start(&[]);
    let mut world = World::new(&server, "amina");
    let (_, other) = server.user("bela");
    for (method, path, body, [wanted, ..]) in WANTED {
        let before = world.state();
        let wanted = if is_open(method, path) { *wanted } else { 409 };
        let (path, body) = (world.fill(path, "new"), world.fill(body, "new"));
        let headers = [("content-type", "application/json"), ("x-bondhu-user", other.as_str())];
        let body = (!body.is_empty()).then_some(body.as_bytes());
        let answer = world.owner.send(method, &path, &headers, body).unwrap();
        assert_eq!(answer.status, wanted, "{method} {path}: {}", answer.text());
        if !path.ends_with("/login") {
            assert_eq!(world.state(), before, "{method} {path}");
        }
    }
    server.is_calm();
}

/// The same id, spelled otherwise.
fn upper(id: &str) -> String {
    id.to_uppercase()
}

#[test]
fn p4_every_spelling_of_an_id_has_one_decision_with_a_cold_and_a_warm_cache() {
    let mut server = Server::start(&[]);
    let world = World::new(&server, "amina");
    let (mallory, stranger) = server.user("mallory");
    let (ended, never) = (world.session.clone(), uuid::Uuid::now_v7().to_string());
    assert_ne!(upper(&ended), ended);
    for warm in [false, true] {
        server = server.restart(&[]);
        let mut owner = world.owner.another_tab(&server);
        let mut mallory = mallory.another_tab(&server);
        if warm {
            owner.page(&world.session, "");
            owner.history("");
        }
        for call in OF_A_SESSION.iter().filter(|(method, ..)| *method != "DELETE") {
            let own = ask(&mut owner, *call, &world.session).status;
            assert_eq!(ask(&mut owner, *call, &upper(&world.session)).status, own, "{call:?}, warm: {warm}");
            let wanted = told(&ask(&mut mallory, *call, &never).expect(403));
            assert_eq!(told(&ask(&mut mallory, *call, &upper(&world.session))), wanted, "{call:?}, warm: {warm}");
        }
        // A user in a path or a body is the caller or nobody.
        for route in ["/api/v1/chat/history/{id}", "/api/v1/chat/search/{id}?q=umbrella"] {
            let by = |client: &mut Client, id: &str| client.get(&route.replace("{id}", id));
            for own in [world.user.as_str(), &upper(&world.user), "me"] {
                assert_eq!(by(&mut owner, own).expect(200).json()["total"], by(&mut owner, "me").json()["total"]);
            }
            let wanted = told(&by(&mut mallory, &never).expect(403));
            for other in [world.user.as_str(), &upper(&world.user), "x", "ME", "%6De", &world.session] {
                assert_eq!(told(&by(&mut mallory, other)), wanted, "{route} of {other}");
            }
        }
        // A login is the caller's own or not there.
        let end = |client: &mut Client, id: &str| client.delete(&format!("/api/v1/auth/tokens/{id}"));
        let wanted = told(&end(&mut mallory, &never).expect(404));
        for other in [world.login.as_str(), &upper(&world.login), "x", &stranger, &world.session] {
            assert_eq!(told(&end(&mut mallory, other)), wanted, "{other}");
        }
        // A message is one of the session's, by a number.
        for what in ["retry", "stop"] {
            let path = |seq: &str| format!("/api/v1/sessions/{}/messages/{seq}/{what}", world.session);
            let mut post = |seq: &str| owner.send("POST", &path(seq), &[], None).unwrap();
            let wanted = told(&post("999999").expect(404));
            for seq in ["0", "-1", "x", "2", "1e0", "%31", "18446744073709551616"] {
                assert_eq!(told(&post(seq)), wanted, "{what} of {seq}");
            }
        }
    }
    assert_eq!(
        world.owner.another_tab(&server).get("/api/v1/auth/tokens").expect(200).json()["tokens"][1]["id"],
        world.login
    );
    server.is_calm();
}

/// How every call of a session ends for this client.
fn decisions(client: &mut Client, session: &str) -> Vec<u16> {
    OF_A_SESSION
        .iter()
        .filter(|(method, ..)| *method != "DELETE")
        .map(|call| ask(client, *call, session).status)
        .collect()
}

#[test]
fn p4_a_change_of_role_or_of_owner_decides_from_the_next_request_on_whatever_the_cache_knew() {
    let server = Server::start(&[]);
    let mut world = World::new(&server, "amina");
    let (mut boss, _) = server.user("boss");
    let session = world.session.clone();
    decisions(&mut world.owner, &session); // Now the cache knows all of it.
    let none = vec![403; decisions(&mut boss, &session).len()];
    for role in ["user", "admin", "user"] {
        server.command(&["user", "role", "boss", role], "").ok();
        assert_eq!(boss.get("/api/v1/auth/me").expect(200).json()["user"]["role"], role);
        assert_eq!(decisions(&mut boss, &session), none, "as {role}");
    }
    let mut tab = world.owner.another_tab(&server);
    decisions(&mut tab, &session);
    world.owner.delete(&format!("/api/v1/sessions/{session}")).expect(204);
    for client in [&mut tab, &mut boss] {
        assert_eq!(decisions(client, &session), none, "the session is deleted");
    }
    let second = world.owner.session();
    world.owner.say(&second, "hello");
    decisions(&mut tab, &second);
    world.owner.post("/api/v1/auth/logout", &json!({})).expect(204);
    assert_eq!(decisions(&mut tab, &second), vec![401; none.len()], "the login has ended");
    assert_eq!(decisions(&mut boss, &second), none);
    server.is_calm();
}
