//! A model server on loopback that speaks OpenAI's chat completions, well or badly, as each message asks it to.
//!
//! The last message of the user chooses: `[[tokens 5 20]] one two three` is answered with its text in five pieces, one
//! every 20 ms. All directives stand in `stub/directive.rs`. It knows nothing else of the tests, so that the benches can
//! use it too; and it has threads of its own, so that it goes on while a test blocks.

#[path = "stub/answer.rs"]
mod answer;
#[path = "stub/connection.rs"]
mod connection;
#[path = "stub/directive.rs"]
mod directive;
#[path = "stub/script.rs"]
mod script;

use std::{
    collections::{HashMap, HashSet},
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::Value;
use tokio::{
    net::{TcpListener, TcpSocket},
    runtime::Runtime,
    sync::Semaphore,
};

use directive::{Directive, Order};

/// Nothing that a test waits for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// As many connections may wait to be accepted.
const BACKLOG: u32 = 4096;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `POST`.
    pub(crate) method: String,
    /// The target, with its query.
    pub(crate) path: String,
    /// In their order; the names in lower case.
    pub(crate) headers: Arc<[(String, String)]>,
    /// Null where there was none, a string where it was no JSON.
    pub(crate) body: Arc<Value>,
    /// When its last byte had been read.
    pub(crate) at: Instant,
    /// When its client closed the connection, where that was before the answer was whole.
    pub(crate) closed_early: Option<Instant>,
}

impl Seen {
    /// The first header of this name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A running server; it ends all that it began when dropped, which must not be done in a task of another runtime.
pub(crate) struct Stub {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropping it waits for its threads, and so for every socket to be closed.
    _runtime: Runtime,
}

/// What the server's tasks and the test see of each other.
struct Shared {
    state: Mutex<State>,
    /// Notified by every change of `state`.
    changed: Condvar,
}

struct State {
    /// How many changes there were: who waits sees by it that one came while he looked.
    version: u64,
    seen: Vec<Seen>,
    connections: usize,
    replying: usize,
    /// For messages that bring no directive.
    default: Directive,
    /// The texts of messages that have had their one time.
    had: HashSet<String>,
    /// A permit lets one piece go. Where the gate is released, its semaphore is closed, which holds nobody.
    gates: HashMap<String, Arc<Semaphore>>,
}

impl Stub {
    /// A server on a free port.
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    /// A server at this address, as to come back where another one was dropped.
    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("stub")
            .enable_all()
            .build()
            .expect("threads can be had");
        let listener = runtime.block_on(async { listen(address) });
        let address = listener.local_addr().expect("a listener has an address");
        let state = State {
            version: 0,
            seen: Vec::new(),
            connections: 0,
            replying: 0,
            default: Directive::default(),
            had: HashSet::new(),
            gates: HashMap::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        runtime.spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, _runtime: runtime }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client of the API is configured with.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// From now on, answers messages that bring no directive by this one (without brackets); at first it is `say`.
    pub(crate) fn behave(&self, default: &str) {
        let directive = Directive::parse(default).unwrap_or_else(|wrong| panic!("{wrong}"));
        self.shared.change(|state| state.default = directive);
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// How many sockets are open.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// How many requests are being answered; one that is never answered counts until its client goes.
    pub(crate) fn replying(&self) -> usize {
        self.shared.state().replying
    }

    /// Blocks until `what` holds, and gives how long that took.
    ///
    /// # Panics
    /// Where it does not hold within 30 s.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        loop {
            let version = self.shared.state().version;
            if what(self) {
                return began.elapsed();
            }
            let left = PATIENCE.checked_sub(began.elapsed());
            let state = self.shared.state();
            let Some(left) = left else {
                let (seen, replying, connections) = (state.seen.len(), state.replying, state.connections);
                drop(state);
                panic!("not in {PATIENCE:?}: {seen} requests, {replying} being answered, {connections} connections");
            };
            let unchanged = |state: &mut State| state.version == version;
            let waited = self.shared.changed.wait_timeout_while(state, left, unchanged);
            drop(waited.expect("nobody panics while he holds it"));
        }
    }

    /// Lets everyone go on who waits at the gate, or comes there later.
    pub(crate) fn release(&self, name: &str) {
        self.shared.gate(name).close();
    }

    /// Lets one piece go that waits at the gate, or the next that comes there.
    pub(crate) fn step(&self, name: &str) {
        self.shared.gate(name).add_permits(1);
    }

    /// For the newest request whose client closed the connection before the answer was whole: how long after the request
    /// that was.
    pub(crate) fn closed_after(&self) -> Option<Duration> {
        let state = self.shared.state();
        state.seen.iter().rev().find_map(|seen| Some(seen.closed_early?.duration_since(seen.at)))
    }
}

/// The body that `[[say]]` and `[[cut N]]` answer this reply text with, where usage is asked for: the places to cut it at
/// are `0..=body(text).len()`.
pub(crate) fn body(text: &str) -> Vec<u8> {
    script::parts(script::Shape::Say, script::Frame::Plain, text, true).concat()
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while he holds it")
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let made = change(&mut state);
        state.version += 1;
        self.changed.notify_all();
        made
    }

    fn gate(&self, name: &str) -> Arc<Semaphore> {
        let gate = || Arc::new(Semaphore::new(0));
        Arc::clone(self.state().gates.entry(name.to_owned()).or_insert_with(gate))
    }

    /// Notes a request, which is being answered from now on; gives its place among the seen.
    fn begin(&self, seen: Seen) -> usize {
        self.change(|state| {
            state.replying += 1;
            state.seen.push(seen);
            state.seen.len() - 1
        })
    }

    /// Notes that a request is being answered no more.
    fn end(&self, place: usize, closed_early: bool) {
        self.change(|state| {
            state.replying -= 1;
            state.seen[place].closed_early = closed_early.then(Instant::now);
        });
    }

    /// What a request's body orders; an error where it is none that the API takes, or its directive is unknown.
    fn order(&self, body: &Value) -> Result<Order, String> {
        let mut state = self.state();
        let mut order = Order::of(body, &state.default)?;
        if order.directive.once && !state.had.insert(order.message.clone()) {
            order.directive = Directive::default();
        }
        Ok(order)
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let bind = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().unwrap_or_else(|error: std::io::Error| panic!("{address}: {error}"))
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await; // No descriptor is free; one will be.
            continue;
        };
        shared.change(|state| state.connections += 1);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            connection::serve(socket, &shared).await;
            shared.change(|state| state.connections -= 1);
        });
    }
}
