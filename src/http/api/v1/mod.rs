//! OpenAI's API: `/v1/...`, as its official clients speak it, one file for each resource.
//!
//! What is asked is read in `wire/`: strict where something is not supported, lenient where it is not known. Refusals are
//! worded by `problem/openai.rs`.

mod chunks;
mod completions;
mod ids;
mod models;
mod wire;

use std::sync::Arc;

use crate::{
    app::App,
    auth::Identity,
    clock::Timestamp,
    http::{problem::Problem, request::ApiRequest, response::ApiResponse, routes::V1Endpoint},
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
    }
}

/// Times are seconds since 1970 here.
fn seconds(time: Timestamp) -> i64 {
    time.0.div_euclid(1_000_000)
}
