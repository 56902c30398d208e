//! What probes ask: whether the process lives, and whether it can serve.

use hyper::StatusCode;
use serde::Serialize;

use crate::{
    admission::slots::Gauges,
    app::App,
    http::response::{self, ApiResponse},
    reply::UpstreamState,
    store::Health,
};

#[derive(Serialize)]
struct Alive {
    status: &'static str,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    parts: Parts,
}

#[derive(Serialize)]
struct Parts {
    store: &'static str,
    replies: Replies,
    /// The servers that are asked for replies, in their order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    upstreams: Vec<UpstreamState>,
    streams: usize,
}

#[derive(Serialize)]
struct Replies {
    /// Turns that are being answered or wait for their session's earlier ones.
    running: usize,
    /// Slots: how many there may be now, how many are taken, and how many turns wait for one.
    limit: usize,
    held: usize,
    waiting: usize,
}

/// `GET /health`: 200 as long as requests are answered at all; asks nothing and nobody.
pub(in crate::http) fn alive() -> ApiResponse {
    response::json(StatusCode::OK, &Alive { status: "healthy" })
}

/// `GET /ready`: 200 where the server can do everything, 503 where it can't; and how each part stands.
pub(in crate::http) fn ready(app: &App) -> ApiResponse {
    let (code, status, store) = match app.store.health() {
        Health::Ready => (StatusCode::OK, "ready", "ready"),
        Health::DiskFull => (StatusCode::SERVICE_UNAVAILABLE, "not ready", "disk full"),
        Health::Failed => (StatusCode::SERVICE_UNAVAILABLE, "not ready", "failed"),
    };
    let Gauges { limit, held, waiting } = app.slots.gauges();
    let replies = Replies { running: app.chat.running(), limit, held, waiting };
    let parts = Parts { store, replies, upstreams: app.chat.upstreams(), streams: app.store.subscriptions() };
    response::json(code, &Readiness { status, parts })
}
