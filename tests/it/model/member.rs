//! A user with several connections, who knows what must be there: every act is compared at once, and what broke off is
//! remembered as a doubt, which a later reading settles.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
};

use serde_json::{Value, json};

use super::{
    act::{Act, Cut, How},
    talk::{Expected, Talk},
};
use crate::support::{
    Client, PASSWORD, Response, Server, at_once,
    client::connect,
    list,
    model::{Draft, until},
    text,
};

/// The connection broke: the server is gone.
#[derive(Debug)]
pub(crate) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// What may have happened or not.
#[derive(Debug, Clone)]
pub(crate) enum Doubt {
    Sent {
        session: usize,
        content: String,
        key: Option<String>,
    },
    Anew {
        session: usize,
        seq: u64,
    },
    Created(String),
    Titled {
        session: usize,
        title: Value,
    },
    Deleted(usize),
    Cleared,
    Password(String),
    Login,
    /// The logins that may have ended.
    Ended(Vec<String>),
}

/// A send that can be repeated.
#[derive(Debug, Clone)]
pub(crate) struct Keyed {
    pub(crate) key: String,
    pub(crate) session: usize,
    pub(crate) content: String,
}

pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) address: SocketAddr,
    pub(crate) password: String,
    pub(crate) tabs: Vec<Client>,
    pub(crate) talks: Vec<Talk>,
    pub(crate) keyed: Vec<Keyed>,
    pub(crate) doubts: Vec<Doubt>,
    pub(crate) others: Vec<String>,
    pub(crate) next: usize,
    /// True where the stub makes the replies, which then do as they are told.
    pub(crate) scripted: bool,
    pub(crate) acts: usize,
}

impl Member {
    pub(crate) fn new(server: &Server, name: &str, others: &[&str], scripted: bool) -> Self {
        let (client, id) = server.user(name);
        let tabs = vec![client.another_tab(server), client];
        let others = others.iter().filter(|other| **other != name).map(|other| format!("of-{other}-")).collect();
        Self {
            name: name.to_owned(),
            id,
            address: server.address,
            password: PASSWORD.to_owned(),
            tabs,
            talks: Vec::new(),
            keyed: Vec::new(),
            doubts: Vec::new(),
            others,
            next: 0,
            scripted,
            acts: 0,
        }
    }

    /// The server has another address now.
    pub(crate) fn meets(&mut self, server: &Server) {
        self.address = server.address;
        self.tabs = self.tabs.iter().map(|tab| tab.another_tab(server)).collect();
    }

    /// One request by some connection. No answer may have anything of another user in it.
    pub(crate) fn call(
        &mut self,
        tab: u8,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Response, Gone> {
        let count = self.tabs.len();
        let body = body.map(ToString::to_string);
        let mut all = headers.to_vec();
        all.extend(body.as_ref().map(|_| ("content-type", "application/json")));
        let answer =
            self.tabs[usize::from(tab) % count].send(method, path, &all, body.as_deref().map(str::as_bytes))?;
        self.is_mine(&answer.text());
        // What was under way when the server was told to stop, or refused by one that stops.
        if answer.status == 503 || answer.status == 500 { Err(Gone) } else { Ok(answer) }
    }

    pub(crate) fn is_mine(&self, text: &str) {
        let foreign = self.others.iter().find(|other| text.contains(other.as_str()));
        assert_eq!(foreign, None, "{} is shown what is another's", self.name);
    }

    pub(crate) fn get(&mut self, tab: u8, path: &str) -> Result<Value, Gone> {
        let answer = self.call(tab, ("GET", path), &[], None)?;
        Ok(answer.expect(200).json())
    }

    /// A text that nobody else sends. The stub is told what to do with it.
    fn content(&mut self, how: How) -> String {
        self.next += 1;
        let (name, next) = (&self.name, self.next);
        let text =
            format!("note {next} of-{name}- \u{995}\u{9be} {}", "x".repeat(if next % 5 == 0 { 3000 } else { 5 }));
        match how {
            _ if !self.scripted => text,
            How::Fails => format!("[[status 400]] {text}"),
            How::FailsOnce => format!("[[once status 400]] {text}"),
            How::Native | How::Old | How::Streamed => format!("[[tokens 4 {}]] {text}", next % 4),
        }
    }

    pub(crate) fn live(&self, pick: u8) -> Option<usize> {
        let live: Vec<usize> = (0..self.talks.len()).filter(|&n| !self.talks[n].deleted).collect();
        live.get(usize::from(pick) % live.len().max(1)).copied()
    }

    /// Does what it is told to, and compares; an error where the server went away meanwhile.
    pub(crate) fn act(&mut self, act: &Act) -> Result<(), Gone> {
        self.acts += 1;
        match *act {
            Act::Create { named } => self.create(named),
            Act::Title { session, tab } => self.title(session, tab),
            Act::Delete { session } => self.delete(session),
            Act::Clear => self.clear(),
            Act::Send { session, tab, how, key } => self.send(session, tab, how, key),
            Act::Leave { session, how, cut, key } => self.leave(session, how, cut, key),
            Act::Burst { session, count } => self.burst(session, usize::from(count)),
            Act::Again { pick, tab } => self.again(pick, tab),
            Act::Retry { session, pick, tab } => self.retry(session, pick, tab),
            Act::Stop { session } => self.stop(session),
            Act::Login => self.login(),
            Act::Logout { tab } => self.logout(tab),
            Act::Password => self.change_password(),
            Act::Look { tab } => self.look(tab),
        }
    }

    fn create(&mut self, named: bool) -> Result<(), Gone> {
        let id = uuid::Uuid::now_v7().to_string();
        self.next += 1;
        let title = if named { json!(format!("title {} of-{}-", self.next, self.name)) } else { Value::Null };
        self.doubts.push(Doubt::Created(id.clone()));
        let answer = self.call(0, ("POST", "/api/v1/sessions"), &[], Some(&json!({"id": id, "title": title})))?;
        assert_eq!(answer.expect(201).json()["head"], 0);
        self.doubts.pop();
        self.talks.push(Talk::new(id, title));
        Ok(())
    }

    fn title(&mut self, session: u8, tab: u8) -> Result<(), Gone> {
        let Some(session) = self.live(session) else { return Ok(()) };
        self.next += 1;
        let title = json!(format!("title {} of-{}-", self.next, self.name));
        self.doubts.push(Doubt::Titled { session, title: title.clone() });
        let path = format!("/api/v1/sessions/{}", self.talks[session].id);
        let answer = self.call(tab, ("PATCH", &path), &[], Some(&json!({"title": title})))?.expect(200).json();
        self.doubts.pop();
        self.talks[session].title = title;
        let read = self.get(tab.wrapping_add(1), &path)?;
        for same in ["id", "title", "created_at"] {
            assert_eq!(read[same], answer[same], "{same}");
        }
        assert_eq!(read["title"], self.talks[session].title);
        // A reply that was being made may have come between the two.
        assert!(read["head"].as_u64() >= answer["head"].as_u64(), "{read} after {answer}");
        assert!(read["updated_at"].as_str() >= answer["updated_at"].as_str(), "{read} after {answer}");
        Ok(())
    }

    fn delete(&mut self, session: u8) -> Result<(), Gone> {
        let Some(session) = self.live(session) else { return Ok(()) };
        self.doubts.push(Doubt::Deleted(session));
        let path = format!("/api/v1/sessions/{}", self.talks[session].id);
        self.call(0, ("DELETE", &path), &[], None)?.expect(204);
        self.doubts.pop();
        self.talks[session].deleted = true;
        self.call(1, ("GET", &path), &[], None)?.expect(403);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), Gone> {
        self.doubts.push(Doubt::Cleared);
        self.call(0, ("DELETE", "/api/v1/chat/history"), &[], None)?.expect(204);
        self.doubts.pop();
        self.cleared()?;
        let history = self.get(1, "/api/v1/chat/history")?;
        if !self.doubts.iter().any(|doubt| matches!(doubt, Doubt::Sent { .. })) {
            assert_eq!((&history["messages"], &history["total"]), (&json!([]), &json!(0)));
        }
        Ok(())
    }

    /// All sessions are empty. What nobody waited for may have come before that, and have gone with it, or come later.
    pub(crate) fn cleared(&mut self) -> Result<(), Gone> {
        for session in (0..self.talks.len()).filter(|&session| !self.talks[session].deleted).collect::<Vec<_>>() {
            let doubts = self.unkeyed(session).len();
            let mut gone = self.talks[session].log.len();
            if doubts > 0 {
                let page = self.get(0, &format!("/api/v1/sessions/{}/messages?after=0", self.talks[session].id))?;
                let first = page["messages"][0]["seq"].as_u64().map(|first| first - 1);
                let through = usize::try_from(first.or(page["head"].as_u64()).unwrap()).unwrap();
                assert!((gone..=gone + 2 * doubts).contains(&through), "{} messages of nobody", through - gone);
                gone = through;
            }
            let talk = &mut self.talks[session];
            talk.log.resize(gone, Value::Null);
            talk.cleared = gone;
        }
        Ok(())
    }

    fn send(&mut self, session: u8, tab: u8, how: How, with_key: bool) -> Result<(), Gone> {
        let Some(session) = self.live(session) else { return Ok(()) };
        let content = self.content(how);
        let key = with_key.then(|| format!("key-{}", self.next));
        self.doubts.push(Doubt::Sent { session, content: content.clone(), key: key.clone() });
        let id = self.talks[session].id.clone();
        let path = format!("/api/v1/sessions/{id}/messages");
        let headers: Vec<_> = key.iter().map(|key| ("idempotency-key", key.as_str())).collect();
        let answer = match how {
            How::Old => {
                let body = json!({"message": content, "session_id": id, "user_id": self.id});
                self.call(tab, ("POST", "/api/v1/chat/send"), &headers, Some(&body))?
            }
            How::Streamed => return self.follow((session, tab), &content, key),
            How::Native | How::Fails | How::FailsOnce => {
                self.call(tab, ("POST", &path), &headers, Some(&json!({"content": content})))?
            }
        };
        self.read(session, tab.wrapping_add(1), Expected::sent(&content))?;
        self.is_known(&content);
        self.keyed.extend(key.map(|key| Keyed { key, session, content: content.clone() }));
        self.is_answered(session, &content, &answer);
        Ok(())
    }

    /// Wants the answer to say what the page does.
    pub(crate) fn is_answered(&self, session: usize, content: &str, answer: &Response) {
        let talk = &self.talks[session];
        let message = talk.find(content).unwrap_or_else(|| panic!("{content} is lost"));
        let reply = talk.answer(&message["seq"]);
        let said = answer.json();
        match (answer.status, reply) {
            (200 | 201, Some(reply)) if said["message"].is_object() => {
                assert_eq!((&said["message"], &said["reply"]), (message, reply));
            }
            (200, Some(reply)) => {
                let ids = (&said["user_message_id"], &said["message_id"], &said["session_id"]);
                assert_eq!(ids, (&message["id"], &reply["id"], &json!(talk.id)));
                assert_eq!(said["response"], reply["content"]);
            }
            (502, None) => assert_eq!((&said["message_id"], &said["session_id"]), (&message["id"], &json!(talk.id))),
            (status, reply) => panic!("{status}: {said}, but {message} has {reply:?}"),
        }
    }

    /// Sends and reads the stream of the turn.
    fn follow(&mut self, (session, tab): (usize, u8), content: &str, key: Option<String>) -> Result<(), Gone> {
        let (id, count) = (self.talks[session].id.clone(), self.tabs.len());
        let key = key.unwrap_or_else(|| format!("key-{}", self.next));
        let client = &self.tabs[usize::from(tab) % count];
        let mut events = client.try_say_and_follow(&id, content, &key)?;
        if !events.head.is_stream() {
            return Err(Gone); // It was about to stop.
        }
        let (mut draft, mut told) = (Draft::default(), Vec::new());
        while let Some(event) = events.next() {
            self.is_mine(&event.data.to_string());
            draft.take(&event);
            told.push(event);
        }
        if !events.is_whole {
            return Err(Gone);
        }
        self.read(session, tab, Expected::sent(content))?;
        self.is_known(content);
        self.keyed.push(Keyed { key, session, content: content.to_owned() });
        let talk = &self.talks[session];
        let message = talk.find(content).unwrap();
        let reply = talk.answer(&message["seq"]).unwrap();
        let of: Vec<&Value> = told.iter().filter(|event| event.name == "message").map(|event| &event.data).collect();
        assert_eq!(of.len(), 2, "{told:?}");
        assert_eq!((&of[0]["id"], of[1]), (&message["id"], reply));
        assert!(reply["content"].as_str().unwrap().starts_with(&draft.text), "{} is no part of {reply}", draft.text);
        let done = told.last().unwrap();
        assert_eq!((done.name.as_str(), &done.data["seq"]), ("done", &reply["seq"]));
        Ok(())
    }

    /// Sends, and goes before the request is whole or before the answer.
    fn leave(&mut self, session: u8, how: How, cut: Cut, with_key: bool) -> Result<(), Gone> {
        let Some(session) = self.live(session) else { return Ok(()) };
        let content = self.content(how);
        let key = with_key.then(|| format!("key-{}", self.next));
        let path = format!("/api/v1/sessions/{}/messages", self.talks[session].id);
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(key.iter().map(|key| ("idempotency-key", key.as_str())));
        let body = json!({"content": content, "stream": how == How::Streamed}).to_string();
        let request = self.tabs[0].request("POST", &path, &headers, Some(body.as_bytes()));
        let length = if let Cut::Within(at) = cut { usize::from(at) % request.len() } else { request.len() };
        let doubt = Doubt::Sent { session, content: content.clone(), key: key.clone() };
        let whole = length == request.len();
        self.doubts.extend(whole.then_some(doubt));
        let mut connection = connect(self.address)?;
        connection.write_all(&request[..length])?;
        drop(connection);
        let (true, Some(key)) = (whole, key) else { return Ok(()) };
        // The same key finds it, or sends it now.
        let answer = self.call(1, ("POST", &path), &[("idempotency-key", &key)], Some(&json!({"content": content})))?;
        let others = self.unkeyed(session);
        self.read(
            session,
            0,
            Expected { may: [vec![content.clone()], others].concat(), must: vec![content.clone()], anew: None },
        )?;
        self.is_known(&content);
        self.is_answered(session, &content, &answer);
        self.keyed.push(Keyed { key, session, content });
        Ok(())
    }

    /// This message is no doubt any more.
    pub(crate) fn is_known(&mut self, known: &str) {
        self.doubts.retain(|doubt| !matches!(doubt, Doubt::Sent { content, .. } if content == known));
    }

    /// The texts that nobody waited for.
    pub(crate) fn unkeyed(&self, session: usize) -> Vec<String> {
        let sent = |doubt: &Doubt| match doubt {
            Doubt::Sent { session: of, content, .. } if *of == session => Some(content.clone()),
            Doubt::Sent { .. }
            | Doubt::Anew { .. }
            | Doubt::Created(_)
            | Doubt::Titled { .. }
            | Doubt::Deleted(_)
            | Doubt::Cleared
            | Doubt::Password(_)
            | Doubt::Login
            | Doubt::Ended(_) => None,
        };
        self.doubts.iter().filter_map(sent).collect()
    }

    /// Sends into one session by many connections at once.
    fn burst(&mut self, session: u8, count: usize) -> Result<(), Gone> {
        let Some(session) = self.live(session) else { return Ok(()) };
        let contents: Vec<String> = (0..count).map(|_| self.content(How::Native)).collect();
        let doubt = |content: &String| Doubt::Sent { session, content: content.clone(), key: None };
        self.doubts.extend(contents.iter().map(doubt));
        let (id, address) = (&self.talks[session].id, self.address);
        let token = self.tabs[0].token.clone().unwrap();
        let answers = at_once(count, |n| {
            let mut tab = Client::with_token(address, &token);
            let body = json!({"content": contents[n]}).to_string();
            let path = format!("/api/v1/sessions/{id}/messages");
            tab.send("POST", &path, &[("content-type", "application/json")], Some(body.as_bytes()))
        });
        let answers: Vec<Response> = answers.into_iter().collect::<Result<_, _>>()?;
        if answers.iter().any(|answer| answer.status >= 500) {
            return Err(Gone);
        }
        self.read(session, 1, Expected { may: contents.clone(), must: contents.clone(), anew: None })?;
        for (content, answer) in contents.iter().zip(answers) {
            self.is_answered(session, content, &answer.expect(201));
        }
        Ok(())
    }

    /// Repeats a send with its key, and tries the key with another text.
    fn again(&mut self, pick: u8, tab: u8) -> Result<(), Gone> {
        let count = self.keyed.len().max(1);
        let Some(Keyed { key, session, content }) = self.keyed.get(usize::from(pick) % count).cloned() else {
            return Ok(());
        };
        let path = format!("/api/v1/sessions/{}/messages", self.talks[session].id);
        let headers = [("idempotency-key", key.as_str())];
        let answer = self.call(tab, ("POST", &path), &headers, Some(&json!({"content": content})))?;
        if self.talks[session].deleted {
            answer.expect(403);
            return Ok(());
        }
        if self.talks[session].find(&content).is_none() {
            answer.expect(409); // It was cleared.
            return Ok(());
        }
        self.is_answered(session, &content, &answer);
        let other = self.call(tab, ("POST", &path), &headers, Some(&json!({"content": "another"})))?;
        other.expect(422);
        self.read(session, tab, Expected::default())
    }

    fn retry(&mut self, session: u8, pick: u8, tab: u8) -> Result<(), Gone> {
        let Some(session) = self.live(session) else { return Ok(()) };
        let talk = &self.talks[session];
        let ends = |message: &&Value| !text(&message["content"]).starts_with("[[stallmid]]");
        let asked = talk.shown().iter().filter(|message| message["role"] == "user").filter(ends);
        let asked: Vec<&Value> = asked.collect();
        let Some(message) = asked.get(usize::from(pick) % asked.len().max(1)) else { return Ok(()) };
        let (seq, content) = (message["seq"].as_u64().unwrap(), text(&message["content"]));
        self.doubts.push(Doubt::Anew { session, seq });
        let path = format!("/api/v1/sessions/{}/messages/{seq}/retry", self.talks[session].id);
        let answer = self.call(tab, ("POST", &path), &[], Some(&json!({})))?;
        self.read(session, tab.wrapping_add(1), Expected { anew: Some(seq), ..Expected::default() })?;
        self.doubts.pop();
        if answer.status == 201 {
            self.is_answered(session, &content, &answer);
        } else {
            answer.expect(502); // What there was stays.
        }
        Ok(())
    }

    /// Stops a reply that would never end.
    fn stop(&mut self, session: u8) -> Result<(), Gone> {
        let Some(session) = self.live(session).filter(|_| self.scripted) else { return Ok(()) };
        let content = format!("[[stallmid]] {}", self.content(How::Native).split_once("]] ").unwrap().1);
        let id = self.talks[session].id.clone();
        self.doubts.push(Doubt::Sent { session, content: content.clone(), key: None });
        let mut tab = Client::with_token(self.address, self.tabs[0].token.as_ref().unwrap());
        let (of, body) = (id.clone(), json!({"content": content}).to_string());
        let waiting = std::thread::spawn(move || {
            let path = format!("/api/v1/sessions/{of}/messages");
            tab.send("POST", &path, &[("content-type", "application/json")], Some(body.as_bytes()))
        });
        let path = format!("/api/v1/sessions/{id}/messages");
        let stopped = until("there is something to stop", || {
            let page = match self.get(1, &path) {
                Ok(page) => page,
                Err(gone) => return Some(Err(gone)),
            };
            let message = list(&page["messages"]).iter().find(|message| message["content"] == content)?.clone();
            let path = format!("{path}/{}/stop", message["seq"]);
            Some(self.call(1, ("POST", &path), &[], Some(&json!({}))))
        });
        let answer = waiting.join().unwrap();
        stopped?.expect(204);
        self.read(session, 0, Expected::sent(&content))?;
        let message = self.talks[session].find(&content).unwrap();
        assert_eq!(message["status"], "stopped");
        self.is_answered(session, &content, &answer?.expect(201));
        Ok(())
    }
}
