//! What the store should hold: a few maps, and the deeds that change them.

mod items;
mod queue;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use queue::Queued;

use super::super::*;
use crate::id::{Seq, TokenId};

/// One thing that a test does to a store. Users, sessions, logins and keys are known by a letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Deed {
    User(u8),
    Role(u8),
    DeleteUser(u8),
    Token(u8, u8),
    EndToken(u8, u8),
    Session(u8, u8),
    Rename(u8, u8, &'static str),
    /// A message of this many bytes.
    Send(u8, u8, &'static str, usize, Option<u8>),
    Reply(u8, u64, &'static str),
    Fail(u8, u64),
    Retry(u8, u64, &'static str),
    Clear(u8),
    DeleteSession(u8, u8),
    /// A message that belongs to no turn.
    Item(u8, u8, &'static str),
    /// An annotation of a place.
    Note(u8, u8, u64, &'static str),
    /// A piece of a running reply, from this byte on.
    Piece(u8, u64, u32, &'static str),
    /// A reply, and the annotation of what it answers.
    NotedReply(u8, u64, &'static str, &'static str),
    Erase(u8, u8, u64),
    /// A job about a user, by its key.
    Job(u8, u8),
    TakeJob(u8),
    FailJob(u8),
    /// Ends a job that was taken, with a title for a session in the same frame.
    EndJob(u8, u8, u8, &'static str),
}

/// What a deed came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Acknowledged; the sequence, 0 where there is none.
    Done(u64),
    /// The store says that this can't be, as things stand.
    Refused,
    /// Nothing was stored, for a reason that has nothing to do with what was asked.
    NotStored,
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct World {
    users: BTreeMap<u8, bool>,
    tokens: BTreeMap<u8, u8>,
    sessions: BTreeMap<u8, Log>,
    gone: BTreeSet<u8>,
    keys: BTreeMap<u8, (u8, u64)>,
    jobs: BTreeMap<u8, Queued>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Log {
    owner: u8,
    title: Option<String>,
    head: u64,
    note: Option<String>,
    entries: BTreeMap<u64, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    text: String,
    reply_to: Option<u64>,
    status: String,
    note: Option<String>,
    pieces: Vec<String>,
}

pub(crate) fn user_id(user: u8) -> UserId {
    UserId::from_bytes([user; 16])
}

pub(crate) fn session_id(session: u8) -> SessionId {
    SessionId::from_bytes([session; 16])
}

fn login_id(token: u8) -> TokenId {
    TokenId::from_bytes([token; 16])
}

fn send_key(key: u8) -> SendKey {
    SendKey { key: [key; 16], body: [key; 16], expires_at: Timestamp(i64::MAX) }
}

fn text(words: &str, length: usize) -> String {
    words.chars().chain(std::iter::repeat_n('x', length.saturating_sub(words.len()))).collect()
}

impl Deed {
    /// Asks the store for it.
    pub(crate) async fn ask(&self, store: &Store) -> Answer {
        let done = match self.clone() {
            Self::User(user) => store.create_user(account(user), None).await.map(|()| None),
            Self::Role(user) => store
                .change_user(
                    user_id(user),
                    UserChange::Edit(AccountEdit { role: Some(Role::Admin), ..AccountEdit::default() }),
                )
                .await
                .map(|_| None),
            Self::DeleteUser(user) => store.delete_user(user_id(user)).await.map(|()| None),
            Self::Token(token, user) => {
                store.create_token(TokenDigest([token; 32]), login(token, user), 10).await.map(|()| None)
            }
            Self::EndToken(token, user) => match store.end_token(user_id(user), login_id(token)).await {
                Ok(false) => Err(StoreError::NoUser),
                ended => ended.map(|_| None),
            },
            Self::Session(session, user) => {
                let made = store.create_session(user_id(user), session_id(session), SessionEdit::default()).await;
                made.map(|_| None)
            }
            Self::Rename(session, user, title) => {
                let edit = SessionEdit { title: Edit::Set(Some(title.to_owned())), ..SessionEdit::default() };
                store.edit_session(user_id(user), session_id(session), edit).await.map(|_| None)
            }
            Self::Send(session, user, words, length, key) => {
                let message = message(session, user, text(words, length), key);
                match store.append(message) {
                    Ok(pending) => pending.await.map(|appended| Some(appended.message.seq.0)),
                    Err(error) => Err(error),
                }
            }
            Self::Reply(session, seq, words) => {
                store.conclude(turn(session, seq), reply(words), None).await.map(|reply| reply.map(|reply| reply.seq.0))
            }
            Self::Fail(session, seq) => {
                let ending = Ending::Failed { detail: "it failed".to_owned(), too_slow: false };
                store.conclude(turn(session, seq), ending, None).await.map(|_| None)
            }
            Self::Retry(session, seq, words) => {
                store.retry(turn(session, seq), reply(words)).await.map(|reply| reply.map(|reply| reply.seq.0))
            }
            Self::Clear(user) => store.clear_sessions(user_id(user)).await.map(|()| None),
            Self::DeleteSession(session, user) => {
                store.delete_session(user_id(user), session_id(session)).await.map(|()| None)
            }
            Self::Item(..) | Self::Note(..) | Self::Piece(..) | Self::NotedReply(..) | Self::Erase(..) => {
                self.ask_beside_turns(store).await
            }
            Self::Job(..) | Self::TakeJob(_) | Self::FailJob(_) | Self::EndJob(..) => {
                self.ask_of_queue(store).await.map(|()| None)
            }
        };
        match done {
            Ok(seq) => Answer::Done(seq.unwrap_or(0)),
            Err(StoreError::DiskFull | StoreError::Busy | StoreError::Ended) => Answer::NotStored,
            Err(StoreError::Unknown | StoreError::Unreadable(_)) => Answer::Unknown,
            Err(
                StoreError::NotOwner(_)
                | StoreError::NoUser
                | StoreError::NameTaken
                | StoreError::NoInvitation
                | StoreError::KeyReused
                | StoreError::TurnGone
                | StoreError::Moved
                | StoreError::Job(_),
            ) => Answer::Refused,
        }
    }

    /// True where the store has more to do once it is acknowledged.
    pub(crate) fn removes(&self) -> bool {
        matches!(self, Self::Clear(_) | Self::DeleteSession(..) | Self::DeleteUser(_))
    }
}

fn message(session: u8, user: u8, content: String, key: Option<u8>) -> NewMessage {
    let (user, session, key) = (user_id(user), session_id(session), key.map(send_key));
    NewMessage { user, session, create: false, content, key, beside: Beside::default() }
}

fn account(user: u8) -> User {
    let name = format!("user{user}");
    User {
        id: user_id(user),
        username: name.clone(),
        folded: name,
        display_name: String::new(),
        role: Role::User,
        tier: Tier::Free,
        password: String::new(),
        disabled: false,
        created_at: Timestamp(1),
    }
}

fn login(token: u8, user: u8) -> Token {
    let at = Timestamp(1);
    let (id, user) = (login_id(token), user_id(user));
    Token { id, user, label: None, created_at: at, expires_at: Timestamp(i64::MAX), last_used_at: at, scopes: None }
}

fn turn(session: u8, seq: u64) -> OpenTurn {
    OpenTurn { session: session_id(session), seq: Seq(seq) }
}

fn reply(words: &str) -> Ending {
    Ending::Reply { content: words.to_owned(), stopped: false }
}

impl World {
    /// Does `deed`; gives the sequence, 0 where there is none, or nothing where it can't be done.
    pub(crate) fn follow(&mut self, deed: &Deed) -> Option<u64> {
        match *deed {
            Deed::User(user) => (self.users.insert(user, false).is_none()).then_some(0),
            Deed::Role(user) => self.users.get_mut(&user).map(|admin| {
                *admin = true;
                0
            }),
            Deed::DeleteUser(user) => {
                self.users.remove(&user)?;
                self.tokens.retain(|_, of| *of != user);
                self.jobs.retain(|_, job| job.user != user);
                let theirs: Vec<u8> =
                    self.sessions.iter().filter(|(_, log)| log.owner == user).map(|(id, _)| *id).collect();
                for id in theirs {
                    self.remove(id);
                }
                Some(0)
            }
            Deed::Token(token, user) => {
                self.users.get(&user)?;
                self.tokens.insert(token, user);
                Some(0)
            }
            Deed::EndToken(token, _) => self.tokens.remove(&token).map(|_| 0),
            Deed::Session(id, owner) => {
                if let Some(log) = self.sessions.get(&id) {
                    return (log.owner == owner).then_some(0);
                }
                if self.gone.contains(&id) || !self.users.contains_key(&owner) {
                    return None;
                }
                self.sessions.insert(id, Log { owner, ..Log::default() });
                Some(0)
            }
            Deed::Rename(id, _, title) => {
                self.sessions.get_mut(&id)?.title = Some(title.to_owned());
                Some(0)
            }
            Deed::Send(id, _, words, length, key) => self.send(id, text(words, length), key),
            Deed::Reply(id, seq, words) => self.end(id, seq, "pending", Some(words)),
            Deed::Fail(id, seq) => self.end(id, seq, "pending", None),
            Deed::Retry(id, seq, words) => self.end(id, seq, "", Some(words)),
            Deed::Clear(user) => {
                for (_, log) in self.sessions.iter_mut().filter(|(_, log)| log.owner == user) {
                    log.entries.clear();
                }
                Some(0)
            }
            Deed::DeleteSession(id, _) => {
                self.sessions.get(&id)?;
                self.remove(id);
                Some(0)
            }
            Deed::Item(..) | Deed::Note(..) | Deed::Piece(..) | Deed::NotedReply(..) | Deed::Erase(..) => {
                self.follow_beside_turns(deed)
            }
            Deed::Job(..) | Deed::TakeJob(_) | Deed::FailJob(_) | Deed::EndJob(..) => self.follow_in_queue(deed),
        }
    }

    fn remove(&mut self, id: u8) {
        self.sessions.remove(&id);
        self.gone.insert(id);
    }

    fn send(&mut self, id: u8, text: String, key: Option<u8>) -> Option<u64> {
        if let Some((session, seq)) = key.and_then(|key| self.keys.get(&key)) {
            return self.sessions.get(session)?.entries.contains_key(seq).then_some(*seq);
        }
        let log = self.sessions.get_mut(&id)?;
        let seq = log.push(text, None, "pending");
        if let Some(key) = key {
            self.keys.insert(key, (id, seq));
        }
        Some(seq)
    }

    /// Ends the turn at `seq`, which is `pending`, or anew where that is nothing.
    fn end(&mut self, id: u8, seq: u64, status: &str, words: Option<&str>) -> Option<u64> {
        let log = self.sessions.get_mut(&id)?;
        let entry = log.entries.get_mut(&seq).filter(|entry| entry.reply_to.is_none())?;
        if (entry.status == "pending") != (status == "pending") {
            return None;
        }
        entry.pieces.clear();
        entry.status = if words.is_some() { "answered" } else { "failed" }.to_owned();
        for reply in log.entries.values_mut().filter(|entry| entry.reply_to == Some(seq)) {
            reply.status = "superseded".to_owned();
        }
        Some(words.map_or(0, |words| log.push(words.to_owned(), Some(seq), "complete")))
    }

    /// The turns that have no outcome.
    pub(crate) fn open_turns(&self) -> BTreeSet<OpenTurn> {
        let of = |(id, log): (&u8, &Log)| {
            let open = log.entries.iter().filter(|(_, entry)| entry.status == "pending");
            open.map(|(seq, _)| turn(*id, *seq)).collect::<Vec<_>>()
        };
        self.sessions.iter().flat_map(of).collect()
    }

    /// What a store shows; `keys` says whose each key is.
    pub(crate) async fn seen_in(store: &Store, keys: &[(u8, u8)]) -> Self {
        let mut world = Self::default();
        for user in store.users(None, 100).await.unwrap() {
            let letter = user.id.bytes()[0];
            world.users.insert(letter, user.role == Role::Admin);
            for token in store.tokens(user.id).await.unwrap() {
                let digest = TokenDigest([token.id.bytes()[0]; 32]);
                assert_eq!(store.token(digest).await.unwrap().as_deref(), Some(&token));
                world.tokens.insert(token.id.bytes()[0], letter);
            }
            for session in store.sessions(user.id, None, 100).await.unwrap() {
                let mut log = Log { owner: letter, title: session.title, head: session.head.0, ..Log::default() };
                log.read(store, session.id).await;
                log.read_beside(store, session.id).await;
                world.sessions.insert(session.id.bytes()[0], log);
            }
        }
        world.read_queue(store).await;
        for (key, user) in keys {
            match store.sent_before(user_id(*user), send_key(*key)).await {
                Ok(Some(sent)) => drop(world.keys.insert(*key, (sent.session.bytes()[0], sent.message.seq.0))),
                Ok(None) | Err(StoreError::TurnGone) => {}
                Err(error) => panic!("{error}"),
            }
        }
        world
    }

    /// As a reader sees it: without what only the writer knows.
    pub(crate) fn shown(mut self) -> Self {
        self.gone.clear();
        let sessions = &self.sessions;
        let is_there = |(id, seq): (u8, u64)| sessions.get(&id).is_some_and(|log| log.entries.contains_key(&seq));
        self.keys.retain(|_, place| is_there(*place));
        self
    }
}

impl Log {
    fn push(&mut self, text: String, reply_to: Option<u64>, status: &str) -> u64 {
        self.head += 1;
        let (status, note, pieces) = (status.to_owned(), None, Vec::new());
        self.entries.insert(self.head, Entry { text, reply_to, status, note, pieces });
        self.head
    }

    /// Reads a session whose messages stand close together, up to its head.
    async fn read(&mut self, store: &Store, id: SessionId) {
        let mut after = Seq::ZERO;
        loop {
            let (messages, head) = store.log_after(id, after, 200).await.unwrap();
            assert_eq!(head.0, self.head);
            let Some(last) = messages.last() else { return };
            after = last.seq;
            for message in messages {
                let json: Value = serde_json::from_slice(&message.json).unwrap();
                let text = json["content"].as_str().unwrap().to_owned();
                let status = json["status"].as_str().unwrap().to_owned();
                let reply_to = message.reply_to.map(|seq| seq.0);
                let (note, pieces) = (None, Vec::new());
                self.entries.insert(message.seq.0, Entry { text, reply_to, status, note, pieces });
            }
        }
    }
}
