//! The cache: `/api/v1/admin/cache`.

use std::collections::BTreeMap;

use hyper::StatusCode;

use crate::{
    app::App,
    auth::Administrator,
    http::response::{self, ApiResponse},
};

/// `GET /api/v1/admin/cache`: 200, what it holds and how it does, by kind.
pub(super) fn figures(app: &App) -> ApiResponse {
    response::json(StatusCode::OK, &BTreeMap::from(app.store.cache_figures()))
}

/// `DELETE /api/v1/admin/cache`: 200 with what it held. Nothing needs this for the truth of what is read, because the cache is
/// never stale; it gives memory back, and shows what a cold start costs.
pub(super) fn clear(app: &App, caller: &Administrator) -> ApiResponse {
    let held = app.store.clear_cache();
    tracing::info!(target: "admin", by = %caller.id(), "the cache was cleared");
    response::json(StatusCode::OK, &BTreeMap::from(held))
}
