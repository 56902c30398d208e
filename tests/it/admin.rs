//! What administrators do with accounts through the API.

use serde_json::{Value, json};

use crate::support::{Client, PASSWORD, Server, text};

fn login(server: &Server, name: &str, password: &str) -> Client {
    let mut client = server.client();
    let answer = client.post("/api/v1/auth/login", &json!({"username": name, "password": password})).expect(200).json();
    client.token = Some(text(&answer["token"]));
    client
}

fn admin(server: &Server) -> Client {
    server.add_admin("root");
    login(server, "root", PASSWORD)
}

fn names(list: &Value) -> Vec<String> {
    list["users"].as_array().unwrap().iter().map(|user| text(&user["username"])).collect()
}

#[test]
fn accounts_are_listed_by_name_page_by_page_with_what_they_have() {
    let server = Server::start(&[]);
    let mut root = admin(&server);
    for name in ["Zoe", "amina", "Amal", "বন্ধু"] {
        server.user(name);
    }
    let mut amina = login(&server, "amina", PASSWORD);
    amina.session();
    let all = root.get("/api/v1/admin/users").expect(200).json();
    assert_eq!(
        (names(&all), &all["next"]),
        (["Amal", "amina", "root", "Zoe", "বন্ধু"].map(String::from).to_vec(), &Value::Null)
    );
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = root.get(&format!("/api/v1/admin/users?limit=2{cursor}")).expect(200).json();
        paged.extend(names(&page));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, names(&all));
    assert_eq!(names(&root.get("/api/v1/admin/users?q=AM").expect(200).json()), ["Amal", "amina"]);
    assert_eq!(names(&root.get("/api/v1/admin/users?q=am&limit=1&cursor=amal").expect(200).json()), ["amina"]);
    assert_eq!(names(&root.get("/api/v1/admin/users?q=nobody").expect(200).json()), Vec::<String>::new());
    let shown = &all["users"][1];
    let id = text(&shown["id"]);
    assert_eq!((&shown["logins"], &shown["sessions"], &shown["disabled"]), (&json!(2), &json!(1), &json!(false)));
    assert!(shown["last_used_at"].is_string() && shown.get("password").is_none());
    assert_eq!(&root.get(&format!("/api/v1/admin/users/{id}")).expect(200).json()["user"], shown);
    for nobody in ["x".to_owned(), uuid::Uuid::now_v7().to_string()] {
        root.get(&format!("/api/v1/admin/users/{nobody}")).expect(404);
    }
}

#[test]
fn a_change_of_an_account_holds_from_the_next_request_on() {
    let server = Server::start(&["limits.free.requests_per_minute=2", "limits.premium.requests_per_minute=0"]);
    let mut root = admin(&server);
    let (mut amina, id) = server.user("amina");
    let path = format!("/api/v1/admin/users/{id}");
    let edit = |root: &mut Client, body: Value| root.json("PATCH", &path, &[], &body);
    while amina.get("/api/v1/auth/me").status == 200 {}
    assert_eq!(edit(&mut root, json!({"tier": "premium"})).expect(200).json()["user"]["tier"], "premium");
    assert_eq!(amina.get("/api/v1/auth/me").expect(200).json()["user"]["tier"], "premium");
    amina.get("/api/v1/admin/users").expect(403);
    edit(&mut root, json!({"role": "admin"})).expect(200);
    amina.get("/api/v1/admin/users").expect(200);
    let both = edit(&mut root, json!({"role": "user", "tier": "unlimited", "disabled": true})).expect(200).json();
    assert_eq!((&both["user"]["role"], &both["user"]["disabled"]), (&json!("user"), &json!(true)));
    assert_eq!(both["user"]["logins"], 0);
    amina.get("/api/v1/auth/me").expect(401);
    edit(&mut root, json!({"disabled": false})).expect(200);
    login(&server, "amina", PASSWORD).get("/api/v1/auth/me").expect(200);
    for (body, field) in [
        (json!({}), "role"),
        (json!({"role": "owner"}), "role: must be `user` or `admin`"),
        (json!({"username": "x"}), "username"),
    ] {
        let refused = edit(&mut root, body).expect(422).json();
        assert!(text(&refused["detail"]).starts_with(field), "{refused}");
    }
}

#[test]
fn administrators_cant_shut_themselves_out() {
    let server = Server::start(&[]);
    let mut root = admin(&server);
    let id = text(&root.get("/api/v1/auth/me").expect(200).json()["user"]["id"]);
    let path = format!("/api/v1/admin/users/{id}");
    for body in [json!({"role": "user"}), json!({"disabled": true}), json!({"disabled": true, "tier": "premium"})] {
        let refused = root.json("PATCH", &path, &[], &body).expect(409).json();
        assert_eq!(refused["type"], "urn:bondhu:problem:own-account");
    }
    assert_eq!(root.get(&path).expect(200).json()["user"]["tier"], "free", "nothing of it is done");
    root.json("PATCH", &path, &[], &json!({"tier": "premium", "role": "admin"})).expect(200);
}

#[test]
fn a_reset_password_and_the_end_of_all_logins_put_every_device_out() {
    let server = Server::start(&[]);
    let mut root = admin(&server);
    let (mut amina, id) = server.user("amina");
    let mut phone = login(&server, "amina", PASSWORD);
    let mut stream = amina.events("/api/v1/events");
    let path = format!("/api/v1/admin/users/{id}");
    root.delete(&format!("{path}/tokens")).expect(204);
    while stream.next().is_some() {}
    for client in [&mut amina, &mut phone] {
        client.get("/api/v1/auth/me").expect(401);
    }
    let mut again = login(&server, "amina", PASSWORD);
    root.post(&format!("{path}/password"), &json!({"password": "short"})).expect(422);
    again.get("/api/v1/auth/me").expect(200);
    root.post(&format!("{path}/password"), &json!({"password": "seven green umbrellas"})).expect(204);
    again.get("/api/v1/auth/me").expect(401);
    server.client().post("/api/v1/auth/login", &json!({"username": "amina", "password": PASSWORD})).expect(401);
    login(&server, "amina", "seven green umbrellas");
    let log = server.settled_log();
    for what in ["all logins were ended", "a password was reset"] {
        assert!(log.iter().any(|line| line.contains(what) && line.contains(&id)), "{what}: {log:?}");
    }
    assert!(!log.iter().any(|line| line.contains("umbrellas")), "{log:?}");
    let nobody = uuid::Uuid::now_v7();
    root.delete(&format!("/api/v1/admin/users/{nobody}/tokens")).expect(404);
    root.post(&format!("/api/v1/admin/users/{nobody}/password"), &json!({"password": "seven green umbrellas"}))
        .expect(404);
}

#[test]
fn an_administrator_invites_one_person() {
    let server = Server::start(&["auth.registration=invite"]);
    let mut root = admin(&server);
    let code = text(&root.post("/api/v1/admin/invitations", &json!({})).expect(201).json()["code"]);
    let register = |name: &str, code: &str| {
        let body = json!({"username": name, "password": PASSWORD, "invitation": code});
        server.client().post("/api/v1/auth/register", &body)
    };
    register("amina", "bondhu_no").expect(403);
    register("amina", &code).expect(201);
    register("mallory", &code).expect(403);
}

#[test]
fn p3_a_cleared_cache_fills_again_and_nothing_that_is_read_is_another() {
    let server = Server::start(&[]);
    let mut root = admin(&server);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "what I said");
    let before = amina.page(&session, "");
    let held = root.json("DELETE", "/api/v1/admin/cache", &[], &json!({})).expect(200).json();
    assert!(
        held["sessions"]["entries"].as_u64().unwrap() >= 1 && held["tokens"]["bytes"].as_u64().unwrap() > 0,
        "{held}"
    );
    let empty = root.get("/api/v1/admin/cache").expect(200).json();
    assert_eq!((&empty["sessions"]["entries"], &empty["sessions"]["bytes"]), (&json!(0), &json!(0)));
    assert_eq!(amina.page(&session, ""), before);
    amina.say(&session, "and more");
    assert_eq!(amina.page(&session, "")["messages"].as_array().unwrap().len(), 4);
    let filled = root.get("/api/v1/admin/cache").expect(200).json();
    assert!(filled["sessions"]["entries"].as_u64().unwrap() >= 1, "{filled}");
}
