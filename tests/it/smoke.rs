//! The main job, once through: a user, a message, its reply, and both after a restart.

use serde_json::json;

use crate::support::{Client, Server};

#[test]
fn what_was_said_is_there_after_a_restart() {
    let server = Server::start(&[]);
    let (mut client, user) = server.user("amina");
    let sent = client.post("/api/v1/chat/send", &json!({"message": "Hello, I have an exam"})).expect(200).json();
    let before = client.get("/api/v1/chat/history").expect(200).json();
    assert_eq!(before["messages"][0]["response"], sent["response"]);
    assert_eq!((&before["total"], &before["user_id"]), (&json!(1), &json!(user)));

    let server = server.restart(&[]);
    let mut client = Client::with_token(server.address, client.token.as_ref().unwrap());
    assert_eq!(client.get("/api/v1/chat/history").expect(200).json(), before);
}
