//! The server against a model: a few users with several connections each do what users do, at the same time, while one
//! who is nobody's friend tries their ids; the server is stopped, killed and started again between and in the middle.
//! Each user knows what must be there, and compares every answer.
//!
//! `BONDHU_MODEL_STEPS` says how many rounds a run has, `BONDHU_MODEL_SECONDS` for how long new runs begin. A failure
//! prints the seed of its run; `BONDHU_TEST_SEED` brings that run again, as the first.

mod act;
mod hijacker;
mod logins;
mod look;
mod member;
mod talk;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestError, TestRunner},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use crate::support::{Random, Server, data::check_passes, stub::Stub};
use act::{Act, End, MEMBERS, Round};
use hijacker::Hijacker;
use member::Member;

const ROUNDS: usize = 10;
const SECONDS: u64 = 15;
const NAMES: [&str; MEMBERS] = ["amina", "bela", "chandra"];

/// Rounds, acts, and tries of the hijacker, of all runs.
static DONE: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

struct Machine;

struct World {
    server: Option<Server>,
    settings: Vec<String>,
    members: Vec<Member>,
    hijacker: Hijacker,
    _stub: Stub,
}

impl ReferenceStateMachine for Machine {
    /// True where the stub makes the replies.
    type State = bool;
    type Transition = Round;

    fn init_state() -> BoxedStrategy<bool> {
        proptest::bool::weighted(0.7).boxed()
    }

    fn transitions(_: &bool) -> BoxedStrategy<Round> {
        act::round()
    }

    fn apply(scripted: bool, _: &Round) -> bool {
        scripted // What an act means is decided when it is done, by what there is then.
    }
}

impl StateMachineTest for Machine {
    type SystemUnderTest = World;
    type Reference = Self;

    fn init_test(scripted: &bool) -> World {
        let stub = Stub::start();
        let base_url = format!("reply.openai.base_url={}", stub.base_url());
        let settings = ["cache.capacity=1MiB", "data.segment=1MiB", "server.shutdown_grace_ms=2000", &base_url];
        let mut settings: Vec<String> = settings.into_iter().map(str::to_owned).collect();
        settings.extend(scripted.then(|| "reply.backend=openai".to_owned()));
        let server = Server::start(&settings.iter().map(String::as_str).collect::<Vec<_>>());
        let member = |name: &&str| {
            let mut member = Member::new(&server, name, &NAMES, *scripted);
            member.act(&Act::Create { named: true }).unwrap();
            member
        };
        let members = NAMES.iter().map(member).collect();
        let hijacker = Hijacker::new(&server);
        World { server: Some(server), settings, members, hijacker, _stub: stub }
    }

    fn apply(mut world: World, _: &bool, round: Round) -> World {
        world.play(&round);
        DONE[0].fetch_add(1, Ordering::Relaxed);
        world
    }

    fn teardown(world: World, _: bool) {
        let acts = world.members.iter().map(|member| member.acts).sum();
        DONE[1].fetch_add(acts, Ordering::Relaxed);
        DONE[2].fetch_add(world.hijacker.tries, Ordering::Relaxed);
    }
}

impl World {
    fn play(&mut self, round: &Round) {
        let mut server = self.server.take().unwrap();
        let known: Vec<String> =
            self.members.iter().flat_map(|member| member.talks.iter().map(|talk| talk.id.clone())).collect();
        let over = Arc::new(AtomicBool::new(false));
        let (members, hijacker) = (&mut self.members, &mut self.hijacker);
        std::thread::scope(|scope| {
            let both = members.iter_mut().zip(&round.acts);
            let playing: Vec<_> = both.map(|(member, acts)| scope.spawn(move || play_one(member, acts))).collect();
            let hijacking = scope.spawn(|| hijacker.try_all(&known, &over));
            let done = || playing.iter().all(std::thread::ScopedJoinHandle::is_finished);
            match round.end {
                End::Quiet | End::Stop { in_the_middle: false } => {}
                End::Stop { in_the_middle: true } => server.signal("TERM"),
                End::Kill { after } => {
                    let until = Instant::now() + Duration::from_millis(after.into());
                    while Instant::now() < until && !done() {
                        std::thread::park_timeout(Duration::from_millis(1));
                    }
                    server.kill();
                }
            }
            let played: Vec<_> = playing.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
            over.store(true, Ordering::SeqCst);
            hijacking.join().unwrap();
            let may_break = matches!(round.end, End::Kill { .. } | End::Stop { in_the_middle: true });
            for all in played {
                let all = all.unwrap_or_else(|why| std::panic::resume_unwind(why));
                assert!(
                    all || may_break,
                    "a connection broke, or a request was refused, though nothing was the matter"
                );
            }
        });
        if !matches!(round.end, End::Quiet) {
            server.is_restarted_by(&self.settings, round.end, &mut self.members, &mut self.hijacker);
        }
        for member in &mut self.members {
            member.settle(!matches!(round.end, End::Quiet)).unwrap();
            member.look(0).unwrap();
        }
        self.server = Some(server);
    }
}

impl Server {
    /// Ends it, checks its directory and starts it again.
    fn is_restarted_by(&mut self, settings: &[String], end: End, members: &mut [Member], hijacker: &mut Hijacker) {
        if !matches!(end, End::Kill { .. }) {
            let status = if matches!(end, End::Stop { in_the_middle: true }) { self.wait() } else { self.stop() };
            assert!(status.success(), "{status}");
        }
        check_passes(&self.data);
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        *self = Self::start_in(self.dir(), self.data.clone(), &settings);
        for member in members {
            member.meets(self);
        }
        hijacker.meets(self);
    }
}

/// One user's acts, up to one that broke off; true where none did.
fn play_one(member: &mut Member, acts: &[Act]) -> bool {
    acts.iter().all(|act| member.act(act).is_ok())
}

#[test]
fn any_day_of_a_few_users_is_what_each_of_them_knows_it_to_be() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let rounds = number("BONDHU_MODEL_STEPS").map_or(ROUNDS, |rounds| usize::try_from(rounds).unwrap());
    let until = Instant::now() + Duration::from_secs(number("BONDHU_MODEL_SECONDS").unwrap_or(SECONDS));
    let first = Random::seeded("server model").seed();
    let mut runs = 0;
    while runs == 0 || Instant::now() < until {
        run(first.wrapping_add(runs), rounds);
        runs += 1;
    }
    let [rounds, acts, tries] = DONE.each_ref().map(|count| count.load(Ordering::Relaxed));
    eprintln!("server model: {runs} runs, {rounds} rounds, {acts} acts, {tries} hijacks, BONDHU_TEST_SEED={first}");
}

/// One run; where it fails, a shorter one that fails too is looked for and shown.
fn run(seed: u64, rounds: usize) {
    let config = Config {
        cases: 1,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        max_shrink_time: 60_000,
        max_shrink_iters: 60,
        ..Config::default()
    };
    let strategy = Machine::sequential_strategy(rounds..=rounds);
    let ran = TestRunner::new(config.clone()).run(&strategy, |(scripted, rounds, seen)| {
        Machine::test_sequential(config.clone(), scripted, rounds, seen);
        Ok(())
    });
    if let Err(TestError::Fail(why, (scripted, rounds, _))) = ran {
        let lines: Vec<String> = rounds.iter().map(|round| format!("  {round:?}\n")).collect();
        let count = lines.len();
        panic!("BONDHU_TEST_SEED={seed}, scripted: {scripted}: {why}\nafter {count} rounds:\n{}", lines.concat());
    }
}
