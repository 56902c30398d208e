//! What a user does in one step of each scenario.

use std::{rc::Rc, time::Instant};

use uuid::Uuid;

use super::{
    bench::{Answer, Bench, Question},
    figures::Call,
    user::User,
};
use crate::{checker::Fault, cli::Scenario};

/// Turns of a session of the journey before the next one begins.
const TURNS: u32 = 20;
/// Turns that a history has.
const HISTORY: u32 = 10;
/// Milliseconds between steps from which on a second tab does not stay open.
const LONG_MS: u64 = 1_000;
/// Sends at once of rapid fire.
const BURST: usize = 4;

impl User {
    /// Does what must be there before the first step.
    pub(super) async fn prepare(&mut self, bench: &Rc<Bench>) {
        let turns = match bench.options.scenario {
            Scenario::History | Scenario::Mixed => HISTORY,
            Scenario::Hijack => 1,
            Scenario::Journey
            | Scenario::Send
            | Scenario::Streams
            | Scenario::Rapid
            | Scenario::Overload
            | Scenario::Churn => 0,
        };
        let Some(talk) = self.talk(bench).await else { return };
        for _ in 0..turns {
            self.send(bench, talk, Instant::now()).await;
        }
        if bench.options.scenario == Scenario::Hijack {
            bench.victims.borrow_mut().push((
                self.talks[talk].no,
                self.talks[talk].id.clone(),
                self.account.id.clone(),
            ));
        }
    }

    /// One step, which was due at `due`.
    pub(super) async fn step(&mut self, bench: &Rc<Bench>, due: Instant) {
        bench.steps.set(bench.steps.get() + 1);
        match bench.options.scenario {
            Scenario::Journey => self.journey(bench, due).await,
            Scenario::History => {
                let Some(talk) = self.talk(bench).await else { return };
                self.read(bench, talk, due).await;
            }
            Scenario::Send | Scenario::Overload | Scenario::Streams => {
                let Some(talk) = self.talk(bench).await else { return };
                self.send(bench, talk, due).await;
            }
            Scenario::Mixed => self.mixed(bench, due).await,
            Scenario::Hijack => self.hijack(bench, due).await,
            Scenario::Rapid => self.rapid(bench, due).await,
            Scenario::Churn => self.churn(bench, due).await,
        }
    }

    /// As the old web page: send, then refetch the history; now and then a second tab reads at the same moment.
    async fn journey(&mut self, bench: &Rc<Bench>, due: Instant) {
        if self.talks.last().is_some_and(|talk| talk.turns >= TURNS) {
            self.audit(bench).await;
            for talk in self.talks.drain(..) {
                bench.checker.borrow_mut().forget(talk.no);
            }
        }
        let Some(talk) = self.talk(bench).await else { return };
        if self.random.one_in(4) && !bench.is_old() {
            let said = self.say(bench, talk);
            let (tab, second) = (&mut self.tab, &mut self.second);
            let talk = &mut self.talks[talk];
            let path = format!("{}/messages?limit=50", talk.path());
            let begun = bench.checker.borrow_mut().read_begins(talk.no);
            let reading = second.ask(bench, due, Question::get(Call::Page, &path));
            let (_, read) = tokio::join!(talk.send(bench, tab, &said, due), reading);
            if let Answer::Ok(reply) = read {
                talk.check(bench, begun, &reply);
            }
            if bench.options.think >= LONG_MS {
                self.second.close(); // Who thinks for long has closed the tab: so each user has one connection.
            }
        } else {
            self.send(bench, talk, due).await;
        }
        self.read(bench, talk, Instant::now()).await;
    }

    async fn mixed(&mut self, bench: &Rc<Bench>, due: Instant) {
        match self.random.below(20) {
            0..=4 => self.journey(bench, due).await,
            5 if !bench.is_old() => {
                let question = Question::get(Call::Sessions, "/api/v1/sessions?limit=20");
                self.tab.ask(bench, due, question).await;
            }
            _ => {
                let Some(talk) = self.talk(bench).await else { return };
                self.read(bench, talk, due).await;
            }
        }
    }

    /// Tries to reach another user's session.
    async fn hijack(&mut self, bench: &Rc<Bench>, due: Instant) {
        let own = self.talks.last().map(|talk| talk.no);
        let victim = {
            let victims = bench.victims.borrow();
            let at = self.random.below(victims.len().max(1));
            victims.get(at).filter(|victim| Some(victim.0) != own).cloned()
        };
        let Some((no, id, user)) = victim else { return };
        let session = format!("/api/v1/sessions/{id}");
        let text = r#"{"content":"let me in"}"#;
        let attempts = [
            ("GET", session.clone(), None),
            ("PATCH", session.clone(), Some(r#"{"title":"mine"}"#.to_owned())),
            ("DELETE", session.clone(), None),
            ("GET", format!("{session}/messages"), None),
            ("POST", format!("{session}/messages"), Some(text.to_owned())),
            ("POST", format!("{session}/messages/1/retry"), None),
            ("POST", format!("{session}/messages/1/stop"), None),
            ("GET", format!("{session}/events"), None),
            ("POST", "/api/v1/sessions".to_owned(), Some(format!(r#"{{"id":"{id}"}}"#))),
            ("POST", "/api/v1/chat/send".to_owned(), Some(format!(r#"{{"message":"let me in","session_id":"{id}"}}"#))),
            ("POST", "/api/v1/chat/send".to_owned(), Some(format!(r#"{{"message":"let me in","user_id":"{user}"}}"#))),
            ("GET", format!("/api/v1/chat/history?session_id={id}"), None),
            ("GET", format!("/api/v1/chat/history/{user}"), None),
            ("GET", format!("/api/v1/chat/search/{user}?q=a"), None),
            ("DELETE", format!("/api/v1/chat/history/{user}"), None),
        ];
        let [(method, path, body)] = [&attempts[self.random.below(attempts.len())]];
        let question =
            Question { call: Call::Attempt, method, path, body: body.clone(), key: None, tag: None, also: 403 };
        let status = match self.tab.ask(bench, due, question).await {
            Answer::Ok(reply) => reply.head.status,
            Answer::Status(status) => status,
            Answer::Refused | Answer::Nothing => return,
        };
        bench.checker.borrow_mut().attempted(no, &format!("{method} {path}"), status);
    }

    /// Several sends at once into one session, each on a connection of its own; one of them twice, with one key.
    async fn rapid(&mut self, bench: &Rc<Bench>, due: Instant) {
        let Some(talk) = self.talk(bench).await else { return };
        let mut said: Vec<_> = (0..BURST).map(|_| self.say(bench, talk)).collect();
        said[2].key = Some(Uuid::new_v4().to_string());
        let mut tabs: Vec<_> = std::mem::take(&mut self.burst);
        while tabs.len() < BURST {
            tabs.push(bench.tab(self.account.token.clone()));
        }
        let of = &self.talks[talk];
        if let ([a, b, c, d], [first, second, third, fourth]) = (&mut tabs[..], &said[..]) {
            let sends = tokio::join!(
                of.send(bench, a, first, due),
                of.send(bench, b, second, due),
                of.send(bench, c, third, due),
                of.send(bench, d, third, due),
            );
            if sends.0 {
                of.send(bench, a, fourth, Instant::now()).await;
            } else {
                bench.checker.borrow_mut().refused(of.no, fourth.send); // It was not sent at all.
            }
        }
        self.burst = tabs;
        self.read(bench, talk, Instant::now()).await;
        let gone = bench.checker.borrow().open(self.talks[talk].no) > BURST * 64;
        if gone || self.talks[talk].turns >= TURNS * 10 {
            self.audit(bench).await;
            self.talks.clear();
        }
    }

    /// Anything that a user may do over weeks.
    async fn churn(&mut self, bench: &Rc<Bench>, due: Instant) {
        let Some(talk) = self.talk(bench).await else { return };
        match self.random.below(40) {
            0 | 1 if self.talks.len() < 5 => {
                self.new_talk(bench).await;
            }
            2 => self.delete(bench, due).await,
            3 => self.clear(bench, due).await,
            4 | 5 => self.retry(bench, talk, due).await,
            6 => self.change_password(bench, due).await,
            7..=9 => self.stream_for_a_moment(bench, talk).await,
            10..=24 => {
                let talk = self.random.below(self.talks.len());
                self.read(bench, talk, due).await;
            }
            25..=27 => {
                let mut said = self.say(bench, talk);
                said.key = Some(Uuid::new_v4().to_string());
                let of = &self.talks[talk];
                of.send(bench, &mut self.tab, &said, due).await;
                of.send(bench, &mut self.second, &said, Instant::now()).await;
            }
            _ => {
                self.send(bench, talk, due).await;
                self.read(bench, talk, Instant::now()).await;
            }
        }
    }

    /// Deletes the newest session, which must be gone then.
    async fn delete(&mut self, bench: &Rc<Bench>, due: Instant) {
        let Some(talk) = self.talks.pop() else { return };
        let path = talk.path();
        let question =
            Question { call: Call::Delete, method: "DELETE", path: &path, body: None, key: None, tag: None, also: 0 };
        if let Answer::Ok(_) = self.tab.ask(bench, due, question).await {
            let mut question = Question::get(Call::Attempt, &path);
            question.also = 403;
            if let Answer::Ok(reply) = self.tab.ask(bench, Instant::now(), question).await
                && reply.head.status != 403
            {
                let detail = "it was deleted, and can be read".to_owned();
                bench.checker.borrow_mut().found(talk.no, Fault::Undead, detail);
            }
        }
        bench.checker.borrow_mut().forget(talk.no);
    }

    /// Empties all sessions.
    async fn clear(&mut self, bench: &Rc<Bench>, due: Instant) {
        let tell = |what: fn(&mut crate::checker::Checker, crate::checker::SessionNo)| {
            self.talks.iter().for_each(|talk| what(&mut bench.checker.borrow_mut(), talk.no));
        };
        tell(crate::checker::Checker::clear_begins);
        let path = "/api/v1/chat/history";
        let question =
            Question { call: Call::Clear, method: "DELETE", path, body: None, key: None, tag: None, also: 0 };
        if let Answer::Ok(_) = self.tab.ask(bench, due, question).await {
            tell(crate::checker::Checker::cleared);
        }
    }

    async fn change_password(&mut self, bench: &Rc<Bench>, due: Instant) {
        let new = format!("stone-{:x}-{}", self.random.next(), self.number);
        let body = serde_json::json!({"current": self.account.password, "new": new}).to_string();
        let question = Question::post(Call::Password, "/api/v1/auth/password", body);
        if let Answer::Ok(_) = self.tab.ask(bench, due, question).await {
            self.account.password = new;
        }
    }
}
