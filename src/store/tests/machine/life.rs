//! What happens to a store between commands: it is restarted, copied, compacted, and left alone by its readers.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{Arc, atomic::Ordering},
};

use super::{
    actual::{Actual, once},
    command::send_key,
    items::With,
    jobs::released_at,
    look::{Sight, look},
    step::{Fate, How, Op, Size},
    world::{RECENT, Told, World},
};
use crate::{
    clock::{Clock, Timestamp},
    config::{CacheConfig, DataConfig},
    id::Seq,
    store::{
        Dir, ExpiryCursor, ExportCursor, OpenTurn, PageRange, Passwords, Running, Store, disk::Disk,
        tests::probe::Probe, verify::verify_dir,
    },
};

/// Small, so that a run goes through several.
const SEGMENT: u64 = 128 << 10;
const INDEX_CACHE: u64 = 16 << 20;
/// Keys of the messages that are sent while the directory is copied.
const COPY_KEYS: u8 = 100;

impl Actual {
    pub(super) async fn drop_reads(&self, polls: u8) {
        let store = &self.store;
        for (user, &id) in self.names.users.iter().enumerate() {
            dropped(store.history(id, None, 50, 0), polls).await;
            dropped(store.sessions(id, None, 50), polls).await;
            dropped(store.user(id), polls).await;
            dropped(store.export(id, None::<ExportCursor>, Passwords::Without), polls).await;
            let key = send_key(u8::try_from(user % 3).unwrap(), 0, 0);
            dropped(store.sent_before(id, key), polls).await;
        }
        for &id in &self.names.sessions {
            let range = PageRange { after: Some(Seq::ZERO), before: None, limit: 50 };
            dropped(store.page(id, range), polls).await;
            dropped(store.context(id, Seq(1), 50, usize::MAX), polls).await;
            dropped(store.turn(id, Seq(1)), polls).await;
            dropped(store.log_after(id, Seq::ZERO, 5), polls).await;
        }
    }

    pub(super) async fn compact(&mut self) {
        self.end_logins_that_are_over().await;
        self.store.compact().await.unwrap();
        self.world.compacted();
    }

    pub(super) async fn expire(&mut self) {
        self.end_logins_that_are_over().await;
        let mut cursor = Some(ExpiryCursor::default());
        while let Some(at) = cursor {
            cursor = self.store.remove_expired(at).await.unwrap().1;
        }
        self.world.compacted();
    }

    pub(super) async fn release(&mut self) {
        let now = self.world.now;
        let again = move |attempts| Timestamp(released_at(now, attempts));
        let released = self.store.release_jobs(again).await.unwrap();
        assert!(released >= self.world.release(), "some go on");
        self.learn().await;
    }

    /// What is over may stay or go: it ends here, so that it is known which.
    async fn end_logins_that_are_over(&mut self) {
        for login in 0..self.world.logins.len() {
            let (ended, user) = (&mut self.world.logins[login], self.names.logins[login].0);
            if !ended.ended && ended.expires_at <= self.world.now {
                ended.ended = true;
                let owner = self.names.users[ended.user];
                assert!(self.store.end_token(owner, user).await.unwrap());
            }
        }
    }

    /// What is over may come back with an index that was built anew, for nobody can use it; it ends once more.
    async fn end_logins_again(&self, store: &Store) {
        for (login, (id, _)) in self.world.logins.iter().zip(&self.names.logins) {
            if login.ended && login.over {
                store.end_token(self.names.users[login.user], *id).await.unwrap();
            }
        }
    }

    pub(super) async fn restart(mut self, how: How, cache: u64, resumes: Option<u32>) -> Self {
        if matches!(how, How::CleanAndRebuild | How::CrashAndRebuild) {
            self.store.rebuild_at_next_start().await.unwrap();
        }
        let built = inode(&self.data);
        end(self.store, matches!(how, How::Clean | How::CleanAndRebuild), &self.data).await;
        // A copy that goes on may have messages again that compaction had removed, with stamps that were given anew since.
        if how == How::Clean && self.data.ends_with("data") {
            let dir = Dir { disk: self.disk.clone(), path: self.data.clone() };
            let verdict = verify_dir(&dir, |_, _| ()).unwrap();
            assert_eq!((verdict.findings, verdict.index_to_rebuild), (Vec::new(), None), "what check finds");
        }
        self.disk = born_by(&self.clock, self.dir.path(), self.disk.probe.as_ref());
        let (store, open) = open_on(&self.disk, &self.data, cache, &self.clock);
        if matches!(how, How::Clean | How::Crash) {
            assert_eq!(inode(&self.data), built, "no reason to build the index anew");
        }
        (self.store, self.cache) = (store, cache);
        self.end_logins_again(&self.store).await;
        self.world.forget_jobs();
        self.are_open(&open);
        if let Some(times_max) = resumes {
            let wanted = self.world.resume(times_max);
            let again = self.store.resume(open, times_max).await.unwrap();
            let attempts = again.iter().map(|resumed| (self.number(resumed.turn), resumed.attempt));
            assert_eq!(attempts.collect::<BTreeMap<_, _>>(), wanted);
        }
        self
    }

    /// Wants exactly these turns to be open, those of one session in their order.
    fn are_open(&self, open: &[OpenTurn]) {
        let mut open: Vec<_> = open.iter().map(|turn| self.number(*turn)).collect();
        open.retain(|(session, _)| !self.world.is_adrift(*session));
        open.sort_by_key(|(session, _)| *session); // Stable.
        assert_eq!(open, self.world.open(), "the open turns");
    }

    fn number(&self, turn: OpenTurn) -> (usize, u64) {
        (self.names.sessions.iter().position(|id| *id == turn.session).unwrap(), turn.seq.0)
    }

    /// Copies the directory while messages are under way: the copy has all that was acknowledged before, and of those
    /// the first few. Where it goes on, they are sent to it again.
    pub(super) async fn copy(mut self, sends: u8, goes_on: bool) -> Self {
        let mine = (0..self.world.sessions.len()).find(|&n| self.world.owns(self.world.sessions[n].owner, n));
        let Some(session) = mine else { return self };
        let user = self.world.sessions[session].owner;
        let pick = |all: usize, n: usize| u8::try_from(all - 1 - n).unwrap();
        let picks = (pick(self.world.users.len(), user), pick(self.world.sessions.len(), session));
        if usize::from(picks.1) >= RECENT {
            return self;
        }
        let send = |n: u8| Op::Append {
            user: picks.0,
            session: picks.1,
            create: false,
            key: Some(COPY_KEYS + (self.copies * 7 + n) % 120),
            body: self.copies,
            lasts: 1 << 40,
            size: Size::Long,
            with: With::default(),
        };
        let sends: Vec<Op> = (0..sends).map(send).collect();
        let mut worlds = vec![self.world.clone()];
        let mut waiting = Vec::new();
        for op in &sends {
            let before = self.world.clone();
            let Some(told) = self.world.tell(op, Fate::Awaited) else { return self };
            let mut answer = self.command(op, &before, &told);
            let early = once(answer.as_mut()).await;
            waiting.push((told, answer, early));
            worlds.push(self.world.clone());
        }
        self.copies += 1;
        let copy = self.dir.path().join(format!("copy-{}", self.copies));
        copy_dir(&self.data, &copy);
        for (at, (told, answer, early)) in waiting.into_iter().enumerate() {
            let got = if let Some(got) = early { got } else { answer.await };
            self.is_told(&worlds[at + 1], &sends[at], &told, got);
        }
        self.look_at_copy((&copy, session, goes_on), &worlds, &sends).await
    }

    async fn look_at_copy(
        mut self,
        (copy, session, goes_on): (&Path, usize, bool),
        worlds: &[World],
        sends: &[Op],
    ) -> Self {
        let (store, _) = open_on(&self.disk, copy, self.cache, &self.clock);
        self.end_logins_again(&store).await;
        let head = store.session(self.names.sessions[session]).await.unwrap().expect("it was acknowledged").head.0;
        let has = usize::try_from(head - worlds[0].sessions[session].head()).unwrap();
        self.learn().await;
        look(&store, Sight { world: &worlds[has], names: &self.names }, &mut self.tags, self.round).await;
        if !goes_on {
            end(store, true, copy).await;
            return self;
        }
        end(std::mem::replace(&mut self.store, store), true, &self.data).await;
        self.data = copy.to_owned();
        for (at, op) in sends.iter().enumerate() {
            let Told::Message(number, seq, _) = worlds[at].clone().tell(op, Fate::Awaited).unwrap() else { continue };
            if at >= has {
                self.names.messages.remove(&(number, seq));
            }
            let told = Told::Message(number, seq, at < has);
            let answer = {
                let after = std::mem::replace(&mut self.world, worlds[at + 1].clone());
                let answer = self.command(op, &worlds[at], &told);
                self.world = after;
                answer
            };
            let got = answer.await;
            self.is_told(&worlds[at + 1], op, &told, got);
        }
        self
    }
}

/// A disk on which files are born at the times of `clock`, as those that `before` knows: what compaction rewrote does not pass for
/// a copy then, which would be read by what came with it.
pub(super) fn born_by(clock: &Clock, root: &Path, before: Option<&Arc<Probe>>) -> Disk {
    let births = before.map(|probe| probe.births()).unwrap_or_default();
    Disk { probe: Some(Arc::new(Probe::new(root, clock, births))) }
}

/// A store on a directory, and the turns that it finds open.
pub(super) fn open(data: &Path, cache: u64, clock: &Clock) -> (Arc<Store>, Vec<OpenTurn>) {
    open_on(&Disk::default(), data, cache, clock)
}

/// As [`open`], on a disk.
pub(super) fn open_on(disk: &Disk, data: &Path, cache: u64, clock: &Clock) -> (Arc<Store>, Vec<OpenTurn>) {
    let config = DataConfig {
        dir: data.to_owned(),
        segment: SEGMENT,
        index_cache: INDEX_CACHE,
        min_free: 0,
        ..DataConfig::default()
    };
    let cache = CacheConfig { capacity: cache };
    let (store, open) = Store::open_on(disk.clone(), &config, &cache, clock.clone()).unwrap();
    store.shared.jobs.titles.store(true, Ordering::Relaxed); // And nobody runs jobs but the test.
    (Arc::new(store), open)
}

/// Ends a store: cleanly, or as the end of its process would. Nothing of it holds the index any more afterwards.
pub(super) async fn end(store: Arc<Store>, clean: bool, data: &Path) {
    if clean {
        store.close().await;
    }
    let running = store.running.lock().unwrap().take();
    drop(store);
    if let Some(Running { writer, checkpoints, lock }) = running {
        writer.join().unwrap();
        checkpoints.join().unwrap();
        drop(lock);
    }
    let db = File::open(data.join("index/db")).unwrap();
    while db.try_lock().is_err() {
        std::thread::yield_now();
    }
}

/// Which file the index is in.
fn inode(data: &Path) -> u64 {
    std::fs::metadata(data.join("index/db")).unwrap().ino()
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_dir(&path, &target);
        } else if let Err(error) = std::fs::copy(&path, &target) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{}", path.display()); // A checkpoint's other half.
        }
    }
}

/// Drops a call at this poll.
async fn dropped<F: Future>(call: F, polls: u8) {
    let mut call = Box::pin(call);
    for _ in 0..polls {
        if once(call.as_mut()).await.is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
}
