//! Who may do what: every route of the table for every kind of caller, and what strangers learn.

mod identities;
mod keys;

use std::collections::BTreeSet;

use bondhu::http::routes::ROUTES;
use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Response, Server, text};

/// Who asks, in the order of the statuses in [`WANTED`].
#[derive(Debug, Clone, Copy, PartialEq)]
enum Caller {
    Owner,
    Another,
    Nobody,
    LoggedOut,
    Admin,
}

const CALLERS: [Caller; 5] = [Caller::Owner, Caller::Another, Caller::Nobody, Caller::LoggedOut, Caller::Admin];

const OPEN: [u16; 5] = [200; 5];
const OWN: [u16; 5] = [200, 200, 401, 401, 200];
const OWN_MADE: [u16; 5] = [201, 201, 401, 401, 201];
const OWN_GONE: [u16; 5] = [204, 204, 401, 401, 204];
const ADMIN: [u16; 5] = [403, 403, 401, 401, 200];
const ADMIN_MADE: [u16; 5] = [403, 403, 401, 401, 201];
const ADMIN_GONE: [u16; 5] = [403, 403, 401, 401, 204];
const ADMIN_NONE: [u16; 5] = [403, 403, 401, 401, 404];
const OWNER: [u16; 5] = [200, 403, 401, 401, 403];
const V1_OWNER: [u16; 5] = [200, 404, 401, 401, 404];
const OWNER_MADE: [u16; 5] = [201, 403, 401, 401, 403];
const OWNER_GONE: [u16; 5] = [204, 403, 401, 401, 403];

/// Method, path as the route table has it with a query where one is meant, body, and the status for each caller.
///
/// `{session}`, `{login}`, `{user}` and `{name}` in bodies and queries are the owner's; `{new}` is a new name.
const WANTED: &[(&str, &str, &str, [u16; 5])] = &[
    ("GET", "/health", "", OPEN),
    ("GET", "/ready", "", OPEN),
    ("GET", "/metrics", "", OPEN),
    ("GET", "/", "", OPEN),
    ("GET", "/s/{id}", "", OPEN),
    ("GET", "/settings", "", OPEN),
    ("GET", "/dashboard", "", OPEN),
    ("GET", "/docs", "", OPEN),
    ("GET", "/openapi.json", "", OPEN),
    ("GET", "/assets/{version}/{name}", "", [404; 5]),
    ("POST", "/api/v1/auth/register", r#"{"username":"{new}","password":"{password}"}"#, [201; 5]),
    ("POST", "/api/v1/auth/login", r#"{"username":"{name}","password":"{password}"}"#, OPEN),
    ("POST", "/api/v1/auth/logout", "", OWN_GONE),
    ("GET", "/api/v1/auth/me", "", OWN),
    ("DELETE", "/api/v1/auth/me", r#"{"password":"{password}"}"#, OWN_GONE),
    ("POST", "/api/v1/auth/password", r#"{"current":"{password}","new":"seven green umbrellas"}"#, OWN_GONE),
    ("GET", "/api/v1/auth/tokens", "", OWN),
    ("DELETE", "/api/v1/auth/tokens/{id}", "", [204, 404, 401, 401, 404]),
    ("POST", "/api/v1/auth/keys", r#"{"name":"mine","scopes":["models"]}"#, OWN_MADE),
    ("GET", "/api/v1/auth/keys", "", OWN),
    ("DELETE", "/api/v1/auth/keys/{id}", "", [204, 404, 401, 401, 404]),
    ("GET", "/api/v1/auth/export", "", OWN),
    ("POST", "/api/v1/sessions", "{}", OWN_MADE),
    ("POST", "/api/v1/sessions", r#"{"id":"{session}","title":"mine"}"#, OWNER),
    ("GET", "/api/v1/sessions", "", OWN),
    ("GET", "/api/v1/sessions/{id}", "", OWNER),
    ("PATCH", "/api/v1/sessions/{id}", r#"{"title":"mine"}"#, OWNER),
    ("DELETE", "/api/v1/sessions/{id}", "", OWNER_GONE),
    ("POST", "/api/v1/sessions/{id}/messages", r#"{"content":"mine"}"#, OWNER_MADE),
    ("POST", "/api/v1/sessions/{id}/messages", r#"{"content":"mine","stream":true}"#, OWNER),
    ("POST", "/api/v1/sessions/{id}/messages/{seq}/retry", "", OWNER_MADE),
    ("POST", "/api/v1/sessions/{id}/messages/{seq}/stop", "", OWNER_GONE),
    ("GET", "/api/v1/sessions/{id}/messages", "", OWNER),
    ("GET", "/api/v1/sessions/{id}/events", "", OWNER),
    ("GET", "/api/v1/sessions/{id}/events?after=0", "", OWNER),
    ("GET", "/api/v1/events", "", OWN),
    ("POST", "/api/v1/chat/send", r#"{"message":"mine","session_id":"{session}"}"#, OWNER),
    ("POST", "/api/v1/chat/send", r#"{"message":"mine","user_id":"{user}"}"#, OWNER),
    ("POST", "/api/v1/chat/send", r#"{"message":"mine"}"#, OWN),
    ("GET", "/api/v1/chat/history", "", OWN),
    ("GET", "/api/v1/chat/history?session_id={session}", "", OWNER),
    ("GET", "/api/v1/chat/history/{user_id}", "", OWNER),
    ("DELETE", "/api/v1/chat/history", "", OWN_GONE),
    ("DELETE", "/api/v1/chat/history/{user_id}", "", OWNER_GONE),
    ("GET", "/api/v1/chat/search?q=umbrella", "", OWN),
    ("GET", "/api/v1/chat/search/{user_id}?q=umbrella", "", OWNER),
    ("GET", "/api/v1/chat/health", "", OPEN),
    ("GET", "/api/v1/about", "", OPEN),
    ("GET", "/api/v1/replies", "", OWN),
    ("POST", "/api/v1/search", r#"{"text":"umbrella"}"#, OWN),
    ("GET", "/api/v1/admin/users", "", ADMIN),
    ("GET", "/api/v1/admin/users/{id}", "", ADMIN),
    ("PATCH", "/api/v1/admin/users/{id}", r#"{"tier":"free"}"#, ADMIN),
    ("POST", "/api/v1/admin/users/{id}/password", r#"{"password":"seven green umbrellas"}"#, ADMIN_GONE),
    ("DELETE", "/api/v1/admin/users/{id}/tokens", "", ADMIN_GONE),
    ("POST", "/api/v1/admin/invitations", "", ADMIN_MADE),
    ("GET", "/api/v1/admin/cache", "", ADMIN),
    ("DELETE", "/api/v1/admin/cache", "", ADMIN),
    ("GET", "/api/v1/admin/config", "", ADMIN),
    ("POST", "/api/v1/admin/reload", "", ADMIN),
    ("GET", "/api/v1/admin/log", "", ADMIN),
    ("PUT", "/api/v1/admin/log", r#"{"level":"info"}"#, ADMIN),
    ("GET", "/api/v1/admin/monitor", "", ADMIN),
    ("GET", "/api/v1/admin/monitor/now", "", ADMIN),
    ("GET", "/api/v1/admin/security", "", ADMIN),
    ("GET", "/api/v1/admin/jobs", "", ADMIN),
    ("POST", "/api/v1/admin/jobs/{id}/retry", "", ADMIN_NONE),
    ("DELETE", "/api/v1/admin/jobs/{id}", "", ADMIN_NONE),
    ("GET", "/v1/models", "", OWN),
    ("GET", "/v1/models/{model}", "", OWN),
    ("POST", "/v1/chat/completions", r#"{"model":"any","messages":[{"role":"user","content":"mine"}]}"#, OWN),
    ("GET", "/v1/chat/completions", "", OWN),
    ("GET", "/v1/chat/completions/{id}", "", V1_OWNER),
    ("POST", "/v1/chat/completions/{id}", r#"{"metadata":{"a":"b"}}"#, V1_OWNER),
    ("DELETE", "/v1/chat/completions/{id}", "", V1_OWNER),
    ("GET", "/v1/chat/completions/{id}/messages", "", V1_OWNER),
    ("POST", "/v1/conversations", "{}", OWN),
    ("GET", "/v1/conversations", "", OWN),
    ("GET", "/v1/conversations/{id}", "", V1_OWNER),
    ("POST", "/v1/conversations/{id}", r#"{"metadata":{"a":"b"}}"#, V1_OWNER),
    ("DELETE", "/v1/conversations/{id}", "", V1_OWNER),
    ("POST", "/v1/conversations/{id}/items", r#"{"items":[{"role":"user","content":"x"}]}"#, V1_OWNER),
    ("GET", "/v1/conversations/{id}/items", "", V1_OWNER),
    ("GET", "/v1/conversations/{id}/items/{item_id}", "", V1_OWNER),
    ("DELETE", "/v1/conversations/{id}/items/{item_id}", "", V1_OWNER),
    ("POST", "/v1/responses", r#"{"input":"mine"}"#, OWN),
    ("POST", "/v1/responses", r#"{"input":"mine","conversation":"{conversation}"}"#, V1_OWNER),
    ("POST", "/v1/responses", r#"{"input":"mine","previous_response_id":"{response}"}"#, V1_OWNER),
    ("POST", "/v1/responses", r#"{"input":"mine","previous_response_id":"{response}","store":false}"#, V1_OWNER),
    ("GET", "/v1/responses/{id}", "", V1_OWNER),
    ("GET", "/v1/responses/{id}?stream=true", "", V1_OWNER),
    ("DELETE", "/v1/responses/{id}", "", V1_OWNER),
    ("POST", "/v1/responses/{id}/cancel", "", V1_OWNER),
    ("GET", "/v1/responses/{id}/input_items", "", V1_OWNER),
];

/// An owner with a session, a message in it and a second login.
struct World {
    owner: Client,
    name: String,
    user: String,
    session: String,
    login: String,
    /// The same session, as programs call it.
    conversation: String,
    response: String,
    completion: String,
    key: String,
}

impl World {
    fn new(server: &Server, name: &str) -> Self {
        let (mut owner, user) = server.user(name);
        let session = owner.session();
        owner.say(&session, "I lost my umbrella");
        let credentials = json!({"username": name, "password": PASSWORD, "label": "phone"});
        let mut phone = server.client();
        phone.token = Some(text(&phone.post("/api/v1/auth/login", &credentials).expect(200).json()["token"]));
        let tokens = owner.get("/api/v1/auth/tokens").expect(200).json();
        let response = owner.post("/v1/responses", &json!({"input": "hello"})).expect(200).json();
        let asked = json!({"messages": [{"role": "user", "content": "hello"}], "store": true});
        let completion = owner.post("/v1/chat/completions", &asked).expect(200).json();
        let key = json!({"name": "notes", "scopes": ["read"]});
        let key = text(&owner.post("/api/v1/auth/keys", &key).expect(201).json()["id"]);
        Self {
            owner,
            name: name.to_owned(),
            user,
            conversation: format!("conv_{}", session.replace('-', "")),
            session,
            login: text(&tokens["tokens"][1]["id"]),
            response: text(&response["id"]),
            completion: text(&completion["id"]),
            key,
        }
    }

    fn caller(&self, server: &Server, who: Caller, name: &str) -> Client {
        match who {
            Caller::Owner => self.owner.another_tab(server),
            Caller::Another => server.user(name).0,
            Caller::Nobody => server.client(),
            Caller::LoggedOut => {
                let (mut client, _) = server.user(name);
                client.post("/api/v1/auth/logout", &json!({})).expect(204);
                client
            }
            Caller::Admin => {
                server.add_admin(name);
                let mut client = server.client();
                let credentials = json!({"username": name, "password": PASSWORD});
                let login = client.post("/api/v1/auth/login", &credentials).expect(200).json();
                assert_eq!(login["user"]["role"], "admin");
                client.token = Some(text(&login["token"]));
                client
            }
        }
    }

    fn fill(&self, template: &str, new: &str) -> String {
        let id = match template {
            template if template.contains("/tokens/") => &self.login,
            template if template.contains("/v1/conversations/") => &self.conversation,
            template if template.contains("/v1/responses/") => &self.response,
            template if template.contains("/v1/chat/completions/") => &self.completion,
            template if template.contains("/keys/") => &self.key,
            template if template.contains("/admin/users/") => &self.user,
            _ => &self.session,
        };
        let names = [
            ("{id}", id),
            ("{session}", &self.session),
            ("{seq}", &"1".to_owned()),
            ("{user_id}", &self.user),
            ("{user}", &self.user),
            ("{name}", &self.name),
            ("{model}", &"companion".to_owned()),
            ("{item_id}", &format!("msg_{}00000001", self.session.replace('-', ""))),
            ("{conversation}", &self.conversation),
            ("{response}", &self.response),
            ("{new}", &new.to_owned()),
            ("{password}", &PASSWORD.to_owned()),
        ];
        names.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    /// All that others might have changed.
    fn state(&mut self) -> Vec<Value> {
        let paths =
            ["/api/v1/auth/me", "/api/v1/auth/tokens", "/api/v1/auth/keys", "/api/v1/sessions", "/api/v1/chat/history"];
        paths.iter().map(|path| self.owner.get(path).expect(200).json()).collect()
    }
}

#[test]
fn p4_every_route_answers_every_caller_as_the_table_says() {
    let known: BTreeSet<_> =
        WANTED.iter().map(|(method, path, ..)| (*method, path.split('?').next().unwrap())).collect();
    let routes: BTreeSet<_> = ROUTES.iter().map(|route| (route.method.as_str(), route.path)).collect();
    assert_eq!(known, routes, "the table has exactly the routes that there are");

    let server = Server::start(&[]);
    for (row, (method, path, body, statuses)) in WANTED.iter().enumerate() {
        for (who, wanted) in CALLERS.into_iter().zip(statuses) {
            let mut world = World::new(&server, &format!("owner-{row}-{who:?}"));
            let mut client = world.caller(&server, who, &format!("caller-{row}-{who:?}"));
            let before = world.state();
            let new = format!("new-{row}-{who:?}");
            let (path, body) = (world.fill(path, &new), world.fill(body, &new));
            let headers = [("content-type", "application/json")];
            let body = (!body.is_empty()).then_some(body.as_bytes());
            let answer = client.send(method, &path, &headers, body).unwrap();
            assert_eq!(answer.status, *wanted, "{method} {path} by {who:?}: {}", answer.text());
            assert!(answer.header("x-request-id").is_some());
            assert_eq!(answer.header("www-authenticate").is_some(), answer.status == 401);
            let ends_logins = path.contains("/admin/") && answer.status == 204;
            if who != Caller::Owner && !path.ends_with("/login") && !ends_logins {
                assert_eq!(world.state(), before, "{method} {path} by {who:?} changed the owner's data");
            }
            if *method == "GET" {
                let head = client.send("HEAD", &path, &headers, None).unwrap();
                let lengths = [&head, &answer].map(|one| steady(&path, named(one)));
                assert_eq!((head.status, &lengths[0]), (answer.status, &lengths[1]), "HEAD {path} by {who:?}");
            }
        }
    }
}

/// The headers but for those that differ from request to request, and the framing, which `HEAD` may leave out.
fn named(answer: &Response) -> Vec<&(String, String)> {
    let varies = ["x-request-id", "date", "transfer-encoding"];
    answer.headers.iter().filter(|(name, _)| !varies.contains(&name.as_str())).collect()
}

/// Without the length, where that changes with everything that is counted.
fn steady<'h>(path: &str, headers: Vec<&'h (String, String)>) -> Vec<&'h (String, String)> {
    let counted = ["/metrics", "/admin/monitor", "/admin/security"].iter().any(|part| path.contains(part));
    headers.into_iter().filter(|(name, _)| !counted || name != "content-length").collect()
}

/// All that a stranger is told, request id and time aside.
fn told(answer: &Response) -> (u16, Vec<(String, String)>, Value) {
    let mut body = answer.json();
    let id = body.as_object_mut().unwrap().remove("request_id");
    // OpenAI's errors have no place for it but the header.
    if body.get("error").is_none() {
        assert_eq!(id.as_ref().and_then(Value::as_str), answer.header("x-request-id"));
    }
    (answer.status, named(answer).into_iter().cloned().collect(), body)
}

/// Every call that names a session, with `{id}` for it.
const OF_A_SESSION: &[(&str, &str, &str)] = &[
    ("GET", "/api/v1/sessions/{id}", ""),
    ("PATCH", "/api/v1/sessions/{id}", r#"{"title":"mine"}"#),
    ("PATCH", "/api/v1/sessions/{id}", r#"{"title":7}"#),
    ("DELETE", "/api/v1/sessions/{id}", ""),
    ("POST", "/api/v1/sessions/{id}/messages", r#"{"content":"mine"}"#),
    ("POST", "/api/v1/sessions/{id}/messages", r#"{"content":""}"#),
    ("GET", "/api/v1/sessions/{id}/messages", ""),
    ("GET", "/api/v1/sessions/{id}/messages?limit=0", ""),
    ("POST", "/api/v1/sessions/{id}/messages", r#"{"content":"mine","stream":true}"#),
    ("POST", "/api/v1/sessions/{id}/messages/1/retry", ""),
    ("POST", "/api/v1/sessions/{id}/messages/x/retry", ""),
    ("POST", "/api/v1/sessions/{id}/messages/1/stop", ""),
    ("GET", "/api/v1/sessions/{id}/events", ""),
    ("GET", "/api/v1/sessions/{id}/events?after=1", ""),
    ("GET", "/api/v1/sessions/{id}/events?after=x", ""),
    ("GET", "/api/v1/chat/history?session_id={id}", ""),
];

/// Calls that create a session with an id that nobody had, so that one that never existed answers otherwise.
const CREATING: &[(&str, &str, &str)] = &[
    ("POST", "/api/v1/sessions", r#"{"id":"{id}"}"#),
    ("POST", "/api/v1/chat/send", r#"{"message":"mine","session_id":"{id}"}"#),
];

fn ask(client: &mut Client, (method, path, body): (&str, &str, &str), id: &str) -> Response {
    let (path, body) = (path.replace("{id}", id), body.replace("{id}", id));
    let tag = [("content-type", "application/json"), ("if-none-match", "*")];
    client.send(method, &path, &tag, (!body.is_empty()).then_some(body.as_bytes())).unwrap()
}

#[test]
fn p4_anothers_session_a_deleted_one_and_one_that_never_was_give_the_same_bytes() {
    let mut server = Server::start(&[]);
    let (mut owner, _) = server.user("amina");
    let (stranger, _) = server.user("mallory");
    let (anothers, deleted, own_deleted) = (owner.session(), owner.session(), stranger.another_tab(&server).session());
    for session in [&anothers, &deleted] {
        owner.say(session, "This is between us");
    }
    owner.delete(&format!("/api/v1/sessions/{deleted}")).expect(204);
    stranger.another_tab(&server).delete(&format!("/api/v1/sessions/{own_deleted}")).expect(204);

    let never = uuid::Uuid::now_v7().to_string();
    let random = uuid::Uuid::new_v4().to_string();
    for warm in [false, true] {
        server = server.restart(&[]);
        let mut owner = owner.another_tab(&server);
        let mut stranger = stranger.another_tab(&server);
        if warm {
            owner.page(&anothers, "");
            owner.history("");
            stranger.history("");
        }
        for call in OF_A_SESSION {
            let wanted = told(&ask(&mut stranger, *call, &never).expect(403));
            for id in [&anothers, &deleted, &own_deleted, &random] {
                assert_eq!(told(&ask(&mut stranger, *call, id)), wanted, "{call:?} on {id}, warm: {warm}");
            }
        }
        for id in ["x", "0", &anothers[1..], &anothers.replace('-', ""), "%20", "..", &"x".repeat(300)] {
            for call in OF_A_SESSION.iter().filter(|(_, path, _)| !path.contains('=')) {
                let wanted = told(&ask(&mut stranger, *call, &never));
                assert_eq!(told(&ask(&mut stranger, *call, id)), wanted, "{call:?} on {id}");
            }
        }
        for call in CREATING {
            let wanted = told(&ask(&mut stranger, *call, &anothers).expect(403));
            for id in [&deleted, &own_deleted] {
                assert_eq!(told(&ask(&mut stranger, *call, id)), wanted, "{call:?} on {id}, warm: {warm}");
            }
        }
        assert_eq!(owner.page(&anothers, "")["head"], 2);
        assert_eq!(stranger.history("")["total"], 0);
    }
    let events = server.settled_log().iter().filter(|line| line.contains("event=\"ownership\"")).count();
    assert!(events >= 5 * OF_A_SESSION.len(), "each try is a security event: {events}");
}

#[test]
fn a_method_that_a_path_does_not_have_is_405_with_those_that_it_has() {
    let server = Server::start(&[]);
    let (mut client, _) = server.user("amina");
    let paths: BTreeSet<_> = ROUTES.iter().map(|route| route.path).collect();
    for path in paths {
        let mut has: BTreeSet<_> =
            ROUTES.iter().filter(|route| route.path == path).map(|r| r.method.as_str()).collect();
        if has.contains("GET") {
            has.insert("HEAD");
        }
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get"] {
            if has.contains(method) {
                continue;
            }
            let answer = client.send(method, path, &[], None).unwrap();
            assert_eq!(answer.status, 405, "{method} {path}: {}", answer.text());
            let allowed: BTreeSet<_> = answer.header("allow").unwrap().split(", ").collect();
            assert_eq!(allowed, has, "{method} {path}");
        }
    }
}
