//! Stored responses: turns that a program began, and what it asked for beside the words.
//!
//! A response is its turn. What the log has no place for stands beside the turn's message, as an annotation: what was
//! asked, and how it ended. Of its text the pieces are fixed that were shown while it was made, so that whoever comes back
//! counts them as before.

use serde::{Deserialize, Serialize};

use std::time::Instant;

use super::{Chat, ChatError, OwnedSession, SEARCH_MAX};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId},
    reply::{Finish, Refused, Sampling, Usage},
    store::{ANNOTATION_BYTES_MAX, Message, OpenTurn, Outcome, PAGE_BYTES_MAX, Status, StoreError, Walk},
};

/// By which call a response was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `POST /v1/responses`.
    Response,
    /// `POST /v1/chat/completions`, to be stored.
    Completion,
}

/// What a response was asked for with, beside the words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// By which call.
    pub kind: Kind,
    /// What the model is told before the conversation, in place of the session's own or the configured words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<String>,
    /// How the words are chosen.
    #[serde(default)]
    pub sampling: Sampling,
    /// True where its session was made for it and what follows it, and no conversation was named.
    #[serde(default)]
    pub own: bool,
    /// True where its text is shown piece by piece: the pieces are durable before they are.
    #[serde(default)]
    pub shown: bool,
    /// True where nothing that was said may be left out of what it is made from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole: bool,
    /// What the API gives back of the request; the chat does not look into it.
    #[serde(default)]
    pub echo: serde_json::Value,
}

/// The annotation of a response's message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) asked: Asked,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ended: Option<NotedEnd>,
}

/// How a response ended, as far as the log does not say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct NotedEnd {
    pub(super) at: Timestamp,
    pub(super) model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) finish: Option<Finish>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
    /// What is wrong with what was asked, where there is no reply for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<Refused>,
    /// Where the pieces of the text end, bytes.
    pub(super) ends: Vec<usize>,
    /// The text that was shown of a reply that came to nothing: the log does not keep it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) shown: String,
}

/// A stored response as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Its session.
    pub session: SessionId,
    /// The message that it answers.
    pub message: Message,
    /// What was asked.
    pub asked: Asked,
    /// How it ended; nothing while it is made.
    pub end: Option<ResponseEnd>,
}

impl Response {
    /// True once it has ended, and not by a failure.
    #[must_use]
    pub fn came_to_something(&self) -> bool {
        self.end.as_ref().is_some_and(|end| !matches!(end.how, How::Failed { .. }))
    }
}

/// How a response ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ResponseEnd {
    /// How.
    pub how: How,
    /// Its text; of one that failed, what was shown of it.
    pub text: String,
    /// Where the pieces of the text end, bytes.
    pub ends: Vec<usize>,
    /// The tokens that it took, where anybody knows.
    pub usage: Option<Usage>,
    /// The model that made it.
    pub model: String,
    /// When.
    pub at: Timestamp,
}

/// The ways in which a response ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// All was said.
    Completed,
    /// It may not be longer.
    TooLong,
    /// Its server let no more of it through.
    Filtered,
    /// It was stopped.
    Cancelled,
    /// There is no reply.
    Failed {
        /// A sentence for the user.
        detail: String,
        /// True: too slow.
        too_slow: bool,
        /// What is wrong with what was asked, where that is at fault.
        refused: Option<Refused>,
    },
}

impl Note {
    /// Reads an annotation; nothing where it is none of a response.
    pub(super) fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The annotation of a response that begins.
    ///
    /// # Errors
    /// `TooMuchKept`: it would be longer than one may be.
    pub(super) fn begin(asked: Asked) -> Result<String, ChatError> {
        fitting(Self { asked, ended: None }.write())
    }

    /// The annotation.
    pub(super) fn write(&self) -> String {
        serde_json::to_string(self).expect("texts, numbers and JSON are always JSON")
    }
}

impl NotedEnd {
    /// How a response ended of which the log has no reply, because the model came to its end without a word.
    fn wordless(&self) -> Option<How> {
        match self.finish? {
            Finish::ContentFilter => Some(How::Filtered),
            Finish::Length => Some(How::TooLong),
            Finish::Stop => None,
        }
    }
}

/// An annotation, unless it is longer than one may be with which something begins.
///
/// # Errors
/// `TooMuchKept`.
pub(super) fn fitting(annotation: String) -> Result<String, ChatError> {
    match annotation.len() {
        bytes if bytes > ANNOTATION_BYTES_MAX => Err(ChatError::TooMuchKept { bytes, max: ANNOTATION_BYTES_MAX }),
        _ => Ok(annotation),
    }
}

impl ResponseEnd {
    /// The pieces of its text, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.text[start..*end])
    }
}

impl Response {
    /// Of what the log and the annotation say.
    fn of(session: SessionId, message: Message, outcome: Outcome, note: Note) -> Self {
        let Note { asked, mut ended } = note;
        let (how, text, at) = match outcome {
            Outcome::Pending => return Self { session, message, asked, end: None },
            Outcome::Reply(reply) => {
                // A turn that was answered anew has another text than the one that the annotation is about.
                ended = ended.filter(|ended| are_of(&ended.ends, &reply.content));
                let how = match ended.as_ref().and_then(|ended| ended.finish) {
                    Some(Finish::ContentFilter) => How::Filtered,
                    Some(Finish::Length) => How::TooLong,
                    None if reply.status == Status::Stopped => How::Cancelled, // It came to no end of its own.
                    // For people, helplines without the model's words are a part; for programs, they are all there will be.
                    Some(Finish::Stop) | None => How::Completed,
                };
                (how, reply.content, reply.created_at)
            }
            Outcome::Failed { detail, too_slow } => {
                let wordless = ended.as_ref().and_then(NotedEnd::wordless);
                let refused = ended.as_ref().and_then(|ended| ended.refused);
                let how = wordless.unwrap_or(How::Failed { detail, too_slow, refused });
                (how, shown(ended.as_ref()), message.created_at)
            }
            Outcome::Interrupted => {
                let detail = "The server stopped while it was answering; please try again.".to_owned();
                (How::Failed { detail, too_slow: false, refused: None }, shown(ended.as_ref()), message.created_at)
            }
        };
        let at = ended.as_ref().map_or(at, |ended| ended.at);
        let (usage, model) = ended.as_ref().map_or_else(Default::default, |end| (end.usage, end.model.clone()));
        let ends = ended.map(|ended| ended.ends).filter(|ends| are_of(ends, &text));
        let ends = ends.unwrap_or_else(|| if text.is_empty() { Vec::new() } else { vec![text.len()] });
        Self { session, message, asked, end: Some(ResponseEnd { how, text, ends, usage, model, at }) }
    }
}

fn shown(ended: Option<&NotedEnd>) -> String {
    ended.map(|ended| ended.shown.clone()).unwrap_or_default()
}

/// True where these are ends of pieces of `text`, and of all of it.
fn are_of(ends: &[usize], text: &str) -> bool {
    let rising = ends.iter().zip(ends.iter().skip(1)).all(|(one, next)| one < next);
    let whole = ends.last().copied().unwrap_or(0) == text.len();
    rising && whole && ends.iter().all(|end| *end > 0 && text.is_char_boundary(*end))
}

impl Chat {
    /// The response to the message at `seq`; nothing where there is none.
    ///
    /// # Errors
    /// The store's.
    pub async fn response(&self, session: &OwnedSession, seq: Seq) -> Result<Option<Response>, ChatError> {
        self.inner.response(OpenTurn { session: session.id, seq }).await
    }

    /// The caller's stored completions behind `after`, oldest first or newest first, that came to something and for which
    /// `wanted` is true, given what was asked and the model's name; at most `limit`, and not many bytes. True where there
    /// may be more.
    ///
    /// # Errors
    /// The store's: `Busy` also where there is too much to look at.
    pub async fn completions(
        &self,
        caller: &crate::auth::Identity,
        (mut after, upwards): (Option<(SessionId, Seq)>, bool),
        limit: usize,
        wanted: impl Fn(&Asked, &str) -> bool + Clone + Send + 'static,
    ) -> Result<(Vec<Response>, bool), ChatError> {
        let until = Instant::now() + SEARCH_MAX;
        let (mut responses, mut bytes) = (Vec::with_capacity(limit), 0);
        loop {
            let (store, wanted) = (&self.inner.parts.store, wanted.clone());
            let room = limit + 1 - responses.len(); // One more shows whether there is more.
            let is_wanted = move |text: &str| {
                let note = Note::read(text).filter(|note| note.asked.kind == Kind::Completion);
                note.is_some_and(|note| {
                    wanted(&note.asked, note.ended.as_ref().map_or("", |ended| ended.model.as_str()))
                })
            };
            let walk = Walk { after, upwards, limit: room, until };
            let (found, is_last) = store.annotations(caller.id(), walk, is_wanted).await?;
            after = found.last().map(|(session, seq, _)| (*session, *seq));
            for (session, seq, note) in found {
                let response = self.inner.response(OpenTurn { session, seq }).await?;
                let Some(response) = response.filter(Response::came_to_something) else { continue };
                if responses.len() == limit || bytes >= PAGE_BYTES_MAX {
                    return Ok((responses, true));
                }
                bytes += note.len() + response.end.as_ref().map_or(0, |end| end.text.len());
                responses.push(response);
            }
            if is_last {
                return Ok((responses, false));
            }
        }
    }

    /// Changes what the API gives back of a response's request; false where it is being made, or is not there.
    ///
    /// # Errors
    /// `TooMuchKept`; as [`Chat::session`].
    pub async fn change_echo(
        &self,
        session: &OwnedSession,
        seq: Seq,
        change: impl FnOnce(&mut serde_json::Value),
    ) -> Result<bool, ChatError> {
        let store = &self.inner.parts.store;
        let note = store.annotation(session.id, seq).await?.and_then(|text| Note::read(&text));
        let Some(mut note) = note else { return Ok(false) };
        change(&mut note.asked.echo);
        Note::begin(note.asked.clone())?; // What is added at the end has its own room.
        Ok(store.annotate(session.owner, session.id, seq, Some(note.write())).await?)
    }

    /// Takes a response away. One in a conversation leaves what was said there; one without takes that along, and the
    /// session that was made for it where nothing else is in it.
    ///
    /// # Errors
    /// `BeingAnswered`; `NoSuchMessage` where there is no such response; as [`Chat::session`].
    pub async fn delete_response(&self, session: &OwnedSession, seq: Seq) -> Result<(), ChatError> {
        let store = &self.inner.parts.store;
        let response = self.response(session, seq).await?.ok_or(ChatError::NoSuchMessage)?;
        if response.end.is_none() {
            return Err(ChatError::BeingAnswered);
        }
        if !response.asked.own {
            store.annotate(session.owner, session.id, seq, None).await?;
            return Ok(());
        }
        let reply = store.message(session.id, seq, true).await?.map(|reply| reply.seq);
        let turns = store.standing(session.id, 2).await?;
        let is_all = turns.turns.len() == 1 && turns.head == reply.unwrap_or(seq);
        if is_all {
            match store.delete_session_at(session.owner, session.id, turns.head).await {
                Err(StoreError::Moved) => {} // Another goes on behind it since.
                deleted => return Ok(deleted?),
            }
        }
        for seq in [Some(seq), reply].into_iter().flatten() {
            store.erase(session.owner, session.id, seq).await?;
        }
        Ok(())
    }
}

impl super::Inner {
    /// The response that this turn is; nothing where it is none.
    pub(super) async fn response(&self, turn: OpenTurn) -> Result<Option<Response>, ChatError> {
        let OpenTurn { session, seq } = turn;
        let store = &self.parts.store;
        // The outcome first: an annotation that is read behind it says how it ended.
        let Some((message, outcome)) = store.turn(session, seq).await? else { return Ok(None) };
        let note = store.annotation(session, seq).await?.and_then(|text| Note::read(&text));
        Ok(note.map(|note| Response::of(session, message, outcome, note)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chat::recording::PIECES_MAX,
        id::MessageId,
        reply::REPLY_BYTES_MAX,
        store::{ANNOTATION_GROWTH_MAX, Speaker},
    };

    fn message(seq: u64, content: &str, status: Status) -> Message {
        let reply_to = (seq > 1).then_some(Seq(1));
        let role = if seq > 1 { Speaker::Assistant } else { Speaker::User };
        let (id, content, created_at) = (MessageId::new(), content.to_owned(), Timestamp(1));
        Message { seq: Seq(seq), id, role, content, reply_to, status, created_at }
    }

    fn note(ends: &[usize], shown: &str) -> Note {
        let sampling = Sampling::default();
        let echo = serde_json::json!({ "metadata": {} });
        let asked =
            Asked { kind: Kind::Response, instructions: None, sampling, own: true, shown: true, whole: false, echo };
        let (at, model, finish) = (Timestamp(7), "model".to_owned(), Some(Finish::Length));
        let ended =
            NotedEnd { at, model, finish, usage: None, refused: None, ends: ends.to_vec(), shown: shown.to_owned() };
        Note { asked, ended: Some(ended) }
    }

    #[test]
    fn what_the_end_adds_to_an_annotation_fits_in_its_room() {
        let worst = "\u{1}".repeat(REPLY_BYTES_MAX); // Six bytes of JSON each.
        let ends: Vec<usize> = (0..=PIECES_MAX).map(|n| REPLY_BYTES_MAX - PIECES_MAX + n).collect();
        let mut note = note(&ends, &worst);
        if let Some(ended) = &mut note.ended {
            ended.model = "m".repeat(4096);
            ended.usage =
                Some(Usage { input: u64::MAX, output: u64::MAX, cached: Some(u64::MAX), reasoned: Some(u64::MAX) });
        }
        let begun = Note::begin(note.asked.clone()).unwrap();
        let grown = note.write().len() - begun.len();
        assert!(grown <= ANNOTATION_GROWTH_MAX && grown > ANNOTATION_GROWTH_MAX / 2, "{grown}");
    }

    #[test]
    fn more_than_may_be_kept_is_refused() {
        let with = |chars: usize| Asked { instructions: Some("i".repeat(chars)), ..note(&[], "").asked };
        let room = ANNOTATION_BYTES_MAX - Note::begin(with(0)).unwrap().len();
        assert_eq!(Note::begin(with(room)).unwrap().len(), ANNOTATION_BYTES_MAX);
        let refused = Note::begin(with(room + 1)).unwrap_err();
        let ChatError::TooMuchKept { bytes, max } = refused else { panic!("{refused}") };
        assert_eq!((bytes, max), (ANNOTATION_BYTES_MAX + 1, ANNOTATION_BYTES_MAX));
    }

    fn end(outcome: Outcome, note: &Note) -> ResponseEnd {
        let read = Note::read(&note.write()).unwrap();
        assert_eq!(&read, note);
        Response::of(SessionId::new(), message(1, "?", Status::Answered), outcome, read).end.unwrap()
    }

    #[test]
    fn pieces_are_those_that_were_shown() {
        let reply = || Outcome::Reply(message(2, "one দুই", Status::Complete));
        let whole = "one দুই".len();
        let shown = end(reply(), &note(&[4, whole], ""));
        assert_eq!((shown.pieces().collect::<Vec<_>>(), &shown.how), (vec!["one ", "দুই"], &How::TooLong));
        for of_another in [&[3][..], &[4, 4, whole], &[5, whole], &[]] {
            assert_eq!(end(reply(), &note(of_another, "")).pieces().collect::<Vec<_>>(), ["one দুই"], "{of_another:?}");
        }
        let stopped = |content: &str, finish| {
            let mut note = note(&[content.len()][usize::from(content.is_empty())..], "");
            note.ended.as_mut().unwrap().finish = finish;
            end(Outcome::Reply(message(2, content, Status::Stopped)), &note).how
        };
        assert_eq!([stopped("", None), stopped("one", None)], [How::Cancelled, How::Cancelled], "by a person");
        assert_eq!(stopped("helplines", Some(Finish::Stop)), How::Completed, "the model failed behind them");
        assert_eq!(stopped("helplines", Some(Finish::Length)), How::TooLong);
    }

    #[test]
    fn what_failed_keeps_what_was_shown_of_it() {
        let failure = || Outcome::Failed { detail: "no".to_owned(), too_slow: true };
        let mut noted = note(&[2, 3], "abc");
        assert_eq!(end(failure(), &noted).how, How::TooLong, "it came to its end, but said no more");
        noted.ended.as_mut().unwrap().finish = None;
        let failed = end(failure(), &noted);
        assert_eq!(failed.pieces().collect::<Vec<_>>(), ["ab", "c"]);
        assert_eq!(failed.how, How::Failed { detail: "no".to_owned(), too_slow: true, refused: None });
        assert_eq!(end(Outcome::Interrupted, &note(&[], "")).text, "");
    }
}
