//! Two imports of one file at the same time: whichever is first, every message is there once.

use std::{collections::HashSet, fmt::Write as _, path::Path};

use serde_json::{Value, json};

use crate::support::{Server, at_once, data::check_passes, server::text};

/// Conversations of ChatGPT, each a question and its answer.
fn conversations(path: &Path) {
    let node = |id: &str, parent: Option<&str>, child: Option<&str>, role: &str, time: u64| {
        let message = json!({"id": format!("m-{id}"), "author": {"role": role}, "create_time": time,
            "content": {"content_type": "text", "parts": [format!("said {id}")]}});
        json!({"id": id, "parent": parent, "children": child.into_iter().collect::<Vec<_>>(), "message": message})
    };
    let conversation = |n: u64| {
        let (question, answer, time) = (format!("q{n}"), format!("a{n}"), 1_740_000_000 + n);
        json!({"title": format!("talk {n}"), "create_time": time, "current_node": answer, "id": format!("talk-{n}"), "mapping": {
            &question: node(&question, None, Some(&answer), "user", time),
            &answer: node(&answer, Some(&question), None, "assistant", time),
        }})
    };
    let all: Vec<Value> = (0..150).map(conversation).collect();
    std::fs::write(path, serde_json::to_vec(&all).unwrap()).unwrap();
}

/// The old table, with a few sessions of many turns.
fn table(path: &Path) {
    let mut rows = "id,user_id,session_id,sender_type,message_text,timestamp,mood_detected\n".to_owned();
    for session in 0..4 {
        for turn in 0..400 {
            for (sender, second) in [("user", 0), ("ai", 30)] {
                let (hour, minute) = (turn / 60, turn % 60);
                let said = format!("{sender} {turn} of {session} {}", "words ".repeat(100));
                let time = format!("2025-05-01T{hour:02}:{minute:02}:{second:02}Z");
                writeln!(rows, "{session}-{turn}-{sender},u,session-{session},{sender},{said},{time},").unwrap();
            }
        }
    }
    std::fs::write(path, rows).unwrap();
}

fn each_message_once(write: fn(&Path), name: &str, sessions: u64, messages: u64) {
    let mut server = Server::start(&[]);
    server.user("alice");
    let file = server.dir().path().join(name);
    write(&file);
    let import = || server.command(&["import", file.to_str().unwrap(), "--user", "alice"], "").ok();
    let said = at_once(2, |_| import());
    let export = server.command(&["export", "--user", "alice"], "").ok();
    let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stored = || lines.iter().filter(|line| line["type"] == "message");
    let different: HashSet<String> = stored().map(|line| text(&line["id"])).collect();
    assert_eq!((stored().count() as u64, different.len() as u64), (messages, messages), "stored, different: {said:?}");
    // Each reply answers its own message, and none stands in another's place.
    for reply in stored().filter(|line| line["role"] == "assistant") {
        assert_eq!(
            (&reply["status"], reply["reply_to"].as_u64().map(|of| of + 1)),
            (&json!("complete"), reply["seq"].as_u64())
        );
    }
    let count = |name: &str, at: usize| {
        let of = |said: &String| {
            let line = said.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap()
        };
        said.iter().map(of).sum::<u64>()
    };
    assert_eq!((count("messages", 1), count("messages", 3)), (messages, messages), "added, there: {said:?}");
    assert_eq!((count("sessions", 1), count("sessions", 3), count("sessions", 5)), (sessions, sessions, 0), "{said:?}");
    assert!(!said.iter().any(|said| said.contains("left out   ")), "{said:?}");
    assert!(import().contains(&format!("messages    0 added, {messages} there already")));
    server.is_calm();
    assert!(server.stop().success());
    check_passes(&server.data);
}

#[test]
fn two_imports_of_many_conversations_at_once_store_each_message_once() {
    each_message_once(conversations, "conversations.json", 150, 300);
}

#[test]
fn two_imports_of_long_sessions_at_once_store_each_message_once() {
    each_message_once(table, "table.csv", 4, 3200);
}
