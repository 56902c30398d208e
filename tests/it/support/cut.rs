//! A relay in front of a server, which a test can cut and mend: the network between a page and its server.
//!
//! A page keeps the relay's address while the server behind it changes, as after a restart on another port.

use std::{
    future, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    runtime::Runtime,
    sync::watch,
};

/// What becomes of bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// They pass.
    Open,
    /// They wait where they are, and go on later.
    Held,
    /// They vanish. A connection that has lived through this carries nothing any more, and nobody tells its ends.
    Lost,
    /// Every connection is closed, and a new one at once.
    Cut,
}

/// What holds now, and how often it was harsh: a connection must not miss that between two looks.
#[derive(Debug, Clone, Copy)]
struct Rule {
    way: Way,
    server: SocketAddr,
    cuts: u64,
    losses: u64,
}

/// A relay on a free port of loopback; all of its connections end with it.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    rule: watch::Sender<Rule>,
    counts: Arc<Counts>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Counts {
    open: AtomicUsize,
    taken: AtomicUsize,
    heard: AtomicUsize,
}

impl Relay {
    /// A relay in front of this server.
    pub(crate) fn to(server: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("relay")
            .enable_all()
            .build()
            .expect("threads can be had");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (rule, ruled) = watch::channel(Rule { way: Way::Open, server, cuts: 0, losses: 0 });
        let counts = Arc::new(Counts::default());
        runtime.spawn(accept(listener, ruled, Arc::clone(&counts)));
        Self { address, rule, counts, _runtime: runtime }
    }

    /// The origin of pages that come through it.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Closes every connection, and every new one as soon as it comes.
    pub(crate) fn cut(&self) {
        self.rule.send_modify(|rule| (rule.way, rule.cuts) = (Way::Cut, rule.cuts + 1));
    }

    /// Lets all bytes vanish, and tells nobody. Connections that are open now stay dead when it is mended.
    pub(crate) fn swallow(&self) {
        self.rule.send_modify(|rule| (rule.way, rule.losses) = (Way::Lost, rule.losses + 1));
    }

    /// Lets nothing pass for a while; what was sent arrives when it is mended.
    pub(crate) fn hold(&self) {
        self.rule.send_modify(|rule| rule.way = Way::Held);
    }

    /// Lets bytes pass again.
    pub(crate) fn mend(&self) {
        self.rule.send_modify(|rule| rule.way = Way::Open);
    }

    /// Sends new connections to another server.
    pub(crate) fn point_at(&self, server: SocketAddr) {
        self.rule.send_modify(|rule| rule.server = server);
    }

    /// How many connections it has now.
    pub(crate) fn open(&self) -> usize {
        self.counts.open.load(Ordering::SeqCst)
    }

    /// How many bytes have come from clients, whatever became of them.
    pub(crate) fn heard(&self) -> usize {
        self.counts.heard.load(Ordering::SeqCst)
    }

    /// How many connections it was asked for, also while it was cut.
    pub(crate) fn taken(&self) -> usize {
        self.counts.taken.load(Ordering::SeqCst)
    }
}

async fn accept(listener: TcpListener, ruled: watch::Receiver<Rule>, counts: Arc<Counts>) {
    while let Ok((client, _)) = listener.accept().await {
        let born = *ruled.borrow();
        counts.taken.fetch_add(1, Ordering::SeqCst);
        if born.way == Way::Cut {
            continue;
        }
        let (ruled, counts) = (ruled.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            counts.open.fetch_add(1, Ordering::SeqCst);
            let _ = relay(client, born, ruled, &counts.heard).await; // Either end may break it off.
            counts.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Passes bytes both ways until one end closes, or until it is cut.
async fn relay(client: TcpStream, born: Rule, mut ruled: watch::Receiver<Rule>, heard: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(born.server).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (there, back) = (ruled.clone(), ruled.clone());
    let count = |bytes| {
        heard.fetch_add(bytes, Ordering::SeqCst);
    };
    let there_and_back = async {
        tokio::join!(
            pass(from_client, to_server, born, there, count),
            pass(from_server, to_client, born, back, |_| ())
        );
    };
    tokio::select! {
        () = there_and_back => {}
        _ = ruled.wait_for(|rule| rule.cuts > born.cuts) => {}
    }
    Ok(())
}

/// Passes bytes one way, as the rule of the moment says; the end of what comes is passed on too.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    born: Rule,
    mut ruled: watch::Receiver<Rule>,
    count: impl Fn(usize),
) {
    let mut bytes = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut bytes).await.unwrap_or(0);
        count(read);
        let Ok(rule) = ruled.wait_for(|rule| rule.way != Way::Held).await.map(|rule| *rule) else { return };
        let is_lost = born.way == Way::Lost || rule.losses > born.losses;
        if is_lost && read == 0 {
            return future::pending().await; // Nobody is told, until it is cut.
        }
        if read == 0 || !is_lost && to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
