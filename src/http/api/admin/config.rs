//! The configuration and the log: `/api/v1/admin/config`, `/api/v1/admin/reload`, `/api/v1/admin/log`.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tracing::level_filters::LevelFilter;

use crate::{
    app::{App, ReloadError},
    auth::Administrator,
    config::{Place, SETTINGS},
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
};

/// One key as it holds now. Keys and passwords are in files of their own; what may hold one all the same is not shown.
#[derive(Serialize)]
struct Setting {
    key: &'static str,
    /// In TOML.
    value: String,
    /// Where it was set.
    source: String,
}

#[derive(Serialize)]
struct Effective {
    version: &'static str,
    settings: Vec<Setting>,
}

#[derive(Serialize)]
struct Reloaded {
    changed: Vec<&'static str>,
    at_next_start: Vec<&'static str>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    level: String,
}

/// `GET /api/v1/admin/config`: 200, every key with its value and where that comes from.
pub(super) fn effective(app: &App) -> ApiResponse {
    let loaded = app.loaded();
    let settings = SETTINGS.iter().map(|setting| Setting {
        key: setting.key,
        value: setting.show_openly(&loaded.config),
        source: loaded.places.get(setting.key).unwrap_or(&Place::Default).to_string(),
    });
    let effective = Effective { version: env!("CARGO_PKG_VERSION"), settings: settings.collect() };
    response::json(StatusCode::OK, &effective)
}

/// `POST /api/v1/admin/reload`: 200 with the keys that changed; 422 where the configuration has faults, which it names.
pub(super) async fn reload(app: &App, caller: &Administrator) -> Result<ApiResponse, Problem> {
    tracing::info!(target: "admin", by = %caller.id(), "the configuration is to be read again");
    match app.reload().await {
        Ok(change) => {
            let reloaded = Reloaded { changed: change.changed, at_next_start: change.at_next_start };
            Ok(response::json(StatusCode::OK, &reloaded))
        }
        Err(ReloadError::Faults(faults)) => Err(Problem::field("configuration", faults)),
        Err(error @ ReloadError::NoSource) => Err(Problem::field("configuration", error)),
        Err(error @ ReloadError::Thread(_)) => Err(Problem::internal(error)),
    }
}

/// `GET /api/v1/admin/log`: 200 `{level}`.
pub(super) fn log(app: &App) -> ApiResponse {
    let level = app.log_level().unwrap_or(LevelFilter::OFF);
    response::json(StatusCode::OK, &Log { level: level.to_string() })
}

/// `PUT /api/v1/admin/log {level}`: 200; it holds until the next start, or until `log.level` changes in the configuration.
pub(super) async fn set_log(app: &App, caller: &Administrator, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let Log { level } = request.json().await?;
    let named = ["error", "warn", "info", "debug", "trace"].contains(&level.as_str());
    let parsed = level.parse::<LevelFilter>().ok().filter(|_| named);
    let parsed = parsed.ok_or_else(|| Problem::field("level", "must be error, warn, info, debug or trace"))?;
    tracing::warn!(target: "admin", by = %caller.id(), %level, "the log's level is to be set");
    app.set_log_level(parsed);
    Ok(log(app))
}
