//! Does a line speak of suicide or self-harm, and what is said first if it does.
//!
//! These are rules over words, in every language that the data file has, whatever language the rest of the line is in.
//! They miss what is only hinted at, and they take some harmless lines for serious ones; `cases.toml` measures both.
//! Where in doubt they lean to giving the helplines.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use super::{
    pattern::PatternSet,
    stance::{Person, Stance, StanceFile},
    words::{Vocabulary, Words},
};

/// Who is in danger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Concern {
    /// Somebody of whom the user speaks.
    Other,
    /// The user.
    Own,
}

/// Where people in danger find people who help.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Helpline {
    /// The name under which the language files word it.
    pub id: String,
    /// What to call, or where to look.
    pub number: String,
    /// The page that says so.
    pub source: String,
    /// When the page was read (`YYYY-MM-DD`).
    pub checked_on: String,
}

/// A helpline in the words of every language.
#[derive(Debug, Serialize)]
pub struct WordedHelpline<'c> {
    /// The helpline.
    #[serde(flatten)]
    pub helpline: &'c Helpline,
    /// What people are told of it, with its number, by the language's tag.
    pub text: BTreeMap<&'c str, &'c str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CrisisFile {
    helpline: Vec<Helpline>,
    phrases: BTreeMap<String, PhrasesFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhrasesFile {
    certain: Vec<String>,
    likely: Vec<String>,
    harmless: Vec<String>,
    stance: StanceFile,
}

/// The rules of `crisis.toml`, ready for use.
pub(super) struct Crisis {
    /// In the order in which they are given.
    pub(super) helplines: Vec<Helpline>,
    phrases: PatternSet<Rule>,
    stances: Vec<Stance>,
}

#[derive(Debug, Clone, Copy)]
struct Rule {
    kind: Kind,
    /// Which of `Crisis::stances` holds for it.
    group: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Stands whatever is before it.
    Certain,
    /// Stands unless it is denied, or about the companion.
    Likely,
    /// Makes what it touches, or what it leads into, harmless.
    Harmless,
}

impl Crisis {
    /// Reads the data file.
    ///
    /// # Errors
    /// A sentence that names what is wrong in it.
    pub(super) fn new(text: &str, vocabulary: &mut Vocabulary) -> Result<Self, String> {
        let file: CrisisFile = toml::from_str(text).map_err(|fault| fault.to_string())?;
        let (mut phrases, mut stances) = (PatternSet::new(), Vec::new());
        for (group, (language, listed)) in file.phrases.iter().enumerate() {
            let lists =
                [(Kind::Certain, &listed.certain), (Kind::Likely, &listed.likely), (Kind::Harmless, &listed.harmless)];
            for (kind, phrase) in
                lists.into_iter().flat_map(|(kind, list)| list.iter().map(move |phrase| (kind, phrase)))
            {
                let rule = Rule { kind, group };
                phrases.add(phrase, rule, vocabulary).map_err(|fault| format!("phrases.{language}: {fault}"))?;
            }
            let stance = Stance::new(&listed.stance, vocabulary);
            stances.push(stance.map_err(|fault| format!("phrases.{language}.stance: {fault}"))?);
        }
        phrases.stop_gaps_at(stances.iter().flat_map(Stance::negations));
        for (index, helpline) in file.helpline.iter().enumerate() {
            if file.helpline[..index].iter().any(|earlier| earlier.id == helpline.id) {
                return Err(format!("helpline \"{}\" stands there twice", helpline.id));
            }
        }
        Ok(Self { helplines: file.helpline, phrases, stances })
    }

    /// The gravest thing that `words` speak of.
    pub(super) fn concern(&self, words: &Words) -> Option<Concern> {
        let found = self.phrases.find(words);
        let harmless: Vec<_> = found.iter().filter(|f| f.rule.kind == Kind::Harmless).map(|f| f.span.clone()).collect();
        let serious = found.iter().filter(|f| f.rule.kind != Kind::Harmless);
        serious.filter_map(|f| self.weigh(words, f.rule, f.span.clone(), &harmless)).max()
    }

    fn weigh(&self, words: &Words, rule: Rule, span: Range<usize>, harmless: &[Range<usize>]) -> Option<Concern> {
        let stance = &self.stances[rule.group];
        let person = stance.person(words, span.start);
        let concern = match person {
            Some((_, Person::Third)) => Concern::Other,
            Some((_, Person::Second)) if rule.kind == Kind::Likely => return None,
            Some((_, Person::First | Person::Second)) | None => Concern::Own,
        };
        let spoken_by = person.filter(|(_, person)| *person == Person::First).map(|(at, _)| at);
        let excused = harmless.iter().any(|excuse| {
            let touches = excuse.start < span.end && span.start < excuse.end;
            // "In the film he wants to die", but not "after the film I want to die".
            let leads = excuse.end <= span.start
                && words.sentence_start(span.start) <= excuse.start
                && spoken_by.is_none_or(|at| at < excuse.end);
            touches || leads
        });
        let denied = rule.kind == Kind::Likely && stance.denies(words, span);
        (!excused && !denied).then_some(concern)
    }
}
