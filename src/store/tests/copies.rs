//! What a copy may hold: segments of before a compaction beside what was written since.

use std::{fs, path::Path, time::Duration};

use super::{
    super::{verify::verify_dir, *},
    held::Held,
    user,
};

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

async fn say(store: &Store, user: UserId, session: SessionId) {
    let (content, beside) = ("word ".repeat(300), Beside::default());
    let message = NewMessage { user, session, create: true, content, key: None, beside };
    let turn = store.append(message).unwrap().await.unwrap();
    let turn = OpenTurn { session, seq: turn.message.seq };
    store.conclude(turn, Ending::Reply { content: "reply".to_owned(), stopped: false }, None).await.unwrap();
}

/// After the newest messages of all are gone and the index is new, their places among all messages are given again.
#[tokio::test]
async fn check_finds_nothing_wrong_with_places_that_were_given_again_where_a_copy_has_both() {
    let dir = tempfile::tempdir().unwrap();
    let (data, journal) = (dir.path().join("data"), dir.path().join("data/journal"));
    let mut store = Held::new(open(dir.path()));
    let (user, stays, goes) = (user(&store).await, SessionId::new(), SessionId::new());
    say(&store, user, stays).await;
    for _ in 0..20 {
        say(&store, user, goes).await;
    }
    let mut segments: Vec<_> = fs::read_dir(&journal).unwrap().map(|file| file.unwrap().path()).collect();
    segments.sort();
    segments.pop(); // Written to still.
    let older: Vec<_> = segments.into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
    store.delete_session(user, goes).await.unwrap();
    assert!(store.compact().await.unwrap() > 0);
    store.again(&data, true, || open(dir.path())).await;
    say(&store, user, stays).await;
    store.end(&data, true).await;
    for (bytes, path) in older {
        assert!(!path.exists(), "it was written again");
        fs::remove_file(path.with_extension("").with_extension("001.journal")).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let verdict = verify_dir(&Dir::of(&data), |_, _| ()).unwrap();
    assert_eq!(verdict.findings, []);
    assert_eq!(verdict.messages, 4);
}
