//! Logins that programs hold: their bounds go where they go, and neither kind drives the other out.

use std::{path::Path, time::Duration};

use super::{
    super::{batch::Batch, codec::Change, memory::Memory, *},
    held::Held,
    user,
};
use crate::id::TokenId;

const FAR: Timestamp = Timestamp(i64::MAX);

fn open(dir: &Path) -> Store {
    let config = DataConfig {
        dir: dir.join("data"),
        segment: 16 << 10,
        min_free: 0,
        keep_replaced: Duration::ZERO,
        ..DataConfig::default()
    };
    Store::open(&config, &CacheConfig::default(), Clock::System).unwrap().0
}

fn token(user: UserId, expires_at: Timestamp, scopes: Option<u32>) -> Token {
    let at = Clock::System.now();
    Token { id: TokenId::new(), user, label: None, created_at: at, expires_at, last_used_at: at, scopes }
}

fn digest(n: u8) -> TokenDigest {
    TokenDigest([n; 32])
}

/// The numbers of the logins that are there, each with its bounds, as they are looked up one by one and as they are listed.
async fn there(store: &Store, user: UserId) -> Vec<(u8, Option<u32>)> {
    let mut there = Vec::new();
    let mut found = std::collections::BTreeSet::new();
    for n in 0..=u8::MAX {
        if let Some(token) = store.token(digest(n)).await.unwrap().filter(|token| token.user == user) {
            there.push((n, token.scopes));
            found.insert((token.id, token.scopes));
        }
    }
    let listed = store.tokens(user).await.unwrap().into_iter().map(|token| (token.id, token.scopes));
    assert_eq!(listed.collect::<std::collections::BTreeSet<_>>(), found);
    there
}

#[tokio::test]
async fn a_key_keeps_its_bounds_over_a_use_a_restart_a_new_index_and_compaction() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Held::new(open(dir.path()));
    let user = user(&store).await;
    store.create_token(digest(1), token(user, FAR, None), 9).await.unwrap();
    for (n, scopes) in [(2, 5), (3, 0), (4, u32::MAX)] {
        assert!(store.create_key(digest(n), token(user, FAR, Some(scopes)), digest(1), 9).await.unwrap());
    }
    let wanted = [(1, None), (2, Some(5)), (3, Some(0)), (4, Some(u32::MAX))];
    assert_eq!(there(&store, user).await, wanted);
    store.touch_token(digest(2), Clock::System.now().after(Duration::from_hours(2)));
    for rebuild in [false, true] {
        store.compact().await.unwrap();
        assert_eq!(there(&store, user).await, wanted, "after compaction");
        store.again(&dir.path().join("data"), rebuild, || open(dir.path())).await;
        assert_eq!(there(&store, user).await, wanted, "after a start, with a new index: {rebuild}");
    }
    let touched = store.token(digest(2)).await.unwrap().unwrap();
    assert!(touched.last_used_at > touched.created_at, "its use was noted");
    store.close().await;
}

#[tokio::test]
async fn what_ends_a_key_takes_its_bounds_along() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = Held::new(open(dir.path()));
    let (first, second) = (user(&store).await, user(&store).await);
    let soon = Clock::System.now().after(Duration::from_hours(1));
    for (owner, n, expires_at) in [(first, 10, FAR), (second, 20, FAR)] {
        store.create_token(digest(n), token(owner, expires_at, None), 9).await.unwrap();
        for key in 1..4 {
            let expires_at = if key == 3 { soon } else { FAR };
            let made = store.create_key(digest(n + key), token(owner, expires_at, Some(1)), digest(n), 9).await;
            assert!(made.unwrap());
        }
    }
    let revoked = store.token(digest(11)).await.unwrap().unwrap().id;
    assert!(!store.end_token(second, revoked).await.unwrap(), "another's is not there");
    assert!(store.end_token(first, revoked).await.unwrap());
    store.change_user(second, UserChange::EndLogins).await.unwrap();
    let later = soon.after(Duration::from_hours(1));
    let (mut removed, mut cursor) = (0, Some(ExpiryCursor::default()));
    while let Some(next) = cursor {
        (removed, cursor) = store.shared.index.remove_expired(next, later).unwrap();
    }
    assert_eq!(removed, 1, "the key of the first user that ran out");
    let bounded = |store: &Store| -> Vec<u8> {
        (0..=u8::MAX).filter(|n| store.shared.index.scopes(&[*n; 32]).unwrap().is_some()).collect()
    };
    assert_eq!(bounded(&store), [12], "nothing is left of those that ended or ran out");
    store.delete_user(first).await.unwrap();
    assert_eq!(bounded(&store), Vec::<u8>::new());
    store.compact().await.unwrap();
    store.again(&dir.path().join("data"), true, || open(dir.path())).await;
    assert_eq!(bounded(&store), Vec::<u8>::new(), "nor in a new index");
    store.close().await;
}

#[tokio::test]
async fn logins_and_keys_are_counted_apart() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let user = user(&store).await;
    store.create_token(digest(1), token(user, FAR, None), 2).await.unwrap();
    let past = Timestamp(Clock::System.now().0 - 1);
    for (n, expires_at, wanted) in [(10, past, true), (11, FAR, true), (12, FAR, true), (13, FAR, false)] {
        let made = store.create_key(digest(n), token(user, expires_at, Some(1)), digest(1), 2).await.unwrap();
        assert_eq!(made, wanted, "{n}: those that ran out do not count");
    }
    for n in 2..5 {
        store.create_token(digest(n), token(user, FAR, None), 2).await.unwrap();
    }
    let now: Vec<_> = there(&store, user).await.into_iter().map(|(n, _)| n).collect();
    assert_eq!(now, [3, 4, 10, 11, 12], "the oldest logins went, and no key did");
    store.close().await;
}

#[tokio::test]
async fn a_login_that_has_ended_leaves_no_key_behind() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let (owner, other) = (user(&store).await, user(&store).await);
    store.create_token(digest(1), token(owner, FAR, None), 9).await.unwrap();
    store.create_token(digest(2), token(other, FAR, None), 9).await.unwrap();
    let make = |n, by| store.create_key(digest(n), token(owner, FAR, Some(1)), digest(by), 9);
    for by in [0, 2] {
        assert!(matches!(make(9, by).await, Err(StoreError::NoUser)), "{by} is no login of the user");
    }
    // In one batch: the password changes, and the key that the old login asked for comes behind it.
    let change = UserChange::Password { password: "new".to_owned(), keep: None };
    let (changed, key) = tokio::join!(store.change_user(owner, change), make(9, 1));
    changed.unwrap();
    assert!(matches!(key, Err(StoreError::NoUser)));
    assert_eq!(there(&store, owner).await, Vec::new());
    store.close().await;
}

#[tokio::test]
async fn nobody_finds_a_key_without_its_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let user = user(&store).await;
    store.create_token(digest(1), token(user, FAR, None), 9).await.unwrap();
    let index = &store.shared.index;
    let mut memory = Memory::new(Vec::new(), 1);
    let mut batch = Batch::over(index, &mut memory, Clock::System.now());
    assert!(batch.create_key(digest(7), &token(user, FAR, Some(1)), Some(digest(1)), 9).unwrap());
    let mut seen = Vec::new();
    for change in &batch.changes {
        assert!(matches!(change, Change::Scopes { .. } | Change::Token { .. }));
        index.apply(change, Clock::System.now()).unwrap();
        let login = store.token(digest(7)).await.unwrap();
        seen.push(login.map(|login| login.scopes));
    }
    assert_eq!(seen, [None, Some(Some(1))], "at first nothing, then all of it");
    // As between the two steps of its end.
    index.tokens.remove([7; 32]).unwrap();
    assert_eq!(index.scopes(&[7; 32]).unwrap(), Some(1));
    index.apply(&Change::TokenEnded { digest: [7; 32], expires_at: FAR }, FAR).unwrap();
    assert_eq!(index.scopes(&[7; 32]).unwrap(), None);
    store.close().await;
}
