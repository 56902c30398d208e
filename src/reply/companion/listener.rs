//! How a line is heard, and how it is answered.
//!
//! This is where the parts of a reply are put together: what takes up the line, what asks on, what comes back to
//! earlier lines. What is said, and in which words, is the business of the data files.

use super::{
    memory::{self, Memory, Mention},
    pattern::Found,
    reflect,
    rules::{Language, Move, Rule, Talk, Tone},
    stance::Person,
    voice::{Filling, Variants, Voice},
    words::{WordId, Words},
};

/// Lines of at most so many words, that say nothing the rules know, get a follow-up rather than a reflection.
const SHORT_WORDS_MAX: usize = 3;

/// A thing is followed up at the earliest when it was told so many of the user's lines ago.
const FOLLOW_UP_AFTER: usize = 2;

/// Between two follow-ups lie at least so many replies.
const FOLLOW_UP_PAUSE: usize = 2;

/// What the line being answered says, by the rules of its language.
pub(super) struct Heard {
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
pub(super) struct Before {
    pub(super) memory: Memory,
    /// Talk of self-harm was so many of the user's lines ago.
    pub(super) crisis_ago: Option<usize>,
    /// The user has said exactly this lately.
    pub(super) repeated: bool,
    /// The companion's last line asked something.
    pub(super) was_asked: bool,
    /// The companion has spoken.
    pub(super) has_spoken: bool,
}

/// A reply in parts, in the order in which they are said.
struct Answer {
    reaction: Option<String>,
    discloses: bool,
    question: Option<String>,
}

impl Heard {
    /// Hears `words`, which may be `foreign` to `language`.
    pub(super) fn new(words: Words, foreign: bool, language: &Language) -> Self {
        let found = language.phrases.find(&words);
        let fits = |kind: &Move| words.len() <= language.rules_of(*kind).words_max;
        let act = found.iter().filter_map(|found| as_move(found.rule)).filter(fits).min();
        let feelings = || found.iter().filter(|found| matches!(found.rule, Rule::Feeling(_)));
        // Of several, the one whose phrase says most: "angry at me" is not "angry".
        let own = feelings().rev().filter(|found| memory::is_own(&words, found, language));
        let feeling = own.max_by_key(|found| found.span.len()).and_then(|found| as_feeling(found.rule));
        let others = feelings().any(|found| {
            let person = language.stance.person(&words, found.span.start);
            let hard = as_feeling(found.rule).is_some_and(|at| language.feelings[at].tone == Tone::Hard);
            let denied = language.stance.denies(&words, found.span.clone());
            hard && !denied && matches!(person, Some((_, Person::Third)))
        });
        let topic = found.iter().rev().find_map(|found| as_topic(found.rule));
        let name = found.iter().filter(|f| f.rule == Rule::Name).find_map(|f| memory::name(&words, f, language));
        Self { foreign, act, feeling, others_feeling: others && feeling.is_none(), topic, name, found, words }
    }

    /// True for a word or two: a longer line may hide anything, also behind thanks or a good feeling.
    pub(super) fn is_calm(&self) -> bool {
        self.is_short()
    }

    /// True where the line is about something that the rules know.
    fn has_content(&self) -> bool {
        self.feeling.is_some() || self.others_feeling || self.topic.is_some()
    }

    fn is_short(&self) -> bool {
        self.words.len() <= SHORT_WORDS_MAX
    }

    /// True where every word of this short line is one of `wanted`, or nearly.
    fn says(&self, wanted: &[WordId]) -> bool {
        let hits = (0..self.words.len()).filter(|&at| self.words.is_any(at, wanted)).count();
        self.is_short() && hits > 0 && hits * 2 >= self.words.len()
    }

    fn asks(&self, language: &Language) -> bool {
        let begins = self.words.len() > 0 && self.words.is_any(0, &language.question_words);
        self.words.asks || begins
    }
}

/// One reply in the making.
pub(super) struct Listener<'a> {
    pub(super) language: &'a Language,
    pub(super) heard: Heard,
    pub(super) before: Before,
    pub(super) voice: Voice<'a>,
}

impl Listener<'_> {
    /// The reply, which says that it is a program where that was not said before.
    pub(super) fn reply(&self) -> String {
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
            return self.with(&self.language.name_reactions, self.opening());
        }
        if self.heard.has_content() {
            let answer = self.answer_content();
            let greeted = self.heard.name.as_ref().map(|_| self.spoken(&self.language.name_reactions));
            let reaction = greeted.into_iter().chain(answer.reaction).collect::<Vec<_>>().join(" ");
            return Answer { reaction: Some(reaction), ..answer };
        }
        self.answer_rest()
    }

    /// A polite word beside something that matters is passed over.
    fn takes_up(&self, kind: Move) -> bool {
        match kind {
            Move::Goodbye | Move::Thanks | Move::Greeting => !self.heard.has_content() && self.heard.name.is_none(),
            Move::Medical
            | Move::Identity
            | Move::AsksName
            | Move::AsksMemory
            | Move::HowAreYou
            | Move::Affection
            | Move::Complaint
            | Move::Advice
            | Move::Request => true,
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
                return self.with(&rules.reactions, self.opening());
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

    /// Asks on about what the line is about: rather the topic than a hard feeling, as that leads on.
    fn content_question(&self) -> String {
        let topic = self.heard.topic.map(|at| &self.language.topics[at].questions);
        let feeling = self.heard.feeling.map(|at| &self.language.feelings[at].questions);
        let others = self.heard.others_feeling.then(|| self.language.talk(Talk::OtherQuestions));
        let good = self.heard.feeling.is_some_and(|at| self.language.feelings[at].tone == Tone::Good);
        let order = if good { [feeling, topic, others] } else { [topic, feeling, others] };
        let lists: Vec<_> = order.into_iter().flatten().collect();
        let fresh = lists.iter().find(|list| !self.voice.used(list, 2)).or(lists.first());
        fresh.map_or_else(|| self.question(), |list| self.plain(list))
    }

    /// Opens a conversation, or takes up an earlier thread of it.
    fn opening(&self) -> Option<String> {
        let greeting = &self.language.rules_of(Move::Greeting).questions;
        self.follow_up().or_else(|| self.voice.choose(greeting, &Filling::default()))
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
            let done = list(mention).is_none_or(|list| self.voice.used(list, usize::MAX));
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
        let (swapped, quoted) = match clause {
            Some((clause, true)) => (Some(reflection.swapped(words, clause)), None),
            Some((clause, false)) => (None, Some(reflect::quoted(words, clause))),
            None => (None, None),
        };
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

fn as_move(rule: Rule) -> Option<Move> {
    if let Rule::Move(kind) = rule { Some(kind) } else { None }
}

fn as_feeling(rule: Rule) -> Option<usize> {
    if let Rule::Feeling(at) = rule { Some(at) } else { None }
}

fn as_topic(rule: Rule) -> Option<usize> {
    if let Rule::Topic(at) = rule { Some(at) } else { None }
}
