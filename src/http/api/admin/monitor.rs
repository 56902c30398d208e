//! What the dashboard shows: `/api/v1/admin/monitor...` and `/api/v1/admin/security`.

use hyper::StatusCode;
use serde::Serialize;

use crate::{
    app::App,
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    monitor::SecurityEvent,
};

#[derive(Serialize)]
struct Security {
    events: Vec<SecurityEvent>,
}

/// `GET /api/v1/admin/monitor`: 200 with the samples of the last day, or of a part of it; 422 for what is no number.
pub(super) fn series(app: &App, request: &ApiRequest) -> Result<ApiResponse, Problem> {
    let query = request.query()?;
    let (since, until, step) = (query.number("since_ms")?, query.number("until_ms")?, query.number("step_ms")?);
    Ok(response::json(StatusCode::OK, &app.monitor.series(since, until, step)))
}

/// `GET /api/v1/admin/monitor/now`: 200 with the newest sample, how the alerts stand, and what runs.
pub(super) fn now(app: &App) -> ApiResponse {
    response::json(StatusCode::OK, &app.monitor.now())
}

/// `GET /api/v1/admin/security`: 200 with the newest security events, newest first.
pub(super) fn security(app: &App) -> ApiResponse {
    response::json(StatusCode::OK, &Security { events: app.monitor.security() })
}
