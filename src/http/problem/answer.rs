//! A problem as `application/problem+json`.

use std::time::Duration;

use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde::Serialize;

use super::{DEAD_TOKEN, Problem};
use crate::{
    http::response::{ApiResponse, Body},
    id::{MessageId, SessionId},
};

impl Problem {
    /// The answer; `request_id` is in its body too, so that a person can quote it.
    pub(in crate::http) fn respond(&self, request_id: &str) -> ApiResponse {
        let (session_id, message_id) = self.turn.as_deref().copied().unzip();
        let members = Members {
            kind: format!("urn:bondhu:problem:{}", self.kind.slug),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            request_id,
            session_id,
            message_id,
        };
        let json = serde_json::to_vec(&members).expect("strings and numbers always become JSON");
        let mut response = Response::new(Body::from(Bytes::from(json)));
        *response.status_mut() = self.kind.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.mark(headers);
        response
    }

    /// The headers that say what a client can do about it, whatever the body is.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.kind.status == StatusCode::UNAUTHORIZED {
            let challenge = if *self.kind == DEAD_TOKEN { "Bearer error=\"invalid_token\"" } else { "Bearer" };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// The members of the JSON.
#[derive(Serialize)]
struct Members<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<MessageId>,
}

/// At least one second, rounded up: who waits that long is not refused for coming too early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}
