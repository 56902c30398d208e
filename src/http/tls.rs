//! The server's side of TLS: the certificate, which is read again when its files change, and the handshake.
//!
//! A new certificate holds for the connections that begin after it was read; those that are open keep the one they began
//! with. Files that can't be read, or don't belong together, change nothing: most are written one after the other.

use std::{
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::config::TlsConfig;

/// The files are looked at so often.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or is not what it should be.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("{certificate} and {key} can't be used together: {}", why_not(why))]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
        /// What is wrong.
        why: rustls::Error,
    },
    /// The system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
}

/// What an operator can do something about, in words.
fn why_not(why: &rustls::Error) -> String {
    if matches!(why, rustls::Error::InconsistentKeys(_)) {
        return "the key is not the one that the certificate was made for".to_owned();
    }
    why.to_string()
}

/// Makes TLS of connections. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    /// Ends the thread that looks at the files once no clone is left.
    _kept: Arc<mpsc::Sender<()>>,
}

/// The certificate that new connections get.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// The two files, PEM.
#[derive(Clone)]
struct Files {
    /// The server's certificate, and behind it those that lead to an authority.
    certificate: PathBuf,
    key: PathBuf,
}

/// What tells that a file was changed: device, inode, length, and the time of its last change.
type Stamp = (u64, u64, u64, i64, i64);

impl Tls {
    /// TLS by the files of `config`, which are looked at again every two seconds; nothing where it names none. Reads files,
    /// so it is no work for a thread of the runtime.
    ///
    /// # Errors
    /// As [`TlsError`] says.
    pub fn start(config: &TlsConfig) -> Result<Option<Self>, TlsError> {
        let Some(files) = Files::of(config) else { return Ok(None) };
        let provider = Arc::new(ring::default_provider());
        let stamps = files.stamps();
        let current = Arc::new(Current(ArcSwap::from_pointee(files.read(&provider)?)));
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
        let server = server.map_err(|why| files.pair(why))?;
        let mut server = server.with_no_client_auth().with_cert_resolver(Arc::clone(&current) as Arc<_>);
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (kept, end) = mpsc::channel();
        let watcher = Watcher { files, provider, current, stamps };
        std::thread::Builder::new().name("bondhu-tls".to_owned()).spawn(move || watcher.run(&end))?;
        Ok(Some(Self { acceptor: TlsAcceptor::from(Arc::new(server)), _kept: Arc::new(kept) }))
    }

    /// Reads the files of `config`, and says whether they can be used.
    ///
    /// # Errors
    /// As [`TlsError`] says.
    pub fn check(config: &TlsConfig) -> Result<(), TlsError> {
        Files::of(config).map_or(Ok(()), |files| files.read(&ring::default_provider()).map(drop))
    }

    /// Shakes hands with the client at the other end.
    ///
    /// # Errors
    /// Where it speaks no TLS, or none that both know.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

struct Watcher {
    files: Files,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    /// The files as they were when they were read last, whatever came of it.
    stamps: [Option<Stamp>; 2],
}

impl Watcher {
    /// Looks at the files until the other end of `end` is dropped.
    fn run(mut self, end: &mpsc::Receiver<()>) {
        while end.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
            let stamps = self.files.stamps();
            if stamps == self.stamps {
                continue;
            }
            self.stamps = stamps;
            match self.files.read(&self.provider) {
                Ok(read) => {
                    self.current.0.store(Arc::new(read));
                    tracing::info!(file = %self.files.certificate.display(), "a new certificate holds from now on");
                }
                Err(error) => tracing::warn!(%error, "the certificate's files have changed; the old one still holds"),
            }
        }
    }
}

impl Files {
    fn of(config: &TlsConfig) -> Option<Self> {
        Some(Self { certificate: config.certificate_file.clone()?, key: config.key_file.clone()? })
    }

    fn stamps(&self) -> [Option<Stamp>; 2] {
        [&self.certificate, &self.key].map(|path| {
            let found = std::fs::metadata(path).ok()?;
            Some((found.dev(), found.ino(), found.len(), found.ctime(), found.ctime_nsec()))
        })
    }

    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = CertificateDer::pem_file_iter(&self.certificate).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let chain = chain.map_err(|error| file(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(file(&self.certificate, &pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| file(&self.key, &error))?;
        CertifiedKey::from_der(chain, key, provider).map_err(|why| self.pair(why))
    }

    fn pair(&self, why: rustls::Error) -> TlsError {
        TlsError::Pair { certificate: self.certificate.clone(), key: self.key.clone(), why }
    }
}

fn file(path: &Path, error: &pem::Error) -> TlsError {
    let is_empty = matches!(error, pem::Error::NoItemsFound);
    let why = if is_empty { "has no PEM section of that kind in it".to_owned() } else { error.to_string() };
    TlsError::File { path: path.to_owned(), why }
}
