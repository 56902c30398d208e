//! The store's reads: from the cache where it has the answer, else from one closure in a pool.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Appended, Message, Outcome, PageRange, Rendered, SendKey, Session, Status, Store, StoreError, Token, TokenDigest,
    UsedKey, User,
    batch::{State, message_of, session_of, token_of, user_of},
    codec::{SpeakerCode, TokenRecord},
    fragment::{self, Fragment},
    history,
    index::{Index, IndexError, guarded},
    log::{Ended, Within},
    search::Sought,
    view::{SessionView, UserView, turn_window},
    writer::fail_on,
};
use crate::{
    clock::Timestamp,
    id::{Seq, SessionId, UserId},
    pool::{Pool, PoolError},
    text,
};

/// Bytes of messages that a page has, about, however many it was asked for; a longer one stands on it alone.
pub const PAGE_BYTES_MAX: usize = 4 << 20;
/// Messages behind the one that is answered that a context has at most: an old message may be answered anew.
const BEHIND_MAX: u64 = 1024;
/// How often a page is read where its session is cleared meanwhile.
const PAGE_TRIES: usize = 8;

impl Store {
    /// Runs one closure over the index in `pool`. An index that can't be read ends the process, to be rebuilt.
    async fn read_in<T: Send + 'static>(
        &self,
        pool: &Pool,
        read: impl FnOnce(&Index) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let read = pool.run(move || {
            guarded(|| Ok(read(&shared.index))).unwrap_or_else(|error| Err(fail_on(&shared, error))).inspect_err(
                |error| {
                    if let StoreError::Unreadable(why) = error {
                        shared.fail_index(format!("the index can't be read: {why}"));
                    }
                },
            )
        });
        read.await.unwrap_or_else(|error| match error {
            PoolError::Full => Err(StoreError::Busy),
            PoolError::Panicked => Err(StoreError::Unreadable(Arc::from("a read panicked"))),
        })
    }

    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Index) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Boxed, as every slow path here: requests that find their answer in the cache stay small.
        Box::pin(self.read_in(&self.reads, read)).await
    }

    /// A load for the cache: what is read, and the end of the process where it can't be.
    fn loader<T>(
        &self,
        load: impl FnOnce(&Index) -> Result<Option<T>, IndexError> + Send + 'static,
    ) -> impl FnOnce() -> Result<Option<T>, StoreError> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        move || guarded(|| load(&shared.index)).map_err(|error| fail_on(&shared, error))
    }

    pub(super) async fn view(&self, id: SessionId) -> Result<Option<Arc<SessionView>>, StoreError> {
        if let Some(view) = self.shared.sessions.get(&id) {
            return Ok(Some(view));
        }
        let load = self.loader(move |index| SessionView::load(index, id));
        Box::pin(self.shared.sessions.get_or_load(id, &self.reads, load)).await
    }

    /// The account with this id.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn user(&self, id: UserId) -> Result<Option<Arc<User>>, StoreError> {
        if let Some(user) = self.shared.users.get(&id) {
            return Ok(Some(user));
        }
        let load = self.loader(move |index| Ok(index.user_record(id)?.map(|record| user_of(id, &record))));
        Box::pin(self.shared.users.get_or_load(id, &self.reads, load)).await
    }

    /// The account with this name, given in its folded form.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn user_by_name(&self, folded: &str) -> Result<Option<Arc<User>>, StoreError> {
        let name = folded.to_owned();
        match self.read(move |index| Ok(index.user_named(&name)?)).await? {
            Some(id) => self.user(id).await,
            None => Ok(None),
        }
    }

    /// Up to `limit` accounts in order of age, after `after`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn users(&self, after: Option<UserId>, limit: usize) -> Result<Vec<User>, StoreError> {
        let records = self.read(move |index| Ok(index.user_records(after, limit)?)).await?;
        Ok(records.into_iter().map(|(id, record)| user_of(id, &record)).collect())
    }

    /// The login with this digest; expired ones may still be found.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn token(&self, digest: TokenDigest) -> Result<Option<Arc<Token>>, StoreError> {
        if let Some(token) = self.shared.tokens.get(&digest) {
            return Ok(Some(token));
        }
        let load = self.loader(move |index| {
            let Some(record) = index.token_record(digest.0)? else { return Ok(None) };
            bounded(index, digest.0, &record)
        });
        Box::pin(self.shared.tokens.get_or_load(digest, &self.reads, load)).await
    }

    /// The user's logins, oldest first.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn tokens(&self, user: UserId) -> Result<Vec<Token>, StoreError> {
        self.read(move |index| {
            let records = index.token_records(user)?;
            let tokens = records.iter().filter_map(|(digest, record)| bounded(index, *digest, record).transpose());
            Ok(tokens.collect::<Result<_, IndexError>>()?)
        })
        .await
    }

    /// Whose session this is; nothing for one that was deleted or never was.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn owner(&self, id: SessionId) -> Result<Option<UserId>, StoreError> {
        Ok(self.view(id).await?.map(|view| view.meta.owner))
    }

    /// The session with this id.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.view(id).await?.map(|view| view.session()))
    }

    /// The user's sessions, newest activity first, after the place where an earlier answer stopped; at most `limit`.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn sessions(
        &self,
        user: UserId,
        after: Option<(Timestamp, SessionId)>,
        limit: usize,
    ) -> Result<Vec<Session>, StoreError> {
        self.read(move |index| {
            let mut newest = BTreeMap::new();
            for id in index.sessions_of(user, usize::MAX)? {
                let Some(meta) = index.session_meta(id)? else { continue };
                let end = index.log_end(id, meta.cleared_through, meta.cleared_turns)?;
                let session = session_of(id, &State { meta, end });
                if after.is_none_or(|after| (session.updated_at, session.id) < after) {
                    newest.insert((session.updated_at, session.id), session);
                }
                if newest.len() > limit {
                    newest.pop_first(); // Each may have a long prompt, and there may be any number.
                }
            }
            Ok(newest.into_values().rev().collect())
        })
        .await
    }

    /// What a key was used for last, if it is not forgotten.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn used_key(&self, user: UserId, key: [u8; 16]) -> Result<Option<UsedKey>, StoreError> {
        let now = self.clock.now();
        let known = self.read(move |index| Ok(index.send_key(user, key)?)).await?;
        let known = known.filter(|known| known.expires_at > now);
        Ok(known.map(|known| UsedKey {
            session: known.session,
            seq: known.seq,
            body: known.body,
            expires_at: known.expires_at,
        }))
    }

    /// What was sent with this key before, if it is not forgotten.
    ///
    /// # Errors
    /// `KeyReused` where that was something else; `TurnGone` where it was deleted since; those of every read.
    pub async fn sent_before(&self, user: UserId, key: SendKey) -> Result<Option<Appended>, StoreError> {
        let now = self.clock.now();
        self.read(move |index| {
            let Some(known) = index.send_key(user, key.key)?.filter(|known| known.expires_at > now) else {
                return Ok(None);
            };
            if known.body != key.body {
                return Err(StoreError::KeyReused);
            }
            let found = turn(index, known.session, known.seq, Seq(u64::MAX))?;
            let (message, _) = found.ok_or(StoreError::TurnGone)?;
            Ok(Some(Appended { session: known.session, message, repeated: true }))
        })
        .await
    }

    /// The message at `seq` and how its turn ended; nothing where there is no such user's message.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn turn(&self, session: SessionId, seq: Seq) -> Result<Option<(Message, Outcome)>, StoreError> {
        let Some(view) = self.view(session).await? else { return Ok(None) };
        // The index may be ahead of the view, which is what pages show: an outcome must not be told before they do.
        let head = view.end.head;
        let pending = view.find(seq).is_some_and(|message| message.status == Status::Pending);
        let found = self.read(move |index| Ok(turn(index, session, seq, head)?)).await?;
        Ok(found.map(|(mut message, outcome)| {
            if !pending {
                return (message, outcome);
            }
            message.status = Status::Pending;
            (message, Outcome::Pending)
        }))
    }

    /// A page of a session's messages as the body of the API: `{messages, head, has_more}`.
    ///
    /// # Errors
    /// `NotOwner` where it was deleted meanwhile; those of every read.
    pub async fn page(&self, session: SessionId, range: PageRange) -> Result<Rendered, StoreError> {
        let mut tries = 1;
        loop {
            let view = self.view(session).await?.ok_or(StoreError::NotOwner(session))?;
            if let Some(page) = view.ready_page(range) {
                return Ok(page);
            }
            if let Some(page) = view.page(range) {
                self.shared.sessions.reweigh(&session);
                return Ok(page);
            }
            let run = view.run(range);
            let head = view.end.head;
            let read = self.read(move |index| {
                let within =
                    if range.after.is_some() { Within::First(PAGE_BYTES_MAX) } else { Within::Last(PAGE_BYTES_MAX) };
                let (entries, is_cut) = index.entries_within(session, (run.first, run.last), head, within)?;
                let fragments: Vec<Fragment> = entries.iter().map(Fragment::of).collect();
                let is_whole = is_cut || fragments.len() as u64 == (run.last.0 + 1).saturating_sub(run.first.0);
                Ok((fragment::page(fragments.iter(), head, run.has_more || is_cut), is_whole))
            });
            let (page, is_whole) = read.await?;
            // What was cleared or deleted meanwhile is not there any more: then there is a new view to read by.
            if is_whole || tries == PAGE_TRIES {
                return Ok(page);
            }
            tries += 1;
        }
    }

    /// What a reply to the message at `seq` is made from, ascending: the newest messages up to that, at most `limit`,
    /// and those behind it, where the replies to earlier turns stand that were made while it waited. True where some of them
    /// were left out, because they have over `bytes_max` bytes: the message at `seq` itself never is.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn context(
        &self,
        session: SessionId,
        seq: Seq,
        limit: usize,
        bytes_max: usize,
    ) -> Result<(Vec<Message>, bool), StoreError> {
        if let Some(context) = self.view(session).await?.and_then(|view| view.context(seq, limit)) {
            return Ok((context, false));
        }
        self.read(move |index| {
            let Some(meta) = index.session_meta(session)? else { return Ok((Vec::new(), false)) };
            let head = index.log_end(session, meta.cleared_through, meta.cleared_turns)?.head;
            let first = seq.next().0.saturating_sub(limit as u64).max(meta.cleared_through.next().0);
            let last = head.min(Seq(seq.0.saturating_add(BEHIND_MAX)));
            let bounds = (Seq(first), last.min(seq));
            let (mut entries, is_cut) = index.entries_within(session, bounds, head, Within::Last(bytes_max))?;
            let bounds = (seq.next().max(Seq(first)), last);
            let (behind, is_cut_behind) = index.entries_within(session, bounds, head, Within::First(bytes_max))?;
            entries.extend(behind);
            let messages = entries.iter().map(|entry| message_of(entry.seq, &entry.record, entry.status)).collect();
            Ok((messages, is_cut || is_cut_behind))
        })
        .await
    }

    /// The old client's history in pairs: `{messages, total, user_id}`, of one session or of all of the user's.
    ///
    /// # Errors
    /// Those of every read.
    pub async fn history(
        &self,
        user: UserId,
        session: Option<SessionId>,
        limit: usize,
        offset: u64,
    ) -> Result<Rendered, StoreError> {
        match session {
            Some(session) => self.history_of_session(session, limit, offset).await,
            None => self.history_of_user(user, limit, offset).await,
        }
    }

    async fn history_of_session(&self, id: SessionId, limit: usize, offset: u64) -> Result<Rendered, StoreError> {
        let view = self.view(id).await?.ok_or(StoreError::NotOwner(id))?;
        if let Some(page) = view.ready_pairs(limit, offset) {
            return Ok(page);
        }
        if let Some(page) = view.pairs(limit, offset) {
            self.shared.sessions.reweigh(&id);
            return Ok(page);
        }
        let (end, owner) = (view.session_end(), view.meta.owner);
        self.read(move |index| {
            let pairs = history::turns_from_index(index, id, end, turn_window(end, limit, offset))?;
            Ok(fragment::pairs(&pairs, end.turns - end.cleared_turns, owner))
        })
        .await
    }

    async fn history_of_user(&self, user: UserId, limit: usize, offset: u64) -> Result<Rendered, StoreError> {
        let view = if let Some(view) = self.shared.user_views.get(&user) {
            view
        } else {
            let load = self.loader(move |index| UserView::load(index, user).map(Some));
            let loaded = Box::pin(self.shared.user_views.get_or_load(user, &self.reads, load)).await?;
            loaded.ok_or(StoreError::NoUser)?
        };
        if let Some(page) = view.ready_pairs(limit, offset) {
            return Ok(page);
        }
        let ends: Vec<_> = view.ends().collect();
        let total = view.total();
        let cached = view.pairs(limit, offset, || {
            let mut views = HashMap::new();
            let pairs = history::newest(&ends, offset, limit, |id, end, turn| {
                let view = views.entry(id).or_insert_with(|| self.shared.sessions.held(&id));
                // A session that has moved on since would show turns that the total does not count.
                let same = view.as_ref().filter(|view| view.session_end() == end);
                Ok::<_, std::convert::Infallible>(same.and_then(|view| view.turn(turn)))
            });
            let Ok(pairs) = pairs;
            pairs.map(|pairs| fragment::pairs(&pairs, total, user))
        });
        if let Some(page) = cached {
            self.shared.user_views.reweigh(&user);
            return Ok(page);
        }
        self.read(move |index| {
            let pairs = history::newest_from_index(index, ends, offset, limit)?;
            Ok(fragment::pairs(&pairs, total, user))
        })
        .await
    }

    /// The user's turns that have `needle` in the message or its reply, in the shape of `history`.
    ///
    /// # Errors
    /// `Busy` where it takes longer than `within`; those of every read.
    pub async fn search(
        &self,
        user: UserId,
        needle: &str,
        limit: usize,
        within: Duration,
    ) -> Result<Rendered, StoreError> {
        let needle = text::folded(needle);
        let until = Instant::now() + within;
        self.scan(move |index| {
            let (pairs, total) = history::search(index, &Sought { user, needle: &needle, until }, limit)?;
            Ok(fragment::pairs(&pairs, total, user))
        })
        .await
    }

    pub(super) async fn scan<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Index) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.read_in(&self.scans, read).await
    }
}

/// A login with its bounds. They are written before the login and removed behind it: one without them is what it seems, a
/// person's, if it is still there.
fn bounded(index: &Index, digest: [u8; 32], record: &TokenRecord) -> Result<Option<Token>, IndexError> {
    let scopes = index.scopes(&digest)?;
    let is_there = scopes.is_some() || index.token_record(digest)?.is_some();
    Ok(is_there.then(|| token_of(record, scopes)))
}

/// The message at `seq` and how its turn had ended when the log ended at `head`.
fn turn(index: &Index, session: SessionId, seq: Seq, head: Seq) -> Result<Option<(Message, Outcome)>, IndexError> {
    let cleared = index.session_meta(session)?.map(|meta| meta.cleared_through);
    let record = if cleared.is_some_and(|cleared| seq > cleared) { index.message(session, seq)? } else { None };
    let Some(record) = record.filter(|record| record.speaker == SpeakerCode::User) else { return Ok(None) };
    let (status, outcome) = match index.ended_as_of(session, seq, head)? {
        Ended::NotYet => (Status::Pending, Outcome::Pending),
        Ended::Reply(at, reply) => {
            let (answered, whole) =
                if reply.stopped { (Status::Stopped, Status::Stopped) } else { (Status::Answered, Status::Complete) };
            (answered, Outcome::Reply(message_of(at, &reply, whole)))
        }
        Ended::Failed { detail, too_slow } => (Status::Failed, Outcome::Failed { detail, too_slow }),
        Ended::Interrupted => (Status::Interrupted, Outcome::Interrupted),
    };
    Ok(Some((message_of(seq, &record, status), outcome)))
}
