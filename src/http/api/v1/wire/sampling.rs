//! How words are to be chosen.

use serde_json::Value;

use super::fields::{Fields, unsupported_value};
use crate::{http::problem::Problem, reply::Sampling};

/// Most texts that end a reply, and the longest of them, characters.
const STOPS_MAX: usize = 4;
const STOP_CHARS_MAX: usize = 200;

/// What all calls that ask for a reply have; `most` is the name of the field for the most tokens.
///
/// # Errors
/// For the first field that is out of bounds.
pub(super) fn sampling(fields: &mut Fields, most: &str) -> Result<Sampling, Problem> {
    let tokens = fields.count(most, 1..=u64::from(u32::MAX))?;
    Ok(Sampling {
        max_tokens: tokens.and_then(|tokens| u32::try_from(tokens).ok()),
        temperature: fields.number("temperature", 0.0..=2.0)?,
        top_p: fields.number("top_p", 0.0..=1.0)?,
        ..Sampling::default()
    })
}

/// The texts in `stop`: one, or a list of them.
///
/// # Errors
/// Where it is anything else, too many or too long.
pub(super) fn stop(fields: &mut Fields) -> Result<Vec<String>, Problem> {
    let texts = match fields.take("stop") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let is_stop = |text: &Value| text.as_str().is_some_and(|text| (1..=STOP_CHARS_MAX).contains(&text.chars().count()));
    if texts.len() > STOPS_MAX || !texts.iter().all(is_stop) {
        let fault = format!("must be up to {STOPS_MAX} strings of 1 to {STOP_CHARS_MAX} characters");
        return Err(fields.refuse("stop", fault));
    }
    Ok(texts.into_iter().filter_map(|text| text.as_str().map(str::to_owned)).collect())
}

/// The form of the reply that `fields` are; nothing where it is plain text.
///
/// # Errors
/// Where it is no form that a model's server may know.
pub(super) fn format(mut fields: Fields) -> Result<Option<Value>, Problem> {
    let kind = fields.text("type")?.ok_or_else(|| fields.refuse("type", "missing; please add it"))?;
    match kind.as_str() {
        "text" => Ok(None),
        "json_object" | "json_schema" => Ok(Some(fields.back("type", kind))),
        _ => {
            let fault = "must be \"text\", \"json_object\" or \"json_schema\"";
            Err(unsupported_value(&fields.path("type"), fault))
        }
    }
}
