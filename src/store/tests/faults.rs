//! Every operation on a file fails once, and from then on, at every place of a store's life.

use std::collections::BTreeMap;

use rustix::io::Errno;

use super::{
    life::{Life, Step, script},
    model::Deed,
    probe::{Area, Counts, Fault, How, Kind},
};

/// Of all runs, every so many-th is made in the normal test run; `BONDHU_FAULTS=all` makes all, `1000..2000` those, a
/// number just that one.
const STRIDE: usize = 53;

fn all_faults(counts: &Counts) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (&(kind, area), &count) in counts {
        let ways = ways(kind);
        for number in 1..=count {
            faults.extend(ways.iter().map(|&(how, lasts)| Fault { kind, area, number, how, lasts }));
        }
    }
    faults
}

fn ways(kind: Kind) -> Vec<(How, bool)> {
    let mut ways = vec![(How::Error(Errno::IO), false), (How::Error(Errno::IO), true)];
    if kind.can_fail_with(Errno::NOSPC) && kind != Kind::Read {
        ways.extend([(How::Error(Errno::NOSPC), false), (How::Error(Errno::NOSPC), true)]);
    }
    if matches!(kind, Kind::Write | Kind::Read) {
        ways.push((How::Short(None), false));
    }
    if kind == Kind::Write {
        ways.push((How::Short(Some(Errno::IO)), false));
        ways.extend([(How::Short(Some(Errno::NOSPC)), false), (How::Short(Some(Errno::NOSPC)), true)]);
    }
    ways
}

#[test]
fn every_fault_at_every_place_loses_nothing_that_was_acknowledged() {
    let steps = script();
    let mut life = Life::new(&steps);
    life.run(&steps);
    let counts = life.probe.counts();
    life.kill();
    let faults = all_faults(&counts);
    let asked = std::env::var("BONDHU_FAULTS").ok();
    let chosen: Vec<usize> = match asked.as_deref() {
        None => (std::process::id() as usize % STRIDE..faults.len()).step_by(STRIDE).collect(),
        Some("all") => (0..faults.len()).collect(),
        Some(asked) => match asked.split_once("..") {
            Some((from, to)) => (from.parse().unwrap()..to.parse::<usize>().unwrap().min(faults.len())).collect(),
            None => vec![asked.parse().unwrap()],
        },
    };
    let points: usize = counts.values().sum();
    eprintln!("faults: {points} points, {} faults, {} chosen: {:?}..", faults.len(), chosen.len(), chosen.first());
    let mut happened = 0;
    let began = std::time::Instant::now();
    let mut by_kind: BTreeMap<(Kind, Area), usize> = BTreeMap::new();
    for &number in &chosen {
        let fault = faults[number];
        let failed = std::panic::catch_unwind(|| one_life(&steps, fault));
        match failed {
            Ok(true) => {
                happened += 1;
                *by_kind.entry((fault.kind, fault.area)).or_default() += 1;
            }
            Ok(false) => {}
            Err(panic) => {
                eprintln!("BONDHU_FAULTS={number}: {fault:?}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("faults: {} lives, in {happened} the fault happened, {:?}: {by_kind:?}", chosen.len(), began.elapsed());
    assert!(happened * 10 >= chosen.len() * 9, "most faults did not happen: the lives differ");
}

/// Lives with one fault, and then without; true where it happened.
fn one_life(steps: &[Step], fault: Fault) -> bool {
    let mut life = Life::new(steps).with_fault(fault);
    life.run(steps);
    life.kill();
    let happened = life.probe.happened().is_some();
    life.probe.heal();
    life.open().unwrap_or_else(|error| panic!("it can't be opened any more: {error}"));
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
    happened
}
