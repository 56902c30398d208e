//! What a directory shows of logins and their bounds, of annotations, and of the pieces of running replies.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    super::{
        codec::{Change, TokenRecord},
        index::{Index, IndexError},
    },
    MessageKey, Model, Verdict,
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId},
};

/// What stands beside accounts and messages, as the journal has it; of texts their digests.
#[derive(Default)]
pub(super) struct Beside {
    logins: HashMap<[u8; 32], TokenRecord>,
    /// What programs may do, by the digests of their logins.
    scopes: HashMap<[u8; 32], u32>,
    /// By their places, [`Seq::ZERO`] for the session itself.
    annotations: HashMap<SessionId, BTreeMap<Seq, u64>>,
    /// By the turn, and by where they begin.
    pieces: HashMap<SessionId, BTreeMap<(Seq, u32), u64>>,
}

impl Beside {
    pub(super) fn follow(&mut self, change: &Change) {
        match change {
            Change::Token { digest, record } => drop(self.logins.insert(*digest, record.clone())),
            Change::Scopes { digest, scopes } => drop(self.scopes.insert(*digest, *scopes)),
            Change::TokenEnded { digest, .. } => {
                self.logins.remove(digest);
                self.scopes.remove(digest);
            }
            Change::Annotation { session, seq, text } => {
                let annotations = self.annotations.entry(*session).or_default();
                match text {
                    Some(text) => drop(annotations.insert(*seq, digest(text))),
                    None => drop(annotations.remove(seq)),
                }
                if *seq > Seq::ZERO {
                    self.end_progress(*session, *seq);
                }
            }
            Change::Progress { session, seq, at, text } => {
                self.pieces.entry(*session).or_default().insert((*seq, *at), digest(text));
            }
            Change::Message { session, record, .. } => {
                if let Some(of) = record.reply_to {
                    self.end_progress(*session, of);
                }
            }
            Change::Outcome { session, seq, record } if record.is_end() => self.end_progress(*session, *seq),
            Change::SessionDeleted { id, .. } => {
                self.annotations.remove(id);
                self.pieces.remove(id);
            }
            Change::Outcome { .. }
            | Change::User { .. }
            | Change::UserDeleted { .. }
            | Change::Session { .. }
            | Change::Invitation { .. }
            | Change::InvitationUsed { .. }
            | Change::SendKey { .. }
            | Change::Job { .. }
            | Change::JobEnded { .. }
            | Change::Erased { .. } => {}
        }
    }

    fn end_progress(&mut self, session: SessionId, of: Seq) {
        if let Some(pieces) = self.pieces.get_mut(&session) {
            pieces.retain(|(seq, _), _| *seq != of);
        }
    }

    /// The login with this digest, unless it is over.
    fn login(&self, digest: &[u8; 32], now: Timestamp) -> Option<&TokenRecord> {
        self.logins.get(digest).filter(|login| login.expires_at > now)
    }
}

impl Model {
    /// Compares what stands beside accounts and messages. What is over may be in the index or not.
    pub(super) fn compare_beside(&self, index: &Index, verdict: &mut Verdict) -> Result<(), IndexError> {
        self.compare_logins(index, verdict)?;
        for (session, seq) in self.differing_annotations(index)? {
            let place = if seq == Seq::ZERO { String::new() } else { format!("message {seq} of ") };
            verdict.find(format!("the annotation of {place}session {session} is not so in the index"));
        }
        for (session, seq) in self.differing_pieces(index)? {
            let turn = format!("message {seq} of session {session}");
            verdict.find(format!("what was shown of the running reply to {turn} is not so in the index"));
        }
        Ok(())
    }

    fn compare_logins(&self, index: &Index, verdict: &mut Verdict) -> Result<(), IndexError> {
        for digest in self.beside.logins.keys() {
            let Some(login) = self.beside.login(digest, self.now) else { continue };
            if index.token_record(*digest)?.as_ref() != Some(login) {
                verdict.find(format!("login {} is not so in the index", login.id));
            }
            if index.scopes(digest)? != self.beside.scopes.get(digest).copied() {
                verdict.find(format!("the scopes of the API key {} are not so in the index", login.id));
            }
        }
        for entry in index.all_tokens() {
            let (digest, token) = entry?;
            if !self.users.contains_key(&token.user) {
                verdict.find(format!("login {} belongs to user {}, who is not there", token.id, token.user));
            } else if token.expires_at > self.now && self.beside.login(&digest, self.now).is_none() {
                verdict.find(format!("login {} is in the index only", token.id));
            }
        }
        for digest in index.all_scopes() {
            if index.token_record(digest?)?.is_none() {
                verdict.find("the index has scopes of an API key that is not there".to_owned());
            }
        }
        Ok(())
    }

    fn differing_annotations(&self, index: &Index) -> Result<Vec<(SessionId, Seq)>, IndexError> {
        let journal = self.beside.annotations.iter().flat_map(|(session, of)| {
            let keyed = |(seq, text): (&Seq, &u64)| ((*session, *seq), *text);
            of.iter().map(keyed)
        });
        let mut wanted: BTreeMap<_, _> = journal.filter(|((session, seq), _)| self.has_place(*session, *seq)).collect();
        let mut differing = Vec::new();
        for entry in index.all_annotations() {
            let (MessageKey { session, seq }, text) = entry?;
            if self.has_place(session, seq) && wanted.remove(&(session, seq)) != Some(digest(&text)) {
                differing.push((session, seq));
            }
        }
        differing.extend(wanted.into_keys());
        Ok(differing)
    }

    fn differing_pieces(&self, index: &Index) -> Result<Vec<(SessionId, Seq)>, IndexError> {
        let journal = self.beside.pieces.iter().flat_map(|(session, of)| {
            let keyed = |((seq, at), text): (&(Seq, u32), &u64)| ((*session, *seq, *at), *text);
            of.iter().map(keyed)
        });
        let mut wanted: BTreeMap<_, _> = journal.filter(|((session, seq, _), _)| self.shows(*session, *seq)).collect();
        let mut differing = Vec::new();
        for entry in index.all_pieces() {
            let (session, seq, at, text) = entry?;
            if self.shows(session, seq) && wanted.remove(&(session, seq, at)) != Some(digest(&text)) {
                differing.push((session, seq));
            }
        }
        differing.extend(wanted.into_keys().map(|(session, seq, _)| (session, seq)));
        differing.dedup();
        Ok(differing)
    }

    /// True where readers see what is annotated there.
    fn has_place(&self, session: SessionId, seq: Seq) -> bool {
        let is_there = || self.sessions.get(&session).is_some_and(|session| session.meta.is_some() && !session.deleted);
        self.shows(session, seq) || (seq == Seq::ZERO && is_there())
    }
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
