//! Models: `/v1/models`. They are those that may make a reply, whatever model a client names: the first one does, and the
//! others where it can't.

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
    data: Vec<Model<'a>>,
}

impl<'a> Model<'a> {
    fn named(id: &'a str) -> Self {
        Self { id, object: "model", created: CREATED, owned_by: "bondhu" }
    }
}

/// `GET /v1/models`: the models that make the replies, the likeliest first.
pub(super) fn list(app: &App) -> ApiResponse {
    let data = app.chat.models().into_iter().map(Model::named).collect();
    response::json(StatusCode::OK, &List { object: "list", data })
}

/// `GET /v1/models/{model}`: one of them; 404 `model_not_found` for any other name.
pub(super) fn get(app: &App, request: &ApiRequest) -> Result<ApiResponse, Problem> {
    let name = request.segment("model").and_then(query::decode_segment);
    let model = app.chat.models().into_iter().find(|model| name.as_deref() == Some(*model));
    let model = model.ok_or_else(|| Problem::no_such_model(app.chat.model()))?;
    Ok(response::json(StatusCode::OK, &Model::named(model)))
}
