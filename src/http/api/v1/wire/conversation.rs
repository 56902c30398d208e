//! `POST /v1/conversations`, and what changes one.

use serde_json::{Map, Value};

use super::{fields::Fields, items, metadata::metadata};
use crate::{http::problem::Problem, store::NewItem};

/// Most items that come at once.
const ITEMS_MAX: usize = 20;

/// A conversation that is to be made.
#[derive(Debug, PartialEq)]
pub(in crate::http::api::v1) struct NewConversation {
    /// What is said in it already.
    pub(in crate::http::api::v1) items: Vec<NewItem>,
    /// What is kept with it.
    pub(in crate::http::api::v1) metadata: Map<String, Value>,
}

impl NewConversation {
    /// Reads the body; an item has at most `chars_max` characters.
    ///
    /// # Errors
    /// For the first field that is not what it should be.
    pub(in crate::http::api::v1) fn read(body: Map<String, Value>, chars_max: usize) -> Result<Self, Problem> {
        let mut fields = Fields::body(body);
        let metadata = metadata(&mut fields)?.unwrap_or_default();
        let list = fields.list("items")?.unwrap_or_default();
        Ok(Self { items: of_list(list, chars_max)?, metadata })
    }
}

/// The items of `POST /v1/conversations/{id}/items`, each of at most `chars_max` characters.
///
/// # Errors
/// Where there are none or too many, and for the first that can't be stored.
pub(in crate::http::api::v1) fn new_items(body: Map<String, Value>, chars_max: usize) -> Result<Vec<NewItem>, Problem> {
    let mut fields = Fields::body(body);
    match fields.list("items")? {
        Some(list) if !list.is_empty() => of_list(list, chars_max),
        Some(_) | None => Err(fields.refuse("items", "must have at least one item")),
    }
}

/// The metadata of a body that must have it.
///
/// # Errors
/// Where it is missing or not what it should be.
pub(in crate::http::api::v1) fn new_metadata(body: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    let mut fields = Fields::body(body);
    if fields.is_null("metadata") {
        return Ok(Map::new());
    }
    metadata(&mut fields)?.ok_or_else(|| fields.refuse("metadata", "missing; please add it"))
}

fn of_list(list: Vec<Value>, chars_max: usize) -> Result<Vec<NewItem>, Problem> {
    if list.len() > ITEMS_MAX {
        return Err(Problem::field("items", format_args!("may have at most {ITEMS_MAX} items")));
    }
    items::stored(items::items(list, "items")?, "items", chars_max)
}
