//! A store without a server: its accounts, and what is said in its sessions.

use std::path::Path;

use bondhu::{
    clock::{Clock, Timestamp},
    config::{CacheConfig, DataConfig},
    id::{SessionId, UserId},
    store::{Beside, Ending, NewMessage, OpenTurn, Role, Store, Tier, User},
};

/// Opens the store in `dir`, with a cache of so many bytes.
pub(crate) fn open(dir: &Path, capacity: u64) -> Store {
    let config = DataConfig { dir: dir.join("data"), ..DataConfig::default() };
    Store::open(&config, &CacheConfig { capacity }, Clock::System).expect("it opens").0
}

/// An account without a password.
pub(crate) fn account(id: UserId, name: &str) -> User {
    User {
        id,
        username: name.to_owned(),
        folded: name.to_owned(),
        display_name: name.to_owned(),
        role: Role::User,
        tier: Tier::Free,
        password: String::new(),
        disabled: false,
        created_at: Timestamp(0),
    }
}

/// Says all this in a new session, message and reply in turn.
pub(crate) async fn say(store: &Store, user: UserId, contents: Vec<String>) -> SessionId {
    let session = SessionId::new();
    say_in(store, user, session, contents).await;
    session
}

/// Says all this in a session, which is made where it is missing.
pub(crate) async fn say_in(store: &Store, user: UserId, session: SessionId, contents: Vec<String>) {
    let mut contents = contents.into_iter();
    while let Some(content) = contents.next() {
        let message = NewMessage { user, session, create: true, content, key: None, beside: Beside::default() };
        let appended = store.append(message).expect("there is room").await.expect("a message is stored");
        let turn = OpenTurn { session, seq: appended.message.seq };
        if let Some(content) = contents.next() {
            store.conclude(turn, Ending::Reply { content, stopped: false }, None).await.expect("a reply is stored");
        }
    }
}
