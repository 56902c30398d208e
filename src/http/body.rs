//! JSON bodies: read under a bound in bytes and in time, decoded, and refused in words that name the field.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    HeaderMap,
    body::Body as _,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue},
};
use serde::de::DeserializeOwned;
use serde_json::{Number, Value, error::Category};

use super::{problem::Problem, unread::RequestBody};

/// The most characters of a client's own word that an answer repeats.
const ECHO_CHARS_MAX: usize = 64;

/// The largest number up to which every whole one has a floating-point form of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The bounds of a body.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes.
    pub(super) max: u64,
    /// From the first wait to the last byte.
    pub(super) within: Duration,
}

/// Reads all of a body; empty where there is none.
///
/// What the head says is checked first, so that a client which waits for `100 Continue` never gets it for nothing.
///
/// # Errors
/// 415 for what is not plain JSON, 413, 408, or 400 where it breaks off; after the last three the connection closes.
pub(super) async fn read(headers: &HeaderMap, body: RequestBody, bounds: Bounds) -> Result<Bytes, Problem> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    is_plain_json(headers)?;
    if body.size_hint().lower() > bounds.max {
        return Err(Problem::too_large(bounds.max));
    }
    let limited = Limited::new(body, usize::try_from(bounds.max).unwrap_or(usize::MAX));
    match tokio::time::timeout(bounds.within, limited.collect()).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(bounds.max)),
        Ok(Err(_)) => Err(Problem::bad_request("The body broke off; please send the request again.").and_close()),
        Err(_) => Err(Problem::slow_body()),
    }
}

fn is_plain_json(headers: &HeaderMap) -> Result<(), Problem> {
    let encodings = headers.get_all(CONTENT_ENCODING);
    if !encodings.iter().all(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::not_json("The body must not be compressed; please send it without Content-Encoding."));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(one), None) if is_json_type(one) => Ok(()),
        (_, _) => {
            Err(Problem::not_json("The body must be JSON; please send it with \"Content-Type: application/json\"."))
        }
    }
}

fn is_json_type(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    json && parts.all(|parameter| {
        let (name, charset) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.eq_ignore_ascii_case("charset") && charset.trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// Decodes a JSON object.
///
/// # Errors
/// 400 where it is not UTF-8 or not JSON; 422 where it is JSON, but not what is asked for: the detail names the field.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| Problem::bad_request("The body is not UTF-8; please encode it so."))?;
    if text.is_empty() {
        return Err(Problem::bad_request("The body is empty; this call needs a JSON object."));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    // serde would take a list for an object, field by field.
    let object = text.trim_ascii_start().starts_with('{');
    let decoded = if object { serde_path_to_error::deserialize(&mut json) } else { Err(not_an_object()) };
    match decoded {
        Ok(value) => json.end().map(|()| value).map_err(|error| not_json(&error)),
        Err(error) => Err(refusal(text, &error)),
    }
}

fn not_an_object() -> serde_path_to_error::Error<serde_json::Error> {
    let expected = serde::de::Error::custom("must be a JSON object");
    serde_path_to_error::Error::new(serde_path_to_error::Track::new().path(), expected)
}

fn not_json(error: &serde_json::Error) -> Problem {
    let message = error.to_string();
    // What serde_json says of an escape for one of the two halves that JavaScript makes such a character of.
    if message.starts_with("lone leading surrogate") || message.starts_with("unexpected end of hex escape") {
        let (line, column) = (error.line(), error.column());
        return Problem::bad_request(format!(
            "The body has half of a character before line {line}, column {column} (in bytes): an escape from \\ud800 to \\udfff \
             without the other half. Texts must not be cut inside a character."
        ));
    }
    Problem::bad_request(format!("The body is not JSON: {error}; please check its syntax."))
}

/// A value can look wrong before the text turns out not to be JSON at all; then that is said.
fn refusal(text: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    match error.inner().classify() {
        Category::Io | Category::Syntax | Category::Eof => not_json(error.inner()),
        Category::Data => match serde_json::from_str::<Value>(text) {
            Err(error) if !error.is_data() => not_json(&error),
            Ok(_) | Err(_) => wording(error),
        },
    }
}

/// serde's message about a value, as a sentence that begins with the field and repeats no value.
fn wording(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let message = error.inner().to_string();
    let message = message.split(" at line ").next().unwrap_or(&message);
    let quoted = message.split('`').nth(1).map(|name| name.chars().take(ECHO_CHARS_MAX).collect::<String>());
    let path = error.path().to_string();
    let path = if path == "." { "body" } else { &path };
    match (message.split_once(' '), quoted) {
        (Some(("missing", _)), Some(name)) => Problem::field(&name, "missing; please add it"),
        (Some(("duplicate", _)), Some(name)) => Problem::field(&name, "is given twice; please give it once"),
        (Some(("unknown", rest)), Some(name)) if rest.starts_with("field") => {
            let name = name.escape_debug().to_string();
            Problem::field(&name, "is not a field of this call; please leave it out")
        }
        (Some(_) | None, _) => match message.rsplit_once(", expected ") {
            Some((_, expected)) => Problem::field(path, format_args!("must be {expected}")),
            None => Problem::field(path, message),
        },
    }
}

/// The whole number, also where it is written with a point, as `26.0`: JSON has one kind of number, and some libraries write all
/// so.
pub(super) fn whole(number: &Number) -> Option<i64> {
    number.as_i64().or_else(|| {
        let is_exact = |value: &f64| value.abs() <= EXACT_MAX && value.fract() == 0.0;
        #[expect(clippy::cast_possible_truncation, reason = "it is whole and in bounds")]
        number.as_f64().filter(is_exact).map(|value| value as i64)
    })
}

/// The whole number, where it is not negative.
pub(super) fn count(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| whole(number)?.try_into().ok())
}

#[cfg(test)]
mod tests;
