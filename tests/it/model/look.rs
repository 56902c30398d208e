//! What a member reads: pages, histories, lists, searches, exports; and how doubts are settled by reading.

use serde_json::{Value, json};

use super::{
    member::{Doubt, Gone, Member},
    talk::{Expected, Talk, history},
};
use crate::support::{Client, each, encoded, list, text};

/// Readings of a session in which something may still come, before it is given up.
const READINGS_MAX: usize = 100_000;

/// Where a hit is.
fn place(hit: &Value) -> (String, u64) {
    (text(&hit["session_id"]), hit["seq"].as_u64().unwrap())
}

/// Where a search must find the needle, newest first, and in how many messages.
fn hits(talks: &[Talk], needle: &str) -> (Vec<(String, u64)>, Option<u64>) {
    let mut found = Vec::new();
    for talk in talks {
        for message in talk.shown().iter().filter(|message| message["status"] != "superseded") {
            if text(&message["content"]).contains(needle) {
                found.push((
                    text(&message["created_at"]),
                    text(&message["id"]),
                    talk.id.clone(),
                    message["seq"].clone(),
                ));
            }
        }
    }
    found.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| other.1.cmp(&one.1)));
    let total = found.len() as u64;
    let places = found.into_iter().map(|(_, _, id, seq)| (id, seq.as_u64().unwrap())).take(200);
    (places.collect(), Some(total))
}

impl Member {
    /// Reads a session until no turn is open, and takes what is expected.
    pub(crate) fn read(&mut self, session: usize, tab: u8, mut expected: Expected) -> Result<(), Gone> {
        // What was sent without a key, and not waited for, may come at any time.
        let doubted = self.unkeyed(session);
        expected.may.extend(doubted.into_iter().filter(|content| !expected.must.contains(content)));
        expected.may.sort();
        expected.may.dedup();
        for _ in 0..READINGS_MAX {
            let messages = self.messages(session, tab)?;
            if let Some(open) = messages.iter().find(|message| message["status"] == "pending") {
                // A reply that never ends, and was begun again after a crash, is stopped again.
                if text(&open["content"]).starts_with("[[stallmid]]") {
                    let path = format!("/api/v1/sessions/{}/messages/{}/stop", self.talks[session].id, open["seq"]);
                    self.call(tab, ("POST", &path), &[], Some(&json!({})))?.expect(204);
                }
                std::thread::yield_now();
                continue;
            }
            let name = self.name.clone();
            let talk = &mut self.talks[session];
            talk.read(&messages, expected).unwrap_or_else(|wrong| panic!("{name}, session {session}: {wrong}"));
            let said = talk.shown().iter().filter(|message| message["role"] == "user");
            let found: Vec<String> = said.map(|message| text(&message["content"])).collect();
            self.doubts.retain(|doubt| match doubt {
                Doubt::Sent { session: of, content, key: None } => *of != session || !found.contains(content),
                Doubt::Sent { .. }
                | Doubt::Anew { .. }
                | Doubt::Created(_)
                | Doubt::Titled { .. }
                | Doubt::Deleted(_)
                | Doubt::Cleared
                | Doubt::Password(_)
                | Doubt::Login
                | Doubt::Ended(_) => true,
            });
            return Ok(());
        }
        panic!("a turn of session {session} of {} has no outcome", self.name);
    }

    /// All messages that are not cleared.
    fn messages(&mut self, session: usize, tab: u8) -> Result<Vec<Value>, Gone> {
        let (id, mut after) = (self.talks[session].id.clone(), 0);
        let mut all: Vec<Value> = Vec::new();
        loop {
            let page = self.get(tab, &format!("/api/v1/sessions/{id}/messages?after={after}&limit=200"))?;
            all.extend(list(&page["messages"]).iter().cloned());
            if page["has_more"] == false {
                return Ok(all);
            }
            after = all.last().unwrap()["seq"].as_u64().unwrap();
        }
    }

    /// Compares everything that can be read.
    pub(crate) fn look(&mut self, tab: u8) -> Result<(), Gone> {
        for session in 0..self.talks.len() {
            if self.talks[session].deleted {
                let path = format!("/api/v1/sessions/{}/messages", self.talks[session].id);
                self.call(tab, ("GET", &path), &[], None)?.expect(403);
                continue;
            }
            self.read(session, tab, Expected::default())?;
        }
        // What nobody waited for may come between two readings.
        if !self.doubts.iter().any(|doubt| matches!(doubt, Doubt::Sent { .. })) {
            for session in (0..self.talks.len()).filter(|&session| !self.talks[session].deleted).collect::<Vec<_>>() {
                self.look_at_session(session, tab)?;
            }
            self.look_at_all(tab)?;
        }
        Ok(())
    }

    fn look_at_session(&mut self, session: usize, tab: u8) -> Result<(), Gone> {
        let talk = self.talks[session].clone();
        let path = format!("/api/v1/sessions/{}", talk.id);
        let shown = self.get(tab, &path)?;
        assert_eq!((&shown["title"], &shown["head"]), (&talk.title, &json!(talk.log.len())), "{}", self.name);
        let head = talk.log.len() as u64;
        let middle = head.saturating_sub(3);
        for (query, after, before, limit) in [
            (String::new(), None, None, 50),
            ("?limit=2".to_owned(), None, None, 2),
            (format!("?after={middle}&limit=2"), Some(middle), None, 2),
            (format!("?after={middle}&limit=3"), Some(middle), None, 3),
            (format!("?before={head}&limit=3"), None, Some(head), 3),
            (format!("?after=1&before={head}&limit=1"), Some(1), Some(head), 1),
        ] {
            let path = format!("{path}/messages{query}");
            let answer = self.call(tab, ("GET", &path), &[], None)?.expect(200);
            assert_eq!(answer.json(), talk.page(after, before, limit), "{} {path}", self.name);
            let tag = answer.header("etag").unwrap().to_owned();
            let again = self.call(tab.wrapping_add(1), ("GET", &path), &[("if-none-match", &tag)], None)?;
            assert_eq!(again.status, 304, "{} {path}: the tag changes though nothing did", self.name);
        }
        let pairs: Vec<Value> = talk.pairs().into_iter().map(|(_, pair)| pair).collect();
        for (limit, offset) in [(50, 0), (2, 1)] {
            let path = format!("/api/v1/chat/history?session_id={}&limit={limit}&offset={offset}", talk.id);
            assert_eq!(self.get(tab, &path)?, history(&pairs, &self.id, limit, offset), "{} {path}", self.name);
        }
        Ok(())
    }

    fn look_at_all(&mut self, tab: u8) -> Result<(), Gone> {
        let live: Vec<Talk> = self.talks.iter().filter(|talk| !talk.deleted).cloned().collect();
        let mut pairs: Vec<(String, Value)> = live.iter().flat_map(Talk::pairs).collect();
        pairs.sort_by(|(at, _), (other, _)| at.cmp(other)); // Stable: those of one session stay in order.
        let pairs: Vec<Value> = pairs.into_iter().map(|(_, pair)| pair).collect();
        for (limit, offset) in [(50, 0), (3, 2), (200, 5)] {
            let path = format!("/api/v1/chat/history?_t=1&limit={limit}&offset={offset}");
            assert_eq!(self.get(tab, &path)?, history(&pairs, &self.id, limit, offset), "{} {path}", self.name);
        }
        let listed = self.get(tab, "/api/v1/sessions?limit=200")?;
        let [mut ids, mut wanted] = [
            each(&listed["sessions"], "id").into_iter().map(text).collect::<Vec<_>>(),
            live.iter().map(|talk| talk.id.clone()).collect(),
        ];
        ids.sort();
        wanted.sort();
        assert_eq!(ids, wanted, "the sessions of {}", self.name);
        let times: Vec<_> = each(&listed["sessions"], "updated_at").into_iter().map(text).collect();
        assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");
        let needle = format!("note {} of-{}-", self.next, self.name);
        let found: Vec<Value> = pairs.iter().filter(|pair| text(&pair["message"]).contains(&needle)).cloned().collect();
        let path = format!("/api/v1/chat/search?q={}", encoded(&needle));
        assert_eq!(self.get(tab, &path)?, history(&found, &self.id, 20, 0), "{} {path}", self.name);
        let body = json!({"text": needle.to_uppercase(), "limit": 200});
        let found = self.call(tab, ("POST", "/api/v1/search"), &[], Some(&body))?.expect(200).json();
        let found = (list(&found["hits"]).iter().map(place).collect::<Vec<_>>(), found["total"].as_u64());
        assert_eq!(found, hits(&live, &needle), "{} finds {needle}", self.name);
        let export = self.call(tab, ("GET", "/api/v1/auth/export"), &[], None)?.expect(200).text();
        let lines: Vec<Value> = export.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let exported = lines.iter().filter(|line| line["type"] == "message").count();
        assert_eq!(exported, live.iter().map(|talk| talk.shown().len()).sum::<usize>(), "the export of {}", self.name);
        Ok(())
    }

    /// Finds out what came of everything that broke off. `restarted`: nothing more of it can come.
    pub(crate) fn settle(&mut self, restarted: bool) -> Result<(), Gone> {
        let doubts = self.doubts.clone();
        for doubt in &doubts {
            match doubt {
                Doubt::Password(new) if self.opens(new)? => self.password.clone_from(new),
                Doubt::Ended(tokens) => {
                    for token in tokens {
                        let me = Client::with_token(self.address, token).send("GET", "/api/v1/auth/me", &[], None)?;
                        if me.status == 401 {
                            self.tabs.retain(|tab| tab.token.as_ref() != Some(token));
                        }
                    }
                }
                Doubt::Created(id) => {
                    let shown = self.call(0, ("GET", &format!("/api/v1/sessions/{id}")), &[], None)?;
                    if shown.status == 200 {
                        let title = shown.json()["title"].clone();
                        self.talks.push(Talk::new(id.clone(), title));
                    }
                }
                Doubt::Titled { session, title } => {
                    let shown = self.get(0, &format!("/api/v1/sessions/{}", self.talks[*session].id))?;
                    if shown["title"] == *title {
                        self.talks[*session].title = title.clone();
                    }
                }
                Doubt::Deleted(session) => {
                    let path = format!("/api/v1/sessions/{}", self.talks[*session].id);
                    self.talks[*session].deleted = self.call(0, ("GET", &path), &[], None)?.status == 403;
                }
                Doubt::Cleared => {
                    let shown = self.get(0, "/api/v1/chat/history")?;
                    let known: Vec<&Value> =
                        self.talks.iter().filter(|talk| !talk.deleted).flat_map(Talk::shown).collect();
                    let is_known = |pair: &Value| known.iter().any(|message| message["content"] == pair["message"]);
                    if !list(&shown["messages"]).iter().any(is_known) {
                        self.cleared()?;
                    }
                }
                Doubt::Anew { session, seq } => {
                    self.read(*session, 0, Expected { anew: Some(*seq), ..Expected::default() })?;
                }
                Doubt::Sent { session, content, key: Some(key) } => self.settle_key(*session, content, key)?,
                Doubt::Password(_) | Doubt::Login | Doubt::Sent { .. } => {}
            }
        }
        self.doubts.retain(|doubt| matches!(doubt, Doubt::Sent { key: None, .. }));
        for session in (0..self.talks.len()).filter(|&session| !self.talks[session].deleted).collect::<Vec<_>>() {
            self.read(session, 0, Expected::default())?;
        }
        if restarted {
            self.doubts.clear();
        }
        Ok(())
    }

    /// The same key finds the message, or sends it now: it is there once.
    fn settle_key(&mut self, session: usize, content: &str, key: &str) -> Result<(), Gone> {
        let path = format!("/api/v1/sessions/{}/messages", self.talks[session].id);
        let body = json!({"content": content});
        let answer = self.call(0, ("POST", &path), &[("idempotency-key", key)], Some(&body))?;
        self.read(session, 1, Expected::sent(content))?;
        self.is_answered(session, content, &answer);
        Ok(())
    }

    /// True where this is the password.
    fn opens(&mut self, password: &str) -> Result<bool, Gone> {
        let body = json!({"username": self.name, "password": password});
        Ok(self.call(0, ("POST", "/api/v1/auth/login"), &[], Some(&body))?.status == 200)
    }
}
