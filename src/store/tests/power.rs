//! Power cuts at every point of a store's life, and of the starts after it: what was acknowledged is there.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    path::PathBuf,
    time::Instant,
};

use rustix::io::Errno;

use super::{
    super::*,
    life::{Life, Step, place, script},
    model::{Deed, World},
    platter::{Image, Platter, hash_of},
    probe::{Area, Event, Fault, How, Kind},
    random::Random,
};

/// So many are tried in the normal test run, about. `BONDHU_CRASH=all` tries all, `BONDHU_CRASH=SEED:CUT:IMAGE` just one.
const IMAGES: usize = 50;
const KILLS: usize = 10;
const STARTS: usize = 10;
const SYNCS: usize = 6;
/// Of each of those.
const IMAGES_EACH: usize = 3;

/// A life that was, and what may be seen after a cut at each of its events.
struct Trace {
    /// What stood on the disk before it.
    base: Platter,
    events: Vec<Event>,
    births: HashMap<PathBuf, Timestamp>,
    /// What it may have held after each deed.
    history: Vec<Vec<World>>,
    /// How many events its first start took, and what the disk may have held until then.
    start: (usize, Vec<World>),
    steps: Vec<Step>,
    now: Timestamp,
}

/// A directory that a cut may leave.
struct Left {
    cut: usize,
    number: usize,
    image: Image,
}

impl Trace {
    fn of(life: &Life, steps: &[Step]) -> Self {
        Self {
            base: Platter::default(),
            events: life.probe.events(),
            births: life.probe.births(),
            history: life.history.clone(),
            start: (0, Vec::new()),
            steps: steps.to_vec(),
            now: life.now(),
        }
    }

    /// The life of the script.
    fn of_script() -> Self {
        let steps = script();
        let mut life = Life::new(&steps);
        life.run(&steps);
        life.kill();
        Self::of(&life, &steps)
    }

    /// What may be seen after the first `cut` events, by what was acknowledged and what was begun.
    fn worlds(&self, cut: usize) -> Vec<World> {
        let (done, began) = self.deeds(cut);
        if cut < self.start.0 { self.start.1.clone() } else { self.history[done..=began.max(done)].concat() }
    }

    /// The last deeds that were acknowledged, and begun, in the first `cut` events.
    fn deeds(&self, cut: usize) -> (usize, usize) {
        let (mut done, mut began) = (0, 0);
        for event in &self.events[..cut] {
            if let Event::Began(deed) = event {
                began = *deed;
            } else if let Event::Done(deed) = event {
                done = *deed;
            }
        }
        (done, began)
    }

    /// Every directory that a cut behind the first `from` events may leave, each once for what may be seen in it.
    fn left(&self, seed: u64, from: usize) -> Vec<Left> {
        let mut platter = self.base.clone();
        let (mut all, mut known) = (Vec::new(), HashSet::new());
        for (at, event) in self.events.iter().enumerate() {
            platter.follow(event);
            let cut = at + 1;
            if cut < from {
                continue;
            }
            let held = (cut < self.start.0, self.deeds(cut));
            for (number, image) in platter.images(&mut Random(seed ^ cut as u64)).into_iter().enumerate() {
                let image = without_index(image);
                if known.insert((hash_of(&image), held)) {
                    all.push(Left { cut, number, image });
                }
            }
        }
        all
    }

    /// The disk after the first `cut` events.
    fn platter(&self, cut: usize) -> Platter {
        let mut platter = self.base.clone();
        for event in &self.events[..cut] {
            platter.follow(event);
        }
        platter
    }

    /// Starts on `base`, of which the system sees `image`, does a little, and is killed.
    fn start_on(&self, base: Platter, image: &Image, worlds: Vec<World>) -> Self {
        let mut life = self.life_on(image, worlds.clone());
        life.open().unwrap_or_else(|error| panic!("it can't be opened: {error}"));
        let start = life.probe.events().len();
        life.compare();
        life.history = vec![life.worlds.clone()];
        for deed in [Deed::User(8), Deed::Session(81, 8), Deed::Send(81, 8, "between", 0, None)] {
            life.act(&deed);
        }
        life.kill();
        Self { base, start: (start, worlds), ..Self::of(&life, &self.steps) }
    }

    /// A life on what is left.
    fn life_on(&self, image: &Image, worlds: Vec<World>) -> Life {
        let root = place();
        write(image, root.path());
        let mut life = Life::on(root, self.births.clone(), self.now, &self.steps);
        life.worlds = worlds;
        life
    }
}

/// After a power cut nothing of the index is believed; without it there is nothing to believe.
fn without_index(mut image: Image) -> Image {
    image.retain(|path, _| !path.starts_with("data/index"));
    image
}

fn write(image: &Image, root: &std::path::Path) {
    for (path, content) in image {
        match content {
            None => std::fs::create_dir_all(root.join(path)).unwrap(),
            Some(bytes) => std::fs::write(root.join(path), bytes).unwrap(),
        }
    }
}

/// Opens what is left, and wants what was acknowledged, nothing twice, the same again, and nothing for a check to find.
fn check(trace: &Trace, image: &Image, worlds: Vec<World>, garbage: bool) -> Life {
    let mut life = trace.life_on(image, worlds);
    if garbage {
        let index = life.root.path().join("data/index");
        std::fs::create_dir_all(&index).unwrap();
        std::fs::write(index.join("db"), vec![0xA5; 40_000]).unwrap();
        std::fs::write(index.join("conf"), b"what is this").unwrap();
    }
    life.open().unwrap_or_else(|error| panic!("it can't be opened: {error}"));
    life.compare();
    for deed in [Deed::User(9), Deed::Session(91, 9), Deed::Send(91, 9, "afterwards", 0, None)] {
        life.act(&deed);
    }
    let seen = life.compare();
    life.stop();
    life.verify();
    life.open().unwrap();
    assert_eq!(life.compare(), seen);
    life.kill();
    life
}

/// Which of the directories to try, from the environment.
enum Wanted {
    All(u64),
    Some(u64),
    One(u64, usize, usize),
}

impl Wanted {
    fn from_environment() -> Self {
        let new = || u64::from(std::process::id());
        match std::env::var("BONDHU_CRASH") {
            Err(_) => Self::Some(new()),
            Ok(all) if all == "all" => Self::All(new()),
            Ok(one) => {
                let parts: Vec<u64> = one.split(':').map(|part| part.parse().unwrap()).collect();
                let at = |part: usize| usize::try_from(parts[part]).unwrap();
                Self::One(parts[0], at(1), at(2))
            }
        }
    }

    fn seed(&self) -> u64 {
        match self {
            Self::All(seed) | Self::Some(seed) | Self::One(seed, ..) => *seed,
        }
    }

    /// Of `count` things about `some`, or what was asked for.
    fn picks(&self, some: usize, count: usize, random: &mut Random) -> bool {
        match self {
            Self::All(_) | Self::One(..) => true,
            Self::Some(_) => random.below(count.max(1)) < some,
        }
    }

    fn is_it(&self, left: &Left) -> bool {
        match self {
            Self::All(_) | Self::Some(_) => true,
            Self::One(_, cut, image) => (left.cut, left.number) == (*cut, *image),
        }
    }
}

/// Runs `test`, and says how to run it again where it fails.
fn repeatable(again: &str, test: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(test)) {
        eprintln!("run it again with {again}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_power_cut_at_every_point_loses_nothing_that_was_acknowledged() {
    let wanted = Wanted::from_environment();
    let (began, mut tried, mut random) = (Instant::now(), 0, Random(wanted.seed()));
    let trace = Trace::of_script();
    let left = trace.left(wanted.seed(), 0);
    for state in &left {
        let garbage = random.one_in(8);
        if wanted.picks(IMAGES, left.len(), &mut random) && wanted.is_it(state) {
            let again = format!("BONDHU_CRASH={}:{}:{}", wanted.seed(), state.cut, state.number);
            repeatable(&again, || drop(check(&trace, &state.image, trace.worlds(state.cut), garbage)));
            tried += 1;
        }
    }
    let (seed, cuts) = (wanted.seed(), trace.events.len());
    eprintln!("power: seed {seed}, {cuts} cuts, {} directories, {tried} tried in {:?}", left.len(), began.elapsed());
}

/// A start changes files too: it may be cut short like everything else.
#[test]
fn a_power_cut_during_the_start_after_a_power_cut_loses_nothing() {
    let wanted = Wanted::from_environment();
    let (began, mut tried, mut random) = (Instant::now(), 0, Random(wanted.seed()));
    let trace = Trace::of_script();
    let first = trace.left(wanted.seed(), 0);
    let mut directories = 0;
    for state in &first {
        if !wanted.picks(STARTS, first.len(), &mut random) {
            continue;
        }
        let next = trace.start_on(Platter::of(&state.image), &state.image, trace.worlds(state.cut));
        let left = next.left(wanted.seed(), 0);
        directories += left.len();
        for second in &left {
            if wanted.picks(IMAGES_EACH, left.len(), &mut random) && wanted.is_it(second) {
                let (seed, Left { cut, number, .. }) = (wanted.seed(), state);
                let again = format!("{seed}:{cut}:{number}, then BONDHU_CRASH={seed}:{}:{}", second.cut, second.number);
                repeatable(&again, || drop(check(&next, &second.image, next.worlds(second.cut), false)));
                tried += 1;
            }
        }
    }
    let seed = wanted.seed();
    eprintln!(
        "starts: seed {seed}, {} directories to start on, {directories} after cuts of the starts looked at, {tried} tried \
         in {:?}",
        first.len(),
        began.elapsed()
    );
}

/// What one process wrote and did not sync, the next one finds, and takes for true: it has to make it durable.
#[test]
fn a_power_cut_after_a_kill_loses_nothing_that_the_next_start_has_shown() {
    let wanted = Wanted::from_environment();
    let (began, mut tried, mut random) = (Instant::now(), 0, Random(wanted.seed()));
    let trace = Trace::of_script();
    let cuts: Vec<usize> = (1..=trace.events.len()).filter(|cut| changes(&trace.events[cut - 1])).collect();
    let mut directories = 0;
    for &kill in &cuts {
        if !wanted.picks(KILLS, cuts.len(), &mut random) {
            continue;
        }
        let platter = trace.platter(kill);
        let image = without_index(platter.cached());
        let next = trace.start_on(platter, &image, trace.worlds(kill));
        let left = next.left(wanted.seed(), 0);
        directories += left.len();
        for state in &left {
            if wanted.picks(IMAGES_EACH, left.len(), &mut random) && wanted.is_it(state) {
                let again = format!("a kill at {kill}, BONDHU_CRASH={}:{}:{}", wanted.seed(), state.cut, state.number);
                repeatable(&again, || drop(check(&next, &state.image, next.worlds(state.cut), false)));
                tried += 1;
            }
        }
    }
    let seed = wanted.seed();
    eprintln!(
        "kills: seed {seed}, {} points to be killed at, {directories} directories after cuts of the starts looked at, \
         {tried} tried in {:?}",
        cuts.len(),
        began.elapsed()
    );
}

/// After a sync that failed, the system may take for written what is not: the next start reads it and must not rely on it.
#[test]
fn a_power_cut_after_a_failed_sync_loses_nothing_that_was_acknowledged() {
    let wanted = Wanted::from_environment();
    let (began, mut tried, mut random) = (Instant::now(), 0, Random(wanted.seed()));
    let steps = script();
    let mut life = Life::new(&steps);
    life.run(&steps);
    let mut faults = Vec::new();
    for kind in [Kind::SyncData, Kind::SyncAll] {
        let how = How::Error(Errno::IO);
        let count = life.probe.count(kind, Area::Journal);
        faults.extend((1..=count).map(|number| Fault { kind, area: Area::Journal, number, how, lasts: false }));
    }
    life.kill();
    let mut directories = 0;
    for fault in &faults {
        if !wanted.picks(SYNCS, faults.len(), &mut random) {
            continue;
        }
        let mut life = Life::new(&steps).with_fault(*fault);
        life.run(&steps);
        life.kill();
        let trace = Trace::of(&life, &steps);
        let Some(at) = trace.events.iter().position(|event| matches!(event, Event::NotSynced(_))) else { continue };
        let left = trace.left(wanted.seed(), at);
        directories += left.len();
        for state in &left {
            if wanted.picks(IMAGES_EACH, left.len(), &mut random) && wanted.is_it(state) {
                let again = format!("{fault:?}, BONDHU_CRASH={}:{}:{}", wanted.seed(), state.cut, state.number);
                repeatable(&again, || drop(check(&trace, &state.image, trace.worlds(state.cut), false)));
                tried += 1;
            }
        }
    }
    let seed = wanted.seed();
    eprintln!(
        "syncs: seed {seed}, {} syncs that may fail, {directories} directories after cuts looked at, {tried} tried in {:?}",
        faults.len(),
        began.elapsed()
    );
}

/// True for what changes what a disk holds, or may hold.
fn changes(event: &Event) -> bool {
    !matches!(event, Event::Began(_) | Event::Done(_))
}
