//! What a language listens for and says: how a language file becomes rules.
//!
//! Everything that can be wrong in a file is found here, when it is read, and named with its place.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::RangeInclusive,
};

use serde::Deserialize;

use super::{
    crisis::Helpline,
    file::{CrisisFile, FeelingFile, LanguageFile, MoveFile, ReflectionFile, TopicFile},
    pattern::{PatternSet, word_list},
    reflect::Reflection,
    stance::Stance,
    voice::{Rules, Slot, Variants},
    words::{Vocabulary, WordId},
};

/// What a line can do, the most pressing first: the order decides where several fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Move {
    /// Asks for a diagnosis, a dose, a medicine.
    Medical,
    /// Asks who or what the companion is.
    Identity,
    /// Asks for the user's own name.
    AsksName,
    /// Asks what the user has told so far.
    AsksMemory,
    /// Asks how the companion is.
    HowAreYou,
    /// Tells the companion love or friendship.
    Affection,
    /// Is not content with the companion.
    Complaint,
    /// Asks what to do.
    Advice,
    /// Says goodbye.
    Goodbye,
    /// Says thanks.
    Thanks,
    /// Greets.
    Greeting,
    /// Asks for a service that the companion does not have.
    Request,
}

/// Every move; a language must word each.
const MOVES: [Move; 12] = [
    Move::Medical,
    Move::Identity,
    Move::AsksName,
    Move::AsksMemory,
    Move::HowAreYou,
    Move::Affection,
    Move::Complaint,
    Move::Advice,
    Move::Goodbye,
    Move::Thanks,
    Move::Greeting,
    Move::Request,
];

/// What a phrase of a language file stands for; numbers are places in [`Language`]'s lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// The line does this.
    Move(Move),
    /// The line tells of this feeling.
    Feeling(usize),
    /// The line is about this.
    Topic(usize),
    /// The line tells the user's name.
    Name,
}

/// The occasions that every language words beside its moves, feelings and topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Talk {
    /// Gives the user's own words back.
    Reflections,
    /// Listens where there is nothing to give back.
    Listening,
    /// Asks on.
    Questions,
    /// Answers very short lines.
    Short,
    /// Answers lines without any word.
    Wordless,
    /// Answers a yes.
    Yes,
    /// Answers a no.
    No,
    /// Answers a question that it can't answer.
    QuestionReplies,
    /// Answers the same line said again.
    Repeated,
    /// Answers the feeling of somebody else.
    OtherFeeling,
    /// Asks on about somebody else.
    OtherQuestions,
    /// Notices that a hard feeling has given way to a good one.
    Brighter,
    /// Says that no name is known.
    NameUnknown,
    /// Says that nothing was told yet.
    NothingTold,
    /// Says which languages it has; for the languages that it has not.
    OtherLanguage,
}

const TALKS: [Talk; 15] = [
    Talk::Reflections,
    Talk::Listening,
    Talk::Questions,
    Talk::Short,
    Talk::Wordless,
    Talk::Yes,
    Talk::No,
    Talk::QuestionReplies,
    Talk::Repeated,
    Talk::OtherFeeling,
    Talk::OtherQuestions,
    Talk::Brighter,
    Talk::NameUnknown,
    Talk::NothingTold,
    Talk::OtherLanguage,
];

/// Whether a feeling is hard to bear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tone {
    /// It is.
    Hard,
    /// It is a good one.
    Good,
}

/// A language: how it is recognised, what it listens for, what it says.
pub(super) struct Language {
    /// Its tag (BCP 47).
    pub(super) tag: String,
    /// The letters that it is written with; several languages may share them.
    pub(super) letters: RangeInclusive<char>,
    /// Words that tell it from others; sorted. For Bengali and Hindi: as they are typed in Latin letters.
    pub(super) hints: Vec<WordId>,
    /// Words of languages that nobody has written rules for; sorted.
    pub(super) foreign: Vec<WordId>,
    /// What it listens for.
    pub(super) phrases: PatternSet<Rule>,
    /// Persons and negations.
    pub(super) stance: Stance,
    /// Words that say yes; sorted.
    pub(super) yes: Vec<WordId>,
    /// Words that say no; sorted.
    pub(super) no: Vec<WordId>,
    /// Words that begin questions; sorted.
    pub(super) question_words: Vec<WordId>,
    /// How words are given back.
    pub(super) reflection: Reflection,
    /// Words that are no name; sorted.
    pub(super) no_names: Vec<WordId>,
    /// Says that it is a program.
    pub(super) disclosure: Variants,
    /// Says that the companion answers in a model's place.
    pub(super) stand_in: String,
    /// Answers being told a name.
    pub(super) name_reactions: Variants,
    /// By [`Move`].
    pub(super) moves: BTreeMap<Move, MoveRules>,
    /// By number.
    pub(super) feelings: Vec<FeelingRules>,
    /// By number.
    pub(super) topics: Vec<TopicRules>,
    /// What is said about self-harm.
    pub(super) crisis: CrisisWords,
    talk: BTreeMap<Talk, Variants>,
}

/// How a move is answered.
pub(super) struct MoveRules {
    /// The move counts only in lines of so many words at most.
    pub(super) words_max: usize,
    /// The answer.
    pub(super) reactions: Variants,
    /// How to go on; may be empty.
    pub(super) questions: Variants,
}

/// How a feeling is answered.
pub(super) struct FeelingRules {
    /// Whether it is hard to bear.
    pub(super) tone: Tone,
    /// What to call it later.
    pub(super) label: String,
    /// Takes it up.
    pub(super) reactions: Variants,
    /// Asks on.
    pub(super) questions: Variants,
    /// Comes back to it later.
    pub(super) follow_ups: Variants,
}

/// How a topic is answered.
pub(super) struct TopicRules {
    /// What to call it later.
    pub(super) label: String,
    /// The same around what a phrase kept, in two halves.
    pub(super) label_with: Option<(String, String)>,
    /// Takes it up.
    pub(super) reactions: Variants,
    /// Asks on.
    pub(super) questions: Variants,
    /// Comes back to it later.
    pub(super) follow_ups: Variants,
}

/// What is said about self-harm.
pub(super) struct CrisisWords {
    /// The helplines, as a text of several lines.
    pub(super) resources: String,
    /// Each of them by itself, with its number, in their order.
    pub(super) helplines: Vec<String>,
    /// Cares for the user.
    pub(super) own: Variants,
    /// Cares for a user who speaks of somebody else.
    pub(super) other: Variants,
    /// Asks on, openly.
    pub(super) own_questions: Variants,
    /// Asks on about the other person.
    pub(super) other_questions: Variants,
    /// Answers a short line soon afterwards.
    pub(super) afterwards: Variants,
    /// Says goodbye soon afterwards.
    pub(super) goodbye: Variants,
}

const PLAIN: Rules = Rules { given: &[], maybe: &[], least: 2 };
const NAMED: Rules = Rules { given: &[], maybe: &[Slot::Name], least: 2 };
const ECHOING: Rules = Rules { given: &[], maybe: &[Slot::Swapped, Slot::Quoted], least: 2 };
const OF_IT: Rules = Rules { given: &[Slot::It], maybe: &[], least: 2 };

impl Language {
    /// Reads the text of a language file. `helplines` are those that it must word.
    ///
    /// # Errors
    /// A sentence that names the place in the file and what is wrong there.
    pub(super) fn new(text: &str, helplines: &[Helpline], vocabulary: &mut Vocabulary) -> Result<Self, String> {
        let file: LanguageFile = toml::from_str(text).map_err(|fault| fault.to_string())?;
        let mut phrases = phrases(&file, vocabulary)?;
        let stance = Stance::new(&file.stance, vocabulary).map_err(|fault| format!("stance: {fault}"))?;
        phrases.stop_gaps_at(stance.negations());
        let mut words =
            |list: &[String], place: &str| word_list(list, vocabulary).map_err(|fault| format!("{place}: {fault}"));
        Ok(Self {
            hints: words(&file.hints, "hints")?,
            foreign: words(&file.foreign, "foreign")?,
            yes: words(&file.answers.yes, "answers.yes")?,
            no: words(&file.answers.no, "answers.no")?,
            question_words: words(&file.answers.question_words, "answers.question_words")?,
            no_names: words(&file.your_name.never, "your_name.never")?,
            reflection: reflection(&file.reflection, vocabulary).map_err(|fault| format!("reflection: {fault}"))?,
            stance,
            disclosure: Variants::new(&file.disclosure, "disclosure", PLAIN)?,
            stand_in: stand_in(&file.stand_in)?,
            name_reactions: Variants::new(
                &file.your_name.reactions,
                "your_name.reactions",
                Rules { given: &[Slot::Name], maybe: &[], least: 2 },
            )?,
            moves: moves(&file.moves)?,
            feelings: file.feeling.iter().map(feeling).collect::<Result<_, _>>()?,
            topics: file.topic.iter().map(topic).collect::<Result<_, _>>()?,
            crisis: crisis(&file.crisis, helplines)?,
            talk: talk(&file.talk)?,
            letters: file.letters[0]..=file.letters[1],
            tag: file.tag,
            phrases,
        })
    }

    /// The wordings for an occasion.
    pub(super) fn talk(&self, occasion: Talk) -> &Variants {
        self.talk.get(&occasion).expect("a language without this occasion is not read")
    }

    /// How a move is answered.
    pub(super) fn rules_of(&self, kind: Move) -> &MoveRules {
        self.moves.get(&kind).expect("a language without this move is not read")
    }
}

fn stand_in(text: &str) -> Result<String, String> {
    if text.trim().is_empty() || text.contains('\n') {
        return Err("stand_in: needs one line".to_owned());
    }
    Ok(text.to_owned())
}

fn phrases(file: &LanguageFile, vocabulary: &mut Vocabulary) -> Result<PatternSet<Rule>, String> {
    let moves = file.moves.iter().map(|(kind, rules)| (format!("move {kind:?}"), Rule::Move(*kind), &rules.phrases));
    let feelings =
        file.feeling.iter().enumerate().map(|(at, (id, f))| (format!("feeling.{id}"), Rule::Feeling(at), &f.phrases));
    let topics =
        file.topic.iter().enumerate().map(|(at, (id, t))| (format!("topic.{id}"), Rule::Topic(at), &t.phrases));
    let name = std::iter::once(("your_name".to_owned(), Rule::Name, &file.your_name.phrases));
    let mut set = PatternSet::new();
    for (place, rule, listed) in moves.chain(feelings).chain(topics).chain(name) {
        let mut seen = HashSet::new();
        for phrase in listed {
            if !seen.insert(phrase) {
                return Err(format!("{place}: phrase \"{phrase}\" stands there twice"));
            }
            set.add(phrase, rule, vocabulary).map_err(|fault| format!("{place}: {fault}"))?;
        }
    }
    Ok(set)
}

fn reflection(file: &ReflectionFile, vocabulary: &mut Vocabulary) -> Result<Reflection, String> {
    let (mut swaps, mut pairs) = (HashMap::new(), HashMap::new());
    for (from, to) in &file.swaps {
        let ids = from.split(' ').map(|word| vocabulary.learn(word)).collect::<Result<Vec<_>, _>>()?;
        match ids[..] {
            [single] => drop(swaps.insert(single, to.clone())),
            [first, second] => drop(pairs.insert((first, second), to.clone())),
            _ => return Err(format!("swaps: \"{from}\" has more than two words")),
        }
    }
    Ok(Reflection {
        openers: word_list(&file.openers, vocabulary)?,
        fillers: word_list(&file.fillers, vocabulary)?,
        clause_starts: word_list(&file.clause_starts, vocabulary)?,
        clause_joins: word_list(&file.clause_joins, vocabulary)?,
        never_repeat: word_list(&file.never_repeat, vocabulary)?,
        swaps,
        pairs,
        words_min: file.words_min,
        words_max: file.words_max,
    })
}

fn moves(file: &BTreeMap<Move, MoveFile>) -> Result<BTreeMap<Move, MoveRules>, String> {
    if let Some(missing) = MOVES.iter().find(|kind| !file.contains_key(kind)) {
        return Err(format!("move {missing:?} is missing"));
    }
    let rules = |(kind, file): (&Move, &MoveFile)| {
        let place = format!("move {kind:?}");
        let reactions = match kind {
            Move::AsksName => Rules { given: &[Slot::Name], maybe: &[], least: 2 },
            Move::AsksMemory => Rules { given: &[Slot::List], maybe: &[], least: 2 },
            Move::Greeting | Move::Goodbye | Move::Thanks => NAMED,
            Move::Medical
            | Move::Identity
            | Move::HowAreYou
            | Move::Affection
            | Move::Complaint
            | Move::Advice
            | Move::Request => PLAIN,
        };
        let least = if file.questions.is_empty() { 0 } else { 2 };
        let rules = MoveRules {
            words_max: file.words_max.unwrap_or(usize::MAX),
            reactions: Variants::new(&file.reactions, &format!("{place}, reactions"), reactions)?,
            questions: Variants::new(&file.questions, &format!("{place}, questions"), Rules { least, ..PLAIN })?,
        };
        Ok((*kind, rules))
    };
    file.iter().map(rules).collect()
}

fn feeling((id, file): (&String, &FeelingFile)) -> Result<FeelingRules, String> {
    Ok(FeelingRules {
        tone: file.tone,
        label: file.label.clone(),
        reactions: Variants::new(&file.reactions, &format!("feeling.{id}.reactions"), ECHOING)?,
        questions: Variants::new(&file.questions, &format!("feeling.{id}.questions"), PLAIN)?,
        follow_ups: Variants::new(&file.follow_ups, &format!("feeling.{id}.follow_ups"), PLAIN)?,
    })
}

fn topic((id, file): (&String, &TopicFile)) -> Result<TopicRules, String> {
    let halves = |label: &String| {
        let (before, after) =
            label.split_once("{kept}").ok_or_else(|| format!("topic.{id}.label_with: {{kept}} is missing"))?;
        Ok::<_, String>((before.to_owned(), after.to_owned()))
    };
    Ok(TopicRules {
        label: file.label.clone(),
        label_with: file.label_with.as_ref().map(halves).transpose()?,
        reactions: Variants::new(&file.reactions, &format!("topic.{id}.reactions"), ECHOING)?,
        questions: Variants::new(&file.questions, &format!("topic.{id}.questions"), PLAIN)?,
        follow_ups: Variants::new(&file.follow_ups, &format!("topic.{id}.follow_ups"), OF_IT)?,
    })
}

fn talk(file: &BTreeMap<Talk, Vec<String>>) -> Result<BTreeMap<Talk, Variants>, String> {
    if let Some(missing) = TALKS.iter().find(|occasion| !file.contains_key(occasion)) {
        return Err(format!("talk: {missing:?} is missing"));
    }
    let variants = |(occasion, texts): (&Talk, &Vec<String>)| {
        let rules = match occasion {
            Talk::Reflections => Rules { least: 0, ..ECHOING },
            Talk::Listening
            | Talk::Questions
            | Talk::Short
            | Talk::Wordless
            | Talk::Yes
            | Talk::No
            | Talk::QuestionReplies
            | Talk::Repeated
            | Talk::OtherFeeling
            | Talk::OtherQuestions
            | Talk::Brighter
            | Talk::NameUnknown
            | Talk::NothingTold
            | Talk::OtherLanguage => PLAIN,
        };
        Ok((*occasion, Variants::new(texts, &format!("talk, {occasion:?}"), rules)?))
    };
    file.iter().map(variants).collect()
}

fn crisis(file: &CrisisFile, helplines: &[Helpline]) -> Result<CrisisWords, String> {
    if let Some(unknown) = file.helplines.keys().find(|id| !helplines.iter().any(|helpline| helpline.id == **id)) {
        return Err(format!("crisis.helplines: there is no helpline \"{unknown}\""));
    }
    let (mut resources, mut lines) = (file.first.clone(), Vec::with_capacity(helplines.len()));
    for helpline in helplines {
        let worded = file.helplines.get(&helpline.id);
        let worded = worded.ok_or_else(|| format!("crisis.helplines: \"{}\" is missing", helpline.id))?;
        if !worded.contains("{number}") {
            return Err(format!("crisis.helplines.{}: {{number}} is missing", helpline.id));
        }
        let line = worded.replace("{number}", &helpline.number);
        resources.push_str("\n• ");
        resources.push_str(&line);
        lines.push(line);
    }
    Ok(CrisisWords {
        resources,
        helplines: lines,
        own: Variants::new(&file.own, "crisis.own", PLAIN)?,
        other: Variants::new(&file.other, "crisis.other", PLAIN)?,
        own_questions: Variants::new(&file.own_questions, "crisis.own_questions", PLAIN)?,
        other_questions: Variants::new(&file.other_questions, "crisis.other_questions", PLAIN)?,
        afterwards: Variants::new(&file.afterwards, "crisis.afterwards", PLAIN)?,
        goodbye: Variants::new(&file.goodbye, "crisis.goodbye", PLAIN)?,
    })
}
