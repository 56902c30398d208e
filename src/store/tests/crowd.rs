//! A user who has as many sessions as their requests allow, each with the longest prompt.

use super::{super::*, life::place, user};
use crate::id::{Seq, SessionId};

/// With [`PROMPT`], more than one frame of the journal takes.
const SESSIONS: usize = 2200;
/// Bytes of a prompt.
const PROMPT: usize = 32_000;

/// Makes the sessions, each with a message; their ids in their order.
async fn crowd(store: &Store, user: UserId) -> Vec<SessionId> {
    let prompt = "🌊".repeat(PROMPT / 4);
    let mut ids = Vec::new();
    for _ in 0..SESSIONS {
        let session = SessionId::new();
        let edit = SessionEdit { system_prompt: Edit::Set(Some(prompt.clone())), ..SessionEdit::default() };
        store.create_session(user, session, edit).await.unwrap();
        let content = "a word".to_owned();
        let message = NewMessage { user, session, create: false, content, key: None, beside: Beside::default() };
        store.append(message).unwrap().await.unwrap();
        ids.push(session);
    }
    ids
}

#[tokio::test]
async fn p6_what_is_asked_of_a_crowd_of_sessions_is_done_some_at_a_time() {
    let dir = place();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
    let (user, stranger) = (user(&store).await, user(&store).await);
    let ids = crowd(&store, user).await;

    let newest = store.sessions(user, None, 3).await.unwrap();
    assert!(newest.iter().map(|session| session.id).eq(ids.iter().rev().copied().take(3)));
    let (mut at, mut exported) = (None, Vec::<SessionId>::new());
    while let Some((lines, next)) = store.export(user, at, Passwords::Without).await.unwrap() {
        assert!(lines.len() < (256 << 10) + 2 * PROMPT, "{} bytes at once", lines.len());
        at = Some(next);
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            if line["type"] == "session" {
                exported.push(line["id"].as_str().unwrap().parse().unwrap());
            }
        }
    }
    assert_eq!(exported, ids);

    let other = SessionId::new();
    let content = "stays".to_owned();
    let message =
        NewMessage { user: stranger, session: other, create: true, content, key: None, beside: Beside::default() };
    store.append(message).unwrap().await.unwrap();
    store.clear_sessions(user).await.unwrap();
    for id in ids {
        assert!(store.run(id, Seq(1), true, 9).await.unwrap().is_empty());
    }
    assert_eq!(store.run(other, Seq(1), true, 9).await.unwrap().len(), 1);
    store.close().await;
}
