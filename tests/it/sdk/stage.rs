//! What tests in other languages ask of this one: a JSON object a line over a connection, and one a line back.
//!
//! `{"do": "server", "settings": […], "rough": true}` starts a server in front of the stub and gives its `id`, its `base_url`
//! and the `keys` of two users; `kill` ends it by SIGKILL and starts it again; `release` and `step` are those of the stub's
//! gates, `behave` is its default; `seen` gives the bodies that the model was asked with, and `gone` waits until nobody hears the
//! model any more.

use std::{
    io::{BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::support::{Server, list, model::asking, stub::Stub, text};

/// The model, and the servers in front of it.
pub(super) struct Stage {
    stub: Stub,
    /// By their ids, which are places here; empty while one is killed.
    servers: Mutex<Vec<Option<Running>>>,
}

struct Running {
    server: Server,
    settings: Vec<String>,
    /// True where answers of the 500s are wanted.
    rough: bool,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self { stub: Stub::start(), servers: Mutex::new(Vec::new()) }
    }

    /// Listens while `play` runs, which is given the address.
    pub(super) fn play<T>(&self, play: impl FnOnce(SocketAddr) -> T) -> T {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for connection in listener.incoming() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    let connection = connection.unwrap();
                    scope.spawn(|| self.hear(connection));
                }
            });
            let played = play(address);
            over.store(true, Ordering::SeqCst);
            drop(TcpStream::connect(address).unwrap()); // It looks up, and sees that it is over.
            played
        })
    }

    /// Nothing broke in any server, but where that is wanted.
    #[track_caller]
    pub(super) fn is_calm(&self) {
        for running in self.servers.lock().unwrap().iter().flatten().filter(|running| !running.rough) {
            running.server.is_calm();
        }
    }

    fn hear(&self, mut connection: TcpStream) {
        let lines = BufReader::new(connection.try_clone().unwrap()).lines();
        for line in lines.map_while(Result::ok) {
            let answer = self.act(&serde_json::from_str(&line).unwrap());
            if writeln!(connection, "{answer}").is_err() {
                return;
            }
        }
    }

    fn act(&self, asked: &Value) -> Value {
        match asked["do"].as_str() {
            Some("server") => self.start(asked),
            Some("kill") => self.kill(asked),
            Some("release") => {
                self.stub.release(&text(&asked["gate"]));
                json!({})
            }
            Some("step") => {
                self.stub.step(&text(&asked["gate"]));
                json!({})
            }
            Some("behave") => {
                self.stub.behave(&text(&asked["directive"]));
                json!({})
            }
            Some("seen") => {
                let bodies: Vec<Value> = self.stub.seen().iter().map(|seen| (*seen.body).clone()).collect();
                json!({ "bodies": bodies })
            }
            Some("gone") => {
                self.stub.wait_until(|stub| stub.replying() == 0);
                json!({})
            }
            _ => panic!("nobody knows how to do this: {asked}"),
        }
    }

    fn start(&self, asked: &Value) -> Value {
        let settings: Vec<String> = list(&asked["settings"]).iter().map(text).collect();
        let server = asking(&self.stub, &borrowed(&settings));
        let keys = ["amina", "bela"].map(|name| server.user(name).0.token.unwrap());
        let base_url = base_url(&server);
        let mut servers = self.servers.lock().unwrap();
        servers.push(Some(Running { server, settings, rough: asked["rough"] == true }));
        json!({ "id": servers.len() - 1, "base_url": base_url, "keys": keys })
    }

    fn kill(&self, asked: &Value) -> Value {
        let id = usize::try_from(asked["server"].as_u64().unwrap()).unwrap();
        let mut running = self.servers.lock().unwrap()[id].take().unwrap();
        running.server.kill();
        self.stub.wait_until(|stub| stub.replying() == 0); // Nothing of before waits at a gate.
        let base = format!("reply.openai.base_url={}", self.stub.base_url());
        let mut settings = vec!["reply.backend=openai", &base];
        settings.extend(borrowed(&running.settings));
        running.server = running.server.restart(&settings);
        let base_url = base_url(&running.server);
        self.servers.lock().unwrap()[id] = Some(running);
        json!({ "base_url": base_url })
    }
}

fn borrowed(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

fn base_url(server: &Server) -> String {
    format!("http://{}/v1", server.address)
}
