//! `bondhu check`: everything that a data directory can show of the promises about the data.

use std::path::Path;

use super::{Failure, print, progress::Progress};
use crate::{
    backup::{self, Manifest},
    store::{FORMAT, OpenError, Verdict, is_data_dir, verify},
};

/// Looks at `dir`, which no server may be using; fails with everything that is wrong.
pub(super) fn run(dir: &Path) -> Result<(), Failure> {
    if !is_data_dir(dir) {
        let hint = backup::newest_below(dir)
            .map_or_else(String::new, |backup| format!(": the newest backup below it is {}", backup.display()));
        return Err(Failure::Failed(format!("there is no data directory {}{hint}", dir.display())));
    }
    let mut progress = Progress::new("checking");
    let manifest = backup::check(dir, |done, total| progress.step(done, total));
    let manifest = manifest.map_err(|error| Failure::Failed(error.to_string()))?;
    let verdict = verify(dir, |done, total| progress.step(done, total));
    progress.end();
    let verdict = verdict.map_err(|error| Failure::Failed(refusal(&error)))?;
    if let Some(Manifest { made_at, files, .. }) = &manifest {
        print(&format!("backup      made {made_at}; {} files are as backup.json says\n", files.len()))?;
    }
    print(&summary(&verdict))?;
    print_doubt(manifest.as_ref(), &verdict)?;
    if verdict.findings.is_empty() {
        return print("nothing is wrong\n");
    }
    Err(Failure::Failed(faults(&verdict)))
}

/// Says it where the end may be missing. Of a backup, backup.json names the last segment.
pub(super) fn print_doubt(manifest: Option<&Manifest>, verdict: &Verdict) -> Result<(), Failure> {
    match (manifest, &verdict.end_in_doubt) {
        (None, Some(why)) => print(&format!("end         not certain: {why}\n")),
        (Some(_), _) | (None, None) => Ok(()),
    }
}

fn refusal(error: &OpenError) -> String {
    match error {
        OpenError::InUse(dir) => {
            format!("{} is in use by a server: stop it first, or check a copy of the directory", dir.display())
        }
        OpenError::Damaged { .. }
        | OpenError::Newer { .. }
        | OpenError::Io { .. }
        | OpenError::DiskFull
        | OpenError::Thread(_)
        | OpenError::Index(_) => error.to_string(),
    }
}

/// What was seen.
pub(super) fn summary(verdict: &Verdict) -> String {
    let Verdict { users, sessions, messages, open_turns, jobs, .. } = verdict;
    let last = verdict.last_message_at.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let format = format_of(verdict);
    let index = match (&verdict.index_to_rebuild, verdict.findings.is_empty()) {
        (Some(why), _) => format!("not compared: the next start rebuilds it ({why})"),
        (None, true) => "the same as the journal".to_owned(),
        (None, false) => "see below".to_owned(),
    };
    format!(
        "users       {users}\nsessions    {sessions}\nmessages    {messages}\nlast one    {last}\nopen turns  {open_turns}\njobs        {jobs}\nformat      \
         {format}\nindex       {index}\n"
    )
}

/// Which formats the segments have, and what a start makes of that.
fn format_of(verdict: &Verdict) -> String {
    match verdict.formats {
        None => format!("{FORMAT}, once something is stored"),
        Some((FORMAT, _)) => format!("{FORMAT}, which this program writes"),
        Some((oldest, FORMAT)) => {
            format!("{oldest} to {FORMAT}; this program goes on in {FORMAT}, which older ones refuse")
        }
        Some((oldest, newest)) => {
            let shown = if oldest == newest { oldest.to_string() } else { format!("{oldest} to {newest}") };
            format!(
                "{shown}; this program can read it, and its first start goes on in {FORMAT}, which older ones refuse"
            )
        }
    }
}

/// What is wrong, a line each.
fn faults(verdict: &Verdict) -> String {
    let mut lines: Vec<String> = verdict.findings.iter().map(|finding| finding.0.clone()).collect();
    if verdict.more > 0 {
        lines.push(format!("and {} more", verdict.more));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Finding;

    #[test]
    fn a_directory_is_told_apart_before_and_after_its_upgrade() {
        let told = |formats| format_of(&Verdict { formats, ..Verdict::default() });
        assert!(told(Some((FORMAT, FORMAT))).contains("which this program writes"));
        assert!(
            told(Some((FORMAT - 1, FORMAT))).contains("goes on in") && !told(Some((1, FORMAT))).contains("first start")
        );
        assert!(told(Some((1, FORMAT - 1))).contains("its first start goes on in"));
    }

    #[test]
    fn every_finding_has_its_line_and_the_rest_is_counted() {
        let findings = vec![Finding("one".to_owned()), Finding("two".to_owned())];
        let verdict = Verdict { findings, more: 7, ..Verdict::default() };
        assert_eq!(faults(&verdict), "one\ntwo\nand 7 more");
    }
}
