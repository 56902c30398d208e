//! How many tokens a text may take, without the model's own vocabulary, which only its server has.

/// What a message takes beside its text: the marks around it and the name of its role. The formats in use need 3 to 6.
pub const PER_MESSAGE: usize = 8;

/// Bytes of a token, at most, as they are counted here.
pub const BYTES_MAX: usize = LETTERS;

/// Letters of one token, at least, in words that people write.
const LETTERS: usize = 3;

/// The tokens of `text`, rather too many than too few.
///
/// The vocabularies in use are made of bytes: a text never takes more tokens than it has bytes. That bound is kept where a
/// vocabulary may be poor: for every script but the Latin one, for digits, signs and line breaks. English and its
/// neighbours take about four letters to a token, with the space before a word in it, and one for each word at least; three
/// letters are counted. Only strings of letters that are no words may take more, and a server that is told too much says so.
#[must_use]
pub fn at_most(text: &str) -> usize {
    let mut counter = Counter::default();
    counter.push(text);
    counter.tokens()
}

/// [`at_most`] of a text that comes in pieces, wherever they are cut.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counter {
    tokens: usize,
    /// Of the word that the next byte may belong to.
    letters: usize,
}

impl Counter {
    /// Adds a piece.
    pub fn push(&mut self, text: &str) {
        for byte in text.bytes() {
            if !byte.is_ascii_alphabetic() {
                self.letters = 0; // A space begins a word, and is the first letter of its first token.
            }
            self.tokens += usize::from(self.letters.is_multiple_of(LETTERS));
            self.letters += usize::from(byte.is_ascii_alphabetic() || byte == b' ');
        }
    }

    /// The tokens so far.
    #[must_use]
    pub fn tokens(self) -> usize {
        self.tokens
    }
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
            ("a b c", 3),
            ("abc abc", 3),
            ("  ", 2),
            ("abc.abc", 3),
            ("12345", 5),
            ("\n\n", 2),
            ("আ", 3),
            ("🙂", 4),
            ("é", 2),
            ("aéa", 4),
        ] {
            assert_eq!(at_most(text), tokens, "{text:?}");
            let mut pieces = Counter::default();
            text.chars().for_each(|char| pieces.push(char.encode_utf8(&mut [0; 4])));
            assert_eq!(pieces.tokens(), tokens, "{text:?} in pieces");
        }
    }

    #[test]
    fn it_is_never_over_the_bytes_and_never_under_the_words_and_signs() {
        for text in [
            "The quick brown fox jumps over the lazy dog.",
            "I have been feeling anxious about my exam tomorrow, and I can't sleep.",
            "{\"a\": [1, 2, 3], \"b\": null}",
            "a b c d e f",
        ] {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).count();
            let signs = text.chars().filter(char::is_ascii_punctuation).count();
            let tokens = at_most(text);
            assert!((words + signs..=text.len()).contains(&tokens), "{text}: {tokens}");
        }
    }
}
