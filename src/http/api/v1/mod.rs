//! OpenAI's API: `/v1/...`, as its official clients speak it, one file for each resource.
//!
//! What is asked is read in `wire/`: strict where something is not supported, lenient where it is not known. Refusals are
//! worded by `problem/openai.rs`.

mod chunks;
mod completions;
mod conversations;
mod events;
#[cfg(any(test, fuzzing))]
pub(in crate::http) mod fuzz;
mod ids;
mod keys;
mod models;
mod paging;
mod passing;
mod responses;
mod shape;
mod stored;
mod wire;

use std::sync::Arc;

use crate::{
    app::App,
    auth::Identity,
    chat::Said,
    clock::Timestamp,
    completions::Role,
    http::{problem::Problem, request::ApiRequest, response::ApiResponse, routes::V1Endpoint},
    reply::Sampling,
};

/// Asks the handler.
pub(in crate::http) async fn serve(
    app: &Arc<App>,
    caller: &Identity,
    endpoint: V1Endpoint,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    match endpoint {
        V1Endpoint::Models => Ok(models::list(app)),
        V1Endpoint::Model => models::get(app, &request),
        V1Endpoint::Complete => completions::create(app, caller, request).await,
        V1Endpoint::Completions => stored::list(app, caller, request).await,
        V1Endpoint::Completion => stored::get(app, caller, request).await,
        V1Endpoint::EditCompletion => stored::update(app, caller, request).await,
        V1Endpoint::DeleteCompletion => stored::delete(app, caller, request).await,
        V1Endpoint::CompletionMessages => stored::messages(app, caller, request).await,
        V1Endpoint::CreateConversation => conversations::create(app, caller, request).await,
        V1Endpoint::Conversations => conversations::list(app, caller, request).await,
        V1Endpoint::Conversation => conversations::get(app, caller, request).await,
        V1Endpoint::EditConversation => conversations::update(app, caller, request).await,
        V1Endpoint::DeleteConversation => conversations::delete(app, caller, request).await,
        V1Endpoint::AddItems => conversations::add_items(app, caller, request).await,
        V1Endpoint::Items => conversations::items(app, caller, request).await,
        V1Endpoint::Item => conversations::item(app, caller, request).await,
        V1Endpoint::DeleteItem => conversations::delete_item(app, caller, request).await,
        V1Endpoint::Respond => responses::create(app, caller, request).await,
        V1Endpoint::Response => responses::get(app, caller, request).await,
        V1Endpoint::DeleteResponse => responses::delete(app, caller, request).await,
        V1Endpoint::Cancel => responses::cancel(app, caller, request).await,
        V1Endpoint::InputItems => responses::input_items(app, caller, request).await,
    }
}

/// Times are seconds since 1970 here.
fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}

/// Refuses the form that `sampling` wants, by `field`, where no model makes the replies; but helplines are given in words to
/// who says `words`, whatever form they want.
///
/// # Errors
/// 400.
fn can_have_form(app: &App, sampling: &Sampling, field: &str, words: &str) -> Result<(), Problem> {
    if sampling.response_format.is_none() || !app.chat.upstreams().is_empty() || app.chat.mentions_self_harm(words) {
        return Ok(());
    }
    let fault = "must be \"text\": the built-in companion makes the replies here, and has words only";
    Err(Problem::field(field, fault).coded("unsupported_value"))
}

/// What the user said last.
fn last_words(lines: &[Said]) -> &str {
    lines.iter().rfind(|line| line.role == Role::User).map_or("", |line| &line.text)
}

/// Most characters of a text that is stored.
fn chars_max(app: &App) -> usize {
    app.loaded().config.api.input_chars_max
}
