//! `bondhu healthcheck`: is the server that this configuration describes healthy?

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use http::{HeaderValue, StatusCode, Uri};

use super::{Failure, load, operator::Operator, print, small_runtime};
use crate::{cli::Settings, client::Get, config::ServerConfig, control::ControlRequest};

const WITHIN: Duration = Duration::from_secs(2);
/// More than any answer of `/health`.
const BODY_MAX: usize = 64 << 10;

pub(super) fn run(settings: &[Settings], url: Option<String>, socket: bool) -> Result<(), Failure> {
    if let Some(url) = url {
        return ask(&url, None);
    }
    let loaded = load(settings, false)?;
    // Its certificate names the server as clients know it, and not by its address.
    if socket || loaded.config.server.tls.is_set() {
        Operator::running(&loaded)?.ask(ControlRequest::Ping {})?;
        return print("healthy\n");
    }
    let (url, host) = of_config(&loaded.config.server);
    ask(&url, host)
}

fn ask(url: &str, host: Option<HeaderValue>) -> Result<(), Failure> {
    if url.starts_with("https://") {
        let hint = "over TLS a server is asked by --socket, on its own machine, with its --config or --data-dir";
        return Err(Failure::Misused(format!("--url {url:?}: only http:// URLs can be asked: {hint}")));
    }
    let not_one = |error| Failure::Misused(format!("--url {url:?}: {error}"));
    let get = Get { url: url.parse::<Uri>().map_err(not_one)?, host, within: WITHIN, body_max: BODY_MAX };
    match small_runtime()?.block_on(get.send()) {
        Ok((StatusCode::OK, _)) => print("healthy\n"),
        Ok((status, _)) => Err(Failure::Failed(format!("{url} answered {status}"))),
        Err(error) => Err(Failure::Failed(format!("{url}: {error}"))),
    }
}

/// Where the configured server is reached from this machine, and as whom to address it.
fn of_config(server: &ServerConfig) -> (String, Option<HeaderValue>) {
    let ip = match server.listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    let address = SocketAddr::new(ip, server.listen.port());
    // A server with a list of hosts answers to no other name.
    let host = server.hosts.first().and_then(|host| HeaderValue::from_str(host).ok());
    (format!("http://{address}/health"), host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_by_the_loopback_one() {
        let asked = |listen: &str, hosts: &[&str]| {
            let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
            of_config(&ServerConfig { listen: listen.parse().unwrap(), hosts, ..ServerConfig::default() })
        };
        assert_eq!(asked("0.0.0.0:9000", &[]), ("http://127.0.0.1:9000/health".to_owned(), None));
        assert_eq!(asked("[::]:9000", &[]), ("http://[::1]:9000/health".to_owned(), None));
        let host = Some(HeaderValue::from_static("chat.example.org"));
        let hosts = ["chat.example.org", "other.example.org"];
        assert_eq!(asked("192.0.2.7:80", &hosts), ("http://192.0.2.7:80/health".to_owned(), host));
    }
}
