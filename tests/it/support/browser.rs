//! A real Chromium, headless, driven as a person would: windows, clicks, keys, and what can be seen and heard of it all.
//!
//! A `Browser` has a profile of its own, so its cookies and storage are one person's on one device; a `Tab` is one of its
//! windows. All calls block, and what they wait for has the tests' patience. Traffic is kept to loopback. Cookies do not
//! know ports: two servers that are open in one browser share them, as they do for people.

#[path = "browser/axe.rs"]
mod axe;
#[path = "browser/device.rs"]
mod device;
#[path = "browser/driver.rs"]
mod driver;
#[path = "browser/input.rs"]
mod input;
#[path = "browser/log.rs"]
mod log;
#[path = "browser/process.rs"]
mod process;
#[path = "browser/tab.rs"]
mod tab;
#[path = "browser/wait.rs"]
mod wait;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};

use driver::Driver;

pub(crate) use device::Media;
pub(crate) use log::{Line, Request};
pub(crate) use tab::Tab;

/// Nothing on a page takes longer: a test that hangs is a test that fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// A person's browser; it ends, with all of its processes, when it and its tabs are dropped.
pub(crate) struct Browser {
    driver: Arc<Driver>,
    locale: String,
    /// The window that it began with, until a tab takes it.
    first: Mutex<Option<String>>,
}

impl Browser {
    /// A browser of a person who reads British English.
    pub(crate) fn start() -> Self {
        Self::speaking("en-GB")
    }

    /// A browser with these preferred languages, such as `bn-IN,bn,en`; dates and numbers are in the first.
    pub(crate) fn speaking(languages: &str) -> Self {
        let (driver, first) = Driver::start(languages);
        let locale = languages.split(',').next().unwrap_or_default().to_owned();
        Self { driver: Arc::new(driver), locale, first: Mutex::new(Some(first)) }
    }

    /// Opens a window that shows nothing yet. All windows of a browser count as visible and focused.
    pub(crate) fn tab(&self) -> Tab {
        let taken = self.first.lock().unwrap().take();
        let window = taken.unwrap_or_else(|| self.driver.new_window());
        let tab = Tab::new(Arc::clone(&self.driver), window);
        tab.cdp("Emulation.setFocusEmulationEnabled", &serde_json::json!({"enabled": true}));
        tab.locale(&self.locale);
        tab
    }

    /// Opens a window and goes there.
    pub(crate) fn open(&self, url: &str) -> Tab {
        let tab = self.tab();
        tab.goto(url);
        tab
    }

    /// Every request that its pages made so far, in the order in which they began.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.driver.log(|log| log.requests.clone())
    }

    /// Every line on the consoles of its pages so far: what they logged, what was not caught, what a policy refused.
    pub(crate) fn console(&self) -> Vec<Line> {
        self.driver.log(|log| log.console.clone())
    }

    /// Fails where a console has a line of an error or of a refusal by a policy, but those with one of these words.
    #[track_caller]
    pub(crate) fn is_clean(&self, expected: &[&str]) {
        let console = self.console();
        let bad = console.iter().filter(|line| line.is_bad() && !expected.iter().any(|word| line.text.contains(word)));
        let mut list = String::new();
        for line in bad {
            let _ = write!(list, "\n{line}");
        }
        assert!(list.is_empty(), "the console has:{list}");
    }

    /// Fails where a page asked anyone else than these origins (`http://127.0.0.1:8000`), or tried to.
    #[track_caller]
    pub(crate) fn asked_only(&self, origins: &[&str]) {
        let is_theirs = |url: &str| {
            let rest = origins.iter().find_map(|origin| url.strip_prefix(origin));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        let requests = self.requests();
        let others: Vec<_> =
            requests.iter().filter(|request| !request.is_local() && !is_theirs(&request.url)).collect();
        assert!(others.is_empty(), "asked elsewhere: {others:#?}");
    }

    /// The processes of it that are alive.
    pub(crate) fn processes(&self) -> Vec<u32> {
        self.driver.processes()
    }

    /// What all of its processes share: they can be found by it after its end.
    pub(crate) fn group(&self) -> u32 {
        self.driver.group()
    }
}

/// The processes that are alive in this group of a browser.
pub(crate) fn processes_of(group: u32) -> Vec<u32> {
    process::alive(group)
}
