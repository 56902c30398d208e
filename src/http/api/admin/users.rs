//! Accounts: `/api/v1/admin/users...`, and invitations.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    auth::{Administrator, AuthError, Password},
    clock::Timestamp,
    http::{
        problem::Problem,
        request::ApiRequest,
        response::{self, ApiResponse},
    },
    id::UserId,
    store::{AccountEdit, Holdings, Role, RosterEntry, Tier, User},
    text,
};

/// How many accounts a list has where the request does not say.
const LIST_DEFAULT: usize = 50;

/// An account as administrators see it.
#[derive(Serialize)]
struct AccountView<'a> {
    id: UserId,
    username: &'a str,
    display_name: &'a str,
    role: Role,
    tier: Tier,
    disabled: bool,
    #[serde(serialize_with = "crate::clock::rfc3339")]
    created_at: Timestamp,
    #[serde(flatten)]
    holdings: Holdings,
}

#[derive(Serialize)]
struct AccountAnswer<'a> {
    user: AccountView<'a>,
}

#[derive(Serialize)]
struct List<'a> {
    users: Vec<AccountView<'a>>,
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Invitation {
    code: String,
}

/// What is left out stays as it is.
#[derive(Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Changes {
    role: Option<Role>,
    tier: Option<Tier>,
    disabled: Option<bool>,
}

#[derive(PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: String,
}

impl<'a> From<&'a RosterEntry> for AccountView<'a> {
    fn from(RosterEntry { user, holdings }: &'a RosterEntry) -> Self {
        let User { id, username, display_name, role, tier, disabled, created_at, .. } = user;
        Self {
            id: *id,
            username,
            display_name,
            role: *role,
            tier: *tier,
            disabled: *disabled,
            created_at: *created_at,
            holdings: *holdings,
        }
    }
}

/// `GET /api/v1/admin/users?q=&cursor=&limit=`: the accounts in the order of their names, those only that begin with `q`.
pub(super) async fn list(app: &App, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let query = request.query()?;
    let limit = query.limit(LIST_DEFAULT)?;
    let prefix = query.text("q")?.map(|name| text::folded(&name)).unwrap_or_default();
    let after = query.text("cursor")?.map(std::borrow::Cow::into_owned);
    let mut entries = app.store.roster(prefix, after, limit + 1).await?; // One more tells whether any follow.
    let more = entries.len() > limit;
    entries.truncate(limit);
    let next = entries.last().filter(|_| more).map(|entry| entry.user.folded.as_str());
    let users = entries.iter().map(AccountView::from).collect();
    Ok(response::json(StatusCode::OK, &List { users, next }))
}

/// `GET /api/v1/admin/users/{id}`: one account.
pub(super) async fn get(app: &App, request: ApiRequest) -> Result<ApiResponse, Problem> {
    answer(app, id(&request)?).await
}

/// `PATCH /api/v1/admin/users/{id} {role?,tier?,disabled?}`: the account as it is then. 409 where it is the caller's own and
/// would no longer be one of an administrator: then nobody may be left who can undo it.
pub(super) async fn edit(app: &App, caller: &Administrator, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let id = id(&request)?;
    let changes: Changes = request.json().await?;
    if changes == Changes::default() {
        return Err(Problem::field("role", "missing; please add it, or tier, or disabled"));
    }
    let Changes { role, tier, disabled } = changes;
    if id == caller.id() && (role == Some(Role::User) || disabled == Some(true)) {
        return Err(Problem::own_account());
    }
    app.auth.edit_account(id, AccountEdit { role, tier, disabled }).await.map_err(worded)?;
    tracing::info!(target: "admin", by = %caller.id(), user = %id, ?role, ?tier, ?disabled, "an account was changed");
    answer(app, id).await
}

/// `POST /api/v1/admin/users/{id}/password {password}`: 204; every login of the account ends.
pub(super) async fn password(app: &App, caller: &Administrator, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let id = id(&request)?;
    let NewPassword { password } = request.json().await?;
    app.auth.reset_password(id, Password::new(password)).await.map_err(worded)?;
    tracing::info!(target: "admin", by = %caller.id(), user = %id, "a password was reset");
    Ok(response::no_content())
}

/// `DELETE /api/v1/admin/users/{id}/tokens`: 204; every login of the account ends.
pub(super) async fn end_logins(app: &App, caller: &Administrator, request: ApiRequest) -> Result<ApiResponse, Problem> {
    let id = id(&request)?;
    app.auth.end_logins(id).await.map_err(worded)?;
    tracing::info!(target: "admin", by = %caller.id(), user = %id, "all logins were ended");
    Ok(response::no_content())
}

/// `POST /api/v1/admin/invitations`: 201 with a code for one registration within seven days; it is shown this once.
pub(super) async fn invite(app: &App, caller: &Administrator) -> Result<ApiResponse, Problem> {
    let code = app.auth.invite().await?;
    tracing::info!(target: "admin", by = %caller.id(), "an invitation was made");
    Ok(response::json(StatusCode::CREATED, &Invitation { code }))
}

async fn answer(app: &App, id: UserId) -> Result<ApiResponse, Problem> {
    let entry = app.store.roster_entry(id).await?.ok_or_else(Problem::no_such_account)?;
    Ok(response::json(StatusCode::OK, &AccountAnswer { user: AccountView::from(&entry) }))
}

/// The account in the path.
fn id(request: &ApiRequest) -> Result<UserId, Problem> {
    request.segment("id").and_then(|id| id.parse().ok()).ok_or_else(Problem::no_such_account)
}

/// What is not found here is no login of the caller's.
fn worded(error: AuthError) -> Problem {
    if matches!(error, AuthError::NotFound) { Problem::no_such_account() } else { error.into() }
}
