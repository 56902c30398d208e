//! Coming and going: what a page leaves behind must not be in the way of the next one.

use crate::support::{Server, browser::Browser};

#[test]
fn pages_that_were_left_hold_no_connection() {
    let server = Server::start(&[]);
    let origin = format!("http://{}", server.address);
    let browser = Browser::start();
    let tab = browser.tab();
    tab.register(&origin, "amina");
    tab.say("hello");
    tab.wait_answered(1);
    let session = tab.url();
    // A browser has six connections to a server, and keeps more pages than that for the way back.
    for _ in 0..8 {
        tab.goto(&format!("{origin}/settings"));
        tab.wait_for("#logins li");
        tab.goto(&session);
        tab.wait_answered(1);
    }
    tab.back();
    tab.wait_for("#logins li");
    tab.back();
    tab.wait_answered(1);
    tab.say("still here");
    tab.wait_answered(2);
}
