//! Messages as JSON that is ready to send: rendered once, when stored or loaded, and copied into every answer.

use std::ops::Range;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    Logged, Message, Rendered, Speaker, Status,
    codec::{MessageRecord, SpeakerCode},
    log::Entry,
    read::PAGE_BYTES_MAX,
};
use crate::{
    clock::Timestamp,
    id::{MessageId, Seq, SessionId, UserId},
};

/// One message of a session, rendered.
#[derive(Debug, Clone)]
pub(crate) struct Fragment {
    pub(crate) seq: Seq,
    pub(crate) id: MessageId,
    pub(crate) speaker: SpeakerCode,
    pub(crate) reply_to: Option<Seq>,
    pub(crate) turn: u64,
    pub(crate) stamp: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) status: Status,
    /// For a user's message: the reply that is its outcome.
    pub(crate) answer: Option<Seq>,
    /// The JSON object of the API.
    pub(crate) json: Bytes,
    /// Where in it the text stands, with its quotes.
    content: Range<usize>,
}

impl Fragment {
    /// Renders a message.
    pub(crate) fn new(seq: Seq, record: &MessageRecord, status: Status, answer: Option<Seq>) -> Self {
        let mut content = Vec::with_capacity(record.content.len() + 16);
        json(&record.content, &mut content);
        let mut fragment = Self {
            seq,
            id: record.id,
            speaker: record.speaker,
            reply_to: record.reply_to,
            turn: record.turn,
            stamp: record.stamp,
            created_at: record.created_at,
            status,
            answer,
            json: Bytes::new(),
            content: 0..0,
        };
        fragment.render(&content);
        fragment
    }

    /// Renders an entry of the log.
    pub(crate) fn of(entry: &Entry) -> Self {
        Self::new(entry.seq, &entry.record, entry.status, entry.answer)
    }

    /// The message as those see it who follow the log.
    pub(crate) fn logged(&self) -> Logged {
        Logged { seq: self.seq, reply_to: self.reply_to, status: self.status, json: self.json.clone() }
    }

    /// The text as a JSON string.
    pub(crate) fn content(&self) -> &[u8] {
        &self.json[self.content.clone()]
    }

    /// The message, read back from its JSON.
    pub(crate) fn message(&self) -> Option<Message> {
        Some(Message {
            seq: self.seq,
            id: self.id,
            role: self.speaker.into(),
            content: self.text()?,
            reply_to: self.reply_to,
            status: self.status,
            created_at: self.created_at,
        })
    }

    /// The text, read back from its JSON: most texts stand in it as they are.
    fn text(&self) -> Option<String> {
        let content = self.content();
        if content.contains(&b'\\') {
            return serde_json::from_slice(content).ok();
        }
        let text = content.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
        str::from_utf8(text).ok().map(str::to_owned)
    }

    /// Renders the message again with another standing.
    pub(crate) fn stand(&mut self, status: Status, answer: Option<Seq>) {
        if (self.status, self.answer) != (status, answer) {
            self.status = status;
            self.answer = answer;
            let content = self.json.slice(self.content.clone());
            self.render(&content);
        }
    }

    fn render(&mut self, content: &[u8]) {
        let mut out = Vec::with_capacity(content.len() + 200);
        out.extend(b"{\"seq\":");
        json(&self.seq, &mut out);
        out.extend(b",\"id\":");
        json(&self.id, &mut out);
        out.extend(match Speaker::from(self.speaker) {
            Speaker::User => b",\"role\":\"user\",\"content\":".as_slice(),
            Speaker::Assistant => b",\"role\":\"assistant\",\"content\":",
            Speaker::System => b",\"role\":\"system\",\"content\":",
            Speaker::Developer => b",\"role\":\"developer\",\"content\":",
        });
        self.content = out.len()..out.len() + content.len();
        out.extend(content);
        out.extend(b",\"reply_to\":");
        json(&self.reply_to, &mut out);
        out.extend(b",\"status\":");
        json(&self.status, &mut out);
        out.extend(b",\"created_at\":\"");
        out.extend(self.created_at.to_string().as_bytes());
        out.extend(b"\"}");
        self.json = Bytes::from(out);
    }
}

/// A page of messages: `{messages, head, has_more}`.
pub(crate) fn page<'a>(fragments: impl Iterator<Item = &'a Fragment>, head: Seq, has_more: bool) -> Rendered {
    let mut out = Vec::with_capacity(8 << 10);
    out.extend(b"{\"messages\":[");
    for (index, fragment) in fragments.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend(&fragment.json);
    }
    out.extend(b"],\"head\":");
    json(&head, &mut out);
    out.extend(if has_more { b",\"has_more\":true}".as_slice() } else { b",\"has_more\":false}" });
    Rendered::new(out)
}

/// A turn in the old client's shape: a message and, where there is one, its reply.
pub(crate) struct Pair {
    pub(crate) session: SessionId,
    pub(crate) message: Fragment,
    pub(crate) reply: Option<Fragment>,
}

impl Pair {
    /// Bytes of what is shown of it, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.message.json.len() + self.reply.as_ref().map_or(0, |reply| reply.json.len())
    }
}

/// The old client's history: `{messages, total, user_id}`; of the turns only the newest that a page has room for.
pub(crate) fn pairs(pairs: &[Pair], total: u64, user: UserId) -> Rendered {
    let mut room = PAGE_BYTES_MAX;
    let has_room = |pair: &&Pair| {
        let has_room = room > 0;
        room = room.saturating_sub(pair.bytes());
        has_room
    };
    let shown = pairs.iter().rev().take_while(has_room).count();
    let mut out = Vec::with_capacity(8 << 10);
    out.extend(b"{\"messages\":[");
    for (index, pair) in pairs[pairs.len() - shown..].iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend(b"{\"id\":");
        json(&pair.reply.as_ref().unwrap_or(&pair.message).id, &mut out);
        out.extend(b",\"session_id\":");
        json(&pair.session, &mut out);
        out.extend(b",\"message\":");
        out.extend(pair.message.content());
        out.extend(b",\"response\":");
        out.extend(pair.reply.as_ref().map_or(b"\"\"".as_slice(), Fragment::content));
        out.extend(b",\"status\":");
        json(&pair.message.status, &mut out);
        out.extend(b",\"has_personality_context\":false,\"created_at\":\"");
        out.extend(pair.message.created_at.to_string().as_bytes());
        out.extend(b"\"}");
    }
    out.extend(b"],\"total\":");
    json(&total, &mut out);
    out.extend(b",\"user_id\":");
    json(&user, &mut out);
    out.push(b'}');
    Rendered::new(out)
}

impl Rendered {
    /// A body with its entity tag: the first half of its SHA-256, so the tag changes with anything that the body shows.
    pub(crate) fn new(body: Vec<u8>) -> Self {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digest = Sha256::digest(&body);
        let mut etag = Vec::with_capacity(34);
        etag.push(b'"');
        for byte in &digest[..16] {
            etag.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        etag.push(b'"');
        let etag =
            http::HeaderValue::from_maybe_shared(Bytes::from(etag)).expect("hexadecimal digits and quotes are ASCII");
        Self { etag, body: Bytes::from(body) }
    }
}

fn json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("numbers, texts and ids always serialise, and a Vec takes them all");
}
