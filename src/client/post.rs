//! Posts to one server, and reads its answers in pieces.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::connect::{ConnectError, Connector, Resolver};

/// How long a connection that nobody uses stays open; less than the minute after which servers commonly close theirs.
const IDLE: Duration = Duration::from_secs(30);
/// Connections that nobody uses, at most.
const IDLE_MAX: usize = 64;
/// Largest head of an answer, bytes; a piece of its body is no larger either.
const HEAD_MAX: usize = 64 << 10;
/// Most header lines of an answer.
const HEADERS_MAX: usize = 100;
/// How much may come, and for how long, of the end of a body that nobody needs; then the connection is closed.
const REST_MAX: usize = 64 << 10;
const REST_TIME: Duration = Duration::from_millis(100);
/// Largest file of certificates, bytes.
const CA_FILE_MAX: u64 = 4 << 20;

/// Whom to post to, and as whom.
pub struct Target {
    /// Where: `http` or `https`.
    pub url: Uri,
    /// Sent with each request, to this server and no other.
    pub authorization: Option<HeaderValue>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Longest time for look-up, TCP and TLS together.
    pub connect_timeout: Duration,
}

/// Why a server can't be posted to, ever.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The file of certificates can't be read, or has none.
    #[error("{path}: {source}")]
    CaFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is nothing to hold a server's certificate against.
    #[error("this machine has no certificates of authorities; install the package ca-certificates, or set ca_file")]
    NoRoots,
    /// The system gives no TLS.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there is no answer, or no more of it. The texts are for logs; they have nothing of the request in them.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// No connection was made in time.
    #[error("no connection within {0:?}")]
    ConnectTooSlow(Duration),
    /// No connection was made.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke, or what came was no HTTP.
    #[error("the talk broke off: {0}")]
    Broken(String),
}

/// Posts to one server over connections that stay open for the next time.
pub struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    url: Uri,
    authorization: Option<HeaderValue>,
}

/// An answer whose body is still to come. Dropping it closes the connection, unless all of it has come.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as the server wrote them.
    pub headers: HeaderMap,
    body: Incoming,
}

impl Client {
    /// Reads certificates where the URL needs them. Blocks; connects to nobody.
    ///
    /// # Errors
    /// [`BuildError`], for the operator.
    pub fn new(target: Target, resolver: &Resolver) -> Result<Self, BuildError> {
        let tls = tls_config(target.url.scheme_str() == Some("https"), target.ca_file.as_deref())?;
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .http1_max_buf_size(HEAD_MAX)
            .http1_max_headers(HEADERS_MAX)
            .build(Connector::new(resolver.clone(), tls, target.connect_timeout, None));
        Ok(Self { pool, url: target.url, authorization: target.authorization })
    }

    /// Posts JSON and waits for the head of the answer, whatever its status. Dropping the future, or the answer before its
    /// end, closes the connection.
    ///
    /// # Errors
    /// As [`PostError`] says.
    pub async fn post(&self, body: Bytes) -> Result<Answer, PostError> {
        self.post_with(body, HeaderMap::new()).await
    }

    /// As [`Client::post`], with headers of the caller's in place of the usual ones of their names.
    ///
    /// # Errors
    /// As [`PostError`] says.
    pub async fn post_with(&self, body: Bytes, headers: HeaderMap) -> Result<Answer, PostError> {
        let mut request = Request::post(&self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "text/event-stream, application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, concat!("bondhu/", env!("CARGO_PKG_VERSION")));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let mut request = request.body(Full::new(body)).map_err(|error| PostError::Broken(chain(&error)))?;
        request.headers_mut().extend(headers);
        let (head, body) = self.pool.request(request).await.map_err(|error| told(&error))?.into_parts();
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

impl Answer {
    /// True where the body says itself where it ends, so that one that was cut off is an error of [`Answer::piece`].
    #[must_use]
    pub fn is_delimited(&self) -> bool {
        self.headers.contains_key(header::CONTENT_LENGTH) || self.headers.contains_key(header::TRANSFER_ENCODING)
    }

    /// The next piece of the body, cut anywhere; nothing at its end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`PostError::Broken`]
    pub async fn piece(&mut self) -> Result<Option<Bytes>, PostError> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|error| PostError::Broken(chain(&error)))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Lets the end of the body come, unread, for a moment that nobody waits for: the connection can be used again then.
    pub fn let_go(mut self) {
        let rest = async move {
            let mut bytes = 0;
            while bytes <= REST_MAX
                && let Ok(Some(piece)) = self.piece().await
            {
                bytes += piece.len();
            }
        };
        tokio::spawn(tokio::time::timeout(REST_TIME, rest));
    }
}

/// How to speak TLS, where it is spoken, and whom to trust. Blocks.
pub(super) fn tls_config(is_https: bool, ca_file: Option<&Path>) -> Result<rustls::ClientConfig, BuildError> {
    let roots = if is_https { roots(ca_file)? } else { RootCertStore::empty() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(tls.with_root_certificates(roots).with_no_client_auth())
}

/// The authorities that are trusted: the system's, and those of `own`.
fn roots(own: Option<&Path>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    // What the system has beside good certificates costs nothing while there are some.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = own {
        let certificates = certificates(path).map_err(|source| BuildError::CaFile { path: path.to_owned(), source })?;
        for certificate in certificates {
            let added = roots.add(certificate);
            added.map_err(|error| BuildError::CaFile { path: path.to_owned(), source: error.into() })?;
        }
    }
    if roots.is_empty() { Err(BuildError::NoRoots) } else { Ok(roots) }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Box<dyn Error + Send + Sync>> {
    if fs::metadata(path)?.len() > CA_FILE_MAX {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge).into());
    }
    let text = fs::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err("there is no certificate (PEM) in it".into()) } else { Ok(certificates) }
}

fn told(error: &legacy::Error) -> PostError {
    let mut causes = std::iter::successors(Some(error as &(dyn Error + 'static)), |&error| error.source());
    match causes.find_map(|cause| cause.downcast_ref()) {
        Some(ConnectError::TooSlow(within)) => PostError::ConnectTooSlow(*within),
        Some(refused @ ConnectError::LinkLocal(_)) => PostError::Connect(refused.to_string()),
        None if error.is_connect() => PostError::Connect(chain(error)),
        None => PostError::Broken(chain(error)),
    }
}

/// What an error says, with what its causes say.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    super::worded(causes.map(ToString::to_string).collect::<Vec<_>>().join(": "))
}
