//! Small histories, each right or wrong in one way.

use super::*;

const ALL: Asked = Asked { after: None, limit: 200, last: false };

fn user(seq: u64, text: &str) -> Message<'_> {
    let id = format!("m{seq}");
    Message { seq, id: id.into(), role: Role::User, content: text.into(), reply_to: None, status: Status::Answered }
}

fn reply(seq: u64, text: &str) -> Message<'_> {
    let (id, reply_to) = (format!("m{seq}"), Some(seq - 1));
    Message { seq, id: id.into(), role: Role::Assistant, content: text.into(), reply_to, status: Status::Complete }
}

fn page<'a>(messages: &[Message<'a>]) -> Page<'a> {
    Page { messages: messages.to_vec(), head: messages.last().map_or(0, |last| last.seq), has_more: false }
}

/// A session "s" with so many acknowledged turns "a1", "b1", ..., and another one "t" with "x".
struct Told {
    checker: Checker,
    session: SessionNo,
    log: Vec<Message<'static>>,
}

impl Told {
    fn turns(count: u64) -> Self {
        let mut checker = Checker::new();
        let session = checker.session("s");
        let other = checker.session("t");
        checker.send_begins(other, "x");
        let mut told = Self { checker, session, log: Vec::new() };
        (1..=count).for_each(|n| told.turn(n));
        told
    }

    fn turn(&mut self, n: u64) {
        let [a, b]: [&'static str; 2] = [format!("a{n}").leak(), format!("b{n}").leak()];
        let (message, reply) = (user(2 * n - 1, a), reply(2 * n, b));
        let send = self.checker.send_begins(self.session, a);
        self.checker.acknowledged(self.session, send, &message, Some(&reply));
        self.log.extend([message, reply]);
    }

    fn read(&mut self, page: &Page) {
        self.read_as(ALL, page);
    }

    fn read_as(&mut self, asked: Asked, page: &Page) {
        let begun = self.checker.read_begins(self.session);
        self.checker.read(self.session, begun, asked, page);
    }

    fn faults(&self) -> Vec<Fault> {
        self.checker.violations().iter().map(|violation| violation.fault).collect()
    }

    #[track_caller]
    fn finds(&self, fault: Fault) {
        assert!(self.faults().contains(&fault), "{:?}", self.checker.violations());
    }

    #[track_caller]
    fn is_right(&self) {
        assert_eq!(self.checker.violations(), []);
    }
}

#[test]
fn a_right_history_is_right_in_whole_and_in_windows() {
    let mut told = Told::turns(5);
    let log = told.log.clone();
    told.read(&page(&log));
    told.read_as(Asked { limit: 3, ..ALL }, &page(&log[7..]));
    told.read_as(
        Asked { after: Some(4), limit: 2, last: false },
        &Page { head: 10, has_more: true, ..page(&log[4..6]) },
    );
    // What began before an acknowledgement may show either state.
    let begun = told.checker.read_begins(told.session);
    told.turn(6);
    told.checker.read(told.session, begun, ALL, &page(&log));
    // A send whose outcome is unknown may be there, with a reply or without, or not at all.
    let unknown = told.checker.send_begins(told.session, "u");
    told.read(&page(&told.log.clone()));
    let pending = Message { status: Status::Pending, ..user(13, "u") };
    told.read(&page(&[&told.log[..], std::slice::from_ref(&pending)].concat()));
    told.checker.acknowledged(told.session, unknown, &user(13, "u"), Some(&reply(14, "v")));
    told.is_right();
    assert_eq!(told.checker.open(told.session), 0);
    assert_eq!(told.checker.head(told.session), 14);
}

#[test]
fn what_is_left_out_is_lost_and_what_is_behind_is_stale() {
    let mut told = Told::turns(3);
    let log = told.log.clone();
    told.read(&page(&[&log[..2], &log[4..]].concat()));
    told.finds(Fault::Lost);
    let mut told = Told::turns(3);
    told.read(&page(&log[2..]));
    told.finds(Fault::Lost);
    let mut told = Told::turns(3);
    told.read(&page(&log[..4]));
    assert_eq!(told.faults(), [Fault::Stale]);
    let mut told = Told::turns(3);
    told.read_as(Asked { last: true, ..ALL }, &page(&log[..4]));
    assert_eq!(told.faults(), [Fault::Lost]);
    let mut told = Told::turns(3);
    told.read(&Page { head: 6, ..page(&log[..4]) });
    told.finds(Fault::Lost);
    // Two reads, the second one behind the first.
    let mut told = Told::turns(0);
    told.checker.send_begins(told.session, "a1");
    told.read(&page(&log[..2]));
    told.read(&page(&[]));
    told.finds(Fault::Stale);
}

#[test]
fn a_settled_turn_is_not_pending_again() {
    let mut told = Told::turns(1);
    let log = [Message { status: Status::Pending, ..told.log[0].clone() }, told.log[1].clone()];
    told.read(&page(&log));
    told.finds(Fault::Stale);
}

#[test]
fn other_orders_and_sequences_used_twice_are_found() {
    let mut told = Told::turns(3);
    let log = told.log.clone();
    let swapped = [log[2].clone(), log[3].clone(), log[0].clone(), log[1].clone(), log[4].clone(), log[5].clone()];
    told.read(&page(&swapped));
    told.finds(Fault::Reordered);
    let mut told = Told::turns(2);
    let renumbered = [
        Message { seq: 1, ..log[2].clone() },
        Message { seq: 2, reply_to: Some(1), ..log[3].clone() },
        Message { seq: 3, ..log[0].clone() },
        Message { seq: 4, reply_to: Some(3), ..log[1].clone() },
    ];
    told.read(&page(&renumbered));
    told.finds(Fault::Reordered);
    let mut told = Told::turns(2);
    let send = told.checker.send_begins(told.session, "c");
    let again = Message { id: "other".into(), ..user(3, "c") };
    told.checker.acknowledged(told.session, send, &again, None);
    told.finds(Fault::Reordered);
    let mut told = Told::turns(1);
    let send = told.checker.send_begins(told.session, "c");
    told.checker.acknowledged(told.session, send, &user(5, "c"), Some(&reply(6, "d")));
    told.read(&page(&[told.log.clone(), vec![user(5, "c"), reply(6, "d")]].concat()));
    told.finds(Fault::Reordered);
}

#[test]
fn replies_stand_with_their_messages() {
    let mut told = Told::turns(2);
    let mut log = told.log.clone();
    (log[1].content, log[3].content) = (log[3].content.clone(), log[1].content.clone());
    told.read(&page(&log));
    told.finds(Fault::Mispaired);
    let mut told = Told::turns(2);
    let mut log = told.log.clone();
    (log[1].reply_to, log[3].reply_to) = (Some(3), Some(1));
    told.read(&page(&log));
    told.finds(Fault::Mispaired);
    let mut told = Told::turns(0);
    let send = told.checker.send_begins(told.session, "c");
    told.checker.acknowledged(told.session, send, &user(1, "d"), Some(&reply(2, "e")));
    told.finds(Fault::Mispaired);
    let mut told = Told::turns(1);
    let mut log = told.log.clone();
    log[1].content = "another".into();
    told.read(&page(&log));
    assert_eq!(told.faults(), [Fault::Altered]);
}

#[test]
fn texts_of_others_and_of_nobody_are_foreign() {
    for (text, words) in [("x", "session t"), ("y", "nobody sent it")] {
        let mut told = Told::turns(1);
        told.read(&page(&[&told.log[..], &[user(3, text), reply(4, "z")]].concat()));
        told.finds(Fault::Foreign);
        assert!(told.checker.violations()[0].to_string().contains(words), "{}", told.checker.violations()[0]);
        let mut told = Told::turns(1);
        let mut log = told.log.clone();
        log[0].content = text.into();
        told.read(&page(&log));
        told.finds(Fault::Foreign);
    }
}

#[test]
fn what_is_there_twice_is_found() {
    let mut told = Told::turns(2);
    let log = told.log.clone();
    told.read(&page(&[&log[..2], &log[1..]].concat()));
    told.finds(Fault::Duplicated);
    let mut told = Told::turns(2);
    told.read(&page(&[&log[..], &[user(5, "a1"), reply(6, "b1")]].concat()));
    told.finds(Fault::Duplicated);
    // One key, two messages.
    let mut told = Told::turns(0);
    let send = told.checker.send_begins(told.session, "k");
    told.checker.acknowledged(told.session, send, &user(1, "k"), Some(&reply(2, "l")));
    told.checker.acknowledged(told.session, send, &user(1, "k"), Some(&reply(2, "l")));
    told.is_right();
    told.checker.acknowledged(told.session, send, &user(3, "k"), Some(&reply(4, "l")));
    told.finds(Fault::Duplicated);
}

#[test]
fn what_was_refused_or_cleared_stays_away() {
    let mut told = Told::turns(1);
    let send = told.checker.send_begins(told.session, "r");
    told.checker.refused(told.session, send);
    told.read(&page(&[&told.log[..], &[user(3, "r"), reply(4, "s")]].concat()));
    told.finds(Fault::Undead);
    let mut told = Told::turns(2);
    let log = told.log.clone();
    told.checker.clear_begins(told.session);
    told.read(&page(&log));
    told.checker.cleared(told.session);
    told.read(&Page { messages: vec![], head: 4, has_more: false });
    told.turn(3);
    told.read(&page(&told.log[4..]));
    told.is_right();
    told.read(&page(&told.log.clone()));
    told.finds(Fault::Undead);
}

#[test]
fn a_turn_has_one_outcome() {
    let second = Message { reply_to: Some(1), ..reply(3, "b2") };
    let mut told = Told::turns(1);
    told.read(&page(&[&told.log[..], std::slice::from_ref(&second)].concat()));
    told.finds(Fault::Outcome);
    let mut told = Told::turns(1);
    let replaced = Message { status: Status::Superseded, ..told.log[1].clone() };
    let anew = [told.log[0].clone(), replaced, second.clone()];
    told.read(&page(&anew));
    told.finds(Fault::Outcome);
    let mut told = Told::turns(1);
    told.checker.retry_begins(told.session);
    told.checker.retried(told.session, &told.log[0].clone(), &second);
    told.read(&page(&anew));
    told.is_right();
    // Without any, at the end.
    let mut told = Told::turns(0);
    told.checker.send_begins(told.session, "p");
    let pending = page(&[Message { status: Status::Pending, ..user(1, "p") }]).clone();
    told.read(&pending);
    told.is_right();
    told.read_as(Asked { last: true, ..ALL }, &pending);
    assert_eq!(told.faults(), [Fault::Outcome]);
}

#[test]
fn a_message_whose_reply_failed_is_there() {
    let mut told = Told::turns(1);
    let send = told.checker.send_begins(told.session, "f");
    told.checker.failed(told.session, send);
    let failed = Message { status: Status::Failed, ..user(3, "f") };
    told.read(&page(&[&told.log[..], std::slice::from_ref(&failed)].concat()));
    told.is_right();
    let mut told = Told::turns(1);
    let send = told.checker.send_begins(told.session, "f");
    told.checker.failed(told.session, send);
    told.read(&page(&told.log.clone()));
    told.finds(Fault::Lost);
}

fn pairs<'a>(turns: &[(&'a str, &'a str)]) -> Pairs<'a> {
    let pair = |&(message, response): &(&'a str, &'a str)| {
        let id = format!("id of {response}").into();
        Pair { id, message: message.into(), response: response.into() }
    };
    Pairs { messages: turns.iter().map(pair).collect() }
}

/// What the checker finds in a page of the old form, after the turns a, b and c.
fn old(limit: usize, page: &[(&str, &str)]) -> Vec<Fault> {
    let mut told = Told::turns(0);
    for (text, response) in [("a", "1"), ("b", "2"), ("c", "3")] {
        let send = told.checker.send_begins(told.session, text);
        told.checker.acknowledged_as_pair(told.session, send, response, Some(&format!("id of {response}")));
    }
    let refused = told.checker.send_begins(told.session, "r");
    told.checker.refused(told.session, refused);
    let begun = told.checker.read_begins(told.session);
    told.checker.read_pairs(told.session, begun, Asked { limit, ..ALL }, &pairs(page));
    told.faults()
}

#[test]
fn pages_of_the_old_form_are_held_against_what_was_acknowledged() {
    let (a, b, c) = (("a", "1"), ("b", "2"), ("c", "3"));
    assert_eq!(old(50, &[a, b, c]), []);
    assert_eq!(old(2, &[b, c]), []);
    assert_eq!(old(50, &[a, c]), [Fault::Lost]);
    assert_eq!(old(50, &[b, c]), [Fault::Lost]);
    assert_eq!(old(50, &[]), [Fault::Lost]);
    assert_eq!(old(50, &[a, b]), [Fault::Stale]);
    assert_eq!(old(2, &[a, b]), [Fault::Stale]);
    assert_eq!(old(50, &[b, a, c]), [Fault::Reordered]);
    assert_eq!(old(50, &[a, a, b, c]), [Fault::Duplicated]);
    assert_eq!(old(50, &[("a", "2"), ("b", "1"), c]), [Fault::Mispaired; 2]);
    assert_eq!(old(50, &[("a", "9"), b, c]), [Fault::Altered]);
    assert_eq!(old(50, &[a, b, c, ("x", "4")]), [Fault::Foreign]);
    assert_eq!(old(50, &[a, b, c, ("r", "4")]), [Fault::Undead]);
}

/// What the checker finds in a stream that begins behind the first turn of two.
fn streamed(events: &[(&str, &str)]) -> Vec<Fault> {
    let mut told = Told::turns(2);
    told.checker.send_begins(told.session, "a3");
    let mut stream = told.checker.stream_begins(told.session, Some(2));
    for (name, data) in events {
        told.checker.event(told.session, &mut stream, name, data);
    }
    told.checker.stream_ends(told.session, &stream);
    told.faults()
}

#[test]
fn a_stream_tells_everything_once_and_in_order() {
    let state = ("state", r#"{"head":4,"turns":{"1":"answered"}}"#);
    let event = |seq: u64, text: &str, reply_to: &str, role: &str, status: &str| {
        format!(
            r#"{{"seq":{seq},"id":"m{seq}","role":"{role}","content":"{text}","reply_to":{reply_to},"status":"{status}"}}"#
        )
    };
    let [a2, b2] = [event(3, "a2", "null", "user", "answered"), event(4, "b2", "3", "assistant", "complete")];
    let [a3, b3] = [event(5, "a3", "null", "user", "pending"), event(6, "b3", "5", "assistant", "complete")];
    let [a2, b2, a3, b3] = [&a2, &b2, &a3, &b3].map(|data| ("message", data.as_str()));
    let done = |turn: u64| format!(r#"{{"reply_to":{turn},"seq":{},"status":"answered"}}"#, turn + 1);
    let [done2, done3] = [done(3), done(5)];
    let [done2, done3] = [&done2, &done3].map(|data| ("done", data.as_str()));
    let delta =
        |offset: usize, text: &str| format!(r#"{{"reply_to":5,"attempt":1,"offset":{offset},"text":"{text}"}}"#);
    let [first, second, hole, other] = [delta(0, "b"), delta(1, "3"), delta(2, "3"), delta(0, "c")];
    let [first, second, hole, other] = [&first, &second, &hole, &other].map(|data| ("delta", data.as_str()));
    assert_eq!(streamed(&[state, a2, b2, done2, a3, first, second, b3, done3]), []);
    assert_eq!(streamed(&[state, a2, b2, done2]), []);
    assert_eq!(streamed(&[state, a2]), [Fault::Lost]);
    assert_eq!(streamed(&[state, b2, done2]), [Fault::Lost]);
    assert_eq!(streamed(&[state, a2, a2, b2, done2]), [Fault::Duplicated]);
    assert_eq!(streamed(&[state, a2, b2, done2, a3, first, hole, b3, done3]), [Fault::Lost]);
    assert_eq!(streamed(&[state, a2, b2, done2, a3, other, b3, done3]), [Fault::Altered]);
    assert_eq!(streamed(&[state, a2, b2, done2, a3, b3, done3, first]), [Fault::Reordered]);
    assert_eq!(streamed(&[state, a2, b2, done2, done2]), [Fault::Outcome]);
    assert_eq!(streamed(&[state, a2, b2, a3]), [Fault::Outcome]);
    assert_eq!(streamed(&[("state", r#"{"head":2,"turns":{}}"#), a2, b2, done2]), [Fault::Stale]);
}

#[test]
fn who_is_let_in_to_anothers_session_is_found() {
    let mut told = Told::turns(1);
    told.checker.attempted(told.session, "GET", 403);
    told.is_right();
    told.checker.attempted(told.session, "GET", 200);
    assert_eq!(told.faults(), [Fault::Opened]);
}
