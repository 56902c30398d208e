//! More than the slots can carry: what is taken, what is refused and how soon, how the limit follows, and who gets what.
//!
//! Budget, at 1, 2, 5 and 10 times the capacity: 1.00, 0.95, 0.90 and 0.80 of it are answered; what finds the queue full is
//! refused within 10 ms (p99); nobody waits in the queue for more than 2 s; memory stays flat; 5 s later a load of 0.7 has
//! no errors. The limit never leaves its bounds. Fairness by Jain's index is 0.9 while one user asks for half of all.
//!
//! The load is an open loop: requests leave at fixed times, whatever the answers do, and each latency begins when its
//! request should have left. The model server is a stub on threads of its own; bondhu has a process of its own.
//!
//! `cargo bench --bench overload -- [open] [step] [fair] [quick]`, by default all three in full length, 7 minutes;
//! `benches/plot` then draws what was written to `target/bench`.

#[path = "overload/fair.rs"]
mod fair;
#[expect(dead_code, reason = "other benches ask it for more")]
mod load;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "overload/offer.rs"]
mod offer;
#[path = "overload/open.rs"]
mod open;
#[path = "overload/step.rs"]
mod step;
#[path = "../tests/it/support/stub.rs"]
#[expect(dead_code, reason = "the tests ask it for more")]
mod stub;

use std::{fmt::Write as _, path::Path};

use crate::{load::server::raise_open_files, stub::Stub};

/// Where the figures go, from the root of the project.
const OUT: &str = "target/bench";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let (quick, parts): (Vec<_>, Vec<_>) = words.iter().map(String::as_str).partition(|word| *word == "quick");
    let (quick, wanted) = (!quick.is_empty(), |part: &str| parts.is_empty() || parts.contains(&part));
    raise_open_files();
    let stub = Stub::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    if wanted("open") {
        runtime.block_on(open::run(&stub, quick));
    }
    if wanted("step") {
        runtime.block_on(step::run(&stub, quick));
    }
    if wanted("fair") {
        runtime.block_on(fair::run(&stub));
    }
}

/// Writes lines of figures for `benches/plot`.
fn write(name: &str, head: &str, lines: &[String]) {
    let mut text = format!("{head}\n");
    for line in lines {
        let _ = writeln!(text, "{line}");
    }
    std::fs::create_dir_all(OUT).expect("a directory for the figures");
    std::fs::write(Path::new(OUT).join(name), text).expect("the figures are written");
}
