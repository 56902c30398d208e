//! A server that receives webhooks, notes each, and answers as it is told to.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

/// One that never comes ends the test after this.
const PATIENCE: Duration = Duration::from_mins(1);

/// A message that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// The id that all tries have in common.
    pub(crate) id: String,
    /// The head, as it came.
    pub(crate) head: String,
    pub(crate) body: String,
}

/// A receiver; it ends with the process.
pub(crate) struct Hooks {
    pub(crate) address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    /// The status that is answered with; nothing for no answer at all.
    status: Option<u16>,
    came: Vec<Delivery>,
}

impl Hooks {
    /// A receiver that answers with `status`, or takes what comes and answers nothing.
    pub(crate) fn start(status: Option<u16>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::new(State { status, came: Vec::new() }), Condvar::new()));
        let theirs = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&theirs);
                std::thread::spawn(move || serve(client, &shared));
            }
        });
        Self { address, shared }
    }

    /// From now on it answers with this.
    pub(crate) fn answer(&self, status: Option<u16>) {
        self.shared.0.lock().unwrap().status = status;
    }

    /// Waits until so many messages have come, and gives all that have.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Vec<Delivery> {
        let state = self.shared.0.lock().unwrap();
        let too_few = |state: &mut State| state.came.len() < count;
        let (state, waited) = self.shared.1.wait_timeout_while(state, PATIENCE, too_few).unwrap();
        assert!(!waited.timed_out(), "{} of {count} came", state.came.len());
        state.came.clone()
    }

    /// All that have come.
    pub(crate) fn came(&self) -> Vec<Delivery> {
        self.wait_for(0)
    }

    /// How often each came.
    pub(crate) fn counts(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for delivery in self.came() {
            *counts.entry(delivery.id).or_default() += 1;
        }
        counts
    }
}

fn serve(client: TcpStream, shared: &(Mutex<State>, Condvar)) {
    let mut reader = BufReader::new(client);
    while let Some(delivery) = read(&mut reader) {
        let status = {
            let mut state = shared.0.lock().unwrap();
            state.came.push(delivery);
            shared.1.notify_all();
            state.status
        };
        let Some(status) = status else {
            let _ = reader.read(&mut [0]); // Until the client goes away.
            return;
        };
        let answer =
            format!("HTTP/1.1 {status} As told\r\nlocation: http://{status}.invalid/\r\ncontent-length: 0\r\n\r\n");
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Delivery> {
    let (mut head, mut length, mut id) = (String::new(), 0, String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().ok()?,
                "x-bondhu-delivery" => value.trim().clone_into(&mut id),
                _ => {}
            }
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Delivery { id, head, body: String::from_utf8(body).ok()? })
}
