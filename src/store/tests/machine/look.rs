//! All that a store shows, against the world: pages, histories, lists, searches, exports, accounts.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    actual::Names,
    items::{look_at_annotations, look_beside},
    jobs::{Key, Work},
    world::{Ended, World},
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId},
    store::{
        Hit, Hits, Job, JobState, JobStateName, Message, Outcome, PageRange, Passwords, Rendered, Repeat, Session,
        Speaker, Status, Store, StoreError, Token, User,
    },
};

/// Entity tags, and what they were sent with.
pub(super) type Tags = HashMap<http::HeaderValue, Bytes>;

/// A world, and what its things are called.
#[derive(Clone, Copy)]
pub(super) struct Sight<'w> {
    pub(super) world: &'w World,
    pub(super) names: &'w Names,
}

/// The parameters of a page, and of a history.
pub(super) const PAGES: [(Option<u64>, Option<u64>, usize); 7] = [
    (None, None, 50),
    (None, None, 2),
    (Some(0), None, 3),
    (Some(2), None, 200),
    (None, Some(4), 2),
    (Some(1), Some(5), 2),
    (Some(3), Some(3), 9),
];
const HISTORIES: [(usize, u64); 4] = [(50, 0), (2, 0), (3, 1), (1, 300)];

impl Sight<'_> {
    pub(super) fn session(self, number: usize) -> Session {
        let log = &self.world.sessions[number];
        Session {
            id: self.names.sessions[number],
            owner: self.names.users[log.owner],
            title: log.title.clone(),
            system_prompt: log.prompt.clone(),
            head: Seq(log.head()),
            created_at: Timestamp(log.created_at),
            updated_at: Timestamp(log.updated_at),
        }
    }

    pub(super) fn user(self, number: usize) -> User {
        let account = &self.world.users[number];
        User {
            id: self.names.users[number],
            username: format!("User {}", account.name),
            folded: format!("user {}", account.name),
            display_name: String::new(),
            role: account.role,
            tier: account.tier,
            password: format!("password {}", account.password),
            disabled: account.disabled,
            created_at: Timestamp(account.created_at),
        }
    }

    pub(super) fn login(self, number: usize) -> Token {
        let login = &self.world.logins[number];
        Token {
            id: self.names.logins[number].0,
            user: self.names.users[login.user],
            label: Some(format!("label {number}")),
            created_at: Timestamp(login.created_at),
            expires_at: Timestamp(login.expires_at),
            last_used_at: Timestamp(login.last_used_at),
            scopes: None,
        }
    }

    pub(super) fn message(self, number: usize, seq: u64) -> Message {
        let log = &self.world.sessions[number];
        let line = log.line(seq);
        Message {
            seq: Seq(seq),
            id: self.names.messages[&(number, seq)],
            role: line.noted.unwrap_or(if line.begins() { Speaker::User } else { Speaker::Assistant }),
            content: line.content.to_string(),
            reply_to: line.reply_to.map(Seq),
            status: log.status(seq),
            created_at: Timestamp(line.at),
        }
    }

    /// A job as the store shows it, whose id is known.
    pub(super) fn job(self, number: usize) -> Job {
        let work = &self.world.queue.all[number];
        let id = self.names.jobs[number].unwrap_or_default();
        Job {
            id,
            kind: if matches!(work.key, Key::Title(_) | Key::OwnTitle) { "titles" } else { "test" }.to_owned(),
            key: match work.key {
                Key::Named(key) => format!("key {key}"),
                Key::OwnNamed(key) => format!("key {key}/{id}"),
                Key::Title(session) => format!("titles/{}", self.names.sessions[session]),
                Key::OwnTitle => format!("titles/{id}"),
            },
            user: work.user.map(|user| self.names.users[user]),
            payload: self.payload(work),
            enqueued_at: Timestamp(work.enqueued_at),
            due: Timestamp(work.due),
            attempts: work.attempts,
            last_error: work.last_error.clone(),
            state: work.state,
            recurring: work.repeat == Repeat::Recurring,
        }
    }

    pub(super) fn payload(self, work: &Work) -> String {
        match work.key {
            Key::Title(_) | Key::OwnTitle => self.names.sessions[work.payload].to_string(),
            Key::Named(_) | Key::OwnNamed(_) => format!("payload {}", work.payload),
        }
    }

    /// The sessions that are there, of one user or of all.
    pub(super) fn sessions(self, user: Option<usize>) -> Vec<usize> {
        let there = |&number: &usize| {
            let log = &self.world.sessions[number];
            !log.deleted && user.is_none_or(|user| log.owner == user)
        };
        let mut sessions: Vec<usize> = (0..self.world.sessions.len()).filter(there).collect();
        sessions.sort_by_key(|&number| self.names.sessions[number]);
        sessions
    }

    /// A page: `{messages, head, has_more}`; nothing where the session is gone.
    pub(super) fn page(
        self,
        number: usize,
        (after, before, limit): (Option<u64>, Option<u64>, usize),
    ) -> Option<Value> {
        let log = self.world.sessions.get(number).filter(|log| !log.deleted)?;
        let within = |seq: &u64| after.is_none_or(|after| *seq > after) && before.is_none_or(|before| *seq < before);
        let all: Vec<u64> = log.shown().filter(within).collect();
        let limited = all.len().min(limit);
        let shown = if after.is_some() { &all[..limited] } else { &all[all.len() - limited..] };
        let messages: Vec<Value> = shown.iter().map(|&seq| json!(self.message(number, seq))).collect();
        Some(json!({"messages": messages, "head": log.head(), "has_more": all.len() > limit}))
    }

    /// The turns of some sessions by their place among all: `(stamp, session, seq)`.
    fn turns(self, sessions: &[usize]) -> Vec<(u64, usize, u64)> {
        let mut turns = Vec::new();
        for &number in sessions {
            let log = &self.world.sessions[number];
            let asked = log.shown().filter(|&seq| log.line(seq).begins());
            turns.extend(asked.map(|seq| (log.line(seq).stamp, number, seq)));
        }
        turns.sort_unstable();
        turns
    }

    fn pair(self, number: usize, seq: u64) -> Value {
        let message = self.message(number, seq);
        let reply = self.answer(number, seq);
        json!({
            "id": reply.as_ref().unwrap_or(&message).id,
            "session_id": self.names.sessions[number],
            "message": message.content,
            "response": reply.map_or(String::new(), |reply| reply.content),
            "status": message.status,
            "has_personality_context": false,
            "created_at": message.created_at.to_string(),
        })
    }

    /// The reply at a place, as the outcome of its turn.
    pub(super) fn answer_at(self, number: usize, at: u64) -> Message {
        let stopped = self.world.sessions[number].line(at).stopped;
        let status = if stopped { Status::Stopped } else { Status::Complete };
        Message { status, ..self.message(number, at) }
    }

    fn answer(self, number: usize, seq: u64) -> Option<Message> {
        let Ended::Reply(at) = self.world.sessions[number].line(seq).end else { return None };
        Some(self.message(number, at))
    }

    /// The old client's shape of the newest of these turns.
    fn pairs(self, turns: &[(u64, usize, u64)], user: usize, (limit, offset): (usize, u64)) -> Value {
        let end = turns.len().saturating_sub(usize::try_from(offset).unwrap());
        let newest = &turns[end.saturating_sub(limit)..end];
        let pairs: Vec<Value> = newest.iter().map(|&(_, number, seq)| self.pair(number, seq)).collect();
        json!({"messages": pairs, "total": turns.len(), "user_id": self.names.users[user]})
    }

    pub(super) fn history(self, number: usize, window: (usize, u64)) -> Option<Value> {
        let log = self.world.sessions.get(number).filter(|log| !log.deleted)?;
        Some(self.pairs(&self.turns(&[number]), log.owner, window))
    }

    fn found(self, user: usize, needle: &str) -> Vec<(u64, usize, u64)> {
        let mut turns = self.turns(&self.sessions(Some(user)));
        turns.retain(|&(_, number, seq)| {
            let answer = self.answer(number, seq).map_or(String::new(), |reply| reply.content);
            self.world.sessions[number].line(seq).content.contains(needle) || answer.contains(needle)
        });
        turns
    }

    /// The newest three of the messages that have `needle`, and how many there are.
    fn hits(self, user: usize, needle: &str) -> Hits {
        let mut found = Vec::new();
        for number in self.sessions(Some(user)) {
            let log = &self.world.sessions[number];
            let has_it = |&seq: &u64| log.line(seq).content.contains(needle) && log.status(seq) != Status::Superseded;
            found.extend(log.shown().filter(has_it).map(|seq| (log.line(seq).stamp, number, seq)));
        }
        found.sort_unstable_by(|one, other| other.cmp(one));
        let hit = |&(_, number, seq): &(u64, usize, u64)| {
            let message = self.message(number, seq);
            let (session_id, title) = (self.names.sessions[number], self.world.sessions[number].title.clone());
            let excerpt = crate::text::excerpt(&message.content, needle, 240).unwrap();
            Hit { session_id, title, seq: message.seq, role: message.role, created_at: message.created_at, excerpt }
        };
        Hits { hits: found.iter().take(3).map(hit).collect(), total: found.len() as u64 }
    }

    fn export(self, user: usize) -> Vec<Value> {
        let account = self.user(user);
        let mut lines = vec![json!({
            "type": "user", "id": account.id, "username": account.username, "display_name": "", "role": account.role,
            "tier": account.tier, "created_at": account.created_at.to_string(),
        })];
        if account.disabled {
            lines[0]["disabled"] = json!(true);
        }
        for login in self.world.logins_of(user).into_iter().map(|number| self.login(number)) {
            lines.push(json!({
                "type": "login", "id": login.id, "label": login.label, "created_at": login.created_at.to_string(),
                "expires_at": login.expires_at.to_string(), "last_used_at": login.last_used_at.to_string(),
            }));
        }
        for number in self.sessions(Some(user)) {
            let mut line = json!(self.session(number));
            line["type"] = json!("session");
            if let Some(note) = &self.world.sessions[number].about {
                line["note"] = json!(note);
            }
            lines.push(line);
            for seq in self.world.sessions[number].shown() {
                let mut line = json!(self.message(number, seq));
                line["type"] = json!("message");
                line["session_id"] = json!(self.names.sessions[number]);
                let is_stopped = line["role"] == "assistant" && line["status"] == "stopped";
                if line["content"] == "" && !is_stopped {
                    line["erased"] = json!(true);
                }
                if let Some(note) = &self.world.sessions[number].line(seq).note {
                    line["note"] = json!(note);
                }
                if let Ended::Failed { detail, too_slow } = &self.world.sessions[number].line(seq).end {
                    line["failure"] = json!({"detail": detail, "too_slow": too_slow});
                }
                lines.push(line);
            }
        }
        lines
    }
}

/// A page, but how its messages stand.
pub(super) fn without_status(mut page: Option<Value>) -> Option<Value> {
    for message in page.iter_mut().flat_map(|page| page["messages"].as_array_mut().into_iter().flatten()) {
        message["status"] = Value::Null;
    }
    page
}

/// A body as JSON; nothing where the session is gone. The same tag must not stand for two bodies, nor two for one.
pub(super) fn shown(read: Result<Rendered, StoreError>, tags: &mut Tags) -> Option<Value> {
    match read {
        Ok(Rendered { etag, body }) => {
            let value = serde_json::from_slice(&body).unwrap();
            assert_eq!(tags.entry(etag).or_insert_with(|| body.clone()), &body, "one entity tag for two answers");
            Some(value)
        }
        Err(StoreError::NotOwner(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

/// Wants the store to show this world and nothing else. `round` chooses what of the many is looked at this time.
pub(super) async fn look(store: &Store, sight: Sight<'_>, tags: &mut Tags, round: usize) {
    for number in 0..sight.world.sessions.len() {
        let id = sight.names.sessions[number];
        if sight.world.is_adrift(number) {
            continue;
        }
        if sight.world.sessions[number].deleted {
            assert_eq!(store.session(id).await.unwrap(), None, "a deleted session is there");
            assert_eq!(store.owner(id).await.unwrap(), None);
            assert!(matches!(store.log_after(id, Seq::ZERO, 1).await, Err(StoreError::NotOwner(_))));
        }
        look_at_session(store, sight, (number, id), tags, round).await;
    }
    for user in 0..sight.world.users.len() {
        look_at_user(store, sight, user, tags, round).await;
    }
    let mut users: Vec<User> =
        (0..sight.world.users.len()).filter(|&n| !sight.world.users[n].deleted).map(|n| sight.user(n)).collect();
    users.sort_by_key(|user| user.id);
    assert!(store.users(None, 100).await.unwrap() == users, "the list of accounts");
    look_at_jobs(store, sight).await;
    for (number, (_, digest)) in sight.names.logins.iter().enumerate() {
        let wanted = (!sight.world.logins[number].ended).then(|| sight.login(number));
        let token = store.token(*digest).await.unwrap();
        assert_eq!(token.as_deref(), wanted.as_ref(), "login {number}");
    }
}

async fn look_at_jobs(store: &Store, sight: Sight<'_>) {
    let (all, now) = (&sight.world.queue.all, sight.world.now);
    let is_unsure = |id| (0..all.len()).any(|n| sight.names.jobs[n] == Some(id) && all[n].is_unsure(now));
    for name in [JobStateName::Queued, JobStateName::Running, JobStateName::Parked] {
        let mut listed = store.jobs(name, None, 1000).await.unwrap();
        listed.retain(|job| !is_unsure(job.id));
        let mut wanted: Vec<Job> = (0..all.len()).filter(|&n| all[n].is_there(now)).map(|n| sight.job(n)).collect();
        wanted.retain(|job| job.cursor().state() == name);
        wanted.sort_by_key(|job| match job.state {
            JobState::Queued => (job.due, job.id),
            JobState::Running { until } => (until, job.id),
            JobState::Parked { at } => (at, job.id),
        });
        assert_eq!(listed, wanted, "jobs that are {name:?}");
    }
}

async fn look_at_session(
    store: &Store,
    sight: Sight<'_>,
    (number, id): (usize, SessionId),
    tags: &mut Tags,
    round: usize,
) {
    for (after, before, limit) in [PAGES[0], PAGES[round % PAGES.len()]] {
        let range = PageRange { after: after.map(Seq), before: before.map(Seq), limit };
        let page = shown(store.page(id, range).await, tags);
        assert_eq!(page, sight.page(number, (after, before, limit)), "session {number}: {range:?}");
    }
    for window in [HISTORIES[0], HISTORIES[round % HISTORIES.len()]] {
        let user = sight.names.users[sight.world.sessions[number].owner];
        let history = shown(store.history(user, Some(id), window.0, window.1).await, tags);
        assert_eq!(history, sight.history(number, window), "session {number}: history {window:?}");
    }
    let log = &sight.world.sessions[number];
    if log.deleted {
        return;
    }
    look_beside(store, sight, (number, id), round).await;
    assert_eq!(store.session(id).await.unwrap(), Some(sight.session(number)), "session {number}");
    assert_eq!(store.owner(id).await.unwrap(), Some(sight.names.users[log.owner]));
    let turns: Vec<(Seq, Status)> =
        sight.turns(&[number]).iter().map(|&(_, _, seq)| (Seq(seq), log.status(seq))).collect();
    let standing = store.standing(id, 3).await.unwrap();
    let newest = &turns[turns.len().saturating_sub(3)..];
    assert_eq!((standing.head, standing.turns.as_slice()), (Seq(log.head()), newest), "session {number}: standing");
    let (logged, head) = store.log_after(id, Seq(log.cleared + 1), 4).await.unwrap();
    let wanted: Vec<Value> = log.shown().skip(1).take(4).map(|seq| json!(sight.message(number, seq))).collect();
    let logged: Vec<Value> = logged.iter().map(|logged| serde_json::from_slice(&logged.json).unwrap()).collect();
    let few = logged.len(); // Not many bytes at once.
    assert!(few > 0 || wanted.is_empty());
    assert_eq!((&logged[..], head), (&wanted[..few], Seq(log.head())), "session {number}: the log");
    let pick = turns.len().checked_sub(1 + round % turns.len().max(1));
    if let Some((seq, status)) = pick.and_then(|pick| turns.get(pick)) {
        look_at_turn(store, sight, (number, id, seq.0), *status).await;
    }
    for seq in [0, log.cleared, log.head() + 1] {
        assert!(store.turn(id, Seq(seq)).await.unwrap().is_none(), "session {number}: no message at {seq}");
    }
}

async fn look_at_turn(store: &Store, sight: Sight<'_>, (number, id, seq): (usize, SessionId, u64), status: Status) {
    let log = &sight.world.sessions[number];
    let (message, outcome) = store.turn(id, Seq(seq)).await.unwrap().unwrap();
    assert_eq!((message.status, &message), (status, &sight.message(number, seq)));
    match (&outcome, &log.line(seq).end) {
        (Outcome::Pending, Ended::NotYet(_)) | (Outcome::Interrupted, Ended::Interrupted) => {}
        (Outcome::Failed { detail, too_slow }, Ended::Failed { detail: wanted, too_slow: slow }) => {
            assert_eq!((detail, too_slow), (wanted, slow));
        }
        (Outcome::Reply(reply), Ended::Reply(at)) => {
            assert_eq!(reply, &sight.answer_at(number, *at));
        }
        (outcome, wanted) => panic!("session {number}, turn {seq}: {outcome:?} and not {wanted:?}"),
    }
    let context: Vec<Message> = store.context(id, Seq(seq), 3, usize::MAX).await.unwrap().0;
    let wanted: Vec<Message> = log.shown().filter(|&at| at + 3 > seq).map(|at| sight.message(number, at)).collect();
    assert_eq!(context, wanted, "session {number}: context of {seq}");
}

async fn look_at_user(store: &Store, sight: Sight<'_>, user: usize, tags: &mut Tags, round: usize) {
    let (account, id) = (&sight.world.users[user], sight.names.users[user]);
    let found = store.user(id).await.unwrap();
    assert!(found.as_deref() == (!account.deleted).then(|| sight.user(user)).as_ref(), "user {user}");
    if account.deleted {
        assert!(store.tokens(id).await.unwrap().is_empty(), "a deleted account has logins");
        return;
    }
    let by_name = store.user_by_name(&format!("user {}", account.name)).await.unwrap();
    assert!(by_name.as_deref() == Some(&sight.user(user)), "user {user} by name");
    let logins: Vec<Token> = sight.world.logins_of(user).into_iter().map(|number| sight.login(number)).collect();
    assert_eq!(store.tokens(id).await.unwrap(), logins, "the logins of user {user}");
    look_at_list(store, sight, user).await;
    look_at_annotations(store, sight, user, round).await;
    let turns = sight.turns(&sight.sessions(Some(user)));
    for window in [HISTORIES[0], HISTORIES[round % HISTORIES.len()]] {
        let history = shown(store.history(id, None, window.0, window.1).await, tags);
        assert_eq!(history, Some(sight.pairs(&turns, user, window)), "user {user}: history {window:?}");
    }
    let needle = ["umbrella", &format!("umbrella{}x", round % sight.world.texts().max(1))][round % 2].to_owned();
    let search = shown(store.search(id, &needle.to_uppercase(), 3, Duration::from_mins(1)).await, tags);
    let wanted = sight.pairs(&sight.found(user, &needle), user, (3, 0));
    assert_eq!(search, Some(wanted), "user {user}: {needle}");
    let hits = store.find(id, &needle.to_uppercase(), 3, Duration::from_mins(1)).await.unwrap();
    assert_eq!(hits, sight.hits(user, &needle), "user {user}: hits for {needle}");
    let (mut lines, mut cursor) = (Vec::new(), None);
    while let Some((bytes, next)) = store.export(id, cursor, Passwords::Without).await.unwrap() {
        lines.extend(bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
        cursor = Some(next);
    }
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(lines, sight.export(user), "user {user}: export");
}

/// The list of sessions, page by page.
async fn look_at_list(store: &Store, sight: Sight<'_>, user: usize) {
    let mut wanted: Vec<Session> = sight.sessions(Some(user)).into_iter().map(|number| sight.session(number)).collect();
    wanted.sort_by_key(|session| std::cmp::Reverse((session.updated_at, session.id)));
    let (mut listed, mut after): (Vec<Session>, _) = (Vec::new(), None);
    loop {
        let some = store.sessions(sight.names.users[user], after, 3).await.unwrap();
        let Some(last) = some.last() else { break };
        after = Some((last.updated_at, last.id));
        listed.extend(some);
    }
    assert_eq!(listed, wanted, "the sessions of user {user}");
}
