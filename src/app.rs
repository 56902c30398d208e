//! Every long-lived part, built once, in dependency order.

use std::{io, sync::Arc};

use crate::{
    admission::{rate::Rates, slots::Slots, streams::Streams},
    auth::Auth,
    chat::{Chat, Parts},
    clock::Clock,
    config::Config,
    reply::{Backend, BackendError},
    store::{OpenError, Store},
};

/// The parts that requests share.
pub struct App {
    /// What was configured.
    pub config: Config,
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
    pub fn start(config: Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        let backend = Backend::new(&config.reply)?; // First, because it is quick and may be wrong.
        let (store, open_turns) = Store::open(&config.data, &config.cache, clock.clone())?;
        let store = Arc::new(store);
        let auth = Auth::start(config.auth.clone(), Arc::clone(&store), clock.clone())?;
        let rates = Arc::new(Rates::new(config.limits.clone()));
        let slots = Slots::new(&config.concurrency);
        let parts = Parts {
            store: Arc::clone(&store),
            rates: Arc::clone(&rates),
            slots: slots.clone(),
            streams: Streams::new(config.limits.clone()),
            backend,
            clock: clock.clone(),
            idempotency_window: config.chat.idempotency_window,
        };
        let chat = Chat::start(parts, open_turns);
        Ok(Arc::new(Self { config, clock, store, auth, rates, slots, chat }))
    }
}
