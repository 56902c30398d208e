//! The description of the API against a running server: schemathesis makes requests from it, good ones and bad ones, and
//! looks at each answer: no fault of the server, no status, type, header or field that is not described.
//!
//! `BONDHU_CONTRACT_EXAMPLES` says how many requests are made up for each call (10), `BONDHU_TEST_SEED` where it begins.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Server, text};

/// The program, as `tests/run` installs it.
const SCHEMATHESIS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sdk/venv/bin/st");
const SETTINGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sdk/schemathesis.toml");
/// A run that hangs is a run that fails, seconds.
const PATIENCE: &str = "1800";

/// Calls that would take from the others what they need: they are asked with fixed ids, in a run of their own.
const ENDING: [&str; 11] = [
    "DELETE /api/v1/auth/tokens/{id}",
    "DELETE /api/v1/admin/users/{id}/tokens",
    "POST /api/v1/admin/users/{id}/password",
    "DELETE /api/v1/chat/history",
    "DELETE /api/v1/chat/history/{user_id}",
    "DELETE /api/v1/sessions/{id}",
    "PUT /api/v1/admin/log",
    "DELETE /v1/chat/completions/{id}",
    "DELETE /v1/conversations/{id}",
    "DELETE /v1/conversations/{id}/items/{item_id}",
    "DELETE /v1/responses/{id}",
];
/// Takes nothing that could be made up, and ends the login that all requests show.
const LOGOUT: &str = "POST /api/v1/auth/logout";

/// A server with an administrator, who has sessions with messages, and a user.
struct World {
    server: Server,
    admin: Client,
    admin_id: String,
    user_id: String,
    sessions: Vec<String>,
    openai: AsOpenAi,
}

/// Ids of what there is under `/v1`.
struct AsOpenAi {
    conversation: Value,
    item: Value,
    response: Value,
    completion: Value,
}

impl AsOpenAi {
    /// A session as a conversation, with a response; and a completion that is kept.
    fn new(client: &mut Client, session: &str) -> Self {
        let conversation = format!("conv_{}", session.replace('-', ""));
        let asked = json!({"input": "It was new", "conversation": conversation});
        let response = client.post("/v1/responses", &asked).expect(200).json();
        let messages = json!([{"role": "user", "content": "It rains"}]);
        let completion = client.post("/v1/chat/completions", &json!({"store": true, "messages": messages}));
        let completion = completion.expect(200).json()["id"].clone();
        let item = response["output"][0]["id"].clone();
        Self { conversation: json!(conversation), item, response: response["id"].clone(), completion }
    }

    /// The parameters of paths that name one of them.
    fn parameters(&self) -> [(&'static str, &Value); 4] {
        [
            ("ConversationId", &self.conversation),
            ("ItemId", &self.item),
            ("ResponseId", &self.response),
            ("CompletionId", &self.completion),
        ]
    }
}

impl World {
    fn new() -> Self {
        let dir = Arc::new(tempfile::tempdir().unwrap());
        fs::write(dir.path().join("bondhu.toml"), "[auth]\nregistration = \"open\"\n").unwrap(); // To be read again.
        let data = dir.path().join("data");
        let server = Server::start_in(dir, data, &["monitor.interval_ms=100", "alerts.cpu=0.0001% for 1s"]);
        server.add_admin("root");
        let (_, user_id) = server.user("amina");
        let login = login(&server, "root");
        let mut admin = Client::with_token(server.address, &text(&login["token"]));
        let sessions: Vec<String> = (0..2).map(|_| admin.session()).collect();
        for session in &sessions {
            for words in ["I lost my umbrella", "It was green", "আজ আমার মন ভালো নেই"] {
                admin.say(session, words);
            }
        }
        let openai = AsOpenAi::new(&mut admin, &sessions[1]);
        Self { server, admin, admin_id: text(&login["user"]["id"]), user_id, sessions, openai }
    }

    /// The description that the server gives, with ids that there are, and closed: a field that it does not name is one
    /// that it lacks.
    fn description(&mut self) -> Value {
        let mut document = self.admin.get("/openapi.json").expect(200).json();
        close(&mut document["components"]["schemas"]);
        let parameters = &mut document["components"]["parameters"];
        parameters["SessionId"]["schema"]["examples"] = json!(self.sessions);
        parameters["AccountId"]["schema"]["examples"] = json!([self.user_id]);
        parameters["ForUser"]["schema"] = json!({"type": "string", "enum": [self.admin_id]});
        for (name, id) in self.openai.parameters() {
            parameters[name]["schema"]["examples"] = json!([id]);
        }
        // Few that are made up belong to anything, and a key that came with another body is refused; completions show that.
        let asked = &mut document["components"]["schemas"]["NewResponse"]["properties"];
        asked["conversation"] = json!({"enum": [null, self.openai.conversation]});
        asked["previous_response_id"] = json!({"enum": [null, self.openai.response]});
        document["paths"]["/v1/responses"]["post"]["parameters"] = json!([]);
        document
    }

    /// Has requests made from `document` and all answers looked at: what it said, as an error where an answer does not fit.
    fn judge(&self, document: &Value, choice: &[&str]) -> Result<String, String> {
        assert!(Path::new(SCHEMATHESIS).exists(), "schemathesis is missing: tests/run installs it");
        let dir = self.server.dir();
        let file = dir.path().join("description.json");
        fs::write(&file, document.to_string()).unwrap();
        let setting = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
        let ran = Command::new("timeout")
            .args([PATIENCE, SCHEMATHESIS, "--config-file", SETTINGS, "run"])
            .arg(&file)
            .args(["--url", &format!("http://{}", self.server.address)])
            .args(["--header", &format!("Authorization: Bearer {}", self.admin.token.as_ref().unwrap())])
            .args(["--max-examples", &setting("BONDHU_CONTRACT_EXAMPLES", "10")])
            // Python up to 3.11 can't parse its own source in two threads at once, which hypothesis does: one worker.
            .args(["--seed", &setting("BONDHU_TEST_SEED", "1"), "--workers", "1", "--no-color"])
            .args(choice)
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(dir.path()) // What it keeps goes with the server's directory.
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let told = [ran.stdout, ran.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        if ran.status.success() { Ok(told) } else { Err(told) }
    }
}

/// How many requests were made, by what was said of a run in which all answers fit.
#[track_caller]
fn cases(judged: Result<String, String>) -> u64 {
    let told = judged.unwrap_or_else(|told| panic!("{told}"));
    let line = told.lines().find(|line| line.contains(" generated")).unwrap_or_else(|| panic!("no cases:\n{told}"));
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn login(server: &Server, name: &str) -> Value {
    server.client().post("/api/v1/auth/login", &json!({"username": name, "password": PASSWORD})).expect(200).json()
}

/// Has every object of a schema refuse what it does not name, but where it says that it does not.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") && members.get("type") == Some(&json!("object")) {
                members.entry("additionalProperties").or_insert(json!(false));
            }
            members.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Has all calls of `those` judged, but for what ends something.
#[track_caller]
fn keeps_to_it(those: [&str; 2], at_least: u64) {
    let mut world = World::new();
    let document = world.description();
    let left_out = ENDING.iter().chain([&LOGOUT]).flat_map(|call| ["--exclude-name", call]);
    let cases = cases(world.judge(&document, &left_out.chain(those).collect::<Vec<_>>()));
    assert!(cases > at_least, "only {cases} requests were made");
    world.server.is_calm();
}

#[test]
fn the_server_keeps_to_its_description_whatever_it_is_asked() {
    keeps_to_it(["--exclude-tag", "Administration"], 1000);
}

#[test]
fn the_server_keeps_to_its_description_whatever_administrators_ask() {
    keeps_to_it(["--include-tag", "Administration"], 300);
}

#[test]
fn calls_that_end_something_keep_to_the_description_too() {
    let mut world = World::new();
    let mut document = world.description();
    login(&world.server, "root");
    let tokens = world.admin.get("/api/v1/auth/tokens").expect(200).json();
    let fixed = |id: &Value| json!({"type": "string", "enum": [id]});
    let parameters = &mut document["components"]["parameters"];
    parameters["TokenId"]["schema"] = fixed(&tokens["tokens"][1]["id"]);
    parameters["AccountId"]["schema"] = fixed(&json!(world.user_id));
    parameters["SessionId"]["schema"] = fixed(&json!(world.sessions[0]));
    for (name, id) in world.openai.parameters() {
        parameters[name]["schema"] = fixed(id);
    }
    let mut chosen: Vec<&str> = ENDING.iter().flat_map(|call| ["--include-name", call]).collect();
    chosen.extend(["--phases", "examples,coverage,fuzzing"]); // They lead nowhere.
    let cases = cases(world.judge(&document, &chosen));
    assert!(cases > 100, "only {cases} requests were made");
    world.admin.json("PUT", "/api/v1/admin/log", &[], &json!({"level": "info"})).expect(200);
    world.server.is_calm();
}

#[test]
fn a_server_that_says_more_than_its_description_is_found_out() {
    let mut world = World::new();
    let completions = ["--include-name", "POST /v1/chat/completions"];
    for (place, choice, found) in [
        ("schemas/Alive/properties/status", &["--include-path", "/health"][..], "Response violates schema"),
        ("schemas/CompletionChunk/properties/object", &completions, "SSE event violates schema"),
        ("schemas/OpenAIError/properties/error/properties/type", &completions, "Response violates schema"),
    ] {
        let mut document = world.description();
        *document.pointer_mut(&format!("/components/{place}")).unwrap() = json!({"const": "well"});
        let told = world.judge(&document, choice).expect_err(place);
        assert!(told.contains(found), "{place}: {told}");
    }
}
