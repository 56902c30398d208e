//! Every long-lived part, built once, in dependency order.

mod reload;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use arc_swap::Guard;

pub use self::reload::{Read, ReloadError, Source};
use crate::{
    admission::{rate::Rates, slots::Slots, streams::Streams},
    auth::Auth,
    chat::{Chat, Parts},
    clock::Clock,
    config::{AlertsConfig, AuthConfig, LimitsConfig, Live, Loaded},
    jobs::{self, Jobs, OwnConfig, backup::Backups},
    metrics::{BackupFigures, RequestFigures},
    monitor::{self, Monitor, Sampler},
    reply::{Backend, BackendError},
    store::{OpenError, Store},
};

/// Changes of alerts that may wait to be put into the queue.
const NOTICES_MAX: usize = 64;

/// The parts that requests share.
pub struct App {
    /// What is configured; what may change while the server runs is changed by [`App::reload`].
    loaded: Live<Loaded>,
    limits: Live<LimitsConfig>,
    auth_config: Live<AuthConfig>,
    alerts_config: Live<AlertsConfig>,
    /// Where the configuration is read again from.
    source: OnceLock<Source>,
    /// The time.
    pub clock: Clock,
    /// What outlives the process.
    pub store: Arc<Store>,
    /// Who is asking.
    pub auth: Auth,
    /// How often they may.
    pub rates: Arc<Rates>,
    /// How many replies are made at once.
    pub slots: Slots,
    /// Sessions and turns.
    pub chat: Chat,
    /// What the server does by itself.
    pub jobs: Jobs,
    /// What the HTTP front counts.
    pub requests: Arc<RequestFigures>,
    /// How backups go.
    pub backups: Arc<BackupFigures>,
    /// What operators see.
    pub monitor: Arc<Monitor>,
    /// Takes the samples of the monitor.
    _sampler: Sampler,
}

/// Why the parts can't be built.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The model servers can't be asked.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// The system gives no thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] io::Error),
}

impl App {
    /// Opens the data directory and starts every part. Blocks until the data is ready, which takes minutes where the
    /// index must be rebuilt; must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`StartError`] says.
    pub fn start(loaded: impl Into<Loaded>, clock: Clock) -> Result<Arc<Self>, StartError> {
        let loaded = loaded.into();
        let config = &loaded.config;
        let backend = Backend::new(&config.reply)?; // First, because it is quick and may be wrong.
        let (store, open_turns) = Store::open(&config.data, &config.cache, clock.clone())?;
        let store = Arc::new(store);
        let auth_config = Live::from(config.auth.clone());
        let auth = Auth::start(auth_config.clone(), Arc::clone(&store), clock.clone())?;
        let limits = Live::from(config.limits.clone());
        let rates = Arc::new(Rates::new(limits.clone()));
        let slots = Slots::new(&config.concurrency);
        let parts = Parts {
            store: Arc::clone(&store),
            rates: Arc::clone(&rates),
            slots: slots.clone(),
            streams: Streams::new(limits.clone()),
            backend,
            clock: clock.clone(),
            idempotency_window: config.chat.idempotency_window,
        };
        let chat = Chat::start(parts, open_turns);
        let backups = Arc::<BackupFigures>::default();
        let of_backups =
            Backups { config: config.backup.clone(), data: config.data.dir.clone(), figures: Arc::clone(&backups) };
        let alerts_config = Live::from(config.alerts.clone());
        let own = OwnConfig { limits: limits.clone(), alerts: alerts_config.clone() };
        let kinds = jobs::kinds(&store, &clock, own, of_backups);
        let jobs = Jobs::start(Arc::clone(&store), clock.clone(), config.jobs.clone(), kinds);
        let requests = Arc::<RequestFigures>::default();
        let monitored = monitor::Parts {
            store: Arc::clone(&store),
            slots: slots.clone(),
            chat: chat.clone(),
            auth: Arc::clone(auth.figures()),
            requests: Arc::clone(&requests),
            backups: Arc::clone(&backups),
            jobs: jobs.clone(),
            clock: clock.clone(),
        };
        let monitor = Arc::new(Monitor::new(monitored, &config.monitor, &config.alerts));
        post_alerts(&monitor, &jobs, &alerts_config);
        let sampler = monitor.start(&config.data.dir)?;
        let (loaded, source) = (Live::from(loaded), OnceLock::new());
        Ok(Arc::new(Self {
            loaded,
            limits,
            auth_config,
            alerts_config,
            source,
            clock,
            store,
            auth,
            rates,
            slots,
            chat,
            jobs,
            requests,
            backups,
            monitor,
            _sampler: sampler,
        }))
    }

    /// What is configured, and where each value comes from. Short-lived: to be read, and not kept across a wait.
    #[must_use]
    pub fn loaded(&self) -> Guard<Arc<Loaded>> {
        self.loaded.get()
    }

    /// Says where the configuration is read again from; the first call counts.
    pub fn read_again_from(&self, source: Source) {
        let _ = self.source.set(source);
    }
}

/// Has each change of an alert posted. The samples are never held up by that.
fn post_alerts(monitor: &Monitor, jobs: &Jobs, config: &Live<AlertsConfig>) {
    let (tell, told) = tokio::sync::mpsc::channel(NOTICES_MAX);
    tokio::spawn(jobs::alert::deliver(told, jobs.clone(), config.clone()));
    monitor.notify(Box::new(move |notice| {
        if tell.try_send(notice.clone()).is_err() {
            tracing::error!(target: "alerts", id = notice.id, "word of it is not posted: too many wait already");
        }
    }));
}
