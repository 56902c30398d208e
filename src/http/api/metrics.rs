//! `GET /metrics`: every figure as text for Prometheus.

use bytes::Bytes;
use hyper::{
    Response,
    header::{CONTENT_TYPE, HeaderValue},
};

use crate::{
    app::App,
    http::{
        counts::RouteCounts,
        response::{ApiResponse, Body},
    },
};

/// 200; walks over nothing, and blocks for nothing.
pub(in crate::http) fn metrics(app: &App, routes: &RouteCounts) -> ApiResponse {
    let mut text = app.monitor.expose();
    routes.expose(&mut text);
    let mut response = Response::new(Body::from(Bytes::from(text.finish())));
    let content_type = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
