//! Clients that drop at any byte of what they send or read: nothing of one user reaches another, nothing stays taken, and
//! what was stored is whole.
//!
//! `BONDHU_STORM=N` makes the random storm N times as long.

use std::{
    collections::HashSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::json;

use crate::support::{Client, Random, Server, UNHURRIED, at_once, list, stub::Stub, text};

const USERS: usize = 12;
const ROUNDS: usize = 40;

fn canary(user: usize) -> String {
    format!("canary-{user:04}-of")
}

/// Reads up to `most` bytes, and no longer than something comes.
fn some(connection: &mut TcpStream, most: usize) -> Vec<u8> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    while read.len() < most {
        let room = buffer.len().min(most - read.len());
        match connection.read(&mut buffer[..room]) {
            Ok(0) | Err(_) => break,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
        }
    }
    read
}

fn request(client: &Client, method: &str, path: &str, body: &str) -> Vec<u8> {
    let token = client.token.as_ref().unwrap();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One of the calls that an application makes all day.
fn any_call(client: &Client, session: &str, words: &str, random: &mut Random) -> Vec<u8> {
    let messages = format!("/api/v1/sessions/{session}/messages");
    match random.below(8) {
        0 | 1 => request(client, "POST", &messages, &json!({"content": words}).to_string()),
        2 => request(client, "POST", &messages, &json!({"content": words, "stream": true}).to_string()),
        3 => {
            let body = json!({"message": words, "session_id": session}).to_string();
            request(client, "POST", "/api/v1/chat/send", &body)
        }
        4 => request(client, "GET", &messages, ""),
        5 => request(client, "GET", "/api/v1/chat/history", ""),
        6 => request(client, "GET", "/api/v1/chat/search?q=canary", ""),
        _ => request(client, "GET", &format!("/api/v1/sessions/{session}/events?after=0"), ""),
    }
}

/// Wants only canaries of this user in what it was sent.
fn is_own(user: usize, bytes: &[u8]) {
    let shown = String::from_utf8_lossy(bytes);
    let own = format!("{user:04}");
    for (at, found) in shown.match_indices("canary-") {
        // It may be cut off, where the reading or a delta was.
        let number: String = shown[at + found.len()..].chars().take_while(char::is_ascii_digit).collect();
        assert!(own.starts_with(&number), "user {user} was sent what is of {number}: {shown}");
    }
}

#[test]
fn p4_clients_that_drop_at_random_bytes_get_nothing_of_others_and_leave_nothing_taken() {
    let rounds = ROUNDS * std::env::var("BONDHU_STORM").map_or(1, |times| times.parse().unwrap());
    let stub = Stub::start();
    stub.behave("tokens 6 2");
    let url = format!("reply.openai.base_url={}", stub.base_url());
    let server = Server::start(&["reply.backend=openai", &url, "server.workers=3", UNHURRIED]);
    let mut seeds = Random::seeded("storms");
    let users: Vec<_> =
        (0..USERS).map(|n| (server.user(&format!("user-{n}")).0.another_tab(&server), seeds.fork())).collect();
    let sessions: Vec<_> = users.iter().map(|(client, _)| client.another_tab(&server).session()).collect();
    at_once(USERS, |user| {
        let (client, random) = &users[user];
        let (mut random, session) = (random.clone(), &sessions[user]);
        for round in 0..rounds {
            let words = format!("{} message {round}, and some more words for it", canary(user));
            let bytes = any_call(client, session, &words, &mut random);
            let mut connection = TcpStream::connect(server.address).unwrap();
            connection.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let cut = if random.one_in(2) { random.below(bytes.len()) } else { bytes.len() };
            let _ = connection.write_all(&bytes[..cut]);
            let most = if random.one_in(3) { 1 << 20 } else { random.below(2000) };
            if cut == bytes.len() {
                is_own(user, &some(&mut connection, most));
            } // Else it is dropped in the middle of what it says.
        }
    });
    server.settles();
    stub.wait_until(|stub| stub.replying() == 0);
    for (user, (client, _)) in users.iter().enumerate() {
        let mut client = client.another_tab(&server);
        let page = client.page(&sessions[user], "?limit=200");
        is_own(user, page.to_string().as_bytes());
        let mut answered = HashSet::new();
        for message in list(&page["messages"]) {
            if message["role"] == "user" {
                let content = text(&message["content"]);
                assert!(content.ends_with("some more words for it"), "a part of a message was stored: {content}");
                assert_eq!(message["status"], "answered", "{message}");
            } else {
                assert!(answered.insert(message["reply_to"].as_u64()), "two replies: {page}");
            }
        }
    }
    server.is_calm();
}

#[test]
fn p5_a_request_that_is_cut_at_any_byte_is_stored_whole_or_not_at_all() {
    let server = Server::start(&[]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let body = json!({"content": "every byte of it"}).to_string();
    let bytes = request(&amina, "POST", &format!("/api/v1/sessions/{session}/messages"), &body);
    for cut in 0..bytes.len() {
        let mut connection = TcpStream::connect(server.address).unwrap();
        let _ = connection.write_all(&bytes[..cut]);
    }
    server.settles_but(1);
    assert_eq!(amina.page(&session, "")["head"], 0);
    amina.say(&session, "every byte of it");
    server.settles_but(1);
    server.is_calm();
}

#[test]
fn p6_an_answer_that_is_reset_at_any_byte_leaves_no_slot_taken() {
    let server = Server::start(&["concurrency.min=1", "concurrency.max=1", UNHURRIED]);
    let (mut amina, _) = server.user("amina");
    let session = amina.session();
    let path = format!("/api/v1/sessions/{session}/messages");
    let answer = amina.say(&session, "hello").to_string();
    for cut in 0..answer.len() + 400 {
        // What is not read when the socket closes makes the close a reset.
        let mut connection = TcpStream::connect(server.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (method, body) =
            if cut % 8 == 0 { ("POST", json!({"content": "hello"}).to_string()) } else { ("GET", String::new()) };
        connection.write_all(&request(&amina, method, &path, &body)).unwrap();
        some(&mut connection, cut);
    }
    server.settles_but(1);
    let page = amina.page(&session, "?limit=200");
    assert!(list(&page["messages"]).iter().all(|message| message["status"] != "pending"));
    server.is_calm();
}
