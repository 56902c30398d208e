//! Models: `/v1/models`. There is one, which makes all replies, whatever model a client names.

use hyper::StatusCode;
use serde::Serialize;

use crate::{
    app::App,
    http::{
        problem::Problem,
        query,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
};

/// When the model was made is not known.
const CREATED: i64 = 0;

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
}

#[derive(Serialize)]
struct List<'a> {
    object: &'static str,
    data: [Model<'a>; 1],
}

fn model(app: &App) -> Model<'_> {
    Model { id: app.chat.model(), object: "model", created: CREATED, owned_by: "bondhu" }
}

/// `GET /v1/models`: the model that makes the replies.
pub(super) fn list(app: &App) -> ApiResponse {
    response::json(StatusCode::OK, &List { object: "list", data: [model(app)] })
}

/// `GET /v1/models/{model}`: that model; 404 `model_not_found` for any other name.
pub(super) fn get(app: &App, request: &ApiRequest) -> Result<ApiResponse, Problem> {
    let model = model(app);
    let name = request.segment("model").and_then(query::decode_segment);
    if name.as_deref() != Some(model.id) {
        return Err(Problem::no_such_model(model.id));
    }
    Ok(response::json(StatusCode::OK, &model))
}
