//! The built-in companion: an offline listener.
//!
//! It hears what a line does (greets, asks, tells of a feeling, ...), takes it up, gives the user's own words back where
//! that is safe, asks on, and comes back to what was told earlier. What it listens for and what it says stands in data
//! files, one for each language; this code knows no word of any. It knows nothing else: no model, no network, no clock,
//! no chance. The same conversation gives the same reply, in time linear in a bounded part of the text.
//!
//! It says that it is a program in its first reply and whenever asked, gives no medical advice, and answers talk of
//! self-harm with helplines before anything else. It never ends or blocks a conversation.

mod crisis;
mod language;
mod memory;
mod pattern;
mod reflect;
mod rules;
mod stance;
#[cfg(test)]
mod tests;
mod voice;
mod words;

use crate::store::Speaker;
use crisis::{Concern, Crisis};
use memory::{Memory, Mention};
use pattern::Found;
use rules::{Language, Move, Rule, Talk, Tone};
use stance::Person;
use voice::{Filling, Variants, Voice, hash};
use words::{Vocabulary, Words};

/// The languages: a data file each, the fallback first. To add one, add its file to the folder and here.
const LANGUAGES: [(&str, &str); 1] = [("english.toml", include_str!("companion/english.toml"))];

const CRISIS: &str = include_str!("companion/crisis.toml");

/// The newest lines of a conversation that are looked at.
const LINES_MAX: usize = 50;

/// How much of the line being answered is read: as much as a message may have (characters).
const LINE_CHARS_MAX: usize = 5000;

/// How much of each earlier line is read (characters).
const EARLIER_CHARS_MAX: usize = 240;

/// How much of each of its own lines is compared (bytes). Its replies are shorter.
const OWN_BYTES_MAX: usize = 1200;

/// Lines of at most so many words, that say nothing the rules know, get a follow-up rather than a reflection.
const SHORT_WORDS_MAX: usize = 3;

/// A thing is followed up at the earliest when it was told so many of the user's lines ago.
const FOLLOW_UP_AFTER: usize = 2;

/// Between two follow-ups lie at least so many replies.
const FOLLOW_UP_PAUSE: usize = 2;

/// For so many of the user's lines after talk of self-harm, short lines and goodbyes are answered with that in mind.
const CRISIS_ECHO_LINES: usize = 3;

/// One line of a conversation.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Who said it.
    pub speaker: Speaker,
    /// What.
    pub text: &'a str,
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

/// What the line being answered says, by the rules of its language.
struct Heard {
    words: Words,
    found: Vec<Found<Rule>>,
    foreign: bool,
    /// What the line does, the most pressing thing first.
    act: Option<Move>,
    feeling: Option<usize>,
    /// Somebody else's feeling is told.
    others_feeling: bool,
    topic: Option<usize>,
    name: Option<String>,
}

/// What came before the line being answered.
struct Before {
    memory: Memory,
    /// Talk of self-harm was so many of the user's lines ago.
    crisis_ago: Option<usize>,
    /// The user has said exactly this lately.
    repeated: bool,
    /// The companion's last line asked something.
    was_asked: bool,
    /// The companion has spoken.
    has_spoken: bool,
}

/// A reply in parts, in the order in which they are said.
struct Answer {
    reaction: Option<String>,
    discloses: bool,
    question: Option<String>,
}

impl Companion {
    /// The name under which it is known as a model.
    pub const NAME: &str = "companion";

    /// Reads the compiled-in rules.
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

    /// The reply to the last line of `conversation`, which is the user's. The same conversation gives the same reply.
    #[must_use]
    pub fn reply(&self, conversation: &[Line<'_>]) -> String {
        let conversation = &conversation[conversation.len().saturating_sub(LINES_MAX)..];
        let Some((last, earlier)) = conversation.split_last() else { return String::new() };
        let words = self.hear(last.text, LINE_CHARS_MAX);
        let concern = self.crisis.concern(&words);
        let users: Vec<_> = by(earlier, Speaker::User).map(|text| self.hear(text, EARLIER_CHARS_MAX)).collect();
        let choice = language::choose(std::iter::once(&words).chain(&users), &self.languages);
        let language = &self.languages[choice.language];
        let place = by(earlier, Speaker::User).count() as u64;
        let said: Vec<_> = by(earlier, Speaker::Assistant).map(|text| cut(text, OWN_BYTES_MAX)).collect();
        let voice = Voice::new(said, hash(place, cut(last.text, OWN_BYTES_MAX).as_bytes()));
        if let Some(concern) = concern {
            return crisis_reply(concern, language, &voice);
        }
        let grave: Vec<_> = users.iter().map(|words| self.crisis.concern(words).is_some()).collect();
        let before = Before {
            memory: Memory::of(users.iter().zip(grave.iter().copied()), language),
            crisis_ago: grave.iter().take(CRISIS_ECHO_LINES).position(|&grave| grave),
            repeated: by(earlier, Speaker::User).take(3).any(|text| text.trim() == last.text.trim()),
            was_asked: by(earlier, Speaker::Assistant).next().is_some_and(|text| text.contains('?')),
            has_spoken: by(earlier, Speaker::Assistant).next().is_some(),
        };
        Listener { language, heard: Heard::new(words, choice.foreign, language), before, voice }.reply()
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
            read.push(Language::new(text, &crisis.helplines, &mut vocabulary).map_err(in_file(file))?);
        }
        vocabulary.finish();
        Ok(Self { vocabulary, crisis, languages: read })
    }

    fn hear(&self, text: &str, chars_max: usize) -> Words {
        Words::read(text, chars_max, &self.vocabulary)
    }
}

impl Heard {
    fn new(words: Words, foreign: bool, language: &Language) -> Self {
        let found = language.phrases.find(&words);
        let fits = |kind: &Move| words.len() <= language.rules_of(*kind).words_max;
        let act = found.iter().filter_map(|found| as_move(found.rule)).filter(fits).min();
        let feelings = || found.iter().filter(|found| matches!(found.rule, Rule::Feeling(_)));
        let own = feelings().find(|found| memory::is_own(&words, found, language));
        let others = feelings().any(|found| {
            let person = language.stance.person(&words, found.span.start);
            matches!(person, Some((_, Person::Third))) && !language.stance.denies(&words, found.span.clone())
        });
        let feeling = own.and_then(|found| as_feeling(found.rule));
        let topic = found.iter().rev().find_map(|found| as_topic(found.rule));
        let name = found.iter().filter(|f| f.rule == Rule::Name).find_map(|f| memory::name(&words, f, language));
        Self { foreign, act, feeling, others_feeling: others && feeling.is_none(), topic, name, found, words }
    }

    /// True where the line is about something that the rules know.
    fn has_content(&self) -> bool {
        self.feeling.is_some() || self.others_feeling || self.topic.is_some()
    }

    fn is_short(&self) -> bool {
        self.words.len() <= SHORT_WORDS_MAX
    }

    /// True where every word of this short line is one of `wanted`, or nearly.
    fn says(&self, wanted: &[words::WordId]) -> bool {
        let hits = (0..self.words.len()).filter(|&at| self.words.is_any(at, wanted)).count();
        self.is_short() && hits > 0 && hits * 2 >= self.words.len()
    }

    fn asks(&self, language: &Language) -> bool {
        let begins = self.words.len() > 0 && self.words.is_any(0, &language.question_words);
        self.words.asks || begins
    }
}

/// One reply in the making.
struct Listener<'a> {
    language: &'a Language,
    heard: Heard,
    before: Before,
    voice: Voice<'a>,
}

impl Listener<'_> {
    fn reply(&self) -> String {
        let answer = self.answer();
        let discloses = !self.before.has_spoken && !answer.discloses;
        let disclosure = discloses.then(|| self.plain(&self.language.disclosure));
        let parts = [answer.reaction, disclosure, answer.question];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    fn answer(&self) -> Answer {
        if self.heard.foreign {
            return self.talk(Talk::OtherLanguage, None);
        }
        if let Some(kind) = self.heard.act.filter(|kind| self.takes_up(*kind)) {
            return self.answer_move(kind);
        }
        if self.heard.name.is_some() && !self.heard.has_content() {
            return self.with(&self.language.name_reactions, self.follow_up().or_else(|| Some(self.question())));
        }
        if self.heard.has_content() {
            return self.answer_content();
        }
        self.answer_rest()
    }

    /// A polite word beside something that matters is passed over.
    fn takes_up(&self, kind: Move) -> bool {
        match kind {
            Move::Medical | Move::Identity | Move::AsksName | Move::AsksMemory | Move::HowAreYou | Move::Complaint => {
                true
            }
            Move::Affection | Move::Advice | Move::Request => true,
            Move::Goodbye | Move::Thanks | Move::Greeting => !self.heard.has_content() && self.heard.name.is_none(),
        }
    }

    fn answer_move(&self, kind: Move) -> Answer {
        let rules = self.language.rules_of(kind);
        let filling = self.filling();
        match kind {
            Move::AsksName if filling.name.is_none() => return self.talk(Talk::NameUnknown, None),
            Move::AsksMemory if filling.list.is_none() => return self.talk(Talk::NothingTold, None),
            Move::Goodbye if self.before.crisis_ago.is_some() => return self.with(&self.language.crisis.goodbye, None),
            Move::Greeting if self.before.has_spoken => {
                let question = self.follow_up().or_else(|| Some(self.question()));
                return self.with(&rules.reactions, question);
            }
            Move::Advice if self.heard.has_content() => {
                return self.with(&rules.reactions, Some(self.content_question()));
            }
            Move::Medical
            | Move::Identity
            | Move::AsksName
            | Move::AsksMemory
            | Move::HowAreYou
            | Move::Affection
            | Move::Complaint
            | Move::Advice
            | Move::Goodbye
            | Move::Thanks
            | Move::Greeting
            | Move::Request => {}
        }
        let question = self.voice.choose(&rules.questions, &filling);
        Answer { discloses: kind == Move::Identity, ..self.with(&rules.reactions, question) }
    }

    /// Answers a line about a feeling or a topic.
    fn answer_content(&self) -> Answer {
        let question = Some(self.content_question());
        if self.before.repeated {
            return self.talk(Talk::Repeated, question);
        }
        if self.heard.others_feeling {
            return self.talk(Talk::OtherFeeling, question);
        }
        let Some(feeling) = self.heard.feeling else {
            let topic = self.heard.topic.expect("content that is no feeling is a topic");
            let reflected = self.reflection().filter(|_| !self.is_even());
            let reaction = reflected.unwrap_or_else(|| self.spoken(&self.language.topics[topic].reactions));
            return Answer { reaction: Some(reaction), discloses: false, question };
        };
        let rules = &self.language.feelings[feeling];
        if rules.tone == Tone::Good && self.before.memory.was_hard(self.language) {
            return self.talk(Talk::Brighter, question);
        }
        self.with(&rules.reactions, question)
    }

    /// Answers a line that the rules find nothing in.
    fn answer_rest(&self) -> Answer {
        let on = self.follow_up().or_else(|| Some(self.question()));
        if self.before.crisis_ago.is_some() && self.heard.is_short() {
            return self.with(&self.language.crisis.afterwards, None);
        }
        if self.heard.words.len() == 0 {
            return self.talk(Talk::Wordless, on);
        }
        if self.before.was_asked && self.heard.says(&self.language.no) {
            return self.talk(Talk::No, on);
        }
        if self.before.was_asked && self.heard.says(&self.language.yes) {
            return self.talk(Talk::Yes, on);
        }
        if self.before.repeated {
            return self.talk(Talk::Repeated, on);
        }
        if self.heard.asks(self.language) {
            return self.talk(Talk::QuestionReplies, None);
        }
        if self.heard.is_short() {
            return self.talk(Talk::Short, on);
        }
        let reaction = self.reflection().unwrap_or_else(|| self.plain(self.language.talk(Talk::Listening)));
        let on = if self.is_even() { on } else { Some(self.question()) };
        Answer { reaction: Some(reaction), discloses: false, question: on }
    }

    /// Asks on about what the line is about: rather the topic than the feeling, as that leads on.
    fn content_question(&self) -> String {
        let topic = self.heard.topic.map(|at| &self.language.topics[at].questions);
        let feeling = self.heard.feeling.map(|at| &self.language.feelings[at].questions);
        let others = self.heard.others_feeling.then(|| self.language.talk(Talk::OtherQuestions));
        let lists: Vec<_> = [topic, feeling, others].into_iter().flatten().collect();
        let fresh = lists.iter().find(|list| !self.voice.used(list, 2)).or(lists.first());
        fresh.map_or_else(|| self.question(), |list| self.plain(list))
    }

    fn question(&self) -> String {
        self.plain(self.language.talk(Talk::Questions))
    }

    /// Comes back to something told earlier, each thing once, and not in every reply.
    fn follow_up(&self) -> Option<String> {
        let list = |mention: &Mention| match mention.rule {
            Rule::Feeling(at) => Some(&self.language.feelings[at].follow_ups),
            Rule::Topic(at) => Some(&self.language.topics[at].follow_ups),
            Rule::Move(_) | Rule::Name => None,
        };
        let mentions = &self.before.memory.mentions;
        let just_did = mentions.iter().filter_map(list).any(|list| self.voice.used(list, FOLLOW_UP_PAUSE));
        let open = |mention: &&Mention| {
            let now = self.heard.found.iter().any(|found| found.rule == mention.rule);
            let done = list(mention).is_none_or(|list| self.voice.used(list, LINES_MAX));
            mention.lines_ago >= FOLLOW_UP_AFTER && !now && !done
        };
        // Topics before feelings: "how is the exam" is easier to answer than "are you still sad".
        let of_topic = |mention: &&Mention| matches!(mention.rule, Rule::Topic(_));
        let mut candidates = mentions.iter().filter(open);
        let mention = candidates.clone().find(of_topic).or_else(|| candidates.next()).filter(|_| !just_did)?;
        let filling = Filling { it: Some(mention.it.clone()), ..Filling::default() };
        self.voice.choose(list(mention)?, &filling)
    }

    /// The user's own words, given back.
    fn reflection(&self) -> Option<String> {
        self.voice.choose(self.language.talk(Talk::Reflections), &self.filling())
    }

    fn filling(&self) -> Filling {
        let (words, reflection) = (&self.heard.words, &self.language.reflection);
        let clause = if self.heard.asks(self.language) { None } else { reflection.clause(words) };
        let swapped = clause.clone().filter(|(_, opens)| *opens).map(|(clause, _)| reflection.swapped(words, clause));
        let quoted = clause.map(|(clause, _)| reflect::quoted(words, clause));
        let told: Vec<_> = self.before.memory.mentions.iter().take(3).map(|mention| mention.it.as_str()).collect();
        let name = self.heard.name.clone().or_else(|| self.before.memory.name.clone());
        Filling { name, swapped, quoted, it: None, list: (!told.is_empty()).then(|| told.join(", ")) }
    }

    /// A reaction from `variants`, with whatever the conversation gives to fill it.
    fn spoken(&self, variants: &Variants) -> String {
        self.voice.choose(variants, &self.filling()).expect("every list has variants that need nothing")
    }

    fn plain(&self, variants: &Variants) -> String {
        self.voice.choose(variants, &Filling::default()).expect("every list has variants that need nothing")
    }

    fn with(&self, variants: &Variants, question: Option<String>) -> Answer {
        Answer { reaction: Some(self.spoken(variants)), discloses: false, question }
    }

    fn talk(&self, occasion: Talk, question: Option<String>) -> Answer {
        self.with(self.language.talk(occasion), question)
    }

    /// True at every other place of the conversation.
    fn is_even(&self) -> bool {
        self.voice.seed().is_multiple_of(2)
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

/// What `speaker` said, newest first.
fn by<'c>(lines: &'c [Line<'c>], speaker: Speaker) -> impl Iterator<Item = &'c str> {
    lines.iter().rev().filter(move |line| line.speaker == speaker).map(|line| line.text)
}

/// The beginning of `text`, at most `bytes_max` long.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

fn as_move(rule: Rule) -> Option<Move> {
    if let Rule::Move(kind) = rule { Some(kind) } else { None }
}

fn as_feeling(rule: Rule) -> Option<usize> {
    if let Rule::Feeling(at) = rule { Some(at) } else { None }
}

fn as_topic(rule: Rule) -> Option<usize> {
    if let Rule::Topic(at) = rule { Some(at) } else { None }
}
