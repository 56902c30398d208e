//! By what a repeat of a request is known: the client's own key, or its library's word that it asks again.

use hyper::header::HeaderName;

use crate::{
    chat::{Asking, Key},
    http::{handover::Presence, problem::Problem, request::ApiRequest, response::ApiResponse},
};

/// How often a client's library has asked before, as the official ones say it.
const RETRIES: HeaderName = HeaderName::from_static("x-stainless-retry-count");

/// What the head of a request says of its repetition.
pub(super) struct Repetition {
    key: Option<String>,
    is_retry: bool,
}

impl Repetition {
    /// Of a request.
    ///
    /// # Errors
    /// 400 where its `Idempotency-Key` is none.
    pub(super) fn of(request: &ApiRequest) -> Result<Self, Problem> {
        let retries = request.headers().get(RETRIES).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        Ok(Self { key: request.idempotency_key()?, is_retry: retries.is_some_and(|retries| retries > 0) })
    }

    /// The key of what was asked, whose digest this is.
    pub(super) fn key(&self, digest: [u8; 32]) -> Key<'_> {
        match &self.key {
            Some(key) => Key::Request(key, digest),
            None => Key::Retried { digest, is_retry: self.is_retry, tag: [0; 16] },
        }
    }
}

/// Does `work` for a request that is known by what `asking` says, and notes when it has its answer: soon after that a retry
/// with the same words is of another request.
pub(super) async fn answered(
    presence: &Presence,
    asking: Asking<'_>,
    work: impl Future<Output = Result<ApiResponse, Problem>>,
) -> Result<ApiResponse, Problem> {
    let (answer, is_there) = presence.beside(work).await;
    if answer.is_ok() && is_there {
        asking.is_answered();
    }
    answer
}
