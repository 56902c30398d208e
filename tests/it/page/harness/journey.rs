//! The harness on the real page: a person, a server that dies, and the network between them.

use crate::support::{PASSWORD, Server, browser::Browser, cut::Relay};

const ANSWERED: &str = "[data-role=user][data-state=answered]";

#[test]
fn a_person_goes_on_writing_to_a_server_that_came_back_elsewhere() {
    let mut server = Server::start(&[]);
    let relay = Relay::to(server.address);
    let browser = Browser::start();
    let tab = browser.open(&relay.origin());
    tab.click("button.link");
    tab.write("#username", "amina");
    tab.write("#password", PASSWORD);
    tab.press("Enter");
    tab.write("#text", "before\n");
    tab.wait_count(ANSWERED, 1);

    relay.cut();
    server.kill();
    server = server.restart(&[]);
    tab.write("#text", "after\n");
    relay.point_at(server.address);
    relay.mend();
    tab.wait_count(ANSWERED, 2);
    tab.reload();
    tab.wait_count(ANSWERED, 2);
    assert_eq!(tab.texts("[data-role=user] .text"), ["before", "after"]);

    browser.asked_only(&[&relay.origin()]);
    browser.is_clean(&["net::ERR_", "status of 401"]); // While it was away; and before anyone was signed in.
    server.is_calm();
}
