//! Accounts and logins: `/api/v1/auth/...`.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{CONTENT_DISPOSITION, HeaderValue, SET_COOKIE},
};
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::{AuthError, Identity, NewAccount, Password},
    clock::Timestamp,
    http::{
        credentials,
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse, BrokenOff},
    },
    id::{TokenId, UserId},
    store::{ExportCursor, Role, Tier, Token, User},
    text::{DisplayName, Username},
};

/// The most characters of what a user calls a login.
const LABEL_CHARS_MAX: usize = 100;

/// An account as its owner sees it.
#[derive(Serialize)]
struct UserView<'a> {
    id: UserId,
    username: &'a str,
    display_name: &'a str,
    role: Role,
    tier: Tier,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    created_at: Timestamp,
}

#[derive(Serialize)]
struct UserAnswer<'a> {
    user: UserView<'a>,
}

#[derive(Serialize)]
struct LoginAnswer<'a> {
    token: &'a str,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    expires_at: Timestamp,
    user: UserView<'a>,
}

#[derive(Serialize)]
struct TokenView<'a> {
    id: TokenId,
    label: Option<&'a str>,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    created_at: Timestamp,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    last_used_at: Timestamp,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    expires_at: Timestamp,
    /// True for the login that asks.
    current: bool,
}

#[derive(Serialize)]
struct TokensAnswer<'a> {
    tokens: Vec<TokenView<'a>>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Registration {
    username: String,
    password: String,
    display_name: Option<String>,
    invitation: Option<String>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Credentials {
    username: String,
    password: String,
    label: Option<String>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct PasswordChange {
    current: String,
    new: String,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Confirmation {
    password: String,
}

impl<'a> From<&'a User> for UserView<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            username: &user.username,
            display_name: &user.display_name,
            role: user.role,
            tier: user.tier,
            created_at: user.created_at,
        }
    }
}

impl<'a> TokenView<'a> {
    fn of(token: &'a Token, caller: &Identity) -> Self {
        Self {
            id: token.id,
            label: token.label.as_deref(),
            created_at: token.created_at,
            last_used_at: token.last_used_at,
            expires_at: token.expires_at,
            current: token.id == caller.token(),
        }
    }
}

/// `POST /api/v1/auth/register`: 201 with the new account; 409 where the name is taken.
pub(in crate::http) async fn register(app: &App, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let body: Registration = request.json().await?;
    let display_name = body.display_name.map(DisplayName::new).transpose();
    let account = NewAccount {
        username: Username::new(&body.username).map_err(|fault| Problem::field("username", fault))?,
        password: Password::new(body.password),
        display_name: display_name.map_err(|fault| Problem::field("display_name", fault))?,
        invitation: body.invitation,
    };
    let user = app.auth.register(account).await?;
    Ok(response::json(StatusCode::CREATED, &UserAnswer { user: UserView::from(&*user) }))
}

/// `POST /api/v1/auth/login`: 200 with a new token, also as a cookie; 401 for a wrong name or password.
pub(in crate::http) async fn login(app: &App, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let (from, secure) = (request.address(), request.secure());
    let body: Credentials = request.json().await?;
    if body.label.as_ref().is_some_and(|label| label.chars().count() > LABEL_CHARS_MAX) {
        return Err(Problem::field("label", format_args!("may have at most {LABEL_CHARS_MAX} characters")));
    }
    let login = app.auth.login(from, &body.username, Password::new(body.password), body.label).await?;
    let answer = LoginAnswer { token: &login.token, expires_at: login.expires_at, user: UserView::from(&*login.user) };
    let cookie = credentials::set_cookie(&login.token, login.expires_at.since(app.clock.now()), secure);
    let mut response = response::json(StatusCode::OK, &answer);
    response.headers_mut().insert(SET_COOKIE, cookie);
    Ok(response)
}

/// `POST /api/v1/auth/logout`: 204; the login that asks has ended.
pub(in crate::http) async fn logout(app: &App, caller: &Identity, request: ApiRequest) -> Result<ApiResponse, Problem> {
    app.auth.logout(caller).await?;
    Ok(without_cookie(&request))
}

/// `GET /api/v1/auth/me`: the caller's account.
pub(in crate::http) fn me(caller: &Identity) -> ApiResponse {
    response::json(StatusCode::OK, &UserAnswer { user: UserView::from(caller.user()) })
}

/// `DELETE /api/v1/auth/me`: 204; the account and everything in it is gone.
pub(in crate::http) async fn delete_me(
    app: &App,
    caller: &Identity,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    let from = request.address();
    let gone = without_cookie(&request);
    let body: Confirmation = request.json().await?;
    app.auth.delete_account(caller, from, Password::new(body.password)).await?;
    app.chat.end_replies(caller.id());
    Ok(gone)
}

/// `POST /api/v1/auth/password`: 204; every other login of the caller has ended.
pub(in crate::http) async fn password(
    app: &App,
    caller: &Identity,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    let from = request.address();
    let body: PasswordChange = request.json().await?;
    let change = app.auth.change_password(caller, from, Password::new(body.current), Password::new(body.new)).await;
    match change {
        Ok(()) => Ok(response::no_content()),
        Err(AuthError::WeakPassword(fault)) => Err(Problem::field("new", fault)),
        Err(error) => Err(error.into()),
    }
}

/// `GET /api/v1/auth/tokens`: the caller's logins, oldest first.
pub(in crate::http) async fn tokens(app: &App, caller: &Identity) -> Result<ApiResponse, Problem> {
    let tokens = app.auth.tokens(caller).await?;
    let tokens = tokens.iter().map(|token| TokenView::of(token, caller)).collect();
    Ok(response::json(StatusCode::OK, &TokensAnswer { tokens }))
}

/// `DELETE /api/v1/auth/tokens/{id}`: 204; 404 where the caller has no such login.
pub(in crate::http) async fn end_token(
    app: &App,
    caller: &Identity,
    request: ApiRequest,
) -> Result<ApiResponse, Problem> {
    let id = request.segment("id").and_then(|id| id.parse().ok()).ok_or_else(Problem::not_found)?;
    app.auth.end_token(caller, id).await?;
    Ok(if id == caller.token() { without_cookie(&request) } else { response::no_content() })
}

/// `GET /api/v1/auth/export`: everything of the caller's, as JSON Lines that are read while they are sent.
pub(in crate::http) async fn export(app: &Arc<App>, caller: &Identity) -> Result<ApiResponse, Problem> {
    // The first part is made before the answer begins, so that a refusal still has its status.
    let Some((first, cursor)) = app.chat.export(caller, None).await? else {
        return Ok(attachment(response::lines(Bytes::new(), (), |()| async { Ok(None) })));
    };
    let (app, caller) = (Arc::clone(app), caller.clone());
    let next = move |cursor| export_part(Arc::clone(&app), caller.clone(), cursor);
    Ok(attachment(response::lines(first, cursor, next)))
}

async fn export_part(
    app: Arc<App>,
    caller: Identity,
    after: ExportCursor,
) -> Result<Option<(Bytes, ExportCursor)>, BrokenOff> {
    app.chat.export(&caller, Some(after)).await.map_err(|error| {
        tracing::error!(target: "http", user = %caller.id(), %error, "an export broke off");
        BrokenOff
    })
}

fn attachment(mut response: ApiResponse) -> ApiResponse {
    let name = HeaderValue::from_static("attachment; filename=\"bondhu-export.jsonl\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    response
}

fn without_cookie(request: &ApiRequest) -> ApiResponse {
    let mut response = response::no_content();
    response.headers_mut().insert(SET_COOKIE, credentials::clear_cookie(request.secure()));
    response
}
