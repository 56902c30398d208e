//! What comes of the tokens' way is the kernel's: a relay that copies bytes between its clients and the model server.

use std::{net::SocketAddr, process::Command};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use crate::load::server::Server;

/// A relay in a process of its own.
pub(crate) fn start(model: SocketAddr) -> Server {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["relay", &model.to_string()]);
    Server::run(command, None)
}

/// Relays for ever, with as many threads as bondhu has.
pub(crate) fn serve(model: SocketAddr, listen: SocketAddr) {
    let runtime = Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await.expect("a port");
        loop {
            let (mut client, _) = listener.accept().await.expect("a connection");
            tokio::spawn(async move {
                client.set_nodelay(true)?;
                let mut server = TcpStream::connect(model).await?;
                server.set_nodelay(true)?;
                copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
}
