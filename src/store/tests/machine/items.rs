//! What programs do in a run, beside turns: items, annotations, pieces of running replies, erasures.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::{collection::vec, option, prelude::*};

use super::{
    actual::{Actual, Answer, Got},
    command::send_key,
    look::Sight,
    step::{DAY, HOUR, Size, size},
    world::{Ended, Key, Told, World, content},
};
use crate::{
    id::{Seq, SessionId, UserId},
    store::{Beside, Erasure, NewItem, NewItems, OpenTurn, Speaker, Store, Walk},
};

/// Bodies of items are none of messages: what is sent again is of the same kind.
const BODIES: u8 = 100;

/// A message that belongs to no turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    role: Speaker,
    size: Size,
}

/// What comes with a message into the log.
#[derive(Debug, Clone, Default)]
pub(super) struct With {
    pub(super) before: Vec<Item>,
    annotation: bool,
    about: bool,
    /// It is for a log that ends where this one does, or elsewhere.
    behind: Option<bool>,
    pub(super) renews: bool,
}

/// Something that a program does. `place` counts from behind the end of the log downwards, to the session itself.
#[derive(Debug, Clone)]
pub(super) enum ItemOp {
    Add {
        user: u8,
        session: u8,
        create: bool,
        about: bool,
        items: Vec<Item>,
        key: Option<u8>,
        body: u8,
        lasts: i64,
        renews: bool,
    },
    Annotate {
        user: u8,
        session: u8,
        place: u8,
        set: bool,
    },
    /// `again`: in place of the piece before it.
    Progress {
        turn: u8,
        size: Size,
        again: bool,
    },
    Erase {
        user: u8,
        session: u8,
        place: u8,
    },
}

pub(super) fn item_op() -> BoxedStrategy<ItemOp> {
    let place = || prop_oneof![1 => Just(u8::MAX), 8 => 0..9_u8];
    let few = || vec(item(), 0..4);
    let lasts = prop_oneof![Just(HOUR), Just(2 * DAY)];
    let keyed = (option::weighted(0.5, 0..3_u8), 0..2_u8, lasts, rarely());
    prop_oneof![
        8 => (0..3_u8, 0..12_u8, any::<bool>(), any::<bool>(), few(), keyed)
            .prop_map(|(user, session, create, about, items, (key, body, lasts, renews))| ItemOp::Add {
                user, session, create, about, items, key, body, lasts, renews,
            }),
        6 => (0..3_u8, 0..9_u8, place(), any::<bool>())
            .prop_map(|(user, session, place, set)| ItemOp::Annotate { user, session, place, set }),
        8 => (any::<u8>(), size(), rarely()).prop_map(|(turn, size, again)| ItemOp::Progress { turn, size, again }),
        8 => (0..3_u8, 0..9_u8, place()).prop_map(|(user, session, place)| ItemOp::Erase { user, session, place }),
    ]
    .boxed()
}

pub(super) fn with() -> BoxedStrategy<With> {
    let behind = prop_oneof![6 => Just(None), 2 => Just(Some(true)), 1 => Just(Some(false))];
    let some = (vec(item(), 0..3), any::<bool>(), any::<bool>(), behind, rarely())
        .prop_map(|(before, annotation, about, behind, renews)| With { before, annotation, about, behind, renews });
    prop_oneof![2 => Just(With::default()), 1 => some].boxed()
}

fn item() -> impl Strategy<Value = Item> {
    (role(), size()).prop_map(|(role, size)| Item { role, size })
}

pub(super) fn role() -> impl Strategy<Value = Speaker> {
    prop_oneof![Just(Speaker::User), Just(Speaker::Assistant), Just(Speaker::System), Just(Speaker::Developer)]
}

fn rarely() -> impl Strategy<Value = bool> {
    prop_oneof![6 => Just(false), 1 => Just(true)]
}

/// An annotation that no other is; some are long.
pub(super) fn note(number: usize) -> String {
    format!("note{number}x \"\u{9be}\\").repeat(if number.is_multiple_of(5) { 400 } else { 1 })
}

impl Item {
    fn new_item(self, text: usize) -> NewItem {
        NewItem { role: self.role, content: content(text, self.size) }
    }
}

/// These items, whose texts begin with the number `first`.
fn new_items(items: &[Item], first: usize) -> Vec<NewItem> {
    items.iter().enumerate().map(|(n, item)| item.new_item(first + n)).collect()
}

impl With {
    /// As the store is given it, in the world `before`, for this session.
    pub(super) fn beside(&self, before: &World, session: usize) -> Beside {
        let first = before.texts() + 1;
        let head = before.sessions.get(session).map_or(0, super::world::Log::head);
        Beside {
            before: new_items(&self.before, first),
            annotation: self.annotation.then(|| note(first)),
            about: self.about.then(|| note(first)),
            behind: self.behind.map(|right| Seq(if right { head } else { head + 1 })),
            renews_key: self.renews,
        }
    }

    /// True where it is for another log than the one that ends at `head`.
    pub(super) fn is_elsewhere(&self) -> bool {
        self.behind == Some(false)
    }
}

impl World {
    /// The place that is meant in a session, down to 0.
    fn place(&self, session: usize, place: u8) -> u64 {
        (self.sessions[session].head() + 1).saturating_sub(u64::from(place))
    }

    /// A session that is there, with a user who is.
    fn there(&self, user: u8, session: u8) -> Option<(usize, usize)> {
        let (user, session) = (self.user(user)?, self.session(session));
        (session < self.sessions.len() && !self.users[user].deleted).then_some((user, session))
    }

    pub(super) fn decide_item(&mut self, op: &ItemOp) -> Option<Told> {
        match *op {
            ItemOp::Add { .. } => self.add_items(op),
            ItemOp::Annotate { user, session, place, set } => {
                let (user, session) = self.there(user, session)?;
                let number = self.text();
                if !self.owns(user, session) {
                    return Some(Told::NotOwner);
                }
                let seq = self.place(session, place);
                let log = &mut self.sessions[session];
                let text = set.then(|| note(number));
                if seq == 0 {
                    log.about = text;
                } else if log.shown().contains(&seq) && !log.is_open(seq) {
                    log.line_mut(seq).note = text;
                } else {
                    return Some(Told::Flag(false));
                }
                Some(Told::Flag(true))
            }
            ItemOp::Progress { turn, size, again } => {
                let (session, seq) = self.turn(turn).filter(|(session, _)| !self.is_adrift(*session))?;
                let text = content(self.text(), size);
                let log = &mut self.sessions[session];
                if log.deleted || seq <= log.cleared || !log.is_open(seq) {
                    return Some(Told::TurnGone);
                }
                let pieces = &mut log.line_mut(seq).pieces;
                if again {
                    pieces.pop();
                }
                pieces.push(text);
                Some(Told::Done)
            }
            ItemOp::Erase { user, session, place } => {
                let (user, session) = self.there(user, session)?;
                if !self.owns(user, session) {
                    return Some(Told::NotOwner);
                }
                let seq = self.place(session, place);
                let log = &mut self.sessions[session];
                if !log.shown().contains(&seq) {
                    return Some(Told::Erased(Erasure::NoSuchMessage));
                }
                if log.is_open(seq) {
                    return Some(Told::Erased(Erasure::BeingAnswered));
                }
                let line = log.line_mut(seq);
                (line.content, line.note) = (Arc::from(""), None);
                Some(Told::Erased(Erasure::Erased))
            }
        }
    }

    fn add_items(&mut self, op: &ItemOp) -> Option<Told> {
        let ItemOp::Add { user, session, create, about, ref items, key, body, lasts, renews } = *op else {
            return None;
        };
        let (user, session, count) = (self.user(user)?, self.session(session), items.len() as u64);
        let (key, body) = (self.sure_key(user, key), body_of(items, body));
        if self.users[user].deleted {
            return None;
        }
        if let Some(known) = self.known(user, key).filter(|_| !renews) {
            if self.is_adrift(known.session) {
                return None;
            }
            let (log, first) = (&self.sessions[known.session], (known.seq + 1).saturating_sub(count));
            return Some(match () {
                () if known.body != body => Told::KeyReused,
                () if log.deleted || count > 0 && first <= log.cleared => Told::TurnGone,
                () => Told::Items(known.session, first, known.seq),
            });
        }
        let number = self.texts() + 1;
        if session == self.sessions.len() {
            if !create {
                return Some(Told::NotOwner);
            }
            let about = about.then(|| note(number));
            self.sessions.push(super::world::Log { about, ..self.empty(user, None) });
        }
        if !self.owns(user, session) {
            return Some(Told::NotOwner);
        }
        let first = self.sessions[session].head() + 1;
        self.note_items(session, items);
        let seq = self.sessions[session].head();
        if let Some(key) = key {
            let known = Key { session, seq, body, expires_at: self.now + lasts, unsure: false };
            self.users[user].keys.insert(key, known);
        }
        Some(Told::Items(session, first, seq))
    }

    pub(super) fn note_items(&mut self, session: usize, items: &[Item]) {
        for item in items {
            self.put(session, (None, Some(item.role)), (item.size, false));
        }
    }

    /// What a message brings along, but for the message.
    pub(super) fn begin_with(&mut self, session: usize, with: &With, is_new: bool) -> Option<String> {
        let number = self.texts() + 1;
        if is_new && with.about {
            self.sessions[session].about = Some(note(number));
        }
        self.note_items(session, &with.before);
        with.annotation.then(|| note(number))
    }
}

fn body_of(items: &[Item], body: u8) -> u8 {
    BODIES + 2 * u8::try_from(items.len()).unwrap() + body
}

impl Actual {
    /// As [`Actual::command`], for what programs do.
    pub(super) fn of_program(&self, op: &ItemOp, before: &World) -> Answer {
        let (store, names) = (Arc::clone(&self.store), &self.names);
        let user = |pick: u8| before.user(pick).map_or_else(UserId::new, |user| names.users[user]);
        let session = |pick: u8| names.sessions.get(before.session(pick)).copied().unwrap_or_default();
        let place = |pick: u8, place: u8| Seq(before.place(before.session(pick), place));
        let first = before.texts() + 1;
        match *op {
            ItemOp::Add { user: pick, session: number, create, about, ref items, key, body, lasts, renews } => {
                let key = before.sure_key(before.user(pick).unwrap(), key);
                let key = key.map(|key| send_key(key, body_of(items, body), before.now + lasts));
                let about = about.then(|| note(first));
                let (user, session, items) = (user(pick), session(number), new_items(items, first));
                let new = NewItems { user, session, create, about, items, key, renews_key: renews };
                Box::pin(async move { store.add_items(new).await.map(Got::Items) })
            }
            ItemOp::Annotate { user: pick, session: number, place: at, set } => {
                let (user, session, seq) = (user(pick), session(number), place(number, at));
                let text = set.then(|| note(first));
                Box::pin(async move { store.annotate(user, session, seq, text).await.map(Got::Flag) })
            }
            ItemOp::Progress { turn, size, again } => {
                let (number, seq) = before.turn(turn).unwrap();
                let pieces = &before.sessions[number].line(seq).pieces;
                let kept = pieces.len() - usize::from(again && !pieces.is_empty());
                let at = u32::try_from(pieces[..kept].iter().map(String::len).sum::<usize>()).unwrap();
                let turn = OpenTurn { session: names.sessions[number], seq: Seq(seq) };
                Box::pin(async move { store.progress(turn, at, content(first, size)).await.map(|()| Got::Done) })
            }
            ItemOp::Erase { user: pick, session: number, place: at } => {
                let (user, session, seq) = (user(pick), session(number), place(number, at));
                Box::pin(async move { store.erase(user, session, seq).await.map(Got::Erased) })
            }
        }
    }
}

/// Wants what stands beside a session's messages.
pub(super) async fn look_beside(store: &Store, sight: Sight<'_>, (number, id): (usize, SessionId), round: usize) {
    let log = &sight.world.sessions[number];
    assert_eq!(store.annotation(id, Seq::ZERO).await.unwrap(), log.about, "session {number}: what is said about it");
    for seq in 1..=log.head() + 1 {
        let line = log.shown().contains(&seq).then(|| log.line(seq));
        let noted = line.and_then(|line| line.note.clone());
        assert_eq!(store.annotation(id, Seq(seq)).await.unwrap(), noted, "session {number}: annotation of {seq}");
        if line.is_none_or(super::world::Line::begins) {
            let wanted = line.map_or(&[][..], |line| &line.pieces);
            let pieces = store.pieces(OpenTurn { session: id, seq: Seq(seq) }).await.unwrap();
            assert_eq!(pieces, wanted, "session {number}: pieces of {seq}");
        }
    }
    let from = 1 + round as u64 % (log.head() + 2);
    for (upwards, limit) in [(true, 4), (false, 3), (true, 1000)] {
        let run = store.run(id, Seq(from), upwards, limit).await.unwrap();
        let wanted: Vec<u64> = if upwards {
            log.shown().filter(|&seq| seq >= from).take(limit).collect()
        } else {
            log.shown().rev().filter(|&seq| seq <= from).take(limit).collect()
        };
        let wanted: Vec<_> = wanted.into_iter().map(|seq| sight.message(number, seq)).collect();
        assert_eq!(run, wanted, "session {number}: a run from {from}");
    }
    for seq in [0, log.cleared, log.head() + 1, from] {
        let shown = log.shown().contains(&seq);
        let wanted = shown.then(|| sight.message(number, seq));
        let wanted = wanted.filter(|message| message.status != crate::store::Status::Superseded);
        assert_eq!(store.message(id, Seq(seq), false).await.unwrap(), wanted, "session {number}: the item {seq}");
        let answer = shown.then(|| log.line(seq)).filter(|line| line.begins()).map(|line| &line.end);
        let reply = if let Some(Ended::Reply(at)) = answer { Some(sight.answer_at(number, *at)) } else { None };
        assert_eq!(store.message(id, Seq(seq), true).await.unwrap(), reply, "session {number}: the answer to {seq}");
    }
}

/// Wants the annotations of all of a user's sessions, in both directions, from the start and from somewhere.
pub(super) async fn look_at_annotations(store: &Store, sight: Sight<'_>, user: usize, round: usize) {
    let mut all = Vec::new();
    for number in sight.sessions(Some(user)) {
        let log = &sight.world.sessions[number];
        let noted = log.shown().filter_map(|seq| Some((seq, log.line(seq).note.clone()?)));
        all.extend(noted.map(|(seq, note)| (sight.names.sessions[number], Seq(seq), note)));
    }
    let after = all.get(round % (all.len() + 1)).map(|(session, seq, _)| (*session, *seq));
    let id = sight.names.users[user];
    let until = Instant::now() + Duration::from_mins(1);
    for upwards in [true, false] {
        let is_behind =
            |place: (SessionId, Seq)| after.is_none_or(|after| if upwards { place > after } else { place < after });
        let mut wanted: Vec<_> = all.iter().filter(|(session, seq, _)| is_behind((*session, *seq))).cloned().collect();
        if !upwards {
            wanted.reverse();
        }
        wanted.truncate(3);
        let found = store.annotations(id, Walk { after, upwards, limit: 3, until }, |_| true).await.unwrap();
        assert_eq!(found.0, wanted, "the annotations of user {user} behind {after:?}, upwards: {upwards}");
    }
}
