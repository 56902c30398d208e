//! Streams while replies are made: joining in the middle, reading slowly or not at all, leaving in every way, and the
//! orderly end.

use std::{
    io::Write,
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::json;

use crate::support::{
    Client, Events, PASSWORD, Raw, Server, comes_true,
    server::text as string,
    stub::Stub,
    tab::{Tab, number},
};

/// The settings of a server whose replies the stub makes, and these.
fn start(stub: &Stub, more: &[&str]) -> Server {
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    Server::start(&[&["reply.backend=openai", &base_url], more].concat())
}

/// How many streams are open.
fn streams(client: &mut Client) -> u64 {
    number(&client.get("/ready").expect(200).json()["parts"], "streams")
}

#[test]
fn who_joins_in_the_middle_of_a_reply_gets_its_text_so_far_in_one_delta_and_then_the_rest() {
    const WORDS: usize = 20;
    let stub = Stub::start();
    let server = start(&stub, &[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    amina.say(&session, "what was before");
    let words: Vec<String> = (0..WORDS).map(|n| format!("আমি{}\u{1F642}é{n} ", "া".repeat(n % 3))).collect();
    let mut first = Tab::of_session(&session);
    first.open(&mut amina).unwrap();
    assert!(first.hear_until(|tab| tab.known(&session).log.len() == 2));
    let turn = amina.say_and_follow(&session, &format!("[[gate join]] {}", words.concat()), &[]);
    let path = format!("/api/v1/sessions/{session}/events");
    let mut late: Vec<(usize, Events, String)> = Vec::new();
    // The last word may come with the message alone, which follows at once.
    for told in 0..WORDS {
        let so_far = words[..told].concat();
        assert!(
            first.hear_until(|tab| tab.known(&session).log.len() == 3 && tab.known(&session).drafts.of(3).1 == so_far)
        );
        // One that has seen nothing, one that knows the beginning, one that begins at the head, and one of all sessions.
        for (path, after, replayed) in
            [(&*path, Some(0), 3), (&path, Some(2), 1), (&path, None, 0), ("/api/v1/events", None, 0)]
        {
            let mut joins = amina.try_events(path, after).unwrap();
            let state = joins.next().unwrap();
            assert_eq!((state.name.as_str(), &state.data["head"]), ("state", &json!(3)));
            assert_eq!(state.data["turns"], json!({"1": "answered", "3": "pending"}));
            for seq in 4 - replayed..=3 {
                assert_eq!(joins.find("message").id, Some(seq), "{path} after {after:?}");
            }
            let mut text = String::new();
            if told > 0 {
                let delta = joins.next().unwrap();
                // The `done` of an earlier turn stands right behind its reply.
                let delta = if delta.name == "done" { joins.next().unwrap() } else { delta };
                assert_eq!((delta.name.as_str(), &delta.data["offset"]), ("delta", &json!(0)));
                text = string(&delta.data["text"]);
                assert_eq!(text, so_far, "{path} after {after:?} and {told} words");
            }
            late.push((told, joins, text));
        }
        stub.step("join");
    }
    for (told, mut joins, mut text) in late {
        let reply = loop {
            let event = joins.next().unwrap();
            match event.name.as_str() {
                "delta" => {
                    assert_eq!(event.data["offset"], text.chars().count(), "{told}: {event:?}");
                    text += event.data["text"].as_str().unwrap();
                }
                "message" => break event.data,
                other => assert_eq!(other, "session"),
            }
        };
        assert_eq!((reply["content"].as_str(), reply["reply_to"].as_u64()), (Some(&*words.concat()), Some(3)));
        assert!(words.concat().starts_with(&text));
        assert_eq!(joins.find("done").data["seq"], 4);
    }
    assert_eq!(turn.rest().last().unwrap().name, "done");
}

/// A connection whose client takes no more than a few KiB before it reads.
fn narrow(address: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(address).await.unwrap().into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
        stream
    })
}

/// The memory of a server, KiB.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Replies of 64 KiB that a slow tab has not read: 12.5 MiB for each.
const REPLIES: usize = 200;

/// [`REPLIES`] replies of 64 KiB to a user with `slow` tabs that read nothing meanwhile, and one that does; gives the server's
/// memory at the end of that.
fn long_replies(stub: &Stub, slow: usize) -> u64 {
    let server = start(stub, &[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let mut quick = Tab::of_session(&session);
    quick.open(&mut amina).unwrap();
    let tab = |n: usize| {
        if n.is_multiple_of(2) { Tab::of_session(&session) } else { Tab::of_user(std::slice::from_ref(&session)) }
    };
    let mut idle: Vec<Tab> = (0..slow).map(tab).collect();
    for tab in &mut idle {
        let (path, last) = tab.place();
        let stream = amina.events_over(narrow(server.address), &path, last).unwrap();
        tab.opened(stream, &mut amina).unwrap();
    }
    for n in 0..REPLIES {
        amina.say(&session, &format!("[[longline]] words of reply {n},"));
        assert!(quick.hear_until(|tab| tab.known(&session).log.len() == 2 * n + 2), "nobody waits for who is slow");
    }
    assert!(quick.hear_until(|tab| tab.known(&session).status(2 * REPLIES as u64 - 1) == "answered"));
    let memory = memory(&server);
    for tab in &mut idle {
        let has_all = |tab: &Tab| tab.known(&session).log.len() == 2 * REPLIES;
        tab.hear_until(has_all);
        let known = tab.known(&session).log.len();
        assert!(tab.has_ended() && known < 2 * REPLIES, "{known}: it was told that it is too slow");
        tab.open(&mut amina).unwrap();
        assert!(tab.hear_until(has_all));
    }
    quick.cut();
    for tab in &idle {
        assert_eq!(tab.known(&session).log.len(), quick.known(&session).log.len());
        for (told, wanted) in tab.known(&session).log.iter().zip(&quick.known(&session).log) {
            assert_eq!((&told["id"], &told["content"]), (&wanted["id"], &wanted["content"]));
        }
    }
    memory
}

#[test]
fn p6_who_does_not_read_is_cut_off_without_a_gap_and_costs_no_more_than_its_bounds() {
    const SLOW: usize = 4;
    let stub = Stub::start();
    let without = long_replies(&stub, 0);
    let with = long_replies(&stub, SLOW);
    eprintln!("slow readers: {without} KiB without, {with} KiB with four of them");
    // Two runs of the same server differ by some MiB, whoever reads: what would show is text that is kept for the slow.
    let kept_for_them = (SLOW * REPLIES * 64) as u64;
    assert!(with < without + kept_for_them / 2, "{without} KiB without slow readers, {with} KiB with them");
}

#[test]
fn p5_an_orderly_end_ends_idle_streams_at_once_and_hears_replies_out_that_come_in_time() {
    const IDLE: usize = 200;
    const RUNNING: usize = 20;
    let stub = Stub::start();
    let settings = ["concurrency.min=64", "server.shutdown_grace_ms=8000"];
    let mut server = start(&stub, &settings);
    let (mut amina, _) = server.user("amina");
    let sessions: Vec<String> = (0..RUNNING).map(|_| amina.session()).collect();
    let path = |n: usize| format!("/api/v1/sessions/{}/events", sessions[n % RUNNING]);
    let mut turns: Vec<Events> = Vec::new();
    for (n, session) in sessions.iter().enumerate() {
        let gate = ["soon", "never"][n % 2];
        let mut turn = amina.say_and_follow(session, &format!("[[gate {gate}]] one two three"), &[]);
        turn.find("message");
        turns.push(turn);
    }
    stub.wait_until(|stub| stub.replying() == RUNNING);
    let idle: Vec<Events> =
        (0..IDLE).map(|n| amina.events(&if n % 3 == 0 { "/api/v1/events".to_owned() } else { path(n) })).collect();
    assert_eq!(streams(&mut amina), (IDLE + RUNNING) as u64);
    server.signal("TERM");
    for mut stream in idle {
        while stream.next().is_some() {}
        assert!(stream.is_whole, "an idle stream ends, and does not break off");
    }
    stub.release("soon");
    for (n, mut turn) in turns.into_iter().enumerate() {
        let names: Vec<String> = std::iter::from_fn(|| turn.next()).map(|event| event.name).collect();
        let in_time = n % 2 == 0;
        assert_eq!((names.last().map(String::as_str) == Some("done"), turn.is_whole), (in_time, in_time), "{names:?}");
    }
    assert_eq!(server.wait().code(), Some(0));
    assert!(server.log().iter().any(|line| line.contains("the next start finishes them")), "{:?}", server.log());
    stub.release("never");
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    let server = server.restart(&[&["reply.backend=openai", base_url.as_str()], &settings[..]].concat());
    amina = amina.another_tab(&server);
    for (n, session) in sessions.iter().enumerate() {
        let mut tab = Tab::of_session(session);
        tab.open(&mut amina).unwrap();
        assert!(tab.hear_until(|tab| tab.known(session).log.len() == 2 && tab.known(session).status(1) == "answered"));
        assert_eq!(tab.known(session).log[1]["content"], "one two three", "session {n}");
    }
    assert_eq!(stub.seen().len(), RUNNING + RUNNING / 2, "those that were in time are not made again");
}

#[test]
fn p5_a_second_signal_waits_for_no_reply_and_the_next_start_makes_it() {
    let stub = Stub::start();
    let mut server = start(&stub, &["server.shutdown_grace_ms=600000"]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let mut idle = amina.events("/api/v1/events");
    let mut turn = amina.say_and_follow(&session, "[[gate end]] one two", &[]);
    stub.step("end");
    turn.find("delta");
    server.signal("TERM");
    while idle.next().is_some() {}
    assert!(idle.is_whole);
    server.signal("TERM");
    while turn.next().is_some() {}
    assert!(!turn.is_whole, "nobody takes half a reply for the whole");
    assert_eq!(server.wait().code(), Some(1));
    stub.release("end");
    let base_url = format!("reply.openai.base_url={}", stub.base_url());
    let server = server.restart(&["reply.backend=openai", &base_url]);
    amina = amina.another_tab(&server);
    comes_true("it is answered", || amina.page(&session, "")["messages"][0]["status"] == "answered");
    assert_eq!(amina.page(&session, "")["messages"][1]["content"], "one two");
}

#[test]
fn p6_whoever_leaves_a_stream_leaves_nothing_behind() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let token = amina.token.clone().unwrap();
    let mut open = Vec::new();
    for path in ["/api/v1/events".to_owned(), format!("/api/v1/sessions/{session}/events")] {
        for n in 0..10 {
            let rest =
                format!("{path} HTTP/1.{}\r\nhost: {}\r\nauthorization: Bearer {token}\r\n", n % 2, server.address);
            let mut head = Raw::to(&server);
            head.send(format!("HEAD {rest}connection: close\r\n\r\n"));
            let answer = head.answer().unwrap();
            assert_eq!((answer.status, answer.is_stream()), (200, true));
            assert!(head.is_closed(), "HEAD has no body");
            let mut get = Raw::to(&server);
            assert_eq!(get.send(format!("GET {rest}\r\n")).answer().unwrap().status, 200);
            open.push(get);
        }
    }
    assert_eq!(streams(&mut amina), 20, "those of HEAD are gone");
    drop(open);
    // A connection that was closed is found out when something is written to it.
    comes_true("all streams are gone", || {
        amina.say(&session, "are you there?");
        streams(&mut amina) == 0
    });
    server.is_calm();
}

#[test]
fn a_stream_ends_with_its_user_and_with_a_password_that_was_changed_elsewhere() {
    let server = Server::start(&[]);
    let whole = |mut stream: Events| {
        while stream.next().is_some() {}
        stream.is_whole
    };
    let both = |client: &mut Client| {
        let session = client.session();
        [client.events(&format!("/api/v1/sessions/{session}/events")), client.events("/api/v1/events")]
    };
    let (mut gone, _) = server.user("gone");
    let streams_of_gone = both(&mut gone);
    gone.send(
        "DELETE",
        "/api/v1/auth/me",
        &[("content-type", "application/json")],
        Some(json!({"password": PASSWORD}).to_string().as_bytes()),
    )
    .unwrap()
    .expect(204);
    assert!(streams_of_gone.into_iter().all(whole));

    let (mut barred, _) = server.user("barred");
    let streams_of_barred = both(&mut barred);
    server.command(&["user", "disable", "barred"], "").ok();
    assert!(streams_of_barred.into_iter().all(whole));

    let (mut laptop, _) = server.user("amina");
    let account = json!({"username": "amina", "password": PASSWORD});
    let mut phone = server.client();
    phone.token = Some(string(&phone.post("/api/v1/auth/login", &account).expect(200).json()["token"]));
    let (on_laptop, [mut of_session, mut of_all]) = (both(&mut laptop), both(&mut phone));
    let session = phone.session();
    phone.post("/api/v1/auth/password", &json!({"current": PASSWORD, "new": "another-lamp-entirely-7"})).expect(204);
    assert!(on_laptop.into_iter().all(whole));
    phone.say(&session, "this one stays");
    assert_eq!(of_all.find("message").data["content"], "this one stays");
    assert_eq!(of_session.next().unwrap().name, "state");
    assert_eq!(streams(&mut phone), 2);
}

#[test]
fn bytes_behind_the_request_and_a_client_that_says_no_more_do_not_end_a_stream() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let head = format!("host: {}\r\nauthorization: Bearer {}\r\n\r\n", server.address, amina.token.as_ref().unwrap());
    let get = format!("GET /api/v1/sessions/{session}/events HTTP/1.1\r\n{head}");
    let junk = format!("GET /health HTTP/1.1\r\n{head}").repeat(200);
    let mut open = Vec::new();
    for (behind, after, half_closed) in [("", "", true), (&*junk, "", false), ("", &junk, false), (&junk, &junk, true)]
    {
        let mut raw = Raw::to(&server);
        raw.send(format!("{get}{behind}"));
        if half_closed && after.is_empty() {
            raw.finish();
        }
        let (mut socket, mut stream) = raw.events();
        stream.find("state");
        socket.write_all(after.as_bytes()).unwrap();
        if half_closed && !after.is_empty() {
            socket.shutdown(Shutdown::Write).unwrap();
        }
        open.push(stream);
    }
    amina.say(&session, "can you hear me?");
    for stream in &mut open {
        assert_eq!(stream.find("message").data["content"], "can you hear me?");
        assert_eq!(stream.find("done").data["seq"], 2);
    }
    amina.delete(&format!("/api/v1/sessions/{session}")).expect(204);
    for mut stream in open {
        while stream.next().is_some() {}
        assert!(stream.is_whole);
    }
}
