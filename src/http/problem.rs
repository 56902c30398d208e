//! What clients are told when something can't be done: `application/problem+json` (RFC 9457), or OpenAI's error under
//! `/v1`; the former is written in `answer.rs`, the latter in `openai.rs`.
//!
//! The only place that pairs the errors of the program with statuses and words. Every `detail` is a sentence for a
//! person and says what to do. An answer of the 500s never shows its cause; the cause is logged once, by `service.rs`.

mod answer;
mod keys;
mod openai;

use std::{borrow::Cow, error::Error, fmt, time::Duration};

use hyper::StatusCode;

use crate::{
    admission::{
        rate::{Charged, OverLimit},
        slots::Overloaded,
        streams::TooManyStreams,
    },
    auth::AuthError,
    chat::ChatError,
    id::{MessageId, SessionId, UserId},
    metrics::Refusal,
    store::{JobError, StoreError},
};

/// A type of problem: what a program tells apart by `type`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    status: StatusCode,
    /// The last part of the `urn:bondhu:problem:` name.
    slug: &'static str,
    title: &'static str,
}

const fn kind(status: StatusCode, slug: &'static str, title: &'static str) -> Kind {
    Kind { status, slug, title }
}

static BAD_REQUEST: Kind = kind(StatusCode::BAD_REQUEST, "bad-request", "The request can't be read");
static CLIENT_GONE: Kind = kind(StatusCode::BAD_REQUEST, "client-gone", "The client has gone");
static NO_IDENTITY: Kind = kind(StatusCode::UNAUTHORIZED, "no-identity", "Not logged in");
static DEAD_TOKEN: Kind = kind(StatusCode::UNAUTHORIZED, "invalid-token", "The login is not valid");
static WRONG_CREDENTIALS: Kind = kind(StatusCode::UNAUTHORIZED, "wrong-credentials", "Wrong name or password");
static NOT_OWNER: Kind = kind(StatusCode::FORBIDDEN, "not-owner", "Not yours");
static NOT_ADMIN: Kind = kind(StatusCode::FORBIDDEN, "not-admin", "For administrators");
static OUT_OF_SCOPE: Kind = kind(StatusCode::FORBIDDEN, "out-of-scope", "The key may not do this");
static CROSS_SITE: Kind = kind(StatusCode::FORBIDDEN, "cross-site", "From another site");
static REGISTRATION: Kind = kind(StatusCode::FORBIDDEN, "registration-closed", "Registration is not open");
static NO_PATH: Kind = kind(StatusCode::NOT_FOUND, "no-such-path", "No such path");
static NOT_FOUND: Kind = kind(StatusCode::NOT_FOUND, "not-found", "Not found");
static NO_METHOD: Kind = kind(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "No such method here");
static SLOW_BODY: Kind = kind(StatusCode::REQUEST_TIMEOUT, "slow-body", "The body came too slowly");
static NAME_TAKEN: Kind = kind(StatusCode::CONFLICT, "name-taken", "The name is taken");
static BEING_ANSWERED: Kind = kind(StatusCode::CONFLICT, "being-answered", "Being answered");
static OTHER_LOGIN: Kind = kind(StatusCode::CONFLICT, "other-login", "Another account is signed in");
static OWN_ACCOUNT: Kind = kind(StatusCode::CONFLICT, "own-account", "Your own account");
static DELETED: Kind = kind(StatusCode::CONFLICT, "deleted-meanwhile", "Deleted meanwhile");
static JOB_STATE: Kind = kind(StatusCode::CONFLICT, "job-state", "Not as the job stands");
static MANY_KEYS: Kind = kind(StatusCode::CONFLICT, "too-many-keys", "Too many API keys");
static TOO_LARGE: Kind = kind(StatusCode::PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large");
static NOT_JSON: Kind = kind(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body is not JSON");
static WRONG_HOST: Kind = kind(StatusCode::MISDIRECTED_REQUEST, "wrong-host", "Not this server's name");
static INVALID: Kind = kind(StatusCode::UNPROCESSABLE_ENTITY, "invalid", "A value is not valid");
static KEY_REUSED: Kind = kind(StatusCode::UNPROCESSABLE_ENTITY, "key-reused", "The idempotency key was used");
static OVER_LIMIT: Kind = kind(StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many requests");
static MANY_FAILURES: Kind = kind(StatusCode::TOO_MANY_REQUESTS, "too-many-failures", "Too many failed logins");
static INTERNAL: Kind = kind(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed");
static UNKNOWN: Kind = kind(StatusCode::INTERNAL_SERVER_ERROR, "outcome-unknown", "The outcome is unknown");
static REPLY_FAILED: Kind = kind(StatusCode::BAD_GATEWAY, "reply-failed", "No reply could be made");
static REFUSED: Kind = kind(StatusCode::BAD_REQUEST, "request-refused", "The model takes nothing like this");
static UNAVAILABLE: Kind = kind(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not now");
static REPLY_SLOW: Kind = kind(StatusCode::GATEWAY_TIMEOUT, "reply-too-slow", "The reply took too long");
static TIMED_OUT: Kind = kind(StatusCode::GATEWAY_TIMEOUT, "timed-out", "The answer took too long");

/// Waits that nothing measures: a full queue, a restart, a full disk.
const RETRY_SOON: Duration = Duration::from_secs(1);
const RETRY_AFTER_RESTART: Duration = Duration::from_secs(5);
const RETRY_WHEN_THERE_IS_SPACE: Duration = Duration::from_mins(1);

/// Why a request is not done, in public words; and the cause, which is not public.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: &'static Kind,
    detail: Cow<'static, str>,
    retry_after: Option<Duration>,
    /// The turn that a failed reply leaves behind.
    turn: Option<Box<(SessionId, MessageId)>>,
    /// What is named under `/v1`; boxed, because every handler's result has room for it.
    named: Option<Box<Named>>,
    /// The account that a failed login was for; not public.
    account: Option<UserId>,
    /// Why it was refused for now, where it was.
    refusal: Option<Refusal>,
    /// True where the rest of the request is not worth reading.
    close: bool,
    cause: Option<Box<dyn Error + Send + Sync>>,
}

/// What a client of `/v1` is told besides.
#[derive(Debug, Default)]
struct Named {
    /// The field that is at fault.
    param: Option<String>,
    /// A word for programs, where the kind's own says too little.
    code: Option<&'static str>,
}

impl Problem {
    fn new(kind: &'static Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            retry_after: None,
            turn: None,
            named: None,
            account: None,
            refusal: None,
            close: false,
            cause: None,
        }
    }

    /// 400: says what can't be read and how to send it.
    pub(super) fn bad_request(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(&BAD_REQUEST, detail)
    }

    /// 401 where nothing proves who asks.
    pub(super) fn no_identity() -> Self {
        Self::new(&NO_IDENTITY, "Please log in, and send the token as \"Authorization: Bearer TOKEN\".")
    }

    /// 401 where a token was shown, but is no longer or never was one.
    pub(super) fn dead_token() -> Self {
        Self::new(&DEAD_TOKEN, "This login has ended or is not valid; please log in again.")
    }

    /// 403, with the same bytes for someone else's session, a deleted one, one that never was and an id that is none.
    pub(super) fn not_owner() -> Self {
        Self::new(&NOT_OWNER, "This belongs to someone else or is not there; please open one of your own sessions.")
    }

    /// 403 for what only administrators may do.
    pub(super) fn not_admin() -> Self {
        Self::new(
            &NOT_ADMIN,
            "Only administrators may do this; please ask one, or the operator for \"bondhu user role NAME admin\".",
        )
    }

    /// 403 for a page of another site that tries to act for the user.
    pub(super) fn cross_site() -> Self {
        Self::new(
            &CROSS_SITE,
            "This did not come from this server's own page; please use that page, send the token as \"Authorization: \
             Bearer TOKEN\", or ask the operator to list your site in server.cors_origins.",
        )
    }

    /// 404 for a path that the route table does not have.
    pub(super) fn no_such_path(path: &str) -> Self {
        Self::new(&NO_PATH, keys::where_instead(path))
    }

    /// 404 for one of the caller's things that is not there.
    pub(super) fn not_found() -> Self {
        Self::new(&NOT_FOUND, "There is no such thing in your account; please list what is there and choose again.")
    }

    /// 404 for an account that an administrator names.
    pub(super) fn no_such_account() -> Self {
        Self::new(&NOT_FOUND, "There is no account with this id; please list the accounts and choose again.")
    }

    /// 404 for a message that the session does not have.
    pub(super) fn no_such_message() -> Self {
        Self::new(
            &NOT_FOUND,
            "The session has no message of yours with this sequence; please read its messages and choose one of them.",
        )
    }

    /// 400 that nobody reads: the client went before there was an answer.
    pub(super) fn client_gone() -> Self {
        Self::new(&CLIENT_GONE, "The client closed the connection before the answer was ready, so it was given up.")
            .and_close()
    }

    /// 405; the caller adds `Allow`.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(&NO_METHOD, "This path does not have this method; the Allow header lists those that it has.")
    }

    /// 408, and the connection closes.
    pub(super) fn slow_body() -> Self {
        Self { close: true, ..Self::new(&SLOW_BODY, "The body did not arrive in time; please send the request again.") }
    }

    /// 409 where the client believes to show another user's login than it does.
    pub(super) fn other_login() -> Self {
        Self::new(&OTHER_LOGIN, "Another account is signed in here by now; please reload the page.")
    }

    /// 409 where administrators would take their own rights away.
    pub(super) fn own_account() -> Self {
        Self::new(
            &OWN_ACCOUNT,
            "You can't shut your own account or make it a plain user's; please have another administrator do it.",
        )
    }

    /// 413, and the connection closes; `max` in bytes.
    pub(super) fn too_large(max: u64) -> Self {
        let detail = format!("The body may have at most {max} bytes; please send less.");
        Self { close: true, ..Self::new(&TOO_LARGE, detail) }
    }

    /// 415 for a type or an encoding of the body that is not taken.
    pub(super) fn not_json(detail: &'static str) -> Self {
        Self::new(&NOT_JSON, detail)
    }

    /// 421 for a `Host` that is not one of this server's names.
    pub(super) fn wrong_host() -> Self {
        Self::new(
            &WRONG_HOST,
            "This server does not go by that host name; please use its own address, or ask the operator to add the \
             name to server.hosts.",
        )
    }

    /// 422: `fault` continues a sentence that begins with the field's name.
    pub(super) fn field(name: &str, fault: impl fmt::Display) -> Self {
        Self::new(&INVALID, format!("{name}: {fault}")).of(name)
    }

    /// The same, with a word for programs that tell refusals of `/v1` apart.
    pub(super) fn coded(mut self, code: &'static str) -> Self {
        self.named.get_or_insert_default().code = Some(code);
        self
    }

    /// The same, of the field `param`.
    pub(super) fn of(mut self, param: &str) -> Self {
        self.named.get_or_insert_default().param = Some(param.to_owned());
        self
    }

    /// 403, and 404 under `/v1`: as [`Problem::not_owner`], for a thing that is called `what`.
    pub(super) fn no_such(what: &str) -> Self {
        let detail = format!("There is no such {what} in your account; please check its id, or list what is there.");
        Self::new(&NOT_OWNER, detail)
    }

    /// True where what was asked for is not there, or not the caller's.
    pub(super) fn is_no_such(&self) -> bool {
        [&NOT_OWNER, &NOT_FOUND].contains(&self.kind)
    }

    /// 404 for a model that makes no replies here.
    pub(super) fn no_such_model(model: &str) -> Self {
        let detail = format!("This server has no such model; it has \"{model}\".");
        Self::new(&NOT_FOUND, detail).of("model").coded("model_not_found")
    }

    /// 429, with the time of the next try.
    pub(super) fn over_limit(over: OverLimit) -> Self {
        let OverLimit { what, per_minute, retry_after } = over;
        let detail = format!("Your limit is {per_minute} {what} a minute; please wait a moment and try again.");
        let refusal = match what {
            Charged::Requests => Refusal::Requests,
            Charged::Messages => Refusal::Messages,
        };
        Self::new(&OVER_LIMIT, detail).retry_after(retry_after).because(refusal)
    }

    /// 500 for a fault of ours.
    pub(super) fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let problem = Self::new(
            &INTERNAL,
            "Something went wrong on the server; please try again, and tell the operator if it stays.",
        );
        Self { cause: Some(cause.into()), ..problem }
    }

    /// 504 where the answer was not ready in time; what was begun goes on.
    pub(super) fn timed_out() -> Self {
        Self::new(
            &TIMED_OUT,
            "The answer took too long; what was stored stays, so please look at the session before you send again.",
        )
    }

    fn unavailable(refusal: Refusal, detail: &'static str, retry_after: Duration) -> Self {
        Self::new(&UNAVAILABLE, detail).retry_after(retry_after).because(refusal)
    }

    fn because(self, refusal: Refusal) -> Self {
        Self { refusal: Some(refusal), ..self }
    }

    fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// Closes the connection after the answer: what is left of the request is not read.
    pub(super) fn and_close(self) -> Self {
        Self { close: true, ..self }
    }

    /// The status of the answer.
    #[cfg(any(test, fuzzing))]
    pub(super) fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// The public sentence.
    #[cfg(any(test, fuzzing))]
    pub(super) fn detail(&self) -> &str {
        &self.detail
    }

    /// What this is in the log of security events, if anything.
    pub(super) fn security_event(&self) -> Option<&'static str> {
        match self.kind {
            kind if *kind == NOT_OWNER => Some("ownership"),
            kind if *kind == NOT_ADMIN => Some("admin"),
            kind if *kind == OUT_OF_SCOPE => Some("scope"),
            kind if *kind == WRONG_CREDENTIALS => Some("login_failed"),
            kind if kind.status == StatusCode::TOO_MANY_REQUESTS => Some(super::repeats::RATE_LIMITED),
            _ => None,
        }
    }

    /// Why it was refused for now, where it was.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        self.refusal
    }

    /// The account that a failed login was for.
    pub(super) fn account(&self) -> Option<UserId> {
        self.account
    }

    /// What is to be logged and not shown.
    pub(super) fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.cause.as_deref()
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::RegistrationClosed => {
                Self::new(&REGISTRATION, "Registration is closed here; please ask the operator for an account.")
            }
            AuthError::NoInvitation => Self::new(
                &REGISTRATION,
                "Registration needs an invitation code that is still valid; please ask the operator for one.",
            ),
            AuthError::NameTaken => {
                Self::new(&NAME_TAKEN, "Someone has this user name already; please choose another.")
            }
            AuthError::BadName(fault) => Self::field("username", fault),
            AuthError::WeakPassword(fault) => Self::field("password", fault),
            AuthError::WrongCredentials { account } => Self {
                account,
                ..Self::new(
                    &WRONG_CREDENTIALS,
                    "The user name or the password is wrong; please check both and try again.",
                )
            },
            AuthError::NoIdentity => Self::dead_token(),
            AuthError::TooManyFailures { retry_after } => {
                Self::new(&MANY_FAILURES, "Too many failed attempts; please wait a while and try again.")
                    .retry_after(retry_after)
                    .because(Refusal::LoginFailures)
            }
            AuthError::Busy { retry_after } => Self::unavailable(
                Refusal::Logins,
                "Too many people are logging in right now; please try again in a moment.",
                retry_after,
            ),
            AuthError::NotAdministrator => Self::not_admin(),
            AuthError::OutOfScope { needs } => Self::out_of_scope(needs),
            AuthError::TooManyKeys { max } => Self::too_many_keys(max),
            AuthError::NotFound => Self::not_found(),
            AuthError::Store(error) => Self::from(error),
        }
    }
}

impl From<ChatError> for Problem {
    fn from(error: ChatError) -> Self {
        match error {
            ChatError::NotOwner(_) => Self::not_owner(),
            ChatError::OverLimit(over) => Self::over_limit(over),
            ChatError::TooManyStreams(TooManyStreams { max, retry_after }) => {
                let detail = format!("Your limit is {max} event streams at once; please close another tab first.");
                Self::new(&OVER_LIMIT, detail).retry_after(retry_after).because(Refusal::Streams)
            }
            ChatError::Overloaded(Overloaded { retry_after }) | ChatError::LineFull { retry_after } => {
                let why =
                    "Many people are chatting right now, so this was not taken; please send it again in a moment.";
                Self::unavailable(Refusal::Slots, why, retry_after)
            }
            ChatError::Stopping { retry_after } => Self::unavailable(
                Refusal::Stopping,
                "The server is restarting, so this was not taken; please send it again soon.",
                retry_after,
            ),
            ChatError::BeingAnswered => Self::new(
                &BEING_ANSWERED,
                "This message is being answered right now; please wait for the reply, or stop it first.",
            ),
            ChatError::NoSuchMessage => Self::no_such_message(),
            ChatError::NoRoom => openai::no_room(),
            ChatError::KeyReused => key_reused(),
            ChatError::Failed { session, message, detail, too_slow } => {
                let kind = if too_slow { &REPLY_SLOW } else { &REPLY_FAILED };
                Self { turn: Some(Box::new((session, message))), ..Self::new(kind, detail) }
            }
            ChatError::NoReply { detail, too_slow, refused } => match refused {
                Some(why) => openai::refused(detail, why),
                None => Self::new(if too_slow { &REPLY_SLOW } else { &REPLY_FAILED }, detail),
            },
            ChatError::TooMuchKept { bytes, max } => openai::too_much_kept(bytes, max),
            ChatError::LoginEnded => Self::dead_token(),
            ChatError::DeletedMeanwhile => deleted_meanwhile(),
            ChatError::Store(error) => Self::from(error),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotOwner(_) => Self::not_owner(),
            StoreError::NoUser => Self::dead_token(), // The account went while its owner's request was under way.
            StoreError::NameTaken => Self::from(AuthError::NameTaken),
            StoreError::NoInvitation => Self::from(AuthError::NoInvitation),
            StoreError::KeyReused => key_reused(),
            StoreError::TurnGone => deleted_meanwhile(),
            StoreError::Job(error) => of_job(error),
            StoreError::DiskFull => Self::unavailable(
                Refusal::DiskFull,
                "The server is short of disk space, so nothing was stored; reading works, please write again later.",
                RETRY_WHEN_THERE_IS_SPACE,
            ),
            // What moved is asked for again where that happens, for as long as that makes sense.
            StoreError::Busy | StoreError::Moved => Self::unavailable(
                Refusal::StoreBusy,
                "The server has too much to do, so nothing was stored; please try again in a moment.",
                RETRY_SOON,
            ),
            StoreError::Ended => Self::unavailable(
                Refusal::StoreEnded,
                "The server can't store anything until it has restarted; please try again in a few seconds.",
                RETRY_AFTER_RESTART,
            ),
            StoreError::Unknown => Self {
                cause: Some(Box::new(StoreError::Unknown)),
                ..Self::new(
                    &UNKNOWN,
                    "The outcome is unknown, it may be stored or not; please repeat it with your Idempotency-Key.",
                )
            },
            StoreError::Unreadable(cause) => Self::internal(StoreError::Unreadable(cause)),
        }
    }
}

fn of_job(error: JobError) -> Problem {
    match error {
        JobError::Missing => Problem::new(&NOT_FOUND, "There is no such job: it has ended, or it was removed."),
        JobError::Running | JobError::NotParked | JobError::Recurring => {
            let sentence = error.to_string();
            let mut letters = sentence.chars();
            let first = letters.next().map(|letter| letter.to_ascii_uppercase());
            Problem::new(&JOB_STATE, first.into_iter().chain(letters).chain(['.']).collect::<String>())
        }
        JobError::NotTaken | JobError::TooLong => Problem::internal(error),
    }
}

fn key_reused() -> Problem {
    Problem::new(&KEY_REUSED, "Idempotency-Key: was used with another body; please take a new key for a new message.")
}

fn deleted_meanwhile() -> Problem {
    Problem::new(
        &DELETED,
        "The message was deleted while it was being answered; please send it again if you still want an answer.",
    )
}

#[cfg(test)]
mod tests;
