//! More than the server can carry: sends at multiples of its capacity, while `/health` is asked.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;

use super::{
    bench::{Bench, Question},
    figures::Call,
    measure,
    report::Phase,
    seconds,
    user::User,
};

const MULTIPLES: [f64; 4] = [1.0, 2.0, 5.0, 10.0];
/// How often `/health` is asked.
const PROBE: Duration = Duration::from_millis(20);
/// How long the capacity is measured, where nobody states it.
const PROBING: Duration = Duration::from_secs(5);

/// Measures the capacity with users who wait for their answers, and then offers multiples of it.
pub(super) async fn run(bench: &Rc<Bench>, mut users: Vec<User>, bar: &ProgressBar) -> (Vec<User>, Vec<Phase>) {
    let (warm_up, duration) = (seconds(bench.options.warm_up), seconds(bench.options.duration));
    let health = tokio::task::spawn_local(health(Rc::clone(bench)));
    let mut phases = Vec::new();
    let capacity = if let Some(capacity) = bench.options.capacity {
        capacity
    } else {
        let (back, mut phase) = measure(bench, users, None, [warm_up, PROBING.min(duration)], bar).await;
        users = back;
        "capacity".clone_into(&mut phase.name);
        phases.push(phase);
        phases[0].rate_of(Call::Send)
    };
    for multiple in MULTIPLES {
        if bench.interrupted.get() || capacity <= 0.0 {
            break;
        }
        let (back, mut phase) = measure(bench, users, Some(capacity * multiple), [warm_up, duration], bar).await;
        users = back;
        phase.name = format!("{multiple} times");
        phase.part = Some(phase.rate_of(Call::Send) / capacity);
        phases.push(phase);
    }
    health.abort();
    (users, phases)
}

/// Asks for `/health` for ever.
async fn health(bench: Rc<Bench>) {
    let mut tab = bench.tab(None);
    let mut ticks = tokio::time::interval(PROBE);
    loop {
        ticks.tick().await;
        tab.ask(&bench, Instant::now(), Question::get(Call::Health, "/health")).await;
    }
}
