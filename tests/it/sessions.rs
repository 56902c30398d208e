//! Sessions: their ids, titles and order, and what is left of a deleted one.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Client, Server, at_once, each, list, text};

fn create(client: &mut Client, id: &str) -> crate::support::Response {
    client.post("/api/v1/sessions", &json!({"id": id}))
}

fn ids(sessions: &Value) -> Vec<String> {
    each(sessions, "id").into_iter().map(text).collect()
}

#[test]
fn a_session_is_made_with_the_servers_id_or_with_the_clients() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut mallory, _) = server.user("mallory");
    let without_body = amina.send("POST", "/api/v1/sessions", &[], None).unwrap().expect(201).json();
    assert_eq!(text(&without_body["id"]).parse::<Uuid>().unwrap().get_version_num(), 7);
    let rest = ["title", "head"].map(|field| &without_body[field]);
    assert_eq!(rest, [&Value::Null, &json!(0)]);
    assert_eq!(without_body["created_at"], without_body["updated_at"]);
    assert!(text(&without_body["created_at"]).ends_with('Z') && text(&without_body["created_at"]).len() == 27);

    for id in [Uuid::now_v7(), Uuid::new_v4()].map(|id| id.to_string()) {
        let made = create(&mut amina, &id).expect(201);
        assert_eq!(made.header("location"), Some(format!("/api/v1/sessions/{id}").as_str()));
        amina.say(&id, "hello");
        let again = amina.post("/api/v1/sessions", &json!({"id": id.to_uppercase(), "title": "other"})).expect(200);
        assert_eq!(again.json(), amina.get(&format!("/api/v1/sessions/{id}")).expect(200).json());
        assert_eq!((&again.json()["head"], &again.json()["title"]), (&json!(2), &Value::Null), "it is left as it was");
        create(&mut mallory, &id).expect(403);
    }
    let v1 = "5b4d1f9e-7a3e-11ee-8c99-0242ac120002";
    for bad in [v1, "", "x", "00000000-0000-0000-0000-000000000000", "7f3c6b2e8a544b1d9e0f1a2b3c4d5e6f"] {
        let refused = create(&mut amina, bad).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("id: "), "{bad:?}");
        let body = json!({"message": "hello", "session_id": bad});
        let refused = amina.post("/api/v1/chat/send", &body).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("session_id: "), "{bad:?}");
    }
    assert_eq!(ids(&amina.get("/api/v1/sessions").expect(200).json()["sessions"]).len(), 3);
}

#[test]
fn of_many_who_want_one_id_at_once_one_gets_it() {
    let server = Server::start(&[]);
    let users: Vec<_> = (0..16).map(|n| std::sync::Mutex::new(server.user(&format!("user-{n}")).0)).collect();
    let id = Uuid::now_v7().to_string();
    let answers = at_once(16, |n| match n % 2 {
        0 => create(&mut users[n].lock().unwrap(), &id).status,
        _ => users[n].lock().unwrap().post("/api/v1/chat/send", &json!({"message": "hi", "session_id": id})).status,
    });
    assert_eq!(answers.iter().filter(|&&status| status != 403).count(), 1, "{answers:?}");
    let owner = answers.iter().position(|&status| status != 403).unwrap();
    for (n, user) in users.iter().enumerate() {
        let seen = user.lock().unwrap().get(&format!("/api/v1/sessions/{id}")).status;
        assert_eq!(seen, if n == owner { 200 } else { 403 });
    }
}

#[test]
fn a_title_is_kept_as_it_came_changed_and_taken_away() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let longest = "ক".repeat(200);
    let titled = amina.post("/api/v1/sessions", &json!({"title": " <b>exam</b> \u{202e}🙂\u{0} "})).expect(201).json();
    assert_eq!(titled["title"], " <b>exam</b> \u{202e}🙂\u{0} ");
    let path = format!("/api/v1/sessions/{}", text(&titled["id"]));
    let mut rename = |body: Value| amina.json("PATCH", &path, &[], &body);
    for title in [json!(longest), json!("x"), Value::Null] {
        let renamed = rename(json!({"title": title})).expect(200).json();
        assert_eq!(renamed["title"], title);
        assert!(text(&renamed["updated_at"]) > text(&titled["updated_at"]));
    }
    rename(json!({"title": "kept"})).expect(200);
    let too_long = "ক".repeat(201);
    for (bad, field) in [
        (json!({"title": too_long}), "title: "),
        (json!({"title": ""}), "title: "),
        (json!({"title": " \n\u{200b}"}), "title: "),
        (json!({"title": 7}), "title: "),
        (json!({}), "title: "),
        (json!({"title": "x", "owner": "me"}), "owner: "),
        (json!(["x"]), "body: "),
    ] {
        let refused = rename(bad.clone()).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with(field), "{bad}: {}", refused.text());
    }
    assert_eq!(amina.get(&path).expect(200).json()["title"], "kept");
    let refused = amina.post("/api/v1/sessions", &json!({"title": too_long})).expect(422);
    assert!(text(&refused.json()["detail"]).starts_with("title: "));
    let server = server.restart(&[]);
    assert_eq!(amina.another_tab(&server).get(&path).expect(200).json()["title"], "kept");
}

#[test]
fn the_list_has_every_session_once_with_the_newest_activity_first() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    server.user("mallory").0.session();
    let mut order: Vec<String> = (0..45).map(|_| amina.session()).collect();
    for n in 0..60 {
        let moved = order.remove((n * 17) % 45);
        if n % 3 == 0 {
            amina.json("PATCH", &format!("/api/v1/sessions/{moved}"), &[], &json!({"title": "t"})).expect(200);
        } else {
            amina.say(&moved, "hello");
        }
        order.push(moved);
    }
    order.reverse();
    let server = server.restart(&[]);
    let mut amina = amina.another_tab(&server);
    for limit in [1, 7, 44, 45, 50] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = amina.get(&format!("/api/v1/sessions?limit={limit}{cursor}")).expect(200).json();
            assert!((1..=limit).contains(&list(&page["sessions"]).len()), "no page is too long or empty");
            seen.extend(ids(&page["sessions"]));
            if page["next"].is_null() {
                break;
            }
            cursor = format!("&cursor={}", text(&page["next"]));
        }
        assert_eq!(seen, order, "limit {limit}");
    }
    // What moves to the front while someone leafs through neither comes twice nor hides others.
    let first = amina.get("/api/v1/sessions?limit=20").expect(200).json();
    amina.say(&order[44], "hello");
    amina.session();
    amina.delete(&format!("/api/v1/sessions/{}", order[20])).expect(204);
    let cursor = text(&first["next"]);
    let rest = amina.get(&format!("/api/v1/sessions?limit=200&cursor={cursor}")).expect(200).json();
    assert_eq!(ids(&rest["sessions"]), order[21..44]);
    for bad in ["", "x", &cursor[1..], &format!("{cursor}0"), &"0".repeat(9000)] {
        let refused = amina.get(&format!("/api/v1/sessions?cursor={bad}")).expect(422);
        assert!(text(&refused.json()["detail"]).starts_with("cursor: "), "{bad:.60}");
    }
}

#[test]
fn p4_the_id_of_a_deleted_session_is_never_given_to_anyone_again() {
    let no_copies = ["data.keep_replaced_s=0"];
    let mut server = Server::start(&no_copies);
    let (amina, _) = server.user("amina");
    let (mallory, _) = server.user("mallory");
    let gone = amina.another_tab(&server).session();
    let path = format!("/api/v1/sessions/{gone}");
    amina.another_tab(&server).say(&gone, "canary-of-the-deleted");
    amina.another_tab(&server).delete(&path).expect(204);
    for step in ["deleted", "restarted", "compacted", "compacted and restarted", "compacted without a server"] {
        match step {
            "restarted" | "compacted and restarted" => server = server.restart(&no_copies),
            "compacted" => drop(server.command(&["compact", "-O", no_copies[0]], "").ok()),
            "compacted without a server" => {
                server.stop();
                server.command(&["compact", "-O", no_copies[0]], "").ok();
                server = server.restart(&no_copies);
            }
            _ => {}
        }
        for client in [&amina, &mallory] {
            let mut client = client.another_tab(&server);
            client.get(&path).expect(403);
            client.delete(&path).expect(403);
            create(&mut client, &gone).expect(403);
            client.post("/api/v1/chat/send", &json!({"message": "hi", "session_id": gone})).expect(403);
            client.try_say(&gone, "hi").expect(403);
            assert_eq!(client.history("")["total"], 0, "{step}");
            assert_eq!(client.get("/api/v1/chat/search?q=canary").expect(200).json()["total"], 0, "{step}");
            assert_eq!(client.get("/api/v1/sessions").expect(200).json()["sessions"], json!([]), "{step}");
        }
    }
    // The text itself has left the files, too.
    for file in ["journal", "index"].iter().flat_map(|part| std::fs::read_dir(server.data.join(part)).unwrap()) {
        let path = file.unwrap().path();
        let bytes = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
        assert!(!bytes.windows(20).any(|part| part == b"canary-of-the-delete"), "{} has it", path.display());
    }
}
