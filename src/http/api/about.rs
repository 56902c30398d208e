//! What a page shows before anything is said: the rules of the house, where help is found, and who reads along.

use hyper::{
    StatusCode,
    header::{CACHE_CONTROL, HeaderValue, VARY},
};
use serde::Serialize;

use crate::{
    app::App,
    config::{Config, Registration},
    http::{
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    reply::{Readers, WordedHelpline},
    store::Rendered,
};

#[derive(Serialize)]
struct About<'a> {
    service: &'static str,
    registration: Registration,
    password_min: usize,
    message_chars_max: usize,
    helplines: Vec<WordedHelpline<'a>>,
}

/// The answer of [`about`], which is the same for everyone as long as the configuration is.
pub(in crate::http) fn rendered(app: &App, config: &Config) -> Rendered {
    let about = About {
        service: "bondhu",
        registration: config.auth.registration,
        password_min: config.auth.password_min,
        message_chars_max: config.chat.message_chars_max,
        helplines: app.chat.helplines(),
    };
    Rendered::new(serde_json::to_vec(&about).expect("texts and numbers under string keys are always JSON"))
}

/// `GET /api/v1/about`: 200, what one must know who has not logged in; 304 where the client has it.
pub(in crate::http) fn about(about: &Rendered, request: ApiRequest) -> ApiResponse {
    let mut response = response::rendered(request.into_headers(), about.clone());
    // It is nobody's own, whoever asks.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response.headers_mut().remove(VARY);
    response
}

/// `GET /api/v1/replies`: 200, who is given what the caller writes.
pub(in crate::http) fn replies(app: &App) -> ApiResponse {
    response::json(StatusCode::OK, &Readers::of(&app.loaded().config.reply))
}
