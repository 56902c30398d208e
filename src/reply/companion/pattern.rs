//! The little language in which rules say which words they listen for.
//!
//! A phrase is words between spaces. `a|b` is one of several words, `exam*` any word that begins so, `_` any one word,
//! `~` up to three words that do not matter, `+` one to four words, `...` (only last) up to eight words to the end of
//! the clause; `[ ]` around a part remembers what was said there. A phrase never reaches over the end of a sentence.

use std::ops::Range;

use super::words::{Break, Vocabulary, WordId, Words};

const GAP_WORDS_MAX: usize = 3;
const SOME_WORDS_MAX: usize = 4;
const REST_WORDS_MAX: usize = 8;

/// Phrases, each standing for an `R`, found in a text in one pass.
pub(super) struct PatternSet<R> {
    patterns: Vec<(Pattern, R)>,
    /// The patterns that can begin with a word, by its number.
    starts: Vec<Vec<usize>>,
    /// Words that a `~` does not pass over; sorted.
    gap_stops: Vec<WordId>,
}

/// Where a phrase stands in a text; positions of words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found<R> {
    /// What the phrase stands for.
    pub(super) rule: R,
    /// The words of the phrase.
    pub(super) span: Range<usize>,
    /// The words between `[ ]`.
    pub(super) kept: Option<Range<usize>>,
}

type Pattern = Vec<Element>;

enum Element {
    /// One of these words.
    Word(Vec<WordId>),
    /// `_`
    Any,
    /// `~`
    Gap,
    /// `+`
    Some,
    /// `...`
    Rest,
    /// `[`
    Open,
    /// `]`
    Close,
}

impl<R: Copy> PatternSet<R> {
    /// No phrases.
    pub(super) fn new() -> Self {
        Self { patterns: Vec::new(), starts: Vec::new(), gap_stops: Vec::new() }
    }

    /// Keeps every `~` from passing over `words`: what lies in a gap must not turn the meaning round.
    pub(super) fn stop_gaps_at(&mut self, words: impl IntoIterator<Item = WordId>) {
        self.gap_stops.extend(words);
        self.gap_stops.sort_unstable();
        self.gap_stops.dedup();
    }

    /// Adds `phrase`, which stands for `rule`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the phrase.
    pub(super) fn add(&mut self, phrase: &str, rule: R, vocabulary: &mut Vocabulary) -> Result<(), String> {
        let pattern = parse(phrase, vocabulary).map_err(|fault| format!("phrase \"{phrase}\": {fault}"))?;
        let first = pattern.iter().find(|element| !matches!(element, Element::Open));
        let Some(Element::Word(words)) = first else {
            return Err(format!("phrase \"{phrase}\": must begin with a word"));
        };
        for word in words {
            self.starts.resize_with(self.starts.len().max(word.index() + 1), Vec::new);
            self.starts[word.index()].push(self.patterns.len());
        }
        self.patterns.push((pattern, rule));
        Ok(())
    }

    /// Every place where a phrase stands, in the order of the text.
    pub(super) fn find(&self, words: &Words) -> Vec<Found<R>> {
        let mut found = Vec::new();
        for at in 0..words.len() {
            for index in words.ids(at).iter().filter_map(|id| self.starts.get(id.index())).flatten() {
                let (pattern, rule) = &self.patterns[*index];
                let mut kept = at..at;
                let text = Text { words, start: at, gap_stops: &self.gap_stops };
                if let Some(end) = text.matches(pattern, at, &mut kept) {
                    let kept = (!kept.is_empty()).then_some(kept);
                    found.push(Found { rule: *rule, span: at..end, kept });
                }
            }
        }
        found
    }
}

/// A text, and where in it a match is tried.
struct Text<'a> {
    words: &'a Words,
    start: usize,
    gap_stops: &'a [WordId],
}

impl Text<'_> {
    /// Where a match that has come to `at` ends, with `pattern` still to come.
    fn matches(&self, pattern: &[Element], at: usize, kept: &mut Range<usize>) -> Option<usize> {
        let Some((element, rest)) = pattern.split_first() else { return Some(at) };
        let mut shortest =
            |lengths: Range<usize>| lengths.into_iter().find_map(|len| self.matches(rest, at + len, kept));
        match element {
            Element::Word(wanted) => {
                let here = self.reach(at, 1, Break::Odd) == 1 && self.words.is_any(at, wanted);
                if here { shortest(1..2) } else { None }
            }
            Element::Any => shortest(1..self.reach(at, 1, Break::Hyphen) + 1),
            Element::Gap => {
                let passes = |next: &usize| !self.words.is_any(*next, self.gap_stops);
                let reach = at..at + self.reach(at, GAP_WORDS_MAX, Break::Odd);
                shortest(0..reach.take_while(passes).count() + 1)
            }
            Element::Some => shortest(1..self.reach(at, SOME_WORDS_MAX, Break::Hyphen) + 1),
            Element::Rest => {
                let len = self.reach(at, REST_WORDS_MAX, Break::Hyphen);
                if len > 0 { shortest(len..len + 1) } else { None }
            }
            Element::Open => {
                kept.start = at;
                self.matches(rest, at, kept)
            }
            Element::Close => {
                kept.end = at;
                self.matches(rest, at, kept)
            }
        }
    }

    /// How many words from `at` on may follow: at most `most`, and none behind a break stronger than `strongest`.
    fn reach(&self, at: usize, most: usize, strongest: Break) -> usize {
        let last = self.words.len().min(at + most);
        (at..last).take_while(|&next| next == self.start || self.words.before(next) <= strongest).count()
    }
}

fn parse(phrase: &str, vocabulary: &mut Vocabulary) -> Result<Pattern, String> {
    let mut pattern = Vec::new();
    for part in phrase.split_whitespace() {
        if matches!(pattern.last(), Some(Element::Rest)) && part != "]" {
            return Err("\"...\" must come last".to_owned());
        }
        pattern.push(match part {
            "_" => Element::Any,
            "~" => Element::Gap,
            "+" => Element::Some,
            "..." => Element::Rest,
            "[" => Element::Open,
            "]" => Element::Close,
            words => Element::Word(sorted(words.split('|').map(|word| vocabulary.learn(word)))?),
        });
    }
    if matches!(pattern.last(), Some(Element::Gap)) {
        return Err("a \"~\" at the end does nothing".to_owned());
    }
    let brackets: String = phrase.chars().filter(|c| "[]".contains(*c)).collect();
    if brackets.is_empty() || brackets == "[]" { Ok(pattern) } else { Err("wants one pair of [ ]".to_owned()) }
}

fn sorted(ids: impl Iterator<Item = Result<WordId, String>>) -> Result<Vec<WordId>, String> {
    let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// The numbers of `words`, sorted, as [`Words::is_any`] wants them.
///
/// # Errors
/// An entry that is not one word.
pub(super) fn word_list(words: &[String], vocabulary: &mut Vocabulary) -> Result<Vec<WordId>, String> {
    sorted(words.iter().map(|word| vocabulary.learn(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(phrase: &str, text: &str) -> Option<(String, Option<String>)> {
        let mut vocabulary = Vocabulary::default();
        let mut set = PatternSet::new();
        set.add(phrase, (), &mut vocabulary).unwrap();
        vocabulary.finish();
        let words = Words::read(text, 1000, &vocabulary);
        let shown = |range: Range<usize>| range.map(|at| words.shown(at)).collect::<Vec<_>>().join(" ");
        set.find(&words).into_iter().next().map(|found| (shown(found.span), found.kept.map(shown)))
    }

    fn whole(phrase: &str, text: &str) -> Option<String> {
        find(phrase, text).map(|(span, _)| span)
    }

    #[test]
    fn words_match_whole_and_in_order() {
        assert_eq!(whole("down", "Download it"), None);
        assert_eq!(whole("down", "I feel DOWN."), Some("DOWN".to_owned()));
        assert_eq!(whole("want|wanna to die", "they want to die"), Some("want to die".to_owned()));
        assert_eq!(whole("want to die", "die to want"), None);
        assert_eq!(whole("exam*", "two exams"), Some("exams".to_owned()));
    }

    #[test]
    fn gaps_are_short_and_stay_in_the_sentence() {
        assert_eq!(whole("want ~ die", "want to just die"), Some("want to just die".to_owned()));
        assert_eq!(whole("want ~ die", "want to... die"), Some("want to die".to_owned()));
        assert_eq!(whole("want ~ die", "want one two three four die"), None);
        assert_eq!(whole("want ~ die", "want it. Die hard"), None);
    }

    #[test]
    fn brackets_keep_what_was_said() {
        let kept = |phrase, text| find(phrase, text).and_then(|(_, kept)| kept);
        assert_eq!(kept("my name is [ _ ]", "Hi, my name is Asha. Bye"), Some("Asha".to_owned()));
        assert_eq!(
            kept("worried about [ ... ]", "worried about my exam on Friday, you know"),
            Some("my exam on Friday".to_owned())
        );
        assert_eq!(kept("আমি [ + ] নিয়ে চিন্তিত", "আমি আমার পরীক্ষা নিয়ে চিন্তিত"), Some("আমার পরীক্ষা".to_owned()));
        assert_eq!(find("worried about [ ... ]", "worried about."), None);
    }

    #[test]
    fn faults_in_phrases_are_named() {
        let fault = |phrase| PatternSet::new().add(phrase, (), &mut Vocabulary::default()).unwrap_err();
        assert!(fault("~ die").contains("must begin with a word"));
        assert!(fault("self-harm").contains("not one word"));
        assert!(fault("a ... b").contains("must come last"));
        assert!(fault("a ~").contains("at the end"));
        assert!(fault("a [ b").contains("one pair"));
        assert!(fault("").contains("must begin with a word"));
    }
}
