//! What administrators ask and change: `/api/v1/admin/...`, one file for each resource.
//!
//! Each handler is given the proof that its caller is an administrator.

mod cache;
mod config;
mod jobs;
mod monitor;
mod users;

use std::sync::Arc;

use crate::{
    app::App,
    auth::Administrator,
    http::{problem::Problem, request::ApiRequest, response::ApiResponse, routes::AdminEndpoint},
};

/// Asks the handler.
pub(in crate::http) async fn serve(
    app: &Arc<App>,
    caller: &Administrator,
    endpoint: AdminEndpoint,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    match endpoint {
        AdminEndpoint::Monitor => monitor::series(app, &request),
        AdminEndpoint::MonitorNow => Ok(monitor::now(app)),
        AdminEndpoint::Security => Ok(monitor::security(app)),
        AdminEndpoint::Users => users::list(app, request).await,
        AdminEndpoint::User => users::get(app, request).await,
        AdminEndpoint::EditUser => users::edit(app, caller, request).await,
        AdminEndpoint::Password => users::password(app, caller, request).await,
        AdminEndpoint::EndLogins => users::end_logins(app, caller, request).await,
        AdminEndpoint::Cache => Ok(cache::figures(app)),
        AdminEndpoint::ClearCache => Ok(cache::clear(app, caller)),
        AdminEndpoint::Config => Ok(config::effective(app)),
        AdminEndpoint::Reload => config::reload(app, caller).await,
        AdminEndpoint::Log => Ok(config::log(app)),
        AdminEndpoint::SetLog => config::set_log(app, caller, request).await,
        AdminEndpoint::Invite => users::invite(app, caller).await,
        AdminEndpoint::Jobs => jobs::list(app, request).await,
        AdminEndpoint::RetryJob => jobs::retry(app, caller, request).await,
        AdminEndpoint::RemoveJob => jobs::remove(app, caller, request).await,
    }
}
