//! Metadata: what a client keeps with something, unread by anybody else.

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::http::problem::Problem;

const PAIRS_MAX: usize = 16;
const KEY_CHARS_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 512;

/// The metadata in `fields`.
///
/// # Errors
/// Where it has anything but texts in it, too many of them, or too long ones.
pub(super) fn metadata(fields: &mut Fields) -> Result<Option<Map<String, Value>>, Problem> {
    let map = match fields.take("metadata") {
        None => return Ok(None),
        Some(Value::Object(map)) => map,
        Some(_) => return Err(fields.refuse("metadata", "must be an object")),
    };
    if map.len() > PAIRS_MAX {
        return Err(fields.refuse("metadata", format_args!("may have at most {PAIRS_MAX} pairs")));
    }
    for (key, value) in &map {
        if key.chars().count() > KEY_CHARS_MAX {
            return Err(fields.refuse("metadata", format_args!("a key may have at most {KEY_CHARS_MAX} characters")));
        }
        if value.as_str().is_none_or(|text| text.chars().count() > VALUE_CHARS_MAX) {
            let fault = format_args!("each value must be a string of at most {VALUE_CHARS_MAX} characters");
            return Err(fields.refuse("metadata", fault));
        }
    }
    Ok(Some(map))
}
