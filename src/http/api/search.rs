//! Search: `/api/v1/search`.

use hyper::StatusCode;
use serde::Deserialize;

use crate::{
    app::App,
    auth::Identity,
    http::{
        body,
        problem::Problem,
        query,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    text::MessageText,
};

/// How many messages a search gives where the request does not say.
const LIMIT_DEFAULT: usize = 20;
/// The most characters of what is sought.
const TEXT_CHARS_MAX: usize = 500;

/// What is sought stands in the body: what people look for has no place in an address, which is kept and logged.
#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Sought {
    text: String,
    limit: Option<serde_json::Number>,
}

/// `POST /api/v1/search`: 200, the newest messages and replies of the caller that have the text, and how many have it.
pub(in crate::http) async fn search(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let Sought { text, limit } = request.json().await?;
    let text = MessageText::new(text, TEXT_CHARS_MAX).map_err(|fault| Problem::field("text", fault))?;
    let limit = match limit {
        Some(limit) => query::items(body::count(&limit))?,
        None => LIMIT_DEFAULT,
    };
    Ok(response::json(StatusCode::OK, &app.chat.find(caller, text.as_str(), limit).await?))
}
