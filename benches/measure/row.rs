//! Rows of the table that `benches/run` collects.
//!
//! Each is a line of fields between tabs, at the end of the file that `BENCH_ROWS` names: figure, goal, limit, ours,
//! ratio, verdict, command. A bench that is run alone prints them only.

use std::{fs::OpenOptions, io::Write};

use super::figures::Spread;

/// What a figure should be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing: it is shown beside others.
    Shown,
}

/// One figure.
pub(crate) struct Row {
    pub(crate) figure: String,
    pub(crate) goal: Goal,
    /// What it is compared with; empty where that is nothing.
    pub(crate) limit: String,
    pub(crate) ours: String,
    /// What the goal is for: a ratio, or ours itself.
    pub(crate) judged: Spread,
    /// The unit of what the goal is for; none of a ratio.
    pub(crate) unit: &'static str,
}

impl Row {
    /// A comparison: `ratio` is ours by the limit.
    pub(crate) fn ratio(figure: &str, goal: Goal, limit: String, ours: String, ratio: Spread) -> Self {
        Self { figure: figure.to_owned(), goal, limit, ours, judged: ratio, unit: "" }
    }

    /// A value by itself.
    pub(crate) fn value(figure: &str, goal: Goal, ours: Spread, unit: &'static str) -> Self {
        let text = with_unit(&spread(ours), unit);
        Self { figure: figure.to_owned(), goal, limit: String::new(), ours: text, judged: ours, unit }
    }

    /// The same, with something to compare it with.
    pub(crate) fn beside(self, limit: &str) -> Self {
        Self { limit: limit.to_owned(), ..self }
    }

    /// Prints it, and adds it to the table.
    pub(crate) fn print(&self) {
        let goal = |word: &str, goal: f64| format!("{word} {}", with_unit(&number(goal), self.unit));
        let (goal, verdict) = match self.goal {
            Goal::AtLeast(least) => (goal("at least", least), verdict(self.judged.median >= least)),
            Goal::AtMost(most) => (goal("at most", most), verdict(self.judged.median <= most)),
            Goal::Shown => (String::new(), ""),
        };
        let ratio = if self.unit.is_empty() { spread(self.judged) } else { String::new() };
        println!("{:52} | {:22} | {:32} | {:32} | {ratio:20} | {verdict}", self.figure, goal, self.limit, self.ours);
        let fields = [&self.figure, &goal, &self.limit, &self.ours, &ratio, verdict, &command()];
        if let Ok(path) = std::env::var("BENCH_ROWS") {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let line = fields.join("\t") + "\n";
            file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the table can be written");
        }
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

/// What was run, to be run again.
fn command() -> String {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let name = env!("CARGO_CRATE_NAME");
    if words.is_empty() {
        format!("cargo bench --bench {name}")
    } else {
        format!("cargo bench --bench {name} -- {}", words.join(" "))
    }
}

fn with_unit(text: &str, unit: &str) -> String {
    if unit.is_empty() { text.to_owned() } else { format!("{text} {unit}") }
}

/// The median, and where rounds differ, the least and the most.
pub(crate) fn spread(spread: Spread) -> String {
    let (median, least, most) = (number(spread.median), number(spread.least), number(spread.most));
    if least == most { median } else { format!("{median} ({least} to {most})") }
}

/// A number as people read it: three digits count, thousands are apart.
pub(crate) fn number(value: f64) -> String {
    let digits = if value.abs() < 0.995 {
        if value == 0.0 {
            0
        } else if value.abs() < 0.01 {
            4
        } else {
            2
        }
    } else if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    };
    let plain = format!("{value:.digits$}");
    let (whole, part) = plain.split_once('.').map_or((plain.as_str(), ""), |(whole, part)| (whole, part));
    let mut text = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && digit != '-' {
            text.push(',');
        }
        text.push(digit);
    }
    if part.trim_end_matches('0').is_empty() { text } else { format!("{text}.{part}") }
}
