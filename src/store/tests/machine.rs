//! The store against a model: any commands in any order, alone and at once, waited for and dropped, with tiny caches,
//! restarts, crashes, copies, rebuilds, compaction and a clock that jumps. After every step it shows what the model does.
//!
//! `BONDHU_MODEL_STEPS` says how long a run is, `BONDHU_MODEL_SECONDS` for how long new ones begin. A failure prints the
//! seed of its run; `BONDHU_TEST_SEED` brings that run again, as the first.

mod actual;
mod command;
mod decide;
mod found;
mod imports;
mod items;
mod jobs;
mod life;
mod look;
mod step;
mod world;

use std::{
    cell::Cell,
    hash::{BuildHasher, Hasher},
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestError, TestRunner},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use actual::Actual;
use step::{Fate, Op, Step};
use world::World;

/// A run has so many steps where nothing else is said, and runs begin for so many seconds.
const STEPS: usize = 60;
const SECONDS: u64 = 10;
/// 2026-11-23.
const START: i64 = 1_795_392_000_000_000;

thread_local! {
    /// Steps and commands of all runs.
    static DONE: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

struct Machine;

impl ReferenceStateMachine for Machine {
    type State = (World, u64);
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self::State> {
        step::cache().prop_map(|cache| (World { now: START, ..World::default() }, cache)).boxed()
    }

    fn transitions(_: &Self::State) -> BoxedStrategy<Step> {
        step::step()
    }

    fn apply(state: Self::State, _: &Step) -> Self::State {
        state // Steps name things by their place, so any may follow any: what they mean is decided as they are taken.
    }
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Actual;
    type Reference = Self;

    fn init_test((world, cache): &(World, u64)) -> Actual {
        // Without anyone there, most steps would come to nothing.
        let register = |name| (Op::Register { name, invitation: None }, Fate::Awaited);
        Actual::start(world, *cache).step(&Step::Do(vec![register(0), register(1)]))
    }

    fn apply(actual: Actual, _: &(World, u64), step: Step) -> Actual {
        let (steps, commands) = DONE.get();
        let before = actual.commands;
        let actual = actual.step(&step);
        DONE.set((steps + 1, commands + actual.commands - before));
        actual
    }
}

#[test]
fn any_history_of_commands_restarts_and_crashes_shows_what_the_model_does() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let steps = number("BONDHU_MODEL_STEPS").map_or(STEPS, |steps| usize::try_from(steps).unwrap());
    let until = Instant::now() + Duration::from_secs(number("BONDHU_MODEL_SECONDS").unwrap_or(SECONDS));
    let first = number("BONDHU_TEST_SEED").unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish());
    let mut runs = 0;
    while runs == 0 || Instant::now() < until {
        run(first.wrapping_add(runs), steps);
        runs += 1;
    }
    let (steps, commands) = DONE.get();
    eprintln!("store model: {runs} runs, {steps} steps, {commands} commands, BONDHU_TEST_SEED={first}");
}

/// One run; where it fails, the shortest that fails alike is found and shown.
fn run(seed: u64, steps: usize) {
    let config = Config {
        cases: 1,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_time: 60_000,
        max_shrink_iters: 400,
        ..Config::default()
    };
    let strategy = Machine::sequential_strategy(steps..=steps);
    let mut runner = TestRunner::new(config.clone());
    let ran = runner.run(&strategy, |(world, steps, seen)| {
        Machine::test_sequential(config.clone(), world, steps, seen);
        Ok(())
    });
    if let Err(TestError::Fail(why, (start, steps, _))) = ran {
        let (cache, count) = (start.1, steps.len());
        let steps: Vec<String> = steps.iter().map(|step| format!("  {step:?}\n")).collect();
        panic!("BONDHU_TEST_SEED={seed}, cache {cache}: {why}\nafter {count} steps:\n{}", steps.concat());
    }
}
