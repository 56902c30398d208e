//! Search: `/api/v1/search`.

use hyper::StatusCode;
use serde::Deserialize;

use crate::{
    app::App,
    auth::Identity,
    http::{
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

/// The largest number up to which every whole one has a floating-point form of its own.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

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
        Some(limit) => query::items(limit.as_u64().or_else(|| whole(&limit)))?,
        None => LIMIT_DEFAULT,
    };
    Ok(response::json(StatusCode::OK, &app.chat.find(caller, text.as_str(), limit).await?))
}

/// The whole number that is written with a point, as `26.0`: JSON has one kind of number, and some libraries write all so.
fn whole(number: &serde_json::Number) -> Option<u64> {
    let value = number.as_f64().filter(|value| (0.0..=EXACT_MAX).contains(value) && value.fract() == 0.0)?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in bounds")]
    Some(value as u64)
}
