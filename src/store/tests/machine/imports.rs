//! Pieces of imports in a run: turns of long ago behind whatever a session has.

use proptest::{collection::vec, option, prelude::*};

use super::{
    items::{note, role},
    step::{DAY, HOUR, Op, Size, size},
    world::{Ended, Line, Log, Told, World, content},
};
use crate::{
    clock::Timestamp,
    id::{MessageId, Seq, SessionId, UserId},
    store::{Import, ImportFailure, ImportMessage, ImportSession, Speaker},
};

/// A message of an import.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Of a reply, which of the messages before it is answered.
    reply: Option<u8>,
    /// Who says it, where it belongs to no turn.
    noted: Option<Speaker>,
    annotated: bool,
    /// Of a message: it failed. Of a reply: it was stopped.
    odd: bool,
    /// How much earlier than now it was said, microseconds; what is negative was said in the future.
    ago: i64,
    size: Size,
}

pub(super) fn import() -> BoxedStrategy<Op> {
    let ago = prop_oneof![Just(3 * DAY), Just(HOUR), Just(0), Just(-HOUR)];
    let reply = prop_oneof![1 => Just(None), 1 => Just(Some(0)), 1 => any::<u8>().prop_map(Some)];
    let odd = prop_oneof![4 => Just(false), 1 => Just(true)];
    let who = (option::weighted(0.2, role()), option::weighted(0.2, Just(())));
    let piece = (reply, who, odd, ago, size()).prop_map(|(reply, (noted, annotated), odd, ago, size)| {
        let (reply, odd) = if noted.is_some() { (None, false) } else { (reply, odd) };
        Piece { reply, noted, annotated: annotated.is_some(), odd, ago, size }
    });
    let stale = prop_oneof![4 => Just(0), 1 => 1..4_u64];
    (0..3_u8, 0..12_u8, any::<bool>(), vec(piece, 0..5), stale, any::<bool>())
        .prop_map(|(user, session, make, pieces, stale, twice)| Op::Import {
            user,
            session,
            make,
            pieces,
            stale,
            twice,
        })
        .boxed()
}

/// What an import means in a world.
struct Plan {
    user: usize,
    session: usize,
    /// The session is made.
    is_new: bool,
    /// The head that it is made for, and the one that there is.
    from: u64,
    head: u64,
    lines: Vec<Planned>,
    /// It answers a turn that is open.
    wrong: bool,
}

struct Planned {
    /// What it answers, by the place where that will stand.
    reply_to: Option<u64>,
    noted: Option<Speaker>,
    odd: bool,
    at: i64,
    content: String,
    detail: String,
    note: Option<String>,
}

impl World {
    /// Nothing where what comes of it can't be said.
    fn plan(&self, op: &Op) -> Option<Plan> {
        let Op::Import { user, session, ref pieces, stale, .. } = *op else { return None };
        let (user, session) = (self.user(user)?, self.session(session));
        let (log, is_new) = (self.sessions.get(session), session == self.sessions.len());
        let (head, cleared) = log.map_or((0, 0), |log| (log.head(), log.cleared));
        // Of several commands at once, nobody knows which are decided together.
        let from = if self.alone && head - cleared >= stale { head - stale } else { head };
        let asked = |log: &Log| {
            // What came since is not known to whoever made it: places behind its head are those of its own messages.
            let shown = log.shown().filter(|&seq| seq <= from && log.line(seq).begins());
            shown.collect::<Vec<u64>>()
        };
        let mut answerable: Vec<u64> = log.map_or(Vec::new(), asked);
        let (mut wrong, mut lines) = (false, Vec::new());
        for (n, piece) in pieces.iter().enumerate() {
            let (seq, text) = (head + 1 + n as u64, self.texts() + 1 + n);
            let back = piece.reply.filter(|_| !answerable.is_empty());
            let reply_to = back.map(|back| answerable[answerable.len() - 1 - usize::from(back) % answerable.len()]);
            match reply_to {
                None if piece.noted.is_some() => {}
                None => answerable.push(seq),
                Some(of) if of <= head => {
                    if self.busy.contains(&(session, of)) {
                        return None;
                    }
                    wrong |= log.is_some_and(|log| log.is_open(of));
                }
                Some(_) => {}
            }
            let (content, detail) = (content(text, piece.size), format!("detail {text}"));
            lines.push(Planned {
                reply_to,
                noted: piece.noted,
                odd: piece.odd,
                at: self.now - piece.ago,
                content,
                detail,
                note: piece.annotated.then(|| note(text)),
            });
        }
        Some(Plan { user, session, is_new, from, head, lines, wrong })
    }

    pub(super) fn import(&mut self, op: &Op) -> Option<Told> {
        let Op::Import { make, twice, .. } = *op else { return None };
        let Plan { user, session, is_new, head, lines, wrong, .. } = self.plan(op)?;
        if self.is_adrift(session) {
            return None;
        }
        let number = self.texts() + 1;
        self.take_texts(lines.len() + 1);
        let may_be_made = is_new && make && !self.users[user].deleted;
        if !may_be_made && !self.owns(user, session) {
            return Some(Told::NotOwner);
        }
        if wrong {
            return Some(Told::Wrong);
        }
        if may_be_made {
            let (created_at, updated_at) = (self.now - 2 * DAY, self.now - DAY);
            let title = Some(format!("imported {session}"));
            let about = Some(note(number));
            self.sessions.push(Log { created_at, updated_at, about, ..self.empty(user, title) });
        }
        let (mut last, count) = (may_be_made.then_some(self.now - 2 * DAY), lines.len() as u64);
        for line in lines {
            last = Some(self.put_imported(session, line, last));
        }
        for seq in head + 1..=head + count {
            let line = self.sessions[session].line_mut(seq);
            if line.begins() && matches!(line.end, Ended::NotYet(_)) {
                line.end = Ended::Interrupted;
            }
            self.busy.insert((session, seq));
        }
        let moved = twice && self.alone && count > 0;
        Some(Told::Imported(head + count, moved))
    }

    /// Its time is never before that of what it stands behind, which is `last` where that is known.
    fn put_imported(&mut self, session: usize, planned: Planned, last: Option<i64>) -> i64 {
        let Planned { reply_to, noted, odd, at, content, detail, note } = planned;
        self.stamps += 1;
        let (stamp, now) = (self.stamps, self.now);
        let log = &mut self.sessions[session];
        let before = log.messages.last().filter(|_| log.head() > log.cleared).map(|line| line.at);
        let at = at.min(now).max(last.or(before).unwrap_or(log.updated_at));
        log.updated_at = log.updated_at.max(at);
        let end = match (reply_to, odd) {
            (None, true) => Ended::Failed { detail, too_slow: true },
            _ => Ended::NotYet(0),
        };
        let stopped = odd && reply_to.is_some();
        let (content, pieces) = (content.into(), Vec::new());
        log.messages.push(Line { content, reply_to, noted, stopped, at, stamp, end, note, pieces });
        if let Some(of) = reply_to {
            let seq = log.head();
            log.line_mut(of).end = Ended::Reply(seq);
            self.busy.insert((session, of));
        }
        at
    }

    /// The import that `op` is, decided in this world.
    pub(super) fn import_of(&self, op: &Op, user: UserId, session: SessionId) -> Import {
        let Op::Import { make, .. } = *op else { panic!("{op:?}") };
        let Some(plan) = self.plan(op) else { panic!("{op:?} was left out") };
        let message = |(n, line): (usize, &Planned)| ImportMessage {
            id: message_id(self.texts() + 1 + n),
            role: line.noted.unwrap_or(if line.reply_to.is_none() { Speaker::User } else { Speaker::Assistant }),
            content: line.content.clone(),
            // Of its own messages, it knows only where they would stand behind the head that it is made for.
            reply_to: line.reply_to.map(|of| Seq(if of > plan.head { of - plan.head + plan.from } else { of })),
            stopped: line.odd && line.reply_to.is_some(),
            created_at: Timestamp(line.at),
            noted: line.noted.is_some(),
            note: line.note.clone(),
            failure: (line.odd && line.reply_to.is_none())
                .then(|| ImportFailure { detail: line.detail.clone(), too_slow: true }),
        };
        let (created_at, updated_at) = (Timestamp(self.now - 2 * DAY), Timestamp(self.now - DAY));
        let title = Some(format!("imported {}", plan.session));
        let made =
            ImportSession { title, system_prompt: None, note: Some(note(self.texts() + 1)), created_at, updated_at };
        let messages = plan.lines.iter().enumerate().map(message).collect();
        Import { user, session, make: make.then_some(made), head: Seq(plan.from), messages }
    }
}

fn message_id(text: usize) -> MessageId {
    let mut id = [7; 16];
    id[..8].copy_from_slice(&(text as u64).to_be_bytes());
    MessageId::from_bytes(id)
}
