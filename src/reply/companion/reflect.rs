//! Giving the user's own words back: which clause, and how it is turned round.
//!
//! What is given back is rebuilt from words alone. Where a clause is too short or long, asks, speaks to the companion,
//! or holds a word that must not be repeated, nothing is given back.

use std::{collections::HashMap, ops::Range};

use super::words::{Break, WordId, Words};

/// Longer words are addresses, keys or noise (characters).
const WORD_CHARS_MAX: usize = 24;

/// How one language gives words back. Lists are sorted.
pub(super) struct Reflection {
    /// Clauses that begin with one of these can be turned round by swapping words; empty: none can.
    pub(super) openers: Vec<WordId>,
    /// Words at the start of a clause that are left out ("well", "and").
    pub(super) fillers: Vec<WordId>,
    /// Words that begin a new clause ("but", "because").
    pub(super) clause_starts: Vec<WordId>,
    /// Words that do where an opener follows ("and").
    pub(super) clause_joins: Vec<WordId>,
    /// Words that make a clause unfit to be given back: the companion's own person, and coarse words.
    pub(super) never_repeat: Vec<WordId>,
    /// Single words and what stands for them on the other side.
    pub(super) swaps: HashMap<WordId, String>,
    /// Pairs of words, which go before single ones.
    pub(super) pairs: HashMap<(WordId, WordId), String>,
    /// The fewest words worth giving back.
    pub(super) words_min: usize,
    /// The most words that are given back.
    pub(super) words_max: usize,
}

impl Reflection {
    /// The clause to give back, and whether it can be turned round: the longest of those that can, or else the first.
    pub(super) fn clause(&self, words: &Words) -> Option<(Range<usize>, bool)> {
        let clauses = self.clauses(words);
        let opening = clauses.iter().rev().filter(|clause| words.is_any(clause.start, &self.openers));
        let turned = opening.max_by_key(|clause| clause.len()).map(|clause| (clause.clone(), true));
        turned.or_else(|| Some((clauses.first()?.clone(), false)))
    }

    /// `range` with every person turned round: "my exam" becomes "your exam".
    pub(super) fn swapped(&self, words: &Words, range: Range<usize>) -> String {
        let shouted = is_shouted(words, range.clone());
        let mut text = String::new();
        let mut at = range.start;
        while at < range.end {
            let pair = (at + 1 < range.end).then(|| self.pair(words, at)).flatten();
            let single = || words.ids(at).iter().find_map(|id| self.swaps.get(id));
            join(&mut text, words.before(at), at == range.start);
            match pair.or_else(single) {
                Some(swap) => text.push_str(swap),
                None if shouted => text.push_str(&words.shown(at).to_lowercase()),
                None => text.push_str(words.shown(at)),
            }
            at += if pair.is_some() { 2 } else { 1 };
        }
        text
    }

    fn pair(&self, words: &Words, at: usize) -> Option<&String> {
        let seconds = words.ids(at + 1);
        words
            .ids(at)
            .iter()
            .flat_map(|first| seconds.iter().map(move |second| (*first, *second)))
            .find_map(|pair| self.pairs.get(&pair))
    }

    /// Every clause that is fit to be given back, in order.
    fn clauses(&self, words: &Words) -> Vec<Range<usize>> {
        let mut clauses = Vec::new();
        let mut start = 0;
        for at in 1..=words.len() {
            let ends = at == words.len()
                || words.before(at) >= Break::Pause
                || words.is_any(at, &self.clause_starts)
                || self.joins_clauses(words, at);
            if ends {
                clauses.extend(self.fit(words, start..at));
                start = at;
            }
        }
        clauses
    }

    fn joins_clauses(&self, words: &Words, at: usize) -> bool {
        words.is_any(at, &self.clause_joins) && at + 1 < words.len() && words.is_any(at + 1, &self.openers)
    }

    /// `clause` without its fillers, where it is fit to be given back.
    fn fit(&self, words: &Words, clause: Range<usize>) -> Option<Range<usize>> {
        let drops = |at: &usize| words.is_any(*at, &self.fillers) || words.is_any(*at, &self.clause_starts);
        let start = clause.start + clause.clone().take_while(drops).count();
        let clause = start..clause.end;
        let odd = |at: usize| words.before(at) == Break::Odd;
        let fits = (self.words_min..=self.words_max).contains(&clause.len())
            && !clause.clone().any(|at| odd(at) || words.is_any(at, &self.never_repeat))
            && !(clause.end < words.len() && odd(clause.end))
            && clause.clone().all(|at| words.shown(at).chars().count() <= WORD_CHARS_MAX);
        fits.then_some(clause)
    }
}

/// `range` word for word.
pub(super) fn quoted(words: &Words, range: Range<usize>) -> String {
    let mut text = String::new();
    for at in range.clone() {
        join(&mut text, words.before(at), at == range.start);
        text.push_str(words.shown(at));
    }
    text
}

fn join(text: &mut String, before: Break, first: bool) {
    if !first {
        text.push(if before == Break::Hyphen { '-' } else { ' ' });
    }
}

/// True where nothing is in lower case and something is in upper case, beyond single letters.
fn is_shouted(words: &Words, mut range: Range<usize>) -> bool {
    let long = range.clone().any(|at| words.shown(at).chars().filter(|c| c.is_uppercase()).count() > 1);
    long && range.all(|at| !words.shown(at).chars().any(char::is_lowercase))
}
