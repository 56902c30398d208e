//! Many people at once, from several tabs: everything that was said is there, in order, with its own reply.

use serde_json::{Value, json};

use crate::support::{Client, Server, at_once, list, text};

const USERS: usize = 50;
const SENDS: usize = 20;

/// A turn as its sender was told of it.
struct Turn {
    message: String,
    message_id: String,
    response: String,
    reply_id: String,
}

/// What is said: no two texts of this test are alike, so that a foreign or doubled one shows.
fn canary(user: usize, turn: usize) -> String {
    format!("canary-{user}-{turn}: I worry about my exam number {turn}")
}

/// Sends by the old client's call, or by the native one.
fn send(tab: &mut Client, session: &mut Option<String>, natively: bool, message: &str) -> Turn {
    if let Some(session) = session.as_ref().filter(|_| natively) {
        let answer = tab.say(session, message);
        assert_eq!(answer["message"]["content"], message);
        assert_eq!(answer["reply"]["reply_to"], answer["message"]["seq"]);
        let [message_id, reply_id] = ["message", "reply"].map(|part| text(&answer[part]["id"]));
        return Turn { message: message.to_owned(), message_id, response: text(&answer["reply"]["content"]), reply_id };
    }
    let body = json!({"message": message, "session_id": session});
    let answer = tab.post("/api/v1/chat/send", &body).expect(200).json();
    let of = text(&answer["session_id"]);
    assert_eq!(session.get_or_insert_with(|| of.clone()), &of);
    Turn {
        message: message.to_owned(),
        message_id: text(&answer["user_message_id"]),
        response: text(&answer["response"]),
        reply_id: text(&answer["message_id"]),
    }
}

/// Wants exactly these turns in the native page and in the old client's history.
fn shows(tab: &mut Client, session: &str, turns: &[Turn]) {
    let page = tab.page(session, "?limit=200");
    let pairs: Vec<[Value; 2]> = (1..)
        .zip(turns)
        .map(|(n, turn)| {
            let (asked, answered) = (2 * n - 1, 2 * n);
            [
                json!([asked, turn.message_id, "user", turn.message, null, "answered"]),
                json!([answered, turn.reply_id, "assistant", turn.response, asked, "complete"]),
            ]
        })
        .collect();
    let fields = ["seq", "id", "role", "content", "reply_to", "status"];
    let shown = list(&page["messages"]).iter().map(|message| json!(fields.map(|field| &message[field])));
    assert_eq!(shown.collect::<Vec<_>>(), pairs.concat());
    assert_eq!((&page["head"], &page["has_more"]), (&json!(2 * turns.len()), &json!(false)));

    let history = tab.history("?_t=17");
    let wanted = turns.iter().map(|turn| json!([turn.reply_id, session, turn.message, turn.response, "answered"]));
    let fields = ["id", "session_id", "message", "response", "status"];
    let shown = list(&history["messages"]).iter().map(|pair| json!(fields.map(|field| &pair[field])));
    assert_eq!(shown.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    assert_eq!(history["total"], turns.len());
}

#[test]
fn p3_fifty_users_with_two_tabs_each_see_all_that_they_sent_after_every_send() {
    let server = Server::start(&[]);
    at_once(USERS, |user| {
        let (mut first, _) = server.user(&format!("user-{user}"));
        let mut second = first.another_tab(&server);
        let (mut session, mut turns) = (None, Vec::new());
        for n in 0..SENDS {
            let (sender, reader) = if n % 3 == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
            turns.push(send(sender, &mut session, n % 2 == 1, &canary(user, n)));
            shows(reader, session.as_ref().unwrap(), &turns);
            shows(sender, session.as_ref().unwrap(), &turns);
        }
    });
    server.is_calm();
    let threads = std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count();
    assert!(threads <= 32, "{threads} threads after {USERS} users at once");
}

#[test]
fn p2_twenty_sends_at_once_into_one_session_are_all_there_each_with_its_own_reply() {
    // More workers than cores, and several rounds: what depends on luck gets its chance.
    let server = Server::start(&["server.workers=8"]);
    let (mut client, _) = server.user("amina");
    let tabs: Vec<_> = (0..SENDS).map(|_| std::sync::Mutex::new(client.another_tab(&server))).collect();
    for round in 0..10 {
        let session = client.session();
        let say = |n: usize| tabs[n].lock().unwrap().say(&session, &canary(round, n));
        let answers = at_once(SENDS, say);
        let page = client.page(&session, "?limit=200");
        let messages = list(&page["messages"]);
        assert_eq!(messages.len(), 2 * SENDS);
        assert!(messages.iter().zip(1..).all(|(message, seq)| message["seq"] == seq), "{page}");
        for (n, answer) in answers.iter().enumerate() {
            assert_eq!(answer["message"]["content"], canary(round, n));
            assert_eq!(answer["reply"]["reply_to"], answer["message"]["seq"]);
            for part in ["message", "reply"] {
                assert!(messages.contains(&answer[part]), "{} is not shown as it was answered", answer[part]);
            }
        }
        let (asked, replies): (Vec<_>, Vec<_>) = messages.iter().partition(|message| message["role"] == "user");
        assert_eq!((asked.len(), replies.len()), (SENDS, SENDS));
        let answered: Vec<_> = replies.iter().map(|reply| &reply["reply_to"]).collect();
        let in_order: Vec<_> = asked.iter().map(|message| &message["seq"]).collect();
        assert_eq!(answered, in_order, "replies come in the order of their messages");

        let history = client.history(&format!("?session_id={session}"));
        let pairs = list(&history["messages"]);
        assert_eq!(pairs.len(), SENDS);
        for ((pair, message), reply) in pairs.iter().zip(&asked).zip(&replies) {
            assert_eq!((&pair["message"], &pair["response"]), (&message["content"], &reply["content"]));
            assert_eq!(pair["id"], reply["id"]);
        }
    }
    server.is_calm();
}
