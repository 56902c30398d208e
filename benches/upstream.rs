//! Reading a model's stream: from the bytes of an answer to text, beside what must be done with them in any case.
//!
//! Budget: 2 us for each event, under a tenth of the 25 us that a token may cost in all (P-E2 of the project's plan), and
//! at least half the speed of one `serde_json` parse of the same data into the same type. The scan for line ends and the
//! copy of the same bytes are shown besides. 2,000 events of a word each, as servers send them, in pieces of 4 KiB.
//!
//! `cargo bench --bench upstream -- [rounds]`

use std::{hint::black_box, ops::ControlFlow, time::Instant};

use bondhu::{client, completions, sse};

#[path = "../src/reply/openai/failure.rs"]
#[expect(dead_code, reason = "only reading is measured")]
mod failure;
#[expect(dead_code, reason = "other benches measure more")]
mod measure;
#[path = "../src/reply/openai/stream.rs"]
#[expect(dead_code, reason = "answers that come whole are not measured")]
mod stream;

/// As the reader sees the rest of the program.
mod reply {
    use std::ops::ControlFlow;

    pub(crate) use bondhu::reply::{Fault, Finish, REPLY_BYTES_MAX, Refused, ReplyError, Usage};

    /// Who takes the text.
    pub(crate) trait Sink: Send {
        fn asked(&mut self, _model: &str) {}
        fn text(&mut self, text: &str) -> ControlFlow<()>;
    }

    impl<F: FnMut(&str) -> ControlFlow<()> + Send> Sink for F {
        fn text(&mut self, text: &str) -> ControlFlow<()> {
            self(text)
        }
    }
}

use crate::{
    measure::{
        allocations::Allocations,
        figures::{Rounds, Spread, float, us},
        row::{Goal, Row, spread},
    },
    stream::{Reading, Spoken},
};

const EVENTS: usize = 2_000;
const PIECE: usize = 4096;
/// Whole streams that one measurement reads.
const TIMES: usize = 50;

fn main() {
    let rounds = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(7);
    let data: Vec<String> = (0..EVENTS).map(data).collect();
    let stream = format!("data: {}\n\n", data.join("\n\ndata: "));
    let bytes = stream.as_bytes();
    let read_all = || timed(|| read(bytes));
    let ours = |rounds: &Rounds<f64>| format!("{} MB/s", spread(rounds.ours(|time| speed(bytes.len(), *time))));
    for (name, goal, limit) in [
        ("one parse by `serde_json`", Goal::AtLeast(0.5), &parse_all as &dyn Fn(&[String], &[u8])),
        ("a scan for line ends", Goal::Shown, &|_, bytes| {
            black_box(black_box(bytes).split(|&byte| byte == b'\n').count());
        }),
        ("a copy", Goal::Shown, &|_, bytes| {
            black_box(black_box(bytes).to_vec());
        }),
    ] {
        let rounds = Rounds::run(rounds, || timed(|| limit(&data, bytes)), read_all);
        let other = spread(rounds.limit(|time| speed(bytes.len(), *time)));
        let ratio = rounds.compare(|limit, ours| limit / ours);
        Row::ratio("reading a model's stream", goal, format!("{name}: {other} MB/s"), ours(&rounds), ratio).print();
    }
    let event = Spread::of((0..rounds).map(|_| read_all() / float(EVENTS)));
    Row::value("reading a model's stream: an event", Goal::AtMost(2.0), event, "us").print();
    let before = Allocations::so_far();
    read(bytes);
    let each = Allocations::each_since(before, float(EVENTS));
    Row::value("reading a model's stream: allocations", Goal::Shown, Spread::of([each.count]), "an event").print();
}

/// The data of an event, as large servers send it.
fn data(n: usize) -> String {
    format!(
        "{{\"id\":\"chatcmpl-9f8e7d6c5b4a39281706f5e4d3c2b1a0\",\"object\":\"chat.completion.chunk\",\
         \"created\":1700000000,\"model\":\"a-model-of-some-name\",\"system_fingerprint\":\"fp_0123456789\",\"choices\":\
         [{{\"index\":0,\"delta\":{{\"content\":\" word{}\"}},\"logprobs\":null,\"finish_reason\":null}}]}}",
        n % 1000
    )
}

fn read(bytes: &[u8]) {
    let mut length = 0;
    let mut sink = |text: &str| {
        length += text.len();
        ControlFlow::Continue(())
    };
    let mut spoken = Spoken::new(&mut sink);
    let mut reading = Reading::default();
    for piece in black_box(bytes).chunks(PIECE) {
        let progress = reading.take(piece, &mut spoken);
        assert!(progress.is_ok(), "the stream is one");
    }
    assert!(black_box(length) > EVENTS, "the text came");
}

fn parse_all(data: &[String], _: &[u8]) {
    for data in data {
        black_box(completions::Completion::read(black_box(data.as_bytes())).expect("a piece"));
    }
}

/// Microseconds of one of [`TIMES`].
fn timed(work: impl Fn()) -> f64 {
    let began = Instant::now();
    for _ in 0..TIMES {
        work();
    }
    us(began.elapsed()) / float(TIMES)
}

/// MB a second.
fn speed(bytes: usize, time_us: f64) -> f64 {
    float(bytes) / time_us
}
