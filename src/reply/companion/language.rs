//! Which language a line is in, and a conversation.
//!
//! Letters decide where a language has its own. Bengali and Hindi typed in Latin letters are known by listed words, and
//! are answered in their own script: whoever types "tumi kemon acho" reads it. Short lines ("ok") and lines without
//! words stay in the language that the user wrote before.

use super::{rules::Language, words::Words};

/// Lines of so few words in Latin letters decide only where nothing else does.
const SHORT_LINE_WORDS_MAX: usize = 2;

/// The place of the fallback, English, in the list of languages.
const FALLBACK: usize = 0;

/// The language to answer in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice {
    /// Its place in the list of languages.
    pub(super) language: usize,
    /// True where the line is in another language, which nobody has written rules for.
    pub(super) foreign: bool,
}

/// The language to answer `lines` in: the user's, newest first.
pub(super) fn choose<'w>(lines: impl Iterator<Item = &'w Words>, languages: &[Language]) -> Choice {
    let mut unsure = None;
    for words in lines {
        match guess(words, languages) {
            Some((choice, true)) => return choice,
            Some((choice, false)) => unsure = unsure.or(Some(choice)),
            None => {}
        }
    }
    unsure.unwrap_or(Choice { language: FALLBACK, foreign: false })
}

/// The language of one line, and whether that is sure.
fn guess(words: &Words, languages: &[Language]) -> Option<(Choice, bool)> {
    let letters = |language: usize| {
        (0..words.len()).filter(|&at| languages[language].letters.contains(&words.first_char(at))).count()
    };
    let hints = |language: usize| (0..words.len()).filter(|&at| words.is_any(at, &languages[language].hints)).count();
    let own = |language| Some((Choice { language, foreign: false }, true));
    let foreign = |sure| Some((Choice { language: FALLBACK, foreign: true }, sure));

    let latin = letters(FALLBACK);
    let others = (0..languages.len()).filter(|&at| languages[at].letters != languages[FALLBACK].letters);
    let (native, by_letters) =
        others.map(|at| (at, letters(at))).rev().max_by_key(|&(at, n)| (n, hints(at))).unwrap_or((FALLBACK, 0));
    if by_letters > 0 && by_letters * 2 >= latin {
        return own(native);
    }
    let alphabetic = (0..words.len()).filter(|&at| words.first_char(at).is_alphabetic()).count();
    if alphabetic > (latin + by_letters) * 2 {
        return foreign(true);
    }

    let (best, most) = (0..languages.len()).map(|at| (at, hints(at))).rev().max_by_key(|&(_, n)| n)?;
    let unknown = (0..words.len()).filter(|&at| words.is_any(at, &languages[FALLBACK].foreign)).count();
    let knows_any = (0..words.len()).any(|at| !words.ids(at).is_empty());
    let long = words.len() > SHORT_LINE_WORDS_MAX;
    match most {
        _ if unknown >= 2 && unknown > most => foreign(true),
        0 if long && !knows_any && latin > SHORT_LINE_WORDS_MAX + 1 => foreign(false),
        0 => None,
        _ => Some((Choice { language: best, foreign: false }, long)),
    }
}
