//! Progress of long work, on a terminal.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Work that is shorter than this shows no progress.
const SHOW_AFTER: Duration = Duration::from_secs(1);

const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left";
const THINGS: &str = "{msg} {wide_bar} {pos}/{len}, {eta} left";

/// A bar on the terminal, once the work takes long enough to want one; nothing where there is no terminal.
pub(super) struct Progress {
    what: &'static str,
    template: &'static str,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work on bytes that begins now; `what` is what is being done.
    pub(super) fn new(what: &'static str) -> Self {
        Self { what, template: BYTES, began: Instant::now(), bar: None }
    }

    /// Work on things that are counted.
    pub(super) fn counting(what: &'static str) -> Self {
        Self { what, template: THINGS, began: Instant::now(), bar: None }
    }

    /// So many of so many are done.
    pub(super) fn step(&mut self, done: u64, total: u64) {
        if self.bar.is_none() && self.began.elapsed() < SHOW_AFTER {
            return;
        }
        let bar = self
            .bar
            .get_or_insert_with(|| ProgressBar::new(total).with_style(style(self.template)).with_message(self.what));
        bar.set_length(total);
        bar.set_position(done);
    }

    /// Takes the bar away.
    pub(super) fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a template of our own that names only what there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_has_a_style() {
        style(BYTES);
        style(THINGS);
    }
}
