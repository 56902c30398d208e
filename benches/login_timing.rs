//! What a refused login costs, by the kind of name that is tried: nobody may learn from its time who has an account.
//!
//! Budget: on a quiet machine the medians of an account that is there, one that is shut, and a name that nobody has lie
//! within 2 % of each other, and their distributions are alike: the largest distance between two of them (Kolmogorov and
//! Smirnov) is under the bound that chance exceeds once in a hundred times. The tries of the three kinds take turns, one at
//! a time, with argon2 at its default cost, so that the machine's noise falls on all of them alike. Beside them stands what
//! argon2 alone takes in the same run.
//!
//! `cargo bench --bench login_timing -- [TRIES]`: so many of each kind, else 200. `BENCH_DIR` says where its data goes.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
use bondhu::{
    app::App,
    auth::{AuthError, NewAccount, Password},
    clock::Clock,
    config::Config,
    text::Username,
};

const PASSWORD: &str = "river-stone-lamp-42";
const WRONG: &str = "not it, not at all";
/// Failures that an account has before it is held up, less one.
const OF_ONE_ACCOUNT: usize = 4;
const KINDS: [&str; 3] = ["there", "shut", "nobody"];

fn main() {
    let tries: usize = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(200);
    let parent = std::env::var("BENCH_DIR").unwrap_or_else(|_| ".".to_owned());
    let dir = tempfile::tempdir_in(parent).expect("a directory");
    let mut config = Config::default();
    config.data.dir = dir.path().join("data");
    let cost = config.auth.argon2;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let (times, alone) = runtime.block_on(async {
        let app = App::start(config, Clock::System).expect("a server");
        accounts(&app, tries.div_ceil(OF_ONE_ACCOUNT)).await;
        let params = Params::new(cost.memory_kib, cost.iterations, cost.parallelism, None).expect("good parameters");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut times: [Vec<Duration>; KINDS.len()] = std::array::from_fn(|_| Vec::with_capacity(tries));
        let mut alone = Vec::with_capacity(tries);
        for n in 0..tries {
            for turn in 0..KINDS.len() {
                let kind = (n + turn) % KINDS.len();
                times[kind].push(refused(&app, kind, n).await);
            }
            let began = Instant::now();
            argon2.hash_password(WRONG.as_bytes()).expect("a hash");
            alone.push(began.elapsed());
        }
        app.store.close().await;
        (times, alone)
    });
    report(times, alone);
}

/// As many accounts as the tries need, that are there and that are shut.
async fn accounts(app: &App, count: usize) {
    for kind in &KINDS[..2] {
        for n in 0..count {
            let name = format!("{kind}-{n}");
            let account = NewAccount {
                username: Username::new(&name).expect("a good name"),
                password: Password::new(PASSWORD.to_owned()),
                display_name: None,
                invitation: None,
            };
            app.auth.register(account).await.expect("an account");
            if *kind == "shut" {
                app.auth.set_disabled(&name, true).await.expect("a shut account");
            }
        }
    }
}

/// How long a login with a wrong password takes; each comes from an address of its own, which is not held up.
async fn refused(app: &App, kind: usize, n: usize) -> Duration {
    let from = IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(kind * 1_000_000 + n).expect("few tries")));
    let name = format!("{}-{}", KINDS[kind], n / OF_ONE_ACCOUNT);
    let password = Password::new(WRONG.to_owned());
    let began = Instant::now();
    let answer = app.auth.login(from, &name, password, None).await;
    let took = began.elapsed();
    assert!(matches!(answer, Err(AuthError::WrongCredentials { .. })), "{name} was not looked at");
    took
}

fn report(mut times: [Vec<Duration>; KINDS.len()], mut alone: Vec<Duration>) {
    times.iter_mut().chain([&mut alone]).for_each(|times| times.sort_unstable());
    let at = |times: &[Duration], percent: usize| times[(times.len() * percent / 100).min(times.len() - 1)];
    let line = |name: &str, times: &[Duration]| {
        let [p10, p50, p90] = [10, 50, 90].map(|percent| at(times, percent).as_secs_f64() * 1000.0);
        let ratio = at(times, 50).as_secs_f64() / at(&alone, 50).as_secs_f64();
        println!("| {name} | {p10:.2} ms | {p50:.2} ms | {p90:.2} ms | {ratio:.3} |");
    };
    println!("| {} tries of each kind | p10 | p50 | p90 | p50 beside argon2 |", alone.len());
    println!("| --- | --- | --- | --- | --- |");
    line("argon2 alone", &alone);
    KINDS.iter().zip(&times).for_each(|(kind, times)| line(kind, times));
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        let ratio = at(&times[a], 50).as_secs_f64() / at(&times[b], 50).as_secs_f64();
        let (distance, bound) = distance(&times[a], &times[b]);
        let (a, b) = (KINDS[a], KINDS[b]);
        println!("{a} and {b}: medians {:+.2} %, distance {distance:.3} (bound {bound:.3})", (ratio - 1.0) * 100.0);
    }
}

/// The largest distance between two distributions of sorted times, and what chance stays below 99 times in a hundred.
fn distance(a: &[Duration], b: &[Duration]) -> (f64, f64) {
    let part =
        |times: &[Duration], upto: Duration| float(times.partition_point(|time| *time <= upto)) / float(times.len());
    let distances = a.iter().chain(b).map(|time| (part(a, *time) - part(b, *time)).abs());
    let (n, m) = (float(a.len()), float(b.len()));
    (distances.fold(0.0, f64::max), 1.63 * ((n + m) / (n * m)).sqrt())
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
