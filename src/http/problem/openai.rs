//! A problem as the API of OpenAI words its errors: what the official clients read.
//!
//! They repeat 408, 409, 429 and all of the 500s by themselves, unless `x-should-retry` says that it is no use.

use bytes::Bytes;
use hyper::{
    Response, StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

use super::{
    BEING_ANSWERED, DEAD_TOKEN, DELETED, INVALID, Kind, MANY_FAILURES, NO_IDENTITY, NOT_OWNER, OVER_LIMIT, Problem,
    REFUSED, TIMED_OUT,
};
use crate::{
    http::response::{ApiResponse, Body},
    reply::Refused,
};

const RETRY_AFTER_MS: HeaderName = HeaderName::from_static("retry-after-ms");
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// What those are told who show nothing: they hold keys, and have no page to log in at.
const NO_KEY: &str = "No API key came along: please send one as \"Authorization: Bearer KEY\". Make one in the chat page, under \
                      Settings › Keys for programs.";
/// What those are told whose key, or login, holds no more or never did.
const DEAD_KEY: &str = "This key or login is not valid: it was revoked, has run out, or never was one. Please make a new key in \
                        the chat page, under Settings › Keys for programs.";

/// What those are told who would take away what is still being made.
const STILL_MADE: &str = "This is being answered right now: please wait for its end, or end it first, a response by \
                          POST /v1/responses/{id}/cancel.";

/// What those are told whose request, or its repeat, is of what is not there any more.
const GONE: &str =
    "What this made was deleted meanwhile. To have it made anew, send it with another Idempotency-Key, or as no retry.";

/// What those are told who waited for too long.
const TOO_LATE: &str = "The answer took too long. A response or completion that is stored goes on, and can be read once it is there; of others \
                        nothing is left.";

/// The body.
#[derive(Serialize)]
struct Answer<'p> {
    error: Members<'p>,
}

#[derive(Serialize)]
struct Members<'p> {
    message: &'p str,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<&'p str>,
    code: Option<String>,
}

/// 400 where a program wants nothing to be left out of a conversation that is too long.
pub(super) fn no_room() -> Problem {
    let detail = "What was said, the instructions and the input are longer together than the model's context has room for. \
                  Please send less, begin a new conversation, or leave \"truncation\" at \"auto\", which leaves out \
                  the oldest.";
    Problem::new(&INVALID, detail).of("input").coded("context_length_exceeded")
}

/// 400 for what the model's server does not take: another try gets the same.
pub(super) fn refused(detail: String, why: Refused) -> Problem {
    let problem = Problem::new(&REFUSED, detail);
    match why {
        Refused::TooLong => problem.coded("context_length_exceeded"),
        Refused::Other => problem,
    }
}

/// 400 for a request with more beside the words than is kept with them.
pub(super) fn too_much_kept(bytes: usize, max: usize) -> Problem {
    let detail = format!(
        "What is kept with this beside its messages (instructions, the form of the text, metadata) would be {bytes} bytes \
         of JSON, and may be at most {max}; please shorten the instructions or the schema, or say \"store\": false."
    );
    Problem::new(&INVALID, detail).coded("too_much_kept")
}

impl Problem {
    /// The answer under `/v1`.
    pub(in crate::http) fn respond_openai(&self) -> ApiResponse {
        let mut response = Response::new(Body::from(Bytes::from(self.openai_json())));
        *response.status_mut() = status(self.kind);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.mark(headers);
        if let Some(wait) = self.retry_after {
            let ms = u64::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u64::MAX);
            headers.insert(RETRY_AFTER_MS, HeaderValue::from(ms));
        }
        // A stored turn keeps its failure: who repeats the request is told the same.
        let keeps = self.turn.is_some() && self.kind.status.is_server_error();
        if keeps || (*self.kind != BEING_ANSWERED && self.kind.status == StatusCode::CONFLICT) {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        response
    }

    /// The status under `/v1`.
    pub(in crate::http) fn openai_status(&self) -> StatusCode {
        status(self.kind)
    }

    /// The body, which is also what a stream says that fails behind its first byte.
    pub(in crate::http) fn openai_json(&self) -> Vec<u8> {
        let error = Members {
            message: match self.kind {
                kind if *kind == NO_IDENTITY => NO_KEY,
                kind if *kind == DEAD_TOKEN => DEAD_KEY,
                kind if *kind == BEING_ANSWERED => STILL_MADE,
                kind if *kind == DELETED => GONE,
                kind if *kind == TIMED_OUT => TOO_LATE,
                _ => &self.detail,
            },
            kind: kind(self.kind),
            param: self.named.as_ref().and_then(|named| named.param.as_deref()),
            code: self.openai_code(),
        };
        serde_json::to_vec(&Answer { error }).expect("strings always become JSON")
    }

    /// A word for programs, where there is more to say than the status does.
    pub(in crate::http) fn openai_code(&self) -> Option<String> {
        let code = self.named.as_ref().and_then(|named| named.code);
        let code = match self.kind {
            _ if code.is_some() => code?,
            kind if [&NO_IDENTITY, &DEAD_TOKEN].contains(&kind) => "invalid_api_key",
            kind if *kind == OVER_LIMIT => "rate_limit_exceeded",
            kind if *kind == INVALID => return None, // The field is named.
            kind if *kind == NOT_OWNER => "not_found",
            kind => return Some(kind.slug.replace('-', "_")),
        };
        Some(code.to_owned())
    }
}

/// What a value is that can't be taken, and what is not there, has the status that this API has for it.
fn status(kind: &Kind) -> StatusCode {
    match kind {
        kind if *kind == INVALID => StatusCode::BAD_REQUEST,
        // 409 is for what another try may get.
        kind if [&NOT_OWNER, &DELETED].contains(&kind) => StatusCode::NOT_FOUND,
        kind => kind.status,
    }
}

fn kind(kind: &Kind) -> &'static str {
    match kind {
        kind if [&OVER_LIMIT, &MANY_FAILURES].contains(&kind) => "requests",
        kind if kind.status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        admission::{
            rate::{Charged, OverLimit},
            slots::Overloaded,
        },
        chat::ChatError,
    };

    async fn answered(problem: Problem) -> (u16, Value, Vec<(String, String)>) {
        let response = problem.respond_openai();
        let status = response.status().as_u16();
        let told = ["retry-after", "retry-after-ms", "x-should-retry", "www-authenticate", "connection"];
        let headers = told
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), response.headers().get(*name)?.to_str().unwrap().to_owned())));
        let headers = headers.collect();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap(), headers)
    }

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[tokio::test]
    async fn each_problem_has_the_status_and_the_words_that_the_clients_know() {
        let half = Duration::from_micros(1_500_001);
        let over = OverLimit { what: Charged::Requests, per_minute: 60, retry_after: half };
        let failed = |refused| ChatError::NoReply { detail: "no".to_owned(), too_slow: false, refused };
        let (request, server) = ("invalid_request_error", "server_error");
        let waits = headers(&[("retry-after", "2"), ("retry-after-ms", "1501")]);
        for (problem, status, kind, code, named) in [
            (
                Problem::no_identity(),
                401,
                request,
                json!("invalid_api_key"),
                headers(&[("www-authenticate", "Bearer")]),
            ),
            (Problem::field("n", "must be 1"), 400, request, Value::Null, vec![]),
            (Problem::field("n", "x").coded("unsupported_value"), 400, request, json!("unsupported_value"), vec![]),
            (Problem::no_such("response"), 404, request, json!("not_found"), vec![]),
            (Problem::not_owner(), 404, request, json!("not_found"), vec![]),
            (Problem::no_such_model("m"), 404, request, json!("model_not_found"), vec![]),
            (Problem::no_such_path("/v1/x"), 404, request, json!("no_such_path"), vec![]),
            (Problem::other_login(), 409, request, json!("other_login"), headers(&[("x-should-retry", "false")])),
            (ChatError::BeingAnswered.into(), 409, request, json!("being_answered"), vec![]),
            (ChatError::KeyReused.into(), 422, request, json!("key_reused"), vec![]),
            (ChatError::TooMuchKept { bytes: 2, max: 1 }.into(), 400, request, json!("too_much_kept"), vec![]),
            (Problem::over_limit(over), 429, "requests", json!("rate_limit_exceeded"), waits.clone()),
            (failed(None).into(), 502, server, json!("reply_failed"), vec![]),
            (failed(Some(Refused::Other)).into(), 400, request, json!("request_refused"), vec![]),
            (failed(Some(Refused::TooLong)).into(), 400, request, json!("context_length_exceeded"), vec![]),
            (ChatError::Overloaded(Overloaded { retry_after: half }).into(), 503, server, json!("unavailable"), waits),
            (Problem::slow_body(), 408, request, json!("slow_body"), headers(&[("connection", "close")])),
        ] {
            let (was, body, told) = answered(problem).await;
            let error = &body["error"];
            assert_eq!((was, &error["type"], &error["code"], told), (status, &json!(kind), &code, named), "{body}");
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
            assert_eq!(body.as_object().unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn the_field_at_fault_is_named() {
        let body = answered(Problem::field("messages[1].content", "must be a text")).await.1;
        assert_eq!(body["error"]["param"], "messages[1].content");
        assert_eq!(answered(Problem::no_such_path("/v1/x")).await.1["error"]["param"], Value::Null);
    }
}
