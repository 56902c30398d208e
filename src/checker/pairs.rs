//! Turns in the old form: a message with its reply, and no sequence. What is known of their order is what ended before
//! something else began.

use super::{
    Fault, Pairs, Violation, digest,
    log::{Asked, Log, ReadBegun, SendNo},
    violation::short,
};

/// A turn that was acknowledged.
#[derive(Debug, Clone, Copy)]
struct Turn {
    text: u64,
    response: u64,
    /// The id of the reply; the old server names none.
    id: Option<u64>,
    begun: u32,
    ended: u32,
}

/// The turns of a session, in the order of their acknowledgements.
#[derive(Debug, Default)]
pub(super) struct Known {
    turns: Vec<Turn>,
    /// The texts of those that were cleared, and when.
    gone: Vec<(u64, u32)>,
}

impl Known {
    pub(super) fn has(&self, text: u64) -> bool {
        self.turns.iter().any(|turn| turn.text == text || turn.response == text)
    }

    pub(super) fn clear(&mut self, now: u32) {
        self.gone.extend(self.turns.drain(..).map(|turn| (turn.text, now)));
    }

    /// Where a text is, looked for from its likely place on.
    fn find(&self, text: u64, likely: usize) -> Option<usize> {
        let is_it = |at: &usize| self.turns.get(*at).is_some_and(|turn| turn.text == text);
        Some(likely).filter(is_it).or_else(|| (0..self.turns.len()).rev().find(is_it))
    }
}

impl Log {
    pub(super) fn acknowledged_as_pair(
        &mut self,
        send: SendNo,
        response: u64,
        id: Option<u64>,
        wrong: &mut Vec<Violation>,
    ) {
        self.now += 1;
        match self.take(send) {
            Some(open) => {
                self.known.turns.push(Turn { text: open.text, response, id, begun: open.begun, ended: self.now });
            }
            None => self.fault(Fault::Duplicated, "a send was acknowledged twice".to_owned(), wrong),
        }
    }

    pub(super) fn read_pairs(&mut self, begun: ReadBegun, asked: Asked, page: &Pairs, wrong: &mut Vec<Violation>) {
        let mut shown: Vec<usize> = Vec::with_capacity(page.messages.len());
        let (mut latest, mut likely) = (0, 0);
        for pair in &page.messages {
            let text = digest(&pair.message);
            let Some(at) = self.known.find(text, likely) else {
                self.unknown(text, begun, &pair.message, wrong);
                continue;
            };
            let turn = self.known.turns[at];
            if shown.contains(&at) {
                self.fault(Fault::Duplicated, format!("{} is there twice", short(&pair.message)), wrong);
            }
            if turn.ended < latest {
                let detail = format!("{} stands behind what was sent after it", short(&pair.message));
                self.fault(Fault::Reordered, detail, wrong);
            }
            self.pairing(turn, pair, wrong);
            latest = latest.max(turn.begun);
            likely = at + 1;
            shown.push(at);
        }
        self.absent(begun, (asked, page.messages.len() >= asked.limit), &shown, wrong);
        self.now += 1;
    }

    /// A text that no acknowledged turn has.
    fn unknown(&mut self, text: u64, begun: ReadBegun, what: &str, wrong: &mut Vec<Violation>) {
        if let Some(open) = self.open.iter_mut().find(|open| open.text == text) {
            open.mark_shown();
        } else if let Some((_, at)) = self.known.gone.iter().find(|(gone, _)| *gone == text) {
            if *at < begun.at {
                self.fault(Fault::Undead, format!("{} was cleared", short(what)), wrong);
            }
        } else if self.refused.contains(&text) {
            self.fault(Fault::Undead, format!("{} was refused", short(what)), wrong);
        } else {
            let detail = format!("{} is there", short(what));
            wrong.push(Violation::with_text(Fault::Foreign, self.name(), detail, text));
        }
    }

    /// Wants the turn to have the reply that it had.
    fn pairing(&self, turn: Turn, pair: &super::Pair, wrong: &mut Vec<Violation>) {
        let response = digest(&pair.response);
        if response == turn.response {
            if turn.id.is_some_and(|id| id != digest(&pair.id)) {
                let detail = format!("{} has another id than its reply had", short(&pair.message));
                self.fault(Fault::Altered, detail, wrong);
            }
            return;
        }
        let detail = format!("{} is answered by {}", short(&pair.message), short(&pair.response));
        if self.known.turns.iter().any(|other| other.response == response) {
            self.fault(Fault::Mispaired, detail + ", which is another message's reply", wrong);
        } else {
            wrong.push(Violation::with_text(Fault::Altered, self.name(), detail, response));
        }
    }

    /// Wants every turn that the page must have: all where it is not full, otherwise those that are surely newer than its
    /// oldest one.
    fn absent(&self, begun: ReadBegun, (asked, full): (Asked, bool), shown: &[usize], wrong: &mut Vec<Violation>) {
        let turns = &self.known.turns;
        let oldest = shown.iter().map(|at| turns[*at].ended).min();
        let from = match oldest {
            Some(oldest) if full => oldest,
            None if full => return, // All of it is unknown, which was found before.
            Some(_) | None => 0,
        };
        let newest = shown.iter().map(|at| turns[*at].begun).max().unwrap_or(0);
        let is_missing = |at: &usize| turns[*at].begun > from && turns[*at].ended < begun.at && !shown.contains(at);
        // They stand in the order of their ends, and the page is of the newest.
        let recent = (0..turns.len()).rev().take_while(|at| turns[*at].ended > from);
        let missing: Vec<usize> = recent.filter(is_missing).collect();
        let Some(last) = missing.first() else { return };
        let late = turns[*last].ended > newest && missing.iter().all(|at| turns[*at].ended > newest);
        let fault = if late && !asked.last && !shown.is_empty() { Fault::Stale } else { Fault::Lost };
        let detail =
            format!("{} turns that were acknowledged before are not in a page that should have them", missing.len());
        self.fault(fault, detail, wrong);
    }
}
