//! A store that is ended and begun again within a test: nothing of it holds the index in between, so that the next start,
//! and a check, find the directory as another process would.

use std::{fs::File, ops::Deref, path::Path};

use super::super::{Dir, Store, verify::verify_dir};

/// A store, unless it was ended.
pub(super) struct Held(Option<Store>);

impl Held {
    pub(super) fn new(store: Store) -> Self {
        Self(Some(store))
    }

    /// Ends it, has its directory `data` checked, and begins the one that `open` gives; with a new index where `rebuild` says so.
    pub(super) async fn again(&mut self, data: &Path, rebuild: bool, open: impl FnOnce() -> Store) {
        self.end(data, rebuild).await;
        let verdict = verify_dir(&Dir::of(data), |_, _| ()).unwrap();
        assert_eq!(verdict.findings, []);
        assert_eq!(verdict.index_to_rebuild.is_some(), rebuild, "{:?}", verdict.index_to_rebuild);
        self.0 = Some(open());
    }

    /// Ends it; the next start builds the index anew where `rebuild` says so.
    pub(super) async fn end(&mut self, data: &Path, rebuild: bool) {
        let store = self.0.take().unwrap();
        if rebuild {
            store.rebuild_at_next_start().await.unwrap();
        }
        store.close().await;
        drop(store);
        let db = File::open(data.join("index/db")).unwrap();
        while db.try_lock().is_err() {
            tokio::task::yield_now().await;
        }
    }
}

impl Deref for Held {
    type Target = Store;

    fn deref(&self) -> &Store {
        self.0.as_ref().unwrap()
    }
}
