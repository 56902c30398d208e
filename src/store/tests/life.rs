//! A store's life by a script, with a model beside it: what it may hold now, given all that it has said.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
    time::{Duration, Instant},
};

use super::{
    super::{verify::verify_dir, *},
    model::{Answer, Deed, World},
    probe::{Area, Event, Fault, Kind, OnSync, Probe},
};

/// Small, so that a life has many segments; a message of 64 KiB gets a longer one.
const SEGMENT: u64 = 8 << 10;
/// A life ends when so much is in doubt: every doubt doubles what may be.
const DOUBTS_MAX: usize = 4;
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// A step of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Do(Deed),
    /// Enough was written for a checkpoint: waits for it.
    Checkpoint,
    Compact,
    /// A clean stop, and a start.
    Stop,
    /// No stop: what is open is closed, and started again.
    Kill,
}

pub(crate) struct Life {
    pub(crate) root: tempfile::TempDir,
    pub(crate) probe: Arc<Probe>,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
    store: Option<Arc<Store>>,
    /// What the store may hold.
    pub(crate) worlds: Vec<World>,
    /// What it may have held after each deed.
    pub(crate) history: Vec<Vec<World>>,
    /// Whose each idempotency key is.
    pub(crate) keys: Vec<(u8, u8)>,
    doubts: usize,
    checkpoints: usize,
    /// Since when this store has had a sync fail: it says yes to nothing more.
    broken: bool,
}

/// A directory in memory where there is one, because this is about order and not about speed.
pub(crate) fn place() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

impl Life {
    pub(crate) fn new(steps: &[Step]) -> Self {
        Self::on(place(), HashMap::new(), Timestamp(1_800_000_000_000_000), steps)
    }

    /// A life that goes on with the files below `root`, which were born as said.
    pub(crate) fn on(
        root: tempfile::TempDir,
        births: HashMap<std::path::PathBuf, Timestamp>,
        now: Timestamp,
        steps: &[Step],
    ) -> Self {
        let clock = Clock::manual(now);
        let probe = Arc::new(Probe::new(root.path(), &clock, births));
        let key = |step: &Step| match step {
            Step::Do(Deed::Send(_, user, _, _, Some(key))) => Some((*key, *user)),
            Step::Do(_) | Step::Checkpoint | Step::Compact | Step::Stop | Step::Kill => None,
        };
        Self {
            root,
            probe,
            clock,
            runtime: tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap(),
            store: None,
            worlds: vec![World::default()],
            history: vec![vec![World::default()]],
            keys: steps.iter().filter_map(key).collect(),
            doubts: 0,
            checkpoints: 0,
            broken: false,
        }
    }

    pub(crate) fn with_fault(mut self, fault: Fault) -> Self {
        self.probe = Arc::new(Probe::new(self.root.path(), &self.clock, HashMap::new()).with_fault(fault));
        self
    }

    pub(crate) fn with_on_sync(mut self, on_sync: OnSync) -> Self {
        self.probe = Arc::new(Probe::new(self.root.path(), &self.clock, HashMap::new()).with_on_sync(on_sync));
        self
    }

    /// The store, to look at it from elsewhere.
    pub(crate) fn watched(&self) -> Option<Arc<Store>> {
        self.store.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn disk(&self) -> Disk {
        Disk { probe: Some(Arc::clone(&self.probe)) }
    }

    /// Opens the store, and compares the turns that it finds open.
    pub(crate) fn open(&mut self) -> Result<(), OpenError> {
        let dir = self.root.path().join("data");
        let config = DataConfig {
            dir,
            index_cache: 1 << 20,
            segment: SEGMENT,
            min_free: 0,
            keep_replaced: Duration::ZERO,
            ..DataConfig::default()
        };
        self.checkpoints = self.probe.count(Kind::Write, Area::Index);
        let capacity = 1 << 20;
        let (store, open) = Store::open_on(self.disk(), &config, &CacheConfig { capacity }, self.clock.clone())?;
        let open: BTreeSet<OpenTurn> = open.into_iter().collect();
        let before = self.worlds.clone();
        // A deleted account's sessions are hidden before their turns are forgotten.
        self.worlds.retain(|world| world.open_turns().is_subset(&open));
        assert!(!self.worlds.is_empty(), "open turns {open:?} in {before:#?}");
        self.store = Some(Arc::new(store));
        self.broken = false;
        Ok(())
    }

    /// Goes through `steps`; stops early where the store can't be opened, or too much is in doubt.
    pub(crate) fn run(&mut self, steps: &[Step]) {
        if self.store.is_none() && self.open().is_err() && self.open().is_err() {
            return;
        }
        for step in steps {
            match step {
                Step::Do(deed) => self.act(deed),
                Step::Checkpoint => self.wait_for_checkpoint(),
                Step::Compact => self.compact(),
                Step::Stop | Step::Kill => {
                    if *step == Step::Stop {
                        self.stop();
                    } else {
                        self.kill();
                    }
                    // What fails once is tried once more.
                    if self.open().is_err() && self.open().is_err() {
                        return;
                    }
                }
            }
            if self.doubts > DOUBTS_MAX {
                return;
            }
        }
    }

    pub(crate) fn act(&mut self, deed: &Deed) {
        let Some(store) = self.store.clone() else { return };
        self.clock.advance(Duration::from_secs(1));
        let number = self.history.len();
        self.probe.note(Event::Began(number));
        let answer = self.runtime.block_on(deed.ask(&store));
        if let Answer::Done(_) = answer {
            self.probe.note(Event::Done(number));
        }
        let sync_failed =
            self.probe.happened().is_some_and(|fault| (fault.kind, fault.area) == (Kind::SyncData, Area::Journal));
        assert!(!(self.broken && matches!(answer, Answer::Done(_))), "{deed:?} was acknowledged after a failed sync");
        if sync_failed && store.health() == Health::Failed {
            self.broken = true;
        }
        self.doubts += usize::from(answer == Answer::Unknown);
        let before = std::mem::take(&mut self.worlds);
        for world in &before {
            let mut after = world.clone();
            let followed = after.follow(deed);
            match answer {
                Answer::Done(seq) if followed == Some(seq) => self.worlds.push(after),
                Answer::Refused if followed.is_none() => self.worlds.push(world.clone()),
                Answer::NotStored => self.worlds.push(world.clone()),
                Answer::Unknown => self.worlds.extend([world.clone(), after]),
                Answer::Done(_) | Answer::Refused => {}
            }
        }
        self.worlds.dedup();
        assert!(!self.worlds.is_empty(), "{deed:?} came to {answer:?} in {before:#?}");
        self.history.push(self.worlds.clone());
        if deed.removes() {
            let index = &store.shared.index;
            wait_until(|| !index.has_removals() || self.probe.happened().is_some());
        }
    }

    fn wait_for_checkpoint(&mut self) {
        let Some(store) = &self.store else { return };
        let due = self.checkpoints + 2; // The start wrote one.
        wait_until(|| {
            self.probe.count(Kind::Write, Area::Index) >= due
                || self.probe.happened().is_some()
                || store.health() == Health::Failed
        });
    }

    fn compact(&mut self) {
        let Some(store) = self.store.clone() else { return };
        for _ in 0..2 {
            // The second one begins when the first has removed what it replaced.
            let compacted = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, store.compact()).await });
            assert!(compacted.is_ok(), "compaction waits for something that never comes");
        }
    }

    pub(crate) fn stop(&mut self) {
        if let Some(store) = &self.store {
            self.runtime.block_on(store.close());
        }
        self.kill();
    }

    /// Lets go of everything; returns when the last thread has ended.
    pub(crate) fn kill(&mut self) {
        let Some(store) = self.store.take() else { return };
        let shared = Arc::downgrade(&store.shared);
        let running = store.running.lock().unwrap().take();
        wait_until(|| Arc::strong_count(&store) == 1);
        drop(store);
        if let Some(Running { writer, checkpoints, lock }) = running {
            assert!(writer.join().is_ok() && checkpoints.join().is_ok(), "a thread panicked");
            drop(lock);
        }
        wait_until(|| shared.strong_count() == 0);
    }

    /// What readers see now.
    pub(crate) fn seen(&self) -> World {
        let store = self.store.as_ref().unwrap();
        self.runtime.block_on(World::seen_in(store, &self.keys)).shown()
    }

    /// Wants what readers see to be what the store may hold; gives it.
    pub(crate) fn compare(&mut self) -> World {
        let seen = self.seen();
        self.worlds.retain(|world| world.clone().shown() == seen);
        assert!(!self.worlds.is_empty(), "the store shows {seen:#?}");
        seen
    }

    /// Wants a check of the closed directory to find nothing.
    pub(crate) fn verify(&self) {
        let dir = Dir { disk: self.disk(), path: self.root.path().join("data") };
        let verdict = verify_dir(&dir, |_, _| ()).unwrap();
        assert_eq!(verdict.findings, []);
    }
}

#[track_caller]
fn wait_until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "it never came");
        std::thread::yield_now();
    }
}

/// What a program does in a conversation, up to the middle of a reply.
fn beside_turns() -> [Deed; 5] {
    [
        Deed::Item(13, 1, "be brief"),
        Deed::Note(13, 1, 0, "about"),
        Deed::Send(13, 1, "question", 0, None),
        Deed::Piece(13, 2, 0, "be"),
        Deed::Piece(13, 2, 2, "gun"),
    ]
}

/// A life with everything in it that changes files.
pub(crate) fn script() -> Vec<Step> {
    use Deed::{
        Clear, DeleteSession, DeleteUser, EndJob, EndToken, Erase, Fail, FailJob, Item, Job, Note, NotedReply, Rename,
        Reply, Retry, Role, Send, Session, TakeJob, Token, User,
    };
    const LARGE: usize = 64 << 10;
    let first =
        [User(1), User(2), Token(1, 1), Token(2, 2), Session(11, 1), Session(12, 1), Session(13, 1), Session(21, 2)];
    let talk = [
        Send(11, 1, "one", 0, Some(1)),
        Job(1, 1),
        Reply(11, 1, "reply to one"),
        TakeJob(1),
        Send(11, 1, "three", LARGE, None),
        Fail(11, 3),
        Retry(11, 3, "reply to three at last"),
        Retry(11, 1, "another reply to one"),
        Send(21, 2, "of another", 3000, Some(2)),
        FailJob(1),
        Job(1, 1),
        Job(2, 2),
        TakeJob(1),
        Rename(12, 1, "renamed"),
        Send(12, 1, "waits", 0, None),
        Send(12, 1, "is large", LARGE, None),
        Reply(12, 2, "reply behind another message"),
        Send(21, 2, "large too", LARGE, None),
        Send(21, 2, "and large", LARGE, None),
    ];
    let deletions = [
        NotedReply(13, 2, "begun and ended", "ended"),
        Item(21, 2, "a secret"),
        Erase(21, 2, 4),
        EndJob(1, 11, 1, "a title"),
        Clear(1),
        Send(11, 1, "after clearing", 0, None),
        DeleteSession(12, 1),
        EndToken(2, 2),
        Role(1),
    ];
    let more = [
        Send(11, 1, "one", 0, Some(1)),
        Send(21, 2, "of another", 0, Some(2)),
        Send(11, 1, "before the end", 2000, Some(3)),
        DeleteUser(2),
        User(3),
        Session(31, 3),
    ];
    let last = [
        Job(3, 3),
        TakeJob(3),
        Send(31, 3, "last words", 100, None),
        EndJob(3, 31, 3, "last title"),
        Reply(31, 1, "last reply"),
        Note(31, 3, 1, "last note"),
        Erase(31, 3, 2),
    ];
    let deeds = |deeds: &[Deed]| deeds.iter().cloned().map(Step::Do).collect::<Vec<_>>();
    let mut steps = deeds(&first);
    steps.push(Step::Kill);
    steps.extend(deeds(&talk));
    steps.extend(deeds(&beside_turns()));
    steps.extend([Step::Checkpoint, Step::Kill]);
    steps.extend(deeds(&deletions));
    steps.extend([Step::Compact, Step::Stop]);
    steps.extend(deeds(&more));
    steps.extend([Step::Compact, Step::Kill]);
    steps.extend(deeds(&last));
    steps.push(Step::Stop);
    steps
}
