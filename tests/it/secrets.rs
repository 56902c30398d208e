//! What must stay unsaid: passwords, tokens and what people wrote, in the log, on the command line, in the files.

use std::{fmt::Write, fs, path::Path};

use serde_json::json;

use crate::support::{Client, PASSWORD, Raw, Server, data, stub::Stub, text};

const OLD_PASSWORD: &str = "canary-password one";
const NEW_PASSWORD: &str = "canary-password two";

/// Every file below `dir` that has one of `secrets` in it.
fn files_with(dir: &Path, secrets: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, secrets));
        } else if path.is_file() {
            let bytes = fs::read(&path).unwrap();
            for secret in secrets {
                if bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) {
                    found.push(format!("{} has {secret}", path.display()));
                }
            }
        }
    }
    found
}

#[test]
fn p8_no_secret_is_in_the_log_on_the_command_line_or_in_a_file() {
    for format in ["log.format=text", "log.format=json"] {
        let mut server = Server::start(&["log.level=trace", format]);
        let mut client = server.client();
        let account = json!({"username": "amina", "password": OLD_PASSWORD, "display_name": "canary-display"});
        client.post("/api/v1/auth/register", &account).expect(201);
        let credentials = json!({"username": "amina", "password": OLD_PASSWORD, "label": "canary-label"});
        let token = text(&client.post("/api/v1/auth/login", &credentials).expect(200).json()["token"]);
        client.token = Some(token.clone());
        let titled = client.post("/api/v1/sessions", &json!({"title": "canary-title"})).expect(201).json();
        let session = text(&titled["id"]);
        let path = format!("/api/v1/sessions/{session}/messages");
        let said = json!({"content": "canary-message: my name is Canaria"});
        let reply = client.json("POST", &path, &[("idempotency-key", "canary-key")], &said).expect(201).json();
        client.get("/api/v1/chat/search?q=canary-needle").expect(200);
        client.post("/api/v1/search", &json!({"text": "canary-message"})).expect(200);
        client.post("/api/v1/search", &json!({"text": "canary-needle", "limit": 0})).expect(422);
        client.get("/canary-path?canary-query=1").expect(404);
        client.get("/api/v1/auth/export").expect(200);
        let change = json!({"current": OLD_PASSWORD, "new": NEW_PASSWORD});
        client.post("/api/v1/auth/password", &change).expect(204);
        // What goes wrong says no more.
        let wrong = json!({"username": "amina", "password": "canary-wrong-password"});
        client.post("/api/v1/auth/login", &wrong).expect(401);
        client.post("/api/v1/auth/login", &json!({"username": "canary name", "password": OLD_PASSWORD})).expect(401);
        client.post(&path, &json!({"content": "canary-message", "canary-field": 1})).expect(422);
        client.post(&path, &json!({"content": ["canary-message"]})).expect(422);
        client.json("POST", &path, &[("idempotency-key", "canary-key")], &json!({"content": "canary-x"})).expect(422);
        let host = server.address;
        let by_cookie =
            format!("GET {path} HTTP/1.1\r\nhost: {host}\r\ncookie: bondhu={token}; x=canary-cookie\r\n\r\n");
        assert_eq!(Raw::to(&server).send(by_cookie).answer().unwrap().status, 200);
        Raw::to(&server).send("canary-noise \0\r\n\r\n").answer();
        server.command(&["user", "passwd", "amina", "--password-file", "-"], "canary-password three").ok();
        let code = server.command(&["user", "invite"], "").ok();

        let line = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
        assert!(line.contains("serve") && !line.contains("canary") && !line.contains("bondhu_"), "{line:?}");
        server.stop();
        let log = server.log();
        assert!(log.iter().any(|line| line.contains("/api/v1/sessions/{id}/messages")), "requests are logged");
        let reply = text(&reply["reply"]["content"]);
        for line in &log {
            let lower = line.to_lowercase();
            for secret in
                ["canary", "canaria", "bondhu_", "$argon2", code.trim(), &token[10..], &reply[..reply.len().min(20)]]
            {
                assert!(!line.contains(secret) && !lower.contains(secret), "{secret} is in the log: {line}");
            }
        }
        let passwords = [OLD_PASSWORD, NEW_PASSWORD, "canary-password three", "canary-wrong-password"];
        let secrets = [&passwords[..], &[&token, &token[7..], code.trim(), "canary-key", "canary-cookie"]].concat();
        assert_eq!(files_with(&server.data, &secrets), Vec::<String>::new());
        assert!(!files_with(&server.data, &["canary-message"]).is_empty(), "the search finds what is there");
    }
}

#[test]
fn the_files_are_for_their_owner_only_and_a_request_is_one_line_in_the_log() {
    use std::os::unix::fs::PermissionsExt;
    fn modes(dir: &Path, found: &mut Vec<(String, u32)>) {
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
        found.push((dir.display().to_string(), mode(dir)));
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { modes(&path, found) } else { found.push((path.display().to_string(), mode(&path))) }
        }
    }
    let mut server = Server::start(&[]);
    let (mut amina, user) = server.user("amina");
    amina.post("/api/v1/chat/send", &json!({"message": "hello"})).expect(200);
    let answer = amina.get("/api/v1/auth/me").expect(200);
    let id = answer.header("x-request-id").unwrap().to_owned();
    let mut found = Vec::new();
    modes(&server.data, &mut found);
    assert!(found.len() > 5);
    for (path, mode) in found {
        assert_eq!(mode & 0o077, 0, "{path} has mode {mode:o}");
    }
    server.stop();
    let log = server.log();
    let lines: Vec<_> = log.iter().filter(|line| line.contains(&id)).collect();
    assert_eq!(lines.len(), 1);
    for word in
        ["method=\"GET\"", "path=\"/api/v1/auth/me\"", "status=200", &format!("user={user}"), "address=127.0.0.1"]
    {
        assert!(lines[0].contains(word), "{word} is not in {}", lines[0]);
    }
}

/// Everything that a user can put anywhere, each with a mark of its own; and all that the server answers to it.
fn says_everything(server: &Server, client: &mut Client, mark: &str) -> String {
    let mut heard = String::new();
    let mut keep = |answer: crate::support::Response| {
        let _ = writeln!(heard, "{:?}\n{}", answer.headers, answer.text());
        answer
    };
    let named = json!({"title": format!("{mark}-title"), "system_prompt": format!("{mark}-prompt")});
    let session = text(&keep(client.post("/api/v1/sessions", &named)).expect(201).json()["id"]);
    let path = format!("/api/v1/sessions/{session}/messages");
    for how in ["say", "status 500", "errormid", "once reset", "html", "json"] {
        let said = json!({"content": format!("[[{how}]] {mark}-message")});
        let key = format!("{mark}-key-{session}-{}", how.replace(' ', ""));
        keep(client.json("POST", &path, &[("idempotency-key", &key)], &said));
    }
    for (method, path, body) in [
        ("POST", path.as_str(), json!({"content": format!("{mark}-x"), format!("{mark}-field"): 1})),
        ("POST", "/api/v1/chat/send", json!({"message": format!("{mark}-old")})),
        (
            "POST",
            "/api/v1/auth/password",
            json!({"current": format!("{mark}-wrong-word"), "new": format!("{mark}-new-word")}),
        ),
        ("POST", "/api/v1/auth/login", json!({"username": format!("{mark}-nobody"), "password": PASSWORD})),
        ("DELETE", "/api/v1/auth/me", json!({"password": format!("{mark}-wrong-word")})),
    ] {
        keep(client.json(method, path, &[("x-mark", mark)], &body));
    }
    for path in [
        &path,
        "/api/v1/sessions",
        "/api/v1/chat/history",
        &format!("/api/v1/chat/search?q={mark}"),
        "/api/v1/auth/export",
        "/api/v1/auth/tokens",
        "/api/v1/auth/me",
        &format!("/{mark}?{mark}={mark}"),
        "/ready",
    ] {
        keep(client.get(path));
    }
    let mut stream = client.events(&format!("/api/v1/sessions/{session}/events?after=0"));
    let _ = write!(heard, "{:?}", stream.find("message"));
    let cookie = format!("bondhu={}; {mark}={mark}", client.token.as_ref().unwrap());
    let raw = format!("GET /api/v1/auth/me HTTP/1.1\r\nhost: {}\r\ncookie: {cookie}\r\n\r\n", server.address);
    heard + &Raw::to(server).send(raw).answer().unwrap().text()
}

#[test]
fn p4_what_one_user_says_and_knows_is_in_no_answer_to_another_and_in_no_line() {
    let stub = Stub::start();
    let mut server = Server::start(&["log.level=trace"]);
    server.stop();
    let key = server.dir().path().join("model.key");
    fs::write(&key, "canary-api-key-of-the-model\n").unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (url, key) = (stub.base_url(), key.display());
    let settings = [
        "log.level=trace".to_owned(),
        "log.format=json".to_owned(),
        "reply.backend=openai".to_owned(),
        format!("reply.openai.base_url={url}"),
        format!("reply.openai.api_key_file={key}"),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut server = server.restart(&settings);
    let marks = ["canary-of-amina", "canary-of-bela"];
    let mut users: Vec<_> = ["amina", "bela"].map(|name| server.user(name).0).into();
    let mut heard = Vec::new();
    for _ in 0..2 {
        for (client, mark) in users.iter_mut().zip(marks) {
            heard.push((mark, client.token.clone().unwrap(), says_everything(&server, client, mark)));
        }
    }
    for (mark, token, heard) in &heard {
        let others = marks.iter().find(|other| *other != mark).unwrap();
        assert!(heard.contains(&format!("{mark}-message")), "the search finds what is there");
        for secret in [others, token.as_str(), "canary-api-key", "-wrong-word", "-new-word", PASSWORD, "$argon2"] {
            assert!(!heard.contains(secret), "{secret} was told to {mark}: {heard}");
        }
    }
    assert!(stub.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer canary-api-key-of-the-model")));
    for seen in stub.seen() {
        let asked = seen.body.to_string();
        assert!(
            !marks.iter().all(|mark| asked.contains(mark)),
            "one user's words came into another's context: {asked}"
        );
    }
    let line = fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert!(!line.contains("canary"), "{line}");
    server.stop();
    let tokens: Vec<_> = users.iter().map(|client| client.token.clone().unwrap()).collect();
    for line in server.log() {
        for secret in ["canary", "$argon2", &tokens[0][10..], &tokens[1][10..]] {
            assert!(!line.contains(secret), "{secret} is in the log: {line}");
        }
    }
    let texts = ["-message", "-old", "-title", "-prompt"];
    for file in data::files(&server.data) {
        for secret in
            [&tokens[0], &tokens[1], "canary-api-key", "-wrong-word", "-new-word", PASSWORD, "-nobody", "-field"]
        {
            assert!(!data::holds(&file, secret), "{secret} is in {}", file.display());
        }
        let stores = file.starts_with(server.data.join("journal")) || file.starts_with(server.data.join("index"));
        assert!(stores || !texts.iter().any(|text| data::holds(&file, text)), "{}", file.display());
    }
}
