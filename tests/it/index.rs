//! The index is not the truth: whatever becomes of it, nothing that was acknowledged is missing.

use std::{fs::File, os::unix::fs::FileExt};

use serde_json::json;

use crate::support::{Client, Server};

/// sled drops everything behind a damaged place of its log, without a word. What was lost so was once served as an
/// empty session, whose sequence numbers were then given out again.
#[test]
fn a_byte_that_changed_in_the_index_costs_a_rebuild_and_no_message() {
    for tenth in [1, 5, 9] {
        let mut server = Server::start(&[]);
        let (mut client, _) = server.user("amina");
        let session = client.post("/api/v1/sessions", &json!({})).expect(201).json()["id"].clone();
        let path = format!("/api/v1/sessions/{}/messages", session.as_str().unwrap());
        for n in 0..40 {
            client.post(&path, &json!({"content": format!("message {n} {}", "~".repeat(1000))})).expect(201);
        }
        let page = format!("{path}?limit=200");
        let before = client.get(&page).expect(200).json();
        assert_eq!(before["head"], 80);
        assert!(server.stop().success());

        let db = server.data.join("index/db");
        let bytes = std::fs::read(&db).unwrap();
        let places: Vec<usize> = (0..bytes.len() - 8).filter(|&at| bytes[at..].starts_with(b"~~~~~~~~")).collect();
        let place = places[places.len() * tenth / 10];
        File::options().write(true).open(&db).unwrap().write_all_at(b"!", place as u64).unwrap();

        let server = server.restart(&[]);
        let mut client = Client::with_token(server.address, client.token.as_ref().unwrap());
        assert_eq!(client.get(&page).expect(200).json(), before, "a byte changed at {tenth} tenths");
        client.post(&path, &json!({"content": "on"})).expect(201);
        assert_eq!(client.get(&page).expect(200).json()["head"], 82);
    }
}
