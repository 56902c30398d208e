//! The store as its callers see it.

mod copies;
mod crowd;
mod faults;
mod held;
mod imports;
mod items;
mod jobs;
mod keys;
mod life;
mod machine;
mod model;
mod platter;
mod power;
pub(super) mod probe;
mod random;
mod shown;
mod tampered;

use std::time::Duration;

use super::*;
use crate::id::Seq;
use probe::{Area, Kind, Probe};

/// Keeps the thread of searches busy, and all places before it taken, until what it gives is dropped.
fn fill(store: &Store) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel::<()>();
    let (started, running) = mpsc::channel();
    let first = move || {
        let _ = started.send(());
        held.recv().unwrap_or_default();
    };
    store.scans.submit(first).unwrap();
    running.recv().unwrap(); // Until then it has a place of its own.
    while store.scans.submit(|| ()).is_ok() {}
    release
}

#[tokio::test]
async fn a_stop_is_clean_whatever_searches_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
    let release = fill(&store);
    store.close().await;
    let late = store.create_session(UserId::new(), SessionId::new(), SessionEdit::default()).await;
    assert!(matches!(late, Err(StoreError::Ended)), "the writer still runs");
    drop(release);
}

#[tokio::test]
async fn a_context_has_the_replies_that_came_while_its_message_waited() {
    let dir = tempfile::tempdir().unwrap();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    for capacity in [0, 1 << 20] {
        let cache = CacheConfig { capacity };
        let (store, _) = Store::open(&config, &cache, Clock::System).unwrap();
        let (user, session) = (user(&store).await, SessionId::new());
        for content in ["first", "second"] {
            let content = content.to_owned();
            store
                .append(NewMessage { user, session, create: true, content, key: None, beside: Beside::default() })
                .unwrap()
                .await
                .unwrap();
        }
        let turn = OpenTurn { session, seq: Seq(1) };
        store.conclude(turn, Ending::Reply { content: "reply".to_owned(), stopped: false }, None).await.unwrap();
        let (context, _) = store.context(session, Seq(2), 1, usize::MAX).await.unwrap();
        let contents: Vec<_> = context.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(contents, ["second", "reply"], "with {capacity} bytes of cache");
        store.close().await;
    }
}

#[tokio::test]
async fn a_search_that_has_no_time_or_no_place_to_wait_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
    let (user, session) = (user(&store).await, SessionId::new());
    let message =
        NewMessage { user, session, create: true, content: "first".to_owned(), key: None, beside: Beside::default() };
    store.append(message).unwrap().await.unwrap();
    let (none, enough) = (Duration::ZERO, Duration::from_mins(1));
    assert_eq!(store.find(user, "FIRST", 1, enough).await.unwrap().total, 1);
    assert!(matches!(store.find(user, "FIRST", 1, none).await, Err(StoreError::Busy)));
    assert!(matches!(store.search(user, "FIRST", 1, none).await, Err(StoreError::Busy)));
    let release = fill(&store);
    assert!(matches!(store.find(user, "FIRST", 1, enough).await, Err(StoreError::Busy)), "no more wait than may");
    drop(release);
    store.close().await;
}

#[tokio::test]
async fn what_is_cleared_and_waits_to_be_removed_is_not_found() {
    let dir = tempfile::tempdir().unwrap();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
    let (user, session, enough) = (user(&store).await, SessionId::new(), Duration::from_mins(1));
    let message =
        NewMessage { user, session, create: true, content: "first".to_owned(), key: None, beside: Beside::default() };
    store.append(message).unwrap().await.unwrap();
    let index = &store.shared.index;
    let record = index.message(session, Seq(1)).unwrap().unwrap();
    store.clear_sessions(user).await.unwrap();
    while index.has_removals() {
        tokio::task::yield_now().await;
    }
    index.put_message(session, Seq(1), &record).unwrap(); // As it was before it was removed.
    assert_eq!(store.find(user, "first", 1, enough).await.unwrap(), Hits { hits: Vec::new(), total: 0 });
    let old = store.search(user, "first", 1, enough).await.unwrap();
    assert!(old.body.starts_with(b"{\"messages\":[],\"total\":0"), "{old:?}");
    store.close().await;
}

#[tokio::test]
async fn a_message_is_one_write_and_one_sync_of_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    let probe = Arc::new(Probe::new(dir.path(), &Clock::System, std::collections::HashMap::new()));
    let disk = Disk { probe: Some(Arc::clone(&probe)) };
    let (store, _) = Store::open_on(disk, &config, &CacheConfig { capacity: 0 }, Clock::System).unwrap();
    let (user, session) = (user(&store).await, SessionId::new());
    let done = || (probe.count(Kind::Write, Area::Journal), probe.count(Kind::SyncData, Area::Journal));
    let before = done();
    let message =
        NewMessage { user, session, create: true, content: "first".to_owned(), key: None, beside: Beside::default() };
    store.append(message).unwrap().await.unwrap();
    assert_eq!(done(), (before.0 + 1, before.1 + 1));
    assert_eq!(probe.count(Kind::SyncDir, Area::Journal), 1, "the new segment's name");
}

async fn user(store: &Store) -> UserId {
    let id = UserId::new();
    let user = User {
        id,
        username: id.to_string(),
        folded: id.to_string(),
        display_name: String::new(),
        role: Role::User,
        tier: Tier::Free,
        password: String::new(),
        disabled: false,
        created_at: Timestamp(1),
    };
    store.create_user(user, None).await.unwrap();
    id
}
