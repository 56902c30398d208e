//! One request, start to finish: its id, its route, its identity, its handler, its answer and its one line in the log.

use std::{
    future::poll_fn,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Instant,
};

use arc_swap::ArcSwap;
use hyper::{
    HeaderMap, Method, Request,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{
    api::{about, admin, auth, chat, events, health, keys, messages, metrics, pages, search, sessions, v1},
    body::Bounds,
    counts::{self, RouteCounts},
    credentials::{self, Shown},
    origin::{self, Origins, Site},
    problem::Problem,
    repeats::{Place, RATE_LIMITED, Repeats},
    request::ApiRequest,
    response::{self, ApiResponse},
    routes::{self, Access, Endpoint, Found, Methods, Route, Routes},
    server::Peer,
    unread::RequestBody,
};
use crate::{
    app::App, auth::Identity, config::Loaded, id::UserId, metrics::Wait, monitor::SecurityEvent, store::Rendered,
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The most of a method's name that the log shows, characters.
const METHOD_MAX: usize = 16;

/// What all requests share.
pub(super) struct Front {
    app: Arc<App>,
    routes: Routes,
    counts: RouteCounts,
    rules: ArcSwap<Rules>,
    bounds: Bounds,
    /// Those of bodies under `/v1`.
    bounds_v1: Bounds,
    listening_on: IpAddr,
    /// The last request id. Starts at a random multiple of 2^32, so that two runs don't use the same ids.
    last_id: AtomicU64,
    /// What is told of in one line for many.
    repeats: Arc<Repeats>,
}

/// What follows from the configuration and may change with it.
struct Rules {
    /// The configuration that it follows from.
    of: Arc<Loaded>,
    origins: Origins,
    /// The answer of `GET /api/v1/about`.
    about: Rendered,
}

impl Rules {
    fn new(app: &App, listening_on: IpAddr) -> Self {
        let of = Arc::clone(&app.loaded());
        let origins = Origins::new(&of.config.server, listening_on);
        Self { origins, about: about::rendered(app, &of.config), of }
    }
}

/// Names one request in its answer and in the log: 16 hex digits.
struct RequestId([u8; 16]);

impl RequestId {
    fn new(number: u64) -> Self {
        let mut digits = [0; 16];
        for (digit, nibble) in digits.iter_mut().zip((0..16).rev().map(|place| number >> (4 * place) & 0xf)) {
            *digit = b"0123456789abcdef"[usize::try_from(nibble).expect("it has 4 bits")];
        }
        Self(digits)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

/// What becomes known about a request, for its line in the log.
struct Record {
    id: RequestId,
    /// The route's template, never the path itself: ids in paths stay out of the log.
    path: &'static str,
    user: Option<UserId>,
    address: IpAddr,
    /// The other end of the connection, whoever it speaks for.
    peer: Peer,
    /// What its latency is compared with.
    wait: Option<Wait>,
    /// True where refusals are worded as OpenAI's.
    is_v1: bool,
}

impl Front {
    pub(super) fn new(app: Arc<App>, listening_on: IpAddr) -> Self {
        let (bounds, bounds_v1) = {
            let config = &app.loaded().config;
            let bounds = Bounds { max: config.server.body_max, within: config.server.body_timeout };
            (bounds, Bounds { max: config.api.body_max, ..bounds })
        };
        // An id is no secret: where the system gives no randomness, the process id keeps two runs apart.
        let run = getrandom::u32().unwrap_or_else(|_| std::process::id());
        Self {
            routes: Routes::new(),
            counts: RouteCounts::new(),
            rules: ArcSwap::from_pointee(Rules::new(&app, listening_on)),
            bounds,
            bounds_v1,
            listening_on,
            last_id: AtomicU64::new(u64::from(run) << 32),
            repeats: Arc::default(),
            app,
        }
    }

    /// Answers one request, whatever happens.
    pub(super) async fn answer(&self, peer: Peer, request: Box<Request<RequestBody>>) -> ApiResponse {
        let started = Instant::now();
        let rules = self.rules();
        let client = rules.origins.client(peer, request.headers());
        let id = RequestId::new(self.last_id.fetch_add(1, Ordering::Relaxed));
        let wait = Some(Wait::Data);
        let is_v1 = routes::is_v1(request.uri().path());
        let mut record = Record { id, path: counts::NO_ROUTE, user: None, address: client.address, peer, wait, is_v1 };
        let method = request.method().clone();
        let cors = rules.origins.listed(request.headers()).cloned();
        let mut response = match self.guarded(&rules, client, request, &mut record).await {
            Ok(response) => response,
            Err(problem) => {
                self.report(&record, &problem);
                record.refuse(&problem)
            }
        };
        rules.origins.allow(cors.as_ref(), response.headers_mut());
        record.finish(response.headers_mut());
        let (status, took) = (response.status().as_u16(), started.elapsed());
        self.app.requests.answered(status, record.wait, took);
        self.counts.answered(record.path, status);
        tracing::info!(
            target: "http",
            method = name_of(&method),
            path = record.path,
            status,
            ms = f64::from(u32::try_from(took.as_micros()).unwrap_or(u32::MAX)) / 1000.0,
            user = record.user.map(tracing::field::display),
            address = %record.address,
            request_id = record.id.as_str(),
        );
        response
    }

    /// The rules of the configuration that holds now.
    fn rules(&self) -> Arc<Rules> {
        let rules = self.rules.load();
        if Arc::ptr_eq(&rules.of, &self.app.loaded()) {
            return Arc::clone(&rules);
        }
        let rules = Arc::new(Rules::new(&self.app, self.listening_on));
        self.rules.store(Arc::clone(&rules));
        rules
    }

    /// [`Front::respond`] under the deadline. What a request began in the store goes on without it.
    async fn guarded(
        &self,
        rules: &Rules,
        client: Peer,
        request: Box<Request<RequestBody>>,
        record: &mut Record,
    ) -> Result<ApiResponse, Problem> {
        let work = pin!(self.respond(rules, client, request, record));
        let mut work = caught(work);
        // What has its answer at once, as most reads do, needs no timer.
        if let Poll::Ready(answer) = poll_fn(|cx| Poll::Ready(Pin::new(&mut work).poll(cx))).await {
            return answer;
        }
        let answer = tokio::time::timeout(rules.of.config.server.request_timeout, work).await;
        answer.unwrap_or_else(|_| Err(Problem::timed_out()))
    }

    async fn respond(
        &self,
        rules: &Rules,
        client: Peer,
        request: Box<Request<RequestBody>>,
        record: &mut Record,
    ) -> Result<ApiResponse, Problem> {
        let found = self.routes.find(request.method(), request.uri().path());
        if let Found::Route(route) = found {
            (record.path, record.wait) = (route.path, counts::wait_of(route.endpoint));
            if route.endpoint == Endpoint::Health {
                return Ok(health::alive()); // Whatever name it is asked by: probes know addresses only.
            }
        }
        let host = rules.origins.host(request.uri(), request.headers())?;
        let route = match found {
            Found::Route(route) => route,
            Found::OtherMethods(methods) => return Ok(other_method(rules, &request, methods, record)),
            Found::Nothing => return Err(Problem::no_such_path(request.uri().path())),
        };
        let caller = match route.access {
            Access::User | Access::Admin => {
                let shown = if matches!(route.endpoint, Endpoint::V1(_)) {
                    // What a browser adds by itself is not taken here: apps show their key themselves.
                    let token = credentials::bearer(request.headers())?.ok_or_else(Problem::no_identity)?;
                    Shown { token, by_cookie: false }
                } else {
                    shown(&request, client, host)?
                };
                Some(self.identify(shown, request.headers(), route, record).await?)
            }
            Access::Local if origin::is_of_this_machine(record.peer, request.headers()) => None,
            Access::Local => {
                let shown = shown(&request, client, host)?;
                let caller = self.identify(shown, request.headers(), route, record).await?;
                caller.clone().administrator()?;
                Some(caller)
            }
            Access::Public => {
                refuse_other_sites(rules, &request, host)?;
                None
            }
        };
        let bounds = if record.is_v1 { self.bounds_v1 } else { self.bounds };
        let request = ApiRequest::new(request, route, client, bounds);
        self.serve(rules, route.endpoint, caller.as_ref(), request).await
    }

    /// Asks the handler. The big futures are boxed, so that a connection that only reads stays small.
    async fn serve(
        &self,
        rules: &Rules,
        endpoint: Endpoint,
        caller: Option<&Identity>,
        request: ApiRequest,
    ) -> Result<ApiResponse, Problem> {
        let app = &self.app;
        let own = || caller.ok_or_else(Problem::no_identity); // Fails closed where the table says less than this match.
        match endpoint {
            Endpoint::Health => Ok(health::alive()),
            Endpoint::Ready => Ok(health::ready(app)),
            Endpoint::Metrics => Ok(metrics::metrics(app, &self.counts)),
            Endpoint::ChatHealth => Ok(chat::health(app)),
            Endpoint::ChatPage => Ok(pages::chat_page(&request)),
            Endpoint::Dashboard => Ok(pages::dashboard(&request)),
            Endpoint::Docs => Ok(pages::docs(&request)),
            Endpoint::Description => Ok(pages::description(&request)),
            Endpoint::Asset => pages::asset(&request),
            Endpoint::About => Ok(about::about(&rules.about, request)),
            Endpoint::Register => Box::pin(auth::register(app, request)).await,
            Endpoint::Login => Box::pin(auth::login(app, request)).await,
            Endpoint::Logout => Box::pin(auth::logout(app, own()?, request)).await,
            Endpoint::Me => Ok(auth::me(own()?)),
            Endpoint::DeleteMe => Box::pin(auth::delete_me(app, own()?, request)).await,
            Endpoint::Password => Box::pin(auth::password(app, own()?, request)).await,
            Endpoint::Tokens => Box::pin(auth::tokens(app, own()?)).await,
            Endpoint::EndToken => Box::pin(auth::end_token(app, own()?, request)).await,
            Endpoint::MakeKey => Box::pin(keys::make(app, own()?, request)).await,
            Endpoint::Keys => Box::pin(keys::list(app, own()?)).await,
            Endpoint::EndKey => Box::pin(keys::end(app, own()?, request)).await,
            Endpoint::Export => Box::pin(auth::export(app, own()?)).await,
            Endpoint::CreateSession => Box::pin(sessions::create(app, own()?, request)).await,
            Endpoint::Sessions => Box::pin(sessions::list(app, own()?, request)).await,
            Endpoint::Session => Box::pin(sessions::get(app, own()?, request)).await,
            Endpoint::EditSession => Box::pin(sessions::edit(app, own()?, request)).await,
            Endpoint::DeleteSession => Box::pin(sessions::delete(app, own()?, request)).await,
            Endpoint::Send => Box::pin(messages::send(app, own()?, request)).await,
            Endpoint::Retry => Box::pin(messages::retry(app, own()?, request)).await,
            Endpoint::Stop => Box::pin(messages::stop(app, own()?, request)).await,
            Endpoint::SessionEvents => Box::pin(events::of_session(app, own()?, request)).await,
            Endpoint::Events => Box::pin(events::of_user(app, own()?, request)).await,
            Endpoint::Page => messages::page(app, own()?, request).await,
            Endpoint::ChatSend => Box::pin(chat::send(app, own()?, request)).await,
            Endpoint::ChatHistory => chat::history(app, own()?, request).await,
            Endpoint::ChatClear => Box::pin(chat::clear(app, own()?, request)).await,
            Endpoint::ChatSearch => Box::pin(chat::search(app, own()?, request)).await,
            Endpoint::Replies => own().map(|_| about::replies(app)),
            Endpoint::Search => Box::pin(search::search(app, own()?, request)).await,
            Endpoint::Admin(endpoint) => {
                let caller = own()?.clone().administrator()?;
                Box::pin(admin::serve(app, &caller, endpoint, request)).await
            }
            Endpoint::V1(endpoint) => Box::pin(v1::serve(app, own()?, endpoint, request)).await,
        }
    }

    /// Proves whose token it is, and charges the user's bucket unless the client means another user. The one place where an
    /// API key is held against the scope that the row wants.
    async fn identify(
        &self,
        shown: Shown<'_>,
        headers: &HeaderMap,
        route: &Route,
        record: &mut Record,
    ) -> Result<Identity, Problem> {
        let caller = self.app.auth.identify(shown.token).await?;
        if shown.by_cookie && caller.is_key() {
            return Err(Problem::dead_token()); // Cookies are of people; a program that set one has it sent by every page.
        }
        record.user = Some(caller.id());
        credentials::check_meant(headers, caller.id())?;
        if route.charged {
            self.app.rates.charge_request(caller.id(), caller.user().tier).map_err(Problem::over_limit)?;
        }
        caller.may(route.scope)?;
        Ok(caller)
    }

    /// Logs and counts what an operator must know of a failure: its cause, or that someone overstepped.
    fn report(&self, record: &Record, problem: &Problem) {
        let user_id = record.user.or(problem.account());
        let user = user_id.map(tracing::field::display);
        let request_id = record.id.as_str();
        if let Some(refusal) = problem.refusal() {
            self.app.requests.refused(refusal);
        }
        if let Some(cause) = problem.cause() {
            tracing::error!(target: "http", path = record.path, user, request_id, cause, "a request failed");
        }
        if let Some(kind) = problem.security_event() {
            let (address, path, at) = (record.address, record.path, self.app.clock.now());
            let again = move |repeated: u64| {
                let user = user_id.map(tracing::field::display);
                tracing::warn!(target: "security", event = kind, user, %address, path, repeated);
            };
            // Who asks too often is the one who can make lines without end.
            let place = Place { user: user_id, address, path };
            if kind == RATE_LIMITED && !self.repeats.is_first(place, again) {
                return;
            }
            tracing::warn!(target: "security", event = kind, user, %address, path, request_id);
            self.app.monitor.note(SecurityEvent { at, kind, user_id, address, path });
        }
    }
}

/// Registering and logging in need no cookie, so a page of another site could do both in a user's browser.
fn refuse_other_sites(rules: &Rules, request: &Request<RequestBody>, host: &str) -> Result<(), Problem> {
    let headers = request.headers();
    let foreign = origin::site(headers, host) == Site::Other && rules.origins.listed(headers).is_none();
    if foreign && !request.method().is_safe() { Err(Problem::cross_site()) } else { Ok(()) }
}

/// A preflight from a listed origin, or 405.
fn other_method(rules: &Rules, request: &Request<RequestBody>, has: &Methods, record: &mut Record) -> ApiResponse {
    record.path = has.path;
    if request.method() == Method::OPTIONS && rules.origins.listed(request.headers()).is_some() {
        let mut response = response::no_content();
        origin::allow_preflight(response.headers_mut());
        return response;
    }
    let mut response = record.refuse(&Problem::method_not_allowed());
    response.headers_mut().insert(ALLOW, has.allow.clone());
    response
}

/// `work`, with a panic in it turned into a 500: one broken request ends nothing but itself.
fn caught<F>(mut work: Pin<&mut F>) -> impl Future<Output = Result<ApiResponse, Problem>> + Unpin
where
    F: Future<Output = Result<ApiResponse, Problem>>,
{
    poll_fn(move |cx| {
        catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)))
            .unwrap_or_else(|_| Poll::Ready(Err(Problem::internal("the handler panicked"))))
    })
}

/// The method for the log; a client may make one up at any length.
fn name_of(method: &Method) -> &str {
    method.as_str().get(..METHOD_MAX).unwrap_or(method.as_str())
}

/// The token that the request shows, unless another site's page may have sent it.
fn shown<'r>(request: &'r Request<RequestBody>, client: Peer, host: &str) -> Result<Shown<'r>, Problem> {
    let headers = request.headers();
    let shown = credentials::shown(headers, client.secure)?.ok_or_else(Problem::no_identity)?;
    // A browser adds the cookie to what any page sends; only a page of ours may change something with it.
    if shown.by_cookie && !request.method().is_safe() && origin::site(headers, host) != Site::Same {
        return Err(Problem::cross_site());
    }
    Ok(shown)
}

impl Record {
    /// The answer that says why not.
    fn refuse(&self, problem: &Problem) -> ApiResponse {
        if self.is_v1 { problem.respond_openai() } else { problem.respond(self.id.as_str()) }
    }

    /// Adds what every answer carries.
    fn finish(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, HeaderValue::from_bytes(&self.id.0).expect("hex digits are ASCII"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.entry(CONTENT_SECURITY_POLICY).or_insert(policy);
        headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_16_hex_digits() {
        assert_eq!(RequestId::new(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(RequestId::new(10).as_str(), "000000000000000a");
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_a_500_that_shows_nothing() {
        let problem = caught(pin!(async { panic!("on purpose") })).await.unwrap_err();
        assert_eq!(problem.status(), 500);
        assert!(!problem.detail().contains("purpose"));
        let fine = caught(pin!(async { Ok(response::no_content()) })).await.unwrap();
        assert_eq!(fine.status(), 204);
    }

    #[test]
    fn a_made_up_method_does_not_fill_the_log() {
        let long = Method::from_bytes("X".repeat(5000).as_bytes()).unwrap();
        assert_eq!(name_of(&long).len(), METHOD_MAX);
        assert_eq!(name_of(&Method::PATCH), "PATCH");
    }
}
