//! The route table: which method and path is which [`Endpoint`], and who may call it.
//!
//! A path is matched as it came, byte for byte: no decoding, no trailing slash, no dot segments. What is not in the
//! table is not there.

use hyper::{Method, header::HeaderValue};

use crate::auth::Scope::{self, Completions, Conversations, Models, Read};

/// What a request asks for; `service.rs` has the one `match` on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The process lives.
    Health,
    /// The process can serve.
    Ready,
    /// Every figure, for Prometheus.
    Metrics,
    /// The chat page.
    ChatPage,
    /// The dashboard: what it shows is asked for by itself, and for administrators only.
    Dashboard,
    /// The description of the API as a page.
    Docs,
    /// The description of the API.
    Description,
    /// A file of the page.
    Asset,
    /// Make an account.
    Register,
    /// Make a login.
    Login,
    /// End the login that asks.
    Logout,
    /// The caller's account.
    Me,
    /// Delete the caller's account.
    DeleteMe,
    /// Change the caller's password.
    Password,
    /// The caller's logins.
    Tokens,
    /// End one login.
    EndToken,
    /// Make an API key.
    MakeKey,
    /// The caller's API keys.
    Keys,
    /// End an API key.
    EndKey,
    /// All of the caller's data.
    Export,
    /// Make a session.
    CreateSession,
    /// The caller's sessions.
    Sessions,
    /// One session.
    Session,
    /// Change a session's title or instructions.
    EditSession,
    /// Delete a session.
    DeleteSession,
    /// Say something.
    Send,
    /// Have a message answered anew.
    Retry,
    /// End a running reply with what there is.
    Stop,
    /// What happens in one session, as it does.
    SessionEvents,
    /// What happens in all of the caller's sessions, as it does.
    Events,
    /// A page of messages.
    Page,
    /// The old client's sending.
    ChatSend,
    /// The old client's history in pairs.
    ChatHistory,
    /// The old client's clearing.
    ChatClear,
    /// The old client's search.
    ChatSearch,
    /// The old client's health check.
    ChatHealth,
    /// What one must know who has not logged in.
    About,
    /// Who makes the replies.
    Replies,
    /// What was said about something.
    Search,
    /// What only administrators may ask; `api/admin/mod.rs` has the `match` on it.
    Admin(AdminEndpoint),
    /// The API of OpenAI; `api/v1/mod.rs` has the `match` on it.
    V1(V1Endpoint),
}

/// What clients of OpenAI's API ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum V1Endpoint {
    /// The models.
    Models,
    /// One model.
    Model,
    /// A reply to what comes along.
    Complete,
    /// The stored completions.
    Completions,
    /// One of them.
    Completion,
    /// Change what is kept with it.
    EditCompletion,
    /// Delete it.
    DeleteCompletion,
    /// What it was made from.
    CompletionMessages,
    /// Make a conversation.
    CreateConversation,
    /// The conversations.
    Conversations,
    /// One of them.
    Conversation,
    /// Change what is kept with it.
    EditConversation,
    /// Delete it.
    DeleteConversation,
    /// Add items to it.
    AddItems,
    /// Its items.
    Items,
    /// One of them.
    Item,
    /// Take it out.
    DeleteItem,
    /// A reply in a conversation.
    Respond,
    /// One that is stored.
    Response,
    /// Take it away.
    DeleteResponse,
    /// End it.
    Cancel,
    /// What it was made from.
    InputItems,
}

/// What administrators ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminEndpoint {
    /// The accounts.
    Users,
    /// One account.
    User,
    /// Change an account's role, tier or state.
    EditUser,
    /// Give an account a new password.
    Password,
    /// End an account's logins.
    EndLogins,
    /// Make an invitation code.
    Invite,
    /// What the cache holds.
    Cache,
    /// Empty the cache.
    ClearCache,
    /// Every setting as it holds now.
    Config,
    /// Read the configuration again.
    Reload,
    /// The log's level.
    Log,
    /// Set the log's level.
    SetLog,
    /// The figures of the last day.
    Monitor,
    /// How things are now.
    MonitorNow,
    /// The newest security events.
    Security,
    /// The durable queue.
    Jobs,
    /// Run a parked job again.
    RetryJob,
    /// Take a job out of the queue.
    RemoveJob,
}

/// Who may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anyone.
    Public,
    /// Who proves an identity.
    User,
    /// Who proves to be an administrator.
    Admin,
    /// Who asks from this machine, or proves to be an administrator.
    Local,
}

/// One row of the table.
#[derive(Debug)]
pub struct Route {
    /// The method. `HEAD` is not listed: it is answered wherever `GET` is.
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub path: &'static str,
    /// What it asks for.
    pub endpoint: Endpoint,
    /// Who may call.
    pub access: Access,
    /// True where the call counts against the user's requests per minute.
    pub charged: bool,
    /// The scope of an API key that is enough to call it; nothing where people only may.
    pub scope: Option<Scope>,
}

/// Every call of the API.
pub static ROUTES: &[Route] = &[
    public(Method::GET, "/health", Endpoint::Health),
    public(Method::GET, "/ready", Endpoint::Ready),
    local(Method::GET, "/metrics", Endpoint::Metrics),
    public(Method::GET, "/", Endpoint::ChatPage),
    public(Method::GET, "/s/{id}", Endpoint::ChatPage),
    public(Method::GET, "/settings", Endpoint::ChatPage),
    public(Method::GET, "/dashboard", Endpoint::Dashboard),
    public(Method::GET, "/docs", Endpoint::Docs),
    public(Method::GET, "/openapi.json", Endpoint::Description),
    public(Method::GET, "/assets/{version}/{name}", Endpoint::Asset),
    public(Method::POST, "/api/v1/auth/register", Endpoint::Register),
    public(Method::POST, "/api/v1/auth/login", Endpoint::Login),
    // Whoever is over the limit may still leave; it can be called once a login.
    uncharged(Method::POST, "/api/v1/auth/logout", Endpoint::Logout),
    user(Method::GET, "/api/v1/auth/me", Endpoint::Me),
    user(Method::DELETE, "/api/v1/auth/me", Endpoint::DeleteMe),
    user(Method::POST, "/api/v1/auth/password", Endpoint::Password),
    user(Method::GET, "/api/v1/auth/tokens", Endpoint::Tokens),
    user(Method::DELETE, "/api/v1/auth/tokens/{id}", Endpoint::EndToken),
    user(Method::POST, "/api/v1/auth/keys", Endpoint::MakeKey),
    user(Method::GET, "/api/v1/auth/keys", Endpoint::Keys),
    user(Method::DELETE, "/api/v1/auth/keys/{id}", Endpoint::EndKey),
    user(Method::GET, "/api/v1/auth/export", Endpoint::Export),
    user(Method::POST, "/api/v1/sessions", Endpoint::CreateSession).by_key(Conversations),
    user(Method::GET, "/api/v1/sessions", Endpoint::Sessions).by_key(Read),
    user(Method::GET, "/api/v1/sessions/{id}", Endpoint::Session).by_key(Read),
    user(Method::PATCH, "/api/v1/sessions/{id}", Endpoint::EditSession).by_key(Conversations),
    user(Method::DELETE, "/api/v1/sessions/{id}", Endpoint::DeleteSession).by_key(Conversations),
    user(Method::POST, "/api/v1/sessions/{id}/messages", Endpoint::Send).by_key(Conversations),
    user(Method::GET, "/api/v1/sessions/{id}/messages", Endpoint::Page).by_key(Read),
    user(Method::POST, "/api/v1/sessions/{id}/messages/{seq}/retry", Endpoint::Retry).by_key(Conversations),
    // Whoever is over the limit may still stop what costs.
    uncharged(Method::POST, "/api/v1/sessions/{id}/messages/{seq}/stop", Endpoint::Stop).by_key(Conversations),
    user(Method::GET, "/api/v1/sessions/{id}/events", Endpoint::SessionEvents).by_key(Read),
    user(Method::GET, "/api/v1/events", Endpoint::Events).by_key(Read),
    user(Method::POST, "/api/v1/chat/send", Endpoint::ChatSend).by_key(Conversations),
    user(Method::GET, "/api/v1/chat/history", Endpoint::ChatHistory).by_key(Read),
    user(Method::GET, "/api/v1/chat/history/{user_id}", Endpoint::ChatHistory).by_key(Read),
    user(Method::DELETE, "/api/v1/chat/history", Endpoint::ChatClear).by_key(Conversations),
    user(Method::DELETE, "/api/v1/chat/history/{user_id}", Endpoint::ChatClear).by_key(Conversations),
    user(Method::GET, "/api/v1/chat/search", Endpoint::ChatSearch).by_key(Read),
    user(Method::GET, "/api/v1/chat/search/{user_id}", Endpoint::ChatSearch).by_key(Read),
    public(Method::GET, "/api/v1/chat/health", Endpoint::ChatHealth),
    public(Method::GET, "/api/v1/about", Endpoint::About),
    user(Method::GET, "/api/v1/replies", Endpoint::Replies).by_key(Read),
    user(Method::POST, "/api/v1/search", Endpoint::Search).by_key(Read),
    admin(Method::GET, "/api/v1/admin/users", AdminEndpoint::Users),
    admin(Method::GET, "/api/v1/admin/users/{id}", AdminEndpoint::User),
    admin(Method::PATCH, "/api/v1/admin/users/{id}", AdminEndpoint::EditUser),
    admin(Method::POST, "/api/v1/admin/users/{id}/password", AdminEndpoint::Password),
    admin(Method::DELETE, "/api/v1/admin/users/{id}/tokens", AdminEndpoint::EndLogins),
    admin(Method::POST, "/api/v1/admin/invitations", AdminEndpoint::Invite),
    admin(Method::GET, "/api/v1/admin/cache", AdminEndpoint::Cache),
    admin(Method::DELETE, "/api/v1/admin/cache", AdminEndpoint::ClearCache),
    admin(Method::GET, "/api/v1/admin/config", AdminEndpoint::Config),
    admin(Method::POST, "/api/v1/admin/reload", AdminEndpoint::Reload),
    admin(Method::GET, "/api/v1/admin/log", AdminEndpoint::Log),
    admin(Method::PUT, "/api/v1/admin/log", AdminEndpoint::SetLog),
    admin(Method::GET, "/api/v1/admin/monitor", AdminEndpoint::Monitor),
    admin(Method::GET, "/api/v1/admin/monitor/now", AdminEndpoint::MonitorNow),
    admin(Method::GET, "/api/v1/admin/security", AdminEndpoint::Security),
    admin(Method::GET, "/api/v1/admin/jobs", AdminEndpoint::Jobs),
    admin(Method::POST, "/api/v1/admin/jobs/{id}/retry", AdminEndpoint::RetryJob),
    admin(Method::DELETE, "/api/v1/admin/jobs/{id}", AdminEndpoint::RemoveJob),
    v1(Method::GET, "/v1/models", V1Endpoint::Models).by_key(Models),
    v1(Method::GET, "/v1/models/{model}", V1Endpoint::Model).by_key(Models),
    v1(Method::POST, "/v1/chat/completions", V1Endpoint::Complete).by_key(Completions),
    v1(Method::GET, "/v1/chat/completions", V1Endpoint::Completions).by_key(Read),
    v1(Method::GET, "/v1/chat/completions/{id}", V1Endpoint::Completion).by_key(Read),
    v1(Method::POST, "/v1/chat/completions/{id}", V1Endpoint::EditCompletion).by_key(Conversations),
    v1(Method::DELETE, "/v1/chat/completions/{id}", V1Endpoint::DeleteCompletion).by_key(Conversations),
    v1(Method::GET, "/v1/chat/completions/{id}/messages", V1Endpoint::CompletionMessages).by_key(Read),
    v1(Method::POST, "/v1/conversations", V1Endpoint::CreateConversation).by_key(Conversations),
    v1(Method::GET, "/v1/conversations", V1Endpoint::Conversations).by_key(Read),
    v1(Method::GET, "/v1/conversations/{id}", V1Endpoint::Conversation).by_key(Read),
    v1(Method::POST, "/v1/conversations/{id}", V1Endpoint::EditConversation).by_key(Conversations),
    v1(Method::DELETE, "/v1/conversations/{id}", V1Endpoint::DeleteConversation).by_key(Conversations),
    v1(Method::POST, "/v1/conversations/{id}/items", V1Endpoint::AddItems).by_key(Conversations),
    v1(Method::GET, "/v1/conversations/{id}/items", V1Endpoint::Items).by_key(Read),
    v1(Method::GET, "/v1/conversations/{id}/items/{item_id}", V1Endpoint::Item).by_key(Read),
    v1(Method::DELETE, "/v1/conversations/{id}/items/{item_id}", V1Endpoint::DeleteItem).by_key(Conversations),
    v1(Method::POST, "/v1/responses", V1Endpoint::Respond).by_key(Conversations),
    v1(Method::GET, "/v1/responses/{id}", V1Endpoint::Response).by_key(Read),
    v1(Method::DELETE, "/v1/responses/{id}", V1Endpoint::DeleteResponse).by_key(Conversations),
    // Whoever is over the limit may still stop what costs.
    uncharged(Method::POST, "/v1/responses/{id}/cancel", Endpoint::V1(V1Endpoint::Cancel)).by_key(Conversations),
    v1(Method::GET, "/v1/responses/{id}/input_items", V1Endpoint::InputItems).by_key(Read),
];

const fn public(method: Method, path: &'static str, endpoint: Endpoint) -> Route {
    Route { method, path, endpoint, access: Access::Public, charged: false, scope: None }
}

const fn local(method: Method, path: &'static str, endpoint: Endpoint) -> Route {
    Route { method, path, endpoint, access: Access::Local, charged: false, scope: None }
}

/// For people only, unless the row goes on with [`Route::by_key`].
const fn user(method: Method, path: &'static str, endpoint: Endpoint) -> Route {
    Route { method, path, endpoint, access: Access::User, charged: true, scope: None }
}

const fn uncharged(method: Method, path: &'static str, endpoint: Endpoint) -> Route {
    Route { method, path, endpoint, access: Access::User, charged: false, scope: None }
}

/// Whoever watches a server asks it often: not charged.
const fn admin(method: Method, path: &'static str, endpoint: AdminEndpoint) -> Route {
    Route { method, path, endpoint: Endpoint::Admin(endpoint), access: Access::Admin, charged: false, scope: None }
}

const fn v1(method: Method, path: &'static str, endpoint: V1Endpoint) -> Route {
    Route { method, path, endpoint: Endpoint::V1(endpoint), access: Access::User, charged: true, scope: None }
}

/// True for what is asked for by OpenAI's API, whether or not the table has it.
pub(super) fn is_v1(path: &str) -> bool {
    path.strip_prefix("/v1").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Route {
    /// A row that API keys with this scope may call, too.
    const fn by_key(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// The segment of `path` that stands where the table has `{name}`; nothing where the table has no such name.
    pub(super) fn segment<'p>(&self, path: &'p str, name: &str) -> Option<&'p str> {
        let is_it = |template: &str| template.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name);
        self.path.split('/').zip(path.split('/')).find_map(|(template, segment)| is_it(template).then_some(segment))
    }
}

/// What the table says about a method and a path.
#[derive(Debug)]
pub(super) enum Found<'t> {
    /// This row.
    Route(&'static Route),
    /// The path is there, but not with this method.
    OtherMethods(&'t Methods),
    /// There is no such path.
    Nothing,
}

/// Calls of OpenAI's API that this server does not have, where the table takes their names for ids.
const NOT_HERE: [&str; 2] = ["/v1/responses/input_tokens", "/v1/responses/compact"];

/// The table, ready for look-ups.
pub(super) struct Routes {
    paths: matchit::Router<Methods>,
}

/// What one path offers.
#[derive(Debug)]
pub(super) struct Methods {
    /// As the table has it.
    pub(super) path: &'static str,
    /// The value of `Allow`.
    pub(super) allow: HeaderValue,
    routes: Vec<&'static Route>,
}

impl Routes {
    pub(super) fn new() -> Self {
        let mut paths = matchit::Router::new();
        for (n, route) in ROUTES.iter().enumerate() {
            if ROUTES[..n].iter().all(|before| before.path != route.path) {
                paths.insert(route.path, Methods::of(route.path)).expect("a test looks up every row of the table");
            }
        }
        Self { paths }
    }

    /// Finds the row; `HEAD` finds the row of `GET`. Allocates nothing.
    pub(super) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let Ok(found) = self.paths.at(path) else { return Found::Nothing };
        let method = if method == Method::HEAD { &Method::GET } else { method };
        match found.value.routes.iter().find(|route| route.method == *method) {
            Some(route) => Found::Route(route),
            None if NOT_HERE.contains(&path) => Found::Nothing,
            None => Found::OtherMethods(found.value),
        }
    }
}

impl Methods {
    fn of(path: &'static str) -> Self {
        let routes: Vec<_> = ROUTES.iter().filter(|route| route.path == path).collect();
        let mut names: Vec<_> = routes.iter().map(|route| route.method.as_str()).collect();
        if let Some(get) = names.iter().position(|name| *name == "GET") {
            names.insert(get + 1, "HEAD");
        }
        let allow = HeaderValue::from_str(&names.join(", ")).expect("the names of methods are tokens");
        Self { path, allow, routes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0197b1c2-7a3e-7c4d-9b1a-2f3e4d5c6b7a";

    #[test]
    fn every_row_is_found_by_its_method_and_path_and_no_two_are_alike() {
        let routes = Routes::new();
        for route in ROUTES {
            let path = route.path.replace("{id}", ID).replace("{user_id}", "me").replace("{seq}", "1");
            let Found::Route(found) = routes.find(&route.method, &path) else { panic!("{path} is not found") };
            assert!(std::ptr::eq(found, route), "{path} found {}", found.path);
        }
    }

    #[test]
    fn head_finds_get_and_other_methods_are_told_what_the_path_has() {
        let routes = Routes::new();
        let path = format!("/api/v1/sessions/{ID}/messages");
        let Found::Route(route) = routes.find(&Method::HEAD, &path) else { panic!("no HEAD") };
        assert_eq!(route.endpoint, Endpoint::Page);
        assert_eq!(route.segment(&path, "id"), Some(ID));
        assert_eq!(route.segment(&path, "seq"), None);
        let Found::OtherMethods(methods) = routes.find(&Method::TRACE, &path) else { panic!("TRACE is found") };
        assert_eq!(methods.allow, "POST, GET, HEAD");
        let Found::OtherMethods(methods) = routes.find(&Method::HEAD, "/api/v1/auth/login") else { panic!("HEAD") };
        assert_eq!(methods.allow, "POST");
    }

    #[test]
    fn what_only_looks_like_a_path_of_the_table_is_not_there() {
        let routes = Routes::new();
        for path in [
            "",
            "//",
            "/s",
            "/s/",
            "/assets/1/2/3",
            "//health",
            "/health/",
            "/Health",
            "/%68ealth",
            "/api/v1/../../health",
            "/api/v1/sessions//messages",
        ] {
            assert!(matches!(routes.find(&Method::GET, path), Found::Nothing), "{path:?} is found");
        }
    }
}
