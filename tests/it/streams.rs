//! Event streams: what a tab hears, from the beginning, from the middle, and until the end.

use serde_json::{Value, json};

use crate::support::{Event, Events, Server, text};

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

/// The messages of a session, as its page has them.
fn log(client: &mut crate::support::Client, session: &str) -> Vec<Value> {
    client.page(session, "?limit=200")["messages"].as_array().unwrap().clone()
}

#[test]
fn a_message_is_followed_from_the_disk_to_its_reply() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let stream = amina.say_and_follow(&session, "I lost my umbrella", &[]);
    assert_eq!(stream.head.status, 200);
    let events = stream.rest();
    let log = log(&mut amina, &session);
    let of_turn: Vec<&Event> = events.iter().filter(|event| event.name != "delta").collect();
    assert_eq!(of_turn[0].data["content"], "I lost my umbrella");
    assert_eq!((of_turn[0].id, &of_turn[0].data["status"]), (Some(1), &json!("pending")));
    assert_eq!((of_turn[1].id, &of_turn[1].data), (Some(2), &log[1]));
    assert_eq!(
        (of_turn[2].name.as_str(), &of_turn[2].data),
        ("done", &json!({"reply_to": 1, "seq": 2, "status": "answered"}))
    );
    assert_eq!(of_turn.len(), 3);
}

#[test]
fn p3_every_tab_hears_every_message_once_and_one_that_comes_back_hears_what_it_missed() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let path = format!("/api/v1/sessions/{session}/events");
    let mut early = amina.events(&path);
    assert_eq!(early.find("state").data, json!({"head": 0, "turns": {}}));
    for n in 0..3 {
        amina.say(&session, &format!("message {n}"));
    }
    let heard: Vec<Value> = (0..6).map(|_| early.find("message").data).collect();
    let log = log(&mut amina, &session);
    assert_eq!(heard.iter().map(|message| &message["seq"]).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(heard[5], log[5]);
    for after in 0..=7 {
        for mut late in [amina.events(&format!("{path}?after={after}")), amina.events_after(&path, after)] {
            let state = late.next().unwrap();
            assert_eq!((state.name.as_str(), &state.data["head"]), ("state", &json!(6)));
            assert_eq!(state.data["turns"], json!({"1": "answered", "3": "answered", "5": "answered"}));
            for message in log.iter().skip(usize::try_from(after).unwrap()) {
                let event = late.find("message");
                assert_eq!((event.id, &event.data), (message["seq"].as_u64(), message));
                if message["role"] == "assistant" {
                    let done = late.next().unwrap();
                    assert_eq!((done.name.as_str(), &done.data["seq"]), ("done", &message["seq"]));
                }
            }
            assert_eq!(names(&late.within(std::time::Duration::from_millis(30))), [""; 0], "after {after}");
        }
    }
}

#[test]
fn one_stream_tells_of_all_sessions_and_of_nobody_elses() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (mut bela, _) = server.user("bela");
    let old = amina.session();
    amina.say(&old, "before");
    let mut page = amina.events("/api/v1/events");
    assert_eq!(page.find("state").data, json!({"session_id": old, "head": 2, "turns": {"1": "answered"}}));
    let new = amina.session();
    assert_eq!((&page.find("session").data["change"], true), (&json!("created"), true));
    let foreign = bela.session();
    bela.say(&foreign, "not for amina");
    amina.json("PATCH", &format!("/api/v1/sessions/{new}"), &[], &json!({"title": "river"})).expect(200);
    let renamed = page.find("session");
    assert_eq!((&renamed.data["change"], &renamed.data["session"]["title"]), (&json!("renamed"), &json!("river")));
    amina.say(&new, "hello");
    let message = page.find("message");
    assert_eq!([text(&message.data["session_id"]), text(&message.data["content"])], [new.as_str(), "hello"]);
    assert_eq!((&page.find("done").data["session_id"], message.id), (&json!(new), None));
    let mut tab = amina.events(&format!("/api/v1/sessions/{new}/events"));
    amina.delete("/api/v1/chat/history").expect(204);
    while page.find("session").data["change"] != "cleared" {}
    let cleared = tab.find("session").data;
    assert_eq!((&cleared["change"], &cleared["through"]), (&json!("cleared"), &json!(2)));
    amina.delete(&format!("/api/v1/sessions/{new}")).expect(204);
    while page.find("session").data != json!({"session_id": new, "change": "deleted"}) {}
}

/// Drops what comes until the stream ends; a test that waits for ever fails by the client's patience.
fn ends(stream: Events) {
    let _ = stream.rest();
}

/// The names and places of the next events.
fn told<const COUNT: usize>(mut stream: Events) -> [(String, Value); COUNT] {
    std::array::from_fn(|_| {
        let event = stream.next().expect("the stream goes on");
        let place = if event.name == "session" { "through" } else { "seq" };
        let place = event.data[place].clone();
        (event.name, place)
    })
}

#[test]
fn p3_who_was_away_when_the_history_was_cleared_hears_of_it_once_more() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let path = format!("/api/v1/sessions/{session}/events");
    amina.say(&session, "one");
    amina.delete("/api/v1/chat/history").expect(204);
    let event = |name: &str, place: Value| (name.to_owned(), place);
    let [state, cleared] = told(amina.events_after(&path, 1));
    assert_eq!([state, cleared.clone()], [event("state", json!(null)), event("session", json!(2))]);
    amina.say(&session, "two");
    // Whoever had both hears of it before the first message that is there; whoever has that one has heard of it.
    assert_eq!(told::<3>(amina.events_after(&path, 2))[1..], [cleared, event("message", json!(3))]);
    assert_eq!(told::<2>(amina.events_after(&path, 3))[1..], [event("message", json!(4))]);
    // Who had nothing lost nothing.
    assert_eq!(told::<2>(amina.events_after(&path, 0))[1..], [event("message", json!(3))]);
    server.is_calm();
}

#[test]
fn a_stream_ends_with_its_login_its_session_and_its_server() {
    let mut server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let (session, doomed) = (amina.session(), amina.session());
    let of_session = |id: &str| format!("/api/v1/sessions/{id}/events");

    let stream = amina.events(&of_session(&doomed));
    amina.delete(&format!("/api/v1/sessions/{doomed}")).expect(204);
    ends(stream);

    let account = json!({"username": "amina", "password": crate::support::PASSWORD});
    let mut phone = server.client();
    phone.token = Some(text(&phone.post("/api/v1/auth/login", &account).expect(200).json()["token"]));
    let (on_phone, all_on_phone) = (phone.events(&of_session(&session)), phone.events("/api/v1/events"));
    let mut on_laptop = amina.events(&of_session(&session));
    phone.post("/api/v1/auth/logout", &json!({})).expect(204);
    ends(on_phone);
    ends(all_on_phone);
    amina.say(&session, "still here");
    assert_eq!(on_laptop.find("message").data["content"], "still here");

    let all = amina.events("/api/v1/events");
    server.signal("TERM");
    ends(on_laptop);
    ends(all);
    assert!(server.wait().success());
}
