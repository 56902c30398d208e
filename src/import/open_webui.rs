//! Open WebUI's export of chats: an array of them, each with its messages as a tree and the last one's id.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Event, ImportError, Note, Owner, Talk, Tell, What, array, tree,
    turns::{self, Line},
};
use crate::{clock::Timestamp, store::Speaker};

#[derive(Deserialize)]
struct Item {
    id: Option<String>,
    title: Option<String>,
    chat: Chat,
    created_at: Option<f64>,
    updated_at: Option<f64>,
}

#[derive(Deserialize)]
struct Chat {
    title: Option<String>,
    system: Option<String>,
    params: Option<Params>,
    history: Option<History>,
    #[serde(default)]
    messages: Vec<Message>,
}

#[derive(Deserialize)]
struct Params {
    system: Option<String>,
}

#[derive(Deserialize)]
struct History {
    #[serde(default)]
    messages: HashMap<String, Message>,
    #[serde(rename = "currentId")]
    current: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    #[serde(rename = "parentId")]
    parent: Option<String>,
    role: String,
    #[serde(default)]
    content: Value,
    timestamp: Option<f64>,
    done: Option<bool>,
    #[serde(default)]
    error: Value,
    #[serde(default)]
    files: Vec<Value>,
}

pub(super) fn read(path: &Path, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    array::each(path, tell, chat)
}

fn chat(number: u64, value: Value, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    let at = format!("conversation {number}");
    let Ok(item) = serde_json::from_value::<Item>(value) else {
        return tell(Event::Note(Note { what: What::Malformed, at }));
    };
    let Item { id, title, chat, created_at, updated_at } = item;
    let system_prompt = chat.system.or(chat.params.and_then(|params| params.system));
    tell(Event::Talk(Talk {
        owner: Owner::Named,
        key: id.unwrap_or_else(|| number.to_string()),
        title: title.or(chat.title),
        system_prompt: system_prompt.filter(|text| !text.trim().is_empty()),
        note: None,
        created_at: time(created_at),
        updated_at: time(updated_at),
    }))?;
    let mut lines = Vec::new();
    let mut left = 0;
    match chat.history.filter(|history| !history.messages.is_empty()) {
        Some(History { messages, current }) => {
            let parents: HashMap<String, Option<String>> =
                messages.iter().map(|(key, message)| (key.clone(), message.parent.clone())).collect();
            let way = tree::path(current.as_deref().unwrap_or_default(), &parents);
            left = messages.len() - way.len();
            for key in way {
                if let Some(message) = messages.get(key) {
                    take(message, key, &at, &mut lines, tell)?;
                }
            }
        }
        // Early exports have the last way only.
        None => {
            for (place, message) in chat.messages.iter().enumerate() {
                take(message, &place.to_string(), &at, &mut lines, tell)?;
            }
        }
    }
    for _ in 0..left {
        tell(Event::Note(Note { what: What::Branch, at: at.clone() }))?;
    }
    turns::tell(lines, &at, tell)
}

fn take(message: &Message, key: &str, at: &str, lines: &mut Vec<Line>, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    let mut note = |what| tell(Event::Note(Note { what, at: format!("{at}, message {}", lines.len() + 1) }));
    let role = match message.role.as_str() {
        "user" => Speaker::User,
        "assistant" => Speaker::Assistant,
        "tool" => return note(What::Tool),
        "system" => return Ok(()), // Instructions, which are no one's words.
        _ => return note(What::Sender),
    };
    let (text, has_media) = text_of(&message.content);
    if has_media || !message.files.is_empty() {
        note(What::Media)?;
    }
    lines.push(Line {
        key: message.id.clone().unwrap_or_else(|| key.to_owned()),
        role,
        text,
        time: time(message.timestamp),
        stopped: message.done == Some(false),
        error: (!message.error.is_null())
            .then(|| "The server that this was imported from answered with an error.".into()),
    });
    Ok(())
}

/// The text of a message, which is one text or parts of which some are texts; and whether others are not.
fn text_of(content: &Value) -> (String, bool) {
    if let Some(text) = content.as_str() {
        return (text.to_owned(), false);
    }
    let parts = content.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect();
    (texts.join("\n\n"), texts.len() < parts.len())
}

/// A time in seconds; some versions write milliseconds.
fn time(number: Option<f64>) -> Option<Timestamp> {
    number.map(|number| if number > 1e11 { number / 1000.0 } else { number }).and_then(Timestamp::from_seconds)
}
