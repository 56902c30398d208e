//! One user: sessions and tabs, and what a person does with them. Every answer goes to the checker.

use std::{rc::Rc, time::Instant};

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::{
    accounts::Account,
    bench::{Answer, Bench, Question, Tab},
    figures::Call,
    random::Random,
};
use crate::{
    checker::{Asked, Message, Page, Pairs, ReadBegun, Role, SendNo, SessionNo},
    client::Reply,
};

/// Turns of a page, as the old web page asks for.
const PAGE: usize = 50;
/// Messages of a page when all is read.
const PAGE_MAX: usize = 200;
/// What the longest of texts is filled with.
const FILLER: &str =
    " I could not sleep last night, my exam is tomorrow, and there was nobody whom I could tell about it.";

/// One user.
pub(super) struct User {
    pub(super) number: u64,
    pub(super) account: Account,
    pub(super) random: Random,
    pub(super) tab: Tab,
    pub(super) second: Tab,
    pub(super) talks: Vec<Talk>,
    pub(super) sent: u64,
    /// More connections, for sends at once.
    pub(super) burst: Vec<Tab>,
}

/// One session of the user.
pub(super) struct Talk {
    pub(super) id: String,
    pub(super) no: SessionNo,
    pub(super) turns: u32,
    /// Of the page that was checked last: its digest and length, the head then, and its messages.
    seen: Option<(u32, usize, u64, usize)>,
}

/// The answer to a send.
#[derive(Deserialize)]
struct Sent<'a> {
    #[serde(borrow)]
    message: Message<'a>,
    #[serde(borrow)]
    reply: Option<Message<'a>>,
}

/// The answer of the old call.
#[derive(Deserialize)]
struct OldSent {
    response: String,
    message_id: Option<String>,
}

/// A message that is about to be sent.
pub(super) struct Said {
    pub(super) text: String,
    pub(super) send: SendNo,
    /// The key with which it may be sent again.
    pub(super) key: Option<String>,
}

impl User {
    pub(super) fn new(bench: &Bench, number: u64, account: Account) -> Self {
        let (tab, second) = (bench.tab(account.token.clone()), bench.tab(account.token.clone()));
        let random = Random::new(bench.seed, number);
        Self { number, account, random, tab, second, talks: Vec::new(), sent: 0, burst: Vec::new() }
    }

    /// The session that is used now, a new one where there is none.
    pub(super) async fn talk(&mut self, bench: &Bench) -> Option<usize> {
        if self.talks.is_empty() {
            self.new_talk(bench).await?;
        }
        Some(self.talks.len() - 1)
    }

    /// Makes a session; the old server has them as soon as they are named.
    pub(super) async fn new_talk(&mut self, bench: &Bench) -> Option<()> {
        let id = if bench.is_old() {
            Uuid::new_v4().to_string() // Not of the seed: the next run must not meet the sessions of this one.
        } else {
            let question = Question::post(Call::Session, "/api/v1/sessions", "{}".to_owned());
            let Answer::Ok(reply) = self.tab.ask(bench, Instant::now(), question).await else { return None };
            let session: serde_json::Value = serde_json::from_slice(reply.body()).ok()?;
            session["id"].as_str()?.to_owned()
        };
        let no = bench.checker.borrow_mut().session(&id);
        self.talks.push(Talk { id, no, turns: 0, seen: None });
        Some(())
    }

    /// A text that nobody sent before.
    pub(super) fn say(&mut self, bench: &Bench, talk: usize) -> Said {
        self.sent += 1;
        let length = self.random.below(FILLER.len());
        let text = format!("{:x}.{}.{}{}", bench.seed, self.number, self.sent, &FILLER[..length]);
        let send = bench.checker.borrow_mut().send_begins(self.talks[talk].no, &text);
        self.talks[talk].turns += 1;
        Said { text, send, key: None }
    }

    /// Sends in this session, and gives whether it was answered.
    pub(super) async fn send(&mut self, bench: &Bench, talk: usize, due: Instant) -> bool {
        let said = self.say(bench, talk);
        let talk = &self.talks[talk];
        if bench.is_old() {
            return talk.send_as_pair(bench, (&mut self.tab, &self.account.id), &said, due).await;
        }
        talk.send(bench, &mut self.tab, &said, due).await
    }

    /// Reads the newest page, or the old form of it.
    pub(super) async fn read(&mut self, bench: &Bench, talk: usize, due: Instant) {
        let talk = &mut self.talks[talk];
        talk.read(bench, &mut self.tab, &self.account.id, due).await;
    }

    /// Reads all of all sessions, where nothing is under way any more: what is not there now is lost.
    pub(super) async fn audit(&mut self, bench: &Rc<Bench>) {
        for talk in &mut self.talks {
            if bench.is_old() {
                talk.seen = None;
                talk.read_pairs(bench, &mut self.tab, &self.account.id, (Instant::now(), true)).await;
            } else {
                talk.audit(bench, &mut self.tab).await;
            }
        }
    }
}

impl<'a> Question<'a> {
    pub(super) fn get(call: Call, path: &'a str) -> Self {
        Self { call, method: "GET", path, body: None, key: None, tag: None, also: 0 }
    }

    pub(super) fn post(call: Call, path: &'a str, body: String) -> Self {
        Self { call, method: "POST", path, body: Some(body), key: None, tag: None, also: 0 }
    }
}

impl Talk {
    pub(super) fn path(&self) -> String {
        format!("/api/v1/sessions/{}", self.id)
    }

    /// Sends, and gives whether it was answered.
    pub(super) async fn send(&self, bench: &Bench, tab: &mut Tab, said: &Said, due: Instant) -> bool {
        let path = self.path() + "/messages";
        let mut question = Question::post(Call::Send, &path, json!({"content": said.text}).to_string());
        question.key = said.key.as_deref();
        let answer = tab.ask(bench, due, question).await;
        let mut checker = bench.checker.borrow_mut();
        match answer {
            Answer::Ok(reply) => match serde_json::from_slice::<Sent>(reply.body()) {
                Ok(Sent { message, reply }) => {
                    checker.acknowledged(self.no, said.send, &message, reply.as_ref());
                    return true;
                }
                Err(error) => bench.unreadable(Call::Send, &error),
            },
            Answer::Refused if said.key.is_none() => checker.refused(self.no, said.send),
            Answer::Status(502 | 504) => checker.failed(self.no, said.send),
            Answer::Status(400..=499) => checker.refused(self.no, said.send),
            Answer::Refused | Answer::Status(_) | Answer::Nothing => {}
        }
        false
    }

    async fn send_as_pair(&self, bench: &Bench, (tab, user): (&mut Tab, &str), said: &Said, due: Instant) -> bool {
        let body = json!({"message": said.text, "user_id": user, "session_id": self.id}).to_string();
        let answer = tab.ask(bench, due, Question::post(Call::Send, "/api/v1/chat/send", body)).await;
        let mut checker = bench.checker.borrow_mut();
        match answer {
            Answer::Ok(reply) => match serde_json::from_slice::<OldSent>(reply.body()) {
                Ok(sent) => {
                    checker.acknowledged_as_pair(self.no, said.send, &sent.response, sent.message_id.as_deref());
                    return true;
                }
                Err(error) => bench.unreadable(Call::Send, &error),
            },
            Answer::Refused | Answer::Status(400..=499) => checker.refused(self.no, said.send),
            Answer::Status(_) | Answer::Nothing => {}
        }
        false
    }

    /// Reads the newest page.
    pub(super) async fn read(&mut self, bench: &Bench, tab: &mut Tab, user: &str, due: Instant) {
        if bench.is_old() {
            return self.read_pairs(bench, tab, user, (due, false)).await;
        }
        let path = format!("/api/v1/sessions/{}/messages?limit={PAGE}", self.id);
        let begun = bench.checker.borrow_mut().read_begins(self.no);
        let Answer::Ok(reply) = tab.ask(bench, due, Question::get(Call::Page, &path)).await else { return };
        let mut checker = bench.checker.borrow_mut();
        let (digest, length) = (crc32fast::hash(reply.body()), reply.body().len());
        if let Some((_, _, _, count)) =
            self.seen.filter(|seen| (seen.0, seen.1, seen.2) == (digest, length, checker.head(self.no)))
        {
            return checker.read_same(count);
        }
        drop(checker);
        if let Some(count) = self.check(bench, begun, &reply) {
            self.seen = Some((digest, length, bench.checker.borrow().head(self.no), count));
        }
    }

    /// Has a newest page checked, and gives how many messages it has.
    pub(super) fn check(&self, bench: &Bench, begun: ReadBegun, reply: &Reply) -> Option<usize> {
        match serde_json::from_slice::<Page>(reply.body()) {
            Ok(page) => {
                let asked = Asked { after: None, limit: PAGE, last: false };
                bench.checker.borrow_mut().read(self.no, begun, asked, &page);
                Some(page.messages.len())
            }
            Err(error) => {
                bench.unreadable(Call::Page, &error);
                None
            }
        }
    }

    /// The sequence of the user's last message.
    pub(super) async fn last_message(&self, bench: &Bench, tab: &mut Tab) -> Option<u64> {
        let path = format!("{}/messages?limit={PAGE}", self.path());
        let begun = bench.checker.borrow_mut().read_begins(self.no);
        let Answer::Ok(reply) = tab.ask(bench, Instant::now(), Question::get(Call::Page, &path)).await else {
            return None;
        };
        self.check(bench, begun, &reply)?;
        let page: Page = serde_json::from_slice(reply.body()).ok()?;
        page.messages.iter().rev().find(|message| message.role == Role::User).map(|message| message.seq)
    }

    async fn read_pairs(&mut self, bench: &Bench, tab: &mut Tab, user: &str, (due, last): (Instant, bool)) {
        let limit = if last { PAGE_MAX } else { PAGE };
        let path = format!("/api/v1/chat/history/{user}?limit={limit}&offset=0&session_id={}", self.id);
        let begun = bench.checker.borrow_mut().read_begins(self.no);
        let Answer::Ok(reply) = tab.ask(bench, due, Question::get(Call::History, &path)).await else { return };
        match serde_json::from_slice::<Pairs>(reply.body()) {
            Ok(page) => {
                bench.checker.borrow_mut().read_pairs(self.no, begun, Asked { after: None, limit, last }, &page);
            }
            Err(error) => bench.unreadable(Call::History, &error),
        }
    }

    /// Reads all of it, page by page, once every turn has its outcome.
    async fn audit(&self, bench: &Bench, tab: &mut Tab) {
        const PATIENCE: u32 = 100;
        let mut after = 0;
        for tried in 0.. {
            let path = format!("/api/v1/sessions/{}/messages?limit={PAGE_MAX}&after={after}", self.id);
            let begun = bench.checker.borrow_mut().read_begins(self.no);
            let Answer::Ok(reply) = tab.ask(bench, Instant::now(), Question::get(Call::Page, &path)).await else {
                return;
            };
            let page = match serde_json::from_slice::<Page>(reply.body()) {
                Ok(page) => page,
                Err(error) => return bench.unreadable(Call::Page, &error),
            };
            let is_open = page.messages.iter().any(|message| message.status == crate::checker::Status::Pending);
            if is_open && tried < PATIENCE {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
            let asked = Asked { after: Some(after), limit: PAGE_MAX, last: true };
            bench.checker.borrow_mut().read(self.no, begun, asked, &page);
            match page.messages.last() {
                Some(last) if page.has_more && last.seq > after => after = last.seq,
                Some(_) | None => return,
            }
        }
    }
}

impl Bench {
    /// An answer has the right status, and not what it should have.
    pub(super) fn unreadable(&self, call: Call, error: &serde_json::Error) {
        let end = super::figures::End::Error(format!("the answer can't be read: {error}"));
        self.figures.borrow_mut().record(call, std::time::Duration::ZERO, &end);
    }
}
