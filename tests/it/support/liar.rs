//! A proxy that passes everything on, but lies about pages: what a broken server would look like.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use serde_json::Value;

use super::client::{connect, read_response};

/// Changes the answer to a request for a page: its path, and the page. It may remember what it saw.
pub(crate) type Lie = Box<dyn FnMut(&str, &mut Value) + Send>;

/// Starts a liar in front of `server`; it ends with the process.
pub(crate) fn start(server: SocketAddr, lie: Lie) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let lie = Arc::new(Mutex::new(lie));
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let lie = Arc::clone(&lie);
            std::thread::spawn(move || {
                let _ = pass_on(client, server, &lie); // A client that goes away ends it.
            });
        }
    });
    address
}

fn pass_on(client: TcpStream, server: SocketAddr, lie: &Mutex<Lie>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut client = BufReader::new(client);
    let mut server_side = BufReader::new(connect(server)?);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut text = String::new();
            if client.read_line(&mut text)? == 0 {
                return Ok(());
            }
            if let Some(value) = text.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if text.starts_with("host:") {
                text = format!("host: {server}\r\n"); // The server knows only its own name.
            }
            head.push_str(&text);
            if text == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        client.read_exact(&mut body)?;
        server_side.get_mut().write_all(&[head.as_bytes(), &body].concat())?;
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut answer = read_response(&mut server_side, method)?;
        if method == "GET" && path.contains("/messages") && answer.status == 200 {
            let mut page = answer.json();
            lie.lock().unwrap()(path, &mut page);
            answer.body = page.to_string().into_bytes();
        }
        let length = answer.body.len();
        let head = format!(
            "HTTP/1.1 {} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n",
            answer.status
        );
        client.get_mut().write_all(&[head.as_bytes(), &answer.body].concat())?;
    }
}
