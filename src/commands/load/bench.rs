//! What all users of one run share, and one request with its measurement.
//!
//! Everything runs on one thread, so the cells are never borrowed twice: no borrow lives across an await.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use super::figures::{Call, End, Figures};
use crate::{
    checker::{Checker, SessionNo},
    cli::{Api, Load},
    client::{Kept, Origin, Reply},
};

/// Connections from one address of the loopback network: a server has bounds for each address, and an address has 28,000
/// ports.
const PER_ADDRESS: u32 = 1_000;

/// One run.
pub(super) struct Bench {
    pub(super) origin: Origin,
    pub(super) options: Load,
    pub(super) seed: u64,
    pub(super) figures: RefCell<Figures>,
    pub(super) checker: RefCell<Checker>,
    /// When it counts from; nothing counts before it is set.
    pub(super) from: Cell<Option<Instant>>,
    /// When no new step begins any more.
    pub(super) until: Cell<Option<Instant>>,
    pub(super) connections: Cell<u32>,
    pub(super) steps: Cell<u64>,
    pub(super) interrupted: Cell<bool>,
    /// CPU time of this program when what counts began.
    pub(super) cpu_at_begin: Cell<Duration>,
    /// With which words the server refused last.
    pub(super) refusal: RefCell<String>,
    /// The sessions that others try to reach: their numbers, ids, and owners.
    pub(super) victims: RefCell<Vec<(SessionNo, String, String)>>,
}

/// One user's connection, which is made when it is needed.
pub(super) struct Tab {
    kept: Option<Kept>,
    from: Option<IpAddr>,
    pub(super) token: Option<String>,
}

/// One request.
#[derive(Clone)]
pub(super) struct Question<'a> {
    pub(super) call: Call,
    pub(super) method: &'static str,
    pub(super) path: &'a str,
    pub(super) body: Option<String>,
    /// Its idempotency key.
    pub(super) key: Option<&'a str>,
    /// The entity tag of what is known already.
    pub(super) tag: Option<&'a str>,
    /// The status that is right beside the 200s.
    pub(super) also: u16,
}

/// What came of a request.
pub(super) enum Answer {
    /// What was wanted.
    Ok(Reply),
    /// 429 or 503: nothing was done.
    Refused,
    /// Another status, with which the server says what it did.
    Status(u16),
    /// No answer.
    Nothing,
}

impl Bench {
    pub(super) fn is_over(&self) -> bool {
        self.until.get().is_some_and(|until| Instant::now() >= until)
    }

    /// Counts what was due at `due`, unless it was before the measurement.
    pub(super) fn record(&self, call: Call, due: Instant, end: &End) {
        if call.is_setup() || self.from.get().is_some_and(|from| due >= from) {
            self.figures.borrow_mut().record(call, due.elapsed(), end);
        }
    }

    pub(super) fn is_old(&self) -> bool {
        self.options.api == Api::Old
    }

    /// A connection, still to be made, from an address that has room.
    pub(super) fn tab(&self, token: Option<String>) -> Tab {
        let number = self.connections.get();
        self.connections.set(number + 1);
        let [_, b, c, d] = (Ipv4Addr::LOCALHOST.to_bits() + number / PER_ADDRESS).to_be_bytes();
        let is_loopback = self.origin.address().ip() == IpAddr::V4(Ipv4Addr::LOCALHOST);
        let from = is_loopback.then_some(IpAddr::V4(Ipv4Addr::new(127, b, c, d)));
        Tab { kept: None, from, token }
    }

    fn timeout(&self) -> Duration {
        Duration::try_from_secs_f64(self.options.timeout).unwrap_or(Duration::from_mins(1))
    }
}

impl Tab {
    /// Asks, and counts how long it took since `due`.
    pub(super) async fn ask(&mut self, bench: &Bench, due: Instant, question: Question<'_>) -> Answer {
        let (call, also) = (question.call, question.also);
        let request = self.bytes(bench, &question);
        let asked = tokio::time::timeout(bench.timeout(), self.exchange(bench, &request)).await;
        let (end, answer) = match asked {
            Ok(Ok(reply)) => {
                if matches!(reply.head.status, 429 | 503) {
                    *bench.refusal.borrow_mut() = said(&reply);
                }
                judged(reply, also)
            }
            Ok(Err(error)) => (End::Error(error.to_string()), Answer::Nothing),
            Err(_) => (End::Error("no answer in time".to_owned()), Answer::Nothing),
        };
        if matches!(answer, Answer::Nothing) {
            self.kept = None;
        }
        bench.record(call, due, &end);
        answer
    }

    /// Opens a stream on this connection; the caller reads it.
    pub(super) async fn open(&mut self, bench: &Bench, question: Question<'_>) -> Option<Kept> {
        let (call, due, request) = (question.call, Instant::now(), self.bytes(bench, &question));
        let asked = tokio::time::timeout(bench.timeout(), async {
            let mut kept = self.connection(bench).await?;
            let head = kept.open(&request).await?;
            Ok::<_, crate::client::KeptError>((kept, head))
        });
        let (end, kept) = match asked.await {
            Ok(Ok((kept, head))) if head.status == 200 && head.is_stream => (End::Ok, Some(kept)),
            Ok(Ok((_, head))) if matches!(head.status, 429 | 503) => (End::Refused(head.retry_after), None),
            Ok(Ok((_, head))) => (End::Error(format!("status {}", head.status)), None),
            Ok(Err(error)) => (End::Error(error.to_string()), None),
            Err(_) => (End::Error("no answer in time".to_owned()), None),
        };
        bench.record(call, due, &end);
        kept
    }

    /// Closes the connection; the next request makes a new one.
    pub(super) fn close(&mut self) {
        self.kept = None;
    }

    fn bytes(&self, bench: &Bench, question: &Question<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        bench.origin.head(question.method, question.path, &mut out);
        let token = self.token.as_ref().map(|token| ("authorization: Bearer ", token.as_str()));
        let key = question.key.map(|key| ("idempotency-key: ", key));
        let tag = question.tag.map(|tag| ("if-none-match: ", tag));
        for (name, value) in [token, key, tag].into_iter().flatten() {
            for part in [name, value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        let body = question.body.as_deref().unwrap_or_default();
        if question.body.is_some() {
            let length = body.len().to_string();
            for part in ["content-type: application/json\r\ncontent-length: ", &length, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body.as_bytes());
        out
    }

    async fn exchange(&mut self, bench: &Bench, request: &[u8]) -> Result<Reply, crate::client::KeptError> {
        let mut kept = self.connection(bench).await?;
        let reply = kept.ask(request).await?;
        self.kept = Some(kept);
        Ok(reply)
    }

    /// The connection; a new one where the server has closed it while nothing was asked.
    async fn connection(&mut self, bench: &Bench) -> Result<Kept, crate::client::KeptError> {
        match self.kept.take().filter(Kept::is_open) {
            Some(kept) => Ok(kept),
            None => bench.origin.connect(self.from).await,
        }
    }
}

fn judged(reply: Reply, also: u16) -> (End, Answer) {
    match reply.head.status {
        status if (200..300).contains(&status) || status == also => (End::Ok, Answer::Ok(reply)),
        429 | 503 => (End::Refused(reply.head.retry_after), Answer::Refused),
        status => (End::Error(said(&reply)), Answer::Status(status)),
    }
}

/// The answer's status, and what it says of it.
fn said(reply: &Reply) -> String {
    let said = String::from_utf8_lossy(reply.body()).chars().take(120).collect::<String>();
    let said = serde_json::from_slice::<serde_json::Value>(reply.body())
        .ok()
        .and_then(|problem| Some(problem["detail"].as_str()?.to_owned()))
        .unwrap_or(said);
    format!("status {}, {said}", reply.head.status)
}
