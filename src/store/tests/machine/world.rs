//! What the store must show, as plain lists and maps: users, logins, sessions, logs. It is told the commands one after
//! another, and says what each must answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{jobs::Queue, step::Size};
use crate::store::{Erasure, JobError, Role, Speaker, Status, Tier};

/// Sessions that there are at once at most, so that what is done meets what was done before.
const SESSIONS_MAX: usize = 8;
/// Sessions, and turns, that are chosen from; a pick beyond means a new session.
pub(super) const RECENT: usize = 8;

/// Everything that was acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    /// Microseconds since 1970.
    pub(super) now: i64,
    /// All that were ever made.
    pub(super) users: Vec<Account>,
    pub(super) sessions: Vec<Log>,
    pub(super) logins: Vec<Login>,
    pub(super) invitations: Vec<Code>,
    /// Turns that the commands under way begin or end: the chat does nothing more to a turn before it was answered.
    pub(super) busy: BTreeSet<(usize, u64)>,
    /// The command that is given is the only one that is under way.
    pub(super) alone: bool,
    pub(super) queue: Queue,
    pub(super) texts: usize,
    pub(super) stamps: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: u8,
    pub(super) password: usize,
    pub(super) role: Role,
    pub(super) tier: Tier,
    pub(super) disabled: bool,
    pub(super) deleted: bool,
    pub(super) created_at: i64,
    pub(super) keys: BTreeMap<u8, Key>,
}

/// An invitation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code {
    pub(super) expires_at: i64,
    pub(super) used: bool,
    /// It was over when what is over was taken away: should the clock go back, it may be there or not. Or it is not yet known
    /// that it was made.
    pub(super) unsure: bool,
}

/// A login.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) user: usize,
    pub(super) created_at: i64,
    pub(super) expires_at: i64,
    pub(super) last_used_at: i64,
    pub(super) ended: bool,
    /// It was over when the journal was compacted: its end may be forgotten before it is itself.
    pub(super) over: bool,
}

/// What an idempotency key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) session: usize,
    pub(super) seq: u64,
    pub(super) body: u8,
    pub(super) expires_at: i64,
    /// It was over when the journal was compacted: it may be forgotten or not.
    pub(super) unsure: bool,
}

/// A session.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) owner: usize,
    pub(super) title: Option<String>,
    pub(super) prompt: Option<String>,
    pub(super) created_at: i64,
    pub(super) updated_at: i64,
    pub(super) deleted: bool,
    /// Messages up to this sequence are cleared.
    pub(super) cleared: u64,
    /// The annotation of the session itself.
    pub(super) about: Option<String>,
    pub(super) messages: Vec<Line>,
}

/// A message; its sequence is its place in the list, from 1.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) content: Arc<str>,
    pub(super) reply_to: Option<u64>,
    /// Who says it, of what belongs to no turn.
    pub(super) noted: Option<Speaker>,
    pub(super) stopped: bool,
    pub(super) at: i64,
    pub(super) stamp: u64,
    /// Of what begins a turn.
    pub(super) end: Ended,
    pub(super) note: Option<String>,
    /// Of a turn that is open, what of its reply was made durable.
    pub(super) pieces: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// So many starts have begun to answer it again.
    NotYet(u32),
    Reply(u64),
    Failed {
        detail: String,
        too_slow: bool,
    },
    Interrupted,
}

/// What the store must answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Done,
    Flag(bool),
    /// The user, the login, the session (and whether it was made), the message (and whether its key was known).
    User(usize),
    Login(usize),
    Session(usize, bool),
    Message(usize, u64, bool),
    Reply(Option<(usize, u64)>),
    /// The session, and the first and the last of the messages that they are.
    Items(usize, u64, u64),
    Erased(Erasure),
    /// The job, and whether it was made.
    Enqueued(usize, bool),
    Taken(usize),
    Job(usize),
    JobRefused(JobError),
    /// The head then, and whether the same again is told that the log has moved.
    Imported(u64, bool),
    Wrong,
    NotOwner,
    NoUser,
    NameTaken,
    NoInvitation,
    KeyReused,
    TurnGone,
    Moved,
}

impl World {
    /// The account that is meant, one of the newest; at first there is none.
    pub(super) fn user(&self, pick: u8) -> Option<usize> {
        (!self.users.is_empty()).then(|| self.users.len() - 1 - usize::from(pick) % self.users.len())
    }

    /// The session that is meant, perhaps a new one.
    pub(super) fn session(&self, pick: u8) -> usize {
        let (pick, all) = (usize::from(pick), self.sessions.len());
        let live = self.sessions.iter().filter(|log| !log.deleted).count();
        if all == 0 || pick >= RECENT && live < SESSIONS_MAX { all } else { all - 1 - pick % all }
    }

    /// The turn that is meant: one of the newest, also of those that are gone.
    pub(super) fn turn(&self, pick: u8) -> Option<(usize, u64)> {
        let mut turns: Vec<(u64, usize, u64)> = Vec::new();
        for (number, log) in self.sessions.iter().enumerate() {
            let asked = (1..).zip(&log.messages).filter(|(_, line)| line.begins());
            turns.extend(asked.map(|(seq, line)| (line.stamp, number, seq)));
        }
        turns.sort_unstable();
        let recent = turns.len().min(RECENT);
        (recent > 0).then(|| turns[turns.len() - 1 - usize::from(pick) % recent]).map(|(_, number, seq)| (number, seq))
    }

    /// True where what becomes of the session is not told at once: its account was deleted.
    pub(super) fn is_adrift(&self, session: usize) -> bool {
        self.sessions.get(session).is_some_and(|log| self.users[log.owner].deleted)
    }

    /// What a reader may meet of a session while a command is applied that adds several messages, or one with its outcome:
    /// the messages as far as they have come, whose standings are not those of the world then.
    pub(super) fn parts(&self, session: usize, before: &Self) -> Vec<Self> {
        let (Some(log), Some(from)) = (self.sessions.get(session), before.sessions.get(session)) else { return vec![] };
        let part = |head: u64| {
            let mut part = self.clone();
            let log = &mut part.sessions[session];
            log.messages.truncate(usize::try_from(head).unwrap());
            for line in &mut log.messages {
                if matches!(line.end, Ended::Reply(at) if at > head) {
                    line.end = Ended::NotYet(0);
                }
            }
            part
        };
        (from.head() + 1..=log.head()).map(part).collect()
    }

    pub(super) fn owns(&self, user: usize, session: usize) -> bool {
        let mine = self.sessions.get(session).is_some_and(|log| log.owner == user && !log.deleted);
        mine && !self.users[user].deleted
    }

    /// The turns without an outcome.
    pub(super) fn open(&self) -> Vec<(usize, u64)> {
        let mut open = Vec::new();
        for (number, log) in
            self.sessions.iter().enumerate().filter(|(number, log)| !log.deleted && !self.is_adrift(*number))
        {
            open.extend(log.shown().filter(|&seq| log.is_open(seq)).map(|seq| (number, seq)));
        }
        open
    }

    /// Counts that the open turns are answered again: which try that is for each.
    pub(super) fn resume(&mut self, times_max: u32) -> BTreeMap<(usize, u64), Option<u32>> {
        let mut attempts = BTreeMap::new();
        for (session, seq) in self.open() {
            let Ended::NotYet(times) = &mut self.sessions[session].line_mut(seq).end else { continue };
            attempts.insert((session, seq), (*times < times_max).then_some(*times + 2));
            *times = (*times + 1).min(times_max.max(*times));
        }
        attempts
    }

    /// What is over may be forgotten from now on, though the clock may go back.
    pub(super) fn compacted(&mut self) {
        let now = self.now;
        for key in self.users.iter_mut().flat_map(|user| user.keys.values_mut()) {
            key.unsure |= key.expires_at <= now;
        }
        for code in &mut self.invitations {
            code.unsure |= code.expires_at <= now;
        }
        for login in &mut self.logins {
            login.over |= login.expires_at <= now;
        }
        self.forget_jobs();
    }
}

impl Log {
    pub(super) fn head(&self) -> u64 {
        self.messages.len() as u64
    }

    pub(super) fn line(&self, seq: u64) -> &Line {
        &self.messages[usize::try_from(seq).unwrap() - 1]
    }

    pub(super) fn line_mut(&mut self, seq: u64) -> &mut Line {
        &mut self.messages[usize::try_from(seq).unwrap() - 1]
    }

    /// The sequences that are not cleared.
    pub(super) fn shown(&self) -> std::ops::RangeInclusive<u64> {
        self.cleared + 1..=self.head()
    }

    /// True where the message at `seq` begins a turn that has no outcome.
    pub(super) fn is_open(&self, seq: u64) -> bool {
        let line = self.line(seq);
        line.begins() && matches!(line.end, Ended::NotYet(_))
    }

    /// How the message at `seq` stands.
    pub(super) fn status(&self, seq: u64) -> Status {
        let line = self.line(seq);
        if line.noted.is_some() {
            return Status::Noted;
        }
        if let Some(of) = line.reply_to {
            return match (&self.line(of).end, line.stopped) {
                (Ended::Reply(at), _) if *at != seq => Status::Superseded,
                (_, true) => Status::Stopped,
                (_, false) => Status::Complete,
            };
        }
        match &line.end {
            Ended::NotYet(_) => Status::Pending,
            Ended::Reply(at) if self.line(*at).stopped => Status::Stopped,
            Ended::Reply(_) => Status::Answered,
            Ended::Failed { .. } => Status::Failed,
            Ended::Interrupted => Status::Interrupted,
        }
    }
}

impl Line {
    /// True where it begins a turn.
    pub(super) fn begins(&self) -> bool {
        self.reply_to.is_none() && self.noted.is_none()
    }
}

/// A text that no other has, with what must be escaped, folded and counted.
pub(super) fn content(number: usize, size: Size) -> String {
    let plain = format!("umbrella{number}x \"\u{9be}\\ \u{1F642}\n");
    match size {
        Size::Short => plain,
        Size::Long => plain.repeat(80),
        Size::Huge => plain.repeat(1200),
    }
}
