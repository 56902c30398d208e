//! `bondhu load`: a load test against any running server, which checks every answer.
//!
//! One thread, one task for each user: in `load/`, `user.rs` is what a person does, `steps.rs` the scenarios, `streams.rs`
//! and `overload.rs` two of them, `pace.rs` when steps begin, `bench.rs` one request and its measurement, `accounts.rs` the
//! users, `figures.rs` what was measured, `report.rs` and `plot.rs` how it is told.

mod accounts;
mod bench;
mod figures;
mod overload;
mod pace;
mod plot;
mod random;
mod report;
mod steps;
mod streams;
mod user;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::{JoinSet, LocalSet};

use self::{
    bench::Bench,
    figures::Figures,
    pace::{Due, Pace, cpu_time},
    report::{Outcome, Phase},
    user::User,
};
use super::{Failure, print, small_runtime};
use crate::{
    checker::Checker,
    cli::{Api, Load, Scenario},
    client::Origin,
};

/// Longest time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long users may take to end their steps after an interruption.
const GRACE: Duration = Duration::from_secs(1);
/// How many users prepare at the same time.
const PREPARE_AT_ONCE: usize = 32;

/// Runs the load test and reports; fails where a promise was broken or too much went wrong.
pub(super) fn run(options: &Load) -> Result<(), Failure> {
    check(options)?;
    let origin = Origin::find(&options.url, options.ca_file.as_deref(), CONNECT_TIMEOUT)
        .map_err(|error| Failure::Misused(error.to_string()))?;
    raise_open_files(options.users);
    let mut seed = [0; 4];
    getrandom::fill(&mut seed).map_err(|error| Failure::Failed(format!("no randomness: {error}")))?;
    let seed = options.seed.unwrap_or(u64::from(u32::from_ne_bytes(seed)));
    let bench = Rc::new(Bench {
        origin,
        options: options.clone(),
        seed,
        figures: RefCell::new(Figures::new()),
        checker: RefCell::new(Checker::new()),
        from: Cell::new(None),
        until: Cell::new(None),
        connections: Cell::new(0),
        steps: Cell::new(0),
        interrupted: Cell::new(false),
        cpu_at_begin: Cell::default(),
        refusal: RefCell::default(),
        victims: RefCell::default(),
    });
    let local = LocalSet::new();
    let phases = small_runtime()?.block_on(local.run_until(whole(&bench)))?;
    drop(local);
    let outcome = Outcome::new(&bench, phases);
    tell(options, &outcome)?;
    match outcome.verdict() {
        None => Ok(()),
        Some(why) => Err(Failure::Failed(why)),
    }
}

/// Writes the report to where it was asked for.
fn tell(options: &Load, outcome: &Outcome) -> Result<(), Failure> {
    let failed = |path: &std::path::Path, error| Failure::Failed(format!("{}: {error}", path.display()));
    if let Some(path) = &options.plot {
        std::fs::write(path, plot::svg(outcome)).map_err(|error| failed(path, error))?;
    }
    match options.json.as_deref() {
        Some(path) if path.as_os_str() == "-" => return print(&outcome.json()),
        Some(path) => std::fs::write(path, outcome.json()).map_err(|error| failed(path, error))?,
        None => {}
    }
    print(&outcome.text())
}

/// What clap can't see.
fn check(options: &Load) -> Result<(), Failure> {
    let old = matches!(options.scenario, Scenario::Journey | Scenario::History | Scenario::Send | Scenario::Mixed);
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let fault = if options.api == Api::Old && !old {
        "--api old has the scenarios journey, history, send and mixed"
    } else if options.no_auth && options.api != Api::Old {
        "--no-auth needs --api old: the native calls need a token"
    } else if !options.rate.is_none_or(positive) || !options.capacity.is_none_or(positive) {
        "--rate and --capacity must be over 0"
    } else if !positive(options.duration) || !positive(options.timeout) {
        "--duration and --timeout must be over 0"
    } else if !(options.warm_up >= 0.0
        && options.warm_up.is_finite()
        && options.ramp >= 0.0
        && options.ramp.is_finite())
    {
        "--warm-up and --ramp must not be under 0"
    } else {
        return Ok(());
    };
    Err(Failure::Misused(fault.to_owned()))
}

/// As many open files as the system allows; each user has a connection or more.
fn raise_open_files(users: u32) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let enough = limit.maximum.is_none_or(|maximum| maximum > u64::from(users) + 100);
    if setrlimit(Resource::Nofile, raised).is_err() || !enough {
        super::note("this process may not open as many files as there are users; raise it with ulimit -n");
    }
}

/// The run from its first account to its last check.
async fn whole(bench: &Rc<Bench>) -> Result<Vec<Phase>, Failure> {
    let bar = bar(bench.options.users);
    let failed = |why: String| Failure::Failed(format!("{}: {why}", bench.options.url));
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let begun = async {
        bar.set_message("accounts");
        let accounts = accounts::gather(bench, |made| bar.set_position(made)).await.map_err(failed)?;
        bar.set_message("sessions");
        Ok::<_, Failure>(prepare(bench, accounts, &bar).await)
    };
    let users = tokio::select! {
        users = begun => users?,
        _ = &mut interrupted => return Err(Failure::Failed("interrupted before anything was measured".to_owned())),
    };
    if users.iter().all(|user| user.talks.is_empty()) {
        let figures = bench.figures.borrow();
        let why = figures.errors.keys().next().map_or("every session was refused", String::as_str);
        return Err(failed(format!("no user has a session: {why}")));
    }
    let probe = tokio::task::spawn_local(pace::lag(Rc::clone(bench)));
    let measuring = async {
        match bench.options.scenario {
            Scenario::Overload => overload::run(bench, users, &bar).await,
            Scenario::Journey
            | Scenario::History
            | Scenario::Send
            | Scenario::Streams
            | Scenario::Mixed
            | Scenario::Hijack
            | Scenario::Rapid
            | Scenario::Churn => {
                let times = [bench.options.warm_up, bench.options.duration].map(seconds);
                let (users, phase) = measure(bench, users, bench.options.rate, times, &bar).await;
                (users, vec![phase])
            }
        }
    };
    tokio::pin!(measuring);
    let measured = tokio::select! {
        measured = &mut measuring => Some(measured),
        _ = &mut interrupted => {
            bench.until.set(Some(Instant::now()));
            bench.interrupted.set(true);
            tokio::time::timeout(GRACE, measuring).await.ok()
        }
    };
    probe.abort();
    let phases = match measured {
        Some((users, phases)) => {
            bar.set_message("the last reads");
            audit(bench, users).await;
            phases
        }
        // Some users think on; what was measured so far is told.
        None => vec![Phase::cut_short(bench)],
    };
    bar.finish_and_clear();
    Ok(phases)
}

/// Users with what they need before the first step, made a few at a time.
async fn prepare(bench: &Rc<Bench>, accounts: Vec<accounts::Account>, bar: &ProgressBar) -> Vec<User> {
    let (mut users, mut making) = (Vec::with_capacity(accounts.len()), JoinSet::new());
    bar.set_position(0);
    for (number, account) in (0..).zip(accounts) {
        if making.len() == PREPARE_AT_ONCE {
            users.extend(making.join_next().await.and_then(Result::ok));
            bar.inc(1);
        }
        let (bench, mut user) = (Rc::clone(bench), User::new(bench, number, account));
        making.spawn_local(async move {
            for _ in 0..20 {
                user.prepare(&bench).await;
                if !user.talks.is_empty() {
                    break;
                }
                let pause = user.random.around(Duration::from_millis(200)); // It was refused.
                tokio::time::sleep(pause).await;
            }
            user
        });
    }
    while let Some(made) = making.join_next().await {
        users.extend(made.ok());
    }
    users.sort_by_key(|user| user.number);
    users
}

/// One phase: `times` are the warm-up and what counts. Gives the users back, once all of their steps have ended.
async fn measure(
    bench: &Rc<Bench>,
    users: Vec<User>,
    rate: Option<f64>,
    [warm_up, duration]: [Duration; 2],
    bar: &ProgressBar,
) -> (Vec<User>, Phase) {
    let begin = Instant::now();
    let from = begin + warm_up;
    bench.from.set(Some(from));
    bench.until.set(Some(from + duration));
    let due = Rc::new(Due::default());
    let mut working = JoinSet::new();
    let (count, think) = (u32::try_from(users.len()).unwrap_or(u32::MAX), Duration::from_millis(bench.options.think));
    let spread = seconds(bench.options.ramp).max(think);
    for (number, mut user) in (0..).zip(users) {
        let start = spread * number / count.max(1);
        let mut pace = match rate {
            Some(_) => Pace::Open(Rc::clone(&due)),
            None => Pace::Closed { start, think, begun: false },
        };
        let bench = Rc::clone(bench);
        working.spawn_local(async move {
            if bench.options.scenario == Scenario::Streams {
                user.follow(&bench, &mut pace).await;
            }
            while let Some(due) = pace.next(&bench, &mut user.random).await {
                user.step(&bench, due).await;
            }
            user
        });
    }
    let steps = async {
        if let Some(rate) = rate {
            let _ = pace::steps(Rc::clone(bench), Rc::clone(&due), rate).await; // A timer that fails ends the phase.
            due.end.cancel();
        }
    };
    let mut users = Vec::new();
    let working = async {
        while let Some(ended) = working.join_next().await {
            users.extend(ended.ok());
        }
    };
    bar.set_message(bench.options.url.clone());
    let cpu = Cell::new((from, Duration::ZERO));
    tokio::select! {
        () = async { tokio::join!(steps, working); } => {}
        () = watch(bench, from, &cpu, bar) => {}
    }
    users.sort_by_key(|user| user.number);
    let (from, cpu) = cpu.get();
    (users, Phase::take(bench, rate, from.elapsed(), cpu_time().saturating_sub(cpu)))
}

/// Ends each second of the figures, and shows how it goes; for ever.
async fn watch(bench: &Rc<Bench>, from: Instant, cpu: &Cell<(Instant, Duration)>, bar: &ProgressBar) {
    tokio::time::sleep_until(from.into()).await;
    cpu.set((from, cpu_time()));
    bench.cpu_at_begin.set(cpu_time());
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.tick().await;
    loop {
        seconds.tick().await;
        let mut figures = bench.figures.borrow_mut();
        figures.tick();
        let last = figures.seconds.last().copied().unwrap_or_default();
        let wrong = bench.checker.borrow().count();
        bar.set_message(format!(
            "{} s: {}/s, p99 {:.1} ms, {} refused, {} errors, {wrong} violations",
            figures.seconds.len(),
            last.ok,
            report::ms(last.p99_us),
            last.refused,
            figures.errors(),
        ));
    }
}

/// All users read everything that is theirs, a few at a time; none of it counts as load.
async fn audit(bench: &Rc<Bench>, users: Vec<User>) {
    bench.from.set(None);
    let mut reading = JoinSet::new();
    for mut user in users {
        if reading.len() == PREPARE_AT_ONCE {
            reading.join_next().await;
        }
        let bench = Rc::clone(bench);
        reading.spawn_local(async move { user.audit(&bench).await });
    }
    while reading.join_next().await.is_some() {}
}

fn seconds(count: f64) -> Duration {
    Duration::try_from_secs_f64(count).unwrap_or_default()
}

/// Nothing where there is no terminal.
fn bar(users: u32) -> ProgressBar {
    let style = ProgressStyle::with_template("load {spinner} {pos}/{len} users, {msg}")
        .expect("a template of our own that names only what there is");
    let bar = ProgressBar::new(u64::from(users)).with_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
