//! `bondhu check`: everything that a data directory can show of the promises about the data.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::{Failure, print};
use crate::store::{OpenError, Verdict, verify};

/// Work that is shorter than this shows no progress.
const SHOW_AFTER: Duration = Duration::from_secs(1);

/// Looks at `dir`, which no server may be using; fails with everything that is wrong.
pub(super) fn run(dir: &Path) -> Result<(), Failure> {
    if !dir.join("journal").is_dir() {
        return Err(Failure::Failed(format!("there is no data directory {}", dir.display())));
    }
    let mut progress = Progress::new();
    let verdict = verify(dir, |done, total| progress.step(done, total));
    progress.end();
    let verdict = verdict.map_err(|error| Failure::Failed(refusal(&error)))?;
    print(&summary(&verdict))?;
    if verdict.findings.is_empty() {
        return print("nothing is wrong\n");
    }
    Err(Failure::Failed(faults(&verdict)))
}

fn refusal(error: &OpenError) -> String {
    match error {
        OpenError::InUse(dir) => {
            format!("{} is in use by a server: stop it first, or check a copy of the directory", dir.display())
        }
        OpenError::Damaged { .. } | OpenError::Newer { .. } | OpenError::Io { .. } | OpenError::Index(_) => {
            error.to_string()
        }
    }
}

/// What was seen.
fn summary(verdict: &Verdict) -> String {
    let Verdict { users, sessions, messages, open_turns, jobs, .. } = verdict;
    let index = match (&verdict.index_to_rebuild, verdict.findings.is_empty()) {
        (Some(why), _) => format!("not compared: the next start rebuilds it ({why})"),
        (None, true) => "the same as the journal".to_owned(),
        (None, false) => "see below".to_owned(),
    };
    format!(
        "users       {users}\nsessions    {sessions}\nmessages    {messages}\nopen turns  {open_turns}\njobs        {jobs}\nindex       {index}\n"
    )
}

/// What is wrong, a line each.
fn faults(verdict: &Verdict) -> String {
    let mut lines: Vec<String> = verdict.findings.iter().map(|finding| finding.0.clone()).collect();
    if verdict.more > 0 {
        lines.push(format!("and {} more", verdict.more));
    }
    lines.join("\n")
}

/// A bar on the terminal, once the work takes long enough to want one; nothing where there is no terminal.
struct Progress {
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), bar: None }
    }

    fn step(&mut self, done: u64, total: u64) {
        if self.bar.is_none() && self.began.elapsed() < SHOW_AFTER {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| ProgressBar::new(total).with_style(style()));
        bar.set_position(done);
    }

    fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("checking {wide_bar} {bytes}/{total_bytes}, {eta} left")
        .expect("a template of our own that names only what there is")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Finding;

    #[test]
    fn every_finding_has_its_line_and_the_rest_is_counted() {
        let findings = vec![Finding("one".to_owned()), Finding("two".to_owned())];
        let verdict = Verdict { findings, more: 7, ..Verdict::default() };
        assert_eq!(faults(&verdict), "one\ntwo\nand 7 more");
    }

    #[test]
    fn a_bar_has_a_style() {
        style();
    }
}
