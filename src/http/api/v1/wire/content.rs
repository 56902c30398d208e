//! Who says something and what: roles, and contents that are a text or a list of its parts.

use serde_json::Value;

use super::fields::{Fields, unsupported_value};
use crate::{completions::Role, http::problem::Problem};

/// The names of a part that is text, by the API that has them.
pub(super) const TEXT: &[&str] = &["text"];

/// The role in `fields`.
///
/// # Errors
/// Where it is missing, or none that says something here.
pub(super) fn role(fields: &mut Fields) -> Result<Role, Problem> {
    let name = fields.text("role")?.ok_or_else(|| fields.refuse("role", "missing; please add it"))?;
    let path = || fields.path("role");
    match name.as_str() {
        "user" => Ok(Role::User),
        "assistant" => Ok(Role::Assistant),
        "system" => Ok(Role::System),
        "developer" => Ok(Role::Developer),
        "tool" | "function" => Err(unsupported_value(&path(), "tools are not supported by this server")),
        _ => Err(Problem::field(&path(), "must be \"user\", \"assistant\", \"system\" or \"developer\"")),
    }
}

/// The content in `fields`: a text, or parts of these types, which are joined by nothing.
///
/// # Errors
/// Where it is missing or has anything but text in it.
pub(super) fn content(fields: &mut Fields, types: &[&str]) -> Result<String, Problem> {
    let path = fields.path("content");
    match fields.take("content") {
        None => Err(Problem::field(&path, "missing; please add it")),
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => {
            let mut whole = String::new();
            for (n, value) in parts.into_iter().enumerate() {
                whole.push_str(&part(value, format!("{path}[{n}]"), types)?);
            }
            Ok(whole)
        }
        Some(_) => Err(Problem::field(&path, "must be a string, or a list of parts")),
    }
}

fn part(value: Value, path: String, types: &[&str]) -> Result<String, Problem> {
    let mut fields = Fields::of(value, path)?;
    let kind = fields.text("type")?.ok_or_else(|| fields.refuse("type", "missing; please add it"))?;
    if !types.contains(&kind.as_str()) {
        let wanted: Vec<_> = types.iter().map(|name| format!("\"{name}\"")).collect();
        let fault = format!("must be {}: this server takes text only", wanted.join(" or "));
        return Err(unsupported_value(&fields.path("type"), fault));
    }
    fields.text("text")?.ok_or_else(|| fields.refuse("text", "missing; please add it"))
}
