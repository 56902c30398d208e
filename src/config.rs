//! What an operator can set: one struct per table of `bondhu.toml`, with the defaults.
//!
//! A module of the program takes its own section, never the whole. Unit and bounds of each key stand in [`SETTINGS`], and
//! with its default in `bondhu.toml`, which a test holds to both. [`load()`] reads a file, the environment and flags, and
//! reports every fault of them at once.

mod api;
mod check;
mod fault;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod given;
mod jobs;
mod live;
mod load;
mod monitor;
mod setting;
mod settings;
#[cfg(test)]
mod tests;
mod url;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use self::{
    api::ApiConfig,
    check::is_within,
    fault::{Fault, Faults, Place},
    jobs::{JobsConfig, Titles},
    live::{Change, Live, change},
    load::{DEFAULT_FILE, Flag, Loaded, Sources, load},
    monitor::{AlertsConfig, Condition, LimitUnit, MonitorConfig, shown_time},
    setting::Setting,
    settings::SETTINGS,
    url::is_link_local,
};

/// Everything that can be set.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[data]`
    pub data: DataConfig,
    /// `[backup]`
    pub backup: BackupConfig,
    /// `[cache]`
    pub cache: CacheConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[chat]`
    pub chat: ChatConfig,
    /// `[api]`
    pub api: ApiConfig,
    /// `[reply]`
    pub reply: ReplyConfig,
    /// `[concurrency]`
    pub concurrency: ConcurrencyConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[monitor]`
    pub monitor: MonitorConfig,
    /// `[alerts]`
    pub alerts: AlertsConfig,
    /// `[jobs]`
    pub jobs: JobsConfig,
    /// `[log]`
    pub log: LogConfig,
}

/// `[server]`: the front that clients meet.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Worker threads; 0 means one per core. 0 to 1024.
    pub workers: usize,
    /// Host names that requests may name; empty: the loopback names where `listen` is loopback, any name elsewhere.
    pub hosts: Vec<String>,
    /// Other origins whose pages may call the API (CORS), as `https://app.example.org`.
    pub cors_origins: Vec<String>,
    /// Peers whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<IpAddr>,
    /// Longest time for a request's head, and for a quiet kept-alive connection.
    pub header_timeout: Duration,
    /// Longest time for a request's body.
    pub body_timeout: Duration,
    /// Longest time for an answer, from the head's last byte.
    pub request_timeout: Duration,
    /// Time that open requests get to finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// Largest body, bytes.
    pub body_max: u64,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address (IPv6: one /64).
    pub connections_per_address: usize,
    /// `[server.tls]`
    pub tls: TlsConfig,
}

/// `[server.tls]`: both files, or none for plain HTTP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, and behind it those that lead to an authority: a PEM file.
    pub certificate_file: Option<PathBuf>,
    /// The certificate's key: a PEM file that others can't read.
    pub key_file: Option<PathBuf>,
}

impl TlsConfig {
    /// True where the server speaks TLS.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.certificate_file.is_some() && self.key_file.is_some()
    }
}

/// `[data]`: the directory and its disk.
#[derive(Debug, Clone, PartialEq)]
pub struct DataConfig {
    /// The data directory.
    pub dir: PathBuf,
    /// sled's page cache, bytes.
    pub index_cache: u64,
    /// Size of one journal segment, bytes.
    pub segment: u64,
    /// Writes are refused while the disk has less free space than this, bytes.
    pub min_free: u64,
    /// How long replaced segments stay, for a copy that is under way.
    pub keep_replaced: Duration,
    /// Deleted data leaves the files within this time of its deletion.
    pub compact_within: Duration,
}

/// `[backup]`: backups by the clock.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupConfig {
    /// Where they stand, each in a directory of its own; empty: there are none.
    pub dir: PathBuf,
    /// The time from one to the next.
    pub every: Duration,
    /// How many are kept; the oldest of more is removed.
    pub keep: usize,
}

/// The control socket's name in the data directory.
pub const SOCKET: &str = "bondhu.sock";

/// `[cache]`: the in-process LRU.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheConfig {
    /// Bytes it may hold.
    pub capacity: u64,
}

/// Who may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anyone.
    Open,
    /// Who brings an invitation code.
    Invite,
    /// Nobody; accounts come from `bondhu user add`.
    Closed,
}

/// `[auth]`: accounts and logins.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthConfig {
    /// Who may register.
    pub registration: Registration,
    /// Fewest characters of a password; never under 8.
    pub password_min: usize,
    /// A login ends this long after it was made.
    pub token_lifetime: Duration,
    /// A login ends when it was not used for this long.
    pub token_idle: Duration,
    /// Logins that one user may have; the oldest ends when one more is made.
    pub tokens_per_user: usize,
    /// `[auth.argon2]`
    pub argon2: Argon2Config,
}

/// `[auth.argon2]`: the cost of a password's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argon2Config {
    /// Memory, KiB.
    pub memory_kib: u32,
    /// Passes.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
}

/// `[chat]`: bounds of what users say.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatConfig {
    /// Most characters of a message.
    pub message_chars_max: usize,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
}

/// Which backend makes replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplyBackend {
    /// The built-in companion.
    Companion,
    /// A server that speaks the OpenAI chat-completions protocol.
    Openai,
}

/// Who answers where no model can.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Nobody: the turn fails, and can be retried.
    Nobody,
    /// The built-in companion, after a line that says so.
    Companion,
}

/// `[reply]`: what makes replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyConfig {
    /// Which backend.
    pub backend: ReplyBackend,
    /// Who answers where no model can.
    pub fallback: Fallback,
    /// What the model is told before each conversation; empty: the compiled-in words.
    pub system_prompt: String,
    /// `[reply.openai]`: the server that is asked first, and how any is asked.
    pub openai: OpenaiConfig,
    /// `[reply.second]`: the server that is asked where the first can't answer; none without a URL.
    pub second: UpstreamConfig,
    /// `[reply.third]`: as `second`, after it.
    pub third: UpstreamConfig,
}

/// A server that speaks the OpenAI chat-completions protocol.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UpstreamConfig {
    /// What `/chat/completions` is appended to: `http` or `https`, a host, and no slash at the end; empty: no such server.
    pub base_url: String,
    /// The model's name, as that server knows it.
    pub model: String,
    /// A file that holds the key and nothing else, readable by its owner only.
    pub api_key_file: Option<PathBuf>,
    /// The environment variable that holds the key.
    pub api_key_env: Option<String>,
    /// Certificates (PEM) that are trusted besides the system's.
    pub ca_file: Option<PathBuf>,
}

impl UpstreamConfig {
    /// The host that is asked, in lower case, with its port where that is not the scheme's own; nothing else of the URL.
    #[must_use]
    pub fn host(&self) -> String {
        let url = self.url();
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        let usual = if url.scheme_str() == Some("https") { 443 } else { 80 };
        match url.port_u16().filter(|port| *port != usual) {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// True where the host is this machine: a loopback address, or `localhost`.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_on_this_machine(&self.url())
    }

    fn url(&self) -> http::Uri {
        self.base_url.parse().unwrap_or_default()
    }
}

/// True where the host is a loopback address, or `localhost`.
fn is_on_this_machine(url: &http::Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let is_loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
    host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(is_loopback)
}

/// `[reply.openai]`: the first server, and the bounds that hold for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenaiConfig {
    /// The server.
    pub upstream: UpstreamConfig,
    /// Most tokens of a reply; 0: the server's own bound.
    pub max_tokens: usize,
    /// Tokens that the model can look at, the reply's among them.
    pub context_tokens: usize,
    /// Longest time for a connection: look-up, TCP and TLS.
    pub connect_timeout: Duration,
    /// Longest wait for the first piece of a reply, from the start of a try.
    pub first_token_timeout: Duration,
    /// Longest wait between two pieces.
    pub token_timeout: Duration,
    /// Longest time for a whole reply, over all tries.
    pub total_timeout: Duration,
}

impl ReplyConfig {
    /// The servers that are there, each with the name of its table, in the order in which they are asked.
    pub fn upstreams(&self) -> impl Iterator<Item = (&'static str, &UpstreamConfig)> {
        let all =
            [("reply.openai", &self.openai.upstream), ("reply.second", &self.second), ("reply.third", &self.third)];
        all.into_iter().filter(|(_, upstream)| !upstream.base_url.is_empty())
    }
}

/// `[concurrency]`: replies at once.
#[derive(Debug, Clone, PartialEq)]
pub struct ConcurrencyConfig {
    /// Fewest.
    pub min: usize,
    /// Most.
    pub max: usize,
    /// Turns that may wait for a slot.
    pub queue: usize,
    /// Longest wait for a slot.
    pub queue_timeout: Duration,
}

/// `[limits.free]`, `[limits.premium]`, `[limits.unlimited]`.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// For the tier `free`.
    pub free: TierLimits,
    /// For the tier `premium`.
    pub premium: TierLimits,
    /// For the tier `unlimited`.
    pub unlimited: TierLimits,
}

/// What one user of a tier may do; 0 means no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierLimits {
    /// New messages a minute.
    pub messages_per_minute: u32,
    /// Requests a minute.
    pub requests_per_minute: u32,
    /// Event streams at once.
    pub streams: u32,
    /// Messages that are older than so many days are cleared; 0: none are.
    pub retention_days: u32,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// Least severe level that is written: error, warn, info, debug, trace.
    pub level: tracing::level_filters::LevelFilter,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            workers: 0,
            hosts: Vec::new(),
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(150),
            shutdown_grace: Duration::from_secs(10),
            body_max: 128 << 10,
            connections: 12_000,
            connections_per_address: 2_000,
            tls: TlsConfig::default(),
        }
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("data"),
            index_cache: 128 << 20,
            segment: 16 << 20,
            min_free: 64 << 20,
            keep_replaced: Duration::from_hours(1),
            compact_within: Duration::from_hours(12),
        }
    }
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self { dir: PathBuf::new(), every: Duration::from_hours(24), keep: 7 }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { capacity: 64 << 20 }
    }
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            password_min: 12,
            token_lifetime: Duration::from_hours(180 * 24),
            token_idle: Duration::from_hours(30 * 24),
            tokens_per_user: 20,
            argon2: Argon2Config::default(),
        }
    }
}

impl Default for Argon2Config {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl Default for ChatConfig {
    fn default() -> Self {
        Self { message_chars_max: 5_000, idempotency_window: Duration::from_hours(24) }
    }
}

impl Default for ReplyConfig {
    fn default() -> Self {
        Self {
            backend: ReplyBackend::Companion,
            fallback: Fallback::Nobody,
            system_prompt: String::new(),
            openai: OpenaiConfig::default(),
            second: UpstreamConfig::default(),
            third: UpstreamConfig::default(),
        }
    }
}

impl Default for OpenaiConfig {
    fn default() -> Self {
        let (base_url, model) = ("http://127.0.0.1:11434/v1".to_owned(), "llama3.2".to_owned());
        Self {
            upstream: UpstreamConfig { base_url, model, ..UpstreamConfig::default() },
            max_tokens: 1024,
            context_tokens: 4096,
            connect_timeout: Duration::from_secs(5),
            first_token_timeout: Duration::from_secs(20),
            token_timeout: Duration::from_secs(20),
            total_timeout: Duration::from_mins(2),
        }
    }
}

impl Default for ConcurrencyConfig {
    fn default() -> Self {
        Self { min: 4, max: 64, queue: 256, queue_timeout: Duration::from_secs(2) }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            free: TierLimits { messages_per_minute: 30, requests_per_minute: 300, streams: 32, retention_days: 0 },
            premium: TierLimits {
                messages_per_minute: 120,
                requests_per_minute: 1_200,
                streams: 128,
                retention_days: 0,
            },
            unlimited: TierLimits { messages_per_minute: 0, requests_per_minute: 0, streams: 0, retention_days: 0 },
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: tracing::level_filters::LevelFilter::INFO, format: LogFormat::Text }
    }
}
