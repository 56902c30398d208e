//! A closed loop: on each connection one request after another.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
};

use crate::{
    load::{client::Connection, server::Server},
    measure::{
        allocations::Allocations,
        figures::{float, us},
        process::{Counting, pause},
    },
};

/// What one loop came to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Loop {
    pub(crate) per_second: f64,
    /// CPU time of the server for a request, us.
    pub(crate) cpu: f64,
}

/// System calls of the server for a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PerRequest {
    /// All but waits.
    pub(crate) calls: f64,
    pub(crate) waits: f64,
    pub(crate) syncs: f64,
}

/// Asks for the same again and again; all answers have the same length.
#[derive(Clone)]
pub(crate) struct Same {
    pub(crate) request: Vec<u8>,
    pub(crate) length: usize,
}

impl Same {
    /// Asks on a connection until it is told to stop.
    pub(crate) async fn ask(self, address: SocketAddr, _: usize, asked: Asked) {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("an open socket");
        let mut buffer = vec![0; self.length];
        while asked.goes_on() {
            stream.write_all(&self.request).await.expect("the server reads");
            stream.read_exact(&mut buffer).await.expect("the server answers");
            asked.one_more();
        }
    }
}

/// Each connection has a request of its own; answers are read whole.
#[derive(Clone)]
pub(crate) struct Own(pub(crate) Arc<Vec<Vec<u8>>>);

impl Own {
    /// Asks on a connection until it is told to stop.
    pub(crate) async fn ask(self, address: SocketAddr, index: usize, asked: Asked) {
        let mut connection = Connection::open(address).await.expect("a connection");
        while asked.goes_on() {
            let answer = connection.exchange(&self.0[index]).await.expect("an answer");
            assert!(answer.status < 300, "{}", answer.status);
            asked.one_more();
        }
    }
}

/// How many were asked, and whether more are wanted.
#[derive(Clone)]
pub(crate) struct Asked {
    begun: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    most: usize,
    stop: Arc<AtomicBool>,
}

impl Asked {
    fn new(most: usize) -> Self {
        Self { begun: Arc::default(), answered: Arc::default(), most, stop: Arc::default() }
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && self.begun.fetch_add(1, Ordering::Relaxed) < self.most
    }

    fn one_more(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> f64 {
        float(self.answered.load(Ordering::Relaxed))
    }
}

/// Lets `ask` run on so many connections, each in a task, while `measure` looks on; ends when all have ended.
fn with<F: Future<Output = ()> + Send + 'static, T>(
    server: SocketAddr,
    connections: usize,
    asked: &Asked,
    ask: impl Fn(SocketAddr, usize, Asked) -> F,
    measure: impl FnOnce() -> T,
) -> T {
    // A thread of its own for the connections: this one measures.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime: Runtime = runtime.expect("a runtime");
    let tasks: Vec<_> = (0..connections).map(|n| runtime.spawn(ask(server, n, asked.clone()))).collect();
    let result = measure();
    runtime.block_on(async {
        for task in tasks {
            task.await.expect("a connection ends");
        }
    });
    result
}

/// Requests a second and CPU time; the first moments do not count.
pub(crate) fn run<F: Future<Output = ()> + Send + 'static>(
    server: &Server,
    connections: usize,
    time: Duration,
    ask: impl Fn(SocketAddr, usize, Asked) -> F,
) -> Loop {
    let asked = Asked::new(usize::MAX);
    with(server.address, connections, &asked, ask, || {
        pause(Duration::from_millis(300));
        let (began, cpu, before) = (Instant::now(), server.cpu_time(), asked.count());
        pause(time);
        let requests = asked.count() - before;
        let (elapsed, cpu) = (began.elapsed(), server.cpu_time().saturating_sub(cpu));
        asked.stop.store(true, Ordering::Relaxed);
        Loop { per_second: requests / elapsed.as_secs_f64(), cpu: us(cpu) / requests }
    })
}

/// Exactly so many requests.
fn exactly<F: Future<Output = ()> + Send + 'static>(
    server: &Server,
    connections: usize,
    requests: usize,
    ask: impl Fn(SocketAddr, usize, Asked) -> F,
) {
    with(server.address, connections, &Asked::new(requests), ask, || {});
}

/// System calls of so many requests, where they can be counted; those of making the connections are among them.
pub(crate) fn calls<F: Future<Output = ()> + Send + 'static>(
    server: &Server,
    connections: usize,
    requests: usize,
    ask: impl Fn(SocketAddr, usize, Asked) -> F,
) -> Option<PerRequest> {
    let counting = Counting::begin(server.id())?;
    exactly(server, connections, requests, ask);
    let calls = counting.end();
    let each = |count: f64| count / float(requests);
    Some(PerRequest { calls: each(calls.all - calls.waits), waits: each(calls.waits), syncs: each(calls.syncs) })
}

/// Allocations of so many requests, of a server that counts them.
pub(crate) fn allocations<F: Future<Output = ()> + Send + 'static>(
    server: &Server,
    connections: usize,
    requests: usize,
    ask: impl Fn(SocketAddr, usize, Asked) -> F,
) -> Allocations {
    exactly(server, connections, connections * 20, &ask);
    let before = server.allocations();
    exactly(server, connections, requests, &ask);
    server.allocations().each_after(before, float(requests))
}
