//! Targets of the fuzzer: what must hold whatever bytes come from outside.
//!
//! Compiled for `tests/fuzz/run`, which looks for bytes that break a rule, and for the tests, which hold the rules to what
//! was found so far (`tests/fuzz/corpus`). A target stands beside what it is about, and panics where a rule is broken;
//! here are their names.

mod events;

use crate::{config, http, reply, store};

/// Something that takes bytes from outside.
#[derive(Debug)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Holds the rules to these bytes.
    ///
    /// # Panics
    /// Where one is broken.
    pub run: fn(&[u8]),
}

/// All targets.
pub static TARGETS: &[Target] = &[
    Target { name: "segments", run: store::fuzz::segments },
    Target { name: "records", run: store::fuzz::records },
    Target { name: "keys", run: store::fuzz::keys },
    Target { name: "bodies", run: http::fuzz::bodies },
    Target { name: "programs", run: http::fuzz::programs },
    Target { name: "targets", run: http::fuzz::targets },
    Target { name: "headers", run: http::fuzz::headers },
    Target { name: "events", run: events::events },
    Target { name: "answers", run: reply::fuzz::answers },
    Target { name: "configs", run: config::fuzz::configs },
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    /// Every input that once broke a rule is among these.
    #[test]
    fn the_rules_hold_for_all_that_was_found_so_far() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for target in TARGETS {
            let files: Vec<_> =
                fs::read_dir(corpus.join(target.name)).unwrap().map(|file| file.unwrap().path()).collect();
            assert!(files.len() > 3, "{} has no corpus", target.name);
            for file in files {
                let bytes = fs::read(&file).unwrap();
                let held = std::panic::catch_unwind(|| (target.run)(&bytes));
                assert!(held.is_ok(), "{} does not hold for {}", target.name, file.display());
            }
        }
    }

    #[test]
    fn every_corpus_has_its_target() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        let names = fs::read_dir(corpus).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.collect::<BTreeSet<_>>(), TARGETS.iter().map(|target| target.name.to_owned()).collect());
    }
}
