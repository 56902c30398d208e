//! Text that came from outside, validated once at the edge.
//!
//! What is accepted is kept byte for byte; lengths count characters (Unicode scalar values).

mod excerpt;

use std::fmt;

pub use excerpt::{excerpt, opening};
use unicode_normalization::UnicodeNormalization;

/// Why a text is refused: a sentence for a person, without the name of the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TextFault(String);

/// What a user says: at least one character that is not white space, and no more characters than the config allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageText(String);

/// A session's title: 1 to 200 characters, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Title(String);

/// What a session's owner wants the backend to be told before the conversation: 1 to 8,000 characters, not only white
/// space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemPrompt(String);

/// How a person wants to be called: 1 to 100 characters, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName(String);

/// What an API key is for: 1 to 100 characters, not only white space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

/// The name of an account: 1 to 64 letters, marks, digits and `. _ - @ +`, in Unicode's NFC form.
///
/// Two names that differ only in case, or in how their characters are composed, are the same name: see [`folded`].
///
/// [`folded`]: Username::folded
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    shown: String,
    folded: String,
}

impl MessageText {
    /// Accepts 1 to `chars_max` characters.
    ///
    /// # Errors
    /// Too long, empty, or nothing but white space and invisible characters.
    pub fn new(text: String, chars_max: usize) -> Result<Self, TextFault> {
        bounded(&text, chars_max)?;
        Ok(Self(text))
    }

    /// The text, byte for byte as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Gives the text away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Title {
    /// The most characters that a title may have.
    pub const CHARS_MAX: usize = 200;
    /// As much of what was said as a list of sessions shows.
    const OPENING_CHARS: usize = 60;

    /// The title that a session gets which begins with these words; nothing where none of them can be shown in a line.
    #[must_use]
    pub fn of_words(said: &str) -> Option<Self> {
        Self::new(opening(said, Self::OPENING_CHARS)).ok()
    }

    /// Accepts a title.
    ///
    /// # Errors
    /// Too long, empty, or nothing but white space.
    pub fn new(text: String) -> Result<Self, TextFault> {
        bounded(&text, Self::CHARS_MAX)?;
        Ok(Self(text))
    }

    /// Gives the text away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl SystemPrompt {
    /// The most characters that it may have.
    pub const CHARS_MAX: usize = 8_000;

    /// Accepts instructions.
    ///
    /// # Errors
    /// Too long, empty, or nothing but white space.
    pub fn new(text: String) -> Result<Self, TextFault> {
        bounded(&text, Self::CHARS_MAX)?;
        Ok(Self(text))
    }

    /// Gives the text away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl DisplayName {
    /// The most characters that a display name may have.
    pub const CHARS_MAX: usize = 100;

    /// Accepts a display name.
    ///
    /// # Errors
    /// Too long, empty, or nothing but white space.
    pub fn new(text: String) -> Result<Self, TextFault> {
        bounded(&text, Self::CHARS_MAX)?;
        Ok(Self(text))
    }

    /// Gives the text away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl KeyName {
    /// The most characters that it may have.
    pub const CHARS_MAX: usize = 100;

    /// Accepts a name.
    ///
    /// # Errors
    /// Too long, empty, or nothing but white space.
    pub fn new(text: String) -> Result<Self, TextFault> {
        bounded(&text, Self::CHARS_MAX)?;
        Ok(Self(text))
    }

    /// Gives the text away.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl Username {
    /// The most characters that a user name may have.
    pub const CHARS_MAX: usize = 64;

    /// Accepts a user name.
    ///
    /// # Errors
    /// Empty, too long, or with a character that names do not have.
    pub fn new(text: &str) -> Result<Self, TextFault> {
        let shown: String = text.nfc().collect();
        bounded(&shown, Self::CHARS_MAX)?;
        if let Some(bad) = shown.chars().find(|&c| !(c.is_alphanumeric() || is_mark(c) || "._-@+".contains(c))) {
            let bad = bad.escape_debug();
            return Err(TextFault(format!("may have letters, digits and . _ - @ + only, not \"{bad}\"")));
        }
        let folded = shown.nfkc().collect::<String>().to_lowercase().nfkc().collect();
        Ok(Self { shown, folded })
    }

    /// The name as the user wrote it, composed (NFC).
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// The form in which names are compared: compatibility-composed and lower-cased (NFKC, then lower case, then NFKC).
    #[must_use]
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.fmt(f)
    }
}

/// Bengali, Hindi and many other scripts write vowels as marks, which are no letters to `char`.
fn is_mark(c: char) -> bool {
    unicode_normalization::char::is_combining_mark(c)
}

fn bounded(text: &str, chars_max: usize) -> Result<(), TextFault> {
    let chars = text.chars().count();
    if chars > chars_max {
        return Err(TextFault(format!("is {chars} characters long; at most {chars_max} are allowed")));
    }
    if text.chars().all(is_blank) {
        return Err(TextFault("must have at least one character that is not white space".to_owned()));
    }
    Ok(())
}

/// White space, or a character that shows nothing by itself (zero-width space and joiners, word joiner, BOM).
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

/// `text` in the form in which search compares: compatibility-composed and lower-cased.
#[must_use]
pub fn folded(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfkc().collect::<String>().to_lowercase().nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_text_is_refused_and_limits_count_characters() {
        for blank in ["", " ", "\n\t", "\u{200B}\u{200D}", "\u{FEFF}"] {
            assert!(MessageText::new(blank.to_owned(), 10).is_err(), "{blank:?}");
        }
        assert!(MessageText::new("🙂".repeat(10), 10).is_ok());
        assert!(MessageText::new("🙂".repeat(11), 10).is_err());
        let exact = "a\0\u{202E}b\u{301}";
        assert_eq!(MessageText::new(exact.to_owned(), 10).unwrap().as_str(), exact);
    }

    #[test]
    fn names_that_look_the_same_are_the_same() {
        let folded = |name: &str| Username::new(name).unwrap().folded().to_owned();
        assert_eq!(folded("Admin"), folded("admin"));
        assert_eq!(folded("e\u{301}mile"), folded("\u{C9}MILE"));
        assert_eq!(folded("ａdmin"), folded("admin"));
        assert!(Username::new("আমিনা").is_ok());
        for bad in ["", " ", "a b", "a/b", "../x", "a\0", "🙂", "admin "] {
            assert!(Username::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn search_ignores_case_and_composition_in_any_language() {
        assert_eq!(folded("STRASSE Ünïcode"), folded("strasse u\u{308}n\u{ef}code"));
        assert_eq!(folded("ক\u{9DC}"), folded("ক\u{9A1}\u{9BC}"));
    }
}
