//! The shape of a language file. What its tables and lists mean is told at the head of english.toml, for those who
//! write such files; [`super::rules`] checks them and makes rules of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    rules::{Move, Talk, Tone},
    stance::StanceFile,
};

/// A language file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LanguageFile {
    pub(super) tag: String,
    pub(super) letters: [char; 2],
    pub(super) hints: Vec<String>,
    #[serde(default)]
    pub(super) foreign: Vec<String>,
    pub(super) disclosure: Vec<String>,
    pub(super) stand_in: String,
    pub(super) stance: StanceFile,
    pub(super) answers: AnswersFile,
    pub(super) reflection: ReflectionFile,
    pub(super) your_name: NameFile,
    #[serde(rename = "move")]
    pub(super) moves: BTreeMap<Move, MoveFile>,
    pub(super) feeling: BTreeMap<String, FeelingFile>,
    pub(super) topic: BTreeMap<String, TopicFile>,
    pub(super) talk: BTreeMap<Talk, Vec<String>>,
    pub(super) crisis: CrisisFile,
}

/// Words that answer and ask.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswersFile {
    pub(super) yes: Vec<String>,
    pub(super) no: Vec<String>,
    pub(super) question_words: Vec<String>,
}

/// How words are given back.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReflectionFile {
    pub(super) openers: Vec<String>,
    pub(super) fillers: Vec<String>,
    pub(super) clause_starts: Vec<String>,
    pub(super) clause_joins: Vec<String>,
    pub(super) never_repeat: Vec<String>,
    pub(super) swaps: BTreeMap<String, String>,
    pub(super) words_min: usize,
    pub(super) words_max: usize,
}

/// How a name is told, and answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NameFile {
    pub(super) phrases: Vec<String>,
    pub(super) never: Vec<String>,
    pub(super) reactions: Vec<String>,
}

/// How a move is heard and answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveFile {
    pub(super) phrases: Vec<String>,
    /// The move counts only in lines of so many words at most.
    pub(super) words_max: Option<usize>,
    pub(super) reactions: Vec<String>,
    #[serde(default)]
    pub(super) questions: Vec<String>,
}

/// How a feeling is heard and answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FeelingFile {
    pub(super) tone: Tone,
    pub(super) label: String,
    pub(super) phrases: Vec<String>,
    pub(super) reactions: Vec<String>,
    pub(super) questions: Vec<String>,
    pub(super) follow_ups: Vec<String>,
}

/// How a topic is heard and answered.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TopicFile {
    pub(super) label: String,
    /// The label where a phrase kept something; `{kept}` stands for it.
    pub(super) label_with: Option<String>,
    pub(super) phrases: Vec<String>,
    pub(super) reactions: Vec<String>,
    pub(super) questions: Vec<String>,
    pub(super) follow_ups: Vec<String>,
}

/// What is said about self-harm.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CrisisFile {
    pub(super) first: String,
    pub(super) helplines: BTreeMap<String, String>,
    pub(super) own: Vec<String>,
    pub(super) other: Vec<String>,
    pub(super) own_questions: Vec<String>,
    pub(super) other_questions: Vec<String>,
    pub(super) afterwards: Vec<String>,
    pub(super) goodbye: Vec<String>,
}
