//! Whom a phrase is about, and whether it is denied.

use std::ops::Range;

use serde::Deserialize;

use super::{
    pattern::word_list,
    words::{Break, Vocabulary, WordId, Words},
};

/// How far back the person is looked for that a phrase is about (words).
const PERSON_WORDS_MAX: usize = 8;

/// How far from a phrase a negation counts (words).
const NEGATION_WORDS_MAX: usize = 4;

/// The words for persons and negation, as a data file lists them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StanceFile {
    first_person: Vec<String>,
    second_person: Vec<String>,
    third_person: Vec<String>,
    negations_before: Vec<String>,
    negations_after: Vec<String>,
}

/// The same, ready for use; every list is sorted.
pub(super) struct Stance {
    first: Vec<WordId>,
    second: Vec<WordId>,
    third: Vec<WordId>,
    before: Vec<WordId>,
    after: Vec<WordId>,
}

/// Whom a phrase is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Person {
    /// The user.
    First,
    /// The companion.
    Second,
    /// Somebody else.
    Third,
}

impl Stance {
    /// Reads the lists.
    ///
    /// # Errors
    /// An entry that is not one word.
    pub(super) fn new(file: &StanceFile, vocabulary: &mut Vocabulary) -> Result<Self, String> {
        Ok(Self {
            first: word_list(&file.first_person, vocabulary)?,
            second: word_list(&file.second_person, vocabulary)?,
            third: word_list(&file.third_person, vocabulary)?,
            before: word_list(&file.negations_before, vocabulary)?,
            after: word_list(&file.negations_after, vocabulary)?,
        })
    }

    /// Every word that denies.
    pub(super) fn negations(&self) -> impl Iterator<Item = WordId> {
        self.before.iter().chain(&self.after).copied()
    }

    /// The person named last before the word at `position`, in the same clause and near; where and who.
    pub(super) fn person(&self, words: &Words, position: usize) -> Option<(usize, Person)> {
        near_before(words, position, PERSON_WORDS_MAX).find_map(|at| {
            let lists = [(&self.first, Person::First), (&self.second, Person::Second), (&self.third, Person::Third)];
            lists.into_iter().find(|(list, _)| words.is_any(at, list)).map(|(_, person)| (at, person))
        })
    }

    /// True where the phrase at `span` names the user itself ("hates me").
    pub(super) fn names_user(&self, words: &Words, mut span: Range<usize>) -> bool {
        span.any(|at| words.is_any(at, &self.first))
    }

    /// True where the phrase at `span` is denied: by a word shortly before it, but behind the person it is about
    /// ("I never said", not "he never saw that I"), or by the word that follows it.
    pub(super) fn denies(&self, words: &Words, span: Range<usize>) -> bool {
        let denied_before = near_before(words, span.start, NEGATION_WORDS_MAX)
            .take_while(|&at| !words.is_any(at, &self.first) && !words.is_any(at, &self.third))
            .any(|at| words.is_any(at, &self.before));
        let next = span.end;
        denied_before || (next < words.len() && words.before(next) < Break::Pause && words.is_any(next, &self.after))
    }
}

/// Up to `most` positions before `position` in its clause, nearest first.
fn near_before(words: &Words, position: usize, most: usize) -> impl Iterator<Item = usize> {
    let from = position.saturating_sub(most);
    let stop = (from + 1..=position).rev().find(|&at| at < words.len() && words.before(at) >= Break::Pause);
    (stop.unwrap_or(from)..position).rev()
}
