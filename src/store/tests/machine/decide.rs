//! What each command comes to in the world.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    items::note,
    step::{Change, End, Fate, Op, Size},
    world::{Account, Code, Ended, Key, Line, Log, Login, Told, World, content},
};
use crate::store::{Role, Speaker, Tier};

impl World {
    /// Does what was not dropped before it began, and says what must be answered. Nothing for what can't be said
    /// beforehand, which is left out: things of deleted accounts, whose sessions go one after another.
    pub(super) fn tell(&mut self, op: &Op, fate: Fate) -> Option<Told> {
        let mut after = self.clone();
        let told = after.decide(op)?;
        if fate != Fate::Dropped(0) {
            *self = after;
        }
        Some(told)
    }

    fn decide(&mut self, op: &Op) -> Option<Told> {
        Some(match *op {
            Op::Register { name, invitation } => self.register(name, invitation)?,
            Op::Invite { lasts } => {
                self.invitations.push(Code { expires_at: self.now + lasts, used: false, unsure: true });
                Told::Done
            }
            Op::Change { user, to } => self.change(self.user(user)?, to),
            Op::Unregister { user } => self.unregister(self.user(user)?),
            Op::Login { user, max, lasts } => self.login(self.user(user)?, usize::from(max), lasts),
            Op::Logout { user, login } => self.logout(self.user(user)?, login)?,
            Op::Touch { login } => self.touch(login)?,
            Op::Create { user, session, title } => self.create(self.user(user)?, session, title)?,
            Op::Edit { user, session, title, prompt } => {
                self.edit(self.user(user)?, session, |log, text| match (title, prompt) {
                    (true, _) => log.title = text,
                    (false, true) => log.prompt = text,
                    (false, false) => (log.title, log.prompt) = (None, None),
                })?
            }
            Op::Delete { user, session } => self.delete(self.user(user)?, session)?,
            Op::Clear { user } => self.clear(self.user(user)?)?,
            Op::Append { .. } => self.append(op)?,
            Op::Conclude { turn, end, size, noted } => self.conclude(turn, (end, size), noted)?,
            Op::Retry { turn, end, size } => self.retry(turn, end, size)?,
            Op::Job(ref op) => self.decide_job(op)?,
            Op::Item(ref op) => self.decide_item(op)?,
            Op::Import { .. } => self.import(op)?,
        })
    }

    fn register(&mut self, name: u8, invitation: Option<u8>) -> Option<Told> {
        if self.users.iter().any(|user| user.name == name && !user.deleted) {
            return Some(Told::NameTaken);
        }
        if let Some(pick) = invitation {
            let code = usize::from(pick) % (self.invitations.len() + 1);
            let now = self.now;
            match self.invitations.get_mut(code).filter(|code| !code.used && code.expires_at > now) {
                Some(code) if code.unsure => return None,
                Some(code) => code.used = true,
                None => return Some(Told::NoInvitation),
            }
        }
        self.users.push(Account {
            name,
            password: 0,
            role: Role::User,
            tier: Tier::Free,
            disabled: false,
            deleted: false,
            created_at: self.now,
            keys: BTreeMap::new(),
        });
        Some(Told::User(self.users.len() - 1))
    }

    fn change(&mut self, user: usize, to: Change) -> Told {
        let texts = self.text();
        let account = &mut self.users[user];
        if account.deleted {
            return Told::NoUser;
        }
        match to {
            Change::Role => account.role = if account.role == Role::User { Role::Admin } else { Role::User },
            Change::Tier => account.tier = if account.tier == Tier::Free { Tier::Premium } else { Tier::Free },
            Change::Disabled(disabled) => {
                account.disabled = disabled;
                if disabled {
                    self.end_logins(user, None);
                }
            }
            Change::Password { keep } => {
                account.password = texts;
                let keep = self.logins_of(user).get(usize::from(keep)).copied();
                self.end_logins(user, keep);
            }
        }
        Told::User(user)
    }

    fn unregister(&mut self, user: usize) -> Told {
        if self.users[user].deleted {
            return Told::NoUser;
        }
        self.end_logins(user, None);
        self.end_jobs_of(user);
        self.users[user].deleted = true;
        Told::Done
    }

    /// The user's logins, oldest first.
    pub(super) fn logins_of(&self, user: usize) -> Vec<usize> {
        let mut of: Vec<usize> =
            (0..self.logins.len()).filter(|&n| self.logins[n].user == user && !self.logins[n].ended).collect();
        of.sort_by_key(|&n| (self.logins[n].created_at, n));
        of
    }

    fn end_logins(&mut self, user: usize, keep: Option<usize>) {
        for login in self.logins_of(user).into_iter().filter(|login| Some(*login) != keep) {
            self.logins[login].ended = true;
        }
    }

    fn login(&mut self, user: usize, max: usize, lasts: i64) -> Told {
        if self.users[user].deleted || self.users[user].disabled {
            return Told::NoUser;
        }
        let logins = self.logins_of(user);
        for oldest in logins.iter().take((logins.len() + 1).saturating_sub(max)) {
            self.logins[*oldest].ended = true;
        }
        let (created_at, expires_at) = (self.now, self.now + lasts);
        self.logins.push(Login { user, created_at, expires_at, last_used_at: created_at, ended: false, over: false });
        Told::Login(self.logins.len() - 1)
    }

    fn logout(&mut self, user: usize, pick: u8) -> Option<Told> {
        let login = self.login_meant(pick)?;
        let found = self.logins[login].user == user && !self.logins[login].ended;
        self.logins[login].ended |= found;
        Some(Told::Flag(found))
    }

    pub(super) fn login_meant(&self, pick: u8) -> Option<usize> {
        self.logins.len().checked_sub(1 + usize::from(pick) % self.logins.len().max(1))
    }

    fn touch(&mut self, pick: u8) -> Option<Told> {
        let (login, now) = (self.login_meant(pick)?, self.now);
        let login = &mut self.logins[login];
        if !login.ended {
            login.last_used_at = login.last_used_at.max(now);
        }
        Some(Told::Done)
    }

    fn create(&mut self, user: usize, pick: u8, titled: bool) -> Option<Told> {
        let number = self.session(pick);
        if number < self.sessions.len() {
            return Some(if self.owns(user, number) { Told::Session(number, false) } else { Told::NotOwner });
        }
        if self.users[user].deleted {
            return None;
        }
        let title = titled.then(|| format!("title {}", self.text()));
        self.sessions.push(self.empty(user, title));
        Some(Told::Session(number, true))
    }

    pub(super) fn empty(&self, owner: usize, title: Option<String>) -> Log {
        let (created_at, updated_at) = (self.now, self.now);
        Log {
            owner,
            title,
            prompt: None,
            created_at,
            updated_at,
            deleted: false,
            cleared: 0,
            about: None,
            messages: Vec::new(),
        }
    }

    fn edit(&mut self, user: usize, pick: u8, edit: impl FnOnce(&mut Log, Option<String>)) -> Option<Told> {
        let number = self.mine(user, pick)?;
        let text = format!("edit {}", self.text());
        if !self.owns(user, number) {
            return Some(Told::NotOwner);
        }
        let now = self.now;
        let log = &mut self.sessions[number];
        edit(log, Some(text));
        log.updated_at = log.updated_at.max(now);
        Some(Told::Session(number, false))
    }

    /// A session that is there.
    fn mine(&self, user: usize, pick: u8) -> Option<usize> {
        let number = self.session(pick);
        (number < self.sessions.len() && !self.users[user].deleted).then_some(number)
    }

    fn delete(&mut self, user: usize, pick: u8) -> Option<Told> {
        let number = self.mine(user, pick)?;
        if !self.owns(user, number) {
            return Some(Told::NotOwner);
        }
        self.sessions[number].deleted = true;
        Some(Told::Done)
    }

    fn clear(&mut self, user: usize) -> Option<Told> {
        if self.users[user].deleted {
            return None;
        }
        let now = self.now;
        for log in self.sessions.iter_mut().filter(|log| log.owner == user && !log.deleted) {
            if log.head() > log.cleared {
                log.cleared = log.head();
                log.updated_at = log.updated_at.max(now);
            }
        }
        Some(Told::Done)
    }

    fn append(&mut self, op: &Op) -> Option<Told> {
        let Op::Append { user, session, create, key, body, lasts, size, ref with } = *op else { return None };
        let (user, number) = (self.user(user)?, self.session(session));
        let key = self.sure_key(user, key);
        if let Some(known) = self.known(user, key).filter(|_| !with.renews) {
            if self.users[user].deleted || self.is_adrift(known.session) {
                return None;
            }
            let shown = !self.sessions[known.session].deleted && known.seq > self.sessions[known.session].cleared;
            if known.body != body {
                return Some(Told::KeyReused);
            }
            // How it stands may be said from before an end that is under way.
            let ends = !matches!(self.sessions[known.session].line(known.seq).end, Ended::NotYet(_));
            if ends && self.busy.contains(&(known.session, known.seq)) {
                return None;
            }
            return Some(if shown { Told::Message(known.session, known.seq, true) } else { Told::TurnGone });
        }
        if self.users[user].deleted {
            return None;
        }
        let is_new = number == self.sessions.len();
        // One that is made now ends at 0.
        let may_be_made = create && !with.is_elsewhere();
        if is_new && !may_be_made || !is_new && !self.owns(user, number) {
            return Some(Told::NotOwner);
        }
        if with.is_elsewhere() {
            return Some(Told::Moved);
        }
        if is_new {
            self.sessions.push(self.empty(user, None));
        }
        let note = self.begin_with(number, with, is_new);
        let seq = self.put(number, (None, None), (size, false));
        self.sessions[number].line_mut(seq).note = note;
        if let Some(key) = key {
            let known = Key { session: number, seq, body, expires_at: self.now + lasts, unsure: false };
            self.users[user].keys.insert(key, known);
        }
        self.busy.insert((number, seq));
        Some(Told::Message(number, seq, false))
    }

    /// The key, where it is known whether it stands for something.
    pub(super) fn sure_key(&self, user: usize, key: Option<u8>) -> Option<u8> {
        key.filter(|key| !self.users[user].keys.get(key).is_some_and(|known| known.unsure))
    }

    /// What the key stands for.
    pub(super) fn known(&self, user: usize, key: Option<u8>) -> Option<Key> {
        key.and_then(|key| self.users[user].keys.get(&key)).filter(|key| key.expires_at > self.now).copied()
    }

    /// Adds a message: a reply, a message of no turn, or one that begins a turn.
    pub(super) fn put(
        &mut self,
        number: usize,
        (reply_to, noted): (Option<u64>, Option<Speaker>),
        (size, stopped): (Size, bool),
    ) -> u64 {
        let content = Arc::from(content(self.text(), size));
        self.stamps += 1;
        let (stamp, now) = (self.stamps, self.now);
        let log = &mut self.sessions[number];
        let last = log.messages.last().filter(|_| log.head() > log.cleared);
        let at = last.map_or(log.updated_at, |last| last.at).max(now);
        log.updated_at = log.updated_at.max(at);
        let (end, note, pieces) = (Ended::NotYet(0), None, Vec::new());
        log.messages.push(Line { content, reply_to, noted, stopped, at, stamp, end, note, pieces });
        log.head()
    }

    fn conclude(&mut self, pick: u8, end: (End, Size), noted: bool) -> Option<Told> {
        let (number, seq) = self.turn_to_end(pick)?;
        let log = &self.sessions[number];
        if log.deleted || seq <= log.cleared || !log.is_open(seq) {
            return Some(Told::TurnGone);
        }
        let first = self.texts() + 1;
        let told = self.end(number, seq, end);
        let line = self.sessions[number].line_mut(seq);
        line.pieces.clear();
        if noted {
            line.note = Some(note(first));
        }
        self.title_later(number, seq);
        Some(told)
    }

    fn turn_to_end(&mut self, pick: u8) -> Option<(usize, u64)> {
        let turn = self.turn(pick).filter(|(number, _)| !self.is_adrift(*number))?;
        self.busy.insert(turn).then_some(turn)
    }

    fn retry(&mut self, pick: u8, end: End, size: Size) -> Option<Told> {
        let (number, seq) = self.turn_to_end(pick)?;
        let log = &self.sessions[number];
        if log.deleted || seq <= log.cleared || matches!(log.line(seq).end, Ended::NotYet(_)) {
            return Some(Told::TurnGone);
        }
        let has_reply = matches!(log.line(seq).end, Ended::Reply(_));
        if has_reply && !matches!(end, End::Reply | End::Stopped) || end == End::Interrupted {
            return Some(Told::Reply(None)); // What there is stays.
        }
        Some(self.end(number, seq, (end, size)))
    }

    fn end(&mut self, number: usize, seq: u64, (end, size): (End, Size)) -> Told {
        let ended = match end {
            End::Reply | End::Stopped => Ended::Reply(self.put(number, (Some(seq), None), (size, end == End::Stopped))),
            End::Failed { too_slow } => Ended::Failed { detail: content(self.text(), Size::Short), too_slow },
            End::Interrupted => Ended::Interrupted,
        };
        let reply = if let Ended::Reply(at) = ended { Some((number, at)) } else { None };
        self.sessions[number].line_mut(seq).end = ended;
        Told::Reply(reply)
    }

    pub(super) fn text(&mut self) -> usize {
        self.take_texts(1);
        self.texts
    }

    /// So many texts are used.
    pub(super) fn take_texts(&mut self, count: usize) {
        self.texts += count;
    }

    /// The number of the last text.
    pub(super) fn texts(&self) -> usize {
        self.texts
    }
}
