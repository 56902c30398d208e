//! What runs against the model have found.

use std::{path::Path, sync::Arc};

use super::{
    actual::once,
    life::{end, open},
};
use crate::{
    clock::{Clock, Timestamp},
    id::{Seq, SessionId, UserId},
    store::{Beside, Edit, NewMessage, Role, SendKey, SessionEdit, Store, StoreError, Tier, User},
};

const HOUR: i64 = 3_600_000_000;

/// A store on `dir`, at this hour.
fn at(hour: i64, dir: &Path) -> Arc<Store> {
    open(dir, 1 << 20, &Clock::manual(Timestamp(hour * HOUR))).0
}

async fn user(store: &Store) -> UserId {
    let id = UserId::new();
    let [username, folded] = [id.to_string(), id.to_string()];
    let (role, tier, password, display_name) = (Role::User, Tier::Free, String::new(), String::new());
    let created_at = Timestamp(0);
    let user = User { id, username, folded, display_name, role, tier, password, disabled: false, created_at };
    store.create_user(user, None).await.unwrap();
    id
}

#[tokio::test]
async fn p2_a_sessions_time_does_not_run_back_though_it_was_cleared_and_the_clock_did() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = at(5, &data);
    let (user, session) = (user(&store).await, SessionId::new());
    let say = |store: Arc<Store>| async move {
        let message = NewMessage {
            user,
            session,
            create: true,
            content: "text".to_owned(),
            key: None,
            beside: Beside::default(),
        };
        store.append(message).unwrap().await.unwrap().message.created_at
    };
    assert_eq!(say(Arc::clone(&store)).await, Timestamp(5 * HOUR));
    end(store, true, &data).await;
    let store = at(4, &data);
    store.clear_sessions(user).await.unwrap();
    assert_eq!(store.session(session).await.unwrap().unwrap().updated_at, Timestamp(5 * HOUR));
    end(store, true, &data).await;
    let store = at(3, &data);
    assert_eq!(say(Arc::clone(&store)).await, Timestamp(5 * HOUR), "behind what was cleared");
    assert_eq!(store.session(session).await.unwrap().unwrap().updated_at, Timestamp(5 * HOUR));
    end(store, true, &data).await;
}

#[tokio::test]
async fn p5_a_key_does_not_bring_back_what_was_cleared_at_the_same_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = at(1, &dir.path().join("data"));
    let (user, session) = (user(&store).await, SessionId::new());
    let key = Some(SendKey { key: [1; 16], body: [1; 16], expires_at: Timestamp(2 * HOUR) });
    let message =
        || NewMessage { user, session, create: true, content: "text".to_owned(), key, beside: Beside::default() };
    // Commands that come while others are written are decided together.
    let busy: Vec<_> = (0..50).map(|_| store.append(NewMessage { key: None, ..message() }).unwrap()).collect();
    let first = store.append(message()).unwrap();
    let mut clearing = Box::pin(store.clear_sessions(user));
    assert!(once(clearing.as_mut()).await.is_none());
    let second = store.append(message()).unwrap();
    clearing.await.unwrap();
    assert!(!first.await.unwrap().repeated);
    assert!(matches!(second.await, Err(StoreError::TurnGone)));
    for message in busy {
        message.await.unwrap();
    }
}

#[tokio::test]
async fn p3_a_new_session_that_the_cache_has_no_room_for_is_not_empty_once_it_is_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("data"), 48 << 10, &Clock::manual(Timestamp(HOUR)));
    let user = user(&store).await;
    for _ in 0..20 {
        let (other, session) = (SessionId::new(), SessionId::new());
        let say = |session, content| NewMessage {
            user,
            session,
            create: true,
            content,
            key: None,
            beside: Beside::default(),
        };
        // Commands that come while others are written are decided together.
        let busy: Vec<_> = (0..50).map(|_| store.append(say(other, "text".to_owned())).unwrap()).collect();
        let long = store.append(say(session, "x".repeat(10_000))).unwrap();
        let title = SessionEdit { title: Edit::Set(Some("a title".to_owned())), ..SessionEdit::default() };
        let mut renaming = Box::pin(store.edit_session(user, session, title));
        assert!(once(renaming.as_mut()).await.is_none());
        assert_eq!(long.await.unwrap().message.seq, Seq(1));
        assert_eq!(renaming.await.unwrap().head, Seq(1));
        assert_eq!(store.session(session).await.unwrap().unwrap().head, Seq(1), "what was acknowledged is shown");
        for message in busy {
            message.await.unwrap();
        }
    }
}
