//! A connection that sends any bytes: for what no well-behaved client would say.

use std::{
    io::{BufReader, Read, Write},
    net::{Shutdown, TcpStream},
};

use super::{Events, Response, Server, client};

/// One connection.
pub(crate) struct Raw(BufReader<TcpStream>);

impl Raw {
    pub(crate) fn to(server: &Server) -> Self {
        Self(BufReader::new(client::connect(server.address).unwrap()))
    }

    /// Sends bytes; a server that has closed already is no failure of the test.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.0.get_mut().write_all(bytes.as_ref());
        self
    }

    /// Says that nothing more is sent.
    pub(crate) fn finish(&mut self) -> &mut Self {
        self.0.get_ref().shutdown(Shutdown::Write).unwrap();
        self
    }

    /// The next answer; nothing where the server closes instead.
    pub(crate) fn answer(&mut self) -> Option<Response> {
        client::read_response(&mut self.0, "GET").ok()
    }

    /// The event stream that is the next answer, read to its end; the connection is what it was before.
    pub(crate) fn whole_stream(&mut self) -> Response {
        let mut answer = self.answer().unwrap();
        answer.body = client::read_chunks(&mut self.0).unwrap();
        answer
    }

    /// The event stream that is the next answer, and the socket to say more with.
    pub(crate) fn events(mut self) -> (TcpStream, Events) {
        let head = self.answer().unwrap();
        (self.0.get_ref().try_clone().unwrap(), Events::behind(self.0, head))
    }

    /// True where the server says nothing more and closes.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => rest.is_empty(),
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}
