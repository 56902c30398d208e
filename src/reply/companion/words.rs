//! Text cut into words, and the table of the words that rules know.
//!
//! A word begins with a letter or digit and goes on through letters, digits, combining marks (Bengali and Hindi write
//! their vowels so) and an apostrophe between letters. Everything else separates, so nothing that is rebuilt from words
//! can carry markup, control characters or text direction marks.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    ops::Range,
};

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

/// A word of some rule; numbers are dense from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct WordId(u32);

impl WordId {
    /// The number as an index.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What stands between a word and the one before it, from the weakest to the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Break {
    /// Spaces or quotation marks.
    Space,
    /// One hyphen.
    Hyphen,
    /// A comma, a bracket, an ellipsis, a line end, an emoji.
    Pause,
    /// Characters of addresses, code or markup.
    Odd,
    /// The end of a sentence, or the start of the text.
    Stop,
}

/// Every word that a rule names, in the form in which words are compared.
#[derive(Default)]
pub(super) struct Vocabulary {
    whole: HashMap<String, WordId, BuildHasherDefault<Fnv>>,
    /// Beginnings of words (`exam*`), by their first two characters.
    beginnings: HashMap<[char; 2], Vec<(String, WordId)>, BuildHasherDefault<Fnv>>,
    count: u32,
}

/// FNV-1a: quick on short words. The tables are filled from the data files alone, so nobody can crowd them.
struct Fnv(u64);

/// A text cut into words. Offsets count bytes of `text`, positions count words.
pub(super) struct Words {
    text: String,
    cut: Vec<Word>,
    ids: Vec<WordId>,
    /// True where a question mark stands somewhere.
    pub(super) asks: bool,
}

struct Word {
    bytes: Range<usize>,
    /// Which of `Words::ids` this word is.
    ids: Range<usize>,
    before: Break,
}

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Vocabulary {
    /// The number of the word `raw`, or of all words that begin so where it ends in `*`.
    ///
    /// # Errors
    /// Not exactly one word, or a beginning of less than two characters.
    pub(super) fn learn(&mut self, raw: &str) -> Result<WordId, String> {
        let (word, starred) = raw.strip_suffix('*').map_or((raw, false), |word| (word, true));
        let text: String = word.nfkc().collect();
        if split(&text).len() != 1 || split(&text)[0].0 != (0..text.len()) {
            return Err(format!("\"{raw}\" is not one word"));
        }
        let mut key = String::new();
        fold_into(&text, &mut key);
        let next = WordId(self.count);
        let id = if starred {
            let group = first_two(&key).ok_or_else(|| format!("\"{raw}\" is too short for a star"))?;
            let known = self.beginnings.entry(group).or_default();
            let same = known.iter().find(|(word, _)| *word == key).map(|(_, id)| *id);
            if same.is_none() {
                known.push((key, next));
            }
            same.unwrap_or(next)
        } else {
            *self.whole.entry(key).or_insert(next)
        };
        self.count += u32::from(id == next);
        Ok(id)
    }

    /// Makes words with an apostrophe known without it too (`dont`), unless that is a word of its own.
    pub(super) fn finish(&mut self) {
        let bare: Vec<_> = self
            .whole
            .iter()
            .filter(|(word, _)| word.contains('\''))
            .map(|(w, id)| (w.replace('\'', ""), *id))
            .collect();
        for (word, id) in bare {
            self.whole.entry(word).or_insert(id);
        }
    }

    /// Appends every number that `key` goes by.
    fn find(&self, key: &str, ids: &mut Vec<WordId>) {
        let whole = self.whole.get(key).or_else(|| self.whole.get(key.strip_suffix("'s")?));
        ids.extend(whole);
        let Some(group) = first_two(key).and_then(|group| self.beginnings.get(&group)) else { return };
        ids.extend(group.iter().filter(|(beginning, _)| key.starts_with(beginning.as_str())).map(|(_, id)| *id));
    }
}

impl Words {
    /// Cuts at most the first `chars_max` characters of `raw`.
    pub(super) fn read(raw: &str, chars_max: usize, vocabulary: &Vocabulary) -> Self {
        let text = normalised(raw, chars_max);
        let mut ids = Vec::new();
        let mut key = String::new();
        let cut = split(&text)
            .into_iter()
            .map(|(bytes, before)| {
                key.clear();
                fold_into(&text[bytes.clone()], &mut key);
                let first = ids.len();
                vocabulary.find(&key, &mut ids);
                Word { bytes, ids: first..ids.len(), before }
            })
            .collect();
        let asks = text.contains(['?', '؟']);
        Self { text, cut, ids, asks }
    }

    /// How many words there are.
    pub(super) fn len(&self) -> usize {
        self.cut.len()
    }

    /// The numbers that the word at `position` goes by.
    pub(super) fn ids(&self, position: usize) -> &[WordId] {
        &self.ids[self.cut[position].ids.clone()]
    }

    /// True where the word at `position` is one of `wanted`, which is sorted.
    pub(super) fn is_any(&self, position: usize, wanted: &[WordId]) -> bool {
        self.ids(position).iter().any(|id| wanted.binary_search(id).is_ok())
    }

    /// What stands before the word at `position`.
    pub(super) fn before(&self, position: usize) -> Break {
        self.cut[position].before
    }

    /// The word at `position` as it was written (NFKC).
    pub(super) fn shown(&self, position: usize) -> &str {
        &self.text[self.cut[position].bytes.clone()]
    }

    /// The letter or digit that the word at `position` begins with.
    pub(super) fn first_char(&self, position: usize) -> char {
        self.shown(position).chars().next().expect("a word has a character")
    }

    /// The first position of the sentence that `position` is in.
    pub(super) fn sentence_start(&self, position: usize) -> usize {
        (0..=position).rev().find(|&at| self.before(at) == Break::Stop).unwrap_or(0)
    }
}

/// At most the first `chars_max` characters of `raw`, compatibility-composed, which can make them a quarter more.
fn normalised(raw: &str, chars_max: usize) -> String {
    if raw.is_ascii() {
        return raw[..raw.len().min(chars_max)].to_owned();
    }
    raw.chars().take(chars_max).nfkc().take(chars_max + chars_max / 4).collect()
}

/// The words of `text` with what stands before each.
fn split(text: &str) -> Vec<(Range<usize>, Break)> {
    let mut words = Vec::with_capacity(text.len() / 5);
    let (mut start, mut before, mut previous) = (None, Break::Stop, ' ');
    for (at, c) in text.char_indices() {
        // Some marks count as letters, but none begins a word.
        let goes_on = match start {
            None => is_letter(c) && (c.is_ascii() || !is_combining_mark(c)),
            Some(_) if c.is_ascii() => c.is_ascii_alphanumeric() || c == '\'',
            Some(_) => is_letter(c) || is_combining_mark(c) || is_joiner(c) || is_apostrophe(c),
        };
        match (start, goes_on) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                words.push((trimmed(text, from..at), before));
                (start, before) = (None, break_of(c, ' '));
            }
            (None, false) => before = before.max(break_of(c, previous)),
            (Some(_), true) => {}
        }
        // A second dot makes an ellipsis of the first, which then no longer ends a sentence.
        if start.is_none() && c == '.' && previous == '.' && before == Break::Stop && !words.is_empty() {
            before = Break::Pause;
        }
        previous = c;
    }
    if let Some(from) = start {
        words.push((trimmed(text, from..text.len()), before));
    }
    words
}

/// `range` without apostrophes and joiners at its end.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let word = text[range.clone()].trim_end_matches(|c| is_apostrophe(c) || is_joiner(c));
    range.start..range.start + word.len()
}

fn break_of(c: char, previous: char) -> Break {
    match c {
        '.' if previous == '.' => Break::Pause,
        '.' | '!' | '?' | ';' | '।' | '॥' | '؟' => Break::Stop,
        '@' | '/' | '\\' | '<' | '>' | '{' | '}' | '[' | ']' | '`' | '#' | '=' | '_' | '^' | '|' => Break::Odd,
        '-' => Break::Hyphen,
        '"' | '“' | '”' | '‘' | '’' | '\'' => Break::Space,
        c if c.is_whitespace() && c != '\n' => Break::Space,
        _ => Break::Pause,
    }
}

/// Appends `word` in the form in which words are compared: lower case, one apostrophe, and without the marks that
/// writers of Bengali and Hindi often leave out or exchange.
fn fold_into(word: &str, key: &mut String) {
    for c in word.chars() {
        match c {
            c if c.is_ascii() => key.push(c.to_ascii_lowercase()),
            c if is_apostrophe(c) => key.push('\''),
            '\u{901}' => key.push('\u{902}'),
            '\u{93C}' | '\u{981}' => {}
            // Scripts without case.
            '\u{900}'..='\u{DFF}' => key.push(c),
            c if is_joiner(c) => {}
            c => key.extend(c.to_lowercase()),
        }
    }
}

fn first_two(key: &str) -> Option<[char; 2]> {
    let mut chars = key.chars();
    Some([chars.next()?, chars.next()?])
}

/// A letter or digit; in Devanagari and Bengali also their marks. The two blocks are named because the standard
/// library's tables are slow for them, and most of the time would be spent there.
fn is_letter(c: char) -> bool {
    matches!(c, '\u{900}'..='\u{963}' | '\u{966}'..='\u{96F}' | '\u{971}'..='\u{9F1}') || c.is_alphanumeric()
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | 'ʼ' | '‘')
}

/// Zero-width joiners shape letters inside words.
fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let words = Words::read(text, 1000, &Vocabulary::default());
        (0..words.len()).map(|at| words.shown(at).to_owned()).collect()
    }

    #[test]
    fn vowel_signs_stay_in_their_words_and_controls_do_not() {
        assert_eq!(shown("আমি তোমাকে ভালোবাসি।নমস্কার"), ["আমি", "তোমাকে", "ভালোবাসি", "নমস্কার"]);
        assert_eq!(shown("मैं ठीक हूँ।"), ["मैं", "ठीक", "हूँ"]);
        assert_eq!(shown("a\0b\u{202E}c 👩\u{200D}👩 don’t 'quoted'"), ["a", "b", "c", "don’t", "quoted"]);
        assert_eq!(shown("\u{301}\u{9BE}🙂"), Vec::<String>::new());
    }

    #[test]
    fn breaks_tell_pauses_from_ends() {
        use Break::{Hyphen, Odd, Pause, Space, Stop};
        let words = Words::read("i want to... die, now. self-harm @home", 1000, &Vocabulary::default());
        let breaks: Vec<_> = (0..words.len()).map(|at| words.before(at)).collect();
        assert_eq!(breaks, [Stop, Space, Space, Pause, Pause, Stop, Hyphen, Odd]);
        assert_eq!(words.sentence_start(4), 0);
        assert_eq!(words.sentence_start(6), 5);
    }

    #[test]
    fn words_are_compared_without_case_apostrophe_and_optional_marks() {
        let mut vocabulary = Vocabulary::default();
        let [dont, exam, hoon] = ["don't", "exam*", "हूं"].map(|word| vocabulary.learn(word).unwrap());
        vocabulary.finish();
        let words = Words::read("DON’T dont exams exact हूँ", 1000, &vocabulary);
        let ids: Vec<_> = (0..words.len()).map(|at| words.ids(at).to_vec()).collect();
        assert_eq!(ids, [vec![dont], vec![dont], vec![exam], vec![], vec![hoon]]);
        assert!(vocabulary.learn("self-harm").is_err());
        assert!(vocabulary.learn("e*").is_err());
        assert_eq!(vocabulary.learn("Don't"), Ok(dont));
    }

    #[test]
    fn work_on_a_long_text_is_capped() {
        assert_eq!(Words::read(&"a ".repeat(5000), 100, &Vocabulary::default()).len(), 50);
    }
}
