//! What the user told earlier in the conversation.

use super::{
    pattern::Found,
    rules::{Language, Rule, Tone},
    stance::Person,
    words::Words,
};

/// Things to come back to are kept up to this number, the newest ones.
const MENTIONS_MAX: usize = 8;

/// A name is at most so long (characters).
const NAME_CHARS_MAX: usize = 20;

/// Something that the user spoke of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mention {
    /// The feeling or the topic.
    pub(super) rule: Rule,
    /// What to call it.
    pub(super) it: String,
    /// How many of the user's lines ago; 1 is the line before the one being answered.
    pub(super) lines_ago: usize,
}

/// What the conversation so far has told.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// How the user is called.
    pub(super) name: Option<String>,
    /// What was spoken of, each thing once, newest first.
    pub(super) mentions: Vec<Mention>,
}

impl Memory {
    /// Remembers `lines`, the user's, newest first, without the one being answered. A line that is `grave` is passed
    /// over: nobody is reminded of what they said in despair.
    pub(super) fn of<'w>(lines: impl Iterator<Item = (&'w Words, bool)>, language: &Language) -> Self {
        let mut memory = Self::default();
        for (index, (words, grave)) in lines.enumerate() {
            if !grave {
                memory.remember(words, index + 1, language);
            }
        }
        memory
    }

    fn remember(&mut self, words: &Words, lines_ago: usize, language: &Language) {
        for found in language.phrases.find(words) {
            if found.rule == Rule::Name && self.name.is_none() {
                self.name = name(words, &found, language);
            }
            let it = match found.rule {
                Rule::Topic(_) => label(words, &found, language),
                Rule::Feeling(at) if is_own(words, &found, language) => language.feelings[at].label.clone(),
                Rule::Feeling(_) | Rule::Move(_) | Rule::Name => continue,
            };
            let mention = Mention { rule: found.rule, it, lines_ago };
            match self.mentions.iter().position(|known| known.rule == found.rule) {
                // Of two ways to name one thing in the same line, the one that kept more of it.
                Some(at) if self.mentions[at].lines_ago == lines_ago && found.kept.is_some() => {
                    self.mentions[at] = mention;
                }
                None if self.mentions.len() < MENTIONS_MAX => self.mentions.push(mention),
                Some(_) | None => {}
            }
        }
    }

    /// True where the last feeling told was a hard one.
    pub(super) fn was_hard(&self, language: &Language) -> bool {
        self.mentions.iter().find_map(|mention| match mention.rule {
            Rule::Feeling(at) => Some(language.feelings[at].tone == Tone::Hard),
            Rule::Topic(_) | Rule::Move(_) | Rule::Name => None,
        }) == Some(true)
    }
}

/// The name that `found` has kept, unless it is no name.
pub(super) fn name(words: &Words, found: &Found<Rule>, language: &Language) -> Option<String> {
    let at = found.kept.clone()?.start;
    let shown = words.shown(at);
    let fits = shown.chars().all(|c| !c.is_numeric())
        && (2..=NAME_CHARS_MAX).contains(&shown.chars().count())
        && !words.is_any(at, &language.no_names);
    let mut chars = shown.chars();
    fits.then(|| chars.next().map(|first| first.to_uppercase().chain(chars).collect())).flatten()
}

/// What to call the topic of `found`.
pub(super) fn label(words: &Words, found: &Found<Rule>, language: &Language) -> String {
    let Rule::Topic(at) = found.rule else { return String::new() };
    let topic = &language.topics[at];
    match (&topic.label_with, &found.kept) {
        (Some((before, after)), Some(kept))
            if kept.clone().all(|at| !words.is_any(at, &language.reflection.never_repeat)) =>
        {
            format!("{before}{}{after}", language.reflection.swapped(words, kept.clone()))
        }
        _ => topic.label.clone(),
    }
}

/// True where the feeling of `found` is the user's own, and not denied.
pub(super) fn is_own(words: &Words, found: &Found<Rule>, language: &Language) -> bool {
    let person = language.stance.person(words, found.span.start).map(|(_, person)| person);
    let own = matches!(person, None | Some(Person::First)) || language.stance.names_user(words, found.span.clone());
    own && !language.stance.denies(words, found.span.clone())
}
