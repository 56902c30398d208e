//! Load in an open loop: a request leaves when its time has come, whatever became of those before it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{interval_at, sleep_until},
};

use crate::{
    load::client::{self, Connection, User, request},
    measure::figures::float,
};

/// So many requests a second, for so long.
pub(crate) type Phase = (f64, Duration);

/// What became of one request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    /// Whose it was.
    pub(crate) user: usize,
    /// When it should have left, since the load began.
    pub(crate) due: Duration,
    /// From then to the answer's end.
    pub(crate) took: Duration,
    /// 0 where there was no answer.
    pub(crate) status: u16,
}

/// Users, and connections that any of them may use.
pub(crate) struct Crowd {
    address: SocketAddr,
    users: Vec<User>,
    /// Guards the connections on which nothing is under way.
    idle: Mutex<Vec<Connection>>,
}

impl Done {
    pub(crate) fn answered(&self) -> bool {
        self.status == 201
    }

    /// When the answer was there, since the load began.
    pub(crate) fn end(&self) -> Duration {
        self.due + self.took
    }
}

impl Crowd {
    pub(crate) async fn gather(address: SocketAddr, users: usize, sessions: usize) -> Arc<Self> {
        let users = client::users(address, users, sessions).await;
        Arc::new(Self { address, users, idle: Mutex::default() })
    }

    /// Says something, and waits for the answer. The latency counts from `due`.
    pub(crate) async fn say(&self, user: usize, session: usize, begin: Instant, due: Instant) -> Done {
        let said = self.users[user].say(session, "I could not sleep, and there was nobody to tell.", false);
        let status = self.ask(&said).await;
        Done { user, due: due - begin, took: due.elapsed(), status }
    }

    /// As many connections as there are now or more.
    pub(crate) async fn connect(&self, count: usize) {
        for _ in 0..count {
            let connection = Connection::open(self.address).await.expect("a connection");
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    async fn ask(&self, said: &[u8]) -> u16 {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => Connection::open(self.address).await,
        };
        let Ok(mut connection) = connection else { return 0 };
        let Ok(answer) = connection.exchange(said).await else { return 0 };
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        answer.status
    }

    /// Offers the phases one after the other, each request of a user and in a session by chance; waits for all answers.
    pub(crate) async fn offer(self: &Arc<Self>, phases: &[Phase]) -> Vec<Done> {
        let begin = Instant::now();
        let mut from = begin;
        let (mut n, mut asked, mut done) = (0, JoinSet::new(), Vec::new());
        for &(rate, time) in phases {
            let mut in_phase: u32 = 0;
            loop {
                let due = from + Duration::from_secs_f64(f64::from(in_phase) / rate);
                if due >= from + time {
                    break;
                }
                sleep_until(due.into()).await;
                let crowd = Arc::clone(self);
                let (user, session) = self.chance(n);
                asked.spawn(async move { crowd.say(user, session, begin, due).await });
                while let Some(answered) = asked.try_join_next() {
                    done.push(answered.expect("no task panics"));
                }
                (n, in_phase) = (n + 1, in_phase + 1);
            }
            from += time;
        }
        done.extend(asked.join_all().await);
        done
    }

    /// The user and the session of the request with this number: the same in every run.
    fn chance(&self, n: u64) -> (usize, usize) {
        // SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
        let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let [low, high] = [z ^ (z >> 31), z >> 33].map(|z| usize::try_from(z & 0xffff_ffff).unwrap_or(0));
        let user = low % self.users.len();
        (user, high % self.users[user].sessions.len())
    }
}

/// Asks for `/health` at fixed times, and gives the latencies.
pub(crate) async fn health(address: SocketAddr, every: Duration, time: Duration) -> Vec<Duration> {
    let mut connection = Connection::open(address).await.expect("a connection");
    let request = request("GET", "/health", "", None);
    let begin = Instant::now();
    let mut ticks = interval_at(begin.into(), every);
    let mut latencies = Vec::new();
    while begin.elapsed() < time {
        let due = ticks.tick().await; // What is late does not make the next one late: it leaves at once.
        let answer = connection.exchange(&request).await.expect("an answer");
        assert_eq!(answer.status, 200, "the server says that it is not healthy");
        latencies.push(due.into_std().elapsed());
    }
    latencies
}

/// Jain's index of the users' shares, of which the list has one each: `(sum x)^2 / (n * sum x^2)`, 1 where all are alike
/// and `1/n` where one has everything. R. Jain, D. Chiu, W. Hawe: A Quantitative Measure of Fairness and Discrimination
/// for Resource Allocation in Shared Computer Systems, DEC-TR-301, 1984.
pub(crate) fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = shares.iter().fold((0.0, 0.0), |(sum, squares), x| (sum + x, squares + x * x));
    sum * sum / (float(shares.len()) * squares)
}

/// What part of its requests each user of `0..users` had answered.
pub(crate) fn shares(done: &[Done], users: usize) -> Vec<f64> {
    let share = |user| {
        let mine = done.iter().filter(|done| done.user == user);
        let (asked, answered) = mine.fold((0, 0), |(asked, n), done| (asked + 1, n + usize::from(done.answered())));
        (asked > 0).then(|| float(answered) / float(asked))
    };
    (0..users).filter_map(share).collect()
}
