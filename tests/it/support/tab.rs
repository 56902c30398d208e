//! A tab: what it knows of its user's sessions comes from its streams and pages alone, and every event is held to the
//! promises of a stream as it comes.

use std::{
    collections::{BTreeMap, HashMap},
    io,
};

use serde_json::Value;

use super::{Client, Event, Events, list, server::text};

/// A tab on one session, or on all of its user's.
pub(crate) struct Tab {
    /// The session; nothing for the stream of all.
    of: Option<String>,
    known: BTreeMap<String, Known>,
    stream: Option<Events>,
    /// How many events it has heard, and how many of them were deltas.
    pub(crate) heard: usize,
    pub(crate) deltas: usize,
}

/// What is known of one session.
#[derive(Default)]
pub(crate) struct Known {
    /// Message n at n - 1.
    pub(crate) log: Vec<Value>,
    /// Of the stream that is open.
    pub(crate) drafts: Drafts,
    /// The last message that this stream has told.
    told: Option<u64>,
}

/// What one stream says of replies that are being made.
#[derive(Default)]
pub(crate) struct Drafts {
    /// Attempt and text, by the message that is being answered.
    running: HashMap<u64, (u64, String)>,
    /// The last attempt that has ended: a later one has a higher number.
    ended: HashMap<u64, u64>,
}

impl Tab {
    /// A tab that is to show one session.
    pub(crate) fn of_session(session: &str) -> Self {
        Self::new(Some(session.to_owned()), &[session.to_owned()])
    }

    /// A tab that is to show all of a user's sessions, which are these.
    pub(crate) fn of_user(sessions: &[String]) -> Self {
        Self::new(None, sessions)
    }

    fn new(of: Option<String>, sessions: &[String]) -> Self {
        let known = sessions.iter().map(|session| (session.clone(), Known::default())).collect();
        Self { of, known, stream: None, heard: 0, deltas: 0 }
    }

    /// Opens its stream, behind what it has; a tab of all sessions reads the pages for what it has missed.
    ///
    /// An error where the connection breaks: then it is to be opened again.
    pub(crate) fn open(&mut self, client: &mut Client) -> io::Result<()> {
        let (path, last) = self.place();
        let stream = client.try_events(&path, last)?;
        self.opened(stream, client)
    }

    /// Where its stream begins: the path, and the last id.
    pub(crate) fn place(&self) -> (String, Option<u64>) {
        let Some(session) = &self.of else { return ("/api/v1/events".to_owned(), None) };
        let last = self.known[session].log.len() as u64;
        // As a browser does that was given this address, and sends the id of the last event that it has seen.
        (format!("/api/v1/sessions/{session}/events?after=0"), Some(last).filter(|&last| last > 0))
    }

    /// Goes on with a stream that was just opened at its place.
    pub(crate) fn opened(&mut self, stream: Events, client: &mut Client) -> io::Result<()> {
        let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
        if stream.head.status != 200 {
            return Err(broken());
        }
        self.stream = Some(stream);
        for known in self.known.values_mut() {
            known.drafts = Drafts::default();
            known.told = None;
        }
        for _ in 0..self.known.len() {
            assert_eq!(self.hear().ok_or_else(broken)?.name, "state", "a stream begins with what there is");
        }
        if self.of.is_none() {
            for (session, known) in &mut self.known {
                known.read(client, session)?;
            }
        }
        Ok(())
    }

    /// The next event; nothing at the end of the stream.
    pub(crate) fn hear(&mut self) -> Option<Event> {
        let event = self.stream.as_mut()?.next();
        if let Some(event) = &event {
            self.take(event);
        }
        event
    }

    /// Hears until this is so; false where the stream ends before.
    pub(crate) fn hear_until(&mut self, is_so: impl Fn(&Self) -> bool) -> bool {
        while !is_so(self) {
            if self.hear().is_none() {
                return false;
            }
        }
        true
    }

    /// Closes its stream, whatever stands in it.
    pub(crate) fn cut(&mut self) {
        self.stream = None;
    }

    /// True where the stream has ended as a whole, rather than broken off.
    pub(crate) fn has_ended(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.is_whole)
    }

    /// What it knows of a session.
    pub(crate) fn known(&self, session: &str) -> &Known {
        &self.known[session]
    }

    /// True where this says so of every session.
    pub(crate) fn everywhere(&self, is_so: impl Fn(&Known) -> bool) -> bool {
        self.known.values().all(is_so)
    }

    fn take(&mut self, event: &Event) {
        let Event { name, id, data } = event;
        self.heard += 1;
        let session = self.of.clone().unwrap_or_else(|| text(&data["session_id"]));
        let known = self.known.get_mut(&session).unwrap_or_else(|| panic!("whose is this? {event:?}"));
        match name.as_str() {
            "state" => known.state(data),
            "message" => {
                assert_eq!(*id, data["seq"].as_u64().filter(|_| self.of.is_some()), "{event:?}");
                known.message(data, self.of.is_none());
            }
            "delta" => {
                self.deltas += 1;
                assert!(known.log.len() as u64 >= number(data, "reply_to"), "a delta before its message: {data}");
                known.drafts.delta(data);
            }
            "done" | "failed" => known.ended(name, data),
            "session" => {}
            "erased" => known.erased(data),
            other => panic!("what is {other:?}?"),
        }
    }
}

impl Known {
    /// The status of a message.
    pub(crate) fn status(&self, seq: u64) -> &str {
        self.at(seq).map_or("", |message| message["status"].as_str().unwrap())
    }

    fn at(&self, seq: u64) -> Option<&Value> {
        self.log.get(place(seq))
    }

    /// Reads the pages behind what it has.
    fn read(&mut self, client: &mut Client, session: &str) -> io::Result<()> {
        loop {
            let path = format!("/api/v1/sessions/{session}/messages?after={}&limit=200", self.log.len());
            let page = client.send("GET", &path, &[], None)?.expect(200).json();
            for message in list(&page["messages"]) {
                self.put(message.clone());
            }
            if page["has_more"] == false {
                return Ok(());
            }
        }
    }

    fn erased(&mut self, data: &Value) {
        let place = place(number(data, "seq"));
        self.log[place]["content"] = "".into();
    }

    fn state(&mut self, data: &Value) {
        assert!(number(data, "head") >= self.log.len() as u64, "something is gone: {data}");
        for (seq, status) in data["turns"].as_object().unwrap() {
            if let Some(message) = self.log.get_mut(place(seq.parse().unwrap())) {
                message["status"] = status.clone();
            }
        }
    }

    /// A message; it may be known already where a page was read beside the stream.
    fn message(&mut self, data: &Value, may_be_known: bool) {
        let seq = number(data, "seq");
        assert_eq!(seq, self.told.map_or(seq, |told| told + 1), "the stream has a gap or a repetition: {data}");
        self.told = Some(seq);
        let mut message = data.clone();
        message.as_object_mut().unwrap().remove("session_id");
        if let Some(of) = data["reply_to"].as_u64() {
            self.drafts.end(of, data["content"].as_str());
        }
        match self.at(seq).filter(|_| may_be_known) {
            Some(known) => assert_eq!((&known["id"], &known["content"]), (&data["id"], &data["content"])),
            None => self.put(message),
        }
    }

    fn put(&mut self, message: Value) {
        assert_eq!(number(&message, "seq"), self.log.len() as u64 + 1, "a gap or a repetition: {message}");
        if !message["reply_to"].is_null() {
            for earlier in self.log.iter_mut().filter(|earlier| earlier["reply_to"] == message["reply_to"]) {
                earlier["status"] = "superseded".into();
            }
        }
        self.log.push(message);
    }

    fn ended(&mut self, name: &str, data: &Value) {
        let of = number(data, "reply_to");
        if name == "done" {
            assert_eq!(self.told, data["seq"].as_u64(), "done stands right behind the reply: {data}");
            assert_eq!(self.log[place(number(data, "seq"))]["reply_to"], of, "{data}");
        } else {
            assert!(data["seq"].is_null(), "{data}");
            self.drafts.end(of, None);
        }
        self.log[place(of)]["status"] = data["status"].clone();
    }
}

impl Drafts {
    /// Puts a delta where it belongs: without a gap, and never behind the end of its reply.
    pub(crate) fn delta(&mut self, data: &Value) {
        let [of, attempt, offset] = ["reply_to", "attempt", "offset"].map(|field| number(data, field));
        let text = data["text"].as_str().unwrap();
        assert!(!text.is_empty(), "{data}");
        assert!(self.ended.get(&of).is_none_or(|ended| attempt > *ended), "it has ended: {data}");
        let (had, draft) = self.running.entry(of).or_default();
        assert!(attempt >= *had, "an earlier attempt than {had}: {data}");
        if attempt > *had {
            (*had, *draft) = (attempt, String::new());
        }
        assert_eq!(offset, draft.chars().count() as u64, "behind {draft:?}: {data}");
        draft.push_str(text);
    }

    /// Ends the reply to `of`; what was told of it is the beginning of what it says in the end.
    pub(crate) fn end(&mut self, of: u64, says: Option<&str>) {
        let (attempt, draft) = self.running.remove(&of).unwrap_or((1, String::new()));
        if let Some(says) = says {
            assert!(says.starts_with(&draft), "attempt {attempt} to {of} told {draft:?}, and says {says:?}");
        }
        let ended = self.ended.entry(of).or_default();
        *ended = attempt.max(*ended);
    }

    /// What is told so far of the reply to `of`, and of which attempt.
    pub(crate) fn of(&self, of: u64) -> (u64, &str) {
        self.running.get(&of).map_or((0, ""), |(attempt, text)| (*attempt, text))
    }
}

/// A number in an event.
#[track_caller]
pub(crate) fn number(data: &Value, field: &str) -> u64 {
    data[field].as_u64().unwrap_or_else(|| panic!("no number {field:?} in {data}"))
}

fn place(seq: u64) -> usize {
    usize::try_from(seq).unwrap() - 1
}
