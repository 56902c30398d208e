//! The relay between a page and its server.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use crate::support::{
    browser::Browser,
    cut::Relay,
    site::{Page, Site},
};

fn site(name: &'static str) -> Site {
    Site::start(move |path| match path {
        "/name" => Page::of("text/plain", name),
        _ => Page::html("<!doctype html><title>Page</title><p id=name></p>"),
    })
}

/// Not by way of the browser's cache, which would have it wait for an earlier request of the same.
const ASK: &str = "return fetch('/name', {cache: 'no-store'}).then(answer => answer.text(), () => 'nothing')";

#[test]
fn a_page_keeps_its_origin_while_its_network_and_server_change() {
    let (one, two, browser) = (site("one"), site("two"), Browser::start());
    let relay = Relay::to(one.address);
    let tab = browser.open(&relay.origin());
    assert_eq!(tab.evaluate(ASK, &[]), "one");
    relay.cut();
    assert_eq!(tab.evaluate(ASK, &[]), "nothing");
    assert!(tab.try_reload().unwrap_err().contains("ERR_"));
    relay.point_at(two.address);
    relay.mend();
    tab.reload();
    assert_eq!(tab.evaluate(ASK, &[]), "two");
    assert_eq!(tab.url(), format!("{}/", relay.origin()));

    for (stop, outcome) in [(Relay::hold as fn(&Relay), "two"), (Relay::swallow, "")] {
        stop(&relay);
        let heard = relay.heard();
        let js =
            "fetch('/name', {cache: 'no-store'}).then(answer => answer.text()).then(name => document.title = name)";
        tab.evaluate(js, &[]);
        while relay.heard() == heard {
            std::thread::yield_now();
        }
        relay.mend();
        if outcome.is_empty() {
            assert_eq!(tab.evaluate(ASK, &[]), "two", "new connections are fine");
            assert_eq!(tab.title(), "Page", "an old one is dead");
        } else {
            tab.wait("hear the rest", "return document.title === 'two'", &[]);
        }
        tab.reload();
    }
}

/// True once the other end has closed it.
fn is_closed(end: &mut TcpStream) -> bool {
    match end.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_relay_cuts_holds_and_loses_what_is_open() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let relay = Relay::to(listener.local_addr().unwrap());
    let open = || {
        let client = TcpStream::connect(relay.address).unwrap();
        let server = listener.accept().unwrap().0;
        for end in [&client, &server] {
            end.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        }
        (client, server)
    };
    let say = |from: &mut TcpStream, to: &mut TcpStream| {
        from.write_all(b"x").unwrap();
        let mut byte = [0; 1];
        to.read_exact(&mut byte).map(|()| byte[0])
    };
    let is_silent = |end: &mut TcpStream| {
        end.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let error = end.read(&mut [0; 1]).unwrap_err();
        end.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        error.kind() == std::io::ErrorKind::WouldBlock
    };
    let (mut client, mut server) = open();
    assert_eq!(say(&mut client, &mut server).unwrap(), b'x');
    assert_eq!(say(&mut server, &mut client).unwrap(), b'x');
    assert_eq!((relay.open(), relay.taken()), (1, 1));

    relay.hold();
    client.write_all(b"h").unwrap();
    assert!(is_silent(&mut server));
    relay.mend();
    let mut byte = [0; 1];
    server.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"h");

    relay.swallow();
    relay.mend(); // However short it was.
    client.write_all(b"l").unwrap();
    server.write_all(b"l").unwrap();
    assert!(is_silent(&mut server) && is_silent(&mut client));
    let (mut other_client, mut other_server) = open();
    assert_eq!(say(&mut other_client, &mut other_server).unwrap(), b'x');

    relay.cut();
    relay.mend();
    for end in [&mut client, &mut server, &mut other_client, &mut other_server] {
        assert!(is_closed(end));
    }
    let (mut client, mut server) = open();
    assert_eq!(say(&mut client, &mut server).unwrap(), b'x');
    drop(client);
    assert!(is_closed(&mut server), "an end is passed on");
    relay.cut();
    assert!(is_closed(&mut TcpStream::connect(relay.address).unwrap()));
    assert_eq!(relay.taken(), 4);
}
