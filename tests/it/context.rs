//! What a model server is told: the instructions, the newest whole turns that it has room for, the message, and nothing
//! else.

use serde_json::{Value, json};

use crate::support::{
    Client, list,
    model::{Draft, asking},
    stub::Stub,
};

/// What the newest request told the model: `[role, content]` of each message.
fn told(stub: &Stub) -> Vec<[String; 2]> {
    let body = stub.seen().last().unwrap().body.clone();
    let part = |message: &Value, name: &str| message[name].as_str().unwrap().to_owned();
    list(&body["messages"]).iter().map(|message| [part(message, "role"), part(message, "content")]).collect()
}

/// The same without the instructions.
fn conversation(stub: &Stub) -> Vec<[String; 2]> {
    let mut told = told(stub);
    assert_eq!(told.remove(0)[0], "system");
    is_whole(&told);
    told
}

/// The instructions of the newest request.
fn system(stub: &Stub) -> String {
    let told = told(stub);
    let [role, content] = &told[0];
    assert_eq!(role, "system");
    assert!(told[1..].iter().all(|[role, _]| role != "system"));
    content.clone()
}

/// Wants user and assistant to speak by turns, the user first and last.
#[track_caller]
fn is_whole(conversation: &[[String; 2]]) {
    for (n, [role, _]) in conversation.iter().enumerate() {
        assert_eq!(role, if n % 2 == 0 { "user" } else { "assistant" }, "{conversation:?}");
    }
    assert_eq!(conversation.len() % 2, 1, "{conversation:?}");
}

/// Turns as a conversation has them, and the message behind them.
fn turns(turns: &[(&str, &str)], last: &str) -> Vec<[String; 2]> {
    let both =
        |(message, reply): &(&str, &str)| [["user", message], ["assistant", reply]].map(|pair| pair.map(str::to_owned));
    let mut all: Vec<_> = turns.iter().flat_map(both).collect();
    all.push(["user", last].map(str::to_owned));
    all
}

#[test]
fn a_model_is_asked_as_it_is_configured() {
    for (settings, max_tokens) in [
        (&["reply.openai.model=llama-of-ours"][..], json!(1024)),
        (&["reply.openai.model=llama-of-ours", "reply.openai.max_tokens=77"], json!(77)),
        (&["reply.openai.model=llama-of-ours", "reply.openai.max_tokens=0"], json!(null)),
    ] {
        let stub = Stub::start();
        let server = asking(&stub, settings);
        let (mut client, _) = server.user("amina");
        let session = client.session();
        client.say(&session, "hello");
        let seen = stub.seen().remove(0);
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/v1/chat/completions"));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(seen.header("authorization"), None);
        let body = &seen.body;
        assert_eq!(
            [&body["model"], &body["stream"], &body["max_tokens"]],
            [&json!("llama-of-ours"), &json!(true), &max_tokens]
        );
        assert_eq!(body.as_object().unwrap().contains_key("max_tokens"), !max_tokens.is_null());
        assert_eq!(client.get("/api/v1/chat/health").json()["model"], "llama-of-ours");
    }
}

#[test]
fn a_model_is_told_who_it_is_by_the_program_the_operator_or_the_session() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let plain = client.session();
    client.say(&plain, "hello");
    let built_in = system(&stub);
    assert!(built_in.starts_with("You are Bondhu"), "{built_in}");

    let stub = Stub::start();
    let server = asking(&stub, &["reply.system_prompt=You are the operator's own."]);
    let (mut client, _) = server.user("amina");
    let is_told = |client: &mut Client, session: &str, wanted: &str| {
        client.say(session, "hello");
        assert_eq!(system(&stub), wanted);
    };
    let plain = client.session();
    is_told(&mut client, &plain, "You are the operator's own.");
    let own = client.post("/api/v1/sessions", &json!({"system_prompt": "Speak like a sailor. আহা!"})).expect(201).json();
    let own = crate::support::text(&own["id"]);
    let path = format!("/api/v1/sessions/{own}");
    is_told(&mut client, &own, "Speak like a sailor. আহা!");
    is_told(&mut client, &plain, "You are the operator's own.");
    client.json("PATCH", &path, &[], &json!({"title": "sea"})).expect(200);
    is_told(&mut client, &own, "Speak like a sailor. আহা!");
    client.json("PATCH", &path, &[], &json!({"system_prompt": "Speak like a cook."})).expect(200);
    is_told(&mut client, &own, "Speak like a cook.");
    client.retry(&own, 1).expect(201);
    assert_eq!(system(&stub), "Speak like a cook.");
    client.json("PATCH", &path, &[], &json!({"system_prompt": null})).expect(200);
    is_told(&mut client, &own, "You are the operator's own.");
}

#[test]
fn a_model_is_told_the_newest_whole_turns_that_it_has_room_for() {
    // Of 512 tokens, 256 are for the reply and 12 for the instructions. A turn of this test takes 97 of the others.
    let settings = ["reply.openai.context_tokens=512", "reply.openai.max_tokens=256", "reply.system_prompt=Be kind."];
    let stub = Stub::start();
    let server = asking(&stub, &settings);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let said = |n: usize| vec![((b'a' + u8::try_from(n).unwrap()) as char).to_string(); 39].join(" ");
    for n in 0..8 {
        client.say(&session, &said(n));
        let (mut asked, mut answered) = (Vec::new(), Vec::new());
        for before in n.saturating_sub(2)..n {
            asked.push(said(before));
            answered.push(format!("echo: {}", said(before)));
        }
        let pairs: Vec<_> =
            asked.iter().zip(&answered).map(|(asked, answered)| (asked.as_str(), answered.as_str())).collect();
        assert_eq!(conversation(&stub), turns(&pairs, &said(n)));
        let words: usize = told(&stub).iter().map(|[_, content]| content.split(' ').count()).sum();
        assert!(words <= 256, "{words}");
    }
    // One that is answered anew has what came before it.
    client.retry(&session, 3).expect(201);
    assert_eq!(conversation(&stub), turns(&[(&said(0), &format!("echo: {}", said(0)))], &said(1)));
    // A long message leaves room for one turn, a longer one for none, and is told whole itself.
    for (words, kept) in [(100, 1), (1000, 0)] {
        let long = vec!["x"; words].join(" ");
        let answer = client.say(&session, &format!("[[say]] {long}"));
        let told = conversation(&stub);
        assert_eq!((told.len(), &told[2 * kept][1]), (1 + 2 * kept, &format!("[[say]] {long}")));
        assert_eq!(answer["reply"]["content"], long);
    }
    // The last turn has no room now, and none before it is told in its place.
    client.say(&session, "short");
    assert_eq!(conversation(&stub), turns(&[], "short"));
}

#[test]
fn long_instructions_leave_less_room_and_never_none_for_the_message() {
    let settings = ["reply.openai.context_tokens=512", "reply.openai.max_tokens=256"];
    let stub = Stub::start();
    let server = asking(&stub, &settings);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    let path = format!("/api/v1/sessions/{session}");
    client.json("PATCH", &path, &[], &json!({"system_prompt": "Be kind."})).expect(200);
    client.say(&session, "one");
    client.say(&session, "two");
    assert_eq!(conversation(&stub).len(), 3);
    let long = vec!["ক"; 2000].join(" ");
    client.json("PATCH", &path, &[], &json!({"system_prompt": long})).expect(200);
    client.say(&session, "three");
    assert_eq!((system(&stub), conversation(&stub)), (long, turns(&[], "three")));
}

#[test]
fn a_model_is_told_only_what_was_said_and_stayed() {
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.context_tokens=100000"]);
    let (mut client, _) = server.user("amina");
    let (mut other, _) = server.user("bela");
    let [session, another, foreign] = [client.session(), client.session(), other.session()];
    client.say(&another, "canary of another session");
    other.say(&foreign, "canary of another user");

    client.say(&session, "first");
    client.try_say(&session, "[[status 400]] canary that failed").expect(502);
    client.try_say(&session, "[[resetmid]] canary that broke off").expect(502);
    // Stopped with some text, and before any.
    let mut events = client.session_events(&session);
    for (words, gate) in [(1, "some"), (0, "none")] {
        let content = format!("[[gate {gate}]] kept canary");
        let asked = stub.seen().len();
        let answer = client.begin_say(&session, &content);
        stub.wait_until(|stub| stub.seen().len() == asked + 1);
        for _ in 0..words {
            stub.step(gate);
        }
        let seq = client.log(&session).last().unwrap()["seq"].as_u64().unwrap();
        Draft::default().read_until(&mut events, if words == 1 { "kept " } else { "" });
        client.stop(&session, seq).expect(204);
        answer.join().unwrap().expect(201);
        events.find("done");
    }
    client.say(&session, "second");
    let before = [("first", "echo: first"), ("[[gate some]] kept canary", "kept ")];
    assert_eq!(conversation(&stub), turns(&before, "second"));

    // A reply that was replaced is not told; the new one stands where the old one stood.
    let seq = client.log(&session).last().unwrap()["reply_to"].as_u64().unwrap();
    stub.behave("tokens 40 0"); // Which says more than the first one did.
    let anew = client.retry(&session, seq).expect(201).json();
    assert_eq!(conversation(&stub), turns(&before, "second"));
    let said = anew["reply"]["content"].as_str().unwrap();
    assert!(said.starts_with("echo: second w2 w3"), "{said}");
    stub.behave("say");
    client.say(&session, "third");
    let before = [&before[..], &[("second", said)]].concat();
    assert_eq!(conversation(&stub), turns(&before, "third"));

    // What failed and is mended is told from then on, in its place.
    stub.behave("status 400");
    let failed = client.try_say(&session, "mended").expect(502);
    assert_eq!(failed.json()["status"], 502);
    stub.behave("say");
    let seq = client.log(&session).last().unwrap()["seq"].as_u64().unwrap();
    client.say(&session, "fourth");
    client.retry(&session, seq).expect(201);
    let before = [&before[..], &[("third", "echo: third")]].concat();
    assert_eq!(conversation(&stub), turns(&before, "mended"));
    client.say(&session, "fifth");
    let before = [&before[..], &[("mended", "echo: mended"), ("fourth", "echo: fourth")]].concat();
    assert_eq!(conversation(&stub), turns(&before, "fifth"));

    for seen in stub.seen() {
        let told = seen.body.to_string();
        assert!(!told.contains("amina") && !told.contains("bela") && !told.contains(&session), "{told}");
        let others =
            ["canary of another session", "canary of another user"].iter().filter(|canary| told.contains(*canary));
        assert!(others.count() == 0 || list(&seen.body["messages"]).len() == 2, "{told}");
    }
}

#[test]
fn a_cleared_session_begins_anew_for_its_model() {
    let stub = Stub::start();
    let server = asking(&stub, &[]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    client.say(&session, "canary");
    client.delete("/api/v1/chat/history").expect(204);
    client.say(&session, "after");
    assert_eq!(conversation(&stub), turns(&[], "after"));
}

#[test]
fn a_long_conversation_is_told_as_far_as_the_model_can_look_back() {
    const TURNS: usize = 120;
    let stub = Stub::start();
    let server = asking(&stub, &["reply.openai.context_tokens=1000000"]);
    let (mut client, _) = server.user("amina");
    let session = client.session();
    for n in 0..TURNS {
        client.say(&session, &format!("message {n}"));
    }
    let told = conversation(&stub);
    assert_eq!(told.len(), 2 * TURNS - 1);
    for (n, turn) in told.chunks(2).enumerate() {
        assert_eq!(turn[0][1], format!("message {n}"));
        assert!(turn.get(1).is_none_or(|reply| reply[1] == format!("echo: message {n}")));
    }
}
