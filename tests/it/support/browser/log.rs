//! What a browser says of itself: the lines on its pages' consoles, and the requests that they made.

use std::{collections::HashMap, fmt};

use serde_json::Value;

/// All that was said so far.
#[derive(Default)]
pub(super) struct Log {
    pub(super) console: Vec<Line>,
    pub(super) requests: Vec<Request>,
    /// Where the request with an id stands; a redirect begins another one with the same id.
    places: HashMap<String, usize>,
}

/// A line on a console.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// `SEVERE`, `WARNING`, `INFO` or `DEBUG`.
    pub(crate) level: String,
    /// Who wrote it: `javascript` (not caught), `network`, `security` (a policy), `console-api` (the page), ...
    pub(crate) source: String,
    pub(crate) text: String,
}

/// A request that a page made.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// The window of it.
    pub(crate) window: String,
    pub(crate) method: String,
    pub(crate) url: String,
    /// `Document`, `Script`, `Stylesheet`, `Image`, `Fetch`, `EventSource`, ...
    pub(crate) kind: String,
    /// Of the answer, once there is one.
    pub(crate) status: Option<u64>,
    /// What came over the wire, head and body, once it is complete.
    pub(crate) bytes: Option<u64>,
    /// Why it failed, as `net::ERR_CONNECTION_REFUSED`; of what a policy refused, `csp`.
    pub(crate) failure: Option<String>,
}

impl Log {
    /// Takes an entry of the log of consoles.
    pub(super) fn take_console(&mut self, entry: &Value) {
        let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        self.console.push(Line { level: field("level"), source: field("source"), text: field("message") });
    }

    /// Takes an entry of the log of events: a DevTools message, and the window of it.
    pub(super) fn take_event(&mut self, entry: &Value) {
        let Some(text) = entry["message"].as_str() else { return };
        let Ok(event) = serde_json::from_str::<Value>(text) else { return };
        let message = &event["message"];
        let params = &message["params"];
        let id = params["requestId"].as_str().unwrap_or_default();
        match message["method"].as_str().unwrap_or_default() {
            "Network.requestWillBeSent" => {
                let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                self.places.insert(id.to_owned(), self.requests.len());
                self.requests.push(Request {
                    window: field(&event["webview"]),
                    method: field(&params["request"]["method"]),
                    url: field(&params["request"]["url"]),
                    kind: field(&params["type"]),
                    status: None,
                    bytes: None,
                    failure: None,
                });
            }
            "Network.webSocketCreated" => {
                let url = params["url"].as_str().unwrap_or_default().to_owned();
                let window = event["webview"].as_str().unwrap_or_default().to_owned();
                let (method, kind) = ("GET".to_owned(), "WebSocket".to_owned());
                self.requests.push(Request { window, method, url, kind, status: None, bytes: None, failure: None });
            }
            "Network.responseReceived" => {
                let status = params["response"]["status"].as_u64();
                self.change(id, |request| request.status = status);
            }
            "Network.loadingFinished" => {
                let bytes = params["encodedDataLength"].as_f64();
                self.change(id, |request| request.bytes = bytes.map(whole));
            }
            "Network.loadingFailed" => {
                let why = params["blockedReason"].as_str().or(params["errorText"].as_str()).unwrap_or("failed");
                self.change(id, |request| request.failure = Some(why.to_owned()));
            }
            _ => {}
        }
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut Request)) {
        if let Some(&place) = self.places.get(id) {
            change(&mut self.requests[place]);
        }
    }
}

impl Line {
    /// True of errors, and of all that a policy says: also of what it only reports.
    pub(crate) fn is_bad(&self) -> bool {
        self.level == "SEVERE" || self.source == "security"
    }
}

impl fmt::Display for Line {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} {}: {}", self.level, self.source, self.text)
    }
}

impl Request {
    /// True of what never leaves the browser.
    pub(crate) fn is_local(&self) -> bool {
        ["data:", "blob:", "about:", "chrome:", "devtools:"].iter().any(|scheme| self.url.starts_with(scheme))
    }

    /// True while it may still bring something: an event stream, for instance.
    pub(crate) fn is_open(&self) -> bool {
        self.bytes.is_none() && self.failure.is_none()
    }
}

/// A count that came as a JSON number with a fraction.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are far below 2^53")]
pub(super) fn whole(number: f64) -> u64 {
    number as u64
}
