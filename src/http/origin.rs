//! Where a request comes from and where it believes to go: `Host`, forwarded addresses, origins, CORS.
//!
//! Pure rules over headers. The host rule keeps other names from being pointed at this server (DNS rebinding), the
//! origin rule keeps other sites' pages from acting with a user's cookie.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use hyper::{
    HeaderMap, Uri,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, FORWARDED, HOST, HeaderName, HeaderValue, ORIGIN, VARY,
        VIA,
    },
};

use super::{problem::Problem, server::Peer};
use crate::config::ServerConfig;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

/// True where `address` is in `list`, in either spelling of an IPv4 address.
pub(super) fn is_among(address: IpAddr, list: &[IpAddr]) -> bool {
    list.iter().any(|one| one.to_canonical() == address.to_canonical())
}

/// The rules, as configured.
pub(super) struct Origins {
    /// Host names that may be named; nothing: any.
    hosts: Option<Vec<String>>,
    /// Origins whose pages may call the API.
    cors: Vec<String>,
    proxies: Vec<IpAddr>,
}

impl Origins {
    /// `listening_on` decides where `server.hosts` is empty: a loopback address answers to loopback names only.
    pub(super) fn new(config: &ServerConfig, listening_on: IpAddr) -> Self {
        let hosts = if !config.hosts.is_empty() {
            Some(config.hosts.clone())
        } else if listening_on.to_canonical().is_loopback() {
            let own = match listening_on {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(address) => format!("[{address}]"),
            };
            Some(["localhost", "127.0.0.1", "[::1]", &own].map(str::to_owned).to_vec())
        } else {
            None
        };
        Self { hosts, cors: config.cors_origins.clone(), proxies: config.trusted_proxies.clone() }
    }

    /// The client behind `peer`: what trusted proxies say, and nobody else.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        if self.proxies.is_empty() || !is_among(peer.address, &self.proxies) {
            return peer;
        }
        let lists = headers.get_all(FORWARDED_FOR);
        let hops: Vec<&str> = lists.iter().filter_map(|list| list.to_str().ok()).flat_map(|l| l.split(',')).collect();
        let mut address = peer.address;
        // From the right: each trusted hop vouches for the one before it; the first that is not trusted is the client.
        for hop in hops.iter().rev() {
            let Some(named) = hop_address(hop.trim()) else { break };
            address = named;
            if !is_among(named, &self.proxies) {
                break;
            }
        }
        let https = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto.as_bytes().eq_ignore_ascii_case(b"https"));
        Peer { address, secure: peer.secure || https }
    }

    /// The one host that the request names, as `name` or `name:port`.
    ///
    /// # Errors
    /// 400 where there is not exactly one well-formed `Host`; 421 where it, or the target's authority, is not ours.
    pub(super) fn host<'r>(&self, uri: &Uri, headers: &'r HeaderMap) -> Result<&'r str, Problem> {
        let host = sole_host(headers)?;
        self.is_ours(host)?;
        if let Some(authority) = uri.authority() {
            self.is_ours(authority.as_str())?;
        }
        Ok(host)
    }

    fn is_ours(&self, host: &str) -> Result<(), Problem> {
        let (name, _) = split_port(host).ok_or_else(bad_host)?;
        match &self.hosts {
            Some(hosts) if !hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name)) => Err(Problem::wrong_host()),
            Some(_) | None => Ok(()),
        }
    }

    /// The request's `Origin`, where its pages may call the API.
    pub(super) fn listed<'r>(&self, headers: &'r HeaderMap) -> Option<&'r HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        self.cors.iter().any(|listed| listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes())).then_some(origin)
    }

    /// What every answer to a browser on a listed origin carries.
    pub(super) fn allow(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        if !self.cors.is_empty() {
            response.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin {
            response.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            let exposed =
                HeaderValue::from_static("etag, x-request-id, retry-after, retry-after-ms, x-should-retry, location");
            response.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
    }
}

/// What the answer to a preflight carries besides.
pub(super) fn allow_preflight(response: &mut HeaderMap) {
    response.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PATCH, DELETE"));
    // The last ones are what OpenAI's own client adds.
    let headers = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, X-Stainless-Arch, \
                   X-Stainless-Helper-Method, X-Stainless-Lang, X-Stainless-OS, X-Stainless-Package-Version, \
                   X-Stainless-Retry-Count, X-Stainless-Runtime, X-Stainless-Runtime-Version, X-Stainless-Timeout";
    response.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(headers));
    response.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// True where a program on this machine asks for itself: the connection is a loopback one, and no proxy says that it only
/// passes something on. A proxy on this machine that says nothing about itself can't be told from such a program.
pub(super) fn is_of_this_machine(peer: Peer, headers: &HeaderMap) -> bool {
    let passed_on = [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED, FORWARDED_HOST, REAL_IP, VIA];
    peer.address.to_canonical().is_loopback() && !passed_on.iter().any(|name| headers.contains_key(name))
}

/// Where the page is that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// On this server, or typed in by the user.
    Same,
    /// Somewhere else.
    Other,
    /// The client does not say: no browser, or a very old one.
    Unsaid,
}

/// Where the page is that sent this: `Sec-Fetch-Site` decides, else `Origin` against `host`.
pub(super) fn site(headers: &HeaderMap, host: &str) -> Site {
    if let Some(site) = headers.get(FETCH_SITE) {
        return if site == "same-origin" || site == "none" { Site::Same } else { Site::Other };
    }
    match headers.get(ORIGIN) {
        None => Site::Unsaid,
        Some(origin) if origin.to_str().is_ok_and(|origin| is_origin_of(origin, host)) => Site::Same,
        Some(_) => Site::Other,
    }
}

/// Compares host and port; a port that is left out is the scheme's.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let (authority, default) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, 80),
        Some(("https", rest)) => (rest, 443),
        Some(_) | None => return false,
    };
    let (Some((a, a_port)), Some((b, b_port))) = (split_port(authority), split_port(host)) else { return false };
    a.eq_ignore_ascii_case(b) && a_port.unwrap_or(default) == b_port.unwrap_or(default)
}

fn sole_host(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().map_err(|_| bad_host()),
        (_, Some(_)) | (None, None) => Err(bad_host()),
    }
}

fn bad_host() -> Problem {
    Problem::bad_request("A request needs exactly one Host header, like \"example.org\" or \"localhost:8000\".")
        .and_close()
}

/// Takes `name`, `name:port` or `[v6]:port` apart; the name keeps its brackets.
fn split_port(host: &str) -> Option<(&str, Option<u16>)> {
    let name_end = if host.starts_with('[') { host.find(']')? + 1 } else { host.find(':').unwrap_or(host.len()) };
    let (name, rest) = host.split_at(name_end);
    let well_formed = match name.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?.parse::<Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(digits.parse().ok()?),
        None | Some(_) => return None,
    };
    well_formed.then_some((name, port))
}

/// A hop of `X-Forwarded-For`: an address, with or without a port.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let address = bare.parse().or_else(|_| hop.parse().map(|socket: SocketAddr| socket.ip())).ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests;
