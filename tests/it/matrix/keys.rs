//! Every route for keys of every scope: what a key may call, and that anything else is for people only.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{WANTED, World, identities::is_open};
use crate::support::{Client, Server, text};

const SCOPES: [&str; 4] = ["models", "completions", "conversations", "read"];

/// What keys may call, and the scope that it takes; what takes "read" takes "conversations" as well. All else is for people.
const BY_KEY: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/sessions", "conversations"),
    ("GET", "/api/v1/sessions", "read"),
    ("GET", "/api/v1/sessions/{id}", "read"),
    ("PATCH", "/api/v1/sessions/{id}", "conversations"),
    ("DELETE", "/api/v1/sessions/{id}", "conversations"),
    ("POST", "/api/v1/sessions/{id}/messages", "conversations"),
    ("GET", "/api/v1/sessions/{id}/messages", "read"),
    ("POST", "/api/v1/sessions/{id}/messages/{seq}/retry", "conversations"),
    ("POST", "/api/v1/sessions/{id}/messages/{seq}/stop", "conversations"),
    ("GET", "/api/v1/sessions/{id}/events", "read"),
    ("GET", "/api/v1/events", "read"),
    ("POST", "/api/v1/chat/send", "conversations"),
    ("GET", "/api/v1/chat/history", "read"),
    ("GET", "/api/v1/chat/history/{user_id}", "read"),
    ("DELETE", "/api/v1/chat/history", "conversations"),
    ("DELETE", "/api/v1/chat/history/{user_id}", "conversations"),
    ("GET", "/api/v1/chat/search", "read"),
    ("GET", "/api/v1/chat/search/{user_id}", "read"),
    ("GET", "/api/v1/replies", "read"),
    ("POST", "/api/v1/search", "read"),
    ("GET", "/v1/models", "models"),
    ("GET", "/v1/models/{model}", "models"),
    ("POST", "/v1/chat/completions", "completions"),
    ("GET", "/v1/chat/completions", "read"),
    ("GET", "/v1/chat/completions/{id}", "read"),
    ("POST", "/v1/chat/completions/{id}", "conversations"),
    ("DELETE", "/v1/chat/completions/{id}", "conversations"),
    ("GET", "/v1/chat/completions/{id}/messages", "read"),
    ("POST", "/v1/conversations", "conversations"),
    ("GET", "/v1/conversations", "read"),
    ("GET", "/v1/conversations/{id}", "read"),
    ("POST", "/v1/conversations/{id}", "conversations"),
    ("DELETE", "/v1/conversations/{id}", "conversations"),
    ("POST", "/v1/conversations/{id}/items", "conversations"),
    ("GET", "/v1/conversations/{id}/items", "read"),
    ("GET", "/v1/conversations/{id}/items/{item_id}", "read"),
    ("DELETE", "/v1/conversations/{id}/items/{item_id}", "conversations"),
    ("POST", "/v1/responses", "conversations"),
    ("GET", "/v1/responses/{id}", "read"),
    ("DELETE", "/v1/responses/{id}", "conversations"),
    ("POST", "/v1/responses/{id}/cancel", "conversations"),
    ("GET", "/v1/responses/{id}/input_items", "read"),
];

/// A program of this person that holds a key with these scopes.
fn program(server: &Server, person: &mut Client, scopes: &[&str]) -> Client {
    let wanted = json!({"name": scopes.join("+"), "scopes": scopes});
    let made = person.post("/api/v1/auth/keys", &wanted).expect(201).json();
    Client::with_token(server.address, &text(&made["key"]))
}

/// Without when keys were used: a use that was refused is one.
fn unused(mut state: Vec<Value>) -> Vec<Value> {
    let keys = state.iter_mut().filter_map(|answer| answer["keys"].as_array_mut()).flatten();
    keys.for_each(|key| key["last_used_at"] = Value::Null);
    state
}

#[test]
fn p4_a_key_may_call_what_its_scope_names_and_no_other_route() {
    let known: BTreeSet<_> =
        WANTED.iter().map(|(method, path, ..)| (*method, path.split('?').next().unwrap())).collect();
    assert!(BY_KEY.iter().all(|(method, path, _)| known.contains(&(*method, *path))));
    let server = Server::start(&[]);
    server.add_admin("root");
    let (mut allowed, mut refused) = (0, 0);
    for (row, (method, path, body, statuses)) in WANTED.iter().enumerate() {
        if is_open(method, path) {
            continue;
        }
        let template = path.split('?').next().unwrap();
        let scope = BY_KEY.iter().find(|(m, p, _)| (m, *p) == (method, template)).map(|(.., scope)| *scope);
        let mut world = World::new(&server, &format!("owner-{row}"));
        let (path, body) = (world.fill(path, &format!("new-{row}")), world.fill(body, &format!("new-{row}")));
        let enough = |given| scope == Some(given) || (scope, given) == (Some("read"), "conversations");
        // Those first that change nothing.
        let mut order = SCOPES;
        order.sort_by_key(|given| enough(given));
        let programs = order.map(|given| (given, program(&server, &mut world.owner, &[given])));
        let before = unused(world.state());
        for (given, mut program) in programs {
            let headers = [("content-type", "application/json")];
            let answer = program.send(method, &path, &headers, (!body.is_empty()).then_some(body.as_bytes())).unwrap();
            if enough(given) {
                assert_eq!(answer.status, statuses[0], "{method} {path} by a key for {given}: {}", answer.text());
                allowed += 1;
                continue;
            }
            assert_eq!(answer.status, 403, "{method} {path} by a key for {given}: {}", answer.text());
            let problem = answer.json();
            let (kind, detail) = if path.starts_with("/v1/") {
                (&problem["error"]["code"], &problem["error"]["message"])
            } else {
                (&problem["type"], &problem["detail"])
            };
            let wanted = ["urn:bondhu:problem:out-of-scope", "out_of_scope"];
            assert_eq!(kind, wanted[usize::from(path.starts_with("/v1/"))], "{method} {path}: {problem}");
            let words = scope.map_or("No scope of an API key allows this".to_owned(), |scope| format!("\"{scope}\""));
            assert!(text(detail).contains(&words), "{method} {path}: {problem}");
            assert_eq!(unused(world.state()), before, "{method} {path} by a key for {given} changed something");
            refused += 1;
        }
    }
    assert!(allowed > BY_KEY.len() && refused > 100, "{allowed} were allowed and {refused} refused");
}

#[test]
fn p4_a_key_with_every_scope_of_an_administrator_is_no_administrator() {
    let server = Server::start(&[]);
    server.add_admin("root");
    let mut admin = server.client();
    let credentials = json!({"username": "root", "password": crate::support::PASSWORD});
    admin.token = Some(text(&admin.post("/api/v1/auth/login", &credentials).expect(200).json()["token"]));
    let mut program = program(&server, &mut admin, &SCOPES);
    program.get("/api/v1/sessions").expect(200);
    for (method, path, body, _) in WANTED.iter().filter(|(_, path, ..)| path.starts_with("/api/v1/admin/")) {
        let headers = [("content-type", "application/json")];
        let path = path.replace("{id}", "0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a");
        let answer = program.send(method, &path, &headers, (!body.is_empty()).then_some(body.as_bytes())).unwrap();
        assert_eq!(answer.expect(403).json()["type"], "urn:bondhu:problem:out-of-scope", "{method} {path}");
    }
    // Who asks from elsewhere than this machine must be an administrator to see the figures.
    let metrics = program.send("GET", "/metrics", &[("x-forwarded-for", "192.0.2.7")], None).unwrap();
    assert_eq!(metrics.expect(403).json()["type"], "urn:bondhu:problem:out-of-scope");
    let events = server.settled_log().iter().filter(|line| line.contains("event=\"scope\"")).count();
    assert!(events > 10, "each try is a security event: {events}");
}
