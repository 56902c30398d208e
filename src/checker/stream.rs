//! The events of one stream: each message once and in order, deltas without a hole, one end for each turn.

use super::{
    Ended, Fault, Message, Progress, Role, State, Status, Violation,
    log::{Log, ReadBegun},
    violation::short,
};

/// One stream, as far as it was read.
#[derive(Debug)]
pub struct Stream {
    begun: ReadBegun,
    /// The next message's sequence, where the stream is one of a session and has said where it begins.
    next: Option<u64>,
    /// Whether the stream is of one turn only.
    is_turn: bool,
    running: Option<Running>,
    /// The turn, and its reply, of which the end must come now.
    ending: Option<(u64, u64)>,
    /// The last turn that ended here.
    ended: u64,
}

/// The reply that is being told.
#[derive(Debug)]
struct Running {
    reply_to: u64,
    attempt: u32,
    text: String,
}

impl Stream {
    pub(super) fn new(begun: ReadBegun, after: Option<u64>) -> Self {
        let next = after.map(|after| after + 1);
        Self { begun, next, is_turn: false, running: None, ending: None, ended: 0 }
    }

    pub(super) fn of_turn(begun: ReadBegun) -> Self {
        Self { is_turn: true, ..Self::new(begun, None) }
    }

    /// The sequence behind which to go on, where the stream breaks off.
    #[must_use]
    pub fn told(&self) -> Option<u64> {
        self.next.map(|next| next - 1)
    }

    pub(super) fn has_told(&self, seq: u64) -> bool {
        self.next.is_some_and(|next| next > seq)
    }

    pub(super) fn ends(&self, log: &Log, wrong: &mut Vec<Violation>) {
        if !self.is_turn && !self.has_told(log.floor()) {
            let told = self.next.map_or(0, |next| next - 1);
            let detail = format!("a stream told the messages up to {told} only; the head is {}", log.floor());
            log.fault(Fault::Lost, detail, wrong);
        }
    }

    pub(super) fn event(&mut self, log: &mut Log, name: &str, data: &str, wrong: &mut Vec<Violation>) {
        let read = match name {
            "message" => serde_json::from_str(data).map(|message| self.message(log, &message, wrong)),
            "delta" => serde_json::from_str(data).map(|delta| self.delta(log, &delta, wrong)),
            "done" => serde_json::from_str(data).map(|ended| self.done(log, &ended, wrong)),
            "failed" => serde_json::from_str(data).map(|ended| self.failed(&ended)),
            "state" => serde_json::from_str(data).map(|state| self.state(log, &state, wrong)),
            _ => Ok(()),
        };
        if let Err(error) = read {
            log.fault(Fault::Altered, format!("the event {name:?} can't be read: {error}"), wrong);
        }
    }

    fn state(&mut self, log: &Log, state: &State, wrong: &mut Vec<Violation>) {
        if state.head < self.begun.floor {
            let detail = format!("a stream begins at {}; {} was known before", state.head, self.begun.floor);
            log.fault(Fault::Stale, detail, wrong);
        }
        self.next.get_or_insert(state.head + 1);
    }

    fn message(&mut self, log: &mut Log, message: &Message, wrong: &mut Vec<Violation>) {
        let seq = message.seq;
        match self.next {
            Some(next) if seq < next => {
                return log.fault(Fault::Duplicated, format!("a stream told {seq} again"), wrong);
            }
            Some(next) if seq > next && !self.is_turn => {
                log.fault(Fault::Lost, format!("a stream left out {next} to {}", seq - 1), wrong);
            }
            Some(_) | None => {}
        }
        self.next = Some(seq + 1);
        if let Some((turn, reply)) = self.ending.take() {
            log.fault(Fault::Outcome, format!("the end of turn {turn} did not come behind its reply {reply}"), wrong);
        }
        log.see(message, self.begun, wrong);
        let Some(turn) = message.reply_to.filter(|_| message.role == Role::Assistant) else { return };
        if let Some(running) = self.running.take_if(|running| running.reply_to == turn)
            && !message.content.starts_with(&running.text)
        {
            let detail = format!("the reply at {seq} does not begin with its deltas, {}", short(&running.text));
            log.fault(Fault::Altered, detail, wrong);
        }
        if message.status != Status::Superseded {
            self.ending = Some((turn, seq));
        }
    }

    fn delta(&mut self, log: &Log, delta: &Progress, wrong: &mut Vec<Violation>) {
        let turn = delta.reply_to;
        if self.ended == turn && !log.has_retries() {
            return log.fault(Fault::Reordered, format!("a delta of turn {turn} came behind its end"), wrong);
        }
        let is_same = |running: &Running| running.reply_to == turn && running.attempt == delta.attempt;
        if !self.running.as_ref().is_some_and(is_same) {
            self.running = Some(Running { reply_to: turn, attempt: delta.attempt, text: String::new() });
        }
        let Some(Running { text, .. }) = &mut self.running else { return };
        let cut = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(delta.offset);
        let Some(at) = cut else {
            let detail = format!("a delta of turn {turn} is for character {}, behind a hole", delta.offset);
            return log.fault(Fault::Lost, detail, wrong);
        };
        text.truncate(at);
        text.push_str(&delta.text);
    }

    fn done(&mut self, log: &Log, ended: &Ended, wrong: &mut Vec<Violation>) {
        let turn = ended.reply_to;
        match self.ending.take() {
            Some((of, reply)) if (of, Some(reply)) == (turn, ended.seq) => {}
            Some((of, reply)) => {
                let detail = format!("the end of turn {turn} came where that of {of}, with reply {reply}, was due");
                log.fault(Fault::Outcome, detail, wrong);
            }
            None => log.fault(Fault::Outcome, format!("turn {turn} ended without a reply, or twice"), wrong),
        }
        self.ended = turn;
    }

    fn failed(&mut self, ended: &Ended) {
        self.running.take_if(|running| running.reply_to == ended.reply_to);
        self.ended = ended.reply_to;
    }
}
