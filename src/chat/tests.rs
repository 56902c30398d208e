//! Calls whose future is dropped, at every one of its polls: whatever was taken goes on or is gone, and nothing leaks.

mod responses;

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::pin,
};

use super::*;
use crate::{
    auth::{Auth, NewAccount, Password},
    config::Config,
    store::SessionEdit,
    text::Username,
};

/// No call is polled so often.
const POLLS_MAX: usize = 40;
const PASSWORD: &str = "river-stone-lamp-42";

struct World {
    chat: Chat,
    caller: Identity,
    _dir: tempfile::TempDir,
}

impl World {
    /// A chat with one slot, and someone who is logged in.
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.data.dir = dir.path().join("data");
        (config.auth.argon2.memory_kib, config.auth.argon2.iterations) = (8, 1);
        (config.concurrency.min, config.concurrency.max) = (1, 1);
        config.concurrency.queue_timeout = std::time::Duration::from_mins(1); // However busy the machine is.
        (config.limits.free.messages_per_minute, config.limits.free.requests_per_minute) = (0, 0);
        let clock = Clock::System;
        let (store, open_turns) = Store::open(&config.data, &config.cache, clock.clone()).unwrap();
        let store = Arc::new(store);
        let auth = Auth::start(config.auth.clone(), Arc::clone(&store), clock.clone()).unwrap();
        let password = || Password::new(PASSWORD.to_owned());
        let username = Username::new("amina").unwrap();
        let account = NewAccount { username, password: password(), display_name: None, invitation: None };
        auth.register(account).await.unwrap();
        let login = auth.login(IpAddr::V4(Ipv4Addr::LOCALHOST), "amina", password(), None).await.unwrap();
        let caller = auth.identify(&login.token).await.unwrap();
        let parts = Self::parts(&config, store, clock);
        Self { chat: Chat::start(parts, open_turns), caller, _dir: dir }
    }

    fn parts(config: &Config, store: Arc<Store>, clock: Clock) -> Parts {
        Parts {
            store,
            rates: Arc::new(Rates::new(config.limits.clone())),
            slots: Slots::new(&config.concurrency),
            streams: Streams::new(config.limits.clone()),
            backend: Backend::new(&config.reply).unwrap(),
            clock,
            idempotency_window: config.chat.idempotency_window,
        }
    }

    async fn session(&self) -> OwnedSession {
        let (session, _) = self.chat.create(&self.caller, None, SessionEdit::default()).await.unwrap();
        self.chat.owned(&self.caller, session.id).await.unwrap()
    }

    async fn messages(&self, session: OwnedSession) -> Vec<serde_json::Value> {
        let range = PageRange { after: None, before: None, limit: 200 };
        let page = self.chat.page(&session, range).await.unwrap();
        let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
        page["messages"].as_array().unwrap().clone()
    }

    /// Waits until nothing runs, and wants nothing to be held; every message has its one outcome.
    async fn is_settled(&self, session: OwnedSession, what: &str) {
        let inner = &self.chat.inner;
        let is_quiet = || {
            let gauges = inner.parts.slots.gauges();
            (gauges.held, gauges.waiting, inner.live.count()) == (0, 0, 0) && inner.keys.count() == 0
        };
        let quiet = async {
            while !is_quiet() || !inner.lines.is_empty() || inner.parts.store.subscriptions() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        };
        let gauges = || inner.parts.slots.gauges();
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), quiet).await;
        assert!(waited.is_ok(), "{what}: {} held, {} waiting", gauges().held, gauges().waiting);
        let messages = self.messages(session).await;
        for message in messages.iter().filter(|message| message["role"] == "user") {
            let answers = |reply: &&serde_json::Value| reply["reply_to"] == message["seq"];
            let current = messages.iter().filter(answers).filter(|reply| reply["status"] != "superseded").count();
            assert!(current == 1 && message["status"] != "pending", "{what}: {message} has {current} replies");
        }
    }

    async fn send(&self, session: OwnedSession, key: Option<&str>) -> Result<Answer, ChatError> {
        let content = MessageText::new("hello".to_owned(), 100).unwrap();
        self.chat.send(&self.caller, Target::Owned(session), content, key).await
    }

    async fn follow(&self, session: OwnedSession) -> Result<(), ChatError> {
        let content = MessageText::new("hello".to_owned(), 100).unwrap();
        let target = Target::Owned(session);
        let mut follow = self.chat.send_and_follow(&self.caller, target, content, None).await?;
        while follow.next().await?.is_some() {}
        Ok(())
    }

    /// The call with this name.
    async fn call(&self, name: &str, session: OwnedSession) -> Result<(), ChatError> {
        let (chat, caller) = (&self.chat, &self.caller);
        match name {
            "send" => self.send(session, None).await.map(drop),
            "send with a key" => self.send(session, Some("a key")).await.map(drop),
            "send and follow" => self.follow(session).await,
            "retry" => chat.retry(caller, session, Seq(1)).await.map(drop),
            "stop" => chat.stop(session, Seq(1)).await,
            "follow" => chat.follow(caller, session, Some(Seq(0)))?.next().await.map(drop),
            "follow all" => chat.follow_all(caller).await?.next().await.map(drop),
            "create" => chat.create(caller, None, SessionEdit::default()).await.map(drop),
            "edit" => chat.edit(&session, SessionEdit::default()).await.map(drop),
            "session" => chat.session(&session).await.map(drop),
            "sessions" => chat.sessions(caller, None, 50).await.map(drop),
            "history" => chat.history(caller, None, 50, 0).await.map(drop),
            "history of one" => chat.history(caller, Some(&session), 50, 300).await.map(drop),
            "search" => chat.search(caller, "hello", 50).await.map(drop),
            "find" => chat.find(caller, "hello", 50).await.map(drop),
            "export" => chat.export(caller, None).await.map(drop),
            "clear" => chat.clear(caller).await,
            "delete" => chat.delete(session).await,
            other => panic!("{other} is no call"),
        }
    }
}

/// The calls of a chat, those that take away last.
const CALLS: [&str; 18] = [
    "send",
    "send with a key",
    "send and follow",
    "retry",
    "stop",
    "follow",
    "follow all",
    "create",
    "edit",
    "session",
    "sessions",
    "history",
    "history of one",
    "search",
    "find",
    "export",
    "clear",
    "delete",
];

/// Polls as often as it is woken, and drops the call at its poll number `at`; true where it had ended before.
async fn ends_before(at: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    let mut polls = 0;
    std::future::poll_fn(|cx| {
        if polls == at {
            return std::task::Poll::Ready(false);
        }
        polls += 1;
        match call.as_mut().poll(cx) {
            std::task::Poll::Ready(_) => std::task::Poll::Ready(true),
            std::task::Poll::Pending if polls == at => std::task::Poll::Ready(false),
            std::task::Poll::Pending => std::task::Poll::Pending,
        }
    })
    .await
}

#[tokio::test]
async fn p5_a_call_that_is_dropped_at_any_poll_leaks_nothing_and_loses_no_turn() {
    let world = World::start().await;
    let mut dropped = 0;
    for name in CALLS {
        for at in 0..POLLS_MAX {
            let session = world.session().await;
            world.send(session, None).await.unwrap();
            let ended = ends_before(at, world.call(name, session)).await;
            let what = format!("{name}, dropped at poll {at}");
            world.chat.inner.parts.store.clear_sessions(UserId::new()).await.unwrap(); // All that was given before is done.
            let is_there = world.chat.owned(&world.caller, session.id()).await.is_ok();
            assert!(is_there || name == "delete", "{what}: the session is gone");
            if is_there {
                world.is_settled(session, &what).await;
                world.send(session, None).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            }
            if ended {
                break;
            }
            dropped += 1;
        }
    }
    assert!(dropped >= CALLS.len(), "only {dropped} calls were dropped");
    eprintln!("chat cancellation: {} calls, {dropped} times dropped, at every poll", CALLS.len());
}

#[tokio::test]
async fn p6_a_send_that_is_dropped_while_it_waits_for_a_slot_leaves_the_queue_and_stores_nothing() {
    let world = World::start().await;
    for name in ["send", "send with a key", "send and follow", "retry"] {
        let session = world.session().await;
        world.send(session, None).await.unwrap();
        world.is_settled(session, name).await;
        let before = world.messages(session).await;
        for at in 1..4 {
            let held = world.chat.inner.parts.slots.acquire(UserId::new()).await.unwrap();
            // Nothing wakes it while the slot is held, so a later poll is one that comes of nothing.
            let mut call = Box::pin(world.call(name, session));
            for _ in 0..at {
                let once = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_ready()));
                assert!(!once.await, "{name} needs no slot");
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
            drop(call);
            drop(held);
            world.is_settled(session, name).await;
            assert_eq!(world.messages(session).await, before, "{name}, dropped at poll {at} of its wait");
        }
    }
}
