//! ChatGPT's export: an array of conversations, each a tree of messages with a node that is the last one.

use std::{collections::HashMap, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{
    Event, ImportError, Note, Owner, Talk, Tell, What, array, tree,
    turns::{self, Line},
};
use crate::{clock::Timestamp, store::Speaker};

#[derive(Deserialize)]
struct Conversation {
    #[serde(alias = "conversation_id")]
    id: Option<String>,
    title: Option<String>,
    create_time: Option<f64>,
    update_time: Option<f64>,
    mapping: HashMap<String, Node>,
    current_node: Option<String>,
}

#[derive(Deserialize)]
struct Node {
    message: Option<Message>,
    parent: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    id: Option<String>,
    author: Author,
    create_time: Option<f64>,
    content: Option<Content>,
    recipient: Option<String>,
    status: Option<String>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Author {
    role: String,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    is_visually_hidden_from_conversation: Option<bool>,
}

#[derive(Deserialize)]
struct Content {
    content_type: String,
    #[serde(default)]
    parts: Vec<Value>,
}

pub(super) fn read(path: &Path, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    if !path.is_dir() {
        return array::each(path, tell, conversation);
    }
    let entries = std::fs::read_dir(path).map_err(ImportError::io(path))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(ImportError::io(path))?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A long export has conversations-000.json and so on.
        if name.starts_with("conversations") && file.extension().is_some_and(|extension| extension == "json") {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(ImportError::unreadable(path, "the folder has no conversations.json"));
    }
    files.sort();
    files.iter().try_for_each(|file| array::each(file, tell, conversation))
}

fn conversation(number: u64, value: Value, tell: &mut Tell<'_>) -> Result<(), ImportError> {
    // `id` and `conversation_id` are the same, and either may be missing.
    let mut value = value;
    if let Some(object) = value.as_object_mut()
        && object.contains_key("id")
    {
        object.remove("conversation_id");
    }
    let Ok(conversation) = serde_json::from_value::<Conversation>(value) else {
        return tell(Event::Note(Note { what: What::Malformed, at: format!("conversation {number}") }));
    };
    let Conversation { id, title, create_time, update_time, mapping, current_node } = conversation;
    let at = format!("conversation {number}");
    let key = id.unwrap_or_else(|| number.to_string());
    let (created_at, updated_at) = (time(create_time), time(update_time));
    tell(Event::Talk(Talk {
        owner: Owner::Named,
        key,
        title,
        system_prompt: None,
        note: None,
        created_at,
        updated_at,
    }))?;
    let parents: HashMap<String, Option<String>> =
        mapping.iter().map(|(key, node)| (key.clone(), node.parent.clone())).collect();
    let way = tree::path(current_node.as_deref().unwrap_or_default(), &parents);
    let mut lines = Vec::new();
    for key in &way {
        let Some(message) = mapping.get(*key).and_then(|node| node.message.as_ref()) else { continue };
        match line(key, message, time(create_time)) {
            Ok((line, has_media)) => {
                if has_media {
                    tell(Event::Note(Note { what: What::Media, at: format!("{at}, message {}", lines.len() + 1) }))?;
                }
                lines.push(line);
            }
            Err(Some(what)) => {
                tell(Event::Note(Note { what, at: format!("{at}, after message {}", lines.len()) }))?;
            }
            Err(None) => {}
        }
    }
    let is_said = |node: &Node| node.message.as_ref().is_some_and(|message| line("", message, None).is_ok());
    let left = mapping.iter().filter(|(key, node)| !way.contains(&key.as_str()) && is_said(node)).count();
    for _ in 0..left {
        tell(Event::Note(Note { what: What::Branch, at: at.clone() }))?;
    }
    turns::tell(lines, &at, tell)
}

/// What was said, and whether something of it is no text; else what it is, where that is worth a word.
fn line(key: &str, message: &Message, begun: Option<Timestamp>) -> Result<(Line, bool), Option<What>> {
    let role = match message.author.role.as_str() {
        "user" => Speaker::User,
        "assistant" => Speaker::Assistant,
        "tool" => return Err(Some(What::Tool)),
        "system" => return Err(None), // Instructions of the service, which are no one's words.
        _ => return Err(Some(What::Sender)),
    };
    let Some(content) = &message.content else { return Err(None) };
    if message.metadata.is_visually_hidden_from_conversation == Some(true) {
        return Err(None); // The user never saw it.
    }
    let is_to_all = message.recipient.as_deref().is_none_or(|recipient| recipient == "all");
    if !is_to_all || !matches!(content.content_type.as_str(), "text" | "multimodal_text") {
        return Err(Some(What::Tool));
    }
    let texts: Vec<&str> = content.parts.iter().filter_map(Value::as_str).filter(|text| !text.is_empty()).collect();
    let has_media = content.parts.iter().any(|part| !part.is_string());
    if texts.is_empty() && !has_media && role == Speaker::Assistant {
        return Err(None); // It is made before a tool is asked, and has nothing in it.
    }
    // A picture alone is still something that was said.
    let text = if texts.is_empty() && has_media { "[not text]".to_owned() } else { texts.join("\n\n") };
    let line = Line {
        key: message.id.clone().unwrap_or_else(|| key.to_owned()),
        role,
        text,
        time: time(message.create_time).or(begun),
        stopped: message.status.as_deref() == Some("in_progress"),
        error: None,
    };
    Ok((line, has_media))
}

fn time(seconds: Option<f64>) -> Option<Timestamp> {
    seconds.and_then(Timestamp::from_seconds)
}
