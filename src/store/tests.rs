//! The store's end.

use super::*;

#[tokio::test]
async fn a_stop_is_clean_whatever_searches_wait() {
    let dir = tempfile::tempdir().unwrap();
    let config = DataConfig { dir: dir.path().join("data"), ..DataConfig::default() };
    let (store, _) = Store::open(&config, &CacheConfig::default(), Clock::System).unwrap();
    let (release, held) = mpsc::channel::<()>();
    store.scans.submit(move || held.recv().unwrap_or_default()).unwrap();
    while store.scans.submit(|| ()).is_ok() {}
    store.close().await;
    let late = store.create_session(UserId::new(), SessionId::new(), None).await;
    assert!(matches!(late, Err(StoreError::Ended)), "the writer still runs");
    drop(release);
}
