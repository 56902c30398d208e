//! The command line of `bondhu load`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// What `bondhu load --help` ends with.
pub(super) const HELP: &str = "\
Every answer is held against the promises: what was acknowledged must be there, once, in order, with its own reply, and for \
its owner alone. Refusals (429, 503) are counted, and are no errors. Latency counts from when a request should have left, \
so a server that stalls can't hide it. One step of a scenario is what a person does at once, as a send and the refetch \
behind it; --rate counts steps.

The limits of users hold for a load test too: set them to 0 (-O limits.free.messages_per_minute=0 and \
-O limits.free.requests_per_minute=0). Each user has a connection or two: above 10,000 raise server.connections.

Exit codes: 0 nothing is wrong; 1 a promise was broken, or more errors than --errors-max; 2 misused.

Examples:
  bondhu load http://127.0.0.1:8000
  bondhu load http://127.0.0.1:8000 --scenario send --rate 500 --users 200 --duration 60
  bondhu load http://127.0.0.1:8000 --users 10000 --think 10000 --users-file users.jsonl --json -
  bondhu load http://127.0.0.1:8000 --scenario overload --plot overload.svg
  bondhu load http://127.0.0.1:8001 --api old --no-auth";

/// `load`
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// The server, as <http://127.0.0.1:8000>
    #[arg(help = "The server, as http://127.0.0.1:8000")]
    pub url: String,
    /// What users do
    #[arg(long, value_enum, default_value_t = Scenario::Journey)]
    pub scenario: Scenario,
    /// How many users there are
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub users: u32,
    /// Begin so many steps a second, whatever the answers do (open loop), in place of users who wait for their answers
    #[arg(long, value_name = "R", conflicts_with = "think")]
    pub rate: Option<f64>,
    /// How long a user thinks between two steps: milliseconds, half of it to one and a half times as long
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub think: u64,
    /// How long to measure: seconds
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    pub duration: f64,
    /// How long to run before that: seconds
    #[arg(long, value_name = "S", default_value_t = 1.0)]
    pub warm_up: f64,
    /// Within which time the users begin, one after the other: seconds
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub ramp: f64,
    /// What every random choice comes from [default: a new one, which is printed]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Whose calls to use
    #[arg(long, value_enum, default_value_t = Api::Native)]
    pub api: Api,
    /// Send no token and make no accounts, as the old server has none; with --api old
    #[arg(long)]
    pub no_auth: bool,
    /// Keep the accounts in FILE, and take them from there in the next run: to make one costs the server a password hash
    #[arg(long, value_name = "FILE")]
    pub users_file: Option<PathBuf>,
    /// What the server carries, in sends a second, for the scenario overload [default: measured first]
    #[arg(long, value_name = "R")]
    pub capacity: Option<f64>,
    /// Longest time for one answer: seconds
    #[arg(long, value_name = "S", default_value_t = 60.0)]
    pub timeout: f64,
    /// Write the figures to FILE as JSON; - writes them to the standard output, in place of the tables
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw latency and throughput over time into FILE, as SVG
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// How many errors are still all right
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub errors_max: u64,
    /// Certificates (PEM) that are trusted besides the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// What users do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Send, refetch the history as the web page does, now and then read in a second tab; several sessions
    Journey,
    /// Read the newest page of a session, again and again
    History,
    /// Send, and nothing else
    Send,
    /// Send, while an event stream of the session is read and checked
    Streams,
    /// Pages, sends with refetch, and lists of sessions, by chance
    Mixed,
    /// Try other users' sessions by every call; all must be 403
    Hijack,
    /// Several sends at once into one session, some twice with one key
    Rapid,
    /// 1, 2, 5 and 10 times the server's capacity, while /health is asked
    Overload,
    /// Everything, over a long time: new and deleted sessions, retries, clears, passwords, streams
    Churn,
}

/// Whose calls to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Api {
    /// Sessions and messages
    Native,
    /// /api/v1/chat/... of the old server: journey, history and send only
    Old,
}
