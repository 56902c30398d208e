//! A command's end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use super::{ANSWER_MAX, ControlAnswer, ControlError, ControlRequest, TRANSFER_WITHIN, socket};

/// Asks the server that runs on the data directory `dir`, and waits for its answer however long the work takes; for the
/// answer to a ping five seconds.
///
/// # Errors
/// As [`ControlError`] says.
pub fn ask(dir: &Path, request: &ControlRequest) -> Result<ControlAnswer, ControlError> {
    let path = socket(dir);
    let stream = match UnixStream::connect(&path) {
        Ok(stream) => stream,
        Err(error) if means_nobody(&error) => return Err(ControlError::NobodyThere(path)),
        Err(source) => return Err(ControlError::Unreachable { path, source }),
    };
    talk(&stream, request).map_err(ControlError::Broken)
}

/// True where there is no socket, or one that an earlier run or a copy left behind.
fn means_nobody(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::ConnectionRefused, io::ErrorKind::NotADirectory];
    kinds.contains(&error.kind())
}

fn talk(mut stream: &UnixStream, request: &ControlRequest) -> io::Result<ControlAnswer> {
    stream.set_write_timeout(Some(TRANSFER_WITHIN))?;
    if matches!(request, ControlRequest::Ping {}) {
        stream.set_read_timeout(Some(TRANSFER_WITHIN))?; // A server that takes longer for this is not answering.
    }
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = Vec::new();
    BufReader::new(stream.take(ANSWER_MAX)).read_until(b'\n', &mut answer)?;
    if !answer.ends_with(b"\n") {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended in the middle"));
    }
    Ok(serde_json::from_slice(&answer)?)
}
