//! The text that Prometheus reads, format 0.0.4: families of series, each with its help and its type.

use std::fmt::Write as _;

use super::{Labelled, Reading, float};

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, and begins at 0 when the process does.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by bucket.
    Histogram,
}

/// Writes families one after the other. Names begin with `bondhu_`; units come last in a name, and `_total` behind them
/// for counters: that is the caller's to keep, and a test's to look at.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
    family: &'static str,
}

impl Exposition {
    /// Begins a family; its series follow.
    pub fn family(&mut self, name: &'static str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.text.push_str("# HELP ");
        self.text.push_str(name);
        self.text.push(' ');
        escape(&mut self.text, help, false);
        self.line(format_args!("\n# TYPE {name} {kind}"));
        self.family = name;
    }

    /// One series of the family that was begun.
    pub fn series(&mut self, labels: &[(&str, &str)], value: f64) {
        self.name("", labels);
        self.value(value);
    }

    /// A family of one counter.
    pub fn counter(&mut self, name: &'static str, help: &str, value: u64) {
        self.family(name, Kind::Counter, help);
        self.series(&[], float(value));
    }

    /// A family of one gauge.
    pub fn gauge(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, Kind::Gauge, help);
        self.series(&[], value);
    }

    /// A family of one counter for each word, told apart by `label`.
    pub fn labelled(&mut self, name: &'static str, help: &str, label: &str, counts: &Labelled) {
        self.family(name, Kind::Counter, help);
        for (word, count) in counts.all() {
            self.series(&[(label, word)], float(count));
        }
    }

    /// One histogram of the family that was begun, in seconds, with the buckets that end at `bounds`, microseconds.
    pub fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[u64], reading: &Reading) {
        for bound in bounds {
            let seconds = (float(*bound) / 1e6).to_string();
            self.bucket(labels, &seconds, reading.at_most(*bound));
        }
        self.bucket(labels, "+Inf", reading.count());
        self.name("_sum", labels);
        self.value(reading.sum());
        self.name("_count", labels);
        self.value(float(reading.count()));
    }

    /// The whole text.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn bucket(&mut self, labels: &[(&str, &str)], bound: &str, count: u64) {
        let mut all = labels.to_vec();
        all.push(("le", bound));
        self.name("_bucket", &all);
        self.value(float(count));
    }

    fn name(&mut self, suffix: &str, labels: &[(&str, &str)]) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            self.text.push(if at == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(&mut self.text, value, true);
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
    }

    fn value(&mut self, value: f64) {
        match value {
            value if value.is_nan() => self.line(format_args!(" NaN")),
            value if value.is_infinite() => self.line(format_args!(" {}Inf", if value > 0.0 { '+' } else { '-' })),
            value => self.line(format_args!(" {value}")),
        }
    }

    fn line(&mut self, rest: std::fmt::Arguments<'_>) {
        // Writing into a string can't fail.
        let _ = writeln!(self.text, "{rest}");
    }
}

/// Appends `text` as help, or as the value of a label, is written.
fn escape(into: &mut String, text: &str, is_label: bool) {
    for c in text.chars() {
        match c {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '"' if is_label => into.push_str("\\\""),
            c => into.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Histogram;

    #[test]
    fn help_and_type_come_first_and_what_would_break_a_line_is_escaped() {
        let mut text = Exposition::default();
        text.family("a_total", Kind::Counter, "One \\ two\nthree \"four\".");
        text.series(&[("path", "a\"b\\c\nd"), ("x", "ä")], 3.0);
        text.gauge("b_ratio", "A part.", 0.25);
        text.gauge("c", "Odd ones.", f64::NAN);
        text.series(&[("of", "more")], f64::INFINITY);
        text.series(&[("of", "less")], f64::NEG_INFINITY);
        let wanted = "# HELP a_total One \\\\ two\\nthree \"four\".\n# TYPE a_total counter\n\
                      a_total{path=\"a\\\"b\\\\c\\nd\",x=\"ä\"} 3\n\
                      # HELP b_ratio A part.\n# TYPE b_ratio gauge\nb_ratio 0.25\n\
                      # HELP c Odd ones.\n# TYPE c gauge\nc NaN\nc{of=\"more\"} +Inf\nc{of=\"less\"} -Inf\n";
        assert_eq!(text.finish(), wanted);
    }

    #[test]
    fn a_histogram_counts_upwards_to_all() {
        let histogram = Histogram::default();
        for millis in [1, 4, 600] {
            histogram.record(Duration::from_millis(millis));
        }
        let mut text = Exposition::default();
        text.family("t_seconds", Kind::Histogram, "Times.");
        text.histogram(&[("of", "x")], &[500, 1_000, 500_000], &histogram.read());
        let wanted = "# HELP t_seconds Times.\n# TYPE t_seconds histogram\n\
                      t_seconds_bucket{of=\"x\",le=\"0.0005\"} 0\nt_seconds_bucket{of=\"x\",le=\"0.001\"} 1\n\
                      t_seconds_bucket{of=\"x\",le=\"0.5\"} 2\nt_seconds_bucket{of=\"x\",le=\"+Inf\"} 3\n\
                      t_seconds_sum{of=\"x\"} 0.605\nt_seconds_count{of=\"x\"} 3\n";
        assert_eq!(text.finish(), wanted);
    }
}
