//! API keys: `/api/v1/auth/keys`. People only make, list and end them.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::{ApiKey, Identity, KeyLifetime, MadeKey, NewKey, Scope, Scopes},
    clock::Timestamp,
    http::{
        body,
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    id::TokenId,
    text::KeyName,
};

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    name: String,
    scopes: Vec<Scope>,
    expires_in_days: Option<serde_json::Number>,
}

#[derive(Serialize)]
struct MadeView<'a> {
    key: &'a str,
    id: TokenId,
    name: &'a str,
    scopes: Scopes,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    created_at: Timestamp,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    expires_at: Timestamp,
}

#[derive(Serialize)]
struct KeyView<'a> {
    id: TokenId,
    name: &'a str,
    scopes: Scopes,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    created_at: Timestamp,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    expires_at: Timestamp,
    #[serde(serialize_with = "crate::clock::rfc3339_or_null")]
    last_used_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct KeysAnswer<'a> {
    keys: Vec<KeyView<'a>>,
}

impl<'a> From<&'a ApiKey> for KeyView<'a> {
    fn from(key: &'a ApiKey) -> Self {
        Self {
            id: key.id,
            name: &key.name,
            scopes: key.scopes,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
        }
    }
}

/// `POST /api/v1/auth/keys {name, scopes, expires_in_days?}`: 201 with the key, whose secret is told this once; 409 where the
/// caller has as many as one may have.
pub(in crate::http) async fn make(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let Wanted { name, scopes, expires_in_days } = request.json().await?;
    if scopes.is_empty() {
        return Err(Problem::field("scopes", format_args!("must name at least one of {}", names())));
    }
    let days = match expires_in_days {
        Some(days) => body::count(&days).and_then(|days| days.try_into().ok()),
        None => Some(KeyLifetime::DAYS_DEFAULT),
    };
    let lifetime = days.and_then(KeyLifetime::days).ok_or_else(|| {
        Problem::field("expires_in_days", format_args!("must be from 1 to {}", KeyLifetime::DAYS_MAX))
    })?;
    let name = KeyName::new(name).map_err(|fault| Problem::field("name", fault))?;
    let new = NewKey { name, scopes: Scopes::of(&scopes), lifetime };
    let MadeKey { secret, key } = app.auth.make_key(caller, new).await?;
    let ApiKey { id, name, scopes, created_at, expires_at, last_used_at: _ } = &key;
    let (id, scopes, created_at, expires_at) = (*id, *scopes, *created_at, *expires_at);
    let view = MadeView { key: &secret, id, name, scopes, created_at, expires_at };
    Ok(response::json(StatusCode::CREATED, &view))
}

/// `GET /api/v1/auth/keys`: the caller's keys, oldest first.
pub(in crate::http) async fn list(app: &App, caller: &Identity) -> Result<ApiResponse, Problem> {
    let keys = app.auth.keys(caller).await?;
    Ok(response::json(StatusCode::OK, &KeysAnswer { keys: keys.iter().map(KeyView::from).collect() }))
}

/// `DELETE /api/v1/auth/keys/{id}`: 204; 404 where the caller has no such key.
pub(in crate::http) async fn end(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let id = request.segment("id").and_then(|id| id.parse().ok()).ok_or_else(Problem::not_found)?;
    app.auth.end_key(caller, id).await?;
    Ok(response::no_content())
}

/// Every scope there is, for a person.
fn names() -> String {
    Scope::ALL.map(Scope::name).join(", ")
}
