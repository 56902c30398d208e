//! What must hold for what programs send under `/v1`, whatever that is.

use serde_json::{Map, Value, json};

use super::{
    ids,
    wire::{
        Echo, Entry, Field, NewCompletion, NewConversation, NewResponse, Question, bounded, new_items, new_metadata,
    },
};
use crate::{
    chat::Said,
    completions::Role,
    http::{
        api::keys,
        body,
        fuzz::{self, is_for_people, repeats_no_value},
        problem::Problem,
    },
    store::NewItem,
};

/// The bound of texts that are to be stored, characters: short, so that it is reached.
const CHARS_MAX: usize = 20;

/// What each call can do without: given as null it is as good as left out.
const OF_COMPLETIONS: &[&str] = &[
    "model",
    "n",
    "modalities",
    "stream",
    "stream_options",
    "store",
    "metadata",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "response_format",
    "tools",
    "tool_choice",
    "logprobs",
    "logit_bias",
    "unknown to all",
];
const OF_RESPONSES: &[&str] = &[
    "model",
    "store",
    "background",
    "conversation",
    "previous_response_id",
    "max_output_tokens",
    "temperature",
    "top_p",
    "text",
    "truncation",
    "metadata",
    "instructions",
    "stream",
    "tools",
    "include",
    "prompt",
    "unknown to all",
];
const OF_CONVERSATIONS: &[&str] = &["items", "metadata", "unknown to all"];

/// The first byte chooses the call, the others are its body; or an id.
pub(crate) fn programs(input: &[u8]) {
    let Some((call, bytes)) = input.split_first() else { return };
    match call % 7 {
        0 => called(bytes, OF_COMPLETIONS, NewCompletion::read, completion),
        1 => called(bytes, OF_RESPONSES, NewResponse::read, response),
        2 => called(bytes, OF_CONVERSATIONS, |map| NewConversation::read(map, CHARS_MAX), |new| are_stored(&new.items)),
        3 => called(
            bytes,
            &["unknown to all"],
            |map| new_items(map, CHARS_MAX),
            |items| {
                assert!(!items.is_empty());
                are_stored(&items);
            },
        ),
        4 => called(bytes, &["unknown to all"], new_metadata, |metadata| is_metadata(&metadata)),
        5 => fuzz::body::<keys::Wanted>(bytes),
        _ => id(bytes),
    }
}

/// Reads the body of a call, also with everything that is not said said as null, and looks at what was read.
fn called<T: PartialEq>(
    bytes: &[u8],
    may_be_missing: &[&str],
    read: impl Fn(Map<String, Value>) -> Result<T, Problem>,
    look: impl FnOnce(T),
) {
    let Ok(map) = body::decode::<Map<String, Value>>(bytes) else { return };
    let mut nulls = map.clone();
    for name in may_be_missing {
        nulls.entry(*name).or_insert(Value::Null);
    }
    match (read(map.clone()), read(nulls)) {
        (Ok(read), Ok(with_nulls)) => {
            assert!(read == with_nulls, "null is not as good as nothing");
            look(read);
        }
        (Err(problem), Err(other)) => {
            assert_eq!(problem.detail(), other.detail(), "another fault where nothing more is said");
            is_refusal(&problem);
            repeats_no_value(&Value::Object(map), problem.detail());
        }
        (Ok(_), Err(problem)) => panic!("null is refused: {}", problem.detail()),
        (Err(problem), Ok(_)) => panic!("null makes it right: {}", problem.detail()),
    }
}

/// A refusal as the clients read it, which names the field.
fn is_refusal(problem: &Problem) {
    is_for_people(problem);
    let said: Value = serde_json::from_slice(&problem.openai_json()).expect("it is JSON");
    let error = &said["error"];
    assert_eq!((problem.openai_status().as_u16(), &error["type"]), (400, &json!("invalid_request_error")));
    let param = error["param"].as_str().expect("the field is named");
    assert!(!param.is_empty() && problem.detail().contains(param), "{said}");
    assert!(
        [None, Some("unsupported_parameter"), Some("unsupported_value")].contains(&error["code"].as_str()),
        "{said}"
    );
}

fn completion(new: NewCompletion) {
    assert!(!new.ask.lines.is_empty());
    is_metadata(&new.metadata);
    question(new.ask.lines, Field::List("messages"));
}

fn response(new: NewResponse) {
    let NewResponse { input, field, instructions, store, conversation, echo, .. } = new;
    assert!(!input.is_empty() && echo.inputs == 0, "none is stored yet");
    assert!(conversation.is_none() || echo.previous.is_none());
    assert!(store || (conversation.is_none() && !echo.background));
    is_metadata(&echo.metadata);
    let kept = serde_json::to_value(&echo).expect("it is JSON");
    assert_eq!(serde_json::from_value::<Echo>(kept).expect("it is what was written"), echo);
    let is_short = bounded(instructions.as_deref(), CHARS_MAX).is_ok();
    assert_eq!(is_short, instructions.is_none_or(|text| text.chars().count() <= CHARS_MAX));
    let said = input.into_iter().filter_map(|entry| match entry {
        Entry::Said(said) => Some(said),
        Entry::Named { .. } => None,
    });
    question(said.collect(), field);
}

/// What is said, as it would be stored.
fn question(said: Vec<Said>, field: Field) {
    let has_words = |said: &&Said| said.role == Role::User || !said.text.trim().is_empty();
    let count = said.iter().filter(has_words).count();
    match Question::of(said, field, CHARS_MAX) {
        Ok(Question { before, content }) => {
            assert_eq!(before.len() + 1, count);
            assert!((1..=CHARS_MAX).contains(&content.as_str().chars().count()));
            are_stored(&before);
        }
        Err(problem) => is_refusal(&problem),
    }
}

fn are_stored(items: &[NewItem]) {
    for item in items {
        assert!((1..=CHARS_MAX).contains(&item.content.chars().count()) && !item.content.trim().is_empty());
    }
}

fn is_metadata(metadata: &Map<String, Value>) {
    assert!(metadata.len() <= 16 && metadata.values().all(Value::is_string));
}

/// An id that is read is the only one of what it names.
fn id(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let mut kinds = 0;
    let mut is_written_so = |written: Option<String>| {
        kinds += usize::from(written.is_some());
        assert!(written.is_none_or(|written| written == text), "{text:?} is another way to write it");
    };
    is_written_so(ids::conversation_of(text).map(ids::conversation));
    is_written_so(ids::response_of(text).map(|(session, seq)| ids::response(session, seq)));
    is_written_so(ids::completion_of(text).map(|(session, seq)| ids::completion(session, seq)));
    is_written_so(ids::item_of(text).map(|(session, item)| ids::item(session, item)));
    assert!(kinds <= 1, "{text:?} is an id of two kinds");
}
