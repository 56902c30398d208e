//! How many tokens a text may take, without the model's own vocabulary, which only its server has.

/// What a message takes beside its text: the marks around it and the name of its role. The formats in use need 3 to 6.
pub const PER_MESSAGE: usize = 8;

/// Letters of one token, at least, in words that people write.
const LETTERS: usize = 3;

/// The tokens of `text`, rather too many than too few.
///
/// The vocabularies in use are made of bytes: a text never takes more tokens than it has bytes. That bound is kept where a
/// vocabulary may be poor: for every script but the Latin one, for digits, signs and line breaks. English and its
/// neighbours take about four letters to a token, with the space before a word in it; three are counted. Only strings of
/// letters that are no words may take more, and a server that is told too much says so.
#[must_use]
pub fn at_most(text: &str) -> usize {
    let mut tokens = 0;
    let mut letters = 0;
    for byte in text.bytes() {
        if byte.is_ascii_alphabetic() || byte == b' ' {
            tokens += usize::from(letters % LETTERS == 0);
            letters += 1;
        } else {
            tokens += 1;
            letters = 0;
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_by_threes_and_the_rest_by_bytes() {
        for (text, tokens) in [
            ("", 0),
            ("a", 1),
            ("abc", 1),
            ("abcd", 2),
            ("ab cd", 2),
            ("abc.abc", 3),
            ("12345", 5),
            ("\n\n", 2),
            ("আ", 3),
            ("🙂", 4),
            ("é", 2),
            ("aéa", 4),
        ] {
            assert_eq!(at_most(text), tokens, "{text:?}");
        }
    }

    #[test]
    fn it_is_never_over_the_bytes_and_never_under_what_vocabularies_take() {
        // With the tokens that three vocabularies in wide use take at most.
        for (text, taken) in [
            ("The quick brown fox jumps over the lazy dog.", 10),
            ("I have been feeling anxious about my exam tomorrow, and I can't sleep.", 17),
            ("{\"a\": [1, 2, 3], \"b\": null}", 19),
        ] {
            assert!((taken..=text.len()).contains(&at_most(text)), "{text}");
        }
    }
}
