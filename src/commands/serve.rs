//! `bondhu serve`: the server, from its configuration to its orderly end.
//!
//! Nothing is bound or made before the configuration is known to be good. A first SIGTERM or SIGINT ends it in order, a
//! second one at once; a store that can't go on ends it with exit code 1, for the supervisor to start it again.

mod supervisor;

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rustix::{
    fs::Mode,
    process::{Resource, Rlimit, getrlimit, setrlimit, umask},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
    time::{Instant, sleep, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Failure, load, operator, service::FREE_PORTS};
use crate::{
    app::{App, Source, StartError},
    cli::Settings,
    clock::Clock,
    config::{Change, Config, Loaded, ServerConfig},
    control::{self, ControlAnswer, ControlRequest},
    http::{self, Listening, Tls},
    logging::{self, Logs},
};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 4096;
/// After a second signal, what still runs gets this long.
const END_WITHIN: Duration = Duration::from_millis(500);
/// After the store has failed, what still runs gets this long.
const FAIL_WITHIN: Duration = Duration::from_secs(3);
/// The store's close, and the end of the runtime's tasks, get this long each.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

pub(super) fn run(settings: &[Settings]) -> Result<(), Failure> {
    let loaded = load(settings, true)?;
    operator::may_serve(&loaded.config.data.dir)?;
    umask(Mode::RWXG | Mode::RWXO);
    let failed = |what: &str, error: io::Error| Failure::Failed(format!("{what}: {error}"));
    let logs = Arc::new(logging::start(&loaded.config.log).map_err(|error| failed("no log can be written", error))?);
    raise_open_files();
    let runtime = runtime(loaded.config.server.workers).map_err(|error| failed("no runtime can be started", error))?;
    let again = settings.to_vec();
    let read = move || load(&again, true);
    let source = Source::new(Box::new(read), logs.levels());
    let source = source.map_err(|error| failed("no thread can be started", error))?;
    let tls = Tls::start(&loaded.config.server.tls).map_err(|error| Failure::Misused(error.to_string()))?;
    let ended = runtime.block_on(serve(loaded, tls, source, &logs));
    runtime.shutdown_timeout(END_WITHIN);
    let result = match ended {
        Ok(()) => {
            tracing::info!("stopped");
            Ok(())
        }
        Err(reason) => {
            tracing::error!("{reason}");
            Err(Failure::Logged)
        }
    };
    logs.flush();
    result
}

/// As many connections as the system allows without asking: its soft limit of open files is often 1024.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The worker pool: `workers` threads named `bondhu-worker-N`, or one for each core. Nothing may use the runtime's
/// threads for blocking work, which would get that name too: that work has its own pools.
fn runtime(workers: usize) -> io::Result<Runtime> {
    let workers = if workers == 0 { std::thread::available_parallelism().map_or(1, usize::from) } else { workers };
    let number = AtomicUsize::new(0);
    Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name_fn(move || format!("bondhu-worker-{}", number.fetch_add(1, Ordering::Relaxed)))
        .enable_all()
        .build()
}

/// Serves until it is told to stop, and gives the reason where it did not end in order.
async fn serve(loaded: Loaded, tls: Option<Tls>, source: Source, logs: &Arc<Logs>) -> Result<(), String> {
    let config = loaded.config.clone();
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let ending = Ending::default();
    ending.watch_signals(Arc::clone(logs)).map_err(|error| format!("signals can't be received: {error}"))?;

    let listen = config.server.listen;
    // Before anything is made: what can't be served at all leaves no directory.
    let socket = bind(listen).map_err(|error| cannot_listen(listen, &error))?;
    let app = App::start(loaded, Clock::System).map_err(|error| no_start(&error, &config.data.dir))?;
    app.read_again_from(source);
    reload_at_signals(&app).map_err(|error| format!("signals can't be received: {error}"))?;
    ending.watch_store(&app, Arc::clone(logs));
    let listener = socket.listen(BACKLOG).map_err(|error| cannot_listen(listen, &error))?;
    let commands = control::bind(&config.data.dir).map_err(|error| format!("the control socket: {error}"))?;
    let performer = Arc::clone(&app);
    let perform = move |request| {
        let app = Arc::clone(&performer);
        async move { perform(&app, request).await }
    };
    let commands = tokio::spawn(control::serve(commands, perform, ending.stop.clone()));
    announce(&config, &listener);
    supervisor::ready(&format!("serving at {listen}"));
    supervisor::keep_alive();
    let listening = Listening { listener, tls };
    ending.started.store(true, Ordering::SeqCst);

    let deadline = ending.deadline(&config.server);
    ending.end_streams(&app);
    http::serve(Arc::clone(&app), listening, ending.stop.clone(), ending.stop_now.clone()).await;
    if !ending.stop.is_cancelled() && !ending.stop_now.is_cancelled() {
        return Err("the HTTP front ended by itself".to_owned());
    }
    tokio::select! {
        biased;
        () = ending.stop_now.cancelled() => Err("ended at once; what was acknowledged is on disk".to_owned()),
        ended = close(&app, commands, deadline) => ended,
    }
}

/// Performs what commands ask of a running server, and notes in the log what they changed of accounts.
async fn perform(app: &App, request: ControlRequest) -> ControlAnswer {
    let Some((change, username)) = request.account_change() else { return perform_one(app, request).await };
    let before = app.auth.find_user(username).await.ok().map(|user| user.id);
    let answer = perform_one(app, request).await;
    let user = if let ControlAnswer::User { user } = &answer { Some(user.id) } else { before };
    if let Some(user) = user.filter(|_| !matches!(answer, ControlAnswer::Refused { .. })) {
        tracing::info!(target: "admin", by = "command", %user, "{change}");
    }
    answer
}

async fn perform_one(app: &App, request: ControlRequest) -> ControlAnswer {
    if request == (ControlRequest::Reload {}) {
        return reload(app).await;
    }
    if let ControlRequest::LogLevel { level } = &request {
        return set_log_level(app, level);
    }
    if let ControlRequest::UserDelete { username } = &request {
        return delete_user(app, username).await;
    }
    control::perform(&app.auth, &app.store, request).await
}

/// Deletes an account, and ends the replies that are being made for it: nobody will read them.
async fn delete_user(app: &App, username: &str) -> ControlAnswer {
    match app.auth.remove_user(username).await {
        Ok(user) => {
            app.chat.end_replies(user.id);
            ControlAnswer::Done {}
        }
        Err(error) => ControlAnswer::Refused { reason: control::refusal(username, &error) },
    }
}

async fn reload(app: &App) -> ControlAnswer {
    let owned = |keys: Vec<&str>| keys.into_iter().map(str::to_owned).collect();
    match app.reload().await {
        Ok(Change { changed, at_next_start, .. }) => {
            ControlAnswer::Reloaded { changed: owned(changed), at_next_start: owned(at_next_start) }
        }
        Err(error) => ControlAnswer::Refused { reason: error.to_string() },
    }
}

fn set_log_level(app: &App, level: &str) -> ControlAnswer {
    match level.parse() {
        Ok(level) if app.set_log_level(level) => ControlAnswer::Done {},
        Ok(_) => ControlAnswer::Refused { reason: "this server writes no log".to_owned() },
        Err(_) => ControlAnswer::Refused { reason: format!("{level:?} is no level of the log") },
    }
}

/// SIGHUP reads the configuration again.
fn reload_at_signals(app: &Arc<App>) -> io::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    let app = Arc::clone(app);
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            supervisor::reloading();
            match app.reload().await {
                Ok(_) => supervisor::ready("serving; the configuration was read again"),
                Err(_) => {
                    supervisor::ready("serving; the configuration has a fault, and the old one holds: see the log");
                }
            }
        }
    });
    Ok(())
}

/// Takes the address; nobody can connect before it is listened at.
fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart does not wait for connections that the last run has closed. A port that the system chooses has none, and
    // until it is listened at any other program that sets this could take it too.
    socket.set_reuseaddr(address.port() != 0)?;
    socket.bind(address)?;
    Ok(socket)
}

fn cannot_listen(address: SocketAddr, error: &io::Error) -> String {
    let is = |kind| error.kind() == kind;
    if is(io::ErrorKind::AddrInUse) {
        return format!("{address} is in use by another program: stop that one, or choose another server.listen");
    }
    let shown = format!("can't listen at {address}: {error}");
    if is(io::ErrorKind::PermissionDenied) && (1..FREE_PORTS).contains(&address.port()) {
        return format!(
            "{shown}: ports under {FREE_PORTS} are for root and for who has CAP_NET_BIND_SERVICE, which the unit that \
             `bondhu service` prints gives; or choose another server.listen"
        );
    }
    shown
}

/// Why there are no parts, with what to do.
fn no_start(error: &StartError, data: &Path) -> String {
    match error {
        StartError::Store(error) => operator::with_remedy(error, data),
        StartError::Backend(_) | StartError::Thread(_) => error.to_string(),
    }
}

fn announce(config: &Config, listener: &TcpListener) {
    // The address that was bound: its port is the system's choice where 0 was asked for.
    let address = listener.local_addr().unwrap_or(config.server.listen);
    let (data, version) = (config.data.dir.display(), env!("CARGO_PKG_VERSION"));
    let tls = config.server.tls.is_set();
    tracing::info!(%address, %data, version, tls, "bondhu is ready");
}

/// The orderly end: commands and turns that run are finished until `deadline`, then the store is closed.
async fn close(app: &App, commands: JoinHandle<()>, deadline: JoinHandle<Instant>) -> Result<(), String> {
    let deadline = deadline.await.map_err(|error| format!("the end has no deadline: {error}"))?;
    if timeout_at(deadline, commands).await.is_err() {
        tracing::warn!("a command was still running at the end of server.shutdown_grace_ms");
    }
    if timeout_at(deadline, app.chat.drain()).await.is_err() {
        tracing::warn!("turns were still open at the end of server.shutdown_grace_ms: the next start finishes them");
    }
    if timeout_at(deadline, app.jobs.drain()).await.is_err() {
        tracing::info!(
            "jobs were still running at the end of server.shutdown_grace_ms: the next start runs them again"
        );
        if timeout(CLOSE_WITHIN, app.jobs.halt()).await.is_err() {
            tracing::warn!("jobs that ran could not be given back");
        }
    }
    control::remove(&app.loaded().config.data.dir); // While the lock is held: afterwards it may be another server's.
    timeout(CLOSE_WITHIN, app.store.close()).await.map_err(|_| "the store did not close in time".to_owned())
}

/// How the process is told to end.
#[derive(Clone, Default)]
struct Ending {
    /// In order.
    stop: CancellationToken,
    /// At once.
    stop_now: CancellationToken,
    /// False until requests are served: before that there is nothing to end in order.
    started: Arc<AtomicBool>,
}

impl Ending {
    /// From now on signals no longer end the process by themselves, also where it is the first of a container.
    fn watch_signals(&self, logs: Arc<Logs>) -> io::Result<()> {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let ending = self.clone();
        tokio::spawn(async move {
            next(&mut term, &mut int).await;
            if !ending.started.load(Ordering::SeqCst) {
                tracing::info!("stopped during start-up");
                logs.flush();
                std::process::exit(0);
            }
            tracing::info!("stopping; a second signal ends it at once");
            supervisor::stopping();
            ending.stop.cancel();
            next(&mut term, &mut int).await;
            tracing::warn!("a second signal: ending at once");
            ending.end_now(&logs, END_WITHIN).await;
        });
        Ok(())
    }

    fn watch_store(&self, app: &Arc<App>, logs: Arc<Logs>) {
        let (ending, app) = (self.clone(), Arc::clone(app));
        tokio::spawn(async move {
            let reason = app.store.failed().await;
            tracing::error!("the store can't go on, so this process ends: {reason}");
            ending.end_now(&logs, FAIL_WITHIN).await;
        });
    }

    /// Ends what runs; ends the process where that does not happen `within` this time.
    async fn end_now(&self, logs: &Logs, within: Duration) {
        self.stop_now.cancel();
        sleep(within).await;
        logs.flush();
        std::process::exit(1);
    }

    /// Streams would stay open for as long as their clients do.
    fn end_streams(&self, app: &Arc<App>) {
        let (stop, app) = (self.stop.clone(), Arc::clone(app));
        tokio::spawn(async move {
            stop.cancelled().await;
            app.chat.end_streams();
        });
    }

    /// When the grace ends, known as soon as the stop is asked for.
    fn deadline(&self, config: &ServerConfig) -> JoinHandle<Instant> {
        let (stop, grace) = (self.stop.clone(), config.shutdown_grace);
        tokio::spawn(async move {
            stop.cancelled().await;
            Instant::now() + grace
        })
    }
}

async fn next(term: &mut Signal, int: &mut Signal) {
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}

#[cfg(test)]
mod tests;
