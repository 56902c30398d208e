//! The built-in companion: an offline listener.
//!
//! It hears what a line does (greets, asks, tells of a feeling, ...), takes it up, gives the user's own words back
//! where that is safe, asks on, and comes back to what was told earlier. What it listens for and what it says stands in data
//! files, one for each language; this code knows no word of any. It knows nothing else: no model, no network, no clock,
//! no chance. The same conversation gives the same reply, in time linear in a bounded part of the text.
//!
//! It says that it is a program in its first reply and whenever asked, gives no medical advice, and answers talk of
//! self-harm with helplines before anything else. It never ends or blocks a conversation.

mod crisis;
mod file;
mod language;
mod listener;
mod memory;
mod pattern;
mod reflect;
mod rules;
mod stance;
#[cfg(test)]
mod tests;
mod voice;
mod words;

pub use crisis::{Helpline, WordedHelpline};

use crate::completions::Role;
use crisis::{Concern, Crisis};
use listener::{Before, Heard, Listener};
use memory::Memory;
use rules::Language;
use voice::{Filling, Voice, hash};
use words::{Vocabulary, Words};

/// The languages: a data file each, the fallback first. To add one, add its file to the folder and here.
const LANGUAGES: [(&str, &str); 3] = [
    ("english.toml", include_str!("companion/english.toml")),
    ("bengali.toml", include_str!("companion/bengali.toml")),
    ("hindi.toml", include_str!("companion/hindi.toml")),
];

const CRISIS: &str = include_str!("companion/crisis.toml");

/// The newest lines of a conversation that are looked at.
pub(super) const LINES_MAX: usize = 50;

/// How much of the line being answered is read: as much as a message may have (characters).
const LINE_CHARS_MAX: usize = 5000;

/// How much of each earlier line of the user is read, and of all of them (characters).
const EARLIER_CHARS_MAX: usize = 240;
const EARLIER_CHARS_TOTAL: usize = 4000;

/// How much of each of its own lines is compared, and of all of them (bytes).
const OWN_BYTES_MAX: usize = 3000;
const OWN_BYTES_TOTAL: usize = 16 << 10;

/// For so many of the user's lines after talk of self-harm, every line is answered with that in mind.
const CRISIS_ECHO_LINES: usize = 8;

/// One line of a conversation.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Who said it.
    pub role: Role,
    /// What.
    pub text: &'a str,
    /// By which name, where the model is to know it; the companion does not look at it.
    pub name: Option<&'a str>,
}

/// The built-in companion.
pub struct Companion {
    vocabulary: Vocabulary,
    crisis: Crisis,
    languages: Vec<Language>,
}

/// A fault in a data file.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {fault}")]
struct DataError {
    file: String,
    fault: String,
}

impl Companion {
    /// The name under which it is known as a model.
    pub const NAME: &str = "companion";

    /// Reads the compiled-in rules.
    ///
    /// # Panics
    /// Never in a program whose tests pass: a fault in the data files is a fault of the program.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "reading the rules is work, not a default value")]
    pub fn new() -> Self {
        Self::read(CRISIS, &LANGUAGES).expect("the data files are part of the program, and a test reads them")
    }

    /// True where `text` speaks of suicide or self-harm, the user's or somebody else's, in any language of the rules.
    /// These are rules over words: they miss hints, and take some harmless lines for serious ones.
    #[must_use]
    pub fn mentions_self_harm(&self, text: &str) -> bool {
        self.crisis.concern(&self.hear(text, LINE_CHARS_MAX)).is_some()
    }

    /// The helplines that are given, in their order, each with its source and the day on which it was checked.
    #[must_use]
    pub fn helplines(&self) -> Vec<WordedHelpline<'_>> {
        let lines = |at: usize| {
            self.languages.iter().map(move |language| (language.tag.as_str(), language.crisis.helplines[at].as_str()))
        };
        let helplines = self.crisis.helplines.iter().enumerate();
        helplines.map(|(at, helpline)| WordedHelpline { helpline, text: lines(at).collect() }).collect()
    }

    /// The reply to the last line of `conversation`, which is the user's. The same conversation gives the same reply.
    #[must_use]
    pub fn reply(&self, conversation: &[Line<'_>]) -> String {
        let conversation = &conversation[conversation.len().saturating_sub(LINES_MAX)..];
        let Some((last, earlier)) = conversation.split_last() else { return String::new() };
        let words = self.hear(last.text, LINE_CHARS_MAX);
        let concern = self.crisis.concern(&words);
        let users = self.hear_earlier(earlier);
        let choice = language::choose(std::iter::once(&words).chain(&users), &self.languages);
        let language = &self.languages[choice.language];
        let place = by(earlier, Role::User).count() as u64;
        let said = said(earlier);
        let voice = Voice::new(said, hash(place, cut(last.text, OWN_BYTES_MAX).as_bytes()));
        if let Some(concern) = concern {
            return crisis_reply(concern, language, &voice);
        }
        let concerns: Vec<_> = users.iter().map(|words| self.crisis.concern(words)).collect();
        let heard = Heard::new(words, choice.foreign, language);
        let lately = concerns.iter().take(CRISIS_ECHO_LINES).any(|concern| matches!(concern, Some(Concern::Own)));
        // Who spoke of it a moment ago may go on in words that no rule knows: only what is plainly calm is small talk.
        if lately && !heard.is_calm() {
            return crisis_reply(Concern::Own, language, &voice);
        }
        let grave: Vec<_> = concerns.iter().map(Option::is_some).collect();
        let before = Before {
            memory: Memory::of(users.iter().zip(grave.iter().copied()), language),
            crisis_ago: grave.iter().take(CRISIS_ECHO_LINES).position(|&grave| grave),
            repeated: by(earlier, Role::User).take(3).any(|text| text.trim() == last.text.trim()),
            was_asked: by(earlier, Role::Assistant).next().is_some_and(|text| text.contains('?')),
            has_spoken: by(earlier, Role::Assistant).next().is_some(),
        };
        Listener { language, heard, before, voice }.reply()
    }

    /// [`Companion::reply`] under a line that says, in the language of the conversation, that it stands in for a model.
    #[must_use]
    pub fn stand_in(&self, conversation: &[Line<'_>]) -> String {
        let newest = &conversation[conversation.len().saturating_sub(LINES_MAX)..];
        let users = self.hear_earlier(newest);
        let language = &self.languages[language::choose(users.iter(), &self.languages).language];
        format!("{}\n\n{}", language.stand_in, self.reply(conversation))
    }

    /// The helplines, in the language of the conversation, where its last line speaks of self-harm.
    #[must_use]
    pub fn helplines_first(&self, conversation: &[Line<'_>]) -> Option<String> {
        let words = self.hear(conversation.last()?.text, LINE_CHARS_MAX);
        self.crisis.concern(&words)?;
        let newest = &conversation[conversation.len().saturating_sub(LINES_MAX)..];
        let users = self.hear_earlier(newest);
        let language = &self.languages[language::choose(users.iter(), &self.languages).language];
        Some(language.crisis.resources.clone())
    }

    /// What the user said earlier, newest first, as far as the bounds allow.
    fn hear_earlier(&self, earlier: &[Line<'_>]) -> Vec<Words> {
        let mut left = EARLIER_CHARS_TOTAL;
        let hear = |text: &str| {
            let most = left.min(EARLIER_CHARS_MAX);
            left -= text.chars().take(most).count();
            (most > 0).then(|| self.hear(text, most))
        };
        by(earlier, Role::User).map_while(hear).collect()
    }

    /// Reads rules from the texts of data files, each with its name.
    fn read(crisis: &str, languages: &[(&str, &str)]) -> Result<Self, DataError> {
        let in_file = |file: &str| {
            let file = file.to_owned();
            move |fault| DataError { file, fault }
        };
        let mut vocabulary = Vocabulary::default();
        let crisis = Crisis::new(crisis, &mut vocabulary).map_err(in_file("crisis.toml"))?;
        let mut read = Vec::with_capacity(languages.len());
        for (file, text) in languages {
            let language = Language::new(text, &crisis.helplines, &mut vocabulary).map_err(in_file(file))?;
            if read.iter().any(|earlier: &Language| earlier.tag == language.tag) {
                return Err(in_file(file)(format!("tag: \"{}\" is another language's", language.tag)));
            }
            read.push(language);
        }
        vocabulary.finish();
        Ok(Self { vocabulary, crisis, languages: read })
    }

    fn hear(&self, text: &str, chars_max: usize) -> Words {
        Words::read(text, chars_max, &self.vocabulary)
    }
}

fn crisis_reply(concern: Concern, language: &Language, voice: &Voice<'_>) -> String {
    let words = &language.crisis;
    let (care, question) = match concern {
        Concern::Own => (&words.own, &words.own_questions),
        Concern::Other => (&words.other, &words.other_questions),
    };
    let said =
        [care, question].map(|list| voice.choose(list, &Filling::default()).expect("crisis lists have no slots"));
    format!("{}\n\n{} {}", words.resources, said[0], said[1])
}

/// What `role` said, newest first.
fn by<'c>(lines: &'c [Line<'c>], role: Role) -> impl Iterator<Item = &'c str> {
    lines.iter().rev().filter(move |line| line.role == role).map(|line| line.text)
}

/// What the companion said earlier, newest first, as far as the bounds allow.
fn said<'c>(earlier: &'c [Line<'c>]) -> Vec<&'c str> {
    let mut left = OWN_BYTES_TOTAL;
    let take = |text: &'c str| {
        let text = cut(text, left.min(OWN_BYTES_MAX));
        left -= text.len();
        (left > 0).then_some(text)
    };
    by(earlier, Role::Assistant).map_while(take).collect()
}

/// The beginning of `text`, at most `bytes_max` long.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
