//! A small web server for pages that a test makes up, which remembers what it was asked for.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A page: lines of its head (`content-type: text/html`), and its body.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) head: Vec<String>,
    pub(crate) body: String,
}

impl Page {
    /// A page in HTML.
    pub(crate) fn html(body: &str) -> Self {
        Self::of("text/html; charset=utf-8", body)
    }

    /// A file of this type.
    pub(crate) fn of(kind: &str, body: &str) -> Self {
        Self { status: 200, head: vec![format!("content-type: {kind}")], body: body.to_owned() }
    }

    /// The same with another line in its head.
    pub(crate) fn with(mut self, line: &str) -> Self {
        self.head.push(line.to_owned());
        self
    }

    /// The same with another status.
    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

/// A running server; it ends with the process.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Site {
    /// A server that answers each path, with its query, as this says.
    pub(crate) fn start(answer: impl Fn(&str) -> Page + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, kept) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (answer, kept) = (Arc::clone(&answer), Arc::clone(&kept));
                std::thread::spawn(move || {
                    let _ = serve(client, &*answer, &kept); // A client that goes away ends it.
                });
            }
        });
        Self { address, asked }
    }

    /// The origin of its pages.
    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The method and path of every request so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    client: TcpStream,
    answer: &(dyn Fn(&str) -> Page + Send + Sync),
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let (mut first, mut length) = (String::new(), 0);
    client.read_line(&mut first)?;
    let mut words = first.split(' ');
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    loop {
        let mut line = String::new();
        if client.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    std::io::copy(&mut Read::take(&mut client, length), &mut std::io::sink())?;
    asked.lock().unwrap().push(format!("{method} {path}"));
    let Page { status, head, body } = answer(path);
    let head: String = head.iter().flat_map(|line| [line.as_str(), "\r\n"]).collect();
    let length = body.len();
    let whole = format!("HTTP/1.1 {status} x\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
    client.get_mut().write_all(whole.as_bytes())
}
