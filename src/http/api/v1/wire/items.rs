//! Items: what is said in a conversation, as a list or as one text of the user.

use serde_json::Value;

use super::{
    content::{content, role},
    fields::{Fields, unsupported_value},
};
use crate::{
    chat::Said,
    completions::Role,
    http::problem::Problem,
    store::{ITEMS_MAX, NewItem, Speaker},
    text::MessageText,
};

/// The names of a part that is text.
const TEXT: &[&str] = &["input_text", "output_text", "text"];

/// An item that comes with a request.
#[derive(Debug, PartialEq)]
pub(in crate::http::api::v1) enum Entry {
    /// What is said.
    Said(Said),
    /// What was said, in an item that is stored.
    Named {
        /// Its id.
        id: String,
        /// Where that stands in the body.
        path: String,
    },
}

/// The items in `fields`, and where they stand: a text of the user's, or a list.
///
/// # Errors
/// Where they are missing, none, or have anything but text in them.
pub(super) fn input(fields: &mut Fields) -> Result<(Vec<Entry>, Field), Problem> {
    match fields.take("input") {
        None => Err(fields.refuse("input", "missing; please add it")),
        Some(Value::String(text)) => {
            Ok((vec![Entry::Said(Said { role: Role::User, text, name: None })], Field::Text("input")))
        }
        Some(Value::Array(list)) if list.is_empty() => Err(fields.refuse("input", "must have at least one item")),
        Some(Value::Array(list)) => Ok((entries(list, "input")?, Field::List("input"))),
        Some(_) => Err(fields.refuse("input", "must be a string, or a list of items")),
    }
}

/// The items of a list that stands at `path`.
///
/// # Errors
/// For the first that is no message, or has anything but text in it.
pub(super) fn items(list: Vec<Value>, path: &str) -> Result<Vec<Said>, Problem> {
    let said = |(n, entry)| match entry {
        Entry::Said(said) => Ok(said),
        Entry::Named { .. } => {
            let fault = "must be \"message\": an item is in one conversation only";
            Err(unsupported_value(&format!("{path}[{n}].type"), fault))
        }
    };
    entries(list, path)?.into_iter().enumerate().map(said).collect()
}

fn entries(list: Vec<Value>, path: &str) -> Result<Vec<Entry>, Problem> {
    let entry = |(n, value)| {
        let mut fields = Fields::of(value, format!("{path}[{n}]"))?;
        match fields.text("type")?.as_deref() {
            None | Some("message") => {}
            Some("item_reference") => {
                let id = fields.text("id")?.ok_or_else(|| fields.refuse("id", "missing; please add it"))?;
                return Ok(Entry::Named { id, path: fields.path("id") });
            }
            Some(_) => {
                let fault = "must be \"message\" or \"item_reference\": this server keeps no other items";
                return Err(unsupported_value(&fields.path("type"), fault));
            }
        }
        let role = role(&mut fields)?;
        let text = content(&mut fields, TEXT)?;
        Ok(Entry::Said(Said { role, text, name: None }))
    };
    list.into_iter().enumerate().map(entry).collect()
}

/// Where what is said stands in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http::api::v1) enum Field {
    /// In the list of this name.
    List(&'static str),
    /// In the field of this name, which is the user's text.
    Text(&'static str),
}

impl Field {
    fn name(self) -> &'static str {
        let (Self::List(name) | Self::Text(name)) = self;
        name
    }

    /// The path of what the item at `place` says.
    fn content(self, place: usize) -> String {
        match self {
            Self::List(name) => format!("{name}[{place}].content"),
            Self::Text(name) => name.to_owned(),
        }
    }
}

/// What is asked to be answered: the user's last message, and the items before it that have words. Replies that a filter or
/// a person ended before the first word come back in histories, and the log has no place for what says nothing.
pub(in crate::http::api::v1) struct Question {
    /// Before it.
    pub(in crate::http::api::v1) before: Vec<NewItem>,
    /// It.
    pub(in crate::http::api::v1) content: MessageText,
}

impl Question {
    /// Of items that stand in `field`; `chars_max` bounds each of them.
    ///
    /// # Errors
    /// Where the last one is not the user's, or one of them can't be stored.
    pub(in crate::http::api::v1) fn of(mut items: Vec<Said>, field: Field, chars_max: usize) -> Result<Self, Problem> {
        let path = field.name();
        let last = items.pop().filter(|last| last.role == Role::User);
        let last = last.ok_or_else(|| Problem::field(path, "must end with a message of the user"))?;
        let content = MessageText::new(last.text, chars_max)
            .map_err(|fault| Problem::field(&field.content(items.len()), fault))?;
        let has_words = |(_, said): &(usize, Said)| said.role == Role::User || !said.text.trim().is_empty();
        let before = items.into_iter().enumerate().filter(has_words).collect();
        Ok(Self { before: placed(before, path, chars_max)?, content })
    }
}

/// Items as they are stored, each of at most `chars_max` characters.
///
/// # Errors
/// For the first that is empty or too long.
pub(in crate::http::api::v1) fn stored(
    items: Vec<Said>,
    path: &str,
    chars_max: usize,
) -> Result<Vec<NewItem>, Problem> {
    placed(items.into_iter().enumerate().collect(), path, chars_max)
}

/// The same for items with their places in the list.
fn placed(items: Vec<(usize, Said)>, path: &str, chars_max: usize) -> Result<Vec<NewItem>, Problem> {
    if items.len() > ITEMS_MAX {
        return Err(Problem::field(path, format_args!("may have at most {ITEMS_MAX} items to be stored")));
    }
    let item = |(n, said): (usize, Said)| {
        if said.text.trim().is_empty() || is_longer(&said.text, chars_max) {
            let fault = format!("must have 1 to {chars_max} characters, and not only white space, to be stored");
            return Err(Problem::field(&format!("{path}[{n}].content"), fault));
        }
        let role = match said.role {
            Role::User => Speaker::User,
            Role::Assistant => Speaker::Assistant,
            Role::System => Speaker::System,
            Role::Developer => Speaker::Developer,
        };
        Ok(NewItem { role, content: said.text })
    };
    items.into_iter().map(item).collect()
}

/// Instructions that are to be stored.
///
/// # Errors
/// Where they have more than `chars_max` characters.
pub(in crate::http::api::v1) fn bounded(instructions: Option<&str>, chars_max: usize) -> Result<(), Problem> {
    if instructions.is_some_and(|text| is_longer(text, chars_max)) {
        let fault = format_args!("must have at most {chars_max} characters to be stored");
        return Err(Problem::field("instructions", fault));
    }
    Ok(())
}

/// True for more characters than `chars_max`.
fn is_longer(text: &str, chars_max: usize) -> bool {
    text.len() > chars_max && text.chars().nth(chars_max).is_some()
}
