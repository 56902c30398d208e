//! URLs and origins, read as strictly as they will be used.

use std::net::{IpAddr, Ipv6Addr};

use http::Uri;

use super::{Config, UpstreamConfig, setting::Refusal};

/// Where Amazon's machines get their secrets over IPv6; over IPv4 it is a link-local address everywhere.
const METADATA: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// True for addresses of the machine's own network segment and for those of metadata services, to which nothing of this program
/// connects: what clouds keep there are their machines' secrets.
#[must_use]
pub fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || ip == METADATA,
    }
}

/// An origin in the form in which browsers send it: lower case, no path, no port that the scheme implies.
pub(super) fn origin(text: &str) -> Result<String, String> {
    let refuse = |why: &str| Err(format!("must be origins, as \"https://app.example.org\"; {text:?} {why}"));
    let lower = text.to_ascii_lowercase();
    let Some((scheme, authority)) = lower.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme))
    else {
        return refuse("does not begin with http:// or https://");
    };
    if authority.contains(['/', '?', '#']) {
        return refuse("has more than scheme, host and port (no path, not even a slash at the end)");
    }
    let implied = if scheme == "http" { Some(80) } else { Some(443) };
    match authority.parse::<http::uri::Authority>() {
        Ok(parsed) if parsed.port_u16() == implied => refuse("names the port that its scheme implies: leave it out"),
        Ok(parsed) if is_host_and_port(&parsed) => Ok(lower),
        Ok(_) | Err(_) => refuse("has no valid host and port"),
    }
}

/// True where `authority` is a host, perhaps with a port, and nothing else.
fn is_host_and_port(authority: &http::uri::Authority) -> bool {
    let host = authority.host();
    let rest = &authority.as_str()[host.len().min(authority.as_str().len())..];
    !host.is_empty()
        && !authority.as_str().contains(['@', '*'])
        && (rest.is_empty() || authority.port_u16().is_some_and(|port| port > 0))
}

pub(super) fn set_base_url(upstream: &mut UpstreamConfig, text: &str, is_needed: bool) -> Result<(), Refusal> {
    // The text is not repeated: a key that was put into it by mistake must not reach a terminal or a log.
    let refuse = |why: &str| Err(Some(format!("must be a URL, as \"http://127.0.0.1:11434/v1\"; this one {why}")));
    if text.is_empty() && !is_needed {
        upstream.base_url.clear();
        return Ok(());
    }
    let Ok(uri) = text.parse::<Uri>() else { return refuse("is no URL") };
    let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
        return refuse("has no host");
    };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return refuse("is neither http nor https");
    }
    if authority.as_str().contains('@') {
        return refuse("has a user name or password in it; a key belongs into api_key_file or api_key_env");
    }
    if !is_host_and_port(authority) {
        return refuse("has no valid host and port");
    }
    if uri.query().is_some() || text.contains('#') {
        return refuse("has a query or a fragment");
    }
    text.trim_end_matches('/').clone_into(&mut upstream.base_url);
    Ok(())
}

pub(super) fn set_webhook(config: &mut Config, text: &str) -> Result<(), Refusal> {
    // The text is not repeated: such URLs often hold a secret.
    let refuse = |why: &str| Err(Some(format!("must be a URL, as \"https://example.org/hook\"; this one {why}")));
    if text.is_empty() {
        config.alerts.webhook_url = None;
        return Ok(());
    }
    let Ok(uri) = text.parse::<Uri>() else { return refuse("is no URL") };
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return refuse("is neither http nor https");
    }
    if !uri.authority().is_some_and(is_host_and_port) {
        return refuse("has no valid host and port, or has a user name in it");
    }
    let address = uri.host().and_then(|host| host.trim_start_matches('[').trim_end_matches(']').parse().ok());
    if address.is_some_and(is_link_local) {
        return refuse("is a link-local or metadata address, to which bondhu does not connect");
    }
    if text.contains('#') {
        return refuse("has a fragment");
    }
    config.alerts.webhook_url = Some(text.to_owned());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_services_are_link_local_in_every_notation() {
        for refused in
            ["169.254.169.254", "169.254.0.1", "::ffff:169.254.169.254", "fe80::1", "febf::1", "fd00:ec2::254"]
        {
            assert!(is_link_local(refused.parse().unwrap()), "{refused}");
        }
        for fine in ["127.0.0.1", "169.253.1.1", "10.0.0.1", "::1", "fd00:ec2::253", "fec0::1", "2001:db8::1"] {
            assert!(!is_link_local(fine.parse().unwrap()), "{fine}");
        }
    }
}
