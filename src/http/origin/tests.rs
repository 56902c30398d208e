use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn named(origins: &Origins, target: &'static str, hosts: &[&'static str]) -> u16 {
    let lines: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
    match origins.host(&Uri::from_static(target), &headers(&lines)) {
        Ok(_) => 200,
        Err(problem) => problem.status().as_u16(),
    }
}

#[test]
fn a_loopback_server_answers_to_loopback_names_only() {
    let origins = Origins::new(&ServerConfig::default(), address("127.0.0.1"));
    for ours in ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "[::1]"] {
        assert_eq!(named(&origins, "/", &[ours]), 200, "{ours}");
    }
    for other in ["evil.example", "localhost.evil.example:8000", "127.0.0.2", "[::2]"] {
        assert_eq!(named(&origins, "/", &[other]), 421, "{other}");
    }
    assert_eq!(named(&origins, "http://localhost/health", &["localhost"]), 200);
    assert_eq!(named(&origins, "http://evil.example/health", &["localhost"]), 421);
    let other_loopback = Origins::new(&ServerConfig::default(), address("127.0.0.2"));
    assert_eq!(named(&other_loopback, "/", &["127.0.0.2:80"]), 200);
}

#[test]
fn there_is_exactly_one_well_formed_host() {
    let origins = Origins::new(&ServerConfig::default(), address("0.0.0.0"));
    assert_eq!(named(&origins, "/", &["any.example:81"]), 200);
    assert_eq!(named(&origins, "/", &[]), 400);
    assert_eq!(named(&origins, "/", &["localhost", "localhost"]), 400);
    for junk in
        ["", "localhost:", "localhost:x", "localhost:80:80", "a b", "user@localhost", "[::1", "[x]", "h:65536", "h/"]
    {
        assert_eq!(named(&origins, "/", &[junk]), 400, "{junk:?}");
    }
    let config = ServerConfig { hosts: vec!["chat.example".to_owned()], ..ServerConfig::default() };
    let origins = Origins::new(&config, address("127.0.0.1"));
    assert_eq!(named(&origins, "/", &["Chat.Example:443"]), 200);
    assert_eq!(named(&origins, "/", &["localhost"]), 421);
}

#[test]
fn only_trusted_proxies_are_believed() {
    let config =
        ServerConfig { trusted_proxies: vec![address("10.0.0.1"), address("10.0.0.2")], ..ServerConfig::default() };
    let origins = Origins::new(&config, address("0.0.0.0"));
    let client = |from: &str, lines: &[(&'static str, &'static str)]| {
        let peer = Peer { address: address(from), secure: false };
        let client = origins.client(peer, &headers(lines));
        (client.address.to_string(), client.secure)
    };
    let forged = &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https")];
    assert_eq!(client("9.9.9.9", forged), ("9.9.9.9".to_owned(), false));
    assert_eq!(client("10.0.0.1", forged), ("1.1.1.1".to_owned(), true));
    assert_eq!(client("::ffff:10.0.0.1", forged).0, "1.1.1.1");
    assert_eq!(client("10.0.0.1", &[]), ("10.0.0.1".to_owned(), false));
    let chain = &[("x-forwarded-for", "6.6.6.6, 7.7.7.7"), ("x-forwarded-for", "10.0.0.2")];
    assert_eq!(client("10.0.0.1", chain).0, "7.7.7.7");
    assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "6.6.6.6, junk")]).0, "10.0.0.1");
    assert_eq!(client("10.0.0.1", &[("x-forwarded-for", "[2001:db8::1]:4711")]).0, "2001:db8::1");
}

#[test]
fn a_page_is_ours_if_the_browser_says_so_or_its_origin_is_our_host() {
    let host = "chat.example:8000";
    let cases: &[(&[(&'static str, &'static str)], Site)] = &[
        (&[], Site::Unsaid),
        (&[("sec-fetch-site", "same-origin")], Site::Same),
        (&[("sec-fetch-site", "none")], Site::Same),
        (&[("sec-fetch-site", "same-site")], Site::Other),
        (&[("sec-fetch-site", "cross-site"), ("origin", "http://chat.example:8000")], Site::Other),
        (&[("origin", "http://chat.example:8000")], Site::Same),
        (&[("origin", "http://Chat.Example:8000")], Site::Same),
        (&[("origin", "http://chat.example:8001")], Site::Other),
        (&[("origin", "http://chat.example")], Site::Other),
        (&[("origin", "null")], Site::Other),
        (&[("origin", "http://chat.example:8000.evil.example")], Site::Other),
    ];
    for (lines, expected) in cases {
        assert_eq!(site(&headers(lines), host), *expected, "{lines:?}");
    }
    assert_eq!(site(&headers(&[("origin", "https://chat.example")]), "chat.example"), Site::Same);
    assert_eq!(site(&headers(&[("origin", "https://chat.example")]), "chat.example:443"), Site::Same);
    assert_eq!(site(&headers(&[("origin", "http://chat.example")]), "chat.example:443"), Site::Other);
}

#[test]
fn only_a_listed_origin_is_allowed_and_every_answer_varies_by_it() {
    let config = ServerConfig { cors_origins: vec!["https://app.example".to_owned()], ..ServerConfig::default() };
    let origins = Origins::new(&config, address("0.0.0.0"));
    let answer = |origin: &'static str| {
        let request = headers(&[("origin", origin)]);
        let mut response = HeaderMap::new();
        origins.allow(origins.listed(&request), &mut response);
        response
    };
    let listed = answer("https://app.example");
    assert_eq!(listed[ACCESS_CONTROL_ALLOW_ORIGIN], "https://app.example");
    assert_eq!(listed[VARY], "Origin");
    for other in ["https://app.example.evil.example", "http://app.example", "null", "*"] {
        let response = answer(other);
        assert!(!response.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{other}");
        assert_eq!(response[VARY], "Origin");
    }
}

#[test]
fn a_network_is_one_ipv4_address_or_one_64_of_ipv6() {
    assert_eq!(network(address("::ffff:1.2.3.4")), address("1.2.3.4"));
    assert_eq!(network(address("2001:db8:1:2:3:4:5:6")), address("2001:db8:1:2::"));
    assert_ne!(network(address("2001:db8:1:2::1")), network(address("2001:db8:1:3::1")));
}
