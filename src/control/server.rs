//! The server's end of the control socket.

use std::{fs::Permissions, future::Future, io, os::unix::fs::PermissionsExt, path::Path, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{ControlAnswer, ControlRequest, REQUEST_MAX, TRANSFER_WITHIN, socket};

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 8;
/// The wait after an accept that failed.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// Makes the socket of the data directory `dir`, in place of one that an earlier run or a copy left there.
///
/// The caller holds the directory's lock, so no other server's socket is taken away.
///
/// # Errors
/// The system's, with the socket's path.
pub fn bind(dir: &Path) -> io::Result<UnixListener> {
    let path = socket(dir);
    let bind = || {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        Ok(listener)
    };
    bind().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Takes the socket of the data directory `dir` away, while its lock is still held.
pub fn remove(dir: &Path) {
    // One that stays is replaced by the next start, and answers nobody until then.
    let _ = std::fs::remove_file(socket(dir));
}

/// Answers requests by `perform` until `stop`, then lets those that run finish.
///
/// Dropping the future ends the accepting, and not the talks that run.
pub async fn serve<P, F>(listener: UnixListener, perform: P, stop: CancellationToken)
where
    P: Fn(ControlRequest) -> F + Send + Sync + 'static,
    F: Future<Output = ControlAnswer> + Send + 'static,
{
    let perform = Arc::new(perform);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let talks = TaskTracker::new();
    loop {
        let place = Arc::clone(&places).acquire_owned();
        let next = async { (place.await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            next = next => next,
        };
        match accepted {
            Ok((stream, _)) => {
                let perform = Arc::clone(&perform);
                talks.spawn(async move {
                    if let Err(error) = talk(stream, perform.as_ref()).await {
                        tracing::debug!(%error, "a command broke off");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Out of file descriptors, most likely: connections that end give some back.
                tracing::warn!(%error, "a command can't be accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    talks.close();
    talks.wait().await;
}

/// Reads one request, performs it, and answers. A client that goes away meanwhile changes nothing.
async fn talk<P, F>(mut stream: UnixStream, perform: &P) -> io::Result<()>
where
    P: Fn(ControlRequest) -> F,
    F: Future<Output = ControlAnswer>,
{
    let (read, mut write) = stream.split();
    let mut line = Vec::new();
    let mut read = BufReader::new(read.take(REQUEST_MAX + 1));
    timeout(TRANSFER_WITHIN, read.read_until(b'\n', &mut line)).await??;
    let answer = match parse(&line) {
        Ok(request) => perform(request).await,
        Err(reason) => ControlAnswer::Refused { reason },
    };
    let mut answer = serde_json::to_vec(&answer)?;
    answer.push(b'\n');
    timeout(TRANSFER_WITHIN, write.write_all(&answer)).await??;
    Ok(())
}

fn parse(line: &[u8]) -> Result<ControlRequest, String> {
    if line.len() as u64 > REQUEST_MAX {
        return Err(format!("the request is over {REQUEST_MAX} bytes long"));
    }
    // The parser's own words are kept back: they may repeat a password.
    serde_json::from_slice(line)
        .map_err(|_| "the server does not know this request: is it of another version than this command?".to_owned())
}
