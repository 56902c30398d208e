//! The real runner on a real store, with kinds of the tests' own beside those of the program.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::mpsc;

use super::*;
use crate::{
    config::{BackupConfig, CacheConfig, DataConfig},
    id::{Seq, SessionId, UserId},
    store::{
        Beside, Ending, Health, JobStateName, NewItem, NewItems, NewMessage, OpenTurn, Repeat, Role, Speaker, Tier,
        User,
    },
};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_mins(1);
const NOW: Timestamp = Timestamp(1_795_900_000_000_000);

fn own(limits: &Live<LimitsConfig>) -> OwnConfig {
    OwnConfig { limits: limits.clone(), alerts: AlertsConfig::default().into() }
}

fn no_backups() -> backup::Backups {
    backup::Backups { config: BackupConfig::default(), data: "nowhere".into(), figures: Arc::default() }
}

/// A store with a runner.
struct Bench {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Arc<Store>,
    jobs: Jobs,
}

fn config(workers: usize) -> JobsConfig {
    JobsConfig { workers, retry_after: Duration::from_millis(1), ..JobsConfig::default() }
}

fn open(dir: &std::path::Path, clock: &Clock) -> Arc<Store> {
    let config = DataConfig { dir: dir.join("data"), min_free: 0, ..DataConfig::default() };
    Arc::new(Store::open(&config, &CacheConfig::default(), clock.clone()).unwrap().0)
}

impl Bench {
    fn new(clock: Clock, workers: usize, kinds: impl FnOnce(&Arc<Store>) -> Vec<Kind>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path(), &clock);
        let jobs = Jobs::start(Arc::clone(&store), clock.clone(), config(workers), kinds(&store));
        Self { dir, clock, store, jobs }
    }

    async fn enqueue(&self, kind: &str, key: &str, payload: &str) -> JobId {
        let (kind, key, payload) = (kind.to_owned(), key.to_owned(), payload.to_owned());
        let due = self.clock.now();
        let job = NewJob { kind, key, user: None, payload, due, repeat: Repeat::Again };
        self.jobs.enqueue(job).await.unwrap().id
    }

    /// Waits until the figures are so.
    async fn until(&self, what: &str, is_so: impl Fn(&Figures) -> bool) -> Figures {
        let began = std::time::Instant::now();
        loop {
            let figures = self.jobs.figures();
            if is_so(&figures) {
                return figures;
            }
            assert!(began.elapsed() < PATIENCE, "it never came: {what}; {figures:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn runs(&self, kind: &str, outcome: JobOutcome, count: u64) {
        self.until(&format!("{kind} {outcome:?}"), |figures| counted(figures, kind, outcome) >= count).await;
    }
}

fn counted(figures: &Figures, kind: &str, outcome: JobOutcome) -> u64 {
    figures.runs.iter().find(|runs| runs.kind == kind && runs.outcome == outcome).map_or(0, |runs| runs.count)
}

/// A kind that says each payload that it is given, and does what `work` says.
fn kind(
    name: &'static str,
    lease: Duration,
    said: &mpsc::UnboundedSender<String>,
    work: impl Fn(String) -> Work + Send + Sync + 'static,
) -> Kind {
    let said = said.clone();
    let run = move |job: &Job| {
        let _ = said.send(job.payload.clone());
        work(job.payload.clone())
    };
    Kind { name, lease, is_long: false, every: None, at_once: false, makes_room: false, run: Box::new(run) }
}

/// Waits until `payload` was said.
async fn hear(heard: &mut mpsc::UnboundedReceiver<String>, payload: &str) {
    let until = async { while heard.recv().await.expect("the kinds live as long as this") != payload {} };
    tokio::time::timeout(PATIENCE, until).await.expect("it never ran");
}

fn done() -> Work {
    Box::pin(async { Ok(JobEffect::Nothing) })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_that_panic_hang_or_block_leave_the_others_running() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let short = Duration::from_millis(50);
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let bench = Bench::new(Clock::System, 2, |_| {
        let blocks = move |_| {
            let blocked = Arc::clone(&blocked);
            let work: Work = Box::pin(async move {
                let _ = blocked.lock().unwrap().recv(); // No await: nothing can end this.
                Ok(JobEffect::Nothing)
            });
            work
        };
        vec![
            kind("panics", PATIENCE, &said, |_| Box::pin(async { panic!("on purpose") })),
            kind("panics early", PATIENCE, &said, |_| panic!("on purpose")),
            kind("hangs", short, &said, |_| Box::pin(std::future::pending())),
            kind("blocks", short, &said, blocks),
            kind("works", PATIENCE, &said, |_| done()),
        ]
    });
    for (kind, failures) in [("panics", 4), ("panics early", 4), ("hangs", 4)] {
        bench.enqueue(kind, kind, "").await;
        bench.runs(kind, JobOutcome::Failed, failures).await;
        bench.runs(kind, JobOutcome::Parked, 1).await;
    }
    let parked = bench.store.jobs(JobStateName::Parked, None, 10).await.unwrap();
    let why: Vec<_> = parked.iter().map(|job| job.last_error.as_deref().unwrap()).collect();
    assert_eq!(why, ["it panicked", "it panicked", "it took longer than 0.05 s"]);
    // Four that can't be ended, in two places: the places are free all the same, and none is tried again beside itself, also
    // under another id.
    let mut blocks = Vec::new();
    for n in 0..4 {
        blocks.push(bench.enqueue("blocks", &format!("blocks {n}"), "").await);
    }
    bench.until("four abandoned", |figures| figures.abandoned == 4).await;
    bench.runs("blocks", JobOutcome::Failed, 4).await;
    bench.store.remove_job(blocks[0]).await.unwrap();
    bench.enqueue("blocks", "blocks 0", "").await;
    for n in 0..3 {
        bench.enqueue("works", &format!("works {n}"), "still here").await;
        hear(&mut heard, "still here").await;
        bench.runs("works", JobOutcome::Done, n + 1).await;
    }
    let queued = bench.store.jobs(JobStateName::Queued, None, 10).await.unwrap();
    let mut tries: Vec<_> = queued.iter().filter(|job| job.kind == "blocks").map(|job| job.attempts).collect();
    tries.sort_unstable();
    assert_eq!((tries, bench.jobs.figures().abandoned), (vec![0, 1, 1, 1], 4));
    drop(release);
    bench.until("none abandoned", |figures| figures.abandoned == 0).await;
    bench.runs("blocks", JobOutcome::Done, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_the_pool_run_at_once_and_long_ones_leave_a_place() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let at_once = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let (counted, gate) = (Arc::clone(&at_once), Arc::new(tokio::sync::Semaphore::new(0)));
    let opened = Arc::clone(&gate);
    let bench = Bench::new(Clock::System, 3, |_| {
        let waits = move |_| {
            let (counted, gate) = (Arc::clone(&counted), Arc::clone(&gate));
            let work: Work = Box::pin(async move {
                let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
                counted.1.fetch_max(now, Ordering::SeqCst);
                gate.acquire().await.unwrap().forget();
                counted.0.fetch_sub(1, Ordering::SeqCst);
                Ok(JobEffect::Nothing)
            });
            work
        };
        let long = Kind { is_long: true, ..kind("long", PATIENCE, &said, waits.clone()) };
        vec![long, kind("short", PATIENCE, &said, waits)]
    });
    for n in 0..6 {
        bench.enqueue("long", &format!("long {n}"), "long").await;
    }
    bench.until("two run", |figures| figures.jobs.running == 2).await;
    bench.enqueue("short", "short", "short").await;
    hear(&mut heard, "short").await;
    assert_eq!(bench.until("three run", |figures| figures.jobs.running == 3).await.jobs.queued, 4);
    bench.until("three are at it", |_| at_once.1.load(Ordering::SeqCst) == 3).await;
    opened.add_permits(100);
    bench.runs("long", JobOutcome::Done, 6).await;
    bench.runs("short", JobOutcome::Done, 1).await;
    assert_eq!(at_once.1.load(Ordering::SeqCst), 3);
    let ended = bench.jobs.ended();
    assert_eq!((ended.len(), ended.iter().filter(|job| job.kind == "long").count()), (7, 6));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_this_program_knows_nothing_of_is_parked_and_runs_under_one_that_does() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let Bench { dir, clock, store, jobs } = Bench::new(Clock::System, 2, |_| Vec::new());
    let bench = Bench { dir, clock, store, jobs };
    let id = bench.enqueue("of another version", "key", "payload").await;
    bench.until("it is parked", |figures| figures.jobs.parked == 1).await;
    let parked = bench.store.jobs(JobStateName::Parked, None, 10).await.unwrap();
    assert_eq!(parked[0].last_error.as_deref(), Some("this program has no such kind of job"));
    bench.jobs.halt().await;
    bench.store.close().await;
    let store = open(bench.dir.path(), &bench.clock);
    let kinds = vec![kind("of another version", PATIENCE, &said, |_| done())];
    let jobs = Jobs::start(Arc::clone(&store), Clock::System, config(2), kinds);
    let bench = Bench { store, jobs, ..bench };
    bench.store.retry_job(id).await.unwrap();
    hear(&mut heard, "payload").await;
    bench.runs("of another version", JobOutcome::Done, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_gives_back_what_still_runs_and_the_next_start_runs_it_again() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let hangs = |said: &_| vec![kind("hangs", PATIENCE, said, |_| Box::pin(std::future::pending()))];
    let mut bench = Bench::new(Clock::System, 2, |_| hangs(&said));
    let id = bench.enqueue("hangs", "one", "here").await;
    for _ in 0..8 {
        hear(&mut heard, "here").await;
        bench.jobs.halt().await;
        assert_eq!(bench.jobs.figures().jobs.running, 0);
        assert_eq!(counted(&bench.jobs.figures(), "hangs", JobOutcome::GivenBack), 1);
        bench.store.close().await;
        let store = open(bench.dir.path(), &bench.clock);
        let queued = store.jobs(JobStateName::Queued, None, 10).await.unwrap();
        assert_eq!(queued.iter().map(|job| (job.id, job.attempts)).collect::<Vec<_>>(), [(id, 0)], "it is no failure");
        let jobs = Jobs::start(Arc::clone(&store), Clock::System, config(2), hangs(&said));
        bench = Bench { store, jobs, ..bench };
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recurring_kind_runs_when_its_time_comes_and_is_enqueued_by_its_own_end() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let every = Duration::from_hours(1);
    let bench = Bench::new(Clock::manual(NOW), 2, |_| {
        vec![
            Kind { every: Some(every), ..kind("often", PATIENCE, &said, |_| done()) },
            kind("poke", PATIENCE, &said, |_| done()),
        ]
    });
    bench.until("it waits", |figures| figures.jobs.queued == 1).await;
    for round in 1..4 {
        bench.clock.advance(every);
        bench.enqueue("poke", "poke", "").await; // A clock that a test moves wakes nobody.
        bench.runs("often", JobOutcome::Done, round).await;
        bench.runs("poke", JobOutcome::Done, round).await;
        let queued = bench.store.jobs(JobStateName::Queued, None, 10).await.unwrap();
        let due: Vec<_> = queued.iter().map(|job| job.due).collect();
        assert_eq!(due, [bench.clock.now().after(every)], "once, whatever happened");
    }
    drop(bench);
    while heard.try_recv().is_ok() {}
}

async fn add_user(store: &Store, tier: Tier) -> UserId {
    let id = UserId::new();
    let user = User {
        id,
        username: id.to_string(),
        folded: id.to_string(),
        display_name: String::new(),
        role: Role::User,
        tier,
        password: String::new(),
        disabled: false,
        created_at: NOW,
    };
    store.create_user(user, None).await.unwrap();
    id
}

async fn say(store: &Store, user: UserId, session: SessionId, content: &str) -> OpenTurn {
    let message =
        NewMessage { user, session, create: true, content: content.to_owned(), key: None, beside: Beside::default() };
    let seq = store.append(message).unwrap().await.unwrap().message.seq;
    OpenTurn { session, seq }
}

fn reply(content: &str) -> Ending {
    Ending::Reply { content: content.to_owned(), stopped: false }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_turn_that_ends_gives_its_session_a_title_once() {
    let limits = Live::from(LimitsConfig::default());
    let bench = Bench::new(Clock::System, 2, |store| kinds(store, &Clock::System, own(&limits), no_backups()));
    let (store, session) = (&bench.store, SessionId::new());
    // The runner says that it gives titles before it is there.
    let user = add_user(store, Tier::Free).await;
    let mut subscription = store.subscribe(user);
    let turn = say(
        store,
        user,
        session,
        "  My grandmother's garden,\nwhere I spent every summer of my childhood, is for sale",
    )
    .await;
    store.conclude(turn, Ending::Failed { detail: "no".to_owned(), too_slow: false }, None).await.unwrap();
    bench.runs("titles", JobOutcome::Done, 1).await;
    let title = || async { store.sessions(user, None, 1).await.unwrap()[0].title.clone() };
    assert_eq!(title().await.as_deref(), Some("My grandmother's garden, where I spent every summer of my…"));
    let renamed = loop {
        let heard = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("streams hear of it");
        if format!("{heard:?}").contains("Renamed") {
            break true;
        }
    };
    assert!(renamed);
    let next = say(store, user, session, "second").await;
    store.conclude(next, reply("reply"), None).await.unwrap();
    assert_eq!(bench.jobs.figures().jobs.queued, 2, "the recurring ones");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_program_put_before_the_first_turn_does_not_keep_the_title_away() {
    let limits = Live::from(LimitsConfig::default());
    let bench = Bench::new(Clock::System, 2, |store| kinds(store, &Clock::System, own(&limits), no_backups()));
    let store = &bench.store;
    let user = add_user(store, Tier::Free).await;
    let item = |role, content: &str| NewItem { role, content: content.to_owned() };
    for (n, said, wanted) in [
        (1, vec![item(Speaker::Developer, "Be kind.")], "the question"),
        (2, vec![item(Speaker::System, "Be kind."), item(Speaker::User, "said before")], "said before"),
    ] {
        let (session, about) = (SessionId::new(), None);
        let items = NewItems { user, session, create: true, about, items: said, key: None, renews_key: false };
        store.add_items(items).await.unwrap();
        let turn = say(store, user, session, "the question").await;
        store.conclude(turn, reply("the reply"), None).await.unwrap();
        bench.runs("titles", JobOutcome::Done, n).await;
        let title = store.session(session).await.unwrap().unwrap().title;
        assert_eq!(title.as_deref(), Some(wanted));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_its_tier_keeps_is_cleared_and_nothing_else() {
    let clock = Clock::manual(NOW);
    let mut limits = LimitsConfig::default();
    (limits.free.retention_days, limits.premium.retention_days) = (30, 365);
    let limits = Live::from(limits);
    let bench = Bench::new(clock.clone(), 2, |store| kinds(store, &clock, own(&limits), no_backups()));
    let store = &bench.store;
    let mut sessions = Vec::new();
    for tier in [Tier::Free, Tier::Premium, Tier::Unlimited] {
        let (user, session) = (add_user(store, tier).await, SessionId::new());
        for n in 0..450 {
            let turn = say(store, user, session, &format!("old {n}")).await;
            store.conclude(turn, reply("old reply"), None).await.unwrap();
        }
        sessions.push((user, session));
    }
    clock.advance(Duration::from_hours(40 * 24));
    for (user, session) in &sessions {
        let turn = say(store, *user, *session, "new").await;
        store.conclude(turn, reply("new reply"), None).await.unwrap();
        say(store, *user, *session, "open").await;
    }
    let retention = NewJob {
        kind: "retention".to_owned(),
        key: "retention".to_owned(),
        user: None,
        payload: String::new(),
        due: clock.now(),
        repeat: Repeat::Recurring,
    };
    store.enqueue(retention).await.unwrap();
    bench.runs("retention", JobOutcome::Done, 1).await;
    for ((user, session), kept) in sessions.iter().zip([3, 903, 903]) {
        let (_, head) = store.log_after(*session, Seq::ZERO, 1).await.unwrap();
        let first = 904 - kept;
        let (messages, _) = store.log_after(*session, Seq(first - 1), 1).await.unwrap();
        assert_eq!((messages[0].seq, head), (Seq(first), Seq(903)));
        let (older, _) = store.log_after(*session, Seq::ZERO, 1).await.unwrap();
        assert_eq!(older[0].seq, Seq(first), "nothing before it is shown");
        let open = OpenTurn { session: *session, seq: Seq(903) };
        assert_eq!(store.conclude(open, reply("last"), None).await.unwrap().unwrap().seq, Seq(904));
        assert_eq!(store.health(), Health::Ready, "of {user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_leaves_the_index_by_a_job() {
    let clock = Clock::manual(NOW);
    let limits = Live::from(LimitsConfig::default());
    let bench = Bench::new(clock.clone(), 2, |store| kinds(store, &clock, own(&limits), no_backups()));
    for n in 0..3 {
        let digest = crate::store::TokenDigest([n; 32]);
        bench.store.create_invitation(digest, clock.now().after(Duration::from_mins(u64::from(n)))).await.unwrap();
    }
    bench.until("what recurs is there", |figures| figures.jobs.queued == 2).await;
    clock.advance(Duration::from_hours(1));
    bench.enqueue("poke", "poke", "").await; // A clock that a test moves wakes nobody.
    bench.runs("expiry", JobOutcome::Done, 1).await;
    let (removed, next) = bench.store.remove_expired(crate::store::ExpiryCursor::default()).await.unwrap();
    assert_eq!(removed, 0, "nothing was left");
    assert!(next.is_some());
}
