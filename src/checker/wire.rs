//! The parts of the API's answers that say something about the promises.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

/// Who said a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user.
    User,
    /// The backend.
    Assistant,
}

/// How a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has no outcome yet.
    Pending,
    /// It has a reply.
    Answered,
    /// Its reply failed.
    Failed,
    /// Its reply was stopped; also of the reply itself.
    Stopped,
    /// The server ended in the middle too often.
    Interrupted,
    /// A whole reply.
    Complete,
    /// A reply that another one has replaced.
    Superseded,
}

/// A message as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Message<'a> {
    /// Its place, from 1.
    pub seq: u64,
    /// Its id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// Who said it.
    pub role: Role,
    /// Its text.
    #[serde(borrow)]
    pub content: Cow<'a, str>,
    /// The message that it answers.
    pub reply_to: Option<u64>,
    /// How it stands.
    pub status: Status,
}

/// A page of messages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Page<'a> {
    /// In ascending order.
    #[serde(borrow)]
    pub messages: Vec<Message<'a>>,
    /// The last sequence that was given out.
    pub head: u64,
    /// Whether there are more in the direction of reading.
    pub has_more: bool,
}

/// A turn in the old form.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pair<'a> {
    /// The reply's id.
    #[serde(borrow)]
    pub id: Cow<'a, str>,
    /// What the user said.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// The reply; empty where there is none.
    #[serde(borrow)]
    pub response: Cow<'a, str>,
}

/// A history in the old form, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pairs<'a> {
    /// The turns.
    #[serde(borrow)]
    pub messages: Vec<Pair<'a>>,
}

/// The event `state`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct State {
    /// The session's head.
    pub head: u64,
    /// The newest turns' statuses.
    pub turns: BTreeMap<String, Status>,
}

/// The event `delta`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Progress<'a> {
    /// The message that is being answered.
    pub reply_to: u64,
    /// Which try it is.
    pub attempt: u32,
    /// Where the text goes, in characters.
    pub offset: usize,
    /// The text.
    #[serde(borrow)]
    pub text: Cow<'a, str>,
}

/// The events `done` and `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ended {
    /// The message whose turn has ended.
    pub reply_to: u64,
    /// Its reply.
    pub seq: Option<u64>,
}
