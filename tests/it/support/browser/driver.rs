//! One session with chromedriver: it takes one call at a time, for the window that it is meant for.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use fantoccini::{
    Client, ClientBuilder,
    error::CmdError,
    wd::{TimeoutConfiguration, WebDriverCompatibleCommand, WindowHandle},
};
use http::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::{runtime::Runtime, time::timeout};
use url::{ParseError, Url};

use super::{PATIENCE, log::Log, process::Process};

/// Beyond the patience of what runs in the page, so that the page's own words are heard first.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// A browser that does not close in order by then is killed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A browser with its session.
pub(super) struct Driver {
    client: Client,
    runtime: Runtime,
    state: Mutex<State>,
    process: Process,
    /// Removed when all processes have ended.
    _profile: TempDir,
}

struct State {
    /// The window that calls go to.
    window: String,
    log: Log,
}

impl Driver {
    /// Starts a browser; gives its first window too.
    pub(super) fn start(languages: &str) -> (Self, String) {
        let profile = tempfile::tempdir().unwrap();
        let process = Process::start();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let wanted = capabilities(&profile.path().display().to_string(), languages);
        let url = format!("http://127.0.0.1:{}", process.port);
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(wanted);
        let (client, window) = runtime.block_on(async {
            let client = timeout(CALL_TIMEOUT, builder.connect(&url)).await.expect("in time").unwrap();
            let patience = TimeoutConfiguration::new(Some(PATIENCE), Some(PATIENCE), Some(Duration::ZERO));
            client.update_timeouts(patience).await.unwrap();
            let window = client.window().await.unwrap();
            (client, String::from(window))
        });
        let state = State { window: window.clone(), log: Log::default() };
        (Self { client, runtime, state: Mutex::new(state), process, _profile: profile }, window)
    }

    /// Opens a window.
    pub(super) fn new_window(&self) -> String {
        let made = self.runtime.block_on(self.client.new_window(false)).unwrap();
        made.handle.into()
    }

    /// Does something in a window.
    pub(super) fn on<T>(
        &self,
        window: &str,
        work: impl AsyncFnOnce(&Client) -> Result<T, CmdError>,
    ) -> Result<T, CmdError> {
        let mut state = self.state();
        let done = async {
            if state.window != window {
                let handle = WindowHandle::try_from(window.to_owned()).expect("it was a handle");
                self.client.switch_to_window(handle).await?;
                window.clone_into(&mut state.window);
            }
            work(&self.client).await
        };
        self.runtime.block_on(async { timeout(CALL_TIMEOUT, done).await }).unwrap_or(Err(CmdError::WaitTimeout))
    }

    /// Makes a call that WebDriver's standard does not have.
    pub(super) fn call(&self, window: &str, path: &str, body: Value) -> Result<Value, CmdError> {
        self.on(window, async |client| client.issue_cmd(Call { path: path.to_owned(), body }).await)
    }

    /// Takes what has been logged since, and looks at all of it.
    pub(super) fn log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        let mut state = self.state();
        for (kind, take) in [("browser", Log::take_console as fn(&mut Log, &Value)), ("performance", Log::take_event)] {
            let call = Call { path: "se/log".to_owned(), body: json!({"type": kind}) };
            let entries = self.runtime.block_on(self.client.issue_cmd(call)).unwrap();
            for entry in entries.as_array().into_iter().flatten() {
                take(&mut state.log, entry);
            }
        }
        look(&state.log)
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        super::process::alive(self.group())
    }

    pub(super) fn group(&self) -> u32 {
        self.process.group()
    }

    /// A test that failed in the middle of a call leaves its lock poisoned; what it guards is whole at any time.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // In order first: then chromedriver takes its children's ends. Whatever does not obey is killed by `Process`.
        let client = self.client.clone();
        let _ = self.runtime.block_on(async { timeout(CLOSE_TIMEOUT, client.close()).await });
    }
}

/// A call outside of the standard.
#[derive(Debug)]
struct Call {
    /// From the session on.
    path: String,
    /// Null for a call that only asks.
    body: Value,
}

impl WebDriverCompatibleCommand for Call {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        if self.body.is_null() { (Method::GET, None) } else { (Method::POST, Some(self.body.to_string())) }
    }
}

/// What a browser is to be like.
fn capabilities(profile: &str, languages: &str) -> Map<String, Value> {
    let profile = format!("--user-data-dir={profile}");
    let wanted = json!({
        "goog:chromeOptions": {
            "args": [
                "--headless=new",
                "--no-sandbox", // Chromium's needs rights that containers do not give; the pages are ours.
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe", // It ends with its chromedriver.
                "--window-size=1280,800",
                // A mouse, which a machine without a screen does not have: it points finely, and can hover.
                "--blink-settings=primaryPointerType=4,availablePointerTypes=4,primaryHoverType=2,availableHoverTypes=2",
                "--no-first-run",
                // Nothing of its own goes to any network.
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
                profile,
            ],
            // Begins with an empty page, not with one that asks for tiles.
            "prefs": {
                "intl.accept_languages": languages,
                "session.restore_on_startup": 4,
                "session.startup_urls": ["about:blank"],
            },
            "perfLoggingPrefs": {"enableNetwork": true, "enablePage": false},
        },
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        "unhandledPromptBehavior": "ignore",
    });
    serde_json::from_value(wanted).unwrap()
}
