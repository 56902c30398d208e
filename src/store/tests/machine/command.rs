//! The calls that give commands to the store.

use std::{sync::Arc, time::Duration};

use super::{
    actual::{Actual, Answer, Got},
    items::note,
    jobs::JobOp,
    look::Sight,
    step::{Change, End, Op, Size},
    world::{Told, World, content},
};
use crate::{
    clock::Timestamp,
    id::{Seq, TokenId, UserId},
    store::{
        AccountEdit, Edit, Ending, JobEffect, NewJob, NewMessage, OpenTurn, Role, SendKey, SessionEdit, Taken, Tier,
        Token, TokenDigest, User, UserChange,
    },
};

impl Actual {
    /// The call that gives `op`, which was decided in the world `before`.
    pub(super) fn command(&self, op: &Op, before: &World, told: &Told) -> Answer {
        let (store, names) = (Arc::clone(&self.store), &self.names);
        let user = |pick: u8| before.user(pick).map_or_else(UserId::new, |user| names.users[user]);
        let session = |pick: u8| names.sessions.get(before.session(pick)).copied().unwrap_or_default();
        // The texts are those that the world has counted up to.
        let text = self.world.texts().max(before.texts() + 1);
        match *op {
            Op::Register { .. } => self.register(op, before, told),
            Op::Invite { .. }
            | Op::Change { .. }
            | Op::Unregister { .. }
            | Op::Login { .. }
            | Op::Logout { .. }
            | Op::Touch { .. } => self.of_account(op, before, told),
            Op::Create { user: pick, session: number, title } => {
                let (user, id) = (user(pick), session(number));
                let title = if title { Edit::Set(Some(format!("title {text}"))) } else { Edit::Keep };
                let edit = SessionEdit { title, system_prompt: Edit::Keep };
                Box::pin(async move {
                    store.create_session(user, id, edit).await.map(|(session, new)| Got::Session(session, new))
                })
            }
            Op::Edit { user: pick, session: number, title, prompt } => {
                let (user, id, edit) = (user(pick), session(number), edit(title, prompt, text));
                Box::pin(
                    async move { store.edit_session(user, id, edit).await.map(|session| Got::Session(session, false)) },
                )
            }
            Op::Delete { user: pick, session: number } => {
                let (user, id) = (user(pick), session(number));
                Box::pin(async move { store.delete_session(user, id).await.map(|()| Got::Done) })
            }
            Op::Clear { user: pick } => {
                let user = user(pick);
                Box::pin(async move { store.clear_sessions(user).await.map(|()| Got::Done) })
            }
            Op::Append { user: pick, session: number, create, key, body, lasts, size, ref with } => {
                let account = before.user(pick).unwrap();
                let key = before.sure_key(account, key).map(|key| send_key(key, body, before.now + lasts));
                let content = content(text, size);
                let new = NewMessage {
                    user: user(pick),
                    session: session(number),
                    create,
                    content,
                    key,
                    beside: with.beside(before, before.session(number)),
                };
                Box::pin(async move { store.append(new)?.await.map(Got::Message) })
            }
            Op::Conclude { turn, end, size, noted } => {
                let (turn, ending) = (self.turn(before, turn), ending(end, text, size));
                let note = noted.then(|| note(before.texts() + 1));
                Box::pin(async move { store.conclude(turn, ending, note).await.map(Got::Reply) })
            }
            Op::Retry { turn, end, size } => {
                let (turn, ending) = (self.turn(before, turn), ending(end, text, size));
                Box::pin(async move { store.retry(turn, ending).await.map(Got::Reply) })
            }
            Op::Job(ref op) => self.of_queue(op, before),
            Op::Item(ref op) => self.of_program(op, before),
            Op::Import { user: pick, session: number, twice, .. } => {
                let import = before.import_of(op, user(pick), session(number));
                let twice = twice && before.alone;
                Box::pin(async move {
                    let again = twice.then(|| import.clone());
                    let first = store.import(import).await?;
                    let second = if let Some(again) = again { Some(store.import(again).await?) } else { None };
                    Ok(Got::Imported(first, second))
                })
            }
        }
    }

    /// As [`Actual::command`], for what is about accounts.
    fn of_account(&self, op: &Op, before: &World, told: &Told) -> Answer {
        let (store, names) = (Arc::clone(&self.store), &self.names);
        let user = |pick: u8| before.user(pick).map_or_else(UserId::new, |user| names.users[user]);
        match *op {
            Op::Invite { lasts } => {
                let (code, until) = (invitation(before.invitations.len()), Timestamp(before.now + lasts));
                Box::pin(async move { store.create_invitation(code, until).await.map(|()| Got::Done) })
            }
            Op::Change { user: pick, to } => {
                let (user, change) = (user(pick), self.change(to, before, pick));
                Box::pin(async move { store.change_user(user, change).await.map(Got::User) })
            }
            Op::Unregister { user: pick } => {
                let user = user(pick);
                Box::pin(async move { store.delete_user(user).await.map(|()| Got::Done) })
            }
            Op::Login { user: pick, max, lasts } => {
                let (user, max) = (user(pick), usize::from(max));
                let number = if let Told::Login(number) = told { *number } else { before.logins.len() };
                let (id, digest) = names.logins.get(number).copied().unwrap_or((TokenId::new(), TokenDigest([7; 32])));
                let (created_at, expires_at) = (Timestamp(before.now), Timestamp(before.now + lasts));
                let label = Some(format!("label {number}"));
                let token = Token { id, user, label, created_at, expires_at, last_used_at: created_at, scopes: None };
                Box::pin(async move { store.create_token(digest, token, max).await.map(|()| Got::Done) })
            }
            Op::Logout { user: pick, login } => {
                let (user, login) = (user(pick), names.logins[before.login_meant(login).unwrap()].0);
                Box::pin(async move { store.end_token(user, login).await.map(Got::Flag) })
            }
            Op::Touch { login } => {
                let (digest, now) = (names.logins[before.login_meant(login).unwrap()].1, Timestamp(before.now));
                Box::pin(async move {
                    store.touch_token(digest, now);
                    Ok(Got::Done)
                })
            }
            Op::Register { .. }
            | Op::Create { .. }
            | Op::Edit { .. }
            | Op::Delete { .. }
            | Op::Clear { .. }
            | Op::Append { .. }
            | Op::Conclude { .. }
            | Op::Retry { .. }
            | Op::Job(_)
            | Op::Item(_)
            | Op::Import { .. } => panic!("{op:?} is not about accounts"),
        }
    }

    /// As [`Actual::command`], for what is about the queue.
    fn of_queue(&self, op: &JobOp, before: &World) -> Answer {
        let (store, now) = (Arc::clone(&self.store), before.now);
        let user = |pick: u8| before.user(pick).map_or_else(UserId::new, |user| self.names.users[user]);
        let id = before.job(op).and_then(|job| self.names.jobs[job]).unwrap_or_default();
        let at = |from_now: i64| Timestamp(now + from_now);
        let next = |next: Option<i64>| next.map(at);
        let reason = format!("reason {}", before.texts() + 1);
        let lasting = |micros: i64| Duration::from_micros(u64::try_from(micros).unwrap());
        let taken = |late: bool| {
            let number = before.job(op).unwrap();
            let mut job = Sight { world: before, names: &self.names }.job(number);
            job.attempts = job.attempts.wrapping_sub(u32::from(late));
            Taken { job }
        };
        match *op {
            JobOp::Enqueue { key, repeat, user: pick, due } => {
                let (kind, key) = ("test".to_owned(), format!("key {key}"));
                let payload = format!("payload {}", before.texts() + 1);
                let job = NewJob { kind, key, user: pick.map(user), payload, due: at(due), repeat };
                Box::pin(async move { store.enqueue(job).await.map(Got::Enqueued) })
            }
            JobOp::Take { lease, .. } => {
                Box::pin(async move { store.take_job(id, lasting(lease)).await.map(|taken| Got::Job(taken.job)) })
            }
            JobOp::Finish { late, title, next: then, .. } => {
                let (taken, then) = (taken(late), next(then));
                let effect = title.map_or(JobEffect::Nothing, |(session, pick)| JobEffect::Title {
                    session: self.names.sessions.get(before.session(session)).copied().unwrap_or_default(),
                    owner: user(pick),
                    title: format!("title {}", before.texts() + 1),
                });
                Box::pin(async move { store.finish_job(&taken, effect, then).await.map(|()| Got::Done) })
            }
            JobOp::Fail { late, again, next: then, .. } => {
                let (taken, again, then) = (taken(late), at(again), next(then));
                Box::pin(async move { store.fail_job(&taken, reason, again, then).await.map(Got::Flag) })
            }
            JobOp::GiveBack { late, .. } => {
                let taken = taken(late);
                Box::pin(async move { store.give_back_job(&taken).await.map(|()| Got::Done) })
            }
            JobOp::Park { .. } => Box::pin(async move { store.park_job(id, reason).await.map(|()| Got::Done) }),
            JobOp::Retry { .. } => Box::pin(async move { store.retry_job(id).await.map(Got::Job) }),
            JobOp::Remove { .. } => Box::pin(async move { store.remove_job(id).await.map(|()| Got::Done) }),
        }
    }

    fn register(&self, op: &Op, before: &World, told: &Told) -> Answer {
        let Op::Register { name, invitation: code } = *op else { panic!("{op:?}") };
        let store = Arc::clone(&self.store);
        let code = code.map(|pick| invitation(usize::from(pick) % (before.invitations.len() + 1)));
        let id = if let Told::User(number) = told { self.names.users.get(*number).copied() } else { None };
        let user = User {
            id: id.unwrap_or_default(),
            username: format!("User {name}"),
            folded: format!("user {name}"),
            display_name: String::new(),
            role: Role::User,
            tier: Tier::Free,
            password: "password 0".to_owned(),
            disabled: false,
            created_at: Timestamp(before.now),
        };
        Box::pin(async move { store.create_user(user, code).await.map(|()| Got::Done) })
    }

    fn change(&self, to: Change, before: &World, pick: u8) -> UserChange {
        let user = before.user(pick).unwrap();
        let account = &self.world.users[user];
        match to {
            Change::Role => UserChange::Edit(AccountEdit { role: Some(account.role), ..AccountEdit::default() }),
            Change::Tier => UserChange::Edit(AccountEdit { tier: Some(account.tier), ..AccountEdit::default() }),
            Change::Disabled(disabled) => {
                UserChange::Edit(AccountEdit { disabled: Some(disabled), ..AccountEdit::default() })
            }
            Change::Password { keep } => {
                let keep = before.logins_of(user).get(usize::from(keep)).map(|login| self.names.logins[*login].0);
                UserChange::Password { password: format!("password {}", self.world.texts()), keep }
            }
        }
    }

    fn turn(&self, before: &World, pick: u8) -> OpenTurn {
        let (session, seq) = before.turn(pick).unwrap();
        OpenTurn { session: self.names.sessions[session], seq: Seq(seq) }
    }
}

pub(super) fn send_key(key: u8, body: u8, expires_at: i64) -> SendKey {
    SendKey { key: [key; 16], body: [body; 16], expires_at: Timestamp(expires_at) }
}

fn invitation(number: usize) -> TokenDigest {
    let mut digest = [9; 32];
    digest[..8].copy_from_slice(&(number as u64).to_le_bytes());
    TokenDigest(digest)
}

fn edit(title: bool, prompt: bool, text: usize) -> SessionEdit {
    let set = Edit::Set(Some(format!("edit {text}")));
    match (title, prompt) {
        (true, _) => SessionEdit { title: set, system_prompt: Edit::Keep },
        (false, true) => SessionEdit { title: Edit::Keep, system_prompt: set },
        (false, false) => SessionEdit { title: Edit::Set(None), system_prompt: Edit::Set(None) },
    }
}

fn ending(end: End, text: usize, size: Size) -> Ending {
    match end {
        End::Reply => Ending::Reply { content: content(text, size), stopped: false },
        End::Stopped => Ending::Reply { content: content(text, size), stopped: true },
        End::Failed { too_slow } => Ending::Failed { detail: content(text, Size::Short), too_slow },
        End::Interrupted => Ending::Interrupted,
    }
}
