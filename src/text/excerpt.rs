//! Finding a text within a text as search compares, and showing the place with some of what stands around it.
//!
//! What is compared is folded, which changes lengths: `find` leads from a place in the folded text back to the text itself.

use std::ops::Range;

use unicode_normalization::{IsNormalized, UnicodeNormalization, char as unicode, is_nfkc_quick};

use super::{folded, is_mark};

/// Stands where something was left out.
const CUT: char = '…';
/// The most characters of what could be shown that are given up so that a cut falls between words.
const WORD_CHARS_MAX: usize = 24;

/// At most `chars_max` characters of `text` around the first place where `needle` (folded) stands in it, with "…" where
/// something was left out; nothing where it does not stand there. Whole words, where they are not too long for that.
#[must_use]
pub fn excerpt(text: &str, needle: &str, chars_max: usize) -> Option<String> {
    let found = find(text, needle)?;
    if text.chars().count() <= chars_max {
        return Some(text.to_owned());
    }
    let Range { start: from, end: to } = window(text, &found, chars_max.saturating_sub(2));
    let (mut shown, mut excerpt) = (&text[from..to], String::with_capacity(to - from + 2 * CUT.len_utf8()));
    if from > 0 {
        shown = shown.trim_start();
        excerpt.push(CUT);
    }
    if to < text.len() {
        shown = shown.trim_end();
    }
    excerpt.push_str(shown);
    if to < text.len() {
        excerpt.push(CUT);
    }
    Some(excerpt)
}

/// The beginning of `text` in one line of at most `chars_max` characters, with "…" where something was left out: whole words,
/// where they are not too long for that. Empty where there is nothing to be seen.
#[must_use]
pub fn opening(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let mut chars = 0;
    // As much as can be needed to see where the last word ends.
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if chars > 0 {
            line.push(' ');
        }
        let part: String = word.chars().take(chars_max + 1).collect();
        line.push_str(&part);
        chars = line.chars().count();
        if chars > chars_max {
            break;
        }
    }
    if chars <= chars_max {
        return line;
    }
    let at = line.char_indices().nth(chars_max.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    line.truncate(word_end(&line, at, 0));
    line.truncate(line.trim_end().len());
    line.push(CUT);
    line
}

/// Where `needle` (folded) stands first in `text`: whole characters, with all that is written as one with them.
fn find(text: &str, needle: &str) -> Option<Range<usize>> {
    let folded = folded(text);
    let first = folded.find(needle)?;
    let end = first + needle.len();
    if text.is_ascii() {
        return Some(first..end); // Folding changes no length.
    }
    let (mut from, mut place, mut place_folded) = (0, 0, 0);
    while place < text.len() && place_folded < end {
        if place_folded <= first {
            from = place;
        }
        let part = first_part(&text[place..]);
        place_folded += folded_len(part);
        place += part.len();
    }
    Some(from..place)
}

/// The beginning of `text` that is folded by itself: nothing behind it changes how it is folded, nor the other way round,
/// but for the final sigma, which is as long as the other.
fn first_part(text: &str) -> &str {
    let second = text.char_indices().skip(1).find(|(_, c)| begins_part(*c));
    &text[..second.map_or(text.len(), |(at, _)| at)]
}

/// True where no character before `c` is composed with it, or changes places with it.
fn begins_part(c: char) -> bool {
    if c.is_ascii() {
        return true;
    }
    let mut first = None;
    unicode::decompose_compatible(c, |part| first = first.or(Some(part)));
    let first = first.unwrap_or(c);
    unicode::canonical_combining_class(first) == 0 && is_nfkc_quick(std::iter::once(first)) == IsNormalized::Yes
}

/// How long a part is in the folded text, bytes.
fn folded_len(part: &str) -> usize {
    if part.is_ascii() {
        return part.len();
    }
    part.nfkc().flat_map(char::to_lowercase).nfkc().map(char::len_utf8).sum()
}

/// What is shown around `found`, at most `chars_max` characters: as much before it as behind it, where both have so much.
fn window(text: &str, found: &Range<usize>, chars_max: usize) -> Range<usize> {
    let (before, behind) = (&text[..found.start], &text[found.end..]);
    let spare = chars_max.saturating_sub(text[found.clone()].chars().count());
    let has_before = before.chars().take(spare).count();
    let has_behind = behind.chars().take(spare).count();
    let most_behind = has_behind.min(spare - has_before.min(spare / 2));
    let most_before = has_before.min(spare - most_behind);
    let from = before.char_indices().rev().take(most_before).last().map_or(found.start, |(at, _)| at);
    let to = text[from..].char_indices().nth(chars_max).map_or(text.len(), |(at, _)| from + at);
    // What was found is cut only where it is too long by itself.
    let least = if to < found.end { found.start } else { found.end };
    word_start(text, from, found.start)..word_end(text, to, least)
}

/// The first place from `at` up to `latest` where a word begins, if there is one near; else where a character does.
fn word_start(text: &str, at: usize, latest: usize) -> usize {
    if at == 0 || text[..at].ends_with(char::is_whitespace) {
        return at;
    }
    let between = || text[at..latest].char_indices();
    if let Some((space, _)) = between().take(WORD_CHARS_MAX).find(|(_, c)| c.is_whitespace()) {
        return at + space; // Which is trimmed.
    }
    between().map(|(place, _)| at + place).find(|&place| !is_within_one(text, place)).unwrap_or(latest)
}

/// The last place from `least` up to `at` where a word ends, if there is one near; else where a character does.
fn word_end(text: &str, at: usize, least: usize) -> usize {
    if at == text.len() || text[at..].starts_with(char::is_whitespace) {
        return at;
    }
    let between = || text[least..at].char_indices().rev();
    if let Some((space, _)) = between().take(WORD_CHARS_MAX).find(|(_, c)| c.is_whitespace()) {
        return least + space;
    }
    let places = std::iter::once(at).chain(between().map(|(place, _)| least + place));
    places.into_iter().find(|&place| !is_within_one(text, place)).unwrap_or(at)
}

/// True where what stands on both sides of `at` is seen as one character: marks, joined emoji, colours of skin.
fn is_within_one(text: &str, at: usize) -> bool {
    const JOINER: char = '\u{200D}';
    let is_part = |c: char| is_mark(c) || c == JOINER || ('\u{1F3FB}'..='\u{1F3FF}').contains(&c);
    text[at..].starts_with(is_part) || text[..at].ends_with(JOINER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, needle: &str, chars_max: usize) -> String {
        excerpt(text, &folded(needle), chars_max).unwrap_or_else(|| panic!("{needle:?} is not in {text:?}"))
    }

    #[test]
    fn a_short_text_is_shown_whole_and_one_without_the_needle_not_at_all() {
        assert_eq!(shown("  My Umbrella\n", "umBRella", 14), "  My Umbrella\n");
        assert_eq!(excerpt("My umbrella", "rain", 40), None);
    }

    #[test]
    fn a_long_text_is_cut_between_words_around_the_first_place() {
        let text = "one two three four five six seven eight nine ten seven eleven twelve";
        assert_eq!(shown(text, "seven", 25), "…five six seven eight…");
        assert_eq!(shown(text, "one", 16), "one two three…");
        assert_eq!(shown(text, "twelve", 16), "…eleven twelve");
        assert_eq!(shown(text, "x", 20), "…five six seven…");
        assert_eq!(shown(text, "two three four five", 10), "…two…", "a match that is too long is cut too");
    }

    #[test]
    fn a_word_without_end_is_cut_between_characters() {
        let marks = "\u{995}\u{9be}".repeat(100); // A letter and its vowel.
        let family = "👩\u{200D}👧🏽".repeat(50);
        for (text, needle) in [(&marks, "\u{995}\u{9be}"), (&family, "👧")] {
            for chars_max in 10..30 {
                let middle = format!("{text}x{text}");
                for cut in [shown(text, needle, chars_max), shown(&middle, "x", chars_max)] {
                    assert!(cut.chars().count() <= chars_max, "{cut:?}");
                    let inner = cut.trim_matches(CUT);
                    let at = middle.find(inner).unwrap();
                    assert!(!is_within_one(&middle, at) && !is_within_one(&middle, at + inner.len()), "{cut:?}");
                }
            }
        }
        assert_eq!(shown(&"z".repeat(100), "z", 10), format!("{}…", "z".repeat(9 - 1)));
    }

    #[test]
    fn an_opening_is_one_line_of_whole_words_in_any_language() {
        assert_eq!(opening("  My\n\tumbrella \u{7} ", 20), "My umbrella");
        assert_eq!(opening("one two three four", 18), "one two three four");
        assert_eq!(opening("one two three four", 14), "one two three…");
        assert_eq!(opening("one two three four", 13), "one two…");
        assert_eq!(opening("আমার মনটা আজ খুব খারাপ লাগছে", 20), "আমার মনটা আজ খুব…");
        assert_eq!(opening(&"今日はとても疲れました".repeat(3), 12), "今日はとても疲れました…");
        assert_eq!(opening(&"z".repeat(10_000), 10), format!("{}…", "z".repeat(9)));
        assert_eq!(opening(" \u{1}\n", 10), "");
        let family = "👩\u{200D}👧🏽".repeat(50);
        for chars_max in 1..40 {
            let cut = opening(&family, chars_max);
            let inner = cut.trim_matches(CUT);
            assert!(cut.chars().count() <= chars_max && !is_within_one(&family, inner.len()), "{cut:?}");
        }
    }

    /// Texts of characters that are composed, reordered, expanded or shrunk by folding.
    fn nasty(mut seed: u64, len: usize) -> String {
        const SOME: [&str; 28] = [
            "a", "Z", " ", "\n", "Σ", "İ", "ﬁ", "Å", "e", "\u{301}", "\u{323}", "\u{344}", "ｶ", "\u{FF9E}", "ẞ", "ﷺ",
            "ড়", "\u{9C7}", "\u{9BE}", "क", "\u{93C}", "\u{1100}", "\u{1161}", "\u{11A8}", "가", "🙂", "\u{200D}", "´",
        ];
        let mut next = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % 28).unwrap()
        };
        (0..len).map(|_| SOME[next()]).collect()
    }

    #[test]
    fn what_is_found_is_the_place_itself_in_texts_whose_length_folding_changes() {
        for seed in 1..3000 {
            let text = nasty(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed), 40);
            let mut lengths = 0;
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let part = first_part(rest);
                lengths += folded_len(part);
                rest = &rest[part.len()..];
            }
            assert_eq!(lengths, folded(&text).len(), "{text:?}");
            let all = folded(&text);
            let from = all.ceil_char_boundary(all.len() / 3);
            let needle = &all[from..all.ceil_char_boundary(from + 6)];
            let found = find(&text, needle).unwrap();
            let first = all.find(needle).unwrap();
            let begun = found.start + first_part(&text[found.start..]).len();
            assert!((folded(&text[..found.start]).len()..folded(&text[..begun]).len()).contains(&first), "{text:?}");
            let sigmas = |text: &str| text.replace('ς', "σ");
            let there = folded(&text[found.clone()]);
            assert!(sigmas(&there).contains(&sigmas(needle)), "{needle:?} in {text:?} is not {there:?}");
            let cut = excerpt(&text, needle, 20).unwrap();
            assert!(cut.chars().count() <= 20 && text.contains(cut.trim_matches(CUT)), "{cut:?} of {text:?}");
        }
    }
}
