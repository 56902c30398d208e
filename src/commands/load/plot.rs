//! Latency and throughput over time, drawn as SVG.

use std::fmt::Write as _;

use super::{
    figures::Second,
    report::{Outcome, ms},
};

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 240.0;
/// Room for what is written at the axes.
const LEFT: f64 = 70.0;
const TOP: f64 = 50.0;
/// From one panel to the next.
const APART: f64 = 80.0;

/// One line of a panel: its name, its colour, its values.
type Line = (&'static str, &'static str, Vec<f64>);

/// The drawing.
pub(super) fn svg(outcome: &Outcome) -> String {
    let mut seconds: Vec<Second> = Vec::new();
    for phase in &outcome.phases {
        // The last one is a part of a second, and would look like a fall.
        let whole = phase.figures.seconds.len().saturating_sub(1).max(1);
        seconds.extend(phase.figures.seconds.iter().take(whole));
    }
    let of = |value: fn(&Second) -> u64| seconds.iter().map(|second| ms(value(second) * 1000)).collect::<Vec<f64>>();
    let latency: [Line; 2] = [
        ("p50", "#1f77b4", seconds.iter().map(|second| ms(second.p50_us)).collect()),
        ("p99", "#d62728", seconds.iter().map(|second| ms(second.p99_us)).collect()),
    ];
    let throughput: [Line; 3] = [
        ("answered", "#2ca02c", of(|second| second.ok)),
        ("refused", "#ff7f0e", of(|second| second.refused)),
        ("errors", "#d62728", of(|second| second.errors)),
    ];
    let (width, height) = (LEFT + WIDTH + 30.0, TOP + 2.0 * HEIGHT + APART + 60.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    panel(&mut out, TOP, "latency, ms", &latency);
    panel(&mut out, TOP + HEIGHT + APART, "a second", &throughput);
    let (middle, below) = (LEFT + WIDTH / 2.0, height - 12.0);
    let _ = writeln!(out, "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">seconds</text>\n</svg>");
    out
}

/// One panel with its axes.
fn panel(out: &mut String, top: f64, title: &str, lines: &[Line]) {
    let points = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0);
    let most = lines.iter().flat_map(|(_, _, values)| values).copied().fold(0.0, f64::max);
    let (most, step) = scale(most);
    let bottom = top + HEIGHT;
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\" font-weight=\"bold\">{title}</text>", top - 14.0);
    let mut at = 0.0;
    while at <= most * 1.001 {
        let y = bottom - at / most * HEIGHT;
        let _ = writeln!(
            out,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT + WIDTH,
            LEFT - 8.0,
            y + 4.0,
            label(at)
        );
        at += step;
    }
    let last = (points.max(2) - 1).max(1);
    let x = |index: usize| LEFT + place(index, last) * WIDTH;
    let every = (last / 10).max(1);
    for second in (0..=last).step_by(every) {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(second),
            bottom + 18.0,
            second + 1
        );
    }
    for (number, (name, colour, values)) in (0_u32..).zip(lines) {
        let mut path = String::new();
        for (index, value) in values.iter().enumerate() {
            let _ = write!(path, "{:.1},{:.1} ", x(index), bottom - value / most * HEIGHT);
        }
        let right = LEFT + 160.0 + 110.0 * f64::from(number);
        let _ = writeln!(
            out,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <rect x=\"{right}\" y=\"{}\" width=\"16\" height=\"4\" fill=\"{colour}\"/>\n\
             <text x=\"{}\" y=\"{}\">{name}</text>",
            top - 20.0,
            right + 22.0,
            top - 14.0
        );
    }
    let _ = writeln!(
        out,
        "<polyline points=\"{LEFT},{top} {LEFT},{bottom} {},{bottom}\" fill=\"none\" stroke=\"#333333\"/>",
        LEFT + WIDTH
    );
}

/// The end of an axis that has room for `most`, and the distance of its marks: 1, 2 or 5 of a power of ten.
fn scale(most: f64) -> (f64, f64) {
    if most <= 0.0 {
        return (1.0, 1.0);
    }
    let power = 10_f64.powf((most / 5.0).log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|part| part * power).into_iter().find(|step| step * 5.0 >= most);
    let step = step.unwrap_or(power * 10.0);
    ((most / step).ceil() * step, step)
}

fn label(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What part of the way `index` is.
fn place(index: usize, last: usize) -> f64 {
    let float = |count: usize| u32::try_from(count).map_or(f64::from(u32::MAX), f64::from);
    float(index) / float(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_above_everything() {
        for (most, wanted) in [(0.0, (1.0, 1.0)), (4.9, (5.0, 1.0)), (51.0, (60.0, 20.0)), (1000.0, (1000.0, 200.0))] {
            let (end, step) = scale(most);
            assert!((end - wanted.0).abs() < 1e-9 && (step - wanted.1).abs() < 1e-9, "{most}: {end}, {step}");
        }
        assert_eq!([label(0.0), label(0.2), label(1500.0)], ["0", "0.2", "1500"]);
    }
}
