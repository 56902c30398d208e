//! Responses: where they go, what of them is heard, and that a crash and a repeat make no second one.

use super::*;
use crate::{
    id::MessageId,
    reply::Sampling,
    store::{Beside, NewItem, NewMessage, OpenTurn, Speaker, Status},
};

fn asked(shown: bool, own: bool) -> Asked {
    let echo = serde_json::json!({ "metadata": { "a": "b" } });
    let (sampling, whole) = (Sampling::default(), false);
    Asked { kind: Kind::Response, instructions: None, sampling, own, shown, whole, echo }
}

fn order(place: Place, content: &str, key: Option<Key<'static>>) -> Order<'static> {
    let content = MessageText::new(content.to_owned(), 100).unwrap();
    let own = !matches!(place, Place::In(_));
    Order { place, before: Vec::new(), content, asked: asked(true, own), key }
}

impl World {
    async fn respond(&self, place: Place, content: &str, key: Option<Key<'static>>) -> (OwnedSession, Seq, Response) {
        let begun = self.chat.respond(&self.caller, order(place, content, key)).await.unwrap();
        let (session, seq) = begun.turn();
        (self.chat.owned(&self.caller, session).await.unwrap(), seq, begun.end().await.unwrap())
    }

    /// The pieces from `from` on, and the end.
    async fn heard(&self, session: &OwnedSession, seq: Seq, from: usize) -> (Vec<(usize, String)>, Response) {
        let mut hearing = self.chat.hear(self.chat.listener(&self.caller).unwrap(), session, seq, from);
        let mut pieces = Vec::new();
        loop {
            match hearing.next().await.unwrap() {
                Heard::Piece(number, text) => pieces.push((number, text)),
                Heard::End(response) => return (pieces, *response),
            }
        }
    }

    async fn texts(&self, session: &OwnedSession) -> Vec<(Speaker, String)> {
        let (items, has_more) = self.chat.items(session, None, true, 100).await.unwrap().unwrap();
        assert!(!has_more);
        items.into_iter().map(|item| (item.role, item.content)).collect()
    }
}

#[tokio::test]
async fn a_response_goes_on_behind_the_newest_and_forks_from_an_older_one() {
    let world = World::start().await;
    let (session, first, response) = world.respond(Place::New, "one", None).await;
    let end = response.end.clone().unwrap();
    assert_eq!((end.how, response.asked.echo["metadata"]["a"].as_str()), (How::Completed, Some("b")));
    let usage = end.usage.unwrap();
    assert!(usage.output > 0 && end.model == "companion", "{usage:?}");
    let (next, second, _) = world.respond(Place::Behind(session, first), "two", None).await;
    assert_eq!((next.id(), second), (session.id(), Seq(3)));
    let before = world.texts(&session).await;
    let (fork, third, _) = world.respond(Place::Behind(session, first), "other", None).await;
    assert_ne!(fork.id(), session.id());
    assert_eq!(world.texts(&session).await, before, "what forks changes nothing where it comes from");
    let forked = world.texts(&fork).await;
    assert_eq!(forked[..2], before[..2]);
    assert_eq!((&forked[2], third), (&(Speaker::User, "other".to_owned()), Seq(3)));
    let gone = world.chat.respond(&world.caller, order(Place::Behind(session, Seq(9)), "x", None)).await;
    assert!(matches!(gone, Err(ChatError::NoSuchMessage)));
}

#[tokio::test]
async fn many_that_go_on_behind_one_response_never_stand_in_each_others_way() {
    let world = World::start().await;
    let (session, first, _) = world.respond(Place::New, "one", None).await;
    let others = futures_of(8, |n| {
        let world = &world;
        async move { world.respond(Place::Behind(session, first), &format!("branch {n}"), None).await.0.id() }
    })
    .await;
    let mut sessions: Vec<_> = others.clone();
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), 8, "each has a session of its own, one of them the first");
    assert_eq!(others.iter().filter(|id| **id == session.id()).count(), 1);
}

/// While slots are waited for, two in a line are as many as can be answered in time.
#[tokio::test]
async fn a_full_line_makes_a_session_for_who_comes_late_and_sends_away_who_has_to_wait() {
    let world = World::start().await;
    let (inner, stranger) = (&world.chat.inner, crate::id::UserId::new());
    let (session, first, _) = world.respond(Place::New, "one", None).await;
    let (other, _, _) = world.respond(Place::New, "another", None).await;
    let lines = [session, other].map(|session| [(); 2].map(|()| inner.lines.enter_again(session.id())));
    let held = inner.parts.slots.acquire(stranger).await.unwrap();
    let slots = inner.parts.slots.clone();
    let queued = tokio::spawn(async move { drop(slots.acquire(stranger).await) });
    let waiting = async |count| {
        while inner.parts.slots.gauges().waiting < count {
            tokio::task::yield_now().await;
        }
    };
    waiting(1).await;
    // Nobody has gone on behind it yet, and it has no outcome: there is nothing to begin another session with.
    let (user, content, beside) = (world.caller.id(), "waits".to_owned(), Beside::default());
    let message = NewMessage { user, session: other.id(), create: false, content, key: None, beside };
    let open = inner.parts.store.append(message).unwrap().await.unwrap().message.seq;
    let late = world.chat.respond(&world.caller, order(Place::Behind(other, open), "late", None)).await;
    assert!(matches!(late, Err(ChatError::LineFull { .. })));
    let late = world.chat.respond(&world.caller, order(Place::Behind(session, first), "late", None));
    let (late, ()) = tokio::join!(late, async {
        waiting(2).await;
        drop(held);
    });
    assert_ne!(late.unwrap().turn().0, session.id());
    queued.await.unwrap();
    drop(lines);
}

#[tokio::test]
async fn p5_a_response_that_a_crash_left_goes_on_behind_what_was_shown() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::start().await;
    let mut config = Config::default();
    config.data.dir = dir.path().join("data");
    let user = crate::store::User { id: crate::id::UserId::new(), ..(*world.caller.user()).clone() };
    let turn = {
        let (store, _) = Store::open(&config.data, &config.cache, Clock::System).unwrap();
        store.create_user(user.clone(), None).await.unwrap();
        let note = super::super::response::Note { asked: asked(true, true), ended: None };
        let beside = Beside { annotation: Some(note.write()), ..Beside::default() };
        let (session, content) = (SessionId::new(), "hello".to_owned());
        let message = NewMessage { user: user.id, session, create: true, content, key: None, beside };
        let seq = store.append(message).unwrap().await.unwrap().message.seq;
        let turn = OpenTurn { session, seq };
        store.progress(turn, 0, "Well, ".to_owned()).await.unwrap();
        store.progress(turn, 6, "well. ".to_owned()).await.unwrap();
        store.close().await;
        turn
    };
    let (store, open) = Store::open(&config.data, &config.cache, Clock::System).unwrap();
    assert_eq!(open, [turn]);
    let chat = Chat::start(World::parts(&config, Arc::new(store), Clock::System), open);
    let session = OwnedSession { id: turn.session, owner: user.id };
    let end = loop {
        if let Some(end) = chat.response(&session, turn.seq).await.unwrap().unwrap().end {
            break end;
        }
        chat.inner.wait_for_end(turn).await.unwrap();
    };
    let pieces: Vec<_> = end.pieces().collect();
    assert_eq!((pieces[..2].to_vec(), pieces.len() > 2), (vec!["Well, ", "well. "], true));
    let page = chat.page(&session, PageRange { after: None, before: None, limit: 9 }).await.unwrap();
    let page: serde_json::Value = serde_json::from_slice(&page.body).unwrap();
    assert_eq!(page["messages"][1]["content"], end.text, "and the log has all of it");
    chat.drain().await;
    chat.inner.parts.store.close().await;
}

#[tokio::test]
async fn pieces_are_numbered_alike_now_and_later() {
    let world = World::start().await;
    let begun = world.chat.respond(&world.caller, order(Place::New, "hello", None)).await.unwrap();
    let session = world.chat.owned(&world.caller, begun.turn().0).await.unwrap();
    let (live, end) = world.heard(&session, begun.turn().1, 0).await;
    let (later, again) = world.heard(&session, begun.turn().1, 0).await;
    assert_eq!((&live, &end), (&later, &again));
    assert_eq!(live.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..live.len()).collect::<Vec<_>>());
    assert_eq!(live.iter().map(|(_, text)| text.as_str()).collect::<String>(), end.end.unwrap().text);
    let (rest, _) = world.heard(&session, begun.turn().1, live.len()).await;
    assert_eq!(rest, []);
}

#[tokio::test]
async fn a_repeat_is_known_by_its_key_and_a_retry_by_what_it_asks() {
    let world = World::start().await;
    let say = async |key| {
        let begun = world.chat.respond(&world.caller, order(Place::New, "hello", Some(key))).await;
        begun.map(|begun| (begun.turn(), begun.repeated))
    };
    let (first, repeated) = say(Key::Request("k", [1; 32])).await.unwrap();
    assert!(!repeated);
    assert_eq!(say(Key::Request("k", [1; 32])).await.unwrap(), (first, true));
    assert!(matches!(say(Key::Request("k", [2; 32])).await, Err(ChatError::KeyReused)));
}

#[tokio::test]
async fn a_retry_is_of_the_last_that_asked_the_same_unless_it_was_refused_or_answered_long_ago() {
    let world = World::start().await;
    let ask = async |digest: u8, is_retry| {
        let key = Key::Retried { digest: [digest; 32], is_retry, tag: [0; 16] };
        let asking = world.chat.asking(&world.caller, key).await.unwrap();
        let begun = world.chat.respond(&world.caller, order(Place::New, "hello", Some(asking.key()))).await.unwrap();
        (asking, begun.turn(), begun.repeated)
    };
    let (_, one, _) = ask(3, false).await;
    let (_, two, repeated) = ask(3, false).await;
    assert!(one != two && !repeated, "people do say the same twice");
    let (asking, again, repeated) = ask(3, true).await;
    assert!(again == two && repeated, "a retry is of the last");
    asking.is_answered();
    let (asking, again, _) = ask(3, true).await;
    assert_eq!(again, two, "an answer may be lost");
    asking.is_answered();
    world.chat.inner.tries.age();
    let (_, three, repeated) = ask(3, true).await;
    assert!(three != two && !repeated, "that one has its answer: this is another, whose first try never came");
    assert_eq!(ask(3, true).await.1, three);
    // What was refused, or never became anything, is not what was said before in the same words.
    let key = Key::Retried { digest: [3; 32], is_retry: false, tag: [0; 16] };
    drop(world.chat.asking(&world.caller, key).await.unwrap());
    let (_, four, repeated) = ask(3, true).await;
    assert!(four != three && !repeated);
    assert_eq!(ask(3, true).await.1, four);
    assert!(!ask(4, true).await.2, "the first try never came");
}

#[tokio::test]
async fn items_are_added_once_by_who_was_not_answered() {
    let world = World::start().await;
    let id = world.chat.create_conversation(&world.caller, None, vec![], None).await.unwrap();
    let session = world.chat.owned(&world.caller, id).await.unwrap();
    let add = async |is_retry| {
        let key = Key::Retried { digest: [5; 32], is_retry, tag: [0; 16] };
        let asking = world.chat.asking(&world.caller, key).await.unwrap();
        let items = vec![NewItem { role: Speaker::User, content: "once".to_owned() }];
        let added = world.chat.add_items(&session, items, Some(asking.key())).await.unwrap();
        (asking, added[0].seq)
    };
    let (_, one) = add(false).await;
    let (asking, again) = add(true).await;
    assert_eq!(one, again);
    asking.is_answered();
    let lost = world.chat.asking(&world.caller, Key::Retried { digest: [5; 32], is_retry: false, tag: [0; 16] });
    drop(lost.await.unwrap());
    assert_ne!(add(true).await.1, one);
}

#[tokio::test]
async fn items_are_named_for_good_and_can_be_taken_out() {
    let world = World::start().await;
    let item = |role, content: &str| NewItem { role, content: content.to_owned() };
    let items = vec![item(Speaker::Developer, "be brief"), item(Speaker::Assistant, "hi")];
    let about = Some("about".to_owned());
    let id = world.chat.create_conversation(&world.caller, about, items, None).await.unwrap();
    let session = world.chat.owned(&world.caller, id).await.unwrap();
    let (_, seq, _) = world.respond(Place::In(session), "question", None).await;
    let (all, _) = world.chat.items(&session, None, false, 100).await.unwrap().unwrap();
    let ids: Vec<_> = all.iter().map(ItemId::of).collect();
    let wanted = [ItemId::Reply(seq), ItemId::Message(seq), ItemId::Message(Seq(2)), ItemId::Message(Seq(1))];
    assert_eq!(ids, wanted);
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(world.chat.item(&session, *id).await.unwrap().unwrap(), all[at]);
        let (rest, _) = world.chat.items(&session, Some(*id), false, 100).await.unwrap().unwrap();
        assert_eq!(rest, all[at + 1..]);
        let (page, has_more) = world.chat.items(&session, Some(*id), true, 1).await.unwrap().unwrap();
        assert_eq!((page.first(), has_more), (at.checked_sub(1).map(|at| &all[at]), at > 1));
    }
    assert_eq!(
        world.chat.item(&session, ItemId::Message(Seq(4))).await.unwrap(),
        None,
        "it is named by what it answers"
    );
    assert!(world.chat.delete_item(&session, ItemId::Message(Seq(1))).await.unwrap());
    assert!(!world.chat.delete_item(&session, ItemId::Message(Seq(1))).await.unwrap());
    assert_eq!(world.texts(&session).await.len(), 3);
    let (behind, _) = world.chat.items(&session, Some(ItemId::Message(Seq(1))), true, 1).await.unwrap().unwrap();
    assert_eq!(behind[0].seq, Seq(2), "who was on the way through the list goes on behind it");
    let added = world.chat.add_items(&session, vec![item(Speaker::User, "more")], None).await.unwrap();
    assert_eq!((added[0].seq, added[0].status), (Seq(5), Status::Noted));
    assert_ne!(added[0].id, MessageId::from_bytes([0; 16]));
    assert_eq!(world.chat.about(&session).await.unwrap().as_deref(), Some("about"));
    world.chat.set_about(&session, None).await.unwrap();
    assert_eq!(world.chat.about(&session).await.unwrap(), None);
}

#[tokio::test]
async fn a_deleted_response_takes_what_was_said_for_it_along() {
    let world = World::start().await;
    let (alone, seq, _) = world.respond(Place::New, "one", None).await;
    world.chat.delete_response(&alone, seq).await.unwrap();
    assert!(matches!(world.chat.owned(&world.caller, alone.id()).await, Err(ChatError::NotOwner(_))));
    let (session, first, _) = world.respond(Place::New, "one", None).await;
    let (_, second, _) = world.respond(Place::Behind(session, first), "two", None).await;
    world.chat.delete_response(&session, first).await.unwrap();
    assert_eq!(world.texts(&session).await.len(), 2, "the second one stays");
    assert_eq!(world.chat.response(&session, first).await.unwrap(), None);
    assert!(matches!(world.chat.delete_response(&session, first).await, Err(ChatError::NoSuchMessage)));
    assert!(world.chat.response(&session, second).await.unwrap().is_some());
    let talk = world.session().await;
    let (_, seq, _) = world.respond(Place::In(talk), "three", None).await;
    world.chat.delete_response(&talk, seq).await.unwrap();
    assert_eq!(world.texts(&talk).await.len(), 2, "a conversation keeps what was said in it");
}

async fn futures_of<T, F: Future<Output = T>>(count: usize, make: impl Fn(usize) -> F) -> Vec<T> {
    let mut futures: Vec<_> = (0..count).map(|n| Box::pin(make(n))).collect();
    let mut done: Vec<Option<T>> = (0..count).map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(cx) {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
