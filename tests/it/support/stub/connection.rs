//! One connection: its requests in order, each noted, answered, and watched for a client that leaves.

use std::{io, sync::Arc, time::Instant};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

use super::{
    Seen, Shared,
    answer::{Answer, End},
};

/// More than any request that a test sends.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Serves one connection to its end.
pub(super) async fn serve(mut socket: TcpStream, shared: &Shared) {
    let _ = socket.set_nodelay(true); // Each write is to leave by itself.
    let mut unread = Vec::new();
    while let Some(seen) = request(&mut socket, &mut unread).await {
        let close = seen.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let place = shared.begin(seen.clone());
        let (mut reader, writer) = socket.split();
        let answer = Answer::new(writer, close);
        let end = tokio::select! {
            biased;
            end = answer.give(&seen, shared) => end.ok(),
            () = left(&mut reader, &mut unread) => None,
        };
        if end == Some(End::Reset) {
            let _ = socket.set_zero_linger();
        }
        shared.end(place, end.is_none());
        if close || end != Some(End::Open) {
            return;
        }
    }
}

/// Ends when the client has closed its side. What it sends before that belongs to the next request.
async fn left(reader: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) {
    while unread.len() < REQUEST_BYTES_MAX && reader.read_buf(unread).await.is_ok_and(|count| count > 0) {}
}

/// The next request, whose body has a `content-length`; nothing where the connection ends, or what comes is none.
async fn request(socket: &mut TcpStream, unread: &mut Vec<u8>) -> Option<Seen> {
    let head = loop {
        if let Some(at) = unread.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break take(unread, at + 4);
        }
        more(socket, unread).await.ok()?;
    };
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let fields = lines.filter_map(|line| line.split_once(':'));
    let headers: Arc<[(String, String)]> =
        fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(Some(0), |(_, n)| n.parse().ok())?;
    while unread.len() < length {
        more(socket, unread).await.ok()?;
    }
    let body = take(unread, length);
    let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap_or_else(|_| text()) };
    Some(Seen { method, path, headers, body: Arc::new(body), at: Instant::now(), closed_early: None })
}

async fn more(socket: &mut TcpStream, unread: &mut Vec<u8>) -> io::Result<()> {
    let count = socket.read_buf(unread).await?;
    if count == 0 || unread.len() > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// The first `count` bytes, removed.
fn take(unread: &mut Vec<u8>, count: usize) -> Vec<u8> {
    let rest = unread.split_off(count);
    std::mem::replace(unread, rest)
}
