//! The invariants behind `check`: everything that a data directory can show of the promises, looked at without changing
//! what was acknowledged.
//!
//! The journal is read twice: once for what it says by itself (checksums, numbers, dense sequences, one outcome a
//! message, owners, tombstones), once against the index.

mod beside;
mod jobs;
mod session;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use beside::Beside;
use jobs::Queue;
use session::{ENDED_BEFORE, Ids, NOT_BEHIND, SessionModel};

use super::{
    OpenError,
    checkpoint::Checkpoint,
    codec::{Change, MessageRecord, SessionRecord, UserRecord},
    disk::Dir,
    index::{Index, IndexError, Long, guarded},
    journal::{self, Ended, Segment},
    key::MessageKey,
    recover::{Builder, Layout, any_missing, lock},
};
use crate::{
    clock::{Clock, Timestamp},
    id::{Seq, SessionId, UserId},
};

/// The format in which this program writes a journal, and the newest that it reads.
pub const FORMAT: u32 = journal::FORMAT;

/// Findings that are listed; the rest are counted.
const LISTED_MAX: usize = 50;

/// Something that is wrong, in a sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding(pub String);

/// What a directory shows.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What is wrong; empty where nothing is.
    pub findings: Vec<Finding>,
    /// Findings beyond those that are listed.
    pub more: usize,
    /// Accounts.
    pub users: usize,
    /// Sessions that are not deleted.
    pub sessions: usize,
    /// Messages that can be read.
    pub messages: u64,
    /// Turns without an outcome: the next start answers them.
    pub open_turns: usize,
    /// Jobs of the queue: waiting, running, parked.
    pub jobs: usize,
    /// When the last message was stored.
    pub last_message_at: Option<Timestamp>,
    /// The oldest and the newest format of a segment; none where there is no segment.
    pub formats: Option<(u32, u32)>,
    /// Why the index was not compared: the next start rebuilds it.
    pub index_to_rebuild: Option<String>,
    /// Why nothing here shows that the journal's end is not missing, where that is so.
    pub end_in_doubt: Option<String>,
}

/// Checks the data directory `dir`, which no server may be using. `progress` gets (bytes done, bytes in all).
///
/// # Errors
/// As [`OpenError`] says where the directory can't be looked at; damage of the journal is a finding.
pub fn verify(dir: &Path, progress: impl FnMut(u64, u64)) -> Result<Verdict, OpenError> {
    verify_dir(&Dir::of(dir), progress)
}

/// The newest format of a segment of the data directory `dir`, from the heads of its files alone; none where there is none.
///
/// # Errors
/// As [`OpenError`] says.
pub fn newest_format(dir: &Path) -> Result<Option<u32>, OpenError> {
    if !dir.join("journal").is_dir() {
        return Ok(None);
    }
    let listing = journal::list(&Layout::of(&Dir::of(dir)).journal)?;
    Ok(listing.chain.iter().map(|segment| segment.header.format).max())
}

/// True where `dir` is a data directory: it has a journal, or an index that says that there was one.
#[must_use]
pub fn is_data_dir(dir: &Path) -> bool {
    dir.join("journal").is_dir() || Checkpoint::read(&Layout::of(&Dir::of(dir)).index).is_some()
}

/// As [`verify`], for a caller that has locked the directory.
///
/// # Errors
/// Those of [`verify`].
pub fn verify_locked(dir: &Path, progress: impl FnMut(u64, u64)) -> Result<Verdict, OpenError> {
    look(&Dir::of(dir), progress)
}

/// As [`verify`], on any disk.
pub(crate) fn verify_dir(dir: &Dir, progress: impl FnMut(u64, u64)) -> Result<Verdict, OpenError> {
    let layout = Layout::of(dir);
    if let Err(source) = dir.disk.metadata(&layout.journal.path)
        && Checkpoint::read(&layout.index).is_none()
    {
        return Err(OpenError::Io { path: layout.journal.path, source });
    }
    let _lock = lock(dir)?;
    look(dir, progress)
}

fn look(dir: &Dir, mut progress: impl FnMut(u64, u64)) -> Result<Verdict, OpenError> {
    // What sled makes is for the owner alone, whatever the umask was.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let layout = Layout::of(dir);
    let mut model = Model::at(Clock::System.now());
    let mut verdict = Verdict::default();
    let checkpoint = Checkpoint::read(&layout.index);
    let chain = match list(&layout, checkpoint.as_ref()) {
        Ok(chain) => chain,
        Err(error) => return verdict.of_journal(error),
    };
    let formats = || chain.iter().map(|segment| segment.header.format);
    verdict.formats = formats().min().zip(formats().max());
    let total = 2 * chain.iter().map(|segment| segment.length).sum::<u64>();
    let mut done = 0;
    let mut step = |length| {
        done += length;
        progress(done, total);
    };
    let read = journal::read_all(&layout.journal, &mut step, |frame, changes| {
        for change in &changes {
            model.follow(change, frame, &mut verdict);
        }
        Ok(())
    });
    let ended = match read {
        Ok(ended) => ended,
        Err(error) => return verdict.of_journal(error),
    };
    let next_frame = ended.next_frame;
    model.finish(&mut verdict);
    let journal_id = chain.first().map(|segment| segment.header.journal);
    let doubt =
        checkpoint.as_ref().map_or(Some("there is none"), |checkpoint| checkpoint.doubt(&layout.index, journal_id));
    if let (None, Some(checkpoint)) = (doubt, &checkpoint) {
        if checkpoint.next_frame > next_frame {
            verdict.find(format!(
                "the journal ends before frame {next_frame}, but the index has seen {}",
                checkpoint.next_frame - 1
            ));
            return Ok(verdict);
        }
        let io = |source| OpenError::Io { path: layout.index.join("checkpoint"), source };
        checkpoint.take_back(&layout.index).map_err(io)?;
        match compare(&layout, checkpoint, &model, &mut verdict, &mut step) {
            Ok(()) => checkpoint.give_again(&layout.index).map_err(io)?,
            Err(CompareError::Index(error)) => verdict.index_to_rebuild = Some(error.to_string()),
            Err(CompareError::Open(error)) => return Err(error),
        }
    }
    if let Some(doubt) = doubt {
        verdict.index_to_rebuild = Some(doubt.to_owned());
    }
    verdict.end_in_doubt = end_in_doubt(&ended, checkpoint.filter(|checkpoint| checkpoint.is_of(journal_id)).as_ref());
    Ok(verdict)
}

/// The segments of the journal, which may all be missing only where there never was one.
fn list(layout: &Layout, checkpoint: Option<&Checkpoint>) -> Result<Vec<Segment>, OpenError> {
    let is_there = layout.journal.disk.exists(&layout.journal.path);
    let chain = if is_there { journal::list(&layout.journal)?.chain } else { Vec::new() };
    if chain.is_empty() {
        any_missing(layout, checkpoint)?;
    }
    Ok(chain)
}

/// Why nothing shows that the journal has all of its end. No fault by itself: a copy of a running server's directory is so,
/// where the journal was copied before the index, or while a segment was begun.
fn end_in_doubt(ended: &Ended, checkpoint: Option<&Checkpoint>) -> Option<String> {
    let Ended { next_frame, is_sealed } = *ended;
    match checkpoint {
        Some(checkpoint) if checkpoint.next_frame > next_frame => Some(format!(
            "the index that was copied with it has seen frames up to {}, and the journal ends with {}: that is so where a \
             server wrote while it was copied, and where the newest segment is missing",
            checkpoint.next_frame - 1,
            next_frame - 1
        )),
        Some(checkpoint) if checkpoint.next_frame == next_frame && checkpoint.is_last() => None,
        Some(_) | None => is_sealed.then(|| {
            format!(
                "its last segment is complete, up to frame {}, and nothing here shows whether one came after it",
                next_frame - 1
            )
        }),
    }
}

impl Verdict {
    /// What is wrong with the journal is a finding where it is damage, and ends the looking.
    fn of_journal(mut self, error: OpenError) -> Result<Self, OpenError> {
        match error {
            OpenError::Damaged { path, offset, what } => {
                self.find(format!("journal damaged: {} at offset {offset}: {what}", path.display()));
                Ok(self)
            }
            error @ (OpenError::InUse(_)
            | OpenError::Newer { .. }
            | OpenError::Io { .. }
            | OpenError::DiskFull
            | OpenError::Thread(_)
            | OpenError::Index(_)) => Err(error),
        }
    }

    fn find(&mut self, what: String) {
        if self.findings.len() < LISTED_MAX {
            self.findings.push(Finding(what));
        } else {
            self.more += 1;
        }
    }
}

/// What the journal says, as small as it can be kept.
struct Model {
    sessions: HashMap<SessionId, SessionModel>,
    users: HashMap<UserId, UserRecord>,
    deleted_users: HashSet<UserId>,
    /// The stamp of the message before, and where that is.
    newest: Option<(u64, SessionId, Seq)>,
    queue: Queue,
    beside: Beside,
    now: Timestamp,
    last_message_at: Option<Timestamp>,
}

impl Model {
    /// Of an empty journal, read at this time.
    fn at(now: Timestamp) -> Self {
        Self {
            sessions: HashMap::new(),
            users: HashMap::new(),
            deleted_users: HashSet::new(),
            newest: None,
            queue: Queue::default(),
            beside: Beside::default(),
            now,
            last_message_at: None,
        }
    }

    fn follow(&mut self, change: &Change, frame: u64, verdict: &mut Verdict) {
        self.beside.follow(change);
        match change {
            Change::User { id, record } => {
                if self.deleted_users.contains(id) {
                    verdict.find(format!("frame {frame}: user {id} comes back after its deletion"));
                }
                self.users.insert(*id, record.clone());
            }
            Change::UserDeleted { id } => {
                self.users.remove(id);
                self.deleted_users.insert(*id);
            }
            Change::Session { id, meta } => {
                let session = self.sessions.entry(*id).or_default();
                if session.deleted {
                    verdict.find(format!("frame {frame}: session {id} comes back after its deletion"));
                }
                if session.meta.as_ref().is_some_and(|before| before.owner != meta.owner) {
                    verdict.find(format!("frame {frame}: session {id} changes its owner"));
                }
                session.open.retain(|seq| *seq > meta.cleared_through);
                session.meta = Some(meta.clone());
            }
            Change::SessionDeleted { id, .. } => {
                let session = self.sessions.entry(*id).or_default();
                *session = SessionModel { deleted: true, ..SessionModel::default() };
            }
            Change::Message { session, seq, record } => {
                self.in_order(frame, (*session, *seq), record.stamp);
                self.last_message_at = self.last_message_at.max(Some(record.created_at));
                let model = self.sessions.entry(*session).or_default();
                let wrong = |what: &str| format!("frame {frame}: message {seq} of session {session} {what}");
                match model.message(*seq, record) {
                    Some(what @ (ENDED_BEFORE | NOT_BEHIND)) => model.suspects.push((*seq, wrong(what))),
                    Some(what) => verdict.find(wrong(what)),
                    None => {}
                }
            }
            Change::Outcome { session, seq, record } => {
                let model = self.sessions.entry(*session).or_default();
                let wrong = |what: &str| format!("frame {frame}: message {seq} of session {session} {what}");
                let doubt = model.outcome(*seq, record);
                model.suspects.extend(doubt.map(|what| (*seq, wrong(what))));
            }
            Change::SendKey { record, .. } => {
                let session = self.sessions.entry(record.session).or_default();
                session.keyed = session.keyed.max(record.seq);
            }
            Change::Job { .. } | Change::JobEnded { .. } => self.queue.follow(change, frame, verdict),
            Change::Erased { session, seq } => {
                let model = self.sessions.entry(*session).or_default();
                if *seq > model.head {
                    let wrong = format!("frame {frame}: message {seq} of session {session} is erased and not there");
                    model.suspects.push((*seq, wrong));
                }
                model.erased.insert(*seq);
            }
            Change::Token { .. }
            | Change::TokenEnded { .. }
            | Change::Invitation { .. }
            | Change::InvitationUsed { .. }
            | Change::Annotation { .. }
            | Change::Progress { .. }
            | Change::Scopes { .. } => {}
        }
    }

    /// Suspects the message before where this one does not come behind it: once that is gone, its place among all may be given
    /// again, by a start that does not know of it.
    fn in_order(&mut self, frame: u64, (session, seq): (SessionId, Seq), stamp: u64) {
        if let Some((before, of, at)) = self.newest.replace((stamp, session, seq))
            && stamp <= before
            && let Some(suspect) = self.sessions.get_mut(&of)
        {
            let wrong = format!("frame {frame}: message {seq} of session {session} is out of order");
            suspect.suspects.push((at, wrong));
        }
    }

    fn finish(&self, verdict: &mut Verdict) {
        let mut names = HashMap::new();
        for (id, user) in &self.users {
            if let Some(other) = names.insert(&user.folded, id) {
                verdict.find(format!("users {id} and {other} have the same name"));
            }
        }
        for (id, session) in &self.sessions {
            if session.deleted {
                continue;
            }
            let Some(meta) = &session.meta else {
                verdict.find(format!("session {id} has messages and no owner"));
                continue;
            };
            if !self.users.contains_key(&meta.owner) && !self.deleted_users.contains(&meta.owner) {
                verdict.find(format!("session {id} belongs to user {}, who never was", meta.owner));
            }
            for (_, wrong) in session.suspects.iter().filter(|(seq, _)| *seq > meta.cleared_through) {
                verdict.find(wrong.clone());
            }
            for (first, last) in session.gaps.iter().filter(|(_, last)| *last > meta.cleared_through) {
                verdict.find(format!("session {id} lacks the messages {first} to {last}"));
            }
            if session.keyed > session.head.max(meta.cleared_through) {
                verdict.find(format!("session {id}: a key names message {}, which is not there", session.keyed));
            }
            verdict.sessions += 1;
            verdict.messages += session.head.0.saturating_sub(meta.cleared_through.0);
            verdict.open_turns += session.open.len();
        }
        verdict.users = self.users.len();
        self.queue.finish(self.now, |user| self.users.contains_key(&user), verdict);
        verdict.last_message_at = self.last_message_at;
    }

    /// True where `found` is what is to be there of a message: without its text where that was taken out.
    fn is_so(&self, session: SessionId, seq: Seq, found: &MessageRecord, record: &MessageRecord) -> bool {
        let is_erased = self.sessions.get(&session).is_some_and(|session| session.erased.contains(&seq));
        if is_erased { *found == MessageRecord { content: String::new(), ..record.clone() } } else { found == record }
    }

    /// True where readers see the message.
    fn shows(&self, session: SessionId, seq: Seq) -> bool {
        let session = self.sessions.get(&session).filter(|session| !session.deleted);
        let meta = session.and_then(|session| session.meta.as_ref());
        meta.is_some_and(|meta| seq > meta.cleared_through)
    }
}

enum CompareError {
    Open(OpenError),
    Index(IndexError),
}

impl From<OpenError> for CompareError {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

impl From<IndexError> for CompareError {
    fn from(error: IndexError) -> Self {
        Self::Index(error)
    }
}

/// Brings the index up to the journal, as a start would, and compares the two.
fn compare(
    layout: &Layout,
    checkpoint: &Checkpoint,
    model: &Model,
    verdict: &mut Verdict,
    step: &mut impl FnMut(u64),
) -> Result<(), CompareError> {
    let index = Index::open(&layout.index.path, 64 << 20)?;
    guarded(|| index.require_applied(checkpoint.next_frame))?;
    let mut broken = None;
    let mut builder = Builder::new(&index, Clock::System.now());
    journal::read_all(
        &layout.journal,
        |_| (),
        |frame, changes| {
            if frame >= checkpoint.replay_from && broken.is_none() {
                broken = changes.into_iter().try_for_each(|change| builder.apply(change)).err();
            }
            Ok(())
        },
    )?;
    builder.finish()?;
    let mut messages = 0;
    journal::read_all(&layout.journal, step, |frame, changes| {
        for change in &changes {
            let Change::Message { session, seq, record } = change else { continue };
            if model.shows(*session, *seq) && broken.is_none() {
                messages += 1;
                match guarded(|| index.message(*session, *seq)) {
                    Ok(Some(found)) if model.is_so(*session, *seq, &found, record) => {}
                    Ok(_) => verdict
                        .find(format!("frame {frame}: message {seq} of session {session} is not so in the index")),
                    Err(error) => broken = Some(error),
                }
            }
        }
        Ok(())
    })?;
    if let Some(error) = broken {
        return Err(error.into());
    }
    guarded(|| compare_trees(&index, model, messages, verdict))?;
    Ok(())
}

fn compare_trees(index: &Index, model: &Model, messages: u64, verdict: &mut Verdict) -> Result<(), IndexError> {
    let mut shown = 0;
    let mut ids = Ids::default();
    for entry in &index.messages {
        let (key, head) = entry?;
        let Some(key) = MessageKey::decode(&key).filter(|key| model.shows(key.session, key.seq)) else { continue };
        shown += 1;
        let MessageKey { session, seq } = key;
        let Some(record) = index.whole::<MessageRecord>(Long::Message, key, head)? else { continue };
        if let Some(first) = ids.twice(session, seq, record.id) {
            verdict.find(format!("session {session} has one message twice, as {first} and as {seq}"));
        }
    }
    if shown != messages {
        verdict.find(format!("the index shows {shown} messages, the journal {messages}"));
    }
    for (id, session) in &model.sessions {
        let wanted = match &session.meta {
            Some(meta) if !session.deleted => Some(SessionRecord::Live(meta.clone())),
            Some(_) | None => session.deleted.then_some(SessionRecord::Deleted),
        };
        if wanted.is_some() && index.session_record(*id)? != wanted {
            verdict.find(format!("session {id} is not so in the index"));
        }
    }
    for (id, user) in &model.users {
        if index.user_record(*id)?.as_ref() != Some(user) || index.user_named(&user.folded)? != Some(*id) {
            verdict.find(format!("user {id} is not so in the index"));
        }
    }
    if index.users.len() != model.users.len() {
        verdict.find(format!("the index has {} users, the journal {}", index.users.len(), model.users.len()));
    }
    model.compare_beside(index, verdict)?;
    model.queue.compare(index, model.now, verdict)
}
