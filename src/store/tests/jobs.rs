//! The durable queue: one job for a key, one taker, effects in the frame of the end, and what a restart finds.

use std::{collections::HashSet, time::Duration};

use super::{super::*, held::Held, user};
use crate::id::{JobId, Seq};

const START: Timestamp = Timestamp(1_795_900_000_000_000);
const LEASE: Duration = Duration::from_mins(1);

/// A store that can be closed and opened again, and a clock to move.
struct Bench {
    dir: tempfile::TempDir,
    clock: Clock,
    store: Held,
}

impl Bench {
    fn new() -> Self {
        Self::by(Clock::manual(START))
    }

    /// By the machine's clock, segments that compaction wrote are what the next start reads; by another they pass for those of a copy.
    fn by(clock: Clock) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Held::new(open(dir.path(), &clock));
        Self { dir, clock, store }
    }

    /// Closes and opens it, with a new index where that is asked for.
    async fn again(&mut self, rebuild: bool) {
        self.store.again(&self.dir.path().join("data"), rebuild, || open(self.dir.path(), &self.clock)).await;
    }

    async fn list(&self, state: JobStateName) -> Vec<Job> {
        self.store.jobs(state, None, 1000).await.unwrap()
    }

    /// Tries the job until it is parked.
    async fn park(&self, id: JobId, next: Option<Timestamp>) {
        for attempt in 1..=5 {
            let taken = self.store.take_job(id, LEASE).await.unwrap();
            assert_eq!(taken.job.attempts, attempt);
            let again = self.clock.now();
            let parked = self.store.fail_job(&taken, format!("try {attempt}"), again, next).await.unwrap();
            assert_eq!(parked, attempt == 5);
        }
    }
}

fn open(dir: &std::path::Path, clock: &Clock) -> Store {
    let config = DataConfig {
        dir: dir.join("data"),
        segment: 16 << 10,
        min_free: 0,
        keep_replaced: Duration::ZERO,
        ..DataConfig::default()
    };
    Store::open(&config, &CacheConfig::default(), clock.clone()).unwrap().0
}

fn job(key: &str, repeat: Repeat) -> NewJob {
    let (kind, key) = ("test".to_owned(), key.to_owned());
    NewJob { kind, key, user: None, payload: "{}".to_owned(), due: START, repeat }
}

fn refused(error: &StoreError, wanted: JobError) {
    assert!(matches!(error, StoreError::Job(found) if *found == wanted), "{error}");
}

/// Each is given to the writer by its first poll: all of them before any answer is waited for.
async fn a_hundred_at_once(store: &Store) -> Vec<Enqueued> {
    let mut tasks: Vec<_> = (0..100).map(|_| Box::pin(store.enqueue(job("one", Repeat::Once)))).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        tasks.retain_mut(|task| match task.as_mut().poll(cx) {
            Poll::Ready(answer) => {
                done.push(answer.unwrap());
                false
            }
            Poll::Pending => true,
        });
        if tasks.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

#[tokio::test]
async fn a_key_that_is_enqueued_a_hundred_times_at_once_is_one_job() {
    let mut bench = Bench::new();
    let done = a_hundred_at_once(&bench.store).await;
    assert_eq!(done.iter().filter(|enqueued| enqueued.is_new).count(), 1);
    assert_eq!(done.iter().map(|enqueued| enqueued.id).collect::<HashSet<_>>().len(), 1);
    bench.again(true).await;
    assert_eq!(bench.store.job_counts(), JobCounts { queued: 1, running: 0, parked: 0 });
    let taken = bench.store.take_job(done[0].id, LEASE).await.unwrap();
    bench.store.finish_job(&taken, JobEffect::Nothing, None).await.unwrap();
    bench.again(true).await;
    let late = bench.store.enqueue(job("one", Repeat::Once)).await.unwrap();
    assert_eq!((late.id, late.is_new), (done[0].id, false), "its end is remembered, by a new index too");
    bench.clock.advance(Duration::from_hours(25));
    assert!(bench.store.enqueue(job("one", Repeat::Once)).await.unwrap().is_new, "for a day");
}

#[tokio::test]
async fn a_job_is_taken_by_one_when_it_is_due_and_an_old_try_can_not_end_it() {
    let bench = Bench::new();
    let later = NewJob { due: START.after(LEASE), ..job("later", Repeat::Again) };
    let id = bench.store.enqueue(later).await.unwrap().id;
    refused(&bench.store.take_job(id, LEASE).await.unwrap_err(), JobError::NotTaken);
    assert_eq!(bench.list(JobStateName::Queued).await[0].due, START.after(LEASE));
    bench.clock.advance(LEASE);
    let first = bench.store.take_job(id, LEASE).await.unwrap();
    refused(&bench.store.take_job(id, LEASE).await.unwrap_err(), JobError::NotTaken);
    refused(&bench.store.remove_job(id).await.unwrap_err(), JobError::Running);
    refused(&bench.store.retry_job(id).await.unwrap_err(), JobError::NotParked);
    bench.store.fail_job(&first, "once".to_owned(), bench.clock.now(), None).await.unwrap();
    let second = bench.store.take_job(id, LEASE).await.unwrap();
    let late = bench.store.finish_job(&first, JobEffect::Nothing, None).await.unwrap_err();
    refused(&late, JobError::NotTaken);
    bench.store.finish_job(&second, JobEffect::Nothing, None).await.unwrap();
    assert_eq!(bench.store.job_counts(), JobCounts::default());
    assert!(bench.store.enqueue(job("later", Repeat::Again)).await.unwrap().is_new, "its key is free");
}

#[tokio::test]
async fn five_failures_park_a_job_with_its_reason_and_it_can_be_retried_and_removed() {
    let mut bench = Bench::new();
    let id = bench.store.enqueue(job("parks", Repeat::Once)).await.unwrap().id;
    bench.park(id, None).await;
    bench.again(true).await;
    let parked = bench.list(JobStateName::Parked).await;
    assert_eq!((parked[0].id, parked[0].last_error.as_deref()), (id, Some("try 5")));
    assert!(!bench.store.enqueue(job("parks", Repeat::Once)).await.unwrap().is_new, "one job ever");
    refused(&bench.store.take_job(id, LEASE).await.unwrap_err(), JobError::NotTaken);
    bench.store.retry_job(id).await.unwrap();
    bench.park(id, None).await;
    bench.store.remove_job(id).await.unwrap();
    refused(&bench.store.remove_job(id).await.unwrap_err(), JobError::Missing);
    bench.again(false).await;
    assert_eq!(bench.store.job_counts(), JobCounts::default());
}

#[tokio::test]
async fn a_recurring_job_is_always_there_once_and_its_failed_times_are_parked_beside_it() {
    let mut bench = Bench::new();
    let id = bench.store.enqueue(job("often", Repeat::Recurring)).await.unwrap().id;
    refused(&bench.store.remove_job(id).await.unwrap_err(), JobError::Recurring);
    let hour = Duration::from_hours(1);
    for round in 1..4 {
        let taken = bench.store.take_job(id, LEASE).await.unwrap();
        let next = bench.clock.now().after(hour);
        bench.store.finish_job(&taken, JobEffect::Nothing, Some(next)).await.unwrap();
        bench.again(round == 2).await;
        assert_eq!(bench.list(JobStateName::Queued).await.iter().map(|job| job.due).collect::<Vec<_>>(), [next]);
        bench.clock.advance(hour);
    }
    let next = bench.clock.now().after(hour);
    bench.park(id, Some(next)).await;
    bench.again(true).await;
    let (queued, parked) = (bench.list(JobStateName::Queued).await, bench.list(JobStateName::Parked).await);
    assert_eq!(queued.iter().map(|job| (job.id, job.due, job.attempts)).collect::<Vec<_>>(), [(id, next, 0)]);
    assert_eq!((parked.len(), parked[0].last_error.as_deref()), (1, Some("try 5")));
    let sooner = NewJob { due: bench.clock.now(), ..job("often", Repeat::Recurring) };
    assert!(!bench.store.enqueue(sooner).await.unwrap().is_new);
    assert_eq!(bench.list(JobStateName::Queued).await[0].due, bench.clock.now(), "another schedule holds at once");
    // That time is run once more, and no more often.
    let again = bench.store.retry_job(parked[0].id).await.unwrap();
    let taken = bench.store.take_job(again.id, LEASE).await.unwrap();
    bench.store.finish_job(&taken, JobEffect::Nothing, Some(next)).await.unwrap();
    assert_eq!(bench.store.job_counts(), JobCounts { queued: 1, running: 0, parked: 0 });
}

#[tokio::test]
async fn a_job_that_ends_the_process_each_time_is_parked_after_the_fifth() {
    let mut bench = Bench::new();
    let id = bench.store.enqueue(job("deadly", Repeat::Again)).await.unwrap().id;
    for attempt in 1..=5 {
        assert_eq!(bench.store.take_job(id, LEASE).await.unwrap().job.attempts, attempt);
        bench.again(attempt == 3).await;
        assert_eq!(bench.store.job_counts().running, 1, "it was taken for good before it ran");
        assert_eq!(bench.store.release_jobs(|_| START).await.unwrap(), 1);
    }
    let parked = bench.list(JobStateName::Parked).await;
    assert_eq!(parked[0].last_error.as_deref(), Some("the server ended while it ran"));
    assert_eq!(bench.store.job_counts(), JobCounts { queued: 0, running: 0, parked: 1 });
}

#[tokio::test]
async fn compaction_brings_no_ended_job_back_and_loses_none_that_waits() {
    let mut bench = Bench::by(Clock::System);
    for n in 0..200 {
        let id = bench
            .store
            .enqueue(NewJob { due: Timestamp(0), ..job(&format!("ends {n}"), Repeat::Again) })
            .await
            .unwrap()
            .id;
        let taken = bench.store.take_job(id, LEASE).await.unwrap();
        bench.store.finish_job(&taken, JobEffect::Nothing, None).await.unwrap();
    }
    bench.store.enqueue(job("waits", Repeat::Once)).await.unwrap();
    for _ in 0..3 {
        bench.store.compact().await.unwrap();
        bench.again(true).await;
        assert_eq!(bench.store.job_counts(), JobCounts { queued: 1, running: 0, parked: 0 });
    }
}

#[tokio::test]
async fn after_a_month_a_job_that_nobody_ran_is_over_and_its_key_is_free() {
    let mut bench = Bench::new();
    bench.store.enqueue(job("waits", Repeat::Once)).await.unwrap();
    bench.clock.advance(Duration::from_hours(31 * 24));
    assert_eq!(bench.list(JobStateName::Queued).await, [], "so it is in nobody's way");
    let mut cursor = Some(ExpiryCursor::default());
    let mut removed = 0;
    while let Some(at) = cursor {
        (removed, cursor) = bench.store.remove_expired(at).await.unwrap();
    }
    assert_eq!(removed, 1);
    bench.store.compact().await.unwrap();
    bench.again(true).await;
    assert_eq!(bench.store.job_counts(), JobCounts::default());
    assert!(bench.store.enqueue(job("waits", Repeat::Once)).await.unwrap().is_new);
}

#[tokio::test]
async fn the_word_of_an_end_outlives_a_segment_that_has_the_job() {
    let mut bench = Bench::by(Clock::System);
    let at_once = |key: &str| NewJob { due: Timestamp(0), ..job(key, Repeat::Again) };
    let owner = user(&bench.store).await;
    let ends = bench.store.enqueue(at_once("ends")).await.unwrap().id;
    for n in 0..9 {
        // Alive, so that this segment is never written again.
        say(&bench.store, owner, SessionId::new(), &n.to_string().repeat(1500)).await;
    }
    for n in 0..12 {
        // Stale, so that the segment with the end is.
        let large = NewJob { payload: "x".repeat(3000), ..at_once(&n.to_string()) };
        let id = if n == 6 { ends } else { bench.store.enqueue(large).await.unwrap().id };
        let taken = bench.store.take_job(id, LEASE).await.unwrap();
        bench.store.finish_job(&taken, JobEffect::Nothing, None).await.unwrap();
    }
    assert!(bench.store.compact().await.unwrap() > 0, "something was written again");
    bench.again(true).await;
    assert_eq!(bench.store.job_counts(), JobCounts::default());
}

#[tokio::test]
async fn the_jobs_about_an_account_go_with_it() {
    let mut bench = Bench::new();
    let (gone, stays) = (user(&bench.store).await, user(&bench.store).await);
    for (key, user) in [("a", gone), ("b", gone), ("c", stays)] {
        bench.store.enqueue(NewJob { user: Some(user), ..job(key, Repeat::Again) }).await.unwrap();
    }
    let id = bench.list(JobStateName::Queued).await[0].id;
    let taken = bench.store.take_job(id, LEASE).await.unwrap();
    bench.store.delete_user(gone).await.unwrap();
    let late = bench.store.finish_job(&taken, JobEffect::Nothing, None).await.unwrap_err();
    refused(&late, JobError::NotTaken);
    bench.again(true).await;
    let left: Vec<_> = bench.list(JobStateName::Queued).await.into_iter().map(|job| job.key).collect();
    assert_eq!(left, ["c"]);
}

#[tokio::test]
async fn only_so_many_parked_jobs_are_kept() {
    let bench = Bench::new();
    for n in 0..1002 {
        bench.clock.advance(Duration::from_secs(1));
        let id = bench.store.enqueue(job(&n.to_string(), Repeat::Again)).await.unwrap().id;
        bench.store.park_job(id, "for good".to_owned()).await.unwrap();
    }
    assert_eq!(bench.store.job_counts().parked, 1000);
    let oldest = bench.store.jobs(JobStateName::Parked, None, 1).await.unwrap();
    assert_eq!(oldest[0].enqueued_at, START.after(Duration::from_secs(3)), "the oldest went");
    let page = bench.store.jobs(JobStateName::Parked, Some(oldest[0].cursor()), 2).await.unwrap();
    let cursor = oldest[0].cursor().to_string().parse::<JobCursor>().unwrap();
    assert_eq!(bench.store.jobs(JobStateName::Parked, Some(cursor), 2).await.unwrap(), page);
    assert_eq!(page[0].enqueued_at, START.after(Duration::from_secs(4)));
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

#[tokio::test]
async fn a_first_turn_that_ends_enqueues_a_title_once_and_never_over_one_that_is_there() {
    let bench = Bench::new();
    let (store, owner) = (&bench.store, user(&bench.store).await);
    let (session, titled) = (SessionId::new(), SessionId::new());
    let turn = say(store, owner, session, "first").await;
    store.conclude(turn, reply("nobody runs jobs"), None).await.unwrap();
    assert_eq!(store.job_counts().queued, 0);
    store.runs_jobs(true);
    let other = say(store, owner, titled, "first").await;
    store.conclude(other, reply("reply"), None).await.unwrap();
    let next = say(store, owner, titled, "second").await;
    store.conclude(next, reply("reply"), None).await.unwrap();
    store.retry(other, reply("another")).await.unwrap();
    let jobs = bench.list(JobStateName::Queued).await;
    assert_eq!(jobs.iter().map(|job| &job.key).collect::<Vec<_>>(), [&format!("titles/{titled}")]);
    let title = |title: &str| JobEffect::Title { session: titled, owner, title: title.to_owned() };
    let taken = store.take_job(jobs[0].id, LEASE).await.unwrap();
    let edit = SessionEdit { title: Edit::Set(Some("mine".to_owned())), ..SessionEdit::default() };
    let before = store.edit_session(owner, titled, edit).await.unwrap();
    store.finish_job(&taken, title("made up"), None).await.unwrap();
    assert_eq!(store.sessions(owner, None, 10).await.unwrap().iter().find(|s| s.id == titled), Some(&before));
}

#[tokio::test]
async fn old_turns_are_cleared_whole_and_an_open_or_newer_one_is_never_touched() {
    let mut bench = Bench::new();
    let (owner, session) = (user(&bench.store).await, SessionId::new());
    let one = say(&bench.store, owner, session, "one").await;
    bench.store.conclude(one, reply("two"), None).await.unwrap();
    let three = say(&bench.store, owner, session, "three").await;
    bench.store.conclude(three, reply("four"), None).await.unwrap();
    let open = say(&bench.store, owner, session, "five").await;
    bench.store.retry(three, reply("six, to three")).await.unwrap();
    bench.clock.advance(Duration::from_hours(24));
    let old = |bench: &Bench| bench.clock.now().after(Duration::from_secs(1));
    let found = bench.store.old_messages(session, old(&bench)).await.unwrap().unwrap();
    assert_eq!(found.through, Seq(2), "three reaches to six, and five is open");
    assert_eq!(bench.store.old_messages(session, START).await.unwrap(), None, "nothing is so old");
    // One was answered anew after it was found.
    bench.store.retry(one, reply("seven, to one")).await.unwrap();
    assert!(!bench.store.clear_old(owner, found).await.unwrap());
    assert_eq!(bench.store.old_messages(session, old(&bench)).await.unwrap(), None, "one reaches to seven now");
    bench.store.conclude(open, reply("eight"), None).await.unwrap();
    let new = say(&bench.store, owner, session, "nine").await;
    let found = bench.store.old_messages(session, bench.clock.now()).await.unwrap();
    assert_eq!(found, None, "seven is new");
    bench.clock.advance(Duration::from_hours(24));
    let found = bench.store.old_messages(session, bench.clock.now()).await.unwrap().unwrap();
    assert_eq!(found.through, Seq(8));
    assert!(bench.store.clear_old(owner, found).await.unwrap());
    assert!(!bench.store.clear_old(owner, found).await.unwrap(), "a second time changes nothing");
    bench.again(true).await;
    let left = bench.store.log_after(session, Seq::ZERO, 100).await.unwrap();
    assert_eq!((left.0.len(), left.0[0].seq, left.1), (1, new.seq, Seq(9)));
    bench.store.conclude(new, reply("ten"), None).await.unwrap();
    let found = bench.store.old_messages(session, bench.clock.now().after(LEASE)).await.unwrap().unwrap();
    assert!(bench.store.clear_old(owner, found).await.unwrap());
    bench.store.compact().await.unwrap();
    bench.again(true).await;
    let next = say(&bench.store, owner, session, "eleven").await;
    assert_eq!(next.seq, Seq(11), "the sequence goes on");
}
