//! A session as its user must see it: what of a page is news, and what every other answer follows from that.

use serde_json::{Value, json};

/// A session.
#[derive(Debug, Clone)]
pub(crate) struct Talk {
    pub(crate) id: String,
    pub(crate) title: Value,
    pub(crate) deleted: bool,
    /// Messages up to this sequence are cleared.
    pub(crate) cleared: usize,
    /// Every message as a page shows it; the first has sequence 1.
    pub(crate) log: Vec<Value>,
}

/// What may have happened to a session since it was last read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Expected {
    /// Messages that may be there now, each once.
    pub(crate) may: Vec<String>,
    /// Those of them that must.
    pub(crate) must: Vec<String>,
    /// A turn that may have been answered anew.
    pub(crate) anew: Option<u64>,
}

impl Expected {
    /// A message that was acknowledged.
    pub(crate) fn sent(content: &str) -> Self {
        Self { may: vec![content.to_owned()], must: vec![content.to_owned()], anew: None }
    }
}

impl Talk {
    pub(crate) fn new(id: String, title: Value) -> Self {
        Self { id, title, deleted: false, cleared: 0, log: Vec::new() }
    }

    /// Takes all messages that are not cleared, and wants nothing in them but what was there and what is expected.
    pub(crate) fn read(&mut self, messages: &[Value], expected: Expected) -> Result<(), String> {
        let Expected { mut may, must, anew } = expected;
        let known = self.log.len() - self.cleared;
        if messages.len() < known {
            return Err(format!("{} of {known} messages are left", messages.len()));
        }
        for (old, new) in self.log[self.cleared..].iter().zip(messages) {
            let touched = anew.is_some_and(|seq| old["seq"] == seq || old["reply_to"] == seq);
            let same = |field: &&str| old[*field] == new[*field];
            let fields = ["seq", "id", "role", "content", "reply_to", "created_at"];
            if !fields.iter().all(same) || !touched && !same(&"status") {
                return Err(format!("{old} has become {new}"));
            }
        }
        for (at, message) in messages.iter().enumerate().skip(known) {
            if message["seq"] != json!(self.cleared + at + 1) {
                return Err(format!("a gap before {message}"));
            }
            let content = message["content"].as_str().unwrap_or_default();
            if message["role"] == "user" {
                let found = may.iter().position(|may| may == content);
                may.swap_remove(found.ok_or_else(|| format!("nobody sent {message}, or it comes twice"))?);
                continue;
            }
            let of = message["reply_to"].as_u64().ok_or("a reply to nothing")?;
            let index = usize::try_from(of).unwrap().checked_sub(self.cleared + 1);
            let asked = index.and_then(|index| messages.get(index)).ok_or("a reply to nothing")?;
            if asked["role"] != "user" || index >= Some(at) || index < Some(known) && anew != Some(of) {
                return Err(format!("{message} answers {asked}"));
            }
            answers(message, asked)?;
        }
        // Only a turn that is answered anew may have replies that were replaced.
        for message in messages.iter().skip(known).filter(|message| message["role"] == "user") {
            if messages.iter().filter(|reply| reply["reply_to"] == message["seq"]).count() > 1 {
                return Err(format!("{message} was answered more than once"));
            }
        }
        if let Some(lost) = must.iter().find(|must| may.contains(must)) {
            return Err(format!("lost: {lost}"));
        }
        self.log.truncate(self.cleared);
        self.log.extend_from_slice(messages);
        self.is_whole()
    }

    /// Every turn that is not open has one outcome.
    fn is_whole(&self) -> Result<(), String> {
        for message in self.shown().iter().filter(|message| message["role"] == "user") {
            let replies: Vec<_> = self.shown().iter().filter(|reply| reply["reply_to"] == message["seq"]).collect();
            let current = replies.iter().filter(|reply| reply["status"] != "superseded").count();
            let wanted = match message["status"].as_str().unwrap_or_default() {
                "answered" | "stopped" => 1,
                "pending" | "failed" | "interrupted" => 0,
                other => return Err(format!("status {other}")),
            };
            if current != wanted || replies.last().is_some_and(|last| wanted == 1 && last["status"] == "superseded") {
                return Err(format!("{message} has {current} outcomes: {replies:?}"));
            }
        }
        Ok(())
    }

    pub(crate) fn shown(&self) -> &[Value] {
        &self.log[self.cleared..]
    }

    /// The message with this content, and how many there are.
    pub(crate) fn find(&self, content: &str) -> Option<&Value> {
        self.shown().iter().find(|message| message["role"] == "user" && message["content"] == content)
    }

    /// The reply that is the outcome of the message at `seq`.
    pub(crate) fn answer(&self, seq: &Value) -> Option<&Value> {
        self.shown().iter().find(|message| message["reply_to"] == *seq && message["status"] != "superseded")
    }

    /// The page after and before these, at most so long.
    pub(crate) fn page(&self, after: Option<u64>, before: Option<u64>, limit: usize) -> Value {
        let within = |message: &&Value| {
            let seq = message["seq"].as_u64().unwrap();
            after.is_none_or(|after| seq > after) && before.is_none_or(|before| seq < before)
        };
        let all: Vec<&Value> = self.shown().iter().filter(within).collect();
        let limited = all.len().min(limit);
        let shown = if after.is_some() { &all[..limited] } else { &all[all.len() - limited..] };
        json!({"messages": shown, "head": self.log.len(), "has_more": all.len() > limit})
    }

    /// The turns as the old client sees them, each with its place in time.
    pub(crate) fn pairs(&self) -> Vec<(String, Value)> {
        let asked = self.shown().iter().filter(|message| message["role"] == "user");
        let pair = |message: &Value| {
            let reply = self.answer(&message["seq"]);
            let shown = json!({
                "id": reply.unwrap_or(message)["id"],
                "session_id": self.id,
                "message": message["content"],
                "response": reply.map_or(json!(""), |reply| reply["content"].clone()),
                "status": message["status"],
                "has_personality_context": false,
                "created_at": message["created_at"],
            });
            // Two that were stored by one sync have one time; ids are made in their order.
            (format!("{} {}", message["created_at"], message["id"]), shown)
        };
        asked.map(pair).collect()
    }
}

/// Wants the stub's reply to this very message, or its beginning where it was stopped. The companion's may be any.
fn answers(reply: &Value, asked: &Value) -> Result<(), String> {
    let [said, content] = [reply, asked].map(|message| message["content"].as_str().unwrap_or_default());
    let Some((_, wanted)) = content.split_once("]] ") else { return Ok(()) };
    let whole = said == wanted;
    let part = wanted.starts_with(said) && (reply["status"] == "stopped" || reply["status"] == "superseded");
    if whole || part { Ok(()) } else { Err(format!("{asked} is answered by {reply}")) }
}

/// The newest `limit` of these turns behind `offset`, as the old client sees them.
pub(crate) fn history(pairs: &[Value], user: &str, limit: usize, offset: usize) -> Value {
    let end = pairs.len().saturating_sub(offset);
    json!({"messages": pairs[end.saturating_sub(limit)..end], "total": pairs.len(), "user_id": user})
}
