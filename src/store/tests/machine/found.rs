//! What runs against the model have found.

use std::{path::Path, sync::Arc};

use super::{
    actual::once,
    life::{end, open},
};
use crate::{
    clock::{Clock, Timestamp},
    id::{Seq, SessionId, UserId},
    store::{
        Beside, Edit, Ending, Erasure, NewMessage, OpenTurn, PageRange, Role, SendKey, SessionEdit, Store, StoreError,
        Tier, User,
    },
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

#[tokio::test]
async fn a_message_that_is_for_another_log_makes_no_session() {
    let dir = tempfile::tempdir().unwrap();
    let store = at(1, &dir.path().join("data"));
    let (user, session) = (user(&store).await, SessionId::new());
    let beside = Beside { behind: Some(Seq(1)), ..Beside::default() };
    let message = NewMessage { user, session, create: true, content: "text".to_owned(), key: None, beside };
    assert!(matches!(store.append(message).unwrap().await, Err(StoreError::NotOwner(_))));
    assert_eq!(store.session(session).await.unwrap(), None);
    assert_eq!(store.sessions(user, None, 9).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_erased_is_not_in_a_history_that_was_read_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = at(1, &dir.path().join("data"));
    let (user, session) = (user(&store).await, SessionId::new());
    let content = "secret".to_owned();
    let message = NewMessage { user, session, create: true, content, key: None, beside: Beside::default() };
    let seq = store.append(message).unwrap().await.unwrap().message.seq;
    store.conclude(OpenTurn { session, seq }, Ending::Interrupted, None).await.unwrap();
    for (of, shows) in [(None, true), (Some(session), true), (None, false), (Some(session), false)] {
        if !shows {
            assert_eq!(store.erase(user, session, seq).await.unwrap(), Erasure::Erased);
        }
        let history = store.history(user, of, 50, 0).await.unwrap();
        let history = String::from_utf8(history.body.to_vec()).unwrap();
        assert_eq!(history.contains("secret"), shows, "{of:?}: {history}");
    }
}

#[tokio::test]
async fn a_turn_that_ended_has_no_pieces_though_nothing_was_noted() {
    let reply = Ending::Reply { content: "all of it".to_owned(), stopped: false };
    let failed = Ending::Failed { detail: "it failed".to_owned(), too_slow: false };
    for ending in [reply, failed, Ending::Interrupted] {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let mut store = at(1, &data);
        let (user, session) = (user(&store).await, SessionId::new());
        let content = "text".to_owned();
        let message = NewMessage { user, session, create: true, content, key: None, beside: Beside::default() };
        let seq = store.append(message).unwrap().await.unwrap().message.seq;
        let turn = OpenTurn { session, seq };
        store.progress(turn, 0, "all ".to_owned()).await.unwrap();
        let resumed = store.resume(vec![turn], 2).await.unwrap();
        assert_eq!((resumed.len(), store.pieces(turn).await.unwrap()), (1, vec!["all ".to_owned()]), "it goes on");
        store.conclude(turn, ending.clone(), None).await.unwrap();
        for rebuild in [false, true] {
            assert_eq!(store.pieces(turn).await.unwrap(), Vec::<String>::new(), "{ending:?}, new index: {rebuild}");
            if !rebuild {
                store.rebuild_at_next_start().await.unwrap();
                end(store, true, &data).await;
                store = at(1, &data);
            }
        }
    }
}

#[tokio::test]
async fn a_page_that_is_read_while_its_session_is_cleared_is_of_before_or_after() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("data"), 8 << 20, &Clock::manual(Timestamp(HOUR)));
    let (user, session) = (user(&store).await, SessionId::new());
    for _ in 0..4 {
        let content = "x".repeat(40 << 10); // So long that the cache keeps the last one only.
        let message = NewMessage { user, session, create: true, content, key: None, beside: Beside::default() };
        store.append(message).unwrap().await.unwrap();
    }
    let range = PageRange { after: None, before: None, limit: 2 };
    assert_eq!(store.page(session, range).await.unwrap().body.len() >> 10, 80);
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(std::sync::Mutex::new(gate));
    let block = || {
        let gate = Arc::clone(&gate);
        store.reads.submit(move || drop(gate.lock().map(|gate| gate.recv()))).unwrap();
    };
    for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).max(2) {
        block();
    }
    let mut page = Box::pin(store.page(session, range));
    assert!(once(page.as_mut()).await.is_none(), "it waits for the index");
    store.clear_sessions(user).await.unwrap();
    while store.shared.index.has_removals() {
        tokio::task::yield_now().await;
    }
    drop(release);
    let page: serde_json::Value = serde_json::from_slice(&page.await.unwrap().body).unwrap();
    assert_eq!(page, serde_json::json!({"messages": [], "head": 4, "has_more": false}));
}
